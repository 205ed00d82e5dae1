"""A response on its way from an origin to all who asked for it at once (cache-and-purge.md).

Its body is kept from the beginning while it may be stored, and handed to each reader at his own
pace. Once it is too large to be stored only what the slowest reader has not taken is kept, nobody
can join any more, and the origin is paused while too much waits.
"""

from typing import Protocol

from gripproxy.engine.pipe import BUFFER_MAX
from gripproxy.errors import GripProxyError
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Receiver, Source


class Whole(Protocol):
    """Who wants to know how a body ended."""

    def wanted(self) -> bool:
        """Tell whether readers may come that are not here yet."""

    def storable(self) -> bool:
        """Tell whether it would be stored if it were whole now, and not too large."""

    def buffered(self, more: int) -> None:
        """Take note that it holds so many bytes more, or less, while it is under way."""

    def body_whole(self, body: bytes | None) -> None:
        """Take the whole body, None if it was too large to be kept or nobody wanted it."""

    def body_broken(self, error: GripProxyError) -> None:
        """Learn that the body broke off."""


class FlightBody:
    """A body with many readers: the receiver of one `Source`, and the maker of many."""

    def __init__(self, source: Source, limit: int, owner: Whole) -> None:
        """Make a body that can be joined, and perhaps stored, up to `limit` bytes."""
        self._source = source
        self._limit = limit
        self._owner = owner
        self._pieces: list[bytes] = []
        self._gone = 0  # pieces that were dropped from the beginning
        self._size = 0  # bytes in all
        self._kept = 0  # bytes in `_pieces`
        self._readers: dict[Reader, None] = {}
        self._paused = False
        self._ended = False
        self._abandoned = False
        self._trailers: Headers | None = None
        self.failure: GripProxyError | None = None

    @property
    def joinable(self) -> bool:
        """Whether the beginning is still here, so that another reader may come."""
        return self._gone == 0 and self.failure is None and not self._abandoned

    @property
    def size(self) -> int:
        """How many bytes it holds in memory."""
        return self._kept

    def begin(self) -> None:
        """Let the body flow."""
        self._source.start(self)

    def reader(self) -> "Reader":
        """Return a `Source` of the whole body for one more reader."""
        reader = Reader(self)
        self._readers[reader] = None
        return reader

    # As the receiver of the origin's body

    def body_piece(self, piece: bytes) -> None:
        """Take a piece, and hand it on."""
        if self._abandoned:  # the rest of what was read with the piece before
            return
        self._pieces.append(piece)
        self._size += len(piece)
        self._kept += len(piece)
        self._owner.buffered(len(piece))
        for reader in list(self._readers):
            reader.advance()
        if not self._readers:
            self.look_for_readers()
        if self._size > self._limit:
            self._drop_taken()

    def body_end(self, trailers: Headers | None) -> None:
        """Take note that the body is whole."""
        if self._abandoned:
            return
        self._ended = True
        self._trailers = trailers
        self._owner.buffered(-self._kept)
        self._owner.body_whole(None if self._size > self._limit else b"".join(self._pieces))
        for reader in list(self._readers):
            reader.advance()

    def body_failed(self, error: GripProxyError) -> None:
        """Break off for everyone."""
        if self._abandoned:
            return
        self.failure = error
        self._owner.buffered(-self._kept)
        self._owner.body_broken(error)
        for reader in list(self._readers):
            reader.advance()

    # For readers

    def piece(self, number: int) -> bytes | None:
        """Return a piece by its number, None if it has not come."""
        at = number - self._gone
        return self._pieces[at] if at < len(self._pieces) else None

    @property
    def ended(self) -> bool:
        """Whether all of it has come."""
        return self._ended

    @property
    def trailers(self) -> Headers | None:
        """The fields behind the body."""
        return self._trailers

    def left(self, reader: "Reader") -> None:
        """Forget a reader; the others may have been waiting for him."""
        self._readers.pop(reader, None)
        if self._ended or self.failure is not None:
            return
        self.look_for_readers()
        if self._size > self._limit:
            self._drop_taken()

    def look_for_readers(self) -> None:
        """Let the origin go if nobody reads, nobody will, and it cannot be stored."""
        if self._ended or self._abandoned or self.failure is not None:
            return
        if self._readers or self._owner.wanted():
            return
        if self._size > self._limit or not self._owner.storable():
            self._abandoned = True
            self._source.abandon()
            self._owner.buffered(-self._kept)
            self._owner.body_whole(None)

    def taken(self) -> None:
        """Take note that a reader has gone on."""
        if self._size > self._limit:
            self._drop_taken()

    def _drop_taken(self) -> None:
        """Keep what the slowest reader needs, and let the origin wait for him."""
        if self._abandoned:
            return
        slowest = min((reader.at for reader in self._readers), default=self._gone)
        count = slowest - self._gone
        if count > 0:
            dropped = sum(map(len, self._pieces[:count]))
            self._kept -= dropped
            if not (self._ended or self.failure):
                self._owner.buffered(-dropped)
            del self._pieces[:count]
            self._gone = slowest
        if self._kept > BUFFER_MAX and not self._paused:
            self._paused = True
            self._source.pause()
        elif self._paused and self._kept <= BUFFER_MAX // 4:
            self._paused = False
            self._source.resume()


class Reader:
    """One reader's way through a flight's body: a `Source`."""

    __slots__ = ("_body", "_paused", "_receiver", "at")

    def __init__(self, body: FlightBody) -> None:
        self._body = body
        self._receiver: Receiver | None = None
        self._paused = False
        self.at = 0  # the number of the next piece

    def start(self, receiver: Receiver) -> None:
        """Begin to hand out pieces."""
        self._receiver = receiver
        self.advance()

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self.advance()

    def abandon(self) -> None:
        """Stop reading; others go on."""
        self._receiver = None
        self._body.left(self)

    def advance(self) -> None:
        """Hand out what has come."""
        body = self._body
        before = self.at
        while self._receiver is not None and not self._paused:
            piece = body.piece(self.at)
            if piece is None:
                self._finish()
                break
            self.at += 1
            self._receiver.body_piece(piece)
        if self.at != before:
            body.taken()

    def _finish(self) -> None:
        receiver, body = self._receiver, self._body
        if receiver is None or not (body.ended or body.failure):
            return
        self._receiver = None
        body.left(self)
        if body.failure is not None:
            receiver.body_failed(body.failure)
        else:
            receiver.body_end(body.trailers)

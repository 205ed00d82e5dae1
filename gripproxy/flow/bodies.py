"""Bodies on their way through a story: collected whole, or kept while they pass.

A body that a hold may need again, the client's request body, is kept up to 100,000 bytes while it
streams to the origin (grip-http.md 1.3); an instruct's body is collected up to as much.
"""

import asyncio

from gripproxy.errors import GripProxyError
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Body, Receiver, Source

# What may be kept of a request for a retry, and read of an instruct (grip-http.md 1.3).
KEPT_MAX = 100_000


class TooLargeError(GripProxyError):
    """A body is over the limit that its reader set."""


class _Collector:
    """Takes a body whole."""

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def body_piece(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit and not self.done.done():
            self.done.set_exception(TooLargeError())

    def body_end(self, trailers: Headers | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def body_failed(self, error: GripProxyError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    @property
    def content(self) -> bytes:
        return b"".join(self._pieces)


async def collect(body: Body, limit: int) -> bytes:
    """Return a body whole.

    Raises:
        TooLargeError: it is over `limit` bytes; the rest is abandoned.
        GripProxyError: what made it break off.
    """
    if isinstance(body, bytes):
        if len(body) > limit:
            raise TooLargeError
        return body
    collector = _Collector(body, limit)
    try:
        body.start(collector)
        await collector.done
    except BaseException:
        body.abandon()
        raise
    return collector.content


class KeptBody:
    """A request's body that is kept while it passes: a `Source` around a `Source`."""

    __slots__ = ("_done", "_failure", "_pieces", "_receiver", "_size", "_source", "_started")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._receiver: Receiver | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._started = False
        self._done = False
        self._failure: GripProxyError | None = None

    async def whole(self) -> bytes:
        """Return all of it, reading what the origin has not asked for.

        Raises:
            TooLargeError: it is over what may be kept.
            GripProxyError: what made it break off.
        """
        if not self._done and self._size <= KEPT_MAX:
            rest = _Rest(self)
            self.start(rest)
            await rest.done
        if self._size > KEPT_MAX:
            raise TooLargeError
        return b"".join(self._pieces)

    @property
    def size(self) -> int:
        """How many bytes have come; not counted further once over what may be kept."""
        return self._size

    @property
    def repeatable(self) -> bool:
        """Whether all that has come is here, so that `start` can begin again."""
        return self._size <= KEPT_MAX

    # As a source

    def start(self, receiver: Receiver) -> None:
        """Begin to hand out, from the beginning; it may be called again while `repeatable`."""
        self._receiver = receiver
        if not self._started:
            self._started = True
            self._source.start(self)
            return
        if self._pieces:
            receiver.body_piece(b"".join(self._pieces))
        if self._done:
            self._end()
        elif self._failure is not None:
            self._fail(self._failure)
        else:
            self._source.resume()

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        self._source.pause()

    def resume(self) -> None:
        """Go on handing out."""
        self._source.resume()

    def abandon(self) -> None:
        """Stop handing out. The client's body stays where it is: a hold may want the rest."""
        self._receiver = None
        if self._started and not self._done and self._failure is None:
            self._source.pause()

    # As the receiver of the source

    def body_piece(self, piece: bytes) -> None:
        """Take a piece, keep it and hand it on."""
        if self._size <= KEPT_MAX:
            self._size += len(piece)
            if self._size <= KEPT_MAX:
                self._pieces.append(piece)
            else:
                self._pieces.clear()
        if self._receiver is not None:
            self._receiver.body_piece(piece)

    def body_end(self, trailers: Headers | None) -> None:
        """Take note that it is whole; its trailers are dropped."""
        self._done = True
        self._end()

    def body_failed(self, error: GripProxyError) -> None:
        """Take note that the rest will not come."""
        self._failure = error
        self._fail(error)

    def _end(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.body_end(None)

    def _fail(self, error: GripProxyError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.body_failed(error)


class _Rest:
    """Waits for the end of a kept body, or for the byte too many."""

    def __init__(self, kept: KeptBody) -> None:
        self._kept = kept
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def body_piece(self, piece: bytes) -> None:
        if self._kept.size > KEPT_MAX and not self.done.done():
            self.done.set_result(None)

    def body_end(self, trailers: Headers | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def body_failed(self, error: GripProxyError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

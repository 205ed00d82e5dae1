"""A body on its way from one connection to another: bounded, pushed, paused from either end.

The reading side feeds what has come; the writing side is a `Receiver` that may come later. What
waits in between is bounded by pausing the reading side (proxying.md 9.1: 64 kB). How a body's end
is found is its kind: `ByLength`, `ByChunks`, `UntilClose` (RFC 9112 6.3).
"""

from typing import Protocol

from gripproxy.errors import GripProxyError
from gripproxy.protocol.chunks import Decoder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Receiver

BUFFER_MAX = 65536
# Pieces cost memory besides their bytes: so many small ones become one.
PIECES_MAX = 64


class Tap(Protocol):
    """The connection that a body comes from."""

    def pause_body(self) -> None:
        """Read nothing more for now."""

    def resume_body(self) -> None:
        """Read on."""

    def abandon_body(self) -> None:
        """Nobody wants the rest."""

    def want_body(self) -> None:
        """Somebody has begun to take the body."""


class Pipe:
    """A `Source` that is fed by a connection."""

    __slots__ = (
        "_paused",
        "_pieces",
        "_receiver",
        "_size",
        "_tap",
        "failure",
        "trailers",
        "whole",
    )

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._pieces: list[bytes] = []
        self._size = 0
        self._receiver: Receiver | None = None
        self._paused = False
        self.whole = False  # the end has come
        self.trailers: Headers | None = None
        self.failure: GripProxyError | None = None

    # The reading side

    def put(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._receiver is not None and not self._paused and not self._pieces:
            self._receiver.body_piece(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if len(self._pieces) >= PIECES_MAX:
            self._pieces = [b"".join(self._pieces)]
        if self._size > BUFFER_MAX and not self.whole:
            self._tap.pause_body()

    def finish(self) -> None:
        """Take note that the body is whole."""
        self.whole = True
        self._flush()

    def fail(self, error: GripProxyError) -> None:
        """Take note that the rest will not come; what has come is still handed out."""
        if not self.whole and self.failure is None:
            self.failure = error
            self._flush()

    def break_off(self, error: GripProxyError) -> None:
        """Take note that the rest will not come, and hand out nothing more of it."""
        if not self.whole:
            self._pieces.clear()
            self._paused = False
            self.fail(error)

    def take(self) -> bytes:
        """Return all that waits here and forget it."""
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return body

    # The writing side: `protocol.messages.Source`

    def start(self, receiver: Receiver) -> None:
        """Begin to hand out pieces; what is there already is handed out at once."""
        self._receiver = receiver
        self._tap.want_body()
        self._flush()

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        self._paused = True
        if not self.whole:
            self._tap.pause_body()

    def resume(self) -> None:
        """Go on handing out."""
        self._paused = False
        self._flush()

    def abandon(self) -> None:
        """Drop the rest."""
        self._receiver = None
        self._pieces.clear()
        if not self.whole and self.failure is None:
            self._tap.abandon_body()

    def _flush(self) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        pieces = self._pieces
        if pieces and not self._paused:
            # At most what one pause lets through: one piece, and one write.
            receiver.body_piece(self.take())
        if self._paused or self._receiver is not receiver:
            return  # the receiver is full, or wants no more
        if self.whole:
            self._receiver = None
            receiver.body_end(self.trailers)
        elif self.failure is not None:
            self._receiver = None
            receiver.body_failed(self.failure)
        else:
            self._tap.resume_body()


class ByLength(Pipe):
    """A body of so many bytes."""

    __slots__ = ("left",)

    def __init__(self, tap: Tap, length: int) -> None:
        super().__init__(tap)
        self.left = length

    def feed(self, data: bytes) -> bytes:
        """Take what has come; return what lies behind the body."""
        size = len(data)
        if size < self.left:
            self.left -= size
            self.put(data)
            return b""
        left, self.left = self.left, 0
        self.whole = True
        self.put(data[:left])
        self.finish()
        return data[left:]


class ByChunks(Pipe):
    """A body in chunks."""

    __slots__ = ("_decoder",)

    def __init__(self, tap: Tap, line_max: int) -> None:
        super().__init__(tap)
        self._decoder = Decoder(line_max)

    def feed(self, data: bytes) -> bytes:
        """Take what has come; return what lies behind the body.

        Raises:
            PeerError: these are no chunks.
        """
        decoder = self._decoder
        rest = decoder.feed(data)
        pieces = decoder.pieces
        if pieces:
            # However many chunks there are, they go on in one piece: one write, one chunk.
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self.whole = decoder.whole
            self.put(piece)
        if decoder.whole:
            self.trailers = decoder.fields()
            self.finish()
        return rest


class UntilClose(Pipe):
    """A body that ends with its connection: its reader says `finish`."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Take what has come."""
        self.put(data)
        return b""


Incoming = ByLength | ByChunks | UntilClose

"""A body on its way from one connection to another: bounded, pushed, paused from either end.

The reading side `put`s pieces; the writing side is a `Receiver` that may come later. What waits
in between is bounded by pausing the reading side (proxying.md 9.1: 64 kB).
"""

from typing import Protocol

from gripproxy.errors import GripProxyError
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Receiver

BUFFER_MAX = 65536


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
        "_done",
        "_paused",
        "_pieces",
        "_receiver",
        "_size",
        "_tap",
        "_trailers",
        "failure",
    )

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._pieces: list[bytes] = []
        self._size = 0
        self._receiver: Receiver | None = None
        self._paused = False
        self._done = False
        self._trailers: Headers | None = None
        self.failure: GripProxyError | None = None

    # The reading side

    def put(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._receiver is not None and not self._paused and not self._pieces:
            self._receiver.body_piece(piece)
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > BUFFER_MAX:
            self._tap.pause_body()

    def finish(self, trailers: Headers | None = None) -> None:
        """Take note that the body is whole."""
        self._done = True
        self._trailers = trailers
        self._flush()

    def fail(self, error: GripProxyError) -> None:
        """Take note that the rest will not come; what has come is still handed out."""
        if self._done or self.failure is not None:
            return
        self.failure = error
        self._flush()

    def take(self) -> bytes:
        """Return all that waits here and forget it."""
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return body

    @property
    def whole(self) -> bool:
        """Whether the end has come."""
        return self._done

    # The writing side: `protocol.messages.Source`

    def start(self, receiver: Receiver) -> None:
        """Begin to hand out pieces; what is there already is handed out at once."""
        self._receiver = receiver
        self._tap.want_body()
        self._flush()

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        self._paused = True
        self._tap.pause_body()

    def resume(self) -> None:
        """Go on handing out."""
        self._paused = False
        self._flush()

    def abandon(self) -> None:
        """Drop the rest."""
        self._receiver = None
        self._pieces.clear()
        if not self._done and self.failure is None:
            self._tap.abandon_body()

    def _flush(self) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        pieces = self._pieces
        while pieces and not self._paused:
            piece = pieces.pop(0)
            self._size -= len(piece)
            receiver.body_piece(piece)
        if pieces or self._paused:
            return
        if self._done:
            self._receiver = None
            receiver.body_end(self._trailers)
        elif self.failure is not None:
            self._receiver = None
            receiver.body_failed(self.failure)
        else:
            self._tap.resume_body()

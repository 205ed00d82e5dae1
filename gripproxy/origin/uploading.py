"""A request's body on its way to an origin (proxying.md 1, 8.1)."""

from typing import Protocol

from gripproxy.errors import GripProxyError
from gripproxy.protocol import wire
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Source

# A chunked body is collected so far, so that small ones always have a length: many WSGI servers
# read no chunked bodies.
PREFETCH = 10_000


class Owner(Protocol):
    """The connection that a request goes out on."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def upload_ended(self) -> None:
        """Take note that all of the request has been sent."""

    def upload_failed(self, error: GripProxyError) -> None:
        """Take note that the rest of the request will not come."""


class Upload:
    """Sends a body as it comes: satisfies `protocol.messages.Receiver`."""

    __slots__ = ("_chunked", "_head", "_owner", "_prefetch", "_size", "_source")

    def __init__(self, owner: Owner, source: Source) -> None:
        self._owner = owner
        self._source = source
        self._head = b""
        self._chunked = False
        self._prefetch: list[bytes] | None = None  # while it is not known how it is framed
        self._size = 0

    def start(self, head: bytes, length: int | None) -> None:
        """Send a head, which lacks its framing and its last line, and then the body."""
        if length is None:
            self._head = head
            self._prefetch = []
        else:
            self._owner.write(b"%bContent-Length: %d\r\n\r\n" % (head, length))
        self._source.start(self)

    @property
    def unwritten(self) -> bool:
        """Whether nothing of the request has been sent."""
        return self._prefetch is not None

    def pause(self) -> None:
        """Wait: the origin takes no more for now."""
        self._source.pause()

    def resume(self) -> None:
        """Go on."""
        self._source.resume()

    def abandon(self) -> None:
        """Send nothing more."""
        self._source.abandon()

    # What the source says

    def body_piece(self, piece: bytes) -> None:
        if self._prefetch is None:
            self._owner.write(wire.chunk(piece) if self._chunked else piece)
            return
        self._prefetch.append(piece)
        self._size += len(piece)
        if self._size >= PREFETCH:
            body = b"".join(self._prefetch)
            self._prefetch = None
            self._chunked = True
            head = b"%bTransfer-Encoding: chunked\r\n\r\n" % self._head
            self._owner.write(head + wire.chunk(body))

    def body_end(self, trailers: Headers | None) -> None:
        """Finish the request; its trailers are dropped."""
        if self._prefetch is not None:
            body = b"".join(self._prefetch)
            self._prefetch = None
            self._owner.write(b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body))
        elif self._chunked:
            self._owner.write(wire.LAST_CHUNK)
        self._owner.upload_ended()

    def body_failed(self, error: GripProxyError) -> None:
        """Give the exchange up: half a request must never look whole."""
        self._owner.upload_failed(error)

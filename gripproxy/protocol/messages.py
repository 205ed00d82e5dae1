"""HTTP messages as values, and what a body is (RFC 9110, 9112).

A message is parsed once and kept as fields and body; whoever sends it on frames it anew. So
neither `Content-Length` nor `Transfer-Encoding` of a peer is ever copied (proxying.md 17).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from gripproxy.errors import GripProxyError
from gripproxy.protocol.headers import Headers


class Receiver(Protocol):
    """Takes a body that is pushed to it."""

    def body_piece(self, piece: bytes) -> None:
        """Take the next bytes; the source is paused or resumed by whoever takes them."""

    def body_end(self, trailers: Headers | None) -> None:
        """Take the end of a body that is whole."""

    def body_failed(self, error: GripProxyError) -> None:
        """Learn that the rest will never come."""


class Source(Protocol):
    """A body that is not here yet. It is pushed, so that both directions flow at once."""

    def start(self, receiver: Receiver) -> None:
        """Begin to hand out pieces; what is there already is handed out at once."""

    def pause(self) -> None:
        """Hand out nothing until `resume`: the receiver is full."""

    def resume(self) -> None:
        """Go on handing out."""

    def abandon(self) -> None:
        """Nobody wants the rest."""


Body = bytes | Source


# Not frozen, though nobody changes them: hot, two a request; freezing costs 0.2 us each
# (bench/scenarios.py, proxy-plain).
@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """A request.

    `target` is in origin form, or `*`; `authority` is the host as the client sent it. `length` is
    that of the body in bytes, None if only its end will tell. `version` is the minor one:
    HTTP/1.`version`. `peer` is the client's address, empty for Unix sockets.
    """

    method: bytes
    target: bytes
    headers: Headers
    scheme: bytes = b"http"
    authority: bytes = b"localhost"
    version: int = 1
    body: Body = b""
    length: int | None = 0
    peer: str = ""
    websocket: bool = False
    over_http: bool = False  # carries events of a WebSocket (websockets.md 4)
    prefix: bytes = b""  # field lines that are ready, sent before `headers`

    @property
    def host(self) -> bytes:
        """The host without port and brackets, in lower case."""
        return split_authority(self.authority)[0]

    @property
    def path(self) -> bytes:
        """The path as sent, without the query."""
        return self.target.partition(b"?")[0]

    @property
    def uri(self) -> bytes:
        """The absolute URI, with the scheme `ws` or `wss` for a WebSocket."""
        scheme = self.scheme
        if self.websocket:
            scheme = b"wss" if scheme == b"https" else b"ws"
        return b"%b://%b%b" % (scheme, self.authority, self.target)


@dataclass(slots=True, eq=False, kw_only=True)
class Response:
    """A response. `length` as in `Request`; `version` is the origin's minor one.

    Where a status or a method forbids a body, `length` is what the header fields say of it.
    `trailers` are those of a body that is bytes; a `Source` tells its own at its end.
    """

    status: int
    reason: bytes
    headers: Headers
    body: Body = b""
    length: int | None = 0
    version: int = 1
    trailers: Headers | None = None


_PORT_DIGITS_MAX = 16


# The same few hosts come again and again.
@lru_cache(maxsize=1024)
def split_authority(authority: bytes) -> tuple[bytes, int | None]:
    """Split `host[:port]`: the host in lower case without brackets, the port or None.

    Leading zeros are fine; a port that no socket has is None.
    """
    host, colon, port = authority.rpartition(b":")
    if not colon or b"]" in port:
        host, port = authority, b""
    if host.startswith(b"[") and host.endswith(b"]"):
        host = host[1:-1]
    # Some thousand digits are more than int() takes.
    number = int(port) if port.isdigit() and len(port) <= _PORT_DIGITS_MAX else None
    return host.lower(), number if number is not None and number <= 65535 else None


def has_body(method: bytes, status: int) -> bool:
    """Tell whether a response to this method with this status carries a body (RFC 9110 6.4.1)."""
    if status == 200:
        return method != b"HEAD"
    return not (method == b"HEAD" or status in (204, 304) or 100 <= status < 200)

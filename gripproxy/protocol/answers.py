"""Answers that the proxy makes itself: errors, with their reasons (proxying.md 8.2, 17)."""

from gripproxy.errors import (
    GripProxyError,
    InstructError,
    OriginError,
    OriginTimeoutError,
    RequestError,
)
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.phrases import phrase

GENERIC = "Error while proxying to origin."
NO_ROUTE = "Route not found"


def text(status: int, body: str, *, error: str = "", details: str = "") -> Response:
    """Return a plain text answer; `error` is its type of RFC 9209, `details` its debug text."""
    content = body.encode() + b"\n"
    pairs = [(b"Content-Type", b"text/plain")]
    if error:
        pairs.append((b"Proxy-Status", _proxy_status(error, details)))
    return Response(
        status=status,
        reason=phrase(status),
        headers=Headers(pairs),
        body=content,
        length=len(content),
    )


def no_route(*, websocket: bool = False) -> Response:
    """Return the answer to a request that no route takes (without a type: websockets.md 1.3)."""
    response = text(502, NO_ROUTE, error="destination_not_found")
    if websocket:
        response.headers = response.headers.without(b"content-type")
    return response


def last_hop(method: bytes) -> Response:
    """Return the answer to a request that may not be forwarded (`Max-Forwards: 0`)."""
    if method == b"OPTIONS":
        return Response(status=200, reason=phrase(200), headers=Headers())
    response = text(405, "TRACE is not answered here.", error="http_request_error")
    response.headers = response.headers.plus((b"Allow", b"GET, HEAD, OPTIONS, POST, PUT, DELETE"))
    return response


def of_request_error(error: RequestError) -> Response:
    """Return the answer to a request that is malformed or over a limit."""
    kind = "proxy_loop_detected" if error.status == 508 else "http_request_error"
    response = text(error.status, error.text, error=kind)
    if error.status == 426:
        response.headers = response.headers.plus(
            (b"Sec-WebSocket-Version", b"13"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
        )
    return response


def of_origin_error(error: GripProxyError, *, debug: bool) -> Response:
    """Return the answer to a request that its origin did not answer: 502 or 504."""
    status = 504 if isinstance(error, OriginTimeoutError) else 502
    kind = error.kind if isinstance(error, OriginError) else "proxy_internal_response"
    said = str(error)
    if isinstance(error, InstructError):
        said = f"Failed to parse accept instructions: {error.text}"
    if not debug:
        return text(status, GENERIC, error=kind)
    return text(status, said, error=kind, details=said)


def _proxy_status(error: str, details: str) -> bytes:
    value = f"gripproxy; error={error}"
    if details:
        quoted = details.replace("\\", "\\\\").replace('"', '\\"')
        printable = "".join(c if " " <= c <= "~" else "?" for c in quoted)
        value += f'; details="{printable}"'
    return value.encode("ascii")

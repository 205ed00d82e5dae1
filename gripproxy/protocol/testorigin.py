"""The built-in origin, target `test`: a GRIP application to try the proxy with.

Specification: proxying.md 12, websockets.md 7. Whether what it says is obeyed depends on the
route, as with any origin.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gripproxy.protocol import headers as fields
from gripproxy.protocol import jsontext
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.phrases import phrase

BODY_MAX: Final = 100_000

_PLAIN: Final = (b"Content-Type", b"text/plain")
_GREETING: Final = b"Hello from the gripproxy test handler!\n"
_HOLDS: Final = {
    b"/response": (b"response", b"nothing for now\n"),
    b"/stream": (b"stream", b"[stream opened]\n"),
}

# Channels come from a query: what they say must stay one value of one field.
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


def answer(request: Request, path_beg: bytes) -> Response:
    """Return the response to a request on a route with this `path_beg`."""
    path = _path(request, path_beg)
    body = request.body
    length = len(body) if isinstance(body, bytes) else request.length
    if length is not None and length > BODY_MAX:
        return _text(400, b"request too large\n")
    if path == b"/":
        return _text(200, _GREETING)
    if path not in _HOLDS:
        return _text(404, b"no such test resource\n")
    mode, content = _HOLDS[path]
    channels = b", ".join([_CONTROL.sub(b" ", channel) for channel in _channels(request)])
    return _text(200, content, (b"Grip-Hold", mode), (b"Grip-Channel", channels))


def accept(request: Request, path_beg: bytes) -> Response:
    """Return the response to a WebSocket handshake: 101, or a refusal."""
    if _path(request, path_beg) != b"/ws":
        return _text(404, b"no such test resource\n")
    extensions = [(b"Sec-WebSocket-Extensions", b"grip")] if _is_offered(request) else []
    return Response(status=101, reason=phrase(101), headers=Headers(extensions))


def greetings(request: Request) -> list[bytes]:
    """Return the text messages that the origin sends first: its subscriptions."""
    if not _is_offered(request):
        return []
    return [
        b"c:"
        + jsontext.encode({"channel": channel.decode("utf-8", "replace"), "type": "subscribe"})
        for channel in _channels(request)
    ]


def echo(request: Request, payload: bytes) -> bytes:
    """Return the message that the origin sends back for one of the client's."""
    return b"m:" + payload if _is_offered(request) else payload


def _path(request: Request, path_beg: bytes) -> bytes:
    """Return the path behind `path_beg`, whose last slash stays, without a slash at the end."""
    path = request.path
    if path.startswith(path_beg):
        path = path[len(path_beg.removesuffix(b"/")) :]
    return path if path == b"/" else path.removesuffix(b"/")


def _channels(request: Request) -> list[bytes]:
    """Return the channels of the query in their order."""
    query = request.target.partition(b"?")[2]
    pairs = [part.partition(b"=") for part in query.split(b"&")]
    named = [unquote_to_bytes(value) for name, _, value in pairs if name == b"channel" and value]
    return named or [b"test"]


def _is_offered(request: Request) -> bool:
    """Tell whether the proxy offers GRIP, which it does not on a `no_grip` route."""
    offers = request.headers.get_all(b"sec-websocket-extensions")
    return b"grip" in fields.tokens(offers)


def _text(status: int, body: bytes, *pairs: tuple[bytes, bytes]) -> Response:
    return Response(
        status=status,
        reason=phrase(status),
        headers=Headers([_PLAIN, *pairs]),
        body=body,
        length=len(body),
    )

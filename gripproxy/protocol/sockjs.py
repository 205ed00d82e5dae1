"""SockJS: what a page asks for, and the frames and answers that it gets.

Specification: websockets.md 8. A path below a route's `sockjs` says what is wanted (`place`), the
query perhaps the callback of a script (`callback`). What a session says to its page are frames:
`o`, `h`, `a[…]` and `c[…]`; what the page says to it is a JSON array of texts.
"""

import codecs
import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

from gripproxy.errors import PacketError, RequestError
from gripproxy.protocol import headers as fields
from gripproxy.protocol import jsontext
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.phrases import phrase

# The largest body that is read of a page's request.
BODY_MAX: Final = 100_000
# The largest frame of a framed WebSocket that is taken from a page.
FRAME_MAX: Final = 400_000
# What may wait for a page that does not poll, as it will be sent.
WAITING_MAX: Final = 200_000

HEARTBEAT_SECONDS: Final = 25.0
# How long a session waits for the next poll, and for how long one that is over says so.
SESSION_SECONDS: Final = 5.0

# Names at the end of a session's path, and the methods that may use them.
XHR, XHR_SEND, JSONP, JSONP_SEND = b"xhr", b"xhr_send", b"jsonp", b"jsonp_send"
METHODS: Final = {
    XHR: (b"POST",),
    XHR_SEND: (b"POST",),
    JSONP: (b"GET", b"POST"),
    JSONP_SEND: (b"GET", b"POST"),
}

_CALLBACK: Final = re.compile(rb"[A-Za-z0-9_.$]{1,128}")
_CALLBACK_NAMES: Final = (b"callback", b"c")  # the first one wins
_IFRAME: Final = re.compile(rb"/iframe[^/]*\.html")


# Paths and queries


class What(Enum):
    """What a path below a route's `sockjs` stands for."""

    GREETING = "the greeting"
    DESCRIPTION = "what this server can do"
    IFRAME = "the page for a hidden frame"
    RAW = "a WebSocket without frames of SockJS"
    SESSION = "a session"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Place:
    """What is wanted, and of a session its name and the last part of the path."""

    what: What
    session: bytes = b""
    name: bytes = b""


_PLACES: Final = {
    b"": Place(What.GREETING),
    b"/": Place(What.GREETING),
    b"/info": Place(What.DESCRIPTION),
    b"/websocket": Place(What.RAW),
}
_NOTHING: Final = Place(What.NOTHING)


def place(path: bytes, base: bytes) -> Place:
    """Return what a path stands for that begins with `base`, a route's `sockjs`."""
    rest = path[len(base.rstrip(b"/")) :]
    found = _PLACES.get(rest)
    if found is not None:
        return found
    if _IFRAME.fullmatch(rest):
        return Place(What.IFRAME)
    start, *parts = rest.split(b"/")
    # The first part names a server of a farm, and all of that is one here.
    if start or len(parts) != 3 or not all(parts):
        return _NOTHING
    return Place(What.SESSION, parts[1], parts[2])


def callback(target: bytes) -> bytes | None:
    """Return the name of the function that a target's query wants called, None if there is none.

    Raises:
        RequestError: 400 for a name that is none: it would be run by the page.
    """
    query = target.partition(b"?")[2]
    for name in _CALLBACK_NAMES:
        found = form_value(query, name)
        if found is not None:
            if _CALLBACK.fullmatch(found) is None:
                raise RequestError(400, "Bad Request")
            return found
    return None


def form_value(form: bytes, name: bytes) -> bytes | None:
    """Return the first value of a name in a form or a query, None if it has none."""
    for part in form.split(b"&"):
        key, equals, value = part.partition(b"=")
        if equals and key == name:
            return unquote_to_bytes(value.replace(b"+", b" "))
    return None


def origin_path(base: bytes, as_path: bytes, *, polled: bool) -> bytes:
    """Return the path that the origin sees; `as_path` is a route's `sockjs_as_path`."""
    if as_path:
        return as_path
    return base if polled else base.rstrip(b"/") + b"/websocket"


def origin_query(target: bytes, *, script: bool) -> bytes:
    """Return what goes behind that path: the query, of a script without its callback."""
    query = target.partition(b"?")[2]
    if script:
        parts = query.split(b"&")
        query = b"&".join([p for p in parts if p.partition(b"=")[0] not in _CALLBACK_NAMES])
    return b"?" + query if query else b""


# Frames

OPEN: Final = b"o"
HEARTBEAT: Final = b"h"

# No browser's script may have these in a text as they are.
_SEPARATORS: Final = (("\u2028".encode(), rb"\u2028"), ("\u2029".encode(), rb"\u2029"))


def quoted(text: str) -> bytes:
    """Return a text as a JSON string in UTF-8."""
    written = jsontext.encode(text)
    for character, escaped in _SEPARATORS:
        written = written.replace(character, escaped)
    return written


def message(payload: bytes) -> bytes:
    """Return a message as it stands in an `a` frame; what is not UTF-8 becomes U+FFFD."""
    return quoted(payload.decode("utf-8", "replace"))


def messages(written: bytes | bytearray) -> bytes:
    """Return the frame of messages that are written by `message`, with commas between them."""
    return b"a[" + written + b"]"


class Writer:
    """Writes frames of one message each, in pieces as the messages come."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, payload: bytes, *, first: bool, last: bool) -> bytes:
        """Return what a piece of a message becomes."""
        if first and last:
            return messages(message(payload))
        text = quoted(self._decoder.decode(payload, last))[1:-1]
        if last:
            self._decoder.reset()
        return b"%b%b%b" % (b'a["' if first else b"", text, b'"]' if last else b"")


def closed(code: int | None, reason: str) -> bytes:
    """Return the frame that says that a session is over."""
    return b"c[%d,%b]" % (code or 0, quoted(reason or "Connection closed"))


STILL_OPEN: Final = closed(2010, "Another connection still open")
CLIENT_CLOSED: Final = closed(3000, "Client already closed connection")


def unframed(frame: bytes) -> tuple[int, bytes]:
    """Return opcode and payload of a WebSocket frame for a client: whole, as it was encoded."""
    return frame[0] & 0x0F, frame[2 + _LONG_SIZES.get(frame[1], 0) :]


_LONG_SIZES: Final = {126: 2, 127: 8}


def read_messages(text: bytes) -> list[bytes] | None:
    """Return the messages that a page sends, None if it is not an array of texts."""
    try:
        told = jsontext.decode(text)
    except PacketError:
        return None
    if not isinstance(told, list):
        return None
    found = [one.encode() for one in told if isinstance(one, str)]
    return found if len(found) == len(told) else None


# Answers

Pair = tuple[bytes, bytes]

_TEXT: Final = b"text/plain"
_UTF8_TEXT: Final = b"text/plain; charset=UTF-8"
_JSON: Final = b"application/json; charset=UTF-8"
_HTML: Final = b"text/html; charset=UTF-8"
_SCRIPT: Final = b"application/javascript"

_YEAR: Final = b"31536000"
_NOT_STORED: Final = (b"Cache-Control", b"no-store, no-cache, must-revalidate, max-age=0")
_STORED: Final = (b"Cache-Control", b"public, max-age=" + _YEAR)
_OURS: Final = (
    b"cache-control",
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
)


@dataclass(frozen=True, slots=True)
class Page:
    """Who asks: its `Origin`, and the function by which its script wants to be told."""

    origin: bytes | None
    callback: bytes | None = None

    def greeting(self) -> Response:
        """Return the greeting."""
        return self._answer(200, _UTF8_TEXT, b"Welcome to SockJS!\n")

    def description(self, entropy: int) -> Response:
        """Return what this server can do; `entropy` is random, of 32 bits."""
        told = jsontext.encode(
            {"cookie_needed": False, "entropy": entropy, "origins": ["*:*"], "websocket": True}
        )
        return self._answer(200, _JSON, told + b"\n")

    def iframe(self, script_url: str, asked: Sequence[bytes]) -> Response:
        """Return the page for a hidden frame, or 304 if an `If-None-Match` in `asked` has it."""
        content = _IFRAME_PAGE % html.escape(script_url).encode()
        tag = b'"%b"' % hashlib.md5(content, usedforsecurity=False).hexdigest().encode()
        # It is stored, and its fields depend on who asked for it.
        more = ((b"ETag", tag), (b"Vary", b"Origin"))
        if tag in [one.removeprefix(b"W/") for one in fields.split_list(asked)]:
            return self._answer(304, _HTML, b"", *more, caching=_STORED)
        return self._answer(200, _HTML, content, *more, caching=_STORED)

    def preflight(self, asked: Sequence[bytes]) -> Response:
        """Return the answer to `OPTIONS`; `asked` are its `Access-Control-Request-Headers`."""
        more: list[Pair] = [
            (b"Access-Control-Allow-Methods", b"OPTIONS, POST"),
            (b"Access-Control-Max-Age", _YEAR),
        ]
        wanted = b", ".join([one for one in fields.split_list(asked) if one])
        if wanted:
            more.append((b"Access-Control-Allow-Headers", wanted))
        return self._answer(204, _TEXT, b"", *more)

    def frame(self, frame: bytes) -> Response:
        """Return the answer to a poll."""
        return self._told(frame, frame + b"\n")

    def taken(self, name: bytes) -> Response:
        """Return the answer to messages that have been taken, by `XHR_SEND` or `JSONP_SEND`."""
        if name == XHR_SEND:
            return self._answer(204, _TEXT, b"")
        return self._told(b"ok", b"ok")

    def error(self, status: int, text: str) -> Response:
        """Return an answer that says what went wrong; never as a script."""
        return self._answer(status, _TEXT, text.encode() + b"\n")

    def refused(self, response: Response) -> Response:
        """Return what an origin says to a session that it does not want; its body is kept."""
        response.headers = response.headers.without(*_OURS).plus(_NOT_STORED, *self._allowing())
        return response

    def _told(self, frame: bytes, plain: bytes) -> Response:
        if self.callback is None:
            return self._answer(200, _TEXT, plain)
        content = b"/**/%b(%b);\n" % (self.callback, quoted(frame.decode()))
        return self._answer(200, _SCRIPT, content)

    def _answer(
        self, status: int, kind: bytes, content: bytes, *more: Pair, caching: Pair = _NOT_STORED
    ) -> Response:
        pairs = [(b"Content-Type", kind), *more, caching, *self._allowing()]
        return Response(
            status=status,
            reason=phrase(status),
            headers=Headers(pairs),
            body=content,
            length=len(content),
        )

    def _allowing(self) -> tuple[Pair, ...]:
        return (
            (b"Access-Control-Allow-Origin", self.origin or b"*"),
            (b"Access-Control-Allow-Credentials", b"true"),
        )


_IFRAME_PAGE: Final = b"""\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>SockJS</title>
<script src="%b"></script>
<script>
document.domain = document.domain;
SockJS.bootstrap_iframe();
</script>
</head>
<body>
<p>A page of another site speaks through this one.</p>
</body>
</html>
"""

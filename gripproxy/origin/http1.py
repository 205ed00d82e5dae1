"""One connection to an origin: a request out, a response in (proxying.md 8, 10, 17).

One exchange at a time. The response's head completes a future; its body is a `Pipe` unless it is
all there by the time the head is looked at, which is the usual case for small ones.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from gripproxy.engine.pipe import Pipe
from gripproxy.errors import ExchangeError, GripProxyError, OriginTimeoutError, PeerError
from gripproxy.protocol import headers as fields
from gripproxy.protocol import wire
from gripproxy.protocol.headers import Field, Headers
from gripproxy.protocol.messages import Request, Response, Source, has_body

HEAD_MAX = 65536
FIELDS_MAX = 200
# A chunked request body is collected so far, so that small ones always have a length: many WSGI
# servers read no chunked bodies (proxying.md 1).
PREFETCH = 10_000

_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([^\r\n\x00]*))?\r\n")
_LENGTHLESS = frozenset((b"GET", b"HEAD", b"OPTIONS"))

Interim = Callable[[int, bytes, Headers], None]


class Owner(Protocol):
    """What a connection needs of its pool."""

    loop: asyncio.AbstractEventLoop

    def idle(self, connection: "Connection") -> None:
        """Take back a connection that can serve another exchange."""

    def lost(self, connection: "Connection") -> None:
        """Take note that a connection is gone."""


class Connection(asyncio.Protocol):
    """A connection to an origin, idle or in one exchange."""

    __slots__ = (
        "_blocked",
        "_buffer",
        "_chunked_out",
        "_codings",
        "_done",
        "_error",
        "_head",
        "_headers",
        "_interim",
        "_left",
        "_marks",
        "_method",
        "_owner",
        "_parser",
        "_paused",
        "_pipe",
        "_prefetch",
        "_prefix",
        "_reason",
        "_sent",
        "_status",
        "_trailers",
        "_unanswered",
        "_upload",
        "_version",
        "_websocket",
        "busy",
        "key",
        "since",
        "transport",
        "used",
    )

    def __init__(self, owner: Owner, key: object) -> None:
        self._owner = owner
        self.key = key
        self.transport: asyncio.Transport
        self.busy = False
        self.used = False  # whether it has served an exchange before
        self.since = 0.0
        self._parser: httptools.HttpResponseParser | None = None
        self._buffer = b""
        self._headers: list[Field] = []
        self._marks = 0
        self._trailers: list[Field] | None = None
        self._reset()

    def _reset(self) -> None:
        self._head: asyncio.Future[Response] | None = None
        self._pipe: Pipe | None = None
        self._left: int | None = None  # bytes of body to come, where a length says so
        self._codings = False
        self._done = False  # the response is whole
        self._sent = False  # the request is whole
        self._blocked = False  # much of it waits to be written
        self._unanswered = True
        self._upload: Source | None = None
        self._chunked_out = False
        self._prefetch: list[bytes] | None = None
        self._prefix = b""
        self._interim: Interim | None = None
        self._error: GripProxyError | None = None
        self._paused = False
        self._method = b""
        self._websocket = False
        self._status = 0
        self._reason = b""
        self._version = 1

    def __repr__(self) -> str:
        return f"<origin Connection {self.key!r} {'busy' if self.busy else 'idle'}>"

    # One exchange

    async def exchange(self, request: Request, interim: Interim | None) -> Response:
        """Send a request; return when the head of its final response is there.

        Raises:
            ExchangeError: no valid response came.
            OriginTimeoutError: nothing came for too long.
            GripProxyError: the request's own body broke off.
        """
        self._reset()
        self.busy = True
        self.since = self._owner.loop.time()
        self._method = request.method
        self._websocket = request.websocket
        self._interim = interim
        self._head = self._owner.loop.create_future()
        self._send(request)
        try:
            response = await self._head
        except BaseException:
            self.abort()
            raise
        body = response.body
        if isinstance(body, Pipe) and body.whole and not self._trailers:
            response.body = body.take()
            response.length = len(response.body)
        return response

    def _send(self, request: Request) -> None:
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b" % (
            request.method,
            request.target,
            request.authority,
            request.prefix,
            request.headers.encode(),
        )
        body = request.body
        if isinstance(body, bytes):
            self._sent = True
            if body:
                self.transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
            elif request.method in _LENGTHLESS or request.websocket:
                self.transport.write(head + b"\r\n")
            else:
                self.transport.write(head + b"Content-Length: 0\r\n\r\n")
            return
        self._upload = body
        if request.length is not None:
            self.transport.write(b"%bContent-Length: %d\r\n\r\n" % (head, request.length))
        else:
            self._prefix = head
            self._prefetch = []
        body.start(self)

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """Give up the transport after a 101, with the frames that have come already."""
        self.busy = False
        early, self._buffer = self._buffer, b""
        self._owner.lost(self)
        return self.transport, early

    # As the receiver of the request's body

    def body_piece(self, piece: bytes) -> None:
        """Send a piece of the request's body on."""
        self.since = self._owner.loop.time()
        if self._prefetch is not None:
            self._prefetch.append(piece)
            if sum(map(len, self._prefetch)) >= PREFETCH:
                self._chunked_out = True
                body = b"".join(self._prefetch)
                self._prefetch = None
                head = b"%bTransfer-Encoding: chunked\r\n\r\n" % self._prefix
                self.transport.write(head + wire.chunk(body))
            return
        self.transport.write(wire.chunk(piece) if self._chunked_out else piece)

    def body_end(self, trailers: Headers | None) -> None:
        """Finish the request; its trailers are dropped."""
        if self._prefetch is not None:
            body = b"".join(self._prefetch)
            self._prefetch = None
            head = b"%bContent-Length: %d\r\n\r\n" % (self._prefix, len(body))
            self.transport.write(head + body)
        elif self._chunked_out:
            self.transport.write(wire.LAST_CHUNK)
        self._sent = True
        self._upload = None
        self._maybe_idle()

    def body_failed(self, error: GripProxyError) -> None:
        """Give the exchange up: half a request must never look whole."""
        self._upload = None
        self._fail(error)
        self.abort()

    def pause_writing(self) -> None:
        self._blocked = True
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._upload is not None:
            self._upload.resume()

    # Up-calls of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=65536, low=16384)

    def data_received(self, data: bytes) -> None:
        if self._status == 101:
            self._buffer += data  # frames; whoever takes the WebSocket over takes them too
            return
        if not self.busy or self._done:
            self.abort()  # nobody asked: what it means cannot be known
            return
        self.since = self._owner.loop.time()
        self._unanswered = False
        try:
            while data:
                data = self._take_head(data) if self._pipe is None else self._take_body(data)
        except httptools.HttpParserError as error:
            self._invalid(_reason(error))
        except PeerError as error:
            self._invalid(error.text)

    def eof_received(self) -> bool:
        if self._pipe is not None and not self._done and self._left is None and not self._codings:
            self._complete(reusable=False)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        text = "closed the connection before responding."
        if self._pipe is not None:
            text = "closed the connection in the middle of its response."
        self._fail(
            ExchangeError(
                "connection_terminated" if self._pipe is None else "http_response_incomplete",
                text,
                unsent=self._blocked or not self._sent,
                unanswered=self._unanswered,
            )
        )
        self._owner.lost(self)

    # The response

    def _take_head(self, data: bytes) -> bytes:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = data.find(_HEAD_END, 0, HEAD_MAX)
        if end < 0:
            if len(data) >= HEAD_MAX:
                raise PeerError("its header is too large")
            self._buffer = data
            return b""
        end += 4
        found = _STATUS.match(data)
        if found is None:
            raise PeerError("invalid status line")
        self._version = 1 if found[1] == b"1" else 0
        self._status = status = int(found[2])
        self._reason = found[3] or b""
        self._parse_fields(data[:end], status)
        rest = data[end:]
        if status == 101 and self._websocket:
            self._buffer = rest
            self._answer(status, b"")
            return b""
        if status < 200:
            self._take_interim(status)
        else:
            self._answer(status, rest)
        return rest

    def _parse_fields(self, head: bytes, status: int) -> None:
        self._headers = []
        self._marks = 0
        self._trailers = None
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = None
        if not has_body(self._method, status):
            self._parser = None  # it would wait for a body, or has stopped

    def on_header(self, text: bytes, value: bytes) -> None:
        """Take a field of the head, or a trailer."""
        name = fields.name(text)
        if self._trailers is not None:
            self._trailers.append((name, value.strip(b" \t")))
            return
        if len(self._headers) >= FIELDS_MAX:
            raise PeerError("too many header fields")
        self._marks |= name.mark
        self._headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take note that fields from now on are trailers."""
        self._trailers = []

    def _take_interim(self, status: int) -> None:
        if status == 101:
            raise PeerError("101 without a request to upgrade")
        if status != 100 and self._interim is not None:
            self._interim(status, self._reason, Headers.of(self._headers, self._marks))
        self._parser = None

    def _answer(self, status: int, rest: bytes) -> None:
        """Complete the future with the head; the body's framing is settled here."""
        headers = Headers.of(self._headers, self._marks)
        length = self._length(headers)
        nature = has_body(self._method, status)
        response = Response(
            status=status,
            reason=self._reason,
            headers=headers,
            length=length,
            version=self._version,
        )
        waiting = self._head
        if not nature or length == 0:
            self._pipe = None
            self._left = 0
            self._complete(reusable=not rest)
        else:
            response.body = self._pipe = Pipe(self)
            self._left = length
        if waiting is not None and not waiting.done():
            waiting.set_result(response)

    def _length(self, headers: Headers) -> int | None:
        """Return the body's length by RFC 9112 6.3, or None; refuse all that is ambiguous."""
        marks = headers.marks
        self._codings = bool(marks & fields.TRANSFER_ENCODING)
        if not marks & (fields.TRANSFER_ENCODING | fields.CONTENT_LENGTH):
            return None
        codings = headers.get_all(b"transfer-encoding") if self._codings else []
        lengths = headers.get_all(b"content-length")
        if codings:
            if lengths or len(codings) > 1 or codings[0].lower() != b"chunked":
                raise PeerError("ambiguous or unknown Transfer-Encoding")
            return None
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
            raise PeerError("invalid Content-Length")
        return int(lengths[0])

    def _take_body(self, data: bytes) -> bytes:
        if self._done:
            self._surplus()
            return b""
        assert self._parser is not None
        if self._left is not None:
            piece = data if len(data) <= self._left else data[: self._left]
            self._left -= len(piece)
            self._parser.feed_data(piece)
            if self._left == 0 and not self._done:
                self._complete(reusable=True)
            if len(piece) < len(data):
                self._surplus()
            return b""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.whole:
                raise
            self._surplus()
        return b""

    @property
    def whole(self) -> bool:
        """Whether all of the response has come."""
        return self._done

    def on_message_begin(self) -> None:
        """Take note of bytes behind a whole response, if that is what they are."""
        if self._done:
            self._surplus()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._pipe is not None and not self._done:
            self._pipe.put(piece)

    def on_message_complete(self) -> None:
        """Take note that the message is over, where a body was awaited."""
        if self._pipe is not None and not self._done:
            self._complete(reusable=True)

    def _complete(self, *, reusable: bool) -> None:
        self._done = True
        if self._pipe is not None:
            trailers = self._trailers
            self._pipe.finish(Headers(((n.text, v) for n, v in trailers)) if trailers else None)
        if self._status == 101:
            return
        if not reusable or not self._keeps_alive():
            self.transport.close()
            return
        self._maybe_idle()

    def _keeps_alive(self) -> bool:
        if not self._marks & fields.CONNECTION:
            return self._version == 1
        named = fields.tokens([v for f, v in self._headers if f.mark & fields.CONNECTION])
        return b"close" not in named and (self._version == 1 or b"keep-alive" in named)

    def _maybe_idle(self) -> None:
        """Go back to the pool when both directions are over."""
        if self._done and self._sent and self.busy and not self.transport.is_closing():
            self.busy = False
            self.used = True
            self._headers = []
            self._head = None
            self._pipe = None
            if self._paused:
                self.resume_body()
            self.since = self._owner.loop.time()
            self._owner.idle(self)

    def _surplus(self) -> None:
        """Drop bytes behind a response, and the connection with them."""
        self.abort()

    # Failures

    def _invalid(self, text: str) -> None:
        kind = "http_protocol_error"
        if "too large" in text or "too many" in text:
            kind = "http_response_header_section_size"
        self._fail(ExchangeError(kind, f"sent an invalid response: {text}."))
        self.abort()

    def _fail(self, error: GripProxyError) -> None:
        head, pipe = self._head, self._pipe
        if pipe is not None:
            if not self._done:
                pipe.fail(error)
        elif head is not None and not head.done():
            head.set_exception(error)
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abandon()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def overdue(self, now: float, limit: float) -> None:
        """Fail the exchange if the origin has been silent for `limit` seconds."""
        if self.busy and not self._done and not self._paused and now - self.since > limit:
            seconds = f"{limit:g}"
            text = f"did not respond within {seconds} seconds."
            self._fail(OriginTimeoutError("http_response_timeout", text))
            self.abort()

    # As the tap of the response's body

    def pause_body(self) -> None:
        """Read nothing more for now."""
        if not self._paused and not self._done and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.since = self._owner.loop.time()
            self.transport.resume_reading()

    def abandon_body(self) -> None:
        """Nobody wants the rest of the response."""
        self.abort()

    def want_body(self) -> None:
        """Nothing is to be done: the body comes by itself."""


def _reason(error: httptools.HttpParserError) -> str:
    cause = error.__context__ or error.__cause__
    if isinstance(cause, PeerError):
        return cause.text
    return str(error).lower()

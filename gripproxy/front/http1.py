"""One client connection: bytes to an `Exchange`, answers to bytes (proxying.md 2, 10, 17).

One object is the connection, its exchange and the sink of what is held on it, and one task serves
it: request after request, parked in between holds. While a request is held nothing else is kept:
no parser, no buffer (data-plane.md 2).

States: *reading* a head → *serving* (the story runs; a body may be flowing in) → answered, and
back; or *held* (the task is parked; the story is an object in the hub), or *upgraded* (a
WebSocket, `front.websocket`, has the transport).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from gripproxy.engine.pipe import Pipe
from gripproxy.engine.ports import ClientSocket, Framing, Held, Wake
from gripproxy.errors import ClientGoneError, GripProxyError, RequestError
from gripproxy.flow.ports import Exchange, Resume
from gripproxy.front.websocket import Socket
from gripproxy.protocol import cutting, requests, wire, wsdeflate, wshandshake
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Field, Headers
from gripproxy.protocol.messages import Request, Response, Source, has_body

HIGH_WATER = 65536
LOW_WATER = 16384
# What a client may still send after an early answer, so that it can read that answer
# (proxying.md 10.2).
DISCARD_MAX = 65536
DISCARD_SECONDS = 2.0

# What the parser is fed instead of the request line, which has been read already.
_START = (b"POST / HTTP/1.0", b"POST / HTTP/1.1")
_UPGRADED = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n"
_FRAMING_FIELDS = fields.CONTENT_LENGTH | fields.TRANSFER_ENCODING

# What the parser says, by a part of its words, and what we say (proxying.md 2).
_PARSER_TEXTS = (
    ("Content-Length", "invalid content length"),
    ("Transfer-Encoding", "unsupported transfer encoding"),
    ("chunk", "invalid chunk size"),
    ("whitespace after header value", "invalid header name"),
    ("header value", "invalid header value"),
    ("header token", "invalid header name"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may do (config.md 4.1). Bytes and seconds."""

    head: int = 8192
    header_timeout: float = 30.0
    idle_timeout: float = 1800.0
    body_timeout: float = 60.0
    write_timeout: float = 60.0
    write_buffer: int = 1_048_576
    ping_interval: float = 30.0
    message_max: int = 1_000_000
    compression: bool = False


class Host(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    loop: asyncio.AbstractEventLoop
    serve: Callable[[Exchange], Awaitable[None]]
    refused: Callable[[str, RequestError], Response]
    draining: bool

    def date_line(self) -> bytes:
        """Return the line `Date: …` for this second."""

    def opened(self, connection: "Connection") -> None:
        """Take note of a new connection, and start its task."""

    def closed(self, connection: "Connection") -> None:
        """Take note of its end."""

    def failed(self, connection: "Connection", error: BaseException) -> None:
        """Log what no story should have let through."""


class Connection(asyncio.Protocol):
    """A client's connection. See the module's docstring for its states."""

    __slots__ = (
        "_answered",
        "_body",
        "_buffer",
        "_chunked",
        "_continue",
        "_discard",
        "_ended",
        "_eof",
        "_headers",
        "_held",
        "_host",
        "_keep",
        "_left",
        "_marks",
        "_message_done",
        "_parser",
        "_reading_paused",
        "_relay",
        "_relay_left",
        "_resume",
        "_secure",
        "_seen",
        "_serving",
        "_socket",
        "_source",
        "_stalled",
        "_tail",
        "_waiter",
        "_waking",
        "blocked",
        "framing",
        "peer",
        "request",
        "sent",
        "shielded",
        "since",
        "task",
        "transport",
        "write",
    )

    def __init__(self, host: Host, *, secure: bool) -> None:
        self._host = host
        self._secure = secure
        self.transport: asyncio.Transport
        self.task: asyncio.Task[None] | None = None
        self.peer = ""
        self.request: Request
        self.framing = Framing.CHUNKED
        self.blocked = False
        self.sent = 0  # bytes of body of the present answer
        self.shielded = False
        self.since = 0.0  # when what we wait for began; see `overdue`
        self._buffer = b""
        self._seen = 0
        self._parser: httptools.HttpRequestParser | None = None
        self._headers: list[Field] = []
        self._marks = 0
        self._message_done = False
        self._socket: Socket | None = None
        self._source: Pipe | None = None
        self._left: int | None = 0  # bytes of a body that are still to come; None: chunked
        self._tail = b""
        self._continue = False
        self._discard = 0
        self._keep = True
        self._eof = False
        self._serving = False
        self._answered = False
        self._reading_paused = False
        self._chunked = False
        self._body: Source | None = None
        self._relay: asyncio.Future[bool] | None = None
        self._relay_left: int | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._held: Held | None = None
        self._resume: Resume | None = None
        self._waking: Wake | None = None
        self._ended = False
        self._stalled = (0, 0.0)

    def __repr__(self) -> str:
        state = "held" if self._held else "serving" if self._serving else "reading"
        if self._socket is not None:
            state = "upgraded"
        return f"<Connection {self.peer or 'local'} {state}>"

    # Up-calls of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)
        self.write = transport.write
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        address = transport.get_extra_info("peername")
        self.peer = address[0] if isinstance(address, tuple) else ""
        self.since = self._host.loop.time()
        self._host.opened(self)

    def data_received(self, data: bytes) -> None:
        self.since = self._host.loop.time()
        if self._left != 0:
            data = self._feed_body(data)
            if not data:
                return
        self._buffer = self._buffer + data if self._buffer else data
        if self._serving:
            if len(self._buffer) > self._host.limits.head:
                self._pause_reading()
        else:
            self._wake_task()

    def eof_received(self) -> bool:
        self._eof = True
        if self._left != 0:
            self._fail_body(ClientGoneError())
            return False
        if self._held is not None:
            return False  # a hold ends with its client's input (grip-http.md 4.4)
        self._wake_task()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = True
        self._fail_body(ClientGoneError())
        if self._relay is not None and not self._relay.done():
            self._relay.set_result(False)
        held = self._held
        if held is not None:
            self._held = None
            self._ended = True
            held.gone(self._host.loop.time())
        cancel = self._serving and not self._answered and not self.shielded
        if cancel and self.task is not None:
            self.task.cancel()
        self._wake_task()
        self._host.closed(self)

    def pause_writing(self) -> None:
        self.blocked = True
        if self._body is not None:
            self._body.pause()

    def resume_writing(self) -> None:
        self.blocked = False
        if self._body is not None:
            self._body.resume()
        if self._held is not None:
            self._held.writable(self._host.loop.time())

    # The task

    async def run(self) -> None:
        """Serve this connection until it ends."""
        try:
            while await self._next():
                await self._serve()
                if not self._ready_for_more():
                    break
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - the last place that can log a bug of ours
            self._host.failed(self, error)
            self.cut()
        finally:
            self._let_go()

    async def _serve(self) -> None:
        self._serving = True
        self._answered = False
        self.shielded = False
        self.sent = 0
        await self._host.serve(self)
        while self._held is not None:
            await self._park()
        self._serving = False

    async def _park(self) -> None:
        """Wait for a wake of the hold, then let its story go on."""
        self._parser = None
        if self._waking is None and not self._ended:
            await self._wait()
        reason, self._waking = self._waking, None
        held, resume = self._held, self._resume
        if self._ended or held is None or resume is None:
            self._held = self._resume = None
        elif reason is not None:
            await resume(self, held, reason)

    async def _wait(self) -> None:
        waiter = self._waiter = self._host.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake_task(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ready_for_more(self) -> bool:
        """Tidy up behind an answer; tell whether the connection serves another request."""
        if not self._keep or self._host.draining or self.transport.is_closing():
            return False
        if self._left != 0:
            return False  # the body was not read: nobody knows where the next request begins
        self._held = self._resume = self._waking = None
        self._ended = False
        self._source = None
        self._stalled = (0, 0.0)
        self.since = self._host.loop.time()
        if self._reading_paused:
            self._resume_reading()
        return True

    def _let_go(self) -> None:
        """End the connection: at once, or when a client has read an early answer."""
        if self._socket is not None:
            self._socket.drop()
            return
        if self.transport.is_closing():
            return
        if self._left != 0 and not self._eof:
            self._discard = DISCARD_MAX
            self._resume_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._host.loop.call_later(DISCARD_SECONDS, self.transport.close)
        else:
            self.transport.close()

    # Requests

    async def _next(self) -> bool:
        """Wait for a request and make it `self.request`; False if none will come."""
        while True:
            try:
                if self._buffer and self._take_head():
                    return True
            except RequestError as error:
                self._refuse(error)
                return False
            if self._eof or self.transport.is_closing():
                return False
            await self._wait()

    def _take_head(self) -> bool:
        buffer = self._buffer
        if self._seen == 0:
            blank = 0
            while buffer.startswith(b"\r\n") and blank < 2:  # robustness of RFC 9112 2.2
                buffer = self._buffer = buffer[2:]
                blank += 1
        end = cutting.find_head(buffer, self._seen, self._host.limits.head)
        if end == 0:
            self._seen = len(buffer)
            return False
        self._buffer = b""
        self._seen = 0
        self._begin_request(buffer[:end], buffer[end:])
        return True

    def _begin_request(self, head: bytes, rest: bytes) -> None:
        cut = head.index(b"\r\n")
        method, target, version = requests.start_line(head[:cut])
        self._keep = False
        headers = self._parse_fields(_START[version] + head[cut:])
        request = requests.request(
            method, target, version, headers, secure=self._secure, peer=self.peer
        )
        self.request = request
        self._keep = requests.keeps_alive(headers, version) and not self._eof
        self._left = request.length
        self._continue = False
        if request.length != 0:
            self._begin_body(request, headers, rest)
        elif rest:
            self._buffer = rest

    def _begin_body(self, request: Request, headers: Headers, rest: bytes) -> None:
        self._tail = b""
        self._message_done = False
        self._source = source = Pipe(self)
        if rest:
            rest = self._feed_body(rest)
        if source.whole:  # it is all here
            request.body = source.take()
            request.length = len(request.body)
            self._source = None
            self._buffer = rest
            return
        request.body = source
        self._continue = bool(headers.marks & fields.EXPECT) and request.version == 1

    def _parse_fields(self, head: bytes) -> Headers:
        """Let the parser read the fields of a head."""
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        self._headers = []
        self._marks = 0
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            # After another upgrade than a WebSocket's the parser would skip the body, and what it
            # skips would be read as a request: it goes on with the framing fields alone.
            self._parser = httptools.HttpRequestParser(_Silent(self))
            framing = [f for f in self._headers if f[0].mark & _FRAMING_FIELDS]
            if framing:
                line = b"POST / HTTP/1.1\r\n%b\r\n"
                self._parser.feed_data(line % Headers.of(framing, self._marks).encode())
        except httptools.HttpParserError as error:
            self._parser = None
            raise _translated(error) from error
        headers = Headers.of(self._headers, self._marks)
        self._headers = []
        return headers

    # Up-calls of the parser

    def on_header(self, text: bytes, value: bytes) -> None:
        """Take a field of the head, or a trailer, which is dropped."""
        if self._left is None and self._source is not None:
            return
        name = fields.name(text)
        if len(self._headers) >= requests.FIELDS_MAX:
            raise RequestError(431, "Failed to parse request: too many headers")
        self._marks |= name.mark
        self._headers.append((name, value.strip(b" \t")))

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._source is not None:
            self._source.put(piece)

    def on_message_complete(self) -> None:
        """Take note that the message is over."""
        self._message_done = True

    # Request bodies

    def _feed_body(self, data: bytes) -> bytes:
        """Take what belongs to the present body; return what is left over behind it."""
        if self._discard:
            self._discard -= min(self._discard, len(data))
            if self._discard == 0:
                self.transport.close()
            return b""
        if self._left is None:
            return self._feed_chunked(data)
        piece = data[: self._left] if len(data) > self._left else data
        self._left -= len(piece)
        if self._parser is not None:
            self._parser.feed_data(piece)
        if self._left == 0 and self._source is not None:
            self._source.finish()
        return data[len(piece) :]

    def _feed_chunked(self, data: bytes) -> bytes:
        at = 0
        assert self._parser is not None
        while at < len(data):
            end = cutting.possible_end(self._tail, data, at)
            try:
                self._parser.feed_data(data[at:end])
            except httptools.HttpParserError as error:
                self._parser = None
                self._fail_body(_translated(error))
                return b""
            self._tail = (self._tail + data[at:end])[-3:]
            at = end
            if self._message_done:
                self._left = 0
                self._parser = None
                if self._source is not None:
                    self._source.finish()
                return data[at:]
        return b""

    def _fail_body(self, error: GripProxyError) -> None:
        if self._left != 0:
            self._keep = False
            self._discard = DISCARD_MAX
            if self._source is not None:
                self._source.fail(error)

    # As the tap of a request's body

    def pause_body(self) -> None:
        """Read nothing more of the body for now."""
        if self._left != 0:
            self._pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._left != 0:
            self._resume_reading()

    def abandon_body(self) -> None:
        """Drop what comes: nobody wants the rest."""
        self._source = None

    def want_body(self) -> None:
        """Ask for the body that the client holds back (RFC 9110 10.1.1)."""
        if self._continue and not self._answered:
            self.transport.write(wire.CONTINUE)
        self._continue = False

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # Answers

    async def answer(self, response: Response) -> None:
        """Send a whole response; see `flow.ports.Exchange`."""
        self._held = self._resume = None
        body = response.body
        if isinstance(body, bytes):
            self._write_whole(response, body)
            return
        nature = has_body(self.request.method, response.status)
        head = self._head(response, self._framing_of(response) if nature else b"")
        self._answered = True
        if not nature:
            body.abandon()
            self.transport.write(head)
            return
        self.transport.write(head)
        self._relay_left = response.length
        if not await self._pump(body):
            self.cut()
        elif self._chunked is False and response.length is None:
            self._keep = False

    async def relay(self, body: Source) -> bool:
        """Send a body as part of a stream that goes on; see `flow.ports.Exchange`."""
        self._chunked = self.framing is Framing.CHUNKED
        self._relay_left = -1  # the stream goes on: the end of this body is not written
        return await self._pump(body)

    async def _pump(self, body: Source) -> bool:
        relay: asyncio.Future[bool] = self._host.loop.create_future()
        self._relay = relay
        self._body = body
        try:
            if self.blocked:
                body.pause()
            body.start(self)
            return await relay
        except asyncio.CancelledError:
            body.abandon()
            raise
        finally:
            self._body = self._relay = None

    # As the receiver of a relayed body

    def body_piece(self, piece: bytes) -> None:
        """Pass a piece of the origin's body on."""
        self.sent += len(piece)
        left = self._relay_left
        if self._chunked:
            self.transport.write(wire.chunk(piece))
            return
        if left is not None and left >= 0:
            self._relay_left = left - len(piece)
        self.transport.write(piece)

    def body_end(self, trailers: Headers | None) -> None:
        """Finish the relayed body."""
        if self._chunked and self._relay_left is None:
            self.transport.write(wire.last_chunk(trailers if self._wants_trailers() else None))
        if self._relay is not None and not self._relay.done():
            self._relay.set_result(not (self._relay_left is not None and self._relay_left > 0))

    def body_failed(self, error: GripProxyError) -> None:
        """Break the answer off: it must not look complete (proxying.md 10.3)."""
        if self._relay is not None and not self._relay.done():
            self._relay.set_result(False)

    def _wants_trailers(self) -> bool:
        return b"trailers" in fields.tokens(self.request.headers.get_all(b"te"))

    # As the sink of a hold

    def begin(self, response: Response) -> bool:
        """Send the head of a stream; see `flow.ports.Exchange`."""
        request = self.request
        self._answered = True
        if not has_body(request.method, response.status):
            self.transport.write(self._head(response, b""))
            return False
        self._chunked = self._keep and request.version == 1
        self.framing = Framing.CHUNKED if request.version == 1 else Framing.RAW
        self._chunked = self.framing is Framing.CHUNKED
        if request.version == 0:
            self._keep = False
        head = self._head(response, b"Transfer-Encoding: chunked\r\n" if self._chunked else b"")
        body = response.body
        assert isinstance(body, bytes)
        self.sent += len(body)
        self.transport.write(head + (wire.chunk(body) if self._chunked else body))
        return True

    def park(self, held: Held, resume: Resume) -> None:
        """Hold the connection; see `flow.ports.Exchange`."""
        self._held = held
        self._resume = resume
        self._ended = False
        if self._eof and self._socket is None:
            self._ended = True
            held.gone(self._host.loop.time())

    def pending(self) -> int:
        """Return how many bytes wait in the connection."""
        return self.transport.get_write_buffer_size()

    def end(self) -> None:
        """End the stream as its framing wants."""
        if self.framing is Framing.CHUNKED:
            self.transport.write(wire.LAST_CHUNK)
        self._done()

    def finish(self, response: Response) -> None:
        """Answer a response hold."""
        body = response.body
        assert isinstance(body, bytes)
        self._write_whole(response, body)
        self._done()

    def cut(self) -> None:
        """Close the connection at once."""
        self._keep = False
        self.transport.abort()

    def wake(self, reason: Wake) -> None:
        """Let the connection's task go on."""
        if self._waking is None or reason > self._waking:
            self._waking = reason
        self._wake_task()

    def _done(self) -> None:
        self._ended = True
        self._wake_task()

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self.transport.is_closing()

    @property
    def held(self) -> Held | None:
        """What is held on this connection."""
        return self._held

    @property
    def lasts(self) -> bool:
        """Whether it stays as it is until somebody ends it: it is held, or a WebSocket."""
        return self._held is not None or self._socket is not None

    def upgrade(self, response: Response) -> ClientSocket:
        """Answer a WebSocket handshake with 101; see `flow.ports.Exchange`."""
        self._answered = True
        self._keep = False
        self.framing = Framing.FRAMES
        asked = self.request.headers
        deflate: wsdeflate.Agreement | None = None
        if self._host.limits.compression:
            deflate = wshandshake.deflate(asked.get_all(b"sec-websocket-extensions"))
        lines = _UPGRADED % wshandshake.accept(asked.get(b"sec-websocket-key") or b"")
        if deflate is not None:
            lines += b"Sec-WebSocket-Extensions: %b\r\n" % deflate.answer
        line = wire.status_line(1, 101, response.reason)
        early, self._buffer = self._buffer, b""
        self._parser = None
        self._headers = []
        self._socket = socket = Socket(self, self._host, early, deflate)
        self.transport.set_protocol(socket)
        if not self.transport.is_closing():
            self.transport.write(wire.response_head(line, response.headers, lines, b""))
            self._resume_reading()
        return socket

    @property
    def half_closed(self) -> bool:
        """Whether the client has sent all that it will ever send."""
        return self._eof

    def upgraded_lost(self) -> None:
        """Take note that the client of a WebSocket is gone; its story says when it is over."""
        self._eof = True
        self._host.closed(self)

    # Writing

    def _write_whole(self, response: Response, body: bytes) -> None:
        self._answered = True
        if has_body(self.request.method, response.status):
            self.sent = len(body)
            head = self._head(response, b"Content-Length: %d\r\n" % len(body))
            self.transport.write(head + body)
            return
        framing = b""
        if response.status != 204 and response.length is not None and body:
            framing = b"Content-Length: %d\r\n" % len(body)
        elif response.status != 204 and response.length:
            framing = b"Content-Length: %d\r\n" % response.length
        self.transport.write(self._head(response, framing))

    def _framing_of(self, response: Response) -> bytes:
        """Choose the framing of a body that streams (proxying.md 10.2)."""
        self._chunked = False
        if response.length is not None:
            return b"Content-Length: %d\r\n" % response.length
        if self.request.version == 1:
            self._chunked = True
            return b"Transfer-Encoding: chunked\r\n"
        self._keep = False
        return b""

    def _head(self, response: Response, framing: bytes) -> bytes:
        version = self.request.version
        if self._left != 0 or self._host.draining:
            self._keep = False
        if version == 1:
            if not self._keep:
                framing = b"Connection: close\r\n" + framing
        elif self._keep:
            framing = b"Connection: keep-alive\r\n" + framing
        line = wire.status_line(version, response.status, response.reason)
        return wire.response_head(line, response.headers, framing, self._host.date_line())

    def _refuse(self, error: RequestError) -> None:
        """Answer what is no request, and close (proxying.md 2)."""
        self._keep = False
        if self.transport.is_closing():
            return
        response = self._host.refused(self.peer, error)
        body = response.body
        assert isinstance(body, bytes)
        framing = b"Connection: close\r\nContent-Length: %d\r\n" % len(body)
        line = wire.status_line(1, response.status, response.reason)
        head = wire.response_head(line, response.headers, framing, self._host.date_line())
        self.transport.write(head + body)

    # Care of the server

    def interim(self, status: int, reason: bytes, headers: Headers) -> None:
        """Pass an interim response on to an HTTP/1.1 client (RFC 9110 15.2)."""
        if self.request.version == 1 and not self._answered:
            line = wire.status_line(1, status, reason)
            self.transport.write(b"%b%b\r\n" % (line, headers.encode()))

    def overdue(self, now: float) -> None:
        """End the connection if what it waits for has not come in time; called each second."""
        limits = self._host.limits
        if self._socket is not None:
            self._socket.overdue(now)
        elif self.transport.get_write_buffer_size() and self._is_stalled(now):
            self.cut()
        elif self._held is not None or (self._serving and self._left == 0):
            return
        elif self._serving:
            if not self._reading_paused and now - self.since > limits.body_timeout:
                self._fail_body(RequestError(408, "Request body timed out."))
        elif self._buffer:
            if now - self.since > limits.header_timeout:
                self._refuse(RequestError(408, "Request header timed out."))
                self._let_go()
        elif now - self.since > limits.idle_timeout:
            self.transport.close()

    def _is_stalled(self, now: float) -> bool:
        """Tell whether the client has taken nothing for `write_timeout`."""
        pending = self.transport.get_write_buffer_size()
        before, when = self._stalled
        if before == 0 or pending < before:
            self._stalled = (pending, now)
            return False
        return now - when > self._host.limits.write_timeout

    def drain(self) -> None:
        """End an idle connection; one that serves ends after its answer.

        A WebSocket is closed with 1012; one whose origin has not accepted yet is refused.
        """
        self._keep = False
        if self._socket is not None:
            self._socket.drain()
        elif not self._serving:
            self.transport.close()
        elif self.request.websocket and not self._answered:
            self._refuse(RequestError(503, "The proxy is going away."))
            self.transport.close()


class _Silent:
    """Takes the body for a connection, and no fields: they have been read already."""

    __slots__ = ("on_body", "on_message_complete")

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete


def _translated(error: httptools.HttpParserError) -> RequestError:
    """Say in our words what the parser found."""
    cause = error.__context__ or error.__cause__
    if isinstance(cause, RequestError):
        return cause
    said = str(error)
    for part, text in _PARSER_TEXTS:
        if part in said:
            status = 501 if part == "Transfer-Encoding" and "invalid" in said else 400
            return RequestError(status, f"Failed to parse request: {text}")
    return RequestError(400, "Failed to parse request: invalid token")

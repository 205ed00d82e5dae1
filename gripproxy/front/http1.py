"""One client connection: bytes to an `Exchange`, answers to bytes (proxying.md 2, 10, 17).

One object is the connection, its exchange and the sink of what is held on it, and one task serves
it: request after request, parked in between holds. While a request is held nothing else is kept:
no parser, no buffer (data-plane.md 2). How requests are read is in `front.reading`.

States: *reading* a head → *serving* (the story runs; a body may be coming in) → answered, and
back; or *held* (the task is parked; the story is an object in the hub), or *upgraded* (a
WebSocket, `front.websocket`, has the transport). The last one is *lingering*: nothing is served
any more, but the client may still read its answer.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast

from gripproxy.engine.ports import ClientSocket, Framing, Held, Wake
from gripproxy.engine.stats import Counted
from gripproxy.errors import ClientGoneError, RequestError
from gripproxy.flow.hits import Hits
from gripproxy.flow.ports import Exchange, Resume
from gripproxy.front.heads import SHARED_MAX
from gripproxy.front.progress import Stall
from gripproxy.front.reading import NO_REQUEST, Reader, nowhere
from gripproxy.front.relaying import Relay
from gripproxy.front.websocket import Socket
from gripproxy.protocol import cutting, forwarding, framing, wire, wsdeflate, wshandshake
from gripproxy.protocol.framing import Ending
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response, Source, has_body

HIGH_WATER = 65536
LOW_WATER = 16384
# How long a client that has ended its side waits for an origin that is silent (proxying.md 2).
HALF_CLOSED_SECONDS = 30.0

_NO_LINGER = struct.pack("ii", 1, 0)
_UPGRADED = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n"


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
    loose: bool = False  # heads that are not quite HTTP are understood


class Host(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    loop: asyncio.AbstractEventLoop
    serve: Callable[[Exchange], Awaitable[None]]
    refused: Callable[[str, RequestError], Response]
    hits: Hits | None  # what may be answered at once; None if nothing is stored
    draining: bool
    date: bytes  # the line `Date: …` for this second

    def opened(self, connection: "Connection") -> None:
        """Take note of a new connection, and start its task."""

    def closed(self, connection: "Connection") -> None:
        """Take note of its end."""

    def gave_up(self, peer: str) -> None:
        """Log that a client was closed because it takes nothing."""

    def failed(self, connection: "Connection", error: BaseException) -> None:
        """Log what no story should have let through."""


class Connection(Reader):
    """A client's connection. See the module's docstring for its states."""

    __slots__ = (
        "_before",
        "_ended",
        "_held",
        "_host",
        "_relay",
        "_resume",
        "_socket",
        "_stall",
        "_waking",
        "blocked",
        "counted",
        "framing",
        "sent",
        "shielded",
        "task",
    )

    def __init__(self, host: Host, *, secure: bool) -> None:
        super().__init__(secure=secure, head_max=host.limits.head)
        self._host = host
        self.task: asyncio.Task[None] | None = None
        self.blocked = False
        self.counted: Counted | None = None
        self._relay: Relay | None = None
        self._held: Held | None = None
        self._socket: Socket | None = None
        self._stall: Stall | None = None
        self._rest()

    def _rest(self) -> None:
        """Have no request."""
        self._forget_request()
        self.framing = Framing.CHUNKED
        self.sent = 0
        self.shielded = False
        self._before = 0  # bytes that had been relayed when that was last looked at
        self._resume: Resume | None = None
        self._waking: Wake | None = None
        self._ended = False

    def __repr__(self) -> str:
        state = "held" if self._held else "serving" if self._serving else "reading"
        if self._socket is not None:
            state = "upgraded"
        elif self._lingering:
            state = "lingering"
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

    def eof_received(self) -> bool:
        self._eof = True
        self.since = 0.0
        if self._incoming is not None:
            self._break_off(ClientGoneError())
            return False
        if self._held is not None:
            self._leave()  # a hold ends with its client's input (grip-http.md 4.4)
            return False
        self._wake_task()
        return not self._secure  # TLS knows no half of a connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = True
        self.write = nowhere
        self._break_off(ClientGoneError())
        relay, held = self._relay, self._held
        if relay is not None:
            relay.stop()
        if held is not None:
            self._leave()
        # A story that relays an answer learns that it broke off; any other has nothing to do.
        ends = relay is None or held is not None
        if ends and self._serving and not self.shielded and self.task is not None:
            self.task.cancel()
        self._wake_task()
        self._host.closed(self)

    def pause_writing(self) -> None:
        self.blocked = True
        if self._relay is not None:
            self._relay.pause()

    def resume_writing(self) -> None:
        self.blocked = False
        if self._relay is not None:
            self._relay.resume()
        if self._held is not None:
            self._held.writable(self._host.loop.time())
        elif not self._serving:
            self._wake_task()

    def _leave(self) -> None:
        """Tell what is held that its client is gone."""
        held, self._held = self._held, None
        self._ended = True
        if held is not None:
            held.gone(self._host.loop.time())
        self._wake_task()

    # The task

    async def run(self) -> None:
        """Serve this connection until it ends."""
        host = self._host
        try:
            while True:
                # Who does not read answers is not asked for more requests.
                if self.blocked or not self._take_request():
                    if self._is_over():
                        break
                    self._waiter = host.loop.create_future()
                    await self._waiter
                    continue
                self._serving = True
                await host.serve(self)
                while self._held is not None:
                    await self._park()
                self._serving = False
                if self.counted is not None:
                    self._count_end(self.counted)
                if not self._ready_for_more():
                    break
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - the last place that can log a bug of ours
            host.failed(self, error)
            self.cut()
        finally:
            self._serving = False
            if self.counted is not None:
                self._count_end(self.counted)
            self._let_go()

    def _count_end(self, counted: Counted) -> None:
        """Tell that a request is over."""
        self.counted = None
        counted.sent(self.sent)
        counted.over(self._host.loop.time())

    def _is_over(self) -> bool:
        """Tell whether no request can come any more."""
        if self._lingering or self.transport.is_closing():
            return True
        return self._eof and not self.blocked  # what is blocked may have been sent before the end

    async def _park(self) -> None:
        """Wait for a wake of the hold, then let its story go on."""
        if self.counted is not None:
            self.counted.sent(self.sent)
        if self._waking is None and not self._ended:
            self._waiter = self._host.loop.create_future()
            await self._waiter
        reason, self._waking = self._waking, None
        held, resume = self._held, self._resume
        if self._ended or held is None or resume is None:
            self._held = self._resume = None
        elif reason is not None:
            await resume(self, held, reason)

    def _ready_for_more(self) -> bool:
        """Tidy up behind an answer; tell whether the connection serves another request."""
        # With a body that was not read, nobody knows where the next request begins.
        if not self._keep or self._incoming is not None or self._host.draining:
            return False
        hits = self._host.hits
        if hits is not None and self._head and not self._secure:
            hits.learn(self._head, self.request)
        self._rest()
        if self._paused:
            self._resume_reading()
        return True

    def _let_go(self) -> None:
        """End the connection: at once, or when a client has read its answer."""
        self.request = NO_REQUEST
        if self._socket is not None:
            self._socket.drop()
        elif self._lingering or self.transport.is_closing():
            return
        elif self._eof or (self._incoming is None and not self._buffer):
            self.transport.close()
        else:
            self._linger(self._host.loop)

    # Requests

    # hot: a request that is answered from memory takes 11 us instead of 24 (bench/caching.py,
    # cache-hit-1k).
    def _answer_at_once(self, data: bytes) -> bytes:
        host = self._host
        hits = host.hits
        if hits is None or self._waiter is None or self._secure or host.draining:
            return data
        while not self.blocked and not self.transport.is_closing():
            end = data.find(cutting.HEAD_END, 0, SHARED_MAX) + 4
            if end < 4 or not hits.answer(self, data[:end]):
                break
            # As at the end of any other request.
            self._keep = True
            if self.counted is not None:
                self._count_end(self.counted)
            self.sent = 0
            self._forget_request()
            data = data[end:]
            if not data:
                break
        return data

    def deliver(self, head: bytes, body: bytes) -> bool:
        """Send an answer that is ready; see `flow.hits.Client`."""
        self.sent = len(body)
        self.write(head + body)
        return not self.transport.is_closing()

    def _take_request(self) -> bool:
        """Make the next request of what has come; tell whether it was all there."""
        if not self._buffer or self._lingering:
            return False
        try:
            return self._take_head()
        except RequestError as error:
            self._refuse(error)
            return False

    def _refuse(self, error: RequestError) -> None:
        """Answer what is no request, and close (proxying.md 2)."""
        self._keep = False
        response = self._host.refused(self.peer, error)
        body = response.body
        assert isinstance(body, bytes)
        framing = b"Connection: close\r\nContent-Length: %d\r\n" % len(body)
        line = wire.status_line(1, response.status, response.reason)
        self.write(wire.response_head(line, response.headers, framing, self._host.date) + body)
        if not self.transport.is_closing():
            self._linger(self._host.loop)

    # Answers

    async def answer(self, response: Response) -> bool:
        """Send a whole response; see `flow.ports.Exchange`."""
        self._held = self._resume = None
        body = response.body
        if isinstance(body, bytes):
            self._write_whole(response, body)
            return not self.transport.is_closing()
        return await self._relay_whole(response, body)

    def _write_whole(self, response: Response, body: bytes) -> None:
        self._answered = True
        request = self.request
        if not has_body(request.method, response.status):
            self._write_head(response, framing.said_length(response, body))
            return
        self.sent = len(body)
        keep = self._begins(response)
        self.write(framing.whole(request, response, body, keep=keep, date=self._host.date))

    async def _relay_whole(self, response: Response, body: Source) -> bool:
        """Relay a response whose body comes in pieces."""
        self._answered = True
        if self.transport.is_closing() or not has_body(self.request.method, response.status):
            body.abandon()
            self._write_head(response, framing.said_length(response))
            return not self.transport.is_closing()
        lines, ending = framing.in_pieces(self.request, response)
        if ending is Ending.CLOSE:
            self.framing = Framing.RAW
            self._keep = False
        self._write_head(response, lines)
        whole = await self._run(Relay(body, self.write, ending, length=response.length))
        if not whole:
            self.cut()  # it must not look whole (proxying.md 10.3)
        return whole

    async def relay(self, body: Source) -> bool:
        """Send a body as part of a stream that goes on; see `flow.ports.Exchange`."""
        if self.transport.is_closing():
            body.abandon()
            return False
        chunked = self.framing is Framing.CHUNKED
        return await self._run(Relay(body, self.write, Ending.OPEN, chunked=chunked))

    async def _run(self, relay: Relay) -> bool:
        self._relay = relay
        try:
            return await relay.run(blocked=self.blocked)
        finally:
            self._relay = None
            self.sent += relay.sent

    def _write_head(self, response: Response, lines: bytes) -> None:
        keep = self._begins(response)
        self.write(framing.head(self.request, response, lines, keep=keep, date=self._host.date))

    def _begins(self, response: Response) -> bool:
        """Take note of an answer that begins; settle whether the connection is kept behind it."""
        if self.counted is not None:
            self.counted.answered(response)
        if self._incoming is not None or self._host.draining or (self._eof and not self._buffer):
            self._keep = False
        return self._keep

    def interim(self, status: int, reason: bytes, headers: Headers) -> None:
        """Pass an interim response on to an HTTP/1.1 client (RFC 9110 15.2)."""
        if self.request.version == 1 and not self._answered and not self.blocked:
            line = wire.status_line(1, status, reason)
            passed = forwarding.end_to_end(headers)
            self.write(wire.response_head(line, passed, b"", b""))

    # As the sink of a hold

    def begin(self, response: Response) -> bool:
        """Send the head of a stream; see `flow.ports.Exchange`."""
        self._answered = True
        request = self.request
        if not has_body(request.method, response.status):
            self._write_head(response, b"")
            return False
        body = response.body
        assert isinstance(body, bytes)
        self.sent += len(body)
        if request.version == 1:
            self.framing = Framing.CHUNKED
            lines, body = framing.CHUNKED, wire.chunk(body)
        else:
            self.framing = Framing.RAW
            self._keep = False
            lines = b""
        keep = self._begins(response)
        head = framing.head(request, response, lines, keep=keep, date=self._host.date)
        self.write(head + body)
        return True

    def park(self, held: Held, resume: Resume) -> None:
        """Hold the connection; see `flow.ports.Exchange`."""
        self._head = b""  # it may take long
        self._held = held
        self._resume = resume
        self._ended = False
        if self._eof and self._socket is None:
            self._leave()

    def pending(self) -> int:
        """Return how many bytes wait in the connection."""
        return self.transport.get_write_buffer_size()

    def end(self) -> None:
        """End the stream as its framing wants."""
        if self.framing is Framing.CHUNKED:
            self.write(wire.LAST_CHUNK)
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
        if self.framing is Framing.RAW and self._answered:
            self._reset_on_close()
        self.transport.abort()

    def _reset_on_close(self) -> None:
        """Have the client see an error: an orderly end would be that of the answer (10.3)."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

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

    # WebSockets

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
        early, self._buffer, self._head = self._buffer, b"", b""
        self._socket = socket = Socket(self, self._host, early, deflate)
        self.transport.set_protocol(socket)
        if not self.transport.is_closing():
            self.write(wire.response_head(line, response.headers, lines, b""))
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

    # Care of the server

    def overdue(self, now: float) -> None:
        """End the connection if what it waits for has not come in time; called each second."""
        if self._socket is not None:
            self._socket.overdue(now)
        elif self.transport.get_write_buffer_size():
            if self._stall is None:
                self._stall = Stall(self.transport, now)
            elif self._stall.seconds(self.transport, now) > self._host.limits.write_timeout:
                self._host.gave_up(self.peer)
                self.cut()
        else:
            self._stall = None
            if self._held is None and not self._lingering:
                self._overdue_input(now)

    def _overdue_input(self, now: float) -> None:
        if self.since == 0.0:
            self.since = now
        waited = now - self.since
        limits = self._host.limits
        if self._serving:
            self._overdue_serving(waited)
        elif self._buffer:
            if waited > limits.header_timeout:
                self._refuse(RequestError(408, "Request header timed out."))
                self._wake_task()
        # Only a connection that has served a request is kept alive.
        elif waited > (limits.idle_timeout if self._keep else limits.header_timeout):
            self.transport.close()

    def _overdue_serving(self, waited: float) -> None:
        if self._eof:
            relayed = self._relay.sent if self._relay is not None else 0
            if relayed != self._before:
                self._before = relayed
                self.since = 0.0
            elif waited > HALF_CLOSED_SECONDS:
                self.cut()
        elif (
            self._incoming is not None
            and not self._paused
            and waited > self._host.limits.body_timeout
        ):
            self._break_off(RequestError(408, "Request body timed out."))

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

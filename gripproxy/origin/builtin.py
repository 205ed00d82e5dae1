"""The target `test`: the built-in origin, without a network (proxying.md 12, websockets.md 7).

What it says is in `protocol.testorigin`; here its WebSocket gets a memory for a transport.
"""

import asyncio
from collections.abc import Callable

from gripproxy.engine.endpoint import Endpoint
from gripproxy.engine.ports import SocketReceiver
from gripproxy.flow.ports import Interim, OriginSocket
from gripproxy.protocol import testorigin, wsframes, wshandshake
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Target
from gripproxy.protocol.wsframes import CLOSE, PING, PONG, Decoder, Role
from gripproxy.protocol.wshandshake import Agreed


class Builtin:
    """The built-in origin: satisfies `flow.ports.Origin` for targets `test`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def send(
        self, request: Request, target: Target, interim: Interim | None = None
    ) -> Response:
        """Answer a request; see `flow.ports.Origin`."""
        return testorigin.answer(request, _path_beg(target))

    async def connect(self, request: Request, target: Target) -> OriginSocket | Response:
        """Accept a WebSocket, or refuse it; see `flow.ports.Origin`."""
        response = testorigin.accept(request, _path_beg(target))
        if response.status != 101:
            return response
        return Socket(self._loop, request, response)


def _path_beg(target: Target) -> bytes:
    return target.host.encode("latin-1", "replace")


class Socket(Endpoint):
    """The built-in origin's side of a WebSocket: satisfies `flow.ports.OriginSocket`."""

    __slots__ = ("_loop", "_origin", "agreed", "response")

    role = Role.ORIGIN

    def __init__(
        self, loop: asyncio.AbstractEventLoop, request: Request, response: Response
    ) -> None:
        self._loop = loop
        self._origin = _Echo(request, self._receive, self._lose)
        greeting = b"".join(
            wsframes.encode(wsframes.TEXT, message) for message in testorigin.greetings(request)
        )
        super().__init__(self._origin, greeting, None)
        self.response = response
        extensions = response.headers.get_all(b"sec-websocket-extensions")
        self.agreed = Agreed(wshandshake.grip(extensions), None)

    def attach(self, receiver: SocketReceiver, now: float) -> None:
        """Name the receiver; see `flow.ports.OriginSocket`."""
        self.take_receiver(receiver, max_message=None, now=now)

    def mask(self) -> bytes:
        """Frames to an origin are masked; here nobody can listen in."""
        return b"\0\0\0\0"

    def _receive(self, data: bytes) -> None:
        # In the next turn, as from a network: nobody is called from within his own call.
        self._loop.call_soon(lambda: self.received(data, self._loop.time()))

    def _lose(self) -> None:
        self._loop.call_soon(lambda: self.lost(self._loop.time()))


class _Echo:
    """The other end: sends messages back, answers pings and closes. It is a transport."""

    def __init__(
        self, request: Request, receive: Callable[[bytes], None], lose: Callable[[], None]
    ) -> None:
        self._request = request
        self._receive = receive
        self._lose = lose
        self._decoder = Decoder(Role.CLIENT, max_message=None)
        self._closing = False
        self._message = bytearray()

    def write(self, data: bytes) -> None:
        """Take frames, and answer them."""
        for opcode, payload, _first, last in self._decoder.feed(data):
            if opcode == CLOSE:
                code, reason = wsframes.read_close(payload)
                self._receive(wsframes.encode_close(code, reason))
                self._lose()
            elif opcode == PING:
                self._receive(wsframes.encode(PONG, payload))
            elif opcode != PONG:
                self._message += payload
                if last:
                    content = testorigin.echo(self._request, bytes(self._message))
                    self._message.clear()
                    self._receive(wsframes.encode(opcode, content))

    def close(self) -> None:
        """End."""
        if not self._closing:
            self._closing = True
            self._lose()

    def is_closing(self) -> bool:
        """Tell whether it is over."""
        return self._closing

    def pause_reading(self) -> None:
        """An echo is as fast as its reader."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

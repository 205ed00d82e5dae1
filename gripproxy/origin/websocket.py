"""A WebSocket to an origin (websockets.md 3.1, 3.2): our handshake, and the open connection."""

import asyncio
import base64
import os
import socket

from gripproxy.engine.endpoint import Endpoint
from gripproxy.engine.ports import SocketReceiver
from gripproxy.protocol import wsdeflate, wshandshake
from gripproxy.protocol.forwarding import with_changes
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.wsframes import Role
from gripproxy.protocol.wshandshake import Agreed

# TCP keep-alive: an origin that is dead is found after two minutes (config.md 4).
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)

_KEY, _VERSION, _EXTENSIONS = (
    b"Sec-WebSocket-Key",
    b"Sec-WebSocket-Version",
    b"Sec-WebSocket-Extensions",
)


def handshake(request: Request, *, compress: bool) -> tuple[Request, bytes]:
    """Return a client's handshake as ours, and its key; with `compress` it offers compression."""
    key = base64.b64encode(os.urandom(16))
    headers = request.headers.without(_KEY.lower(), _VERSION.lower())
    if compress:
        headers = headers.plus((_EXTENSIONS, wsdeflate.OFFER))
    headers = headers.plus(
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (_VERSION, wshandshake.VERSION),
        (_KEY, key),
    )
    return with_changes(request, headers=headers), key


def accepted(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    early: bytes,
    response: Response,
    agreed: Agreed,
) -> "Socket":
    """Take a connection over from HTTP, with the frames that have come already."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        for option in _KEEPALIVE:
            sock.setsockopt(*option)
    opened = Socket(loop, transport, early, response, agreed)
    transport.set_protocol(opened)
    return opened


class Socket(Endpoint, asyncio.Protocol):
    """An origin's side of a WebSocket: satisfies `flow.ports.OriginSocket`."""

    __slots__ = ("_loop", "agreed", "response")

    role = Role.ORIGIN

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        early: bytes,
        response: Response,
        agreed: Agreed,
    ) -> None:
        super().__init__(transport, early, agreed.deflate)
        self.response = response
        self.agreed = agreed
        self._loop = loop

    def attach(self, receiver: SocketReceiver, now: float) -> None:
        """Name the receiver; see `flow.ports.OriginSocket`."""
        self.take_receiver(receiver, max_message=None, now=now)

    def mask(self) -> bytes:
        return os.urandom(4)

    # Up-calls of the transport

    def data_received(self, data: bytes) -> None:
        self.received(data, self._loop.time())

    def eof_received(self) -> bool:
        self.lost(self._loop.time())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost(self._loop.time())

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.writable(self._loop.time())

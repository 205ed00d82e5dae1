"""An upgraded client connection (websockets.md 2, 10.1, 10.2, 10.4).

It takes the transport over from the HTTP connection, whose task stays parked; that connection
learns when the client is gone.
"""

import asyncio
import os
import random
import socket
from typing import Protocol

from gripproxy.engine.endpoint import Endpoint
from gripproxy.engine.ports import SocketReceiver
from gripproxy.errors import FrameError
from gripproxy.protocol import wsframes
from gripproxy.protocol.wsdeflate import Agreement

# A connection that was failed is half-closed and ends after so many seconds at the latest.
END_SECONDS = 2.0

# Names a ping as ours: no client can know it, so no pong of an origin's ping is taken for ours.
_OWN_PING = os.urandom(8)
_PING_FRAME = wsframes.encode(wsframes.PING, _OWN_PING)
# A ping comes up to this part of the interval before it is over.
_JITTER = 0.1
# A dead peer is given up after this many intervals without an acknowledgement by TCP. What a peer
# that is alive, but takes nothing, is told at `write_timeout` must come before that.
_DEAD_INTERVALS = 2
_DEAD_AFTER_STALL = 5.0


class Limits(Protocol):
    """What a client may do, as far as it is a WebSocket."""

    @property
    def message_max(self) -> int:
        """Bytes of a message that is taken whole."""

    @property
    def ping_interval(self) -> float:
        """Seconds; 0 is off."""

    @property
    def write_timeout(self) -> float:
        """Seconds after which a client that takes nothing is given up."""


class Owner(Protocol):
    """The connection that was upgraded."""

    transport: asyncio.Transport

    @property
    def half_closed(self) -> bool:
        """Whether the client has sent all that it will ever send."""

    def upgraded_lost(self) -> None:
        """Take note that the client is gone."""


class Host(Protocol):
    """The server of the connection."""

    loop: asyncio.AbstractEventLoop

    @property
    def limits(self) -> Limits:
        """What its clients may do."""


class Socket(Endpoint, asyncio.Protocol):
    """A client's side of a WebSocket: satisfies `engine.ports.ClientSocket`."""

    __slots__ = ("_host", "_owner", "_ping_after", "_stuck", "_stuck_since", "pings", "touched")

    own_ping = _OWN_PING

    def __init__(self, owner: Owner, host: Host, early: bytes, deflate: Agreement | None) -> None:
        super().__init__(owner.transport, early, deflate)
        self.pings = True
        self.touched = 0.0
        self._owner = owner
        self._host = host
        self._ping_after = self._next_ping()
        self._stuck = 0  # bytes that waited when they were last found to be no fewer
        self._stuck_since = 0.0
        self._give_up_dead_peers()

    def _next_ping(self) -> float:
        return self._host.limits.ping_interval * (1 - _JITTER * random.random())  # noqa: S311

    def _give_up_dead_peers(self) -> None:
        """Let the kernel end the connection if its peer acknowledges nothing (10.1)."""
        limits = self._host.limits
        sock = self._owner.transport.get_extra_info("socket")
        if limits.ping_interval and sock is not None and sock.family != socket.AF_UNIX:
            seconds = max(
                _DEAD_INTERVALS * limits.ping_interval, limits.write_timeout + _DEAD_AFTER_STALL
            )
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))

    @property
    def deflates(self) -> bool:
        """Whether the client takes compressed messages."""
        return self.deflate is not None

    def attach(self, receiver: SocketReceiver, *, whole: bool) -> None:
        """Name the receiver; see `engine.ports.ClientSocket`."""
        now = self._host.loop.time()
        limit = self._host.limits.message_max if whole else None
        self.take_receiver(receiver, max_message=limit, now=now)
        if self._owner.half_closed:
            self.lost(now)
            self.transport.close()

    # Up-calls of the transport

    def data_received(self, data: bytes) -> None:
        self.received(data, self._host.loop.time())

    def eof_received(self) -> bool:
        self.lost(self._host.loop.time())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost(self._host.loop.time())
        self._owner.upgraded_lost()

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.writable(self._host.loop.time())

    # Care

    def end_soon(self) -> None:
        transport = self._owner.transport
        if transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()
        self._host.loop.call_later(END_SECONDS, transport.abort)

    def overdue(self, now: float) -> None:
        """Ping a client that hears nothing, give up one that takes nothing; each second."""
        pending = self.transport.get_write_buffer_size()
        if pending:
            if self._is_stalled(pending, now):
                self._give_up(now)
            return
        self._stuck = 0
        interval = self._host.limits.ping_interval
        if self.pings and interval and now - self.touched >= self._ping_after and not self._over:
            self.touched = now
            self._ping_after = self._next_ping()
            self.write(_PING_FRAME)

    def _is_stalled(self, pending: int, now: float) -> bool:
        if self._stuck == 0 or pending < self._stuck:
            self._stuck = pending
            self._stuck_since = now
            return False
        return now - self._stuck_since > self._host.limits.write_timeout

    def _give_up(self, now: float) -> None:
        if self._over:
            self._owner.transport.abort()
        else:
            self.violated(FrameError(wsframes.POLICY, "slow consumer"), now)

    def drain(self) -> None:
        """End the connection because the proxy goes away: 1012."""
        if not self._over:
            error = FrameError(wsframes.RESTART, "the proxy goes away")
            self.violated(error, self._host.loop.time())

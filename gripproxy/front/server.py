"""Listeners for clients: accepting, counting, sweeping, draining (proxying.md 2, config.md 6).

`Server(serve)` takes any `async serve(exchange)`. The control port is one of these, too.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from gripproxy.errors import RequestError
from gripproxy.flow.hits import Hits
from gripproxy.flow.ports import Clock, Exchange, Tasks
from gripproxy.front.http1 import Connection, Limits
from gripproxy.front.loose import LooseConnection
from gripproxy.protocol.headers import format_date
from gripproxy.protocol.messages import Response

log = logging.getLogger(__name__)

BACKLOG = 4096
# Connections are looked at once a second, a part of them at a time, so that a timeout costs
# nothing per request and a sweep of 50,000 does not stop the loop.
SWEEP_PARTS = 16
SWEEP_PERIOD = 1.0
# TCP keep-alive: a dead peer of an idle hold is found after two minutes (config.md 4).
KEEPALIVE_IDLE = 60
KEEPALIVE_INTERVAL = 10
KEEPALIVE_PROBES = 6

Refused = Callable[[str, RequestError], Response]
Failed = Callable[[str, BaseException], None]


class Server:
    """Serves the clients of some listening sockets."""

    def __init__(
        self,
        serve: Callable[[Exchange], Awaitable[None]],
        *,
        clock: Clock,
        tasks: Tasks,
        limits: Limits,
        refused: Refused,
        failed: Failed,
        maxconn: int = 50_000,
    ) -> None:
        self.serve = serve
        self.limits = limits
        self.refused = refused
        self.hits: Hits | None = None  # set while something may be stored
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        # Those beyond the limit, in the order in which they came: a loop may accept many before
        # it tells of the first.
        self._surplus: dict[Connection, None] = {}
        self._clock = clock
        self._tasks = tasks
        self._failed = failed
        self._maxconn = maxconn
        self._second = 0
        self.date = b""
        self._tell_date()
        self._parts: list[set[Connection]] = [set() for _ in range(SWEEP_PARTS)]
        self._part = 0
        self._listening: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._servers: list[asyncio.Server] = []
        self._opening = False
        self._sweeper: asyncio.TimerHandle | None = None

    # Listening

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Accept connections of a bound socket; with a context they are TLS."""
        if sock.family != socket.AF_UNIX:
            keep_alive(sock)
        self._listening.append((sock, context))
        await self._accept(sock, context)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(SWEEP_PERIOD / SWEEP_PARTS, self._sweep)

    async def _accept(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        secure = context is not None
        kind = LooseConnection if self.limits.loose else Connection

        def make() -> Connection:
            return kind(self, secure=secure)

        # A copy: closing it stops accepting, while the kernel goes on queueing for the original.
        self._servers.append(
            await self.loop.create_server(make, sock=sock.dup(), ssl=context, backlog=BACKLOG)
        )

    def _pause_accepting(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    async def _resume_accepting(self) -> None:
        try:
            for sock, context in list(self._listening):
                await self._accept(sock, context)
        finally:
            self._opening = False
        # Much may have happened meanwhile.
        if self.draining or len(self.connections) >= self._maxconn:
            self._pause_accepting()

    # Up-calls of connections

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection; start its task, if there are not too many already."""
        self.connections.add(connection)
        if len(self.connections) <= self._maxconn:
            self._begin(connection)
        else:
            connection.transport.pause_reading()
            self._surplus[connection] = None
        if self._servers and len(self.connections) >= self._maxconn:
            self._pause_accepting()

    def _begin(self, connection: Connection) -> None:
        self._parts[id(connection) // 64 % SWEEP_PARTS].add(connection)
        connection.task = self._tasks.start(connection.run(), name="client")

    def _begin_next(self) -> None:
        """Serve one that has waited for its turn."""
        connection = next(iter(self._surplus))
        del self._surplus[connection]
        connection.since = self.loop.time()
        connection.transport.resume_reading()
        self._begin(connection)

    def closed(self, connection: Connection) -> None:
        """Take note of a connection's end."""
        self.connections.discard(connection)
        self._parts[id(connection) // 64 % SWEEP_PARTS].discard(connection)
        if connection in self._surplus:
            del self._surplus[connection]
        elif self._surplus and not self.draining:
            self._begin_next()
        if len(self.connections) >= self._maxconn:
            return
        if not (self._servers or self._opening or self.draining):
            self._opening = True
            self._tasks.start(self._resume_accepting(), name="resume accepting")

    def gave_up(self, peer: str) -> None:
        """Say that a client was closed because it takes nothing (grip-http.md 7.4)."""
        who, seconds = peer or "local", self.limits.write_timeout
        log.warning("client from=%s: slow consumer: took nothing for %g s", who, seconds)

    def failed(self, connection: Connection, error: BaseException) -> None:
        """Report what no story should have let through."""
        self._failed(repr(connection), error)

    def _tell_date(self) -> None:
        """Make the line `Date: …` when the second has changed."""
        second = int(self._clock.wall())
        if second != self._second:
            self._second = second
            self.date = b"Date: %b\r\n" % format_date(second)

    def _sweep(self) -> None:
        now = self.loop.time()
        self._tell_date()
        for connection in list(self._parts[self._part]):
            connection.overdue(now)
        self._part = (self._part + 1) % SWEEP_PARTS
        self._sweeper = self.loop.call_later(SWEEP_PERIOD / SWEEP_PARTS, self._sweep)

    # Ending

    def stop_accepting(self) -> None:
        """Close the listeners and what is idle; requests that are answered may finish.

        What lasts is left to the caller.
        """
        self.draining = True
        self._pause_accepting()
        for sock, _ in self._listening:
            sock.close()
        self._listening.clear()
        for connection in list(self.connections):
            if not connection.lasts:
                connection.drain()

    def close(self) -> None:
        """Cut every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if not self.draining:
            self.stop_accepting()
        for connection in list(self.connections):
            connection.cut()


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find peers that are dead; what a listening socket accepts inherits it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)

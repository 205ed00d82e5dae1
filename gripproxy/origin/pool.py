"""Which connection a request to an origin takes (proxying.md 7, 11.2).

Deciding is synchronous: an idle connection of the same key, newest first, or a new one. A reused
connection that turns out dead before a byte of a response came is replaced once, if that is safe.
"""

import asyncio
import ipaddress
import select
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache

from gripproxy.errors import ConnectError, ExchangeError, OriginError
from gripproxy.flow.bodies import KeptBody
from gripproxy.origin import websocket
from gripproxy.origin.http1 import Connection, Interim
from gripproxy.protocol import wshandshake
from gripproxy.protocol.messages import Request, Response, split_authority
from gripproxy.protocol.routes import Target

# Methods that may be sent twice (RFC 9110 9.2.2).
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
# Over-HTTP POSTs must not meet a server that closes its idle connection (websockets.md 4.8).
# Seconds, and how long before the end that an origin names.
OVER_HTTP_IDLE = 4.0
OVER_HTTP_MARGIN = 1.0

# Connection errors by cause: the type of RFC 9209 and words for the operator. A ValueError is a
# name that cannot be looked up, or asked a certificate for.
_CAUSES: tuple[tuple[type[BaseException], str, str], ...] = (
    (ConnectionRefusedError, "connection_refused", "connection refused"),
    (socket.gaierror, "dns_error", "name not found"),
    (ssl.SSLCertVerificationError, "tls_certificate_error", "certificate not accepted"),
    (ssl.SSLError, "tls_protocol_error", "TLS handshake failed"),
    (TimeoutError, "connection_timeout", "timed out while connecting"),
    (ValueError, "dns_error", "no valid name"),
    (ConnectionResetError, "connection_terminated", "connection reset while connecting"),
    (OSError, "destination_ip_unroutable", "not reachable"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds and numbers of connections (config.md 4.1)."""

    connect_timeout: float = 10.0
    timeout: float = 600.0
    idle: float = 55.0
    size: int = 5000
    compression: bool = False  # offered to WebSocket origins


class Pool:
    """Connections to origins: satisfies `flow.ports.Origin` for TCP and Unix sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.loop = loop
        self._limits = limits
        self._idle: dict[object, list[Connection]] = {}
        self._count = 0  # idle ones
        self._all: set[Connection] = set()
        self._contexts: dict[object, ssl.SSLContext] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def send(
        self, request: Request, target: Target, interim: Interim | None = None
    ) -> Response:
        """Send one request to one target; see `flow.ports.Origin`."""
        key = self._key(request, target)
        connection = self._take(key, request)
        try:
            if connection is not None:
                try:
                    return await connection.exchange(request, interim)
                except ExchangeError as error:
                    if not _may_repeat(request, error):
                        raise
            connection = await self._connect(key, request, target)
            return await connection.exchange(request, interim)
        except OriginError as error:
            _blame(error, target)
            raise

    async def connect(self, request: Request, target: Target) -> websocket.Socket | Response:
        """Open a WebSocket to one target; see `flow.ports.Origin`."""
        compress = self._limits.compression
        asked, key = websocket.handshake(request, compress=compress)
        try:
            connection = await self._connect(self._key(request, target), request, target)
            response = await connection.exchange(asked, None)
        except OriginError as error:
            _blame(error, target)
            raise
        if response.status != 101:
            return response
        transport, early = connection.detach()
        try:
            agreed = wshandshake.check_answer(
                key,
                response.headers.get_all(b"sec-websocket-accept"),
                response.headers.get_all(b"sec-websocket-extensions"),
                compress=compress,
            )
        except ExchangeError:
            transport.abort()
            raise
        return websocket.accepted(self.loop, transport, early, response, agreed)

    def _key(self, request: Request, target: Target) -> object:
        if not target.ssl:
            return (target.host, target.port, request.authority)
        verified = target.insecure, target.trust_connect_host, target.client_cert
        return (target.host, target.port, request.authority, verified)

    def _take(self, key: object, request: Request) -> Connection | None:
        idle = self._idle.get(key)
        if idle is None:
            return None
        now = self.loop.time()
        # Before a request goes out that could not be sent twice, a connection is looked at: its
        # end may have come a moment ago.
        looks = not isinstance(request.body, bytes) or request.method not in _IDEMPOTENT
        while idle:
            connection = idle.pop()
            self._count -= 1
            if connection.transport.is_closing():
                continue
            fresh = now - connection.since <= self._idle_limit(connection, request)
            if fresh and not (looks and _has_input(connection)):
                return connection
            connection.abort()
        return None

    def _idle_limit(self, connection: Connection, request: Request) -> float:
        """Return for how long a connection may have been idle to be used for a request."""
        if not request.over_http:
            return self._limits.idle
        said = connection.idle_timeout
        return OVER_HTTP_IDLE if said is None else said - OVER_HTTP_MARGIN

    def sizes(self) -> tuple[int, int]:
        """Return how many connections are idle, and how many are in use."""
        return self._count, len(self._all) - self._count

    # Up-calls of connections

    def idle(self, connection: Connection) -> None:
        """Keep a connection for the next exchange with its key."""
        idle = self._idle.get(connection.key)
        if idle is None:
            idle = self._idle[connection.key] = []
        idle.append(connection)
        self._count += 1
        if self._count > self._limits.size:
            self._evict()

    def _evict(self) -> None:
        """Make room: a client can name many hosts, and none must keep the others out."""
        idle = next(found for found in self._idle.values() if found)
        self._count -= 1
        idle.pop(0).abort()

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._all.discard(connection)
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
            self._count -= 1
        if idle is not None and not idle:
            del self._idle[connection.key]

    # Connecting

    async def _connect(self, key: object, request: Request, target: Target) -> Connection:
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                connection = await self._open(key, request, target)
        except (OSError, ValueError) as error:  # TimeoutError and ssl.SSLError are among them
            for cause, kind, text in _CAUSES:
                if isinstance(error, cause):
                    raise ConnectError(kind, f"{target}: {text}") from error
            raise
        self._all.add(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(1.0, self._sweep)
        return connection

    async def _open(self, key: object, request: Request, target: Target) -> Connection:
        def make() -> Connection:
            return Connection(self, key)

        if target.kind == "unix":
            _, connection = await self.loop.create_unix_connection(make, target.host)
            return connection
        context = name = None
        if target.ssl:
            context = self._context(target)
            name = _certificate_name(request, target)
        failure: OSError | None = None
        for address in await self._addresses(target):
            try:
                _, connection = await self.loop.create_connection(
                    make, address, target.port, ssl=context, server_hostname=name
                )
            except OSError as error:
                failure = error
            else:
                return connection
        raise failure or OSError("no address")

    async def _addresses(self, target: Target) -> list[str]:
        """Resolve a target; refuse what must not lead into the private network (7.3)."""
        if _is_address(target.host):
            addresses = [target.host]
        else:
            found = await self.loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            addresses = [str(address[0]) for *_, address in found]
        if target.untrusted and any(_is_private(address) for address in addresses):
            raise ExchangeError("destination_ip_prohibited", _BLOCKED)
        return addresses

    def _context(self, target: Target) -> ssl.SSLContext:
        key = (target.insecure, target.client_cert, target.client_key)
        context = self._contexts.get(key)
        if context is None:
            context = ssl.create_default_context()
            if target.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if target.client_cert:
                context.load_cert_chain(target.client_cert, target.client_key or None)
            self._contexts[key] = context
        return context

    # Care

    def _sweep(self) -> None:
        """End exchanges with silent origins and connections idle for too long; each second."""
        now = self.loop.time()
        for connection in list(self._all):
            if connection.busy:
                connection.overdue(now, self._limits.timeout)
            elif now - connection.since > self._limits.idle:
                connection.transport.close()
        self._sweeper = self.loop.call_later(1.0, self._sweep) if self._all else None

    def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._all):
            connection.abort()


_BLOCKED = "Error: Origin host/IP blocked."


def _blame(error: OriginError, target: Target) -> None:
    """Let an error say whose it is, unless it says so already (proxying.md 8.2)."""
    if not isinstance(error, ConnectError) and error.text != _BLOCKED:
        error.blame(str(target))


def _may_repeat(request: Request, error: ExchangeError) -> bool:
    """Tell whether a request that met a dead pooled connection may be sent once more (11.2)."""
    body = request.body
    if not error.unanswered or not (
        isinstance(body, bytes) or (isinstance(body, KeptBody) and body.repeatable)
    ):
        return False
    return error.unwritten or request.method in _IDEMPOTENT


def _has_input(connection: Connection) -> bool:
    """Tell whether an idle connection has something to say, which can only be its end."""
    sock = connection.transport.get_extra_info("socket")
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _certificate_name(request: Request, target: Target) -> str:
    """Return the name that the target's certificate must have (7.3).

    Raises:
        ValueError: no certificate can have it. It may be what a client has sent, and the TLS
            library would say so in the log, with a traceback.
    """
    name = target.host
    if not target.trust_connect_host:
        name = split_authority(request.authority)[0].decode("latin-1")
    if not name or name.startswith("."):
        raise ValueError(name)
    name.encode("idna")
    return name


@lru_cache(maxsize=1024)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # leads to this machine, too
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::/128",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


def _is_private(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = mapped or parsed
    return any(parsed in network for network in _PRIVATE if network.version == parsed.version)

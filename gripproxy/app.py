"""One process: builds the objects of its role, opens and closes them, and decides nothing.

A process has the *front* role (clients, origins, stories, hub), the *control* role (publishers and
operators, the order of items), or both (`Single`). The configuration ends here: objects take the
values that they need.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import pickle
import random
import signal
import socket
import ssl
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass

from gripproxy.cluster.wire import Message, Value
from gripproxy.cluster.workers import Link
from gripproxy.config import Config
from gripproxy.control.httpapi import ControlApi
from gripproxy.control.zeromq import Endpoints, Inputs
from gripproxy.engine.channels import Channels, Kind
from gripproxy.engine.hub import Hub
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.sequencer import Sequencer
from gripproxy.engine.sockets import Sessions, SocketSession
from gripproxy.errors import CommandError, ConfigError, RequestError
from gripproxy.flow.access import Access
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.filtering import Filtering
from gripproxy.flow.holding import Holder
from gripproxy.flow.linking import Linker
from gripproxy.flow.opening import Opener
from gripproxy.flow.overhttp import Carrier
from gripproxy.flow.ports import Interim, Operations, OriginSocket
from gripproxy.flow.publishing import Publisher, Released
from gripproxy.flow.request import RequestFlow
from gripproxy.flow.request import Settings as RequestSettings
from gripproxy.flow.sockets import SocketFlow
from gripproxy.flow.websocket import Relay
from gripproxy.front.http1 import Limits
from gripproxy.front.server import Server
from gripproxy.logs import Levels, Lines, Throttle, reopen, set_up
from gripproxy.origin.builtin import Builtin
from gripproxy.origin.pool import Limits as OriginLimits
from gripproxy.origin.pool import Pool
from gripproxy.protocol import answers, packets
from gripproxy.protocol.credentials import Credentials
from gripproxy.protocol.forwarding import AddressRule, Forwarder
from gripproxy.protocol.forwarding import Settings as ForwardingSettings
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import RouteTable, Target
from gripproxy.protocol.routesfile import RoutesFile
from gripproxy.protocol.signing import Signer, Verifier

log = logging.getLogger("gripproxy")

# Connections of the control port, and its timeouts in seconds (publishing.md 11.1).
CONTROL_CONNECTIONS = 128
CONTROL_HEADER_SECONDS = 10.0
CONTROL_BODY_SECONDS = 30.0
# The log level at which each request has a line (config.md 5.2).
LEVEL_OF_REQUESTS = 2
# How many holds a drain ends at once, and how often it looks for the last ones.
DRAIN_STEP = 50
DRAIN_LOOK = 0.02

# A tenth of the clients' connections may wait in the pool (proxying.md 11.2).
POOL_SHARE = 10


class Clock:
    """The two times: satisfies `flow.ports.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self.wall = time.time  # noqa: TID251  # the one place that reads it


class Tasks:
    """Owns every task that is no coroutine of the main one: satisfies `flow.ports.Tasks`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, story: Coroutine[None, None, None], *, name: str) -> asyncio.Task[None]:
        """Run a coroutine until it ends, at the latest with the process."""
        task = self._loop.create_task(story, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: %s", task.get_name(), told(error))

    async def close(self) -> None:
        """Cancel what still runs, and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Alarm:
    """One timer for all deadlines of one owner: `arm` it, and it calls back in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[float], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self, when: float) -> None:
        """Ring at a moment, or before."""
        if self._handle is not None:
            if self._at <= when:
                return
            self._handle.cancel()
        self._at = when
        self._handle = self._loop.call_at(when, self._due)

    def _due(self) -> None:
        self._handle = None
        self._ring(self._loop.time())

    def close(self) -> None:
        """Never ring again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def told(error: BaseException) -> str:
    """Return a bug's traceback for the log, on one line."""
    return "".join(traceback.format_exception(error)).rstrip().replace("\n", " | ")


class Origins:
    """Sends each request to where its target is: satisfies `flow.ports.Origin`."""

    def __init__(self, pool: Pool, builtin: Builtin) -> None:
        self._pool = pool
        self._builtin = builtin

    async def send(
        self, request: Request, target: Target, interim: Interim | None = None
    ) -> Response:
        """Send a request to a target; see `flow.ports.Origin`."""
        if target.kind == "test":
            return await self._builtin.send(request, target, interim)
        return await self._pool.send(request, target, interim)

    async def connect(self, request: Request, target: Target) -> OriginSocket | Response:
        """Open a WebSocket to a target; see `flow.ports.Origin`."""
        if target.kind == "test":
            return await self._builtin.connect(request, target)
        return await self._pool.connect(request, target)


class Front:
    """The front role: clients, origins, stories, the hub."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        tasks: Tasks,
        lines: Lines | None,
        topic: Callable[[str, bool], None],
        maxconn: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._clock = clock
        self._topic = topic
        self._throttle = Throttle()
        self._alarm = Alarm(loop, self._ring)
        runner, proxy, handler = config.runner, config.proxy, config.handler
        last_ids = LastIds()
        channels = Channels(
            self,
            linger=handler.subscription_linger,
            update_on_first=handler.update_on_first_subscription,
            arm=self._alarm.arm,
        )
        self.hub = Hub(
            channels,
            last_ids,
            self,
            random=random.random,
            queue_bytes=runner.write_buffer_max,
            more=self._more,
            arm=self._alarm.arm,
        )
        self.pool = Pool(
            loop,
            OriginLimits(
                connect_timeout=proxy.origin_connect_timeout,
                timeout=proxy.origin_timeout,
                size=max(1, runner.client_maxconn // POOL_SHARE),
            ),
        )
        self.forwarder = Forwarder(forwarding_settings(config))
        origins = Origins(self.pool, Builtin(loop))
        fetcher = Fetcher(origins)
        self.access = Access(
            lines.line if lines is not None else None,
            AccessSettings(client=proxy.log_from, user_agent=proxy.log_user_agent),
        )
        linker = Linker(self.forwarder, clock=clock, routes=lambda: self.flow.routes)
        self.hub.network = Filtering(fetcher, linker, clock=clock, tasks=tasks)
        holder = Holder(
            fetcher,
            self.forwarder,
            self.hub,
            clock=clock,
            tasks=tasks,
            linker=linker,
            access=self.access,
            subscription_max=handler.connection_subscription_max,
        )
        self.sessions = Sessions(self.hub, subscription_max=handler.connection_subscription_max)
        opener = Opener(
            self.sessions, clock=clock, access=self.access, make_id=lambda: str(uuid.uuid4())
        )
        sockets = SocketFlow(
            Carrier(origins, self.forwarder, opener),
            Relay(origins, opener),
            self.forwarder,
            clock=clock,
            access=self.access,
        )
        self.flow = RequestFlow(
            fetcher,
            self.forwarder,
            holder,
            clock=clock,
            access=self.access,
            settings=RequestSettings(
                debug=proxy.debug,
                accept_route=proxy.accept_pushpin_route,
                accept_proto=proxy.accept_x_forwarded_protocol,
                cross_origin=proxy.auto_cross_origin,
                upstream=Verifier(proxy.upstream_key) if proxy.upstream_key else None,
            ),
            serve_socket=sockets.serve,
        )
        self.server = Server(
            self.flow.serve,
            clock=clock,
            tasks=tasks,
            limits=Limits(
                head=runner.client_buffer_size,
                header_timeout=runner.header_timeout,
                idle_timeout=runner.idle_timeout,
                body_timeout=runner.body_timeout,
                write_timeout=runner.write_timeout,
                write_buffer=runner.write_buffer_max,
                ping_interval=runner.ws_ping_interval,
                compression=runner.allow_compression,
            ),
            refused=self._refused,
            failed=failed,
            maxconn=maxconn,
        )

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Serve the clients of a bound socket."""
        await self.server.listen(sock, context)

    def use_routes(self, table: RouteTable) -> None:
        """Take other routes from the next request on; what is held keeps its own."""
        self.flow.routes = table
        self.forwarder.forget_routes()

    def release(self, items: Sequence[PublishItem]) -> int:
        """Deliver released items; return how many receivers they have here."""
        now = self._clock.now()
        receivers = 0
        for item in items:
            count = self.hub.publish(item, now=now)
            self.access.published(item.channel, count)
            receivers += count
        return receivers

    async def released(self) -> int:
        """All is delivered here at once: there is nobody else to wait for."""
        return 0

    # As the hub's notices

    def first_subscriber(self, channel: str) -> None:
        """Tell the inputs that a channel is wanted."""
        self._topic(channel, True)  # noqa: FBT003

    def last_subscriber(self, channel: str) -> None:
        """Tell the inputs that a channel is wanted no longer."""
        self.hub.last_ids.forget(channel)
        self._topic(channel, False)  # noqa: FBT003

    def dropped(self, channel: str, reason: str) -> None:
        """Say that items are lost, once a channel and minute."""
        key = f"{channel}: {reason}"
        if self._throttle.allows(key, now=self._clock.now()):
            log.warning("item dropped channel=%s reason=%s", channel, reason)

    # Time

    def _ring(self, now: float) -> None:
        self.hub.due(now)
        following = self.hub.next_deadline()
        if following is not None:
            self._alarm.arm(following)

    def _more(self) -> None:
        self._loop.call_soon(self._run)

    def _run(self) -> None:
        if self.hub.run(self._loop.time()):
            self._loop.call_soon(self._run)

    def _refused(self, peer: str, error: RequestError) -> Response:
        if self._throttle.allows(peer, now=self._clock.now()):
            log.info("refused from=%s code=%d %s", peer, error.status, error.text)
        return answers.of_request_error(error)

    # As the operations of operators

    async def recover(self) -> None:
        """Let all HTTP holds ask again."""
        self.hub.recover(now=self._clock.now())

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """Let WebSockets over HTTP ask their origin."""
        now = self._clock.now()
        if cid is not None:
            session = self.sessions.find(cid)
            if session is None:
                raise CommandError("item-not-found")
            session.refresh(now)
            return
        found = self.hub.channels.find(channel or "")
        for holder in list(found.holders[Kind.SOCKET]) if found is not None else ():
            if isinstance(holder, SocketSession):
                holder.refresh(now)

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """Return those of these connections that exist."""
        return [cid for cid in dict.fromkeys(ids) if self.sessions.find(cid) is not None]

    def summary(self) -> str:
        """Return one line about what is held."""
        held = self.hub.statistics()
        return (
            f"{len(self.server.connections)} connections, {held.responses} response holds, "
            f"{held.streams} streams, {held.sockets} WebSockets, {held.channels} channels, "
            f"{held.waiting_updates} waiting updates"
        )

    # Ending

    async def drain(self, seconds: float) -> None:
        """End what is held, spread over some seconds; requests that are answered may finish."""
        self.server.stop_accepting()
        held = self.hub.holds()
        end = self._loop.time() + seconds
        for number, holder in enumerate(held):
            holder.drain(self._loop.time())
            if number % DRAIN_STEP == DRAIN_STEP - 1:
                left = len(held) - number
                await asyncio.sleep(max(0.0, end - self._loop.time()) * DRAIN_STEP / left)
        while self.server.connections and self._loop.time() < end:
            await asyncio.sleep(DRAIN_LOOK)  # noqa: ASYNC110  # the last ones end by themselves

    def close(self) -> None:
        """Cut what is left."""
        self.server.close()
        self.pool.close()
        self._alarm.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker is told at its start."""

    config: Config
    listeners: list[tuple[int, str]]  # file descriptor and the option that chose it
    maxconn: int


Command = Callable[[list[Value]], Awaitable[Value]]


class Worker:
    """A worker process: the front role, and the link to its parent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._loop)
        self._clock = Clock(self._loop)
        self._front: Front | None = None
        self._link: Link | None = None
        self._lines: Lines | None = None
        self._over = asyncio.Event()
        self._topics: set[str] = set()
        self._counted = 0
        self._commands: dict[str, Command] = {
            "recover": self._recover,
            "refresh": self._refresh,
            "conncheck": self._conncheck,
        }

    async def serve(self) -> int:
        """Serve until the parent says so, or is gone."""
        sock = socket.socket(fileno=self._fd)
        _, self._link = await self._loop.create_unix_connection(
            lambda: Link(self._received, lambda _: self._over.set()), sock=sock
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            self._loop.add_signal_handler(number, lambda: None)  # the parent says when
        self._loop.add_signal_handler(signal.SIGHUP, reopen_logs)
        await self._over.wait()
        if self._front is not None:
            self._front.close()
        await self._tasks.close()
        if self._lines is not None:
            self._lines.flush()
        return 0

    def _received(self, _link: Link, kind: Message, values: list[Value]) -> None:
        match kind, values:
            case Message.ITEM, [str(channel), item_id, _, bool(no_seq), bytes(message)]:
                self._item(channel, item_id, message, chained=not no_seq)
            case Message.SYNC, [int(number)]:
                self._send(Message.COUNT, number, self._counted)
                self._counted = 0
            case Message.TOPIC, [str(channel), bool(held)]:
                self._topic(channel, held=held)
            case Message.ROUTES, [bytes(pickled)]:
                self._use_routes(pickled)
            case Message.CALL, [int(number), str(name), list(arguments)]:
                self._tasks.start(self._call(number, name, arguments), name=name)
            case Message.DRAIN, [seconds]:
                self._tasks.start(self._drain(seconds), name="drain")
            case Message.START, [bytes(pickled)]:
                self._tasks.start(self._start(pickle.loads(pickled)), name="start")  # noqa: S301
            case _:
                log.error("the parent said what this worker does not know: %s", kind.name)

    def _send(self, kind: Message, *values: Value) -> None:
        if self._link is not None:
            self._link.send(kind, *values)

    async def _start(self, work: Work) -> None:
        """Build the front and listen on the sockets that the parent has bound."""
        self._lines = set_up_logs(work.config).lines(self._loop)
        self._front = Front(
            work.config,
            clock=self._clock,
            tasks=self._tasks,
            lines=self._lines,
            topic=lambda channel, held: self._send(Message.HELD, channel, held),
            maxconn=work.maxconn,
        )
        for fd, _option in work.listeners:
            await self._front.listen(socket.socket(fileno=fd), None)
        self._send(Message.READY)

    def _item(self, channel: str, item_id: Value, message: bytes, *, chained: bool) -> None:
        front = self._front
        if front is None:
            return
        if channel in front.hub.channels:
            item = packets.decode_item(message, topic=channel.encode())
            self._counted += front.release((item,))
        elif channel in self._topics and chained:
            # Held by another worker: a client that comes here next must see what it missed.
            if isinstance(item_id, str):
                front.hub.last_ids.set(channel, item_id)
            else:
                front.hub.forget_last_id(channel)

    def _topic(self, channel: str, *, held: bool) -> None:
        if held:
            self._topics.add(channel)
            return
        self._topics.discard(channel)
        if self._front is not None:
            self._front.hub.forget_last_id(channel)

    def _use_routes(self, pickled: bytes) -> None:
        routes = pickle.loads(pickled)  # noqa: S301  # from our own parent
        self._tasks.start(self._when_built(routes), name="routes")

    async def _when_built(self, routes: RoutesFile) -> None:
        if self._front is not None:
            self._front.use_routes(RouteTable(routes.routes))

    async def _call(self, number: int, name: str, arguments: list[Value]) -> None:
        try:
            value = await self._commands[name](arguments)
        except CommandError as error:
            self._send(Message.REPLY, number, None, error.condition)
        else:
            self._send(Message.REPLY, number, value, None)

    async def _recover(self, _arguments: list[Value]) -> Value:
        if self._front is not None:
            await self._front.recover()
        return None

    async def _refresh(self, arguments: list[Value]) -> Value:
        cid, channel = arguments
        if self._front is not None:
            await self._front.refresh(
                cid=cid if isinstance(cid, str) else None,
                channel=channel if isinstance(channel, str) else None,
            )
        return None

    async def _conncheck(self, arguments: list[Value]) -> Value:
        ids = arguments[0]
        if self._front is None or not isinstance(ids, list):
            return []
        found = await self._front.conncheck([cid for cid in ids if isinstance(cid, str)])
        return list(found)

    async def _drain(self, seconds: Value) -> None:
        if self._front is not None and isinstance(seconds, float | int):
            await self._front.drain(float(seconds))
        self._over.set()


def work(fd: int) -> int:
    """Run a worker process whose parent is at the other end of a socket."""
    die_with_parent()
    settle_collector()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:

        async def serve() -> int:
            return await Worker(fd).serve()

        return runner.run(serve())


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, however that ended."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_PR_SET_PDEATHSIG = 1


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes event loops: uvloop's where it can be had."""
    if os.environ.get("GRIPPROXY_LOOP") == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415  # an option, not a need
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def settle_collector() -> None:
    """Let the garbage collector look less often: held connections are many and live long."""
    gc.collect()
    gc.freeze()
    # hot: a tenth of the time of a long-poll cycle went into looking through young objects that
    # are freed by themselves anyway (bench/scenarios.py, longpoll-1000: 75 us with 20,000, 68 so).
    gc.set_threshold(100_000, 20, 50)


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where the log goes, and whether each request has a line there."""

    fd: int
    requests: bool
    json: bool

    def lines(self, loop: asyncio.AbstractEventLoop) -> Lines | None:
        """Return the writer of those lines, None if they are not wanted."""
        if not self.requests:
            return None
        return Lines(self.fd, loop_call_later=loop.call_later, json=self.json)


def set_up_logs(config: Config, *, logfile: str = "", merge: bool = False) -> LogTarget:
    """Set logging up.

    Raises:
        ConfigError: a level or a file that cannot be used.
    """
    runner = config.runner
    try:
        levels = Levels.parse(runner.log_level)
    except ValueError as error:
        raise ConfigError("[runner] log_level", str(error)) from error
    path = logfile
    if not path and runner.logdir and not merge:
        os.makedirs(runner.logdir, exist_ok=True)
        path = os.path.join(runner.logdir, "gripproxy.log")
    json = runner.log_format == "json"
    fd = set_up(levels=levels, path=path or None, json=json)
    return LogTarget(fd, levels.of("proxy") >= LEVEL_OF_REQUESTS, json)


def reopen_logs() -> None:
    """Write to new files from now on: the old ones have been rotated away."""
    reopen()


def endpoints(config: Config) -> Endpoints:
    """Return the ZeroMQ endpoints that are configured."""
    handler = config.handler
    return Endpoints(
        pull=handler.push_in_spec,
        sub=handler.push_in_sub_specs + handler.push_in_sub_spec,
        sub_connect=handler.push_in_sub_connect,
        command=handler.command_spec,
        ipc_file_mode=handler.ipc_file_mode,
    )


def credentials(config: Config) -> Credentials | None:
    """Return what requests to the control port must show, None for nothing."""
    handler = config.handler
    if handler.control_key is None:
        return None
    return Credentials(handler.control_key, handler.control_iss)


def inactive(routes: RoutesFile) -> list[str]:
    """Say which parameters of routes do not act yet."""
    notes = []
    for route in routes.routes:
        names = sorted(route.parameters_used & NOT_ACTING)
        if names:
            notes.append(f"{route.place}: {', '.join(names)}: not supported yet, without effect")
    return notes


# Parameters of routes that are read but do not act yet.
NOT_ACTING = frozenset(("cache", "log_level", "purge", "session", "sockjs", "sockjs_as_path"))


def failed(what: str, error: BaseException) -> None:
    """Log a bug: an exception that no story should have let through."""
    log.error("%s: %s", what, told(error))


def forwarding_settings(config: Config) -> ForwardingSettings:
    """Return what the options say of requests to origins."""
    proxy = config.proxy
    signer = None
    if proxy.sig_iss and proxy.sig_key is not None:
        signer = Signer(proxy.sig_iss, proxy.sig_key)
    return ForwardingSettings(
        sig_iss=proxy.sig_iss,
        signer=signer,
        via=proxy.via.encode(),
        cdn_loop=proxy.cdn_loop.encode(),
        x_forwarded_for=AddressRule.read(proxy.x_forwarded_for),
        x_forwarded_for_trusted=AddressRule.read(proxy.x_forwarded_for_trusted),
        set_proto=proxy.set_x_forwarded_protocol in ("true", "proto-only"),
        set_protocol=proxy.set_x_forwarded_protocol == "true",
        accept_proto=proxy.accept_x_forwarded_protocol,
        need_mark=frozenset(name.lower().encode() for name in proxy.orig_headers_need_mark),
        accept_route=proxy.accept_pushpin_route,
    )


class Control:
    """The control role: inputs of publishers and operators, and the order of items."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        tasks: Tasks,
        out: Released,
        subscribed: Callable[[str], bool],
        operations: Operations,
    ) -> None:
        handler = config.handler
        self._loop = asyncio.get_running_loop()
        self._throttle = Throttle()
        self._clock = clock
        self._operations = operations
        self._alarm = Alarm(self._loop, self._ring)
        self.sequencer: Sequencer[PublishItem] = Sequencer(
            handler.message_wait / 1000, handler.id_cache_ttl, LastIds(), subscribed
        )
        self.publisher = Publisher(
            self.sequencer,
            out,
            clock=clock,
            arm=self._alarm.arm,
            unknown_format=self._unknown_format,
        )
        self.inputs = Inputs(endpoints(config), self, tasks=tasks, warn=self._warn)
        self._api = ControlApi(
            self,
            clock=clock,
            warn=self._warn,
            log=log.debug,
            credentials=credentials(config),
            body_max=handler.push_in_http_max_body_size,
        )
        self._server: Server | None = None
        if handler.push_in_http_port:
            self._server = Server(
                self._api.serve,
                clock=clock,
                tasks=tasks,
                limits=Limits(
                    head=handler.push_in_http_max_headers_size,
                    header_timeout=CONTROL_HEADER_SECONDS,
                    body_timeout=CONTROL_BODY_SECONDS,
                ),
                refused=self._api.refused,
                failed=failed,
                maxconn=CONTROL_CONNECTIONS,
            )

    async def open(self, sock: socket.socket | None) -> None:
        """Open the ZeroMQ inputs, and serve the control port on its bound socket."""
        self.inputs.open()
        if self._server is not None and sock is not None:
            await self._server.listen(sock)

    def topic(self, channel: str, held: bool) -> None:  # noqa: FBT001
        """Take note that a channel has become held anywhere, or is no longer."""
        if held:
            self.inputs.subscribe(channel)
        else:
            self.sequencer.forget_channel(channel)
            self.inputs.unsubscribe(channel)

    def stop_accepting(self) -> None:
        """Take no more connections to the control port."""
        if self._server is not None:
            self._server.stop_accepting()

    # As the intake of the inputs

    def take(self, items: Sequence[PublishItem]) -> None:
        """Take items in; nobody waits."""
        self.publisher.take(items)

    async def accept(self, items: Sequence[PublishItem]) -> int:
        """Take items in; return their receivers."""
        return await self.publisher.accept(items)

    async def recover(self) -> None:
        """Forget all last ids and let all HTTP holds ask again."""
        self.sequencer.recover()
        await self._operations.recover()

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """Let WebSockets over HTTP ask their origin."""
        await self._operations.refresh(cid=cid, channel=channel)

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """Return those of these connections that exist."""
        return await self._operations.conncheck(ids)

    def _ring(self, now: float) -> None:
        self.publisher.expire(now)

    def _warn(self, key: str, text: str) -> None:
        if self._throttle.allows(key, now=self._clock.now()):
            log.warning("%s", text)

    def _unknown_format(self, channel: str, name: str) -> None:
        self._warn(
            f"format {channel}", f"item on channel {channel} has the unknown format {name!r}"
        )

    def close(self) -> None:
        """Close all inputs."""
        self.inputs.close()
        if self._server is not None:
            self._server.close()
        self._alarm.close()

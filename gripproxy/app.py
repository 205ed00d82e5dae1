"""One process: builds the objects of its role, opens and closes them, and decides nothing.

A process has the *front* role (clients, origins, stories, hub), the *control* role (publishers and
operators, the order of items), or both (`Single`). The configuration ends here: objects take the
values that they need.
"""

import asyncio
import logging
import random
import socket
import ssl
import time
import traceback
from collections.abc import Callable, Coroutine, Sequence

from gripproxy.config import Config
from gripproxy.engine.channels import Channels
from gripproxy.engine.hub import Hub
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.sequencer import Sequencer
from gripproxy.errors import RequestError
from gripproxy.flow.access import Access
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.holding import Holder
from gripproxy.flow.ports import Interim
from gripproxy.flow.publishing import Publisher
from gripproxy.flow.request import RequestFlow
from gripproxy.flow.request import Settings as RequestSettings
from gripproxy.front.http1 import Limits
from gripproxy.front.server import Server
from gripproxy.logs import Lines, Throttle
from gripproxy.origin.builtin import Builtin
from gripproxy.origin.pool import Limits as OriginLimits
from gripproxy.origin.pool import Pool
from gripproxy.protocol import answers
from gripproxy.protocol.forwarding import AddressRule, Forwarder
from gripproxy.protocol.forwarding import Settings as ForwardingSettings
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import RouteTable, Target
from gripproxy.protocol.signing import Signer, Verifier

log = logging.getLogger("gripproxy")

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
        fetcher = Fetcher(Origins(self.pool, Builtin()))
        self.access = Access(
            lines.line if lines is not None else None,
            AccessSettings(client=proxy.log_from, user_agent=proxy.log_user_agent),
        )
        holder = Holder(
            fetcher,
            self.forwarder,
            self.hub,
            clock=clock,
            tasks=tasks,
            routes=lambda: self.flow.routes,
            access=self.access,
            subscription_max=handler.connection_subscription_max,
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
                upstream=Verifier(proxy.upstream_key) if proxy.upstream_key else None,
            ),
            serve_socket=None,
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
        self._topic(channel, True)

    def last_subscriber(self, channel: str) -> None:
        """Tell the inputs that a channel is wanted no longer."""
        self.hub.last_ids.forget(channel)
        self._topic(channel, False)

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

    def close(self) -> None:
        """Cut what is left."""
        self.server.close()
        self.pool.close()
        self._alarm.close()


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
        self.inputs = Inputs(config_of_inputs(config), self, warn=self._warn)
        self._api = ControlApi(
            self,
            body_max=handler.push_in_http_max_body_size,
            credentials=credentials(config),
            warn=self._warn,
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

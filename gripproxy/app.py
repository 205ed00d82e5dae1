"""One process: builds the objects of its role, opens and closes them, and decides nothing.

A process has the *front* role (clients, origins, stories, hub), the *control* role (publishers and
operators, the order of items), or both (`Single`). The configuration ends here: objects take the
values that they need.
"""

import asyncio
import logging
import math
import random
import socket
import ssl
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

from gripproxy.config import Config
from gripproxy.engine.channels import Channels, Kind
from gripproxy.engine.history import History
from gripproxy.engine.hub import Hub
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.limiter import Limiter
from gripproxy.engine.ports import Notices
from gripproxy.engine.responses import ResponseHold
from gripproxy.engine.sockets import Sessions, SocketSession
from gripproxy.engine.stats import Counters
from gripproxy.engine.store import Store
from gripproxy.engine.streams import StreamHold
from gripproxy.errors import CommandError, RequestError
from gripproxy.flow.access import LEVEL_OF_LINES, Access, log_of
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.caching import Cache
from gripproxy.flow.counting import Watch
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.filtering import Filtering
from gripproxy.flow.hits import Hits
from gripproxy.flow.holding import Holder
from gripproxy.flow.linking import Linker
from gripproxy.flow.opening import Opener
from gripproxy.flow.overhttp import Carrier
from gripproxy.flow.polling import Waiter
from gripproxy.flow.ports import Receipt
from gripproxy.flow.purging import Purging
from gripproxy.flow.request import RequestFlow
from gripproxy.flow.sockets import SocketFlow
from gripproxy.flow.sockjs import Settings as SockJsSettings
from gripproxy.flow.sockjs import SockJs
from gripproxy.flow.websocket import Relay
from gripproxy.front.http1 import Connection, Limits
from gripproxy.front.server import Server
from gripproxy.logs import Lines, Throttle
from gripproxy.options import Handler
from gripproxy.origin.builtin import Builtin
from gripproxy.origin.pool import Limits as OriginLimits
from gripproxy.origin.pool import Pool
from gripproxy.protocol import answers
from gripproxy.protocol.caching import tags
from gripproxy.protocol.caching.demands import Cookies
from gripproxy.protocol.caching.storing import Facts
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Response
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Route, RouteTable
from gripproxy.runtime import Alarm, Clock, Tasks, core_count, failed
from gripproxy.upstream import Origins, forwarding_settings, request_settings

log = logging.getLogger("gripproxy")

# How often a drain ends some of what lasts, and looks whether anything is left.
DRAIN_TICK = 0.05

# What is remembered of requests that were answered from memory, beside what is stored.
HITS_SHARE = 16

# A tenth of the clients' connections may wait in the pool (proxying.md 11.2).
POOL_SHARE = 10


class Peers(Protocol):
    """The other processes of an instance, as far as purges go."""

    unsettled_until: float  # monotonic seconds: of the purges before this process began

    def level(self) -> bool:
        """Tell whether every purge that anyone was told of has been applied here."""

    async def purge(self, purge: Purge, names: frozenset[tags.Tag]) -> None:
        """Have a purge, and these tags, taken back in all processes; wait until it is believed."""


class Front:
    """The front role: clients, origins, stories, the hub."""

    _counters: Counters | None = None
    _sweeps = False

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        tasks: Tasks,
        lines: Lines | None,
        topic: Callable[[str, bool], None],
        maxconn: int,
        last_ids: LastIds,
        peers: Peers | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._clock = clock
        self._tasks = tasks
        self._topic = topic
        self._peers = peers
        self._throttle = Throttle()
        self._minute = Throttle(60.0)
        self._alarm = Alarm(loop, self._ring)
        runner, proxy, handler = config.runner, config.proxy, config.handler
        channels = Channels(
            self,
            linger=handler.subscription_linger,
            update_on_first=handler.update_on_first_subscription,
            arm=self._alarm.arm,
        )
        self._hwm = handler.message_hwm
        self.hub = Hub(
            channels,
            last_ids,
            self,
            random=random.random,
            queue_bytes=runner.write_buffer_max,
            limiter=_limiter(channels, self, config),
            more=self._more,
            arm=self._alarm.arm,
        )
        self.pool = Pool(
            loop,
            OriginLimits(
                connect_timeout=proxy.origin_connect_timeout,
                timeout=proxy.origin_timeout,
                size=max(1, runner.client_maxconn // POOL_SHARE),
                compression=runner.allow_compression,
            ),
        )
        self.forwarder = Forwarder(forwarding_settings(config))
        origins = Origins(self.pool, Builtin(loop))
        fetcher = Fetcher(origins)
        self.hub.history = history = _history(handler)
        self.store: Store[Facts] = Store(
            config.cache.size, chain=history.leads if history is not None else None
        )
        self.hub.marks = self.store.marks
        if peers is not None:
            self.store.marks.unsettled_until = peers.unsettled_until
        self.cache = fetcher.cache = Cache(
            self.store,
            fetcher.ask,
            clock=clock,
            tasks=tasks,
            level=_alone if peers is None else peers.level,
            invalidate=self._invalidate,
            cookies=Cookies(config.cache.cookies),
            max_object_size=config.cache.max_object_size,
        )
        self.access = _access(config, lines, loop)
        linker = Linker(self.forwarder, clock=clock, routes=lambda: self.flow.routes)
        self.hub.network = Filtering(fetcher, linker, clock=clock, tasks=tasks, access=self.access)
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
        opener = Opener(self.sessions, clock=clock, access=self.access, make_id=_make_id)
        self._sockets = SocketFlow(
            Carrier(origins, self.forwarder, opener, invalidate=self._invalidate),
            Relay(origins, opener),
            self.forwarder,
            clock=clock,
            access=self.access,
        )
        self.sockjs = SockJs(
            self._sockets.serve,
            self.hub,
            clock=clock,
            tasks=tasks,
            entropy=lambda: random.getrandbits(32),
            settings=SockJsSettings(script_url=proxy.sockjs_url, sessions_max=maxconn),
        )
        self.flow = RequestFlow(
            fetcher,
            self.forwarder,
            holder,
            clock=clock,
            access=self.access,
            settings=request_settings(config),
            serve_socket=self._sockets.serve,
            serve_sockjs=self.sockjs.serve,
        )
        self.flow.purging = Purging(config.cache.purge_from, self._purge_for_client, _make_id)
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
                message_max=runner.ws_message_max,
                compression=runner.allow_compression,
            ),
            refused=self._refused,
            failed=failed,
            maxconn=maxconn,
        )

        # With that switch no answer is sent as it is stored.
        self._hits = (
            None
            if proxy.auto_cross_origin
            else Hits(
                self.cache,
                clock=clock,
                access=self.access,
                by_address=self.forwarder.address_rules[0].append,
                size=config.cache.size // HITS_SHARE,
            )
        )

    def count_with(self, counters: Counters) -> None:
        """Have what happens here counted; before the first client."""
        self._counters = self.hub.counters = self.hub.channels.watch = counters
        rule, trusted_rule = self.forwarder.address_rules
        watch = Watch(
            counters, clock=self._clock, make_id=_make_id, rule=rule, trusted_rule=trusted_rule
        )
        self.flow.watch_with(watch)
        if self._hits is not None:
            self._hits.watch = watch
        self._sockets.watch_with(watch)

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Serve the clients of a bound socket."""
        await self.server.listen(sock, context)

    def use_routes(self, table: RouteTable) -> None:
        """Take other routes from the next request on; what is held keeps its own."""
        self.flow.routes = table
        self.forwarder.forget_routes()
        self.cache.forget_routes()
        if self._hits is not None:
            self._hits.forget()
            stores = any(route.cache for route in table.routes)
            self.server.hits = self._hits if stores else None

    def release(self, items: Sequence[PublishItem]) -> int:
        """Deliver released items; return how many receivers they have here."""
        now = self._clock.now()
        receivers = 0
        for item in items:
            count = self.hub.publish(item, now=now)
            # Of several processes those without a holder have nothing to tell.
            if self._peers is None or item.channel in self.hub.channels:
                self.access.published(item.channel, count)
            receivers += count
        return receivers

    def mark(self) -> None:
        """Receivers are counted as items are released: there is nothing to begin anew."""

    async def released(self) -> int:
        """All is delivered here at once: there is nobody else to wait for."""
        return 0

    # Purges

    def purge(self, purge: Purge, names: frozenset[tags.Tag] = frozenset()) -> int:
        """Take back what a purge names, and these tags; return how many stored responses."""
        count = self.store.purge(
            purge, tags.of_purge(purge) | names, now=self._clock.now(), wall=self._clock.wall()
        )
        for channel, item_id in purge.items:
            count += self.store.purge_channel(channel, item_id)
        if not self._sweeps:
            self._sweeps = True
            self._loop.call_soon(self._sweep)
        return count

    def take_back(self, purges: Sequence[Purge]) -> Receipt:
        """Take back what purges name, in this process."""
        return Receipt(sum([self.purge(purge) for purge in purges]))

    async def take_back_and_count(self, purge: Purge) -> Receipt:
        """Take back what a purge names, in this process."""
        return self.take_back([purge])

    async def _purge_for_client(self, purge: Purge) -> None:
        await self._purge_everywhere(purge, frozenset())

    async def _invalidate(self, names: frozenset[tags.Tag]) -> None:
        """Take back what an unsafe request has changed, before its client is told."""
        await self._purge_everywhere(Purge(), names)

    async def _purge_everywhere(self, purge: Purge, names: frozenset[tags.Tag]) -> None:
        """Take back what a client's request names, in all processes."""
        if self._counters is not None:
            self._counters.metrics.purged("client")
        if self._peers is None:
            self.purge(purge, names)
        else:
            await self._peers.purge(purge, names)

    def _sweep(self) -> None:
        """Drop what is dead, a little in each turn of the loop."""
        self._sweeps = False
        if self.store.sweep(now=self._clock.now()):
            self._sweeps = True
            self._loop.call_soon(self._sweep)

    # As the hub's notices

    def first_subscriber(self, channel: str) -> None:
        """Tell the inputs that a channel is wanted."""
        self._topic(channel, True)  # noqa: FBT003

    def last_subscriber(self, channel: str) -> None:
        """Tell the inputs that a channel is wanted no longer, unless it is held elsewhere."""
        self._topic(channel, False)  # noqa: FBT003

    def kept_alive(self, route: Route, kind: int, size: int) -> None:
        """Count what was sent lest a client hear nothing."""
        if self._counters is not None:
            self._counters.kept_alive(route, kind, size)

    def dropped(self, channel: str, reason: str) -> None:
        """Say that items are lost, once a channel and minute."""
        self._count_drops("slow" if reason == "slow" else "unsendable")
        if self._minute.allows(f"{channel}: {reason}", now=self._clock.now()):
            log.warning("item dropped channel=%s reason=%s", channel, reason)

    def closed(self, count: int) -> None:
        """Count what waited for who has left: that happens every day."""
        self._count_drops("closed", count)

    def failed(self, error: Exception) -> None:
        """Log a bug of a hold."""
        failed("a hold", error)

    def filter_failed(self, route: Route, channel: str, text: str) -> None:
        """Say that filters fail, once a route, channel and minute."""
        self._count_drops("filter")
        if self._minute.allows(f"{route.id} {channel}", now=self._clock.now()):
            log_of(route).warning("%s: item dropped channel=%s: %s", _name(route), channel, text)

    def odd_content(self, route: Route, text: str) -> None:
        """Say that contents have what only looks like a directive, once a route and minute."""
        if self._minute.allows(f"{route.id}%", now=self._clock.now()):
            log_of(route).warning("%s: left as it is: %s", _name(route), text)

    def exceeded(self, route: Route | None, count: int) -> None:
        """Say that more deliveries wait than may; it is called once a second at most."""
        self._count_drops("hwm", count)
        of_route = f" for route {route.id}" if route is not None else ""
        text = "exceeded publish hwm (%d)%s, dropping message count=%d"
        log_of(route).warning(text, self._hwm, of_route, count)

    def _count_drops(self, reason: str, count: int = 1) -> None:
        if self._counters is not None:
            self._counters.metrics.dropped(reason, count)

    # Time

    def _ring(self, now: float) -> None:
        try:
            self.hub.due(now)
        except Exception as error:  # noqa: BLE001  # other moments must not be missed
            self.failed(error)
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
        # Requests have ids only where statistics tell of them.
        return [cid for cid in dict.fromkeys(ids) if self._exists(cid)]

    def _exists(self, cid: str) -> bool:
        counters = self._counters
        return self.sessions.find(cid) is not None or (counters is not None and cid in counters)

    def counts(self) -> dict[str, int]:
        """Return how much there is of what is held."""
        held = self.hub.statistics()
        return {
            "connections": len(self.server.connections),
            "responses": held.responses,
            "streams": held.streams,
            "websockets": held.sockets,
            "channels": held.channels,
            "updates": held.waiting_updates,
            "stored": len(self.store),
            "stored_bytes": self.store.statistics().size,
            "tasks": len(self._tasks),
        }

    # Ending

    async def drain(self, seconds: float) -> None:
        """End what is held, spread over some seconds; requests that are answered may finish."""
        self.server.stop_accepting()
        now = self._loop.time
        self.sockjs.drain(now())
        end = now() + seconds
        told: set[Hold | Connection] = set()
        while self.server.connections:
            lasting = [one for one in self.server.connections if one.lasts]
            due = [one for one in map(_what_ends, lasting) if one not in told]
            left = max(end - now(), DRAIN_TICK)
            for one in due[: math.ceil(len(due) * DRAIN_TICK / left)]:
                told.add(one)
                if isinstance(one, Connection):
                    one.drain()
                else:
                    one.drain(now())
            if now() >= end:
                return
            await asyncio.sleep(DRAIN_TICK)  # the last ones end by themselves

    def close(self) -> None:
        """Cut what is left."""
        self.server.close()
        self.pool.close()
        self._alarm.close()


Hold = ResponseHold | StreamHold | Waiter


def _what_ends(connection: Connection) -> Hold | Connection:
    """Return what is to be drained of a connection that lasts."""
    held = connection.held
    return held if isinstance(held, Hold) else connection


def _access(config: Config, lines: Lines | None, loop: asyncio.AbstractEventLoop) -> Access:
    """Return what writes the lines of which each request has one."""
    if lines is None:
        return Access(None, AccessSettings())
    settings = AccessSettings(
        client=config.proxy.log_from,
        user_agent=config.proxy.log_user_agent,
        level=lines.levels.of("proxy"),
        handler_level=lines.levels.of("handler"),
        worker=lines.worker,
    )
    return Access(
        lines.line,
        settings,
        record=lines.record if lines.json else None,
        now=loop.time if settings.level >= LEVEL_OF_LINES else None,
    )


def _name(route: Route) -> str:
    """Return what the log calls a route: its id, or where it is written."""
    return f"route {route.id}" if route.explicit_id else route.place


def _limiter(channels: Channels, notices: Notices, config: Config) -> Limiter | None:
    """Return what paces deliveries, if they are to be paced."""
    handler = config.handler
    if not (handler.message_rate or handler.message_hwm):
        return None
    return Limiter(
        channels,
        notices,
        rate=handler.message_rate,
        hwm=handler.message_hwm,
        block_size=handler.message_block_size,
        processes=config.runner.workers or core_count(),
    )


def _history(handler: Handler) -> History | None:
    """Return where released items are kept, if they are to be."""
    if not handler.history_items:
        return None
    return History(handler.history_items, handler.history_seconds, handler.history_bytes)


def _alone() -> bool:
    """Tell whether the only process knows of all purges: it does."""
    return True


def _make_id() -> str:
    """Return an id that no other WebSocket has."""
    return str(uuid.uuid4())

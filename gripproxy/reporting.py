"""The statistics of an instance: who counts, who announces, and where it goes out (stats.md).

Each process counts what happens in it. One of them, the parent if there are workers, has the
`Reporter`: it takes the news of all, and has the statistics socket and the metrics port. A worker
has a `Teller`, which sends its news to the parent. Where an instance has neither socket nor port
it has neither of both, and nothing is counted.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from typing import Protocol

from gripproxy.app import Front
from gripproxy.config import Config
from gripproxy.engine.announcing import Announcer, Times
from gripproxy.engine.news import News, Sample, Statistics
from gripproxy.engine.stats import Counters
from gripproxy.flow.publishing import Released
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.statspackets import Format, Kind, Packet
from gripproxy.report.zeromq import StatsSocket
from gripproxy.runtime import Alarm, Clock

# How long a process gathers its news, and the parent those of workers, which are gathered already
# and some of which come later than others (stats.md 4).
GATHER_SECONDS = 0.1
WINDOW_SECONDS = 0.15
# How often a worker with connections tells of their minutes and bytes, if it tells nothing else.
BEAT_SECONDS = 1.0
# How often it is looked how late timers are.
LAG_SECONDS = 1.0

_NOBODY = News()


def is_wanted(config: Config) -> bool:
    """Tell whether statistics of this instance can be read by anybody."""
    return bool(config.handler.stats_spec) or config.handler.prometheus_port is not None


def make_counters(config: Config, *, now: float) -> Counters:
    """Return what counts in this process; no other one ever gives connections the same ids."""
    return Counters(
        now=now,
        instance=f"gripproxy-{secrets.token_hex(6)}",
        tells=bool(config.handler.stats_spec),
        measures=config.handler.prometheus_port is not None,
        block_size=config.handler.message_block_size,
    )


# The process that reports


class _Closing(Protocol):
    async def close(self) -> None: ...


class Reporter:
    """Reports on an instance. `collect` gathers the statistics of all its processes.

    With `workers` there are other processes that tell: then `read` is called with the kinds of
    packets that somebody reads, whenever these are others than before.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        collect: Callable[[], Awaitable[Statistics]],
        workers: bool = False,
        read: Callable[[Collection[Kind]], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._collect = collect
        self._metrics: _Closing | None = None
        self._telling: _Telling | None = None
        self.counters = make_counters(config, now=clock.now())
        if config.handler.stats_spec:
            self._telling = _Telling(
                config, self.counters, clock=clock, workers=workers, read=read
            )

    async def open(self, metrics: socket.socket | None) -> None:
        """Bind the statistics socket, and answer for metrics on a socket that is bound.

        Raises:
            ListenError: the statistics socket cannot be bound.
        """
        if self._telling is not None:
            self._telling.open()
        if metrics is not None:
            # Here and not above: the libraries take 20 MB, which who has no such port need not.
            from gripproxy.report.prometheus import MetricsServer  # noqa: PLC0415

            server = MetricsServer(self._collect, prefix=self._config.handler.prometheus_prefix)
            await server.listen(metrics)
            self._metrics = server

    def out(self, out: Released) -> Released:
        """Return a way for released items on which they are counted."""
        return _Counting(out, self.counters)

    # Workers

    def join(self, source: Hashable) -> Collection[Kind]:
        """Add a worker; return which packets are read. Items are numbered alike from now on."""
        if self._telling is None:
            return ()
        return self._telling.join(source)

    def leave(self, source: Hashable) -> None:
        """Announce that what a worker had is gone."""
        if self._telling is not None:
            self._telling.leave(source)

    def take(self, source: Hashable, news: News) -> None:
        """Take news of a worker."""
        if self._telling is not None:
            self._telling.take(source, news)

    async def close(self) -> None:
        """Close the socket and the port."""
        if self._telling is not None:
            self._telling.close()
        if self._metrics is not None:
            await self._metrics.close()


class _Telling:
    """The packets: from news to the statistics socket."""

    def __init__(
        self,
        config: Config,
        counters: Counters,
        *,
        clock: Clock,
        workers: bool,
        read: Callable[[Collection[Kind]], None],
    ) -> None:
        handler = config.handler
        counters.changed = self._changed
        counters.want(())
        self._counters = counters
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._alarm = Alarm(self._loop, self._ring)
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._sends_connections = config.general.stats_connection_send
        self._wanted: frozenset[Kind] = frozenset()
        self._socket = StatsSocket(
            handler.stats_spec,
            sender=f"gripproxy_{os.getpid()}",
            form=Format.JSON if handler.stats_format == "json" else Format.TNETSTRING,
            ipc_file_mode=handler.ipc_file_mode,
            changed=self._read_otherwise,
        )
        times = Times(
            connection_ttl=config.general.stats_connection_ttl,
            subscription_ttl=handler.stats_subscription_ttl,
            report_interval=handler.stats_report_interval,
            linger=handler.subscription_linger,
            window=WINDOW_SECONDS if workers else 0.0,
        )
        # Not at once: the set is another one later.
        self._announcer = Announcer(times, wanted=self._wants, now=clock.now())
        self._announcer.join(self)

    def _wants(self, kind: Kind) -> bool:
        return kind in self._wanted

    def open(self) -> None:
        self._socket.open()

    def close(self) -> None:
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._alarm.close()
        self._socket.close()

    def _read_otherwise(self) -> None:
        """Other kinds of packets are read than before."""
        self._wanted = self._socket.wanted
        if not self._sends_connections:
            self._wanted -= {Kind.CONNECTION}
        self._counters.want(self._wanted)
        self._read(self._wanted)

    # News of this process

    def _changed(self) -> None:
        """Tell the news of this process: what somebody waits for at once, sums gathered."""
        if self._wanted and self._soon is None:
            self._soon = self._loop.call_soon(self._tell_soon)
        if self._later is None:
            self._later = self._loop.call_later(GATHER_SECONDS, self._tell_later)

    def _tell_soon(self) -> None:
        self._soon = None
        self.take(self, self._counters.news(self._clock.now(), totals=False))

    def _tell_later(self) -> None:
        self._later = None
        self.take(self, self._counters.news(self._clock.now()))

    # News of any process

    def join(self, source: Hashable) -> Collection[Kind]:
        self._announcer.join(source, first=self._counters.number)
        return self._wanted

    def leave(self, source: Hashable) -> None:
        self._send(self._announcer.leave(source, now=self._clock.now()))

    def take(self, source: Hashable, news: News) -> None:
        self._send(self._announcer.take(source, news, now=self._clock.now()))

    def _ring(self, now: float) -> None:
        self.take(self, self._counters.news(now))
        self._send(self._announcer.due(now))

    def _send(self, packets: Sequence[Packet]) -> None:
        if packets:
            self._socket.send(packets)
        following = self._announcer.next_deadline()
        if following is not None:
            self._alarm.arm(following)


class _Counting:
    """Counts released items on their way: satisfies `flow.publishing.Released`."""

    def __init__(self, out: Released, counters: Counters) -> None:
        self._out = out
        self._counters = counters

    def mark(self) -> None:
        self._out.mark()

    def release(self, items: Sequence[PublishItem]) -> int:
        self._counters.number += len(items)
        for item in items:
            self._counters.received(item)
        return self._out.release(items)

    async def released(self) -> int:
        return await self._out.released()


# A worker


class Teller:
    """Tells the parent of a worker's news, gathered."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[News], None],
    ) -> None:
        self._clock = clock
        self._send = send
        self._alarm = Alarm(loop, self._tell)
        self.counters = make_counters(config, now=clock.now())
        if config.handler.stats_spec:
            self.counters.changed = self._changed

    def _changed(self) -> None:
        self._alarm.arm(self._clock.now() + GATHER_SECONDS)

    def _tell(self, now: float) -> None:
        news = self.counters.news(now)
        if news != _NOBODY:
            self._send(news)
        if self.counters.connections:
            self._alarm.arm(now + BEAT_SECONDS)

    def close(self) -> None:
        """Tell nothing more."""
        self._alarm.close()


class Gathered:
    """The statistics of all workers, as far as they have told."""

    def __init__(self, count: int) -> None:
        self._last = dict.fromkeys(range(count), Statistics())
        self._dead = Statistics()

    def died(self, worker: int) -> None:
        """Keep what a dead worker has counted: its successor begins anew."""
        self._dead = self._dead.plus(self._last[worker].lasting())
        self._last[worker] = Statistics()

    def take(self, told: Sequence[Statistics]) -> Statistics:
        """Take what workers that answer have told just now; return the sum for all."""
        up: dict[Sample, float] = {("worker_up", str(worker)): 0 for worker in self._last}
        found = self._dead.plus(Statistics(up))
        answered = {worker: one for one in told for worker in self._last if _is_of(one, worker)}
        self._last |= answered
        for worker, last in self._last.items():
            # Of one that does not answer only what cannot have become less.
            found = found.plus(last if worker in answered else last.lasting())
        return found


def _is_of(statistics: Statistics, worker: int) -> bool:
    return ("worker_up", str(worker)) in statistics.samples


# What metrics show beside what is counted


class Gauges:
    """What there is in a process with the front role, at the moment that one asks."""

    def __init__(self, front: Front, counters: Counters, *, worker: int, clock: Clock) -> None:
        self._front = front
        self._counters = counters
        self._worker = str(worker)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lag = 0.0
        self._timer = self._loop.call_later(LAG_SECONDS, self._look, clock.now() + LAG_SECONDS)

    def _look(self, due: float) -> None:
        now = self._clock.now()
        self._lag = max(0.0, now - due)
        self._timer = self._loop.call_later(LAG_SECONDS, self._look, now + LAG_SECONDS)

    def statistics(self) -> Statistics:
        """Return what there is, and what was counted."""
        front = self._front
        connections = front.server.connections
        idle, busy = front.pool.sizes()
        samples: dict[Sample, float] = {
            ("channels",): len(front.hub.channels),
            ("client_connections",): len(connections),
            ("write_queue_bytes",): sum(connection.pending() for connection in connections),
            ("origin_connections", "idle"): idle,
            ("origin_connections", "busy"): busy,
            ("worker_up", self._worker): 1,
            ("event_loop_lag_seconds", self._worker): self._lag,
        }
        samples |= _of_cache(front)
        return self._counters.statistics(self._clock.now()).plus(Statistics(samples))

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()


def _of_cache(front: Front) -> dict[Sample, float]:
    """Return what is stored, and how requests to routes with `cache` were answered."""
    stored = front.store.statistics()
    found: dict[Sample, float] = {
        ("cache_entries",): stored.entries,
        ("cache_bytes",): stored.size,
        ("cache_limit_bytes",): stored.limit,
        ("cache_tags",): stored.tags,
        ("cache_purged_total",): stored.purged,
        ("cache_evicted_total",): stored.evicted,
    }
    for result, count in front.cache.results().items():
        found["cache_requests_total", result] = count
    return found

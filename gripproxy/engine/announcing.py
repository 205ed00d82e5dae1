"""What statistics packets say, and when: once for an instance (stats.md 4 to 6, 10).

`Announcer` takes the `News` of every process, its *sources*, and gives packets. Subscribers,
connections and sums are those of all sources together, and each connection and each (mode,
channel) is announced once. First news go out at once; what lives is repeated, spread over
one-second ticks, so that a late reader learns it. The states of a (mode, channel):

| state     | event                        | packet, next state         |
|-----------|------------------------------|----------------------------|
| none      | first subscriber             | `sub`; live                |
| live      | number changes               | `sub` at next tick; live   |
| live      | refresh due                  | `sub`; live                |
| live      | last goes, stream or ws      | `sub` unavailable; none    |
| live      | last goes, response          | nothing; lingering         |
| lingering | subscriber comes             | `sub`; live                |
| lingering | linger over, next tick       | `sub` unavailable; none    |
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from gripproxy.engine.channels import Kind
from gripproxy.engine.deadlines import Deadlines
from gripproxy.engine.news import Begun, News, Sent, Total
from gripproxy.engine.sums import NAMES
from gripproxy.protocol import statspackets
from gripproxy.protocol.statspackets import Kind as PacketKind
from gripproxy.protocol.statspackets import Packet

TICK = 1.0

MODES = ("response", "stream", "ws")
TRANSPORTS = ("http-response", "http-stream", "ws-message")

# Left out of a report unless there were blocks.
_BLOCKS = ("blocks_received", "blocks_sent")
_REPORTED = NAMES[NAMES.index("minutes") :]
_ACTIVITY = NAMES.index("activity")
_REQUESTS = NAMES.index("requests_received")

Key = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds (config.md 3.1, 3.4). `window` is how long news of several sources are gathered."""

    connection_ttl: int = 120
    subscription_ttl: int = 60
    report_interval: int = 10
    linger: float = 60.0
    window: float = 0.0


class Announcer:
    """Makes packets of news; those that are not `wanted` are not made."""

    def __init__(self, times: Times, *, wanted: Callable[[PacketKind], bool], now: float) -> None:
        self._times = times
        self._wanted = wanted
        self._sources: dict[Hashable, _Source] = {}
        self._connections: dict[str, _Connection] = {}
        self._connection_rounds: _Rounds[_Connection] = _Rounds(times.connection_ttl)
        self._subscriptions: dict[Key, _Subscription] = {}
        self._subscription_rounds: _Rounds[_Subscription] = _Rounds(times.subscription_ttl)
        self._changed: dict[_Subscription, None] = {}
        self._lingering: Deadlines[_Subscription] = Deadlines()
        self._sent: dict[tuple[int, int], Sent] = {}
        self._sent_due: deque[tuple[float, tuple[int, int]]] = deque()
        self._activity: dict[str, int] = {}
        self._requests = 0
        self._gathered_at: float | None = None
        self._entries: dict[str, _Entry] = {}
        self._tick_at = now + TICK
        self._report_at = now + times.report_interval
        self._out: list[Packet] = []

    def __repr__(self) -> str:
        return (
            f"<Announcer {len(self._sources)} sources, {len(self._connections)} connections, "
            f"{len(self._subscriptions)} subscriptions>"
        )

    # Sources

    def join(self, source: Hashable, *, first: int = 0) -> None:
        """Add a source; items are numbered the same everywhere if its numbers follow `first`."""
        self._sources[source] = _Source(first)

    def leave(self, source: Hashable, *, now: float) -> list[Packet]:
        """Forget a source: what it had is gone."""
        left = self._sources.pop(source, None)
        if left is not None:
            for cid in left.cids:
                self._end(cid)
            for key, count in left.subscribers.items():
                self._change(key, -count, now)
            for total in left.totals.values():
                entry = self._entries.get(total.route)
                if entry is not None:
                    entry.connections -= total.connections
        return self._taken()

    def take(self, source: Hashable, news: News, *, now: float) -> list[Packet]:
        """Take news of a source that has joined; return what is to be said at once."""
        teller = self._sources[source]
        self._wake(now)
        for begun in news.begun:
            teller.cids.add(begun.cid)
            self._begin(begun)
        for kind, channel, count in news.subscribers:
            key = kind, channel
            before = teller.subscribers.pop(key, 0)
            if count:
                teller.subscribers[key] = count
            self._change(key, count - before, now)
        for sent in news.sent:
            self._send(sent, teller.first, now)
        for (cid,) in news.ended:
            teller.cids.discard(cid)
            self._end(cid)
        for total in news.totals:
            self._add(total, teller, now)
        if self._gathered_at is not None and self._gathered_at <= now:
            self._tell_gathered()
        return self._taken()

    def _taken(self) -> list[Packet]:
        out, self._out = self._out, []
        return out

    # Connections

    def _begin(self, begun: Begun) -> None:
        connection = self._connections[begun.cid] = _Connection(begun)
        self._connection_rounds.add(connection)
        if self._wanted(PacketKind.CONNECTION):
            self._out.append(connection.packet(self._times.connection_ttl))

    def _end(self, cid: str) -> None:
        connection = self._connections.pop(cid, None)
        if connection is not None:
            self._connection_rounds.discard(connection)
            if self._wanted(PacketKind.CONNECTION):
                self._out.append(statspackets.connection_gone(cid, connection.begun.route or None))

    # Subscriptions

    def _change(self, key: Key, by: int, now: float) -> None:
        subscription = self._subscriptions.get(key)
        if subscription is None:
            if by:
                subscription = self._subscriptions[key] = _Subscription(key)
                self._live(subscription, by)
        elif not subscription.total and by:
            self._lingering.cancel(subscription)
            self._live(subscription, by)
        elif by:
            subscription.total += by
            if subscription.total:
                self._changed[subscription] = None
            else:
                self._last_gone(subscription, now)

    def _live(self, subscription: "_Subscription", total: int) -> None:
        subscription.total = total
        self._subscription_rounds.add(subscription)
        self._tell(subscription)

    def _last_gone(self, subscription: "_Subscription", now: float) -> None:
        self._changed.pop(subscription, None)
        self._subscription_rounds.discard(subscription)
        if subscription.key[0] == Kind.RESPONSE:
            self._lingering.set(subscription, now + self._times.linger)
        else:
            self._gone(subscription)

    def _gone(self, subscription: "_Subscription") -> None:
        del self._subscriptions[subscription.key]
        if self._wanted(PacketKind.SUBSCRIPTION):
            kind, channel = subscription.key
            self._out.append(statspackets.subscription_gone(MODES[kind], channel))

    def _tell(self, subscription: "_Subscription") -> None:
        self._changed.pop(subscription, None)
        if self._wanted(PacketKind.SUBSCRIPTION):
            self._out.append(subscription.packet(self._times.subscription_ttl))

    # Items

    def _send(self, sent: Sent, first: int, now: float) -> None:
        if not self._times.window:
            self._tell_sent(sent)
            return
        key = first + sent.number, sent.kind
        known = self._sent.get(key)
        if known is None:
            self._sent[key] = sent
            self._sent_due.append((now + self._times.window, key))
            return
        blocks = None if known.blocks is None else known.blocks + (sent.blocks or 0)
        self._sent[key] = known._replace(
            subscribers=known.subscribers + sent.subscribers, blocks=blocks
        )

    def _tell_sent(self, sent: Sent) -> None:
        if self._wanted(PacketKind.MESSAGE):
            self._out.append(
                statspackets.message(
                    sent.channel,
                    sent.item_id,
                    TRANSPORTS[sent.kind],
                    count=sent.subscribers,
                    blocks=sent.blocks,
                )
            )

    # Sums

    def _add(self, total: Total, teller: "_Source", now: float) -> None:
        route = total.route
        before = teller.totals.get(route) or _NOTHING
        teller.totals[route] = total
        added = [new - old for new, old in zip(total.sums, before.sums, strict=True)]
        if added[_ACTIVITY]:
            self._activity[route] = self._activity.get(route, 0) + added[_ACTIVITY]
        self._requests += added[_REQUESTS]
        if self._gathered_at is None and (self._requests or self._activity):
            self._gathered_at = now + self._times.window
        if self._times.report_interval:
            entry = self._entries.get(route)
            if entry is None:
                entry = self._entries[route] = _Entry(now)
            entry.add(added, before.connections, total)

    def _tell_gathered(self) -> None:
        activity, self._activity = self._activity, {}
        requests, self._requests = self._requests, 0
        self._gathered_at = None
        if self._wanted(PacketKind.ACTIVITY):
            self._out += [
                statspackets.activity(route or None, count) for route, count in activity.items()
            ]
        if requests and self._wanted(PacketKind.COUNTS):
            self._out.append(statspackets.counts(requests))

    # Time

    def due(self, now: float) -> list[Packet]:
        """Return what the time has come for."""
        if self._gathered_at is not None and now >= self._gathered_at:
            self._tell_gathered()
        while self._sent_due and now >= self._sent_due[0][0]:
            self._tell_sent(self._sent.pop(self._sent_due.popleft()[1]))
        while now >= self._tick_at:
            self._tick(self._tick_at)
            self._tick_at += TICK
        if self._entries and now >= self._report_at:
            self._report(now)
            self._report_at += self._times.report_interval
        return self._taken()

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        times = [self._gathered_at]
        if self._sent_due:
            times.append(self._sent_due[0][0])
        if self._connections or self._subscriptions:
            times.append(self._tick_at)
        if self._entries:
            times.append(self._report_at)
        return min((at for at in times if at is not None), default=None)

    def _wake(self, now: float) -> None:
        """Let what has passed while nothing was there be passed."""
        if not (self._connections or self._subscriptions) and self._tick_at <= now:
            self._tick_at += TICK * ((now - self._tick_at) // TICK + 1)
        interval = self._times.report_interval
        if not self._entries and interval and self._report_at <= now:
            self._report_at += interval * ((now - self._report_at) // interval + 1)

    def _tick(self, now: float) -> None:
        connections = self._connection_rounds.turn()
        if self._wanted(PacketKind.CONNECTION):
            ttl = self._times.connection_ttl
            self._out += [connection.packet(ttl) for connection in connections]
        for subscription in self._subscription_rounds.turn():
            self._tell(subscription)
        for subscription in list(self._changed):
            self._tell(subscription)
        for subscription in self._lingering.due(now):
            self._gone(subscription)

    def _report(self, now: float) -> None:
        for route, entry in list(self._entries.items()):
            if not entry.peak:
                del self._entries[route]
            packet = entry.report(route, now)
            if self._wanted(PacketKind.REPORT):
                self._out.append(packet)


class _Source:
    """What a process has told."""

    __slots__ = ("cids", "first", "subscribers", "totals")

    def __init__(self, first: int) -> None:
        self.first = first
        self.cids: set[str] = set()
        self.subscribers: dict[Key, int] = {}
        self.totals: dict[str, Total] = {}


_NOTHING = Total("", 0, 0, (0,) * len(NAMES))


class _Member:
    """What is announced again and again."""

    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot = 0


class _Connection(_Member):
    """A connection that has been announced."""

    __slots__ = ("begun",)

    def __init__(self, begun: Begun) -> None:
        super().__init__()
        self.begun = begun

    def packet(self, ttl: int) -> Packet:
        cid, route, transport, peer, ssl = self.begun
        return statspackets.connection(cid, route or None, transport, peer=peer, ssl=ssl, ttl=ttl)


class _Subscription(_Member):
    """A (mode, channel) that has been announced."""

    __slots__ = ("key", "total")

    def __init__(self, key: Key) -> None:
        super().__init__()
        self.key = key
        self.total = 0

    def packet(self, ttl: int) -> Packet:
        kind, channel = self.key
        return statspackets.subscription(MODES[kind], channel, subscribers=self.total, ttl=ttl)


M = TypeVar("M", bound=_Member)


class _Rounds(Generic[M]):
    """Members whose turns come three quarters of a `ttl` apart, spread over ticks."""

    def __init__(self, ttl: int) -> None:
        self._slots: list[dict[M, None]] = [{} for _ in range(max(1, ttl * 3 // 4))]
        self._present = 0
        self._next = 0

    def add(self, member: M) -> None:
        """Give a member turns: the first one after at most a whole round."""
        self._next = (self._next + 1) % len(self._slots)
        member.slot = self._next
        self._slots[self._next][member] = None

    def discard(self, member: M) -> None:
        """Give a member no more turns."""
        self._slots[member.slot].pop(member, None)

    def turn(self) -> Iterator[M]:
        """Return the members whose turn it is."""
        self._present = (self._present + 1) % len(self._slots)
        return iter(self._slots[self._present])


class _Entry:
    """A route's sums since its last report, and its connections now."""

    __slots__ = ("connections", "peak", "since", "sums")

    def __init__(self, now: float) -> None:
        self.connections = 0
        self.peak = 0
        self.since = now
        self.sums = [0] * len(NAMES)

    def add(self, added: list[int], before: int, total: Total) -> None:
        """Add what a source has added; it had so many connections before."""
        self.sums = [old + new for old, new in zip(self.sums, added, strict=True)]
        others = self.connections - before
        self.connections = others + total.connections
        # The most that there can have been: the other sources' numbers did not change meanwhile.
        self.peak = max(self.peak, others + total.peak)

    def report(self, route: str, now: float) -> Packet:
        """Return what has been, and begin anew."""
        sums = dict(zip(NAMES, self.sums, strict=True))
        reported: dict[str, int | None] = {name: sums[name] for name in _REPORTED}
        for name in _BLOCKS:
            reported[name] = sums[name] or None
        reported["connections"] = self.peak
        reported["duration"] = round((now - self.since) * 1000)
        self.peak = self.connections
        self.since = now
        self.sums = [0] * len(NAMES)
        return statspackets.report(route or None, reported)

"""Channels: who holds what, and for how long a channel stays subscribed without holders.

Specification: publishing.md 5.2, 5.3; grip-http.md 6.6, 7.5. A channel is subscribed from its
first holder on until its last has gone; after a response hold it *lingers*, so that a client that
polls again finds that it has missed something. One second after a channel became subscribed its
holds are to ask their origins again, for what was published before the subscription was known.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Protocol

from gripproxy.engine.deadlines import Deadlines
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.ports import Notices
from gripproxy.protocol.routes import Route

FIRST_UPDATE_AFTER = 1.0


class Kind(IntEnum):
    """Kinds of holders, in the order in which an item reaches them."""

    RESPONSE = 0
    STREAM = 1
    SOCKET = 2


class Holder(Protocol):
    """Whatever can be subscribed to a channel."""

    kind: Kind

    @property
    def route(self) -> Route:
        """The route that the client's request took."""

    def deliver(self, delivery: Delivery, now: float) -> None:
        """Take an item; it may have nothing for this kind of holder."""

    def update(self, now: float) -> None:
        """Ask the origin again when there is time: something may have been missed."""


class Channel:
    """The holders of one channel, by kind, in the order they came."""

    __slots__ = ("gap", "hinted", "holders", "linger_until", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.holders: tuple[dict[Holder, None], dict[Holder, None], dict[Holder, None]] = (
            {},
            {},
            {},
        )
        self.linger_until = 0.0
        # The id that a position last showed to be missed, with the epoch of that.
        self.gap: tuple[int, str] | None = None
        self.hinted = 0  # the epoch of the last item that let response holds ask again

    def __repr__(self) -> str:
        counts = "/".join(str(len(kind)) for kind in self.holders)
        return f"<Channel {self.name!r} {counts}>"

    @property
    def held(self) -> bool:
        """Whether anyone holds it."""
        responses, streams, sockets = self.holders
        return bool(responses or streams or sockets)


class Watch(Protocol):
    """Who counts subscribers: `engine.stats.Counters`."""

    def subscribed(self, channel: Channel, holder: Holder) -> None:
        """A channel gets a subscriber."""

    def unsubscribed(self, channel: Channel, holder: Holder) -> None:
        """A channel has lost a subscriber."""


class Channels:
    """All subscribed channels."""

    def __init__(
        self,
        notices: Notices,
        *,
        linger: float = 60.0,
        update_on_first: bool = True,
        arm: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.watch: Watch | None = None  # set by whoever has one, before the first subscriber
        self._arm = arm
        self._notices = notices
        self._linger = linger
        self._update_on_first = update_on_first
        self._channels: dict[str, Channel] = {}
        self._lingering: Deadlines[Channel] = Deadlines()
        self._fresh: Deadlines[Channel] = Deadlines()

    def __contains__(self, name: str) -> bool:
        return name in self._channels

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels.values())

    def __len__(self) -> int:
        return len(self._channels)

    def find(self, name: str) -> Channel | None:
        """Return a subscribed channel, also one that only lingers."""
        return self._channels.get(name)

    def has(self, name: str, holder: Holder) -> bool:
        """Tell whether a holder is subscribed to a channel."""
        channel = self._channels.get(name)
        return channel is not None and holder in channel.holders[holder.kind]

    def subscribe(self, name: str, holder: Holder, *, now: float) -> None:
        """Add a holder; the first one makes the channel subscribed."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name)
            self._notices.first_subscriber(name)
            if self._update_on_first:
                self._fresh.set(channel, now + FIRST_UPDATE_AFTER)
                self._arm(now + FIRST_UPDATE_AFTER)
        holders = channel.holders[holder.kind]
        if self.watch is not None and holder not in holders:
            self.watch.subscribed(channel, holder)
        holders[holder] = None

    def unsubscribe(self, name: str, holder: Holder, *, now: float) -> None:
        """Remove a holder; the last one ends the subscription, at once or after the linger."""
        channel = self._channels.get(name)
        if channel is None or channel.holders[holder.kind].pop(holder, channel) is channel:
            return
        if self.watch is not None:
            self.watch.unsubscribed(channel, holder)
        if holder.kind is Kind.RESPONSE and not channel.holders[Kind.RESPONSE]:
            channel.linger_until = now + self._linger
        if not channel.held:
            if channel.linger_until > now:
                self._lingering.set(channel, channel.linger_until)
                self._arm(channel.linger_until)
            else:
                self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        del self._channels[channel.name]
        self._fresh.cancel(channel)
        self._lingering.cancel(channel)
        self._notices.last_subscriber(channel.name)

    # Time

    def due(self, now: float) -> list[Channel]:
        """End lingers that are over; return channels whose holds are to update."""
        for channel in self._lingering.due(now):
            if not channel.held:
                self._drop(channel)
        return [channel for channel in self._fresh.due(now) if channel.held]

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        times = [at for at in (self._lingering.next(), self._fresh.next()) if at is not None]
        return min(times, default=None)

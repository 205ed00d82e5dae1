"""Where items meet holders (layout.md, *A publish*).

Everything here is synchronous: between two calls the state is whole, and no lock is needed. The
clock and the loop are outside: `due` is called when `next_deadline` has come, `run` while `more`
says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gripproxy.engine.channels import Channels, Holder, Kind
from gripproxy.engine.deadlines import Deadlines, Timed
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.origins import Hold
from gripproxy.engine.outbox import Outbox
from gripproxy.engine.ports import Notices
from gripproxy.engine.responses import ResponseHold
from gripproxy.engine.streams import StreamHold
from gripproxy.engine.subscriptions import Network, Subscription
from gripproxy.engine.updates import Updates
from gripproxy.protocol.items import PublishItem


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much is held."""

    channels: int
    responses: int
    streams: int
    sockets: int
    waiting_updates: int
    waiting_deliveries: int


class Hub:
    """Joins channels, holders, and the items for them."""

    def __init__(
        self,
        channels: Channels,
        last_ids: LastIds,
        notices: Notices,
        *,
        random: Callable[[], float],
        queue_bytes: int = 1_048_576,
        more: Callable[[], None] = lambda: None,
        arm: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Make a hub; its `network` is set by whoever has one, before the first item."""
        self.network: Network
        self.channels = channels
        self.last_ids = last_ids
        self.notices = notices
        self.random = random
        self.queue_bytes = queue_bytes
        self.deadlines: Deadlines[Timed] = Deadlines()
        self.updates = Updates(arm)
        self._outbox = Outbox()
        self._more = more
        self._arm = arm
        self._counts = [0, 0, 0]

    # Holders

    def attach(self, holder: Holder, subscriptions: Iterable[Subscription], *, now: float) -> bool:
        """Subscribe a holder; return whether one of its positions shows that it missed an item.

        A last id that differs is forgotten, so an origin that repeats its position is believed
        the second time (grip-http.md 7.3).
        """
        self._counts[holder.kind] += 1
        missed = False
        for subscription in subscriptions:
            self.channels.subscribe(subscription.channel, holder, now=now)
            if subscription.prev_id is not None:
                missed |= self._missed(subscription)
        return missed

    def missed(self, subscriptions: Iterable[Subscription]) -> bool:
        """Tell whether a position shows a missed item, before anything is subscribed."""
        found = [self._missed(s) for s in subscriptions if s.prev_id is not None]
        return any(found)

    def _missed(self, subscription: Subscription) -> bool:
        last = self.last_ids.get(subscription.channel)
        if last is None or last == subscription.prev_id:
            return False
        self.forget_last_id(subscription.channel)
        return True

    def subscribe(self, holder: Holder, channel: str, *, now: float) -> None:
        """Add one channel to a holder that is attached."""
        self.channels.subscribe(channel, holder, now=now)

    def unsubscribe(self, holder: Holder, channel: str, *, now: float) -> None:
        """Take one channel from a holder."""
        self.channels.unsubscribe(channel, holder, now=now)

    def detach(self, hold: Hold, *, now: float) -> None:
        """Unsubscribe a hold from everything and forget its moments."""
        self.deadlines.cancel(hold)
        self.updates.cancel(hold)
        self.release(hold, hold.subscriptions, now=now)

    def release(self, holder: Holder, channels: Iterable[str], *, now: float) -> None:
        """Unsubscribe a holder from these channels: it is over."""
        self._counts[holder.kind] -= 1
        for channel in channels:
            self.channels.unsubscribe(channel, holder, now=now)

    def set_deadline(self, holder: Timed, when: float) -> None:
        """Have a holder's `due` called at a moment."""
        self.deadlines.set(holder, when)
        self._arm(when)

    def forget_last_id(self, channel: str) -> None:
        """Forget the id that a channel was last seen with."""
        self.last_ids.forget(channel)

    # Items

    def publish(self, item: PublishItem, *, now: float) -> int:
        """Deliver a released item; return how many holders it is for."""
        channel = self.channels.find(item.channel)
        if channel is None:
            return 0
        if not item.no_seq:
            if item.id is None:
                self.last_ids.forget(item.channel)
            else:
                self.last_ids.set(item.channel, item.id)
        responses, streams, sockets = channel.holders
        receivers: list[Holder] = []
        if item.http_response is not None:
            receivers += responses
        if item.http_stream is not None:
            receivers += streams
        if item.ws_message is not None:
            receivers += sockets
        if receivers and self._outbox.put(Delivery(item), receivers, now=now):
            self._more()
        return len(receivers)

    def run(self, now: float) -> bool:
        """Deliver to the next part of receivers; return whether there are more."""
        return self._outbox.run(now)

    def recover(self, *, now: float) -> None:
        """Let every HTTP hold ask its origin again, after an outage of a publisher."""
        self.last_ids.clear()
        for channel in list(self.channels):
            self._update(channel.holders[Kind.RESPONSE], channel.holders[Kind.STREAM], now=now)

    # Time

    def due(self, now: float) -> None:
        """Do what the time has come for."""
        for timed in self.deadlines.due(now):
            timed.due(now)
        for channel in self.channels.due(now):
            self._update(channel.holders[Kind.RESPONSE], channel.holders[Kind.STREAM], now=now)
        for waiting in self.updates.due(now):
            waiting.update_turn(now)

    def _update(self, *kinds: dict[Holder, None], now: float) -> None:
        for kind in kinds:
            for holder in list(kind):
                holder.update(now)

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        times = (
            self.deadlines.next(),
            self.channels.next_deadline(),
            self.updates.next_deadline(),
        )
        return min((at for at in times if at is not None), default=None)

    def holds(self) -> list[Hold]:
        """Return all HTTP requests that are held, each once."""
        found: dict[Hold, None] = {}
        for channel in self.channels:
            for kind in channel.holders:
                for holder in kind:
                    if isinstance(holder, ResponseHold | StreamHold):
                        found[holder] = None
        return list(found)

    def statistics(self) -> Statistics:
        """Return how much is held."""
        return Statistics(
            channels=len(self.channels),
            responses=self._counts[Kind.RESPONSE],
            streams=self._counts[Kind.STREAM],
            sockets=self._counts[Kind.SOCKET],
            waiting_updates=len(self.updates),
            waiting_deliveries=len(self._outbox),
        )

"""Where items meet holders (layout.md, *A publish*).

Everything here is synchronous: between two calls the state is whole, and no lock is needed. The
clock and the loop are outside: `due` is called when `next_deadline` has come, `run` while `more`
says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gripproxy.engine.channels import Channel, Channels, Holder, Kind
from gripproxy.engine.deadlines import Deadlines, Timed
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.history import History
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.limiter import Limiter
from gripproxy.engine.marks import Marks
from gripproxy.engine.nexttimers import NextTimers
from gripproxy.engine.origins import Hold, Origin
from gripproxy.engine.outbox import Outbox
from gripproxy.engine.ports import Notices
from gripproxy.engine.stats import Counters
from gripproxy.engine.streams import StreamHold
from gripproxy.engine.subscriptions import Network, Subscription
from gripproxy.engine.updates import Updates
from gripproxy.protocol.formats import Action
from gripproxy.protocol.items import PublishItem

_UNSENDABLE = "text is not UTF-8"


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
        limiter: Limiter | None = None,
        more: Callable[[], None] = lambda: None,
        arm: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Make a hub; who has a network or wants to be told something says so before the first.

        `limiter` paces deliveries; without one they go out as fast as they can.
        """
        self.network: Network
        self.ended: Callable[[Origin], None] = lambda _: None
        # Told of a channel whose last id a holder has shown to be wrong.
        self.forgot: Callable[[str], None] = lambda _: None
        self.counters: Counters | None = None  # set by whoever has some, before the first holder
        # Who stores responses shares its own; for who does not they only count events.
        self.marks = Marks()
        self.history: History | None = None  # likewise set by who wants one
        self.channels = channels
        self.last_ids = last_ids
        self.notices = notices
        self.random = random
        self.queue_bytes = queue_bytes
        self.deadlines: Deadlines[Timed] = Deadlines()
        self.updates = Updates(arm)
        self.next_timers = NextTimers(arm)
        self._holds: dict[Hold, None] = {}
        self._outbox = Outbox(notices.failed)
        self._limiter = limiter
        self._more = more
        self._arm = arm
        self._counts = [0, 0, 0]

    # Holders

    def keep(self, hold: Hold, *, now: float) -> bool:
        """Subscribe a hold until it is detached; return as `attach`."""
        self._holds[hold] = None
        return self.attach(hold, hold.subscriptions.values(), now=now)

    def keep_and_replay(self, hold: StreamHold, *, now: float) -> bool:
        """As `keep`, but first the stream gets what has followed its positions meanwhile.

        So a snapshot is right that was taken a while ago (cache-and-purge.md, *Snapshot and
        replay*). What is not known of is missed as ever.
        """
        if self.history is None:
            return self.keep(hold, now=now)
        found: list[Delivery] = []
        behind = []
        for subscription in hold.subscriptions.values():
            items = None
            if subscription.prev_id is not None:
                items = self.history.after(subscription.channel, subscription.prev_id)
            if items is None:
                behind.append(subscription)
            else:
                found += items
        if found:
            hold.replay(sorted(found, key=lambda delivery: delivery.epoch))
        self._holds[hold] = None
        self.attach(hold, (), now=now)
        for subscription in hold.subscriptions.values():
            self.channels.subscribe(subscription.channel, hold, now=now)
        return self.missed(behind)

    def attach(self, holder: Holder, subscriptions: Iterable[Subscription], *, now: float) -> bool:
        """Subscribe a holder; return whether one of its positions shows that it missed an item.

        A last id that differs is forgotten, so an origin that repeats its position is believed
        the second time (grip-http.md 7.3).
        """
        self._counts[holder.kind] += 1
        if self.counters is not None:
            self.counters.attached(holder)
        missed = False
        for subscription in subscriptions:
            self.channels.subscribe(subscription.channel, holder, now=now)
            missed |= self._missed(subscription)
        return missed

    def missed(
        self, subscriptions: Iterable[Subscription], *, asked_in: int | None = None
    ) -> bool:
        """Tell whether a position shows a missed item, before anything is subscribed.

        `asked_in` is the epoch in which the origin was asked for these, if that is known.
        """
        # All are looked at: each last id that differs is forgotten.
        return sum([self._missed(subscription, asked_in) for subscription in subscriptions]) > 0

    def _missed(self, subscription: Subscription, asked_in: int | None = None) -> bool:
        if subscription.prev_id is None:
            return False
        last = self.last_ids.get(subscription.channel)
        channel = self.channels.find(subscription.channel)
        gap = channel.gap if channel is not None else None
        if last is None and gap is not None and asked_in is not None and asked_in < gap[0]:
            # Another one has shown the gap meanwhile: its answer is believed the second time, not
            # one that was asked for before.
            return subscription.prev_id != gap[1]
        if last is None or last == subscription.prev_id:
            return False
        self.forget_last_id(subscription.channel)
        epoch = self.marks.tick()
        if channel is not None:
            channel.gap = epoch, last
        return True

    def subscribe(self, holder: Holder, channel: str, *, now: float) -> None:
        """Add one channel to a holder that is attached."""
        self.channels.subscribe(channel, holder, now=now)

    def unsubscribe(self, holder: Holder, channel: str, *, now: float) -> None:
        """Take one channel from a holder."""
        self.channels.unsubscribe(channel, holder, now=now)

    def resubscribe(
        self, hold: Hold, subscriptions: dict[str, Subscription], *, now: float
    ) -> None:
        """Give a hold that is kept other subscriptions; channels that stay are not left."""
        before, hold.subscriptions = hold.subscriptions, subscriptions
        for channel in subscriptions:
            if channel not in before:
                self.channels.subscribe(channel, hold, now=now)
        for channel in before:
            if channel not in subscriptions:
                self.channels.unsubscribe(channel, hold, now=now)

    def detach(self, hold: Hold, *, now: float) -> None:
        """Unsubscribe a hold from everything and forget its moments, if it is kept."""
        if hold in self._holds:
            del self._holds[hold]
            self.deadlines.cancel(hold)
            self.updates.cancel(hold)
            self.release(hold, hold.subscriptions, now=now)

    def release(self, holder: Holder, channels: Iterable[str], *, now: float) -> None:
        """Unsubscribe a holder from these channels: it is over."""
        self._counts[holder.kind] -= 1
        if self.counters is not None:
            self.counters.released(holder)
        for channel in channels:
            self.channels.unsubscribe(channel, holder, now=now)

    def set_deadline(self, holder: Timed, when: float) -> None:
        """Have a holder's `due` called at a moment."""
        self.deadlines.set(holder, when)
        self._arm(when)

    def forget_last_id(self, channel: str) -> None:
        """Forget the id that a channel was last seen with, here and where items come in."""
        self.last_ids.forget(channel)
        self.forgot(channel)

    def over(self, origin: Origin) -> None:
        """Take note that a request is over for good."""
        self.ended(origin)

    # Items

    def publish(self, item: PublishItem, *, now: float) -> int:
        """Deliver a released item; return how many holders it is for."""
        epoch = self.marks.move(item.channel, None if item.no_seq else item.id)
        delivery = None if self.history is None else self._remembered(item, epoch, now)
        channel = self.channels.find(item.channel)
        if channel is None:
            return 0
        if item.no_seq:
            pass
        elif item.id is None:
            self.last_ids.forget(item.channel)
        else:
            self.last_ids.set(item.channel, item.id)
        receivers = self._receivers(item, channel, epoch)
        if receivers:
            if self.counters is not None:
                self.counters.delivered(item, channel)
            self._send(delivery or Delivery(item, epoch), receivers, now)
        return len(receivers)

    def _remembered(self, item: PublishItem, epoch: int, now: float) -> Delivery:
        """Keep a released item for those who come later."""
        delivery = Delivery(item, epoch)
        assert self.history is not None  # who has none does not ask
        self.history.add(delivery, now)
        return delivery

    def _receivers(self, item: PublishItem, channel: Channel, epoch: int) -> list[Holder]:
        responses, streams, sockets = channel.holders
        receivers: list[Holder] = []
        if item.http_response is not None:
            receivers += responses
            if item.http_response.action is Action.HINT:
                channel.hinted = epoch
        if item.http_stream is not None:
            receivers += streams
        if item.ws_message is not None and sockets:
            if item.ws_message.unsendable:
                self.notices.dropped(item.channel, _UNSENDABLE)
            receivers += sockets
        return receivers

    def _send(self, delivery: Delivery, receivers: list[Holder], now: float) -> None:
        limiter = self._limiter
        if limiter is not None:
            limiter.put(delivery, receivers, now=now)
            deadline = limiter.next_deadline()
            if deadline is not None:
                self._arm(deadline)
        elif self._outbox.put(delivery, receivers, now=now):
            self._more()

    def run(self, now: float) -> bool:
        """Deliver to the next part of receivers; return whether there are more."""
        return self._outbox.run(now)

    def recover(self, *, now: float) -> None:
        """Let every HTTP hold ask its origin again, after an outage of a publisher."""
        self.last_ids.clear()
        self.marks.move_all()
        if self.history is not None:
            self.history.clear()
        for hold in self.holds():
            hold.recover(now)

    # Time

    def due(self, now: float) -> None:
        """Do what the time has come for."""
        for timed in self.deadlines.due(now):
            self._safely(timed.due, now)
        fresh = self.channels.due(now)
        next_due = self.next_timers.next_deadline()
        if fresh or (next_due is not None and next_due <= now):
            self.marks.tick()
        for channel in fresh:
            for kind in (Kind.RESPONSE, Kind.STREAM):
                for holder in list(channel.holders[kind]):
                    self._safely(holder.update, now)
        self._safely(self.next_timers.due, now)
        for waiting in self.updates.due(now):
            self._safely(waiting.update_turn, now)
        if self._limiter is not None:
            self._limiter.due(now)

    def _safely(self, act: Callable[[float], None], now: float) -> None:
        """Act, and let a bug of one holder cost the others nothing."""
        try:
            act(now)
        except Exception as error:  # noqa: BLE001  # it is told, and the others go on
            self.notices.failed(error)

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        times = (
            self.deadlines.next(),
            self.channels.next_deadline(),
            self.next_timers.next_deadline(),
            self.updates.next_deadline(),
            self._limiter.next_deadline() if self._limiter is not None else None,
        )
        return min((at for at in times if at is not None), default=None)

    def holds(self) -> list[Hold]:
        """Return all HTTP requests that are held."""
        return list(self._holds)

    def statistics(self) -> Statistics:
        """Return how much is held."""
        return Statistics(
            channels=len(self.channels),
            responses=self._counts[Kind.RESPONSE],
            streams=self._counts[Kind.STREAM],
            sockets=self._counts[Kind.SOCKET],
            waiting_updates=len(self.updates),
            waiting_deliveries=len(self._outbox if self._limiter is None else self._limiter),
        )

"""The order of items: doubles dropped, early items held back, gaps given up in time.

Specification: publishing.md 7. This runs once, where items come in; whoever delivers gets released
items only. Channels do not know of each other, and kinds of holders make no difference.

What becomes of an item, in this order:

1. `no-seq`, or a channel that nobody is subscribed to: released; nothing is remembered.
2. The channel's last id is unknown: released.
3. The item names no prev-id: released.
4. Its prev-id is the last id: released.
5. Another item waits for the same prev-id: dropped.
6. As many items as may wait on the channel: dropped.
7. Otherwise it waits for its prev-id, or until its time is over.

A release by 2-4, or at the end of the wait, makes its id the last one (unknown if it has none) and
takes with it what waited for just that.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from gripproxy.engine.doubles import Doubles
from gripproxy.engine.lastids import LastIds

WAITING_MAX = 100  # items on one channel; as Pushpin


class Sequenced(Protocol):
    """What the order of items depends on."""

    @property
    def channel(self) -> str:
        """The channel that the item was published on."""

    @property
    def id(self) -> str | None:
        """Its id, None if it has none; empty is an id."""

    @property
    def prev_id(self) -> str | None:
        """The id of the item that it follows, if it says."""

    @property
    def no_seq(self) -> bool:
        """Whether it wants to be left out of the order."""


Item = TypeVar("Item", bound=Sequenced)


class Sequencer(Generic[Item]):
    """Takes items as they come and hands them out in order.

    `message_wait` and `id_cache_ttl` are in seconds. `doubled` and `dropped` count the items that
    were never released, by the check for doubles and by rules 5 and 6.
    """

    __slots__ = (
        "_deadlines",
        "_doubles",
        "_last_ids",
        "_subscribed",
        "_wait",
        "_waiting",
        "doubled",
        "dropped",
    )

    def __init__(
        self,
        message_wait: float,
        id_cache_ttl: float,
        last_ids: LastIds,
        subscribed: Callable[[str], bool],
    ) -> None:
        self.doubled = 0
        self.dropped = 0
        self._wait = message_wait
        self._doubles = Doubles(id_cache_ttl)
        self._last_ids = last_ids
        self._subscribed = subscribed
        self._waiting: dict[str, dict[str, Item]] = {}  # channel → prev-id → item
        # All wait equally long, so the order in which they came is that of their deadlines.
        self._deadlines: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        """The number of items that wait."""
        return len(self._deadlines)

    def admit(self, item: Item, *, now: float) -> Sequence[Item]:
        """Take an item; return what may go out now, in order."""
        channel = item.channel
        if item.id is not None and self._doubles.seen(channel, item.id, now=now):
            self.doubled += 1
            return ()
        if item.no_seq or not self._subscribed(channel):
            return (item,)
        prev_id = item.prev_id
        if prev_id is not None:
            last_id = self._last_ids.get(channel)
            if last_id is not None and last_id != prev_id:
                self._hold_back(item, prev_id, now)
                return ()
        return self._release(item)

    def expire(self, *, now: float) -> list[Item]:
        """Give up what was waited for too long; return what may go out now, in order."""
        released: list[Item] = []
        while self._deadlines:
            key, when = next(iter(self._deadlines.items()))
            if when > now:
                break
            released += self._release(self._take(*key))
        return released

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, None if nothing waits."""
        return next(iter(self._deadlines.values()), None)

    def forget_channel(self, channel: str) -> None:
        """Forget the last id of a channel that nobody is subscribed to, and what waits on it."""
        self._last_ids.forget(channel)
        for prev_id in self._waiting.pop(channel, ()):
            del self._deadlines[channel, prev_id]

    def recover(self) -> None:
        """Forget all last ids; what waits still waits for its time."""
        self._last_ids.clear()

    def _hold_back(self, item: Item, prev_id: str, now: float) -> None:
        waiting = self._waiting.setdefault(item.channel, {})
        if prev_id in waiting or len(waiting) >= WAITING_MAX:
            self.dropped += 1
            return
        waiting[prev_id] = item
        self._deadlines[item.channel, prev_id] = now + self._wait

    def _release(self, item: Item) -> Sequence[Item]:
        channel = item.channel
        if item.id is None:
            self._last_ids.forget(channel)
            return (item,)
        self._last_ids.set(channel, item.id)
        if item.id not in self._waiting.get(channel, ()):
            return (item,)
        return [item, *self._release(self._take(channel, item.id))]

    def _take(self, channel: str, prev_id: str) -> Item:
        waiting = self._waiting[channel]
        item = waiting.pop(prev_id)
        if not waiting:
            del self._waiting[channel]
        del self._deadlines[channel, prev_id]
        return item

"""What was released lately: so that who joins or comes back need not ask an origin for it.

Design: cache-and-purge.md, *Snapshot and replay*. Of each channel a *chain* is kept: items of
which each names the one before it. An item without id, with another prev-id, or that is left out
of the order breaks it: what was before can no longer be gone on from. Bounded in items of a
channel, in time, and in bytes of all together.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence

from gripproxy.engine.delivery import Delivery

# What an item takes beside its contents: objects, references, what is rendered of it.
ITEM_BYTES = 1000


class _Chain:
    """The items of one channel; `base` is the number of the first one that is kept."""

    __slots__ = ("base", "by_position", "items", "name", "size")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: deque[tuple[Delivery, float, int]] = deque()  # with time and size
        self.base = 0
        self.by_position: dict[str, int] = {}  # prev-id → number of the item that follows it
        self.size = 0

    def append(self, delivery: Delivery, now: float, size: int) -> None:
        if delivery.prev_id is not None:
            self.by_position[delivery.prev_id] = self.base + len(self.items)
        self.items.append((delivery, now, size))
        self.size += size

    def drop_first(self) -> int:
        """Forget the oldest item; return its size."""
        delivery, _, size = self.items.popleft()
        prev_id = delivery.prev_id
        if prev_id is not None and self.by_position.get(prev_id) == self.base:
            del self.by_position[prev_id]
        self.base += 1
        self.size -= size
        return size

    def after(self, position: str) -> list[Delivery] | None:
        last = self.items[-1][0]
        if last.id == position:
            return []
        number = self.by_position.get(position)
        if number is None:
            return None
        return [delivery for delivery, _, _ in list(self.items)[number - self.base :]]


class History:
    """The latest items of all channels."""

    def __init__(self, items: int, seconds: float, size: int) -> None:
        """Keep at most so many `items` of a channel, for `seconds`, in `size` bytes."""
        self._items = items
        self._seconds = seconds
        self._limit = size
        self._size = 0
        self._chains: OrderedDict[str, _Chain] = OrderedDict()  # by their latest items

    def __len__(self) -> int:
        """The number of items that are kept."""
        return sum(len(chain.items) for chain in self._chains.values())

    @property
    def size(self) -> int:
        """How many bytes they take."""
        return self._size

    def add(self, delivery: Delivery, now: float) -> None:
        """Take an item that is being released."""
        item = delivery.item
        chain = self._chains.get(item.channel)
        if item.id is None or item.no_seq:
            self._forget(chain)
            return
        if chain is not None and chain.items[-1][0].id != item.prev_id:
            self._forget(chain)
            chain = None
        if chain is None:
            chain = self._chains[item.channel] = _Chain(item.channel)
        size = _size_of(delivery)
        chain.append(delivery, now, size)
        self._size += size
        self._chains.move_to_end(item.channel)
        self._trim(chain, now)

    def clear(self) -> None:
        """Forget everything: what is known of the order of items is void."""
        self._chains.clear()
        self._size = 0

    def leads(self, channel: str, after: str, last: str) -> bool:
        """Tell whether the items kept lead from one id to the other."""
        chain = self._chains.get(channel)
        if chain is None:
            return False
        first = chain.by_position.get(after)
        if first is None:
            return False
        if chain.items[-1][0].id == last:
            return True
        behind = chain.by_position.get(last)  # what follows it tells where it is
        return behind is not None and behind > first

    def after(self, channel: str, position: str) -> Sequence[Delivery] | None:
        """Return the items that follow a position, None if nobody can tell."""
        chain = self._chains.get(channel)
        return chain.after(position) if chain is not None else None

    def _trim(self, chain: _Chain, now: float) -> None:
        too_old = now - self._seconds
        while len(chain.items) > self._items or chain.items[0][1] < too_old:
            self._size -= chain.drop_first()
        while True:
            oldest = next(iter(self._chains.values()))
            if oldest.items[-1][1] >= too_old:
                break
            self._forget(oldest)
        # One busy channel must not cost the quiet ones theirs.
        share = self._limit / len(self._chains)
        while self._size > self._limit:
            busy = chain.size > share and len(chain.items) > 1
            victim = chain if busy else next(iter(self._chains.values()))
            self._size -= victim.drop_first()
            if not victim.items:
                self._forget(victim)

    def _forget(self, chain: _Chain | None) -> None:
        if chain is not None:
            self._size -= chain.size
            del self._chains[chain.name]


def _size_of(delivery: Delivery) -> int:
    item = delivery.item
    size = ITEM_BYTES + len(delivery.chunk) + len(delivery.frame or b"")
    if item.http_stream is not None:
        size += len(item.http_stream.content)
    if item.http_response is not None:
        size += len(item.http_response.body or b"")
    if item.ws_message is not None:
        size += len(item.ws_message.content)
    return size

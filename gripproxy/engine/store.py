"""The cache's memory: stored responses by key, and what may no longer be believed of them.

Design: cache-and-purge.md, *What is stored* and *The algorithm*. What HTTP says about a stored
response (is it fresh, may it be used for this request) is not decided here but in
`protocol.caching`: the store gives the variants that are not dead and fit the asker, and takes
new ones. Memory is bounded by bytes; least recently used go first.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from gripproxy.engine.marks import Mark, Marks, Tag, TagName
from gripproxy.protocol.messages import Response
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Target

Key = tuple[object, ...]
Facts = TypeVar("Facts")

VARIANTS_MAX = 100
# What an entry takes beside its body: objects and index, each field, each reference to a tag; and
# what a tag takes. Measured: tests/wire/test_cache_memory.py.
ENTRY_BYTES = 2000
FIELD_BYTES = 190
REFERENCE_BYTES = 75
TAG_BYTES = 430
# Responses that turned out not to be shareable are remembered so long, and so many.
ALONE_SECONDS = 120.0
ALONE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class HeldOn:
    """What a stored hold waits for: a channel with its prefix, and the position given."""

    channel: str
    prev_id: str | None


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """What makes a stored instruct right or wrong: it is a snapshot of its channels.

    With `resumes` clients may go on from a position of their own on its one channel.
    """

    streams: bool
    channels: tuple[HeldOn, ...]
    resumes: bool = False


class Entry(Generic[Facts]):
    """A stored response. `began` is the epoch in which its origin was asked."""

    __slots__ = (
        "began",
        "body",
        "facts",
        "hold",
        "key",
        "response",
        "size",
        "tags",
        "target",
    )

    def __init__(
        self,
        key: Key,
        response: Response,
        body: bytes,
        facts: Facts,
        target: Target,
        *,
        began: int,
        hold: HoldFacts | None = None,
    ) -> None:
        self.key = key
        self.response = response
        self.body = body
        self.facts = facts
        self.target = target
        self.began = began
        self.hold = hold
        self.tags: tuple[Tag, ...] = ()
        self.size = 0

    def __repr__(self) -> str:
        return f"<Entry {self.response.status} began={self.began} size={self.size}>"


class Flight(Generic[Facts]):
    """A request that is with the origin on behalf of the cache."""

    __slots__ = ("asked_at", "began", "forgotten", "hold", "key", "released", "tags", "urls")

    def __init__(self, key: Key, urls: frozenset[TagName] = frozenset()) -> None:
        self.key = key
        self.urls = urls  # the tags that are known from the beginning
        self.began = 0
        self.asked_at = 0.0  # monotonic seconds
        self.forgotten = False  # whether marks after its beginning were dropped meanwhile
        self.tags: tuple[Tag, ...] | None = None  # None: not known yet
        self.released = False  # whether it is over, and no longer counts as one that has them
        self.hold: HoldFacts | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much is stored, and what became of it."""

    entries: int
    size: int
    limit: int
    tags: int
    purged: int
    evicted: int


class Store(Generic[Facts]):
    """Stored responses, their tags, and the rules of what is dead."""

    def __init__(
        self,
        size: int,
        *,
        chain: Callable[[str, str, str], bool] | None = None,
    ) -> None:
        """Make a store of `size` bytes.

        `chain` tells whether the history of a channel leads from one id to another.
        """
        self.marks = Marks()
        self._limit = size
        self._size = 0
        self._buffers = 0
        self._chain = chain or _no_chain
        self._entries: OrderedDict[Entry[Facts], None] = OrderedDict()
        self._resources: dict[Key, list[Entry[Facts]]] = {}
        self._alone: OrderedDict[Key, float] = OrderedDict()
        self._sweeping: dict[Tag, int] = {}  # how many of its entries are to be looked at
        self._sweep_all = False
        self._purged = 0
        self._evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """How many bytes stored responses take, with their tags and the buffers of flights."""
        return self._size + self._buffers + self.marks.carried * TAG_BYTES

    # Finding

    def find(self, key: Key, *, floor: int = 0) -> list[Entry[Facts]]:
        """Return the variants of a resource that may be believed by one who has this floor.

        A floor is the epoch of the event that caused the look-up; nothing asked before it counts.
        """
        variants = self._resources.get(key)
        if not variants:
            return []
        return [
            entry
            for entry in variants
            if entry.began >= floor
            and not self.is_dead(entry.began, entry.tags, entry.hold)
            and self.holds_good(entry.began, entry.hold, entry.tags)
        ]

    def has(self, key: Key) -> bool:
        """Tell whether anything is stored for a key, usable or not."""
        return key in self._resources

    def variants(self, key: Key) -> list[Entry[Facts]]:
        """Return all that is stored for a key, also what is dead and not yet swept."""
        return list(self._resources.get(key, ()))

    def used(self, entry: Entry[Facts]) -> None:
        """Take note that an entry was used: others go before it."""
        if entry in self._entries:
            self._entries.move_to_end(entry)

    def is_dead(self, began: int, tags: Iterable[Tag], hold: HoldFacts | None = None) -> bool:
        """Tell whether a purge has taken back what was asked for in an epoch."""
        if self.marks.all.hard > began:
            return True
        # hot: each hit asks this; `any` takes 0.5 us more (bench/caching.py, cache-hit-1k).
        for tag in tags:  # noqa: SIM110
            if tag.hard > began and not self._replayable(tag, hold):
                return True
        return False

    def softly_purged_at(self, began: int, tags: Iterable[Tag]) -> float | None:
        """Return since when a soft purge has made stale what was asked for in an epoch."""
        # hot: each hit asks this (bench/caching.py, cache-hit-1k: 0.8 us).
        moment = self.marks.all.soft_at if self.marks.all.soft > began else None
        for tag in tags:
            if tag.soft > began and (moment is None or tag.soft_at < moment):
                moment = tag.soft_at
        return moment

    def is_softly_purged(self, began: int, tags: Iterable[Tag]) -> bool:
        """Tell whether a soft purge has made stale what was asked for in an epoch."""
        return self.marks.all.soft > began or any(tag.soft > began for tag in tags)

    def _replayable(self, tag: Tag, hold: HoldFacts | None) -> bool:
        """Tell whether a mark by an item on a channel is made good by replaying that item."""
        if tag.hard_id is None or hold is None or not hold.streams:
            return False
        return any(
            held.prev_id is not None
            and held.channel.encode("utf-8", "replace") == tag.name[1]
            and self._chain(held.channel, held.prev_id, tag.hard_id)
            for held in hold.channels
        )

    def holds_good(
        self, began: int, hold: HoldFacts | None, tags: tuple[Tag, ...] | None = None
    ) -> bool:
        """Tell whether a stored hold is still right: the *hold check* of the design.

        `tags` are its own, which still tell of a release when a flight has let them go.
        """
        if hold is None:
            return True
        if self.marks.all.moved > began:
            return False
        return all(
            self._is_good(held, self._channel(held, tags or ()), began, streams=hold.streams)
            for held in hold.channels
        )

    def _channel(self, held: HeldOn, tags: tuple[Tag, ...]) -> Tag | None:
        name = ("chan", held.channel.encode("utf-8", "replace"))
        return next((tag for tag in tags if tag.name == name), None) or self.marks.find(name)

    def _is_good(self, held: HeldOn, tag: Tag | None, began: int, *, streams: bool) -> bool:
        if tag is None or tag.moved <= began:
            return True
        if held.prev_id is None or tag.moved_id is None:
            return False
        if held.prev_id == tag.moved_id:
            return True
        return streams and self._chain(held.channel, held.prev_id, tag.moved_id)

    def resumable(self, entry: Entry[Facts], position: str) -> bool:
        """Tell whether a stored stream hold and the history give all that follows a position."""
        hold = entry.hold
        if hold is None or not hold.resumes or self.marks.all.moved > entry.began:
            return False
        (held,) = hold.channels
        there = HoldFacts(streams=True, channels=(HeldOn(held.channel, position),))
        if self.is_dead(entry.began, entry.tags, there):
            return False
        tag = self.marks.find(("chan", held.channel.encode("utf-8", "replace")))
        last = held.prev_id if tag is None or tag.moved <= entry.began else tag.moved_id
        if last is None:
            return False
        return position == last or self._chain(held.channel, position, last)

    # Flights

    def begin(self, flight: Flight[Facts], *, now: float = 0.0) -> None:
        """Take note that an origin is about to be asked."""
        flight.began = self.marks.flight_begins(flight, now=now)
        flight.asked_at = now

    def known(
        self, flight: Flight[Facts], names: Iterable[TagName], hold: HoldFacts | None
    ) -> None:
        """Take note of the tags of a flight's response; a forgotten epoch makes it dead."""
        flight.tags = self.marks.refer(names)
        flight.hold = hold
        if flight.began < self.marks.forgotten:
            flight.forgotten = True
        self.marks.flight_known(flight)

    def over(self, flight: Flight[Facts], *, now: float) -> None:
        """Take note that a flight is over."""
        self.marks.settle(now)
        self.marks.flight_known(flight)
        if flight.tags and not flight.released:
            self.marks.release(flight.tags, now=now)
        flight.released = True

    def flight_is_good(self, flight: Flight[Facts], *, soft: bool = False) -> bool:
        """Tell whether what a flight brings may be believed by all who wait for it."""
        if flight.tags is None:
            earliest = max(self.marks.all.hard, self.marks.forgotten)
            named = [tag for name in flight.urls if (tag := self.marks.find(name)) is not None]
            return flight.began >= max([earliest, *(tag.hard for tag in named)])
        if flight.forgotten or self.is_dead(flight.began, flight.tags, flight.hold):
            return False
        if soft and self.is_softly_purged(flight.began, flight.tags):
            return False
        return self.holds_good(flight.began, flight.hold, flight.tags)

    # Storing

    def may_put(self, flight: Flight[Facts]) -> bool:
        """Tell whether what a flight brings would be stored if it were whole now."""
        if not self.flight_is_good(flight):
            return False
        return not self._settles(flight.tags or (), flight.asked_at)

    def put(
        self,
        entry: Entry[Facts],
        names: Iterable[TagName],
        replaced: Iterable[Entry[Facts]],
        *,
        now: float,
        asked_at: float | None = None,
    ) -> bool:
        """Store a response; return False if it may not be believed by anyone who comes later.

        `replaced` are the variants that it takes the place of; an entry of the same variant that
        was asked for later stays instead. `asked_at` is when its origin was asked, if not now:
        what was asked for before its tags have settled is not stored.
        """
        replaced = list(replaced)
        if any(old.began > entry.began for old in replaced):
            return False
        tags = self.marks.refer(names, entry)
        entry.tags = tags
        if (
            entry.began < self.marks.forgotten
            or self.is_dead(entry.began, tags, entry.hold)
            or not self.holds_good(entry.began, entry.hold, tags)
            or self._settles(tags, now if asked_at is None else asked_at)
        ):
            self.marks.release(tags, entry, now=now)
            return False
        for old in replaced:
            self._drop(old, now=now)
        entry.size = _size_of(entry, len(tags))
        if entry.size > self._limit:
            self.marks.release(tags, entry, now=now)
            return False
        variants = self._resources.setdefault(entry.key, [])
        while len(variants) >= VARIANTS_MAX:
            self._drop(variants[0], now=now)
            variants = self._resources.setdefault(entry.key, [])
        variants.append(entry)
        self._entries[entry] = None
        self._size += entry.size
        self._shrink(now)
        return True

    def buffer(self, more: int, *, now: float) -> None:
        """Take note that flights keep so many bytes more, or less: others make room for them."""
        self._buffers += more
        self._shrink(now)

    def _settles(self, tags: tuple[Tag, ...], asked_at: float) -> bool:
        marks = self.marks
        if max(marks.all.settle_until, marks.unsettled_until) > asked_at:
            return True
        return any(tag.settle_until > asked_at for tag in tags)

    def is_stored(self, entry: Entry[Facts]) -> bool:
        """Tell whether an entry is still there and not dead: what a 304 may freshen."""
        return entry in self._entries and not self.is_dead(entry.began, entry.tags, entry.hold)

    def _shrink(self, now: float) -> None:
        while self.size > self._limit and self._entries:
            self._drop(next(iter(self._entries)), now=now)
            self._evicted += 1

    def _drop(self, entry: Entry[Facts], *, now: float) -> None:
        if self._entries.pop(entry, entry) is entry:
            return
        self._size -= entry.size
        variants = self._resources[entry.key]
        variants.remove(entry)
        if not variants:
            del self._resources[entry.key]
        self.marks.release(entry.tags, entry, now=now)

    # What turned out not to be shareable

    def alone(self, key: Key, *, now: float) -> bool:
        """Tell whether responses for this key are known to be for their asker only."""
        until = self._alone.get(key)
        return until is not None and until > now

    def remember_alone(self, key: Key, *, now: float) -> None:
        """Remember that responses for this key are for their asker only."""
        self._alone[key] = now + ALONE_SECONDS
        self._alone.move_to_end(key)
        if len(self._alone) > ALONE_MAX:
            self._alone.popitem(last=False)

    # Purging

    def purge(
        self, purge: Purge, names: Iterable[TagName], *, now: float, wall: float = 0.0
    ) -> int:
        """Take back what a purge names; return how many stored responses that is.

        The cost is that of the names, however many responses carry them; these are dropped
        later, a few at a time, by `sweep`.
        """
        self.marks.settle(now)
        kind = Mark.SOFT if purge.soft else Mark.HARD
        settle_until = now + purge.settle if purge.settle else 0.0
        count = 0
        carried = self.marks.mark(names, kind, settle_until=settle_until, at=wall)
        for tag in carried:
            count += len(tag.entries)
        if purge.everything:
            self.marks.mark_all(kind, settle_until=settle_until, at=wall)
            count = len(self._entries)
        if kind is Mark.HARD:
            self._sweeping |= {tag: len(tag.entries) for tag in carried}
            self._sweep_all = self._sweep_all or purge.everything
        self._purged += count
        return count

    def purge_channel(self, channel: str, item_id: str | None) -> int:
        """Take back what is tagged with a channel, because of an item on it."""
        carried = self.marks.mark([("item", channel.encode("utf-8", "replace"))], Mark.HARD)
        for tag in carried:
            tag.hard_id = item_id
        self._sweeping |= {tag: len(tag.entries) for tag in carried}
        count = sum(len(tag.entries) for tag in carried)
        self._purged += count
        return count

    def sweep(self, *, budget: int = 200, now: float) -> bool:
        """Drop some of what is dead; return whether there is more to look at."""
        while self._sweep_all and budget > 0:
            budget -= max(1, self._sweep_some(self._first(self._entries, budget), now))
            oldest = self._first(self._entries, 1)
            if not oldest or not self._is_swept(oldest[0]):
                self._sweep_all = False
        while self._sweeping and budget > 0:
            tag, left = self._sweeping.popitem()
            looked = min(left, budget, len(tag.entries))
            for one in list(islice(tag.entries, looked)):
                if isinstance(one, Entry) and self._is_swept(one):
                    self._drop(one, now=now)
                else:  # the others come first from now on
                    del tag.entries[one]
                    tag.entries[one] = None
            budget -= max(1, looked)
            if left > looked > 0:
                self._sweeping[tag] = left - looked
        return bool(self._sweeping or self._sweep_all)

    def _sweep_some(self, entries: list[Entry[Facts]], now: float) -> int:
        dropped = 0
        for entry in entries:
            if self._is_swept(entry):
                self._drop(entry, now=now)
                dropped += 1
        return dropped

    def _first(self, ordered: Iterable[object], count: int) -> list[Entry[Facts]]:
        """Return the oldest entries of an order; flights are passed over."""
        found: list[Entry[Facts]] = []
        for element in ordered:
            if len(found) >= count:
                break
            if isinstance(element, Entry):
                found.append(element)
        return found

    def _is_swept(self, entry: Entry[Facts]) -> bool:
        return self.is_dead(entry.began, entry.tags, entry.hold)

    def statistics(self) -> Statistics:
        """Return how much is stored, and what became of it."""
        return Statistics(
            entries=len(self._entries),
            size=self.size,
            limit=self._limit,
            tags=len(self.marks),
            purged=self._purged,
            evicted=self._evicted,
        )


def _no_chain(_channel: str, _after: str, _last: str) -> bool:
    """Tell that nothing is known of what was released."""
    return False


def _size_of(entry: Entry[Facts], tags: int) -> int:
    fields = sum(len(value) + FIELD_BYTES for _, value in entry.response.headers.fields)
    return len(entry.body) + fields + ENTRY_BYTES + tags * REFERENCE_BYTES

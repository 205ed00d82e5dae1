"""Tags and their marks: what a purge, a release or an event does to what is stored.

Design: cache-and-purge.md, *The algorithm*. An *epoch* is an integer that ticks at each purge,
release and event; it never leaves the process. A tag carries the epoch of its last marks; a
response carries the epoch at which its origin was asked (`began`). A mark later than that epoch
tells against the response. So a purge costs as many steps as it names tags, however many
responses carry them.
"""

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum

# Tags that live only because a flight might turn out to carry them.
ORPHANS_MAX = 65_536
# Of those that have settled so many are let go at once.
SETTLED_AT_ONCE = 1000

TagName = tuple[str, bytes]


class Mark(Enum):
    """What can be said of a tag."""

    HARD = "hard"
    SOFT = "soft"


class Tag:
    """A name that responses are taken back by. 0 is "never"."""

    __slots__ = (
        "entries",
        "flights",
        "hard",
        "hard_id",
        "moved",
        "moved_id",
        "name",
        "settle_until",
        "soft",
        "soft_at",
    )

    def __init__(self, name: TagName) -> None:
        self.name = name
        self.hard = 0
        self.soft = 0
        self.soft_at = 0.0  # wall seconds of that: since then it is stale
        self.moved = 0  # of a channel: the last release on it
        self.moved_id: str | None = None
        self.hard_id: str | None = None  # of a channel whose items purge: the item of `hard`
        self.settle_until = 0.0
        self.entries: dict[object, None] = {}  # that carry it, in the order they came
        self.flights = 0  # how many are under way that carry it

    def __repr__(self) -> str:
        return f"<Tag {self.name} hard={self.hard} moved={self.moved} entries={len(self.entries)}>"

    @property
    def last(self) -> int:
        """The epoch of the last mark of any kind."""
        return max(self.hard, self.soft, self.moved)


class Marks:
    """All tags that something depends on, and the epoch."""

    def __init__(self) -> None:
        self.epoch = 0
        self.all = Tag(("all", b""))
        self.forgotten = 0  # an epoch: marks up to it may have been dropped
        self.unsettled_until = 0.0  # the latest settle time that was dropped
        self._tags: dict[TagName, Tag] = {}
        self._orphans: OrderedDict[TagName, Tag] = OrderedDict()
        self._settling: OrderedDict[TagName, Tag] = OrderedDict()  # orphans, in any case kept
        # Flights whose tags are not known, with the monotonic seconds in which they were asked.
        self._unknown: dict[object, float] = {}

    def __len__(self) -> int:
        return len(self._tags) + len(self._orphans) + len(self._settling)

    @property
    def carried(self) -> int:
        """How many tags something carries."""
        return len(self._tags)

    def tick(self) -> int:
        """Begin a new epoch, and return it."""
        self.epoch += 1
        return self.epoch

    # Flights whose tags are not known yet: a mark of any tag may be about them

    def flight_begins(self, flight: object, *, now: float = 0.0) -> int:
        """Take note of a flight, before its origin is asked; return the epoch it began in."""
        self._unknown[flight] = now
        return self.epoch

    def flight_known(self, flight: object) -> None:
        """Take note that a flight's tags are known, or that it is over."""
        if self._unknown.pop(flight, None) is not None and not self._unknown:
            self._orphans.clear()

    def settle(self, now: float) -> None:
        """Let go of some tags that have settled and that nothing carries, the oldest first."""
        # What was asked for before the end of that may yet turn out to carry it.
        end = min(now, next(iter(self._unknown.values()), now))
        for _ in range(min(len(self._settling), SETTLED_AT_ONCE)):
            name, tag = next(iter(self._settling.items()))
            if tag.settle_until > end:
                return
            del self._settling[name]

    # Tags

    def refer(self, names: Iterable[TagName], by: object = None) -> tuple[Tag, ...]:
        """Return the tags of these names, which an entry now carries; None: a known flight."""
        found = []
        for name in names:
            tag = self._tags.get(name)
            if tag is None:
                tag = self._orphaned(name) or Tag(name)
                self._forget(name)
                self._tags[name] = tag
            if by is None:
                tag.flights += 1
            else:
                tag.entries[by] = None
            found.append(tag)
        return tuple(found)

    def release(self, tags: Iterable[Tag], by: object = None, *, now: float) -> None:
        """Take note that an entry, or a flight, no longer carries these tags."""
        for tag in tags:
            if by is None:
                tag.flights -= 1
            else:
                tag.entries.pop(by, None)
            if not (tag.entries or tag.flights) and self._tags.get(tag.name) is tag:
                del self._tags[tag.name]
                if tag.settle_until > now or (self._unknown and tag.last):
                    self._orphan(tag)

    def find(self, name: TagName) -> Tag | None:
        """Return a tag that anything depends on."""
        return self._tags.get(name) or self._orphaned(name)

    def _orphaned(self, name: TagName) -> Tag | None:
        return self._orphans.get(name) or self._settling.get(name)

    def _forget(self, name: TagName) -> None:
        self._orphans.pop(name, None)
        self._settling.pop(name, None)

    def mark(
        self,
        names: Iterable[TagName],
        kind: Mark,
        *,
        settle_until: float = 0.0,
        at: float = 0.0,
    ) -> list[Tag]:
        """Mark tags in a new epoch; return those that responses carry.

        With `settle_until` nothing that carries them is stored before that moment.
        """
        epoch = self.tick()
        carried = []
        for name in names:
            tag = self._marked(name, settle_until=settle_until)
            if tag is None:
                continue
            if kind is Mark.HARD:
                tag.hard = epoch
            else:
                tag.soft, tag.soft_at = epoch, at
            if tag.entries:
                carried.append(tag)
        return carried

    def mark_all(self, kind: Mark, *, settle_until: float = 0.0, at: float = 0.0) -> None:
        """Mark everything in a new epoch."""
        epoch = self.tick()
        if kind is Mark.HARD:
            self.all.hard = epoch
        else:
            self.all.soft, self.all.soft_at = epoch, at
        self.all.settle_until = max(self.all.settle_until, settle_until)

    def move(self, channel: str, item_id: str | None) -> int:
        """Take note of a release on a channel, in a new epoch, and return that."""
        epoch = self.tick()
        # hot: one a publish; where nothing is stored there is nothing to mark (bench/scenarios.py,
        # ingest-zmq: 0.5 us an item).
        if self._tags or self._unknown:
            tag = self._marked(("chan", channel.encode("utf-8", "replace")))
            if tag is not None:
                tag.moved = epoch
                tag.moved_id = item_id
        return epoch

    def move_all(self) -> None:
        """Take note that any channel may have moved: what is known of them is void."""
        self.all.moved = self.tick()

    def _marked(self, name: TagName, *, settle_until: float = 0.0) -> Tag | None:
        """Return the tag that a mark is to be kept on, None if nothing can depend on it."""
        tag = self._tags.get(name)
        if tag is None:
            tag = self._orphaned(name)
            if tag is None:
                if not (self._unknown or settle_until):
                    return None
                tag = Tag(name)
            tag.settle_until = max(tag.settle_until, settle_until)
            self._orphan(tag)
        tag.settle_until = max(tag.settle_until, settle_until)
        return tag

    def _orphan(self, tag: Tag) -> None:
        self._forget(tag.name)
        kept = self._settling if tag.settle_until else self._orphans
        kept[tag.name] = tag
        while len(self._orphans) + len(self._settling) > ORPHANS_MAX:
            _, oldest = (self._orphans or self._settling).popitem(last=False)
            # What was not asked for after this mark cannot be believed any more.
            self.forgotten = max(self.forgotten, oldest.last)
            self.unsettled_until = max(self.unsettled_until, oldest.settle_until)

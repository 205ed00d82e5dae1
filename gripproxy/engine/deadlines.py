"""Many deadlines, one timer.

Holds, sessions and lingering channels each have a moment at which something is due, and move it
all the time. Whoever owns the timer arms it for `next()` and hands out what is `due`.
"""

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Whatever has moments at which it does something."""

    def due(self, now: float) -> None:
        """Do what the time has come for; perhaps it is nothing any more."""

    def __hash__(self) -> int: ...


Key = TypeVar("Key", bound=Hashable)

# Dead entries are swept out when they are the most, but not for the sake of a handful.
_SLACK = 64


class Deadlines(Generic[Key]):
    """Moments by key: any hashable object, best one that is compared by identity.

    A moment that is moved or cancelled stays in the heap until it comes up or the dead outnumber
    the living; so both cost no search.
    """

    __slots__ = ("_entries", "_heap", "_serial")

    def __init__(self) -> None:
        self._entries: dict[Key, tuple[float, int, Key]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._serial = itertools.count()  # of equal moments the one set first comes first

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def set(self, key: Key, when: float) -> None:
        """Set the moment of a key, instead of the one that it may have."""
        old = self._entries.get(key)
        if old is not None and old[0] == when:
            return
        entry = (when, next(self._serial), key)
        self._entries[key] = entry
        heapq.heappush(self._heap, entry)
        self._sweep()

    def cancel(self, key: Key) -> None:
        """Take back the moment of a key, if it has one."""
        self._entries.pop(key, None)
        self._sweep()

    def due(self, now: float) -> list[Key]:
        """Take out the keys whose moment has come, earliest first."""
        found: list[Key] = []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            key = entry[2]
            if self._entries.get(key) is entry:
                del self._entries[key]
                found.append(key)
        return found

    def next(self) -> float | None:
        """Return the earliest moment, None if there is none."""
        heap = self._heap
        while heap:
            when, _, key = entry = heap[0]
            if self._entries.get(key) is entry:
                return when
            heapq.heappop(heap)
        return None

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

"""Low-priority updates: holds that ask their origins again, paced (grip-http.md 6.5).

Holds are collected for 100 ms, then asked to go on in groups of at most 100 that share a key, ten
groups a second; keys take turns. So a gap that 10,000 holders see at once reaches the origin at
about 1,000 requests a second, not all in one moment. Holds whose requests are equal, and so are
made once, count as one of the hundred.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

PERIOD = 0.1
GROUP = 100
# Of holds that count as one; to wake them is work, too.
GROUP_MAX = 1000


class Updatable(Protocol):
    """A hold whose turn comes."""

    def update_turn(self, now: float) -> None:
        """Ask the origin again now."""


class Updates:
    """Holds that wait for their turn, by key."""

    def __init__(self, arm: Callable[[float], None] = lambda _: None) -> None:
        self._arm = arm
        self._keys: OrderedDict[object, dict[Updatable, object]] = OrderedDict()
        self._at = 0.0  # when the next group may go, if any waits
        self._key_of: dict[Updatable, object] = {}

    def __len__(self) -> int:
        return len(self._key_of)

    def add(self, hold: Updatable, key: object, *, now: float, request: object = None) -> None:
        """Let a hold wait for its turn; one that waits already keeps its place.

        `request` stands for what it will ask, if equal requests are made once.
        """
        if hold in self._key_of:
            return
        if not self._keys:
            self._at = now + PERIOD
            self._arm(self._at)
        self._key_of[hold] = key
        self._keys.setdefault(key, {})[hold] = hold if request is None else request

    def cancel(self, hold: Updatable) -> None:
        """Forget a hold that needs no update any more."""
        key = self._key_of.pop(hold, None)
        if key is None:
            return
        group = self._keys[key]
        del group[hold]
        if not group:
            del self._keys[key]

    def due(self, now: float) -> list[Updatable]:
        """Return the holds whose turn it is, at most one group."""
        if not self._keys or now < self._at:
            return []
        key, waiting = self._keys.popitem(last=False)
        holds: list[Updatable] = []
        requests: set[object] = set()
        for hold, request in waiting.items():
            if len(holds) == GROUP_MAX or (len(requests) == GROUP and request not in requests):
                break
            requests.add(request)
            holds.append(hold)
        for hold in holds:
            del waiting[hold]
            del self._key_of[hold]
        if waiting:
            self._keys[key] = waiting  # behind the other keys
        self._at = now + PERIOD
        return holds

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        return self._at if self._keys else None

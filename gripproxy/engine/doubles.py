"""Items that come twice: which ids a channel has seen of late.

Specification: publishing.md 7, "Duplicates first".
"""

from collections import deque

# Ids that are remembered at most, whatever the time says: some 200 bytes each. Of more, those seen
# longest ago are forgotten; at the usual 60 s that takes 16,000 items with an id a second.
LIMIT = 1_000_000

# Forgetting is spread over the calls, so that the first item after a rush is no slower.
_FORGOTTEN_AT_ONCE = 8


class Doubles:
    """Tells whether an id was seen on its channel within a time in seconds; never if that is 0."""

    __slots__ = ("_keys", "_limit", "_seen", "_times", "_ttl")

    def __init__(self, ttl: float, limit: int = LIMIT) -> None:
        self._ttl = ttl
        self._limit = limit
        self._seen: dict[str, float] = {}
        # The same pairs in the order of their times. An id that was seen again before its old
        # pair was forgotten has two of them.
        self._keys: deque[str] = deque()
        self._times: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._keys)

    def seen(self, channel: str, item_id: str, *, now: float) -> bool:
        """Tell whether an id is a double; if not, its time begins."""
        if self._ttl <= 0:
            return False
        # One string, not a pair of them: a third of the memory. The length keeps it unambiguous.
        key = f"{len(channel)}:{channel}{item_id}"
        since = self._seen.get(key)
        if since is not None and now - since < self._ttl:
            return True
        self._forget(now)
        self._seen[key] = now
        self._keys.append(key)
        self._times.append(now)
        return False

    def _forget(self, now: float) -> None:
        for _ in range(_FORGOTTEN_AT_ONCE):
            if not self._times or (
                now - self._times[0] < self._ttl and len(self._times) < self._limit
            ):
                return
            key, since = self._keys.popleft(), self._times.popleft()
            if self._seen.get(key) == since:
                del self._seen[key]

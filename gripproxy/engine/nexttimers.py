"""When streams fetch their next link because it is time (grip-http.md 8.4).

Streams with the same timeout and the same URI, less its query, share one timer that the first of
them starts: so they ask together, and what is equal is asked once.
"""

from collections.abc import Callable
from typing import Protocol

from gripproxy.engine.deadlines import Deadlines


class Fetching(Protocol):
    """A stream that has a next link."""

    def next_due(self, now: float) -> None:
        """Learn that the time is over; one that is not to be spared takes itself out."""

    def __hash__(self) -> int: ...


class NextTimer:
    """The streams of one timeout and one URI, in the order they came."""

    __slots__ = ("key", "streams", "timeout")

    def __init__(self, key: tuple[int, bytes]) -> None:
        self.key = key
        self.timeout = key[0]
        self.streams: dict[Fetching, None] = {}

    def __repr__(self) -> str:
        return f"<NextTimer {self.timeout} s {self.key[1]!r} {len(self.streams)}>"


class NextTimers:
    """All streams that hold and have a next link."""

    def __init__(self, arm: Callable[[float], None] = lambda _: None) -> None:
        self._arm = arm
        self._timers: dict[tuple[int, bytes], NextTimer] = {}
        self._deadlines: Deadlines[NextTimer] = Deadlines()

    def __len__(self) -> int:
        return len(self._timers)

    def add(self, stream: Fetching, uri: bytes, timeout: int, *, now: float) -> NextTimer:
        """Let a stream share the timer of its link, or start it; it is what `remove` wants."""
        key = (timeout, uri.partition(b"?")[0])
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = NextTimer(key)
            self._start(timer, now)
        timer.streams[stream] = None
        return timer

    def remove(self, stream: Fetching, timer: NextTimer) -> None:
        """Take a stream out; a timer without streams is forgotten."""
        del timer.streams[stream]
        if not timer.streams:
            del self._timers[timer.key]
            self._deadlines.cancel(timer)

    def due(self, now: float) -> None:
        """Tell the streams whose time is over; those that stay have another period."""
        for timer in self._deadlines.due(now):
            for stream in list(timer.streams):
                stream.next_due(now)
            if timer.streams:
                self._start(timer, now)

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        return self._deadlines.next()

    def _start(self, timer: NextTimer, now: float) -> None:
        self._deadlines.set(timer, now + timer.timeout)
        self._arm(now + timer.timeout)

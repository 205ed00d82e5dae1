"""What is on its way to many: a queue of (delivery, receivers, cursor) (data-plane.md 3).

A small fan-out goes out at once. A large one goes out in parts, so that the loop can write, and
serve others, in between. Order is kept: while something waits, everything queues behind it.
"""

from collections import deque
from collections.abc import Callable, Sequence

from gripproxy.engine.channels import Holder
from gripproxy.engine.delivery import Delivery

# hot: bench/scenarios.py, longpoll-1000 and lockstep-stream-5000. Receivers in one part: about
# 2 ms of work, writes included. With 1000, those that poll again are read, and asked for, all
# at once: 7,000 releases a second, against 18,000; streams are as fast with either.
PART = 250


class Outbox:
    """Deliveries that have not reached all their receivers.

    `failed` is told what a receiver raises, which is a bug; the others get the item all the same.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._waiting: deque[tuple[Delivery, Sequence[Holder]]] = deque()
        self._cursor = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, delivery: Delivery, receivers: Sequence[Holder], *, now: float) -> bool:
        """Deliver to receivers; return whether `run` has to be called for some of them."""
        if not self._waiting and len(receivers) <= PART:
            self._deliver(delivery, receivers, now)
            return False
        self._waiting.append((delivery, receivers))
        return len(self._waiting) == 1

    def run(self, now: float, budget: int = PART) -> bool:
        """Deliver to at most `budget` receivers; return whether more are waiting."""
        waiting = self._waiting
        while waiting and budget > 0:
            delivery, receivers = waiting[0]
            start = self._cursor
            part = receivers[start : start + budget]
            self._deliver(delivery, part, now)
            budget -= len(part)
            if start + len(part) == len(receivers):
                waiting.popleft()
                self._cursor = 0
            else:
                self._cursor = start + len(part)
        return bool(waiting)

    def _deliver(self, delivery: Delivery, receivers: Sequence[Holder], now: float) -> None:
        for holder in receivers:
            try:
                holder.deliver(delivery, now)
            except Exception as error:  # noqa: BLE001  # free as long as nothing is raised
                self._failed(error)

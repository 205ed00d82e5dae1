"""Deliveries at a limited rate (publishing.md 8): `message_rate`, `message_hwm` and block sizes.

One item to one holder is one *action*. Actions wait in a bucket of their route, if it has an id,
or in the one of all others; buckets take turns, an action each. An action that makes too much
wait is dropped: who has positions will notice.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterable

from gripproxy.engine.channels import Channels, Holder
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.ports import Notices
from gripproxy.protocol.routes import Route

# A batch each so many milliseconds; rates too low for that have one action a batch. As Pushpin.
PERIOD_MS = 25
SLOW = 1000 // PERIOD_MS
# Without a rate a batch is only as large as one turn of the loop should be.
BATCH = 1000
# How often the log is told of drops, in seconds.
TELL_PERIOD = 1.0


class _Bucket:
    """The actions of one route, or of all routes without an id."""

    __slots__ = ("actions", "debt", "waiting")

    def __init__(self) -> None:
        self.actions: deque[tuple[Delivery, Holder, int]] = deque()
        self.waiting = 0  # weight
        self.debt = 0  # what an action weighed more than its batch


class _Loss:
    """The drops of one bucket that nobody was told of."""

    __slots__ = ("count", "route", "since")

    def __init__(self, route: Route | None, since: float) -> None:
        self.route = route
        self.since = since
        self.count = 0


def pace(rate: int, processes: int) -> tuple[float, int]:
    """Return how often a batch goes out in one of so many processes, in seconds, and its weight.

    One alone rounds as Pushpin does, which lets a little more through than the rate. Several must
    not do so each: theirs add up to the rate.
    """
    if rate <= 0:
        return 0.0, BATCH
    if processes > 1:
        share = rate / processes
        batch = max(1, int(share * PERIOD_MS / 1000))
        return batch / share, batch
    if rate < SLOW:
        return 1000 // rate / 1000, 1
    return PERIOD_MS / 1000, math.ceil(rate * PERIOD_MS / 1000)


class Limiter:
    """Hands deliveries to holders, so much a second.

    `rate` is the weight a second and `hwm` the most weight that may wait in a bucket, 0 for no
    limit; a delivery weighs one for each `block_size` bytes, or one whatever its size if that is
    0. Of several `processes` each has its share of both.
    """

    def __init__(
        self,
        channels: Channels,
        notices: Notices,
        *,
        rate: int = 0,
        hwm: int = 0,
        block_size: int = 0,
        processes: int = 1,
    ) -> None:
        self._channels = channels
        self._notices = notices
        self._hwm = math.ceil(hwm / processes)
        self._block_size = block_size
        self._period, self._batch = pace(rate, processes)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # in the order of their turns
        self._next_at = 0.0  # when the next batch may run
        self._losses: dict[str, _Loss] = {}

    def __len__(self) -> int:
        """The number of actions that wait."""
        return sum(len(bucket.actions) for bucket in self._buckets.values())

    def put(self, delivery: Delivery, receivers: Iterable[Holder], *, now: float) -> None:
        """Let a delivery wait for its turns; those that may go now go."""
        weights = self._weights(delivery)
        for holder in receivers:
            self._add(delivery, holder, weights[holder.kind], now)
        if now >= self._next_at:
            self._run(now)
            self._next_at = now + self._period
        self._tell(now)

    def due(self, now: float) -> None:
        """Run the batch whose time has come."""
        if self._buckets and now >= self._next_at:
            self._run(now)
            self._next_at = max(self._next_at + self._period, now)
        self._tell(now)

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do."""
        times = [loss.since + TELL_PERIOD for loss in self._losses.values()]
        if self._buckets:
            times.append(self._next_at)
        return min(times, default=None)

    def _weights(self, delivery: Delivery) -> tuple[int, int, int]:
        """Return what a delivery weighs for each kind of holder."""
        if not self._block_size:
            return 1, 1, 1
        response, stream, message = delivery.response, delivery.stream, delivery.message
        sizes = (
            len(response.body or b"") if response is not None else 0,
            len(stream.content) if stream is not None else 0,
            len(message.content) if message is not None else 0,
        )
        said = delivery.item.size
        responses, streams, sockets = (
            math.ceil((size if said is None else said) / self._block_size) for size in sizes
        )
        return responses, streams, sockets

    def _add(self, delivery: Delivery, holder: Holder, weight: int, now: float) -> None:
        route = holder.route if holder.route.explicit_id else None
        key = "" if route is None else route.id
        bucket = self._buckets.get(key)
        waiting = bucket.waiting if bucket is not None else 0
        if self._hwm > 0 and waiting + weight > self._hwm:
            loss = self._losses.get(key)
            if loss is None:
                # The first is told of at once.
                loss = self._losses[key] = _Loss(route, now - TELL_PERIOD)
            loss.count += 1
            return
        if bucket is None:
            bucket = self._buckets[key] = _Bucket()
        bucket.actions.append((delivery, holder, weight))
        bucket.waiting += weight

    def _run(self, now: float) -> None:
        left = self._batch
        while left > 0 and self._buckets:
            key, bucket = self._buckets.popitem(last=False)
            left -= self._turn(bucket, left, now)
            if bucket.actions or bucket.debt:
                self._buckets[key] = bucket  # behind the others

    def _turn(self, bucket: _Bucket, left: int, now: float) -> int:
        """Take one action, or pay for one; return what of the batch is used up."""
        if bucket.debt:
            bucket.debt -= 1
            return 1
        delivery, holder, weight = bucket.actions.popleft()
        bucket.waiting -= weight
        if not self._channels.has(delivery.channel, holder):
            self._notices.closed(1)
            return 0
        try:
            holder.deliver(delivery, now)
        except Exception as error:  # noqa: BLE001  # a bug; the others get the item all the same
            self._notices.failed(error)
        weight = max(weight, 1)
        bucket.debt = max(weight - left, 0)
        return min(weight, left)

    def _tell(self, now: float) -> None:
        for key, loss in list(self._losses.items()):
            if now < loss.since + TELL_PERIOD:
                continue
            if loss.count:
                self._notices.exceeded(loss.route, loss.count)
                loss.count = 0
                loss.since = now
            else:
                del self._losses[key]

"""What is counted for metrics alone, in one process (stats.md 9.3, 9.5).

The names of samples, and their labels in this order, are those of the table in
`report.prometheus`.
"""

from bisect import bisect_left
from collections import Counter

from gripproxy.engine.channels import Kind
from gripproxy.engine.news import Sample

# Upper bounds of the histogram of answers, in seconds; what is slower is in a last bucket.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BOUNDS = (*map(str, BUCKETS), "+Inf")

# As labels, by `Kind`.
KINDS = ("response", "stream", "ws")
# Why items do not reach holders.
DROPS = ("slow", "hwm", "filter", "closed", "unsendable")


# What causes purges: a request to the control port, an item, a client's request.
PURGES = ("control", "item", "client")


class _Times:
    """How long answers of one class took."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(BOUNDS)
        self.seconds = 0.0


class Metrics:
    """Numbers that only metrics show."""

    def __init__(self) -> None:
        self.heads = 0  # requests whose head has been read, whatever became of them
        self._holds: Counter[tuple[int, str]] = Counter()
        self._deliveries = [0, 0, 0]
        self._drops = Counter(dict.fromkeys(DROPS, 0))
        self._published: Counter[str] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._answers: dict[tuple[str, int], _Times] = {}
        self._failures: Counter[str] = Counter()
        self._purges = Counter(dict.fromkeys(PURGES, 0))

    def attached(self, kind: Kind, route: str) -> None:
        """Take note of a holder."""
        self._holds[kind, route] += 1

    def released(self, kind: Kind, route: str) -> None:
        """Take note that a holder is one no longer."""
        self._holds[kind, route] -= 1

    def delivered(self, kind: Kind, subscribers: int) -> None:
        """Take note of an item for so many subscribers."""
        self._deliveries[kind] += subscribers

    def dropped(self, reason: str, count: int = 1) -> None:
        """Take note that items did not reach holders, for one of the reasons in `DROPS`."""
        self._drops[reason] += count

    def published(self, source: str, count: int) -> None:
        """Take note of items that came by an input: `pull`, `sub`, `http` or `command`."""
        self._published[source] += count

    def refused(self, source: str, reason: str) -> None:
        """Take note that something that came by an input was no item."""
        self._refused[source, reason] += 1

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Take note of an origin's response, and of how long its head took."""
        key = route, status // 100
        times = self._answers.get(key)
        if times is None:
            times = self._answers[key] = _Times()
        times.seconds += seconds
        times.counts[bisect_left(BUCKETS, seconds)] += 1

    def failed(self, kind: str) -> None:
        """Take note of a request to an origin that got no response, with the kind of error."""
        self._failures[kind] += 1

    def purged(self, cause: str) -> None:
        """Take note of a purge, for one of the causes in `PURGES`; where it is asked for."""
        self._purges[cause] += 1

    def samples(self) -> dict[Sample, float]:
        """Return all numbers; the buckets of the histogram do not contain each other."""
        found: dict[Sample, float] = {("connmgr_requests_total",): self.heads}
        for kind, name in enumerate(KINDS):
            found["deliveries_total", name] = self._deliveries[kind]
            found["holds", name, ""] = 0
        for (kind, route), count in self._holds.items():
            found["holds", KINDS[kind], route] = count
        for reason, count in self._drops.items():
            found["deliveries_dropped_total", reason] = count
        for cause, count in self._purges.items():
            found["cache_purges_total", cause] = count
        for source, count in self._published.items():
            found["publish_items_total", source] = count
        for refusal, count in self._refused.items():
            found["publish_items_refused_total", *refusal] = count
        for error, count in self._failures.items():
            found["origin_errors_total", error] = count
        for (route, first), times in self._answers.items():
            key = route, f"{first}xx"
            found["origin_request_seconds_sum", *key] = times.seconds
            for bound, count in zip(BOUNDS, times.counts, strict=True):
                found["origin_request_seconds_bucket", *key, bound] = count
        return found

"""What a process tells of itself: what has changed since the last time, and what there is.

News go from each process's `engine.stats.Counters` to the one `engine.announcing.Announcer`;
statistics go to metrics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# A metric's name and the values of its labels.
Sample = tuple[str, ...]

# How names of metrics end that only grow; those of Pushpin's have no common end.
_GROWING = ("_total", "_bucket", "_sum", "_received", "_minute", "_sent")


class Begun(NamedTuple):
    """A connection that has begun."""

    cid: str
    route: str
    transport: str
    peer: str
    ssl: bool


class Ended(NamedTuple):
    """A connection that has ended."""

    cid: str


class Subscribers(NamedTuple):
    """How many subscribers of a kind a channel has in this process."""

    kind: int
    channel: str
    subscribers: int


class Sent(NamedTuple):
    """An item that went to subscribers of a kind; `number` tells items of a process apart."""

    number: int
    channel: str
    item_id: str | None
    kind: int
    subscribers: int
    blocks: int | None


class Total(NamedTuple):
    """A route's connections, the most of them since the last news, and its sums."""

    route: str
    connections: int
    peak: int
    sums: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has changed in a process since the last time, to be taken in this order."""

    begun: tuple[Begun, ...] = ()
    subscribers: tuple[Subscribers, ...] = ()
    sent: tuple[Sent, ...] = ()
    ended: tuple[Ended, ...] = ()
    totals: tuple[Total, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """What there is: numbers by metric and labels, which can be added over processes."""

    samples: Mapping[Sample, float] = field(default_factory=dict)

    def lasting(self) -> "Statistics":
        """Return the numbers that only grow, which go on when a process is gone."""
        return Statistics({n: v for n, v in self.samples.items() if n[0].endswith(_GROWING)})

    def plus(self, other: "Statistics") -> "Statistics":
        """Return the sums of both."""
        samples = dict(self.samples)
        for name, value in other.samples.items():
            samples[name] = samples.get(name, 0) + value
        return Statistics(samples)

"""What is counted of one route: sums since the start, and its connections (stats.md 6, 7).

Sums only grow; whoever wants those of an interval takes a difference, so nothing is lost or
counted twice on the way between processes.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter

from gripproxy.engine.news import Total

MINUTE = 60


@dataclass(slots=True, eq=False)
class Sums:
    """What is counted of one route, since the start; between processes in this order.

    From `minutes` on they are the fields of a report (6, 7).
    """

    requests_received: int = 0
    activity: int = 0
    minutes: int = 0
    received: int = 0
    sent: int = 0
    http_response_sent: int = 0
    blocks_received: int = 0
    blocks_sent: int = 0
    client_header_bytes_received: int = 0
    client_header_bytes_sent: int = 0
    client_content_bytes_received: int = 0
    client_content_bytes_sent: int = 0
    client_messages_received: int = 0
    client_messages_sent: int = 0
    server_header_bytes_received: int = 0
    server_header_bytes_sent: int = 0
    server_content_bytes_received: int = 0
    server_content_bytes_sent: int = 0
    server_messages_received: int = 0
    server_messages_sent: int = 0


NAMES = tuple(entry.name for entry in fields(Sums))
_values: Callable[[Sums], tuple[int, ...]] = attrgetter(*NAMES)


class Entry(Sums):
    """The sums of a route, and its connections; `route` is empty for all without explicit id."""

    __slots__ = ("_fresh", "_ring", "connections", "peak", "route", "told")

    def __init__(self, route: str) -> None:
        super().__init__()
        self.route = route
        self.connections = 0
        self.peak = 0  # the most connections since the last news
        self.told = Total(route, 0, 0, values(self))
        # Connections by the second of the minute at which they get another minute; those of the
        # present second are not among them yet.
        self._ring = [0] * MINUTE
        self._fresh = 0

    def __repr__(self) -> str:
        return f"<Entry {self.route!r} {self.connections} connections>"

    def begin(self) -> None:
        """Take note of a connection that begins: its first minute."""
        self._fresh += 1
        self.minutes += 1
        self.connections += 1
        if self.connections > self.peak:  # noqa: PLR1730  # for each connection: no call
            self.peak = self.connections

    def end(self, begun: int, now: int, minutes: int) -> None:
        """Take note of the end of a connection that has lasted so many full minutes.

        `begun` and `now` are the seconds of its begin and its end.
        """
        self.connections -= 1
        if begun == now:
            self._fresh -= 1
        else:
            self._ring[(begun + 1) % MINUTE] -= 1
        self.minutes += minutes - (now - begun - 1) // MINUTE if begun < now else 0

    def age(self, second: int, ahead: int) -> None:
        """Go on from a second to one that is `ahead` of it: connections get their minutes."""
        ring = self._ring
        slot = (second + 1) % MINUTE
        self.minutes += ring[slot]
        ring[slot] += self._fresh
        self._fresh = 0
        rounds, rest = divmod(ahead - 1, MINUTE)
        self.minutes += rounds * sum(ring) + sum(
            ring[(slot + 1 + i) % MINUTE] for i in range(rest)
        )

    def add_request_content(self, size: int) -> None:
        """Count a piece of a client's body that passes to an origin."""
        self.client_content_bytes_received += size
        self.server_content_bytes_sent += size

    def add_response_content(self, size: int) -> None:
        """Count a piece of an origin's body."""
        self.server_content_bytes_received += size


def values(sums: Sums) -> tuple[int, ...]:
    """Return the sums in their order."""
    return _values(sums)

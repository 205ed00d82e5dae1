"""Tools that read statistics of Pushpin read ours: every packet, in both formats.

What such a tool does is in stats.md 5.7 and 8: it subscribes to prefixes, takes `T` or `J`, and
refuses a packet whose required fields are missing or of another type. Here one process serves, or
two, and every number is that of all of them.
"""

import json
from collections.abc import Iterator, Mapping

import pytest
import zmq

from tests.wire.client import Socket, WebSocket, attempt, parsed
from tests.wire.processes import said, stream, streams_everywhere
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow

Packet = dict[str, object]

REPORTED = (
    "connections", "minutes", "received", "sent", "http-response-sent", "blocks-received",
    "blocks-sent", "duration",
    *(f"{side}-{what}-{way}"
      for side in ("client", "server")
      for what in ("header-bytes", "content-bytes", "messages")
      for way in ("received", "sent")),
)  # fmt: skip

# Type -> what a packet of it must have, and what it may have. `gone` is the other form of two.
FIELDS: Mapping[str, tuple[Mapping[str, type], Mapping[str, type]]] = {
    "activity": ({"from": str, "count": int}, {"route": str}),
    "counts": ({"from": str, "requests-received": int}, {}),
    "message": (
        {"from": str, "channel": str, "transport": str, "count": int, "blocks": int},
        {"item-id": str},
    ),
    "conn": (
        {"from": str, "id": str, "type": str, "ttl": int, "peer-address": str},
        {"route": str},
    ),
    "conn gone": ({"from": str, "id": str, "unavailable": bool}, {"route": str}),
    "sub": ({"from": str, "mode": str, "channel": str, "ttl": int, "subscribers": int}, {}),
    "sub gone": ({"from": str, "mode": str, "channel": str, "unavailable": bool}, {}),
    "report": (dict.fromkeys(REPORTED, int) | {"from": str}, {"route": str}),
}


def text_of(value: object) -> object:
    """Return text for the bytes of a tnetstring."""
    return value.decode() if isinstance(value, bytes) else value


class Monitor(Socket):
    """A plain SUB socket that takes what comes, and refuses what is not as it must be."""

    def __init__(self, system: Running, form: str, *topics: str) -> None:
        super().__init__(zmq.SUB, system.stats_spec, seconds=8)
        self._form = form
        for topic in topics:
            self.zmq.setsockopt(zmq.SUBSCRIBE, f"{topic} ".encode())
        self.zmq.rcvtimeo = 250
        for _ in range(40):
            with stream(system, "warm-up"):
                heard = attempt(self.receive, None)
            if heard is not None:
                break
        self.zmq.rcvtimeo = 8000

    def next(self) -> tuple[str, Packet]:
        """Return the next packet, read and checked, and its type."""
        (frame,) = self.receive()
        name, _, data = frame.partition(b" ")
        assert data[:1].decode() == self._form
        if self._form == "J":
            packet = json.loads(data[1:])
            compact = json.dumps(packet, sort_keys=True, separators=(",", ":"))
            assert data[1:].decode() == compact
        else:
            read, left = parsed(data[1:])
            assert left == b""
            packet = {key: text_of(value) for key, value in read.items()}
        kind = name.decode()
        self._check(f"{kind} gone" if packet.get("unavailable") else kind, packet)
        return kind, packet

    def _check(self, kind: str, packet: Packet) -> None:
        must, may = FIELDS[kind]
        if kind == "report":
            # These two are there only if they are over 0.
            must = {k: v for k, v in must.items() if k in packet or not k.startswith("blocks-")}
        types = {key: type(value) for key, value in packet.items()}
        assert must.items() <= types.items() <= (must | may).items(), (kind, packet)

    def packet(self, kind: str, **wanted: object) -> Packet:
        """Return the next packet of a type with these values, past all others."""
        named = {key.replace("_", "-"): value for key, value in wanted.items()}
        while True:
            name, found = self.next()
            if name == kind and named.items() <= found.items():
                return found


@pytest.fixture(
    scope="module",
    params=[("T", 1), ("T", 2), ("J", 1), ("J", 2)],
    ids=lambda given: f"{given[0]}{given[1]}",
)
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Running, str]]:
    """The program in one process or three, and the letter of its format."""
    form, workers = request.param
    settings = {
        "global.stats_connection_ttl": "2",
        "handler.stats_subscription_ttl": "2",
        "handler.stats_report_interval": "1",
        "handler.stats_format": {"T": "tnetstring", "J": "json"}[form],
        "handler.message_block_size": "4",
        "runner.workers": str(workers),
    }
    with Gripproxy(["named.test,id=named test", "* test"], settings=settings) as running:
        said(running, " started")
        yield running, form


def test_every_packet_can_be_read_and_counts_all_processes(both):
    system, form = both
    kinds = ("activity", "counts", "message", "conn", "sub", "report")
    with Monitor(system, form, *kinds) as monitor, streams_everywhere(system, "every") as held:
        count = len(held)
        monitor.packet("sub", channel="every", mode="stream", subscribers=count, ttl=2)
        content = {"http-stream": {"content": "12345"}}
        system.publish([{"channel": "every", "id": "one", "formats": content}])
        told = monitor.packet("message", channel="every", transport="http-stream")
        assert (told["count"], told["blocks"], told["item-id"]) == (count, 2 * count, "one")
        reported = monitor.packet("report", received=1)
        assert (reported["sent"], reported["connections"]) == (count, count)
        assert (reported["blocks-received"], reported["blocks-sent"]) == (2, 2 * count)


def test_what_comes_and_goes_can_be_followed(both):
    """As a table of connections and one of channels, in which what is gone is not kept."""
    system, form = both
    with Monitor(system, form, "conn", "sub") as monitor:
        with WebSocket(system.port, "/ws?channel=table", "named.test") as client:
            there = monitor.packet("conn", type="ws", route="named")
            monitor.packet("sub", channel="table", mode="ws")
            refreshed = monitor.packet("conn", id=there["id"], type="ws", ttl=2)
            assert refreshed == there
            client.reset()
        gone = {("conn", there["id"]), ("sub", "table")}
        while gone:
            kind, packet = monitor.next()
            if packet.get("unavailable"):
                gone.discard((kind, packet.get("id") or packet["channel"]))


def test_requests_and_activity_are_counted_by_whoever_adds_them_up(both):
    system, form = both
    with Monitor(system, form, "counts", "activity") as monitor:
        monitor.zmq.rcvtimeo = 600
        while attempt(monitor.next, None) is not None:
            pass  # of the warm-up
        monitor.zmq.rcvtimeo = 8000
        with (
            streams_everywhere(system, "counted") as held,
            WebSocket(system.port, "/ws", "named.test"),
        ):
            pass
        wanted = {"counts": len(held) + 1, "activity": len(held) + 1}
        while any(wanted.values()):
            kind, packet = monitor.next()
            wanted[kind] -= packet["requests-received" if kind == "counts" else "count"]
            assert min(wanted.values()) >= 0

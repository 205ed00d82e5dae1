"""What the stats socket says (stats.md 2 to 5)."""

import json

import zmq

from tests.wire.client import (
    Client,
    DeadlineError,
    Socket,
    WebSocket,
    ask,
    attempt,
    parsed,
    request,
)
from tests.wire.origin import text
from tests.wire.scenarios.control import readable
from tests.wire.scenarios.holds import response_hold, stream_hold
from tests.wire.scenarios.overhttp import opened, subscribe
from tests.wire.scenarios.telling import scenario


class Stats(Socket):
    """A subscriber of the stats socket; ready when the first packet has come."""

    def __init__(self, system, stage, *, seconds: float = 5.0) -> None:
        super().__init__(zmq.SUB, system.stats_spec, seconds=seconds)
        self.zmq.setsockopt(zmq.SUBSCRIBE, b"")
        self.zmq.rcvtimeo = 250
        stage.answer(text(body="x"))
        for _ in range(8):
            ask(system.port, request("GET", "/warm-up", stage.host))
            if attempt(self.receive, None) is not None:
                break
        else:
            self.zmq.close()
            raise DeadlineError("no stats at all")
        self.zmq.rcvtimeo = int(seconds * 1000)

    def packet(self, kind: str, **wanted: object) -> dict[str, object]:
        """Return the next packet of this kind with these values, past all others."""
        while True:
            frame = self.receive()[0]
            name, _, data = frame.partition(b" ")
            if name.decode() != kind:
                continue
            is_json = data[:1] == b"J"
            found = json.loads(data[1:]) if is_json else readable(parsed(data[1:])[0])
            if all(found.get(k) == v for k, v in wanted.items()):
                return found | {"format": data[:1].decode()}


def without_sender(packet: dict[str, object]) -> dict[str, object]:
    """Leave out the name of the instance."""
    return {k: v for k, v in packet.items() if k != "from"}


@scenario("HOST,prefix=p- ORIGIN", slow=True)
def stats_of_a_stream(system, stage):
    channel = f"p-{stage.channel('a')}"
    with Stats(system, stage) as stats:
        stage.answer(stream_hold(stage.channel("a"), body=""))
        with Client(system.port) as client:
            client.send(request("GET", "/", stage.host))
            client.head()
            there = {"channel": channel, "mode": "stream", "format": "T"}
            must = there | {"subscribers": 1, "ttl": 60}
            yield "there", without_sender(stats.packet("sub", channel=channel)), must
        gone = there | {"unavailable": True}
        yield "gone", without_sender(stats.packet("sub", channel=channel)), gone


@scenario(setup="dressed", slow=True)
def stats_as_json(system, stage):
    channel = stage.channel("a")
    with Stats(system, stage) as stats:
        stage.answer(stream_hold(channel, body=""))
        with Client(system.port) as client:
            client.send(request("GET", "/", stage.host))
            client.head()
            must = {
                "channel": channel,
                "mode": "stream",
                "format": "J",
                "subscribers": 1,
                "ttl": 60,
            }
            yield "there", without_sender(stats.packet("sub", channel=channel)), must


@scenario(setup="dressed", slow=True)
def stats_of_a_long_poll(system, stage):
    """Its subscription lingers, for one second here."""
    channel = stage.channel("a")
    with Stats(system, stage) as stats:
        stage.answer(response_hold(channel))
        with Client(system.port) as client:
            client.send(request("GET", "/", stage.host))
            there = stats.packet("sub", channel=channel)
            yield "there", (there["mode"], there["subscribers"]), ("response", 1)
        gone = stats.packet("sub", channel=channel)
        yield "gone", (gone["mode"], gone.get("unavailable")), ("response", True)


@scenario(slow=True)
def stats_of_more_subscribers(system, stage):
    """A changed number comes with the next tick of a second."""
    channel = stage.channel("a")
    with Stats(system, stage) as stats:
        stage.answer(stream_hold(channel, body=""))
        with Client(system.port) as one, Client(system.port) as two:
            for client in (one, two):
                client.send(request("GET", "/", stage.host))
                client.head()
            yield "first", stats.packet("sub", channel=channel)["subscribers"], 1
            yield "second", stats.packet("sub", channel=channel)["subscribers"], 2


@scenario(slow=True)
def stats_of_items(system, stage):
    channel = stage.channel("a")
    with Stats(system, stage) as stats:
        stage.answer(stream_hold(channel, body=""))
        with Client(system.port) as client:
            client.send(request("GET", "/", stage.host))
            client.head()
            system.subscribed(channel)
            formats = {"http-stream": {"content": "x"}, "http-response": {"body": "x"}}
            system.publish([{"channel": channel, "id": "one", "formats": formats}])
            must = {
                "channel": channel,
                "item-id": "one",
                "transport": "http-stream",
                "count": 1,
                "format": "T",
            }
            yield "message", without_sender(stats.packet("message", channel=channel)), must
            system.publish([{"channel": channel, "formats": {"http-stream": {"content": "x"}}}])
            nameless = stats.packet("message", channel=channel)
            yield "without id", "item-id" in nameless, False


@scenario("HOST,id=NAME ORIGIN,over_http", slow=True)
def stats_of_connections(system, stage):
    with Stats(system, stage) as stats:
        stage.answer(text(body="x"))
        ask(system.port, request("GET", "/", stage.host))
        conn = stats.packet("conn", route=stage.name, type="http", ttl=120)
        yield "address", conn["peer-address"], "127.0.0.1"
        yield (
            "names",
            sorted(conn),
            [
                "format",
                "from",
                "id",
                "peer-address",
                "route",
                "ttl",
                "type",
            ],
        )
        gone = stats.packet("conn", id=conn["id"], unavailable=True)
        yield "gone", sorted(gone), ["format", "from", "id", "route", "unavailable"]


@scenario("HOST,id=NAME ORIGIN,over_http", slow=True)
def stats_of_websockets(system, stage):
    channel = stage.channel("a")
    with Stats(system, stage) as stats:
        stage.answer(opened(subscribe(channel)), text(body=""))
        with WebSocket(system.port, "/", stage.host):
            conn = stats.packet("conn", route=stage.name, type="ws")
            ids = {got.value("connection-id") for got in stage.requests}
            yield "id", conn["id"] in ids, True
            yield "mode", stats.packet("sub", channel=channel)["mode"], "ws"
        gone = stats.packet("conn", id=conn["id"], unavailable=True)
        yield "gone", gone.get("unavailable"), True


@scenario("HOST,id=NAME ORIGIN", slow=True)
def stats_of_activity(system, stage):
    with Stats(system, stage) as stats:
        for _ in range(3):
            ask(system.port, request("GET", "/", stage.host))
        counted = 0
        try:
            while counted < 4:  # with the warm-up's
                counted += stats.packet("activity", route=stage.name)["count"]
        except DeadlineError:
            counted = -counted
        yield "counted", counted >= 3, True
        counts = stats.packet("counts")
        yield "counts", sorted(counts), ["format", "from", "requests-received"]

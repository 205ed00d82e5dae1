"""The statistics socket of the running program (stats.md): what readers of it get, and when.

That packets look as Pushpin's is told by `scenarios/stats.py`, in both formats; here is what is
ours, and what takes a program of its own.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.ports import free_port
from tests.wire.client import (
    Client,
    DeadlineError,
    Socket,
    WebSocket,
    ask,
    attempt,
    command,
    parsed,
    request,
    tnetstring,
    upgrade,
)
from tests.wire.origin import text
from tests.wire.processes import said, stream, streams_everywhere
from tests.wire.running import ROOT, Gripproxy, Running
from tests.wire.scenarios.overhttp import opened

pytestmark = pytest.mark.slow

Packet = dict[str, object]

SETTINGS = {
    "global.stats_connection_ttl": "2",
    "handler.stats_subscription_ttl": "2",
    "handler.stats_report_interval": "1",
    "handler.stats_format": "json",
    "handler.subscription_linger": "0",
    "handler.message_block_size": "4",
}
ROUTES = ["named.test,id=named test", "down.test,id=down 127.0.0.1:1", "* test"]


class Reader(Socket):
    """A reader of statistics. It reads for certain once `system` has answered it with a packet."""

    def __init__(self, system: Running, *topics: str, seconds: float = 5.0) -> None:
        super().__init__(zmq.SUB, system.stats_spec, seconds=seconds)
        for topic in topics or ("",):
            self.zmq.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._seconds = seconds

    def warm(self, system: Running) -> "Reader":
        """Make the program say something until it is heard; forget all of that."""
        self.zmq.rcvtimeo = 250
        for _ in range(20):
            with stream(system, "warm-up"):
                heard = attempt(self.receive, None)
            if heard is not None:
                break
        else:
            raise DeadlineError("no statistics at all")
        self.zmq.rcvtimeo = 400
        while attempt(self.receive, None) is not None:
            pass
        self.zmq.rcvtimeo = int(self._seconds * 1000)
        return self

    def next(self) -> tuple[str, Packet]:
        """Return the next packet and its type."""
        name, _, data = self.receive()[0].partition(b" ")
        assert data[:1] == b"J"
        return name.decode(), json.loads(data[1:])

    def packet(self, kind: str, **wanted: object) -> Packet:
        """Return the next packet of a type with these values, past all others."""
        named = {name.replace("_", "-"): value for name, value in wanted.items()}
        while True:
            name, found = self.next()
            if name == kind and named.items() <= found.items():
                return found

    def kinds(self, count: int) -> list[str]:
        """Return the types of the next packets."""
        return [self.next()[0] for _ in range(count)]


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "workers"])
def system(request: pytest.FixtureRequest) -> Iterator[Running]:
    """The program in one process or three."""
    with Gripproxy(ROUTES, settings={**SETTINGS, "runner.workers": str(request.param)}) as running:
        said(running, " started")
        yield running


@pytest.fixture
def reader(system: Running) -> Iterator[Reader]:
    """A reader of everything."""
    with Reader(system) as one:
        yield one.warm(system)


# Who reads what


def test_a_reader_gets_what_it_subscribed_to(system):
    with Reader(system, "sub ") as reader:
        reader.warm(system)
        with stream(system, "a"):
            assert [reader.next()[0] for _ in range(2)] == ["sub", "sub"]


def test_a_longer_prefix_is_a_subscription_too(system):
    with Reader(system, 'sub J{"channel":"prefix') as reader:
        reader.zmq.rcvtimeo = 250
        heard = None
        while heard is None:
            with stream(system, "prefix-a"):
                heard = attempt(reader.receive, None)
        assert heard[0].startswith(b'sub J{"channel":"prefix-a"')


def test_a_late_reader_learns_by_refreshes(system):
    with stream(system, "late"), Reader(system) as reader:
        assert reader.packet("sub", channel="late")["subscribers"] == 1
        assert reader.packet("conn", type="http")["ttl"] == 2


# Connections


def test_a_request_comes_and_goes(system, reader):
    ask(system.port, request("GET", "/", "named.test"))
    there = reader.packet("conn", route="named")
    assert there["type"] == "http"
    assert there["peer-address"] == "127.0.0.1"
    gone = reader.packet("conn", route="named")
    assert gone == {
        "from": there["from"],
        "id": there["id"],
        "route": "named",
        "unavailable": True,
    }
    assert reader.packet("activity", route="named")["count"] == 1
    assert reader.packet("counts")["requests-received"] == 1


def test_the_sender_is_the_program(system, reader):
    ask(system.port, request("GET", "/", "named.test"))
    assert system.process is not None
    assert reader.packet("counts")["from"] == f"gripproxy_{system.process.pid}"


def test_what_lives_is_told_again_and_again(system, reader):
    with stream(system, "again"):
        cid = reader.packet("conn", type="http")["id"]
        for _ in range(2):
            reader.packet("conn", id=cid, type="http")
            reader.packet("sub", channel="again", subscribers=1)


def test_each_request_on_a_connection_has_an_id_of_its_own(system, reader):
    ids = set()
    with Client(system.port) as client:
        for _ in range(3):
            client.send(request("GET", "/", "named.test"))
            client.response()
            ids.add(reader.packet("conn", route="named", type="http")["id"])
            reader.packet("conn", route="named", unavailable=True)
    assert len(ids) == 3


def conncheck(system: Running, *ids: object) -> list[str]:
    """Return those connections that exist."""
    asked = {"id": "1", "method": "conncheck", "args": {"ids": [str(one) for one in ids]}}
    reply, _ = parsed(command(system.command_port, tnetstring(asked)))
    return [one.decode() for one in reply["value"]]


def test_ids_are_good_for_conncheck(system, reader):
    with stream(system, "check"):
        cid = reader.packet("conn", type="http")["id"]
        assert conncheck(system, cid, "other") == [cid]
    reader.packet("conn", id=cid, unavailable=True)
    assert conncheck(system, cid) == []


def test_a_websocket_has_the_id_that_its_origin_knows(gripproxy, origin):
    with origin.stage("ws") as stage:
        route = f"{stage.host} 127.0.0.1:{origin.port},over_http"
        system = gripproxy([route, *ROUTES], settings=SETTINGS)
        with Reader(system) as reader:
            stage.answer(opened(), text(body=""))
            reader.warm(system)
            with WebSocket(system.port, "/", stage.host):
                there = reader.packet("conn", type="ws")
                assert stage.request().value("connection-id") == there["id"]
                assert conncheck(system, there["id"]) == [there["id"]]
            assert reader.packet("conn", id=there["id"])["unavailable"] is True


def test_a_handshake_that_fails_was_a_connection(system, reader):
    with Client(system.port) as client:
        client.send(upgrade("/", "down.test"))
        assert client.response().status == 502
    there = reader.packet("conn", type="ws", route="down")
    assert reader.packet("conn", id=there["id"])["unavailable"] is True


# Subscriptions


def test_subscribers_are_those_of_all_processes(system, reader):
    with streams_everywhere(system, "everywhere") as held:
        assert reader.packet("sub", channel="everywhere")["ttl"] == 2
        reader.packet("sub", channel="everywhere", subscribers=len(held))
    assert reader.packet("sub", channel="everywhere", unavailable=True)


def test_items_are_told_once_with_all_their_subscribers(system, reader):
    with streams_everywhere(system, "items") as held:
        content = {"http-stream": {"content": "12345"}}
        system.publish([{"channel": "items", "id": "one", "formats": content}])
        message = reader.packet("message", channel="items")
        assert message == {
            "from": message["from"],
            "channel": "items",
            "item-id": "one",
            "transport": "http-stream",
            "count": len(held),
            "blocks": 2 * len(held),
        }


def test_a_table_with_expiry_follows_the_subscriptions(system):
    """What `monitorsubs` does: whoever has not heard of a channel for `ttl` forgets it."""
    with Reader(system, "sub ") as reader:
        reader.warm(system)
        with stream(system, "table"):
            forgotten = time.monotonic() + 60
            for _ in range(3):
                found = reader.packet("sub", channel="table")
                assert time.monotonic() < forgotten
                forgotten = time.monotonic() + float(str(found["ttl"]))
        assert reader.packet("sub", channel="table", unavailable=True)


# Reports


def report(reader: Reader, route: str | None = None) -> Packet:
    """Return the next report of a route that is not all zeros."""
    while True:
        found = reader.packet("report")
        if found.get("route") == route and found["minutes"]:
            return found


def test_a_report_has_the_bytes_of_its_requests(gripproxy, origin):
    with origin.stage("bytes", "rid.test") as stage:
        settings = {**SETTINGS, "proxy.via": "", "proxy.sig_key": ""}
        route = f"rid.test,id=rid 127.0.0.1:{origin.port}"
        system = gripproxy([route, *ROUTES], settings=settings)
        with Reader(system) as reader:
            reader.warm(system)
            stage.answer(text(body="hello"))
            ask(system.port, request("POST", "/p", "rid.test", "X-A: 1", body=b"0123456789"))
            found = report(reader, "rid")
            received = len("POST/p") + len("Hostrid.testX-A1Content-Length10")
            assert found["client-header-bytes-received"] == received
            assert found["client-content-bytes-received"] == 10
            assert found["server-content-bytes-sent"] == 10
            assert found["server-content-bytes-received"] == 5
            assert found["client-content-bytes-sent"] == 5
            assert found["server-header-bytes-received"] == 42
            assert found["client-header-bytes-sent"] == 42
            assert found["connections"] == 1
            assert found["minutes"] == 1


def test_a_report_has_the_messages_of_websockets(gripproxy, origin):
    with origin.stage("frames") as stage:
        route = f"{stage.host},id=ws 127.0.0.1:{origin.port},over_http"
        system = gripproxy([route, *ROUTES], settings=SETTINGS)
        with Reader(system, "report ") as reader:
            stage.answer(opened(), text(body=""))
            with WebSocket(system.port, "/", stage.host) as client:
                client.put("text", "hello")
                stage.request()
                stage.request()
            found = reader.packet("report", route="ws", client_messages_received=1)
            assert found["client-content-bytes-received"] == 5
            assert found["server-messages-sent"] == 1


def test_a_report_is_of_all_processes(system, reader):
    with streams_everywhere(system, "reported") as held:
        found = reader.packet("report", connections=len(held))
        assert "route" not in found


def test_a_quiet_program_says_nothing(system):
    with Reader(system, seconds=1.2) as reader:
        reader.warm(system)
        assert attempt(lambda: reader.packet("report", connections=0), None) is not None
        while attempt(reader.next, None) is not None:
            pass  # what still has to be said
        assert attempt(reader.next, None) is None


def test_connections_need_not_be_told(gripproxy):
    settings = {**SETTINGS, "global.stats_connection_send": "false"}
    system = gripproxy(ROUTES, settings=settings)
    with Reader(system) as reader:
        reader.warm(system)
        ask(system.port, request("GET", "/", "named.test"))
        kinds = set()
        while "report" not in kinds:
            kind, packet = reader.next()
            if packet.get("route") == "named":
                kinds.add(kind)
        assert kinds == {"activity", "report"}
        assert "conn" not in kinds


# Workers


@pytest.fixture
def two(gripproxy) -> Running:
    """A program with two workers, which may be killed."""
    running = gripproxy(["* test"], settings={**SETTINGS, "runner.workers": "2"})
    said(running, " started")
    return running


def test_what_a_dead_worker_had_is_gone(two):
    with Reader(two) as reader:
        reader.warm(two)
        with streams_everywhere(two, "dying") as held:
            ids = set()
            while len(ids) < len(held):
                ids.add(reader.packet("conn", type="http")["id"])
            reader.packet("sub", channel="dying", subscribers=len(held))
            lost = sum(one.pid == held[0].pid for one in held)
            os.kill(int(held[0].pid or 0), signal.SIGKILL)
            gone = {reader.packet("conn", unavailable=True)["id"] for _ in range(lost)}
            assert gone < ids
            reader.packet("sub", channel="dying", subscribers=len(held) - lost)


# The socket


def test_the_socket_has_the_mode_that_is_wanted(gripproxy):
    settings = {**SETTINGS, "handler.ipc_file_mode": "660"}
    system = gripproxy(["* test"], settings=settings)
    path = Path(system.stats_spec.removeprefix("ipc://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_the_socket_is_removed_at_the_end():
    with Gripproxy(["* test"], settings=SETTINGS) as system:
        path = Path(system.stats_spec.removeprefix("ipc://"))
        assert path.exists()
        assert system.process is not None
        system.process.terminate()
        system.process.wait(10)
        assert not path.exists()


def test_an_endpoint_that_is_taken_ends_the_start():
    options = {
        "push_in_http_port": "0", "push_in_spec": "", "push_in_sub_specs": "", "command_spec": "",
    }  # fmt: skip
    words = [f"--set=handler.{name}={value}" for name, value in options.items()]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        spec = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        words += [
            "--route=* test",
            f"--port=127.0.0.1:{free_port()}",
            f"--set=handler.stats_spec={spec}",
        ]
        start = [sys.executable, "-m", "gripproxy", "run", *words]
        done = subprocess.run(
            start, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
        )
    assert done.returncode == 2
    assert f"[handler] stats_spec: cannot listen on {spec}: address already in use" in done.stderr

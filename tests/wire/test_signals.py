"""What an operator says to the running program, and what it then does.

Specification: config.md 6, routes.md 9.
"""

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.wire.client import (
    Client,
    WebSocket,
    ask,
    envelope,
    push,
    request,
    wait_until,
)
from tests.wire.origin import Origin, Stage, text
from tests.wire.processes import (
    content,
    ended,
    open_files,
    said,
    serving,
    signalled,
    stream,
    streams_everywhere,
)
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow

Start = Callable[..., Running]

# No test waits so long: what ends earlier ended by itself.
LONG = {"runner.drain": "60"}


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start the program in one process or with two workers."""
    with ExitStack() as stack:

        def started(routes: tuple[str, ...] = (), **settings: str) -> Running:
            named = {name.replace("__", "."): value for name, value in settings.items()}
            chosen = {**LONG, "runner.workers": str(request.param), **named}
            lines = ("* test", *routes)
            running = stack.enter_context(Gripproxy(lines, settings=chosen))
            said(running, " started")
            return running

        yield started


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("signals") as one:
        yield one


def refuses(port: int) -> bool:
    """Tell whether nobody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_program_that_holds_nothing_ends_at_once_with_0(start, number):
    system = start()
    signalled(system, number)
    assert ended(system) == 0
    assert system.log().rstrip().endswith(" stopped")


def test_streams_get_their_last_chunk(start):
    system = start()
    with streams_everywhere(system, "c") as held:
        signalled(system, signal.SIGTERM)
        assert [list(one.client.pieces()) for one in held] == [[]] * len(held)
        assert {one.client.ended() for one in held} == {"closed"}
        assert ended(system) == 0


def test_long_polls_get_their_default_answer(start):
    system = start()
    with Client(system.port) as client:
        client.send(request("GET", "/response?channel=c", "any.test"))
        system.subscribed("c")
        signalled(system, signal.SIGTERM)
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"nothing for now\n")
        assert answer.value("connection") == "close"
        assert client.ended() == "closed"
        assert ended(system) == 0


def test_websockets_are_told_that_the_proxy_restarts(start):
    system = start()
    with WebSocket(system.port, "/ws?channel=c", "any.test") as client:
        system.subscribed("c")
        signalled(system, signal.SIGTERM)
        assert client.message().startswith("close 1012")
        client.put("close", (1012).to_bytes(2, "big"))
        assert client.ended() == "closed"
        assert ended(system) == 0


def test_idle_connections_are_closed(start):
    system = start()
    with Client(system.port) as client:
        client.send(request("GET", "/", "any.test"))
        assert client.response().status == 200
        signalled(system, signal.SIGTERM)
        assert client.ended() == "closed"
        assert ended(system) == 0


def test_a_request_that_is_under_way_is_answered(start, stage):
    stage.answer(stage.late(text(body="late")))
    system = start((f"{stage.host} 127.0.0.1:{stage.port}",))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        signalled(system, signal.SIGTERM)
        said(system, "stopping...")
        stage.gate.set()
        answer = client.response()
        assert (answer.body, answer.value("connection")) == (b"late", "close")
        assert ended(system) == 0


def test_what_is_held_only_after_the_signal_ends_too(start, stage):
    hold = text("Grip-Hold: stream", "Grip-Channel: c", body="open\n")
    stage.answer(stage.late(hold))
    system = start((f"{stage.host} 127.0.0.1:{stage.port}",))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        signalled(system, signal.SIGTERM)
        said(system, "stopping...")
        stage.gate.set()
        assert client.response().body == b"open\n"
        assert ended(system) == 0


def test_nobody_can_connect_while_the_last_requests_are_answered(start, stage):
    stage.answer(stage.late(text(body="late")))
    system = start((f"{stage.host} 127.0.0.1:{stage.port}",))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        signalled(system, signal.SIGTERM)
        wait_until(lambda: refuses(system.port), "the end of listening")
        wait_until(lambda: refuses(system.http_port), "the end of listening")
        stage.gate.set()
        assert client.response().status == 200


def test_a_request_that_takes_longer_than_the_drain_is_cut(start, stage):
    stage.answer(stage.late(text(body="late")))
    system = start((f"{stage.host} 127.0.0.1:{stage.port}",), runner__drain="0.1")
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        signalled(system, signal.SIGTERM)
        assert client.ended() == "closed"
        assert ended(system) == 0


def test_streams_do_not_all_end_at_the_same_moment(start):
    system = start()
    with ExitStack() as stack:
        held = [stack.enter_context(stream(system, "c")) for _ in range(60)]
        signalled(system, signal.SIGTERM)
        said(system, "stopping...")
        push(system.zmq_port, envelope({"channel": "c", "formats": content("late")}, "J"))
        got = [list(client.pieces()) for client in held]
        assert [b"late"] in got
        assert ended(system) == 0


def test_websockets_do_not_all_end_at_the_same_moment(start):
    system = start()
    with ExitStack() as stack:
        held = [
            stack.enter_context(WebSocket(system.port, "/ws?channel=c", "any.test"))
            for _ in range(60)
        ]
        system.subscribed("c", times=60)
        signalled(system, signal.SIGTERM)
        said(system, "stopping...")
        item = {"channel": "c", "formats": {"ws-message": {"content": "late"}}}
        push(system.zmq_port, envelope(item, "J"))
        assert "text late" in [client.message() for client in held]


def test_without_time_to_drain_streams_end_properly_all_the_same(start):
    system = start(runner__drain="0")
    with streams_everywhere(system, "c") as held:
        signalled(system, signal.SIGTERM)
        assert [list(one.client.pieces()) for one in held] == [[]] * len(held)
        assert ended(system) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(start, stage, number):
    stage.answer(stage.late(text(body="late")))
    system = start((f"{stage.host} 127.0.0.1:{stage.port}",))
    workers = serving(system)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        signalled(system, number)
        said(system, "stopping...")
        signalled(system, number)
        assert ended(system) == 0
        assert client.ended() == "closed"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "their end")
    assert not (system.directory / "run" / "wire-gripproxy.pid").exists()


# Reload


def test_hup_reads_the_routes_at_once(start, stage):
    stage.answer(text(body="new"))
    system = start()
    system.write_routes(["* test", f"{stage.host} 127.0.0.1:{stage.port}"])
    signalled(system, signal.SIGHUP)
    said(system, "routes loaded with 4 entries")
    assert ask(system.port, request("GET", "/", stage.host)).body == b"new"


def test_a_changed_file_is_read_by_itself(start, stage):
    stage.answer(text(body="new"))
    system = start()
    system.write_routes(["* test", f"{stage.host} 127.0.0.1:{stage.port}"])
    said(system, "routes file changed, reloading")
    said(system, "routes loaded with 4 entries")
    assert ask(system.port, request("GET", "/", stage.host)).body == b"new"


def test_a_file_that_was_removed_and_made_again_is_read(start, stage):
    stage.answer(text(body="new"))
    system = start()
    (system.directory / "routes").unlink()
    said(system, "unable to open routes file")
    assert ask(system.port, request("GET", "/", "any.test")).status == 200
    system.write_routes(["* test", f"{stage.host} 127.0.0.1:{stage.port}"])
    said(system, "routes loaded with 4 entries")
    assert ask(system.port, request("GET", "/", stage.host)).body == b"new"


def test_a_reload_touches_nothing_that_is_held(start):
    system = start()
    with streams_everywhere(system, "c") as held:
        system.write_routes(["other.test test"])
        signalled(system, signal.SIGHUP)
        said(system, "routes loaded with 3 entries", times=2)
        assert ask(system.port, request("GET", "/", "any.test")).status == 502
        system.publish([{"channel": "c", "formats": content("still here")}])
        assert {one.client.piece() for one in held} == {b"still here"}


def test_a_bad_line_keeps_the_old_routes_and_is_named(start):
    system = start()
    system.write_routes(["other.test test", "bad.test 127.0.0.1:x"])
    signalled(system, signal.SIGHUP)
    said(system, f"{system.directory}/routes:2: target invalid port; the old routes stay")
    assert ask(system.port, request("GET", "/", "any.test")).status == 200


def test_good_lines_of_a_bad_file_are_taken_if_that_is_wanted(start):
    system = start(proxy__routes_partial_reload="true")
    system.write_routes(["other.test test", "bad.test 127.0.0.1:x"])
    signalled(system, signal.SIGHUP)
    said(system, f"{system.directory}/routes:2: target invalid port")
    said(system, "routes loaded with 3 entries", times=2)
    assert ask(system.port, request("GET", "/", "any.test")).status == 502
    assert ask(system.port, request("GET", "/", "other.test")).status == 200


def test_a_start_with_a_bad_line_serves_the_good_ones(start):
    system = start(("bad.test 127.0.0.1:x", "good.test test"))
    said(system, f"{system.directory}/routes:2: target invalid port")
    assert ask(system.port, request("GET", "/", "good.test")).status == 200


def test_hup_lets_every_process_go_on_in_a_new_log_file(start):
    system = start()
    log = system.directory / "log" / "gripproxy.log"
    log.rename(log.with_name("old"))
    signalled(system, signal.SIGHUP)
    wait_until(log.exists, "a new file")
    workers = serving(system)

    def all_there() -> bool:
        opened = [os.stat(fd).st_ino for pid in workers for fd in _log_files(pid)]
        return opened == [log.stat().st_ino] * len(workers)

    wait_until(all_there, "the new file in all processes")
    ask(system.port, request("GET", "/after", "any.test"))
    wait_until(lambda: "/after" in log.read_text(), "the access line in the new file")


def _log_files(pid: int) -> list[Path]:
    fds = Path(f"/proc/{pid}/fd").iterdir()
    return [fd for fd in fds if "/log/" in str(fd.readlink())]


# State


def summary(system: Running) -> dict[str, int]:
    """Ask for the summary and return its numbers."""
    before = system.log().count("summary: ")
    signalled(system, signal.SIGUSR1)
    said(system, "summary: ", times=before + 1)
    line = system.log().rpartition("summary: ")[2]
    return {name: int(number) for name, number in re.findall(r"([a-z]+)=([0-9]+)\b", line)}


def test_usr1_tells_what_is_held(start):
    system = start()
    with (
        stream(system, "c"),
        WebSocket(system.port, "/ws?channel=d", "any.test"),
        Client(system.port) as poll,
    ):
        system.subscribed("d")
        poll.send(request("GET", "/response?channel=c", "any.test"))
        system.subscribed("c", times=2)
        found = summary(system)
    assert found["connections"] == 3
    assert (found["responses"], found["streams"], found["websockets"]) == (1, 1, 1)


def test_usr2_is_ignored(start):
    system = start()
    signalled(system, signal.SIGUSR2)
    assert ask(system.port, request("GET", "/", "any.test")).status == 200


def test_nothing_is_left_of_holds_whose_clients_are_gone(start):
    system = start(handler__subscription_linger="0")
    everybody = [system.process.pid, *serving(system)]

    def state() -> tuple[int, int, int]:
        found = summary(system)
        return found["connections"], found["tasks"], sum(map(open_files, everybody))

    # The first ones leave behind what is made once, such as the pages of a log.
    for round_ in range(2):
        for number in range(200 if round_ else 10):
            with stream(system, f"c{number}"):
                pass
            with WebSocket(system.port, f"/ws?channel=d{number}", "any.test"):
                pass
            with Client(system.port) as poll:
                poll.send(request("GET", f"/response?channel=e{number}", "any.test"))
        if round_ == 0:
            wait_until(lambda: summary(system)["connections"] == 0, "the end of the first")
            before = state()
    wait_until(lambda: state() == before, f"{before}, not {state()}")


# Files


def test_the_pid_file_holds_the_pid_and_is_removed_at_the_end(start):
    system = start()
    path = system.directory / "run" / "wire-gripproxy.pid"
    assert path.read_text() == f"{system.process.pid}\n"
    signalled(system, signal.SIGTERM)
    assert ended(system) == 0
    assert not path.exists()


def test_a_connection_that_breaks_while_it_is_drained_harms_nobody(start):
    system = start()
    with ExitStack() as stack:
        held = [stack.enter_context(stream(system, "c")) for _ in range(30)]
        signalled(system, signal.SIGTERM)
        for client in held[:15]:
            client.reset()
        for client in held[15:]:
            assert list(client.pieces()) == []
            assert client.ended() == "closed"
        assert ended(system) == 0
    assert "Traceback" not in system.log()

"""The harness: programs start with what they are told, say why they do not, and leave nothing."""

import socket
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.wire import differences, running
from tests.wire.client import ask, request
from tests.wire.origin import text
from tests.wire.running import Gripproxy, StartError
from tests.wire.scenarios.telling import Told
from tests.wire.test_differential import wrong


def test_a_program_serves_the_routes_it_is_given(gripproxy):
    system = gripproxy(["only.test test"])
    assert ask(system.port, request("GET", "/", "only.test")).status == 200
    assert ask(system.port, request("GET", "/", "other.test")).status == 502


def test_settings_reach_the_program(gripproxy, origin):
    with origin.stage("debugged") as stage:
        stage.answer(text("Grip-Hold: x", body=""))
        system = gripproxy([f"* 127.0.0.1:{origin.port}"], settings={"proxy.debug": "true"})
        answer = ask(system.port, request("GET", "/", stage.host))
        assert answer.body.startswith(b"Failed to parse accept instructions")


def test_arguments_win_over_settings(gripproxy, origin):
    with origin.stage("set") as stage:
        stage.answer(text("Grip-Hold: x", body=""))
        system = gripproxy([f"* 127.0.0.1:{origin.port}"], arguments=["--set", "proxy.debug=true"])
        answer = ask(system.port, request("GET", "/", stage.host))
        assert answer.body.startswith(b"Failed to parse accept instructions")


def test_two_programs_run_side_by_side(gripproxy):
    one, two = gripproxy(["* test"]), gripproxy(["* test"])
    assert one.port != two.port
    assert one.publish([]).status == two.publish([]).status == 200


def test_a_program_that_does_not_start_says_why():
    with pytest.raises(StartError, match="nosuch"):
        Gripproxy(["* test"], settings={"runner.nosuch": "1"}).start()


@pytest.mark.parametrize("place", range(5), ids=["clients", "pull", "control", "sub", "command"])
def test_a_program_whose_port_was_taken_is_started_with_others(monkeypatch, place):
    taken = free_port()
    given = [free_port() for _ in range(place)] + [taken]

    def chosen() -> int:
        return given.pop(0) if given else free_port()

    monkeypatch.setattr(running, "free_port", chosen)
    with socket.create_server(("127.0.0.1", taken)), Gripproxy(["* test"]) as system:
        assert system.publish([]).status == 200


def test_a_program_whose_ports_are_always_taken_says_so(monkeypatch):
    taken = free_port()
    tries = []
    monkeypatch.setattr(running, "free_port", lambda: tries.append(taken) or taken)
    with socket.create_server(("127.0.0.1", taken)), pytest.raises(StartError, match="in use"):
        Gripproxy(["* test"]).start()
    assert len(tries) == 6 * running.START_TRIES


def test_a_stopped_program_leaves_nothing():
    with Gripproxy(["* test"]) as system:
        directory, process = system.directory, system.process
        assert process is not None
        assert directory.is_dir()
    assert process.poll() is not None
    assert not directory.exists()
    assert system.directory == Path()


def test_the_shared_program_has_an_origin(shared_gripproxy):
    with shared_gripproxy.origin.stage("shared-use") as stage:
        stage.answer(text(body="hello"))
        answer = ask(shared_gripproxy.system.port, request("GET", "/", stage.host))
    assert answer.body == b"hello"


def test_the_reference_has_an_origin(pushpin):
    with pushpin.origin.stage("reference-use") as stage:
        stage.answer(text(body="hello"))
        answer = ask(pushpin.system.port, request("GET", "/", stage.host))
    assert answer.body == b"hello"


def test_a_line_that_is_not_as_specified_is_found():
    told = [Told("right", 1, 1), Told("wrong", 1, 2)]
    assert wrong("nobody", told, reference=False) == {"wrong": (1, 2)}


def test_a_listed_difference_is_what_the_reference_must_do(monkeypatch):
    listed = differences.Difference("theirs", "chapter 1")
    monkeypatch.setattr(differences, "DIFFERENCES", {("some-*", "line"): listed})
    assert wrong("some-play", [Told("line", "theirs", "ours")], reference=True) == {}
    assert wrong("some-play", [Told("line", "ours", "ours")], reference=True) != {}
    assert wrong("some-play", [Told("line", "theirs", "ours")], reference=False) != {}


def test_a_listed_difference_that_is_none_is_found(monkeypatch):
    listed = differences.Difference("same", "chapter 1")
    monkeypatch.setattr(differences, "DIFFERENCES", {("play", "line"): listed})
    assert wrong("play", [Told("line", "same", "same")], reference=True) != {}

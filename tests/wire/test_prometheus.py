"""The metrics port of the running program (stats.md 9), read as Prometheus would."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_port
from tests.wire.client import Client, DeadlineError, ask, push, request, wait_until
from tests.wire.processes import said, stream, streams_everywhere
from tests.wire.running import ROOT, Gripproxy, Running

SETTINGS = {"handler.prometheus_prefix": "pp_", "handler.stats_spec": ""}
ROUTES = ["named.test,id=named test", "down.test 127.0.0.1:1", "* test"]


class Measured(Gripproxy):
    """A program with a metrics port."""

    def __init__(self, **settings: str) -> None:
        port = {"handler.prometheus_port": "127.0.0.1:METRICS_PORT"}
        super().__init__(ROUTES, settings={**SETTINGS, **port, **settings})

    def scrape(self) -> dict[str, Metric]:
        """Return the metrics by name, without the prefix."""
        answer = ask(self.metrics_port, request("GET", "/metrics", "any"))
        assert answer.status == 200
        families = text_string_to_metric_families(answer.body.decode())
        return {family.name.removeprefix("pp_"): family for family in families}

    def value(self, name: str, **labels: str) -> float:
        """Return one number."""
        samples = self.scrape()[name].samples
        return next(one.value for one in samples if labels.items() <= one.labels.items())


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "workers"])
def system(request: pytest.FixtureRequest) -> Iterator[Measured]:
    """A program in one process or three."""
    with Measured(**{"runner.workers": str(request.param)}) as running:
        said(running, " started")
        yield running


@pytest.fixture(scope="module")
def alone() -> Iterator[Measured]:
    """A program that nobody else uses."""
    with Measured() as running:
        yield running


# Numbers


def test_pushpins_metrics_come_first_and_as_pushpin_writes_them(alone):
    text = ask(alone.metrics_port, request("GET", "/", "any")).body.decode()
    received = int(alone.value("request_received"))
    assert text.startswith(
        "# HELP pp_request_received Number of requests received\n"
        "# TYPE pp_request_received counter\n"
        f"pp_request_received {received}\n"
        "# HELP pp_connection_connected Number of concurrent connections\n"
        "# TYPE pp_connection_connected gauge\n"
        "pp_connection_connected 0\n"
        "# HELP pp_connection_minute Number of minutes clients have been connected\n"
        "# TYPE pp_connection_minute counter\n"
        f"pp_connection_minute {received}\n"
        "# HELP pp_message_received Number of messages received by the publish API\n"
        "# TYPE pp_message_received counter\n"
        "pp_message_received 0\n"
        "# HELP pp_message_sent Number of messages sent to clients\n"
        "# TYPE pp_message_sent counter\n"
        "pp_message_sent 0\n"
    )
    assert text.endswith("\n")
    assert "\n\n" not in text


def test_requests_are_counted_with_a_route_and_without(system):
    before = system.value("request_received"), system.value("connmgr_requests")
    ask(system.port, request("GET", "/", "named.test"))
    ask(system.port, request("GET", "/", "any.test"))
    assert system.value("request_received") == before[0] + 2
    assert system.value("connmgr_requests") == before[1] + 2


def test_connections_are_those_that_are_there_now(system):
    assert system.value("connection_connected") == 0
    with streams_everywhere(system, "now") as held:
        assert system.value("connection_connected") == len(held)
        assert system.value("holds", transport="stream", route="") == len(held)
        assert system.value("channels") == 1
    wait_until(lambda: system.value("connection_connected") == 0, "no connections")
    assert system.value("holds", transport="stream", route="") == 0


def test_items_and_deliveries_are_counted(system):
    names = ("message_received", "message_sent")
    before = [system.value(name) for name in names]
    with streams_everywhere(system, "items") as held:
        content = {"http-stream": {"content": "x"}}
        system.publish([{"channel": "items", "formats": content}])
        for one in held:
            one.client.piece()
        after = [system.value(name) for name in names]
        assert [new - old for new, old in zip(after, before, strict=True)] == [1, len(held)]
        assert system.value("deliveries", transport="stream") >= len(held)


def test_inputs_are_counted_by_name(system):
    system.publish([{"channel": "a", "formats": {"http-stream": {"content": "x"}}}])
    assert system.value("publish_items", input="http") >= 1
    assert ask(system.http_port, request("POST", "/publish/", "any", body=b"x")).status == 400
    assert system.value("publish_items_refused", input="http", reason="packet") >= 1
    push(system.zmq_port, b"x")
    wait_until(lambda: "publish_items_refused" in system.scrape(), "a refusal")
    wait_until(
        lambda: any(
            one.labels.get("input") == "pull"
            for one in system.scrape()["publish_items_refused"].samples
        ),
        "a refused message of the PULL socket",
    )


def test_answers_of_origins_are_counted_by_route_and_class(system):
    ask(system.port, request("GET", "/", "named.test"))
    counts = [
        one.value
        for one in system.scrape()["origin_request_seconds"].samples
        if one.name.endswith("_count") and one.labels["route"] == "named"
    ]
    assert sum(counts) >= 1
    ask(system.port, request("GET", "/", "down.test"))
    assert system.value("origin_errors", error="connection_refused") >= 1


def test_buckets_contain_each_other(system):
    ask(system.port, request("GET", "/", "named.test"))
    buckets = [
        one
        for one in system.scrape()["origin_request_seconds"].samples
        if one.name.endswith("_bucket") and one.labels["route"] == "named"
    ]
    values = [one.value for one in buckets]
    assert values == sorted(values)
    assert buckets[-1].labels["le"] == "+Inf"


def test_each_metric_says_what_it_is(system):
    found = system.scrape()
    assert all(family.documentation for family in found.values())
    assert {family.type for family in found.values()} <= {"counter", "gauge", "histogram"}


def test_items_that_wait_for_who_leaves_are_counted():
    with Measured(**{"handler.message_rate": "1"}) as system:
        with stream(system, "c"):
            system.subscribed("c")
            system.publish([{"channel": "c", "formats": {"http-stream": {"content": "x"}}}] * 9)
        wait_until(
            lambda: system.value("deliveries_dropped", reason="closed") == 8, "what was lost"
        )


def test_each_worker_has_its_share_of_the_mark():
    with Measured(**{"handler.message_hwm": "2", "runner.workers": "2"}) as system:
        said(system, " started")
        with streams_everywhere(system, "c") as held, stream(system, "c"):
            system.publish([{"channel": "c", "formats": {"http-stream": {"content": "x"}}}])
            wait_until(
                lambda: system.value("deliveries_dropped", reason="hwm") == len(held) + 1 - 2,
                "what was too much",
            )


def test_every_worker_is_up(system):
    samples = system.scrape()["worker_up"].samples
    assert [one.value for one in samples] == [1.0] * len(samples)
    assert len(samples) == int(system.settings["runner.workers"])


@pytest.mark.slow
def test_counters_go_on_when_a_worker_dies():
    with Measured(**{"runner.workers": "2"}) as system:
        said(system, " started")
        with streams_everywhere(system, "dying") as held:
            before = system.value("request_received")
            os.kill(int(held[0].pid or 0), signal.SIGKILL)
            said(system, " serves in its place")
            assert system.value("request_received") >= before
            others = sum(one.pid != held[0].pid for one in held)
            assert system.value("connection_connected") == others


# HTTP


def test_the_answer_names_the_version_of_the_format(alone):
    answer = ask(alone.metrics_port, request("GET", "/", "any"))
    assert answer.value("content-type") == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/any/path?x=y"])
def test_any_path_will_do(alone, method, path):
    answer = ask(alone.metrics_port, request(method, path, "any"))
    assert answer.status == 200
    assert answer.body.startswith(b"# HELP pp_request_received")


def test_head_has_no_body(alone):
    with Client(alone.metrics_port) as client:
        client.send(request("HEAD", "/", "any"))
        answer = client.response(bodiless=True)
        assert int(answer.value("content-length") or 0) > 1000
        client.send(request("GET", "/", "any"))
        assert client.response().status == 200


def test_a_connection_serves_several_requests(alone):
    with Client(alone.metrics_port) as client:
        for _ in range(3):
            client.send(request("GET", "/", "any"))
            assert client.response().status == 200


def test_another_method_needs_a_length(alone):
    refused = ask(alone.metrics_port, b"POST / HTTP/1.1\r\nHost: any\r\n\r\n")
    assert (refused.status, refused.body) == (411, b"Request requires Content-Length.\n")
    taken = ask(alone.metrics_port, request("POST", "/", "any", body=b"x"))
    assert taken.status == 200


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"\x00\x01\r\n\r\n", b"Failed to parse request header.\n"),
        (b"no request\r\n\r\n", b"Failed to parse request header.\n"),
        (b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 9000), b"Request header too large.\n"),
        (
            b"GET / HTTP/1.1\r\nHost: any\r\n%b\r\n" % (b"X: %b\r\n" % (b"x" * 1000) * 9),
            b"Request header too large.\n",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: any\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000,
            b"Request body too large.\n",
        ),
    ],
    ids=["binary", "words", "line", "lines", "body"],
)
def test_what_is_refused_is_told_why(alone, sent, text):
    refused = ask(alone.metrics_port, sent)
    assert (refused.status, refused.body) == (400, text)


def test_a_few_connections_are_served_and_more_wait(alone):
    with ExitStack() as stack:
        served = [stack.enter_context(Client(alone.metrics_port)) for _ in range(16)]
        for client in served:
            client.send(request("GET", "/", "any"))
            assert client.response().status == 200
        with Client(alone.metrics_port) as waiting:
            waiting.send(request("GET", "/", "any"))
            with pytest.raises(DeadlineError):
                waiting.more(seconds=0.3)
            served[0].close()
            assert waiting.response().status == 200


# The endpoint


def test_a_unix_socket_will_do(tmp_path):
    path = tmp_path / "metrics"
    with (
        Gripproxy(["* test"], settings={"handler.prometheus_port": f"ipc://{path}"}),
        socket.socket(socket.AF_UNIX) as sock,
        sock.makefile("rb") as answer,
    ):
        sock.connect(str(path))
        sock.sendall(request("GET", "/", "any", "Connection: close"))
        assert b"\nrequest_received " in answer.read()
    assert not path.exists()


def test_a_port_that_is_taken_ends_the_start():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        words = [
            "--route=* test",
            f"--port=127.0.0.1:{free_port()}",
            "--set=handler.push_in_http_port=0",
            f"--set=handler.prometheus_port={where}",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "gripproxy", "run", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 2
    assert f"[handler] prometheus_port: cannot listen on {where}: address already" in done.stderr


def test_without_a_port_nothing_is_counted(gripproxy):
    """The library for metrics takes much memory: it is there only where it is used."""
    system: Running = gripproxy(["* test"], settings={"handler.stats_spec": ""})
    with stream(system, "a"):
        assert system.process is not None
        mapped = Path(f"/proc/{system.process.pid}/maps").read_text()
        assert "uvloop" in mapped
        assert "aiohttp" not in mapped

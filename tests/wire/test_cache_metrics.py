"""What metrics and the summary say of the cache (stats.md 9.5), on the running program."""

import json
import signal
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.wire.client import Client, ask, request, wait_until
from tests.wire.origin import Origin, Stage, reply, text
from tests.wire.processes import said, signalled
from tests.wire.running import Gripproxy

HOST = "counted.test"
FRESH = ("Cache-Control: max-age=60", "Surrogate-Key: k")


class Counted:
    """A program with a route with `cache`, and its numbers."""

    def __init__(self, system: Gripproxy) -> None:
        self.system = system

    def get(self, target: str = "/r", *fields: str, method: str = "GET") -> str:
        answer = ask(self.system.port, request(method, target, HOST, *fields))
        return answer.body.decode()

    def purge(self, **what: object) -> None:
        body = json.dumps(what).encode()
        assert ask(self.system.http_port, request("POST", "/purge", "c", body=body)).status == 200

    def scrape(self) -> bytes:
        """Return all metrics as text."""
        return ask(self.system.metrics_port, request("GET", "/", "any")).body

    def numbers(self) -> dict[str, float]:
        """Return the metrics of the cache: `requests` by result, `purges` by cause."""
        found = {}
        for family in text_string_to_metric_families(self.scrape().decode()):
            if family.name.startswith("cache_"):
                for sample in family.samples:
                    words = family.name.removeprefix("cache_"), *sample.labels.values()
                    found[" ".join(words)] = sample.value
        return found

    def results(self) -> dict[str, float]:
        """Return how requests were answered, without what never happened."""
        names = "requests "
        numbers = self.numbers().items()
        return {n.removeprefix(names): v for n, v in numbers if n.startswith(names) and v}


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("counted") as stage:
        stage.answer(text(*FRESH, body="version 1"))
        yield stage


@pytest.fixture
def counted(origin: Origin, gripproxy) -> Counted:
    settings = {"handler.prometheus_port": "127.0.0.1:METRICS_PORT"}
    return Counted(gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings))


def test_without_requests_all_is_zero(counted):
    numbers = counted.numbers()
    assert numbers.pop("limit_bytes") == 268_435_456
    assert set(numbers.values()) == {0}
    assert len(numbers) == 15


def test_hits_and_misses_are_counted(counted, stage):
    for _ in range(3):
        counted.get()
    assert counted.results() == {"miss": 1, "hit": 2}


def test_those_who_wait_for_anothers_answer_are_counted(counted, stage):
    stage.answer(stage.late(text(*FRESH, body="version 1")))
    clients = [Client(counted.system.port) for _ in range(5)]
    for client in clients:
        client.send(request("GET", "/r", HOST))
    wait_until(lambda: b"\nconnection_connected 5\n" in counted.scrape(), "all requests")
    stage.gate.set()
    for client in clients:
        assert client.response().body == b"version 1"
        client.close()
    assert counted.results() == {"miss": 1, "collapsed": 4}


def test_what_the_origin_confirms_is_counted(counted, stage):
    stage.answer(
        text("Cache-Control: max-age=0", 'ETag: "1"', body="version 1"),
        reply("304 Not Modified", "Cache-Control: max-age=60"),
    )
    for _ in range(3):
        counted.get()
    assert counted.results() == {"miss": 1, "revalidated": 1, "hit": 1}


def test_what_is_stale_is_counted(counted, stage):
    stage.answer(
        text("Cache-Control: max-age=0, stale-if-error=60", body="version 1"),
        text(status="503 Service Unavailable", body="down"),
    )
    assert [counted.get(), counted.get()] == ["version 1", "version 1"]
    assert counted.results() == {"miss": 1, "stale": 1}


def test_what_is_none_for_the_cache_is_counted(counted, stage):
    counted.get("/r", "Cache-Control: only-if-cached")
    counted.get("/r", "Cache-Control: no-store")
    counted.get("/r", method="POST")
    assert counted.results() == {"refused": 1, "pass": 2}


def test_purges_are_counted_by_cause(counted, stage):
    counted.get()
    counted.purge(keys=["k", "other"])
    counted.get()
    counted.system.publish([{"channel": "c", "purge": {"all": True}}])
    counted.get()
    counted.get(method="POST")
    numbers = counted.numbers()
    causes = {name: numbers[f"purges {name}"] for name in ("control", "item", "client")}
    assert causes == {"control": 1, "item": 1, "client": 1}
    assert numbers["purged"] == 3


def test_several_workers_count_as_one(origin, stage, gripproxy):
    settings = {"handler.prometheus_port": "127.0.0.1:METRICS_PORT", "runner.workers": "2"}
    counted = Counted(gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings))
    for _ in range(20):
        counted.get()
    counted.purge(keys=["k"])
    counted.system.publish([{"channel": "c", "purge": {"all": True}}])
    counted.get(method="POST")
    numbers = counted.numbers()
    causes = {name: numbers[f"purges {name}"] for name in ("control", "item", "client")}
    assert causes == {"control": 1, "item": 1, "client": 1}
    found = counted.results()
    assert found["miss"] + found["hit"] == 20
    assert numbers["purged"] == found["miss"]  # each worker had one
    assert numbers["limit_bytes"] == 268_435_456


def test_what_is_stored_is_told(counted, stage):
    stage.answer(text(*FRESH, body="x" * 10_000))
    counted.get("/1")
    counted.get("/2")
    numbers = counted.numbers()
    assert numbers["entries"] == 2
    assert 20_000 < numbers["bytes"] < 30_000
    assert numbers["tags"] > 0


def test_what_had_to_make_room_is_counted(origin, stage, gripproxy):
    settings = {"handler.prometheus_port": "127.0.0.1:METRICS_PORT", "cache.size": "20000"}
    counted = Counted(gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings))
    stage.answer(text(*FRESH, body="x" * 10_000))
    counted.get("/1")
    counted.get("/2")
    numbers = counted.numbers()
    assert (numbers["entries"], numbers["evicted"], numbers["limit_bytes"]) == (1, 1, 20_000)


def test_the_summary_tells_what_is_stored(counted, stage):
    counted.get()
    signalled(counted.system, signal.SIGUSR1)
    said(counted.system, " stored=1 stored_bytes=")

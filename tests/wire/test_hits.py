"""Answers from memory to who asks the same again, on the running program (cache-and-purge.md).

That they are those of the long way is in `tests/front/test_at_once.py`.
"""

import json
from collections.abc import Iterator

import pytest

from tests.wire.client import Client, ask, request, wait_until
from tests.wire.origin import Origin, Stage, text
from tests.wire.running import Running

HOST = "hits.test"
AGAIN = request("GET", "/r", HOST)
LARGE = 100_000


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("hits") as stage:
        versions = [f"version {number}" for number in range(1, 10)]
        stage.answer(*(text("Cache-Control: max-age=60", body=version) for version in versions))
        yield stage


@pytest.fixture
def system(origin: Origin, gripproxy) -> Running:
    return gripproxy([f"*,cache 127.0.0.1:{origin.port}"])


def test_answers_from_memory_and_from_the_origin_come_in_order(system, stage):
    stage.answer(*(text("Cache-Control: no-store", body="never") for _ in range(9)), at="/n")
    never = request("GET", "/n", HOST)
    with Client(system.port) as client:
        for _ in range(3):
            client.send(AGAIN)
            assert client.response().body == b"version 1"
        client.send(3 * AGAIN + never + AGAIN + request("HEAD", "/r", HOST) + 2 * AGAIN)
        got = [client.response(bodiless=number == 5).body for number in range(8)]
    assert got == [*3 * [b"version 1"], b"never", b"version 1", b"", *2 * [b"version 1"]]
    assert [asked.method for asked in stage.requests] == ["GET", "GET"]
    line = f"GET http://{HOST}/r -> "
    wait_until(lambda: system.log().count(line) == 9, "a line for each")


def test_a_purge_counts_for_the_next_request_of_a_connection(system, stage):
    with Client(system.port) as client:
        for version in (1, 2):
            for _ in range(4):
                client.send(AGAIN)
                assert client.response().body == f"version {version}".encode()
            said = json.dumps({"urls": [f"http://{HOST}/r"]}).encode()
            assert ask(system.http_port, request("POST", "/purge", "c", body=said)).status == 200


def test_who_reads_slowly_gets_all_of_many_large_answers(system, stage):
    stage.answer(text("Cache-Control: max-age=60", body=LARGE * "x"), at="/large")
    large = request("GET", "/large", HOST)
    with Client(system.port) as client:
        for _ in range(3):
            client.send(large)
            assert len(client.response().body) == LARGE
        client.send(200 * large)
        # Others are served meanwhile.
        assert ask(system.port, AGAIN).body == b"version 1"
        for _ in range(200):
            assert client.response().body == LARGE * b"x"
    assert len(stage.requests) == 2


def test_the_route_of_a_request_may_change(system, stage, origin):
    with Client(system.port) as client:

        def body() -> bytes:
            client.send(AGAIN)
            return client.response().body

        assert [body() for _ in range(4)] == 4 * [b"version 1"]
        system.write_routes([f"* 127.0.0.1:{origin.port}"])
        wait_until(lambda: body() != b"version 1", "the new routes")

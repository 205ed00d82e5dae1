"""Routes with `cache` on the running program: what is served from memory, and how it is purged."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.wire.client import Client, Response, ask, envelope, push, request, wait_until
from tests.wire.origin import Answer, Origin, Stage, reply, text
from tests.wire.running import ROOT, Running

FRESH = ("Cache-Control: max-age=60", "Surrogate-Key: k product-42")
HOST = "cached.test"


def version(number: int, *fields: str) -> bytes:
    return text(*(fields or FRESH), body=f"version {number}")


def versions(*fields: str) -> list[Answer]:
    return [version(number, *fields) for number in range(1, 10)]


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("cached") as stage:
        stage.answer(*versions())
        yield stage


@pytest.fixture
def system(origin: Origin, gripproxy) -> Running:
    return gripproxy([f"*,cache 127.0.0.1:{origin.port}"])


def get(system: Running, *fields: str, target: str = "/r", method: str = "GET") -> Response:
    head = method == "HEAD"
    return ask(system.port, request(method, target, HOST, *fields), bodiless=head)


def body(system: Running, *fields: str) -> str:
    return get(system, *fields).body.decode()


def control(system: Running, target: str, *fields: str, said: bytes = b"") -> Response:
    asked = request("POST", target, "control", *fields, body=said)
    return ask(system.http_port, asked)


def purge(system: Running, **what: object) -> dict[str, object]:
    answer = control(system, "/purge", said=json.dumps(what).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


# Serving


def test_the_second_request_is_answered_from_memory(system, stage):
    miss, hit = get(system), get(system)
    assert (miss.body, hit.body, len(stage.requests)) == (b"version 1", b"version 1", 1)
    assert miss.value("cache-status") == "gripproxy; fwd=uri-miss; stored"
    assert re.fullmatch(r"gripproxy; hit; ttl=(59|60)", hit.value("cache-status") or "")
    assert hit.value("age") in {"0", "1"}
    assert hit.value("surrogate-key") is None


def test_a_head_and_a_range_are_answered_from_memory(system, stage):
    get(system)
    head = get(system, method="HEAD")
    assert (head.status, head.value("content-length")) == (200, "9")
    part = get(system, "Range: bytes=0-2")
    assert (part.status, part.body) == (206, b"ver")
    assert len(stage.requests) == 1


def test_routes_without_the_parameter_store_nothing(origin, stage, gripproxy):
    system = gripproxy([f"* 127.0.0.1:{origin.port}"])
    assert [body(system), body(system)] == ["version 1", "version 2"]


def test_fifty_requests_at_once_are_one(system, stage):
    stage.answer(stage.late(version(1)), version(2))
    clients = [Client(system.port) for _ in range(50)]
    try:
        for client in clients:
            client.send(request("GET", "/r", HOST))
        stage.request()
        stage.gate.set()
        assert {client.response().body for client in clients} == {b"version 1"}
    finally:
        for client in clients:
            client.close()
    assert len(stage.requests) == 1


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ((), ("Cache-Control: private, max-age=60",)),
        ((), ("Cache-Control: no-store",)),
        ((), ("Cache-Control: max-age=60", "Set-Cookie: session=1")),
        (("Authorization: Basic eDp5",), ("Cache-Control: max-age=60",)),
        (("Cookie: session=1",), ("Last-Modified: Tue, 14 Nov 2000 00:00:00 GMT",)),
    ],
)
def test_what_belongs_to_somebody_is_not_shared(system, stage, asked, fields):
    stage.answer(*versions(*fields))
    assert body(system, *asked) == "version 1"
    assert body(system, *asked) == "version 2"
    assert body(system) == "version 3"


def test_what_is_stale_is_asked_about(system, stage):
    stage.answer(
        text("Cache-Control: max-age=0", 'ETag: "1"', body="version 1"),
        reply("304 Not Modified", "Cache-Control: max-age=60"),
    )
    assert [body(system), body(system), body(system)] == ["version 1"] * 3
    assert stage.requests[-1].value("if-none-match") == '"1"'
    assert len(stage.requests) == 2


def test_an_error_is_answered_with_what_is_stale(system, stage):
    stage.answer(
        text("Cache-Control: max-age=0, stale-if-error=60", body="version 1"),
        text(status="503 Service Unavailable", body="down"),
    )
    assert [body(system), body(system)] == ["version 1", "version 1"]


# Purging


@pytest.mark.parametrize(
    "what", [{"urls": [f"http://{HOST}/r"]}, {"keys": ["product-42"]}, {"all": True}]
)
def test_after_a_purge_the_origin_is_asked(system, stage, what):
    assert [body(system), body(system)] == ["version 1", "version 1"]
    answer = purge(system, **what)
    assert (answer["status"], answer["purged"]) == ("ok", 1)
    assert [body(system), body(system)] == ["version 2", "version 2"]


def test_a_purge_of_something_else_changes_nothing(system, stage):
    body(system)
    assert purge(system, keys=["other"], urls=[f"http://{HOST}/other"])["purged"] == 0
    assert body(system) == "version 1"


@pytest.mark.parametrize(
    ("target", "fields", "said"),
    [
        (f"/purge/{HOST}/r", (), b""),
        ("/service/x/purge/product-42", (), b""),
        ("/service/x/purge", ("Surrogate-Key: a product-42",), b""),
        ("/service/x/purge", (), b'{"surrogate_keys": ["product-42"]}'),
        ("/service/x/purge_all", (), b""),
    ],
)
def test_purges_may_be_spelled_as_for_a_hosted_service(system, stage, target, fields, said):
    body(system)
    assert control(system, target, *fields, said=said).status == 200
    assert body(system) == "version 2"


ITEM = {"channel": "c", "purge": {"keys": ["k"]}, "formats": {"http-stream": {"content": "x"}}}


def test_an_item_purges_before_it_is_accepted(system, stage):
    body(system)
    assert system.publish([ITEM]).status == 200
    assert body(system) == "version 2"


def test_an_item_may_have_nothing_but_a_purge(system, stage):
    body(system)
    assert system.publish([{"channel": "c", "purge": {"all": True}}]).status == 200
    assert body(system) == "version 2"


@pytest.mark.parametrize("how", ["J", "T"])
def test_an_item_over_zeromq_purges(system, stage, how):
    body(system)
    push(system.zmq_port, envelope(ITEM, how))
    wait_until(lambda: body(system) == "version 2", "the purge")


def test_who_sees_the_item_never_reads_the_old_version(system, stage):
    hold = text("Grip-Hold: stream", "Grip-Channel: c", body="")
    stage.answer(hold, at="/events")
    body(system)
    with Client(system.port) as client:
        client.send(request("GET", "/events", HOST))
        assert client.head().status == 200
        system.subscribed("c")
        system.publish([ITEM])
        assert client.piece() == b"x"
        assert body(system) == "version 2"


def test_what_is_purged_softly_is_served_while_it_is_asked_for(system, stage):
    stage.answer(*versions("Cache-Control: max-age=60, stale-while-revalidate=60"))
    assert body(system) == "version 1"
    purge(system, urls=[f"http://{HOST}/r"], soft=True)
    assert body(system) == "version 1"
    wait_until(lambda: body(system) == "version 2", "the new version")
    assert len(stage.requests) == 2


def test_while_a_purge_settles_nothing_is_stored(system, stage):
    body(system)
    purge(system, keys=["k"], settle=60)
    assert [body(system), body(system)] == ["version 2", "version 3"]


def test_an_unsafe_request_takes_back_its_own_url(system, stage):
    body(system)
    assert ask(system.port, request("POST", "/r", HOST, body=b"x")).status == 200
    assert body(system) == "version 3"


def test_clients_cannot_purge(system, stage):
    body(system)
    answer = get(system, method="PURGE")
    assert (answer.body, stage.requests[-1].method) == (b"version 2", "PURGE")


def test_clients_elsewhere_than_the_operator_says_cannot_purge(origin, stage, gripproxy):
    settings = {"cache.purge_from": "10.0.0.0/8"}
    system = gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings)
    body(system)
    get(system, method="PURGE")
    assert stage.requests[-1].method == "PURGE"


def test_clients_that_may_purge_a_url(origin, stage, gripproxy):
    settings = {"cache.purge_from": "10.0.0.0/8,127.0.0.1"}
    system = gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings)
    for target in ("/r", "/r?other"):
        get(system, target=target)
    answer = get(system, method="PURGE")
    assert answer.status == 200
    assert answer.value("content-type") == "application/json"
    assert sorted(json.loads(answer.body)) == ["id", "status"]
    assert [get(system, target=target).body for target in ("/r", "/r?other")] == [
        b"version 3",
        b"version 2",
    ]
    assert [asked.method for asked in stage.requests] == ["GET"] * 3
    line = f"PURGE http://{HOST}/r code=200"
    wait_until(lambda: line in system.log(), "the line of the request")


def test_a_purge_that_makes_no_sense_is_refused(system, stage):
    answer = control(system, "/purge", said=b'{"tags": ["k"]}')
    assert (answer.status, b"tags" in answer.body) == (400, True)


# The command line


def called(system: Running, *arguments: str) -> tuple[int, str, str]:
    spec = f"http://127.0.0.1:{system.http_port}"
    done = subprocess.run(
        [sys.executable, "-m", "gripproxy", "purge", "--spec", spec, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "what",
    [
        ("--url", f"http://{HOST}/r", "--url", "http://other.test/"),
        ("--key", "k", "--key", "none"),
        ("--all",),
    ],
)
def test_the_command_purges(system, stage, what):
    body(system)
    assert called(system, *what) == (0, "Purged: 1\n", "")
    assert body(system) == "version 2"


def test_the_command_purges_softly(system, stage):
    stage.answer(*versions("Cache-Control: max-age=60, stale-while-revalidate=60"))
    body(system)
    assert called(system, "--all", "--soft") == (0, "Purged: 1\n", "")
    assert body(system) == "version 1"
    wait_until(lambda: body(system) == "version 2", "the new version")


def test_the_command_lets_nothing_be_stored_for_a_while(system, stage):
    body(system)
    assert called(system, "--key", "k", "--settle", "60") == (0, "Purged: 1\n", "")
    assert [body(system), body(system)] == ["version 2", "version 3"]


def test_the_command_wants_to_know_what(system):
    code, out, err = called(system)
    assert (code, out) == (2, "")
    assert err == "gripproxy: say what to purge: --url, --key or --all\n"


@pytest.mark.parametrize("spec", ["tcp://127.0.0.1:1", "http://127.0.0.1:1"])
def test_the_command_says_that_nothing_was_purged(system, spec):
    code, out, err = called(system, "--all", "--spec", spec)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")


# Holds


def test_a_hold_is_held_and_not_stored(system, stage):
    hold = text(
        "Cache-Control: max-age=60", "Grip-Hold: response", "Grip-Channel: c", body="timed out"
    )
    stage.answer(hold)
    for number in (1, 2):
        with Client(system.port) as client:
            client.send(request("GET", "/r", HOST))
            system.subscribed("c", times=number)
            item = {"channel": "c", "formats": {"http-response": {"body": f"item {number}"}}}
            system.publish([item])
            assert client.response().body == f"item {number}".encode()
    assert len(stage.requests) == 2

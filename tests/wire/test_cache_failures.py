"""Origins that fail a route with `cache`, and what clients see of it.

Each test shows two things: what those who wait are told, and that nothing of the failure stays.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.ports import free_port
from tests.wire.client import Client, Response, ask, request, wait_until
from tests.wire.crowd import CrowdOrigin, crowd
from tests.wire.origin import Answer, Origin, Stage, Wire, breaking, chunks, ending, reply, text
from tests.wire.origin import Request as Asked
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow

MORTAL = "/mortal"  # its origin listens only while a test lets it
CROWDED = "/crowd"
FRESH = ("Cache-Control: max-age=60", "Surrogate-Key: k")
CROWD = 1000
WAITERS = 5

_names = (f"fails-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def lasting() -> Iterator[Origin]:
    with Origin() as one:
        yield one


@pytest.fixture(scope="module")
def crowd_origin() -> Iterator[CrowdOrigin]:
    with CrowdOrigin() as one:
        yield one


@pytest.fixture(scope="module")
def mortal_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def system(lasting: Origin, crowd_origin: CrowdOrigin, mortal_port: int) -> Iterator[Running]:
    routes = [
        f"*,path_beg={MORTAL},cache 127.0.0.1:{mortal_port}",
        f"*,path_beg={CROWDED},cache 127.0.0.1:{crowd_origin.port}",
        f"*,cache 127.0.0.1:{lasting.port}",
    ]
    with Gripproxy(routes) as system:
        yield system


@pytest.fixture(scope="module")
def impatient(lasting: Origin) -> Iterator[Running]:
    """Ours with a second's patience with origins and clients."""
    with Gripproxy(
        [f"*,cache 127.0.0.1:{lasting.port}"],
        settings={"proxy.origin_timeout": "1", "runner.write_timeout": "1"},
    ) as system:
        yield system


@pytest.fixture
def host() -> str:
    """A host of one's own, so that nothing is stored, remembered or connected for it."""
    return f"{next(_names)}.test"


@pytest.fixture
def stage(lasting: Origin, host: str) -> Iterator[Stage]:
    with lasting.stage(host.removesuffix(".test")) as stage:
        stage.forgiving = True
        yield stage


def get(system: Running, host: str, *fields: str, target: str = "/r") -> Response:
    return ask(system.port, request("GET", target, host, *fields), seconds=10)


def body(system: Running, host: str, *fields: str, target: str = "/r") -> str:
    return get(system, host, *fields, target=target).body.decode()


def catch_up(system: Running) -> None:
    """Have another client be answered, so that what others have sent before is read."""
    assert get(system, "ready.invalid", target="/down").status == 502


def purge(system: Running, **what: object) -> int:
    said = json.dumps(what).encode()
    answer = ask(system.http_port, request("POST", "/purge", "control", body=said))
    assert answer.status == 200, answer.body
    return int(json.loads(answer.body)["purged"])


def good(number: int, *fields: str) -> bytes:
    return text(*(fields or FRESH), body=f"version {number}")


def gated(stage: Stage, answer: Answer) -> Answer:
    """Return an answer of any kind that is given when the gate is set."""

    def wait(got: Asked, wire: Wire) -> bytes | None:
        stage.gate.wait(30)
        return answer if isinstance(answer, bytes) else answer(got, wire)

    return wait


def in_two(stage: Stage, first: bytes, then: Answer) -> Answer:
    """Return an answer that begins at once, and goes on when the gate is set."""

    def send(got: Asked, wire: Wire) -> bytes | None:
        wire.send(first)
        return gated(stage, then)(got, wire)

    return send


@contextmanager
def waiters(
    system: Running, stage: Stage, host: str, *requests: Sequence[str]
) -> Iterator[list[Client]]:
    """Have clients wait for one flight, which the first of them has started.

    Each says with which method and fields it asks; without, there are five who say GET.
    """
    with ExitStack() as stack:
        clients = []
        for method, *fields in requests or [("GET",)] * WAITERS:
            client = stack.enter_context(Client(system.port, seconds=10))
            client.send(request(method, "/r", host, *fields))
            if not clients:
                stage.request()
            clients.append(client)
        catch_up(system)
        yield clients


def cut(client: Client) -> bytes:
    """Return what came of the body of a response that breaks off."""
    response = client.head()
    got = client.rest()
    if response.framing == "length":
        assert len(got) < int(response.value("content-length") or 0)
    else:
        assert response.framing == "chunked", "its end cannot be told from a break"
        assert not got.endswith(b"0\r\n\r\n")
    return got


def is_asked_anew(system: Running, stage: Stage, host: str) -> None:
    """Check that nothing has stayed: the origin is asked, with no condition, and then believed."""
    before = len(stage.requests)
    stage.gate.set()
    stage.answer(good(9))
    assert [body(system, host), body(system, host)] == ["version 9", "version 9"]
    assert len(stage.requests) == before + 1
    assert stage.requests[-1].value("if-none-match") is None


# It dies

HALF = b"~" * 1000
HALF_A_LENGTH = reply("200 OK", *FRESH, "Content-Length: 2000", body=HALF)
HALF_THE_CHUNKS = reply("200 OK", *FRESH, "Transfer-Encoding: chunked") + chunks(HALF, last=False)
HEAD_ONLY = reply("200 OK", *FRESH, "Content-Length: 2000")

NO_ANSWER = {
    "reset": breaking(),
    "closed": ending(b""),
    "half a head": ending(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-"),
    "no head": ending(b"hello\r\n\r\n"),
    "two lengths": ending(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab"),
}
HALF_AN_ANSWER = {
    "after the head, closed": ending(HEAD_ONLY),
    "after the head, reset": breaking(HEAD_ONLY),
    "a length, closed": ending(HALF_A_LENGTH),
    "a length, reset": breaking(HALF_A_LENGTH),
    "chunks, closed": ending(HALF_THE_CHUNKS),
    "chunks, reset": breaking(HALF_THE_CHUNKS),
    "half a chunk": ending(HALF_THE_CHUNKS + b"ff\r\nx"),
    "no last chunk": ending(HALF_THE_CHUNKS + b"0\r\n"),
}


def each(answers: dict[str, Answer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("answer", answers.values(), ids=answers)


def test_a_refused_connection_is_an_error_and_nothing_stays(system, mortal_port, host):
    assert get(system, host, target=MORTAL).status == 502
    with Origin(mortal_port) as origin, origin.stage(host.removesuffix(".test")) as stage:
        stage.answer(good(1))
        assert body(system, host, target=MORTAL) == "version 1"
    assert body(system, host, target=MORTAL) == "version 1"  # it needs nobody


@each(NO_ANSWER)
def test_an_origin_without_an_answer_is_an_error_to_all_who_wait(system, stage, host, answer):
    stage.answer(gated(stage, answer))
    with waiters(system, stage, host) as clients:
        stage.gate.set()
        assert {client.response().status for client in clients} == {502}
    assert len(stage.requests) == 1
    is_asked_anew(system, stage, host)


@each(HALF_AN_ANSWER)
def test_half_an_answer_is_cut_for_all_who_wait(system, stage, host, answer):  # row 20
    stage.answer(gated(stage, answer))
    with waiters(system, stage, host) as clients:
        stage.gate.set()
        pieces = [cut(client) for client in clients]
    assert len({piece.count(b"~") for piece in pieces}) == 1
    assert len(stage.requests) == 1
    is_asked_anew(system, stage, host)


@pytest.mark.parametrize(
    "first", [HEAD_ONLY, HALF_A_LENGTH, HALF_THE_CHUNKS], ids=["head", "length", "chunks"]
)
def test_those_who_join_a_body_are_cut_with_it(system, stage, host, first):
    stage.answer(in_two(stage, first, breaking()))
    with Client(system.port) as leader, Client(system.port) as late:
        leader.send(request("GET", "/r", host))
        begun = leader.head()
        if HALF in first:
            leader.upto(b"~" * 999)
        late.send(request("GET", "/r", host))
        assert late.head().framing == begun.framing
        stage.gate.set()
        leader.rest()
        assert late.rest().count(b"~") == first.count(b"~")
    assert len(stage.requests) == 1
    is_asked_anew(system, stage, host)


def test_chunks_that_make_no_sense_are_cut_for_all_who_wait(system, stage, host):
    stage.answer(in_two(stage, HALF_THE_CHUNKS, b"size\r\n"))
    with waiters(system, stage, host) as clients:
        heads = [client.head() for client in clients]
        stage.gate.set()
        assert {head.status for head in heads} == {200}
        assert not any(client.rest().endswith(b"0\r\n\r\n") for client in clients)
    is_asked_anew(system, stage, host)


def test_half_a_body_answers_no_range_and_no_condition(system, stage, host):
    stage.answer(good(1, "Cache-Control: max-age=0", 'ETag: "1"'))
    assert body(system, host) == "version 1"
    stage.request()
    tagged = reply("200 OK", *FRESH, 'ETag: "2"', "Content-Length: 2000", body=HALF)
    stage.answer(gated(stage, breaking(tagged)))
    asked = [("GET",), ("GET", "Range: bytes=0-9"), ("GET", 'If-None-Match: "2"'), ("HEAD",)]
    with waiters(system, stage, host, *asked) as (leader, part, condition, head):
        stage.gate.set()
        assert cut(leader) == HALF
        assert (part.response().status, condition.response().status) == (502, 502)
        assert head.response(bodiless=True).value("content-length") == "2000"
    assert len(stage.requests) == 2
    stage.answer(good(9))
    assert [body(system, host), body(system, host)] == ["version 9", "version 9"]


def test_a_body_that_ends_with_the_connection_is_not_whole_after_a_reset(system, stage, host):
    begun = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n" + HALF
    stage.answer(in_two(stage, begun, breaking()))
    with Client(system.port) as client:
        client.send(request("GET", "/r", host))
        begun = client.head()
        client.upto(b"~")
        stage.gate.set()
        assert begun.framing == "chunked"
        assert not client.rest().endswith(b"0\r\n\r\n")
    is_asked_anew(system, stage, host)


# It dies, and something stale is there

STALE = ("Age: 40", 'ETag: "1"', "Surrogate-Key: k")  # for half a minute
ON_ERROR = "Cache-Control: max-age=10, stale-if-error=60"
FAILURES: dict[str, Answer] = {
    "reset": breaking(),
    "closed": ending(b""),
    "no head": ending(b"hello\r\n\r\n"),
    **{str(status): text(status=f"{status} Bad", body="bad") for status in (500, 502, 503, 504)},
}


@each(FAILURES)
def test_a_failure_is_answered_with_what_may_be_stale(system, stage, host, answer):
    stage.answer(good(1, ON_ERROR, *STALE))
    assert body(system, host) == "version 1"
    stage.request()
    stage.answer(gated(stage, answer))
    asked = [
        ("GET",),
        ("GET",),
        ("HEAD",),
        ("GET", "Range: bytes=0-2"),
        ("GET", 'If-None-Match: "1"'),
    ]
    with waiters(system, stage, host, *asked) as clients:
        stage.gate.set()
        plain, also, head, part, condition = clients
        assert (plain.response().body, also.response().body) == (b"version 1", b"version 1")
        assert head.response(bodiless=True).value("content-length") == "9"
        assert part.response().body == b"ver"
        assert condition.response().status == 304
    assert stage.requests[1].value("if-none-match") == '"1"'


def test_a_refused_connection_is_answered_with_what_may_be_stale(system, mortal_port, host):
    with Origin(mortal_port) as origin, origin.stage(host.removesuffix(".test")) as stage:
        stage.answer(good(1, ON_ERROR, *STALE))
        assert body(system, host, target=MORTAL) == "version 1"
    answer = get(system, host, target=MORTAL)
    assert (answer.status, answer.body) == (200, b"version 1")
    assert int(answer.value("age") or 0) >= 40
    purge(system, urls=[f"http://{host}{MORTAL}"])
    assert get(system, host, target=MORTAL).status == 502


@pytest.mark.parametrize(
    "control",
    [
        "max-age=10",
        "max-age=10, stale-if-error=20",
        "max-age=10, stale-if-error=60, must-revalidate",
        "max-age=10, stale-if-error=60, proxy-revalidate",
        "max-age=10, stale-if-error=60, no-cache",
    ],
)
def test_a_failure_is_told_where_nothing_stale_may_be_used(system, stage, host, control):
    stage.answer(good(1, f"Cache-Control: {control}", *STALE), text(status="503 Bad", body="bad"))
    assert body(system, host) == "version 1"
    assert body(system, host) == "bad"
    stage.answer(breaking())
    assert get(system, host).status == 502
    stage.answer(reply("304 Not Modified"))
    assert body(system, host) == "version 1"  # the failures have taken nothing away


@pytest.mark.parametrize("status", ["404 Not Found", "501 Not Implemented", "403 Forbidden"])
def test_only_a_failure_of_the_origin_is_answered_with_what_is_stale(system, stage, host, status):
    stage.answer(good(1, ON_ERROR, *STALE), text(status=status, body="no"))
    assert [body(system, host), body(system, host)] == ["version 1", "no"]


LASTING_FAILURE = ("Cache-Control: max-age=60", "Content-Type: text/plain")


def test_a_failure_does_not_take_the_place_of_what_may_be_stale(system, stage, host):
    bad = reply("503 Bad", *LASTING_FAILURE, body="bad")
    stage.answer(good(1, ON_ERROR, *STALE), bad)
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]


def test_a_failure_that_comes_in_parts_does_not_take_its_place_either(system, stage, host):
    begun = reply("503 Bad", *LASTING_FAILURE, "Content-Length: 3")
    stage.answer(good(1, ON_ERROR, *STALE), in_two(stage, begun, b"bad"))
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]
    stage.gate.set()
    wait_until(stage.idle, "the rest of the failure")
    assert body(system, host) == "version 1"


MEANWHILE = "Cache-Control: max-age=10, stale-while-revalidate=60"


@each(FAILURES)
def test_a_failure_in_the_background_is_told_to_nobody(system, stage, host, answer):
    stage.answer(good(1, MEANWHILE, *STALE), answer)
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]
    wait_until(lambda: len(stage.requests) > 1 and stage.idle(), "the failure")
    assert body(system, host) == "version 1"
    stage.answer(good(2))
    wait_until(lambda: body(system, host) == "version 2", "the new version")


def test_an_origin_that_hangs_in_the_background_is_asked_once(system, stage, host):
    stage.answer(good(1, MEANWHILE, *STALE), stage.late(good(2)))
    assert {body(system, host) for _ in range(10)} == {"version 1"}
    assert len(stage.requests) == 2


def test_a_body_that_breaks_off_takes_nothing_away(system, stage, host):
    stage.answer(good(1, ON_ERROR, *STALE), breaking(HALF_A_LENGTH), breaking(), breaking())
    assert body(system, host) == "version 1"
    with Client(system.port) as client:
        client.send(request("GET", "/r", host))
        assert cut(client) == HALF
    assert body(system, host) == "version 1"


@each({"reset": breaking(), "503": text(status="503 Bad", body="bad")})
def test_a_purge_takes_the_last_resort_too(system, stage, host, answer):  # row 4
    stage.answer(good(1, ON_ERROR, *STALE))
    assert body(system, host) == "version 1"
    stage.request()
    stage.answer(gated(stage, answer))
    with waiters(system, stage, host) as clients:
        assert purge(system, urls=[f"http://{host}/r"]) == 1
        stage.gate.set()
        assert {client.response().status for client in clients} <= {502, 503}
    is_asked_anew(system, stage, host)


def test_after_a_soft_purge_a_failure_is_answered_with_what_is_stale(system, stage, host):
    stage.answer(good(1, "Cache-Control: max-age=60, stale-if-error=60"), breaking())
    assert body(system, host) == "version 1"
    purge(system, urls=[f"http://{host}/r"], soft=True)
    assert body(system, host) == "version 1"


# It hangs


def test_an_origin_that_hangs_is_given_up_for_all_who_wait(impatient, stage, host):
    stage.answer(stage.late(b""))
    with waiters(impatient, stage, host) as clients:
        assert {client.response().status for client in clients} == {504}
    assert len(stage.requests) == 1
    is_asked_anew(impatient, stage, host)


def test_an_origin_that_hangs_is_helped_out_with_what_is_stale(impatient, stage, host):
    stage.answer(good(1, ON_ERROR, *STALE), stage.late(b""))
    assert body(impatient, host) == "version 1"
    assert body(impatient, host) == "version 1"
    assert len(stage.requests) == 2


@pytest.mark.parametrize("first", [HALF_A_LENGTH, HALF_THE_CHUNKS], ids=["length", "chunks"])
def test_a_body_that_hangs_is_cut_for_all_who_wait(impatient, stage, host, first):
    stage.answer(in_two(stage, first, b""))
    with waiters(impatient, stage, host) as clients:
        for client in clients:
            assert cut(client).count(b"~") == first.count(b"~")
    assert len(stage.requests) == 1
    is_asked_anew(impatient, stage, host)


def test_behind_an_origin_that_hangs_a_purge_lets_others_through(system, stage, host):
    stage.answer(stage.late(good(1)), good(2))
    with Client(system.port) as client:
        client.send(request("GET", "/r", host))
        stage.request()
        purge(system, all=True)
        assert [body(system, host), body(system, host)] == ["version 2", "version 2"]
        stage.gate.set()
        assert client.response().body == b"version 1"
    assert body(system, host) == "version 2"


# It sends more than is kept

LARGE = 9 * 2**20  # more than [cache] max_object_size


def test_what_is_too_large_to_be_kept_is_cut_for_all_who_wait(system, stage, host):
    begun = reply("200 OK", *FRESH, f"Content-Length: {LARGE + 1}", body=b"~" * LARGE)
    stage.answer(gated(stage, ending(begun)))
    with waiters(system, stage, host) as clients, ThreadPoolExecutor(WAITERS) as threads:
        stage.gate.set()
        # What was not yet written to him when it broke off, a slower one does not get.
        assert all(threads.map(cut, clients))
    assert len(stage.requests) == 1
    is_asked_anew(system, stage, host)


def test_one_who_does_not_read_holds_nobody_up_for_ever(impatient, stage, host):
    whole = reply("200 OK", *FRESH, body=b"~" * LARGE)
    stage.answer(gated(stage, whole))
    with waiters(impatient, stage, host, ("GET",), ("GET",)) as (_, reads):
        stage.gate.set()
        assert len(reads.response().body) == LARGE
    assert len(stage.requests) == 1


def invented(system: Running) -> None:
    """Purge more keys that nobody carries than are remembered for flights."""
    for start in range(0, 70_000, 10_000):
        assert purge(system, keys=[f"invented {start + at}" for at in range(10_000)]) == 0


def test_a_storm_of_purges_takes_its_place_from_what_hangs(system, stage, host):  # row 19
    stage.answer(stage.late(good(1)), good(2))
    with waiters(system, stage, host) as (leader, *_):
        invented(system)
        stage.gate.set()
        assert leader.response().body == b"version 1"
    assert [body(system, host), body(system, host)] == ["version 2", "version 2"]
    assert len(stage.requests) == 2


def test_those_who_waited_before_a_storm_of_purges_need_not_ask_again(system, stage, host):
    stage.answer(stage.late(good(1)), good(2))
    with waiters(system, stage, host) as clients:
        invented(system)
        stage.gate.set()
        assert {client.response().body for client in clients} == {b"version 1"}


# It lies


def test_what_comes_after_the_length_belongs_to_nothing(system, stage, host):
    smuggled = good(666)
    stage.answer(good(1) + smuggled, good(2))
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]
    assert [body(system, host, target="/b"), body(system, host, target="/b")] == ["version 2"] * 2
    first, second = stage.requests
    assert first.connection != second.connection


def test_what_comes_after_the_last_chunk_belongs_to_nothing(system, stage, host):
    chunked = reply("200 OK", *FRESH, "Transfer-Encoding: chunked") + chunks(b"version 1")
    stage.answer(chunked + good(666), good(2))
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]
    assert body(system, host, target="/b") == "version 2"


def test_a_length_that_is_too_long_is_waited_for_and_given_up(impatient, stage, host):
    stage.answer(reply("200 OK", *FRESH, "Content-Length: 10", body=b"version 1"))
    with Client(impatient.port, seconds=10) as client:
        client.send(request("GET", "/r", host))
        assert cut(client) == b"version 1"
    is_asked_anew(impatient, stage, host)


def test_a_304_has_no_body_whatever_it_says(system, stage, host):
    told = reply("304 Not Modified", "Cache-Control: max-age=60", "Content-Length: 2000")
    stage.answer(good(1, ON_ERROR, *STALE), told)
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]
    answer = get(system, host)
    assert (answer.body, answer.value("content-length")) == (b"version 1", "9")
    assert len(stage.requests) == 2


@pytest.mark.parametrize("span", ["0-1/5", "0-9/5", "x", "bytes 3-2/5", "bytes 0-1/1"])
def test_a_part_of_nobody_knows_what_is_not_stored(system, stage, host, span):
    part = reply("206 Partial Content", *FRESH, f"Content-Range: {span}", body="abc")
    stage.answer(part, part, good(9))
    assert get(system, host, "Range: bytes=0-1").status == 206
    assert get(system, host, "Range: bytes=0-1").status == 206
    assert len(stage.requests) == 2
    is_asked_anew(system, stage, host)


def test_a_part_that_nobody_asked_for_is_not_stored(system, stage, host):
    part = reply("206 Partial Content", *FRESH, "Content-Range: bytes 0-1/5", body="ab")
    stage.answer(part)
    assert get(system, host).status == 206
    is_asked_anew(system, stage, host)


# It changes its mind


def test_a_304_that_nobody_asked_for_is_not_stored(system, stage, host):
    stage.answer(reply("304 Not Modified", *FRESH, 'ETag: "1"'))
    answer = get(system, host)
    assert (answer.status, answer.body) == (304, b"")
    is_asked_anew(system, stage, host)


def test_a_304_that_nobody_asked_for_keeps_nobody_waiting(system, stage, host):
    stage.answer(gated(stage, reply("304 Not Modified", *FRESH)), good(2))
    with waiters(system, stage, host) as clients:
        stage.gate.set()
        found = sorted(client.response().status for client in clients)
    assert found == [200, 200, 200, 200, 304]


def test_a_304_to_a_clients_own_condition_is_his_alone(system, stage, host):
    stage.answer(reply("304 Not Modified", *FRESH, 'ETag: "1"'))
    assert get(system, host, 'If-None-Match: "1"').status == 304
    assert stage.requests[-1].value("if-none-match") == '"1"'
    is_asked_anew(system, stage, host)


def test_a_304_to_our_condition_counts_whatever_tag_it_has(system, stage, host):
    told = reply("304 Not Modified", "Cache-Control: max-age=60", 'ETag: "2"')
    stage.answer(good(1, ON_ERROR, *STALE), told)
    assert [body(system, host), body(system, host)] == ["version 1", "version 1"]
    assert get(system, host).value("etag") == '"1"'


def test_a_304_about_another_date_is_not_believed(system, stage, host):
    modified = "Last-Modified: Tue, 14 Nov 2000 00:00:00 GMT"
    other = reply("304 Not Modified", "Last-Modified: Wed, 15 Nov 2000 00:00:00 GMT")
    stage.answer(good(1, "Cache-Control: max-age=0", modified), other, good(2))
    assert [body(system, host), body(system, host)] == ["version 1", "version 2"]
    assert stage.requests[1].value("if-modified-since") is not None
    assert stage.requests[2].value("if-modified-since") is None


def test_an_origin_that_says_304_to_everything_is_passed_on(system, stage, host):
    modified = "Last-Modified: Tue, 14 Nov 2000 00:00:00 GMT"
    other = reply("304 Not Modified", "Last-Modified: Wed, 15 Nov 2000 00:00:00 GMT")
    stage.answer(good(1, "Cache-Control: max-age=0", modified), other)
    assert body(system, host) == "version 1"
    assert get(system, host).status == 304
    assert len(stage.requests) == 3  # it is asked once more, not for ever
    stage.answer(good(2))
    assert body(system, host) == "version 2"


def test_a_200_to_our_condition_takes_the_place(system, stage, host):
    old, new = ("Cache-Control: max-age=0", 'ETag: "1"'), ("Cache-Control: max-age=0", 'ETag: "2"')
    fresh = reply("304 Not Modified", "Cache-Control: max-age=60")
    stage.answer(good(1, *old), good(2, *new), fresh)
    assert [body(system, host) for _ in range(4)] == ["version 1", *["version 2"] * 3]
    assert [asked.value("if-none-match") for asked in stage.requests] == [None, '"1"', '"2"']


def test_one_who_waits_through_a_purge_gets_a_304_and_nobody_after_him(system, stage, host):
    fresh = reply("304 Not Modified", "Cache-Control: max-age=60")  # row 3
    stage.answer(good(1, ON_ERROR, *STALE))
    assert body(system, host) == "version 1"
    stage.request()
    stage.answer(gated(stage, fresh), good(2))
    with waiters(system, stage, host) as clients, Client(system.port) as late:
        assert stage.requests[-1].value("if-none-match") == '"1"'
        purge(system, keys=["k"])
        late.send(request("GET", "/r", host))
        catch_up(system)
        stage.gate.set()
        assert {client.response().body for client in clients} == {b"version 1"}
        assert late.response().body == b"version 2"
    assert stage.requests[-1].value("if-none-match") is None
    assert (body(system, host), len(stage.requests)) == ("version 2", 3)


# Clients leave


@pytest.mark.parametrize("politely", [True, False])
def test_a_flight_goes_on_without_its_leader(system, stage, host, politely):  # row 20
    stage.answer(stage.late(good(1)), good(2))
    with waiters(system, stage, host) as (leader, *others):
        leader.close() if politely else leader.reset()
        catch_up(system)
        stage.gate.set()
        assert {client.response().body for client in others} == {b"version 1"}
    assert (body(system, host), len(stage.requests)) == ("version 1", 1)


def test_a_body_goes_on_without_its_leader(system, stage, host):
    stage.answer(in_two(stage, HALF_A_LENGTH, b"y" * 1000))
    with waiters(system, stage, host) as (leader, *others):
        leader.head()
        leader.reset()
        heads = [client.head() for client in others]
        stage.gate.set()
        assert {client.take(2000) for client in others} == {HALF + b"y" * 1000}
    assert {head.status for head in heads} == {200}
    assert (get(system, host).body, len(stage.requests)) == (HALF + b"y" * 1000, 1)


def test_what_nobody_waits_for_any_more_is_stored(system, stage, host):
    stage.answer(stage.late(good(1)), good(2))
    with waiters(system, stage, host) as clients:
        pass
    assert {client.sock.fileno() for client in clients} == {-1}
    stage.gate.set()
    wait_until(stage.idle, "the answer")
    assert (body(system, host), len(stage.requests)) == ("version 1", 1)


# Many at once


def ask_of_crowd(host: str) -> bytes:
    return request("GET", CROWDED, host)


def test_a_thousand_who_miss_at_once_are_one_request(system, crowd_origin, host):
    before = len(crowd_origin.heads)
    with crowd(system.port, CROWD, ask_of_crowd(host)) as clients:
        crowd_origin.wait_for(1)
        crowd_origin.answer(good(1))
        assert {client.response().body for client in clients} == {b"version 1"}
    assert len(crowd_origin.heads) == before + 1


@pytest.mark.parametrize(
    "control",
    ["private", "no-store", "max-age=60\r\nVary: *"],
    ids=["private", "no-store", "vary"],
)
def test_a_thousand_who_may_not_share_do_not_wait_for_each_other(
    system, crowd_origin, host, control
):
    own = text(f"Cache-Control: {control}", body="own")
    with crowd(system.port, CROWD, ask_of_crowd(host)) as clients:
        crowd_origin.wait_for(1)
        crowd_origin.answer(own)
        crowd_origin.wait_for(CROWD - 1)  # all of them at the same time
        crowd_origin.answer(own)
        assert {client.response().body for client in clients} == {b"own"}


def test_a_thousand_who_come_after_what_may_not_be_shared_do_not_wait_at_all(
    system, crowd_origin, host
):
    own = text("Cache-Control: private", body="own")
    with crowd(system.port, 1, ask_of_crowd(host)) as (first,):
        crowd_origin.wait_for(1)
        crowd_origin.answer(own)
        assert first.response().body == b"own"
    with crowd(system.port, CROWD, ask_of_crowd(host)) as clients:
        crowd_origin.wait_for(CROWD)
        crowd_origin.answer(own)
        assert {client.response().body for client in clients} == {b"own"}


def test_a_failure_is_told_to_a_thousand_by_one_request(system, crowd_origin, host):
    before = len(crowd_origin.heads)
    with crowd(system.port, CROWD, ask_of_crowd(host)) as clients:
        crowd_origin.wait_for(1)
        catch_up(system)
        crowd_origin.answer(b"hello\r\n\r\n")
        assert {client.response().status for client in clients} == {502}
    assert len(crowd_origin.heads) == before + 1

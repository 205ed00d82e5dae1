"""What belongs to one user never reaches another through a route with `cache`.

Design: cache-and-purge.md, *Whose response may be shared*. On the running program, with each
value of `[cache] cookies`. The origin of these tests names the user in all that it says.
"""

import itertools
import json
import socket
from collections.abc import Callable, Iterator

import jwt
import pytest

from tests.wire.client import Client, Connection, Response, ask, request, wait_until
from tests.wire.origin import Answer, Origin, Request, Stage, Wire, chunks, reply, text
from tests.wire.running import Gripproxy

FRESH = "Cache-Control: max-age=60"
OLD = "Last-Modified: Tue, 14 Nov 2000 00:00:00 GMT"
UPSTREAM = "the key of the proxy that is in front of this one"
ALICE, BOB = "alice", "bob"

Way = Callable[[str], tuple[str, ...]]


def by_cookie(user: str) -> tuple[str, ...]:
    return (f"Cookie: session={user}",)


def by_password(user: str) -> tuple[str, ...]:
    return (f"Authorization: Bearer {user}",)


def by_field(user: str) -> tuple[str, ...]:
    """Say who one is in a way that no cache knows of."""
    return (f"X-User: {user}",)


def user_of(got: Request) -> str:
    said = got.value("authorization") or got.value("cookie") or got.value("x-user") or "nobody"
    return said.replace("=", " ").split(" ")[-1]


def personal(*fields: str, status: str = "200 OK", gate: Stage | None = None) -> Answer:
    """Answer each user with his name; USER in a field is it, too."""

    def answer(got: Request, _wire: Wire) -> bytes:
        user = user_of(got)
        if gate is not None:
            gate.gate.wait(30)
        named = [field.replace("USER", user) for field in fields]
        return text(*named, body=f"for {user}", status=status)

    return answer


class Elsewhere(Client):
    """A client with another address."""

    def __init__(self, port: int, address: str) -> None:
        sock = socket.create_connection(("127.0.0.1", port), 5, (address, 0))
        Connection.__init__(self, sock)


class Visit:
    """A program, its origin, and the users who ask for one URL."""

    def __init__(self, system: Gripproxy, stage: Stage, mode: str) -> None:
        self.system = system
        self.stage = stage
        self.mode = mode

    def get(self, *fields: str, target: str = "/r", method: str = "GET") -> Response:
        asked = request(method, target, self.stage.host, *fields)
        return ask(self.system.port, asked, bodiless=method == "HEAD")

    def body(self, *fields: str, target: str = "/r") -> str:
        return self.get(*fields, target=target).body.decode()

    def is_shared(self, by: Way, *answers: Answer) -> bool:
        """Tell whether Bob, who asks after Alice, is told what she was told."""
        self.stage.answer(*answers)
        assert self.body(*by(ALICE)) == f"for {ALICE}"
        seen = self.body(*by(BOB))
        assert seen in {f"for {ALICE}", f"for {BOB}"}
        return seen == f"for {ALICE}"

    def is_own_while_both_wait(self, first: Way, second: Way, *fields: str) -> bool:
        """Tell whether Bob, who asks while Alice waits, gets an answer of his own."""
        before = self._received()
        self.stage.answer(personal(*fields, gate=self.stage))
        with Client(self.system.port) as alice, Client(self.system.port) as bob:
            alice.send(request("GET", "/r", self.stage.host, *first(ALICE)))
            assert user_of(self.stage.request()) == ALICE
            bob.send(request("GET", "/r", self.stage.host, *second(BOB)))
            wait_until(lambda: self._received() == before + 2, "both requests")
            self.stage.gate.set()
            assert alice.response().body == b"for alice"
            return bob.response().body == b"for bob"

    def from_address(self, address: str) -> str:
        """Return what a client with this address is told."""
        with Elsewhere(self.system.port, address) as client:
            client.send(request("GET", "/r", self.stage.host))
            return client.response().body.decode()

    def _received(self) -> int:
        shown = ask(self.system.metrics_port, request("GET", "/", "any")).body
        return int(shown.partition(b"\nrequest_received ")[2].split()[0])


@pytest.fixture(scope="module")
def origins() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module", params=["safe", "strict", "rfc"])
def served(request: pytest.FixtureRequest, origins: Origin) -> Iterator[tuple[Gripproxy, str]]:
    settings = {
        "cache.cookies": request.param,
        "proxy.upstream_key": UPSTREAM,
        "proxy.x_forwarded_for": "truncate:0,append",
        "handler.prometheus_port": "127.0.0.1:METRICS_PORT",
        "handler.stats_spec": "",
        "handler.push_in_sub_specs": "",
        "handler.update_on_first_subscription": "false",
    }
    where = f"127.0.0.1:{origins.port}"
    routes = [f"*,cache {where}", f"*,path_beg=/script,cache,aco {where}"]
    with Gripproxy(routes, settings=settings) as system:
        yield system, request.param


_numbers = itertools.count()


@pytest.fixture
def visit(served: tuple[Gripproxy, str], origins: Origin) -> Iterator[Visit]:
    system, mode = served
    with origins.stage(f"private{next(_numbers)}") as stage:
        yield Visit(system, stage, mode)


def test_what_is_for_all_is_shared(visit):
    """All other tests here would say nothing if nothing ever were."""
    assert visit.is_shared(by_field, personal(FRESH))


# What the origin says


@pytest.mark.parametrize("by", [by_field, by_cookie, by_password])
@pytest.mark.parametrize("word", ["private, max-age=60", "no-store", "no-store, max-age=60"])
def test_what_is_private_is_not_shared(visit, by, word):
    assert not visit.is_shared(by, personal(f"Cache-Control: {word}"))


@pytest.mark.parametrize("name", ["CDN-Cache-Control", "GripProxy-Cache-Control"])
@pytest.mark.parametrize("word", ["private", "no-store"])
def test_what_is_said_for_caches_like_this_one_counts(visit, name, word):
    answer = personal(f"{name}: {word}", "Cache-Control: public, s-maxage=60")
    assert not visit.is_shared(by_field, answer)


@pytest.mark.parametrize("word", ["private", "no-cache"])
def test_fields_that_are_private_are_not_shared(visit, word):
    visit.stage.answer(personal(f'Cache-Control: max-age=60, {word}="X-Secret"', "X-Secret: USER"))
    assert visit.get(*by_field(ALICE)).value("x-secret") == ALICE
    seen = visit.get(*by_field(BOB))
    assert (seen.body, seen.value("x-secret")) == (b"for alice", None)


def test_variants_are_not_shared(visit):
    vary = personal("Cache-Control: public, max-age=60", "Vary: Cookie, X-User")
    assert not visit.is_shared(by_cookie, vary)
    assert not visit.is_shared(by_field, vary)


def test_what_depends_on_an_address_is_not_shared(visit):
    def answer(got: Request, _wire: Wire) -> bytes:
        fields = ("Cache-Control: public, max-age=60", "Vary: X-Forwarded-For")
        return text(*fields, body=f"for {got.value('x-forwarded-for')}")

    visit.stage.answer(answer)
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"):
        assert visit.from_address(address) == f"for {address}"
    assert len(visit.stage.requests) == 2


# Passwords


@pytest.mark.parametrize("fields", [(FRESH,), (OLD,), (FRESH, 'ETag: "1"')])
def test_what_one_with_a_password_gets_is_his_own(visit, fields):
    assert not visit.is_shared(by_password, personal(*fields))
    assert visit.body() == "for nobody"


@pytest.mark.parametrize("word", ["public", "s-maxage=60", "must-revalidate"])
def test_only_an_origin_can_share_what_needs_a_password(visit, word):
    assert visit.is_shared(by_password, personal(f"Cache-Control: max-age=60, {word}"))


def test_a_password_in_a_call_by_script_counts(visit):
    """JSON-P carries fields of its request in the URL."""

    def called(user: str, callback: str) -> str:
        given = json.dumps({"Authorization": f"Bearer {user}"}).replace(" ", "%20")
        given = given.replace('"', "%22")
        return visit.body(target=f"/script?callback={callback}&_headers={given}")

    visit.stage.answer(personal(FRESH))
    assert "for alice" in called(ALICE, "a")
    seen = called(BOB, "b")
    assert "for bob" in seen
    assert "alice" not in seen


def test_each_call_by_script_has_its_own_name(visit):
    visit.stage.answer(personal(FRESH))
    assert visit.body(target="/script?callback=alices").startswith("/**/alices(")
    assert visit.body(target="/script?callback=bobs").startswith("/**/bobs(")
    assert len(visit.stage.requests) == 1


# Cookies that are set


SETS = "Set-Cookie: session=USER; Path=/"


def test_a_cookie_that_is_set_is_not_shared(visit):
    """With `rfc` an explicit lifetime is the origin's word that it may be."""
    assert visit.is_shared(by_field, personal(FRESH, SETS)) is (visit.mode == "rfc")


@pytest.mark.parametrize("by", [by_field, by_cookie])
def test_a_cookie_that_is_set_is_not_shared_by_guess(visit, by):
    assert not visit.is_shared(by, personal(OLD, SETS))


@pytest.mark.parametrize(
    "field",
    [
        "Cache-Control: public, max-age=60",
        "Cache-Control: s-maxage=60",
        "CDN-Cache-Control: max-age=60",
    ],
)
def test_only_an_origin_can_share_a_cookie(visit, field):
    """With `strict` not even the origin can."""
    assert visit.is_shared(by_field, personal(field, SETS)) is (visit.mode != "strict")


def test_a_cookie_that_a_304_sets_is_not_shared(visit):
    """With `rfc` it becomes part of what is stored."""
    told = reply("304 Not Modified", FRESH, "Set-Cookie: session=alice")
    visit.stage.answer(personal("Cache-Control: max-age=0", 'ETag: "1"'), told, personal())
    visit.get()
    visit.get()
    seen = visit.get().value("set-cookie")
    assert seen == ("session=alice" if visit.mode == "rfc" else None)


def test_what_a_304_makes_private_is_not_shared(visit):
    told = reply("304 Not Modified", "Cache-Control: private, max-age=60", "X-Secret: alice")
    visit.stage.answer(personal("Cache-Control: max-age=0", 'ETag: "1"'), told, personal())
    visit.get()
    assert visit.get(*by_field(ALICE)).value("x-secret") == ALICE
    assert visit.get(*by_field(BOB)).value("x-secret") is None


# Cookies that are sent


def test_what_one_with_a_cookie_gets_is_not_shared_by_guess(visit):
    assert not visit.is_shared(by_cookie, personal(OLD))


def test_what_one_with_a_cookie_gets_may_have_a_lifetime(visit):
    """With `strict` a cookie keeps it to himself all the same."""
    assert visit.is_shared(by_cookie, personal(FRESH)) is (visit.mode != "strict")


def test_one_with_a_cookie_does_not_get_what_is_stored_by_guess(visit):
    visit.stage.answer(personal(OLD))
    assert visit.body() == "for nobody"
    assert visit.body() == "for nobody"
    assert visit.body(*by_cookie(ALICE)) == "for alice"


# Side doors


@pytest.mark.parametrize(
    ("by", "fields"),
    [
        (by_field, ("Cache-Control: private, max-age=60",)),
        (by_password, (FRESH,)),
        (by_cookie, (OLD,)),
        (by_field, (OLD, SETS)),
    ],
)
def test_those_who_wait_for_the_same_do_not_get_it(visit, by, fields):
    assert visit.is_own_while_both_wait(by, by, *fields)


@pytest.mark.parametrize(
    ("first", "second", "fields"),
    [
        (by_password, by_field, (FRESH,)),
        (by_field, by_cookie, (OLD,)),
        (by_cookie, by_field, (OLD,)),
    ],
)
def test_it_is_not_had_by_waiting_in_another_way(visit, first, second, fields):
    assert visit.is_own_while_both_wait(first, second, *fields)


def test_a_body_that_flows_is_not_joined_by_others(visit):
    def slow(got: Request, wire: Wire) -> None:
        user = user_of(got).encode()
        head = text("Cache-Control: private", "Transfer-Encoding: chunked")
        wire.send(head + chunks(b"first for ", user, last=False))
        if user == ALICE.encode():
            visit.stage.gate.wait(30)
        wire.send(chunks(b", last for ", user))

    visit.stage.answer(slow)
    with Client(visit.system.port) as alice:
        alice.send(request("GET", "/r", visit.stage.host, *by_field(ALICE)))
        alice.until(b"first for ")
        assert visit.body(*by_field(BOB)) == "first for bob, last for bob"
        visit.stage.gate.set()


@pytest.mark.parametrize("fields", [("Range: bytes=0-7",), ('If-None-Match: "other"',)])
def test_parts_and_conditions_are_no_way_around(visit, fields):
    visit.stage.answer(personal("Cache-Control: private, max-age=60", 'ETag: "1"'))
    visit.get(*by_password(ALICE))
    seen = visit.get(*by_password(BOB), *fields)
    assert b"alice" not in seen.body


def test_errors_are_no_way_around(visit):
    """What is stale may answer for an origin that fails, what is private may not."""
    down = text(status="503 Service Unavailable", body="down")
    stale = personal("Cache-Control: private, max-age=0, stale-if-error=60")
    visit.stage.answer(stale, down)
    assert visit.body(*by_field(ALICE)) == "for alice"
    assert visit.body(*by_field(BOB)) == "down"


def test_what_is_asked_for_in_the_background_is_not_shared(visit):
    """The request of somebody who was served something stale may bring what is for him alone."""
    stale = personal("Cache-Control: max-age=0, stale-while-revalidate=60")
    visit.stage.answer(stale, personal("Cache-Control: private, max-age=60"))
    assert visit.body() == "for nobody"
    assert visit.body(*by_field(ALICE)) == "for nobody"
    wait_until(lambda: len(visit.stage.requests) == 2, "the request in the background")
    assert visit.stage.requests[1].value("x-user") == ALICE
    assert "alice" not in visit.body(*by_field(BOB))


def test_what_another_may_not_have_cannot_be_had_by_asking_for_what_is_stored(visit):
    visit.stage.answer(personal("Cache-Control: private, max-age=60"))
    visit.get(*by_field(ALICE))
    seen = visit.get(*by_field(BOB), "Cache-Control: only-if-cached")
    assert (seen.status, b"alice" in seen.body) == (504, False)


# Holds


def instruct(form: str, *fields: str) -> Answer:
    """Answer with a hold of a channel that is named for its user."""

    def answer(got: Request, _wire: Wire) -> bytes:
        user = user_of(got)
        named = [field.replace("USER", user) for field in fields]
        if form == "fields":
            return text("Grip-Hold: stream", f"Grip-Channel: {user}", *named, body=f"for {user}\n")
        hold = {"mode": "stream", "channels": [{"name": user}]}
        body = json.dumps({"hold": hold, "response": {"body": f"for {user}\n"}})
        return reply("200 OK", "Content-Type: application/grip-instruct", *named, body=body)

    return answer


def is_held_as(visit: Visit, by: Way, answer: Answer) -> str:
    """Return as whom Bob is held after Alice: by what he reads, and by what is published."""
    visit.stage.answer(answer)
    with Client(visit.system.port) as alice, Client(visit.system.port) as bob:
        for client, user in ((alice, ALICE), (bob, BOB)):
            client.send(request("GET", "/r", visit.stage.host, *by(user)))
            client.head()
        assert alice.piece() == b"for alice\n"
        seen = (bob.piece() or b"").decode().removeprefix("for ").strip()
        for user in (ALICE, BOB):
            content = {"http-stream": {"content": f"item for {user}\n"}}
            visit.system.publish([{"channel": user, "formats": content}])
        assert bob.piece() == f"item for {seen}\n".encode()
        return seen


@pytest.mark.parametrize("form", ["fields", "json"])
@pytest.mark.parametrize("by", [by_cookie, by_password])
def test_what_one_is_held_on_is_his_own(visit, form, by):
    assert is_held_as(visit, by, instruct(form, FRESH)) == BOB


@pytest.mark.parametrize("form", ["fields", "json"])
@pytest.mark.parametrize("fields", [(OLD,), (), (FRESH, SETS), ("Cache-Control: private",)])
def test_a_hold_is_not_shared_by_guess(visit, form, fields):
    assert is_held_as(visit, by_field, instruct(form, *fields)) == BOB


def test_a_hold_that_sets_a_cookie_is_never_shared(visit):
    answer = instruct("fields", "Cache-Control: public, s-maxage=60", SETS)
    assert is_held_as(visit, by_field, answer) == BOB


@pytest.mark.parametrize("form", ["fields", "json"])
def test_only_an_origin_can_share_a_hold_of_one_with_a_cookie(visit, form):
    answer = instruct(form, "Cache-Control: public, max-age=60")
    assert is_held_as(visit, by_cookie, answer) == (BOB if visit.mode == "strict" else ALICE)


def test_each_user_is_held_with_his_own_filters(visit):
    """`{"user": …}` of an instruct is what filters know of the one who is held."""

    def answer(got: Request, _wire: Wire) -> bytes:
        meta = f'Grip-Set-Meta: user="{user_of(got)}"'
        channel = "Grip-Channel: all; filter=skip-self"
        return text("Grip-Hold: stream", channel, meta, FRESH, body="open\n")

    visit.stage.answer(answer)
    with Client(visit.system.port) as alice, Client(visit.system.port) as bob:
        for client, user in ((alice, ALICE), (bob, BOB)):
            client.send(request("GET", "/r", visit.stage.host, *by_cookie(user)))
            client.head()
            assert client.piece() == b"open\n"
        for number, sender in enumerate((ALICE, BOB, "carol")):
            item = {"http-stream": {"content": f"{number}\n"}}
            meta = {"sender": sender}
            visit.system.publish([{"channel": "all", "meta": meta, "formats": item}])
        assert alice.piece() == b"1\n"
        assert bob.piece() == b"0\n"


# Proxies that are trusted


def trusted() -> str:
    claims = {"iss": "us", "exp": 4_102_444_800}
    return f"Grip-Sig: {jwt.encode(claims, UPSTREAM)}"


def test_a_trusted_proxy_passes_the_cache(visit):
    visit.stage.answer(personal(FRESH))
    assert visit.body(trusted(), *by_field(ALICE)) == "for alice"
    assert visit.body(*by_field(BOB)) == "for bob"
    assert visit.body(trusted(), *by_field(ALICE)) == "for alice"
    assert visit.body() == "for bob"


def test_what_a_trusted_proxy_is_told_is_not_for_clients(visit):
    visit.stage.answer(instruct("fields", "Cache-Control: public, max-age=60"))
    seen = visit.get(trusted(), *by_field(ALICE))
    assert (seen.value("grip-channel"), seen.body) == (ALICE, b"for alice\n")
    with Client(visit.system.port) as bob:
        bob.send(request("GET", "/r", visit.stage.host, *by_field(BOB)))
        assert bob.head().value("grip-channel") is None
        assert bob.piece() == b"for bob\n"


# Other methods


def test_answers_to_what_is_posted_are_not_shared(visit):
    visit.stage.answer(personal("Cache-Control: public, max-age=60"))
    assert visit.get(*by_field(ALICE), method="POST").body == b"for alice"
    assert visit.get(*by_field(BOB), method="POST").body == b"for bob"
    assert visit.body() == "for nobody"

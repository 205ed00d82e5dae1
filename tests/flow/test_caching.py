"""Requests to routes with `cache`: the interleavings of a flight, a purge and those who wait."""

import asyncio
from dataclasses import replace

import pytest

from gripproxy.engine.store import Store
from gripproxy.errors import ConnectError, ExchangeError, GripProxyError, OriginTimeoutError
from gripproxy.flow import caching
from gripproxy.flow.bodies import collect
from gripproxy.flow.caching import FLIGHTS_MAX, Cache
from gripproxy.flow.fetching import Fetcher
from gripproxy.protocol.caching import tags
from gripproxy.protocol.caching.demands import Cookies
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Route, Target
from tests.fakes import FakeClock, FakeOrigin, fields, fields_of, settle

TARGET = Target(kind="tcp", host="h", port=80)
ROUTE = Route(domain="*", id="r", targets=(TARGET,), cache=True)
DOWN = ConnectError("connection_refused", "down")
BROKEN = ExchangeError("http_response_incomplete", "broke off")


def fresh(body=b"old", *lines, status=200, seconds=60):
    """Make a response that is tagged `k` and fresh for a minute."""
    head = (f"Cache-Control: max-age={seconds}", "Surrogate-Key: k", *lines)
    return Response(
        status=status, reason=b"OK", headers=fields(*head), body=body, length=len(body)
    )


def plain(body, *lines, status=200):
    return Response(
        status=status, reason=b"OK", headers=fields(*lines), body=body, length=len(body)
    )


class Feed:
    """A body that the test sends on."""

    def __init__(self):
        self.receiver = None
        self.abandoned = False

    def start(self, receiver):
        self.receiver = receiver

    def pause(self):
        pass

    def resume(self):
        pass

    def abandon(self):
        self.abandoned = True

    def response(self, *lines, status=200, length=None):
        lines = lines or ("Cache-Control: max-age=60", "Surrogate-Key: k")
        return Response(
            status=status, reason=b"OK", headers=fields(*lines), body=self, length=length
        )


class Got:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body
        self.told = (response.headers.get(b"cache-status") or b"").decode()

    @property
    def hit(self):
        return "; hit" in self.told


class Client:
    """One client's request, on its way or answered."""

    def __init__(self, play, asked, route):
        self._play = play
        self.response = None
        self.task = asyncio.get_running_loop().create_task(self._run(asked, route))

    async def _run(self, asked, route):
        outgoing = replace(asked, headers=asked.headers)
        cache = self._play.cache
        self.response, _ = await cache.fetch(asked, outgoing, route, interim=None)
        return Got(self.response, await collect(self.response.body, 10_000_000))

    @property
    def waits(self):
        return not self.task.done()

    @property
    def got(self):
        assert self.task.done(), "it has no answer yet"
        return self.task.result()

    async def leaves(self):
        self.task.cancel()
        await settle()


class Play:
    def __init__(self, *, cookies=Cookies.SAFE, limit=1000):
        self.clock = FakeClock()
        self.origin = FakeOrigin()
        self.store = Store(1_000_000)
        self.level = True
        self.started = []
        self.cache = Cache(
            self.store,
            Fetcher(self.origin).ask,
            clock=self.clock,
            tasks=self,
            level=lambda: self.level,
            invalidate=self._invalidate,
            cookies=cookies,
            max_object_size=limit,
        )

    def start(self, story, *, name):
        task = asyncio.get_running_loop().create_task(story)
        self.started.append(task)
        return task

    async def _invalidate(self, names):
        self.store.purge(Purge(), names, now=self.clock.now(), wall=self.clock.wall())

    async def ask(self, *lines, target=b"/r", method=b"GET", route=ROUTE, **options):
        asked = Request(
            method=method, target=target, headers=fields(*lines), authority=b"h", **options
        )
        client = Client(self, asked, route)
        await settle()
        return client

    async def answer(self, outcome):
        self.origin.answer(outcome)
        await settle()

    async def has(self, outcome, *lines, **how):
        """Ask, have the origin answer, and return what the client got."""
        client = await self.ask(*lines, **how)
        await self.answer(outcome)
        return client.got

    def purge(self, *keys, **how):
        purge = Purge(keys=keys or ("k",), **how)
        return self.store.purge(
            purge, tags.of_purge(purge), now=self.clock.now(), wall=self.clock.wall()
        )

    @property
    def asked(self):
        return len(self.origin.requests)

    @property
    def last(self):
        return dict(fields_of(self.origin.requests[-1][0]))

    @property
    def over(self):
        """Whether no flight is left behind."""
        return all(task.done() for task in self.started) and not self.store.marks._unknown


@pytest.fixture
async def play():
    made = Play()
    yield made
    for task in made.started:
        task.cancel()
    await settle()


# Plain answers


async def test_what_is_fresh_is_asked_for_once(play):
    first = await play.has(fresh())
    play.clock.advance(7)
    second = (await play.ask()).got
    assert (first.body, second.body, play.asked) == (b"old", b"old", 1)
    assert first.told == "gripproxy; fwd=uri-miss; stored"
    assert second.told == "gripproxy; hit; ttl=53"
    assert second.headers.get(b"age") == b"7"
    assert play.over


async def test_clients_do_not_see_the_keys(play):
    first = await play.has(fresh())
    assert not first.headers.has(b"surrogate-key")
    assert not (await play.ask()).got.headers.has(b"surrogate-key")


async def test_the_leader_gets_the_fields_that_others_must_not_see(play):
    own = plain(b"x", 'Cache-Control: max-age=60, no-cache="X-User"', "X-User: me", "Age: 3")
    first = await play.has(own)
    assert first.headers.get(b"x-user") == b"me"
    assert first.headers.get_all(b"age") == [b"3"]
    assert not (await play.ask()).got.headers.has(b"x-user")


async def test_origins_are_told_that_there_is_a_cache(play):
    await play.has(fresh())
    assert play.last["Surrogate-Capability"] == 'gripproxy="Surrogate/1.0"'


async def test_a_process_that_is_not_level_passes_everything_on(play):
    await play.has(fresh())
    play.level = False
    got = await play.has(fresh(b"new"))
    assert (got.body, got.told) == (b"new", "gripproxy; fwd=bypass")
    play.level = True
    assert (await play.ask()).got.body == b"old"


async def test_only_what_is_stored_may_be_asked_for(play):
    client = await play.ask("Cache-Control: only-if-cached")
    assert (client.got.status, play.asked) == (504, 0)


async def test_who_wants_nothing_stored_is_passed_on(play):
    await play.has(fresh())
    got = await play.has(fresh(b"new"), "Cache-Control: no-store")
    assert (got.body, got.told) == (b"new", "gripproxy; fwd=request")
    assert (await play.ask()).got.body == b"old"


async def test_a_reload_changes_the_keys_of_changed_routes_only(play):
    await play.has(fresh())
    play.cache.forget_routes()
    assert (await play.ask()).got.hit


@pytest.mark.parametrize(
    "lines",
    [
        ("Cache-Control: private, max-age=60",),
        ("Cache-Control: no-store",),
        ("Cache-Control: max-age=60", "Set-Cookie: a=b"),
        ("Cache-Control: max-age=60", "Vary: *"),
        ("Cache-Control: max-age=60", "Surrogate-Key: " + "k" * 2000),
    ],
)
async def test_what_is_not_for_others_is_not_shared(play, lines):
    first, second = await play.ask(), await play.ask()
    assert play.asked == 1
    await play.answer(plain(b"1", *lines))
    assert first.got.body == b"1"
    assert second.waits
    await play.answer(plain(b"2", *lines))
    assert second.got.body == b"2"
    assert (await play.has(plain(b"3", *lines))).body == b"3"
    assert len(play.store) == 0
    assert play.over


async def test_what_one_with_credentials_gets_is_his_own(play):
    first = await play.ask("Authorization: Basic eA==")
    second = await play.ask()
    await play.answer(fresh(b"his"))
    assert (first.got.body, second.waits) == (b"his", True)
    await play.answer(fresh(b"all"))
    assert second.got.body == b"all"


async def test_one_with_credentials_does_not_get_what_is_for_all(play):
    first = await play.ask()
    second = await play.ask("Authorization: Basic eA==")
    await play.answer(fresh(b"all"))
    assert (first.got.body, second.got.hit) == (b"all", True)


async def test_what_becomes_shareable_is_stored_again(play):
    await play.has(plain(b"1", "Cache-Control: private"))
    await play.has(fresh(b"2"))
    assert (await play.ask()).got.body == b"2"


async def test_an_unsafe_request_takes_back_what_is_stored(play):
    await play.has(fresh())
    posted = await play.has(plain(b"ok"), method=b"POST", body=b"x", length=1)
    assert posted.told == "gripproxy; fwd=method"
    assert (await play.has(fresh(b"new"))).body == b"new"


async def test_an_unsafe_request_that_failed_takes_back_nothing(play):
    await play.has(fresh())
    await play.has(plain(b"no", status=500), method=b"POST", body=b"x", length=1)
    assert (await play.ask()).got.hit


# HEAD and parts


async def test_a_head_alone_stores_nothing(play):
    got = await play.has(replace(fresh(b""), length=3), method=b"HEAD")
    assert got.status == 200
    assert len(play.store) == 0
    assert play.over


async def test_a_head_joins_a_get(play):
    first, second = await play.ask(), await play.ask(method=b"HEAD")
    await play.answer(fresh())
    assert (first.got.body, second.response.length, play.asked) == (b"old", 3, 1)


async def test_a_head_of_what_is_stale_asks_for_all_of_it(play):
    await play.has(fresh(b"old", "ETag: 'a'"))
    play.clock.advance(61)
    client = await play.ask(method=b"HEAD")
    assert play.origin.requests[-1][0].method == b"GET"
    await play.answer(fresh(b"newer"))
    assert client.response.length == 5
    assert (await play.ask()).got.body == b"newer"


async def test_a_part_is_stored_for_those_who_want_it(play):
    part = plain(b"ab", "Cache-Control: max-age=60", "Content-Range: bytes 0-1/5", status=206)
    first = await play.has(part, "Range: bytes=0-1")
    assert (first.status, play.last["Range"]) == (206, "bytes=0-1")
    second = (await play.ask("Range: bytes=1-1")).got
    assert (second.status, second.body, second.hit) == (206, b"b", True)
    assert (await play.has(fresh(b"abcde"))).told == "gripproxy; fwd=partial; stored"
    assert play.over


async def test_a_part_that_comes_slowly_is_stored_at_its_end(play):
    feed = Feed()
    client = await play.ask("Range: bytes=0-1")
    lines = ("Cache-Control: max-age=60", "Content-Range: bytes 0-1/5")
    await play.answer(feed.response(*lines, status=206, length=2))
    feed.receiver.body_piece(b"ab")
    assert len(play.store) == 0
    feed.receiver.body_end(None)
    await settle()
    assert client.got.body == b"ab"
    assert (await play.ask("Range: bytes=0-0")).got.hit
    assert play.over


async def test_a_part_whose_origin_fails_leaves_nothing_behind(play):
    client = await play.ask("Range: bytes=0-1")
    await play.answer(DOWN)
    assert isinstance(client.task.exception(), ConnectError)
    assert play.over


async def test_a_condition_of_a_client_is_answered_by_what_is_fetched(play):
    await play.has(fresh(b"old", 'ETag: "a"', seconds=1))
    play.clock.advance(2)
    client = await play.ask('If-None-Match: "b"')
    assert play.last["If-None-Match"] == '"a"'
    await play.answer(fresh(b"new", 'ETag: "b"'))
    assert client.got.status == 304


async def test_a_range_of_what_is_too_large_to_be_cut_is_asked_for(play):
    await play.has(fresh(b"old", 'ETag: "a"', seconds=1))
    play.clock.advance(2)
    feed = Feed()
    client = await play.ask("Range: bytes=0-0")
    await play.answer(feed.response())
    feed.receiver.body_piece(b"x" * 1001)
    await settle()
    assert feed.abandoned
    part = plain(b"x", "Cache-Control: max-age=60", "Content-Range: bytes 0-0/2000", status=206)
    await play.answer(part)
    assert (client.got.status, client.got.body) == (206, b"x")
    assert play.over


# Validation


async def test_what_is_stale_is_asked_about(play):
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.clock.advance(61)
    got = await play.has(plain(b"", "Cache-Control: max-age=60", status=304))
    assert (got.status, got.body) == (200, b"old")
    assert got.told == "gripproxy; fwd=stale; fwd-status=304; stored"
    assert (await play.ask()).got.hit
    assert play.purge() == 1


async def test_a_304_about_something_else_is_asked_again(play):
    await play.has(fresh(b"old", "Last-Modified: Tue, 14 Nov 2023 00:00:00 GMT"))
    play.clock.advance(61)
    client = await play.ask()
    assert "If-Modified-Since" in play.last
    await play.answer(plain(b"", 'ETag: "strange"', status=304))
    assert "If-Modified-Since" not in play.last
    await play.answer(fresh(b"new"))
    assert client.got.body == b"new"


# Collapsing


async def test_fifty_who_ask_at_once_are_one_request(play):
    clients = [await play.ask() for _ in range(50)]
    await play.answer(fresh())
    assert [client.got.body for client in clients] == [b"old"] * 50
    assert play.asked == 1
    assert clients[1].got.told == "gripproxy; fwd=uri-miss; stored; collapsed"


async def test_one_who_comes_while_the_body_flows_gets_all_of_it(play):
    feed = Feed()
    first = await play.ask()
    await play.answer(feed.response())
    feed.receiver.body_piece(b"one ")
    second = await play.ask()
    feed.receiver.body_piece(b"two")
    feed.receiver.body_end(None)
    await settle()
    assert (first.got.body, second.got.body, play.asked) == (b"one two", b"one two", 1)
    assert (await play.ask()).got.body == b"one two"
    assert play.over


async def test_other_variants_look_up_again(play):
    first, second = await play.ask("Accept: a"), await play.ask("Accept: b")
    await play.answer(fresh(b"a", "Vary: Accept"))
    assert (first.got.body, second.waits) == (b"a", True)
    await play.answer(fresh(b"b", "Vary: Accept"))
    assert second.got.body == b"b"
    assert second.got.told == "gripproxy; fwd=vary-miss; stored"


async def test_other_variants_do_not_wait_for_a_body_that_flows(play):
    feed = Feed()
    first = await play.ask("Accept: a")
    await play.answer(feed.response("Cache-Control: max-age=60", "Vary: Accept"))
    assert (await play.has(fresh(b"b", "Vary: Accept"), "Accept: b")).body == b"b"
    feed.receiver.body_end(None)
    await settle()
    assert first.got.body == b""


async def test_those_who_reload_with_a_condition_are_one_request(play):
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.clock.advance(61)
    clients = [await play.ask('If-None-Match: "a"') for _ in range(10)]
    await play.answer(plain(b"", "Cache-Control: max-age=60", status=304))
    assert [client.got.status for client in clients] == [304] * 10
    assert play.asked == 2


async def test_one_flight_more_than_may_be_waits_for_another(play):
    for _ in range(FLIGHTS_MAX):
        await play.ask()
        play.purge(everything=True)
    assert play.asked == FLIGHTS_MAX
    client = await play.ask()
    assert play.asked == FLIGHTS_MAX
    await play.answer(fresh(b"first"))
    assert (client.waits, play.asked) == (True, FLIGHTS_MAX + 1)
    for number in range(FLIGHTS_MAX):
        await play.answer(fresh(b"%d" % number))
    assert client.got.body == b"7"
    assert play.over


@pytest.mark.parametrize("lines", [("Content-Type: text/event-stream",), ()])
async def test_streams_that_last_and_are_not_stored_keep_nobody_waiting(play, lines):
    clients = []
    for number in range(FLIGHTS_MAX + 2):
        clients.append(await play.ask())
        feed = Feed()
        await play.answer(feed.response(*(lines or ("Cache-Control: max-age=60",))))
        feed.receiver.body_piece(b"x" * 1001)
        await settle()
        assert play.asked == number + 1
    for client in clients:
        await client.leaves()


# Errors


async def test_an_error_is_for_all_who_wait(play):
    first, second = await play.ask(), await play.ask()
    await play.answer(DOWN)
    assert isinstance(first.task.exception(), ConnectError)
    assert isinstance(second.task.exception(), ConnectError)
    assert (await play.has(fresh())).body == b"old"
    assert play.asked == 2


ON_ERROR = "Cache-Control: max-age=1, stale-if-error=60"


@pytest.mark.parametrize(
    "outcome",
    [DOWN, OriginTimeoutError("http_response_timeout", "late"), plain(b"no", status=503)],
)
async def test_an_error_is_answered_with_what_is_stale_where_that_is_allowed(play, outcome):
    await play.has(plain(b"old", ON_ERROR, "Surrogate-Key: k"))
    play.clock.advance(2)
    first, second = await play.ask(), await play.ask()
    await play.answer(outcome)
    assert (first.got.body, second.got.body, play.asked) == (b"old", b"old", 2)
    play.clock.advance(60)
    client = await play.ask()
    await play.answer(plain(b"no", status=503))
    assert client.got.status == 503


async def test_a_purged_response_is_no_answer_to_an_error(play):  # 4
    await play.has(plain(b"old", ON_ERROR, "Surrogate-Key: k"))
    play.clock.advance(2)
    client = await play.ask()
    play.purge()
    await play.answer(DOWN)
    assert isinstance(client.task.exception(), ConnectError)


async def test_a_bug_in_a_flight_is_an_error_to_its_waiters(play):
    client = await play.ask()
    await play.answer(ZeroDivisionError())
    assert isinstance(client.task.exception(), GripProxyError)
    assert isinstance(play.started[0].exception(), ZeroDivisionError)


async def test_a_body_that_breaks_off_is_cut_for_all_and_not_stored(play):  # 20
    feed = Feed()
    first, second = await play.ask(), await play.ask()
    await play.answer(feed.response())
    feed.receiver.body_piece(b"one ")
    feed.receiver.body_failed(BROKEN)
    await settle()
    assert first.task.exception() is second.task.exception() is BROKEN
    assert len(play.store) == 0
    assert play.over


async def test_nobody_joins_a_body_that_broke_off(play):
    feed = Feed()
    await play.ask()
    await play.answer(feed.response())
    play.purge("other")
    feed.receiver.body_failed(BROKEN)
    await play.ask()
    assert play.asked == 2


# Clients that leave


async def test_a_flight_goes_on_without_its_leader(play):  # 20
    first, second = await play.ask(), await play.ask()
    await first.leaves()
    await play.answer(fresh())
    assert second.got.body == b"old"
    assert (await play.ask()).got.hit


async def test_what_may_be_stored_is_read_to_its_end_for_nobody(play):
    feed = Feed()
    client = await play.ask()
    await play.answer(feed.response())
    await client.leaves()
    feed.receiver.body_piece(b"whole")
    feed.receiver.body_end(None)
    assert not feed.abandoned
    assert (await play.ask()).got.body == b"whole"


@pytest.mark.parametrize("early", [True, False])
async def test_what_may_not_be_stored_is_let_go_when_nobody_is_left(play, early):
    feed = Feed()
    client = await play.ask()
    if early:
        await client.leaves()
    await play.answer(feed.response("Cache-Control: private"))
    await client.leaves()
    await settle()
    assert feed.abandoned
    assert play.over


async def test_what_is_too_large_flows_past(play):
    feed = Feed()
    client = await play.ask()
    await play.answer(feed.response())
    feed.receiver.body_piece(b"x" * 1001)
    await settle()
    late = await play.ask()
    assert play.asked == 2
    feed.receiver.body_end(None)
    await settle()
    assert len(client.got.body) == 1001
    assert len(play.store) == 0
    await late.leaves()


# Purges


async def test_a_purge_during_a_flight_is_for_those_who_came_later(play):  # 1
    before = await play.ask()
    also = await play.ask()
    play.purge()
    after = await play.ask()
    assert play.asked == 1
    await play.answer(fresh(b"old"))
    assert (before.got.body, also.got.body, after.waits) == (b"old", b"old", True)
    assert len(play.store) == 0
    await play.answer(fresh(b"new"))
    assert after.got.body == b"new"
    assert (await play.ask()).got.body == b"new"


async def test_the_last_of_two_purges_is_not_the_only_one_that_counts(play):  # 2
    before = await play.ask()
    play.purge()
    between = await play.ask()
    play.purge()
    await play.answer(fresh(b"old"))
    assert (before.got.body, between.waits) == (b"old", True)
    await play.answer(fresh(b"new"))
    assert between.got.body == b"new"


async def test_a_304_revives_nothing_that_was_purged(play):  # 3
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.clock.advance(61)
    before = await play.ask()
    assert "If-None-Match" in play.last
    play.purge()
    await play.answer(plain(b"", "Cache-Control: max-age=60", status=304))
    assert before.got.body == b"old"
    after = await play.ask()
    assert "If-None-Match" not in play.last
    await play.answer(fresh(b"new"))
    assert after.got.body == b"new"


async def test_a_304_about_what_is_no_longer_there_stores_nothing(play):
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.clock.advance(61)
    before = await play.ask()
    play.purge()
    while play.store.sweep(now=play.clock.now()):
        pass
    await play.answer(plain(b"", "Cache-Control: max-age=60", status=304))
    assert before.got.body == b"old"
    assert len(play.store) == 0


MEANWHILE = "Cache-Control: max-age=1, stale-while-revalidate=60"


async def test_what_is_stale_may_be_served_while_it_is_asked_for(play):
    await play.has(plain(b"old", MEANWHILE))
    play.clock.advance(2)
    first, second = await play.ask(), await play.ask()
    assert (first.got.body, second.got.body, play.asked) == (b"old", b"old", 2)
    await play.answer(plain(b"new", MEANWHILE))
    assert (await play.ask()).got.body == b"new"


async def test_what_is_asked_for_in_the_background_is_not_stored_after_a_purge(play):  # 4
    await play.has(plain(b"old", MEANWHILE, "Surrogate-Key: k"))
    play.clock.advance(2)
    await play.ask()
    play.purge()
    await play.answer(plain(b"old", MEANWHILE, "Surrogate-Key: k"))
    assert (await play.has(fresh(b"new"))).body == b"new"


@pytest.mark.parametrize(
    ("lines", "how"),
    [
        ((), {"method": b"HEAD"}),
        (("Range: bytes=0-0",), {}),
        (('If-None-Match: "a"',), {}),
        (("Accept: other",), {}),
        (("Grip-Last: c; last-id=1",), {}),
    ],
)
async def test_a_purge_is_for_every_way_to_ask(play, lines, how):  # 5
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.purge()
    await play.ask(*lines, **how)
    assert play.asked == 2


async def test_an_older_flight_does_not_replace_what_is_newer(play):  # 6
    first = await play.ask()
    play.purge(everything=True)
    second = await play.ask()
    waiting = play.origin._waiting
    waiting.rotate(1)
    await play.answer(fresh(b"new"))
    assert second.got.body == b"new"
    await play.answer(fresh(b"old"))
    assert first.got.body == b"old"
    assert (await play.ask()).got.body == b"new"


async def test_what_was_asked_for_while_a_purge_settles_is_not_stored(play):  # 16
    await play.has(fresh())
    play.purge(settle=2.0)
    play.clock.advance(1.9)
    first, second = await play.ask(), await play.ask()
    await play.answer(fresh(b"replica"))
    assert (first.got.body, second.got.body, play.asked) == (b"replica", b"replica", 2)
    play.clock.advance(2)
    await play.has(fresh(b"new"))
    assert (await play.ask()).got.hit


async def test_after_a_soft_purge_what_is_stale_is_served_once_more(play):  # 17
    lines = ("Cache-Control: max-age=60, stale-while-revalidate=60", "Surrogate-Key: k")
    await play.has(plain(b"old", *lines))
    play.purge(soft=True)
    assert ((await play.ask()).got.body, play.asked) == (b"old", 2)
    await play.answer(plain(b"new", *lines))
    assert ((await play.ask()).got.body, play.asked) == (b"new", 2)


async def test_after_a_soft_purge_what_may_not_be_stale_is_asked_for(play):
    await play.has(fresh())
    play.purge(soft=True)
    assert (await play.has(fresh(b"new"))).body == b"new"


async def test_marks_that_were_dropped_are_as_if_they_had_been_for_all(play, monkeypatch):  # 19
    monkeypatch.setattr("gripproxy.engine.marks.ORPHANS_MAX", 10)
    before = await play.ask()
    for number in range(20):
        play.purge(f"nobody-{number}")
    assert len(play.store.marks) == 10
    after = await play.ask()
    assert play.asked == 2
    await play.answer(fresh(b"old"))
    assert before.got.body == b"old"
    assert len(play.store) == 0
    await play.answer(fresh(b"new"))
    assert after.got.body == b"new"


async def test_other_routes_and_bodies_do_not_share(play):  # 21
    await play.has(fresh())
    other = replace(ROUTE, id="other", targets=(Target(kind="tcp", host="b", port=80),))
    assert (await play.has(fresh(b"b"), route=other)).body == b"b"
    got = await play.has(fresh(b"c"), body=b"x", length=1)
    assert (got.body, got.told) == (b"c", "gripproxy; fwd=method")
    assert (await play.ask("X-Forwarded-Host: forged")).waits
    assert (await play.ask()).got.body == b"old"


# Holds

HOLD = ("Cache-Control: max-age=60", "Grip-Hold: response", "Grip-Channel: c")
INSTRUCT = b'{"hold": {"mode": "stream", "channels": [{"name": "c", "prev-id": "1"}]}}'
JSON = ("Content-Type: application/grip-instruct", "Cache-Control: max-age=60")


@pytest.mark.parametrize("response", [plain(b"x", *HOLD), plain(INSTRUCT, *JSON)])
async def test_a_hold_is_stored_and_shared_as_it_was_sent(play, response):
    subs = replace(ROUTE, targets=(replace(TARGET, subs=("s",)),))
    first, second = await play.ask(route=subs), await play.ask(route=subs)
    await play.answer(replace(response))
    third = await play.ask(route=subs)
    assert first.got.body == second.got.body == third.got.body == response.body
    assert third.got.hit
    play.store.marks.move("s", "1")
    assert (await play.ask(route=subs)).waits


@pytest.mark.parametrize(
    "response",
    [
        plain(
            b"x",
            "Grip-Hold: stream",
            "Grip-Channel: c",
            "Last-Modified: Tue, 14 Nov 2023 00:00:00 GMT",
        ),
        plain(b"{", *JSON),
        plain(b"x" * 200_000, *JSON),
    ],
    ids=["not explicit", "broken", "too large"],
)
async def test_other_holds_are_their_leaders_own(play, response):
    subs = replace(ROUTE, targets=(replace(TARGET, subs=("s",)),))
    first, second = await play.ask(route=subs), await play.ask(route=subs)
    await play.answer(replace(response))
    assert first.got.body == response.body
    assert second.waits
    await play.answer(replace(response))
    assert second.got.body == response.body
    assert (len(play.store), play.over) == (0, True)


async def test_without_grip_a_hold_is_a_response_like_any(play):
    route = replace(ROUTE, no_grip=True)
    await play.has(plain(b"x", *HOLD), route=route)
    assert (await play.ask(route=route)).got.hit


# Events


async def test_an_event_is_answered_with_what_was_asked_for_after_it(play):
    await play.has(fresh(b"old", "Cache-Control: stale-if-error=60"))
    play.purge()
    early = await play.ask()
    floor = play.store.marks.tick()
    asked = Request(method=b"GET", target=b"/r", headers=fields(), authority=b"h")
    ask = caching.Ask(
        client=asked,
        request=asked,
        route=ROUTE,
        demand=caching.demands.read(asked),
        key=caching.keys.of(caching.keys.line_of(ROUTE), asked, asked.headers),
        floor=floor,
    )
    failing = asyncio.get_running_loop().create_task(play.cache._look_up(ask))
    await settle()
    assert play.asked == 3
    await play.answer(fresh(b"early"))
    assert early.got.body == b"early"
    assert not failing.done()
    await play.answer(DOWN)
    assert isinstance(failing.exception(), ConnectError)
    answered = asyncio.get_running_loop().create_task(play.cache._look_up(ask))
    await settle()
    await play.answer(fresh(b"new"))
    assert answered.result()[0].body == b"new"

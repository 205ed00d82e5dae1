"""What is remembered of requests that were answered from memory, and what it is good for.

That no client can tell is in `tests/front/test_at_once.py`.
"""

import asyncio

import pytest

from gripproxy.engine.stats import Counters
from gripproxy.flow.access import Access
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.counting import Watch
from gripproxy.flow.hits import KNOWN_BYTES, Hits
from gripproxy.protocol.forwarding import AddressRule
from gripproxy.protocol.messages import Request
from gripproxy.protocol.statspackets import Kind as PacketKind
from tests.fakes import fields
from tests.holdfakes import a_route, in_virtual_time
from tests.world import World, a_response

FRESH = "Cache-Control: max-age=60"
ROUTE = a_route(cache=True)


class Client:
    """A connection that keeps what it is to deliver."""

    def __init__(self, peer: str = "192.0.2.1", *, there: bool = True) -> None:
        self.peer = peer
        self.there = there
        self.sent = 0
        self.counted = None
        self.got: list[bytes] = []

    def deliver(self, head: bytes, body: bytes) -> bool:
        self.sent = len(body)
        self.got.append(head + body)
        return self.there


class Play:
    """A cache and its hits. `asks` is a request by the long way."""

    def __init__(self, *, size=1_000_000, by_address=False, route=ROUTE, client=False) -> None:
        self.world = World(route)
        self.route = route
        self.lines: list[str] = []
        self.hits = Hits(
            self.world.cache,
            clock=self.world.clock,
            access=Access(self.lines.append, AccessSettings(client=client)),
            by_address=by_address,
            size=size,
        )

    async def asks(self, target: str = "/a", *lines: str, answer=None, **how) -> Request:
        if answer is not None:
            self.world.origin.scripted.append(answer)
        how.setdefault("method", b"GET")
        how.setdefault("peer", "192.0.2.1")
        request = Request(
            target=target.encode(), authority=b"proxy", headers=fields(*lines), **how
        )
        asked = Request(
            method=request.method,
            target=request.target,
            authority=b"proxy",
            headers=request.headers,
        )
        await self.world.cache.fetch(request, asked, self.route, interim=print)
        await asyncio.sleep(0)
        return request

    async def learns(self, head: bytes = b"head", target: str = "/a", *lines: str, **how) -> None:
        """Have something stored, answered with, and remembered."""
        await self.asks(target, *lines, answer=a_response(FRESH, body="hello"), **how)
        self.hits.learn(head, await self.asks(target, *lines, **how))

    def answers(self, head: bytes = b"head", client: Client | None = None) -> bool:
        return self.hits.answer(client or Client(), head)


@in_virtual_time
async def test_a_head_is_answered_when_it_comes_again():
    play, client = Play(), Client()
    await play.learns()
    assert play.answers(client=client)
    lines = client.got[0].decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert lines[-5:] == [
        "Age: 0",
        "Cache-Status: gripproxy; hit; ttl=60",
        "Content-Length: 5",
        "",
        "hello",
    ]
    assert play.lines == ["GET http://proxy/a -> origin:80 code=200 5"]


@in_virtual_time
async def test_another_head_is_not():
    play = Play()
    await play.learns()
    assert not play.answers(b"other")
    assert play.lines == []


@in_virtual_time
async def test_what_was_not_answered_from_memory_is_not_remembered():
    play = Play()
    play.hits.learn(b"head", await play.asks(answer=a_response(FRESH)))
    assert len(play.hits) == 0


@in_virtual_time
async def test_nor_is_what_was_answered_before_somebody_else():
    play = Play()
    await play.asks(answer=a_response(FRESH))
    first = await play.asks()
    await play.asks()
    play.hits.learn(b"head", first)
    assert len(play.hits) == 0


@pytest.mark.parametrize(
    ("lines", "how"),
    [
        ((), {"method": b"HEAD"}),
        ((), {"version": 0}),
        (("Range: bytes=0-1",), {}),
        (('If-None-Match: "1"',), {}),
        (("Grip-Last: c; last-id=1",), {}),
    ],
)
@in_virtual_time
async def test_nor_is_what_is_not_answered_as_it_is_stored(lines, how):
    play = Play()
    await play.asks(answer=a_response(FRESH, body="hello"))
    if "Grip-Last: c; last-id=1" in lines:  # it has a key of its own
        await play.asks("/a", *lines, answer=a_response(FRESH))
    request = await play.asks("/a", *lines, **how)
    assert play.world.cache.latest.client is request
    play.hits.learn(b"head", request)
    assert len(play.hits) == 0


@in_virtual_time
async def test_nor_is_what_a_page_of_another_site_may_ask():
    play = Play(route=a_route(cache=True, aco=True))
    await play.learns()
    assert len(play.hits) == 0


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (a_response(FRESH, body="x"), True),
        (a_response(FRESH, status=204), False),
        (a_response('Cache-Control: max-age=60, no-cache="Date"', body="x"), False),
    ],
)
@in_virtual_time
async def test_what_it_has_no_head_for_takes_the_long_way(answer, good):
    play, client = Play(), Client()
    await play.asks(answer=answer)
    play.hits.learn(b"head", await play.asks())
    before = play.world.cache.results()
    assert play.answers(client=client) is good
    assert bool(client.got) is good
    assert (play.world.cache.results() != before) is good


@in_virtual_time
async def test_a_hold_takes_the_long_way():
    play = Play()
    hold = ("Grip-Hold: response", "Grip-Channel: c")
    await play.learns()
    play.world.purge(everything=True)
    await play.asks(answer=a_response(FRESH, *hold, body="x"))
    assert not play.answers()


@in_virtual_time
async def test_what_is_purged_stale_or_not_level_takes_the_long_way():
    play = Play()
    await play.learns()
    play.world.level = False
    assert not play.answers()
    play.world.level = True
    assert play.answers()
    await play.world.wait(61)
    assert not play.answers()
    await play.learns()
    assert play.answers()
    play.world.purge(everything=True)
    assert not play.answers()


@in_virtual_time
async def test_a_new_version_is_answered_with_its_own_head():
    play, client = Play(), Client()
    await play.learns()
    assert play.answers(client=client)
    play.world.purge(everything=True)
    await play.asks(answer=a_response(FRESH, "X-New: 1", body="other", status=404))
    assert play.answers(client=client)
    assert client.got[1].startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"X-New: 1" in client.got[1]
    assert client.got[1].endswith(b"other")


@in_virtual_time
async def test_the_time_it_has_is_told_anew_each_second():
    play, client = Play(), Client()
    await play.learns()
    for _ in range(6):
        assert play.answers(client=client)
        await play.world.wait(0.375)
    ages = [part.split(b"\r\n")[-5] for part in client.got]
    assert ages == [b"Age: 0", b"Age: 0", b"Age: 0", b"Age: 1", b"Age: 1", b"Age: 1"]


@in_virtual_time
async def test_a_variant_is_chosen_by_what_its_client_asked_with():
    play, client = Play(), Client()
    for language in ("en", "de"):
        answer = a_response(FRESH, "Vary: Accept-Language", body=language)
        await play.asks("/a", f"Accept-Language: {language}", answer=answer)
    for language in ("en", "de"):
        request = await play.asks("/a", f"Accept-Language: {language}")
        play.hits.learn(language.encode(), request)
    assert play.answers(b"en", client)
    assert play.answers(b"de", client)
    assert [part[-2:] for part in client.got] == [b"en", b"de"]


@in_virtual_time
async def test_lines_tell_who_asks_now():
    play = Play(client=True)
    await play.learns()
    assert play.answers(client=Client("192.0.2.2"))
    assert play.lines == ["GET http://proxy/a -> origin:80 from=192.0.2.2 code=200 5"]


@in_virtual_time
async def test_lines_tell_of_clients_that_have_left():
    play = Play()
    await play.learns()
    assert play.answers(client=Client(there=False))
    assert play.lines == ["GET http://proxy/a -> origin:80 error"]


@in_virtual_time
async def test_an_origin_that_is_told_addresses_answers_each_one_itself():
    play = Play(by_address=True)
    await play.learns()
    assert not play.answers(client=Client("192.0.2.2"))
    assert play.answers()


@in_virtual_time
async def test_a_hit_counts_as_one_and_keeps_what_is_stored():
    play = Play()
    await play.learns()
    await play.asks("/b", answer=a_response(FRESH))
    before = play.world.cache.hits
    assert play.answers()
    assert play.world.cache.hits == before + 1
    assert [entry.key[-1] for entry in play.world.store._entries] == [b"/b", b"/a"]


@pytest.mark.parametrize(("reads", "heads"), [(PacketKind.REPORT, 99), (PacketKind.MESSAGE, 0)])
@in_virtual_time
async def test_statistics_count_it(reads, heads):
    play, client = Play(), Client()
    await play.learns()
    counters = Counters(now=play.world.clock.now(), instance="i")
    counters.want([reads])
    rule = AddressRule()
    play.hits.watch = Watch(
        counters,
        clock=play.world.clock,
        make_id=lambda: "cid",
        rule=rule,
        trusted_rule=rule,
    )
    assert play.answers(client=client)
    entry = counters.entry(ROUTE)
    assert (counters.metrics.heads, entry.requests_received, entry.connections) == (1, 1, 1)
    assert entry.client_header_bytes_sent == heads
    assert client.counted.entry is entry


@in_virtual_time
async def test_a_connection_is_not_kept_by_what_it_asked():
    play = Play()
    await play.learns()
    for known in play.hits._young.values():
        assert known.ask.interim is None


@in_virtual_time
async def test_what_is_not_asked_for_again_is_forgotten():
    play = Play(size=2 * 4 * (KNOWN_BYTES + 4))  # two times four heads
    await play.learns(b"used")
    for number in range(100):
        await play.learns(b"%04d" % number, f"/{number}")
        assert play.answers(b"used")
        assert len(play.hits) <= 8
    assert not play.answers(b"0000")
    assert play.answers(b"0099")


@in_virtual_time
async def test_other_routes_make_all_of_it_void():
    play = Play()
    await play.learns()
    play.hits.forget()
    assert (len(play.hits), play.answers()) == (0, False)


@in_virtual_time
async def test_a_hold_that_asked_again_teaches_nothing():
    play = Play()
    await play.asks("/a", answer=a_response(FRESH, body="hello"))
    request = Request(
        method=b"GET", target=b"/a", authority=b"proxy", headers=fields(), peer="192.0.2.1"
    )
    asked = Request(
        method=b"GET", target=b"/a", authority=b"proxy", headers=fields("Grip-Last: c; last-id=1")
    )
    cache, floor = play.world.cache, play.world.store.marks.tick()
    play.world.origin.scripted.append(a_response(FRESH, body="since"))
    for _ in range(2):
        await cache.fetch(request, asked, play.route, interim=None, floor=floor)
    assert cache.hits == 1
    play.hits.learn(b"head", request)
    assert not play.answers(b"head")


@in_virtual_time
async def test_who_was_answered_before_a_reload_teaches_nothing_after_it():
    play = Play()
    await play.asks("/a", answer=a_response(FRESH, body="hello"))
    request = await play.asks("/a")
    play.world.cache.forget_routes()
    play.hits.forget()
    play.hits.learn(b"head", request)
    assert not play.answers(b"head")

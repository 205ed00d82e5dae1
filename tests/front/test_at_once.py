"""Requests answered from memory at once: nobody can tell them from those that take the long way.

Each test tells a story to two proxies, of which one never answers at once.
"""

import asyncio
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gripproxy.engine.stats import Counters
from gripproxy.engine.sums import NAMES, values
from gripproxy.flow.counting import Watch
from gripproxy.flow.hits import Hits
from gripproxy.front.http1 import Connection, Limits
from gripproxy.protocol import answers
from gripproxy.protocol.forwarding import AddressRule
from gripproxy.protocol.headers import format_date
from gripproxy.protocol.routes import RouteTable
from tests.holdfakes import a_route, in_virtual_time
from tests.world import World, a_response

ROUTES = (
    a_route(cache=True),
    a_route(id="open", path_beg=b"/open", cache=True, aco=True),
    a_route(id="named", path_beg=b"/named", cache=True, explicit_id=True),
    a_route(id="plain", path_beg=b"/plain"),
)
FRESH = "Cache-Control: max-age=3"


class Transport:
    """A transport that keeps what is written; `blocks` makes it one that nobody reads."""

    def __init__(self, peer: str) -> None:
        self.written = bytearray()
        self.ended = False
        self.blocks = False
        self._peer = peer

    def set_write_buffer_limits(self, high, low) -> None:
        pass

    def get_extra_info(self, name):
        return (self._peer, 1234) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.written += data
        if self.blocks:
            self.connection.pause_writing()

    def write_eof(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Proxy:
    """A proxy with a cache; with `quick` it may answer at once."""

    def __init__(self, *, quick: bool, by_address: bool = False) -> None:
        self.world = world = World(*ROUTES)
        self.counters = Counters(now=world.clock.now(), instance="i")
        watch = Watch(
            self.counters,
            clock=world.clock,
            make_id=lambda: "cid",
            rule=AddressRule(),
            trusted_rule=AddressRule(),
        )
        world.flow.watch_with(watch)
        self.hits = None
        if quick:
            self.hits = Hits(
                world.cache,
                clock=world.clock,
                access=world.access,
                by_address=by_address,
                size=1_000_000,
            )
            self.hits.watch = watch
        world.origin._outcome = self._asked
        self.versions: dict[bytes, int] = {}
        self.at_once = 0
        self.bugs: list[BaseException] = []
        self.connections: list[Connection] = []
        # As a host of connections
        self.limits = Limits()
        self.loop = asyncio.get_running_loop()
        self.draining = False
        self.serve = world.flow.serve

    @property
    def date(self) -> bytes:
        return b"Date: %b\r\n" % format_date(self.world.clock.wall())

    def refused(self, peer, error):
        return answers.of_request_error(error)

    def opened(self, connection) -> None:
        connection.task = self.loop.create_task(connection.run())

    def closed(self, connection) -> None:
        pass

    def failed(self, connection, error) -> None:
        self.bugs.append(error)

    # The origin

    async def _asked(self, request, target):
        path = request.path
        version = self.versions[path] = self.versions.get(path, 0) + 1
        if path == b"/slow":
            await asyncio.sleep(1 + version / 1024)  # no two end at the same moment
        lines, status = {
            b"/vary": ((FRESH, "Vary: Accept-Language, X-Forwarded-For"), 200),
            b"/stale": (("Cache-Control: max-age=1, stale-while-revalidate=5",), 200),
            b"/asked": (("Cache-Control: max-age=0", 'ETag: "1"'), 200),
            b"/none": (("Cache-Control: no-store",), 200),
            b"/empty": ((FRESH,), 204),
            b"/gone": ((FRESH,), 404),
            b"/cookie": (("Cache-Control: public, max-age=3", "Set-Cookie: a=b"), 200),
            b"/dateless": (('Cache-Control: max-age=3, no-cache="Date"',), 200),
            b"/old": (("Cache-Control: max-age=30", "Age: 5", "Connection: X-A", "X-A: b"), 200),
        }.get(path, ((FRESH, "Content-Type: text/plain", "Surrogate-Key: k"), 200))
        body = b"" if status == 204 else b"%b %d" % (path, version)
        return a_response(*lines, status=status, body=body)

    # Clients

    def connect(self, peer: str = "192.0.2.1", *, secure: bool = False) -> Connection:
        connection = Connection(self, secure=secure)
        transport = Transport(peer)
        transport.connection = connection
        connection.connection_made(transport)
        self.connections.append(connection)
        return connection

    def send(self, number: int, data: bytes) -> None:
        """Let a client send something, on a new connection if its old one has been closed."""
        connection = self.connections[number]
        if connection.transport.is_closing():
            old = connection.transport
            connection = self.connect(connection.peer)
            connection.transport.written[:0] = old.written
            self.connections[number] = self.connections.pop()
        before = len(connection.transport.written)
        connection.data_received(data)
        self.at_once += len(connection.transport.written) > before

    def seen(self) -> object:
        """Return all that can be seen from outside."""
        assert self.bugs == []
        counted = {
            route: dict(zip(NAMES, values(entry), strict=True))
            for route, entry in self.counters.entries.items()
        }
        written = [bytes(one.transport.written) for one in self.connections]
        heads = self.counters.metrics.heads
        return written, self.world.lines, counted, heads, self.world.cache.results()


class Both:
    """The two proxies, told the same."""

    def __init__(self, clients: int = 1, **how) -> None:
        self.quick = Proxy(quick=True, **how)
        self.slow = Proxy(quick=False, **how)
        for number in range(clients):
            for proxy in (self.quick, self.slow):
                proxy.connect(f"192.0.2.{number}")

    async def send(self, *pieces: bytes, client: int = 0) -> None:
        for piece in pieces:
            for proxy in (self.quick, self.slow):
                proxy.send(client, piece)
            await self.quick.world.wait()

    def purge(self, **how) -> None:
        for proxy in (self.quick, self.slow):
            proxy.world.purge("k", **how)

    async def same(self, at_once: int) -> str:
        """Check that they have said the same, and how many sendings were answered at once."""
        await self.quick.world.wait()
        assert self.quick.seen() == self.slow.seen()
        assert (self.quick.at_once, self.slow.at_once) == (at_once, 0)
        return bytes(self.quick.connections[0].transport.written).decode()


def asks(target: str = "/a", *lines: str, method: str = "GET", version: int = 1) -> bytes:
    head = [f"{method} {target} HTTP/1.{version}", "Host: proxy", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def bodies(said: str) -> list[str]:
    return re.findall(r"\r\n\r\n(.*?)(?=HTTP/|$)", said)


# One request, again and again


@pytest.mark.parametrize(
    "request_",
    [
        asks(),
        asks("/gone"),
        asks("/vary", "Accept-Language: en"),
        asks("/vary"),
        asks("/cookie"),
        asks("/named"),
        asks("/old"),
        asks("/a?b=c"),
        asks("http://PROXY/a"),
        asks("/a{}"),
        asks("/a", "User-Agent: x", "Referer: y", "TE: trailers", "Connection: TE"),
        asks("/a", "Cache-Control: no-cache", "Cookie: a=b"),
        asks("/a", "Cache-Control: only-if-cached", "Authorization: Basic YQ=="),
        asks("/a", "Content-Length: 0"),
        asks("/a", "Connection: keep-alive", "Max-Forwards: 0"),
        asks("/a", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"),
    ],
)
@in_virtual_time
async def test_the_third_time_it_is_answered_at_once(request_):
    both = Both()
    await both.send(asks("/a"), request_, request_)
    before = both.quick.at_once
    await both.send(request_, request_)
    await both.same(before + 2)
    assert before <= 1


@pytest.mark.parametrize(
    "request_",
    [
        asks(method="HEAD"),
        asks(version=0),
        asks("/a", "Connection: keep-alive", version=0),
        asks("/a", "Connection: close"),
        asks("/a", "Range: bytes=0-1"),
        asks("/a", 'If-None-Match: "1"'),
        asks("/a", "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT"),
        asks("/a", "Cache-Control: no-store"),
        asks("/a", 'If-Match: "1"'),
        asks("/a", "Grip-Last: c; last-id=1"),
        asks("/a", "Content-Length: 2") + b"ab",
        asks("/a", "Content-Length: 0", method="POST"),
        asks("/a", "Padding: " + 1024 * "x"),
        asks("/open"),
        asks("/plain"),
        asks("/none"),
        asks("/empty"),
        asks("/dateless"),
        asks("/asked"),
    ],
)
@in_virtual_time
async def test_others_take_the_long_way(request_):
    both = Both()
    await both.send(asks(), request_, request_, request_, request_)
    await both.same(0)


@in_virtual_time
async def test_clients_of_tls_take_the_long_way():
    both = Both()
    await both.send(asks(), asks(), asks())
    for proxy in (both.quick, both.slow):
        proxy.connections[0] = proxy.connect(secure=True)
        proxy.connections.pop()
    await both.send(asks(), asks(), asks())
    await both.same(1)


@in_virtual_time
async def test_age_and_the_rest_of_its_time_are_right_to_the_second():
    both = Both()
    await both.send(asks(), asks())
    for _ in range(14):
        await both.send(asks(), asks())
        await both.quick.world.wait(0.2)
    said = await both.same(28)
    assert [f"Age: {n}" in said for n in range(4)] == [True, True, True, False]


@in_virtual_time
async def test_what_is_stale_is_asked_for_again():
    both = Both()
    await both.send(asks(), asks(), asks())
    await both.quick.world.wait(4)
    await both.send(asks())
    said = await both.same(1)
    assert said.endswith("/a 2")


@in_virtual_time
async def test_what_may_be_served_stale_is_served_by_the_long_way():
    both = Both()
    await both.send(asks("/stale"), asks("/stale"), asks("/stale"))
    await both.quick.world.wait(2)
    await both.send(asks("/stale"), asks("/stale"), asks("/stale"))
    said = await both.same(3)
    assert said.endswith("/stale 2")


# Purges


@pytest.mark.parametrize("how", [{}, {"soft": True}, {"everything": True}])
@in_virtual_time
async def test_what_was_purged_is_not_served(how):
    both = Both()
    await both.send(asks(), asks(), asks())
    both.purge(**how)
    await both.send(asks())
    said = await both.same(1)
    assert said.endswith("/a 2")


@in_virtual_time
async def test_a_purge_that_is_learnt_of_between_two_requests_counts():
    both = Both()
    await both.send(asks(), asks(), asks())
    world = both.quick.world
    asked = []

    def level() -> bool:
        asked.append(1)
        if len(asked) == 2:
            world.purge("k")
        return True

    world.cache._level = level
    both.quick.send(0, asks() + asks() + asks())
    await world.wait()
    said = bytes(both.quick.connections[0].transport.written).decode()
    assert bodies(said) == ["/a 1", "/a 1", "/a 1", "/a 1", "/a 2", "/a 2"]
    assert len(asked) > 2


@in_virtual_time
async def test_who_does_not_know_all_purges_asks_the_origin():
    both = Both()
    await both.send(asks(), asks(), asks())
    both.quick.world.level = both.slow.world.level = False
    await both.send(asks())
    said = await both.same(1)
    assert "fwd=bypass" in said


@in_virtual_time
async def test_other_routes_are_looked_for_anew():
    both = Both()
    await both.send(asks(), asks(), asks())
    for proxy in (both.quick, both.slow):
        proxy.world.flow.routes = RouteTable((a_route(),))
        proxy.world.cache.forget_routes()
    both.quick.hits.forget()
    await both.send(asks())
    said = await both.same(1)
    assert said.endswith("/a 2")


# Several at once


@in_virtual_time
async def test_answers_keep_the_order_of_their_requests():
    both = Both()
    for target in ("/a", "/b"):
        await both.send(asks(target), asks(target))
    await both.send(asks("/a") + asks("/none") + asks("/b") + asks("/a"))
    said = await both.same(1)
    assert bodies(said)[-4:] == ["/a 1", "/none 1", "/b 1", "/a 1"]


@in_virtual_time
async def test_what_comes_while_another_request_is_served_waits():
    both = Both()
    await both.send(asks(), asks())
    await both.send(asks("/slow"), asks(), asks() + asks())
    assert len(bodies(bytes(both.quick.connections[0].transport.written).decode())) == 2
    await both.quick.world.wait(2)
    said = await both.same(0)
    assert bodies(said) == ["/a 1", "/a 1", "/slow 1", "/a 1", "/a 1", "/a 1"]


@in_virtual_time
async def test_a_head_may_come_in_pieces():
    both = Both()
    await both.send(asks(), asks())
    await both.send(asks() + asks()[:20], asks()[20:], b"\r\n" + asks(), asks())
    await both.same(2)


@in_virtual_time
async def test_who_reads_no_answers_is_not_given_more():
    both = Both()
    await both.send(asks(), asks())
    for proxy in (both.quick, both.slow):
        proxy.connections[0].transport.blocks = True
    before = len(both.quick.connections[0].transport.written)
    await both.send(3 * asks())
    first = bytes(both.quick.connections[0].transport.written)[before:]
    assert first.count(b"HTTP/1.1 200") == 1
    for proxy in (both.quick, both.slow):
        proxy.connections[0].transport.blocks = False
        proxy.connections[0].resume_writing()
    said = await both.same(1)
    assert said.count("HTTP/1.1 200") == 5


@in_virtual_time
async def test_a_server_that_ends_closes_behind_the_answer():
    both = Both()
    await both.send(asks(), asks())
    both.quick.draining = both.slow.draining = True
    await both.send(asks())
    said = await both.same(0)
    assert "Connection: close" in said


@in_virtual_time
async def test_a_client_that_is_lost_in_writing_is_told_of_as_one():
    both = Both()
    await both.send(asks(), asks())
    for proxy in (both.quick, both.slow):
        connection = proxy.connections[0]
        connection.write = lambda data, transport=connection.transport: transport.close()
    await both.send(asks() + asks())
    await both.same(0)
    assert both.quick.world.lines[-1].endswith("error")


# Several clients


@in_virtual_time
async def test_a_client_is_counted_as_itself():
    both = Both(2)
    await both.send(asks(), asks())
    await both.send(asks(), client=1)
    await both.same(1)
    peers = [{one.peer for one in p.counters._begun} for p in (both.quick, both.slow)]
    assert peers[0] == peers[1] >= {"192.0.2.0", "192.0.2.1"}


@in_virtual_time
async def test_where_addresses_matter_only_the_same_client_is_answered_at_once():
    both = Both(2, by_address=True)
    await both.send(asks(), asks(), asks())
    await both.send(asks(), client=1)
    await both.same(1)


# Anything


HEADS = [
    asks("/a"),
    asks("/a", "Accept-Language: en"),
    asks("/vary", "Accept-Language: en"),
    asks("/vary", "Accept-Language: de"),
    asks("/stale"),
    asks("/none"),
    asks("/old"),
    asks("/empty"),
    asks("/plain"),
    asks("/slow"),
    asks("/open", "Origin: http://b"),
    asks("/named"),
    asks("/a", method="HEAD"),
    asks("/a", "Range: bytes=1-2"),
    asks("/a", "Connection: close"),
    asks("/vary", "Accept-Language: en", version=0),
    asks("/named", "Content-Length: 3", method="POST") + b"abc",
]
OPERATIONS = st.one_of(
    st.tuples(
        st.just("send"),
        st.integers(0, 1),
        st.lists(st.sampled_from(HEADS + HEADS[:5] * 3), min_size=1, max_size=4).map(b"".join),
        st.lists(st.integers(0, 300), max_size=2),
    ),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, 1.0, 2.5])),
    st.tuples(st.just("purge"), st.booleans()),
    st.tuples(st.just("level"), st.booleans()),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(OPERATIONS, max_size=25))
def test_no_story_tells_the_two_ways_apart(story):
    @in_virtual_time
    async def told() -> None:
        both = Both(2)
        await both.send(asks(), asks())
        for what, *how in story:
            if what == "send":
                client, data, cuts = how
                edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
                pieces = [data[a:b] for a, b in itertools.pairwise(edges) if a < b]
                await both.send(*pieces, client=client)
            elif what == "wait":
                await both.quick.world.wait(*how)
            elif what == "purge":
                both.purge(soft=how[0])
            else:
                both.quick.world.level = both.slow.world.level = how[0]
        await both.quick.world.wait(2)
        await both.same(both.quick.at_once)

    told()

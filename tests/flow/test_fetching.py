"""The way to an origin: its targets in turn, or a cache in front of them."""

import pytest

from gripproxy.errors import ConnectError, ExchangeError
from gripproxy.flow.fetching import Fetcher
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from tests.fakes import FakeOrigin

FIRST = Target(kind="tcp", host="one", port=1)
SECOND = Target(kind="tcp", host="two", port=2)
ROUTE = Route(domain="*", id="r", targets=(FIRST, SECOND))
DOWN = ConnectError("connection_refused", "down")


def response(status=200):
    return Response(status=status, reason=b"OK", headers=Headers())


def request():
    return Request(method=b"GET", target=b"/", headers=Headers())


class FakeCache:
    def __init__(self):
        self.asked = []

    async def fetch(self, client, request, route, *, interim, floor):
        self.asked.append((client, request))
        return response(203), FIRST


@pytest.fixture
def origin():
    return FakeOrigin()


async def test_the_first_target_answers(origin):
    origin.scripted.append(response(500))
    got, target = await Fetcher(origin).fetch(request(), ROUTE)
    assert (got.status, target, len(origin.requests)) == (500, FIRST, 1)


async def test_a_target_that_is_not_reached_is_no_answer(origin):
    origin.scripted.extend([DOWN, response()])
    got, target = await Fetcher(origin).fetch(request(), ROUTE)
    assert (got.status, target) == (200, SECOND)


async def test_the_error_names_all_that_were_tried(origin):
    origin.scripted.extend([DOWN, DOWN])
    with pytest.raises(ConnectError, match="Tried: one:1, two:2") as caught:
        await Fetcher(origin).fetch(request(), ROUTE)
    assert caught.value.kind == "connection_refused"


async def test_a_target_that_was_reached_is_the_last_one(origin):
    origin.scripted.append(ExchangeError("http_response_incomplete", "broke off"))
    with pytest.raises(ExchangeError):
        await Fetcher(origin).fetch(request(), ROUTE)
    assert len(origin.requests) == 1


async def test_a_target_may_want_another_host(origin):
    route = Route(
        domain="*", id="r", targets=(Target(kind="tcp", host="h", port=1, host_field=b"x"),)
    )
    origin.scripted.append(response())
    await Fetcher(origin).fetch(request(), route)
    assert origin.requests[0][0].authority == b"x"


async def test_only_what_clients_ask_for_may_be_answered_from_memory(origin):
    fetcher = Fetcher(origin)
    fetcher.cache = cache = FakeCache()
    origin.scripted.append(response())
    client, asked = request(), request()
    assert (await fetcher.fetch(asked, ROUTE))[0].status == 200
    assert (await fetcher.fetch(asked, ROUTE, client=client))[0].status == 203
    assert cache.asked == [(client, asked)]


async def test_who_watches_sends(origin):
    class Watch:
        async def send(self, origin, request, target, route, interim):
            return await origin.send(request, target, interim)

    fetcher = Fetcher(origin)
    fetcher.watch = Watch()
    origin.scripted.extend([DOWN, response()])
    assert (await fetcher.fetch(request(), ROUTE))[1] is SECOND

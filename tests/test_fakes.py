"""The fakes keep what the edges promise."""

import asyncio
import inspect

import pytest

from gripproxy.engine.ports import ClientSocket, Notices, Wake
from gripproxy.engine.subscriptions import Network
from gripproxy.errors import ConnectError
from gripproxy.flow.ports import Clock, Exchange, Origin, OriginSocket
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.wsframes import PONG, TEXT, Role
from gripproxy.protocol.wshandshake import Agreed
from tests.fakes import (
    FakeClient,
    FakeClock,
    FakeExchange,
    FakeNetwork,
    FakeNotices,
    FakeOrigin,
    FakeOriginSocket,
    FakeSocket,
    fields,
    fields_of,
    settle,
)

REQUEST = Request(method=b"GET", target=b"/", headers=Headers())
RESPONSE = Response(status=101, reason=b"", headers=Headers())


@pytest.mark.parametrize(
    ("fake", "port"),
    [
        (FakeNotices(), Notices),
        (FakeNetwork(), Network),
        (FakeClock(), Clock),
        (FakeClient(), ClientSocket),
        (FakeOriginSocket(RESPONSE, Agreed(None, None)), OriginSocket),
        (FakeOrigin(), Origin),
    ],
)
def test_a_fake_has_all_that_its_port_has(fake, port):
    names = {name for base in port.__mro__ for name in vars(base) if not name.startswith("_")}
    assert [name for name in names if not hasattr(fake, name)] == []


async def test_a_fake_exchange_has_what_the_sockets_need_of_it():
    exchange = FakeExchange(REQUEST)
    needed = ("answer", "end", "gone", "park", "request", "sent", "shielded", "upgrade", "wake")
    assert [name for name in needed if not hasattr(exchange, name)] == []
    assert [name for name in needed if name not in _names(Exchange)] == []


def _names(port):
    found = set()
    for base in port.__mro__:
        found |= {*vars(base), *inspect.get_annotations(base)}
    return found


def test_time_stands_still():
    clock = FakeClock()
    before = clock.now()
    assert clock.now() == before
    assert clock.advance(2) == before + 2 == clock.now()


@pytest.mark.parametrize("role", list(Role))
def test_the_peer_hears_what_was_sent_once(role):
    socket = FakeSocket(role)
    socket.send(TEXT, b"a", last=False)
    socket.send(PONG, b"")
    socket.send(TEXT, b"b", first=False)
    socket.close(1000, "bye")
    assert socket.heard() == [("text+", "a"), ("pong", ""), ("+text", "b"), ("close", 1000, "bye")]
    assert socket.heard() == []


async def test_a_parked_exchange_goes_on_for_each_wake_and_ends():
    exchange = FakeExchange(REQUEST)
    reasons = []

    async def resume(exchange, held, reason):
        reasons.append((held, reason))

    async def serve(exchange):
        exchange.park("held", resume)

    task = asyncio.get_running_loop().create_task(exchange.run(serve))
    await settle()
    exchange.wake(Wake.EVENTS)
    await settle()
    assert reasons == [("held", Wake.EVENTS)]
    exchange.end()
    await task
    assert exchange.over


async def test_an_answered_exchange_is_over():
    exchange = FakeExchange(REQUEST)

    async def serve(exchange):
        exchange.park("held", None)
        await exchange.answer(RESPONSE)

    await exchange.run(serve)
    assert exchange.answered is RESPONSE


async def test_an_origin_answers_when_it_is_told():
    origin = FakeOrigin()
    task = asyncio.get_running_loop().create_task(origin.send(REQUEST, "target"))
    await settle()
    assert origin.in_flight == 1
    origin.answer(RESPONSE)
    assert await task is RESPONSE
    assert origin.requests == [(REQUEST, "target")]


async def test_an_origin_fails_as_it_is_scripted():
    origin = FakeOrigin()
    origin.scripted.append(ConnectError("kind", "not reached"))
    with pytest.raises(ConnectError):
        await origin.connect(REQUEST, "target")


def test_fields_are_those_that_are_sent():
    request = Request(method=b"GET", target=b"/", headers=fields("B: 2", "C:"), prefix=b"A: 1\r\n")
    assert fields_of(request) == [("A", "1"), ("B", "2"), ("C", "")]

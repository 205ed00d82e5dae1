"""The fakes of what is held keep what the edges promise."""

import asyncio
import inspect

import pytest

from gripproxy.engine.channels import Holder
from gripproxy.engine.ports import Framing, Sink
from gripproxy.flow.ports import Clock, Exchange, Tasks
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response, Source
from tests.holdfakes import (
    FakeHolder,
    FakeSink,
    FakeSource,
    HeldExchange,
    LoopClock,
    LoopTasks,
    a_request,
    dechunked,
    in_virtual_time,
)

STREAM = Response(status=200, reason=b"OK", headers=Headers(), body=b"a")


def names_of(port):
    found = set()
    for base in port.__mro__:
        found |= {*vars(base), *inspect.get_annotations(base)}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize(
    ("fake", "port"),
    [
        (FakeSink(), Sink),
        (FakeHolder(), Holder),
        (FakeSource(), Source),
        (LoopClock(), Clock),
        (LoopTasks(), Tasks),
    ],
)
def test_a_fake_has_all_that_its_port_has(fake, port):
    assert [name for name in names_of(port) if not hasattr(fake, name)] == []


@in_virtual_time
async def test_so_has_an_exchange_but_for_what_counts():
    exchange = HeldExchange(a_request())
    missing = {name for name in names_of(Exchange) if not hasattr(exchange, name)}
    assert missing <= {"counted"}


def test_a_client_hears_chunks_or_all_as_one():
    for framing, heard in ((Framing.CHUNKED, ["a", "b"]), (Framing.RAW, ["1\r\na\r\n1\r\nb\r\n"])):
        sink = FakeSink(framing)
        sink.write(b"1\r\na\r\n")
        sink.write(b"1\r\nb\r\n")
        assert sink.heard() == heard
        assert sink.heard() == []


def test_nothing_may_follow_the_last_chunk():
    assert dechunked(b"1\r\na\r\n0\r\n\r\n") == ([b"a"], True)
    with pytest.raises(AssertionError):
        dechunked(b"0\r\n\r\n1\r\na\r\n")


@pytest.mark.parametrize("what", ["write", "end"])
def test_nothing_may_follow_the_end(what):
    sink = FakeSink()
    sink.end()
    with pytest.raises(AssertionError):
        sink.write(b"x") if what == "write" else sink.end()


@in_virtual_time
async def test_a_stalled_client_pauses_a_body():
    exchange, source = HeldExchange(a_request()), FakeSource("b")
    exchange.stall()
    exchange.begin(STREAM)
    task = asyncio.get_running_loop().create_task(exchange.relay(source))
    await asyncio.sleep(0)
    assert source.paused
    exchange.read_on()
    assert not source.paused
    source.end()
    assert await task is True
    assert exchange.heard() == ["a", "b"]


@in_virtual_time
async def test_a_client_that_leaves_breaks_a_body_off():
    exchange, source = HeldExchange(a_request()), FakeSource()
    task = asyncio.get_running_loop().create_task(exchange.relay(source))
    await asyncio.sleep(0)
    exchange.leave()
    assert await task is False


@in_virtual_time
async def test_time_goes_by_at_once():
    clock = LoopClock()
    now, wall = clock.now(), clock.wall()
    await asyncio.sleep(86_400)
    assert clock.now() == now + 86_400
    assert clock.wall() == wall + 86_400


def test_a_test_that_waits_for_nobody_fails():
    @in_virtual_time
    async def forever():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nobody will do"):
        forever()


@in_virtual_time
async def test_tasks_are_kept_until_they_are_over():
    tasks = LoopTasks()
    task = tasks.start(asyncio.sleep(5), name="rest")
    assert tasks.running == {task}
    await task
    await asyncio.sleep(0)
    assert tasks.names == ["rest"]
    assert tasks.running == set()

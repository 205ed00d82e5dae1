"""Corners of the cache where several of its rules meet (cache-and-purge.md)."""

import pytest

from gripproxy.flow.caching import FLIGHTS_MAX
from tests.holdfakes import FakeSource, a_route, in_virtual_time
from tests.world import World, a_response

FRESH = ("Cache-Control: max-age=60", "Surrogate-Key: k")


@pytest.mark.parametrize(("seconds", "asked"), [(0, "50-53"), (100, "0-3")])
@in_virtual_time
async def test_a_range_that_a_stored_part_does_not_answer_goes_to_the_origin(seconds, asked):
    world = World(a_route(cache=True))
    await world.ask("/r", "Range: bytes=0-3")
    await world.answer(*FRESH, "Content-Range: bytes 0-3/100", status=206, body="abcd")
    world.asked()
    await world.wait(seconds)
    await world.ask("/r", f"Range: bytes={asked}")
    (told,) = world.asked()
    assert f"Range: bytes={asked}" in told


@in_virtual_time
async def test_bodies_that_last_keep_nobody_waiting_however_many_they_are():
    world = World(a_route(cache=True))
    for _ in range(FLIGHTS_MAX):
        await world.ask("/r")
        await world.reply(a_response(*FRESH, body=FakeSource("begun")))
        world.purge("k")
    world.asked()
    await world.ask("/r")
    assert len(world.asked()) == 1
    # What it brings is stored all the same.
    await world.answer(*FRESH, body="new")
    assert len(world.store) == 1


@in_virtual_time
async def test_who_waits_for_one_of_many_answers_waits_for_no_body():
    world = World(a_route(cache=True))
    for _ in range(FLIGHTS_MAX):
        await world.ask("/r")
        world.purge(everything=True)
    world.asked()
    await world.ask("/r")
    assert world.asked() == []
    for _ in range(FLIGHTS_MAX):
        await world.reply(a_response(*FRESH, body=FakeSource("begun")))
    assert len(world.asked()) == 1


def told(client) -> bytes:
    """Return what the cache says of an answer."""
    return (client.finished or client.answered).headers.get(b"cache-status")


@pytest.mark.parametrize("line", ["X: 1", 'If-None-Match: "x"'])
@in_virtual_time
async def test_what_settles_is_not_said_to_be_stored(line):
    world = World(a_route(cache=True))
    world.purge("k", settle=2.0)
    client = await world.ask("/r", line)
    await world.answer(*FRESH, body="old")
    assert told(client) == b"gripproxy; fwd=uri-miss"
    assert len(world.store) == 0


@in_virtual_time
async def test_what_was_purged_on_its_way_is_not_said_to_be_stored():
    world = World(a_route(cache=True))
    client = await world.ask("/r")
    world.purge("k")
    await world.answer(*FRESH, body="old")
    assert told(client) == b"gripproxy; fwd=uri-miss"


@in_virtual_time
async def test_what_is_stored_makes_room_for_what_is_on_its_way():
    world = World(a_route(cache=True))
    await world.ask("/stored")
    await world.answer(*FRESH, body="old")
    await world.ask("/r")
    source = FakeSource("x" * 999_000)
    await world.reply(a_response(*FRESH, body=source))
    assert len(world.store) == 0
    assert world.store.size > 999_000
    source.fail()
    assert world.store.size < 999_000


@in_virtual_time
async def test_who_comes_after_a_purge_of_the_url_does_not_wait_for_an_older_answer():
    world = World(a_route(cache=True))
    first = await world.ask("/r")
    world.purge(urls=("proxy/r",))
    second = await world.ask("/r")
    assert len(world.asked()) == 2
    await world.answer(*FRESH, body="old")
    assert (first.answered.body, second.answered) == (b"old", None)
    await world.answer(*FRESH, body="new")
    assert second.answered.body == b"new"


@in_virtual_time
async def test_what_is_for_one_with_a_cookie_does_not_keep_others_from_sharing():
    world = World(a_route(cache=True))
    hold = ("Grip-Hold: response", "Grip-Channel: c", "Cache-Control: max-age=60")
    await world.ask("/p", "Cookie: me=1")
    await world.answer(*hold)
    world.asked()
    await world.ask("/p")
    await world.ask("/p")
    assert len(world.asked()) == 1
    await world.answer(*hold)
    assert world.asked() == []
    assert len(world.store) == 1

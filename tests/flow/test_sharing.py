"""Next links that are equal are fetched once."""

import asyncio

import pytest

from gripproxy.errors import ConnectError
from gripproxy.flow.bodies import KEPT_MAX
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.sharing import Sharing
from gripproxy.protocol.formats import Action
from tests.fakes import FakeOrigin
from tests.holdfakes import FakeSource, a_request, a_route, in_virtual_time
from tests.world import World, a_response

HOLD = ("Grip-Hold: stream", "Grip-Channel: c")
NEXT = "Grip-Link: </next>; rel=next"
ASKED = "GET origin:80/next"


async def streams(world, count, *lines, link=NEXT):
    """Begin streams that have the same next link."""
    clients = []
    for _ in range(count):
        clients.append(await world.ask("/s"))
        if world.asked():
            await world.answer(*HOLD, link, *lines)
        clients[-1].heard()
    return clients


async def hinted(world, count, *lines, link=NEXT):
    """Begin streams that are all fetching their next link."""
    clients = await streams(world, count, *lines, link=link)
    await world.publish("c", action=Action.HINT)
    return clients


@in_virtual_time
async def test_all_who_are_hinted_share_one_request():
    world = World()
    clients = await hinted(world, 3)
    assert world.asked() == [ASKED]
    await world.answer(*HOLD, NEXT, body="page")
    assert [client.heard() for client in clients] == [["page"]] * 3
    await world.publish("c", "item")
    assert [client.heard() for client in clients] == [["item"]] * 3


@in_virtual_time
async def test_on_a_route_with_a_cache_what_is_stored_must_be_younger_than_the_hint():
    world = World(a_route(cache=True))
    clients = await hinted(world, 3, "Cache-Control: max-age=60")
    assert len(world.asked()) == 1
    await world.answer(*HOLD, NEXT, "Cache-Control: max-age=60", body="page")
    await world.publish("c", action=Action.HINT)
    assert len(world.asked()) == 1
    await world.answer(*HOLD, NEXT, body="page 2")
    assert [client.heard() for client in clients] == [["page", "page 2"]] * 3


@in_virtual_time
async def test_the_whole_uri_must_be_equal():
    world = World()
    await streams(world, 1, link="Grip-Link: </next?u=1>; rel=next")
    await streams(world, 1, link="Grip-Link: </next?u=2>; rel=next")
    await world.publish("c", action=Action.HINT)
    assert world.asked() == [f"{ASKED}?u=1", f"{ASKED}?u=2"]


@in_virtual_time
async def test_and_the_positions():
    world = World()
    await streams(world, 1, "Grip-Channel: d; prev-id=1")
    await streams(world, 1, "Grip-Channel: d; prev-id=2")
    await world.publish("c", action=Action.HINT)
    assert world.asked() == [f"{ASKED}, Grip-Last: d; last-id={n}" for n in (1, 2)]


@in_virtual_time
async def test_who_is_hinted_later_does_not_get_the_earlier_page():
    world = World()
    (first,) = await hinted(world, 1)
    second = await world.ask("/s")
    await world.publish("c", action=Action.HINT)
    assert world.asked() == [ASKED, "GET origin:80/s"]
    await world.answer(*HOLD, NEXT, body="old")
    assert first.heard() == ["old"]
    await world.answer(*HOLD, NEXT)
    await world.publish("c", action=Action.HINT)
    assert world.asked() == [ASKED, ASKED]  # the first one's second hint, then both
    await world.answer(*HOLD, NEXT, body="new")
    await world.answer(*HOLD, NEXT, body="newer")
    assert second.heard() == ["newer"]


@in_virtual_time
async def test_a_body_that_comes_in_pieces_can_be_joined():
    world = World()
    first, second = await streams(world, 2)
    await world.publish("c", action=Action.HINT)
    body = FakeSource("one ")
    await world.answer(*HOLD, NEXT, body=body)
    body.piece("two")
    body.end()
    await world.wait()
    assert first.heard() == second.heard() == ["one ", "two"]


@pytest.mark.parametrize(("size", "asked"), [(KEPT_MAX, []), (KEPT_MAX + 1, [ASKED])])
@in_virtual_time
async def test_one_may_be_joined_until_it_is_over_100_000_bytes(size, asked):
    world = World()
    first, second = await streams(world, 2)
    second.stall()
    world.hub.recover(now=world.clock.now())
    await world.wait(0.1)
    assert world.asked() == [ASKED]
    body = FakeSource("x" * size)
    await world.answer(*HOLD, NEXT, body=body)
    second.read_on(now=world.clock.now())
    await world.wait(0.1)
    assert world.asked() == asked
    if asked:
        await world.answer(*HOLD, NEXT, body="another")
    body.end()
    await world.wait()
    assert first.heard() == ["x" * size]
    assert second.heard() == (["another"] if asked else ["x" * size])


@pytest.mark.parametrize("flows", [True, False])
@in_virtual_time
async def test_one_that_is_complete_is_joined_no_more(flows):
    world = World()
    first, second = await streams(world, 2)
    second.stall()
    world.hub.recover(now=world.clock.now())
    await world.wait(0.1)
    assert world.asked() == [ASKED]
    await world.answer(*HOLD, NEXT, body=FakeSource("page", whole=True) if flows else "page")
    second.read_on(now=world.clock.now())
    await world.wait(0.1)
    assert world.asked() == [ASKED]
    await world.answer(*HOLD, NEXT, body="another")
    assert (first.heard(), second.heard()) == (["page"], ["another"])


@pytest.mark.parametrize(("cache", "asked"), [(False, 1), (True, 2)])
@in_virtual_time
async def test_what_may_be_stored_is_as_old_as_its_event(cache, asked):
    world, origin, route = World(), FakeOrigin(), a_route(cache=cache)
    sharing = Sharing(Fetcher(origin), tasks=world.tasks, epoch=lambda: 5)
    for floor in (3, 5):
        story = sharing.fetch(a_request(), route, floor=floor)
        world.tasks.start(story, name="stream")
    await world.wait()
    assert len(origin.requests) == asked


@pytest.mark.parametrize("end", [FakeSource.end, FakeSource.fail])
@in_virtual_time
async def test_nothing_is_kept_of_one_that_is_over(end):
    world, origin, body = World(), FakeOrigin(), FakeSource()
    origin.scripted.append(a_response(body=body))
    sharing = Sharing(Fetcher(origin), tasks=world.tasks, epoch=lambda: 0)
    await sharing.fetch(a_request(), a_route(), floor=0)
    await world.wait()
    assert len(sharing) == 1
    end(body)
    assert len(sharing) == 0


@in_virtual_time
async def test_a_failure_is_everybodys_and_each_tries_again():
    world = World()
    clients = await hinted(world, 2)
    world.asked()
    await world.reply(ConnectError("connection_refused", "refused"))
    assert world.asked() == []
    await world.wait(1)
    assert world.asked() == [ASKED]
    await world.answer(*HOLD, NEXT, body="page")
    assert [client.heard() for client in clients] == [["page"]] * 2


@in_virtual_time
async def test_a_request_that_nobody_waits_for_is_dropped():
    world = World()
    first, second = await hinted(world, 2)
    first.leave()
    await world.wait()
    assert world.origin.in_flight == 1
    second.leave()
    await world.wait()
    assert world.origin.in_flight == 0
    assert not world.tasks.running


@in_virtual_time
async def test_a_body_that_nobody_reads_any_more_is_let_go():
    world = World()
    (client,) = await hinted(world, 1)
    body = FakeSource("half")
    await world.answer(*HOLD, NEXT, body=body)
    client.leave()
    await world.wait()
    assert body.abandoned


@in_virtual_time
async def test_what_interrupts_it_interrupts_all_who_wait():
    world = World()
    (client,) = await hinted(world, 1)
    (task,) = [task for task in world.tasks.running if not task.done()]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.wait(1)
    assert len(world.asked()) == 2  # it tries again
    await world.answer()  # the one that was interrupted: nobody is there
    await world.answer(*HOLD, NEXT, body="page")
    assert client.heard() == ["page"]


@in_virtual_time
async def test_a_body_that_breaks_off_breaks_off_for_everybody():
    world = World()
    first, second = await streams(world, 2)
    await world.publish("c", action=Action.HINT)
    body = FakeSource("half")
    await world.answer(*HOLD, NEXT, body=body)
    body.fail()
    await world.wait()
    assert first.ended
    assert second.ended

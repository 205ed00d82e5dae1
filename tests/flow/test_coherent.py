"""Coherent wake-ups: what an event causes is answered by nothing older (grip-http.md 1.6).

Everything here is stored and fresh, so that memory would answer whoever asks for another reason.
"""

import pytest

from gripproxy.protocol.formats import Action
from tests.holdfakes import a_route, in_virtual_time
from tests.world import World, text_of

FRESH = "Cache-Control: max-age=600"
NEXT = "Grip-Link: </next>; rel=next; timeout=300"


async def hint(world):
    await world.publish("c", action=Action.HINT)


async def gap(world):
    # Each time another id: it is no double.
    await world.publish("c", "x", id=f"{world.clock.now()}", prev_id="8", no_seq=True)


async def recover(world):
    world.hub.recover(now=world.clock.now())


async def subscription(world):
    await world.wait(1.0)


async def timeout(world):
    await world.wait(300)


async def loss(world):
    for _ in range(101):
        await world.publish("c", "x")


def a_world(event):
    return World(a_route(cache=True), update_on_first=event is subscription)


def at(event):
    """Only who has a position sees a gap."""
    return "Grip-Channel: c; prev-id=1" if event is gap else "Grip-Channel: c"


async def asked(world):
    """Let updates have their turn; return how often the origin was asked."""
    await world.wait(0.1)
    return len(world.asked())


@pytest.mark.parametrize("event", [hint, gap, recover, subscription])
@in_virtual_time
async def test_a_poll_that_asks_again_is_not_answered_from_before(event):
    world = a_world(event)
    hold = ("Grip-Hold: response", at(event), "Cache-Control: private")
    client, other = await world.ask("/poll"), await world.ask("/poll")
    await world.answer(*hold)
    if event is gap:  # what is asked with a position is another request
        await world.answer(*hold)
        await event(world)
        await world.wait(0.1)
        await world.answer(*hold)
    await world.answer(FRESH, body="before")
    assert [text_of(one) for one in (client, other)] in (
        [None, (200, "before")],
        [(200, "before"), None],
    )
    world.asked()
    await event(world)
    assert await asked(world) == 1


@in_virtual_time
async def test_a_poll_that_begins_behind_is_not_answered_from_before():
    world = a_world(gap)
    hold = ("Grip-Hold: response", at(gap), "Cache-Control: private")
    earlier = await world.ask("/poll")
    await world.answer(*hold)
    await gap(world)
    await world.wait(0.1)
    await world.answer(FRESH, body="before")
    assert text_of(earlier) == (200, "before")
    await world.publish("c", "x", id="5")
    world.asked()
    await world.ask("/poll")
    await world.answer(*hold)
    assert len(world.asked()) == 2


@pytest.mark.parametrize("event", [hint, gap, recover, subscription, timeout, loss])
@in_virtual_time
async def test_a_page_is_not_from_before(event):
    world = a_world(event)
    client = await world.ask("/stream")
    await world.answer("Grip-Hold: stream", at(event), NEXT)
    other = await world.ask("/stream")
    await world.answer("Grip-Hold: stream", at(event), "Grip-Channel: other", NEXT)
    await world.publish("other", action=Action.HINT)
    await world.answer(FRESH, body="before")
    assert (client.ended, other.ended) == (False, True)
    world.asked()
    if event is loss:
        client.stall()
    await event(world)
    if event is loss:
        client.read_on(now=world.clock.now())
    assert await asked(world) == 1

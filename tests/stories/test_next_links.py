"""Next links: a stream that fetches what it missed, and goes on."""

from gripproxy.errors import ConnectError
from gripproxy.protocol.formats import Action
from tests.holdfakes import in_virtual_time
from tests.world import World

REFUSED = ConnectError("connection_refused", "refused")


HINT = {"action": Action.HINT, "id": "4", "prev_id": "3"}


def page(position):
    return (
        "Grip-Hold: stream",
        f"Grip-Channel: log; prev-id={position}",
        f"Grip-Link: </log?after={position}>; rel=next; timeout=60",
    )


async def log_at_three(world):
    client = await world.ask("/log")
    await world.answer(*page(3), body="1;2;3;")
    assert client.heard() == ["1;2;3;"]
    world.asked()
    return client


@in_virtual_time
async def test_a_gap_is_filled_from_the_next_link():
    world = World()
    client = await log_at_three(world)
    await world.publish("log", "4;", id="4", prev_id="3")
    await world.publish("log", "6;", id="6", prev_id="5", no_seq=True)  # 5 was lost
    assert client.heard() == ["4;"]

    await world.wait(0.1)
    assert world.asked() == ["GET origin:80/log?after=3, Grip-Last: log; last-id=4"]
    await world.publish("log", "7;", id="7", prev_id="6", no_seq=True)
    await world.answer(*page(6), body="5;6;")
    assert client.heard() == ["5;6;", "7;"], "nothing twice, nothing lost"


@in_virtual_time
async def test_pages_follow_each_other_until_one_holds():
    world = World()
    client = await world.ask("/log")
    await world.answer("Grip-Link: <?page=2>; rel=next", body="page 1;")
    await world.answer("Grip-Link: <?page=3>; rel=next", body="page 2;")
    await world.answer(*page(3), body="page 3;")
    assert world.asked() == [
        "GET origin:80/log",
        "GET origin:80/log?page=2",
        "GET origin:80/log?page=3",
    ]
    await world.publish("log", "4;", id="4", prev_id="3")
    assert client.heard() == ["page 1;", "page 2;", "page 3;", "4;"]


@in_virtual_time
async def test_the_last_page_ends_the_stream():
    world = World()
    client = await world.ask("/log")
    await world.answer("Grip-Link: <?page=2>; rel=next", body="page 1;")
    await world.answer(body="page 2;")
    assert client.heard() == ["page 1;", "page 2;", "END"]


@in_virtual_time
async def test_a_hint_fetches_the_next_link_at_once():
    world = World()
    await log_at_three(world)
    await world.publish("log", **HINT)
    assert world.asked() == ["GET origin:80/log?after=3, Grip-Last: log; last-id=4"]


@in_virtual_time
async def test_a_quiet_stream_looks_after_a_while():
    world = World()
    await log_at_three(world)
    await world.wait(30)
    await world.publish("log", "4;", id="4", prev_id="3")
    await world.wait(30.2)
    assert world.asked() == [], "it is not quiet: an item came"
    await world.wait(60)
    assert world.asked() == ["GET origin:80/log?after=3, Grip-Last: log; last-id=4"]


@in_virtual_time
async def test_an_origin_that_fails_is_asked_again_and_again_but_not_for_ever():
    world = World()
    client = await log_at_three(world)
    await world.publish("log", **HINT)
    for seconds in (1, 2, 4, 8, 16):
        await world.reply(REFUSED)
        assert world.asked()
        await world.wait(seconds - 0.1)
        assert not world.asked()
        await world.wait(0.1)
    assert client.heard() == []
    await world.reply(REFUSED)
    assert client.heard() == ["END"]


@in_virtual_time
async def test_nobody_waits_for_a_page_of_a_client_that_left():
    world = World()
    client = await log_at_three(world)
    await world.publish("log", **HINT)
    assert world.origin.in_flight == 1
    client.leave()
    await world.wait()
    assert world.origin.in_flight == 0
    assert client.over

"""Streams: a response that goes on for as long as its client stays."""

from gripproxy.protocol.formats import Action
from tests.holdfakes import FakeSource, in_virtual_time
from tests.world import World

TICKS = ("Content-Type: text/event-stream", "Grip-Hold: stream", "Grip-Channel: ticks")


@in_virtual_time
async def test_items_are_appended_to_the_body_until_one_closes_it():
    world = World()
    client = await world.ask("/ticks")
    await world.answer(*TICKS, "ETag: 1", body="hello;")
    assert list(client.begun.headers) == [
        (b"Content-Type", b"text/event-stream"),
        (b"ETag", b"1"),
    ]
    assert client.heard() == ["hello;"]

    await world.publish("ticks", "one;")
    await world.publish("ticks", "two;")
    assert client.heard() == ["one;", "two;"]

    await world.publish("ticks", action=Action.CLOSE)
    assert client.heard() == ["END"]
    await world.wait()
    assert client.over, "the connection serves its next request"


@in_virtual_time
async def test_nothing_is_lost_while_the_first_body_is_on_its_way():
    world = World()
    client = await world.ask("/ticks")
    body = FakeSource("the first ")
    await world.answer(*TICKS, body=body)
    await world.publish("ticks", "an item")
    body.piece("body;")
    assert client.heard() == ["the first ", "body;"]
    body.end()
    await world.wait()
    assert client.heard() == ["an item"]


@in_virtual_time
async def test_a_silent_stream_is_kept_alive():
    world = World()
    client = await world.ask("/ticks")
    await world.answer(*TICKS, r"Grip-Keep-Alive: :\n\n; format=cstring; timeout=20")
    await world.wait(15)
    await world.publish("ticks", "one;")
    await world.wait(19)
    assert client.heard() == ["one;"]
    await world.wait(1)
    assert client.heard() == [":\n\n"]


@in_virtual_time
async def test_a_client_that_reads_slowly_holds_up_nobody_else():
    world = World()
    slow, fast = await world.ask("/ticks"), await world.ask("/ticks")
    await world.answer(*TICKS)
    await world.answer(*TICKS)

    slow.stall()
    for number in range(105):
        await world.publish("ticks", f"{number};")
    assert len(fast.heard()) == 105
    assert slow.heard() == []
    slow.read_on()
    assert len(slow.heard()) == 100, "what waits is bounded, and the rest is lost"
    assert world.notices.drops == [("ticks", "slow")] * 5


@in_virtual_time
async def test_a_body_that_breaks_off_does_not_look_whole():
    world = World()
    client = await world.ask("/ticks")
    body = FakeSource("half a ")
    await world.answer(*TICKS, body=body)
    body.fail()
    await world.wait()
    assert client.heard() == ["half a "]
    assert client.was_cut

"""Publishing: one item, whoever holds its channel, in the order in which items belong."""

from tests.holdfakes import in_virtual_time
from tests.world import World, a_route, text_of

STREAM = ("Grip-Hold: stream", "Grip-Channel: c")


@in_virtual_time
async def test_an_item_reaches_all_kinds_of_holders():
    world = World()
    stream = await world.ask("/stream")
    await world.answer(*STREAM)
    poll = await world.ask("/poll")
    await world.answer("Grip-Hold: response", "Grip-Channel: c")
    await world.publish("c", "hello")
    assert stream.heard() == ["hello"]
    assert text_of(poll) == (200, "hello")


@in_virtual_time
async def test_items_arrive_in_the_order_of_their_ids():
    world = World()
    client = await world.ask("/stream")
    await world.answer(*STREAM)
    await world.publish("c", "1;", id="1")
    await world.publish("c", "3;", id="3", prev_id="2")
    assert client.heard() == ["1;"]
    await world.publish("c", "2;", id="2", prev_id="1")
    assert client.heard() == ["2;", "3;"]


@in_virtual_time
async def test_an_item_that_comes_twice_arrives_once():
    world = World()
    client = await world.ask("/stream")
    await world.answer(*STREAM)
    await world.publish("c", "1;", id="1")
    await world.publish("c", "1;", id="1")
    assert client.heard() == ["1;"]


@in_virtual_time
async def test_a_route_has_its_own_names_for_channels():
    world = World(a_route(prefix="shop-"))
    client = await world.ask("/stream")
    await world.answer(*STREAM)
    await world.publish("c", "for others")
    await world.publish("shop-c", "for us")
    assert client.heard() == ["for us"]


@in_virtual_time
async def test_what_was_published_before_the_subscription_was_known_is_asked_for():
    world = World(update_on_first=True)
    client = await world.ask("/poll")
    await world.answer("Grip-Hold: response", "Grip-Channel: c")
    world.asked()
    await world.wait(1.1)
    assert world.asked() == ["GET origin:80/poll"]
    await world.answer(body="it was published a moment ago")
    assert text_of(client) == (200, "it was published a moment ago")


@in_virtual_time
async def test_after_an_outage_of_a_publisher_all_ask_again():
    world = World()
    polls = [await world.ask("/poll") for _ in range(3)]
    for _ in polls:
        await world.answer("Grip-Hold: response", "Grip-Channel: c")
    world.asked()
    world.hub.recover(now=world.clock.now())
    await world.wait(0.1)
    assert world.asked() == ["GET origin:80/poll"] * 3

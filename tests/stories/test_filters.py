"""Filters: one channel, and what each holder gets of it."""

from tests.holdfakes import in_virtual_time
from tests.world import World, a_route


async def subscribe(world, *filters, meta=""):
    client = await world.ask("/stream")
    named = "".join(f"; filter={name}" for name in filters)
    lines = ["Grip-Hold: stream", f"Grip-Channel: c{named}"]
    await world.answer(*lines, *([f"Grip-Set-Meta: {meta}"] if meta else []))
    world.asked()
    return client


@in_virtual_time
async def test_a_sender_does_not_hear_itself():
    world = World()
    alice = await subscribe(world, "skip-self", meta="user=alice")
    bob = await subscribe(world, "skip-self", meta="user=bob")
    await world.publish("c", "hi", meta={"sender": "alice"})
    assert alice.heard() == []
    assert bob.heard() == ["hi"]


@in_virtual_time
async def test_a_content_speaks_to_its_holder():
    world = World()
    alice = await subscribe(world, "var-subst", meta="user=alice")
    await world.publish("c", "hello %(user)s")
    assert alice.heard() == ["hello alice"]


@in_virtual_time
async def test_events_get_ids_of_positions():
    world = World()
    client = await world.ask("/events")
    await world.answer(
        "Grip-Hold: stream",
        "Grip-Channel: c; prev-id=1; filter=build-id",
        'Grip-Set-Meta: id_format="%(c)s"',
        "Grip-Link: </more>; rel=next",
        body="retry: 5%%\n\n",
    )
    await world.publish("c", "id: %I\ndata: x\n\n", id="2", prev_id="1")
    assert client.heard() == ["retry: 5%\n\n", "id: 2\ndata: x\n\n"]


@in_virtual_time
async def test_an_application_decides_who_gets_an_item():
    world = World()
    alice = await subscribe(world, "http-check", meta='user=alice, url="/may"')
    await world.publish("c", "secret;", meta={"level": "5"})
    await world.publish("c", "later;")
    assert world.asked() == [
        'POST origin:80/may, Sub-Meta: {"url":"/may","user":"alice"}, Pub-Meta: {"level":"5"}'
    ]
    await world.answer("Action: drop")
    assert alice.heard() == [], "what comes later waits its turn"
    await world.wait(0.1)
    await world.answer()
    assert alice.heard() == ["later;"]


@in_virtual_time
async def test_an_application_changes_an_item_once_for_all_who_are_equal():
    world = World()
    clients = [await subscribe(world, "http-modify", meta='url="/translate"') for _ in range(3)]
    await world.publish("c", "hello")
    assert len(world.asked()) == 1
    await world.answer(body="hallo")
    assert [client.heard() for client in clients] == [["hallo"]] * 3


@in_virtual_time
async def test_a_filter_that_fails_costs_an_item_or_with_debug_the_stream():
    world = World()
    client = await subscribe(world, "var-subst")
    await world.publish("c", "hello %(nobody)s")
    await world.publish("c", "hello")
    assert client.heard() == ["hello"]

    debugged = World(a_route(debug=True))
    client = await subscribe(debugged, "var-subst")
    await debugged.publish("c", "hello %(nobody)s")
    error = "filter error: var-subst: No such variable 'nobody' at position 15"
    assert client.heard() == [f"\n\n{error}\n", "END"]

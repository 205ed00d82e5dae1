"""Streams that go on where their clients left off, and snapshots that go on with what followed."""

import pytest

from gripproxy.flow import resuming
from gripproxy.protocol.caching import demands
from gripproxy.protocol.formats import Action
from tests.fakes import fields
from tests.holdfakes import a_request, a_route, in_virtual_time
from tests.world import World

NEXT = "Grip-Link: </next>; rel=next"
SNAPSHOT = ("Grip-Hold: stream", NEXT, "Cache-Control: max-age=60")
RESUMES = "Grip-Channel: c; prev-id=5; resume=sse"
STAYS = "Grip-Channel: c; prev-id=5"


def left_off(target="/s", *lines):
    request = a_request(target, headers=fields(*lines))
    return resuming.position(request, demands.read(request))


# Where a client left off


def test_most_clients_do_not_say():
    assert left_off() is None
    assert left_off("/last_event_id=7?last_event_idx=7&last_event_id") is None


def test_a_field_says_it():
    assert left_off("/s?a=1", "Last-Event-ID: 7") == ("7", b"/s?a=1")


@pytest.mark.parametrize(
    ("target", "position", "rest"),
    [
        ("/s?last_event_id=7", "7", b"/s"),
        ("/s?a=1&last_event_id=7&b=2", "7", b"/s?a=1&b=2"),
        ("/s?last_event_id=a%3A7+8", "a:7 8", b"/s"),
        ("/s?last_event_id=", "", b"/s"),
    ],
)
def test_a_parameter_says_it_and_is_no_part_of_what_is_asked_for(target, position, rest):
    assert left_off(target) == (position, rest)


def test_the_field_counts_more():
    assert left_off("/s?last_event_id=7", "Last-Event-ID: 8") == ("8", b"/s?last_event_id=7")


# With a stored hold and the history


async def a_world(*lines, history=100, body="5;"):
    """A world in which a stream is stored that was at item 5, and one client has it."""
    world = World(a_route(cache=True), history=history)
    client = await world.ask("/s")
    await world.answer(*SNAPSHOT, *(lines or (RESUMES,)), body=body)
    assert client.heard() == [body]
    world.asked()
    return world


async def publish(world, *numbers):
    for number in numbers:
        await world.publish("c", f"{number};", id=f"{number}", prev_id=f"{number - 1}")


async def joins(world, *lines, target="/s"):
    """Return what a client gets that comes now, None if its request goes to the origin."""
    client = await world.ask(target, *lines)
    if world.asked():
        await world.answer(*SNAPSHOT, RESUMES, body="asked;")
        return None
    return client.heard()


@in_virtual_time
async def test_who_comes_later_gets_the_snapshot_and_what_followed():
    world = await a_world()
    assert await joins(world) == ["5;"]
    await publish(world, 6, 7)
    client = await world.ask("/s")
    assert client.heard() == ["5;", "6;", "7;"]
    await publish(world, 8)
    assert client.heard() == ["8;"]
    assert world.asked() == []


@in_virtual_time
async def test_items_of_several_channels_follow_in_the_order_of_their_release():
    world = await a_world(RESUMES, "Grip-Channel: d; prev-id=x")
    await publish(world, 6)
    await world.publish("d", "y;", id="y", prev_id="x")
    await publish(world, 7)
    assert await joins(world) == ["5;", "6;", "y;", "7;"]


@in_virtual_time
async def test_what_follows_passes_the_filters_of_the_hold():
    world = await a_world("Grip-Channel: c; prev-id=5; filter=var-subst", "Grip-Set-Meta: u=me")
    await world.publish("c", "for %(u)s", id="6", prev_id="5")
    assert await joins(world) == ["5;", "for me"]


@in_virtual_time
async def test_hints_count_in_what_follows():
    world = await a_world()
    await world.publish("c", action=Action.HINT, id="6", prev_id="5")
    assert len(world.asked()) == 1
    client = await world.ask("/s")
    assert client.heard() == ["5;"]
    assert world.asked() == []  # what is asked for on behalf of the hint is for this one, too
    await world.answer("Grip-Hold: stream", "Grip-Channel: c; prev-id=6", NEXT, body="page;")
    assert client.heard() == ["page;"]


@in_virtual_time
async def test_a_snapshot_that_nothing_leads_on_from_is_asked_for_anew():
    world = await a_world()
    await publish(world, 6)
    await world.publish("c", "8;", id="8")  # says nothing of what was before
    assert await joins(world) is None


@in_virtual_time
async def test_without_a_history_one_item_makes_a_snapshot_useless():
    world = await a_world(history=0)
    assert await joins(world) == ["5;"]
    await publish(world, 6)
    assert await joins(world) is None


@in_virtual_time
async def test_who_left_off_gets_only_what_followed():
    world = await a_world()
    assert await joins(world, "Last-Event-ID: 5") == []
    await publish(world, 6, 7)
    assert await joins(world, "Last-Event-ID: 6") == ["7;"]
    assert await joins(world, "Last-Event-ID: 7") == []
    assert await joins(world, target="/s?last_event_id=5") == ["6;", "7;"]


@in_virtual_time
async def test_who_left_off_before_the_snapshot_may_go_on_with_the_history():
    world = World(a_route(cache=True), history=100)
    await publish(world, 4, 5)
    await world.ask("/s")
    await world.answer(*SNAPSHOT, RESUMES, body="5;")
    world.asked()
    assert await joins(world, "Last-Event-ID: 3") == ["4;", "5;"]


@in_virtual_time
async def test_it_goes_on_when_all_had_left():
    world = await a_world()
    for hold in world.hub.holds():
        hold.gone(world.clock.now())
    assert "c" not in world.hub.channels
    await publish(world, 6, 7)
    assert await joins(world, "Last-Event-ID: 6") == ["7;"]
    assert await joins(world) == ["5;", "6;", "7;"]


@in_virtual_time
async def test_what_vary_says_of_the_position_does_not_count():
    world = await a_world(RESUMES, "Vary: Last-Event-ID, Accept-Language")
    await publish(world, 6)
    assert await joins(world, "Last-Event-ID: 5") == ["6;"]
    assert await joins(world, "Last-Event-ID: 5", "Accept-Language: de") is None


@in_virtual_time
async def test_how_old_the_snapshot_is_does_not_count():
    world = await a_world()
    await publish(world, 6)
    await world.wait(61)
    world.asked()
    assert await joins(world, "Last-Event-ID: 6") == []


@pytest.mark.parametrize("position", ["3", "nonsense", ""])
@in_virtual_time
async def test_a_position_that_nothing_leads_on_from_goes_to_the_origin(position):
    world = await a_world(RESUMES, "Vary: Last-Event-ID")
    await publish(world, 6)
    assert await joins(world, f"Last-Event-ID: {position}") is None


@in_virtual_time
async def test_a_channel_that_does_not_say_so_does_not_resume():
    world = await a_world(STAYS, "Vary: Last-Event-ID")
    assert await joins(world, "Last-Event-ID: 5") is None


@in_virtual_time
async def test_a_stream_of_two_channels_does_not_resume():
    world = await a_world(RESUMES, "Grip-Channel: d", "Vary: Last-Event-ID")
    assert await joins(world, "Last-Event-ID: 5") is None


@in_virtual_time
async def test_nothing_resumes_after_a_purge():
    world = await a_world(RESUMES, "Surrogate-Key: k", "Vary: Last-Event-ID")
    world.purge("k")
    assert await joins(world, "Last-Event-ID: 5") is None


@in_virtual_time
async def test_nothing_resumes_after_recover():
    world = await a_world(RESUMES, "Vary: Last-Event-ID")
    await publish(world, 6)
    world.hub.recover(now=world.clock.now())
    await world.wait(1)
    world.asked()
    await world.answer()
    assert await joins(world, "Last-Event-ID: 6") is None


@in_virtual_time
async def test_a_release_without_an_id_leaves_nothing_to_resume_from():
    world = await a_world(RESUMES, "Vary: Last-Event-ID")
    await world.publish("c", "x")
    world.asked()
    assert await joins(world, "Last-Event-ID: 5") is None


@in_virtual_time
async def test_conditions_and_heads_do_not_resume():
    world = await a_world(RESUMES, "Vary: Last-Event-ID")
    assert await joins(world, "Last-Event-ID: 5", 'If-None-Match: "x"') is None


@in_virtual_time
async def test_an_instruct_in_json_resumes_too():
    world = World(a_route(cache=True), history=100)
    body = (
        '{"hold": {"mode": "stream", "channels":'
        ' [{"name": "c", "prev-id": "5", "resume": "sse"}]}, "response": {"body": "5;"}}'
    )
    first = await world.ask("/s")
    lines = ("Content-Type: application/grip-instruct", NEXT, "Cache-Control: max-age=60")
    await world.answer(*lines, body=body)
    assert first.heard() == ["5;"]
    world.asked()
    await publish(world, 6)
    assert await joins(world, "Last-Event-ID: 5") == ["6;"]
    assert await joins(world) == ["5;", "6;"]


@in_virtual_time
async def test_more_than_a_queue_holds_is_replayed_to_its_end():
    world = await a_world(history=1000)
    await publish(world, *range(6, 400))
    client = await world.ask("/s")
    assert client.heard() == [f"{number};" for number in range(5, 400)]
    await publish(world, 400)
    assert client.heard() == ["400;"]


@in_virtual_time
async def test_a_slow_client_gets_what_is_replayed_and_then_what_came_meanwhile():
    world = await a_world(history=1000)
    await publish(world, *range(6, 300))
    client = await world.ask("/s")
    client.heard()
    client.blocked = True
    other = await world.ask("/s")
    other.heard()
    await publish(world, 300, 301)
    client.blocked = False
    client.held.writable(world.clock.now())
    assert client.heard() == ["300;", "301;"]
    assert world.notices.drops == []


# What a hold says of itself


@in_virtual_time
async def test_nobody_else_may_store_what_a_hold_answers():
    world = World(a_route(cache=True))
    client = await world.ask("/s")
    lines = ("CDN-Cache-Control: max-age=60", "Cache-Control: public", "Expires: 0", "Age: 1")
    await world.answer("Grip-Hold: stream", "Grip-Channel: c", "ETag: 1", *lines)
    head = dict(client.begun.headers)
    assert head.pop(b"Cache-Status") == b"gripproxy; fwd=uri-miss; stored"
    assert head == {b"ETag": b"1", b"Cache-Control": b"no-store"}


@in_virtual_time
async def test_an_item_may_say_that_it_can_be_stored():
    world = World(a_route(cache=True))
    client, other = await world.ask("/p"), await world.ask("/p")
    await world.answer("Grip-Hold: response", "Grip-Channel: c", "Cache-Control: max-age=9")
    assert world.asked()[1:] == []
    item = ((b"Cache-Control", b"max-age=1"),)
    await world.publish("c", "x", headers=item)
    for answered in (client, other):
        assert answered.finished.headers.get_all(b"cache-control") == [b"max-age=1"]


@in_virtual_time
async def test_on_other_routes_a_hold_says_what_its_origin_says():
    world = World()
    client = await world.ask("/s")
    await world.answer("Grip-Hold: stream", "Grip-Channel: c", "Cache-Control: public")
    assert dict(client.begun.headers) == {b"Cache-Control": b"public"}

"""Purges and items that cross requests on their way: each row of the table in the cache's design.

The number behind a test is the row. "Old" is what the origin was asked for before the purge or the
item. What crosses processes (12 to 15, 18) is in `tests/cluster` and `tests/wire`.
"""

import pytest

from gripproxy.errors import ConnectError
from gripproxy.protocol.formats import Action
from tests.holdfakes import FakeSource, a_route, in_virtual_time
from tests.world import World, a_response, text_of

FRESH = ("Cache-Control: max-age=60", "Surrogate-Key: k")
DOWN = ConnectError("connection_refused", "down")
POLL = (*FRESH, "Grip-Hold: response", "Grip-Timeout: 600")
STREAM = (*FRESH, "Grip-Hold: stream", "Grip-Link: </next>; rel=next; timeout=600")


def a_world(**options) -> World:
    return World(a_route(cache=True), **options)


async def stored(world, target="/r", *lines, body="old") -> None:
    """Have an answer stored."""
    await world.ask(target)
    await world.answer(*(lines or FRESH), body=body)
    world.asked()


# A flight and a purge


@in_virtual_time
async def test_a_purge_during_a_flight_is_for_those_who_come_after_it():  # 1
    world = a_world()
    one, two = await world.ask("/r"), await world.ask("/r")
    world.purge("k")
    late = await world.ask("/r")
    await world.answer(*FRESH, body="old")
    assert text_of(one) == text_of(two) == (200, "old")
    assert text_of(late) is None
    await world.answer(*FRESH, body="new")
    assert text_of(late) == (200, "new")
    assert len(world.asked()) == 2


@in_virtual_time
async def test_an_earlier_purge_counts_though_the_last_one_came_after_the_client():  # 2
    world = a_world()
    first = await world.ask("/r")
    world.purge("k")
    between = await world.ask("/r")
    world.purge("k")
    await world.answer(*FRESH, body="old")
    assert (text_of(first), text_of(between)) == ((200, "old"), None)
    await world.answer(*FRESH, body="new")
    assert text_of(between) == (200, "new")


@in_virtual_time
async def test_a_304_revives_nothing():  # 3
    world = a_world()
    await stored(world, "/r", *FRESH, 'ETag: "1"')
    await world.wait(61)
    before = await world.ask("/r")
    assert 'If-None-Match: "1"' in world.asked()[0]
    world.purge("k")
    after = await world.ask("/r")
    await world.answer(*FRESH, 'ETag: "1"', status=304)
    assert (text_of(before), text_of(after)) == ((200, "old"), None)
    (question,) = world.asked()
    assert "If-None-Match" not in question
    await world.answer(*FRESH, 'ETag: "2"', body="new")
    assert text_of(after) == text_of(await world.ask("/r")) == (200, "new")


@in_virtual_time
async def test_what_was_being_asked_for_in_the_background_is_not_stored():  # 4
    world = a_world()
    lines = ("Cache-Control: max-age=1, stale-while-revalidate=60", "Surrogate-Key: k")
    await stored(world, "/r", *lines)
    await world.wait(2)
    assert text_of(await world.ask("/r")) == (200, "old")
    world.purge("k")
    await world.answer(*lines, body="still old")
    client = await world.ask("/r")
    assert text_of(client) is None
    await world.answer(*lines, body="new")
    assert text_of(client) == (200, "new")


@in_virtual_time
async def test_an_error_is_not_answered_with_what_was_purged():  # 4
    world = a_world()
    await stored(world, "/r", "Cache-Control: max-age=1, stale-if-error=60", "Surrogate-Key: k")
    await world.wait(2)
    before = await world.ask("/r")
    world.purge("k")
    after = await world.ask("/r")
    await world.reply(DOWN)
    assert text_of(before)[0] == text_of(after)[0] == 502


@pytest.mark.parametrize(
    ("lines", "how"),
    [
        ((), {"method": b"HEAD"}),
        (("Range: bytes=0-0",), {}),
        (('If-None-Match: "1"',), {}),
        (("Accept: other",), {}),
        ((), {"scheme": b"https"}),
    ],
)
@pytest.mark.parametrize("purge", [{"keys": ("k",)}, {"urls": ("proxy/r",)}, {"everything": True}])
@in_virtual_time
async def test_no_way_to_ask_leads_around_a_purge(purge, lines, how):  # 5
    # Another `Grip-Last`, which no client can send: tests/flow/test_caching.py.
    world = a_world()
    for accepted in ("one", "other"):
        for scheme in (b"http", b"https"):
            await world.ask("/r", f"Accept: {accepted}", scheme=scheme)
            await world.answer(*FRESH, "Vary: Accept", 'ETag: "1"', body="old")
    world.asked()
    world.purge(*purge.get("keys", ()), **{k: v for k, v in purge.items() if k != "keys"})
    await world.ask("/r", *lines, **how)
    assert len(world.asked()) == 1


@in_virtual_time
async def test_a_flight_that_began_earlier_does_not_replace_what_was_asked_for_later():  # 6
    world = a_world()
    held = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c", body="hold")
    world.purge("k")
    early = await world.ask("/poll")
    world.asked()
    await world.publish("c", action=Action.HINT)
    assert len(world.asked()) == 1, "what it is told of is younger than the flight"

    world.origin._waiting.rotate(1)
    await world.answer(*FRESH, body="new")
    assert (text_of(held), text_of(early)) == ((200, "new"), None)
    await world.answer(*FRESH, body="old")
    assert text_of(early) == (200, "old")
    assert text_of(await world.ask("/poll")) == (200, "new")


# Coherent wake-ups


@in_virtual_time
async def test_who_is_told_of_a_change_gets_what_was_asked_for_after_it():  # 7
    world = a_world()
    held = [await world.ask("/poll") for _ in range(5)]
    await world.answer(*POLL, "Grip-Channel: c", body="hold")
    world.purge("k")
    bystander = await world.ask("/poll")
    await world.answer(*FRESH, body="between")
    assert text_of(bystander) == (200, "between")
    world.asked()

    await world.publish("c", action=Action.HINT)
    assert len(world.asked()) == 1, "they ask once, and are not answered from memory"
    await world.answer(*FRESH, body="new")
    assert [text_of(client) for client in held] == [(200, "new")] * 5


@in_virtual_time
async def test_without_a_purge_a_hint_leaves_others_what_is_fresh():  # 7
    world = a_world()
    held = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c", body="hold")
    world.purge("k")
    await world.ask("/poll")
    await world.answer(*FRESH, body="between")
    await world.publish("c", action=Action.HINT)
    assert text_of(await world.ask("/poll")) == (200, "between")
    assert text_of(held) is None


@in_virtual_time
async def test_after_recover_no_stored_hold_is_believed():  # 7
    world = a_world()
    client = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c; prev-id=5", body="old")
    world.asked()
    world.hub.recover(now=world.clock.now())
    await world.wait(1)
    assert len(world.asked()) == 1
    await world.answer(*POLL, "Grip-Channel: c; prev-id=6", body="new")
    assert client.held.default.body == b"new"
    world.asked()
    await world.ask("/poll")
    assert len(world.asked()) == 1


@in_virtual_time
async def test_a_hint_counts_for_one_that_waits_for_its_turn_to_ask():  # 7
    world = a_world()
    held = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c", body="hold")
    world.hub.recover(now=world.clock.now())
    await world.ask("/poll")
    await world.answer(*FRESH, body="between")
    await world.publish("c", action=Action.HINT)
    await world.wait(1)
    assert text_of(held) is None
    await world.answer(*FRESH, body="new")
    assert text_of(held) == (200, "new")


@in_virtual_time
async def test_the_update_of_a_first_subscription_asks_the_origin():  # 7
    world = a_world(update_on_first=True)
    client = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c; prev-id=5", body="old")
    world.asked()
    await world.wait(2)
    assert len(world.asked()) == 1
    await world.answer(*POLL, "Grip-Channel: c; prev-id=6", body="new")
    assert client.held.default.body == b"new"


# Stored holds


@in_virtual_time
async def test_a_stored_hold_is_for_all_until_there_is_an_item():
    world = a_world()
    await stored(world, "/poll", *POLL, "Grip-Channel: c; prev-id=5", body="at 5")
    clients = [await world.ask("/poll") for _ in range(10)]
    assert world.asked() == []
    await world.publish("c", "six", id="6", prev_id="5")
    assert [text_of(client) for client in clients] == [(200, "six")] * 10


@in_virtual_time
async def test_a_hold_without_ids_is_stored_until_the_next_item():  # 8
    world = a_world()
    first = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c", body="before")
    assert (await world.ask("/poll")).held.default.body == b"before"
    world.asked()

    await world.publish("c", "item")
    assert text_of(first) == (200, "item")
    joiner = await world.ask("/poll")
    assert len(world.asked()) == 1, "else it would have lost the item"
    await world.answer(*POLL, "Grip-Channel: c", body="after")
    assert joiner.held.default.body == b"after"


@in_virtual_time
async def test_who_joins_during_a_flight_does_not_lose_an_item_that_came_before_him():  # 8
    world = a_world()
    await world.ask("/poll")
    await world.publish("c", "item")
    joiner = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c", body="before")
    assert joiner.held is None
    await world.answer(*POLL, "Grip-Channel: c", body="after")
    assert joiner.held.default.body == b"after"


@in_virtual_time
async def test_a_stored_stream_goes_on_with_what_followed_it():  # 9
    world = a_world(history=10)
    first = await world.ask("/stream")
    await world.answer(*STREAM, "Grip-Channel: c; prev-id=5", body="at 5;")
    await world.publish("c", "6;", id="6", prev_id="5")
    await world.publish("c", "7;", id="7", prev_id="6")
    world.asked()
    joiners = [await world.ask("/stream") for _ in range(3)]
    await world.publish("c", "8;", id="8", prev_id="7")
    for client in (first, *joiners):
        assert client.heard() == ["at 5;", "6;", "7;", "8;"]
    assert world.asked() == []


@in_virtual_time
async def test_without_history_all_who_join_make_the_origin_asked_once():  # 9
    world = a_world()
    await world.ask("/stream")
    await world.answer(*STREAM, "Grip-Channel: c; prev-id=5", body="at 5;")
    await world.publish("c", "6;", id="6", prev_id="5")
    world.asked()
    joiners = [await world.ask("/stream") for _ in range(3)]
    assert len(world.asked()) == 1
    await world.answer(*STREAM, "Grip-Channel: c; prev-id=6", body="at 6;")
    assert [client.heard() for client in joiners] == [["at 6;"]] * 3
    await world.ask("/stream")
    await world.wait(60)
    assert world.asked() == [], "nor is it asked again and again"


@in_virtual_time
async def test_a_stored_hold_of_a_poll_is_no_good_after_another_item():  # 9
    world = a_world(history=10)
    await stored(world, "/poll", *POLL, "Grip-Channel: c; prev-id=5", body="at 5")
    await world.publish("c", "six", id="6", prev_id="5")
    joiner = await world.ask("/poll")
    assert len(world.asked()) == 1
    await world.answer(*POLL, "Grip-Channel: c; prev-id=6", body="at 6")
    assert joiner.held.default.body == b"at 6"


@in_virtual_time
async def test_an_answer_that_is_older_than_an_item_is_good_with_that_item_behind_it():  # 10
    world = a_world(history=10)
    first = await world.ask("/stream")
    await world.publish("c", "6;", id="6", prev_id="5")
    later = await world.ask("/stream")
    await world.answer(*STREAM, "Grip-Channel: c; prev-id=5", body="at 5;")
    assert first.heard() == later.heard() == ["at 5;", "6;"]
    assert len(world.asked()) == 1


@in_virtual_time
async def test_without_history_who_came_after_the_item_asks_again():  # 10
    world = a_world()
    await world.ask("/stream")
    await world.publish("c", "6;", id="6", prev_id="5")
    later = await world.ask("/stream")
    await world.answer(*STREAM, "Grip-Channel: c; prev-id=5", body="at 5;")
    assert later.heard() == []
    await world.answer(*STREAM, "Grip-Channel: c; prev-id=6", body="at 6;")
    assert later.heard() == ["at 6;"]


@in_virtual_time
async def test_an_origin_that_repeats_its_position_is_believed_the_second_time():  # 11
    world = a_world()
    first = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c; prev-id=5", body="at 5")
    await world.publish("c", "six", id="6", prev_id="5")
    assert text_of(first) == (200, "six")
    world.asked()

    client = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c; prev-id=5", body="at 5")
    assert len(world.asked()) == 2
    await world.answer(*POLL, "Grip-Channel: c; prev-id=5", body="at 5 again")
    assert client.held.default.body == b"at 5 again"
    assert world.asked() == []

    other = await world.ask("/poll")
    assert (other.held.default.body, world.asked()) == (b"at 5", []), "asked for after item 6"
    await world.publish("c", "seven", id="7", prev_id="6")
    world.asked()
    await world.ask("/poll")
    assert len(world.asked()) == 1


# Streams that go on

RESUMED = "Grip-Channel: c; prev-id=5; resume=sse"


@in_virtual_time
async def test_who_comes_back_gets_what_he_missed_and_no_body():
    world = a_world(history=10)
    first = await world.ask("/stream")
    await world.answer(*STREAM, RESUMED, body="at 5;")
    for number in (6, 7, 8):
        await world.publish("c", f"{number};", id=f"{number}", prev_id=f"{number - 1}")
    first.leave(world.clock.now())
    world.asked()

    back = [await world.ask("/stream", f"Last-Event-ID: {n}") for n in (5, 6, 8)]
    by_query = await world.ask("/stream?last_event_id=7")
    await world.publish("c", "9;", id="9", prev_id="8")
    assert [client.heard() for client in back] == [
        ["6;", "7;", "8;", "9;"],
        ["7;", "8;", "9;"],
        ["9;"],
    ]
    assert by_query.heard() == ["8;", "9;"]
    assert world.asked() == []


@in_virtual_time
async def test_who_comes_back_from_an_unknown_position_begins_anew():
    world = a_world(history=10)
    await stored(world, "/stream", *STREAM, RESUMED, body="at 5;")
    client = await world.ask("/stream", "Last-Event-ID: 3")
    assert (client.heard(), world.asked()) == (["at 5;"], [])


@in_virtual_time
async def test_nobody_goes_on_from_what_was_purged():
    world = a_world(history=10)
    await stored(world, "/stream", *STREAM, RESUMED, body="at 5;")
    world.purge("k")
    client = await world.ask("/stream", "Last-Event-ID: 5")
    assert len(world.asked()) == 1
    await world.answer(*STREAM, RESUMED, body="new;")
    assert client.heard() == ["new;"]


# What else there is in the table


@in_virtual_time
async def test_what_was_asked_for_while_a_purge_settles_is_relayed_and_not_stored():  # 16
    world = a_world()
    await stored(world)
    world.purge("k", settle=2.0)
    await world.wait(1.9)
    one, two = await world.ask("/r"), await world.ask("/r")
    assert len(world.asked()) == 1
    await world.wait(0.6)
    await world.answer(*FRESH, body="of a replica")
    assert text_of(one) == text_of(two) == (200, "of a replica")
    client = await world.ask("/r")
    await world.answer(*FRESH, body="new")
    assert text_of(client) == text_of(await world.ask("/r")) == (200, "new")


@in_virtual_time
async def test_after_a_soft_purge_stale_is_served_but_to_those_whom_its_item_wakes():  # 17
    world = a_world()
    lines = ("Cache-Control: max-age=60, stale-while-revalidate=60", "Surrogate-Key: k")
    held = await world.ask("/poll")
    await world.answer(*POLL, "Grip-Channel: c", body="hold")
    world.purge("k")
    await world.ask("/poll")
    await world.answer(*lines, body="old")
    world.asked()

    world.purge("k", soft=True)
    await world.publish("c", action=Action.HINT)
    assert text_of(held) is None
    assert len(world.asked()) == 1
    bystander = await world.ask("/poll")
    assert text_of(bystander) == (200, "old")
    assert world.asked() == [], "one flight is enough"
    await world.answer(*lines, body="new")
    assert text_of(held) == text_of(await world.ask("/poll")) == (200, "new")


@in_virtual_time
async def test_a_change_is_known_before_its_answer_goes_out():  # 18
    world = a_world()
    await stored(world)
    writer = await world.ask("/r", method=b"POST", body=b"x", length=1)
    await world.answer(body="done")
    assert text_of(writer) == (200, "done")
    world.asked()
    await world.ask("/r")
    assert len(world.asked()) == 1


@in_virtual_time
async def test_purges_of_what_nobody_has_cost_no_memory_while_an_origin_hangs(monkeypatch):  # 19
    monkeypatch.setattr("gripproxy.engine.marks.ORPHANS_MAX", 100)
    world = a_world()
    hanging = await world.ask("/r")
    for number in range(10_000):
        world.purge(f"nobody-{number}")
    assert len(world.store.marks) <= 100
    await world.answer(*FRESH, body="old")
    assert text_of(hanging) == (200, "old")
    assert len(world.store) == 0
    assert len(world.store.marks) == 0


@in_virtual_time
async def test_a_flight_outlives_the_client_who_began_it():  # 20
    world = a_world()
    first, second = await world.ask("/r"), await world.ask("/r")
    first.leave()
    await world.wait()
    await world.answer(*FRESH, body="whole")
    assert text_of(second) == text_of(await world.ask("/r")) == (200, "whole")
    assert len(world.asked()) == 1


@in_virtual_time
async def test_a_body_that_breaks_off_is_cut_for_all_and_not_stored():  # 20
    world = a_world()
    clients = [await world.ask("/r") for _ in range(3)]
    body = FakeSource("half")
    await world.reply(a_response(*FRESH, body=body))
    body.fail()
    await world.wait()
    assert [text_of(client) for client in clients] == [(200, "half")] * 3
    assert world.lines == ["GET http://proxy/r -> origin:80 error"] * 3
    assert len(world.store) == 0
    world.asked()
    await world.ask("/r")
    assert len(world.asked()) == 1


@pytest.mark.parametrize(
    ("lines", "how"),
    [(("X-Forwarded-Host: forged",), {}), ((), {"body": b"x", "length": 1})],
)
@in_virtual_time
async def test_who_asks_for_something_else_neither_gets_nor_leaves_what_is_stored(
    lines, how
):  # 21
    world = a_world()
    await stored(world)
    odd = await world.ask("/r", *lines, **how)
    await world.answer(*FRESH, body="odd")
    assert text_of(odd) == (200, "odd")
    assert text_of(await world.ask("/r")) == (200, "old")


@in_virtual_time
async def test_routes_and_origins_never_mix():  # 21
    world = World(a_route(cache=True), a_route(cache=True, path_beg=b"/b", id="b"))
    await stored(world, "/b")
    assert text_of(await world.ask("/b")) == (200, "old")
    world.flow.routes = type(world.flow.routes)((a_route(cache=True, id="other"),))
    world.cache.forget_routes()
    await world.ask("/b")
    assert len(world.asked()) == 1

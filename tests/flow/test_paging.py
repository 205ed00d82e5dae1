"""Next fetches: the rows of grip-http.md 8.2 and 8.3."""

import pytest

from gripproxy.errors import ConnectError, ExchangeError
from gripproxy.flow.paging import BLANK_PAGES_MAX
from gripproxy.protocol.formats import Action
from tests.fakes import fields
from tests.holdfakes import FakeSource, a_route, in_virtual_time
from tests.world import World

HOLD = ("Grip-Hold: stream", "Grip-Channel: c")
NEXT = "Grip-Link: </next>; rel=next"


async def stream(world, *lines, link=NEXT):
    """Begin a stream that has a next link."""
    client = await world.ask("/s")
    await world.answer(*HOLD, link, *lines)
    world.asked()
    client.heard()
    return client


async def fetching(world, *lines):
    """Begin a stream that is fetching its next link."""
    client = await stream(world, *lines)
    await world.publish("c", action=Action.HINT)
    assert len(world.asked()) == 1
    return client


# What counts of a page


@in_virtual_time
async def test_a_pages_status_and_fields_are_not_shown():
    world = World()
    client = await fetching(world)
    await world.answer(*HOLD, "X: 1", status=201, body="page")
    assert client.heard() == ["page"]
    assert client.begun.status == 200


@in_virtual_time
async def test_its_channels_replace_the_streams():
    world = World()
    client = await fetching(world)
    await world.answer("Grip-Hold: stream", "Grip-Channel: d", NEXT)
    await world.publish("c", "c")
    await world.publish("d", "d")
    assert client.heard() == ["d"]


@in_virtual_time
async def test_its_keep_alive_and_meta_replace_the_streams():
    world = World()
    client = await fetching(world)
    await world.answer(
        "Grip-Hold: stream",
        "Grip-Channel: c; filter=var-subst",
        "Grip-Set-Meta: user=alice",
        "Grip-Keep-Alive: k; timeout=10",
    )
    await world.publish("c", "%(user)s")
    await world.wait(10)
    assert client.heard() == ["alice", "k"]


@in_virtual_time
async def test_without_a_next_link_of_its_own_there_is_none():
    world = World()
    await fetching(world)
    await world.answer(*HOLD)
    await world.publish("c", action=Action.HINT)
    assert world.asked() == []


@in_virtual_time
async def test_a_link_is_relative_to_the_page():
    world = World()
    await fetching(world)
    await world.answer(*HOLD, "Grip-Link: <two?a=b>; rel=next")
    await world.publish("c", action=Action.HINT)
    assert world.asked() == ["GET origin:80/two?a=b"]


@in_virtual_time
async def test_the_url_of_a_filter_is_relative_to_the_page():
    world = World()
    client = await stream(world, link="Grip-Link: </pages/1>; rel=next")
    await world.publish("c", action=Action.HINT)
    world.asked()
    named = ("Grip-Channel: c; filter=http-check", "Grip-Set-Meta: url=may")
    await world.answer("Grip-Hold: stream", *named)
    await world.publish("c", "item")
    assert [line.partition(",")[0] for line in world.asked()] == ["POST origin:80/pages/may"]
    await world.answer()
    assert client.heard() == ["item"]


@in_virtual_time
async def test_what_came_while_a_page_was_fetched_is_not_sent_twice():
    world = World()
    client = await stream(world, "Grip-Channel: d; prev-id=1")
    await world.publish("c", action=Action.HINT)
    for number in (2, 3, 4):
        await world.publish("d", f"{number};", id=f"{number}", prev_id=f"{number - 1}")
    await world.answer(*HOLD, "Grip-Channel: d; prev-id=3", NEXT, body="1;2;3;")
    assert client.heard() == ["1;2;3;", "4;"]


@in_virtual_time
async def test_a_link_that_nobody_can_fetch_is_none():
    world = World()
    client = await world.ask("/s")
    await world.answer("Grip-Link: <ftp://h/>; rel=next", body="page;")
    assert client.heard() == ["page;", "END"]


@in_virtual_time
async def test_a_json_page_is_read():
    world = World()
    client = await fetching(world)
    body = '{"hold": {"mode": "stream", "channels": [{"name": "d"}]}, "response": {"body": "p"}}'
    await world.answer("Content-Type: application/grip-instruct", body=body)
    await world.publish("d", "d")
    assert client.heard() == ["p", "d"]


@pytest.mark.parametrize(("page", "heard"), [("page", ["page"]), ("", ["k"])])
@pytest.mark.parametrize("flows", [True, False])
@in_virtual_time
async def test_the_time_of_a_keep_alive_begins_anew_behind_a_page(page, heard, flows):
    world = World()
    keep = "Grip-Keep-Alive: k; timeout=10; mode=interval"
    client = await stream(world, keep)
    await world.wait(8)
    await world.publish("c", action=Action.HINT)
    body = FakeSource(*filter(None, [page]), whole=True) if flows else page
    await world.answer(*HOLD, keep, body=body)
    await world.wait(9)
    assert client.heard() == heard
    await world.wait(1)
    assert client.heard() == (["k"] if page else [])


@in_virtual_time
async def test_pages_lead_on_from_link_to_link():
    world = World()
    client = await fetching(world)
    await world.answer("Grip-Link: </2>; rel=next", body="1;")
    await world.answer("Grip-Link: <3>; rel=next", body="2;")
    await world.answer(body="3;")
    assert world.asked() == ["GET origin:80/2", "GET origin:80/3"]
    assert client.heard() == ["1;", "2;", "3;", "END"]


@in_virtual_time
async def test_a_page_passes_its_own_filters():
    world = World()
    client = await fetching(world)
    await world.answer(
        "Grip-Hold: stream",
        "Grip-Channel: c; filter=build-id",
        "Grip-Set-Meta: id_format=i",
        body="id: %(7)I, 5%",
    )
    assert client.heard() == ["id: 7, 5%"]
    assert world.notices.odd == ["build-id: Expected directive after '%' at position 12"]


@in_virtual_time
async def test_a_page_is_relayed_as_it_comes():
    world = World()
    client = await fetching(world, "Grip-Keep-Alive: k; timeout=10")
    body = FakeSource()
    await world.answer(*HOLD, body=body)
    await world.wait(10)
    assert client.heard() == ["k"], "nothing has come"
    body.piece("a")
    await world.wait(30)
    assert client.heard() == ["a"], "no keep-alive in the middle of a page"
    await world.publish("c", "item")
    body.end()
    await world.wait()
    assert client.heard() == ["item"]


@in_virtual_time
async def test_a_first_subscription_while_it_is_fetched_is_an_update_behind_it():
    world = World(update_on_first=True)
    await world.ask("/s")
    await world.answer(NEXT)
    world.asked()
    await world.answer(*HOLD, NEXT)
    await world.wait(1.2)
    assert world.asked() == ["GET origin:80/next"]


# What is wrong with a page


WRONG = [
    (("Grip-Hold: response",), "", "Next link returned non-stream hold."),
    (("Grip-Hold: wrong",), "", "Grip-Hold must be set to either 'response' or 'stream'"),
    (
        ("Content-Type: application/grip-instruct",),
        "",
        "failed to parse application/grip-instruct content as JSON",
    ),
    (
        ("Content-Type: application/grip-instruct",),
        "x" * 100_001,
        "GRIP instruct response too large from origin:80",
    ),
    (("Content-Encoding: br",), "", "unsupported Content-Encoding"),
    (
        ("Grip-Hold: stream", "Grip-Channel: c; prev-id=1"),
        "",
        "channel 'c' specifies prev-id, but no next link found",
    ),
    (
        ("Grip-Hold: stream", "Grip-Channel: c; filter=build-id"),
        "%I",
        "filter error: build-id: no sub meta 'id_format'",
    ),
]


@pytest.mark.parametrize(("lines", "body", "text"), WRONG)
@in_virtual_time
async def test_what_is_wrong_ends_the_stream(lines, body, text):
    world = World(a_route(debug=True))
    client = await fetching(world)
    await world.answer(*lines, body=body)
    assert client.heard() == [f"\n\n{text}\n", "END"]
    assert len(world.hub.channels) == 0


@in_virtual_time
async def test_without_debug_nothing_is_told():
    world = World()
    client = await fetching(world)
    await world.answer("Grip-Hold: response")
    assert client.heard() == ["END"]


@in_virtual_time
async def test_a_filter_that_fails_in_the_middle_ends_the_stream():
    world = World(a_route(debug=True))
    client = await fetching(world)
    body = FakeSource("page", "%X")
    await world.answer(
        "Grip-Hold: stream",
        "Grip-Channel: c; filter=build-id",
        "Grip-Set-Meta: id_format=i",
        body=body,
    )
    text = "filter error: build-id: Unknown directive 'X' at position 5"
    assert client.heard() == ["page", f"\n\n{text}\n", "END"]
    assert body.abandoned


# Failures


FAILURES = [
    ConnectError("connection_refused", "refused"),
    ExchangeError("http_response_incomplete", "broke off"),
    302,
    404,
    503,
]


@pytest.mark.parametrize("failure", FAILURES, ids=str)
@in_virtual_time
async def test_a_failure_is_tried_again_after_a_second(failure):
    world = World()
    client = await fetching(world)
    body = FakeSource()
    if isinstance(failure, int):
        await world.answer(status=failure, body=body)
        assert body.abandoned
    else:
        await world.reply(failure)
    await world.wait(1)
    assert world.asked() == ["GET origin:80/next"]
    await world.answer(*HOLD, body="page")
    assert client.heard() == ["page"]


@in_virtual_time
async def test_so_is_a_page_that_breaks_off_before_its_first_byte():
    world = World()
    client = await fetching(world)
    body = FakeSource()
    await world.answer(*HOLD, body=body)
    body.fail()
    await world.wait(1)
    await world.answer(*HOLD, body="page")
    assert client.heard() == ["page"]


@in_virtual_time
async def test_one_that_breaks_off_later_ends_the_stream():
    world = World(a_route(debug=True))
    client = await fetching(world)
    body = FakeSource("half")
    await world.answer(*HOLD, body=body)
    body.fail()
    await world.wait()
    assert client.heard() == ["half", "\n\nFailed to retrieve next link.\n", "END"]


@in_virtual_time
async def test_a_good_fetch_resets_the_count():
    world = World()
    client = await fetching(world)
    for _ in range(5):
        await world.answer(status=503)
        await world.wait(16)
    await world.answer(*HOLD, NEXT)
    await world.publish("c", action=Action.HINT)
    for _ in range(5):
        await world.answer(status=503)
        await world.wait(16)
    assert client.heard() == []
    await world.answer(status=503)
    assert client.heard() == ["END"]


@in_virtual_time
async def test_items_wait_for_a_page_that_fails():
    world = World()
    client = await fetching(world)
    await world.publish("c", "item")
    await world.answer(status=503)
    await world.wait(1)
    await world.answer(*HOLD)
    assert client.heard() == ["item"]


@in_virtual_time
async def test_each_fetch_has_a_line():
    world = World()
    await fetching(world)
    del world.lines[:]
    await world.reply(ConnectError("connection_refused", "refused"))
    await world.wait(1)
    await world.answer(status=503)
    await world.wait(2)
    body = FakeSource()
    await world.answer(*HOLD, body=body)
    body.fail()
    await world.wait(4)
    await world.answer(*HOLD, body=FakeSource("pa", "ge", whole=True))
    lines = ("error", "code=503 0", "error", "code=200 4")
    assert world.lines == [f"GET http://proxy/next {line}" for line in lines]


# Empty pages


@in_virtual_time
async def test_from_the_100th_empty_page_on_one_a_second_is_fetched():
    world = World()
    client = await world.ask("/s")
    await world.answer(NEXT)
    for _ in range(BLANK_PAGES_MAX):
        assert len(world.asked()) > 0
        await world.answer(NEXT)
    assert world.asked() == []
    await world.wait(1)
    assert len(world.asked()) == 1
    await world.answer(NEXT, body="something")
    assert len(world.asked()) == 1, "it was not empty"
    await world.answer()
    assert client.heard() == ["something", "END"]


@in_virtual_time
async def test_a_hold_in_between_makes_a_new_row_of_empty_pages():
    world = World()
    await world.ask("/s")
    await world.answer(NEXT)
    for _ in range(2):
        for _ in range(BLANK_PAGES_MAX - 1):
            assert len(world.asked()) > 0
            await world.answer(NEXT)
        await world.answer(*HOLD, NEXT)
        world.asked()
        await world.publish("c", action=Action.HINT)
    assert len(world.asked()) == 1


# The client


@in_virtual_time
async def test_a_page_waits_until_the_client_takes_data():
    world = World()
    client = await world.ask("/s")
    client.stall()
    await world.answer(NEXT, body="page 1;")
    assert world.asked() == ["GET origin:80/s"]
    client.read_on()
    await world.wait()
    assert world.asked() == ["GET origin:80/next"]


@in_virtual_time
async def test_a_client_that_leaves_in_the_middle_of_a_page_ends_it():
    world = World()
    client = await fetching(world)
    body = FakeSource("half")
    await world.answer(*HOLD, body=body)
    client.leave()
    await world.wait()
    assert body.abandoned
    assert client.over
    assert not world.hub.holds()


@in_virtual_time
async def test_a_client_that_leaves_between_two_tries_ends_them():
    world = World()
    client = await fetching(world)
    await world.answer(status=503)
    client.leave()
    await world.wait(60)
    assert world.asked() == []
    assert client.over


@in_virtual_time
async def test_a_drain_ends_a_fetch_but_not_a_page_under_way():
    world = World()
    waiting = await stream(world)
    reading = await stream(world, link="Grip-Link: </other>; rel=next")
    await world.publish("c", action=Action.HINT)
    await world.reply(ConnectError("connection_refused", "refused"))
    body = FakeSource("half")
    await world.answer(*HOLD, body=body)
    for hold in world.hub.holds():
        hold.drain(world.clock.now())
    await world.wait()
    assert waiting.heard() == ["END"]
    assert waiting.over
    assert reading.heard() == ["half"]
    body.piece(" a page")
    body.end()
    await world.wait()
    assert reading.heard() == [" a page", "END"]
    assert reading.over


# Channels


@in_virtual_time
async def test_targets_may_add_channels_and_routes_a_prefix():
    world = World(a_route(prefix="p-", subs=("s", "p-c")))
    client = await world.ask("/s")
    await world.answer("Grip-Hold: stream", "Grip-Channel: c; prev-id=1", NEXT)
    await world.publish("s", "s;")
    await world.publish("p-c", "c;", id="2", prev_id="1")
    assert client.heard() == ["s;", "c;"]
    await world.publish("p-c", action=Action.HINT, id="3", prev_id="2")
    assert world.asked()[1:] == ["GET origin:80/next, Grip-Last: c; last-id=3"]


@in_virtual_time
async def test_only_the_first_20_entries_count():
    world = World()
    names = ", ".join(f"c{number}" for number in range(21))
    await world.ask("/s")
    await world.answer("Grip-Hold: stream", f"Grip-Channel: {names}")
    assert "c19" in world.hub.channels
    assert "c20" not in world.hub.channels


@in_virtual_time
async def test_of_equal_names_the_last_one_counts():
    world = World()
    client = await world.ask("/s")
    await world.answer("Grip-Hold: stream", "Grip-Channel: c; prev-id=1, c")
    await world.publish("c", "x")
    assert client.heard() == ["x"]


@in_virtual_time
async def test_fields_of_the_client_are_not_for_links():
    world = World()
    client = await world.ask("/s", "Cookie: a", "Authorization: b")
    await world.answer(*HOLD, NEXT)
    await world.publish("c", action=Action.HINT)
    assert client.request.headers == fields("Cookie: a", "Authorization: b")
    assert world.asked()[1:] == ["GET origin:80/next"]

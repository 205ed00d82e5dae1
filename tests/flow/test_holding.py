"""From an instruct to the last byte of a held request."""

import gzip

import pytest

from gripproxy.errors import ClientGoneError, ConnectError, ExchangeError
from gripproxy.flow.bodies import KEPT_MAX
from gripproxy.protocol.formats import Action
from tests.holdfakes import FakeSource, a_route, in_virtual_time
from tests.world import World, text_of

POLL = ("Grip-Hold: response", "Grip-Channel: c")
STREAM = ("Grip-Hold: stream", "Grip-Channel: c")
GONE = "Grip-Link: </gone>; rel=gone"
GENERIC = "Error while proxying to origin.\n"


async def poll(world, *lines, target="/poll", default="", **request):
    client = await world.ask(target, **request)
    await world.answer(*(lines or POLL), body=default)
    world.asked()
    return client


# No hold


@in_virtual_time
async def test_an_instruct_without_a_hold_is_answered():
    world = World()
    client = await world.ask("/")
    await world.answer("Grip-Channel: c", "X-A: a", body=FakeSource("pl", "ain", whole=True))
    assert text_of(client) == (200, "plain")
    assert list(client.answered.headers) == [(b"X-A", b"a")]
    assert client.answered.length == 5
    assert world.lines == ["GET http://proxy/ -> origin:80 code=200 0"]


@in_virtual_time
async def test_its_body_passes_filters():
    world = World()
    client = await world.ask("/")
    await world.answer(
        "Grip-Channel: c; filter=build-id", "Grip-Set-Meta: id_format=i", body="%(5)I 50%"
    )
    assert text_of(client) == (200, "5 50%")
    assert client.answered.length == 5
    assert world.notices.odd == ["build-id: Expected directive after '%' at position 8"]


# What is wrong


WRONG = [
    (("Grip-Hold: x",), "", "Grip-Hold must be set to either 'response' or 'stream'"),
    (("Grip-Hold: stream", "Content-Encoding: br"), "", "unsupported Content-Encoding"),
    (
        ("Grip-Hold: stream", "Grip-Channel: c; filter=build-id"),
        "x",
        "filter error: build-id: no sub meta 'id_format'",
    ),
]


@pytest.mark.parametrize(("lines", "body", "text"), WRONG)
@pytest.mark.parametrize("streamed", [False, True])
@in_virtual_time
async def test_what_is_wrong_is_answered_before_the_head(lines, body, text, streamed):
    world = World()
    client, debugged = await world.ask("/"), World(a_route(debug=True))
    told = await debugged.ask("/")
    bodies = [FakeSource(body) if streamed else body for _ in range(2)]
    await world.answer(*lines, body=bodies[0])
    await debugged.answer(*lines, body=bodies[1])
    assert text_of(client) == (502, GENERIC)
    assert text_of(told) == (502, f"Failed to parse accept instructions: {text}\n")
    assert all(body.abandoned for body in bodies if streamed)


@pytest.mark.parametrize(
    ("debug", "text"),
    [(False, GENERIC), (True, "GRIP instruct response too large from origin:80\n")],
)
@in_virtual_time
async def test_an_instruct_that_is_too_large_is_refused(debug, text):
    world = World(a_route(debug=debug))
    client = await world.ask("/")
    await world.answer(*POLL, body="x" * (KEPT_MAX + 1))
    assert text_of(client) == (502, text)


@in_virtual_time
async def test_an_instruct_that_breaks_off_is_none():
    world = World(a_route(debug=True))
    client, body = await world.ask("/"), FakeSource("half")
    await world.answer(*POLL, body=body)
    assert text_of(client) is None
    body.fail()
    await world.wait()
    assert text_of(client) == (502, GENERIC)


# The client's body


@in_virtual_time
async def test_a_clients_body_is_read_whole_before_it_is_held():
    world, body = World(), FakeSource("pay")
    client = await world.ask("/", method=b"POST", body=body, length=None)
    await world.answer(*POLL, body="nothing")
    assert world.hub.holds() == []
    body.piece("load")
    body.end()
    await world.wait()
    assert len(world.hub.holds()) == 1
    assert client.request.body == b"payload"
    assert client.request.length == 7


@in_virtual_time
async def test_one_that_is_too_large_cannot_be_held():
    world, body = World(), FakeSource("x" * (KEPT_MAX + 1), whole=True)
    client = await world.ask("/", method=b"POST", body=body, length=None)
    await world.answer(*POLL)
    assert text_of(client) == (400, "Request too large to accept GRIP instruct.\n")
    client = await world.ask("/", method=b"POST", body=b"x" * (KEPT_MAX + 1), length=KEPT_MAX + 1)
    await world.answer(*POLL)
    assert text_of(client) == (400, "Request too large to accept GRIP instruct.\n")


@in_virtual_time
async def test_a_client_that_leaves_in_the_middle_of_its_body_is_nobody_to_answer():
    world, body = World(), FakeSource("half")
    client = await world.ask("/", method=b"POST", body=body, length=None)
    await world.answer(*POLL)
    body.receiver.body_failed(ClientGoneError())
    await world.wait()
    assert text_of(client) is None
    assert client.was_cut
    assert world.lines == ["POST http://proxy/ -> origin:80 error"]


# Response holds


@in_virtual_time
async def test_a_hold_has_its_lines():
    world = World()
    await poll(world)
    assert world.lines == [
        "GET http://proxy/poll -> origin:80 accept",
        "subscribe http://proxy/poll channel=c",
    ]


@in_virtual_time
async def test_a_client_that_left_before_it_began_is_not_subscribed():
    world = World()
    client = await world.ask("/poll")
    client.half_closed = True
    await world.answer(*POLL, "Grip-Link: </gone>; rel=gone")
    assert client.over
    assert world.notices.first == []
    assert world.asked()[1:] == ["POST origin:80/gone"]


@in_virtual_time
async def test_a_client_that_leaves_before_the_origin_answers_is_held_nowhere():
    world = World()
    client = await world.ask("/poll")
    client.leave()
    await world.wait()
    assert world.origin.in_flight == 0
    assert client.over


@in_virtual_time
async def test_a_client_that_missed_something_is_not_held():
    world = World()
    await poll(world)
    await world.publish("c", "x", id="2", prev_id="1")
    await world.ask("/poll")
    await world.answer("Grip-Hold: response", "Grip-Channel: c; prev-id=1")
    assert world.asked()[1:] == ["GET origin:80/poll, Grip-Last: c; last-id=1"]
    assert world.hub.holds() == []


@in_virtual_time
async def test_a_retry_is_counted():
    world = World()
    routes = []

    class Watch:
        retried = staticmethod(routes.append)

    world.holder.watch = Watch()
    await poll(world)
    await world.publish("c", action=Action.HINT)
    assert [route.id for route in routes] == ["r"]


@in_virtual_time
async def test_a_retry_is_the_clients_request_again():
    world = World()
    client = await poll(world, target="/poll?a=b", method=b"POST", body=b"payload", length=7)
    await world.publish("c", action=Action.HINT)
    ((request, _),) = world.origin.requests
    assert (request.method, request.target, request.body) == (b"POST", b"/poll?a=b", b"payload")
    await world.answer("X: 1", body="answer")
    assert text_of(client) == (200, "answer")
    assert world.lines[-1] == "POST http://proxy/poll?a=b -> origin:80 code=200 0 retry"


@in_virtual_time
async def test_a_retry_may_be_held_again_with_a_fresh_timeout():
    world = World()
    client = await poll(world, *POLL, "Grip-Timeout: 30", default="first")
    await world.wait(20)
    await world.publish("c", action=Action.HINT)
    await world.answer(*POLL, "Grip-Timeout: 30", body="second")
    await world.wait(29)
    assert text_of(client) is None
    await world.wait(1)
    assert text_of(client) == (200, "second")
    assert world.lines[-1] == "subscribe http://proxy/poll channel=c retry"


@in_virtual_time
async def test_a_retry_may_become_a_stream():
    world = World()
    client = await poll(world)
    await world.publish("c", action=Action.HINT)
    await world.answer(*STREAM, body="hello;")
    await world.publish("c", "item;")
    assert client.heard() == ["hello;", "item;"]


@in_virtual_time
async def test_a_retry_may_be_relayed_as_it_comes():
    world = World()
    client, body = await poll(world), FakeSource("a")
    await world.publish("c", action=Action.HINT)
    await world.answer(status=503, body=body)
    body.piece("b")
    body.end()
    await world.wait()
    assert text_of(client) == (503, "ab")
    assert body.abandoned, "it is let go of when it is over"


@in_virtual_time
async def test_a_relayed_retry_that_breaks_off_says_so():
    world = World()
    client, body = await poll(world), FakeSource("a")
    await world.publish("c", action=Action.HINT)
    await world.answer(body=body)
    body.fail()
    await world.wait()
    assert client.over
    assert world.lines[-1] == "GET http://proxy/poll -> origin:80 error"


@pytest.mark.parametrize(
    ("debug", "text"), [(False, GENERIC), (True, "Unable to connect to any targets.")]
)
@in_virtual_time
async def test_a_retry_whose_origin_is_down_is_an_error(debug, text):
    world = World(a_route(debug=debug))
    client = await poll(world)
    await world.publish("c", action=Action.HINT)
    await world.reply(ConnectError("connection_refused", "refused"))
    status, body = text_of(client)
    assert (status, body[: len(text)]) == (502, text)


@in_virtual_time
async def test_a_retry_whose_route_is_gone_is_an_error():
    world = World()
    client = await poll(world, *POLL, GONE)
    world.flow.routes = type(world.flow.routes)(())
    await world.publish("c", action=Action.HINT)
    assert text_of(client) == (502, "Route not found\n")
    assert world.asked() == ["POST origin:80/gone"]


@in_virtual_time
async def test_a_retry_takes_the_route_as_it_is_now():
    world = World(a_route(prefix="old-"))
    client = await poll(world)
    world.flow.routes = type(world.flow.routes)((a_route(prefix="new-"),))
    await world.publish("old-c", action=Action.HINT)
    await world.answer(*POLL)
    await world.publish("old-c", "lost")
    await world.publish("new-c", "item")
    assert text_of(client) == (200, "item")


@pytest.mark.parametrize("cache", [False, True])
@in_virtual_time
async def test_only_what_is_stored_of_a_hold_is_not_for_other_caches(cache):
    world = World(a_route(cache=cache))
    client = await poll(world, *POLL, "Cache-Control: max-age=5", "Set-Cookie: a=b")
    plain = await world.ask("/plain")
    await world.answer("Grip-Channel: c", "Cache-Control: max-age=5")
    await world.publish("c", "item")
    told = [one.headers.get(b"cache-control") for one in (client.finished, plain.answered)]
    assert told == [b"no-store" if cache else b"max-age=5", b"max-age=5"]
    assert client.finished.headers.get(b"set-cookie") == b"a=b"


@in_virtual_time
async def test_positions_of_earlier_retries_stay():
    world = World()
    await poll(world, "Grip-Hold: response", "Grip-Channel: a; prev-id=1, b; prev-id=1")
    await world.publish("a", action=Action.HINT, id="2", prev_id="1")
    assert world.asked() == [
        "GET origin:80/poll, Grip-Last: a; last-id=2, Grip-Last: b; last-id=1"
    ]
    await world.answer("Grip-Hold: response", "Grip-Channel: b; prev-id=5")
    await world.publish("b", action=Action.HINT, id="6", prev_id="5")
    assert world.asked() == [
        "GET origin:80/poll, Grip-Last: a; last-id=2, Grip-Last: b; last-id=6"
    ]


@in_virtual_time
async def test_a_request_is_sent_again_ten_times_a_second_at_most():
    world = World()
    client = await poll(world)
    for _ in range(10):
        await world.publish("c", action=Action.HINT)
        assert len(world.asked()) == 1
        await world.answer(*POLL)
    await world.publish("c", action=Action.HINT)
    await world.wait(0.9)
    assert world.asked() == []
    await world.wait(0.1)
    assert len(world.asked()) == 1
    await world.answer(*POLL)
    await world.wait(1)
    await world.publish("c", action=Action.HINT)
    assert len(world.asked()) == 1, "the second is over"
    client.leave()


# Streams


@pytest.mark.parametrize(
    ("control", "vary", "waiting"),
    [("max-age=60", "Accept", 0), ("max-age=60", "Cookie", 50), ("private", "Accept", 50)],
)
@in_virtual_time
async def test_polls_that_a_cache_makes_one_of_ask_again_together(control, vary, waiting):
    world = World(a_route(cache=True))
    told = (*POLL, f"Cache-Control: public, {control}", f"Vary: {vary}", "Grip-Expose-Headers: X")
    for number in range(150):
        await world.ask("/poll", f"Cookie: user={number}")
        if world.asked():
            await world.answer(*told)
    world.hub.recover(now=world.clock.now())
    assert world.hub.statistics().waiting_updates == 150
    await world.wait(0.1)
    assert world.hub.statistics().waiting_updates == waiting


@in_virtual_time
async def test_a_stream_has_its_lines_when_its_first_body_is_out():
    world, body = World(), FakeSource()
    await world.ask("/s")
    await world.answer(*STREAM, body=body)
    assert world.lines == []
    body.end()
    await world.wait()
    assert world.lines == [
        "GET http://proxy/s -> origin:80 accept",
        "subscribe http://proxy/s channel=c",
    ]


@in_virtual_time
async def test_a_stream_without_a_body_by_its_nature_is_over():
    world, body = World(), FakeSource("x")
    client = await world.ask("/s", method=b"HEAD")
    world.asked()
    await world.answer(*STREAM, GONE, body=body)
    assert client.over
    assert body.abandoned
    assert world.notices.first == []
    assert world.asked() == ["POST origin:80/gone"]
    assert world.lines == ["HEAD http://proxy/s -> origin:80 code=200 0"]


@in_virtual_time
async def test_a_stream_to_an_old_client_ends_with_the_connection():
    world = World()
    client = await world.ask("/s", version=0)
    await world.answer(*STREAM, body="a")
    await world.publish("c", "b")
    await world.publish("c", action=Action.CLOSE)
    assert client.heard() == ["ab", "END"]


@in_virtual_time
async def test_a_client_that_left_before_the_stream_began_gets_its_head_only():
    world, body = World(), FakeSource("x")
    client = await world.ask("/s")
    client.half_closed = True
    await world.answer(*STREAM, body=body)
    assert client.over
    assert body.abandoned
    assert world.notices.first == []


@in_virtual_time
async def test_a_client_that_leaves_in_the_middle_of_the_first_body_ends_it():
    world, body = World(), FakeSource("x")
    client = await world.ask("/s")
    await world.answer(*STREAM, body=body)
    client.leave()
    await world.wait()
    assert client.over
    assert world.hub.holds() == []
    assert world.lines == ["GET http://proxy/s -> origin:80 error"]


@in_virtual_time
async def test_a_drain_lets_the_first_body_be_finished():
    world, body = World(), FakeSource("half")
    client = await world.ask("/s")
    await world.answer(*STREAM, body=body)
    world.hub.holds()[0].drain(world.clock.now())
    assert client.heard() == ["half"]
    body.end()
    await world.wait()
    assert client.heard() == ["END"]
    assert client.over


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("size", [KEPT_MAX + 1, 20 * KEPT_MAX])
@in_virtual_time
async def test_a_first_body_that_is_here_may_be_as_large(coding, size):
    world = World()
    client = await world.ask("/stream")
    body = b"x" * size
    packed = gzip.compress(body) if coding == "gzip" else body
    await world.answer(*STREAM, f"Content-Encoding: {coding}", body=packed)
    assert "".join(client.heard()) == body.decode()
    await world.publish("c", "one")
    assert client.heard() == ["one"]


@in_virtual_time
async def test_a_first_body_passes_filters_as_it_comes():
    world = World(a_route(debug=True))
    client, body = await world.ask("/s"), FakeSource("%(5)", "I;")
    await world.answer(
        "Grip-Hold: stream",
        "Grip-Channel: c; filter=build-id",
        "Grip-Set-Meta: id_format=i",
        body=body,
    )
    assert client.heard() == ["5;"]
    body.piece("%X")
    await world.wait()
    text = "filter error: build-id: Unknown directive 'X' at position 7"
    assert client.heard() == [f"\n\n{text}\n", "END"]
    assert not client.was_cut
    assert client.over


@in_virtual_time
async def test_a_first_body_that_is_here_passes_filters():
    world = World()
    client = await world.ask("/s")
    named = ("Grip-Channel: c; filter=build-id", "Grip-Set-Meta: id_format=i")
    await world.answer("Grip-Hold: stream", *named, body="%(5)I;")
    assert client.heard() == ["5;"]


@in_virtual_time
async def test_a_position_without_a_next_link_is_an_error_behind_the_body():
    world = World(a_route(debug=True))
    client, body = await world.ask("/s"), FakeSource("body;", whole=True)
    await world.answer("Grip-Hold: stream", "Grip-Channel: c; prev-id=1", body=body)
    text = "channel 'c' specifies prev-id, but no next link found"
    assert client.heard() == ["body;", f"\n\n{text}\n", "END"]
    assert world.notices.first == []


@in_virtual_time
async def test_a_stream_that_missed_something_fetches_its_next_link_soon():
    world = World()
    await poll(world)
    await world.publish("c", "x", id="2", prev_id="1")
    await world.ask("/s")
    await world.answer(
        "Grip-Hold: stream", "Grip-Channel: c; prev-id=1", "Grip-Link: <n>; rel=next"
    )
    assert world.asked() == ["GET origin:80/s"]
    await world.wait(0.1)
    assert world.asked() == ["GET origin:80/n, Grip-Last: c; last-id=1"]


@in_virtual_time
async def test_without_a_hold_the_next_link_is_fetched_at_once():
    world = World()
    client = await world.ask("/s")
    await world.answer("Grip-Link: <n>; rel=next", "Grip-Channel: c", body="a;")
    assert world.asked() == ["GET origin:80/s", "GET origin:80/n"]
    assert world.notices.first == [], "it does not hold"
    assert client.heard() == ["a;"]


@in_virtual_time
async def test_a_next_link_that_leads_nowhere_is_none():
    world = World()
    client = await world.ask("/s")
    await world.answer("Grip-Link: <ftp://h/>; rel=next", body="a;")
    assert client.heard() == ["a;", "END"]


@in_virtual_time
async def test_a_json_stream_is_read_whole():
    world = World()
    client = await world.ask("/s")
    body = '{"hold": {"mode": "stream", "channels": [{"name": "c"}]}, "response": {"body": "b;"}}'
    await world.answer("Content-Type: application/grip-instruct", body=body)
    await world.publish("c", "item;")
    assert client.heard() == ["b;", "item;"]


# Pages of other sites


@in_virtual_time
async def test_answers_and_streams_are_dressed():
    world = World(a_route(aco=True))
    polled = await world.ask("/poll", "Origin: http://page")
    await world.answer(*POLL)
    streamed = await world.ask("/s", "Origin: http://page")
    await world.answer(*STREAM)
    refused = await world.ask("/", "Origin: http://page")
    await world.answer("Grip-Hold: x")
    plain = await world.ask("/", "Origin: http://page")
    await world.answer("Grip-Channel: c")
    await world.publish("c", "item")
    responses = [polled.finished, streamed.begun, refused.answered, plain.answered]
    assert [r.headers.get(b"access-control-allow-origin") for r in responses] == [
        b"http://page"
    ] * 4


# The gone link


async def answered(world, client):
    await world.publish("c", "x")


async def timed_out(world, client):
    await world.wait(60)


async def left(world, client):
    client.leave()
    await world.wait()


@pytest.mark.parametrize("end", [answered, timed_out, left])
@in_virtual_time
async def test_an_origin_learns_that_a_long_poll_is_over(end):
    world = World()
    client = await poll(world, *POLL, GONE)
    await end(world, client)
    assert world.asked() == ["POST origin:80/gone"]
    await world.answer(status=204)
    assert world.lines[-1] == "POST http://proxy/gone code=204 0"


async def closed(world, client):
    await world.publish("c", action=Action.CLOSE)


@pytest.mark.parametrize("end", [closed, left])
@in_virtual_time
async def test_an_origin_learns_that_a_stream_is_over(end):
    world = World()
    client = await poll(world, *STREAM, GONE)
    await end(world, client)
    assert world.asked() == ["POST origin:80/gone"]
    await world.answer(body=FakeSource())
    assert world.asked() == [], "once"


@in_virtual_time
async def test_it_learns_of_an_answer_without_a_hold():
    world = World()
    await poll(world, GONE)
    assert world.origin.in_flight == 1


@in_virtual_time
async def test_neither_is_a_retry_of_one_that_was_not_held():
    world = World()
    await poll(world)
    await world.publish("c", "x", id="5")
    client = await poll(world, *POLL, "Grip-Channel: c; prev-id=1", GONE)
    await world.wait()
    await world.answer(body="answer")
    assert text_of(client) == (200, "answer")
    assert world.asked() == ["POST origin:80/gone"]


@in_virtual_time
async def test_a_retry_is_no_end_but_its_answer_is():
    world = World()
    await poll(world, *POLL, GONE)
    await world.publish("c", action=Action.HINT)
    assert world.asked() == ["GET origin:80/poll"]
    await world.answer(body="answer")
    assert world.asked() == ["POST origin:80/gone"]


@in_virtual_time
async def test_a_client_may_leave_while_the_origin_is_asked_again():
    world = World()
    client = await poll(world, *POLL, GONE)
    await world.publish("c", action=Action.HINT)
    client.leave()
    await world.wait()
    assert world.asked() == ["GET origin:80/poll", "POST origin:80/gone"]


@in_virtual_time
async def test_the_gone_link_of_a_page_does_not_count():
    world = World()
    await poll(world, *STREAM, GONE, "Grip-Link: </next>; rel=next")
    await world.publish("c", action=Action.HINT)
    await world.answer(*STREAM, "Grip-Link: </other>; rel=gone")
    await world.publish("c", action=Action.CLOSE)
    assert world.asked() == ["GET origin:80/next", "POST origin:80/gone"]


@in_virtual_time
async def test_the_one_of_a_retrys_answer_does():
    world = World()
    await poll(world, *POLL, GONE)
    await world.publish("c", action=Action.HINT)
    await world.answer(*POLL, "Grip-Link: </other>; rel=gone")
    await world.publish("c", "x")
    assert world.asked()[1:] == ["POST origin:80/other"]


@in_virtual_time
async def test_what_a_gone_link_answers_is_not_read():
    world, body = World(), FakeSource("never ending")
    client = await poll(world, *POLL, GONE)
    await left(world, client)
    await world.answer(body=body)
    assert body.abandoned
    assert not world.tasks.running


@in_virtual_time
async def test_a_gone_link_that_fails_is_not_called_again():
    world = World()
    await poll(world, GONE)
    world.asked()
    await world.reply(ExchangeError("http_response_incomplete", "broke off"))
    await world.wait(60)
    assert world.asked() == []
    assert world.tasks.names == ["gone link"]


@in_virtual_time
async def test_a_hold_that_is_woken_for_nothing_goes_on():
    world = World()
    client = await poll(world, *STREAM)
    client.wake(0)
    await world.wait()
    await world.publish("c", "item")
    assert client.heard() == ["item"]

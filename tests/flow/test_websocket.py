"""A WebSocket relayed to an origin that speaks WebSocket itself."""

import asyncio

import pytest

from gripproxy.engine.sockets import Sessions, State
from gripproxy.errors import ConnectError, ExchangeError, FrameError
from gripproxy.flow.access import Access, Settings
from gripproxy.flow.opening import Handshake, Opener
from gripproxy.flow.websocket import Relay
from gripproxy.protocol.formats import Action, WebSocketMessage
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.wsframes import BINARY, CONTINUATION, PING, PONG, TEXT
from gripproxy.protocol.wshandshake import Agreed, Grip
from tests.fakes import (
    FakeClock,
    FakeExchange,
    FakeOrigin,
    FakeOriginSocket,
    fields,
    make_hub,
    settle,
)

SUBSCRIBE = 'c:{"type": "subscribe", "channel": "c"}'
DETACH = 'c:{"type": "detach"}'


class Play:
    """A client, a relay and an origin."""

    def __init__(self, *, grip=b"m:", trusted=False, target=None, **route):
        self.clock = FakeClock()
        self.hub = make_hub()
        self.sessions = Sessions(self.hub)
        self.asked = FakeOrigin()
        self.lines = []
        access = Access(self.lines.append, Settings())
        opener = Opener(self.sessions, clock=self.clock, access=access, make_id=lambda: "cid")
        self.relay = Relay(self.asked, opener)
        self.target = Target(kind="tcp", host="o", port=1, **(target or {}))
        self.route = Route(targets=(self.target,), domain="*", id="r", **route)
        request = Request(method=b"GET", target=b"/a", headers=Headers(), authority=b"h")
        request.websocket = True
        self.exchange = FakeExchange(request)
        self.client = self.exchange.client
        self.handshake = Handshake(
            exchange=self.exchange, request=request, route=self.route, trusted=trusted
        )
        response = Response(
            status=101,
            reason=b"Go On",
            headers=fields(
                "X-R: r",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Accept: x",
                "Sec-WebSocket-Extensions: grip; a=b",
                "Sec-WebSocket-Protocol: p2",
            ),
        )
        said = None if grip is None else Grip(grip, b"grip; a=b")
        self.origin = FakeOriginSocket(response, Agreed(said, None))
        self.refusal = None
        self.task = None

    async def begin(self, outcome):
        self.asked.scripted.append(outcome)

        async def serve(exchange):
            self.refusal = await self.relay.open(self.handshake, self.target)

        self.task = asyncio.get_running_loop().create_task(self.exchange.run(serve))
        await settle()
        return self

    async def open(self):
        return await self.begin(self.origin)

    @property
    def session(self):
        return self.sessions.find("cid")

    def publish(self, action, **more):
        message = WebSocketMessage(action, **more)
        self.hub.publish(PublishItem("c", ws_message=message), now=self.clock.now())

    def at(self, seconds):
        self.hub.due(self.clock.advance(seconds))

    async def is_over(self):
        """Whether nothing is left of the WebSocket."""
        await asyncio.wait_for(self.task, 1)
        return not len(self.sessions) and not len(self.hub.deadlines)


# Opening


async def test_the_client_gets_the_origins_101():
    play = await Play().open()
    upgraded = play.exchange.upgraded
    assert (upgraded.status, upgraded.reason) == (101, b"Go On")
    assert list(upgraded.headers) == [(b"X-R", b"r"), (b"Sec-WebSocket-Protocol", b"p2")]
    assert play.client.whole is False


async def test_a_trusted_client_gets_the_raw_answer_and_raw_messages():
    play = await Play(trusted=True).open()
    extensions = play.exchange.upgraded.headers.get(b"sec-websocket-extensions")
    assert extensions == b"grip; a=b"
    play.origin.text("c:{}")
    assert play.client.heard() == [("text", "c:{}")]


async def test_on_a_no_grip_route_everything_is_raw():
    play = await Play(trusted=True, no_grip=True).open()
    assert not play.exchange.upgraded.headers.has(b"sec-websocket-extensions")
    play.origin.text("c:{}")
    assert play.client.heard() == [("text", "c:{}")]


async def test_an_origin_without_grip_has_no_controls():
    play = await Play(grip=None).open()
    play.origin.text("c:{}")
    assert play.client.heard() == [("text", "c:{}")]


async def test_channels_of_the_target_are_subscribed():
    play = await Play(grip=None, target={"subs": ("c",)}).open()
    play.publish(Action.SEND, content=b"p")
    assert play.client.heard() == [("text", "p")]


async def test_the_target_may_have_a_host_of_its_own():
    play = await Play(target={"host_field": b"Inner"}).open()
    assert play.asked.requests[0][0].authority == b"inner"


async def test_frames_that_came_before_the_101_go_on():
    play = Play()
    play.client.text("early")
    await play.open()
    assert play.origin.heard() == [("text", "early")]


async def test_a_refusal_is_relayed_without_the_fields_of_a_handshake():
    lines = ("X-A: b", "Upgrade: x", "Connection: Upgrade", "Sec-WebSocket-Accept: x")
    refused = Response(status=403, reason=b"No", headers=fields(*lines), body=b"no")
    play = await Play().begin(refused)
    assert play.refusal is refused
    assert list(refused.headers) == [(b"X-A", b"b")]
    assert await play.is_over()


@pytest.mark.parametrize("error", [ConnectError, ExchangeError])
async def test_failures_are_left_to_whoever_asked(error):
    play = await Play().begin(error("kind", "text"))
    with pytest.raises(error):
        await play.task


# Frames


@pytest.mark.parametrize(
    ("opcode", "heard"), [(TEXT, "text"), (BINARY, "binary"), (PING, "ping"), (PONG, "pong")]
)
async def test_frames_of_the_client_go_to_the_origin(opcode, heard):
    play = await Play().open()
    play.client.says(opcode, "m:hi")
    assert play.origin.heard() == [(heard, "m:hi")]


async def test_messages_of_the_origin_lose_their_prefix():
    play = await Play().open()
    play.origin.text("m:hi")
    play.origin.text("no")
    play.origin.says(PING, "p")
    assert play.client.heard() == [("text", "hi"), ("ping", "p")]


async def test_pieces_go_across_as_they_come():
    play = await Play().open()
    play.client.says(TEXT, "a", fin=False)
    assert play.origin.heard() == [("text+", "a")]
    play.origin.says(TEXT, "m:b", fin=False)
    assert play.client.heard() == [("text+", "b")]
    play.client.says(CONTINUATION, "c")
    play.origin.says(CONTINUATION, "d")
    assert play.origin.heard() == [("+text", "c")]
    assert play.client.heard() == [("+text", "d")]


async def test_controls_are_obeyed_and_logged():
    play = await Play().open()
    play.origin.text(SUBSCRIBE)
    play.publish(Action.SEND, content=b"p")
    assert play.client.heard() == [("text", "p")]
    assert play.lines == ["subscribe ws://h/a channel=c"]


async def test_a_refresh_does_nothing():
    play = await Play().open()
    play.origin.text(SUBSCRIBE)
    play.publish(Action.REFRESH)
    await settle()
    assert play.origin.heard() == []
    assert not play.exchange.over


# Flow


async def test_an_origin_that_takes_nothing_stops_the_clients_reading():
    play = await Play().open()
    play.client.text("1")
    play.origin.stalls()
    assert play.client.transport.reading
    play.client.text("2")
    assert not play.client.transport.reading
    play.origin.reads_on()
    assert play.client.transport.reading
    assert play.origin.heard() == [("text", "1"), ("text", "2")]


async def test_a_client_that_takes_nothing_stops_the_origins_reading():
    play = await Play().open()
    play.client.stalls()
    play.origin.text("m:1")
    assert not play.origin.transport.reading
    play.client.reads_on()
    assert play.origin.transport.reading
    assert play.client.heard() == [("text", "1")]


# Closing (3.4, 9.1)


async def test_a_close_of_the_client_goes_across_and_so_does_its_answer():
    play = await Play().open()
    play.client.closes(4000, "why")
    assert play.origin.heard() == [("close", 4000, "why")]
    assert play.client.heard() == []
    play.origin.closes(4001, "ok")
    assert play.client.heard() == [("close", 4001, "ok")]
    assert play.client.transport.closed
    assert play.origin.transport.closed
    assert await play.is_over()


async def test_a_close_of_the_origin_goes_across_and_so_does_its_answer():
    play = await Play().open()
    play.origin.closes(4000, "why")
    assert play.client.heard() == [("close", 4000, "why")]
    play.client.text("still")
    play.client.closes(4000)
    assert play.origin.heard() == [("text", "still"), ("close", 4000, "")]
    assert play.client.transport.closed
    assert play.origin.transport.closed
    assert await play.is_over()


async def test_a_close_without_code_is_a_normal_one_on_the_other_side():
    play = await Play().open()
    play.client.closes(None)
    play.origin.closes(None)
    assert play.origin.heard() == [("close", 1000, "")]
    assert play.client.heard() == [("close", 1000, "")]


async def test_a_close_that_the_origin_does_not_answer_ends_after_ten_seconds():
    play = await Play().open()
    play.client.closes(4000)
    play.at(10)
    assert play.client.heard() == [("close", 4000, "")]
    assert play.origin.transport.closed
    assert await play.is_over()


async def test_a_close_that_the_client_does_not_answer_ends_after_ten_seconds():
    play = await Play().open()
    play.origin.closes(1000)
    play.at(10)
    assert play.client.transport.closed
    assert play.origin.transport.closed
    assert await play.is_over()


async def test_a_client_that_vanishes_is_a_dropped_connection():
    play = await Play().open()
    play.client.vanishes()
    assert play.origin.heard() == []
    assert play.origin.transport.closed
    assert await play.is_over()


@pytest.mark.parametrize("code", [1002, 1012])
async def test_a_client_that_is_failed_goes_away(code):
    play = await Play().open()
    play.client.violated(FrameError(code, ""), play.clock.now())
    assert play.client.heard() == [("close", code, "")]
    assert play.origin.heard() == [("close", 1001, "")]
    assert play.origin.transport.closed
    assert await play.is_over()


async def test_a_client_that_takes_nothing_is_named_in_the_log(caplog):
    play = await Play().open()
    play.client.violated(FrameError(1008, "slow consumer"), play.clock.now())
    assert "route r: websocket cid: slow consumer" in caplog.text


async def test_an_origin_that_vanishes_is_a_failure_for_the_client():
    play = await Play().open()
    play.origin.vanishes()
    assert play.client.heard() == [("close", 1011, "")]
    assert await play.is_over()


async def test_a_violation_of_the_origin_is_a_failure_for_the_client(caplog):
    play = await Play().open()
    play.origin.received(b"\x81\x81abcdx", play.clock.now())
    assert play.origin.heard() == [("close", 1002, "")]
    assert play.client.heard() == [("close", 1011, "")]
    assert "route r: websocket cid: origin failed with 1002: masked frame" in caplog.text
    assert await play.is_over()


async def test_an_origin_that_vanishes_after_its_close_leaves_the_client_its_answer():
    play = await Play().open()
    play.origin.closes(4000)
    play.origin.vanishes()
    assert play.client.heard() == [("close", 4000, "")]
    play.client.closes(4000)
    assert await play.is_over()


async def test_a_published_close_goes_to_both():
    play = await Play().open()
    play.origin.text(SUBSCRIBE)
    play.publish(Action.CLOSE, code=4002)
    assert play.client.heard() == [("close", 4002, "")]
    assert play.origin.heard() == [("close", 1000, "")]
    play.client.closes(4002)
    assert await play.is_over()


async def test_a_detached_client_stays_without_its_origin():
    play = await Play().open()
    play.origin.text(SUBSCRIBE)
    play.origin.text(DETACH)
    assert play.origin.heard() == [("close", 1000, "")]
    play.origin.closes(1000)
    assert play.origin.transport.closed
    play.publish(Action.SEND, content=b"p")
    play.client.text("thrown away")
    assert play.client.heard() == [("text", "p")]
    assert play.session.state is State.DETACHED
    play.client.closes(4000)
    assert play.client.heard() == [("close", 4000, "")]
    assert await play.is_over()


async def test_an_origin_that_does_not_answer_a_detach_is_dropped_after_ten_seconds():
    play = await Play().open()
    play.origin.text(DETACH)
    play.at(9)
    assert not play.origin.transport.closed
    play.at(1)
    assert play.origin.transport.closed
    assert play.session.state is State.DETACHED
    play.client.vanishes()
    assert await play.is_over()


async def test_a_client_that_left_before_the_101_is_over_at_once():
    play = Play()
    play.exchange.gone = True
    await play.open()
    assert play.origin.transport.closed
    assert await play.is_over()


async def test_no_wake_has_anything_to_do():
    play = await Play().open()
    play.exchange.wake(4)
    await settle()
    assert not play.exchange.over


async def test_it_says_what_it_is():
    play = await Play().open()
    assert repr(play.session.outside) == "<Relayed cid>"

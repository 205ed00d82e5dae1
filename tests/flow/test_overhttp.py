"""A WebSocket carried to its origin as HTTP requests."""

import asyncio

import pytest

from gripproxy.engine.sockets import Sessions
from gripproxy.errors import (
    ClientGoneError,
    ConnectError,
    ExchangeError,
    FrameError,
    OriginTimeoutError,
    RequestError,
)
from gripproxy.flow.access import Access
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.opening import Handshake, Opener
from gripproxy.flow.overhttp import READ_AHEAD_MAX, RESPONSE_MAX, Carrier
from gripproxy.protocol.formats import Action, WebSocketMessage
from gripproxy.protocol.forwarding import Forwarder, Settings
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.signing import Signer
from gripproxy.protocol.wsframes import BINARY, CONTINUATION, PING, PONG, TEXT
from tests.fakes import (
    FakeClock,
    FakeExchange,
    FakeNotices,
    FakeOrigin,
    fields,
    fields_of,
    make_hub,
    settle,
)

REFUSED = ConnectError("connection_refused", "o:1: connection refused")
CID = "096d8c3d-63a7-4fe6-b295-c1b09a1c3276"
GRIP = "Sec-WebSocket-Extensions: grip"


def event(name, content=None):
    """Write one event."""
    if content is None:
        return f"{name}\r\n"
    return f"{name} {len(content):x}\r\n{content}\r\n"


def events(*written, status=200, lines=(), kind="application/websocket-events"):
    """Make a response of events."""
    body = "".join(event(*((one,) if isinstance(one, str) else one)) for one in written)
    body = body.encode("latin-1")
    return Response(
        status=status,
        reason=b"OK",
        headers=fields(f"Content-Type: {kind}", *lines),
        body=body,
        length=len(body),
    )


class Play:
    """A client, a carrier and an origin. The client has asked for a WebSocket."""

    def __init__(self, *, request_lines=(), trusted=False, target=None, signer=None, **route):
        self.clock = FakeClock()
        self.notices = FakeNotices()
        self.hub = make_hub(self.notices)
        self.origin = FakeOrigin()
        self.lines = []
        self.slept = []
        self.wakes = asyncio.Event()
        sessions = Sessions(self.hub)
        access = Access(self.lines.append, AccessSettings())
        opener = Opener(sessions, clock=self.clock, access=access, make_id=lambda: CID)
        self.sessions = sessions
        forwarder = Forwarder(Settings(sig_iss="i", signer=signer))
        self.invalidated = []
        self.carrier = Carrier(
            self.origin, forwarder, opener, sleep=self._sleep, invalidate=self._invalidate
        )
        self.target = Target(kind="tcp", host="o", port=1, over_http=True, **(target or {}))
        self.route = Route(targets=(self.target,), domain="*", id="r", **route)
        request = Request(
            method=b"GET",
            target=b"/chat?x=1",
            authority=b"h",
            headers=fields(
                "Host: h",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: XpKpQABsW8Bc4cn51ja3SQ==",
                *request_lines,
            ),
            websocket=True,
        )
        self.exchange = FakeExchange(request)
        self.client = self.exchange.client
        asked = forwarder.to_origin(request, self.route, wall=self.clock.wall(), trusted=trusted)
        self.handshake = Handshake(
            exchange=self.exchange, request=asked, route=self.route, trusted=trusted
        )
        self.refusal = None
        self.task = None

    async def _invalidate(self, names):
        assert self.client.heard() == [], "before the client is told"
        self.invalidated += sorted(names)

    async def _sleep(self, seconds):
        self.slept.append(seconds)
        await self.wakes.wait()

    async def begin(self):
        """Let the story begin; it waits for the answer to OPEN."""

        async def serve(exchange):
            self.refusal = await self.carrier.open(self.handshake, self.target)

        self.task = asyncio.get_running_loop().create_task(self.exchange.run(serve))
        await settle()
        return self

    async def open(self, *written, lines=(GRIP,)):
        """Let the origin accept."""
        await self.begin()
        self.origin.answer(events("OPEN", *written, lines=lines))
        await settle()
        self.posted()
        return self

    def posted(self):
        """Return the bodies posted since the last time."""
        found, self.origin.requests = self.origin.requests, []
        self.last = found[-1][0] if found else None
        return [request.body.decode("latin-1") for request, _ in found]

    async def answers(self, *written, **how):
        """Let the origin answer with events, or with something else."""
        if len(written) == 1 and isinstance(written[0], Exception | Response):
            self.origin.answer(written[0])
        else:
            self.origin.answer(events(*written, **how))
        await settle()

    async def at(self, seconds):
        """Let time pass."""
        self.hub.due(self.clock.advance(seconds))
        await settle()

    def publish(self, action, **more):
        message = WebSocketMessage(action, **more)
        self.hub.publish(PublishItem("c", ws_message=message), now=self.clock.now())

    @property
    def session(self):
        return self.sessions.find(CID)

    def is_over(self):
        """Whether nothing is left of the WebSocket."""
        return self.exchange.over and not len(self.sessions) and not len(self.hub.deadlines)

    async def end(self):
        """Fail on an exception of the story."""
        await asyncio.wait_for(self.task, 1)


NORMAL = "\x03\xe8"  # 1000 as a close has it
SUBSCRIBE = ("TEXT", 'c:{"type": "subscribe", "channel": "c"}')


# Opening (1.2, 4.1, 4.4)


async def test_the_origin_is_asked_with_open():
    play = await Play(request_lines=("Cookie: c=1",)).begin()
    assert play.posted() == ["OPEN\r\n"]
    request = play.last
    assert request.method == b"POST"
    assert request.target == b"/chat?x=1"
    assert request.over_http
    assert fields_of(request) == [
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "XpKpQABsW8Bc4cn51ja3SQ=="),
        ("Cookie", "c=1"),
        ("Grip-Feature", dict(fields_of(request))["Grip-Feature"]),
        ("Via", "1.1 gripproxy"),
        ("Sec-WebSocket-Extensions", "grip"),
        ("Accept", "application/websocket-events"),
        ("Connection-Id", CID),
        ("Content-Type", "application/websocket-events"),
    ]


async def test_a_client_cannot_say_what_the_proxy_says():
    lines = ("Accept: x", "Connection-Id: x", "Content-Type: x", "Meta-User: x", "Upgrade: y")
    play = await Play(request_lines=lines).begin()
    play.posted()
    assert "x" not in [value for _, value in fields_of(play.last)]


async def test_the_target_may_have_a_host_of_its_own():
    play = await Play(target={"host_field": b"Inner:81"}).begin()
    play.posted()
    assert play.last.authority == b"inner:81"


async def test_an_accepting_answer_opens_the_websocket():
    play = await Play().begin()
    await play.answers(
        "OPEN",
        ("TEXT", "m:hello"),
        lines=(
            "X-R: r",
            "Set-Meta-User: u",
            "Keep-Alive-Interval: 0",
            "Content-Bytes-Accepted: 0",
            "Sec-WebSocket-Protocol: p",
            "Connection: close",
            GRIP,
        ),
    )
    upgraded = play.exchange.upgraded
    assert (upgraded.status, upgraded.reason) == (101, b"Switching Protocols")
    assert list(upgraded.headers) == [(b"X-R", b"r"), (b"Sec-WebSocket-Protocol", b"p")]
    assert play.client.heard() == [("text", "hello")]
    assert play.client.whole


@pytest.mark.parametrize("kind", ["Application/WebSocket-Events; charset=utf-8"])
async def test_the_media_type_has_any_case_and_parameters(kind):
    play = await Play().begin()
    await play.answers("OPEN", kind=kind)
    assert play.exchange.upgraded is not None


async def test_frames_that_came_before_are_posted_next():
    play = await Play().begin()
    play.client.text("early")
    await play.answers("OPEN")
    assert play.posted() == ["OPEN\r\n", event("TEXT", "early")]


async def test_without_grip_everything_is_data():
    play = await Play().open(("TEXT", "c:x"), lines=())
    assert play.client.heard() == [("text", "c:x")]


async def test_a_no_grip_route_offers_and_reads_none():
    play = await Play(no_grip=True).open(("TEXT", "c:x"))
    assert play.client.heard() == [("text", "c:x")]
    play.client.text("hi")
    await settle()
    play.posted()
    names = [name for name, _ in fields_of(play.last)]
    assert "Grip-Feature" not in names
    assert "Sec-WebSocket-Extensions" not in names


async def test_a_trusted_client_gets_the_raw_answer():
    play = await Play(trusted=True, request_lines=("Grip-Sig: theirs",)).begin()
    assert dict(fields_of(play.origin.requests[0][0]))["Grip-Sig"] == "theirs"
    await play.answers("OPEN", ("TEXT", "c:x"), lines=("Sec-WebSocket-Extensions: grip; a=b",))
    assert play.exchange.upgraded.headers.get(b"sec-websocket-extensions") == b"grip; a=b"
    assert play.client.heard() == [("text", "c:x")]


async def test_channels_of_the_target_are_subscribed():
    play = await Play(target={"subs": ("c",)}).open(lines=())
    play.publish(Action.SEND, content=b"hi")
    assert play.client.heard() == [("text", "hi")]
    assert play.lines == ["subscribe ws://h/chat?x=1 channel=c"]


@pytest.mark.parametrize(
    "response",
    [
        events("OPEN", status=404),
        events("OPEN", kind="text/plain"),
        Response(status=200, reason=b"OK", headers=Headers()),
    ],
)
async def test_anything_else_is_a_refusal(response):
    play = await Play().begin()
    await play.answers(response)
    await play.end()
    assert play.refusal is response
    assert play.is_over()


async def test_a_refusal_keeps_the_fields_that_are_not_the_handshakes():
    play = await Play().begin()
    lines = ("Set-Meta-A: b", "Sec-WebSocket-Accept: x", GRIP, "Connection: X-Y", "X-Y: z")
    await play.answers(events(status=403, lines=lines))
    assert [name for name, _ in play.refusal.headers] == [b"Content-Type", b"Set-Meta-A"]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (events(), "neither events nor a keep-alive interval"),
        (events(("TEXT", "m:x")), "the first event is not OPEN"),
        (
            Response(
                status=200,
                reason=b"OK",
                headers=fields("Content-Type: application/websocket-events"),
                body=b"OPEN\r\nTEXT 5\r\nhi",
            ),
            "event content is cut short",
        ),
        (events("OPEN", lines=("Content-Bytes-Accepted: 1",)), "origin accepted more"),
        (events(("TEXT", "x" * RESPONSE_MAX)), "response too large"),
    ],
)
async def test_a_bad_answer_to_open_is_an_error(response, text):
    play = await Play().begin()
    await play.answers(response)
    with pytest.raises(ExchangeError, match=text):
        await play.end()


async def test_an_origin_that_is_not_reached_is_left_to_the_next_target():
    play = await Play().begin()
    await play.answers(REFUSED)
    with pytest.raises(ConnectError):
        await play.end()


async def test_an_empty_answer_with_an_interval_is_asked_again_later():
    play = await Play().begin()
    await play.answers(lines=("Keep-Alive-Interval: 30",))
    assert play.slept == [30]
    assert not play.exchange.shielded
    play.wakes.set()
    await settle()
    assert play.exchange.shielded
    assert play.posted() == ["OPEN\r\n", "OPEN\r\n"]
    await play.answers("OPEN")
    assert play.exchange.upgraded is not None


async def test_a_client_that_leaves_an_unopened_websocket_is_forgotten():
    play = await Play().begin()
    play.exchange.gone = True
    await play.answers(lines=("Keep-Alive-Interval: 30",))
    with pytest.raises(ClientGoneError):
        await play.end()
    assert play.slept == []


async def test_while_open_is_in_flight_the_story_outlives_its_client():
    play = await Play().begin()
    assert play.exchange.shielded
    await play.answers("OPEN")
    assert not play.exchange.shielded


# Requests (4.1, 4.3)


async def test_every_request_repeats_the_fields():
    play = await Play(request_lines=("Cookie: c=1",)).begin()
    first = fields_of(play.origin.requests[0][0])
    await play.answers("OPEN", lines=(GRIP,))
    play.client.text("hi")
    await settle()
    play.posted()
    assert fields_of(play.last) == first


async def test_what_a_route_adds_is_kept_once_for_all():
    first, second = Play(), Play(request_lines=("Cookie: a",))
    requests = [(await play.begin()).origin.requests[0][0] for play in (first, second)]
    assert requests[0].prefix.count(b"Grip-Feature") == 1
    assert requests[1].prefix.count(b"Cookie") == 1


async def test_requests_are_signed_anew():
    play = await Play(signer=Signer("i", KeySource("text", b"secret" * 6))).open()
    signatures = []
    for _ in range(2):
        play.client.text("hi")
        await settle()
        play.posted()
        signatures += [value for name, value in fields_of(play.last) if name == "Grip-Sig"]
        await play.answers()
        play.clock.advance(60)
    assert len(signatures) == 2
    assert signatures[0] != signatures[1]


@pytest.mark.parametrize(
    ("opcode", "payload", "posted"),
    [
        (TEXT, "hi", event("TEXT", "hi")),
        (BINARY, "hi", event("BINARY", "hi")),
        (TEXT, "", event("TEXT")),
        (PING, "p", event("PING", "p")),
        (PING, "", event("PING")),
        (PONG, "p", event("PONG", "p")),
    ],
)
async def test_what_the_client_says_is_posted(opcode, payload, posted):
    play = await Play().open()
    play.client.says(opcode, payload)
    await settle()
    assert play.posted() == [posted]


async def test_fragments_are_joined():
    play = await Play().open()
    play.client.says(TEXT, "a", fin=False)
    await settle()
    assert play.posted() == []
    play.client.says(CONTINUATION, "b")
    await settle()
    assert play.posted() == [event("TEXT", "ab")]


async def test_one_request_is_in_flight_and_the_rest_goes_together_in_the_next():
    play = await Play().open()
    for text in "123":
        play.client.text(text)
        await settle()
    assert play.posted() == [event("TEXT", "1")]
    await play.answers()
    assert play.posted() == [event("TEXT", "2") + event("TEXT", "3")]
    await play.answers()
    assert play.posted() == []


async def test_with_one_event_each_goes_alone():
    play = await Play(target={"one_event": True}).open()
    for text in ("1", "", "3"):
        play.client.text(text)
    play.client.closes(1000)
    await settle()
    for posted in (event("TEXT", "1"), event("TEXT"), event("TEXT", "3"), event("CLOSE", NORMAL)):
        assert play.posted() == [posted]
        await play.answers()


async def test_nothing_is_asked_while_too_much_waits_for_the_client():
    play = await Play().open()
    play.client.stalls(READ_AHEAD_MAX)
    play.client.text("hi")
    await settle()
    assert play.posted() == []
    play.client.reads_on()
    await settle()
    assert play.posted() == [event("TEXT", "hi")]


async def test_a_little_that_waits_for_the_client_is_no_hindrance():
    play = await Play().open()
    play.client.stalls(READ_AHEAD_MAX - 1)
    play.client.text("hi")
    await settle()
    assert play.posted() == [event("TEXT", "hi")]


async def test_a_client_that_takes_more_wakes_nobody_without_need():
    play = await Play().open()
    play.client.stalls()
    play.client.reads_on()
    await settle()
    assert play.posted() == []


async def test_reading_from_the_client_stops_when_much_is_queued():
    play = await Play().open()
    play.client.text("1")
    await settle()
    play.client.text("x" * READ_AHEAD_MAX)
    assert play.client.transport.reading
    play.client.text("y")
    play.client.text("z")
    assert not play.client.transport.reading
    await play.answers()
    assert play.client.transport.reading


async def test_a_refresh_posts_an_empty_request():
    play = await Play().open(SUBSCRIBE)
    play.publish(Action.REFRESH)
    await settle()
    assert play.posted() == [""]


async def test_refreshes_in_flight_are_remembered_once():
    play = await Play().open(SUBSCRIBE)
    for _ in range(3):
        play.publish(Action.REFRESH)
        await settle()
    assert play.posted() == [""]
    await play.answers()
    assert play.posted() == [""]
    await play.answers()
    assert play.posted() == []


# Keep-Alive-Interval (4.6)


async def test_with_an_interval_the_origin_is_asked_now_and_then():
    play = await Play().open(lines=("Keep-Alive-Interval: 60",))
    await play.at(59)
    assert play.posted() == []
    await play.at(1)
    assert play.posted() == [""]
    await play.answers()
    await play.at(60)
    assert play.posted() == [""]


async def test_any_request_starts_the_interval_anew():
    play = await Play().open(lines=("Keep-Alive-Interval: 60",))
    await play.at(50)
    play.client.text("hi")
    await settle()
    await play.answers()
    play.posted()
    await play.at(50)
    assert play.posted() == []
    await play.at(10)
    assert play.posted() == [""]


@pytest.mark.parametrize("value", ["0", "30x"])
async def test_the_interval_is_switched_off(value):
    play = await Play().open(lines=("Keep-Alive-Interval: 60",))
    await play.at(60)
    await play.answers(lines=(f"Keep-Alive-Interval: {value}",))
    play.posted()
    await play.at(60)
    assert play.posted() == []
    assert len(play.hub.deadlines) == 0


# Meta (4.7)


async def test_meta_is_repeated_until_it_is_removed():
    play = await Play().open(lines=("Set-Meta-A_b: 1", "set-meta-c: 2"))
    play.client.text("hi")
    await settle()
    play.posted()
    assert fields_of(play.last)[-2:] == [("Meta-A_b", "1"), ("Meta-c", "2")]
    await play.answers(lines=("Set-Meta-a_B:", "Set-Meta-C: 3"))
    play.client.text("hi")
    await settle()
    play.posted()
    assert fields_of(play.last)[-1] == ("Meta-C", "3")
    assert not any(name.lower() == "meta-a_b" for name, _ in fields_of(play.last))


async def test_too_much_meta_is_a_bad_answer():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    await play.answers(lines=[f"Set-Meta-{number}: x" for number in range(200)])
    assert play.client.heard() == [("close", 1011, "")]


# Accepted bytes (4.5)


async def test_what_was_not_accepted_is_offered_again_with_the_next_message():
    play = await Play().open()
    play.client.text("foo")
    await settle()
    play.client.text("hello")
    await play.answers()
    play.posted()
    await play.answers(lines=("Content-Bytes-Accepted: 2",))
    assert play.posted() == []
    play.client.text("new")
    await settle()
    assert play.posted() == [event("TEXT", "llo") + event("TEXT", "new")]
    assert ("Content-Bytes-Replayed", "3") in fields_of(play.last)


async def test_after_all_is_accepted_nothing_is_replayed():
    play = await Play().open()
    for text, lines in (("a", ("Content-Bytes-Accepted: 0",)), ("b", ()), ("c", ())):
        play.client.text(text)
        await settle()
        await play.answers(lines=lines)
    bodies = play.posted()
    assert bodies == [
        event("TEXT", "a"),
        event("TEXT", "a") + event("TEXT", "b"),
        event("TEXT", "c"),
    ]
    assert "Content-Bytes-Replayed" not in dict(fields_of(play.last))


async def test_a_refresh_offers_it_again_too():
    play = await Play().open(SUBSCRIBE)
    play.client.text("a")
    await settle()
    await play.answers(lines=("Content-Bytes-Accepted: 0",))
    play.posted()
    play.publish(Action.REFRESH)
    await settle()
    assert play.posted() == [event("TEXT", "a")]


@pytest.mark.parametrize("accepted", ["3", "99999"])
async def test_more_than_offered_is_a_bad_answer(accepted):
    play = await Play().open()
    play.client.text("hi")
    await settle()
    await play.answers(lines=(f"Content-Bytes-Accepted: {accepted}",))
    assert play.client.heard() == [("close", 1011, "")]
    await play.end()


async def test_no_progress_is_a_bad_answer():
    play = await Play(target={"one_event": True}).open()
    play.client.text("1")
    play.client.text("2")
    await settle()
    await play.answers(lines=("Content-Bytes-Accepted: 0",))
    assert play.client.heard() == [("close", 1011, "")]


async def test_a_close_that_was_not_reached_goes_out_again_at_the_next_trigger():
    play = await Play().open(lines=(GRIP, "Keep-Alive-Interval: 20"))
    play.client.text("hello")
    play.client.closes(1000)
    await settle()
    await play.answers(lines=("Content-Bytes-Accepted: 3",))
    play.posted()
    assert play.client.heard() == []
    play.publish(Action.REFRESH)
    await play.at(9)
    assert play.posted() == []
    await play.at(1)  # the client has been answered, and is over
    assert play.client.heard() == [("close", 1000, "")]
    assert play.posted() == [event("DISCONNECT")]
    await play.answers()
    assert play.is_over()


# What the origin says (4.2, 4.4)


async def test_events_of_the_origin_are_delivered_in_order():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    await play.answers(
        ("TEXT", "m:a"), ("BINARY", "m:b"), "PING", ("PONG", "x"), "SOMETHING", ("TEXT", "m:")
    )
    assert play.client.heard() == [
        ("text", "a"),
        ("binary", "b"),
        ("ping", ""),
        ("pong", "x"),
        ("text", ""),
    ]


async def test_a_subscription_takes_effect_in_the_response_that_opens():
    play = await Play().open(SUBSCRIBE, ("TEXT", "m:x"))
    play.publish(Action.SEND, content=b"p")
    assert play.client.heard() == [("text", "x"), ("text", "p")]
    assert play.lines == ["subscribe ws://h/chat?x=1 channel=c"]


async def test_a_large_message_is_one_frame():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    await play.answers(("TEXT", "m:" + "x" * 900_000))
    assert play.client.heard() == [("text", "x" * 900_000)]


@pytest.mark.parametrize(
    "response",
    [
        events(status=404),
        events(status=500),
        events(kind="text/plain"),
        events(("TEXT", "x" * RESPONSE_MAX)),
        ExchangeError("connection_terminated", "closed"),
        OriginTimeoutError("http_response_timeout", "silent"),
        RequestError(400, "not of an origin"),
    ],
)
async def test_a_bad_answer_ends_the_websocket_without_disconnect(response):
    play = await Play().open()
    play.client.text("hi")
    await settle()
    play.posted()
    await play.answers(response)
    assert play.client.heard() == [("close", 1011, "")]
    await play.end()
    assert play.posted() == []
    assert play.is_over()


class Refusing:
    """A body that nobody wants."""

    abandoned = False

    def abandon(self):
        self.abandoned = True


async def test_the_body_of_a_bad_answer_is_not_read():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    body = Refusing()
    await play.answers(Response(status=500, reason=b"", headers=Headers(), body=body))
    assert body.abandoned


async def test_events_before_a_malformed_one_are_delivered():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    response = events(("TEXT", "m:good"))
    response.body += b"TEXT 9\r\ncut"
    await play.answers(response)
    assert play.client.heard() == [("text", "good"), ("close", 1011, "")]


@pytest.mark.parametrize("name", ["DISCONNECT", "OPEN"])
async def test_disconnect_ends_the_connection_without_a_close_frame(name):
    play = await Play().open()
    play.client.text("hi")
    await settle()
    play.posted()
    await play.answers(("TEXT", "m:last"), name, ("TEXT", "m:not read"))
    assert play.client.heard() == [("text", "last")]
    assert play.client.transport.closed
    await play.end()
    assert play.posted() == []
    assert play.is_over()


async def test_too_many_filters_end_the_websocket_and_the_origin_is_told():
    many = '{"type": "subscribe", "channel": "d", "filters": ["a","a","a","a","a","a"]}'
    play = await Play().open(("TEXT", "c:" + many))
    assert play.client.heard() == [("close", 1011, "")]
    assert play.origin.in_flight == 1
    await play.answers()
    await play.end()
    assert play.is_over()


async def test_control_messages_that_are_not_understood_are_for_the_log(caplog):
    caplog.set_level("DEBUG")
    await Play().open(("TEXT", "c:no"))
    assert f"websocket {CID}: control message is not JSON" in caplog.text


async def test_a_bad_answer_names_its_route_in_the_log(caplog):
    play = await Play().open()
    play.client.text("hi")
    await settle()
    await play.answers(("TEXT", "\xff"))
    assert f"route r: websocket {CID}: TEXT event is not UTF-8" in caplog.text


async def test_a_client_that_takes_nothing_is_named_in_the_log(caplog):
    play = await Play().open()
    play.client.violated(FrameError(1008, "slow consumer"), play.clock.now())
    await settle()
    assert f"route r: websocket {CID}: slow consumer" in caplog.text
    assert play.posted() == [event("DISCONNECT")]


# Retries (4.8)


@pytest.mark.parametrize(
    "error", [REFUSED, ExchangeError("connection_terminated", "closed", unsent=True)]
)
async def test_a_request_that_did_not_get_through_is_posted_again(error):
    play = await Play().open()
    play.client.text("1")
    await settle()
    await play.answers(error)
    play.client.text("2")
    await settle()
    assert play.posted() == [event("TEXT", "1")]
    await play.at(1)
    assert play.posted() == [event("TEXT", "1")]
    await play.answers()
    assert play.posted() == [event("TEXT", "2")]


async def test_the_waits_double_and_the_fifth_is_the_last():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    for seconds in (1, 2, 4, 8, 16):
        await play.answers(REFUSED)
        play.posted()
        await play.at(seconds - 0.5)
        assert play.posted() == []
        await play.at(0.5)
        assert play.posted() == [event("TEXT", "hi")]
    await play.answers(REFUSED)
    assert play.client.heard() == [("close", 1011, "")]
    await play.end()
    assert play.is_over()


async def test_waits_differ_by_part_of_a_second():
    play = await Play().open()
    play.hub.random = lambda: 0.9
    play.client.text("hi")
    await settle()
    await play.answers(REFUSED)
    play.posted()
    await play.at(1.8)
    assert play.posted() == []
    await play.at(0.2)
    assert play.posted() == [event("TEXT", "hi")]


async def test_any_response_sets_the_count_back():
    play = await Play().open()
    for _ in range(4):
        play.client.text("hi")
        await settle()
        for seconds in (1, 2):
            await play.answers(REFUSED)
            await play.at(seconds)
        await play.answers()
    assert play.client.heard() == []


async def test_the_target_of_open_stays():
    play = await Play().open()
    play.client.text("hi")
    await settle()
    assert play.origin.requests[0][1] is play.target


# Closing (4.9, 9.2)


async def test_a_close_of_the_client_is_posted_with_what_is_queued():
    play = await Play().open()
    play.client.text("1")
    await settle()
    play.client.text("2")
    play.client.closes(4000, "why")
    await play.answers()
    assert play.posted()[-1] == event("TEXT", "2") + event("CLOSE", "\x0f\xa0why")


async def test_a_close_without_code_has_no_content():
    play = await Play().open()
    play.client.closes(None)
    await settle()
    assert play.posted() == [event("CLOSE")]


async def test_the_origins_close_answers_the_clients():
    play = await Play().open()
    play.client.closes(1000)
    await settle()
    await play.answers(("CLOSE", "\x0f\xa1ok"))
    assert play.client.heard() == [("close", 4001, "ok")]
    await play.end()
    assert play.is_over()


async def test_without_an_answer_the_client_gets_its_own_code():
    play = await Play().open()
    play.client.closes(4000)
    await settle()
    await play.answers()
    assert play.client.heard() == [("close", 4000, "")]
    await play.end()
    assert play.is_over()


async def test_with_an_interval_the_answer_may_come_later():
    play = await Play().open(SUBSCRIBE, lines=(GRIP, "Keep-Alive-Interval: 20"))
    play.client.closes(4000)
    await settle()
    await play.answers(lines=("Keep-Alive-Interval: 20",))
    play.posted()
    assert play.client.heard() == []
    await play.at(10)
    assert play.client.heard() == [("close", 4000, "")]
    await play.end()
    assert play.posted() == []
    assert play.is_over()


async def test_a_close_of_the_origin_goes_to_the_client_and_its_answer_back():
    play = await Play().open("CLOSE")
    assert play.client.heard() == [("close", 1000, "")]
    play.client.text("still")
    await settle()
    await play.answers()
    play.client.closes(4000)
    await settle()
    assert play.posted() == [event("TEXT", "still"), event("CLOSE", "\x0f\xa0")]
    await play.answers()
    await play.end()
    assert play.is_over()


async def test_a_close_code_of_zero_is_none():
    play = await Play().begin()
    await play.answers("OPEN", ("CLOSE", "\0\0"))
    assert play.client.heard() == [("close", 1000, "")]


async def test_both_may_close_at_once():
    play = await Play().open()
    play.client.text("1")
    await settle()
    play.client.text("2")
    play.client.closes(4000)
    await play.answers(("CLOSE", "\x0f\xa1"))
    assert play.client.heard() == [("close", 4001, "")]
    assert play.posted()[-1] == event("TEXT", "2") + event("CLOSE", "\x0f\xa0")
    await play.answers()
    await play.end()
    assert play.is_over()


async def test_a_client_that_vanishes_after_the_origins_close_is_told():
    play = await Play().open("CLOSE")
    play.client.vanishes()
    await settle()
    assert play.posted() == [event("DISCONNECT")]


async def test_a_client_that_does_not_answer_a_close_is_told_after_ten_seconds():
    play = await Play().open("CLOSE", lines=("Keep-Alive-Interval: 20",))
    await play.at(10)
    assert play.client.transport.closed
    assert play.posted() == [event("DISCONNECT")]
    await play.answers(events(status=500))
    await play.end()
    assert play.is_over()


async def test_after_the_origins_close_it_is_not_asked_any_more():
    play = await Play().open("CLOSE", lines=("Keep-Alive-Interval: 20",))
    play.hub.deadlines.cancel(play.session)
    await play.at(20)
    assert play.posted() == []


async def test_a_client_that_vanishes_is_told_at_once():
    play = await Play().open()
    play.client.vanishes()
    await settle()
    assert play.posted() == [event("DISCONNECT")]
    await play.answers()
    await play.end()
    assert play.is_over()


async def test_a_client_that_vanishes_in_flight_is_told_behind_the_answer():
    play = await Play().open()
    play.client.text("1")
    await settle()
    play.client.text("lost")
    play.client.vanishes()
    await settle()
    assert play.posted() == [event("TEXT", "1")]
    await play.answers(("TEXT", "m:late"))
    assert play.posted() == [event("DISCONNECT")]
    await play.answers()
    await play.end()
    assert play.is_over()


async def test_an_origin_that_disconnects_a_vanished_client_is_told_nothing():
    play = await Play().open()
    play.client.text("1")
    await settle()
    play.client.vanishes()
    play.posted()
    await play.answers("DISCONNECT")
    await play.end()
    assert play.posted() == []
    assert play.is_over()


async def test_a_client_that_vanishes_while_opening_is_told_after_an_acceptance():
    play = await Play().begin()
    play.exchange.gone = True
    await play.answers("OPEN", ("TEXT", "m:x"))
    assert play.posted() == ["OPEN\r\n", event("DISCONNECT")]
    await play.answers()
    await play.end()
    assert play.is_over()


async def test_a_client_that_vanishes_behind_its_close_is_not_told_twice():
    play = await Play().open()
    play.client.closes(1000)
    await settle()
    play.client.vanishes()
    await play.answers()
    await play.end()
    assert play.posted() == [event("CLOSE", NORMAL)]
    assert play.is_over()


async def test_a_violation_of_the_client_is_a_disconnect():
    play = await Play().open()
    play.client.received(b"\x81\x01x", play.clock.now())
    await settle()
    assert play.client.heard() == [("close", 1002, "")]
    assert play.posted() == [event("DISCONNECT")]


async def test_disconnect_is_retried_like_any_other():
    play = await Play().open()
    play.client.vanishes()
    await settle()
    for seconds in (1, 2, 4, 8, 16):
        await play.answers(REFUSED)
        await play.at(seconds)
    await play.answers(REFUSED)
    await play.end()
    assert play.posted() == [event("DISCONNECT")] * 6
    assert play.is_over()


async def test_a_request_that_waits_is_repeated_before_the_disconnect():
    play = await Play().open()
    play.client.text("1")
    await settle()
    await play.answers(REFUSED)
    play.client.vanishes()
    await settle()
    play.posted()
    await play.at(1)
    assert play.posted() == [event("TEXT", "1")]
    await play.answers()
    assert play.posted() == [event("DISCONNECT")]


async def test_a_published_close_is_a_close_without_content():
    play = await Play().open(SUBSCRIBE)
    play.publish(Action.CLOSE, code=4000)
    await settle()
    assert play.client.heard() == [("close", 4000, "")]
    assert play.posted() == [event("CLOSE")]
    await play.answers(("TEXT", "m:late"))
    assert play.client.heard() == []
    play.client.closes(4000)
    await play.end()
    assert play.is_over()


async def test_a_client_may_answer_a_published_close_before_the_origin():
    play = await Play().open(SUBSCRIBE)
    play.publish(Action.CLOSE)
    await settle()
    play.client.text("not taken")
    play.client.closes(1000)
    await settle()
    assert not play.exchange.over
    await play.answers()
    await play.end()
    assert play.posted() == [event("CLOSE")]
    assert play.is_over()


async def test_detaching_is_a_close_without_content():
    play = await Play().open(SUBSCRIBE, ("TEXT", 'c:{"type": "detach"}'), ("TEXT", "m:x"))
    assert play.client.heard() == [("text", "x")]
    assert play.origin.in_flight == 1
    await play.answers(status=500)
    play.publish(Action.SEND, content=b"p")
    play.publish(Action.REFRESH)
    play.client.text("thrown away")
    await settle()
    assert play.client.heard() == [("text", "p")]
    assert play.posted() == []
    play.client.closes(4000)
    assert play.client.heard() == [("close", 4000, "")]
    await play.end()
    assert play.is_over()


async def test_a_failure_after_detaching_does_not_concern_the_client():
    play = await Play().open(("TEXT", 'c:{"type": "detach"}'))
    await play.answers(ExchangeError("connection_terminated", "closed"))
    assert play.client.heard() == []
    play.client.vanishes()
    await play.end()
    assert play.is_over()


async def test_an_origin_that_fails_after_its_close_is_asked_nothing_more():
    play = await Play().open("CLOSE")
    play.client.text("still")
    await settle()
    await play.answers(events(status=500))
    play.client.text("thrown away")
    play.client.closes(1000)
    await play.end()
    assert play.posted() == [event("TEXT", "still")]
    assert play.is_over()


async def test_an_origin_may_accept_and_disconnect_at_once():
    play = await Play().open("DISCONNECT")
    assert play.client.heard() == []
    await play.end()
    assert play.is_over()


async def test_a_moment_that_comes_while_the_task_is_woken_means_nothing():
    play = await Play().open(lines=("Keep-Alive-Interval: 60",))
    play.client.text("hi")
    play.hub.due(play.clock.advance(60))
    await settle()
    await play.answers()
    assert play.posted() == [event("TEXT", "hi")]


async def test_it_says_what_it_is():
    play = await Play().open()
    assert repr(play.session.outside) == f"<Carried {CID} ready>"


# Groups of stored responses (RFC 9875)

GROUPS = 'Cache-Group-Invalidation: "a", "b"'
CHANGED = [("group", b"http h 80 a"), ("group", b"http h 80 b")]


async def test_a_message_may_take_back_groups_of_what_is_stored():
    play = await Play(cache=True).open(lines=(GRIP, GROUPS))
    assert play.invalidated == CHANGED
    play.client.text("x")
    await settle()
    await play.answers(("TEXT", "m:y"), lines=(GROUPS,))
    assert play.invalidated == CHANGED * 2
    assert play.client.heard() == [("text", "y")]


async def test_on_routes_that_store_nothing_it_does_not():
    play = await Play().open(lines=(GRIP, GROUPS))
    assert play.invalidated == []

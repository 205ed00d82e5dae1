"""SockJS in front of a WebSocket."""

import asyncio
import json

import pytest

from gripproxy.engine.sockets import Sessions
from gripproxy.errors import ConnectError, RequestError
from gripproxy.flow.access import Access
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.opening import Opener
from gripproxy.flow.overhttp import Carrier
from gripproxy.flow.sockets import SocketFlow
from gripproxy.flow.sockjs import Settings, SockJs
from gripproxy.flow.websocket import Relay
from gripproxy.protocol import forwarding
from gripproxy.protocol.formats import Action, WebSocketMessage
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.wshandshake import Agreed
from tests.fakes import FakeOrigin, FakeOriginSocket, fields, settle
from tests.flow.pages import FakeTasks, PageExchange, Time, asks

GRIP = "Sec-WebSocket-Extensions: grip"
NOT_FOUND = (404, b"Not Found\n")
STREAM = "application/websocket-events"


def events(*written, lines=(GRIP,)):
    """Make a response of events."""
    body = "".join(
        f"{one}\r\n" if isinstance(one, str) else f"{one[0]} {len(one[1]):x}\r\n{one[1]}\r\n"
        for one in written
    ).encode("latin-1")
    return Response(
        status=200,
        reason=b"OK",
        headers=fields(f"Content-Type: {STREAM}", *lines),
        body=body,
        length=len(body),
    )


class Play:
    """SockJS before an origin, and pages that ask."""

    def __init__(self, *, over_http=True, settings=None, **route):
        self.time = Time()
        self.origin = FakeOrigin()
        self.tasks = FakeTasks()
        self.lines = []
        access = Access(self.lines.append, AccessSettings())
        self.sessions = Sessions(self.time.hub)
        opener = Opener(self.sessions, clock=self.time.clock, access=access, make_id=lambda: "cid")
        forwarder = Forwarder(forwarding.Settings())
        self.flow = SocketFlow(
            Carrier(self.origin, forwarder, opener),
            Relay(self.origin, opener),
            forwarder,
            clock=self.time.clock,
            access=access,
        )
        self.sockjs = SockJs(
            self.flow.serve,
            self.time.hub,
            clock=self.time.clock,
            tasks=self.tasks,
            entropy=lambda: 7,
            settings=settings or Settings(script_url="http://cdn/s.js"),
        )
        target = Target(kind="tcp", host="o", port=1, over_http=over_http)
        route.setdefault("sockjs_as_path", b"/ws")
        self.route = Route(targets=(target,), domain="*", id="r", sockjs=b"/sjs", **route)
        self.running = []

    def begin(self, request):
        """Let a page ask; return its exchange, which need not be answered yet."""
        exchange = PageExchange(request)

        async def serve(exchange):
            await self.sockjs.serve(exchange, self.route, trusted=False, debug=False)

        task = asyncio.get_running_loop().create_task(exchange.run(serve))
        self.running.append(task)
        return exchange

    async def ask(self, method, target, *lines, body=b""):
        exchange = self.begin(asks(method, target, *lines, body=body))
        await settle()
        return exchange

    async def poll(self, session="s"):
        return await self.ask("POST", f"/sjs/0/{session}/xhr")

    async def send(self, *messages, session="s"):
        body = json.dumps(messages).encode()
        return await self.ask("POST", f"/sjs/0/{session}/xhr_send", body=body)

    async def open(self, *written):
        """Open a session over HTTP."""
        first = await self.poll()
        await self.answers("OPEN", *written)
        assert first.said == (200, b"o\n")
        self.posted()
        return self

    async def answers(self, *written):
        if len(written) == 1 and not isinstance(written[0], str | tuple):
            self.origin.answer(written[0])
        else:
            self.origin.answer(events(*written))
        await settle()

    def posted(self):
        """Return the bodies posted since the last time."""
        found, self.origin.requests = self.origin.requests, []
        return [request.body.decode("latin-1") for request, _ in found]

    async def websocket(self, target, *lines):
        """Ask for a WebSocket, and let the origin accept."""
        request = asks("GET", target, *lines)
        request.websocket = True
        exchange = self.begin(request)
        await settle()
        return exchange

    async def passes(self, seconds):
        self.time.passes(seconds)
        await settle()

    def publish(self, text):
        message = WebSocketMessage(Action.SEND, content=text.encode())
        item = PublishItem("c", ws_message=message)
        return self.time.hub.publish(item, now=self.time.now)

    def is_over(self):
        """Whether nothing is left: no session, no WebSocket, no task, no deadline."""
        left = len(self.sockjs), len(self.sessions), self.tasks.running
        return left == (0, 0, 0) and not len(self.time.hub.deadlines)

    async def end(self):
        for task in self.running:
            task.cancel()
        for task in self.tasks.started:
            task.cancel()
        await asyncio.gather(*self.running, *self.tasks.started, return_exceptions=True)


@pytest.fixture
async def plays():
    made = []

    def make(**how):
        made.append(Play(**how))
        return made[-1]

    yield make
    for play in made:
        await play.end()


@pytest.fixture
def play(plays):
    return plays()


# What is no session


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/sjs", (200, b"Welcome to SockJS!\n")),
        ("HEAD", "/sjs/", (200, b"Welcome to SockJS!\n")),
        ("POST", "/sjs", NOT_FOUND),
        ("OPTIONS", "/sjs/0/s/xhr", (204, b"")),
        ("OPTIONS", "/sjs/0/s/xhr_send", (204, b"")),
        ("OPTIONS", "/sjs/nothing", (204, b"")),
        ("GET", "/sjsx", NOT_FOUND),
        ("GET", "/sjs/websocket", NOT_FOUND),
        ("POST", "/sjs/info", NOT_FOUND),
        ("POST", "/sjs/0/s/xhr_streaming", NOT_FOUND),
        ("GET", "/sjs/0/s/eventsource", NOT_FOUND),
        ("GET", "/sjs/0/s/xhr", NOT_FOUND),
        ("HEAD", "/sjs/0/s/jsonp?c=cb", NOT_FOUND),
        ("POST", "/sjs/0/s/xhr_send", NOT_FOUND),
        ("POST", "/sjs/0/s/jsonp_send", NOT_FOUND),
        ("GET", "/sjs/0/s/jsonp", (400, b"Bad Request\n")),
        ("GET", "/sjs/0/s/jsonp?c=a(b", (400, b"Bad Request\n")),
    ],
)
async def test_what_needs_no_origin_is_answered_here(play, method, path, said):
    assert (await play.ask(method, path)).said == said
    assert play.is_over()


async def test_a_page_learns_what_the_server_can_do(play):
    answer = (await play.ask("GET", "/sjs/info?t=1", "Origin: http://a")).answered
    assert json.loads(answer.body)["entropy"] == 7
    assert answer.headers.get(b"access-control-allow-origin") == b"http://a"


async def test_the_iframe_page_loads_the_script_and_is_stored(play):
    answer = (await play.ask("GET", "/sjs/iframe-1.html")).answered
    assert b'src="http://cdn/s.js"' in answer.body
    tag = answer.headers.get(b"etag").decode()
    again = await play.ask("GET", "/sjs/iframe-1.html", f"If-None-Match: {tag}")
    assert again.said == (304, b"")


async def test_a_preflight_allows_the_fields_that_it_asks_for(play):
    line = "Access-Control-Request-Headers: x-a"
    answer = (await play.ask("OPTIONS", "/sjs/0/s/xhr", line)).answered
    assert answer.headers.get(b"access-control-allow-headers") == b"x-a"


async def test_a_body_that_is_too_large_is_refused(play):
    body = b"x" * 100_001
    asked = await play.ask("POST", "/sjs/0/s/xhr", body=body)
    assert asked.said == (400, b"Request too large.\n")
    assert (await play.ask("POST", "/sjs/0/s/xhr_send", body=body[:-1])).said == NOT_FOUND


# Opening


async def test_the_first_poll_opens_a_websocket_over_http(play):
    first = await play.ask(
        "POST", "/sjs/0/s/xhr?z=1&c=2", "Cookie: a=1", "Content-Length: 0", "X-A: b"
    )
    assert first.said is None
    (asked, _), *more = play.origin.requests
    assert (asked.method, asked.target, asked.body, more) == (
        b"POST",
        b"/ws?z=1&c=2",
        b"OPEN\r\n",
        [],
    )
    assert b"Cookie: a=1\r\nX-A: b\r\n" in asked.prefix
    await play.answers("OPEN", ("TEXT", "m:hi"))
    assert first.said == (200, b"o\n")
    assert (await play.poll()).said == (200, b'a["hi"]\n')
    assert play.lines == ["GET ws://h/ws?z=1&c=2 -> o:1[http] code=101 0"]
    assert play.tasks.running == 0


async def test_the_origin_of_a_script_does_not_see_its_callback(plays):
    play = plays(sockjs_as_path=b"")
    first = await play.ask("GET", "/sjs/0/s/jsonp?a=1&c=cb&b=2")
    assert play.origin.requests[0][0].target == b"/sjs?a=1&b=2"
    await play.answers("OPEN", ("TEXT", 'm:"'))
    assert first.said == (200, b'/**/cb("o");\n')
    answer = (await play.ask("POST", "/sjs/0/s/jsonp?callback=x.y")).answered
    assert answer.body == b'/**/x.y("a[\\"\\\\\\"\\"]");\n'
    assert answer.headers.get(b"content-type") == b"application/javascript"


async def test_a_refusal_goes_to_the_first_poll(play):
    first = await play.ask("POST", "/sjs/0/s/xhr", "Origin: http://a")
    refusal = Response(status=403, reason=b"Nope", headers=fields("X-A: 1"), body=b"no", length=2)
    await play.answers(refusal)
    assert first.said == (403, b"no")
    headers = first.answered.headers
    assert headers.get(b"x-a") == b"1"
    assert headers.get(b"access-control-allow-origin") == b"http://a"
    assert (play.is_over(), first.over) == (True, True)
    assert play.lines == ["GET ws://h/ws -> o:1[http] code=403 0"]


async def test_an_origin_that_is_not_there_is_told(play):
    first = await play.poll()
    await play.answers(ConnectError("connection_refused", "refused"))
    assert first.said == (502, b"Error while proxying to origin.\n")
    assert play.is_over()


async def test_a_request_that_goes_in_circles_is_refused(plays):
    play = plays()

    async def refuse(exchange, route, *, trusted, debug):
        raise RequestError(508, "Loop Detected")

    play.sockjs._serve_socket = refuse
    first = await play.poll()
    assert first.said == (508, b"Loop Detected\n")
    assert play.is_over()


async def test_a_client_that_does_not_wait_drops_the_attempt(plays):
    play = plays(over_http=False)
    first = await play.poll()
    assert play.tasks.running == 1
    first.leaves(play.time.now)
    await settle()
    assert play.is_over()


async def test_over_http_the_origin_is_told_of_a_client_that_did_not_wait(play):
    first = await play.poll()
    first.leaves(play.time.now)
    await settle()
    assert len(play.sockjs) == 0
    play.posted()
    await play.answers("OPEN", ("TEXT", "m:hi"))
    assert play.posted() == ["DISCONNECT\r\n"]
    await play.answers()
    assert play.is_over()


async def test_a_refusal_of_which_nobody_hears_is_dropped(play):
    first = await play.poll()
    first.leaves(play.time.now)
    await play.answers(Response(status=403, reason=b"", headers=Headers()))
    assert play.is_over()
    assert play.lines == ["GET ws://h/ws -> o:1[http] error"]


async def test_a_story_that_gives_up_ends_the_session(plays):
    play = plays()

    async def give_up(exchange, route, *, trusted, debug):
        exchange.shielded = True

    play.sockjs._serve_socket = give_up
    first = await play.poll()
    assert first.said == (410, b"Session terminated\n")
    assert play.is_over()


async def test_sessions_are_bounded(plays):
    play = plays(settings=Settings(sessions_max=1))
    await play.open()
    assert (await play.poll("other")).said == (503, b"Too many sessions.\n")
    assert (await play.poll()).said is None


async def test_a_session_counts_for_its_own_host(play):
    await play.open()
    other = asks("POST", "/sjs/0/s/xhr_send", body=b"[]")
    other.authority = b"other"
    exchange = play.begin(other)
    await settle()
    assert exchange.said == NOT_FOUND


# Polls


async def test_what_is_published_answers_the_poll_that_waits(play):
    await play.open(("TEXT", 'c:{"type":"subscribe","channel":"c"}'))
    polling = await play.poll()
    assert play.publish("item") == 1
    await settle()
    assert polling.said == (200, b'a["item"]\n')
    play.publish("one")
    play.publish("two")
    assert (await play.poll()).said == (200, b'a["one","two"]\n')


async def test_a_session_without_polls_is_told_to_the_origin(play):
    await play.open()
    await play.passes(5)
    assert play.posted() == ["DISCONNECT\r\n"]
    await play.answers()
    assert play.is_over()


async def test_nobody_runs_while_nothing_happens(play):
    await play.open()
    polling = await play.poll()
    assert play.tasks.running == 0
    await play.passes(25)
    assert polling.said == (200, b"h\n")
    assert play.tasks.running == 0


async def test_a_dropped_poll_closes_the_websocket(play):
    await play.open()
    polling = await play.poll()
    polling.leaves(play.time.now)
    await settle()
    assert play.posted() == ["CLOSE\r\n"]
    assert (await play.poll()).said[1] == b'c[3000,"Client already closed connection"]\n'
    await play.answers("CLOSE")
    await play.passes(5)
    assert play.is_over()


async def test_a_close_of_the_origin_is_told_and_answered(play):
    await play.open()
    polling = await play.poll()
    await play.send("x")
    play.posted()
    await play.answers(("CLOSE", "\x0f\xa1bye"))
    assert (polling.said, play.posted()) == ((200, b'c[4001,"bye"]\n'), [])
    await play.passes(0)
    assert play.posted() == ["CLOSE 5\r\n\x0f\xa1bye\r\n"]
    await play.answers()
    await play.passes(5)
    assert play.is_over()


async def test_an_origin_that_fails_ends_the_session(play):
    await play.open()
    polling = await play.poll()
    await play.send("x")
    await play.answers(Response(status=500, reason=b"", headers=Headers()))
    assert polling.said == (410, b"Session terminated\n")
    assert play.is_over()


# What pages send


async def test_messages_go_to_the_origin(play):
    await play.open()
    assert (await play.send("one", "two")).said == (204, b"")
    assert play.posted() == ["TEXT 3\r\none\r\nTEXT 3\r\ntwo\r\n"]


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [("POST", "", b"d=%5B%22a+b%22%5D"), ("GET", "?d=%5B%22a+b%22%5D", b"")],
)
async def test_scripts_send_forms(play, method, query, body):
    await play.open()
    sent = await play.ask(method, f"/sjs/0/s/jsonp_send{query}", body=body)
    assert (sent.said, play.posted()) == ((200, b"ok"), ["TEXT 3\r\na b\r\n"])


async def test_an_answer_to_a_form_may_be_a_script(play):
    await play.open()
    sent = await play.ask("POST", "/sjs/0/s/jsonp_send?c=cb", body=b"d=[]")
    assert sent.said == (200, b'/**/cb("ok");\n')


@pytest.mark.parametrize(
    ("name", "body"),
    [("xhr_send", b""), ("xhr_send", b"x"), ("xhr_send", b"[1]"), ("jsonp_send", b"[]")],
)
async def test_what_is_no_array_is_refused(play, name, body):
    await play.open()
    sent = await play.ask("POST", f"/sjs/0/s/{name}", body=body)
    assert sent.said == (400, b"Payload expected\n")


async def test_a_sender_waits_while_the_origin_takes_nothing(play):
    await play.open()
    await play.send("x" * 50_000)
    for _ in range(5):
        last = await play.send("x" * 50_000)
    assert last.said is None
    assert (await play.send("more")).said == (400, b"Already sending\n")
    await play.answers()
    assert last.said == (204, b"")


async def test_who_sends_to_a_closed_session_is_told(plays):
    play = plays(over_http=False)
    origin = await _open_relayed(play)
    origin.closes(4001, "bye")
    assert (await play.send("x")).said == (200, b'c[4001,"bye"]\n')


# Over a WebSocket


async def _open_relayed(play):
    first = await play.poll()
    origin = _origin_socket()
    await play.answers(origin)
    assert first.said == (200, b"o\n")
    return origin


def _origin_socket():
    response = Response(status=101, reason=b"Switching Protocols", headers=Headers())
    return FakeOriginSocket(response, Agreed(None, None))


async def test_a_session_may_be_relayed(plays):
    play = plays(over_http=False)
    origin = await _open_relayed(play)
    asked = play.origin.requests[0][0]
    assert (asked.method, asked.target, asked.websocket) == (b"GET", b"/ws", True)
    polling = await play.poll()
    origin.text("hello")
    assert polling.said == (200, b'a["hello"]\n')
    await play.send("one", "two")
    assert origin.heard() == [("text", "one"), ("text", "two")]
    origin.closes(4001, "bye")
    assert (await play.poll()).said == (200, b'c[4001,"bye"]\n')
    assert origin.heard() == []
    await play.passes(0)
    assert origin.heard() == [("close", 4001, "bye")]
    await play.passes(5)
    assert play.is_over()


async def test_an_origin_is_read_no_further_while_no_poll_takes_anything(plays):
    play = plays(over_http=False)
    origin = await _open_relayed(play)
    for letter in "xy":
        origin.text(letter * 70_000)
    assert not origin.transport.reading
    for letter in b"xy":
        assert (await play.poll()).said == (200, b'a["%b"]\n' % (b"%c" % letter * 70_000))
    assert origin.transport.reading


# WebSockets


async def test_a_framed_websocket(play):
    exchange = await play.websocket("/sjs/0/s/anything?z=1")
    assert play.origin.requests[0][0].target == b"/ws?z=1"
    await play.answers("OPEN", ("TEXT", "m:hi"))
    assert exchange.upgraded.status == 101
    assert exchange.client.heard() == [("text", "o"), ("text", 'a["hi"]')]
    play.posted()
    exchange.client.text('["one","two"]')
    await settle()
    assert play.posted() == ["TEXT 3\r\none\r\nTEXT 3\r\ntwo\r\n"]
    exchange.client.vanishes()
    await play.answers()
    assert play.posted() == ["DISCONNECT\r\n"]
    await play.answers()
    assert (play.is_over(), exchange.over) == (True, True)


async def test_a_raw_websocket(plays):
    play = plays(sockjs_as_path=b"")
    exchange = await play.websocket("/sjs/websocket")
    assert play.origin.requests[0][0].target == b"/sjs/websocket"
    await play.answers("OPEN", ("TEXT", "m:hi"))
    assert exchange.client.heard() == [("text", "hi")]
    play.posted()
    exchange.client.text('["one"]')
    await settle()
    assert play.posted() == ['TEXT 7\r\n["one"]\r\n']


async def test_a_framed_websocket_may_be_refused(play):
    exchange = await play.websocket("/sjs/0/s/websocket")
    await play.answers(Response(status=403, reason=b"", headers=Headers(), body=b"no", length=2))
    assert exchange.said == (403, b"no")


async def test_a_client_of_a_framed_websocket_that_leaves_is_told_to_the_origin(play):
    exchange = await play.websocket("/sjs/0/s/websocket")
    assert exchange.shielded
    exchange.leaves()
    await play.answers("OPEN")
    assert play.origin.requests[-1][0].body == b"DISCONNECT\r\n"


async def test_one_that_leaves_before_it_is_refused_gets_nothing(play):
    exchange = await play.websocket("/sjs/0/s/websocket")
    exchange.leaves()
    await play.answers(Response(status=403, reason=b"", headers=Headers()))
    assert exchange.said is None


@pytest.mark.parametrize("path", ["/sjs", "/sjs/info", "/sjs/x", "/sjs/0/s/x/y"])
async def test_there_is_no_websocket_elsewhere(play, path):
    exchange = await play.websocket(path)
    assert exchange.said == NOT_FOUND


# Ends


async def test_a_drain_ends_sessions_that_nobody_polls(play):
    await play.open()
    play.sockjs.drain(play.time.now)
    await settle()
    assert play.posted() == ["DISCONNECT\r\n"]
    assert (await play.poll()).said == (200, b'c[1012,"Connection closed"]\n')


async def test_a_poll_that_waits_is_drained_in_its_turn(play):
    await play.open()
    polling = await play.poll()
    opening = await play.poll("other")
    play.sockjs.drain(play.time.now)
    assert (polling.said, opening.said) == (None, None)
    polling.held.drain(play.time.now)
    opening.held.drain(play.time.now)
    assert polling.said == (200, b'c[1012,"Connection closed"]\n')
    assert opening.said == (503, b"The proxy is going away.\n")


async def test_what_a_bug_stops_ends_the_session(play):
    await play.open()
    polling = await play.poll()
    await play.send("x")
    await play.answers(ZeroDivisionError())
    assert polling.said == (410, b"Session terminated\n")
    assert len(play.sessions) == 0
    with pytest.raises(ZeroDivisionError):
        play.tasks.settled()

"""WebSockets carried to their origin as HTTP requests (websockets.md 1, 4 to 6)."""

import json

from tests.wire.client import (
    KEY,
    Client,
    DeadlineError,
    GoneError,
    WebSocket,
    ask,
    attempt,
    closing,
    frame_bytes,
    request,
    shown,
    upgrade,
    wait_until,
)
from tests.wire.origin import Origin, ending, events, reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.control import DONE, called
from tests.wire.scenarios.relay import tried
from tests.wire.scenarios.telling import scenario

GRIP = "Sec-WebSocket-Extensions: grip"


def control(**message: object) -> tuple[str, str]:
    """Make a control message of the origin."""
    return "TEXT", "c:" + json.dumps({k.replace("_", "-"): v for k, v in message.items()})


def subscribe(channel: str, **more: object) -> tuple[str, str]:
    return control(type="subscribe", channel=channel, **more)


def opened(*more: str | tuple[str, bytes | str], fields=(GRIP,)) -> bytes:
    """Write the response that accepts, with more events."""
    return events("OPEN", *more, fields=fields)


def said(channel: str, content: str, **more: object) -> dict[str, object]:
    """Make an item for WebSockets."""
    return {"channel": channel, "formats": {"ws-message": {"content": content, **more}}}


def close_item(channel: str, **more: object) -> dict[str, object]:
    return {"channel": channel, "formats": {"ws-message": {"action": "close", **more}}}


def bodies(stage, count: int) -> list[str]:
    """Return the bodies of the next requests, made readable."""
    return [shown(stage.request().body) for _ in range(count)]


def sorted_grip(got) -> str:
    """Write a request with the fields about GRIP last, by name: where they stand is free."""
    head, blank, body = showing.request(got).partition("\n\n")
    lines = head.split("\n")
    about = sorted(line for line in lines if line.startswith(("Grip-", GRIP)))
    return "\n".join([line for line in lines if line not in about] + about) + blank + body


# Opening


@scenario()
def woh_opens(system, stage):
    stage.answer(
        opened(
            ("TEXT", "m:hello"),
            fields=(
                "X-R: r",
                "Set-Cookie: a=1",
                "Sec-WebSocket-Protocol: p2",
                "Keep-Alive-Interval: 0",
                "Set-Meta-User: u",
                GRIP,
            ),
        ),
        events(),
    )
    sent = "Cookie: c=1", "Sec-WebSocket-Protocol: p1, p2", "Origin: http://a", "Meta-X: 1"
    with WebSocket(system.port, "/chat?x=1", stage.host, *sent, "Connection-Id: z") as client:
        yield (
            "client",
            showing.response(client.answer),
            """
            HTTP/1.1 101 Switching Protocols
            X-R: r
            Set-Cookie: a=1
            Sec-WebSocket-Protocol: p2
            Upgrade: websocket
            Connection: Upgrade
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
            """,
        )
        yield "message", client.message(), "text hello"
        yield (
            "origin",
            sorted_grip(stage.request()),
            rf"""
            POST /chat?x=1 HTTP/1.1
            Host: {stage.host}
            Sec-WebSocket-Version: 13
            Sec-WebSocket-Key: {KEY}
            Cookie: c=1
            Sec-WebSocket-Protocol: p1, p2
            Origin: http://a
            Accept: application/websocket-events
            Connection-Id: ID
            Content-Type: application/websocket-events
            Content-Length: 6
            Grip-Feature: FEATURES
            Grip-Sig: TOKEN
            Sec-WebSocket-Extensions: grip

            OPEN\r\n
            """,
        )
        client.put("text", "hi")
        yield (
            "next",
            sorted_grip(stage.request()),
            rf"""
            POST /chat?x=1 HTTP/1.1
            Host: {stage.host}
            Sec-WebSocket-Version: 13
            Sec-WebSocket-Key: {KEY}
            Cookie: c=1
            Sec-WebSocket-Protocol: p1, p2
            Origin: http://a
            Accept: application/websocket-events
            Connection-Id: ID
            Content-Type: application/websocket-events
            Meta-User: u
            Content-Length: 12
            Grip-Feature: FEATURES
            Grip-Sig: TOKEN
            Sec-WebSocket-Extensions: grip

            TEXT 2\r\nhi\r\n
            """,
        )
    one, two = stage.requests[0], stage.requests[1]
    yield "one id", one.value("connection-id") == two.value("connection-id"), True
    yield "not the client's", one.value("connection-id") != "z", True


@scenario(
    each={
        "no-key": ("Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Version: 13", 400),
        "no-version": (f"Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: {KEY}", 426),
        "version-8": (
            f"Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: {KEY}|"
            "Sec-WebSocket-Version: 8",
            426,
        ),
        "short-key": (
            "Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: eA==|"
            "Sec-WebSocket-Version: 13",
            400,
        ),
        "body": (
            f"Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Key: {KEY}|"
            "Sec-WebSocket-Version: 13|Content-Length: 1",
            400,
        ),
    }
)
def woh_bad_handshake(system, stage, fields, status):
    stage.answer(opened())
    with Client(system.port) as client:
        client.send(
            request("GET", "/", stage.host, *fields.split("|"), body=b"x" * ("Length" in fields))
        )
        try:
            answer = client.response()
        except GoneError:
            yield "client", "closed", status
        else:
            yield "client", answer.status, status


@scenario()
def woh_bad_handshake_text(system, stage):
    with Client(system.port) as client:
        client.send(upgrade("/", stage.host).replace(b"GET", b"POST"))
        must = (
            'Request contained an Upgrade header with value "websocket"'
            " but the request was not a valid WebSocket request.\\n"
        )
        try:
            yield "client", showing.line(client.response()), f"400 Bad Request: {must}"
        except GoneError as gone:
            yield "client", shown(gone.left) or "closed", f"400 Bad Request: {must}"


@scenario(
    each={
        "upper": ("Upgrade: WebSocket", "Connection: upgrade", "opened"),
        "token-list": ("Upgrade: foo, websocket", "Connection: keep-alive, Upgrade", "opened"),
        "no-connection": ("Upgrade: websocket", "X-A: 1", "GET"),
    }
)
def woh_handshake_tokens(system, stage, one, two, must):
    stage.answer(lambda got, _: opened() if got.method == "POST" else text(body=got.method))
    sent = request(
        "GET", "/", stage.host, one, two, "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"
    )
    with Client(system.port) as client:
        client.send(sent)
        answer = client.response()
        yield "client", "opened" if answer.status == 101 else answer.body.decode(), must


@scenario("HOST,path_beg=/only ORIGIN,over_http")
def woh_no_route(system, stage):
    with WebSocket(system.port, "/", stage.host) as client:
        yield (
            "client",
            showing.response(client.answer),
            r"""
            HTTP/1.1 502 Bad Gateway
            Content-Length: 16

            Route not found\n
            """,
        )


@scenario("HOST,debug REFUSING,over_http DOWN,over_http")
def woh_origin_down_debug(system, stage):
    with WebSocket(system.port, "/", stage.host) as client:
        yield (
            "client",
            showing.line(client.answer),
            f"502 Bad Gateway: {tried(stage)}",
        )


@scenario("HOST REFUSING,over_http ORIGIN,over_http")
def woh_falls_back(system, stage):
    stage.answer(opened(("TEXT", "m:second")))
    with WebSocket(system.port, "/", stage.host) as client:
        yield "status", client.answer.status, 101
        yield "message", client.message(), "text second"


@scenario(
    each={
        "403": (
            text("X-A: 1", "Set-Meta-A: 1", body="no", status="403 Forbidden"),
            "HTTP/1.1 403 Forbidden\nContent-Type: text/plain\nX-A: 1\nSet-Meta-A: 1\n"
            "Content-Length: 2\n\nno",
        ),
        "302": (
            reply("302 Found", "Location: /x"),
            "HTTP/1.1 302 Found\nLocation: /x\nContent-Length: 0",
        ),
        "200-plain": (
            text(body="plain"),
            "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 5\n\nplain",
        ),
        "500-events": (
            reply("500 Oops", "Content-Type: application/websocket-events", body=b"OPEN\r\n"),
            "HTTP/1.1 500 Oops\nContent-Type: application/websocket-events\n"
            "Content-Length: 6\n\nOPEN\\r\\n",
        ),
        "no-events": (
            events(),
            "HTTP/1.1 502 Bad Gateway\nContent-Length: 32\n\nError while proxying to origin.\\n",
        ),
        "not-open": (
            events(("TEXT", "x")),
            "HTTP/1.1 502 Bad Gateway\nContent-Length: 32\n\nError while proxying to origin.\\n",
        ),
        "lower-case-open": (
            events("open"),
            "HTTP/1.1 502 Bad Gateway\nContent-Length: 32\n\nError while proxying to origin.\\n",
        ),
        "bad-size": (
            reply(
                "200 OK", "Content-Type: application/websocket-events", body="OPEN\r\nTEXT zz\r\n"
            ),
            "HTTP/1.1 502 Bad Gateway\nContent-Length: 32\n\nError while proxying to origin.\\n",
        ),
    }
)
def woh_refused(system, stage, answer, must):
    stage.answer(answer)
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", showing.response(client.answer), must
        yield "then", client.ended(seconds=0.1), "open"


@scenario()
def woh_large_refusal(system, stage):
    stage.answer(text(body=b"x" * 9000, status="403 Forbidden"))
    with Client(system.port) as client:
        client.send(upgrade("/", stage.host))
        try:
            answer = client.response()
            yield "client", (answer.status, len(answer.body)), (403, 9000)
        except GoneError:
            yield "client", "closed", (403, 9000)


@scenario()
def woh_content_type_parameters(system, stage):
    kind = "Application/WebSocket-Events; charset=utf-8"
    stage.answer(reply("200 OK", f"Content-Type: {kind}", body=b"OPEN\r\n"))
    with WebSocket(system.port, "/", stage.host) as client:
        yield "status", client.answer.status, 101


@scenario()
def woh_frames_before_the_answer_are_kept(system, stage):
    stage.answer(stage.late(opened()), events())
    with Client(system.port) as client:
        client.send(upgrade("/", stage.host) + frame_bytes("text", "early", masking=True))
        stage.request()
        stage.gate.set()
        yield "status", client.response().status, 101
        yield "event", shown(stage.request().body), r"TEXT 5\r\nearly\r\n"


# Events to the origin


@scenario(
    each={
        "text": ([("text", "hi")], r"TEXT 2\r\nhi\r\n"),
        "empty": ([("text", "")], r"TEXT\r\n"),
        "binary": ([("binary", b"\0\xff")], r"BINARY 2\r\n\x00\xff\r\n"),
        "binary-empty": ([("binary", b"")], r"BINARY\r\n"),
        "ping": ([("ping", "p")], r"PING 1\r\np\r\n"),
        "ping-empty": ([("ping", "")], r"PING\r\n"),
        "pong": ([("pong", "p")], r"PONG 1\r\np\r\n"),
        "hex": ([("text", "x" * 171)], rf"TEXT ab\r\n{'x' * 171}\r\n"),
    }
)
def woh_event(system, stage, frames, must):
    stage.answer(opened(), events())
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        for kind, content in frames:
            client.put(kind, content)
        yield "origin", shown(stage.request().body), must


@scenario()
def woh_fragments_are_joined(system, stage):
    stage.answer(opened(), events())
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "a", fin=False)
        client.put("continuation", "b", fin=False)
        client.put("continuation", "c")
        yield "origin", shown(stage.request().body), r"TEXT 3\r\nabc\r\n"


@scenario()
def woh_ping_between_fragments(system, stage):
    stage.answer(opened(), events())
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "a", fin=False)
        client.put("ping", "p")
        client.put("continuation", "b")
        got = ""
        while not got.endswith((r"ab\r\n", r"DISCONNECT\r\n")):
            got += shown(stage.request().body)
        yield "origin", got, r"PING 1\r\np\r\nTEXT 2\r\nab\r\n"


@scenario()
def woh_queued_events_go_together(system, stage):
    def busy(_, __):
        stage.gate.wait(5)
        return events()

    stage.answer(opened(), busy, events())
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "1")
        yield "first", shown(stage.request().body), r"TEXT 1\r\n1\r\n"
        client.send(client.frame("text", "2") + client.frame("binary", "3") + client.frame("text"))
        client.put("ping", "here")
        yield "one at a time", stage.quiet(seconds=0.1), True
        stage.gate.set()
        must = r"TEXT 1\r\n2\r\nBINARY 1\r\n3\r\nTEXT\r\nPING 4\r\nhere\r\n"
        yield "then", shown(stage.request().body), must


@scenario("HOST ORIGIN,over_http,one_event")
def woh_one_event(system, stage):
    def busy(_, __):
        stage.gate.wait(5)
        return events()

    stage.answer(opened(), busy, events())
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "1")
        stage.request()
        client.send(client.frame("text", "2") + client.frame("text") + client.frame("text", "3"))
        client.put("close", closing(1000))
        stage.gate.set()
        yield (
            "origin",
            bodies(stage, 4),
            [
                r"TEXT 1\r\n2\r\n",
                r"TEXT\r\n",
                r"TEXT 1\r\n3\r\n",
                r"CLOSE 2\r\n\x03\xe8\r\n",
            ],
        )


@scenario(each={"reset": (True,), "closed": (False,)})
def woh_client_vanishes(system, stage, reset):
    stage.answer(opened(), reply("500 Oops"))
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        if reset:
            client.reset()
        else:
            client.close()
        got = stage.request()
        yield "origin", shown(got.body), r"DISCONNECT\r\n"
        yield "id", got.value("connection-id") == stage.requests[0].value("connection-id"), True


@scenario()
def woh_client_vanishes_while_opening(system, stage):
    stage.answer(stage.late(opened()), events())
    with Client(system.port) as client:
        client.send(upgrade("/", stage.host))
        stage.request()
        client.reset()
        stage.gate.set()
        yield "origin", shown(stage.request().body), r"DISCONNECT\r\n"


# Events from the origin


@scenario(
    each={
        "text": ([("TEXT", "m:hi")], ["text hi"]),
        "text-empty": ([("TEXT", "m:")], ["text"]),
        "binary": ([("BINARY", b"m:\0\xff")], [r"binary \x00\xff"]),
        "ping": ([("PING", "p")], ["ping p"]),
        "pong": ([("PONG", "p")], ["pong p"]),
        "ping-empty": (["PING"], ["ping"]),
        "unprefixed": ([("TEXT", "hi"), ("BINARY", "c:{}")], []),
        "unknown": ([("NOPE", "x"), "NOPE", ("text", "m:x")], []),
        "several": (
            [("TEXT", "m:1"), ("TEXT", "m:2"), ("BINARY", "m:3")],
            ["text 1", "text 2", "binary 3"],
        ),
        "long": ([("TEXT", "m:" + "x" * 16000)], ["text " + "x" * 16000]),
        "disconnect": ([("TEXT", "m:1"), "DISCONNECT", ("TEXT", "m:no")], ["text 1", "dropped"]),
        "close": ([("CLOSE", closing(4001, "bye")), ("TEXT", "m:no")], ["close 4001 bye"]),
        "close-empty": (["CLOSE"], ["close 1000"]),
        "close-zero": ([("CLOSE", closing(0))], ["close 1000"]),
        "second-open": ([("TEXT", "m:1"), "OPEN"], ["text 1", "dropped"]),
    }
)
def woh_from_origin(system, stage, named, must):
    stage.answer(opened(*named, ("TEXT", "m:end")), events())
    with WebSocket(system.port, "/", stage.host) as client:
        seen = []
        while not seen or not seen[-1].startswith(("text end", "close", "dropped")):
            seen.append(client.message())
    yield "client", [s for s in seen if s != "text end"], must


@scenario(slow=True)
def woh_large_event_from_origin(system, stage):
    stage.answer(opened(("TEXT", "m:" + "x" * 40000)), events())
    with WebSocket(system.port, "/", stage.host, seconds=3) as client:
        try:
            yield "length", len(client.message()), 40005
        except DeadlineError:
            yield "length", "stalls", 40005


@scenario(
    each={
        "hex-prefix": (b"TEXT 0x4\r\nm:ab\r\n",),
        "negative": (b"TEXT -1\r\nm:ab\r\n",),
        "too-short": (b"TEXT 9\r\nm:ab\r\n",),
        "no-crlf": (b"TEXT 4\r\nm:abTEXT 4\r\nm:cd\r\n",),
        "two-blanks": (b"TEXT  4\r\nm:ab\r\n",),
        "word": (b"TEXT x\r\nm:ab\r\n",),
        "no-line-end": (b"TEXT 4",),
    }
)
def woh_malformed_events(system, stage, body):
    stage.answer(
        opened(), reply("200 OK", "Content-Type: application/websocket-events", body=body)
    )
    with WebSocket(system.port, "/", stage.host) as client:
        client.put("text", "x")
        yield "client", client.message(), "close 1011"


@scenario()
def woh_content_at_the_end_may_lack_its_line_end(system, stage):
    body = b"TEXT 4\r\nm:ab"
    stage.answer(
        opened(), reply("200 OK", "Content-Type: application/websocket-events", body=body)
    )
    with WebSocket(system.port, "/", stage.host) as client:
        client.put("text", "x")
        yield "client", client.message(), "text ab"


@scenario(
    each={
        "404": (reply("404 Not Found"),),
        "500": (reply("500 Oops"),),
        "other-type": (text(body="x"),),
    }
)
def woh_bad_answer_ends(system, stage, answer):
    stage.answer(opened(), answer)
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "x")
        stage.request()
        yield "client", client.message(), "close 1011"
        yield "no more requests", stage.quiet(seconds=0.1), True


# Closing


@scenario()
def woh_client_closes(system, stage):
    stage.answer(opened(), events(("CLOSE", closing(4002, "ours"))))
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("close", closing(4001, "bye"))
        yield "origin", shown(stage.request().body), r"CLOSE 5\r\n\x0f\xa1bye\r\n"
        yield "client", client.message(), "close 4002 ours"
        yield "end", client.message(), "dropped"


@scenario()
def woh_client_closes_without_code(system, stage):
    stage.answer(opened(), events("CLOSE"))
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("close")
        yield "origin", shown(stage.request().body), r"CLOSE\r\n"
        yield "client", client.message(), "close 1000"


@scenario()
def woh_client_closes_and_origin_does_not(system, stage):
    stage.answer(opened(), events())
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("close", closing(4001, "bye"))
        stage.request()
        yield "client", client.message(), "close 4001 bye"
        yield "end", client.message(), "dropped"


@scenario()
def woh_origin_closes(system, stage):
    stage.answer(opened(("CLOSE", closing(4001, "bye"))), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", client.message(), "close 4001 bye"
        stage.request()
        client.put("close", closing(4001, "bye"))
        yield "origin", shown(stage.request().body), r"CLOSE 5\r\n\x0f\xa1bye\r\n"
        yield "end", client.message(), "dropped"


@scenario()
def woh_origin_closes_and_client_vanishes(system, stage):
    stage.answer(opened(("CLOSE", closing(4001))), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", client.message(), "close 4001"
        stage.request()
        client.reset()
        yield "origin", shown(stage.request().body), r"DISCONNECT\r\n"


# Meta


@scenario()
def woh_meta(system, stage):
    stage.answer(
        opened(fields=(GRIP, "Set-Meta-A_b: 1", "set-meta-lower: 2", "Set-Meta-Two: x")),
        events(fields=("Set-Meta-a_B: 3", "Set-Meta-Lower: ", "Set-Meta-New: n")),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "1")
        first = [f"{n}: {v}" for n, v in stage.request().fields if n.lower().startswith("meta-")]
        yield "first", sorted(first), ["Meta-A_b: 1", "Meta-Two: x", "Meta-lower: 2"]
        client.put("text", "2")
        second = [f"{n}: {v}" for n, v in stage.request().fields if n.lower().startswith("meta-")]
        yield (
            "second",
            sorted(s.lower() for s in second),
            ["meta-a_b: 3", "meta-new: n", "meta-two: x"],
        )


# Grip extension and controls


@scenario(
    each={
        "plain": ("grip", "m:"),
        "among-others": ("foo, grip", "m:"),
        "prefix": ("grip; message-prefix=zz", "zz"),
        "prefix-blanks": ("grip ; message-prefix = zz", "zz"),
        "prefix-quoted": ('grip;message-prefix="a\\"b"', 'a"b'),
        "prefix-empty": ('grip; message-prefix=""', ""),
        "prefix-bare": ("grip; message-prefix", ""),
        "unknown-parameter": ("grip; x", "m:"),
    }
)
def woh_prefix(system, stage, extension, prefix):
    channel = stage.channel("a")
    stage.answer(
        opened(
            subscribe(channel),
            ("TEXT", f"{prefix}one"),
            ("BINARY", f"{prefix}two"),
            fields=(f"Sec-WebSocket-Extensions: {extension}",),
        ),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", [client.message(), client.message()], ["text one", "binary two"]


@scenario(
    each={
        "absent": ((),),
        "case": (("Sec-WebSocket-Extensions: GRIP",),),
        "nothing-after-equals": (("Sec-WebSocket-Extensions: grip; message-prefix=",),),
        "unterminated": (('Sec-WebSocket-Extensions: grip; message-prefix="x',),),
    }
)
def woh_without_grip_all_is_data(system, stage, fields):
    stage.answer(opened(("TEXT", "c:{}"), ("TEXT", "m:x"), fields=fields), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", [client.message(), client.message()], ["text c:{}", "text m:x"]


@scenario("HOST,no_grip ORIGIN,over_http")
def woh_no_grip_route(system, stage):
    stage.answer(opened(("TEXT", "c:{}"), ("TEXT", "m:x")), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", [client.message(), client.message()], ["text c:{}", "text m:x"]
    got = stage.request()
    names = "grip-sig", "grip-feature", "sec-websocket-extensions"
    yield "origin", showing.chosen(got, *names), ""


@scenario()
def woh_subscribe_and_publish(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel), ("TEXT", "m:ready")), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "ready", client.message(), "text ready"
        system.subscribed(channel)
        system.publish(
            [
                said(channel, "one"),
                said(channel, "two", type="binary"),
                said(channel, "p", type="ping"),
                said(channel, "q", type="pong"),
                said(channel, "", type="ping"),
                {"channel": channel, "formats": {"ws-message": {"content-bin": "AP8="}}},
                {
                    "channel": channel,
                    "formats": {"ws-message": {"type": "text", "content-bin": "eA=="}},
                },
                {"channel": channel, "formats": {"ws-message": {"action": "hint"}}},
                said(channel, "last"),
            ]
        )
        yield (
            "client",
            [client.message() for _ in range(8)],
            [
                "text one",
                "binary two",
                "ping p",
                "pong q",
                "ping",
                r"binary \x00\xff",
                "text x",
                "text last",
            ],
        )


@scenario()
def woh_published_ping_without_content(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel)), events())
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        system.publish(
            [
                {"channel": channel, "formats": {"ws-message": {"type": "ping"}}},
                said(channel, "last"),
            ]
        )
        yield "client", client.message(), "ping"


@scenario()
def woh_published_large_message_is_one_frame(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel)), events())
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        system.publish([said(channel, "x" * 30000)])
        frame = client.get()
        yield "frame", (frame.kind, frame.fin, len(frame.content)), ("text", True, 30000)


@scenario(
    each={
        "plain": ({}, "close 1000"),
        "code": ({"code": 4001, "reason": "bye"}, "close 4001 bye"),
        "code-as-text": ({"code": "4002"}, "close 4002"),
        "reason-alone": ({"reason": "bye"}, "close 1000 bye"),
    }
)
def woh_published_close(system, stage, more, must):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel)), events())
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        stage.request()
        system.publish([close_item(channel, **more), said(channel, "no")])
        yield "client", client.message(), must
        yield "origin", shown(stage.request().body), r"CLOSE\r\n"
        client.put("close", closing(1000))
        yield "end", client.message(), "dropped"


@scenario()
def woh_published_long_close_reason(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel)), events())
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        system.publish([close_item(channel, code=4001, reason="é" * 100)])
        yield "client", client.message(), "close 4001 " + shown(("é" * 61).encode())


@scenario()
def woh_unsubscribe(system, stage):
    one, two = stage.channel("1"), stage.channel("2")
    stage.answer(
        opened(subscribe(one), subscribe(two), control(type="unsubscribe", channel=one)), events()
    )
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(two)
        wait_until(lambda: system.watch.saw(b"\x00" + one.encode()), "the unsubscription")
        system.publish([said(one, "no"), said(two, "yes")])
        yield "client", client.message(), "text yes"


@scenario("HOST,prefix=p- ORIGIN,over_http,sub=NAME-implicit")
def woh_prefix_and_implicit_channel(system, stage):
    channel, implicit = stage.channel("a"), stage.channel("implicit")
    stage.answer(
        opened(subscribe(channel), control(type="unsubscribe", channel=implicit)), events()
    )
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(f"p-{channel}")
        system.subscribed(implicit)
        system.publish([said(channel, "no"), said(f"p-{channel}", "one"), said(implicit, "two")])
        yield "client", [client.message(), client.message()], ["text one", "text two"]


@scenario("HOST ORIGIN,over_http,sub=NAME-implicit")
def woh_implicit_channel_without_grip(system, stage):
    stage.answer(opened(("TEXT", "c:raw"), fields=()), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "raw", client.message(), "text c:raw"
        system.subscribed(stage.channel("implicit"))
        system.publish([said(stage.channel("implicit"), "item")])
        yield "item", client.message(), "text item"


@scenario()
def woh_twenty_channels(system, stage):
    names = [stage.channel(str(n)) for n in range(22)]
    stage.answer(opened(*(subscribe(n) for n in names)), events())
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(names[19])
        system.publish([said(n, n) for n in (names[20], names[21], names[19], names[0])])
        yield (
            "client",
            [client.message(), client.message()],
            [
                f"text {names[19]}",
                f"text {names[0]}",
            ],
        )


@scenario(
    each={
        "not-json": ("c:{x",),
        "array": ("c:[]",),
        "no-type": ("c:{}",),
        "unknown-type": ('c:{"type": "nope"}',),
        "type-case": ('c:{"type": "Subscribe", "channel": "CHANNEL"}',),
        "no-channel": ('c:{"type": "subscribe"}',),
        "empty-channel": ('c:{"type": "subscribe", "channel": ""}',),
        "channel-type": ('c:{"type": "subscribe", "channel": 5}',),
        "filters-type": ('c:{"type": "subscribe", "channel": "CHANNEL", "filters": [1]}',),
        "meta-value-type": ('c:{"type": "set-meta", "name": "a", "value": 5}',),
        "meta-name": ('c:{"type": "set-meta"}',),
        "keep-alive-type": ('c:{"type": "keep-alive", "message-type": "x", "content": "no"}',),
        "keep-alive-content": ('c:{"type": "keep-alive", "content": 5}',),
        "keep-alive-timeout": ('c:{"type": "keep-alive", "content": "no", "timeout": -1}',),
        "keep-alive-mode": ('c:{"type": "keep-alive", "content": "no", "mode": 1}',),
        "delayed-content": ('c:{"type": "send-delayed", "content": null}',),
    }
)
def woh_bad_control_is_ignored(system, stage, message):
    channel = stage.channel("a")
    other = stage.channel("other")
    bad = ("TEXT", message.replace("CHANNEL", other))
    flush = control(type="flush-delayed")
    stage.answer(opened(bad, flush, subscribe(channel), ("TEXT", "m:ready")), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", client.message(), "text ready"
        system.subscribed(channel)
        system.publish([said(other, "no"), said(channel, "yes")])
        yield "item", client.message(), "text yes"


@scenario()
def woh_filters_and_meta(system, stage):
    channel = stage.channel("a")
    stage.answer(
        opened(
            control(type="set-meta", name="user", value="me"),
            control(type="set-meta", name="gone", value="x"),
            control(type="set-meta", name="gone"),
            subscribe(channel, filters=["skip-self", "var-subst"]),
        ),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        system.publish(
            [
                said(channel, "no") | {"meta": {"sender": "me"}},
                said(channel, "%(user)s") | {"meta": {"sender": "you"}},
                said(channel, "%(gone)s"),
                said(channel, "x", **{"content-filters": ["build-id"]}),
                said(channel, "y", **{"content-filters": ["var-subst"]}),
                said(channel, "last"),
            ]
        )
        yield "client", [client.message() for _ in range(3)], ["text me", "text y", "text last"]


@scenario()
def woh_resubscribe_replaces_filters(system, stage):
    channel, other = stage.channel("a"), stage.channel("b")
    stage.answer(
        opened(subscribe(channel, filters=["var-subst"]), subscribe(channel), subscribe(other)),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(other)
        system.publish([said(channel, "%(raw)s")])
        yield "client", client.message(), "text %(raw)s"


@scenario(slow=True, each={"idle": ("idle", "text"), "interval": ("interval", "binary")})
def woh_keep_alive(system, stage, mode, kind):
    stage.answer(
        opened(
            control(type="keep-alive", mode=mode, content="k", timeout=1, message_type=kind),
        ),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", [client.message(), client.message()], [f"{kind} k", f"{kind} k"]


@scenario()
def woh_delayed(system, stage):
    stage.answer(
        opened(
            control(type="send-delayed", content="one", timeout=100),
            control(type="send-delayed", content="two", timeout=100, message_type="binary"),
            control(type="flush-delayed"),
            control(type="flush-delayed"),
        ),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", [client.message(), client.message()], ["text one", "binary two"]


@scenario(slow=True)
def woh_delayed_is_sent_in_time(system, stage):
    stage.answer(opened(control(type="send-delayed", content="late", timeout=1)), events())
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", client.message(), "text late"


@scenario()
def woh_detach(system, stage):
    channel = stage.channel("a")
    stage.answer(
        opened(subscribe(channel)), events(control(type="detach"), ("TEXT", "m:still")), events()
    )
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        stage.request()
        client.put("text", "x")
        yield "event", shown(stage.request().body), r"TEXT 1\r\nx\r\n"
        yield "origin", shown(stage.request().body), r"CLOSE\r\n"
        yield "client", client.message(), "text still"
        client.put("text", "ignored")
        system.publish([said(channel, "item")])
        yield "item", client.message(), "text item"
        yield "no more requests", stage.quiet(seconds=0.1), True
        client.put("close", closing(4003, "bye"))
        yield "close", client.message(), "close 4003 bye"


@scenario()
def woh_detached_ping_is_answered(system, stage):
    stage.answer(opened(control(type="detach"), ("TEXT", "m:detached")), events())
    with WebSocket(system.port, "/", stage.host, seconds=0.5) as client:
        yield "client", client.message(), "text detached"
        stage.request(), stage.request()
        client.put("ping", "p")
        yield "pong", attempt(client.message), "pong p"


@scenario("HOST SPARE,over_http", slow=True)
def woh_request_is_tried_again(system, stage):
    """An origin that is not reached is tried again after a second or two."""
    with Origin(stage.spare) as origin, origin.stage(stage.name) as first:
        first.answer(opened(), ending(events(fields=["Connection: close"])))
        client = WebSocket(system.port, "/", stage.host)
        client.put("text", "1")
        first.request(), first.request()
        wait_until(first.idle, "the answers")
    with client:
        client.put("text", "2")
        yield "waits", client.ended(seconds=0.5), "open"
        with Origin(stage.spare) as origin, origin.stage(stage.name) as second:
            second.answer(events(("TEXT", "m:back")))
            yield "client", client.message(), "text back"
            yield "event", shown(second.request().body), r"TEXT 1\r\n2\r\n"


@scenario()
def woh_content_bytes_accepted(system, stage):
    """An origin may take less than it was offered; the rest comes again with what is new."""
    stage.answer(
        opened(),
        events(fields=["Content-Bytes-Accepted: 5"]),
        events(fields=["Content-Bytes-Accepted: 9"]),
        events(),
    )
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        client.put("text", "[foo][hello")
        yield "first", shown(stage.request().body), r"TEXT b\r\n[foo][hello\r\n"
        yield "not yet", stage.quiet(seconds=0.2), True
        client.put("text", "[x]")
        got = stage.request()
        yield "second", shown(got.body), r"TEXT 6\r\n[hello\r\nTEXT 3\r\n[x]\r\n"
        yield "replayed", got.value("content-bytes-replayed"), "6"
        client.put("text", "last")
        got = stage.request()
        yield "third", shown(got.body), r"TEXT 4\r\nlast\r\n"
        yield "none replayed", got.value("content-bytes-replayed"), None


@scenario(each={"at-limit": (1_000_000, "kept"), "over": (1_000_001, "close 1009")})
def woh_message_limit(system, stage, size, must):
    stage.answer(opened(), events(("TEXT", "m:kept")))
    with WebSocket(system.port, "/", stage.host) as client:
        stage.request()
        try:
            client.put("binary", b"x" * size)
            came = client.message()
        except OSError:
            came = "dropped"
        yield "client", came.removeprefix("text ").strip(), must


@scenario()
def woh_response_limit(system, stage):
    stage.answer(opened(), events(("TEXT", "m:" + "x" * 1_000_000)))
    with WebSocket(system.port, "/", stage.host) as client:
        client.put("text", "x")
        yield "client", client.message(), "close 1011"


# Refresh and conncheck


@scenario()
def woh_refresh_command(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel)), events(), events(("TEXT", "m:refreshed")))
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        cid = stage.request().value("connection-id")
        reply_ = called(system, id="1", method="conncheck", args={"ids": [cid, "x"]})
        yield "conncheck", reply_["value"] == [cid], True
        yield "by id", called(system, id="1", method="refresh", args={"cid": cid}), DONE
        yield "request", stage.request().body, b""
        args = {"channel": channel}
        yield "by channel", called(system, id="1", method="refresh", args=args), DONE
        got = stage.request()
        yield "second", (got.body, got.value("content-length")), (b"", "0")
        yield "client", client.message(), "text refreshed"


@scenario()
def woh_refresh_published(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel)), events(("TEXT", "m:refreshed")))
    with WebSocket(system.port, "/", stage.host) as client:
        system.subscribed(channel)
        formats = {"ws-message": {"action": "refresh"}}
        system.publish([{"channel": channel, "formats": formats}, said(channel, "x")])
        client.seconds = 1
        seen = [attempt(client.message), attempt(client.message)]
        yield "client", sorted(seen), ["text refreshed", "text x"]


@scenario(slow=True)
def woh_keep_alive_interval_field(system, stage):
    """Less than 20 seconds counts as 20."""
    stage.answer(opened(fields=(GRIP, "Keep-Alive-Interval: 1")), events(("TEXT", "m:asked")))
    with WebSocket(system.port, "/", stage.host, seconds=25) as client:
        yield "client", client.message(), "text asked"
    stage.request()
    yield "request", stage.request().body, b""


# Plain HTTP on the same route


@scenario(
    each={
        "exact": ("application/websocket-events",),
        "parameter": ("application/websocket-events; x=1",),
        "upper": ("Application/WebSocket-Events",),
    }
)
def woh_events_from_a_client_are_refused(system, stage, kind):
    stage.answer(text(body="served"))
    answer = ask(
        system.port, request("POST", "/", stage.host, f"Content-Type: {kind}", body=b"OPEN\r\n")
    )
    yield (
        "client",
        showing.line(answer),
        ("403 Forbidden: Client not allowed to send WebSocket events directly.\\n"),
    )


# The test target


@scenario("HOST test")
def woh_test_target(system, stage):
    channel = stage.channel("a")
    with WebSocket(system.port, f"/ws?channel={channel}", stage.host) as client:
        yield "status", client.answer.status, 101
        client.put("text", "echo")
        yield "echo", client.message(), "text echo"
        client.put("binary", b"\0")
        yield "binary", client.message(), r"binary \x00"
        system.subscribed(channel)
        system.publish([said(channel, "item")])
        yield "item", client.message(), "text item"
        client.put("close", closing(4001, "bye"))
        yield "close", client.message(), "close 4001 bye"


@scenario("HOST test")
def woh_test_target_elsewhere(system, stage):
    with WebSocket(system.port, "/other", stage.host) as client:
        yield (
            "client",
            showing.response(client.answer),
            r"""
            HTTP/1.1 404 Not Found
            Content-Type: text/plain
            Content-Length: 22

            no such test resource\n
            """,
        )

"""WebSockets relayed to an origin that speaks WebSocket; frames (websockets.md 2, 3)."""

from tests.wire.client import (
    DeadlineError,
    Frames,
    GoneError,
    WebSocket,
    attempt,
    closing,
)
from tests.wire.origin import breaking, reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.overhttp import GRIP, close_item, control, said, subscribe
from tests.wire.scenarios.telling import scenario

ROUTE = "HOST ORIGIN"


def sides(system, stage, *fields: str, seconds: float = 5.0):
    """Open a WebSocket through the proxy and return both ends."""
    stage.answer(stage.opening(*fields))
    client = WebSocket(system.port, "/ws", stage.host, seconds=seconds)
    return client, stage.socket()


@scenario(ROUTE)
def ws_opens(system, stage):
    stage.answer(
        stage.opening("X-R: r", "Sec-WebSocket-Protocol: p2", "Server: o", "Set-Cookie: a=1", GRIP)
    )
    sent = (
        "Cookie: a=1",
        "Sec-WebSocket-Protocol: p1, p2",
        "Origin: http://x.example",
        "Accept-Encoding: gzip",
        "Grip-Foo: y",
        "Connection-Id: z",
        "Sec-WebSocket-Extensions: permessage-deflate",
    )
    with WebSocket(system.port, "/a?b=1", stage.host, *sent) as client:
        yield (
            "client",
            showing.response(client.answer),
            """
            HTTP/1.1 101 Switching Protocols
            X-R: r
            Sec-WebSocket-Protocol: p2
            Server: o
            Set-Cookie: a=1
            Upgrade: websocket
            Connection: Upgrade
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
            """,
        )
    got = stage.request()
    yield "line", f"{got.method} {got.target} {got.version}", "GET /a?b=1 HTTP/1.1"
    own = "upgrade", "connection", "sec-websocket-version"
    yield (
        "handshake",
        sorted(showing.chosen(got, *own).split("\n")),
        [
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Upgrade: websocket",
        ],
    )
    yield "connection id", got.value("connection-id"), "z"
    yield "own key", got.value("sec-websocket-key") not in (None, "dGhlIHNhbXBsZSBub25jZQ=="), True
    rest = "\n".join(
        line
        for line in showing.request(got).split("\n")[1:]
        if line.partition(":")[0].lower() not in (*own, "sec-websocket-key")
    )
    yield (
        "fields",
        rest.strip(),
        f"""
        Host: {stage.host}
        Cookie: a=1
        Sec-WebSocket-Protocol: p1, p2
        Origin: http://x.example
        Connection-Id: ID
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        Sec-WebSocket-Extensions: grip
        """,
    )


@scenario("HOST,no_grip ORIGIN")
def ws_no_grip(system, stage):
    client, origin = sides(system, stage, GRIP)
    with client:
        origin.put("text", "c:{}")
        origin.put("text", "m:x")
        yield "client", [client.message(), client.message()], ["text c:{}", "text m:x"]
        yield "extension", client.answer.values("sec-websocket-extensions"), []
    names = "grip-sig", "grip-feature", "sec-websocket-extensions"
    yield "origin", showing.chosen(stage.request(), *names), ""


@scenario(
    ROUTE,
    each={
        "text": ("text", "hi", "text hi"),
        "text-empty": ("text", "", "text"),
        "binary": ("binary", b"\0\xff", r"binary \x00\xff"),
        "ping": ("ping", "", "ping"),
        "pong": ("pong", "", "pong"),
        "ping-content": ("ping", "p", "ping p"),
        "pong-content": ("pong", "p", "pong p"),
        "large": ("text", "x" * 100_000, "text " + "x" * 100_000),
    },
)
def ws_relays(system, stage, kind, content, must):
    client, origin = sides(system, stage)
    with client:
        client.put(kind, content)
        yield "to the origin", origin.message() == must, True
        origin.put(kind, content)
        yield "to the client", client.message() == must, True


@scenario(ROUTE)
def ws_frames_are_masked_to_origins_only(system, stage):
    client, origin = sides(system, stage)
    with client:
        client.put("text", "a")
        yield "origin", origin.get().masked, True
        origin.put("text", "b")
        yield "client", client.get().masked, False


@scenario(ROUTE)
def ws_fragments_pass(system, stage):
    client, origin = sides(system, stage)
    with client:
        client.put("text", "a", fin=False)
        client.put("continuation", "b")
        yield "origin", origin.message(), "text ab"
        origin.put("binary", "c", fin=False)
        origin.put("continuation", "d", fin=False)
        origin.put("continuation", "e")
        yield "client", client.message(), "binary cde"


@scenario(ROUTE)
def ws_streams_fragments(system, stage):
    """What has come goes on; the end of the message is not waited for."""
    client, origin = sides(system, stage, seconds=1)
    with client:
        origin.put("text", "begin", fin=False)
        yield "client", str(client.get()), "text+ begin"


@scenario(ROUTE, each={"client": (True,), "origin": (False,)})
def ws_control_between_fragments(system, stage, from_client):
    client, origin = sides(system, stage)
    with client:
        sender, receiver = (client, origin) if from_client else (origin, client)
        sender.put("text", "a", fin=False)
        sender.put("ping")
        sender.put("continuation", "b")
        pings, data = 0, b""
        receiver.seconds = 1
        try:
            while not data.endswith(b"b"):
                frame = receiver.get()
                pings += frame.kind == "ping"
                data += frame.content
        except GoneError:
            data = b"dropped"
        yield "pings", pings, 1
        yield "message", data.decode(), "ab"


# GRIP


@scenario(ROUTE)
def ws_controls_and_prefix(system, stage):
    channel = stage.channel("a")
    client, origin = sides(system, stage, GRIP)
    with client:
        origin.put("text", "dropped")
        origin.put("binary", "c:{}")
        origin.put("text", subscribe(channel)[1])
        origin.put("text", "m:text")
        origin.put("binary", "m:binary")
        yield "client", [client.message(), client.message()], ["text text", "binary binary"]
        system.subscribed(channel)
        system.publish([said(channel, "item"), said(channel, "bytes", type="binary")])
        yield "items", [client.message(), client.message()], ["text item", "binary bytes"]
        client.put("text", "c:{}")
        yield "from the client", origin.message(), "text c:{}"


@scenario(ROUTE)
def ws_prefix_over_fragments(system, stage):
    """Judged as a whole: a dropped message vanishes with all its fragments."""
    channel = stage.channel("a")
    client, origin = sides(system, stage, GRIP)
    with client:
        origin.put("text", "no", fin=False)
        origin.put("continuation", " prefix")
        origin.put("text", "m", fin=False)
        origin.put("continuation", ":split")
        message = subscribe(channel)[1]
        origin.put("text", message[:1], fin=False)
        origin.put("continuation", message[1:])
        origin.put("text", "m:end")
        seen = []
        while not seen or seen[-1] != "text end":
            seen.append(client.message())
        yield "client", seen, ["text split", "text end"]
        subscribed = attempt(lambda: system.subscribed(channel, seconds=0.5), "not subscribed")
        yield "subscribed", subscribed, None


@scenario(ROUTE)
def ws_published_while_fragments_pass(system, stage):
    """Published messages wait for the last fragment; a second client tells when they have come."""
    channel = stage.channel("a")
    client, origin = sides(system, stage, GRIP)
    witness, other = sides(system, stage, GRIP)
    with client, witness:
        for wire in (origin, other):
            wire.put("text", subscribe(channel)[1])
        system.subscribed(channel, times=2)
        origin.put("text", "m:one ", fin=False)
        yield "first", str(client.get()), "text+ one"
        system.publish([said(channel, "item")])
        system.publish([said(channel, "more")])
        yield "witness", [witness.message(), witness.message()], ["text item", "text more"]
        origin.put("continuation", "two")
        yield "second", str(client.get()), "continuation two"
        system.publish([said(channel, "last")])
        yield "item", client.message(), "text item"


@scenario(ROUTE)
def ws_detach(system, stage):
    channel = stage.channel("a")
    client, origin = sides(system, stage, GRIP)
    with client:
        origin.put("text", subscribe(channel)[1])
        system.subscribed(channel)
        origin.put("text", control(type="detach")[1])
        yield "origin", origin.message(), "close 1000"
        origin.put("close", closing(1000))
        system.publish([said(channel, "item")])
        yield "client", client.message(), "text item"


@scenario(ROUTE)
def ws_published_close(system, stage):
    channel = stage.channel("a")
    client, origin = sides(system, stage, GRIP)
    with client:
        origin.put("text", subscribe(channel)[1])
        system.subscribed(channel)
        system.publish([close_item(channel, code=4001, reason="bye")])
        yield "client", client.message(), "close 4001 bye"
        yield "origin", origin.message(), "close 1000"
        client.put("close", closing(4001))
        origin.put("close", closing(1000))
        yield "end", client.message(), "dropped"


# Closing


@scenario(
    ROUTE,
    each={
        "code": (closing(4001, "bye"), "close 4001 bye"),
        "none": (b"", "close 1000"),
    },
)
def ws_client_closes(system, stage, content, must):
    client, origin = sides(system, stage)
    with client:
        client.put("close", content)
        yield "origin", origin.message(), must
        origin.put("close", closing(4002, "ours"))
        yield "client", client.message(), "close 4002 ours"
        yield "end", client.message(), "dropped"


@scenario(
    ROUTE,
    each={
        "code": (closing(4001, "bye"), "close 4001 bye"),
        "none": (b"", "close 1000"),
    },
)
def ws_origin_closes(system, stage, content, must):
    client, origin = sides(system, stage)
    with client:
        origin.put("close", content)
        yield "client", client.message(), must
        client.put("close", closing(4002, "mine"))
        yield "origin", origin.message(), "close 4002 mine"
        yield "end", client.message(), "dropped"


@scenario(ROUTE)
def ws_client_vanishes(system, stage):
    client, origin = sides(system, stage)
    with client:
        client.reset()
    yield "origin", origin.message(), "dropped"


@scenario(ROUTE)
def ws_origin_vanishes(system, stage):
    client, origin = sides(system, stage)
    with client:
        origin.reset()
        yield "client", client.message(), "close 1011"


# Refusals


@scenario(
    ROUTE,
    each={
        "403": (
            text("X-A: 1", body="no", status="403 Own"),
            "HTTP/1.1 403 Own\nContent-Type: text/plain\nX-A: 1\nContent-Length: 2\n\nno",
        ),
        "200": (
            text(body="x"),
            "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 1\n\nx",
        ),
        "302": (
            reply("302 Found", "Location: /x"),
            "HTTP/1.1 302 Found\nLocation: /x\nContent-Length: 0",
        ),
        "reset": (
            breaking(),
            "HTTP/1.1 502 Bad Gateway\nContent-Length: 32\n\nError while proxying to origin.\\n",
        ),
        "bad-accept": (
            reply(
                "101 Switching Protocols",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
            "HTTP/1.1 502 Bad Gateway\nContent-Length: 32\n\nError while proxying to origin.\\n",
        ),
    },
)
def ws_refused(system, stage, answer, must):
    stage.answer(answer)
    with WebSocket(system.port, "/", stage.host) as client:
        yield "client", showing.response(client.answer), must


# Frames


def violation(system, stage, raw: bytes) -> tuple[str, str]:
    """Send raw bytes as a client; return what it gets, and the last that the origin gets."""
    client, origin = sides(system, stage, seconds=0.4)
    with client:
        client.send(raw)
        return attempt(client.message), last_frame(origin)


def last_frame(wire: Frames) -> str:
    """Return the last frame before the end or a silence; `dropped` if there was none."""
    wire.seconds, last = 0.4, "nothing"
    while True:
        try:
            last = str(wire.get())
        except GoneError:
            return "dropped" if last == "nothing" else last
        except DeadlineError:
            return last
        if last.startswith("close"):
            return last


def masked_frame(first: int, size: bytes, content: bytes) -> bytes:
    """Write a client's frame with a mask of zeros; `size` is the raw length part."""
    return bytes([first]) + size + b"\0\0\0\0" + content


@scenario(
    ROUTE,
    slow=True,
    each={
        "unmasked": (b"\x81\x01a", 1002),
        "opcode-3": (masked_frame(0x83, b"\x80", b""), 1002),
        "opcode-11": (masked_frame(0x8B, b"\x80", b""), 1002),
        "rsv1": (masked_frame(0xC1, b"\x81", b"a"), 1002),
        "rsv2": (masked_frame(0xA1, b"\x81", b"a"), 1002),
        "rsv3": (masked_frame(0x91, b"\x81", b"a"), 1002),
        "ping-fragmented": (masked_frame(0x09, b"\x81", b"a"), 1002),
        "ping-too-long": (masked_frame(0x89, b"\xfe\x00\x7e", b"x" * 126), 1002),
        "continuation-first": (masked_frame(0x80, b"\x81", b"a"), 1002),
        "text-within-text": (
            masked_frame(0x01, b"\x81", b"a") + masked_frame(0x81, b"\x81", b"b"),
            1002,
        ),
        "not-utf-8": (masked_frame(0x81, b"\x81", b"\xff"), 1007),
        "not-utf-8-split": (
            masked_frame(0x01, b"\x81", b"\xc3") + masked_frame(0x80, b"\x81", b"("),
            1007,
        ),
        "utf-8-cut": (masked_frame(0x81, b"\x81", b"\xc3"), 1007),
        "length-16-for-short": (masked_frame(0x81, b"\xfe\x00\x01", b"a"), 1002),
        "length-64-for-short": (masked_frame(0x81, b"\xff\0\0\0\0\0\0\0\x01", b"a"), 1002),
        "length-top-bit": (masked_frame(0x81, b"\xff\x80\0\0\0\0\0\0\x01", b"a"), 1002),
        "close-one-byte": (masked_frame(0x88, b"\x81", b"\x03"), 1002),
        "close-1005": (masked_frame(0x88, b"\x82", closing(1005)), 1002),
        "close-999": (masked_frame(0x88, b"\x82", closing(999)), 1002),
        "close-2000": (masked_frame(0x88, b"\x82", closing(2000)), 1002),
        "close-reason": (masked_frame(0x88, b"\x83", closing(1000) + b"\xff"), 1007),
    },
)
def frame_violation(system, stage, raw, code):
    seen, there = violation(system, stage, raw)
    yield "client", " ".join(seen.split(" ")[:2]), f"close {code}"
    yield "origin told", there.startswith("close 1001"), True


@scenario(
    ROUTE,
    slow=True,
    each={
        "masked": (b"\x81\x81\0\0\0\0a", 1002),
        "rsv1": (b"\xc1\x01a", 1002),
        "not-utf-8": (b"\x81\x01\xff", 1007),
        "continuation-first": (b"\x80\x01a", 1002),
        "close-code": (b"\x88\x02" + closing(1005), 1002),
    },
)
def frame_violation_of_origin(system, stage, raw, code):
    """Checked on both sides: the origin is told, and the client sees 1011."""
    client, origin = sides(system, stage, seconds=0.4)
    with client:
        origin.send(raw)
        yield "client", " ".join(last_frame(client).split(" ")[:2]), "close 1011"
        yield "origin", " ".join(last_frame(origin).split(" ")[:2]), f"close {code}"

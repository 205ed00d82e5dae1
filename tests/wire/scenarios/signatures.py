"""Grip-Sig, and clients that are GRIP proxies themselves (proxying.md 5, 6)."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from tests.wire.client import Client, Publisher, WebSocket, ask, request
from tests.wire.origin import text
from tests.wire.scenarios import showing
from tests.wire.scenarios.holds import (
    response_hold,
    response_item,
    stream_close,
    stream_hold,
    stream_item,
)
from tests.wire.scenarios.links import numbered
from tests.wire.scenarios.overhttp import opened
from tests.wire.scenarios.telling import scenario

UPSTREAM_KEY = b"upstream-key-of-the-outer-proxy-!"


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def read(token: str | None, key: bytes) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Take a token apart; say whether HS256 with this key fits."""
    head, claims, signature = (token or "..").split(".")
    digest = hmac.new(key, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    return json.loads(_decoded(head)), json.loads(_decoded(claims)), digest == _decoded(signature)


def token(claims: dict[str, object], key: bytes = UPSTREAM_KEY, algorithm: str = "HS256") -> str:
    """Make a token."""
    head = _encoded(json.dumps({"typ": "JWT", "alg": algorithm}).encode())
    body = _encoded(json.dumps(claims).encode())
    digest = hmac.new(key, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{_encoded(digest) if algorithm != 'none' else ''}"


@scenario()
def signature(system, stage):
    stage.answer(text(body="x"))
    before = wall_clock()
    ask(system.port, request("GET", "/", stage.host))
    sent = stage.request().value("grip-sig")
    header, claims, good = read(sent, b"changeme")
    yield "header", header, {"typ": "JWT", "alg": "HS256"}
    yield "claims", list(claims), ["exp", "iss"]
    yield "issuer", claims["iss"], "pushpin"
    yield "expires in about an hour", 3530 <= claims["exp"] - before <= 3605, True
    yield "good", good, True


def wall_clock() -> int:
    """Return the seconds since 1970, as tokens count them."""
    return int(datetime.now(UTC).timestamp())


FRESH = {"iss": "outer", "exp": wall_clock() + 3600}


@scenario(
    setup="dressed",
    each={
        "trusted": (token(FRESH), True),
        "expired": (token({"iss": "outer", "exp": 1}), False),
        "no-exp": (token({"iss": "outer"}), False),
        "other-key": (token(FRESH, b"other"), False),
        "none": (token(FRESH, algorithm="none"), False),
        "garbage": ("garbage", False),
        "audience": (token({**FRESH, "aud": "x"}), True),
    },
)
def trusted_client(system, stage, sent, trusted):
    stage.answer(text("Grip-Foo: 1", body="x"))
    answer = ask(
        system.port, request("GET", "/", stage.host, f"Grip-Sig: {sent}", "Grip-Feature: own")
    )
    got = stage.request()
    yield "signature passed", got.value("grip-sig") == sent, trusted
    yield "feature passed", got.value("grip-feature") == "own", trusted
    yield "response passed", answer.value("grip-foo") == "1", trusted


@scenario(setup="dressed")
def trusted_hold_is_not_held_here(system, stage):
    stage.answer(text("Grip-Hold: stream", "Grip-Channel: a", body="instruct"))
    answer = ask(system.port, request("GET", "/", stage.host, f"Grip-Sig: {token(FRESH)}"))
    yield (
        "client",
        showing.response(answer),
        """
        HTTP/1.1 200 OK
        Content-Type: text/plain
        Grip-Hold: stream
        Grip-Channel: a
        Content-Length: 8

        instruct
        """,
    )


@scenario(setup="dressed")
def trusted_websocket(system, stage):
    """The outer proxy obeys the controls; it is told of the extension."""
    stage.answer(opened(("TEXT", "c:{}"), ("TEXT", "m:x")))
    with WebSocket(system.port, "/", stage.host, f"Grip-Sig: {token(FRESH)}") as client:
        yield "extension", client.answer.value("sec-websocket-extensions"), "grip"
        yield "messages", [client.message(), client.message()], ["text c:{}", "text m:x"]


@scenario(setup="dressed")
def trusted_events_pass(system, stage):
    stage.answer(text(body="served"))
    fields = "Content-Type: application/websocket-events", f"Grip-Sig: {token(FRESH)}"
    answer = ask(system.port, request("POST", "/", stage.host, *fields, body=b"OPEN\r\n"))
    yield "client", showing.line(answer), "200 OK: served"


# Options that the other set-up has off


@scenario(
    setup="dressed",
    each={
        "none": ((), "127.0.0.1"),
        "one": (("1.1.1.1",), "1.1.1.1, 127.0.0.1"),
        "several": (("1.1.1.1", "2.2.2.2,3.3.3.3"), "3.3.3.3, 127.0.0.1"),
    },
)
def forwarded_for_option(system, stage, sent, must):
    stage.answer(text(body="x"))
    ask(system.port, request("GET", "/", stage.host, *(f"X-Forwarded-For: {v}" for v in sent)))
    yield "origin", stage.request().values("x-forwarded-for"), [must]


@scenario(setup="dressed")
def forwarded_for_option_of_trusted(system, stage):
    stage.answer(text(body="x"))
    fields = "X-Forwarded-For: 1.1.1.1, 2.2.2.2", f"Grip-Sig: {token(FRESH)}"
    ask(system.port, request("GET", "/", stage.host, *fields))
    yield "origin", stage.request().values("x-forwarded-for"), ["1.1.1.1, 2.2.2.2"]


@scenario(
    setup="dressed",
    each={
        "none": ((), []),
        "https": (
            ("X-Forwarded-Proto: https",),
            ["X-Forwarded-Proto: https", "X-Forwarded-Protocol: https"],
        ),
        "wss": (
            ("X-Forwarded-Proto: wss",),
            ["X-Forwarded-Proto: https", "X-Forwarded-Protocol: https"],
        ),
        "older": (
            ("X-Forwarded-Protocol: https",),
            ["X-Forwarded-Proto: https", "X-Forwarded-Protocol: https"],
        ),
        "http": (("X-Forwarded-Proto: http",), []),
        "upper": (("X-Forwarded-Proto: HTTPS",), []),
        "list": (("X-Forwarded-Proto: https, http",), []),
    },
)
def forwarded_proto_option(system, stage, fields, must):
    stage.answer(text(body="x"))
    ask(system.port, request("GET", "/", stage.host, *fields))
    seen = showing.chosen(stage.request(), "x-forwarded-proto", "x-forwarded-protocol")
    yield "origin", seen.split("\n") if seen else [], must


@scenario("HOST,ssl=yes,replace_beg=/tls ORIGIN", "HOST,ssl=no ORIGIN", setup="dressed")
def forwarded_proto_chooses_the_route(system, stage):
    stage.answer(text(body="x"))
    ask(system.port, request("GET", "/", stage.host, "X-Forwarded-Proto: https"))
    ask(system.port, request("GET", "/", stage.host))
    yield "origin", [got.target for got in stage.requests], ["/tls/", "/"]


@scenario(
    "HOST,id=NAME-id,path_beg=/p,replace_beg=/by-id ORIGIN",
    "HOST,path_beg=/x,replace_beg=/normal ORIGIN",
    setup="dressed",
    each={
        "known": ("NAME-id", "/p", "/by-id"),
        "unknown": ("nosuch", "/x", "502"),
        "empty": ("", "/x", "/normal"),
        "other-path": ("NAME-id", "/x", "502"),
    },
)
def pushpin_route(system, stage, name, path, must):
    stage.answer(text(body="x"))
    sent = request("GET", path, stage.host, f"Pushpin-Route: {name.replace('NAME', stage.name)}")
    answer = ask(system.port, sent)
    came = stage.requests[0].target if stage.requests else str(answer.status)
    yield "origin", came, must
    if stage.requests:
        yield "removed", stage.requests[0].value("pushpin-route"), None


@scenario("HOST,orig_headers ORIGIN", setup="dressed")
def orig_headers_need_mark(system, stage):
    stage.answer(text(body="x"))
    ask(system.port, request("GET", "/", stage.host, "X-Marked: 1", "X-Other: 2"))
    marked = [f"{n}: {v}" for n, v in stage.request().fields if n.startswith("eb9bf0f5-X")]
    yield "origin", marked, ["eb9bf0f5-X-Other: 2"]


@scenario(setup="dressed", slow=True)
def message_wait_option(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(numbered(channel, 1, 3))
        yield "bodies", client.take(2 * len(b"2\r\n1;\r\n")), b"2\r\n1;\r\n2\r\n3;\r\n"


@scenario(setup="dressed", slow=True)
def linger_option(system, stage):
    """After one second here the subscription of a long-poll is over."""
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Publisher(system.sub_port) as publisher, Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield "first", publisher.frame_about(channel), b"\x01" + channel.encode()
        system.publish([response_item(channel, "x")])
        client.response()
        yield "last", publisher.frame_about(channel), b"\x00" + channel.encode()


@scenario(setup="dressed")
def subscription_max_option(system, stage):
    """Two here."""
    names = [stage.channel(str(n)) for n in range(3)]
    stage.answer(text("Grip-Hold: stream", f"Grip-Channel: {', '.join(names)}", body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(names[1])
        items = [
            stream_item(names[2], "no;"),
            stream_item(names[1], "yes;"),
            stream_close(names[0]),
        ]
        system.publish(items)
        yield "items", b"".join(client.pieces()), b"yes;"


@scenario(setup="dressed")
def debug_option(system, stage):
    stage.answer(text("Grip-Hold: x", body="x"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield (
        "client",
        showing.line(answer),
        (
            "502 Bad Gateway: Failed to parse accept instructions:"
            " Grip-Hold must be set to either 'response' or 'stream'\\n"
        ),
    )

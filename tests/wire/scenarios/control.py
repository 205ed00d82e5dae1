"""The HTTP control port, the command socket and the ZeroMQ inputs (publishing.md 2 to 6, 11)."""

import json

import msgpack
import zmq

from tests.wire.client import (
    Client,
    GoneError,
    Publisher,
    Socket,
    attempt,
    command,
    envelope,
    parsed,
    push,
    request,
    shown,
    tnetstring,
)
from tests.wire.origin import text
from tests.wire.scenarios import showing
from tests.wire.scenarios.holds import stream_close, stream_hold, stream_item
from tests.wire.scenarios.telling import scenario


def asked(system, sent: bytes, *, bodiless: bool = False) -> str:
    """Send bytes to the control port and return what comes."""
    with Client(system.http_port) as client:
        client.send(sent)
        try:
            return showing.response(client.response(bodiless=bodiless))
        except GoneError as gone:
            return f"closed {shown(gone.left)}".rstrip()


def answer(status: str, body: str, *first: str, kind: str = "text/plain", close=True) -> str:
    """Write an answer of the control port; Pushpin closes after each."""
    size = len(body.encode().decode("unicode_escape"))
    lines = [f"HTTP/1.1 {status}", *first, f"Content-Type: {kind}"]
    lines += ["Connection: close"] if close else []
    return "\n".join([*lines, f"Content-Length: {size}", "", body])


CLOSE = "Connection: close"
EMPTY = b'{"items":[]}'
JSON = "application/json"


@scenario(
    each={
        "root": ("GET", "/", (), None, answer("200 OK", r"Pushpin API\n")),
        "root-json": ("GET", "/", (f"Accept: {JSON}",), None, answer("200 OK", r"Pushpin API\n")),
        "not-found": ("GET", "/x", (), None, answer("404 Not Found", r"Not Found\n")),
        "two-slashes": ("POST", "/publish//", (), EMPTY, answer("404 Not Found", r"Not Found\n")),
        "upper": ("POST", "/Publish", (), EMPTY, answer("404 Not Found", r"Not Found\n")),
        "get-publish": (
            "GET",
            "/publish",
            (),
            None,
            answer("405 Method Not Allowed", r"Method not allowed: GET.\n", "Allow: POST"),
        ),
        "options": (
            "OPTIONS",
            "/publish/",
            (),
            None,
            answer("405 Method Not Allowed", r"Method not allowed: OPTIONS.\n", "Allow: POST"),
        ),
        "get-recover": (
            "GET",
            "/recover/",
            (),
            None,
            answer("405 Method Not Allowed", r"Method not allowed: GET.\n", "Allow: POST"),
        ),
        "publish": ("POST", "/publish", (), EMPTY, answer("200 OK", r"Published\n")),
        "publish-slash": ("POST", "/publish/", (), EMPTY, answer("200 OK", r"Published\n")),
        "publish-json": (
            "POST",
            "/publish",
            (f"Accept: {JSON}",),
            EMPTY,
            answer("200 OK", r'{"items":0,"message":"Published","receivers":0}\n', kind=JSON),
        ),
        "accept-last-wins": (
            "POST",
            "/publish",
            ("Accept: application/json, text/plain, */*",),
            EMPTY,
            answer("200 OK", r"Published\n"),
        ),
        "accept-upper": (
            "POST",
            "/publish",
            ("Accept: Text/Plain",),
            EMPTY,
            answer("200 OK", r"Published\n"),
        ),
        "accept-none": (
            "POST",
            "/publish",
            ("Accept: text/html",),
            EMPTY,
            answer(
                "406 Not Acceptable",
                r"Not Acceptable. Supported formats are text/plain and application/json.\n",
            ),
        ),
        "accept-empty": (
            "GET",
            "/",
            ("Accept: ",),
            None,
            answer(
                "406 Not Acceptable",
                r"Not Acceptable. Supported formats are text/plain and application/json.\n",
            ),
        ),
        "length-missing": (
            "POST",
            "/publish",
            (),
            None,
            answer("411 Length Required", r"Request requires Content-Length.\n"),
        ),
        "length-word": (
            "POST",
            "/publish",
            ("Content-Length: x",),
            b"",
            answer("400 Bad Request", r"Bad Content-Length.\n"),
        ),
        "length-large": (
            "POST",
            "/publish",
            ("Content-Length: 1000001",),
            b"",
            answer("400 Bad Request", r"Request body too large.\n"),
        ),
        "header-large": (
            "GET",
            "/",
            (f"X-A: {'x' * 10000}",),
            None,
            answer("400 Bad Request", r"Request header too large.\n"),
        ),
        "query": ("GET", "/?x=1", (), None, answer("200 OK", r"Pushpin API\n")),
        "publish-query": ("POST", "/publish/?iss=x", (), EMPTY, answer("200 OK", r"Published\n")),
        "authorization-unchecked": (
            "POST",
            "/publish/",
            ("Authorization: garbage",),
            EMPTY,
            answer("200 OK", r"Published\n"),
        ),
    }
)
def control(system, stage, method, path, fields, body, must):
    sent = request(method, path, "control", CLOSE, *fields, body=body)
    yield "client", asked(system, sent), must


@scenario(
    each={
        "one-word": (
            b"GET\r\n\r\n",
            answer("400 Bad Request", r"Failed to parse request header.\n"),
        ),
        "bare-lf": (
            b"GET / HTTP/1.1\nHost: x\nConnection: close\n\n",
            answer("200 OK", r"Pushpin API\n"),
        ),
        "version-1-0": (
            b"GET / HTTP/1.0\r\n\r\n",
            answer("200 OK", r"Pushpin API\n").replace("HTTP/1.1", "HTTP/1.0"),
        ),
        "version-other": (
            b"GET / HTTP/3.7\r\nConnection: close\r\n\r\n",
            answer("200 OK", r"Pushpin API\n"),
        ),
        "bare-lf-body": (
            b'POST /publish HTTP/1.1\nConnection: close\nContent-Length: 12\n\n{"items":[]}',
            answer("200 OK", r"Published\n"),
        ),
        "line-without-colon": (
            b"GET / HTTP/1.1\r\nX\r\nConnection: close\r\n\r\n",
            answer("200 OK", r"Pushpin API\n"),
        ),
        "chunked": (
            b"POST /publish HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked"
            b'\r\n\r\nc\r\n{"items":[]}\r\n0\r\n\r\n',
            answer("200 OK", r"Published\n"),
        ),
    }
)
def control_bytes(system, stage, sent, must):
    yield "client", asked(system, sent), must


@scenario(
    each={
        "length-negative": (
            b"POST /publish HTTP/1.1\r\nConnection: close\r\nContent-Length: -1\r\n\r\n",
            r"Request body exceeded Content-Length.\n",
        ),
        "length-exceeded": (
            b"POST /publish HTTP/1.1\r\nConnection: close\r\nContent-Length: 12\r\n\r\n"
            b'{"items":[]}\n',
            r"Request body exceeded Content-Length.\n",
        ),
        "no-method": (b" / HTTP/1.1\r\n\r\n", r"Failed to parse request header.\n"),
    }
)
def control_refuses(system, stage, sent, why):
    yield "client", asked(system, sent), answer("400 Bad Request", why)


@scenario()
def control_receipt(system, stage):
    """Who asks for JSON is told how many holders an item has reached."""
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        items = [stream_item(channel, "x;"), stream_item(f"{channel}-nobody", "y;")]
        body = json.dumps({"items": items}).encode()
        sent = request("POST", "/publish", "x", CLOSE, f"Accept: {JSON}", body=body)
        yield (
            "receipt",
            asked(system, sent),
            answer("200 OK", r'{"items":2,"message":"Published","receivers":1}\n', kind=JSON),
        )
        yield "item", client.piece(), b"x;"


@scenario()
def control_takes_msgpack(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        item = {"channel": channel, "formats": {"http-stream": {"content": b"\x00\xff;"}}}
        kind = "Content-Type: application/msgpack"
        body = msgpack.packb({"items": [item]})
        sent = request("POST", "/publish", "x", CLOSE, kind, body=body)
        yield "answer", asked(system, sent), answer("200 OK", r"Published\n")
        push(system.zmq_port, b"M" + msgpack.packb(item))
        system.publish([stream_item(channel, "last;")])
        seen = b""
        while not (b"last;" in seen and (seen.count(b";") >= 3 or system.name == "pushpin")):
            seen += client.piece()
        yield "items", seen.count(b"\x00\xff;"), 2


@scenario()
def control_head(system, stage):
    with Client(system.http_port) as client:
        client.send(request("HEAD", "/", "control", CLOSE))
        yield "head", client.head(bodiless=True).status, 200
        yield "body", client.rest(), b""


@scenario()
def control_keeps_alive(system, stage):
    with Client(system.http_port) as client:
        client.send(request("GET", "/", "control"))
        got = client.response()
        yield "connection", got.values("connection"), []
        yield "then", client.ended(seconds=0.1), "open"


@scenario()
def control_expect(system, stage):
    with Client(system.http_port) as client:
        client.send(
            request("POST", "/publish", "x", CLOSE, "Content-Length: 12", "Expect: 100-continue")
        )
        yield "interim", showing.response(client.response()), "HTTP/1.1 100 Continue"
        client.send(EMPTY)
        yield "final", showing.line(client.response()), r"200 OK: Published\n"


# What is no good item

PN = "publish item object"
R, S, W = "'http-response'", "'http-stream'", "'ws-message'"


def formats(**named: object) -> dict[str, object]:
    return {"channel": "c", "formats": {k.replace("_", "-"): v for k, v in named.items()}}


BAD_ITEMS: dict[str, tuple[object, str]] = {
    "not-an-object": (5, f"{PN} is not an object"),
    "no-channel": ({}, f"{PN} does not contain 'channel'"),
    "channel-type": ({"channel": 1}, f"{PN} contains 'channel' with wrong type"),
    "channel-null": ({"channel": None}, f"{PN} contains 'channel' with wrong type"),
    "id-type": ({"channel": "c", "id": 1}, f"{PN} contains 'id' with wrong type"),
    "prev-id-type": ({"channel": "c", "prev-id": 1}, f"{PN} contains 'prev-id' with wrong type"),
    "formats-type": ({"channel": "c", "formats": []}, f"{PN} contains 'formats' with wrong type"),
    "no-formats": ({"channel": "c"}, "no formats specified"),
    "formats-empty": (formats(), "no formats specified"),
    "flat-beside-formats": (
        {"channel": "c", "formats": {}, "http-stream": {"content": "x"}},
        "no formats specified",
    ),
    "meta-type": (formats(x=1) | {"meta": 1}, f"{PN} contains 'meta' with wrong type"),
    "meta-value": (formats(x=1) | {"meta": {"K": 1}}, "'meta' contains 'K' with wrong type"),
    "size-type": (formats(x=1) | {"size": []}, f"{PN} contains 'size' with wrong type"),
    "size-negative": (formats(x=1) | {"size": -1}, f"{PN} contains 'size' with invalid value"),
    "no-seq-type": (formats(x=1) | {"no-seq": 1}, f"{PN} contains 'no-seq' with wrong type"),
    "first-error-wins": ({"channel": 1, "id": 1}, f"{PN} contains 'channel' with wrong type"),
    "response-type": (formats(http_response=1), f"{R} is not an object"),
    "response-null": (formats(http_response=None), f"{R} is not an object"),
    "action-type": (
        formats(http_response={"action": 1}),
        f"{R} contains 'action' with wrong type",
    ),
    "action-unknown": (
        formats(http_response={"action": "SEND"}),
        f"{R} contains 'action' with unknown value",
    ),
    "action-empty": (
        formats(http_stream={"action": ""}),
        f"{S} contains 'action' with unknown value",
    ),
    "code-type": (formats(http_response={"code": []}), f"{R} contains 'code' with wrong type"),
    "code-negative": (
        formats(http_response={"code": -1}),
        f"{R} contains 'code' with invalid value",
    ),
    "code-large": (
        formats(http_response={"code": 1000}),
        f"{R} contains 'code' with invalid value",
    ),
    "code-huge": (
        formats(http_response={"code": 4294967295}),
        f"{R} contains 'code' with invalid value",
    ),
    "code-below-200": (
        formats(http_response={"code": 100, "body": "x"}),
        f"{R} contains 'code' with invalid value",
    ),
    "reason-type": (
        formats(http_response={"reason": 1}),
        f"{R} contains 'reason' with wrong type",
    ),
    "reason-split": (
        formats(http_response={"reason": "a\r\nb", "body": "x"}),
        f"{R} contains 'reason' with invalid value",
    ),
    "headers-type": (
        formats(http_response={"headers": 1}),
        f"{R} contains 'headers' with wrong type",
    ),
    "headers-element": (
        formats(http_response={"headers": [1]}),
        "headers contains element with wrong type",
    ),
    "headers-pair": (
        formats(http_response={"headers": [["a"]]}),
        "headers contains list with wrong number of elements",
    ),
    "headers-name": (
        formats(http_response={"headers": [[1, "a"]]}),
        "header contains name element with wrong type",
    ),
    "headers-value": (
        formats(http_response={"headers": [["a", 1]]}),
        "header contains value element with wrong type",
    ),
    "headers-object": (
        formats(http_response={"headers": {"K": []}}),
        "headers contains 'K' with wrong type",
    ),
    "headers-split": (
        formats(http_response={"headers": {"K": "a\r\nb"}, "body": "x"}),
        f"{R} contains 'headers' with invalid value",
    ),
    "filters-type": (
        formats(http_response={"content-filters": "x"}),
        f"{R} contains 'content-filters' with wrong type",
    ),
    "filters-element": (
        formats(http_stream={"content-filters": [1]}),
        "content-filters contains element with wrong type",
    ),
    "body-bin-type": (
        formats(http_response={"body-bin": 1}),
        f"{R} contains 'body-bin' with wrong type",
    ),
    "body-type": (formats(http_response={"body": 1}), f"{R} contains 'body' with wrong type"),
    "patch-type": (
        formats(http_response={"body-patch": {}}),
        f"{R} contains 'body-patch' with wrong type",
    ),
    "no-body": (
        formats(http_response={}),
        f"{R} does not contain 'body', 'body-bin', or 'body-patch'",
    ),
    "content-type": (
        formats(http_stream={"content": 1}),
        f"{S} contains 'content' with wrong type",
    ),
    "content-bin-type": (
        formats(http_stream={"content-bin": 1}),
        f"{S} contains 'content-bin' with wrong type",
    ),
    "no-content": (formats(http_stream={}), f"{S} does not contain 'content' or 'content-bin'"),
    "ws-type-type": (formats(ws_message={"type": 1}), f"{W} contains 'type' with wrong type"),
    "ws-type-unknown": (
        formats(ws_message={"type": "x"}),
        f"{W} contains 'type' with unknown value",
    ),
    "ws-no-content": (formats(ws_message={}), f"{W} does not contain 'content' or 'content-bin'"),
    "ws-close-code": (
        formats(ws_message={"action": "close", "code": -1}),
        f"{W} contains 'code' with invalid value",
    ),
    "ws-close-code-type": (
        formats(ws_message={"action": "close", "code": []}),
        f"{W} contains 'code' with wrong type",
    ),
    "ws-close-code-forbidden": (
        formats(ws_message={"action": "close", "code": 1005}),
        f"{W} contains 'code' with invalid value",
    ),
    "ws-close-reason-type": (
        formats(ws_message={"action": "close", "reason": 1}),
        f"{W} contains 'reason' with wrong type",
    ),
    "ws-ping-too-long": (
        formats(ws_message={"type": "ping", "content": "x" * 126}),
        f"{W} contains 'content' with invalid value",
    ),
}


@scenario(each=BAD_ITEMS)
def bad_item(system, stage, item, why):
    yield (
        "post",
        showing.line(system.publish([item])),
        f"400 Bad Request: Invalid format: {why}\\n",
    )


@scenario(
    each={
        "empty": (b"", r"Body is not valid JSON.\n"),
        "text": (b"x", r"Body is not valid JSON.\n"),
        "scalar": (b"5", r"Body is not valid JSON.\n"),
        "array": (b"[]", r"Invalid format.\n"),
        "no-items": (b"{}", r"Invalid format: object does not contain 'items'\n"),
        "items-type": (
            b'{"items":{}}',
            r"Invalid format: object contains 'items' with wrong type\n",
        ),
        "trailing-comma": (b'{"items":[],}', r"Body is not valid JSON.\n"),
        "not-utf-8": (b'{"items":["\xff"]}', r"Body is not valid JSON.\n"),
    }
)
def bad_body(system, stage, body, why):
    must = answer("400 Bad Request", why)
    yield "client", asked(system, request("POST", "/publish", "x", CLOSE, body=body)), must


@scenario(
    each={
        "bom": (b"\xef\xbb\xbf" + EMPTY,),
        "raw-newline-in-text": (b'{"items":[],"a":"x\ny"}',),
        "unknown-escape": (b'{"items":[],"a":"\\q"}',),
        "number-with-dot": (b'{"items":[],"a":5.}',),
        "last-key-wins": (b'{"items":5,"items":[]}',),
        "other-members": (b'{"a":{"b":null},"items":[]}',),
    }
)
def lenient_body(system, stage, body):
    sent = request("POST", "/publish", "x", CLOSE, body=body)
    yield "client", asked(system, sent), answer("200 OK", r"Published\n")


@scenario(
    each={
        "unknown-format": ({"channel": "c", "formats": {"x": 1}},),
        "empty-channel": ({"channel": "", "formats": {"x": 1}},),
        "unknown-members": (
            {"channel": "c", "x": 1, "formats": {"http-stream": {"content": "", "y": 1}}},
        ),
        "hint-checks-nothing": (formats(http_response={"action": "hint", "code": "zz"}),),
        "refresh": (formats(ws_message={"action": "refresh"}),),
        "code-fraction": (formats(http_response={"code": 200.6, "body": ""}),),
        "size": (formats(x=1) | {"size": "5"},),
        "ping-without-content": (formats(ws_message={"type": "ping"}),),
        "patch-unchecked": (formats(http_response={"body-patch": [5]}),),
        "body-bin-lenient": (formats(http_response={"body-bin": "!!!"}),),
    }
)
def good_item(system, stage, item):
    yield "post", showing.line(system.publish([item])), r"200 OK: Published\n"


@scenario()
def batch_with_a_bad_item_is_refused_whole(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        refused = system.publish([stream_item(channel, "no"), {"channel": channel}])
        yield "answer", refused.status, 400
        system.publish([stream_item(channel, "yes"), stream_close(channel)])
        yield "items", b"".join(client.pieces()), b"yes"


# ZeroMQ


@scenario(
    each={
        "empty": (b"",),
        "json-without-letter": (b'{"channel": "CHANNEL", "http-stream": {"content": "no"}}',),
        "bad-json": (b"J{x",),
        "json-scalar": (b"J5",),
        "bad-tnetstring": (b"Tx",),
        "bad-type": (b"T1:x?",),
        "bad-bool": (b"T8:1:a,1:x!}",),
        "bad-item": (b'J{"channel": "CHANNEL"}',),
        "lower-letter": (b'j{"channel": "CHANNEL", "http-stream": {"content": "no"}}',),
    }
)
def pull_drops(system, stage, message):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        good = [stream_item(channel, "yes"), stream_close(channel)]
        messages = (envelope(item, "J") for item in good)
        push(system.zmq_port, message.replace(b"CHANNEL", channel.encode()), *messages)
        yield "items", b"".join(client.pieces()), b"yes"


def tnet_item(channel: str, content: bytes) -> bytes:
    return tnetstring({"channel": channel, "formats": {"http-stream": {"content": content}}})


@scenario(
    each={
        "bytes": (lambda c: b"T" + tnet_item(c, b"\x00\xff"), b"\x00\xff"),
        "bytes-after": (lambda c: b"T" + tnet_item(c, b"x") + b"rest", b"x"),
        "leading-zeros": (lambda c: b"T00" + tnet_item(c, b"x"), b"x"),
        "json-white-space": (
            lambda c: b"J  " + json.dumps(stream_item(c, "x")).encode() + b"\n",
            b"x",
        ),
        "null-is-absent": (
            lambda c: (
                b"T"
                + tnetstring(
                    {
                        "channel": c,
                        "id": None,
                        "prev-id": None,
                        "meta": None,
                        "formats": {"http-stream": {"action": None, "content": "x"}},
                    }
                )
            ),
            b"x",
        ),
        "flat": (
            lambda c: tnetstring({"channel": c, "http-stream": {"content": "x"}}),
            b"x",
        ),
    }
)
def pull_takes(system, stage, message, must):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        push(system.zmq_port, message(channel), envelope(stream_close(channel), "J"))
        yield "items", b"".join(client.pieces()), must


@scenario()
def sub_input(system, stage):
    """A publisher sees subscriptions by name, and sends items by topic."""
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Publisher(system.sub_port) as publisher, Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        yield "subscribed", publisher.frame_about(channel), b"\x01" + channel.encode()
        other = stream_item("ignored", "topic wins;")
        nameless = {"formats": {"http-stream": {"content": "nameless;"}}}
        publisher.send(channel.encode(), envelope(other, "J"))
        publisher.send(channel.encode(), envelope(nameless, ""))
        publisher.send(channel.encode() + b"longer", envelope(nameless, "T"))
        publisher.send(channel.encode(), envelope(nameless, "J"), b"three frames")
        publisher.send(channel.encode(), envelope(stream_close("x"), "T"))
        yield "items", b"".join(client.pieces()), b"topic wins;nameless;"
        yield "unsubscribed", publisher.frame_about(channel), b"\x00" + channel.encode()


@scenario()
def sub_frames_come_once(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Publisher(system.sub_port, seconds=0.3) as publisher:
        with Client(system.port) as one, Client(system.port) as two:
            for client in (one, two):
                client.send(request("GET", "/", stage.host))
                client.head()
            system.subscribed(channel, times=2)
            yield "first", publisher.frame_about(channel), b"\x01" + channel.encode()
            yield "second", attempt(lambda: publisher.frame_about(channel)), "nothing"
            with Publisher(system.sub_port) as later:
                yield "later", later.frame_about(channel), b"\x01" + channel.encode()
        yield "last", attempt(lambda: publisher.frame_about(channel)), b"\x00" + channel.encode()


@scenario()
def sub_lingers_for_responses(system, stage):
    channel = stage.channel("a")
    stage.answer(text("Grip-Hold: response", f"Grip-Channel: {channel}", body=""))
    with Publisher(system.sub_port, seconds=0.3) as publisher, Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield "first", publisher.frame_about(channel), b"\x01" + channel.encode()
        system.publish([{"channel": channel, "http-response": {"body": "x"}}])
        client.response()
        yield "lingers", attempt(lambda: publisher.frame_about(channel)), "nothing"


@scenario("HOST,prefix=p- ORIGIN")
def sub_frames_have_the_prefix(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Publisher(system.sub_port) as publisher, Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield "frame", publisher.frame_about(f"p-{channel}"), b"\x01p-" + channel.encode()


# Commands


def called(system, **members: object) -> object:
    """Send a command and return the reply, text where it is text."""
    reply, left = parsed(command(system.command_port, tnetstring(members)))
    assert left == b""
    return readable(reply)


def readable(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [readable(v) for v in value]
    if isinstance(value, dict):
        return {k: readable(v) for k, v in sorted(value.items())}
    return value


def failed(condition: str, **more: object) -> dict[str, object]:
    return {"condition": condition, "id": "1", "success": False, **more}


DONE = {"id": "1", "success": True, "value": None}
FORMAT = "Invalid format: "


@scenario(
    each={
        "nope": ({"method": "nope"}, failed("method-not-found")),
        "recover-case": ({"method": "Recover"}, failed("method-not-found")),
        "publish-nothing": ({"method": "publish", "args": {"items": []}}, DONE),
        "publish": (
            {
                "method": "publish",
                "args": {
                    "items": [{"channel": "a", "formats": {"http-stream": {"content": "x"}}}]
                },
            },
            DONE,
        ),
        "publish-no-items": (
            {"method": "publish", "args": {}},
            failed("bad-request", value=f"{FORMAT}object does not contain 'items'"),
        ),
        "publish-items-type": (
            {"method": "publish", "args": {"items": "x"}},
            failed("bad-request", value=f"{FORMAT}object contains 'items' with wrong type"),
        ),
        "publish-bad-item": (
            {"method": "publish", "args": {"items": [{"channel": "a"}]}},
            failed("bad-request", value=f"{FORMAT}no formats specified"),
        ),
        "conncheck-nobody": (
            {"method": "conncheck", "args": {"ids": ["nobody"]}},
            {"id": "1", "success": True, "value": []},
        ),
        "conncheck-empty": (
            {"method": "conncheck", "args": {"ids": []}},
            {"id": "1", "success": True, "value": []},
        ),
        "conncheck-no-ids": ({"method": "conncheck", "args": {}}, failed("bad-request")),
        "conncheck-ids-type": (
            {"method": "conncheck", "args": {"ids": "x"}},
            failed("bad-request"),
        ),
        "conncheck-id-type": (
            {"method": "conncheck", "args": {"ids": [1]}},
            failed("bad-request"),
        ),
        "refresh-nothing": ({"method": "refresh", "args": {}}, failed("bad-request")),
        "refresh-unknown": (
            {"method": "refresh", "args": {"cid": "x"}},
            failed("item-not-found"),
        ),
        "refresh-channel": ({"method": "refresh", "args": {"channel": "nobody"}}, DONE),
    }
)
def command_reply(system, stage, members, must):
    yield "reply", called(system, id="1", **members), must


@scenario()
def command_uris(system, stage):
    uris = {
        "command": f"tcp://127.0.0.1:{system.command_port}",
        "publish-pull": f"tcp://127.0.0.1:{system.zmq_port}",
        "publish-sub": f"tcp://127.0.0.1:{system.sub_port}",
    }
    reply = called(system, id="1", method="get-zmq-uris")
    yield "reply", reply == {"id": "1", "success": True, "value": uris}, True
    reply = called(system, method="get-zmq-uris")
    yield "without id", sorted(reply), ["success", "value"]


@scenario()
def command_publish_delivers(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        items = [stream_item(channel, "one;"), stream_close(channel)]
        yield "reply", called(system, id="1", method="publish", args={"items": items}), DONE
        yield "items", b"".join(client.pieces()), b"one;"


@scenario(
    each={
        "garbage": (b"garbage",),
        "json": (b'J{"method":"recover"}',),
        "letter": (b"T" + tnetstring({"id": "1", "method": "recover"}),),
        "no-method": (tnetstring({"id": "1"}),),
        "method-type": (tnetstring({"id": "1", "method": 5}),),
    }
)
def command_unreadable(system, stage, message):
    with Socket(zmq.REQ, f"tcp://127.0.0.1:{system.command_port}", seconds=0.3) as socket:
        socket.send(message)
        reply = attempt(lambda: parsed(socket.receive()[0])[0]["condition"])
        yield "condition", reply, b"bad-format"


@scenario()
def command_from_a_dealer(system, stage):
    with Socket(zmq.DEALER, f"tcp://127.0.0.1:{system.command_port}") as socket:
        socket.send(b"", tnetstring({"id": "7", "method": "nope"}))
        empty, reply = socket.receive()
        yield "reply", (empty, readable(parsed(reply)[0])["id"]), (b"", "7")


# Recovery: it touches every hold, so these are played when nothing else is


@scenario(alone=True, each={"command": ("command",), "http": ("http",)})
def recover(system, stage, how):
    channel = stage.channel("a")
    stage.answer(
        text("Grip-Hold: response", f"Grip-Channel: {channel}; prev-id=1", body="no"),
        text(body="recovered"),
    )
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        if how == "command":
            yield "reply", called(system, id="1", method="recover"), DONE
        else:
            sent = request("POST", "/recover", "x", CLOSE, body=b"")
            yield "reply", asked(system, sent), answer("200 OK", r"Updated\n")
        yield "client", client.response().body, b"recovered"
    stage.request()
    yield "grip-last", stage.request().values("grip-last"), [f"{channel}; last-id=1"]

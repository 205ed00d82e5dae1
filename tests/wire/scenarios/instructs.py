"""Instructs that cannot be obeyed, and instructs in JSON (grip-http.md 2, 3)."""

import base64
import json

from tests.wire.client import Client, ask, request, shown
from tests.wire.origin import reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.telling import scenario

HOLD = "Grip-Hold must be set to either 'response' or 'stream'"
LINK = "failed to parse Grip-Link value"
CSTRING = "failed to parse Grip-Keep-Alive cstring format"
PERIOD = "failed to parse Grip-Keep-Alive timeout value"
META = "Grip-Set-Meta cannot be empty"
STATUS = "Grip-Status contains invalid status code"


@scenario(
    "HOST,debug ORIGIN",
    each={
        "hold-empty": ("Grip-Hold: ", HOLD),
        "hold-case": ("Grip-Hold: Response", HOLD),
        "hold-parameter": ("Grip-Hold: stream; x=1", HOLD),
        "hold-other": ("Grip-Hold: x", HOLD),
        "timeout-word": ("Grip-Timeout: x", "failed to parse Grip-Timeout"),
        "timeout-empty": ("Grip-Timeout: ", "failed to parse Grip-Timeout"),
        "timeout-fraction": ("Grip-Timeout: 5.0", "failed to parse Grip-Timeout"),
        "timeout-unit": ("Grip-Timeout: 5s", "failed to parse Grip-Timeout"),
        "timeout-hex": ("Grip-Timeout: 0x5", "failed to parse Grip-Timeout"),
        "timeout-exponent": ("Grip-Timeout: 1e3", "failed to parse Grip-Timeout"),
        "timeout-huge": ("Grip-Timeout: 99999999999", "failed to parse Grip-Timeout"),
        "timeout-negative": ("Grip-Timeout: -1", "Grip-Timeout has invalid value"),
        "keep-alive-empty": ("Grip-Keep-Alive: ; timeout=5", "Grip-Keep-Alive cannot be empty"),
        "keep-alive-mode": (
            "Grip-Keep-Alive: x; mode=Idle",
            "no such Grip-Keep-Alive mode 'Idle'",
        ),
        "keep-alive-timeout": ("Grip-Keep-Alive: x; timeout=a", PERIOD),
        "keep-alive-timeout-empty": ("Grip-Keep-Alive: x; timeout=", PERIOD),
        "keep-alive-negative": (
            "Grip-Keep-Alive: x; timeout=-1",
            "Grip-Keep-Alive timeout has invalid value",
        ),
        "keep-alive-format": (
            "Grip-Keep-Alive: x; format=Raw",
            "no such Grip-Keep-Alive format 'Raw'",
        ),
        "keep-alive-cstring-end": (r"Grip-Keep-Alive: a\; format=cstring", CSTRING),
        "keep-alive-cstring-hex": (r"Grip-Keep-Alive: \x4; format=cstring", CSTRING),
        "keep-alive-cstring-nothing": (r"Grip-Keep-Alive: \q; format=cstring", CSTRING),
        "meta-empty-first": ("Grip-Set-Meta: ,a=b", META),
        "meta-empty-middle": ("Grip-Set-Meta: a=b,,c=d", META),
        "status-word": ("Grip-Status: x", STATUS),
        "status-large": ("Grip-Status: 1000", STATUS),
        "status-negative": ("Grip-Status: -1", STATUS),
        "status-below-200": ("Grip-Status: 100", STATUS),
        "status-zero": ("Grip-Status: 0", STATUS),
        "link-bare": ("Grip-Link: /x; rel=next", LINK),
        "link-empty": ("Grip-Link: <>; rel=next", LINK),
        "link-timeout": (
            "Grip-Link: </x>; rel=next; timeout=a",
            "failed to parse Grip-Link timeout value",
        ),
        "link-negative": (
            "Grip-Link: </x>; rel=next; timeout=-1",
            "Grip-Link timeout has invalid value",
        ),
        "too-many-filters": (
            "Grip-Channel: c" + "; filter=a" * 6,
            "too many filters for channel 'c'",
        ),
        "order-hold-first": ("Grip-Timeout: x\r\nGrip-Hold: x", HOLD),
        "order-timeout-before-status": (
            "Grip-Status: x\r\nGrip-Timeout: x",
            "failed to parse Grip-Timeout",
        ),
        "order-mode-before-timeout": (
            "Grip-Keep-Alive: x; timeout=a; mode=b",
            "no such Grip-Keep-Alive mode 'b'",
        ),
        "order-meta-before-link": ("Grip-Link: x; rel=next\r\nGrip-Set-Meta: ,a", META),
    },
)
def malformed_instruct(system, stage, field, message):
    stage.answer(text(field, body="x"))
    answer = ask(system.port, request("GET", "/", stage.host))
    must = f"Failed to parse accept instructions: {message}\\n"
    yield (
        "client",
        showing.response(answer),
        f"""
        HTTP/1.1 502 Bad Gateway
        Content-Type: text/plain
        Content-Length: {len(must) - 1}

        {must}
        """,
    )


@scenario()
def malformed_instruct_without_debug(system, stage):
    stage.answer(text("Grip-Hold: x", body="x"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.line(answer), "502 Bad Gateway: Error while proxying to origin.\\n"


@scenario(
    "HOST,debug ORIGIN",
    each={
        "timeout-blanks": ("Grip-Timeout:  +7 ",),
        "meta-comma-last": ("Grip-Set-Meta: a=b,",),
        "keep-alive-empty": ("Grip-Keep-Alive: ",),
        "keep-alive-zero": ("Grip-Keep-Alive: x; timeout=0",),
        "keep-alive-empty-mode": ("Grip-Keep-Alive: x; mode=; format=",),
        "link-without-parameter": ("Grip-Link: x",),
        "link-other-rel": ("Grip-Link: </x>; rel=Next",),
        "unknown": ("Grip-Set-Hold: x",),
        "status-empty": ("Grip-Status: ",),
        "channel-empty": ("Grip-Channel: , a",),
        "five-filters": ("Grip-Channel: c" + "; filter=a" * 5,),
    },
)
def lenient_instruct(system, stage, field):
    stage.answer(text(field, body="x"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.line(answer), "200 OK: x"


@scenario("HOST,debug ORIGIN", each={"comma": (",",), "semicolon": (";",)})
def link_with_separator(system, stage, sign):
    """Between the angle brackets it belongs to the URI."""
    stage.answer(text(f"Grip-Link: </2{sign}x>; rel=next", body="one;"), text(body="two;"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", shown(answer.body), "one;two;"


# JSON


def instruct(value: object, *fields: str, status: str = "200 OK") -> bytes:
    """Write an instruct in JSON; text is sent as it is."""
    body = value if isinstance(value, str) else json.dumps(value)
    return reply(status, "Content-Type: application/grip-instruct", *fields, body=body)


def hold(**more: object) -> dict[str, object]:
    return {"hold": {"channels": [], **more}}


def channel(**more: object) -> dict[str, object]:
    return {"hold": {"channels": [{"name": "c", **more}]}}


def answered(**more: object) -> dict[str, object]:
    return {"response": {"body": "x", **more}}


NOT_JSON = "failed to parse application/grip-instruct content as JSON"


@scenario(
    "HOST,debug ORIGIN",
    each={
        "empty": ("", NOT_JSON),
        "text": ("x", NOT_JSON),
        "scalar": ("5", NOT_JSON),
        "null": ("null", NOT_JSON),
        "trailing": ("{} x", NOT_JSON),
        "array": ("[]", "instruct must be an object"),
        "hold": ({"hold": 1}, "instruct contains 'hold' with wrong type"),
        "hold-null": ({"hold": None}, "instruct contains 'hold' with wrong type"),
        "response": ({"response": 1}, "instruct contains 'response' with wrong type"),
        "mode": (hold(mode="x"), "hold 'mode' must be set to either 'response' or 'stream'"),
        "mode-empty": (hold(mode=""), "hold 'mode' must be set to either 'response' or 'stream'"),
        "mode-type": (hold(mode=1), "hold contains 'mode' with wrong type"),
        "channels": ({"hold": {}}, "hold does not contain 'channels'"),
        "channels-type": (hold(channels={}), "hold contains 'channels' with wrong type"),
        "channel-type": (hold(channels=["c"]), "channel is not an object"),
        "name": (hold(channels=[{}]), "channel does not contain 'name'"),
        "name-type": (channel(name=1), "channel contains 'name' with wrong type"),
        "prev-id-type": (channel(**{"prev-id": 1}), "channel contains 'prev-id' with wrong type"),
        "filters-type": (channel(filters="x"), "channel contains 'filters' with wrong type"),
        "filter-type": (channel(filters=[1]), "filters contains value with wrong type"),
        "timeout-type": (hold(timeout=[]), "hold contains 'timeout' with wrong type"),
        "timeout-null": (hold(timeout=None), "hold contains 'timeout' with wrong type"),
        "timeout-negative": (hold(timeout=-1), "hold contains 'timeout' with invalid value"),
        "keep-alive-type": (
            hold(**{"keep-alive": 1}),
            "hold contains 'keep-alive' with wrong type",
        ),
        "keep-alive-content": (
            hold(**{"keep-alive": {"content": 1}}),
            "keep-alive contains 'content' with wrong type",
        ),
        "keep-alive-content-bin": (
            hold(**{"keep-alive": {"content-bin": 1}}),
            "keep-alive contains 'content-bin' with wrong type",
        ),
        "keep-alive-timeout": (
            hold(**{"keep-alive": {"content": "x", "timeout": []}}),
            "keep-alive contains 'timeout' with wrong type",
        ),
        "keep-alive-timeout-negative": (
            hold(**{"keep-alive": {"content": "x", "timeout": -1}}),
            "keep-alive contains 'timeout' with invalid value",
        ),
        "meta-type": (hold(meta=[]), "hold contains 'meta' with wrong type"),
        "meta-value": (hold(meta={"k": 1}), "'meta' contains 'k' with wrong type"),
        "code-type": (answered(code=[]), "response contains 'code' with wrong type"),
        "code-negative": (answered(code=-1), "response contains 'code' with invalid value"),
        "code-large": (answered(code=1000), "response contains 'code' with invalid value"),
        "code-below-200": (answered(code=100), "response contains 'code' with invalid value"),
        "reason-type": (answered(reason=1), "response contains 'reason' with wrong type"),
        "reason-split": (
            answered(reason="a\r\nX: 1"),
            "response contains 'reason' with invalid value",
        ),
        "headers-type": (answered(headers=1), "response contains 'headers' with wrong type"),
        "headers-element": (answered(headers=[1]), "headers contains element with wrong type"),
        "headers-pair": (
            answered(headers=[["a"]]),
            "headers contains list with wrong number of elements",
        ),
        "headers-name": (
            answered(headers=[[1, "a"]]),
            "header contains name element with wrong type",
        ),
        "headers-value": (
            answered(headers=[["a", 1]]),
            "header contains value element with wrong type",
        ),
        "headers-object": (answered(headers={"A": 1}), "headers contains 'A' with wrong type"),
        "headers-split": (
            answered(headers={"A": "b\r\nC: d"}),
            "response contains 'headers' with invalid value",
        ),
        "headers-token": (
            answered(headers={"A B": "c"}),
            "response contains 'headers' with invalid value",
        ),
        "body-type": ({"response": {"body": 1}}, "response contains 'body' with wrong type"),
        "body-bin-type": (
            {"response": {"body-bin": 1}},
            "response contains 'body-bin' with wrong type",
        ),
    },
)
def malformed_json(system, stage, value, message):
    stage.answer(instruct(value))
    answer = ask(system.port, request("GET", "/", stage.host))
    must = f"502 Bad Gateway: Failed to parse accept instructions: {message}\\n"
    yield "client", showing.line(answer), must


@scenario("HOST,debug ORIGIN")
def json_status_must_be_200(system, stage):
    stage.answer(instruct(answered(), status="201 Created"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield (
        "client",
        showing.line(answer),
        (
            "502 Bad Gateway: Failed to parse accept instructions:"
            " response code for application/grip-instruct content must be 200\\n"
        ),
    )


@scenario(
    "HOST,debug ORIGIN",
    each={
        "body": (answered(), (), "HTTP/1.1 200 OK\nContent-Length: 1\n\nx"),
        "bom": ("\ufeff" + json.dumps(answered()), (), "HTTP/1.1 200 OK\nContent-Length: 1\n\nx"),
        "body-bin-wins": (
            {"response": {"body": "no", "body-bin": base64.b64encode(b"\0\xff").decode()}},
            (),
            "HTTP/1.1 200 OK\nContent-Length: 2\n\n\\x00\\xff",
        ),
        "code": (answered(code=404), (), "HTTP/1.1 404 Not Found\nContent-Length: 1\n\nx"),
        "code-as-text": (
            answered(code="404"),
            (),
            "HTTP/1.1 404 Not Found\nContent-Length: 1\n\nx",
        ),
        "code-fraction": (
            answered(code=200.6),
            (),
            "HTTP/1.1 201 Created\nContent-Length: 1\n\nx",
        ),
        "reason": (answered(reason="Own"), (), "HTTP/1.1 200 Own\nContent-Length: 1\n\nx"),
        "reason-empty": (answered(reason=""), (), "HTTP/1.1 200 OK\nContent-Length: 1\n\nx"),
        "code-and-reason": (
            answered(code=201, reason="Own"),
            (),
            "HTTP/1.1 201 Own\nContent-Length: 1\n\nx",
        ),
        "headers": (
            answered(headers=[["X-B", "1"], ["X-A", "2"], ["X-B", "3"]]),
            (),
            "HTTP/1.1 200 OK\nX-B: 1\nX-A: 2\nX-B: 3\nContent-Length: 1\n\nx",
        ),
        "headers-object": (
            answered(headers={"X-B": "1", "X-A": "2"}),
            (),
            "HTTP/1.1 200 OK\nX-B: 1\nX-A: 2\nContent-Length: 1\n\nx",
        ),
        "grip-header": (
            answered(headers={"Grip-Foo": "1"}),
            (),
            "HTTP/1.1 200 OK\nGrip-Foo: 1\nContent-Length: 1\n\nx",
        ),
        "origin-fields-dropped": (
            answered(),
            ("X-A: 1", "Set-Cookie: a=1"),
            "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
        ),
        "status-field-beside": (
            answered(),
            ("Grip-Status: 202 Z",),
            "HTTP/1.1 202 Z\nContent-Length: 1\n\nx",
        ),
        "code-over-status": (
            answered(code=201),
            ("Grip-Status: 202 Z",),
            "HTTP/1.1 201 Created\nContent-Length: 1\n\nx",
        ),
        "empty": ({}, (), "HTTP/1.1 200 OK\nContent-Length: 0"),
        "code-alone": (
            {"response": {"code": 202}},
            (),
            "HTTP/1.1 202 Accepted\nContent-Length: 0",
        ),
        "unknown-keys": (
            {"x": 1, "response": {"y": 2, "body": "x"}},
            (),
            "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
        ),
        "last-key-wins": (
            '{"response": {"body": "no", "body": "x"}}',
            (),
            "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
        ),
        "not-ascii": (
            {"response": {"body": "é"}},
            (),
            "HTTP/1.1 200 OK\nContent-Length: 2\n\n\\xc3\\xa9",
        ),
    },
)
def json_response(system, stage, value, fields, must):
    stage.answer(instruct(value, *fields))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(answer), must


@scenario(
    each={
        "exact": ("application/grip-instruct",),
        "parameter": ("application/grip-instruct; charset=utf-8",),
        "upper": ("Application/GRIP-Instruct",),
        "blank": ("application/grip-instruct ; x=y",),
    }
)
def json_content_type(system, stage, kind):
    stage.answer(reply("200 OK", f"Content-Type: {kind}", body=json.dumps(answered())))
    yield "client", shown(ask(system.port, request("GET", "/", stage.host)).body), "x"


@scenario()
def json_response_hold(system, stage):
    name = stage.channel("a")
    value = {
        "hold": {"channels": [{"name": name}], "timeout": "30"},
        "response": {"body": "no", "headers": {"X-A": "1"}},
    }
    stage.answer(instruct(value))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(name)
        system.publish([{"channel": name, "formats": {"http-response": {"body": "new"}}}])
        yield (
            "client",
            showing.response(client.response()),
            "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 3\n\nnew",
        )


@scenario(slow=True)
def json_response_hold_times_out(system, stage):
    value = {"hold": {"channels": [], "timeout": 1}, "response": {"code": 201, "body": "late"}}
    stage.answer(instruct(value))
    answer = ask(system.port, request("GET", "/", stage.host), seconds=9)
    yield "client", showing.line(answer), "201 Created: late"


@scenario()
def json_stream_hold(system, stage):
    one, two = stage.channel("1"), stage.channel("2")
    value = {
        "hold": {
            "mode": "stream",
            "channels": [{"name": one, "filters": ["skip-self", "var-subst"]}],
            "meta": {"user": "me"},
        },
        "response": {"body": "first;", "headers": {"X-A": "1"}},
    }
    stage.answer(instruct(value, f"Grip-Channel: {two}", "Grip-Set-Meta: user=you"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield (
            "head",
            showing.head(client.head()),
            ("HTTP/1.1 200 OK\nX-A: 1\nTransfer-Encoding: chunked"),
        )
        yield "first", client.piece(), b"first;"
        system.subscribed(one)
        system.publish(
            [
                {"channel": one, "http-stream": {"content": "x;"}, "meta": {"sender": "me"}},
                {"channel": one, "http-stream": {"content": "%(user)s;"}},
                {"channel": two, "http-stream": {"content": "two;"}},
                {"channel": one, "http-stream": {"action": "close"}},
            ]
        )
        yield "items", b"".join(client.pieces()), b"me;two;"


@scenario()
def json_mode_defaults_to_response(system, stage):
    name = stage.channel("a")
    stage.answer(instruct({"hold": {"channels": [{"name": name}]}}, "Grip-Hold: stream"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(name)
        system.publish([{"channel": name, "http-response": {"body": "b", "code": 202}}])
        yield "client", showing.line(client.response()), "202 Accepted: b"


@scenario()
def json_fields_beside_make_a_stream(system, stage):
    name = stage.channel("a")
    stage.answer(
        instruct(answered(), "Grip-Hold: stream", "Grip-Status: 202 Z", f"Grip-Channel: {name}")
    )
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        head = client.head()
        yield "head", showing.head(head), "HTTP/1.1 202 Z\nTransfer-Encoding: chunked"
        yield "first", client.piece(), b"x"
        system.subscribed(name)
        system.publish([{"channel": name, "http-stream": {"content": "item"}}])
        yield "item", client.piece(), b"item"


@scenario(
    slow=True,
    each={
        "content": ({"content": "k;"}, b"k;"),
        "bin-wins": ({"content": "no", "content-bin": "AP8="}, b"\x00\xff"),
    },
)
def json_keep_alive(system, stage, more, must):
    value = {"hold": {"mode": "stream", "channels": [], "keep-alive": {**more, "timeout": 1}}}
    stage.answer(instruct(value))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        yield "twice", client.chunked(2 * len(must)), must + must

"""SockJS in front of a WebSocket origin (websockets.md 8)."""

import json

from tests.wire.client import Client, WebSocket, ask, closing, request, shown
from tests.wire.origin import event, events, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.overhttp import close_item, opened, said, subscribe
from tests.wire.scenarios.telling import scenario

ROUTE = "HOST,sockjs=/sjs,sockjs_as_path=/ws ORIGIN,over_http"
NO_STORE = "no-store, no-cache, must-revalidate, max-age=0"


def post(system, stage, path: str, body: bytes = b"", *fields: str):
    """Send a POST below the SockJS path; the session `s` is the scenario's own."""
    path = path.replace("/s/", f"/{stage.name}/")
    return ask(system.port, request("POST", f"/sjs{path}", stage.host, *fields, body=body))


def gathered(stage, last: str) -> str:
    """Join the events of the next requests up to one with this text."""
    seen = ""
    while last not in seen:
        seen += shown(stage.request().body)
    return seen


@scenario(ROUTE)
def sockjs_info(system, stage):
    answer = ask(system.port, request("GET", "/sjs/info?t=1", stage.host, "Origin: http://a"))
    found = json.loads(answer.body)
    yield "entropy", 0 <= found.pop("entropy") < 2**32, True
    yield "info", found, {"cookie_needed": False, "origins": ["*:*"], "websocket": True}
    yield "type", answer.value("content-type"), "application/json; charset=UTF-8"
    yield "cache", answer.value("cache-control"), NO_STORE
    yield "origin", answer.value("access-control-allow-origin"), "http://a"
    yield "credentials", answer.value("access-control-allow-credentials"), "true"


@scenario(
    ROUTE,
    each={
        "greeting": ("GET", "/sjs", (200, "Welcome to SockJS!\\n")),
        "greeting-slash": ("GET", "/sjs/", (200, "Welcome to SockJS!\\n")),
        "options": ("OPTIONS", "/sjs/0/s/xhr", (204, "")),
        "unknown": ("POST", "/sjs/0/s/xhr_streaming", (404, "Not Found\\n")),
        "too-few": ("POST", "/sjs/0/xhr", (404, "Not Found\\n")),
        "send-unknown-session": ("POST", "/sjs/0/s/xhr_send", (404, "Not Found\\n")),
        "jsonp-without-callback": ("GET", "/sjs/0/s/jsonp", (400, "Bad Request\\n")),
        "jsonp-bad-callback": ("GET", "/sjs/0/s/jsonp?c=a(b", (400, "Bad Request\\n")),
    },
)
def sockjs_request(system, stage, method, path, must):
    stage.answer(opened(), events())
    body = b"" if method == "POST" else None
    path = path.replace("/s/", f"/{stage.name}/")
    answer = ask(system.port, request(method, path, stage.host, body=body))
    yield "client", (answer.status, shown(answer.body)), must


@scenario(ROUTE)
def sockjs_iframe(system, stage):
    answer = ask(system.port, request("GET", "/sjs/iframe-1.html", stage.host))
    tag = answer.value("etag") or ""
    yield "type", answer.value("content-type"), "text/html; charset=UTF-8"
    yield "page", b"SockJS.bootstrap_iframe()" in answer.body, True
    yield "cache", answer.value("cache-control"), "public, max-age=31536000"
    sent = request("GET", "/sjs/iframe-1.html", stage.host, f"If-None-Match: {tag}")
    yield "again", ask(system.port, sent).status, 304


@scenario(ROUTE)
def sockjs_polling(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel), ("TEXT", 'm:a"b')), events())
    opening = post(system, stage, "/0/s/xhr?z=1", b"", "Cookie: c=1")
    yield "opens", showing.line(opening), "200 OK: o\\n"
    got = stage.request()
    yield "origin", (got.method, got.target, got.value("cookie")), ("POST", "/ws?z=1", "c=1")
    yield "message", shown(post(system, stage, "/0/s/xhr").body), 'a["a\\\\"b"]\\n'
    sent = post(system, stage, "/0/s/xhr_send", b'["one","two"]')
    yield "sent", (sent.status, sent.body), (204, b"")
    yield "events", gathered(stage, "two"), r"TEXT 3\r\none\r\nTEXT 3\r\ntwo\r\n"
    system.subscribed(channel)
    with Client(system.port) as client:
        client.send(request("POST", f"/sjs/0/{stage.name}/xhr", stage.host, body=b""))
        system.publish([said(channel, "item")])
        yield "item", shown(client.response().body), 'a["item"]\\n'
    with Client(system.port) as client:
        client.send(request("POST", f"/sjs/0/{stage.name}/xhr", stage.host, body=b""))
        yield "waits", client.ended(seconds=0.1), "open"
        system.publish([close_item(channel, code=4001, reason="bye")])
        yield "close", shown(client.response().body), 'c[4001,"bye"]\\n'
    yield "close again", shown(post(system, stage, "/0/s/xhr").body), 'c[4001,"bye"]\\n'


@scenario(
    ROUTE,
    each={"text": (b"x",), "object": (b"{}",), "number": (b"[1]",), "empty": (b"",)},
)
def sockjs_bad_payload(system, stage, body):
    stage.answer(opened(), events())
    post(system, stage, "/0/s/xhr")
    answer = post(system, stage, "/0/s/xhr_send", body)
    yield "client", showing.line(answer), "400 Bad Request: Payload expected\\n"


@scenario(ROUTE)
def sockjs_refused(system, stage):
    stage.answer(text("X-A: 1", body="no", status="403 Forbidden"))
    answer = post(system, stage, "/0/s/xhr")
    yield "client", (answer.status, answer.body), (403, b"no")


@scenario(ROUTE)
def sockjs_jsonp(system, stage):
    stage.answer(opened(("TEXT", 'm:a"b')), events())
    answer = ask(system.port, request("GET", f"/sjs/0/{stage.name}/jsonp?c=cb", stage.host))
    yield "type", answer.value("content-type"), "application/javascript"
    yield "opens", answer.body, b'/**/cb("o");\n'
    stage.request()
    answer = ask(system.port, request("GET", f"/sjs/0/{stage.name}/jsonp?c=cb", stage.host))
    yield "message", answer.body, b'/**/cb("a[\\"a\\\\\\"b\\"]");\n'
    form = "Content-Type: application/x-www-form-urlencoded"
    answer = post(system, stage, "/0/s/jsonp_send", b"d=%5B%22a+b%22%5D", form)
    yield "sent", showing.line(answer), "200 OK: ok"
    yield "event", shown(stage.request().body), r"TEXT 3\r\na b\r\n"


@scenario(ROUTE)
def sockjs_second_poll(system, stage):
    stage.answer(opened(), events())
    post(system, stage, "/0/s/xhr")
    with Client(system.port) as client:
        client.send(request("POST", f"/sjs/0/{stage.name}/xhr", stage.host, body=b""))
        yield "waits", client.ended(seconds=0.2), "open"
        must = 'c[2010,"Another connection still open"]\\n'
        yield "second", shown(post(system, stage, "/0/s/xhr").body), must


@scenario(ROUTE)
def sockjs_framed_websocket(system, stage):
    channel = stage.channel("a")
    stage.answer(opened(subscribe(channel), ("TEXT", "m:hi")), events())
    with WebSocket(system.port, "/sjs/0/s/websocket", stage.host) as client:
        yield "opens", client.message(), "text o"
        yield "message", client.message(), 'text a["hi"]'
        yield "origin", stage.request().target, "/ws"
        client.put("text", '["one","two"]')
        yield "events", gathered(stage, "two"), r"TEXT 3\r\none\r\nTEXT 3\r\ntwo\r\n"
        system.subscribed(channel)
        system.publish([said(channel, "item")])
        yield "item", client.message(), 'text a["item"]'
        system.publish([close_item(channel, code=4001, reason="bye")])
        yield "close", client.message(), "close 4001 bye"


@scenario(ROUTE)
def sockjs_framed_websocket_with_bad_payload(system, stage):
    stage.answer(opened(), events())
    with WebSocket(system.port, "/sjs/0/s/websocket", stage.host) as client:
        yield "opens", client.message(), "text o"
        client.put("text", "")
        client.put("text", "x")
        yield "client", client.message(), "close 1007"


@scenario(ROUTE)
def sockjs_raw_websocket(system, stage):
    stage.answer(opened(("TEXT", "m:hi")), events(("CLOSE", closing(4001))))
    with WebSocket(system.port, "/sjs/websocket", stage.host) as client:
        yield "message", client.message(), "text hi"
        client.put("text", "raw")
        stage.request()
        yield "event", stage.request().body, event("TEXT", "raw")
        yield "close", client.message(), "close 4001"

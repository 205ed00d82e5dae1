"""Automatic CORS and JSON-P on routes with `aco` (proxying.md 13, 14)."""

from urllib.parse import quote

from tests.wire.client import Client, ask, request, shown
from tests.wire.origin import reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.holds import OK, response_hold, response_item, stream_hold
from tests.wire.scenarios.telling import scenario

ROUTE = "HOST,aco ORIGIN"


@scenario(ROUTE)
def cors(system, stage):
    stage.answer(text("X-A: 1", "x-b: 2", "X-a: 3", "Cache-Control: no-store", body="b"))
    fields = "Origin: http://a.example", "Access-Control-Request-Method: PATCH"
    answer = ask(
        system.port,
        request("GET", "/", stage.host, *fields, "Access-Control-Request-Headers: x-c ,X-D"),
    )
    yield (
        "client",
        showing.response(answer),
        f"""{OK}\
X-A: 1
x-b: 2
X-a: 3
Cache-Control: no-store
Access-Control-Allow-Methods: PATCH
Access-Control-Allow-Headers: x-c, X-D
Access-Control-Expose-Headers: X-A, x-b
Access-Control-Allow-Credentials: true
Access-Control-Allow-Origin: http://a.example
Access-Control-Max-Age: 3600
Vary: Origin
Content-Length: 1

b""",
    )


CORS = """\
Access-Control-Allow-Methods: OPTIONS, HEAD, GET, POST, PUT, DELETE
Access-Control-Allow-Credentials: true
Access-Control-Allow-Origin: *
Access-Control-Max-Age: 3600
"""


@scenario(ROUTE)
def cors_without_origin(system, stage):
    stage.answer(text(body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(answer), f"{OK}{CORS}Content-Length: 1\n\nb"


@scenario(ROUTE)
def cors_leaves_what_is_there(system, stage):
    stage.answer(text("access-control-allow-origin: x", "Access-Control-Max-Age: 1", body="b"))
    answer = ask(system.port, request("GET", "/", stage.host, "Origin: null"))
    yield "client", answer.values("access-control-allow-origin"), ["x"]
    yield "age", answer.values("access-control-max-age"), ["1"]


@scenario(ROUTE)
def cors_leaves_options_to_the_origin(system, stage):
    stage.answer(reply("204 No Content"))
    answer = ask(system.port, request("OPTIONS", "/", stage.host, "Origin: http://a"))
    yield "status", answer.status, 204
    yield "origin", answer.value("access-control-allow-origin"), "http://a"


@scenario("HOST,aco REFUSING")
def cors_on_errors(system, stage):
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "status", answer.status, 502
    yield "origin", answer.value("access-control-allow-origin"), "*"


@scenario(ROUTE, each={"response": (True,), "stream": (False,)})
def cors_on_holds(system, stage, response):
    channel = stage.channel("a")
    stage.answer(response_hold(channel) if response else stream_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host, "Origin: http://a"))
        if response:
            system.subscribed(channel)
            system.publish([response_item(channel, "x", headers={"X-New": "1"})])
        head = client.head()
        yield "origin", head.value("access-control-allow-origin"), "http://a"
        yield "exposed", head.value("access-control-expose-headers"), "X-New" if response else None


# JSON-P

SCRIPT = "HTTP/1.1 200 OK\nContent-Type: application/javascript\n"


@scenario(ROUTE)
def jsonp_extended(system, stage):
    stage.answer(text("X-B: 1", "X-A: 2", body='b"\n\xe9', status="201 Created"))
    answer = ask(system.port, request("GET", "/p?a=b&callback=cb&c=d", stage.host))
    yield "origin", stage.request().target, "/p?a=b&c=d"
    sniff = "X-Content-Type-Options: nosniff"
    yield "nosniff", answer.values("x-content-type-options"), ["nosniff"]
    head = showing.head(answer).replace(f"{sniff}\n", "")
    yield "head", head, f"{SCRIPT}Content-Length: {len(answer.body)}"
    must = (
        '/**/cb({"code": 201, "reason": "Created", "headers": {"Content-Length":"5",'
        '"Content-Type":"text/plain","X-A":"2","X-B":"1"}, "body": "b\\"\\n\xe9"});\n'
    )
    yield "body", shown(answer.body), shown(must.encode())


@scenario("HOST,aco,jsonp_mode=basic ORIGIN")
def jsonp_basic(system, stage):
    stage.answer(text(body='{"a":1}\r\n'))
    answer = ask(system.port, request("GET", "/?callback=cb&_method=GET", stage.host))
    yield "body", answer.body, b'/**/cb({"a":1});\n'
    yield "origin", (stage.request().method, stage.requests[0].target), ("GET", "/")


@scenario("HOST,aco,jsonp_mode=basic ORIGIN")
def jsonp_basic_empty(system, stage):
    stage.answer(reply())
    answer = ask(system.port, request("GET", "/?callback=cb&_method=GET", stage.host))
    yield "client", (answer.status, answer.body), (200, b"/**/cb();\n")


@scenario(ROUTE)
def jsonp_request(system, stage):
    stage.answer(text(body="x"))
    headers = quote('{"X-Two": "2", "Accept": "no", "X-One": "1"}')
    target = f"/?_method=POST&_headers={headers}&_body=a%20b%2B+c&callback=cb"
    ask(system.port, request("GET", target, stage.host, "X-Client: 1"))
    got = stage.request()
    yield "line", (got.method, got.target), ("POST", "/")
    yield (
        "fields",
        showing.chosen(got, "x-one", "x-two", "x-client"),
        ("X-One: 1\nX-Two: 2\nX-Client: 1"),
    )
    yield "body", got.body, b"a b++c"


@scenario(
    "HOST,aco,path_beg=/b,jsonp_body=body ORIGIN",
    ROUTE,
    each={
        "callback": ("/?callback=", "Invalid callback parameter."),
        "method": ("/?callback=cb&_method=", "Invalid _method parameter."),
        "headers": ("/?callback=cb&_headers=x", "Invalid _headers parameter."),
        "headers-empty": ("/?callback=cb&_headers=", "Invalid _headers parameter."),
        "body": ("/?callback=cb&_body=", "Invalid _body parameter."),
        "named-body": ("/b?callback=cb&body=", "Invalid body parameter."),
    },
)
def jsonp_bad_parameter(system, stage, target, why):
    stage.answer(text(body="x"))
    answer = ask(system.port, request("GET", target, stage.host))
    yield "client", showing.line(answer), f"400 Bad Request: {why}\\n"


@scenario(ROUTE, each={"call": ("alert(1);x",), "blank": ("a%20b",)})
def jsonp_callback_is_checked(system, stage, callback):
    stage.answer(text(body="x"))
    answer = ask(system.port, request("GET", f"/?callback={callback}", stage.host))
    yield "status", answer.status, 400


@scenario("HOST,aco,jsonp_cb=jcb,jsonp_body=b,jsonp_defcb=dcb,jsonp_defmethod=PUT ORIGIN")
def jsonp_options(system, stage):
    stage.answer(text(body="x"))
    answer = ask(system.port, request("GET", "/?b=content", stage.host))
    got = stage.request()
    yield "default callback", answer.body[:8], b"/**/dcb("
    yield "origin", (got.method, got.target, got.body), ("PUT", "/", b"content")
    yield "type", got.values("content-type"), ["application/json"]
    ask(system.port, request("GET", "/?callback=x", stage.host))
    yield "other name", stage.request().target, "/?callback=x"
    answer = ask(system.port, request("GET", "/?jcb=y&_method=GET", stage.host))
    yield "own name", answer.body[:6], b"/**/y("


@scenario("HOST,aco REFUSING")
def jsonp_error(system, stage):
    answer = ask(system.port, request("GET", "/?callback=cb", stage.host))
    yield "status", answer.status, 200
    body = answer.body.decode()
    yield "body", body[:43], '/**/cb({"code": 502, "reason": "Bad Gateway'


@scenario(ROUTE)
def jsonp_hold(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/?callback=cb", stage.host))
        system.subscribed(channel)
        system.publish([response_item(channel, "x", code=202, headers={"X-A": "1"})])
        answer = client.response()
        yield "status", answer.status, 200
        must = (
            '/**/cb({"body":"x","code":202,"headers":{"Content-Type":"text/plain","X-A":"1"},'
            '"reason":"Accepted"});\n'
        )
        yield "body", shown(answer.body), shown(must.encode())


@scenario(ROUTE)
def jsonp_stream_is_not_wrapped(system, stage):
    stage.answer(stream_hold(stage.channel("a")))
    with Client(system.port) as client:
        client.send(request("GET", "/?callback=cb", stage.host))
        yield "type", client.head().value("content-type"), "text/plain"
        yield "first", client.piece(), b"first\n"

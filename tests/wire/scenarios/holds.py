"""Response holds and stream holds over HTTP (grip-http.md 4 to 6)."""

import gzip

from tests.wire.client import Client, ask, attempt, envelope, push, request, shown
from tests.wire.origin import ending, reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.telling import scenario

OK = "HTTP/1.1 200 OK\nContent-Type: text/plain\n"
STREAM = f"{OK}Transfer-Encoding: chunked"


def response_hold(channel: str, *fields: str, body="timed out", status="200 OK") -> bytes:
    """Write an instruct for a long-poll."""
    return text(
        "Grip-Hold: response", f"Grip-Channel: {channel}", *fields, body=body, status=status
    )


def stream_hold(channel: str, *fields: str, body="first\n", status="200 OK") -> bytes:
    """Write an instruct for a stream."""
    return text("Grip-Hold: stream", f"Grip-Channel: {channel}", *fields, body=body, status=status)


def response_item(channel: str, body: str, **more: object) -> dict[str, object]:
    return {"channel": channel, "formats": {"http-response": {"body": body, **more}}}


def stream_item(channel: str, content: str, **more: object) -> dict[str, object]:
    return {"channel": channel, "formats": {"http-stream": {"content": content}}, **more}


def stream_close(channel: str, **more: object) -> dict[str, object]:
    return {"channel": channel, "formats": {"http-stream": {"action": "close"}}, **more}


# Response holds


@scenario(each={"post": ("HTTP",), "j": ("J",), "t": ("T",), "bare": ("",)})
def response_answered_by_item(system, stage, how):
    channel = stage.channel("a")
    stage.answer(response_hold(channel, 'ETag: "v1"', "X-Mine: m"))
    item = response_item(channel, "new")
    with Client(system.port) as client:
        client.send(request("GET", "/poll", stage.host))
        system.subscribed(channel)
        if how == "HTTP":
            yield "published", showing.line(system.publish([item])), "200 OK: Published\\n"
        else:
            push(system.zmq_port, envelope(item, how))
        yield (
            "client",
            showing.response(client.response()),
            f"""{OK}\
ETag: "v1"
X-Mine: m
Content-Length: 3

new""",
        )
        stage.answer(text(body="next"))
        client.send(request("GET", "/", stage.host))
        yield "next", showing.line(client.response()), "200 OK: next"


@scenario(
    each={
        "code": ({"code": 404}, "HTTP/1.1 404 Not Found", "Content-Type: text/plain\nX-O: o\n"),
        "reason": (
            {"code": 201, "reason": "Own"},
            "HTTP/1.1 201 Own",
            "Content-Type: text/plain\nX-O: o\n",
        ),
        "unknown-code": (
            {"code": 299},
            "HTTP/1.1 299 Undefined Reason",
            "Content-Type: text/plain\nX-O: o\n",
        ),
        "code-as-text": (
            {"code": "404"},
            "HTTP/1.1 404 Not Found",
            "Content-Type: text/plain\nX-O: o\n",
        ),
        "headers": (
            {"headers": {"x-o": "n", "X-A": "1"}},
            "HTTP/1.1 200 OK",
            "Content-Type: text/plain\nX-A: 1\nx-o: n\n",
        ),
        "header-pairs": (
            {"headers": [["X-O", "2"], ["X-B", "1"], ["X-O", "3"]]},
            "HTTP/1.1 200 OK",
            "Content-Type: text/plain\nX-O: 2\nX-B: 1\nX-O: 3\n",
        ),
        "framing-headers": (
            {"headers": [["Content-Length", "9"], ["Connection", "close"], ["Grip-X", "1"]]},
            "HTTP/1.1 200 OK",
            "Content-Type: text/plain\nX-O: o\n",
        ),
        "expose": (
            {"headers": [["Grip-Expose-Headers", "X-O"], ["X-N", "1"]]},
            "HTTP/1.1 200 OK",
            "Content-Type: text/plain\nX-N: 1\n",
        ),
    }
)
def response_item_changes(system, stage, more, first, fields):
    channel = stage.channel("a")
    stage.answer(response_hold(channel, "X-O: o"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish([response_item(channel, "b", **more)])
        yield (
            "client",
            showing.response(client.response()),
            f"{first}\n{fields}Content-Length: 1\n\nb",
        )


@scenario(each={"204": (204,), "304": (304,)})
def response_item_bodiless(system, stage, code):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish([response_item(channel, "b", code=code)])
        answer = client.response()
        yield "status", answer.status, code
        yield "length", answer.value("content-length"), None
        yield "then", client.ended(seconds=0.1), "open"


@scenario()
def response_item_with_bytes(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        formats = {"http-response": {"body-bin": "AP8=", "body": "no"}}
        system.publish([{"channel": channel, "formats": formats}])
        yield "body", client.response().body, b"\x00\xff"


@scenario()
def response_item_in_older_spelling(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish([{"channel": channel, "http-response": {"body": "flat"}}])
        yield "body", client.response().body, b"flat"


@scenario()
def response_ignores_close_and_other_formats(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish(
            [
                {"channel": channel, "formats": {"http-response": {"action": "close"}}},
                stream_item(channel, "stream"),
                {"channel": channel, "formats": {"ws-message": {"content": "ws"}}},
                response_item(channel, "at last"),
            ]
        )
        yield "body", client.response().body, b"at last"


@scenario()
def response_on_two_channels(system, stage):
    one, two = stage.channel("1"), stage.channel("2")
    stage.answer(text("Grip-Hold: response", f"Grip-Channel: {one}, {two}", body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(two)
        system.publish([response_item(two, "two"), response_item(one, "one")])
        yield "body", client.response().body, b"two"
        yield "then", client.ended(seconds=0.1), "open"


@scenario()
def response_reaches_every_holder(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as one, Client(system.port) as two:
        for client in (one, two):
            client.send(request("GET", "/", stage.host))
        system.subscribed(channel, times=2)
        system.publish([response_item(channel, "all")])
        yield "one", one.response().body, b"all"
        yield "two", two.response().body, b"all"


@scenario()
def response_pipelined_request_waits(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel), text(body="second"))
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host) + request("GET", "/2", stage.host))
        system.subscribed(channel)
        yield "asked", [r.target for r in stage.requests], ["/1"]
        system.publish([response_item(channel, "first")])
        yield "first", client.response().body, b"first"
        yield "second", client.response().body, b"second"


@scenario()
def response_ends_with_its_client(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        client.finish()
        yield "client", client.rest(), b""


@scenario(
    each={
        "close": (("Connection: close",), "HTTP/1.1", f"{OK}Connection: close\n"),
        "http-1-0": ((), "HTTP/1.0", "HTTP/1.0 200 OK\nContent-Type: text/plain\n"),
        "http-1-0-keep-alive": (
            ("Connection: keep-alive",),
            "HTTP/1.0",
            "HTTP/1.0 200 OK\nContent-Type: text/plain\nConnection: keep-alive\n",
        ),
    }
)
def response_framing(system, stage, fields, version, must):
    channel = stage.channel("a")
    stage.answer(response_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host, *fields, version=version))
        system.subscribed(channel)
        system.publish([response_item(channel, "x")])
        yield "client", showing.response(client.response()), f"{must}Content-Length: 1\n\nx"
        then = "open" if "keep-alive" in must else "closed"
        yield "then", client.ended(seconds=0.1), then


@scenario()
def response_to_head(system, stage):
    channel = stage.channel("a")
    stage.answer(
        lambda got, _: reply(
            "200 OK", "Grip-Hold: response", f"Grip-Channel: {channel}", "Content-Length: 0"
        )
    )
    with Client(system.port) as client:
        client.send(request("HEAD", "/", stage.host))
        system.subscribed(channel)
        system.publish([response_item(channel, "xyz")])
        yield "head", showing.head(client.head()), "HTTP/1.1 200 OK\nContent-Length: 3"
        yield "then", client.ended(seconds=0.2), "open"


@scenario(slow=True)
def response_times_out(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel, "Grip-Timeout: 5", "X-A: 1", status="299 Own"))
    answer = ask(system.port, request("GET", "/", stage.host), seconds=9)
    yield (
        "client",
        showing.response(answer),
        """
        HTTP/1.1 299 Own
        Content-Type: text/plain
        X-A: 1
        Content-Length: 9

        timed out
        """,
    )


@scenario(slow=True)
def response_times_out_with_status(system, stage):
    channel = stage.channel("a")
    fields = "Grip-Timeout: 1", "Grip-Status: 304", 'ETag: "x"', "Grip-Expose-Headers: etag"
    stage.answer(response_hold(channel, *fields))
    answer = ask(system.port, request("GET", "/", stage.host), seconds=9)
    yield "client", showing.response(answer), 'HTTP/1.1 304 Not Modified\nETag: "x"'


# Retries


@scenario()
def response_hint_retries(system, stage):
    channel = stage.channel("a")
    stage.answer(
        response_hold(f"{channel}; prev-id=1"),
        text("X-A: 1", body="fresh", status="201 Created"),
    )
    with Client(system.port) as client:
        fields = "X-Mine: m", "Content-Type: text/x", "Grip-Last: mine"
        client.send(request("POST", "/x?y=1", stage.host, *fields, body=b"payload"))
        system.subscribed(channel)
        stage.request()
        system.publish(
            [
                {
                    "channel": channel,
                    "formats": {"http-response": {"action": "hint"}},
                    "prev-id": "1",
                    "id": "2",
                }
            ]
        )
        yield (
            "client",
            showing.response(client.response()),
            """
            HTTP/1.1 201 Created
            Content-Type: text/plain
            X-A: 1
            Content-Length: 5

            fresh
            """,
        )
    yield (
        "retry",
        showing.request(stage.request()),
        f"""
        POST /x?y=1 HTTP/1.1
        Host: {stage.host}
        X-Mine: m
        Content-Type: text/x
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        Grip-Last: {channel}; last-id=2
        Content-Length: 7

        payload
        """,
    )


@scenario()
def response_retry_becomes_stream(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel), stream_hold(stage.channel("b")))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish([{"channel": channel, "formats": {"http-response": {"action": "hint"}}}])
        yield "head", showing.head(client.head()), STREAM
        yield "first", client.piece(), b"first\n"


@scenario()
def response_retry_of_a_gone_origin(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(channel), ending(b""))
    with Client(system.port) as client:
        client.send(request("POST", "/", stage.host, body=b"x"))
        system.subscribed(channel)
        system.publish([{"channel": channel, "formats": {"http-response": {"action": "hint"}}}])
        yield (
            "client",
            showing.line(client.response()),
            ("502 Bad Gateway: Error while proxying to origin.\\n"),
        )


@scenario(slow=True)
def response_first_subscription_asks_again(system, stage):
    """One second after a channel got its first subscriber its holds ask their origin again."""
    channel = stage.channel("a")
    stage.answer(response_hold(channel), text(body="newer"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.line(answer), "200 OK: newer"
    yield "asked", len(stage.requests), 2


@scenario()
def response_mismatch_asks_again(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(f"{channel}; prev-id=5"), text(body="newer"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish([response_item(channel, "x") | {"id": "9", "prev-id": "8"}])
        yield "client", client.response().body, b"newer"
    stage.request()
    yield "grip-last", stage.request().values("grip-last"), [f"{channel}; last-id=5"]


@scenario()
def response_begins_behind(system, stage):
    """A hold that names an older id than the proxy has seen asks again at once, and only once."""
    channel = stage.channel("a")
    stage.answer(response_hold(f"{channel}; prev-id=1"))
    with Client(system.port) as one, Client(system.port) as two:
        one.send(request("GET", "/1", stage.host))
        system.subscribed(channel)
        system.publish([response_item(channel, "2") | {"id": "2", "prev-id": "1"}])
        yield "one", one.response().body, b"2"
        two.send(request("GET", "/2", stage.host))
        targets = [stage.request().target for _ in range(3)]
        yield "asked", targets, ["/1", "/2", "/2"]
        yield "grip-last", stage.requests[2].values("grip-last"), [f"{channel}; last-id=1"]
        system.subscribed(channel, times=2)
        system.publish([response_item(channel, "3") | {"id": "3", "prev-id": "1"}])
        two.seconds = 2  # it must not wait for an item 2 that came long ago
        yield "two", attempt(lambda: two.response().body), b"3"


@scenario()
def response_fitting_ids_answer(system, stage):
    channel = stage.channel("a")
    stage.answer(response_hold(f"{channel}; prev-id=1"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        system.publish(
            [
                {"channel": channel, "formats": {"http-response": {"action": "close"}}}
                | {"id": "2", "prev-id": "1"},
                response_item(channel, "third") | {"id": "3", "prev-id": "2"},
            ]
        )
        yield "client", client.response().body, b"third"
    yield "asked", len(stage.requests), 1


# No hold, and what an instruct does to the response


@scenario()
def instruct_without_hold(system, stage):
    stage.answer(
        text(f"Grip-Channel: {stage.channel('a')}", "X-A: a", "GRIP-foo: 1", body="plain")
    )
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(answer), f"{OK}X-A: a\nContent-Length: 5\n\nplain"


@scenario(
    each={
        "code": ("202", "HTTP/1.1 202 Accepted"),
        "reason": ("202 OK fine", "HTTP/1.1 202 OK fine"),
        "unknown": ("299", "HTTP/1.1 299 Undefined Reason"),
        "older-name": ("413", "HTTP/1.1 413 Request Entity Too Large"),
        "418": ("418", "HTTP/1.1 418 Undefined Reason"),
        "302": ("302", "HTTP/1.1 302 Found"),
        "empty": ("", "HTTP/1.1 200 OK"),
    }
)
def instruct_status(system, stage, status, must):
    stage.answer(text(f"Grip-Status: {status}", body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    first, _, rest = showing.response(answer).partition("\n")
    yield "status", first, must
    yield "rest", rest, "Content-Type: text/plain\nContent-Length: 1\n\nb"


@scenario(
    each={
        "one": (("X-a",), "X-A: 1\n"),
        "list": (("x-a, Content-Type",), "Content-Type: text/plain\nX-A: 1\n"),
        "two-fields": (("x-a", "x-b"), "X-A: 1\nX-B: 2\n"),
        "star": (("*",), ""),
        "none": (("",), "Content-Type: text/plain\nX-A: 1\nX-B: 2\n"),
    }
)
def instruct_expose(system, stage, names, must):
    exposed = (f"Grip-Expose-Headers: {name}" for name in names)
    stage.answer(text("X-A: 1", "X-B: 2", *exposed, body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(answer), f"HTTP/1.1 200 OK\n{must}Content-Length: 1\n\nb"


@scenario()
def instruct_drops_fields(system, stage):
    fields = (
        "Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "Cache-Control: no-store",
        "ETag: x",
    )
    stage.answer(text("Grip-Foo: 1", *fields, "Set-Cookie: a=1", body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield (
        "client",
        showing.response(answer),
        f"{OK}Cache-Control: no-store\nETag: x\nSet-Cookie: a=1\nContent-Length: 1\n\nb",
    )


@scenario("HOST,debug ORIGIN", each={"at-limit": (100_000, 200), "over": (100_001, 502)})
def instruct_body_limit(system, stage, size, status):
    stage.answer(text("Grip-Foo: 1", body=b"x" * size))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "status", answer.status, status
    if status == 502:
        must = f"GRIP instruct response too large from 127.0.0.1:{stage.port}\\n"
        yield "text", shown(answer.body), must
    else:
        yield "length", len(answer.body), size


@scenario(each={"at-limit": (100_000, "200 OK: b"), "over": (100_001, "")})
def instruct_request_limit(system, stage, size, must):
    stage.answer(text("Grip-Foo: 1", body=b"b"))
    answer = ask(system.port, request("POST", "/", stage.host, body=b"x" * size))
    too_large = "400 Bad Request: Request too large to accept GRIP instruct.\\n"
    yield "client", showing.line(answer), must or too_large


@scenario()
def instruct_coded_body(system, stage):
    body = gzip.compress(b"coded", mtime=0)
    stage.answer(reply("200 OK", "Grip-Foo: 1", "Content-Encoding: gzip", body=body))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(answer), "HTTP/1.1 200 OK\nContent-Length: 5\n\ncoded"


# Streams


@scenario(each={"post": ("HTTP",), "j": ("J",), "t": ("T",), "bare": ("",)})
def stream_items_and_close(system, stage, how):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, "X-A: 1", "Cache-Control: no-cache"))
    items = [stream_item(channel, "one\n"), stream_item(channel, "two\n"), stream_close(channel)]
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield (
            "head",
            showing.head(client.head()),
            f"""{OK}\
X-A: 1
Cache-Control: no-cache
Transfer-Encoding: chunked""",
        )
        yield "first", client.piece(), b"first\n"
        system.subscribed(channel)
        if how == "HTTP":
            system.publish(items)
        else:
            push(system.zmq_port, *(envelope(item, how) for item in items))
        yield "items", b"".join(client.pieces()), b"one\ntwo\n"
        stage.answer(text(body="next"))
        client.send(request("GET", "/", stage.host))
        yield "next", showing.line(client.response()), "200 OK: next"


@scenario(
    each={
        "bytes": ({"content-bin": "AP8=", "content": "no"}, b"\x00\xff"),
        "not-ascii": ({"content": "é☃"}, "é☃".encode()),
        "long": ({"content": "x" * 8192}, b"x" * 8192),
    }
)
def stream_content(system, stage, content, must):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head(), client.piece()
        system.subscribed(channel)
        system.publish([{"channel": channel, "formats": {"http-stream": content}}])
        yield "content", client.chunked(len(must)) == must, True


@scenario()
def stream_empty_content_writes_nothing(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(
            [stream_item(channel, ""), stream_item(channel, "x"), stream_close(channel)]
        )
        yield "chunks", list(client.pieces()), [b"x"]


@scenario()
def stream_large_content(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        big = "0123456789" * 30_000
        system.publish([stream_item(channel, big), stream_close(channel)])
        yield "whole", b"".join(client.pieces()) == big.encode(), True


@scenario()
def stream_ignores_other_actions(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(
            [
                {"channel": channel, "formats": {"http-stream": {"action": "hint"}}},
                response_item(channel, "no"),
                stream_item(channel, "x"),
                stream_close(channel),
            ]
        )
        yield "chunks", list(client.pieces()), [b"x"]


@scenario(
    each={
        "close": (
            ("Connection: close",),
            "HTTP/1.1",
            f"{OK}Connection: close\nTransfer-Encoding: chunked",
        ),
        "http-1-0": ((), "HTTP/1.0", "HTTP/1.0 200 OK\nContent-Type: text/plain"),
        "http-1-0-keep-alive": (
            ("Connection: keep-alive",),
            "HTTP/1.0",
            "HTTP/1.0 200 OK\nContent-Type: text/plain",
        ),
    }
)
def stream_framing(system, stage, fields, version, must):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host, *fields, version=version))
        yield "head", showing.head(client.head()), must
        system.subscribed(channel)
        system.publish([stream_item(channel, "x"), stream_close(channel)])
        plain = version == "HTTP/1.0"
        expected = b"first\nx" if plain else b"6\r\nfirst\n\r\n1\r\nx\r\n0\r\n\r\n"
        yield "body", client.take(len(expected)), expected
        yield "then", client.ended(seconds=0.2), "closed"


@scenario(
    each={
        "204": ("204 No Content", "GET", "HTTP/1.1 204 No Content"),
        "304": ("304 Not Modified", "GET", "HTTP/1.1 304 Not Modified"),
        "head": ("200 OK", "HEAD", "HTTP/1.1 200 OK"),
    }
)
def stream_without_body(system, stage, status, method, must):
    """A stream that can have no body is its head alone."""
    stage.answer(reply(status, "Grip-Hold: stream", f"Grip-Channel: {stage.channel('a')}"))
    with Client(system.port) as client:
        client.send(request(method, "/", stage.host))
        yield "head", showing.head(client.head()), must
        stage.answer(text(body="next"))
        client.seconds = 1
        client.send(request("GET", "/", stage.host))
        yield "next", attempt(lambda: showing.line(client.response())), "200 OK: next"


@scenario()
def stream_status_and_expose(system, stage):
    channel = stage.channel("a")
    fields = "Grip-Status: 202 Z", "Grip-Expose-Headers: x-a", "X-A: 1", "X-B: 2"
    stage.answer(stream_hold(channel, *fields))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield (
            "head",
            showing.head(client.head()),
            "HTTP/1.1 202 Z\nX-A: 1\nTransfer-Encoding: chunked",
        )


@scenario()
def stream_large_first_body(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=b"x" * 150_000))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield "head", showing.head(client.head()), STREAM
        yield "body", client.chunked(150_000) == b"x" * 150_000, True
        system.subscribed(channel)
        system.publish([stream_item(channel, "item")])
        yield "item", client.piece(), b"item"


@scenario()
def stream_begins_before_the_body_has_ended(system, stage):
    """Relayed as it comes, and subscribed from the head on."""
    channel = stage.channel("a")

    def answer(_, wire):
        fields = "Grip-Hold: stream", f"Grip-Channel: {channel}", "Content-Length: 8"
        wire.send(reply("200 OK", *fields) + b"half")
        stage.gate.wait(5)
        wire.send(b"rest")

    stage.answer(answer)
    with Client(system.port, seconds=0.5) as client:
        client.send(request("GET", "/", stage.host))
        head = attempt(client.head, None)
        yield "first", client.piece() if head else "nothing", b"half"
        system.publish([stream_item(channel, "item")])
        stage.gate.set()
        if head is None:
            client.head()
        seen = [client.piece(), attempt(client.piece)]
        yield "then", seen, [b"rest", b"item"]


@scenario()
def stream_ends_with_its_client(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head(), client.piece()
        system.subscribed(channel)
        client.finish()
        yield "client", client.rest(), b""


@scenario()
def stream_without_channel(system, stage):
    stage.answer(text("Grip-Hold: stream", body="x"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield "head", showing.head(client.head()), STREAM
        yield "first", client.piece(), b"x"
        yield "then", client.ended(seconds=0.1), "open"


@scenario()
def stream_channel_names(system, stage):
    """Quotes belong to the name; parts whose parameters do not parse are dropped."""
    stage.answer(
        text(
            "Grip-Hold: stream",
            f'Grip-Channel: "{stage.name},b"; x=y',
            f'Grip-Channel: {stage.name}-broken; prev-id="x',
            f"Grip-Channel: {stage.name}-\u00c3\u00bc",
            body="",
        )
    )
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(f"{stage.name}-ü")
        system.publish(
            [
                stream_item(f"{stage.name}-broken", "no"),
                stream_item(f'"{stage.name},b"', "quoted;"),
                stream_item(f"{stage.name}-ü", "umlaut;"),
                stream_close(f"{stage.name}-ü"),
            ]
        )
        yield "items", b"".join(client.pieces()), b"quoted;umlaut;"


@scenario()
def stream_twenty_channels(system, stage):
    """The first 20 channels count, the others do not."""
    names = [stage.channel(str(n)) for n in range(22)]
    stage.answer(text("Grip-Hold: stream", f"Grip-Channel: {', '.join(names)}", body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(names[19])
        order = [names[20], names[21], names[19], names[0]]
        system.publish([*(stream_item(n, f"{n};") for n in order), stream_close(names[0])])
        items = b"".join(client.pieces()).decode()
        yield "items", items, f"{names[19]};{names[0]};"


@scenario("HOST,prefix=p- ORIGIN")
def stream_prefix(system, stage):
    name = stage.channel("a")
    stage.answer(stream_hold(name, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(f"p-{name}")
        system.publish([stream_item(name, "no"), stream_item(f"p-{name}", "yes")])
        yield "chunk", client.piece(), b"yes"


@scenario("HOST,prefix=p- ORIGIN,sub=NAME-implicit")
def stream_implicit_channel(system, stage):
    stage.answer(text("Grip-Hold: stream", body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(f"{stage.name}-implicit")
        system.publish([stream_item(f"{stage.name}-implicit", "yes")])
        yield "chunk", client.piece(), b"yes"


# Keep-alive


@scenario(
    slow=True,
    each={
        "raw": ("ping", b"ping"),
        "cstring": (r"a\n\r\\\x41; format=cstring", b"a\n\r\\A"),
        "cstring-tab": (r"a\tb; format=cstring", b"a\tb"),
        "cstring-unknown": (r"a\qb; format=cstring", b"ab"),
        "base64": ("AP8=; format=base64", b"\x00\xff"),
        "interval": ("x; mode=interval", b"x"),
        "quoted": ('"x y"', b'"x y"'),
        "with-colon": ("event: k; mode=idle", b"event: k"),
    },
)
def stream_keep_alive(system, stage, value, must):
    field = f"Grip-Keep-Alive: {value}; timeout=1"
    stage.answer(stream_hold(stage.channel("a"), field, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        yield "twice", client.chunked(2 * len(must)), must + must


# Debug


@scenario("HOST,debug ORIGIN", each={"response": ("response",), "stream": ("stream",)})
def content_filter_mismatch_debug(system, stage, mode):
    channel = stage.channel("a")
    stage.answer(
        text(
            f"Grip-Hold: {mode}",
            f"Grip-Channel: {channel}; filter=build-id; filter=skip-self",
            'Grip-Set-Meta: id_format="x"',
            body="a",
        )
    )
    must = "content filter mismatch: subscription=build-id message=var-subst"
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        if mode == "stream":
            client.head(), client.piece()
        system.subscribed(channel)
        formats = {
            "http-response": {"body": "x", "content-filters": ["var-subst"]},
            "http-stream": {"content": "x", "content-filters": ["var-subst"]},
        }
        system.publish([{"channel": channel, "formats": formats}])
        if mode == "stream":
            yield "client", shown(b"".join(client.pieces())), f"\\n\\n{must}\\n"
        else:
            yield "client", showing.line(client.response()), f"502 Bad Gateway: {must}\\n"

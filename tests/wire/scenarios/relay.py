"""Plain requests and responses: what the origin gets and what the client gets (proxying.md)."""

import gzip

from tests.wire.client import Client, ask, attempt, request, shown, wait_until
from tests.wire.origin import Origin, breaking, chunks, ending, reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.telling import scenario

HELLO = text(body="hello")


def body_of(system, stage, sent: bytes) -> str:
    """Send a request and return how the origin got method, framing and body."""
    answer = ask(system.port, sent)
    got = stage.request()
    return "\n".join(
        [
            f"{got.method} {got.target} {got.version}",
            showing.chosen(got, "content-length", "transfer-encoding"),
            shown(got.body),
            f"answer {answer.status}",
        ]
    )


# Requests


@scenario()
def relay_get(system, stage):
    stage.answer(reply("200 OK", "Content-Type: text/plain", "X-Origin: a", body="hello"))
    answer = ask(
        system.port, request("GET", "/path?a=b&c", stage.host, "X-Mine: 1", "Cookie: c=1")
    )
    yield (
        "origin",
        showing.request(stage.request()),
        """
        GET /path?a=b&c HTTP/1.1
        Host: relay-get.test
        X-Mine: 1
        Cookie: c=1
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        """,
    )
    yield (
        "client",
        showing.response(answer),
        """
        HTTP/1.1 200 OK
        Content-Type: text/plain
        X-Origin: a
        Content-Length: 5

        hello
        """,
    )


@scenario()
def relay_raw(system, stage):
    """What other scenarios leave out, once in full."""
    stage.answer(HELLO)
    answer = ask(system.port, request("GET", "/", stage.host))
    got = stage.request()
    yield "via", got.value("via"), "1.1 gripproxy"
    yield "accept", got.value("accept"), None
    yield "accept-encoding", got.value("accept-encoding"), None
    features = (
        "status, session, link:next, link:gone, filter:skip-self, filter:skip-users,"
        " filter:require-sub, filter:build-id, filter:var-subst, filter:http-check,"
        " filter:http-modify"
    )
    yield "features", got.value("grip-feature"), features
    yield "date", answer.value("date") is not None, True
    yield "via of the response", answer.value("via"), None
    yield "server", answer.value("server"), None


@scenario("HOST REFUSING")
def relay_raw_error(system, stage):
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "proxy-status", answer.value("proxy-status"), "gripproxy; error=connection_refused"


@scenario(
    each={
        "get": ("GET", "answer 200"),
        "options": ("OPTIONS", "answer 200"),
        "delete": ("DELETE", "Content-Length: 0"),
        "post": ("POST", "Content-Length: 0"),
        "lower": ("get", "Content-Length: 0"),
        "trace": ("TRACE", "Content-Length: 0"),
        "own": ("X-OWN", "Content-Length: 0"),
    }
)
def relay_without_body(system, stage, method, second):
    stage.answer(HELLO)
    lines = body_of(system, stage, request(method, "/", stage.host)).split("\n")
    yield "method", lines[0], f"{method} / HTTP/1.1"
    yield "framing", next(line for line in lines[1:] if line), second


@scenario(
    each={
        "length": ((b"hello",), "Content-Length: 5", b"hello"),
        "empty": ((b"",), "Content-Length: 0", b""),
        "get": ((b"hello",), "Content-Length: 5", b"hello", "GET"),
        "binary": ((bytes(range(256)),), "Content-Length: 256", bytes(range(256))),
        "large": ((b"x" * 150_000,), "Content-Length: 150000", b"x" * 150_000),
        "pieces": ((b"a" * 7000, b"b" * 7000), "Content-Length: 14000", b"a" * 7000 + b"b" * 7000),
    }
)
def relay_body_with_length(system, stage, pieces, framing, must, method="POST"):
    stage.answer(HELLO)
    total = sum(map(len, pieces))
    head = request(method, "/", stage.host, f"Content-Length: {total}")
    answer = ask(system.port, head, *pieces)
    got = stage.request()
    yield "framing", showing.chosen(got, "content-length", "transfer-encoding"), framing
    yield "body", got.body == must, True
    yield "client", answer.status, 200


@scenario(
    each={
        "short": (chunks(b"hello", b" world"), "Content-Length: 11", b"hello world"),
        "empty": (chunks(), "Content-Length: 0", b""),
        "extension": (b"5;a=b\r\nhello\r\n0\r\n\r\n", "Content-Length: 5", b"hello"),
        "trailer": (b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", "Content-Length: 5", b"hello"),
    }
)
def relay_body_chunked(system, stage, sent, framing, must):
    stage.answer(HELLO)
    answer = ask(system.port, request("POST", "/", stage.host, "Transfer-Encoding: chunked"), sent)
    got = stage.request()
    yield "framing", showing.chosen(got, "content-length", "transfer-encoding"), framing
    yield "body", got.body, must
    yield "client", answer.status, 200


@scenario()
def relay_body_chunked_long(system, stage):
    """What is longer than the prefetch goes on in chunks."""
    stage.early = True
    stage.answer(lambda got, wire: wire.body(got) and HELLO)
    with Client(system.port) as client:
        client.send(request("POST", "/", stage.host, "Transfer-Encoding: chunked"))
        client.send(chunks(b"x" * 60_000, last=False))
        got = stage.request()
        client.send(chunks(b"y" * 60_000))
        yield "client", showing.line(client.response()), "200 OK: hello"
    framing = showing.chosen(got, "content-length", "transfer-encoding")
    yield "framing", framing, "Transfer-Encoding: chunked"
    yield "body", got.body == b"x" * 60_000 + b"y" * 60_000, True


@scenario()
def relay_head_goes_before_body(system, stage):
    """The origin is asked when the head is there; Pushpin waits for 10,000 bytes."""
    stage.early = True
    stage.answer(lambda got, wire: wire.body(got) and HELLO)
    with Client(system.port) as client:
        client.send(request("POST", "/", stage.host, "Content-Length: 10"), b"01234")
        yield "asked", not stage.quiet(seconds=0.3), True
        client.send(b"56789")
        yield "answer", client.response().body, b"hello"


@scenario()
def relay_drops_hop_by_hop_request_fields(system, stage):
    stage.answer(HELLO)
    ask(
        system.port,
        request(
            "GET",
            "/",
            stage.host,
            "Connection: keep-alive, X-Named",
            "X-Named: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "TE: trailers",
            "Trailer: X-T",
            "Upgrade: h2c",
            "Accept-Encoding: gzip",
            "Authorization: Basic eA==",
            "Proxy-Authorization: Basic eA==",
            "X-End: 1",
        ),
    )
    yield (
        "origin",
        showing.request(stage.request()),
        """
        GET / HTTP/1.1
        Host: relay-drops-hop-by-hop-request-fields.test
        Authorization: Basic eA==
        Proxy-Authorization: Basic eA==
        X-End: 1
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        """,
    )


@scenario()
def relay_drops_hop_by_hop_response_fields(system, stage):
    stage.answer(
        text(
            "Connection: keep-alive, X-Named",
            "X-Named: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Trailer: X-T",
            "TE: x",
            "Upgrade: h2c",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Via: 1.1 somebody",
            "Server: s",
            "X-End: 1",
            body="b",
        )
    )
    yield (
        "client",
        showing.response(ask(system.port, request("GET", "/", stage.host))),
        """
        HTTP/1.1 200 OK
        Content-Type: text/plain
        Set-Cookie: a=1
        Set-Cookie: b=2
        Via: 1.1 somebody
        Server: s
        X-End: 1
        Content-Length: 1

        b
        """,
    )


@scenario()
def relay_strips_grip_fields_of_clients(system, stage):
    stage.answer(HELLO)
    ask(
        system.port,
        request("GET", "/", stage.host, "Grip-Sig: x", "GRIP-last: a; last-id=b", "X-A: 1"),
    )
    yield (
        "origin",
        showing.request(stage.request()),
        """
        GET / HTTP/1.1
        Host: relay-strips-grip-fields-of-clients.test
        X-A: 1
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        """,
    )


@scenario()
def relay_keeps_order_case_and_bytes_of_fields(system, stage):
    stage.answer(HELLO)
    sent = request(
        "GET", "/", stage.host, "x-b: 1", "X-A:  2 ", "x-B: \xe9t\xe9", "X-Empty:", "X-T: \t3\t"
    )
    ask(system.port, sent)
    got = stage.request()
    yield (
        "origin",
        showing.chosen(got, "x-a", "x-b", "x-empty", "x-t").split("\n"),
        [
            "x-b: 1",
            "X-A: 2",
            "x-B: \xe9t\xe9",
            "X-Empty: ",
            "X-T: 3",
        ],
    )


@scenario(
    each={
        "two-fields": (("1.1.1.1", "2.2.2.2,3.3.3.3"), "1.1.1.1, 2.2.2.2, 3.3.3.3"),
        "none": ((), ""),
    }
)
def relay_forwarded_for(system, stage, sent, must):
    stage.answer(HELLO)
    ask(system.port, request("GET", "/", stage.host, *(f"X-Forwarded-For: {v}" for v in sent)))
    yield "origin", ", ".join(stage.request().values("x-forwarded-for")), must


@scenario()
def relay_forwarded_proto_passes(system, stage):
    stage.answer(HELLO)
    fields = "X-Forwarded-Proto: https", "X-Forwarded-Protocol: https", "Forwarded: for=x"
    ask(system.port, request("GET", "/", stage.host, *fields))
    yield (
        "origin",
        showing.chosen(stage.request(), "x-forwarded-proto", "x-forwarded-protocol", "forwarded"),
        "\n".join(fields),
    )


@scenario(
    each={
        "upper": ("NAME.TEST", "NAME.TEST"),
        "port": ("NAME.test:8000", "NAME.test:8000"),
        "port-80": ("NAME.test:80", "NAME.test:80"),
    }
)
def relay_host(system, stage, sent, must):
    stage.answer(HELLO)
    ask(system.port, request("GET", "/", sent.replace("NAME", stage.name)))
    yield "origin", stage.request().value("host"), must.replace("NAME", stage.name)


@scenario(
    each={
        "plain": ("/a?b=c", "/a?b=c"),
        "dots": ("/a/../b/./c", "/a/../b/./c"),
        "slashes": ("//a//b", "//a//b"),
        "semicolon": ("/a;b=c", "/a;b=c"),
        "encoded": ("/%61%2f%20", "/%61%2f%20"),
        "percent": ("/a%zz", "/a%zz"),
        "question": ("/?a?b", "/?a?b"),
        "bare-question": ("/a?", "/a?"),
        "braces": ("/{a}|b", "/%7Ba%7D%7Cb"),
    }
)
def relay_target(system, stage, sent, must):
    stage.answer(HELLO)
    ask(system.port, request("GET", sent, stage.host))
    yield "origin", stage.request().target, must


@scenario()
def relay_reuses_its_connection(system, stage):
    stage.answer(lambda got, _: text(body=got.target))
    with Client(system.port) as client:
        for target in ("/1", "/2", "/3"):
            client.send(request("GET", target, stage.host))
            yield target, client.response().body.decode(), target
    yield "connections", len({got.connection for got in stage.requests}), 1


# The client's connection


@scenario()
def relay_pipelined(system, stage):
    stage.answer(lambda got, _: text(body=got.target))
    with Client(system.port) as client:
        client.send(b"".join(request("GET", f"/{n}", stage.host) for n in range(20)))
        bodies = [client.response().body.decode() for _ in range(20)]
    yield "in order", bodies, [f"/{n}" for n in range(20)]


@scenario(
    each={
        "close": (("Connection: close",), "HTTP/1.1", "HTTP/1.1 200 OK", ["close"], "closed"),
        "close-in-any-case": (
            ("Connection: Close",),
            "HTTP/1.1",
            "HTTP/1.1 200 OK",
            ["close"],
            "closed",
        ),
        "http-1-0": ((), "HTTP/1.0", "HTTP/1.0 200 OK", [], "closed"),
        "http-1-0-keep-alive": (
            ("Connection: keep-alive",),
            "HTTP/1.0",
            "HTTP/1.0 200 OK",
            ["keep-alive"],
            "open",
        ),
        "http-1-0-keep-alive-upper": (
            ("Connection: Keep-Alive",),
            "HTTP/1.0",
            "HTTP/1.0 200 OK",
            ["keep-alive"],
            "open",
        ),
        "http-1-1": ((), "HTTP/1.1", "HTTP/1.1 200 OK", [], "open"),
    }
)
def relay_persistence(system, stage, fields, version, first, connection, then):
    stage.answer(HELLO)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host, *fields, version=version))
        answer = client.response()
        yield "status line", f"{answer.version} {answer.status} {answer.reason}", first
        yield "connection", answer.values("connection"), connection
        yield "body", answer.body, b"hello"
        yield "then", client.ended(seconds=0.2), then
    yield "asked in", stage.request().version, "HTTP/1.1"


@scenario()
def relay_half_closed_client_is_answered(system, stage):
    stage.answer(stage.late(HELLO))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        client.finish()
        yield "before it", client.ended(seconds=0.1), "open"
        stage.gate.set()
        yield "answer", client.rest()[-5:], b"hello"


@scenario()
def relay_client_gone_cancels(system, stage):
    seen = []
    stage.answer(lambda got, wire: seen.append(wire.ended(seconds=3)) or None)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        stage.request()
        client.reset()
        wait_until(lambda: bool(seen), "the end of the origin's connection")
    yield "origin's connection", seen, ["closed"]


@scenario()
def relay_expect_continue(system, stage):
    stage.answer(HELLO)
    with Client(system.port) as client:
        client.send(request("POST", "/", stage.host, "Content-Length: 5", "Expect: 100-continue"))
        yield "interim", showing.response(client.response()), "HTTP/1.1 100 Continue"
        client.send(b"hello")
        yield "final", showing.line(client.response()), "200 OK: hello"
    got = stage.request()
    yield "origin", (got.value("expect"), got.body), (None, b"hello")


@scenario()
def relay_early_answer(system, stage):
    stage.early = True
    stage.answer(ending(text(body="no")))
    with Client(system.port) as client:
        client.send(request("POST", "/", stage.host, "Content-Length: 50000"), b"x" * 20_000)
        answer = client.response()
        yield (
            "client",
            showing.response(answer),
            """
            HTTP/1.1 200 OK
            Content-Type: text/plain
            Connection: close
            Content-Length: 2

            no
            """,
        )


# Responses


@scenario(
    each={
        "204": (reply("204 No Content", "X-A: 1"), "GET", "HTTP/1.1 204 No Content\nX-A: 1"),
        "304": (
            reply("304 Not Modified", 'ETag: "x"'),
            "GET",
            'HTTP/1.1 304 Not Modified\nETag: "x"',
        ),
        "304-with-length": (
            reply("304 Not Modified", 'ETag: "x"', "Content-Length: 9"),
            "GET",
            'HTTP/1.1 304 Not Modified\nETag: "x"\nContent-Length: 9',
        ),
        "head": (
            reply("200 OK", "X-A: 1", "Content-Length: 9"),
            "HEAD",
            "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 9",
        ),
        "head-without-length": (
            reply("200 OK", "X-A: 1", "Transfer-Encoding: chunked"),
            "HEAD",
            "HTTP/1.1 200 OK\nX-A: 1",
        ),
    }
)
def relay_bodiless(system, stage, answer, method, must):
    stage.answer(answer)
    with Client(system.port) as client:
        client.send(request(method, "/", stage.host))
        yield "client", showing.response(client.response(bodiless=True)), must
        stage.answer(HELLO)
        client.send(request("GET", "/", stage.host))
        yield "next", showing.line(client.response()), "200 OK: hello"


@scenario(
    each={
        "reason": ("299 Own Words", "HTTP/1.1 299 Own Words"),
        "empty-reason": ("200 ", "HTTP/1.1 200"),
        "302": ("302 Found", "HTTP/1.1 302 Found"),
        "404": ("404 Not Found", "HTTP/1.1 404 Not Found"),
        "503": ("503 Service Unavailable", "HTTP/1.1 503 Service Unavailable"),
        "599": ("599 X", "HTTP/1.1 599 X"),
    }
)
def relay_status(system, stage, status, must):
    stage.answer(reply(status, "Location: /x", body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(answer), f"{must}\nLocation: /x\nContent-Length: 1\n\nb"


@scenario(
    each={
        "chunked": (
            reply("200 OK", "Transfer-Encoding: chunked") + chunks(b"he", b"llo"),
            "Content-Length: 5",
        ),
        "trailers": (
            reply("200 OK", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
            "Content-Length: 5",
        ),
    }
)
def relay_response_framing(system, stage, answer, must):
    stage.answer(answer)
    got = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.response(got), f"HTTP/1.1 200 OK\n{must}\n\nhello"


@scenario(each={"1-1": (b"HTTP/1.1",), "1-0": (b"HTTP/1.0",)})
def relay_response_until_close(system, stage, version):
    """Whether the end has come when the head goes out is a matter of luck; so is the framing."""
    stage.answer(ending(version + b" 200 OK\r\nX-A: 1\r\n\r\nhello"))
    got = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.line(got), "200 OK: hello"
    yield "framed", got.framing in ("chunked", "length"), True


@scenario()
def relay_response_streams(system, stage):
    """What comes late goes out as it comes, in chunks."""

    def answer(_, wire):
        wire.send(reply("200 OK", "Transfer-Encoding: chunked") + chunks(b"one", last=False))
        stage.gate.wait(5)
        wire.send(chunks(b"two"))

    stage.answer(answer)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        head = client.head()
        yield "head", showing.head(head), "HTTP/1.1 200 OK\nTransfer-Encoding: chunked"
        yield "connection", head.values("connection"), []
        yield "first", client.piece(), b"one"
        stage.gate.set()
        yield "second", client.piece(), b"two"
        yield "end", client.piece(), None


@scenario()
def relay_response_streams_to_http_1_0(system, stage):
    def answer(_, wire):
        wire.send(reply("200 OK", "Transfer-Encoding: chunked") + chunks(b"one", last=False))
        stage.gate.wait(5)
        wire.send(chunks(b"two"))

    stage.answer(answer)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host, version="HTTP/1.0"))
        yield "head", showing.head(client.head()), "HTTP/1.0 200 OK"
        yield "first", client.take(3), b"one"
        stage.gate.set()
        yield "rest", client.rest(), b"two"


@scenario()
def relay_large_response(system, stage):
    stage.answer(text(body=b"0123456789" * 30_000))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield (
        "head",
        showing.head(answer),
        """
        HTTP/1.1 200 OK
        Content-Type: text/plain
        Content-Length: 300000
        """,
    )
    yield "body", answer.body == b"0123456789" * 30_000, True


@scenario(
    each={
        "gzip": (gzip.compress(b"hello", mtime=0), "gzip"),
        "unknown": (b"hello", "x-own"),
    }
)
def relay_content_encoding(system, stage, body, coding):
    stage.answer(reply("200 OK", f"Content-Encoding: {coding}", body=body))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "status", answer.status, 200
    yield "coding", answer.value("content-encoding"), coding
    yield "body", answer.body == body, True


@scenario()
def relay_request_content_encoding(system, stage):
    stage.answer(HELLO)
    ask(system.port, request("POST", "/", stage.host, "Content-Encoding: gzip", body=b"zz"))
    yield "coding", stage.request().value("content-encoding"), "gzip"


@scenario(
    each={
        "chunked": ("Transfer-Encoding: chunked", chunks(b"one", last=False), b"3\r\none\r\n"),
        "length": ("Content-Length: 10", b"one", b"one"),
    }
)
def relay_origin_breaks_off(system, stage, framing, start, first):
    """The client must be able to see that something is missing."""

    def answer(_, wire):
        wire.send(reply("200 OK", framing) + start)
        stage.gate.wait(5)
        wire.reset()

    stage.answer(answer)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        yield "head", showing.head(client.head()), f"HTTP/1.1 200 OK\n{framing}"
        yield "first", client.take(len(first)), first
        stage.gate.set()
        yield "then", client.ended(seconds=0.3), "closed"


@scenario(
    each={
        "closed": (ending(b""), ""),
        "garbage": (ending(b"garbage\r\n\r\n"), ""),
        "reset": (breaking(), ""),
    }
)
def relay_origin_without_answer(system, stage, answer, _):
    stage.answer(answer)
    got = ask(system.port, request("POST", "/", stage.host, body=b"x"))
    yield (
        "client",
        showing.response(got),
        r"""
        HTTP/1.1 502 Bad Gateway
        Content-Type: text/plain
        Content-Length: 32

        Error while proxying to origin.\n
        """,
    )


@scenario()
def relay_origin_breaks_off_in_its_head(system, stage):
    """Pushpin takes it for a whole response; its status is then a matter of luck."""
    stage.answer(ending(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n"))
    answer = ask(system.port, request("POST", "/", stage.host, body=b"x"))
    yield "502", answer.status == 502, True


@scenario(
    each={
        "100": ("HTTP/1.1 100 Continue\r\n\r\n", ["200 OK"]),
        "103": (
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
            ["103 Early Hints", "200 OK"],
        ),
    }
)
def relay_interim(system, stage, interim, must):
    stage.answer(interim.encode() + HELLO)
    seen = []
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        while not seen or seen[-1][0] == "1":
            answer = client.response()
            seen.append(f"{answer.status} {answer.reason}")
    yield "client", seen, must


# Routes and targets that do not answer


def tried(stage) -> str:
    """Return the debug text about both ports that refuse."""
    targets = ", ".join(f"127.0.0.1:{port}" for port in stage.refusing)
    return f"Unable to connect to any targets. Tried: {targets}\\n"


@scenario("HOST,path_beg=/only ORIGIN")
def no_route(system, stage):
    yield (
        "client",
        showing.response(ask(system.port, request("GET", "/", stage.host))),
        r"""
        HTTP/1.1 502 Bad Gateway
        Content-Type: text/plain
        Content-Length: 16

        Route not found\n
        """,
    )


@scenario("HOST REFUSING")
def origin_down(system, stage):
    with Client(system.port) as client:
        for _ in range(2):
            client.send(request("GET", "/", stage.host))
            yield (
                "client",
                showing.response(client.response()),
                r"""
                HTTP/1.1 502 Bad Gateway
                Content-Type: text/plain
                Content-Length: 32

                Error while proxying to origin.\n
                """,
            )


@scenario("HOST,debug REFUSING DOWN,ssl")
def origin_down_debug(system, stage):
    answer = ask(system.port, request("GET", "/", stage.host))
    yield (
        "client",
        showing.line(answer),
        f"502 Bad Gateway: {tried(stage)}",
    )


@scenario("HOST REFUSING ORIGIN", each={"get": ("GET", None), "post": ("POST", b"x" * 50_000)})
def fall_back(system, stage, method, body):
    stage.answer(text(body="second"))
    answer = ask(system.port, request(method, "/", stage.host, body=body))
    got = stage.request()
    yield "client", showing.line(answer), "200 OK: second"
    yield "origin", (got.method, got.body == (body or b"")), (method, True)


@scenario("HOST REFUSING ORIGIN REFUSING")
def fall_back_not_for_a_status(system, stage):
    stage.answer(text(body="busy", status="503 Service Unavailable"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.line(answer), "503 Service Unavailable: busy"
    yield "asked", len(stage.requests), 1


@scenario("HOST nosuch.invalid:80 ORIGIN")
def fall_back_after_name_error(system, stage):
    stage.answer(text(body="second"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", showing.line(answer), "200 OK: second"


@scenario("HOST ORIGIN REFUSING")
def fall_back_not_for_a_broken_answer(system, stage):
    stage.answer(ending(b"garbage\r\n\r\n"))
    answer = ask(system.port, request("POST", "/", stage.host, body=b"x"))
    yield "client", answer.status, 502
    yield "asked", len(stage.requests), 1


# The test target

PLAIN = "HTTP/1.1 200 OK\nContent-Type: text/plain\n"


@scenario(
    "HOST test",
    each={
        "root": ("/", "200 OK: Hello from the gripproxy test handler!\\n"),
        "other": ("/nope", "404 Not Found: no such test resource\\n"),
    },
)
def test_target(system, stage, path, must):
    yield "client", showing.line(ask(system.port, request("GET", path, stage.host))), must


@scenario("HOST test")
def test_target_stream(system, stage):
    channel = stage.channel("a")
    with Client(system.port) as client:
        client.send(request("GET", f"/stream?channel={channel}", stage.host))
        yield "head", showing.head(client.head()), f"{PLAIN}Transfer-Encoding: chunked"
        yield "first", client.piece(), b"[stream opened]\n"
        system.subscribed(channel)
        system.publish([{"channel": channel, "http-stream": {"content": "x\n"}}])
        yield "item", client.piece(), b"x\n"


@scenario("HOST test")
def test_target_response(system, stage):
    channel = stage.channel("a")
    with Client(system.port) as client:
        client.send(request("GET", f"/response/?channel={channel}", stage.host))
        system.subscribed(channel)
        system.publish([{"channel": channel, "http-response": {"body": "x\n"}}])
        yield "client", showing.response(client.response()), f"{PLAIN}Content-Length: 2\n\nx\\n"


@scenario("HOST,path_beg=/sub/,no_grip test")
def test_target_without_grip(system, stage):
    answer = ask(system.port, request("GET", "/sub/response?channel=a", stage.host))
    yield (
        "client",
        showing.response(answer),
        r"""
        HTTP/1.1 200 OK
        Content-Type: text/plain
        Grip-Hold: response
        Grip-Channel: a
        Content-Length: 16

        nothing for now\n
        """,
    )


@scenario()
def relay_response_field_without_blank(system, stage):
    stage.answer(reply("200 OK", "X-A:1", "X-Empty:", "X-B: 2", body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield (
        "client",
        showing.response(answer),
        ("HTTP/1.1 200 OK\nX-A: 1\nX-Empty: \nX-B: 2\nContent-Length: 1\n\nb"),
    )


@scenario(each={"get": ("GET", None, 200), "post": ("POST", b"x", 502)})
def relay_stale_connection(system, stage, method, body, status):
    """A connection that dies on reuse is tried once more where that is safe."""
    stage.answer(HELLO, breaking(), HELLO)
    ask(system.port, request("GET", "/1", stage.host))
    answer = ask(system.port, request(method, "/2", stage.host, body=body))
    yield "client", answer.status, status
    asked = [got.target for got in stage.requests]
    yield "asked", asked, ["/1", "/2", "/2"] if status == 200 else ["/1", "/2"]


@scenario(
    each={
        "zero": ("OPTIONS", "0", (200, [])),
        "one": ("OPTIONS", "1", (200, ["0"])),
        "get": ("GET", "0", (200, ["0"])),
    }
)
def relay_max_forwards(system, stage, method, value, must):
    stage.answer(HELLO)
    answer = ask(system.port, request(method, "/", stage.host, f"Max-Forwards: {value}"))
    seen = [got.value("max-forwards") for got in stage.requests]
    yield "client and origin", (answer.status, seen), must


@scenario()
def relay_response_trailers(system, stage):
    """For a client that wants them."""

    def answer(_, wire):
        wire.send(reply("200 OK", "Transfer-Encoding: chunked", "Trailer: X-T"))
        wire.send(chunks(b"one", last=False))
        stage.gate.wait(5)
        wire.send(b"0\r\nX-T: 1\r\n\r\n")

    stage.answer(answer)
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host, "TE: trailers", "Connection: TE"))
        client.head()
        yield "body", client.piece(), b"one"
        stage.gate.set()
        yield "end", client.until(b"\r\n\r\n"), b"0\r\nX-T: 1\r\n\r\n"


@scenario()
def relay_many_response_fields(system, stage):
    stage.answer(text(*(f"X-{n}: {n}" for n in range(60)), body="b"))
    answer = ask(system.port, request("GET", "/", stage.host))
    yield "client", (answer.status, answer.value("x-59")), (200, "59")


@scenario("HOST SPARE")
def origin_comes_back(system, stage):
    yield "away", ask(system.port, request("GET", "/", stage.host)).status, 502
    with Origin(stage.spare) as origin, origin.stage(stage.name) as there:
        there.answer(HELLO)
        answer = ask(system.port, request("GET", "/", stage.host))
        yield "back", showing.line(answer), "200 OK: hello"
    yield "gone", ask(system.port, request("GET", "/", stage.host)).status, 502


@scenario(each={"fields": (150, 10), "bytes": (10, 3000)})
def relay_large_response_head(system, stage, count, size):
    stage.answer(text(*(f"X-{n}: {'x' * size}" for n in range(count)), body=""))
    with Client(system.port, seconds=1) as client:
        client.send(request("GET", "/", stage.host))
        head = attempt(lambda: client.until(b"\r\n\r\n"), b"")
        yield "status", head[9:12], b"200"
        yield "field", f"X-9: {'x' * size}\r\n".encode() in head, True

"""Next links, recovery and filters on streams (grip-http.md 8, publishing.md 9)."""

from tests.wire.client import Client, attempt, request, shown
from tests.wire.origin import reply, text
from tests.wire.scenarios import showing
from tests.wire.scenarios.holds import stream_close, stream_hold, stream_item
from tests.wire.scenarios.telling import scenario


def whole(client) -> str:
    """Read a stream to its end."""
    client.head()
    return shown(b"".join(client.pieces()))


@scenario()
def link_pages(system, stage):
    """Links without a hold are followed at once; one head, one body."""
    stage.answer(text("Grip-Link: </2?a=b>; rel=next", "X-A: 1", body="one;"))
    stage.answer(text("Grip-Link: </3>; rel=next", "X-B: 1", body="two;"), at="/2")
    stage.answer(text("X-C: 1", body="three;"), at="/3")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host, "Cookie: c=1", "X-Mine: m"))
        head = client.head()
        yield (
            "head",
            showing.head(head),
            """
            HTTP/1.1 200 OK
            Content-Type: text/plain
            X-A: 1
            Transfer-Encoding: chunked
            """,
        )
        yield "body", b"".join(client.pieces()), b"one;two;three;"
    stage.request()
    yield (
        "fetch",
        showing.request(stage.request()),
        f"""
        GET /2?a=b HTTP/1.1
        Host: {stage.host}
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        """,
    )
    yield "third", stage.request().target, "/3"


@scenario()
def link_page_ends_in_a_hold(system, stage):
    channel = stage.channel("a")
    stage.answer(text("Grip-Link: </2>; rel=next", body="one;"))
    stage.answer(stream_hold(channel, body="two;"), at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        system.subscribed(channel)
        system.publish([stream_item(channel, "item;"), stream_close(channel)])
        yield "body", whole(client), "one;two;item;"


@scenario(
    each={
        "relative": ("/a/b?c", "2", "/a/2"),
        "query": ("/a/b?c", "?d", "/a/b?d"),
        "absolute-path": ("/a/b", "/2", "/2"),
        "same-host": ("/a/b", "http://HOST/2", "/2"),
        "parent": ("/a/b/c", "../2", "/a/2"),
    }
)
def link_resolves(system, stage, start, link, must):
    stage.answer(
        text(f"Grip-Link: <{link.replace('HOST', stage.host)}>; rel=next", body="one;"),
        text(body="two;"),
    )
    with Client(system.port) as client:
        client.send(request("GET", start, stage.host))
        yield "body", whole(client), "one;two;"
    stage.request()
    yield "target", stage.request().target, must


@scenario(hosts=["127.0.0.1"])
def link_to_another_host(system, stage):
    """Fetched from there, signed, with its Host."""
    stage.answer(text(f"Grip-Link: <http://127.0.0.1:{stage.port}/2>; rel=next", body="one;"))
    stage.answer(text(body="two;"), at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host, "Cookie: c=1"))
        yield "body", whole(client), "one;two;"
    stage.request()
    yield (
        "fetch",
        showing.request(stage.request()),
        f"""
        GET /2 HTTP/1.1
        Host: 127.0.0.1:{stage.port}
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        """,
    )


@scenario()
def link_hint_fetches(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, "Grip-Link: </2>; rel=next", body="one;"))
    stage.answer(stream_hold(channel, body="two;"), at="/2")
    hint = {"channel": channel, "formats": {"http-stream": {"action": "hint"}}}
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        client.head(), client.piece()
        system.subscribed(channel)
        system.publish([hint])
        yield "page", client.piece(), b"two;"
    stage.request()
    got = stage.request()
    yield "fetch", (got.target, got.values("grip-last")), ("/2", [])


@scenario()
def link_mismatch_fetches_with_grip_last(system, stage):
    channel = stage.channel("a")
    link = "Grip-Link: </2>; rel=next"
    stage.answer(stream_hold(f"{channel}; prev-id=1", link, body="one;"))
    stage.answer(stream_hold(f"{channel}; prev-id=5", link, body="2-5;"), at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        client.head(), client.piece()
        system.subscribed(channel)
        system.publish(
            [
                stream_item(channel, "2;", id="2", **{"prev-id": "1"}),
                stream_item(channel, "5;", id="5", **{"prev-id": "2x"}) | {"no-seq": True},
            ]
        )
        got = b""
        while b"2-5;" not in got:
            got += client.piece()
        yield "body", got, b"2;2-5;"
        stage.request()
        fetch = stage.request()
        yield (
            "fetch",
            (fetch.target, fetch.values("grip-last")),
            (
                "/2",
                [f"{channel}; last-id=2"],
            ),
        )
        system.publish([stream_item(channel, "6;", id="6", **{"prev-id": "5"})])
        yield "item", client.piece(), b"6;"


@scenario(slow=True)
def link_first_subscription_fetches(system, stage):
    channel = stage.channel("a")
    link = "Grip-Link: </2>; rel=next"
    stage.answer(stream_hold(f"{channel}; prev-id=1", link, body="one;"))
    stage.answer(stream_hold(f"{channel}; prev-id=1", link, body="again;"), at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        client.head()
        yield "bodies", [client.piece(), client.piece()], [b"one;", b"again;"]
    yield "grip-last", stage.requests[1].values("grip-last"), [f"{channel}; last-id=1"]


@scenario(slow=True)
def link_timeout_fetches(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, "Grip-Link: </2>; rel=next; timeout=0", body="one;"))
    stage.answer(stream_hold(channel, body="two;"), at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        client.head()
        yield "bodies", [client.piece(), client.piece()], [b"one;", b"two;"]


@scenario(
    "HOST,debug ORIGIN",
    each={
        "response-hold": (
            text("Grip-Hold: response", body="x"),
            "Next link returned non-stream hold.",
        ),
        "malformed": (
            text("Grip-Hold: x", body=""),
            "Grip-Hold must be set to either 'response' or 'stream'",
        ),
    },
)
def link_bad_page_debug(system, stage, page, must):
    stage.answer(text("Grip-Link: </2>; rel=next", body="one;"))
    stage.answer(page, at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        yield "body", whole(client), f"one;\\n\\n{must}\\n"


@scenario(slow=True)
def link_is_tried_again(system, stage):
    """After a second or two; the stream stays open."""
    stage.answer(text("Grip-Link: </2>; rel=next", body="one;"))
    stage.answer(reply("503 Busy", body="no;"), text(body="two;"), at="/2")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        yield "body", whole(client), "one;two;"
    yield "asked", [r.target for r in stage.requests], ["/1", "/2", "/2"]


@scenario("HOST,debug ORIGIN", each={"stream": ("stream",), "response": ("response",)})
def link_missing_for_prev_id(system, stage, mode):
    """A stream whose channel has an id needs a link."""
    channel = stage.channel("a")
    stage.answer(text(f"Grip-Hold: {mode}", f"Grip-Channel: {channel}; prev-id=1", body="one;"))
    must = f"channel '{channel}' specifies prev-id, but no next link found"
    with Client(system.port, seconds=1) as client:
        client.send(request("GET", "/1", stage.host))
        if mode == "stream":
            head = client.head()
            body = (
                client.pieces()
                if head.framing == "chunked"
                else [client.take(int(head.value("content-length")))]
            )
            yield "body", shown(b"".join(body)), f"one;\\n\\n{must}\\n"
        else:
            system.subscribed(channel)
            yield "held", client.ended(seconds=0.1), "open"


@scenario()
def recovery_of_two_channels(system, stage):
    """The request for what was missed tells the position on each channel."""
    one, two = stage.channel("1"), stage.channel("2")
    link = "Grip-Link: </2>; rel=next"
    channels = f"{one}; prev-id=a, {two}; prev-id=b"
    stage.answer(text("Grip-Hold: stream", f"Grip-Channel: {channels}", link, body="x;"))
    stage.answer(
        text("Grip-Hold: stream", f"Grip-Channel: {two}; prev-id=e", link, body="p;"), at="/2"
    )
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        client.head(), client.piece()
        system.subscribed(two)
        system.publish(
            [
                stream_item(one, "c;", id="c", **{"prev-id": "a"}),
                stream_item(two, "lost;", id="d", **{"prev-id": "z"}),
            ]
        )
        yield "body", client.chunked(4), b"c;p;"
        stage.request()
        last = stage.request().values("grip-last")
        yield "grip-last", sorted(last), [f"{one}; last-id=c", f"{two}; last-id=b"]
        system.subscribed(two)
        client.seconds = 2
        system.publish(
            [
                stream_item(one, "left;", id="d", **{"prev-id": "c"}),
                stream_item(two, "f;", id="f", **{"prev-id": "e"}),
            ]
        )
        yield "item", attempt(client.piece), b"f;"


# Sequencing


def numbered(channel: str, *numbers: int, **more: object) -> list[dict[str, object]]:
    """Make a chain of items: item n has id n and follows n - 1."""
    return [
        stream_item(channel, f"{n};", id=str(n), **{"prev-id": str(n - 1), **more})
        for n in numbers
    ]


@scenario(
    each={
        "in-order": ((1, 2, 3), "1;2;3;"),
        "swapped": ((1, 3, 2), "1;2;3;"),
        "shuffled": ((1, 5, 4, 3, 2, 6), "1;2;3;4;5;6;"),
        "doubled": ((1, 2, 2, 1, 3), "1;2;3;"),
    }
)
def sequenced(system, stage, order, must):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(numbered(channel, *order))
        last = max(order)
        system.publish([stream_close(channel, id="end", **{"prev-id": str(last)})])
        yield "body", shown(b"".join(client.pieces())), must


@scenario()
def sequenced_not_with_no_seq(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        free = numbered(channel, 9, **{"no-seq": True})
        system.publish(
            [*numbered(channel, 1), *free, *numbered(channel, 2), stream_close(channel)]
        )
        yield "body", shown(b"".join(client.pieces())), "1;9;2;"


@scenario()
def sequenced_anew_without_prev_id(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(
            [
                *numbered(channel, 1),
                stream_item(channel, "7;", id="7"),
                *numbered(channel, 8),
                stream_item(channel, "x;"),
                *numbered(channel, 20),
                stream_close(channel),
            ]
        )
        yield "body", shown(b"".join(client.pieces())), "1;7;8;x;20;"


@scenario(slow=True)
def sequenced_gap_is_given_up(system, stage):
    """`message_wait` is 5 s here; Pushpin takes up to one more."""
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port, seconds=9) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(numbered(channel, 1, 3))
        got = b""
        while b"3;" not in got:
            got += client.piece()
        system.publish([*numbered(channel, 4), stream_close(channel)])
        yield "body", got + b"".join(client.pieces()), b"1;3;4;"


@scenario()
def sequenced_empty_id_is_an_id(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(
            [
                stream_item(channel, "a;", id=""),
                stream_item(channel, "b;", id=""),
                stream_close(channel),
            ]
        )
        yield "body", shown(b"".join(client.pieces())), "a;"


# Filters


def filtered(system, stage, filters: str, meta: str, items, *, mode="stream", debug=False) -> str:
    """Hold a stream with filters, publish the items and a close, and return what came."""
    channel = stage.channel("a")
    fields = (f"Grip-Set-Meta: {meta}",) if meta else ()
    stage.answer(stream_hold(f"{channel}{filters}", *fields, body=""))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish(
            [
                *({"channel": channel} | item for item in items),
                {"channel": channel, "formats": {"http-stream": {"action": "close"}}},
            ]
        )
        return shown(b"".join(client.pieces()))


def said(content: str, meta: dict[str, str] | None = None, **more: object) -> dict[str, object]:
    item: dict[str, object] = {"formats": {"http-stream": {"content": content, **more}}}
    return item | ({"meta": meta} if meta else {})


@scenario(
    each={
        "skip-self": (
            "; filter=skip-self",
            "user=me",
            [said("a;", {"sender": "me"}), said("b;", {"sender": "you"}), said("c;")],
            "b;c;",
        ),
        "skip-self-case": (
            "; filter=skip-self",
            "user=me",
            [said("a;", {"sender": "Me"})],
            "a;",
        ),
        "skip-self-without-user": (
            "; filter=skip-self",
            "",
            [said("a;", {"sender": "me"}), said("b;", {"sender": ""})],
            "a;b;",
        ),
        "not-named": ("", "user=me", [said("a;", {"sender": "me"})], "a;"),
        "unknown": (
            "; filter=nosuch; filter=Skip-Self",
            "user=me",
            [said("a;", {"sender": "me"})],
            "a;",
        ),
        "skip-users": (
            "; filter=skip-users",
            "user=me",
            [
                said("a;", {"skip_users": "you, me ,"}),
                said("b;", {"skip_users": "you"}),
                said("c;"),
            ],
            "b;c;",
        ),
        "require-sub": (
            "; filter=require-sub",
            "",
            [
                said("a;", {"require_sub": "other"}),
                said("b;", {"require_sub": "filtering-require-sub-a"}),
                said("c;"),
            ],
            "b;c;",
        ),
        "var-subst": ("; filter=var-subst", "name=Bob", [said("%(name)s|%%;")], "Bob|%;"),
        "meta-quoted": ("; filter=var-subst", 'a="b; c, \\"d\\""', [said("%(a)s;")], 'b; c, "d";'),
        "meta-empty": ("; filter=var-subst", "a=", [said("<%(a)s>;")], "<>;"),
        "meta-without-value": ("; filter=var-subst", "a", [said("<%(a)s>;")], "<>;"),
        "meta-empty-quoted": ("; filter=var-subst", 'a=""', [said("<%(a)s>;")], "<>;"),
        "two": (
            "; filter=skip-self; filter=var-subst",
            "user=me",
            [said("%(user)s;", {"sender": "me"}), said("%(user)s;", {"sender": "x"})],
            "me;",
        ),
        "meta-last-wins": ("; filter=var-subst", "a=1, a=2", [said("%(a)s;")], "2;"),
        "meta-after-semicolon": (
            "; filter=skip-self",
            "a=b; user=me",
            [said("a;", {"sender": "me"})],
            "a;",
        ),
        "content-filters": (
            "; filter=var-subst",
            "n=1",
            [said("%(n)s;", **{"content-filters": ["var-subst"]}), said("%(n)s;")],
            "1;1;",
        ),
        "content-filters-empty": ("", "", [said("a;", **{"content-filters": []})], "a;"),
        "content-filters-count-content-only": (
            "; filter=skip-self; filter=var-subst",
            "n=1",
            [said("%(n)s;", **{"content-filters": ["var-subst"]})],
            "1;",
        ),
    }
)
def filtering(system, stage, filters, meta, items, must):
    yield "body", filtered(system, stage, filters, meta, items), must


@scenario(
    each={
        "mismatch": ("", "", said("a;", **{"content-filters": ["var-subst"]})),
        "unknown-variable": ("; filter=var-subst", "n=1", said("%(x)s;")),
        "bad-template": ("; filter=var-subst", "n=1", said("100%")),
    }
)
def filter_error_drops_the_item(system, stage, filters, meta, item):
    items = [item, said("later;")]
    yield "body", filtered(system, stage, filters, meta, items), "later;"


@scenario(
    "HOST,debug ORIGIN",
    each={
        "unknown-variable": ("a%(x)s", "var-subst: No such variable 'x' at position 5"),
        "end": ("abc%", "var-subst: Expected directive after '%' at position 3"),
        "open": ("%(", "var-subst: Expected character after '(' at position 1"),
        "unterminated": ("a%(b", "var-subst: Unterminated field starting at position 2"),
        "directive": ("%(n)d", "var-subst: Unknown directive 'd' at position 4"),
        "symbol": ("%!", "var-subst: Unknown directive '!' at position 1"),
        "argument": ("%s", "var-subst: Directive 's' requires argument at position 1"),
        "nothing-after": ("%(n)", "var-subst: Expected directive after ')' at position 3"),
        "backslash": ("%(n\\", "var-subst: Expected character after '\\\\' at position 3"),
    },
)
def filter_error_debug(system, stage, content, must):
    came = filtered(system, stage, "; filter=var-subst", "n=1", [said(content)])
    yield "body", came, f"\\n\\nfilter error: {must}\\n"


@scenario()
def build_id(system, stage):
    channel = stage.channel("a")
    fields = f'Grip-Set-Meta: id_format="%({channel})s"', "Grip-Link: </2>; rel=next"
    stage.answer(
        stream_hold(f"{channel}; prev-id=n0; filter=build-id", *fields, body="%(start)I|%%\n")
    )
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        yield "first", client.piece(), b"start|%\n"
        system.subscribed(channel)
        system.publish([stream_item(channel, "id: %I %(x)I\n", id="n1", **{"prev-id": "n0"})])
        yield "item", client.piece(), b"id: n1 x\n"


@scenario()
def build_id_as_hex(system, stage):
    channel = stage.channel("a")
    meta = f'Grip-Set-Meta: id_format="x:%({channel})s", id_encoding=hex'
    stage.answer(
        stream_hold(
            f"{channel}; prev-id=0; filter=build-id", meta, "Grip-Link: </2>; rel=next", body=""
        )
    )
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish([stream_item(channel, "%I\n", id="1", **{"prev-id": "0"})])
        yield "item", client.piece(), b"783a31\n"


@scenario()
def build_id_keeps_other_percents(system, stage):
    channel = stage.channel("a")
    meta = 'Grip-Set-Meta: id_format="x"'
    stage.answer(stream_hold(f"{channel}; filter=build-id", meta, body="100%, %2\n"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        head = client.head()
        yield "framing", head.framing, "chunked"
        if head.framing == "chunked":
            yield "first", client.piece(), b"100%, %2\n"


# JSON Patch


@scenario(
    each={
        "replace": (
            '{"b":1,"a":[1,2.5]}\r\n',
            [{"op": "replace", "path": "/b", "value": 2}],
            r'{"a":[1,2.5],"b":2}\r\n',
        ),
        "add": ('{"a":1}', [{"op": "add", "path": "/b", "value": "x"}], '{"a":1,"b":"x"}'),
        "append": ("[1]\n", [{"op": "add", "path": "/-", "value": 2}], r"[1,2]\n"),
        "remove": ('{"a":1,"b":2}', [{"op": "remove", "path": "/a"}], '{"b":2}'),
        "move": ('{"a":1}', [{"op": "move", "from": "/a", "path": "/b"}], '{"b":1}'),
        "copy": ('{"a":1}', [{"op": "copy", "from": "/a", "path": "/b"}], '{"a":1,"b":1}'),
        "test": ('{"a":1}', [{"op": "test", "path": "/a", "value": 1}], '{"a":1}'),
        "index": ("[1,2]", [{"op": "add", "path": "/0", "value": 9}], "[9,2]"),
        "root": ('{"a":1}', [{"op": "replace", "path": "/", "value": [1]}], "[1]"),
        "escaped": ('{"a/b":1}', [{"op": "replace", "path": "/a~1b", "value": 2}], '{"a/b":2}'),
    }
)
def patch(system, stage, default, operations, must):
    channel = stage.channel("a")
    stage.answer(text("Grip-Hold: response", f"Grip-Channel: {channel}", body=default))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        formats = {"http-response": {"body-patch": operations}}
        system.publish([{"channel": channel, "formats": formats}])
        yield "client", showing.line(client.response()), f"200 OK: {must}"


@scenario(
    "HOST,debug ORIGIN",
    each={
        "missing": ('{"a":1}', [{"op": "remove", "path": "/x"}], "location does not exist"),
        "test": (
            '{"a":1}',
            [{"op": "test", "path": "/a", "value": 2}],
            "tested values are not equal",
        ),
        "op": ('{"a":1}', [{"op": "x", "path": "/a"}], "unsupported op: x"),
    },
)
def patch_that_fails_debug(system, stage, default, operations, must):
    channel = stage.channel("a")
    stage.answer(text("Grip-Hold: response", f"Grip-Channel: {channel}", body=default))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(channel)
        formats = {"http-response": {"body-patch": operations, "code": 201}}
        system.publish([{"channel": channel, "formats": formats}])
        answer = client.response()
        yield "status", answer.status, 502
        yield "text", shown(answer.body), f"body patch error: {must}\\n"


# Newer than Pushpin 1.36


@scenario()
def link_gone_is_called(system, stage):
    channel = stage.channel("a")
    stage.answer(stream_hold(channel, "Grip-Link: </gone?x=1>; rel=gone", body="one;"))
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host, "Cookie: c=1"))
        client.head()
        system.subscribed(channel)
        stage.request()
        system.publish([stream_close(channel)])
        yield "end", [client.piece(), client.piece()], [b"one;", None]
        got = attempt(lambda: showing.request(stage.request(seconds=0.5)))
        yield (
            "call",
            got,
            f"""
            POST /gone?x=1 HTTP/1.1
            Host: {stage.host}
            Grip-Sig: TOKEN
            Grip-Feature: FEATURES
            Content-Length: 0
            """,
        )


@scenario()
def link_gone_is_called_for_a_client_that_left(system, stage):
    channel = stage.channel("a")
    gone = "Grip-Link: </gone>; rel=gone"
    stage.answer(text("Grip-Hold: response", f"Grip-Channel: {channel}", gone, body="x"))
    with Client(system.port) as client:
        client.send(request("POST", "/1", stage.host, body=b"body"))
        system.subscribed(channel)
        stage.request()
        client.reset()
        got = attempt(lambda: stage.request(seconds=0.5).head.split(b"\r\n")[0])
        yield "call", got, b"POST /gone HTTP/1.1"


@scenario()
def filter_http_check(system, stage):
    """An URL is asked whether an item is to be delivered."""
    channel = stage.channel("a")
    meta = "Grip-Set-Meta: url=/check, user=me"
    stage.answer(stream_hold(f"{channel}; filter=http-check", meta, body=""))
    stage.answer(
        reply("204 No Content", "Action: drop"), reply("200 OK", body="not looked at"), at="/check"
    )
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host, "Cookie: c=1"))
        client.head()
        system.subscribed(channel)
        stage.request()
        items = [stream_item(channel, "one;", meta={"a": "b"}), stream_item(channel, "two;")]
        system.publish([*items, stream_close(channel, meta={"x": "y"})])
        yield "body", b"".join(client.pieces()), b"two;"
    got = attempt(lambda: showing.request(stage.request(seconds=0.5)))
    yield (
        "asked",
        got,
        f"""
        POST /check HTTP/1.1
        Host: {stage.host}
        Sub-Meta: {{"url":"/check","user":"me"}}
        Pub-Meta: {{"a":"b"}}
        Grip-Sig: TOKEN
        Grip-Feature: FEATURES
        Content-Length: 0
        """,
    )


@scenario()
def filter_http_modify(system, stage):
    channel = stage.channel("a")
    meta = "Grip-Set-Meta: url=/modify"
    stage.answer(stream_hold(f"{channel}; filter=http-modify", meta, body=""))
    stage.answer(lambda got, _: reply(body=got.body.upper()), at="/modify")
    with Client(system.port) as client:
        client.send(request("GET", "/1", stage.host))
        client.head()
        system.subscribed(channel)
        system.publish([stream_item(channel, "one;"), stream_close(channel)])
        yield "body", b"".join(client.pieces()), b"ONE;"

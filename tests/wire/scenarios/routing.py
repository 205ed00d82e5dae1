"""Which route a request takes, and what a route changes (routes.md, proxying.md 4)."""

from tests.wire.client import WebSocket, ask, request
from tests.wire.origin import text
from tests.wire.scenarios import showing
from tests.wire.scenarios.overhttp import opened
from tests.wire.scenarios.signatures import read
from tests.wire.scenarios.telling import scenario

HELLO = text(body="hello")


@scenario(
    "HOST,path_beg=/rem,path_rem=4 ORIGIN",
    "HOST,path_beg=/short,path_rem=3 ORIGIN",
    "HOST,path_beg=/long,path_rem=99 ORIGIN",
    "HOST,path_beg=/old/,replace_beg=/new/ ORIGIN",
    "HOST,path_beg=/cut,replace_beg= ORIGIN",
    'HOST,path_beg="/q,x",replace_beg=/y ORIGIN',
    "HOST,replace_beg=/front ORIGIN",
    each={
        "rem": ("/rem/x?a=/rem", "/x?a=/rem"),
        "rem-all": ("/rem", "/"),
        "rem-more": ("/long/x", "/"),
        "rem-without-slash": ("/short/x", "/ort/x"),
        "replace": ("/old/z?q=1", "/new/z?q=1"),
        "replace-cuts": ("/cut/z", "/z"),
        "replace-cuts-all": ("/cut", "/"),
        "quoted": ("/q,x/1", "/y/1"),
        "replace-without-path": ("/other", "/front/other"),
    },
)
def route_path(system, stage, sent, must):
    stage.answer(HELLO)
    answer = ask(system.port, request("GET", sent, stage.host))
    yield "client", answer.status, 200
    yield "origin", [got.target for got in stage.requests], [must]


@scenario(
    "HOST,path_beg=/as,as_host=NAME-b.test ORIGIN",
    "HOST,path_beg=/port,as_host=NAME-b.test:81 ORIGIN",
    "HOST,path_beg=/target ORIGIN,host=NAME-b.test:82",
    "HOST,path_beg=/both,as_host=NAME-x.test ORIGIN,host=NAME-b.test",
    "HOST,path_beg=/empty ORIGIN,host=",
    "HOST,path_beg=/last ORIGIN,host=x.test,host=NAME-b.test",
    hosts=["NAME-b.test"],
    each={
        "as": ("/as", "NAME-b.test"),
        "as-port": ("/port", "NAME-b.test:81"),
        "target": ("/target", "NAME-b.test:82"),
        "target-over-as": ("/both", "NAME-b.test"),
        "empty": ("/empty", "NAME.test"),
        "last-wins": ("/last", "NAME-b.test"),
    },
)
def route_host(system, stage, path, must):
    stage.answer(HELLO)
    ask(system.port, request("GET", path, stage.host))
    yield "origin", stage.request().value("host"), must.replace("NAME", stage.name)


@scenario(
    "HOST,path_beg=/set,header=X-A:1 ORIGIN",
    "HOST,path_beg=/remove,header=X-A: ORIGIN",
    'HOST,path_beg=/quoted,header="X-A:  y z " ORIGIN',
    "HOST,path_beg=/twice,header=X-A:1,header=X-A:2 ORIGIN",
    "HOST,path_beg=/several,header=X-A:1,header=X-B:2,header=X-A:3 ORIGIN",
    "HOST,path_beg=/grip,header=Grip-X:1 ORIGIN",
    each={
        "set": ("/set", ["X-A: 1"]),
        "remove": ("/remove", []),
        "quoted": ("/quoted", ["X-A: y z"]),
        "first-wins": ("/twice", ["X-A: 1"]),
        "order": ("/several", ["X-A: 1", "X-B: 2"]),
        "grip-is-removed": ("/grip", ["X-A: old", "x-a: old"]),
    },
)
def route_header(system, stage, path, must):
    stage.answer(HELLO)
    ask(system.port, request("GET", path, stage.host, "X-A: old", "x-a: old"))
    seen = showing.chosen(stage.request(), "x-a", "x-b", "grip-x")
    yield "origin", seen.split("\n") if seen else [], must


@scenario("HOST,no_grip ORIGIN")
def route_no_grip(system, stage):
    stage.answer(text("Grip-Hold: response", "Grip-Channel: x", body="as it is"))
    answer = ask(system.port, request("GET", "/", stage.host, "Grip-Sig: x", "X-A: 1"))
    yield (
        "origin",
        showing.request(stage.request()),
        f"""
        GET / HTTP/1.1
        Host: {stage.host}
        X-A: 1
        """,
    )
    yield (
        "client",
        showing.response(answer),
        """
        HTTP/1.1 200 OK
        Content-Type: text/plain
        Grip-Hold: response
        Grip-Channel: x
        Content-Length: 8

        as it is
        """,
    )


@scenario("HOST,sig_iss=own,sig_key=base64:AAEC ORIGIN")
def route_signature(system, stage):
    stage.answer(HELLO)
    ask(system.port, request("GET", "/", stage.host))
    _, claims, good = read(stage.request().value("grip-sig"), b"\0\1\2")
    yield "issuer", claims["iss"], "own"
    yield "good", good, True


@scenario("HOST,orig_headers ORIGIN")
def route_orig_headers(system, stage):
    stage.answer(HELLO)
    sent = "X-A: 1", "Connection: keep-alive", "EB9BF0F5-X-B: 2", "Grip-X: 3"
    ask(system.port, request("GET", "/", stage.host, *sent))
    marked = [f"{n}: {v}" for n, v in stage.request().fields if n.lower().startswith("eb9bf0f5-")]
    yield (
        "origin",
        sorted(m.lower() for m in marked),
        [
            "eb9bf0f5-connection: keep-alive",
            "eb9bf0f5-grip-x: 3",
            f"eb9bf0f5-host: {stage.host}",
            "eb9bf0f5-x-a: 1",
            "eb9bf0f5-x-b: 2",
        ],
    )


@scenario()
def route_without_orig_headers_drops_marks(system, stage):
    stage.answer(HELLO)
    ask(system.port, request("GET", "/", stage.host, "eb9bf0f5-X-A: 1"))
    yield "origin", stage.request().value("eb9bf0f5-x-a"), None


# Choice. The target rewrites the path, which tells the routes apart.

WAYS = (
    "HOST,replace_beg=/any ORIGIN",
    "HOST,path_beg=/a,replace_beg=/A ORIGIN",
    "HOST,path_beg=/ab,replace_beg=/AB ORIGIN",
)


def way(system, stage, target: str, host: str = "") -> str:
    """Ask and return the target that the origin saw, or the status of a refusal."""
    stage.answer(HELLO)
    answer = ask(system.port, request("GET", target, host or stage.host))
    return stage.requests[-1].target if answer.status == 200 else str(answer.status)


@scenario(
    *WAYS,
    each={
        "any": ("/x", "/any/x"),
        "longest": ("/abc", "/ABc"),
        "shorter": ("/ac", "/Ac"),
        "case": ("/Ab", "/any/Ab"),
        "no-segments": ("/ab", "/AB"),
        "query-does-not-count": ("/x?/ab", "/any/x?/ab"),
        "double-slash": ("//ab", "/any//ab"),
    },
)
def choice_of_path(system, stage, target, must):
    yield "origin", way(system, stage, target), must


@scenario(
    *WAYS,
    "HOST,proto=http,replace_beg=/http ORIGIN",
    "HOST,proto=ws,replace_beg=/ws ORIGIN,over_http",
)
def choice_of_protocol(system, stage):
    """It beats any path."""
    yield "http", way(system, stage, "/ab"), "/http/ab"
    stage.answer(opened())
    with WebSocket(system.port, "/ab", stage.host) as client:
        yield "status", client.answer.status, 101
    yield "ws", stage.requests[1].target, "/ws/ab"


@scenario("HOST,path_beg=/a,replace_beg=/A ORIGIN", "HOST,ssl=no,replace_beg=/plain ORIGIN")
def choice_of_ssl_after_path(system, stage):
    yield "origin", way(system, stage, "/a"), "/plain/a"


@scenario("HOST,ssl=no,replace_beg=/plain ORIGIN", "HOST,path_beg=/a,replace_beg=/A ORIGIN")
def choice_of_path_after_ssl(system, stage):
    yield "origin", way(system, stage, "/a"), "/A"


@scenario("HOST,ssl=yes ORIGIN")
def choice_of_tls_only(system, stage):
    yield "client", way(system, stage, "/"), "502"


@scenario("HOST,path_beg=/only ORIGIN")
def choice_has_no_second_look(system, stage):
    yield "other path", way(system, stage, "/x"), "502"
    yield "prefix", way(system, stage, "/onlyx"), "/onlyx"


@scenario(
    "HOST,replace_beg=/own ORIGIN",
    each={
        "upper": ("NAME.TEST", "/own/"),
        "port": ("NAME.test:1234", "/own/"),
    },
)
def choice_of_host(system, stage, host, must):
    yield "origin", way(system, stage, "/", host.replace("NAME", stage.name)), must


@scenario("HOST,replace_beg=/1 ORIGIN", "HOST,id=x,replace_beg=/2 ORIGIN")
def choice_skips_duplicates(system, stage):
    yield "origin", way(system, stage, "/"), "/1/"


@scenario("UPPER-HOST,replace_beg=/upper ORIGIN", hosts=["upper-NAME.test"])
def choice_lowers_route_names(system, stage):
    got = way(system, stage, "/", f"upper-{stage.host}")
    yield "origin", got, "/upper/"


@scenario(
    "HOST,path_beg=/1,nosuch=1,replace_beg=/unknown ORIGIN",
    "HOST,path_beg=/2,replace_beg=/comment ORIGIN # comment",
    "HOST,path_beg=/3,replace_beg=/bad 127.0.0.1",
    "HOST,path_beg=/4,replace_beg=/blanks     ORIGIN   ",
    'HOST,path_beg=/5"x"y,replace_beg=/quotes ORIGIN',
    "HOST,path_beg=/6,path_beg=/7,replace_beg=/last ORIGIN",
    each={
        "unknown-option": ("/1", "/unknown"),
        "comment": ("/2", "/comment"),
        "bad-line": ("/3", "502"),
        "blanks": ("/4", "/blanks"),
        "quotes": ("/5xy", "/quotes"),
        "last-value": ("/7", "/last"),
    },
)
def route_line(system, stage, target, must):
    yield "origin", way(system, stage, target), must

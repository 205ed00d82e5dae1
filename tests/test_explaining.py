"""What becomes of a request, in words (config.md 7.2, `gripproxy explain`)."""

import pytest

from gripproxy import explaining
from gripproxy.errors import RequestError, UsageError
from gripproxy.flow.request import Settings
from gripproxy.protocol import routesfile
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.forwarding import Settings as ForwardingSettings
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.signing import Signer


def said(url, *lines, routes=("a.test localhost:80",), method="GET", settings=None, **options):
    """Return what is said of a request, in lines, and whether an origin is asked."""
    found = routesfile.parse("\n".join(routes), "routes", lambda _: b"")
    return explaining.explain(
        explaining.make_request(url, method=method, lines=lines, peer="192.0.2.7"),
        RouteTable(found.routes),
        Forwarder(ForwardingSettings(**options)),
        settings or Settings(),
        wall=0.0,
    )


def head(url, *lines, **how):
    """Return the lines of the heads that origins are asked with, below the line of the target."""
    found, asked = said(url, *lines, **how)
    assert asked
    return [line.removeprefix("    ") for line in found[2:]]


def test_the_line_of_the_route_comes_first():
    lines, asked = said("http://a.test/x")
    assert lines[:2] == ["routes:1: requests and WebSockets of a.test go to localhost:80", ""]
    assert asked


def test_the_head_is_the_one_that_is_sent():
    lines = head("http://a.test/x?y=1", "Cookie: a=b", "Connection: X-A", "X-A: 1", "Grip-X: 1")
    assert lines[:4] == ["localhost:80 is asked:", "GET /x?y=1 HTTP/1.1", "Host: a.test",
                         "Cookie: a=b"]  # fmt: skip
    assert [line.partition(":")[0] for line in lines[4:]] == ["Grip-Feature", "Via"]


def test_no_signature_is_shown():
    lines = head("http://a.test/", signer=Signer("iss", KeySource("text", b"key")))
    assert "Grip-Sig: (a token)" in lines


def test_targets_that_get_the_same_are_named_together():
    route = "a.test o:1 test o:2,host=b.test,ssl"
    lines = head("http://a.test/", routes=[route])
    assert lines[0] == "o:1, or if that cannot be reached the built-in test origin, is asked:"
    assert lines[5:8] == [
        "If none of these is reached, o:2 (TLS) is asked:",
        "GET / HTTP/1.1",
        "Host: b.test",
    ]


def test_a_websocket_is_asked_for_with_a_handshake():
    lines = head("ws://a.test")
    assert lines[1] == "GET / HTTP/1.1"
    assert {"Upgrade: websocket", "Sec-WebSocket-Extensions: grip"} <= set(lines)


def test_a_websocket_over_http_is_a_post():
    lines = head("wss://a.test/x", routes=["a.test o:1,over_http"])
    assert lines[1] == "POST /x HTTP/1.1"
    assert "Content-Type: application/websocket-events" in lines
    assert "Upgrade: websocket" not in lines


def test_what_is_stored_may_answer():
    last = "Nobody is asked if what is stored can answer it."
    routes = ["a.test,cache localhost:80"]
    assert head("http://a.test/", routes=routes)[-1] == last
    assert last not in head("ws://a.test/", routes=routes)


def test_json_p_is_understood():
    lines = head("http://a.test/x?callback=f&_method=PUT", routes=["a.test,aco o:1"])
    assert lines[0] == "This is JSON-P: it means PUT http://a.test/x."
    assert lines[2] == "PUT /x HTTP/1.1"


def test_what_only_looks_like_json_p_is_a_request():
    settings = Settings(cross_origin=True)
    assert head("http://a.test/x?y", settings=settings)[1] == "GET /x?y HTTP/1.1"


def test_sockjs_is_named():
    lines = head("http://a.test/s/info", routes=["a.test,sockjs=/s o:1"])
    assert lines == ["This is SockJS, what this server can do: the origin sees only WebSockets."]
    assert len(head("http://a.test/x", routes=["a.test,sockjs=/s o:1"])) > 1


def test_a_field_may_choose_the_route():
    settings = Settings(accept_route=True)
    routes = ["a.test o:1", "id=only o:2"]
    lines = head("http://a.test/", "Pushpin-Route: only", routes=routes, settings=settings)
    assert lines[0] == "o:2 is asked:"


@pytest.mark.parametrize(
    ("routes", "line"),
    [
        (["b.test o:1"], "No route: there is no line for the host a.test, and none for *."),
        (
            ["*,proto=ws o:1"],
            "No route: the host a.test has no line, and none for * takes this request.",
        ),
        (
            ["a.test,path_beg=/y o:1", "* o:1", "a.test,proto=ws o:1"],
            "No route: the host a.test has lines, but none takes this request "
            "(routes:1, routes:3).",
        ),
    ],
)
def test_why_there_is_no_route_is_said(routes, line):
    lines, asked = said("http://a.test/x", routes=routes)
    assert (lines[0], asked) == (line, False)
    assert lines[-1] == "The client gets 502 Bad Gateway."


def test_an_id_that_no_line_has_is_named():
    lines, asked = said(
        "http://a.test/", "Pushpin-Route: no", settings=Settings(accept_route=True)
    )
    assert (lines[0], asked) == ("No route: none of the id no takes this path.", False)


def test_an_id_that_names_nothing_leaves_the_choice():
    settings = Settings(accept_route=True)
    lines, _ = said("http://b.test/", "Pushpin-Route:", settings=settings)
    assert lines[0] == "No route: there is no line for the host b.test, and none for *."


def test_a_request_that_goes_round_is_refused():
    lines, asked = said("http://a.test/", *["CDN-Loop: us"] * 5, cdn_loop=b"us")
    assert (lines[-1], asked) == ("The client gets 508: Loop Detected", False)


def test_the_last_hop_asks_nobody():
    lines = head("http://a.test/", "Max-Forwards: 0", method="TRACE")
    assert lines == ["Max-Forwards is 0: this proxy answers itself."]


def test_what_is_no_ascii_is_percent_encoded():
    assert head("http://a.test/é")[1] == "GET /%C3%A9 HTTP/1.1"


def test_fields_are_not_percent_encoded():
    assert head("http://a.test/", "X-A: é")[3] == "X-A: é"


def test_a_client_that_is_refused_is_told_why():
    with pytest.raises(RequestError) as caught:
        explaining.make_request("http://a.test:99999/", method="GET", lines=(), peer="")
    assert explaining.refused(caught.value).startswith("The client gets 400: ")


@pytest.mark.parametrize(
    ("url", "method", "lines"),
    [
        ("a.test/x", "GET", ()),
        ("ftp://a.test/", "GET", ()),
        ("http://a.test/ x", "GET", ()),
        ("http:///x", "GET", ()),
        ("http://a.test/", "G T", ()),
        ("http://a.test/", "", ()),
        ("http://a.test/", "GET", ("X",)),
        ("http://a.test/", "GET", ("X A: b",)),
        ("http://a.test/", "GET", ("X: a\nb",)),
    ],
)
def test_what_is_no_request_is_an_error(url, method, lines):
    with pytest.raises(UsageError):
        explaining.make_request(url, method=method, lines=lines, peer="")

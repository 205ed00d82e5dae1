"""What changes as a message passes: proxying.md 4, 5, 6, 7.2, 10.1, 17."""

import pytest

from gripproxy.errors import RequestError
from gripproxy.protocol import forwarding
from gripproxy.protocol.forwarding import FEATURES, AddressRule, Forwarder, Settings
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.signing import Signer, Verifier

WALL = 1_700_000_000.0
KEY = KeySource("text", b"key")
TARGET = Target(kind="tcp", host="127.0.0.1", port=80)


def headers(*lines: str) -> Headers:
    return Headers(
        [tuple(part.encode("latin-1") for part in line.split(": ", 1)) for line in lines]
    )


def request(*lines: str, **named) -> Request:
    named = {"method": b"GET", "target": b"/", "peer": "192.0.2.1"} | named
    return Request(headers=headers("Host: a.test", *lines), authority=b"a.test", **named)


def route(**named) -> Route:
    named = {"domain": "*", "id": "r", "targets": (TARGET,)} | named
    return Route(**named)


def sent(
    asked: Request, way: Route | None = None, *, shared: bool = False, wall=WALL, **named
) -> Request:
    """Return what an origin gets; `named` are settings, or how the client stands to us."""
    how = {key: named.pop(key) for key in ("trusted", "internal") if key in named}
    forwarder = Forwarder(Settings(**named))
    if shared:
        asked.headers.share()
    return forwarder.to_origin(asked, way or route(), wall=wall, **how)


def lines(message: Request | Response) -> list[str]:
    return [
        f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in message.headers
    ]


def kept(*given: str, way: Route | None = None, **named) -> list[str]:
    """Return the lines that an origin gets, less those that each request gets."""
    ours = f"Grip-Feature: {FEATURES.decode()}", "Via: 1.1 gripproxy"
    return [line for line in lines(sent(request(*given), way, **named)) if line not in ours]


# Fields that go, stay and come


def test_a_client_is_passed_on_less_what_is_for_one_connection():
    given = (
        "X-A: 1",
        "Connection: keep-alive, X-Named",
        "X-Named: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: X-T",
        "Transfer-Encoding: chunked",
        "Content-Length: 3",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "Accept-Encoding: gzip",
        "Content-Encoding: gzip",
        "x-a: 2",
        "Authorization: Basic eA==",
    )
    expected = ["X-A: 1", "Content-Encoding: gzip", "x-a: 2", "Authorization: Basic eA=="]
    assert kept(*given) == expected


@pytest.mark.parametrize(
    "name", ["Host", "Content-Type", "Cache-Control", "Authorization", "Cookie", "Content-MD5"]
)
def test_some_fields_cannot_be_named_away(name):
    found = kept(f"Connection: close, {name}", f"{name}: x")
    assert found == ([f"{name}: x"] if name != "Host" else [])


def test_what_the_proxy_adds_comes_last_in_the_order_of_the_steps():
    asked = request("X-A: 1", "X-Forwarded-For: 1.1.1.1", scheme=b"https")
    found = lines(
        sent(
            asked,
            sig_iss="pushpin",
            signer=Signer("pushpin", KEY),
            cdn_loop=b"me",
            set_proto=True,
            set_protocol=True,
            x_forwarded_for=AddressRule(append=True),
        )
    )
    assert [line.partition(": ")[0] for line in found] == [
        "X-A",
        "CDN-Loop",
        "Grip-Sig",
        "Grip-Feature",
        "Via",
        "X-Forwarded-Proto",
        "X-Forwarded-Protocol",
        "X-Forwarded-For",
    ]


def test_via_names_this_proxy_behind_others():
    found = lines(sent(request("Via: 1.0 other"), via=b"me"))
    assert [line for line in found if line.startswith("Via")] == ["Via: 1.0 other", "Via: 1.1 me"]


@pytest.mark.parametrize("no_grip", [True, False])
def test_via_can_be_left_out(no_grip):
    assert not sent(request(), route(no_grip=no_grip), via=b"").headers.has(b"via")


def test_what_frames_and_carries_a_request_is_kept():
    asked = request(method=b"PUT", target=b"/x", scheme=b"https", version=0, body=b"b", length=1)
    got = sent(asked)
    assert (got.method, got.target, got.scheme) == (b"PUT", b"/x", b"https")
    assert (got.authority, got.body, got.length) == (b"a.test", b"b", 1)
    assert got.peer == "192.0.2.1"


# GRIP's fields


@pytest.mark.parametrize(
    ("how", "grips", "features"),
    [
        ({}, [], True),
        ({"way": route(no_grip=True)}, [], False),
        ({"trusted": True}, ["Grip-Sig: theirs", "grip-x: 1"], False),
        ({"trusted": True, "way": route(no_grip=True)}, ["Grip-Sig: theirs", "grip-x: 1"], False),
        ({"internal": True}, ["Grip-Sig: theirs", "grip-x: 1"], True),
    ],
    ids=["ordinary", "no_grip", "trusted", "trusted and no_grip", "internal"],
)
def test_who_may_speak_grip_to_the_origin(how, grips, features):
    how = dict(how)
    way = how.pop("way", None)
    got = sent(request("Grip-Sig: theirs", "grip-x: 1"), way, **how)
    assert [line for line in lines(got) if "theirs" in line or "grip-x" in line] == grips
    assert got.headers.has(b"grip-feature") is features


def test_the_signature_is_that_of_the_options():
    got = sent(request(), sig_iss="me", signer=Signer("me", KEY))
    token = got.headers.get(b"grip-sig")
    assert token is not None
    assert Verifier(KEY).trusts(token, WALL)


def test_without_a_key_nothing_is_signed():
    assert not sent(request(), sig_iss="me").headers.has(b"grip-sig")


@pytest.mark.parametrize(
    ("named", "issuer", "key"),
    [
        ({"sig_iss": "other"}, "other", KEY),
        ({"sig_key": KeySource("text", b"own"), "sig_key_text": "own"}, "me", b"own"),
        (
            {"sig_iss": "other", "sig_key": KeySource("text", b"own"), "sig_key_text": "own"},
            "other",
            b"own",
        ),
    ],
)
def test_a_route_may_sign_by_itself(named, issuer, key):
    way = route(**named)
    key = key if isinstance(key, KeySource) else KeySource("text", key)
    for _ in range(2):
        got = sent(request(), way, sig_iss="me", signer=Signer("me", KEY))
        assert got.headers.get(b"grip-sig") == Signer(issuer, key).token(WALL)


@pytest.mark.parametrize(
    ("way", "settings"),
    [
        (route(sig_iss="other"), {}),
        (route(sig_key=KEY, sig_key_text="key"), {}),
    ],
)
def test_half_a_signature_is_none(way, settings):
    assert not sent(request(), way, **settings).headers.has(b"grip-sig")


# The same again


def test_a_signature_is_made_once_a_minute():
    forwarder = Forwarder(Settings(sig_iss="me", signer=Signer("me", KEY)))
    way = route()
    tokens = [
        forwarder.to_origin(request(), way, wall=wall).headers.get(b"grip-sig")
        for wall in (WALL, WALL + 1, WALL + 60)
    ]
    assert tokens[0] == tokens[1] != tokens[2]


def test_shared_fields_go_out_as_before_until_the_minute_is_over():
    forwarder = Forwarder(Settings(sig_iss="me", signer=Signer("me", KEY)))
    way = route()
    asked = request("X-A: 1")
    asked.headers.share()
    first, again, later = (
        forwarder.to_origin(asked, way, wall=wall).headers for wall in (WALL, WALL + 1, WALL + 60)
    )
    assert again is first
    assert later.get(b"grip-sig") != first.get(b"grip-sig")
    assert lines(forwarder.to_origin(request("X-A: 1"), way, wall=WALL)) == [
        f"{name.decode()}: {value.decode()}" for name, value in first
    ]


def test_shared_fields_do_not_remember_all_routes_that_ever_were():
    asked = request("X-A: 1")
    asked.headers.share()
    forwarder = Forwarder(Settings())
    for _ in range(200):
        assert forwarder.to_origin(asked, route(), wall=WALL).headers.get(b"x-a") == b"1"
    assert len(asked.headers.derived) < 100


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (request(), {"trusted": True}),
        (request(), {"internal": True}),
        (request(), {"x_forwarded_for": AddressRule(append=True)}),
        (request(scheme=b"https"), {"set_proto": True}),
        (request(websocket=True), {}),
        (request("Max-Forwards: 3", method=b"OPTIONS"), {}),
    ],
)
def test_what_depends_on_more_than_the_fields_is_not_remembered(asked, named):
    sent(asked, shared=True, **named)
    assert asked.headers.derived == {}


def test_routes_that_are_gone_are_forgotten():
    forwarder = Forwarder(Settings())
    way = route()
    before = forwarder.to_origin(request(), way, wall=WALL)
    forwarder.forget_routes()
    assert lines(forwarder.to_origin(request(), way, wall=WALL)) == lines(before)


def test_routes_without_end_take_no_memory_without_end(monkeypatch):
    monkeypatch.setattr(forwarding, "ROUTES_KEPT", 2)
    forwarder = Forwarder(Settings())
    ways = [route(prefix=f"{number}".encode()) for number in range(5)]
    before = [lines(forwarder.to_origin(request(), way, wall=WALL)) for way in ways]
    assert len(forwarder._added) <= 2
    assert [lines(forwarder.to_origin(request(), way, wall=WALL)) for way in ways] == before


# The route's own fields


def test_a_route_replaces_fields_and_removes_some():
    way = route(headers=((b"X-A", b"new"), (b"x-b", b"")))
    assert kept("x-a: 1", "X-C: 3", "X-B: 2", "X-A: 2", way=way) == ["X-C: 3", "X-A: new"]


def test_a_route_cannot_speak_grip_or_frame():
    way = route(headers=((b"Grip-Sig", b"x"), (b"Connection", b"X-A"), (b"Expect", b"x")))
    assert kept("X-A: 1", way=way) == ["X-A: 1"]


def test_a_client_cannot_name_a_field_of_the_route_away():
    way = route(headers=((b"X-A", b"route"),))
    assert kept("Connection: X-A, X-B", "X-B: 1", way=way) == ["X-A: route"]


# Marked copies

MARK = "eb9bf0f5-"


def test_fields_are_copied_under_a_mark():
    found = kept("X-A: 1", "Grip-X: 2", "Accept-Encoding: br", way=route(orig_headers=True))
    assert found == [
        "X-A: 1",
        f"{MARK}Host: a.test",
        f"{MARK}X-A: 1",
        f"{MARK}Grip-X: 2",
        f"{MARK}Accept-Encoding: br",
    ]


def test_marks_that_a_client_brought_stand_before_the_copies():
    found = kept(f"{MARK.upper()}X-M: 1", "X-A: 1", way=route(orig_headers=True))
    assert found == [
        "X-A: 1",
        f"{MARK.upper()}X-M: 1",
        f"{MARK}Host: a.test",
        f"{MARK}X-A: 1",
    ]


def test_some_fields_need_the_mark_of_the_client():
    way = route(orig_headers=True)
    need = frozenset((b"x-a", b"host"))
    assert kept("X-A: 1", "X-B: 2", way=way, need_mark=need) == [
        "X-A: 1",
        "X-B: 2",
        f"{MARK}X-B: 2",
    ]


@pytest.mark.parametrize("trusted", [True, False])
def test_marks_do_not_pass_a_route_that_makes_none(trusted):
    assert kept(f"{MARK}X-A: 1", trusted=trusted) == []


def test_marks_of_a_trusted_client_stay_as_they_are():
    way = route(orig_headers=True)
    assert kept(f"{MARK}X-A: 1", "X-B: 1", way=way, trusted=True) == [f"{MARK}X-A: 1", "X-B: 1"]


# The chosen route


@pytest.mark.parametrize(
    ("accept", "found"), [(True, []), (False, ["Pushpin-Route: r"])], ids=["accepted", "not"]
)
def test_the_field_that_chose_the_route_is_not_passed(accept, found):
    assert kept("Pushpin-Route: r", accept_route=accept) == found


# Loops


def loops(*values: str, own: bytes = b"me") -> list[str]:
    found = kept(*(f"CDN-Loop: {value}" for value in values), cdn_loop=own)
    return [line for line in found if line.startswith("CDN-Loop")]


def test_each_proxy_adds_itself_to_one_list():
    assert loops() == ["CDN-Loop: me"]
    assert loops("a, b; x=1", "c,") == ["CDN-Loop: a, b; x=1, c, me"]


def test_a_request_may_come_by_a_few_times():
    assert loops(", ".join(["me"] * 4)) == ["CDN-Loop: me, me, me, me, me"]


def test_a_request_in_a_circle_is_ended():
    with pytest.raises(RequestError) as caught:
        loops("me, me", "x, me", "me, me")
    assert (caught.value.status, caught.value.text) == (508, "Loop Detected")


def test_without_a_name_lists_pass():
    assert loops("a", "b", own=b"") == ["CDN-Loop: a", "CDN-Loop: b"]


# Addresses


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ([], AddressRule()),
        (["append"], AddressRule(append=True)),
        (["truncate:2", "append"], AddressRule(2, append=True)),
        (["truncate:0"], AddressRule(0)),
        (["truncate:-1"], AddressRule()),
        (["x", "append"], AddressRule(append=True)),
        (["truncate:x", "append"], AddressRule()),
        (["append", "truncate:x"], AddressRule(append=True)),
    ],
)
def test_a_rule_is_read_up_to_a_bad_number(words, rule):
    assert AddressRule.read(words) == rule


@pytest.mark.parametrize(
    ("given", "words", "found"),
    [
        (("1.1.1.1", "2.2.2.2,3.3.3.3"), [], ["1.1.1.1, 2.2.2.2, 3.3.3.3"]),
        (("1.1.1.1", "2.2.2.2,3.3.3.3"), ["truncate:1", "append"], ["3.3.3.3, 192.0.2.1"]),
        (("1.1.1.1", "2.2.2.2,3.3.3.3"), ["truncate:2"], ["2.2.2.2, 3.3.3.3"]),
        (("1.1.1.1", "2.2.2.2"), ["truncate:5"], ["1.1.1.1, 2.2.2.2"]),
        (("1.1.1.1",), ["truncate:0", "append"], ["192.0.2.1"]),
        (("1.1.1.1",), ["truncate:0"], []),
        ((), ["append"], ["192.0.2.1"]),
        ((), [], []),
        (('"a,b", c',), [], ['"a,b", c']),
        (("",), [], [""]),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_addresses_become_one_list(given, words, found, trusted):
    option = "x_forwarded_for_trusted" if trusted else "x_forwarded_for"
    got = sent(
        request(*(f"X-Forwarded-For: {value}" for value in given)),
        trusted=trusted,
        **{option: AddressRule.read(words)},
    )
    assert [value.decode() for value in got.headers.get_all(b"x-forwarded-for")] == found


def test_the_rules_can_be_asked_for():
    rules = AddressRule(1), AddressRule(2)
    settings = Settings(x_forwarded_for=rules[0], x_forwarded_for_trusted=rules[1])
    assert Forwarder(settings).address_rules == rules


def test_a_peer_without_an_address_is_not_added():
    got = sent(request(peer=""), x_forwarded_for=AddressRule(append=True))
    assert not got.headers.has(b"x-forwarded-for")


@pytest.mark.parametrize(
    ("given", "rule", "address"),
    [
        ((), AddressRule(), "192.0.2.1"),
        (("X-Forwarded-For: 1.1.1.1, 2.2.2.2",), AddressRule(), "1.1.1.1"),
        (("X-Forwarded-For: 2001:db8:0::1",), AddressRule(), "2001:db8::1"),
        (("X-Forwarded-For: 1.1.1.1",), AddressRule(truncate=0), "192.0.2.1"),
        (("X-Forwarded-For: unknown",), AddressRule(), "192.0.2.1"),
        (("X-Forwarded-For: \xe9",), AddressRule(), "192.0.2.1"),
        (("X-Forwarded-For: ",), AddressRule(), "192.0.2.1"),
        (("X-Forwarded-Proto: https",), AddressRule(), "192.0.2.1"),
    ],
)
def test_a_client_can_name_itself_where_the_rule_lets_it(given, rule, address):
    assert forwarding.logical_address(request(*given), rule) == address


# Schemes

PROTO, PROTOCOL = "X-Forwarded-Proto: theirs", "X-Forwarded-Protocol: theirs"


@pytest.mark.parametrize(
    ("named", "settings", "found"),
    [
        ({}, {}, [PROTO, PROTOCOL]),
        ({}, {"set_proto": True}, []),
        ({}, {"accept_proto": True}, []),
        ({"scheme": b"https"}, {"accept_proto": True}, []),
        ({"scheme": b"https"}, {}, [PROTO, PROTOCOL]),
        ({"scheme": b"https"}, {"set_proto": True}, ["X-Forwarded-Proto: https"]),
        (
            {"scheme": b"https", "websocket": True},
            {"set_proto": True, "set_protocol": True},
            ["X-Forwarded-Proto: wss", "X-Forwarded-Protocol: wss"],
        ),
        ({"scheme": b"https"}, {"set_protocol": True}, ["X-Forwarded-Protocol: https"]),
    ],
)
def test_the_scheme_is_told_by_whom_the_options_trust(named, settings, found):
    got = lines(sent(request(PROTO, PROTOCOL, **named), **settings))
    assert [line for line in got if line.startswith("X-Forwarded-Proto")] == found


# WebSockets


@pytest.mark.parametrize("no_grip", [True, False])
def test_a_handshake_offers_grip_instead_of_what_the_client_offered(no_grip):
    got = sent(
        request("Sec-WebSocket-Extensions: x", "Sec-WebSocket-Key: k", websocket=True),
        route(no_grip=no_grip),
    )
    offered = got.headers.get_all(b"sec-websocket-extensions")
    assert offered == ([] if no_grip else [b"grip"])
    assert got.headers.has(b"sec-websocket-key")
    assert got.websocket


# Targets


@pytest.mark.parametrize(
    ("target", "named", "found"),
    [
        (b"/a/b?c", {}, (b"/a/b?c", b"a.test")),
        (b"/a/b?c", {"path_rem": 2}, (b"/b?c", b"a.test")),
        (b"/a/b?c", {"path_rem": 9}, (b"/?c", b"a.test")),
        (b"/a/b?c", {"path_rem": 3}, (b"/b?c", b"a.test")),
        (b"/a/b", {"path_beg": b"/a/", "replace_beg": b"/x/"}, (b"/x/b", b"a.test")),
        (b"/a/b", {"path_beg": b"/a/", "replace_beg": b""}, (b"/b", b"a.test")),
        (b"/", {"as_host": b"B.test"}, (b"/", b"b.test")),
        (b"/", {"as_host": b"b.test:80"}, (b"/", b"b.test")),
        (b"/", {"as_host": b"b.test:443"}, (b"/", b"b.test:443")),
        (b"/", {"as_host": b"b.test:81"}, (b"/", b"b.test:81")),
        (
            b"/",
            {"as_host": b"b.test:443", "targets": (Target(kind="tcp", host="x", ssl=True),)},
            (b"/", b"b.test"),
        ),
    ],
)
def test_a_route_rewrites_path_and_host(target, named, found):
    got = sent(request(target=target), route(**named))
    assert (got.target, got.authority) == found


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        (TARGET, b"a.test"),
        (Target(kind="tcp", host_field=b"C.test:80"), b"c.test"),
        (Target(kind="tcp", host_field=b"c.test:443"), b"c.test:443"),
        (Target(kind="tcp", host_field=b"c.test:443", ssl=True), b"c.test"),
    ],
)
def test_a_target_may_have_a_host_of_its_own(target, authority):
    asked = request("X-A: 1", prefix=b"X-P: 1\r\n", over_http=True)
    got = forwarding.for_target(asked, target)
    assert got.authority == authority
    assert (got.headers, got.prefix, got.over_http) == (asked.headers, b"X-P: 1\r\n", True)


def test_fields_can_be_changed():
    got = forwarding.with_changes(request("X-A: 1"), headers=headers("X-B: 2"))
    assert (lines(got), got.authority) == (["X-B: 2"], b"a.test")


# How far


@pytest.mark.parametrize(
    ("method", "value", "left", "sent_on"),
    [
        (b"OPTIONS", "3", 3, "2"),
        (b"TRACE", "1", 1, "0"),
        (b"OPTIONS", "0", 0, "0"),
        (b"GET", "3", None, "3"),
        (b"OPTIONS", "x", None, "x"),
        (b"OPTIONS", "-1", None, "-1"),
        (b"OPTIONS", "9" * 5000, None, "9" * 5000),
    ],
)
def test_two_methods_go_so_far_and_no_further(method, value, left, sent_on):
    asked = request(f"Max-Forwards: {value}", method=method)
    assert forwarding.hops_left(asked) == left
    assert sent(asked).headers.get(b"max-forwards") == sent_on.encode()


def test_without_the_field_there_is_no_limit():
    assert forwarding.hops_left(request(method=b"TRACE")) is None


# Responses


def response(*given: str) -> Response:
    return Response(status=200, reason=b"OK", headers=headers(*given))


HOP_BY_HOP = (
    "Connection: keep-alive, X-Named",
    "X-Named: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: x",
    "Trailer: X-T",
    "TE: x",
    "Transfer-Encoding: chunked",
    "Upgrade: h2c",
)


def test_a_response_passes_less_what_is_for_one_connection():
    given = ("Set-Cookie: a", *HOP_BY_HOP, "Content-Encoding: gzip", "set-cookie: b")
    assert lines(forwarding.to_client(response(*given))) == [
        "Set-Cookie: a",
        "Content-Encoding: gzip",
        "set-cookie: b",
    ]


def test_a_response_with_nothing_to_remove_passes_as_it_is():
    asked = response("X-A: 1")
    before = asked.headers
    assert forwarding.to_client(asked).headers is before


def test_trailers_are_announced_to_who_takes_them():
    got = forwarding.to_client(response(*HOP_BY_HOP, "X-A: 1"), trailers=True)
    assert lines(got) == ["X-A: 1", "Trailer: X-T"]
    assert lines(forwarding.to_client(response("TE: x"), trailers=True)) == []


@pytest.mark.parametrize(
    ("given", "version", "takes"),
    [
        (("TE: trailers",), 1, True),
        (("TE: gzip, Trailers",), 1, True),
        (("TE: trailers",), 0, False),
        (("TE: gzip",), 1, False),
        (("Keep-Alive: x",), 1, False),
        ((), 1, False),
    ],
)
def test_who_takes_trailers_says_so(given, version, takes):
    assert forwarding.takes_trailers(request(*given, version=version)) is takes

"""Which line of the routes file a request takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import routes
from gripproxy.protocol.routes import Miss, Route, RouteTable, Target

TARGETS = (Target(kind="test"),)


def route(domain="h", proto=None, ssl=None, path=b"", route_id=""):
    return Route(
        domain=domain,
        proto=proto,
        ssl=ssl,
        path_beg=path,
        id=route_id or f"{domain},{proto},{ssl},{path}",
        explicit_id=bool(route_id),
        targets=TARGETS,
    )


def match(table, host=b"h", path=b"/", *, secure=False, websocket=False):
    return table.match(host, path, secure=secure, websocket=websocket)


# Values


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target(kind="tcp", host="h", port=80), "h:80"),
        (Target(kind="tcp", host="::1", port=80), "[::1]:80"),
        (Target(kind="unix", host="/run/app"), "unix:/run/app"),
        (Target(kind="test"), "test"),
    ],
)
def test_a_target_is_named_as_on_the_line(target, name):
    assert str(target) == name


def test_a_route_is_compared_by_identity():
    assert route() != route()
    assert len({route(), route()}) == 2


def test_a_route_knows_its_place():
    line = Route(domain="h", id="x", targets=TARGETS, file="etc/routes", line=3)
    assert line.place == "etc/routes:3"


def test_lines_of_one_condition_are_doubled_whatever_their_ids():
    lines = [
        route(path=b"/a"),
        route(path=b"/a", route_id="x"),
        route("i", path=b"/a"),
        route(ssl=False, path=b"/a"),
        route(ssl=True, path=b"/a"),
        route(proto="ws", path=b"/a"),
        route(proto="ws", path=b"/a"),
    ]
    kept, doubled = routes.distinct(lines)
    assert doubled == [lines[1], lines[6]]
    assert kept == [line for line in lines if line not in doubled]


def test_lines_without_domain_are_never_doubled():
    lines = [route(None), route(None)]
    assert routes.distinct(lines) == (lines, [])


# Which host


def test_a_host_has_its_own_lines():
    own, other = route("a"), route("b")
    assert match(RouteTable([own, other]), b"a") is own


def test_a_host_without_lines_has_those_of_any_host():
    default = route("*")
    assert match(RouteTable([route("a"), default]), b"c") is default


def test_a_host_without_lines_has_none_without_a_default():
    assert match(RouteTable([route("a")]), b"c") is None


def test_a_host_whose_lines_do_not_match_is_not_looked_up_again():
    table = RouteTable([route("a", path=b"/only"), route("*")])
    assert match(table, b"a", b"/") is None
    assert match(table, b"a", b"/onlyx").path_beg == b"/only"


def test_an_empty_host_is_any_host():
    table = RouteTable([route("*"), route(None)])
    assert match(table, b"").domain == "*"


def test_a_line_without_domain_is_not_found_by_a_host():
    assert match(RouteTable([route(None)]), b"None") is None


def test_a_host_is_not_found_with_a_dot_behind_it():
    assert match(RouteTable([route("a.test")]), b"a.test.") is None


# Which of its lines

ANY, A, AB = route(), route(path=b"/a"), route(path=b"/ab")
HTTP, WS = route(proto="http"), route(proto="ws")
PLAIN, TLS = route(ssl=False), route(ssl=True)
A_PLAIN, A_TLS = route(path=b"/a", ssl=False), route(path=b"/a", ssl=True)
WS_PLAIN, WS_A = route(proto="ws", ssl=False), route(proto="ws", path=b"/a")


@pytest.mark.parametrize(
    ("lines", "request_", "chosen"),
    [
        ([ANY, A, AB, HTTP], {"path": b"/ab"}, HTTP),
        ([ANY, A, AB, HTTP], {"path": b"/ab", "websocket": True}, AB),
        ([A_PLAIN, AB], {"path": b"/ab"}, AB),
        ([PLAIN, A], {"path": b"/a"}, A),
        ([A, PLAIN], {"path": b"/a"}, PLAIN),
        ([A, PLAIN], {"path": b"/b"}, PLAIN),
        ([A, PLAIN], {"path": b"/a", "secure": True}, A),
        ([A], {"path": b"/"}, None),
        ([A, AB], {"path": b"/abc"}, AB),
        ([AB, A], {"path": b"/abc"}, AB),
        ([AB, A], {"path": b"/ac"}, A),
        ([AB, A], {"path": b"//ab"}, None),
        ([AB, A], {"path": b"/AB"}, None),
        ([WS], {}, None),
        ([HTTP], {"websocket": True}, None),
        ([TLS], {}, None),
        ([PLAIN], {"secure": True}, None),
        ([PLAIN, TLS, ANY], {"secure": True}, TLS),
        ([PLAIN, TLS, ANY], {}, PLAIN),
        ([A_TLS, ANY], {"path": b"/a"}, ANY),
        ([WS_PLAIN, WS_A], {"path": b"/a", "websocket": True}, WS_A),
        ([WS_A, WS_PLAIN, AB], {"path": b"/ab", "websocket": True}, WS_PLAIN),
        ([AB, A_PLAIN, A], {"path": b"/ab"}, A_PLAIN),
        ([WS, A, PLAIN], {"path": b"/a", "websocket": True}, WS),
        ([A, PLAIN, WS], {"path": b"/a", "websocket": True}, WS),
    ],
)
def test_which_line_wins(lines, request_, chosen):
    assert match(RouteTable(lines), **request_) is chosen


def winner(lines, path, secure, websocket):
    """The table of routes.md 4, rule by rule."""
    best = None
    for line in lines:
        if line.proto not in (None, "ws" if websocket else "http"):
            continue
        if line.ssl not in (None, secure) or not path.startswith(line.path_beg):
            continue
        if best is None or (line.proto and not best.proto):
            best = line
        elif best.proto and not line.proto:
            continue
        elif len(line.path_beg) > len(best.path_beg) or (
            line.ssl is not None and best.ssl is None
        ):
            best = line
    return best


LINES = st.lists(
    st.builds(
        route,
        st.sampled_from(["h", "*"]),
        st.sampled_from([None, None, "http", "ws"]),
        st.sampled_from([None, None, True, False]),
        st.sampled_from([b"", b"/a", b"/ab", b"/abc", b"/b"]),
    ),
    max_size=9,
).map(lambda lines: routes.distinct(lines)[0])


@given(LINES, st.sampled_from([b"/", b"/a", b"/abcd", b"/b"]), st.booleans(), st.booleans())
def test_the_choice_is_that_of_a_walk_over_the_lines(lines, path, secure, websocket):
    own = [line for line in lines if line.domain == "h"] or lines
    found = match(RouteTable(lines), path=path, secure=secure, websocket=websocket)
    assert found is winner(own, path, secure, websocket)


# By id

NAMED = route(None, path=b"/a", route_id="x")
TWICE = [route("a", route_id="two"), route("b", route_id="two"), route("c", route_id="two")]
TABLE = RouteTable([NAMED, *TWICE, route("d", "ws", ssl=True, route_id="é")])


@pytest.mark.parametrize(
    ("route_id", "path", "found"),
    [
        (b"x", b"/ab", NAMED),
        (b"x", b"/b", None),
        (b"y", b"/a", None),
        (b"\xff", b"/a", None),
        (b"two", b"/a", Miss.SHARED),
        (b"", b"/a", Miss.SHARED),
    ],
)
def test_a_request_may_name_its_route(route_id, path, found):
    assert TABLE.by_id(route_id, path) is found


def test_neither_host_nor_proto_nor_ssl_count_for_a_route_that_is_named():
    assert TABLE.by_id("é".encode(), b"/").domain == "d"


@pytest.mark.parametrize(
    ("route_id", "path", "found"),
    [
        ("x", b"/ab", NAMED),
        ("x", b"/b", Miss.OTHER_PATH),
        ("y", b"/a", Miss.UNKNOWN),
        ("two", b"/a", Miss.SHARED),
    ],
)
def test_something_held_finds_its_route_again_or_why_not(route_id, path, found):
    assert TABLE.again(route_id, path) is found


def test_a_table_keeps_its_lines_in_order():
    assert RouteTable(iter(TWICE)).routes == tuple(TWICE)

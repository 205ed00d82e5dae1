"""The routes file as a whole."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RouteError
from gripproxy.protocol import routesfile
from gripproxy.protocol.routes import RouteTable


def read(path):
    raise FileNotFoundError(2, "No such file or directory", path)


def parse(*lines):
    return routesfile.parse("\n".join(lines), "routes", read)


def numbers(found):
    return [route.line for route in found.routes]


# Reading


def test_blank_lines_and_comments_are_skipped_but_counted():
    found = parse("", "   ", "   # text", "#* test", "* test", "")
    assert numbers(found) == [5]
    assert (found.errors, found.warnings) == ((), ())


def test_lines_end_with_lf_or_cr_lf_and_nothing_else():
    found = routesfile.parse("a test\r\nb test\nc,prefix=\x0bx\u2028y\rz test", "routes", read)
    assert [route.domain for route in found.routes] == ["a", "b", "c"]
    assert found.routes[2].prefix == "\x0bx\u2028y\rz"


def test_a_bad_line_is_an_error_and_the_others_count():
    found = parse("a test", "b", "c test", "d nowhere")
    assert numbers(found) == [1, 3]
    assert [str(error) for error in found.errors] == [
        "routes:2: must specify condition and at least one target",
        "routes:4: target bad format",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.test o:1", "a.test o:1"),
        ("a.test o:1", "a.test,id=foo o:2"),
        ("a.test,path_beg=/x o:1", "a.test,path_beg=/x,debug o:1"),
        ("A.test o:1", "a.test o:1"),
        ("[::1] o:1", "::1 o:1"),
    ],
)
def test_the_later_of_two_lines_with_one_condition_is_skipped(first, second):
    found = parse(first, second)
    assert numbers(found) == [1]
    assert found.warnings[-1] == "routes:2 skipping duplicate condition"
    assert found.errors == ()


def test_warnings_come_in_the_order_of_the_lines():
    found = parse("b test,nosuch", "a test", "a test", "A,id=b test", "c,id=x test", "d,id=x test")
    assert [warning.split()[:3] for warning in found.warnings] == [
        ["routes:1:", "unknown", "option"],
        ["routes:3", "skipping", "duplicate"],
        ["routes:4:", "domain", '"A"'],
        ["routes:4", "skipping", "duplicate"],
        ["routes:5:", "id", '"x"'],
    ]


def test_an_id_of_several_lines_is_warned_of_once():
    found = parse("b,id=s test", "c test", "d,id=s test", "e,id=s test")
    assert found.warnings == ('routes:1: id "s" is that of lines 1, 3, 4: it names none of them',)
    assert numbers(found) == [1, 2, 3, 4]


def test_an_id_is_not_shared_with_a_line_that_was_skipped():
    assert parse("b,id=s test", "b,id=s test").warnings == (
        "routes:2 skipping duplicate condition",
    )


def test_an_empty_file_has_no_routes():
    assert numbers(routesfile.parse("", "routes", read)) == []


# --route


def test_an_option_is_line_1_of_a_file_of_that_name():
    found = routesfile.parse_options(["* test", "a", "A test"], read)
    assert [route.place for route in found.routes] == ["<route>:1", "<route>:1"]
    assert [str(error) for error in found.errors] == [
        "<route>:1: must specify condition and at least one target"
    ]
    assert found.warnings == ('<route>:1: domain "A" is read as "a"',)


def test_a_doubled_option_is_dropped_without_a_word():
    found = routesfile.parse_options(["a o:1", "a o:2"], read)
    assert [str(route.targets[0]) for route in found.routes] == ["o:1"]
    assert found.warnings == ()


def test_a_blank_option_is_an_error():
    assert len(routesfile.parse_options(["  "], read).errors) == 1


def test_a_file_that_an_option_names_is_relative_to_the_working_directory():
    found = routesfile.parse_options(
        ["a,sig_key=file:k test"], lambda path: b"0a" if path == "k" else b""
    )
    assert found.routes[0].sig_key.secret == b"\n"


# Words


def test_a_table_is_shown_by_domain():
    found = parse("* test", "a.test o:1 [::1]:2", "id=x o:3", "b.test unix:/run/app")
    assert list(routesfile.by_domain(found.routes)) == [
        "routes by domain:",
        "  (default): test",
        "  a.test: o;1 ::1;2",
        "  b.test: unix:/run/app",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "* test",
            "requests and WebSockets of hosts without lines go to the built-in test origin",
        ),
        ("a.test o:1 p:2", "requests and WebSockets of a.test go to o:1, else to p:2"),
        (
            "a.test,proto=http,ssl=yes,path_beg=/x,id=n o:1",
            "requests over TLS of a.test whose path begins with /x go to o:1 (id n)",
        ),
        (
            "a.test,proto=ws,ssl=no o:1,over_http",
            "WebSockets without TLS of a.test go to o:1 (WebSockets over HTTP)",
        ),
        (
            "a.test o:1,ssl,insecure,host=b.test",
            "requests and WebSockets of a.test go to o:1 "
            "(TLS, certificate not checked, host b.test)",
        ),
        (
            "id=n,path_beg=/x o:1",
            "requests and WebSockets that name the route n and whose path begins with /x "
            "go to o:1 (id n)",
        ),
        (
            "path_beg=/x o:1",
            "requests and WebSockets that name the route *,*,*,/x and whose path begins with /x "
            "go to o:1",
        ),
    ],
)
def test_a_line_is_explained(line, words):
    assert routesfile.explain(parse(line).routes[0]) == words


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("as_host=o.test:81", "the origin sees the host o.test:81"),
        ("path_beg=/old,replace_beg=/new", "/old of the path becomes /new"),
        ("path_beg=/old,replace_beg=", "/old is cut off the path"),
        ("replace_beg=/new", "/new is put before the path"),
        ("replace_beg=", "nothing is put before the path"),
        ("path_rem=3", "the first 3 bytes of the path are cut off"),
        ("header=X-A:1", "X-A is set to 1"),
        ("header=X-A:", "X-A is removed"),
        ("orig_headers", "the origin gets marked copies of all fields, too"),
        ("sig_iss=me", "Grip-Sig has the issuer me"),
        ("sig_key=k", "Grip-Sig has a key of its own"),
        ("no_grip", "the origin does not speak GRIP"),
        ("prefix=p-", "its channels begin with p-"),
        ("cache", "responses may be stored and served from the cache"),
        ("aco", "other sites may ask, also by JSON-P"),
        ("jsonp_mode=basic", "JSON-P answers are basic"),
        ("jsonp_cb=cb", "cb names the JSON-P callback"),
        ("jsonp_defcb=f", "the JSON-P callback is f if none is given"),
        ("jsonp_body=b", "b has the body of JSON-P"),
        ("jsonp_defmethod=PUT", "JSON-P is PUT if no method is given"),
        ("sockjs=/s", "below /s is SockJS"),
        ("sockjs=/s,sockjs_as_path=/ws", "below /s is SockJS (for the origin /ws)"),
        ("debug", "error answers say why"),
        ("log_level=0", "its log level is 0"),
    ],
)
def test_what_a_line_changes_is_explained(parameters, words):
    _, *rest = routesfile.explain(parse(f"a.test,{parameters} test").routes[0]).split("; ")
    assert rest == [words]


def test_all_that_a_line_changes_is_explained():
    line = "a.test,cache,purge=channel,prefix=p- test"
    _, *rest = routesfile.explain(parse(line).routes[0]).split("; ")
    assert rest == [
        "its channels begin with p-",
        "responses may be stored and served from the cache",
        "an item purges the responses that name its channel",
    ]


@pytest.mark.parametrize("parameters", ["purge=channel", "id=", "nosuch"])
def test_what_has_no_effect_is_not_explained(parameters):
    assert ";" not in routesfile.explain(parse(f"a.test,{parameters} test").routes[0])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("ssl,trust_connect_host", "TLS, its certificate must name it"),
        ("trust_connect_host", ""),
        ("untrusted", "no private addresses"),
        ("over_http,one_event", "WebSockets over HTTP, one event a request"),
        ("sub=a,sub=b", "holds are subscribed to a, b, too"),
    ],
)
def test_parameters_of_targets_are_explained(parameters, words):
    said = routesfile.explain(parse(f"a.test o.test:1,{parameters}").routes[0])
    assert said.partition(" go to ")[2] == ("o.test:1" + (f" ({words})" if words else ""))


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (
            ("a,ssl=no test", "a,path_beg=/x test"),
            "for plain requests and WebSockets whose path begins with /x",
        ),
        (
            ("a,path_beg=/x test", "a,ssl=no test"),
            "for plain requests and WebSockets whose path begins with /x",
        ),
        (
            ("a,ssl=yes,path_beg=/x test", "a,path_beg=/xy test"),
            "for TLS requests and WebSockets whose path begins with /xy",
        ),
        (
            ("a,proto=ws,ssl=no test", "a,proto=ws,path_beg=/x test"),
            "for plain WebSockets whose path begins with /x",
        ),
    ],
)
def test_two_lines_whose_order_decides_are_named(lines, note):
    assert routesfile.order_notes(parse(*lines).routes) == [
        f"routes:2: {note} this line wins over line 1, because it stands behind it"
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ("a test", "a,path_beg=/x test"),
        ("a,ssl=no test", "a test"),
        ("a,ssl=no,path_beg=/x test", "a test"),
        ("a,ssl=no,path_beg=/x test", "a,path_beg=/y test"),
        ("a,ssl=no,path_beg=/x test", "a,path_beg=/x test"),
        ("a,ssl=no,path_beg=/x test", "a,path_beg=/yz test"),
        ("a,ssl=no test", "a,ssl=yes,path_beg=/x test"),
        ("a,ssl=no,proto=ws test", "a,path_beg=/x test"),
        ("a,ssl=no,proto=ws test", "a,proto=http,path_beg=/x test"),
        ("a,ssl=no test", "b,path_beg=/x test"),
        ("ssl=no test", "path_beg=/x test"),
    ],
)
def test_other_lines_are_not(lines):
    assert routesfile.order_notes(parse(*lines).routes) == []


CONDITIONS = st.tuples(
    st.sampled_from(["", ",proto=http", ",proto=ws"]),
    st.sampled_from(["", ",ssl=yes", ",ssl=no"]),
    st.sampled_from(["", ",path_beg=/a", ",path_beg=/ab", ",path_beg=/b"]),
).map(lambda parts: "h" + "".join(parts) + " test")


@given(CONDITIONS, CONDITIONS)
def test_order_is_said_to_decide_exactly_where_it_does(first, second):
    if first == second:
        return

    def choices(*lines):
        table = RouteTable(parse(*lines).routes)
        return [
            found and found.source
            for path, secure, websocket in itertools.product(
                [b"/", b"/a", b"/ab", b"/b"], [False, True], [False, True]
            )
            for found in [table.match(b"h", path, secure=secure, websocket=websocket)]
        ]

    matters = choices(first, second) != choices(second, first)
    assert bool(routesfile.order_notes(parse(first, second).routes)) is matters


@given(st.text('ab*.,=" #\r\n/:1test'))
def test_no_file_raises(text):
    found = routesfile.parse(text, "routes", read)
    assert all(isinstance(error, RouteError) for error in found.errors)
    for route in found.routes:
        routesfile.explain(route)

"""A line of the routes file: what its names and values mean."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RouteError
from gripproxy.protocol import routelines
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.routes import Route, Target

O = Target(kind="tcp", host="127.0.0.1", port=8000)  # noqa: E741
TEST = Target(kind="test")

FILES = {"etc/c.pem": b"cert", "etc/k.pem": b"key", "etc/hex": b"0001", "/abs/hex": b"02"}


def read(path):
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def parse(text):
    text = text.replace(" O", " 127.0.0.1:8000")
    return routelines.parse_line(text, "etc/routes", 7, read)


def refused(text):
    with pytest.raises(RouteError) as caught:
        parse(text)
    assert str(caught.value) == f"etc/routes:7: {caught.value.text}"
    return caught.value.text


def warnings(text):
    found = parse(text).warnings
    assert all(warning.startswith("etc/routes:7: ") for warning in found)
    return [warning.removeprefix("etc/routes:7: ") for warning in found]


def said(route):
    """What a line sets, beside what every line has."""
    default = parse("h O")
    fixed = {"id", "file", "line", "source", "parameters_used", "warnings", "sig_key_text"}
    return {
        field.name: getattr(route, field.name)
        for field in dataclasses.fields(Route)
        if field.name not in fixed and getattr(route, field.name) != getattr(default, field.name)
    }


def target(text):
    (only,) = parse(f"h {text}").targets
    return only


# The numbered lines of routes.md 11, in so far as one line alone tells what they do


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("* test", {"domain": "*", "targets": (TEST,)}),
        ("* O", {"domain": "*"}),
        ("a.test test # text", {"domain": "a.test", "targets": (TEST,)}),
        ("a.test test#text", {"domain": "a.test", "targets": (TEST,)}),
        ("a.test   O   ", {"domain": "a.test"}),
        ("id=only O", {"domain": None, "explicit_id": True}),
        ("   id=only O", {"domain": None, "explicit_id": True}),
        ("   a.test,id=y O", {"domain": "a.test", "explicit_id": True}),
        (",path_beg=/x O", {"domain": None, "path_beg": b"/x"}),
        ("path_beg=/x O", {"domain": None, "path_beg": b"/x"}),
        ("id= O", {"domain": None}),
        ("*,proto=http O", {"domain": "*", "proto": "http"}),
        ("*,proto=ws O", {"domain": "*", "proto": "ws"}),
        ("*,ssl=yes O", {"domain": "*", "ssl": True}),
        ("*,ssl=no O", {"domain": "*", "ssl": False}),
        ("h,path_beg=/api/ O", {"path_beg": b"/api/"}),
        ("h,path_beg=x O", {"path_beg": b"x"}),
        ('h,path_beg="/a b" O', {"path_beg": b"/a b"}),
        ('h,path_beg="/a,b" O', {"path_beg": b"/a,b"}),
        ('h,path_beg=/a"x"b O', {"path_beg": b"/axb"}),
        ('h,"path_beg=/q" O', {"path_beg": b"/q"}),
        (r'h,path_beg="/a\"b" O', {"path_beg": b'/a"b'}),
        (r'h,path_beg="/a\\b" O', {"path_beg": rb"/a\b"}),
        ('"h" O', {}),
        ('"a=b" O', {"domain": None}),
        ("h,nosuch=1 O", {}),
        ("h,PROTO=ws O", {}),
        ("h,proto=http,proto=ws O", {"proto": "ws"}),
        ("h,proto=ftp,proto=ws O", {"proto": "ws"}),
        ("h,path_beg=/1,path_beg=/2 O", {"path_beg": b"/2"}),
        ("h,header=X-A:1,header=X-B: O", {"headers": ((b"X-A", b"1"), (b"X-B", b""))}),
        ('h,header="X:  y z " O', {"headers": ((b"X", b"y z "),)}),
        ("h,path_rem=abc O", {}),
        ("h,replace_beg=/v2 O", {"replace_beg": b"/v2"}),
        ("h,path_beg=/o,replace_beg=/n O", {"path_beg": b"/o", "replace_beg": b"/n"}),
        ("h,path_beg=/o,replace_beg= O", {"path_beg": b"/o", "replace_beg": b""}),
        ("A.test O", {"domain": "a.test"}),
        ("*.a.test O", {"domain": "*.a.test"}),
        ("a.test:8080 O", {"domain": "a.test:8080"}),
        ("::1 O", {"domain": "::1"}),
        ("[::1] O", {"domain": "::1"}),
        ("h,no_grip O", {"no_grip": True}),
        ("h,prefix=app1- O", {"prefix": "app1-"}),
        (
            "h,sig_iss=iss,sig_key=base64:AAEC O",
            {"sig_iss": "iss", "sig_key": KeySource("base64", b"\0\1\2")},
        ),
        (
            "h,aco,jsonp_cb=cb,jsonp_defcb=f,jsonp_body=b O",
            {"aco": True, "jsonp_cb": b"cb", "jsonp_defcb": b"f", "jsonp_body": b"b"},
        ),
        (
            "h,sockjs=/sock,sockjs_as_path=/ws O",
            {"sockjs": b"/sock", "sockjs_as_path": b"/ws"},
        ),
        ("h,as_host=b.test:8080 O", {"as_host": b"b.test:8080"}),
        ("h,log_level=1 O", {"log_level": 1}),
        ("h,log_level=x O", {"log_level": 0}),
    ],
)
def test_a_line_means(text, meaning):
    assert said(parse(text)) == meaning


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a.test test,#x", "expecting prop"),
        ("a.test\ttest", "must specify condition and at least one target"),
        ("a.test", "must specify condition and at least one target"),
        ("a.test,id=x", "must specify condition and at least one target"),
        ("", "must specify condition and at least one target"),
        ("*,proto=ftp O", "proto must be set to 'http' or 'ws'"),
        ("*,proto O", "proto must be set to 'http' or 'ws'"),
        ("*,ssl=true O", "ssl must be set to 'yes' or 'no'"),
        ("*,ssl O", "ssl must be set to 'yes' or 'no'"),
        ("a.test,path_beg= O", "path_beg cannot be empty"),
        ("a.test,path_beg O", "path_beg cannot be empty"),
        (r'a.test,path_beg="/a\nb" O', "unexpected escape character: n"),
        ('a.test,path_beg="/a O', "unterminated quoted section"),
        ('a.test,path_beg="/a\\', "unterminated escape sequence"),
        ("a.test,=v O", "empty prop name"),
        ("a.test,,id=x O", "expecting prop"),
        ("a.test, O", "expecting prop"),
        ("a.test 127.0.0.1", "target bad format"),
        ("a.test 127.0.0.1:", "target invalid port"),
        ("a.test 127.0.0.1:0", "target invalid port"),
        ("a.test 127.0.0.1:65536", "target invalid port"),
        ("a.test 127.0.0.1:-1", "target invalid port"),
        ("a.test 127.0.0.1:80x", "target invalid port"),
        ("a.test 127.0.0.1:\u0668\u0660", "target invalid port"),
        ("a.test a:b:80", "target invalid port"),
        ("a.test unix:path", "target invalid port"),
        ("a.test :80", "target bad format"),
        ("a.test ::1", "target bad format"),
        ("a.test [::1]", "target bad format"),
        ("a.test [::1]80", "target bad format"),
        ("a.test [::1:80", "target bad format"),
        ("a.test [a.test]:80", "target bad format"),
        ("a.test [::1%\0]:80", "target bad format"),
        ("a.test [::1]:0", "target invalid port"),
        ('a.test "a b:80"', "target bad format"),
        ("a.test a\0b:80", "target bad format"),
        ("a.test unix:/a\0b", "target bad format"),
        ("a.test ,ssl", "target bad format"),
        (
            "a.test http://127.0.0.1:80",
            'target invalid port; write host:port, and ",ssl" for https',
        ),
        ("a.test O bad", "target bad format"),
        ("a.test O \\", "target bad format"),
        ("a.test TEST", "target bad format"),
        ("a.test host=foo", "expecting prop"),
        ("a.test zhttp/ipc:///run/zh", "zhttp targets are not supported yet"),
        ("a.test zhttpreq/tcp://127.0.0.1:10000", "zhttp targets are not supported yet"),
        ("a.test,header O", "header must use format 'name:value'"),
        ("a.test,header=X O", "header must use format 'name:value'"),
        ("a.test,header=:x O", "header must use format 'name:value'"),
        ('a.test,header="X Y:z" O', "header must use format 'name:value'"),
        ("a.test,header=X:a\rb O", "header must use format 'name:value'"),
        ("a.test,jsonp_mode=foo O", "jsonp_mode must be set to 'basic' or 'extended'"),
        (
            "a.test,sig_key=file:none O",
            "sig_key: failed to open etc/none: No such file or directory",
        ),
        ("a.test,sig_key=base64:! O", "sig_key: base64: what follows is not base64"),
        ("a.test O,client_cert=none", "failed to open etc/none: No such file or directory"),
        ("a.test O,client_key=/none", "failed to open /none: No such file or directory"),
        ("a.test,cache,purge O", "purge must be set to 'channel'"),
        ("a.test,cache,purge=all O", "purge must be set to 'channel'"),
        ('a.test,as_host="a b" O', "as_host cannot contain blanks or control characters"),
        ("a.test,replace_beg=/\r O", "replace_beg cannot contain blanks or control characters"),
        ('a.test O,host=" a"', "host cannot contain blanks or control characters"),
        ("a\udc80.test O", "the line is not UTF-8"),
    ],
)
def test_a_line_is_refused(text, error):
    assert refused(text) == error


# The condition


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("t.test O", "t.test,*,*,*"),
        ("* O", "*,*,*,*"),
        ("id= O", "*,*,*,*"),
        ("T.test,proto=ws,ssl=yes,path_beg=/a O", "t.test,ws,ssl,/a"),
        ("[::1],proto=http,ssl=no O", "::1,http,no-ssl,*"),
    ],
)
def test_a_line_without_id_gets_one_of_its_condition(text, made):
    route = parse(text)
    assert (route.id, route.explicit_id) == (made, False)


def test_an_id_that_is_given_is_explicit():
    route = parse("h,id=x O")
    assert (route.id, route.explicit_id) == ("x", True)


def test_a_line_knows_its_place_and_its_text():
    route = parse("h test")
    assert (route.place, route.source) == ("etc/routes:7", "h test")


@pytest.mark.parametrize("flag", ["no_grip", "orig_headers", "debug", "aco", "cache", "session"])
def test_a_flag_is_on_whatever_its_value(flag):
    assert all(getattr(parse(f"h,{flag}{value} O"), flag) for value in ("", "=", "=1", "=off"))


@pytest.mark.parametrize("value", ["no", "No", "false", "0"])
def test_a_flag_with_a_value_of_no_is_off_with_a_warning(value):
    assert not parse(f"h,session={value} O").session
    assert warnings(f"h,session={value} O") == [f'"session={value}" is read as off; leave it out']


def test_the_last_value_of_a_flag_counts():
    assert parse("h,debug=no,debug O").debug


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("5", 5),
        ("+5", 5),
        ("007", 7),
        ("-5", 0),
        ("", 0),
        ("5x", 0),
        ("2147483647", 2147483647),
        ("2147483648", 0),
        ("9" * 5000, 0),
        ("0" * 5000 + "1", 1),
    ],
)
def test_a_number_of_bytes_is_one_or_none(written, number):
    assert parse(f"h,path_rem={written} O").path_rem == number


def test_a_log_level_is_not_set_unless_given():
    assert parse("h O").log_level is None


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ("", b"GET"),
        (",jsonp_mode=extended", b"GET"),
        (",jsonp_mode=basic", b"POST"),
        (",jsonp_mode=basic,jsonp_defmethod=PUT", b"PUT"),
    ],
)
def test_the_default_method_of_json_p_depends_on_its_mode(options, method):
    assert parse(f"h{options} O").jsonp_defmethod == method


def test_of_headers_with_one_name_the_first_stays_and_the_order_is_that_of_the_line():
    route = parse("h,header=A:1,header=B:2,header=a:3 O")
    assert route.headers == ((b"A", b"1"), (b"B", b"2"))


def test_a_header_of_the_first_name_may_remove_only():
    assert parse("h,header=X:,header=X:1 O").headers == ((b"X", b""),)


def test_only_the_first_colon_of_a_header_splits():
    assert parse("h,header=X:a:b O").headers == ((b"X", b"a:b"),)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("changeme", KeySource("text", b"changeme")),
        ("file:hex", KeySource("hex", b"\0\1")),
        ("file:/abs/hex", KeySource("hex", b"\2")),
        ("", None),
    ],
)
def test_a_key_is_kept_as_text_and_as_what_it_names(text, key):
    route = parse(f"h,sig_key={text} O")
    assert (route.sig_key_text, route.sig_key) == (text, key)


def test_a_key_is_not_shown():
    assert "changeme" not in repr(parse("h,sig_key=changeme O"))


def test_purge_by_channel_is_a_flag_of_the_route():
    assert parse("h,cache,purge=channel O").purge_channel
    assert not parse("h,cache O").purge_channel


# Targets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:080", Target(kind="tcp", host="127.0.0.1", port=80)),
        ("127.0.0.1:+80", Target(kind="tcp", host="127.0.0.1", port=80)),
        ("h:" + "0" * 5000 + "80", Target(kind="tcp", host="h", port=80)),
        ("unix:80", Target(kind="tcp", host="unix", port=80)),
        ("[::1]:80", Target(kind="tcp", host="::1", port=80)),
        ("unix:/run/app.sock", Target(kind="unix", host="/run/app.sock")),
        ('"unix:/run/a b"', Target(kind="unix", host="/run/a b")),
        ("test", TEST),
        ("h:443,ssl", Target(kind="tcp", host="h", port=443, ssl=True)),
        ("h:443,ssl=no", Target(kind="tcp", host="h", port=443)),
        (
            "10.0.0.5:443,ssl,host=api.test",
            Target(kind="tcp", host="10.0.0.5", port=443, ssl=True, host_field=b"api.test"),
        ),
        (
            "h:443,ssl,trust_connect_host",
            Target(kind="tcp", host="h", port=443, ssl=True, trust_connect_host=True),
        ),
        (
            "h:443,ssl,insecure,untrusted",
            Target(kind="tcp", host="h", port=443, ssl=True, insecure=True, untrusted=True),
        ),
        ("O,sub=a,sub=,sub=b,sub=a", dataclasses.replace(O, subs=("a", "b"))),
        ("O,ipc_file_mode=99", O),
        ("O,ipc_file_mode=660", dataclasses.replace(O, ipc_file_mode=0o660)),
        ("O,host=x,host=y", dataclasses.replace(O, host_field=b"y")),
        ("O,host=", O),
        ("O,over_http", dataclasses.replace(O, over_http=True)),
        ("O,over_http,one_event", dataclasses.replace(O, over_http=True, one_event=True)),
        (
            "O,client_cert=c.pem,client_key=k.pem",
            dataclasses.replace(O, client_cert="etc/c.pem", client_key="etc/k.pem"),
        ),
        ("O,client_cert=,client_key=/abs/hex", dataclasses.replace(O, client_key="/abs/hex")),
    ],
)
def test_a_target_means(text, expected):
    assert target(text) == expected


def test_targets_are_kept_in_order():
    assert [str(each) for each in parse("a.test bad:1 O test").targets] == [
        "bad:1",
        "127.0.0.1:8000",
        "test",
    ]


# Warnings


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("\ta.test O", 'domain "\ta.test" never matches: no host has such a name'),
        ("a/b O", 'domain "a/b" never matches: no host has such a name'),
        ("[a.test] O", 'domain "[a.test]" never matches: no host has such a name'),
        ("*.a.test O", 'domain "*.a.test" never matches: there are no wildcards'),
        ("a.test:8080 O", 'domain "a.test:8080" never matches: hosts are compared without port'),
        ("[::1]:80 O", 'domain "[::1]:80" never matches: hosts are compared without port'),
        ("A.test O", 'domain "A.test" is read as "a.test"'),
        ("h,path_beg=x O", 'path_beg "x" never matches: paths begin with /'),
        (
            'h,path_beg="/a b" O',
            'path_beg "/a b" never matches: paths are compared percent-encoded',
        ),
        (
            "h,path_beg=/é O",
            'path_beg "/é" never matches: paths are compared percent-encoded',
        ),
        ("h,nosuch=1 O", 'unknown option "nosuch"'),
        ("h,path_bag=/x O", 'unknown option "path_bag"; did you mean "path_beg"?'),
        ("h,PROTO=ws O", 'unknown option "PROTO"; did you mean "proto"?'),
        ("h O,over-http", 'unknown option "over-http"; did you mean "over_http"?'),
        ("h,over_http O", 'unknown option "over_http" of the condition; it belongs to a target'),
        ("h O,debug", 'unknown option "debug" of a target; it belongs to the condition'),
        ("h O,ssl=no", '"ssl=no" is read as off; leave it out'),
        ("h,session O", "session is not supported"),
        ("h,purge=channel O", "purge has no effect without cache"),
    ],
)
def test_an_odd_line_counts_with_a_warning(text, warning):
    assert warnings(text) == [warning]


@pytest.mark.parametrize(
    "text",
    [
        "* O",
        "a-b.test,path_beg=/a%20b;c=1/[x]~ O",
        "[2001:DB8::1] O",
        "::1 O",
        "127.0.0.1 O",
        "id=x O",
        "h,cache,purge=channel O",
        "h,session=no O,ssl=0",
    ],
)
def test_an_ordinary_line_has_no_warning(text):
    assert [warning for warning in warnings(text) if "is read as off" not in warning] == []


def test_the_warnings_of_all_sections_are_kept_in_order():
    assert warnings("H,x_y_z O,debug test,ssl=no") == [
        'unknown option "x_y_z"',
        'domain "H" is read as "h"',
        'unknown option "debug" of a target; it belongs to the condition',
        '"ssl=no" is read as off; leave it out',
    ]


# The tables


def test_the_names_that_are_used_are_known_for_each_line():
    route = parse("h,id=x,nosuch,debug=no O,sub=a test,ssl")
    assert route.parameters_used == {"id", "debug", "sub", "ssl"}


VALUES = {
    "proto": "=ws",
    "ssl": "=yes",
    "path_beg": "=/x",
    "jsonp_mode": "=basic",
    "header": "=X:y",
    "purge": "=channel",
    "client_cert": "=c.pem",
    "client_key": "=k.pem",
    "ipc_file_mode": "=600",
}


@pytest.mark.parametrize("name", routelines.ROUTE_PARAMETERS)
def test_every_parameter_of_the_table_changes_the_route(name):
    route = parse(f"h,{name}{VALUES.get(name, '=1')} O")
    assert said(route) or route.id == "1"
    assert route.parameters_used == {name}


@pytest.mark.parametrize("name", routelines.TARGET_PARAMETERS)
def test_every_parameter_of_the_table_changes_the_target(name):
    assert target(f"O,{name}{VALUES.get(name, '=1')}") != O


# Whatever comes

NAMES = st.sampled_from([*routelines.ROUTE_PARAMETERS, *routelines.TARGET_PARAMETERS])
PROPS = st.tuples(NAMES, st.text('01ax:/[]%"\\ \r\n\0é')).map("=".join)
SECTIONS = st.tuples(st.text("ab:/[]*.1"), st.lists(PROPS, max_size=3)).map(
    lambda section: ",".join([section[0], *section[1]])
)


@given(st.one_of(st.text(), st.text(st.characters()), st.lists(SECTIONS).map(" ".join)))
def test_no_line_raises_anything_else(text):
    try:
        route = routelines.parse_line(text, "etc/routes", 1, read)
    except RouteError:
        return
    assert route.targets


@given(st.lists(PROPS, max_size=4), st.lists(PROPS, max_size=4))
def test_what_goes_into_a_head_cannot_break_it(condition, target):
    def quoted(props):
        return [
            '"' + prop.replace("\\", r"\\").replace('"', r"\"").replace("\n", "") + '"'
            for prop in props
        ]

    text = ",".join(["h", *quoted(condition)]) + " " + ",".join(["o:1", *quoted(target)])
    try:
        route = routelines.parse_line(text, "etc/routes", 1, read)
    except RouteError:
        return
    sent = [route.as_host, route.replace_beg or b"", route.sockjs_as_path, route.jsonp_defmethod]
    sent += [each.host_field for each in route.targets]
    assert not any(byte <= 0x20 or byte == 0x7F for text in sent for byte in text)
    assert not any(byte in b"\r\n\0" for pair in route.headers for text in pair for byte in text)

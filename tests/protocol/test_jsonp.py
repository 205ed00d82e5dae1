"""JSON-P."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RequestError
from gripproxy.protocol import jsonp
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.jsonp import Jsonp
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route

EXTENDED = Jsonp(b"cb", basic=False)
BASIC = Jsonp(b"cb", basic=True)


def route(**options):
    return Route(targets=(), domain="*", id="r", **options)


def read(query, fields=(), method=b"GET", websocket=False, **options):
    request = Request(
        method=method,
        target=b"/p?" + query,
        headers=Headers(fields),
        websocket=websocket,
        peer="1.2.3.4",
    )
    return jsonp.read(request, route(**options))


def meant(query, fields=(), **options):
    return read(query, fields, **options)[1]


def error_of(query, **options):
    with pytest.raises(RequestError) as caught:
        read(query, **options)
    assert caught.value.status == 400
    return caught.value.text


# Whether


@pytest.mark.parametrize(
    ("query", "options"),
    [
        (b"a=b", {}),
        (b"Callback=f", {}),
        (b"callback=f", {"jsonp_cb": b"cb"}),
        (b"body=1", {"jsonp_body": b"body"}),
        (b"body=1", {"jsonp_defcb": b"f"}),
        (b"a=b", {"jsonp_defcb": b"f", "jsonp_body": b"body"}),
        (b"callback=f", {"method": b"POST"}),
        (b"callback=f", {"websocket": True}),
    ],
)
def test_an_ordinary_request_is_none(query, options):
    assert read(query, **options) is None


def test_a_request_without_a_query_is_none():
    request = Request(method=b"GET", target=b"/callback=f", headers=Headers())
    assert jsonp.read(request, route()) is None


@pytest.mark.parametrize(
    ("query", "options", "found"),
    [
        (b"callback=f", {}, Jsonp(b"f", basic=False)),
        (b"a&callback=f.g[0]&callback=h", {}, Jsonp(b"f.g[0]", basic=False)),
        (b"c%61llback=%24f%5B%27a%27%5D", {}, Jsonp(b"$f['a']", basic=False)),
        (b"cb=f", {"jsonp_cb": b"cb", "jsonp_mode": "basic"}, Jsonp(b"f", basic=True)),
        (b"b=1", {"jsonp_defcb": b"d", "jsonp_body": b"b"}, Jsonp(b"d", basic=False)),
        (b"b=1&callback=f", {"jsonp_defcb": b"d", "jsonp_body": b"b"}, Jsonp(b"f", basic=False)),
    ],
)
def test_a_callback_makes_jsonp(query, options, found):
    assert read(query, **options)[0] == found


@pytest.mark.parametrize(
    "callback", [b"", b"alert(1);x", b"a b", b"a+b", b"\xc3\xa9", b"x" * 257, b"%0A", b"%3Cb%3E"]
)
def test_a_callback_is_a_name(callback):
    assert error_of(b"callback=" + callback) == "Invalid callback parameter."


def test_an_empty_callback_is_none_of_the_default():
    text = error_of(b"callback&b=1", jsonp_defcb=b"d", jsonp_body=b"b")
    assert text == "Invalid callback parameter."


# What


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (b"callback=f", b"/p"),
        (b"a=1&callback=f&&b=%20&callback=g&_method=PUT&_headers={}&_body=x", b"/p?a=1&&b=%20"),
        (b"callback=f&a?b", b"/p?a?b"),
    ],
)
def test_the_query_loses_what_was_for_the_proxy(query, target):
    assert meant(query).target == target


def test_a_parameter_for_the_body_makes_the_other_one_ordinary():
    asked = meant(b"callback=f&_body=x&b=y", jsonp_body=b"b")
    assert (asked.target, asked.body) == (b"/p?_body=x", b"y")


@pytest.mark.parametrize(
    ("query", "options", "method"),
    [
        (b"", {}, b"GET"),
        (b"", {"jsonp_mode": "basic"}, b"POST"),
        (b"", {"jsonp_defmethod": b"PUT"}, b"PUT"),
        (b"&_method=delete", {"jsonp_defmethod": b"PUT"}, b"delete"),
        (b"&_method=A&_method=B", {}, b"A"),
    ],
)
def test_the_method_is_told(query, options, method):
    assert meant(b"callback=f" + query, **options).method == method


@pytest.mark.parametrize("method", [b"", b"a%20b", b"%00", b"\xff", b"A%0D%0AB", b"CONNECT"])
def test_a_method_is_a_token(method):
    assert error_of(b"callback=f&_method=" + method) == "Invalid _method parameter."


CLIENT = [(b"Host", b"h:1"), (b"Accept", b"x/y"), (b"User-Agent", b"u"), (b"X-B", b"own")]


def test_fields_are_told():
    told = b'{"X-B":"2","X-A":"\xc3\xa9","HOST":"evil","accept":"z"}'
    assert list(meant(b"callback=f&_headers=" + told, CLIENT).headers) == [
        (b"X-A", b"\xc3\xa9"),
        (b"X-B", b"2"),
        (b"Host", b"h:1"),
        (b"Accept", b"*/*"),
        (b"User-Agent", b"u"),
        (b"X-B", b"own"),
    ]


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"x",
        b"[]",
        b'"x"',
        b'{"A":1}',
        b'{"A":null}',
        b'{"":"x"}',
        b'{"a b":"x"}',
        b'{"A":"x\\r\\nB: y"}',
        b'{"A":"\\u0000"}',
        b'{"Connection":"x"}',
        b'{"transfer-encoding":"chunked"}',
        b'{"Content-Length":"5"}',
        b'{"Upgrade":"x"}',
        b'{"TE":"trailers"}',
        b'{"Expect":"100-continue"}',
    ],
)
def test_fields_must_do(told):
    query = b"callback=f&_headers=" + told
    assert error_of(query) == "Invalid _headers parameter."


def test_a_body_is_told():
    asked = meant(b"callback=f&_body=a+b%20%C3%A9%zz%", [(b"Content-Length", b"7")])
    assert asked.body == b"a+b \xc3\xa9%zz%"
    assert asked.length == len(asked.body)
    assert asked.headers == Headers([(b"Accept", b"*/*")])


def test_a_body_of_its_own_parameter_is_json():
    client = [*CLIENT, (b"Content-Type", b"text/x")]
    query = b'callback=f&b={}&_headers={"content-type":"text/y","X":"1"}'
    asked = meant(query, client, jsonp_body=b"b")
    assert list(asked.headers)[:3] == [
        (b"X", b"1"),
        (b"Content-Type", b"application/json"),
        (b"Host", b"h:1"),
    ]
    assert asked.headers.get_all(b"content-type") == [b"application/json"]


@pytest.mark.parametrize(
    ("query", "options", "text"),
    [
        (b"&_body=", {}, "Invalid _body parameter."),
        (b"&_body", {}, "Invalid _body parameter."),
        (b"&b=", {"jsonp_body": b"b"}, "Invalid body parameter."),
    ],
)
def test_a_body_is_not_empty(query, options, text):
    assert error_of(b"callback=f" + query, **options) == text


def test_what_is_not_told_stays():
    asked = meant(b"callback=f")
    assert (asked.peer, asked.body, asked.length) == ("1.2.3.4", b"", 0)


@given(
    st.lists(
        st.sampled_from([b"callback=f", b"_method=", b"_headers=", b"{}", b"&", b"%", b"\xff"])
    )
)
def test_any_query_is_read_or_an_error(pieces):
    try:
        found = read(b"".join(pieces))
    except RequestError:
        return
    left = [] if found is None else found[1].target.partition(b"?")[2].split(b"&")
    assert not any(part.startswith(b"callback=") for part in left)


# Answers


def response(*fields, status=201, reason=b"Created", body=b""):
    return Response(
        status=status, reason=reason, headers=Headers(fields), body=body, length=len(body)
    )


FIELDS = [(b"X-A", b"1"), (b"Content-Type", b"text/plain")]


def script(content, name=b"cb"):
    start, end = b"/**/" + name + b"(", b");\n"
    assert content.startswith(start)
    assert content.endswith(end)
    return content[len(start) : -len(end)]


def test_a_relayed_response_is_wrapped_whole():
    answer = jsonp.whole(EXTENDED, response(*FIELDS), b'a"\n')
    assert answer.body == (
        b'/**/cb({"code": 201, "reason": "Created", '
        b'"headers": {"Content-Length":"3","Content-Type":"text/plain","X-A":"1"}, '
        b'"body": "a\\"\\n"});\n'
    )
    assert (answer.status, answer.reason, answer.length) == (200, b"OK", len(answer.body))


@pytest.mark.parametrize("wrap", [jsonp.whole, lambda *about: jsonp.streamed(*about[:2])[0]])
def test_the_answer_is_a_script_that_may_be_cached_as_the_response(wrap):
    caching = (b"Cache-Control", b"max-age=5")
    answer = wrap(EXTENDED, response(*FIELDS, caching, (b"ETag", b"x")), b"")
    assert list(answer.headers) == [
        (b"Content-Type", b"application/javascript"),
        caching,
        (b"X-Content-Type-Options", b"nosniff"),
    ]


def test_the_first_value_of_a_relayed_name_counts():
    told = response((b"b", b"1"), (b"X-A", b"\xff"), (b"x-a", b"3"), (b"content-length", b"9"))
    made = json.loads(script(jsonp.whole(EXTENDED, told, b"x").body))
    assert list(made["headers"].items()) == [
        ("Content-Length", "1"),
        ("X-A", "\ufffd"),
        ("b", "1"),
    ]


def test_a_released_hold_is_wrapped():
    answer = jsonp.held(
        EXTENDED, response(*FIELDS, (b"x-a", b"2"), status=202, reason=b"Accepted"), b"x/\xff"
    )
    assert answer.body == (
        b'/**/cb({"body":"x/\xef\xbf\xbd","code":202,'
        b'"headers":{"Content-Type":"text/plain","X-A":"1, 2"},"reason":"Accepted"});\n'
    )


def test_a_released_hold_keeps_its_fields():
    told = response(*FIELDS, (b"ETag", b"x"), (b"Content-Length", b"5"))
    answer = jsonp.held(EXTENDED, told, b"")
    assert list(answer.headers) == [
        (b"X-A", b"1"),
        (b"ETag", b"x"),
        (b"Content-Type", b"application/javascript"),
        (b"X-Content-Type-Options", b"nosniff"),
    ]
    assert "Content-Length" not in json.loads(script(answer.body))["headers"]


@pytest.mark.parametrize("wrap", [jsonp.whole, jsonp.held])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"a":1}', b'{"a":1}'),
        (b"[1]\n", b"[1]"),
        (b"[1]\r\n", b"[1]"),
        (b"[1]\n\n", b"[1]\n"),
        (b"[1]\r", b"[1]\r"),
        (b"", b""),
        (b"\n", b""),
        (b'"\xe2\x80\xa8\xe2\x80\xa9\xff"', b'"\\u2028\\u2029\xef\xbf\xbd"'),
    ],
)
def test_basic_wraps_the_body_alone(wrap, body, text):
    assert script(wrap(BASIC, response(), body).body) == text


@pytest.mark.parametrize("wrap", [jsonp.whole, jsonp.held])
def test_strings_are_safe_in_a_script(wrap):
    body = 'é/\\\x01\u2028\u2029"'.encode()
    content = script(wrap(EXTENDED, response(), body).body)
    assert '"é/\\\\\\u0001\\u2028\\u2029\\""'.encode() in content


def pieces_of(how, pieces, length=None):
    told = response(*FIELDS)
    told.length = length
    head, made = jsonp.streamed(how, told)
    assert head.length is None
    return b"".join([made.begin(), *map(made.feed, pieces), made.end()])


def test_a_stream_of_unknown_length_tells_none():
    made = json.loads(script(pieces_of(EXTENDED, [])))
    assert made["headers"] == {"Content-Type": "text/plain", "X-A": "1"}


def test_a_stream_of_known_length_tells_it():
    made = json.loads(script(pieces_of(EXTENDED, [b"ab", b"c"], 3)))
    assert made["headers"]["Content-Length"] == "3"


@given(
    st.lists(
        st.binary(max_size=4)
        | st.sampled_from([b"\r", b"\n", b"\xe2\x80", b"\xa8", b"\xc3", b"\xa9", b'"', b"\\"])
    ),
    st.booleans(),
)
def test_pieces_are_wrapped_as_the_whole(pieces, basic):
    how = BASIC if basic else EXTENDED
    body = b"".join(pieces)
    assert pieces_of(how, pieces, len(body)) == jsonp.whole(how, response(*FIELDS), body).body


@given(st.binary())
def test_any_body_comes_back(body):
    text = body.decode("utf-8", "replace")
    assert json.loads(script(jsonp.whole(EXTENDED, response(), body).body))["body"] == text
    assert json.loads(script(jsonp.held(EXTENDED, response(), body).body))["body"] == text

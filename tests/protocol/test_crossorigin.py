"""Cross-origin resource sharing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import crossorigin
from gripproxy.protocol.headers import Headers

PLAIN = [
    (b"Access-Control-Allow-Methods", b"OPTIONS, HEAD, GET, POST, PUT, DELETE"),
    (b"Access-Control-Allow-Credentials", b"true"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Access-Control-Max-Age", b"3600"),
]


def fields(response=(), request=()):
    return list(crossorigin.with_fields(Headers(response), Headers(request)))


def test_fields_are_added_at_the_end_in_their_order():
    response = [(b"X-A", b"1"), (b"Content-Type", b"text/plain"), (b"x-a", b"2"), (b"Date", b"d")]
    request = [
        (b"Origin", b"http://a.example"),
        (b"Access-Control-Request-Method", b"PATCH"),
        (b"Access-Control-Request-Headers", b"x-one , ,X-Two"),
        (b"Access-Control-Request-Headers", b"three"),
    ]
    assert fields(response, request) == [
        *response,
        (b"Access-Control-Allow-Methods", b"PATCH"),
        (b"Access-Control-Allow-Headers", b"x-one, X-Two, three"),
        (b"Access-Control-Expose-Headers", b"X-A, Date"),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Allow-Origin", b"http://a.example"),
        (b"Access-Control-Max-Age", b"3600"),
        (b"Vary", b"Origin"),
    ]


@pytest.mark.parametrize(
    "request_fields",
    [[], [(b"Origin", b"")], [(b"Access-Control-Request-Headers", b" , ")]],
)
def test_what_is_not_asked_has_its_default(request_fields):
    assert fields([], request_fields) == PLAIN


def test_an_origin_of_null_is_echoed():
    added = fields([], [(b"Origin", b"null")])
    assert (b"Access-Control-Allow-Origin", b"null") in added


@pytest.mark.parametrize(
    "name",
    [
        b"Cache-Control",
        b"content-language",
        b"Content-Length",
        b"Content-Type",
        b"Expires",
        b"Last-Modified",
        b"Pragma",
        b"Access-Control-Foo",
        b"Grip-Foo",
    ],
)
def test_some_fields_are_not_exposed(name):
    assert fields([(name, b"x")]) == [(name, b"x"), *PLAIN]


@pytest.mark.parametrize(
    "name",
    [
        b"access-control-allow-methods",
        b"Access-Control-Allow-Headers",
        b"Access-Control-Expose-Headers",
        b"Access-Control-Allow-Credentials",
        b"Access-Control-Allow-Origin",
        b"Access-Control-Max-Age",
    ],
)
def test_what_the_response_has_stays_alone(name):
    request = [(b"Origin", b"o"), (b"Access-Control-Request-Headers", b"x")]
    made = Headers(fields([(name, b"own"), (b"X-A", b"")], request))
    assert made.get_all(name.lower()) == [b"own"]


@pytest.mark.parametrize("value", [b"Origin", b"accept, ORIGIN", b"*"])
def test_vary_is_not_doubled(value):
    made = Headers(fields([(b"Vary", value)], [(b"Origin", b"o")]))
    assert made.get_all(b"vary") == [value]


def test_vary_is_added_to_another_one():
    made = Headers(fields([(b"Vary", b"Accept")], [(b"Origin", b"o")]))
    assert made.get_all(b"vary") == [b"Accept", b"Origin"]


def test_an_origin_that_is_not_echoed_varies_nothing():
    made = Headers(fields([(b"Access-Control-Allow-Origin", b"*")], [(b"Origin", b"o")]))
    assert not made.has(b"vary")


NAMES = st.sampled_from([b"Origin", b"Vary", b"X-A", b"Access-Control-Request-Headers", b"date"])
PAIRS = st.lists(st.tuples(NAMES, st.binary(max_size=10)))


@given(PAIRS, PAIRS)
def test_any_fields_are_kept_in_front(response, request):
    assert fields(response, request)[: len(response)] == response

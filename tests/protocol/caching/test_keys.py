"""The key of a stored response: cache-and-purge.md, *The key*."""

from dataclasses import replace

import pytest

from gripproxy.protocol.caching import keys
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request
from gripproxy.protocol.routes import Route, Target

TARGET = Target(kind="tcp", host="h", port=80)
ROUTE = Route(domain="*", id="r", targets=(TARGET,), file="routes", line=1)


def key(*pairs, target=b"/a?b=c", authority=b"example.com", scheme=b"http", line=b"line"):
    client = Request(
        method=b"GET", target=target, headers=Headers(), scheme=scheme, authority=authority
    )
    return keys.of(line, client, Headers(pairs))


def test_equal_requests_have_equal_keys():
    assert key() == key()
    assert hash(key()) == hash(key())


def test_a_host_is_spelled_in_many_ways():
    assert key(authority=b"EXAMPLE.com:80") == key()
    assert key(authority=b"example.com:443", scheme=b"https") == key(scheme=b"https")


@pytest.mark.parametrize(
    "other",
    [
        {"target": b"/a?b=d"},
        {"target": b"/a"},
        {"target": b"/A?b=c"},
        {"authority": b"example.org"},
        {"authority": b"example.com:8080"},
        {"scheme": b"https"},
        {"line": b"other"},
    ],
)
def test_other_requests_have_other_keys(other):
    assert key(**other) != key()


def test_order_means_something_in_a_query():
    assert key(target=b"/?a&b") != key(target=b"/?b&a")


def test_most_fields_mean_nothing():
    assert key((b"Accept", b"x"), (b"Cookie", b"a=b"), (b"X-Forwarded-For", b"::1")) == key()


@pytest.mark.parametrize("name", sorted(keys.STEERING))
def test_fields_that_steer_applications_have_their_own_key(name):
    assert key((name.upper(), b"x")) != key()
    assert key((name, b"x")) == key((name.upper(), b"x"))
    assert key((name, b"x")) != key((name, b"y"))
    assert key((name, b"")) != key()


def test_positions_have_their_own_key_in_any_order():
    one, two = (b"Grip-Last", b"a; last-id=1"), (b"Grip-Last", b"b; last-id=2")
    assert key(one) != key()
    assert key(one, two) == key(two, one)
    assert key(one) != key(two)
    assert key(one, (b"X-Host", b"x")) != key(one)


# Routes


def test_a_line_is_what_it_makes_of_requests():
    again = replace(ROUTE, id="other", file="routes.new", line=7, debug=True)
    assert keys.line_of(again) == keys.line_of(ROUTE)


@pytest.mark.parametrize(
    "change",
    [
        {"targets": (replace(TARGET, host="other"),)},
        {"targets": (TARGET, TARGET)},
        {"targets": (replace(TARGET, host_field=b"x"),)},
        {"prefix": "p"},
        {"no_grip": True},
        {"sig_iss": "i"},
        {"sig_key_text": "k"},
        {"as_host": b"h"},
        {"path_beg": b"/"},
        {"path_rem": 1},
        {"replace_beg": b""},
        {"orig_headers": True},
        {"headers": ((b"a", b"b"),)},
        {"purge_channel": True},
    ],
)
def test_a_line_that_makes_other_requests_is_another_one(change):
    assert keys.line_of(replace(ROUTE, **change)) != keys.line_of(ROUTE)

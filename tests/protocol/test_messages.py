"""Messages as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response, has_body, split_authority


def request(**changes):
    return Request(**{"method": b"GET", "target": b"/", "headers": Headers()} | changes)


def test_a_request_has_no_body_unless_it_is_given_one():
    plain = request()
    assert (plain.body, plain.length) == (b"", 0)


def test_a_response_has_no_body_unless_it_is_given_one():
    plain = Response(status=200, reason=b"OK", headers=Headers())
    assert (plain.body, plain.length) == (b"", 0)


def test_the_host_is_without_port_in_lower_case():
    assert request(authority=b"Example.COM:8080").host == b"example.com"


@pytest.mark.parametrize("target", [b"/a/b?c=d?e", b"/a/b"])
def test_the_path_is_without_query(target):
    assert request(target=target).path == b"/a/b"


@pytest.mark.parametrize(
    ("scheme", "websocket", "uri"),
    [
        (b"http", False, b"http://h:1/p?q"),
        (b"https", False, b"https://h:1/p?q"),
        (b"http", True, b"ws://h:1/p?q"),
        (b"https", True, b"wss://h:1/p?q"),
    ],
)
def test_the_uri_is_absolute(scheme, websocket, uri):
    asked = request(scheme=scheme, websocket=websocket, authority=b"h:1", target=b"/p?q")
    assert asked.uri == uri


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        (b"h", b"h", None),
        (b"H:80", b"h", 80),
        (b"h:", b"h", None),
        (b"h:0080", b"h", 80),
        (b"h:65535", b"h", 65535),
        (b"h:65536", b"h", None),
        (b"h:x", b"h", None),
        (b"h:" + b"9" * 5000, b"h", None),
        (b"[::1]", b"::1", None),
        (b"[::1]:8080", b"::1", 8080),
        (b"[FE80::A]:", b"fe80::a", None),
        (b"", b"", None),
        (b":80", b"", 80),
    ],
)
def test_an_authority_is_a_host_and_a_port(authority, host, port):
    assert split_authority(authority) == (host, port)


@given(st.binary())
def test_any_authority_is_split(authority):
    host, port = split_authority(authority)
    assert host == host.lower()
    assert port is None or 0 <= port <= 65535


@pytest.mark.parametrize(
    ("method", "status"),
    [(b"HEAD", 200), (b"GET", 204), (b"GET", 304), (b"GET", 101), (b"POST", 100)],
)
def test_some_responses_have_no_body(method, status):
    assert not has_body(method, status)


@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"POST", 500), (b"GET", 205)])
def test_other_responses_have_one(method, status):
    assert has_body(method, status)

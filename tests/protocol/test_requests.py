"""From a head to a request: proxying.md 2, websockets.md 1.1; RFC 9112 3, 6.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RequestError
from gripproxy.protocol import requests
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request

HOST = (b"Host", b"a.test")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
TOKEN = b"!#$%&'*+-.^_`|~09azAZ"


def made(
    *pairs: tuple[bytes, bytes],
    method: bytes = b"GET",
    target: bytes = b"/",
    version: int = 1,
    host: bool = True,
    **named,
) -> Request:
    headers = Headers([HOST, *pairs] if host else pairs)
    named = {"secure": False, "peer": "192.0.2.1"} | named
    return requests.request(method, target, version, headers, **named)


def refusal(*pairs: tuple[bytes, bytes], **named) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        made(*pairs, **named)
    return caught.value.status, caught.value.text.removeprefix("Failed to parse request: ")


# Start lines


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"GET / HTTP/1.1", (b"GET", b"/", 1)),
        (b"get /a?b HTTP/1.0", (b"get", b"/a?b", 0)),
        (b"OPTIONS * HTTP/1.1", (b"OPTIONS", b"*", 1)),
        (TOKEN + b" http://a/ HTTP/1.1", (TOKEN, b"http://a/", 1)),
    ],
)
def test_a_start_line_has_a_method_a_target_and_a_version(line, parts):
    assert requests.start_line(line) == parts


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        (b"", 400, "invalid token"),
        (b"GET", 400, "invalid token"),
        (b"GET /", 400, "invalid token"),
        (b"G@T / HTTP/1.1", 400, "invalid token"),
        (b" GET / HTTP/1.1", 400, "invalid token"),
        (b"GET  / HTTP/1.1", 400, "invalid token"),
        (b"GET /  HTTP/1.1", 400, "invalid token"),
        (b"GET / x HTTP/1.1", 400, "invalid token"),
        (b"GET / HTTP/1.1 ", 400, "invalid token"),
        (b"GET\t/ HTTP/1.1", 400, "invalid token"),
        (b"GET /\xe9 HTTP/1.1", 400, "invalid token"),
        (b"GET /\x00 HTTP/1.1", 400, "invalid token"),
        (b"GET /\r HTTP/1.1", 400, "invalid token"),
        (b"GET / HTTP/1.2", 400, "invalid HTTP version"),
        (b"GET / HTTP/0.9", 400, "invalid HTTP version"),
        (b"GET / http/1.1", 400, "invalid HTTP version"),
        (b"GET / HTTP/1.10", 400, "invalid HTTP version"),
        (b"GET / RTSP/1.0", 400, "invalid HTTP version"),
        (b"GET / HTTP/1.1\r", 400, "invalid HTTP version"),
        (b"GET / HTTP/2.0", 505, "invalid HTTP version"),
        (b"GET / HTTP/3.1", 505, "invalid HTTP version"),
    ],
)
def test_another_start_line_is_refused(line, status, text):
    with pytest.raises(RequestError) as caught:
        requests.start_line(line)
    assert caught.value.status == status
    assert caught.value.text == f"Failed to parse request: {text}"


@given(st.binary(max_size=40))
def test_any_line_is_read_or_refused(line):
    try:
        method, target, _ = requests.start_line(line)
    except RequestError:
        return
    assert line.startswith(method + b" " + target + b" HTTP/1.")


# Requests


def test_a_request_is_what_its_head_says():
    request = made((b"X-A", b"1"), method=b"POST", target=b"/a?b", version=0, secure=True)
    assert (request.method, request.target, request.version) == (b"POST", b"/a?b", 0)
    assert (request.scheme, request.authority, request.peer) == (b"https", b"a.test", "192.0.2.1")
    assert list(request.headers) == [HOST, (b"X-A", b"1")]
    assert (request.length, request.body, request.websocket) == (0, b"", False)


def test_a_hundred_fields_are_taken_and_no_more():
    fields = [(b"X-A", b"1")] * 99
    assert len(made(*fields).headers) == 100
    assert refusal(*fields, (b"X-A", b"1")) == (431, "too many headers")


# Lengths


def length(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Content-Length", value) for value in values]


def coding(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Transfer-Encoding", value) for value in values]


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([], 0),
        (length(b"0"), 0),
        (length(b"17"), 17),
        (length(b"9223372036854775807"), 9223372036854775807),
        (coding(b"chunked"), None),
        (coding(b"Chunked"), None),
    ],
)
def test_the_length_of_a_body_is_told_in_one_way(pairs, found):
    assert made(*pairs).length == found


@pytest.mark.parametrize(
    "pairs",
    [
        length(b""),
        length(b"x"),
        length(b"-1"),
        length(b"+3"),
        length(b"3, 3"),
        length(b"3 "),
        length("\u0663".encode()),
        length(b"9223372036854775808"),
        length(b"99999999999999999999"),
        length(b"9" * 5000),
        length(b"3", b"3"),
        length(b"3", b"4"),
    ],
)
def test_another_length_is_refused(pairs):
    assert refusal(*pairs) == (400, "invalid content length")


@pytest.mark.parametrize(
    ("pairs", "version", "status"),
    [
        (coding(b"gzip"), 1, 501),
        (coding(b"gzip, chunked"), 1, 501),
        (coding(b""), 1, 501),
        (coding(b"identity"), 1, 501),
        (coding(b"chunked", b"chunked"), 1, 400),
        (coding(b"chunked") + length(b"3"), 1, 400),
        (coding(b"gzip") + length(b"3"), 1, 400),
        (coding(b"chunked"), 0, 400),
    ],
)
def test_another_coding_is_refused(pairs, version, status):
    assert refusal(*pairs, version=version) == (status, "unsupported transfer encoding")


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        b"a.test",
        b"A.Test:80",
        b"a.test:",
        b"a.test:65535",
        b"192.0.2.1:8080",
        b"[::1]",
        b"[::1]:80",
        b"a_b~c",
        b"xn--bcher-kva.example",
        b"x" * 300,
        b"",
    ],
)
def test_the_host_is_kept_as_it_was_sent(host):
    for _ in range(2):
        assert made((b"Host", host), host=False).authority == host


@pytest.mark.parametrize(
    "host",
    [
        b"a/x",
        b"u@a",
        b"a:x",
        b"a:65536",
        b"a:-1",
        b"a:" + b"9" * 5000,
        b"a b",
        b"a\xe9",
        b"[::1",
        b"[a]",
        b"[a]:80",
        b"::1",
        b"a?x",
        b"a#x",
        b"a\\b",
    ],
)
def test_what_is_no_host_is_refused(host):
    assert refusal((b"Host", host), host=False) == (400, "invalid Host")


def test_ever_new_hosts_do_not_fill_the_memory():
    for number in range(5000):
        host = b"h%d.test" % number
        assert made((b"Host", host), host=False).authority == host
    assert made().authority == b"a.test"


def test_two_hosts_are_refused():
    assert refusal(HOST) == (400, "more than one Host")


def test_http_1_0_needs_no_host():
    assert made(host=False, version=0).authority == b"localhost"
    assert refusal(host=False) == (400, "missing Host")


# Targets


@pytest.mark.parametrize(
    ("target", "sent_on"),
    [
        (b"/a/../b/./c//d;e", b"/a/../b/./c//d;e"),
        (b"/%zz%41", b"/%zz%41"),
        (b'/{}|^\\"`<>', b"/%7B%7D%7C%5E%5C%22%60%3C%3E"),
        (b"/a?b{", b"/a?b%7B"),
    ],
)
def test_a_target_keeps_all_but_what_no_uri_has(target, sent_on):
    assert made(target=target).target == sent_on


@pytest.mark.parametrize(
    ("method", "target", "host", "path"),
    [
        (b"GET", b"http://B.test/x?y", b"B.test", b"/x?y"),
        (b"GET", b"HTTPS://b.test:81", b"b.test:81", b"/"),
        (b"GET", b"http://b.test?y", b"b.test", b"/?y"),
        (b"GET", b"ws://[::1]:1/", b"[::1]:1", b"/"),
        (b"OPTIONS", b"http://b.test", b"b.test", b"*"),
        (b"OPTIONS", b"http://b.test/", b"b.test", b"/"),
        (b"OPTIONS", b"*", b"a.test", b"*"),
    ],
)
def test_a_target_may_be_more_than_a_path(method, target, host, path):
    request = made(method=method, target=target)
    assert (request.authority, request.target) == (host, path)


@pytest.mark.parametrize(
    ("named", "status", "text"),
    [
        ({"target": b"x"}, 400, "invalid token"),
        ({"target": b"*"}, 400, "invalid token"),
        ({"target": b"a:80"}, 400, "invalid token"),
        ({"target": b"ftp://a/"}, 400, "invalid token"),
        ({"target": b"http:///x"}, 400, "invalid token"),
        ({"target": b"http://u@a/"}, 400, "invalid Host"),
        ({"target": b"/x#f"}, 400, "invalid token"),
        ({"target": b"http://a/#f"}, 400, "invalid token"),
        ({"target": b"http://a#f"}, 400, "invalid token"),
        ({"target": b"a:80", "method": b"CONNECT"}, 501, "CONNECT is not supported."),
        ({"target": b"/", "method": b"CONNECT"}, 501, "CONNECT is not supported."),
    ],
)
def test_another_target_is_refused(named, status, text):
    assert refusal(**named) == (status, text)


# Expect


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_a_client_may_wait_for_100(value):
    assert made((b"Expect", value)).headers.has(b"expect")


@pytest.mark.parametrize("values", [(b"x",), (b"",), (b"100-continue", b"x")])
def test_nothing_else_can_be_expected(values):
    pairs = [(b"Expect", value) for value in values]
    assert refusal(*pairs) == (417, "Expectation not supported.")


# WebSockets

HANDSHAKE = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", KEY),
)


def test_a_handshake_is_one():
    assert made(*HANDSHAKE).websocket


def test_a_broken_handshake_is_refused():
    assert refusal(*HANDSHAKE, method=b"POST")[0] == 400
    assert refusal(*HANDSHAKE[:2], *HANDSHAKE[3:])[0] == 426


@pytest.mark.parametrize(
    "pairs", [HANDSHAKE[:1], [(b"Upgrade", b"h2c"), (b"Connection", b"Upgrade")]]
)
def test_another_upgrade_is_a_request(pairs):
    assert not made(*pairs).websocket


# Persistence


@pytest.mark.parametrize(
    ("values", "version", "keeps"),
    [
        ([], 1, True),
        ([], 0, False),
        ([b"close"], 1, False),
        ([b"Close"], 1, False),
        ([b"x", b"y, close"], 1, False),
        ([b"closed"], 1, True),
        ([b"keep-alive"], 0, True),
        ([b"Keep-Alive"], 0, True),
        ([b"keep-alive, close"], 0, False),
        ([b"x"], 0, False),
    ],
)
def test_who_keeps_the_connection_says_so(values, version, keeps):
    headers = Headers([(b"Connection", value) for value in values])
    assert requests.keeps_alive(headers, version) is keeps

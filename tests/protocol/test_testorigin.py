"""The built-in origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import gripfields, testorigin, wscontrol
from gripproxy.protocol.headers import Headers, is_value
from gripproxy.protocol.messages import Request
from gripproxy.protocol.terms import Channel, HoldMode

PLAIN = (b"Content-Type", b"text/plain")
OFFER = (b"Sec-WebSocket-Extensions", b"x, grip")


def request(target, *fields, **about):
    return Request(method=b"POST", target=target, headers=Headers(fields), **about)


def answer(target, path_beg=b"", **about):
    return testorigin.answer(request(target, **about), path_beg)


def line(response):
    return response.status, response.reason, response.body


HELLO = (200, b"OK", b"Hello from the gripproxy test handler!\n")
MISSING = (404, b"Not Found", b"no such test resource\n")


@pytest.mark.parametrize(
    ("target", "path_beg"),
    [(b"/", b""), (b"/?a=b", b"/"), (b"/sub/", b"/sub/"), (b"/sub/", b"/sub"), (b"//", b"")],
)
def test_the_root_says_hello(target, path_beg):
    assert line(answer(target, path_beg)) == HELLO


@pytest.mark.parametrize(
    ("target", "path_beg"),
    [(b"/x", b""), (b"/sub", b"/sub"), (b"/ws", b""), (b"/Stream", b""), (b"/sub/stream", b"/su")],
)
def test_other_paths_are_missing(target, path_beg):
    assert line(answer(target, path_beg)) == MISSING


@pytest.mark.parametrize("target", [b"/response", b"/response/", b"/response?x=y&channel="])
def test_a_long_poll_is_held_on_the_channel_test(target):
    response = answer(target)
    assert line(response) == (200, b"OK", b"nothing for now\n")
    assert list(response.headers) == [
        PLAIN,
        (b"Grip-Hold", b"response"),
        (b"Grip-Channel", b"test"),
    ]


def test_a_stream_is_held_on_the_channels_of_the_query():
    response = answer(b"/sub/stream?channel=b&x=1&channel=a%20c", b"/sub/")
    assert line(response) == (200, b"OK", b"[stream opened]\n")
    given = gripfields.read(response.headers)
    assert (given.mode, given.channels) == (HoldMode.STREAM, (Channel("b"), Channel("a c")))


def test_a_path_that_was_rewritten_is_taken_as_it_is():
    assert answer(b"/stream", b"/sub/").status == 200


COMING = object()  # a body that is not here yet


@pytest.mark.parametrize("about", [{"body": b"x" * 100_001}, {"body": COMING, "length": 100_001}])
def test_a_large_body_is_refused_on_any_path(about):
    assert line(answer(b"/x", **about)) == (400, b"Bad Request", b"request too large\n")


@pytest.mark.parametrize(
    "about",
    [
        {"body": b"x" * 100_000},
        {"body": COMING, "length": 100_000},
        {"body": COMING, "length": None},
    ],
)
def test_a_body_that_is_not_known_to_be_too_large_is_taken(about):
    assert line(answer(b"/", **about)) == HELLO


@given(st.binary().map(lambda name: b"".join(b"%%%02x" % byte for byte in name)))
def test_any_channel_is_one_value(name):
    response = answer(b"/stream?channel=" + name)
    assert is_value(response.headers.get(b"grip-channel"))


# WebSockets


@pytest.mark.parametrize(
    ("target", "path_beg"), [(b"/ws", b""), (b"/t/ws/?channel=a", b"/t/"), (b"/ws", b"/")]
)
def test_a_websocket_is_accepted_with_grip(target, path_beg):
    response = testorigin.accept(request(target, OFFER), path_beg)
    assert (response.status, response.reason) == (101, b"Switching Protocols")
    assert list(response.headers) == [(b"Sec-WebSocket-Extensions", b"grip")]


def test_without_the_offer_there_is_no_grip():
    asked = request(b"/ws")
    assert list(testorigin.accept(asked, b"").headers) == []
    assert testorigin.greetings(asked) == []
    assert testorigin.echo(asked, b"m:x") == b"m:x"


def test_a_websocket_elsewhere_is_missing():
    response = testorigin.accept(request(b"/", OFFER), b"")
    assert line(response) == MISSING
    assert list(response.headers) == [PLAIN]


def test_a_websocket_is_subscribed_to_the_channels_of_the_query():
    asked = request(b"/ws?channel=b&channel=%22a", OFFER)
    assert testorigin.greetings(asked) == [
        b'c:{"channel":"b","type":"subscribe"}',
        b'c:{"channel":"\\"a","type":"subscribe"}',
    ]


def test_a_websocket_is_subscribed_to_the_channel_test():
    (greeting,) = testorigin.greetings(request(b"/ws", OFFER))
    assert wscontrol.read(greeting.removeprefix(b"c:")) == wscontrol.Subscribe("test")


def test_a_message_comes_back_with_the_prefix():
    assert testorigin.echo(request(b"/ws", OFFER), b"\xff") == b"m:\xff"

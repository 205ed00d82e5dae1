"""The WebSocket handshake: websockets.md 1.1, 1.4, 3.2, 3.3; RFC 6455 4, 9.1."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ExchangeError, RequestError
from gripproxy.protocol import wshandshake
from gripproxy.protocol.wsdeflate import Agreement
from gripproxy.protocol.wshandshake import Agreed, Grip

# RFC 6455 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# Is it one?


@pytest.mark.parametrize("upgrade", [[b"websocket"], [b"WebSocket"], [b"foo, websocket"]])
@pytest.mark.parametrize(
    "connection", [[b"Upgrade"], [b"keep-alive, upgrade"], [b"close", b"\tUPGRADE ,x"]]
)
def test_a_request_asks_for_a_websocket_in_two_fields(upgrade, connection):
    assert wshandshake.asks(upgrade, connection)


@pytest.mark.parametrize(
    ("upgrade", "connection"),
    [
        ([], [b"Upgrade"]),
        ([b"h2c"], [b"Upgrade"]),
        ([b"websocket/13"], [b"Upgrade"]),
        ([b"websockets"], [b"Upgrade"]),
        ([b"websocket"], []),
        ([b"websocket"], [b"keep-alive"]),
        ([b"websocket"], [b"upgrades"]),
    ],
)
def test_any_other_request_is_an_ordinary_one(upgrade, connection):
    assert not wshandshake.asks(upgrade, connection)


# Is it right?


def check(method=b"GET", version=1, length=0, keys=(KEY,), versions=(b"13",)):
    return wshandshake.check(method, version, length, keys=keys, versions=versions)


def test_a_right_request_has_a_key():
    assert check() == KEY


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": b"POST"},
        {"method": b"get"},
        {"version": 0},
        {"length": 1},
        {"length": None},
        {"keys": ()},
        {"keys": (KEY, KEY)},
        {"keys": (b"",)},
        {"keys": (KEY[:-1],)},
        {"keys": (KEY + b"A",)},
        {"keys": (b"A" * 24,)},
        {"keys": (b"-" + KEY[1:],)},
        {"keys": (), "versions": (b"8",)},
    ],
)
def test_a_wrong_request_is_refused(wrong):
    with pytest.raises(RequestError) as caught:
        check(**wrong)
    assert caught.value.status == 400
    assert caught.value.text == (
        'Request contained an Upgrade header with value "websocket" but the request was not a '
        "valid WebSocket request."
    )


@pytest.mark.parametrize("versions", [(), (b"8",), (b"13, 8",), (b"13", b"13"), (b"",)])
def test_a_wrong_version_alone_is_answered_with_the_right_one(versions):
    with pytest.raises(RequestError) as caught:
        check(versions=versions)
    assert caught.value.status == 426
    assert wshandshake.VERSION_FIELDS == (
        (b"Sec-WebSocket-Version", b"13"),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
    )


def test_the_key_is_answered_as_the_rfc_shows_it():
    assert wshandshake.accept(KEY) == ACCEPT


# Compression with clients


@pytest.mark.parametrize(
    ("offers", "agreement"),
    [
        ([], None),
        ([b"permessage-deflate"], Agreement(fresh=False)),
        ([b"permessage-deflate; client_max_window_bits"], Agreement(fresh=False)),
        ([b'permessage-deflate;client_max_window_bits="10"'], Agreement(fresh=False)),
        ([b"permessage-deflate ; client_no_context_takeover ,x"], Agreement(fresh=True)),
        ([b"foo; a=1", b"bar, permessage-deflate"], Agreement(fresh=False)),
        (
            [
                b"permessage-deflate; server_max_window_bits=10, "
                b"permessage-deflate; client_no_context_takeover"
            ],
            Agreement(fresh=True),
        ),
        ([b"Permessage-Deflate"], None),
        ([b"permessage-deflate; x"], None),
    ],
)
def test_a_client_gets_the_first_acceptable_offer(offers, agreement):
    assert wshandshake.deflate(offers) == agreement


@pytest.mark.parametrize(
    "broken", [b"x; a=", b"x; a=;b", b'x; a="b', b"x; =b", b"x y", b'"x"', b"x; a b", b"; a"]
)
def test_offers_that_do_not_parse_are_none(broken):
    assert wshandshake.deflate([b"permessage-deflate", broken]) is None
    assert wshandshake.deflate([b"permessage-deflate, " + broken]) is None


# Answers of origins


def answer(*extensions, accepts=(ACCEPT,), compress=False):
    return wshandshake.check_answer(KEY, accepts, extensions, compress=compress)


def test_an_origin_answers_with_the_right_accept():
    assert answer() == Agreed(None, None)


@pytest.mark.parametrize("accepts", [(), (b"",), (ACCEPT.lower(),), (ACCEPT, ACCEPT)])
def test_a_wrong_accept_is_refused(accepts):
    with pytest.raises(ExchangeError) as caught:
        answer(accepts=accepts)
    assert caught.value.kind == "http_upgrade_failed"
    assert caught.value.text == "wrong Sec-WebSocket-Accept"


def test_an_origin_may_speak_grip():
    assert answer(b"foo, grip") == Agreed(Grip(b"m:", b"grip"), None)


def test_an_origin_may_compress_if_asked():
    agreed = answer(b"permessage-deflate; server_no_context_takeover", b"grip", compress=True)
    assert agreed == Agreed(Grip(b"m:", b"grip"), Agreement(fresh=True))
    assert answer(compress=True).deflate is None


@pytest.mark.parametrize(
    "extensions",
    [
        (b"permessage-deflate, permessage-deflate",),
        (b"permessage-deflate", b"permessage-deflate"),
        (b"permessage-deflate; client_max_window_bits=15",),
        (b"permessage-deflate; server_max_window_bits=",),
    ],
)
def test_wrong_compression_is_refused(extensions):
    with pytest.raises(ExchangeError, match="wrong permessage-deflate"):
        answer(*extensions, compress=True)


def test_compression_that_was_not_offered_is_refused():
    with pytest.raises(ExchangeError, match="wrong permessage-deflate"):
        answer(b"permessage-deflate")


def test_unknown_extensions_are_ignored():
    assert answer(b'foo; x=", bar; y=', compress=True) == Agreed(None, None)


# The grip extension


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        (b"grip", b"m:"),
        (b"grip;", b"m:"),
        (b"grip; x", b"m:"),
        (b"grip; x=1; y", b"m:"),
        (b"grip; message-prefix=zz", b"zz"),
        (b"grip ; message-prefix = zz", b"zz"),
        (b"grip; message-prefix=m:", b"m:"),
        (b"grip; Message-Prefix=a; message-prefix=b", b"a"),
        (b'grip;message-prefix="a\\"b"', b'a"b'),
        (b'grip;message-prefix="a,b;c=,"', b"a,b;c=,"),
        (b'grip; message-prefix="="', b"="),
        (b'grip; message-prefix=""', b""),
        (b"grip; message-prefix", b""),
        (b"grip; message-prefix; x=1", b""),
    ],
)
def test_grip_is_on_with_a_prefix(value, prefix):
    assert wshandshake.grip([value]) == Grip(prefix, value)


@pytest.mark.parametrize(
    "value",
    [
        b"grip; message-prefix=",
        b"grip; message-prefix= ",
        b"grip; message-prefix=; x",
        b'grip; message-prefix="a',
        b'grip; message-prefix="a\\"',
        b"grip; x=",
        b"GRIP",
        b"grips",
        b"grip x",
        b'"grip"',
        b'foo; x="grip, grip"',
        b"",
        b",",
    ],
)
def test_grip_is_off(value):
    assert wshandshake.grip([value]) is None


def test_grip_is_off_without_the_field():
    assert wshandshake.grip([]) is None


def test_grip_is_found_among_others():
    fields = [b'foo; x="a, b", bar', b"baz ,\t grip; message-prefix=x , grip"]
    assert wshandshake.grip(fields) == Grip(b"x", b"grip; message-prefix=x")


@given(st.text('grip;=,"\\ ax\t', max_size=30).map(str.encode) | st.binary())
def test_no_bytes_raise_anything_else(value):
    wshandshake.grip([value, b"grip; " + value])
    wshandshake.deflate([b"permessage-deflate;" + value])
    with contextlib.suppress(ExchangeError):
        answer(value, b"permessage-deflate;" + value, compress=True)
    with contextlib.suppress(RequestError):
        check(keys=(value,))

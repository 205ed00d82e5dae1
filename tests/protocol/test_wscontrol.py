"""Control messages: websockets.md 3.3, 5."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ControlError
from gripproxy.protocol import wscontrol
from gripproxy.protocol.wscontrol import (
    Detach,
    FlushDelayed,
    KeepAlive,
    Mode,
    SendDelayed,
    Session,
    SetMeta,
    Subscribe,
    Unsubscribe,
    Verdict,
)
from gripproxy.protocol.wsframes import BINARY, PING, PONG, TEXT


def read(kind, **members):
    named = {name.replace("_", "-"): value for name, value in members.items()}
    return wscontrol.read(json.dumps({"type": kind, **named}).encode())


def reason(text):
    with pytest.raises(ControlError) as caught:
        wscontrol.read(text)
    return caught.value.text


def refusal(kind, **members):
    with pytest.raises(ControlError) as caught:
        read(kind, **members)
    return caught.value.text


# Which messages are controls


def judge(opcode, start, prefix=b"m:", whole=True):
    return wscontrol.judge(opcode, start, prefix, whole=whole)


@pytest.mark.parametrize(
    ("opcode", "start", "prefix", "verdict"),
    [
        (TEXT, b"c:{}", b"m:", Verdict.CONTROL),
        (TEXT, b"c:", b"m:", Verdict.CONTROL),
        (TEXT, b"c:x", b"", Verdict.CONTROL),
        (TEXT, b"c:x", b"c:", Verdict.CONTROL),
        (TEXT, b"m:hi", b"m:", Verdict.PREFIXED),
        (TEXT, b"m:", b"m:", Verdict.PREFIXED),
        (BINARY, b"m:hi", b"m:", Verdict.PREFIXED),
        (BINARY, b"c:hi", b"c:", Verdict.PREFIXED),
        (BINARY, b"c:hi", b"", Verdict.PREFIXED),
        (TEXT, b"hi", b"", Verdict.PREFIXED),
        (TEXT, b"", b"", Verdict.PREFIXED),
        (TEXT, b"c", b"", Verdict.PREFIXED),
        (TEXT, b"hi", b"m:", Verdict.DROPPED),
        (TEXT, b"", b"m:", Verdict.DROPPED),
        (TEXT, b"m", b"m:", Verdict.DROPPED),
        (TEXT, b"C:{}", b"m:", Verdict.DROPPED),
        (BINARY, b"c:{}", b"m:", Verdict.DROPPED),
    ],
)
def test_a_whole_message_is_judged(opcode, start, prefix, verdict):
    assert judge(opcode, start, prefix) is verdict


@pytest.mark.parametrize(
    ("opcode", "start", "prefix", "verdict"),
    [
        (TEXT, b"", b"m:", Verdict.UNDECIDED),
        (TEXT, b"", b"", Verdict.UNDECIDED),
        (TEXT, b"c", b"m:", Verdict.UNDECIDED),
        (TEXT, b"c:", b"m:", Verdict.CONTROL),
        (TEXT, b"m", b"m:", Verdict.UNDECIDED),
        (TEXT, b"m:", b"m:", Verdict.PREFIXED),
        (TEXT, b"x", b"m:", Verdict.DROPPED),
        (TEXT, b"cc", b"m:", Verdict.DROPPED),
        (TEXT, b"x", b"", Verdict.PREFIXED),
        (BINARY, b"c", b"m:", Verdict.DROPPED),
        (BINARY, b"", b"", Verdict.PREFIXED),
        (BINARY, b"m", b"m:", Verdict.UNDECIDED),
    ],
)
def test_a_message_whose_end_is_to_come_is_judged_as_soon_as_can_be(
    opcode, start, prefix, verdict
):
    assert judge(opcode, start, prefix, whole=False) is verdict


@given(
    st.sampled_from([TEXT, BINARY]),
    st.text("cm:x", max_size=5).map(str.encode),
    st.text("cm:", max_size=3).map(str.encode),
    st.integers(0, 5),
)
def test_an_early_verdict_is_the_final_one(opcode, message, prefix, size):
    early = judge(opcode, message[:size], prefix, whole=False)
    assert early in (Verdict.UNDECIDED, judge(opcode, message, prefix))
    enough = max(len(prefix), len(wscontrol.MARK))
    assert early is not Verdict.UNDECIDED or size < enough or len(message) < enough


# What is no control message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "control message is not JSON"),
        (b"{", "control message is not JSON"),
        (b"\xff", "control message is not JSON"),
        (b'{"type": "detach"} x', "control message is not JSON"),
        (b"[]", "control message is not an object"),
        (b'"detach"', "control message is not an object"),
        (b"{}", "no 'type'"),
        (b'{"type": null}', "'type' has the wrong type"),
        (b'{"type": 1}', "'type' has the wrong type"),
        (b'{"type": "Detach"}', "control message has unknown type 'Detach'"),
        (b'{"type": ""}', "control message has unknown type ''"),
    ],
)
def test_what_is_no_control_message_is_refused(text, expected):
    assert reason(text) == expected


def test_a_control_message_is_bounded():
    text = b'{"type":"detach"}'
    assert wscontrol.read(text.ljust(wscontrol.CONTROL_MAX)) == Detach()
    assert reason(text.ljust(wscontrol.CONTROL_MAX + 1)) == "control message over 65536 bytes"


def test_a_long_unknown_type_does_not_flood_the_log():
    assert len(refusal("x" * 10_000)) < 100
    assert len(refusal("keep-alive", message_type="x" * 10_000)) < 100


def test_unknown_fields_are_ignored():
    assert read("detach", x=[1]) == Detach()


def test_json_is_read_leniently():
    text = b'{"type": "subscribe", "channel": "a\nb"}'
    assert wscontrol.read(text) == Subscribe("a\nb")


# Subscriptions


def test_subscribe_names_a_channel():
    assert read("subscribe", channel="room") == Subscribe("room")


def test_subscribe_names_filters_in_order():
    expected = Subscribe("room", ("skip-self", "no-such", "skip-self"))
    assert read("subscribe", channel="room", filters=[*expected.filters]) == expected
    assert read("subscribe", channel="room", filters=[]) == Subscribe("room")


@pytest.mark.parametrize("filters", [None, "skip-self", {"a": 1}, 1, ["a", 1], [None]])
def test_filters_are_a_list_of_strings(filters):
    expected = "'filters' has the wrong type"
    assert refusal("subscribe", channel="room", filters=filters) == expected


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_a_channel_is_a_string_that_is_not_empty(kind):
    assert refusal(kind) == "no 'channel'"
    assert refusal(kind, channel="") == "'channel' is empty"
    assert refusal(kind, channel=None) == "'channel' has the wrong type"
    assert refusal(kind, channel=5) == "'channel' has the wrong type"


def test_unsubscribe_names_a_channel():
    assert read("unsubscribe", channel="rööm") == Unsubscribe("rööm")


# Session and meta


def test_session_keeps_an_id():
    assert read("session", id="me") == Session("me")


def test_session_without_an_id_removes_it():
    assert read("session") == Session(None)
    assert read("session", id="") == Session(None)


def test_a_session_id_is_a_string():
    assert refusal("session", id=5) == "'id' has the wrong type"


@pytest.mark.parametrize("value", ["alice", ""])
def test_meta_gets_a_value(value):
    assert read("set-meta", name="user", value=value) == SetMeta("user", value)


def test_meta_without_a_value_is_removed():
    assert read("set-meta", name="user") == SetMeta("user", None)
    assert read("set-meta", name="user", value=None) == SetMeta("user", None)


def test_a_meta_value_is_a_string():
    assert refusal("set-meta", name="user", value=5) == "'value' has the wrong type"


def test_meta_has_a_name():
    assert refusal("set-meta", value="x") == "no 'name'"
    assert refusal("set-meta", name="", value="x") == "'name' is empty"


# Messages that the proxy sends


def keep_alive(opcode=TEXT, content=b"x", timeout=55, mode=Mode.IDLE):
    return KeepAlive(opcode=opcode, content=content, timeout=timeout, mode=mode)


def delayed(opcode=TEXT, content=b"x", timeout=1):
    return SendDelayed(opcode=opcode, content=content, timeout=timeout)


def test_a_keep_alive_is_a_text_when_the_client_has_heard_nothing_for_55_seconds():
    assert read("keep-alive", content="x") == keep_alive()


def test_a_delayed_message_is_a_text_after_a_second():
    assert read("send-delayed", content="é") == delayed(content="é".encode())


@pytest.mark.parametrize(
    ("word", "opcode"), [("text", TEXT), ("binary", BINARY), ("ping", PING), ("pong", PONG)]
)
def test_a_message_has_a_type(word, opcode):
    assert read("keep-alive", message_type=word, content="x") == keep_alive(opcode)
    assert read("send-delayed", message_type=word, content="x") == delayed(opcode)


@pytest.mark.parametrize("kind", ["keep-alive", "send-delayed"])
def test_a_message_type_is_one_of_four(kind):
    assert refusal(kind, message_type="Text") == "'message-type' is unknown: 'Text'"
    assert refusal(kind, message_type=None) == "'message-type' has the wrong type"


def test_a_keep_alive_without_content_is_switched_off():
    assert read("keep-alive") == keep_alive(content=None)
    assert read("keep-alive", message_type="ping") == keep_alive(PING, None)


def test_empty_content_is_content():
    assert read("keep-alive", message_type="ping", content="") == keep_alive(PING, b"")
    assert read("keep-alive", content_bin="") == keep_alive(content=b"")


def test_a_delayed_message_without_content_is_empty():
    assert read("send-delayed", message_type="binary") == delayed(BINARY, b"")


def test_binary_content_is_base64_and_wins():
    read_message = read("send-delayed", message_type="binary", content_bin="A P!8", content=5)
    assert read_message == delayed(BINARY, b"\x00\xff")


def test_binary_content_without_a_type_is_text_if_it_can_be():
    assert read("send-delayed", content_bin="aGk=") == delayed(TEXT, b"hi")
    assert read("send-delayed", content_bin="AP8=") == delayed(BINARY, b"\x00\xff")


def test_a_text_must_be_text():
    assert refusal("send-delayed", message_type="text", content_bin="AP8=") == (
        "'content-bin' of a text message is not UTF-8"
    )


@pytest.mark.parametrize("word", ["ping", "pong"])
def test_a_ping_must_fit_into_its_frame(word):
    assert read("keep-alive", message_type=word, content="a" * 125)
    assert refusal("keep-alive", message_type=word, content="a" * 126) == (
        "content over 125 bytes for a ping or pong"
    )


@pytest.mark.parametrize("member", ["content", "content_bin"])
@pytest.mark.parametrize("value", [None, 5, ["x"]])
def test_content_is_a_string(member, value):
    expected = f"'{member.replace('_', '-')}' has the wrong type"
    assert refusal("keep-alive", **{member: value}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(10, 10), ("10", 10), (2.4, 2), (2.5, 3), (True, 1), (2_147_483_647, 2_147_483_647)],
)
def test_a_timeout_is_a_number_or_the_text_of_one(value, expected):
    assert read("keep-alive", content="x", timeout=value) == keep_alive(timeout=expected)
    assert read("send-delayed", content="x", timeout=value) == delayed(timeout=expected)


@pytest.mark.parametrize("value", [0, 0.4, -0.4, "0", "abc", "", "5.5", False])
def test_a_timeout_of_nothing_is_the_default(value):
    assert read("keep-alive", content="x", timeout=value) == keep_alive(timeout=55)
    assert read("send-delayed", content="x", timeout=value) == delayed(timeout=1)


@pytest.mark.parametrize("value", [None, [5], {"a": 5}])
def test_a_timeout_is_nothing_else(value):
    assert refusal("keep-alive", content="x", timeout=value) == "'timeout' has the wrong type"
    assert refusal("send-delayed", content="x", timeout=value) == "'timeout' has the wrong type"


@pytest.mark.parametrize("value", [-1, "-1", -0.5, 2_147_483_648, 1e300, "9" * 400])
def test_a_timeout_has_bounds(value):
    assert refusal("keep-alive", content="x", timeout=value) == "'timeout' is out of range"


def test_a_timeout_is_not_looked_at_without_content():
    assert read("keep-alive", timeout=[5]) == keep_alive(content=None)
    assert read("send-delayed", timeout=-1) == delayed(content=b"")


def test_a_keep_alive_may_go_out_at_intervals():
    assert read("keep-alive", content="x", mode="interval") == keep_alive(mode=Mode.INTERVAL)


@pytest.mark.parametrize("mode", ["idle", "", "Interval", "x"])
def test_any_other_mode_is_idle(mode):
    assert read("keep-alive", content="x", mode=mode) == keep_alive()


@pytest.mark.parametrize("mode", [None, 5])
def test_a_mode_is_a_string(mode):
    assert refusal("keep-alive", content="x", mode=mode) == "'mode' has the wrong type"


def test_a_delayed_message_can_be_flushed():
    assert read("flush-delayed") == FlushDelayed()


# Anything else


@given(st.binary())
def test_no_bytes_raise_anything_else(text):
    with contextlib.suppress(ControlError):
        wscontrol.read(text)


kinds = st.sampled_from(
    [
        "subscribe", "unsubscribe", "detach", "session", "set-meta", "keep-alive",
        "send-delayed", "flush-delayed",
    ]
)  # fmt: skip
names = st.sampled_from(
    [
        "channel", "filters", "id", "name", "value", "message-type", "content-bin", "content",
        "timeout", "mode",
    ]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(kinds, st.dictionaries(names, values))
def test_no_members_raise_anything_else(kind, members):
    with contextlib.suppress(ControlError):
        wscontrol.read(json.dumps({"type": kind, **members}).encode())


@given(st.text(r'\ud8c0"xé', max_size=12))
def test_no_escapes_make_content_that_is_not_text(escaped):
    text = b'{"type": "keep-alive", "content": "%b"}' % escaped.encode()
    with contextlib.suppress(ControlError):
        control = wscontrol.read(text)
        assert (control.content or b"").decode() is not None

"""JSON instructs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import InstructError
from gripproxy.protocol import gripfields, instructjson
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.terms import Channel, HoldMode, KeepAlive, KeepAliveMode


def read_text(body, *fields, reason=b"OK"):
    return instructjson.read(body, gripfields.read(Headers(fields)), reason)


def read(instruct, *fields, reason=b"OK"):
    return read_text(json.dumps(instruct).encode(), *fields, reason=reason)


def hold(**members):
    return read({"hold": {"channels": []} | members})[0]


def response(**members):
    return read({"response": members})[1]


def error_of(work, *arguments, **members):
    with pytest.raises(InstructError) as caught:
        work(*arguments, **members)
    return caught.value.text


STREAM = (b"Grip-Hold", b"stream")


# The text


@pytest.mark.parametrize("body", [b"", b"x", b"1", b"null", b'"x"', b"{} x", b"\xff", b"[" * 3000])
def test_a_body_that_is_no_json_is_an_error(body):
    text = "failed to parse application/grip-instruct content as JSON"
    assert error_of(read_text, body) == text


def test_an_array_is_an_error():
    assert error_of(read_text, b"[{}]") == "instruct must be an object"


def test_a_byte_order_mark_is_accepted():
    assert read_text(b'\xef\xbb\xbf{"response": {"body": "x"}}')[1].body == b"x"


def test_the_last_of_equal_keys_counts():
    assert read_text(b'{"response": {"body": "x", "body": "y"}}')[1].body == b"y"


def test_unknown_keys_are_ignored():
    told, answer = read({"x": None, "hold": {"channels": [{"name": "a", "y": 1}], "z": []}})
    assert (told.channels, answer.body) == ((Channel("a"),), b"")


def test_a_library_s_instruct_is_read():
    told, answer = read(
        {
            "hold": {
                "mode": "response",
                "channels": [{"name": "a", "prev-id": "1"}, {"name": "b"}],
                "timeout": 5,
            },
            "response": {
                "code": 200,
                "reason": "OK",
                "headers": {"Content-Type": "text/plain"},
                "body": "x\n",
            },
        }
    )
    assert told.mode is HoldMode.RESPONSE
    assert told.channels == (Channel("a", "1"), Channel("b"))
    assert told.timeout == 5
    assert (answer.status, answer.reason, answer.body) == (200, b"OK", b"x\n")
    assert answer.headers == Headers([(b"Content-Type", b"text/plain")])


# Hold


def test_without_a_hold_the_fields_count():
    assert read({}, STREAM)[0].mode is HoldMode.STREAM


@pytest.mark.parametrize(
    ("members", "mode"),
    [
        ({}, HoldMode.RESPONSE),
        ({"mode": "response"}, HoldMode.RESPONSE),
        ({"mode": "stream"}, HoldMode.STREAM),
    ],
)
def test_a_hold_is_for_a_response_unless_it_says_more(members, mode):
    assert hold(**members).mode is mode


def test_a_hold_without_mode_overrides_the_fields():
    assert read({"hold": {"channels": []}}, STREAM)[0].mode is HoldMode.RESPONSE


def test_channels_are_added_to_those_of_the_fields():
    told, _ = read({"hold": {"channels": [{"name": "b"}]}}, (b"Grip-Channel", b"a"))
    assert told.channels == (Channel("a"), Channel("b"))


def test_a_channel_may_have_all_of_it():
    channel = {"name": "", "prev-id": "", "filters": ["x"] * 5, "resume": "sse"}
    assert hold(channels=[channel]).channels == (Channel("", "", ("x",) * 5, resumes=True),)


def test_another_resume_is_ignored():
    assert hold(channels=[{"name": "a", "resume": "x"}]).channels == (Channel("a"),)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(20, 20), ("10", 10), ("x", 5), (True, 5), (7.5, 8), (7.4, 7), (0, 5), (-0.4, 5)],
)
def test_a_timeout_is_a_number_of_some_kind(timeout, seconds):
    assert hold(timeout=timeout).timeout == seconds


def test_a_timeout_replaces_that_of_the_fields():
    told, _ = read({"hold": {"channels": [], "timeout": 9}}, (b"Grip-Timeout", b"20"))
    assert told.timeout == 9


def test_without_a_timeout_that_of_the_fields_counts():
    assert read({"hold": {"channels": []}}, (b"Grip-Timeout", b"20"))[0].timeout == 20


def test_meta_are_merged():
    fields = (b"Grip-Set-Meta", b"a=1, b=2")
    told, _ = read({"hold": {"channels": [], "meta": {"b": "3", "c": ""}}}, fields)
    assert told.meta == {"a": "1", "b": "3", "c": ""}


def test_the_meta_of_the_fields_stay_as_they_are():
    fields = Headers([(b"Grip-Set-Meta", b"only=1")])
    instructjson.read(
        b'{"hold": {"channels": [], "meta": {"b": "3"}}}', gripfields.read(fields), b""
    )
    assert gripfields.read(fields).meta == {"only": "1"}


@pytest.mark.parametrize(
    ("told", "keep_alive"),
    [
        ({}, KeepAlive(b"", 55, KeepAliveMode.INTERVAL)),
        ({"content": "é"}, KeepAlive("é".encode(), 55, KeepAliveMode.INTERVAL)),
        (
            {"content-bin": "AP\n8=", "content": 1},
            KeepAlive(b"\0\xff", 55, KeepAliveMode.INTERVAL),
        ),
        ({"content": "x", "timeout": 0}, KeepAlive(b"x", 1, KeepAliveMode.INTERVAL)),
        ({"content": "x", "timeout": "7"}, KeepAlive(b"x", 7, KeepAliveMode.INTERVAL)),
        ({"content": "x", "mode": "idle"}, KeepAlive(b"x")),
        ({"content": "x", "mode": ""}, KeepAlive(b"x", 55, KeepAliveMode.INTERVAL)),
        ({"mode": "interval"}, KeepAlive(b"", 55, KeepAliveMode.INTERVAL)),
    ],
)
def test_a_keep_alive_is_read(told, keep_alive):
    assert hold(**{"keep-alive": told}).keep_alive == keep_alive


@pytest.mark.parametrize("mode", ["idle", "interval"])
def test_a_keep_alive_has_the_mode_of_the_fields(mode):
    fields = (b"Grip-Keep-Alive", b"x; timeout=3; mode=" + mode.encode())
    told, _ = read({"hold": {"channels": [], "keep-alive": {"content": "y"}}}, fields)
    assert told.keep_alive == KeepAlive(b"y", 55, KeepAliveMode(mode))


def test_without_a_keep_alive_that_of_the_fields_counts():
    told, _ = read({"hold": {"channels": []}}, (b"Grip-Keep-Alive", b"x"))
    assert told.keep_alive == KeepAlive(b"x")


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"mode": None}, "hold contains 'mode' with wrong type"),
        ({"mode": ""}, "hold 'mode' must be set to either 'response' or 'stream'"),
        ({"mode": "Stream"}, "hold 'mode' must be set to either 'response' or 'stream'"),
        ({"channels": {}}, "hold contains 'channels' with wrong type"),
        ({"channels": None}, "hold contains 'channels' with wrong type"),
        ({"channels": ["a"]}, "channel is not an object"),
        ({"channels": [{}]}, "channel does not contain 'name'"),
        ({"channels": [{"name": 1}]}, "channel contains 'name' with wrong type"),
        (
            {"channels": [{"name": "a", "prev-id": None}]},
            "channel contains 'prev-id' with wrong type",
        ),
        (
            {"channels": [{"name": "a", "filters": "x"}]},
            "channel contains 'filters' with wrong type",
        ),
        (
            {"channels": [{"name": "a", "filters": ["x", 1]}]},
            "filters contains value with wrong type",
        ),
        ({"channels": [{"name": "a", "filters": ["x"] * 6}]}, "too many filters for channel 'a'"),
        (
            {"channels": [{"name": "a", "resume": True}]},
            "channel contains 'resume' with wrong type",
        ),
        ({"timeout": None}, "hold contains 'timeout' with wrong type"),
        ({"timeout": []}, "hold contains 'timeout' with wrong type"),
        ({"timeout": -1}, "hold contains 'timeout' with invalid value"),
        ({"timeout": 2147483648}, "hold contains 'timeout' with invalid value"),
        ({"keep-alive": "x"}, "hold contains 'keep-alive' with wrong type"),
        ({"keep-alive": {"content-bin": 1}}, "keep-alive contains 'content-bin' with wrong type"),
        ({"keep-alive": {"content": None}}, "keep-alive contains 'content' with wrong type"),
        ({"keep-alive": {"timeout": {}}}, "keep-alive contains 'timeout' with wrong type"),
        ({"keep-alive": {"timeout": -5}}, "keep-alive contains 'timeout' with invalid value"),
        ({"keep-alive": {"mode": 1}}, "keep-alive contains 'mode' with wrong type"),
        ({"keep-alive": {"mode": "Idle"}}, "keep-alive contains 'mode' with invalid value"),
        ({"meta": []}, "hold contains 'meta' with wrong type"),
        ({"meta": {"a": "b", "c": 1}}, "'meta' contains 'c' with wrong type"),
    ],
)
def test_a_hold_is_wrong(members, text):
    assert error_of(hold, **members) == text


def test_a_hold_has_channels():
    assert error_of(read, {"hold": {}}) == "hold does not contain 'channels'"


@pytest.mark.parametrize("member", ["hold", "response"])
def test_the_parts_of_an_instruct_are_objects(member):
    text = f"instruct contains '{member}' with wrong type"
    assert error_of(read, {member: None}) == text


# Response


def test_without_a_response_there_is_an_empty_one():
    _, answer = read({})
    assert (answer.status, answer.reason, answer.body, answer.length) == (200, b"OK", b"", 0)
    assert answer.headers == Headers()


def test_the_origin_s_reason_is_kept_while_nothing_changes_the_code():
    assert read({}, reason=b"Fine")[1].reason == b"Fine"


def test_an_empty_reason_of_the_origin_is_the_standard_one():
    assert read({}, reason=b"")[1].reason == b"OK"


def test_the_status_of_the_fields_counts():
    _, answer = read({"response": {"body": "x"}}, STREAM, (b"Grip-Status", b"202 Z"))
    assert (answer.status, answer.reason, answer.body) == (202, b"Z", b"x")


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({"code": 404}, (404, b"Not Found")),
        ({"code": "404", "reason": ""}, (404, b"Not Found")),
        ({"code": 404, "reason": "N\u00e9"}, (404, b"N\xc3\xa9")),
        ({"code": 200.5}, (201, b"Created")),
        ({"code": 200}, (200, b"OK")),
        ({"reason": "Mine"}, (202, b"Mine")),
        ({}, (202, b"Z")),
    ],
)
def test_code_and_reason_replace_those_of_the_fields(members, line):
    _, answer = read({"response": members}, (b"Grip-Status", b"202 Z"))
    assert (answer.status, answer.reason) == line


def test_headers_keep_their_order_and_repeat():
    told = [["B", "1"], ["A", "2"], ["b", "é"]]
    assert response(headers=told).headers == Headers(
        [(b"B", b"1"), (b"A", b"2"), (b"b", b"\xc3\xa9")]
    )


def test_an_object_of_headers_keeps_its_order():
    assert response(headers={"B": "1", "A": ""}).headers == Headers([(b"B", b"1"), (b"A", b"")])


def test_a_grip_name_is_an_ordinary_one_here():
    assert response(headers={"Grip-Hold": "x"}).headers == Headers([(b"Grip-Hold", b"x")])


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "Connection", "Keep-Alive", "Upgrade"]
)
def test_framing_is_not_the_origin_s(name):
    assert response(headers={name: "x", "A": ""}).headers == Headers([(b"A", b"")])


def test_a_coding_is_the_origin_s():
    told = {"Content-Encoding": "gzip"}
    assert response(headers=told).headers == Headers([(b"Content-Encoding", b"gzip")])


@pytest.mark.parametrize(
    ("members", "body"),
    [
        ({"body": "é\n"}, b"\xc3\xa9\n"),
        ({"body-bin": "AP8"}, b"\0\xff"),
        ({"body-bin": "", "body": 1}, b""),
    ],
)
def test_a_body_is_text_or_base64(members, body):
    answer = response(**members)
    assert (answer.body, answer.length) == (body, len(body))


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"code": None}, "response contains 'code' with wrong type"),
        ({"code": 199}, "response contains 'code' with invalid value"),
        ({"code": 1000}, "response contains 'code' with invalid value"),
        ({"code": "x"}, "response contains 'code' with invalid value"),
        ({"code": True}, "response contains 'code' with invalid value"),
        ({"reason": 1}, "response contains 'reason' with wrong type"),
        ({"reason": "a\r\nb"}, "response contains 'reason' with invalid value"),
        ({"reason": "a\0"}, "response contains 'reason' with invalid value"),
        ({"headers": "x"}, "response contains 'headers' with wrong type"),
        ({"headers": None}, "response contains 'headers' with wrong type"),
        ({"headers": ["x"]}, "headers contains element with wrong type"),
        ({"headers": [["x"]]}, "headers contains list with wrong number of elements"),
        ({"headers": [[1, "x"]]}, "header contains name element with wrong type"),
        ({"headers": [["x", 1]]}, "header contains value element with wrong type"),
        ({"headers": {"X": 1}}, "headers contains 'X' with wrong type"),
        ({"headers": {"": "x"}}, "response contains 'headers' with invalid value"),
        ({"headers": {"a b": "x"}}, "response contains 'headers' with invalid value"),
        ({"headers": {"A": "x\r\nB: y"}}, "response contains 'headers' with invalid value"),
        ({"headers": [["A", "\0"]]}, "response contains 'headers' with invalid value"),
        ({"body-bin": 1, "body": "x"}, "response contains 'body-bin' with wrong type"),
        ({"body": None}, "response contains 'body' with wrong type"),
    ],
)
def test_a_response_is_wrong(members, text):
    assert error_of(response, **members) == text


def test_the_hold_is_checked_before_the_response():
    assert error_of(read, {"response": 1, "hold": 1}) == "instruct contains 'hold' with wrong type"


# Anything

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
CHANNELS = st.lists(
    st.fixed_dictionaries(
        {"name": st.text()}, optional={"prev-id": ANY, "filters": ANY, "resume": ANY}
    )
)
HOLDS = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["response", "stream"]) | ANY,
        "channels": CHANNELS | ANY,
        "timeout": ANY,
        "keep-alive": st.fixed_dictionaries(
            {}, optional={"content": ANY, "content-bin": ANY, "timeout": ANY, "mode": ANY}
        )
        | ANY,
        "meta": ANY,
    },
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "code": ANY,
        "reason": ANY,
        "headers": st.dictionaries(st.text(), st.text()) | ANY,
        "body": ANY,
        "body-bin": ANY,
    },
)


@given(
    st.fixed_dictionaries({}, optional={"hold": HOLDS | ANY, "response": RESPONSES | ANY}) | ANY
)
def test_any_json_is_read_or_an_error(instruct):
    try:
        told, answer = read(instruct)
    except InstructError as error:
        told, answer = error, None
    if answer is not None:
        assert told.timeout >= 5
        assert 200 <= answer.status <= 999
        assert not set(answer.reason) & set(b"\r\n\0")


@given(st.binary())
def test_any_body_is_read_or_an_error(body):
    try:
        _, answer = read_text(body)
    except InstructError:
        return
    assert answer.status >= 200

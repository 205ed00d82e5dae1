"""The formats of an item: publishing.md 3."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ItemError
from gripproxy.protocol import formats
from gripproxy.protocol.dialects import JSON, MSGPACK, TNETSTRING
from gripproxy.protocol.formats import (
    Action,
    HttpResponse,
    HttpStream,
    Kind,
    WebSocketMessage,
    read_message,
    read_response,
    read_stream,
)

ALL = [JSON, TNETSTRING, MSGPACK]
LENIENT = [TNETSTRING, MSGPACK]

READERS = {
    "'http-response'": read_response,
    "'http-stream'": read_stream,
    "'ws-message'": read_message,
}

each_format = pytest.mark.parametrize("owner", READERS)
each_dialect = pytest.mark.parametrize("dialect", ALL, ids=["J", "T", "M"])


def content_of(owner):
    return {"body" if owner == "'http-response'" else "content": "x"}


def spelled(value, dialect):
    """Write a value of JSON as the tnetstring decoder would give it."""
    if dialect is not TNETSTRING:
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [spelled(element, dialect) for element in value]
    if isinstance(value, dict):
        return {name: spelled(element, dialect) for name, element in value.items()}
    return value


def read(owner, value, dialect=JSON):
    return READERS[owner](spelled(value, dialect), dialect)


def error(owner, value, dialect=JSON):
    with pytest.raises(ItemError) as caught:
        read(owner, value, dialect)
    return caught.value.text


# All formats


@each_format
@each_dialect
@pytest.mark.parametrize("value", [None, [], "x", True, 1])
def test_a_format_is_an_object(owner, dialect, value):
    assert error(owner, value, dialect) == f"{owner} is not an object"


@each_format
@each_dialect
def test_to_send_is_usual(owner, dialect):
    assert read(owner, content_of(owner), dialect).action is Action.SEND
    assert read(owner, {"action": "send", **content_of(owner)}, dialect).action is Action.SEND


@each_format
@each_dialect
@pytest.mark.parametrize("action", ["hint", "refresh"])
def test_hint_and_refresh_need_and_read_nothing_else(owner, dialect, action):
    found = read(owner, {"action": action, "code": "zz", "type": 1, "reason": 1}, dialect)
    assert found == type(found)(Action(action))


@pytest.mark.parametrize("owner", ["'http-response'", "'http-stream'"])
def test_close_reads_nothing_else(owner):
    found = read(owner, {"action": "close", "code": "zz", "reason": 1, "content-filters": 1})
    assert found == type(found)(Action.CLOSE)


@each_format
@each_dialect
@pytest.mark.parametrize("action", ["", "SEND", "open"])
def test_an_unknown_action_is_refused(owner, dialect, action):
    assert error(owner, {"action": action}, dialect) == (
        f"{owner} contains 'action' with unknown value"
    )


@each_format
@each_dialect
@pytest.mark.parametrize("action", [1, True, ["send"]])
def test_an_action_is_a_string(owner, dialect, action):
    assert (
        error(owner, {"action": action}, dialect) == f"{owner} contains 'action' with wrong type"
    )


@each_format
def test_a_null_action_is_none_but_in_json(owner):
    value = {"action": None, **content_of(owner)}
    for dialect in LENIENT:
        assert read(owner, value, dialect).action is Action.SEND
    assert error(owner, value, JSON) == f"{owner} contains 'action' with wrong type"


@each_format
@each_dialect
def test_content_filters_are_read_in_order(owner, dialect):
    value = {"content-filters": ["build-id", "var-subst"], **content_of(owner)}
    assert read(owner, value, dialect).content_filters == ("build-id", "var-subst")


@each_format
def test_no_content_filters_are_not_an_empty_list_of_them(owner):
    assert read(owner, content_of(owner)).content_filters is None
    assert read(owner, {"content-filters": [], **content_of(owner)}).content_filters == ()


@each_format
@each_dialect
@pytest.mark.parametrize("value", [None, "build-id", {}, 1])
def test_content_filters_are_a_list(owner, dialect, value):
    assert error(owner, {"content-filters": value}, dialect) == (
        f"{owner} contains 'content-filters' with wrong type"
    )


@each_format
@each_dialect
def test_content_filters_are_strings(owner, dialect):
    assert error(owner, {"content-filters": ["a", None]}, dialect) == (
        "content-filters contains element with wrong type"
    )


# http-response


def response(**members):
    return {name.replace("_", "-"): value for name, value in {**members, "body": "x"}.items()}


@each_dialect
def test_a_response_is_200_without_fields_unless_it_says_more(dialect):
    assert read_response(spelled({"body": "é"}, dialect), dialect) == HttpResponse(
        Action.SEND, None, 200, b"OK", (), "é".encode(), None
    )


@each_dialect
def test_a_response_may_say_everything(dialect):
    value = {
        "code": 404,
        "reason": "Gone fishing",
        "headers": [["B", "1"], ["a", "2"], ["B", "3"]],
        "content-filters": ["x"],
        "body": "b",
    }
    assert read("'http-response'", value, dialect) == HttpResponse(
        code=404,
        reason=b"Gone fishing",
        headers=((b"B", b"1"), (b"a", b"2"), (b"B", b"3")),
        content_filters=("x",),
        body=b"b",
    )


@each_dialect
@pytest.mark.parametrize(
    ("code", "number"), [(200, 200), (999, 999), ("404", 404), (200.6, 201), (" 0500", 500)]
)
def test_a_code_is_what_converts(dialect, code, number):
    assert read("'http-response'", response(code=code), dialect).code == number


@each_dialect
@pytest.mark.parametrize("code", [None, [], {}])
def test_a_code_is_a_number(dialect, code):
    assert error("'http-response'", response(code=code), dialect) == (
        "'http-response' contains 'code' with wrong type"
    )


@each_dialect
@pytest.mark.parametrize(
    "code", [-1, 0, 99, 100, 199, 199.4, 1000, 999.5, "abc", "", True, 2**31, 2**32, math.inf]
)
def test_a_code_that_no_client_could_read_is_refused(dialect, code):
    assert error("'http-response'", response(code=code), dialect) == (
        "'http-response' contains 'code' with invalid value"
    )


@each_dialect
@pytest.mark.parametrize("reason", [{}, {"reason": ""}])
def test_without_a_reason_the_standard_phrase_is_used(dialect, reason):
    found = read("'http-response'", response(code=404, **reason), dialect)
    assert found.reason == b"Not Found"


@pytest.mark.parametrize("dialect", LENIENT)
def test_a_null_reason_is_none_but_in_json(dialect):
    assert read("'http-response'", response(reason=None), dialect).reason == b"OK"
    assert error("'http-response'", response(reason=None)) == (
        "'http-response' contains 'reason' with wrong type"
    )


def test_a_reason_is_utf8():
    assert read_response({"reason": b"\xff", "body": b""}, TNETSTRING).reason == b"\xef\xbf\xbd"
    assert read_response({"reason": "é", "body": ""}, JSON).reason == "é".encode()


@each_dialect
def test_a_reason_is_a_string(dialect):
    assert error("'http-response'", response(reason=1), dialect) == (
        "'http-response' contains 'reason' with wrong type"
    )


@each_dialect
@pytest.mark.parametrize("reason", ["a\r", "\nb", "a\0"])
def test_a_reason_stays_in_its_line(dialect, reason):
    assert error("'http-response'", response(reason=reason), dialect) == (
        "'http-response' contains 'reason' with invalid value"
    )


HEADERS = {"b": "1", "A": "2", "a": "3"}


def test_headers_of_an_object_are_sorted_in_json():
    found = read_response(response(headers=HEADERS), JSON).headers
    assert found == ((b"A", b"2"), (b"a", b"3"), (b"b", b"1"))


@pytest.mark.parametrize("dialect", LENIENT)
def test_headers_of_an_object_keep_their_order_elsewhere(dialect):
    found = read("'http-response'", response(headers=HEADERS), dialect).headers
    assert found == ((b"b", b"1"), (b"A", b"2"), (b"a", b"3"))


def test_headers_of_msgpack_are_text_or_bytes():
    found = read_response(response(headers=[[b"a", "1"], ["b", b"2"]]), MSGPACK).headers
    assert found == ((b"a", b"1"), (b"b", b"2"))


def test_header_values_are_utf8():
    headers = [[b"a", b"\xff"], [b"b", "é".encode()]]
    found = read_response({"headers": headers, "body": b""}, TNETSTRING).headers
    assert found == ((b"a", b"\xef\xbf\xbd"), (b"b", "é".encode()))


@each_dialect
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (None, "'http-response' contains 'headers' with wrong type"),
        ("a: b", "'http-response' contains 'headers' with wrong type"),
        (["a"], "headers contains element with wrong type"),
        ([{"a": "b"}], "headers contains element with wrong type"),
        ([["a", "b"], ["a"]], "headers contains list with wrong number of elements"),
        ([["a", "b", "c"]], "headers contains list with wrong number of elements"),
        ([[1, 2]], "header contains name element with wrong type"),
        ([["a", 2]], "header contains value element with wrong type"),
        ([["a", None]], "header contains value element with wrong type"),
        ({"a": 1}, "headers contains 'a' with wrong type"),
        ({"a": ["b"]}, "headers contains 'a' with wrong type"),
    ],
)
def test_headers_are_pairs_of_strings(dialect, headers, text):
    assert error("'http-response'", response(headers=headers), dialect) == text


@each_dialect
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("é", "x"),
        ("a", "x\r\ny: z"),
        ("a", "\n"),
        ("a", "\0"),
    ],
)
def test_headers_stay_in_their_lines(dialect, name, value):
    for headers in ([[name, value]], {name: value}):
        assert error("'http-response'", response(headers=headers), dialect) == (
            "'http-response' contains 'headers' with invalid value"
        )


def test_a_tab_and_other_text_may_stand_in_a_header_value():
    assert read_response(response(headers={"a": "\t é\x01"}), JSON).headers == (
        (b"a", "\t é\x01".encode()),
    )


def test_the_first_body_is_taken_and_the_others_are_not_looked_at():
    value = {"body-bin": "AP8=", "body": 1, "body-patch": 1}
    assert read_response(value, JSON).body == b"\x00\xff"
    assert read_response(value, MSGPACK).body == b"\x00\xff"
    value = {"body": b"x", "body-patch": 1}
    assert read_response(value, TNETSTRING).body == b"x"


def test_tnetstrings_have_no_body_bin():
    assert read_response({"body-bin": 1, "body": b"\xff"}, TNETSTRING).body == b"\xff"


def test_msgpack_bodies_are_bytes_or_text():
    assert read_response({"body": b"\xff"}, MSGPACK).body == b"\xff"
    assert read_response({"body": "é"}, MSGPACK).body == "é".encode()
    assert read_response({"body-bin": b"AP8="}, MSGPACK).body == b"AP8="


@each_dialect
@pytest.mark.parametrize("value", [None, 1, ["x"]])
def test_a_body_is_a_string(dialect, value):
    assert error("'http-response'", {"body": value}, dialect) == (
        "'http-response' contains 'body' with wrong type"
    )
    if dialect is not TNETSTRING:
        assert error("'http-response'", {"body-bin": value}, dialect) == (
            "'http-response' contains 'body-bin' with wrong type"
        )


PATCH = [{"op": "add", "path": "/a", "value": [1, 1.5, None, True]}]


@each_dialect
def test_a_body_may_be_a_patch(dialect):
    found = read("'http-response'", {"body-patch": PATCH}, dialect)
    assert found.body is None
    assert found.body_patch == tuple(PATCH)


@each_dialect
def test_a_patch_is_not_checked_before_it_is_applied(dialect):
    assert read("'http-response'", {"body-patch": [5]}, dialect).body_patch == (5,)


def test_a_patch_may_be_as_deep_as_json():
    value = []
    for _ in range(1020):
        value = [value]
    assert len(read_response({"body-patch": value}, JSON).body_patch) == 1


@pytest.mark.parametrize("dialect", LENIENT)
def test_a_null_patch_is_an_empty_one_but_in_json(dialect):
    assert read_response({"body-patch": None}, dialect).body_patch == ()
    assert error("'http-response'", {"body-patch": None}) == (
        "'http-response' contains 'body-patch' with wrong type"
    )


@each_dialect
@pytest.mark.parametrize("patch", ["x", {}, 1])
def test_a_patch_is_a_list(dialect, patch):
    assert error("'http-response'", {"body-patch": patch}, dialect) == (
        "'http-response' contains 'body-patch' with wrong type"
    )


def test_a_patch_has_no_number_that_json_has_not():
    assert error("'http-response'", {"body-patch": [math.nan]}, MSGPACK) == (
        "'http-response' contains 'body-patch' with invalid value"
    )


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        (JSON, "'body', 'body-bin', or 'body-patch'"),
        (TNETSTRING, "'body' or 'body-patch'"),
        (MSGPACK, "'body', 'body-bin', or 'body-patch'"),
    ],
)
def test_a_response_needs_a_body(dialect, names):
    assert error("'http-response'", {}, dialect) == f"'http-response' does not contain {names}"


WRONG = {"code": None, "reason": 1, "headers": 1, "content-filters": 1, "body": 1}


@pytest.mark.parametrize("good", range(5))
def test_a_response_is_checked_in_order(good):
    """Whatever is wrong behind it, the first wrong member is named."""
    right = {"code": 200, "reason": "", "headers": [], "content-filters": []}
    names = list(WRONG)
    value = {**WRONG, **{name: right[name] for name in names[:good]}}
    assert error("'http-response'", value) == (
        f"'http-response' contains '{names[good]}' with wrong type"
    )


# http-stream


@each_dialect
def test_a_stream_has_content(dialect):
    found = read("'http-stream'", {"content": "é\n", "content-filters": ["a"]}, dialect)
    assert found == HttpStream(Action.SEND, ("a",), "é\n".encode())


@each_dialect
def test_content_may_be_empty(dialect):
    assert read("'http-stream'", {"content": ""}, dialect) == HttpStream(content=b"")


def test_content_bin_comes_first_where_it_exists():
    value = {"content-bin": "AP8=", "content": 1}
    assert read_stream(value, JSON).content == b"\x00\xff"
    assert read_stream(value, MSGPACK).content == b"\x00\xff"
    assert read_stream({"content-bin": b"AP8=", "content": 1}, MSGPACK).content == b"AP8="
    assert read_stream({"content-bin": 1, "content": b"x"}, TNETSTRING).content == b"x"


@each_dialect
@pytest.mark.parametrize("value", [None, 1, []])
def test_content_is_a_string(dialect, value):
    assert error("'http-stream'", {"content": value}, dialect) == (
        "'http-stream' contains 'content' with wrong type"
    )
    if dialect is not TNETSTRING:
        assert error("'http-stream'", {"content-bin": value}, dialect) == (
            "'http-stream' contains 'content-bin' with wrong type"
        )


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        (JSON, "'content' or 'content-bin'"),
        (TNETSTRING, "'content'"),
        (MSGPACK, "'content' or 'content-bin'"),
    ],
)
def test_a_stream_needs_content(dialect, names):
    assert error("'http-stream'", {}, dialect) == f"'http-stream' does not contain {names}"


# ws-message


@pytest.mark.parametrize(
    ("value", "dialect", "kind", "content"),
    [
        ({"content": "é"}, JSON, Kind.TEXT, "é".encode()),
        ({"content-bin": "AP8="}, JSON, Kind.BINARY, b"\x00\xff"),
        ({"content-bin": "AP8=", "content": 1}, JSON, Kind.BINARY, b"\x00\xff"),
        ({"content": b"\xff"}, TNETSTRING, Kind.TEXT, b"\xff"),
        ({"content-bin": b"AP8="}, TNETSTRING, Kind.BINARY, b"AP8="),
        ({"content": "é"}, MSGPACK, Kind.TEXT, "é".encode()),
        ({"content": b"x"}, MSGPACK, Kind.BINARY, b"x"),
        ({"content-bin": b"AP8="}, MSGPACK, Kind.BINARY, b"AP8="),
        ({"content-bin": "AP8="}, MSGPACK, Kind.BINARY, b"\x00\xff"),
    ],
)
def test_the_member_tells_the_kind(value, dialect, kind, content):
    assert read_message(value, dialect) == WebSocketMessage(kind=kind, content=content)


@each_dialect
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("member", ["content", "content-bin"])
def test_a_type_goes_with_both_members(dialect, kind, member):
    found = read("'ws-message'", {"type": kind.name.lower(), member: ""}, dialect)
    assert found == WebSocketMessage(kind=kind)


@each_dialect
def test_a_null_type_is_none_but_in_json(dialect):
    value = {"type": None, "content": "x"}
    if dialect is JSON:
        assert error("'ws-message'", value) == "'ws-message' contains 'type' with wrong type"
    else:
        assert read("'ws-message'", value, dialect).kind is Kind.TEXT


@each_dialect
@pytest.mark.parametrize("kind", ["", "TEXT", "close"])
def test_an_unknown_type_is_refused(dialect, kind):
    assert error("'ws-message'", {"type": kind, "content-filters": 1}, dialect) == (
        "'ws-message' contains 'type' with unknown value"
    )


@each_dialect
def test_a_type_is_a_string(dialect):
    assert error("'ws-message'", {"type": 1}, dialect) == (
        "'ws-message' contains 'type' with wrong type"
    )


@each_dialect
@pytest.mark.parametrize("member", ["content", "content-bin"])
@pytest.mark.parametrize("value", [None, 1, []])
def test_the_content_of_a_message_is_a_string(dialect, member, value):
    assert error("'ws-message'", {member: value}, dialect) == (
        f"'ws-message' contains '{member}' with wrong type"
    )


@each_dialect
@pytest.mark.parametrize("kind", [{}, {"type": "text"}, {"type": "binary"}])
def test_a_message_needs_content(dialect, kind):
    assert error("'ws-message'", kind, dialect) == (
        "'ws-message' does not contain 'content' or 'content-bin'"
    )


@each_dialect
@pytest.mark.parametrize("kind", [Kind.PING, Kind.PONG])
def test_a_ping_or_pong_needs_none(dialect, kind):
    found = read("'ws-message'", {"type": kind.name.lower()}, dialect)
    assert found == WebSocketMessage(kind=kind)


@each_dialect
@pytest.mark.parametrize("kind", ["ping", "pong"])
def test_a_ping_or_pong_fits_a_control_frame(dialect, kind):
    assert len(read("'ws-message'", {"type": kind, "content": "x" * 125}, dialect).content) == 125
    assert error("'ws-message'", {"type": kind, "content": "x" * 126}, dialect) == (
        "'ws-message' contains 'content' with invalid value"
    )


def test_other_messages_may_be_long():
    assert len(read_message({"content": "x" * 126}, JSON).content) == 126


@pytest.mark.parametrize(
    ("kind", "content", "unsendable"),
    [
        (Kind.TEXT, b"a", False),
        (Kind.TEXT, "é".encode(), False),
        (Kind.TEXT, b"\xff", True),
        (Kind.BINARY, b"\xff", False),
    ],
)
def test_a_text_that_is_not_utf8_cannot_be_sent(kind, content, unsendable):
    assert WebSocketMessage(kind=kind, content=content).unsendable is unsendable


# Close


@each_dialect
@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"reason": "bye"}, 1000, "bye"),
        ({"code": 4002, "reason": "bye"}, 4002, "bye"),
        ({"code": "4002"}, 4002, ""),
        ({"code": 1003, "type": 1, "content-filters": 1}, 1003, ""),
    ],
)
def test_a_close_has_code_and_reason(dialect, value, code, reason):
    found = read("'ws-message'", {"action": "close", **value}, dialect)
    assert found == WebSocketMessage(Action.CLOSE, code=code, reason=reason)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_these_close_codes_may_be_sent(code):
    assert read_message({"action": "close", "code": code}, JSON).code == code


@each_dialect
@pytest.mark.parametrize(
    "code", [-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 99999, "abc", True, 2**32]
)
def test_other_close_codes_are_refused(dialect, code):
    assert error("'ws-message'", {"action": "close", "code": code}, dialect) == (
        "'ws-message' contains 'code' with invalid value"
    )


@each_dialect
def test_a_close_is_checked_in_order(dialect):
    value = {"action": "close", "code": None, "reason": 1}
    assert error("'ws-message'", value, dialect) == "'ws-message' contains 'code' with wrong type"
    value["code"] = 1000
    assert (
        error("'ws-message'", value, dialect) == "'ws-message' contains 'reason' with wrong type"
    )


@pytest.mark.parametrize(
    ("reason", "cut"),
    [
        ("x" * 123, "x" * 123),
        ("x" * 200, "x" * 123),
        ("é" * 100, "é" * 61),
        ("x" * 122 + "é", "x" * 122),
    ],
)
def test_a_long_reason_is_cut_at_a_character(reason, cut):
    assert read_message({"action": "close", "reason": reason}, JSON).reason == cut


# The way back

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
LINES = TEXTS.map(lambda text: text.translate({0: None, 10: None, 13: None}))
FILTERS = st.none() | st.lists(TEXTS, max_size=3)
OTHER_ACTIONS = st.fixed_dictionaries({"action": st.sampled_from(["hint", "close", "refresh"])})
CONTENT = st.binary() | TEXTS.map(str.encode)


def sent(members, filters):
    return members if filters is None else {**members, "content-filters": filters}


RESPONSES = OTHER_ACTIONS | st.builds(
    sent,
    st.fixed_dictionaries(
        {
            "code": st.integers(200, 999),
            "reason": LINES,
            "headers": st.lists(
                st.tuples(st.from_regex(r"[A-Za-z-]+", fullmatch=True), LINES).map(list),
                max_size=3,
            ),
        }
    ).flatmap(
        lambda members: (
            CONTENT.map(lambda body: {**members, "body": body})
            | st.lists(TEXTS | st.integers(0, 9)).map(
                lambda patch: {**members, "body-patch": patch}
            )
        )
    ),
    FILTERS,
)
STREAMS = OTHER_ACTIONS | st.builds(sent, CONTENT.map(lambda c: {"content": c}), FILTERS)
MESSAGES = (
    OTHER_ACTIONS
    | st.builds(
        lambda code, reason: {"action": "close", "code": code, "reason": reason},
        st.sampled_from([1000, 1014, 3000, 4999]),
        TEXTS,
    )
    | st.builds(
        sent,
        st.builds(
            lambda kind, content: {"type": kind, "content": content[:125]},
            st.sampled_from(["text", "binary", "ping", "pong"]),
            CONTENT,
        ),
        FILTERS,
    )
)


@given(RESPONSES)
def test_a_response_can_go_back_to_json(value):
    found = read_response(value, MSGPACK)
    assert read_response(formats.response_to_json(found), JSON) == found


@given(STREAMS)
def test_a_stream_can_go_back_to_json(value):
    found = read_stream(value, MSGPACK)
    assert read_stream(formats.stream_to_json(found), JSON) == found


@given(MESSAGES)
def test_a_message_can_go_back_to_json(value):
    found = read_message(value, MSGPACK)
    assert read_message(formats.message_to_json(found), JSON) == found

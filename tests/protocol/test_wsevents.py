"""WebSocket-over-HTTP: websockets.md 4.1, 4.2, 4.4 to 4.7."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import EventsError
from gripproxy.protocol import wsevents, wsframes
from gripproxy.protocol.wsevents import Event, Kind, Remainder

OPEN = Event(Kind.OPEN)
CLOSE = Event(Kind.CLOSE)
PING = Event(Kind.PING)


def text(content):
    return Event(Kind.TEXT, content)


def binary(content):
    return Event(Kind.BINARY, content)


def close(content):
    return Event(Kind.CLOSE, content)


def decode(body):
    return list(wsevents.decode(body))


# Bodies


def test_events_are_written_with_sizes_in_lower_case_hexadecimal():
    events = [OPEN, text(b"hi"), binary(b"\xff" * 42), close(b"\x03\xe8done"), Event(Kind.PONG)]
    assert wsevents.encode(events) == (
        b"OPEN\r\nTEXT 2\r\nhi\r\nBINARY 2a\r\n" + b"\xff" * 42 + b"\r\n"
        b"CLOSE 6\r\n\x03\xe8done\r\nPONG\r\n"
    )


def test_what_is_empty_has_no_size():
    assert wsevents.encode([text(b""), Event(Kind.PING, b"")]) == b"TEXT\r\nPING\r\n"


def test_no_events_are_an_empty_body():
    assert wsevents.encode([]) == b""
    assert decode(b"") == []


def test_the_answer_of_a_library_is_read():
    body = b'OPEN\r\nTEXT 2a\r\nc:{"channel": "room", "type": "subscribe"}\r\n'
    assert decode(body) == [OPEN, text(b'c:{"channel": "room", "type": "subscribe"}')]


@pytest.mark.parametrize("size", [b"a", b"A", b"0a", b"000000000000000000000A"])
def test_sizes_are_read_in_either_case_and_with_zeros(size):
    assert decode(b"TEXT " + size + b"\r\n0123456789\r\n") == [text(b"0123456789")]


def test_no_size_and_size_0_are_told_apart():
    assert decode(b"TEXT\r\nTEXT 0\r\n\r\nPING\r\n") == [text(None), text(b""), PING]


def test_content_may_look_like_events():
    assert decode(b"BINARY b\r\nTEXT 1\r\nx\r\n\r\n") == [binary(b"TEXT 1\r\nx\r\n")]


def test_the_line_end_may_lack_at_the_very_end():
    assert decode(b"TEXT 2\r\nhi") == [text(b"hi")]


@pytest.mark.parametrize("name", [b"open", b"CONTINUATION", b"X-1", b"Text"])
def test_unknown_events_are_passed_over_with_their_content(name):
    assert decode(name + b"\r\n" + name + b" 4\r\n\r\n\r\n\r\nTEXT\r\n") == [text(None)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"OPEN", "malformed event line"),
        (b"OPEN\n", "malformed event line"),
        (b"OPEN\r", "malformed event line"),
        (b"\r\n", "malformed event line"),
        (b" 4\r\nabcd\r\n", "malformed event line"),
        (b"TEXT \r\n\r\n", "malformed event line"),
        (b"TEXT  2\r\nhi\r\n", "malformed event line"),
        (b"TEXT 2 \r\nhi\r\n", "malformed event line"),
        (b"TEXT 0x2\r\nhi\r\n", "malformed event line"),
        (b"TEXT +2\r\nhi\r\n", "malformed event line"),
        (b"TEXT -1\r\nhi\r\n", "malformed event line"),
        (b"TEXT 2\rhi\r\n", "malformed event line"),
        (b"TEXT 2 2\r\nhi\r\n", "malformed event line"),
        (b"TE\x00T\r\n", "malformed event line"),
        (b"TEXT 3\r\nhi", "event content is cut short"),
        (b"TEXT " + b"f" * 5_000 + b"\r\nhi\r\n", "event content is cut short"),
        (b"open 3\r\nhi", "event content is cut short"),
        (b"TEXT 2\r\nhi\r", "no line end behind event content"),
        (b"TEXT 2\r\nhi\n", "no line end behind event content"),
        (b"TEXT 1\r\nhi\r\n", "no line end behind event content"),
        (b"TEXT 2\r\nhiTEXT\r\n", "no line end behind event content"),
        (b"TEXT 1\r\n\xff\r\n", "TEXT event is not UTF-8"),
        (b"PING 7e\r\n" + b"a" * 126 + b"\r\n", "PING event over 125 bytes"),
        (b"PONG 7e\r\n" + b"a" * 126 + b"\r\n", "PONG event over 125 bytes"),
        (b"CLOSE 2\r\n\x00\x01\r\n", "CLOSE event: close frame with a bad code"),
        (b"CLOSE 2\r\n\x03\xed\r\n", "CLOSE event: close frame with a bad code"),
        (b"CLOSE 3\r\n\x03\xe8\xff\r\n", "CLOSE event: close reason is not UTF-8"),
        (b"CLOSE 3\r\n\x00\x00\xff\r\n", "CLOSE event: close reason is not UTF-8"),
    ],
)
def test_a_body_that_is_wrong_is_refused(body, reason):
    with pytest.raises(EventsError) as caught:
        decode(body)
    assert caught.value.text == reason


def test_what_came_before_an_error_can_be_acted_on():
    events = wsevents.decode(b"TEXT 1\r\na\r\nPING\r\nnonsense")
    assert next(events) == text(b"a")
    assert next(events) == PING
    with pytest.raises(EventsError):
        next(events)


@pytest.mark.parametrize("name", [b"CLOSE", b"DISCONNECT"])
def test_nothing_is_read_behind_the_end_of_a_connection(name):
    assert decode(name + b"\r\nTEXT 1\r\na\r\nnonsense") == [Event(Kind(name))]


def test_a_ping_may_be_as_long_as_a_frame_allows():
    assert decode(b"PING 7d\r\n" + bytes(125)) == [Event(Kind.PING, bytes(125))]


def test_frames_and_events_stand_for_each_other():
    assert wsevents.KINDS[wsframes.PONG] is Kind.PONG
    assert wsevents.OPCODES[Kind.BINARY] == wsframes.BINARY
    assert Kind.OPEN not in wsevents.OPCODES


events = st.one_of(
    st.builds(Event, st.sampled_from([Kind.OPEN, Kind.BINARY]), st.binary()),
    st.builds(Event, st.sampled_from([Kind.PING, Kind.PONG]), st.binary(max_size=125)),
    st.text().map(str.encode).map(text),
)


@given(st.lists(events))
def test_what_is_encoded_decodes(sent):
    assert decode(wsevents.encode(sent)) == [
        Event(event.kind, event.content or None) for event in sent
    ]


@given(st.lists(events, min_size=1), st.data())
def test_half_a_body_never_gives_half_a_message(sent, data):
    body = wsevents.encode(sent)
    part = body[: data.draw(st.integers(0, len(body)))]
    found = []
    with contextlib.suppress(EventsError):
        found.extend(wsevents.decode(part))
    assert found == decode(body)[: len(found)]


@given(st.binary() | st.text("OPENTXCLS 0123af\r\n").map(str.encode))
def test_no_bytes_raise_anything_else(body):
    with contextlib.suppress(EventsError):
        decode(body)


# The content of CLOSE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, (None, "")),
        (b"", (None, "")),
        (b"\x03", (None, "")),
        (b"\x0f\xa0", (4000, "")),
        (b"\x03\xe8d\xc3\xb6ne", (1000, "döne")),
        (b"\x00\x00", (None, "")),
        (b"\x00\x00done", (None, "done")),
    ],
)
def test_a_close_has_a_code_and_a_reason_or_none(content, expected):
    assert wsevents.read_close(content) == expected


# Fields of a request


def test_the_handshake_is_repeated_without_what_the_proxy_says():
    kept = [
        (b"Host", b"a"),
        (b"Cookie", b"c=1"),
        (b"Sec-WebSocket-Key", b"x"),
        (b"Accept-Language", b"de"),
        (b"Metadata", b"m"),
    ]
    dropped = [
        (b"Upgrade", b"websocket"),
        (b"ACCEPT", b"*/*"),
        (b"Connection-Id", b"mine"),
        (b"connection_id", b"mine"),
        (b"Content-Length", b"0"),
        (b"Content-Type", b"text/plain"),
        (b"Content-Bytes-Replayed", b"5"),
        (b"mEtA-User", b"root"),
        (b"Meta_User", b"root"),
    ]
    assert [field for field in kept + dropped if wsevents.is_repeated(field[0])] == kept


def test_a_request_names_its_connection_and_tells_the_meta():
    meta = [(b"User", b"alice"), (b"A_b", b"1")]
    assert wsevents.exchange_fields(b"id", meta, replayed=3) == [
        (b"Accept", b"application/websocket-events"),
        (b"Connection-Id", b"id"),
        (b"Content-Type", b"application/websocket-events"),
        (b"Content-Bytes-Replayed", b"3"),
        (b"Meta-User", b"alice"),
        (b"Meta-A_b", b"1"),
    ]


def test_a_request_that_replays_nothing_does_not_say_so():
    names = [name for name, _ in wsevents.exchange_fields(b"id", [], replayed=0)]
    assert names == [b"Accept", b"Connection-Id", b"Content-Type"]


# Fields of a response


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/websocket-events", True),
        (b"Application/WebSocket-Events", True),
        (b"application/websocket-events; charset=utf-8", True),
        (b"application/websocket-events ;a", True),
        (b"application/websocket-event", False),
        (b"text/plain; application/websocket-events", False),
        (b"", False),
        (None, False),
    ],
)
def test_the_media_type_is_compared_without_case_and_parameters(value, expected):
    assert wsevents.is_events(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"60", 60),
        (b" 060 ", 60),
        (b"+60", 60),
        (b"20", 20),
        (b"1", 20),
        (b"2147483647", 2_147_483_647),
        (b"2147483648", None),
        (b"99999999999", None),
        (b"0", None),
        (b"-5", None),
        (b"30x", None),
        (b"30.5", None),
        (b"3 0", None),
        (b"", None),
    ],
)
def test_the_keep_alive_interval_is_a_number_of_seconds_or_off(value, expected):
    fields = [(b"Server", b"x"), (b"keep-ALIVE-interval", value)]
    assert wsevents.keep_alive_interval(fields, 77) == expected


@pytest.mark.parametrize("current", [None, 60])
def test_without_the_field_the_interval_stays(current):
    assert wsevents.keep_alive_interval([(b"Server", b"x")], current) == current


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"0", 0), (b"12", 12), (b"-1", None), (b"x", None), (b"", None), (b"9" * 5_000, None)],
)
def test_accepted_bytes_are_a_number_or_all(value, expected):
    assert wsevents.accepted_bytes([(b"content-bytes-accepted", value)]) == expected


def test_without_the_field_all_is_accepted():
    assert wsevents.accepted_bytes([(b"Content-Bytes", b"1")]) is None


def test_meta_is_set_replaced_and_removed():
    meta = wsevents.updated_meta(
        (), [(b"Set-Meta-User", b"alice"), (b"set-meta-lower", b"1"), (b"X-Meta-User", b"x")]
    )
    assert meta == ((b"User", b"alice"), (b"lower", b"1"))
    meta = wsevents.updated_meta(meta, [(b"SET-META-user", b"bob")])
    assert meta == ((b"lower", b"1"), (b"user", b"bob"))
    assert wsevents.updated_meta(meta, [(b"Set-Meta-USER", b"")]) == ((b"lower", b"1"),)


def test_the_last_of_equal_names_wins():
    fields = [(b"Set-Meta-A_b", b"1"), (b"Set-Meta-A_b", b"2")]
    assert wsevents.updated_meta((), fields) == ((b"A_b", b"2"),)
    fields = [(b"Set-Meta-a", b"1"), (b"Set-Meta-a", b"")]
    assert wsevents.updated_meta((), fields) == ()


def test_meta_needs_a_name():
    assert wsevents.updated_meta((), [(b"Set-Meta-", b"x")]) == ()


def test_meta_is_bounded():
    fields = [(b"Set-Meta-%d" % number, b"x") for number in range(wsevents.META_MAX)]
    full = wsevents.updated_meta((), fields)
    assert len(wsevents.updated_meta(full, fields)) == wsevents.META_MAX
    with pytest.raises(EventsError, match="more than 100 meta values"):
        wsevents.updated_meta(full, [(b"Set-Meta-x", b"1")])


# What an origin has taken


def remainder(offered, accepted, *, all_queued=True):
    return wsevents.remainder(offered, accepted, all_queued=all_queued)


@pytest.mark.parametrize("accepted", [None, 8])
def test_nothing_is_left_of_what_was_accepted(accepted):
    assert remainder([text(b"foo"), text(b"hello")], accepted) == Remainder()


def test_a_message_may_be_split():
    # The example of the specification.
    offered = [text(b"[foo]"), text(b"[hello")]
    assert remainder(offered, 5) == Remainder((text(b"[hello"),), 6)
    assert remainder(offered, 8) == Remainder((text(b"llo"),), 3)


def test_the_rest_keeps_its_kind():
    offered = [binary(b"ab"), Event(Kind.PING, b"c"), Event(Kind.PONG, b"d")]
    assert remainder(offered, 1) == Remainder((binary(b"b"), *offered[1:]), 3)


def test_an_empty_message_is_accepted_with_what_is_before_it():
    offered = [text(None), text(b"ab"), PING, text(b"c")]
    assert remainder(offered, 2) == Remainder((text(b"c"),), 1)
    assert remainder(offered, 1) == Remainder((text(b"b"), PING, text(b"c")), 2)
    assert remainder([text(None), OPEN], 0) == Remainder()


def test_more_than_was_offered_is_an_error():
    with pytest.raises(EventsError, match="more than it was offered"):
        remainder([text(b"ab")], 3)


def test_a_close_counts_with_its_content():
    assert remainder([text(b"ab"), close(b"\x03\xe8x")], 5) == Remainder()
    assert remainder([text(b"ab"), CLOSE], 2) == Remainder()


@pytest.mark.parametrize("accepted", [2, 3, 4])
def test_a_part_of_a_close_is_an_error(accepted):
    with pytest.raises(EventsError, match="all but the close"):
        remainder([text(b"ab"), close(b"\x03\xe8x")], accepted)


def test_a_close_behind_what_was_not_accepted_counts_as_not_sent():
    ending = close(b"\x03\xe8x")
    assert remainder([text(b"ab"), ending], 1) == Remainder((text(b"b"), ending), 1)
    assert remainder([text(b"ab"), CLOSE], 0) == Remainder((text(b"ab"), CLOSE), 2)


def test_an_origin_may_take_nothing_if_nothing_else_waits():
    assert remainder([text(b"ab")], 0) == Remainder((text(b"ab"),), 2)


def test_an_origin_must_get_on_if_more_waits():
    with pytest.raises(EventsError, match="accepted nothing although more waits"):
        remainder([text(b"ab")], 0, all_queued=False)
    assert remainder([text(b"ab")], 1, all_queued=False) == Remainder((text(b"b"),), 1)
    assert remainder([text(None)], 0, all_queued=False) == Remainder()


@given(st.lists(events, max_size=6), st.data())
def test_no_byte_is_lost_or_doubled(offered, data):
    total = wsevents.content_size(offered)
    accepted = data.draw(st.integers(0, total))
    left = remainder(offered, accepted)
    contents = b"".join(event.content or b"" for event in offered)
    assert b"".join(event.content or b"" for event in left.events) == contents[accepted:]
    assert left.replayed == wsevents.content_size(left.events) == total - accepted

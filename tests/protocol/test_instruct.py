"""Instructs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import InstructError
from gripproxy.protocol import instruct
from gripproxy.protocol.headers import DATE, Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.terms import Channel, HoldMode, KeepAlive, Link

JSON = (b"Content-Type", b"application/grip-instruct")
PLAIN = (b"Content-Type", b"text/plain")
STREAM = (b"Grip-Hold", b"stream")
NEXT = (b"Grip-Link", b"</n>; rel=next")


def response(*fields, status=200, reason=b"OK", body=b"body"):
    return Response(
        status=status, reason=reason, headers=Headers(fields), body=body, length=len(body)
    )


def error_of(work, *arguments):
    with pytest.raises(InstructError) as caught:
        work(*arguments)
    return caught.value.text


# Whether


@pytest.mark.parametrize(
    "fields",
    [
        [(b"GRIP-foo", b"")],
        [PLAIN, (b"Grip-Hold", b"x")],
        [JSON],
        [(b"content-type", b" Application/Grip-Instruct ; charset=utf-8")],
    ],
)
def test_a_response_is_an_instruct(fields):
    assert instruct.is_instruct(Headers(fields))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [PLAIN],
        [PLAIN, JSON],
        [(b"X-Grip-Hold", b"stream")],
        [(b"Content-Type", b"application/grip-instructs")],
        [(b"Content-Type", b"")],
    ],
)
def test_a_response_is_no_instruct(fields):
    assert not instruct.is_instruct(Headers(fields))


def test_only_the_media_type_makes_json():
    assert instruct.is_json(Headers([STREAM, JSON]))
    assert not instruct.is_json(Headers([STREAM]))


# When


@pytest.mark.parametrize(
    ("fields", "streams"),
    [
        ([STREAM], True),
        ([STREAM, NEXT], True),
        ([NEXT], True),
        ([(b"Grip-Hold", b"response"), NEXT], False),
        ([(b"Grip-Hold", b"response")], False),
        ([(b"Grip-Channel", b"c")], False),
        ([(b"Grip-Link", b"</g>; rel=gone")], False),
        ([JSON, STREAM], False),
        ([JSON], False),
    ],
)
def test_the_body_of_a_stream_that_fields_tell_is_relayed(fields, streams):
    assert instruct.streams(response(*fields)) is streams


def test_malformed_fields_are_found_before_the_body():
    assert error_of(instruct.streams, response(JSON, (b"Grip-Timeout", b"x"))) == (
        "failed to parse Grip-Timeout"
    )


def test_the_head_leaves_the_body_where_it_is():
    asked = instruct.read_head(response(PLAIN, STREAM))
    assert asked.mode is HoldMode.STREAM
    assert (asked.response.body, asked.response.length) == (b"body", 4)


def test_the_head_of_json_has_its_fields_only():
    assert instruct.read_head(response(JSON, STREAM)).mode is HoldMode.STREAM


# What


def test_all_that_fields_say_is_in_an_instruct():
    asked = instruct.read(
        response(
            PLAIN,
            STREAM,
            NEXT,
            (b"Grip-Link", b"</g>; rel=gone"),
            (b"Grip-Channel", b"c"),
            (b"Grip-Timeout", b"20"),
            (b"Grip-Keep-Alive", b"x"),
            (b"Grip-Set-Meta", b"a=b"),
        ),
        b"init\n",
    )
    assert (asked.mode, asked.channels, asked.timeout) == (HoldMode.STREAM, (Channel("c"),), 20)
    assert (asked.keep_alive, asked.meta) == (KeepAlive(b"x"), {"a": "b"})
    assert (asked.next, asked.gone) == (Link(b"/n"), Link(b"/g"))
    assert (asked.response.body, asked.response.length) == (b"init\n", 5)


def test_json_is_read_over_the_fields():
    body = b'{"hold": {"channels": []}, "response": {"body": "x"}}'
    asked = instruct.read(response(JSON, STREAM, (b"X-A", b"1")), body)
    assert asked.mode is HoldMode.RESPONSE
    assert (asked.response.headers, asked.response.body) == (Headers(), b"x")


def test_json_keeps_the_reason_of_the_origin():
    asked = instruct.read(response(JSON, reason=b"Fine"), b"{}")
    assert asked.response.reason == b"Fine"


def test_json_comes_with_status_200():
    text = "response code for application/grip-instruct content must be 200"
    assert error_of(instruct.read, response(JSON, status=201), b"x") == text


def test_fields_are_checked_before_json():
    text = "failed to parse Grip-Timeout"
    asked = response(JSON, (b"Grip-Timeout", b""), status=201)
    assert error_of(instruct.read, asked, b"x") == text


def left(*fields, **about):
    return instruct.read(response(*fields, **about), b"").response


def test_fields_for_the_proxy_are_taken_off():
    answer = left(
        (b"Grip-Foo", b"1"),
        (b"X-A", b"1"),
        (b"Connection", b"X-Hop, keep-alive"),
        (b"Keep-Alive", b"1"),
        (b"X-Hop", b"1"),
        (b"Content-Encoding", b"gzip"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"5"),
        (b"ETag", b'"v1"'),
    )
    assert answer.headers == Headers([(b"X-A", b"1"), (b"ETag", b'"v1"')])


def test_only_exposed_fields_survive_if_there_are_any():
    answer = left(
        PLAIN,
        (b"Grip-Expose-Headers", b"x-b, X-A"),
        (b"X-A", b"1"),
        (b"Date", b"now"),
        (b"X-B", b"2"),
    )
    assert answer.headers == Headers([(b"X-A", b"1"), (b"X-B", b"2")])
    assert not answer.headers.marks & DATE


@pytest.mark.parametrize(
    ("fields", "status", "reason", "line"),
    [
        ([STREAM], 200, b"Fine", (200, b"Fine")),
        ([STREAM], 404, b"", (404, b"Not Found")),
        ([(b"Grip-Status", b"304")], 200, b"Fine", (304, b"Not Modified")),
        ([(b"Grip-Status", b"200")], 200, b"Fine", (200, b"OK")),
        ([(b"Grip-Status", b"200 My own")], 500, b"x", (200, b"My own")),
    ],
)
def test_the_status_line_is_the_origin_s_or_another(fields, status, reason, line):
    answer = left(*fields, status=status, reason=reason)
    assert (answer.status, answer.reason) == line


def test_the_response_of_the_origin_stays_as_it_is():
    origin = response(PLAIN, STREAM)
    instruct.read(origin, b"other")
    assert (origin.headers, origin.body) == (Headers([PLAIN, STREAM]), b"body")


FIELDS = st.lists(
    st.sampled_from([JSON, STREAM, NEXT, PLAIN])
    | st.tuples(st.sampled_from([b"Grip-Channel", b"Content-Type", b"Connection"]), st.binary())
)


@given(FIELDS, st.binary())
def test_any_response_is_read_or_an_error(fields, body):
    try:
        asked = instruct.read(response(*fields), body)
    except InstructError:
        return
    assert asked.response.body in (body, b"")

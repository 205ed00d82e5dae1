"""Answers of the proxy itself: proxying.md 8.2, 17."""

import pytest

from gripproxy.errors import (
    ConnectError,
    ExchangeError,
    GripProxyError,
    InstructError,
    OriginTimeoutError,
    RequestError,
)
from gripproxy.protocol import answers
from gripproxy.protocol.messages import Response

E = b"Error while proxying to origin.\n"


def told(response: Response) -> tuple[int, bytes, bytes | None]:
    """Return status, body and Proxy-Status; each answer is text, with its length."""
    assert response.headers.get(b"content-type") == b"text/plain"
    assert response.length == len(response.body)
    return response.status, response.body, response.headers.get(b"proxy-status")


def test_a_text_ends_with_a_line_end():
    response = answers.text(403, "No.")
    assert told(response) == (403, b"No.\n", None)
    assert response.reason == b"Forbidden"


def test_an_answer_says_what_kind_of_error_it_is():
    assert told(answers.text(502, "x", error="dns_error"))[2] == b"gripproxy; error=dns_error"


@pytest.mark.parametrize(
    ("details", "value"),
    [
        ("plain", b'"plain"'),
        ('a "b" \\ c', b'"a \\"b\\" \\\\ c"'),
        ("Z\xfcrich\r\nX: y\x00", b'"Z?rich??X: y?"'),
    ],
)
def test_details_are_a_string_that_cannot_leave_its_field(details, value):
    status = told(answers.text(502, "x", error="dns_error", details=details))[2]
    assert status == b"gripproxy; error=dns_error; details=" + value


def test_no_route_is_told_with_and_without_debug():
    assert told(answers.no_route()) == (
        502,
        b"Route not found\n",
        b"gripproxy; error=destination_not_found",
    )


def test_a_handshake_without_a_route_is_told_so_without_a_media_type():
    response = answers.no_route(websocket=True)
    assert (response.status, response.body) == (502, b"Route not found\n")
    assert not response.headers.has(b"content-type")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, b"http_request_error"), (508, b"proxy_loop_detected")]
)
def test_a_bad_request_gets_the_status_of_its_error(status, kind):
    response = answers.of_request_error(RequestError(status, "Why."))
    assert told(response) == (status, b"Why.\n", b"gripproxy; error=" + kind)


def test_a_wrong_version_of_websocket_is_told_the_right_one():
    response = answers.of_request_error(RequestError(426, "Why."))
    assert response.headers.get(b"sec-websocket-version") == b"13"
    assert response.headers.get(b"upgrade") == b"websocket"
    assert response.headers.get(b"connection") == b"Upgrade"


@pytest.mark.parametrize(
    ("error", "status", "kind", "said"),
    [
        (ConnectError("dns_error", "none of them"), 502, b"dns_error", b"none of them\n"),
        (ExchangeError("http_protocol_error", "bad"), 502, b"http_protocol_error", b"bad\n"),
        (
            OriginTimeoutError("http_response_timeout", "late"),
            504,
            b"http_response_timeout",
            b"late\n",
        ),
        (
            InstructError("invalid hold"),
            502,
            b"proxy_internal_response",
            b"Failed to parse accept instructions: invalid hold\n",
        ),
        (GripProxyError("odd"), 502, b"proxy_internal_response", b"odd\n"),
    ],
)
def test_why_an_origin_did_not_answer_is_told_to_those_who_debug(error, status, kind, said):
    assert told(answers.of_origin_error(error, debug=False)) == (
        status,
        E,
        b"gripproxy; error=" + kind,
    )
    assert told(answers.of_origin_error(error, debug=True)) == (
        status,
        said,
        b'gripproxy; error=%b; details="%b"' % (kind, said[:-1]),
    )


def test_an_error_says_whose_it_is():
    error = ExchangeError("connection_terminated", "closed the connection.")
    error.blame("127.0.0.1:80")
    assert str(error) == error.text == "127.0.0.1:80 closed the connection."


def test_options_that_may_go_no_further_are_answered():
    response = answers.last_hop(b"OPTIONS")
    assert (response.status, response.body, response.headers.fields) == (200, b"", [])


def test_trace_that_may_go_no_further_is_refused():
    response = answers.last_hop(b"TRACE")
    assert told(response)[0] == 405
    assert b"TRACE" not in (response.headers.get(b"allow") or b"TRACE")

"""Where a head ends: proxying.md 2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RequestError
from gripproxy.protocol import cutting

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def refusal(buffer: bytes, seen: int = 0, limit: int = 100) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        cutting.find_head(buffer, seen, limit)
    return caught.value.status, caught.value.text


def test_a_head_ends_behind_its_blank_line():
    assert cutting.find_head(HEAD + b"body\r\n\r\n", 0, 100) == len(HEAD)


@given(st.integers(0, len(HEAD) - 1))
def test_a_head_that_came_in_two_parts_is_found_from_where_the_first_ended(cut):
    assert cutting.find_head(HEAD[:cut], 0, 100) == 0
    assert cutting.find_head(HEAD, cut, 100) == len(HEAD)


def test_a_head_may_be_as_large_as_the_limit():
    assert cutting.find_head(HEAD, 0, len(HEAD)) == len(HEAD)


@pytest.mark.parametrize("sent", [HEAD, HEAD[:-1]])
def test_a_head_over_the_limit_is_refused(sent):
    limit = len(HEAD) - 1
    text = f"Request header size exceeded limit of {limit} bytes."
    assert refusal(sent, limit=limit) == (431, text)


@pytest.mark.parametrize("seen", [0, 99])
def test_a_request_line_over_the_limit_is_refused_by_a_status_of_its_own(seen):
    text = "Request line exceeded limit of 100 bytes."
    assert refusal(b"GET /" + b"x" * 95, seen) == (414, text)
    assert refusal(b"GET /" + b"x" * 95 + b"\r\n\r\n", seen) == (414, text)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"GET / HTTP/1.1\n", 0),
        (b"GET / HTTP/1.1\nHost: a\n\n", 0),
        (b"\n", 0),
        (b"GET / HTTP/1.1\r\nHost: a\n\n", 0),
        (b"GET / HTTP/1.1\r\nHost: a\n", 23),
    ],
)
def test_other_line_ends_are_not_waited_behind(sent, seen):
    assert refusal(sent, seen) == (400, "Failed to parse request: invalid token")


def test_a_line_end_in_two_parts_is_one():
    assert cutting.find_head(b"GET / HTTP/1.1\r\n", 15, 100) == 0

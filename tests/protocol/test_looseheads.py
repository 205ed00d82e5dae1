"""Heads of the control port that are not quite HTTP: publishing.md 11.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RequestError
from gripproxy.protocol import cutting, looseheads

STRICT = b"POST /publish HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("end", [b"\n\n", b"\n\r\n", b"\r\n\n", b"\r\n\r\n"])
def test_a_head_ends_behind_its_blank_line_however_lines_end(end):
    head = b"GET / HTTP/1.1" + end
    assert looseheads.find_end(head + b"body\n\n", 100) == len(head)


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\nA: 1\n"])
def test_a_head_without_a_blank_line_has_not_ended(head):
    assert looseheads.find_end(head, 100) == 0


def test_an_end_behind_the_limit_is_not_looked_for():
    assert looseheads.find_end(STRICT, len(STRICT)) == len(STRICT)
    assert looseheads.find_end(STRICT, len(STRICT) - 1) == 0


def test_a_head_of_http_stays_as_it_is():
    assert looseheads.straightened(STRICT) == STRICT


def test_lines_may_end_in_a_bare_lf():
    assert looseheads.straightened(STRICT.replace(b"\r\n", b"\n")) == STRICT


def test_lines_without_a_colon_are_passed_over():
    head = STRICT.replace(b"Host", b"X\r\n folded\r\nHost")
    assert looseheads.straightened(head) == STRICT


def test_a_host_is_not_missed():
    assert looseheads.straightened(b"GET / HTTP/1.1\n\n") == b"GET / HTTP/1.1\r\nHost:\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (b"HTTP/1.0", b"HTTP/1.0"),
        (b"HTTP/1.1", b"HTTP/1.1"),
        (b"HTTP/1.0 ", b"HTTP/1.1"),
        (b"HTTP/3.7", b"HTTP/1.1"),
        (b"x y z", b"HTTP/1.1"),
        (b"", b"HTTP/1.1"),
    ],
)
def test_every_version_but_one_is_the_same(said, read):
    head = b"GET / %b\r\nHost: a\r\n\r\n"
    assert looseheads.straightened(head % said) == head % read


@pytest.mark.parametrize("line", [b"", b"nonsense", b"GET /", b" / HTTP/1.1"])
def test_a_first_line_without_its_three_parts_is_refused(line):
    with pytest.raises(RequestError) as caught:
        looseheads.straightened(line + b"\nHost: a\n\n")
    assert (caught.value.status, caught.value.text) == (
        400,
        "Failed to parse request: invalid token",
    )


@pytest.mark.parametrize("value", [b"-1", b" -01\t", b"-99999999999999999999"])
def test_a_negative_length_is_refused(value):
    with pytest.raises(RequestError) as caught:
        looseheads.straightened(b"POST / HTTP/1.1\r\nCONTENT-length:" + value + b"\r\n\r\n")
    assert (caught.value.status, caught.value.text) == (
        400,
        "Failed to parse request: negative content length",
    )


@pytest.mark.parametrize("value", [b"-", b"-0", b"-x", b"1-1"])
def test_what_is_no_negative_number_is_left_to_others(value):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + value + b"\r\n\r\n"
    assert looseheads.straightened(head) == head


@given(st.integers(0, len(STRICT) - 1))
def test_the_beginning_of_a_head_gets_its_line_ends(cut):
    sent = STRICT.replace(b"\r\n", b"\n")[:cut]
    begun = looseheads.with_line_ends(sent)
    assert STRICT.startswith(begun)
    assert looseheads.with_line_ends(begun) == begun
    assert cutting.find_head(begun, 0, 100) in {0, len(begun)}


def test_a_line_end_in_two_parts_is_one():
    begun = looseheads.with_line_ends(b"GET / HTTP/1.1\nA: 1\r")
    assert looseheads.with_line_ends(begun + b"\n") == b"GET / HTTP/1.1\r\nA: 1\r\n"


def test_a_beginning_that_is_none_is_refused_at_once():
    with pytest.raises(RequestError):
        looseheads.with_line_ends(b"\x16\x03\x01\n")

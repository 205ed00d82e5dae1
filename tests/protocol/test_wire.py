"""HTTP/1 as bytes: what we write (RFC 9112; proxying.md 10.2, 17)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import wire
from gripproxy.protocol.headers import Headers

OK = b"HTTP/1.1 200 OK\r\n"
DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
LENGTH = b"Content-Length: 1\r\n"


@pytest.mark.parametrize(
    ("version", "status", "reason", "line"),
    [
        (1, 200, b"OK", OK),
        (0, 404, b"Not Found", b"HTTP/1.0 404 Not Found\r\n"),
        (1, 299, b"", b"HTTP/1.1 299 \r\n"),
    ],
)
def test_a_status_line_is_in_the_version_of_the_client(version, status, reason, line):
    assert wire.status_line(version, status, reason) == line
    assert wire.status_line(version, status, reason) == line  # the one that was kept


def test_long_reasons_are_not_remembered():
    reason = b"x" * 10_000
    line = wire.status_line(1, 200, reason)
    assert line == b"HTTP/1.1 200 " + reason + b"\r\n"
    assert wire.status_line(1, 200, reason) is not line


def test_ever_new_reasons_are_written_too():
    for number in range(2000):
        reason = b"R%d" % number
        assert wire.status_line(1, 200, reason) == b"HTTP/1.1 200 R%d\r\n" % number


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("pairs", "head"),
    [
        ([], OK + DATE + LENGTH + b"\r\n"),
        (
            [(b"X-A", b"1"), (b"x-a", b"")],
            OK + b"X-A: 1\r\nx-a: \r\n" + DATE + LENGTH + b"\r\n",
        ),
        ([(b"Date", b"now")], OK + b"Date: now\r\n" + LENGTH + b"\r\n"),
        (
            [(b"Content-Length", b"7"), (b"X-A", b"1"), (b"Transfer-Encoding", b"chunked")],
            OK + b"X-A: 1\r\n" + DATE + LENGTH + b"\r\n",
        ),
        ([(b"content-length", b"7")], OK + DATE + LENGTH + b"\r\n"),
    ],
    ids=["no fields", "fields", "a date of its own", "framing of the origin", "framing alone"],
)
def test_a_head_has_our_framing_last_and_a_date(pairs, head, shared):
    headers = Headers(pairs)
    if shared:
        headers.share()
    for _ in range(2):
        assert wire.response_head(OK, headers, LENGTH, DATE) == head


@given(st.binary(min_size=1, max_size=100))
def test_a_chunk_says_its_size(piece):
    size, _, rest = wire.chunk(piece).partition(b"\r\n")
    assert (int(size, 16), rest) == (len(piece), piece + b"\r\n")


def test_an_empty_piece_is_no_chunk_for_that_would_be_the_last():
    assert wire.chunk(b"") == b""


def test_the_last_chunk_has_the_trailers_that_may_stand_there():
    refused = [
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Trailer",
        b"Upgrade",
        b"Host",
        b"Grip-Hold",
    ]
    trailers = Headers([(b"X-A", b"1"), *((name, b"x") for name in refused), (b"X-B", b"2")])
    assert wire.last_chunk(trailers) == b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"


def test_without_trailers_the_last_chunk_is_bare():
    assert wire.last_chunk(None) == b"0\r\n\r\n"
    assert wire.last_chunk(Headers([(b"Host", b"x")])) == b"0\r\n\r\n"

"""Chunked bodies as they come in: RFC 9112 7.1, proxying.md 2."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import PeerError
from gripproxy.protocol import wire
from gripproxy.protocol.chunks import Decoder
from gripproxy.protocol.headers import Headers

LINE_MAX = 64


def fed(*data: bytes, line_max: int = LINE_MAX) -> tuple[bytes, Decoder, bytes]:
    """Feed a decoder; return the content, the decoder and what lies behind the body."""
    decoder = Decoder(line_max)
    rest = b""
    for piece in data:
        rest = decoder.feed(piece)
    return b"".join(decoder.pieces), decoder, rest


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@st.composite
def cut(draw, data: bytes) -> list[bytes]:
    """Cut data anywhere."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


# What is understood


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
        (b"0000000000000001\r\nx\r\n0\r\n\r\n", b"x"),
        (b"5;a=b\r\nhello\r\n0;last\r\n\r\n", b"hello"),
        (b'5 \t; a="b c" ;d\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "byte by byte"])
def test_chunks_are_the_content(body, content, whole):
    got, decoder, rest = fed(*([body] if whole else byte_by_byte(body)))
    assert (got, decoder.whole, rest) == (content, True, b"")


def test_what_lies_behind_the_body_is_returned():
    content, decoder, rest = fed(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n")
    assert (content, decoder.whole, rest) == (b"x", True, b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "start", [b"", b"5", b"5\r", b"5\r\n", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n0\r\n\r"]
)
def test_a_body_that_is_not_over_is_not_whole(start):
    _, decoder, rest = fed(start)
    assert (decoder.whole, rest) == (False, b"")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=9), st.data())
def test_what_is_written_is_read_wherever_it_is_cut(pieces, behind, data):
    body = b"".join(map(wire.chunk, pieces)) + wire.LAST_CHUNK
    decoder = Decoder(LINE_MAX)
    rest = b""
    for part in data.draw(cut(body + behind)):
        rest = decoder.feed(part) if not decoder.whole else rest + part
    assert b"".join(decoder.pieces) == b"".join(pieces)
    assert (decoder.whole, rest) == (True, behind)


def test_many_chunks_that_come_at_once_are_read_at_once():
    content, decoder, _ = fed(b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    assert (content, decoder.whole) == (b"x" * 1000, True)


# Trailers


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "byte by byte"])
def test_trailers_are_kept(whole):
    body = b"1\r\nx\r\n0\r\nX-A: 1\r\nx-b:\t 2 3 \r\nX-C:\r\n\r\n"
    _, decoder, _ = fed(*([body] if whole else byte_by_byte(body)))
    assert decoder.whole
    assert decoder.fields() == Headers([(b"X-A", b"1"), (b"x-b", b"2 3"), (b"X-C", b"")])


def test_without_trailers_there_are_no_fields():
    _, decoder, _ = fed(b"0\r\n\r\n")
    assert decoder.fields() is None


# What is refused


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"x\r\n", "invalid chunk size"),
        (b"\r\n", "invalid chunk size"),
        (b"-1\r\n", "invalid chunk size"),
        (b"+1\r\n", "invalid chunk size"),
        (b"0x1\r\n", "invalid chunk size"),
        (b" 1\r\nx\r\n", "invalid chunk size"),
        (b"1 \r\nx\r\n", "invalid chunk size"),
        (b"1\nx\r\n", "invalid chunk size"),
        (b"1;a\nx\r\n", "invalid chunk size"),
        (b"1;\x00\r\nx\r\n", "invalid chunk size"),
        (b"1;a\rb\r\nx\r\n", "invalid chunk size"),
        (b"00000000000000001\r\nx\r\n", "invalid chunk size"),
        (b"1\r\nxy\r\n", "invalid chunk suffix"),
        (b"1\r\nx\n", "invalid chunk suffix"),
        (b"1\r\nx\rz", "invalid chunk suffix"),
        (b"1\r\nxy", "invalid chunk suffix"),
        (b"100000000\r\n", "chunk too large"),
        (b"ffffffffffffffff\r\n", "chunk too large"),
        (b"0\r\nX A: 1\r\n\r\n", "invalid header name"),
        (b"0\r\nX-A\r\n\r\n", "invalid header name"),
        (b"0\r\n: 1\r\n\r\n", "invalid header name"),
        (b"0\r\nX-A: 1\r\n 2\r\n\r\n", "invalid header name"),
        (b"0\r\nX-A: \x01\r\n\r\n", "invalid header value"),
        (b"0\r\nX-A: 1\n\r\n", "invalid header value"),
        (b"0\r\nX-A: a\rb\r\n\r\n", "invalid header value"),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "byte by byte"])
def test_what_could_be_understood_differently_is_refused(body, text, whole):
    with pytest.raises(PeerError, match=f"^{text}$"):
        fed(*([body] if whole else byte_by_byte(body)))


def test_the_largest_chunk_is_just_under_4_gib():
    _, decoder, _ = fed(b"ffffffff\r\nx")
    assert not decoder.whole


@pytest.mark.parametrize("ends", [True, False])
def test_the_line_of_a_chunk_is_bounded(ends):
    line = b"1;" + b"x" * LINE_MAX + (b"\r\n" if ends else b"")
    with pytest.raises(PeerError, match=r"^chunk line too long$"):
        fed(line)


def test_a_line_that_comes_bit_by_bit_is_bounded_as_well():
    decoder = Decoder(LINE_MAX)
    decoder.feed(b"1;")
    for _ in range(LINE_MAX - 2):
        decoder.feed(b"x")
    with pytest.raises(PeerError, match=r"^chunk line too long$"):
        decoder.feed(b"x")


@pytest.mark.parametrize("ends", [True, False])
def test_all_trailers_together_are_bounded(ends):
    line = b"X-A: " + b"x" * (LINE_MAX // 2)
    with pytest.raises(PeerError, match=r"^trailers too long$"):
        fed(b"0\r\n", line + b"\r\n", line + (b"\r\n" if ends else b""))


# The other reader of chunks in reach must never see another body.


class Other:
    """What the HTTP parser makes of a body."""

    def __init__(self) -> None:
        self.content = b""
        self.whole = False

    def on_body(self, piece: bytes) -> None:
        self.content += piece

    def on_message_complete(self) -> None:
        self.whole = True


_part = st.sampled_from(
    [
        b"1\r\nx\r\n",
        b"0\r\n\r\n",
        b"0",
        b"1",
        b"a",
        b"F",
        b"\r\n",
        b"\r",
        b"\n",
        b";",
        b" ",
        b"\t",
        b"x",
        b":",
        b"=",
        b"-",
    ]
)


@given(st.lists(_part, max_size=14).map(b"".join))
def test_a_body_that_is_taken_is_the_same_to_the_http_parser(body):
    decoder = Decoder(LINE_MAX)
    try:
        decoder.feed(body)
    except PeerError:
        return
    other = Other()
    parser = httptools.HttpRequestParser(other)
    parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        parser.feed_data(body)
    except httptools.HttpParserError:
        # It is strict with chunk extensions, which recipients ignore (RFC 9112 7.1.1).
        if b";" in body:
            assert b"".join(decoder.pieces).startswith(other.content)
            return
    assert other.content == b"".join(decoder.pieces)
    assert other.whole == decoder.whole

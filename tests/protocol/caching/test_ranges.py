"""Ranges of what is stored: RFC 9110 14 and 15.3.7."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.caching import ranges
from gripproxy.protocol.caching.ranges import Part, Span
from gripproxy.protocol.headers import Headers

BODY = b"0123456789A"
PLAIN = Headers([(b"Content-Type", b"text/plain"), (b"ETag", b'"a"')])


def apply(value, body=BODY, headers=PLAIN):
    return ranges.apply(value, headers, body)


# One range of the whole


@pytest.mark.parametrize(
    ("value", "piece", "told"),
    [
        (b"bytes=0-1", b"01", b"bytes 0-1/11"),
        (b"bytes=1-", b"123456789A", b"bytes 1-10/11"),
        (b"bytes=-1", b"A", b"bytes 10-10/11"),
        (b"bytes=0-", BODY, b"bytes 0-10/11"),
        (b"bytes=10-99", b"A", b"bytes 10-10/11"),
        (b"bytes=-99", BODY, b"bytes 0-10/11"),
        (b"BYTES = 3 - 3 ", b"3", b"bytes 3-3/11"),
        (b"bytes=,3-3,,", b"3", b"bytes 3-3/11"),
        (b"bytes=5-999999999999999999", b"56789A", b"bytes 5-10/11"),
    ],
)
def test_a_range_is_cut_out(value, piece, told):
    found = apply(value)
    assert (found.status, found.body) == (206, piece)
    assert found.headers == PLAIN.plus((b"Content-Range", told))


@pytest.mark.parametrize("value", [b"bytes=11-", b"bytes=99-100", b"bytes=-0", b"bytes=11-12,-0"])
def test_a_range_beyond_the_end_cannot_be_satisfied(value):
    found = apply(value)
    assert (found.status, found.body) == (416, b"")
    assert found.headers.get(b"content-range") == b"bytes */11"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"lines=0-1",
        b"bytes=a-b",
        b"bytes=-",
        b"bytes=2-1",
        b"bytes=0-1,x",
        b"bytes=1",
        b"bytes=1--2",
        b"bytes=0-9999999999999999999",
        b"bytes=" + b",".join([b"1-1"] * (ranges.RANGES_MAX + 1)),
    ],
)
def test_a_range_that_makes_no_sense_is_ignored(value):
    found = apply(value)
    assert (found.status, found.headers, found.body) == (200, PLAIN, None)


def test_an_empty_body_has_no_ranges():
    assert apply(b"bytes=0-1", b"").status == 200


def test_ranges_that_are_more_than_the_whole_are_ignored():
    assert apply(b"bytes=0-8,2-10").status == 200


def test_what_describes_the_whole_content_is_left_out():
    headers = PLAIN.plus((b"Content-MD5", b"x"), (b"Content-Digest", b"y"), (b"Repr-Digest", b"z"))
    found = apply(b"bytes=0-1", headers=headers).headers
    assert found == PLAIN.plus((b"Repr-Digest", b"z"), (b"Content-Range", b"bytes 0-1/11"))


# Several


def parts(found):
    kind = found.headers.get_all(b"content-type")
    boundary = re.fullmatch(rb"multipart/byteranges; boundary=([0-9a-f]+)", kind[0])[1]
    assert len(kind) == 1
    begin, *middle, end = re.split(rb"--%b(?:\r\n|--\r\n)" % boundary, found.body)
    assert (begin, end) == (b"", b"")
    return [tuple(part.removesuffix(b"\r\n").split(b"\r\n\r\n", 1)) for part in middle]


def test_several_ranges_are_parts():
    found = apply(b"bytes=0-1, -2, 50-")
    assert found.status == 206
    assert not found.headers.has(b"content-range")
    assert parts(found) == [
        (b"Content-Type: text/plain\r\nContent-Range: bytes 0-1/11", b"01"),
        (b"Content-Type: text/plain\r\nContent-Range: bytes 9-10/11", b"9A"),
    ]


def test_one_that_is_left_of_several_is_a_part_still():
    assert parts(apply(b"bytes=0-1, 50-", headers=Headers())) == [
        (b"Content-Range: bytes 0-1/11", b"01")
    ]


def test_a_boundary_depends_on_the_body():
    boundaries = set()
    body = BODY
    for _ in range(5):
        kind = apply(b"bytes=0-1,4-4", body).headers.get(b"content-type")
        boundary = kind.partition(b"boundary=")[2]
        assert boundary not in body
        boundaries.add(boundary)
        body += boundary
    assert len(boundaries) == 5


@given(
    st.binary(min_size=1, max_size=50),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=4),
)
def test_a_range_holds_the_bytes_that_it_names(body, pairs):
    value = b"bytes=" + b",".join(b"%d-%d" % pair for pair in pairs)
    found = ranges.apply(value, Headers(), body)
    told = [
        (int(first), int(last), piece)
        for head, piece in (
            parts(found)
            if found.headers.has(b"content-type")
            else [(found.headers.get(b"content-range") or b"", found.body)]
        )
        for first, last in re.findall(rb"bytes (\d+)-(\d+)/%d" % len(body), head)
    ]
    assert (found.status == 206) == bool(told)
    for first, last, piece in told:
        assert body[first : last + 1] == piece
        assert len(piece) == last - first + 1


# A part that is stored


def part(content_range, size, asked=b"bytes=-5"):
    return ranges.part(asked, Headers([(b"Content-Range", content_range)]), size)


def test_a_part_says_what_it_holds():
    found = part(b"bytes 5-9/10", 5)
    assert found == Part(asked=b"bytes=-5", span=Span(5, 9, 10), size=5)
    assert found.span.value == b"bytes 5-9/10"


def test_of_what_it_is_a_part_may_be_unknown():
    assert part(b"BYTES  5-9/*", 5).span == Span(5, 9, None)
    assert Span(5, 9, None).value == b"bytes 5-9/*"


@pytest.mark.parametrize(
    ("content_range", "size"),
    [
        (b"bytes 9-5/10", 5),
        (b"bytes 5-9/9", 5),
        (b"bytes */10", 5),
        (b"lines 5-9/10", 5),
        (b"5-9/10", 5),
        (b"", 5),
        (b"bytes 5-9/10", 6),
        (b"bytes 5-9/10", 0),
        (b"bytes 5-9/10", None),
    ],
)
def test_a_part_of_what_nobody_can_tell_is_none(content_range, size):
    assert part(content_range, size) is None


def test_a_part_that_nobody_asked_for_or_that_says_two_things_is_none():
    assert part(b"bytes 5-9/10", 5, asked=None) is None
    assert ranges.part(b"bytes=-5", Headers(), 5) is None
    twice = Headers([(b"Content-Range", b"bytes 5-9/10")] * 2)
    assert ranges.part(b"bytes=-5", twice, 5) is None


WHOLE_END = part(b"bytes 4-9/10", 6)  # of b"0123456789"
HEADERS = PLAIN.plus((b"Content-Range", b"bytes 4-9/10"))


@pytest.mark.parametrize(
    ("value", "piece", "told"),
    [
        (b"bytes=-5", b"456789", b"bytes 4-9/10"),  # the very same question
        (b"bytes=6-8", b"678", b"bytes 6-8/10"),
        (b"bytes=4-9", b"456789", b"bytes 4-9/10"),
        (b"bytes=6-", b"6789", b"bytes 6-9/10"),
        (b"bytes=6-99", b"6789", b"bytes 6-9/10"),
        (b"bytes=-1", b"9", b"bytes 9-9/10"),
        (b"bytes=-6", b"456789", b"bytes 4-9/10"),
    ],
)
def test_what_lies_within_a_part_is_cut_out(value, piece, told):
    assert ranges.within(value, WHOLE_END)
    found = ranges.cut(value, WHOLE_END, HEADERS, b"456789")
    assert (found.status, found.body) == (206, piece)
    assert found.headers.get_all(b"content-range") == [told]


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=3-5",
        b"bytes=0-",
        b"bytes=-7",
        b"bytes=-0",
        b"bytes=10-",
        b"bytes=10-12",
        b"bytes=6-7,8-9",
        b"lines=6-8",
    ],
)
def test_what_does_not_lie_within_a_part_is_not_there(value):
    assert not ranges.within(value, WHOLE_END)


@pytest.mark.parametrize("value", [b"bytes=4-", b"bytes=-1", b"bytes=8-12"])
def test_the_end_may_be_missing(value):
    assert not ranges.within(value, part(b"bytes 4-8/10", 5))
    assert not ranges.within(value, part(b"bytes 4-8/*", 5))


def test_without_a_known_end_both_ends_must_be_given():
    found = part(b"bytes 4-8/*", 5)
    assert ranges.within(b"bytes=4-8", found)
    assert (
        ranges.cut(b"bytes=5-6", found, HEADERS, b"45678").headers.get(b"content-range")
        == b"bytes 5-6/*"
    )


def test_a_part_that_is_shorter_than_it_says_is_counted_from_both_ends():
    """The origin has miscounted: `bytes 4-9/10` has six bytes, and five came."""
    found = part(b"bytes 4-9/10", 5)
    pieces = {
        value: ranges.cut(value, found, HEADERS, b"01234")
        for value in (b"bytes=-5", b"bytes=6-8", b"bytes=6-", b"bytes=-1")
    }
    told = {value: (p.body, p.headers.get(b"content-range")) for value, p in pieces.items()}
    assert told == {
        b"bytes=-5": (b"01234", b"bytes 4-9/10"),
        b"bytes=6-8": (b"234", b"bytes 6-8/10"),
        b"bytes=6-": (b"234", b"bytes 6-8/10"),
        b"bytes=-1": (b"4", b"bytes 9-9/10"),
    }
    assert not ranges.within(b"bytes=6-9", found)

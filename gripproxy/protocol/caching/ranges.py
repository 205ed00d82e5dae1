"""Parts of a stored response (RFC 9110 14, 15.3.7; RFC 9111 3.3).

Bytes are the only unit. A range that cannot be read, or a set that costs more than it saves, is
ignored, as RFC 9110 14.2 allows: the answer is the whole. What is stored may itself be a part;
then only what lies wholly within it can be answered. Parts are never combined.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gripproxy.protocol.headers import Headers

# A reader of videos or documents asks for a few; more is an attack (RFC 9110 17.15).
RANGES_MAX: Final = 16

_DIGITS_MAX: Final = 18
_UNIT: Final = re.compile(rb"[ \t]*bytes[ \t]*=", re.IGNORECASE)
_SPEC: Final = re.compile(rb"[ \t]*([0-9]*+)[ \t]*-[ \t]*([0-9]*+)[ \t]*")
_CONTENT_RANGE: Final = re.compile(
    rb"bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE
)

# Of the content of one message, and wrong for a part of it.
_OF_THE_CONTENT: Final = (b"content-range", b"content-md5", b"content-digest", b"content-length")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `first` to `last`, both in it; of `complete` bytes, None if nobody knows."""

    first: int
    last: int
    complete: int | None

    @property
    def value(self) -> bytes:
        """The value of `Content-Range`."""
        complete = b"*" if self.complete is None else b"%d" % self.complete
        return b"bytes %d-%d/%b" % (self.first, self.last, complete)


@dataclass(frozen=True, slots=True)
class Partial:
    """What a range makes of a response; without `body` it is the whole one."""

    status: int
    headers: Headers
    body: bytes | None = None


# What a range asks for

# First and last byte, each None if it is left open; `(None, n)` is the last n bytes.
_Spec = tuple[int | None, int | None]


def _specs(value: bytes) -> list[_Spec] | None:
    """Read a `Range`, None if it is to be ignored."""
    unit = _UNIT.match(value)
    if unit is None:
        return None
    found: list[_Spec] = []
    for part in value[unit.end() :].split(b","):
        if not part.strip(b" \t"):
            continue
        spec = _spec(part)
        if spec is None:
            return None
        found.append(spec)
    return found if 0 < len(found) <= RANGES_MAX else None


def _spec(part: bytes) -> _Spec | None:
    found = _SPEC.fullmatch(part)
    if found is None or max(len(found[1]), len(found[2])) > _DIGITS_MAX:
        return None
    first, last = (int(text) if text else None for text in found.groups())
    if first is None:
        return None if last is None else (None, last)
    return (first, last) if last is None or first <= last else None


def _resolved(spec: _Spec, length: int) -> tuple[int, int] | None:
    """Return the first and last byte of what a range asks of so many, None if none."""
    first, last = spec
    if first is None:
        assert last is not None  # a suffix has its length
        return (max(0, length - last), length - 1) if last > 0 else None
    if first >= length:
        return None
    return first, length - 1 if last is None else min(last, length - 1)


# Of a whole response


def apply(value: bytes, headers: Headers, body: bytes) -> Partial:
    """Return what a `Range` makes of a whole 200 response: 206, 416 or the response itself."""
    specs = _specs(value)
    if specs is None or not body:
        return Partial(200, headers)
    length = len(body)
    spans = [span for spec in specs if (span := _resolved(spec, length)) is not None]
    if not spans:
        told = _without(headers).plus((b"Content-Range", b"bytes */%d" % length))
        return Partial(416, told, b"")
    if sum(last - first + 1 for first, last in spans) > length:
        return Partial(200, headers)  # they overlap
    if len(specs) == 1:
        first, last = spans[0]
        return _single(Span(first, last, length), headers, body[first : last + 1])
    return _several([Span(first, last, length) for first, last in spans], headers, body)


def _single(span: Span, headers: Headers, piece: bytes) -> Partial:
    return Partial(206, _without(headers).plus((b"Content-Range", span.value)), piece)


def _several(spans: Sequence[Span], headers: Headers, body: bytes) -> Partial:
    kind = headers.get(b"content-type")
    line = b"" if kind is None else b"Content-Type: %b\r\n" % kind
    boundary = _boundary(body)
    parts = [
        b"--%b\r\n%bContent-Range: %b\r\n\r\n%b\r\n"
        % (boundary, line, span.value, body[span.first : span.last + 1])
        for span in spans
    ]
    content = b"".join([*parts, b"--%b--\r\n" % boundary])
    told = _without(headers).replaced(
        b"Content-Type", b"multipart/byteranges; boundary=" + boundary
    )
    return Partial(206, told, content)


def _boundary(body: bytes) -> bytes:
    """Return a boundary that does not stand in the body: no text has its own hash in it."""
    return sha256(body).hexdigest()[:32].encode()


def _without(headers: Headers) -> Headers:
    return headers.without(*_OF_THE_CONTENT)


# Of a part


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a stored 206 response has: the range that it answered, what it says, how many bytes."""

    asked: bytes
    span: Span
    size: int


def part(asked: bytes | None, headers: Headers, size: int | None) -> Part | None:
    """Return what a 206 response to a `Range` has, None if that cannot be told."""
    values = headers.get_all(b"content-range")
    found = _CONTENT_RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if asked is None or not size or found is None:
        return None
    first, last = int(found[1]), int(found[2])
    complete = None if found[3] == b"*" else int(found[3])
    if last < first or (complete is not None and complete <= last):
        return None  # RFC 9110 14.4: invalid
    if size > last - first + 1:
        return None
    return Part(asked=asked, span=Span(first, last, complete), size=size)


def within(value: bytes, part: Part) -> bool:
    """Tell whether what a `Range` asks for lies wholly within a part."""
    return value == part.asked or _place(value, part) is not None


def cut(value: bytes, part: Part, headers: Headers, body: bytes) -> Partial:
    """Return the piece of a stored part that a `Range` asks for, which lies within it."""
    if value == part.asked:
        return Partial(206, headers, body)
    place = _place(value, part)
    assert place is not None  # who asks has been told so
    start, end, first = place
    told = Span(first, first + end - start - 1, part.span.complete)
    return _single(told, headers, body[start:end])


def _place(value: bytes, part: Part) -> tuple[int, int, int] | None:
    """Return where in a part's body the one range that is asked for begins and ends.

    The third number is where it begins in the whole. The body may be shorter than `Content-Range`
    says: what is counted from the end of the whole is then counted from the end of the body,
    everything else from its beginning.
    """
    specs = _specs(value)
    if specs is None or len(specs) != 1:
        return None
    first, last = specs[0]
    span, size, complete = part.span, part.size, part.span.complete
    if last is None or first is None or (complete is not None and last >= complete):
        if complete is None or span.last != complete - 1:
            return None  # it is not known to have the end
        if first is None:
            assert last is not None  # a suffix has its length
            return (size - last, size, complete - last) if 0 < last <= size else None
        last = span.first + size - 1
    start, end = first - span.first, last + 1 - span.first
    return (start, end, first) if 0 <= start < end <= size else None

"""The head of an origin's response, read by the HTTP parser (proxying.md 8.2, 17).

The parser is fed exactly one head. It knows neither what was asked nor which versions and codings
we understand, so status line and framing are judged here; it never sees a body.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import httptools

from gripproxy.errors import PeerError
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Field, Headers, Name

HEAD_MAX = 65536
FIELDS_MAX = 200

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([^\r\n\x00]*))?\r\n")
_LENGTH_DIGITS_MAX = 18
_TIMEOUT = re.compile(rb"timeout[ \t]*=[ \t]*(\d{1,6})", re.IGNORECASE)

TOO_LARGE = "its header is too large"
TOO_MANY = "too many header fields"


class _Taken:
    """The fields of one head as they come from the parser."""

    __slots__ = ("fields", "marks")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.marks = 0

    def on_header(self, text: bytes, value: bytes) -> None:
        name: Name = fields.name(text)
        self.marks |= name.mark
        self.fields.append((name, value.strip(b" \t")))


# Within a second, which `Date` tells, an origin says the same to many.
SHARED_MAX = 1024
SHARED_HEADS = 256


@dataclass(slots=True, eq=False)
class Head:
    """A head as it was read; nobody changes it.

    `length` is that of the body in bytes, None if only its end tells. `keeps` is whether the
    origin keeps the connection, `idle_timeout` for how many seconds, if it says so.
    """

    version: int
    status: int
    reason: bytes
    headers: Headers
    length: int | None
    keeps: bool
    idle_timeout: int | None


def read(head: bytes) -> Head:
    """Return what a head says; the same object for equal ones while it is remembered.

    Raises:
        PeerError: what is wrong with it.
    """
    return _shared(head) if len(head) <= SHARED_MAX else _read(head)


# hot: what is read once is not read again (bench/scenarios.py, longpoll-1000: 3 us a response).
@lru_cache(maxsize=SHARED_HEADS)
def _shared(head: bytes) -> Head:
    found = _read(head)
    found.headers.share()
    return found


def _read(head: bytes) -> Head:
    found = _STATUS.match(head)
    if found is None:
        raise PeerError("invalid status line")
    taken = _Taken()
    try:
        httptools.HttpResponseParser(taken).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # it says so when it has read all of the head
    except httptools.HttpParserError as error:
        raise PeerError(str(error).lower()) from error
    if len(taken.fields) > FIELDS_MAX:
        raise PeerError(TOO_MANY)
    version = 1 if found[1] == b"1" else 0
    headers = Headers.of(taken.fields, taken.marks)
    return Head(
        version=version,
        status=int(found[2]),
        reason=found[3] or b"",
        headers=headers,
        length=_length(headers),
        keeps=_keeps(headers, version),
        idle_timeout=_idle_timeout(headers),
    )


def _length(headers: Headers) -> int | None:
    """Return the length of a body by RFC 9112 6.3, refusing all that is ambiguous."""
    marks = headers.marks
    if marks & fields.TRANSFER_ENCODING:
        codings = headers.get_all(b"transfer-encoding")
        if marks & fields.CONTENT_LENGTH or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise PeerError("ambiguous or unknown transfer-encoding")
        return None
    if not marks & fields.CONTENT_LENGTH:
        return None
    lengths = [value for field, value in headers.fields if field.mark & fields.CONTENT_LENGTH]
    value = lengths[0]
    if len(lengths) > 1 or not value.isdigit() or len(value) > _LENGTH_DIGITS_MAX:
        raise PeerError("invalid content-length")
    return int(value)


def _keeps(headers: Headers, version: int) -> bool:
    """Tell whether the connection serves another exchange (RFC 9112 9.3)."""
    if version == 0 and headers.marks & fields.TRANSFER_ENCODING:
        return False  # 6.1: who frames so in HTTP/1.0 is not to be trusted further
    if not headers.marks & fields.CONNECTION:
        return version == 1
    named = fields.tokens([v for f, v in headers.fields if f.mark & fields.CONNECTION])
    return b"close" not in named and (version == 1 or b"keep-alive" in named)


def _idle_timeout(headers: Headers) -> int | None:
    if not headers.marks & fields.HOP:
        return None
    for member in fields.split_list(headers.get_all(b"keep-alive")):
        found = _TIMEOUT.fullmatch(member)
        if found is not None:
            return int(found[1])
    return None

"""The fields of a client's head, read by the HTTP parser (proxying.md 2).

The parser is fed exactly one head, whose start line has been read already (`protocol.requests`).
It never sees a body, nor what comes behind an upgrade.
"""

from functools import lru_cache

import httptools

from gripproxy.errors import RequestError
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Field, Headers, Name

# What the parser is fed instead of the start line, less its line end.
_START = b"POST / HTTP/1.1"

# What the parser says, by a part of its words, and what we say.
_TEXTS = (
    ("Content-Length", "invalid content length"),
    ("Transfer-Encoding", "unsupported transfer encoding"),
    ("whitespace after header value", "invalid header name"),
    ("header value", "invalid header value"),
    ("header token", "invalid header name"),
)


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


# Clients say the same for each request; longer heads have cookies, and are one client's alone.
SHARED_MAX = 1024
SHARED_HEADS = 1024


def read_fields(lines: bytes) -> Headers:
    """Return the fields of a head: `lines` begin with the line end behind the start line.

    Equal lines give the same object while it is remembered.

    Raises:
        RequestError: 400 or 501.
    """
    return _shared(lines) if len(lines) <= SHARED_MAX else _read(lines)


# hot: what is read once is not read again (bench/scenarios.py, proxy-plain: 2 us a request).
@lru_cache(maxsize=SHARED_HEADS)
def _shared(lines: bytes) -> Headers:
    return _read(lines).share()


def _read(lines: bytes) -> Headers:
    taken = _Taken()
    try:
        # hot: a parser for each head costs 0.2 us, keeping one for each connection 0.6 kB; heads
        # are a fifth of what a relayed request costs (bench/scenarios.py, proxy-plain).
        httptools.HttpRequestParser(taken).feed_data(_START + lines)
    except httptools.HttpParserUpgrade:
        pass  # it says so when it has read all of the head
    except httptools.HttpParserError as error:
        raise _translated(str(error)) from error
    return Headers.of(taken.fields, taken.marks)


def _translated(said: str) -> RequestError:
    for part, text in _TEXTS:
        if part in said:
            status = 501 if part == "Transfer-Encoding" and "invalid" in said else 400
            return RequestError(status, f"Failed to parse request: {text}")
    return RequestError(400, "Failed to parse request: invalid token")

"""HTTP/1 as bytes: heads and chunks as we write them (RFC 9112)."""

from gripproxy.protocol.headers import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    GRIP,
    HOP,
    HOST,
    TRANSFER_ENCODING,
    UPGRADE,
    Headers,
)

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_FRAMING = CONTENT_LENGTH | TRANSFER_ENCODING
# What would frame or steer a message must not come behind it (RFC 9110 6.5.1).
_NOT_BEHIND = _FRAMING | CONNECTION | HOP | UPGRADE | HOST | GRIP

_status_lines: dict[tuple[int, int, bytes], bytes] = {}
_STATUS_LINES_MAX = 1024
_REASON_LENGTH_MAX = 64


def status_line(version: int, status: int, reason: bytes) -> bytes:
    """Return a status line with its line end."""
    key = (version, status, reason)
    line = _status_lines.get(key)
    if line is None:
        line = b"HTTP/1.%d %d %b\r\n" % (version, status, reason)
        if len(_status_lines) < _STATUS_LINES_MAX and len(reason) <= _REASON_LENGTH_MAX:
            _status_lines[key] = line
    return line


def response_head(line: bytes, headers: Headers, framing: bytes, date: bytes) -> bytes:
    """Return a response's head: status line, fields less framing, `Date` if none, framing.

    `framing` is whole field lines; `date` is the line `Date: …` for now, or empty.
    """
    lines = _lines(headers)
    if headers.marks & DATE:
        return b"%b%b%b\r\n" % (line, lines, framing)
    return b"%b%b%b%b\r\n" % (line, lines, date, framing)


def _lines(headers: Headers) -> bytes:
    """Return the field lines less framing, made once of shared fields."""
    # hot: a fifth of what a relayed response costs is its head; most are as the one before
    # (bench/scenarios.py, proxy-plain: 0.5 us a response less).
    derived = headers.derived
    if derived is not None:
        known = derived.get(_UNFRAMED)
        if isinstance(known, bytes):
            return known
    if headers.marks & _FRAMING:
        parts = [f.line + value for f, value in headers.fields if not f.mark & _FRAMING]
    else:
        parts = [f.line + value for f, value in headers.fields]
    lines = b"\r\n".join(parts) + b"\r\n" if parts else b""
    if derived is not None:
        derived[_UNFRAMED] = lines
    return lines


_UNFRAMED = "lines less framing"


def chunk(piece: bytes) -> bytes:
    """Return one chunk; nothing for an empty piece, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


def last_chunk(trailers: Headers | None) -> bytes:
    """Return the end of a chunked body, with those of its trailers that may stand there."""
    if trailers is None:
        return LAST_CHUNK
    return b"0\r\n%b\r\n" % trailers.without_marks(_NOT_BEHIND).encode()

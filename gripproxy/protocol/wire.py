"""HTTP/1 as bytes: heads and chunks as we write them (RFC 9112)."""

from gripproxy.protocol.headers import CONTENT_LENGTH, DATE, TRANSFER_ENCODING, Headers

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_FRAMING = CONTENT_LENGTH | TRANSFER_ENCODING

_status_lines: dict[tuple[int, int, bytes], bytes] = {}
_STATUS_LINES_MAX = 1024


def status_line(version: int, status: int, reason: bytes) -> bytes:
    """Return a status line with its line end."""
    key = (version, status, reason)
    line = _status_lines.get(key)
    if line is None:
        line = b"HTTP/1.%d %d %b\r\n" % (version, status, reason)
        if len(_status_lines) < _STATUS_LINES_MAX:
            _status_lines[key] = line
    return line


def response_head(line: bytes, headers: Headers, framing: bytes, date: bytes) -> bytes:
    """Return a response's head: status line, fields less framing, `Date` if none, framing.

    `framing` is whole field lines; `date` is the line `Date: …` for now.
    """
    marks = headers.marks
    # hot: one pass and one join a response (bench/scenarios.py, proxy-plain).
    if marks & _FRAMING:
        parts = [f.line + value for f, value in headers.fields if not f.mark & _FRAMING]
    else:
        parts = [f.line + value for f, value in headers.fields]
    lines = b"\r\n".join(parts)
    if lines:
        lines += b"\r\n"
    if marks & DATE:
        return b"%b%b%b\r\n" % (line, lines, framing)
    return b"%b%b%b%b\r\n" % (line, lines, date, framing)


def chunk(piece: bytes) -> bytes:
    """Return one chunk; nothing for an empty piece, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


def last_chunk(trailers: Headers | None) -> bytes:
    """Return the end of a chunked body, with its trailer fields."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n%b\r\n" % trailers.encode()

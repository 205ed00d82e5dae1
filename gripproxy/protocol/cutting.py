"""Where a message ends in a stream of bytes, found before the HTTP parser sees it.

The parser tells no offsets and cannot be stopped, so it is fed exactly one message: a head up to
its blank line, then a body by its length, or, if that is chunked, up to each possible end.
"""

from gripproxy.errors import RequestError

HEAD_END = b"\r\n\r\n"


def find_head(buffer: bytes, seen: int, limit: int) -> int:
    """Return where the head ends (behind its blank line), or 0 if it is not complete.

    `seen` bytes were looked at before. Raises RequestError for a head over `limit` bytes and for
    line ends that are not CRLF.
    """
    end = buffer.find(HEAD_END, max(0, seen - 3), limit)
    if end >= 0:
        return end + 4
    line = buffer.find(b"\n", 0, limit)
    if line == 0 or (line > 0 and buffer[line - 1] != 0x0D):
        raise RequestError(400, "Failed to parse request: invalid token")
    if len(buffer) >= limit:
        if line < 0:
            raise RequestError(414, f"Request line exceeded limit of {limit} bytes.")
        raise RequestError(431, f"Request header size exceeded limit of {limit} bytes.")
    return 0


def possible_end(tail: bytes, data: bytes, start: int) -> int:
    """Return the end of the next stretch of a chunked body that may be its last.

    A chunked body can only end in CRLF CRLF. `tail` is the last (up to 3) bytes that were fed
    before `data`; `start` is where to go on in `data`. Returns an index into `data`.
    """
    if start == 0 and tail:
        joined = tail + data[:3]
        at = joined.find(HEAD_END)
        if at >= 0 and at + 4 > len(tail):
            return at + 4 - len(tail)
    at = data.find(HEAD_END, max(0, start - 3) if start else 0)
    while at >= 0 and at + 4 <= start:
        at = data.find(HEAD_END, at + 1)
    return at + 4 if at >= 0 else len(data)

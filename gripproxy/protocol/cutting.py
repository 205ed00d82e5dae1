"""Where a request's head ends in a stream of bytes, found before the HTTP parser sees it.

The parser tells no offsets and knows no limit, so it is fed exactly one head. Specification:
proxying.md 2; RFC 9112 2.2.
"""

import re

from gripproxy.errors import RequestError

HEAD_END = b"\r\n\r\n"
# Empty lines before a request that are passed over; some clients end a body with one.
BLANK_LINES_MAX = 2

_BARE_LF = re.compile(rb"(?<!\r)\n")


def find_head(buffer: bytes, seen: int, limit: int) -> int:
    """Return where the head ends (behind its blank line), or 0 if it is not complete.

    `seen` bytes were looked at before.

    Raises:
        RequestError: the head is over `limit` bytes, or is still incomplete and has a line end
            that is not CRLF.
    """
    end = buffer.find(HEAD_END, max(0, seen - 3), limit)
    if end >= 0:
        return end + 4
    if _BARE_LF.search(buffer, seen) is not None:
        raise RequestError(400, "Failed to parse request: invalid token")
    if len(buffer) >= limit:
        if buffer.find(b"\n", 0, limit) < 0:
            raise RequestError(414, f"Request line exceeded limit of {limit} bytes.")
        raise RequestError(431, f"Request header size exceeded limit of {limit} bytes.")
    return 0

"""Heads of requests as Pushpin's control port takes them, made into such as everybody takes.

Publishers are scripts more often than HTTP clients. Lines may end in a bare LF, those without a
colon are passed over, any version but `HTTP/1.0` is `HTTP/1.1`, and `Host` is not missed. What can
be told apart from a request inside of another one only by luck stays refused: nothing here may be
used for a port whose requests are relayed. Specification: publishing.md 11.1.
"""

import re

from gripproxy.errors import RequestError

_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_START = re.compile(rb"([^ ]+ [^ ]* )(.*)", re.DOTALL)
_NEGATIVE = re.compile(rb"[ \t]*-0*[1-9][0-9]*[ \t]*")


def find_end(buffer: bytes, limit: int) -> int:
    """Return where the head ends (behind its blank line), or 0 if it does not within the limit."""
    found = _END.search(buffer, 0, limit)
    return found.end() if found is not None else 0


def with_line_ends(buffer: bytes) -> bytes:
    """Return the beginning of a head with the line ends of HTTP.

    Raises:
        RequestError: 400, its first line is none of a request.
    """
    lines = _LINE_END.split(buffer)
    if len(lines) > 1:
        _start(lines[0])
    return b"\r\n".join(lines)


def straightened(head: bytes) -> bytes:
    """Return a head as HTTP has it.

    Raises:
        RequestError: 400, its first line is none of a request or its length is negative.
    """
    first, *rest = _LINE_END.split(head)
    line = _start(first)
    fields = [field for field in rest if b":" in field]
    named = {field.partition(b":")[0].lower(): field for field in fields}
    if _NEGATIVE.fullmatch(named.get(b"content-length", b"").partition(b":")[2]) is not None:
        raise RequestError(400, "Failed to parse request: negative content length")
    if b"host" not in named:
        fields.append(b"Host:")
    return b"\r\n".join([line, *fields, b"", b""])


def _start(line: bytes) -> bytes:
    found = _START.fullmatch(line)
    if found is None:
        raise RequestError(400, "Failed to parse request: invalid token")
    version = b"HTTP/1.0" if found[2] == b"HTTP/1.0" else b"HTTP/1.1"
    return found[1] + version

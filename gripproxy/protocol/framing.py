"""How an answer is framed for its client (proxying.md 10.2, 17; grip-http.md 4.3; RFC 9112 6)."""

from enum import Enum

from gripproxy.protocol import forwarding, wire
from gripproxy.protocol.messages import Request, Response

CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Ending(Enum):
    """What the end of a body that comes in pieces means for the answer."""

    LAST_CHUNK = "the answer is over; it is chunked"
    TRAILERS = "so it is, and its client takes trailers"
    LENGTH = "the answer is over, as its length says"
    CLOSE = "the answer is over when the connection is closed"
    OPEN = "the answer goes on: it is a stream"


def head(
    request: Request, response: Response, framing: bytes, *, keep: bool, date: bytes
) -> bytes:
    """Return the head of an answer; `framing` is whole field lines, `date` the one for now."""
    version = request.version
    if version == 1:
        if not keep:
            framing = b"Connection: close\r\n" + framing
    elif keep:
        framing = b"Connection: keep-alive\r\n" + framing
    line = wire.status_line(version, response.status, response.reason)
    return wire.response_head(line, response.headers, framing, date)


def whole(request: Request, response: Response, body: bytes, *, keep: bool, date: bytes) -> bytes:
    """Return an answer whose body is here."""
    if response.trailers is not None and forwarding.takes_trailers(request):
        start = head(request, response, CHUNKED, keep=keep, date=date)
        return start + wire.chunk(body) + wire.last_chunk(response.trailers)
    framing = b"Content-Length: %d\r\n" % len(body)
    return head(request, response, framing, keep=keep, date=date) + body


def in_pieces(request: Request, response: Response) -> tuple[bytes, Ending]:
    """Return how a body that comes in pieces is framed, and how it ends."""
    if response.length is not None:
        return b"Content-Length: %d\r\n" % response.length, Ending.LENGTH
    if request.version == 0:
        return b"", Ending.CLOSE
    return CHUNKED, Ending.TRAILERS if forwarding.takes_trailers(request) else Ending.LAST_CHUNK


def said_length(response: Response, body: bytes = b"") -> bytes:
    """Return the length that an answer without a body has all the same."""
    length = len(body) if body else response.length
    if response.status == 204 or length is None:
        return b""
    # The length of a 304 is the origin's; that of an instruct is not.
    if response.status == 304 and (body or not length):
        return b""
    return b"Content-Length: %d\r\n" % length

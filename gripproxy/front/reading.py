"""What comes from a client: heads to requests, bodies to pipes, and the rest to nowhere.

A `Reader` is what a client's connection is as long as it only reads (proxying.md 2). It holds as
little as it can: the beginning of a head, or a body that is not whole.
"""

import asyncio
from collections.abc import Callable

from gripproxy.engine.pipe import ByChunks, ByLength
from gripproxy.errors import GripProxyError, PeerError, RequestError
from gripproxy.front import heads
from gripproxy.protocol import cutting, requests, wire
from gripproxy.protocol.headers import EXPECT, Headers
from gripproxy.protocol.messages import Request

# What a client may still send after its last answer, so that it can read that answer: a
# connection that is closed while input waits is reset (proxying.md 10.2).
DISCARD_MAX = 65536
DISCARD_SECONDS = 2.0

# What `request` is while there is none: the last one's body must not stay in memory.
NO_REQUEST = Request(method=b"", target=b"", headers=Headers())


class Reader(asyncio.Protocol):
    """The reading half of a client's connection."""

    __slots__ = (
        "_answered",
        "_blank_lines",
        "_buffer",
        "_continue",
        "_eof",
        "_head",
        "_head_max",
        "_incoming",
        "_keep",
        "_lingering",
        "_paused",
        "_secure",
        "_seen",
        "_serving",
        "_waiter",
        "peer",
        "request",
        "since",
        "transport",
        "write",
    )

    def __init__(self, *, secure: bool, head_max: int) -> None:
        self._secure = secure
        self._head_max = head_max
        self.transport: asyncio.Transport
        self.write: Callable[[bytes], None] = nowhere
        self.peer = ""
        self.request = NO_REQUEST
        self.since = 0.0  # when the present wait was seen first; 0: not yet
        self._head = b""  # of the present request, as it came; empty if it is long
        self._buffer = b""
        self._seen = 0  # bytes of the buffer in which no end of a head is
        self._blank_lines = 0
        self._incoming: ByLength | ByChunks | _Unwanted | None = None  # a body that is not whole
        self._continue = False  # the client waits to be told that its body is wanted
        self._keep = False  # another request may follow the present one
        self._paused = False
        self._eof = False
        self._serving = False
        self._answered = False
        self._lingering = False
        self._waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        if self._incoming is not None:
            data = self._take_body(data)
            if not data:
                return
        if self._buffer:
            data = self._buffer + data
        elif not self._serving:
            data = self._answer_at_once(data)
            if not data:
                return
        self._buffer = data
        if not self._serving:
            self._wake_task()
        elif len(self._buffer) > self._head_max:
            self._pause_reading()

    def _answer_at_once(self, data: bytes) -> bytes:
        """Answer requests for which nothing has to be awaited; return what is left."""
        return data

    def _wake_task(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # Heads

    def _take_head(self) -> bool:
        """Make the next request of what has come; tell whether its head was all there.

        Raises:
            RequestError: it is none; the connection cannot be used any more.
        """
        buffer = self._buffer
        if buffer[0] == 0x0D:
            buffer = self._without_blank_lines(buffer)
        end = cutting.find_head(buffer, self._seen, self._head_max)
        if end == 0:
            # The first head has its time from accepting, a later one from its first byte.
            if self._seen == 0 and self._keep:
                self.since = 0.0
            self._seen = len(buffer)
            return False
        self._head = buffer[:end] if end <= heads.SHARED_MAX else b""
        self._buffer = buffer[end:]
        cut = buffer.index(b"\r\n")
        method, target, version = requests.start_line(buffer[:cut])
        headers = heads.read_fields(buffer[cut:end])
        request = self.request = requests.request(
            method, target, version, headers, secure=self._secure, peer=self.peer
        )
        self._keep = requests.keeps_alive(headers, version)
        if request.length != 0:
            self._begin_body(request)
        return True

    def _without_blank_lines(self, buffer: bytes) -> bytes:
        """Pass over line ends before a request (RFC 9112 2.2)."""
        while buffer.startswith(b"\r\n") and self._blank_lines < cutting.BLANK_LINES_MAX:
            buffer = buffer[2:]
            self._blank_lines += 1
            self._seen = 0
        self._buffer = buffer
        return buffer

    def _forget_request(self) -> None:
        """Be ready for the next head."""
        self.request = NO_REQUEST
        self.since = 0.0
        self._head = b""
        self._seen = 0
        self._blank_lines = 0
        self._answered = False

    # Bodies

    def _begin_body(self, request: Request) -> None:
        incoming: ByLength | ByChunks
        if request.length is None:
            incoming = ByChunks(self, self._head_max)
        else:
            incoming = ByLength(self, request.length)
        rest, self._buffer = self._buffer, b""
        if rest:
            self._buffer = _fed(incoming, rest)
        if incoming.whole:  # it is all here
            request.body = incoming.take()
            request.length = len(request.body)
            return
        request.body = self._incoming = incoming
        self._continue = bool(request.headers.marks & EXPECT) and request.version == 1

    def _take_body(self, data: bytes) -> bytes:
        """Take what belongs to the present body; return what lies behind it."""
        incoming = self._incoming
        assert incoming is not None
        self.since = 0.0
        if isinstance(incoming, _Unwanted):
            incoming.feed(data)
            return b""
        try:
            rest = _fed(incoming, data)
        except RequestError as error:
            self._break_off(error)
            return b""
        if incoming.whole and self._incoming is incoming:
            self._incoming = None
        return rest

    def _break_off(self, error: GripProxyError) -> None:
        """Give up a body that is not whole; what still comes of it is dropped."""
        incoming = self._incoming
        if incoming is not None and not isinstance(incoming, _Unwanted):
            self._keep = False
            self._incoming = _Unwanted(self._pause_reading)
            incoming.break_off(error)

    # As the tap of a body

    def pause_body(self) -> None:
        """Read nothing more of the body for now."""
        self._pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._paused:
            self.since = 0.0
            self._resume_reading()

    def abandon_body(self) -> None:
        """Drop what comes: nobody wants the rest."""
        self._incoming = _Unwanted(self._pause_reading)
        self._resume_reading()

    def want_body(self) -> None:
        """Ask for the body that the client holds back (RFC 9110 10.1.1)."""
        if self._continue:
            self._continue = False
            if not self._answered:
                self.write(wire.CONTINUE)

    # The transport

    def _pause_reading(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    def _linger(self, loop: asyncio.AbstractEventLoop) -> None:
        """End, but for a while drop what still comes, so that the client can read its answer."""
        self._lingering = True
        self.write = nowhere
        self._buffer = b""
        self._incoming = _Unwanted(self.transport.close)
        self._resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        loop.call_later(DISCARD_SECONDS, self.transport.close)


class _Unwanted:
    """Takes what nobody wants of a body, up to a limit, and then says that it is enough."""

    __slots__ = ("_enough", "_left")

    def __init__(self, enough: Callable[[], None]) -> None:
        self._left = DISCARD_MAX
        self._enough = enough

    def feed(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0:
            self._enough()


def _fed(incoming: ByLength | ByChunks, data: bytes) -> bytes:
    """Feed a body; return what lies behind it.

    Raises:
        RequestError: 400 for chunks that are none.
    """
    try:
        return incoming.feed(data)
    except PeerError as error:
        raise RequestError(400, f"Failed to parse request: {error.text}") from error


def nowhere(_: bytes) -> None:
    """Write to a client that is gone."""

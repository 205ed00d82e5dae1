"""One connection to an origin: a request out, a response in (proxying.md 8, 10, 17).

One exchange at a time. The response's head completes a future; its body is a `Pipe` unless it is
all there by the time the head is looked at, which is the usual case for small ones. When request
and response are both over the connection goes back to its pool by itself.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from gripproxy.engine.pipe import ByChunks, ByLength, Incoming, Pipe, UntilClose
from gripproxy.errors import ExchangeError, GripProxyError, OriginTimeoutError, PeerError
from gripproxy.origin import heads
from gripproxy.origin.heads import Head
from gripproxy.origin.uploading import Upload
from gripproxy.protocol.headers import TRANSFER_ENCODING, Headers
from gripproxy.protocol.messages import Request, Response, has_body

HIGH_WATER = 65536
LOW_WATER = 16384

_HEAD_END = b"\r\n\r\n"
_BEGINNING = b"HTTP/1."
_LENGTHLESS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_HEAD_KINDS = frozenset((heads.TOO_LARGE, heads.TOO_MANY))

Interim = Callable[[int, bytes, Headers], None]


class Owner(Protocol):
    """What a connection needs of its pool."""

    loop: asyncio.AbstractEventLoop

    def idle(self, connection: "Connection") -> None:
        """Take back a connection that can serve another exchange."""

    def lost(self, connection: "Connection") -> None:
        """Take note that a connection is gone."""


class Connection(asyncio.Protocol):
    """A connection to an origin, idle or in one exchange."""

    __slots__ = (
        "_blocked",
        "_buffer",
        "_head",
        "_incoming",
        "_interim",
        "_keeps",
        "_method",
        "_owner",
        "_paused",
        "_sent",
        "_unanswered",
        "_upload",
        "_websocket",
        "_whole",
        "busy",
        "idle_timeout",
        "key",
        "since",
        "transport",
        "write",
    )

    def __init__(self, owner: Owner, key: object) -> None:
        self._owner = owner
        self.key = key
        self.transport: asyncio.Transport
        self.write: Callable[[bytes], None] = _nowhere
        self.busy = False
        # Idle: since when. Busy: when the present silence was seen first; 0: not yet.
        self.since = 0.0
        self._paused = False
        self._blocked = False  # much of the request waits to be written
        self._buffer = b""
        self._method = b""
        self._websocket = False
        self._interim: Interim | None = None
        self._sent = True  # the request is whole
        self._keeps = False  # the origin keeps the connection
        self.idle_timeout: int | None = None  # for so many seconds, if it says so
        self._between()

    def _between(self) -> None:
        """Have no exchange."""
        self._head: asyncio.Future[Response] | None = None
        self._incoming: Incoming | None = None  # the body
        self._upload: Upload | None = None
        self._unanswered = True
        self._whole = False  # the response is whole

    def __repr__(self) -> str:
        return f"<origin Connection {self.key!r} {'busy' if self.busy else 'idle'}>"

    # One exchange

    async def exchange(self, request: Request, interim: Interim | None) -> Response:
        """Send a request; return when the head of its final response is there.

        Raises:
            ExchangeError: no valid response came.
            OriginTimeoutError: nothing came for too long.
            GripProxyError: the request's own body broke off.
        """
        self.busy = True
        self.since = 0.0
        self._method = request.method
        self._websocket = request.websocket
        self._interim = interim
        head: asyncio.Future[Response] = self._owner.loop.create_future()
        self._head = head
        try:
            self._send(request)
            response = await head
        except BaseException:
            # If it has gone back to the pool since, it is none of ours any more.
            if self._head is head:
                self.abort()
            raise
        body = response.body
        if not isinstance(body, bytes):
            assert isinstance(body, Pipe)
            if body.whole:
                response.body = body.take()
                response.length = len(response.body)
                response.trailers = body.trailers
        return response

    def _send(self, request: Request) -> None:
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b" % (
            request.method,
            request.target,
            request.authority,
            request.prefix,
            request.headers.encode(),
        )
        body = request.body
        if not isinstance(body, bytes):
            self._sent = False
            self._upload = Upload(self, body)
            self._upload.start(head, request.length)
            return
        self._sent = True
        if body:
            self.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        elif request.method in _LENGTHLESS or request.websocket:
            self.write(head + b"\r\n")
        else:
            self.write(head + b"Content-Length: 0\r\n\r\n")

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """Give up the transport after a 101, with the frames that have come already."""
        self.busy = False
        early, self._buffer = self._buffer, b""
        self._owner.lost(self)
        return self.transport, early

    # As the owner of the request's body

    def upload_ended(self) -> None:
        """Take note that all of the request has been sent."""
        self._sent = True
        self._upload = None
        self.since = 0.0  # from now on silence is the origin's

    def upload_failed(self, error: GripProxyError) -> None:
        """Give the exchange up: half a request must never look whole."""
        self._upload = None
        self._fail(error)
        self.abort()

    def pause_writing(self) -> None:
        self._blocked = True
        self.since = 0.0
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._upload is not None:
            self._upload.resume()

    # Up-calls of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast("asyncio.Transport", transport)
        self.write = transport.write
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)

    def data_received(self, data: bytes) -> None:
        if self._whole or not self.busy:
            if self._websocket and self.busy:
                self._buffer += data  # frames; whoever takes the WebSocket over takes them too
            else:
                self.abort()  # nobody asked: what it means cannot be known
            return
        self.since = 0.0
        self._unanswered = False
        try:
            incoming = self._incoming
            if incoming is None:
                self._take_head(data)
            else:
                rest = incoming.feed(data)
                if incoming.whole:
                    self._end_response(surplus=bool(rest))
        except PeerError as error:
            self._invalid(error.text)

    def eof_received(self) -> bool:
        incoming = self._incoming
        if isinstance(incoming, UntilClose) and not self._whole:
            incoming.finish()
            self._end_response(surplus=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.write = _nowhere
        if self._incoming is not None:
            kind = "http_response_incomplete"
            text = "closed the connection in the middle of its response."
        else:
            kind = "connection_terminated"
            text = "closed the connection before responding."
        upload = self._upload
        self._fail(
            ExchangeError(
                kind,
                text,
                unsent=self._blocked or not self._sent,
                unwritten=upload is not None and upload.unwritten,
                unanswered=self._unanswered,
            )
        )
        self._owner.lost(self)

    # The response

    def _take_head(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while data:
            end = data.find(_HEAD_END, 0, heads.HEAD_MAX)
            if end < 0:
                self._keep_start(data)
                return
            end += 4
            head = heads.read(data[:end])
            rest = data[end:]
            if head.status >= 200 or (head.status == 101 and self._websocket):
                self._answer(head, rest)
                return
            self._take_interim(head)
            data = rest

    def _keep_start(self, data: bytes) -> None:
        """Keep the beginning of a head, if it can be one."""
        if data[: len(_BEGINNING)] != _BEGINNING[: len(data)]:
            raise PeerError("invalid status line")
        if len(data) >= heads.HEAD_MAX:
            raise PeerError(heads.TOO_LARGE)
        self._buffer = data

    def _take_interim(self, head: Head) -> None:
        if head.status == 101:
            raise PeerError("101 without a request to upgrade")
        if head.status != 100 and self._interim is not None:
            self._interim(head.status, head.reason, head.headers)

    def _answer(self, head: Head, rest: bytes) -> None:
        """Complete the future with the response; its body may still be to come."""
        length = head.length
        response = Response(
            status=head.status,
            reason=head.reason,
            headers=head.headers,
            length=length,
            version=head.version,
        )
        self._keeps = head.keeps
        self.idle_timeout = head.idle_timeout
        waiting = self._head
        assert waiting is not None
        if response.status == 101:
            self._buffer = rest
            self._whole = True
        elif not has_body(self._method, response.status):
            self._end_response(surplus=bool(rest))
        elif length is not None and len(rest) >= length:
            response.body = rest[:length]
            self._end_response(surplus=len(rest) > length)
        else:
            incoming = response.body = self._incoming = self._body(response)
            rest = incoming.feed(rest)
            if incoming.whole:
                self._end_response(surplus=bool(rest))
        if not waiting.done():
            waiting.set_result(response)

    def _body(self, response: Response) -> Incoming:
        if response.length is not None:
            return ByLength(self, response.length)
        if response.headers.marks & TRANSFER_ENCODING:
            return ByChunks(self, heads.HEAD_MAX)
        return UntilClose(self)

    def _end_response(self, *, surplus: bool) -> None:
        """Go back to the pool, or end: behind an early response, or one with bytes behind it."""
        self._whole = True
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abandon()
        unsent = not self._sent or self.transport.get_write_buffer_size()
        if surplus or unsent or not self._keeps:
            self.abort()
        elif not self.transport.is_closing():
            self.busy = False
            self._between()
            if self._paused:
                self.resume_body()
            self.since = self._owner.loop.time()
            self._owner.idle(self)

    # Failures

    def _invalid(self, reason: str) -> None:
        kind = "http_protocol_error"
        if reason in _HEAD_KINDS:
            kind = "http_response_header_section_size"
        self._fail(ExchangeError(kind, f"sent an invalid response: {reason}."))
        self.abort()

    def _fail(self, error: GripProxyError) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        elif self._incoming is not None:
            self._incoming.fail(error)
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abandon()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def overdue(self, now: float, limit: float) -> None:
        """Fail the exchange if the origin has been silent for `limit` seconds."""
        waits_for_client = self._paused or (self._upload is not None and not self._blocked)
        if self._whole or waits_for_client:
            return
        if self.since == 0.0:
            self.since = now
        elif now - self.since > limit:
            text = f"did not respond within {limit:g} seconds."
            self._fail(OriginTimeoutError("http_response_timeout", text))
            self.abort()

    # As the tap of the response's body

    def pause_body(self) -> None:
        """Read nothing more for now."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.since = 0.0
            self.transport.resume_reading()

    def abandon_body(self) -> None:
        """Nobody wants the rest of the response."""
        self.abort()

    def want_body(self) -> None:
        """Nothing is to be done: the body comes by itself."""


def _nowhere(_: bytes) -> None:
    """Write to an origin that is gone."""

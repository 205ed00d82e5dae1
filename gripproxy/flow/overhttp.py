"""A WebSocket carried to its origin as HTTP requests (websockets.md 4, 9.2).

The story of one WebSocket:

1. `OPEN` is posted. What the origin answers is a refusal, or opens the WebSocket: a session
   begins, the client gets its 101, and the connection's task is parked.
2. What the client says is queued. When nothing is in flight, the task is woken and posts what has
   gathered since, again and again until nothing is left.
3. Each response is acted on in a fixed order: keep-alive interval, accepted bytes, meta, events.
4. A request that did not reach the origin is posted again, after a while.
5. A close of the client is posted behind its messages; a client that has vanished is posted as
   `DISCONNECT`. When the origin has answered, and the client's side is over, so is the story.

| phase   | meaning                               | next phase                                |
|---------|---------------------------------------|-------------------------------------------|
| READY   | nothing in flight, nothing to send    | BUSY when there is                        |
| BUSY    | the task runs: a request is in flight | READY, WAITING, OVER                      |
| WAITING | for another try                       | BUSY                                      |
| OVER    | nothing more is sent                  | none                                      |
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from functools import lru_cache

from gripproxy.engine.ports import Held, Wake
from gripproxy.engine.sockets import State
from gripproxy.errors import (
    ClientGoneError,
    ConnectError,
    EventsError,
    ExchangeError,
    FrameError,
    GripProxyError,
    OriginError,
)
from gripproxy.flow.bodies import TooLargeError, collect
from gripproxy.flow.counting import Watch
from gripproxy.flow.opening import Handshake, Opener, Side, acceptance_over_http, refusal
from gripproxy.flow.ports import Exchange, Origin
from gripproxy.protocol import forwarding, wsevents, wsframes, wshandshake
from gripproxy.protocol.caching import tags
from gripproxy.protocol.caching.tags import Tag
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Target
from gripproxy.protocol.wsevents import Event, Kind, Pair, Remainder
from gripproxy.protocol.wsframes import Piece
from gripproxy.protocol.wshandshake import Grip

# The largest response that is read (2.1).
RESPONSE_MAX = 1_000_000
# What may be read ahead from the client before reading stops, and what of the origin's messages
# may wait for the client before nothing more is asked (2.1, 4.3). Bytes.
READ_AHEAD_MAX = 200_000
# Tries after the first one (4.8).
RETRIES_MAX = 5

_OPEN = wsevents.encode([Event(Kind.OPEN)])
_DISCONNECT = (Event(Kind.DISCONNECT),)


class Phase(Enum):
    """What the carrying side is doing. See the module's docstring."""

    READY = "ready"
    BUSY = "busy"
    WAITING = "waiting for another try"
    OVER = "over"


# hot: see `engine.sockets` (bench/scenarios.py, woh-echo-200: 0.07 us each).
_READY, _BUSY, _EVENTS = Phase.READY, Phase.BUSY, Wake.EVENTS


class Carrier:
    """Carries WebSockets to targets with `over_http`."""

    def __init__(
        self,
        origin: Origin,
        forwarder: Forwarder,
        opener: Opener,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        invalidate: Callable[[frozenset[Tag]], Awaitable[None]] | None = None,
    ) -> None:
        """Make a carrier; `invalidate` takes back what is stored with these tags, everywhere."""
        self.watch: Watch | None = None  # set by whoever has one, before the first handshake
        self.origin = origin
        self.forwarder = forwarder
        self.opener = opener
        self.sleep = sleep
        self.invalidate = invalidate

    async def open(self, handshake: Handshake, target: Target) -> Response | None:
        """Ask a target for a WebSocket; return its refusal, None if it has accepted.

        Raises:
            ConnectError: not reached; another target may be tried.
            OriginError: reached, but no valid answer came.
            ClientGoneError: the client did not wait for it.
        """
        return await Carried(self, handshake, target).open(handshake)


class Carried(Side):
    """One WebSocket that is carried over HTTP: satisfies `engine.sockets.Outside`."""

    __slots__ = (
        "_again",
        "_all_queued",
        "_asked",
        "_authority",
        "_carrier",
        "_client_gone",
        "_close_sent",
        "_closing",
        "_fresh",
        "_interval",
        "_last",
        "_meta",
        "_offered",
        "_origin_closed",
        "_own_lines",
        "_path",
        "_paused",
        "_phase",
        "_queue",
        "_replayed",
        "_route",
        "_scheme",
        "_shared_lines",
        "_signs",
        "_size",
        "_target",
        "_tries",
    )

    def __init__(self, carrier: Carrier, handshake: Handshake, target: Target) -> None:
        super().__init__(carrier.opener, handshake.exchange, handshake.counted)
        self._carrier = carrier
        self._route = handshake.route
        self._target = target
        self._signs = handshake.speaks_grip
        request = forwarding.for_target(handshake.request, target)
        self._path = request.target
        self._scheme = request.scheme
        self._authority = request.authority
        self._own_lines, self._shared_lines = _lines(
            request, handshake.exchange.request, signs=self._signs
        )
        self._phase = _BUSY
        self._queue: list[Event] = []
        self._size = 0  # bytes of content in the queue
        self._paused = False
        self._fresh = False  # something is queued that was not offered before
        self._asked = False  # a request is wanted even if nothing is queued
        self._offered: list[Event] | tuple[Event, ...] = ()
        self._all_queued = True  # nothing was queued behind what is offered
        self._replayed = 0  # bytes at the start of the queue that were offered before
        self._again: bytes | None = None  # the body that is in flight, or to be sent again
        self._tries = 0
        self._meta: tuple[Pair, ...] = ()
        self._interval: int | None = None
        self._closing = False  # our CLOSE is queued, or was; nothing may follow it
        self._close_sent = False
        self._origin_closed = False
        self._client_gone = False
        self._last = False  # DISCONNECT is in flight

    def __repr__(self) -> str:
        return f"<Carried {self.cid} {self._phase.value}>"

    # Opening

    async def open(self, handshake: Handshake) -> Response | None:
        """Post `OPEN`, see `Carrier.open`."""
        exchange = self.exchange
        # A client that leaves now is missed when its origin has accepted: it is told (4.9).
        exchange.shielded = True
        try:
            while True:
                response = await self._send(_OPEN)
                if not _is_events(response):
                    return refusal(response)
                events = await self._opening_events(response)
                if events:
                    self._accept(handshake, response, events)
                    return None
                await self._wait_unopened()
        finally:
            exchange.shielded = False

    async def _opening_events(self, response: Response) -> list[Event]:
        """Return the events that open a WebSocket; none if the origin wants to be asked later."""
        try:
            content = await collect(response.body, RESPONSE_MAX)
            self._offered = ()
            self._take_fields(response)
            events = list(wsevents.decode(content))
            if self._route.cache:
                await self._invalidate(response)
        except TooLargeError as error:
            raise ExchangeError("http_response_body_size", "response too large") from error
        except EventsError as error:
            raise ExchangeError("http_protocol_error", error.text) from error
        if events and events[0].kind is not Kind.OPEN:
            raise ExchangeError("http_protocol_error", "the first event is not OPEN")
        if not events and self._interval is None:
            raise ExchangeError("http_protocol_error", "neither events nor a keep-alive interval")
        return events

    async def _wait_unopened(self) -> None:
        if self.exchange.gone:
            raise ClientGoneError
        self.exchange.shielded = False
        await self._carrier.sleep(self._interval or wsevents.KEEP_ALIVE_MIN)
        self.exchange.shielded = True

    def _accept(self, handshake: Handshake, response: Response, events: list[Event]) -> None:
        grip = _grip(tuple(response.headers.get_all(b"sec-websocket-extensions")))
        answer = acceptance_over_http(response)
        self.opener.accept(handshake, self._target, self, answer, grip)
        now = self.opener.clock.now()
        self.exchange.park(self.session, self.resume)
        self.session.start(self.client, self, now)
        self._take_events(iter(events[1:]), now)
        self.client.attach(self.session, whole=True)
        if self._phase is _BUSY:
            # The task is to look whether anything has come meanwhile.
            self._wake()

    # What the session says: `engine.sockets.Outside`

    def take(self, piece: Piece, now: float) -> None:
        """Queue a message of the client."""
        if self._closing:
            return
        payload = piece[1]
        self._queue.append(Event(wsevents.KINDS[piece[0]], payload))
        self._size += len(payload)
        self._fresh = True
        if self._size > READ_AHEAD_MAX and not self._paused:
            self._paused = True
            self.client.pause()
        if self._phase is _READY:
            self._wake()

    def close(self, code: int | None, reason: str, now: float) -> None:
        """Queue a close behind the client's messages."""
        if self._closing:
            return
        self._closing = True
        content = None if code is None else wsframes.close_payload(code, reason)
        self._queue.append(Event(Kind.CLOSE, content))
        self._fresh = True
        if self._phase is _READY:
            self._wake()

    def refresh(self, now: float) -> None:
        """Send a request, even if it has nothing in it."""
        self._asked = True
        if self._phase is _READY:
            self._wake()

    def client_gone(self, error: FrameError | None, now: float) -> None:
        """Tell the origin that the client is gone, unless it knows."""
        self._client_gone = True
        self.tell_failure(error)
        if self._phase is Phase.OVER:
            self.exchange.end()
        elif self._phase is _READY:
            self._wake()

    def client_writable(self, now: float) -> None:
        """Go on asking: the client has taken what waited."""
        if self._phase is _READY and self._fresh:
            self._wake()

    def due(self, now: float) -> None:
        """Try again, or let the origin speak: the time has come."""
        if self._phase is Phase.WAITING:
            self._wake()
        elif self._phase is _READY:
            self.refresh(now)

    def _wake(self) -> None:
        self._phase = _BUSY
        self.exchange.wake(_EVENTS)

    # The task

    async def resume(self, exchange: Exchange, held: Held, reason: Wake) -> None:
        """Post what there is to post, until nothing is left."""
        while self._phase is _BUSY and (body := self._next_body()) is not None:
            await self._ask(body)

    def _next_body(self) -> bytes | None:
        """Decide what is posted next; None: nothing, and the phase says what then."""
        if self._again is not None:
            return self._again
        events = self._next_events()
        if events is None:
            self._rest()
            return None
        self._asked = False
        self._offered = events
        self._all_queued = not self._queue
        self._fresh = bool(self._queue)
        if self._interval is not None:
            self.opener.sessions.hub.deadlines.cancel(self)
        self._again = wsevents.encode(events)
        return self._again

    def _next_events(self) -> list[Event] | tuple[Event, ...] | None:
        """Take the events that go out now from the queue, by the table of 4.3."""
        if self._client_gone:
            if self._close_sent:
                self._finish()
                return None
            if not (self._closing and self._fresh):
                self._queue = []
                self._last = True
                return _DISCONNECT
        elif not self._asked and not (self._fresh and (self._closing or self._client_has_room())):
            return None
        queue = self._queue
        events = queue
        self._queue = []
        if self._target.one_event and len(queue) > 1:
            events, self._queue = queue[:1], queue[1:]
        if self._closing and events and events[-1].kind is Kind.CLOSE:
            self._close_sent = True
        self._size = wsevents.content_size(self._queue) if self._queue else 0
        self._read_on()
        return events

    def _client_has_room(self) -> bool:
        return not self.client.blocked or self.client.pending() < READ_AHEAD_MAX

    def _read_on(self) -> None:
        if self._paused and self._size <= READ_AHEAD_MAX:
            self._paused = False
            self.client.resume(self.opener.clock.now())

    def _rest(self) -> None:
        """Wait for the next thing to say, or for the moment when the origin wants to be asked."""
        if self._phase is _BUSY:
            self._phase = _READY
            if self._interval is not None and not self._origin_closed:
                now = self.opener.clock.now()
                self.opener.sessions.hub.set_deadline(self, now + self._interval)

    async def _ask(self, body: bytes) -> None:
        try:
            response = await self._send(body)
            if not _is_events(response):
                _abandon(response)
                self._failed(f"answered {response.status} instead of events")
                return
            content = response.body
            if not isinstance(content, bytes) or len(content) > RESPONSE_MAX:
                content = await collect(content, RESPONSE_MAX)
            if self._route.cache:
                await self._invalidate(response)
        except ConnectError as error:
            self._try_later(error)
        except ExchangeError as error:
            if error.unsent:
                self._try_later(error)
            else:
                self._failed(error.text)
        except TooLargeError:
            self._failed(f"response over {RESPONSE_MAX} bytes")
        except GripProxyError as error:
            self._failed(str(error))
        else:
            self._answered(response, content)

    def _send(self, body: bytes) -> Awaitable[Response]:
        carrier, request = self._carrier, self._request(body)
        if carrier.watch is None:
            return carrier.origin.send(request, self._target)
        return carrier.watch.send(carrier.origin, request, self._target, self._route)

    async def _invalidate(self, response: Response) -> None:
        """Take back the groups that a message has changed, before its answer is told."""
        names = tags.changed_groups(self.exchange.request, response.headers)
        if names and self._carrier.invalidate is not None:
            await self._carrier.invalidate(names)

    def _request(self, body: bytes) -> Request:
        # hot: the fields that stay the same are kept as bytes; with a list of fields that is
        # encoded for each request a round trip took 4 us more (bench/scenarios.py, woh-echo-200).
        return Request(
            method=b"POST",
            target=self._path,
            headers=self._varying_fields(),
            scheme=self._scheme,
            authority=self._authority,
            body=body,
            length=len(body),
            over_http=True,
            prefix=self._own_lines + self._shared_lines + _OUR_LINES % self.cid.encode(),
        )

    def _varying_fields(self) -> Headers:
        pairs: list[Pair] = []
        if self._signs:
            carrier = self._carrier
            signature = carrier.forwarder.signature(self._route, self.opener.clock.wall())
            if signature:
                pairs.append((b"Grip-Sig", signature))
        if self._meta or self._replayed:
            ours = wsevents.exchange_fields(b"", self._meta, replayed=self._replayed)
            pairs += ours[_OUR_COUNT:]
        return Headers(pairs) if pairs else _NO_FIELDS

    def _try_later(self, error: OriginError) -> None:
        """Send the same body again after 1, 2, 4, 8 and 16 seconds (4.8)."""
        self._tries += 1
        if self._tries > RETRIES_MAX:
            self._failed(error.text)
            return
        self._phase = Phase.WAITING
        hub = self.opener.sessions.hub
        delay = 2.0 ** (self._tries - 1) + hub.random()
        hub.set_deadline(self, self.opener.clock.now() + delay)

    # What the origin says

    def _answered(self, response: Response, content: bytes) -> None:
        """Act on a good response: fields first, then events (4.4)."""
        self._tries = 0
        self._again = None
        if self._last:
            self._finish()
            return
        try:
            self._take_fields(response)
        except EventsError as error:
            self._failed(error.text)
            return
        self._take_events(wsevents.decode(content), self.opener.clock.now())

    def _take_fields(self, response: Response) -> None:
        pairs = _fields_for_us(response)
        accepted: int | None = None
        if pairs:
            self._interval = wsevents.keep_alive_interval(pairs, self._interval)
            accepted = wsevents.accepted_bytes(pairs)
            self._meta = wsevents.updated_meta(self._meta, pairs)
        offered, self._offered = self._offered, ()
        self._replayed = 0
        if accepted is not None:
            self._put_back(wsevents.remainder(offered, accepted, all_queued=self._all_queued))

    def _put_back(self, left: Remainder) -> None:
        """Offer again what the origin did not take (4.5)."""
        self._replayed = left.replayed
        if left.events:
            self._queue = [*left.events, *self._queue]
            self._size = wsevents.content_size(self._queue)
            if any(event.kind is Kind.CLOSE for event in left.events):
                self._close_sent = False

    def _take_events(self, events: Iterable[Event], now: float) -> None:
        session = self.session
        try:
            for event in events:
                opcode = wsevents.OPCODES.get(event.kind)
                if opcode is None:  # DISCONNECT, or a second OPEN, which means the same
                    self._finish()
                    session.outside_dropped(now)
                    return
                if opcode == wsframes.CLOSE:
                    self._origin_closed = True
                    session.outside_closed(*wsevents.read_close(event.content), now)
                else:
                    session.message((opcode, event.content or b"", True, True), now)
        except EventsError as error:
            self._failed(error.text)
            return
        if self._close_sent:
            self._close_answered(now)

    def _close_answered(self, now: float) -> None:
        """The origin has had our CLOSE; it may still have to say its own (4.9)."""
        waits = self.session.state is State.CLOSING_OUT and not self._origin_closed
        if not waits or self._interval is None:
            self._finish()
            self.session.outside_done(now)

    def _failed(self, text: str) -> None:
        """The origin cannot be spoken to any more."""
        if not self._last:
            self.warn(text)
        self._finish()
        self.session.outside_failed(self.opener.clock.now())

    def _finish(self) -> None:
        """Send nothing more; if the client's side is over, too, that is all."""
        self._phase = Phase.OVER
        self._queue = []
        self._closing = True  # nothing is queued any more
        self.opener.sessions.hub.deadlines.cancel(self)
        if self._client_gone:
            self.exchange.end()


def _lines(request: Request, client: Request, *, signs: bool) -> tuple[bytes, bytes]:
    """Return the lines that each request repeats: those of the client, and those of many clients.

    Requests are signed anew, so a signature of ours is not among them.
    """
    own = {id(field) for field in client.headers.fields}
    kept = [
        field
        for field in request.headers.fields
        if wsevents.is_repeated(field[0].text) and not (signs and field[0].lower == b"grip-sig")
    ]
    clients = Headers.of([field for field in kept if id(field) in own], 0)
    others = Headers.of([field for field in kept if id(field) not in own], 0)
    return clients.encode(), _shared(others.encode())


# Thousands of WebSockets need one copy of what a route adds to its requests.
@lru_cache(maxsize=256)
def _shared(lines: bytes) -> bytes:
    return lines


# What each request has beside those, and the place of the connection id in it.
_OUR_LINES = Headers(wsevents.exchange_fields(b"%b", (), replayed=0)).encode()
_OUR_COUNT = len(wsevents.exchange_fields(b"", (), replayed=0))
_NO_FIELDS = Headers()


def _is_events(response: Response) -> bool:
    if response.status != 200:
        return False
    kind = response.headers.get(b"content-type")
    return kind == wsevents.MEDIA_TYPE or wsevents.is_events(kind)


def _fields_for_us(response: Response) -> list[Pair]:
    """Return the fields of a response that steer the exchange; most have none."""
    return [
        (name.text, value)
        for name, value in response.headers.fields
        if name.lower in _FOR_US or name.lower.startswith(b"set-meta-")
    ]


_FOR_US = frozenset((b"keep-alive-interval", b"content-bytes-accepted"))


# A route's origin answers every client alike.
@lru_cache(maxsize=64)
def _grip(extensions: tuple[bytes, ...]) -> Grip | None:
    return wshandshake.grip(extensions)


def _abandon(response: Response) -> None:
    if not isinstance(response.body, bytes):
        response.body.abandon()

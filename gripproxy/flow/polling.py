"""A SockJS session whose page polls (websockets.md 8.3, 8.4, 9.3).

To everything behind it a session is the client of a WebSocket: what is sent to it waits for the
next poll. It is an object that is called, by requests of the page, by the WebSocket and by the
clock; while nothing happens it is nothing but itself. The states:

| state   | event                            | next                                          |
|---------|----------------------------------|-----------------------------------------------|
| OPENING | the origin accepts               | OPEN: the first poll gets `o`                 |
|         | the origin refuses               | GONE: the first poll gets the refusal         |
|         | the first poll is dropped        | GONE                                          |
| OPEN    | message; 25 s of a poll          | OPEN: the poll gets `a[…]`, `h`               |
|         | close                            | CLOSED: the poll gets `c[…]`                  |
|         | the waiting poll is dropped      | CLOSED, with 3000; the WebSocket is closed    |
|         | 5 s without a poll               | GONE; the WebSocket is dropped                |
|         | too much waits for a poll        | GONE; the WebSocket is dropped                |
|         | the origin vanishes              | GONE: the poll gets 410                       |
| CLOSED  | poll                             | CLOSED: it gets `c[…]`, after what still waits |
|         | 5 s since a poll was told so     | GONE                                          |
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from gripproxy.engine.deadlines import Deadlines, Timed
from gripproxy.engine.ports import Held, SocketReceiver, Wake
from gripproxy.errors import FrameError, RequestError
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.protocol import sockjs, wsframes
from gripproxy.protocol.messages import Response
from gripproxy.protocol.sockjs import Page
from gripproxy.protocol.wsframes import BINARY, TEXT, Piece

# From so many waiting bytes on the origin is read no further: the limit at which a session is
# ended is for what is published meanwhile.
HIGH_WATER = 65_536


class State(Enum):
    """What a session is doing. See the module's docstring."""

    OPENING = "opening"
    OPEN = "open"
    CLOSED = "closed"
    GONE = "gone"


class Timer(Protocol):
    """What calls back in time."""

    deadlines: Deadlines[Timed]

    def set_deadline(self, holder: Timed, when: float) -> None:
        """Have `due` called at a moment."""


class Waiter:
    """A request of a page that waits: for a frame, or for what it sent to be taken.

    Its connection is parked on it: it satisfies `engine.ports.Held`.
    """

    __slots__ = ("_exchange", "_name", "_page", "_refusal", "_relayed", "_session")

    def __init__(self, session: "Session", exchange: Exchange, page: Page, name: bytes) -> None:
        self._session = session
        self._exchange = exchange
        self._page = page
        self._name = name
        self._refusal: Response | None = None
        self._relayed: asyncio.Future[bool]

    def park(self) -> None:
        """Let the request wait."""
        self._exchange.park(self, self._relay)

    def frame(self, frame: bytes) -> None:
        """Answer with a frame."""
        self._exchange.finish(self._page.frame(frame))

    def taken(self) -> None:
        """Answer that what was sent has been taken."""
        self._exchange.finish(self._page.taken(self._name))

    def fail(self, status: int, text: str) -> None:
        """Answer with an error."""
        self._exchange.finish(self._page.error(status, text))

    async def refuse(self, response: Response) -> tuple[bool, int]:
        """Answer with a refusal; return whether all of it was sent, and the size of the body."""
        self._refusal = self._page.refused(response)
        self._relayed = asyncio.get_running_loop().create_future()
        self._exchange.wake(Wake.RETRY)
        return await self._relayed, self._exchange.sent

    async def _relay(self, exchange: Exchange, held: Held, reason: Wake) -> None:
        """Pass a refusal on. It is the connection's task that can wait for a body."""
        refusal, self._refusal = self._refusal, None
        assert refusal is not None
        whole = False
        try:
            whole = await exchange.answer(refusal)
        finally:
            self._tell(whole=whole)

    def _tell(self, *, whole: bool) -> None:
        if not self._relayed.done():  # whoever opened the session may be gone
            self._relayed.set_result(whole)

    # As what its connection is parked on

    def gone(self, now: float) -> None:
        """Learn that the client has left."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            if not isinstance(refusal.body, bytes):
                refusal.body.abandon()
            self._tell(whole=False)
        self._session.left(self, now)

    def writable(self, now: float) -> None:
        """Nothing is sent in pieces."""

    def drain(self, now: float) -> None:
        """End the session because the proxy goes away."""
        self._session.drain(now)


class _Nobody:
    """Hears what is said before a WebSocket is open."""

    def socket_message(self, piece: Piece, now: float) -> None:
        pass

    def socket_close(self, code: int | None, reason: str, now: float) -> None:
        pass

    def socket_lost(self, error: FrameError | None, now: float) -> None:
        pass

    def socket_writable(self, now: float) -> None:
        pass


_NOBODY = _Nobody()


class Session:
    """A session, and the client of its WebSocket: `engine.ports.ClientSocket`."""

    __slots__ = (
        "_at",
        "_clock",
        "_early",
        "_farewell",
        "_forget",
        "_owed",
        "_partial",
        "_paused",
        "_poll",
        "_receiver",
        "_sender",
        "_state",
        "_timer",
        "_told",
        "_waiting",
        "blocked",
        "pings",
        "touched",
    )

    # Messages go into frames of SockJS, not of RFC 6455.
    deflates = False

    def __init__(self, timer: Timer, clock: Clock, forget: Callable[[], None]) -> None:
        """Make a session that is opening; `forget` is called once, when it is gone."""
        self._timer = timer
        self._clock = clock
        self._forget = forget
        self._state = State.OPENING
        self._receiver: SocketReceiver = _NOBODY
        self._poll: Waiter | None = None
        self._sender: Waiter | None = None
        self._early: list[bytes] = []  # what was sent before the origin has accepted
        self._paused = False  # the WebSocket takes nothing more for now
        self._waiting = bytearray()  # messages for the next poll, as they stand in its frame
        self._partial = bytearray()  # the start of a message
        self._farewell = b""  # the `c` frame
        self._told = False  # a poll has had it
        self._owed: Callable[[float], None] | None = None  # a call that had to wait for a turn
        self._at: float | None = None  # when the state's time is over
        self.blocked = False
        self.touched = 0.0
        self.pings = False

    def __repr__(self) -> str:
        return f"<Session {self._state.value}, {self.pending()} bytes wait>"

    @property
    def state(self) -> State:
        """What the session is doing."""
        return self._state

    @property
    def farewell(self) -> bytes:
        """The frame that says why a closed session is closed; empty for others."""
        return self._farewell

    @property
    def polled(self) -> bool:
        """Whether a poll waits."""
        return self._poll is not None

    # What the page asks

    def begin(self, poll: Waiter) -> None:
        """Let the first poll wait for the origin."""
        self._poll = poll

    def poll(self, poll: Waiter, now: float) -> bytes | None:
        """Take a poll: return the frame that it gets at once, None if it is to wait."""
        if self._poll is not None:
            return sockjs.STILL_OPEN
        if self._waiting:
            frame = sockjs.messages(self._waiting)
            self._waiting.clear()
            self._read_on(now)
            self._wait_until(now + sockjs.SESSION_SECONDS)
            return frame
        if self._state is State.CLOSED:
            self._tell_farewell(now)
            return self._farewell
        self._poll = poll
        self._wait_until(now + sockjs.HEARTBEAT_SECONDS)
        return None

    def take(self, sender: Waiter, messages: list[bytes], now: float) -> bool:
        """Take messages of the page; False: its request is to wait until they are taken.

        Raises:
            RequestError: 400 if those before them are not taken yet.
        """
        if self._sender is not None or self._is_full():
            raise RequestError(400, "Already sending")
        if self._state is State.OPENING:
            self._early = messages
        else:
            self._hand_over(messages, now)
        if self._is_full():
            self._sender = sender
            return False
        return True

    def _is_full(self) -> bool:
        return self._paused or bool(self._early)

    def left(self, waiter: Waiter, now: float) -> None:
        """Learn that the client of a request that was waiting has left."""
        if waiter is self._sender:
            self._sender = None
        if waiter is not self._poll:
            return
        self._poll = None
        if self._state is State.OPENING:
            self._vanish()
        else:
            self._close(sockjs.CLIENT_CLOSED, now)
            self._receiver.socket_close(None, "", now)

    def drain(self, now: float) -> None:
        """End the session because the proxy goes away."""
        if self._state is State.OPENING:
            self._vanish(503, "The proxy is going away.")
        elif self._state is State.OPEN:
            self._close(sockjs.closed(wsframes.RESTART, ""), now)
            error = FrameError(wsframes.RESTART, "the proxy goes away")
            self._receiver.socket_lost(error, now)

    # How the origin answers

    def accepted(self) -> None:
        """Learn that the origin has accepted: a page that still waits is told."""
        if self._poll is not None:
            self._state = State.OPEN
            self._answer(self._poll, sockjs.OPEN, self._clock.now())

    async def refused(self, response: Response) -> tuple[bool, int]:
        """Pass the origin's refusal on to the first poll; see `Waiter.refuse`."""
        poll, self._poll = self._poll, None
        self._vanish()
        return (False, 0) if poll is None else await poll.refuse(response)

    def give_up(self) -> None:
        """End a session whose WebSocket will never open, if it has not ended."""
        if self._state is State.OPENING:
            self._vanish()

    def break_off(self) -> None:
        """End the session: what carries its WebSocket cannot go on."""
        self._vanish()
        self._lose(self._clock.now())

    # As the client of a WebSocket

    def attach(self, receiver: SocketReceiver, *, whole: bool) -> None:
        """Name the receiver; what the page has sent already follows."""
        self._receiver = receiver
        now = self._clock.now()
        if self._state is State.GONE:
            receiver.socket_lost(None, now)
            return
        early, self._early = self._early, []
        self._hand_over(early, now)
        self._settle()

    def write(self, frame: bytes) -> None:
        """Send a frame that is ready: a whole message."""
        opcode, payload = sockjs.unframed(frame)
        self.send(opcode, payload)

    def send(self, opcode: int, payload: bytes, *, first: bool = True, last: bool = True) -> None:
        """Send a message, or a piece of one; pings and pongs go no further."""
        if opcode > BINARY or self._state is not State.OPEN:
            return
        if not last:
            self._partial += payload
        else:
            if self._partial:
                payload = bytes(self._partial) + payload
                self._partial.clear()
            self._put(sockjs.message(payload))
        if self.pending() > sockjs.WAITING_MAX:
            self._vanish()
            self._owe(self._lose)

    def close(self, code: int | None, reason: str = "") -> None:
        """Close the session; the page cannot answer, so that is done here."""
        if self._state is not State.OPEN:
            return

        def answer(now: float) -> None:
            self._receiver.socket_close(code, reason, now)

        self._close(sockjs.closed(code, reason), self._clock.now())
        # Whoever closes is not called back from within his own call.
        self._owe(answer)

    def fail(self, code: int, reason: str = "") -> None:
        """End the session because of its origin; the page is told the reason, if there is one."""
        if self._state is not State.OPEN:
            return
        if reason:
            self._close(sockjs.closed(code, reason), self._clock.now())
        else:
            self._vanish()

    def drop(self) -> None:
        """End the session."""
        if self._state is State.OPEN:
            self._vanish()

    def pause(self) -> None:
        """Take nothing more of the page until `resume`."""
        self._paused = True

    def resume(self, now: float) -> None:
        """Go on taking: what was sent last has been taken."""
        self._paused = False
        self._settle()

    def pending(self) -> int:
        """Return how many bytes wait for a poll."""
        return len(self._waiting) + len(self._partial)

    # As what time calls

    def due(self, now: float) -> None:
        """Do what had to wait for a turn, and what the time has come for."""
        owed, self._owed = self._owed, None
        if owed is not None:
            owed(now)
        if self._at is not None:
            if now >= self._at:
                self._at = None
                self._time_out(now)
            else:
                self._timer.set_deadline(self, self._at)

    def _time_out(self, now: float) -> None:
        if self._state is State.OPEN and self._poll is not None:
            self._answer(self._poll, sockjs.HEARTBEAT, now)
            return
        lost = self._state is State.OPEN
        self._vanish()
        if lost:
            self._lose(now)

    def _owe(self, call: Callable[[float], None]) -> None:
        self._owed = call
        self._timer.set_deadline(self, self._clock.now())

    def _wait_until(self, when: float) -> None:
        self._at = when
        if self._owed is None:
            self._timer.set_deadline(self, when)

    # Inside

    def _put(self, message: bytes) -> None:
        """Give a message to the poll that waits, or to the next one."""
        if self._waiting:
            self._waiting += b","
        self._waiting += message
        if self._poll is not None:
            frame = sockjs.messages(self._waiting)
            self._waiting.clear()
            self._answer(self._poll, frame, self._clock.now())
        elif len(self._waiting) > HIGH_WATER:
            self.blocked = True

    def _answer(self, poll: Waiter, frame: bytes, now: float) -> None:
        """Answer the poll that waits; from now on the next one is waited for."""
        self._poll = None
        poll.frame(frame)
        self._wait_until(now + sockjs.SESSION_SECONDS)

    def _read_on(self, now: float) -> None:
        if self.blocked:
            self.blocked = False
            self._receiver.socket_writable(now)

    def _hand_over(self, messages: list[bytes], now: float) -> None:
        for message in messages:
            self._receiver.socket_message((TEXT, message, True, True), now)

    def _settle(self) -> None:
        """Answer whoever waits until his messages are taken, if they are."""
        if self._sender is not None and not self._paused:
            sender, self._sender = self._sender, None
            sender.taken()

    def _close(self, farewell: bytes, now: float) -> None:
        """Tell everybody from now on that the session is closed, for a while."""
        self._state = State.CLOSED
        self._farewell = farewell
        self._partial.clear()
        self._wait_until(now + sockjs.SESSION_SECONDS)
        poll, self._poll = self._poll, None
        sender, self._sender = self._sender, None
        if poll is not None:
            self._tell_farewell(now)
            poll.frame(farewell)
        if sender is not None:
            sender.frame(farewell)

    def _tell_farewell(self, now: float) -> None:
        if not self._told:
            self._told = True
            self._wait_until(now + sockjs.SESSION_SECONDS)

    def _vanish(self, status: int = 410, text: str = "Session terminated") -> None:
        """Be forgotten; whoever waits is told."""
        if self._state is State.GONE:
            return
        self._state = State.GONE
        self._timer.deadlines.cancel(self)
        self._at = None
        self._owed = None
        self._waiting.clear()
        self._partial.clear()
        waiters = (self._poll, self._sender)
        self._poll = self._sender = None
        for waiter in waiters:
            if waiter is not None:
                waiter.fail(status, text)
        self._forget()

    def _lose(self, now: float) -> None:
        self._receiver.socket_lost(None, now)

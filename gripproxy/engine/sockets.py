"""A client's WebSocket: subscriptions, control messages, what is published, and how it ends.

Specification: websockets.md 3.3, 5, 6 and 9.1. A session stands between the client and the *out
side*, which carries the WebSocket to its origin, over HTTP or as it is. It is an object that is
called, by both sides, by the hub and by the clock; it never waits. The states:

| state        | event                         | next state                                |
|--------------|-------------------------------|-------------------------------------------|
| OPEN         | client closes                 | CLOSING_OUT: the out side is to answer    |
|              | out side closes               | CLOSING_IN: the client is to answer       |
|              | published close               | CLOSING_BOTH: both are told               |
|              | control `detach`              | DETACHED: the out side is told            |
|              | out side fails, drops         | ENDED, with 1011 or without a close frame |
| CLOSING_OUT  | out side closes, fails, drops | ENDED                                     |
| CLOSING_IN   | client closes                 | ENDED; until then its messages go on      |
| CLOSING_BOTH | client closes                 | ENDED                                     |
| DETACHED     | client closes                 | ENDED: answered here                      |
|              | published close               | CLOSING_BOTH                              |
| CLOSING_*    | 10 seconds                    | ENDED                                     |
| any          | client is gone                | ENDED                                     |
"""

from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import Protocol, assert_never

from gripproxy.engine.ports import ClientSocket
from gripproxy.engine.sifting import Sifter
from gripproxy.engine.subscriber import NO_META, Home, Subscriber
from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import ControlError, FrameError
from gripproxy.protocol import filters, wscontrol, wsframes
from gripproxy.protocol.formats import WebSocketMessage
from gripproxy.protocol.routes import Route
from gripproxy.protocol.wscontrol import Control, KeepAlive, Mode, SendDelayed
from gripproxy.protocol.wsframes import BINARY, PING, PONG, Piece

# How long either side may take to answer a close frame, in seconds (3.4).
CLOSE_TIMEOUT = 10.0


class State(Enum):
    """What a session is doing. See the module's docstring."""

    OPEN = "open"
    CLOSING_OUT = "closed by its client"
    CLOSING_IN = "closed by its origin"
    CLOSING_BOTH = "closed by a publisher"
    DETACHED = "detached"
    ENDED = "ended"


# hot: in Python 3.11 a member of an enum takes 0.08 us to name, a global 0.01; a message that goes
# through here names a dozen (bench/scenarios.py, woh-echo-200).
_OPEN = State.OPEN

# Where messages of the out side still go to the client.
_HEARING = frozenset((State.OPEN, State.CLOSING_OUT, State.DETACHED))


class Outside(Protocol):
    """What carries a WebSocket to its origin."""

    @property
    def url(self) -> bytes:
        """The absolute URI of the client's handshake."""

    def take(self, piece: Piece, now: float) -> None:
        """Take what the client says: a message, or a piece of one."""

    def close(self, code: int | None, reason: str, now: float) -> None:
        """Close the origin's side; nothing is taken after this."""

    def refresh(self, now: float) -> None:
        """Let the origin speak, if it can speak only when it is asked."""

    def client_gone(self, error: FrameError | None, now: float) -> None:
        """Learn that the client's side is over; the last call, made once.

        With an error the client's side was failed (see `SocketReceiver`).
        """

    def client_writable(self, now: float) -> None:
        """Learn that the client takes more again."""

    def subscribed(self, channel: str) -> None:
        """Learn, for the log, that the origin subscribed the client to a channel."""

    def ignored(self, text: str) -> None:
        """Learn, for the log, that something the origin said was ignored, and why."""


class Sessions:
    """All open WebSockets by connection id."""

    def __init__(self, hub: Home, *, subscription_max: int = 20) -> None:
        self.hub = hub
        self.subscription_max = subscription_max
        self._sessions: dict[str, SocketSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> "Iterator[SocketSession]":
        return iter(self._sessions.values())

    def find(self, cid: str) -> "SocketSession | None":
        """Return the session of a connection id."""
        return self._sessions.get(cid)

    def add(self, session: "SocketSession") -> None:
        """Take note of a session that begins."""
        self._sessions[session.cid] = session

    def remove(self, session: "SocketSession") -> None:
        """Forget a session that has ended."""
        self._sessions.pop(session.cid, None)


class SocketSession(Subscriber):
    """One client WebSocket that its origin has accepted."""

    __slots__ = (
        "_client_close",
        "_close_at",
        "_delayed",
        "_delayed_at",
        "_keep_alive",
        "_keep_at",
        "_sessions",
        "_sifter",
        "cid",
        "implicit",
        "outside",
        "session_id",
        "state",
    )

    def __init__(
        self,
        sessions: Sessions,
        cid: str,
        route: Route,
        *,
        prefix: bytes | None,
        implicit: tuple[str, ...] = (),
        debug: bool = False,
    ) -> None:
        """Make a session. `prefix` is what marks messages for the client; None: GRIP is off."""
        super().__init__(sessions.hub, route, debug=debug)
        self.cid = cid
        self.implicit = implicit
        self.state = State.OPEN
        self.session_id: str | None = None
        self.outside: Outside
        self._sessions = sessions
        self._sifter = None if prefix is None else Sifter(prefix)
        self._keep_alive: KeepAlive | None = None
        self._keep_at: float | None = None
        self._delayed: SendDelayed | None = None
        self._delayed_at: float | None = None
        self._client_close: tuple[int | None, str] = (None, "")
        self._close_at: float | None = None

    def __repr__(self) -> str:
        return f"<SocketSession {self.cid} {self.state.value} {list(self.subscriptions)}>"

    def start(self, sink: ClientSocket, outside: Outside, now: float) -> None:
        """Begin: the client has been told that its origin accepted."""
        self._sink = sink
        self.outside = outside
        self._sessions.add(self)
        for name in self.implicit:
            subscription = _subscription(name, name, ())
            self.subscriptions[subscription.channel] = subscription
        self._home.attach(self, self.subscriptions.values(), now=now)
        sink.touched = now
        self._look_for_quick()

    # What is published: see `Subscriber`

    @property
    def url(self) -> bytes:
        """The URI that filters' URLs are relative to: the client's."""
        return self.outside.url

    def refresh(self, now: float) -> None:
        """Let the origin speak (4.3)."""
        if self.state is State.OPEN:
            self.outside.refresh(now)

    def update(self, now: float) -> None:
        """Do nothing: a WebSocket is not asked about what it may have missed."""

    def close_published(self, message: WebSocketMessage, now: float) -> None:
        """Close both sides, because an item says so."""
        self._sink.close(message.code, message.reason)
        if self.state is State.OPEN:
            self.outside.close(None, "", now)
        self._begin_closing(State.CLOSING_BOTH, now)

    def close_waits(self, now: float) -> None:
        """Let a published close wait for the end of a message, but not for ever."""
        self._close_at = now + CLOSE_TIMEOUT
        self._arm()

    # What the client says: `engine.ports.SocketReceiver`

    def socket_message(self, piece: Piece, now: float) -> None:
        """Take a message of the client, or a piece of one."""
        if self.state is _OPEN or self.state is State.CLOSING_IN:
            self.outside.take(piece, now)
        elif self.state is State.DETACHED and piece[0] == PING:
            self._sink.send(PONG, piece[1])
            self._sink.touched = now

    def socket_close(self, code: int | None, reason: str, now: float) -> None:
        """Take the client's close frame."""
        match self.state:
            case State.OPEN:
                self._client_close = (code, reason)
                self.outside.close(code, reason, now)
                self._begin_closing(State.CLOSING_OUT, now)
            case State.CLOSING_IN:
                self.outside.close(code, reason, now)
                self._end(None, now)
            case State.DETACHED:
                self._client_close = (code, reason)
                self._answer_close(now)
            case State.CLOSING_BOTH:
                self._end(None, now)
            case State.CLOSING_OUT | State.ENDED:
                pass
            case _:
                assert_never(self.state)

    def socket_lost(self, error: FrameError | None, now: float) -> None:
        """Learn that the client's side is over."""
        self._end(error, now)

    def socket_writable(self, now: float) -> None:
        """Learn that the client takes more again."""
        self.outside.client_writable(now)

    def gone(self, now: float) -> None:
        """Learn that the client has left."""
        self._end(None, now)

    def writable(self, now: float) -> None:
        """Learn that the client takes more again."""
        self.socket_writable(now)

    # What the out side says

    def message(self, piece: Piece, now: float) -> None:
        """Take a message of the origin, or a piece of one (3.3)."""
        if self.state is not _OPEN and self.state not in _HEARING:
            return
        if self._sifter is None or piece[0] > BINARY:
            self._relay(piece, now)
            return
        found = self._sifter.sift(piece)
        if isinstance(found, tuple):
            self._relay(found, now)
        elif isinstance(found, bytes):
            self._read_control(found, now)
        elif found is not None:
            self.outside.ignored(found)

    def _relay(self, piece: Piece, now: float) -> None:
        opcode, payload, first, last = piece
        sink = self._sink
        sink.send(opcode, payload, first=first, last=last)
        sink.touched = now
        if opcode <= BINARY and not (first and last):
            self._passing = not last
            self._look_for_quick()
            if last:
                self._run_queue(now)

    def outside_closed(self, code: int | None, reason: str, now: float) -> None:
        """The origin closes the WebSocket, or answers a close."""
        if self.state is State.OPEN:
            self._sink.close(code, reason)
            self._begin_closing(State.CLOSING_IN, now)
        elif self.state is State.CLOSING_OUT:
            self._sink.close(code, reason)
            self._end(None, now)

    def outside_done(self, now: float) -> None:
        """The origin has taken the client's close and says nothing to it (4.9)."""
        if self.state is State.CLOSING_OUT:
            self._answer_close(now)

    def outside_failed(self, now: float) -> None:
        """The origin vanished, or broke the rules: close 1011."""
        if self.state in (State.OPEN, State.CLOSING_OUT):
            self.fail("", now)

    def outside_dropped(self, now: float) -> None:
        """The origin wants the connection ended without a close frame."""
        if self.state not in (State.DETACHED, State.ENDED):
            self._sink.drop()
            self._end(None, now)

    # Control messages (5)

    def _read_control(self, text: bytes, now: float) -> None:
        try:
            control = _read(text) if len(text) <= _READ_MAX else wscontrol.read(text)
        except ControlError as error:
            self.outside.ignored(error.text)
            return
        if self.state is not State.DETACHED:
            self.obey(control, now)

    def obey(self, control: Control, now: float) -> None:
        """Do what the origin says in a control message."""
        match control:
            case wscontrol.Subscribe():
                self._subscribe(control, now)
            case wscontrol.Unsubscribe():
                self._unsubscribe(self.route.prefix + control.channel, now)
            case wscontrol.Detach():
                self._detach(now)
            case wscontrol.Session():
                self.session_id = control.session_id
            case wscontrol.SetMeta():
                self._set_meta(control.name, control.value)
            case wscontrol.KeepAlive():
                self._set_keep_alive(control, now)
            case wscontrol.SendDelayed():
                self._delay(control, now)
            case wscontrol.FlushDelayed():
                self._flush_delayed(now)
            case _:
                assert_never(control)

    def _subscribe(self, control: wscontrol.Subscribe, now: float) -> None:
        if len(control.filters) > filters.LIMIT:
            self.fail(filters.too_many(control.channel) if self.debug else "", now)
            return
        if len(self.subscriptions) >= self._sessions.subscription_max:
            return
        channel = self.route.prefix + control.channel
        subscription = _subscription(control.channel, channel, control.filters)
        channel = subscription.channel
        known = channel in self.subscriptions
        self.subscriptions[channel] = subscription
        if not known:
            self._home.subscribe(self, channel, now=now)
        self._look_for_quick()
        self.outside.subscribed(channel)

    def _unsubscribe(self, channel: str, now: float) -> None:
        if channel in self.subscriptions and channel not in self.implicit:
            del self.subscriptions[channel]
            self._home.unsubscribe(self, channel, now=now)
            self._look_for_quick()

    def _detach(self, now: float) -> None:
        if self.state is State.CLOSING_OUT:
            self._answer_close(now)
        else:
            self.state = State.DETACHED
            self.outside.close(None, "", now)

    def _set_meta(self, name: str, value: str | None) -> None:
        meta = dict(self.meta)
        meta.pop(name, None)
        if value is not None:
            meta[name] = value
        self.meta = meta or NO_META

    def _set_keep_alive(self, control: KeepAlive, now: float) -> None:
        on = control.content is not None
        self._keep_alive = control if on else None
        self._sink.pings = not on
        self._start_keep_alive(now)
        self._arm()

    def _delay(self, control: SendDelayed, now: float) -> None:
        self._flush_delayed(now)
        self._delayed = control
        self._delayed_at = now + control.timeout
        self._arm()

    def _flush_delayed(self, now: float) -> None:
        delayed, self._delayed = self._delayed, None
        self._delayed_at = None
        if delayed is None:
            return
        if self._passing and delayed.opcode <= BINARY:
            frame = wsframes.encode(delayed.opcode, delayed.content)
            self._enqueue(frame, len(frame))
        else:
            self._sink.send(delayed.opcode, delayed.content)
            self._sink.touched = now

    # Time

    def _start_keep_alive(self, since: float) -> None:
        keep = self._keep_alive
        if keep is None:
            self._keep_at = None
            return
        # A random part of a second less, so that sessions that began together do not act
        # together, but never less than half.
        self._keep_at = since + max(keep.timeout - self._home.random(), keep.timeout / 2)

    def _arm(self) -> None:
        times = [at for at in (self._keep_at, self._delayed_at, self._close_at) if at is not None]
        if times:
            self._home.set_deadline(self, min(times))
        else:
            self._home.deadlines.cancel(self)

    def due(self, now: float) -> None:
        """Do what the time has come for."""
        if self._close_at is not None and now >= self._close_at:
            self._close_due(now)
            return
        if self._delayed_at is not None and now >= self._delayed_at:
            self._flush_delayed(now)
        if self._keep_at is not None and now >= self._keep_at:
            self._keep_alive_due(now)
        if self.state is not State.ENDED:
            self._arm()

    def _keep_alive_due(self, now: float) -> None:
        keep = self._keep_alive
        if keep is None or keep.content is None:
            self._keep_at = None
            return
        sink = self._sink
        if keep.mode is Mode.IDLE and now - sink.touched < max(keep.timeout - 1, keep.timeout / 2):
            # Not re-armed for each message: whether it was idle is looked at when it is due.
            self._start_keep_alive(sink.touched)
            return
        if not sink.blocked and not self._passing:
            sink.send(keep.opcode, keep.content)
            sink.touched = now
            self._home.notices.kept_alive(self.route, self.kind, len(keep.content))
        self._start_keep_alive(now)

    def _close_due(self, now: float) -> None:
        """Nobody has answered a close in time."""
        self._close_at = None
        match self.state:
            case State.OPEN | State.DETACHED:
                self._close_overtakes(now)
            case State.CLOSING_OUT:
                self._answer_close(now)
            case _:
                self._sink.drop()
                self._end(None, now)

    # The end

    def _answer_close(self, now: float) -> None:
        """Answer the client's close with its own code."""
        code, reason = self._client_close
        self._sink.close(code, reason)
        self._end(None, now)

    def _begin_closing(self, state: State, now: float) -> None:
        self.state = state
        self._stop()
        self._close_at = now + CLOSE_TIMEOUT
        self._arm()

    def _stop(self) -> None:
        """Say nothing more of our own."""
        self._silence()
        self._keep_alive = None
        self._keep_at = None
        self._delayed = None
        self._delayed_at = None
        self._close_at = None

    def fail(self, reason: str, now: float) -> None:
        """End the connection because of the origin: 1011."""
        self._sink.fail(wsframes.FAILED, reason)
        self._end(FrameError(wsframes.FAILED, reason), now)

    def _end(self, error: FrameError | None, now: float) -> None:
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._stop()
        self._home.deadlines.cancel(self)
        self._home.release(self, self.subscriptions, now=now)
        self._sessions.remove(self)
        self.outside.client_gone(error, now)


# Most sessions of a channel subscribe to it alike, and none of them has a position in it: they
# share the object, and its texts.
@lru_cache(maxsize=4096)
def _subscription(name: str, channel: str, names: tuple[str, ...]) -> Subscription:
    return Subscription(name, channel, None, names)


# Origins say the same to client after client, so small control messages are read once.
_read = lru_cache(maxsize=1024)(wscontrol.read)
_READ_MAX = 512

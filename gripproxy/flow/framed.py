"""A WebSocket that carries frames of SockJS (websockets.md 8.5).

It stands between the client's WebSocket and its session, and is to each what the other is: what
the client says are arrays of messages, what it hears are `o`, `h` and `a[…]`. Closes, pings and
pongs pass as they are.
"""

from gripproxy.engine.ports import ClientSocket, SocketReceiver
from gripproxy.errors import FrameError
from gripproxy.flow.polling import Timer
from gripproxy.flow.ports import Clock
from gripproxy.protocol import sockjs, wsframes
from gripproxy.protocol.sockjs import Writer
from gripproxy.protocol.wsframes import BINARY, TEXT, Piece


class FramedSocket:
    """A client's WebSocket as its session sees it: `engine.ports.ClientSocket`.

    Towards the client it is the receiver: `engine.ports.SocketReceiver`.
    """

    __slots__ = (
        "_inner",
        "_passing",
        "_receiver",
        "_timer",
        "_writer",
        "blocked",
        "pings",
        "touched",
    )

    # What is published becomes a frame of its own for each client, so it is compressed as such.
    deflates = False

    def __init__(self, inner: ClientSocket, timer: Timer, clock: Clock) -> None:
        """Begin: the client has been told that its origin accepted."""
        self._inner = inner
        self._timer = timer
        self._receiver: SocketReceiver | None = None
        self._writer = Writer()
        self._passing = False  # a message is under way
        self.blocked = False
        self.touched = 0.0
        self.pings = False
        inner.pings = False  # heartbeats do it
        inner.send(TEXT, sockjs.OPEN)
        self._beat_after(clock.now())

    def __repr__(self) -> str:
        return f"<FramedSocket {self._inner!r}>"

    # What the session says

    def attach(self, receiver: SocketReceiver, *, whole: bool) -> None:
        """Name the receiver."""
        self._receiver = receiver
        self._inner.attach(self, whole=True)

    def write(self, frame: bytes) -> None:
        """Send a frame that is ready: a whole message."""
        opcode, payload = sockjs.unframed(frame)
        self.send(opcode, payload)

    def send(self, opcode: int, payload: bytes, *, first: bool = True, last: bool = True) -> None:
        """Send a message, or a piece of one."""
        if opcode <= BINARY:
            payload = self._writer.write(payload, first=first, last=last)
            opcode = TEXT
            self._passing = not last
        self._inner.send(opcode, payload, first=first, last=last)
        self.blocked = self._inner.blocked

    def close(self, code: int | None, reason: str = "") -> None:
        """Close the WebSocket."""
        self._stop()
        self._inner.close(code, reason)

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the WebSocket."""
        self._stop()
        self._inner.fail(code, reason)

    def drop(self) -> None:
        """End the connection."""
        self._stop()
        self._inner.drop()

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        self._inner.pause()

    def resume(self, now: float) -> None:
        """Read on."""
        self._inner.resume(now)

    def pending(self) -> int:
        """Return how many bytes wait in the connection."""
        return self._inner.pending()

    # What the client says

    def socket_message(self, piece: Piece, now: float) -> None:
        """Take an array of messages, a ping or a pong."""
        opcode, payload, _, _ = piece
        if opcode > BINARY:
            self._hand_over(piece, now)
        elif len(payload) > sockjs.FRAME_MAX:
            self._violated(wsframes.TOO_BIG, f"frame over {sockjs.FRAME_MAX} bytes", now)
        elif payload:
            messages = sockjs.read_messages(payload)
            if messages is None:
                self._violated(wsframes.NOT_CONSISTENT, "not an array of texts", now)
                return
            for message in messages:
                self._hand_over((TEXT, message, True, True), now)

    def socket_close(self, code: int | None, reason: str, now: float) -> None:
        """Pass the client's close on."""
        self._stop()
        if self._receiver is not None:
            self._receiver.socket_close(code, reason, now)

    def socket_lost(self, error: FrameError | None, now: float) -> None:
        """Learn that the client's side is over."""
        self._stop()
        if self._receiver is not None:
            self._receiver.socket_lost(error, now)

    def socket_writable(self, now: float) -> None:
        """Learn that the client takes more again."""
        self.blocked = False
        if self._receiver is not None:
            self._receiver.socket_writable(now)

    def _hand_over(self, piece: Piece, now: float) -> None:
        if self._receiver is not None:
            self._receiver.socket_message(piece, now)

    def _violated(self, code: int, text: str, now: float) -> None:
        self._inner.fail(code)
        self.socket_lost(FrameError(code, text), now)

    # Heartbeats

    def due(self, now: float) -> None:
        """Send a heartbeat, unless it would have to wait or a message is under way."""
        if not (self._passing or self._inner.blocked):
            self._inner.send(TEXT, sockjs.HEARTBEAT)
        self._beat_after(now)

    def _beat_after(self, now: float) -> None:
        self._timer.set_deadline(self, now + sockjs.HEARTBEAT_SECONDS)

    def _stop(self) -> None:
        self._timer.deadlines.cancel(self)

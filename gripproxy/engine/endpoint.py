"""One side of an open WebSocket: frames in, frames out, the closing handshake (RFC 6455 5 to 7).

The same for a client and for an origin; an edge gives it a transport and its up-calls.
Specification: websockets.md 2, 10.2. An endpoint is over for its receiver when the connection is
lost, when it has failed it for a violation, or when the receiver has dropped or failed it.
"""

from typing import ClassVar, Protocol

from gripproxy.engine.ports import SocketReceiver
from gripproxy.errors import FrameError
from gripproxy.protocol import wsdeflate, wsframes
from gripproxy.protocol.wsdeflate import Agreement
from gripproxy.protocol.wsframes import BINARY, CLOSE, PONG, Decoder, Piece, Role


class Transport(Protocol):
    """What an endpoint needs of the connection that it is on."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def close(self) -> None:
        """End the connection after what waits has been written."""

    def is_closing(self) -> bool:
        """Tell whether it is over or about to be."""

    def pause_reading(self) -> None:
        """Call no more with what comes in."""

    def resume_reading(self) -> None:
        """Go on calling."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait to be written."""


class Endpoint:
    """One side of a WebSocket on a transport: satisfies `engine.ports.Socket`."""

    __slots__ = (
        "_close_came",
        "_close_sent",
        "_decoder",
        "_early",
        "_max_message",
        "_over",
        "_paused",
        "_receiver",
        "blocked",
        "deflate",
        "transport",
        "write",
    )

    # Whose frames come in.
    role: ClassVar[Role] = Role.CLIENT
    # Pongs with this payload answer our own pings and go no further.
    own_ping: ClassVar[bytes | None] = None

    def __init__(self, transport: Transport, early: bytes, deflate: Agreement | None) -> None:
        self.transport = transport
        self.write = transport.write
        self.deflate = deflate
        self.blocked = False
        self._early = early  # received, but not decoded yet
        self._receiver: SocketReceiver | None = None
        self._max_message: int | None = None
        self._decoder: Decoder | None = None  # made when the first frame comes: many never send
        self._paused = False
        self._close_sent = False
        self._close_came = False
        self._over = False

    def __repr__(self) -> str:
        state = "over" if self._over else "closing" if self._close_sent else "open"
        return f"<{type(self).__name__} {self.role.name} {state}>"

    # What a receiver does

    def take_receiver(
        self, receiver: SocketReceiver, *, max_message: int | None, now: float
    ) -> None:
        """Begin to call a receiver: with whole messages of at most so many bytes, or pieces."""
        self._receiver = receiver
        self._max_message = max_message
        self._read_on(now)
        if self.transport.is_closing() and not self._over:
            self.lost(now)

    def send(self, opcode: int, payload: bytes, *, first: bool = True, last: bool = True) -> None:
        """Send a message, or a piece of one."""
        if self._close_sent:
            return
        rsv1 = False
        if self.deflate is not None and first and last and opcode <= BINARY:
            packed = wsdeflate.compress(payload)
            if packed is not None:
                payload = packed
                rsv1 = True
        self.write(
            wsframes.encode(
                opcode if first else wsframes.CONTINUATION,
                payload,
                fin=last,
                rsv1=rsv1,
                mask=self.mask(),
            )
        )

    def close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame, once; if the other one has come, the connection ends."""
        self._send_close(wsframes.NORMAL if code is None else code, reason)
        if self._close_came:
            self.drop()

    def fail(self, code: int, reason: str = "") -> None:
        """Send a close frame, unless one was sent, and end the connection soon; no up-calls."""
        if self._over:
            return
        self._send_close(code, reason)
        self._let_go()
        if self._paused:
            # What comes is thrown away, but the end must be seen.
            self._resume_reading()
        self.end_soon()

    def drop(self) -> None:
        """End the connection after what waits has been written; no up-calls come any more."""
        if not self._over:
            self._close_sent = True  # nothing may follow
            self._let_go()
            self.transport.close()

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        if not self._paused and not self._over:
            self._paused = True
            if not self.transport.is_closing():
                self.transport.pause_reading()

    def resume(self, now: float) -> None:
        """Read on."""
        if self._paused and not self._over:
            self._resume_reading()
            self._read_on(now)

    def pending(self) -> int:
        """Return how many bytes wait in the connection."""
        return self.transport.get_write_buffer_size()

    def _send_close(self, code: int, reason: str) -> None:
        if not self._close_sent:
            self._close_sent = True
            self.write(wsframes.encode_close(code, reason, mask=self.mask()))

    def _let_go(self) -> None:
        self._over = True
        self._receiver = None
        self._decoder = None
        self._early = b""

    def _resume_reading(self) -> None:
        self._paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # What an edge adds

    def mask(self) -> bytes | None:
        """Return what masks the next frame: four random bytes towards an origin."""
        return None

    def end_soon(self) -> None:
        """End a connection that has failed: at once, if an edge knows no better."""
        self.transport.close()

    # Up-calls of an edge

    def received(self, data: bytes, now: float) -> None:
        """Take what has come in."""
        if self._over:
            return
        if self._receiver is None or self._paused or self._early:
            self._early += data
            return
        decoder = self._decoder
        if decoder is None:
            decoder = self._decoder = Decoder(
                self.role, max_message=self._max_message, deflate=self.deflate
            )
        self._hand_out(decoder.feed(data), decoder, now)
        if decoder.more:
            self._read_on(now)

    def _read_on(self, now: float) -> None:
        """Go on with what is here already, as long as the receiver takes it."""
        while not self._paused and not self._over:
            decoder = self._decoder
            if decoder is not None and decoder.more:
                self._hand_out(decoder.feed(b""), decoder, now)
            elif self._early:
                early, self._early = self._early, b""
                self.received(early, now)
            else:
                return

    def _hand_out(self, pieces: list[Piece], decoder: Decoder, now: float) -> None:
        # hot: for each message of each peer (bench/scenarios.py, woh-echo-200, goes through it);
        # a tuple is passed on as it came, because taking it apart for each call costs 0.1 us.
        for piece in pieces:
            receiver = self._receiver
            if receiver is None:
                return
            opcode = piece[0]
            if opcode <= BINARY:
                receiver.socket_message(piece, now)
            elif opcode == CLOSE:
                self._take_close(piece[1], receiver, now)
            elif opcode != PONG or piece[1] != self.own_ping:
                receiver.socket_message(piece, now)
        if decoder.error is not None:
            self.violated(decoder.error, now)

    def _take_close(self, payload: bytes, receiver: SocketReceiver, now: float) -> None:
        code, reason = wsframes.read_close(payload)
        self._close_came = True
        receiver.socket_close(code, reason, now)
        if self._close_sent:
            self.drop()

    def violated(self, error: FrameError, now: float) -> None:
        """Fail the connection with an error's code, and tell the receiver."""
        receiver = self._receiver
        reason = error.text if error.code == wsframes.POLICY else ""
        self.fail(error.code, reason)
        if receiver is not None:
            receiver.socket_lost(error, now)

    def lost(self, now: float) -> None:
        """Take note that the connection is gone."""
        receiver = self._receiver
        self._let_go()
        if receiver is not None:
            receiver.socket_lost(None, now)

    def writable(self, now: float) -> None:
        """Take note that what waited has been written."""
        self.blocked = False
        if self._receiver is not None:
            self._receiver.socket_writable(now)

"""A WebSocket relayed to an origin that speaks WebSocket itself (websockets.md 3).

The story is short: the origin accepts, a session begins, and from then on each side's frames are
up-calls that go straight across. Nobody waits; whoever cannot take more stops the reading of the
other side. The connection's task is parked until the client's side is over.
"""

from gripproxy.engine.ports import Held, Wake
from gripproxy.engine.sockets import CLOSE_TIMEOUT
from gripproxy.errors import FrameError
from gripproxy.flow.opening import Handshake, Opener, Side, acceptance, refusal
from gripproxy.flow.ports import Exchange, Origin, OriginSocket
from gripproxy.protocol import forwarding, wsframes
from gripproxy.protocol.messages import Response
from gripproxy.protocol.routes import Target
from gripproxy.protocol.wsframes import Piece


class Relay:
    """Relays WebSockets to targets that are WebSocket servers."""

    def __init__(self, origin: Origin, opener: Opener) -> None:
        self._origin = origin
        self._opener = opener

    async def open(self, handshake: Handshake, target: Target) -> Response | None:
        """Ask a target for a WebSocket; return its refusal, None if it has accepted.

        Raises:
            ConnectError: not reached; another target may be tried.
            OriginError: reached, but no valid answer came.
        """
        request = forwarding.for_target(handshake.request, target)
        origin = await self._origin.connect(request, target)
        if isinstance(origin, Response):
            return refusal(origin)
        relayed = Relayed(self._opener, handshake, origin)
        answer = acceptance(origin.response)
        self._opener.accept(handshake, target, relayed, answer, origin.agreed.grip)
        relayed.start()
        return None


class Relayed(Side):
    """A WebSocket between a client and its origin.

    Satisfies `engine.sockets.Outside` for the client's session, and is the receiver of what the
    origin sends.
    """

    __slots__ = ("_origin",)

    def __init__(self, opener: Opener, handshake: Handshake, origin: OriginSocket) -> None:
        super().__init__(opener, handshake.exchange, handshake.counted)
        self._origin = origin

    def __repr__(self) -> str:
        return f"<Relayed {self.cid}>"

    def start(self) -> None:
        """Let frames flow."""
        now = self.opener.clock.now()
        self.exchange.park(self.session, _nothing)
        self.session.start(self.client, self, now)
        self._origin.attach(self, now)
        self.client.attach(self.session, whole=False)

    # What the session says: `engine.sockets.Outside`

    def take(self, piece: Piece, now: float) -> None:
        """Pass a piece of the client's on."""
        opcode, payload, first, last = piece
        self._origin.send(opcode, payload, first=first, last=last)
        if self._origin.blocked:
            self.client.pause()

    def close(self, code: int | None, reason: str, now: float) -> None:
        """Close the origin's side; it must answer in time."""
        self._origin.close(wsframes.NORMAL if code is None else code, reason)
        self.opener.sessions.hub.set_deadline(self, now + CLOSE_TIMEOUT)

    def refresh(self, now: float) -> None:
        """Do nothing: the origin can speak when it likes."""

    def client_gone(self, error: FrameError | None, now: float) -> None:
        """End the origin's side; a violation of the client is no way to leave (2)."""
        self.tell_failure(error)
        if error is not None:
            self._origin.close(wsframes.GOING_AWAY)
        self._finish()
        self.exchange.end()

    def client_writable(self, now: float) -> None:
        """Read on from the origin."""
        self._origin.resume(now)

    def due(self, now: float) -> None:
        """Wait no longer for the origin's close."""
        self._finish()

    def _finish(self) -> None:
        self.opener.sessions.hub.deadlines.cancel(self)
        self._origin.drop()

    # What the origin sends: `engine.ports.SocketReceiver`

    def socket_message(self, piece: Piece, now: float) -> None:
        """Pass a piece of the origin's on, if it is for the client."""
        self.session.message(piece, now)
        if self.client.blocked:
            self._origin.pause()

    def socket_close(self, code: int | None, reason: str, now: float) -> None:
        """Pass the origin's close on."""
        self.session.outside_closed(code, reason, now)

    def socket_lost(self, error: FrameError | None, now: float) -> None:
        """The origin has vanished, or was failed for a violation."""
        if error is not None:
            self.warn(f"origin failed with {error.code}: {error.text}")
        self.opener.sessions.hub.deadlines.cancel(self)
        self.session.outside_failed(now)

    def socket_writable(self, now: float) -> None:
        """Read on from the client."""
        self.client.resume(now)


async def _nothing(exchange: Exchange, held: Held, reason: Wake) -> None:
    """Go on with nothing: no wake is for the origin of a relayed WebSocket."""

"""From a client's handshake to an open WebSocket, whatever carries it (websockets.md 1.2, 1.3).

An origin that accepts is answered for by `Opener.accept`: a session that is subscribed, and a 101
for the client. One that refuses is relayed, less what only a WebSocket's answer may have.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gripproxy.engine.ports import ClientSocket
from gripproxy.engine.sockets import Sessions, SocketSession
from gripproxy.engine.stats import Counted
from gripproxy.engine.watched import WatchedSession
from gripproxy.errors import FrameError
from gripproxy.flow.access import Access, log_of
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.protocol import forwarding, wsframes
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.wshandshake import Grip

_EXTENSIONS = b"Sec-WebSocket-Extensions"
# What is between us and the origin only, in an acceptance and in a refusal.
_OUR_FIELDS = (b"sec-websocket-accept", b"sec-websocket-extensions")
# What an acceptance over HTTP says to us (1.2).
_EVENT_FIELDS = frozenset(
    (
        b"content-length",
        b"content-type",
        b"keep-alive-interval",
        b"content-bytes-accepted",
        *_OUR_FIELDS,
    )
)


@dataclass(slots=True, eq=False, kw_only=True)
class Handshake:
    """A client's handshake. `request` is as any target of the route gets it."""

    exchange: Exchange
    request: Request
    route: Route
    trusted: bool = False
    debug: bool = False
    counted: Counted | None = None

    @property
    def speaks_grip(self) -> bool:
        """Whether what the origin says in GRIP is for us."""
        return not (self.trusted or self.route.no_grip)


class Opener:
    """Makes sessions of handshakes that an origin has accepted."""

    def __init__(
        self, sessions: Sessions, *, clock: Clock, access: Access, make_id: Callable[[], str]
    ) -> None:
        """Make an opener; `make_id` gives connection ids: random UUIDs in lower case."""
        self.sessions = sessions
        self.clock = clock
        self.access = access
        self.make_id = make_id

    def accept(
        self,
        handshake: Handshake,
        target: Target,
        side: "Side",
        response: Response,
        grip: Grip | None,
    ) -> None:
        """Make the session of a side, and answer the client with 101; the side is to start it.

        `response` has the reason and the fields to answer with, `grip` is what the origin said.
        """
        if handshake.trusted and not handshake.route.no_grip and grip is not None:
            response.headers = response.headers.plus((_EXTENSIONS, grip.answer))
        counted = handshake.counted
        make = SocketSession if counted is None else WatchedSession
        side.session = session = make(
            self.sessions,
            side.cid,
            handshake.route,
            prefix=grip.prefix if grip is not None and handshake.speaks_grip else None,
            implicit=target.subs,
            debug=handshake.debug,
        )
        if counted is not None and isinstance(session, WatchedSession):
            session.counted = counted
            counted.opened(handshake.request, response)
        side.client = handshake.exchange.upgrade(response)
        for channel in target.subs:
            side.subscribed(channel)


class Side:
    """What all out sides of sessions have in common (see `engine.sockets.Outside`)."""

    __slots__ = ("cid", "client", "exchange", "opener", "session")

    def __init__(self, opener: Opener, exchange: Exchange, counted: Counted | None = None) -> None:
        self.cid = opener.make_id() if counted is None else counted.cid
        self.opener = opener
        self.exchange = exchange
        self.session: SocketSession
        self.client: ClientSocket

    @property
    def url(self) -> bytes:
        """The absolute URI of the client's handshake."""
        return self.exchange.request.uri

    def subscribed(self, channel: str) -> None:
        """Write the line of a subscription."""
        self.opener.access.subscribed(self.exchange.request, self.session.route, channel)

    def ignored(self, text: str) -> None:
        """Say what of the origin was ignored, for those who debug it."""
        log_of(self.session.route).debug("websocket %s: %s", self.cid, text)

    def warn(self, text: str) -> None:
        """Say what an origin did wrong."""
        route = self.session.route
        log_of(route).warning("route %s: websocket %s: %s", route.id, self.cid, text)

    def tell_failure(self, error: FrameError | None) -> None:
        """Say that a client takes nothing, if that is why it was failed."""
        if error is not None and error.code == wsframes.POLICY:
            self.warn(error.text)


# Answers


def acceptance(response: Response) -> Response:
    """Return what an origin's 101 says to the client."""
    response = forwarding.to_client(response)
    response.headers = response.headers.without(*_OUR_FIELDS)
    return response


def acceptance_over_http(response: Response) -> Response:
    """Return the 101 that the response to `OPEN` stands for."""
    headers = forwarding.to_client(response).headers
    kept = [
        (text, value)
        for text, value in headers
        if text.lower() not in _EVENT_FIELDS and not text.lower().startswith(b"set-meta-")
    ]
    return Response(status=101, reason=b"Switching Protocols", headers=Headers(kept))


def refusal(response: Response) -> Response:
    """Return an origin's refusal as the client gets it."""
    return acceptance(response)

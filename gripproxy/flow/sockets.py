"""The way of a WebSocket handshake: which target takes it, and what the client is told.

Specification: websockets.md 1.2, 1.3. Targets are tried in the order of the route, each in its
own way. The first that is reached decides; what it answers, or fails to, is the answer.
"""

from gripproxy.errors import ClientGoneError, ConnectError, OriginError
from gripproxy.flow.access import Access
from gripproxy.flow.counting import Watch
from gripproxy.flow.opening import Handshake
from gripproxy.flow.overhttp import Carrier
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.flow.websocket import Relay
from gripproxy.protocol import answers
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.routes import Route, Target


class SocketFlow:
    """Serves WebSocket handshakes."""

    def __init__(
        self,
        carrier: Carrier,
        relay: Relay,
        forwarder: Forwarder,
        *,
        clock: Clock,
        access: Access,
    ) -> None:
        self._watch: Watch | None = None
        self._carrier = carrier
        self._relay = relay
        self._forwarder = forwarder
        self._clock = clock
        self._access = access

    def watch_with(self, watch: Watch) -> None:
        """Have counted what happens to WebSockets; before the first one."""
        self._watch = self._carrier.watch = watch

    async def serve(self, exchange: Exchange, route: Route, *, trusted: bool, debug: bool) -> None:
        """Answer a handshake that a route has taken: open a WebSocket, or say why not.

        Raises:
            RequestError: 508 for a request that goes round in a circle.
        """
        request = self._forwarder.to_origin(
            exchange.request, route, wall=self._clock.wall(), trusted=trusted
        )
        handshake = Handshake(
            exchange=exchange, request=request, route=route, trusted=trusted, debug=debug
        )
        if self._watch is None:
            await self._answer(handshake)
            return
        cid = self._carrier.opener.make_id()
        counted = handshake.counted = self._watch.socket(exchange, route, cid, trusted=trusted)
        is_open = False
        try:
            is_open = await self._answer(handshake)
        finally:
            if not is_open:
                counted.over(self._clock.now())

    async def _answer(self, handshake: Handshake) -> bool:
        """Answer a handshake; return whether a WebSocket is open."""
        exchange, route = handshake.exchange, handshake.route
        try:
            response, target = await self._ask(handshake)
        except ClientGoneError:
            self._access.broke_off(exchange.request, route, None)
            return False
        if response is None:
            self._access.answered(exchange, exchange.request, route, target, 101)
            # Nobody asks for them any more, and an open WebSocket keeps its request for its URI.
            exchange.request.headers = _NO_FIELDS
            return True
        if exchange.gone:
            if not isinstance(response.body, bytes):
                response.body.abandon()
            self._access.broke_off(exchange.request, route, target)
        else:
            await exchange.answer(response)
            self._access.answered(exchange, exchange.request, route, target, response.status)
            if handshake.counted is not None:
                handshake.counted.answered(response)
                handshake.counted.sent(exchange.sent)
        return False

    async def _ask(self, handshake: Handshake) -> tuple[Response | None, Target]:
        """Return what the client is to be told, None if a WebSocket is open, and by whom."""
        targets = handshake.route.targets
        failure: OriginError | None = None
        for target in targets:
            way = self._carrier if target.over_http else self._relay
            try:
                return await way.open(handshake, target), target
            except ConnectError as error:
                failure = error
            except OriginError as error:
                details = error.text if handshake.debug else ""
                failed = answers.text(502, answers.GENERIC, error=error.kind, details=details)
                return _bare(failed), target
        assert failure is not None  # a route has at least one target
        tried = ", ".join(str(target) for target in targets)
        none = ConnectError(failure.kind, f"Unable to connect to any targets. Tried: {tried}")
        return _bare(answers.of_origin_error(none, debug=handshake.debug)), targets[-1]


_NO_FIELDS = Headers()


def _bare(response: Response) -> Response:
    """Return an answer of ours as a refused handshake has it: without a media type (1.3)."""
    response.headers = response.headers.without(b"content-type")
    return response

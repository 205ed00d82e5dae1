"""The story of a client request (layout.md, *A request*).

1. Its route is found; without one it is answered.
2. A WebSocket handshake goes its own way (`flow.sockets`).
3. The request is sent to the route's origin, changed as forwarding demands; its body streams.
4. The response is GRIP: `flow.holding` takes over. Else it is relayed, its body streaming.

Whoever is not answered by an origin is answered by us, with the reason.
"""

from dataclasses import dataclass
from typing import Protocol

from gripproxy.engine.origins import Origin
from gripproxy.errors import GripProxyError, OriginError, RequestError
from gripproxy.flow.access import Access
from gripproxy.flow.bodies import KeptBody
from gripproxy.flow.dressing import Dress
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.holding import Holder
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.protocol import answers, forwarding, instruct, jsonp, wshandshake
from gripproxy.protocol import headers as fields
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Miss, Route, RouteTable, Target
from gripproxy.protocol.signing import Verifier

# With the switch on for all, parameters are looked at even where no route takes the request.
_NO_ROUTE = Route(domain=None, id="", targets=())
_EVENTS_TYPE = b"application/websocket-events"


class ServeSocket(Protocol):
    """Serves a WebSocket handshake that a route has taken."""

    async def __call__(
        self, exchange: Exchange, route: Route, *, trusted: bool, debug: bool
    ) -> None:
        """Answer it; raises `RequestError` as requests do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options that choose a request's way (config.md 3.3)."""

    debug: bool = False
    accept_route: bool = False
    accept_proto: bool = False
    upstream: Verifier | None = None
    cross_origin: bool = False


class RequestFlow:
    """Answers client requests, by relaying a response or by beginning a hold."""

    def __init__(
        self,
        fetcher: Fetcher,
        forwarder: Forwarder,
        holder: Holder,
        *,
        clock: Clock,
        access: Access,
        settings: Settings,
        serve_socket: ServeSocket,
    ) -> None:
        self._fetcher = fetcher
        self._forwarder = forwarder
        self._holder = holder
        self._clock = clock
        self._access = access
        self._settings = settings
        self._serve_socket = serve_socket
        self.routes = RouteTable(())

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        route: Route | None = None
        target: Target | None = None
        dress: Dress | None = None
        try:
            if request.headers.marks & fields.UPGRADE:
                self._judge_upgrade(request)
            route = self._route(request)
            if self._settings.cross_origin or (route is not None and route.aco):
                dress = Dress(request.headers, None)
                request, dress = self._dressed(request, route)
            if route is None:
                response = answers.no_route()
            elif request.websocket:
                await self._serve_socket(
                    exchange, route, trusted=self._trusts(request), debug=self._debug(route)
                )
                return
            else:
                response, target = await self._ask(exchange, request, route)
                if self._is_grip(response, route, request):
                    origin = self._origin(request, route)
                    origin.dress = dress
                    await self._holder.begin(exchange, origin, response, target)
                    return
                response = forwarding.to_client(response)
        except RequestError as error:
            response = answers.of_request_error(error)
        except OriginError as error:
            response = answers.of_origin_error(error, debug=self._debug(route))
        except GripProxyError:
            exchange.cut()  # the client's own body broke off: there is nobody to answer
            self._access.broke_off(request, route, target)
            return
        status = response.status
        if dress is not None:
            response = dress.relayed(response)
        await exchange.answer(response)
        self._access.answered(exchange, request, route, target, status)

    def _dressed(self, request: Request, route: Route | None) -> tuple[Request, Dress]:
        """Return what a page of another site asks for, and how it is to be answered.

        Raises:
            RequestError: 400 for JSON-P parameters that make no sense.
        """
        found = jsonp.read(request, route or _NO_ROUTE)
        if found is None:
            return request, Dress(request.headers, None)
        script, meant = found
        return meant, Dress(request.headers, script)

    def _judge_upgrade(self, request: Request) -> None:
        """Make a WebSocket handshake of a request that is one, refuse one that is broken."""
        headers = request.headers
        if wshandshake.asks(headers.get_all(b"upgrade"), headers.get_all(b"connection")):
            wshandshake.check(
                request.method,
                request.version,
                request.length,
                keys=headers.get_all(b"sec-websocket-key"),
                versions=headers.get_all(b"sec-websocket-version"),
            )
            request.websocket = True

    def _route(self, request: Request) -> Route | None:
        headers = request.headers
        if self._settings.accept_proto and request.scheme == b"http":
            proto = headers.get(b"x-forwarded-proto") or headers.get(b"x-forwarded-protocol")
            if proto in (b"https", b"wss"):
                request.scheme = b"https"
        path = request.path
        if self._settings.accept_route and headers.marks & fields.ROUTE:
            named = headers.get(b"pushpin-route")
            if named:
                found = self.routes.by_id(named, path)
                if found is not Miss.SHARED:
                    return found
        return self.routes.match(
            request.host, path, secure=request.scheme == b"https", websocket=request.websocket
        )

    def _debug(self, route: Route | None) -> bool:
        return self._settings.debug or (route is not None and route.debug)

    def _trusts(self, request: Request) -> bool:
        """Tell whether a GRIP proxy in front of us sent the request (proxying.md 6)."""
        upstream = self._settings.upstream
        if upstream is None or not request.headers.marks & fields.GRIP:
            return False
        token = request.headers.get(b"grip-sig")
        return token is not None and upstream.trusts(token, self._clock.wall())

    async def _ask(
        self, exchange: Exchange, request: Request, route: Route
    ) -> tuple[Response, Target]:
        trusted = self._trusts(request)
        if not trusted and request.headers.marks & fields.CONTENT_TYPE:
            self._refuse_events(request, route)
        if not isinstance(request.body, bytes):
            request.body = KeptBody(request.body)
        asked = self._forwarder.to_origin(request, route, wall=self._clock.wall(), trusted=trusted)
        return await self._fetcher.fetch(asked, route, interim=exchange.interim)

    def _refuse_events(self, request: Request, route: Route) -> None:
        """No client may speak to an over-HTTP origin as if it were us (proxying.md 6)."""
        kind = request.headers.get(b"content-type") or b""
        if kind.partition(b";")[0].strip().lower() == _EVENTS_TYPE and any(
            target.over_http for target in route.targets
        ):
            raise RequestError(403, "Client not allowed to send WebSocket events directly.")

    def _is_grip(self, response: Response, route: Route, request: Request) -> bool:
        return (
            instruct.is_instruct(response.headers)
            and not route.no_grip
            and not self._trusts(request)
        )

    def _origin(self, request: Request, route: Route) -> Origin:
        return Origin(request=request, route=route, debug=self._debug(route), last={})

"""The story of a client request (layout.md, *A request*).

1. A purge by a client who may purge is carried out (`flow.purging`).
2. Its route is found; without one it is answered.
3. A WebSocket handshake goes its own way (`flow.sockets`), and so does whatever is below the
   route's `sockjs` (`flow.sockjs`).
4. The request is sent to the route's origin, changed as forwarding demands; its body streams.
5. The response is GRIP: `flow.holding` takes over. Else it is relayed, its body streaming.

Whoever is not answered by an origin is answered by us, with the reason.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from gripproxy.engine.origins import Origin
from gripproxy.errors import GripProxyError, OriginError, RequestError
from gripproxy.flow.access import Access
from gripproxy.flow.bodies import KeptBody
from gripproxy.flow.counting import Watch
from gripproxy.flow.dressing import Dress
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.holding import Holder
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.flow.purging import Purging
from gripproxy.protocol import answers, forwarding, instruct, jsonp
from gripproxy.protocol import headers as fields
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Miss, Route, RouteTable, Target
from gripproxy.protocol.signing import Verifier

# With the switch on for all, parameters are looked at even where no route takes the request.
_NO_ROUTE = Route(domain=None, id="", targets=())
_ASKING = frozenset((b"GET", b"HEAD"))
_EVENTS_TYPE = b"application/websocket-events"
_NO_EVENTS = "Client not allowed to send WebSocket events directly."


class ServeSocket(Protocol):
    """Serves a WebSocket handshake that a route has taken, or a request for SockJS."""

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
        serve_sockjs: ServeSocket,
    ) -> None:
        self._fetcher = fetcher
        self._forwarder = forwarder
        self._holder = holder
        self._clock = clock
        self._access = access
        self._settings = settings
        self._serve_socket = serve_socket
        self._serve_sockjs = serve_sockjs
        self.purging: Purging | None = None  # set by whoever lets clients purge
        self.routes = RouteTable(())
        self._watch: Watch | None = None

    def watch_with(self, watch: Watch) -> None:
        """Have counted what happens to requests; before the first one."""
        self._watch = self._fetcher.watch = self._holder.watch = watch

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        course = _Course(exchange.request, self._access.begins())
        if self._watch is not None:
            self._watch.head()
        purging = self.purging is not None and course.request.method == b"PURGE"
        try:
            response = await (self._purge if purging else self._respond)(exchange, course)
        except RequestError as error:
            response = answers.of_request_error(error)
        except OriginError as error:
            response = answers.of_origin_error(error, debug=self._debug(course.route))
        except (GripProxyError, asyncio.CancelledError) as error:
            # The client has left, or its body broke off: there is nobody to answer.
            self._tell_of_break(course)
            exchange.cut()
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        if response is None:
            return
        status = response.status
        if course.dress is not None:
            response = course.dress.relayed(response)
        if await exchange.answer(response):
            self._access.answered(
                exchange, course.request, course.route, course.target, status, began=course.began
            )
        else:
            self._tell_of_break(course)

    def _tell_of_break(self, course: "_Course") -> None:
        self._access.broke_off(course.request, course.route, course.target, began=course.began)

    async def _purge(self, exchange: Exchange, course: "_Course") -> Response | None:
        """Return the answer to `PURGE`, or to a request like any other if it is none."""
        assert self.purging is not None  # or nobody asks
        answer = await self.purging.answer(course.request)
        return answer or await self._respond(exchange, course)

    async def _respond(self, exchange: Exchange, course: "_Course") -> Response | None:
        """Return what the request is to be answered with; None: another story has taken it."""
        request = course.request
        route = course.route = choose(self.routes, request, self._settings)
        if route is not None and route.sockjs and request.path.startswith(route.sockjs):
            trusted, debug = self._trusts(request), self._debug(route)
            await self._serve_sockjs(exchange, route, trusted=trusted, debug=debug)
            return None
        if self._settings.cross_origin or (route is not None and route.aco):
            request = self._dress(course)
        if route is None:
            if self._watch is not None:
                self._watch.no_route(exchange)
            return answers.no_route(websocket=request.websocket)
        trusted = self._trusts(request)
        if request.websocket:
            debug = self._debug(route)
            await self._serve_socket(exchange, route, trusted=trusted, debug=debug)
            return None
        if self._watch is not None:
            self._watch.request(exchange, route, trusted=trusted)
        if forwarding.hops_left(request) == 0:
            return answers.last_hop(request.method)
        asked = self._to_origin(request, route, trusted=trusted)
        response, target = await self._fetcher.fetch(
            asked,
            route,
            client=request if route.cache and _may_meet_cache(request, trusted=trusted) else None,
            interim=exchange.interim,
        )
        course.target = target
        if instruct.is_instruct(response.headers) and not (trusted or route.no_grip):
            await self._hold(exchange, course, route, response)
            return None
        wants_trailers = forwarding.takes_trailers(exchange.request)
        return forwarding.to_client(response, trailers=wants_trailers)

    def _dress(self, course: "_Course") -> Request:
        """Return what a page of another site asks for; its answer is dressed accordingly.

        Raises:
            RequestError: 400 for JSON-P parameters that make no sense.
        """
        request = course.request
        course.dress = Dress(request.headers, None)
        found = jsonp.read(request, course.route or _NO_ROUTE)
        if found is not None:
            script, course.request = found
            course.dress = Dress(request.headers, script)
        return course.request

    def _debug(self, route: Route | None) -> bool:
        return self._settings.debug or (route is not None and route.debug)

    def _trusts(self, request: Request) -> bool:
        """Tell whether a GRIP proxy in front of us sent the request (proxying.md 6)."""
        upstream = self._settings.upstream
        if upstream is None or not request.headers.marks & fields.GRIP:
            return False
        token = request.headers.get(b"grip-sig")
        return token is not None and upstream.trusts(token, self._clock.wall())

    def _to_origin(self, request: Request, route: Route, *, trusted: bool) -> Request:
        if not trusted and request.headers.marks & fields.CONTENT_TYPE:
            _refuse_events(request, route)
        if not isinstance(request.body, bytes):
            request.body = KeptBody(request.body)
        return self._forwarder.to_origin(request, route, wall=self._clock.wall(), trusted=trusted)

    async def _hold(
        self, exchange: Exchange, course: "_Course", route: Route, response: Response
    ) -> None:
        body, target = response.body, course.target
        assert target is not None  # it has answered
        origin = Origin(
            request=course.request,
            route=route,
            debug=self._debug(route),
            last={},
            dress=course.dress,
        )
        try:
            await self._holder.begin(exchange, origin, response, target)
        finally:
            # A body that was not wanted to its end must not keep its connection.
            if not isinstance(body, bytes):
                body.abandon()


@dataclass(slots=True, eq=False)
class _Course:
    """What a request has become so far, for its answer and its access line."""

    request: Request
    began: float | None
    route: Route | None = None
    target: Target | None = None
    dress: Dress | None = None


def choose(routes: RouteTable, request: Request, settings: Settings) -> Route | None:
    """Return the route of a request (routes.md 4, 5); it may count as one over TLS from now on."""
    headers = request.headers
    if settings.accept_proto and request.scheme == b"http":
        proto = headers.get(b"x-forwarded-proto") or headers.get(b"x-forwarded-protocol")
        if proto in (b"https", b"wss"):
            request.scheme = b"https"
    path = request.path
    if settings.accept_route and headers.marks & fields.ROUTE:
        named = headers.get(b"pushpin-route")
        if named:
            found = routes.by_id(named, path)
            if found is not Miss.SHARED:
                return found
    return routes.match(
        request.host, path, secure=request.scheme == b"https", websocket=request.websocket
    )


def _may_meet_cache(request: Request, *, trusted: bool) -> bool:
    """Tell whether the cache is to see a request: of a trusted client only what may change things.

    What such a request has changed is taken back whoever sent it (cache-and-purge.md, *Purge*).
    """
    return not trusted or request.method not in _ASKING


def _refuse_events(request: Request, route: Route) -> None:
    """No client may speak to an over-HTTP origin as if it were us (proxying.md 6)."""
    if any(target.over_http for target in route.targets):
        for kind in request.headers.get_all(b"content-type"):
            if kind.partition(b";")[0].strip(b" \t").lower() == _EVENTS_TYPE:
                raise RequestError(403, _NO_EVENTS)

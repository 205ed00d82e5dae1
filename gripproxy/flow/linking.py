"""Requests of our own to links and filters' URLs, and the way that they take (grip-http.md 8.2).

A link to the host of the client's request takes the client's route, with its targets and
rewriting; any other goes to its own host, signed as the route signs.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from gripproxy.flow.ports import Clock
from gripproxy.protocol import links
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, split_authority
from gripproxy.protocol.routes import Miss, Route, RouteTable, Target

_PORTS = {b"http": 80, b"https": 443}
# Routes that are made for links: the same one for the same way, since much is kept by route.
_MADE_MAX = 1024


class Linker:
    """Makes requests to absolute URLs that an origin named."""

    def __init__(
        self, forwarder: Forwarder, *, clock: Clock, routes: Callable[[], RouteTable]
    ) -> None:
        self._forwarder = forwarder
        self._clock = clock
        self._routes = routes

    def request(
        self,
        method: bytes,
        url: bytes,
        *,
        route: Route,
        client: bytes,
        fields: tuple[tuple[bytes, bytes], ...] = (),
        body: bytes = b"",
    ) -> tuple[Request, Route]:
        """Return a request as its origin gets it, and its route.

        `client` is the URI of the client's request, `route` the one that it took.
        """
        scheme, authority, target = links.split(url)
        request = Request(
            method=method,
            target=target,
            headers=Headers(fields),
            scheme=scheme,
            authority=authority,
            body=body,
            length=len(body),
        )
        way = self._way(request, route, client)
        asked = self._forwarder.to_origin(request, way, wall=self._clock.wall(), internal=True)
        return asked, way

    def again(self, route: Route, path: bytes) -> Route | None:
        """Return the route with the same id now, None if it is gone or not for this path."""
        found = self._routes().again(route.id, path)
        if isinstance(found, Route):
            return found
        return route if found is Miss.SHARED else None

    def _way(self, request: Request, route: Route, client: bytes) -> Route:
        if _is_own(request, route, client):
            # A path of the origin's own naming goes to the same targets, but not rewritten.
            return self.again(route, request.path) or unrewritten(route)
        return direct(route, request.scheme, request.authority)


def _is_own(request: Request, route: Route, client: bytes) -> bool:
    """Tell whether a URL is on the host that the client asked, or that its origin was told."""
    own = links.resolve(client, b"")
    if own is None:
        return False
    scheme, authority, _ = links.split(own)
    places = {_place(scheme, authority)}
    if route.as_host:
        places.add(_place(scheme, route.as_host))
    return request.scheme == scheme and _place(scheme, request.authority) in places


def _place(scheme: bytes, authority: bytes) -> tuple[bytes, int]:
    host, port = split_authority(authority)
    return host, _PORTS[scheme] if port is None else port


@lru_cache(_MADE_MAX)
def unrewritten(route: Route) -> Route:
    """Return a route to the same targets that changes neither path nor host."""
    return replace(route, as_host=b"", path_rem=0, replace_beg=None)


@lru_cache(_MADE_MAX)
def direct(route: Route, scheme: bytes, authority: bytes) -> Route:
    """Return a route to a link's own host, signed as the original one.

    The fields that the original gives its own targets may be secrets: nobody else gets them.
    """
    host, port = _place(scheme, authority)
    target = Target(
        kind="tcp",
        host=host.decode("latin-1"),
        port=port,
        ssl=scheme == b"https",
        untrusted=any(target.untrusted for target in route.targets),
    )
    return replace(unrewritten(route), targets=(target,), headers=())

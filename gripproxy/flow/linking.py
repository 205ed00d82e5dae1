"""Requests of our own to links and filters' URLs, and the way that they take (grip-http.md 8.2).

A link to the host of the client's request takes the client's route, with its targets and
rewriting; any other goes to its own host, signed as the route signs.
"""

from collections.abc import Callable
from dataclasses import replace

from gripproxy.flow.ports import Clock
from gripproxy.protocol import links
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, split_authority
from gripproxy.protocol.routes import Miss, Route, RouteTable, Target


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
        own = links.resolve(client, b"")
        scheme, authority, _ = links.split(own) if own is not None else (b"", b"", b"")
        hosts = (authority.lower(), route.as_host.lower())
        if request.scheme == scheme and request.authority.lower() in hosts:
            found = self.again(route, request.path)
            # A path of the origin's own naming: to the route's targets, but not rewritten.
            return found or replace(route, as_host=b"", path_rem=0, replace_beg=None)
        untrusted = any(target.untrusted for target in route.targets)
        return direct(route, request.scheme, request.authority, untrusted=untrusted)


def direct(route: Route, scheme: bytes, authority: bytes, *, untrusted: bool) -> Route:
    """Return a route to a link's own host, signed as the original one."""
    host, port = split_authority(authority)
    secure = scheme == b"https"
    target = Target(
        kind="tcp",
        host=host.decode("latin-1"),
        port=port or (443 if secure else 80),
        ssl=secure,
        untrusted=untrusted,
    )
    return replace(route, targets=(target,), as_host=b"", path_rem=0, replace_beg=None)

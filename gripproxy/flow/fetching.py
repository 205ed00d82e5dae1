"""The one way to an origin over HTTP (proxying.md 7; cache-and-purge.md).

A client's request, a retry of a held one, a next link, a filter's question and the events of a
WebSocket all go through `Fetcher.fetch`:

1. The route's targets are tried in order.
2. One that was not reached is no answer: the next one is tried. Any response is an answer.
3. None left: the last error, with the names of all that were tried.
"""

from collections.abc import Awaitable
from typing import Protocol

from gripproxy.errors import ConnectError
from gripproxy.flow.counting import Watch
from gripproxy.flow.ports import Interim, Origin
from gripproxy.protocol import forwarding
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target


class Caching(Protocol):
    """A cache in front of the origins: `flow.caching.Cache`."""

    async def fetch(
        self,
        client: Request,
        request: Request,
        route: Route,
        *,
        interim: Interim | None,
        floor: int,
    ) -> tuple[Response, Target]:
        """Return a response from memory or from the origin; raises as `Fetcher.fetch`."""


class Fetcher:
    """Fetches responses from origins."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.cache: Caching | None = None  # set by whoever has one, before the first request
        self.watch: Watch | None = None  # likewise

    # hot: no coroutine of its own, since each on the way costs 0.15 us (bench/scenarios.py,
    # proxy-plain).
    def fetch(
        self,
        request: Request,
        route: Route,
        *,
        client: Request | None = None,
        interim: Interim | None = None,
        floor: int = 0,
    ) -> Awaitable[tuple[Response, Target]]:
        """Return the response to a request as the origin is to get it, and who answered.

        `client` is the request as it came, if what is stored may answer it; else it goes to the
        origin. `floor` is the epoch of the event that caused it (`engine.marks`), if one did:
        nothing older answers it.

        Raises:
            ConnectError: no target was reached; `tried` names them.
            ExchangeError, OriginTimeoutError: a target was reached and did not answer.
        """
        if client is not None and self.cache is not None:
            return self.cache.fetch(client, request, route, interim=interim, floor=floor)
        return self.ask(request, route, interim)

    async def ask(
        self, request: Request, route: Route, interim: Interim | None
    ) -> tuple[Response, Target]:
        """Ask the origin; see `fetch`."""
        failure: ConnectError | None = None
        for target in route.targets:
            try:
                asked = forwarding.for_target(request, target) if target.host_field else request
                if self.watch is None:
                    return await self._origin.send(asked, target, interim), target
                sending = self.watch.send(self._origin, asked, target, route, interim)
                return await sending, target
            except ConnectError as error:
                failure = error
        assert failure is not None  # a route has at least one target
        tried = ", ".join(str(target) for target in route.targets)
        raise ConnectError(
            failure.kind, f"Unable to connect to any targets. Tried: {tried}"
        ) from failure

"""Requests of our own that are equal are made once (grip-http.md 8.2; cache-and-purge.md).

A next link carries nothing of a client's request, so whoever asks for the same at the same time
gets the same, on every route:

1. The first one starts a *flight*, which belongs to none of them; the others join it.
2. They may join until the response is complete, or over 100,000 bytes; and only if it was caused
   by the same event as theirs, or a later one: none gets a page older than what he was told of.
3. When nobody waits for it any more it is dropped.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gripproxy.engine.flights import FlightBody
from gripproxy.errors import ConnectError, GripProxyError
from gripproxy.flow.bodies import KEPT_MAX
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.ports import Tasks
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target

_Key = tuple[object, ...]


@dataclass(slots=True, eq=False)
class _Flight:
    """A request that is with the origin; satisfies `engine.flights.Whole`."""

    floor: int
    over: Callable[["_Flight"], None]
    known: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    error: GripProxyError | None = None
    answer: tuple[Response, Target] | None = None
    body: bytes | FlightBody = b""
    waiting: int = 0

    @property
    def joinable(self) -> bool:
        """Whether all of it can still be had."""
        return self.error is None and (isinstance(self.body, bytes) or self.body.joinable)

    def wanted(self) -> bool:
        """Tell whether somebody waits who has not begun to read."""
        return self.waiting > 0

    def buffered(self, _more: int) -> None:
        """It is small, and no part of what is stored."""

    def storable(self) -> bool:
        """Tell that it is for those who wait only."""
        return False

    def body_whole(self, _body: bytes | None) -> None:
        """Take note of the end: who comes now asks anew."""
        self.over(self)

    def body_broken(self, _error: GripProxyError) -> None:
        """Take note of the end."""
        self.over(self)


class Sharing:
    """Fetches next links."""

    def __init__(self, fetcher: Fetcher, *, tasks: Tasks, epoch: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._tasks = tasks
        self._epoch = epoch
        self._flights: dict[_Key, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def fetch(
        self, request: Request, route: Route, *, floor: int
    ) -> tuple[Response, Target]:
        """Return the response to a request of our own; `floor` is the epoch of its event.

        Raises:
            OriginError: as `Fetcher.fetch`.
        """
        key = _key_of(request, route)
        while True:
            flight = self._flights.get(key)
            if flight is None or flight.floor < floor or not flight.joinable:
                flight = self._start(key, request, route, floor)
            flight.waiting += 1
            try:
                await flight.known.wait()
                if flight.error is not None:
                    raise flight.error
                if flight.joinable:
                    return _taken(flight)
            finally:
                self._leave(flight)

    def _start(self, key: _Key, request: Request, route: Route, floor: int) -> _Flight:
        def over(flight: _Flight) -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        # What is stored may be as old as the event; the origin answers with what is now.
        flight = self._flights[key] = _Flight(floor if route.cache else self._epoch(), over)
        flight.task = self._tasks.start(self._fly(flight, request, route), name="next link")
        return flight

    async def _fly(self, flight: _Flight, request: Request, route: Route) -> None:
        try:
            client = request if route.cache else None
            response, target = await self._fetcher.fetch(
                request, route, client=client, floor=flight.floor
            )
        except GripProxyError as error:
            flight.error = error
        except BaseException:
            flight.error = ConnectError("proxy_internal_error", "interrupted")
            raise
        else:
            flight.answer = response, target
            if isinstance(response.body, bytes):
                flight.body = response.body
                flight.over(flight)
            else:
                flight.body = FlightBody(response.body, KEPT_MAX, flight)
        finally:
            if flight.error is not None:
                flight.over(flight)
            flight.known.set()
        if isinstance(flight.body, FlightBody):
            flight.body.begin()

    def _leave(self, flight: _Flight) -> None:
        """Let the origin go if nobody waits for it any more."""
        flight.waiting -= 1
        if flight.waiting:
            return
        if not flight.known.is_set():
            flight.over(flight)
            assert flight.task is not None  # set when it was made
            flight.task.cancel()
        elif isinstance(flight.body, FlightBody):
            flight.body.look_for_readers()


def _taken(flight: _Flight) -> tuple[Response, Target]:
    """Return a flight's response for one more who reads it."""
    assert flight.answer is not None  # it is known
    response, target = flight.answer
    body = flight.body
    return replace(response, body=body if isinstance(body, bytes) else body.reader()), target


def _key_of(request: Request, route: Route) -> _Key:
    last = frozenset(request.headers.get_all(b"grip-last"))
    return (route, request.method, request.scheme, request.authority, request.target, last)

"""Filters that ask the network: `http-check`, `http-modify` (publishing.md 9.5).

1. A holder's chain halts at such a filter; later items for the holder wait in it.
2. Its question becomes a request. Equal ones of one item are made once.
3. Requests wait for their turn: 3 each 25 ms, URLs taking turns, at most 10,000 waiting.
4. The answer lets the chain of every holder that asked go on.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.streams import StreamHold
from gripproxy.engine.subscriptions import Answer, Filtered, Halted
from gripproxy.errors import (
    ConnectError,
    ExchangeError,
    FilterError,
    GripProxyError,
    OriginTimeoutError,
)
from gripproxy.flow.access import Access
from gripproxy.flow.bodies import TooLargeError, collect
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.linking import Linker
from gripproxy.flow.ports import Clock, Tasks
from gripproxy.protocol import filterrequests
from gripproxy.protocol.filterrequests import FilterRequest
from gripproxy.protocol.headers import Headers

PERIOD = 0.025
STARTS = 3
WAITING_MAX = 10_000

Done = Callable[[Answer, float], None]

_CONNECT_REASONS = {
    "connection_refused": filterrequests.REFUSED,
    "connection_timeout": filterrequests.CONNECT_TIMEOUT,
    "tls_protocol_error": filterrequests.TLS,
    "tls_certificate_error": filterrequests.TLS,
}


class Filtering:
    """Asks for holders: satisfies `engine.subscriptions.Network`."""

    def __init__(
        self, fetcher: Fetcher, linker: Linker, *, clock: Clock, tasks: Tasks, access: Access
    ) -> None:
        self._access = access
        self._fetcher = fetcher
        self._linker = linker
        self._clock = clock
        self._tasks = tasks
        self._waiting: OrderedDict[bytes, deque[_Question]] = OrderedDict()
        self._count = 0
        self._pumping = False

    def ask(self, holder: Filtered, delivery: Delivery, halted: Halted, done: Done) -> None:
        """Ask what a halted chain wants to know; `done` is called later, never at once."""
        try:
            request = filterrequests.request(
                halted.ask, halted.context, base=holder.url, before=halted.before
            )
        except FilterError as error:
            self._tasks.start(self._refuse(done, error), name="filter")
            return
        key = (request, holder.route.id)
        known = delivery.asked.get(key)
        if isinstance(known, _Question):
            if known.outcome is None:
                known.add(halted, done)
            else:
                self._tasks.start(self._repeat(known, halted, done), name="filter")
            return
        question = _Question(holder, request)
        question.add(halted, done)
        delivery.asked[key] = question
        if self._count >= WAITING_MAX:
            limit = filterrequests.over_limit()
            self._tasks.start(self._refuse_all(question, limit), name="filter")
            return
        self._waiting.setdefault(request.url, deque()).append(question)
        self._count += 1
        if not self._pumping:
            self._pumping = True
            self._tasks.start(self._pump(), name="filters")

    async def _repeat(self, question: "_Question", halted: Halted, done: Done) -> None:
        question.add(halted, done)
        question.tell(self._clock.now())

    async def _refuse(self, done: Done, error: FilterError) -> None:
        done(error, self._clock.now())

    async def _refuse_all(self, question: "_Question", error: FilterError) -> None:
        question.outcome = error
        question.tell(self._clock.now())

    async def _pump(self) -> None:
        """Start requests at their pace until none waits."""
        try:
            while self._waiting:
                for _ in range(STARTS):
                    if self._waiting:
                        self._tasks.start(self._make(self._next()), name="filter")
                await asyncio.sleep(PERIOD)
        finally:
            self._pumping = False

    def _next(self) -> "_Question":
        url, questions = self._waiting.popitem(last=False)
        question = questions.popleft()
        self._count -= 1
        if questions:
            self._waiting[url] = questions  # behind the other URLs
        return question

    async def _make(self, question: "_Question") -> None:
        """Make one request and answer all who asked it."""
        status: int | None = None
        size = 0
        try:
            async with asyncio.timeout(filterrequests.SECONDS_MAX):
                status, headers, body = await self._fetch(question)
            size = len(body)
            question.outcome = (status, headers, body)
        except TimeoutError:
            question.outcome = filterrequests.failed(filterrequests.TIMEOUT)
        except GripProxyError as error:
            question.outcome = filterrequests.failed(_reason(error))
        url, route = question.request.url, question.holder.route
        self._access.made(b"POST", url, route, status, size)
        question.tell(self._clock.now())

    async def _fetch(self, question: "_Question") -> tuple[int, Headers, bytes]:
        asked = question.request
        holder = question.holder
        request, route = self._linker.request(
            b"POST",
            asked.url,
            route=holder.route,
            # A stream's own URL moves on with its pages.
            client=holder.origin.request.uri if isinstance(holder, StreamHold) else holder.url,
            fields=asked.fields,
            body=asked.body,
        )
        response, _ = await self._fetcher.fetch(request, route)
        try:
            body = await collect(response.body, filterrequests.BODY_MAX)
        except TooLargeError:
            body = b"\0" * (filterrequests.BODY_MAX + 1)  # its verdict is that it is too large
        return response.status, response.headers, body


class _Question:
    """A request and all chains that wait for its answer; it answers late ones, too."""

    __slots__ = ("_waiting", "holder", "outcome", "request")

    def __init__(self, holder: Filtered, request: FilterRequest) -> None:
        self.holder = holder
        self.request = request
        self.outcome: tuple[int, Headers, bytes] | FilterError | None = None
        self._waiting: list[tuple[Halted, Done]] = []

    def add(self, halted: Halted, done: Done) -> None:
        self._waiting.append((halted, done))

    def tell(self, now: float) -> None:
        """Let the chains that wait go on."""
        waiting, self._waiting = self._waiting, []
        for halted, done in waiting:
            done(self._answer(halted), now)

    def _answer(self, halted: Halted) -> Answer:
        outcome = self.outcome
        assert outcome is not None
        if isinstance(outcome, FilterError):
            return outcome
        try:
            return filterrequests.verdict(halted.ask, *outcome)
        except FilterError as error:
            return error


def _reason(error: GripProxyError) -> str:
    if isinstance(error, ConnectError):
        return _CONNECT_REASONS.get(error.kind, filterrequests.OTHER)
    if isinstance(error, OriginTimeoutError):
        return filterrequests.TIMEOUT
    if isinstance(error, ExchangeError):
        return filterrequests.DISCONNECTED
    return filterrequests.OTHER

"""Next links: pages that a stream goes on with (grip-http.md 8).

The story of a next fetch:

1. The link is fetched, with `Grip-Last` for the stream's positions. Failures are tried again,
   five times; until the first byte of a page the keep-alive goes on.
2. What the page's fields say is read from its head; its body is relayed as it comes.
3. A page that holds: its channels replace the stream's, and what waited meanwhile follows.
4. A page that does not hold: its next link is fetched at once, or without one the stream ends.

A stream that is over meanwhile interrupts the story wherever it waits.
"""

import asyncio

from gripproxy.engine.hub import Hub
from gripproxy.engine.origins import Origin
from gripproxy.engine.streams import StreamHold, unlinked
from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import GripProxyError, InstructError
from gripproxy.flow.access import Access
from gripproxy.flow.bodies import KEPT_MAX, TooLargeError, collect
from gripproxy.flow.bodyfilters import BodyFilters, FilteredBody
from gripproxy.flow.decoding import decoded
from gripproxy.flow.linking import Linker
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.flow.sharing import Sharing
from gripproxy.protocol import instruct, links, positions
from gripproxy.protocol.instruct import Instruct
from gripproxy.protocol.messages import Body, Response
from gripproxy.protocol.routes import Target
from gripproxy.protocol.terms import HoldMode

# Seconds to wait after each failure, before a random part of a second (8.3).
DELAYS = (1, 2, 4, 8, 16)
# From so many empty pages in a row on, one fetch a second: a loop would keep an origin busy.
BLANK_PAGES_MAX = 100
BLANK_PAGES_SECONDS = 1.0

FAILED = "Failed to retrieve next link."
NOT_A_STREAM = "Next link returned non-stream hold."


class Pager:
    """Fetches next links and lets streams go on with their pages."""

    def __init__(
        self,
        sharing: Sharing,
        linker: Linker,
        hub: Hub,
        *,
        clock: Clock,
        access: Access,
        subscription_max: int,
    ) -> None:
        self._access = access
        self._sharing = sharing
        self._linker = linker
        self._hub = hub
        self._clock = clock
        self._subscription_max = subscription_max

    async def run(self, exchange: Exchange, hold: StreamHold) -> None:
        """Fetch the next link of a stream, and let it go on as the page says."""
        try:
            async with asyncio.timeout(None) as scope:
                # Without a time of its own it ends when the stream does, not before.
                hold.interrupt = lambda: scope.reschedule(0.0)
                await self._next_page(exchange, hold)
        except TimeoutError:
            pass  # the stream is over: nobody wants the page
        finally:
            hold.interrupt = None

    async def _next_page(self, exchange: Exchange, hold: StreamHold) -> None:
        if hold.blank_pages >= BLANK_PAGES_MAX:
            await asyncio.sleep(BLANK_PAGES_SECONDS)
        delays = iter(DELAYS)
        while True:
            try:
                await self._fetch(exchange, hold)
            except InstructError as error:
                hold.fail(error.text, self._clock.now())
            except GripProxyError as error:
                delay = next(delays, None)
                relayed = isinstance(error, _BrokenPageError) and error.begun
                if delay is not None and not relayed:
                    await asyncio.sleep(delay + self._hub.random())
                    continue
                hold.fail(FAILED, self._clock.now())
            return

    async def _fetch(self, exchange: Exchange, hold: StreamHold) -> None:
        """Fetch the link once.

        Raises:
            InstructError: what the page says cannot be done.
            _BrokenPageError: it broke off; if some of it had been relayed, for good.
            GripProxyError: there is no page; it may be tried again.
        """
        uri, origin = hold.next_uri, hold.origin
        assert uri is not None  # nobody asks for a page without it
        last = {s.name: s.prev_id for s in hold.subscriptions.values()}
        request, route = self._linker.request(
            b"GET",
            uri,
            route=origin.route,
            client=origin.request.uri,
            fields=tuple(positions.fields(last)),
        )
        status: int | None = None
        size = 0
        try:
            response, target = await self._sharing.fetch(request, route, floor=origin.floor)
            status = response.status
            try:
                size = await self._take(exchange, hold, response, target, uri)
            finally:
                abandon(response.body)
        except _BrokenPageError:
            status = None
            raise
        finally:
            self._access.made(b"GET", uri, origin.route, status, size)

    async def _take(
        self,
        exchange: Exchange,
        hold: StreamHold,
        response: Response,
        target: Target,
        uri: bytes,
    ) -> int:
        """Relay a page and let the stream go on; return the page's size."""
        if not 200 <= response.status < 300:
            raise _PageError
        response = decoded(response)
        if instruct.is_json(response.headers):
            asked = instruct.read(response, await _whole(response.body, target))
            body = asked.response.body
        else:
            asked = instruct.read_head(response)
            body = response.body
        if asked.mode is HoldMode.RESPONSE:
            raise InstructError(NOT_A_STREAM)
        found = subscriptions(asked, hold.origin, self._subscription_max)
        stages = self.filters(asked, hold.origin, found)
        size = await self._relay(exchange, hold, body, stages)
        if hold.body_ended(self._clock.now()):
            self._go_on(hold, asked, found, uri, blank=size == 0)
        return size

    async def _relay(
        self, exchange: Exchange, hold: StreamHold, body: Body, stages: BodyFilters
    ) -> int:
        """Relay a page; return its size."""
        if isinstance(body, bytes):
            content = stages.apply(body, last=True)
            if content:
                hold.body_begins()
                hold.write_page(content)
            return len(body)
        page = FilteredBody(body, stages, hold.body_begins)
        whole = await exchange.relay(page)
        if page.failure is not None:
            raise page.failure
        if not whole:
            raise _BrokenPageError(begun=page.begun)
        return page.size

    def _go_on(
        self,
        hold: StreamHold,
        asked: Instruct,
        found: dict[str, Subscription],
        uri: bytes,
        *,
        blank: bool,
    ) -> None:
        """Hold, or fetch the next page, or end (8.1)."""
        now = self._clock.now()
        link = next_link(asked, uri)
        hold.url = uri
        if asked.mode is HoldMode.STREAM:
            wrong = unlinked(found.values(), link)
            if wrong:
                hold.fail(wrong, now)
                return
            self._hub.resubscribe(hold, found, now=now)
            hold.instruct(asked.keep_alive, dict(asked.meta), link)
            hold.drop_overlap()
            hold.hold(now=now)
        elif link is not None:
            hold.instruct(asked.keep_alive, dict(asked.meta), link)
            hold.blank_pages = hold.blank_pages + 1 if blank else 0
            hold.ask_now()
        else:
            hold.end(now)

    def filters(
        self, asked: Instruct, origin: Origin, found: dict[str, Subscription]
    ) -> BodyFilters:
        """Return the filters of a body that came with an instruct."""
        return BodyFilters(
            found.values(),
            asked.meta,
            debug=origin.debug,
            odd=lambda text: self._hub.notices.odd_content(origin.route, text),
        )


# What an instruct says


def subscriptions(asked: Instruct, origin: Origin, limit: int) -> dict[str, Subscription]:
    """Return what an instruct subscribes to, by prefixed name, and `sub=` of the target (2.3)."""
    prefix = origin.route.prefix
    found: dict[str, Subscription] = {}
    for channel in asked.channels[:limit]:
        name = prefix + channel.name if prefix else channel.name
        found[name] = Subscription(channel.name, name, channel.prev_id, channel.filters)
    for sub in origin.subs:
        if sub not in found:
            found[sub] = Subscription(sub, sub)
    return found


def next_link(asked: Instruct, base: bytes) -> tuple[bytes, int] | None:
    """Return the absolute URI and the timeout of an instruct's next link."""
    if asked.next is None:
        return None
    uri = links.resolve(base, asked.next.uri)
    return (uri, asked.next.timeout) if uri is not None else None


# Bodies


async def _whole(body: Body, target: Target) -> bytes:
    """Return the body of an instruct.

    Raises:
        InstructError: it is too large.
    """
    try:
        return await collect(body, KEPT_MAX)
    except TooLargeError:
        raise InstructError(too_large(target)) from None


def too_large(target: Target) -> str:
    """Return what debug says of an instruct that is too large (1.3)."""
    return f"GRIP instruct response too large from {target}"


def abandon(body: Body) -> None:
    """Let go of a body: nobody wants the rest."""
    if not isinstance(body, bytes):
        body.abandon()


class _PageError(GripProxyError):
    """A next link that did not give a page; it may be tried again."""


class _BrokenPageError(GripProxyError):
    """A page that broke off; `begun`: after some of it was relayed."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__()
        self.begun = begun

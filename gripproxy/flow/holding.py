"""From an instruct to the last byte of a held request (grip-http.md 1, 5 to 8).

The story of a hold:

1. An origin's response carries GRIP instructions. A stream that is told by fields begins at once
   and its body is relayed as it comes; anything else is read whole first, then understood.
2. No hold: the response goes to the client as the instructions transform it.
3. A response hold whose positions show that it has missed something asks the origin again at
   once; else it is subscribed and parked.
4. A stream's head and first body go out, subscribed from the head on; then it is parked.
5. A wake resumes the story in the connection's own task: the client's request is sent again
   (*retry*), or the *next* link is fetched and its page relayed into the stream.
6. When it is over for good, the *gone* link is called.
"""

import asyncio

from gripproxy.engine.hub import Hub
from gripproxy.engine.origins import Origin, State
from gripproxy.engine.ports import Held, Wake
from gripproxy.engine.responses import ResponseHold
from gripproxy.engine.streams import StreamHold
from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import (
    FilterError,
    GripProxyError,
    InstructError,
    OriginError,
    RequestError,
)
from gripproxy.flow.access import Access
from gripproxy.flow.bodies import KEPT_MAX, KeptBody, TooLargeError, collect
from gripproxy.flow.decoding import decoded
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.linking import Linker
from gripproxy.flow.ports import Clock, Exchange, Tasks
from gripproxy.protocol import answers, filters, forwarding, instruct, links, positions
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.instruct import Instruct
from gripproxy.protocol.messages import Response, Source
from gripproxy.protocol.routes import Target
from gripproxy.protocol.terms import HoldMode

# One request is not asked more often than this in one second (grip-http.md 6.4).
RETRIES_MAX = 10
# Fetches of a next link after failures: seconds to wait before each (8.3).
NEXT_DELAYS = (1, 2, 4, 8, 16)
# From so many empty pages in a row on, one fetch a second (8.3).
EMPTY_PAGES_MAX = 100

TOO_LARGE = "Request too large to accept GRIP instruct."


class Holder:
    """Begins holds and lets them go on."""

    def __init__(
        self,
        fetcher: Fetcher,
        forwarder: Forwarder,
        hub: Hub,
        *,
        clock: Clock,
        tasks: Tasks,
        linker: Linker,
        access: Access,
        subscription_max: int = 20,
    ) -> None:
        self._fetcher = fetcher
        self._forwarder = forwarder
        self._hub = hub
        self._clock = clock
        self._tasks = tasks
        self._linker = linker
        self._access = access
        self._subscription_max = subscription_max

    # Beginning

    async def begin(
        self, exchange: Exchange, origin: Origin, response: Response, target: Target
    ) -> None:
        """Act on a response that is an instruct."""
        origin.subs = target.subs
        origin.target = target
        try:
            await self._begin(exchange, origin, response, target)
        except InstructError as error:
            failed = answers.of_origin_error(error, debug=origin.debug)
            await self._refuse(exchange, origin, failed)
        except _AnsweredError as error:
            await self._refuse(exchange, origin, error.response)
        except RequestError as error:
            await self._refuse(exchange, origin, answers.of_request_error(error))
        except GripProxyError:
            failed = answers.text(502, answers.GENERIC, error="http_response_incomplete")
            await self._refuse(exchange, origin, failed)

    async def _begin(
        self, exchange: Exchange, origin: Origin, response: Response, target: Target
    ) -> None:
        response = decoded(response)
        streams = instruct.streams(response)
        if streams and not isinstance(response.body, bytes):
            asked = instruct.read_head(response)
        else:
            asked = instruct.read(response, await self._whole(response, origin, target))
        await self._keep_request(origin)
        if asked.gone is not None and origin.gone is None:
            origin.gone = links.resolve(origin.request.uri, asked.gone.uri)
        if asked.mode is HoldMode.RESPONSE:
            await self._hold_response(exchange, origin, asked)
        elif asked.mode is HoldMode.STREAM or asked.next is not None:
            await self._hold_stream(exchange, origin, asked)
        else:
            await self._answer(exchange, origin, asked)

    async def _whole(self, response: Response, origin: Origin, target: Target) -> bytes:
        try:
            return await collect(response.body, KEPT_MAX)
        except TooLargeError:
            text = answers.GENERIC
            if origin.debug:
                text = f"GRIP instruct response too large from {target}"
            raise _AnsweredError(
                answers.text(502, text, error="http_response_body_size")
            ) from None

    async def _keep_request(self, origin: Origin) -> None:
        """Read what is missing of the client's body: a retry needs it all."""
        body = origin.request.body
        if isinstance(body, KeptBody):
            try:
                body = await body.whole()
            except TooLargeError:
                raise RequestError(400, TOO_LARGE) from None
            origin.request.body = body
            origin.request.length = len(body)
        elif not isinstance(body, bytes) or len(body) > KEPT_MAX:
            raise RequestError(400, TOO_LARGE)

    async def _refuse(self, exchange: Exchange, origin: Origin, response: Response) -> None:
        status = response.status
        if origin.dress is not None:
            response = origin.dress.relayed(response)
        await exchange.answer(response)
        self._access.answered(exchange, origin.request, origin.route, origin.target, status)

    async def _answer(self, exchange: Exchange, origin: Origin, asked: Instruct) -> None:
        """Answer with what the instruct left of the response: no hold (1.5)."""
        response = asked.response
        body = response.body
        if isinstance(body, bytes):
            response.body = _filtered(asked, body)
            response.length = len(response.body)
        status = response.status
        if origin.dress is not None:
            response = origin.dress.held(response)
        await exchange.answer(response)
        self._access.answered(exchange, origin.request, origin.route, origin.target, status)

    def _subscriptions(self, asked: Instruct, origin: Origin) -> dict[str, Subscription]:
        """Return what an instruct subscribes to, by prefixed name (2.3)."""
        prefix = origin.route.prefix
        found: dict[str, Subscription] = {}
        for channel in asked.channels[: self._subscription_max]:
            name = prefix + channel.name if prefix else channel.name
            found[name] = Subscription(channel.name, name, channel.prev_id, channel.filters)
        for sub in origin.subs:
            if sub not in found:
                found[sub] = Subscription(sub, sub)
        return found

    # Response holds

    async def _hold_response(self, exchange: Exchange, origin: Origin, asked: Instruct) -> None:
        subscriptions = self._subscriptions(asked, origin)
        if self._hub.missed(subscriptions.values()):
            self._remember(origin, subscriptions)
            await self._retry(exchange, origin)
            return
        hold = ResponseHold(self._hub, exchange, origin, asked.response, dict(asked.meta))
        hold.subscriptions = subscriptions
        now = self._clock.now()
        self._hub.attach(hold, subscriptions.values(), now=now)
        hold.hold(asked.timeout, now=now)
        self._access.held(origin, subscriptions)
        exchange.park(hold, self.resume)

    def _remember(self, origin: Origin, subscriptions: dict[str, Subscription]) -> None:
        for subscription in subscriptions.values():
            if subscription.prev_id is not None:
                origin.last[subscription.name] = subscription.prev_id

    async def _retry(self, exchange: Exchange, origin: Origin) -> None:
        """Send the client's request again, as if it had just come (6.4)."""
        await self._pace(origin)
        route = self._linker.again(origin.route, origin.request.path)
        if route is None:
            await self._refuse(exchange, origin, answers.no_route())
            return
        origin.route = route
        request = self._forwarder.to_origin(
            origin.request, route, wall=self._clock.wall(), trusted=origin.trusted
        )
        request = forwarding.with_changes(
            request, headers=request.headers.plus(*positions.fields(origin.last))
        )
        try:
            response, target = await self._fetcher.fetch(request, route)
        except OriginError as error:
            failed = answers.of_origin_error(error, debug=origin.debug)
            await self._refuse(exchange, origin, failed)
            return
        if instruct.is_instruct(response.headers):
            origin.retried = True
            await self.begin(exchange, origin, response, target)
            return
        response = forwarding.to_client(response)
        status = response.status
        if origin.dress is not None:
            response = origin.dress.relayed(response)
        await exchange.answer(response)
        self._access.answered(exchange, origin.request, route, target, status, retry=True)

    async def _pace(self, origin: Origin) -> None:
        now = self._clock.now()
        if now - origin.retried_since >= 1.0:
            origin.retried_since = now
            origin.retries = 0
        origin.retries += 1
        if origin.retries > RETRIES_MAX:
            await asyncio.sleep(1.0 - (now - origin.retried_since))

    # Stream holds

    async def _hold_stream(self, exchange: Exchange, origin: Origin, asked: Instruct) -> None:
        response = asked.response
        body = response.body
        if isinstance(body, bytes):
            body = response.body = _filtered(asked, body)
        else:
            response.body = b""
        if origin.dress is not None:
            response = origin.dress.head(response)
        if not exchange.begin(response):
            if not isinstance(body, bytes):
                body.abandon()
            return
        hold = StreamHold(self._hub, exchange, origin)
        subscriptions = self._set_up(hold, asked, origin.request.uri)
        now = self._clock.now()
        missed = self._hub.attach(hold, subscriptions.values(), now=now)
        if not isinstance(body, bytes) and not await self._relay_opening(exchange, hold, body):
            return
        self._access.held(origin, subscriptions)
        self._carry_on(exchange, hold, asked, missed=missed)

    async def _relay_opening(self, exchange: Exchange, hold: StreamHold, body: Source) -> bool:
        """Relay the first body; one that breaks off must not look whole (5.3)."""
        whole = False
        try:
            whole = await exchange.relay(body)
        finally:
            if not whole:
                hold.gone(self._clock.now())
                exchange.cut()
        return whole

    def _set_up(self, hold: StreamHold, asked: Instruct, base: bytes) -> dict[str, Subscription]:
        subscriptions = self._subscriptions(asked, hold.origin)
        next_link: tuple[bytes, int] | None = None
        if asked.next is not None:
            uri = links.resolve(base, asked.next.uri)
            next_link = (uri, asked.next.timeout) if uri is not None else None
        hold.url = base
        hold.set_up(subscriptions, asked.keep_alive, dict(asked.meta), next_link)
        return subscriptions

    def _carry_on(
        self, exchange: Exchange, hold: StreamHold, asked: Instruct, *, missed: bool
    ) -> None:
        """Hold, or fetch the next page, or end, as the instruct says (8.1)."""
        now = self._clock.now()
        exchange.park(hold, self.resume)
        if hold.state is State.OVER:
            return
        if hold.next_uri is None:
            for subscription in hold.subscriptions.values():
                if subscription.prev_id is not None:
                    text = "specifies prev-id, but no next link found"
                    hold.fail(f"channel '{subscription.name}' {text}", now)
                    return
        if asked.mode is HoldMode.STREAM:
            hold.hold(now=now)
            if missed:
                hold.update(now)
        elif hold.next_uri is not None:
            hold.ask_now()
        else:
            hold.end(now)

    # Going on

    async def resume(self, exchange: Exchange, held: Held, reason: Wake) -> None:
        """Go on with a hold that was woken."""
        if isinstance(held, ResponseHold):
            await self._retry(exchange, held.origin)
        elif isinstance(held, StreamHold) and held.asking:
            await self._next_page(exchange, held)

    async def _next_page(self, exchange: Exchange, hold: StreamHold) -> None:
        """Fetch the next link and relay its page (8.2, 8.3)."""
        for delay in (*NEXT_DELAYS, None):
            base = hold.next_uri
            assert base is not None
            try:
                asked = await self._fetch_page(exchange, hold, base)
            except InstructError as error:
                hold.fail(error.text, self._clock.now())
                return
            except _BrokenPageError:
                break
            except GripProxyError:
                if delay is None:
                    break
                await asyncio.sleep(delay + self._hub.random())
                continue
            if hold.state is not State.OVER:
                self._page_done(exchange, hold, asked, base)
            return
        hold.fail("Failed to retrieve next link.", self._clock.now())

    async def _fetch_page(self, exchange: Exchange, hold: StreamHold, uri: bytes) -> Instruct:
        origin = hold.origin
        last = {s.name: s.prev_id for s in hold.subscriptions.values()}
        request, route = self._linker.request(
            b"GET",
            uri,
            route=origin.route,
            client=origin.request.uri,
            fields=tuple(positions.fields(last)),
        )
        response, target = await self._fetcher.fetch(request, route)
        if not 200 <= response.status < 300:
            if not isinstance(response.body, bytes):
                response.body.abandon()
            raise _PageError(f"next link answered {response.status}")
        response = decoded(response)
        if instruct.streams(response) or not instruct.is_json(response.headers):
            asked = instruct.read_head(response)
            body = response.body
        else:
            asked = instruct.read(response, await self._whole(response, origin, target))
            body = asked.response.body
        if asked.mode is HoldMode.RESPONSE:
            raise InstructError("Next link returned non-stream hold.")
        await self._relay_page(exchange, hold, asked, body)
        return asked

    async def _relay_page(
        self, exchange: Exchange, hold: StreamHold, asked: Instruct, body: bytes | Source
    ) -> None:
        if isinstance(body, bytes):
            body = _filtered(asked, body)
            if body:
                hold.page_begins()
                hold.write_page(body)
            return
        hold.page_begins()
        if not await exchange.relay(body):
            raise _BrokenPageError

    def _page_done(
        self, exchange: Exchange, hold: StreamHold, asked: Instruct, base: bytes
    ) -> None:
        now = self._clock.now()
        before = set(hold.subscriptions)
        subscriptions = self._set_up(hold, asked, base)
        for channel in before - set(subscriptions):
            self._hub.unsubscribe(hold, channel, now=now)
        for channel in set(subscriptions) - before:
            self._hub.subscribe(hold, channel, now=now)
        hold.drop_overlap()
        self._carry_on(exchange, hold, asked, missed=False)

    # The end

    def ended(self, origin: Origin) -> None:
        """Call the gone link of a request that is over (8.5)."""
        if origin.gone is not None:
            gone, origin.gone = origin.gone, None
            self._tasks.start(self._call_gone(origin, gone), name="gone link")

    async def _call_gone(self, origin: Origin, uri: bytes) -> None:
        request, route = self._linker.request(
            b"POST", uri, route=origin.route, client=origin.request.uri
        )
        try:
            response, _ = await self._fetcher.fetch(request, route)
        except GripProxyError:
            return  # only a hint to the origin; never repeated
        if not isinstance(response.body, bytes):
            response.body.abandon()


def _filtered(asked: Instruct, body: bytes) -> bytes:
    """Pass an origin's body through the filters that act on bodies (9.1).

    Raises:
        InstructError: with the filter's error.
    """
    names = [name for channel in asked.channels for name in channel.filters]
    if not names:
        return body
    context = filters.Context(sub_meta=asked.meta, pub_meta={}, positions=None, subscriptions=())
    try:
        return filters.Body(names, context).apply(body, last=True)
    except FilterError as error:
        raise InstructError(f"filter error: {error.text}") from None


class _AnsweredError(GripProxyError):
    """Something went wrong in a way that has an answer of its own."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _PageError(GripProxyError):
    """A next link that did not give a page; it may be tried again."""


class _BrokenPageError(GripProxyError):
    """A page that broke off after some of it was relayed."""

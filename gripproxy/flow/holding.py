"""From an instruct to the last byte of a held request (grip-http.md 1, 5, 6, 8).

The story of a hold:

1. An origin's response carries GRIP instructions. A stream that is told by fields begins at once
   and its body is relayed as it comes; anything else is read whole first, then understood.
2. No hold: the response goes to the client as the instructions transform it.
3. A response hold whose positions show that it has missed something asks the origin again at
   once; else it is subscribed and parked.
4. A stream's head and first body go out, subscribed from the head on; then it is parked.
5. A wake resumes the story in the connection's own task: the client's request is sent again
   (*retry*), or the *next* link is fetched (`paging`).
6. When it is over for good, the *gone* link is called.
"""

import asyncio
from collections.abc import Awaitable

from gripproxy.engine.hub import Hub
from gripproxy.engine.origins import Origin, State
from gripproxy.engine.ports import Held, Wake
from gripproxy.engine.responses import ResponseHold
from gripproxy.engine.streams import StreamHold, unlinked
from gripproxy.errors import (
    ClientGoneError,
    GripProxyError,
    InstructError,
    OriginError,
    RequestError,
)
from gripproxy.flow.access import Access
from gripproxy.flow.bodies import KEPT_MAX, KeptBody, TooLargeError, collect
from gripproxy.flow.bodyfilters import FilteredBody
from gripproxy.flow.counting import Watch
from gripproxy.flow.decoding import decoded
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.linking import Linker
from gripproxy.flow.paging import Pager, abandon, next_link, subscriptions, too_large
from gripproxy.flow.ports import Clock, Exchange, Tasks
from gripproxy.flow.resuming import Resumed, resumed
from gripproxy.flow.sharing import Sharing
from gripproxy.protocol import answers, forwarding, instruct, links, positions
from gripproxy.protocol.caching import report, serving, variants
from gripproxy.protocol.caching.variants import Variant
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.instruct import Instruct
from gripproxy.protocol.messages import Response
from gripproxy.protocol.routes import Target
from gripproxy.protocol.terms import HoldMode

# One request is not sent again more often than this in one second (grip-http.md 6.4): an origin
# may name an id that can never fit.
RETRIES_MAX = 10
RETRIES_SECONDS = 1.0

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
        self.watch: Watch | None = None  # set by whoever has one, before the first hold
        sharing = Sharing(fetcher, tasks=tasks, epoch=lambda: hub.marks.epoch)
        self._pager = Pager(
            sharing, linker, hub, clock=clock, access=access, subscription_max=subscription_max
        )
        hub.ended = self.ended

    async def begin(
        self, exchange: Exchange, origin: Origin, response: Response, target: Target
    ) -> None:
        """Act on a response that is an instruct."""
        await self._until_over(origin, self._obey(exchange, origin, response, target))

    async def resume(self, exchange: Exchange, held: Held, reason: Wake) -> None:
        """Go on with a hold that was woken."""
        if isinstance(held, ResponseHold):
            await self._until_over(held.origin, self._retry(exchange, held.origin))
        elif isinstance(held, StreamHold) and held.asking:
            await self._pager.run(exchange, held)

    async def _until_over(self, origin: Origin, story: Awaitable[bool]) -> None:
        """Tell a part of the story; unless the request is held then, it is over."""
        held = False
        try:
            held = await story
        finally:
            if not held:
                self.ended(origin)

    # An instruct

    async def _obey(
        self, exchange: Exchange, origin: Origin, response: Response, target: Target
    ) -> bool:
        """Do what an instruct says, or answer why not; return whether the request is held."""
        origin.subs = target.subs
        origin.target = target
        try:
            return await self._act(exchange, origin, response, target)
        except InstructError as error:
            failed = answers.of_origin_error(error, debug=origin.debug)
        except TooLargeError:
            said = too_large(target) if origin.debug else answers.GENERIC
            failed = answers.text(502, said, error="http_response_body_size")
        except RequestError as error:
            failed = answers.of_request_error(error)
        except ClientGoneError:
            exchange.cut()
            self._access.broke_off(origin.request, origin.route, origin.target)
            return False
        except GripProxyError:
            failed = answers.text(502, answers.GENERIC, error="http_response_incomplete")
        finally:
            abandon(response.body)
        await self._refuse(exchange, origin, failed)
        return False

    async def _act(
        self, exchange: Exchange, origin: Origin, response: Response, target: Target
    ) -> bool:
        position = response.position if isinstance(response, Resumed) else None
        response = decoded(response)
        if instruct.streams(response):
            asked = instruct.read_head(response)
        else:
            asked = instruct.read(response, await collect(response.body, KEPT_MAX))
        if origin.route.cache and (asked.mode is not None or asked.next is not None):
            asked.response.headers = serving.held(asked.response.headers)
            origin.shared = _variant(origin.request.headers, response.headers)
        if position is not None:
            asked = resumed(asked, position)
        await self._keep_request(origin)
        if asked.gone is not None:
            # A retry's answer is a first response, too: its link counts from now on.
            origin.gone = links.resolve(origin.request.uri, asked.gone.uri) or origin.gone
        if asked.mode is HoldMode.RESPONSE:
            return self._hold_response(exchange, origin, asked)
        if asked.mode is HoldMode.STREAM or asked.next is not None:
            return await self._hold_stream(exchange, origin, asked)
        await self._answer(exchange, origin, asked)
        return False

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

    # Answers

    async def _refuse(self, exchange: Exchange, origin: Origin, response: Response) -> None:
        """Answer with an error of ours, or with what an origin says instead of holding."""
        if origin.dress is not None:
            response = origin.dress.relayed(response)
        await self._send(exchange, origin, response)

    async def _answer(self, exchange: Exchange, origin: Origin, asked: Instruct) -> None:
        """Answer with what the instruct left of the response: no hold (1.5)."""
        response = asked.response
        body = response.body
        assert isinstance(body, bytes)  # only streams are not read whole
        found = subscriptions(asked, origin, self._subscription_max)
        body = self._pager.filters(asked, origin, found).apply(body, last=True)
        response.body = body
        response.length = len(body)
        if origin.dress is not None:
            response = origin.dress.held(response)
        await self._send(exchange, origin, response)

    async def _send(self, exchange: Exchange, origin: Origin, response: Response) -> None:
        status = response.status
        request, route, target = origin.request, origin.route, origin.target
        if await exchange.answer(response):
            self._access.answered(exchange, request, route, target, status, retry=origin.retried)
        else:
            self._access.broke_off(request, route, target)

    # Response holds

    def _hold_response(self, exchange: Exchange, origin: Origin, asked: Instruct) -> bool:
        hold = ResponseHold(
            self._hub,
            exchange,
            origin,
            asked.response,
            dict(asked.meta),
            subscriptions(asked, origin, self._subscription_max),
        )
        exchange.park(hold, self.resume)
        if hold.state is State.OVER:
            return True  # its client had left before it began
        now = self._clock.now()
        asked_in, origin.asked_in = origin.asked_in, None
        if self._hub.missed(hold.subscriptions.values(), asked_in=asked_in):
            origin.wants(self._hub.marks.epoch)
            hold.retry(now)
            return True
        if self._was_hinted(hold, asked_in):
            hold.retry(now)
            return True
        self._hub.keep(hold, now=now)
        hold.hold(asked.timeout, now=now)
        self._access.held(origin, hold.subscriptions)
        return True

    def _was_hinted(self, hold: ResponseHold, asked_in: int | None) -> bool:
        """Tell whether a hint came while the origin was being asked again, so once more is due.

        A hold that asks is not subscribed. What it is told then may be older than the hint.
        """
        if asked_in is None:
            return False
        channels = map(self._hub.channels.find, hold.subscriptions)
        hinted = max((channel.hinted for channel in channels if channel), default=0)
        if hinted <= asked_in:
            return False
        hold.origin.wants(hinted)
        return True

    async def _retry(self, exchange: Exchange, origin: Origin) -> bool:
        """Send the client's request again, as if it had just come (6.4)."""
        await self._pace(origin)
        route = self._linker.again(origin.route, origin.request.path)
        if route is None:
            await self._refuse(exchange, origin, answers.no_route())
            return False
        origin.route = route
        if self.watch is not None:
            self.watch.retried(route)
        try:
            request = self._forwarder.to_origin(
                origin.request, route, wall=self._clock.wall(), trusted=origin.trusted
            )
            headers = request.headers.plus(*positions.fields(origin.last))
            request = forwarding.with_changes(request, headers=headers)
            client = origin.request if route.cache else None
            origin.asked_in = self._hub.marks.epoch
            response, target = await self._fetcher.fetch(
                request, route, client=client, floor=origin.floor
            )
        except OriginError as error:
            failed = answers.of_origin_error(error, debug=origin.debug)
            await self._refuse(exchange, origin, failed)
            return False
        if instruct.is_instruct(response.headers):
            return await self._obey(exchange, origin, response, target)
        origin.target = target
        trailers = forwarding.takes_trailers(origin.request)
        try:
            relayed = forwarding.to_client(response, trailers=trailers)
            await self._refuse(exchange, origin, relayed)
        finally:
            abandon(response.body)
        return False

    async def _pace(self, origin: Origin) -> None:
        times = origin.retries
        if len(times) == RETRIES_MAX:
            early = times[0] + RETRIES_SECONDS - self._clock.now()
            if early > 0:
                await asyncio.sleep(early)
        origin.retries = (*times[1 - RETRIES_MAX :], self._clock.now())

    # Stream holds

    async def _hold_stream(self, exchange: Exchange, origin: Origin, asked: Instruct) -> bool:
        found = subscriptions(asked, origin, self._subscription_max)
        stages = self._pager.filters(asked, origin, found)
        response = asked.response
        body = response.body
        if isinstance(body, bytes):
            response.body = stages.apply(body, last=True)
        else:
            response.body = b""
        if origin.dress is not None:
            response = origin.dress.head(response)
        if not exchange.begin(response):
            self._access.answered(
                exchange, origin.request, origin.route, origin.target, response.status
            )
            return False
        hold = StreamHold(self._hub, exchange, origin)
        link = next_link(asked, origin.request.uri)
        hold.instruct(asked.keep_alive, dict(asked.meta), link)
        wrong = unlinked(found.values(), link)
        if asked.mode is HoldMode.STREAM and not wrong:
            hold.subscriptions = found
        exchange.park(hold, self.resume)
        if hold.state is State.OVER:
            return True  # its client had left before it began
        # A snapshot of a while ago goes on with what was released since.
        keep = self._hub.keep_and_replay if origin.route.cache else self._hub.keep
        missed = keep(hold, now=self._clock.now())
        whole = isinstance(body, bytes) or await self._relay_opening(
            exchange, hold, FilteredBody(body, stages)
        )
        if whole:
            self._access.held(origin, hold.subscriptions)
            self._carry_on(hold, asked, wrong=wrong, missed=missed)
        return True

    async def _relay_opening(
        self, exchange: Exchange, hold: StreamHold, body: FilteredBody
    ) -> bool:
        """Relay the first body; return whether the stream goes on.

        A body that breaks off must not look whole (5.3).
        """
        hold.body_begins()
        whole = False
        try:
            whole = await exchange.relay(body)
        finally:
            now = self._clock.now()
            if body.failure is not None:
                hold.fail(body.failure.text, now)
            elif not whole:
                hold.gone(now)
                exchange.cut()
                origin = hold.origin
                self._access.broke_off(origin.request, origin.route, origin.target)
        return hold.body_ended(now)

    def _carry_on(self, hold: StreamHold, asked: Instruct, *, wrong: str, missed: bool) -> None:
        """Hold, or fetch the next page, or end, as the instruct says (8.1)."""
        now = self._clock.now()
        if asked.mode is not HoldMode.STREAM:
            if hold.next_uri is not None:
                hold.ask_now()
            else:
                hold.end(now)  # the link leads nowhere
        elif wrong:
            hold.fail(wrong, now)
        else:
            hold.hold(now=now)
            if missed:
                hold.update(now)

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
        status: int | None = None
        try:
            response, _ = await self._fetcher.fetch(request, route)
        except GripProxyError:
            pass  # only a hint to the origin; never repeated
        else:
            status = response.status
            abandon(response.body)
        self._access.made(b"POST", uri, origin.route, status, 0)


def _variant(request: Headers, response: Headers) -> Variant | None:
    """Return the variant of a cache's answer, None if it is for nobody else."""
    names = variants.names(response) if report.is_shared(response) else None
    return None if names is None else variants.of(names, request)

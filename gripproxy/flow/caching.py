"""A request to a route with `cache`: what is stored, and flights for what is not.

Design: cache-and-purge.md, *The algorithm*, whose steps have their numbers here. The story:

1. Is this process level with all purges? If not, or if the request has no use for a cache, it
   goes to the origin as it is (3a).
2. The variants that may be believed are looked up; HTTP says what to do with the right one (3b-e).
3. What has to be asked is asked once: whoever asks for the same joins the newest *flight* that
   began late enough (4). A flight belongs to no client.
4. When its tags are known, each who waited gets it if he may; else he looks up again (5).
5. At its end it is stored, if nothing that happened since it began tells against it (6).
6. An error is answered with something stale, if that is allowed (7).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from gripproxy.engine.flights import FlightBody
from gripproxy.engine.store import Entry, Flight, HeldOn, HoldFacts, Key, Store
from gripproxy.errors import ConnectError, GripProxyError, InstructError
from gripproxy.flow import resuming
from gripproxy.flow.bodies import KEPT_MAX, TooLargeError, collect
from gripproxy.flow.ports import Clock, Interim, Tasks
from gripproxy.protocol import answers, forwarding, instruct
from gripproxy.protocol.caching import (
    demands,
    directives,
    keys,
    report,
    reuse,
    serving,
    storing,
    tags,
    validation,
    variants,
)
from gripproxy.protocol.caching.demands import Cookies, Demand, Forward
from gripproxy.protocol.caching.reuse import Verdict
from gripproxy.protocol.caching.storing import Facts, Refusal
from gripproxy.protocol.headers import Field, Headers
from gripproxy.protocol.messages import Body, Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.terms import HoldMode

_ONLY_STORED = "Only a stored response was asked for, and there is none."
# Flights of one key at once; one more waits for the answer to one of them (4).
FLIGHTS_MAX = 8

Send = Callable[[Request, Route, Interim | None], Awaitable[tuple[Response, Target]]]


@dataclass(slots=True, eq=False, kw_only=True)
class Ask:
    """One request to the cache.

    `client` is as the client sent it, `request` as the origin gets it.
    `floor` is the epoch of the event that caused it, 0 if none did. `at` is the epoch in which it
    joined its present flight.
    """

    client: Request
    request: Request
    route: Route
    demand: Demand
    key: Key
    floor: int = 0
    at: int = 0
    interim: Interim | None = None

    @property
    def alone_key(self) -> Key:
        """What is remembered if the response is not shareable.

        Of one who has a cookie or credentials that says nothing of those who have none.
        """
        return (self.key, self.demand.cookie, self.demand.authorization)


@dataclass(slots=True, eq=False)
class _Flight:
    """A request that is with the origin, and what has come of it."""

    mark: Flight[Facts]
    known: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    error: GripProxyError | None = None
    response: Response | None = None
    facts: Facts | None = None
    refusal: Refusal | None = None
    body: "bytes | FlightBody" = b""
    target: Target | None = None
    status: int | None = None  # of a 304 to our own question
    freshens: Entry[Facts] | None = None  # what that 304 was about
    waiting: int = 0  # clients that have not taken anything from it yet

    @property
    def began(self) -> int:
        """The epoch in which its origin was asked."""
        return self.mark.began

    @property
    def joinable(self) -> bool:
        """Whether its beginning can still be had."""
        return not isinstance(self.body, FlightBody) or self.body.joinable


class Cache:
    """Answers requests to routes with `cache`."""

    def __init__(
        self,
        store: Store[Facts],
        send: Send,
        *,
        clock: Clock,
        tasks: Tasks,
        level: Callable[[], bool],
        invalidate: Callable[[frozenset[tags.Tag]], Awaitable[None]],
        cookies: Cookies = Cookies.SAFE,
        max_object_size: int = 8_388_608,
    ) -> None:
        self._store = store
        self._origin = send
        self._clock = clock
        self._tasks = tasks
        self._level = level
        self._invalidate = invalidate
        self._cookies = cookies
        self._limit = max_object_size
        self._flights: dict[Key, list[_Flight]] = {}
        self._lines: dict[Route, bytes] = {}
        self.latest: Ask | None = None  # the last that was answered with what is fresh
        # How requests were answered, for metrics; each is one of these (`results`).
        self.hits = self.stale = self.revalidated = self.collapsed = 0
        self.misses = self.passed = self.refused = 0

    def results(self) -> dict[str, int]:
        """Return how many requests were answered in which way."""
        return {
            "hit": self.hits,  # from memory
            "stale": self.stale,  # from memory, though no longer fresh
            "revalidated": self.revalidated,  # from memory, since the origin confirmed it
            "collapsed": self.collapsed,  # by what was being asked for somebody else
            "miss": self.misses,  # by the origin
            "pass": self.passed,  # by the origin, since the cache has no part in it
            "refused": self.refused,  # not at all: only something stored was wanted
        }

    def forget_routes(self) -> None:
        """Drop what is kept by route, after a reload."""
        self._lines.clear()
        self.latest = None

    async def fetch(
        self,
        client: Request,
        request: Request,
        route: Route,
        *,
        interim: Interim | None,
        floor: int = 0,
    ) -> tuple[Response, Target]:
        """Return the response to a request, and who gave it, now or when it was stored.

        `floor` is the epoch of the event that caused it, 0 if a client did.

        Raises:
            OriginError: as `Fetcher.fetch`.
        """
        demand = demands.read(request, cookies=self._cookies)
        if demand.forward is not None:
            return await self._pass(client, request, route, demand, interim)
        line = self._line_of(route)
        ask = Ask(
            client=client,
            request=request,
            route=route,
            demand=demand,
            key=keys.of(line, client, request.headers),
            floor=floor,
            interim=interim,
        )
        if not self._level():
            return await self._alone(ask, Forward.BYPASS)
        return self._resumed(ask) or await self._look_up(ask)

    async def _send(
        self, request: Request, route: Route, interim: Interim | None
    ) -> tuple[Response, Target]:
        """Ask the origin, and let it know that there is a cache which it may address."""
        headers = request.headers.plus(directives.CAPABILITY)
        asked = forwarding.with_changes(request, headers=headers)
        response, target = await self._origin(asked, route, interim)
        return forwarding.to_client(response), target

    # What the cache has no part in

    async def _pass(
        self,
        client: Request,
        request: Request,
        route: Route,
        demand: Demand,
        interim: Interim | None,
    ) -> tuple[Response, Target]:
        """Send a request as it is; a change at the origin takes back what is stored (4.4)."""
        self.passed += 1
        response, target = await self._send(request, route, interim)
        if demand.forward is Forward.METHOD:
            names = tags.invalidated(client, request, response)
            if names:
                await self._invalidate(names)
        assert demand.forward is not None
        return _told(response, report.forwarded(demand.forward)), target

    async def _alone(self, ask: Ask, why: Forward) -> tuple[Response, Target]:
        """Ask the origin for one client only: nobody joins, but it may be stored.

        So the part that a client asked for is there for the next one who wants it.
        """
        if why is Forward.BYPASS:
            self.passed += 1
            response, target = await self._send(ask.request, ask.route, ask.interim)
            return _told(response, report.forwarded(why)), target
        self.misses += 1
        flight = _Flight(Flight(ask.key))
        self._store.begin(flight.mark, now=self._clock.now())
        asked_at = self._clock.wall()
        try:
            response, target = await self._send(ask.request, ask.route, ask.interim)
        except BaseException:
            self._end(flight)
            raise
        holds = not ask.route.no_grip and instruct.is_instruct(response.headers)
        names = self._look_at(flight, ask, ask.request, response, asked_at=asked_at, holds=holds)
        if holds:  # an instruct for this client, whose channels are not known here
            flight.refusal = Refusal.HOLD
        if flight.refusal is not None:
            self._end(flight)
            return _told(response, report.forwarded(why)), target
        flight.response = replace(response)
        flight.target = target
        self._store.known(flight.mark, names, None)
        landing = _Landing(self, flight, names, None)
        stored = self._store.may_put(flight.mark)
        if isinstance(response.body, bytes):
            landing.body_whole(response.body)
        else:
            flight.body = FlightBody(response.body, self._limit, landing)
            response.body = flight.body.reader()
            flight.body.begin()
        return _told(response, report.forwarded(why, stored=stored)), target

    # Looking up

    async def _look_up(self, ask: Ask, *, again: bool = False) -> tuple[Response, Target]:
        """Answer from memory or by a flight (3). `again`: only by a flight that begins now."""
        now = self._clock.wall()
        entry, verdict = self._found(ask, now)
        facts = entry.facts if entry is not None else None
        if entry is not None and verdict is Verdict.USE:
            self.use(entry)
            self.latest = ask
            return self._from_memory(ask, entry, now), entry.target
        if entry is not None and verdict is Verdict.USE_STALE:
            self._store.used(entry)
            self.stale += 1
            if not self._flights.get(ask.key):
                self._start(ask, entry)
            return self._from_memory(ask, entry, now), entry.target
        if verdict is Verdict.REFUSE:
            self.refused += 1
            return answers.text(504, _ONLY_STORED), ask.route.targets[0]
        why = reuse.why(facts, ask.demand, others=self._store.has(ask.key))
        if ask.floor and why is Forward.VARY_MISS:
            why = Forward.STALE  # what is stored is older than the event
        # A part that has not what is asked for is as good as nothing.
        missing = entry is None or entry.facts.part is not None
        if missing and self._is_for_one(ask, now):
            return await self._alone(ask, why)
        asked_about = entry if verdict is Verdict.REVALIDATE else None
        return await self._by_flight(ask, asked_about, why, again=again)

    def _found(self, ask: Ask, now: float) -> tuple[Entry[Facts] | None, Verdict]:
        """Choose among what may be believed, and judge it: all checks of a look-up (3b)."""
        store = self._store
        candidates = store.find(ask.key, floor=ask.floor)
        entry = reuse.choose(candidates, ask.request.headers) if candidates else None
        if entry is None:
            return None, reuse.judge(None, ask.demand, now=now)
        purged_at = store.softly_purged_at(entry.began, entry.tags)
        floor = ask.floor > 0
        return entry, reuse.judge(
            entry.facts, ask.demand, now=now, purged_at=purged_at, floor=floor
        )

    def glance(self, ask: Ask, now: float) -> Entry[Facts] | None:
        """Return what answers a request at once, None if there is more to do than to send it.

        For one that is asked again (`flow.hits`). Whoever sends it tells by `use`.
        """
        if not self._level():
            return None
        entry, verdict = self._found(ask, now)
        return entry if verdict is Verdict.USE else None

    def use(self, entry: Entry[Facts]) -> None:
        """Take note that a request is answered with an entry, which is fresh."""
        self._store.used(entry)
        self.hits += 1

    def _is_for_one(self, ask: Ask, now: float) -> bool:
        """Tell whether what the origin will say is of no use to others, or not all of it."""
        if ask.demand.own or self._store.alone(ask.alone_key, now=now):
            return True
        return ask.demand.head and not self._flights.get(ask.key)

    def _resumed(self, ask: Ask) -> tuple[Response, Target] | None:
        """Return a stored stream hold for a client that goes on with it where it left off."""
        demand = ask.demand
        left_off = resuming.position(ask.client, demand)
        if left_off is None or ask.floor or demand.head or demand.own:
            return None
        position, target = left_off
        key = ask.key
        if target != ask.client.target:
            client = replace(ask.client, target=target)
            key = keys.of(self._line_of(ask.route), client, ask.request.headers)
        found = [e for e in self._store.variants(key) if self._store.resumable(e, position)]
        entry = reuse.choose(found, ask.request.headers, disregarded=(resuming.FIELD,))
        if entry is None:
            return None
        self.use(entry)
        hit = self._from_memory(ask, entry, self._clock.wall())
        return resuming.of(hit, position), entry.target

    def _line_of(self, route: Route) -> bytes:
        line = self._lines.get(route)
        if line is None:
            line = self._lines[route] = keys.line_of(route)
        return line

    def _from_memory(self, ask: Ask, entry: Entry[Facts], now: float) -> Response:
        return serving.hit(entry.facts, entry.response, entry.body, ask.demand, now=now)

    # Flights

    async def _by_flight(
        self, ask: Ask, entry: Entry[Facts] | None, why: Forward, *, again: bool
    ) -> tuple[Response, Target]:
        """Join a flight or start one, and take from it what this client may have (4, 5)."""
        flight = self._newest(ask, again=again)
        leads = flight is None
        if flight is None:
            running = [one for one in self._flights.get(ask.key, ()) if one.joinable]
            if len(running) >= FLIGHTS_MAX:
                asked = next((one for one in running if not one.known.is_set()), None)
                if asked is None:  # bodies may last for ever
                    return await self._alone(ask, why)
                await asked.known.wait()
                return await self._look_up(ask)
            flight = self._start(ask, entry)
        ask.at = self._store.marks.epoch
        flight.waiting += 1
        try:
            await flight.known.wait()
            found = await self._delivered(ask, flight, why, leads=leads)
        except TooLargeError:  # to be cut to what this client wants
            leads, found = True, None
        finally:
            flight.waiting -= 1
            if flight.over.is_set() and not flight.waiting:
                self._let_go(flight)
            if isinstance(flight.body, FlightBody):
                flight.body.look_for_readers()
        if found is not None:
            return found
        return await (self._alone(ask, why) if leads else self._look_up(ask, again=True))

    async def _delivered(
        self, ask: Ask, flight: _Flight, why: Forward, *, leads: bool
    ) -> tuple[Response, Target] | None:
        """Return what a flight whose tags are known has for one who waited for it (5, 7).

        None if it has nothing for him.

        Raises:
            OriginError: the flight's own.
            TooLargeError: he wants a part of what is too large to be kept.
        """
        if flight.error is not None or (flight.facts and flight.facts.status in reuse.FAILURES):
            rescued = self._rescued(ask)
            if rescued is not None:
                self.stale += 1
                return rescued
        if flight.error is not None:
            self._count(flight, leads=leads)
            raise flight.error
        if not (leads or self._may_have(ask, flight)):
            return None
        assert flight.target is not None
        taken = await self._taken(ask, flight, why, leads=leads)
        self._count(flight, leads=leads)
        return taken, flight.target

    def _count(self, flight: _Flight, *, leads: bool) -> None:
        if not leads:
            self.collapsed += 1
        elif flight.status is not None:
            self.revalidated += 1
        else:
            self.misses += 1

    def _newest(self, ask: Ask, *, again: bool) -> _Flight | None:
        """Return the key's newest flight if this client may join it (4)."""
        flights = self._flights.get(ask.key)
        if not flights:
            return None
        flight = flights[-1]
        earliest = max(ask.floor, self._store.marks.epoch if again else 0)
        if flight.error is not None or flight.began < earliest:
            return None
        if not self._store.flight_is_good(flight.mark):
            return None
        ask.at = self._store.marks.epoch
        if flight.known.is_set() and not self._may_have(ask, flight):
            return None
        return flight

    def _may_have(self, ask: Ask, flight: _Flight) -> bool:
        """Tell whether one who waited for another's response may have it (5)."""
        facts = flight.facts
        if facts is None or flight.began < ask.floor:
            return False
        if flight.refusal not in (None, Refusal.LIFETIME):
            return False  # it is its leader's own
        refusal = storing.refusal(facts, ask.demand, cookies=self._cookies, now=self._clock.wall())
        if refusal not in (None, Refusal.LIFETIME, Refusal.REQUEST):
            return False
        variant = facts.variant
        if variant is None or not variants.agrees(variant, ask.request.headers):
            return False
        if not flight.joinable:
            return False
        # No tick since it was asked: this client began before any purge of it.
        return ask.at == flight.began or self._store.flight_is_good(flight.mark, soft=True)

    async def _taken(self, ask: Ask, flight: _Flight, why: Forward, *, leads: bool) -> Response:
        """Return a flight's response for one client."""
        facts, response = flight.facts, flight.response
        assert facts is not None
        assert response is not None
        status = report.forwarded(
            why,
            status=flight.status,
            stored=flight.refusal is None and self._store.may_put(flight.mark),
            collapsed=None if leads else True,
            refusal=flight.refusal,
        )
        now = self._clock.wall()
        body: Body = b""
        if ask.demand.own or flight.status is not None or not ask.demand.head:
            body = flight.body.reader() if isinstance(flight.body, FlightBody) else flight.body
        if ask.demand.own or flight.status is not None:
            content = await collect(body, self._limit)
            return serving.answer(facts, response, content, ask.demand, now=now, status=status)
        added = [status]
        if response.headers.has(b"age") or facts.age(now) > 0:
            added.insert(0, report.age(facts.age(now)))
        # What others must not see of it is its leader's.
        shown = response.headers.without(*storing.INTERNAL, b"age") if leads else facts.shown
        return replace(
            response,
            headers=Headers.of(shown.fields + added, shown.marks),
            body=body,
        )

    def _rescued(self, ask: Ask) -> tuple[Response, Target] | None:
        """Return something stale instead of an error, where that is allowed (7)."""
        if ask.floor:
            return None
        store, now = self._store, self._clock.wall()
        entry = reuse.choose(store.find(ask.key), ask.request.headers)
        if entry is None:
            return None
        purged_at = store.softly_purged_at(entry.began, entry.tags)
        if not reuse.survives(entry.facts, ask.demand, now=now, purged_at=purged_at):
            return None
        return self._from_memory(ask, entry, now), entry.target

    def _start(self, ask: Ask, entry: Entry[Facts] | None) -> _Flight:
        """Begin a flight; its epoch is taken before the first byte goes out."""
        urls = tags.of_urls(ask.client, ask.request)
        flight = _Flight(Flight(ask.key, urls))
        self._store.begin(flight.mark, now=self._clock.now())
        self._flights.setdefault(ask.key, []).append(flight)
        self._tasks.start(self._fly(flight, ask, entry), name="flight")
        return flight

    async def _fly(self, flight: _Flight, ask: Ask, entry: Entry[Facts] | None) -> None:
        try:
            await self._land(flight, ask, entry)
        except GripProxyError as error:
            flight.error = error
            self._end(flight)
        except BaseException:
            flight.error = ConnectError("proxy_internal_error", "interrupted")
            self._end(flight)
            raise

    def _end(self, flight: _Flight) -> None:
        """Take a flight out: nobody joins it any more.

        Its tags are let go when nobody waits who has yet to find out whether he may have it.
        """
        if not flight.waiting:
            self._let_go(flight)
        flights = self._flights.get(flight.mark.key)
        if flights is not None and flight in flights:
            flights.remove(flight)
            if not flights:
                del self._flights[flight.mark.key]
        flight.known.set()
        flight.over.set()

    def _let_go(self, flight: _Flight) -> None:
        self._store.over(flight.mark, now=self._clock.now())

    async def _land(self, flight: _Flight, ask: Ask, entry: Entry[Facts] | None) -> None:
        """Ask the origin; make known what has come; store it at its end."""
        headers = validation.unconditional(ask.request.headers)
        if entry is not None:
            headers = validation.conditional(headers, entry.facts.headers)
        request = forwarding.with_changes(ask.request, headers=headers)
        if request.method == b"HEAD":
            request.method = b"GET"
        asked_at = self._clock.wall()
        response, flight.target = await self._send(request, ask.route, None)
        if entry is not None and response.status == 304:
            if validation.confirms(entry.facts.headers, response.headers):
                response = self._freshened(flight, entry, response)
            else:  # about something else than what is stored
                headers = validation.unconditional(ask.request.headers)
                request = forwarding.with_changes(request, headers=headers)
                asked_at = self._clock.wall()
                response, flight.target = await self._send(request, ask.route, None)
        try:
            hold, body = await self._hold_of(ask, response, response.body)
        except (InstructError, TooLargeError):  # it cannot be obeyed: its leader is told why
            hold, body = HoldFacts(streams=False, channels=()), response.body
            broken = True
        else:
            broken = False
        channels = [held.channel for held in hold.channels] if hold is not None else []
        holds = hold is not None
        names = self._look_at(
            flight, ask, request, response, asked_at=asked_at, holds=holds, channels=channels
        )
        if broken:
            flight.refusal = Refusal.HOLD
        if flight.freshens is not None:
            names |= {tag.name for tag in flight.freshens.tags}
        flight.response = response
        if flight.refusal not in (None, Refusal.LIFETIME):
            self._store.remember_alone(ask.alone_key, now=self._clock.wall())
        await self._flow(flight, body, names, hold)

    def _look_at(
        self,
        flight: _Flight,
        ask: Ask,
        request: Request,
        response: Response,
        *,
        asked_at: float,
        holds: bool,
        channels: Sequence[str] = (),
    ) -> frozenset[tags.Tag]:
        """Find out what is to be known of a response, and return its tags."""
        now = self._clock.wall()
        flight.facts = facts = storing.facts(
            request, response, asked_at=asked_at, received_at=now, hold=holds
        )
        demand = demands.read(request, cookies=self._cookies)
        flight.refusal = storing.refusal(facts, demand, cookies=self._cookies, now=now)
        names = tags.of(ask.client, request, ask.route, response.headers, channels)
        if names is None:
            flight.refusal = Refusal.TAGS
            return frozenset()
        return names

    async def _flow(
        self, flight: _Flight, body: Body, names: frozenset[tags.Tag], hold: HoldFacts | None
    ) -> None:
        """Make known what has come, and let its body flow to all who wait."""
        self._store.known(flight.mark, names, hold)
        landing = _Landing(self, flight, names, hold)
        if isinstance(body, bytes):
            flight.body = body
            landing.body_whole(body)
            return
        storable = flight.refusal is None
        flight.body = FlightBody(body, self._limit if storable else -1, landing)
        if storable:
            flight.known.set()
        else:  # it may last for ever, and nobody who comes now can have it
            self._end(flight)
        flight.body.begin()
        flight.body.look_for_readers()
        await flight.over.wait()

    def _freshened(self, flight: _Flight, entry: Entry[Facts], told: Response) -> Response:
        """Return the stored response as a 304 updates it: it is put anew (6)."""
        flight.status = 304
        flight.freshens = entry
        stored = entry.facts
        return Response(
            status=stored.status,
            reason=entry.response.reason,
            headers=validation.freshened(stored.headers, told.headers, self._clock.wall()),
            body=entry.body,
            length=len(entry.body),
        )

    async def _hold_of(
        self, ask: Ask, response: Response, body: Body
    ) -> tuple[HoldFacts | None, Body]:
        """Return the channels of a response that is a hold, and its body (read, if need be).

        Raises:
            InstructError: what it says cannot be done.
            TooLargeError: it is too large to be read.
        """
        if ask.route.no_grip or not instruct.is_instruct(response.headers):
            return None, body
        if instruct.is_json(response.headers):
            body = response.body = await collect(body, KEPT_MAX)
            asked = instruct.read(replace(response), body)
        else:
            asked = instruct.read_head(replace(response, body=b""))
        prefix = ask.route.prefix
        held = [HeldOn(prefix + channel.name, channel.prev_id) for channel in asked.channels]
        subs = {sub for target in ask.route.targets for sub in target.subs}
        held += [HeldOn(sub, None) for sub in sorted(subs)]
        hold = HoldFacts(asked.mode is HoldMode.STREAM, tuple(held))
        return replace(hold, resumes=resuming.can_resume(asked, hold)), body

    def may_store(self, flight: _Flight) -> bool:
        """Tell whether what a flight brings would be stored if it were whole now."""
        return self._store.may_put(flight.mark)

    def buffered(self, more: int) -> None:
        """Count what flights keep: stored responses make room for it."""
        self._store.buffer(more, now=self._clock.now())

    def landed(self, flight: _Flight, landing: "_Landing", body: bytes | None) -> None:
        """Store what has come, if it may be, and end the flight (6)."""
        if flight.over.is_set():  # what tells against it may be forgotten by now
            return
        facts, response = flight.facts, flight.response
        assert facts is not None
        assert response is not None
        assert flight.target is not None
        asked_about = flight.freshens
        lasts = asked_about is None or self._store.is_stored(asked_about)
        if flight.refusal is None and body is not None and lasts:
            entry = Entry(
                flight.mark.key,
                replace(response, body=b""),
                body,
                facts,
                flight.target,
                began=flight.began,
                hold=landing.hold,
            )
            replaced = reuse.replaced(self._store.variants(flight.mark.key), facts)
            if facts.status not in reuse.FAILURES or not any(map(self._helps_out, replaced)):
                self._store.put(
                    entry,
                    landing.names,
                    replaced,
                    now=self._clock.now(),
                    asked_at=flight.mark.asked_at,
                )
        self._end(flight)

    def _helps_out(self, entry: Entry[Facts]) -> bool:
        """Tell whether a stored response is used while the origin fails, and so stays."""
        purged_at = self._store.softly_purged_at(entry.began, entry.tags)
        until = entry.facts.fresh_until
        end = until if purged_at is None else min(until, purged_at)
        lasts = self._clock.wall() < end + entry.facts.stale_if_error
        return lasts and self._store.is_stored(entry)


@dataclass(slots=True, eq=False)
class _Landing:
    """The end of a flight's body: satisfies `engine.flights.Whole`."""

    cache: Cache
    flight: _Flight
    names: frozenset[tags.Tag]
    hold: HoldFacts | None

    def wanted(self) -> bool:
        """Tell whether clients still wait who have not begun to read."""
        return self.flight.waiting > 0

    def storable(self) -> bool:
        """Tell whether it would be stored if it were whole now."""
        return self.flight.refusal is None and self.cache.may_store(self.flight)

    def buffered(self, more: int) -> None:
        """Count what is kept of a body that is under way."""
        self.cache.buffered(more)

    def body_whole(self, body: bytes | None) -> None:
        """Store a whole body."""
        self.cache.landed(self.flight, self, body)

    def body_broken(self, error: GripProxyError) -> None:
        """Never store half a body."""
        self.cache.landed(self.flight, self, None)


def _told(response: Response, status: Field) -> Response:
    """Return a response that only passes, with what the cache says of it."""
    shown = response.headers.without(*storing.INTERNAL)
    return replace(response, headers=Headers.of([*shown.fields, status], shown.marks))

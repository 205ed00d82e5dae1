"""Caches that are wrong, each in one way that looks reasonable.

The rules that cache-and-purge.md gives are only worth their cost if to break one is seen. Each of
these changes one of them with a monkeypatch; `tests/flow/test_guarantees.py` wants each found.
"""

from gripproxy.engine.marks import Marks
from gripproxy.engine.store import Store
from gripproxy.flow.caching import Cache
from gripproxy.protocol.caching import reuse
from tests.flow.purgemodel import Worker


def arrival_time_as_began(patch):
    """What is stored is as young as its arrival, not as the question."""
    put = Store.put

    def late(self, entry, names, replaced, **how):
        entry.began = self.marks.epoch
        return put(self, entry, names, replaced, **how)

    patch.setattr(Store, "put", late)


def deliver_unchecked(patch):
    """Whoever waits for a flight gets what it brings."""
    patch.setattr(Cache, "_may_have", lambda self, ask, flight: flight.facts is not None)


def last_mark_only(patch):
    """Who came after the last mark may have it: an earlier one is overlooked."""
    may_have = Cache._may_have

    def lenient(self, ask, flight):
        last = max((tag.last for tag in flight.mark.tags or ()), default=0)
        at, ask.at = ask.at, flight.began if ask.at < last else ask.at
        try:
            return may_have(self, ask, flight)
        finally:
            ask.at = at

    patch.setattr(Cache, "_may_have", lenient)


def a_304_that_revives(patch):
    """A 304 makes stored and young again what it was asked about, whatever happened meanwhile."""
    landed = Cache.landed

    def revive(self, flight, landing, body):
        if flight.freshens is not None:
            flight.mark.began = self._store.marks.epoch
        landed(self, flight, landing, body)

    patch.setattr(Cache, "landed", revive)
    patch.setattr(Store, "is_stored", lambda self, entry: True)


def stale_if_error_from_the_flight(patch):
    """An error is answered with what the flight was asked about."""
    land = Cache._land
    about = {}

    async def remember(self, flight, ask, entry):
        about[flight] = entry
        await land(self, flight, ask, entry)

    delivered = Cache._delivered

    async def rescue(self, ask, flight, why, *, leads):
        entry = about.get(flight)
        failed = flight.error is not None or (
            flight.facts and flight.facts.status in reuse.FAILURES
        )
        if failed and entry is not None:
            now = self._clock.wall()
            if reuse.survives(entry.facts, ask.demand, now=now):
                return self._from_memory(ask, entry, now), entry.target
        return await delivered(self, ask, flight, why, leads=leads)

    patch.setattr(Cache, "_land", remember)
    patch.setattr(Cache, "_delivered", rescue)


def no_level(patch):
    """A worker serves without looking whether a purge is on its way."""
    patch.setattr(Worker, "is_level", lambda self: True)


def no_floor(patch):
    """What an event caused may be answered with what was asked for before it."""
    fetch = Cache.fetch

    def forget(self, client, request, route, *, interim, floor=0):
        return fetch(self, client, request, route, interim=interim)

    patch.setattr(Cache, "fetch", forget)


def marks_dropped_without_forgotten(patch):
    """Marks that are too many go, and nobody takes note."""
    orphan = Marks._orphan

    def forgetful(self, tag):
        before = self.forgotten, self.unsettled_until
        orphan(self, tag)
        self.forgotten, self.unsettled_until = before

    patch.setattr(Marks, "_orphan", forgetful)


def no_hold_check(patch):
    """A stored snapshot of a channel is used though items followed."""
    patch.setattr(Store, "holds_good", lambda self, began, hold, tags=None: True)


def settling_from_arrival(patch):
    """What was asked for while a purge settles is stored, if it comes after that."""
    put = Store.put

    def late(self, entry, names, replaced, *, now, asked_at=None):
        return put(self, entry, names, replaced, now=now)

    patch.setattr(Store, "put", late)


BROKEN = {
    broken.__name__: broken
    for broken in (
        arrival_time_as_began,
        deliver_unchecked,
        last_mark_only,
        a_304_that_revives,
        stale_if_error_from_the_flight,
        no_level,
        no_floor,
        marks_dropped_without_forgotten,
        no_hold_check,
        settling_from_arrival,
    )
}

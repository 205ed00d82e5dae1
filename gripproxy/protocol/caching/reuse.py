"""May what is stored answer this request (RFC 9111 4; RFC 5861).

`choose` finds the variant, `judge` says what to do with it, `survives` whether an error may be
answered with it. What a purge has taken back is not known here: the store does not offer it.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, Protocol, TypeVar

from gripproxy.protocol.caching import ranges, validation, variants
from gripproxy.protocol.caching.demands import Demand, Forward
from gripproxy.protocol.caching.storing import Facts
from gripproxy.protocol.headers import Headers

# An origin that answers with one of these has failed (RFC 5861 4).
FAILURES: Final = frozenset((500, 502, 503, 504))


class Verdict(Enum):
    """What becomes of a request."""

    USE = "answer with what is stored"
    USE_STALE = "answer with what is stored, and ask the origin whether it is still good"
    REVALIDATE = "ask the origin whether what is stored is still good"
    FETCH = "ask the origin"
    REFUSE = "answer 504: the client wants nothing but what is stored"
    BYPASS = "ask the origin as if there were no cache"


class Stored(Protocol):
    """Whatever the facts of a response are kept in."""

    @property
    def facts(self) -> Facts:
        """What is known of the response."""


S = TypeVar("S", bound=Stored)


def choose(
    candidates: Sequence[S], headers: Headers, *, disregarded: Sequence[bytes] = ()
) -> S | None:
    """Return the stored response that a request with these fields may have (RFC 9111 4.1).

    `headers` is what the origin would be sent. Of several the most recent counts, but one with
    `Vary` before one without, and the whole before a part. Fields that are disregarded agree
    always, whatever `Vary` says.
    """
    found = [entry for entry in candidates if _agrees(entry.facts, headers, disregarded)]
    if len(found) < 2:
        return found[0] if found else None
    return max(found, key=lambda entry: _rank(entry.facts))


def replaced(candidates: Iterable[S], facts: Facts) -> list[S]:
    """Return the stored responses of the same variant, whose place a new one takes.

    A part never takes the place of the whole.
    """
    return [
        entry
        for entry in candidates
        if entry.facts.variant == facts.variant
        and (facts.part is None or entry.facts.part is not None)
    ]


def _agrees(facts: Facts, headers: Headers, disregarded: Sequence[bytes]) -> bool:
    variant = facts.variant
    return variant is not None and variants.agrees(variant, headers, disregarded)


def _rank(facts: Facts) -> tuple[bool, bool, float]:
    return facts.part is None, facts.variant != variants.ONLY, facts.date


# The verdict


def judge(
    facts: Facts | None,
    demand: Demand,
    *,
    now: float,
    purged_at: float | None = None,
    floor: bool = False,
) -> Verdict:
    """Return what becomes of a request for which `choose` has found this, or nothing.

    `purged_at` is the moment of a soft purge: it is stale since then. With a `floor` (an event
    caused the look-up) nothing stale is used.
    """
    if demand.forward is not None:
        return Verdict.BYPASS
    if facts is None or (facts.part is not None and not _has_it(facts, demand)):
        return Verdict.REFUSE if demand.only_if_cached else Verdict.FETCH
    if purged_at is None and now < facts.fresh_until and (facts.explicit or not demand.cookie):
        return Verdict.USE
    if not floor and _within(facts, demand, facts.stale_while_revalidate, now, purged_at):
        return Verdict.USE_STALE
    if demand.only_if_cached:
        return Verdict.REFUSE
    # A part is not worth asking about: the answer might be the whole (RFC 9111 4.3.2).
    return Verdict.REVALIDATE if facts.validated and facts.part is None else Verdict.FETCH


def survives(facts: Facts, demand: Demand, *, now: float, purged_at: float | None = None) -> bool:
    """Tell whether a stale response may be used since the origin fails (RFC 5861 4)."""
    if demand.forward is not None or (facts.part is not None and not _has_it(facts, demand)):
        return False
    return _within(facts, demand, facts.stale_if_error, now, purged_at)


def why(facts: Facts | None, demand: Demand, *, others: bool) -> Forward:
    """Return why a request goes to the origin that is not answered with what is stored.

    `others`: there are stored responses of this URL, if only for other requests.
    """
    if demand.forward is not None:
        return demand.forward
    if facts is None:
        return Forward.VARY_MISS if others else Forward.URI_MISS
    if facts.part is not None and not _has_it(facts, demand):
        return Forward.PARTIAL
    return Forward.STALE


def _has_it(facts: Facts, demand: Demand) -> bool:
    """Tell whether a stored part has all that is asked for."""
    if facts.part is None or demand.range is None:
        return False
    if demand.if_range is not None and not validation.is_same(demand.if_range, facts.headers):
        return False
    return ranges.within(demand.range, facts.part)


def _within(
    facts: Facts, demand: Demand, allowance: float, now: float, purged_at: float | None
) -> bool:
    """Tell whether a stale response may be used for so many seconds."""
    if demand.cookie and not facts.explicit:
        return False
    end = facts.fresh_until if purged_at is None else min(facts.fresh_until, purged_at)
    return now < end + allowance

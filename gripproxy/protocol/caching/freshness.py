"""How old a response is, and how long it may be used (RFC 9111 4.2; RFC 5861).

All moments are wall time in seconds since 1970, and so is `now`. An age grows by itself; so what
is kept is the moment at which it was 0, and everything else is a comparison with the clock.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching.directives import SECONDS_MAX, Directives
from gripproxy.protocol.headers import Headers

# RFC 9110 15.1: these may be reused although nobody said for how long.
HEURISTIC_STATUSES: Final = frozenset((200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501))
# RFC 9111 4.2.2 suggests the fraction. What was not touched for ten years is not good for one.
HEURISTIC_FRACTION: Final = 0.1
HEURISTIC_MAX: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """When a response is fresh, and for how long it may be used when it is not.

    `born` is when its age was 0; `explicit` says whether the origin chose the lifetime. The two
    allowances are seconds after the end of the lifetime, 0 where a directive forbids them.
    """

    date: float
    born: float
    fresh_until: float
    explicit: bool
    stale_while_revalidate: float
    stale_if_error: float


def of(
    status: int, headers: Headers, directives: Directives, *, asked_at: float, received_at: float
) -> Freshness:
    """Return the freshness of a response that was asked for and received at these moments."""
    date = date_of(headers, received_at)
    initial = initial_age(headers, date, asked_at=asked_at, received_at=received_at)
    seconds = lifetime(status, headers, directives, date=date)
    explicit = is_explicit(headers, directives)
    if initial is None:
        # Nobody knows how old it is, so it cannot be fresh.
        initial, seconds = 0.0, 0.0
    born = received_at - initial
    strict = directives.must_revalidate or directives.proxy_revalidate or directives.no_cache
    return Freshness(
        date=date,
        born=born,
        fresh_until=born + (0.0 if directives.no_cache else seconds or 0.0),
        explicit=explicit,
        # `s-maxage` alone forbids stale use, too (RFC 9111 5.2.2.10); but who sends it together
        # with one of these means it, as RFC 9111 5.2.3 lets an extension do.
        stale_while_revalidate=0.0 if strict else float(directives.stale_while_revalidate),
        stale_if_error=0.0 if strict else float(directives.stale_if_error),
    )


# Lifetime (RFC 9111 4.2.1, 4.2.2)


def is_explicit(headers: Headers, directives: Directives) -> bool:
    """Tell whether the origin says for how long a response is fresh."""
    if directives.s_maxage is not None or directives.max_age is not None:
        return True
    return _expires_counts(directives) and headers.has(b"expires")


def lifetime(
    status: int, headers: Headers, directives: Directives, *, date: float
) -> float | None:
    """Return for how many seconds after `date` a response is fresh, None if nothing tells."""
    if directives.s_maxage is not None:
        return float(directives.s_maxage)
    if directives.max_age is not None:
        return float(directives.max_age)
    expires = headers.get(b"expires") if _expires_counts(directives) else None
    if expires is not None:
        end = fields.parse_date(expires)
        # What is no date, above all `0`, is past (RFC 9111 5.3).
        return 0.0 if end is None else max(0.0, end - date)
    return _heuristic(status, headers, directives, date)


def _expires_counts(directives: Directives) -> bool:
    return not directives.source.targeted


def _heuristic(status: int, headers: Headers, directives: Directives, date: float) -> float | None:
    if status not in HEURISTIC_STATUSES and not directives.public:
        return None
    modified = fields.parse_date(headers.get(b"last-modified") or b"")
    if modified is None or modified > date:
        return None
    return min((date - modified) * HEURISTIC_FRACTION, HEURISTIC_MAX)


# Age (RFC 9111 4.2.3)


def date_of(headers: Headers, received_at: float) -> float:
    """Return the moment of `Date`, or of reception if there is none (RFC 9110 6.6.1)."""
    date = fields.parse_date(headers.get(b"date") or b"")
    return float(int(received_at)) if date is None else date


def initial_age(
    headers: Headers, date: float, *, asked_at: float, received_at: float
) -> float | None:
    """Return a response's age on arrival, None if its `Age` cannot be read."""
    told = _age_value(headers.get_all(b"age"))
    if told is None:
        return None
    # `Date` is cut to whole seconds, so the moment it is compared with is, too: a response that
    # was made half a second ago is not one second old.
    apparent = max(0.0, int(received_at) - date)
    return max(apparent, told + max(0.0, received_at - asked_at))


# One age, or the first of a list (RFC 9111 5.1). A comma with a blank is what is left of two lines
# that somebody joined (RFC 9110 5.3). Like two lines it means that two caches disagree: neither is
# believed, and the response is stale, which is safe. The RFC would take the first, and would take
# what is no number for nothing at all, that is, for fresh.
_AGE: Final = re.compile(rb"([0-9]++)(?:,(?![ \t]).*)?", re.DOTALL)
_DIGITS_MAX: Final = 10


def _age_value(values: Sequence[bytes]) -> int | None:
    if not values:
        return 0
    found = _AGE.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    digits = found[1].lstrip(b"0") or b"0"
    return SECONDS_MAX if len(digits) > _DIGITS_MAX else min(int(digits), SECONDS_MAX)

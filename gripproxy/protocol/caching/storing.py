"""May this response be stored, and as what.

RFC 9111 3 and 3.5, and *Whose response may be shared* in cache-and-purge.md, which forbids more:
no session leaks by default. Everything that later look-ups need of a response is found out here,
once: its `Facts`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import directives, freshness, ranges, validation, variants
from gripproxy.protocol.caching.demands import Cookies, Demand
from gripproxy.protocol.caching.directives import Directives, Source
from gripproxy.protocol.caching.freshness import HEURISTIC_STATUSES, Freshness
from gripproxy.protocol.caching.ranges import Part
from gripproxy.protocol.caching.variants import Variant
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response

# For us, or for whoever purges us; clients do not see them.
INTERNAL: Final = (
    b"surrogate-key",
    b"cache-tag",
    Source.SURROGATE.value,
    Source.OWN.value,
)
_NOT_SHOWN: Final = frozenset((*INTERNAL, b"age"))
# RFC 9111 3.1: of the connection that a proxy has authenticated.
_OF_THE_PROXY: Final = frozenset(
    (b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization")
)


class Refusal(Enum):
    """Why a response is not stored; the values are told in `Cache-Status`."""

    REQUEST = b"request"  # its method, its body, `no-store`, conditions for the origin
    STATUS = b"status"  # of no use to anyone else, or not understood
    NO_STORE = b"no-store"
    PRIVATE = b"private"
    VARY = b"vary"  # `*`
    PART = b"part"  # of what, nobody can tell
    AUTHORIZATION = b"authorization"
    COOKIE = b"cookie"
    SET_COOKIE = b"set-cookie"
    HOLD = b"hold"  # whose freshness is not explicit, or that is for one user
    TAGS = b"tags"  # too many or too long; told by `tags.of`
    LIFETIME = b"lifetime"  # nothing says that it may be stored, or it could never be used


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a response, for as long as it is stored.

    `headers` is what a 304 updates, `shown` what is sent to whoever asks: without `Age` and what
    is not for clients. `born` is the moment at which its age was 0; `fresh_until` the end of its
    lifetime; the allowances are seconds after that. `variant` is None if no other request may
    have it, `part` None if it is whole. `hold` tells that clients are held by it.
    """

    status: int
    headers: Headers
    shown: Headers
    directives: Directives
    date: float
    born: float
    fresh_until: float
    explicit: bool
    stale_while_revalidate: float
    stale_if_error: float
    validated: bool
    variant: Variant | None
    part: Part | None
    hold: bool

    def age(self, now: float) -> int:
        """Return the value of `Age` (RFC 9111 4.2.3): whole seconds that have passed."""
        return max(0, int(now - self.born))

    def ttl(self, now: float) -> int:
        """Return for how many seconds it is fresh, less than 0 if it is stale."""
        return int((self.fresh_until - now) // 1)


def facts(
    request: Request,
    response: Response,
    *,
    asked_at: float,
    received_at: float,
    hold: bool = False,
) -> Facts:
    """Return what is known of a response to a request (as it went to the origin).

    The response is without hop-by-hop fields. `hold` says that it is a GRIP hold.
    """
    given = directives.read(response.headers)
    fresh: Freshness = freshness.of(
        response.status, response.headers, given, asked_at=asked_at, received_at=received_at
    )
    headers = _kept(response.headers, given, fresh.date)
    names = variants.names(headers)
    return Facts(
        status=response.status,
        headers=headers,
        shown=_without(headers, _NOT_SHOWN | given.hidden),
        directives=given,
        date=fresh.date,
        born=fresh.born,
        fresh_until=fresh.fresh_until,
        explicit=fresh.explicit,
        stale_while_revalidate=fresh.stale_while_revalidate,
        stale_if_error=fresh.stale_if_error,
        validated=validation.can_validate(headers),
        variant=None if names is None else variants.of(names, request.headers),
        part=_part(request, response),
        hold=hold,
    )


def _kept(headers: Headers, given: Directives, date: float) -> Headers:
    """Return what is stored (RFC 9111 3.1), with a `Date` that can be read (RFC 9110 6.6.1)."""
    kept = _without(headers, _OF_THE_PROXY | given.unstored)
    if fields.parse_date(kept.get(b"date") or b"") is None:
        kept = kept.replaced(b"Date", fields.format_date(date))
    return kept


def _without(headers: Headers, lowers: frozenset[bytes]) -> Headers:
    """Return the fields less those of these names; what stays is shared, to save memory."""
    kept = [field for field in headers.fields if field[0].lower not in lowers]
    if len(kept) == len(headers.fields):
        return headers
    marks = 0
    for field, _ in kept:
        marks |= field.mark
    return Headers.of(kept, marks)


def _part(request: Request, response: Response) -> Part | None:
    if response.status != 206:
        return None
    return ranges.part(request.headers.get(b"range"), response.headers, response.length)


# May it?

# Answers to a condition, a range, an expectation or a flood, which others did not send; and those
# that RFC 6585 forbids to store (428, 429, 431, 511).
_NEVER: Final = frozenset((304, 407, 412, 416, 417, 428, 429, 431, 511))

# The statuses whose rules are kept here, for `must-understand` (RFC 9111 5.2.2.3).
_UNDERSTOOD: Final = HEURISTIC_STATUSES | {
    201, 202, 302, 303, 307, 400, 401, 403, 406, 409, 413, 415, 421, 422, 451, 500, 502, 503, 504,
}  # fmt: skip


def refusal(facts: Facts, demand: Demand, *, cookies: Cookies, now: float) -> Refusal | None:
    """Return why a response to this demand must not be stored, None if it may be."""
    return (
        _unless_storable(facts, demand)
        or _unless_shared(facts, demand, cookies)
        or _unless_lasting(facts, now)
    )


def _unless_storable(facts: Facts, demand: Demand) -> Refusal | None:
    given = facts.directives
    if demand.forward is not None or demand.head:
        return Refusal.REQUEST
    if facts.status < 200 or facts.status in _NEVER:
        return Refusal.STATUS
    if given.must_understand and facts.status not in _UNDERSTOOD:
        return Refusal.STATUS
    # With `must-understand`, `no-store` is for those who do not (RFC 9111 5.2.2.3).
    if given.no_store and not given.must_understand:
        return Refusal.NO_STORE
    if given.private:
        return Refusal.PRIVATE
    if facts.variant is None:
        return Refusal.VARY
    return Refusal.PART if facts.status == 206 and facts.part is None else None


def _unless_shared(facts: Facts, demand: Demand, cookies: Cookies) -> Refusal | None:
    """Apply *Whose response may be shared*, which is stricter than RFC 9111."""
    given = facts.directives
    personal = demand.cookie or demand.authorization
    sets_cookie = facts.shown.has(b"set-cookie") or facts.shown.has(b"set-cookie2")
    strict = cookies is Cookies.STRICT or not facts.explicit
    safe = cookies is Cookies.SAFE and not given.shared
    if demand.authorization and not _is_for_the_authorized(given):
        return Refusal.AUTHORIZATION
    if facts.hold and (not facts.explicit or sets_cookie or (personal and not given.shared)):
        return Refusal.HOLD
    if demand.cookie and strict:
        return Refusal.COOKIE
    if sets_cookie and (strict or safe):
        return Refusal.SET_COOKIE
    return None


def _is_for_the_authorized(given: Directives) -> bool:
    """RFC 9111 3.5."""
    return given.public or given.must_revalidate or given.s_maxage is not None


def _unless_lasting(facts: Facts, now: float) -> Refusal | None:
    known = facts.explicit or facts.directives.public or facts.status in HEURISTIC_STATUSES
    allowance = max(facts.stale_while_revalidate, facts.stale_if_error)
    usable = facts.fresh_until + allowance > now or (facts.validated and facts.part is None)
    return None if known and usable else Refusal.LIFETIME

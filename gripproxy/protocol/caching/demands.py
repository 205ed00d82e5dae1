"""What a request demands of the cache.

RFC 9111 5.2.1 lets a cache ignore the directives of a request, and this one does: an EventSource
asks for `no-cache` every time. Two are obeyed: `no-store` and `only-if-cached`. Conditions and
ranges are RFC 9110 13 and 14.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.messages import Request


class Cookies(Enum):
    """`[cache] cookies`: whether what belongs to a cookie may be shared."""

    SAFE = "safe"
    RFC = "rfc"
    STRICT = "strict"


class Forward(Enum):
    """Why a request goes to the origin, in the words of RFC 9211 2.2."""

    BYPASS = b"bypass"
    METHOD = b"method"
    URI_MISS = b"uri-miss"
    VARY_MISS = b"vary-miss"
    REQUEST = b"request"
    STALE = b"stale"
    PARTIAL = b"partial"


# Not frozen, though nobody changes them: hot, one a request (bench/caching.py, cache-hit-1k); to
# freeze it costs 0.5 us.
@dataclass(slots=True, kw_only=True)
class Demand:
    """What a request demands of the cache.

    With `forward` it goes to the origin as it is, is joined by nobody and its response is not
    stored: the cache has no part in it. Conditions and ranges are kept as they came.
    """

    forward: Forward | None = None
    head: bool = False
    only_if_cached: bool = False
    cookie: bool = False
    authorization: bool = False
    range: bytes | None = None
    if_range: bytes | None = None
    if_none_match: bytes | None = None
    if_modified_since: bytes | None = None
    event_id: bytes | None = None  # `Last-Event-ID`: where an EventSource left off

    @property
    def own(self) -> bool:
        """Whether a response from the origin would be for this request alone.

        With a range or a condition of its own it may be only a part, or nothing.
        """
        return (
            self.range is not None
            or self.if_none_match is not None
            or self.if_modified_since is not None
        )


def read(request: Request, *, cookies: Cookies = Cookies.SAFE) -> Demand:
    """Return what a request demands; `request` is as it goes to the origin."""
    head = request.method == b"HEAD"
    # hot: one pass finds all of them (bench/caching.py, cache-hit-1k); to look for each by its
    # name takes 2.2 us instead of 0.4.
    found = [(f.lower, value) for f, value in request.headers.fields if f.lower in _READ]
    if request.length != 0 or not (head or request.method == b"GET"):
        return Demand(forward=Forward.METHOD)
    if not found:
        return _HEAD if head else _GET
    return _demand(found, head=head, strict=cookies is Cookies.STRICT)


_GET: Final = Demand()
_HEAD: Final = Demand(head=True)


def _demand(found: list[tuple[bytes, bytes]], *, head: bool, strict: bool) -> Demand:
    demand = Demand(head=head)
    for lower, value in found:
        if lower == b"cookie":
            demand.cookie = True
            if strict:
                demand.forward = Forward.BYPASS
        elif lower == b"authorization":
            demand.authorization = True
        elif lower == b"cache-control":
            _obey(demand, value)
        elif lower in _ORIGINS:
            demand.forward = Forward.REQUEST
        else:
            _keep(demand, lower, value)
    if head:
        demand.range = demand.if_range = None  # RFC 9110 14.2: of GET only
    return demand


def _obey(demand: Demand, value: bytes) -> None:
    directives = fields.tokens([value])
    if b"no-store" in directives:
        demand.forward = Forward.REQUEST
    if b"only-if-cached" in directives:
        demand.only_if_cached = True


def _keep(demand: Demand, lower: bytes, value: bytes) -> None:
    """Keep a condition or range; several of a kind make one that is void, but for entity tags."""
    attribute = _KEPT[lower]
    before: bytes | None = getattr(demand, attribute)
    setattr(demand, attribute, value if before is None else before + b"," + value)


# Conditions that only an origin may judge (RFC 9111 4.3.2): the cache must not say 412, and to
# ignore them would give somebody who resumes a download the end of another version.
_ORIGINS: Final = frozenset((b"if-match", b"if-unmodified-since"))
_KEPT: Final = {
    b"range": "range",
    b"if-range": "if_range",
    b"if-none-match": "if_none_match",
    b"if-modified-since": "if_modified_since",
    b"last-event-id": "event_id",
}
_READ: Final = _ORIGINS | _KEPT.keys() | {b"cookie", b"cache-control", b"authorization"}

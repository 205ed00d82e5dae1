"""What an origin says about storing and reusing its response, and which field says it.

RFC 9111 5.2.2 (`Cache-Control`), RFC 9213 (targeted fields, which are structured and silence
`Cache-Control` and `Expires`), RFC 5861 (`stale-…`), the Edge Architecture of 2001
(`Surrogate-Control`). Left out: `immutable` and `no-transform`, which ask nothing of a cache that
neither obeys a client's wish for freshness nor transforms. Of a *request's* directives only two
are obeyed, see `demands`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import structured
from gripproxy.protocol.headers import Headers

# What is sent to origins of `cache` routes, so that they can address `Surrogate-Control` to us.
DEVICE: Final = b"gripproxy"
CAPABILITY: Final = (b"Surrogate-Capability", DEVICE + b'="Surrogate/1.0"')

# The greatest lifetime (RFC 9111 1.2.2): 68 years.
SECONDS_MAX: Final = 1 << 31


class Source(Enum):
    """The field that speaks, from the one that is listened to first."""

    OWN = b"gripproxy-cache-control"
    CDN = b"cdn-cache-control"
    SURROGATE = b"surrogate-control"
    CACHE_CONTROL = b"cache-control"
    NONE = b""

    @property
    def targeted(self) -> bool:
        """Whether the field is addressed to caches like this one alone."""
        return self in _TARGETED


_TARGETED: Final = (Source.OWN, Source.CDN, Source.SURROGATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """The directives of a response. Seconds that cannot be read are 0: stale (RFC 9111 4.2.1).

    `hidden` are the fields, in lower case, that `no-cache="…"` keeps out of what is reused, and
    `unstored` those that `private="…"` keeps out of what is stored.
    """

    source: Source = Source.NONE
    public: bool = False
    private: bool = False
    no_store: bool = False
    no_cache: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int = 0
    stale_if_error: int = 0
    hidden: frozenset[bytes] = frozenset()
    unstored: frozenset[bytes] = frozenset()

    @property
    def shared(self) -> bool:
        """Whether a cache for many is meant in so many words: what may be stored by default."""
        return self.public or self.s_maxage is not None or self.source.targeted


def read(headers: Headers) -> Directives:
    """Return the directives of the first field that speaks to this cache."""
    values: dict[bytes, list[bytes]] = {}
    for field, value in headers.fields:
        if field.lower in _FIELDS:
            values.setdefault(field.lower, []).append(value)
    for source, reader in _READERS:
        if source.value in values:
            found = reader(values[source.value])
            if found is not None:
                return _directives(source, found)
    return Directives()


# Each reader returns names and arguments, None for a field that does not speak to us. An argument
# is `_BROKEN` if no number and no list of fields can be meant by it.

_Argument = bytes | None
_Pairs = list[tuple[bytes, _Argument]]

_BROKEN: Final = b"="


def _plain(values: Iterable[bytes]) -> _Pairs | None:
    return [_pair(part) for part in fields.split_list(values) if part]


def _pair(part: bytes) -> tuple[bytes, _Argument]:
    name, equals, argument = part.partition(b"=")
    if not equals:
        return name.lower(), None
    # Blanks around `=`: nobody knows what others make of it.
    broken = name.endswith((b" ", b"\t")) or argument.startswith((b" ", b"\t"))
    return name.strip(b" \t").lower(), _BROKEN if broken else argument


def _structured(values: Iterable[bytes]) -> _Pairs | None:
    """RFC 9213 2.1: a targeted field that is empty or does not parse is not there."""
    found = structured.dictionary(values)
    if not found:
        return None
    return [(key, _argument(value)) for key, value in found.items() if value is not False]


def _argument(value: structured.Member) -> _Argument:
    if value is True:
        return None
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, str):
        # The blank keeps a string from being read as a number (RFC 9213 2.1).
        return b'" %b"' % value.encode()
    return _BROKEN


# `max-age=600+60`: the sum behind it is for how long the response may be used stale.
_EXTENDED: Final = re.compile(rb"([0-9]+)\+([0-9]+)")
_DECISIVE: Final = frozenset((b"no-store", b"private", b"no-cache", b"max-age", b"s-maxage"))


def _surrogate(values: Iterable[bytes]) -> _Pairs | None:
    """Return what is addressed to us, before what is addressed to everyone."""
    ours: _Pairs = []
    everyones: _Pairs = []
    for part in fields.split_list(values):
        parsed = fields.split_parameters(part)
        if parsed is None or not parsed[0]:
            continue
        value, parameters = parsed
        if not parameters:
            everyones += _extended(value)
        elif any(name == DEVICE for name, _ in parameters):
            ours += _extended(value)
    found = ours + everyones
    return found if any(name in _DECISIVE for name, _ in found) else None


def _extended(value: bytes) -> _Pairs:
    name, argument = _pair(value)
    extended = _EXTENDED.fullmatch(argument) if name == b"max-age" and argument else None
    if extended is None:
        return [(name, argument)]
    return [(name, extended[1]), (b"stale-while-revalidate", extended[2])]


_READERS: Final = (
    (Source.OWN, _structured),
    (Source.CDN, _structured),
    (Source.SURROGATE, _surrogate),
    (Source.CACHE_CONTROL, _plain),
)
_FIELDS: Final = frozenset(source.value for source, _ in _READERS)


# From names and arguments to directives

_SECONDS: Final = re.compile(rb'"([0-9]++)"|([0-9]++)')
_DIGITS_MAX: Final = 10


def _directives(source: Source, pairs: _Pairs) -> Directives:
    # The first of several counts (RFC 9111 4.2.1), but every one that forbids something.
    first: dict[bytes, _Argument] = {}
    for name, argument in pairs:
        first.setdefault(name, argument)
    hidden, no_cache = _listed(pairs, b"no-cache")
    unstored, private = _listed(pairs, b"private")
    return Directives(
        source=source,
        # A permission with an argument is a different one, unknown here.
        public=b"public" in first and first[b"public"] is None,
        private=private,
        no_store=b"no-store" in first,
        no_cache=no_cache,
        must_revalidate=b"must-revalidate" in first,
        proxy_revalidate=b"proxy-revalidate" in first,
        must_understand=b"must-understand" in first,
        max_age=_seconds(first, b"max-age"),
        s_maxage=_seconds(first, b"s-maxage"),
        stale_while_revalidate=_seconds(first, b"stale-while-revalidate") or 0,
        stale_if_error=_seconds(first, b"stale-if-error") or 0,
        hidden=hidden,
        unstored=unstored,
    )


def _seconds(first: dict[bytes, _Argument], name: bytes) -> int | None:
    if name not in first:
        return None
    found = _SECONDS.fullmatch(first[name] or b"")
    if found is None:
        return 0
    digits = (found[1] or found[2]).lstrip(b"0") or b"0"
    return SECONDS_MAX if len(digits) > _DIGITS_MAX else min(int(digits), SECONDS_MAX)


def _listed(pairs: _Pairs, name: bytes) -> tuple[frozenset[bytes], bool]:
    """Return the fields that a directive lists, and whether it is meant for the whole response."""
    listed: set[bytes] = set()
    whole = False
    for key, argument in pairs:
        if key == name:
            names = fields.tokens([(argument or b"").strip(b'"')])
            whole = whole or not (names and all(map(fields.is_token, names)))
            listed.update(names)
    return frozenset(listed), whole

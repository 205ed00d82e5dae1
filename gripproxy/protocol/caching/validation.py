"""Conditions: those we send to the origin, those that clients send us, and what a 304 updates.

RFC 9110 13 and 8.8 (validators), RFC 9111 3.2 (updating), 4.3 (validation), 4.3.5 (HEAD).
`If-Match` and `If-Unmodified-Since` are the origin's affair: see `demands`.
"""

import re
from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching.demands import Demand
from gripproxy.protocol.headers import Field, Headers, name

# Conditions of clients. They ask about what the client has, not about what is stored.
_CONDITIONS: Final = (b"if-none-match", b"if-modified-since", b"if-range", b"range")

_TAGS: Final = re.compile(rb'(?:[Ww]/)?"[^"]*"|[^\s,"]+')

# How much older than `Date` a date must be to tell two versions apart (RFC 9110 8.8.2.2).
_STRONG_SECONDS: Final = 1.0


# To the origin


def conditional(headers: Headers, stored: Headers) -> Headers:
    """Return a request's fields with the question whether what is stored is still good.

    The client's own conditions and ranges are taken off: the stored response answers them later.
    """
    pairs = []
    tag = stored.get(b"etag")
    modified = stored.get(b"last-modified")
    if tag is not None:
        pairs.append((b"If-None-Match", tag))
    if modified is not None:
        # As it came: some origins compare dates letter by letter.
        pairs.append((b"If-Modified-Since", modified))
    return unconditional(headers).plus(*pairs)


def unconditional(headers: Headers) -> Headers:
    """Return a request's fields without what could make the response to it less than whole."""
    return headers.without(*_CONDITIONS)


def can_validate(stored: Headers) -> bool:
    """Tell whether there is something to ask by."""
    return stored.has(b"etag") or stored.has(b"last-modified")


# From clients


def not_modified(demand: Demand, headers: Headers) -> bool:
    """Tell whether a stored 2xx response with these fields is what the client has: 304."""
    if demand.if_none_match is not None:
        return _matches(demand.if_none_match, headers.get(b"etag"))
    if demand.if_modified_since is None:
        return False
    # Without `Last-Modified` the moment of the response counts (RFC 9111 4.3.2).
    modified = fields.parse_date(headers.get(b"last-modified") or headers.get(b"date") or b"")
    since = fields.parse_date(demand.if_modified_since)
    return modified is not None and since is not None and modified <= since


def _matches(asked: bytes, tag: bytes | None) -> bool:
    if asked.strip(b" \t") == b"*":
        return True
    if tag is None:
        return False
    opaque = _opaque(tag)
    return any(_opaque(member) == opaque for member in _TAGS.findall(asked))


def _opaque(tag: bytes) -> bytes:
    """Return an entity tag less its weakness (RFC 9110 8.8.3.2)."""
    return tag[2:] if tag[:2] in (b"W/", b"w/") else tag


def is_same(if_range: bytes, headers: Headers) -> bool:
    """Tell whether an `If-Range` names exactly this version (RFC 9110 13.1.5)."""
    if_range = if_range.strip(b" \t")
    if b'"' in if_range[:3]:
        return if_range.startswith(b'"') and if_range == headers.get(b"etag")
    modified = headers.get(b"last-modified")
    if modified is None or if_range != modified:
        return False
    since, date = fields.parse_date(modified), fields.parse_date(headers.get(b"date") or b"")
    return since is not None and date is not None and date - since >= _STRONG_SECONDS


# What a 304 sends instead of a 200 (RFC 9110 15.4.5): what describes the body is left out.
_OF_THE_BODY: Final = frozenset(
    (
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-range",
        b"content-md5",
        b"content-digest",
    )
)


def without_body(headers: Headers) -> Headers:
    """Return the fields of a 304 instead of a response with these."""
    return headers.without(*_OF_THE_BODY)


# What a 304 updates

# RFC 9111 3.2: what depends on the body that is stored, and what belongs to one message.
_NEVER_UPDATED: Final = frozenset(
    (
        b"etag",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-md5",
        b"content-digest",
    )
)


def confirms(stored: Headers, told: Headers) -> bool:
    """Tell whether a 304 to our condition is about what is stored (RFC 9111 4.3.4).

    If we asked by an entity tag, it is: we named one. That a 304 has another tag is what origins
    do whose compression alters tags; the RFC would have it thrown away, and so the response asked
    for again each time.
    """
    if stored.has(b"etag"):
        return True
    tag = told.get(b"etag")
    if tag is not None and not tag.startswith((b"W/", b"w/")):
        return False
    modified = told.get(b"last-modified")
    return modified is None or modified == stored.get(b"last-modified")


def freshened(stored: Headers, told: Headers, received_at: float) -> Headers:
    """Return the stored fields as those of a 304 update them.

    `told` is without hop-by-hop fields. `Age` and `Date` are those of the validation.
    """
    updates: dict[bytes, list[Field]] = {b"age": []}
    for field in told.fields:
        if field[0].lower not in _NEVER_UPDATED:
            updates.setdefault(field[0].lower, []).append(field)
    if b"date" not in updates:
        updates[b"date"] = [(name(b"Date"), fields.format_date(received_at))]
    updated = frozenset(updates)
    kept: list[Field] = []
    for field in stored.fields:
        lower = field[0].lower
        kept += updates.pop(lower, ()) if lower in updated else (field,)
    kept += [field for new in updates.values() for field in new]
    return Headers((field.text, value) for field, value in kept)

"""The field `Cache-Status` (RFC 9211), and `Age` beside it.

A member is appended behind those of caches nearer to the origin, as a line of its own.
"""

from functools import lru_cache
from typing import Final

from gripproxy.protocol.caching.demands import Forward
from gripproxy.protocol.caching.storing import Refusal
from gripproxy.protocol.headers import Field, Headers, name

_STATUS: Final = name(b"Cache-Status")
_AGE: Final = name(b"Age")


def hit(ttl: int) -> Field:
    """Return the field for a response from memory that is fresh for `ttl` seconds."""
    return _STATUS, b"gripproxy; hit; ttl=%d" % ttl


def age(seconds: int) -> Field:
    """Return the field `Age`."""
    return _AGE, b"%d" % seconds


@lru_cache(maxsize=256)
def forwarded(
    why: Forward,
    *,
    status: int | None = None,
    stored: bool = False,
    collapsed: bool | None = None,
    refusal: Refusal | None = None,
) -> Field:
    """Return the field for a response that the origin was asked for.

    `status` is the origin's own if the client gets another (304 to our condition). `collapsed` is
    False if the request waited for another's response and could not have it. `refusal` is why the
    response was not stored.
    """
    told = [b"gripproxy; fwd=" + why.value]
    if status is not None:
        told.append(b"fwd-status=%d" % status)
    if stored:
        told.append(b"stored")
    if collapsed is not None:
        told.append(b"collapsed" if collapsed else b"collapsed=?0")
    if refusal is not None:
        told.append(b"detail=" + refusal.value)
    return _STATUS, b"; ".join(told)


def is_shared(headers: Headers) -> bool:
    """Tell whether a response with this field of ours is for others, too."""
    told = headers.get_all(b"cache-status")
    if not told:
        return False
    # What is collapsed and has no `detail` was kept from being stored by a purge alone.
    return b"; hit;" in told[-1] or b"; stored" in told[-1] or told[-1].endswith(b"; collapsed")

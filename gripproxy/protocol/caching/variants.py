"""Which fields of a request a response depends on, and whether two requests agree in them.

RFC 9111 4.1. What is compared is the request as it goes to the origin. Values are brought into
one form where their meaning is known to be the same: lines joined, blanks around commas gone, and
for the fields that rank languages and codings also case, weights and order.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import ORIGINAL_PREFIX, Headers

# Ours, and different in each request or minute; no origin answers by them. The positions of
# `Grip-Last` are in the key already.
_SKIPPED: Final = frozenset((b"grip-sig", b"grip-feature", b"grip-last", b"via", b"cdn-loop"))


@dataclass(frozen=True, slots=True)
class Variant:
    """The fields that `Vary` names, in lower case and sorted, and what a request says in each.

    A field that is absent is None, which is not the same as an empty one.
    """

    names: tuple[bytes, ...]
    values: tuple[bytes | None, ...]


ONLY: Final = Variant((), ())


def names(headers: Headers) -> tuple[bytes, ...] | None:
    """Return the fields that a response's `Vary` names, None for `*`: no request agrees."""
    values = headers.get_all(b"vary")
    if not values:
        return ()
    named = set(fields.tokens(values))
    if b"*" in named:
        return None
    kept = [name for name in named - _SKIPPED if not name.startswith(ORIGINAL_PREFIX)]
    return tuple(sorted(kept))


def of(names: tuple[bytes, ...], headers: Headers) -> Variant:
    """Return the variant that a request with these fields asked for."""
    if not names:
        return ONLY
    found: dict[bytes, list[bytes]] = {}
    for field, value in headers.fields:
        if field.lower in names:
            found.setdefault(field.lower, []).append(value)
    values = [_normal(name, found[name]) if name in found else None for name in names]
    return Variant(names, tuple(values))


def agrees(variant: Variant, headers: Headers, disregarded: Sequence[bytes] = ()) -> bool:
    """Tell whether a request with these fields may have a response of this variant.

    Fields that are disregarded (`resume=sse` reads the position from one) agree always.
    """
    if not variant.names:
        return True
    asked = of(variant.names, headers)
    if not disregarded:
        return asked.values == variant.values
    return all(
        name in disregarded or stored == now
        for name, stored, now in zip(variant.names, variant.values, asked.values, strict=True)
    )


# One form for all spellings of a meaning


def _normal(name: bytes, values: list[bytes]) -> bytes:
    return _FORMS.get(name, _list)(values)


def _list(values: list[bytes]) -> bytes:
    return b",".join([part for part in fields.split_list(values) if part])


def _whole(values: list[bytes]) -> bytes:
    return b",".join([value.strip(b" \t") for value in values])


_WEIGHT: Final = re.compile(rb"[ \t]*;[ \t]*q[ \t]*=[ \t]*([01](?:\.[0-9]{0,3})?)")


def _ranked(values: list[bytes]) -> bytes:
    """RFC 9110 12.4.2, 12.5.3, 12.5.4: case and order mean nothing, a weight of 1 is no weight."""
    return b",".join(sorted([_WEIGHT.sub(_weight, part) for part in fields.tokens(values)]))


def _weight(found: re.Match[bytes]) -> bytes:
    weight = float(found[1])
    return b"" if weight == 1 else b";q=%g" % weight


# In these a comma is a part of the text. `Accept` has no form of its own: by RFC 9110 12.5.1 its
# order means nothing either, but too many applications let the first of equal types win.
_FORMS: Final[dict[bytes, Callable[[list[bytes]], bytes]]] = {
    b"user-agent": _whole,
    b"cookie": _whole,
    b"authorization": _whole,
    b"referer": _whole,
    b"accept-language": _ranked,
    b"accept-encoding": _ranked,
    b"accept-charset": _ranked,
}

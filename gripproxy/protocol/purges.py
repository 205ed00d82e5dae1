"""What a purge names, and how an item says it.

Design: cache-and-purge.md, *Purge* and *Purge-and-push*. Texts: publishing.md 14.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gripproxy.errors import ItemError
from gripproxy.protocol.dialects import Dialect, invalid_value, to_text, wrong_type
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.tnetstring import Data

_PURGE: Final = "'purge'"
_MEMBERS: Final = ("urls", "keys", "all", "soft", "settle")

# Seconds. Longer, a mistyped number would switch the cache off.
SETTLE_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Stored responses to be taken back: by URL, by key, or all of them.

    A soft one leaves them stale. For `settle` seconds nothing that it names is stored again.
    """

    urls: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False
    settle: float = 0.0


def read(value: Data, dialect: Dialect) -> Purge:
    """Return the purge that the member `purge` of an item, or a request to purge, describes.

    Raises:
        ItemError: a member of the wrong type, out of range, or of unknown name.
    """
    if not isinstance(value, dict):
        raise wrong_type("publish item object", "purge")
    for name in value:
        if name not in _MEMBERS:
            raise ItemError(f"{_PURGE} contains '{name}' with unknown name")
    return Purge(
        urls=_strings(value, "urls", dialect),
        keys=_strings(value, "keys", dialect),
        everything=_flag(value, "all"),
        soft=_flag(value, "soft"),
        settle=_seconds(value, "settle"),
    )


def to_json(purge: Purge) -> Json:
    """Return the member that reads as this purge."""
    return {
        "urls": list(purge.urls),
        "keys": list(purge.keys),
        "all": purge.everything,
        "soft": purge.soft,
        "settle": purge.settle,
    }


def _strings(source: Mapping[str, Data], name: str, dialect: Dialect) -> tuple[str, ...]:
    value = source.get(name, [])
    if not isinstance(value, list):
        raise wrong_type(_PURGE, name)
    found = []
    for element in value:
        if not isinstance(element, dialect.strings):
            raise wrong_type(_PURGE, name)
        found.append(to_text(element))
    return tuple(found)


def _flag(source: Mapping[str, Data], name: str) -> bool:
    value = source.get(name, False)
    if not isinstance(value, bool):
        raise wrong_type(_PURGE, name)
    return value


def _seconds(source: Mapping[str, Data], name: str) -> float:
    value = source.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(_PURGE, name)
    if not 0 <= value <= SETTLE_MAX:
        raise invalid_value(_PURGE, name)
    return float(value)

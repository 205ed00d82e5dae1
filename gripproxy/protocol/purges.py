"""What a purge names, and how an item says it, or a request of the hosted service's API.

Design: cache-and-purge.md, *Purge* and *Purge-and-push*. Texts: publishing.md 14.4.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from gripproxy.errors import ItemError, PacketError
from gripproxy.protocol import jsontext
from gripproxy.protocol.dialects import Dialect, invalid_value, to_text, wrong_type
from gripproxy.protocol.headers import Headers
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
    `items` are channels, each with the id of an item on it, that take back what is tagged with the
    channel on routes with `purge=channel`; nobody can ask for that but by publishing.
    """

    urls: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False
    settle: float = 0.0
    items: tuple[tuple[str, str | None], ...] = ()


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


# The hosted service's spellings: an application changes the address and the key, nothing else

# That service takes no more in one request.
KEYS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Spelled:
    """A purge as a request spells it, and what its answer tells: the id once, per key, or not."""

    purge: Purge
    told: Literal["once", "per key", "nothing"]

    def answer(self, purge_id: str) -> Json:
        """Return the answer to a purge that is done."""
        if self.told == "per key":
            return dict.fromkeys(self.purge.keys, purge_id)
        return {"status": "ok"} if self.told == "nothing" else {"status": "ok", "id": purge_id}


_SERVICE: Final = re.compile(rb"/service/[^/]+/(purge_all|purge)(?:/(.*))?", re.DOTALL)
_URL: Final = b"/purge/"


def spelled(target: bytes, headers: Headers, body: bytes) -> Spelled | None:
    """Return the purge that a POST to this path and query is; None for any other path.

    Raises:
        ItemError: it names nothing, or too much.
    """
    if target.startswith(_URL) and len(target) > len(_URL):
        urls = [to_text(url) for url in _urls(target.removeprefix(_URL))]
        return Spelled(Purge(urls=tuple(urls), soft=_is_soft(headers)), "once")
    found = _SERVICE.fullmatch(target.partition(b"?")[0])
    if found is None:
        return None
    if found[1] == b"purge_all":
        return None if found[2] else Spelled(Purge(everything=True), "nothing")
    if found[2]:
        key = to_text(unquote_to_bytes(found[2]))
        return Spelled(Purge(keys=(key,), soft=_is_soft(headers)), "once")
    keys = _named_keys(headers, body)
    return Spelled(Purge(keys=keys, soft=_is_soft(headers)), "per key")


def of_url(url: bytes, headers: Headers) -> Spelled:
    """Return the purge that a request with the method `PURGE` for this URL is."""
    return Spelled(Purge(urls=(to_text(url),), soft=_is_soft(headers)), "once")


def _is_soft(headers: Headers) -> bool:
    return headers.has(b"fastly-soft-purge")


_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)


def _urls(named: bytes) -> list[bytes]:
    """Return the URLs that a path can mean: without a slash its slashes are encoded, or all is."""
    if b"/" in named.partition(b"?")[0]:
        return [named]
    slashes, everything = _SLASH.sub(b"/", named), unquote_to_bytes(named)
    return [slashes] if slashes == everything else [slashes, everything]


def _named_keys(headers: Headers, body: bytes) -> tuple[str, ...]:
    values = headers.get_all(b"surrogate-key")
    keys = [to_text(key) for value in values for key in value.split()] or _keys_in(body)
    if not keys:
        raise ItemError("no surrogate keys")
    if len(keys) > KEYS_MAX:
        raise ItemError(f"more than {KEYS_MAX} surrogate keys")
    return tuple(keys)


def _keys_in(body: bytes) -> list[str]:
    try:
        said = jsontext.decode(body) if body.strip() else {}
    except PacketError as error:
        raise ItemError(error.text) from None
    named = said.get("surrogate_keys", []) if isinstance(said, dict) else None
    if not isinstance(named, list):
        raise ItemError("'surrogate_keys' is no list of strings")
    keys = [key for key in named if isinstance(key, str)]
    if len(keys) != len(named):
        raise ItemError("'surrogate_keys' is no list of strings")
    return keys

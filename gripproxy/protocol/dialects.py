"""The three encodings of an item: what a string, a null and a number are in each.

Specification: publishing.md 2, 2.1, 14.1. Only what differs stands in the table; items, formats
and purges are read by one text for all three.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gripproxy.errors import ItemError
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.tnetstring import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How an encoding spells an item. In all of them a `-bin` member is base64 if it is text."""

    strings: tuple[type[str] | type[bytes], ...]
    null_is_absent: bool  # for the members that are read by `optional_text`, and for a few more
    has_bins: bool  # `body-bin`, and `content-bin` outside of `ws-message`
    bytes_are_binary: bool  # `content` that is bytes makes a binary message
    sorts_headers: bool  # an object of headers goes out in the order of its names


JSON: Final = Dialect(
    strings=(str,),
    null_is_absent=False,
    has_bins=True,
    bytes_are_binary=False,
    sorts_headers=True,
)
TNETSTRING: Final = Dialect(
    strings=(bytes,),
    null_is_absent=True,
    has_bins=False,
    bytes_are_binary=False,
    sorts_headers=False,
)
MSGPACK: Final = Dialect(
    strings=(str, bytes),
    null_is_absent=True,
    has_bins=True,
    bytes_are_binary=True,
    sorts_headers=False,
)

# Not one of these numbers fits into 32 bits, so every check refuses it.
_BEYOND: Final = 1 << 62
_NUMBER: Final = re.compile(r"\s*+([+-]?)(?=[0-9])0*+([0-9]*+)\s*+", re.ASCII)
_DIGITS_MAX: Final = 18


# Errors


def wrong_type(owner: str, member: str) -> ItemError:
    """Return the error for a member whose value is of the wrong type."""
    return ItemError(f"{owner} contains '{member}' with wrong type")


def invalid_value(owner: str, member: str) -> ItemError:
    """Return the error for a member whose value is not allowed."""
    return ItemError(f"{owner} contains '{member}' with invalid value")


# Strings


def to_text(value: str | bytes) -> str:
    """Return a string as text, with U+FFFD for what is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def to_bytes(value: str | bytes) -> bytes:
    """Return a string as bytes, whatever they are."""
    return value.encode() if isinstance(value, str) else value


def to_utf8(value: str | bytes) -> bytes:
    """Return a string as UTF-8, with U+FFFD for what is not."""
    if isinstance(value, bytes) and value.isascii():
        return value
    return to_text(value).encode()


def optional_text(
    source: Mapping[str, Data], member: str, dialect: Dialect, owner: str
) -> str | None:
    """Return a member that is text, or None if it is absent."""
    if member not in source:
        return None
    value = source[member]
    if isinstance(value, dialect.strings):
        return to_text(value)
    if value is None and dialect.null_is_absent:
        return None
    raise wrong_type(owner, member)


# Numbers


def to_integer(value: Data) -> int | None:
    """Return what converts to an integer (publishing.md 2.1), None if it is of the wrong type.

    What needs over 32 bits is returned as some number that needs them, too.
    """
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, str | bytes):
        return _decimal(to_text(value))
    return None


def _rounded(value: float) -> int:
    if not math.isfinite(value):
        return _BEYOND
    whole = math.trunc(value)
    # Half away from zero. Adding a half first would lift 0.49999999999999994 to 1.
    if abs(value - whole) >= 0.5:
        whole += 1 if value > 0 else -1
    return whole


def _decimal(text: str) -> int:
    match = _NUMBER.fullmatch(text)
    if not match:
        return 0
    sign, digits = match.groups()
    if len(digits) > _DIGITS_MAX:
        return _BEYOND
    number = int(digits or "0")
    return -number if sign == "-" else number


# Anything


def to_json(value: Data) -> Json:
    """Return a value as JSON has it: strings become text.

    Raises:
        ValueError: a number that JSON does not have.
    """
    if isinstance(value, bytes):
        return to_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not finite")
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key: to_json(element) for key, element in value.items()}
    return [to_json(element) for element in value]

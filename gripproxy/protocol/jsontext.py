"""JSON as publishers and origins write it.

Strict first; leniently, as publishing.md 4.2 says, only where that fails. What JSON of scripts
does wrong is put right in the text, which is then read by the same fast decoder again.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from itertools import accumulate
from typing import Final, Never, TypeAlias, TypeVar

from gripproxy.errors import PacketError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DEPTH_MAX: Final = 1024

# No integer with fewer digits overflows a double.
_DIGITS_SAFE: Final = 308

_BLANK: Final = " \t\r\n"

_ARGUMENT = TypeVar("_ARGUMENT")
_RESULT = TypeVar("_RESULT")


def decode(text: bytes) -> Json:
    """Return the value of a JSON text.

    Raises:
        PacketError: not JSON, not even with the liberties that are allowed.
    """
    try:
        plain = _plain_text(text)
        try:
            return _parse(plain)
        except (ValueError, RecursionError):
            return _parse_leniently(plain)
    except ValueError:
        raise PacketError("json parse failed") from None


def encode(value: Json, *, sort_keys: bool = False) -> bytes:
    """Return a value as compact JSON in UTF-8.

    Raises:
        PacketError: a number that is not finite, text that has no UTF-8, a circle.
    """
    write = _SORTED.encode if sort_keys else _UNSORTED.encode
    try:
        try:
            return write(value).encode()
        except RecursionError:
            return _with_room(write, value).encode()
    except (ValueError, RecursionError):
        raise PacketError("value has no JSON text") from None


# Strict


def _parse(text: str) -> Json:
    value: Json
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError
    return value


def _integer(text: str) -> int:
    if len(text) > _DIGITS_SAFE:
        _float(text)
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError
    return number


def _refuse(_name: str) -> Never:
    """Refuse NaN and the infinities, which no JSON has."""
    raise ValueError


# `strict` would refuse raw control characters in strings, which are allowed.
_DECODER: Final = json.JSONDecoder(
    strict=False, parse_int=_integer, parse_float=_float, parse_constant=_refuse
)
_UNSORTED: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SORTED: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


# Text


_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
# An escaped backslash, a pair of surrogates, or (in the group) one that is alone.
_SURROGATES: Final = re.compile(
    r"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)


def _plain_text(text: bytes) -> str:
    r"""Return the text without mark and blanks around it, `\ufffd` for lone surrogates."""
    plain = text.decode().removeprefix("\ufeff").strip(_BLANK)
    if _SURROGATE.search(plain):
        plain = _SURROGATES.sub(lambda match: r"\ufffd" if match[1] else match[0], plain)
    return plain


# Leniently


# A whole string, or one that lacks its end, lest each quote in it be tried as a beginning.
# Possessive: linear, and no stack.
_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
# A string, or the end of a number whose fraction has no digits.
_LIBERTY: Final = re.compile(_STRING + r"|[0-9]\.(?![0-9])", re.DOTALL)
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrtu]|(.))', re.DOTALL)
_NO_BRACKETS: Final = re.compile(_STRING + r'|[^"\[\]{}]++', re.DOTALL)
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


def _parse_leniently(text: str) -> Json:
    repaired = _LIBERTY.sub(_repaired, text)
    if _depth(repaired) > DEPTH_MAX:
        raise ValueError
    return _with_room(_parse, repaired)


def _repaired(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] != '"':
        return text + "0"
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda escape: escape[1] or escape[0], text)


def _depth(text: str) -> int:
    brackets = _NO_BRACKETS.sub("", text)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _with_room(function: Callable[[_ARGUMENT], _RESULT], argument: _ARGUMENT) -> _RESULT:
    """Call a function with room on the stack for values as deep as they may be.

    The decoder and the encoder recurse, at one step a level, and Python's own limit is lower
    than JSON's. The alternative is a second, slower decoder with a stack of its own.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + DEPTH_MAX + 100)
    try:
        return function(argument)
    finally:
        sys.setrecursionlimit(limit)

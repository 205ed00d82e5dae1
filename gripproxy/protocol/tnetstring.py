"""Tnetstrings: `SIZE ":" DATA TYPE`, the encoding of items and commands over ZeroMQ.

Specification: publishing.md 4.1. Input is read as leniently as there; what is cut short, nested
too deeply or no number where one must be is a `PacketError`, wherever in the message it stands.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from gripproxy.errors import PacketError

# What items and commands are made of, whatever encoding they came in. Decoders make lists and
# dicts; the wider types let `Json` pass as `Data`.
Data: TypeAlias = "bool | int | float | str | bytes | Sequence[Data] | Mapping[str, Data] | None"

# Deep enough for any item. Decoding recurses, so it has to end before Python's stack does.
DEPTH_MAX: Final = 64

_FAILED: Final = "tnetstring parse failed"

_TEXT: Final = 0x2C  # ,
_DICT: Final = 0x7D  # }
_LIST: Final = 0x5D  # ]

# The worth of a byte as a digit. Any other byte is worth so much that the size is beyond every
# message, which leads to the patient reader of sizes.
_NO_DIGIT: Final = 1 << 62
_ONES: Final = [byte - 0x30 if 0x30 <= byte <= 0x39 else _NO_DIGIT for byte in range(256)]
_TENS: Final = [one * 10 for one in _ONES]
_HUNDREDS: Final = [one * 100 for one in _ONES]

# The longest 64-bit number has 19 digits. (Python refuses to read over 4300.)
_DIGITS_MAX: Final = 19
_INTEGER_MAX: Final = (1 << 63) - 1

_FLOAT: Final = re.compile(rb" *([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?) *")

# The keys of items, so that they need not be decoded again and again.
_KEYS: Final = {
    key.encode(): key
    for key in (
        "action", "args", "body", "body-patch", "channel", "code", "content", "content-bin",
        "content-filters", "formats", "headers", "http-response", "http-stream", "id", "items",
        "keys", "meta", "method", "no-seq", "prev-id", "purge", "reason", "size", "type", "urls",
        "ws-message",
    )
}  # fmt: skip


def decode(message: bytes, start: int = 0) -> Data:
    """Return the value that begins at `start`; what follows it is ignored.

    Byte strings stay bytes, keys become text (U+FFFD for what is not UTF-8).

    Raises:
        PacketError: not a tnetstring.
    """
    at, end = _extent(message, start, len(message))
    return _value(message, at, end, DEPTH_MAX)


def _value(message: bytes, at: int, end: int, depth: int) -> Data:
    """Return the value whose DATA is from `at` to `end`, where its TYPE stands."""
    kind = message[end]
    if kind == _TEXT:
        return message[at:end]
    if kind == _DICT:
        return _dict(message, at, end, depth)
    if kind == _LIST:
        return _list(message, at, end, depth)
    try:
        read = _SCALARS[kind]
    except KeyError:
        raise PacketError(_FAILED) from None
    return read(message[at:end])


# hot: sizes of one to three digits are read byte by byte, in line, and the keys of items are not
# decoded. An item of 230 bytes takes 2.8 us; with `find`, slices and `int` it takes 4.5. In
# `_list` it saves 0.8 us for each header field (bench/scenarios.py, ingest-zmq).
def _dict(message: bytes, at: int, limit: int, depth: int) -> dict[str, Data]:  # noqa: C901, PLR0912, PLR0915
    """Return the dict whose DATA is from `at` to `limit`."""
    if not depth:
        raise PacketError(_FAILED)
    found: dict[str, Data] = {}
    ones = _ONES
    keys = _KEYS
    while at < limit:
        # The key
        start = end = _NO_DIGIT
        try:
            if message[at + 1] == 0x3A:
                start = at + 2
                end = start + ones[message[at]]
            elif message[at + 2] == 0x3A:
                start = at + 3
                end = start + _TENS[message[at]] + ones[message[at + 1]]
        except IndexError:
            pass
        if end >= limit:
            start, end = _extent(message, at, limit)
        if message[end] != _TEXT:
            raise PacketError(_FAILED)
        spelled = message[start:end]
        try:
            key = keys[spelled]
        except KeyError:
            key = spelled.decode("utf-8", "replace")
        # The value
        at = end + 1
        end = _NO_DIGIT
        try:
            if message[at + 1] == 0x3A:
                start = at + 2
                end = start + ones[message[at]]
            elif message[at + 2] == 0x3A:
                start = at + 3
                end = start + _TENS[message[at]] + ones[message[at + 1]]
            elif message[at + 3] == 0x3A:
                start = at + 4
                end = start + _HUNDREDS[message[at]] + _TENS[message[at + 1]]
                end += ones[message[at + 2]]
        except IndexError:
            pass
        if end >= limit:
            start, end = _extent(message, at, limit)
        kind = message[end]
        if kind == _TEXT:
            found[key] = message[start:end]
        elif kind == _DICT:
            found[key] = _dict(message, start, end, depth - 1)
        else:
            found[key] = _value(message, start, end, depth - 1)
        at = end + 1
    return found


def _list(message: bytes, at: int, limit: int, depth: int) -> list[Data]:
    """Return the list whose DATA is from `at` to `limit`."""
    if not depth:
        raise PacketError(_FAILED)
    found: list[Data] = []
    while at < limit:
        start = end = _NO_DIGIT
        try:
            if message[at + 1] == 0x3A:
                start = at + 2
                end = start + _ONES[message[at]]
            elif message[at + 2] == 0x3A:
                start = at + 3
                end = start + _TENS[message[at]] + _ONES[message[at + 1]]
        except IndexError:
            pass
        if end >= limit:
            start, end = _extent(message, at, limit)
        found.append(_value(message, start, end, depth - 1))
        at = end + 1
    return found


def _extent(message: bytes, at: int, limit: int) -> tuple[int, int]:
    """Return where the DATA of the value at `at` begins and ends, before `limit`."""
    colon = message.find(b":", at, limit)
    if colon < 0:
        raise PacketError(_FAILED)
    end = colon + 1 + _integer(message[at:colon])
    # DATA of a negative size would end before it begins.
    if not colon < end < limit:
        raise PacketError(_FAILED)
    return colon + 1, end


def _integer(text: bytes) -> int:
    if text.isdigit() and len(text) < _DIGITS_MAX:
        return int(text)
    text = text.strip(b" ")
    digits = text[1:] if text[:1] in {b"+", b"-"} else text
    significant = digits.lstrip(b"0")
    if not digits.isdigit() or len(significant) > _DIGITS_MAX:
        raise PacketError(_FAILED)
    number = int(significant or b"0")
    number = -number if text[:1] == b"-" else number
    if not -_INTEGER_MAX - 1 <= number <= _INTEGER_MAX:
        raise PacketError(_FAILED)
    return number


def _float(text: bytes) -> float:
    match = _FLOAT.fullmatch(text)
    number = float(match[1]) if match else math.inf
    if math.isinf(number):
        raise PacketError(_FAILED)
    return number


def _bool(text: bytes) -> bool:
    if text == b"true":
        return True
    if text == b"false":
        return False
    raise PacketError(_FAILED)


def _null(_text: bytes) -> None:
    return None


_SCALARS: Final[dict[int, Callable[[bytes], Data]]] = {
    0x23: _integer,  # #
    0x5E: _float,  # ^
    0x21: _bool,  # !
    0x7E: _null,  # ~
}


def encode(value: Data) -> bytes:
    """Return a value as a tnetstring; text goes out as UTF-8.

    Raises:
        PacketError: no peer could read it: nested too deeply, a number beyond 64 bits or not
            finite, text that has no UTF-8.
    """
    return _encode(value, DEPTH_MAX)


# `Sequence` would take strings, too.
_CONTAINERS: Final = (Mapping, list, tuple)


def _encode(value: Data, depth: int) -> bytes:
    if isinstance(value, _CONTAINERS):
        text, kind = _encode_container(value, depth)
    else:
        text, kind = _encode_scalar(value)
    return b"%d:%b%b" % (len(text), text, kind)


def _encode_container(
    value: Mapping[str, Data] | Sequence[Data], depth: int
) -> tuple[bytes, bytes]:
    if not depth:
        raise PacketError("tnetstring nested too deeply")
    if isinstance(value, Mapping):
        pairs = [_encode(part, depth - 1) for pair in value.items() for part in pair]
        return b"".join(pairs), b"}"
    return b"".join([_encode(element, depth - 1) for element in value]), b"]"


def _encode_scalar(value: Data) -> tuple[bytes, bytes]:
    match value:
        case bytes():
            return value, b","
        case str():
            return _utf8(value), b","
        case None:
            return b"", b"~"
        case bool():
            return (b"true" if value else b"false"), b"!"
        case int() if -_INTEGER_MAX - 1 <= value <= _INTEGER_MAX:
            return b"%d" % value, b"#"
        case float() if math.isfinite(value):
            return repr(value).encode(), b"^"
    raise PacketError("tnetstring cannot hold this number")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise PacketError("tnetstring cannot hold this text") from None

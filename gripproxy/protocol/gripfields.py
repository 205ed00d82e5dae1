"""The `Grip-*` fields of an origin's response (grip-http.md 2).

Links are left as they came: `links.resolve` knows what they mean.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gripproxy.errors import InstructError
from gripproxy.protocol import base64text, cstrings, filters, links
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Headers, Parameters
from gripproxy.protocol.phrases import phrase
from gripproxy.protocol.terms import (
    HOLD_SECONDS,
    HOLD_SECONDS_MIN,
    KEEP_ALIVE_SECONDS,
    NEXT_SECONDS,
    Channel,
    HoldMode,
    KeepAlive,
    KeepAliveMode,
    Link,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the `Grip-*` fields say."""

    mode: HoldMode | None
    channels: tuple[Channel, ...]
    timeout: int
    keep_alive: KeepAlive | None
    meta: Mapping[str, str]
    status: tuple[int, bytes] | None
    next: Link | None
    gone: Link | None
    exposed: frozenset[bytes]


# hot: thousands of holds in a second get the same fields; from this table they take 1 us, read
# anew 8 (bench/scenarios.py, storm-stream-5000). It is emptied when it is full.
_known: dict[tuple[tuple[bytes, bytes], ...], Given] = {}
_KNOWN_MAX: Final = 1024
_KNOWN_LENGTH_MAX: Final = 2048


def read(headers: Headers) -> Given:
    """Return what the `Grip-*` fields of a response say.

    Raises:
        InstructError: fields that cannot be obeyed.
    """
    key = tuple([(f.lower, value) for f, value in headers.fields if f.mark & fields.GRIP])
    given = _known.get(key)
    if given is None:
        given = _parsed(key)
        if sum(len(value) for _, value in key) <= _KNOWN_LENGTH_MAX:
            if len(_known) >= _KNOWN_MAX:
                _known.clear()
            _known[key] = given
    return given


def _parsed(key: tuple[tuple[bytes, bytes], ...]) -> Given:
    values: dict[bytes, list[bytes]] = {}
    for lower, value in key:
        values.setdefault(lower, []).append(value.strip(b" \t"))

    def first(lower: bytes) -> bytes | None:
        return values[lower][0] if lower in values else None

    # Errors are found in this order (2.7).
    mode = _mode(first(b"grip-hold"))
    channels = _channels(values.get(b"grip-channel", []))
    timeout = _timeout(first(b"grip-timeout"))
    keep_alive = _keep_alive(first(b"grip-keep-alive") or b"")
    meta = _meta(values.get(b"grip-set-meta", []))
    status = _status(first(b"grip-status") or b"")
    found = _links(values.get(b"grip-link", []))
    return Given(
        mode=mode,
        channels=channels,
        timeout=timeout,
        keep_alive=keep_alive,
        meta=meta,
        status=status,
        next=found.get("next"),
        gone=found.get("gone"),
        exposed=frozenset(fields.tokens(values.get(b"grip-expose-headers", []))),
    )


def _mode(value: bytes | None) -> HoldMode | None:
    if value is None:
        return None
    try:
        return HoldMode(_text(value))
    except ValueError:
        text = "Grip-Hold must be set to either 'response' or 'stream'"
        raise InstructError(text) from None


def _channels(values: list[bytes]) -> tuple[Channel, ...]:
    return tuple(
        _channel(*parsed)
        for part in fields.split_list(values)
        if (parsed := fields.split_parameters(part)) is not None
    )


def _channel(value: bytes, parameters: Parameters) -> Channel:
    name = _text(value)
    if not parameters:
        return Channel(name)
    names = tuple(_text(value or b"") for key, value in parameters if key == b"filter")
    if len(names) > filters.LIMIT:
        raise InstructError(filters.too_many(name))
    prev_id = fields.parameter(parameters, b"prev-id")
    return Channel(
        name,
        None if prev_id is None else _text(prev_id),
        names,
        fields.parameter(parameters, b"resume") == b"sse",
    )


def _timeout(value: bytes | None) -> int:
    if value is None:
        return HOLD_SECONDS
    seconds = _seconds(value, "failed to parse Grip-Timeout", "Grip-Timeout has invalid value")
    return max(seconds, HOLD_SECONDS_MIN)


@lru_cache(maxsize=256)
def _keep_alive(value: bytes) -> KeepAlive | None:
    parsed = fields.split_parameters(value) if value else None
    if parsed is None:
        return None
    text, parameters = parsed
    if not text:
        raise InstructError("Grip-Keep-Alive cannot be empty")
    named = _first_of_each(parameters)
    mode = _text(named.get(b"mode") or b"idle")
    if mode not in ("idle", "interval"):
        raise InstructError(f"no such Grip-Keep-Alive mode '{mode}'")
    timeout = KEEP_ALIVE_SECONDS
    if b"timeout" in named:
        timeout = _seconds(
            named[b"timeout"],
            "failed to parse Grip-Keep-Alive timeout value",
            "Grip-Keep-Alive timeout has invalid value",
        )
    data = _keep_alive_data(text, _text(named.get(b"format") or b"raw"))
    return KeepAlive(data, max(timeout, 1), KeepAliveMode(mode))


def _keep_alive_data(text: bytes, encoding: str) -> bytes:
    if encoding == "raw":
        return text
    if encoding == "base64":
        return base64text.decode(text.decode("latin-1"))
    if encoding != "cstring":
        raise InstructError(f"no such Grip-Keep-Alive format '{encoding}'")
    data = cstrings.decode(text)
    if not data:
        raise InstructError("failed to parse Grip-Keep-Alive cstring format")
    return data


def _meta(values: list[bytes]) -> Mapping[str, str]:
    meta: dict[str, str] = {}
    for part in fields.split_list(values):
        found = fields.pairs(part)
        if found is None:
            continue
        if not found:
            raise InstructError("Grip-Set-Meta cannot be empty")
        key, value = found[0]
        meta[_text(key)] = _text(value or b"")
    return meta


def _status(value: bytes) -> tuple[int, bytes] | None:
    if not value:
        return None
    text, _, reason = value.partition(b" ")
    code = _integer(text)
    if code is None or not 200 <= code <= 999:
        raise InstructError("Grip-Status contains invalid status code")
    return code, reason or phrase(code)


def _links(values: list[bytes]) -> dict[str, Link]:
    found: dict[str, Link] = {}
    for part in fields.split_list(values, angles=True):
        parsed = fields.split_parameters(part, angles=True)
        if parsed is None or not parsed[1]:
            continue
        value, parameters = parsed
        if not (len(value) > 2 and value.startswith(b"<") and value.endswith(b">")):
            raise InstructError("failed to parse Grip-Link value")
        uri = value[1:-1]
        if not links.is_reference(uri):
            raise InstructError("Grip-Link contains invalid link")
        named = _first_of_each(parameters)
        rel = named.get(b"rel")
        if rel == b"next":
            found["next"] = Link(uri, _next_timeout(named))
        elif rel == b"gone":
            found["gone"] = Link(uri)
    return found


def _next_timeout(named: Mapping[bytes, bytes | None]) -> int:
    if b"timeout" not in named:
        return NEXT_SECONDS
    return _seconds(
        named[b"timeout"],
        "failed to parse Grip-Link timeout value",
        "Grip-Link timeout has invalid value",
    )


def _first_of_each(parameters: Parameters) -> dict[bytes, bytes | None]:
    named: dict[bytes, bytes | None] = {}
    for key, value in parameters:
        named.setdefault(key.lower(), value)
    return named


_INTEGER: Final = re.compile(rb"[ \t]*+([+-]?)0*+(\d{0,10})[ \t]*+")


def _integer(value: bytes) -> int | None:
    """Return a decimal number of 32 bits."""
    found = _INTEGER.fullmatch(value)
    if found is None or not value.strip(b" \t+-"):
        return None
    number = int(found[1] + (found[2] or b"0"))
    return number if -(1 << 31) <= number < 1 << 31 else None


def _seconds(value: bytes | None, unread: str, negative: str) -> int:
    seconds = _integer(value or b"")
    if seconds is None:
        raise InstructError(unread)
    if seconds < 0:
        raise InstructError(negative)
    return seconds


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")

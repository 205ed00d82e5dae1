"""The JSON of an `application/grip-instruct` response (grip-http.md 3)."""

import re
from dataclasses import replace
from typing import Final

from gripproxy.errors import InstructError, PacketError
from gripproxy.protocol import base64text, filters, forwarding, jsontext
from gripproxy.protocol import headers as fields
from gripproxy.protocol.dialects import to_integer
from gripproxy.protocol.gripfields import Given
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.messages import Response
from gripproxy.protocol.phrases import phrase
from gripproxy.protocol.terms import (
    HOLD_SECONDS_MIN,
    KEEP_ALIVE_SECONDS,
    Channel,
    HoldMode,
    KeepAlive,
    KeepAliveMode,
)

_Object = dict[str, Json]


def read(body: bytes, given: Given, reason: bytes) -> tuple[Given, Response]:
    """Return what an instruct's body says, and what it leaves of what its fields say.

    `reason` is the origin's own. The response is what the client gets.

    Raises:
        InstructError: an instruct that cannot be obeyed.
    """
    try:
        root = jsontext.decode(body)
    except PacketError:
        root = None
    if isinstance(root, list):
        raise InstructError("instruct must be an object")
    if not isinstance(root, dict):
        raise InstructError("failed to parse application/grip-instruct content as JSON")
    hold = _object(root, "hold", "instruct")
    if hold is not None:
        given = _with_hold(given, hold)
    said = _object(root, "response", "instruct") or {}
    status, own = given.status or (200, reason or phrase(200))
    return given, _response(said, status, own)


def _with_hold(given: Given, hold: _Object) -> Given:
    mode = _string(hold, "mode", "hold")
    if mode not in (None, "response", "stream"):
        raise InstructError("hold 'mode' must be set to either 'response' or 'stream'")
    channels = hold.get("channels", ())
    if "channels" not in hold:
        raise InstructError("hold does not contain 'channels'")
    if not isinstance(channels, list):
        raise _wrong_type("hold", "channels")
    added = tuple([_json_channel(element) for element in channels])
    timeout = _number(hold, "timeout", "hold", at_least=0)
    keep_alive = _object(hold, "keep-alive", "hold")
    meta = dict(given.meta)
    for key, value in (_object(hold, "meta", "hold") or {}).items():
        if not isinstance(value, str):
            raise _wrong_type("'meta'", key)
        meta[key] = value
    return replace(
        given,
        mode=HoldMode(mode or "response"),
        channels=given.channels + added,
        timeout=given.timeout if timeout is None else max(timeout, HOLD_SECONDS_MIN),
        keep_alive=_json_keep_alive(keep_alive, given.keep_alive),
        meta=meta,
    )


def _json_channel(channel: Json) -> Channel:
    if not isinstance(channel, dict):
        raise InstructError("channel is not an object")
    name = _string(channel, "name", "channel")
    if name is None:
        raise InstructError("channel does not contain 'name'")
    prev_id = _string(channel, "prev-id", "channel")
    names = channel.get("filters", [])
    if not isinstance(names, list):
        raise _wrong_type("channel", "filters")
    known = tuple(element for element in names if isinstance(element, str))
    if len(known) < len(names):
        raise InstructError("filters contains value with wrong type")
    if len(known) > filters.LIMIT:
        raise InstructError(filters.too_many(name))
    return Channel(name, prev_id, known, _string(channel, "resume", "channel") == "sse")


def _json_keep_alive(told: _Object | None, given: KeepAlive | None) -> KeepAlive | None:
    if told is None:
        return given
    owner = "keep-alive"
    encoded = _string(told, "content-bin", owner)
    if encoded is not None:
        data = base64text.decode(encoded)
    else:
        data = (_string(told, "content", owner) or "").encode()
    timeout = _number(told, "timeout", owner, at_least=0)
    # What has no mode acted as `interval` before there was one here.
    default = KeepAliveMode.INTERVAL if given is None else given.mode
    mode = _string(told, "mode", owner) or default.value
    if mode not in ("idle", "interval"):
        raise _invalid(owner, "mode")
    seconds = KEEP_ALIVE_SECONDS if timeout is None else max(timeout, 1)
    return KeepAlive(data, seconds, KeepAliveMode(mode))


def _response(said: _Object, status: int, reason: bytes) -> Response:
    """Return the response that a `response` object describes."""
    owner = "response"
    code = _number(said, "code", owner, at_least=200, at_most=999)
    if code is not None:
        status, reason = code, phrase(code)
    own_reason = (_string(said, "reason", owner) or "").encode()
    if _BREAK.search(own_reason):
        raise _invalid(owner, "reason")
    headers = Headers(_pairs(said["headers"]) if "headers" in said else ())
    encoded = _string(said, "body-bin", owner)
    if encoded is not None:
        body = base64text.decode(encoded)
    else:
        body = (_string(said, "body", owner) or "").encode()
    left = Response(
        status=status,
        reason=own_reason or reason,
        headers=headers.without_marks(fields.CONTENT_LENGTH),
        body=body,
        length=len(body),
    )
    return forwarding.to_client(left)


_BREAK: Final = re.compile(rb"[\r\n\0]")


def _pairs(told: Json) -> list[tuple[bytes, bytes]]:
    if isinstance(told, dict):
        pairs = [(name, _value(name, value)) for name, value in told.items()]
    elif isinstance(told, list):
        pairs = [_pair(element) for element in told]
    else:
        raise _wrong_type("response", "headers")
    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    for name, value in encoded:
        if not fields.is_token(name) or _BREAK.search(value):
            raise _invalid("response", "headers")
    return encoded


def _value(name: str, value: Json) -> str:
    if not isinstance(value, str):
        raise _wrong_type("headers", name)
    return value


def _pair(element: Json) -> tuple[str, str]:
    if not isinstance(element, list):
        raise InstructError("headers contains element with wrong type")
    if len(element) != 2:
        raise InstructError("headers contains list with wrong number of elements")
    name, value = element
    if not isinstance(name, str):
        raise InstructError("header contains name element with wrong type")
    if not isinstance(value, str):
        raise InstructError("header contains value element with wrong type")
    return name, value


def _string(source: _Object, member: str, owner: str) -> str | None:
    if member not in source:
        return None
    value = source[member]
    if not isinstance(value, str):
        raise _wrong_type(owner, member)
    return value


def _object(source: _Object, member: str, owner: str) -> _Object | None:
    if member not in source:
        return None
    value = source[member]
    if not isinstance(value, dict):
        raise _wrong_type(owner, member)
    return value


def _number(
    source: _Object, member: str, owner: str, *, at_least: int, at_most: int = (1 << 31) - 1
) -> int | None:
    if member not in source:
        return None
    number = to_integer(source[member])
    if number is None:
        raise _wrong_type(owner, member)
    if not at_least <= number <= at_most:
        raise _invalid(owner, member)
    return number


def _wrong_type(owner: str, member: str) -> InstructError:
    return InstructError(f"{owner} contains '{member}' with wrong type")


def _invalid(owner: str, member: str) -> InstructError:
    return InstructError(f"{owner} contains '{member}' with invalid value")

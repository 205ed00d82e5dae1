"""The formats of an item: what it says to each kind of holder.

Specification: publishing.md 3. Each reader checks the members in the order of its table there and
stops at the first error. What only delivery can know (which fields of the hold are replaced,
whether anybody listens) is not here.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from gripproxy.errors import ItemError
from gripproxy.protocol import base64text
from gripproxy.protocol.dialects import (
    JSON,
    Dialect,
    invalid_value,
    optional_text,
    to_bytes,
    to_integer,
    to_json,
    to_text,
    to_utf8,
    wrong_type,
)
from gripproxy.protocol.headers import is_token
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.phrases import phrase
from gripproxy.protocol.tnetstring import Data


class Action(Enum):
    """What a format wants of its holders."""

    SEND = "send"  # deliver the content
    HINT = "hint"  # ask the origin again
    CLOSE = "close"  # end the connection
    REFRESH = "refresh"  # over HTTP: send the origin an empty request


class Kind(IntEnum):
    """What a WebSocket message is; the number is the opcode of its frame."""

    TEXT = 1
    BINARY = 2
    PING = 9
    PONG = 10


# hot: not frozen, though nobody changes them: freezing costs 0.2 us a format
# (bench/scenarios.py, ingest-zmq).


@dataclass(slots=True)
class HttpResponse:
    """What answers a response hold. With SEND it has either a body or a patch."""

    action: Action = Action.SEND
    content_filters: tuple[str, ...] | None = None
    code: int = 200
    reason: bytes = b"OK"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    body_patch: tuple[Json, ...] | None = None


@dataclass(slots=True)
class HttpStream:
    """What is written to a stream hold, as it is."""

    action: Action = Action.SEND
    content_filters: tuple[str, ...] | None = None
    content: bytes = b""


@dataclass(slots=True)
class WebSocketMessage:
    """What is sent to a WebSocket. `code` and `reason` are those of a close."""

    action: Action = Action.SEND
    content_filters: tuple[str, ...] | None = None
    kind: Kind = Kind.TEXT
    content: bytes = b""
    code: int = 1000
    reason: str = ""

    @property
    def unsendable(self) -> bool:
        """Whether clients would fail the connection: a text that is not UTF-8 (RFC 6455 8.1)."""
        if self.kind is not Kind.TEXT or self.content.isascii():
            return False
        try:
            self.content.decode()
        except UnicodeDecodeError:
            return True
        return False


_RESPONSE: Final = "'http-response'"
_STREAM: Final = "'http-stream'"
_MESSAGE: Final = "'ws-message'"

_FILTERS: Final = "content-filters"

_ACTIONS: Final = {action.value: action for action in Action}
_KINDS: Final = {kind.name.lower(): kind for kind in Kind}
_SEND: Final = Action.SEND
_TEXT: Final = Kind.TEXT
_BINARY: Final = Kind.BINARY

# No client can read a final response with a lower one.
_CODES: Final = range(200, 1000)
# RFC 6455 7.4: what may stand in a close frame.
_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
# RFC 6455 5.5: the payload of a control frame, of which a close code takes two bytes.
_CONTROL_MAX: Final = 125
_REASON_MAX: Final = 123

# What would end a field line or begin another.
_BREAK: Final = re.compile(rb"[\r\n\0]")


def read_response(value: Data, dialect: Dialect) -> HttpResponse:
    """Return the format `http-response`."""
    source = _object(value, _RESPONSE)
    action = _action(source, dialect, _RESPONSE) if "action" in source else _SEND
    if action is not _SEND:
        return HttpResponse(action)
    code = _code(source, _RESPONSE, _CODES, 200)
    reason = to_utf8(optional_text(source, "reason", dialect, _RESPONSE) or "")
    if _BREAK.search(reason):
        raise invalid_value(_RESPONSE, "reason")
    headers = _headers(source["headers"], dialect) if "headers" in source else ()
    filters = _content_filters(source, dialect, _RESPONSE) if _FILTERS in source else None
    body, patch = _body(source, dialect)
    return HttpResponse(_SEND, filters, code, reason or phrase(code), headers, body, patch)


def read_stream(value: Data, dialect: Dialect) -> HttpStream:
    """Return the format `http-stream`."""
    source = _object(value, _STREAM)
    action = _action(source, dialect, _STREAM) if "action" in source else _SEND
    if action is not _SEND:
        return HttpStream(action)
    filters = _content_filters(source, dialect, _STREAM) if _FILTERS in source else None
    if dialect.has_bins and "content-bin" in source:
        return HttpStream(_SEND, filters, _bin(source, "content-bin", dialect, _STREAM))
    if "content" in source:
        return HttpStream(_SEND, filters, _content(source, "content", dialect, _STREAM))
    names = "'content' or 'content-bin'" if dialect.has_bins else "'content'"
    raise ItemError(f"{_STREAM} does not contain {names}")


def read_message(value: Data, dialect: Dialect) -> WebSocketMessage:
    """Return the format `ws-message`."""
    source = _object(value, _MESSAGE)
    action = _action(source, dialect, _MESSAGE) if "action" in source else _SEND
    if action is Action.CLOSE:
        return _close(source, dialect)
    if action is not _SEND:
        return WebSocketMessage(action)
    kind = _kind(source, dialect) if "type" in source else None
    filters = _content_filters(source, dialect, _MESSAGE) if _FILTERS in source else None
    if "content-bin" in source or "content" in source:
        content, usual = _message_content(source, dialect)
        kind = kind or usual
    elif kind in {Kind.PING, Kind.PONG}:
        content = b""
    else:
        raise ItemError(f"{_MESSAGE} does not contain 'content' or 'content-bin'")
    if kind >= Kind.PING and len(content) > _CONTROL_MAX:
        raise invalid_value(_MESSAGE, "content")
    return WebSocketMessage(_SEND, filters, kind, content)


def _message_content(source: Mapping[str, Data], dialect: Dialect) -> tuple[bytes, Kind]:
    """Return the content and the kind that it is of when nothing says so."""
    if "content-bin" in source:
        return _bin(source, "content-bin", dialect, _MESSAGE), _BINARY
    content = _content(source, "content", dialect, _MESSAGE)
    if dialect.bytes_are_binary and isinstance(source["content"], bytes):
        return content, _BINARY
    return content, _TEXT


def _close(source: Mapping[str, Data], dialect: Dialect) -> WebSocketMessage:
    code = _code(source, _MESSAGE, _CLOSE_CODES, 1000)
    reason = optional_text(source, "reason", dialect, _MESSAGE) or ""
    # A character that would not fit whole is left out.
    cut = reason.encode()[:_REASON_MAX].decode("utf-8", "ignore")
    return WebSocketMessage(Action.CLOSE, code=code, reason=cut)


# Members


def _object(value: Data, owner: str) -> dict[str, Data]:
    if not isinstance(value, dict):
        raise ItemError(f"{owner} is not an object")
    return value


def _action(source: Mapping[str, Data], dialect: Dialect, owner: str) -> Action:
    given = optional_text(source, "action", dialect, owner)
    if given is None:
        return _SEND
    try:
        return _ACTIONS[given]
    except KeyError:
        raise ItemError(f"{owner} contains 'action' with unknown value") from None


def _kind(source: Mapping[str, Data], dialect: Dialect) -> Kind | None:
    given = optional_text(source, "type", dialect, _MESSAGE)
    if given is None:
        return None
    try:
        return _KINDS[given]
    except KeyError:
        raise ItemError(f"{_MESSAGE} contains 'type' with unknown value") from None


def _code(source: Mapping[str, Data], owner: str, allowed: Container[int], default: int) -> int:
    if "code" not in source:
        return default
    code = to_integer(source["code"])
    if code is None:
        raise wrong_type(owner, "code")
    if code not in allowed:
        raise invalid_value(owner, "code")
    return code


def _content_filters(source: Mapping[str, Data], dialect: Dialect, owner: str) -> tuple[str, ...]:
    value = source[_FILTERS]
    if not isinstance(value, list):
        raise wrong_type(owner, _FILTERS)
    names = []
    for element in value:
        if not isinstance(element, dialect.strings):
            raise ItemError("content-filters contains element with wrong type")
        names.append(to_text(element))
    return tuple(names)


def _content(source: Mapping[str, Data], member: str, dialect: Dialect, owner: str) -> bytes:
    value = source[member]
    if not isinstance(value, dialect.strings):
        raise wrong_type(owner, member)
    return to_bytes(value)


def _bin(source: Mapping[str, Data], member: str, dialect: Dialect, owner: str) -> bytes:
    value = source[member]
    if not isinstance(value, dialect.strings):
        raise wrong_type(owner, member)
    return base64text.decode(value) if isinstance(value, str) else value


def _body(
    source: Mapping[str, Data], dialect: Dialect
) -> tuple[bytes | None, tuple[Json, ...] | None]:
    """Return the body or the patch, whichever comes first in the order of the table."""
    if dialect.has_bins and "body-bin" in source:
        return _bin(source, "body-bin", dialect, _RESPONSE), None
    if "body" in source:
        return _content(source, "body", dialect, _RESPONSE), None
    if "body-patch" in source:
        return None, _body_patch(source["body-patch"], dialect)
    names = "'body', 'body-bin', or 'body-patch'" if dialect.has_bins else "'body' or 'body-patch'"
    raise ItemError(f"{_RESPONSE} does not contain {names}")


def _body_patch(value: Data, dialect: Dialect) -> tuple[Json, ...]:
    if value is None and dialect.null_is_absent:
        return ()
    if not isinstance(value, list):
        raise wrong_type(_RESPONSE, "body-patch")
    if dialect is JSON:
        # Not walked: it is JSON already, and may be nested more deeply than Python's stack.
        return tuple(value)
    try:
        return tuple([to_json(operation) for operation in value])
    except ValueError:
        raise invalid_value(_RESPONSE, "body-patch") from None


Pair = tuple[bytes, bytes]


def _headers(value: Data, dialect: Dialect) -> tuple[Pair, ...]:
    if isinstance(value, list):
        pairs = [_pair_of_list(element, dialect) for element in value]
    elif isinstance(value, dict):
        fields = sorted(value.items()) if dialect.sorts_headers else value.items()
        pairs = [_pair_of_object(name, element, dialect) for name, element in fields]
    else:
        raise wrong_type(_RESPONSE, "headers")
    for name, text in pairs:
        if not is_token(name) or _BREAK.search(text):
            raise invalid_value(_RESPONSE, "headers")
    return tuple(pairs)


def _pair_of_list(element: Data, dialect: Dialect) -> Pair:
    if not isinstance(element, list):
        raise ItemError("headers contains element with wrong type")
    if len(element) != 2:
        raise ItemError("headers contains list with wrong number of elements")
    name, value = element
    if not isinstance(name, dialect.strings):
        raise ItemError("header contains name element with wrong type")
    if not isinstance(value, dialect.strings):
        raise ItemError("header contains value element with wrong type")
    return to_utf8(name), to_utf8(value)


def _pair_of_object(name: str, value: Data, dialect: Dialect) -> Pair:
    if not isinstance(value, dialect.strings):
        raise ItemError(f"headers contains '{name}' with wrong type")
    return name.encode(), to_utf8(value)


# The way back


def response_to_json(response: HttpResponse) -> Json:
    """Return the member `http-response` that reads as this one."""
    if response.action is not _SEND:
        return {"action": response.action.value}
    found: dict[str, Json] = {
        "code": response.code,
        "reason": response.reason.decode(),
        "headers": [[name.decode(), value.decode()] for name, value in response.headers],
        **_filters_to_json(response.content_filters),
    }
    if response.body_patch is not None:
        found["body-patch"] = list(response.body_patch)
    else:
        found.update(_content_to_json("body", response.body or b""))
    return found


def stream_to_json(stream: HttpStream) -> Json:
    """Return the member `http-stream` that reads as this one."""
    if stream.action is not _SEND:
        return {"action": stream.action.value}
    return {
        **_filters_to_json(stream.content_filters),
        **_content_to_json("content", stream.content),
    }


def message_to_json(message: WebSocketMessage) -> Json:
    """Return the member `ws-message` that reads as this one."""
    if message.action is Action.CLOSE:
        return {"action": "close", "code": message.code, "reason": message.reason}
    if message.action is not _SEND:
        return {"action": message.action.value}
    return {
        "type": message.kind.name.lower(),
        **_filters_to_json(message.content_filters),
        **_content_to_json("content", message.content),
    }


def _filters_to_json(names: tuple[str, ...] | None) -> dict[str, Json]:
    return {} if names is None else {_FILTERS: list(names)}


def _content_to_json(member: str, content: bytes) -> dict[str, Json]:
    try:
        return {member: content.decode()}
    except UnicodeDecodeError:
        return {f"{member}-bin": base64text.encode(content)}

"""What travels to and from publishers: item messages, batches, commands and their replies.

Specification: publishing.md 4.3 (type byte), 5, 6 (commands), 11.3 (batches), 14.1 (msgpack).
Texts of errors are whole: an edge writes them into its log line or its answer as they are, the
text of an `ItemError` after `Invalid format: ` or `received message with invalid format: `.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgpack

from gripproxy.errors import CommandPacketError, PacketError
from gripproxy.protocol import dialects, items, jsontext, tnetstring
from gripproxy.protocol.dialects import Dialect
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.tnetstring import Data

# Item messages


def decode_item(message: bytes, *, topic: bytes | None = None) -> PublishItem:
    """Return the item of a ZeroMQ message; a topic that is not empty is its channel.

    Raises:
        PacketError: the message does not decode.
        ItemError: it does, but not to a valid item.
    """
    channel = topic.decode("utf-8", "replace") if topic else None
    read, dialect = _MESSAGES.get(message[:1], _BARE)
    try:
        value = read(message)
    except PacketError as error:
        raise _unreadable(error.text) from None
    item = items.read(value, dialect, channel)
    item.message = message
    return item


def encode_item(item: PublishItem) -> bytes:
    """Return a message that decodes to this item: the one that it came in, if there is one.

    With the item's channel as topic it does so also for messages that came with a topic.
    """
    if item.message is not None:
        return item.message
    return b"J" + jsontext.encode(items.to_json(item))


def _unreadable(text: str) -> PacketError:
    return PacketError(f"received message with invalid format ({text})")


def _json_message(message: bytes) -> Data:
    value = jsontext.decode(message[1:])
    if isinstance(value, list):
        raise PacketError("not a valid json object")
    if not isinstance(value, dict):
        raise PacketError("json parse failed")
    return value


def _tnetstring_message(message: bytes) -> Data:
    return tnetstring.decode(message, 1)


def _msgpack_message(message: bytes) -> Data:
    value = _unpack(message[1:])
    if not isinstance(value, dict):
        raise PacketError("not a valid msgpack map")
    return value


_MESSAGES: Final[dict[bytes, tuple[Callable[[bytes], Data], Dialect]]] = {
    b"J": (_json_message, dialects.JSON),
    b"T": (_tnetstring_message, dialects.TNETSTRING),
    b"M": (_msgpack_message, dialects.MSGPACK),
}
_BARE: Final = (tnetstring.decode, dialects.TNETSTRING)


# Batches

_MSGPACK_TYPES: Final = frozenset(
    {b"application/msgpack", b"application/x-msgpack", b"application/vnd.msgpack"}
)


def decode_batch(body: bytes, content_type: bytes | None) -> tuple[PublishItem, ...]:
    """Return the items of the body of `POST /publish`.

    Raises:
        PacketError: the body does not decode to an object; the text is the whole answer.
        ItemError: it does, but not to a list of valid items.
    """
    media_type = (content_type or b"").partition(b";")[0].strip(b" \t").lower()
    if media_type in _MSGPACK_TYPES:
        return _batch(body, _unpack, dialects.MSGPACK, "Body is not valid msgpack.")
    return _batch(body, _json_body, dialects.JSON, "Body is not valid JSON.")


def _batch(
    body: bytes, read: Callable[[bytes], Data], dialect: Dialect, failure: str
) -> tuple[PublishItem, ...]:
    try:
        value = read(body)
    except PacketError:
        raise PacketError(failure) from None
    if not isinstance(value, dict):
        raise PacketError("Invalid format.")
    return items.read_list(value, dialect)


def _json_body(body: bytes) -> Data:
    """Return an object or a list; a scalar counts as no JSON at all."""
    value = jsontext.decode(body)
    if not isinstance(value, dict | list):
        raise PacketError("json parse failed")
    return value


# Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """A command: its id, if it has one, is to be given back in the reply."""

    id: bytes | None
    method: str
    args: Mapping[str, Data] = field(default_factory=dict)


def decode_command(message: bytes) -> CommandRequest:
    """Return the command of a request to the command socket.

    Raises:
        CommandPacketError: not a command; has the id to reply to, if it could be read.
    """
    try:
        value = tnetstring.decode(message)
    except PacketError as error:
        raise CommandPacketError(_unreadable(error.text).text) from None
    if not isinstance(value, dict):
        raise CommandPacketError(_unreadable("parse failed").text)
    given = value.get("id")
    request_id = given if isinstance(given, bytes) else None
    method = value.get("method")
    args = value.get("args", {})
    is_readable = request_id is not None or "id" not in value
    if not is_readable or not isinstance(method, bytes) or not isinstance(args, dict):
        raise CommandPacketError(_unreadable("parse failed").text, request_id)
    return CommandRequest(id=request_id, method=dialects.to_text(method), args=args)


def encode_reply(request_id: bytes | None, value: Data = None) -> bytes:
    """Return the reply to a command that was done."""
    return _reply(request_id, {"success": True, "value": value})


def encode_failure(request_id: bytes | None, condition: str, value: Data = None) -> bytes:
    """Return the reply to a command that was not done; `value` is sent unless it is None."""
    reply: dict[str, Data] = {"success": False, "condition": condition}
    if value is not None:
        reply["value"] = value
    return _reply(request_id, reply)


def _reply(request_id: bytes | None, reply: dict[str, Data]) -> bytes:
    if request_id is not None:
        reply["id"] = request_id
    return tnetstring.encode(reply)


# Msgpack

_DEPTH_MAX: Final = 64

# The library makes room for as many elements as an array announces, at each of its 1024 levels.
_ARRAY_MAX: Final = 1 << 17

_TEXT_ONLY: Final[frozenset[type]] = frozenset({str})
_SCALARS: Final[frozenset[type]] = frozenset({type(None), bool, int, float, str, bytes})


def _unpack(packed: bytes) -> Data:
    try:
        value: Data = msgpack.unpackb(packed, max_array_len=min(len(packed), _ARRAY_MAX))
    except (ValueError, msgpack.UnpackException):
        raise PacketError("msgpack parse failed") from None
    _settle([value], _DEPTH_MAX + 1)
    return value


def _settle(container: list[Data] | dict[str, Data], depth: int) -> None:
    """Make keys text that are bytes; refuse what is nested too deeply and extension types."""
    if not depth:
        raise PacketError("msgpack parse failed")
    elements: Collection[Data] = container
    if isinstance(container, dict):
        if not _TEXT_ONLY.issuperset(map(type, container)):
            _name(container)
        elements = container.values()
    if _SCALARS.issuperset(map(type, elements)):
        return
    for element in elements:
        if isinstance(element, (dict, list)):
            _settle(element, depth - 1)
        elif type(element) not in _SCALARS:
            raise PacketError("msgpack parse failed")


def _name(unpacked: dict[str, Data]) -> None:
    pairs = [(dialects.to_text(key), element) for key, element in unpacked.items()]
    unpacked.clear()
    unpacked.update(pairs)

"""Published items: from the data of any encoding to values, checked on the way.

Specification: publishing.md 2. Members are checked in the order of the table there, and the first
error ends it; the formats are in `formats`, what differs between encodings in `dialects`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gripproxy.errors import ItemError
from gripproxy.protocol import formats, purges
from gripproxy.protocol.dialects import (
    Dialect,
    invalid_value,
    optional_text,
    to_integer,
    to_text,
    wrong_type,
)
from gripproxy.protocol.formats import HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.tnetstring import Data

_ITEM: Final = "publish item object"

_FORMATS: Final = ("http-response", "http-stream", "ws-message")

_SIZE_MAX: Final = (1 << 31) - 1


# hot: not frozen, though nobody changes one once it is read: freezing costs 0.7 us an item
# (bench/scenarios.py, ingest-zmq).
@dataclass(slots=True)
class PublishItem:
    """One publish.

    `channel` is empty if the item has none, which only one that does nothing but purge may.
    `size` is what the publisher says, None for the size of each body. `message` is the packet
    that it came in, if it came in one of its own.
    """

    channel: str
    id: str | None = None
    prev_id: str | None = None
    http_response: HttpResponse | None = None
    http_stream: HttpStream | None = None
    ws_message: WebSocketMessage | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    no_seq: bool = False
    purge: Purge | None = None
    unknown_formats: tuple[str, ...] = ()
    message: bytes | None = field(default=None, compare=False, repr=False)


def read(value: Data, dialect: Dialect, channel: str | None = None) -> PublishItem:
    """Return an item; a channel that is given replaces the one in it.

    Raises:
        ItemError: not a valid item; says why in the words of the specification.
    """
    if not isinstance(value, dict):
        raise ItemError(f"{_ITEM} is not an object")
    if channel is None:
        channel = _channel(value, dialect)
    item_id = optional_text(value, "id", dialect, _ITEM)
    prev_id = optional_text(value, "prev-id", dialect, _ITEM)
    given = _formats(value, dialect)
    response = stream = message = None
    unknown: tuple[str, ...] = ()
    if "http-response" in given:
        response = formats.read_response(given["http-response"], dialect)
    if "http-stream" in given:
        stream = formats.read_stream(given["http-stream"], dialect)
    if "ws-message" in given:
        message = formats.read_message(given["ws-message"], dialect)
    if len(given) != (response is not None) + (stream is not None) + (message is not None):
        unknown = tuple([name for name in given if name not in _FORMATS])
    return PublishItem(
        channel,
        item_id,
        prev_id,
        response,
        stream,
        message,
        _meta(value["meta"], dialect) if "meta" in value else {},
        _size(value["size"]) if "size" in value else None,
        _no_seq(value["no-seq"]) if "no-seq" in value else False,
        purges.read(value["purge"], dialect) if "purge" in value else None,
        unknown,
    )


def read_list(value: Mapping[str, Data], dialect: Dialect) -> tuple[PublishItem, ...]:
    """Return the items of an object that has a member `items`.

    Raises:
        ItemError: no list of items, or the first of them that is not valid.
    """
    if "items" not in value:
        raise ItemError("object does not contain 'items'")
    elements = value["items"]
    if not isinstance(elements, list):
        raise ItemError("object contains 'items' with wrong type")
    return tuple([read(element, dialect) for element in elements])


def to_json(item: PublishItem) -> dict[str, Json]:
    """Return the object that reads as this item."""
    found: dict[str, Json] = {"channel": item.channel, "meta": dict(item.meta)}
    given: dict[str, Json] = dict.fromkeys(item.unknown_formats)
    if item.id is not None:
        found["id"] = item.id
    if item.prev_id is not None:
        found["prev-id"] = item.prev_id
    if item.http_response:
        given["http-response"] = formats.response_to_json(item.http_response)
    if item.http_stream:
        given["http-stream"] = formats.stream_to_json(item.http_stream)
    if item.ws_message:
        given["ws-message"] = formats.message_to_json(item.ws_message)
    if item.size is not None:
        found["size"] = item.size
    if item.purge:
        found["purge"] = purges.to_json(item.purge)
    return {**found, "formats": given, "no-seq": item.no_seq}


# Members


def _channel(value: Mapping[str, Data], dialect: Dialect) -> str:
    if "channel" in value:
        channel = value["channel"]
        if not isinstance(channel, dialect.strings):
            raise wrong_type(_ITEM, "channel")
        return to_text(channel)
    if "purge" in value and not _given_formats(value, dialect):
        return ""
    raise ItemError(f"{_ITEM} does not contain 'channel'")


def _formats(value: Mapping[str, Data], dialect: Dialect) -> dict[str, Data]:
    given = _given_formats(value, dialect)
    if not isinstance(given, dict):
        raise wrong_type(_ITEM, "formats")
    if not given and "purge" not in value:
        raise ItemError("no formats specified")
    return given


def _given_formats(value: Mapping[str, Data], dialect: Dialect) -> Data:
    """Return the member `formats`; without it, the formats that stand in the item itself."""
    if "formats" in value:
        given = value["formats"]
        if given is not None or not dialect.null_is_absent:
            return given
    return {name: value[name] for name in _FORMATS if name in value}


def _meta(value: Data, dialect: Dialect) -> dict[str, str]:
    if value is None and dialect.null_is_absent:
        return {}
    if not isinstance(value, dict):
        raise wrong_type(_ITEM, "meta")
    meta = {}
    for key, element in value.items():
        if not isinstance(element, dialect.strings):
            raise wrong_type("'meta'", key)
        meta[key] = to_text(element)
    return meta


def _size(value: Data) -> int:
    size = to_integer(value)
    if size is None:
        raise wrong_type(_ITEM, "size")
    if not 0 <= size <= _SIZE_MAX:
        raise invalid_value(_ITEM, "size")
    return size


def _no_seq(value: Data) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(_ITEM, "no-seq")
    return value

"""Statistics packets: what the PUB socket says, and how it is written.

Specification: stats.md 1, 2, 5 and 6. A packet is one frame, `TYPE SP FORMAT DATA`; its data is
one map, in which a flag that is not set and a value that is not known are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gripproxy.protocol import jsontext, tnetstring
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.tnetstring import Data

Value = str | int | None


class Kind(Enum):
    """Types of packets. `conn-max` is not among them: it is never sent (stats.md 5.6)."""

    ACTIVITY = "activity"
    COUNTS = "counts"
    MESSAGE = "message"
    CONNECTION = "conn"
    SUBSCRIPTION = "sub"
    REPORT = "report"

    @property
    def topic(self) -> bytes:
        """What its packets begin with, and subscribers subscribe to: `conn` would be more."""
        return b"%b " % self.value.encode()


class Format(Enum):
    """How the data is written: `stats_format`."""

    TNETSTRING = b"T"
    JSON = b"J"


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet, without the name of its sender. Values that are None or False do not go out."""

    kind: Kind
    fields: Mapping[str, Value]


# Constructors


def activity(route: str | None, count: int) -> Packet:
    """Return: so much happened on a route."""
    return Packet(Kind.ACTIVITY, {"route": route, "count": count})


def counts(requests_received: int) -> Packet:
    """Return: so many requests came."""
    return Packet(Kind.COUNTS, {"requests-received": requests_received})


def message(
    channel: str, item_id: str | None, transport: str, *, count: int, blocks: int | None
) -> Packet:
    """Return: an item went to so many subscribers."""
    fields = {
        "channel": channel,
        "item-id": item_id,
        "transport": transport,
        "count": count,
        "blocks": blocks,
    }
    return Packet(Kind.MESSAGE, fields)


def connection(
    cid: str, route: str | None, transport: str, *, peer: str, ssl: bool, ttl: int
) -> Packet:
    """Return: a connection is there; `ttl` in seconds."""
    fields: dict[str, Value] = {
        "id": cid,
        "route": route,
        "type": transport,
        "peer-address": peer or None,
        "ssl": ssl,
        "ttl": ttl,
    }
    return Packet(Kind.CONNECTION, fields)


def connection_gone(cid: str, route: str | None) -> Packet:
    """Return: a connection is gone."""
    return Packet(Kind.CONNECTION, {"id": cid, "route": route, "unavailable": True})


def subscription(mode: str, channel: str, *, subscribers: int, ttl: int) -> Packet:
    """Return: a channel has subscribers of a mode; `ttl` in seconds."""
    fields: dict[str, Value] = {"mode": mode, "channel": channel, "ttl": ttl}
    fields["subscribers"] = subscribers
    return Packet(Kind.SUBSCRIPTION, fields)


def subscription_gone(mode: str, channel: str) -> Packet:
    """Return: a channel has no subscribers of a mode any more."""
    return Packet(Kind.SUBSCRIPTION, {"mode": mode, "channel": channel, "unavailable": True})


def report(route: str | None, values: Mapping[str, int | None]) -> Packet:
    """Return the sums of an interval; the names of `values` have underscores for hyphens."""
    fields: dict[str, Value] = {"route": route}
    fields.update((name.replace("_", "-"), value) for name, value in values.items())
    return Packet(Kind.REPORT, fields)


# Bytes


def encode(packet: Packet, sender: str, form: Format) -> bytes:
    """Return a packet as the one frame that it is sent in."""
    given = {"from": sender, **packet.fields}
    sent = {
        name: value for name, value in given.items() if value is not None and value is not False
    }
    return packet.kind.topic + form.value + _WRITERS[form](sent)


def _tnetstring(fields: Mapping[str, str | int]) -> bytes:
    data: dict[str, Data] = {
        name: _bytes(value) if isinstance(value, str) else value for name, value in fields.items()
    }
    return tnetstring.encode(data)


def _json(fields: Mapping[str, str | int]) -> bytes:
    data: dict[str, Json] = {
        name: _bytes(value).decode("utf-8", "replace") if isinstance(value, str) else value
        for name, value in fields.items()
    }
    return jsontext.encode(data, sort_keys=True)


def _bytes(text: str) -> bytes:
    """Return a name as it came; bytes that were no UTF-8 are surrogates in it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


_WRITERS: Final = {Format.TNETSTRING: _tnetstring, Format.JSON: _json}

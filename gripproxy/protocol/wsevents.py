"""WebSocket-over-HTTP: events and bodies, and the rules of one exchange.

Specification: websockets.md 4.1, 4.2 and 4.4 to 4.7. A body is a row of events; what an origin
says beside it is in the fields of its response. Header fields are (name, value) pairs.

Left out: when a request is sent (4.3), retries (4.8) and the order of closing (4.9), which are
the story of a connection.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from gripproxy.errors import EventsError, FrameError
from gripproxy.protocol import wsframes

MEDIA_TYPE = b"application/websocket-events"

# Shorter intervals are raised to this many seconds, as origins know it from Pushpin.
KEEP_ALIVE_MIN = 20

# What an origin can make every request carry. Real ones use a handful.
META_MAX = 100

Pair = tuple[bytes, bytes]


class Kind(bytes, Enum):
    """The events that mean something, each the name that it has on the wire."""

    OPEN = b"OPEN"
    TEXT = b"TEXT"
    BINARY = b"BINARY"
    PING = b"PING"
    PONG = b"PONG"
    CLOSE = b"CLOSE"
    DISCONNECT = b"DISCONNECT"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `content` is None if the event came without a size."""

    kind: Kind
    content: bytes | None = None


# Which event stands for which frame.
KINDS: Mapping[int, Kind] = {
    wsframes.TEXT: Kind.TEXT,
    wsframes.BINARY: Kind.BINARY,
    wsframes.PING: Kind.PING,
    wsframes.PONG: Kind.PONG,
    wsframes.CLOSE: Kind.CLOSE,
}
OPCODES: Mapping[Kind, int] = {kind: opcode for opcode, kind in KINDS.items()}


# Events and bodies (4.2)

_NAMES: Mapping[bytes, Kind] = {kind.value: kind for kind in Kind}

_LINE = re.compile(rb"([!-~]+)(?: ([0-9A-Fa-f]+))?\r\n")


def encode(events: Iterable[Event]) -> bytes:
    """Return events as a body; what has no content has no size."""
    return b"".join(
        [
            b"%b %x\r\n%b\r\n" % (event.kind, len(event.content), event.content)
            if event.content
            else b"%b\r\n" % event.kind
            for event in events
        ]
    )


def decode(body: bytes) -> Iterator[Event]:
    """Give the events of an origin's body one by one, up to the first that ends the connection.

    Whoever acts on each before asking for the next has acted on all that came before an error.

    Raises:
        EventsError: malformed, text that is not UTF-8, a close or ping that no frame can carry.
    """
    at = 0
    while at < len(body):
        line = _LINE.match(body, at)
        if line is None:
            raise EventsError("malformed event line")
        at = line.end()
        content: bytes | None = None
        if line[2] is not None:
            content, at = _content(body, at, int(line[2], 16))
        kind = _NAMES.get(line[1])
        if kind is None:
            continue
        _check(kind, content)
        yield Event(kind, content)
        if kind in (Kind.CLOSE, Kind.DISCONNECT):
            return


def _content(body: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Return an event's content and where the next event begins."""
    stop = at + size
    content = body[at:stop]
    if len(content) < size:
        raise EventsError("event content is cut short")
    # The last line end may lack; anything else in its place is a wrong size.
    if body[stop : stop + 2] not in (b"\r\n", b""):
        raise EventsError("no line end behind event content")
    return content, stop + 2


def _check(kind: Kind, content: bytes | None) -> None:
    if not content:
        return
    if kind is Kind.TEXT:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise EventsError("TEXT event is not UTF-8") from error
    elif kind is Kind.CLOSE:
        read_close(content)
    elif kind in (Kind.PING, Kind.PONG) and len(content) > wsframes.CONTROL_MAX:
        raise EventsError(f"{kind.name} event over {wsframes.CONTROL_MAX} bytes")


def read_close(content: bytes | None) -> tuple[int | None, str]:
    """Return code and reason of a `CLOSE` event; no code if there is none, or if it is 0.

    Raises:
        EventsError: a code that no close frame may have, a reason that is not UTF-8.
    """
    if content is None or len(content) < 2:
        return None, ""
    try:
        # Libraries write 0 for "none".
        if content[:2] == b"\0\0":
            return None, content[2:].decode()
        return wsframes.read_close(content)
    except FrameError as error:
        raise EventsError(f"CLOSE event: {error.text}") from error
    except UnicodeDecodeError as error:
        raise EventsError("CLOSE event: close reason is not UTF-8") from error


# Fields of a request (4.1)

_OURS = frozenset(
    (
        b"upgrade",
        b"accept",
        b"connection-id",
        b"content-length",
        b"content-type",
        b"content-bytes-replayed",
    )
)


def is_repeated(name: bytes) -> bool:
    """Tell whether every request repeats a field of the client's handshake.

    A client must not be able to say what the proxy says, not even to an origin behind a gateway
    interface that takes `_` for `-`.
    """
    lower = name.lower().replace(b"_", b"-")
    return lower not in _OURS and not lower.startswith(b"meta-")


def exchange_fields(connection_id: bytes, meta: Sequence[Pair], *, replayed: int) -> list[Pair]:
    """Return what a request has beside those and its length."""
    fields = [
        (b"Accept", MEDIA_TYPE),
        (b"Connection-Id", connection_id),
        (b"Content-Type", MEDIA_TYPE),
    ]
    if replayed:
        fields.append((b"Content-Bytes-Replayed", b"%d" % replayed))
    fields.extend([(b"Meta-" + name, value) for name, value in meta])
    return fields


# Fields of a response (4.4 to 4.7)

_INTEGER = re.compile(rb"[ \t]*([+-]?)0*([0-9]{1,10})[ \t]*")


def is_events(content_type: bytes | None) -> bool:
    """Tell whether a `Content-Type` is that of events, whatever its case and parameters."""
    if content_type is None:
        return False
    return content_type.partition(b";")[0].strip(b" \t").lower() == MEDIA_TYPE


def keep_alive_interval(fields: Iterable[Pair], current: int | None) -> int | None:
    """Return the interval in seconds that holds from this response on; None is off."""
    value = _first(fields, b"keep-alive-interval")
    if value is None:
        return current
    seconds = _integer(value)
    return max(seconds, KEEP_ALIVE_MIN) if seconds is not None and seconds > 0 else None


def accepted_bytes(fields: Iterable[Pair]) -> int | None:
    """Return how many content bytes the origin has taken; None stands for all."""
    value = _first(fields, b"content-bytes-accepted")
    accepted = None if value is None else _integer(value)
    return accepted if accepted is not None and accepted >= 0 else None


def updated_meta(meta: Sequence[Pair], fields: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return the meta with what a response sets and removes (`Set-Meta-NAME`).

    Raises:
        EventsError: more values than anyone can mean.
    """
    kept = list(meta)
    for field, value in fields:
        if field[:9].lower() == b"set-meta-" and len(field) > 9:
            name = field[9:]
            kept = [pair for pair in kept if pair[0].lower() != name.lower()]
            if value:
                kept.append((name, value))
    if len(kept) > META_MAX:
        raise EventsError(f"more than {META_MAX} meta values")
    return tuple(kept)


def _first(fields: Iterable[Pair], lower: bytes) -> bytes | None:
    return next((value for name, value in fields if name.lower() == lower), None)


def _integer(value: bytes) -> int | None:
    """Read a decimal number of 32 bits, as Pushpin does."""
    found = _INTEGER.fullmatch(value)
    if found is None:
        return None
    number = int(found[1] + found[2])
    return number if number < 1 << 31 else None


# What an origin has taken of what it was offered (4.5)


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is to be offered again; the first `replayed` bytes of content have been before."""

    events: tuple[Event, ...] = ()
    replayed: int = 0


def remainder(offered: Sequence[Event], accepted: int | None, *, all_queued: bool) -> Remainder:
    """Return what is left of the events of a request after `accepted` bytes of their content.

    `all_queued` says that nothing else was waiting when the request was sent.

    Raises:
        EventsError: more than was offered, only a part of the close, or no progress.
    """
    if accepted is None:
        return Remainder()
    total = content_size(offered)
    closing = content_size([event for event in offered if event.kind is Kind.CLOSE])
    if accepted > total:
        raise EventsError("origin accepted more than it was offered")
    if total - closing <= accepted < total:
        raise EventsError("origin accepted all but the close")
    if total and not accepted and not all_queued:
        raise EventsError("origin accepted nothing although more waits")
    # The close counts as not sent, so none of its bytes are replayed.
    return Remainder(_unaccepted(offered, accepted), max(0, total - closing - accepted))


def content_size(events: Iterable[Event]) -> int:
    """Return how many bytes of content events have together."""
    return sum(len(event.content or b"") for event in events)


def _unaccepted(offered: Sequence[Event], accepted: int) -> tuple[Event, ...]:
    """Drop events as far as `accepted` bytes go; the one where they end loses its start."""
    for index, event in enumerate(offered):
        content = event.content or b""
        if len(content) > accepted:
            return (Event(event.kind, content[accepted:]), *offered[index + 1 :])
        accepted -= len(content)
    return ()

"""Control messages: what an origin tells the proxy inside a WebSocket.

Specification: websockets.md 3.3 (which messages they are) and 5 (what they say). A control message
is a text message of `c:` and a JSON object; it is understood as a whole or ignored as a whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from gripproxy.errors import ControlError, PacketError
from gripproxy.protocol import base64text, dialects, jsontext, wsframes
from gripproxy.protocol.jsontext import Json

MARK = b"c:"

# The most bytes behind the mark. Pushpin takes 16,384 with it, and not split over frames.
CONTROL_MAX = 65_536

# Seconds, where none (or 0, or no number) is given.
KEEP_ALIVE_TIMEOUT = 55
DELAY_TIMEOUT = 1

# Which of the origin's messages are what (3.3)


class Verdict(Enum):
    """What becomes of a message of an origin that speaks GRIP."""

    CONTROL = "control"  # cut off the mark, read the rest, send nothing
    PREFIXED = "prefixed"  # cut off the prefix, send the rest
    DROPPED = "dropped"
    UNDECIDED = "undecided"  # more of the message must be there first


def judge(opcode: int, start: bytes, prefix: bytes, *, whole: bool) -> Verdict:
    """Judge a data message by its first bytes; with `whole` they are all there are.

    As many bytes as mark and prefix are long always suffice. Pings, pongs and closes have no
    prefix and are not judged.
    """
    if opcode == wsframes.TEXT:
        if start.startswith(MARK):
            return Verdict.CONTROL
        if not whole and MARK.startswith(start):
            return Verdict.UNDECIDED
    if start.startswith(prefix):
        return Verdict.PREFIXED
    if not whole and prefix.startswith(start):
        return Verdict.UNDECIDED
    return Verdict.DROPPED


# What control messages say (5)


class Mode(Enum):
    """When a keep-alive goes out."""

    IDLE = "idle"  # when nothing has gone to the client for the timeout
    INTERVAL = "interval"  # every timeout, whatever happens


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to a channel (named without the route's prefix), or replace its filters."""

    channel: str
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Unsubscribe from a channel (named without the route's prefix)."""

    channel: str


@dataclass(frozen=True, slots=True)
class Detach:
    """End the origin's side and go on with the client's."""


@dataclass(frozen=True, slots=True)
class Session:
    """Keep an id on the connection; None removes it."""

    session_id: str | None


@dataclass(frozen=True, slots=True)
class SetMeta:
    """Set a value for filters; None removes it."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """Send a message to the client now and then; without content: no longer."""

    opcode: int
    content: bytes | None
    timeout: int
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDelayed:
    """Send a message to the client after `timeout` seconds, or when told to."""

    opcode: int
    content: bytes
    timeout: int


@dataclass(frozen=True, slots=True)
class FlushDelayed:
    """Send the message that waits now."""


Control = (
    Subscribe | Unsubscribe | Detach | Session | SetMeta | KeepAlive | SendDelayed | FlushDelayed
)

Members = Mapping[str, Json]


def read(text: bytes) -> Control:
    """Read a control message from behind its mark.

    Raises:
        ControlError: with a text for the debug log; the message is to be ignored.
    """
    if len(text) > CONTROL_MAX:
        raise ControlError(f"control message over {CONTROL_MAX} bytes")
    try:
        members = jsontext.decode(text)
    except PacketError as error:
        raise ControlError("control message is not JSON") from error
    if not isinstance(members, dict):
        raise ControlError("control message is not an object")
    name = _text(members, "type")
    reader = _READERS.get(name)
    if reader is None:
        raise ControlError(f"control message has unknown type {name[:40]!r}")
    return reader(members)


# One reader for each type


def _subscribe(members: Members) -> Subscribe:
    channel = _some_text(members, "channel")
    filters = members.get("filters", [])
    if not isinstance(filters, list):
        raise _ill_typed("filters")
    names = tuple(name for name in filters if isinstance(name, str))
    if len(names) < len(filters):
        raise _ill_typed("filters")
    return Subscribe(channel, names)


def _unsubscribe(members: Members) -> Unsubscribe:
    return Unsubscribe(_some_text(members, "channel"))


def _detach(_members: Members) -> Detach:
    return Detach()


def _session(members: Members) -> Session:
    return Session(_text(members, "id", "") or None)


def _set_meta(members: Members) -> SetMeta:
    name = _some_text(members, "name")
    value = None if members.get("value") is None else _text(members, "value")
    return SetMeta(name, value)


def _keep_alive(members: Members) -> KeepAlive:
    opcode, content = _message(members)
    # Any other word means idle, as does none.
    mode = Mode.INTERVAL if _text(members, "mode", "") == "interval" else Mode.IDLE
    timeout = KEEP_ALIVE_TIMEOUT
    if content is not None:
        timeout = _timeout(members, KEEP_ALIVE_TIMEOUT)
    return KeepAlive(opcode=opcode, content=content, timeout=timeout, mode=mode)


def _send_delayed(members: Members) -> SendDelayed:
    opcode, content = _message(members)
    timeout = DELAY_TIMEOUT
    if content is not None:
        timeout = _timeout(members, DELAY_TIMEOUT)
    return SendDelayed(opcode=opcode, content=content or b"", timeout=timeout)


def _flush_delayed(_members: Members) -> FlushDelayed:
    return FlushDelayed()


_READERS: Mapping[str, Callable[[Members], Control]] = {
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "detach": _detach,
    "session": _session,
    "set-meta": _set_meta,
    "keep-alive": _keep_alive,
    "send-delayed": _send_delayed,
    "flush-delayed": _flush_delayed,
}


# Members

_OPCODES = {
    "text": wsframes.TEXT,
    "binary": wsframes.BINARY,
    "ping": wsframes.PING,
    "pong": wsframes.PONG,
}


def _message(members: Members) -> tuple[int, bytes | None]:
    """Read the message that is to be sent: its opcode, and its content if it has any.

    What no frame can carry is refused here, where the origin's log can still be told.
    """
    opcode = wsframes.TEXT
    if "message-type" in members:
        word = _text(members, "message-type")
        if word not in _OPCODES:
            raise ControlError(f"'message-type' is unknown: {word[:40]!r}")
        opcode = _OPCODES[word]
    content: bytes | None = None
    if "content-bin" in members:
        content = base64text.decode(_text(members, "content-bin"))
        if "message-type" not in members and not _is_text(content):
            opcode = wsframes.BINARY
    elif "content" in members:
        content = _text(members, "content").encode()
    if content is not None:
        _check_fits(opcode, content)
    return opcode, content


def _check_fits(opcode: int, content: bytes) -> None:
    if opcode == wsframes.TEXT and not _is_text(content):
        raise ControlError("'content-bin' of a text message is not UTF-8")
    if opcode >= wsframes.CLOSE and len(content) > wsframes.CONTROL_MAX:
        raise ControlError(f"content over {wsframes.CONTROL_MAX} bytes for a ping or pong")


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _timeout(members: Members, default: int) -> int:
    if "timeout" not in members:
        return default
    seconds = dialects.to_integer(members["timeout"])
    if seconds is None:
        raise _ill_typed("timeout")
    if not 0 <= seconds < 1 << 31:
        raise ControlError("'timeout' is out of range")
    return seconds or default


def _text(members: Members, name: str, default: str | None = None) -> str:
    value = members.get(name, default)
    if not isinstance(value, str):
        raise _ill_typed(name) if name in members else ControlError(f"no '{name}'")
    return value


def _some_text(members: Members, name: str) -> str:
    value = _text(members, name)
    if not value:
        raise ControlError(f"'{name}' is empty")
    return value


def _ill_typed(name: str) -> ControlError:
    return ControlError(f"'{name}' has the wrong type")

"""The terms of a hold: what an instruct can say beside the response (grip-http.md 2, 3)."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

HOLD_SECONDS: Final = 55  # of a response hold, if the origin does not say
HOLD_SECONDS_MIN: Final = 5
KEEP_ALIVE_SECONDS: Final = 55
NEXT_SECONDS: Final = 120


class HoldMode(Enum):
    """What becomes of the request: a long-poll or a stream."""

    RESPONSE = "response"
    STREAM = "stream"


class KeepAliveMode(Enum):
    """When a stream gets its keep-alive: after silence, or whatever happens."""

    IDLE = "idle"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What a stream gets from time to time (2.4); without data, nothing."""

    data: bytes
    timeout: int = KEEP_ALIVE_SECONDS
    mode: KeepAliveMode = KeepAliveMode.IDLE


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the origin names it, without the route's prefix (2.3).

    Filters may have names that nobody knows. With `resumes` the client's `Last-Event-ID` is the
    position.
    """

    name: str
    prev_id: str | None = None
    filters: tuple[str, ...] = ()
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A link to be fetched after `timeout` seconds (`next`), or called at the end (`gone`)."""

    uri: bytes
    timeout: int = NEXT_SECONDS

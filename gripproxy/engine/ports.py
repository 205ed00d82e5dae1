"""What the engine needs from above: where bytes go, and how a waiting connection is woken.

A hold or session never waits. It is an object that is called: with a delivery, with a moment that
came, with news of its client. What it wants to say goes out by a `Sink`; what needs the origin is
left to the connection's own task, which `wake` resumes with a reason.
"""

from enum import IntEnum
from typing import Protocol

from gripproxy.protocol.messages import Response


class Framing(IntEnum):
    """How pieces of a stream look on the wire."""

    CHUNKED = 0  # HTTP/1.1: one chunk a piece (RFC 9112 7.1)
    RAW = 1  # ends with the connection: HTTP/1.0 and `Connection: close` without length
    FRAMES = 2  # WebSocket: pieces are frames already


class Wake(IntEnum):
    """Why a parked connection's task goes on. The higher one wins when several come."""

    DONE = 0  # the hold is over; the connection may serve its next request
    UPDATE = 1  # a low-priority update whose turn has come
    NEXT = 2  # the next link is to be fetched now
    RETRY = 3  # the client's request goes to the origin again, now
    EVENTS = 4  # a WebSocket has something for its origin


class Sink(Protocol):
    """The way to one held client. Calls never wait and never raise."""

    framing: Framing
    blocked: bool  # more waits in the connection than its high-water mark

    def write(self, data: bytes) -> None:
        """Send bytes that are framed already."""

    def pending(self) -> int:
        """Return how many bytes wait in the connection, beside the kernel's buffers."""

    def end(self) -> None:
        """End the stream as its framing wants; the connection goes on if it may."""

    def finish(self, response: Response) -> None:
        """Answer a response hold with a response whose body is bytes."""

    def cut(self) -> None:
        """Close the connection at once: what was sent must not look complete."""

    def wake(self, reason: Wake) -> None:
        """Let the connection's task go on."""


class Held(Protocol):
    """What a connection tells to whatever it holds."""

    def gone(self, now: float) -> None:
        """Take note that the client has left."""

    def writable(self, now: float) -> None:
        """Take note that the sink is no longer blocked."""


class Notices(Protocol):
    """What the log and the statistics shall say: the engine itself does neither."""

    def first_subscriber(self, channel: str) -> None:
        """A channel has got its first subscriber."""

    def last_subscriber(self, channel: str) -> None:
        """A channel is no longer subscribed, its linger being over."""

    def dropped(self, channel: str, reason: str) -> None:
        """An item did not reach a holder, because it was slow or a filter failed."""

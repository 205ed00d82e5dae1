"""What the engine needs from above: where bytes go, and how a waiting connection is woken.

A hold or session never waits. It is an object that is called: with a delivery, with a moment that
came, with news of its client. What it wants to say goes out by a `Sink`; what needs the origin is
left to the connection's own task, which `wake` resumes with a reason.
"""

from enum import IntEnum
from typing import Protocol

from gripproxy.errors import FrameError
from gripproxy.protocol.messages import Response
from gripproxy.protocol.routes import Route
from gripproxy.protocol.wsframes import Piece


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


class SocketReceiver(Protocol):
    """Takes what one side of a WebSocket sends. Calls come in order and never wait."""

    def socket_message(self, piece: Piece, now: float) -> None:
        """Take a message, or a piece of one: text, binary, ping or pong."""

    def socket_close(self, code: int | None, reason: str, now: float) -> None:
        """Take a close frame; no code if it was empty."""

    def socket_lost(self, error: FrameError | None, now: float) -> None:
        """Learn that this side is over; no call comes after this.

        None: it vanished. An error: it was failed with the error's code, for what it did (1002,
        1007, 1009), because it takes nothing (1008), or because the proxy goes away (1012).
        """

    def socket_writable(self, now: float) -> None:
        """Learn that what waited has been written: the other side may be read again."""


class Socket(Protocol):
    """One side of an open WebSocket. Calls never wait and never raise, also when it is gone."""

    blocked: bool  # more waits in the connection than its high-water mark

    def send(self, opcode: int, payload: bytes, *, first: bool = True, last: bool = True) -> None:
        """Send a message, or a piece of one."""

    def close(self, code: int | None, reason: str = "") -> None:
        """Send a close frame, once; if the other one has come, the connection ends.

        No code becomes 1000 (websockets.md 3.4).
        """

    def fail(self, code: int, reason: str = "") -> None:
        """Send a close frame, unless one was sent, and end the connection soon; no up-calls."""

    def drop(self) -> None:
        """End the connection after what waits has been written; no up-calls come any more."""

    def pause(self) -> None:
        """Read nothing more until `resume`."""

    def resume(self, now: float) -> None:
        """Read on."""

    def pending(self) -> int:
        """Return how many bytes wait in the connection, beside the kernel's buffers."""


class ClientSocket(Socket, Protocol):
    """The client's side of a WebSocket."""

    touched: float  # when something was written last; set by whoever writes
    pings: bool  # whether the proxy pings an idle client

    @property
    def deflates(self) -> bool:
        """Whether the client takes compressed messages."""

    def attach(self, receiver: SocketReceiver, *, whole: bool) -> None:
        """Name the receiver; with `whole` it gets whole messages only. Held frames follow."""

    def write(self, frame: bytes) -> None:
        """Send a frame that is ready."""


class Notices(Protocol):
    """What the log and the statistics shall say: the engine itself does neither."""

    def first_subscriber(self, channel: str) -> None:
        """A channel has got its first subscriber."""

    def last_subscriber(self, channel: str) -> None:
        """A channel is no longer subscribed, its linger being over."""

    def kept_alive(self, route: Route, kind: int, size: int) -> None:
        """A holder of a kind (`channels.Kind`) was sent so many bytes lest it be silent."""

    def dropped(self, channel: str, reason: str) -> None:
        """An item did not reach a holder: it was slow, or the item cannot be sent."""

    def closed(self, count: int) -> None:
        """So many items waited for a holder that is over."""

    def failed(self, error: Exception) -> None:
        """A holder has raised: a bug. Nobody else shall suffer from it."""

    def filter_failed(self, route: Route, channel: str, text: str) -> None:
        """An item did not reach a holder, because a filter failed or its condition is another."""

    def odd_content(self, route: Route, text: str) -> None:
        """Something in a content looks like a directive of a filter and is none."""

    def exceeded(self, route: Route | None, count: int) -> None:
        """So many deliveries were dropped, because too many wait for their turn.

        The route is the one whose deliveries have a turn of their own; None: all others.
        """

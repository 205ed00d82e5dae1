"""What stories need from the edges: clients, origins, time, tasks, peers.

Edges satisfy these protocols without knowing who calls them; tests satisfy them with fakes
(`tests/fakes.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

from gripproxy.engine.ports import ClientSocket, Held, Sink, Socket, SocketReceiver, Wake
from gripproxy.engine.stats import Counted
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response, Source
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Target
from gripproxy.protocol.wshandshake import Agreed

Interim = Callable[[int, bytes, Headers], None]


class Exchange(Sink, Protocol):
    """A client's request and the way to answer it. Also the sink of what is held on it."""

    request: Request
    sent: int  # bytes of the answer's body so far
    shielded: bool  # the story goes on although its client leaves before the answer
    counted: Counted | None  # the request for statistics, until it is over

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    async def answer(self, response: Response) -> bool:
        """Send a whole response; return when its body has been handed over.

        False: it broke off, or the client has left. A body that fails midway cuts the
        connection, so that it cannot look complete.
        """

    def begin(self, response: Response) -> bool:
        """Send the head of a stream and its body so far (bytes); return whether more may follow.

        False: the response has no body by its nature (HEAD, 204, 304) and is over.
        """

    async def relay(self, body: Source) -> bool:
        """Send a body as part of a stream that goes on; return False if it broke off."""

    def park(self, held: Held, resume: "Resume") -> None:
        """Hold the connection: its task waits, and runs `resume` for each wake."""

    def interim(self, status: int, reason: bytes, headers: Headers) -> None:
        """Pass an interim response on to a client that understands it."""

    def upgrade(self, response: Response) -> ClientSocket:
        """Answer a WebSocket handshake with 101; the framing fields are added here.

        The task goes on being woken when the client has left; the story says when it is over,
        with `end`.
        """


Resume = Callable[[Exchange, Held, Wake], Awaitable[None]]


class OriginSocket(Socket, Protocol):
    """The origin's side of a WebSocket."""

    response: Response  # its 101
    agreed: Agreed

    def attach(self, receiver: SocketReceiver, now: float) -> None:
        """Name the receiver, which gets pieces as they come. Frames held so far follow."""


class Origin(Protocol):
    """The way to origins."""

    async def send(
        self, request: Request, target: Target, interim: Interim | None = None
    ) -> Response:
        """Send one request to one target; return when the response's head is there.

        `interim` takes interim responses (1xx but 100 and 101).

        Raises:
            ConnectError: not reached; another target may be tried.
            ExchangeError: reached, but no valid response came.
            OriginTimeoutError: silent for too long.
        """

    async def connect(self, request: Request, target: Target) -> "OriginSocket | Response":
        """Open a WebSocket to a target; a `Response` is its refusal. Raises as `send`."""


class Clock(Protocol):
    """Two times that must not be mixed."""

    def now(self) -> float:
        """Return monotonic seconds: for deadlines and durations."""

    def wall(self) -> float:
        """Return seconds since 1970: for `Date`, `Grip-Sig`, `Age`."""


class Tasks(Protocol):
    """Owns the tasks that no connection owns."""

    def start(self, story: Coroutine[None, None, None], *, name: str) -> "asyncio.Task[None]":
        """Run a coroutine; its failure is logged, and it ends with the process."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """How many stored responses a purge was about, and how many processes had not counted yet."""

    purged: int
    pending: int = 0


class Intake(Protocol):
    """Where publishers' items and operators' commands go (publishing.md 5, 6, 11)."""

    def take(self, items: Sequence[PublishItem]) -> None:
        """Take items in order; nobody waits for them."""

    async def accept(self, items: Sequence[PublishItem]) -> int:
        """Take items in order; return how many receivers they have, when every worker has them.

        All are taken before the first wait, so a caller that gives up loses only the answer.
        """

    async def purge(self, purge: Purge, *, counted: bool) -> Receipt:
        """Take stored responses back; none is served any more when this returns.

        With `counted` it waits a little for processes that have yet to count how many that were.
        """

    async def recover(self) -> None:
        """Forget last ids and let every HTTP hold ask its origin again."""

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """Have origins asked for one WebSocket over HTTP, or else for all of a channel.

        Raises:
            CommandError: `item-not-found`, no WebSocket has this connection id.
        """

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """Return those connection ids that exist, each once."""


class Operations(Protocol):
    """What operators' commands do where connections are (publishing.md 6)."""

    def take_back(self, purges: Sequence[Purge]) -> Receipt:
        """Take stored responses back, at once; return what is known of how many that were."""

    async def take_back_and_count(self, purge: Purge) -> Receipt:
        """Take stored responses back, at once; wait a little for how many that were."""

    async def recover(self) -> None:
        """Let every HTTP hold ask its origin again."""

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """As `Intake.refresh`."""

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """As `Intake.conncheck`."""

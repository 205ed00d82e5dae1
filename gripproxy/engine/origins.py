"""What all held HTTP requests have in common (grip-http.md 5 to 8).

Response holds (long-polls) are in `responses`, stream holds in `streams`. A hold is an object;
nobody waits for it but its own connection. Items, moments and news of the client are method
calls; what it has to say goes to its `Sink`; what needs the origin wakes the connection's task
with a reason. The states and what leads from one to the next:

| state   | holds    | next states                                                             |
|---------|----------|-------------------------------------------------------------------------|
| OPENING | stream   | HOLDING when the initial body is out; ASKING if it names a page only    |
| HOLDING | both     | WAITING for a low-priority update; ASKING (hint); OVER                  |
| WAITING | both     | ASKING when its turn comes; OVER (timeout, client gone)                 |
| ASKING  | both     | HOLDING when the origin has answered with a hold; OVER                  |
| OVER    | both     | none                                                                    |

A stream stays subscribed while it is not holding, and queues; a response hold does not, the ids
show the gap (6.1). A response hold that asks is replaced by the one that the answer makes.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gripproxy.engine.channels import Holder
from gripproxy.engine.deadlines import Deadlines, Timed
from gripproxy.engine.marks import Marks
from gripproxy.engine.nexttimers import NextTimers
from gripproxy.engine.ports import Notices
from gripproxy.engine.subscriptions import Network, Subscription
from gripproxy.engine.updates import Updatable, Updates
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target

# Items that wait on one hold while it is not ready for them; as Pushpin.
QUEUE_MAX = 100


class State(Enum):
    """What a hold is doing. See the module's docstring."""

    OPENING = "opening"
    HOLDING = "holding"
    WAITING = "waiting for its update"
    ASKING = "asking its origin"
    OVER = "over"


class Dress(Protocol):
    """How answers to one request are dressed for pages of other sites (proxying.md 13, 14)."""

    def relayed(self, response: Response) -> Response:
        """Dress a relayed response, or an error of ours."""

    def held(self, response: Response) -> Response:
        """Dress what ends a hold."""

    def head(self, response: Response) -> Response:
        """Dress the head of a stream."""


@dataclass(slots=True, eq=False, kw_only=True)
class Origin:
    """Where a hold came from, for asking again: shared by all that happens to one request.

    `request` is as the client sent it, its body bytes. `last` is what goes out as `Grip-Last`.
    `dress` makes an answer fit the request: CORS, JSON-P. `floor` is the epoch of the latest event
    that made it ask again (`engine.marks`), 0 for none: no answer older than that counts. `shared`
    is what its answer depended on beside the URI and the positions, if a cache let others have it,
    too; None if it was for this client alone.
    """

    request: Request
    route: Route
    debug: bool = False
    trusted: bool = False
    subs: tuple[str, ...] = ()
    last: dict[str, str]
    dress: Dress | None = None
    target: Target | None = None  # who answered last
    gone: bytes | None = None  # the absolute URI to call when the request is over
    retries: tuple[float, ...] = ()  # when it was sent again, as far as that matters
    floor: int = 0
    shared: object = None
    asked_in: int | None = None  # the epoch in which it was sent again, until it is answered

    def wants(self, epoch: int) -> None:
        """Take note of an event: what is asked for from now on is to be younger than it."""
        self.floor = max(self.floor, epoch)

    @property
    def retried(self) -> bool:
        """Whether the request was sent to its origin again."""
        return bool(self.retries)


class Hold(Holder, Timed, Updatable, Protocol):
    """A held request as the hub sees it."""

    subscriptions: dict[str, Subscription]

    def recover(self, now: float) -> None:
        """Ask the origin again when there is time: a publisher was out of order."""

    def drain(self, now: float) -> None:
        """End as the hold should end, as soon as that can be."""


class Home(Protocol):
    """What holds need of the hub that they live in."""

    deadlines: Deadlines[Timed]
    next_timers: NextTimers
    updates: Updates
    marks: Marks
    notices: Notices
    network: Network
    queue_bytes: int

    def random(self) -> float:
        """Return a random number in 0 to 1: no two holds shall act in step."""

    def set_deadline(self, holder: Timed, when: float) -> None:
        """Have `due` called at a moment."""

    def forget_last_id(self, channel: str) -> None:
        """Forget the id that a channel was last seen with: somebody has missed something."""

    def detach(self, hold: Hold, *, now: float) -> None:
        """Unsubscribe a hold from everything, if it is subscribed."""

    def over(self, origin: Origin) -> None:
        """Take note that a request is over for good."""

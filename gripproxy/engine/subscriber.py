"""A WebSocket as a receiver of what is published (websockets.md 6).

The usual item is one write. Otherwise it passes the filters of its subscription, waits behind an
item whose filter asks the network, or behind a message of the origin that has only partly gone
out; and when too much waits already it is dropped.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol, assert_never

from gripproxy.engine import delivery as deliveries
from gripproxy.engine.channels import Holder, Kind
from gripproxy.engine.deadlines import Deadlines, Timed
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.ports import ClientSocket, Notices
from gripproxy.engine.subscriptions import (
    Answer,
    Halted,
    Network,
    Passage,
    Subscription,
    go_on,
    pass_filters,
)
from gripproxy.protocol.formats import Action, WebSocketMessage
from gripproxy.protocol.routes import Route


class Home(Protocol):
    """What WebSockets need of the hub."""

    deadlines: Deadlines[Timed]
    notices: Notices
    network: Network
    queue_bytes: int

    def random(self) -> float:
        """Return a random number in 0 to 1: no two sessions shall act in step."""

    def set_deadline(self, holder: Timed, when: float) -> None:
        """Have `due` called at a moment."""

    def attach(self, holder: Holder, subscriptions: Iterable[Subscription], *, now: float) -> bool:
        """Subscribe a holder."""

    def subscribe(self, holder: Holder, channel: str, *, now: float) -> None:
        """Add one channel to a holder."""

    def unsubscribe(self, holder: Holder, channel: str, *, now: float) -> None:
        """Take one channel from a holder."""

    def release(self, holder: Holder, channels: Iterable[str], *, now: float) -> None:
        """Unsubscribe a holder from these channels: it is over."""


class Subscriber(ABC):
    """Takes items for a client. What they make of the connection is left to the session."""

    kind = Kind.SOCKET

    __slots__ = (
        "_home",
        "_passing",
        "_queue",
        "_queued",
        "_quick",
        "_sink",
        "_speaking",
        "_waiting",
        "debug",
        "meta",
        "route",
        "subscriptions",
    )

    def __init__(self, home: Home, route: Route, *, debug: bool) -> None:
        self.route = route
        self.debug = debug
        self.subscriptions: dict[str, Subscription] = {}
        self.meta: dict[str, str] = NO_META
        self._home = home
        self._sink: ClientSocket
        self._speaking = True  # what is published goes to the client
        self._passing = False  # a message of the origin has partly gone to the client
        self._queue: list[bytes | WebSocketMessage] | None = None  # for the end of that message
        self._waiting: list[Delivery] | None = None  # while a filter asks the network
        self._queued = 0  # bytes that wait here
        self._quick = False

    def deliver(self, delivery: Delivery, now: float) -> None:
        """Take an item."""
        # hot: the usual item for the usual client is one write of bytes that all share; the
        # general way below costs three times as much (bench/scenarios.py, lockstep-ws-5000).
        frame = delivery.frame
        if self._quick and frame is not None:
            sink = self._sink
            if not sink.blocked:
                sink.write(frame)
                sink.touched = now
                return
        message = delivery.message
        if message is not None and self._speaking:
            self._admit(message, delivery, now)

    @property
    @abstractmethod
    def url(self) -> bytes:
        """The URI that filters' URLs are relative to: the client's."""

    @abstractmethod
    def refresh(self, now: float) -> None:
        """Let the origin speak (4.3)."""

    @abstractmethod
    def close_published(self, message: WebSocketMessage, now: float) -> None:
        """Close the connection, because an item says so."""

    @abstractmethod
    def close_waits(self, now: float) -> None:
        """Take note of such a close that waits for the end of a message."""

    @abstractmethod
    def fail(self, reason: str, now: float) -> None:
        """End the connection because of the origin: 1011."""

    # Filters (6.4)

    def _admit(self, message: WebSocketMessage, delivery: Delivery, now: float) -> None:
        """Pass an item through its filters, when those before it are through."""
        subscription = self.subscriptions.get(delivery.channel)
        if subscription is None:
            return
        content = message.content
        if self._waiting is not None:
            self._wait(delivery, len(content))
        elif subscription.filters is None and not message.content_filters:
            self._act(message, content, delivery, now)
        else:
            passage = pass_filters(
                self, subscription, delivery, content, message.content_filters, debug=self.debug
            )
            self._passed(passage, message, delivery, now)

    def _passed(
        self, passage: Passage, message: WebSocketMessage, delivery: Delivery, now: float
    ) -> None:
        """Act on what the filters have made of an item."""
        if passage.odd:
            self._home.notices.odd_content(self.route, passage.odd)
        if passage.halted is not None:
            self._ask_network(passage.halted, message, delivery)
        elif passage.error:
            self._home.notices.filter_failed(self.route, delivery.channel, passage.error)
            if self.debug:
                self.fail(passage.error, now)
        elif passage.content is not None:
            self._act(message, passage.content, delivery, now)

    def _ask_network(self, halted: Halted, message: WebSocketMessage, delivery: Delivery) -> None:
        self._waiting = []
        self._look_for_quick()

        def done(answer: Answer, now: float) -> None:
            waiting, self._waiting = self._waiting or (), None
            if not self._speaking:
                return
            self._passed(go_on(halted, answer), message, delivery, now)
            for later in waiting:
                assert later.message is not None
                self._queued -= len(later.message.content)
                self.deliver(later, now)
            self._look_for_quick()

        self._home.network.ask(self, delivery, halted, done)

    def _wait(self, delivery: Delivery, size: int) -> None:
        """Keep an item that must not overtake the one that a filter asks the network about."""
        assert self._waiting is not None
        if self._queued >= self._home.queue_bytes:
            self._home.notices.dropped(delivery.channel, "slow")
            return
        self._waiting.append(delivery)
        self._queued += size

    # Acting (6.2, 6.3)

    def _act(
        self, message: WebSocketMessage, content: bytes, delivery: Delivery, now: float
    ) -> None:
        match message.action:
            case Action.SEND:
                self._offer(self._frame(message, content, delivery), delivery.channel, now)
            case Action.CLOSE:
                self._close(message, now)
            case Action.REFRESH:
                self.refresh(now)
            case Action.HINT:
                pass
            case _:
                assert_never(message.action)

    def _frame(self, message: WebSocketMessage, content: bytes, delivery: Delivery) -> bytes:
        deflates = self._sink.deflates
        if content is message.content:
            if deflates:
                return delivery.packed(message)
            if delivery.frame is not None:
                return delivery.frame
        return deliveries.frame(message, content, deflates=deflates)

    def _offer(self, frame: bytes, channel: str, now: float) -> None:
        """Send what was published, unless too much waits already."""
        sink = self._sink
        waiting = sink.pending() if sink.blocked else 0
        if waiting + self._queued >= self._home.queue_bytes:
            self._home.notices.dropped(channel, "slow")
        elif self._passing:
            self._enqueue(frame, len(frame))
        else:
            sink.write(frame)
            sink.touched = now

    def _close(self, message: WebSocketMessage, now: float) -> None:
        if self._queue is None:
            self.close_published(message, now)
        else:
            # What was published before it is still waiting. It must not wait for ever.
            self._enqueue(message, 0)
            self.close_waits(now)

    def _enqueue(self, entry: bytes | WebSocketMessage, size: int) -> None:
        """Keep what has to wait for the end of the origin's message."""
        if self._queue is None:
            self._queue = []
        self._queue.append(entry)
        self._queued += size

    def _run_queue(self, now: float) -> None:
        """Send what has waited: the origin's message has ended."""
        queue, self._queue = self._queue or (), None
        for entry in queue:
            if not isinstance(entry, bytes):
                self.close_published(entry, now)
                return
            self._queued -= len(entry)
            self._sink.write(entry)

    def _close_overtakes(self, now: float) -> None:
        """A close has waited for the end of the origin's message, in vain."""
        queue, self._queue = self._queue or (), None
        close = next(entry for entry in queue if not isinstance(entry, bytes))
        self._home.notices.closed(len(queue) - 1)
        self.close_published(close, now)

    def _silence(self) -> None:
        """Take nothing more, and forget what waits."""
        self._speaking = False
        self._quick = False
        waiting = len(self._queue or ()) + len(self._waiting or ())
        if waiting:
            self._home.notices.closed(waiting)
        self._queue = None
        self._waiting = None
        self._queued = 0

    def _look_for_quick(self) -> None:
        """Find out whether the usual item is for the client as it is."""
        self._quick = (
            self._speaking
            and self._waiting is None
            and not self._passing
            and not self._sink.deflates
            and all(subscription.plain for subscription in self.subscriptions.values())
        )


# Never changed: a session that has meta has one of its own.
NO_META: dict[str, str] = {}

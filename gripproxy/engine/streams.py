"""Stream holds: a head and a first body have been sent, and items follow (grip-http.md 5, 7, 8).

The states are those of `origins`.
"""

from collections import deque

from gripproxy.engine.channels import Kind
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.origins import QUEUE_MAX, Home, Origin, State
from gripproxy.engine.ports import Framing, Sink, Wake
from gripproxy.engine.subscriptions import (
    Answer,
    Halted,
    Passage,
    Subscription,
    go_on,
    pass_filters,
)
from gripproxy.protocol import wire
from gripproxy.protocol.formats import Action
from gripproxy.protocol.routes import Route
from gripproxy.protocol.terms import KeepAlive, KeepAliveMode


class StreamHold:
    """A stream whose head has been sent."""

    kind = Kind.STREAM

    __slots__ = (
        "_again",
        "_asking",
        "_blank",
        "_keep_alive",
        "_keep_at",
        "_queue",
        "_queued",
        "_quick",
        "_sink",
        "_touched",
        "active",
        "home",
        "meta",
        "next_at",
        "next_timeout",
        "next_uri",
        "origin",
        "state",
        "subscriptions",
        "url",
    )

    def __init__(self, home: Home, sink: Sink, origin: Origin) -> None:
        self.url = origin.request.uri
        self._asking = False  # a filter of an item asks the network; later items wait
        self.home = home
        self.origin = origin
        self.state = State.OPENING
        self.subscriptions: dict[str, Subscription] = {}
        self.meta: dict[str, str] = {}
        self.next_uri: bytes | None = None
        self.next_timeout = 0
        self.next_at: float | None = None
        self.active: set[str] | None = None  # channels with an item since the last next timeout
        self._sink = sink
        self._keep_alive: KeepAlive | None = None
        self._keep_at: float | None = None
        self._blank = 0  # empty pages in a row
        self._touched = 0.0
        self._queue: deque[Delivery] | None = None
        self._queued = 0
        self._again: Wake | None = None
        self._quick = False

    def __repr__(self) -> str:
        return f"<StreamHold {self.state.value} {list(self.subscriptions)}>"

    # Set by the story

    def set_up(
        self,
        subscriptions: dict[str, Subscription],
        keep_alive: KeepAlive | None,
        meta: dict[str, str],
        next_link: tuple[bytes, int] | None,
    ) -> None:
        """Take over what an instruct says; `next_link` is the absolute URI and its timeout."""
        self.subscriptions = subscriptions
        self._keep_alive = keep_alive
        self.meta = meta
        self.next_uri, self.next_timeout = next_link or (None, 0)

    def hold(self, *, now: float) -> None:
        """Begin to hold, or go on: what is queued goes out, timers run."""
        self.state = State.HOLDING
        self._quick = self.next_uri is None and all(s.plain for s in self.subscriptions.values())
        if self.next_uri is not None:
            self.next_at = now + max(self.next_timeout, 0.1)
            self.active = set()
        if self._keep_alive is not None and self._keep_at is None:
            self._touched = now
            self._start_keep_alive(now)
        self._arm()
        if self._queue:
            self._run_queue(now)
        again, self._again = self._again, None
        if again is not None and self.state is State.HOLDING:
            self._ask(again, now)

    def drop_overlap(self) -> None:
        """Drop queued items that the page just fetched has held already (grip-http.md 7.4)."""
        queue = self._queue
        while queue:
            subscription = self.subscriptions.get(queue[0].channel)
            if subscription is not None and subscription.fits(queue[0]):
                return
            self._queued -= len(queue.popleft().raw)

    # Items

    def deliver(self, delivery: Delivery, now: float) -> None:
        """Take an item."""
        # hot: the usual item for the usual stream is one write of bytes that all share; the
        # general way below costs three times as much (bench/scenarios.py, lockstep-stream-5000).
        sink = self._sink
        if self._quick and delivery.stream_plain and not sink.blocked:
            sink.write(delivery.chunk if sink.framing is Framing.CHUNKED else delivery.raw)
            self._touched = now
            return
        if delivery.stream is None or self.state is State.OVER:
            return
        if self.state is State.HOLDING and not (self._queue or self._asking or sink.blocked):
            self._process(delivery, now)
        else:
            self._enqueue(delivery)

    def _enqueue(self, delivery: Delivery) -> None:
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        size = len(delivery.raw)
        room = self.home.queue_bytes - self._queued - self._sink.pending()
        if len(queue) >= QUEUE_MAX or (queue and size > room):
            self.home.notices.dropped(delivery.channel, "slow")
            if self.next_uri is not None:
                self._again = self._again or Wake.UPDATE
            return
        queue.append(delivery)
        self._queued += size
        self._quick = False

    def _run_queue(self, now: float) -> None:
        queue = self._queue
        while queue and self._takes_items():
            delivery = queue.popleft()
            self._queued -= len(delivery.raw)
            self._process(delivery, now)
        if not queue and self.state is State.HOLDING and not self._asking:
            self._queue = None
            self._queued = 0
            self._quick = self.next_uri is None and all(
                s.plain for s in self.subscriptions.values()
            )

    def _takes_items(self) -> bool:
        return self.state is State.HOLDING and not (self._asking or self._sink.blocked)

    def _process(self, delivery: Delivery, now: float) -> None:
        subscription = self.subscriptions.get(delivery.channel)
        stream = delivery.stream
        if subscription is None or stream is None:
            return
        if not subscription.fits(delivery):
            self.home.forget_last_id(delivery.channel)
            self._empty_queue()
            self.update(now)
            return
        passage = pass_filters(
            self,
            subscription,
            delivery,
            stream.content,
            stream.content_filters,
            debug=self.origin.debug,
        )
        self._passed(passage, delivery, now)

    def _passed(self, passage: Passage, delivery: Delivery, now: float) -> None:
        """Act on what the filters have made of an item."""
        subscription, stream = self.subscriptions.get(delivery.channel), delivery.stream
        if passage.halted is not None:
            self._ask_network(passage.halted, delivery)
        elif passage.error:
            self._trouble(passage.error, delivery, now)
        elif subscription is not None and stream is not None:
            subscription.advance(delivery)
            if passage.content is not None:
                self._act(stream.action, delivery, passage, now)

    def _ask_network(self, halted: Halted, delivery: Delivery) -> None:
        self._asking = True
        self._quick = False

        def done(answer: Answer, now: float) -> None:
            self._asking = False
            if self.state is not State.OVER:
                self._passed(go_on(halted, answer), delivery, now)
                self._run_queue(now)

        self.home.network.ask(self, delivery, halted, done)

    @property
    def route(self) -> Route:
        """The route that the client's request took."""
        return self.origin.route

    def _act(self, action: Action, delivery: Delivery, passage: Passage, now: float) -> None:
        match action:
            case Action.SEND:
                if self.active is not None:
                    self.active.add(delivery.channel)
                content = passage.content
                if content is delivery.raw:
                    self._write(delivery.chunk, delivery.raw, now)
                elif content:
                    self._write(wire.chunk(content), content, now)
            case Action.HINT:
                if self.next_uri is not None:
                    self._empty_queue()
                    self._ask(Wake.NEXT, now)
            case Action.CLOSE:
                self.end(now)
            case Action.REFRESH:
                pass

    def _write(self, chunk: bytes, raw: bytes, now: float) -> None:
        self._sink.write(chunk if self._sink.framing is Framing.CHUNKED else raw)
        self._touched = now

    def _empty_queue(self) -> None:
        self._queue = None
        self._queued = 0

    def _trouble(self, text: str, delivery: Delivery, now: float) -> None:
        """A filter failed: with debug that ends the hold, else the item is dropped."""
        self.home.notices.dropped(delivery.channel, text)
        if self.origin.debug:
            self.fail(text, now)

    # Asking the origin

    def update(self, now: float) -> None:
        """Fetch the next link with low priority, if there is one."""
        if self.next_uri is not None:
            self._ask(Wake.UPDATE, now)

    def _ask(self, reason: Wake, now: float) -> None:
        if self.state is not State.HOLDING:
            if self.state is not State.OVER:
                self._again = reason if self._again is None else max(reason, self._again)
            return
        self._quick = False
        self.next_at = None
        if reason is Wake.UPDATE:
            self.state = State.WAITING
            self.home.updates.add(self, self.next_uri, now=now)
        else:
            self.ask_now()

    def update_turn(self, now: float) -> None:
        """Fetch the next link: its turn has come."""
        if self.state is State.WAITING:
            self.ask_now()

    def ask_now(self) -> None:
        """Let the connection's task fetch the next link."""
        self.home.updates.cancel(self)
        self.state = State.ASKING
        self._quick = False
        self.next_at = None
        self._sink.wake(Wake.NEXT)

    def write_page(self, body: bytes) -> None:
        """Write a page that is whole."""
        self._sink.write(wire.chunk(body) if self._sink.framing is Framing.CHUNKED else body)

    def page_begins(self) -> None:
        """Stop keep-alives: the first byte of a page has come."""
        self._keep_at = None
        self._arm()

    @property
    def asking(self) -> bool:
        """Whether a fetch of the next link is under way or due."""
        return self.state is State.ASKING

    # Time

    def _start_keep_alive(self, now: float) -> None:
        keep = self._keep_alive
        if keep is None or not keep.data:
            self._keep_at = None
            return
        # A random part of a second less, so that holds that began together do not act together,
        # but never less than half (grip-http.md 8.7).
        self._keep_at = now + max(keep.timeout - self.home.random(), keep.timeout / 2)

    def _arm(self) -> None:
        times = [at for at in (self._keep_at, self.next_at) if at is not None]
        if times:
            self.home.set_deadline(self, min(times))
        else:
            self.home.deadlines.cancel(self)

    def due(self, now: float) -> None:
        """Do what the time has come for."""
        if self.state is State.OVER:
            return
        if self._keep_at is not None and now >= self._keep_at:
            self._keep_alive_due(now)
        if self.next_at is not None and now >= self.next_at:
            self._next_due(now)
        self._arm()

    def _keep_alive_due(self, now: float) -> None:
        keep = self._keep_alive
        if keep is None:
            self._keep_at = None
            return
        if keep.mode is KeepAliveMode.IDLE:
            # Not re-armed for each item: whether it was idle is looked at when it is due.
            quiet_since = self._touched
            if now - quiet_since < keep.timeout / 2:
                self._start_keep_alive(quiet_since)
                return
        if self.state in (State.OPENING, State.OVER) or self._sink.blocked:
            self._start_keep_alive(now)
            return
        self._write(wire.chunk(keep.data), keep.data, now)
        self._start_keep_alive(now)

    def _next_due(self, now: float) -> None:
        """The next link's timeout: a stream whose channels were all active is spared once."""
        spared = self.active is not None and self.active >= set(self.subscriptions)
        if spared and self.subscriptions and self.next_timeout > 0:
            self.active = set()
            self.next_at = now + self.next_timeout
        else:
            self._ask(Wake.UPDATE, now)

    # The end

    def writable(self, now: float) -> None:
        """Go on: the client reads again."""
        if self.state is State.HOLDING:
            if self._queue:
                self._run_queue(now)
            again, self._again = self._again, None
            if again is not None:
                self._ask(again, now)

    def gone(self, now: float) -> None:
        """The client has left."""
        self._close(now)

    def end(self, now: float) -> None:
        """End the stream as it should end."""
        if self.state is not State.OVER:
            self._close(now)
            self._sink.end()

    def drain(self, now: float) -> None:
        """End the stream: the process is about to end."""
        self.end(now)

    def fail(self, text: str, now: float) -> None:
        """End the stream because of an error, told with debug only (grip-http.md 8.6)."""
        if self.state is State.OVER:
            return
        if self.origin.debug:
            content = f"\n\n{text}\n".encode()
            self._write(wire.chunk(content), content, now)
        self.end(now)

    def _close(self, now: float) -> None:
        if self.state is not State.OVER:
            self.state = State.OVER
            self._quick = False
            self._empty_queue()
            self.home.detach(self, now=now)

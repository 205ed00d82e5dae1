"""Stream holds: a head and a first body have been sent, and items follow (grip-http.md 5, 7, 8).

The states are those of `origins`. Items that come while a stream cannot take them wait in its
queue (7.4): it is not holding, its client does not read, or a filter asks the network. When the
queue has been sent, an update that was wanted meanwhile is made, and timers run again.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import assert_never

from gripproxy.engine.channels import Kind
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.nexttimers import NextTimer
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
        "_active",
        "_again",
        "_asking",
        "_deferred",
        "_ending",
        "_home",
        "_keep_alive",
        "_keep_at",
        "_next_timer",
        "_queue",
        "_queued",
        "_quick",
        "_relaying",
        "_replayed",
        "_sink",
        "_touched",
        "blank_pages",
        "interrupt",
        "meta",
        "next_timeout",
        "next_uri",
        "origin",
        "state",
        "subscriptions",
        "url",
    )

    def __init__(self, home: Home, sink: Sink, origin: Origin) -> None:
        self.origin = origin
        self.state = State.OPENING
        self.subscriptions: dict[str, Subscription] = {}
        self.meta: dict[str, str] = {}
        self.url = origin.request.uri  # what its links and filters' URLs are relative to
        self.next_uri: bytes | None = None
        self.next_timeout = 0
        self.blank_pages = 0  # empty ones without a hold, in a row
        # What to call when the stream is over while its story waits for something.
        self.interrupt: Callable[[], None] | None = None
        self._home = home
        self._sink = sink
        self._keep_alive: KeepAlive | None = None
        self._keep_at: float | None = None
        self._touched = 0.0  # when content was written last
        self._next_timer: NextTimer | None = None
        self._active: set[str] | None = None  # channels with an item since the timer's last look
        self._queue: deque[Delivery] | None = None
        self._queued = 0  # bytes
        self._replayed = 0  # items at the head of the queue that do not count: they are kept
        self._again: Wake | None = None  # what is wanted when the queue has been sent
        self._asking = False  # a filter of an item asks the network; later items wait
        self._deferred = False  # the fetch waits until the client takes data
        self._relaying = False  # a body of the origin is on its way
        self._ending = False  # the stream is to end behind that body
        self._quick = False  # items may be written as they are

    def __repr__(self) -> str:
        return f"<StreamHold {self.state.value} {list(self.subscriptions)}>"

    @property
    def route(self) -> Route:
        """The route that the client's request took."""
        return self.origin.route

    # What the story says

    def instruct(
        self,
        keep_alive: KeepAlive | None,
        meta: dict[str, str],
        next_link: tuple[bytes, int] | None,
    ) -> None:
        """Take over what an instruct says; `next_link` is the absolute URI and its timeout."""
        self._keep_alive = keep_alive
        self.meta = meta
        self.next_uri, self.next_timeout = next_link or (None, 0)

    def body_begins(self) -> None:
        """Say nothing while a body of the origin is on its way: no keep-alive, no end."""
        self._relaying = True
        self._keep_at = None
        self._arm()

    def body_ended(self, now: float) -> bool:
        """Take note that a body is complete; return whether the stream goes on."""
        self._relaying = False
        if self._ending:
            self.end(now)
        return self.state is not State.OVER

    def hold(self, *, now: float) -> None:
        """Begin to hold, or go on: what is queued goes out, then timers run."""
        self.state = State.HOLDING
        self.blank_pages = 0
        self._run_queue(now)

    def drop_overlap(self) -> None:
        """Drop queued items that the page just fetched has held already (7.4).

        If none of them fits, and the page does not end with the last one either, it may be older
        than they are: then it is asked for once more.
        """
        queue = self._queue
        while queue:
            subscription = self.subscriptions.get(queue[0].channel)
            if subscription is not None and subscription.fits(queue[0]):
                return
            dropped = self._next_in(queue)
            if not queue and subscription is not None and dropped.id != subscription.prev_id:
                self.origin.wants(dropped.epoch)
                self._remember(Wake.UPDATE)

    def write_page(self, body: bytes) -> None:
        """Write a page that is whole."""
        self._sink.write(wire.chunk(body) if self._sink.framing is Framing.CHUNKED else body)

    @property
    def asking(self) -> bool:
        """Whether a fetch of the next link is under way or due."""
        return self.state is State.ASKING

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
        if self._queue or not self._takes_items():
            self._enqueue(delivery)
        else:
            self._process(delivery, now)

    def _takes_items(self) -> bool:
        return self.state is State.HOLDING and not (self._asking or self._sink.blocked)

    def _enqueue(self, delivery: Delivery) -> None:
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        size = len(delivery.raw)
        room = self._home.queue_bytes - self._queued - self._sink.pending()
        if len(queue) - self._replayed >= QUEUE_MAX or (queue and size > room):
            self._home.notices.dropped(delivery.channel, "slow")
            if self.next_uri is not None:
                self.origin.wants(delivery.epoch)
                self._remember(Wake.UPDATE)
            return
        queue.append(delivery)
        self._queued += size
        self._quick = False

    def _run_queue(self, now: float) -> None:
        while self._queue and self._takes_items():
            self._process(self._next_in(self._queue), now)
        if not self._queue and self._takes_items():
            self._rest(now)

    def _next_in(self, queue: deque[Delivery]) -> Delivery:
        delivery = queue.popleft()
        if self._replayed:
            self._replayed -= 1
        else:
            self._queued -= len(delivery.raw)
        return delivery

    def replay(self, deliveries: Iterable[Delivery]) -> None:
        """Queue what was released before it was subscribed and follows its first body."""
        self._queue = deque(deliveries)
        self._replayed = len(self._queue)
        self._quick = False

    def _rest(self, now: float) -> None:
        """Do what had to wait for the queue."""
        self._empty_queue()
        if self._keep_at is None:
            self._start_keep_alive(now)
            self._arm()
        again, self._again = self._again, None
        if again is not None:
            self._ask(again, now)
            return
        self._quick = self.next_uri is None and all(s.plain for s in self.subscriptions.values())
        if self.next_uri is not None and self._next_timer is None:
            self._active = None
            self._next_timer = self._home.next_timers.add(
                self, self.next_uri, self.next_timeout, now=now
            )

    def _process(self, delivery: Delivery, now: float) -> None:
        subscription = self.subscriptions.get(delivery.channel)
        if subscription is None:
            return
        stream = delivery.stream
        assert stream is not None  # `deliver` lets nothing else in
        if not subscription.fits(delivery):
            self._home.forget_last_id(delivery.channel)
            self._empty_queue()
            self._update_after(delivery.epoch, now)
            return
        passage = pass_filters(
            self,
            subscription,
            delivery,
            stream.content,
            stream.content_filters,
            debug=self.origin.debug,
        )
        if passage.odd:
            self._home.notices.odd_content(self.route, passage.odd)
        self._passed(passage, stream.action, delivery, subscription, now)

    def _passed(
        self,
        passage: Passage,
        action: Action,
        delivery: Delivery,
        subscription: Subscription,
        now: float,
    ) -> None:
        """Act on what the filters have made of an item."""
        if passage.halted is not None:
            self._ask_network(passage.halted, action, delivery, subscription)
        elif passage.error:
            self._home.notices.filter_failed(self.route, delivery.channel, passage.error)
            if self.origin.debug:
                self.fail(passage.error, now)
        else:
            subscription.advance(delivery)
            if passage.content is not None:
                self._act(action, delivery, passage.content, now)

    def _ask_network(
        self, halted: Halted, action: Action, delivery: Delivery, subscription: Subscription
    ) -> None:
        self._asking = True
        self._quick = False

        def done(answer: Answer, now: float) -> None:
            self._asking = False
            if self.state is not State.OVER:
                self._passed(go_on(halted, answer), action, delivery, subscription, now)
                self._run_queue(now)

        self._home.network.ask(self, delivery, halted, done)

    def _act(self, action: Action, delivery: Delivery, content: bytes, now: float) -> None:
        match action:
            case Action.SEND:
                if self._next_timer is not None:
                    self._active = self._active or set()
                    self._active.add(delivery.channel)
                if content is delivery.raw:
                    self._write(delivery.chunk, delivery.raw, now)
                else:
                    self._write(wire.chunk(content), content, now)
            case Action.HINT:
                if self.next_uri is not None:
                    self._empty_queue()
                    self.origin.wants(delivery.epoch)
                    self._ask(Wake.NEXT, now)
            case Action.CLOSE:
                self.end(now)
            case Action.REFRESH:
                pass
            case _:
                assert_never(action)

    def _write(self, chunk: bytes, raw: bytes, now: float) -> None:
        if raw:
            self._sink.write(chunk if self._sink.framing is Framing.CHUNKED else raw)
            self._touched = now

    def _empty_queue(self) -> None:
        self._queue = None
        self._queued = self._replayed = 0

    # Asking the origin

    def update(self, now: float) -> None:
        """Fetch the next link with low priority, if there is one."""
        self._update_after(self._home.marks.epoch, now)

    def _update_after(self, epoch: int, now: float) -> None:
        """Fetch the next link because of an event."""
        if self.next_uri is not None:
            self.origin.wants(epoch)
            self._ask(Wake.UPDATE, now)

    def recover(self, now: float) -> None:
        """Fetch the next link with low priority: a publisher was out of order."""
        self.update(now)

    def _ask(self, reason: Wake, now: float) -> None:
        """Ask now, or when the queue has been sent. Who waits for an update waits for any."""
        if self.state is State.WAITING:
            return
        if self._queue or not self._takes_items():
            self._remember(reason)
        elif reason is Wake.UPDATE:
            self._leave()
            self.state = State.WAITING
            positions = frozenset((s.channel, s.prev_id) for s in self.subscriptions.values())
            request = (self.next_uri, positions)
            self._home.updates.add(self, self.next_uri, now=now, request=request)
        else:
            self.ask_now()

    def _remember(self, reason: Wake) -> None:
        self._again = reason if self._again is None else max(reason, self._again)

    def _leave(self) -> None:
        """Hold no longer: items wait, and nobody counts the time until the next fetch."""
        self._quick = False
        if self._next_timer is not None:
            self._home.next_timers.remove(self, self._next_timer)
            self._next_timer = None

    def update_turn(self, now: float) -> None:
        """Fetch the next link: its turn has come."""
        if self.state is State.WAITING:
            self.ask_now()

    def ask_now(self) -> None:
        """Let the connection's task fetch the next link, when its client can take more."""
        self._leave()
        self.state = State.ASKING
        if self._sink.blocked:
            self._deferred = True
        else:
            self._sink.wake(Wake.NEXT)

    # Time

    def _start_keep_alive(self, since: float) -> None:
        keep = self._keep_alive
        if keep is None or not keep.data:
            self._keep_at = None
            return
        # A random part of a second less, so that holds that began together do not act together,
        # but never less than half (8.7).
        self._keep_at = since + max(keep.timeout - self._home.random(), keep.timeout / 2)

    def _arm(self) -> None:
        if self._keep_at is not None:
            self._home.set_deadline(self, self._keep_at)
        else:
            self._home.deadlines.cancel(self)

    def due(self, now: float) -> None:
        """Write a keep-alive, if it is time."""
        keep = self._keep_alive
        if keep is None or not keep.data or self._sink.blocked:
            self._keep_at = None  # it begins anew when the client reads again
            return
        if keep.mode is KeepAliveMode.IDLE and now - self._touched < max(
            keep.timeout - 1, keep.timeout / 2
        ):
            # Not re-armed for each item: whether it was idle is looked at when it is due.
            self._start_keep_alive(self._touched)
        else:
            self._write(wire.chunk(keep.data), keep.data, now)
            self._home.notices.kept_alive(self.route, self.kind, len(keep.data))
            self._start_keep_alive(now)
        self._arm()

    def next_due(self, now: float) -> None:
        """Fetch the next link with low priority, unless all channels had an item lately (8.4)."""
        active, self._active = self._active, None
        if active is not None and active.issuperset(self.subscriptions) and self.next_timeout > 0:
            return
        timer, self._next_timer = self._next_timer, None
        assert timer is not None  # who is told is in it
        self._home.next_timers.remove(self, timer)
        self.update(now)

    # The end

    def writable(self, now: float) -> None:
        """Go on: the client reads again."""
        if self.state is State.HOLDING:
            self._keep_at = None
            self._arm()
            self._run_queue(now)
        elif self._deferred:
            self._deferred = False
            self._sink.wake(Wake.NEXT)

    def gone(self, now: float) -> None:
        """Take note that the client has left."""
        self._close(now)

    def end(self, now: float) -> None:
        """End the stream as it should end."""
        if self.state is not State.OVER:
            self._close(now)
            self._sink.end()

    def drain(self, now: float) -> None:
        """End the stream, as the process is about to end; a body on its way goes first."""
        if self._relaying:
            self._ending = True
        else:
            self.end(now)

    def fail(self, text: str, now: float) -> None:
        """End the stream because of an error, told with debug only (8.6)."""
        if self.state is State.OVER:
            return
        if self.origin.debug:
            content = f"\n\n{text}\n".encode()
            self._write(wire.chunk(content), content, now)
        self.end(now)

    def _close(self, now: float) -> None:
        if self.state is State.OVER:
            return
        self._leave()
        self.state = State.OVER
        if self._queue:
            self._home.notices.closed(len(self._queue))
        self._empty_queue()
        self._keep_at = None
        self._home.detach(self, now=now)
        if self.interrupt is not None:
            self.interrupt()
        self._home.over(self.origin)


def unlinked(subscriptions: Iterable[Subscription], next_link: tuple[bytes, int] | None) -> str:
    """Return what is wrong with a stream that has positions, but no link to catch up (8.1)."""
    if next_link is None:
        for subscription in subscriptions:
            if subscription.prev_id is not None:
                name = subscription.name
                return f"channel '{name}' specifies prev-id, but no next link found"
    return ""

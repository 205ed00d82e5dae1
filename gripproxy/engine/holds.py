"""Held HTTP requests: response holds (long-polls) and stream holds (grip-http.md 5 to 8).

A hold is an object; nobody waits for it but its own connection. Items, moments and news of the
client are method calls; what it has to say goes to its `Sink`; what needs the origin wakes the
connection's task with a reason. The states and what leads from one to the next:

| state   | holds    | next states                                                             |
|---------|----------|-------------------------------------------------------------------------|
| OPENING | stream   | HOLDING when the initial body is out                                    |
| HOLDING | both     | WAITING for a low-priority update; ASKING (hint); OVER                  |
| WAITING | both     | ASKING when its turn comes; OVER (timeout, client gone)                 |
| ASKING  | both     | HOLDING when the origin has answered with a hold; OVER                  |
| OVER    | both     | none                                                                    |

A stream stays subscribed while it is not holding, and queues; a response hold does not, the ids
show the gap (6.1).
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gripproxy.engine.channels import Kind
from gripproxy.engine.deadlines import Deadlines, Timed
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.ports import Framing, Notices, Sink, Wake
from gripproxy.engine.subscriptions import (
    Answer,
    Halted,
    Network,
    Passage,
    Subscription,
    go_on,
    pass_filters,
)
from gripproxy.engine.updates import Updates
from gripproxy.errors import PatchError
from gripproxy.protocol import answers, patches, wire
from gripproxy.protocol.formats import Action, HttpResponse
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.terms import KeepAlive, KeepAliveMode

# Items that wait on one hold while it is not ready for them.
QUEUE_MAX = 100

_ITEM_FIELDS_IGNORED = frozenset((b"content-length", b"connection", b"transfer-encoding"))


class State(Enum):
    """What a hold is doing. See the module's docstring."""

    OPENING = "opening"
    HOLDING = "holding"
    WAITING = "waiting for its update"
    ASKING = "asking its origin"
    OVER = "over"


class Home(Protocol):
    """What holds need of the hub that they live in."""

    deadlines: Deadlines[Timed]
    updates: Updates
    notices: Notices
    network: Network
    queue_bytes: int

    def random(self) -> float:
        """Return a random number in 0 to 1: no two holds shall act in step."""

    def set_deadline(self, holder: Timed, when: float) -> None:
        """Have `due` called at a moment."""

    def forget_last_id(self, channel: str) -> None:
        """Forget the id that a channel was last seen with: somebody has missed something."""

    def detach(self, hold: "StreamHold | ResponseHold", *, now: float) -> None:
        """Unsubscribe a hold from everything."""


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
    `dress` makes an answer fit the request: CORS, JSON-P.
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
    retried: bool = False
    retries: int = 0
    retried_since: float = 0.0


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


class ResponseHold:
    """A request that is answered later: by an item, or by its default response in time."""

    kind = Kind.RESPONSE

    __slots__ = (
        "_asking",
        "_first_only",
        "_queue",
        "_sink",
        "_timeout_at",
        "default",
        "home",
        "meta",
        "origin",
        "state",
        "subscriptions",
    )

    def __init__(
        self, home: Home, sink: Sink, origin: Origin, default: Response, meta: dict[str, str]
    ) -> None:
        self.home = home
        self.origin = origin
        self.default = default
        self.meta = meta
        self.state = State.HOLDING
        self.subscriptions: dict[str, Subscription] = {}
        self._sink = sink
        self._timeout_at = 0.0
        self._first_only = False  # the update waited for is only that of a first subscription
        self._asking = False  # a filter of an item asks the network; later items wait
        self._queue: deque[Delivery] | None = None

    def __repr__(self) -> str:
        return f"<ResponseHold {self.state.value} {list(self.subscriptions)}>"

    def hold(self, timeout: int, *, now: float) -> None:
        """Start the timer."""
        self._timeout_at = now + timeout
        self.home.set_deadline(self, self._timeout_at)

    # Items

    def deliver(self, delivery: Delivery, now: float) -> None:
        """Take an item: the first one that fits answers."""
        response = delivery.response
        if response is None or not self._takes_items():
            return
        subscription = self.subscriptions.get(delivery.channel)
        if subscription is None:
            return
        if self._asking:
            self._enqueue(delivery)
            return
        if not subscription.fits(delivery):
            self.home.forget_last_id(delivery.channel)
            self._first_only = False
            self._want_update(now)
            return
        if not subscription.plain or response.content_filters is not None:
            self._deliver_filtered(delivery, response, subscription, now)
            return
        if response.action is Action.SEND:
            self._answer(response, response.body, now)
        elif response.action is Action.HINT:
            self._retry(now)

    def _takes_items(self) -> bool:
        return self.state is State.HOLDING or (self.state is State.WAITING and self._first_only)

    def _deliver_filtered(
        self, delivery: Delivery, response: HttpResponse, subscription: Subscription, now: float
    ) -> None:
        try:
            body = self._body(response)
        except PatchError as error:
            self._patch_failed(error, now)
            return
        passage = pass_filters(
            self,
            subscription,
            delivery,
            body,
            response.content_filters,
            debug=self.origin.debug,
        )
        self._passed(passage, delivery, response, subscription, now)

    def _passed(
        self,
        passage: Passage,
        delivery: Delivery,
        response: HttpResponse,
        subscription: Subscription,
        now: float,
    ) -> None:
        """Act on what the filters have made of an item."""
        if passage.halted is not None:
            self._ask_network(passage.halted, delivery, response, subscription)
            return
        if passage.error:
            self.home.notices.dropped(delivery.channel, passage.error)
            if self.origin.debug:
                self._fail(passage.error, now)
            return
        subscription.advance(delivery)
        if passage.content is None:
            return
        if response.action is Action.SEND:
            self._answer(response, passage.content, now)
        elif response.action is Action.HINT:
            self._retry(now)

    def _ask_network(
        self,
        halted: Halted,
        delivery: Delivery,
        response: HttpResponse,
        subscription: Subscription,
    ) -> None:
        self._asking = True

        def done(answer: Answer, now: float) -> None:
            self._asking = False
            if not self._takes_items():
                return
            self._passed(go_on(halted, answer), delivery, response, subscription, now)
            while self._queue and self._takes_items() and not self._asking:
                self.deliver(self._queue.popleft(), now)

        self.home.network.ask(self, delivery, halted, done)

    def _enqueue(self, delivery: Delivery) -> None:
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) < QUEUE_MAX:
            self._queue.append(delivery)
        else:
            self.home.notices.dropped(delivery.channel, "slow")

    @property
    def url(self) -> bytes:
        """The URI that filters' URLs are relative to: the client's."""
        return self.origin.request.uri

    @property
    def route(self) -> Route:
        """The route that the client's request took."""
        return self.origin.route

    def _body(self, response: HttpResponse) -> bytes:
        if response.body is not None:
            return response.body
        if response.body_patch is None:
            return b""
        default = self.default.body
        assert isinstance(default, bytes)
        return patches.apply(default, response.body_patch)

    def _answer(self, response: HttpResponse, body: bytes | None, now: float) -> None:
        if body is None:
            try:
                body = self._body(response)
            except PatchError as error:
                self._patch_failed(error, now)
                return
        self._finish(answer(self.default, response, body), now)

    def _patch_failed(self, error: PatchError, now: float) -> None:
        text = f"body patch error: {error.text}" if self.origin.debug else answers.GENERIC
        self._fail(text, now)

    def _fail(self, text: str, now: float) -> None:
        self._finish(answers.text(502, text, error="proxy_internal_response"), now)

    # Asking the origin

    def update(self, now: float) -> None:
        """Ask the origin again with low priority, because a channel was new or `recover` came."""
        if self.state is State.HOLDING:
            self._first_only = True
            self._want_update(now)

    def _want_update(self, now: float) -> None:
        if self.state is State.HOLDING:
            self.state = State.WAITING
            self.home.updates.add(self, "response", now=now)

    def update_turn(self, now: float) -> None:
        """Ask the origin again: its turn has come."""
        if self.state is State.WAITING:
            self._retry(now)

    def _retry(self, now: float) -> None:
        self.home.updates.cancel(self)
        self.state = State.ASKING
        for subscription in self.subscriptions.values():
            if subscription.prev_id is not None:
                self.origin.last[subscription.name] = subscription.prev_id
        self.home.detach(self, now=now)
        self._sink.wake(Wake.RETRY)

    # The end

    def due(self, now: float) -> None:
        """Answer with the default response: the time is over."""
        if self.state in (State.HOLDING, State.WAITING):
            self._finish(self.default, now)

    def _finish(self, response: Response, now: float) -> None:
        self.state = State.OVER
        self.home.detach(self, now=now)
        if self.origin.dress is not None:
            response = self.origin.dress.held(response)
        self._sink.finish(response)

    def gone(self, now: float) -> None:
        """The client has left."""
        if self.state is not State.OVER:
            self.state = State.OVER
            self.home.detach(self, now=now)

    def writable(self, now: float) -> None:
        """Nothing waits for it."""

    def drain(self, now: float) -> None:
        """Answer with the default response: the process is about to end."""
        self.due(now)


def answer(default: Response, item: HttpResponse, body: bytes) -> Response:
    """Return the response that an item gives to a hold with this default response (6.2).

    The default's fields less those that the item sets, then the item's. The item's
    `Grip-Expose-Headers` removes the fields that it names.
    """
    headers = default.headers
    if item.headers:
        own = [
            (text, value)
            for text, value in item.headers
            if not text.lower().startswith(b"grip-") and text.lower() not in _ITEM_FIELDS_IGNORED
        ]
        headers = headers.without(*(text.lower() for text, _ in own)).plus(*own)
        exposed = Headers(item.headers).get_all(b"grip-expose-headers")
        if exposed:
            names = [part.strip().lower() for value in exposed for part in value.split(b",")]
            headers = headers.without(*names)
    return Response(
        status=item.code, reason=item.reason, headers=headers, body=body, length=len(body)
    )

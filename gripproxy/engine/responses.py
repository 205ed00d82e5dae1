"""Response holds: requests that are answered later, by an item or in time (grip-http.md 6).

The states are those of `origins`. Items count only while it holds, and while all that it waits
for is the update of a first subscription (6.1).
"""

from collections import deque

from gripproxy.engine.channels import Kind
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.origins import QUEUE_MAX, Home, Origin, State
from gripproxy.engine.ports import Sink, Wake
from gripproxy.engine.subscriptions import (
    Answer,
    Halted,
    Passage,
    Subscription,
    go_on,
    pass_filters,
)
from gripproxy.errors import PatchError
from gripproxy.protocol import answers, patches
from gripproxy.protocol.formats import Action, HttpResponse
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.routes import Route

_ITEM_FIELDS_IGNORED = frozenset((b"content-length", b"connection", b"transfer-encoding"))
# All of them share the turns of low-priority updates (6.5).
_UPDATE_KEY = "response"


class ResponseHold:
    """A request that is answered later: by an item, or by its default response in time."""

    kind = Kind.RESPONSE

    __slots__ = (
        "_asking",
        "_first_only",
        "_home",
        "_queue",
        "_queued",
        "_sink",
        "default",
        "meta",
        "origin",
        "state",
        "subscriptions",
    )

    def __init__(
        self,
        home: Home,
        sink: Sink,
        origin: Origin,
        default: Response,
        meta: dict[str, str],
        subscriptions: dict[str, Subscription],
    ) -> None:
        self.origin = origin
        self.default = default
        self.meta = meta
        self.state = State.HOLDING
        self.subscriptions = subscriptions
        self._home = home
        self._sink = sink
        self._first_only = False  # the update waited for is only that of a first subscription
        self._asking = False  # a filter of an item asks the network; later items wait
        self._queue: deque[tuple[Delivery, int]] | None = None
        self._queued = 0  # bytes

    def __repr__(self) -> str:
        return f"<ResponseHold {self.state.value} {list(self.subscriptions)}>"

    @property
    def url(self) -> bytes:
        """The URI that filters' URLs are relative to: the client's."""
        return self.origin.request.uri

    @property
    def route(self) -> Route:
        """The route that the client's request took."""
        return self.origin.route

    def hold(self, timeout: int, *, now: float) -> None:
        """Start the timer."""
        self._home.set_deadline(self, now + timeout)

    # Items

    def deliver(self, delivery: Delivery, now: float) -> None:
        """Take an item: the first one that fits answers."""
        response = delivery.response
        if response is None or not self._takes_items():
            if response is not None and response.action is Action.HINT:
                self.origin.wants(delivery.epoch)  # it will ask; what it gets is to be younger
            return
        subscription = self.subscriptions.get(delivery.channel)
        if subscription is None:
            return
        if self._asking:
            self._enqueue(delivery, len(response.body or b""))
        elif not subscription.fits(delivery):
            self._home.forget_last_id(delivery.channel)
            self._empty_queue()
            self._first_only = False
            self.origin.wants(delivery.epoch)
            self._want_update(now)
        elif subscription.plain and response.content_filters is None:
            self._act(response, response.body, delivery, now)
        else:
            self._deliver_filtered(delivery, response, subscription, now)

    def _takes_items(self) -> bool:
        return self.state is State.HOLDING or (self.state is State.WAITING and self._first_only)

    def _deliver_filtered(
        self, delivery: Delivery, response: HttpResponse, subscription: Subscription, now: float
    ) -> None:
        failure = None
        try:
            body = self._body(response)
        except PatchError as error:
            failure, body = error, b""
        passage = pass_filters(
            self,
            subscription,
            delivery,
            body,
            response.content_filters,
            debug=self.origin.debug,
        )
        if failure is not None and (passage.halted is not None or passage.content is not None):
            self._patch_failed(failure, now)  # it is for this client
            return
        if passage.odd:
            self._home.notices.odd_content(self.route, passage.odd)
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
        elif passage.error:
            self._home.notices.filter_failed(self.route, delivery.channel, passage.error)
            if self.origin.debug:
                self._fail(passage.error, now)
        else:
            subscription.advance(delivery)
            if passage.content is not None:
                self._act(response, passage.content, delivery, now)

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
            while self._queue and not self._asking:
                following, size = self._queue.popleft()
                self._queued -= size
                self.deliver(following, now)

        self._home.network.ask(self, delivery, halted, done)

    def _enqueue(self, delivery: Delivery, size: int) -> None:
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        if len(queue) >= QUEUE_MAX or (queue and self._queued + size > self._home.queue_bytes):
            self._home.notices.dropped(delivery.channel, "slow")
            return
        queue.append((delivery, size))
        self._queued += size

    def _empty_queue(self) -> None:
        self._queue = None
        self._queued = 0

    def _act(
        self, response: HttpResponse, body: bytes | None, delivery: Delivery, now: float
    ) -> None:
        """Do what an item wants. `close` and `refresh` want nothing of a response hold."""
        if response.action is Action.SEND:
            self._answer(response, body, now)
        elif response.action is Action.HINT:
            self.origin.wants(delivery.epoch)
            self.retry(now)

    def _body(self, response: HttpResponse) -> bytes:
        if response.body_patch is None:
            return response.body or b""
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
        """Ask the origin again with low priority, because a channel was new (7.5)."""
        if self.state is State.HOLDING:
            self._first_only = True
            self.origin.wants(self._home.marks.epoch)
            self._want_update(now)

    def recover(self, now: float) -> None:
        """Ask the origin again with low priority: a publisher was out of order."""
        self._first_only = False
        self.origin.wants(self._home.marks.epoch)
        self._want_update(now)

    def _want_update(self, now: float) -> None:
        if self.state is State.HOLDING:
            self.state = State.WAITING
            self._home.updates.add(self, _UPDATE_KEY, now=now, request=self._shared_request())

    def _shared_request(self) -> object:
        """Return what stands for its request, if equal ones are made once."""
        origin = self.origin
        if origin.shared is None:
            return None
        positions = frozenset((s.channel, s.prev_id) for s in self.subscriptions.values())
        return origin.route.id, origin.request.uri, origin.shared, positions

    def update_turn(self, now: float) -> None:
        """Ask the origin again: its turn has come."""
        if self.state is State.WAITING:
            self.retry(now)

    def retry(self, now: float) -> None:
        """Let the connection's task send the client's request again, at once."""
        self.state = State.ASKING
        self._empty_queue()
        for subscription in self.subscriptions.values():
            if subscription.prev_id is not None:
                self.origin.last[subscription.name] = subscription.prev_id
        self._home.detach(self, now=now)
        self._sink.wake(Wake.RETRY)

    # The end

    def due(self, now: float) -> None:
        """Answer with the default response: the time is over."""
        if self.state in (State.HOLDING, State.WAITING):
            self._finish(self.default, now)

    def _finish(self, response: Response, now: float) -> None:
        self._close(now)
        if self.origin.dress is not None:
            response = self.origin.dress.held(response)
        self._sink.finish(response)

    def _close(self, now: float) -> None:
        self.state = State.OVER
        self._empty_queue()
        self._home.detach(self, now=now)
        self._home.over(self.origin)

    def gone(self, now: float) -> None:
        """Take note that the client has left."""
        if self.state is not State.OVER:
            if self._queue:
                self._home.notices.closed(len(self._queue))
            self._close(now)

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

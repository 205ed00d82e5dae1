"""What a holder has on each of its channels: a position and filters (grip-http.md 7, 9)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from gripproxy.engine.delivery import Delivery
from gripproxy.errors import FilterError
from gripproxy.protocol import filters
from gripproxy.protocol.routes import Route


class Subscription:
    """One channel of one holder. `name` is as the origin knows it, `channel` with the prefix."""

    __slots__ = ("channel", "filters", "name", "plain", "prev_id")

    def __init__(
        self,
        name: str,
        channel: str,
        prev_id: str | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.channel = channel
        self.prev_id = prev_id
        self.filters = filters.chain(names) if names else None
        # Whether every item is for this holder, as it is.
        self.plain = prev_id is None and self.filters is None

    def __repr__(self) -> str:
        return f"<Subscription {self.channel!r} at {self.prev_id!r}>"

    def fits(self, delivery: Delivery) -> bool:
        """Tell whether an item follows what the holder has (7.2)."""
        return self.prev_id is None or delivery.prev_id == self.prev_id

    def advance(self, delivery: Delivery) -> None:
        """Take note of an item that was dealt with; without an id the position is lost."""
        if self.prev_id is not None:
            self.prev_id = delivery.id
            self.plain = self.prev_id is None and self.filters is None


class Filtered(Protocol):
    """A holder as filters see it."""

    subscriptions: dict[str, Subscription]
    meta: dict[str, str]

    @property
    def url(self) -> bytes:
        """The absolute URI that relative ones of filters are relative to."""

    @property
    def route(self) -> Route:
        """The route that the client's request took."""


@dataclass(frozen=True, slots=True)
class Halted:
    """A chain that waits for the network; `before` are the positions before the item."""

    chain: filters.Chain
    ask: filters.Ask
    context: filters.Context
    before: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Passage:
    """What has become of a content: itself or another one, None if dropped, or an error.

    With `halted` nothing has become of it yet. `odd` is what the log shall say of the item.
    """

    content: bytes | None
    error: str = ""
    halted: Halted | None = None
    odd: str = ""


Answer = bytes | filters.Drop | FilterError


class Network(Protocol):
    """Who asks the network for a filter."""

    def ask(
        self,
        holder: Filtered,
        delivery: Delivery,
        halted: Halted,
        done: Callable[[Answer, float], None],
    ) -> None:
        """Ask; `done` is called with the answer and the time, later and once."""


def pass_filters(
    holder: Filtered,
    subscription: Subscription,
    delivery: Delivery,
    content: bytes | None,
    content_filters: tuple[str, ...] | None,
    *,
    debug: bool = False,
) -> Passage:
    """Pass an item's content through a subscription's filters (publishing.md 9)."""
    chain = subscription.filters
    if chain is None:
        if content_filters:
            return Passage(None, error=_NO_FILTERS.mismatch(content_filters))
        return Passage(content)
    mismatch = chain.mismatch(content_filters)
    if mismatch:
        return Passage(None, error=mismatch)
    positions = _positions(holder)
    if subscription.prev_id is not None:
        positions[subscription.name] = delivery.id  # the position is the one after this item
    context = filters.Context(
        sub_meta=holder.meta,
        pub_meta=delivery.item.meta,
        positions=positions,
        subscriptions=positions,
        debug=debug,
    )
    before = _positions(holder) if chain.asks else {}
    passage = _apply(chain, content or b"", context, before, start=0)
    if content and not debug and chain.content_filters[:1] == _BUILD_ID:
        odd = _odd(delivery, content)
        if odd:
            return replace(passage, odd=odd)
    return passage


def go_on(halted: Halted, answer: Answer) -> Passage:
    """Let a chain go on with what the network said."""
    match answer:
        case FilterError():
            return Passage(None, error=f"filter error: {answer.text}")
        case filters.Drop():
            return Passage(None)
        case bytes():
            return _apply(
                halted.chain, answer, halted.context, halted.before, start=halted.ask.resume
            )
        case _:
            assert_never(answer)


def _apply(
    chain: filters.Chain,
    content: bytes,
    context: filters.Context,
    before: Mapping[str, str | None],
    *,
    start: int,
) -> Passage:
    try:
        found = chain.apply(content, context, start=start)
    except FilterError as error:
        return Passage(None, error=f"filter error: {error.text}")
    match found:
        case bytes():
            return Passage(found)
        case filters.Drop():
            return Passage(None)
        case filters.Ask():
            return Passage(None, halted=Halted(chain, found, context, before))
        case _:
            assert_never(found)


def _positions(holder: Filtered) -> dict[str, str | None]:
    return {s.name: s.prev_id for s in holder.subscriptions.values()}


def _odd(delivery: Delivery, content: bytes) -> str:
    """Return what looks like a directive and is none, once for all holders of an item."""
    if delivery.looked_at or b"%" not in content:
        return ""
    delivery.looked_at = True
    return filters.odd_directive(content)


_NO_FILTERS = filters.Chain(())
# Only as the first of those that change contents does it see the item's own.
_BUILD_ID = ("build-id",)

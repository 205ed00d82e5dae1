"""What a holder has on each of its channels: a position and filters (grip-http.md 7, 9)."""

from dataclasses import dataclass
from typing import Protocol, assert_never

from gripproxy.engine.delivery import Delivery
from gripproxy.errors import FilterError
from gripproxy.protocol import filters


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


@dataclass(frozen=True, slots=True)
class Passage:
    """What has become of a content: itself or another one, None if dropped, or an error."""

    content: bytes | None
    error: str = ""


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
    positions = {s.name: s.prev_id for s in holder.subscriptions.values()}
    if subscription.prev_id is not None:
        positions[subscription.name] = delivery.id  # the position is the one after this item
    context = filters.Context(
        sub_meta=holder.meta,
        pub_meta=delivery.item.meta,
        positions=positions,
        subscriptions=positions,
        debug=debug,
    )
    try:
        found = chain.apply(content or b"", context)
    except FilterError as error:
        return Passage(None, error=f"filter error: {error.text}")
    match found:
        case bytes():
            return Passage(found)
        case filters.Drop():
            return Passage(None)
        case filters.Ask():
            return Passage(None, error=f"filter error: {found.filter} is not supported yet")
        case _:
            assert_never(found)


_NO_FILTERS = filters.Chain(())

"""The story of an item: accepted, put in order, released."""

import pytest

from gripproxy.engine.lastids import LastIds
from gripproxy.engine.sequencer import Sequencer
from gripproxy.flow.publishing import Publisher
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.purges import Purge
from tests.fakes import FakeClock


class FakeOut:
    """Where released items go: two receivers an item here, three an item elsewhere."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.since = 0

    def mark(self) -> None:
        self.calls.append("mark")
        self.since = 0

    def release(self, items) -> int:
        self.calls.append([item.id for item in items])
        self.since += len(items)
        return 2 * len(items)

    async def released(self) -> int:
        self.calls.append("released")
        return 3 * self.since


class Stage:
    """A publisher whose channels are all held."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.out = FakeOut()
        self.armed: list[float] = []
        self.unknown: list[tuple[str, str]] = []
        self.publisher = Publisher(
            Sequencer(5.0, 60.0, LastIds(), lambda _: True),
            self.out,
            clock=self.clock,
            arm=self.armed.append,
            unknown_format=lambda channel, name: self.unknown.append((channel, name)),
            purge=self._purge,
        )

    def _purge(self, purges) -> None:
        self.out.calls.append(purges)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def item(item_id: str | None = None, prev_id: str | None = None, **more: object) -> PublishItem:
    return PublishItem("a", id=item_id, prev_id=prev_id, **more)


def test_an_item_is_released_at_once(stage):
    assert stage.publisher.take([item("1")]) == 2
    assert stage.out.calls == [["1"]]
    assert stage.armed == []


def test_doubles_are_not_released(stage):
    assert stage.publisher.take([item("1"), item("1")]) == 2
    assert stage.out.calls == [["1"]]


def test_a_double_of_an_early_item_does_not_wait(stage):
    stage.publisher.take([item("2", "1"), item("2", "1")])
    assert stage.out.calls == [["2"]]
    assert stage.armed == []


def test_an_early_item_waits_for_the_one_before_it(stage):
    assert stage.publisher.take([item("1"), item("3", "2")]) == 2
    assert stage.armed == [stage.clock.now() + 5.0]
    assert stage.publisher.take([item("2", "1")]) == 4
    assert stage.out.calls == [["1"], ["2", "3"]]


def test_an_early_item_is_released_when_its_time_is_over(stage):
    stage.publisher.take([item("1"), item("3", "2")])
    stage.publisher.expire(stage.clock.advance(4.9))
    assert stage.out.calls == [["1"]]
    assert len(stage.armed) == 2
    stage.publisher.expire(stage.clock.advance(0.2))
    assert stage.out.calls == [["1"], ["3"]]
    assert len(stage.armed) == 2


def test_an_unknown_format_is_told(stage):
    stage.publisher.take([item(unknown_formats=("smoke", "mirrors"))])
    assert stage.unknown == [("a", "smoke")]


def test_what_is_to_be_purged_is_purged_before_anything_is_released(stage):
    purge = Purge(keys=("t",))
    stage.publisher.take([item("1"), item("2", purge=purge), item("1", purge=purge)])
    assert stage.out.calls == [[purge, purge], ["1"], ["2"]]


def test_each_item_takes_back_what_has_its_channel_as_a_tag_where_a_route_says_so(stage):
    stage.publisher.purges_channels = True
    stage.publisher.take([item("1"), item("1"), item("3", "2"), item()])
    moved = (("a", "1"), ("a", "1"), ("a", "3"), ("a", None))
    assert stage.out.calls == [[Purge(items=moved)], ["1"], [None]]


def test_an_item_without_a_channel_takes_back_only_what_it_says(stage):
    stage.publisher.purges_channels = True
    purge = Purge(keys=("t",))
    stage.publisher.take([PublishItem("", purge=purge)])
    assert stage.out.calls[0] == [purge]


async def test_a_receipt_counts_receivers_here_and_elsewhere(stage):
    assert await stage.publisher.accept([item("1"), item("2")]) == 2 * (2 + 3)
    assert stage.out.calls == ["mark", ["1"], ["2"], "released"]


async def test_a_receipt_counts_what_the_items_set_free(stage):
    stage.publisher.take([item("1"), item("3", "2")])
    assert await stage.publisher.accept([item("2", "1")]) == 2 * (2 + 3)


async def test_a_receipt_counts_nothing_of_others(stage):
    stage.publisher.take([item("1")])
    assert await stage.publisher.accept([item("1")]) == 0

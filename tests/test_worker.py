"""What a worker does with items that its parent tells it of."""

import asyncio
from types import SimpleNamespace

import pytest

from gripproxy.cluster.wire import Decoder, Message, encode
from gripproxy.engine.lastids import LastIds
from gripproxy.protocol import packets
from gripproxy.protocol.formats import HttpStream
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.routes import Route
from gripproxy.worker import Worker


class Front:
    """A front that has one holder, on the channel `held`."""

    def __init__(self) -> None:
        self.hub = SimpleNamespace(channels={"held"}, last_ids=LastIds())
        self.released: list[PublishItem] = []
        self.levels: list[int] = []  # how many items had been released at each look

    def level(self) -> bool:
        self.levels.append(len(self.released))
        return True

    def release(self, items) -> int:
        self.released += items
        return sum(item.channel in self.hub.channels for item in items)

    def use_routes(self, table) -> None:
        """Routes do not matter here."""


class Stage:
    """A worker without any socket."""

    def __init__(self, *, cache: bool) -> None:
        self.front = Front()
        self.worker = Worker(-1)
        self.worker._front = self.front
        self.worker._level = SimpleNamespace(level=self.front.level)
        self.worker._use_routes((Route(domain=None, id="", targets=(), cache=cache),))
        self.says(Message.TOPIC, "held", True, None)
        self.says(Message.TOPIC, "elsewhere", True, None)

    def says(self, kind: Message, *values: object) -> None:
        """Say something as the parent."""
        ((_, got),) = Decoder().feed(encode(kind, *values))
        self.worker._obey(kind, got)

    def item(self, channel: str, *, no_seq: bool = False) -> PublishItem:
        item = PublishItem(
            channel, id="2", prev_id="1", http_stream=HttpStream(content=b"x"), no_seq=no_seq
        )
        self.says(Message.ITEM, channel, "2", "1", no_seq, packets.encode_item(item))
        return item

    def last_id(self, channel: str) -> str | None:
        return self.front.hub.last_ids.get(channel)


@pytest.fixture
async def plain() -> Stage:
    """A worker that stores nothing."""
    return Stage(cache=False)


@pytest.fixture
async def caching() -> Stage:
    """A worker that stores what its origins allow."""
    return Stage(cache=True)


async def test_an_item_that_is_held_here_is_released(plain):
    expected = plain.item("held")
    assert plain.front.released == [expected]


@pytest.mark.parametrize("channel", ["elsewhere", "nowhere"])
async def test_what_is_not_held_here_is_dropped_if_nothing_is_stored(plain, channel):
    plain.item(channel)
    assert plain.front.released == []


@pytest.mark.parametrize("channel", ["held", "elsewhere", "nowhere"])
async def test_every_item_is_released_where_anything_may_be_stored(caching, channel):
    expected = caching.item(channel)
    assert caching.front.released == [expected]


async def test_purges_are_applied_before_an_item_is_released(caching):
    caching.item("held")
    caching.item("nowhere")
    assert caching.front.levels == [0, 1]


async def test_other_routes_make_it_another_matter(caching):
    caching.worker._use_routes((Route(domain=None, id="", targets=()),))
    caching.item("nowhere")
    assert caching.front.released == []


@pytest.mark.parametrize("cache", [False, True])
async def test_the_last_id_of_what_others_hold_is_kept_here_too(cache):
    stage = Stage(cache=cache)
    stage.item("elsewhere")
    stage.item("nowhere")
    assert (stage.last_id("elsewhere"), stage.last_id("nowhere")) == ("2", None)


@pytest.mark.parametrize("cache", [False, True])
async def test_an_item_out_of_sequence_leaves_the_last_id_alone(cache):
    stage = Stage(cache=cache)
    stage.item("elsewhere", no_seq=True)
    assert stage.last_id("elsewhere") is None


async def test_a_worker_that_cannot_hear_of_purges_ends(plain):
    plain.worker._lost()
    await asyncio.wait_for(plain.worker._over.wait(), 5)
    assert plain.worker._code == 1

"""A worker's side of purges: applied as they come, at the latest before it serves."""

import asyncio
import socket
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.cluster.level import Level, Page, pack, unpack
from gripproxy.cluster.wire import Decoder, Message, encode
from gripproxy.errors import PacketError
from gripproxy.protocol.caching import tags
from gripproxy.protocol.purges import Purge

KEY = ("key", b"k")
NOTHING = frozenset()


class Stage:
    """A worker, and the parent that it has."""

    def __init__(self, *, word: int = 0) -> None:
        self.page = Page.create()
        self.page.word = word
        self.ours, theirs = socket.socketpair()
        self.applied: list[frozenset[tags.Tag]] = []
        self.told: list[tuple[Message, list[object]]] = []
        self.lost = 0
        self.error: Exception | None = None
        self._decoder = Decoder()
        self.worker = Level(theirs, self.page, apply=self._apply, send=self._send, lost=self._lost)

    def _apply(self, purge: Purge, names: frozenset[tags.Tag]) -> int:
        if self.error is not None:
            raise self.error
        self.applied.append(names)
        return 5

    def _send(self, data: bytes) -> None:
        self.told += self._decoder.feed(data)

    def _lost(self) -> None:
        self.lost += 1

    def purge(self, number: int, key: str = "k", *, counted: bool = False) -> bytes:
        """Return a purge as the parent writes it."""
        return encode(Message.PURGE, number, counted, *pack(Purge(keys=(key,)), NOTHING))

    def sends(self, *purges: bytes, word: int | None = None) -> None:
        """Write purges, and then the word."""
        self.ours.sendall(b"".join(purges))
        if word is not None:
            self.page.word = word

    def close(self) -> None:
        self.worker.close()
        self.ours.close()
        self.page.close()


@pytest.fixture
async def stage():
    one = Stage()
    yield one
    one.close()


async def test_a_worker_begins_with_the_word_and_tells_so():
    stage = Stage(word=7)
    assert stage.worker.level()
    assert stage.told == [(Message.APPLIED, [7, []])]
    stage.close()


async def test_purges_up_to_the_word_it_began_with_are_not_its_business():
    stage = Stage(word=7)
    stage.sends(stage.purge(6), stage.purge(7), stage.purge(8, "new"), word=8)
    assert stage.worker.level()
    assert stage.applied == [{("key", b"new")}]
    stage.close()


async def test_a_purge_is_applied_before_the_worker_is_level_with_its_word(stage):
    stage.sends(stage.purge(1), word=1)
    assert stage.worker.level()
    assert stage.applied == [{KEY}]


async def test_a_purge_is_applied_without_being_asked_for(stage):
    stage.sends(stage.purge(1))
    while not stage.applied:
        await asyncio.sleep(0)
    assert stage.told[1:] == [(Message.APPLIED, [1, []])]


async def test_a_worker_is_level_if_it_is_before_the_word(stage):
    stage.sends(stage.purge(1))
    stage.worker.read()
    assert stage.page.word == 0
    assert stage.worker.level()


async def test_a_worker_is_not_level_as_long_as_a_purge_has_not_come(stage):
    whole = stage.purge(1)
    stage.sends(whole[:5], word=1)
    assert not stage.worker.level()
    stage.sends(whole[5:])
    assert stage.worker.level()


async def test_what_is_to_be_counted_is_counted(stage):
    stage.sends(stage.purge(1, counted=True), stage.purge(2), stage.purge(3, counted=True), word=3)
    stage.worker.read()
    assert stage.told[1:] == [(Message.APPLIED, [3, [[1, 5], [3, 5]]])]


# What a worker asks for


async def test_what_a_worker_asks_for_is_done_when_the_parent_says_so(stage):
    names = frozenset({("group", b"g")})
    asked = asyncio.get_running_loop().create_task(stage.worker.purge(Purge(urls=("a/b",)), names))
    await asyncio.sleep(0)
    kind, (number, *named) = stage.told[-1]
    assert kind is Message.ASK_PURGE
    assert unpack(named) == (Purge(), {("group", b"g"), ("url", b"a/b")})
    stage.sends(encode(Message.PURGED, number + 1))
    stage.worker.read()
    await asyncio.sleep(0)
    assert not asked.done()
    stage.sends(encode(Message.PURGED, number), encode(Message.PURGED, number))
    stage.worker.read()
    await asked


async def test_one_who_waits_no_longer_is_not_told(stage):
    asked = asyncio.get_running_loop().create_task(stage.worker.purge(Purge(), NOTHING))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    stage.sends(encode(Message.PURGED, stage.told[-1][1][0]))
    stage.worker.read()
    assert not stage.lost


# A way that is broken


async def test_without_the_parent_nothing_is_believed(stage):
    stage.ours.close()
    while not stage.lost:
        await asyncio.sleep(0)
    assert not stage.worker.level()
    assert stage.lost == 1


async def test_a_way_that_fails_is_a_way_that_has_ended(stage):
    stage.worker._sock.send(b"unread")  # so its end is a failure
    stage.ours.close()
    assert not stage.page.word
    stage.worker.read()
    assert not stage.worker.level()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        encode(Message.SYNC, 1),
        encode(Message.PURGE, "one"),
        encode(Message.PURGE, 1, False, [], False, False),
    ],
)
async def test_what_makes_no_sense_ends_the_way(stage, data):
    stage.sends(data, stage.purge(1), word=1)
    assert not stage.worker.level()
    assert (stage.applied, stage.lost) == ([], 1)


async def test_a_purge_that_fails_is_not_taken_for_one_that_was_applied(stage):
    stage.error = ValueError("a bug")
    stage.sends(stage.purge(1), stage.purge(2), word=2)
    with pytest.raises(ValueError, match="a bug"):
        stage.worker.level()
    stage.error = None
    assert not stage.worker.level()
    assert stage.lost == 1


# Purges as values

NAMES = st.frozensets(st.tuples(st.text(), st.binary()))
PURGES = st.builds(
    Purge,
    urls=st.lists(st.text()).map(tuple),
    keys=st.lists(st.text()).map(tuple),
    everything=st.booleans(),
    soft=st.booleans(),
    settle=st.floats(0, 60),
    items=st.lists(st.tuples(st.text(), st.none() | st.text())).map(tuple),
)


@given(PURGES, NAMES)
def test_a_purge_arrives_with_the_tags_of_what_it_names(purge, names):
    message = encode(Message.PURGE, *pack(purge, names))
    ((_, values),) = Decoder().feed(message)
    expected = replace(purge, urls=(), keys=())
    assert unpack(values) == (expected, names | tags.of_purge(purge))


@pytest.mark.parametrize("tag", [None, "key", ["key"], ["key", "k"], [b"key", b"k"]])
def test_what_is_no_tag_is_refused(tag):
    _, *others = pack(Purge(), NOTHING)
    with pytest.raises(PacketError, match="not a tag"):
        unpack([[tag], *others])


@pytest.mark.parametrize("item", [None, "c", ["c"], ["c", 1], [b"c", "1"]])
def test_what_is_no_item_is_refused(item):
    *others, _ = pack(Purge(), NOTHING)
    with pytest.raises(PacketError, match="not an item"):
        unpack([*others, [item]])


async def test_a_worker_begins_with_what_still_settles():
    page = Page.create()
    assert page.unsettled_until == 0.0
    page.settle(102.5)
    page.settle(101.0)
    ours, theirs = socket.socketpair()
    worker = Level(theirs, page, apply=lambda *_: 0, send=lambda _: None, lost=lambda: None)
    assert worker.unsettled_until == 102.5
    worker.close()
    ours.close()
    page.close()

"""A parent's side of the links to its workers."""

import asyncio
import socket

import pytest

from gripproxy.cluster import workers
from gripproxy.cluster.wire import Decoder, Message, encode
from gripproxy.cluster.workers import Link, Workers
from gripproxy.errors import CommandError
from gripproxy.protocol import packets
from gripproxy.protocol.formats import HttpStream
from gripproxy.protocol.items import PublishItem


class FakeLink:
    """A link that keeps what is written, as messages."""

    def __init__(self) -> None:
        self.got: list[tuple[Message, list[object]]] = []
        self.closed = False
        self._decoder = Decoder()

    def write(self, data: bytes) -> None:
        self.got += self._decoder.feed(data)

    def close(self) -> None:
        self.closed = True

    def take(self) -> list[tuple[Message, list[object]]]:
        got, self.got = self.got, []
        return got


class Parent:
    """Workers of a parent, and what they tell it."""

    def __init__(self) -> None:
        self.topics: list[tuple[str, bool]] = []
        self.ids: dict[str, str] = {}
        self.all = Workers(
            lambda channel, held: self.topics.append((channel, held)),
            last_id=self.ids.get,
            loop=asyncio.get_running_loop(),
        )

    def joined(self, count: int = 2) -> list[FakeLink]:
        links = [FakeLink() for _ in range(count)]
        for link in links:
            self.all.join(link)
        return links

    def asked(self, story):
        """Begin to ask; return the task."""
        return asyncio.get_running_loop().create_task(story)


@pytest.fixture
async def parent() -> Parent:
    return Parent()


def item(channel: str = "a", **more: object) -> PublishItem:
    return PublishItem(channel, http_stream=HttpStream(content=b"x"), **more)


def number_of(link: FakeLink) -> int:
    """Return the number of the last question."""
    return link.got[-1][1][0]


# Channels


async def test_the_first_holder_anywhere_is_told_to_all_and_the_last_one(parent):
    one, two = parent.joined()
    parent.all.received(one, Message.HELD, ["a", True])
    parent.all.received(two, Message.HELD, ["a", True])
    assert parent.topics == [("a", True)]
    assert one.take() == two.take() == [(Message.TOPIC, ["a", True, None])]
    assert "a" in parent.all
    parent.all.received(one, Message.HELD, ["a", False])
    assert one.take() == []
    parent.all.received(two, Message.HELD, ["a", False])
    assert parent.topics == [("a", True), ("a", False)]
    assert one.take() == two.take() == [(Message.TOPIC, ["a", False, None])]
    assert "a" not in parent.all


async def test_a_worker_that_says_a_thing_twice_counts_once(parent):
    one, _ = parent.joined()
    for held in (False, True, True, False, False):
        parent.all.received(one, Message.HELD, ["a", held])
    assert parent.topics == [("a", True), ("a", False)]


async def test_what_a_worker_held_ends_with_it(parent):
    one, two = parent.joined()
    for channel in "ab":
        parent.all.received(one, Message.HELD, [channel, True])
    parent.all.received(two, Message.HELD, ["b", True])
    parent.all.leave(one)
    assert parent.topics[2:] == [("a", False)]
    assert len(parent.all) == 1
    assert two.take()[-1] == (Message.TOPIC, ["a", False, None])


async def test_a_worker_that_has_left_is_not_listened_to(parent):
    one, _ = parent.joined()
    parent.all.leave(one)
    parent.all.received(one, Message.HELD, ["a", True])
    assert parent.topics == []


async def test_a_new_worker_learns_what_is_held_elsewhere_and_the_last_ids(parent):
    (one,) = parent.joined(1)
    parent.all.received(one, Message.HELD, ["a", True])
    parent.all.received(one, Message.HELD, ["b", True])
    parent.ids["b"] = "7"
    (two,) = parent.joined(1)
    expected = [(Message.TOPIC, ["a", True, None]), (Message.TOPIC, ["b", True, "7"])]
    assert two.take() == expected


async def test_a_channel_is_told_before_the_items_on_it(parent):
    one, two = parent.joined()
    parent.all.received(one, Message.HELD, ["a", True])
    parent.all.release([item()])
    assert [kind for kind, _ in two.take()] == [Message.TOPIC, Message.ITEM]


async def test_a_worker_that_says_what_nobody_knows_is_ended(parent):
    (one,) = parent.joined(1)
    parent.all.received(one, Message.ITEM, [])
    assert one.closed


# Items


async def test_items_go_to_all_workers_as_they_came(parent):
    one, two = parent.joined()
    raw = b'J{"channel": "a", "formats": {"http-stream": {"content": "x"}}}'
    first = packets.decode_item(raw)
    assert parent.all.release([first, item("b", id="1", prev_id="0", no_seq=True)]) == 0
    made = packets.encode_item(item("b", id="1", prev_id="0", no_seq=True))
    expected = [
        (Message.ITEM, ["a", None, None, False, raw]),
        (Message.ITEM, ["b", "1", "0", True, made]),
    ]
    assert one.take() == two.take() == expected


async def test_receivers_are_summed_over_all_workers(parent):
    one, two = parent.joined()
    parent.all.release([item()])
    asked = parent.asked(parent.all.released())
    await asyncio.sleep(0)
    for link, count in ((one, 3), (two, 4)):
        assert link.got[-1][0] is Message.SYNC
        parent.all.received(link, Message.COUNT, [number_of(link), count])
    assert await asked == 7


async def test_a_worker_that_leaves_is_not_waited_for(parent):
    one, two = parent.joined()
    asked = parent.asked(parent.all.released())
    await asyncio.sleep(0)
    parent.all.received(one, Message.COUNT, [number_of(one), 3])
    parent.all.leave(two)
    assert await asked == 3


async def test_a_worker_that_does_not_answer_is_not_waited_for_for_ever(parent, monkeypatch):
    monkeypatch.setattr(workers, "RECEIPT_SECONDS", 0.01)
    one, _ = parent.joined()
    asked = parent.asked(parent.all.released())
    await asyncio.sleep(0)
    number = number_of(one)
    parent.all.received(one, Message.COUNT, [number, 3])
    assert await asked == 3
    parent.all.received(one, Message.COUNT, [number, 3])  # too late, and nobody's


async def test_without_workers_there_is_nobody_to_wait_for(parent):
    assert parent.all.release([item()]) == 0
    assert await parent.all.released() == 0


async def test_counting_begins_anew_only_if_something_was_counted(parent):
    (one,) = parent.joined(1)
    parent.all.mark()
    assert one.take() == []
    parent.all.release([item()])
    parent.all.mark()
    parent.all.mark()
    assert [kind for kind, _ in one.take()] == [Message.ITEM, Message.MARK]


async def test_a_receipt_leaves_nothing_counted(parent):
    (one,) = parent.joined(1)
    parent.all.release([item()])
    asked = parent.asked(parent.all.released())
    await asyncio.sleep(0)
    parent.all.received(one, Message.COUNT, [number_of(one), 1])
    await asked
    one.take()
    parent.all.mark()
    assert one.take() == []


# Commands


async def called(parent, *replies):
    """Call a command; let each worker reply with a value and a condition."""
    links = parent.joined(len(replies))
    asked = parent.asked(parent.all.call("refresh", "x", None))
    await asyncio.sleep(0)
    for link, reply in zip(links, replies, strict=True):
        assert link.got[-1] == (Message.CALL, [number_of(link), "refresh", ["x", None]])
        parent.all.received(link, Message.REPLY, [number_of(link), *reply])
    return await asked


async def test_a_command_returns_what_each_worker_said(parent):
    assert await called(parent, ([1], None), ([2], None)) == [[1], [2]]


async def test_a_command_is_done_if_one_worker_has_done_it(parent):
    assert await called(parent, (None, "item-not-found"), (5, None)) == [5]


async def test_a_command_is_refused_if_all_workers_refuse_it(parent):
    with pytest.raises(CommandError, match="item-not-found"):
        await called(parent, (None, "item-not-found"), (None, "item-not-found"))


# Links


class Ends:
    """The two ends of a link, and what came out of them."""

    def __init__(self) -> None:
        self.got: list[tuple[Message, list[object]]] = []
        self.lost: list[Link] = []
        self.news = asyncio.Event()

    async def open(self) -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, self.near = await loop.create_unix_connection(self._link, sock=ours)
        self.far, _ = await loop.create_unix_connection(asyncio.Protocol, sock=theirs)
        self.near.begin()

    def _link(self) -> Link:
        return Link(self._received, self._lost)

    def _received(self, _link, kind, values) -> None:
        self.got.append((kind, values))
        self.news.set()

    def _lost(self, link) -> None:
        self.lost.append(link)
        self.news.set()


@pytest.fixture
async def ends():
    both = Ends()
    await both.open()
    yield both
    both.near.close()
    both.far.abort()


async def test_what_comes_early_is_kept_until_it_can_be_told():
    ends = Ends()
    link = ends._link()
    link.connection_made(asyncio.Transport())
    link.data_received(encode(Message.SYNC, 5))
    link.connection_lost(None)
    assert (ends.got, ends.lost) == ([], [])
    link.begin()
    assert (ends.got, ends.lost) == ([(Message.SYNC, [5])], [link])


async def test_a_link_gives_messages(ends):
    ends.far.write(encode(Message.SYNC, 5))
    await ends.news.wait()
    assert ends.got == [(Message.SYNC, [5])]


async def test_a_link_ends_with_what_is_no_message(ends):
    ends.far.write(b"\xff\xff")
    await ends.news.wait()
    assert ends.lost == [ends.near]
    assert ends.near.lost


async def test_a_link_that_is_lost_takes_messages_and_drops_them(ends):
    ends.far.close()
    await ends.news.wait()
    ends.near.send(Message.SYNC, 5)
    assert ends.lost == [ends.near]


async def test_a_link_to_somebody_who_reads_nothing_ends(ends, monkeypatch):
    monkeypatch.setattr(workers, "PENDING_MAX", 1000)
    ends.far.pause_reading()
    while not ends.news.is_set():
        ends.near.send(Message.SYNC, b"x" * 1_000_000)
        await asyncio.sleep(0)
    assert ends.lost == [ends.near]


async def test_one_large_message_ends_no_link(ends, monkeypatch):
    monkeypatch.setattr(workers, "PENDING_MAX", 1000)
    ends.near.send(Message.SYNC, b"x" * 10_000_000)
    assert not ends.near.lost

"""News of workers as messages to their parent."""

import pytest

from gripproxy.cluster.news import pack, pack_statistics, unpack, unpack_statistics
from gripproxy.cluster.wire import Decoder, Message, encode
from gripproxy.engine.news import Begun, Ended, News, Sent, Statistics, Subscribers, Total
from gripproxy.engine.sums import NAMES
from gripproxy.errors import PacketError

SUMS = tuple(range(len(NAMES)))


def through(*values):
    """Return values as the other side of a link gets them."""
    [(kind, received)] = Decoder().feed(encode(Message.STATISTICS, *values))
    assert kind is Message.STATISTICS
    return received


def test_news_arrive_as_they_were():
    news = News(
        begun=(Begun("c", "r", "http", "::1", True),),
        subscribers=(Subscribers(1, "a", 3),),
        sent=(Sent(7, "a", None, 2, 3, None), Sent(8, "a", "x", 0, 1, 4)),
        ended=(Ended("c"),),
        totals=(Total("r", 1, 2, SUMS),),
    )
    assert unpack(through(*pack(news))) == news


def test_no_news_arrive_as_none():
    assert unpack(through(*pack(News()))) == News()


def test_statistics_arrive_as_they_were():
    statistics = Statistics({("channels",): 3, ("holds", "ws", ""): 1.5})
    [value] = through(pack_statistics(statistics))
    assert unpack_statistics(value) == statistics


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1, [], [], [], []],
        [["c"], [], [], [], []],
        [[], [[1, "a"]], [], [], []],
        [[], [], [["a"]], [], []],
        [[], [], [], [5], []],
        [[], [], [], [], [["r", 1, 2, [1]]]],
        [[], [], [], [], [["r"]]],
    ],
)
def test_what_is_no_news_is_refused(values):
    with pytest.raises(PacketError):
        unpack(values)


@pytest.mark.parametrize("value", [None, [1], [["a", "b"]]])
def test_what_is_no_statistics_is_refused(value):
    with pytest.raises(PacketError):
        unpack_statistics(value)

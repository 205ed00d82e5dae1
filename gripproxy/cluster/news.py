"""News of a worker on their way to the parent: values to messages and back (stats.md 10)."""

from gripproxy.cluster.wire import Value
from gripproxy.engine.news import Begun, Ended, News, Sample, Sent, Statistics, Subscribers, Total
from gripproxy.engine.sums import NAMES
from gripproxy.errors import PacketError


def pack(news: News) -> list[Value]:
    """Return news as the values of a message."""
    return [
        [list(begun) for begun in news.begun],
        [list(subscribers) for subscribers in news.subscribers],
        [list(sent) for sent in news.sent],
        [ended.cid for ended in news.ended],
        [[*total[:-1], list(total.sums)] for total in news.totals],
    ]


def unpack(values: list[Value]) -> News:
    """Return the news of a message.

    Raises:
        PacketError: no news.
    """
    match values:
        case [[*begun], [*subscribers], [*sent], [*ended], [*totals]]:
            return News(
                begun=tuple([_begun(row) for row in begun]),
                subscribers=tuple([_subscribers(row) for row in subscribers]),
                sent=tuple([_sent(row) for row in sent]),
                ended=tuple([_ended(row) for row in ended]),
                totals=tuple([_total(row) for row in totals]),
            )
        case _:
            raise _unreadable()


def pack_statistics(statistics: Statistics) -> list[Value]:
    """Return statistics as a value of a message."""
    return [[*name, value] for name, value in statistics.samples.items()]


def unpack_statistics(value: Value) -> Statistics:
    """Return the statistics of a message.

    Raises:
        PacketError: no statistics.
    """
    match value:
        case [*rows]:
            return Statistics(dict(_sample(row) for row in rows))
        case _:
            raise _unreadable()


def _unreadable() -> PacketError:
    return PacketError("not the news of a worker")


def _begun(row: Value) -> Begun:
    match row:
        case [str(cid), str(route), str(transport), str(peer), bool(ssl)]:
            return Begun(cid, route, transport, peer, ssl)
        case _:
            raise _unreadable()


def _subscribers(row: Value) -> Subscribers:
    match row:
        case [int(kind), str(channel), int(subscribers)]:
            return Subscribers(kind, channel, subscribers)
        case _:
            raise _unreadable()


def _sent(row: Value) -> Sent:
    match row:
        case [
            int(number),
            str(channel),
            str() | None as item_id,
            int(kind),
            int(subscribers),
            int() | None as blocks,
        ]:
            return Sent(number, channel, item_id, kind, subscribers, blocks)
        case _:
            raise _unreadable()


def _ended(row: Value) -> Ended:
    if not isinstance(row, str):
        raise _unreadable()
    return Ended(row)


def _total(row: Value) -> Total:
    match row:
        case [str(route), int(connections), int(peak), [*given]]:
            sums = tuple([number for number in given if isinstance(number, int)])
            if len(sums) == len(NAMES):
                return Total(route, connections, peak, sums)
        case _:
            pass
    raise _unreadable()


def _sample(row: Value) -> tuple[Sample, float]:
    match row:
        case [*name, float() | int() as number]:
            return tuple([text for text in name if isinstance(text, str)]), number
        case _:
            raise _unreadable()

"""What one process counts (stats.md 3, 5 to 7)."""

from dataclasses import dataclass

import pytest

from gripproxy.engine.channels import Channel, Kind
from gripproxy.engine.news import Begun, Ended, News, Sent, Subscribers
from gripproxy.engine.stats import Counters, request_size, response_size
from gripproxy.engine.sums import NAMES
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.formats import Kind as MessageKind
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.statspackets import Kind as PacketKind

TARGETS = (Target(kind="test"),)
NAMED = Route(targets=TARGETS, domain=None, id="r", explicit_id=True)
OTHER = Route(targets=TARGETS, domain=None, id="o", explicit_id=True)
NAMELESS = Route(targets=TARGETS, domain=None, id="*,*,*,*")


@dataclass(eq=False)
class Holder:
    kind: Kind
    route: Route = NAMELESS


def counters(**options) -> Counters:
    return Counters(now=1000.0, instance="i", **options)


def request(**given) -> Request:
    given.setdefault("headers", Headers([(b"Host", b"a.example")]))
    return Request(method=b"GET", target=b"/x?q", **given)


def begin(stats: Counters, route: Route | None = NAMELESS, *, now: float = 1000.0, cid: str = ""):
    return stats.begin(request(), route, peer="192.0.2.1", now=now, cid=cid)


def subscribe(stats: Counters, channel: Channel, *holders: Holder) -> None:
    for holder in holders:
        channel.holders[holder.kind][holder] = None
        stats.subscribed(channel, holder)


def unsubscribe(stats: Counters, channel: Channel, holder: Holder) -> None:
    del channel.holders[holder.kind][holder]
    stats.unsubscribed(channel, holder)


def sums(news: News, route: str = "") -> dict[str, int]:
    """Return what the news say of a route, less what is zero."""
    total = next(total for total in news.totals if total.route == route)
    return {name: value for name, value in zip(NAMES, total.sums, strict=True) if value}


# Connections


def test_a_request_is_a_connection():
    stats = counters()
    begin(stats)
    news = stats.news(1000.0)
    assert news.begun == (Begun("i:1", "", "http", "192.0.2.1", False),)
    assert "i:1" in stats


def test_each_request_has_an_id_of_its_own():
    stats = counters()
    begin(stats)
    begin(stats)
    assert [begun.cid for begun in stats.news(1000.0).begun] == ["i:1", "i:2"]


def test_a_websocket_keeps_its_id():
    stats = counters()
    begin(stats, NAMED, cid="6b1d")
    assert stats.news(1000.0).begun == (Begun("6b1d", "r", "ws", "192.0.2.1", False),)


def test_a_connection_tells_that_it_is_secure():
    stats = counters()
    stats.begin(request(scheme=b"https"), NAMELESS, peer="", now=1000.0)
    assert stats.news(1000.0).begun[0].ssl


def test_a_connection_that_ends_is_told_of():
    stats = counters()
    counted = begin(stats)
    stats.news(1000.0)
    counted.over(1001.0)
    assert stats.news(1001.0).ended == (Ended("i:1"),)
    assert "i:1" not in stats


def test_a_short_connection_is_told_of_if_somebody_reads_it():
    stats = counters()
    begin(stats).over(1000.0)
    news = stats.news(1000.0)
    assert (len(news.begun), len(news.ended)) == (1, 1)


def test_a_short_connection_is_not_told_of_if_nobody_reads_it():
    stats = counters()
    stats.want({PacketKind.SUBSCRIPTION})
    begin(stats).over(1000.0)
    news = stats.news(1000.0)
    assert (news.begun, news.ended) == ((), ())
    assert sums(news)["minutes"] == 1


def test_a_connection_that_was_told_of_must_end():
    stats = counters()
    stats.want(())
    counted = begin(stats)
    stats.news(1000.0)
    counted.over(1000.0)
    assert stats.news(1000.0).ended == (Ended("i:1"),)


def test_a_request_is_activity_and_has_a_head():
    stats = counters()
    begin(stats, NAMED)
    assert sums(stats.news(1000.0), "r") == {
        "requests_received": 1,
        "activity": 1,
        "minutes": 1,
        "client_header_bytes_received": len("GET/x?qHosta.example"),
    }


def test_a_connection_without_a_route_is_nobodys_request():
    stats = counters()
    begin(stats, None, cid="6b1d")
    news = stats.news(1000.0)
    assert sums(news) == {"minutes": 1}
    assert news.begun[0].route == ""


def test_connections_grow_older_when_one_asks():
    stats = counters()
    begin(stats)
    assert sums(stats.news(1200.0))["minutes"] == 4


def test_connections_are_counted_by_route():
    stats = counters()
    begin(stats, NAMED)
    begin(stats)
    assert stats.connections == 2
    assert [total[:3] for total in stats.news(1000.0).totals] == [("", 1, 1), ("r", 1, 1)]


def test_the_most_connections_since_the_last_news_are_told():
    stats = counters()
    begin(stats).over(1000.0)
    assert stats.news(1000.0).totals[0][1:3] == (0, 1)
    begin(stats)
    assert stats.news(1000.0).totals[0][1:3] == (1, 1)


def test_an_answer_has_a_head():
    stats = counters()
    counted = begin(stats)
    counted.answered(Response(status=200, reason=b"OK", headers=Headers([(b"A", b"bc")])))
    assert sums(stats.news(1000.0))["client_header_bytes_sent"] == len("200OKAbc")


def test_content_is_counted_as_it_grows():
    stats = counters()
    counted = begin(stats)
    counted.sent(3)
    counted.sent(3)
    counted.sent(8)
    assert sums(stats.news(1000.0))["client_content_bytes_sent"] == 8


def test_a_handshake_is_two_heads_on_each_side():
    stats = counters()
    counted = begin(stats, cid="6b1d")
    answer = Response(status=101, reason=b"OK", headers=Headers())
    counted.opened(request(), answer)
    found = sums(stats.news(1000.0))
    assert found["server_header_bytes_sent"] == found["client_header_bytes_received"]
    assert found["server_header_bytes_received"] == len("101OK")
    assert found["client_header_bytes_sent"] == len("101OK")


def test_a_connection_ends_once():
    stats = counters()
    counted = begin(stats)
    counted.over(1000.0)
    counted.over(1000.0)
    assert stats.connections == 0


def test_a_connection_shows_its_id():
    stats = counters()
    counted = begin(stats)
    assert repr(counted) == "<Counted untold>"
    stats.news(1000.0)
    assert repr(counted) == "<Counted i:1>"
    assert repr(stats) == "<Counters i 1 connections>"


# Activity


def activity(stats: Counters) -> int:
    return sums(stats.news(2000.0)).get("activity", 0)


def test_frames_of_less_than_a_minute_are_no_activity():
    stats = counters()
    counted = begin(stats)
    for second in range(60):
        counted.frame(1000.0 + second)
    counted.over(1059.0)
    assert activity(stats) == 1


def test_each_minute_with_frames_is_activity():
    stats = counters()
    counted = begin(stats)
    for second in range(121):
        counted.frame(1000.0 + second)
    assert activity(stats) == 3


def test_the_last_minute_with_frames_counts_at_the_end():
    stats = counters()
    counted = begin(stats)
    counted.frame(1000.0)
    counted.over(1061.0)
    assert activity(stats) == 2


def test_whatever_a_story_does_can_be_activity():
    stats = counters()
    stats.active(stats.entry(None))
    assert activity(stats) == 1


def test_keeping_a_stream_alive_is_activity():
    stats = counters()
    stats.kept_alive(NAMELESS, Kind.STREAM, 2)
    assert sums(stats.news(1000.0)) == {"activity": 1, "client_content_bytes_sent": 2}


def test_keeping_a_websocket_alive_is_a_message():
    stats = counters()
    stats.kept_alive(NAMED, Kind.SOCKET, 2)
    assert sums(stats.news(1000.0), "r")["client_messages_sent"] == 1


# Subscribers


def test_subscribers_are_told_of_by_kind():
    stats, channel = counters(), Channel("c")
    subscribe(stats, channel, Holder(Kind.STREAM), Holder(Kind.STREAM), Holder(Kind.SOCKET))
    assert stats.news(1000.0).subscribers == (
        Subscribers(Kind.STREAM, "c", 2),
        Subscribers(Kind.SOCKET, "c", 1),
    )


def test_the_last_subscriber_that_goes_is_told_of():
    stats, channel, holder = counters(), Channel("c"), Holder(Kind.RESPONSE)
    subscribe(stats, channel, holder)
    stats.news(1000.0)
    unsubscribe(stats, channel, holder)
    assert stats.news(1000.0).subscribers == (Subscribers(Kind.RESPONSE, "c", 0),)


def test_a_channel_that_began_anew_has_its_new_subscribers():
    stats, old, holder = counters(), Channel("c"), Holder(Kind.STREAM)
    subscribe(stats, old, holder)
    unsubscribe(stats, old, holder)
    subscribe(stats, Channel("c"), holder)
    assert stats.news(1000.0).subscribers == (Subscribers(Kind.STREAM, "c", 1),)


def test_holders_are_counted_for_metrics():
    stats, holder = counters(), Holder(Kind.STREAM, NAMED)
    stats.attached(holder)
    assert stats.statistics(1000.0).samples["holds", "stream", "r"] == 1
    stats.released(holder)
    assert stats.statistics(1000.0).samples["holds", "stream", "r"] == 0


# Items


ITEM = PublishItem(
    "c", "one", http_response=HttpResponse(body=b"12345"), http_stream=HttpStream(content=b"123")
)


def test_an_item_is_told_of_by_kind_of_subscribers():
    stats, channel = counters(), Channel("c")
    subscribe(stats, channel, Holder(Kind.RESPONSE), Holder(Kind.STREAM), Holder(Kind.STREAM))
    stats.number = 7
    stats.delivered(ITEM, channel)
    assert stats.news(1000.0).sent == (
        Sent(7, "c", "one", Kind.RESPONSE, 1, None),
        Sent(7, "c", "one", Kind.STREAM, 2, None),
    )


def test_a_format_without_subscribers_is_not_told_of():
    stats, channel = counters(), Channel("c")
    subscribe(stats, channel, Holder(Kind.SOCKET))
    stats.delivered(ITEM, channel)
    news = stats.news(1000.0)
    assert news.sent == ()
    assert news.totals == ()


def test_deliveries_are_sums_of_the_subscribers_routes():
    stats, channel = counters(), Channel("c")
    subscribe(stats, channel, Holder(Kind.STREAM), Holder(Kind.STREAM, NAMED))
    subscribe(stats, channel, Holder(Kind.STREAM, NAMED), Holder(Kind.RESPONSE, NAMED))
    stats.delivered(ITEM, channel)
    news = stats.news(1000.0)
    assert sums(news) == {"sent": 1, "client_content_bytes_sent": 3}
    assert sums(news, "r") == {
        "sent": 3,
        "http_response_sent": 1,
        "client_content_bytes_sent": 6,
    }


def test_a_subscriber_that_went_gets_nothing():
    stats, channel = counters(), Channel("c")
    gone, other = Holder(Kind.STREAM, NAMED), Holder(Kind.STREAM, NAMED)
    subscribe(stats, channel, gone, other)
    unsubscribe(stats, channel, gone)
    stats.delivered(ITEM, channel)
    assert sums(stats.news(1000.0), "r")["sent"] == 1
    unsubscribe(stats, channel, other)
    subscribe(stats, channel, Holder(Kind.STREAM))
    stats.delivered(ITEM, channel)
    assert sums(stats.news(1000.0))["sent"] == 1


def test_a_route_without_subscribers_leaves_those_of_others():
    stats, channel, holder = counters(), Channel("c"), Holder(Kind.STREAM, OTHER)
    subscribe(stats, channel, holder, Holder(Kind.STREAM, NAMED))
    unsubscribe(stats, channel, holder)
    stats.delivered(ITEM, channel)
    assert [total.route for total in stats.news(1000.0).totals] == ["r"]


def test_a_message_to_websockets_is_a_message():
    stats, channel = counters(), Channel("c")
    subscribe(stats, channel, Holder(Kind.SOCKET), Holder(Kind.SOCKET))
    message = WebSocketMessage(kind=MessageKind.TEXT, content=b"abc")
    stats.delivered(PublishItem("c", ws_message=message), channel)
    assert sums(stats.news(1000.0)) == {
        "sent": 2,
        "client_content_bytes_sent": 6,
        "client_messages_sent": 2,
    }


def test_a_published_close_has_no_content():
    stats, channel = counters(), Channel("c")
    subscribe(stats, channel, Holder(Kind.SOCKET))
    close = WebSocketMessage(action=Action.CLOSE)
    stats.delivered(PublishItem("c", ws_message=close), channel)
    assert sums(stats.news(1000.0)) == {"sent": 1}


def test_items_that_nobody_reads_about_are_sums_only():
    stats, channel = counters(), Channel("c")
    stats.want({PacketKind.CONNECTION})
    subscribe(stats, channel, Holder(Kind.STREAM))
    stats.delivered(ITEM, channel)
    news = stats.news(1000.0)
    assert news.sent == ()
    assert sums(news)["sent"] == 1


@pytest.mark.parametrize(
    ("item", "blocks"),
    [
        (PublishItem("c", http_response=HttpResponse(body=b"12345")), 2),
        (PublishItem("c", http_response=HttpResponse(body=b"1234")), 1),
        (PublishItem("c", http_response=HttpResponse(body=b"1"), size=9), 3),
        (PublishItem("c", http_response=HttpResponse(body_patch=({},))), 0),
    ],
)
def test_blocks_are_those_of_all_subscribers(item, blocks):
    stats, channel = counters(block_size=4), Channel("c")
    subscribe(stats, channel, Holder(Kind.RESPONSE), Holder(Kind.RESPONSE))
    stats.delivered(item, channel)
    news = stats.news(1000.0)
    assert news.sent[0].blocks == 2 * blocks
    assert sums(news).get("blocks_sent", 0) == 2 * blocks


def test_an_item_is_received_without_subscribers():
    stats = counters()
    stats.received(ITEM)
    assert sums(stats.news(1000.0)) == {"received": 1}


def test_blocks_received_are_those_of_the_largest_format():
    stats = counters(block_size=2)
    stats.received(ITEM)
    assert sums(stats.news(1000.0))["blocks_received"] == 3


def test_an_item_without_formats_has_no_blocks():
    stats = counters(block_size=2)
    stats.received(PublishItem("c"))
    assert sums(stats.news(1000.0)) == {"received": 1}


# What is done only for readers


def test_heads_are_not_counted_unless_reports_are_read():
    stats = counters()
    stats.want({PacketKind.CONNECTION})
    counted = begin(stats)
    counted.answered(Response(status=200, reason=b"OK", headers=Headers()))
    counted.opened(request(), Response(status=101, reason=b"OK", headers=Headers()))
    assert not {name for name in sums(stats.news(1000.0)) if "header" in name}
    stats.want({PacketKind.REPORT})
    begin(stats)
    assert sums(stats.news(1000.0))["client_header_bytes_received"]


@pytest.mark.parametrize(
    ("measures", "kinds", "counts"),
    [
        (True, (), True),
        (False, (), False),
        (False, {PacketKind.REPORT}, True),
    ],
)
def test_origins_are_counted_for_metrics_and_reports(measures, kinds, counts):
    stats = counters(measures=measures)
    stats.want(kinds)
    assert stats.counts_origins is counts


def test_a_websocket_has_its_id_where_nobody_is_told_of_it():
    assert begin(counters(tells=False), cid="6b1d").cid == "6b1d"


# News


def test_news_are_told_once():
    stats = counters()
    begin(stats)
    stats.news(1000.0)
    assert stats.news(1000.0) == News()


def test_sums_can_wait():
    stats = counters()
    begin(stats)
    assert stats.news(1000.0, totals=False).totals == ()
    assert stats.news(1000.0).totals != ()


def test_one_is_called_once_until_one_asks():
    calls = []
    stats = counters(changed=lambda: calls.append(1))
    begin(stats)
    begin(stats)
    assert calls == [1]
    stats.news(1000.0)
    begin(stats)
    assert calls == [1, 1]


def test_where_nobody_wants_details_there_are_only_sums():
    stats, channel = counters(tells=False), Channel("c")
    counted = begin(stats)
    subscribe(stats, channel, Holder(Kind.STREAM))
    stats.delivered(ITEM, channel)
    counted.over(1000.0)
    news = stats.news(1000.0)
    assert news == News(totals=news.totals)
    assert sums(news)["sent"] == 1


def test_statistics_are_of_all_routes():
    stats = counters()
    begin(stats, NAMED)
    begin(stats)
    stats.received(ITEM)
    stats.entry(NAMED).server_content_bytes_received += 5
    stats.entry(NAMED).server_content_bytes_sent += 3
    stats.entry(None).client_content_bytes_received += 2
    samples = stats.statistics(1060.0).samples
    assert samples["request_received",] == 2
    assert samples["connection_connected",] == 2
    assert samples["connection_minute",] == 2
    assert samples["message_received",] == 1
    assert samples["message_sent",] == 0
    assert samples["client_content_bytes_total", "received"] == 2
    assert samples["client_content_bytes_total", "sent"] == 0
    assert samples["origin_content_bytes_total", "received"] == 5
    assert samples["origin_content_bytes_total", "sent"] == 3


def test_heads_are_counted_as_the_example_of_the_specification():
    headers = Headers([(b"Content-Type", b"text/plain"), (b"Content-Length", b"5")])
    assert response_size(Response(status=200, reason=b"OK", headers=headers)) == 42
    headers = Headers([(b"Host", b"rid.exam"), (b"X-A", b"1"), (b"Content-Length", b"10")])
    assert request_size(Request(method=b"POST", target=b"/x", headers=headers)) == 38

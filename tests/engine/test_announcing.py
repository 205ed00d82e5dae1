"""What statistics packets say, and when (stats.md 4 to 6, 10)."""

import itertools

import pytest

from gripproxy.engine.announcing import Announcer, Times
from gripproxy.engine.channels import Kind
from gripproxy.engine.news import Begun, Ended, News, Sent, Subscribers, Total
from gripproxy.engine.sums import NAMES
from gripproxy.protocol import statspackets
from gripproxy.protocol.statspackets import Kind as PacketKind
from gripproxy.protocol.statspackets import Packet

T0 = 1000.0
EVERYTHING = frozenset(PacketKind)


class Teller:
    """An announcer with one source, and what it says."""

    def __init__(self, *, wanted=EVERYTHING, sources=("one",), **times) -> None:
        times.setdefault("report_interval", 0)
        self.announcer = Announcer(Times(**times), wanted=wanted.__contains__, now=T0)
        for source in sources:
            self.announcer.join(source)

    def hears(self, now: float = T0, *, source="one", **news) -> list[Packet]:
        """Return what is said at once."""
        return self.announcer.take(source, News(**news), now=now)

    def runs(self, until: float) -> list[tuple[float, Packet]]:
        """Let time go on to a moment; return what is said until then, and when."""
        said = []
        while (at := self.announcer.next_deadline()) is not None and at <= until:
            said += [(at - T0, packet) for packet in self.announcer.due(at)]
        return said


def begun(cid="c", route="", transport="http", peer="192.0.2.1", *, ssl=False) -> Begun:
    return Begun(cid, route, transport, peer, ssl)


def there(cid="c", route=None, ttl=120) -> Packet:
    return statspackets.connection(cid, route, "http", peer="192.0.2.1", ssl=False, ttl=ttl)


def total(route="", connections=0, peak=None, **sums) -> Total:
    peak = connections if peak is None else peak
    return Total(route, connections, peak, tuple(sums.get(name, 0) for name in NAMES))


def live(subscribers: int, mode="stream", channel="a", ttl=60) -> Packet:
    return statspackets.subscription(mode, channel, subscribers=subscribers, ttl=ttl)


def gone(mode="stream", channel="a") -> Packet:
    return statspackets.subscription_gone(mode, channel)


def subscribers(count: int, kind=Kind.STREAM, channel="a") -> dict:
    return {"subscribers": (Subscribers(kind, channel, count),)}


# Connections


def test_a_connection_is_announced_at_once():
    assert Teller().hears(begun=(begun(),)) == [there()]


def test_a_connection_names_its_route():
    assert Teller().hears(begun=(begun(route="r"),)) == [there(route="r")]


def test_the_end_of_a_connection_is_announced_at_once():
    teller = Teller()
    teller.hears(begun=(begun(route="r"),))
    assert teller.hears(ended=(Ended("c"),)) == [statspackets.connection_gone("c", "r")]
    assert teller.runs(T0 + 500) == []


def test_a_connection_is_announced_again_before_its_ttl_is_over():
    teller = Teller(connection_ttl=4)
    teller.hears(begun=(begun(),))
    times = [at for at, packet in teller.runs(T0 + 12) if packet == there(ttl=4)]
    assert 0 < times[0] <= 3
    assert [later - at for at, later in itertools.pairwise(times)] == [3.0] * 3


def test_connections_are_announced_again_at_different_times():
    teller = Teller(connection_ttl=8)
    for number in range(12):
        teller.hears(begun=(begun(str(number)),))
    said = teller.runs(T0 + 6)
    assert sorted(at for at, _ in said) == sorted([*range(1, 7)] * 2)


@pytest.mark.parametrize("ttl", [0, 1, 2])
def test_a_short_ttl_has_an_announcement_a_second(ttl):
    teller = Teller(connection_ttl=ttl)
    teller.hears(begun=(begun(),))
    assert [at for at, _ in teller.runs(T0 + 3)] == [1, 2, 3]


def test_nothing_is_made_that_nobody_wants():
    teller = Teller(wanted=frozenset(), connection_ttl=1, subscription_ttl=1, report_interval=1)
    counted = total(requests_received=1, activity=1, connections=1)
    said = teller.hears(begun=(begun(),), totals=(counted,), **subscribers(1))
    said += teller.hears(
        sent=(Sent(0, "a", None, Kind.STREAM, 1, None),), ended=(Ended("c"),), **subscribers(0)
    )
    assert said + teller.runs(T0 + 5) == []


def test_the_end_of_an_unknown_connection_is_nothing():
    assert Teller().hears(ended=(Ended("c"),)) == []


# Subscriptions


def test_the_first_subscriber_is_announced_at_once():
    assert Teller().hears(**subscribers(1)) == [live(1)]


def test_nobody_hears_of_a_channel_that_has_no_subscribers_any_more():
    assert Teller().hears(**subscribers(0)) == []


def test_more_subscribers_are_announced_with_the_next_tick_once():
    teller = Teller()
    teller.hears(**subscribers(1, channel="b"))  # has the first turn of a refresh
    teller.hears(**subscribers(1))
    assert teller.hears(T0 + 0.1, **subscribers(2)) == []
    assert teller.hears(T0 + 0.2, **subscribers(3)) == []
    assert teller.runs(T0 + 1) == [(1.0, live(1, channel="b")), (1.0, live(3))]


def test_the_same_number_is_not_announced():
    teller = Teller()
    teller.hears(**subscribers(1))
    teller.hears(T0 + 0.1, **subscribers(1))
    assert teller.runs(T0 + 0.9) == []


def test_a_channel_is_announced_again_before_its_ttl_is_over():
    teller = Teller(subscription_ttl=8)
    teller.hears(**subscribers(2))
    times = [at for at, packet in teller.runs(T0 + 13) if packet == live(2, ttl=8)]
    assert times[0] <= 6
    assert times[1] - times[0] == 6


@pytest.mark.parametrize(("kind", "mode"), [(Kind.STREAM, "stream"), (Kind.SOCKET, "ws")])
def test_the_last_subscriber_that_goes_is_announced_at_once(kind, mode):
    teller = Teller()
    teller.hears(**subscribers(1, kind))
    assert teller.hears(T0 + 0.1, **subscribers(0, kind)) == [gone(mode)]
    assert teller.runs(T0 + 500) == []


def test_a_response_hold_lingers():
    teller = Teller(linger=5.0, subscription_ttl=2)
    teller.hears(**subscribers(1, Kind.RESPONSE))
    assert teller.hears(T0 + 0.5, **subscribers(0, Kind.RESPONSE)) == []
    assert teller.runs(T0 + 500) == [(6.0, gone("response"))]


def test_a_subscriber_ends_the_linger():
    teller = Teller(linger=5.0)
    teller.hears(**subscribers(1, Kind.RESPONSE))
    teller.hears(T0 + 0.5, **subscribers(0, Kind.RESPONSE))
    assert teller.hears(T0 + 3, **subscribers(2, Kind.RESPONSE)) == [live(2, "response")]
    assert gone("response") not in [packet for _, packet in teller.runs(T0 + 100)]


def test_modes_of_a_channel_are_announced_each_for_itself():
    teller = Teller()
    assert teller.hears(**subscribers(1, Kind.SOCKET)) == [live(1, "ws")]
    assert teller.hears(**subscribers(1, Kind.STREAM)) == [live(1, "stream")]


def test_a_change_before_the_end_is_not_announced_after_it():
    teller = Teller()
    teller.hears(**subscribers(1))
    teller.hears(**subscribers(2))
    teller.hears(**subscribers(0))
    assert teller.runs(T0 + 100) == []


# Items


def test_an_item_is_told_at_once():
    sent = Sent(0, "a", "one", Kind.SOCKET, 2, 4)
    message = statspackets.message("a", "one", "ws-message", count=2, blocks=4)
    assert Teller().hears(sent=(sent,)) == [message]


def test_an_item_is_told_once_for_all_sources():
    teller = Teller(window=0.15, sources=())
    teller.announcer.join("one", first=0)
    teller.announcer.join("two", first=5)
    teller.hears(sent=(Sent(6, "a", "x", Kind.STREAM, 2, 4),))
    teller.hears(T0 + 0.1, source="two", sent=(Sent(1, "a", "x", Kind.STREAM, 3, 6),))
    teller.hears(T0 + 0.1, source="two", sent=(Sent(2, "a", "y", Kind.STREAM, 3, None),))
    packets = [packet for _, packet in teller.runs(T0 + 1)]
    assert packets == [
        statspackets.message("a", "x", "http-stream", count=5, blocks=10),
        statspackets.message("a", "y", "http-stream", count=3, blocks=None),
    ]


def test_an_item_without_blocks_has_none_from_any_source():
    teller = Teller(window=0.15, sources=("one", "two"))
    for source in ("one", "two"):
        teller.hears(source=source, sent=(Sent(1, "a", "x", Kind.STREAM, 1, None),))
    [(at, packet)] = teller.runs(T0 + 1)
    assert packet == statspackets.message("a", "x", "http-stream", count=2, blocks=None)
    assert at == pytest.approx(0.15)


# Activity


def test_activity_is_told_by_route_and_requests_all_together():
    teller = Teller()
    said = teller.hears(
        totals=(
            total(activity=3, requests_received=2),
            total("r", activity=1, requests_received=1),
        )
    )
    assert said == [
        statspackets.activity(None, 3),
        statspackets.activity("r", 1),
        statspackets.counts(3),
    ]


def test_only_what_was_added_is_told():
    teller = Teller()
    teller.hears(totals=(total(activity=3, requests_received=2),))
    said = teller.hears(totals=(total(activity=4, requests_received=2),))
    assert said == [statspackets.activity(None, 1)]


def test_activity_of_several_sources_is_gathered():
    teller = Teller(window=0.1, sources=("one", "two"))
    assert teller.hears(totals=(total(activity=3),)) == []
    teller.hears(T0 + 0.05, source="two", totals=(total(activity=2),))
    [(at, packet)] = teller.runs(T0 + 1)
    assert at == pytest.approx(0.1)
    assert packet == statspackets.activity(None, 5)


def test_what_has_waited_too_long_goes_out_with_later_news():
    teller = Teller(window=0.1)
    teller.hears(totals=(total(activity=3),))
    said = teller.hears(T0 + 0.3, totals=(total(activity=4),))
    assert said == [statspackets.activity(None, 4)]


def test_sums_without_activity_are_not_told():
    assert Teller().hears(totals=(total(minutes=1),)) == []


# Reports


def reports(teller: Teller, until: float) -> list[dict]:
    """Return the reports until a moment, less what is zero."""
    return [
        {name: value for name, value in packet.fields.items() if value}
        for _, packet in teller.runs(until)
        if packet.kind is PacketKind.REPORT
    ]


def test_a_report_has_all_fields_but_blocks():
    teller = Teller(report_interval=10)
    teller.hears(totals=(total(minutes=1),))
    [(_, packet)] = teller.runs(T0 + 10)
    assert packet.kind is PacketKind.REPORT
    present = {name for name, value in packet.fields.items() if value is not None}
    assert present == {
        "connections", "minutes", "received", "sent", "http-response-sent", "duration",
        "client-header-bytes-received", "client-header-bytes-sent",
        "client-content-bytes-received", "client-content-bytes-sent",
        "client-messages-received", "client-messages-sent",
        "server-header-bytes-received", "server-header-bytes-sent",
        "server-content-bytes-received", "server-content-bytes-sent",
        "server-messages-received", "server-messages-sent",
    }  # fmt: skip


def test_a_report_has_blocks_if_there_were_some():
    teller = Teller(report_interval=10)
    teller.hears(totals=(total(blocks_received=3, blocks_sent=6, connections=1),))
    assert reports(teller, T0 + 10) == [
        {"blocks-received": 3, "blocks-sent": 6, "connections": 1, "duration": 10000}
    ]


def test_a_report_is_of_its_interval_and_route():
    teller = Teller(report_interval=10)
    teller.hears(totals=(total("r", sent=2, connections=1),))
    assert reports(teller, T0 + 10) == [
        {"route": "r", "sent": 2, "connections": 1, "duration": 10000}
    ]
    teller.hears(T0 + 12, totals=(total("r", sent=5, connections=1),))
    assert reports(teller, T0 + 20)[0]["sent"] == 3


def test_a_report_has_the_most_connections_of_its_interval():
    teller = Teller(report_interval=10)
    teller.hears(totals=(total(connections=2, peak=7),))
    assert reports(teller, T0 + 10)[0]["connections"] == 7
    assert reports(teller, T0 + 20)[0]["connections"] == 2


def test_the_most_connections_are_those_of_all_sources():
    teller = Teller(report_interval=10, sources=("one", "two"))
    teller.hears(totals=(total(connections=4),))
    teller.hears(source="two", totals=(total(connections=1, peak=3),))
    teller.hears(totals=(total(connections=2),))
    assert reports(teller, T0 + 10)[0]["connections"] == 7
    assert reports(teller, T0 + 20)[0]["connections"] == 3


def test_the_first_report_lasts_from_the_first_event():
    teller = Teller(report_interval=10)
    teller.hears(T0 + 7, totals=(total(connections=1),))
    assert reports(teller, T0 + 10)[0]["duration"] == 3000


def test_a_quiet_route_has_one_report_of_zeros():
    teller = Teller(report_interval=10)
    teller.hears(totals=(total(connections=0, peak=1),))
    assert len(reports(teller, T0 + 100)) == 2
    assert teller.announcer.next_deadline() is None


def test_reports_keep_their_rhythm_after_silence():
    teller = Teller(report_interval=10)
    teller.hears(T0 + 33, totals=(total(connections=1),))
    assert teller.announcer.next_deadline() == T0 + 40


def test_without_an_interval_there_are_no_reports():
    teller = Teller(report_interval=0)
    teller.hears(totals=(total(connections=1),))
    assert teller.announcer.next_deadline() is None


# Several sources


def test_subscribers_are_those_of_all_sources():
    teller = Teller(sources=("one", "two"))
    assert teller.hears(**subscribers(1)) == [live(1)]
    assert teller.hears(source="two", **subscribers(2)) == []
    assert teller.runs(T0 + 1) == [(1.0, live(3))]
    assert teller.hears(T0 + 1.1, **subscribers(0)) == []
    assert teller.hears(T0 + 1.1, source="two", **subscribers(0)) == [gone()]


def test_what_a_source_had_is_gone_with_it():
    teller = Teller(sources=("one", "two"), report_interval=10)
    teller.hears(begun=(begun(),), totals=(total(connections=2),), **subscribers(1))
    said = teller.announcer.leave("one", now=T0 + 1)
    assert said == [statspackets.connection_gone("c", None), gone()]
    assert [report["connections"] for report in reports(teller, T0 + 10)] == [2]
    assert [report.get("connections", 0) for report in reports(teller, T0 + 20)] == [0]


def test_a_source_may_leave_after_its_last_report():
    teller = Teller(report_interval=10)
    teller.hears(totals=(total(connections=0, peak=1),))
    reports(teller, T0 + 100)
    assert teller.announcer.leave("one", now=T0 + 100) == []


def test_a_source_that_never_came_may_leave():
    assert Teller().announcer.leave("other", now=T0) == []


# Time


def test_ticks_keep_their_rhythm_after_silence():
    teller = Teller()
    teller.hears(T0 + 5.5, **subscribers(1))
    assert teller.announcer.next_deadline() == T0 + 6


def test_nothing_is_due_where_nothing_is():
    assert Teller().announcer.next_deadline() is None


def test_an_announcer_shows_what_it_knows():
    teller = Teller()
    teller.hears(begun=(begun(),))
    assert repr(teller.announcer) == "<Announcer 1 sources, 1 connections, 0 subscriptions>"

"""Where items meet holders."""

import pytest

from gripproxy.engine.channels import Channels, Kind
from gripproxy.engine.history import History
from gripproxy.engine.hub import Hub, Statistics
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.limiter import Limiter
from gripproxy.engine.outbox import PART
from gripproxy.engine.subscriptions import Subscription
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.items import PublishItem
from tests.fakes import FakeNotices, make_hub
from tests.holdfakes import FakeHolder

NOW = 1000.0
ALL = {
    "http_response": HttpResponse(body=b"x"),
    "http_stream": HttpStream(content=b"x"),
    "ws_message": WebSocketMessage(content=b"x"),
}


class Hold(FakeHolder):
    """A hold that the hub keeps."""

    def __init__(self, *channels, kind=Kind.STREAM):
        super().__init__(kind)
        self.subscriptions = {channel.channel: channel for channel in channels}
        self.moments = []
        self.turns = []
        self.recovered = []

    def due(self, now):
        self.moments.append(now)

    def update_turn(self, now):
        self.turns.append(now)

    def recover(self, now):
        self.recovered.append(now)

    def next_due(self, now):
        self.moments.append(("next", now))


def sub(position=None, *, channel="c"):
    return Subscription(channel, channel, position)


@pytest.fixture
def hub():
    return make_hub()


class Replaying(Hold):
    """A stream that can be replayed to."""

    def __init__(self, *channels):
        super().__init__(*channels)
        self.replayed = []

    def replay(self, deliveries):
        self.replayed += [delivery.id for delivery in deliveries]


def keep_and_replay(hub, *channels):
    hold = Replaying(*channels)
    return hub.keep_and_replay(hold, now=NOW), hold.replayed


def keep(hub, *channels, kind=Kind.STREAM):
    hold = Hold(*(channels or (sub(),)), kind=kind)
    missed = hub.keep(hold, now=NOW)
    assert missed is False
    return hold


# Items


def test_an_item_reaches_the_holders_of_its_formats(hub):
    log = []
    for kind in reversed(Kind):
        holder = FakeHolder(kind)
        holder.deliver = lambda delivery, now, kind=kind: log.append(kind)
        hub.attach(holder, [sub()], now=NOW)
    assert hub.publish(PublishItem("c", **ALL), now=NOW) == 3
    assert log == list(Kind), "response holds first, then streams, then WebSockets"
    assert hub.publish(PublishItem("c", http_stream=ALL["http_stream"]), now=NOW) == 1
    assert hub.publish(PublishItem("c"), now=NOW) == 0


def test_an_item_on_another_channel_reaches_nobody(hub):
    hold = keep(hub)
    assert hub.publish(PublishItem("d", id="1", **ALL), now=NOW) == 0
    assert hold.items == []
    assert hub.last_ids.get("d") is None


def test_many_get_it_in_parts():
    calls = []
    hub = make_hub(more=lambda: calls.append("more"))
    holds = [keep(hub) for _ in range(PART + 1)]
    assert hub.publish(PublishItem("c", id="1", **ALL), now=NOW) == PART + 1
    assert calls == ["more"]
    assert hub.statistics().waiting_deliveries == 1
    assert hub.run(NOW) is True
    assert hub.run(NOW) is False
    assert all(hold.items == ["1"] for hold in holds)


def test_a_text_that_is_not_utf_8_is_told_of_if_a_websocket_misses_it():
    notices = FakeNotices()
    hub = make_hub(notices)
    item = PublishItem(
        "c", ws_message=WebSocketMessage(content=b"\xff"), http_stream=HttpStream(content=b"\xff")
    )
    hold = keep(hub)
    hub.publish(item, now=NOW)
    assert notices.drops == []
    hub.attach(FakeHolder(Kind.SOCKET), [sub()], now=NOW)
    assert hub.publish(item, now=NOW) == 2
    assert notices.drops == [("c", "text is not UTF-8")]
    assert len(hold.items) == 2


def test_deliveries_can_be_limited():
    moments = []
    notices = FakeNotices()
    channels = Channels(notices, update_on_first=False)
    limiter = Limiter(channels, notices, rate=10)
    hub = Hub(
        channels, LastIds(), notices, random=lambda: 0.0, limiter=limiter, arm=moments.append
    )
    holds = [keep(hub), keep(hub)]
    hub.publish(PublishItem("c", id="1", **ALL), now=NOW)
    assert [hold.items for hold in holds] == [["1"], []]
    assert moments == [NOW + 0.1]
    assert hub.next_deadline() == NOW + 0.1
    assert hub.statistics().waiting_deliveries == 1
    hub.due(NOW + 0.1)
    assert [hold.items for hold in holds] == [["1"], ["1"]]
    assert hub.next_deadline() is None


def test_a_limited_delivery_may_leave_nothing_to_wait_for():
    moments = []
    notices = FakeNotices()
    channels = Channels(notices, update_on_first=False)
    limiter = Limiter(channels, notices, rate=10)
    hub = Hub(
        channels, LastIds(), notices, random=lambda: 0.0, limiter=limiter, arm=moments.append
    )
    hold = keep(hub)
    hub.publish(PublishItem("c", id="1", **ALL), now=NOW)
    assert hold.items == ["1"]
    assert moments == []


# Last ids


def test_the_last_id_of_a_channel_is_remembered(hub):
    keep(hub)
    hub.publish(PublishItem("c", id="1", **ALL), now=NOW)
    assert hub.last_ids.get("c") == "1"
    hub.publish(PublishItem("c", id="9", no_seq=True, **ALL), now=NOW)
    assert hub.last_ids.get("c") == "1"
    hub.publish(PublishItem("c", **ALL), now=NOW)
    assert hub.last_ids.get("c") is None


@pytest.fixture
def at_two(hub):
    keep(hub)
    hub.publish(PublishItem("c", id="2", **ALL), now=NOW)
    return hub


@pytest.mark.parametrize(("position", "missed"), [("1", True), ("2", False), (None, False)])
def test_a_hold_with_another_position_has_missed_something(at_two, position, missed):
    assert at_two.keep(Hold(sub(position)), now=NOW) is missed
    assert at_two.last_ids.get("c") == (None if missed else "2")


def test_an_origin_that_repeats_a_position_is_believed_the_second_time(at_two):
    assert at_two.missed([sub("1")]) is True
    assert at_two.missed([sub("1")]) is False


def test_all_positions_are_looked_at(at_two):
    keep(at_two, sub(channel="d"))
    at_two.publish(PublishItem("d", id="2", **ALL), now=NOW)
    assert at_two.missed([sub("1"), sub("1", channel="d")]) is True
    assert at_two.last_ids.get("d") is None


def test_where_items_come_in_a_wrong_last_id_is_forgotten_too():
    forgotten = []
    hub = make_hub()
    hub.forgot = forgotten.append
    keep(hub)
    hub.publish(PublishItem("c", id="2", **ALL), now=NOW)
    hub.missed([sub("1")])
    assert forgotten == ["c"]


def test_recover_forgets_ids_and_asks_all_holds_again(at_two):
    holds = [keep(at_two, sub(), sub(channel="d")), Hold()]
    at_two.keep(holds[1], now=NOW)
    at_two.recover(now=NOW)
    assert at_two.last_ids.get("c") is None
    assert [hold.recovered for hold in holds] == [[NOW], [NOW]]


# Holders


def test_a_hold_is_kept_until_it_is_detached(hub):
    hold = keep(hub)
    hub.set_deadline(hold, NOW + 5)
    hub.updates.add(hold, "k", now=NOW)
    assert hub.holds() == [hold]
    hub.detach(hold, now=NOW)
    hub.detach(hold, now=NOW)
    assert hub.holds() == []
    assert "c" not in hub.channels
    hub.due(NOW + 5)
    assert hold.moments == hold.turns == []
    assert hub.statistics().streams == 0


def test_a_hold_may_have_no_channels(hub):
    hold = Hold()
    hub.keep(hold, now=NOW)
    assert hub.holds() == [hold]


def test_other_subscriptions_leave_those_alone_that_stay():
    notices = FakeNotices()
    hub = make_hub(notices)
    hold = keep(hub, sub(), sub(channel="d"))
    hub.resubscribe(hold, {"d": sub("1", channel="d"), "e": sub(channel="e")}, now=NOW)
    assert notices.first == ["c", "d", "e"]
    assert notices.last == ["c"]
    assert list(hold.subscriptions) == ["d", "e"]
    hub.detach(hold, now=NOW)
    assert len(hub.channels) == 0


def test_a_holder_can_join_and_leave_channels(hub):
    session = FakeHolder(Kind.SOCKET)
    hub.attach(session, (), now=NOW)
    hub.subscribe(session, "c", now=NOW)
    assert hub.publish(PublishItem("c", **ALL), now=NOW) == 1
    hub.unsubscribe(session, "c", now=NOW)
    assert hub.publish(PublishItem("c", **ALL), now=NOW) == 0


def test_whoever_wants_to_know_learns_of_ends(hub):
    hub.over("the first: nobody wanted to know")
    ended = []
    hub.ended = ended.append
    hub.over("origin")
    assert ended == ["origin"]


# Time


def test_moments_come_when_they_are_due():
    armed = []
    hub = make_hub(arm=armed.append)
    hold = keep(hub)
    hub.set_deadline(hold, NOW + 5)
    timer = hub.next_timers.add(hold, b"http://h/", 7, now=NOW)
    hub.updates.add(hold, "k", now=NOW + 0.5)
    assert armed == [NOW + 5, NOW + 7, NOW + 0.6]
    assert hub.next_deadline() == NOW + 0.6
    hub.due(NOW + 0.6)
    assert hold.turns == [NOW + 0.6]
    hub.due(NOW + 5)
    hub.due(NOW + 7)
    assert hold.moments == [NOW + 5, ("next", NOW + 7)]
    hub.next_timers.remove(hold, timer)
    assert hub.next_deadline() is None


def test_holds_of_a_new_channel_are_updated(hub):
    stream, response = keep(hub), keep(hub, kind=Kind.RESPONSE)
    session = FakeHolder(Kind.SOCKET)
    hub.attach(session, [sub()], now=NOW)
    hub.due(NOW + 1)
    assert stream.updates == response.updates == [NOW + 1]
    assert session.updates == []


# Figures


class Counters:
    """Keeps what is counted."""

    def __init__(self):
        self.log = []

    def attached(self, holder):
        self.log.append(("attached", holder))

    def released(self, holder):
        self.log.append(("released", holder))

    def delivered(self, item, channel):
        self.log.append(("delivered", item.id, channel.name))


def test_holders_and_items_are_counted(hub):
    hub.counters = Counters()
    hold = keep(hub)
    hub.publish(PublishItem("c", id="1", **ALL), now=NOW)
    hub.publish(PublishItem("d", id="2", **ALL), now=NOW)
    hub.detach(hold, now=NOW)
    assert hub.counters.log == [("attached", hold), ("delivered", "1", "c"), ("released", hold)]


def test_it_says_how_much_is_held(hub):
    hold = keep(hub, sub(), sub(channel="d"))
    keep(hub, kind=Kind.RESPONSE)
    hub.attach(FakeHolder(Kind.SOCKET), [sub()], now=NOW)
    hub.updates.add(hold, "k", now=NOW)
    assert hub.statistics() == Statistics(
        channels=2, responses=1, streams=1, sockets=1, waiting_updates=1, waiting_deliveries=0
    )


def test_a_holder_that_fails_at_its_moment_takes_nobody_elses(monkeypatch, hub):
    failures = []
    monkeypatch.setattr(hub.notices, "failed", failures.append)
    broken, sound = keep(hub), keep(hub)
    broken.moments = None
    hub.set_deadline(broken, NOW + 1)
    hub.set_deadline(sound, NOW + 2)
    hub.due(NOW + 3)
    assert [type(error) for error in failures] == [AttributeError]
    assert sound.moments == [NOW + 3]


# Events, and what was released lately


@pytest.fixture
def remembering(hub):
    hub.history = History(10, 60.0, 1_000_000)
    for number in (6, 7):
        hub.publish(PublishItem("c", id=f"{number}", prev_id=f"{number - 1}", **ALL), now=NOW)
    return hub


def test_a_stream_that_is_behind_gets_what_followed(remembering):
    assert keep_and_replay(remembering, sub("5")) == (False, ["6", "7"])
    assert keep_and_replay(remembering, sub("7")) == (False, [])
    assert remembering.statistics().streams == 2
    assert remembering.publish(PublishItem("c", **ALL), now=NOW) == 2


def test_what_the_history_does_not_know_is_missed_as_ever(remembering):
    keep(remembering)
    remembering.publish(PublishItem("c", id="9", **ALL), now=NOW)
    assert keep_and_replay(remembering, sub("5"), sub(channel="d")) == (True, [])
    assert remembering.last_ids.get("c") is None


def test_without_a_history_nothing_is_replayed(hub):
    assert keep_and_replay(hub, sub("5")) == (False, [])


def test_items_of_all_channels_come_in_the_order_of_their_release(remembering):
    remembering.publish(PublishItem("d", id="y", prev_id="x", **ALL), now=NOW)
    remembering.publish(PublishItem("c", id="8", prev_id="7", **ALL), now=NOW)
    assert keep_and_replay(remembering, sub("x", channel="d"), sub("6"))[1] == ["7", "y", "8"]


def test_after_recover_nothing_is_known_of_what_was_released(remembering):
    remembering.recover(now=NOW)
    assert len(remembering.history) == 0


def test_each_release_is_an_event(hub):
    before = hub.marks.epoch
    hub.publish(PublishItem("c", **ALL), now=NOW)
    assert hub.marks.epoch == before + 1


def test_a_missed_item_is_an_event(hub):
    hub.last_ids.set("c", "6")
    before = hub.marks.epoch
    assert hub.missed([sub("5")])
    assert hub.marks.epoch == before + 1
    assert not hub.missed([sub("5")])
    assert hub.marks.epoch == before + 1


def test_recover_and_first_updates_are_events(hub):
    keep(hub)
    before = hub.marks.epoch
    hub.due(NOW + 0.5)
    assert hub.marks.epoch == before
    hub.due(NOW + 1)
    assert hub.marks.epoch == before + 1
    hub.recover(now=NOW)
    assert hub.marks.epoch == before + 2


def test_a_hint_is_noted_on_its_channel(hub):
    keep(hub, kind=Kind.RESPONSE)
    hub.publish(PublishItem("c", http_response=HttpResponse(action=Action.HINT)), now=NOW)
    assert hub.channels.find("c").hinted == hub.marks.epoch


def test_who_was_asked_for_before_a_gap_was_shown_shows_it_too(hub):
    keep(hub)
    hub.last_ids.set("c", "1")
    asked_in = hub.marks.epoch
    assert hub.missed([sub("0")], asked_in=asked_in)
    assert hub.last_ids.get("c") is None
    assert hub.missed([sub("0")], asked_in=asked_in)
    assert not hub.missed([sub("1")], asked_in=asked_in)
    assert not hub.missed([sub("0")], asked_in=hub.marks.epoch)
    assert not hub.missed([sub("0")])

"""Stream holds: the rows of grip-http.md 7 and 8, and a model of what a client gets."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.origins import QUEUE_MAX, Origin, State
from gripproxy.engine.ports import Framing, Wake
from gripproxy.engine.streams import StreamHold, unlinked
from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import FilterError
from gripproxy.protocol.filters import Drop
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.terms import KeepAlive, KeepAliveMode
from tests.fakes import FakeNotices, make_hub
from tests.holdfakes import FakeSink, a_request, a_route

NOW = 1000.0
NEXT = b"http://proxy/next"
IDLE, INTERVAL = KeepAliveMode
NOBODY = {"update_on_first": False}


def sub(position=None, *names, channel="c"):
    return Subscription(channel, channel, position, names)


class Play:
    """A stream hold in a real hub."""

    def __init__(
        self, *channels, link=None, keep=None, debug=False, meta=None, framing=Framing.CHUNKED,
        holds=True, **options,
    ):  # fmt: skip
        self.notices = FakeNotices()
        self.hub = make_hub(self.notices, **options)
        self.over = []
        self.hub.ended = self.over.append
        self.sink = FakeSink(framing)
        self.origin = Origin(request=a_request("/stream"), route=a_route(), last={}, debug=debug)
        self.hold = StreamHold(self.hub, self.sink, self.origin)
        channels = channels or (sub(),)
        self.hold.subscriptions = {channel.channel: channel for channel in channels}
        self.hold.instruct(keep, meta or {}, link)
        self.hub.keep(self.hold, now=NOW)
        if holds:
            self.hold.hold(now=NOW)

    def publish(
        self, content="x", *, channel="c", item_id=None, prev_id=None, now=NOW, meta=None, **how
    ):
        if isinstance(content, str):
            content = content.encode()
        stream = HttpStream(content=content, **how)
        item = PublishItem(
            channel, id=item_id, prev_id=prev_id, http_stream=stream, meta=meta or {}
        )
        return self.hub.publish(item, now=now)

    def act(self, action, **item):
        return self.publish("", action=action, **item)

    def at(self, now):
        """Let a moment come; return what the client gets."""
        self.hub.due(now)
        return self.sink.heard()

    def heard(self):
        return self.sink.heard()

    @property
    def state(self):
        return self.hold.state

    def asks(self):
        """Tell whether the next link is to be fetched, once."""
        wakes, self.sink.wakes = self.sink.wakes, []
        assert set(wakes) <= {Wake.NEXT}
        return bool(wakes)

    def stall(self):
        self.sink.blocked = True

    def read_on(self, now=NOW):
        self.sink.blocked = False
        self.hold.writable(now)

    def page(self, *channels, link=(NEXT, 120), keep=None, now=NOW, body=""):
        """Let a page come that holds."""
        assert self.asks()
        if body:
            self.hold.body_begins()
            self.hold.write_page(body.encode())
        assert self.hold.body_ended(now)
        self.hub.resubscribe(self.hold, {c.channel: c for c in channels or (sub(),)}, now=now)
        self.hold.instruct(keep, {}, link)
        self.hold.drop_overlap()
        self.hold.hold(now=now)


@pytest.fixture
def play():
    return Play()


@pytest.fixture
def linked():
    return Play(link=(NEXT, 120))


@pytest.fixture
def reliable():
    """A stream that is at item 1 and knows where to ask for what it misses."""
    return Play(sub("1"), link=(NEXT, 120))


# Items while holding


def test_an_item_is_written(play):
    play.publish("one")
    play.publish("two")
    assert play.heard() == ["one", "two"]
    assert play.sink.writes == 2


def test_one_item_is_one_write_of_what_all_share(play):
    delivery = Delivery(PublishItem("c", http_stream=HttpStream(content=b"x")))
    written = []
    play.sink.write = written.append
    play.hold.deliver(delivery, NOW)
    assert written[0] is delivery.chunk


def test_without_chunks_it_is_written_raw():
    play = Play(framing=Framing.RAW)
    play.publish("one")
    play.publish("two", content_filters=())
    assert play.heard() == ["onetwo"]


def test_items_without_a_format_for_streams_are_nothing(play):
    play.hold.deliver(Delivery(PublishItem("c", http_response=HttpResponse())), NOW)
    assert play.heard() == []


def test_an_item_for_a_channel_that_it_has_not_is_ignored(linked):
    delivery = Delivery(PublishItem("d", http_stream=HttpStream(content=b"x")))
    linked.hold.deliver(delivery, NOW)
    assert linked.heard() == []


@pytest.mark.parametrize("names", [(), ("skip-self",)])
def test_an_empty_content_writes_nothing(names):
    play = Play(sub(None, *names))
    play.publish("")
    assert play.heard() == []


def test_close_ends_the_body(play):
    play.act(Action.CLOSE)
    assert play.sink.ended
    assert play.state is State.OVER
    assert play.publish("x") == 0


def test_refresh_does_nothing(play):
    play.act(Action.REFRESH)
    assert play.state is State.HOLDING


def test_a_hint_fetches_the_next_link_at_once(linked):
    linked.act(Action.HINT)
    assert linked.asks()
    assert linked.hold.asking


def test_a_hint_without_a_link_does_nothing(play):
    play.act(Action.HINT)
    assert not play.asks()
    play.publish("x")
    assert play.heard() == ["x"]


# Positions


def test_an_item_that_fits_is_written_and_moves_the_position(reliable):
    reliable.publish("two", item_id="2", prev_id="1")
    reliable.publish("three", item_id="3", prev_id="2")
    assert reliable.heard() == ["two", "three"]


@pytest.mark.parametrize("action", [Action.HINT, Action.REFRESH])
def test_positions_move_whatever_the_action(reliable, action):
    reliable.act(action, item_id="2", prev_id="1")
    assert reliable.hold.subscriptions["c"].prev_id == "2"


@pytest.mark.parametrize("prev_id", ["2", None])
def test_an_item_that_does_not_fit_shows_a_gap(reliable, prev_id):
    reliable.publish("three", item_id="3", prev_id=prev_id)
    assert reliable.heard() == []
    assert reliable.hub.last_ids.get("c") is None
    assert reliable.state is State.WAITING
    reliable.at(NOW + 0.1)
    assert reliable.asks()


# Filters


def test_filters_change_a_content():
    play = Play(sub(None, "var-subst"), meta={"user": "alice"})
    play.publish("for %(user)s")
    assert play.heard() == ["for alice"]


def test_a_filter_may_drop_an_item():
    play = Play(sub("1", "skip-self"), link=(NEXT, 120), meta={"user": "alice"})
    play.publish("x", item_id="2", prev_id="1", meta={"sender": "alice"})
    play.publish("y", item_id="3", prev_id="2")
    assert play.heard() == ["y"]


def test_without_debug_an_item_whose_filter_fails_is_dropped():
    play = Play(sub(None, "var-subst"))
    play.publish("%(no)s")
    play.publish("next")
    assert play.heard() == ["next"]
    assert play.notices.failures == [
        ("c", "filter error: var-subst: No such variable 'no' at position 5")
    ]


def test_with_debug_a_filter_that_fails_ends_the_stream():
    play = Play(sub(None, "var-subst"), debug=True)
    play.publish("%(no)s")
    text = "filter error: var-subst: No such variable 'no' at position 5"
    assert play.heard() == [f"\n\n{text}\n"]
    assert play.sink.ended


def test_a_condition_that_is_not_met_drops_the_item(play):
    play.publish("x", content_filters=("build-id",))
    assert play.heard() == []
    assert len(play.notices.failures) == 1


def test_odd_contents_are_told_of():
    play = Play(sub(None, "build-id"), meta={"id_format": "i"})
    play.publish("100% %I")
    assert play.heard() == ["100% i"]
    assert play.notices.odd == ["build-id: Unknown directive ' ' at position 4"]


# Filters that ask the network


@pytest.fixture
def asking():
    play = Play(sub(None, "http-modify"), link=(NEXT, 120))
    play.publish("first")
    play.publish("second")
    return play


def test_items_wait_for_the_network_in_order(asking):
    assert asking.heard() == []
    asking.hub.network.answer(b"1", NOW)
    asking.hub.network.answer(b"2", NOW)
    assert asking.heard() == ["1", "2"]


def test_an_item_dropped_by_the_network_lets_the_next_one_go_on(asking):
    asking.hub.network.answer(Drop.ITEM, NOW)
    asking.hub.network.answer(b"2", NOW)
    assert asking.heard() == ["2"]


def test_a_network_that_fails_drops_the_item(asking):
    asking.hub.network.answer(FilterError("network request failed: disconnected"), NOW)
    assert asking.state is State.HOLDING
    assert len(asking.notices.failures) == 1


def test_an_update_waits_for_the_items_that_wait(asking):
    asking.hub.recover(now=NOW)
    asking.hub.network.answer(b"1", NOW)
    assert asking.state is State.HOLDING
    asking.hub.network.answer(b"2", NOW)
    assert asking.state is State.WAITING


def test_an_answer_after_the_end_is_nothing(asking):
    asking.hold.gone(NOW)
    asking.hub.network.answer(b"1", NOW)
    assert asking.heard() == []


# The queue


def test_before_it_holds_items_wait():
    play = Play(holds=False)
    play.publish("one")
    play.publish("two")
    assert play.heard() == []
    play.hold.hold(now=NOW)
    assert play.heard() == ["one", "two"]
    play.publish("three")
    assert play.heard() == ["three"]


def test_a_client_that_does_not_read_gets_them_later(play):
    play.stall()
    play.publish("one")
    play.publish("two")
    assert play.heard() == []
    play.read_on()
    assert play.heard() == ["one", "two"]


def test_the_queue_goes_on_only_as_far_as_the_client_reads(play):
    play.stall()
    for content in "abc":
        play.publish(content)
    write = play.sink.write

    def write_and_stall(data):
        write(data)
        play.stall()

    play.sink.write = write_and_stall
    play.read_on()
    assert play.heard() == ["a"]
    play.publish("d")
    play.sink.write = write
    play.read_on()
    assert play.heard() == ["b", "c", "d"]


def test_at_most_100_items_wait(play):
    play.stall()
    for number in range(QUEUE_MAX + 2):
        play.publish(f"{number};")
    assert play.notices.drops == [("c", "slow")] * 2
    play.read_on()
    assert len(play.heard()) == QUEUE_MAX


@pytest.mark.parametrize("end", ["gone", "end"])
def test_what_waits_when_a_stream_is_over_is_counted(play, end):
    play.publish("0;")
    play.stall()
    play.publish("1;")
    play.publish("2;")
    getattr(play.hold, end)(NOW)
    assert play.notices.waited_in_vain == 2
    assert play.notices.drops == []


def test_what_waits_is_bounded_in_bytes_with_what_is_in_the_connection():
    play = Play(queue_bytes=100)
    play.stall()
    play.sink.waiting = 90
    play.publish("x" * 1000)
    assert play.notices.drops == [], "one may be larger, if it is alone"
    play.publish("y")
    assert play.notices.drops == [("c", "slow")]
    play.read_on()
    play.stall()
    play.sink.waiting = 0
    play.publish("x" * 50)
    play.publish("y" * 50)
    play.publish("z")
    assert len(play.notices.drops) == 2


def test_what_has_been_sent_of_it_does_not_count():
    play = Play(queue_bytes=100)
    play.stall()
    play.publish("x" * 50)
    play.publish("y" * 50)
    write = play.sink.write

    def write_and_stall(data):
        write(data)
        play.stall()

    play.sink.write = write_and_stall
    play.read_on()
    play.publish("z" * 50)
    assert play.notices.drops == []
    play.publish("z")
    assert play.notices.drops == [("c", "slow")]


def test_a_drop_leads_to_one_update_when_the_queue_is_out(linked):
    linked.stall()
    for number in range(QUEUE_MAX + 5):
        linked.publish(f"{number};")
    linked.read_on()
    assert len(linked.heard()) == QUEUE_MAX
    assert linked.state is State.WAITING
    linked.at(NOW + 0.1)
    linked.page()
    assert linked.state is State.HOLDING


def test_a_drop_without_a_link_leads_to_nothing(play):
    play.stall()
    for number in range(QUEUE_MAX + 5):
        play.publish(f"{number};")
    play.read_on()
    assert play.state is State.HOLDING


def test_a_hint_drops_what_waits_behind_it(linked):
    linked.stall()
    linked.act(Action.HINT)
    linked.publish("x")
    linked.read_on()
    linked.page()
    assert linked.heard() == []


def test_a_gap_drops_what_waits_behind_it(reliable):
    reliable.stall()
    reliable.publish("gap", item_id="9", prev_id="8")
    reliable.publish("x", item_id="2", prev_id="1")
    reliable.read_on()
    assert reliable.state is State.WAITING
    assert reliable.at(NOW + 0.1) == []
    reliable.page(sub("1"))
    assert reliable.heard() == []


def test_close_drops_what_waits_behind_it(play):
    play.stall()
    play.act(Action.CLOSE)
    play.publish("x")
    play.read_on()
    assert play.heard() == []
    assert play.sink.ended


# Next links


def test_without_a_hold_the_next_link_is_fetched_now():
    play = Play(link=(NEXT, 120), holds=False)
    play.hold.ask_now()
    assert play.asks()


def test_items_wait_while_a_page_is_fetched(linked):
    linked.act(Action.HINT)
    linked.publish("later")
    assert linked.heard() == []
    linked.page(body="page")
    assert linked.heard() == ["page", "later"]


def test_items_wait_for_an_update(linked):
    linked.hub.recover(now=NOW)
    linked.publish("later")
    assert linked.at(NOW + 0.1) == []
    linked.page()
    assert linked.heard() == ["later"]


def test_what_a_page_has_is_not_sent_again(reliable):
    reliable.act(Action.HINT, item_id="2", prev_id="1")
    for number in (3, 4, 5):
        reliable.publish(f"{number}", item_id=f"{number}", prev_id=f"{number - 1}")
    reliable.page(sub("4"))
    assert reliable.heard() == ["5"]


def test_items_of_channels_that_a_page_leaves_are_dropped(linked):
    linked.act(Action.HINT)
    linked.publish("c")
    linked.page(sub(channel="d"))
    assert linked.heard() == []
    assert "c" not in linked.hub.channels
    linked.publish("d", channel="d")
    assert linked.heard() == ["d"]


def test_behind_the_first_that_fits_others_count_as_gaps(linked):
    linked.act(Action.HINT)
    linked.publish("plain", channel="c")
    linked.publish("gone", channel="c")
    linked.hold.drop_overlap()
    linked.page(sub(channel="c"), sub("9", channel="d"))
    assert linked.heard() == ["plain", "gone"]


def test_an_update_while_it_fetches_is_made_after_it(linked):
    linked.act(Action.HINT)
    linked.hub.recover(now=NOW)
    linked.page()
    assert linked.state is State.WAITING
    linked.at(NOW + 0.1)
    linked.page()
    assert linked.state is State.HOLDING


def test_of_several_updates_the_higher_priority_counts(linked):
    linked.stall()
    linked.hub.recover(now=NOW)
    linked.act(Action.HINT)
    linked.hub.recover(now=NOW)
    linked.read_on()
    assert linked.asks()


def test_one_that_waits_for_an_update_does_not_wait_for_another(linked):
    linked.hub.recover(now=NOW)
    linked.hub.recover(now=NOW)
    linked.at(NOW + 0.1)
    linked.page()
    assert linked.state is State.HOLDING


def test_an_update_without_a_link_is_nothing(play):
    play.hub.recover(now=NOW)
    assert play.state is State.HOLDING


def test_a_turn_that_comes_late_is_nothing(linked):
    linked.hold.update_turn(NOW)
    assert not linked.asks()


def test_the_first_subscription_fetches_the_link(linked):
    linked.at(NOW + 1)
    linked.at(NOW + 1.1)
    assert linked.asks()


def test_a_fetch_waits_until_the_client_takes_data(linked):
    linked.stall()
    linked.hold.ask_now()
    assert not linked.asks()
    linked.read_on()
    assert linked.asks()
    linked.read_on()
    assert not linked.asks()


def test_a_page_that_is_older_than_all_that_waits_is_asked_for_once_more(reliable):
    reliable.act(Action.HINT, item_id="2", prev_id="1")
    reliable.publish("4", item_id="4", prev_id="3")  # 3 is lost
    reliable.page(sub("2"))
    assert reliable.heard() == []
    reliable.at(NOW + 0.1)
    reliable.page(sub("4"), body="3 4")
    assert reliable.heard() == ["3 4"]
    reliable.publish("5", item_id="5", prev_id="4")
    assert reliable.heard() == ["5"]
    assert reliable.state is State.HOLDING


def test_a_page_that_ends_with_the_last_that_waits_is_enough(reliable):
    reliable.act(Action.HINT, item_id="2", prev_id="1")
    reliable.publish("3", item_id="3", prev_id="2")
    reliable.page(sub("3"), body="3")
    reliable.at(NOW + 0.5)
    assert reliable.state is State.HOLDING
    assert not reliable.asks()


# Replays


def test_what_is_replayed_goes_before_what_waits(reliable):
    missed = [
        Delivery(
            PublishItem(
                "c", id=f"{n}", prev_id=f"{n - 1}", http_stream=HttpStream(content=b"%d" % n)
            )
        )
        for n in (2, 3)
    ]
    play = Play(sub("1"), link=(NEXT, 120), holds=False)
    play.hold.replay(missed)
    play.publish("4", item_id="4", prev_id="3")
    play.hold.hold(now=NOW)
    assert play.heard() == ["2", "3", "4"]


def test_what_is_replayed_does_not_count_against_what_may_wait():
    play = Play(sub("0"), link=(NEXT, 120), holds=False, queue_bytes=1000)
    content = b"x" * 100
    play.hold.replay(
        Delivery(
            PublishItem(
                "c", id=f"{n}", prev_id=f"{n - 1}", http_stream=HttpStream(content=content)
            )
        )
        for n in range(1, 301)
    )
    for number in range(301, 311):
        play.publish("y" * 100, item_id=f"{number}", prev_id=f"{number - 1}")
    play.publish("y", item_id="311", prev_id="310")
    assert play.notices.drops == [("c", "slow")]
    play.hold.hold(now=NOW)
    assert len(play.heard()) == 310
    assert play.state is State.WAITING  # for what was dropped


# The timeout of next links


def test_a_stream_fetches_its_link_when_it_is_time():
    play = Play(link=(NEXT, 10))
    play.hub.channels.due(NOW + 1)  # not the update of the first subscription
    play.at(NOW + 9.9)
    assert play.state is State.HOLDING
    play.at(NOW + 10)
    assert play.state is State.WAITING


def test_a_timeout_of_0_fetches_about_100_milliseconds_after_each_hold():
    play = Play(link=(NEXT, 0))
    play.at(NOW)
    assert not play.asks()
    play.at(NOW + 0.1)
    play.page(link=(NEXT, 0), now=NOW + 0.2)
    play.at(NOW + 0.2)
    play.at(NOW + 0.31)
    assert play.asks()


def test_the_time_begins_anew_when_it_holds_again(linked):
    linked.act(Action.HINT)
    linked.page(link=(NEXT, 10), now=NOW + 50)
    assert linked.hub.next_timers.next_deadline() == NOW + 60


def test_a_stream_whose_channels_were_all_active_is_spared():
    play = Play(sub(), sub(channel="d"), link=(NEXT, 10))
    play.hub.channels.due(NOW + 1)
    play.publish("x")
    play.publish("x", channel="d")
    play.at(NOW + 10)
    assert play.state is State.HOLDING
    play.publish("x")
    play.at(NOW + 20)
    assert play.state is State.WAITING, "only one was active since"


def test_only_items_with_a_content_to_send_spare_it():
    play = Play(link=(NEXT, 10))
    play.hub.channels.due(NOW + 1)
    play.act(Action.REFRESH)
    play.at(NOW + 10)
    assert play.state is State.WAITING


def test_what_came_before_a_page_spares_it_no_more():
    play = Play(link=(NEXT, 10))
    play.hub.channels.due(NOW + 1)
    play.publish("x")
    play.act(Action.HINT)
    play.page(link=(NEXT, 10))
    play.at(NOW + 10)
    assert play.state is State.WAITING


def test_a_timeout_of_0_spares_nobody():
    play = Play(link=(NEXT, 0))
    play.publish("x")
    play.at(NOW)
    assert play.state is State.WAITING


def test_a_client_that_does_not_read_is_asked_for_later():
    play = Play(link=(NEXT, 10))
    play.hub.channels.due(NOW + 1)
    play.stall()
    play.at(NOW + 10)
    assert play.state is State.HOLDING
    play.read_on(NOW + 11)
    assert play.state is State.WAITING


# Keep-alive


def test_a_silent_stream_gets_keep_alives():
    play = Play(keep=KeepAlive(b"k", 10))
    assert play.at(NOW + 9.9) == []
    assert play.at(NOW + 10) == ["k"]
    assert play.at(NOW + 20) == ["k"]


def test_without_data_there_are_none():
    play = Play(keep=KeepAlive(b"", 10))
    assert play.at(NOW + 10) == []


def test_a_random_part_of_a_second_less():
    play = Play(keep=KeepAlive(b"k", 10), random=lambda: 0.9)
    assert play.at(NOW + 9) == []
    assert play.at(NOW + 9.1) == ["k"]


def test_but_never_less_than_half():
    play = Play(keep=KeepAlive(b"k", 1), random=lambda: 0.9)
    assert play.at(NOW + 0.4) == []
    assert play.at(NOW + 0.5) == ["k"]


def test_an_idle_one_counts_from_the_last_item():
    play = Play(keep=KeepAlive(b"k", 10))
    play.publish("x", now=NOW + 4)
    play.publish("x", now=NOW + 9.5)
    assert play.at(NOW + 10) == ["x", "x"]
    assert play.at(NOW + 19.4) == []
    assert play.at(NOW + 19.5) == ["k"]


def test_what_a_filter_let_through_counts_for_it_too():
    play = Play(sub(None, "build-id"), keep=KeepAlive(b"k", 10), meta={"id_format": "i"})
    play.publish("x", now=NOW + 9.5)
    assert play.at(NOW + 10) == ["x"]
    assert play.at(NOW + 19.4) == []
    assert play.at(NOW + 19.5) == ["k"]


def test_an_idle_one_is_not_judged_by_a_long_silence_before():
    play = Play(keep=KeepAlive(b"k", 10), random=lambda: 0.5)
    play.publish("x", now=NOW + 1)
    assert play.at(NOW + 9.5) == ["x"], "8.5 seconds of silence are too few"
    assert play.at(NOW + 10.5) == ["k"]


def test_one_at_intervals_comes_whatever_is_written():
    play = Play(keep=KeepAlive(b"k", 10, INTERVAL))
    play.publish("x", now=NOW + 9.5)
    assert play.at(NOW + 10) == ["x", "k"]


def test_none_comes_before_it_holds():
    play = Play(keep=KeepAlive(b"k", 10), holds=False)
    assert play.at(NOW + 30) == []


def test_they_go_on_while_a_page_is_fetched_until_its_first_byte():
    play = Play(link=(NEXT, 120), keep=KeepAlive(b"k", 10))
    play.hold.ask_now()
    assert play.at(NOW + 10) == ["k"]
    play.hold.body_begins()
    assert play.at(NOW + 30) == []
    play.page(keep=KeepAlive(b"K", 5), now=NOW + 30)
    assert play.at(NOW + 35) == ["K"]


def test_an_empty_page_lets_the_timer_run_on():
    play = Play(link=(NEXT, 120), keep=KeepAlive(b"k", 10))
    play.hold.ask_now()
    play.page(keep=KeepAlive(b"K", 60), now=NOW + 5)
    assert play.at(NOW + 10) == ["K"]
    assert play.at(NOW + 69) == []
    assert play.at(NOW + 70) == ["K"]


def test_a_page_without_them_ends_them():
    play = Play(link=(NEXT, 120), keep=KeepAlive(b"k", 10))
    play.hold.ask_now()
    play.page(now=NOW + 5)
    assert play.at(NOW + 10) == []


def test_a_client_that_does_not_read_gets_none():
    play = Play(keep=KeepAlive(b"k", 10))
    play.stall()
    assert play.at(NOW + 10) == []
    play.read_on(NOW + 15)
    assert play.at(NOW + 24) == []
    assert play.at(NOW + 25) == ["k"]


def test_they_begin_anew_when_the_client_reads_again():
    play = Play(keep=KeepAlive(b"k", 10))
    play.stall()
    play.read_on(NOW + 5)
    assert play.at(NOW + 10) == []
    assert play.at(NOW + 15) == ["k"]


def test_they_begin_when_the_queue_is_out():
    play = Play(sub(None, "http-check"), keep=KeepAlive(b"k", 10), holds=False)
    play.publish("x")
    play.hold.hold(now=NOW)
    assert play.at(NOW + 10) == []
    play.hub.network.answer(b"x", NOW + 20)
    assert play.at(NOW + 30) == ["x", "k"]


# The end


def test_a_client_that_leaves_ends_it(linked):
    linked.hold.gone(NOW)
    linked.hold.gone(NOW)
    assert linked.publish("x") == 0
    assert not linked.sink.ended, "nobody is there to be told"
    assert linked.over == [linked.origin]
    assert linked.hub.next_timers.next_deadline() is None


def test_a_delivery_under_way_finds_it_over(play):
    play.hold.gone(NOW)
    play.hold.deliver(Delivery(PublishItem("c", http_stream=HttpStream(content=b"x"))), NOW)
    assert play.heard() == []


def test_the_end_comes_once(play):
    play.hold.end(NOW)
    play.hold.end(NOW)
    play.hold.fail("text", NOW)
    assert play.sink.ended


def test_an_error_is_told_with_debug_only(play):
    play.hold.fail("text", NOW)
    assert play.heard() == []
    assert play.sink.ended
    debug = Play(debug=True)
    debug.hold.fail("text", NOW)
    assert debug.heard() == ["\n\ntext\n"]
    assert debug.sink.ended


def test_a_story_that_waits_is_interrupted(linked):
    calls = []
    linked.hold.ask_now()
    linked.hold.interrupt = lambda: calls.append("interrupted")
    linked.hold.gone(NOW)
    assert calls == ["interrupted"]


def test_a_drain_ends_it(play):
    play.hold.drain(NOW)
    assert play.sink.ended


def test_a_drain_lets_a_body_be_finished():
    play = Play(holds=False)
    play.hold.body_begins()
    play.hold.drain(NOW)
    assert not play.sink.ended
    assert play.hold.body_ended(NOW) is False
    assert play.sink.ended


def test_a_page_that_is_over_lets_it_go_on(linked):
    linked.hold.body_begins()
    assert linked.hold.body_ended(NOW) is True
    linked.hold.drain(NOW)
    assert linked.sink.ended


def test_reading_on_means_nothing_to_one_that_waits(linked):
    linked.hub.recover(now=NOW)
    linked.read_on()
    assert linked.state is State.WAITING


def test_it_says_what_it_does(play):
    assert repr(play.hold) == "<StreamHold holding ['c']>"
    assert play.hold.url == b"http://proxy/stream"
    assert play.hold.route is play.origin.route


# Positions without a link


def test_a_position_is_of_no_use_without_a_link():
    subscriptions = [sub(), sub("1", channel="d")]
    assert unlinked(subscriptions, None) == (
        "channel 'd' specifies prev-id, but no next link found"
    )
    assert unlinked(subscriptions, (NEXT, 120)) == ""
    assert unlinked([sub()], None) == ""


# A model: an origin that remembers all items, a channel that may lose some, a client that may not
# read, and a stream between them.


class Stream(RuleBasedStateMachine):
    """Whatever comes in whatever order: the client gets each item once, in order."""

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.play = Play(sub("0"), link=(NEXT, 120), queue_bytes=400)
        self.published = 0  # what the origin knows: items 1 to this
        self.on_the_way = []
        self.got = []
        self.page = None  # the page that is on its way: the items up to this one

    def _take(self):
        self.got += [int(number) for text in self.play.heard() for number in text.split()]

    @rule(count=st.integers(1, 5))
    def publish(self, count):
        for _ in range(count):
            self.published += 1
            self.on_the_way.append(self.published)

    @rule()
    def publish_a_burst(self):
        self.publish(QUEUE_MAX + 10)

    @precondition(lambda self: self.on_the_way)
    @rule(count=st.integers(1, 200))
    def deliver(self, count):
        for number in self.on_the_way[:count]:
            self.play.publish(
                f"{number} ", item_id=str(number), prev_id=str(number - 1), now=self.now
            )
        del self.on_the_way[:count]
        self._take()

    @precondition(lambda self: self.on_the_way)
    @rule()
    def lose(self):
        del self.on_the_way[0]

    @rule()
    def hint(self):
        item = PublishItem("c", http_stream=HttpStream(action=Action.HINT), no_seq=True)
        self.play.hub.publish(item, now=self.now)

    @rule()
    def recover(self):
        self.play.hub.recover(now=self.now)

    @rule(seconds=st.sampled_from([0.05, 0.1, 1, 200]))
    def wait(self, seconds):
        self.now += seconds
        self.play.hub.due(self.now)
        self._take()

    @rule()
    def stall(self):
        self.play.stall()

    @rule()
    def read_on(self):
        self.play.read_on(self.now)
        self._take()

    @precondition(lambda self: self.page is None and self.play.sink.wakes)
    @rule()
    def fetch(self):
        since = int(self.play.hold.subscriptions["c"].prev_id)
        self.page = (since, self.published)

    @precondition(lambda self: self.page is not None)
    @rule()
    def answer(self):
        (since, until), self.page = self.page, None
        body = " ".join(str(number) for number in range(since + 1, until + 1))
        self.play.page(sub(str(until)), body=body, now=self.now)
        self._take()

    @invariant()
    def nothing_is_lost_or_doubled(self):
        assert self.got == list(range(1, len(self.got) + 1))

    def teardown(self):
        """In the end the next item shows whatever was lost."""
        self.publish(1)
        self.deliver(len(self.on_the_way))
        for _ in range(5):
            self.read_on()
            self.wait(0.1)
            if self.page is None and self.play.sink.wakes:
                self.fetch()
            if self.page is not None:
                self.answer()
        assert self.got == list(range(1, self.published + 1))


Stream.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStream = Stream.TestCase

"""Who holds what, and for how long a channel stays subscribed."""

import pytest

from gripproxy.engine.channels import Channels, Kind
from tests.fakes import FakeNotices
from tests.holdfakes import FakeHolder

RESPONSE, STREAM, SOCKET = Kind


@pytest.fixture
def notices():
    return FakeNotices()


@pytest.fixture
def channels(notices):
    return Channels(notices, linger=60)


def test_the_first_holder_makes_a_channel_subscribed(channels, notices):
    channels.subscribe("c", FakeHolder(), now=0)
    channels.subscribe("c", FakeHolder(), now=0)
    assert "c" in channels
    assert "d" not in channels
    assert notices.first == ["c"]
    assert len(channels) == 1


def test_holders_are_found_by_kind_in_the_order_they_came(channels):
    first, second, response = FakeHolder(), FakeHolder(), FakeHolder(RESPONSE)
    for holder in (first, response, second):
        channels.subscribe("c", holder, now=0)
    assert [list(kind) for kind in channels.find("c").holders] == [[response], [first, second], []]


def test_a_channel_that_nobody_knows_is_not_found(channels):
    assert channels.find("c") is None


def test_one_can_ask_whether_a_holder_is_subscribed(channels):
    holder = FakeHolder()
    channels.subscribe("c", holder, now=0)
    assert channels.has("c", holder)
    assert not channels.has("c", FakeHolder())
    assert not channels.has("d", holder)


@pytest.mark.parametrize("kind", [STREAM, SOCKET])
def test_without_streams_and_websockets_a_channel_ends_at_once(channels, notices, kind):
    holder = FakeHolder(kind)
    channels.subscribe("c", holder, now=0)
    channels.unsubscribe("c", holder, now=1)
    assert "c" not in channels
    assert notices.last == ["c"]


def test_a_channel_stays_while_anybody_holds_it(channels, notices):
    holder = FakeHolder()
    channels.subscribe("c", holder, now=0)
    channels.subscribe("c", FakeHolder(SOCKET), now=0)
    channels.unsubscribe("c", holder, now=1)
    assert "c" in channels
    assert notices.last == []


def test_who_is_not_subscribed_can_be_unsubscribed(channels):
    channels.unsubscribe("c", FakeHolder(), now=0)
    channels.subscribe("c", FakeHolder(), now=0)
    channels.unsubscribe("c", FakeHolder(), now=0)
    assert "c" in channels


# The linger


def polled(channels, *, now):
    holder = FakeHolder(RESPONSE)
    channels.subscribe("c", holder, now=now)
    channels.unsubscribe("c", holder, now=now)


def test_after_a_response_hold_a_channel_lingers(channels, notices):
    polled(channels, now=0)
    assert "c" in channels
    assert channels.next_deadline() == 1
    channels.due(59)
    assert "c" in channels
    assert channels.next_deadline() == 60
    channels.due(60)
    assert "c" not in channels
    assert notices.last == ["c"]


def test_a_client_that_polls_again_goes_on_with_the_subscription(channels, notices):
    polled(channels, now=0)
    polled(channels, now=50)
    channels.due(60)
    assert "c" in channels
    channels.due(110)
    assert "c" not in channels
    assert notices.first == notices.last == ["c"]


def test_a_linger_that_is_over_does_not_end_what_is_held(channels):
    polled(channels, now=0)
    holder = FakeHolder()
    channels.subscribe("c", holder, now=30)
    channels.due(60)
    assert "c" in channels
    channels.unsubscribe("c", holder, now=70)
    assert "c" not in channels


def test_a_stream_that_leaves_does_not_end_a_linger(channels):
    polled(channels, now=0)
    holder = FakeHolder()
    channels.subscribe("c", holder, now=10)
    channels.unsubscribe("c", holder, now=20)
    channels.due(59)
    assert "c" in channels
    channels.due(60)
    assert "c" not in channels


def test_the_linger_begins_when_the_last_response_hold_ends(channels):
    holder = FakeHolder(RESPONSE)
    channels.subscribe("c", holder, now=0)
    polled(channels, now=0)
    channels.unsubscribe("c", holder, now=30)
    channels.due(89)
    assert "c" in channels


def test_without_a_linger_the_last_holder_ends_it(notices):
    channels = Channels(notices, linger=0)
    polled(channels, now=0)
    assert "c" not in channels


# The first subscription


def test_one_second_after_the_first_holder_a_channel_is_to_be_updated(channels):
    channels.subscribe("c", FakeHolder(), now=0)
    channels.subscribe("c", FakeHolder(), now=0.5)
    assert channels.due(0.9) == []
    assert channels.due(1) == [channels.find("c")]
    assert channels.due(2) == []
    assert channels.next_deadline() is None


def test_nobody_needs_an_update_of_a_channel_that_is_not_held(channels):
    polled(channels, now=0)
    assert channels.due(1) == []


def test_the_update_is_an_option(notices):
    channels = Channels(notices, update_on_first=False)
    channels.subscribe("c", FakeHolder(), now=0)
    assert channels.next_deadline() is None


class Watch:
    def __init__(self):
        self.log = []

    def subscribed(self, channel, holder):
        self.log.append(("subscribed", channel.name, holder))

    def unsubscribed(self, channel, holder):
        self.log.append(("unsubscribed", channel.name, holder))


def test_subscribers_are_counted_once(channels):
    channels.watch = Watch()
    holder = FakeHolder()
    for _ in range(2):
        channels.subscribe("c", holder, now=0)
    for _ in range(2):
        channels.unsubscribe("c", holder, now=0)
    assert channels.watch.log == [("subscribed", "c", holder), ("unsubscribed", "c", holder)]


def test_whoever_has_the_timer_is_told_when(notices):
    moments = []
    channels = Channels(notices, linger=60, arm=moments.append)
    polled(channels, now=0)
    assert moments == [1, 60]


def test_a_channel_says_who_holds_it(channels):
    channels.subscribe("c", FakeHolder(), now=0)
    assert [repr(channel) for channel in channels] == ["<Channel 'c' 0/1/0>"]

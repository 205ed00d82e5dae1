"""The order of items."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gripproxy.engine.lastids import LastIds
from gripproxy.engine.sequencer import WAITING_MAX, Sequencer


@dataclass(frozen=True, slots=True)
class Item:
    id: str | None = None
    prev_id: str | None = None
    channel: str = "c"
    no_seq: bool = False


class Desk:
    """A sequencer with what it looks at."""

    def __init__(self, *, wait=5.0, ttl=0.0, subscribed=("c",), limit=1000):
        self.last_ids = LastIds(limit)
        self.subscribed = set(subscribed)
        self.sequencer = Sequencer(wait, ttl, self.last_ids, self.subscribed.__contains__)

    def admit(self, *items, now=0.0):
        """Admit items at one moment; return the ids of what was released."""
        return [released.id for item in items for released in self.sequencer.admit(item, now=now)]

    def expire(self, now):
        return [released.id for released in self.sequencer.expire(now=now)]

    @property
    def last(self):
        return self.last_ids.get("c")


def chain(first, last):
    """Items first … last, each naming the one before."""
    return [Item(str(number), str(number - 1)) for number in range(first, last + 1)]


@pytest.fixture
def desk():
    return Desk()


# The rules, one by one


def test_an_item_that_wants_no_sequence_is_released_and_nothing_is_remembered(desk):
    desk.admit(Item("1"))
    assert desk.admit(Item("9", "8", no_seq=True)) == ["9"]
    assert desk.last == "1"


def test_an_item_that_wants_no_sequence_takes_nothing_with_it(desk):
    desk.admit(Item("1"), Item("3", "2"))
    assert desk.admit(Item("2", "1", no_seq=True)) == ["2"]
    assert len(desk.sequencer) == 1


def test_an_item_of_a_channel_without_subscribers_is_released_and_nothing_is_remembered():
    desk = Desk(subscribed=())
    assert desk.admit(Item("3", "2"), Item("1", "0")) == ["3", "1"]
    assert desk.last is None


def test_the_first_item_after_a_subscription_is_released_whatever_it_follows():
    desk = Desk(subscribed=())
    desk.admit(Item("1"))
    desk.subscribed.add("c")
    assert desk.admit(Item("9", "8")) == ["9"]
    assert desk.last == "9"


def test_an_item_without_prev_id_is_released_and_becomes_the_last(desk):
    assert desk.admit(Item("1"), Item("7")) == ["1", "7"]
    assert desk.last == "7"


def test_an_item_that_follows_the_last_is_released(desk):
    assert desk.admit(*chain(1, 3)) == ["1", "2", "3"]
    assert desk.last == "3"


def test_an_item_without_id_makes_the_last_id_unknown(desk):
    assert desk.admit(Item("1"), Item(None, "1"), Item("9", "8")) == ["1", None, "9"]


def test_an_unchained_item_without_id_makes_the_last_id_unknown(desk):
    desk.admit(Item("1"), Item())
    assert desk.last is None


def test_an_early_item_waits(desk):
    assert desk.admit(Item("1"), Item("3", "2")) == ["1"]
    assert desk.last == "1"
    assert desk.sequencer.next_deadline() == 5


def test_another_item_that_waits_for_the_same_is_dropped(desk):
    desk.admit(Item("1"), Item("3", "2"))
    assert desk.admit(Item("4", "2")) == []
    assert desk.sequencer.dropped == 1
    assert desk.admit(Item("2", "1")) == ["2", "3"]


def test_an_item_is_dropped_when_too_many_wait(desk):
    desk.admit(Item("1"))
    assert desk.admit(*chain(3, WAITING_MAX + 2)) == []
    assert len(desk.sequencer) == WAITING_MAX == 100
    assert desk.admit(Item("x", "w")) == []
    assert desk.sequencer.dropped == 1
    assert desk.admit(Item("2", "1")) == [str(n) for n in range(2, WAITING_MAX + 3)]
    assert len(desk.sequencer) == 0


def test_the_limit_is_that_of_one_channel():
    desk = Desk(subscribed="cd")
    desk.admit(Item("1"), Item("1", channel="d"), *chain(3, WAITING_MAX + 2))
    assert desk.admit(Item("3", "2", channel="d"), Item("2", "1", channel="d")) == ["2", "3"]


def test_the_empty_id_is_an_id(desk):
    assert desk.admit(Item(""), Item("2", "1"), Item("1", "")) == ["", "1", "2"]


def test_channels_do_not_know_of_each_other():
    desk = Desk(subscribed="cd")
    assert desk.admit(Item("1"), Item("9", channel="d"), Item("2", "1")) == ["1", "9", "2"]


# Chains


def test_a_release_takes_with_it_what_waited_for_it(desk):
    desk.admit(Item("1"), *chain(3, 10))
    assert desk.admit(Item("2", "1")) == [str(n) for n in range(2, 11)]
    assert desk.last == "10"
    assert desk.sequencer.next_deadline() is None


def test_an_unchained_item_takes_with_it_what_waited_for_it(desk):
    desk.admit(Item("1"), Item("8", "7"))
    assert desk.admit(Item("7")) == ["7", "8"]


def test_a_chain_ends_with_an_item_without_id(desk):
    desk.admit(Item("1"), Item(None, "2"), Item("4", "3"))
    assert desk.admit(Item("2", "1")) == ["2", None]
    assert desk.last is None
    assert len(desk.sequencer) == 1


@given(st.permutations(chain(2, 12)), st.data())
def test_in_whatever_order_they_come_all_are_released_in_order(items, data):
    desk = Desk(ttl=60)
    repeats = data.draw(st.lists(st.sampled_from(items)))
    assert desk.admit(Item("1"), *items, *repeats) == [str(n) for n in range(1, 13)]


# Time


def test_what_waited_long_enough_is_released_as_if_it_were_in_order(desk):
    desk.admit(Item("1"))
    desk.admit(*chain(3, 4), now=1.0)
    assert desk.expire(5.9) == []
    assert desk.expire(6.0) == ["3", "4"]
    assert desk.last == "4"
    assert desk.sequencer.next_deadline() is None


def test_the_oldest_is_given_up_first(desk):
    desk.admit(Item("1"))
    desk.admit(Item("9", "8"), now=1.0)
    desk.admit(Item("3", "2"), now=2.0)
    assert desk.sequencer.next_deadline() == 6
    assert desk.expire(6.0) == ["9"]
    assert desk.sequencer.next_deadline() == 7
    assert desk.expire(60.0) == ["3"]


def test_an_item_that_is_its_own_predecessor_waits_for_its_time(desk):
    assert desk.admit(Item("1"), Item("2", "2")) == ["1"]
    assert desk.expire(5.0) == ["2"]
    assert desk.last == "2"


def test_a_circle_of_items_is_released_once(desk):
    desk.admit(Item("1"), Item("a", "b"), Item("b", "a"))
    assert desk.expire(5.0) == ["a", "b"]


def test_a_late_predecessor_waits_and_comes_after_its_successor(desk):
    desk.admit(Item("1"), Item("3", "2"))
    assert desk.expire(5.0) == ["3"]
    assert desk.admit(Item("2", "1"), now=6.0) == []
    assert desk.expire(11.0) == ["2"]
    assert desk.admit(Item("4", "3"), now=12.0) == []
    assert desk.expire(17.0) == ["4"]


def test_an_item_without_id_that_was_given_up_makes_the_last_id_unknown(desk):
    desk.admit(Item("1"), Item(None, "2"))
    assert desk.expire(5.0) == [None]
    assert desk.last is None


def test_without_a_wait_an_early_item_is_due_at_once_but_not_released_by_itself():
    desk = Desk(wait=0)
    assert desk.admit(Item("1"), Item("3", "2"), now=4.0) == ["1"]
    assert desk.sequencer.next_deadline() == 4
    assert desk.expire(4.0) == ["3"]


def test_nothing_is_due_when_nothing_waits(desk):
    assert desk.sequencer.next_deadline() is None
    assert desk.expire(1e9) == []


# Doubles


def test_a_double_is_dropped_whatever_else_it_says():
    desk = Desk(ttl=60)
    assert desk.admit(Item("1"), Item("1", "x"), Item("1", no_seq=True)) == ["1"]
    assert desk.sequencer.doubled == 2


def test_items_without_id_are_never_doubles():
    assert Desk(ttl=60).admit(Item(), Item()) == [None, None]


def test_without_a_time_there_are_no_doubles(desk):
    assert desk.admit(Item("1"), Item("1")) == ["1", "1"]


def test_an_id_counts_as_seen_where_nobody_is_subscribed():
    desk = Desk(ttl=60, subscribed=())
    assert desk.admit(Item("1"), Item("1")) == ["1"]


def test_an_id_counts_as_seen_if_its_item_was_dropped():
    desk = Desk(ttl=60)
    desk.admit(Item("1"), Item("3", "2"), Item("x", "2"))
    assert desk.admit(Item("x")) == []


def test_an_id_is_accepted_again_after_its_time():
    desk = Desk(ttl=60)
    assert desk.admit(Item("1")) + desk.admit(Item("1"), now=60.0) == ["1", "1"]


# Forgetting


def test_a_channel_that_is_forgotten_loses_its_last_id_and_what_waits():
    desk = Desk(subscribed="cd")
    desk.admit(Item("1"), Item("3", "2"), Item("1", channel="d"), Item("3", "2", channel="d"))
    desk.sequencer.forget_channel("c")
    assert desk.last is None
    assert desk.last_ids.get("d") == "1"
    assert desk.admit(Item("9", "8")) == ["9"]
    assert desk.expire(60.0) == ["3"]


def test_a_channel_that_is_not_known_may_be_forgotten(desk):
    desk.sequencer.forget_channel("z")
    assert len(desk.sequencer) == 0


def test_a_recovery_forgets_last_ids_but_neither_what_waits_nor_doubles():
    desk = Desk(ttl=60)
    desk.admit(Item("1"), Item("3", "2"))
    desk.sequencer.recover()
    assert desk.last is None
    assert desk.admit(Item("1")) == []
    assert desk.admit(Item("7", "6"), now=1.0) == ["7"]
    assert desk.expire(5.0) == ["3"]


def test_a_last_id_that_others_forgot_is_unknown(desk):
    desk.admit(Item("1"))
    desk.last_ids.forget("c")
    assert desk.admit(Item("9", "8")) == ["9"]


# Any history at all


class Model:
    """The rules of publishing.md 7, with lists that are searched."""

    def __init__(self, wait, ttl):
        self.wait, self.ttl = wait, ttl
        self.last, self.waiting, self.accepted = {}, [], []
        self.subscribed = set()

    def admit(self, item, now):
        if item.id is not None:
            pair = (item.channel, item.id)
            if any(known == pair and now - since < self.ttl for known, since in self.accepted):
                return []
            self.accepted.append((pair, now))
        if item.no_seq or item.channel not in self.subscribed:
            return [item]
        last = self.last.get(item.channel)
        if last is None or item.prev_id is None or item.prev_id == last:
            return self.release(item)
        mine = [other for _, other in self.waiting if other.channel == item.channel]
        if len(mine) < 100 and item.prev_id not in [other.prev_id for other in mine]:
            self.waiting.append((now + self.wait, item))
        return []

    def release(self, item):
        released = [item]
        while True:
            self.last[item.channel] = item.id
            following = [
                pair
                for pair in self.waiting
                if item.id is not None
                and (pair[1].channel, pair[1].prev_id) == (item.channel, item.id)
            ]
            if not following:
                return released
            self.waiting.remove(following[0])
            item = following[0][1]
            released.append(item)

    def expire(self, now):
        released = []
        while self.waiting and self.waiting[0][0] <= now:
            released += self.release(self.waiting.pop(0)[1])
        return released

    def forget(self, channel):
        self.subscribed.discard(channel)
        self.last.pop(channel, None)
        self.waiting = [pair for pair in self.waiting if pair[1].channel != channel]


CHANNELS = st.sampled_from("cd")
IDS = st.one_of(st.none(), st.sampled_from(["", "1", "2", "3", "4", "5"]))


class AnyHistory(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now = 0
        self.desk = Desk(wait=5, ttl=7, subscribed=())
        self.model = Model(wait=5, ttl=7)
        self.model.subscribed = self.desk.subscribed

    @rule(item=st.builds(Item, IDS, IDS, CHANNELS, st.sampled_from([False, False, False, True])))
    def publish(self, item):
        released = self.desk.sequencer.admit(item, now=self.now)
        assert list(released) == self.model.admit(item, self.now)

    @rule(channel=CHANNELS)
    def subscribe(self, channel):
        self.desk.subscribed.add(channel)

    @rule(channel=CHANNELS)
    def unsubscribe(self, channel):
        self.desk.sequencer.forget_channel(channel)
        self.model.forget(channel)

    @rule()
    def recover(self):
        self.desk.sequencer.recover()
        self.model.last.clear()

    @rule(step=st.integers(1, 4))
    def wait(self, step):
        self.now += step
        assert self.desk.sequencer.expire(now=self.now) == self.model.expire(self.now)

    @invariant()
    def agrees(self):
        for channel in "cd":
            assert self.desk.last_ids.get(channel) == self.model.last.get(channel)
        moments = [when for when, _ in self.model.waiting]
        assert self.desk.sequencer.next_deadline() == min(moments, default=None)
        assert len(self.desk.sequencer) == len(moments)


TestAnyHistory = AnyHistory.TestCase


@given(st.lists(st.tuples(st.sampled_from("abc"), IDS, st.integers(0, 200).map(str))))
def test_what_is_kept_is_bounded_and_gone_in_the_end(arrivals):
    desk = Desk(subscribed="abc", limit=2)
    for channel, item_id, prev_id in arrivals:
        desk.admit(Item(item_id, prev_id, channel))
        assert len(desk.last_ids) <= 2
    desk.expire(5.0)
    assert len(desk.sequencer) == 0
    assert desk.sequencer._waiting == {}

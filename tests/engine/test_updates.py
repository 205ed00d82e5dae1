"""Low-priority updates and their pace."""

import pytest

from gripproxy.engine.updates import GROUP, GROUP_MAX, Updates


class Hold:
    def update_turn(self, now):
        raise AssertionError("whoever takes the holds out calls this")


@pytest.fixture
def updates():
    return Updates()


def test_holds_are_collected_for_a_tenth_of_a_second(updates):
    first, second = Hold(), Hold()
    updates.add(first, "k", now=0)
    updates.add(second, "k", now=0.09)
    assert updates.next_deadline() == 0.1
    assert updates.due(0.09) == []
    assert updates.due(0.1) == [first, second]
    assert len(updates) == 0


def test_a_group_has_at_most_a_hundred(updates):
    holds = [Hold() for _ in range(GROUP + 1)]
    for hold in holds:
        updates.add(hold, "k", now=0)
    assert updates.due(0.1) == holds[:GROUP]
    assert updates.due(0.15) == []
    assert updates.due(0.2) == holds[GROUP:]


def test_a_group_has_one_key_and_keys_take_turns(updates):
    many = [Hold() for _ in range(GROUP + 1)]
    for hold in many:
        updates.add(hold, "many", now=0)
    few = Hold()
    updates.add(few, "few", now=0)
    assert updates.due(0.1) == many[:GROUP]
    assert updates.due(0.2) == [few]
    assert updates.due(0.31) == many[GROUP:]


def test_a_hold_that_waits_keeps_its_place(updates):
    hold, other = Hold(), Hold()
    updates.add(hold, "k", now=0)
    updates.add(other, "k", now=0)
    updates.add(hold, "another", now=0.05)
    assert updates.due(0.1) == [hold, other]


def test_a_hold_can_leave(updates):
    hold, other = Hold(), Hold()
    updates.add(hold, "k", now=0)
    updates.add(other, "k", now=0)
    updates.cancel(hold)
    assert updates.due(0.1) == [other]


def test_nothing_is_due_when_all_have_left(updates):
    hold = Hold()
    updates.add(hold, "k", now=0)
    updates.cancel(hold)
    updates.cancel(hold)
    assert updates.next_deadline() is None
    assert updates.due(0.1) == []


def test_after_a_rest_holds_are_collected_anew(updates):
    updates.add(Hold(), "k", now=0)
    updates.due(0.1)
    updates.add(Hold(), "k", now=50)
    assert updates.due(50) == []
    assert updates.next_deadline() == 50.1


def test_whoever_has_the_timer_is_told_when():
    moments = []
    updates = Updates(moments.append)
    updates.add(Hold(), "k", now=0)
    updates.add(Hold(), "k", now=0.05)
    assert moments == [0.1]


def test_holds_whose_requests_are_equal_count_once(updates):
    holds = [Hold() for _ in range(3 * GROUP)]
    for number, hold in enumerate(holds):
        updates.add(hold, "k", now=0, request=number // 3)
    other = Hold()
    updates.add(other, "k", now=0)
    assert updates.due(0.1) == holds
    assert updates.due(0.2) == [other]


def test_but_no_more_than_a_thousand_at_once(updates):
    holds = [Hold() for _ in range(GROUP_MAX + 1)]
    for hold in holds:
        updates.add(hold, "k", now=0, request="the same")
    assert updates.due(0.1) == holds[:GROUP_MAX]
    assert updates.due(0.2) == holds[GROUP_MAX:]

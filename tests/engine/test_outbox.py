"""What is on its way to many."""

import pytest

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.outbox import PART, Outbox
from gripproxy.protocol.items import PublishItem
from tests.holdfakes import FakeHolder


def item(name):
    return Delivery(PublishItem("c", id=name))


@pytest.fixture
def failures():
    return []


@pytest.fixture
def outbox(failures):
    return Outbox(failures.append)


def crowd(size):
    """Make holders that write what they get into one list."""
    holders = [FakeHolder() for _ in range(size)]
    log = []
    for number, holder in enumerate(holders):
        holder.log = Log(log, number)
    return holders, log


class Log:
    def __init__(self, log, number):
        self.log = log
        self.number = number

    def append(self, item_id):
        self.log.append((self.number, item_id))


def test_few_receivers_get_it_at_once(outbox):
    holders, log = crowd(2)
    assert outbox.put(item("a"), holders, now=0) is False
    assert log == [(0, "a"), (1, "a")]
    assert len(outbox) == 0


def test_many_get_it_in_parts(outbox):
    holders, log = crowd(PART + 1)
    assert outbox.put(item("a"), holders, now=0) is True
    assert log == []
    assert outbox.run(0) is True
    assert len(log) == PART
    assert outbox.run(0) is False
    assert log == [(number, "a") for number in range(PART + 1)]


def test_a_part_is_as_large_as_there_is_time_for(outbox):
    holders, log = crowd(PART + 1)
    outbox.put(item("a"), holders, now=0)
    outbox.run(0, budget=3)
    outbox.run(0, budget=2)
    assert log == [(number, "a") for number in range(5)]


def test_what_comes_later_waits_its_turn(outbox):
    holders, _ = crowd(PART + 1)
    few, few_log = crowd(1)
    assert outbox.put(item("a"), holders, now=0) is True
    assert outbox.put(item("b"), few, now=0) is False, "it is being run already"
    assert few_log == []
    assert len(outbox) == 2
    outbox.run(0)
    assert outbox.run(0) is False
    assert few_log == [(0, "b")]


def test_a_part_may_have_the_end_of_one_and_the_beginning_of_another(outbox):
    holders, log = crowd(PART + 1)
    outbox.put(item("a"), holders, now=0)
    outbox.put(item("b"), holders, now=0)
    outbox.run(0)
    outbox.run(0)
    assert log[PART : PART + 2] == [(PART, "a"), (0, "b")]
    assert len(log) == 2 * PART


@pytest.mark.parametrize("size", [3, 2 * PART])
def test_one_that_raises_takes_the_item_from_nobody_else(outbox, failures, size):
    holders, log = crowd(size)
    holders[1].log = None
    if outbox.put(item("a"), holders, now=0):
        while outbox.run(0):
            pass
    assert [number for number, _ in log] == [0, *range(2, size)]
    assert [type(error) for error in failures] == [AttributeError]

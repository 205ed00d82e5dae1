"""Many deadlines, one timer."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.deadlines import Deadlines


@pytest.fixture
def deadlines():
    return Deadlines()


def test_without_keys_nothing_is_next_or_due(deadlines):
    assert deadlines.next() is None
    assert deadlines.due(1e9) == []
    assert len(deadlines) == 0


def test_the_earliest_moment_is_next(deadlines):
    deadlines.set("a", 5)
    deadlines.set("b", 3)
    deadlines.set("c", 4)
    assert deadlines.next() == 3


def test_what_is_due_comes_earliest_first_and_only_once(deadlines):
    for key, when in (("a", 5), ("b", 3), ("c", 4), ("d", 6)):
        deadlines.set(key, when)
    assert deadlines.due(5) == ["b", "c", "a"]
    assert deadlines.due(5) == []
    assert deadlines.next() == 6


def test_of_equal_moments_the_one_set_first_comes_first(deadlines):
    for key in ("z", "y", "x"):
        deadlines.set(key, 1)
    assert deadlines.due(1) == ["z", "y", "x"]


@pytest.mark.parametrize("when", [1, 2, 9])
def test_a_moment_that_is_set_again_replaces_the_old_one(deadlines, when):
    deadlines.set("a", 2)
    deadlines.set("a", when)
    assert len(deadlines) == 1
    assert deadlines.next() == when
    assert deadlines.due(when - 0.5) == []
    assert deadlines.due(when) == ["a"]
    assert deadlines.due(9) == []


def test_a_cancelled_moment_never_comes(deadlines):
    deadlines.set("a", 1)
    deadlines.set("b", 2)
    deadlines.cancel("a")
    assert "a" not in deadlines
    assert "b" in deadlines
    assert deadlines.next() == 2
    assert deadlines.due(9) == ["b"]


def test_a_key_without_a_moment_may_be_cancelled(deadlines):
    deadlines.cancel("a")
    assert deadlines.next() is None


def test_a_key_may_be_set_again_after_it_was_due_or_cancelled(deadlines):
    deadlines.set("a", 1)
    deadlines.due(1)
    deadlines.set("a", 2)
    deadlines.cancel("a")
    deadlines.set("a", 3)
    assert deadlines.due(3) == ["a"]


def test_keys_need_no_order(deadlines):
    first, second = object(), object()
    deadlines.set(first, 1)
    deadlines.set(second, 1)
    assert deadlines.due(1) == [first, second]


def test_a_moment_that_moves_all_the_time_does_not_fill_memory(deadlines):
    for when in range(10_000):
        deadlines.set("a", when)
    assert len(deadlines._heap) < 100


def test_cancelled_keys_are_let_go_before_their_moment(deadlines):
    class Hold:
        pass

    holds = [Hold() for _ in range(1000)]
    alive = [weakref.ref(hold) for hold in holds]
    for hold in holds:
        deadlines.set(hold, 1e9)
    for hold in holds:
        deadlines.cancel(hold)
    del hold, holds
    gc.collect()
    assert sum(ref() is not None for ref in alive) < 100


KEYS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, st.integers(0, 20)),
    st.tuples(st.just("cancel"), KEYS, st.just(0)),
    st.tuples(st.just("due"), st.just(0), st.integers(0, 20)),
)


@given(st.lists(STEPS, max_size=200))
def test_it_behaves_like_a_table_that_is_searched(steps):
    deadlines = Deadlines()
    table = {}
    for step, key, when in steps:
        if step == "set":
            if table.get(key) != when:
                table.pop(key, None)
                table[key] = when
            deadlines.set(key, when)
        elif step == "cancel":
            table.pop(key, None)
            deadlines.cancel(key)
        else:
            expected = sorted((k for k in table if table[k] <= when), key=table.get)
            assert deadlines.due(when) == expected
            for k in expected:
                del table[k]
        assert deadlines.next() == min(table.values(), default=None)
        assert len(deadlines) == len(table)

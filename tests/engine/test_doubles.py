"""Items that come twice."""

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.doubles import Doubles


def test_an_id_is_a_double_the_second_time():
    doubles = Doubles(60)
    assert not doubles.seen("a", "1", now=0)
    assert doubles.seen("a", "1", now=0)


def test_an_id_of_another_channel_is_none():
    doubles = Doubles(60)
    assert not doubles.seen("a", "1", now=0)
    assert not doubles.seen("b", "1", now=0)


def test_the_empty_id_is_an_id():
    doubles = Doubles(60)
    assert not doubles.seen("a", "", now=0)
    assert doubles.seen("a", "", now=0)


def test_channel_and_id_are_not_confused():
    doubles = Doubles(60)
    assert not doubles.seen("a", "b1", now=0)
    assert not doubles.seen("ab", "1", now=0)
    assert not doubles.seen("1:a", "b", now=0)


def test_the_time_begins_at_the_first_sight_and_repeats_do_not_extend_it():
    doubles = Doubles(60)
    assert not doubles.seen("a", "1", now=0)
    assert doubles.seen("a", "1", now=59.9)
    assert not doubles.seen("a", "1", now=60)
    assert doubles.seen("a", "1", now=60.1)


def test_without_a_time_nothing_is_remembered():
    doubles = Doubles(0)
    assert not doubles.seen("a", "1", now=0)
    assert not doubles.seen("a", "1", now=0)
    assert len(doubles) == 0


def test_what_is_over_is_forgotten_a_little_at_a_time():
    doubles = Doubles(60)
    for number in range(100):
        doubles.seen("a", str(number), now=0)
    doubles.seen("b", "1", now=60)
    assert 50 < len(doubles) < 100
    for number in range(100):
        doubles.seen("b", str(number), now=61)
    assert len(doubles) == 100
    assert len(doubles._seen) == 100


def test_an_id_that_comes_again_before_it_is_forgotten_keeps_its_new_time():
    doubles = Doubles(10)
    for number in range(20):
        doubles.seen("a", str(number), now=0)
    # 19 is the last that would be forgotten, so its old pair outlives this.
    assert not doubles.seen("a", "19", now=10)
    for number in range(20):
        doubles.seen("b", str(number), now=11)
    assert doubles.seen("a", "19", now=19)


def test_of_too_many_those_seen_longest_ago_are_forgotten():
    doubles = Doubles(60, limit=10)
    for number in range(1000):
        doubles.seen("a", str(number), now=0)
    assert len(doubles) == len(doubles._seen) == 10
    assert doubles.seen("a", "990", now=0)
    assert not doubles.seen("a", "989", now=0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.integers(0, 4))))
def test_it_behaves_like_a_list_that_is_searched(arrivals):
    doubles = Doubles(5)
    accepted = []
    now = 0
    for channel, item_id, step in arrivals:
        now += step
        expected = any(pair == (channel, item_id) and now - since < 5 for pair, since in accepted)
        assert doubles.seen(channel, item_id, now=now) is expected
        if not expected:
            accepted.append(((channel, item_id), now))

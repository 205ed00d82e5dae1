"""Sums of a route and the minutes of its connections (stats.md 6)."""

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.news import Total
from gripproxy.engine.sums import NAMES, Entry, values


def test_a_connection_counts_a_minute_when_it_begins():
    entry = Entry("r")
    entry.begin()
    assert (entry.connections, entry.minutes) == (1, 1)


def test_a_connection_counts_another_minute_when_one_is_full():
    entry = Entry("r")
    entry.begin()
    entry.age(0, 60)
    assert entry.minutes == 1
    entry.age(60, 1)
    assert entry.minutes == 2


def test_a_connection_that_ends_at_once_has_one_minute():
    entry = Entry("r")
    entry.begin()
    entry.end(0, 0, 0)
    entry.age(0, 200)
    assert (entry.connections, entry.minutes) == (0, 1)


def test_a_full_minute_counts_though_the_connection_ends_before_it_was_seen():
    entry = Entry("r")
    entry.begin()
    entry.age(0, 60)
    entry.end(0, 60, 1)
    assert entry.minutes == 2


def test_the_most_connections_are_remembered():
    entry = Entry("r")
    entry.begin()
    entry.begin()
    entry.end(0, 0, 0)
    assert (entry.connections, entry.peak) == (1, 2)


def test_a_body_that_passes_counts_on_both_sides():
    entry = Entry("r")
    entry.add_request_content(3)
    entry.add_response_content(5)
    assert (entry.client_content_bytes_received, entry.server_content_bytes_sent) == (3, 3)
    assert entry.server_content_bytes_received == 5


def test_sums_have_an_order():
    entry = Entry("r")
    entry.sent = 5
    assert dict(zip(NAMES, values(entry), strict=True))["sent"] == 5


def test_nothing_has_been_told_of_a_new_entry():
    assert Entry("r").told == Total("r", 0, 0, (0,) * len(NAMES))


def test_an_entry_shows_its_route():
    assert repr(Entry("r")) == "<Entry 'r' 0 connections>"


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 400)), max_size=8), st.integers(1, 90))
def test_minutes_are_rounded_up_whenever_one_looks(lives, step):
    """Each connection has as many minutes as it began, however coarsely time goes on."""
    entry = Entry("r")
    events = [(begin, 0, i) for i, (begin, _) in enumerate(lives)]
    events += [(begin + length, 1, i) for i, (begin, length) in enumerate(lives)]
    events += [(float(at), 2, 0) for at in range(0, 900, step)]
    second = 0
    begun: dict[int, float] = {}
    for at, what, which in sorted(events):
        if int(at) > second:
            entry.age(second, int(at) - second)
            second = int(at)
        if what == 0:
            entry.begin()
            begun[which] = at
        elif what == 1:
            entry.end(int(begun[which]), int(at), int((at - begun[which]) // 60))
    exact = sum(1 + int((begin + length - begin) // 60) for begin, length in lives)
    assert entry.minutes == exact
    assert entry.connections == 0

"""The store when there is very much of everything: bounds, and what is left behind.

`make soak-cache` runs this with a million entries and keys.
"""

import os
from collections import Counter

import pytest

from gripproxy.engine.marks import ORPHANS_MAX
from gripproxy.engine.store import Entry, Flight, HeldOn, HoldFacts, Store
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Target

pytestmark = pytest.mark.slow

MANY = int(os.environ.get("GRIPPROXY_SOAK_CACHE", "200000"))
CARRIED = 100_000  # entries with one tag
SLICE = 200
MEMORY = 64 * 2**20
SHARED = 1000  # keys that many entries carry
TARGET = Target(kind="test")
HEADERS = Headers([(b"Content-Type", b"text/plain"), (b"Cache-Control", b"max-age=60")])
HARD = Purge(keys=("k",))


class Counting(Store[str]):
    """A store that counts at how many entries it has looked to see whether they are dead."""

    looked = 0

    def is_dead(self, *given, **named):
        self.looked += 1
        return super().is_dead(*given, **named)


def key_of(number):
    return ("route", b"http", number)


def names_of(number):
    return (("url", b"host/%d" % number), ("key", b"%d" % (number % SHARED)))


def put(store, number, names=None, *, hold=None):
    response = Response(status=200, reason=b"OK", headers=HEADERS)
    began = store.marks.epoch
    entry = Entry(key_of(number), response, b"x" * 50, "facts", TARGET, began=began, hold=hold)
    assert store.put(entry, names_of(number) if names is None else names, (), now=0.0)
    return entry


def hard(store, *names, **how):
    return store.purge(HARD, names, now=0.0, **how)


def swept(store, *, budget=SLICE):
    """Sweep to the end; return how many entries each slice has dropped."""
    dropped = []
    going = True
    while going:
        before = len(store)
        going = store.sweep(budget=budget, now=0.0)
        dropped.append(before - len(store))
    return dropped


def stored(store):
    return list(store._entries)


# Entries


@pytest.fixture(scope="module")
def full():
    """A store that very many entries have gone through."""
    store = Store(MEMORY)
    for number in range(MANY):
        put(store, number)
        if number % 1000 == 0:
            assert store.statistics().size <= MEMORY
    return store


def test_memory_is_bounded_however_many_come(full):
    found = full.statistics()
    assert found.size <= MEMORY
    assert found.size > MEMORY - 10_000  # and it is used
    assert found.entries == len(full) == MANY - found.evicted
    assert found.evicted > MANY // 4


def test_what_is_counted_is_what_is_there(full):
    """A store that only what is left was put into counts the same."""
    entries = stored(full)
    alike = Store(2**40)
    for entry in entries:
        put(alike, entry.key[-1], [tag.name for tag in entry.tags])
    found, expected = full.statistics(), alike.statistics()
    assert (found.size, found.tags) == (expected.size, expected.tags)
    assert len(full._resources) == len({entry.key for entry in entries}) == len(entries)


def test_the_last_that_came_are_there(full):
    count = len(full)
    assert [full.has(key_of(number)) for number in (MANY - 1, MANY - count)] == [True, True]
    assert not full.has(key_of(MANY - count - 1))


def test_tags_go_with_the_last_that_carry_them(full):
    entries = stored(full)
    carried = Counter(tag.name for entry in entries for tag in entry.tags)
    assert full.statistics().tags == len(carried)
    assert all(len(full.marks.find(name).entries) == count for name, count in carried.items())


def test_a_purge_takes_all_that_carry_a_key_and_leaves_the_others():
    store = Store(2**40)
    for number in range(20 * SHARED):
        put(store, number)
    assert hard(store, ("key", b"7")) == 20
    assert sum(swept(store)) == 20
    assert len(store) == 19 * SHARED + 980
    assert len(store.marks) == len(store) + SHARED - 1


def test_nothing_is_left_of_what_was_purged():
    store = Store(MEMORY)
    for number in range(MANY // 10):
        put(store, number)
    assert store.purge(Purge(everything=True), (), now=0.0) == len(store)
    assert max(swept(store)) <= SLICE
    found = store.statistics()
    assert (found.entries, found.size, found.tags) == (0, 0, 0)
    assert not store._resources


# One tag with very many entries


@pytest.fixture
def tagged():
    store = Counting(2**40)
    for number in range(CARRIED):
        put(store, number, (("key", b"k"),))
    return store


def test_a_purge_looks_at_no_entry(tagged):
    tagged.looked = 0
    assert hard(tagged, ("key", b"k")) == CARRIED
    assert tagged.purge(Purge(everything=True), (), now=0.0) == CARRIED
    assert tagged.looked == 0
    assert tagged.find(key_of(5)) == []


@pytest.mark.parametrize("everything", [False, True])
def test_a_slice_of_sweeping_looks_at_no_more_than_it_may(tagged, everything):
    tagged.purge(Purge(keys=("k",), everything=everything), [("key", b"k")], now=0.0)
    looked, going = [], True
    while going:
        tagged.looked = 0
        going = tagged.sweep(budget=SLICE, now=0.0)
        looked.append(tagged.looked)
    assert max(looked) <= 2 * SLICE
    assert len(looked) <= CARRIED // SLICE + 2
    assert len(tagged) == 0


def test_what_comes_while_it_is_swept_stays():
    store = Store(2**40)
    for number in range(10_000):
        put(store, number, (("key", b"k"),))
    hard(store, ("key", b"k"))
    number = 10_000
    while store.sweep(budget=SLICE, now=0.0):
        put(store, number, (("key", b"k"),))
        number += 1
    assert len(store) == number - 10_000 > 0
    assert all(store.has(key_of(at)) for at in range(10_000, number))


def test_purges_again_and_again_are_swept_as_one(tagged):
    for _ in range(1000):
        hard(tagged, ("key", b"k"))
    tagged.looked = 0
    swept(tagged)
    assert tagged.looked <= 2 * CARRIED
    assert len(tagged) == 0


def test_those_that_are_not_dead_do_not_keep_the_others():
    """Streams that will replay the item that purged them stand before the rest."""
    store = Store(2**40, chain=lambda _channel, _after, _last: True)
    hold = HoldFacts(streams=True, channels=(HeldOn("c", "1"),))
    names = (("item", b"c"), ("chan", b"c"))
    for number in range(2 * SLICE):
        put(store, number, names, hold=hold)
    for number in range(2 * SLICE, 4 * SLICE):
        put(store, number, names)
    assert store.purge_channel("c", "2") == 4 * SLICE
    swept(store)
    assert len(store) == 2 * SLICE


# Very many invented keys


def invented(store, *, settle=0.0, now=0.0):
    """Purge keys that nobody carries."""
    carried = len(store.marks)
    for number in range(MANY):
        purge = Purge(keys=("k",), settle=settle)
        assert store.purge(purge, [("key", b"invented %d" % number)], now=now) == 0
        if number % 1000 == 0:
            assert len(store.marks) <= carried + ORPHANS_MAX
    assert len(store.marks) <= carried + ORPHANS_MAX


def test_invented_keys_leave_nothing_while_nothing_is_asked_for():
    store = Store(MEMORY)
    invented(store)
    assert len(store.marks) == 0
    assert put(store, 1) in stored(store)


@pytest.mark.parametrize("tag", [b"invented 0", b"invented %d" % (MANY - 1), b"another"])
def test_a_flight_that_hangs_meanwhile_is_not_believed(tag):  # row 19
    store = Store(MEMORY)
    before = put(store, 1)
    hangs = Flight(key_of(2))
    store.begin(hangs)
    invented(store)
    assert len(store.marks) == ORPHANS_MAX + len(before.tags)
    assert not store.flight_is_good(hangs)
    store.known(hangs, [("key", tag)], None)
    assert not store.flight_is_good(hangs)
    response = Response(status=200, reason=b"OK", headers=HEADERS)
    entry = Entry(key_of(2), response, b"", "facts", TARGET, began=hangs.began)
    assert not store.put(entry, [("key", tag)], (), now=0.0)
    store.over(hangs, now=0.0)
    assert len(store.marks) == len(before.tags)
    assert store.find(key_of(1)) == [before]  # what is stored holds its tags


def test_what_is_asked_for_after_the_storm_is_believed():
    store = Store(MEMORY)
    store.begin(Flight(key_of(1)))
    invented(store)
    later = Flight(key_of(2))
    store.begin(later)
    assert store.flight_is_good(later)
    store.known(later, [("key", b"invented 0")], None)
    assert store.flight_is_good(later)
    assert put(store, 2, [("key", b"invented 0")]) in stored(store)


def test_invented_keys_that_settle_are_bounded_and_still_settle():
    store = Store(MEMORY)
    invented(store, settle=2.0, now=10.0)
    response = Response(status=200, reason=b"OK", headers=HEADERS)

    def asked(at):
        entry = Entry(key_of(2), response, b"", "facts", TARGET, began=store.marks.epoch)
        return store.put(entry, [("key", b"invented 0")], (), now=20.0, asked_at=at)

    assert not asked(11.9)  # it was among those let go
    assert asked(12.1)


def test_keys_that_have_settled_are_let_go():
    store = Store(MEMORY)
    store.purge(Purge(keys=("k",), settle=2.0), [("key", b"k")], now=10.0)
    flight = Flight(key_of(1))
    store.begin(flight, now=19.0)
    store.over(flight, now=20.0)
    assert len(store.marks) == 0

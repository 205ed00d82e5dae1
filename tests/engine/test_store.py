"""Stored responses, and what is dead among them."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gripproxy.engine import store as module
from gripproxy.engine.store import Entry, Flight, HeldOn, HoldFacts, Store
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Target

KEY = ("route", b"/a")
TARGET = Target(kind="test")
TAG = ("key", b"a")
CHANNEL = ("chan", b"c")
ITEM = ("item", b"c")
HARD = Purge(keys=("a",))
SOFT = Purge(keys=("a",), soft=True)


def an_entry(store, *, key=KEY, began=None, body=b"body", hold=None):
    response = Response(status=200, reason=b"OK", headers=Headers([(b"X", b"1")]))
    epoch = store.marks.epoch if began is None else began
    return Entry(key, response, body, "facts", TARGET, began=epoch, hold=hold)


def stored(store, names=(TAG,), *, now=0.0, **given):
    entry = an_entry(store, **given)
    assert store.put(entry, names, (), now=now)
    return entry


def a_store(size=1_000_000, **given):
    return Store(size, **given)


def a_hold(*channels, streams=False):
    return HoldFacts(streams, tuple(HeldOn(name, prev_id) for name, prev_id in channels))


# Storing and finding


def test_what_is_stored_is_found():
    store = a_store()
    entry = stored(store)
    assert store.find(KEY) == [entry]
    assert store.find(("other",)) == []
    assert len(store) == 1
    assert store.is_stored(entry)


def test_what_is_stored_makes_room_for_the_buffers_of_flights():
    store = a_store(5000)
    stored(store)
    size = store.size
    store.buffer(1000, now=0.0)
    assert (len(store), store.size) == (1, size + 1000)
    store.buffer(4000, now=0.0)
    assert (len(store), store.size) == (0, 5000)
    store.buffer(-5000, now=0.0)
    assert store.size == 0


def test_what_may_be_stored_is_known_before_it_is_whole():
    store = a_store()
    flights = [Flight(KEY), Flight(KEY)]
    for flight in flights:
        store.begin(flight, now=1.0)
        store.known(flight, [TAG], None)
    assert store.may_put(flights[0])
    store.purge(Purge(keys=("a",), soft=True, settle=2.0), [TAG], now=1.0)
    assert not store.may_put(flights[0])
    store.purge(HARD, [TAG], now=9.0)
    assert not store.may_put(flights[1])


def test_a_variant_takes_the_place_of_those_it_replaces():
    store = a_store()
    old = stored(store)
    new = an_entry(store)
    assert store.put(new, [TAG], [old], now=0.0)
    assert store.find(KEY) == [new]
    assert not store.is_stored(old)


def test_what_was_asked_for_later_stays():
    store = a_store()
    store.marks.tick()
    later = stored(store)
    assert not store.put(an_entry(store, began=0), [TAG], [later], now=0.0)
    assert store.find(KEY) == [later]


def test_what_an_event_caused_sees_nothing_asked_for_before_it():
    store = a_store()
    stored(store)
    floor = store.marks.tick()
    assert store.find(KEY, floor=floor) == []
    new = stored(store)
    assert store.find(KEY, floor=floor) == [new]


def test_memory_is_bounded_and_the_least_recently_used_go_first():
    store = a_store(size=9000)
    first = stored(store, key=("1",), body=b"x" * 500)
    second = stored(store, key=("2",), body=b"x" * 500)
    store.used(first)
    third = stored(store, key=("3",), body=b"x" * 2500)
    assert store.find(("2",)) == []
    assert [store.find((n,)) for n in "13"] == [[first], [third]]
    assert store.statistics().evicted == 1
    assert store.statistics().size <= 9000
    store.used(second)  # it has gone: nothing happens


def test_what_is_larger_than_everything_is_not_stored():
    store = a_store(size=1000)
    assert not store.put(an_entry(store), [TAG], (), now=0.0)
    assert store.marks.find(TAG) is None


def test_variants_of_one_resource_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "VARIANTS_MAX", 3)
    store = a_store()
    entries = [stored(store) for _ in range(5)]
    assert store.find(KEY) == entries[2:]
    monkeypatch.setattr(module, "VARIANTS_MAX", 1)
    assert store.find(KEY) == entries[2:]
    newest = stored(store)
    assert store.find(KEY) == [newest]


# Purges


@pytest.mark.parametrize(
    ("purge", "names"),
    [(HARD, [TAG]), (Purge(everything=True), [])],
)
def test_a_purge_makes_what_is_stored_dead(purge, names):
    store = a_store()
    entry = stored(store)
    assert store.purge(purge, names, now=0.0) == 1
    assert store.find(KEY) == []
    assert not store.is_stored(entry)
    assert len(store) == 1  # swept later
    assert not store.sweep(now=0.0) or not store.sweep(now=0.0)
    assert len(store) == 0
    assert store.statistics().purged == 1


def test_a_purge_leaves_what_it_does_not_name():
    store = a_store()
    entry = stored(store, [("key", b"b")])
    assert store.purge(HARD, [TAG], now=0.0) == 0
    assert store.find(KEY) == [entry]


@pytest.mark.parametrize(
    ("purge", "names"), [(SOFT, [TAG]), (Purge(everything=True, soft=True), [])]
)
def test_a_soft_purge_makes_stale_what_is_stored(purge, names):
    store = a_store()
    entry = stored(store)
    assert store.purge(purge, names, now=0.0) == 1
    assert store.find(KEY) == [entry]
    assert store.is_softly_purged(entry.began, entry.tags)
    assert not store.sweep(now=0.0)
    assert not store.is_softly_purged(store.marks.epoch, entry.tags)


def test_what_was_asked_for_before_a_purge_is_not_stored_after_it():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    store.purge(HARD, [TAG], now=0.0)
    store.known(flight, [TAG], None)
    assert not store.flight_is_good(flight)
    assert not store.put(an_entry(store, began=flight.began), [TAG], (), now=0.0)
    store.over(flight, now=0.0)
    assert store.marks.find(TAG) is None


def test_nothing_is_stored_while_a_tag_settles():
    store = a_store()
    store.purge(Purge(keys=("a",), settle=2.0), [TAG], now=10.0)
    assert not store.put(an_entry(store), [TAG], (), now=11.9)
    stored(store, now=12.1)
    store.purge(Purge(everything=True, settle=1.0), [], now=20.0)
    assert not store.put(an_entry(store), [], (), now=20.5)


def test_sweeping_takes_a_few_at_a_time_and_ends():
    store = a_store()
    for number in range(30):
        stored(store, key=(number,))
    kept = stored(store, [("key", b"b")], key=("kept",))
    flight = Flight(KEY)
    store.begin(flight)
    store.known(flight, [TAG], None)
    store.purge(HARD, [TAG], now=0.0)
    new = stored(store, key=("new",))
    turns = 0
    while store.sweep(budget=10, now=0.0):
        turns += 1
    assert turns >= 2
    assert len(store) == 2
    assert store.find(("kept",)) == [kept]
    assert store.find(("new",)) == [new]


def test_sweeping_everything_stops_at_what_came_later():
    store = a_store()
    for number in range(25):
        stored(store, key=(number,))
    store.purge(Purge(everything=True), [], now=0.0)
    new = stored(store, key=("new",))
    while store.sweep(budget=10, now=0.0):
        pass
    assert len(store) == 1
    assert store.find(("new",)) == [new]


# Flights


def test_a_flight_whose_tags_are_not_known_is_good_until_everything_is_purged():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    assert store.flight_is_good(flight)
    store.purge(Purge(everything=True), [], now=0.0)
    assert not store.flight_is_good(flight)


def test_a_soft_purge_tells_against_a_flight_only_for_those_who_ask_so():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    store.known(flight, [TAG], None)
    store.purge(SOFT, [TAG], now=0.0)
    assert store.flight_is_good(flight)
    assert not store.flight_is_good(flight, soft=True)


def test_a_flight_that_began_in_a_forgotten_epoch_is_dead():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    store.marks.tick()
    store.marks.forgotten = 1
    assert not store.flight_is_good(flight)
    store.known(flight, [TAG], None)
    store.purge(HARD, [TAG], now=0.0)
    assert not store.flight_is_good(flight)
    assert not store.put(an_entry(store, began=0), [TAG], (), now=0.0)


def test_a_release_tells_against_a_hold_whose_flight_is_over_already():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    store.marks.move("c", "6")
    store.known(flight, [CHANNEL], a_hold(("c", "5")))
    assert not store.flight_is_good(flight)
    store.over(flight, now=0.0)
    assert store.marks.find(CHANNEL) is None
    assert not store.flight_is_good(flight)


def test_a_flight_that_never_learnt_its_tags_leaves_nothing():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    store.over(flight, now=0.0)
    assert len(store.marks) == 0


# Stored holds


@pytest.mark.parametrize(
    ("prev_id", "released", "streams", "good"),
    [
        ("5", [], False, True),
        ("5", ["5"], False, True),
        ("5", ["6"], False, False),
        ("5", [None], False, False),
        (None, ["6"], False, False),
        ("5", ["5"], True, True),
        ("5", ["6", "7"], True, True),
        ("4", ["6"], True, False),
        (None, ["6"], True, False),
    ],
)
def test_a_stored_hold_is_right_while_its_positions_are(prev_id, released, streams, good):
    store = a_store(chain=lambda channel, after, last: after == "5" and last in ("6", "7"))
    hold = a_hold(("c", prev_id), streams=streams)
    entry = stored(store, [CHANNEL], hold=hold)
    for item_id in released:
        store.marks.move("c", item_id)
    assert (store.find(KEY) == [entry]) is good


def test_after_recover_no_stored_hold_is_right():
    store = a_store()
    stored(store, [CHANNEL], hold=a_hold(("c", "5")))
    store.marks.move_all()
    assert store.find(KEY) == []


def test_a_hold_on_a_channel_that_nothing_is_known_of_is_right():
    store = a_store()
    assert store.holds_good(0, a_hold(("unknown", "5")))


def test_an_item_that_purges_its_channel_leaves_streams_that_will_replay_it():
    store = a_store(chain=lambda channel, after, last: (after, last) == ("5", "6"))
    stream = stored(store, [ITEM], hold=a_hold(("c", "5"), streams=True))
    other = stored(store, [ITEM], key=("2",), hold=a_hold(("c", "4"), streams=True))
    plain = stored(store, [ITEM], key=("3",))
    elsewhere = stored(store, [CHANNEL], key=("4",))
    assert store.purge_channel("c", "6") == 3
    assert store.find(KEY) == [stream]
    assert store.find(("2",)) == []
    assert store.find(("3",)) == []
    assert store.find(("4",)) == [elsewhere]
    assert store.is_dead(other.began, other.tags, other.hold)
    assert store.is_dead(plain.began, plain.tags)
    assert store.is_dead(stream.began, stream.tags, a_hold(("d", "5"), streams=True))


RESUMES = HoldFacts(streams=True, channels=(HeldOn("c", "5"),), resumes=True)


@pytest.mark.parametrize(
    ("released", "position", "resumes"),
    [
        ([], "5", True),
        ([], "4", True),  # the history leads from 4 to 5
        ([], "6", False),
        (["6"], "6", True),
        (["6"], "5", True),
        (["6"], "4", True),
        (["6"], "3", False),
        (["6", None], "6", False),
    ],
)
def test_a_stream_resumes_where_it_and_the_history_give_the_rest(released, position, resumes):
    order = ["4", "5", "6"]

    def chain(_channel, after, last):
        return after in order and last in order and order.index(after) < order.index(last)

    store = a_store(chain=chain)
    entry = stored(store, [CHANNEL], hold=RESUMES)
    for item_id in released:
        store.marks.move("c", item_id)
    assert store.resumable(entry, position) is resumes


def test_nothing_resumes_that_is_dead_or_does_not_say_so():
    store = a_store()
    entry = stored(store, [TAG], hold=RESUMES)
    assert store.resumable(entry, "5")
    store.purge(HARD, [TAG], now=0.0)
    assert not store.resumable(entry, "5")
    entry = stored(store, [CHANNEL], hold=RESUMES)
    store.marks.move_all()
    assert not store.resumable(entry, "5")
    for hold in (None, a_hold(("c", "5"), streams=True)):
        assert not store.resumable(stored(store, hold=hold), "5")


# What is not shared


def test_what_is_not_shareable_is_remembered_for_a_while(monkeypatch):
    monkeypatch.setattr(module, "ALONE_MAX", 2)
    store = a_store()
    store.remember_alone(KEY, now=0.0)
    assert store.alone(KEY, now=119.0)
    assert not store.alone(KEY, now=121.0)
    for number in range(2):
        store.remember_alone((number,), now=0.0)
    assert not store.alone(KEY, now=1.0)


def test_an_entry_tells_what_it_is():
    assert repr(an_entry(a_store())) == "<Entry 200 began=0 size=0>"


# A model: each response carries the version that its origin had when it was asked


class Purging(RuleBasedStateMachine):
    """Whatever the order, nothing asked for before a purge is found after it."""

    def __init__(self):
        super().__init__()
        self.store = Store(20_000)
        self.version = dict.fromkeys(range(3), 0)  # of each tag, raised by its purges
        self.flights = []
        self.now = 0.0

    @rule(key=st.integers(0, 3), tags=st.sets(st.integers(0, 2)))
    def ask(self, key, tags):
        flight = Flight(("r", key))
        self.store.begin(flight)
        self.flights.append((flight, tags, {tag: self.version[tag] for tag in tags}))

    @rule(at=st.integers(0, 9), size=st.integers(0, 3000), known_first=st.booleans())
    def arrive(self, at, size, known_first):
        if not self.flights:
            return
        flight, tags, versions = self.flights.pop(at % len(self.flights))
        names = [("key", b"%d" % tag) for tag in tags]
        if known_first:
            self.store.known(flight, names, None)
        response = Response(status=200, reason=b"OK", headers=Headers())
        entry = Entry(flight.key, response, b"x" * size, versions, TARGET, began=flight.began)
        self.store.put(entry, names, self.store.find(flight.key), now=self.now)
        self.store.over(flight, now=self.now)

    @rule(tag=st.integers(0, 2))
    def purge(self, tag):
        self.version[tag] += 1
        self.store.purge(Purge(keys=("x",)), [("key", b"%d" % tag)], now=self.now)

    @rule()
    def purge_everything(self):
        for tag in self.version:
            self.version[tag] += 1
        self.store.purge(Purge(everything=True), [], now=self.now)

    @rule()
    def sweep(self):
        self.store.sweep(budget=2, now=self.now)

    @invariant()
    def nothing_old_is_found(self):
        for key in range(4):
            for entry in self.store.find(("r", key)):
                assert all(self.version[tag] == v for tag, v in entry.facts.items())

    @invariant()
    def memory_is_bounded(self):
        assert self.store.statistics().size <= 20_000
        assert len(self.store.marks) <= 3


TestPurging = Purging.TestCase
TestPurging.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_a_variant_that_has_gone_already_can_be_replaced():
    store = a_store()
    old = stored(store)
    store.purge(HARD, [TAG], now=0.0)
    store.sweep(now=0.0)
    new = an_entry(store)
    assert store.put(new, [TAG], [old], now=0.0)
    assert store.find(KEY) == [new]


# What a purge counts, and what it tells those who wait


def test_a_purge_counts_what_is_stored_and_not_what_is_under_way():
    store = a_store()
    flight = Flight(KEY)
    store.begin(flight)
    store.known(flight, [TAG], None)
    assert store.purge(HARD, [TAG], now=0.0) == 0
    stored(store)
    assert store.purge(HARD, [TAG], now=0.0) == 1
    store.over(flight, now=0.0)
    store.over(flight, now=0.0)  # once is enough
    assert store.marks.find(TAG).flights == 0


def test_a_purge_of_its_url_tells_against_a_flight_that_knows_no_other_tags():
    url = ("url", b"h/a")
    store = a_store()
    flight = Flight(KEY, frozenset([url]))
    store.begin(flight)
    store.purge(HARD, [TAG], now=0.0)
    assert store.flight_is_good(flight)
    store.purge(Purge(urls=("h/a",)), [url], now=0.0)
    assert not store.flight_is_good(flight)

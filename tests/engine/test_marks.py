"""Tags and their marks."""

from gripproxy.engine import marks as module
from gripproxy.engine.marks import Mark, Marks

A = ("key", b"a")
B = ("key", b"b")


def test_each_mark_begins_an_epoch():
    marks = Marks()
    marks.refer([A], "entry")
    marks.mark([A], Mark.HARD)
    marks.mark([A], Mark.SOFT)
    marks.mark_all(Mark.HARD)
    marks.mark_all(Mark.SOFT)
    marks.move("c", "1")
    marks.move_all()
    assert marks.epoch == 6
    assert (marks.all.hard, marks.all.soft, marks.all.moved) == (3, 4, 6)


def test_a_mark_is_kept_on_a_tag_that_an_entry_carries():
    marks = Marks()
    (tag,) = marks.refer([A], "entry")
    assert marks.mark([A, B], Mark.HARD, settle_until=9.0) == [tag]
    assert (tag.hard, tag.soft, tag.settle_until, tag.last) == (1, 0, 9.0, 1)
    marks.mark([A], Mark.SOFT)
    assert (tag.hard, tag.soft, tag.settle_until) == (1, 2, 9.0)


def test_a_mark_that_nothing_can_depend_on_is_not_kept():
    marks = Marks()
    assert marks.mark([A], Mark.HARD) == []
    assert marks.find(A) is None
    assert len(marks) == 0


def test_a_mark_is_kept_for_a_flight_whose_tags_are_not_known():
    marks = Marks()
    began = marks.flight_begins("flight")
    marks.mark([A], Mark.HARD)
    (tag,) = marks.refer([A], "flight")
    assert tag.hard > began


def test_marks_for_flights_go_with_the_last_of_them():
    marks = Marks()
    marks.flight_begins("one")
    marks.flight_begins("two")
    marks.mark([A], Mark.HARD)
    marks.flight_known("one")
    assert marks.find(A) is not None
    marks.flight_known("two")
    assert marks.find(A) is None
    marks.flight_known("two")  # and again, which is nothing new


def test_a_tag_that_settles_is_kept_without_entries():
    marks = Marks()
    marks.flight_begins("flight")
    marks.mark([A], Mark.HARD, settle_until=5.0)
    marks.flight_known("flight")
    tag = marks.find(A)
    assert tag is not None
    assert tag.settle_until == 5.0
    marks.mark([A], Mark.HARD)
    assert marks.find(A) is tag


def test_a_released_tag_is_forgotten_unless_something_may_depend_on_it():
    marks = Marks()
    tags = marks.refer([A], "entry")
    marks.release(tags, "entry", now=0.0)
    assert marks.find(A) is None
    tags = marks.refer([A], "entry")
    marks.mark([A], Mark.HARD, settle_until=5.0)
    marks.release(tags, "entry", now=1.0)
    assert marks.find(A) is tags[0]
    tags = marks.refer([B], "entry")
    marks.flight_begins("flight")
    marks.mark([B], Mark.HARD)
    marks.release(tags, "entry", now=1.0)
    assert marks.find(B) is tags[0]
    marks.release(tags, "entry", now=1.0)  # again: it is no longer among those carried


def test_a_tag_is_released_when_the_last_that_carry_it_go():
    marks = Marks()
    tags = marks.refer([A], "one")
    assert marks.refer([A], "two") == tags
    marks.release(tags, "one", now=0.0)
    assert marks.find(A) is tags[0]


def test_a_channel_remembers_its_last_release():
    marks = Marks()
    (tag,) = marks.refer([("chan", b"c")], "entry")
    marks.move("c", "7")
    assert (tag.moved, tag.moved_id) == (1, "7")
    marks.move("other", "8")
    assert marks.find(("chan", b"other")) is None


def test_a_storm_of_invented_keys_costs_belief_not_memory(monkeypatch):
    monkeypatch.setattr(module, "ORPHANS_MAX", 10)
    marks = Marks()
    marks.flight_begins("hangs")
    for number in range(100):
        settle = 30.0 if number == 0 else 0.0
        marks.mark([("key", b"%d" % number)], Mark.HARD, settle_until=settle)
    assert len(marks) == 10
    assert marks.forgotten == 91  # what settles goes last
    assert marks.unsettled_until == 0.0
    for number in range(20):
        marks.mark([("key", b"settles %d" % number)], Mark.HARD, settle_until=40.0 + number)
    assert len(marks) == 10
    assert marks.unsettled_until == 49.0


def test_what_has_settled_goes_unless_a_flight_may_carry_it():
    marks = Marks()
    marks.mark([A], Mark.HARD, settle_until=5.0)
    marks.mark([B], Mark.HARD, settle_until=9.0)
    marks.settle(4.0)
    assert len(marks) == 2
    marks.settle(6.0)
    assert (marks.find(A), len(marks)) == (None, 1)
    marks.flight_begins("asked while it settles", now=8.9)
    marks.settle(10.0)
    assert marks.find(B) is not None
    marks.flight_begins("asked later", now=9.5)
    marks.flight_known("asked while it settles")
    marks.settle(10.0)
    assert len(marks) == 0


def test_a_tag_tells_what_it_is():
    marks = Marks()
    (tag,) = marks.refer([A], "entry")
    assert repr(tag) == "<Tag ('key', b'a') hard=0 moved=0 entries=1>"

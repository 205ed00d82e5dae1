"""Answers made of what is stored."""

import pytest

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import report, serving, storing
from gripproxy.protocol.caching.demands import Demand
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response

NOW = 1_800_000_000.0
DATE = (b"Date", fields.format_date(NOW))
FRESH = (b"Cache-Control", b"max-age=60")
TAG = (b"ETag", b'"a"')
KIND = (b"Content-Type", b"text/plain")
BODY = b"0123456789"
FIELDS = [DATE, FRESH, TAG, KIND]


def hit(demand, *more, status=200, hold=False, asked=(), body=BODY):
    """The answer, five seconds after it came, as status, fields and body."""
    request = Request(method=b"GET", target=b"/", headers=Headers(asked))
    stored = Response(
        status=status, reason=b"Mine", headers=Headers([*FIELDS, *more]), length=len(body)
    )
    facts = storing.facts(request, stored, asked_at=NOW, received_at=NOW, hold=hold)
    answer = serving.hit(facts, stored, body, demand, now=NOW + 5.5)
    assert answer.length == len(answer.body)
    return answer


ADDED = [(b"Age", b"5"), (b"Cache-Status", b"gripproxy; hit; ttl=54")]


def test_the_whole_is_answered_with_its_age():
    answer = hit(Demand(), (b"Age", b"0"), (b"Surrogate-Key", b"k"))
    assert (answer.status, answer.reason, answer.body) == (200, b"Mine", BODY)
    assert list(answer.headers) == [*FIELDS, *ADDED]
    assert answer.headers.marks == fields.DATE | fields.CONTENT_TYPE


def test_what_is_stored_stays_as_it_is():
    request = Request(method=b"GET", target=b"/", headers=Headers())
    stored = Response(status=200, reason=b"OK", headers=Headers(FIELDS))
    facts = storing.facts(request, stored, asked_at=NOW, received_at=NOW)
    for _ in range(2):
        answer = serving.hit(facts, stored, BODY, Demand(), now=NOW + 5.5)
        assert list(answer.headers) == [*FIELDS, *ADDED]
    assert list(facts.shown) == list(stored.headers) == FIELDS


def test_another_status_of_the_cache_may_be_told():
    request = Request(method=b"GET", target=b"/", headers=Headers())
    stored = Response(status=200, reason=b"OK", headers=Headers(FIELDS))
    facts = storing.facts(request, stored, asked_at=NOW, received_at=NOW)
    status = report.hit(-1)
    answer = serving.answer(facts, stored, BODY, Demand(), now=NOW, status=status)
    assert answer.headers.get(b"cache-status") == b"gripproxy; hit; ttl=-1"


def test_members_of_other_caches_stay_in_front():
    answer = hit(Demand(), (b"Cache-Status", b"other; hit"))
    assert answer.headers.get_all(b"cache-status") == [b"other; hit", b"gripproxy; hit; ttl=54"]


# Conditions


def test_what_the_client_has_is_not_sent_again():
    answer = hit(Demand(if_none_match=b'"a"'))
    assert (answer.status, answer.reason, answer.body) == (304, b"Not Modified", b"")
    assert list(answer.headers) == [DATE, FRESH, TAG, *ADDED]


def test_what_the_client_does_not_have_is_sent():
    assert hit(Demand(if_none_match=b'"b"')).status == 200


def test_a_condition_counts_before_a_range():
    assert hit(Demand(if_none_match=b'"a"', range=b"bytes=0-1")).status == 304


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_condition_is_about_successes(status):
    answer = hit(Demand(if_none_match=b'"a"', range=b"bytes=0-1"), status=status)
    assert (answer.status, answer.body) == (status, BODY)


# Ranges


def test_a_range_is_cut_out():
    answer = hit(Demand(range=b"bytes=0-1"))
    assert (answer.status, answer.reason, answer.body) == (206, b"Partial Content", b"01")
    assert answer.headers.get(b"content-range") == b"bytes 0-1/10"
    assert answer.headers.get(b"age") == b"5"


def test_a_range_beyond_the_end_is_refused():
    answer = hit(Demand(range=b"bytes=10-"))
    assert (answer.status, answer.body) == (416, b"")


def test_a_range_that_makes_no_sense_is_ignored():
    answer = hit(Demand(range=b"lines=1-2"))
    assert (answer.status, answer.body) == (200, BODY)


def test_a_range_is_of_the_version_that_is_meant():
    assert hit(Demand(range=b"bytes=0-1", if_range=b'"a"')).body == b"01"
    assert hit(Demand(range=b"bytes=0-1", if_range=b'"b"')).body == BODY


def test_a_range_is_of_a_200_only():
    assert hit(Demand(range=b"bytes=0-1"), status=203).body == BODY


# A part


def part(demand):
    told = (b"Content-Range", b"bytes 4-6/10")
    asked = [(b"Range", b"bytes=4-6")]
    return hit(demand, told, status=206, asked=asked, body=b"456")


def test_the_same_range_gets_the_part_as_it_came():
    answer = part(Demand(range=b"bytes=4-6"))
    assert (answer.status, answer.body) == (206, b"456")
    assert list(answer.headers) == [*FIELDS, (b"Content-Range", b"bytes 4-6/10"), *ADDED]


def test_a_smaller_range_is_cut_out_of_a_part():
    answer = part(Demand(range=b"bytes=5-5"))
    assert answer.body == b"5"
    assert answer.headers.get_all(b"content-range") == [b"bytes 5-5/10"]


def test_a_part_that_the_client_has_is_not_sent_again():
    assert part(Demand(range=b"bytes=5-5", if_none_match=b'"a"')).status == 304


# Holds


def test_neither_condition_nor_range_applies_to_a_hold():
    demand = Demand(if_none_match=b'"a"', range=b"bytes=0-1")
    answer = hit(demand, (b"Grip-Hold", b"stream"), hold=True)
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers.get(b"grip-hold") == b"stream"
    assert answer.headers.marks & fields.GRIP

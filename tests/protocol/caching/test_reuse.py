"""May what is stored answer a request: RFC 9111 4, RFC 5861."""

from dataclasses import dataclass, replace

import pytest

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import reuse, storing
from gripproxy.protocol.caching.demands import Demand, Forward
from gripproxy.protocol.caching.reuse import Verdict
from gripproxy.protocol.caching.storing import Facts
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response

NOW = 1_800_000_000.0
PLAIN = Demand()
LAST = Demand(only_if_cached=True)


@dataclass(frozen=True)
class Entry:
    facts: Facts


def at(seconds):
    return fields.format_date(NOW + seconds)


def stored(control=b"max-age=60", *pairs, status=200, asked=(), date=0, length=3):
    """The facts of a response that came at NOW."""
    request = Request(method=b"GET", target=b"/", headers=Headers(asked))
    told = Headers([(b"Date", at(date)), (b"Cache-Control", control), *pairs])
    response = Response(status=status, reason=b"", headers=told, length=length)
    return storing.facts(request, response, asked_at=NOW, received_at=NOW)


def judge(facts, demand=PLAIN, *, after=0.0, **told):
    return reuse.judge(facts, demand, now=NOW + after, **told)


# Choosing


def vary(names, *asked, date=0):
    return Entry(stored(b"max-age=60", (b"Vary", names), asked=asked, date=date))


def choose(entries, *asked, **told):
    return reuse.choose(entries, Headers(asked), **told)


def test_of_nothing_nothing_is_chosen():
    assert choose([]) is None


def test_the_one_that_agrees_is_chosen():
    one, two = vary(b"Foo", (b"Foo", b"1")), vary(b"Foo", (b"Foo", b"2"))
    assert choose([one, two], (b"Foo", b"1")) is one
    assert choose([one, two], (b"Foo", b"2")) is two
    assert choose([one, two]) is None


def test_a_response_that_nobody_else_may_have_is_not_chosen():
    assert choose([vary(b"*")]) is None


def test_fields_may_be_disregarded():
    entry = vary(b"Last-Event-ID", (b"Last-Event-ID", b"5"))
    assert choose([entry], (b"Last-Event-ID", b"6")) is None
    assert choose([entry], disregarded=(b"last-event-id",)) is entry


def test_the_most_recent_is_chosen():
    old, new = Entry(stored(date=-9)), Entry(stored(date=-1))
    assert choose([old, new]) is choose([new, old]) is new


def test_one_with_vary_is_chosen_before_one_without():
    old, new = vary(b"Foo", date=-9), Entry(stored(date=-1))
    assert choose([old, new]) is choose([new, old]) is old


RANGE = (b"Range", b"bytes=0-2")
PART = stored(b"max-age=60", (b"Content-Range", b"bytes 0-2/10"), status=206, asked=[RANGE])


def test_the_whole_is_chosen_before_a_part():
    whole, part = Entry(stored(date=-9)), Entry(PART)
    assert choose([whole, part]) is choose([part, whole]) is whole


def test_a_new_response_takes_the_place_of_its_variant():
    one, two, plain = vary(b"Foo", (b"Foo", b"1")), vary(b"Foo"), Entry(stored())
    entries = [one, two, plain]
    assert reuse.replaced(entries, vary(b"Foo", (b"Foo", b"1"), date=9).facts) == [one]
    assert reuse.replaced(entries, stored(date=9)) == [plain]
    assert reuse.replaced(entries, vary(b"Bar").facts) == []


def test_a_part_takes_the_place_of_parts_only():
    whole, part = Entry(stored()), Entry(PART)
    assert reuse.replaced([whole, part], PART) == [part]
    assert reuse.replaced([whole, part], stored()) == [whole, part]


# Judging


def test_what_is_fresh_is_used():
    assert judge(stored(), after=59.9) is Verdict.USE
    assert judge(stored(), Demand(head=True, cookie=True), after=0) is Verdict.USE
    assert judge(stored(), LAST) is Verdict.USE


def test_what_is_not_there_is_fetched():
    assert judge(None) is Verdict.FETCH


def test_what_is_stale_is_fetched():
    assert judge(stored(), after=60) is Verdict.FETCH


@pytest.mark.parametrize("validator", [(b"ETag", b'"a"'), (b"Last-Modified", at(-9))])
def test_what_is_stale_is_validated_if_it_can_be(validator):
    assert judge(stored(b"max-age=60", validator), after=60) is Verdict.REVALIDATE


def test_what_must_be_validated_is_never_just_used():
    assert judge(stored(b"max-age=60, no-cache", (b"ETag", b'"a"'))) is Verdict.REVALIDATE


@pytest.mark.parametrize(
    "facts", [None, stored(b"max-age=0"), stored(b"no-cache", (b"ETag", b"x"))]
)
def test_who_wants_nothing_but_what_is_stored_does_not_get_more(facts):
    assert judge(facts, LAST) is Verdict.REFUSE


@pytest.mark.parametrize("facts", [None, stored()])
def test_what_is_for_the_origin_goes_past_the_cache(facts):
    demand = Demand(forward=Forward.REQUEST, only_if_cached=True)
    assert judge(facts, demand) is Verdict.BYPASS


REVALIDATED = stored(b"max-age=60, stale-while-revalidate=10", (b"ETag", b'"a"'))


def test_what_is_stale_may_be_used_while_it_is_validated():
    assert judge(REVALIDATED, after=59) is Verdict.USE
    assert judge(REVALIDATED, after=60) is Verdict.USE_STALE
    assert judge(REVALIDATED, LAST, after=69.9) is Verdict.USE_STALE
    assert judge(REVALIDATED, after=70) is Verdict.REVALIDATE


def test_an_event_wants_nothing_stale():
    assert judge(REVALIDATED, after=60, floor=True) is Verdict.REVALIDATE
    assert judge(REVALIDATED, after=59, floor=True) is Verdict.USE


def test_after_a_soft_purge_it_is_stale():
    found = stored(b"max-age=60", (b"ETag", b'"a"'))
    assert judge(found, after=5, purged_at=NOW + 5) is Verdict.REVALIDATE
    assert judge(found, LAST, after=5, purged_at=NOW + 5) is Verdict.REFUSE


def test_it_is_stale_since_the_soft_purge():
    def verdicts(purged_at, *moments):
        return [judge(REVALIDATED, after=s, purged_at=NOW + purged_at) for s in moments]

    assert verdicts(5, 5, 14.9, 15) == [Verdict.USE_STALE, Verdict.USE_STALE, Verdict.REVALIDATE]
    # What was stale before stays as stale as it is.
    assert verdicts(65, 66, 70) == [Verdict.USE_STALE, Verdict.REVALIDATE]


GUESSED = stored(b"stale-while-revalidate=9, stale-if-error=9", (b"Last-Modified", at(-1000)))


def test_a_guess_is_not_for_one_with_a_cookie():
    assert judge(GUESSED) is Verdict.USE
    assert judge(GUESSED, Demand(cookie=True)) is Verdict.REVALIDATE
    assert judge(GUESSED, after=105) is Verdict.USE_STALE
    assert judge(GUESSED, Demand(cookie=True), after=105) is Verdict.REVALIDATE


# Parts


def test_a_part_is_used_for_what_lies_within_it():
    assert judge(PART, Demand(range=b"bytes=0-2")) is Verdict.USE
    assert judge(PART, Demand(range=b"bytes=1-2")) is Verdict.USE


@pytest.mark.parametrize(
    "demand", [PLAIN, Demand(head=True), Demand(range=b"bytes=2-3"), Demand(range=b"bytes=-1")]
)
def test_a_part_is_of_no_use_for_anything_else(demand):
    assert judge(PART, demand) is Verdict.FETCH
    assert judge(PART, replace(demand, only_if_cached=True)) is Verdict.REFUSE
    assert reuse.why(PART, demand, others=True) is Forward.PARTIAL


def test_a_part_is_used_for_the_version_that_is_meant():
    tagged = replace(PART, headers=PART.headers.plus((b"ETag", b'"a"')))
    assert judge(tagged, Demand(range=b"bytes=0-2", if_range=b'"a"')) is Verdict.USE
    assert judge(tagged, Demand(range=b"bytes=0-2", if_range=b'"b"')) is Verdict.FETCH


def test_nobody_asks_whether_a_part_is_good():
    tagged = replace(PART, validated=True)
    assert judge(tagged, Demand(range=b"bytes=0-2"), after=60) is Verdict.FETCH


# Errors


def survives(facts, demand=PLAIN, *, after, **told):
    return reuse.survives(facts, demand, now=NOW + after, **told)


RESCUED = stored(b"max-age=60, stale-if-error=10")


def test_an_error_may_be_answered_with_what_is_stale():
    assert survives(RESCUED, after=69.9)
    assert not survives(RESCUED, after=70)
    assert not survives(stored(), after=60)


def test_an_error_after_a_soft_purge_likewise():
    assert survives(RESCUED, after=14, purged_at=NOW + 5)
    assert not survives(RESCUED, after=15, purged_at=NOW + 5)


@pytest.mark.parametrize("strict", [b"must-revalidate", b"proxy-revalidate", b"no-cache"])
def test_an_error_is_told_where_that_is_demanded(strict):
    assert not survives(stored(b"max-age=60, stale-if-error=10, " + strict), after=61)


def test_an_error_is_told_to_whom_the_cache_has_nothing_to_say():
    assert not survives(RESCUED, Demand(forward=Forward.METHOD), after=0)
    assert not survives(GUESSED, Demand(cookie=True), after=0)
    assert survives(GUESSED, after=105)


def test_a_part_answers_an_error_for_what_lies_within_it():
    part = replace(PART, stale_if_error=10.0)
    assert survives(part, Demand(range=b"bytes=1-1"), after=65)
    assert not survives(part, after=65)


# Why a request goes to the origin


def test_the_reason_is_told():
    assert reuse.why(None, PLAIN, others=False) is Forward.URI_MISS
    assert reuse.why(None, PLAIN, others=True) is Forward.VARY_MISS
    assert reuse.why(stored(), PLAIN, others=True) is Forward.STALE
    assert reuse.why(PART, Demand(range=b"bytes=0-2"), others=True) is Forward.STALE
    assert reuse.why(stored(), Demand(forward=Forward.METHOD), others=True) is Forward.METHOD

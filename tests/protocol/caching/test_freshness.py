"""Age, lifetime, staleness: RFC 9111 4.2, RFC 5861."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import directives, freshness
from gripproxy.protocol.headers import Headers

NOW = 1_800_000_000.0
DAY = 86_400


def at(seconds):
    return fields.format_date(NOW + seconds)


def fresh(*pairs, status=200, asked_at=NOW, received_at=NOW):
    """The freshness of a response that came just now."""
    headers = Headers(pairs)
    return freshness.of(
        status,
        headers,
        directives.read(headers),
        asked_at=asked_at,
        received_at=received_at,
    )


def controlled(value, *pairs, **told):
    return fresh((b"Cache-Control", value), *pairs, **told)


def lasts(found):
    """For how many seconds from now it is fresh, and whether the origin said so."""
    return found.fresh_until - NOW, found.explicit


# Lifetime


def test_a_lifetime_is_told():
    assert lasts(controlled(b"max-age=60")) == (60, True)


def test_a_lifetime_for_shared_caches_counts_for_more():
    assert lasts(controlled(b"max-age=1, s-maxage=3600")) == (3600, True)
    assert lasts(controlled(b"s-maxage=1, max-age=3600")) == (1, True)


def test_a_lifetime_ends_at_a_date():
    assert lasts(fresh((b"Date", at(0)), (b"Expires", at(30)))) == (30, True)


def test_the_end_is_measured_by_the_clock_of_the_origin():
    assert lasts(fresh((b"Date", at(400)), (b"Expires", at(430)))) == (30, True)
    assert lasts(fresh((b"Date", at(400)), (b"Expires", at(300)))) == (0, True)


def test_without_a_date_the_end_is_measured_from_reception():
    assert lasts(fresh((b"Expires", at(30)))) == (30, True)
    assert lasts(fresh((b"Date", b"foo"), (b"Expires", at(30)))) == (30, True)


@pytest.mark.parametrize("value", [b"0", b"-1", b"", b"Thu, 18 Aug 2050 02:01:18 AEST"])
def test_an_end_that_is_no_date_is_past(value):
    assert lasts(fresh((b"Date", at(0)), (b"Expires", value))) == (0, True)


def test_the_first_of_several_ends_counts():
    assert lasts(fresh((b"Expires", at(5)), (b"Expires", at(50)))) == (5, True)


@pytest.mark.parametrize("end", [b"0", at(-7200), at(7200)])
def test_a_lifetime_counts_for_more_than_an_end(end):
    assert lasts(controlled(b"max-age=60", (b"Expires", end))) == (60, True)
    assert lasts(controlled(b"max-age=0", (b"Expires", end))) == (0, True)


def test_other_directives_leave_the_end_as_it_is():
    assert lasts(controlled(b"public", (b"Expires", at(30)))) == (30, True)


@pytest.mark.parametrize("name", [b"CDN-Cache-Control", b"GripProxy-Cache-Control"])
def test_a_targeted_field_silences_the_end(name):
    found = fresh((name, b"must-revalidate"), (b"Expires", at(30)))
    assert lasts(found) == (0, False)
    assert lasts(fresh((name, b"max-age=7"), (b"Expires", at(30)))) == (7, True)


def test_a_surrogate_listens_to_its_own_field():
    found = fresh((b"Surrogate-Control", b"max-age=7"), (b"Expires", b"0"))
    assert lasts(found) == (7, True)


def test_without_anything_it_is_stale_at_once():
    assert lasts(fresh()) == (0, False)


# Guessing


def guessed(modified, status=200, *pairs):
    return fresh((b"Date", at(0)), (b"Last-Modified", modified), *pairs, status=status)


@pytest.mark.parametrize("status", [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501])
def test_a_tenth_of_the_time_without_a_change_is_guessed(status):
    assert lasts(guessed(at(-1000), status)) == (100, False)


@pytest.mark.parametrize("status", [201, 202, 302, 307, 403, 502, 503, 504, 599])
def test_nothing_is_guessed_for_other_statuses(status):
    assert lasts(guessed(at(-1000), status)) == (0, False)


def test_what_is_public_is_guessed_for_any_status():
    assert lasts(guessed(at(-1000), 599, (b"Cache-Control", b"public"))) == (100, False)


def test_no_guess_is_longer_than_a_day():
    assert lasts(guessed(at(-100 * DAY))) == (DAY, False)


@pytest.mark.parametrize("modified", [b"yesterday", at(5)])
def test_nothing_is_guessed_from_a_date_that_cannot_be(modified):
    assert lasts(guessed(modified)) == (0, False)


def test_nothing_is_guessed_where_a_lifetime_is_told():
    assert lasts(guessed(at(-1000), 200, (b"Cache-Control", b"max-age=1"))) == (1, True)
    assert lasts(guessed(at(-1000), 200, (b"Expires", b"0"))) == (0, True)


# Age


def test_a_response_is_born_when_it_comes():
    assert controlled(b"max-age=60").born == NOW


def test_an_age_that_is_told_is_older_by_the_time_of_the_request():
    found = controlled(b"max-age=60", (b"Age", b"20"), asked_at=NOW - 3)
    assert found.born == NOW - 23
    assert found.fresh_until == NOW + 37


def test_a_response_was_born_no_later_than_its_date():
    assert controlled(b"max-age=60", (b"Date", at(-10))).born == NOW - 10
    assert controlled(b"max-age=60", (b"Date", at(-10)), (b"Age", b"30")).born == NOW - 30


def test_a_date_ahead_of_our_clock_makes_nothing_younger():
    assert controlled(b"max-age=60", (b"Date", at(10))).born == NOW


def test_the_part_of_a_second_that_a_date_cannot_tell_is_no_age():
    found = controlled(b"max-age=1", (b"Date", at(0)), asked_at=NOW + 0.9, received_at=NOW + 0.9)
    assert found.born == NOW + 0.9


def test_a_clock_that_is_set_back_makes_nothing_younger():
    assert controlled(b"max-age=60", asked_at=NOW + 5).born == NOW


@pytest.mark.parametrize(
    "values",
    [
        [b"abc"],
        [b""],
        [b"-7200"],
        [b"20.0"],
        [b"20;foo=bar"],
        [b" 20"],
        # Two caches that disagree, in two lines or joined.
        [b"20", b"0"],
        [b"0", b"20"],
        [b"0", b"0"],
        [b"0, 0"],
        [b"20, 20"],
        [b"20,\t20"],
    ],
)
def test_a_response_of_unknown_age_is_stale(values):
    found = controlled(b"max-age=3600", *((b"Age", value) for value in values))
    assert lasts(found) == (0, True)


@pytest.mark.parametrize("value", [b"20,7200", b"20,", b"0020", b"20,abc"])
def test_the_first_of_a_list_of_ages_counts(value):
    assert controlled(b"max-age=60", (b"Age", value)).born == NOW - 20


def test_an_age_may_be_of_any_length():
    assert controlled(b"max-age=60", (b"Age", b"9" * 5000)).born == NOW - (1 << 31)
    assert controlled(b"max-age=60", (b"Age", b"0" * 5000)).born == NOW


def test_the_date_is_that_of_the_response_or_of_reception():
    assert controlled(b"", (b"Date", at(-10))).date == NOW - 10
    assert controlled(b"", received_at=NOW + 0.9).date == NOW
    assert controlled(b"", (b"Date", b"foo")).date == NOW


# Staleness


def allowances(value):
    found = controlled(value)
    return found.stale_while_revalidate, found.stale_if_error


def test_stale_use_may_be_allowed():
    assert allowances(b"max-age=1, stale-while-revalidate=2, stale-if-error=3") == (2, 3)
    assert allowances(b"max-age=1") == (0, 0)


def test_a_lifetime_for_shared_caches_does_not_take_the_allowance_back():
    assert allowances(b"s-maxage=1, stale-while-revalidate=2, stale-if-error=3") == (2, 3)


@pytest.mark.parametrize("strict", [b"must-revalidate", b"proxy-revalidate", b"no-cache"])
def test_stale_use_may_be_forbidden(strict):
    value = b"max-age=1, stale-while-revalidate=2, stale-if-error=3, " + strict
    assert allowances(value) == (0, 0)


def test_what_must_be_validated_is_never_fresh():
    assert lasts(controlled(b"max-age=3600, no-cache")) == (0, True)
    assert lasts(controlled(b'max-age=3600, no-cache="a"')) == (3600, True)


@given(
    lifetime=st.integers(0, 10_000),
    age=st.integers(0, 10_000),
    skew=st.integers(-10_000, 10_000),
    delay=st.floats(0, 100),
)
def test_nothing_is_fresh_for_longer_than_it_lives(lifetime, age, skew, delay):
    found = controlled(
        b"max-age=%d" % lifetime,
        (b"Age", b"%d" % age),
        (b"Date", at(skew)),
        asked_at=NOW - delay,
    )
    assert found.born <= NOW - age
    assert found.born <= NOW + max(0, skew)
    assert found.fresh_until <= found.born + lifetime

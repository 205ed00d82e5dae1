"""May a response be stored, and as what: RFC 9111 3; cache-and-purge.md, *What is stored*."""

import pytest

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import demands, storing
from gripproxy.protocol.caching.demands import Cookies
from gripproxy.protocol.caching.directives import Source
from gripproxy.protocol.caching.ranges import Span
from gripproxy.protocol.caching.storing import Refusal
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response

NOW = 1_800_000_000.0
DATE = (b"Date", fields.format_date(NOW))
TAG = (b"ETag", b'"a"')
MODIFIED = (b"Last-Modified", fields.format_date(NOW - 1000))


def request(*pairs, method=b"GET"):
    return Request(method=method, target=b"/", headers=Headers(pairs))


def facts(*pairs, status=200, hold=False, asked=None, size=3):
    response = Response(status=status, reason=b"", headers=Headers(pairs), length=size)
    return storing.facts(asked or request(), response, asked_at=NOW, received_at=NOW, hold=hold)


def control(value):
    return (b"Cache-Control", value)


def refusal(*pairs, status=200, hold=False, asked=None, cookies=Cookies.SAFE, now=NOW):
    asked = asked or request()
    return storing.refusal(
        facts(*pairs, status=status, hold=hold, asked=asked),
        demands.read(asked, cookies=cookies),
        cookies=cookies,
        now=now,
    )


# What is known


def test_a_response_is_looked_at_once():
    found = facts(
        DATE, control(b"max-age=60, stale-while-revalidate=5, stale-if-error=7"), (b"Age", b"20")
    )
    assert (found.status, found.date, found.born) == (200, NOW, NOW - 20)
    assert (found.fresh_until, found.explicit) == (NOW + 40, True)
    assert (found.stale_while_revalidate, found.stale_if_error) == (5, 7)
    assert found.directives.source is Source.CACHE_CONTROL
    assert not found.hold


def test_ages_are_whole_seconds_that_have_passed():
    found = facts(DATE, control(b"max-age=60"))
    assert [found.age(NOW + s) for s in (-5, 0, 0.9, 1, 59.99, 61)] == [0, 0, 0, 1, 59, 61]
    assert [found.ttl(NOW + s) for s in (0, 0.1, 59.5, 60, 60.1, 62)] == [60, 59, 0, 0, -1, -2]


def test_a_stored_response_has_a_date():
    assert facts().headers == Headers([DATE])
    assert facts((b"Date", b"foo"), (b"A", b"1")).headers == Headers([(b"A", b"1"), DATE])
    assert facts(DATE).headers == Headers([DATE])


def test_what_a_proxy_and_its_client_agree_on_is_not_stored():
    found = facts(
        DATE,
        (b"Proxy-Authenticate", b"x"),
        (b"Proxy-Authentication-Info", b"x"),
        (b"Proxy-Authorization", b"x"),
    )
    assert found.headers == Headers([DATE])


def test_fields_that_are_private_are_not_stored():
    found = facts(DATE, control(b'private="a, B"'), (b"A", b"1"), (b"b", b"2"), (b"C", b"3"))
    assert found.headers == Headers([DATE, control(b'private="a, B"'), (b"C", b"3")])
    assert found.shown == found.headers


def test_fields_that_must_be_validated_are_stored_but_not_shown():
    found = facts(DATE, control(b'no-cache="a"'), (b"A", b"1"), (b"B", b"2"))
    assert found.headers.has(b"a")
    assert found.shown == Headers([DATE, control(b'no-cache="a"'), (b"B", b"2")])


def test_what_is_for_caches_is_not_shown():
    found = facts(
        DATE,
        (b"Age", b"5"),
        (b"Surrogate-Key", b"a"),
        (b"Cache-Tag", b"a"),
        (b"Surrogate-Control", b"max-age=5"),
        (b"GripProxy-Cache-Control", b"max-age=5"),
        (b"CDN-Cache-Control", b"max-age=5"),
        (b"Content-Type", b"text/plain"),
        (b"Cache-Groups", b'"a"'),
    )
    assert found.shown == Headers(
        [
            DATE,
            (b"CDN-Cache-Control", b"max-age=5"),
            (b"Content-Type", b"text/plain"),
            (b"Cache-Groups", b'"a"'),
        ]
    )
    assert found.shown.marks == found.headers.marks == fields.DATE | fields.CONTENT_TYPE
    assert found.headers.has(b"surrogate-key")


def test_marks_are_those_of_the_fields_that_stay():
    found = facts(DATE, control(b'no-cache="content-type"'), (b"Content-Type", b"text/plain"))
    assert found.shown.marks == fields.DATE
    assert found.headers.marks == fields.DATE | fields.CONTENT_TYPE


def test_the_variant_is_that_of_the_request():
    asked = request((b"Foo", b"1"))
    found = facts((b"Vary", b"Foo, Bar"), asked=asked).variant
    assert (found.names, found.values) == ((b"bar", b"foo"), (None, b"1"))
    assert facts((b"Vary", b"*")).variant is None


def test_what_can_be_validated_is_noted():
    assert facts(TAG).validated
    assert not facts().validated


def test_a_part_is_one_of_a_range():
    asked = request((b"Range", b"bytes=-3"))
    told = (b"Content-Range", b"bytes 7-9/10")
    assert facts(told, status=206, asked=asked).part.span == Span(7, 9, 10)
    assert facts(told, status=200, asked=asked).part is None
    assert facts(told, status=206, asked=asked, size=None).part is None


# What HTTP forbids


@pytest.mark.parametrize("told", [control(b"max-age=60"), control(b"s-maxage=60"), MODIFIED])
def test_what_will_be_fresh_is_stored(told):
    assert refusal(DATE, told) is None
    assert refusal(DATE, (b"Expires", fields.format_date(NOW + 60))) is None


@pytest.mark.parametrize("told", [(), (control(b"no-cache"),), (control(b"max-age=0"),)])
def test_what_can_be_validated_is_stored(told):
    assert refusal(DATE, TAG, *told) is None


def test_what_will_be_stale_is_stored_if_it_may_be_used_so():
    assert refusal(DATE, control(b"max-age=0, stale-while-revalidate=5")) is None
    assert refusal(DATE, control(b"max-age=0, stale-if-error=5")) is None


@pytest.mark.parametrize(
    "told",
    [
        (),
        (control(b"max-age=0"),),
        (control(b"public"),),
        (control(b"max-age=60"), (b"Age", b"60")),
        (control(b"max-age=60"), (b"Age", b"x")),
    ],
)
def test_what_could_never_be_used_is_not_stored(told):
    assert refusal(DATE, *told) is Refusal.LIFETIME


def test_what_took_too_long_to_come_is_not_stored():
    assert refusal(DATE, control(b"max-age=5"), now=NOW + 4) is None
    assert refusal(DATE, control(b"max-age=5"), now=NOW + 5) is Refusal.LIFETIME


@pytest.mark.parametrize("method", [b"POST", b"HEAD"])
def test_only_the_response_to_get_is_stored(method):
    asked = request(method=method)
    assert refusal(DATE, control(b"max-age=60"), asked=asked) is Refusal.REQUEST


def test_a_client_may_forbid_to_store():
    asked = request(control(b"no-store"))
    assert refusal(DATE, control(b"max-age=60"), asked=asked) is Refusal.REQUEST


@pytest.mark.parametrize(
    "value", [b"no-store", b"max-age=60, No-Store", b"must-understand, no-storage, no-store=1"]
)
def test_the_origin_may_forbid_to_store(value):
    expected = None if b"must-understand" in value else Refusal.NO_STORE
    assert refusal(DATE, control(value), MODIFIED) is expected


def test_what_is_private_is_not_stored():
    assert refusal(DATE, control(b"private, max-age=60")) is Refusal.PRIVATE
    assert refusal(DATE, control(b'private="a", max-age=60')) is None


def test_what_no_other_request_may_have_is_not_stored():
    assert refusal(DATE, control(b"max-age=60"), (b"Vary", b"a, *")) is Refusal.VARY


# Statuses


@pytest.mark.parametrize(
    "status",
    [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599],
)
def test_any_status_is_stored_that_has_a_lifetime(status):
    assert refusal(DATE, control(b"max-age=60"), status=status) is None


@pytest.mark.parametrize("status", [201, 302, 403, 503, 599])
def test_a_status_that_allows_no_guess_needs_a_permission(status):
    assert refusal(DATE, MODIFIED, status=status) is Refusal.LIFETIME
    assert refusal(DATE, MODIFIED, control(b"public"), status=status) is None


@pytest.mark.parametrize("status", [100, 103, 304, 407, 412, 416, 417, 428, 429, 431, 511])
def test_some_statuses_are_never_stored(status):
    assert refusal(DATE, control(b"public, max-age=60"), status=status) is Refusal.STATUS


def test_a_status_may_have_to_be_understood():
    told = control(b"max-age=60, must-understand, no-store")
    assert refusal(DATE, told, status=404) is None
    assert refusal(DATE, told, status=599) is Refusal.STATUS


def test_a_part_is_stored_while_it_is_fresh():
    asked = request((b"Range", b"bytes=-3"))
    told = (b"Content-Range", b"bytes 7-9/10")
    assert refusal(DATE, told, control(b"max-age=60"), status=206, asked=asked) is None
    assert refusal(DATE, told, TAG, status=206, asked=asked) is Refusal.LIFETIME


def test_a_part_of_what_nobody_can_tell_is_not_stored():
    asked = request((b"Range", b"bytes=0-0,2-2"))
    assert refusal(DATE, control(b"max-age=60"), status=206, asked=asked) is Refusal.PART


# Whose response may be shared

ALL = list(Cookies)
FRESH = control(b"max-age=60")
SHARED = [
    control(b"public, max-age=60"),
    control(b"s-maxage=60"),
    (b"CDN-Cache-Control", b"max-age=60"),
    (b"GripProxy-Cache-Control", b"max-age=60"),
    (b"Surrogate-Control", b"max-age=60"),
]
COOKIE = request((b"Cookie", b"a=b"))
AUTHORIZED = request((b"Authorization", b"x"))
SETS = [(b"Set-Cookie", b"a=b"), (b"set-cookie2", b"a=b")]


@pytest.mark.parametrize("value", [b"public", b"must-revalidate", b"s-maxage=60"])
def test_a_response_for_one_who_is_authorized_needs_a_permission(value):
    assert refusal(DATE, control(b"max-age=60, " + value), asked=AUTHORIZED) is None


@pytest.mark.parametrize("told", [FRESH, SHARED[2], control(b"max-age=60, proxy-revalidate")])
def test_a_response_for_one_who_is_authorized_is_not_shared(told):
    assert refusal(DATE, told, asked=AUTHORIZED) is Refusal.AUTHORIZATION


def test_a_response_for_one_with_a_cookie_needs_a_lifetime():
    for cookies in (Cookies.SAFE, Cookies.RFC):
        assert refusal(DATE, FRESH, asked=COOKIE, cookies=cookies) is None
        assert refusal(DATE, MODIFIED, asked=COOKIE, cookies=cookies) is Refusal.COOKIE
        assert refusal(DATE, TAG, asked=COOKIE, cookies=cookies) is Refusal.COOKIE


def test_strictly_a_response_for_one_with_a_cookie_is_not_shared():
    strict = Cookies.STRICT
    assert refusal(DATE, *SHARED[:1], asked=COOKIE, cookies=strict) is Refusal.REQUEST
    # One who waits for the response to a request without a cookie.
    demand = demands.read(COOKIE)
    found = storing.refusal(facts(DATE, FRESH), demand, cookies=strict, now=NOW)
    assert found is Refusal.COOKIE


@pytest.mark.parametrize("sets", SETS)
@pytest.mark.parametrize("told", SHARED)
def test_a_cookie_is_shared_if_sharing_is_meant_in_so_many_words(sets, told):
    assert refusal(DATE, told, sets) is None
    assert refusal(DATE, told, sets, cookies=Cookies.RFC) is None
    assert refusal(DATE, told, sets, cookies=Cookies.STRICT) is Refusal.SET_COOKIE


@pytest.mark.parametrize("sets", SETS)
def test_a_cookie_is_not_shared_by_default(sets):
    assert refusal(DATE, FRESH, sets) is Refusal.SET_COOKIE
    assert refusal(DATE, FRESH, sets, cookies=Cookies.RFC) is None


@pytest.mark.parametrize("cookies", ALL)
def test_a_cookie_is_never_shared_by_a_guess(cookies):
    told = [DATE, MODIFIED, control(b"public"), SETS[0]]
    assert refusal(*told, cookies=cookies) is Refusal.SET_COOKIE


@pytest.mark.parametrize("value", [b'private="set-cookie"', b'no-cache="set-cookie"'])
def test_a_cookie_that_is_kept_back_does_not_matter(value):
    assert refusal(DATE, control(b"max-age=60, " + value), SETS[0]) is None


# Holds


def test_a_hold_needs_a_lifetime():
    assert refusal(DATE, FRESH, hold=True) is None
    assert refusal(DATE, MODIFIED, hold=True) is Refusal.HOLD
    assert refusal(DATE, TAG, hold=True) is Refusal.HOLD


@pytest.mark.parametrize("cookies", ALL)
def test_a_hold_never_sets_a_cookie(cookies):
    assert refusal(DATE, SHARED[0], SETS[0], hold=True, cookies=cookies) is Refusal.HOLD


@pytest.mark.parametrize("asked", [COOKIE, AUTHORIZED])
def test_a_hold_for_a_known_user_is_shared_only_in_so_many_words(asked):
    assert refusal(DATE, SHARED[0], hold=True, asked=asked) is None
    assert refusal(DATE, SHARED[1], hold=True, asked=asked) is None
    told = control(b"max-age=60, must-revalidate")
    assert refusal(DATE, told, hold=True, asked=asked) is Refusal.HOLD


def test_a_hold_for_a_cookie_may_be_shared_by_a_targeted_field():
    assert refusal(DATE, SHARED[2], hold=True, asked=COOKIE) is None

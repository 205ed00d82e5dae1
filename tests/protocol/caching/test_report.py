"""Cache-Status: RFC 9211."""

import pytest

from gripproxy.protocol.caching import report
from gripproxy.protocol.caching.demands import Forward
from gripproxy.protocol.caching.storing import Refusal
from gripproxy.protocol.headers import Headers


def told(field):
    name, value = field
    return name.text, value


def test_a_hit_tells_how_long_it_is_fresh():
    assert told(report.hit(12)) == (b"Cache-Status", b"gripproxy; hit; ttl=12")
    assert told(report.hit(-5)) == (b"Cache-Status", b"gripproxy; hit; ttl=-5")


def test_an_age_is_a_number_of_seconds():
    assert told(report.age(0)) == (b"Age", b"0")


@pytest.mark.parametrize(
    ("why", "more", "value"),
    [
        (Forward.URI_MISS, {}, b"gripproxy; fwd=uri-miss"),
        (Forward.BYPASS, {"collapsed": None}, b"gripproxy; fwd=bypass"),
        (
            Forward.URI_MISS,
            {"stored": True, "collapsed": True},
            b"gripproxy; fwd=uri-miss; stored; collapsed",
        ),
        (Forward.VARY_MISS, {"collapsed": False}, b"gripproxy; fwd=vary-miss; collapsed=?0"),
        (
            Forward.STALE,
            {"status": 304, "stored": True},
            b"gripproxy; fwd=stale; fwd-status=304; stored",
        ),
        (
            Forward.URI_MISS,
            {"refusal": Refusal.SET_COOKIE},
            b"gripproxy; fwd=uri-miss; detail=set-cookie",
        ),
    ],
)
def test_what_went_to_the_origin_tells_why_and_what_became_of_it(why, more, value):
    assert told(report.forwarded(why, **more)) == (b"Cache-Status", value)


@pytest.mark.parametrize(
    ("field", "shared"),
    [
        (report.hit(12), True),
        (report.forwarded(Forward.URI_MISS, stored=True), True),
        (report.forwarded(Forward.STALE, stored=True, collapsed=True), True),
        (report.forwarded(Forward.URI_MISS, collapsed=True), True),
        (report.forwarded(Forward.URI_MISS, collapsed=True, refusal=Refusal.LIFETIME), False),
        (report.forwarded(Forward.URI_MISS, refusal=Refusal.PRIVATE), False),
        (report.forwarded(Forward.URI_MISS, collapsed=False), False),
    ],
)
def test_what_was_stored_is_for_others_too(field, shared):
    origins_own = (field[0], b"inner; hit; ttl=1")
    assert report.is_shared(Headers.of([origins_own, field], 0)) is shared


def test_what_was_in_no_cache_is_for_one():
    assert not report.is_shared(Headers())

"""What requests demand of the cache."""

import pytest

from gripproxy.protocol.caching import demands
from gripproxy.protocol.caching.demands import Cookies, Demand, Forward
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request


def read(*pairs, method=b"GET", length=0, cookies=Cookies.SAFE):
    request = Request(method=method, target=b"/", headers=Headers(pairs), length=length)
    return demands.read(request, cookies=cookies)


def test_a_plain_request_demands_nothing():
    assert read((b"Accept", b"*/*")) == Demand()
    assert read((b"Accept", b"*/*"), method=b"HEAD") == Demand(head=True)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"QUERY"])
def test_other_methods_are_for_the_origin(method):
    assert read(method=method).forward is Forward.METHOD
    assert read((b"Range", b"bytes=0-1"), method=method) == Demand(forward=Forward.METHOD)


@pytest.mark.parametrize("length", [1, None])
def test_a_request_with_a_body_is_for_the_origin(length):
    assert read(length=length).forward is Forward.METHOD


# Directives


@pytest.mark.parametrize(
    "value", [b"no-cache", b"max-age=0", b"min-fresh=9", b"max-stale", b"no-storefront"]
)
def test_the_wish_for_freshness_is_ignored(value):
    assert read((b"Cache-Control", value), (b"Pragma", b"no-cache")) == Demand()


@pytest.mark.parametrize("value", [b"no-store", b"max-age=0, No-Store"])
def test_what_must_not_be_stored_is_for_the_origin(value):
    assert read((b"Cache-Control", value)).forward is Forward.REQUEST


def test_a_client_may_want_nothing_but_what_is_stored():
    assert read((b"Cache-Control", b"only-if-cached")) == Demand(only_if_cached=True)
    found = read((b"Cache-Control", b"no-store"), (b"Cache-Control", b"only-if-cached"))
    assert found == Demand(forward=Forward.REQUEST, only_if_cached=True)


# Who asks


def test_cookies_and_credentials_are_noted():
    assert read((b"Cookie", b"a=b")) == Demand(cookie=True)
    assert read((b"Authorization", b"x")) == Demand(authorization=True)


def test_strictly_a_request_with_a_cookie_is_for_the_origin():
    assert read((b"Cookie", b"a=b"), cookies=Cookies.RFC).forward is None
    assert read((b"Cookie", b"a=b"), cookies=Cookies.STRICT).forward is Forward.BYPASS
    assert read((b"Accept", b"*/*"), cookies=Cookies.STRICT).forward is None


# Conditions and ranges


@pytest.mark.parametrize("name", [b"If-Match", b"If-Unmodified-Since"])
def test_conditions_for_an_origin_are_for_the_origin(name):
    assert read((name, b"x")).forward is Forward.REQUEST


def test_conditions_and_ranges_are_kept_as_they_came():
    found = read(
        (b"Range", b"bytes=0-1"),
        (b"If-Range", b'"a"'),
        (b"If-None-Match", b'"b"'),
        (b"If-Modified-Since", b"today"),
    )
    assert found == Demand(
        range=b"bytes=0-1", if_range=b'"a"', if_none_match=b'"b"', if_modified_since=b"today"
    )


def test_entity_tags_may_come_in_several_lines():
    found = read((b"If-None-Match", b'"a"'), (b"If-None-Match", b'"b"'))
    assert found.if_none_match == b'"a","b"'


def test_head_has_no_ranges():
    found = read((b"Range", b"bytes=0-1"), (b"If-Range", b'"a"'), method=b"HEAD")
    assert found == Demand(head=True)
    assert not found.own


@pytest.mark.parametrize("name", [b"Range", b"If-None-Match", b"If-Modified-Since"])
def test_an_answer_to_a_condition_is_for_its_asker_alone(name):
    assert read((name, b"x")).own


def test_an_answer_to_anything_else_is_not():
    assert not read((b"If-Range", b"x"), (b"Cookie", b"a=b")).own

"""Vary: RFC 9111 4.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.caching import variants
from gripproxy.protocol.headers import Headers


def vary(*values):
    return variants.names(Headers((b"Vary", value) for value in values))


def agree(name, first, second):
    """Whether two requests with these values of a field are for the same variant."""
    stored = variants.of((name.lower(),), Headers((name, value) for value in first))
    return variants.agrees(stored, Headers((name, value) for value in second))


# Names


def test_without_the_field_nothing_is_named():
    assert vary() == ()


def test_names_are_sorted_and_in_lower_case():
    assert vary(b"Foo, bar", b"BAZ,, foo") == (b"bar", b"baz", b"foo")


@pytest.mark.parametrize(
    "values", [[b"*"], [b"*, *"], [b"*", b"*"], [b", *"], [b"", b"*"], [b"*, Foo"], [b"Foo, *"]]
)
def test_a_star_anywhere_means_no_other_request(values):
    assert vary(*values) is None


def test_an_empty_field_names_nothing():
    assert vary(b"") == ()


def test_what_we_send_ourselves_is_skipped():
    value = b"Grip-Sig, Grip-Feature, Grip-Last, Via, CDN-Loop, eb9bf0f5-Cookie, Cookie"
    assert vary(value) == (b"cookie",)


# Values


def test_without_names_all_requests_agree():
    headers = Headers([(b"Foo", b"1")])
    assert variants.of((), headers) is variants.ONLY
    assert variants.agrees(variants.ONLY, headers)


def test_only_the_fields_that_are_named_count():
    stored = variants.of((b"bar", b"foo"), Headers([(b"Foo", b"1"), (b"Other", b"2")]))
    assert stored.values == (None, b"1")
    assert variants.agrees(stored, Headers([(b"Other", b"3"), (b"FOO", b"1")]))
    assert not variants.agrees(stored, Headers([(b"Foo", b"1"), (b"Bar", b"x")]))
    assert not variants.agrees(stored, Headers([(b"Foo", b"2")]))
    assert not variants.agrees(stored, Headers())


def test_an_absent_field_is_not_an_empty_one():
    assert not agree(b"Foo", [], [b""])
    assert agree(b"Foo", [], [])


def test_fields_may_be_disregarded():
    names = (b"foo", b"last-event-id")
    stored = variants.of(names, Headers([(b"Foo", b"1"), (b"Last-Event-ID", b"5")]))
    asked = Headers([(b"Foo", b"1"), (b"Last-Event-ID", b"9")])
    assert not variants.agrees(stored, asked)
    assert variants.agrees(stored, asked, (b"last-event-id",))
    assert not variants.agrees(stored, Headers([(b"Foo", b"2")]), (b"last-event-id",))


def test_lines_are_one_list():
    assert agree(b"Foo", [b"1, 2"], [b"1", b"2"])
    assert not agree(b"Foo", [b"1, 2"], [b"2", b"1"])


def test_blanks_around_commas_mean_nothing():
    assert agree(b"Foo", [b"1,2"], [b" 1, 2 "])
    assert agree(b"Foo", [b"1,,2,"], [b"1,2"])


def test_blanks_inside_of_quotes_mean_something():
    assert not agree(b"Foo", [b'"1, 2"'], [b'"1,2"'])


def test_case_means_something():
    assert not agree(b"Foo", [b"a"], [b"A"])


@pytest.mark.parametrize("name", [b"User-Agent", b"Cookie", b"Authorization", b"Referer"])
def test_some_fields_are_no_lists(name):
    assert not agree(name, [b"a, b"], [b"a,b"])
    assert agree(name, [b" a, b"], [b"a, b "])


@pytest.mark.parametrize("name", [b"Accept-Language", b"Accept-Encoding", b"Accept-Charset"])
@pytest.mark.parametrize(
    "other",
    [b"de, en", b"eN, De", b" en ,   de", b"en;q=1.0, de;q=1", b"en,,de", b"en ; Q=1.000,de"],
)
def test_ranked_values_have_one_form(name, other):
    assert agree(name, [b"en, de"], [other])


@pytest.mark.parametrize(
    "other", [b"en;q=0.5, de", b"en", b"en;q=0, de", b"en;x=1, de", b"en;q=x, de"]
)
def test_weights_mean_something(other):
    assert not agree(b"Accept-Language", [b"en, de"], [other])


def test_weights_have_one_form():
    assert agree(b"Accept-Language", [b"en;q=0.50"], [b"EN ; q=0.5"])


def test_the_order_of_media_types_means_something():
    assert not agree(b"Accept", [b"text/html, application/json"], [b"application/json, text/html"])


VALUES = st.lists(st.text('ab,;q=01. "', max_size=12).map(str.encode), max_size=3)


@given(VALUES, st.sampled_from([b"Foo", b"Cookie", b"Accept-Language"]))
def test_a_request_agrees_with_itself(values, name):
    assert agree(name, values, values)

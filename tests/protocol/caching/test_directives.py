"""Directives of responses, and the field that speaks: RFC 9111 5.2.2, RFC 9213."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.caching import directives
from gripproxy.protocol.caching.directives import SECONDS_MAX, Directives, Source
from gripproxy.protocol.headers import Headers


def read(*pairs):
    return directives.read(Headers(pairs))


def plain(*values):
    return read(*((b"Cache-Control", value) for value in values))


def cdn(value):
    return read((b"CDN-Cache-Control", value), (b"Cache-Control", b"max-age=1"))


def surrogate(value):
    return read((b"Surrogate-Control", value), (b"Cache-Control", b"max-age=1"))


# Cache-Control


def test_without_a_field_nothing_is_said():
    assert read((b"Pragma", b"no-cache"), (b"Expires", b"0")) == Directives()
    assert Directives().source is Source.NONE


def test_every_directive_is_read():
    value = (
        b"public, private, no-store, no-cache, must-revalidate, proxy-revalidate,"
        b" must-understand, max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4"
    )
    assert plain(value) == Directives(
        source=Source.CACHE_CONTROL,
        public=True,
        private=True,
        no_store=True,
        no_cache=True,
        must_revalidate=True,
        proxy_revalidate=True,
        must_understand=True,
        max_age=1,
        s_maxage=2,
        stale_while_revalidate=3,
        stale_if_error=4,
    )


def test_unknown_directives_are_ignored():
    assert plain(b"immutable, no-transform, foo, bar=1, x=") == Directives(
        source=Source.CACHE_CONTROL
    )


def test_names_are_read_in_any_case():
    assert plain(b"No-StOrE, MAX-AGE=5") == plain(b"no-store, max-age=5")


def test_lines_are_one_list():
    found = plain(b"max-age=60", b"", b"public")
    assert (found.max_age, found.public) == (60, True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"3600", 3600),
        (b'"3600"', 3600),  # RFC 9111 5.2: both forms ought to be accepted
        (b"003600", 3600),
        (b"0", 0),
        (b"000", 0),
        (b"2147483647", SECONDS_MAX - 1),
        (b"2147483648", SECONDS_MAX),
        (b"2147483649", SECONDS_MAX),
        (b"9" * 5000, SECONDS_MAX),
        # What cannot be read is stale.
        (b"", 0),
        (b"-3600", 0),
        (b"'3600'", 0),
        (b"3600.0", 0),
        (b"a3600", 0),
        (b"3600a", 0),
        (b" 3600", 0),
        (b'"36', 0),
    ],
)
def test_seconds_are_a_number_or_none_at_all(value, seconds):
    assert plain(b"max-age=" + value).max_age == seconds
    assert plain(b"s-maxage=" + value).s_maxage == seconds
    assert plain(b"stale-if-error=" + value).stale_if_error == seconds


def test_seconds_without_a_value_are_none_at_all():
    assert plain(b"max-age").max_age == 0


def test_a_blank_before_the_sign_makes_a_number_void():
    assert plain(b"max-age =3600").max_age == 0


def test_the_first_of_several_numbers_counts():
    assert plain(b"max-age=1, max-age=1800").max_age == 1
    assert plain(b"max-age=1800", b"max-age=1").max_age == 1800
    assert plain(b"max-age=x, max-age=1800").max_age == 0


def test_what_stands_in_quotes_is_no_directive():
    assert plain(b'extension="max-age=3600, no-store", max-age=1') == Directives(
        source=Source.CACHE_CONTROL, max_age=1
    )
    assert plain(b'max-age=1, extension="max-age=3600"').max_age == 1


def test_a_permission_with_an_argument_is_none():
    assert not plain(b"public=1").public


def test_a_prohibition_with_an_argument_is_one():
    assert plain(b"no-store=1").no_store


# Fields that are named


def test_fields_may_be_kept_from_reuse():
    found = plain(b'no-cache="A, b", max-age=60')
    assert found.hidden == {b"a", b"b"}
    assert not found.no_cache


def test_fields_may_be_kept_from_being_stored():
    found = plain(b"private=Set-Cookie")
    assert found.unstored == {b"set-cookie"}
    assert not found.private


@pytest.mark.parametrize("value", [b'""', b'"a b"', b"=", b" a"])
def test_a_list_of_fields_that_is_none_means_the_whole_response(value):
    assert plain(b"no-cache=" + value).no_cache
    assert plain(b"private=" + value).private


def test_the_whole_response_counts_for_more_than_its_fields():
    assert plain(b'no-cache="a", no-cache').no_cache
    assert plain(b'private, private="a"').private


# Targeted fields


def test_the_most_particular_field_speaks():
    pairs = [
        (b"Cache-Control", b"max-age=1"),
        (b"Surrogate-Control", b"max-age=2"),
        (b"CDN-Cache-Control", b"max-age=3"),
        (b"GripProxy-Cache-Control", b"max-age=4"),
    ]
    found = []
    while pairs:
        found.append((read(*pairs).source, read(*pairs).max_age))
        pairs.pop()
    assert found == [
        (Source.OWN, 4),
        (Source.CDN, 3),
        (Source.SURROGATE, 2),
        (Source.CACHE_CONTROL, 1),
    ]
    assert [source.targeted for source, _ in found] == [True, True, True, False]


def test_a_targeted_field_silences_the_others():
    found = read(
        (b"Cache-Control", b"no-store, private, stale-if-error=9"),
        (b"CDN-Cache-Control", b"max-age=60"),
    )
    assert found == Directives(source=Source.CDN, max_age=60)


@pytest.mark.parametrize("value", [b"", b" ", b"max-age=", b"Max-Age=60", b"max-age=60,", b"a b"])
def test_a_targeted_field_that_is_empty_or_broken_is_not_there(value):
    assert cdn(value) == Directives(source=Source.CACHE_CONTROL, max_age=1)


@pytest.mark.parametrize("value", [b"none", b"no-store=?0"])
def test_a_targeted_field_of_unknown_words_still_speaks(value):
    assert cdn(value) == Directives(source=Source.CDN)


@pytest.mark.parametrize("value", [b"-1", b"60.0", b'"60"', b"sixty", b"(60)", b"?1", b":aGk=:"])
def test_a_targeted_number_is_an_integer_or_none_at_all(value):
    assert cdn(b"max-age=" + value).max_age == 0


def test_a_targeted_field_names_fields_in_a_string():
    found = cdn(b'no-cache="a, b", private="set-cookie", max-age=5;ignored=1')
    assert (found.hidden, found.unstored) == ({b"a", b"b"}, {b"set-cookie"})
    assert (found.no_cache, found.private, found.max_age) == (False, False, 5)


def test_a_targeted_list_of_anything_else_means_the_whole_response():
    assert cdn(b"no-cache=(a b)").no_cache
    assert cdn(b"private=1.5").private


# Surrogate-Control


def test_a_surrogate_is_told_in_any_case():
    assert surrogate(b"foobar, MaX-aGe=3600") == Directives(source=Source.SURROGATE, max_age=3600)


def test_what_is_for_another_surrogate_is_not_for_us():
    assert surrogate(b"max-age=3600;not-for-you").source is Source.CACHE_CONTROL


def test_what_is_for_us_counts_before_what_is_for_everyone():
    assert surrogate(b"max-age=60, max-age=3600;gripproxy").max_age == 3600
    assert surrogate(b"max-age=60, no-store;other, max-age=1;other") == Directives(
        source=Source.SURROGATE, max_age=60
    )


def test_the_name_by_which_we_are_addressed_is_told_to_origins():
    name, value = directives.CAPABILITY
    assert (name, value.partition(b"=")[0]) == (b"Surrogate-Capability", b"gripproxy")


@pytest.mark.parametrize("value", [b'content="ESI/1.0"', b"", b'max-age=5;"x', b";gripproxy"])
def test_a_surrogate_that_is_told_nothing_decisive_listens_to_cache_control(value):
    assert surrogate(value) == Directives(source=Source.CACHE_CONTROL, max_age=1)


@pytest.mark.parametrize("value", [b"no-store", b"private", b"no-cache", b"s-maxage=5"])
def test_a_prohibition_is_decisive(value):
    assert surrogate(value).source is Source.SURROGATE


def test_a_lifetime_may_be_extended():
    found = surrogate(b"max-age=600+60")
    assert (found.max_age, found.stale_while_revalidate) == (600, 60)


def test_only_a_lifetime_is_extended():
    assert surrogate(b"s-maxage=600+60").s_maxage == 0


# Who may share


@pytest.mark.parametrize("value", [b"public", b"s-maxage=5", b"s-maxage=x"])
def test_sharing_is_meant_in_so_many_words(value):
    assert plain(value).shared


def test_sharing_is_not_meant_by_a_lifetime():
    assert not plain(b"max-age=60, must-revalidate").shared
    assert cdn(b"max-age=60").shared


@given(st.text(st.sampled_from(list('maxge-=", \t;no-cache1')), max_size=40))
def test_whatever_comes_is_read(text):
    value = text.encode()
    for name in (b"Cache-Control", b"CDN-Cache-Control", b"Surrogate-Control"):
        found = read((name, value))
        assert found.max_age is None or 0 <= found.max_age <= SECONDS_MAX

"""Conditions and what a 304 updates: RFC 9110 13, RFC 9111 3.2 and 4.3."""

import pytest

from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import validation
from gripproxy.protocol.caching.demands import Demand
from gripproxy.protocol.headers import Headers

NOW = 1_800_000_000.0


def at(seconds):
    return fields.format_date(NOW + seconds)


def headers(**pairs):
    return Headers((name.replace("_", "-").encode(), value) for name, value in pairs.items())


# To the origin


def test_the_origin_is_asked_by_both_validators():
    stored = headers(etag=b'W/"a"', last_modified=b"some day", other=b"x")
    found = validation.conditional(headers(accept=b"*/*"), stored)
    assert found == headers(accept=b"*/*").plus(
        (b"If-None-Match", b'W/"a"'), (b"If-Modified-Since", b"some day")
    )


def test_the_origin_is_asked_by_what_there_is():
    assert validation.conditional(Headers(), headers(etag=b'"a"')) == Headers(
        [(b"If-None-Match", b'"a"')]
    )
    assert validation.conditional(Headers(), headers(last_modified=at(0))) == Headers(
        [(b"If-Modified-Since", at(0))]
    )


def test_the_conditions_of_the_client_are_taken_off():
    asked = headers(
        range=b"bytes=0-1", if_range=b'"b"', if_none_match=b'"b"', if_modified_since=b"x", a=b"1"
    )
    assert validation.unconditional(asked) == headers(a=b"1")
    assert validation.conditional(asked, headers(etag=b'"a"')).get_all(b"if-none-match") == [
        b'"a"'
    ]


def test_without_a_validator_nothing_can_be_asked():
    assert validation.can_validate(headers(etag=b'"a"'))
    assert validation.can_validate(headers(last_modified=at(0)))
    assert not validation.can_validate(headers(date=at(0)))


# From clients


def none_match(asked, tag):
    stored = Headers() if tag is None else headers(etag=tag)
    return validation.not_modified(Demand(if_none_match=asked), stored)


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        (b'"a"', b'"a"'),
        (b'"a", "1", "2"', b'"a"'),
        (b'"1", "a", "2"', b'"a"'),
        (b'"1","2","a"', b'"a"'),
        (b'W/"a"', b'W/"a"'),
        (b'W/"a"', b'"a"'),
        (b'"a"', b'W/"a"'),
        (b'w/"a"', b'w/"a"'),
        (b'"a, b"', b'"a, b"'),
        (b'"\xe9\\"', b'"\xe9\\"'),
        (b"a", b"a"),
        (b" * ", b'"a"'),
        (b"*", None),
    ],
)
def test_an_entity_tag_that_is_known_is_not_sent_again(asked, tag):
    assert none_match(asked, tag)


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        (b'"b"', b'"a"'),
        (b'"b"', None),
        (b'"A"', b'"a"'),
        (b"a", b'"a"'),
        (b'"a, b"', b'"b"'),
        (b"", b'"a"'),
        (b'"a", *', b'"b"'),
    ],
)
def test_an_entity_tag_that_is_not_known_is_sent(asked, tag):
    assert not none_match(asked, tag)


def modified_since(asked, **stored):
    return validation.not_modified(Demand(if_modified_since=asked), headers(**stored))


@pytest.mark.parametrize("since", [at(-3000), at(-2000)])
def test_what_has_not_changed_since_is_not_sent_again(since):
    assert modified_since(since, last_modified=at(-3000), date=at(0))


def test_a_date_may_be_in_any_of_its_forms():
    assert modified_since(
        b"Sunday, 06-Nov-94 08:49:37 GMT", last_modified=b"Sun Nov  6 08:49:37 1994"
    )


@pytest.mark.parametrize("since", [at(-3001), b"yesterday", b"", at(0) + b"," + at(0)])
def test_what_has_changed_since_is_sent(since):
    assert not modified_since(since, last_modified=at(-3000), date=at(0))


def test_without_a_date_of_change_that_of_the_response_counts():
    assert modified_since(at(0), date=at(0))
    assert not modified_since(at(-3000), date=at(0))
    assert not modified_since(at(0))
    assert not modified_since(at(0), last_modified=b"yesterday", date=at(-10))


def test_an_entity_tag_counts_for_more_than_a_date():
    stored = headers(etag=b'"a"', last_modified=at(-10))
    assert validation.not_modified(Demand(if_none_match=b'"a"', if_modified_since=at(-99)), stored)
    assert not validation.not_modified(
        Demand(if_none_match=b'"b"', if_modified_since=at(0)), stored
    )


def test_without_a_condition_everything_is_sent():
    assert not validation.not_modified(Demand(), headers(etag=b'"a"', last_modified=at(0)))


# If-Range


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b'"a"', {"etag": b'"a"'}),
        (b' "a" ', {"etag": b'"a"'}),
        (at(-60), {"last_modified": at(-60), "date": at(0)}),
        (at(-1), {"last_modified": at(-1), "date": at(0)}),
    ],
)
def test_a_range_is_of_the_version_that_is_named(value, stored):
    assert validation.is_same(value, headers(**stored))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b'"b"', {"etag": b'"a"'}),
        (b'"a"', {}),
        (b'W/"a"', {"etag": b'W/"a"'}),
        (b'"a"', {"etag": b'W/"a"'}),
        (at(-60), {"etag": b'"a"'}),
        (at(-59), {"last_modified": at(-60), "date": at(0)}),
        (at(0), {"last_modified": at(0), "date": at(0)}),
        (at(-60), {"last_modified": at(-60)}),
        (b"x", {"last_modified": b"x", "date": at(0)}),
        (b"", {}),
    ],
)
def test_a_range_is_not_of_another_version(value, stored):
    assert not validation.is_same(value, headers(**stored))


def test_a_304_does_not_describe_a_body():
    kept = headers(etag=b'"a"', content_location=b"/x", vary=b"a", content_security_policy=b"x")
    described = kept.plus(
        (b"Content-Type", b"text/plain"), (b"Content-Length", b"5"), (b"Content-Language", b"de")
    )
    assert validation.without_body(described) == kept


# Answers to our own questions


def test_who_was_asked_by_an_entity_tag_speaks_of_it():
    assert validation.confirms(headers(etag=b'"a"'), headers(etag=b'"a-gzip"'))
    assert validation.confirms(headers(etag=b'"a"'), Headers())


def test_who_was_asked_by_a_date_may_speak_of_another_version():
    stored = headers(last_modified=at(-60))
    assert validation.confirms(stored, Headers())
    assert validation.confirms(stored, headers(last_modified=at(-60), etag=b'W/"x"'))
    assert not validation.confirms(stored, headers(etag=b'"x"'))
    assert not validation.confirms(stored, headers(last_modified=at(-5)))


# Updating


def freshened(stored, told):
    return list(validation.freshened(Headers(stored), Headers(told), NOW))


def test_fields_are_replaced_where_they_stand():
    found = freshened(
        [(b"A", b"1"), (b"Date", at(-60)), (b"B", b"2"), (b"a", b"3")],
        [(b"Date", at(0)), (b"a", b"4"), (b"A", b"5"), (b"C", b"6")],
    )
    assert found == [
        (b"a", b"4"),
        (b"A", b"5"),
        (b"Date", at(0)),
        (b"B", b"2"),
        (b"C", b"6"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Encoding",
        b"Content-Length",
        b"Content-Range",
        b"Content-MD5",
        b"Content-Digest",
        b"ETag",
    ],
)
def test_what_belongs_to_the_stored_body_stays(name):
    assert freshened([(b"Date", at(0)), (name, b"1")], [(b"Date", at(0)), (name, b"2")]) == [
        (b"Date", at(0)),
        (name, b"1"),
    ]
    assert freshened([], [(b"Date", at(0)), (name, b"2")]) == [(b"Date", at(0))]


@pytest.mark.parametrize(
    "name",
    [b"Cache-Control", b"Content-Type", b"Content-Location", b"Expires", b"Set-Cookie", b"Vary"],
)
def test_everything_else_is_updated(name):
    found = freshened([(name, b"1"), (b"Date", at(-9))], [(b"Date", at(0)), (name, b"2")])
    assert found == [(name, b"2"), (b"Date", at(0))]


def test_an_age_is_that_of_the_validation():
    assert freshened([(b"Age", b"5"), (b"Date", at(0))], [(b"Date", at(0))]) == [(b"Date", at(0))]
    assert freshened([(b"Age", b"5"), (b"Date", at(0))], [(b"Age", b"7"), (b"Date", at(0))]) == [
        (b"Age", b"7"),
        (b"Date", at(0)),
    ]


def test_without_a_date_that_of_reception_counts():
    assert freshened([(b"Date", at(-99))], []) == [(b"Date", at(0))]

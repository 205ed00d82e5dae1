"""Structured fields: RFC 9651."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.caching import structured
from gripproxy.protocol.caching.structured import Token


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1),
        (b"-42", -42),
        (b"0042", 42),
        (b"999999999999999", 999_999_999_999_999),
        (b"1.5", 1.5),
        (b"-0.125", -0.125),
        (b"?1", True),
        (b"?0", False),
        (b'"a b"', "a b"),
        (b'""', ""),
        (b'"a\\"b\\\\c"', 'a"b\\c'),
        (b"word", Token("word")),
        (b"*/x:y", Token("*/x:y")),
        (b":aGk=:", b"aGk="),
        (b"@1659578233", 1_659_578_233.0),
        (b'%"f%c3%bc"', b"f%c3%bc"),
        (b"()", ()),
        (b'( 1  "a" x )', (1, "a", Token("x"))),
        (b"(1;a 2;b=3);c", (1, 2)),
        (b"1;a;b=2; c=?0", 1),
    ],
)
def test_a_value_is_read(text, value):
    found = structured.members([text])
    assert found == [value]
    assert type(found[0]) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        b"1.",
        b"1.2345",
        b"1.2.3",
        b"1234567890123456",
        b"1234567890123.1",
        b"-",
        b'"a',
        b'"\xc3\xbc"',
        b'"a\\b"',
        b"?2",
        b":a b:",
        b"@x",
        b'%"%C3"',
        b"(1",
        b"(1,2)",
        b'("a""b")',
        b"1;",
        b"1;A",
        b"1;a=",
        b"1,",
        b"1,,2",
        b",1",
        b"1 2",
        b"\xfc",
    ],
)
def test_one_error_makes_the_field_void(text):
    assert structured.members([text]) is None
    assert structured.dictionary([b"a=" + text]) is None


def test_lines_are_one_list():
    assert structured.members([b'"a"', b' "b" , "c"']) == ["a", "b", "c"]


def test_empty_lines_do_not_count():
    assert structured.members([b"", b"1", b"  "]) == [1]
    assert structured.members([b""]) == []
    assert structured.dictionary([]) == {}


def test_members_of_a_dictionary_have_keys():
    text = b'max-age=60, public, no-cache="a, b";x, *k.1_-=(1 2)'
    assert structured.dictionary([text]) == {
        b"max-age": 60,
        b"public": True,
        b"no-cache": "a, b",
        b"*k.1_-": (1, 2),
    }


def test_a_key_without_value_may_have_parameters():
    assert structured.dictionary([b"a;x=1;y, b"]) == {b"a": True, b"b": True}


def test_the_last_of_equal_keys_counts():
    assert structured.dictionary([b"a=1, b=2", b"a=3"]) == {b"a": 3, b"b": 2}


@pytest.mark.parametrize("text", [b"Max-Age=60", b"=1", b"a=1, ", b"a==1", b"1=a"])
def test_a_key_is_in_lower_case(text):
    assert structured.dictionary([text]) is None


WORDS = st.from_regex(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]{0,9}", fullmatch=True)
STRINGS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
BARE = st.one_of(
    st.booleans(),
    st.integers(-999_999_999_999_999, 999_999_999_999_999),
    STRINGS,
    WORDS.map(Token),
)
VALUES = st.one_of(BARE, st.lists(BARE, max_size=3).map(tuple))


def written(value):
    if isinstance(value, tuple):
        return b"(" + b" ".join(map(written, value)) + b")"
    if isinstance(value, bool):
        return b"?1" if value else b"?0"
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, Token):
        return value.encode()
    return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_what_is_written_is_read(values):
    assert structured.members([b", ".join(map(written, values))]) == values


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_list_may_be_cut_into_lines(values):
    assert structured.members([written(value) for value in values]) == values


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_void(text):
    found = structured.dictionary([text])
    assert found is None or isinstance(found, dict)
    assert structured.members([text]) is None or structured.members([text, b"1"]) is not None

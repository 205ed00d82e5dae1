"""What the encodings have in common and in which they differ: publishing.md 2, 2.1."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ItemError
from gripproxy.protocol import dialects
from gripproxy.protocol.dialects import JSON, MSGPACK, TNETSTRING

BAD = b"a\xffb"


def test_errors_name_owner_and_member():
    assert str(dialects.wrong_type("'x'", "y")) == "'x' contains 'y' with wrong type"
    assert str(dialects.invalid_value("'x'", "y")) == "'x' contains 'y' with invalid value"


@pytest.mark.parametrize(("value", "text"), [("é", "é"), ("é".encode(), "é"), (BAD, "a\ufffdb")])
def test_strings_become_text(value, text):
    assert dialects.to_text(value) == text


@pytest.mark.parametrize(("value", "content"), [("é", "é".encode()), (BAD, BAD)])
def test_strings_become_bytes_as_they_are(value, content):
    assert dialects.to_bytes(value) == content


@pytest.mark.parametrize(
    ("value", "content"),
    [("é", "é".encode()), ("é".encode(), "é".encode()), (b"a", b"a"), (BAD, b"a\xef\xbf\xbdb")],
)
def test_strings_become_utf8(value, content):
    assert dialects.to_utf8(value) == content


# Optional text


@pytest.mark.parametrize("dialect", [JSON, TNETSTRING, MSGPACK])
def test_a_member_may_be_absent(dialect):
    assert dialects.optional_text({"b": "x"}, "a", dialect, "o") is None


@pytest.mark.parametrize(
    ("dialect", "value"), [(JSON, ""), (TNETSTRING, b""), (MSGPACK, ""), (MSGPACK, b"")]
)
def test_empty_is_not_absent(dialect, value):
    assert not dialects.optional_text({"a": value}, "a", dialect, "o")
    assert dialects.optional_text({"a": value}, "a", dialect, "o") is not None


@pytest.mark.parametrize("dialect", [TNETSTRING, MSGPACK])
def test_null_counts_as_absent_where_bytes_are_strings(dialect):
    assert dialects.optional_text({"a": None}, "a", dialect, "o") is None


@pytest.mark.parametrize(
    ("dialect", "value"),
    [(JSON, None), (JSON, b"x"), (TNETSTRING, "x"), (JSON, 1), (TNETSTRING, []), (MSGPACK, {})],
)
def test_what_is_no_string_of_the_encoding_has_the_wrong_type(dialect, value):
    with pytest.raises(ItemError, match=r"^o contains 'a' with wrong type$"):
        dialects.optional_text({"a": value}, "a", dialect, "o")


# Numbers


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (404, 404),
        (-1, -1),
        (2**70, 2**70),
        (True, 1),
        (False, 0),
        (200.6, 201),
        (200.5, 201),
        (200.4, 200),
        (-0.4, 0),
        (-0.5, -1),
        (0.49999999999999994, 0),
        (1e15, 10**15),
        ("404", 404),
        (b"404", 404),
        (" +0404 ", 404),
        ("-7", -7),
        ("0", 0),
        ("-000", 0),
        ("abc", 0),
        ("", 0),
        ("+", 0),
        ("1.5", 0),
        ("1_0", 0),
        ("4 4", 0),
        ("٣", 0),
        (b"\xff", 0),
    ],
)
def test_numbers_strings_and_bools_convert(value, number):
    found = dialects.to_integer(value)
    assert found == number
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, 1e300, "9" * 19, "9" * 100_000, "-" + "9" * 40]
)
def test_what_is_far_out_of_range_stays_out_of_range(value):
    assert not -(2**31) <= dialects.to_integer(value) < 2**31


@pytest.mark.parametrize("value", [None, [], {}, [1]])
def test_nothing_else_converts(value):
    assert dialects.to_integer(value) is None


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([int, float, str]))
def test_a_number_means_the_same_in_each_spelling(number, spelling):
    assert dialects.to_integer(spelling(number)) == number


# JSON


def test_data_become_json():
    value = {"a": [b"x\xff", "y", None, True, 1, 1.5], "b": {"c": b""}}
    assert dialects.to_json(value) == {"a": ["x\ufffd", "y", None, True, 1, 1.5], "b": {"c": ""}}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_has_finite_numbers_only(number):
    with pytest.raises(ValueError, match="finite"):
        dialects.to_json([{"a": number}])

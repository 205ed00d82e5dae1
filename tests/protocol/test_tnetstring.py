"""Tnetstrings: publishing.md 4.1."""

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gripproxy.errors import PacketError
from gripproxy.protocol import tnetstring
from gripproxy.protocol.tnetstring import DEPTH_MAX, decode, encode

INTEGERS = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=20),
)
KEYS = st.one_of(st.text(), st.sampled_from(["channel", "formats", "items", "id"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def nested(depth, innermost=b""):
    for _ in range(depth):
        innermost = b"%d:%b]" % (len(innermost), innermost)
    return innermost


def refused(message):
    with pytest.raises(PacketError) as caught:
        decode(message)
    return caught.value.text == "tnetstring parse failed"


# Round trips


@given(VALUES)
def test_what_is_encoded_decodes(value):
    assert decode(encode(value)) == value


@given(VALUES)
def test_types_survive(value):
    assert repr(decode(encode(value))) == repr(value)


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (b"0:,", b""),
        (b"3:a:b,", b"a:b"),
        (b"2:\xff\x00,", b"\xff\x00"),
        (b"2:42#", 42),
        (b"2:-7#", -7),
        (b"3:1.5^", 1.5),
        (b"4:true!", True),
        (b"5:false!", False),
        (b"0:~", None),
        (b"0:}", {}),
        (b"0:]", []),
        (b"8:1:a,1:b,]", [b"a", b"b"]),
        (b"8:1:a,1:b,}", {"a": b"b"}),
        (
            b"62:7:channel,1:c,7:formats,34:11:http-stream,15:7:content,2:x;,}}}",
            {"channel": b"c", "formats": {"http-stream": {"content": b"x;"}}},
        ),
    ],
)
def test_each_type_has_one_spelling(message, value):
    assert decode(message) == value
    assert encode(value) == message


@pytest.mark.parametrize("size", [9, 10, 99, 100, 999, 1000, 12345])
def test_strings_of_any_size_stand_in_dicts_and_lists(size):
    value = {"k" * size: b"v" * size, "l": [b"v" * size, b""]}
    assert decode(encode(value)) == value


# What is read beyond that


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (b"003:abc,", b"abc"),
        (b"+3:abc,", b"abc"),
        (b"  3 :abc,", b"abc"),
        (b" +03:abc,", b"abc"),
        (b"-0:,", b""),
        (b"0" * 5000 + b"1:a,", b"a"),
        (b"10:01:a,+1:b,]", [b"a", b"b"]),
        (b"10:01:a,+1:b,}", {"a": b"b"}),
        (b"10: 1:a,01:b,}", {"a": b"b"}),
        (b"12:001:a,001:b,}", {"a": b"b"}),
        (b"1:x~", None),
        (b"3:+12#", 12),
        (b"3: 12#", 12),
        (b"3:007#", 7),
        (b"1:5^", 5.0),
        (b"2:5.^", 5.0),
        (b"2:.5^", 0.5),
        (b"5:-1e-3^", -0.001),
        (b"4: +1 ^", 1.0),
        (b"19:9223372036854775807#", 2**63 - 1),
        (b"20:-9223372036854775808#", -(2**63)),
    ],
)
def test_input_may_be_written_freely(message, value):
    assert decode(message) == value


def test_what_follows_the_outermost_value_is_ignored():
    assert decode(b"1:a,anything") == b"a"


def test_a_message_may_begin_anywhere():
    assert decode(b"T1:a,", 1) == b"a"


def test_the_last_of_repeated_keys_wins():
    assert decode(b"16:1:a,1:b,1:a,1:c,}") == {"a": b"c"}


def test_keys_become_text_with_marks_for_what_is_not_utf8():
    assert decode(b"9:2:\xc3\xa9,1:b,}") == {"é": b"b"}
    assert decode(b"9:2:\xff!,1:b,}") == {"\ufffd!": b"b"}


# What is refused


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b":",
        b":,",
        b"3",
        b"3:",
        b"a",
        b"a:,",
        b"1_0:aaaaaaaaaa,",
        b"-1:a,",
        b"+ 1:a,",
        b"1 1:aaaaaaaaaaa,",
        b"\t1:a,",
        b"\xd9\xa1:a,",
        b'{"channel": "c"}',
        b"9" * 5000 + b":a,",
        b"18446744073709551617:a,",
    ],
)
def test_a_size_that_is_none_is_refused(message):
    assert refused(message)


@pytest.mark.parametrize("message", [b"3:ab", b"3:abc", b"1:", b"99999999999:a,", b"0:"])
def test_a_value_that_is_cut_short_is_refused(message):
    assert refused(message)


@given(VALUES)
def test_no_beginning_of_a_message_is_a_message(value):
    message = encode(value)
    assert all(refused(message[:length]) for length in {0, 1, len(message) // 2, len(message) - 1})


@pytest.mark.parametrize(
    "message",
    [
        b"3:9:a]",
        b"3:9:a}",
        b"4:2:ab]",
        b"4:2:ab}",
        b"6:1:a,1:]1:,",
        b"6:1:a,9:}",
        b"7:1:a,2:b},,,,",
        b"1:a]",
        b"1:a}",
        b"2:ab]",
        b"3:abc]",
        b"5:1:a,1}1:,",
        b"6:1:a,12}:,,,,,,,,,,,,,,,,",
        b"7:1:a,123}:",
    ],
)
def test_a_value_that_is_longer_than_its_container_is_refused(message):
    assert refused(message)


@pytest.mark.parametrize("message", [b"4:1:a,}", b"8:1:a#1:b,}", b"8:1:1#1:b,}", b"7:0:~1:b,}"])
def test_a_key_needs_to_be_a_string_and_to_have_a_value(message):
    assert refused(message)


@pytest.mark.parametrize("message", [b"1:a?", b"0:\x00", b"1:a;", b"4:1:a?]", b"8:1:a,1:b?}"])
def test_an_unknown_type_is_refused(message):
    assert refused(message)


@pytest.mark.parametrize(
    "text",
    [b"", b"a", b"1.5", b"1_0", b"0x1", b"--1", b"9223372036854775808", b"-9223372036854775809",
     b"9" * 5000],
)  # fmt: skip
def test_an_integer_needs_to_be_decimal_and_of_64_bits(text):
    assert refused(b"%d:%b#" % (len(text), text))


@pytest.mark.parametrize("text", [b"", b".", b"nan", b"inf", b"1e999", b"1e", b"0x1p1", b"1_0.0"])
def test_a_float_needs_to_be_decimal_and_finite(text):
    assert refused(b"%d:%b^" % (len(text), text))


@pytest.mark.parametrize("text", [b"", b"True", b"1", b" true", b"falsey"])
def test_a_bool_is_exactly_true_or_false(text):
    assert refused(b"%d:%b!" % (len(text), text))


def test_an_error_in_an_unknown_member_loses_the_message():
    assert refused(b"18:1:x,1:a#7:channel,}")


def test_values_may_be_nested_up_to_the_limit():
    found = decode(nested(DEPTH_MAX))
    for _ in range(DEPTH_MAX - 1):
        (found,) = found
    assert found == []


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 2000])
def test_deeper_nesting_is_refused(depth):
    assert refused(nested(depth))


def test_deeper_nesting_of_dicts_is_refused():
    message = b"0:}"
    for _ in range(DEPTH_MAX):
        message = b"%d:1:a,%b}" % (len(message) + 4, message)
    assert refused(message)


@given(st.binary())
@example(b"1:1:")
def test_no_message_raises_anything_else(message):
    with contextlib.suppress(PacketError):
        decode(message)


@given(VALUES, st.data())
def test_no_damaged_message_raises_anything_else(value, draw):
    message = bytearray(encode(value))
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(message) - 1))
        message[place] = draw.draw(st.sampled_from(b"0129:,#^!~}]+- .\xff"))
    with contextlib.suppress(PacketError):
        decode(bytes(message))


# Output


def test_text_goes_out_as_utf8():
    assert encode({"é": "ü"}) == b"10:2:\xc3\xa9,2:\xc3\xbc,}"


def test_a_tuple_goes_out_as_a_list():
    assert encode((1, b"a")) == encode([1, b"a"])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, math.inf, math.nan])
def test_a_number_that_no_peer_could_read_is_refused(value):
    with pytest.raises(PacketError, match="number"):
        encode([value])


def test_text_without_utf8_is_refused():
    with pytest.raises(PacketError, match="text"):
        encode("\ud800")


def test_output_that_no_peer_could_read_for_its_depth_is_refused():
    value = []
    for _ in range(DEPTH_MAX):
        value = [value]
    with pytest.raises(PacketError, match="deeply"):
        encode(value)
    assert decode(encode(value[0])) == value[0]
    assert tnetstring.DEPTH_MAX == 64

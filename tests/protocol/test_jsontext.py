"""JSON with three liberties: publishing.md 4.2."""

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import PacketError
from gripproxy.protocol.jsontext import DEPTH_MAX, decode, encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def refused(text):
    with pytest.raises(PacketError) as caught:
        decode(text)
    return caught.value.text == "json parse failed"


def depth(value):
    found = 0
    while value:
        found += 1
        value = value[0] if isinstance(value, list) else value["a"]
    return found + 1


# Strict JSON


@given(VALUES)
def test_what_is_encoded_decodes(value):
    assert decode(encode(value)) == value


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_json_of_others_decodes(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert decode(text.encode()) == value


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r\n"])
def test_blanks_around_a_value_are_skipped(blank):
    assert decode(blank + b"[1 , 2]" + blank) == [1, 2]


def test_a_byte_order_mark_is_skipped():
    assert decode(b"\xef\xbb\xbf {}") == {}


def test_the_last_of_repeated_keys_wins():
    assert decode(b'{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}


def test_integers_stay_exact():
    assert decode(b"[9007199254740993, -123456789012345678901234567890]") == [
        9007199254740993,
        -123456789012345678901234567890,
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"]",
        b'"',
        b'"abc',
        b'"abc\\',
        b'"abc\\"',
        b"nul",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"[1,]",
        b'{"a":1,}',
        b"{1: 2}",
        b"{'a': 1}",
        b"01",
        b"-",
        b"+1",
        b".5",
        b"1e",
        b"1..",
        b"01.",
        b"1 2",
        b"{} x",
        b"\x00{}",
        b"{}\x00",
        b"\x0b1",
        b"\xef\xbb\xbf\xef\xbb\xbf1",
        b'"\\u12"',
        b'"\\u12g4"',
        b'"\\uD83"',
        b"\\n",
        b"[1] // comment",
    ],
)
def test_what_is_no_json_is_refused(text):
    assert refused(text)


@pytest.mark.parametrize("text", [b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b"\xfe\xff\x001"])
def test_what_is_not_utf8_is_refused(text):
    assert refused(text)


@pytest.mark.parametrize(
    "text", [b"1e999", b"[-1e999]", b"1" + b"0" * 309, b"-" + b"9" * 400, b"9" * 5000, b"1e999."]
)
def test_a_number_that_overflows_a_double_is_refused(text):
    assert refused(text)


def test_a_long_integer_that_fits_a_double_is_exact():
    assert decode(b"1" + b"0" * 307 + b"1") == 10**308 + 1


# Liberties


@pytest.mark.parametrize("control", [chr(code) for code in range(32)])
def test_raw_control_characters_in_strings_are_accepted(control):
    assert decode(f'["a{control}b"]'.encode()) == [f"a{control}b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\x41\ "', "x41 "),
        (rb'"\\x"', r"\x"),
        (rb'"\\\x\""', '\\x"'),
        (rb'["\'", "\a"]', ["'", "a"]),
        ('"\\é\\€"'.encode(), "é€"),
        (b'"a\\\nb"', "a\nb"),
        (rb'{"\k": "\n\u00e9\z"}', {"k": "\néz"}),
    ],
)
def test_an_unknown_escape_is_its_character(text, value):
    assert decode(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1.", 1.0),
        (b"[-0., 2. ,3.]", [0.0, 2.0, 3.0]),
        (b'{"a": 20.}', {"a": 20.0}),
        (b'["1.", 1., "\\"1."]', ["1.", 1.0, '"1.']),
    ],
)
def test_a_number_may_end_in_a_point(text, value):
    assert decode(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud800"', "\ufffd"),
        (rb'"a\uDFFFb"', "a\ufffdb"),
        (rb'"\ud800\ud800"', "\ufffd\ufffd"),
        (rb'"\udc00\ud800"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud800\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud800"', r"\ud800"),
        (rb'"\\\ud800\x"', "\\\ufffdx"),
        (rb'{"\ud800": 1}', {"\ufffd": 1}),
    ],
)
def test_lone_surrogates_are_replaced(text, value):
    assert decode(text) == value


# Depth


@pytest.mark.parametrize("count", [900, 999, 1000, DEPTH_MAX])
def test_values_may_be_nested_up_to_the_limit(count):
    assert depth(decode(b"[" * count + b"]" * count)) == count
    assert depth(decode(b'{"a":' * (count - 1) + b"{}" + b"}" * (count - 1))) == count


@pytest.mark.parametrize("count", [DEPTH_MAX + 1, 100_000])
def test_deeper_nesting_is_refused(count):
    assert refused(b"[" * count + b"]" * count)
    assert refused(b'{"a":' * count + b"1" + b"}" * count)


def test_brackets_in_strings_do_not_count():
    text = b"[" * 1000 + b'"' + b"\\[" * 100 + b'"' + b"]" * 1000
    assert decode(text)


def test_the_interpreter_keeps_its_own_limit():
    before = sys.getrecursionlimit()
    decode(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    assert refused(b"[" * DEPTH_MAX)
    assert sys.getrecursionlimit() == before


def test_deep_values_are_encoded():
    text = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert encode(decode(text)) == text


# Anything


@given(st.binary() | st.text('[]{}",:.0123456789eE-\\ud8x\n\ud7ffnultrefase').map(str.encode))
def test_no_text_raises_anything_else(text):
    try:
        value = decode(text)
    except PacketError:
        return
    encode(value)


@given(st.text('[]{}",:.0123456789eE-\\ud8x ').map(str.encode))
def test_the_liberties_change_nothing_in_strict_json(text):
    try:
        value = json.loads(text, parse_constant=pytest.fail)
    except ValueError:
        return
    if "\\ud" not in text.decode().lower() and "inf" not in repr(value):
        assert decode(text) == value


# Output


def test_output_is_compact_utf8_in_the_order_given():
    assert encode({"b": [1, "é\n"], "a": None}) == '{"b":[1,"é\\n"],"a":null}'.encode()


def test_keys_are_sorted_on_request():
    assert encode({"b": 1, "B": {"z": 1, "é": 2, "a": 3}}, sort_keys=True) == (
        '{"B":{"a":3,"z":1,"é":2},"b":1}'.encode()
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], "\ud800"])
def test_what_has_no_json_text_is_refused(value):
    with pytest.raises(PacketError, match="no JSON"):
        encode(value)


def test_a_circle_is_refused():
    value = []
    value.append(value)
    with pytest.raises(PacketError, match="no JSON"):
        encode(value)


def test_what_is_far_too_deep_is_refused():
    value = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(PacketError, match="no JSON"):
        encode(value)

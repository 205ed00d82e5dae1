"""Header fields, lists, parameters, dates."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gripproxy.protocol import headers
from gripproxy.protocol.headers import Headers, Name

TYPE = (b"Content-Type", b"text/plain")
HOLD = (b"grip-HOLD", b"stream")
A1 = (b"X-A", b"1")
A2 = (b"x-a", b"2")


# Names


def test_a_name_knows_its_spelling_its_lower_case_and_its_line():
    name = Name(b"X-Thing")
    assert (name.text, name.lower, name.line, name.mark) == (
        b"X-Thing",
        b"x-thing",
        b"X-Thing: ",
        0,
    )


def test_a_name_says_what_it_is():
    assert repr(Name(b"Host")) == "Name(b'Host')"


def test_a_spelling_has_one_name():
    assert headers.name(b"X-One") is headers.name(b"X-One")


def test_names_that_differ_in_case_are_two():
    assert headers.name(b"X-One") is not headers.name(b"x-one")


def test_a_very_long_name_is_not_kept():
    assert headers.name(b"x" * 65) is not headers.name(b"x" * 65)


def test_new_names_are_not_kept_when_the_table_is_full(monkeypatch):
    monkeypatch.setattr(headers, "_NAMES_MAX", 0)
    assert headers.name(b"X-Never-Seen") is not headers.name(b"X-Never-Seen")


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (b"HOST", headers.HOST),
        (b"Keep-Alive", headers.HOP),
        (b"Grip-", headers.GRIP),
        (b"grip-foo", headers.GRIP),
        (b"Grip", 0),
        (b"eb9bf0f5-host", headers.MARKED),
        (b"Sec-WebSocket-Key", headers.WEBSOCKET),
        (b"X-Grip-Hold", 0),
    ],
)
def test_a_name_is_marked_if_the_proxy_cares(text, mark):
    assert Name(text).mark == mark


# Headers


def test_fields_keep_order_spelling_and_number():
    assert list(Headers([A1, TYPE, A2])) == [A1, TYPE, A2]


def test_fields_are_counted():
    assert len(Headers([A1, A2])) == 2


def test_marks_are_those_of_all_names():
    assert Headers([A1, TYPE, HOLD]).marks == headers.CONTENT_TYPE | headers.GRIP


def test_fields_with_known_marks_are_wrapped_as_they_are():
    whole = Headers([TYPE])
    assert Headers.of(whole.fields, whole.marks) == whole


def test_headers_are_equal_if_their_fields_are():
    assert Headers([A1]) == Headers([A1])


def test_spelling_makes_headers_differ():
    assert Headers([(b"A", b"")]) != Headers([(b"a", b"")])


def test_headers_equal_nothing_else():
    assert Headers([A1]) != [A1]


def test_headers_are_no_key():
    with pytest.raises(TypeError):
        hash(Headers())


def test_headers_say_what_they_are():
    assert repr(Headers([A1])) == "Headers([(b'X-A', b'1')])"


def test_the_first_value_of_a_name_is_got():
    assert Headers([TYPE, A1, A2]).get(b"x-a") == b"1"


def test_the_value_of_a_name_that_is_not_there_is_none():
    assert Headers([TYPE]).get(b"x-a") is None


def test_all_values_of_a_name_are_got_in_order():
    assert Headers([A1, TYPE, A2]).get_all(b"x-a") == [b"1", b"2"]


def test_a_name_is_there_in_any_spelling():
    assert Headers([HOLD]).has(b"grip-hold")


def test_a_name_that_is_not_there_is_not():
    assert not Headers([HOLD]).has(b"grip")


def test_names_are_taken_off():
    assert Headers([A1, TYPE, A2]).without(b"x-a", b"x-b") == Headers([TYPE])


def test_taking_a_name_off_clears_its_mark():
    assert Headers([A1, TYPE]).without(b"content-type").marks == 0


def test_marked_fields_are_taken_off():
    assert Headers([HOLD, A1, TYPE]).without_marks(headers.GRIP) == Headers([A1, TYPE])


def test_taking_marked_fields_off_clears_the_mark():
    rest = Headers([HOLD, TYPE]).without_marks(headers.GRIP | headers.DATE)
    assert rest.marks == headers.CONTENT_TYPE


def test_headers_without_the_mark_stay_the_same_object():
    whole = Headers([A1])
    assert whole.without_marks(headers.GRIP) is whole


def test_fields_are_added_at_the_end():
    assert Headers([A1]).plus(TYPE, A2) == Headers([A1, TYPE, A2])


def test_added_fields_bring_their_marks():
    assert Headers([TYPE]).plus(HOLD).marks == headers.CONTENT_TYPE | headers.GRIP


def test_adding_leaves_the_original_alone():
    whole = Headers([A1])
    whole.plus(A2)
    assert whole == Headers([A1])


def test_a_field_is_replaced_by_one_at_the_end():
    assert Headers([A1, TYPE, A2]).replaced(b"X-a", b"3") == Headers([TYPE, (b"X-a", b"3")])


def test_fields_are_written_as_lines():
    assert Headers([A1, (b"E", b"")]).encode() == b"X-A: 1\r\nE: \r\n"


def test_no_fields_are_no_lines():
    assert Headers().encode() == b""


# Grammar


@pytest.mark.parametrize("text", [b"a", b"X-A1", b"!#$%&'*+-.^_`|~"])
def test_a_token_is_a_token(text):
    assert headers.is_token(text)


@pytest.mark.parametrize("text", [b"", b"a b", b"a:", b"a\n", b"\xc3\xa9", b'"a"', b"a\x00"])
def test_what_is_no_token_is_none(text):
    assert not headers.is_token(text)


@pytest.mark.parametrize("text", [b"", b"a\tb", b"\xff", b'"'])
def test_a_value_may_have_tabs_and_any_high_byte(text):
    assert headers.is_value(text)


@pytest.mark.parametrize("text", [b"a\r\nb", b"\n", b"\r", b"\x00", b"\x1f", b"\x7f"])
def test_a_value_has_no_control_bytes(text):
    assert not headers.is_value(text)


def test_tokens_of_all_fields_are_lower_case_and_never_empty():
    assert headers.tokens([b"Close , ,x", b"", b"Keep-Alive"]) == [b"close", b"x", b"keep-alive"]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"", []),
        (b" \t", []),
        (b"a", [b"a"]),
        (b"a,", [b"a"]),
        (b"a, ", [b"a"]),
        (b", a", [b"", b"a"]),
        (b"a,,b", [b"a", b"", b"b"]),
        (b"a ,\tb", [b"a", b"b"]),
        (b'"a,b",c', [b'"a,b"', b"c"]),
        (b'x"a,b"y,c', [b'x"a,b"y', b"c"]),
        (b'"a\\",b",c', [b'"a\\",b"', b"c"]),
        (b'a,"b,c', [b"a", b'"b,c']),
        (b'a,"b\\', [b"a", b'"b\\']),
        (b'a\\,"b"', [b"a\\", b'"b"']),
        (b'"",', [b'""']),
        (b'"a\n,b"', [b'"a\n,b"']),
        (b"</a,b>;c", [b"</a", b"b>;c"]),
    ],
)
def test_a_list_is_split_at_commas_outside_of_quotes(value, parts):
    assert headers.split_list([value]) == parts


def test_the_fields_of_a_list_are_one_list():
    assert headers.split_list([b"a, b", b"", b"c,"]) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"</a,b>; rel=next, </c>", [b"</a,b>; rel=next", b"</c>"]),
        (b"</a;b,c>, d", [b"</a;b,c>", b"d"]),
        (b' <"a,b>,c', [b'<"a,b>', b"c"]),
        (b'<a>; t="x,y", b', [b'<a>; t="x,y"', b"b"]),
        # What is not closed, or does not begin the part, is no URI.
        (b"</a, <b>", [b"</a", b"<b>"]),
        (b"<a>; t=<x,y>", [b"<a>; t=<x", b"y>"]),
        (b"<a", [b"<a"]),
        (b"", []),
    ],
)
def test_commas_of_a_uri_in_angles_belong_to_it(value, parts):
    assert headers.split_list([value], angles=True) == parts


@pytest.mark.parametrize(
    ("part", "value", "parameters"),
    [
        (b" a ", b"a", []),
        (b"a;", b"a", []),
        (b"a; ; ;", b"a", []),
        (b"a; b=c", b"a", [(b"b", b"c")]),
        (b"a;B = c d ;e", b"a", [(b"B", b"c d"), (b"e", None)]),
        (b"a; b=", b"a", [(b"b", b"")]),
        (b"a; =b", b"a", [(b"", b"b")]),
        (b'"a;b"', b'"a', [(b'b"', None)]),
        (b'a; b="c;d"; e=f', b"a", [(b"b", b"c;d"), (b"e", b"f")]),
        (b'a; b="c\\"\\\\\\d"', b"a", [(b"b", b'c"\\d')]),
        (b'a; b="c" junk=1; e=f', b"a", [(b"b", b"c"), (b"e", b"f")]),
        (b'a; b= "c"', b"a", [(b"b", b'"c"')]),
        (b'a; b=""', b"a", [(b"b", b"")]),
        (b"a; b=c\\", b"a", [(b"b", b"c\\")]),
        (b"a; b; c=d=e", b"a", [(b"b", None), (b"c", b"d=e")]),
        (b"; b=c", b"", [(b"b", b"c")]),
    ],
)
def test_a_part_is_its_value_and_its_parameters(part, value, parameters):
    assert headers.split_parameters(part) == (value, parameters)


@pytest.mark.parametrize("part", [b'a; b="c', b'a; b="', b'a; b="c\\', b'a; b="c\\"; d=e'])
def test_a_quote_that_is_not_closed_spoils_the_part(part):
    assert headers.split_parameters(part) is None


@pytest.mark.parametrize(
    ("part", "value", "parameters"),
    [
        (b"</a;b>; rel=next", b"</a;b>", [(b"rel", b"next")]),
        (b"</a;b>", b"</a;b>", []),
        (b"</a;b", b"</a", [(b"b", None)]),
        (b"a<;>", b"a<", [(b">", None)]),
    ],
)
def test_semicolons_of_a_uri_in_angles_belong_to_it(part, value, parameters):
    assert headers.split_parameters(part, angles=True) == (value, parameters)


def test_a_parameter_is_found_in_any_case():
    assert headers.parameter([(b"x", b"0"), (b"Rel", b"1"), (b"rel", b"2")], b"rel") == b"1"


def test_a_parameter_that_is_not_there_is_none():
    assert headers.parameter([(b"x", b"0")], b"rel") is None


@given(st.binary(), st.booleans())
@example(b'"\\', False)
def test_any_list_is_split_and_nothing_of_it_is_lost(value, angles):
    parts = headers.split_list([value], angles=angles)
    bare = value.translate(None, b", \t")
    assert b"".join(parts).translate(None, b", \t") == bare


@given(st.binary(), st.booleans())
def test_any_part_is_read_or_dropped(part, angles):
    found = headers.split_parameters(part, angles=angles)
    assert found is None or part.strip(b" \t").startswith(found[0])


QUOTABLE = st.binary(max_size=20)


@given(QUOTABLE)
def test_a_quoted_value_comes_back(value):
    quoted = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    assert headers.split_parameters(b'a; b="%b"' % quoted) == (b"a", [(b"b", value)])


# Dates


def test_a_date_is_written_as_http_wants_it():
    assert headers.format_date(784111777.9) == b"Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"sun, 06 NOV 1994 08:49:37 gmt",
        b"Sun Nov 06 08:49:37 1994",
    ],
)
def test_a_date_is_read_in_each_of_its_three_forms(value):
    assert headers.parse_date(value) == 784111777


def test_two_digits_of_a_year_may_be_of_this_century():
    assert headers.parse_date(b"Friday, 01-Jan-69 00:00:00 GMT") == 3124224000


def test_a_leap_second_is_the_next_minute():
    assert headers.parse_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == 1483228800


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"-1",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 06 Nov 1994  08:49:37 GMT",
        b"Sun 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Xyz 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b"\xff",
    ],
)
def test_what_is_no_date_is_none(value):
    assert headers.parse_date(value) is None


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_a_date_comes_back(seconds):
    assert headers.parse_date(headers.format_date(seconds)) == seconds


@given(st.binary())
def test_any_bytes_are_a_date_or_none(value):
    assert headers.parse_date(value) is None

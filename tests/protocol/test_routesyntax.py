"""A line of the routes file, character by character."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RouteError
from gripproxy.protocol import routesyntax
from gripproxy.protocol.routesyntax import Section


def split(text):
    return routesyntax.split(text, "routes", 3)


def refused(text):
    with pytest.raises(RouteError) as caught:
        split(text)
    assert (caught.value.file, caught.value.line) == ("routes", 3)
    return caught.value.text


def quote(text):
    """Write a text so that it is one part of a section."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


@pytest.mark.parametrize("text", ["", "   ", "# a b", "   #a b", "#"])
def test_a_blank_line_or_a_comment_has_no_sections(text):
    assert routesyntax.is_blank(text)
    assert split(text) == []


@pytest.mark.parametrize("text", ["a", "  a", '""', ",", "\t", "\t# a"])
def test_anything_else_is_not_blank(text):
    assert not routesyntax.is_blank(text)


@pytest.mark.parametrize("text", ["a b c", "  a   b c  ", "a b c# d", "a b c # d", "a b c #"])
def test_blanks_separate_sections_and_a_comment_ends_them(text):
    assert split(text) == [Section("a", ()), Section("b", ()), Section("c", ())]


def test_a_tab_is_an_ordinary_character():
    assert split("a\tb") == [Section("a\tb", ())]


def test_props_follow_commas_in_order():
    assert split("a,b=1,c,b=2 d,e=") == [
        Section("a", (("b", "1"), ("c", ""), ("b", "2"))),
        Section("d", (("e", ""),)),
    ]


def test_a_prop_is_split_at_its_first_equals_sign():
    assert split("a,b=c=d") == [Section("a", (("b", "c=d"),))]


@pytest.mark.parametrize("text", ["b=1,c=2", ",b=1,c=2", "   b=1,c=2", '"b=1",c=2', '"",b=1,c=2'])
def test_a_condition_may_do_without_its_first_part(text):
    assert split(text) == [Section("", (("b", "1"), ("c", "2")))]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"/a b"', "/a b"),
        ('"/a,b"', "/a,b"),
        ('"/a#b"', "/a#b"),
        ('/a"x"b', "/axb"),
        ('/a"x"b"y"', "/axby"),
        (r'"/a\"b"', '/a"b'),
        (r'"/a\\b"', r"/a\b"),
        (r"/a\b", r"/a\b"),
        ("/a\\", "/a\\"),
        ('""', ""),
        ('"a=b"', "a=b"),
    ],
)
def test_quotes_join_with_what_stands_beside_them(written, value):
    assert split(f"h,p={written}") == [Section("h", (("p", value),))]


def test_quotes_may_stand_around_name_and_value():
    assert split('h,"p=/q r"') == [Section("h", (("p", "/q r"),))]


def test_a_quoted_first_part_is_one():
    assert split('"a b" c') == [Section("a b", ()), Section("c", ())]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('a,p="/a', "unterminated quoted section"),
        ('a,p="', "unterminated quoted section"),
        ('a,p="/a\\"', "unterminated quoted section"),
        ('a,p="/a\\', "unterminated escape sequence"),
        ('a,p="/a\\nb"', "unexpected escape character: n"),
        ("a,", "expecting prop"),
        ("a, b", "expecting prop"),
        ("a,,b=1", "expecting prop"),
        ("a,#b", "expecting prop"),
        ('a,"" b', "expecting prop"),
        ("a b,", "expecting prop"),
        ("a b=1", "expecting prop"),
        ('a "b=1"', "expecting prop"),
        ("a,=v", "empty prop name"),
        ("=v", "empty prop name"),
        ('a,"=v"', "empty prop name"),
    ],
)
def test_what_does_not_parse_is_refused(text, error):
    assert refused(text) == error


NAMES = st.text(min_size=1).filter(lambda text: "=" not in text)
PROPS = st.lists(st.tuples(NAMES, st.text())).map(tuple)
FIRSTS = st.text().filter(lambda text: "=" not in text)
SECTIONS = st.lists(st.builds(Section, FIRSTS, PROPS))


@given(SECTIONS, st.integers(1, 3), st.booleans())
def test_what_is_quoted_is_read_as_it_was(sections, blanks, commented):
    written = [
        ",".join([quote(section.first)] + [quote(f"{n}={v}") for n, v in section.props])
        for section in sections
    ]
    text = (" " * blanks).join(written) + ("# x" if commented else "")
    assert split(text) == sections


@given(st.one_of(st.text(), st.text('ab=,#" \\\t')))
def test_no_line_raises_anything_else(text):
    try:
        sections = split(text)
    except RouteError:
        return
    assert bool(sections) is not routesyntax.is_blank(text)

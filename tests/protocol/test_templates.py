"""The template language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import FilterError
from gripproxy.protocol import templates
from gripproxy.protocol.templates import ARGUMENT_MAX, Template


def show(letter, argument):
    """Any letter but X shows itself and its argument."""
    if letter == "X":
        raise FilterError("No X")
    return f"<{letter}:{argument}>".encode()


def only_i(letter, argument):
    assert letter == "I"
    return f"<{argument}>".encode()


def expand(content):
    return templates.expand(content, show)


def expand_leniently(content):
    return templates.expand(content, only_i, only=b"I")


def in_pieces(pieces, directive, only):
    template = Template(directive, only=only)
    done = [template.expand(piece, last=False) for piece in pieces]
    return b"".join([*done, template.expand(b"", last=True)])


def outcome(work, *arguments):
    try:
        return work(*arguments)
    except FilterError as error:
        return error.text


def test_content_without_directives_stays_the_same_object():
    content = b"plain (text) \\"
    assert expand(content) is content


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"100%%", b"100%"),
        (b"%%I", b"%I"),
        (b"%I", b"<I:None>"),
        (b"a%Ib%Jc", b"a<I:None>b<J:None>c"),
        (b"%(a b)I", b"<I:a b>"),
        (b"%()I", b"<I:>"),
        (b"%(a\\)b\\\\\\c)I", b"<I:a)b\\c>"),
        (b"%(%(a)I", b"<I:%(a>"),
        ("%(é)I".encode(), "<I:é>".encode()),
        (b"%(\xff)I", "<I:\ufffd>".encode()),
        (b"%(a\nb)I)", b"<I:a\nb>)"),
        (b"%(a)%(b)I", b"<%:a>(b)I"),
        (b"%5", b"<5:None>"),
    ],
)
def test_directives_are_replaced(content, text):
    assert expand(content) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a%", "Expected directive after '%' at position 1"),
        (b"a%(", "Expected character after '(' at position 2"),
        (b"a%(b", "Unterminated field starting at position 2"),
        (b"a%(b\\", "Expected character after '\\' at position 4"),
        (b"a%(b\\)", "Unterminated field starting at position 2"),
        (b"a%(b)", "Expected directive after ')' at position 4"),
        (b"ab%X", "No X at position 3"),
        (b"ab%(cd)X%", "No X at position 7"),
        (b"%", "Expected directive after '%' at position 0"),
    ],
)
def test_an_error_says_where_it_is(content, text):
    with pytest.raises(FilterError) as caught:
        expand(content)
    assert caught.value.text == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"%I %%", b"<None> %"),
        (b"50% off, %d, %(x)s %", b"50% off, %d, %(x)s %"),
        (b"%(x%I)s", b"%(x<None>)s"),
        (b"%(x%(y)I", b"<x%(y>"),
        (b"%(x%(y)s%(z)I", b"%(x%(y)s<z>"),
        (b"%(\\%(x)s%(y)I", b"%(\\%(x)s<y>"),
        (b"%(x", b"%(x"),
        (b"%(x\\", b"%(x\\"),
        (b"%(x)", b"%(x)"),
    ],
)
def test_what_is_no_directive_may_stay(content, text):
    assert expand_leniently(content) == text


def test_the_longest_argument_is_one():
    long = b"x" * ARGUMENT_MAX
    assert expand(b"%(" + long + b")I") == b"<I:" + long + b">"


def test_a_longer_argument_is_none():
    content = b"a%(" + b"x" * (ARGUMENT_MAX + 1) + b")I"
    assert outcome(expand, content) == "Unterminated field starting at position 2"
    assert expand_leniently(content) == content


def test_an_argument_inside_of_one_that_is_too_long_is_one():
    long = b"%(" + b"x" * ARGUMENT_MAX
    assert expand_leniently(long + b"%(y)I") == long + b"<y>"


def test_an_unfinished_directive_waits_for_the_next_piece():
    template = Template(show)
    assert template.expand(b"a%(b", last=False) == b"a"
    assert template.expand(b"c)", last=False) == b""
    assert template.expand(b"Id", last=False) == b"<I:bc>d"
    assert template.expand(b"", last=True) == b""


def test_places_are_counted_over_all_pieces():
    template = Template(show)
    template.expand(b"abc%", last=False)
    with pytest.raises(FilterError, match="No X at position 4"):
        template.expand(b"X", last=False)


def test_what_is_kept_of_a_directive_is_bounded():
    template = Template(only_i, only=b"I")
    kept = 0
    for _ in range(20):
        kept += 1000 - len(template.expand(b"%(" + b"x" * 998, last=False))
        assert kept <= ARGUMENT_MAX + 1000


HOSTILE = st.lists(
    st.sampled_from(
        [b"%", b"%(", b"(", b")", b"\\", b"I", b"X", b"%I", b"%%", b")I", b"a", b"\xff"]
    )
).map(b"".join)


@given(HOSTILE)
def test_any_content_expands_or_is_an_error(content):
    outcome(expand, content)
    assert isinstance(expand_leniently(content), bytes)


@given(st.lists(HOSTILE), st.sampled_from([(show, b""), (only_i, b"I")]))
def test_pieces_expand_as_the_whole_does(pieces, mode):
    directive, only = mode
    whole = outcome(lambda: templates.expand(b"".join(pieces), directive, only=only))
    assert outcome(in_pieces, pieces, directive, only) == whole


@given(st.lists(st.sampled_from([b"%(", b"x" * 3000, b")I", b"\\"])), st.integers(1, 5000))
def test_pieces_of_long_arguments_expand_as_the_whole_does(parts, size):
    content = b"".join(parts)
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    assert in_pieces(pieces, only_i, b"I") == expand_leniently(content)


@given(st.text(max_size=50))
def test_any_argument_can_be_written(argument):
    written = argument.replace("\\", "\\\\").replace(")", "\\)")
    assert expand(f"%({written})I".encode()) == f"<I:{argument}>".encode()

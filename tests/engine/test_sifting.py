"""What of an origin's messages is for whom."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.sifting import Sifter
from gripproxy.protocol.wsframes import BINARY, TEXT

UNPREFIXED = "dropping unprefixed message"
TOO_LONG = "control message over 65536 bytes"


def sift(*pieces, prefix=b"m:", opcode=TEXT):
    """Return what comes of the pieces of one message, one after the other."""
    sifter = Sifter(prefix)
    last = len(pieces) - 1
    return [
        sifter.sift((opcode, piece, number == 0, number == last))
        for number, piece in enumerate(pieces)
    ]


@pytest.mark.parametrize(
    ("opcode", "message", "found"),
    [
        (TEXT, b"m:hi", (TEXT, b"hi", True, True)),
        (BINARY, b"m:hi", (BINARY, b"hi", True, True)),
        (TEXT, b"c:{}", b"{}"),
        (BINARY, b"c:{}", UNPREFIXED),
        (TEXT, b"hi", UNPREFIXED),
        (TEXT, b"", UNPREFIXED),
    ],
)
def test_a_whole_message_is_judged_at_once(opcode, message, found):
    assert sift(message, opcode=opcode) == [found]


def test_pieces_go_on_as_they_come():
    assert sift(b"m:a", b"b", b"") == [
        (TEXT, b"a", True, False),
        (TEXT, b"b", False, False),
        (TEXT, b"", False, True),
    ]


def test_no_more_is_held_back_than_the_judgement_needs():
    assert sift(b"m", b":a", b"b") == [None, (TEXT, b"a", True, False), (TEXT, b"b", False, True)]


def test_all_pieces_of_a_dropped_message_are_dropped():
    assert sift(b"no", b"m:rest", b"c:{}") == [UNPREFIXED, None, None]


def test_a_control_message_is_kept_until_it_is_whole():
    assert sift(b"c", b":{", b"", b"}") == [None, None, None, b"{}"]


def test_a_control_message_may_be_as_long_as_allowed():
    assert sift(b"c:" + bytes(65_536)) == [bytes(65_536)]


def test_a_control_message_that_is_too_long_is_dropped():
    assert sift(b"c:" + bytes(65_537)) == [TOO_LONG]


def test_it_is_dropped_as_soon_as_it_is_too_long():
    assert sift(b"c:", bytes(65_537), b"more", b"end") == [None, TOO_LONG, None, None]


@pytest.mark.parametrize("first", [b"no", b"c:" + bytes(65_537), b"m:x", b"c:{}"])
def test_one_message_says_nothing_about_the_next(first):
    sifter = Sifter(b"m:")
    sifter.sift((TEXT, first, True, True))
    assert sifter.sift((TEXT, b"m:hi", True, True)) == (TEXT, b"hi", True, True)


@given(st.binary(max_size=8), st.binary(max_size=3), st.lists(st.integers(0, 8), max_size=3))
def test_where_a_message_is_cut_makes_no_difference(message, prefix, cuts):
    places = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    pieces = [message[a:b] for a, b in itertools.pairwise(places)]
    whole = sift(message, prefix=prefix)[0]
    found = [one for one in sift(*pieces, prefix=prefix) if one is not None]
    if isinstance(whole, tuple):
        assert b"".join(piece[1] for piece in found) == whole[1]
        assert [found[0][2], found[-1][3]] == [True, True]
    else:
        assert found == [whole]

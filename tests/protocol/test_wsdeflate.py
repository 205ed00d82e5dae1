"""permessage-deflate: websockets.md 1.4, 10.3; RFC 7692."""

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import FrameError
from gripproxy.protocol import wsdeflate
from gripproxy.protocol.wsdeflate import TAIL, Agreement, Inflater

CLIENT_FRESH = (b"client_no_context_takeover", None)
SERVER_FRESH = (b"server_no_context_takeover", None)


def deflated(payload, *, deflater=None, end=zlib.Z_SYNC_FLUSH):
    deflater = deflater or zlib.compressobj(wbits=-15)
    return (deflater.compress(payload) + deflater.flush(end)).removesuffix(TAIL)


def inflated(inflater, packed, room=1 << 20):
    found = [inflater.inflate(packed, room)]
    while inflater.more:
        found.append(inflater.inflate(b"", room))
    assert all(len(piece) <= room for piece in found)
    return b"".join(found)


# Agreeing with clients


def test_a_bare_offer_is_answered_with_a_fresh_start_for_each_of_our_messages():
    agreement = wsdeflate.answer([()])
    assert agreement == Agreement(fresh=False)
    assert agreement.answer == b"permessage-deflate; server_no_context_takeover"


def test_flags_are_echoed_in_one_order():
    agreement = wsdeflate.answer([(SERVER_FRESH, CLIENT_FRESH)])
    assert agreement == Agreement(fresh=True)
    assert agreement.answer == (
        b"permessage-deflate; client_no_context_takeover; server_no_context_takeover"
    )


@pytest.mark.parametrize("value", [None, b"8", b"9", b"15"])
def test_a_client_may_say_which_windows_it_can_use(value):
    assert wsdeflate.answer([((b"client_max_window_bits", value),)]) is not None


def test_a_client_may_ask_for_the_window_that_we_use():
    assert wsdeflate.answer([((b"server_max_window_bits", b"15"),)]) is not None


@pytest.mark.parametrize(
    "parameters",
    [
        ((b"client_no_context_takeover", b"1"),),
        ((b"server_no_context_takeover", b""),),
        (CLIENT_FRESH, CLIENT_FRESH),
        (CLIENT_FRESH, (b"client_no_context_takeover", b"1")),
        ((b"client_max_window_bits", b"7"),),
        ((b"client_max_window_bits", b"16"),),
        ((b"client_max_window_bits", b"08"),),
        ((b"server_max_window_bits", None),),
        ((b"server_max_window_bits", b"14"),),
        ((b"server_max_window_bits", b"x"),),
        ((b"Client_no_context_takeover", None),),
        ((b"x", None),),
    ],
)
def test_an_offer_that_cannot_be_met_is_passed_over(parameters):
    assert wsdeflate.answer([parameters]) is None
    assert wsdeflate.answer([parameters, (CLIENT_FRESH,)]) == Agreement(fresh=True)


def test_the_first_acceptable_offer_wins():
    assert wsdeflate.answer([(), (CLIENT_FRESH,)]) == Agreement(fresh=False)


def test_no_offer_is_no_agreement():
    assert wsdeflate.answer([]) is None


# Agreeing with origins


@pytest.mark.parametrize(
    ("parameters", "fresh"),
    [
        ((), False),
        ((CLIENT_FRESH,), False),
        ((SERVER_FRESH,), True),
        ((SERVER_FRESH, CLIENT_FRESH, (b"server_max_window_bits", b"10")), True),
    ],
)
def test_an_origin_may_start_afresh_and_use_a_smaller_window(parameters, fresh):
    assert wsdeflate.accept(parameters) == Agreement(fresh=fresh)


@pytest.mark.parametrize(
    "parameters",
    [
        ((b"client_max_window_bits", b"15"),),
        ((b"server_max_window_bits", None),),
        ((b"server_max_window_bits", b"16"),),
        (SERVER_FRESH, SERVER_FRESH),
        ((b"x", None),),
    ],
)
def test_an_origin_must_not_answer_what_was_not_offered(parameters):
    assert wsdeflate.accept(parameters) is None


# Compressing


@pytest.mark.parametrize("size", [wsdeflate.SMALL, 1 << 14, (1 << 14) + 1, 200_000])
def test_what_is_compressed_inflates_by_itself(size):
    payload = (b"%d," * size % tuple(range(size)))[:size]
    packed = wsdeflate.compress(payload)
    assert len(packed) < size
    assert inflated(Inflater(), packed + TAIL) == payload


@given(st.lists(st.sampled_from([b"hello ", b"world ", b"12345 "]), min_size=20))
def test_messages_inflate_whatever_came_before_them(words):
    payload = b"".join(words)
    inflater = Inflater()
    for _ in range(2):
        assert inflated(inflater, wsdeflate.compress(payload) + TAIL) == payload


def test_a_small_message_goes_as_it_is():
    assert wsdeflate.compress(b"a" * (wsdeflate.SMALL - 1)) is None


def test_a_message_that_would_grow_goes_as_it_is():
    assert wsdeflate.compress(bytes(range(256))) is None


# Inflating


@given(st.binary(), st.integers(1, 40), st.integers(1, 5))
def test_any_cut_and_any_room_give_the_same(payload, room, step):
    packed = deflated(payload * 7) + TAIL
    inflater = Inflater()
    cuts = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert b"".join(inflated(inflater, cut, room) for cut in cuts) == payload * 7


def test_a_message_may_refer_to_the_one_before():
    deflater = zlib.compressobj(wbits=-15)
    inflater = Inflater()
    first, second = (deflated(b"hello, world", deflater=deflater) for _ in range(2))
    assert len(second) < len(first)
    assert inflated(inflater, first + TAIL) == b"hello, world"
    assert inflated(inflater, second + TAIL) == b"hello, world"


def test_a_great_deal_comes_out_in_pieces_of_the_size_asked_for():
    inflater = Inflater()
    assert len(inflater.inflate(deflated(bytes(1_000_000)) + TAIL, 1_000)) == 1_000
    assert inflater.more
    assert len(inflated(inflater, b"", 1_000)) == 999_000


def test_nothing_more_is_announced_when_all_is_out():
    inflater = Inflater()
    inflater.inflate(deflated(b"hello") + TAIL, 100)
    assert not inflater.more


def test_output_that_the_library_holds_back_is_announced():
    inflater = Inflater()
    assert inflater.inflate(deflated(b"a" * 258), 10) == b"a" * 10
    assert inflater.more
    assert inflated(inflater, b"", 10) == b"a" * 248


def test_a_message_may_end_in_a_final_block():
    # The example of RFC 7692 7.2.3.4.
    packed = bytes.fromhex("f3 48 cd c9 c9 07 00 00")
    inflater = Inflater()
    assert inflated(inflater, packed + TAIL) == b"Hello"
    assert inflated(inflater, packed + TAIL) == b"Hello"
    assert inflated(inflater, deflated(b"world") + TAIL) == b"world"


def test_a_final_block_may_end_a_piece():
    inflater = Inflater()
    assert inflated(inflater, deflated(b"Hello", end=zlib.Z_FINISH)) == b"Hello"
    assert not inflater.more
    assert inflated(inflater, b"\x00" + TAIL) == b""


def test_what_follows_a_final_block_is_refused():
    packed = deflated(b"Hello", end=zlib.Z_FINISH)
    with pytest.raises(FrameError, match="behind its end") as caught:
        Inflater().inflate(packed + b"\x00\x00" + TAIL, 100)
    assert caught.value.code == 1007


def test_what_is_not_deflated_is_refused():
    with pytest.raises(FrameError, match="does not inflate") as caught:
        Inflater().inflate(b"\xff\xff\xff", 100)
    assert caught.value.code == 1007


@given(st.binary(), st.integers(1, 40))
def test_no_bytes_raise_anything_else(packed, room):
    with contextlib.suppress(FrameError):
        inflated(Inflater(), packed, room)

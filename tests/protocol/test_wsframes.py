"""WebSocket frames: websockets.md 2, 2.1, 10.2; RFC 6455 5 to 8."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gripproxy.errors import FrameError
from gripproxy.protocol import wsframes
from gripproxy.protocol.wsdeflate import TAIL, Agreement
from gripproxy.protocol.wsframes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INFLATED_MAX,
    PING,
    PONG,
    TEXT,
    Decoder,
    Role,
    encode,
    encode_close,
)

MASK = b"\x37\xfa\x21\x3d"
LARGE = 1 << 20


def from_client(opcode, payload=b"", **kwargs):
    return encode(opcode, payload, mask=MASK, **kwargs)


def reader(max_message=LARGE, role=Role.CLIENT, deflate=None):
    return Decoder(role, max_message=max_message, deflate=deflate)


def piecewise(role=Role.CLIENT, deflate=None):
    return reader(None, role, deflate)


def read(decoder, *chunks):
    """Feed one chunk after the other, and ask for more as long as there is more."""
    pieces = []
    for chunk in chunks:
        pieces += decoder.feed(chunk)
        while decoder.more:
            pieces += decoder.feed(b"")
    return pieces


def messages(pieces):
    """Join pieces to the messages that are complete: (opcode, payload)."""
    found = []
    begun = None
    for opcode, payload, first, last in pieces:
        if opcode >= CLOSE:
            assert first
            assert last
            found.append((opcode, payload))
            continue
        assert first == (begun is None)
        begun = (begun or b"") + payload
        if last:
            found.append((opcode, begun))
            begun = None
    return found


def cut(data, cuts):
    """Cut bytes at some places."""
    places = sorted({place % (len(data) + 1) for place in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def bytewise(data):
    return [bytes((byte,)) for byte in data]


def deflated(payload, deflater=None):
    deflater = deflater or zlib.compressobj(wbits=-15)
    packed = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(TAIL)


def assert_fails(decoder, code, text, *chunks):
    """Check that the chunks are refused, and only at the last; return what came before."""
    pieces = read(decoder, *chunks[:-1])
    assert decoder.error is None
    pieces += read(decoder, chunks[-1])
    assert decoder.error is not None
    assert (decoder.error.code, decoder.error.text) == (code, text)
    return pieces


# Writing


def test_frames_look_as_the_rfc_shows_them():
    # RFC 6455 5.7.
    assert encode(TEXT, b"Hello") == bytes.fromhex("81 05 48 65 6c 6c 6f")
    assert from_client(TEXT, b"Hello") == bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert encode(TEXT, bytes.fromhex("48 65 6c"), fin=False) == bytes.fromhex("01 03 48 65 6c")
    assert encode(CONTINUATION, b"lo") == bytes.fromhex("80 02 6c 6f")
    assert encode(PING, b"Hello") == bytes.fromhex("89 05 48 65 6c 6c 6f")
    assert encode(BINARY, bytes(256))[:4] == bytes.fromhex("82 7e 01 00")
    assert encode(BINARY, bytes(65_536))[:10] == bytes.fromhex("82 7f 00 00 00 00 00 01 00 00")


def test_a_compressed_message_is_marked():
    # RFC 7692 7.2.3.1.
    packed = bytes.fromhex("f2 48 cd c9 c9 07 00")
    assert encode(TEXT, packed, rsv1=True) == bytes.fromhex("c1 07") + packed


@pytest.mark.parametrize(
    ("size", "head"), [(125, 2), (126, 4), (65_535, 4), (65_536, 10), (70_000, 10)]
)
@pytest.mark.parametrize("mask", [None, MASK])
def test_the_length_takes_the_shortest_form(size, head, mask):
    assert len(encode(BINARY, bytes(size), mask=mask)) == head + (4 if mask else 0) + size


@given(
    st.binary(max_size=50) | st.binary(min_size=4_090, max_size=4_110),
    st.binary(min_size=4, max_size=4),
)
def test_masking_is_xor_and_undoes_itself(payload, mask):
    masked = wsframes.unmask(payload, mask)
    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert wsframes.unmask(masked, mask) == payload


# Close frames


def test_a_close_frame_has_code_and_reason():
    assert encode_close(1001, "away") == b"\x88\x06\x03\xe9away"


def test_a_close_frame_to_an_origin_is_masked():
    assert messages(read(reader(), encode_close(1001, "away", mask=MASK))) == [
        (CLOSE, b"\x03\xe9away")
    ]


def test_a_close_without_code_is_empty():
    assert encode_close(None, "lost") == b"\x88\x00"


def test_a_reason_that_just_fits_stays_whole():
    assert encode_close(1000, "a" * 123) == b"\x88\x7d\x03\xe8" + b"a" * 123


def test_a_long_reason_is_cut_at_a_character():
    assert encode_close(1000, "a" * 122 + "é") == b"\x88\x7c\x03\xe8" + b"a" * 122


def test_half_a_surrogate_in_a_reason_is_replaced():
    assert encode_close(1000, "\ud800") == b"\x88\x03\x03\xe8?"


@given(st.text(max_size=200))
def test_any_reason_fits_and_can_be_read(reason):
    code, text = wsframes.read_close(encode_close(4000, reason)[2:])
    assert code == 4000
    assert reason.startswith(text)
    assert len(text.encode()) > 119 or text == reason


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4000, 4999]
)
def test_a_close_code_may_be_one_that_is_meant_for_frames(code):
    assert wsframes.may_close(code)
    assert wsframes.read_close(code.to_bytes(2, "big")) == (code, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_other_close_codes_are_refused(code):
    assert not wsframes.may_close(code)
    assert_fails(
        reader(), 1002, "close frame with a bad code", from_client(CLOSE, code.to_bytes(2, "big"))
    )


def test_half_a_close_code_is_refused():
    assert_fails(reader(), 1002, "close frame with a bad code", from_client(CLOSE, b"\x03"))


def test_a_close_reason_must_be_text():
    frame = from_client(CLOSE, b"\x03\xe8\xff")
    assert_fails(reader(), 1007, "close reason is not UTF-8", frame)


def test_an_empty_close_has_no_code():
    assert wsframes.read_close(b"") == (None, "")
    assert read(reader(), from_client(CLOSE)) == [(CLOSE, b"", True, True)]


def test_nothing_is_read_after_a_close():
    decoder = reader()
    close = from_client(CLOSE, b"\x03\xe8")
    assert len(read(decoder, close + from_client(TEXT, b"late"), b"\xff\xff")) == 1
    assert decoder.error is None


# Whole messages


@pytest.mark.parametrize("make", [reader, piecewise])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 4_096, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_in_one_frame_comes_in_one_piece(make, size, opcode):
    payload = b"x" * size
    assert read(make(), from_client(opcode, payload)) == [(opcode, payload, True, True)]


def test_an_origin_does_not_mask():
    frames = encode(TEXT, b"Hello") + encode(BINARY, bytes(300)) + encode(PING, b"?")
    assert messages(read(reader(role=Role.ORIGIN), frames)) == [
        (TEXT, b"Hello"),
        (BINARY, bytes(300)),
        (PING, b"?"),
    ]


@pytest.mark.parametrize("size", [5, 200, 70_000])
def test_the_frames_of_an_origin_may_come_byte_by_byte(size):
    chunks = bytewise(encode(BINARY, bytes(size)))
    assert messages(read(reader(role=Role.ORIGIN), *chunks)) == [(BINARY, bytes(size))]


def test_an_origin_may_send_fragments():
    frames = encode(TEXT, b"Hell", fin=False) + encode(CONTINUATION, b"o")
    assert messages(read(piecewise(Role.ORIGIN), *bytewise(frames))) == [(TEXT, b"Hello")]


def test_many_messages_may_come_at_once():
    assert read(reader(), from_client(TEXT, b"a") * 3) == [(TEXT, b"a", True, True)] * 3


def test_fragments_are_joined():
    decoder = reader()
    assert read(decoder, from_client(TEXT, b"Hell", fin=False)) == []
    assert read(decoder, from_client(CONTINUATION, b"", fin=False)) == []
    assert read(decoder, from_client(CONTINUATION, b"o")) == [(TEXT, b"Hello", True, True)]


def test_small_messages_are_taken_again_after_a_fragmented_one():
    frames = from_client(TEXT, b"a", fin=False) + from_client(CONTINUATION, b"b")
    frames += from_client(BINARY, b"c")
    assert messages(read(reader(), frames)) == [(TEXT, b"ab"), (BINARY, b"c")]


@pytest.mark.parametrize("make", [reader, piecewise])
def test_control_frames_between_fragments_come_at_once(make):
    decoder = make()
    read(decoder, from_client(TEXT, b"Hell", fin=False))
    assert read(decoder, from_client(PING, b"now")) == [(PING, b"now", True, True)]
    assert read(decoder, from_client(PONG)) == [(PONG, b"", True, True)]
    [(_, _, _, last)] = read(decoder, from_client(CONTINUATION, b"o"))
    assert last


def test_a_message_may_be_as_long_as_allowed():
    assert messages(read(reader(10), from_client(TEXT, b"a" * 10))) == [(TEXT, b"a" * 10)]


@pytest.mark.parametrize(
    "chunks",
    [
        [from_client(TEXT, b"a" * 11)],
        [from_client(TEXT, b"a" * 11)[:6]],
        [from_client(TEXT, b"a" * 9, fin=False), from_client(CONTINUATION, b"a" * 2)[:6]],
        [from_client(BINARY, bytes(70_000))[:14]],
    ],
)
def test_a_message_that_will_be_longer_is_refused_at_once(chunks):
    assert_fails(reader(10), 1009, "message over 10 bytes", *chunks)


def test_the_limit_is_for_each_message():
    decoder = reader(10)
    frames = from_client(TEXT, b"a" * 9, fin=False) + from_client(CONTINUATION, b"b")
    assert len(messages(read(decoder, frames * 3))) == 3
    assert decoder.error is None


# Pieces


def test_pieces_come_as_they_arrive():
    decoder = piecewise()
    frame = from_client(BINARY, b"hello world")
    assert read(decoder, frame[:10]) == [(BINARY, b"hell", True, False)]
    assert read(decoder, frame[10:15]) == [(BINARY, b"o wor", False, False)]
    assert read(decoder, frame[15:]) == [(BINARY, b"ld", False, True)]


def test_fragments_are_pieces():
    frames = from_client(TEXT, b"Hell", fin=False) + from_client(CONTINUATION, b"o")
    assert read(piecewise(), frames) == [(TEXT, b"Hell", True, False), (TEXT, b"o", False, True)]


def test_empty_fragments_vanish():
    frames = from_client(TEXT, b"", fin=False) + from_client(CONTINUATION, b"", fin=False)
    frames += from_client(CONTINUATION, b"x", fin=False)
    assert read(piecewise(), frames) == [(TEXT, b"x", True, False)]


def test_the_last_piece_comes_even_if_it_is_empty():
    frames = from_client(TEXT, b"x", fin=False) + from_client(CONTINUATION)
    assert read(piecewise(), frames)[-1] == (TEXT, b"", False, True)


def test_a_piecewise_message_may_have_any_length():
    decoder = piecewise()
    assert len(read(decoder, from_client(BINARY, bytes(3 * LARGE)))) == 1
    assert decoder.error is None


# What a peer must not do


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcodes_are_refused(opcode):
    assert_fails(reader(), 1002, "unknown opcode", from_client(opcode))


@pytest.mark.parametrize("bit", [0x10, 0x20, 0x30])
def test_reserved_bits_are_refused(bit):
    frame = from_client(TEXT, b"x")
    assert_fails(reader(), 1002, "reserved bit set", bytes((frame[0] | bit,)) + frame[1:])


def test_compression_must_have_been_agreed_on():
    assert_fails(
        reader(),
        1002,
        "compressed message although nothing was agreed on",
        from_client(TEXT, b"", rsv1=True),
    )


@pytest.mark.parametrize("opcode", [CONTINUATION, PING, CLOSE])
def test_only_the_start_of_a_message_can_be_compressed(opcode):
    decoder = reader(deflate=Agreement(fresh=False))
    start = from_client(TEXT, b"x", fin=False)
    text = "compression bit on a frame that begins no message"
    assert_fails(decoder, 1002, text, start, from_client(opcode, rsv1=True))


def test_a_client_must_mask():
    assert_fails(reader(), 1002, "unmasked frame", encode(TEXT, b"x"))


def test_an_origin_must_not_mask():
    assert_fails(reader(role=Role.ORIGIN), 1002, "masked frame", from_client(TEXT, b"x"))


def test_a_control_frame_must_be_whole():
    assert_fails(reader(), 1002, "fragmented control frame", from_client(PING, fin=False))


def test_a_control_frame_may_be_as_long_as_allowed():
    assert read(reader(), from_client(PING, bytes(125))) == [(PING, bytes(125), True, True)]


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_must_be_short(opcode):
    frame = from_client(opcode, b"\x03\xe8".ljust(126))
    assert_fails(reader(), 1002, "control frame over 125 bytes", frame)


def test_a_continuation_needs_a_beginning():
    assert_fails(reader(), 1002, "continuation of nothing", from_client(CONTINUATION, b"x"))


def test_a_message_must_end_before_the_next():
    start = from_client(TEXT, b"x", fin=False)
    assert_fails(reader(), 1002, "message inside a message", start, from_client(TEXT, b"y"))


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"\x82\xfe\x00\x00", 0),
        (b"\x82\xfe\x00\x7d", 125),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05", 5),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", 65_535),
    ],
)
def test_the_length_must_be_in_the_shortest_form(head, size):
    assert_fails(reader(), 1002, "length not in its shortest form", head + MASK + bytes(size))
    assert_fails(reader(), 1002, "length not in its shortest form", *bytewise(head))


def test_the_top_bit_of_the_length_must_be_clear():
    head = b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"
    assert_fails(piecewise(), 1002, "length with the top bit set", *bytewise(head))


@pytest.mark.parametrize("make", [reader, piecewise])
def test_what_came_before_a_violation_is_handed_out(make):
    frames = from_client(TEXT, b"a") + from_client(PING) + encode(TEXT, b"b")
    pieces = assert_fails(make(), 1002, "unmasked frame", frames)
    assert messages(pieces) == [(TEXT, b"a"), (PING, b"")]


def test_nothing_is_read_after_a_violation():
    decoder = reader()
    assert_fails(decoder, 1002, "unmasked frame", encode(TEXT, b"x"))
    assert read(decoder, from_client(TEXT, b"y")) == []


# UTF-8

BAD_TEXTS = [
    b"\xff",
    b"\x80",
    b"a\xc0",
    b"\xc3\x28",
    b"\xe2\x28",
    b"\xe0\x80",
    b"\xed\xa0",
    b"\xf0\x80",
    b"\xf4\x90",
    b"\xf0\x9f\x92\x28",
]


@pytest.mark.parametrize("make", [reader, piecewise])
@pytest.mark.parametrize("text", BAD_TEXTS)
def test_text_is_refused_at_the_first_byte_that_cannot_be(make, text):
    frame = from_client(TEXT, text + b"more")
    assert_fails(make(), 1007, "text is not UTF-8", *bytewise(frame[: 6 + len(text)]))


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_text_is_refused_across_fragments(text):
    frames = [from_client(TEXT, b"", fin=False)]
    frames += [from_client(CONTINUATION, byte, fin=False) for byte in bytewise(text)]
    assert_fails(reader(), 1007, "text is not UTF-8", *frames)


@pytest.mark.parametrize("text", [*BAD_TEXTS, b"\xe2\x82"])
def test_a_message_in_one_frame_must_be_text(text):
    assert_fails(reader(), 1007, "text is not UTF-8", from_client(TEXT, text))


def test_text_must_not_end_inside_a_character():
    start = from_client(TEXT, b"\xe2\x82", fin=False)
    assert_fails(reader(), 1007, "text is not UTF-8", start, from_client(CONTINUATION))


@pytest.mark.parametrize("text", ["é€💩", "\ud7ff\ue000\U0010ffff"])
def test_characters_may_be_cut_by_fragments(text):
    first, *rest = bytewise(text.encode())
    frames = [from_client(TEXT, first, fin=False)]
    frames += [from_client(CONTINUATION, byte, fin=False) for byte in rest]
    pieces = read(reader(), *frames, from_client(CONTINUATION))
    assert messages(pieces) == [(TEXT, text.encode())]


def test_a_message_of_other_than_ascii_letters_is_text_too():
    assert messages(read(reader(), from_client(TEXT, "é".encode()))) == [(TEXT, "é".encode())]


def test_binary_need_not_be_text():
    frames = from_client(BINARY, b"\xff") + from_client(BINARY, b"\xff", fin=False)
    assert messages(read(reader(), frames, from_client(CONTINUATION))) == [(BINARY, b"\xff")] * 2


# Compressed messages


@pytest.mark.parametrize("make", [reader, piecewise])
@pytest.mark.parametrize("fresh", [True, False])
def test_compressed_messages_are_inflated(make, fresh):
    decoder = make(deflate=Agreement(fresh=fresh))
    frames = [from_client(TEXT, deflated(b"Hello"), rsv1=True) for _ in range(3)]
    assert messages(read(decoder, *frames)) == [(TEXT, b"Hello")] * 3


def test_a_compressed_message_may_refer_to_the_one_before():
    deflater = zlib.compressobj(wbits=-15)
    decoder = reader(deflate=Agreement(fresh=False))
    frames = [from_client(TEXT, deflated(b"hello hello", deflater), rsv1=True) for _ in range(2)]
    assert messages(read(decoder, *frames)) == [(TEXT, b"hello hello")] * 2


def test_a_peer_that_promised_to_start_afresh_must():
    deflater = zlib.compressobj(wbits=-15)
    decoder = reader(deflate=Agreement(fresh=True))
    frames = [from_client(TEXT, deflated(b"hello hello", deflater), rsv1=True) for _ in range(2)]
    assert_fails(decoder, 1007, "compressed message does not inflate", *frames)


def test_a_compressed_message_may_be_fragmented():
    packed = deflated(b"Hello, world")
    frames = from_client(TEXT, packed[:3], rsv1=True, fin=False)
    frames += from_client(PING) + from_client(CONTINUATION, packed[3:], fin=False)
    frames += from_client(CONTINUATION)
    decoder = reader(deflate=Agreement(fresh=True))
    assert messages(read(decoder, frames)) == [(PING, b""), (TEXT, b"Hello, world")]


def test_an_uncompressed_message_may_come_at_any_time():
    frames = from_client(TEXT, deflated(b"a"), rsv1=True) + from_client(TEXT, b"b")
    frames += from_client(TEXT, b"c", fin=False) + from_client(CONTINUATION, b"d")
    decoder = reader(deflate=Agreement(fresh=False))
    assert messages(read(decoder, frames)) == [(TEXT, b"a"), (TEXT, b"b"), (TEXT, b"cd")]


def test_inflated_text_must_be_text():
    decoder = reader(deflate=Agreement(fresh=False))
    frame = from_client(TEXT, deflated(b"\xff"), rsv1=True)
    assert_fails(decoder, 1007, "text is not UTF-8", frame)


def test_the_limit_counts_inflated_bytes():
    decoder = reader(1_000, deflate=Agreement(fresh=False))
    frame = from_client(BINARY, deflated(bytes(1_000)), rsv1=True)
    assert messages(read(decoder, frame)) == [(BINARY, bytes(1_000))]
    frame = from_client(BINARY, deflated(bytes(1_001)), rsv1=True)
    assert_fails(decoder, 1009, "message over 1000 bytes", frame)


def test_a_message_that_inflates_to_much_comes_bit_by_bit():
    decoder = piecewise(deflate=Agreement(fresh=True))
    frames = from_client(BINARY, deflated(bytes(1_000_000)), rsv1=True) + from_client(PING)
    sizes = [sum(len(payload) for _, payload, _, _ in decoder.feed(frames))]
    while decoder.more:
        sizes.append(sum(len(payload) for _, payload, _, _ in decoder.feed(b"")))
    assert max(sizes) == INFLATED_MAX
    assert sum(sizes) == 1_000_000


def test_messages_that_inflate_to_much_come_a_few_at_a_time():
    decoder = reader(deflate=Agreement(fresh=True))
    frames = from_client(BINARY, deflated(bytes(40_000)), rsv1=True) * 5
    assert len(decoder.feed(frames)) == 2
    assert decoder.more
    assert len(read(decoder, b"")) == 3


def test_frames_behind_a_message_that_inflates_to_much_are_kept():
    frames = from_client(BINARY, deflated(bytes(200_000)), rsv1=True) + from_client(TEXT, b"x")
    decoder = piecewise(deflate=Agreement(fresh=True))
    assert messages(read(decoder, frames)) == [(BINARY, bytes(200_000)), (TEXT, b"x")]


def test_no_more_is_announced_when_all_is_taken():
    decoder = reader(deflate=Agreement(fresh=True))
    # One byte more than is inflated at once, so that the rest is asked for.
    frame = from_client(BINARY, deflated(bytes(INFLATED_MAX + 1)), rsv1=True)
    assert decoder.feed(frame) == []
    assert decoder.more
    assert len(decoder.feed(b"")) == 1
    assert not decoder.more


def test_no_more_is_announced_after_a_violation():
    decoder = reader(10, deflate=Agreement(fresh=True))
    frame = from_client(BINARY, deflated(bytes(200_000)), rsv1=True)
    decoder.feed(frame + frame)
    assert not decoder.more


# For the log


def test_a_decoder_tells_where_it_is():
    decoder = reader()
    assert repr(decoder) == "Decoder(CLIENT, between messages, 0 bytes held)"
    read(decoder, from_client(TEXT, b"x", fin=False) + b"\x80")
    assert repr(decoder) == "Decoder(CLIENT, inside a message, 1 bytes held)"
    read(decoder, b"\x00")
    assert repr(decoder) == "Decoder(CLIENT, ended, 0 bytes held)"


# Any bytes, however cut


@st.composite
def conversations(draw):
    """Who sends, the frames of some messages with control frames between, and the messages."""
    role = draw(st.sampled_from(Role))
    mask = MASK if role is Role.CLIENT else None
    frames = []
    sent = []
    for _ in range(draw(st.integers(1, 5))):
        payload = draw(st.text(max_size=40)).encode() * draw(st.sampled_from([1, 1, 1, 9, 3_000]))
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        packed = draw(st.booleans())
        parts = cut(
            deflated(payload) if packed else payload,
            draw(st.lists(st.integers(0, 1_000_000), max_size=3)),
        )
        for index, part in enumerate(parts):
            if draw(st.booleans()):
                control = (draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125)))
                frames.append(encode(*control, mask=mask))
                sent.append(control)
            frames.append(
                encode(
                    CONTINUATION if index else opcode,
                    part,
                    fin=index == len(parts) - 1,
                    rsv1=packed and not index,
                    mask=mask,
                )
            )
        sent.append((opcode, payload))
    return role, b"".join(frames), sent


cuts = st.lists(st.integers(0, 1_000_000), max_size=20)


@settings(deadline=None)  # messages of 100 kB, cut and read several times
@given(conversations(), cuts, st.booleans())
def test_what_is_sent_is_read_however_it_is_cut(conversation, places, fresh):
    role, data, sent = conversation
    whole = reader(role=role, deflate=Agreement(fresh=fresh))
    pieces = piecewise(role, deflate=Agreement(fresh=fresh))
    assert messages(read(whole, *cut(data, places))) == sent
    assert messages(read(pieces, *cut(data, places))) == sent
    assert whole.error is pieces.error is None


def outcome(decoder, *chunks):
    found = messages(read(decoder, *chunks))
    return found, decoder.error and decoder.error.code


@settings(deadline=None)  # messages of 100 kB, cut and read several times
@given(conversations(), st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=3), cuts)
def test_damaged_frames_are_read_or_refused_alike_by_whole_messages_and_by_pieces(
    conversation, damage, places
):
    role, intact, _ = conversation
    damaged = bytearray(intact)
    for place, bits in damage:
        damaged[place % len(damaged)] ^= bits
    data = bytes(damaged)

    def decoder(max_message):
        return reader(max_message, role, Agreement(fresh=True))

    expected = outcome(decoder(1 << 70), data)
    assert outcome(decoder(None), data) == expected
    assert outcome(decoder(1 << 70), *cut(data, places)) == expected
    assert outcome(decoder(None), *cut(data, places)) == expected


@given(st.binary(max_size=300), st.sampled_from(Role), st.sampled_from([None, 0, 100]))
def test_no_bytes_raise_anything(data, role, max_message):
    decoder = reader(max_message, role, deflate=Agreement(fresh=False))
    for piece in read(decoder, data):
        assert piece[0] in (TEXT, BINARY, CLOSE, PING, PONG)
    assert decoder.error is None or isinstance(decoder.error, FrameError)

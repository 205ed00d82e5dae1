"""Content codings of instructs: grip-http.md 4.2."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ClientGoneError, InstructError
from gripproxy.flow.decoding import STEP, WHOLE_MAX, decoded
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from tests.flow.bodyfakes import FakeReceiver, FakeSource

TEXT = b"hello " * 100


def raw(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


CODED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw,
    "identity": bytes,
    "identity, gzip": gzip.compress,
    "": bytes,
}
UNSUPPORTED = "unsupported Content-Encoding"


def response(coding: str | None, body) -> Response:
    pairs = [] if coding is None else [(b"Content-Encoding", coding.encode())]
    length = len(body) if isinstance(body, bytes) else 999
    return Response(status=200, reason=b"OK", headers=Headers(pairs), body=body, length=length)


def flowing(coding: str) -> tuple[FakeSource, object]:
    source = FakeSource()
    return source, decoded(response(coding, source)).body


# Whole bodies


@pytest.mark.parametrize("coding", CODED)
def test_a_coding_is_undone(coding):
    got = decoded(response(coding, CODED[coding](TEXT)))
    assert (got.body, got.length) == (TEXT, len(TEXT))


def test_without_a_coding_nothing_is_done():
    asked = response(None, TEXT)
    assert decoded(asked) is asked


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "x"])
@pytest.mark.parametrize("streams", [True, False])
def test_another_coding_is_refused(coding, streams):
    with pytest.raises(InstructError) as caught:
        decoded(response(coding, FakeSource() if streams else b""))
    assert caught.value.text == UNSUPPORTED


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", TEXT),
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("deflate", b"\x78\x00\x00"),
        ("deflate", b"\xff\xff"),
    ],
)
@pytest.mark.parametrize("streams", [True, False])
def test_what_does_not_decode_is_refused(coding, body, streams):
    if streams:
        source, content = flowing(coding)
        receiver = FakeReceiver()
        content.start(receiver)
        source.put(body)
        source.finish()
        error = receiver.end
        assert isinstance(error, InstructError)
    else:
        with pytest.raises(InstructError) as caught:
            decoded(response(coding, body))
        error = caught.value
    assert error.text == UNSUPPORTED


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_no_body_has_no_coding(coding):
    assert decoded(response(coding, b"")).body == b""


def test_no_body_has_no_coding_where_it_would_flow_either():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    source.finish()
    assert (receiver.pieces, receiver.end) == ([], "whole")


def test_what_lies_behind_coded_content_is_dropped():
    assert decoded(response("gzip", gzip.compress(TEXT) + b"rest")).body == TEXT


def test_a_small_body_does_not_become_a_large_one():
    bomb = gzip.compress(b"x" * 50_000_000)
    receiver = FakeReceiver()
    tracemalloc.start()
    try:
        got = decoded(response("gzip", bomb))
        receiver._source = got.body
        got.body.start(receiver)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(receiver.content), got.length) == (STEP, None)
    assert peak < 5_000_000


@pytest.mark.parametrize("size", [WHOLE_MAX, WHOLE_MAX + 1, 3 * WHOLE_MAX])
def test_nothing_of_large_content_is_lost(size):
    content = b"x" * size
    body = decoded(response("gzip", gzip.compress(content))).body
    if not isinstance(body, bytes):
        receiver = FakeReceiver(body)
        body.start(receiver)
        while receiver.end is None:
            body.resume()
        assert receiver.end == "whole"
        body = receiver.content
    assert body == content


def test_large_content_may_be_left_half_taken():
    body = decoded(response("gzip", gzip.compress(b"x" * (WHOLE_MAX + 1)))).body
    receiver = FakeReceiver(body)
    body.start(receiver)
    body.abandon()
    body.resume()
    assert (len(receiver.content), receiver.end) == (STEP, None)


# Bodies that flow


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate"])
@given(st.binary(max_size=500), st.integers(1, 50))
def test_a_coding_is_undone_piece_by_piece(coding, content, step):
    source, body = flowing(coding)
    receiver = FakeReceiver()
    body.start(receiver)
    coded = CODED[coding](content)
    for at in range(0, len(coded), step):
        source.put(coded[at : at + step])
    source.finish()
    assert (receiver.content, receiver.end) == (content, "whole")


def test_content_flows_before_its_end():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    packer = zlib.compressobj(wbits=31)
    source.put(packer.compress(b"one") + packer.flush(zlib.Z_SYNC_FLUSH))
    assert receiver.pieces == [b"one"]


def test_the_length_of_decoded_content_is_not_known():
    assert decoded(response("gzip", FakeSource())).length is None


@pytest.mark.parametrize("size", [3 * STEP, 3 * STEP + 7])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate"])
def test_a_full_receiver_gets_one_step_at_a_time(coding, size):
    source, body = flowing(coding)
    receiver = FakeReceiver(body)
    body.start(receiver)
    source.put(CODED[coding](b"x" * size))
    source.finish()
    turns = 1
    while receiver.end is None:
        assert len(receiver.pieces) == turns
        assert all(len(piece) <= STEP for piece in receiver.pieces)
        body.resume()
        turns += 1
    assert (receiver.content, receiver.end) == (b"x" * size, "whole")


def test_a_full_receiver_stops_the_reading():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    body.pause()
    assert not source.tap.reading
    body.resume()
    assert source.tap.reading


def test_what_lies_behind_flowing_content_is_dropped_and_not_kept():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    source.put(gzip.compress(TEXT))
    for _ in range(10):
        source.put(b"rest")
    source.finish()
    assert (receiver.content, receiver.end) == (TEXT, "whole")


def test_a_body_that_breaks_off_says_so():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    error = ClientGoneError()
    source.fail(error)
    assert receiver.end is error


def test_a_body_that_does_not_decode_is_abandoned():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    source.put(b"garbage")
    assert isinstance(receiver.end, InstructError)
    assert source.tap.abandoned


@pytest.mark.parametrize("end", [lambda source: source.finish(), lambda source: source.fail(None)])
def test_who_abandons_a_body_hears_nothing_more(end):
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    body.start(receiver)
    body.abandon()
    assert source.tap.abandoned
    body.body_piece(gzip.compress(TEXT))
    end(source)
    body.body_failed(ClientGoneError())
    body.body_end(None)
    assert (receiver.pieces, receiver.end) == ([], None)


def test_a_receiver_may_abandon_while_it_takes_the_last_piece():
    source, body = flowing("gzip")
    receiver = FakeReceiver()
    receiver.body_piece = lambda piece: body.abandon()
    body.start(receiver)
    source.put(gzip.compress(TEXT))
    source.finish()
    assert receiver.end is None

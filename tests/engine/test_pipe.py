"""Bodies on their way: proxying.md 9.1; RFC 9112 6.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.pipe import (
    BUFFER_MAX,
    PIECES_MAX,
    ByChunks,
    ByLength,
    Pipe,
    UntilClose,
)
from gripproxy.errors import GripProxyError, PeerError
from gripproxy.protocol import wire
from gripproxy.protocol.headers import Headers

ERROR = GripProxyError("broke off")


class Tap:
    """The connection that a body comes from."""

    def __init__(self) -> None:
        self.reading = True
        self.abandoned = False
        self.wanted = 0

    def pause_body(self) -> None:
        self.reading = False

    def resume_body(self) -> None:
        self.reading = True

    def abandon_body(self) -> None:
        self.abandoned = True

    def want_body(self) -> None:
        self.wanted += 1


class Receiver:
    """Takes a body; `full` is called with each piece."""

    def __init__(self, full=lambda piece: None) -> None:
        self.pieces: list[bytes] = []
        self.end: object = None
        self._full = full

    def body_piece(self, piece: bytes) -> None:
        assert self.end is None
        assert piece
        self.pieces.append(piece)
        self._full(piece)

    def body_end(self, trailers) -> None:
        assert self.end is None
        self.end = ("whole", trailers)

    def body_failed(self, error) -> None:
        assert self.end is None
        self.end = ("failed", error)


WHOLE = ("whole", None)
FAILED = ("failed", ERROR)


@pytest.fixture
def tap() -> Tap:
    return Tap()


@pytest.fixture
def pipe(tap: Tap) -> Pipe:
    return Pipe(tap)


# From the reading side to the writing side


def test_what_came_before_the_receiver_is_handed_out_in_one_piece(pipe, tap):
    receiver = Receiver()
    pipe.put(b"a")
    pipe.put(b"b")
    assert tap.wanted == 0
    pipe.start(receiver)
    assert (receiver.pieces, receiver.end, tap.wanted) == ([b"ab"], None, 1)


def test_what_comes_later_is_handed_out_at_once(pipe):
    receiver = Receiver()
    pipe.start(receiver)
    pipe.put(b"a")
    pipe.put(b"b")
    assert receiver.pieces == [b"a", b"b"]
    pipe.finish()
    assert receiver.end == WHOLE


def test_a_body_that_was_whole_before_its_receiver_came_ends_at_once(pipe):
    receiver = Receiver()
    pipe.put(b"a")
    pipe.finish()
    assert pipe.whole
    pipe.start(receiver)
    assert (receiver.pieces, receiver.end) == ([b"a"], WHOLE)


def test_an_empty_body_ends_without_a_piece(pipe):
    receiver = Receiver()
    pipe.start(receiver)
    pipe.finish()
    assert (receiver.pieces, receiver.end) == ([], WHOLE)


def test_trailers_come_with_the_end(pipe):
    receiver = Receiver()
    pipe.trailers = Headers([(b"X-A", b"1")])
    pipe.start(receiver)
    pipe.finish()
    assert receiver.end == ("whole", Headers([(b"X-A", b"1")]))


@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"b", b"c"]])
def test_all_that_is_here_can_be_taken(pipe, pieces):
    for piece in pieces:
        pipe.put(piece)
    assert pipe.take() == b"".join(pieces)
    assert pipe.take() == b""


# A receiver that is full


def test_a_full_receiver_gets_nothing_and_nothing_more_is_read(pipe, tap):
    receiver = Receiver()
    pipe.start(receiver)
    pipe.pause()
    pipe.put(b"a")
    pipe.put(b"b")
    assert (receiver.pieces, tap.reading) == ([], False)
    pipe.resume()
    assert (receiver.pieces, tap.reading) == ([b"ab"], True)


def test_a_receiver_may_be_full_before_it_starts(pipe, tap):
    receiver = Receiver()
    pipe.put(b"a")
    pipe.pause()
    pipe.start(receiver)
    assert (receiver.pieces, tap.reading) == ([], False)
    pipe.resume()
    assert receiver.pieces == [b"a"]


def test_a_receiver_that_is_full_again_is_left_alone(pipe, tap):
    receiver = Receiver(full=lambda piece: pipe.pause())
    pipe.put(b"a")
    pipe.start(receiver)
    pipe.put(b"b")
    pipe.finish()
    assert (receiver.pieces, receiver.end, tap.reading) == ([b"a"], None, False)
    pipe.resume()
    assert (receiver.pieces, receiver.end) == ([b"a", b"b"], None)
    pipe.resume()
    assert receiver.end == WHOLE


def test_too_much_without_a_receiver_stops_the_reading(pipe, tap):
    pipe.put(b"x" * BUFFER_MAX)
    assert tap.reading
    pipe.put(b"y")
    assert not tap.reading
    receiver = Receiver()
    pipe.start(receiver)
    assert (receiver.pieces, tap.reading) == ([b"x" * BUFFER_MAX + b"y"], True)


def test_a_full_receiver_of_a_whole_body_does_not_stop_what_comes_behind_it(pipe, tap):
    pipe.put(b"a")
    pipe.finish()
    pipe.pause()
    assert tap.reading


def test_many_small_pieces_do_not_cost_more_than_their_bytes(pipe):
    for _ in range(20 * PIECES_MAX):
        pipe.put(b"xy")
    assert len(pipe._pieces) <= PIECES_MAX
    assert pipe.take() == b"xy" * (20 * PIECES_MAX)


# A body that breaks off


def test_a_failure_comes_behind_what_has_come(pipe):
    receiver = Receiver()
    pipe.put(b"a")
    pipe.fail(ERROR)
    pipe.start(receiver)
    assert (receiver.pieces, receiver.end) == ([b"a"], FAILED)
    assert not pipe.whole


def test_a_failure_waits_for_a_full_receiver(pipe):
    receiver = Receiver()
    pipe.start(receiver)
    pipe.pause()
    pipe.put(b"a")
    pipe.fail(ERROR)
    assert receiver.end is None
    pipe.resume()
    assert (receiver.pieces, receiver.end) == ([b"a"], FAILED)


def test_a_body_that_is_broken_off_waits_for_nobody(pipe):
    receiver = Receiver()
    pipe.start(receiver)
    pipe.pause()
    pipe.put(b"a")
    pipe.break_off(ERROR)
    assert (receiver.pieces, receiver.end) == ([], FAILED)


@pytest.mark.parametrize("end", [Pipe.fail, Pipe.break_off])
def test_only_the_first_end_counts(pipe, end):
    receiver = Receiver()
    pipe.finish()
    end(pipe, ERROR)
    pipe.start(receiver)
    assert (receiver.end, pipe.failure) == (WHOLE, None)


def test_only_the_first_failure_counts(pipe):
    receiver = Receiver()
    pipe.fail(ERROR)
    pipe.fail(GripProxyError("later"))
    pipe.start(receiver)
    assert receiver.end == FAILED


# A body that nobody wants


def test_an_abandoned_body_is_not_read_on(pipe, tap):
    receiver = Receiver()
    pipe.start(receiver)
    pipe.abandon()
    pipe.finish()
    assert tap.abandoned
    assert (receiver.pieces, receiver.end) == ([], None)


@pytest.mark.parametrize("end", [lambda pipe: pipe.finish(), lambda pipe: pipe.fail(ERROR)])
def test_a_body_that_is_over_needs_no_abandoning(pipe, tap, end):
    pipe.put(b"a")
    end(pipe)
    pipe.abandon()
    assert not tap.abandoned
    assert pipe.take() == b""


@pytest.mark.parametrize("whole", [True, False])
def test_a_receiver_may_abandon_while_it_takes_a_piece(pipe, tap, whole):
    receiver = Receiver(full=lambda piece: pipe.abandon())
    pipe.put(b"a")
    if whole:
        pipe.finish()
    pipe.start(receiver)
    assert (receiver.pieces, receiver.end, tap.abandoned) == ([b"a"], None, not whole)


# By length


def fed(body, *data: bytes) -> tuple[Receiver, bytes]:
    receiver = Receiver()
    body.start(receiver)
    rest = b""
    for piece in data:
        rest = body.feed(piece)
    return receiver, rest


def test_a_length_says_where_the_body_ends(tap):
    body = ByLength(tap, 5)
    receiver, rest = fed(body, b"ab", b"cdefg")
    assert (receiver.pieces, receiver.end, rest) == ([b"ab", b"cde"], WHOLE, b"fg")
    assert (body.whole, body.left) == (True, 0)


def test_a_body_under_its_length_is_not_whole(tap):
    body = ByLength(tap, 5)
    receiver, rest = fed(body, b"ab")
    assert (receiver.end, rest, body.whole, body.left) == (None, b"", False, 3)


def test_a_large_body_that_is_all_here_stops_no_reading(tap):
    body = ByLength(tap, BUFFER_MAX + 1)
    assert body.feed(b"x" * (BUFFER_MAX + 1) + b"GET") == b"GET"
    assert tap.reading
    assert body.take() == b"x" * (BUFFER_MAX + 1)


@given(st.binary(min_size=1, max_size=50), st.binary(max_size=5), st.integers(1, 60))
def test_a_body_with_a_length_is_the_same_wherever_it_is_cut(content, behind, step):
    body = ByLength(Tap(), len(content))
    sent = content + behind
    at = 0
    rest = b""
    while not body.whole:
        rest = body.feed(sent[at : at + step])
        at += step
    assert body.take() == content
    assert rest + sent[at:] == behind


# By chunks


def test_chunks_are_handed_out_in_one_piece(tap):
    body = ByChunks(tap, 64)
    data = wire.chunk(b"ab") + wire.chunk(b"cd") + b"3\r\nx"
    receiver, rest = fed(body, data)
    assert (receiver.pieces, receiver.end, rest) == ([b"abcdx"], None, b"")


def test_chunks_end_with_trailers_and_what_lies_behind(tap):
    body = ByChunks(tap, 64)
    receiver, rest = fed(body, b"1\r\nx\r\n0\r\n", b"X-A: 1\r\n\r\nGET")
    assert receiver.pieces == [b"x"]
    assert receiver.end == ("whole", Headers([(b"X-A", b"1")]))
    assert (body.whole, rest) == (True, b"GET")


def test_a_large_body_in_chunks_that_is_all_here_stops_no_reading(tap):
    body = ByChunks(tap, 64)
    body.feed(wire.chunk(b"x" * (BUFFER_MAX + 1)) + wire.LAST_CHUNK)
    assert (body.whole, tap.reading) == (True, True)


def test_what_is_no_chunk_raises(tap):
    with pytest.raises(PeerError):
        ByChunks(tap, 64).feed(b"x\r\n")


# Until the end


def test_a_body_without_a_length_ends_with_its_connection(tap):
    body = UntilClose(tap)
    receiver, rest = fed(body, b"a", b"b")
    assert (receiver.pieces, receiver.end, rest) == ([b"a", b"b"], None, b"")
    body.finish()
    assert receiver.end == WHOLE

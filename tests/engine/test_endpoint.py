"""One side of an open WebSocket."""

import pytest

from gripproxy.engine.endpoint import Endpoint
from gripproxy.errors import FrameError
from gripproxy.protocol import wsdeflate, wsframes
from gripproxy.protocol.wsdeflate import Agreement
from gripproxy.protocol.wsframes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Role
from tests.fakes import FakeSocket, FakeTransport

NOW = 5.0


class Receiver:
    """Keeps up-calls, and does `then` in each of them."""

    def __init__(self):
        self.calls = []
        self.then = None

    def socket_message(self, piece, now):
        self._note(piece)

    def socket_close(self, code, reason, now):
        self._note(("close", code, reason))

    def socket_lost(self, error, now):
        self._note(("lost", None if error is None else error.code))

    def socket_writable(self, now):
        self._note("writable")

    def _note(self, call):
        self.calls.append(call)
        if self.then is not None:
            self.then()


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def socket(receiver):
    socket = FakeSocket()
    socket.take_receiver(receiver, max_message=None, now=NOW)
    return socket


def masked(opcode, payload=b"", **how):
    return wsframes.encode(opcode, payload, mask=b"abcd", **how)


# What comes in


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG])
def test_a_message_is_handed_out(socket, receiver, opcode):
    socket.says(opcode, b"hi")
    assert receiver.calls == [(opcode, b"hi", True, True)]


def test_pieces_are_handed_out_as_they_come(socket, receiver):
    socket.says(TEXT, b"a", fin=False)
    socket.says(PING, b"p")
    socket.says(CONTINUATION, b"b")
    assert receiver.calls == [
        (TEXT, b"a", True, False),
        (PING, b"p", True, True),
        (TEXT, b"b", False, True),
    ]


def test_with_a_maximum_messages_are_handed_out_whole(receiver):
    socket = FakeSocket()
    socket.take_receiver(receiver, max_message=10, now=NOW)
    socket.says(TEXT, b"a", fin=False)
    socket.says(CONTINUATION, b"b")
    assert receiver.calls == [(TEXT, b"ab", True, True)]


def test_frames_that_came_before_the_receiver_follow_it(receiver):
    socket = Endpoint(FakeTransport(), masked(TEXT, b"early"), None)
    socket.received(masked(TEXT, b"later"), NOW)
    socket.take_receiver(receiver, max_message=None, now=NOW)
    assert [call[1] for call in receiver.calls] == [b"early", b"later"]


def test_a_connection_that_is_lost_already_is_told_behind_its_frames(receiver):
    socket = Endpoint(FakeTransport(), masked(TEXT, b"early"), None)
    socket.transport.close()
    socket.take_receiver(receiver, max_message=None, now=NOW)
    assert receiver.calls == [(TEXT, b"early", True, True), ("lost", None)]


def test_a_connection_that_ended_by_its_early_frames_is_told_once(receiver):
    socket = Endpoint(FakeTransport(), masked(CLOSE), None)
    receiver.then = lambda: socket.close(1000)
    socket.take_receiver(receiver, max_message=None, now=NOW)
    assert receiver.calls == [("close", None, "")]


def test_a_pong_to_a_ping_of_our_own_ends_here(receiver):
    class Pinging(FakeSocket):
        own_ping = b"ours"

    socket = Pinging()
    socket.take_receiver(receiver, max_message=None, now=NOW)
    socket.says(PONG, b"ours")
    socket.says(PONG, b"theirs")
    assert receiver.calls == [(PONG, b"theirs", True, True)]


def test_a_lost_connection_is_told_once(socket, receiver):
    socket.lost(NOW)
    socket.lost(NOW)
    assert receiver.calls == [("lost", None)]


def test_the_receiver_learns_that_what_waited_is_written(socket, receiver):
    socket.blocked = True
    socket.writable(NOW)
    assert not socket.blocked
    assert receiver.calls == ["writable"]


def test_nobody_needs_to_learn_it_when_it_is_over(socket, receiver):
    socket.drop()
    socket.writable(NOW)
    assert receiver.calls == []


# Violations


def test_a_violation_fails_the_connection(socket, receiver):
    socket.received(wsframes.encode(TEXT, b"unmasked"), NOW)
    assert socket.heard() == [("close", 1002, "")]
    assert socket.failed
    assert receiver.calls == [("lost", 1002)]


def test_what_came_before_a_violation_is_handed_out(socket, receiver):
    socket.received(masked(TEXT, b"good") + b"\xff\x80abcd", NOW)
    assert receiver.calls == [(TEXT, b"good", True, True), ("lost", 1002)]


def test_after_a_violation_nothing_is_read(socket, receiver):
    socket.received(b"\xff\x80abcd", NOW)
    socket.says(TEXT, b"more")
    assert receiver.calls == [("lost", 1002)]


def test_a_slow_peer_is_told_why(socket, receiver):
    socket.violated(FrameError(wsframes.POLICY, "slow consumer"), NOW)
    assert socket.heard() == [("close", 1008, "slow consumer")]
    assert receiver.calls == [("lost", 1008)]


def test_a_violation_without_a_receiver_is_told_to_the_peer(receiver):
    socket = FakeSocket()
    socket.violated(FrameError(1012, ""), NOW)
    assert socket.heard() == [("close", 1012, "")]


# What goes out


def test_a_message_to_a_client_is_not_masked(socket):
    socket.send(TEXT, b"hi")
    assert bytes(socket.transport.written) == b"\x81\x02hi"


def test_a_message_to_an_origin_is_masked():
    socket = FakeSocket(Role.ORIGIN)
    socket.send(TEXT, b"hi")
    assert socket.transport.written[1] & 0x80
    assert socket.heard() == [("text", "hi")]


def test_pieces_go_out_as_fragments(socket):
    socket.send(BINARY, b"a", first=True, last=False)
    socket.send(BINARY, b"b", first=False, last=False)
    socket.send(BINARY, b"c", first=False, last=True)
    assert bytes(socket.transport.written) == b"\x02\x01a\x00\x01b\x80\x01c"


@pytest.mark.parametrize(
    ("opcode", "payload", "how", "packed"),
    [
        (TEXT, b"x" * 1000, {}, True),
        (TEXT, b"short", {}, False),
        (PING, b"x" * 100, {}, False),
        (TEXT, b"x" * 1000, {"last": False}, False),
    ],
)
def test_whole_messages_are_compressed_where_that_was_agreed_on(opcode, payload, how, packed):
    socket = FakeSocket(deflate=Agreement(fresh=True))
    socket.send(opcode, payload, **how)
    assert bool(socket.transport.written[0] & 0x40) is packed
    assert socket.heard()[0][1] == payload.decode()


def test_a_compressed_message_is_inflated(receiver):
    socket = FakeSocket(deflate=Agreement(fresh=True))
    socket.take_receiver(receiver, max_message=None, now=NOW)
    socket.says(TEXT, wsdeflate.compress(b"y" * 500), rsv1=True)
    assert b"".join(call[1] for call in receiver.calls) == b"y" * 500


def test_what_waits_in_the_connection_is_told(socket):
    socket.transport.waiting = 17
    assert socket.pending() == 17


# Closing


def test_a_close_frame_is_sent_once(socket):
    socket.close(1000, "bye")
    socket.close(1001, "again")
    assert socket.heard() == [("close", 1000, "bye")]


def test_a_close_without_a_code_is_a_normal_one(socket):
    socket.close(None)
    assert socket.heard() == [("close", 1000, "")]


def test_nothing_follows_a_close_frame(socket):
    socket.close(1000)
    socket.send(TEXT, b"late")
    assert socket.heard() == [("close", 1000, "")]


def test_a_close_waits_for_the_other_one(socket, receiver):
    socket.close(1000)
    assert not socket.transport.closed
    socket.closes(1000)
    assert socket.transport.closed
    assert receiver.calls == [("close", 1000, "")]


def test_a_close_that_answers_ends_the_connection(socket):
    socket.closes(4000, "why")
    assert not socket.transport.closed
    socket.close(4000, "why")
    assert socket.transport.closed
    assert socket.heard() == [("close", 4000, "why")]


def test_data_between_our_close_and_theirs_is_handed_out(socket, receiver):
    socket.close(1000)
    socket.text("still")
    assert receiver.calls == [(TEXT, b"still", True, True)]


def test_nothing_is_handed_out_behind_a_drop(socket, receiver):
    receiver.then = socket.drop
    socket.received(masked(TEXT, b"1") + masked(TEXT, b"2"), NOW)
    assert receiver.calls == [(TEXT, b"1", True, True)]


def test_a_dropped_connection_ends_without_a_close_frame(socket):
    socket.drop()
    socket.close(1000)
    assert socket.heard() == []
    assert socket.transport.closed


def test_a_failed_connection_gets_one_close_frame(socket):
    socket.fail(1011, "origin")
    socket.fail(1002)
    assert socket.heard() == [("close", 1011, "origin")]
    assert socket.failed


def test_failing_after_a_close_frame_adds_none(socket):
    socket.close(1000)
    socket.fail(1011)
    assert socket.heard() == [("close", 1000, "")]
    assert socket.failed


def test_without_an_edge_that_knows_better_failing_ends_at_once(receiver):
    socket = Endpoint(FakeTransport(), b"", None)
    socket.take_receiver(receiver, max_message=None, now=NOW)
    socket.fail(1011)
    assert socket.transport.closed


# Pausing


def test_a_paused_connection_is_not_read(socket, receiver):
    socket.pause()
    socket.pause()
    assert not socket.transport.reading
    socket.text("kept")  # a TLS layer may have had it
    assert receiver.calls == []
    socket.resume(NOW)
    assert socket.transport.reading
    assert receiver.calls == [(TEXT, b"kept", True, True)]


def test_resuming_what_is_not_paused_does_nothing(socket):
    socket.resume(NOW)
    assert socket.transport.reading


def test_a_failed_connection_is_read_to_its_end(socket):
    socket.pause()
    socket.fail(1011)
    assert socket.transport.reading


def test_what_is_over_is_not_paused(socket):
    socket.drop()
    socket.pause()
    socket.resume(NOW)
    assert socket.transport.reading


def test_a_transport_that_is_closing_is_left_alone(socket):
    socket.transport.close()
    socket.pause()
    assert socket.transport.reading
    socket.transport.reading = False
    socket.resume(NOW)
    assert not socket.transport.reading


def test_a_bomb_is_inflated_only_as_its_receiver_takes_it(receiver):
    socket = FakeSocket(deflate=Agreement(fresh=True))
    socket.take_receiver(receiver, max_message=None, now=NOW)
    receiver.then = socket.pause
    socket.says(BINARY, wsdeflate.compress(bytes(1_000_000)), rsv1=True)
    taken = sum(len(call[1]) for call in receiver.calls)
    assert 0 < taken <= 2 * wsframes.INFLATED_MAX
    receiver.then = None
    socket.resume(NOW)
    assert sum(len(call[1]) for call in receiver.calls) == 1_000_000
    assert receiver.calls[-1][3]


def test_a_receiver_that_takes_all_gets_all_of_a_bomb(receiver):
    socket = FakeSocket(deflate=Agreement(fresh=True))
    socket.take_receiver(receiver, max_message=None, now=NOW)
    socket.says(BINARY, wsdeflate.compress(bytes(1_000_000)), rsv1=True)
    assert sum(len(call[1]) for call in receiver.calls) == 1_000_000


# Words


@pytest.mark.parametrize(
    ("act", "state"),
    [(lambda s: None, "open"), (lambda s: s.close(1000), "closing"), (FakeSocket.drop, "over")],
)
def test_it_says_what_it_is(socket, act, state):
    act(socket)
    assert repr(socket) == f"<FakeSocket CLIENT {state}>"

"""WebSockets that carry frames of SockJS."""

import pytest

from gripproxy.flow.framed import FramedSocket
from gripproxy.protocol import sockjs, wsframes
from gripproxy.protocol.wsdeflate import Agreement
from gripproxy.protocol.wsframes import BINARY, PING, PONG, TEXT
from tests.fakes import FakeClient
from tests.flow.pages import Hearing, Time


class Play:
    """A client, a framed socket, and the session behind it."""

    def __init__(self, *, deflate=None):
        self.time = Time()
        self.client = FakeClient(deflate=deflate)
        self.receiver = Hearing()
        self.socket = FramedSocket(self.client, self.time.hub, self.time.clock)

    def passes(self, seconds):
        self.time.passes(seconds)
        return self.client.heard()

    @property
    def is_quiet(self):
        return not len(self.time.hub.deadlines)


@pytest.fixture
def play():
    """A framed socket that is open, past its `o`."""
    play = Play()
    assert play.client.heard() == [("text", "o")]
    play.socket.attach(play.receiver, whole=False)
    return play


def test_whoever_has_no_receiver_yet_is_heard_when_it_has():
    play = Play()
    play.client.text('["early"]')
    assert play.receiver.heard == []
    play.socket.attach(play.receiver, whole=False)
    assert play.receiver.heard == ["early"]


def test_what_a_client_does_before_there_is_a_session_is_nothing():
    play = Play()
    play.socket.socket_close(1000, "", 0.0)
    play.socket.socket_writable(0.0)
    play.socket.socket_message((PING, b"", True, True), 0.0)
    play.socket.socket_lost(None, 0.0)
    assert play.is_quiet


# To the client


def test_each_message_is_a_frame(play):
    play.socket.send(TEXT, b"one")
    play.socket.write(wsframes.encode(TEXT, b'two"'))
    play.socket.send(BINARY, b"\xff")
    assert play.client.heard() == [
        ("text", 'a["one"]'),
        ("text", 'a["two\\""]'),
        ("text", 'a["\u00ef\u00bf\u00bd"]'),
    ]


def test_a_message_in_pieces_stays_in_pieces(play):
    play.socket.send(TEXT, b"a", last=False)
    play.socket.send(TEXT, b"b", first=False, last=False)
    play.socket.send(TEXT, b"c", first=False)
    assert play.client.heard() == [("text+", 'a["a'), ("+text+", "b"), ("+text", 'c"]')]


def test_pings_and_pongs_pass_both_ways(play):
    play.socket.send(PING, b"1")
    play.socket.write(wsframes.encode(PONG, b"2"))
    assert play.client.heard() == [("ping", "1"), ("pong", "2")]
    play.client.says(PING, b"3")
    play.client.says(PONG, b"4")
    assert play.receiver.heard == [(PING, b"3"), (PONG, b"4")]


def test_frames_are_compressed_one_by_one():
    play = Play(deflate=Agreement(fresh=True))
    assert not play.socket.deflates
    play.client.heard()
    play.socket.write(wsframes.encode(TEXT, b"x" * 1000))
    assert len(play.client.transport.written) < 100
    assert play.client.heard() == [("text", f'a["{"x" * 1000}"]')]


def test_a_heartbeat_comes_every_25_seconds_whatever_else_is_sent(play):
    play.socket.send(TEXT, b"x")
    assert play.passes(24.9) == [("text", 'a["x"]')]
    assert play.passes(0.1) == [("text", "h")]
    assert play.passes(50) == [("text", "h"), ("text", "h")]


def test_heartbeats_stand_for_pings(play):
    play.socket.pings = True
    assert not play.client.pings


def test_no_heartbeat_comes_inside_a_message(play):
    play.socket.send(TEXT, b"a", last=False)
    play.client.heard()
    assert play.passes(25) == []
    play.socket.send(TEXT, b"b", first=False)
    assert play.passes(25) == [("+text", 'b"]'), ("text", "h")]


def test_no_heartbeat_waits_in_a_connection_that_takes_nothing(play):
    play.client.stalls()
    assert play.passes(25) == []
    play.client.reads_on()
    assert play.passes(25) == [("text", "h")]


def test_a_client_that_takes_nothing_blocks_its_origin(play):
    assert not play.socket.blocked
    play.client.stalls(waiting=7)
    play.socket.send(TEXT, b"x")
    assert (play.socket.blocked, play.socket.pending()) == (True, 7)
    play.client.reads_on()
    assert (play.socket.blocked, play.receiver.heard) == (False, ["writable"])


def test_reading_stops_and_goes_on(play):
    play.socket.pause()
    play.client.text('["x"]')
    assert (play.client.transport.reading, play.receiver.heard) == (False, [])
    play.socket.resume(play.time.now)
    assert (play.client.transport.reading, play.receiver.heard) == (True, ["x"])


# From the client


def test_an_array_is_as_many_messages(play):
    play.client.text('["one","tw\\u00f6"]')
    play.client.says(BINARY, b'["three"]')
    play.client.text("[]")
    assert play.receiver.heard == ["one", "twö", "three"]


def test_an_empty_frame_is_ignored(play):
    play.client.text("")
    assert (play.receiver.heard, play.client.heard()) == ([], [])


@pytest.mark.parametrize("payload", ["x", "{}", '["x",1]', '"x"'])
def test_what_is_no_array_of_texts_fails_the_connection(play, payload):
    play.client.text(payload)
    assert (play.client.heard(), play.client.failed) == ([("close", 1007, "")], True)
    assert (play.receiver.heard, play.is_quiet) == ([("lost", 1007)], True)


def test_a_frame_that_is_too_large_fails_the_connection(play):
    text = "x" * (sockjs.FRAME_MAX - 4)
    play.client.text(f'["{text}"]')
    assert play.receiver.heard == [text]
    play.receiver.heard.clear()
    play.client.text(f'["{text}x"]')
    assert play.client.heard() == [("close", 1009, "")]
    assert play.receiver.heard == [("lost", 1009)]


# Ends


def test_a_close_of_the_origin_is_a_close(play):
    play.socket.close(4001, "bye")
    assert (play.client.heard(), play.is_quiet) == ([("close", 4001, "bye")], True)
    play.client.closes(4001, "bye")
    assert play.receiver.heard == [("close", 4001, "bye")]


def test_a_close_of_the_client_is_passed_on(play):
    play.client.closes(3000, "done")
    assert (play.receiver.heard, play.is_quiet) == ([("close", 3000, "done")], True)


def test_a_client_that_vanishes_is_lost(play):
    play.client.vanishes()
    assert (play.receiver.heard, play.is_quiet) == ([("lost", None)], True)


def test_a_violation_of_the_client_is_passed_on(play):
    play.client.says(3)
    assert (play.receiver.heard, play.is_quiet) == ([("lost", 1002)], True)


@pytest.mark.parametrize(("end", "heard"), [("fail", [("close", 1011, "r")]), ("drop", [])])
def test_whoever_ends_it_ends_its_heartbeats(play, end, heard):
    if end == "fail":
        play.socket.fail(1011, "r")
    else:
        play.socket.drop()
    assert play.client.heard() == heard
    assert (play.client.transport.closed, play.is_quiet) == (True, True)


def test_a_framed_socket_shows_whose_it_is(play):
    assert repr(play.socket) == "<FramedSocket <FakeClient CLIENT open>>"

"""SockJS sessions whose page polls."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RequestError
from gripproxy.flow.polling import HIGH_WATER, Session, State, Waiter
from gripproxy.protocol import sockjs, wsframes
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.sockjs import XHR, XHR_SEND, Page
from gripproxy.protocol.wsframes import BINARY, PING, PONG, TEXT
from tests.fakes import settle
from tests.flow.pages import Hearing, PageExchange, Streamed, Time, asks

BYE = (200, b'c[4001,"bye"]\n')
CLIENT_CLOSED = (200, b'c[3000,"Client already closed connection"]\n')
GONE = (410, b"Session terminated\n")


class Play:
    """A session whose first poll waits for the origin."""

    def __init__(self):
        self.time = Time()
        self.forgotten = 0
        self.asked = []
        self.session = Session(self.time.hub, self.time.clock, self._forget)
        self.receiver = Hearing()
        self.first, waiter = self.asking(XHR)
        self.session.begin(waiter)
        waiter.park()

    def _forget(self):
        self.forgotten += 1

    def asking(self, name):
        exchange = PageExchange(asks("POST", f"/sjs/0/s/{name.decode()}"))
        self.asked.append(exchange)
        return exchange, Waiter(self.session, exchange, Page(None), name)

    def poll(self):
        """Poll; return the request, which is answered or waits."""
        exchange, waiter = self.asking(XHR)
        frame = self.session.poll(waiter, self.time.now)
        if frame is None:
            waiter.park()
        else:
            exchange.finish(Page(None).frame(frame))
        return exchange

    def send(self, *texts):
        exchange, waiter = self.asking(XHR_SEND)
        if self.session.take(waiter, [text.encode() for text in texts], self.time.now):
            exchange.finish(Page(None).taken(XHR_SEND))
        else:
            waiter.park()
        return exchange

    @property
    def heard(self):
        """What the WebSocket's session has heard since the last time."""
        found, self.receiver.heard = self.receiver.heard, []
        return found

    @property
    def is_forgotten(self):
        return self.forgotten == 1 and not len(self.time.hub.deadlines)


@pytest.fixture
def opening():
    return Play()


@pytest.fixture
def play():
    """A session that is open, and whose first poll has had its `o`."""
    play = Play()
    play.session.accepted()
    play.session.attach(play.receiver, whole=True)
    assert play.first.said == (200, b"o\n")
    return play


# Opening


def test_the_first_poll_waits_until_the_origin_accepts(opening):
    opening.time.passes(60)
    assert opening.first.said is None
    opening.session.accepted()
    assert opening.first.said == (200, b"o\n")


def test_another_poll_meanwhile_is_told_so(opening):
    assert opening.poll().said == (200, b'c[2010,"Another connection still open"]\n')
    opening.session.accepted()
    assert opening.first.said == (200, b"o\n")


def test_what_is_sent_meanwhile_waits_for_the_origin(opening):
    sending = opening.send("one", "two")
    assert sending.said is None
    with pytest.raises(RequestError, match="Already sending"):
        opening.send("three")
    opening.session.accepted()
    opening.session.attach(opening.receiver, whole=True)
    assert sending.said == (204, b"")
    assert opening.heard == ["one", "two"]


async def test_a_refusal_is_passed_on_by_the_task_of_the_poll(opening):
    body = Streamed()
    refusal = Response(status=403, reason=b"No", headers=Headers(), body=body, length=5)
    task = _runs(opening.first)
    relaying = _starts(opening.session.refused(refusal))
    await settle()
    assert (opening.first.said[0], opening.is_forgotten) == (403, True)
    assert opening.first.answered.headers.get(b"access-control-allow-origin") == b"*"
    body.whole.set_result(True)
    assert await relaying == (True, 5)
    await task


async def test_a_client_that_leaves_before_its_refusal_has_begun_gets_none(opening):
    body = Streamed()
    refusal = Response(status=403, reason=b"No", headers=Headers(), body=body, length=5)
    relaying = _starts(opening.session.refused(refusal))
    await settle()
    opening.first.leaves()
    assert await relaying == (False, 0)
    assert body.abandoned


async def test_a_small_refusal_of_which_nobody_hears_is_dropped(opening):
    refusal = Response(status=403, reason=b"No", headers=Headers(), body=b"no", length=2)
    relaying = _starts(opening.session.refused(refusal))
    await settle()
    opening.first.leaves()
    assert await relaying == (False, 0)
    assert opening.first.said is None


async def test_a_refusal_whose_task_is_cancelled_has_not_been_sent(opening):
    body = Streamed()
    refusal = Response(status=403, reason=b"No", headers=Headers(), body=body, length=5)
    task = _runs(opening.first)
    relaying = _starts(opening.session.refused(refusal))
    await settle()
    task.cancel()
    assert await relaying == (False, 5)


async def test_nobody_is_left_to_be_refused(opening):
    opening.first.leaves()
    refusal = Response(status=403, reason=b"No", headers=Headers())
    assert await opening.session.refused(refusal) == (False, 0)
    assert opening.is_forgotten


async def test_a_refusal_goes_on_without_whoever_brought_it(opening):
    body = Streamed()
    refusal = Response(status=403, reason=b"No", headers=Headers(), body=body, length=5)
    task = _runs(opening.first)
    relaying = _starts(opening.session.refused(refusal))
    await settle()
    relaying.cancel()
    await settle()
    body.whole.set_result(True)
    await task
    assert opening.first.over


def test_a_client_that_leaves_while_it_opens_ends_the_session(opening):
    opening.first.leaves()
    assert opening.is_forgotten
    opening.session.accepted()
    opening.session.attach(opening.receiver, whole=True)
    assert (opening.session.state, opening.heard) == (State.GONE, [("lost", None)])


def test_a_session_that_will_never_open_is_given_up(opening):
    opening.session.give_up()
    assert (opening.first.said, opening.is_forgotten) == (GONE, True)


def test_one_that_is_open_is_not_given_up(play):
    play.session.give_up()
    assert (play.session.state, play.forgotten) == (State.OPEN, 0)


# Polls


def test_a_message_answers_the_poll_that_waits(play):
    polling = play.poll()
    assert polling.said is None
    play.session.send(TEXT, b'a"b')
    assert polling.said == (200, b'a["a\\"b"]\n')


def test_messages_wait_for_the_next_poll_and_come_together(play):
    play.session.send(TEXT, b"one")
    play.session.write(wsframes.encode(TEXT, b"two"))
    play.session.send(BINARY, b"\xff")
    assert play.poll().said == (200, 'a["one","two","\ufffd"]\n'.encode())
    assert play.poll().said is None


def test_a_message_in_pieces_comes_whole(play):
    polling = play.poll()
    play.session.send(TEXT, b"a", last=False)
    play.session.send(TEXT, b"b", first=False, last=False)
    assert polling.said is None
    play.session.send(TEXT, b"c", first=False)
    assert polling.said == (200, b'a["abc"]\n')
    assert play.session.pending() == 0


def test_pings_and_pongs_are_dropped(play):
    polling = play.poll()
    play.session.send(PING, b"x")
    play.session.write(wsframes.encode(PONG, b"x"))
    assert polling.said is None


def test_a_poll_gets_a_heartbeat_after_25_seconds(play):
    polling = play.poll()
    play.time.passes(24.9)
    assert polling.said is None
    play.time.passes(0.1)
    assert polling.said == (200, b"h\n")


def test_a_poll_that_was_answered_and_leaves_is_no_news(play):
    polling = play.poll()
    play.session.send(TEXT, b"x")
    polling.leaves(play.time.now)
    assert (play.session.state, play.heard) == (State.OPEN, [])


def test_a_session_without_a_poll_ends_after_5_seconds(play):
    play.time.passes(4.9)
    assert play.session.state is State.OPEN
    play.time.passes(0.1)
    assert (play.heard, play.is_forgotten) == ([("lost", None)], True)


@pytest.mark.parametrize("last", ["message", "heartbeat"])
def test_the_5_seconds_begin_with_each_answer(play, last):
    play.time.passes(4)
    polling = play.poll()
    if last == "message":
        play.session.send(TEXT, b"x")
    else:
        play.time.passes(25)
    assert polling.said is not None
    play.time.passes(4.9)
    assert play.session.state is State.OPEN
    play.time.passes(0.1)
    assert play.is_forgotten


def test_a_client_that_leaves_a_poll_closes_the_websocket(play):
    play.poll().leaves(play.time.now)
    assert play.heard == [("close", None, "")]
    play.session.close(1000, "answered")
    play.time.turns()
    assert (play.heard, play.poll().said) == ([], CLIENT_CLOSED)


def test_a_client_that_leaves_before_there_is_a_websocket_closes_nothing(opening):
    opening.session.accepted()
    opening.poll().leaves(opening.time.now)
    assert opening.poll().said == CLIENT_CLOSED


# Too much


def test_an_origin_is_read_no_further_while_much_waits(play):
    play.session.send(TEXT, b"x" * HIGH_WATER)
    assert (play.session.blocked, play.heard) == (True, [])
    play.poll()
    assert (play.session.blocked, play.heard) == (False, ["writable"])


@pytest.mark.parametrize("how", [{}, {"last": False}])
def test_a_session_for_which_too_much_waits_is_ended(play, how):
    play.session.send(TEXT, b"x" * (sockjs.WAITING_MAX - 2), **how)
    assert play.session.state is State.OPEN
    play.session.send(TEXT, b"xxx", first=not how, **how)
    assert (play.session.state, play.forgotten, play.heard) == (State.GONE, 1, [])
    assert play.session.pending() == 0
    play.time.turns()
    assert (play.heard, play.is_forgotten) == ([("lost", None)], True)


def test_a_large_message_for_a_poll_that_waits_is_not_too_much(play):
    polling = play.poll()
    play.session.send(TEXT, b"x" * 500_000)
    assert len(polling.said[1]) == 500_006


def test_nothing_is_kept_for_a_session_that_is_gone(play):
    play.session.drop()
    play.session.send(TEXT, b"x")
    assert play.session.pending() == 0


# What the page sends


def test_what_is_sent_is_taken(play):
    assert play.send("one", "").said == (204, b"")
    assert play.heard == ["one", ""]


def test_an_answer_waits_until_the_origin_takes_more(play):
    play.session.pause()
    play.session.resume(play.time.now)
    assert play.send("one").said == (204, b"")
    play.receiver.socket_message = lambda piece, now: play.session.pause()
    sending = play.send("two")
    assert sending.said is None
    with pytest.raises(RequestError, match="Already sending"):
        play.send("three")
    play.session.resume(play.time.now)
    assert sending.said == (204, b"")


def test_whoever_leaves_while_he_sends_does_not_make_room(play):
    play.receiver.socket_message = lambda piece, now: play.session.pause()
    play.send("one").leaves(play.time.now)
    with pytest.raises(RequestError, match="Already sending"):
        play.send("two")
    play.session.resume(play.time.now)
    assert play.session.state is State.OPEN


# Ends


def test_a_close_is_told_to_the_poll_that_waits_and_answered(play):
    polling = play.poll()
    play.session.close(4001, "bye")
    assert (polling.said, play.heard) == (BYE, [])
    play.time.turns()
    assert play.heard == [("close", 4001, "bye")]


def test_a_close_without_a_code_is_0(play):
    play.session.close(None)
    play.time.turns()
    assert play.poll().said == (200, b'c[0,"Connection closed"]\n')
    assert play.heard == [("close", None, "")]


def test_a_close_is_told_to_each_poll_for_5_seconds(play):
    play.session.close(4001, "bye")
    play.time.passes(3)
    assert play.poll().said == BYE
    play.time.passes(3)
    assert play.poll().said == BYE
    play.time.passes(1.9)
    assert play.poll().said == BYE
    play.time.passes(0.1)
    assert (play.is_forgotten, play.heard) == (True, [("close", 4001, "bye")])


def test_a_close_without_a_poll_is_forgotten_after_5_seconds(play):
    play.session.close(4001, "bye")
    play.time.passes(5)
    assert play.is_forgotten


def test_a_poll_before_the_close_is_answered_does_not_get_lost(play):
    play.session.close(4001, "bye")
    assert play.poll().said == BYE
    play.time.turns()
    assert play.heard == [("close", 4001, "bye")]
    play.time.passes(5)
    assert play.is_forgotten


def test_messages_come_before_the_close(play):
    play.session.send(TEXT, b"last")
    play.session.close(4001, "bye")
    play.session.close(4002, "again")
    assert play.poll().said == (200, b'a["last"]\n')
    play.time.passes(4.9)
    assert play.poll().said == BYE


def test_a_close_answers_what_waits_to_be_taken(play):
    play.receiver.socket_message = lambda piece, now: play.session.pause()
    sending = play.send("one")
    play.session.close(4001, "bye")
    assert (sending.said, play.session.farewell) == (BYE, b'c[4001,"bye"]')


def test_a_session_whose_websocket_never_comes_ends_like_others(opening):
    opening.session.accepted()
    sending = opening.send("one")
    opening.session.send(TEXT, b"x" * HIGH_WATER)
    opening.poll()
    opening.session.close(4001, "bye")
    opening.time.turns()
    assert (sending.said, opening.poll().said) == ((204, b""), BYE)
    opening.session.break_off()
    assert opening.is_forgotten


@pytest.mark.parametrize("end", ["fail", "drop"])
def test_an_origin_that_vanishes_ends_the_session(play, end):
    polling = play.poll()
    play.receiver.socket_message = lambda piece, now: play.session.pause()
    sending = play.send("one")
    if end == "fail":
        play.session.fail(1011)
    else:
        play.session.drop()
    assert (polling.said, sending.said) == (GONE, GONE)
    assert (play.is_forgotten, play.heard) == (True, [])


def test_a_failure_with_a_reason_is_told(play):
    polling = play.poll()
    play.session.fail(1011, "filter")
    play.time.turns()
    assert (polling.said, play.heard) == ((200, b'c[1011,"filter"]\n'), [])


def test_a_closed_session_stays_as_it_is(play):
    play.session.close(4001, "bye")
    play.session.fail(1011)
    play.session.drop()
    play.session.drain(play.time.now)
    assert play.poll().said == BYE


def test_what_cannot_be_carried_on_ends_the_session(play):
    polling = play.poll()
    play.session.break_off()
    assert (polling.said, play.heard, play.is_forgotten) == (GONE, [("lost", None)], True)
    play.session.break_off()
    assert play.forgotten == 1


def test_a_drain_closes_with_1012(play):
    polling = play.poll()
    polling.held.drain(play.time.now)
    assert polling.said == (200, b'c[1012,"Connection closed"]\n')
    assert play.heard == [("lost", wsframes.RESTART)]


def test_a_drain_refuses_what_is_opening(opening):
    opening.session.drain(opening.time.now)
    assert opening.first.said == (503, b"The proxy is going away.\n")
    assert opening.is_forgotten


# Whatever happens


def _sends(play):
    try:
        play.send("x")
    except RequestError as error:
        play.asked[-1].finish(Page(None).error(error.status, error.text))


def _accepts(play):
    if play.session.state is State.OPENING:
        play.session.accepted()
        play.session.attach(play.receiver, whole=True)


STEPS = {
    "poll": lambda play: play.poll(),
    "send": _sends,
    "leave": lambda play: [one.leaves(play.time.now) for one in play.asked if one.held],
    "message": lambda play: play.session.send(TEXT, b"x" * 20_000),
    "piece": lambda play: play.session.send(TEXT, b"x" * 90_000, last=False),
    "pause": lambda play: play.session.pause(),
    "resume": lambda play: play.session.resume(play.time.now),
    "accept": _accepts,
    "close": lambda play: play.session.close(4001, "bye"),
    "fail": lambda play: play.session.fail(1011),
    "explain": lambda play: play.session.fail(1011, "filter"),
    "drop": lambda play: play.session.drop(),
    "drain": lambda play: play.session.drain(play.time.now),
    "give up": lambda play: play.session.give_up(),
    "a turn": lambda play: play.time.turns(),
    "3 seconds": lambda play: play.time.passes(3),
    "25 seconds": lambda play: play.time.passes(25),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=30), st.booleans())
def test_each_request_is_answered_and_nothing_is_left(steps, opens):
    play = Play()
    if opens:
        _accepts(play)
    for step in steps:
        if play.session.state is State.GONE:
            break
        STEPS[step](play)
        assert play.session.pending() <= sockjs.WAITING_MAX
    play.session.give_up()
    play.session.resume(play.time.now)
    play.time.passes(60)
    assert play.is_forgotten
    assert all(one.gone or one.said is not None for one in play.asked)
    assert play.receiver.heard.count(("lost", None)) <= 1


def test_sessions_show_what_they_are_doing(play):
    play.session.send(TEXT, b"x")
    assert repr(play.session) == "<Session open, 3 bytes wait>"


def _starts(story):
    return asyncio.get_running_loop().create_task(story)


def _runs(exchange):
    """Run what the task of a parked connection runs."""

    async def parked(_):
        pass

    return _starts(exchange.run(parked))

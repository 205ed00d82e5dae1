"""When streams fetch their next link because it is time."""

import pytest

from gripproxy.engine.nexttimers import NextTimers

URI = b"http://o/next?u=1"


class Stream:
    """A stream that leaves when its time is over, unless it is spared."""

    def __init__(self, timers, uri=URI, timeout=120, *, now=0.0):
        self.timers = timers
        self.timer = timers.add(self, uri, timeout, now=now)
        self.spared = False
        self.told = []

    def next_due(self, now):
        self.told.append(now)
        if not self.spared:
            self.leave()

    def leave(self):
        self.timers.remove(self, self.timer)


@pytest.fixture
def timers():
    return NextTimers()


def test_a_stream_is_told_when_its_time_is_over(timers):
    stream = Stream(timers)
    timers.due(119)
    assert stream.told == []
    timers.due(120)
    assert stream.told == [120]
    assert timers.next_deadline() is None
    assert len(timers) == 0


def test_streams_of_a_link_share_the_timer_that_the_first_started(timers):
    stream, later = Stream(timers), Stream(timers, b"http://o/next?u=2", now=100)
    timers.due(120)
    assert stream.told == later.told == [120]


@pytest.mark.parametrize(
    ("uri", "timeout"), [(b"http://o/other", 120), (URI, 60), (b"http://p/next", 120)]
)
def test_others_have_their_own(timers, uri, timeout):
    Stream(timers)
    other = Stream(timers, uri, timeout, now=100)
    timers.due(120)
    assert other.told == []
    assert timers.next_deadline() == 100 + timeout


def test_a_stream_that_is_spared_has_another_period(timers):
    spared, other = Stream(timers), Stream(timers)
    spared.spared = True
    timers.due(120)
    timers.due(239)
    assert spared.told == other.told == [120]
    timers.due(240)
    assert spared.told == [120, 240]


def test_the_timer_of_the_last_stream_goes_with_it(timers):
    stream, other = Stream(timers), Stream(timers)
    stream.leave()
    assert timers.next_deadline() == 120
    other.leave()
    assert timers.next_deadline() is None


def test_whoever_has_the_loop_is_told_when():
    moments = []
    timers = NextTimers(moments.append)
    stream = Stream(timers)
    stream.spared = True
    timers.due(120)
    assert moments == [120, 240]


def test_a_timer_says_what_it_is_for(timers):
    assert repr(Stream(timers).timer) == "<NextTimer 120 s b'http://o/next' 1>"

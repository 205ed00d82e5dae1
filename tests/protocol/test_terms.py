"""The terms of a hold."""

from gripproxy.protocol.terms import Channel, KeepAlive, KeepAliveMode, Link


def test_a_channel_is_a_name_unless_more_is_said():
    assert Channel("c") == Channel("c", None, (), resumes=False)


def test_a_keep_alive_comes_after_55_seconds_of_silence():
    assert KeepAlive(b"\n") == KeepAlive(b"\n", 55, KeepAliveMode.IDLE)


def test_a_link_is_fetched_after_two_minutes():
    assert Link(b"/").timeout == 120

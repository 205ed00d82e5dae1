"""WebSockets whose frames are counted (stats.md 7)."""

import pytest

from gripproxy.engine.sockets import Sessions
from gripproxy.engine.stats import Counters
from gripproxy.engine.sums import NAMES, values
from gripproxy.engine.watched import WatchedSession
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.wsframes import PING
from tests.engine.playing import NOW, Outside
from tests.fakes import FakeClient, make_hub


class Play:
    """A session that is counted, between a fake client and an out side."""

    def __init__(self):
        self.counters = Counters(now=NOW, instance="i")
        route = Route(targets=(Target(kind="test"),), domain="*", id="r")
        request = Request(method=b"GET", target=b"/", headers=Headers(), websocket=True)
        counted = self.counters.begin(request, route, peer="", now=NOW, cid="cid")
        self.client = FakeClient()
        self.outside = Outside()
        sessions = Sessions(make_hub())
        self.session = WatchedSession(sessions, "cid", route, prefix=b"m:")
        self.session.counted = counted
        self.session.start(self.client, self.outside, NOW)
        self.client.attach(self.session, whole=False)
        self.before = dict(zip(NAMES, values(counted.entry), strict=True))

    def added(self) -> dict[str, int]:
        """Return what has been counted since the beginning."""
        now = dict(zip(NAMES, values(self.session.counted.entry), strict=True))
        return {
            name: now[name] - self.before[name] for name in NAMES if now[name] != self.before[name]
        }


@pytest.fixture
def play():
    return Play()


def test_a_message_of_the_client_is_one_for_the_origin(play):
    play.client.text("hello")
    assert play.outside.calls == [("take", 1, b"hello")]
    assert play.added() == {
        "client_content_bytes_received": 5,
        "client_messages_received": 1,
        "server_content_bytes_sent": 5,
        "server_messages_sent": 1,
    }


def test_a_piece_is_no_message_until_the_last(play):
    play.client.says(1, "he", fin=False)
    assert play.added()["client_content_bytes_received"] == 2
    assert "client_messages_received" not in play.added()


def test_a_ping_is_a_message(play):
    play.client.says(PING, "pi")
    assert play.added()["client_messages_received"] == 1


def test_what_a_detached_client_says_is_not_for_the_origin(play):
    play.session.message((1, b'c:{"type":"detach"}', True, True), NOW)
    play.client.text("hello")
    assert play.added()["client_messages_received"] == 1
    assert "server_messages_sent" not in play.added()


def test_a_message_of_the_origin_is_counted_as_each_side_sees_it(play):
    play.session.message((1, b"m:hi", True, True), NOW)
    assert play.client.heard() == [("text", "hi")]
    assert play.added() == {
        "server_content_bytes_received": 4,
        "server_messages_received": 1,
        "client_content_bytes_sent": 2,
        "client_messages_sent": 1,
    }


def test_a_control_message_is_not_for_the_client(play):
    play.session.message((1, b'c:{"type":"subscribe","channel":"a"}', True, True), NOW)
    assert "client_messages_sent" not in play.added()


def test_minutes_with_frames_are_activity(play):
    play.client.text("hello")
    play.session.message((1, b"m:hi", True, True), NOW + 60)
    assert play.added()["activity"] == 1


def test_a_websocket_is_over_when_its_client_is_gone(play):
    play.client.vanishes()
    assert play.counters.connections == 0
    assert play.outside.calls == [("gone", None)]


def test_it_is_over_once(play):
    play.session.gone(NOW)
    play.session.gone(NOW)
    assert play.counters.connections == 0

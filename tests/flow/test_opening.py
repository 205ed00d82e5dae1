"""From a client's handshake to an open WebSocket."""

import logging

import pytest

from gripproxy.engine.sockets import Sessions
from gripproxy.errors import FrameError
from gripproxy.flow.access import Access, Settings
from gripproxy.flow.opening import (
    Handshake,
    Opener,
    Side,
    acceptance,
    acceptance_over_http,
    refusal,
)
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.wshandshake import Grip
from tests.fakes import FakeClock, FakeExchange, fields, make_hub

TARGET = Target(kind="tcp", host="o", port=1, subs=("s",))
SAID = Grip(b"m:", b"grip; a=b")


def make_route(**how):
    return Route(targets=(TARGET,), domain="*", id="r", **how)


class Play:
    def __init__(self, **how):
        self.lines = []
        self.sessions = Sessions(make_hub())
        access = Access(self.lines.append, Settings())
        opener = Opener(self.sessions, clock=FakeClock(), access=access, make_id=lambda: "cid")
        request = Request(
            method=b"GET", target=b"/a", authority=b"h", headers=Headers(), websocket=True
        )
        self.exchange = FakeExchange(request)
        route = how.pop("route", make_route())
        self.handshake = Handshake(exchange=self.exchange, request=request, route=route, **how)
        self.side = Side(opener, self.exchange)
        response = Response(status=101, reason=b"", headers=Headers())
        opener.accept(self.handshake, TARGET, self.side, response, SAID)


def test_a_session_is_made_and_the_client_is_told():
    play = Play(debug=True)
    session = play.side.session
    assert (session.cid, session.implicit, session.debug) == ("cid", ("s",), True)
    assert play.side.client is play.exchange.client
    assert play.exchange.upgraded.status == 101
    assert not play.exchange.upgraded.headers
    assert play.lines == ["subscribe ws://h/a channel=s"]


@pytest.mark.parametrize(
    ("how", "speaks", "raw"),
    [
        ({}, True, False),
        ({"trusted": True}, False, True),
        ({"route": make_route(no_grip=True)}, False, False),
        ({"route": make_route(no_grip=True), "trusted": True}, False, False),
    ],
)
def test_what_the_origin_says_in_grip_is_for_us_or_for_a_proxy_in_front(how, speaks, raw):
    play = Play(**how)
    assert play.handshake.speaks_grip is speaks
    assert play.exchange.upgraded.headers.has(b"sec-websocket-extensions") is raw


def test_a_side_knows_its_uri():
    assert Play().side.url == b"ws://h/a"


def test_what_is_ignored_is_for_those_who_debug(caplog):
    caplog.set_level(logging.DEBUG)
    Play().side.ignored("no JSON")
    assert caplog.messages == ["websocket cid: no JSON"]


def test_a_warning_names_the_route(caplog):
    Play().side.warn("odd")
    assert caplog.messages == ["route r: websocket cid: odd"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(None, 0), (FrameError(1002, "x"), 0), (FrameError(1008, "slow consumer"), 1)],
)
def test_only_of_failures_for_slowness_is_told(caplog, error, told):
    Play().side.tell_failure(error)
    assert len(caplog.messages) == told


RESPONSE = (
    "X-R: r",
    "Upgrade: websocket",
    "Connection: Upgrade, X-Hop",
    "X-Hop: 1",
    "Sec-WebSocket-Accept: x",
    "Sec-WebSocket-Extensions: grip",
    "Content-Type: application/websocket-events",
    "Content-Length: 6",
    "Keep-Alive-Interval: 20",
    "Content-Bytes-Accepted: 0",
    "Set-Meta-User: u",
    "Set-Cookie: a=1",
)


def test_an_acceptance_over_http_has_only_what_is_for_the_client():
    answer = acceptance_over_http(Response(status=200, reason=b"OK", headers=fields(*RESPONSE)))
    assert (answer.status, answer.reason) == (101, b"Switching Protocols")
    assert list(answer.headers) == [(b"X-R", b"r"), (b"Set-Cookie", b"a=1")]


@pytest.mark.parametrize("answer", [acceptance, refusal])
def test_otherwise_the_fields_of_the_handshake_are_left_out(answer):
    found = answer(Response(status=403, reason=b"No", headers=fields(*RESPONSE)))
    assert (found.status, found.reason) == (403, b"No")
    assert [name for name, _ in found.headers] == [
        b"X-R",
        b"Content-Type",
        b"Content-Length",
        b"Keep-Alive-Interval",
        b"Content-Bytes-Accepted",
        b"Set-Meta-User",
        b"Set-Cookie",
    ]

"""The access lines."""

import pytest

from gripproxy.engine.origins import Origin
from gripproxy.flow.access import Access, Settings
from gripproxy.protocol.routes import Target
from tests.fakes import fields
from tests.holdfakes import HeldExchange, a_request, a_route

TARGET = Target(kind="tcp", host="o", port=1)
FULL = Settings(client=True, user_agent=True)
FIELDS = fields("Referer: http://ref/", "User-Agent: UA/1 (x)")


class Play:
    def __init__(self, settings=None, **request):
        self.lines = []
        self.access = Access(self.lines.append, settings or Settings())
        self.request = a_request("/a?b=1", peer="10.0.0.1", **request)

    def answered(self, route=None, target=TARGET, **how):
        exchange = HeldExchange(self.request)
        exchange.sent = 5
        self.access.answered(exchange, self.request, route, target, 200, **how)
        return self.lines.pop()


def test_a_line_tells_of_request_target_and_answer():
    assert Play().answered() == "GET http://proxy/a?b=1 -> o:1 code=200 5"


def test_it_tells_what_is_wanted_in_pushpins_order():
    line = Play(FULL, headers=FIELDS).answered(a_route(id="shop", explicit_id=True), retry=True)
    assert line == (
        "GET http://proxy/a?b=1 -> o:1 from=10.0.0.1 ref=http://ref/ route=shop code=200 5"
        " retry ua=UA/1 (x)"
    )


def test_it_tells_nothing_that_is_not_there():
    play = Play(FULL)
    play.request.peer = ""
    assert play.answered(a_route(), None) == "GET http://proxy/a?b=1 code=200 5"


def test_clients_and_agents_are_told_only_if_wanted():
    assert Play(headers=FIELDS).answered() == (
        "GET http://proxy/a?b=1 -> o:1 ref=http://ref/ code=200 5"
    )


def test_a_websocket_over_http_says_so():
    target = Target(kind="tcp", host="o", port=1, over_http=True)
    play = Play(websocket=True)
    assert play.answered(target=target) == "GET ws://proxy/a?b=1 -> o:1[http] code=200 5"


def test_one_that_broke_off_says_so():
    play = Play()
    play.access.broke_off(play.request, None, TARGET)
    assert play.lines == ["GET http://proxy/a?b=1 -> o:1 error"]


def hold(play, **how):
    origin = Origin(request=play.request, route=a_route(), target=TARGET, **how)
    play.access.held(origin, ["c", "d"])
    return play.lines


def test_a_hold_has_a_line_and_one_for_each_channel():
    assert hold(Play(), last={}) == [
        "GET http://proxy/a?b=1 -> o:1 accept",
        "subscribe http://proxy/a?b=1 channel=c",
        "subscribe http://proxy/a?b=1 channel=d",
    ]


def test_one_after_a_retry_tells_its_positions():
    assert hold(Play(), last={"c": "1"}, retries=(5.0,)) == [
        "GET http://proxy/a?b=1 -> o:1 accept retry #c=1",
        "subscribe http://proxy/a?b=1 channel=c retry",
        "subscribe http://proxy/a?b=1 channel=d retry",
    ]


def test_websockets_and_items_have_lines():
    play = Play(websocket=True)
    play.access.subscribed(play.request, "c")
    play.access.published("c", 3)
    assert play.lines == [
        "subscribe ws://proxy/a?b=1 channel=c",
        "publish channel=c receivers=3",
    ]


def test_requests_of_our_own_have_lines():
    play = Play()
    play.access.made(b"GET", b"http://proxy/n", a_route(), 200, 5)
    play.access.made(b"POST", b"http://proxy/c", a_route(id="shop", explicit_id=True), None, 0)
    assert play.lines == [
        "GET http://proxy/n code=200 5",
        "POST http://proxy/c route=shop error",
    ]


@pytest.mark.parametrize(
    "tell", ["answered", "broke_off", "held", "made", "subscribed", "published"]
)
def test_without_a_log_nothing_is_written(tell):
    access = Access(None, FULL)
    request = a_request()
    arguments = {
        "answered": (HeldExchange(request), request, None, None, 200),
        "broke_off": (request, None, None),
        "held": (None, ()),
        "made": (b"GET", b"http://proxy/", a_route(), 200, 0),
        "subscribed": (request, "c"),
        "published": ("c", 1),
    }
    assert getattr(access, tell)(*arguments[tell]) is None

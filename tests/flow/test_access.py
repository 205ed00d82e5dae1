"""The access lines."""

import logging

import pytest

from gripproxy.engine.origins import Origin
from gripproxy.flow.access import Access, Settings, log_of
from gripproxy.protocol.routes import Target
from tests.fakes import fields
from tests.holdfakes import HeldExchange, a_request, a_route

TARGET = Target(kind="tcp", host="o", port=1)
FULL = Settings(client=True, user_agent=True)
FIELDS = fields("Referer: http://ref/", "User-Agent: UA/1 (x)")


class Play:
    def __init__(self, settings=None, *, json=False, **request):
        self.lines = []
        self.records = []
        self.time = 5.0
        self.access = Access(
            self.lines.append,
            settings or Settings(),
            record=self._record if json else None,
            now=lambda: self.time,
        )
        self.request = a_request("/a?b=1", peer="10.0.0.1", **request)

    def _record(self, word, fields):
        self.records.append({"": word, **fields})

    def answered(self, route=None, target=TARGET, *, status=200, **how):
        exchange = HeldExchange(self.request)
        exchange.sent = 5
        self.access.answered(exchange, self.request, route, target, status, **how)
        return (self.lines or self.records).pop()


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


def hold(play, route=None, **how):
    origin = Origin(request=play.request, route=route or a_route(), target=TARGET, **how)
    play.access.held(origin, ["c", "d"])
    return play.lines or play.records


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
    play.access.subscribed(play.request, a_route(), "c")
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
        "held": (Origin(request=request, route=a_route(), last={}), ("c",)),
        "made": (b"GET", b"http://proxy/", a_route(), 200, 0),
        "subscribed": (request, a_route(), "c"),
        "published": ("c", 1),
    }
    assert getattr(access, tell)(*arguments[tell]) is None


# What Pushpin does not tell


def test_a_request_without_route_says_so():
    assert Play().answered(None, None, status=502) == (
        "GET http://proxy/a?b=1 code=502 5 error=no-route"
    )
    assert "no-route" not in Play().answered(a_route(), status=502)


def test_how_long_it_took_stands_behind_all_else():
    play = Play(Settings(user_agent=True, worker=0), headers=FIELDS)
    began = play.access.begins()
    play.time += 0.0123
    assert play.answered(began=began).endswith(" ua=UA/1 (x) t=0.0123 worker=0")
    play.access.broke_off(play.request, None, TARGET, began=began)
    assert play.lines.pop().endswith(" error ua=UA/1 (x) t=0.0123 worker=0")


def test_without_a_clock_nobody_knows_how_long_it_took():
    lines = []
    access = Access(lines.append, Settings())
    request = a_request()
    access.answered(HeldExchange(request), request, None, None, 200, began=access.begins())
    access.answered(HeldExchange(request), request, None, None, 200, began=1.0)
    assert not any(" t=" in line for line in lines)


# JSON


def test_in_json_each_part_is_a_field():
    play = Play(Settings(client=True, user_agent=True, worker=1), json=True, headers=FIELDS)
    began = play.access.begins()
    play.time += 0.25
    route = a_route(id="shop", explicit_id=True)
    assert play.answered(route, retry=True, began=began) == {
        "": "request",
        "method": "GET",
        "uri": "http://proxy/a?b=1",
        "target": "o:1",
        "from": "10.0.0.1",
        "ref": "http://ref/",
        "route": "shop",
        "code": 200,
        "size": 5,
        "retry": True,
        "ua": "UA/1 (x)",
        "t": 0.25,
        "worker": 1,
    }


def test_in_json_nothing_is_told_that_is_not_there():
    play = Play(json=True)
    assert play.answered(None, None, status=502) == {
        "": "request",
        "method": "GET",
        "uri": "http://proxy/a?b=1",
        "code": 502,
        "size": 5,
        "error": "no-route",
    }
    play.access.broke_off(play.request, a_route(), None)
    assert play.records == [
        {"": "request", "method": "GET", "uri": "http://proxy/a?b=1", "error": True}
    ]


def test_in_json_a_hold_is_told_with_its_positions():
    uri = "http://proxy/a?b=1"
    told = {"method": "GET", "uri": uri, "target": "o:1", "accept": True, "retry": True}
    assert hold(Play(json=True), last={"c": "1"}, retries=(5.0,)) == [
        {"": "request", **told, "last": {"c": "1"}},
        {"": "subscribe", "uri": uri, "channel": "c", "retry": True},
        {"": "subscribe", "uri": uri, "channel": "d", "retry": True},
    ]


def test_in_json_all_else_has_fields_too():
    play = Play(json=True, websocket=True)
    play.access.subscribed(play.request, a_route(), "c")
    play.access.published("c", 3)
    play.access.made(b"POST", b"http://proxy/n", a_route(), None, 0)
    assert play.records == [
        {"": "subscribe", "uri": "ws://proxy/a?b=1", "channel": "c"},
        {"": "publish", "channel": "c", "receivers": 3},
        {"": "request", "method": "POST", "uri": "http://proxy/n", "error": True},
    ]


# Levels


def all_told(route, **levels):
    """Return the first words of all lines about a route, and of an item."""
    play = Play(Settings(**levels))
    exchange = HeldExchange(play.request)
    play.access.answered(exchange, play.request, route, TARGET, 200)
    play.access.broke_off(play.request, route, TARGET)
    play.access.made(b"POST", b"http://proxy/", route, 200, 0)
    play.access.held(Origin(request=play.request, route=route, last={}), ["c"])
    play.access.subscribed(play.request, route, "c")
    play.access.published("c", 1)
    return [line.partition(" ")[0] for line in play.lines]


def test_each_service_has_its_level():
    assert all_told(a_route(), level=1) == ["subscribe", "subscribe", "publish"]
    assert all_told(a_route(), handler_level=1) == ["GET", "GET", "POST", "GET"]
    assert all_told(a_route(), level=1, handler_level=1) == []


ALL = ["GET", "GET", "POST", "GET", "subscribe", "subscribe"]


@pytest.mark.parametrize(("number", "told"), [(-1, []), (1, []), (2, ALL), (4, ALL)])
def test_the_level_of_a_route_is_that_of_all_its_lines(number, told):
    route = a_route(log_level=number)
    assert all_told(route, level=0, handler_level=0) == told
    assert all_told(route) == [*told, "publish"]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (-1, []),
        (0, ["ERROR"]),
        (1, ["WARNING", "ERROR"]),
        (2, ["INFO", "WARNING", "ERROR"]),
        (3, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (9, ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_other_lines_about_a_route_have_its_level(caplog, number, shown):
    caplog.set_level(logging.ERROR, "gripproxy")
    caplog.handler.setLevel(logging.NOTSET)
    log = log_of(a_route(log_level=number))
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(level, "said")
    assert [record.levelname for record in caplog.records] == shown


@pytest.mark.parametrize("route", [None, a_route()])
def test_other_lines_about_other_routes_have_the_level_of_all(caplog, route):
    caplog.set_level(logging.WARNING, "gripproxy")
    log_of(route).info("not said")
    log_of(route).warning("said")
    assert caplog.messages == ["said"]

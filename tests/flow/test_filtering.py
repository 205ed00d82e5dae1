"""Filters that ask the network."""

import asyncio

import pytest

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.subscriptions import Subscription, pass_filters
from gripproxy.errors import (
    ConnectError,
    ExchangeError,
    FilterError,
    GripProxyError,
    OriginTimeoutError,
)
from gripproxy.flow import filtering
from gripproxy.protocol.filters import Drop
from gripproxy.protocol.items import PublishItem
from tests.holdfakes import FakeSource, a_route, in_virtual_time
from tests.world import World, a_response

ROUTE = a_route()


class Holder:
    """A holder whose filter asks this URL."""

    def __init__(self, url="/check", *, name="http-check", route=ROUTE):
        subscription = Subscription("c", "c", "1", (name,))
        self.subscriptions = {"c": subscription}
        self.meta = {"url": url}
        self.url = b"http://proxy/s"
        self.route = route
        self.answers = []

    def ask(self, world, delivery, content=b"x"):
        passage = pass_filters(self, self.subscriptions["c"], delivery, content, None)
        world.hub.network.ask(
            self, delivery, passage.halted, lambda answer, now: self.answers.append(answer)
        )

    @property
    def answer(self):
        (answer,) = self.answers
        return answer.text if isinstance(answer, FilterError) else answer


def an_item(**meta):
    return Delivery(PublishItem("c", id="2", prev_id="1", meta=meta))


# Requests


@in_virtual_time
async def test_a_question_is_a_request_of_the_route():
    world, holder = World(ROUTE), Holder(name="http-modify")
    holder.ask(world, an_item(k="v"), b"hello")
    await world.wait()
    ((request, _),) = world.origin.requests
    assert request.body == b"hello"
    assert world.asked() == [
        'POST origin:80/check, Sub-Meta: {"url":"/check"}, Pub-Meta: {"k":"v"},'
        " Grip-Last: c; last-id=1"
    ]
    await world.answer(body="hallo")
    assert holder.answer == b"hallo"
    assert world.lines == ["POST http://proxy/check code=200 5"]


@in_virtual_time
async def test_another_host_is_asked_itself():
    world, holder = World(ROUTE), Holder("http://other/check")
    holder.ask(world, an_item())
    await world.wait()
    assert world.asked()[0].startswith("POST other:80/check, ")


@in_virtual_time
async def test_a_streams_links_do_not_change_whose_host_is_the_clients():
    world = World()
    client = await world.ask("/s")
    lines = (
        "Grip-Hold: stream",
        "Grip-Channel: c; filter=http-check",
        "Grip-Link: <http://other/next>; rel=next; timeout=0",
    )
    await world.answer(*lines, "Grip-Set-Meta: url=check")
    await world.wait(0.1)
    await world.answer(*lines[:2], 'Grip-Set-Meta: url="check"')
    await world.publish("c", "x")
    assert [line.split(",")[0] for line in world.asked()] == [
        "GET origin:80/s",
        "GET other:80/next",
        "POST other:80/check",
    ]
    await world.answer()
    assert client.heard() == ["x"]


@in_virtual_time
async def test_a_url_that_cannot_be_asked_is_an_error_but_not_at_once():
    world, holder = World(ROUTE), Holder("")
    holder.ask(world, an_item())
    assert holder.answers == []
    await world.wait()
    assert holder.answer == "missing url value"


# Equal questions


@in_virtual_time
async def test_equal_questions_of_one_item_are_asked_once():
    world, holders, delivery = World(ROUTE), [Holder(), Holder()], an_item()
    for holder in holders:
        holder.ask(world, delivery)
    await world.wait()
    assert len(world.asked()) == 1
    await world.answer("Action: drop")
    assert [holder.answer for holder in holders] == [Drop.ITEM] * 2


@in_virtual_time
async def test_whoever_asks_late_gets_the_answer_that_is_there():
    world, first, late, delivery = World(ROUTE), Holder(), Holder(), an_item()
    first.ask(world, delivery)
    await world.wait()
    await world.answer(status=204)
    late.ask(world, delivery, b"y")
    assert late.answers == []
    await world.wait()
    assert late.answer == b"y"
    assert len(world.asked()) == 1


@in_virtual_time
async def test_another_item_another_url_and_another_route_are_other_questions():
    world, delivery = World(ROUTE), an_item()
    Holder().ask(world, delivery)
    Holder().ask(world, an_item())
    Holder("/other").ask(world, delivery)
    Holder(route=a_route(id="other")).ask(world, delivery)
    await world.wait(1)
    assert len(world.asked()) == 4


# Pace


@in_virtual_time
async def test_three_are_asked_each_25_milliseconds():
    world = World(ROUTE)
    for number in range(7):
        Holder(f"/{number}").ask(world, an_item())
    await world.wait()
    counts = [len(world.asked())]
    for _ in range(3):
        await world.wait(0.025)
        counts.append(len(world.asked()))
    assert counts == [3, 3, 1, 0]


@in_virtual_time
async def test_urls_take_turns():
    world = World(ROUTE)
    for url in ("/a", "/a", "/a", "/b"):
        Holder(url).ask(world, an_item())
    await world.wait(1)
    urls = [line.split(",")[0].partition("80")[2] for line in world.asked()]
    assert urls == ["/a", "/b", "/a", "/a"]


@in_virtual_time
async def test_so_many_may_wait_and_no_more(monkeypatch):
    monkeypatch.setattr(filtering, "WAITING_MAX", 4)
    world, late = World(ROUTE), Holder("/late")
    for number in range(4):
        Holder(f"/{number}").ask(world, an_item())
    late.ask(world, an_item())
    assert late.answers == []
    await world.wait()
    assert late.answer == "network request limit reached"
    await world.wait(1)
    assert len(world.asked()) == 4
    for number in range(4):
        Holder(f"/{number}").ask(world, an_item())
    await world.wait(1)
    assert len(world.asked()) == 4, "those that were made wait no longer"


# Failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectError("connection_refused", ""), "connection refused"),
        (ConnectError("connection_timeout", ""), "connection timed out"),
        (ConnectError("tls_certificate_error", ""), "tls error"),
        (ConnectError("dns_error", ""), "general error"),
        (OriginTimeoutError("http_response_timeout", ""), "request timed out"),
        (ExchangeError("http_response_incomplete", ""), "disconnected"),
        (GripProxyError(), "general error"),
    ],
)
@in_virtual_time
async def test_a_failure_says_why(error, reason):
    world, holder = World(ROUTE), Holder()
    holder.ask(world, an_item())
    await world.wait()
    await world.reply(error)
    assert holder.answer == f"network request failed: {reason}"
    assert world.lines == ["POST http://proxy/check error"]


@in_virtual_time
async def test_ten_seconds_are_enough():
    world, holder = World(ROUTE), Holder()
    holder.ask(world, an_item())
    await world.wait(9)
    assert holder.answers == []
    await world.wait(1)
    assert holder.answer == "network request failed: request timed out"


@in_virtual_time
async def test_an_answer_that_breaks_off_is_none():
    world, holder, body = World(ROUTE), Holder(), FakeSource("a")
    holder.ask(world, an_item())
    await world.wait()
    await world.reply(a_response(body=body))
    body.fail()
    await world.wait()
    assert holder.answer == "network request failed: disconnected"


@in_virtual_time
async def test_an_answer_is_at_most_100_000_bytes():
    world, holder = World(ROUTE), Holder(name="http-modify")
    holder.ask(world, an_item())
    await world.wait()
    await world.answer(body="x" * 100_001)
    assert holder.answer == "network response exceeded 100000 bytes"


@in_virtual_time
async def test_another_status_is_an_error():
    world, holder = World(ROUTE), Holder()
    holder.ask(world, an_item())
    await world.wait()
    await world.answer(status=500)
    assert holder.answer == "unexpected network request status: code=500"


@in_virtual_time
async def test_asking_goes_on_after_a_rest():
    world, holder = World(ROUTE), Holder()
    Holder().ask(world, an_item())
    await world.wait(1)
    await world.answer()
    holder.ask(world, an_item())
    await asyncio.sleep(0)
    await world.wait()
    await world.answer()
    assert holder.answer == b"x"

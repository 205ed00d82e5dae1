"""Operators and gaps with one process or several: what they cause reaches all of them.

Specification: publishing.md 6, 7; grip-http.md 7.3.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from tests.wire.client import Client, WebSocket, request
from tests.wire.origin import Origin, Stage, reply, text
from tests.wire.processes import content, everywhere, pieces, said, streams_everywhere
from tests.wire.running import Gripproxy, Running
from tests.wire.scenarios.control import DONE, called, failed

pytestmark = pytest.mark.slow

HOST = "operators.test"
# What is held back would not come while a test waits for it.
SETTINGS = {"handler.message_wait": "60000", "handler.update_on_first_subscription": "false"}


@pytest.fixture(scope="module")
def server() -> Iterator[Origin]:
    with Origin() as one:
        yield one


@pytest.fixture(scope="module", params=[1, 2])
def system(request: pytest.FixtureRequest, server: Origin) -> Iterator[Running]:
    routes = ["* test", f"{HOST} 127.0.0.1:{server.port},over_http"]
    routes.append(f"polls.{HOST} 127.0.0.1:{server.port}")
    with Gripproxy(routes, settings={**SETTINGS, "runner.workers": str(request.param)}) as running:
        said(running, " started")
        yield running


@pytest.fixture
def stage(server: Origin) -> Iterator[Stage]:
    with server.stage("operators", f"polls.{HOST}") as stage:
        yield stage


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    """A channel of this test's own."""
    return request.node.originalname.replace("_", "-")


def poll(system: Running, stage: Stage) -> Client:
    """Begin a long-poll; return when the origin has been asked for it."""
    client = Client(system.port)
    client.send(request("GET", "/", f"polls.{HOST}"))
    stage.request()
    return client


def item(channel: str, name: str, prev: str | None = None) -> dict[str, object]:
    ids = {"id": name} if prev is None else {"id": name, "prev-id": prev}
    return {"channel": channel, "formats": content(f"{name};"), **ids}


def response_hold(channel: str, position: str) -> bytes:
    return text("Grip-Hold: response", f"Grip-Channel: {channel}; prev-id={position}")


def test_all_polls_ask_again_when_an_operator_says_so(system, stage, channel):
    stage.answer(response_hold(channel, "1"))
    with everywhere(system, partial(poll, system, stage)) as held:
        system.subscribed(channel, times=len(held))
        stage.answer(text(body="recovered"))
        assert called(system, id="1", method="recover") == DONE
        assert {one.client.response().body for one in held} == {b"recovered"}


def test_after_a_recovery_any_item_may_follow(system, channel):
    with streams_everywhere(system, channel) as held:
        system.publish([item(channel, "1"), item(channel, "9", "8")])
        assert pieces(held) == [b"1;"] * len(held)
        assert called(system, id="1", method="recover") == DONE
        system.publish([item(channel, "20", "19")])
        assert pieces(held) == [b"20;"] * len(held)


def test_a_client_that_missed_an_item_lets_any_item_follow(system, stage, channel):
    numbers = count(1)

    def opened() -> Client:
        """Poll from behind; after it what does not follow what was there may come."""
        first, other = f"{next(numbers)}a", f"{next(numbers)}b"
        system.publish([item(channel, first)])
        assert pieces(held) == [f"{first};".encode()] * len(held)
        stage.answer(response_hold(channel, "old"), text(body="again"))
        client = poll(system, stage)
        assert client.response().body == b"again"
        assert stage.request().value("grip-last") == f"{channel}; last-id=old"
        system.publish([item(channel, other, "unknown")])
        assert pieces(held) == [f"{other};".encode()] * len(held)
        return client

    with streams_everywhere(system, channel) as held, everywhere(system, opened):
        pass


def test_websockets_are_found_by_their_ids_whatever_process_they_are_on(system, stage, channel):
    subscribe = f'c:{{"type": "subscribe", "channel": "{channel}"}}'
    events = f"OPEN\r\nTEXT {len(subscribe):x}\r\n{subscribe}\r\n"
    named = "Content-Type: application/websocket-events"
    opened = reply("200 OK", named, "Sec-WebSocket-Extensions: grip", body=events.encode())
    stage.answer(opened)
    with everywhere(system, lambda: WebSocket(system.port, "/", HOST)) as held:
        system.subscribed(channel, times=len(held))
        ids = [stage.request().value("connection-id") for _ in held]
        asked = {"method": "conncheck", "args": {"ids": [*ids, "nobody"]}}
        assert sorted(called(system, id="1", **asked)["value"]) == sorted(ids)
        stage.answer(reply("200 OK", named, body=b""))
        for cid in ids:
            assert called(system, id="1", method="refresh", args={"cid": cid}) == DONE
            assert stage.request().value("connection-id") == cid
        nobody = called(system, id="1", method="refresh", args={"cid": "nobody"})
        assert nobody == failed("item-not-found")
        assert called(system, id="1", method="refresh", args={"channel": channel}) == DONE
        told = [stage.request().value("connection-id") for _ in held]
        assert sorted(told) == sorted(ids)

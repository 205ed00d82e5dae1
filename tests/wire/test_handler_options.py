"""Options of the running program and what they do to holds and items (config.md 3)."""

import pytest

from tests.wire.client import Client, request
from tests.wire.origin import text


@pytest.mark.slow
@pytest.mark.parametrize(("option", "asked"), [("true", 2), ("false", 1)])
def test_a_first_subscription_lets_the_origin_be_asked_again(origin, gripproxy, option, asked):
    settings = {"handler.update_on_first_subscription": option}
    system = gripproxy([f"* 127.0.0.1:{origin.port}"], settings=settings)
    hold = text("Grip-Hold: response", "Grip-Channel: first", "Grip-Timeout: 5", body="in time")
    with origin.stage("options") as stage, Client(system.port, seconds=10) as client:
        stage.answer(hold, text(body="again"))
        client.send(request("GET", "/", stage.host))
        assert client.response().body == (b"again" if asked == 2 else b"in time")
        assert len(stage.requests) == asked


@pytest.mark.parametrize(("seconds", "heard"), [("60", [b"a;", b"c;"]), ("0", [b"a;", b"b;"])])
def test_an_id_that_comes_again_is_a_double_for_a_while(origin, gripproxy, seconds, heard):
    settings = {"handler.id_cache_ttl": seconds}
    system = gripproxy([f"* 127.0.0.1:{origin.port}"], settings=settings)
    with origin.stage("options") as stage, Client(system.port) as client:
        stage.answer(text("Grip-Hold: stream", "Grip-Channel: doubles", body="first;"))
        client.send(request("GET", "/", stage.host))
        client.head()
        client.piece()
        system.subscribed("doubles")
        for item_id, content in (("1", "a;"), ("1", "b;"), ("2", "c;")):
            formats = {"http-stream": {"content": content}}
            system.publish([{"channel": "doubles", "id": item_id, "formats": formats}])
        assert [client.piece(), client.piece()] == heard


@pytest.mark.slow
def test_no_timeout_of_connections_is_one_of_holds(origin, gripproxy):
    names = ("header_timeout", "idle_timeout", "body_timeout", "write_timeout")
    system = gripproxy(
        [f"* 127.0.0.1:{origin.port}"], settings={f"runner.{name}": "1" for name in names}
    )
    with (
        origin.stage("options") as stage,
        Client(system.port, seconds=10) as poll,
        Client(system.port) as stream,
    ):
        stage.answer(text("Grip-Hold: stream", "Grip-Channel: silent", body="first;"))
        stream.send(request("GET", "/", stage.host))
        stream.head()
        assert stream.piece() == b"first;"
        stage.answer(text("Grip-Hold: response", "Grip-Timeout: 5", body="in time"))
        poll.send(request("GET", "/", stage.host))
        assert poll.response().body == b"in time"
        formats = {"http-stream": {"content": "still here;"}}
        system.publish([{"channel": "silent", "formats": formats}])
        assert stream.piece() == b"still here;"

"""What the log says of items that do not arrive as they were published."""

import pytest

from tests.wire.client import Client, envelope, push, request, wait_until
from tests.wire.origin import Origin, Stage, reply, text
from tests.wire.processes import said
from tests.wire.running import Gripproxy


@pytest.fixture
def stage(origin: Origin):
    with origin.stage("losses") as stage:
        yield stage


def warnings(system: Gripproxy, *needles: str) -> list[str]:
    """Return the texts of warnings that have one of these words, when each is there."""
    for needle in needles:
        said(system, needle)
    lines = [line for line in system.log().splitlines() if line.startswith("[WARN]")]
    return [line.split(" ", 3)[3] for line in lines if any(needle in line for needle in needles)]


def held(system: Gripproxy, stage: Stage, *fields: str, channels=("c",)) -> Client:
    """Begin a stream on channels."""
    client = Client(system.port)
    named = [f"Grip-Channel: {channel}" for channel in channels]
    stage.answer(text("Grip-Hold: stream", *named, *fields, body="first;"))
    client.send(request("GET", "/", stage.host))
    client.head()
    assert client.piece() == b"first;"
    for channel in channels:
        system.subscribed(channel.partition(";")[0])
    return client


def stream_item(channel: str, content: str, **more: object) -> dict[str, object]:
    return {"channel": channel, "formats": {"http-stream": {"content": content}}, **more}


def test_an_unknown_format_is_named_once_a_channel_and_minute(gripproxy):
    system = gripproxy(["* test"])
    strange = [{"channel": name, "formats": {"smoke": 1}} for name in ("a", "b", "a", "a")]
    assert system.publish(strange).status == 200
    assert warnings(system, "channel a has", "channel b has") == [
        "item on channel a has the unknown format 'smoke'",
        "item on channel b has the unknown format 'smoke'",
    ]


def test_a_message_that_is_dropped_is_a_warning(gripproxy):
    system = gripproxy(["* test"])
    push(system.zmq_port, b'J{"channel": 1}')
    assert warnings(system, "IN pull") == [
        "IN pull: received message with invalid format: publish item object contains 'channel' "
        "with wrong type, skipping"
    ]


def test_a_filter_that_fails_is_told_once_a_route_channel_and_minute(gripproxy, stage):
    system = gripproxy([f"*,id=r 127.0.0.1:{stage.port}"])
    with held(system, stage, channels=("c; filter=var-subst", "d; filter=var-subst")) as client:
        bad = [stream_item(channel, "%(no)s") for channel in ("c", "c", "d")]
        system.publish([*bad, stream_item("c", "good;")])
        assert client.piece() == b"good;"
        assert warnings(system, "item dropped") == [
            f"route r: item dropped channel={channel}: "
            "filter error: var-subst: No such variable 'no' at position 5"
            for channel in ("c", "d")
        ]


def test_other_filters_than_an_item_asks_for_are_told(gripproxy, stage):
    system = gripproxy([f"*,id=r 127.0.0.1:{stage.port}"])
    with held(system, stage) as client:
        item = stream_item("c", "lost;")
        item["formats"]["http-stream"]["content-filters"] = ["build-id"]
        system.publish([item, stream_item("c", "good;")])
        assert client.piece() == b"good;"
        assert warnings(system, "item dropped") == [
            "route r: item dropped channel=c: "
            "content filter mismatch: subscription= message=build-id"
        ]


def test_what_only_looks_like_a_directive_is_told_once_a_route_and_minute(gripproxy, stage):
    system = gripproxy([f"*,id=r 127.0.0.1:{stage.port}"])
    fields = ("Grip-Set-Meta: id_format=i",)
    with held(system, stage, *fields, channels=("c; filter=build-id",)) as client:
        system.publish([stream_item("c", "5% off;"), stream_item("c", "6% off;")])
        assert client.chunked(14) == b"5% off;6% off;"
        assert warnings(system, "left as it is") == [
            "route r: left as it is: build-id: Unknown directive ' ' at position 2"
        ]


def message(content: bytes) -> bytes:
    item = {"channel": "ws-text", "formats": {"ws-message": {"content": content}}}
    return envelope(item, "")


def test_text_that_is_not_utf_8_is_told(gripproxy, stage):
    system = gripproxy([f"* 127.0.0.1:{stage.port},over_http"])
    control = b'c:{"type": "subscribe", "channel": "ws-text"}'
    opened = b"OPEN\r\nTEXT %x\r\n%b\r\n" % (len(control), control)
    stage.answer(
        reply(
            "200 OK",
            "Content-Type: application/websocket-events",
            "Sec-WebSocket-Extensions: grip",
            body=opened,
        )
    )
    with Client(system.port) as client:
        client.send(
            request(
                "GET",
                "/",
                stage.host,
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
        )
        client.head()
        system.subscribed("ws-text")
        push(system.zmq_port, *(message(content) for content in (b"\xff", b"\xff", b"good")))
        client.upto(b"good")
        assert warnings(system, "item dropped") == [
            "item dropped channel=ws-text reason=text is not UTF-8"
        ]


@pytest.mark.parametrize(("route", "named"), [("*", ""), ("*,id=r", " for route r")])
def test_what_is_over_the_mark_is_counted(gripproxy, stage, route, named):
    settings = {"handler.message_rate": "10", "handler.message_hwm": "3"}
    system = gripproxy([f"{route} 127.0.0.1:{stage.port}"], settings=settings)
    with held(system, stage) as client:
        system.publish([stream_item("c", f"{number};") for number in range(9)])
        assert client.chunked(8) == b"0;1;2;3;"

        def lost() -> int:
            told = warnings(system, "exceeded publish hwm")
            start = f"exceeded publish hwm (3){named}, dropping message count="
            assert all(line.startswith(start) for line in told)
            return sum(int(line.removeprefix(start)) for line in told)

        wait_until(lambda: lost() == 5, "all losses in the log")


def test_what_weighs_more_than_the_mark_never_arrives(gripproxy, stage):
    settings = {"handler.message_hwm": "3", "handler.message_block_size": "2"}
    system = gripproxy([f"* 127.0.0.1:{stage.port}"], settings=settings)
    with held(system, stage) as client:
        system.publish([stream_item("c", "sevenx;"), stream_item("c", "sizex;")])
        assert client.piece() == b"sizex;"
        assert len(warnings(system, "exceeded publish hwm (3)")) == 1


def test_who_takes_nothing_loses_items_and_is_closed(gripproxy, stage):
    settings = {"runner.write_buffer_max": "100000", "runner.write_timeout": "1"}
    system = gripproxy([f"*,id=r 127.0.0.1:{stage.port}"], settings=settings)
    with held(system, stage) as client:
        for _ in range(20):
            system.publish([stream_item("c", "x" * 900_000)])
        assert warnings(system, "reason=slow") == ["item dropped channel=c reason=slow"]
        assert warnings(system, "slow consumer") == [
            "client from=127.0.0.1: slow consumer: took nothing for 1 s"
        ]
        client.rest()  # it is closed

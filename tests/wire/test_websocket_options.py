"""Options of the running program for WebSockets: compression, pings, the page of SockJS.

Specification: websockets.md 1.4, 8.1, 10.
"""

import zlib
from collections.abc import Callable, Iterator

import pytest

from tests.wire.client import DeadlineError, Frames, WebSocket, ask, request
from tests.wire.origin import Origin, Stage, events
from tests.wire.running import Running
from tests.wire.scenarios.overhttp import opened, subscribe

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
AGREED = "permessage-deflate; server_no_context_takeover"
TEXT = "the same again, " * 20 + "and again"
COMPRESSED = 0xC1  # the last frame of a text, with RSV1

Start = Callable[..., Running]


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("options") as stage:
        yield stage


@pytest.fixture
def start(origin: Origin, gripproxy) -> Start:
    """Start ours in front of the origin; `kind` is a parameter of the target."""

    def started(kind: str = ",over_http", route: str = "", **settings: str) -> Running:
        named = {name.replace("__", "."): value for name, value in settings.items()}
        return gripproxy([f"*{route} 127.0.0.1:{origin.port}{kind}"], settings=named)

    return started


def packed(content: str) -> bytes:
    """Compress a message as RFC 7692 has it, 7.2.1."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(content.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unpacked(frames: Frames) -> str:
    """Read a compressed text of one frame."""
    first, size = frames.take(2)
    assert (first, size < 126) == (COMPRESSED, True)
    return zlib.decompressobj(-15).decompress(frames.take(size) + b"\0\0\xff\xff").decode()


# Compression


def test_a_client_s_compressed_message_is_plain_in_an_event(start, stage):
    system = start(runner__allow_compression="true")
    stage.answer(opened(), events(("TEXT", f"m:{TEXT}")))
    with WebSocket(system.port, "/", stage.host, OFFER) as client:
        assert client.answer.value("Sec-WebSocket-Extensions") == AGREED
        client.put("text", packed(TEXT), rsv=4)
        assert unpacked(client) == TEXT
    stage.request()
    assert stage.request().body == b"TEXT %x\r\n%b\r\n" % (len(TEXT), TEXT.encode())


def test_what_is_published_is_compressed_for_those_who_asked(start, stage):
    system = start(runner__allow_compression="true")
    with (
        _subscribed(system, stage, OFFER) as packing,
        _subscribed(system, stage) as plain,
    ):
        system.subscribed("all", times=2)
        system.publish([{"channel": "all", "formats": {"ws-message": {"content": TEXT}}}])
        assert unpacked(packing) == TEXT
        assert plain.message() == f"text {TEXT}"


def _subscribed(system: Running, stage: Stage, *fields: str) -> WebSocket:
    stage.answer(opened(subscribe("all")))
    return WebSocket(system.port, "/", stage.host, *fields)


def test_each_side_of_a_relayed_websocket_is_compressed_by_itself(start, stage):
    system = start("", runner__allow_compression="true")
    stage.answer(stage.opening("Sec-WebSocket-Extensions: permessage-deflate"))
    with WebSocket(system.port, "/", stage.host) as client:
        assert client.answer.value("Sec-WebSocket-Extensions") is None
        assert "permessage-deflate" in str(stage.request().values("Sec-WebSocket-Extensions"))
        wire = stage.socket()
        wire.put("text", packed(TEXT), rsv=4)
        assert client.message() == f"text {TEXT}"


def test_without_the_option_nothing_is_compressed(start, stage):
    system = start()
    stage.answer(opened())
    with WebSocket(system.port, "/", stage.host, OFFER) as client:
        assert client.answer.value("Sec-WebSocket-Extensions") is None
        client.put("text", packed(TEXT), rsv=4)
        assert client.message() == "close 1002"


# Pings


def test_a_quiet_websocket_is_pinged_and_its_pong_stays_here(start, stage):
    system = start(runner__ws_ping_interval="1")
    stage.answer(opened(), events(), events())
    with WebSocket(system.port, "/", stage.host) as client:
        for _ in range(2):
            ping = client.get()
            assert (ping.kind, len(ping.content)) == ("ping", 8)
            client.put("pong", ping.content)
        client.put("pong", "of its own")
    stage.request()
    assert stage.request().body == b"PONG a\r\nof its own\r\n"


@pytest.mark.slow
def test_pings_can_be_switched_off(start, stage):
    system = start(runner__ws_ping_interval="0")
    stage.answer(opened())
    with (
        WebSocket(system.port, "/", stage.host, seconds=2) as client,
        pytest.raises(DeadlineError),
    ):
        client.get()


def test_a_message_may_be_as_long_as_is_allowed(start, stage):
    system = start(runner__ws_message_max="10")
    stage.answer(opened(), events())
    with WebSocket(system.port, "/", stage.host) as client:
        client.put("text", "0123456789")
        stage.request()
        assert stage.request().body == b"TEXT a\r\n0123456789\r\n"
        client.put("text", "0123456789a")
        assert client.get().content[:2] == (1009).to_bytes(2, "big")


# SockJS


def test_the_page_for_frames_loads_the_script_that_is_named(start, stage):
    url = "https://cdn.example/sockjs.js"
    system = start(route=",sockjs=/sjs", proxy__sockjs_url=url)
    got = ask(system.port, request("GET", "/sjs/iframe.html", stage.host))
    assert (got.status, url.encode() in got.body) == (200, True)

"""`django-grip`, unchanged: views that hold long-polls, streams and WebSockets."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.client import Client, Response, WebSocket, ask, request
from tests.wire.launch import Program, behind
from tests.wire.running import Running

pytestmark = pytest.mark.slow

SITE = Path(__file__).parent / "sites" / "grip.py"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Program]]:
    serve = [sys.executable, SITE, "runserver", "--noreload", "--skip-checks", "127.0.0.1:{port}"]
    with behind(serve, cwd=SITE.parent) as pair:
        yield pair


@pytest.fixture
def system(both: tuple[Running, Program]) -> Running:
    return both[0]


@pytest.fixture
def site(both: tuple[Running, Program]) -> Program:
    return both[1]


@pytest.fixture
def socket(system: Running) -> Iterator[WebSocket]:
    with WebSocket(system.port, "/socket", HOST) as client:
        assert client.message() == "text welcome"
        yield client


def get(system: Running, path: str) -> Response:
    return ask(system.port, request("GET", path, HOST))


def say(system: Running, text: str) -> None:
    """Let the site publish a text to everything that is held."""
    assert ask(system.port, request("POST", "/say", HOST, body=text.encode())).status == 204


def end(system: Running) -> None:
    """Let the site publish bytes, and the end, to what is held."""
    assert ask(system.port, request("POST", "/end", HOST)).status == 204


def test_the_library_accepts_the_signature(system):
    assert get(system, "/signed").body == b"proxied True, signed True"


def test_a_long_poll_gets_what_a_view_publishes(system):
    with Client(system.port) as client:
        client.send(request("GET", "/poll", HOST))
        system.subscribed("poll")
        say(system, "hello")
        got = client.response()
    assert (got.status, got.body, got.value("content-length")) == (200, b"hello", "5")
    assert [name for name, _ in got.fields if name.lower().startswith("grip-")] == []


def test_long_polls_get_the_view_s_answer_when_their_time_is_over(system):
    with Client(system.port, seconds=10) as one, Client(system.port, seconds=10) as other:
        one.send(request("GET", "/poll", HOST))
        other.send(request("GET", "/unchanged", HOST))
        assert one.response().body == b"nothing\n"
        assert other.response().status == 304


def test_a_stream_gets_what_a_view_publishes_and_is_kept_alive(system):
    with Client(system.port) as client:
        client.send(request("GET", "/stream", HOST))
        assert client.head().value("transfer-encoding") == "chunked"
        assert client.piece() == b"open\n"
        assert client.piece() == b"still here\n"
        say(system, "hello\n")
        assert client.piece() == b"hello\n"
        assert client.piece() == b"still here\n"


def test_a_view_publishes_bytes_to_a_stream_and_its_end(system):
    with Client(system.port) as client:
        client.send(request("GET", "/stream", HOST))
        assert client.head().status == 200
        assert client.piece() == b"open\n"
        end(system)
        rest = [piece for piece in client.pieces() if piece != b"still here\n"]
        assert rest == [b"\x00\xff"]


def test_a_stream_goes_on_at_its_next_link(system):
    with Client(system.port) as client:
        client.send(request("GET", "/linked", HOST))
        assert client.head().status == 200
        assert (client.piece(), client.piece()) == (b"part 1\n", b"part 2\n")
        system.subscribed("linked")
        say(system, "part 3\n")
        assert client.piece() == b"part 3\n"


def test_a_websocket_is_echoed(socket):
    for text in ("one", "", "zwölf"):
        socket.put("text", text)
    assert [socket.message() for _ in range(3)] == ["text one", "text", "text zw\\xc3\\xb6lf"]


def test_a_websocket_gets_bytes(socket):
    socket.put("text", "bytes")
    assert socket.message() == "binary \\x00\\xff"


def test_a_websocket_gets_what_a_view_publishes(system, socket):
    say(system, "hello")
    assert socket.message() == "text hello"


def test_a_websocket_s_meta_is_kept_by_the_proxy(socket):
    socket.put("text", "who")
    assert socket.message() == "text bob"
    socket.put("text", "forget")
    socket.put("text", "who")
    assert socket.message() == "text nobody"


def test_a_ping_comes_back_with_its_content(socket):
    socket.put("ping", "abc")
    assert socket.message() == "pong abc"


def test_a_view_closes_a_websocket_with_a_code(socket):
    socket.put("text", "bye")
    assert socket.message() == "close 4000"


def test_a_view_publishes_bytes_to_a_websocket_and_its_end(system, socket):
    end(system)
    assert [socket.message() for _ in range(2)] == ["binary \\x00\\xff", "close 4001"]


def test_a_detached_websocket_still_gets_what_is_published(system, site, socket):
    closed = site.output.count("a socket was closed")
    asked = site.output.count("POST /socket")
    socket.put("text", "detach")
    site.wait_to_say("a socket was closed", times=closed + 1)
    socket.put("text", "nobody hears this")
    say(system, "hello")
    assert socket.message() == "text hello"
    site.wait_to_say("POST /say", times=1)
    assert site.output.count("POST /socket") == asked + 2  # the order, and the close


def test_a_view_that_is_no_websocket_refuses_one(system):
    got = get(system, "/socket")
    assert (got.status, got.body) == (400, b"Request must contain WebSocket events.\n")

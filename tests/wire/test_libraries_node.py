"""A Node application with `@fanoutio/serve-grip`, unchanged: an HTTP stream and a WebSocket.

The application is the example, its libraries are those of its lock file.
"""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.programs import program
from tests.wire.browser import Browser
from tests.wire.client import Client, WebSocket, closing, request
from tests.wire.launch import EXAMPLES, Program, behind
from tests.wire.running import Running

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
PLACE = EXAMPLES / "node-serve-grip"


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Program]]:
    node = program("node")
    if not (PLACE / "node_modules" / ".package-lock.json").exists():
        install = [program("npm"), "ci", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=PLACE, check=True, timeout=300)
    with behind([node, "app.js"], cwd=PLACE) as pair:
        yield pair


@pytest.fixture
def system(both: tuple[Running, Program]) -> Running:
    return both[0]


@pytest.fixture
def application(both: tuple[Running, Program]) -> Program:
    return both[1]


@pytest.fixture
def stream(system: Running) -> Iterator[Client]:
    """A client whose stream is held, past its first bytes."""
    with Client(system.port) as client:
        client.send(request("GET", "/stream", HOST))
        assert client.head().value("content-type") == "text/event-stream"
        assert client.piece() == b"event: held\ndata:\n\n"
        yield client


@pytest.fixture
def socket(system: Running) -> Iterator[WebSocket]:
    """A WebSocket that is open and subscribed, past its first message."""
    with WebSocket(system.port, "/socket", HOST) as client:
        assert client.message() == "text held"
        yield client


def test_what_a_websocket_says_is_published_to_a_stream(stream, socket):
    socket.put("text", "grüß Gott")
    assert stream.piece() == 'data: "grüß Gott"\n\n'.encode()


def test_what_a_websocket_says_is_published_to_every_websocket(system, socket):
    with WebSocket(system.port, "/socket", HOST) as other:
        assert other.message() == "text held"
        for text in ("one", "two"):
            socket.put("text", text)
            expected = f"text {json.dumps(text)}"
            assert (socket.message(), other.message()) == (expected, expected)


def test_a_message_of_many_kilobytes_goes_in_and_comes_out(socket):
    text = "x" * 5_000
    socket.put("text", text)
    assert socket.message() == f'text "{text}"'


def test_the_application_answers_a_close(socket):
    socket.put("close", closing(1000, "done"))
    assert socket.get().kind == "close"


def test_a_websocket_that_vanishes_is_told_to_the_application(system, application):
    with WebSocket(system.port, "/socket", HOST) as client:
        assert client.message() == "text held"
        told = application.output.count("POST /socket -> 200")
        client.reset()
    application.wait_to_say("POST /socket -> 200", times=told + 1)


async def test_both_transports_reach_a_browser(system):
    async with Browser() as browser:
        page = await browser.open(f"http://127.0.0.1:{system.port}/")
        for pane in ("stream", "socket"):
            state = f"document.querySelector('#{pane}-state').textContent"
            await page.wait_for(f"{state} === 'held'")
        await page.type("#message", "from the page")
        for pane in ("stream", "socket"):
            row = f"document.querySelector('#{pane} li')?.textContent"
            await page.wait_for(f"{row} === 'from the page'")
        assert page.errors == []

"""SockJS on the running program: what time and vanished clients do, and its own client library.

What one exchange looks like is in `scenarios/sockjs.py`.
"""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.programs import program
from tests.wire.browser import Browser
from tests.wire.client import Client, WebSocket, ask, closing, request, wait_until
from tests.wire.origin import Origin, Request, Stage, Wire, events, reply
from tests.wire.processes import ended, signalled
from tests.wire.processes import said as logged
from tests.wire.running import Running
from tests.wire.scenarios.overhttp import GRIP, opened, said, subscribe

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
SITE = Path(__file__).parent / "sites" / "sockjs"

Start = Callable[..., Running]


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("sockjs", HOST) as stage:
        yield stage


@pytest.fixture
def start(origin: Origin, gripproxy) -> Start:
    """Start ours with a route to the origin; `kind` is a parameter of its target."""

    def started(kind: str = ",over_http", **settings: str) -> Running:
        named = {name.replace("__", "."): value for name, value in settings.items()}
        route = f"*,sockjs=/sjs,sockjs_as_path=/ws {HOST}:{origin.port}{kind}"
        return gripproxy([route], settings=named)

    return started


def xhr(name: str = "xhr", session: str = "s", body: bytes = b"") -> bytes:
    return request("POST", f"/sjs/0/{session}/{name}", HOST, body=body)


def poll(system: Running, session: str = "s") -> tuple[int, bytes]:
    answer = ask(system.port, xhr(session=session))
    return answer.status, answer.body


def send(system: Running, *messages: str) -> int:
    return ask(system.port, xhr("xhr_send", body=json.dumps(messages).encode())).status


def waiting(system: Running, stack: ExitStack, session: str = "s") -> Client:
    """A poll that has been sent, on a connection of its own."""
    client = stack.enter_context(Client(system.port))
    client.send(xhr(session=session))
    return client


def summary(system: Running) -> dict[str, int]:
    """Return the numbers of what is held."""
    before = system.log().count("summary: ")
    signalled(system, signal.SIGUSR1)
    logged(system, "summary: ", times=before + 1)
    line = system.log().rpartition("summary: ")[2]
    return {name: int(number) for name, number in re.findall(r"([a-z]+)=([0-9]+)\b", line)}


# Time


def test_a_page_that_polls_no_more_is_told_to_the_origin(start, stage):
    system = start()
    stage.answer(opened(), events())
    assert poll(system) == (200, b"o\n")
    assert stage.request().body == b"OPEN\r\n"
    assert stage.request(seconds=8).body == b"DISCONNECT\r\n"
    assert ask(system.port, xhr("xhr_send", body=b"[]")).status == 404


def test_a_session_that_was_closed_is_forgotten_and_may_open_anew(start, stage):
    system = start("")
    stage.answer(stage.opening())
    assert poll(system) == (200, b"o\n")
    stage.socket().put("close", closing(4001, "bye"))
    assert poll(system) == (200, b'c[4001,"bye"]\n')
    wait_until(lambda: poll(system) == (200, b"o\n"), "a new session", seconds=8)


# Clients that vanish


def test_a_poll_that_is_dropped_closes_the_websocket(start, stage):
    system = start()
    stage.answer(opened(), events())
    poll(system)
    stage.request()
    with Client(system.port) as client:
        client.send(xhr())
        assert client.ended(seconds=0.05) == "open"
        client.reset()
    assert stage.request().body == b"CLOSE\r\n"
    assert poll(system) == (200, b'c[3000,"Client already closed connection"]\n')


def test_nothing_is_left_of_pages_that_are_gone(start, stage):
    system = start(handler__subscription_linger="0")

    def answer(got: Request, wire: Wire) -> bytes:
        return opened(subscribe("c")) if got.body == b"OPEN\r\n" else events()

    stage.answer(answer)

    def state() -> dict[str, int]:
        names = ("connections", "websockets", "channels", "tasks")
        found = summary(system)
        return {name: found[name] for name in names}

    before = state()
    with ExitStack() as stack:
        clients = []
        for number in range(100):
            assert poll(system, f"s{number}") == (200, b"o\n")
            clients.append(waiting(system, stack, f"s{number}"))
        wait_until(lambda: summary(system)["connections"] == 100, "all polls")
        held = state()
        # A connection has a task, a session has none.
        assert (held["websockets"], held["tasks"] - before["tasks"]) == (100, 100)
        for client in clients:
            client.reset()
    wait_until(lambda: state() == before, f"{before}, not {state()}", seconds=15)


def test_a_page_that_is_told_too_much_is_dropped(start, stage):
    system = start()
    stage.answer(opened(subscribe("c")), events())
    poll(system)
    stage.request()
    system.subscribed("c")
    system.publish([said("c", "x" * 50_000) for _ in range(5)])
    assert stage.request().body == b"DISCONNECT\r\n"


# Origins


def test_a_session_is_relayed_to_a_websocket(start, stage):
    system = start("")
    stage.answer(stage.opening(GRIP))
    assert poll(system) == (200, b"o\n")
    assert stage.request().target == "/ws"
    socket = stage.socket()
    socket.put("text", subscribe("c")[1])
    system.subscribed("c")
    with ExitStack() as stack:
        client = waiting(system, stack)
        socket.put("text", "m:one", fin=False)
        socket.put("continuation", " two")
        assert client.response().body == b'a["one two"]\n'
        client.send(xhr())
        system.publish([said("c", "item")])
        assert client.response().body == b'a["item"]\n'
        assert send(system, "three", "four") == 204
        assert (socket.message(), socket.message()) == ("text three", "text four")
        client.send(xhr())
        assert client.ended(seconds=0.05) == "open"
        socket.reset()
        answer = client.response()
        assert (answer.status, answer.body) == (410, b"Session terminated\n")


def test_the_origin_answers_a_dropped_poll_of_a_relayed_session(start, stage):
    system = start("")
    stage.answer(stage.opening())
    poll(system)
    socket = stage.socket()
    with Client(system.port) as client:
        client.send(xhr())
        assert client.ended(seconds=0.05) == "open"
        client.reset()
    assert socket.message() == "close 1000"
    socket.put("close", closing(1000))
    assert socket.ended() == "closed"


def test_a_large_refusal_is_streamed_to_the_first_poll(start, stage):
    system = start()
    body = b"x" * 300_000
    stage.answer(reply("403 Forbidden", body=body))
    assert poll(system) == (403, body)


def test_the_built_in_origin_answers_a_page(gripproxy):
    system = gripproxy(["*,sockjs=/sjs,sockjs_as_path=/ws test"])
    assert poll(system) == (200, b"o\n")
    with ExitStack() as stack:
        client = waiting(system, stack)
        assert send(system, 'hi "there"') == 204
        assert client.response().body == b'a["hi \\"there\\""]\n'


# The program


def test_routes_that_are_read_again_leave_sessions_alone(start, stage, origin):
    system = start()
    stage.answer(opened(), events(), events(("TEXT", "m:hi")))
    poll(system)
    system.write_routes(
        [f"*,id=new,sockjs=/sjs,sockjs_as_path=/new {HOST}:{origin.port},over_http"]
    )
    signalled(system, signal.SIGHUP)
    logged(system, "routes loaded", times=2)
    with ExitStack() as stack:
        client = waiting(system, stack)
        assert send(system, "x") == 204
        assert send(system, "y") == 204
        assert client.response().body == b'a["hi"]\n'
    assert [stage.request().target for _ in range(3)] == ["/ws"] * 3


def test_a_drain_tells_pages_and_origins(start, stage):
    system = start(runner__drain="5")
    stage.answer(opened(), opened(), opened(), events())
    with ExitStack() as stack:
        poll(system)
        client = waiting(system, stack)
        poll(system, "idle")
        framed = stack.enter_context(WebSocket(system.port, "/sjs/0/w/websocket", HOST))
        assert framed.message() == "text o"
        assert client.ended(seconds=0.05) == "open"
        signalled(system, signal.SIGTERM)
        assert client.response().body == b'c[1012,"Connection closed"]\n'
        assert framed.message() == "close 1012"
        framed.close()
        asked = [stage.request().body for _ in range(6)]
        assert ended(system) == 0
    assert sorted(asked) == [b"DISCONNECT\r\n"] * 3 + [b"OPEN\r\n"] * 3


def test_polling_is_said_to_need_one_process(start):
    note = "sockjs: pages that poll need workers=1"
    assert note in start(runner__workers="2").log()
    alone = start().log()
    assert note not in alone
    assert "without effect" not in alone


# The library

HEARD = ["one", 'tw\u00f6 + "\u2028"']
_EVENT = re.compile(rb"([A-Z]+)(?: ([0-9a-f]+))?\r\n")


def echo(got: Request, wire: Wire) -> bytes:
    """Answer events as an origin that echoes, and closes when it is told to."""
    body = got.body
    answers: list[str | tuple[str, bytes]] = []
    while match := _EVENT.match(body):
        name, size = match[1].decode(), int(match[2] or b"0", 16)
        content = body[match.end() : match.end() + size]
        body = body[match.end() + (size + 2 if match[2] else 0) :]
        if name == "OPEN":
            answers.append(name)
        elif name == "TEXT" and content == b"close":
            answers.append(("CLOSE", closing(4000, "bye")))
        elif name == "TEXT":
            answers.append((name, b"m:" + content))
    return events(*answers, fields=(GRIP,))


@pytest.fixture(scope="module")
def library() -> Path:
    """The library, installed."""
    if not (SITE / "node_modules" / ".package-lock.json").exists():
        install = [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=SITE, check=True, timeout=300)
    return SITE / "node_modules" / "sockjs-client"


@pytest.mark.parametrize("transport", ["websocket", "xhr-polling"])
def test_the_library_in_node(start, stage, library, transport):
    system = start()
    stage.answer(echo, at="/ws")
    url = f"http://{HOST}:{system.port}/sjs"
    command = [program("node"), "client.js", url, transport]
    done = subprocess.run(command, cwd=SITE, check=True, timeout=30, capture_output=True)
    told = json.loads(done.stdout)
    assert (told["transport"], told["heard"]) == (transport, HEARD)
    assert told["closed"] == [4000, "bye"]


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("'websocket'", "websocket"),
        ("'xhr-polling'", "xhr-polling"),
        ("'jsonp-polling'", "jsonp-polling"),
        ("['xhr-streaming', 'xhr-polling']", "xhr-polling"),
        ("null", "websocket"),
    ],
)
async def test_the_library_in_a_browser(start, stage, library, asked, used):
    system = start()
    script = (library / "dist" / "sockjs.min.js").read_bytes()
    stage.answer(reply("200 OK", "Content-Type: text/javascript", body=script), at="/sockjs.js")
    page_bytes = (SITE / "page.html").read_bytes()
    stage.answer(reply("200 OK", "Content-Type: text/html", body=page_bytes), at="/")
    stage.answer(echo, at="/ws")
    async with Browser() as browser:
        page = await browser.open(f"http://{HOST}:{system.port}/")
        await page.evaluate(f"void play({asked})")
        closed = await page.wait_for("told.closed")
        told = await page.evaluate("told")
        assert page.errors == []
    assert (told["transport"], told["heard"], closed) == (used, HEARD, [4000, "bye"])

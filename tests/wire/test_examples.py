"""The examples, as a reader would try them: in a browser, and with their one command."""

import os
import re
import signal
import socket
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.programs import program as installed
from tests.wire.browser import Browser, Page
from tests.wire.client import ask, request, wait_until
from tests.wire.launch import EXAMPLES, UNDER_TEST, WITHOUT_SUB, Program, behind, program
from tests.wire.running import Gripproxy

pytestmark = pytest.mark.slow

ORIGIN = (sys.executable, "origin.py", "--port", "{port}", "--control", "{control}")


async def see(page: Page, text: str, within: str = "body") -> None:
    """Wait until an element shows the text."""
    await page.wait_for(f"document.querySelector({within!r}).innerText.includes({text!r})")


async def test_what_the_box_of_the_demo_publishes_all_three_panes_show():
    with behind(ORIGIN, cwd=EXAMPLES / "demo", settings=WITHOUT_SUB) as (system, _):
        async with Browser() as browser:
            page = await browser.open(f"http://127.0.0.1:{system.port}/")
            for pane in ("stream", "poll", "socket"):
                await see(page, "held", f"#{pane}-state")
            for number, text in enumerate(("hello", "good bye & <b>thanks</b>")):
                system.subscribed("demo", times=3 + number)  # the long-poll asks again
                await page.type("#message", text)
                for pane in ("stream", "poll", "socket"):
                    await see(page, text, f"#{pane}")
            assert page.errors == []


async def test_a_message_typed_in_one_browser_arrives_in_the_other():
    with behind(ORIGIN, cwd=EXAMPLES / "chat") as (system, _):
        async with Browser() as one, Browser() as other:
            ann = await one.open(f"http://127.0.0.1:{system.port}/")
            await ann.type("#entry", "Ann")
            await see(ann, "You are in.")
            zoe = await other.open(f"http://127.0.0.1:{system.port}/")
            await zoe.type("#entry", "Zoë")
            await see(zoe, "You are in.")
            await see(ann, "Zoë came in")
            await zoe.type("#entry", "Hello, Ann")
            await see(ann, "Zoë\nHello, Ann")
            await ann.type("#entry", "Hello, Zoë")
            await see(zoe, "Ann\nHello, Zoë")
            await zoe.close()
            await see(ann, "Zoë left")
            assert ann.errors == []


async def test_people_in_different_rooms_do_not_hear_each_other():
    with behind(ORIGIN, cwd=EXAMPLES / "chat") as (system, _):
        async with Browser() as browser:
            pages = {}
            for room in ("kitchen", "cellar"):
                pages[room] = await browser.open(f"http://127.0.0.1:{system.port}/{room}")
                await pages[room].type("#entry", "Ann")
                await see(pages[room], "You are in.")
            await pages["kitchen"].type("#entry", "upstairs")
            await see(pages["kitchen"], "upstairs")
            await pages["cellar"].type("#entry", "downstairs")
            await see(pages["cellar"], "downstairs")
            assert "upstairs" not in await pages["cellar"].evaluate("document.body.innerText")


async def test_two_pages_count_together_however_fast():
    with behind(ORIGIN, cwd=EXAMPLES / "long-poll") as (system, _):
        async with Browser() as browser:
            url = f"http://127.0.0.1:{system.port}/"
            pages = [await browser.open(url), await browser.open(url)]
            for page in pages:
                await see(page, "0", "output")
            for _ in range(10):
                for page in pages:
                    await page.evaluate("document.querySelector('button').click()")
            for page in pages:
                await page.wait_for("document.querySelector('output').textContent === '20'")
                assert page.errors == []


# The one command


ours_only = pytest.mark.skipif(UNDER_TEST is not Gripproxy, reason="run.py starts ours")


def started(example: Program) -> str:
    """Wait until an example says where it is, and return that."""
    example.wait_to_say("Ctrl-C ends it.")
    return re.search(r"http://127\.0\.0\.1:(\d+)/\n", example.output)[1]


def command_line(pid: int) -> list[str]:
    """The words with which a process was started."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@ours_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "name", ["chat", "demo", "django-eventstream", "long-poll", "node-serve-grip"]
)
def test_one_command_starts_an_example_and_one_signal_ends_it(name, number, tmp_path, monkeypatch):
    if name == "node-serve-grip":
        installed("node")
        installed("npm")
    monkeypatch.setenv("DATABASE", str(tmp_path / "db.sqlite3"))
    with program([sys.executable, EXAMPLES / name / "run.py", "--free-ports"]) as example:
        port = int(started(example))
        page = ask(port, request("GET", "/", "127.0.0.1"))
        assert page.status in {200, 302}
        example.process.send_signal(number)
        assert example.process.wait(20) == 0, example.output
        wait_until(lambda: not example.session(), "the end of its children")


@ours_only
def test_ports_that_are_taken_are_replaced():
    with ExitStack() as stack:
        for port in (7999, 5560, 5561, 5562, 5563):
            with suppress(OSError):  # somebody else has it: as well
                stack.enter_context(closing(socket.create_server(("127.0.0.1", port))))
        with program([sys.executable, EXAMPLES / "demo" / "run.py"]) as example:
            assert started(example) != "7999"
            for port in (7999, 5560, 5561, 5562, 5563):
                assert f"Port {port} is taken: " in example.output


@ours_only
def test_an_example_ends_when_a_part_of_it_does():
    with program([sys.executable, EXAMPLES / "demo" / "run.py", "--free-ports"]) as example:
        started(example)
        (origin,) = (pid for pid in example.session() if "origin.py" in command_line(pid))
        os.kill(origin, signal.SIGKILL)
        assert example.process.wait(20) == 1
        assert "The origin ended with -9." in example.output
        wait_until(lambda: not example.session(), "the end of its children")

"""The examples with a cache, as two people would try them: one acts, both see it, nobody sees old.

A page that is told of a change and reads gets the change or something later: tests let pages read
on every push, and look at all that they ever showed. How often the origin was asked is in its log.
"""

import asyncio
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.ports import free_port
from tests.wire.browser import Browser, Page
from tests.wire.client import Response, ask, request, wait_until
from tests.wire.launch import EXAMPLES, Program, program
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow


@contextmanager
def example(name: str, *more: str) -> Iterator[tuple[Running, Program]]:
    """The proxy with a route that caches, in front of the origin of an example."""
    port = free_port()
    with Gripproxy([f"*,cache 127.0.0.1:{port},over_http"]) as running:
        where = {
            "control": f"http://127.0.0.1:{running.http_port}",
            "pull": f"tcp://127.0.0.1:{running.zmq_port}",
        }
        words = [word.format(**where) for word in more]
        command = [sys.executable, "origin.py", "--port", port, *words]
        with program(command, cwd=EXAMPLES / name) as origin:
            origin.wait_to_listen(port)
            yield running, origin


def url(system: Running, path: str = "/") -> str:
    return f"http://127.0.0.1:{system.port}{path}"


def get(system: Running, path: str) -> Response:
    """Read what a browser would: its requests name the port, too."""
    return ask(system.port, request("GET", path, f"127.0.0.1:{system.port}"))


def asked(origin: Program, what: str) -> int:
    """How often the origin was asked for this: `GET /seats`."""
    return origin.output.count(f'"{what} HTTP/')


def is_hit(response: Response) -> bool:
    return (response.value("cache-status") or "").startswith("gripproxy; hit")


async def see(page: Page, text: str, within: str = "body") -> None:
    """Wait until an element shows the text."""
    await page.wait_for(f"document.querySelector({within!r})?.innerText.includes({text!r})")


async def note(page: Page, expression: str, *, each: str) -> None:
    """From now on, keep every value of an expression after a change within an element."""
    await page.evaluate(
        f"""{{
            const look = () => (window.noted ??= []).push({expression});
            look();
            const what = {{subtree: true, childList: true, attributes: true, characterData: true}};
            new MutationObserver(look).observe(document.querySelector({each!r}), what);
        }}"""
    )


def never_falls(values: Sequence[float]) -> bool:
    return list(values) == sorted(values)


# Tickets

TICKETS = ("tickets", "--control", "{control}")
SHOWN = "Number(document.querySelector('#left').dataset.version)"
# On each push read the map; keep which version was pushed, and which was read.
READ_ON_PUSH = """
    window.reads = [];
    new EventSource("/changes").addEventListener("message", async ({data}) => {
        const map = await (await fetch("/seats")).json();
        reads.push([JSON.parse(data).version, map.version]);
    });
"""


async def click(page: Page, seat: str) -> None:
    await page.evaluate(f"document.querySelector('#{seat}').click()")


async def is_shown(page: Page, seat: str, state: str) -> None:
    await page.wait_for(f"document.querySelector('#{seat}').dataset.state === {state!r}")


async def at_the_box_office(browser: Browser, system: Running, name: str) -> Page:
    page = await browser.open(url(system))
    await see(page, "live")
    await page.type("#name", name)
    return page


async def test_a_seat_that_is_taken_is_taken_on_every_page():
    with example(*TICKETS) as (system, _):
        async with Browser() as browser:
            ann = await at_the_box_office(browser, system, "Ann")
            zoe = await at_the_box_office(browser, system, "Zoe")
            await click(ann, "C5")
            await is_shown(ann, "C5", "yours")
            await is_shown(zoe, "C5", "taken")
            late = await at_the_box_office(browser, system, "Lou")
            await is_shown(late, "C5", "taken")
            await click(ann, "C5")
            for page in (ann, zoe, late):
                await is_shown(page, "C5", "free")
                await see(page, "80 of 80")
                assert page.errors == []


async def test_of_two_who_want_a_seat_one_gets_it_and_the_other_sees_why():
    with example(*TICKETS) as (system, origin):
        async with Browser() as browser:
            ann = await at_the_box_office(browser, system, "Ann")
            zoe = await at_the_box_office(browser, system, "Zoe")
            await asyncio.gather(click(ann, "D4"), click(zoe, "D4"))
            for page in (ann, zoe):
                await see(page, "D4", "#said")
            said = {page: await page.evaluate("said.textContent") for page in (ann, zoe)}
            winner, loser = (ann, zoe) if "yours" in said[ann] else (zoe, ann)
            name = {ann: "Ann", zoe: "Zoe"}[winner]
            assert (said[winner], said[loser]) == (f"D4 is yours, {name}.", f"D4 went to {name}.")
            await is_shown(winner, "D4", "yours")
            await is_shown(loser, "D4", "taken")
            assert asked(origin, "POST /seats/D4") == 2


async def test_nobody_who_hears_of_a_seat_reads_the_old_map():
    with example(*TICKETS) as (system, _):
        async with Browser() as browser:
            pages = [await at_the_box_office(browser, system, name) for name in ("Ann", "Zoe")]
            for page in pages:
                await note(page, SHOWN, each="main")
                await page.evaluate(READ_ON_PUSH)
            system.subscribed("event-1", times=4)
            for number in range(1, 11):  # both at once, so that reads and changes cross
                await asyncio.gather(click(pages[0], f"A{number}"), click(pages[1], f"B{number}"))
            for page in pages:
                await see(page, "60 of 80")
                await page.wait_for("reads.length === 20")
                reads = await page.evaluate("reads")
                assert [read for read in reads if read[1] < read[0]] == []
                shown = await page.evaluate("noted")
                assert never_falls(shown)
                assert shown[-1] == 20


async def test_any_number_of_people_look_at_the_seats_for_one_request():
    with example(*TICKETS) as (system, origin):
        async with Browser() as browser:
            page = await at_the_box_office(browser, system, "Ann")
            assert asked(origin, "GET /seats") == 1
            for _ in range(3):
                await at_the_box_office(browser, system, "Zoe")
            assert all(is_hit(get(system, "/seats")) for _ in range(20))
            assert asked(origin, "GET /seats") == 1
            await click(page, "H1")
            await is_shown(page, "H1", "yours")
            assert not is_hit(get(system, "/seats"))
            assert all(is_hit(get(system, "/seats")) for _ in range(20))
            assert asked(origin, "GET /seats") == 2


# The one command


@pytest.mark.parametrize("name", ["tickets"])
def test_one_command_starts_an_example_and_one_signal_ends_it(name):
    with program([sys.executable, EXAMPLES / name / "run.py", "--free-ports"]) as example:
        example.wait_to_say("Ctrl-C ends it.")
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/\n", example.output)[1])
        assert ask(port, request("GET", "/", f"127.0.0.1:{port}")).status == 200
        example.process.send_signal(signal.SIGINT)
        assert example.process.wait(20) == 0, example.output
        wait_until(lambda: not example.session(), "the end of its children")

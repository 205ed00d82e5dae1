"""The examples with a cache, as two people would try them: one acts, both see it, nobody sees old.

A page that is told of a change and reads gets the change or something later: tests let pages read
on every push, and look at all that they ever showed. How often the origin was asked is in its log.
"""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest

from tests.ports import free_port
from tests.wire.browser import Browser, Page
from tests.wire.client import Response, ask, command, request, wait_until
from tests.wire.launch import EXAMPLES, Program, program
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow


@contextmanager
def example(name: str, *more: str) -> Iterator[tuple[Running, Program]]:
    """The proxy with a route that caches, in front of the origin of an example."""
    port = free_port()
    settings = {"handler.history_items": "2000"}  # as market-data wants it
    with Gripproxy([f"*,cache 127.0.0.1:{port},over_http"], settings=settings) as running:
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


# Support chat

SUPPORT = ("support-chat", "--control", "{control}")
# On each push read what it made old; keep the number of the pushed message, and the last one read.
READ_HISTORY_ON_PUSH = """
    window.reads = [];
    const id = location.hash.slice(1);
    const spy = new WebSocket(`ws://${location.host}/chats/${id}/socket`);
    spy.addEventListener("message", async ({data}) => {
        const {last} = JSON.parse(data);
        const history = await (await fetch(`/chats/${id}`)).json();
        reads.push([last ? last.n : 0, history.messages.length - 1]);
    });
"""
READ_LIST_ON_PUSH = """
    window.reads = [];
    const spy = new WebSocket(`ws://${location.host}/desk/socket`);
    spy.addEventListener("message", async ({data}) => {
        const {id, last} = JSON.parse(data);
        const list = await (await fetch("/chats")).json();
        reads.push(last ? [last.n, list.find((chat) => chat.id === id).last.n] : [0, 0]);
    });
"""


async def at_the_desk(browser: Browser, system: Running) -> Page:
    page = await browser.open(url(system, "/desk"))
    await see(page, "live", "#state")
    return page


async def a_customer(browser: Browser, system: Running, name: str, question: str) -> Page:
    page = await browser.open(url(system))
    await page.evaluate(f"document.querySelector('#name').value = {name!r}")
    await page.evaluate(f"document.querySelector('#question').value = {question!r}")
    await page.evaluate("document.querySelector('#begin').requestSubmit()")
    await see(page, "connected")
    return page


async def choose(desk: Page, name: str) -> None:
    row = f"[...document.querySelectorAll('ul a')].find((row) => row.innerText.includes({name!r}))"
    await desk.wait_for(row + " !== undefined")
    await desk.evaluate(row + ".click()")
    await see(desk, name, "h2")


async def test_the_desk_sees_all_conversations_and_each_customer_his_own():
    with example(*SUPPORT) as (system, _):
        async with Browser() as browser:
            desk = await at_the_desk(browser, system)
            ann = await a_customer(browser, system, "Ann", "Where is my parcel?")
            zoe = await a_customer(browser, system, "Zoe", "Can I pay later?")
            for text in ("Ann\nWhere is my parcel?", "Zoe\nCan I pay later?"):
                await see(desk, text, "nav")
            await choose(desk, "Ann")
            await desk.type("form input", "In your town.")
            await see(ann, "In your town.", "ol")
            await zoe.type("#text", "In May?")
            await see(desk, "In May?", "nav")
            assert not await desk.evaluate(
                "document.querySelector('ol').innerText.includes('May')"
            )
            await choose(desk, "Zoe")
            await see(desk, "Can I pay later?\nIn May?", "ol")
            assert not await zoe.evaluate("document.body.innerText.includes('town')")
            for page in (desk, ann, zoe):
                assert page.errors == []


async def test_what_was_said_is_there_after_a_reload_and_at_a_desk_that_opens_later():
    with example(*SUPPORT) as (system, _):
        async with Browser() as browser:
            desk = await at_the_desk(browser, system)
            ann = await a_customer(browser, system, "Ann", "Where is my parcel?")
            await choose(desk, "Ann")
            await desk.type("form input", "In your town.")
            await see(ann, "In your town.", "ol")
            where = await ann.evaluate("location.href")
            await ann.go("about:blank")
            await ann.go(where)
            later = await at_the_desk(browser, system)
            await choose(later, "Ann")
            for page in (ann, later):
                await see(page, "Where is my parcel?\nIn your town.", "ol")
            await ann.type("#text", "Thanks")
            for page in (ann, desk, later):
                await see(page, "In your town.\nThanks", "ol")


async def test_a_closed_conversation_is_closed_on_every_page():
    with example(*SUPPORT) as (system, _):
        async with Browser() as browser:
            desk, other = await at_the_desk(browser, system), await at_the_desk(browser, system)
            ann = await a_customer(browser, system, "Ann", "Where is my parcel?")
            await choose(desk, "Ann")
            for page in (other, await at_the_desk(browser, system)):
                await see(page, "Ann", "nav")
            await desk.evaluate("document.querySelector('#close').click()")
            for page in (desk, other, await at_the_desk(browser, system)):
                await page.wait_for("document.querySelector('ul').childElementCount === 0")
            await see(ann, "The conversation is closed.")
            await ann.wait_for("document.querySelector('#talk').hidden")


async def test_nobody_who_hears_a_message_reads_an_older_history():
    with example(*SUPPORT) as (system, _):
        async with Browser() as browser:
            desk = await at_the_desk(browser, system)
            ann = await a_customer(browser, system, "Ann", "Hello?")
            await choose(desk, "Ann")
            await ann.evaluate(READ_HISTORY_ON_PUSH)
            await desk.evaluate(READ_LIST_ON_PUSH)
            for page in (ann, desk):
                await page.wait_for("reads.length === 1")  # it is subscribed
                await note(page, "document.querySelector('ol').childElementCount", each="ol")
            for number in range(10):
                await asyncio.gather(
                    ann.type("#text", f"question {number}"),
                    desk.type("form input", f"answer {number}"),
                )
            for page in (ann, desk):
                await page.wait_for("document.querySelector('ol').childElementCount === 21")
                await page.wait_for("reads.length === 21")
                reads = await page.evaluate("reads")
                assert [read for read in reads if read[1] < read[0]] == []
                assert never_falls(await page.evaluate("noted"))


async def test_a_history_costs_one_request_for_each_message_however_many_read_it():
    with example(*SUPPORT) as (system, origin):
        async with Browser() as browser:
            ann = await a_customer(browser, system, "Ann", "Hello?")
            path = "/chats/" + (await ann.evaluate("location.hash"))[1:]
            assert all(is_hit(get(system, path)) for _ in range(20))
            await choose(await at_the_desk(browser, system), "Ann")
            await choose(await at_the_desk(browser, system), "Ann")
            assert asked(origin, f"GET {path}") == asked(origin, "GET /chats") == 1
            await ann.type("#text", "Anybody?")
            await see(ann, "Anybody?", "ol")
            assert not is_hit(get(system, path))
            assert not is_hit(get(system, "/chats"))
            assert all(is_hit(get(system, path)) for _ in range(20))
            assert asked(origin, f"GET {path}") == asked(origin, "GET /chats") == 2


# Market data

MARKET = ("market-data", "--pull", "{pull}")
POSITION = "Number(document.querySelector('main').dataset.n)"
IS_OPEN = "document.querySelector('main').dataset.open === 'true'"
# On each tick read the page; keep which tick was pushed, and which the page was from.
READ_PAGE_ON_TICK = """
    window.reads = [];
    new EventSource("/ticks").addEventListener("tick", async ({data}) => {
        const page = await (await fetch("/")).text();
        reads.push([JSON.parse(data).n, Number(page.match(/data-n="([0-9]+)"/)[1])]);
    });
"""
MORE = "GET /ticks?more"
RECOVER = b"28:2:id,1:1,6:method,7:recover,}"


class Relay:
    """Stands before the proxy, and can cut what goes through it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def cut(self) -> int:
        """Reset every connection, and say how many there were."""
        ends, self._open = self._open, set()
        for end in ends:
            end.transport.abort()
        return len(ends)

    async def _connected(self, *client: asyncio.StreamReader | asyncio.StreamWriter) -> None:
        proxy = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {client[1], proxy[1]}
        self._open |= ends
        await asyncio.gather(self._pass(client[0], proxy[1]), self._pass(proxy[0], client[1]))
        for end in ends:
            end.transport.abort()
        self._open -= ends

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        writer.close()


@asynccontextmanager
async def relay(system: Running) -> AsyncIterator[Relay]:
    between = Relay(system.port)
    async with await between.start():
        yield between
        between.cut()


async def at_the_market(browser: Browser, port: int) -> Page:
    page = await browser.open(f"http://127.0.0.1:{port}/")
    await see(page, "live", "#state")
    await page.wait_for("missed.value === 'none missed'")
    return page


async def ticks(page: Page, count: int) -> None:
    """Wait for so many more ticks."""
    until = await page.evaluate(POSITION) + count
    await page.wait_for(f"{POSITION} >= {until}")


async def prices(page: Page) -> list[str]:
    return await page.evaluate("[...document.querySelectorAll('td output')].map((o) => o.value)")


async def test_all_pages_have_the_same_prices_and_so_has_one_that_is_opened_later():
    with example(*MARKET) as (system, _):
        async with Browser() as browser:
            pages = [await at_the_market(browser, system.port) for _ in range(2)]
            for page in pages:
                await ticks(page, 20)
            await pages[0].evaluate("document.querySelector('button').click()")
            for page in pages:
                await page.wait_for(f"!({IS_OPEN})")
            shown = await pages[0].evaluate(POSITION)
            assert f'data-n="{shown}" data-open="false"'.encode() in get(system, "/").body
            pages.append(await at_the_market(browser, system.port))
            assert not await pages[2].evaluate(IS_OPEN)
            shown = [await prices(page) for page in pages]
            assert shown[0] == shown[1] == shown[2]
            assert len({await page.evaluate(POSITION) for page in pages}) == 1
            await pages[2].evaluate("document.querySelector('button').click()")
            for page in pages:
                await ticks(page, 5)
                assert page.errors == []


async def test_a_page_whose_connection_is_cut_misses_no_tick_and_sees_none_twice():
    with example(*MARKET) as (system, _):
        async with Browser() as browser, relay(system) as between:
            page = await at_the_market(browser, between.port)
            await note(page, POSITION, each="main")
            for _ in range(3):
                await ticks(page, 10)
                assert between.cut() >= 2
                await page.wait_for("state.value === 'lost'")
                await page.wait_for("state.value === 'live'")
            await ticks(page, 10)
            noted = sorted(set(await page.evaluate("noted")))
            assert noted == list(range(noted[0], noted[-1] + 1))
            assert never_falls(await page.evaluate("noted"))
            await see(page, "none missed", "#missed")


async def test_a_stream_that_has_to_catch_up_misses_no_tick():
    with example(*MARKET) as (system, origin):
        async with Browser() as browser:
            page = await at_the_market(browser, system.port)
            await note(page, POSITION, each="main")
            for _ in range(3):
                before = asked(origin, MORE)
                assert b"7:success,4:true!" in command(system.command_port, RECOVER)
                wait_until(lambda old=before: asked(origin, MORE) > old, "the next link")
                await ticks(page, 10)
            noted = sorted(set(await page.evaluate("noted")))
            assert noted == list(range(noted[0], noted[-1] + 1))
            await see(page, "none missed", "#missed")
            assert never_falls(await page.evaluate("noted"))


async def test_a_tick_that_is_lost_on_its_way_is_caught_up_with():
    with example(*MARKET) as (system, _):
        async with Browser() as browser:
            page = await at_the_market(browser, system.port)
            await note(page, POSITION, each="main")
            life, _, n = get(system, "/").value("etag").strip('"').partition("-")
            lost = int(n) + 20
            # The proxy takes the tick of this id for one that it has had, and drops it.
            seen = {"channel": "ticks", "id": f"{life}-{lost}", "no-seq": True}
            assert (
                system.publish([{**seen, "formats": {"ws-message": {"content": ""}}}]).status
                == 200
            )
            await page.wait_for(f"{POSITION} >= {lost - 1}")
            await page.wait_for(f"{POSITION} > {lost}")
            noted = sorted(set(await page.evaluate("noted")))
            assert noted == list(range(noted[0], noted[-1] + 1))
            await see(page, "none missed", "#missed")


async def test_many_streams_and_those_that_come_back_are_one_request():
    with example(*MARKET) as (system, origin):
        async with Browser() as browser, relay(system) as between:
            pages = [await at_the_market(browser, between.port)]
            pages += [await at_the_market(browser, between.port) for _ in range(3)]
            for page in pages:
                await ticks(page, 10)
            between.cut()
            for page in pages:
                await page.wait_for("state.value === 'lost'")
            for page in pages:
                await page.wait_for("state.value === 'live'")
                await ticks(page, 10)
                await see(page, "none missed", "#missed")
            assert asked(origin, "GET /ticks") == 1


async def test_nobody_who_hears_a_tick_reads_an_older_page():
    with example(*MARKET) as (system, _):
        async with Browser() as browser:
            pages = [await at_the_market(browser, system.port) for _ in range(2)]
            for page in pages:
                await page.evaluate(READ_PAGE_ON_TICK)
            for page in pages:
                await page.wait_for("reads.length >= 40")
                reads = await page.evaluate("reads")
                assert [read for read in reads if read[1] < read[0]] == []


async def test_between_two_ticks_any_number_of_people_open_the_page_for_one_request():
    with example(*MARKET) as (system, origin):
        async with Browser() as browser:
            page = await at_the_market(browser, system.port)
            await page.evaluate("document.querySelector('button').click()")
            await page.wait_for(f"!({IS_OPEN})")
            get(system, "/")
            before = asked(origin, "GET /")
            for _ in range(3):
                later = await at_the_market(browser, system.port)
                assert await prices(later) == await prices(page)
            assert all(is_hit(get(system, "/")) for _ in range(20))
            assert asked(origin, "GET /") == before
            await page.evaluate("document.querySelector('button').click()")
            await ticks(page, 1)
            assert b'data-open="true"' in get(system, "/").body
            assert asked(origin, "GET /") > before


# The one command


@pytest.mark.parametrize("name", ["market-data", "support-chat", "tickets"])
def test_one_command_starts_an_example_and_one_signal_ends_it(name):
    with program([sys.executable, EXAMPLES / name / "run.py", "--free-ports"]) as example:
        example.wait_to_say("Ctrl-C ends it.")
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/\n", example.output)[1])
        assert ask(port, request("GET", "/", f"127.0.0.1:{port}")).status == 200
        example.process.send_signal(signal.SIGINT)
        assert example.process.wait(20) == 0, example.output
        wait_until(lambda: not example.session(), "the end of its children")

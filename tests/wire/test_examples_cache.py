"""The examples whose pages are cached: who acts in one page, and what all the others show.

Each page writes down what it shows from its first moment on, so that an old value that came back,
however briefly, is found. The origin's log says what the cache asked for.
"""

import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.wire.browser import Browser, Page
from tests.wire.client import Client, Response, ask, request, wait_until
from tests.wire.launch import EXAMPLES, UNDER_TEST, WITHOUT_SUB, Program, program
from tests.wire.running import Gripproxy, Running, free_port
from tests.wire.test_examples import see, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(UNDER_TEST is not Gripproxy, reason="only ours has a cache"),
]

HIT = re.compile(r"gripproxy; hit; ttl=(59\d|600)")
DIARY = """
    window.moved = [];
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (...how) {
        moved.push(this.dataset.name);
        return animate.apply(this, how);
    };
    window.diary = [];
    new MutationObserver(() => {
        const now = document.querySelector(%s)?.textContent;
        if (now && now !== diary.at(-1)) diary.push(now);
    }).observe(document, {subtree: true, childList: true, characterData: true});
"""
CALM = [{"name": "prefers-reduced-motion", "value": "reduce"}]


@dataclass
class Example:
    """One example behind a proxy whose route has `cache`."""

    system: Running
    origin: Program

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.system.port}{path}"

    def get(self, path: str, *fields: str) -> Response:
        return ask(self.system.port, self.request("GET", path, *fields))

    def post(self, path: str, said: object, *fields: str) -> Response:
        return ask(self.system.port, self.request("POST", path, *fields, said=said))

    def request(self, method: str, path: str, *fields: str, said: object = None) -> bytes:
        body = None if said is None else json.dumps(said).encode()
        host = f"127.0.0.1:{self.system.port}"  # a browser's, so that both ask for the same
        return request(method, path, host, *fields, body=body)

    def read(self, path: str) -> dict[str, object]:
        """What any reader of a JSON resource gets now."""
        return json.loads(self.get(path).body)

    def asked(self, path: str) -> int:
        """How often the origin was asked for it."""
        return self.origin.output.count(f'"GET {path} HTTP')

    def published(self, channel: str) -> int:
        return self.system.log().count(f"publish channel={channel} ")

    def store(self, path: str) -> None:
        """Let the cache have what the origin says now."""
        assert self.get(path).status == 200
        self.assert_cached(path)

    def assert_cached(self, path: str) -> None:
        """The next reader is answered from memory, and the origin is not asked."""
        asked = self.asked(path)
        assert HIT.fullmatch(self.get(path).value("cache-status") or "")
        assert self.asked(path) == asked


@contextmanager
def example(name: str, settings: Mapping[str, str] | None = None) -> Iterator[Example]:
    port = free_port()
    route = f"*,cache 127.0.0.1:{port},over_http"
    with Gripproxy([route], settings=settings) as system:
        control = f"http://127.0.0.1:{system.http_port}"
        command = [sys.executable, "origin.py", "--port", port, "--control", control]
        with program(command, cwd=EXAMPLES / name) as origin:
            origin.wait_to_listen(port)
            yield Example(system, origin)


@pytest.fixture
def store() -> Iterator[Example]:
    with example("store") as one:
        yield one


@pytest.fixture
def poll() -> Iterator[Example]:
    with example("live-poll") as one:
        yield one


@pytest.fixture
def board() -> Iterator[Example]:
    with example("leaderboard") as one:
        yield one


async def visit(browser: Browser, url: str, watched: str, features: Sequence = ()) -> Page:
    """Open a page of one's own that keeps a diary of an element, and wait until it is live."""
    page = await browser.open("about:blank")
    if features:
        await page.call("Emulation.setEmulatedMedia", features=features)
    source = DIARY % json.dumps(watched)
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=source)
    await page.go(url)
    await see(page, "live", "#live")
    return page


async def click(page: Page, selector: str) -> None:
    await page.evaluate(f"document.querySelector({selector!r}).click()")


async def diary(page: Page) -> list[str]:
    """All that the page has shown, in order."""
    assert page.errors == []
    return await page.evaluate("diary")


async def assert_shown_by_all(
    here: Example, browser: Browser, pages: Sequence[Page], watched: str, old: str, new: str
) -> None:
    """Both pages come to the new value, a third begins with it, none goes back."""
    for page in pages:
        await see(page, new, watched)
    here.store("/")
    asked = here.asked("/")
    third = await visit(browser, here.url(), watched)
    assert await diary(third) == [new]
    assert here.asked("/") == asked
    here.assert_cached("/")
    for page in pages:
        assert await diary(page) == [old, new]


# The store

MUG, VASE = "#product-7", "#product-9"


async def test_a_sale_shows_in_every_page_and_in_the_next_one(store):
    store.store("/")
    async with Browser() as browser:
        watched = f"{MUG} .stock"
        pages = [await visit(browser, store.url(), watched) for _ in range(2)]
        assert store.asked("/") == 1
        await click(pages[0], f"{MUG} .buy")
        await assert_shown_by_all(store, browser, pages, watched, "5 left", "4 left")
        await see(pages[0], "Cart: 1 · €18.00", "#cart")
        await see(pages[1], "Cart: empty", "#cart")


async def test_a_new_price_shows_in_every_page_and_in_the_next_one(store):
    async with Browser() as browser:
        watched = f"{MUG} .price"
        pages = [
            await visit(browser, store.url(), watched),
            await visit(browser, store.url("/products/7"), watched),
        ]
        await click(pages[0], "#keeper-7 button[title=dearer]")
        await assert_shown_by_all(store, browser, pages, watched, "€18.00", "€19.00")


async def test_what_is_sold_out_can_be_put_into_no_cart(store):
    async with Browser() as browser:
        one, other = [await visit(browser, store.url(), f"{VASE} .stock") for _ in range(2)]
        await click(one, f"{VASE} .buy")
        for page in (one, other):
            await page.wait_for(f"document.querySelector('{VASE} .buy').disabled")
            assert await page.evaluate(f"document.querySelector('{VASE}').className") == "out"
        await other.evaluate(f"document.querySelector('{VASE} .buy').disabled = false")
        await click(other, f"{VASE} .buy")  # as a page would that has not heard of it
        await see(other, "Sold out. Somebody was faster.", f"{VASE} .said")
        await see(other, "Cart: empty", "#cart")
        assert await diary(other) == ["1 left", "Sold out"]
    assert store.read("/products/9.json")["stock"] == 0


async def test_what_comes_back_can_be_bought_again(store):
    assert store.post("/cart", {"product": 9, "price": 5200}).status == 200
    async with Browser() as browser:
        page = await visit(browser, store.url(), f"{VASE} .stock")
        await click(page, "#keeper-9 button[title='one more']")
        await see(page, "1 left", f"{VASE} .stock")
        await click(page, f"{VASE} .buy")
        await see(page, "It is yours.", f"{VASE} .said")
        await see(page, "Sold out", f"{VASE} .stock")


def test_a_sale_is_one_item(store):
    assert store.post("/cart", {"product": 7, "price": 1800}).status == 200
    wait_until(lambda: store.published("product-7") == 1, "the item")
    assert store.post("/cart", {"product": 7, "price": 1800}).status == 200
    wait_until(lambda: store.published("product-7") == 2, "the second item")


def test_whoever_reads_after_a_change_reads_the_change(store):
    for price in range(100, 130):
        assert store.post("/products/7", {"price": price, "stock": 1}).status == 200
        assert store.read("/products/7.json")["price"] == price
        for path in ("/products/7.json", "/products/7", "/"):
            store.store(path)
            assert f'"price": {price}, "stock": 1' in store.get(path).body.decode()


def test_a_change_takes_back_only_what_shows_it(store):
    for path in ("/", "/products/7", "/products/8"):
        store.store(path)
    assert store.post("/products/7", {"price": 1, "stock": 1}).status == 200
    store.assert_cached("/products/8")
    for path in ("/", "/products/7"):
        asked = store.asked(path)
        store.get(path)
        assert store.asked(path) == asked + 1


def test_nobody_buys_at_a_price_that_is_no_longer_so(store):
    assert store.post("/products/7", {"price": 1900, "stock": 5}).status == 200
    assert store.post("/cart", {"product": 7, "price": 1800}).status == 409
    assert store.read("/products/7.json")["stock"] == 5
    assert store.post("/cart", {"product": 7, "price": 1900}).status == 200
    assert store.read("/products/7.json")["stock"] == 4


def test_of_eight_who_want_three_bowls_three_get_one(store):
    with ExitStack() as stack:
        buyers = [stack.enter_context(Client(store.system.port)) for _ in range(8)]
        for buyer in buyers:
            buyer.send(store.request("POST", "/cart", said={"product": 8, "price": 2400}))
        answers = sorted(buyer.response().status for buyer in buyers)
    assert answers == [200] * 3 + [409] * 5
    assert store.read("/products/8.json")["stock"] == 0


def test_a_browser_that_has_the_page_is_told_so_from_memory(store):
    store.store("/")
    etag = store.get("/").value("etag")
    answer = store.get("/", f"If-None-Match: {etag}")
    assert (answer.status, answer.value("cache-control")) == (304, "no-cache")
    assert store.asked("/") == 1
    assert store.post("/cart", {"product": 7, "price": 1800}).status == 200
    assert store.get("/", f"If-None-Match: {etag}").status == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/cart", {"product": 1, "price": 1}),
        ("/cart", ["product"]),
        ("/products/7", {"price": 0, "stock": 1}),
        ("/products/7", {"price": 1, "stock": -1}),
        ("/products/7", {"price": "1", "stock": 1}),
        ("/products/1", {"price": 1, "stock": 1}),
    ],
)
def test_the_store_takes_nothing_that_makes_no_sense(store, path, said):
    before = store.read("/products/7.json")
    assert store.post(path, said).status == 400
    assert store.read("/products/7.json") == before


@pytest.mark.parametrize("path", ["/products/1", "/products/1.json", "/events", "/x"])
def test_the_store_has_no_other_pages(store, path):
    assert store.get(path).status == 404


# The live poll


async def test_a_vote_shows_in_every_page_and_in_the_next_one(poll):
    poll.store("/")
    async with Browser() as browser:
        pages = [await visit(browser, poll.url(), "#total") for _ in range(2)]
        await click(pages[0], "#choices button:nth-child(2)")
        await assert_shown_by_all(poll, browser, pages, "#total", "0 votes.", "1 vote.")
        await click(pages[1], "#choices button:nth-child(1)")
        for page in pages:
            await see(page, "2 votes.", "#total")
            assert await page.evaluate(
                "[...document.querySelectorAll('.percent')].map((e) => e.textContent)"
            ) == ["50 %", "50 %", "0 %", "0 %"]


async def test_a_browser_votes_once(poll):
    async with Browser() as browser:
        page = await visit(browser, poll.url(), "#total")
        await click(page, "#choices button:nth-child(2)")
        await see(page, "You have voted.", "#mine")
        status = "fetch('/vote', {method: 'POST', body: '3'}).then((answer) => answer.status)"
        assert await page.evaluate(status) == 409
        await page.go(poll.url())
        await see(page, "You have voted.", "#mine")
        pressed = "document.querySelector('[aria-pressed=true] span').textContent"
        assert await page.evaluate(pressed) == "Cook together"
        other = await visit(browser, poll.url(), "#total")
        await see(other, "You have not voted yet.", "#mine")
    assert poll.read("/results")["votes"] == [0, 1, 0, 0]


async def test_ten_votes_at_once_are_ten_in_every_page(poll):
    async with Browser() as browser:
        pages = [await visit(browser, poll.url(), "#total") for _ in range(2)]
        cookies = [poll.get("/vote").value("set-cookie").split(";")[0] for _ in range(10)]
        with ExitStack() as stack:
            voters = [stack.enter_context(Client(poll.system.port)) for _ in cookies]
            for voter, cookie in zip(voters, cookies, strict=True):
                voter.send(poll.request("POST", "/vote", f"Cookie: {cookie}", said=3))
            assert {voter.response().status for voter in voters} == {200}
        assert poll.read("/results")["votes"] == [0, 0, 0, 10]
        for page in pages:
            await see(page, "10 votes.", "#total")
            totals = [int(text.split()[0]) for text in await diary(page)]
            assert all(earlier < later for earlier, later in pairwise(totals)), totals


def test_who_has_no_cookie_has_no_vote(poll):
    assert poll.post("/vote", 1).status == 403
    assert poll.read("/results")["votes"] == [0, 0, 0, 0]


def test_what_one_browser_voted_is_nobody_elses(poll):
    cookies = [poll.get("/vote").value("set-cookie") for _ in range(2)]
    assert cookies[0] != cookies[1]
    assert all("Path=/vote; HttpOnly" in cookie for cookie in cookies)
    one, other = (f"Cookie: {cookie.split(';')[0]}" for cookie in cookies)
    assert poll.post("/vote", 1, one).status == 200
    answers = [json.loads(poll.get("/vote", cookie).body) for cookie in (one, other)]
    assert answers == [{"choice": 1}, {"choice": None}]


def test_whoever_reads_after_a_vote_reads_the_vote(poll):
    for count in range(1, 11):
        cookie = poll.get("/vote").value("set-cookie").split(";")[0]
        assert poll.post("/vote", 0, f"Cookie: {cookie}").status == 200
        assert poll.read("/results")["votes"] == [count, 0, 0, 0]
        poll.store("/results")
        assert poll.read("/results")["votes"] == [count, 0, 0, 0]
    wait_until(lambda: poll.published("poll") == 10, "ten items")


@pytest.mark.parametrize("said", [-1, 4, "1", {}, [1]])
def test_the_poll_takes_nothing_that_makes_no_sense(poll, said):
    cookie = poll.get("/vote").value("set-cookie").split(";")[0]
    assert poll.post("/vote", said, f"Cookie: {cookie}").status == 400


# The leaderboard


async def score(page: Page, name: str, points: int) -> None:
    await page.evaluate(f"document.querySelector('#points').value = {points}")
    await page.type("#name", name)


async def names(page: Page) -> list[str]:
    return await page.evaluate("[...document.querySelectorAll('li b')].map((e) => e.textContent)")


async def test_a_score_shows_in_every_page_and_in_the_next_one(board):
    board.store("/")
    async with Browser() as browser:
        watched = "li:nth-child(2) b"
        pages = [await visit(browser, board.url(), watched) for _ in range(2)]
        await score(pages[0], "Zoë", 570)
        await assert_shown_by_all(board, browser, pages, watched, "Ben", "Zoë")


async def test_ranks_move(board):
    async with Browser() as browser:
        pages = [await visit(browser, board.url(), "ol") for _ in range(2)]
        calm = await visit(browser, board.url(), "ol", CALM)
        await score(pages[0], "Cleo", 120)
        for page in (*pages, calm):
            await page.wait_for("document.querySelector('li').textContent.startsWith('Cleo')")
            assert (await names(page))[:4] == ["Cleo", "Ada", "Ben", "Dan"]
        for page in pages:
            assert sorted(await page.evaluate("moved")) == ["Ada", "Ben", "Cleo"]
            climbs = "[...document.querySelectorAll('li small')].map((e) => e.textContent)"
            assert (await page.evaluate(climbs))[:4] == ["▲ 2", "▼ 1", "▼ 1", ""]
        assert await calm.evaluate("moved") == []


async def test_two_pages_score_together_however_fast(board):
    async with Browser() as browser:
        watched = "li[data-name=Ivo] span"
        pages = [await visit(browser, board.url(), watched) for _ in range(2)]
        for _ in range(10):
            for page in pages:
                await score(page, "Ivo", 10)
        for page in pages:
            await see(page, "400", watched)
            shown = [int(text) for text in await diary(page)]
            assert shown[0] == 200
            assert all(earlier < later for earlier, later in pairwise(shown)), shown


def test_whoever_reads_after_a_score_reads_the_score(board):
    for points in range(1, 31):
        assert board.post("/scores", {"name": "Ada", "points": 1}).status == 200
        for _ in range(2):
            assert board.read("/top.json")["top"][0] == {"name": "Ada", "points": 600 + points}
        board.assert_cached("/top.json")
    wait_until(lambda: board.published("top") == 30, "thirty items")


def test_only_ten_are_shown_the_others_are_remembered(board):
    assert board.post("/scores", {"name": "Leo", "points": 110}).status == 200
    top = board.read("/top.json")["top"]
    assert (len(top), top[-1]) == (10, {"name": "Leo", "points": 160})


@pytest.mark.parametrize(
    "said",
    [{"name": " ", "points": 1}, {"name": "A", "points": 0}, {"name": "A", "points": "1"}, []],
)
def test_the_leaderboard_takes_nothing_that_makes_no_sense(board, said):
    before = board.read("/top.json")
    assert board.post("/scores", said).status == 400
    assert board.read("/top.json") == before


async def test_a_name_is_text_whatever_it_is(board):
    async with Browser() as browser:
        page = await visit(browser, board.url(), "ol")
        await score(page, "</script><b>x", 900)
        await see(page, "</script><b>x", "li")
        again = await visit(browser, board.url(), "ol")
        assert (await names(again))[0] == "</script><b>x"
        assert again.errors == []


# All of them


@pytest.mark.parametrize(
    ("name", "channel", "state", "waits", "path", "said"),
    [
        ("leaderboard", "top", "/top.json", "/events", "/scores", {"name": "Ada", "points": 1}),
        ("live-poll", "poll", "/results", "/results?seen={}", "/vote", 1),
        (
            *("store", "product-7", "/products/7.json", "/events?product=7"),
            *("/products/7", {"price": 1, "stock": 1}),
        ),
    ],
)
def test_however_many_wait_the_origin_is_asked_once(name, channel, state, waits, path, said):
    with example(name, WITHOUT_SUB) as here, ExitStack() as stack:
        for rounds in (1, 2):
            version = here.read(state)["version"]
            waiting = [stack.enter_context(Client(here.system.port)) for _ in range(20)]
            for client in waiting:
                client.send(here.request("GET", waits.format(version)))
            here.system.subscribed(channel, times=20 * rounds)
            cookie = (here.get("/vote").value("set-cookie") or "").split(";")[0]
            assert here.post(path, said, f"Cookie: {cookie}").status == 200
            told = f'"version": {version + 1}'.encode()
            assert all(told in client.until(told) for client in waiting)
            assert here.asked(waits.format(version)) == (1 if "{" in waits else rounds)


# The one command


@pytest.mark.parametrize("name", ["leaderboard", "live-poll", "store"])
def test_one_command_starts_it_with_a_cache_and_one_signal_ends_it(name):
    with program([sys.executable, EXAMPLES / name / "run.py", "--free-ports"]) as running:
        port = int(started(running))
        answers = [ask(port, request("GET", "/", "127.0.0.1")) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert HIT.fullmatch(answers[1].value("cache-status") or "")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(20) == 0, running.output
        wait_until(lambda: not running.session(), "the end of its children")

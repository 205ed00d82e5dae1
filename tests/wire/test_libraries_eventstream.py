"""A Django site with `django-eventstream`, unchanged: events reach browsers, and none is lost.

The site is the example. That it is held at all shows that `django-grip` took the proxy's
signature.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.wire.browser import Browser, Page
from tests.wire.client import Client, Response, ask, request
from tests.wire.launch import EXAMPLES, Program, behind
from tests.wire.running import Running

pytestmark = pytest.mark.slow

SITE = EXAMPLES / "django-eventstream"
MANAGE = [sys.executable, "manage.py"]
EVENTS = request("GET", "/events/", "127.0.0.1", "Accept: text/event-stream")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the site's database."""
    made = str(tmp_path_factory.mktemp("site") / "db.sqlite3")
    migrate = [*MANAGE, "migrate", "--verbosity=0"]
    subprocess.run(migrate, cwd=SITE, env={**os.environ, "DATABASE": made}, check=True)
    return made


@pytest.fixture(scope="module")
def both(database: str) -> Iterator[tuple[Running, Program]]:
    serve = [*MANAGE, "runserver", "--noreload", "127.0.0.1:{port}"]
    with behind(serve, cwd=SITE, DATABASE=database) as pair:
        yield pair


@pytest.fixture
def system(both: tuple[Running, Program]) -> Running:
    return both[0]


@pytest.fixture
def site(both: tuple[Running, Program]) -> Program:
    return both[1]


def send(system: Running, text: str) -> None:
    """Let the site send an event."""
    post = request("POST", "/send", "127.0.0.1", body=text.encode())
    assert ask(system.port, post).status == 204


@pytest.fixture
def run(system: Running, database: str) -> Callable[[str], None]:
    """Run a piece of Python beside the site, with its database and its GRIP_URL."""

    def done(code: str) -> None:
        url = f"http://127.0.0.1:{system.http_port}/?iss=pushpin&key=changeme"
        env = {**os.environ, "DATABASE": database, "GRIP_URL": url}
        command = [*MANAGE, "shell", "--command", code]
        subprocess.run(command, cwd=SITE, env=env, check=True, timeout=60, capture_output=True)

    return done


def after(last_id: str) -> bytes:
    """Ask for the events after the one with that id."""
    fields = ("Accept: text/event-stream", f"Last-Event-ID: {last_id}")
    return request("GET", "/events/", "127.0.0.1", *fields)


def ids(text: bytes) -> list[int]:
    """The numbers of the events in a part of a stream."""
    return [int(number) for number in re.findall(rb"^id: test:(\d+)$", text, re.MULTILINE)]


def last(system: Running) -> int:
    """Send an event to a fresh stream and return its number."""
    with Client(system.port) as client:
        client.send(EVENTS)
        assert client.head().value("content-type") == "text/event-stream"
        up_to(client, b"event: stream-open\ndata:\n\n")
        send(system, "mark")
        (number,) = ids(up_to(client, b"mark"))
        return number


def up_to(client: Client, mark: bytes) -> bytes:
    """Read chunks of a stream until it has the mark."""
    got = b""
    while mark not in got:
        piece = client.piece()
        assert piece is not None, f"ended after {got!r}"
        got += piece
    return got


async def held(browser: Browser, system: Running) -> Page:
    """The site's page, with its stream held."""
    page = await browser.open(f"http://127.0.0.1:{system.port}/")
    await page.wait_for("document.querySelector('output').textContent === 'held'")
    return page


async def shown(page: Page, text: str) -> str:
    """Wait until the page shows an event and return its id."""
    row = f"[...document.querySelectorAll('li')].find((row) => row.innerText.includes({text!r}))"
    return await page.wait_for(f"{row}?.querySelector('small').textContent")


async def test_an_event_reaches_the_event_source_of_a_browser(system):
    async with Browser() as browser:
        page = await held(browser, system)
        system.subscribed("events-test")
        await page.type("#message", "hello from a view")
        channel, first = (await shown(page, "hello from a view")).split(":")
        await page.type("#message", "and 100 % of it")
        assert await shown(page, "and 100 % of it") == f"{channel}:{int(first) + 1}"
        assert page.errors == []


async def test_a_browser_that_was_away_gets_what_it_missed(system, site):
    async with Browser() as browser:
        page = await held(browser, system)
        await page.type("#message", "before the cut")
        await shown(page, "before the cut")
        close = {"channel": "user-anonymous", "formats": {"http-stream": {"action": "close"}}}
        assert system.publish([close]).status == 200
        await page.wait_for("document.querySelector('output').textContent.startsWith('lost')")
        send(system, "while it was away")
        await shown(page, "while it was away")
        send(system, "after its return")
        await shown(page, "after its return")
        texts = "[...document.querySelectorAll('li span')].map((text) => text.textContent)"
        assert await page.evaluate(texts) == [
            "after its return",
            "while it was away",
            "before the cut",
        ]


def test_a_stream_begins_with_what_was_sent_since_its_last_id(system):
    known = last(system)
    send(system, "missed")
    with Client(system.port) as client:
        client.send(after(f"test:{known}"))
        client.head()
        assert ids(up_to(client, b"missed")) == [known + 1]
        send(system, "next")
        assert ids(up_to(client, b"next")) == [known + 2]


def test_more_events_than_fit_in_one_answer_are_fetched_page_by_page(system, site):
    known = last(system)
    for number in range(105):
        send(system, f"number {number}.")
    asked = site.output.count("GET /events/")
    with Client(system.port) as client:
        client.send(after(f"test:{known}"))
        client.head()
        assert ids(up_to(client, b"number 104.")) == list(range(known + 1, known + 106))
    site.wait_to_say("GET /events/", times=asked + 2)


def test_a_stream_that_ended_in_an_error_is_refused(system):
    got = ask(system.port, after("error"))
    assert (got.status, got.body.startswith(b"Invalid request")) == (400, True)


def test_an_error_event_is_relayed_and_ends_the_stream(system):
    got: Response = ask(system.port, after("zzz"))
    assert got.status == 200
    assert b"event: stream-error\nid: error\ndata: " in got.body
    assert b"Failed to parse Last-Event-ID" in got.body


SEND = """
from django_eventstream import send_event
send_event("test", "message", {"text": "not for all"}, skip_user_ids=["anonymous"],
    async_publish=False)
send_event("test", "message", {"text": "for 100 % of all"}, async_publish=False)
"""

# What an application does when it has taken a permission away.
KICK = """
from django_eventstream import channel_permission_changed
from django_eventstream.channelmanager import DefaultChannelManager
DefaultChannelManager.can_read_channel = lambda *_: False
channel_permission_changed(None, "test")
"""


def test_a_user_is_skipped_and_later_events_are_numbered_on(system, run):
    known = last(system)
    with Client(system.port) as client:
        client.send(EVENTS)
        client.head()
        up_to(client, b"event: stream-open\ndata:\n\n")
        run(SEND)
        got = up_to(client, b"of all")
    assert b"not for all" not in got
    assert b"for 100 % of all" in got
    assert ids(got) == [known + 2]


def test_who_may_listen_no_more_is_told_and_cut_off(system, run):
    with Client(system.port) as client:
        client.send(EVENTS)
        client.head()
        up_to(client, b"event: stream-open\ndata:\n\n")
        run(KICK)
        told = b"".join(client.pieces())
    assert told.startswith(b"event: stream-error\nid: error\ndata: ")
    assert b"Permission denied to channels: test" in told

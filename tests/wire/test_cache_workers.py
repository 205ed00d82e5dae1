"""The cache with several workers: what one has purged no other serves (cache-and-purge.md).

The origin answers with its present version. So whoever is answered with an earlier one, after a
purge that came with the change, has been served something old.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.wire.client import Client, ask, envelope, push, request, wait_until
from tests.wire.origin import Origin, Stage, Wire, text
from tests.wire.origin import Request as Asked
from tests.wire.processes import Placed, content, everywhere, said, serving, signalled
from tests.wire.running import Running

pytestmark = pytest.mark.slow

HOST = "cached.test"
FRESH = ("Cache-Control: max-age=600", "Surrogate-Key: k")
ROUNDS = 20
# An item that says nothing of purges, on a channel that has the name of the page's key.
PLAIN = envelope({"channel": "k", "formats": content("x")}, "J")


class Shop:
    """An origin whose one page has versions, and two workers that have stored it."""

    def __init__(self, system: Running, stage: Stage) -> None:
        self.system = system
        self.stage = stage
        self.version = 0
        stage.answer(self._page)

    def _page(self, _: Asked, __: Wire) -> bytes:
        return text(*FRESH, body=str(self.version))

    def change(self) -> int:
        """Let the page have a new version; return which."""
        self.version += 1
        return self.version

    def opened(self) -> Client:
        """Return a connection on which the page has been got."""
        client = Client(self.system.port)
        got(client)
        return client

    @contextmanager
    def connections(self) -> Iterator[tuple[Placed, Placed]]:
        """Give a connection to each worker; the page is stored in both."""
        with everywhere(self.system, self.opened) as held:
            one, other = {place.pid: place for place in held}.values()
            yield one, other

    def purge(self, **what: object) -> dict[str, object]:
        """Purge over the control port; return the receipt."""
        return self._control("/purge", json.dumps(what or {"keys": ["k"]}).encode())

    def purge_uncounted(self) -> None:
        """Purge over the control port in the way that nobody has to count for."""
        self._control("/service/any/purge/k")

    def _control(self, target: str, body: bytes = b"") -> dict[str, object]:
        answer = ask(self.system.http_port, request("POST", target, "control", body=body))
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def by_post(self, place: Placed) -> None:
        """Change the page by a request to a worker."""
        place.client.send(request("POST", "/r", HOST, body=b"x"))
        assert place.client.response().status == 200

    def by_purge(self, place: Placed) -> None:
        """Purge the page by a client's request to a worker."""
        place.client.send(request("PURGE", "/r", HOST))
        assert json.loads(place.client.response().body)["status"] == "ok"


def ask_for(place: Placed) -> None:
    """Ask for the page without waiting for it."""
    place.client.send(request("GET", "/r", HOST))


def got(client: Client) -> int:
    """Return the version of the page that a client gets."""
    client.send(request("GET", "/r", HOST))
    return int(client.response().body)


def from_memory(place: Placed) -> bool:
    """Tell whether a worker answers from its memory."""
    ask_for(place)
    return "; hit" in (place.client.response().value("cache-status") or "")


@contextmanager
def stopped(place: Placed) -> Iterator[None]:
    """Let a worker do nothing for a while."""
    assert place.pid is not None
    os.kill(place.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(place.pid, signal.SIGCONT)


def killed(shop: Shop, place: Placed) -> None:
    """Kill a worker, and wait until another serves in its place."""
    assert place.pid is not None
    before = shop.system.log().count("serves in its place")
    os.kill(place.pid, signal.SIGKILL)
    said(shop.system, "serves in its place", times=before + 1)


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    with origin.stage("cached") as stage:
        stage.forgiving = True
        yield stage


@pytest.fixture
def shop(stage: Stage, gripproxy) -> Shop:
    settings = {"runner.workers": "2", "cache.purge_from": "127.0.0.1"}
    system = gripproxy([f"*,cache 127.0.0.1:{stage.port}"], settings=settings)
    said(system, " started")
    return Shop(system, stage)


def test_each_worker_answers_from_its_memory(shop):
    with shop.connections() as (one, other):
        shop.change()
        assert [got(place.client) for place in (one, other)] == [0, 0]
    assert len(shop.stage.requests) == 2


# From the acknowledgement on nothing old is served


@pytest.mark.parametrize("what", [{"keys": ["k"]}, {"urls": [f"{HOST}/r"]}, {"all": True}])
def test_after_a_purge_no_worker_serves_what_was_stored_before(shop, what):
    with shop.connections() as places:
        for _ in range(ROUNDS):
            shop.change()
            assert shop.purge(**what)["purged"] == 2
            assert [got(place.client) for place in places] == [shop.version] * 2


def test_after_a_purge_connections_that_are_new_get_nothing_old(shop):
    with shop.connections():
        for _ in range(ROUNDS):
            shop.change()
            shop.purge()
            with ExitStack() as stack:
                clients = [stack.enter_context(Client(shop.system.port)) for _ in range(8)]
                assert {got(client) for client in clients} == {shop.version}


def test_after_a_post_to_one_worker_the_other_serves_nothing_old(shop):
    with shop.connections() as (one, other):
        for _ in range(ROUNDS):
            shop.change()
            shop.by_post(one)
            assert [got(place.client) for place in (other, one)] == [shop.version] * 2


def test_after_a_clients_purge_at_one_worker_the_other_serves_nothing_old(shop):
    with shop.connections() as (one, other):
        for _ in range(ROUNDS):
            shop.change()
            shop.by_purge(one)
            assert [got(place.client) for place in (other, one)] == [shop.version] * 2


# Nobody waits for a worker that is stopped, and it serves nothing old when it goes on


@pytest.mark.parametrize(
    "purged",
    [
        lambda shop, _: shop.purge_uncounted(),
        lambda shop, one: shop.by_post(one),
        lambda shop, one: shop.by_purge(one),
    ],
    ids=["control", "post", "purge"],
)
def test_a_worker_that_was_stopped_serves_nothing_old(shop, purged: Callable[..., None]):
    with shop.connections() as (one, other):
        for _ in range(ROUNDS):
            with stopped(other):
                shop.change()
                ask_for(other)  # it is there before the purge, and read after it
                purged(shop, one)
                other.client.send(request("GET", "/r", HOST))
                assert got(one.client) == shop.version
            other.client.response()  # it was asked for before: any version is right
            assert int(other.client.response().body) == shop.version


def test_a_purge_tells_how_many_workers_have_not_counted(shop):
    with shop.connections() as (one, other):
        with stopped(other):
            shop.change()
            told = shop.purge()
            assert (told["purged"], told["pending"]) == (1, 1)
            assert got(one.client) == shop.version
        assert got(other.client) == shop.version
        told = shop.purge()
        assert (told["purged"], "pending" in told) == (2, False)


def test_purges_that_a_stopped_worker_does_not_read_wait_for_it(shop):
    keys = [f"{number}-{'x' * 1000}" for number in range(1000)]
    with shop.connections() as (one, other):
        with stopped(other):
            shop.change()
            # More than fits into the kernel: the rest is sent when the worker reads.
            push(shop.system.zmq_port, envelope({"purge": {"keys": keys}}, "J"))
            shop.purge_uncounted()
            assert got(one.client) == shop.version
        assert got(other.client) == shop.version
        wait_until(lambda: from_memory(other), "that all purges are applied")
        assert got(other.client) == shop.version


def test_a_worker_that_stays_behind_is_ended_and_replaced(shop):
    with shop.connections() as (_, other):
        assert other.pid is not None
        os.kill(other.pid, signal.SIGSTOP)
        shop.change()
        shop.purge_uncounted()
        said(shop.system, f"(pid {other.pid}) is ended: it is 10 seconds behind with purges")
        said(shop.system, "serves in its place")
        assert other.pid not in serving(shop.system)


# Death


def test_a_worker_that_is_killed_with_a_purge_before_it_begins_with_nothing(shop):
    with shop.connections() as (_, other):
        os.kill(other.pid, signal.SIGSTOP)
        shop.change()
        shop.purge_uncounted()
        killed(shop, other)
    with shop.connections() as places:
        assert [got(place.client) for place in places] == [shop.version] * 2


def test_a_purge_while_a_worker_begins_does_not_wait_for_it(shop):
    with shop.connections() as (one, other):
        before = shop.system.log().count("serves in its place")
        os.kill(other.pid, signal.SIGKILL)
        while shop.system.log().count("serves in its place") == before:
            shop.change()
            assert "pending" not in shop.purge()
            assert got(one.client) == shop.version
    with shop.connections() as places:
        assert [got(place.client) for place in places] == [shop.version] * 2


def test_what_a_killed_worker_was_fetching_is_not_stored_by_the_next(shop):
    with shop.connections() as (_, other):
        shop.change()
        shop.purge()
        shop.stage.answer(shop.stage.late(text(*FRESH, body="0")))
        shop.stage.requests.clear()
        ask_for(other)
        wait_until(lambda: len(shop.stage.requests) == 1, "the fetch")
        shop.purge()
        killed(shop, other)
        shop.stage.answer(shop._page)
        shop.stage.gate.set()
    with shop.connections() as places:
        assert [got(place.client) for place in places] == [shop.version] * 2


# Purge and push


def news(number: int, *, purges: bool = True) -> bytes:
    """Return a message with an item for streams."""
    item: dict[str, object] = {"channel": "c", "formats": content(f"{number};")}
    return envelope({**item, "purge": {"keys": ["k"]}} if purges else item, "J")


@contextmanager
def streams(shop: Shop) -> Iterator[dict[int | None, Client]]:
    """Hold a stream on each worker; give them by process."""
    fields = ("Grip-Hold: stream", "Grip-Channel: c", "Cache-Control: no-store")
    shop.stage.answer(text(*fields, body="opened;"), at="/s")

    def opened() -> Client:
        client = Client(shop.system.port)
        client.send(request("GET", "/s", HOST))
        assert client.head().status == 200
        assert client.piece() == b"opened;"
        return client

    with everywhere(shop.system, opened) as held:
        yield {place.pid: place.client for place in held}


def test_who_sees_an_item_gets_the_new_page_from_any_worker(shop):
    with shop.connections() as (one, other), streams(shop) as listening:
        for number in range(ROUNDS):
            with stopped(other):  # it cannot have read the item when another's client has it
                shop.change()
                ask_for(other)  # this comes first when it goes on
                push(shop.system.zmq_port, news(number))
                assert listening[one.pid].piece() == f"{number};".encode()
                ask_for(other)
                assert got(one.client) == shop.version
            other.client.response()  # it was asked for before: any version is right
            assert int(other.client.response().body) == shop.version


def test_where_items_purge_their_channel_they_do_so_on_all_workers(shop):
    route = f"*,cache,purge=channel 127.0.0.1:{shop.stage.port}"
    shop.system.write_routes([route])
    signalled(shop.system, signal.SIGHUP)
    said(shop.system, "routes loaded", times=2)
    with shop.connections() as (one, other):
        for number in range(ROUNDS):
            with stopped(other):
                shop.change()
                ask_for(other)  # this comes first when it goes on
                push(shop.system.zmq_port, PLAIN)
                wait_until(lambda: got(one.client) == shop.version, "the new version")
                ask_for(other)
            other.client.response()  # it was asked for before: any version is right
            assert int(other.client.response().body) == shop.version, number


def test_items_keep_their_order_whether_they_purge_or_not(shop):
    with shop.connections() as (_, other), streams(shop) as listening:
        messages = [news(number, purges=number % 2 == 0) for number in range(2 * ROUNDS)]
        expected = "".join(f"{number};" for number in range(2 * ROUNDS)).encode()
        with stopped(other):
            push(shop.system.zmq_port, *messages)
        heard = [client.chunked(len(expected)) for client in listening.values()]
        assert heard == [expected] * len(heard)


# Every item is wanted


def test_publishers_are_asked_for_everything_as_long_as_anything_is_stored(shop):
    watch = shop.system.watch
    assert watch is not None
    wait_until(lambda: watch.saw(b"\x01"), "a subscription to everything")
    assert not watch.saw(b"\x00")
    shop.system.write_routes([f"* 127.0.0.1:{shop.stage.port}"])
    wait_until(lambda: watch.saw(b"\x00"), "its end", seconds=20)


def test_publishers_are_asked_for_nothing_in_advance_if_nothing_is_stored(stage, gripproxy):
    system = gripproxy([f"* 127.0.0.1:{stage.port}"], settings={"runner.workers": "2"})
    said(system, " started")
    assert system.watch is not None
    assert not system.watch.saw(b"\x01")
    system.write_routes([f"*,cache 127.0.0.1:{stage.port}"])
    wait_until(lambda: system.watch.saw(b"\x01"), "a subscription to everything", seconds=20)


def test_what_was_stored_before_items_were_not_taken_is_not_served_after(shop):
    with shop.connections() as places:
        for cache in ("", ",cache"):
            shop.system.write_routes([f"*{cache} 127.0.0.1:{shop.stage.port}"])
            before = shop.system.log().count("routes loaded")
            signalled(shop.system, signal.SIGHUP)
            said(shop.system, "routes loaded", times=before + 1)
        shop.change()
        assert [got(place.client) for place in places] == [shop.version] * 2

"""One process or several: nobody sees a difference, and a worker that dies is replaced.

Specification: config.md 6, 7.1; publishing.md 14.2.
"""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.wire.client import (
    Client,
    GoneError,
    WebSocket,
    ask,
    attempt,
    envelope,
    push,
    request,
    wait_until,
)
from tests.wire.processes import (
    alive,
    content,
    everywhere,
    pieces,
    said,
    serving,
    streams_everywhere,
)
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=[("uvloop", 1), ("uvloop", 2), ("asyncio", 1), ("asyncio", 2)],
    ids=lambda given: f"{given[0]}-{given[1]}",
)
def system(request: pytest.FixtureRequest) -> Iterator[Running]:
    """The program in one process or two, on either loop."""
    loop, count = request.param
    settings = {"runner.workers": str(count), "handler.subscription_linger": "0"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRIPPROXY_LOOP", loop)
        with Gripproxy(["* test"], settings=settings) as running:
            said(running, " started")
            yield running


@pytest.fixture
def two(gripproxy) -> Running:
    """A program with two workers, which may be killed."""
    running = gripproxy(["* test"], settings={"runner.workers": "2"})
    said(running, " started")  # all of them, not only one
    return running


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    """A channel of this test's own."""
    return request.node.originalname.replace("_", "-")


def receipt(system: Running, *items: object) -> dict[str, object]:
    """Publish over HTTP and return what the publisher is told."""
    body = json.dumps({"items": items}).encode()
    accept = "Accept: application/json"
    answer = ask(system.http_port, request("POST", "/publish/", "control", accept, body=body))
    assert answer.status == 200
    return json.loads(answer.body)


# Items


def test_there_are_as_many_processes_as_asked_for(system, request):
    count = int(request.node.callspec.id.rpartition("-")[2])
    assert len(serving(system)) == count


def test_an_item_published_over_http_reaches_all_holders(system, channel):
    with streams_everywhere(system, channel) as held:
        system.publish([{"channel": channel, "formats": content("hello")}])
        assert pieces(held) == [b"hello"] * len(held)


def test_an_item_published_over_zeromq_reaches_all_holders(system, channel):
    with streams_everywhere(system, channel) as held:
        item = {"channel": channel, "formats": content("hello")}
        push(system.zmq_port, envelope(item, "J"))
        assert pieces(held) == [b"hello"] * len(held)


def test_an_item_of_any_size_harms_no_process(two, channel):
    with streams_everywhere(two, channel) as held:
        large = {"http-response": {"body": "x" * 70_000_000}, **content("large")}
        push(two.zmq_port, envelope({"channel": channel, "formats": large}, "T"))
        assert pieces(held) == [b"large"] * len(held)
        two.publish([{"channel": channel, "formats": content("small")}])
        assert pieces(held) == [b"small"] * len(held)


def test_a_receipt_counts_the_receivers_of_all_processes(system, channel):
    with streams_everywhere(system, channel) as held:
        told = receipt(system, {"channel": channel, "formats": content("hello")})
        assert told == {"items": 1, "message": "Published", "receivers": len(held)}


def test_a_receipt_counts_nothing_that_others_published(system, channel):
    with streams_everywhere(system, channel) as held:
        push(system.zmq_port, envelope({"channel": channel, "formats": content("other")}, "J"))
        assert pieces(held) == [b"other"] * len(held)
        told = receipt(system, {"channel": f"{channel}-empty", "formats": content("mine")})
        assert told["receivers"] == 0


def test_an_item_that_comes_twice_is_delivered_once(system, channel):
    with streams_everywhere(system, channel) as held:
        item = {"channel": channel, "id": "1", "formats": content("once")}
        assert receipt(system, item)["receivers"] == len(held)
        assert receipt(system, item)["receivers"] == 0


def test_items_reach_all_processes_in_order(system, channel):
    with streams_everywhere(system, channel) as held:
        system.subscribed(channel)

        def item(number: int) -> dict[str, object]:
            ids = {"id": str(number), "prev-id": str(number - 1)}
            return {"channel": channel, **ids, "formats": content(str(number))}

        system.publish([item(1), item(3), item(2)])
        assert [one.client.chunked(3) for one in held] == [b"123"] * len(held)


def test_websockets_get_messages_whatever_process_they_are_on(system, channel):
    def opened() -> WebSocket:
        return WebSocket(system.port, f"/ws?channel={channel}", "any.test")

    item = {"channel": channel, "formats": {"ws-message": {"content": "hello"}}}
    hint = {"channel": channel, "formats": {"ws-message": {"action": "hint"}}}
    with everywhere(system, opened) as held:
        # A session subscribes only after its handshake was answered.
        wait_until(lambda: receipt(system, hint)["receivers"] == len(held), "all subscriptions")
        system.publish([item])
        assert [one.client.message() for one in held] == ["text hello"] * len(held)


def test_long_polls_are_answered_whatever_process_they_are_on(system, channel):
    def opened() -> Client:
        client = Client(system.port)
        client.send(request("GET", "/", "any.test"))
        assert client.response().status == 200
        return client

    item = {"channel": channel, "formats": {"http-response": {"body": "hello"}}}
    with everywhere(system, opened) as held:
        for one in held:
            one.client.send(request("GET", f"/response?channel={channel}", "any.test"))
        answered = 0
        while answered < len(held):  # the last of them may not be held yet
            answered += int(str(receipt(system, item)["receivers"]))
        assert [one.client.response().body for one in held] == [b"hello"] * len(held)


def test_publishers_are_asked_for_a_channel_until_its_last_holder_is_gone(system, channel):
    with streams_everywhere(system, channel):
        wait_until(lambda: system.watch.saw(b"\x01" + channel.encode()), "a subscription")
    wait_until(lambda: system.watch.saw(b"\x00" + channel.encode()), "its end")


# Death


def test_a_worker_that_is_killed_takes_only_its_own_connections(two, channel):
    with streams_everywhere(two, channel) as held:
        victim = held[0].pid
        os.kill(victim, signal.SIGKILL)
        for one in held:
            if one.pid == victim:
                with pytest.raises(GoneError):
                    one.client.piece()
        two.publish([{"channel": channel, "formats": content("alive")}])
        kept = [one for one in held if one.pid != victim]
        assert pieces(kept) == [b"alive"] * len(kept)


def test_a_worker_that_is_killed_is_replaced_and_the_cause_logged(two, channel):
    before = serving(two)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    said(two, f"(pid {victim}) died: signal SIGKILL; its connections are lost")
    said(two, "serves in its place")
    assert len(serving(two)) == 2
    assert victim not in serving(two)
    with streams_everywhere(two, channel) as held:
        told = receipt(two, {"channel": channel, "formats": content("again")})
        assert told["receivers"] == len(held)


def test_connections_that_wait_for_a_dead_worker_are_served_by_the_next(two):
    victim = min(serving(two))
    os.kill(victim, signal.SIGSTOP)
    waiting: list[Client] = []
    try:
        while not waiting:
            client = Client(two.port)
            client.send(request("GET", "/", "any.test"))
            # The other worker answers; what is not answered waits for the one that is stopped.
            if attempt(lambda client=client: client.more(seconds=1.0)) == "nothing":
                waiting.append(client)
            else:
                client.close()
        os.kill(victim, signal.SIGKILL)
        assert [client.response().status for client in waiting] == [200]
    finally:
        for client in waiting:
            client.close()


def test_all_workers_may_die_at_once(two):
    before = serving(two)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    said(two, "serves in its place", times=2)
    assert not serving(two) & before
    assert ask(two.port, request("GET", "/", "any.test")).status == 200


def test_a_receipt_counts_nobody_on_a_worker_that_is_gone(two, channel):
    with streams_everywhere(two, channel) as held:
        os.kill(held[0].pid, signal.SIGKILL)
        said(two, "died: signal SIGKILL")
        told = receipt(two, {"channel": channel, "formats": content("alive")})
        assert told["receivers"] == sum(one.pid != held[0].pid for one in held)


def test_workers_die_with_their_parent(two):
    workers = serving(two)
    assert two.process is not None
    two.process.kill()
    two.process.wait()
    wait_until(lambda: not any(map(alive, workers)), "the end of the workers")


def test_a_worker_that_lives_without_its_link_is_replaced(two):
    victim = min(serving(two))
    os.kill(victim, signal.SIGTERM)  # what is not the parent's word does not count
    os.kill(victim, signal.SIGINT)
    os.kill(victim, signal.SIGHUP)
    assert ask(two.port, request("GET", "/", "any.test")).status == 200
    assert victim in serving(two)

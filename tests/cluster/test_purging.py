"""A parent's side of purges: sent to every worker, and then believed."""

import asyncio
import socket

import pytest

from gripproxy.cluster import purging
from gripproxy.cluster.level import Page, unpack
from gripproxy.cluster.purging import Purges
from gripproxy.cluster.wire import Decoder, Message
from gripproxy.flow.ports import Receipt
from gripproxy.protocol.purges import Purge

NOTHING = frozenset()


class Worker:
    """A worker, as its parent sees it."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self.sock, ours = socket.socketpair()
        self.sock.setblocking(False)
        self.hopeless: list[str] = []
        self._decoder = Decoder()
        stage.purges.join(self, ours, self.hopeless.append)

    def got(self) -> list[tuple[Message, list[object]]]:
        """Read what has come."""
        found: list[tuple[Message, list[object]]] = []
        while True:
            try:
                data = self.sock.recv(100_000)
            except BlockingIOError:
                return found
            found += self._decoder.feed(data)

    def applied(self, number: int, *counts: list[int]) -> None:
        """Tell how far the worker is."""
        self._stage.purges.applied(self, number, list(counts))


class Stage:
    """Purges of a parent, and its workers."""

    def __init__(self) -> None:
        self.page = Page.create()
        self.purges = Purges(self.page, asyncio.get_running_loop())
        self.workers: list[Worker] = []

    def joined(self, *, begun: bool = True) -> Worker:
        worker = Worker(self)
        self.workers.append(worker)
        if begun:
            worker.applied(self.page.word)
        return worker

    def send(self, *keys: str) -> int:
        return self.purges.send([(Purge(keys=(key,)), NOTHING) for key in keys])

    def asked(self):
        """Begin to purge and count; return the task."""
        named = (Purge(keys=("k",)), NOTHING)
        return asyncio.get_running_loop().create_task(self.purges.count(named))

    def look(self, times: int = 1) -> None:
        """Let the parent look, before the time, how far workers are."""
        for _ in range(times):
            assert self.purges._look is not None
            self.purges._look.cancel()
            self.purges._look_for_the_slow()

    def close(self) -> None:
        self.purges.close()
        for worker in self.workers:
            worker.sock.close()
        self.page.close()


@pytest.fixture
async def stage():
    one = Stage()
    yield one
    one.close()


def keys(got: list[tuple[Message, list[object]]]) -> list[tuple[object, set[bytes]]]:
    """Return the numbers of purges and the keys that each names."""
    return [(values[0], {name for _, name in unpack(values[2:])[1]}) for _, values in got]


async def test_a_purge_goes_to_all_workers_and_then_its_number_is_the_word(stage):
    one, two = stage.joined(), stage.joined(begun=False)
    assert stage.send("a") == stage.page.word == 1
    assert stage.send("b") == stage.page.word == 2
    assert keys(one.got()) == keys(two.got()) == [(1, {b"a"}), (2, {b"b"})]


async def test_several_purges_are_sent_as_one(stage):
    one = stage.joined()
    assert stage.send("a", "b") == stage.page.word == 2
    assert keys(one.got()) == [(1, {b"a"}), (2, {b"b"})]


async def test_the_word_does_not_change_before_the_purge_is_on_its_way(stage, monkeypatch):
    one = stage.joined()
    words = []
    write = stage.purges._write

    def watched(out, data: bytes) -> None:
        write(out, data)
        words.append((stage.page.word, len(one.got())))

    monkeypatch.setattr(stage.purges, "_write", watched)
    stage.send("a")
    assert words == [(0, 1)]


async def test_a_worker_that_does_not_read_delays_nobody_and_gets_all_later(stage):
    one = stage.joined()
    numbers = [stage.send("x" * 100_000) for _ in range(20)]
    assert stage.page.word == numbers[-1]
    got = []
    while len(got) < len(numbers):
        got += one.got()
        await asyncio.sleep(0)
    assert [number for number, _ in keys(got)] == numbers
    stage.send("y")  # at once again
    assert [number for number, _ in keys(one.got())] == [21]


async def test_the_smallest_message_waits_for_a_worker_that_does_not_read(stage):
    one = stage.joined()
    count = 0
    while not stage.purges._outs[one].waiting:
        stage.purges.done(one, count)
        count += 1
    got = []
    while len(got) < count:
        got += one.got()
        await asyncio.sleep(0)
    assert [values for _, values in got] == [[number] for number in range(count)]


async def test_a_worker_that_is_gone_harms_nobody(stage):
    one, two = stage.joined(), stage.joined()
    one.sock.close()
    stage.send("a")
    assert [number for number, _ in keys(two.got())] == [1]
    stage.purges.leave(one)
    stage.purges.leave(one)
    assert len(stage.purges) == 1


async def test_a_worker_that_ends_while_much_waits_for_it_is_forgotten(stage):
    one = stage.joined()
    while not stage.purges._outs[one].waiting:
        stage.send("x" * 100_000)
    one.sock.close()
    while stage.purges._outs[one].waiting:
        await asyncio.sleep(0)
    stage.purges.leave(one)
    assert len(stage.purges) == 0


async def test_what_waits_for_a_worker_goes_with_it(stage):
    one = stage.joined()
    while not stage.purges._outs[one].waiting:
        stage.send("x" * 100_000)
    stage.purges.leave(one)
    assert stage.send("a") == stage.page.word


async def test_a_worker_for_which_too_much_waits_is_ended(stage, monkeypatch):
    monkeypatch.setattr(purging, "PENDING_MAX", 1000)
    one, two = stage.joined(), stage.joined()
    while not one.hopeless:
        stage.send("x" * 100_000)
        two.got()
    stage.send("a")
    assert len(one.hopeless) == 1
    assert "bytes of purges wait for it" in one.hopeless[0]
    assert two.hopeless == []


async def test_a_worker_is_told_that_what_it_asked_for_is_done(stage):
    one, two = stage.joined(), stage.joined()
    stage.purges.done(one, 7)
    assert one.got() == [(Message.PURGED, [7])]
    assert two.got() == []
    stage.purges.leave(one)
    stage.purges.done(one, 8)


# Receipts


async def test_counts_are_summed_over_all_workers(stage):
    one, two = stage.joined(), stage.joined()
    asked = stage.asked()
    await asyncio.sleep(0)
    assert [values[:2] for _, values in one.got()] == [[1, True]]
    one.applied(1, [1, 3])
    one.applied(1, [1, 100])  # said twice
    two.applied(1, [1, 4])
    assert await asked == Receipt(7)


async def test_workers_that_do_not_count_in_time_are_told_of(stage, monkeypatch):
    monkeypatch.setattr(purging, "RECEIPT_SECONDS", 0.01)
    one, two = stage.joined(), stage.joined()
    asked = stage.asked()
    await asyncio.sleep(0)
    one.applied(1, [1, 3])
    assert await asked == Receipt(3, 1)
    two.applied(1, [1, 4])  # too late


async def test_a_worker_that_has_not_begun_has_nothing_to_count(stage):
    one = stage.joined()
    stage.joined(begun=False)
    asked = stage.asked()
    await asyncio.sleep(0)
    one.applied(1, [1, 3])
    assert await asked == Receipt(3)


async def test_a_worker_that_ends_is_not_waited_for(stage):
    one, two = stage.joined(), stage.joined()
    asked = stage.asked()
    await asyncio.sleep(0)
    one.applied(1, [1, 3])
    stage.purges.leave(two)
    two.applied(1, [1, 4])  # nobody's
    assert await asked == Receipt(3)


async def test_without_workers_nothing_is_counted(stage):
    assert await stage.asked() == Receipt(0)


async def test_what_nobody_counts_is_not_counted(stage, monkeypatch):
    monkeypatch.setattr(purging, "RECEIPT_SECONDS", 0.01)
    one = stage.joined()
    stage.send("a")
    assert one.got()[0][1][1] is False
    one.applied(1, [1, 3], ["?"])
    assert await stage.asked() == Receipt(0, 1)


# Workers that are behind


async def test_a_worker_that_stays_behind_is_ended(stage):
    one, two = stage.joined(), stage.joined()
    stage.send("a")
    two.applied(1)
    stage.look(purging.LOOKS)
    assert one.hopeless == []
    stage.look()
    assert one.hopeless == ["it is 10 seconds behind with purges"]
    assert two.hopeless == []


async def test_a_worker_that_is_ended_is_ended_once(stage):
    one = stage.joined()
    stage.send("a")
    stage.look(3 * purging.LOOKS)
    assert len(one.hopeless) == 1
    stage.purges.leave(one)
    stage.look()
    assert stage.purges._look is None


async def test_a_worker_that_goes_on_is_not_ended_though_it_is_never_level(stage):
    one = stage.joined()
    stage.send("a")
    for number in range(2, 5 * purging.LOOKS):
        stage.send("b")
        one.applied(number - 1)
        stage.look()
    assert one.hopeless == []


async def test_a_worker_that_has_not_begun_is_not_behind(stage):
    one = stage.joined(begun=False)
    stage.send("a")
    stage.look()
    assert stage.purges._look is None
    assert one.hopeless == []


async def test_workers_are_looked_at_again_after_another_purge(stage):
    one = stage.joined()
    stage.send("a")
    one.applied(1)
    stage.look()
    stage.send("b")
    stage.look(purging.LOOKS)
    assert one.hopeless == []
    stage.look()
    assert len(one.hopeless) == 1


async def test_looks_come_by_themselves(stage, monkeypatch):
    monkeypatch.setattr(purging, "LOOK_SECONDS", 0.0)
    one = stage.joined()
    stage.send("a")
    while not one.hopeless:
        await asyncio.sleep(0)


async def test_how_long_purges_settle_is_told_to_workers_that_come_later(stage):
    stage.send("a")
    assert stage.page.unsettled_until == 0.0
    before = asyncio.get_running_loop().time()
    stage.purges.send([(Purge(keys=("k",), settle=2.0), NOTHING)])
    assert before + 2 <= stage.page.unsettled_until <= asyncio.get_running_loop().time() + 2

"""What the control side talks to, in tests: an intake that remembers, tasks, a log."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from gripproxy.errors import CommandError
from gripproxy.flow.ports import Receipt
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.purges import Purge


class FakeIntake:
    """Takes everything and remembers it; `until` waits until it has got so many items."""

    def __init__(self):
        self.batches: list[list[PublishItem]] = []
        self.calls = []
        self.receivers = 0
        self.receipt = Receipt(0)
        self.known = {"here"}
        self.gate: asyncio.Event | None = None
        self._news = asyncio.Event()

    @property
    def items(self) -> list[PublishItem]:
        return [item for batch in self.batches for item in batch]

    @property
    def channels(self) -> list[str]:
        return [item.channel for item in self.items]

    def take(self, items: Sequence[PublishItem]) -> None:
        self.batches.append(list(items))
        self._news.set()

    async def until(self, count: int) -> None:
        while len(self.items) < count:
            self._news.clear()
            await self._news.wait()

    async def accept(self, items: Sequence[PublishItem]) -> int:
        self.take(items)
        await self._pass()
        return self.receivers

    async def purge(self, purge: Purge, *, counted: bool) -> Receipt:
        self.calls.append((purge, counted))
        return self.receipt

    async def recover(self) -> None:
        self.calls.append("recover")
        await self._pass()

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        self.calls.append(("refresh", cid, channel))
        if cid is not None and cid not in self.known:
            raise CommandError("item-not-found")

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        await self._pass()
        return sorted(self.known.intersection(ids))

    async def _pass(self) -> None:
        if self.gate is not None:
            await self.gate.wait()


class Warnings:
    """Remembers warnings as (key, text)."""

    def __init__(self):
        self.told: list[tuple[str, str]] = []

    def __call__(self, key: str, text: str) -> None:
        self.told.append((key, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.told]


class FakeTasks:
    """Starts tasks; `failures` are the exceptions that ended some of them."""

    def __init__(self):
        self.running: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []

    def start(self, story: Coroutine[None, None, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(story, name=name)
        self.running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def close(self) -> None:
        tasks = list(self.running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FakeClock:
    """A clock that stands still."""

    def __init__(self, wall: float = 1_000_000.0):
        self.seconds = wall

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return self.seconds


async def eventually(happened: Callable[[], object]) -> None:
    """Let the loop turn until something has happened."""
    while not happened():
        await asyncio.sleep(0.001)

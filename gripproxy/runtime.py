"""What every process runs on: time, tasks, the loop, the log.

A process has one of each, and hands them to the objects of its role (`app`, `intake`).
"""

import asyncio
import gc
import logging
import os
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from gripproxy.config import Config
from gripproxy.errors import ConfigError
from gripproxy.logs import Levels, Lines, reopen, set_up

log = logging.getLogger("gripproxy")

# The log level at which each request has a line (config.md 5.2).
LEVEL_OF_REQUESTS = 2


class Clock:
    """The two times: satisfies `flow.ports.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self.wall = time.time  # noqa: TID251  # the one place that reads it


class Tasks:
    """Owns every task that is no coroutine of the main one: satisfies `flow.ports.Tasks`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, story: Coroutine[None, None, None], *, name: str) -> asyncio.Task[None]:
        """Run a coroutine until it ends, at the latest with the process."""
        task = self._loop.create_task(story, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: %s", task.get_name(), told(error))

    async def close(self) -> None:
        """Cancel what still runs, and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Alarm:
    """One timer for all deadlines of one owner: `arm` it, and it calls back in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[float], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self, when: float) -> None:
        """Ring at a moment, or before."""
        if self._handle is not None:
            if self._at <= when:
                return
            self._handle.cancel()
        self._at = when
        self._handle = self._loop.call_at(when, self._due)

    def _due(self) -> None:
        self._handle = None
        self._ring(self._loop.time())

    def close(self) -> None:
        """Never ring again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def told(error: BaseException) -> str:
    """Return a bug's traceback for the log, on one line."""
    return "".join(traceback.format_exception(error)).rstrip().replace("\n", " | ")


def failed(what: str, error: BaseException) -> None:
    """Log a bug: an exception that no story should have let through."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes event loops: uvloop's where it can be had."""
    if os.environ.get("GRIPPROXY_LOOP") == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415  # an option, not a need
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def settle_collector() -> None:
    """Let the garbage collector look less often: held connections are many and live long."""
    gc.collect()
    gc.freeze()
    # hot: a tenth of the time of a long-poll cycle went into looking through young objects that
    # are freed by themselves anyway (bench/scenarios.py, longpoll-1000: 75 us with 20,000, 68 so).
    gc.set_threshold(100_000, 20, 50)


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where the log goes, and whether each request has a line there."""

    fd: int
    requests: bool
    json: bool

    def lines(self, loop: asyncio.AbstractEventLoop) -> Lines | None:
        """Return the writer of those lines, None if they are not wanted."""
        if not self.requests:
            return None
        return Lines(self.fd, loop_call_later=loop.call_later, json=self.json)


def set_up_logs(config: Config, *, logfile: str = "", merge: bool = False) -> LogTarget:
    """Set logging up.

    Raises:
        ConfigError: a level or a file that cannot be used.
    """
    runner = config.runner
    try:
        levels = Levels.parse(runner.log_level)
    except ValueError as error:
        raise ConfigError("[runner] log_level", str(error)) from error
    path = logfile
    if not path and runner.logdir and not merge:
        os.makedirs(runner.logdir, exist_ok=True)
        path = os.path.join(runner.logdir, "gripproxy.log")
    json = runner.log_format == "json"
    fd = set_up(levels=levels, path=path or None, json=json)
    return LogTarget(fd, levels.of("proxy") >= LEVEL_OF_REQUESTS, json)


def reopen_logs() -> None:
    """Write to new files from now on: the old ones have been rotated away."""
    reopen()

"""What every process runs on: time, tasks, the loop, the log.

A process has one of each, and hands them to the objects of its role (`app`, `intake`).
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Final

from gripproxy.config import Config
from gripproxy.errors import ConfigError
from gripproxy.logs import Levels, Lines, reopen, set_up

log = logging.getLogger("gripproxy")


wall: Final = time.time  # noqa: TID251  # the one place that reads it


class Clock:
    """The two times: satisfies `flow.ports.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self.wall = wall


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
        # uvloop rings up to half a millisecond early. If that did not count as the moment, it
        # would be rung for again and again until it has come.
        self._ring(max(self._loop.time(), self._at))

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
    log.error("bug in %s: %s", what, told(error))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes event loops: uvloop's where it can be had."""
    if os.environ.get("GRIPPROXY_LOOP") == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415  # an option, not a need
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


# Objects that are made before the collector looks at them: about 5 ms of looking.
YOUNG = 10_000
# It looks at all there is when this process takes so much memory, and again when it takes
# GROWTH times as much as then; whether it does is looked at each so many looks.
ALL_FROM = 512 * 1024 * 1024
GROWTH = 4
LOOKS = 50


class Collector:
    """Lets the garbage collector look at young objects only.

    Held connections and stored responses are many, live long, and are freed without it: to look
    through 100,000 responses took a second in which nobody was served (bench/caching.py,
    purge-tag). So what has been looked at once is left alone. Rings of old objects would stay; so
    that this cannot go on for ever, all is looked at when the process has grown by much.
    """

    def __init__(self) -> None:
        self._limit = ALL_FROM
        self._looks = 0

    def settle(self) -> None:
        """Begin: what there is now stays."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, 1_000_000, 1_000_000)
        gc.callbacks.append(self._looked)

    def _looked(self, phase: str, _told: dict[str, int]) -> None:
        if phase != "stop":
            return
        gc.freeze()
        self._looks += 1
        if self._looks % LOOKS == 0 and resident() > self._limit:
            with contextlib.suppress(RuntimeError):  # nobody is served: there is no loop
                asyncio.get_running_loop().call_soon(self.look_at_all)

    def look_at_all(self) -> int:
        """Look at everything; return how many objects were garbage."""
        began = time.monotonic()
        gc.callbacks.remove(self._looked)
        gc.unfreeze()
        found = gc.collect()
        gc.freeze()
        gc.callbacks.append(self._looked)
        self._limit = max(ALL_FROM, GROWTH * resident())
        took = (time.monotonic() - began) * 1000
        log.info("looked for garbage: found %d objects in %d ms", found, took)
        return found


def resident() -> int:
    """Return how many bytes of memory this process takes."""
    with open("/proc/self/statm", "rb") as told:
        return int(told.read().split()[1]) * resource.getpagesize()


def settle_collector() -> None:
    """Let the garbage collector be no hindrance: see `Collector`."""
    Collector().settle()


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where the log goes, how much of what is said there, and as what."""

    fd: int
    levels: Levels
    json: bool

    def lines(self, loop: asyncio.AbstractEventLoop, *, worker: int | None = None) -> Lines:
        """Return the writer of the lines of which each request has one."""
        return Lines(
            self.fd,
            loop_call_later=loop.call_later,
            json=self.json,
            levels=self.levels,
            worker=worker,
        )


def log_path(config: Config, *, logfile: str = "", merge: bool = False) -> str:
    """Return the path of the log file, empty for standard output (config.md 5.4).

    `logfile` and `merge` are what the command line says. Makes the directory that the
    configuration names.

    Raises:
        ConfigError: it cannot be made.
    """
    if logfile or merge or not config.runner.logdir:
        return logfile
    directory = config.runner.logdir
    try:
        os.makedirs(directory, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = f"failed to create directory: {directory}: {reason_of(error)}"
        raise ConfigError("[runner] logdir", reason) from error
    return os.path.join(directory, f"{config.file_prefix}gripproxy.log")


def reason_of(error: OSError | ValueError) -> str:
    """Return why the system refused something, as part of a sentence."""
    text = error.strerror if isinstance(error, OSError) else None
    text = text or str(error)
    # `No such file`, but `AF_UNIX path`.
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def set_up_logs(config: Config, path: str) -> LogTarget:
    """Let the log go to a file, or to standard output if there is no path.

    Raises:
        ConfigError: the file cannot be opened.
    """
    runner = config.runner
    levels = Levels.parse(runner.log_level)  # has been read before: see `kinds`
    json = runner.log_format == "json"
    try:
        fd = set_up(levels=levels, path=path or None, json=json)
    except ValueError as error:  # a path that no system call takes
        raise ConfigError(path, f"failed to open log file: {error}") from error
    return LogTarget(fd, levels, json)


def reopen_logs() -> None:
    """Write to new files from now on: the old ones have been rotated away."""
    reopen()


def listed(counts: Mapping[str, int]) -> str:
    """Return counts with their names, for a line of the log."""
    return " ".join(f"{name}={count}" for name, count in counts.items())


# Limits


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each client is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

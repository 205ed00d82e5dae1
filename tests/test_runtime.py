"""Time, tasks, the loop and the log of a process."""

import asyncio
import gc
import logging
import os
import resource
import weakref
from dataclasses import replace

import pytest
import uvloop

from gripproxy import logs, runtime
from gripproxy.config import Config
from gripproxy.errors import ConfigError
from gripproxy.options import Runner
from gripproxy.runtime import Alarm, Clock, Tasks


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What is logged as an error."""
    texts: list[str] = []
    monkeypatch.setattr(runtime.log, "error", lambda text, *values: texts.append(text % values))
    return texts


# Time


async def test_the_clock_has_the_time_of_the_loop_and_that_of_the_wall():
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    assert clock.now() <= loop.time() <= clock.now()
    assert clock.wall() > 1_700_000_000


async def test_an_alarm_rings_at_the_earliest_moment_that_it_was_armed_for():
    loop = asyncio.get_running_loop()
    rung = loop.create_future()
    alarm = Alarm(loop, rung.set_result)
    start = loop.time()
    alarm.arm(start + 3600)
    alarm.arm(start + 0.001)
    alarm.arm(start + 1800)
    assert await rung >= start + 0.001
    assert loop.time() < start + 1800


async def test_an_alarm_can_be_armed_again_from_within():
    loop = asyncio.get_running_loop()
    times: list[float] = []
    done = loop.create_future()

    def ring(now: float) -> None:
        times.append(now)
        if len(times) == 3:
            done.set_result(None)
        else:
            alarm.arm(now + 0.001)

    alarm = Alarm(loop, ring)
    alarm.arm(loop.time())
    await done
    assert times == sorted(times)


async def test_an_alarm_that_is_closed_does_not_ring():
    loop = asyncio.get_running_loop()
    times: list[float] = []
    alarm = Alarm(loop, times.append)
    alarm.close()
    alarm.arm(loop.time())
    alarm.close()
    later = loop.create_future()
    Alarm(loop, later.set_result).arm(loop.time() + 0.001)
    await later
    assert times == []


# Tasks


async def test_tasks_are_counted_until_they_end():
    tasks = Tasks(asyncio.get_running_loop())
    gate = asyncio.Event()
    first = tasks.start(gate.wait(), name="first")
    assert len(tasks) == 1
    gate.set()
    await first
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_a_task_that_fails_is_named_with_its_traceback_on_one_line(said):
    async def fail() -> None:
        raise ValueError("a bug")

    tasks = Tasks(asyncio.get_running_loop())
    with pytest.raises(ValueError, match="a bug"):
        await tasks.start(fail(), name="story")
    await asyncio.sleep(0)
    [line] = said
    assert line.startswith("story: Traceback (most recent call last): | ")
    assert line.endswith("ValueError: a bug")
    assert "\n" not in line


async def test_closing_ends_tasks_and_waits_for_them(said):
    tasks = Tasks(asyncio.get_running_loop())
    ended = []

    async def story() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    for _ in range(3):
        tasks.start(story(), name="story")
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == [True] * 3
    assert said == []


# The loop


def test_the_loop_is_that_of_uvloop_unless_somebody_wants_another(monkeypatch):
    monkeypatch.delenv("GRIPPROXY_LOOP", raising=False)
    assert runtime.loop_factory() is uvloop.new_event_loop
    monkeypatch.setenv("GRIPPROXY_LOOP", "asyncio")
    assert runtime.loop_factory() is asyncio.new_event_loop


def test_the_loop_is_that_of_asyncio_where_there_is_no_other(monkeypatch):
    monkeypatch.delenv("GRIPPROXY_LOOP", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    assert runtime.loop_factory() is asyncio.new_event_loop


@pytest.fixture
def collector():
    """The garbage collector, as it was before in the end."""
    threshold, callbacks = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*threshold)
    gc.unfreeze()


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_the_collector_has_looked_at_once_is_left_alone(collector):
    runtime.settle_collector()
    ring = weakref.ref(kept := Ring())
    gc.collect(0)
    del kept
    assert gc.collect() == 0
    assert ring() is not None
    young = weakref.ref(Ring())
    gc.collect(0)
    assert young() is None


async def test_all_is_looked_at_when_the_process_has_grown(collector, monkeypatch, caplog):
    monkeypatch.setattr(runtime, "LOOKS", 2)
    monkeypatch.setattr(runtime, "ALL_FROM", 0)
    runtime.settle_collector()
    ring = weakref.ref(kept := Ring())
    gc.collect(0)
    del kept
    with caplog.at_level("INFO"):
        gc.collect(0)
        assert ring() is not None  # not in the middle of whatever goes on
        await asyncio.sleep(0)
    assert ring() is None
    assert "looked for garbage: found" in caplog.text
    gc.collect(0)
    gc.collect(0)
    await asyncio.sleep(0)
    assert caplog.text.count("looked for garbage") == 1  # it has not grown since


def test_without_a_loop_it_is_left_for_later(collector, monkeypatch):
    monkeypatch.setattr(runtime, "LOOKS", 1)
    monkeypatch.setattr(runtime, "ALL_FROM", 0)
    runtime.settle_collector()
    gc.collect(0)


def test_as_many_files_may_be_open_as_the_system_allows():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        runtime.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_only_cores_that_may_be_used_count():
    assert 1 <= runtime.core_count() <= (os.cpu_count() or 1)


# The log


@pytest.fixture
def logging_as_before():
    yield
    logger = logging.getLogger(logs.LOGGER)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def config(**runner: object) -> Config:
    return Config(runner=replace(Runner(), **runner))


@pytest.mark.parametrize(
    ("logdir", "options", "path"),
    [
        ("", {}, ""),
        ("", {"merge": True}, ""),
        ("here", {}, "here/gripproxy.log"),
        ("here", {"merge": True}, ""),
        ("here", {"logfile": "file"}, "file"),
        ("here", {"logfile": "file", "merge": True}, "file"),
        ("", {"logfile": "file"}, "file"),
    ],
)
def test_the_log_goes_where_the_command_line_or_else_the_file_says(
    tmp_path, monkeypatch, logdir, options, path
):
    monkeypatch.chdir(tmp_path)
    assert runtime.log_path(config(logdir=logdir), **options) == path


def test_the_log_of_an_instance_has_its_number(tmp_path):
    given = replace(config(logdir=str(tmp_path / "a" / "b")), file_prefix="p3-")
    assert runtime.log_path(given) == str(tmp_path / "a" / "b" / "p3-gripproxy.log")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(
    ("name", "reason"), [("file/x", "not a directory"), ("a\0b", "embedded null")]
)
def test_a_log_directory_that_cannot_be_made_is_refused(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"failed to create directory: .*: {reason}"):
        runtime.log_path(config(logdir=name))


@pytest.mark.parametrize("name", ["none/there", "a\0b"])
def test_a_log_file_that_cannot_be_opened_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="failed to open log file"):
        runtime.set_up_logs(config(), name)


async def test_lines_of_requests_go_where_the_log_goes(tmp_path, logging_as_before):
    path = tmp_path / "log"
    target = runtime.set_up_logs(config(log_level=("3", "proxy:1")), str(path))
    lines = target.lines(asyncio.get_running_loop(), worker=4)
    assert (lines.levels.of("proxy"), lines.levels.of("handler")) == (1, 3)
    assert (lines.worker, lines.json) == (4, False)
    lines.line("GET /")
    lines.flush()
    assert path.read_text().endswith("GET /\n")


def test_the_log_goes_on_in_a_new_file(tmp_path, logging_as_before):
    path = tmp_path / "log"
    runtime.set_up_logs(config(), str(path))
    path.rename(tmp_path / "old")
    runtime.reopen_logs()
    runtime.failed("after", ValueError("x"))
    assert "after: ValueError: x" in path.read_text()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory"),
        (OSError("AF_UNIX path too long"), "AF_UNIX path too long"),
        (ValueError("Embedded null byte"), "embedded null byte"),
        (OSError(), ""),
    ],
)
def test_reasons_are_parts_of_sentences(error, text):
    assert runtime.reason_of(error) == text


def test_counts_are_listed_with_their_names():
    assert runtime.listed({"streams": 3, "tasks": 10}) == "streams=3 tasks=10"

"""The care of workers that do not do what they should."""

import asyncio
import logging
import sys
from dataclasses import replace

import pytest

from gripproxy import parent
from gripproxy.config import Config
from gripproxy.errors import WorkerError
from gripproxy.options import Proxy, Runner
from gripproxy.parent import Parent
from gripproxy.plan import Start, client_max, worker_count
from gripproxy.protocol.routesfile import RoutesFile
from gripproxy.runtime import Clock, Tasks


@pytest.fixture
async def tasks():
    tasks = Tasks(asyncio.get_running_loop())
    yield tasks
    await tasks.close()


@pytest.fixture
async def made(tasks):
    """A parent of two workers without any socket."""
    start = Start(
        config=Config(runner=replace(Runner(), workers=2)),
        routes=RoutesFile(routes=(), errors=(), warnings=()),
        routes_path=None,
        routes_stamp=None,
        screen=str,
    )
    one = Parent(start, Clock(asyncio.get_running_loop()), tasks, None)
    yield one
    await one.close()


def run_instead(monkeypatch, script: str) -> None:
    """Have another program started in the place of a worker; its first argument is the link."""
    command = [sys.executable, "-c", script]
    monkeypatch.setattr(parent, "_command", lambda fd: [*command, str(fd)])


async def test_a_worker_that_ends_before_it_serves_ends_the_start(made, monkeypatch):
    run_instead(monkeypatch, "raise SystemExit(7)")
    with pytest.raises(WorkerError, match=r"worker [01] does not start: exit code 7"):
        await made.open()


async def test_a_worker_of_which_nothing_is_heard_ends_the_start(made, monkeypatch):
    monkeypatch.setattr(parent, "READY_SECONDS", 0.1)
    run_instead(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(WorkerError, match=r"not ready after 0\.1 seconds"):
        await made.open()


async def test_a_worker_that_cannot_be_started_ends_the_start(made, monkeypatch):
    monkeypatch.setattr(parent, "_command", lambda _: ["/none/there"])
    with pytest.raises(WorkerError, match="no such file or directory"):
        await made.open()


async def test_a_worker_that_is_killed_before_it_serves_is_replaced(
    made, monkeypatch, tmp_path, caplog
):
    monkeypatch.setattr(parent, "RESTART_SECONDS", 0.0)
    caplog.set_level(logging.ERROR, "gripproxy")
    script = (
        "import os, pathlib, socket, sys\n"
        f"mark = pathlib.Path({str(tmp_path)!r}, sys.argv[1])\n"
        "mark.parent.joinpath(str(os.getpid())).touch()\n"
        "if len(list(mark.parent.iterdir())) < 3: os.kill(os.getpid(), 9)\n"
        "from gripproxy.cluster.wire import Message, encode\n"
        "link = socket.socket(fileno=int(sys.argv[1]))\n"
        "link.sendall(encode(Message.READY))\n"
        "while link.recv(65536): pass\n"
    )
    run_instead(monkeypatch, script)
    await made.open()
    assert "died: signal SIGKILL" in caplog.text


async def test_a_process_that_lives_without_its_link_is_ended(made, monkeypatch, caplog):
    monkeypatch.setattr(parent, "RESTART_SECONDS", 60.0)
    monkeypatch.setattr(parent, "GRACE_SECONDS", 0.01)
    caplog.set_level(logging.ERROR, "gripproxy")
    script = (
        "import socket, sys, time\n"
        "from gripproxy.cluster.wire import Message, encode\n"
        "link = socket.socket(fileno=int(sys.argv[1]))\n"
        "link.recv(1 << 20)\n"  # what a worker is told; before that it has nothing to do
        "link.sendall(encode(Message.READY))\n"
        "link.close()\n"
        "time.sleep(60)\n"
    )
    run_instead(monkeypatch, script)
    await made.open()
    while caplog.text.count("died: signal SIGKILL") < 2:
        await asyncio.sleep(0.01)


# Sums


def test_a_core_has_a_worker_if_that_is_wanted(monkeypatch):
    monkeypatch.setattr("gripproxy.runtime.core_count", lambda: 5)
    assert worker_count(Runner(workers=0)) == 5
    assert worker_count(Runner(workers=3)) == 3


@pytest.mark.parametrize(("requests", "most"), [(0, 100), (50, 50), (200, 100)])
def test_the_smaller_of_two_limits_counts(requests, most):
    config = Config(
        runner=replace(Runner(), client_maxconn=100),
        proxy=replace(Proxy(), max_open_requests=requests),
    )
    assert client_max(config) == most


def start_of(**options):
    return Start(
        config=Config(runner=replace(Runner(), **options)),
        routes=RoutesFile(routes=(), errors=(), warnings=()),
        routes_path=None,
        routes_stamp=None,
        screen=str,
    )


async def test_workers_are_told_how_many_they_are(tasks, monkeypatch):
    monkeypatch.setattr("gripproxy.runtime.core_count", lambda: 5)
    one = Parent(start_of(workers=0), Clock(asyncio.get_running_loop()), tasks, None)
    assert one._work(0, 0, ()).config.runner.workers == 5
    await one.close()


@pytest.mark.parametrize(("count", "shares"), [(1, [100]), (3, [34, 33, 33]), (200, [1] * 200)])
async def test_the_limit_of_connections_is_shared_out(tasks, count, shares):
    start = start_of(workers=count, client_maxconn=100)
    one = Parent(start, Clock(asyncio.get_running_loop()), tasks, None)
    assert [one._work(index, 0, ()).maxconn for index in range(count)] == shares
    await one.close()


async def test_what_is_stored_is_shared_out(tasks):
    start = start_of(workers=4)
    start.config = replace(start.config, cache=replace(start.config.cache, size=1001))
    one = Parent(start, Clock(asyncio.get_running_loop()), tasks, None)
    assert one._work(3, 0, ()).config.cache.size == 250
    await one.close()

"""The process that is started: sockets, signals, routes, workers (layout.md, *Processes*).

With one worker everything is in this process. With more it has the control role, binds a socket
for each worker, starts them, restarts one that dies, and hands every released item to all.
"""

import asyncio
import contextlib
import logging
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gripproxy import app, sockets
from gripproxy.cluster.wire import Message, Value
from gripproxy.cluster.workers import Link, Workers
from gripproxy.config import Config
from gripproxy.logs import Lines
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.routesfile import RoutesFile, parse

log = logging.getLogger("gripproxy")

# A changed routes file is read so long after the change (routes.md 9).
RELOAD_SECONDS = 1.0
# A worker that dies younger than this is started again only after as long.
RESTART_SECONDS = 1.0
# Beyond the drain: until workers have ended themselves.
KILL_SECONDS = 4.0


@dataclass(kw_only=True)
class Start:
    """What a start was asked for, read and found good."""

    config: Config
    routes: RoutesFile
    routes_path: Path | None  # None: from the command line, never read again
    screen: Callable[[], str]
    clients: list[sockets.Listener] = field(default_factory=list)
    control: socket.socket | None = None


def run(start: Start, target: app.LogTarget) -> int:
    """Serve until a signal ends it; return the exit code."""
    raise_file_limit()
    app.settle_collector()
    with asyncio.Runner(loop_factory=app.loop_factory()) as runner:

        async def serve() -> int:
            return await _Supervisor(start, target).serve()

        return runner.run(serve())


def workers(config: Config) -> int:
    """Return how many worker processes a configuration asks for."""
    return config.runner.workers or os.cpu_count() or 1


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each client is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Supervisor:
    """One run of the program."""

    def __init__(self, start: Start, target: app.LogTarget) -> None:
        self._start = start
        self._config = start.config
        self._lines: Lines | None = target.lines(asyncio.get_running_loop())
        self._stop = asyncio.Event()
        self._role: _Single | _Parent | None = None
        self._watched: tuple[int, int, int] | None = None

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._stop_now)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        loop.add_signal_handler(signal.SIGUSR1, self._summarise)
        loop.add_signal_handler(signal.SIGUSR2, lambda: None)
        tasks = app.Tasks(loop)
        make = _Single if workers(self._config) == 1 else _Parent
        role = self._role = make(self._start, app.Clock(loop), tasks, self._lines)
        try:
            await role.open(workers(self._config))
            role.use_routes(self._start.routes)
            sys.stdout.write(self._start.screen())
            sys.stdout.flush()
            log.info("started")
            tasks.start(self._watch(), name="routes file")
            await self._stop.wait()
            log.info("stopping...")
            await role.drain(self._config.runner.drain)
        finally:
            await role.close()
            await tasks.close()
            if self._lines is not None:
                self._lines.flush()
            for listener in self._start.clients:
                listener.close()
        log.info("stopped")
        return 0

    # Signals

    def _stop_now(self) -> None:
        if self._stop.is_set():
            os._exit(0)  # a second signal: at once
        self._stop.set()

    def _hang_up(self) -> None:
        log.info("reloading")
        app.reopen_logs()
        self._reload()
        if self._role is not None:
            self._role.hang_up()

    def _summarise(self) -> None:
        if self._role is not None:
            log.info("%s", self._role.summary())

    # Routes

    async def _watch(self) -> None:
        """Read the routes file again, a second after it has changed."""
        path = self._start.routes_path
        if path is None:
            return
        self._watched = _stamp(path)
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            stamp = _stamp(path)
            if stamp != self._watched:
                self._watched = stamp
                log.info("routes file changed, reloading")
                self._reload()

    def _reload(self) -> None:
        path = self._start.routes_path
        if path is None or self._role is None:
            return
        self._watched = _stamp(path)
        routes = read_routes(path)
        if routes is None:
            return
        if routes.errors and not self._config.proxy.routes_partial_reload:
            log.error("%s: the old routes stay", routes.errors[0])
            return
        for text in (*map(str, routes.errors), *routes.warnings):
            log.warning("%s", text)
        self._role.use_routes(routes)
        log.info("routes loaded with %d entries", len(routes.routes))


def read_routes(path: Path) -> RoutesFile | None:
    """Read a routes file; None, and a line in the log, if that cannot be done."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        log.warning("unable to open routes file: %s: %s", path, error.strerror)
        return None
    return parse(text, str(path), read_file)


def read_file(path: str) -> bytes:
    """Return a file's bytes: what the routes' keys and certificates are read with."""
    return Path(path).read_bytes()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class _Single:
    """Everything in one process."""

    def __init__(
        self, start: Start, clock: app.Clock, tasks: app.Tasks, lines: Lines | None
    ) -> None:
        self._start = start
        self._front = app.Front(
            start.config,
            clock=clock,
            tasks=tasks,
            lines=lines,
            topic=self._topic,
            maxconn=start.config.runner.client_maxconn,
        )
        self._control = app.Control(
            start.config,
            clock=clock,
            tasks=tasks,
            out=self._front,
            subscribed=self._front.hub.channels.__contains__,
            operations=self._front,
        )

    def _topic(self, channel: str, held: bool) -> None:  # noqa: FBT001
        if not held:
            self._front.hub.forget_last_id(channel)
        self._control.topic(channel, held)

    async def open(self, _count: int) -> None:
        await self._control.open(self._start.control)
        for listener in self._start.clients:
            await self._front.listen(listener.sockets[0], listener.tls)

    def use_routes(self, routes: RoutesFile) -> None:
        self._front.use_routes(RouteTable(routes.routes))

    def summary(self) -> str:
        return self._front.summary()

    def hang_up(self) -> None:
        """Nothing more is to be done in one process."""

    async def drain(self, seconds: float) -> None:
        self._control.stop_accepting()
        await self._front.drain(seconds)

    async def close(self) -> None:
        self._control.close()
        self._front.close()


@dataclass(eq=False)
class _Worker:
    """A worker process and the sockets that it was given."""

    index: int
    process: asyncio.subprocess.Process
    link: Link
    started: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class _Parent:
    """The control role, and the care of workers."""

    def __init__(
        self,
        start: Start,
        clock: app.Clock,
        tasks: app.Tasks,
        lines: Lines | None,  # noqa: ARG002  # workers write the access lines
    ) -> None:
        self._start = start
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._routes = start.routes
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self.all = Workers(self._topic, self._loop)
        self._control = app.Control(
            start.config,
            clock=clock,
            tasks=tasks,
            out=self.all,
            subscribed=self.all.__contains__,
            operations=_Everywhere(self.all),
        )

    def _topic(self, channel: str, held: bool) -> None:  # noqa: FBT001
        self._control.topic(channel, held)

    async def open(self, count: int) -> None:
        await self._control.open(self._start.control)
        await asyncio.gather(*(self._begin(index, count) for index in range(count)))

    async def _begin(self, index: int, count: int) -> None:
        """Start one worker and wait until it serves."""
        ours, theirs = socket.socketpair()
        listeners = [
            (listener.sockets[index % len(listener.sockets)].fileno(), listener.option)
            for listener in self._start.clients
        ]
        fds = [theirs.fileno(), *(fd for fd, _ in listeners)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gripproxy", "worker", str(theirs.fileno()), pass_fds=fds
        )
        theirs.close()
        _, link = await self._loop.create_unix_connection(
            lambda: Link(self._received, self.all.leave), sock=ours
        )
        worker = _Worker(index, process, link, self._loop.time())
        self._workers[index] = worker
        share = max(1, self._start.config.runner.client_maxconn // count)
        work = app.Work(config=self._start.config, listeners=listeners, maxconn=share)
        link.send(Message.START, pickle.dumps(work))
        link.send(Message.ROUTES, *self._routes_text())
        self.all.join(link)
        self._tasks.start(self._watch(worker, count), name=f"worker {index}")
        await worker.ready.wait()

    async def _watch(self, worker: _Worker, count: int) -> None:
        """Wait for a worker's end; start another in its place."""
        code = await worker.process.wait()
        worker.ready.set()
        worker.link.close()
        if self._stopping:
            return
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        log.error("worker %d (pid %d) died: %s", worker.index, worker.process.pid, cause)
        if self._loop.time() - worker.started < RESTART_SECONDS:
            await asyncio.sleep(RESTART_SECONDS)
        await self._begin(worker.index, count)
        log.info("worker %d started again", worker.index)

    def _received(self, link: Link, kind: Message, values: list[Value]) -> None:
        if kind is Message.READY:
            for worker in self._workers.values():
                if worker.link is link:
                    worker.ready.set()
        else:
            self.all.received(link, kind, values)

    def use_routes(self, routes: RoutesFile) -> None:
        self._routes = routes
        self.all.send(Message.ROUTES, *self._routes_text())

    def _routes_text(self) -> tuple[Value, ...]:
        return (pickle.dumps(self._routes),)

    def summary(self) -> str:
        pids = ", ".join(str(worker.process.pid) for worker in self._workers.values())
        return f"{len(self._workers)} workers: pids {pids}"

    def hang_up(self) -> None:
        for worker in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGHUP)

    async def drain(self, seconds: float) -> None:
        self._stopping = True
        self._control.stop_accepting()
        self.all.send(Message.DRAIN, seconds)
        ends = [worker.process.wait() for worker in self._workers.values()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + KILL_SECONDS):
                await asyncio.gather(*ends)

    async def close(self) -> None:
        self._stopping = True
        for worker in self._workers.values():
            worker.link.close()
            if worker.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
                await worker.process.wait()
        self._control.close()


class _Everywhere:
    """The commands of operators, carried out in every worker."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def recover(self) -> None:
        """Let all HTTP holds ask again."""
        await self._workers.call("recover")

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """Let WebSockets over HTTP ask their origin; fails if no worker has that connection."""
        await self._workers.call("refresh", cid, channel)

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """Return those of these connections that exist anywhere."""
        found = await self._workers.call("conncheck", list(ids))
        return [cid for reply in found if isinstance(reply, list) for cid in reply]  # type: ignore[misc]

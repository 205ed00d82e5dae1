"""The roles in processes: all in one, or a parent with workers (layout.md, *Processes*).

`Single` and `Parent` can do the same for the supervisor; what differs is where the front role is.
"""

import asyncio
import contextlib
import logging
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gripproxy import app, intake, runtime, sockets
from gripproxy.cluster.wire import Message, Value
from gripproxy.cluster.workers import Link, Workers
from gripproxy.config import Config
from gripproxy.logs import Lines
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.routesfile import RoutesFile
from gripproxy.worker import Work

log = logging.getLogger("gripproxy")

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


class Single:
    """Everything in one process."""

    def __init__(
        self, start: Start, clock: runtime.Clock, tasks: runtime.Tasks, lines: Lines | None
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
        self._control = intake.Control(
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
        """Open the inputs, and serve clients."""
        await self._control.open(self._start.control)
        for listener in self._start.clients:
            await self._front.listen(listener.sockets[0], listener.tls)

    def use_routes(self, routes: RoutesFile) -> None:
        """Take other routes from the next request on."""
        self._front.use_routes(RouteTable(routes.routes))

    def summary(self) -> str:
        """Return one line about what is held."""
        return self._front.summary()

    def hang_up(self) -> None:
        """Nothing more is to be done in one process."""

    async def drain(self, seconds: float) -> None:
        """End what is held, spread over some seconds."""
        self._control.stop_accepting()
        await self._front.drain(seconds)

    async def close(self) -> None:
        """Cut what is left."""
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


class Parent:
    """The control role, and the care of workers."""

    def __init__(
        self,
        start: Start,
        clock: runtime.Clock,
        tasks: runtime.Tasks,
        lines: Lines | None,  # noqa: ARG002  # workers write the access lines
    ) -> None:
        self._start = start
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._routes = start.routes
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self.all = Workers(self._topic, self._loop)
        self._control = intake.Control(
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
        """Open the inputs, and start so many workers."""
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
        work = Work(config=self._start.config, listeners=listeners, maxconn=share)
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
        """Take other routes from the next request on."""
        self._routes = routes
        self.all.send(Message.ROUTES, *self._routes_text())

    def _routes_text(self) -> tuple[Value, ...]:
        return (pickle.dumps(self._routes),)

    def summary(self) -> str:
        """Return one line about what is held."""
        pids = ", ".join(str(worker.process.pid) for worker in self._workers.values())
        return f"{len(self._workers)} workers: pids {pids}"

    def hang_up(self) -> None:
        """Let workers write to new log files."""
        for worker in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGHUP)

    async def drain(self, seconds: float) -> None:
        """End what is held, spread over some seconds."""
        self._stopping = True
        self._control.stop_accepting()
        self.all.send(Message.DRAIN, seconds)
        ends = [worker.process.wait() for worker in self._workers.values()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + KILL_SECONDS):
                await asyncio.gather(*ends)

    async def close(self) -> None:
        """Cut what is left."""
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

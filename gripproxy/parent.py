"""The parent of workers: the control role, and the care of processes (layout.md, *Processes*).

A worker that dies is replaced; the sockets that it served stay open here in the meantime.
"""

import asyncio
import contextlib
import logging
import pickle
import signal
import socket
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gripproxy import intake, reporting, runtime
from gripproxy.cluster import level, news
from gripproxy.cluster.level import Page
from gripproxy.cluster.purging import Purges
from gripproxy.cluster.wire import Message, Value
from gripproxy.cluster.workers import Link, Workers
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.news import Statistics
from gripproxy.errors import PacketError, WorkerError
from gripproxy.flow.ports import Receipt
from gripproxy.logs import Lines
from gripproxy.plan import Start, client_max, worker_count
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routesfile import RoutesFile
from gripproxy.protocol.statspackets import Kind
from gripproxy.worker import Work

log = logging.getLogger("gripproxy")

# Until a worker serves. It takes a second on a slow machine; what takes longer hangs.
READY_SECONDS = 30.0
# A worker that dies younger than this is started again only after as long.
RESTART_SECONDS = 1.0
# Beyond the drain: until workers have ended themselves.
KILL_SECONDS = 4.0
# Until a worker that has lost us is ended; by then it is dead, and the cause is its own.
GRACE_SECONDS = 1.0


@dataclass(eq=False)
class _Worker:
    """A worker process and the link to it."""

    index: int
    process: asyncio.subprocess.Process
    link: Link
    started: float
    news: asyncio.Event = field(default_factory=asyncio.Event)  # it serves, or is gone
    serves: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __str__(self) -> str:
        return f"worker {self.index} (pid {self.process.pid})"

    def give_up(self, why: str) -> None:
        """End a process of which nothing good can be expected."""
        log.error("%s is ended: %s", self, why)
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


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
        self._count = worker_count(start.config.runner)
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._clock = clock
        self._gathered = reporting.Gathered(self._count)
        self._all = Workers(self._topic, last_id=self._last_id, loop=self._loop)
        self._page = Page.create()
        self._purges = Purges(self._page, self._loop)
        self._reporter: reporting.Reporter | None = None
        if reporting.is_wanted(start.config):
            self._reporter = reporting.Reporter(
                start.config, clock=clock, collect=self._statistics, workers=True, read=self._read
            )
        self._control = intake.Control(
            start.config,
            clock=clock,
            tasks=tasks,
            out=self._all if self._reporter is None else self._reporter.out(self._all),
            metrics=self._reporter.counters.metrics if self._reporter is not None else None,
            last_ids=LastIds(),
            subscribed=self._all.__contains__,
            operations=_Everywhere(self._all, self._purges),
        )

    def _topic(self, channel: str, held: bool) -> None:  # noqa: FBT001
        self._control.topic(channel, held)

    def _last_id(self, channel: str) -> str | None:
        return self._control.last_ids.get(channel)

    async def open(self) -> None:
        """Open the inputs, and start all workers.

        Raises:
            ListenError: an input cannot be opened.
            WorkerError: a worker does not start.
        """
        if self._reporter is not None:
            await self._reporter.open(self._start.metrics_socket)
        await self._control.open(self._start.control_socket)
        self._control.use_routes(self._routes.routes)
        serving: list[asyncio.Future[None]] = []
        for index in range(self._count):
            first: asyncio.Future[None] = self._loop.create_future()
            self._tasks.start(self._care(index, first), name=f"worker {index}")
            serving.append(first)
        await asyncio.gather(*serving)

    # The life of workers

    async def _care(self, index: int, first: asyncio.Future[None]) -> None:
        """Start a worker, and another in its place whenever it ends; tell of the first."""
        try:
            while not self._stopping:
                await self._one_life(index, first)
        except WorkerError as error:
            first.set_exception(error)

    async def _one_life(self, index: int, first: asyncio.Future[None]) -> None:
        """Start a worker and wait until it is dead.

        Raises:
            WorkerError: none has ever served, and the next one would do no better.
        """
        try:
            worker = await self._spawn(index)
        except OSError as error:
            cause = runtime.reason_of(error)
            if not first.done():
                raise WorkerError(index, cause) from error
            log.error("worker %d cannot be started: %s", index, cause)  # noqa: TRY400
            await asyncio.sleep(RESTART_SECONDS)
            return
        hangs = not await self._has_news(worker)
        if worker.serves and not first.done():
            first.set_result(None)
        elif worker.serves:
            log.info("%s serves in its place", worker)
        code = await worker.process.wait()
        worker.ended.set()
        worker.link.close()
        self._purges.leave(worker.link)
        cause = f"not ready after {READY_SECONDS:g} seconds" if hangs else _cause(code)
        if self._stopping:
            return
        if not first.done() and (hangs or code >= 0):
            raise WorkerError(index, cause)
        log.error("%s died: %s; its connections are lost", worker, cause)
        if self._loop.time() - worker.started < RESTART_SECONDS:
            await asyncio.sleep(RESTART_SECONDS)

    async def _spawn(self, index: int) -> _Worker:
        """Start a worker process and tell it what it needs to know."""
        ours, theirs = socket.socketpair()
        our_purges, their_purges = socket.socketpair()
        with theirs, their_purges:
            purges, listeners = their_purges.fileno(), self._listeners(index)
            try:
                process = await asyncio.create_subprocess_exec(
                    *_command(theirs.fileno()),
                    pass_fds=[theirs.fileno(), purges, self._page.fd, *listeners],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                our_purges.close()
                raise
        _, link = await self._loop.create_unix_connection(
            lambda: Link(self._received, self._lost), sock=ours
        )
        worker = _Worker(index, process, link, self._loop.time())
        self._workers[index] = worker
        if self._stopping:
            worker.kill()
        # Before it begins: what is purged from here on it finds there.
        self._purges.join(link, our_purges, worker.give_up)
        read = self._reporter.join(link) if self._reporter is not None else ()
        link.send(Message.START, pickle.dumps(self._work(index, purges, tuple(read))))
        self._all.join(link)
        link.begin()
        return worker

    def _listeners(self, index: int) -> tuple[int, ...]:
        return tuple([one.of_worker(index).fileno() for one in self._start.clients])

    def _work(self, index: int, purges: int, read: tuple[Kind, ...]) -> Work:
        total = client_max(self._start.config)
        share = total // self._count + (index < total % self._count)
        config = self._start.config
        return Work(
            # What they share out among themselves they divide by their number.
            config=replace(
                config,
                runner=replace(config.runner, workers=self._count),
                cache=replace(config.cache, size=config.cache.size // self._count),
            ),
            routes=self._routes.routes,
            log_path=self._start.log_path,
            listeners=self._listeners(index),
            purges=purges,
            page=self._page.fd,
            maxconn=max(1, share),
            index=index,
            read=read,
        )

    async def _has_news(self, worker: _Worker) -> bool:
        """Wait until a worker serves or is gone; end one of which nothing is heard."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await worker.news.wait()
        except TimeoutError:
            worker.kill()
            return False
        return True

    def _received(self, link: Link, kind: Message, values: list[Value]) -> None:
        match kind, values:
            case Message.READY, []:
                for worker in self._of(link):
                    worker.serves = True
                    worker.news.set()
            case Message.FORGET, [str(channel)]:
                self._control.last_ids.forget(channel)
                self._all.send(Message.FORGET, channel)
            case Message.APPLIED, [int(number), list(counts)]:
                self._purges.applied(link, number, counts)
            case Message.ASK_PURGE, [int(number), *named]:
                self._purge_for(link, number, named)
            case Message.STATISTICS, _ if self._reporter is not None:
                self._reporter.take(link, news.unpack(values))
            case _:
                self._all.received(link, kind, values)

    def _purge_for(self, link: Link, number: int, named: list[Value]) -> None:
        """Purge what a worker's client has asked for, in all workers."""
        try:
            self._purges.send([level.unpack(named)])
        except PacketError:
            link.close()  # not of this program's version: it is started again
        else:
            self._purges.done(link, number)

    def _lost(self, link: Link) -> None:
        self._all.leave(link)
        self._purges.leave(link)
        if self._reporter is not None:
            self._reporter.leave(link)
        for worker in self._of(link):
            self._gathered.died(worker.index)
            worker.news.set()
            if worker.process.returncode is None:
                # It may be stopped, or hang: then it would never end.
                self._loop.call_later(GRACE_SECONDS, worker.kill)

    def _of(self, link: Link) -> Iterator[_Worker]:
        return (worker for worker in self._workers.values() if worker.link is link)

    # Statistics

    def _read(self, kinds: Collection[Kind]) -> None:
        """Let workers know which packets are read."""
        names: list[Value] = [kind.value for kind in kinds]
        self._tasks.start(self._want(names), name="statistics")

    async def _want(self, names: list[Value]) -> None:
        await self._all.call("want", *names)

    async def _statistics(self) -> Statistics:
        """Return the statistics of all workers that answer, and what is counted here."""
        assert self._reporter is not None  # nobody else asks
        told = [news.unpack_statistics(one) for one in await self._all.call("statistics")]
        found = self._gathered.take(told)
        found = found.plus(self._reporter.counters.statistics(self._clock.now()))
        # A channel is one, however many workers hold it.
        return Statistics({**found.samples, ("channels",): len(self._all)})

    # What the supervisor wants

    async def use_routes(self, routes: RoutesFile) -> None:
        """Have other routes taken from the next request on; return when all workers do."""
        before, self._routes = self._routes.routes, routes
        # Until the last worker has the new ones, the old ones may still store something.
        self._control.use_routes((*before, *routes.routes))
        # Not the errors: exceptions are no values.
        await self._all.call("routes", pickle.dumps(routes.routes))
        self._control.use_routes(self._routes.routes)

    async def summary(self) -> str:
        """Return one line about what is held."""
        total: Counter[str] = Counter()
        for counts in await self._all.call("counts"):
            if isinstance(counts, dict):
                total.update({n: count for n, count in counts.items() if isinstance(count, int)})
        total["channels"] = len(self._all)
        total["tasks"] += len(self._tasks)
        pids = ",".join(str(worker.process.pid) for worker in self._workers.values())
        return f"{runtime.listed(total)} workers={len(self._workers)} pids={pids}"

    def hang_up(self) -> None:
        """Let workers write to new log files."""
        self._all.send(Message.REOPEN)

    async def drain(self, seconds: float) -> None:
        """End what is held, spread over some seconds."""
        self._stopping = True
        self._control.stop_accepting()
        self._all.send(Message.DRAIN, seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + KILL_SECONDS):
                for worker in list(self._workers.values()):
                    await worker.ended.wait()

    async def close(self) -> None:
        """Cut what is left."""
        self._stopping = True
        for worker in self._workers.values():
            worker.link.close()
            if not worker.ended.is_set():
                worker.kill()
                await worker.process.wait()
        if self._reporter is not None:
            await self._reporter.close()
        self._control.close()
        self._purges.close()
        self._page.close()


def _command(fd: int) -> list[str]:
    """Return what starts a worker of this very program."""
    home = Path(__file__).parents[1]
    # Otherwise a folder of that name, where somebody stands, would be taken for the program.
    safe = [] if home == Path.cwd() else ["-P"]
    return [sys.executable, *safe, "-m", "gripproxy", "worker", str(fd)]


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


class _Everywhere:
    """The commands of operators, carried out in every worker."""

    def __init__(self, workers: Workers, purges: Purges) -> None:
        self._workers = workers
        self._purges = purges

    def take_back(self, purges: Sequence[Purge]) -> Receipt:
        """Take stored responses back; nobody has counted yet."""
        self._purges.send([(purge, frozenset()) for purge in purges])
        return Receipt(0, len(self._purges))

    async def take_back_and_count(self, purge: Purge) -> Receipt:
        """Take stored responses back; wait a little for how many that were."""
        return await self._purges.count((purge, frozenset()))

    async def recover(self) -> None:
        """Let all HTTP holds ask again."""
        await self._workers.call("recover")

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """Let WebSockets over HTTP ask their origin; fails if no worker has that connection."""
        await self._workers.call("refresh", cid, channel)

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """Return those of these connections that exist anywhere."""
        found = await self._workers.call("conncheck", list(ids))
        return [cid for reply in found if isinstance(reply, list) for cid in _texts(reply)]


def _texts(values: list[Value]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))

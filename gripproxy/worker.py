"""A worker process: the front role, and the link to its parent (layout.md, *Processes*).

The first message says everything that the worker needs; from then on it does what it is told, in
the order in which it is told. It ends when the parent says so, or is gone.
"""

import asyncio
import contextlib
import ctypes
import logging
import pickle
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gripproxy import reporting, runtime
from gripproxy.app import Front
from gripproxy.cluster import news
from gripproxy.cluster.level import Level, Page
from gripproxy.cluster.wire import Message, Value
from gripproxy.cluster.workers import Link
from gripproxy.config import Config
from gripproxy.engine.lastids import LastIds
from gripproxy.errors import CommandError
from gripproxy.logs import Lines
from gripproxy.protocol import packets
from gripproxy.protocol.caching.tags import Tag
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Route, RouteTable, takes_all
from gripproxy.protocol.statspackets import Kind as PacketKind

log = logging.getLogger("gripproxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker is told at its start."""

    config: Config
    routes: tuple[Route, ...]
    log_path: str  # empty: standard output
    listeners: tuple[int, ...]  # file descriptors of bound sockets
    purges: int  # file descriptor of the pair that only purges use
    page: int  # that of the memory with the number of the last one
    maxconn: int
    index: int = 0
    read: tuple[PacketKind, ...] = ()  # statistics packets that somebody reads


Command = Callable[[list[Value]], Awaitable[Value]]


class Worker:
    """A worker process: the front role, and the link to its parent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._tasks = runtime.Tasks(self._loop)
        self._clock = runtime.Clock(self._loop)
        self._front: Front | None = None
        self._teller: reporting.Teller | None = None
        self._gauges: reporting.Gauges | None = None
        self._link: Link | None = None
        self._level: Level | None = None
        self._takes_all = False
        self._lines: Lines | None = None
        self._over = asyncio.Event()
        self._code = 0
        self._topics: set[str] = set()
        self._counted = 0
        self._commands: dict[str, Command] = {
            "recover": self._recover,
            "refresh": self._refresh,
            "conncheck": self._conncheck,
            "counts": self._counts,
            "statistics": self._statistics,
            "want": self._want,
            "routes": self._routes,
        }

    async def serve(self) -> int:
        """Serve until the parent says so, or is gone; return the exit code."""
        sock = socket.socket(fileno=self._fd)
        link = self._link = Link(self._received, lambda _: self._over.set())
        await self._loop.create_unix_connection(lambda: link, sock=sock)
        link.begin()
        await self._over.wait()
        if self._teller is not None:
            self._teller.close()
        if self._gauges is not None:
            self._gauges.close()
        if self._front is not None:
            self._front.close()
        await self._tasks.close()
        if self._level is not None:
            self._level.close()
        if self._lines is not None:
            self._lines.flush()
        return self._code

    def _received(self, _link: Link, kind: Message, values: list[Value]) -> None:
        try:
            self._obey(kind, values)
        except Exception as error:  # noqa: BLE001  # the last place that can log a bug of ours
            runtime.failed(f"the parent's message {kind.name}", error)
            if self._front is None:
                self._end(1)

    def _obey(self, kind: Message, values: list[Value]) -> None:
        match kind, values:
            case Message.ITEM, [str(channel), item_id, _, bool(no_seq), bytes(message)]:
                self._item(channel, item_id, message, chained=not no_seq)
            case Message.SYNC, [int(number)]:
                self._send(Message.COUNT, number, self._counted)
                self._counted = 0
            case Message.MARK, []:
                self._counted = 0
            case Message.TOPIC, [str(channel), bool(held), last_id]:
                self._topic(channel, last_id, held=held)
            case Message.FORGET, [str(channel)]:
                self._forget_last_id(channel)
            case Message.CALL, [int(number), str(name), list(arguments)]:
                self._tasks.start(self._call(number, name, arguments), name=name)
            case Message.DRAIN, [float() | int() as seconds]:
                self._tasks.start(self._drain(float(seconds)), name="drain")
            case Message.REOPEN, []:
                runtime.reopen_logs()
            case Message.START, [bytes(pickled)]:
                self._start(pickle.loads(pickled))  # noqa: S301  # from our own parent
            case _:
                log.error("the parent said what this worker does not know: %s", kind.name)

    def _send(self, kind: Message, *values: Value) -> None:
        if self._link is not None:
            self._link.send(kind, *values)

    def _write(self, data: bytes) -> None:
        if self._link is not None:
            self._link.write(data)

    def _end(self, code: int) -> None:
        self._code = code
        self._over.set()

    # Starting

    def _start(self, work: Work) -> None:
        """Build the front: whatever is said next finds it."""
        self._lines = runtime.set_up_logs(work.config, work.log_path).lines(
            self._loop, worker=work.index
        )
        self._level = Level(
            socket.socket(fileno=work.purges),
            Page(work.page),
            apply=self._purge,
            send=self._write,
            lost=self._lost,
        )
        self._front = front = Front(
            work.config,
            clock=self._clock,
            tasks=self._tasks,
            lines=self._lines,
            topic=lambda channel, held: self._send(Message.HELD, channel, held),
            maxconn=work.maxconn,
            last_ids=LastIds(),
            peers=self._level,
        )
        front.hub.forgot = lambda channel: self._send(Message.FORGET, channel)
        if reporting.is_wanted(work.config):
            self._report(front, work)
        self._use_routes(work.routes)
        self._tasks.start(self._listen(front, work.listeners), name="listen")

    def _report(self, front: Front, work: Work) -> None:
        """Count what happens, and tell the parent."""
        self._teller = teller = reporting.Teller(
            work.config,
            clock=self._clock,
            loop=self._loop,
            send=lambda told: self._send(Message.STATISTICS, *news.pack(told)),
        )
        teller.counters.want(work.read)
        front.count_with(teller.counters)
        self._gauges = reporting.Gauges(
            front, teller.counters, worker=work.index, clock=self._clock
        )

    async def _listen(self, front: Front, listeners: tuple[int, ...]) -> None:
        """Accept clients on the sockets that the parent has bound."""
        try:
            for fd in listeners:
                await front.listen(socket.socket(fileno=fd), None)
        except Exception as error:  # noqa: BLE001  # a worker that cannot serve is replaced
            runtime.failed("listening", error)
            self._end(1)
        else:
            self._send(Message.READY)

    def _use_routes(self, routes: tuple[Route, ...]) -> None:
        self._takes_all = takes_all(routes)
        if self._front is not None:
            self._front.use_routes(RouteTable(routes))

    # Purges

    def _purge(self, purge: Purge, names: frozenset[Tag]) -> int:
        return self._front.purge(purge, names) if self._front is not None else 0

    def _lost(self) -> None:
        log.error("the parent's purges are not heard any more: this worker ends")
        self._end(1)

    # Items

    def _item(self, channel: str, item_id: Value, message: bytes, *, chained: bool) -> None:
        front = self._front
        if front is None:
            return
        if self._teller is not None:
            self._teller.counters.number += 1
        held = channel in front.hub.channels
        if held or self._takes_all:
            if self._level is not None:
                self._level.level()  # what the item purges is gone before it is seen
            item = packets.decode_item(message, topic=channel.encode())
            self._counted += front.release((item,))
        if not held and channel in self._topics and chained:
            # Held by another worker: a client that comes here next must see what it missed.
            self._set_last_id(front, channel, item_id)

    def _topic(self, channel: str, last_id: Value, *, held: bool) -> None:
        if held:
            self._topics.add(channel)
        else:
            self._topics.discard(channel)
        # An id that the parent does not know may still be known here, but for a channel's end.
        if self._front is not None and (last_id is not None or not held):
            self._set_last_id(self._front, channel, last_id)

    def _set_last_id(self, front: Front, channel: str, item_id: Value) -> None:
        if isinstance(item_id, str):
            front.hub.last_ids.set(channel, item_id)
        else:
            front.hub.last_ids.forget(channel)

    def _forget_last_id(self, channel: str) -> None:
        if self._front is not None:
            self._front.hub.last_ids.forget(channel)

    # Commands

    async def _call(self, number: int, name: str, arguments: list[Value]) -> None:
        try:
            value = await self._commands[name](arguments)
        except CommandError as error:
            self._send(Message.REPLY, number, None, error.condition)
        except Exception as error:  # noqa: BLE001  # the parent must not wait for it
            runtime.failed(f"command {name}", error)
            self._send(Message.REPLY, number, None, "internal-error")
        else:
            self._send(Message.REPLY, number, value, None)

    async def _recover(self, _arguments: list[Value]) -> Value:
        if self._front is not None:
            await self._front.recover()
        return None

    async def _refresh(self, arguments: list[Value]) -> Value:
        cid, channel = arguments
        if self._front is not None:
            await self._front.refresh(
                cid=cid if isinstance(cid, str) else None,
                channel=channel if isinstance(channel, str) else None,
            )
        return None

    async def _conncheck(self, arguments: list[Value]) -> Value:
        ids = arguments[0]
        if self._front is None or not isinstance(ids, list):
            return []
        found = await self._front.conncheck([cid for cid in ids if isinstance(cid, str)])
        return list(found)

    async def _counts(self, _arguments: list[Value]) -> Value:
        return dict(self._front.counts()) if self._front is not None else {}

    async def _want(self, arguments: list[Value]) -> Value:
        if self._teller is not None:
            self._teller.counters.want([PacketKind(kind) for kind in arguments])
        return None

    async def _statistics(self, _arguments: list[Value]) -> Value:
        if self._gauges is None:
            return []
        return news.pack_statistics(self._gauges.statistics())

    async def _routes(self, arguments: list[Value]) -> Value:
        if isinstance(arguments[0], bytes):
            self._use_routes(pickle.loads(arguments[0]))  # noqa: S301  # from our own parent
        return None

    async def _drain(self, seconds: float) -> None:
        if self._front is not None:
            await self._front.drain(seconds)
        self._over.set()


def work(fd: int) -> int:
    """Run a worker process whose parent is at the other end of a socket; return the exit code."""
    die_with_parent()
    # The parent is told, and says what is to be done; a terminal tells everybody.
    for number in _NOT_OURS:
        signal.signal(number, signal.SIG_IGN)
    runtime.settle_collector()
    with asyncio.Runner(loop_factory=runtime.loop_factory()) as runner:

        async def serve() -> int:
            return await Worker(fd).serve()

        return runner.run(serve())


_NOT_OURS = (
    signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, however that ended."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

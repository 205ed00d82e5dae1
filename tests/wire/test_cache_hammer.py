"""No stale read after the ack, under load, on real sockets.

An origin counts a version for each of its resources. Readers ask for them in every way there is.
Meanwhile others raise versions and take back what is stored, in every way there is. Whoever asks
after a purge of version v was acknowledged, or after he has seen the item that came with it, must
get v or later. Bodies tell their version in every eighth byte, tags tell it too, and both must
tell the same.
"""

import asyncio
import contextlib
import gzip
import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

import pytest
import zmq

from tests.wire.client import Client, DeadlineError, Response, ask, envelope, request, wait_until
from tests.wire.client import Socket as ZeroMq
from tests.wire.processes import children
from tests.wire.running import Running

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("GRIPPROXY_HAMMER", "4"))
READERS = 6
PER_CONNECTION = 40  # requests; then another, which another process may accept
HOST = "hammer.test"
TIMES = 20  # that a body says its version
GROUPS = 2

# What the origin says of each resource.
FRESH = "max-age=60"
STALE = "stale-while-revalidate=60, stale-if-error=60"


@dataclass(frozen=True)
class Kind:
    """How the origin answers for a resource."""

    control: str
    tagged: bool = True  # with an ETag
    coded: bool = False  # in two codings
    chunked: bool = False  # and slowly
    fails: bool = False  # now and then


KINDS = (
    Kind(FRESH),
    Kind(f"{FRESH}, {STALE}", fails=True),
    Kind("no-cache"),
    Kind(f"max-age=1, {STALE}", fails=True),
    Kind(FRESH, coded=True),
    Kind(f"max-age=0, {STALE}", coded=True),
    Kind(FRESH, chunked=True),
    Kind(FRESH, tagged=False),
)
RESOURCES = range(len(KINDS))


class Versions:
    """The version that each resource has, and the one that must be seen by who asks now."""

    def __init__(self) -> None:
        self.current = [1 for _ in RESOURCES]
        self.promised = [1 for _ in RESOURCES]
        self._lock = threading.Lock()

    def raised(self, resources: list[int]) -> dict[int, int]:
        """Raise the versions of resources; return them."""
        with self._lock:
            for one in resources:
                self.current[one] += 1
            return {one: self.current[one] for one in resources}

    def promise(self, versions: dict[int, int]) -> None:
        """Take note that these have been acknowledged."""
        with self._lock:
            for one, version in versions.items():
                self.promised[one] = max(self.promised[one], version)


def body_of(version: int) -> bytes:
    return b"%08d" % version * TIMES


class HammerOrigin:
    """The origin, in a loop and thread of its own."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._random = random.Random(1)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self.port = 0
        self.asked = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await self._answer(head, writer)
        writer.close()
        self._tasks.discard(task)

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        method, target, *_ = head.split(" ", 2)
        if target == "/events":
            writer.write(b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: news\r\n")
            writer.write(b"Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n")
            return
        self.asked += 1
        resource = int(target.removeprefix("/"))
        if method == "POST":
            self._versions.raised([resource])
        version = self._versions.current[resource]  # what it says is what is true now
        await asyncio.sleep(self._random.choice((0, 0, 0.002, 0.01)))
        for piece in self._said(head, method, resource, version):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001 if KINDS[resource].chunked else 0)

    def _said(self, head: str, method: str, resource: int, version: int) -> list[bytes]:
        kind = KINDS[resource]
        if kind.fails and self._random.random() < 0.2:
            return [b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n"]
        if method == "POST":
            return [b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%08d" % version]
        asked = dict(re.findall(r"(?m)^([^:\r\n]+): ([^\r\n]*)", head.lower()))
        gzipped = kind.coded and "gzip" in asked.get("accept-encoding", "")
        content = gzip.compress(body_of(version)) if gzipped else body_of(version)
        tag = f'"{version}{"-gzip" if gzipped else ""}"'
        lines = [f"Cache-Control: {kind.control}", f"Surrogate-Key: {keys_of(resource)}"]
        lines += [f"ETag: {tag}"] * kind.tagged + ["Vary: Accept-Encoding"] * kind.coded
        lines += ["Content-Encoding: gzip"] * gzipped
        status = "200 OK"
        if kind.tagged and asked.get("if-none-match") == tag:
            return [_head("304 Not Modified", lines)]
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.get("range", ""))
        if span is not None and not gzipped:
            first, last = int(span[1]), int(span[2])
            lines.append(f"Content-Range: bytes {first}-{last}/{len(content)}")
            content, status = content[first : last + 1], "206 Partial Content"
        if kind.chunked:
            halves = content[: len(content) // 2], content[len(content) // 2 :]
            parts = [b"%x\r\n%b\r\n" % (len(half), half) for half in halves]
            found = [_head(status, [*lines, "Transfer-Encoding: chunked"]), *parts, b"0\r\n\r\n"]
        else:
            found = [_head(status, [*lines, f"Content-Length: {len(content)}"]) + content]
        return found[:1] if method == "HEAD" and kind.chunked else found


def _head(status: str, lines: list[str]) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def keys_of(resource: int) -> str:
    return f"r{resource} g{resource % GROUPS}"


# Those who read


@dataclass
class Seen:
    """What readers have seen."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


Fields = tuple[str, tuple[str, ...]]  # a method and fields


class Reader:
    """One client, who asks in every way there is."""

    def __init__(self, system: Running, versions: Versions, seen: Seen, seed: int) -> None:
        self._system = system
        self._versions = versions
        self._seen = seen
        self._random = random.Random(seed)
        self._tags: dict[int, str] = {}

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            # A process that serves may be killed: then this is over, and another accepts.
            with contextlib.suppress(OSError, EOFError), Client(self._system.port) as client:
                for _ in range(PER_CONNECTION):
                    if not over.is_set():
                        self._ask(client)

    def _ask(self, client: Client) -> None:
        resource = self._random.choice(RESOURCES)
        way, (method, fields) = self._random.choice(list(self._ways(resource).items()))
        least = self._versions.promised[resource]
        client.send(request(method, f"/{resource}", HOST, *fields))
        response = client.response(bodiless=method == "HEAD")
        told = response.value("cache-status") or ""
        self._seen.counts[f"{way} {response.status}"] += 1
        self._seen.counts["hit"] += "; hit" in told
        if response.status >= 500 and KINDS[resource].fails:
            return
        try:
            versions = self._versions_of(resource, response, bodiless=method == "HEAD")
        except (ValueError, OSError, EOFError) as error:
            self._seen.wrong.append(f"{way} /{resource}: {error}: {response}")
            return
        if len(versions) != 1 or min(versions) < least:
            self._seen.wrong.append(
                f"{way} /{resource}: {sorted(versions)} after {least} was promised: {response}"
            )

    def _ways(self, resource: int) -> dict[str, Fields]:
        ways: dict[str, Fields] = {
            "plain": ("GET", ()),
            "gzip": ("GET", ("Accept-Encoding: gzip",)),
            "range": ("GET", ("Range: bytes=8-23",)),
        }
        if KINDS[resource].tagged:
            ways["head"] = ("HEAD", ())
            if resource in self._tags:
                condition = f"If-None-Match: {self._tags[resource]}"
                ways["condition"] = ("GET", (condition,))
                ways["gzip, condition"] = ("GET", (condition, "Accept-Encoding: gzip"))
        return ways

    def _versions_of(self, resource: int, response: Response, *, bodiless: bool) -> set[int]:
        """Return all versions that a response tells. Raises ValueError if it makes no sense."""
        found = set()
        tag = response.value("etag")
        if tag is not None:
            self._tags[resource] = tag
            found.add(int(tag.strip('"').removesuffix("-gzip")))
        if bodiless or response.status == 304:
            return found
        content = response.body
        if response.value("content-encoding") == "gzip":
            content = gzip.decompress(content)
        expected = {200: 8 * TIMES, 206: 16}.get(response.status)
        if len(content) != expected:
            raise ValueError(f"{len(content)} bytes")
        return found | {int(content[at : at + 8]) for at in range(0, len(content), 8)}


# Those who purge


class Purger:
    """Raises versions, takes back what is stored, and takes note of what was promised."""

    def __init__(self, system: Running, versions: Versions, seed: int) -> None:
        self._system = system
        self._versions = versions
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._ways: dict[str, Callable[[int], None]] = {
            "url": self._url,
            "key": self._key,
            "group": self._group,
            "all": self._all,
            "item": self._item,
            "unsafe": self._unsafe,
        }

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            way = self._random.choice(list(self._ways))
            with contextlib.suppress(OSError, EOFError):  # killed before it was acknowledged
                self._ways[way](self._random.choice(RESOURCES))
                self.counts[way] += 1
            time.sleep(self._random.choice((0, 0.001, 0.01, 0.05)))  # a purge now and then

    def _purge(self, resources: list[int], **what: object) -> None:
        raised = self._versions.raised(resources)
        answer = control(self._system, "/purge", what)
        assert answer.status == 200, answer
        self._versions.promise(raised)

    def _url(self, resource: int) -> None:
        self._purge([resource], urls=[f"http://{HOST}/{resource}"])

    def _key(self, resource: int) -> None:
        self._purge([resource], keys=["nobody's", f"r{resource}"])

    def _group(self, resource: int) -> None:
        group = resource % GROUPS
        self._purge([one for one in RESOURCES if one % GROUPS == group], keys=[f"g{group}"])

    def _all(self, _: int) -> None:
        self._purge(list(RESOURCES), all=True)

    def _item(self, resource: int) -> None:
        raised = self._versions.raised([resource])
        answer = self._system.publish([item_of(raised)])
        assert answer.status == 200, answer
        self._versions.promise(raised)

    def _unsafe(self, resource: int) -> None:
        """The origin raises the version; a success takes back what is stored."""
        asked = request("POST", f"/{resource}", HOST, body=b"")
        answer = ask(self._system.port, asked)
        if answer.status == 200:
            self._versions.promise({resource: int(answer.body)})


def control(system: Running, target: str, what: object) -> Response:
    said = json.dumps(what).encode()
    return ask(system.http_port, request("POST", target, "control", body=said))


def item_of(raised: dict[int, int]) -> dict[str, object]:
    """Return an item that takes back what is stored and tells the new version of it."""
    ((resource, version),) = raised.items()
    return {
        "channel": "news",
        "purge": {"keys": [f"r{resource}"]},
        "formats": {"http-stream": {"content": f"{resource} {version}\n"}},
    }


class Pusher:
    """Sends such items where nothing is acknowledged: what is seen of them is the promise."""

    def __init__(self, system: Running, versions: Versions, seed: int) -> None:
        self._system = system
        self._versions = versions
        self._random = random.Random(seed)
        self.seen = 0

    def push(self, over: threading.Event) -> None:
        with ZeroMq(zmq.PUSH, f"tcp://127.0.0.1:{self._system.zmq_port}") as socket:
            while not over.is_set():
                raised = self._versions.raised([self._random.choice(RESOURCES)])
                socket.send(envelope(item_of(raised), "J"))
                time.sleep(self._random.choice((0.005, 0.02)))

    def listen(self, over: threading.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, EOFError), Client(self._system.port) as client:
                client.send(request("GET", "/events", HOST))
                client.head()
                client.seconds = 0.2
                self._read(client, over)

    def _read(self, client: Client, over: threading.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(DeadlineError):
                piece = client.piece()
                assert piece is not None
                for line in piece.decode().splitlines():
                    resource, version = map(int, line.split())
                    self._versions.promise({resource: version})
                    self.seen += 1


# Those who disturb


class Stopper:
    """Stops a process now and then for a moment; so purges and requests find it behind (12)."""

    def __init__(self, system: Running, seed: int) -> None:
        self._system = system
        self._random = random.Random(seed)

    def run(self, over: threading.Event) -> None:
        assert self._system.process is not None
        while not over.is_set():
            pid = self._random.choice(sorted(children(self._system.process.pid)))
            with contextlib.suppress(ProcessLookupError):  # killed meanwhile
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self._random.choice((0.01, 0.03)))
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)


def killed_and_started(system: Running) -> None:
    """Kill one of the processes that serve, and wait for the one in its place."""
    assert system.process is not None
    before = children(system.process.pid)
    os.kill(min(before), signal.SIGKILL)

    def is_replaced() -> bool:
        assert system.process is not None
        now = children(system.process.pid)
        return len(now) == len(before) and now != before

    wait_until(is_replaced, "another process", seconds=20)


# The test


@pytest.fixture
def versions() -> Versions:
    return Versions()


@pytest.fixture
def origin(versions: Versions) -> Iterator[HammerOrigin]:
    with HammerOrigin(versions) as one:
        yield one


@pytest.mark.parametrize("workers", [1, 2])
def test_who_asks_after_a_purge_never_gets_what_was_before(gripproxy, origin, versions, workers):
    routes = [
        f"*,path_beg=/events 127.0.0.1:{origin.port}",
        f"*,cache 127.0.0.1:{origin.port}",
    ]
    system = gripproxy(routes, settings={"runner.workers": str(workers)})
    seen, over = Seen(), threading.Event()
    purger, pusher = Purger(system, versions, 100), Pusher(system, versions, 200)
    runs = [Reader(system, versions, seen, seed).run for seed in range(READERS)]
    runs += [purger.run, pusher.push, pusher.listen]
    if workers > 1:
        runs.append(Stopper(system, 300).run)
    failures: list[BaseException] = []

    def running(run: Callable[[threading.Event], None]) -> None:
        try:
            run(over)
        except BaseException as error:  # noqa: BLE001  # it is the test's
            failures.append(error)

    threads = [threading.Thread(target=running, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + SECONDS
    wait_until(lambda: time.monotonic() > ends - SECONDS / 2, "half of it", seconds=SECONDS)
    if workers > 1:
        killed_and_started(system)
    wait_until(lambda: time.monotonic() > ends, "the rest of it", seconds=SECONDS + 1)
    over.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert not seen.wrong, f"{len(seen.wrong)} of {seen.counts.total()}: {seen.wrong[:5]}"
    # All that was to happen has happened.
    counts = seen.counts
    assert set(purger.counts) == {"url", "key", "group", "all", "item", "unsafe"}
    assert pusher.seen > 10
    for what in ("hit", "plain 200", "gzip 200", "range 206", "head 200", "condition 304"):
        assert counts[what] > 10, counts

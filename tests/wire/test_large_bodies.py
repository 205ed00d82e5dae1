"""Large bodies pass in little memory, and whoever does not read stops who sends (proxying.md 9.1).

With GRIP_LARGE_BODY=1000000000, by hand, on two cores: 0.4 to 0.7 GB a second, and no case takes
the program 1 MB.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.wire.client import Client, request, wait_until
from tests.wire.origin import Origin, reply, text
from tests.wire.running import Gripproxy

SIZE = int(os.environ.get("GRIP_LARGE_BODY", "64000000"))
PIECE = b"0123456789abcdef" * 4096
# What waits in the program for one body, and what its allocator keeps.
MEMORY_MAX = 4_000_000
# What the buffers of the kernel may take of a body that nobody reads.
KERNEL_MAX = 24_000_000
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as one:
        yield one


@pytest.fixture(scope="module")
def system(origin) -> Iterator[Gripproxy]:
    with Gripproxy([f"* 127.0.0.1:{origin.port}"]) as one:
        yield one


class Memory(threading.Thread):
    """Looks at a program's memory as long as the context lasts; `grown` is the most it took."""

    def __init__(self, system: Gripproxy) -> None:
        super().__init__(daemon=True)
        self._path = Path(f"/proc/{system.process.pid}/status")
        self._over = threading.Event()
        self._before = self._now()
        self.grown = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self.join()

    def run(self):
        while not self._over.wait(0.01):
            self.grown = max(self.grown, self._now() - self._before)

    def _now(self) -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", self._path.read_text())[1]) * 1024


class Count:
    """How many bytes have passed at one end."""

    def __init__(self) -> None:
        self.bytes = 0
        self.right = True

    def stands(self) -> bool:
        """Say whether nothing passes for a while."""
        before = self.bytes
        time.sleep(0.3)
        return before == self.bytes


def pour(sock, framing: str, count: Count, last: threading.Event | None = None) -> None:
    """Send a body of SIZE bytes, the last piece when `last` is set."""
    piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if framing == CHUNKED else PIECE
    sock.settimeout(60)
    while count.bytes < SIZE:
        if last is not None and count.bytes + len(PIECE) >= SIZE:
            last.wait(60)
        sock.sendall(piece)
        count.bytes += len(PIECE)
    if framing == CHUNKED:
        sock.sendall(b"0\r\n\r\n")


def drain(sock, start: bytes, framing: str, count: Count) -> None:
    """Read a body and look at its content, but for the borders of its chunks."""
    sock.settimeout(60)
    data = start
    total = -(-SIZE // len(PIECE)) * len(PIECE)
    while True:
        if framing != CHUNKED:
            count.right &= data == (PIECE * 6)[count.bytes % 16 :][: len(data)]
        count.bytes += len(data)
        ended = data.endswith(b"0\r\n\r\n") if framing == CHUNKED else count.bytes == total
        if ended:
            return
        data = sock.recv(262_144)
        count.right &= bool(data)


def framing_of(framing: str) -> str:
    total = -(-SIZE // len(PIECE)) * len(PIECE)
    return CHUNKED if framing == "chunks" else f"Content-Length: {total}"


@contextmanager
def running(function, *arguments) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_large_answer_passes_in_little_memory(system, origin, how):
    framing = framing_of(how)
    sent, got = Count(), Count()

    def answer(_, wire):
        wire.send(reply("200 OK", framing))
        pour(wire.sock, framing, sent)

    with origin.stage(f"down-{how}") as stage, Client(system.port) as client:
        stage.answer(answer)
        with Memory(system) as memory:
            client.send(request("GET", "/", stage.host))
            wait_until(lambda: sent.bytes > 0 and sent.stands(), "a stop", seconds=20)
            assert sent.bytes < KERNEL_MAX
            client.head()
            drain(client.sock, client.buffer, framing, got)
        assert got.right
        assert got.bytes >= SIZE
        assert memory.grown < MEMORY_MAX


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_large_request_passes_in_little_memory(system, origin, how):
    framing = framing_of(how)
    sent, got = Count(), Count()

    def answer(_, wire):
        stage.gate.wait(60)
        drain(wire.sock, wire.buffer, framing, got)
        wire.buffer = b""
        return text(body="hello")

    with origin.stage(f"up-{how}") as stage, Client(system.port, seconds=60) as client:
        stage.early = True
        stage.answer(answer)
        with Memory(system) as memory:
            client.send(request("POST", "/", stage.host, framing))
            with running(pour, client.sock, framing, sent):
                wait_until(lambda: sent.bytes > 0 and sent.stands(), "a stop", seconds=20)
                assert sent.bytes < KERNEL_MAX
                stage.gate.set()
            assert client.response().body == b"hello"
        assert got.right
        assert got.bytes >= SIZE
        assert memory.grown < MEMORY_MAX


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_both_directions_flow_at_once(system, origin, how):
    framing = framing_of(how)
    counts = [Count() for _ in range(4)]

    def answer(_, wire):
        wire.send(reply("200 OK", framing))
        taken = threading.Event()
        with running(pour, wire.sock, framing, counts[0], taken):
            drain(wire.sock, wire.buffer, framing, counts[1])
            wire.buffer = b""
            taken.set()  # an answer that ends before its request would end that, too

    with origin.stage(f"both-{how}") as stage, Client(system.port, seconds=60) as client:
        stage.early = True
        stage.answer(answer)
        with Memory(system) as memory:
            client.send(request("POST", "/", stage.host, framing))
            with running(pour, client.sock, framing, counts[2]):
                client.head()
                drain(client.sock, client.buffer, framing, counts[3])
        assert all(count.right and count.bytes >= SIZE for count in counts)
        assert memory.grown < MEMORY_MAX

"""What stored responses take of the running program's memory, and what it says they take.

Small responses are the test: of a large one most is its body. `make soak-cache` fills more.
"""

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.wire.client import Client, ask, request
from tests.wire.processes import serving
from tests.wire.running import Gripproxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MANY = 50_000 if "GRIPPROXY_SOAK_CACHE" in os.environ else 4_000
# So many bytes may really be taken for each that is counted.
REAL = 1 / 0.8
SPARE = 2_000_000  # what is not for stored responses
PIPELINED = 50
BODY = b"x" * 100


@dataclass(frozen=True)
class Shape:
    """How the responses look; N is another number in each."""

    name: str
    fields: tuple[str, ...]

    def answer(self, number: bytes) -> bytes:
        lines = ("HTTP/1.1 200 OK", "Cache-Control: max-age=600", *self.fields)
        head = "\r\n".join((*lines, f"Content-Length: {len(BODY)}", "", ""))
        return head.encode().replace(b"N", number) + BODY

    def __str__(self) -> str:
        return self.name


def keys(*texts: str) -> str:
    return "Surrogate-Key: " + " ".join(texts)


PLAIN = Shape("plain", ())
SHAPES = (
    PLAIN,
    Shape("a key that all have", (keys("all"),)),
    Shape("a key of its own", (keys("own-N"),)),
    Shape("thirty keys that all have", (keys(*(f"all-{at}" for at in range(30))),)),
    Shape("thirty keys of its own", (keys(*(f"own-{at}-N" for at in range(30))),)),
    Shape("twenty fields", tuple(f"X-Field-{at}: value-N" for at in range(20))),
    Shape("variants", ("Vary: Accept-Encoding, Accept-Language", 'ETag: "N"')),
)


class FillingOrigin(asyncio.Protocol):
    """An origin whose answers are as long as their path says, in a thread of its own."""

    shape = PLAIN

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self.buffer = (self.buffer + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1]
            self.transport.write(self.shape.answer(path.rpartition(b"/")[2]))


class Origins:
    """Runs it; `port` is where."""

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        server = await self._loop.create_server(FillingOrigin, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._over.wait()
        server.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Origins() as origins:
        yield origins.port


class Filled(Gripproxy):
    """A program that responses of one shape are stored in."""

    def __init__(self, port: int, size: int) -> None:
        settings = {"cache.size": str(size), "handler.prometheus_port": "127.0.0.1:METRICS_PORT"}
        super().__init__([f"*,cache 127.0.0.1:{port}"], settings=settings)

    def fill(self, shape: Shape, count: int, *, first: int = 0) -> None:
        """Have so many responses be asked for."""
        FillingOrigin.shape = shape
        with Client(self.port, seconds=20) as client:
            for start in range(first, first + count, PIPELINED):
                numbers = range(start, start + PIPELINED)
                client.send(b"".join(request("GET", f"/{n}", "filled.test") for n in numbers))
                for _ in numbers:
                    assert client.response().body == BODY

    def told(self, name: str) -> int:
        """Return one of the numbers that the program tells of its cache."""
        text = ask(self.metrics_port, request("GET", "/metrics", "any"), seconds=20).body.decode()
        found = re.search(rf"(?m)^cache_{name} (\S+)$", text)
        assert found is not None, text
        return int(float(found[1]))

    def resident(self) -> int:
        """Return how many bytes of memory it has."""
        (pid,) = serving(self)
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def purge(self) -> None:
        asked = request("POST", "/purge", "control", body=b'{"all": true}')
        assert ask(self.http_port, asked, seconds=20).status == 200


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_stored_responses_take_what_they_are_counted_as(port, shape):
    with Filled(port, 2**40) as system:
        system.fill(shape, 200)
        before, counted = system.resident(), system.told("bytes")
        system.fill(shape, MANY, first=1_000_000)
        assert system.told("entries") == MANY + 200
        taken, counted = system.resident() - before, system.told("bytes") - counted
    each = f"{taken // MANY} bytes each, counted as {counted // MANY}"
    assert taken <= counted * REAL, each
    assert taken >= counted / 4, each  # nor is memory left unused that was paid for


def test_the_process_does_not_outgrow_its_cache(port):
    size, shape = MANY * 1000, SHAPES[4]
    with Filled(port, size) as system:
        system.fill(shape, 200)
        before = system.resident()
        for start in range(3):
            system.fill(shape, MANY, first=1_000_000 * (start + 1))
            assert system.told("evicted_total") > 0
            assert system.told("bytes") <= size
            assert system.resident() - before <= size * REAL + SPARE
            system.purge()

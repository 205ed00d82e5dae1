"""What tests want to know of the processes of a running program, and on which a client is."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.wire.client import Client, request, wait_until
from tests.wire.running import Running


def children(pid: int) -> set[int]:
    """Return the living children of a process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.add(int(stat.parent.name))
    return found


def serving(system: Running) -> set[int]:
    """Return the processes that serve clients: the workers, or the one process."""
    assert system.process is not None
    return children(system.process.pid) or {system.process.pid}


def alive(pid: int) -> bool:
    """Tell whether a process runs."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def open_files(pid: int) -> int:
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Placed:
    """A client, and the process that has accepted its connection: `pid` is None if none has."""

    def __init__(self, system: Running, opened: Callable[[], Client]) -> None:
        processes = serving(system)
        before = {pid: _sockets(pid) for pid in processes}
        self.client = opened()
        found = [pid for pid in processes if _sockets(pid) - before[pid]]
        self.pid = found[0] if found else None


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(fd.readlink()))
    return found


@contextmanager
def everywhere(system: Running, opened: Callable[[], Client]) -> Iterator[list[Placed]]:
    """Open connections until there is one at least in each process that serves.

    `opened` returns when the connection has been accepted.
    """
    processes = serving(system)
    with ExitStack() as stack:
        held: list[Placed] = []
        while {one.pid for one in held} != processes:
            held.append(Placed(system, opened))
            stack.callback(held[-1].client.close)
        yield held


@contextmanager
def streams_everywhere(system: Running, channel: str) -> Iterator[list[Placed]]:
    """Hold streams, one at least in each process that serves."""
    with everywhere(system, lambda: stream(system, channel)) as held:
        yield held


def stream(system: Running, channel: str) -> Client:
    """Hold one stream of the built-in origin."""
    client = Client(system.port)
    client.send(request("GET", f"/stream?channel={channel}", "any.test"))
    assert client.head().status == 200
    assert client.piece() == b"[stream opened]\n"
    return client


def pieces(held: Iterable[Placed]) -> list[bytes | None]:
    """Read a piece from each stream."""
    return [one.client.piece() for one in held]


def content(text: str) -> dict[str, object]:
    """Return the format of an item for streams."""
    return {"http-stream": {"content": text}}


def signalled(system: Running, number: signal.Signals) -> None:
    """Send the program a signal."""
    assert system.process is not None
    system.process.send_signal(number)


def said(system: Running, text: str, *, times: int = 1) -> None:
    """Wait until the log has a text so many times."""
    wait_until(lambda: system.log().count(text) >= times, f"{text!r} in the log", seconds=20)


def ended(system: Running, *, seconds: float = 10.0) -> int:
    """Wait until the program has ended; return its exit code."""
    assert system.process is not None
    return system.process.wait(seconds)

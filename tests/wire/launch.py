"""Start what stands behind the proxy, and the proxy under test in front of it.

The proxy is ours; with GRIP_PROXY_UNDER_TEST=pushpin it is the reference, to show that what is
tested here is GRIP.
"""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import free_port
from tests.wire.client import wait_until
from tests.wire.running import Gripproxy, Pushpin, Running

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
UNDER_TEST = {"gripproxy": Gripproxy, "pushpin": Pushpin}[
    os.environ.get("GRIP_PROXY_UNDER_TEST", "gripproxy")
]
START_SECONDS = 30.0
STOP_SECONDS = 10.0

# Holding a channel for the first time makes a proxy with a SUB input ask the origin again.
WITHOUT_SUB = {"handler.push_in_sub_specs": ""}


class Program:
    """A child process that leads a session of its own, with its output in a file."""

    def __init__(self, command: Sequence[object], log: Path, **options: object) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                **options,
            )

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_to_say(self, text: str, *, times: int = 1) -> None:
        """Return when its output has `text` so many times; raise when it has ended instead."""

        def said() -> bool:
            if self.output.count(text) >= times:
                return True
            assert self.process.poll() is None, f"ended without {text!r}:\n{self.output}"
            return False

        wait_until(said, f"{text!r}", seconds=START_SECONDS)

    def wait_to_listen(self, port: int) -> None:
        """Return when something listens on `port`; raise when the program has ended instead."""

        def listening() -> bool:
            assert self.process.poll() is None, f"ended:\n{self.output}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listening, f"port {port}", seconds=START_SECONDS)

    def stop(self) -> None:
        """End it and whatever it started."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        for pid in self.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def session(self) -> set[int]:
        """What lives of the program and whatever it started."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.add(int(entry.parent.name))
        return found


@contextmanager
def program(command: Sequence[object], **options: object) -> Iterator[Program]:
    """A program, as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="wire-program-") as directory:
        running = Program(command, Path(directory, "out.log"), **options)
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def proxy(
    origin_port: int, *, route: str = "", settings: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """The proxy under test in front of one origin; `route` is further parameters of the route."""
    routes = [f"* 127.0.0.1:{origin_port},over_http{route}"]
    with UNDER_TEST(routes, settings=settings) as running:
        yield running


@contextmanager
def behind(
    command: Sequence[object], *, cwd: Path, settings: Mapping[str, str] | None = None, **env: str
) -> Iterator[tuple[Running, Program]]:
    """The proxy under test in front of an application, which learns its PORT and its GRIP_URL.

    `{port}` and `{control}` in the command become its port and the base of the control API. The
    key in GRIP_URL is the one with which the proxy signs.
    """
    port = free_port()
    with proxy(port, settings=settings) as running:
        control = f"http://127.0.0.1:{running.http_port}"
        words = [str(word).format(port=port, control=control) for word in command]
        env |= {"PORT": str(port), "GRIP_URL": f"{control}/?iss=pushpin&key=changeme"}
        with program(words, cwd=cwd, env={**os.environ, **env}) as application:
            application.wait_to_listen(port)
            yield running, application

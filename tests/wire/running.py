"""The programs under test: each is started with its own configuration, asked, and stopped.

`Pushpin` is the reference (Debian's package), `Gripproxy` is ours. Both read the same INI text and
the same routes; only the command line differs. Specification: config.md.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.ports import free_port
from tests.wire.client import Client, DeadlineError, Response, Subscriptions, request, wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 20.0
STOP_SECONDS = 5.0
START_TRIES = 5
TAKEN = re.compile("address.*in use", re.IGNORECASE)

# Hosts that no test uses: a hold through every part of the program, and a target that refuses.
PROBE = ("ready.invalid test", "ready.invalid,path_beg=/down 127.0.0.1:1")

# Section and option -> value. `{…}` in capitals is filled in; the rest is Pushpin's own notation.
DEFAULTS: Mapping[str, str] = {
    "global.include": "{libdir}/internal.conf",
    "global.rundir": "DIR/run",
    "global.ipc_prefix": "wire-",
    "global.port_offset": "0",
    "global.stats_connection_ttl": "120",
    "runner.services": "condure,zurl,pushpin-proxy,pushpin-handler",
    "runner.http_port": "127.0.0.1:CLIENT_PORT",
    "runner.logdir": "DIR/log",
    "runner.log_level": "2",
    "runner.client_buffer_size": "8192",
    # a tenth of it is the size of the origin pool: each scenario has a host of its own
    "runner.client_maxconn": "10000",
    "runner.condure_bin": "condure",
    "runner.zurl_bin": "zurl",
    "proxy.routesfile": "routes",
    "proxy.debug": "false",
    "proxy.auto_cross_origin": "false",
    "proxy.sig_iss": "pushpin",
    "proxy.sig_key": "changeme",
    "proxy.updates_check": "off",
    # Debian's zurl is a service of its own; here it is a part, with sockets beside the others
    "proxy.zurl_out_specs": "ipc://{rundir}/{ipc_prefix}zurl-in",
    "proxy.zurl_out_stream_specs": "ipc://{rundir}/{ipc_prefix}zurl-in-stream",
    "proxy.zurl_in_specs": "ipc://{rundir}/{ipc_prefix}zurl-out",
    "handler.push_in_spec": "tcp://127.0.0.1:PULL_PORT",
    "handler.push_in_sub_specs": "tcp://127.0.0.1:SUB_PORT",
    "handler.push_in_sub_connect": "false",
    "handler.push_in_http_addr": "127.0.0.1",
    "handler.push_in_http_port": "HTTP_PORT",
    "handler.stats_spec": "ipc://{rundir}/{ipc_prefix}stats",
    "handler.command_spec": "tcp://127.0.0.1:COMMAND_PORT",
    "handler.message_rate": "0",
    "handler.message_hwm": "0",
    "handler.message_wait": "5000",
    "handler.id_cache_ttl": "60",
    "handler.connection_subscription_max": "20",
    "handler.subscription_linger": "60",
    "handler.stats_subscription_ttl": "60",
    "handler.stats_report_interval": "10",
    "handler.stats_format": "tnetstring",
}


class StartError(Exception):
    """The program did not begin to serve; the message ends with what it logged."""


def available(name: str) -> bool:
    """Say whether the program is installed."""
    return shutil.which(name) is not None


class Running:
    """One program with its own directory and ports. Use it in a `with`, or call start and stop."""

    name = "?"

    def __init__(
        self,
        routes: Sequence[str],
        *,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.routes = tuple(routes)
        self.settings = dict(settings or {})
        self.arguments = tuple(arguments)
        self.process: subprocess.Popen[bytes] | None = None
        self.watch: Subscriptions | None = None
        self.bugs: list[str] = []  # what it has logged of its own
        self.directory = Path()
        self.port = self.zmq_port = self.http_port = self.sub_port = self.command_port = 0
        self.metrics_port = 0  # for those who set it

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, error: object, *rest: object) -> None:
        self.stop()
        assert error is not None or not self.bugs, "\n".join(self.bugs)

    # Life

    def command(self) -> list[str]:
        """Return the command line that runs the program with `self.directory`'s configuration."""
        raise NotImplementedError

    def start(self) -> None:
        """Start, and return when requests, holds and publishing get through. Raises StartError."""
        for left in reversed(range(START_TRIES)):
            try:
                self._launch()
                self._await_ready()
            except StartError as error:
                self.stop()
                # Somebody took a port in the meantime.
                if not left or TAKEN.search(str(error)) is None:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                self.watch = Subscriptions(self.sub_port)
                return

    def stop(self) -> None:
        """End the program: SIGTERM, and SIGKILL for what is left of it after a while."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None
        if self.process is not None:
            left = self._session()
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
            for pid in left & self._session():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.bugs += [line for line in self.log().splitlines() if "Traceback " in line]
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = Path()

    def write_routes(self, lines: Sequence[str]) -> None:
        """Write the routes file; a running program reads it again by itself after a second."""
        text = "".join(f"{line}\n" for line in (*lines, *PROBE))
        (self.directory / "routes").write_text(text)

    def configuration(self) -> str:
        """Return the INI text: the defaults with the settings of this instance."""
        sections: dict[str, list[str]] = {}
        for name, value in {**DEFAULTS, **self.settings}.items():
            section, option = name.split(".", 1)
            sections.setdefault(section, []).append(f"{option}={self._filled(value)}")
        return "\n\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in sections.items())

    # What tests ask of it

    @property
    def stats_spec(self) -> str:
        """The endpoint of the stats socket."""
        return f"ipc://{self.directory}/run/wire-stats"

    def publish(self, items: object) -> Response:
        """Publish items by HTTP in one batch, in order, and return the answer."""
        body = json.dumps({"items": items}).encode()
        with Client(self.http_port) as client:
            client.send(request("POST", "/publish/", "control", body=body))
            return client.response()

    def log(self) -> str:
        """Return everything that the program has written so far."""
        files = [self.directory / "out.log", *sorted((self.directory / "log").glob("*.log"))]
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    def subscribed(self, channel: str, *, times: int = 1, seconds: float = 5.0) -> None:
        """Wait until holds or WebSockets have subscribed to the channel so many times."""
        assert self.watch is not None
        watch, needle = self.watch, f" channel={channel}"

        def ready() -> bool:
            if times == 1 and watch.saw(b"\x01" + channel.encode()):
                return True
            lines = (line for line in self.log().splitlines() if "subscribe " in line)
            return sum(line.removesuffix(" retry").endswith(needle) for line in lines) >= times

        wait_until(ready, f"{times} subscriptions to {channel}", seconds=seconds)

    # Inside

    def _launch(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"wire-{self.name}-"))
        for name in ("run", "log"):
            (self.directory / name).mkdir()
        self.port, self.zmq_port, self.http_port, self.sub_port, self.command_port = (
            free_port() for _ in range(5)
        )
        self.metrics_port = free_port()
        (self.directory / "pushpin.conf").write_text(self.configuration() + "\n")
        self.write_routes(self.routes)
        with (self.directory / "out.log").open("ab") as out:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=ROOT,
                start_new_session=True,
            )

    def _filled(self, value: str) -> str:
        ports = {
            "CLIENT_PORT": self.port,
            "PULL_PORT": self.zmq_port,
            "HTTP_PORT": self.http_port,
            "SUB_PORT": self.sub_port,
            "COMMAND_PORT": self.command_port,
            "METRICS_PORT": self.metrics_port,
            "DIR": self.directory,
        }
        for name, filling in ports.items():
            value = value.replace(name, str(filling))
        return value

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        for probe in (self._control_answers, self._hold_begins, self._origin_is_asked):
            while not probe():
                assert self.process is not None
                status = self.process.poll()
                if status is not None:
                    raise StartError(f"{self.name} ended with {status}:\n{self.log()}")
                if time.monotonic() > deadline:
                    raise StartError(f"{self.name}: {probe.__name__} failed:\n{self.log()}")
                time.sleep(0.02)

    def _control_answers(self) -> bool:
        return self._asks(self.http_port, "/", "control").startswith(b"HTTP/1.1 200")

    def _hold_begins(self) -> bool:
        return b"[stream opened]" in self._asks(self.port, "/stream", "ready.invalid")

    def _origin_is_asked(self) -> bool:
        return self._asks(self.port, "/down", "ready.invalid").startswith(b"HTTP/1.1 502")

    def _asks(self, port: int, path: str, host: str) -> bytes:
        """Return what came for one request until it looks whole; empty if nothing did."""
        try:
            with Client(port, seconds=0.5) as client:
                client.send(request("GET", path, host))
                return client.until(b"\n\r\n", b"[stream opened]" if "stream" in path else b"")
        except (OSError, EOFError, DeadlineError):
            return b""

    def _session(self) -> set[int]:
        """Return the living processes of the session that the program leads."""
        assert self.process is not None
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, _, _, session = (
                        (entry / "stat").read_text().rsplit(")", 1)[1].split()[:4]
                    )
                except (OSError, ValueError):
                    continue
                if int(session) == self.process.pid and state != "Z":
                    found.add(int(entry.name))
        return found


class Pushpin(Running):
    """The reference."""

    name = "pushpin"

    def command(self) -> list[str]:
        return ["pushpin", f"--config={self.directory}/pushpin.conf", *self.arguments]


class Gripproxy(Running):
    """Ours, as the interpreter that runs the tests would run it."""

    name = "gripproxy"

    def command(self) -> list[str]:
        configuration = f"{self.directory}/pushpin.conf"
        return [
            sys.executable,
            "-m",
            "gripproxy",
            "run",
            "--config",
            configuration,
            *self.arguments,
        ]

"""The process that is started: sockets, signals, routes, workers (layout.md, *Processes*).

With one worker everything is in this process. With more it has the control role, binds a socket
for each worker, starts them, restarts one that dies, and hands every released item to all.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from gripproxy import runtime
from gripproxy.config import Config
from gripproxy.logs import Lines
from gripproxy.processes import Parent, Single, Start
from gripproxy.protocol.routesfile import RoutesFile, parse

log = logging.getLogger("gripproxy")

# A changed routes file is read so long after the change (routes.md 9).
RELOAD_SECONDS = 1.0


def run(start: Start, target: runtime.LogTarget) -> int:
    """Serve until a signal ends it; return the exit code."""
    raise_file_limit()
    runtime.settle_collector()
    with asyncio.Runner(loop_factory=runtime.loop_factory()) as runner:

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

    def __init__(self, start: Start, target: runtime.LogTarget) -> None:
        self._start = start
        self._config = start.config
        self._lines: Lines | None = target.lines(asyncio.get_running_loop())
        self._stop = asyncio.Event()
        self._role: Single | Parent | None = None
        self._watched: tuple[int, int, int] | None = None

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._stop_now)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        loop.add_signal_handler(signal.SIGUSR1, self._summarise)
        loop.add_signal_handler(signal.SIGUSR2, lambda: None)
        tasks = runtime.Tasks(loop)
        make = Single if workers(self._config) == 1 else Parent
        role = self._role = make(self._start, runtime.Clock(loop), tasks, self._lines)
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
        runtime.reopen_logs()
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

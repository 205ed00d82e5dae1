"""The process that is started: signals, the routes file, the beginning and the end.

Specification: config.md 6, routes.md 9. What serves is `single` or `parent`.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from gripproxy import runtime
from gripproxy.errors import ConfigError
from gripproxy.logs import Lines
from gripproxy.parent import Parent
from gripproxy.plan import Start, worker_count
from gripproxy.protocol import routesfile
from gripproxy.protocol.routesfile import RoutesFile
from gripproxy.single import Single

log = logging.getLogger("gripproxy")

# A changed routes file is read so long after the change (routes.md 9), when it is whole again.
RELOAD_SECONDS = 1.0
# How often it is looked at.
WATCH_SECONDS = 0.25


def run(start: Start, target: runtime.LogTarget) -> int:
    """Serve until a signal ends it; return the exit code.

    Raises:
        ListenError: an input cannot be opened.
        WorkerError: a worker does not start.
    """
    runtime.raise_file_limit()
    runtime.settle_collector()
    with asyncio.Runner(loop_factory=runtime.loop_factory()) as runner:

        async def serve() -> int:
            return await _Supervisor(start, target).serve()

        return runner.run(serve())


class _Supervisor:
    """One run of the program."""

    def __init__(self, start: Start, target: runtime.LogTarget) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._start = start
        self._config = start.config
        self._lines: Lines | None = target.lines(loop)
        self._tasks = runtime.Tasks(loop)
        self._stop = asyncio.Event()
        self._stamp = start.routes_stamp
        make = Single if worker_count(start.config.runner) == 1 else Parent
        self._role = make(start, runtime.Clock(loop), self._tasks, self._lines)

    async def serve(self) -> int:
        """Serve until a signal ends it."""
        self._take_signals()
        log.info("starting...")
        try:
            await self._role.open()
            _show(self._start.screen())
            log.info("started")
            self._tasks.start(self._watch(), name="routes file")
            await self._stop.wait()
            log.info("stopping...")
            self._start.stop_listening()
            await self._role.drain(self._config.runner.drain)
        finally:
            await self._role.close()
            await self._tasks.close()
            if self._lines is not None:
                self._lines.flush()
            self._start.close()
        log.info("stopped")
        return 0

    # Signals

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._loop.add_signal_handler(number, self._stop_now)
        self._loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self._loop.add_signal_handler(signal.SIGUSR1, self._summarise)
        self._loop.add_signal_handler(signal.SIGUSR2, lambda: None)

    def _stop_now(self) -> None:
        if self._stop.is_set():  # a second signal: at once; workers die with us
            if self._lines is not None:
                self._lines.flush(patience=0)
            self._start.close()
            os._exit(0)
        self._stop.set()

    def _hang_up(self) -> None:
        log.info("reloading")
        runtime.reopen_logs()
        self._role.hang_up()
        self._tasks.start(self._reload(), name="reload")

    def _summarise(self) -> None:
        self._tasks.start(self._say_summary(), name="summary")

    async def _say_summary(self) -> None:
        log.info("summary: %s", await self._role.summary())

    # Routes

    async def _watch(self) -> None:
        """Read the routes file again, a second after it has changed."""
        path = self._start.routes_path
        while path is not None:
            await asyncio.sleep(WATCH_SECONDS)
            if stamp(path) != self._stamp:
                log.info("routes file changed, reloading")
                await asyncio.sleep(RELOAD_SECONDS)
                await self._reload()

    async def _reload(self) -> None:
        path = self._start.routes_path
        if path is None:
            return
        self._stamp = stamp(path)
        try:
            routes = read_routes(path)
        except ConfigError as error:
            log.warning("%s; the old routes stay", error.text)
            return
        if routes.errors and not self._config.proxy.routes_partial_reload:
            more = f" (and {len(routes.errors) - 1} more errors)" if len(routes.errors) > 1 else ""
            log.error("%s%s; the old routes stay", routes.errors[0], more)
            return
        await self._role.use_routes(routes)
        say_routes(routes)


def _show(text: str) -> None:
    """Write to standard output, if anybody is there."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp | None:
    """Return what changes when a file does; None if it is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_routes(path: Path) -> RoutesFile:
    """Read a routes file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except (OSError, ValueError) as error:
        reason = f"unable to open routes file: {path}: {runtime.reason_of(error)}"
        raise ConfigError("[proxy] routesfile", reason) from error
    return routesfile.parse(text, str(path), read_file)


def read_file(path: str) -> bytes:
    """Return a file's bytes: what the routes' keys and certificates are read with."""
    return Path(path).read_bytes()


def say_routes(routes: RoutesFile) -> None:
    """Log what a routes file came to."""
    for error in routes.errors:
        log.error("%s", error)
    for warning in routes.warnings:
        log.warning("%s", warning)
    log.info("routes loaded with %d entries", len(routes.routes))
    for line in routesfile.by_domain(routes.routes):
        log.debug("%s", line)

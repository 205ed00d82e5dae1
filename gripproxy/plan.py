"""What a start was asked for: read, found good, and bound."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gripproxy import runtime, sockets
from gripproxy.config import Config
from gripproxy.options import Runner
from gripproxy.protocol.routesfile import RoutesFile
from gripproxy.rundir import PidFile


@dataclass(kw_only=True)
class Start:
    """What a start was asked for, read and found good."""

    config: Config
    routes: RoutesFile
    routes_path: Path | None  # None: from the command line, never read again
    routes_stamp: tuple[int, int, int] | None  # of the file when it was read
    screen: Callable[[], str]
    log_path: str = ""  # empty: standard output
    pid_file: PidFile | None = None
    clients: list[sockets.Listener] = field(default_factory=list)
    control: sockets.Listener | None = None
    metrics: sockets.Listener | None = None

    @property
    def metrics_socket(self) -> socket.socket | None:
        """The bound socket of the metrics port, if there is one."""
        return self.metrics.sockets[0] if self.metrics is not None else None

    @property
    def control_socket(self) -> socket.socket | None:
        """The bound socket of the control port, if there is one."""
        return self.control.sockets[0] if self.control is not None else None

    def stop_listening(self) -> None:
        """Close what clients connect to: the kernel must not queue any more of them."""
        for listener in self.clients:
            listener.close()

    def close(self) -> None:
        """Close everything, and leave no file behind."""
        self.stop_listening()
        for listener in (self.control, self.metrics):
            if listener is not None:
                listener.close()
        if self.pid_file is not None:
            self.pid_file.remove()
            self.pid_file = None


def worker_count(runner: Runner) -> int:
    """Return how many worker processes a configuration asks for."""
    return runner.workers or runtime.core_count()


def client_max(config: Config) -> int:
    """Return how many client connections there may be, in all processes together."""
    connections, requests = config.runner.client_maxconn, config.proxy.max_open_requests
    return min(connections, requests) if requests else connections

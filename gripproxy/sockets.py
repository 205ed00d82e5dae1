"""Listening sockets, bound before anything else is done: a port that is taken ends a start.

Specification: config.md 3.2, 6.4. A worker has a socket of its own on the same port
(`SO_REUSEPORT`), which outlives it: what the kernel has queued there its successor serves.
"""

import errno
import grp
import os
import pwd
import socket
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path

from gripproxy.errors import ConfigError, ListenError
from gripproxy.kinds import UnixEndpoint
from gripproxy.options import Runner

BACKLOG = 4096

_REASONS = {
    errno.EADDRINUSE: "address already in use",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "no such address on this machine",
}


@dataclass
class Listener:
    """One endpoint for clients: a socket for each worker."""

    option: str
    endpoint: str
    sockets: list[socket.socket] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    path: str = ""  # of a Unix socket, removed at the end

    def close(self) -> None:
        """Close the sockets, and remove a Unix socket's file."""
        for sock in self.sockets:
            sock.close()
        if self.path:
            Path(self.path).unlink(missing_ok=True)


def tcp(option: str, host: str, port: int, count: int = 1, *, fix: str = "") -> Listener:
    """Bind a TCP port, once for each of `count` workers.

    Raises:
        ListenError: it cannot be bound; names the option and the fix.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shown = f"[{host}]:{port}" if family is socket.AF_INET6 else f"{host}:{port}"
    listener = Listener(option, shown)
    try:
        # Alone first: with SO_REUSEPORT a port that another program has would go unnoticed.
        first = _bound(family, host, port, shared=False)
        if count == 1:
            listener.sockets.append(first)
            return listener
        port = first.getsockname()[1]
        first.close()
        listener.sockets = [_bound(family, host, port, shared=True) for _ in range(count)]
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, os.strerror(error.errno or 0))
        raise ListenError(option, shown, reason, fix) from error
    return listener


def _bound(family: int, host: str, port: int, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def unix(option: str, path: str, *, mode: int | None, owner: tuple[int, int]) -> Listener:
    """Bind a Unix socket; a file that is a socket already is replaced (config.md 3.2).

    `owner` is user and group id, -1 for those of the process. Raises `ListenError`.
    """
    listener = Listener(option, path, path=path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
        sock.settimeout(0)
        sock.bind(path)
        if mode is not None:
            os.chmod(path, mode)
        if owner != (-1, -1):
            os.chown(path, *owner)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ListenError(option, path, os.strerror(error.errno or 0)) from error
    listener.sockets.append(sock)
    return listener


def clients(runner: Runner, *, count: int) -> list[Listener]:
    """Bind every endpoint for clients, once for each of `count` workers.

    Raises:
        ListenError: one cannot be bound.
        ConfigError: there is none, or one names a user that does not exist.
    """
    found = [
        tcp("[runner] http_port", end.host, end.port, count, fix="set another with --port")
        for end in runner.http_port
    ]
    found += [
        unix("[runner] local_ports", end.path, mode=end.mode, owner=_owner(end))
        for end in runner.local_ports
    ]
    if not found:
        raise ConfigError("[runner] http_port", "no server ports configured; set one with --port")
    return found


def _owner(end: UnixEndpoint) -> tuple[int, int]:
    try:
        user = pwd.getpwnam(end.user).pw_uid if end.user else -1
        group = grp.getgrnam(end.group).gr_gid if end.group else -1
    except KeyError as error:
        raise ConfigError("[runner] local_ports", f"{end.path}: {error.args[0]}") from error
    return user, group

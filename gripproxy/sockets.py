"""Listening sockets, bound before anything else is done: a port that is taken ends a start.

Specification: config.md 3.2, 6.4. A worker has a socket of its own on the same port
(`SO_REUSEPORT`), which outlives it: what the kernel has queued there its successor serves. A Unix
socket is one for all workers.
"""

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path

from gripproxy.errors import ConfigError, ListenError
from gripproxy.kinds import Endpoint, UnixEndpoint
from gripproxy.options import Runner

BACKLOG = 4096

_REASONS = {
    errno.EADDRINUSE: "address already in use",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "no such address on this machine",
}


@dataclass(eq=False)
class Listener:
    """One endpoint: a socket for each worker, or one for all."""

    option: str
    endpoint: str
    sockets: list[socket.socket] = field(default_factory=list)
    file: tuple[Path, int] | None = None  # of a Unix socket, and its inode: removed at the end

    def of_worker(self, index: int) -> socket.socket:
        """Return the socket that a worker accepts from."""
        return self.sockets[index % len(self.sockets)]

    def close(self) -> None:
        """Close the sockets, and remove a Unix socket's file."""
        for sock in self.sockets:
            sock.close()
        if self.file is not None:
            path, number = self.file
            # Another instance may have put its own there.
            with contextlib.suppress(OSError):
                if path.stat().st_ino == number:
                    path.unlink()
            self.file = None


def tcp(option: str, where: Endpoint, count: int = 1, *, fix: str = "") -> Listener:
    """Bind a TCP port, once for each of `count` workers.

    Raises:
        ListenError: it cannot be bound; names the option and the fix.
    """
    found: list[socket.socket] = []
    try:
        first = _bound(where, shared=False)
        found.append(first)
        # Alone up to here: with SO_REUSEPORT a port that another program has would go unnoticed.
        host, port = first.getsockname()[:2]
        bound = Endpoint(host, port)
        if count > 1:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            found += [_bound(bound, shared=True) for _ in range(count - 1)]
        for sock in found:
            sock.listen(BACKLOG)
    except (OSError, ValueError) as error:
        for sock in found:
            sock.close()
        raise ListenError(option, str(where), _reason(error), fix) from error
    return Listener(option, str(bound), found)


def _bound(where: Endpoint, *, shared: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET)
    try:
        sock.setblocking(False)  # noqa: FBT003
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            # `::` takes IPv4, too, as it does in Pushpin.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(where.host != "::"))
        sock.bind((where.host, where.port))
    except OSError:
        sock.close()
        raise
    return sock


def unix(option: str, where: UnixEndpoint) -> Listener:
    """Bind a Unix socket; the file of one that nobody listens on is replaced (config.md 3.2).

    Raises:
        ListenError: it cannot be bound.
        ConfigError: its user or group does not exist.
    """
    owner = _owner(option, where)
    path = Path(where.path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        _make_room(path)
        sock.setblocking(False)  # noqa: FBT003
        sock.bind(where.path)
        file = path, path.stat().st_ino
        if where.mode is not None:
            path.chmod(where.mode)
        if owner != (-1, -1):
            os.chown(path, *owner)
        sock.listen(BACKLOG)
    except (OSError, ValueError) as error:
        sock.close()
        raise ListenError(option, where.path, _reason(error)) from error
    return Listener(option, where.path, [sock], file)


def _make_room(path: Path) -> None:
    """Remove a socket's file, unless somebody listens there."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # noqa: FBT003
        # A queue that is full says EAGAIN: somebody is there, too.
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    path.unlink()


def _owner(option: str, where: UnixEndpoint) -> tuple[int, int]:
    """Return the ids of user and group, -1 for those of the process."""
    try:
        user = pwd.getpwnam(where.user).pw_uid if where.user else -1
    except KeyError:
        raise ConfigError(option, f"{where.path}: there is no user {where.user}") from None
    try:
        group = grp.getgrnam(where.group).gr_gid if where.group else -1
    except KeyError:
        raise ConfigError(option, f"{where.path}: there is no group {where.group}") from None
    return user, group


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    return _REASONS.get(error.errno, os.strerror(error.errno))


def clients(runner: Runner, *, count: int) -> list[Listener]:
    """Bind every endpoint for clients, for `count` workers.

    Raises:
        ListenError: one cannot be bound.
        ConfigError: there is none, or one names a user that does not exist.
    """
    found: list[Listener] = []
    try:
        found.extend(
            tcp("[runner] http_port", port, count, fix="set another with --port")
            for port in runner.http_port
        )
        found.extend(unix("[runner] local_ports", path) for path in runner.local_ports)
    except BaseException:
        for listener in found:
            listener.close()
        raise
    if not found:
        text = "TLS listeners are not supported yet; set [runner] http_port, too"
        raise ConfigError("[runner] https_ports", text)
    return found

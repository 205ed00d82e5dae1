"""The directory for files of a running instance: its pid file keeps a second start away.

Specification: config.md 6.2. The file is locked as long as its process lives, so what a crash
leaves behind is no obstacle, and a pid that the system has given to another program is none.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from gripproxy.config import Config
from gripproxy.errors import ConfigError
from gripproxy.runtime import reason_of

_OPTION = "[global] rundir"


class PidFile:
    """`{rundir}/{ipc_prefix}gripproxy.pid`: the decimal pid of the parent, and a lock."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def take(cls, path: Path) -> Self:
        """Write our pid, if no other process that lives has the file.

        Raises:
            ConfigError: one has, or the file cannot be written.
        """
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except (OSError, ValueError) as error:
                raise ConfigError(_OPTION, f"cannot write {path}: {reason_of(error)}") from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                pid = os.read(fd, 20).decode("ascii", "replace").strip()
                os.close(fd)
                raise ConfigError(
                    _OPTION,
                    f"gripproxy already runs there: {path} is that of process {pid}; "
                    "write another rundir or ipc_prefix, or start with --id N",
                ) from error
            # Whoever had it may have removed it while we waited: then ours is not there.
            if _is_at(fd, path):
                os.ftruncate(fd, 0)
                os.write(fd, b"%d\n" % os.getpid())
                return cls(path, fd)
            os.close(fd)

    def remove(self) -> None:
        """Remove the file and give the lock back."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def enter(config: Config) -> PidFile | None:
    """Make the directory and take its pid file; None if the configuration names no directory.

    Raises:
        ConfigError: that cannot be done, or another instance is there.
    """
    directory = config.general.rundir
    if not directory:
        return None
    try:
        os.makedirs(directory, exist_ok=True)
    except (OSError, ValueError) as error:
        text = f"failed to create directory: {directory}: {reason_of(error)}"
        raise ConfigError(_OPTION, text) from error
    return PidFile.take(Path(directory, f"{config.general.ipc_prefix}gripproxy.pid"))

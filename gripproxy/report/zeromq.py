"""The statistics socket: packets out, to whoever subscribes (stats.md 1, 10).

On the wire it is a PUB socket. Here it is an XPUB, which sees subscriptions, so that no packet
has to be made that nobody reads.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable
from pathlib import Path

import zmq

from gripproxy.errors import ListenError
from gripproxy.protocol import statspackets
from gripproxy.protocol.statspackets import Format, Kind, Packet

OPTION = "[handler] stats_spec"

# Packets that may wait for one subscriber; more are dropped for it alone. Pushpin's number.
SEND_HWM = 200_000

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0


class StatsSocket:
    """The bound socket. `changed` is called when other kinds of packets are read than before."""

    def __init__(
        self,
        spec: str,
        *,
        sender: str,
        form: Format,
        ipc_file_mode: int | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.wanted: frozenset[Kind] = frozenset()
        self._spec = spec
        self._sender = sender
        self._form = form
        self._ipc_file_mode = ipc_file_mode
        self._changed = changed
        self._prefixes: set[bytes] = set()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes]
        self._loop: asyncio.AbstractEventLoop
        self._file: tuple[Path, int] | None = None

    def __repr__(self) -> str:
        return f"<StatsSocket {self._spec} {len(self._prefixes)} subscriptions>"

    def open(self) -> None:
        """Bind the socket.

        Raises:
            ListenError: it cannot be bound. Nothing is left open then.
        """
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(zmq.XPUB)
        try:
            socket.setsockopt(zmq.SNDHWM, SEND_HWM)
            socket.setsockopt(zmq.LINGER, 0)
            # With it `*` would be all IPv6 addresses, too.
            if "[" in self._spec:
                socket.setsockopt(zmq.IPV6, 1)
            self._bind()
        except BaseException:
            self._context.destroy(linger=0)
            self._context = None
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(socket.FD, self._read)
        self._read()

    def _bind(self) -> None:
        spec = self._spec
        try:
            self._socket.bind(spec)
        except zmq.ZMQError as error:
            taken = error.errno == errno.EADDRINUSE
            fix = "set another with --set handler.stats_spec=ENDPOINT" if taken else ""
            raise ListenError(OPTION, spec, _reason(error), fix) from error
        # A path that begins with `@` is no file.
        if spec.startswith("ipc://") and not spec.startswith("ipc://@"):
            path = Path(spec.removeprefix("ipc://"))
            try:
                self._file = path, path.stat().st_ino
                if self._ipc_file_mode is not None:
                    path.chmod(self._ipc_file_mode)
            except OSError as error:
                reason = f"unable to set permissions: {_reason(error)}"
                raise ListenError(OPTION, spec, reason) from error

    def send(self, packets: Iterable[Packet]) -> None:
        """Send those packets that somebody reads."""
        if self._context is None:
            return
        sent = False
        for packet in packets:
            if packet.kind in self.wanted:
                frame = statspackets.encode(packet, self._sender, self._form)
                # Never waits: beyond the mark the library drops.
                self._socket.send(frame, zmq.NOBLOCK)
                sent = True
        if sent:
            # The descriptor speaks once, and any use of the socket may swallow its word.
            self._read()

    def _read(self) -> None:
        """Take subscriptions, until there are none."""
        prefixes = self._prefixes
        while True:
            try:
                message = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if message[:1] == bytes((_SUBSCRIBE,)):
                prefixes.add(message[1:])
            elif message[:1] == bytes((_UNSUBSCRIBE,)):
                prefixes.discard(message[1:])
        wanted = frozenset(kind for kind in Kind if _is_read(kind.topic, prefixes))
        if wanted != self.wanted:
            self.wanted = wanted
            self._changed()

    def close(self) -> None:
        """Close the socket; what waits is dropped."""
        if self._context is None:
            return
        self._loop.remove_reader(self._socket.FD)
        self._context.destroy(linger=0)
        self._context = None
        self.wanted = frozenset()
        # The library leaves the file; one that has been bound anew since is not ours any more.
        if self._file is not None:
            path, number = self._file
            if path.exists() and path.stat().st_ino == number:
                path.unlink()


def _is_read(topic: bytes, prefixes: Iterable[bytes]) -> bool:
    """Tell whether packets that begin with a topic go to somebody; a prefix may be longer."""
    return any(topic.startswith(prefix) or prefix.startswith(topic) for prefix in prefixes)


def _reason(error: OSError | zmq.ZMQError) -> str:
    """Return what the system says, as part of a sentence."""
    text = zmq.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]

"""Purges between a parent and its workers, and the word that says how far they are.

Design: cache-and-purge.md, *What crosses processes*. A purge is numbered, written to the pair of
sockets of every worker, and then its number is stored in a page of memory that all share. From
that moment on a worker has applied it or cannot serve without applying it: `level` compares the
word with what was applied, and reads the pair if they differ. So nobody waits for a slow worker.
"""

import asyncio
import contextlib
import mmap
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from gripproxy.cluster.wire import Decoder, Message, Value, encode
from gripproxy.errors import PacketError

PAGE_BYTES = 4096
# One read of a pair.
READ_BYTES = 262_144
# What may wait for a worker that does not read; one so far behind is ended.
PENDING_MAX = 64 * 1024 * 1024

Apply = Callable[[list[Value]], None]


class Page:
    """A page of memory that the parent writes and all read: the number of the last purge."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, PAGE_BYTES)
        # Eight aligned bytes are written and read in one step.
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls) -> "Page":
        """Make a page that worker processes can be given."""
        fd = os.memfd_create("gripproxy", 0)
        os.ftruncate(fd, PAGE_BYTES)
        return cls(fd)

    @property
    def word(self) -> int:
        """The number of the last purge that every worker has been sent."""
        return self._words[0]

    @word.setter
    def word(self, number: int) -> None:
        self._words[0] = number

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._map.close()
        with contextlib.suppress(OSError):
            os.close(self.fd)


class Level:
    """A worker's side: applies purges as they come, at the latest before it serves."""

    def __init__(
        self, sock: socket.socket, page: Page, apply: Apply, lost: Callable[[], None]
    ) -> None:
        sock.setblocking(False)  # noqa: FBT003
        self._sock = sock
        self._page = page
        self._apply = apply
        self._lost = lost
        self._decoder = Decoder()
        self._loop = asyncio.get_running_loop()
        # What came before this worker began is about what it never stored.
        self.applied = page.word
        self.broken = False
        self._loop.add_reader(sock.fileno(), self.read)

    def level(self) -> bool:
        """Tell whether every purge that anyone was told of has been applied here."""
        # hot: the usual case is one comparison, on every look-up (bench/caching.py, cache-hit-1k).
        if self.applied == self._page.word:
            return not self.broken
        self.read()
        return self.applied == self._page.word and not self.broken

    def read(self) -> None:
        """Apply what has come, without waiting."""
        while not self.broken:
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._break()
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            for kind, values in self._decoder.feed(data):
                number = values[0] if values else None
                if kind is not Message.PURGE or not isinstance(number, int):
                    raise PacketError("not a purge")
                if number > self.applied:
                    self._apply(values[1:])
                    self.applied = number
        except PacketError:
            self._break()

    def _break(self) -> None:
        """The parent is gone: from now on nothing stored may be believed."""
        if not self.broken:
            self.broken = True
            self._loop.remove_reader(self._sock.fileno())
            self._lost()

    def close(self) -> None:
        """Stop reading."""
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()


@dataclass(eq=False, slots=True)
class _Out:
    """The parent's end of one worker's pair, and what the kernel did not take."""

    sock: socket.socket
    hopeless: Callable[[], None]
    waiting: bytearray = field(default_factory=bytearray)


class Purges:
    """The parent's side: numbers purges and sends them to every worker."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._outs: dict[socket.socket, _Out] = {}

    def join(self, sock: socket.socket, hopeless: Callable[[], None]) -> None:
        """Add a worker's pair; `hopeless` is called if it does not read."""
        sock.setblocking(False)  # noqa: FBT003
        self._outs[sock] = _Out(sock, hopeless)

    def leave(self, sock: socket.socket) -> None:
        """Forget a worker's pair."""
        out = self._outs.pop(sock, None)
        if out is not None:
            if out.waiting:
                self._loop.remove_writer(sock.fileno())
            sock.close()

    def send(self, *values: Value) -> int:
        """Send a purge to all; from the return on none serves without having applied it."""
        self._number += 1
        data = encode(Message.PURGE, self._number, *values)
        for out in list(self._outs.values()):
            self._write(out, data)
        self._page.word = self._number
        return self._number

    def _write(self, out: _Out, data: bytes) -> None:
        if out.waiting:
            out.waiting += data
        else:
            try:
                sent = out.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # it is dying; its end is seen elsewhere
            if sent < len(data):
                out.waiting += data[sent:]
                self._loop.add_writer(out.sock.fileno(), self._flush, out)
        if len(out.waiting) > PENDING_MAX:
            out.hopeless()

    def _flush(self, out: _Out) -> None:
        try:
            sent = out.sock.send(out.waiting)
        except BlockingIOError:
            return
        except OSError:
            sent = len(out.waiting)
        del out.waiting[:sent]
        if not out.waiting:
            self._loop.remove_writer(out.sock.fileno())

"""Many clients at once, and an origin that has no thread for each of them.

`CrowdOrigin` keeps every request that comes until it is told to answer; so a test sees how many
are with the origin at the same time. `crowd` makes the clients.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from tests.wire.client import Client, wait_until

BACKLOG = 4096


class CrowdOrigin:
    """An origin in one thread: requests without bodies come, and wait for `answer`.

    `heads` are the heads of all requests so far; `waiting` counts those not answered.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = int(self._socket.getsockname()[1])
        self._waiting: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the thread
        self._thread.join()
        self._socket.close()

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer."""
        with self._lock:
            return len(self._waiting)

    def wait_for(self, count: int, *, seconds: float = 20.0) -> None:
        """Wait until so many requests wait at the same time. Raises DeadlineError."""
        wait_until(lambda: self.waiting >= count, f"{count} requests at once", seconds=seconds)

    def answer(self, answer: bytes) -> int:
        """Answer all that wait; return how many that were."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for sock in waiting:
            with contextlib.suppress(OSError):
                sock.sendall(answer)
        return len(waiting)

    def _serve(self) -> None:
        heads: dict[socket.socket, bytes] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while not self._over:
                for key, _ in selector.select():
                    if key.fileobj is self._socket:
                        sock, _ = self._socket.accept()
                        selector.register(sock, selectors.EVENT_READ)
                        heads[sock] = b""
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        self._take(key.fileobj, heads, selector)
        for sock in heads:
            sock.close()

    def _take(
        self,
        sock: socket.socket,
        heads: dict[socket.socket, bytes],
        selector: selectors.BaseSelector,
    ) -> None:
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            selector.unregister(sock)
            del heads[sock]
            sock.close()
            return
        *whole, heads[sock] = (heads[sock] + data).split(b"\r\n\r\n")
        with self._lock:
            self.heads += whole
            self._waiting += [sock] * len(whole)


@contextmanager
def crowd(port: int, count: int, asked: bytes, *, seconds: float = 20.0) -> Iterator[list[Client]]:
    """Connect so many clients, and have all of them send the same."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(port, seconds=seconds)) for _ in range(count)]
        for client in clients:
            client.send(asked)
        yield clients

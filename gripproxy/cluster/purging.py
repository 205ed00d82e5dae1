"""The parent's side of purges: numbered, sent to every worker, and believed (`cluster.level`).

When `send` returns, every worker has applied the purge or cannot serve from its cache without
applying it. Nobody waits: what a worker does not read is kept for it, and one that is ten seconds
behind is ended. Only a receipt, which counts what was stored, waits a second for counts.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from gripproxy.cluster.level import Named, Page, pack
from gripproxy.cluster.wire import Message, Value, encode
from gripproxy.flow.ports import Receipt

# How long a receipt waits for the counts of workers.
RECEIPT_SECONDS = 1.0
# A worker that has not applied a purge after so many looks, one each interval, is ended. Looks are
# counted and not seconds: where the whole machine was stopped nobody is behind.
LOOKS = 10
LOOK_SECONDS = 1.0
# Bytes that may wait for a worker that does not read.
PENDING_MAX = 64 * 1024 * 1024

Hopeless = Callable[[str], None]


@dataclass(eq=False, slots=True)
class _Out:
    """One worker's pair, what the kernel did not take yet, and how far the worker is."""

    sock: socket.socket
    hopeless: Hopeless
    applied: int | None = None  # None: it has not begun, and stores nothing
    waiting: bytearray = field(default_factory=bytearray)
    given_up: bool = False


class Purges:
    """Sends purges to all workers. Workers are known by their links."""

    def __init__(self, page: Page, loop: asyncio.AbstractEventLoop) -> None:
        self._page = page
        self._loop = loop
        self._number = page.word
        self._outs: dict[Hashable, _Out] = {}
        self._counting: dict[int, _Counting] = {}
        self._seen: deque[int] = deque(maxlen=LOOKS)  # the last number, at each look
        self._look: asyncio.TimerHandle | None = None

    # Workers come and go

    def join(self, worker: Hashable, sock: socket.socket, hopeless: Hopeless) -> None:
        """Add a worker by its pair; `hopeless` is told why it is to be ended."""
        sock.setblocking(False)  # noqa: FBT003
        self._outs[worker] = _Out(sock, hopeless)

    def leave(self, worker: Hashable) -> None:
        """Forget a worker: what it has stored is gone with it."""
        out = self._outs.pop(worker, None)
        if out is not None:
            self._forget_waiting(out)
            out.sock.close()
            for counting in list(self._counting.values()):
                counting.counted(worker, 0)

    def applied(self, worker: Hashable, number: int, counts: Sequence[Value]) -> None:
        """Take note of how far a worker is, and of how much it had of what was to be counted."""
        out = self._outs.get(worker)
        if out is None:
            return
        out.applied = number
        for told in counts:
            match told:
                case [int(purge), int(count)] if purge in self._counting:
                    self._counting[purge].counted(worker, count)

    # Purges

    def send(self, purges: Sequence[Named], *, counted: bool = False) -> int:
        """Send purges; when it returns none of what they name is served.

        Returns the number of the last one.
        """
        data = bytearray()
        for purge, names in purges:
            self._number += 1
            if purge.settle:
                self._page.settle(self._loop.time() + purge.settle)
            data += encode(Message.PURGE, self._number, counted, *pack(purge, names))
        for out in list(self._outs.values()):
            self._write(out, bytes(data))
        # Not before: whoever sees the number must find the purge.
        self._page.word = self._number
        if self._look is None:
            self._look = self._loop.call_later(LOOK_SECONDS, self._look_for_the_slow)
        return self._number

    async def count(self, named: Named) -> Receipt:
        """Send a purge as `send` does; wait a little for how many stored responses it was."""
        workers = {key for key, out in self._outs.items() if out.applied is not None}
        number = self.send([named], counted=True)
        counting = self._counting[number] = _Counting(workers, self._loop)
        try:
            async with asyncio.timeout(RECEIPT_SECONDS):
                await counting.done
        except TimeoutError:
            pass  # it is done all the same
        finally:
            del self._counting[number]
        return Receipt(counting.purged, len(counting.workers))

    def done(self, worker: Hashable, number: int) -> None:
        """Let a worker know that what it has asked for has been sent."""
        out = self._outs.get(worker)
        if out is not None:
            self._write(out, encode(Message.PURGED, number))

    def __len__(self) -> int:
        """The number of workers."""
        return len(self._outs)

    # Pairs of sockets

    def _write(self, out: _Out, data: bytes) -> None:
        if out.given_up:
            return
        if out.waiting:
            out.waiting += data
        else:
            sent = self._sent(out, data)
            if sent < len(data):
                out.waiting += data[sent:]
                self._loop.add_writer(out.sock.fileno(), self._flush, out)
        if len(out.waiting) > PENDING_MAX:
            self._give_up(out, f"{len(out.waiting)} bytes of purges wait for it")

    def _flush(self, out: _Out) -> None:
        del out.waiting[: self._sent(out, out.waiting)]
        if not out.waiting:
            self._loop.remove_writer(out.sock.fileno())

    def _sent(self, out: _Out, data: bytes | bytearray) -> int:
        """Return how many bytes the kernel has taken."""
        try:
            return out.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # it is dying, which is seen elsewhere

    def _forget_waiting(self, out: _Out) -> None:
        if out.waiting:
            self._loop.remove_writer(out.sock.fileno())
            out.waiting.clear()

    def _give_up(self, out: _Out, why: str) -> None:
        out.given_up = True
        self._forget_waiting(out)
        out.hopeless(why)

    def _look_for_the_slow(self) -> None:
        """End workers that are far behind, and look again as long as any is behind at all."""
        self._look = None
        begun = [out for out in self._outs.values() if out.applied is not None]
        if len(self._seen) == LOOKS:
            for out in begun:
                if not out.given_up and (out.applied or 0) < self._seen[0]:
                    self._give_up(
                        out, f"it is {LOOKS * LOOK_SECONDS:g} seconds behind with purges"
                    )
        if all((out.applied or 0) >= self._number for out in begun):
            self._seen.clear()
            return
        self._seen.append(self._number)
        self._look = self._loop.call_later(LOOK_SECONDS, self._look_for_the_slow)

    def close(self) -> None:
        """Forget all workers."""
        if self._look is not None:
            self._look.cancel()
        for worker in list(self._outs):
            self.leave(worker)


class _Counting:
    """A receipt that waits for workers."""

    def __init__(self, workers: set[Hashable], loop: asyncio.AbstractEventLoop) -> None:
        self.workers = workers  # that have not counted yet
        self.purged = 0
        self.done: asyncio.Future[None] = loop.create_future()
        if not workers:
            self.done.set_result(None)

    def counted(self, worker: Hashable, count: int) -> None:
        if worker not in self.workers:
            return
        self.workers.discard(worker)
        self.purged += count
        if not self.workers and not self.done.done():
            self.done.set_result(None)

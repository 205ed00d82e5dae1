"""How far a worker is with purges, and the word of memory that says how far it must be.

Design: cache-and-purge.md, *What crosses processes*. The parent numbers each purge, writes it to
every worker's pair of sockets (`cluster.purging`), and then stores its number in a page of memory
that all share. From that moment on a worker has applied the purge or cannot serve without
applying it: `level` compares the number with what was applied, and reads the pair if they differ.
So nobody waits for a worker that is slow, stopped, or just starting.
"""

import asyncio
import contextlib
import itertools
import mmap
import os
import socket
from collections.abc import Callable

from gripproxy.cluster.wire import Decoder, Message, Value, encode
from gripproxy.errors import PacketError
from gripproxy.protocol.caching import tags
from gripproxy.protocol.caching.tags import Tag
from gripproxy.protocol.purges import Purge

PAGE_BYTES = 4096
# One read of a pair.
READ_BYTES = 262_144

# A purge, and tags that it is about beside what it names.
Named = tuple[Purge, frozenset[Tag]]


class Page:
    """A page of memory that the parent writes and all read.

    In it are the number of the last purge, and how long the purges so far have to settle.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, PAGE_BYTES)
        # Eight aligned bytes are written and read in one step.
        self.words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls) -> "Page":
        """Make a page that worker processes can be given."""
        fd = os.memfd_create("gripproxy-purges")
        os.ftruncate(fd, PAGE_BYTES)
        return cls(fd)

    @property
    def word(self) -> int:
        """The number of the last purge that every worker has been sent."""
        return self.words[0]

    @word.setter
    def word(self, number: int) -> None:
        self.words[0] = number

    @property
    def unsettled_until(self) -> float:
        """Until when the purges so far settle, in seconds of the monotonic clock."""
        return self.words[1] / 1e9

    def settle(self, until: float) -> None:
        """Take note that a purge settles until then."""
        self.words[1] = max(self.words[1], int(until * 1e9))

    def close(self) -> None:
        """Give the memory back."""
        self.words.release()
        self._map.close()
        with contextlib.suppress(OSError):
            os.close(self.fd)


class Level:
    """A worker's side: applies purges as they come, at the latest before it serves.

    `apply` carries a purge out here and returns how many stored responses it was about. `send`
    tells the parent something. `lost` is called when the parent cannot be heard any more.
    """

    def __init__(
        self,
        sock: socket.socket,
        page: Page,
        *,
        apply: Callable[[Purge, frozenset[Tag]], int],
        send: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> None:
        sock.setblocking(False)  # noqa: FBT003
        self._sock = sock
        self._words = page.words
        self._apply = apply
        self._send = send
        self._lost = lost
        self._decoder = Decoder()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        self.broken = False
        # What came before this worker began is about what it never stored. But its origin may
        # still answer with what was before.
        self.unsettled_until = page.unsettled_until
        self.applied = page.word
        self._loop.add_reader(sock.fileno(), self.read)
        self._tell({})

    def level(self) -> bool:
        """Tell whether every purge that anyone was told of has been applied here."""
        # hot: the usual case is one comparison, 60 ns at each look-up (bench/caching.py,
        # cache-hit-1k).
        if self.applied >= self._words[0]:
            return True
        self.read()
        return self.applied >= self._words[0]

    async def purge(self, purge: Purge, names: frozenset[Tag]) -> None:
        """Have something purged in all workers; return when none serves what it takes back."""
        number = next(self._numbers)
        done = self._asked[number] = self._loop.create_future()
        self._send(encode(Message.ASK_PURGE, number, *pack(purge, names)))
        try:
            await done
        finally:
            del self._asked[number]

    def read(self) -> None:
        """Apply what has come, without waiting."""
        before, counts = self.applied, dict[int, int]()
        while not self.broken:
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._break()
                break
            self._take(data, counts)
        if self.applied > before:
            self._tell(counts)

    def _take(self, data: bytes, counts: dict[int, int]) -> None:
        try:
            for kind, values in self._decoder.feed(data):
                self._heed(kind, values, counts)
        except PacketError:
            self._break()
        except BaseException:
            self._break()  # it may not have taken back what it should have
            raise

    def _heed(self, kind: Message, values: list[Value], counts: dict[int, int]) -> None:
        match kind, values:
            case Message.PURGE, [int(number), bool(counted), *named]:
                purge, names = unpack(named)
                if number > self.applied:
                    count = self._apply(purge, names)
                    self.applied = number
                    if counted:
                        counts[number] = count
            case Message.PURGED, [int(number)]:
                self._done(number)
            case _:
                raise PacketError("not about purges")

    def _done(self, number: int) -> None:
        asked = self._asked.get(number)
        if asked is not None and not asked.done():
            asked.set_result(None)

    def _tell(self, counts: dict[int, int]) -> None:
        told: list[Value] = [[number, count] for number, count in counts.items()]
        self._send(encode(Message.APPLIED, self.applied, told))

    def _break(self) -> None:
        """Believe nothing that is stored from now on: what the parent says is not heard."""
        self.broken = True
        self.applied = -1  # behind every number
        self._loop.remove_reader(self._sock.fileno())
        self._lost()

    def close(self) -> None:
        """Read no more."""
        if not self.broken:
            self._loop.remove_reader(self._sock.fileno())
        self._sock.close()


# Purges as values of a message


def pack(purge: Purge, names: frozenset[Tag]) -> list[Value]:
    """Return a purge as the values of a message; what it names is among the tags from here on."""
    found: list[Value] = [[space, name] for space, name in tags.of_purge(purge) | names]
    items: list[Value] = [[channel, item_id] for channel, item_id in purge.items]
    return [found, purge.everything, purge.soft, purge.settle, items]


def unpack(values: list[Value]) -> Named:
    """Return the purge of a message: how, and its tags.

    Raises:
        PacketError: no purge.
    """
    match values:
        case [[*found], bool(everything), bool(soft), float() | int() as settle, [*items]]:
            purge = Purge(
                everything=everything,
                soft=soft,
                settle=float(settle),
                items=tuple([_item(item) for item in items]),
            )
            return purge, frozenset([_tag(tag) for tag in found])
        case _:
            raise PacketError("not a purge")


def _item(value: Value) -> tuple[str, str | None]:
    match value:
        case [str(channel), (str() | None) as item_id]:
            return channel, item_id
        case _:
            raise PacketError("not an item")


def _tag(value: Value) -> Tag:
    match value:
        case [str(space), bytes(name)]:
            return space, name
        case _:
            raise PacketError("not a tag")

"""A parent and its workers: items out, topics and counts back (layout.md, *Processes*).

Each worker is joined to the parent by one pair of sockets. What the parent releases goes to every
worker; a worker that holds nothing of it drops it undecoded. A worker tells which channels it
holds, and the parent tells all of them which are held anywhere, so that last ids are kept and
forgotten together.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import cast

from gripproxy.cluster.wire import Decoder, Message, Value, encode
from gripproxy.errors import CommandError, PacketError
from gripproxy.protocol import packets
from gripproxy.protocol.items import PublishItem

# How long a receipt waits for workers (cache-and-purge.md, *Purge*).
RECEIPT_SECONDS = 1.0
# Bytes that may wait for one worker; one so far behind is hopeless and is ended.
PENDING_MAX = 256 * 1024 * 1024


class Link(asyncio.Protocol):
    """One end of a pair of sockets, speaking messages.

    What comes before `begin` is kept until then: whoever is told must know the link.
    """

    def __init__(
        self,
        received: Callable[["Link", Message, list[Value]], None],
        lost: Callable[["Link"], None],
    ) -> None:
        self._early: list[tuple[Message, list[Value]]] | None = []
        self._received = received
        self._lost = lost
        self._decoder = Decoder()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, values in self._decoder.feed(data):
                if self._early is None:
                    self._received(self, kind, values)
                else:
                    self._early.append((kind, values))
        except PacketError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._early is None:
            self._lost(self)

    def begin(self) -> None:
        """Tell of what has come so far, and from now on at once."""
        early, self._early = self._early or (), None
        for kind, values in early:
            self._received(self, kind, values)
        if self.transport is None:
            self._lost(self)

    def send(self, kind: Message, *values: Value) -> None:
        """Send a message; nothing happens if the other side is gone."""
        self.write(encode(kind, *values))

    def write(self, data: bytes) -> None:
        """Send bytes that are messages already."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        # Before the write: one large item makes nobody hopeless.
        if transport.get_write_buffer_size() > PENDING_MAX:
            transport.abort()
            return
        transport.write(data)

    @property
    def lost(self) -> bool:
        """Whether there is nobody at the other end."""
        return self.transport is None

    def close(self) -> None:
        """End the link."""
        if self.transport is not None:
            self.transport.abort()


class Workers:
    """The parent's side: all workers as one.

    `topic` is told which channels become held anywhere, or are no longer; `last_id` tells what id
    a channel was last seen with.
    """

    def __init__(
        self,
        topic: Callable[[str, bool], None],
        *,
        last_id: Callable[[str], str | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._topic = topic
        self._last_id = last_id
        self._loop = loop
        self._counting = False  # whether workers have counted receivers that nobody asked for
        self._links: dict[Link, set[str]] = {}  # with the channels that each holds
        self._topics: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}

    def __contains__(self, channel: str) -> bool:
        """Tell whether any worker holds a channel."""
        return channel in self._topics

    def __len__(self) -> int:
        """The number of channels that any worker holds."""
        return len(self._topics)

    # Workers come and go

    def join(self, link: Link) -> None:
        """Add a worker: it learns which channels are held elsewhere, and their last ids."""
        self._links[link] = set()
        link.write(b"".join([self._topic_message(name, held=True) for name in self._topics]))

    def leave(self, link: Link) -> None:
        """Forget a worker; what it held is held no longer, and nobody waits for it."""
        for channel in self._links.pop(link, set()):
            self._drop(channel)
        for waiting in list(self._waiting.values()):
            waiting.answered(link, None)

    def received(self, link: Link, kind: Message, values: list[Value]) -> None:
        """Take a message of a worker."""
        match kind, values:
            case Message.HELD, [str(channel), bool(held)]:
                self._held(link, channel, held=held)
            case Message.COUNT | Message.REPLY, [int(number), *rest]:
                waiting = self._waiting.get(number)
                if waiting is not None:
                    waiting.answered(link, rest)
            case _:
                link.close()  # not of this program's version: it is started again

    def _held(self, link: Link, channel: str, *, held: bool) -> None:
        channels = self._links.get(link)
        if channels is None or (channel in channels) == held:
            return
        if held:
            channels.add(channel)
            self._topics[channel] = self._topics.get(channel, 0) + 1
            if self._topics[channel] == 1:
                self._tell(channel, held=True)
        else:
            channels.discard(channel)
            self._drop(channel)

    def _drop(self, channel: str) -> None:
        self._topics[channel] -= 1
        if not self._topics[channel]:
            del self._topics[channel]
            self._tell(channel, held=False)

    def _tell(self, channel: str, *, held: bool) -> None:
        # Before any item that is released because of it: all goes through the same links.
        self._write(self._topic_message(channel, held=held))
        self._topic(channel, held)

    def _topic_message(self, channel: str, *, held: bool) -> bytes:
        return encode(Message.TOPIC, channel, held, self._last_id(channel) if held else None)

    def _write(self, data: bytes) -> None:
        for link in self._links:
            link.write(data)

    # Items

    def release(self, items: Sequence[PublishItem]) -> int:
        """Send released items to every worker; none has a receiver in this process."""
        if self._links:
            self._counting = True
            self._write(b"".join([_packed(item) for item in items]))
        return 0

    def mark(self) -> None:
        """Have receivers counted from here on: those of what was released before are dropped."""
        if self._counting:
            self._counting = False
            self._write(encode(Message.MARK))

    async def released(self) -> int:
        """Wait until every worker has taken what was released; return receivers since `mark`."""
        self._counting = False
        replies = await self._ask(lambda number: encode(Message.SYNC, number))
        return sum(reply[0] for reply in replies if isinstance(reply[0], int))

    # Commands

    async def call(self, name: str, *arguments: Value) -> list[Value]:
        """Have every worker carry out a command; return what each said.

        Raises:
            CommandError: all of them refused it.
        """
        replies = await self._ask(
            lambda number: encode(Message.CALL, number, name, list(arguments))
        )
        refusals = [condition for _, condition in replies if isinstance(condition, str)]
        if refusals and len(refusals) == len(replies):
            raise CommandError(refusals[0])
        return [value for value, condition in replies if condition is None]

    def send(self, kind: Message, *values: Value) -> None:
        """Tell every worker something that needs no answer."""
        self._write(encode(kind, *values))

    async def _ask(self, message: Callable[[int], bytes]) -> list[list[Value]]:
        if not self._links:
            return []
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting(set(self._links), self._loop)
        self._write(message(number))
        try:
            async with asyncio.timeout(RECEIPT_SECONDS):
                await waiting.done
        except TimeoutError:
            pass  # a worker that is slow or stopped: what the others said counts
        finally:
            del self._waiting[number]
        return waiting.replies


class _Waiting:
    """A question to all workers."""

    def __init__(self, links: set[Link], loop: asyncio.AbstractEventLoop) -> None:
        self._links = links
        self.replies: list[list[Value]] = []
        self.done: asyncio.Future[None] = loop.create_future()

    def answered(self, link: Link, reply: list[Value] | None) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        if reply is not None:
            self.replies.append(reply)
        if not self._links and not self.done.done():
            self.done.set_result(None)


def _packed(item: PublishItem) -> bytes:
    message = item.message or packets.encode_item(item)
    return encode(Message.ITEM, item.channel, item.id, item.prev_id, item.no_seq, message)

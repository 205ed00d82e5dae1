"""The story of an item (layout.md, *A publish*).

1. It is accepted: decoded and valid, by whatever input it came. What it purges is taken back.
2. Doubles are dropped and early items held back (`engine.sequencer`), once per instance.
3. What is released goes to every worker, and there to the hub.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from gripproxy.engine.sequencer import Sequencer
from gripproxy.flow.ports import Clock
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.purges import Purge


class Released(Protocol):
    """Where released items go: this process's hub, or all workers."""

    def mark(self) -> None:
        """Have the receivers in other processes counted from here on."""

    def release(self, items: Sequence[PublishItem]) -> int:
        """Deliver items here; return how many receivers they have in this process."""

    async def released(self) -> int:
        """Wait until every worker has taken what was released; return receivers since `mark`."""


class Publisher:
    """Takes items in."""

    def __init__(
        self,
        sequencer: Sequencer[PublishItem],
        out: Released,
        *,
        clock: Clock,
        arm: Callable[[float], None],
        unknown_format: Callable[[str, str], None],
        purge: Callable[[Sequence[Purge]], None],
    ) -> None:
        self._sequencer = sequencer
        self._out = out
        self._clock = clock
        self._arm = arm
        self._unknown_format = unknown_format
        self._purge = purge
        self.purges_channels = False  # whether an item takes back what has its channel as a tag

    def take(self, items: Sequence[PublishItem]) -> int:
        """Take items in order; return how many receivers they have in this process."""
        now = self._clock.now()
        receivers = 0
        purges = [item.purge for item in items if item.purge is not None]
        if self.purges_channels:
            moved = tuple([(item.channel, item.id) for item in items if item.channel])
            if moved:
                purges.append(Purge(items=moved))
        if purges:
            # Before the first item of the batch goes out, and whatever becomes of the items.
            self._purge(purges)
        for item in items:
            if item.unknown_formats:
                self._unknown_format(item.channel, item.unknown_formats[0])
            released = self._sequencer.admit(item, now=now)
            if released:
                receivers += self._out.release(released)
            elif item.prev_id is not None:
                deadline = self._sequencer.next_deadline()
                if deadline is not None:
                    self._arm(deadline)
        return receivers

    async def accept(self, items: Sequence[PublishItem]) -> int:
        """Take items in; return how many receivers they have, when every worker has them."""
        self._out.mark()
        receivers = self.take(items)
        return receivers + await self._out.released()

    def expire(self, now: float) -> None:
        """Release items whose predecessors have not come in time."""
        released = self._sequencer.expire(now=now)
        if released:
            self._out.release(released)
        deadline = self._sequencer.next_deadline()
        if deadline is not None:
            self._arm(deadline)

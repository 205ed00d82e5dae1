"""What a parent and its workers say to each other, as bytes (layout.md, *Processes*).

A message is one msgpack array: its kind, then its values in the order of `Message`. A stream of
them needs no other framing.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import TypeAlias

import msgpack

from gripproxy.errors import PacketError

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[str, Value] | None"

# The most that the library takes: an item may be as large as publishers make it.
BUFFER_MAX = 2**31 - 1


class Message(IntEnum):
    """Kinds of messages and their values."""

    # Parent to worker
    ITEM = 1  # channel, id, prev-id, no-seq, the item as a packet
    SYNC = 2  # number: answer with COUNT
    MARK = 3  # count receivers from here on
    TOPIC = 4  # channel, whether any worker holds it, its last id or None
    CALL = 5  # number, name of a command, its arguments
    DRAIN = 6  # seconds
    START = 7  # everything that a worker needs to know (pickled)
    REOPEN = 8  # write to new log files
    # Parent to worker, by the pair of sockets that only purges use
    PURGE = 12  # number, whether to count, what is purged (`cluster.level`)
    PURGED = 13  # number that the worker gave: what it asked for is done everywhere
    # Worker to parent
    READY = 20  # listening
    COUNT = 21  # number, receivers since the last MARK or SYNC
    HELD = 22  # channel, whether this worker holds it
    REPLY = 23  # number, value, condition of a failure or None
    STATISTICS = 24  # what has changed (`cluster.news`)
    APPLIED = (
        25  # number of the last purge that is applied, and of those to be counted their counts
    )
    ASK_PURGE = 26  # number, what is to be purged (`cluster.level`)
    # Either way
    FORGET = 30  # a channel whose last id a holder has shown to be wrong


def encode(kind: Message, *values: Value) -> bytes:
    """Return a message as bytes."""
    packed = msgpack.packb([int(kind), *values], use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


class Decoder:
    """Takes bytes as they come and gives messages."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=BUFFER_MAX, raw=False)

    def feed(self, data: bytes) -> Iterator[tuple[Message, list[Value]]]:
        """Return the messages that are complete with these bytes.

        Raises:
            PacketError: what came is none of ours.
        """
        try:
            self._unpacker.feed(data)
            for unpacked in self._unpacker:
                yield Message(unpacked[0]), unpacked[1:]
        except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
            raise PacketError(f"not a message between workers: {error}") from error

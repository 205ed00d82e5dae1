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

# A peer is our own process, but a bug in it must not fill this one.
BUFFER_MAX = 64 * 1024 * 1024


class Message(IntEnum):
    """Kinds of messages and their values."""

    # Parent to worker
    ITEM = 1  # channel, id, prev-id, no-seq, the item as a packet
    SYNC = 2  # number: answer with COUNT
    TOPIC = 3  # channel, whether any worker holds it
    ROUTES = 4  # file, text of the routes file
    CALL = 5  # number, name of a command, its arguments
    DRAIN = 6  # seconds
    START = 7  # everything that a worker needs to know (pickled by the supervisor)
    PURGE = 8  # number, then what a purge names (`cluster.level`)
    # Worker to parent
    READY = 20  # listening
    COUNT = 21  # number, receivers since the last one
    HELD = 22  # channel, whether this worker holds it
    REPLY = 23  # number, value, condition of a failure or None
    STATISTICS = 24  # values by name


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
        self._unpacker.feed(data)
        try:
            for unpacked in self._unpacker:
                yield Message(unpacked[0]), unpacked[1:]
        except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            raise PacketError(f"not a message between workers: {error}") from error

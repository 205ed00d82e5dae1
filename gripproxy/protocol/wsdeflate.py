"""permessage-deflate: what is agreed on, and messages in and out (RFC 7692).

Specification: websockets.md 1.4 and 10.3. Nothing is ever compressed with the window of an earlier
message, so that a message is compressed once and the same bytes go to all receivers. What comes
in may rely on earlier messages, and is inflated as a stream, never more than asked for at once.

Left out: windows below 32 kB. An offer that insists on one is not accepted.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gripproxy.errors import FrameError

NAME = b"permessage-deflate"

# What we ask an origin for. It may answer with any window: we always inflate with the largest.
OFFER = NAME

# Below this the two bytes or so that are won do not pay for the work at both ends.
SMALL = 64

# What a sender cuts off the end of a message and a receiver puts back (RFC 7692 7.2.1).
TAIL = b"\x00\x00\xff\xff"

_CLIENT_FRESH = b"client_no_context_takeover"
_SERVER_FRESH = b"server_no_context_takeover"
_CLIENT_WINDOW = b"client_max_window_bits"
_SERVER_WINDOW = b"server_max_window_bits"

_WINDOWS = frozenset(b"%d" % bits for bits in range(8, 16))
_NO_VALUE = frozenset((None,))

_OFFERED: Mapping[bytes, frozenset[bytes | None]] = {
    _CLIENT_FRESH: _NO_VALUE,
    _SERVER_FRESH: _NO_VALUE,
    _CLIENT_WINDOW: _NO_VALUE | _WINDOWS,
    _SERVER_WINDOW: frozenset((b"15",)),
}
# We offer no `client_max_window_bits`, so an origin must not answer with it (RFC 7692 7.1.2.2).
_ANSWERED: Mapping[bytes, frozenset[bytes | None]] = {
    _CLIENT_FRESH: _NO_VALUE,
    _SERVER_FRESH: _NO_VALUE,
    _SERVER_WINDOW: _WINDOWS,
}

Parameters = tuple[tuple[bytes, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends of a connection have agreed on.

    `fresh`: the peer starts each message with an empty window, so none need be kept for it.
    """

    fresh: bool

    @property
    def answer(self) -> bytes:
        """The member of `Sec-WebSocket-Extensions` that tells a client so."""
        flags = (_CLIENT_FRESH, _SERVER_FRESH) if self.fresh else (_SERVER_FRESH,)
        return b"; ".join((NAME, *flags))


# Agreeing


def answer(offers: Iterable[Parameters]) -> Agreement | None:
    """Choose the first acceptable of a client's offers; None if there is none."""
    for parameters in offers:
        if _fits(parameters, _OFFERED):
            return Agreement(fresh=(_CLIENT_FRESH, None) in parameters)
    return None


def accept(parameters: Parameters) -> Agreement | None:
    """Read an origin's answer to `OFFER`; None if it is not a valid one."""
    if not _fits(parameters, _ANSWERED):
        return None
    return Agreement(fresh=(_SERVER_FRESH, None) in parameters)


def _fits(parameters: Parameters, allowed: Mapping[bytes, frozenset[bytes | None]]) -> bool:
    names = {name for name, _ in parameters}
    return len(names) == len(parameters) and all(
        name in allowed and value in allowed[name] for name, value in parameters
    )


# Messages


def compress(payload: bytes) -> bytes | None:
    """Compress a whole message for any number of receivers; None if it had better go as it is.

    Any receiver can read it, whatever was sent to it before.
    """
    if len(payload) < SMALL:
        return None
    # A small window costs 3 us to set up where the full one costs 14, and loses nothing on a
    # payload that is not much larger than the window.
    window, memory = (12, 5) if len(payload) <= 1 << 14 else (15, 8)
    deflater = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -window, memory)
    packed = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return packed[: -len(TAIL)] if len(packed) - len(TAIL) < len(payload) else None


class Inflater:
    """Inflates the messages of one peer, piece by piece, with a bound on each piece."""

    __slots__ = ("_input", "_stream", "more")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._input = b""
        self.more = False  # what came in already may hold more: call again, with nothing

    def inflate(self, packed: bytes, room: int) -> bytes:
        """Return at most `room` (at least 1) bytes of what this and earlier input holds.

        Raises:
            FrameError: 1007, the input is not deflated data.
        """
        try:
            found = self._stream.decompress(self._input + packed, room)
        except zlib.error as error:
            raise FrameError(1007, "compressed message does not inflate") from error
        self._input = self._stream.unconsumed_tail
        # zlib may hold back output although it has taken all input.
        self.more = len(found) == room
        if self._stream.eof:
            self._begin_anew()
        return found

    def _begin_anew(self) -> None:
        """Go on behind a block that its sender called the last (RFC 7692 7.2.3.4)."""
        rest = self._stream.unused_data
        # One empty block ends the message. To look for more streams in it would let a peer make
        # us copy a buffer for each two bytes that it sends.
        if len(rest) > len(TAIL) + 1:
            raise FrameError(1007, "compressed message goes on behind its end")
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._input = rest
        self.more = bool(rest)

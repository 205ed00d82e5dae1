"""WebSocket frames: written once for all receivers, read as they come (RFC 6455 5 to 8).

Specification: websockets.md 2, 2.1 and 10.2. The `Decoder` hands out whole messages, or pieces of
messages as they arrive (pass-through in constant memory). Control frames come at once, also
between the fragments of a message. What breaks the protocol stops the decoder, but what came
before is handed out first.
"""

from codecs import utf_8_decode
from collections.abc import Mapping
from enum import Enum

from gripproxy.errors import FrameError
from gripproxy.protocol.wsdeflate import TAIL, Agreement, Inflater

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

NORMAL, GOING_AWAY, PROTOCOL_ERROR = 1000, 1001, 1002
NOT_CONSISTENT, POLICY, TOO_BIG, FAILED, RESTART = 1007, 1008, 1009, 1011, 1012

# The most that a control frame may carry (RFC 6455 5.5), and what of it is left for a reason.
CONTROL_MAX = 125
REASON_MAX = CONTROL_MAX - 2

# How much one `feed` inflates: a few bytes can stand for a thousand times as many.
INFLATED_MAX = 65_536

# A message, or a piece of one: opcode, payload, is it the first piece, is it the last one.
# hot: a tuple takes 0.02 us to make, a frozen value 0.33, of the 7 that the echo of a message
# takes (timed alone; it is made for each message of woh-echo-200 in bench/scenarios.py).
Piece = tuple[int, bytes, bool, bool]


class Role(Enum):
    """Whose frames are read. The value is the mask bit that they must have."""

    CLIENT = 0x80
    ORIGIN = 0x00


# Writing


def encode(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv1: bool = False,
    mask: bytes | None = None,
) -> bytes:
    """Return one frame; towards an origin it is masked with four random bytes.

    Without a mask the same bytes do for any number of clients. `rsv1` marks a compressed message.
    """
    first = opcode | (fin << 7) | (rsv1 << 6)
    size = len(payload)
    masked = 0
    if mask is not None:
        masked = 0x80
        payload = mask + unmask(payload, mask)
    if size <= CONTROL_MAX:
        return b"%c%c%b" % (first, masked | size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (first, masked | 126, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (first, masked | 127, size.to_bytes(8, "big"), payload)


def encode_close(code: int | None, reason: str = "", *, mask: bytes | None = None) -> bytes:
    """Return a close frame, its reason cut to what fits; without a code it is empty."""
    return encode(CLOSE, b"" if code is None else close_payload(code, reason), mask=mask)


def close_payload(code: int, reason: str) -> bytes:
    """Return what a close frame carries, the reason cut at a character to 123 bytes."""
    text = reason.encode("utf-8", "replace")
    if len(text) > REASON_MAX:
        text = text[:REASON_MAX].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + text


# Close frames


def may_close(code: int) -> bool:
    """Tell whether a code may stand in a close frame (RFC 6455 7.4 and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def read_close(payload: bytes) -> tuple[int | None, str]:
    """Return code and reason of a close frame's payload; no code if it is empty.

    Raises:
        FrameError: 1002 for half a code or one that may not be sent, 1007 for bad UTF-8.
    """
    if not payload:
        return None, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not may_close(code):
        raise FrameError(PROTOCOL_ERROR, "close frame with a bad code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise FrameError(NOT_CONSISTENT, "close reason is not UTF-8") from error


# Masking


def _xor_tables() -> list[bytes]:
    every = int.from_bytes(bytes(range(256)), "big")
    return [
        (every ^ int.from_bytes(bytes((key,)) * 256, "big")).to_bytes(256, "big")
        for key in range(256)
    ]


_XOR = _xor_tables()

# From here on four translated strides are faster than one large number: 4 us against 6 at 4 kB,
# 50 against 140 at 64 kB.
_LARGE = 4_096


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask: each byte xor the mask's (four bytes, again and again; RFC 6455 5.3)."""
    size = len(payload)
    if size >= _LARGE:
        strides = bytearray(payload)
        for offset in range(4):
            strides[offset::4] = strides[offset::4].translate(_XOR[mask[offset]])
        return bytes(strides)
    words = (size + 3) >> 2
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(mask * words, "little")
    return mixed.to_bytes(words * 4, "little")[:size]


# Reading

_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))


def _judge_first_byte(first: int) -> str | None:
    """Say what is wrong with the first byte of a frame, whatever came before it."""
    opcode = first & 0x0F
    if first & 0x30:
        return "reserved bit set"
    if opcode not in _OPCODES:
        return "unknown opcode"
    if first & 0x40 and opcode not in (TEXT, BINARY):
        return "compression bit on a frame that begins no message"
    if opcode >= CLOSE and not first & 0x80:
        return "fragmented control frame"
    return None


_WRONG = tuple(_judge_first_byte(first) for first in range(256))

# The first byte of a message in one frame, not compressed.
_UNFRAGMENTED: Mapping[int, int] = {0x80 | TEXT: TEXT, 0x80 | BINARY: BINARY}


class Decoder:
    """Reads the frames of one peer.

    With `max_message` it gives whole messages of at most so many bytes, without it the pieces of
    messages as they arrive, of any number. `deflate` is what was agreed on in the handshake.

    After a violation `error` is set (with the code to close with); after that, or after a close
    frame, further input is ignored. As long as `more` is true, feed nothing but `b""`, when the
    receiver has room: the decoder has stopped before it would inflate too much at once.
    """

    __slots__ = (
        "_draining",
        "_ended",
        "_fin",
        "_first",
        "_gap",
        "_held",
        "_inflater",
        "_inside",
        "_left",
        "_mask",
        "_masked",
        "_max",
        "_message",
        "_opcode",
        "_packed",
        "_role",
        "_room",
        "_tail",
        "_whole_max",
        "deflate",
        "error",
        "more",
    )

    def __init__(
        self, role: Role, *, max_message: int | None, deflate: Agreement | None = None
    ) -> None:
        self._role = role
        self._masked = role.value
        self._max = max_message
        self.deflate = deflate
        self.error: FrameError | None = None
        self.more = False
        self._ended = False
        self._held = b""  # the start of a frame of which too little is here
        # From the first byte of a small frame to its payload.
        self._gap = 6 if role is Role.CLIENT else 2
        self._whole_max = 0xFFFF if max_message is None else max_message
        # The message that has begun. Opcode 0: none has.
        self._opcode = 0
        self._first = True
        self._packed = False
        self._message = bytearray()
        self._tail = b""  # the start of a character whose rest is to come
        # The data frame that has begun.
        self._inside = False
        self._fin = False
        self._left = 0
        self._mask = b""
        # Inflating.
        self._inflater: Inflater | None = None
        self._draining = False
        self._room = INFLATED_MAX

    def __repr__(self) -> str:
        state = "inside a message" if self._opcode else "between messages"
        if self._ended:
            state = "ended"
        return f"Decoder({self._role.name}, {state}, {len(self._held)} bytes held)"

    def feed(self, data: bytes) -> list[Piece]:
        """Take what has been received; return what it completes. Look at `error` afterwards."""
        pieces: list[Piece] = []
        if self._ended:
            return pieces
        if self._held:
            data = self._held + data
            self._held = b""
            self.more = False
        at = 0 if self._opcode else self._take_whole(data, 0, pieces)
        if at < len(data) or self._draining:
            at = self._take(data, at, pieces)
            self._held = data[at:]
        return pieces

    # hot: whole, unfragmented messages are most of what peers send. Through the steps below one of
    # 126 bytes takes 3.0 us, here 1.0 (timed alone; it is the way of each message of
    # woh-echo-200 in bench/scenarios.py).
    def _take_whole(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        """Take whole messages of up to 64 kB; return where something else begins."""
        gap = self._gap
        masked = self._masked
        end = len(data)
        while end - at >= gap:
            opcode = _UNFRAGMENTED.get(data[at])
            size = data[at + 1] ^ masked
            start = at + gap
            if size > CONTROL_MAX:
                start += 2
                if size != 126 or start > end:
                    break
                size = data[at + 2] << 8 | data[at + 3]
                if size <= CONTROL_MAX:
                    break
            stop = start + size
            if opcode is None or stop > end or size > self._whole_max:
                break
            payload = data[start:stop]
            if masked:
                payload = unmask(payload, data[start - 4 : start])
            if opcode == TEXT and not payload.isascii() and not _is_text(payload):
                break
            pieces.append((opcode, payload, True, True))
            at = stop
        return at

    def _take(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        """Take frames as far as they are here; return how far that is."""
        self._room = INFLATED_MAX
        try:
            while self._room > 0 and not self._ended:
                if not self._opcode:
                    at = self._take_whole(data, at, pieces)
                step = self._take_payload if self._inside else self._take_head
                after = step(data, at, pieces)
                if after < 0:
                    break
                at = after
        except FrameError as error:
            self.error = error
            self._ended = True
        if self._ended:
            self._draining = False
            at = len(data)
        self.more = self._room <= 0 and (self._draining or at < len(data))
        return at

    # The steps return where to go on, or -1 if more must come first.

    def _take_head(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        """Take the head of a data frame, or a whole control frame."""
        if len(data) - at < 2:
            return -1
        first, second = data[at], data[at + 1]
        self._check_head(first, second)
        start = at + 2
        size = second & 0x7F
        if size > CONTROL_MAX:
            width = 2 if size == 126 else 8
            start += width
            if len(data) < start:
                return -1
            size = _long_size(data[start - width : start])
        mask = b""
        if self._masked:
            start += 4
            mask = data[start - 4 : start]
        if len(data) < start:
            return -1
        if first & 0x08:
            payload = data[start : start + size]
            if len(payload) < size:
                return -1
            self._take_control(first & 0x0F, unmask(payload, mask) if mask else payload, pieces)
            return start + size
        self._begin_frame(first, size, mask)
        return start

    def _check_head(self, first: int, second: int) -> None:
        """Refuse what is wrong with the first two bytes of a frame."""
        wrong = _WRONG[first]
        opcode = first & 0x0F
        if wrong is None:
            if first & 0x40 and self.deflate is None:
                wrong = "compressed message although nothing was agreed on"
            elif second & 0x80 != self._masked:
                wrong = "masked frame" if second & 0x80 else "unmasked frame"
            elif opcode >= CLOSE:
                wrong = "control frame over 125 bytes" if second & 0x7F > CONTROL_MAX else None
            elif (opcode == CONTINUATION) != (self._opcode != 0):
                wrong = "message inside a message" if opcode else "continuation of nothing"
        if wrong is not None:
            raise FrameError(PROTOCOL_ERROR, wrong)

    def _take_control(self, opcode: int, payload: bytes, pieces: list[Piece]) -> None:
        if opcode == CLOSE:
            read_close(payload)
            self._ended = True
        pieces.append((opcode, payload, True, True))

    def _begin_frame(self, first: int, size: int, mask: bytes) -> None:
        if first & 0x0F != CONTINUATION:
            self._opcode = first & 0x0F
            self._first = True
            self._packed = bool(first & 0x40)
            if self._packed and self._inflater is None:
                self._inflater = Inflater()
        if not self._packed:
            self._check_size(size)
        self._inside = True
        self._fin = bool(first & 0x80)
        self._left = size
        self._mask = mask

    def _take_payload(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        """Take what is here of a data frame's payload, and end the frame if that is all."""
        stop = at if self._draining else min(at + self._left, len(data))
        size = stop - at
        if not size and self._left and not self._draining:
            return -1
        payload = data[at:stop]
        self._left -= size
        if self._mask:
            payload = unmask(payload, self._mask)
            turn = size & 3
            self._mask = self._mask[turn:] + self._mask[:turn]
        last = self._fin and not self._left
        if self._packed:
            payload = self._inflate(payload, last=last)
        over = not self._left and not self._draining
        self._give(payload, pieces, last=over and last)
        self._inside = not over
        return stop

    def _inflate(self, packed: bytes, *, last: bool) -> bytes:
        """Inflate a payload, or go on with one that gave too much for one go."""
        inflater = self._inflater
        assert inflater is not None
        if last and not self._draining:
            packed += TAIL
        payload = inflater.inflate(packed, INFLATED_MAX)
        self._room -= len(payload)
        self._draining = inflater.more
        if last and not inflater.more and self.deflate is not None and self.deflate.fresh:
            # The peer will not refer to it: 40 kB less in a connection that idles.
            self._inflater = None
        return payload

    def _give(self, payload: bytes, pieces: list[Piece], *, last: bool) -> None:
        """Hand out a piece, or keep it until its message is whole."""
        opcode = self._opcode
        if opcode == TEXT:
            self._check_text(payload, last=last)
        if self._max is not None:
            self._check_size(len(payload))
            self._message += payload
            if last:
                pieces.append((opcode, bytes(self._message), True, True))
                self._message.clear()
        elif payload or last:
            pieces.append((opcode, payload, self._first, last))
            self._first = False
        if last:
            self._opcode = 0

    def _check_size(self, size: int) -> None:
        if self._max is not None and len(self._message) + size > self._max:
            raise FrameError(TOO_BIG, f"message over {self._max} bytes")

    def _check_text(self, payload: bytes, *, last: bool) -> None:
        """Refuse a byte that cannot follow what came before it (RFC 6455 8.1)."""
        payload = self._tail + payload
        try:
            _, used = utf_8_decode(payload, "strict", last)
        except UnicodeDecodeError as error:
            raise FrameError(NOT_CONSISTENT, "text is not UTF-8") from error
        self._tail = payload[used:]
        # The codec waits for the third byte of a surrogate, which no third byte makes good.
        if self._tail[:1] == b"\xed" and self._tail[1:] >= b"\xa0":
            raise FrameError(NOT_CONSISTENT, "text is not UTF-8")


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _long_size(field: bytes) -> int:
    """Read a size of two or eight bytes, which must be the shortest form (RFC 6455 5.2)."""
    size = int.from_bytes(field, "big")
    if size <= (CONTROL_MAX if len(field) == 2 else 0xFFFF):
        raise FrameError(PROTOCOL_ERROR, "length not in its shortest form")
    if size >> 63:
        raise FrameError(PROTOCOL_ERROR, "length with the top bit set")
    return size

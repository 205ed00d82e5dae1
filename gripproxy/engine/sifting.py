"""What of an origin's messages is for whom, when it speaks GRIP (websockets.md 3.3).

Whole messages are judged, by their first bytes, although they may come in pieces: of a message
for the client no more is held back than the judgement needs, of a control message all of it.
"""

from gripproxy.protocol import wscontrol
from gripproxy.protocol.wscontrol import Verdict
from gripproxy.protocol.wsframes import Piece

# hot: in Python 3.11 a member of an enum takes 0.08 us to name, a global 0.01, and each message
# of an origin comes through here (bench/scenarios.py, woh-echo-200).
_UNDECIDED, _PREFIXED = Verdict.UNDECIDED, Verdict.PREFIXED

_CONTROL_MAX = len(wscontrol.MARK) + wscontrol.CONTROL_MAX

# A piece for the client, the text of a control message, or why something is ignored.
Found = Piece | bytes | str | None


class Sifter:
    """Judges the data messages of one origin."""

    __slots__ = ("_prefix", "_start", "_verdict")

    def __init__(self, prefix: bytes) -> None:
        """Make a sifter; `prefix` is what messages for the client begin with."""
        self._prefix = prefix
        self._verdict = _UNDECIDED
        self._start = b""  # what is held back of the message that has begun

    def sift(self, piece: Piece) -> Found:
        """Take the next piece of a data message; return what came of it, None if nothing yet."""
        opcode, payload, first, last = piece
        if first:
            return self._judge(opcode, payload, last=last)
        if self._verdict is _PREFIXED:
            return piece
        if self._verdict is _UNDECIDED:
            return self._judge(opcode, self._start + payload, last=last)
        if self._verdict is Verdict.CONTROL:
            return self._hold(self._start + payload, last=last)
        return None

    def _judge(self, opcode: int, start: bytes, *, last: bool) -> Found:
        verdict = self._verdict = wscontrol.judge(opcode, start, self._prefix, whole=last)
        if verdict is _PREFIXED:
            self._start = b""
            return opcode, start[len(self._prefix) :], True, last
        if verdict is Verdict.DROPPED:
            self._start = b""
            return "dropping unprefixed message"
        return self._hold(start, last=last)

    def _hold(self, start: bytes, *, last: bool) -> Found:
        """Keep the start of a message that has to be whole; return it when it is."""
        self._start = b""
        if len(start) > _CONTROL_MAX:
            self._verdict = Verdict.DROPPED
            return f"control message over {wscontrol.CONTROL_MAX} bytes"
        if last:
            return start[len(wscontrol.MARK) :]
        self._start = start
        return None

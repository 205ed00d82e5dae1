"""A client's WebSocket whose frames are counted (stats.md 7).

A session that nobody counts is a `SocketSession`, and knows nothing of all this.
"""

from gripproxy.engine.sockets import SocketSession, State
from gripproxy.engine.stats import Counted
from gripproxy.errors import FrameError
from gripproxy.protocol.wsframes import Piece


class WatchedSession(SocketSession):
    """Counts what passes, and says when it is over. Whoever makes it sets `counted` at once."""

    __slots__ = ("counted",)

    counted: Counted

    def socket_message(self, piece: Piece, now: float) -> None:
        """Take a message of the client, or a piece of one."""
        entry = self.counted.entry
        size, messages = len(piece[1]), int(piece[3])
        entry.client_content_bytes_received += size
        entry.client_messages_received += messages
        if self.state in _TAKING:
            entry.server_content_bytes_sent += size
            entry.server_messages_sent += messages
        self.counted.frame(now)
        super().socket_message(piece, now)

    def message(self, piece: Piece, now: float) -> None:
        """Take a message of the origin, or a piece of one."""
        entry = self.counted.entry
        entry.server_content_bytes_received += len(piece[1])
        entry.server_messages_received += int(piece[3])
        self.counted.frame(now)
        super().message(piece, now)

    def _relay(self, piece: Piece, now: float) -> None:
        entry = self.counted.entry
        entry.client_content_bytes_sent += len(piece[1])
        entry.client_messages_sent += int(piece[3])
        super()._relay(piece, now)

    def _end(self, error: FrameError | None, now: float) -> None:
        self.counted.over(now)
        super()._end(error, now)


# Where the origin still gets what the client says.
_TAKING = frozenset((State.OPEN, State.CLOSING_IN))

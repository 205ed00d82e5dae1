"""Connections of the control port, whose clients may be less exact (publishing.md 11.1)."""

from gripproxy.errors import RequestError
from gripproxy.front.http1 import Connection
from gripproxy.protocol import looseheads
from gripproxy.protocol.headers import CONTENT_LENGTH


class LooseConnection(Connection):
    """A connection that understands some heads that are not quite HTTP."""

    __slots__ = ()

    def _take_head(self) -> bool:
        buffer = self._buffer
        try:
            taken = super()._take_head()
        except RequestError:
            self._straighten(buffer)
            if self._buffer == buffer:
                raise
            taken = super()._take_head()
        if taken and self._buffer and not self._keep:
            self._refuse_more()
        return taken

    def _straighten(self, buffer: bytes) -> None:
        end = looseheads.find_end(buffer, self._head_max)
        if end:
            self._buffer = looseheads.straightened(buffer[:end]) + buffer[end:]
            self._seen = 0
        else:
            self._buffer = looseheads.with_line_ends(buffer)

    def _refuse_more(self) -> None:
        """Refuse a body that is longer than it said, where no further request may follow it.

        Raises:
            RequestError: 400.
        """
        if self.request.headers.marks & CONTENT_LENGTH:
            raise RequestError(400, "Failed to parse request: more than the content length")

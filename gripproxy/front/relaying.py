"""A body on its way to a client, as its answer's framing wants it (proxying.md 10.2, 10.3)."""

import asyncio
from collections.abc import Callable

from gripproxy.errors import GripProxyError
from gripproxy.protocol import wire
from gripproxy.protocol.framing import Ending
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Source

_CHUNKED = (Ending.LAST_CHUNK, Ending.TRAILERS)


class Relay:
    """Writes a body as it comes: satisfies `protocol.messages.Receiver`. Lasts for one body."""

    __slots__ = ("_chunked", "_done", "_ending", "_left", "_source", "_write", "sent")

    def __init__(
        self,
        source: Source,
        write: Callable[[bytes], None],
        ending: Ending,
        *,
        chunked: bool = False,
        length: int | None = None,
    ) -> None:
        """Make a relay; with `chunked` the pieces of a body that goes on are chunks."""
        self.sent = 0
        self._source = source
        self._write = write
        self._chunked = chunked or ending in _CHUNKED
        self._ending = ending
        self._left = length  # None: only its end tells
        self._done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def run(self, *, blocked: bool) -> bool:
        """Relay all of the body; return whether it came whole and could be written."""
        source = self._source
        whole = False
        try:
            if blocked:
                source.pause()
            source.start(self)
            whole = await self._done
        finally:
            if not whole:
                source.abandon()
        return whole

    # What the connection says

    def pause(self) -> None:
        """Wait: the client takes no more for now."""
        self._source.pause()

    def resume(self) -> None:
        """Go on."""
        self._source.resume()

    def stop(self) -> None:
        """Give up: there is no client any more."""
        self._write = _nowhere
        self._finish(whole=False)

    # What the source says

    def body_piece(self, piece: bytes) -> None:
        self.sent += len(piece)
        left = self._left
        if left is not None:
            # What a body has beyond its length is dropped.
            if len(piece) > left:
                piece = piece[:left]
            self._left = left - len(piece)
        self._write(wire.chunk(piece) if self._chunked else piece)

    def body_end(self, trailers: Headers | None) -> None:
        if self._ending is Ending.LAST_CHUNK:
            self._write(wire.LAST_CHUNK)
        elif self._ending is Ending.TRAILERS:
            self._write(wire.last_chunk(trailers))
        self._finish(whole=not self._left)

    def body_failed(self, error: GripProxyError) -> None:
        self._finish(whole=False)

    def _finish(self, *, whole: bool) -> None:
        if not self._done.done():
            self._done.set_result(whole)


def _nowhere(_: bytes) -> None:
    """Write to a client that is gone."""

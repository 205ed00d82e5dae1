"""Chunked bodies as they come in, whatever the pieces they arrive in (RFC 9112 7.1).

The HTTP parser reads heads only: it would tell neither how long a chunk's line is nor where the
body ends. So chunks are read here, for clients and for origins, and nowhere else. All that two
readers could understand differently is refused: bare line ends, blanks behind a size, folding.
"""

import re

from gripproxy.errors import PeerError
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Headers

# As Pushpin: 4 GiB and more in one chunk is refused (proxying.md 2).
CHUNK_MAX = 0xFFFFFFFF

# Zeros in front are fine, but not without end.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t -~\x80-\xff]*)?")
# A chunk without extensions, as most are.
_PLAIN = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")

_DATA, _DATA_END, _LINE, _TRAILER, _WHOLE = range(5)


class Decoder:
    """Takes the bytes of one chunked body; its pieces are in `pieces` for whoever takes them.

    `line_max` bounds the line of a chunk with its extensions, and the trailers all together.
    """

    __slots__ = ("_left", "_line_max", "_rest", "_state", "_trailers_size", "pieces", "trailers")

    def __init__(self, line_max: int) -> None:
        self.pieces: list[bytes] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self._line_max = line_max
        self._state = _LINE
        self._left = 0  # bytes of the present chunk
        self._rest = b""  # the beginning of a line
        self._trailers_size = 0

    @property
    def whole(self) -> bool:
        """Whether the end has come."""
        return self._state == _WHOLE

    def feed(self, data: bytes) -> bytes:
        """Take what has come; return what lies behind the body.

        Raises:
            PeerError: what is wrong; nothing may be fed after that.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = self._take_whole_chunks(data) if self._state == _LINE else 0
        while at < len(data) and self._state != _WHOLE:
            if self._state == _DATA:
                at = self._take_data(data, at)
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._keep(data[at:])
                return b""
            self._take_line(data[at : end + 1])
            at = end + 1
        return data[at:]

    def _take_whole_chunks(self, data: bytes) -> int:
        """Take the chunks that are here whole, which are most; return where the others begin."""
        at = 0
        while (found := _PLAIN.match(data, at)) is not None:
            start = found.end()
            end = start + int(found[1], 16)
            if end == start or data[end : end + 2] != b"\r\n":
                break
            self.pieces.append(data[start:end])
            at = end + 2
        return at

    def _take_data(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._left]
        self.pieces.append(piece)
        self._left -= len(piece)
        if self._left == 0:
            self._state = _DATA_END
        return at + len(piece)

    def _keep(self, start: bytes) -> None:
        """Keep the beginning of a line."""
        if self._state == _DATA_END and start != b"\r":
            raise PeerError("invalid chunk suffix")
        if self._trailers_size + len(start) > self._line_max:
            raise self._too_long()
        self._rest = start

    def _too_long(self) -> PeerError:
        what = "trailers" if self._state == _TRAILER else "chunk line"
        return PeerError(f"{what} too long")

    def _take_line(self, line: bytes) -> None:
        if self._state == _DATA_END:
            if line != b"\r\n":
                raise PeerError("invalid chunk suffix")
            self._state = _LINE
        elif self._state == _LINE:
            self._take_size(line)
        else:
            self._take_trailer(line)

    def _take_size(self, line: bytes) -> None:
        if len(line) > self._line_max:
            raise self._too_long()
        found = _SIZE.fullmatch(line, 0, len(line) - 2)
        if found is None or not line.endswith(b"\r\n"):
            raise PeerError("invalid chunk size")
        self._left = int(found[1], 16)
        if self._left > CHUNK_MAX:
            raise PeerError("chunk too large")
        self._state = _DATA if self._left else _TRAILER

    def _take_trailer(self, line: bytes) -> None:
        self._trailers_size += len(line)
        if self._trailers_size > self._line_max:
            raise self._too_long()
        if line == b"\r\n":
            self._state = _WHOLE
            return
        name, colon, value = line[:-2].partition(b":")
        if not colon or not fields.is_token(name):
            raise PeerError("invalid header name")
        if not line.endswith(b"\r\n") or not fields.is_value(value):
            raise PeerError("invalid header value")
        self.trailers.append((name, value.strip(b" \t")))

    def fields(self) -> Headers | None:
        """Return the trailers of a body that is whole, None if there are none."""
        return Headers(self.trailers) if self.trailers else None

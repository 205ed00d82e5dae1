"""Content codings of instruct responses, undone piece by piece (grip-http.md 4.2).

A relayed response keeps its coding. An instruct's is undone, since published text may follow it
and its JSON has to be read. Limits count decoded bytes, so a small body cannot become a large one.
"""

import zlib

from gripproxy.errors import GripProxyError, InstructError
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Receiver, Response, Source

# Bytes that one step may make; the rest stays coded until it is asked for.
STEP = 65536
# How window bits say the format: gzip with its header, zlib.
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}

_UNSUPPORTED = "unsupported Content-Encoding"


def decoded(response: Response) -> Response:
    """Return the response with its body's coding undone; the field stays for the caller.

    Raises:
        InstructError: another coding, several, or bytes that do not decode.
    """
    if not response.headers.marks & fields.CONTENT_ENCODING:
        return response
    codings = fields.tokens(response.headers.get_all(b"content-encoding"))
    codings = [coding for coding in codings if coding != b"identity"]
    if not codings:
        return response
    if len(codings) > 1 or codings[0] not in _WINDOWS:
        raise InstructError(_UNSUPPORTED)
    window = _WINDOWS[codings[0]]
    if isinstance(response.body, bytes):
        response.body = _decode(response.body, window)
        response.length = len(response.body)
    else:
        response.body = _Decoding(response.body, window)
        response.length = None
    return response


# One byte more than an instruct's body may have: enough to see that it is too large.
_WHOLE_MAX = 1_000_001


def _decode(body: bytes, window: int) -> bytes:
    decoder = zlib.decompressobj(window)
    try:
        content = decoder.decompress(body, _WHOLE_MAX)
    except zlib.error:
        raise InstructError(_UNSUPPORTED) from None
    if not decoder.eof and len(content) < _WHOLE_MAX:
        raise InstructError(_UNSUPPORTED)
    return content


class _Decoding:
    """A body whose coding is undone on its way: a `Source` around a `Source`."""

    __slots__ = ("_decoder", "_ended", "_paused", "_receiver", "_rest", "_source")

    def __init__(self, source: Source, window: int) -> None:
        self._source = source
        self._decoder = zlib.decompressobj(window)
        self._receiver: Receiver | None = None
        self._paused = False
        self._rest = b""  # coded bytes that a pause left
        self._ended = False

    # As a source

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._source.start(self)

    def pause(self) -> None:
        self._paused = True
        self._source.pause()

    def resume(self) -> None:
        self._paused = False
        self._step()
        if not self._paused:
            self._source.resume()

    def abandon(self) -> None:
        self._receiver = None
        self._source.abandon()

    # As the receiver of the coded body

    def body_piece(self, piece: bytes) -> None:
        self._rest += piece
        self._step()

    def body_end(self, trailers: Headers | None) -> None:
        self._ended = True
        self._step()

    def body_failed(self, error: GripProxyError) -> None:
        if self._receiver is not None:
            self._receiver.body_failed(error)

    def _step(self) -> None:
        receiver = self._receiver
        while receiver is not None and self._rest and not self._paused and not self._decoder.eof:
            try:
                content = self._decoder.decompress(self._rest, STEP)
            except zlib.error:
                self._receiver = None
                self._source.abandon()
                receiver.body_failed(InstructError(_UNSUPPORTED))
                return
            self._rest = self._decoder.unconsumed_tail
            if content:
                receiver.body_piece(content)
            receiver = self._receiver
        if receiver is None or self._paused or not self._ended:
            return
        self._receiver = None
        if self._decoder.eof:
            receiver.body_end(None)
        else:
            receiver.body_failed(InstructError(_UNSUPPORTED))

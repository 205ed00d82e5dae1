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
# A body that is here is decoded at once up to this, and as it is taken beyond it.
WHOLE_MAX = 1_000_000

# Window bits, and the format that they stand for in zlib.
_GZIP = 31
_ZLIB = 15
_RAW = -15

_CODINGS = {b"gzip": _GZIP, b"x-gzip": _GZIP, b"deflate": _ZLIB}

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
    if len(codings) > 1 or codings[0] not in _CODINGS:
        raise InstructError(_UNSUPPORTED)
    window, body = _CODINGS[codings[0]], response.body
    content = _whole(window, body) if isinstance(body, bytes) else None
    if content is not None:
        response.body = content
        response.length = len(content)
    else:
        source = _Here(body) if isinstance(body, bytes) else body
        response.body = _Decoding(source, _Inflater(window))
        response.length = None
    return response


def _whole(window: int, body: bytes) -> bytes | None:
    """Return the content of a body that is here, None if it is large."""
    inflater = _Inflater(window)
    inflater.feed(body)
    content = inflater.take(WHOLE_MAX + 1)
    if len(content) > WHOLE_MAX:
        return None
    if not inflater.intact:
        raise InstructError(_UNSUPPORTED)
    return content


class _Here:
    """A body that is here, as a `Source`."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def start(self, receiver: Receiver) -> None:
        receiver.body_piece(self._body)
        receiver.body_end(None)

    def pause(self) -> None:
        """All of it has been handed out."""

    def resume(self) -> None:
        """All of it has been handed out."""

    def abandon(self) -> None:
        """Nothing more comes."""


class _Inflater:
    """Undoes one coding."""

    __slots__ = ("_begun", "_decoder", "_full", "_rest", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._decoder = zlib.decompressobj(window)
        self._rest = b""  # coded bytes that were not asked for yet
        self._begun = False
        self._full = False  # the last step made all that it might: there may be more

    def feed(self, piece: bytes) -> None:
        """Take coded bytes."""
        if not self.complete:
            self._rest += piece

    def take(self, limit: int) -> bytes:
        """Return the next content, at most so many bytes; empty if more has to be fed.

        Raises:
            InstructError: the bytes do not decode.
        """
        content = b""
        while (self._rest or self._full) and not content and not self.complete:
            if not self._begun:
                self._begin(self._rest[0])
            try:
                content = self._decoder.decompress(self._rest, limit)
            except zlib.error:
                raise InstructError(_UNSUPPORTED) from None
            self._rest = self._decoder.unconsumed_tail
            self._full = len(content) >= limit
        return content

    def _begin(self, first: int) -> None:
        """Choose between the two formats that are called deflate; browsers take both."""
        self._begun = True
        if self._window == _ZLIB and first & 0x0F != zlib.DEFLATED:
            self._decoder = zlib.decompressobj(_RAW)

    @property
    def complete(self) -> bool:
        """Whether the end of the coded content has come; what is behind it is dropped."""
        return self._decoder.eof

    @property
    def intact(self) -> bool:
        """Whether nothing is missing; an answer to HEAD has a coding, and nothing coded."""
        return self._decoder.eof or not self._begun


class _Decoding:
    """A body whose coding is undone on its way: a `Source` around a `Source`."""

    __slots__ = ("_ended", "_inflater", "_paused", "_receiver", "_source")

    def __init__(self, source: Source, inflater: _Inflater) -> None:
        self._source = source
        self._inflater = inflater
        self._receiver: Receiver | None = None
        self._paused = False
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
        if not self._paused and not self._ended:
            self._source.resume()

    def abandon(self) -> None:
        self._receiver = None
        self._source.abandon()

    # As the receiver of the coded body

    def body_piece(self, piece: bytes) -> None:
        self._inflater.feed(piece)
        self._step()

    def body_end(self, trailers: Headers | None) -> None:
        self._ended = True
        self._step()

    def body_failed(self, error: GripProxyError) -> None:
        self._fail(error)

    def _step(self) -> None:
        """Hand out what can be decoded, until the receiver is full."""
        while (receiver := self._receiver) is not None and not self._paused:
            try:
                content = self._inflater.take(STEP)
            except InstructError as error:
                self._source.abandon()
                self._fail(error)
                return
            if content:
                receiver.body_piece(content)
            elif not self._ended:
                return
            elif self._inflater.intact:
                self._receiver = None
                receiver.body_end(None)
            else:
                self._fail(InstructError(_UNSUPPORTED))

    def _fail(self, error: GripProxyError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.body_failed(error)

"""Both ends of a body: a source that a test feeds, and a receiver that keeps what it got."""

from gripproxy.engine.pipe import Pipe


class Tap:
    """The connection that a body comes from: `engine.pipe.Tap`."""

    def __init__(self) -> None:
        self.reading = True
        self.wanted = 0
        self.abandoned = False

    def pause_body(self) -> None:
        self.reading = False

    def resume_body(self) -> None:
        self.reading = True

    def abandon_body(self) -> None:
        self.abandoned = True

    def want_body(self) -> None:
        self.wanted += 1


class FakeSource(Pipe):
    """A body that a test puts in: `put`, then `finish` or `fail`."""

    def __init__(self) -> None:
        self.tap = Tap()
        super().__init__(self.tap)


class FakeReceiver:
    """Keeps what it gets; pauses the source that it is given after each piece."""

    def __init__(self, source=None) -> None:
        self.pieces: list[bytes] = []
        self.end: object = None
        self._source = source

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)

    def body_piece(self, piece: bytes) -> None:
        assert self.end is None
        self.pieces.append(piece)
        if self._source is not None:
            self._source.pause()

    def body_end(self, trailers) -> None:
        assert self.end is None
        self.end = "whole"

    def body_failed(self, error) -> None:
        assert self.end is None
        self.end = error

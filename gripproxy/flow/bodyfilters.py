"""Bodies of origins on their way through the filters that act on them (grip-http.md 9.1).

Each filter that a channel of the instruct names acts once, with the instruct's meta and without
positions. What looks like a directive and is none stays, unless debug makes it an error; the log
is told once a body.
"""

from collections.abc import Callable, Iterable, Mapping

from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import FilterError, GripProxyError, InstructError
from gripproxy.protocol import filters
from gripproxy.protocol.filters import Body, Context
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Receiver, Source


class BodyFilters:
    """The filters of one body; `odd` is called with what the log shall say."""

    __slots__ = ("_body", "_odd", "_strict")

    def __init__(
        self,
        subscriptions: Iterable[Subscription],
        meta: Mapping[str, str],
        *,
        debug: bool,
        odd: Callable[[str], None],
    ) -> None:
        """Make the filters of all channels, in order.

        Raises:
            InstructError: the meta lack something, or have what no filter understands.
        """
        names = [
            known.name
            for subscription in subscriptions
            if subscription.filters is not None
            for known in subscription.filters.filters
            if known.body is not None
        ]
        self._odd = odd
        self._body: Body | None = None
        # The same with debug's strictness: what it says goes to the log alone.
        self._strict: Body | None = None
        if names:
            self._body = _made(names, meta, debug=debug)
            self._strict = None if debug else _made(names, meta, debug=True)

    def apply(self, piece: bytes, *, last: bool) -> bytes:
        """Return what is finished with this piece.

        Raises:
            InstructError: a filter cannot go on.
        """
        body = self._body
        if body is None:
            return piece
        try:
            done = body.apply(piece, last=last)
        except FilterError as error:
            raise _failed(error) from None
        if self._strict is not None:
            try:
                self._strict.apply(piece, last=last)
            except FilterError as error:
                self._strict = None
                self._odd(error.text)
        return done


def _made(names: list[str], meta: Mapping[str, str], *, debug: bool) -> Body:
    context = Context(sub_meta=meta, pub_meta={}, positions=None, subscriptions=(), debug=debug)
    try:
        return filters.Body(names, context)
    except FilterError as error:
        raise _failed(error) from None


def _failed(error: FilterError) -> InstructError:
    return InstructError(f"filter error: {error.text}")


class FilteredBody:
    """A body that passes filters as it comes: a `Source` around a `Source`.

    `begun` tells whether anything of it has been handed out, `size` how many bytes have come;
    `failure` is what a filter said.
    """

    __slots__ = ("_begin", "_filters", "_receiver", "_source", "begun", "failure", "size")

    def __init__(
        self, source: Source, stages: BodyFilters, begin: Callable[[], None] = lambda: None
    ) -> None:
        """Wrap a body; `begin` is called before its first bytes are handed out."""
        self._source = source
        self._filters = stages
        self._begin = begin
        self._receiver: Receiver | None = None
        self.begun = False
        self.size = 0
        self.failure: InstructError | None = None

    # As a source

    def start(self, receiver: Receiver) -> None:
        """Begin to hand out pieces."""
        self._receiver = receiver
        self._source.start(self)

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        self._source.pause()

    def resume(self) -> None:
        """Go on handing out."""
        self._source.resume()

    def abandon(self) -> None:
        """Drop the rest."""
        self._receiver = None
        self._source.abandon()

    # As the receiver of the origin's body

    def body_piece(self, piece: bytes) -> None:
        """Hand on what is finished with a piece."""
        self.size += len(piece)
        self._hand_on(piece, last=False)

    def body_end(self, trailers: Headers | None) -> None:
        """Hand on the rest, and the end."""
        self._hand_on(b"", last=True)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.body_end(None)

    def body_failed(self, error: GripProxyError) -> None:
        """Hand on that the rest will not come."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.body_failed(error)

    def _hand_on(self, piece: bytes, *, last: bool) -> None:
        if self._receiver is None:
            return
        try:
            content = self._filters.apply(piece, last=last)
        except InstructError as error:
            self.failure = error
            self._source.abandon()
            self.body_failed(error)
            return
        if content:
            if not self.begun:
                self.begun = True
                self._begin()
            self._receiver.body_piece(content)

"""An item on its way out: each format is rendered at most once for each way of framing.

Whoever receives it writes the same bytes object. Specification: publishing.md 3; grip-http.md
4.3, 6.2; websockets.md 6.2.
"""

from gripproxy.protocol import wire, wsdeflate, wsframes
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.items import PublishItem


class Delivery:
    """One released item, and what has been rendered of it."""

    __slots__ = (
        "_packed",
        "asked",
        "channel",
        "chunk",
        "epoch",
        "frame",
        "id",
        "item",
        "looked_at",
        "message",
        "prev_id",
        "raw",
        "response",
        "stream",
        "stream_plain",
    )

    def __init__(self, item: PublishItem, epoch: int = 0) -> None:
        self.item = item
        self.epoch = epoch  # of its release (`engine.marks`): what it causes is asked after it
        self.channel = item.channel
        self.id = item.id
        self.prev_id = item.prev_id
        self.response: HttpResponse | None = item.http_response
        self.stream: HttpStream | None = item.http_stream
        self.message: WebSocketMessage | None = item.ws_message
        # What filters have asked the network about it: equal questions are put once.
        self.asked: dict[object, object] = {}
        # Whether its content was looked at for what `build-id` leaves as it is.
        self.looked_at = False
        self.chunk = self.raw = b""
        # What a WebSocket writes that has neither filters nor compression; None: not so simple.
        self.frame: bytes | None = None
        self._packed: bytes | None = None
        # Whether all that a stream needs of it is to be written as it is.
        self.stream_plain = False
        stream = self.stream
        if stream is not None and stream.action is Action.SEND:
            self.raw = stream.content
            self.chunk = wire.chunk(stream.content)
            self.stream_plain = stream.content_filters is None
        message = self.message
        if message is not None and message.action is Action.SEND:
            if message.unsendable:
                self.message = None
            elif not message.content_filters:
                self.frame = wsframes.encode(message.kind, message.content)

    def packed(self, message: WebSocketMessage) -> bytes:
        """Return the frame of its message for those who take compressed ones."""
        if self._packed is None:
            self._packed = frame(message, message.content, deflates=True)
        return self._packed

    def __repr__(self) -> str:
        return f"<Delivery {self.channel!r} id={self.id!r}>"


def frame(message: WebSocketMessage, content: bytes, *, deflates: bool) -> bytes:
    """Return the frame of a message with this content: its own, or what filters made of it."""
    packed = wsdeflate.compress(content) if deflates and message.kind <= wsframes.BINARY else None
    if packed is None:
        return wsframes.encode(message.kind, content)
    return wsframes.encode(message.kind, packed, rsv1=True)

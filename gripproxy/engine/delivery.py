"""An item on its way out: each format is rendered at most once for each way of framing.

Whoever receives it writes the same bytes object. Specification: publishing.md 3; grip-http.md
4.3, 6.2; websockets.md 6.2.
"""

from gripproxy.protocol import wire, wsframes
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.items import PublishItem



class Delivery:
    """One released item, and what has been rendered of it."""

    __slots__ = (
        "channel",
        "chunk",
        "compressed",
        "frame",
        "id",
        "item",
        "message",
        "prev_id",
        "raw",
        "rendered",
        "response",
        "stream",
        "stream_plain",
    )

    def __init__(self, item: PublishItem) -> None:
        self.item = item
        self.channel = item.channel
        self.id = item.id
        self.prev_id = item.prev_id
        self.response: HttpResponse | None = item.http_response
        self.stream: HttpStream | None = item.http_stream
        self.message: WebSocketMessage | None = item.ws_message
        # What answers a response hold, by the default response that it is built on.
        self.rendered: dict[object, object] = {}
        self.chunk = self.raw = b""
        self.frame: bytes | None = None
        self.compressed: bytes | None = None
        # Whether all that a stream needs of it is to be written as it is.
        self.stream_plain = False
        stream = self.stream
        if stream is not None and stream.action is Action.SEND:
            self.raw = stream.content
            self.chunk = wire.chunk(stream.content)
            self.stream_plain = stream.content_filters is None
        message = self.message
        if message is not None and message.action is Action.SEND and not message.unsendable:
            self.frame = wsframes.encode(message.kind, message.content)

    def __repr__(self) -> str:
        return f"<Delivery {self.channel!r} id={self.id!r}>"

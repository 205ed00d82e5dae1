"""What one process counts, for statistics packets and for metrics (stats.md 3, 5 to 7, 9).

Stories tell `Counters` what happens: requests, connections, subscriptions, items. From time to
time somebody asks it for `News` (for `engine.announcing`) or for `statistics` (for metrics).
Where nobody wants statistics there are no `Counters`, and a story has a comparison with None.
"""

from collections.abc import Callable, Collection

from gripproxy.engine.channels import Channel, Holder, Kind
from gripproxy.engine.metrics import Metrics
from gripproxy.engine.news import Begun, Ended, News, Sample, Sent, Statistics, Subscribers, Total
from gripproxy.engine.sums import MINUTE, Entry, values
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route
from gripproxy.protocol.statspackets import Kind as PacketKind

Format = HttpResponse | HttpStream | WebSocketMessage


class Counted:
    """One connection: a request or a WebSocket, from its first byte to its last (3)."""

    __slots__ = (
        "_begun",
        "_counters",
        "_minute",
        "_second",
        "_sent",
        "cid",
        "entry",
        "is_over",
        "peer",
        "secure",
        "transport",
    )

    def __init__(self, counters: "Counters", entry: Entry, now: float, second: int) -> None:
        self.cid = ""  # of an HTTP request: only when it is told of
        self.entry = entry
        self.transport = "http"
        self.peer = ""
        self.secure = False
        self._counters = counters
        self._begun = now
        self._second = second
        self._minute: float | None = None  # when the minute of a frame is over
        self._sent = 0
        self.is_over = False

    def __repr__(self) -> str:
        return f"<Counted {self.cid or 'untold'}>"

    def answered(self, response: Response) -> None:
        """Count the head of a response to the client."""
        if self._counters.counts_heads:
            self.entry.client_header_bytes_sent += response_size(response)

    def sent(self, size: int) -> None:
        """Count the content sent to the client: so much until now."""
        self.entry.client_content_bytes_sent += size - self._sent
        self._sent = size

    def opened(self, request: Request, response: Response) -> None:
        """Count the heads of a WebSocket's handshake: what was asked of whom, and the answer."""
        if self._counters.counts_heads:
            self.entry.server_header_bytes_sent += request_size(request)
            size = response_size(response)
            self.entry.server_header_bytes_received += size
            self.entry.client_header_bytes_sent += size

    def frame(self, now: float) -> None:
        """Take note that a WebSocket has frames: a minute with some is activity (5.1)."""
        if self._minute is None:
            self._minute = now + MINUTE
        elif now >= self._minute:
            self._minute = now + MINUTE
            self._counters.active(self.entry)

    def over(self, now: float) -> None:
        """Take note that the connection has ended; it may be said twice."""
        if self.is_over:
            return
        self.is_over = True
        if self._minute is not None and now >= self._minute:
            self._counters.active(self.entry)
        self._counters.end(self, self._second, int((now - self._begun) // MINUTE), now)


class Counters:
    """All that one process counts.

    `changed` is called when there are news after there were none. `instance` begins the ids of
    HTTP connections; no other process may ever have it. Where `tells` is off nobody is interested
    in single connections, channels and items, only in sums; where `measures` is off nobody is in
    metrics.

    What costs most is done only while somebody reads it (`want`): header bytes are for reports
    alone, and only who reads them has to know of connections that came and went within one news.
    """

    def __init__(
        self,
        *,
        now: float,
        instance: str,
        changed: Callable[[], None] = lambda: None,
        tells: bool = True,
        measures: bool = True,
        block_size: int = 0,
    ) -> None:
        self.metrics = Metrics()
        self.entries: dict[str, Entry] = {"": Entry("")}
        self.number = 0  # of the item that is delivered, in the order in which all get them
        self.changed = changed
        self.counts_heads = tells
        self.counts_origins = tells or measures
        self._measures = measures
        self._others = self.entries[""]
        self._instance = instance
        self._tells = tells
        self._block_size = block_size
        self._base = now
        self._second = 0
        self._ids = 0
        self._fresh = False
        self._wants_connections = self._wants_items = True
        self._begun: dict[Counted, None] = {}
        self._told: set[str] = set()  # ids of connections that were told of and are there
        self._ended: list[Ended] = []
        self._moved: dict[tuple[Kind, str], Channel] = {}
        self._sent: list[Sent] = []
        # Subscribers of routes that have an entry of their own; the others are the rest.
        self._routed: dict[tuple[Kind, str], dict[Entry, int]] = {}

    def __repr__(self) -> str:
        return f"<Counters {self._instance} {self.connections} connections>"

    def __contains__(self, cid: str) -> bool:
        return cid in self._told

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return sum(entry.connections for entry in self.entries.values())

    def want(self, kinds: Collection[PacketKind]) -> None:
        """Learn which packets are read: what nobody reads need not be told one by one."""
        self.counts_heads = PacketKind.REPORT in kinds
        self.counts_origins = self.counts_heads or self._measures
        self._wants_connections = PacketKind.CONNECTION in kinds
        self._wants_items = PacketKind.MESSAGE in kinds

    def entry(self, route: Route | None) -> Entry:
        """Return the entry of a route: its own if it has an explicit id."""
        if route is None or not route.explicit_id:
            return self._others
        found = self.entries.get(route.id)
        if found is None:
            found = self.entries[route.id] = Entry(route.id)
        return found

    def _touch(self) -> None:
        if not self._fresh:
            self._fresh = True
            self.changed()

    def _advance(self, now: float) -> int:
        """Let connections grow older; return the present second."""
        second = int(now - self._base)
        ahead = second - self._second
        if ahead > 0:
            for entry in self.entries.values():
                entry.age(self._second, ahead)
            self._second = second
        return self._second

    # Connections

    def begin(
        self, request: Request, route: Route | None, *, peer: str, now: float, cid: str = ""
    ) -> Counted:
        """Take note of a connection; with `cid` it is a WebSocket.

        One without a route is a connection, but no request that anybody received (3).
        """
        # hot: what is known of a request is put into words only if it is told of; a request that
        # nobody reads about costs 1.7 us, 3.1 if all is made at once (bench/scenarios.py,
        # proxy-plain).
        entry = self.entry(route)
        counted = Counted(self, entry, now, self._advance(now))
        entry.begin()
        if route is not None:
            entry.requests_received += 1
            entry.activity += 1
            if self.counts_heads:
                entry.client_header_bytes_received += request_size(request)
        if cid:
            counted.cid = cid
            counted.transport = "ws"
        if self._tells:
            counted.peer = peer
            counted.secure = request.scheme == b"https"
            self._begun[counted] = None
        if not self._fresh:
            self._touch()
        return counted

    def end(self, counted: Counted, second: int, lasted: int, now: float) -> None:
        """Take note of the end of a connection that began in a second and lasted so many minutes.

        `Counted.over` calls it, once.
        """
        counted.entry.end(second, self._advance(now), lasted)
        if self._tells:
            if counted not in self._begun:
                self._told.discard(counted.cid)
                self._ended.append(Ended(counted.cid))
            elif self._wants_connections:
                self._name(counted)
                self._ended.append(Ended(counted.cid))
            else:
                del self._begun[counted]
        if not self._fresh:
            self._touch()

    def _name(self, counted: Counted) -> None:
        """Give a connection an id, unless it has one."""
        if not counted.cid:
            self._ids += 1
            counted.cid = f"{self._instance}:{self._ids}"

    def active(self, entry: Entry) -> None:
        """Count activity."""
        entry.activity += 1
        self._touch()

    def kept_alive(self, route: Route, kind: int, size: int) -> None:
        """Take note that a holder was sent so many bytes lest it be silent."""
        entry = self.entry(route)
        entry.client_content_bytes_sent += size
        if kind == Kind.SOCKET:
            entry.client_messages_sent += 1
        self.active(entry)

    # Holders

    def attached(self, holder: Holder) -> None:
        """Take note of a holder."""
        self.metrics.attached(holder.kind, self.entry(holder.route).route)

    def released(self, holder: Holder) -> None:
        """Take note that a holder is one no longer."""
        self.metrics.released(holder.kind, self.entry(holder.route).route)

    def subscribed(self, channel: Channel, holder: Holder) -> None:
        """Take note of a subscriber; the channel has it already."""
        self._move(channel, holder, 1)

    def unsubscribed(self, channel: Channel, holder: Holder) -> None:
        """Take note of a subscriber that the channel has no more."""
        self._move(channel, holder, -1)

    def _move(self, channel: Channel, holder: Holder, by: int) -> None:
        key = holder.kind, channel.name
        if holder.route.explicit_id:
            entry = self.entry(holder.route)
            routed = self._routed.setdefault(key, {})
            routed[entry] = routed.get(entry, 0) + by
            if not routed[entry]:
                del routed[entry]
                if not routed:
                    del self._routed[key]
        if self._tells:
            self._moved[key] = channel
            self._touch()

    # Items

    def received(self, item: PublishItem) -> None:
        """Take note of an item that is released, whether or not it has subscribers."""
        self._others.received += 1
        if self._block_size:
            forms = (item.http_response, item.http_stream, item.ws_message)
            blocks = [self._blocks(item, form) for form in forms if form is not None]
            self._others.blocks_received += max(blocks, default=0)
        self._touch()

    def delivered(self, item: PublishItem, channel: Channel) -> None:
        """Take note of an item for the subscribers that a channel has now.

        What counts is what was published for each: before filters, rate limits and failures.
        """
        responses, streams, sockets = channel.holders
        if item.http_response is not None and responses:
            self._deliver(Kind.RESPONSE, item, item.http_response, len(responses))
        if item.http_stream is not None and streams:
            self._deliver(Kind.STREAM, item, item.http_stream, len(streams))
        if item.ws_message is not None and sockets:
            self._deliver(Kind.SOCKET, item, item.ws_message, len(sockets))

    def _deliver(self, kind: Kind, item: PublishItem, form: Format, subscribers: int) -> None:
        blocks = self._blocks(item, form) if self._block_size else 0
        rest = subscribers
        for entry, own in self._routed.get((kind, item.channel), _NONE).items():
            _add(entry, form, own, blocks)
            rest -= own
        if rest:
            _add(self._others, form, rest, blocks)
        self.metrics.delivered(kind, subscribers)
        if self._tells and self._wants_items:
            told = blocks * subscribers if self._block_size else None
            self._sent.append(Sent(self.number, item.channel, item.id, kind, subscribers, told))
        self._touch()

    def _blocks(self, item: PublishItem, form: Format) -> int:
        size = item.size if item.size is not None else len(_body(form))
        return -(-size // self._block_size)

    # What others ask

    def news(self, now: float, *, totals: bool = True) -> News:
        """Return what has changed since the last time; without `totals` no sums."""
        self._advance(now)
        begun = tuple([self._tell(counted) for counted in self._begun])
        self._begun = {}
        moved, self._moved = self._moved, {}
        sent, self._sent = self._sent, []
        ended, self._ended = self._ended, []
        self._fresh = False
        subscribers = [
            Subscribers(kind, name, len(channel.holders[kind]))
            for (kind, name), channel in moved.items()
        ]
        return News(
            begun=begun,
            subscribers=tuple(subscribers),
            sent=tuple(sent),
            ended=tuple(ended),
            totals=tuple(self._totals()) if totals else (),
        )

    def _tell(self, counted: Counted) -> Begun:
        self._name(counted)
        if not counted.is_over:
            self._told.add(counted.cid)
        return Begun(
            counted.cid, counted.entry.route, counted.transport, counted.peer, counted.secure
        )

    def _totals(self) -> list[Total]:
        found = []
        for entry in self.entries.values():
            total = Total(entry.route, entry.connections, entry.peak, values(entry))
            if total != entry.told:
                found.append(total)
                entry.peak = entry.connections
                entry.told = total._replace(peak=entry.peak)
        return found

    def statistics(self, now: float) -> Statistics:
        """Return what there is, and what has been since the start."""
        self._advance(now)
        entries = self.entries.values()
        samples: dict[Sample, float] = {
            ("request_received",): sum(entry.requests_received for entry in entries),
            ("connection_connected",): self.connections,
            ("connection_minute",): sum(entry.minutes for entry in entries),
            ("message_received",): self._others.received,
            ("message_sent",): sum(entry.sent for entry in entries),
            ("client_content_bytes_total", "received"): sum(
                entry.client_content_bytes_received for entry in entries
            ),
            ("client_content_bytes_total", "sent"): sum(
                entry.client_content_bytes_sent for entry in entries
            ),
            ("origin_content_bytes_total", "received"): sum(
                entry.server_content_bytes_received for entry in entries
            ),
            ("origin_content_bytes_total", "sent"): sum(
                entry.server_content_bytes_sent for entry in entries
            ),
        }
        return Statistics(samples | self.metrics.samples())


_NONE: dict[Entry, int] = {}


def _add(entry: Entry, form: Format, subscribers: int, blocks: int) -> None:
    entry.sent += subscribers
    entry.blocks_sent += blocks * subscribers
    if isinstance(form, HttpResponse):
        entry.http_response_sent += subscribers  # its bytes are those of the answer
    elif form.action is Action.SEND:
        entry.client_content_bytes_sent += len(form.content) * subscribers
        if isinstance(form, WebSocketMessage):
            entry.client_messages_sent += subscribers


def _body(form: Format) -> bytes:
    """Return the content of a format; a patch of a body is none (5.3)."""
    return (form.body or b"") if isinstance(form, HttpResponse) else form.content


# Sizes of heads (7)


def request_size(request: Request) -> int:
    """Return the header bytes of a request: method, target, names and values."""
    return len(request.method) + len(request.target) + _size(request.headers)


def response_size(response: Response) -> int:
    """Return the header bytes of a response: status, reason, names and values."""
    return 3 + len(response.reason) + _size(response.headers)


def _size(headers: Headers) -> int:
    return sum([len(name.text) + len(value) for name, value in headers.fields])

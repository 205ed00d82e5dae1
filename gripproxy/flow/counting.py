"""What stories tell the statistics, where there are any (stats.md 3, 7).

A story has a `Watch` or None. What is counted is in `engine.stats`; here is what it is counted
of: clients' requests, the bodies that pass, and what origins answer.
"""

from collections.abc import Callable

from gripproxy.engine.stats import Counted, Counters, request_size, response_size
from gripproxy.engine.sums import Entry
from gripproxy.errors import GripProxyError, OriginError
from gripproxy.flow.ports import Clock, Exchange, Interim, Origin
from gripproxy.protocol import headers as fields
from gripproxy.protocol.forwarding import AddressRule, logical_address
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Receiver, Request, Response, Source
from gripproxy.protocol.routes import Route, Target


class Watch:
    """Counts for stories. The rules say whose address a client has (proxying.md 4.5)."""

    def __init__(
        self,
        counters: Counters,
        *,
        clock: Clock,
        make_id: Callable[[], str],
        rule: AddressRule,
        trusted_rule: AddressRule,
    ) -> None:
        self.counters = counters
        self._clock = clock
        self._make_id = make_id
        self._rules = (rule, trusted_rule)

    # Clients

    def head(self) -> None:
        """Count a request whose head has been read, whatever becomes of it."""
        self.counters.metrics.heads += 1

    def no_route(self, exchange: Exchange) -> None:
        """Count a request that no route takes: a handshake is a connection for a moment (3)."""
        if exchange.request.websocket:
            counted = self._begin(exchange.request, None, self._make_id(), trusted=False)
            counted.over(self._clock.now())

    def request(self, exchange: Exchange, route: Route, *, trusted: bool) -> None:
        """Count a request that a route has taken; its connection says when it is over."""
        counted = exchange.counted = self._begin(exchange.request, route, "", trusted=trusted)
        self._count_body(exchange.request, counted.entry)

    def socket(self, exchange: Exchange, route: Route, cid: str, *, trusted: bool) -> Counted:
        """Count a WebSocket; whoever gets it says when it is over."""
        return self._begin(exchange.request, route, cid, trusted=trusted)

    def _begin(self, request: Request, route: Route | None, cid: str, *, trusted: bool) -> Counted:
        peer = request.peer
        if request.headers.marks & fields.FORWARDED:
            peer = logical_address(request, self._rules[trusted])
        return self.counters.begin(request, route, peer=peer, now=self._clock.now(), cid=cid)

    def _count_body(self, request: Request, entry: Entry) -> None:
        body = request.body
        if isinstance(body, bytes):
            entry.client_content_bytes_received += len(body)
        else:
            # It is read when an origin takes it.
            request.body = _Passing(body, entry.add_request_content)

    def retried(self, route: Route) -> None:
        """Count that a held request goes to its origin again."""
        self.counters.active(self.counters.entry(route))

    # Origins

    async def send(
        self,
        origin: Origin,
        request: Request,
        target: Target,
        route: Route,
        interim: Interim | None = None,
    ) -> Response:
        """Send a request to an origin and count what comes of it; see `flow.ports.Origin.send`."""
        counters = self.counters
        if not counters.counts_origins:
            return await origin.send(request, target, interim)
        entry = counters.entry(route)
        if not request.over_http:  # of a WebSocket its frames count
            if counters.counts_heads:
                entry.server_header_bytes_sent += request_size(request)
            if isinstance(request.body, bytes):
                entry.server_content_bytes_sent += len(request.body)
        began = self._clock.now()
        try:
            response = await origin.send(request, target, interim)
        except OriginError as error:
            counters.metrics.failed(error.kind)
            raise
        counters.metrics.answered(entry.route, response.status, self._clock.now() - began)
        if not request.over_http:
            if counters.counts_heads:
                entry.server_header_bytes_received += response_size(response)
            body = response.body
            if isinstance(body, bytes):
                entry.server_content_bytes_received += len(body)
            else:
                response.body = _Passing(body, entry.add_response_content)
        return response


class _Passing:
    """A body that is counted while it passes: a `Source` around a `Source`."""

    __slots__ = ("_count", "_receiver", "_source")

    def __init__(self, source: Source, count: Callable[[int], None]) -> None:
        self._source = source
        self._count = count
        self._receiver: Receiver

    # As a source

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._source.start(self)

    def pause(self) -> None:
        self._source.pause()

    def resume(self) -> None:
        self._source.resume()

    def abandon(self) -> None:
        self._source.abandon()

    # As the receiver of that source

    def body_piece(self, piece: bytes) -> None:
        self._count(len(piece))
        self._receiver.body_piece(piece)

    def body_end(self, trailers: Headers | None) -> None:
        self._receiver.body_end(trailers)

    def body_failed(self, error: GripProxyError) -> None:
        self._receiver.body_failed(error)

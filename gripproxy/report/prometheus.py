"""Metrics for Prometheus, on a listener of their own (stats.md 9).

First the five metrics that Pushpin has, as it writes them, then ours. `METRICS` is the table of
both; where the numbers come from is `engine.stats` and `engine.metrics`.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler
from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gripproxy.engine.metrics import BOUNDS
from gripproxy.engine.news import Statistics

# Connections at once; more wait until others end (9.1).
CONNECTIONS_MAX = 16
# Bytes of a request's head and of its body.
HEAD_MAX = 8192
BODY_MAX = 8192
# A connection that has asked for nothing yet ends after so many seconds, one that has asked once
# after as many without another request.
ASK_SECONDS = 10.0
IDLE_SECONDS = 75.0

BACKLOG = 128

log = logging.getLogger(__name__)
# What the library would write for each request.
_SILENT = logging.getLogger(f"{__name__}.access")
_SILENT.disabled = True

# Answers that are no metrics: status and text.
_NO_REQUEST = (400, "Failed to parse request header.\n")
_LARGE_HEAD = (400, "Request header too large.\n")
_LARGE_BODY = (400, "Request body too large.\n")
_NO_LENGTH = (411, "Request requires Content-Length.\n")

_WITHOUT_LENGTH = frozenset(("GET", "HEAD", "DELETE", "OPTIONS"))


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: its name without prefix, type, meaning and labels."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...] = ()


# Those of Pushpin come first, in its order and its words, and have no labels.
PUSHPIN = (
    Described("request_received", "counter", "Number of requests received"),
    Described("connection_connected", "gauge", "Number of concurrent connections"),
    Described("connection_minute", "counter", "Number of minutes clients have been connected"),
    Described("message_received", "counter", "Number of messages received by the publish API"),
    Described("message_sent", "counter", "Number of messages sent to clients"),
)
OURS = (
    Described(
        "connmgr_requests_total", "counter", "Total number of requests processed by connmgr"
    ),
    Described("client_connections", "gauge", "TCP connections of clients, idle ones too"),
    Described(
        "client_content_bytes_total", "counter", "Bytes of content of clients", ("direction",)
    ),
    Described("holds", "gauge", "Connections that are held", ("transport", "route")),
    Described("channels", "gauge", "Channels that are subscribed"),
    Described(
        "deliveries_total",
        "counter",
        "Items times their subscribers, before filters",
        ("transport",),
    ),
    Described(
        "deliveries_dropped_total", "counter", "Items that did not reach a holder", ("reason",)
    ),
    Described("write_queue_bytes", "gauge", "Bytes that wait for clients to take them"),
    Described("publish_items_total", "counter", "Items that publishers sent", ("input",)),
    Described(
        "publish_items_refused_total",
        "counter",
        "Messages of publishers that were no items",
        ("input", "reason"),
    ),
    Described(
        "origin_request_seconds",
        "histogram",
        "Time from a request to an origin to the head of its response",
        ("route", "code"),
    ),
    Described("origin_errors_total", "counter", "Requests that got no response", ("error",)),
    Described("origin_connections", "gauge", "Connections to origins", ("state",)),
    Described(
        "origin_content_bytes_total", "counter", "Bytes of content of origins", ("direction",)
    ),
    Described(
        "cache_requests_total",
        "counter",
        "Requests to routes with cache, by how they were answered",
        ("result",),
    ),
    Described("cache_purges_total", "counter", "Purges, by what caused them", ("cause",)),
    Described("cache_purged_total", "counter", "Stored responses that purges took back"),
    Described("cache_evicted_total", "counter", "Stored responses that made room for others"),
    Described("cache_entries", "gauge", "Responses that are stored"),
    Described("cache_bytes", "gauge", "Bytes that they take"),
    Described("cache_limit_bytes", "gauge", "Bytes that they may take"),
    Described("cache_tags", "gauge", "Keys, channels and URLs that something stored depends on"),
    Described("worker_up", "gauge", "Whether a worker process answers", ("worker",)),
    Described(
        "event_loop_lag_seconds", "gauge", "How late a worker's timer was last", ("worker",)
    ),
)
METRICS = PUSHPIN + OURS


# Text


def render(statistics: Statistics, prefix: str = "") -> bytes:
    """Return statistics in the text format of Prometheus, each name with a prefix."""
    samples = statistics.samples
    lines = []
    for metric in PUSHPIN:
        name = prefix + metric.name
        lines.append(f"# HELP {name} {metric.meaning}\n# TYPE {name} {metric.kind}\n")
        lines.append(f"{name} {int(samples.get((metric.name,), 0))}\n")
    return "".join(lines).encode() + generate_latest(_Ours(samples, prefix))


class _Ours(Collector):
    """Our metrics, as the library wants them."""

    def __init__(self, samples: Mapping[tuple[str, ...], float], prefix: str) -> None:
        self._samples = samples
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, dict[tuple[str, ...], float]] = {}
        for (name, *labels), value in self._samples.items():
            by_name.setdefault(name, {})[tuple(labels)] = value
        for metric in OURS:
            yield self._family(metric, by_name)

    def _family(
        self, metric: Described, by_name: Mapping[str, Mapping[tuple[str, ...], float]]
    ) -> Metric:
        name, labels = self._prefix + metric.name, metric.labels
        if metric.kind == "histogram":
            histogram = HistogramMetricFamily(name, metric.meaning, labels=labels)
            buckets = by_name.get(f"{metric.name}_bucket", {})
            for key, seconds in by_name.get(f"{metric.name}_sum", {}).items():
                histogram.add_metric(key, list(_cumulated(buckets, key)), seconds)
            return histogram
        found = by_name.get(metric.name, {})
        family: Metric
        if metric.kind == "counter":
            family = counter = CounterMetricFamily(name, metric.meaning, labels=labels)
            for key, value in sorted(found.items()):
                counter.add_metric(key, value)
        else:
            family = gauge = GaugeMetricFamily(name, metric.meaning, labels=labels)
            for key, value in sorted(found.items()):
                gauge.add_metric(key, value)
        return family


def _cumulated(
    buckets: Mapping[tuple[str, ...], float], key: tuple[str, ...]
) -> Iterator[tuple[str, float]]:
    count = 0.0
    for bound in BOUNDS:
        count += buckets.get((*key, bound), 0)
        yield bound, count


# HTTP


class MetricsServer:
    """Answers requests for metrics; any path will do.

    `collect` gathers the numbers of all processes.
    """

    def __init__(self, collect: Callable[[], Awaitable[Statistics]], *, prefix: str = "") -> None:
        self._collect = collect
        self._prefix = prefix
        self._web = _Web(self._serve)
        self._listener: asyncio.Server | None = None

    async def listen(self, sock: socket.socket) -> None:
        """Answer on a bound socket."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._web, sock=sock, backlog=BACKLOG)

    async def close(self) -> None:
        """Stop answering."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._web.shutdown(0)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._web.turn(request.protocol)
        refusal = await _refusal(request)
        if refusal is not None:
            return _refused(refusal)
        text = render(await self._collect(), self._prefix)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def _refusal(request: web.BaseRequest) -> tuple[int, str] | None:
    """Return why a request gets no metrics, None if it does; its body is read."""
    head = len(request.method) + len(request.raw_path)
    head += sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if head > HEAD_MAX:
        return _LARGE_HEAD
    length = request.content_length
    if length is None and request.method not in _WITHOUT_LENGTH:
        return _NO_LENGTH
    if (length or 0) > BODY_MAX:
        return _LARGE_BODY
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > BODY_MAX:
            return _LARGE_BODY
    return None


def _refused(refusal: tuple[int, str]) -> web.Response:
    status, text = refusal
    response = web.Response(status=status, text=text)
    response.force_close()
    return response


class _Connection(RequestHandler):
    """A connection that says in our words what was no request."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status == 500:
            log.error("metrics: %r", exc)
            return _refused((500, "Internal error.\n"))
        return _refused(_LARGE_HEAD if isinstance(exc, LineTooLong) else _NO_REQUEST)


class _Web(web.Server):
    """Serves a few connections at once; more wait for their turn, and too many are closed."""

    def __init__(self, serve: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(serve)
        self._now = asyncio.get_running_loop()
        self._served: dict[RequestHandler, asyncio.TimerHandle] = {}
        self._waiting: dict[RequestHandler, asyncio.Future[None]] = {}

    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=self._now,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=HEAD_MAX,
            max_field_size=HEAD_MAX,
            lingering_time=0.0,
            access_log=_SILENT,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._served) < CONNECTIONS_MAX:
            self._give_turn(handler)
        elif len(self._waiting) < BACKLOG:
            self._waiting[handler] = self._now.create_future()
        else:
            transport.abort()

    def _give_turn(self, handler: RequestHandler) -> None:
        self._served[handler] = self._now.call_later(ASK_SECONDS, handler.force_close)

    async def turn(self, handler: RequestHandler) -> None:
        """Wait until a connection that has sent a request may be answered."""
        waiting = self._waiting.get(handler)
        if waiting is not None:
            await waiting
        if handler in self._served:
            self._served[handler].cancel()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        waiting = self._waiting.pop(handler, None)
        if waiting is not None:
            waiting.cancel()
        timer = self._served.pop(handler, None)
        if timer is not None:
            timer.cancel()
            if self._waiting:
                following = next(iter(self._waiting))
                turn = self._waiting.pop(following)
                self._give_turn(following)
                turn.set_result(None)

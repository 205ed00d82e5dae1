"""The access lines: one when a request ends or begins to be held (config.md 5.2, 5.3).

Their fields and order are Pushpin's, so that what reads its logs reads ours; what we add stands at
the end. In a JSON log each part is a field. A route's `log_level` counts for all that is said
about it, in the place of the service's level.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gripproxy.engine.origins import Origin
from gripproxy.flow.ports import Exchange
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.messages import Request
from gripproxy.protocol.routes import Route, Target

# The level at which each request has a line (5.1).
LEVEL_OF_LINES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What access lines show, and at which level (config.md 2.2, 3.3).

    `level` is that of the service `proxy`, for the lines of requests; `handler_level` that of
    `handler`, for those of subscriptions and items. `worker` is the number of this process if
    there are several.
    """

    client: bool = False  # log_from
    user_agent: bool = False
    level: int = LEVEL_OF_LINES
    handler_level: int = LEVEL_OF_LINES
    worker: int | None = None


Fields = Mapping[str, Json]


@dataclass(slots=True, eq=False, kw_only=True)
class _Line:
    """What is told of a request."""

    request: Request | None  # of a client
    route: Route | None
    target: Target | None = None
    method: bytes = b""
    uri: bytes = b""
    status: int | None = None
    size: int = 0
    word: str = ""  # that says it all: `accept` or `error`
    retry: bool = False
    last: Mapping[str, str] | None = None
    took: float | None = None  # seconds


class Access:
    """Writes access lines; with no `line` it writes none, and makes none.

    With `record` they go there instead, as a word and fields. `now` tells the time for those that
    say how long it took.
    """

    def __init__(
        self,
        line: Callable[[str], None] | None,
        settings: Settings,
        *,
        record: Callable[[str, Fields], None] | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._line = line
        self._record = record
        self._now = now
        self._settings = settings
        self._tells = line is not None and settings.level >= LEVEL_OF_LINES
        self._tells_handler = line is not None and settings.handler_level >= LEVEL_OF_LINES

    def _shows(self, route: Route | None, *, handler: bool = False) -> bool:
        if route is None or route.log_level is None:
            return self._tells_handler if handler else self._tells
        return self._line is not None and route.log_level >= LEVEL_OF_LINES

    def begins(self) -> float | None:
        """Return the moment at which a request begins, None if nobody wants to know."""
        return self._now() if self._now is not None else None

    def _since(self, began: float | None) -> float | None:
        return self._now() - began if began is not None and self._now is not None else None

    def answered(
        self,
        exchange: Exchange,
        request: Request,
        route: Route | None,
        target: Target | None,
        status: int,
        *,
        retry: bool = False,
        began: float | None = None,
    ) -> None:
        """Tell of a request that was answered."""
        if self._shows(route):
            self._tell(
                _Line(
                    request=request,
                    route=route,
                    target=target,
                    status=status,
                    size=exchange.sent,
                    retry=retry,
                    took=self._since(began),
                )
            )

    def broke_off(
        self,
        request: Request,
        route: Route | None,
        target: Target | None,
        *,
        began: float | None = None,
    ) -> None:
        """Tell of a request whose client left, or whose response broke off."""
        if self._shows(route):
            took = self._since(began)
            self._tell(_Line(request=request, route=route, target=target, word="error", took=took))

    def held(self, origin: Origin, channels: Iterable[str]) -> None:
        """Tell of a request that is held, and of its channels."""
        if self._shows(origin.route):
            self._tell(
                _Line(
                    request=origin.request,
                    route=origin.route,
                    target=origin.target,
                    word="accept",
                    retry=origin.retried,
                    last=origin.last,
                )
            )
        if self._shows(origin.route, handler=True):
            for channel in channels:
                self._subscription(origin.request, channel, retry=origin.retried)

    def subscribed(self, request: Request, route: Route, channel: str) -> None:
        """Tell that a WebSocket was subscribed to a channel."""
        if self._shows(route, handler=True):
            self._subscription(request, channel, retry=False)

    def _subscription(self, request: Request, channel: str, *, retry: bool) -> None:
        uri = request.uri.decode("latin-1")
        if self._record is not None:
            also: Fields = {"retry": True} if retry else {}
            self._record("subscribe", {"uri": uri, "channel": channel, **also})
        else:
            assert self._line is not None  # or nothing is shown
            self._line(f"subscribe {uri} channel={channel}{' retry' if retry else ''}")

    def published(self, channel: str, receivers: int) -> None:
        """Tell of a released item."""
        if self._tells_handler:
            if self._record is not None:
                self._record("publish", {"channel": channel, "receivers": receivers})
            else:
                assert self._line is not None  # or nothing is shown
                self._line(f"publish channel={channel} receivers={receivers}")

    def made(self, method: bytes, uri: bytes, route: Route, status: int | None, size: int) -> None:
        """Tell of a request of our own: a link's or a filter's; no status if it failed."""
        if self._shows(route):
            self._tell(
                _Line(
                    request=None,
                    route=route,
                    method=method,
                    uri=uri,
                    status=status,
                    size=size,
                    word="error" if status is None else "",
                )
            )

    # How it is told

    def _tell(self, line: _Line) -> None:
        if line.request is not None:
            line.method, line.uri = line.request.method, line.request.uri
        if self._record is not None:
            self._record("request", dict(self._fields(line)))
        else:
            assert self._line is not None  # or nothing is shown
            self._line(self._text(line))

    def _fields(self, line: _Line) -> Iterator[tuple[str, Json]]:
        yield "method", line.method.decode("latin-1")
        yield "uri", line.uri.decode("latin-1")
        if line.target is not None:
            yield "target", _named(line.target, line.request)
        yield from self._of_client(line.request)
        if line.route is not None and line.route.explicit_id:
            yield "route", line.route.id
        if line.status is not None:
            yield "code", line.status
            yield "size", line.size
        if line.word:
            yield line.word, True
        if line.retry:
            yield "retry", True
        agent = self._agent(line.request)
        if agent:
            yield "ua", agent
        if line.last:
            yield "last", dict(line.last)
        yield from self._added(line)

    # hot: made of parts and not of the fields (bench/scenarios.py, proxy-plain: 1.5 us a request
    # less, and the log has each one by default).
    def _text(self, line: _Line) -> str:
        parts = [f"{line.method.decode('latin-1')} {line.uri.decode('latin-1')}"]
        if line.target is not None:
            parts.append(f"-> {_named(line.target, line.request)}")
        parts += [f"{name}={value}" for name, value in self._of_client(line.request)]
        if line.route is not None and line.route.explicit_id:
            parts.append(f"route={line.route.id}")
        if line.status is not None:
            parts.append(f"code={line.status} {line.size}")
        if line.word:
            parts.append(line.word)
        if line.retry:
            parts.append("retry")
        agent = self._agent(line.request)
        if agent:
            parts.append(f"ua={agent}")
        if line.last:
            parts += [f"#{name}={last}" for name, last in line.last.items()]
        parts += [f"{name}={value}" for name, value in self._added(line)]
        return " ".join(parts)

    def _of_client(self, request: Request | None) -> list[tuple[str, str]]:
        if request is None:
            return []
        found = []
        if self._settings.client and request.peer:
            found.append(("from", request.peer))
        referer = request.headers.get(b"referer")
        if referer:
            found.append(("ref", referer.decode("latin-1")))
        return found

    def _added(self, line: _Line) -> list[tuple[str, Json]]:
        """Return what Pushpin does not tell."""
        found: list[tuple[str, Json]] = []
        if line.route is None and line.status == 502:
            found.append(("error", "no-route"))
        if line.took is not None:
            found.append(("t", round(line.took, 4)))
        if self._settings.worker is not None:
            found.append(("worker", self._settings.worker))
        return found

    def _agent(self, request: Request | None) -> str:
        if request is None or not self._settings.user_agent:
            return ""
        return (request.headers.get(b"user-agent") or b"").decode("latin-1")


def _named(target: Target, request: Request | None) -> str:
    over_http = request is not None and request.websocket and target.over_http
    return f"{target}[http]" if over_http else str(target)


# Other lines about a route


def log_of(route: Route | None) -> logging.Logger:
    """Return the logger for what is said about a route now and then: one with its own level."""
    return _logger(None if route is None else route.log_level)


@lru_cache(maxsize=64)
def _logger(level: int | None) -> logging.Logger:
    log = logging.getLogger("gripproxy")
    if level is None:
        return log
    log = log.getChild(f"level{level}")
    # Below 0 there is nothing; above 3 is what we say of ourselves only when we trace.
    log.setLevel(_LEVELS[min(level, len(_LEVELS) - 1)] if level >= 0 else logging.CRITICAL + 1)
    return log


_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)

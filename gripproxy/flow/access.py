"""The access lines: one when a request ends or begins to be held (config.md 5.2, 5.3).

Their fields and order are Pushpin's, so that what reads its logs reads ours.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gripproxy.engine.origins import Origin
from gripproxy.flow.ports import Exchange
from gripproxy.protocol.messages import Request
from gripproxy.protocol.routes import Route, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What access lines show (config.md 3.3)."""

    client: bool = False  # log_from
    user_agent: bool = False


class Access:
    """Writes access lines; with no `line` it writes none, and makes none."""

    def __init__(self, line: Callable[[str], None] | None, settings: Settings) -> None:
        self._line = line
        self._settings = settings

    def answered(
        self,
        exchange: Exchange,
        request: Request,
        route: Route | None,
        target: Target | None,
        status: int,
        *,
        retry: bool = False,
    ) -> None:
        """Tell of a request that was answered."""
        if self._line is not None:
            tail = f"code={status} {exchange.sent}"
            self._line(self._text(request, route, target, tail, retry=retry))

    def broke_off(self, request: Request, route: Route | None, target: Target | None) -> None:
        """Tell of a request whose client left, or whose response broke off."""
        if self._line is not None:
            self._line(self._text(request, route, target, "error", retry=False))

    def held(self, origin: Origin, channels: Iterable[str]) -> None:
        """Tell of a request that is held, and of its channels."""
        if self._line is None:
            return
        text = self._text(
            origin.request, origin.route, origin.target, "accept", retry=origin.retried
        )
        self._line(text + "".join(f" #{name}={last}" for name, last in origin.last.items()))
        uri = origin.request.uri.decode("latin-1")
        retry = " retry" if origin.retried else ""
        for channel in channels:
            self._line(f"subscribe {uri} channel={channel}{retry}")

    def made(self, method: bytes, uri: bytes, route: Route, status: int | None, size: int) -> None:
        """Tell of a request of our own: a link's or a filter's; no status if it failed."""
        if self._line is not None:
            of_route = f" route={route.id}" if route.explicit_id else ""
            tail = f"code={status} {size}" if status is not None else "error"
            self._line(f"{method.decode()} {uri.decode('latin-1')}{of_route} {tail}")

    def subscribed(self, request: Request, channel: str) -> None:
        """Tell that a WebSocket was subscribed to a channel."""
        if self._line is not None:
            self._line(f"subscribe {request.uri.decode('latin-1')} channel={channel}")

    def published(self, channel: str, receivers: int) -> None:
        """Tell of a released item."""
        if self._line is not None:
            self._line(f"publish channel={channel} receivers={receivers}")

    def _text(
        self,
        request: Request,
        route: Route | None,
        target: Target | None,
        tail: str,
        *,
        retry: bool,
    ) -> str:
        parts = [f"{request.method.decode('latin-1')} {request.uri.decode('latin-1')}"]
        if target is not None:
            parts.append(
                f"-> {target}{'[http]' if request.websocket and target.over_http else ''}"
            )
        if self._settings.client and request.peer:
            parts.append(f"from={request.peer}")
        referer = request.headers.get(b"referer")
        if referer:
            parts.append(f"ref={referer.decode('latin-1')}")
        if route is not None and route.explicit_id:
            parts.append(f"route={route.id}")
        parts.append(tail)
        if retry:
            parts.append("retry")
        agent = request.headers.get(b"user-agent") if self._settings.user_agent else None
        if agent:
            parts.append(f"ua={agent.decode('latin-1')}")
        return " ".join(parts)

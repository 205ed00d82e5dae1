"""What becomes of a request, without sending it: its route, and what its origin is asked.

Specification: config.md 7.2, `gripproxy explain`. The route is chosen and the
request changed by what serves requests; what is known only then (the key of a WebSocket's
handshake, its id) is an example here.
"""

import re
from collections.abc import Iterator, Sequence

from gripproxy.errors import RequestError, UsageError
from gripproxy.flow import request as requesting
from gripproxy.flow.request import Settings
from gripproxy.logs import escape
from gripproxy.protocol import forwarding, jsonp, requests, routesfile, sockjs, wsevents
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request
from gripproxy.protocol.routes import ANY_HOST, Miss, Route, RouteTable, Target

_URL = re.compile(r"(https?|wss?)://([^/?#\s]+)([^#\s]*)", re.IGNORECASE)
_NO_ASCII = re.compile(rb"[\x80-\xff]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_URL = 'the URL "{}" must look like http://HOST/PATH, or with https, ws or wss'

# What a browser asks for a WebSocket with; the key is the example of RFC 6455.
_HANDSHAKE = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)


def make_request(url: str, *, method: str, lines: Sequence[str], peer: str) -> Request:
    """Return the request of a client for a URL; `lines` are header fields, each `NAME: VALUE`.

    Raises:
        UsageError: the URL, the method or a field is none.
        RequestError: a client that sends it is refused.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise UsageError(_BAD_URL.format(url))
    scheme, authority, target = found[1].lower(), found[2], found[3]
    if not _TOKEN.fullmatch(method):
        raise UsageError(f'"{method}" is no method')
    pairs = [(b"Host", _wire(authority)), *map(_field, lines)]
    if scheme.startswith("ws"):
        pairs += _HANDSHAKE
    target = target if target.startswith("/") else f"/{target}"
    secure = scheme in ("https", "wss")
    return requests.request(
        method.encode(), _wire(target), 1, Headers(pairs), secure=secure, peer=peer
    )


def _field(line: str) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(":")
    if not (colon and _TOKEN.fullmatch(name)) or not value.isprintable():
        raise UsageError(f'"{line}" is no header field; write it as "NAME: VALUE"')
    return name.encode(), value.strip(" ").encode(errors="replace")


def _wire(text: str) -> bytes:
    """Return a part of a URL as browsers send it: what is no ASCII is percent-encoded."""
    return _NO_ASCII.sub(lambda found: b"%%%02X" % found[0][0], text.encode(errors="replace"))


def explain(
    asked: Request, table: RouteTable, forwarder: Forwarder, settings: Settings, *, wall: float
) -> tuple[list[str], bool]:
    """Say what becomes of a request, in lines, and whether an origin is asked."""
    route = requesting.choose(table, asked, settings)
    if route is None:
        return [*_say_no_route(asked, table, settings), "The client gets 502 Bad Gateway."], False
    lines = [f"{route.place}: {routesfile.explain(route)}", ""]
    try:
        return lines + list(_say_origins(asked, route, forwarder, settings, wall)), True
    except RequestError as error:
        return [*lines, refused(error)], False


def refused(error: RequestError) -> str:
    """Say how a client is refused."""
    return f"The client gets {error.status}: {error.text}"


# No route


def _say_no_route(asked: Request, table: RouteTable, settings: Settings) -> Iterator[str]:
    named = asked.headers.get(b"pushpin-route") if settings.accept_route else None
    if named and table.by_id(named, asked.path) is not Miss.SHARED:
        yield f"No route: none of the id {_shown(named)} takes this path."
        return
    host = _shown(asked.host)
    own = [route for route in table.routes if route.domain == host]
    if own:
        places = ", ".join(route.place for route in own)
        yield f"No route: the host {host} has lines, but none takes this request ({places})."
        yield "Lines for * are only for hosts without lines of their own."
    elif any(route.domain == ANY_HOST for route in table.routes):
        yield f"No route: the host {host} has no line, and none for * takes this request."
    else:
        yield f"No route: there is no line for the host {host}, and none for *."


# What origins are asked


def _say_origins(
    asked: Request, route: Route, forwarder: Forwarder, settings: Settings, wall: float
) -> Iterator[str]:
    if route.sockjs and asked.path.startswith(route.sockjs):
        place = sockjs.place(asked.path, route.sockjs)
        yield f"This is SockJS, {place.what.value}: the origin sees only WebSockets."
        return
    if settings.cross_origin or route.aco:
        meant = jsonp.read(asked, route)
        if meant is not None:
            asked = meant[1]
            yield f"This is JSON-P: it means {_shown(asked.method)} {_shown(asked.uri)}."
    if forwarding.hops_left(asked) == 0:
        yield "Max-Forwards is 0: this proxy answers itself."
        return
    outgoing = forwarder.to_origin(asked, route, wall=wall)
    said: dict[tuple[str, ...], list[Target]] = {}
    for target in route.targets:
        said.setdefault(tuple(_head(outgoing, target)), []).append(target)
    tried: list[Target] = []
    for head, targets in said.items():
        yield _say_targets(targets, first=not tried)
        yield from (f"    {line}" for line in head)
        tried += targets
    if route.cache and not asked.websocket:
        yield "Nobody is asked if what is stored can answer it."


def _say_targets(targets: Sequence[Target], *, first: bool) -> str:
    named = ", or if that cannot be reached ".join(map(_name, targets))
    asked = f"{named}{',' if len(targets) > 1 else ''} is asked:"
    return asked if first else f"If none of these is reached, {asked}"


def _name(target: Target) -> str:
    named = "the built-in test origin" if target.kind == "test" else str(target)
    return f"{named} (TLS)" if target.ssl else named


def _head(outgoing: Request, target: Target) -> Iterator[str]:
    """Yield the lines of the head that a target gets."""
    request = forwarding.for_target(outgoing, target)
    headers, method = request.headers, request.method
    if request.websocket and target.over_http:
        kept = [field for field in headers.fields if wsevents.is_repeated(field[0].text)]
        added = wsevents.exchange_fields(b"ID", (), replayed=0)
        headers, method = Headers.of(kept, headers.marks).plus(*added), b"POST"
    elif request.websocket:
        ours = tuple(name.lower() for name, _ in _HANDSHAKE)
        headers = headers.without(*ours).plus(*_HANDSHAKE)
    yield f"{_shown(method)} {_shown(request.target)} HTTP/1.1"
    yield f"Host: {_shown(request.authority)}"
    for name, value in headers:
        # Whoever has a real one can speak to the origin as if he were us.
        shown = "(a token)" if name == b"Grip-Sig" else _shown(value)
        yield f"{_shown(name)}: {shown}"


def _shown(wire: bytes) -> str:
    return escape(wire.decode(errors="replace"))

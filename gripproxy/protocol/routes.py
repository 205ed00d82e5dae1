"""Routes: which line of the routes file a request takes, and what the line says.

Specification: routes.md 3-7; proxying.md 3. How a line is read is in `routelines`; what becomes
of a request on its route, in `forwarding`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from gripproxy.protocol.keys import KeySource

Proto = Literal["http", "ws"]
JsonpMode = Literal["basic", "extended"]
TargetKind = Literal["tcp", "unix", "test"]

ANY_HOST = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One address of an origin and how to speak to it (routes.md 7).

    `host` has no brackets; it is the path of a `unix` target and the `path_beg` of a `test` one.
    `host_field` is the parameter `host`, empty if what the request says stays. `client_cert` and
    `client_key` are paths whose files could be read.
    """

    kind: TargetKind
    host: str = ""
    port: int = 0
    ssl: bool = False
    untrusted: bool = False
    insecure: bool = False
    trust_connect_host: bool = False
    host_field: bytes = b""
    subs: tuple[str, ...] = ()
    over_http: bool = False
    one_event: bool = False
    client_cert: str = ""
    client_key: str = ""
    ipc_file_mode: int | None = None  # only ZeroMQ sockets will have one

    def __str__(self) -> str:
        if self.kind == "tcp":
            return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"unix:{self.host}" if self.kind == "unix" else "test"


# Compared by identity: a route is kept by holds and is a key of tables, and forty fields are slow
# to hash. Two readings of one line are two routes, as they should be for whatever is kept by one.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """A line of the routes file (routes.md 3, 6). Texts that go on the wire are bytes."""

    targets: tuple[Target, ...]
    # The condition
    domain: str | None  # lower case, no brackets; None: reachable by its id alone
    proto: Proto | None = None
    ssl: bool | None = None
    path_beg: bytes = b""
    # Names
    id: str
    explicit_id: bool = False  # no: `id` is made of the condition, and shown nowhere
    # GRIP
    prefix: str = ""
    no_grip: bool = False
    session: bool = False
    sig_iss: str = ""
    sig_key: KeySource | None = None
    sig_key_text: str = field(default="", repr=False)
    # What the origin is asked
    as_host: bytes = b""
    path_rem: int = 0
    replace_beg: bytes | None = None
    orig_headers: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()  # each name once; an empty value only removes
    # Browsers
    aco: bool = False
    jsonp_mode: JsonpMode = "extended"
    jsonp_cb: bytes = b""
    jsonp_body: bytes = b""
    jsonp_defcb: bytes = b""
    jsonp_defmethod: bytes = b""
    sockjs: bytes = b""
    sockjs_as_path: bytes = b""
    # The proxy
    debug: bool = False
    log_level: int | None = None
    cache: bool = False
    purge_channel: bool = False  # `purge=channel`
    # The line
    file: str = ""
    line: int = 0
    source: str = field(default="", repr=False)  # may have a secret in it
    warnings: tuple[str, ...] = ()
    parameters_used: frozenset[str] = frozenset()

    @property
    def place(self) -> str:
        """The line's place as messages say it."""
        return f"{self.file}:{self.line}"

    @property
    def condition(self) -> tuple[str | None, Proto | None, bool | None, bytes]:
        """What makes two lines duplicates if it is equal in both."""
        return self.domain, self.proto, self.ssl, self.path_beg


class Miss(Enum):
    """Why there is no route of an id."""

    UNKNOWN = "no line has it"
    OTHER_PATH = "its line is for other paths"
    SHARED = "several lines have it"


class RouteTable:
    """All routes of a file. Lines with equal conditions must have been taken out (`distinct`)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        lines: dict[bytes, list[Route]] = {}
        self._ids: dict[str, Route | Miss] = {}
        for route in self.routes:
            self._ids[route.id] = Miss.SHARED if route.id in self._ids else route
            if route.domain is not None:
                lines.setdefault(route.domain.encode(), []).append(route)
        self._default = _by_kind(lines.pop(ANY_HOST.encode(), []))
        self._hosts = {host: _by_kind(routes) for host, routes in lines.items()}

    def match(self, host: bytes, path: bytes, *, secure: bool, websocket: bool) -> Route | None:
        """Return the route of a request (routes.md 4).

        `host` is in lower case, without port and brackets; `path` has no query.
        """
        # A host that has lines is not looked up again under `*` if none of them matches.
        candidates = self._hosts.get(host, self._default)[secure << 1 | websocket]
        if candidates.walked:
            return _walk(candidates.walked, path)
        for path_beg, route in candidates.ranked:
            if path.startswith(path_beg):
                return route
        return None

    def by_id(self, route_id: bytes, path: bytes) -> Route | Literal[Miss.SHARED] | None:
        """Return the route that a `Pushpin-Route` field names (proxying.md 3.2), None if none.

        An id that several lines have, and an empty one, leave the choice to `match`:
        `Miss.SHARED`.
        """
        if not route_id:
            return Miss.SHARED
        found = self.again(route_id.decode(errors="replace"), path)
        return None if found is Miss.UNKNOWN or found is Miss.OTHER_PATH else found

    def again(self, route_id: str, path: bytes) -> Route | Miss:
        """Return what has the id of a held request's route now (routes.md 5)."""
        found = self._ids.get(route_id, Miss.UNKNOWN)
        if isinstance(found, Route) and not path.startswith(found.path_beg):
            return Miss.OTHER_PATH
        return found


def distinct(routes: Iterable[Route]) -> tuple[list[Route], list[Route]]:
    """Return the routes that count and those whose condition an earlier one has (routes.md 4)."""
    kept: list[Route] = []
    doubled: list[Route] = []
    seen: set[object] = set()
    for route in routes:
        if route.domain is not None and route.condition in seen:
            doubled.append(route)
        else:
            seen.add(route.condition)
            kept.append(route)
    return kept, doubled


# The choice. What can be decided before a path is known is decided once, for each host and each
# of the four kinds of request: plain or TLS, request or WebSocket. So a host of one line costs one
# look-up, and nothing has to be remembered of earlier requests.


class _Candidates:
    """The lines of one host that one kind of request may take.

    Mostly they can be ranked, and the first whose path fits wins: `ranked`. Where lines with
    `ssl` and lines without compete, rule 5 of the walk makes the result depend on the order of
    the lines, and not even transitive; such lines are `walked` for each request.
    """

    __slots__ = ("ranked", "walked")

    def __init__(self, routes: list[Route]) -> None:
        kinds = {(route.proto, route.ssl) for route in routes}
        mixed = len(kinds) > len({proto for proto, _ in kinds})
        self.walked = tuple(routes) if mixed else ()
        ranks = sorted(routes, key=lambda route: (route.proto is None, -len(route.path_beg)))
        self.ranked = tuple((route.path_beg, route) for route in ranks)


def _by_kind(routes: list[Route]) -> tuple[_Candidates, ...]:
    return tuple(
        _Candidates([r for r in routes if r.proto in (None, proto) and r.ssl in (None, secure)])
        for secure in (False, True)
        for proto in ("http", "ws")
    )


def _walk(routes: Iterable[Route], path: bytes) -> Route | None:
    """Choose among lines in the order of the file, by the table of routes.md 4."""
    best: Route | None = None
    for route in routes:
        if path.startswith(route.path_beg) and (best is None or _replaces(route, best)):
            best = route
    return best


def _replaces(route: Route, best: Route) -> bool:
    if (route.proto is None) != (best.proto is None):
        return best.proto is None
    if len(route.path_beg) > len(best.path_beg):
        return True
    return route.ssl is not None and best.ssl is None


# What routes want together


def takes_all(routes: Iterable[Route]) -> bool:
    """Tell whether an instance has to know of each item, held or not.

    What is stored may be a snapshot of any channel (cache-and-purge.md, *Snapshot and replay*).
    """
    return any(route.cache for route in routes)


def purges_channels(routes: Iterable[Route]) -> bool:
    """Tell whether an item takes back what has its channel as a tag, on any of these routes."""
    return any(route.cache and route.purge_channel for route in routes)

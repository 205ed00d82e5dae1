"""The routes file as a whole: its lines, what is wrong or odd, and what it comes to in words.

Specification: routes.md 1, 2.1, 4, 5, 8. Lines are independent of each other; what a bad one does
to the table is for the caller to decide (routes.md 9).
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gripproxy.errors import RouteError
from gripproxy.protocol import routelines, routes, routesyntax
from gripproxy.protocol.keys import Read
from gripproxy.protocol.routes import ANY_HOST, Route, Target

_OPTION_PLACE = "<route>"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesFile:
    """What is in a routes file. On a reload errors keep the old table, warnings do not."""

    routes: tuple[Route, ...]
    errors: tuple[RouteError, ...]
    warnings: tuple[str, ...]


def parse(text: str, file: str, read: Read) -> RoutesFile:
    """Read a routes file; `read` opens the files that its lines name."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    numbered = [(n, line) for n, line in enumerate(lines, 1) if not routesyntax.is_blank(line)]
    found, errors = _parse_lines(numbered, file, read)
    kept, doubled = routes.distinct(found)
    odd = [(route.line, warning) for route in found for warning in route.warnings]
    # No colon behind the place: the text is as old as the file format, and people look for it.
    odd += [(route.line, f"{route.place} skipping duplicate condition") for route in doubled]
    odd += [(shared[0].line, _say_shared(shared)) for shared in _shared_ids(kept)]
    odd.sort(key=lambda pair: pair[0])
    return RoutesFile(
        routes=tuple(kept), errors=tuple(errors), warnings=tuple(warning for _, warning in odd)
    )


def parse_options(values: Iterable[str], read: Read) -> RoutesFile:
    """Read the values of `--route`, each one line; duplicates are dropped without a word."""
    found, errors = _parse_lines(((1, value) for value in values), _OPTION_PLACE, read)
    kept, _ = routes.distinct(found)
    warnings = [warning for route in found for warning in route.warnings]
    return RoutesFile(routes=tuple(kept), errors=tuple(errors), warnings=tuple(warnings))


def _parse_lines(
    lines: Iterable[tuple[int, str]], file: str, read: Read
) -> tuple[list[Route], list[RouteError]]:
    found: list[Route] = []
    errors: list[RouteError] = []
    for number, text in lines:
        try:
            found.append(routelines.parse_line(text, file, number, read))
        except RouteError as error:
            errors.append(error)
    return found, errors


def _shared_ids(kept: Iterable[Route]) -> list[list[Route]]:
    holders: dict[str, list[Route]] = {}
    for route in kept:
        holders.setdefault(route.id, []).append(route)
    return [shared for shared in holders.values() if len(shared) > 1]


def _say_shared(shared: list[Route]) -> str:
    lines = ", ".join(str(route.line) for route in shared)
    return (
        f'{shared[0].place}: id "{shared[0].id}" is that of lines {lines}: it names none of them'
    )


# For those who run the proxy


def by_domain(table: Iterable[Route]) -> Iterator[str]:
    """Yield the lines of the debug log that show a table (routes.md 2.1)."""
    yield "routes by domain:"
    for route in table:
        if route.domain is not None:
            name = "(default)" if route.domain == ANY_HOST else route.domain
            targets = " ".join(
                f"{target.host};{target.port}" if target.kind == "tcp" else str(target)
                for target in route.targets
            )
            yield f"  {name}: {targets}"


def order_notes(table: Iterable[Route]) -> list[str]:
    """Name the pairs of lines whose order decides which of them wins (routes.md 4)."""
    return [
        f"{second.place}: {_say_rival(first, second)} this line wins over line {first.line}, "
        "because it stands behind it"
        for first, second in itertools.combinations(table, 2)
        if _rivals(first, second) or _rivals(second, first)
    ]


def _rivals(guarded: Route, longer: Route) -> bool:
    """Tell whether `ssl` here and a longer path there make the later of two lines the winner."""
    return (
        guarded.domain is not None
        and (guarded.domain, guarded.proto) == (longer.domain, longer.proto)
        and guarded.ssl is not None
        and longer.ssl is None
        and len(longer.path_beg) > len(guarded.path_beg)
        and longer.path_beg.startswith(guarded.path_beg)
    )


def _say_rival(first: Route, second: Route) -> str:
    secure = "TLS" if first.ssl or second.ssl else "plain"
    kind = _KINDS[first.proto]
    path = max(first.path_beg, second.path_beg, key=len).decode()
    return f"for {secure} {kind} whose path begins with {path}"


def explain(route: Route) -> str:
    """Say in words which requests a line takes, where they go, and what else it changes."""
    targets = ", else to ".join(_say_target(target) for target in route.targets)
    name = f" (id {route.id})" if route.explicit_id else ""
    taken = f"{_say_kind(route)}{_say_host(route)}{_say_path(route)} go to {targets}{name}"
    return "; ".join([taken, *_say_changes(route), *_say_rest(route)])


_KINDS = {None: "requests and WebSockets", "http": "requests", "ws": "WebSockets"}
_SECURITY = {None: "", True: " over TLS", False: " without TLS"}


def _say_kind(route: Route) -> str:
    return _KINDS[route.proto] + _SECURITY[route.ssl]


def _say_host(route: Route) -> str:
    if route.domain is None:
        return f" that name the route {route.id}"
    if route.domain == ANY_HOST:
        return " of hosts without lines"
    return f" of {route.domain}"


def _say_path(route: Route) -> str:
    if not route.path_beg:
        return ""
    joint = " and" if route.domain is None else ""
    return f"{joint} whose path begins with {route.path_beg.decode()}"


def _say_changes(route: Route) -> Iterator[str]:
    """Say what a line changes in requests."""
    if route.as_host:
        yield f"the origin sees the host {_text(route.as_host)}"
    if route.replace_beg is not None:
        yield _say_beginning(_text(route.path_beg), _text(route.replace_beg))
    elif route.path_rem:
        yield f"the first {route.path_rem} bytes of the path are cut off"
    for name, value in route.headers:
        said = f"set to {_text(value)}" if value else "removed"
        yield f"{_text(name)} is {said}"
    if route.orig_headers:
        yield "the origin gets marked copies of all fields, too"
    if route.sig_key_text:
        yield "Grip-Sig has a key of its own"
    if route.sig_iss:
        yield f"Grip-Sig has the issuer {route.sig_iss}"


def _say_beginning(path_beg: str, replace_beg: str) -> str:
    if not path_beg:
        return f"{replace_beg or 'nothing'} is put before the path"
    if not replace_beg:
        return f"{path_beg} is cut off the path"
    return f"{path_beg} of the path becomes {replace_beg}"


def _say_rest(route: Route) -> Iterator[str]:
    """Say what a line changes in answers, holds and the log."""
    if route.no_grip:
        yield "the origin does not speak GRIP"
    if route.prefix:
        yield f"its channels begin with {route.prefix}"
    if route.cache:
        yield "responses may be stored and served from the cache"
    if route.cache and route.purge_channel:
        yield "an item purges the responses that name its channel"
    if route.aco:
        yield "other sites may ask, also by JSON-P"
    yield from _say_jsonp(route)
    if route.sockjs:
        below = f" (for the origin {_text(route.sockjs_as_path)})" if route.sockjs_as_path else ""
        yield f"below {_text(route.sockjs)} is SockJS{below}"
    if route.debug:
        yield "error answers say why"
    if route.log_level is not None:
        yield f"its log level is {route.log_level}"


def _say_jsonp(route: Route) -> Iterator[str]:
    """Say what a line changes in JSON-P, which an option may switch on for all routes."""
    if "jsonp_mode" in route.parameters_used:
        yield f"JSON-P answers are {route.jsonp_mode}"
    if route.jsonp_cb:
        yield f"{_text(route.jsonp_cb)} names the JSON-P callback"
    if route.jsonp_defcb:
        yield f"the JSON-P callback is {_text(route.jsonp_defcb)} if none is given"
    if route.jsonp_body:
        yield f"{_text(route.jsonp_body)} has the body of JSON-P"
    if "jsonp_defmethod" in route.parameters_used:
        yield f"JSON-P is {_text(route.jsonp_defmethod)} if no method is given"


def _text(wire: bytes) -> str:
    return wire.decode(errors="replace")


def _say_target(target: Target) -> str:
    notes = [word for word, on in _target_notes(target) if on]
    name = "the built-in test origin" if target.kind == "test" else str(target)
    return f"{name} ({', '.join(notes)})" if notes else name


def _target_notes(target: Target) -> Iterable[tuple[str, bool]]:
    host = target.host_field.decode()
    return (
        ("TLS", target.ssl),
        ("certificate not checked", target.ssl and target.insecure),
        ("its certificate must name it", target.ssl and target.trust_connect_host),
        ("with a certificate of ours", bool(target.client_cert)),
        (f"host {host}", bool(host)),
        ("no private addresses", target.untrusted),
        ("WebSockets over HTTP", target.over_http),
        ("one event a request", target.over_http and target.one_event),
        (f"holds are subscribed to {', '.join(target.subs)}, too", bool(target.subs)),
    )

"""From configuration to a `Start`: routes read, ports bound, what is to be said at start.

Whatever the operator can fix is an error here, before anything serves (config.md 6.4, 7.4).
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from gripproxy import __version__, rundir, sockets, supervisor
from gripproxy.config import Config
from gripproxy.errors import ConfigError, ConfigErrors
from gripproxy.ini import shown
from gripproxy.kinds import Endpoint, UnixEndpoint
from gripproxy.plan import Start, worker_count
from gripproxy.protocol import routesfile
from gripproxy.protocol.routesfile import RoutesFile

log = logging.getLogger("gripproxy")

# Routes on the screen that a start shows.
ROUTES_SHOWN = 20
EVERYWHERE = "0.0.0.0"  # noqa: S104  # what an address that is not given means

_CONTROL = "[handler] push_in_http_port"
_CONTROL_FIX = "set another with --set handler.push_in_http_port=N, or move all with --id N"
_METRICS = "[handler] prometheus_port"
_METRICS_FIX = "set another with --set handler.prometheus_port=[ADDRESS:]PORT"
_NO_ROUTES = "there are no routes; try --route '* test', or name a file in [proxy] routesfile"


# Routes


def routes_path(read: Config) -> Path:
    """Return where the routes file is.

    Raises:
        ConfigError: the configuration names none.
    """
    name = read.proxy.routesfile
    path = Path(read.directory, name)
    if not name or not (read.path or path.exists()):
        raise ConfigError("[proxy] routesfile", _NO_ROUTES)
    return path


def routes_of_options(lines: Sequence[str]) -> RoutesFile:
    """Read the values of `--route`.

    Raises:
        ConfigErrors: with each value that is wrong.
    """
    wrong = []
    for line in lines:
        alone = routesfile.parse_options([line], supervisor.read_file)
        wrong += [ConfigError("--route", f"{shown(line)}: {e.text}") for e in alone.errors]
    if wrong:
        raise ConfigErrors(wrong)
    return routesfile.parse_options(lines, supervisor.read_file)


def routes_of_file(path: Path) -> RoutesFile:
    """Read the routes file; lines that are wrong do not prevent a start if there are others.

    Raises:
        UsageError: it cannot be read, or has no good line.
    """
    found = supervisor.read_routes(path)
    if found.routes:
        return found
    if found.errors:
        raise ConfigErrors([ConfigError(f"{e.file}:{e.line}", e.text) for e in found.errors])
    raise ConfigError(str(path), "there is no route in this file; write for instance: * test")


# Starting


def prepare(read: Config, lines: Sequence[str], log_path: str) -> Start:
    """Read the routes and bind what has to be bound; `lines` are the values of `--route`.

    Raises:
        UsageError: for whatever the operator can fix. Nothing stays bound then.
    """
    if lines:
        path, stamp, table = None, None, routes_of_options(lines)
    else:
        path = routes_path(read)
        stamp = supervisor.stamp(path)
        table = routes_of_file(path)
    start = Start(
        config=read,
        routes=table,
        routes_path=path,
        routes_stamp=stamp,
        screen=lambda: screen(start),
        log_path=log_path,
    )
    try:
        start.pid_file = rundir.enter(read)
        _bind(start)
    except BaseException:
        start.close()
        raise
    return start


def _bind(start: Start) -> None:
    runner, handler = start.config.runner, start.config.handler
    start.clients = sockets.clients(runner, count=worker_count(runner))
    if handler.push_in_http_port:
        where = Endpoint(handler.push_in_http_addr or EVERYWHERE, handler.push_in_http_port)
        start.control = sockets.tcp(_CONTROL, where, fix=_CONTROL_FIX)
    match handler.prometheus_port:
        case Endpoint() as where:
            where = Endpoint(where.host or EVERYWHERE, where.port)
            start.metrics = sockets.tcp(_METRICS, where, fix=_METRICS_FIX)
        case UnixEndpoint() as path:
            start.metrics = sockets.unix(_METRICS, path)
        case None:
            pass


# What is said


def say(start: Start) -> None:
    """Log what the operator should know of the configuration."""
    read = start.config
    if read.path:
        log.info("using config: %s", read.path)
    for notice in (*read.notices, *not_built(read)):
        log.warning("%s", notice)
    if start.routes_path is not None:
        supervisor.say_routes(start.routes)
    else:
        for warning in start.routes.warnings:
            log.warning("%s", warning)
    for note in single(start):
        log.warning("%s", note)
    for source in read.sources:
        log.debug("%s", source)


def not_built(read: Config) -> Iterator[str]:
    """Name the options that the operator has set and that do not act yet."""
    if read.runner.https_ports:
        yield "[runner] https_ports: not supported yet, without effect"


def single(start: Start) -> Iterator[str]:
    """Name the parameters of routes that need all requests of a client in one process."""
    if worker_count(start.config.runner) > 1:
        for route in start.routes.routes:
            if route.sockjs:
                yield f"{route.place}: sockjs: pages that poll need workers=1"


def screen(start: Start) -> str:
    """Return the screen that a start shows: what listens where, and how to publish."""
    rows = [*_listeners(start), ("", ""), *_routes(start.routes), ("", "")]
    rows.append(("publish", _how_to_publish(start)))
    lines = [f"  {label:<10} {text}".rstrip() for label, text in rows]
    return "\n".join([f"gripproxy {__version__}", "", *lines]) + "\n"


def _listeners(start: Start) -> Iterator[tuple[str, str]]:
    handler = start.config.handler
    if start.config.path:
        yield "config", str(start.config.path)
    for listener in start.clients:
        scheme = "http://" if listener.file is None else ""
        yield "clients", f"{scheme}{listener.endpoint}"
    if start.control is not None:
        yield "control", f"http://{start.control.endpoint}/publish"
    subs = handler.push_in_sub_specs + handler.push_in_sub_spec
    for label, spec in (
        ("PULL", handler.push_in_spec),
        ("SUB", ", ".join(subs if handler.push_in_sub_connect else subs[:1])),
        ("REP", handler.command_spec),
        ("stats", handler.stats_spec),
    ):
        if spec:
            yield label, spec
    if start.metrics is not None:
        is_tcp = start.metrics.file is None
        yield "metrics", f"http://{start.metrics.endpoint}/" if is_tcp else start.metrics.endpoint
    count = worker_count(start.config.runner)
    if count > 1:
        yield "workers", str(count)
    if start.log_path:
        yield "log", start.log_path


def _routes(table: RoutesFile) -> Iterator[tuple[str, str]]:
    for route in table.routes[:ROUTES_SHOWN]:
        yield "route", route.source or routesfile.explain(route)
    if len(table.routes) > ROUTES_SHOWN:
        yield "", f"and {len(table.routes) - ROUTES_SHOWN} more"


def _how_to_publish(start: Start) -> str:
    handler = start.config.handler
    if start.control is not None:
        # From here; whoever asks from elsewhere knows our address.
        near = start.control.endpoint.replace(EVERYWHERE, "127.0.0.1").replace("[::]", "[::1]")
        key = "/?key=KEY" if handler.control_key is not None else ""
        return f"GRIP_URL=http://{near}{key} gripproxy publish CHANNEL CONTENT"
    if handler.push_in_spec:
        near = handler.push_in_spec.replace("//*:", "//127.0.0.1:")
        return f"gripproxy publish --spec {near} CHANNEL CONTENT"
    return "no input for publishers is open; set [handler] push_in_http_port"

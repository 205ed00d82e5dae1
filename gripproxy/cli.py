"""The command line: `run`, `check`, `publish` (config.md 2, 7; publishing.md 12).

Each command is a few lines around a call. What the operator can fix ends with one line on
standard error that says how, and exit code 2; what the proxy refused, with 1.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from gripproxy import __version__, config, runtime, sockets, supervisor
from gripproxy import worker as workers
from gripproxy.config import Config, Given
from gripproxy.errors import ConfigError, ConfigErrors, UsageError
from gripproxy.processes import Start
from gripproxy.protocol import routesfile
from gripproxy.protocol.routesfile import RoutesFile

# Routes on the screen that a start shows.
ROUTES_SHOWN = 20


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", message="gripproxy %(version)s")
def main() -> None:
    """A GRIP reverse proxy: it holds client connections so that your application need not."""


def fail(*texts: str, code: int = 2) -> NoReturn:
    """End the program with a line for each thing that is wrong."""
    for text in texts:
        click.echo(f"gripproxy: {text}", err=True)
    sys.exit(code)


def _options(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that `run` and `check` share."""
    for option in reversed(
        (
            click.option("--config", "path", metavar="FILE", help="The configuration file."),
            click.option("--route", "routes", multiple=True, metavar="LINE", help=_ROUTE_HELP),
            click.option("--port", default="", metavar="[ADDR:]PORT", help=_PORT_HELP),
            click.option("--id", "instance", type=click.IntRange(min=0), help=_ID_HELP),
            click.option("--set", "settings", multiple=True, metavar="SECTION.OPTION=VALUE",
                         help="An option, as in the file; may be repeated."),
            click.option("--log-level", "--loglevel", "log_level", default="", metavar="N",
                         help="0 errors, 1 warnings, 2 each request, 3 debug; also proxy:3."),
            click.option("--verbose", is_flag=True, help="The same as --log-level 3."),
            click.option("--logfile", default="", metavar="FILE", help="Log to a file."),
            click.option("-m", "--merge-output", "merge", is_flag=True,
                         help="Log to standard output whatever the file says."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


_ROUTE_HELP = "A line of the routes file, instead of the file; may be repeated."
_PORT_HELP = "The one port for clients."
_ID_HELP = "Number of this instance: moves the control ports by 10 times as much."


@main.command()
@_options
def run(
    path: str | None,
    routes: tuple[str, ...],
    port: str,
    instance: int | None,
    settings: tuple[str, ...],
    log_level: str,
    verbose: bool,
    logfile: str,
    merge: bool,
) -> None:
    """Start the proxy."""
    given = Given(
        settings=settings,
        port=port,
        instance=instance,
        log_level="3" if verbose else log_level,
        logfile=logfile,
    )
    try:
        read = config.load(path, given)
        target = runtime.set_up_logs(read, logfile=logfile, merge=merge)
        table, routes_path = _routes(read, routes)
        start = _start(read, table, routes_path)
    except UsageError as error:
        fail(*str(error).splitlines())
    _say(read, table)
    try:
        code = supervisor.run(start, target)
    except UsageError as error:
        fail(*str(error).splitlines())
    sys.exit(code)


@main.command()
@_options
def check(
    path: str | None,
    routes: tuple[str, ...],
    port: str,
    instance: int | None,
    settings: tuple[str, ...],
    log_level: str,
    verbose: bool,  # noqa: ARG001
    logfile: str,  # noqa: ARG001
    merge: bool,  # noqa: ARG001
) -> None:
    """Read configuration and routes, say what is wrong with them, and what the routes mean."""
    given = Given(settings=settings, port=port, instance=instance, log_level=log_level)
    try:
        read = config.load(path, given)
        table, _ = _routes(read, routes)
    except UsageError as error:
        fail(*str(error).splitlines())
    for text in (*read.notices, *table.warnings):
        click.echo(f"warning: {text}")
    for route in table.routes:
        click.echo(f"{route.place}: {routesfile.explain(route)}")
    for note in routesfile.order_notes(table.routes):
        click.echo(f"note: {note}")
    if table.errors:
        fail(*map(str, table.errors))
    click.echo(f"{read.path or 'no configuration file'}: fine")


@main.command(hidden=True)
@click.argument("fd", type=int)
def worker(fd: int) -> None:
    """Serve as a worker of the parent at the other end of a socket."""
    sys.exit(workers.work(fd))


@main.command(context_settings={"ignore_unknown_options": False})
@click.argument("channel")
@click.argument("content", required=False)
@click.option("--id", "item_id", default="", help="The item's id.")
@click.option("--prev-id", default="", help="The id of the item before it.")
@click.option("--sender", default="", help="The sender, for the filter skip-self.")
@click.option("--code", default="200", help="Status code of the HTTP response.")
@click.option("-H", "--header", "headers", multiple=True, metavar='"K: V"', help="A field of it.")
@click.option("-M", "--meta", "meta", multiple=True, metavar='"K=V"', help="A meta value.")
@click.option("--hint", is_flag=True, help="Let holders ask their origin again.")
@click.option("--close", is_flag=True, help="Close streams and WebSockets.")
@click.option("--patch", is_flag=True, help="CONTENT is a JSON patch of the response's body.")
@click.option("--no-seq", is_flag=True, help="Do not put the item in order.")
@click.option("--no-eol", is_flag=True, help="Do not add a line end to the content.")
@click.option("--spec", default="", help="Where to: an HTTP URL or a ZeroMQ endpoint.")
@click.option("-u", "--user", default="", metavar="U:P", help="Credentials for HTTP.")
@click.option("-B", "--bearer", default="", metavar="TOKEN", help="A token for HTTP.")
def publish(channel: str, content: str | None, **given: str | bool | tuple[str, ...]) -> None:
    """Publish CONTENT on CHANNEL; @FILE takes it from a file."""
    fail("not built yet")


# Starting


def _routes(read: Config, lines: Sequence[str]) -> tuple[RoutesFile, Path | None]:
    """Return the routes, and the file that they come from if they do."""
    if lines:
        found = routesfile.parse_options(lines, supervisor.read_file)
        if found.errors:
            raise ConfigErrors(
                [ConfigError(f"--route {error.file}", error.text) for error in found.errors]
            )
        return found, None
    name = read.proxy.routesfile
    if not name:
        raise ConfigError("[proxy] routesfile", "no routes; name a file, or use --route")
    path = Path(read.directory, name) if read.directory else Path(name)
    if not read.path and not path.is_file():
        raise ConfigError(
            "no routes", "start with --route '* test' to try, or --config FILE with a routes file"
        )
    loaded = supervisor.read_routes(path)
    if loaded is None:
        raise ConfigError(str(path), "the routes file cannot be read; see [proxy] routesfile")
    return loaded, path


def _start(read: Config, table: RoutesFile, routes_path: Path | None) -> Start:
    """Bind what has to be bound, so that a port that is taken ends the start."""
    start = Start(
        config=read,
        routes=table,
        routes_path=routes_path,
        screen=lambda: _screen(start),
    )
    start.clients = sockets.clients(read.runner, count=supervisor.workers(read))
    handler = read.handler
    if handler.push_in_http_port:
        host = handler.push_in_http_addr or "0.0.0.0"  # noqa: S104
        start.control = sockets.tcp(
            "[handler] push_in_http_port",
            host,
            handler.push_in_http_port,
            fix="set another with --set handler.push_in_http_port=N, or --id N to move all",
        ).sockets[0]
    return start


def _say(read: Config, table: RoutesFile) -> None:
    """Log what the operator should know of the configuration."""
    log = logging.getLogger("gripproxy")
    if read.path:
        log.info("using config: %s", read.path)
    for notice in read.notices:
        log.warning("%s", notice)
    for error in table.errors:
        log.error("%s", error)
    for warning in table.warnings:
        log.warning("%s", warning)
    for note in _inactive(table):
        log.warning("%s", note)


def _screen(start: Start) -> str:
    """Return the screen that a start shows: what listens where, and how to publish."""
    read, handler = start.config, start.config.handler
    lines = [f"gripproxy {__version__}", ""]
    for listener in start.clients:
        scheme = "" if listener.path else "https://" if listener.tls else "http://"
        lines.append(f"  clients    {scheme}{listener.endpoint}")
    host = handler.push_in_http_addr or "0.0.0.0"  # noqa: S104
    control = f"http://{host}:{handler.push_in_http_port}"
    if handler.push_in_http_port:
        lines.append(f"  control    {control}/publish")
    for label, spec in (
        ("PULL", handler.push_in_spec),
        ("SUB", ", ".join(handler.push_in_sub_specs + handler.push_in_sub_spec)),
        ("REP", handler.command_spec),
    ):
        if spec:
            lines.append(f"  {label:<10} {spec}")
    lines.append(f"  workers    {supervisor.workers(read)}")
    lines.append("")
    lines += [
        f"  route      {route.source or routesfile.explain(route)}"
        for route in start.routes.routes[:ROUTES_SHOWN]
    ]
    if len(start.routes.routes) > ROUTES_SHOWN:
        lines.append(f"  ... and {len(start.routes.routes) - ROUTES_SHOWN} more")
    lines.append("")
    if handler.push_in_http_port:
        lines.append(f"  publish    GRIP_URL={control} gripproxy publish CHANNEL CONTENT")
    return "\n".join(lines) + "\n"


def _inactive(routes: RoutesFile) -> list[str]:
    """Say which parameters of routes do not act yet."""
    notes = []
    for route in routes.routes:
        names = sorted(route.parameters_used & _NOT_ACTING)
        if names:
            notes.append(f"{route.place}: {', '.join(names)}: not supported yet, without effect")
    return notes


# Parameters of routes that are read but do not act yet.
_NOT_ACTING = frozenset(("cache", "log_level", "purge", "session", "sockjs", "sockjs_as_path"))

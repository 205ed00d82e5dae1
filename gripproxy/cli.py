"""The command line: `run`, `check`, `explain`, `publish`, `purge`.

Specification: config.md 2, 7; publishing.md 12.
Each command is a few lines around a call. What the operator can fix ends with one line on
standard error that says how, and exit code 2; what a proxy refused, with 1; a bug, with 3.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from gripproxy import __version__, config, explaining, runtime, startup, supervisor, upstream
from gripproxy import worker as workers
from gripproxy.config import Config, Given
from gripproxy.control import client
from gripproxy.control.client import Destination, Publication
from gripproxy.errors import GripProxyError, PublishError, RequestError, UsageError
from gripproxy.protocol import routesfile
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.purges import SETTLE_MAX, Purge
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.routesfile import RoutesFile

REFUSED, USAGE, INTERNAL, INTERRUPTED = 1, 2, 3, 130

_HELP = {"help_option_names": ["-h", "--help"]}


def fail(*texts: str, code: int = USAGE) -> NoReturn:
    """End the program with a line for each thing that is wrong."""
    for text in texts:
        click.echo(f"gripproxy: {text}", err=True)
    sys.exit(code)


def main() -> NoReturn:
    """Run the program; whatever is wrong with its command line is said in one line."""
    try:
        program.main(standalone_mode=False)
    except click.ClickException as error:
        fail(" ".join(error.format_message().split()))
    except click.Abort:
        sys.exit(INTERRUPTED)
    sys.exit(0)


class _Start(click.Command):
    """Takes long options with one dash, too, as Pushpin does (config.md 2.2)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        long = {name for option in self.params for name in option.opts if name.startswith("--")}
        args = [_doubled(argument, long) for argument in args]
        given, _, order = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_LATE] = _late(given.get("settings") or (), [one.name for one in order])
        return super().parse_args(ctx, args)


_LATE = "gripproxy.late"
# Flags that set options, and which: of these and `--set` the later one counts (config.md 7.3).
_SET_BY = {
    "port": ("runner.http_port", "runner.https_ports", "runner.local_ports"),
    "instance": ("global.port_offset", "global.ipc_prefix"),
    "log_level": ("runner.log_level",),
    "verbose": ("runner.log_level",),
}


def _late(settings: Sequence[str], order: Sequence[str | None]) -> tuple[str, ...]:
    """Return those values of `--set` that stand behind a flag that sets the same option."""
    late = []
    flagged: set[str] = set()
    values = iter(settings)
    for name in order:
        if name == "settings":
            value = next(values)
            if value.partition("=")[0].strip() in flagged:
                late.append(value)
        flagged.update(_SET_BY.get(name or "", ()))
    return tuple(late)


def _doubled(argument: str, long: set[str]) -> str:
    name = f"-{argument.partition('=')[0]}"
    return f"-{argument}" if name in long else argument


@click.group("gripproxy", context_settings=_HELP, invoke_without_command=True)
@click.version_option(__version__, "-v", "--version", message="gripproxy %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """A GRIP reverse proxy: it holds client connections so that your application need not."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


# Starting


def _options(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that `run` and `check` share."""
    for option in reversed(
        (
            click.option("--config", "path", metavar="FILE", help="The configuration file."),
            click.option("--route", "routes", multiple=True, metavar="LINE", help=_ROUTE_HELP),
            click.option("--port", default="", metavar="[ADDR:]PORT", help=_PORT_HELP),
            click.option("--id", "instance", type=int, metavar="N", help=_ID_HELP),
            click.option("--set", "settings", multiple=True, metavar="SECTION.OPTION=VALUE",
                         help="An option, as in the file; may be repeated."),
            click.option("--log-level", "--loglevel", "log_level", default="", metavar="N",
                         help="0 errors, 1 warnings, 2 each request, 3 debug; also 2,proxy:3."),
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


def _given(settings: tuple[str, ...], port: str, instance: int | None, log_level: str) -> Given:
    late: tuple[str, ...] = click.get_current_context().meta[_LATE]
    return Given(settings=settings, late=late, port=port, instance=instance, log_level=log_level)


@program.command(cls=_Start)
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
    given = _given(settings, port, instance, "3" if verbose else log_level)
    try:
        read = config.load(path, given)
        log_path = runtime.log_path(read, logfile=logfile, merge=merge)
        target = runtime.set_up_logs(read, log_path)
        start = startup.prepare(read, routes, log_path)
        startup.say(start)
        sys.exit(supervisor.run(start, target))
    except UsageError as error:
        fail(*str(error).splitlines())
    except GripProxyError as error:
        fail(str(error), code=INTERNAL)
    except Exception as error:  # noqa: BLE001  # a bug; one line is enough for whoever starts us
        fail(f"internal error: {runtime.told(error)}", code=INTERNAL)


@program.command(cls=_Start)
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
    given = _given(settings, port, instance, log_level)
    try:
        read = config.load(path, given)
        table = _routes(read, routes)
    except UsageError as error:
        _say_problems(str(error).splitlines())
    for text in (*read.notices, *startup.not_built(read), *table.warnings):
        click.echo(f"warning: {text}")
    for route in table.routes:
        click.echo(f"{route.place}: {routesfile.explain(route)}")
    for note in routesfile.order_notes(table.routes):
        click.echo(f"note: {note}")
    if table.errors:
        _say_problems(list(map(str, table.errors)))
    click.echo(f"{read.path or 'no configuration file'}: fine")


def _routes(read: Config, lines: Sequence[str]) -> RoutesFile:
    if lines:
        return startup.routes_of_options(lines)
    return startup.routes_of_file(startup.routes_path(read))


def _say_problems(texts: Sequence[str]) -> NoReturn:
    """End `check` with a line for each problem, as editors read it: FILE:LINE: TEXT."""
    for text in texts:
        click.echo(text, err=True)
    sys.exit(USAGE)


@program.command(cls=_Start)
@_options
@click.option("-X", "--method", default="GET", metavar="METHOD", help="Another one than GET.")
@click.option("-H", "--header", "headers", multiple=True, metavar='"K: V"', help="A field of it.")
@click.option("--from", "peer", default="127.0.0.1", metavar="ADDR", help="The client's address.")
@click.argument("url")
def explain(
    path: str | None,
    routes: tuple[str, ...],
    port: str,
    instance: int | None,
    settings: tuple[str, ...],
    log_level: str,
    verbose: bool,  # noqa: ARG001
    logfile: str,  # noqa: ARG001
    merge: bool,  # noqa: ARG001
    method: str,
    headers: tuple[str, ...],
    peer: str,
    url: str,
) -> None:
    """Say which route a request for URL takes, and what its origin is asked.

    Nothing is sent. URL begins with http, https, ws or wss.
    """
    try:
        read = config.load(path, _given(settings, port, instance, log_level))
        table = RouteTable(_routes(read, routes).routes)
        asked = explaining.make_request(url, method=method, lines=headers, peer=peer)
        lines, found = explaining.explain(
            asked,
            table,
            Forwarder(upstream.forwarding_settings(read)),
            upstream.request_settings(read),
            wall=runtime.wall(),
        )
    except RequestError as error:
        lines, found = [explaining.refused(error)], False
    except UsageError as error:
        fail(*str(error).splitlines())
    for line in lines:
        click.echo(line)
    sys.exit(0 if found else REFUSED)


@program.command(hidden=True)
@click.argument("fd", type=int)
def worker(fd: int) -> None:
    """Serve as a worker of the parent at the other end of a socket."""
    sys.exit(workers.work(fd))


# Publishing


@program.command()
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
@click.option("--spec", default="", help="Where to: a GRIP URL or a ZeroMQ endpoint.")
@click.option("-u", "--user", metavar="U:P", help="Credentials for HTTP.")
@click.option("-B", "--bearer", metavar="TOKEN", help="A token for HTTP.")
@click.version_option(__version__, "-V", "--version", message="gripproxy %(version)s")
def publish(
    channel: str,
    content: str | None,
    item_id: str,
    prev_id: str,
    sender: str,
    code: str,
    headers: tuple[str, ...],
    meta: tuple[str, ...],
    hint: bool,
    close: bool,
    patch: bool,
    no_seq: bool,
    no_eol: bool,
    spec: str,
    user: str | None,
    bearer: str | None,
) -> None:
    """Publish CONTENT on CHANNEL; @FILE takes it from a file.

    It goes to --spec, or to $GRIP_URL, or to http://localhost:5561.
    """
    publication = Publication(
        channel=channel, content=content, id=item_id, prev_id=prev_id, sender=sender, code=code,
        headers=headers, meta=meta, hint=hint, close=close, patch=patch, no_seq=no_seq,
        no_eol=no_eol,
    )  # fmt: skip
    spec = spec or os.environ.get("GRIP_URL") or client.DEFAULT_SPEC
    to = Destination(spec=spec, user=user, bearer=bearer)
    try:
        client.publish(publication, to, now=runtime.wall(), accepted=_say_published)
    except PublishError as error:
        click.echo(f"Error: {error.text}", err=True)
        sys.exit(REFUSED)
    except UsageError as error:
        fail(str(error))


@program.command()
@click.option("--url", "urls", multiple=True, metavar="URL", help="A URL; may be repeated.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A Surrogate-Key; likewise.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--soft", is_flag=True, help="Let it be stale, where that may be served.")
@click.option(
    "--settle",
    type=click.FloatRange(0, SETTLE_MAX),
    default=0.0,
    metavar="SECONDS",
    help="Store nothing of it again for so long, up to 60 seconds.",
)
@click.option("--spec", default="", help="Where to: a GRIP URL.")
@click.option("-u", "--user", metavar="U:P", help="Credentials for HTTP.")
@click.option("-B", "--bearer", metavar="TOKEN", help="A token for HTTP.")
def purge(
    urls: tuple[str, ...],
    keys: tuple[str, ...],
    everything: bool,
    soft: bool,
    settle: float,
    spec: str,
    user: str | None,
    bearer: str | None,
) -> None:
    """Take stored responses back: those of URLs, those with keys, or all.

    It goes to --spec, or to $GRIP_URL, or to http://localhost:5561.
    """
    if not (urls or keys or everything):
        fail("say what to purge: --url, --key or --all")
    spec = spec or os.environ.get("GRIP_URL") or client.DEFAULT_SPEC
    to = Destination(spec=spec, user=user, bearer=bearer)
    what = Purge(urls=urls, keys=keys, everything=everything, soft=soft, settle=settle)
    try:
        purged = client.purge(what, to, now=runtime.wall())
    except PublishError as error:
        click.echo(f"Error: {error.text}", err=True)
        sys.exit(REFUSED)
    except UsageError as error:
        fail(str(error))
    click.echo(f"Purged: {purged}")


def _say_published() -> None:
    click.echo("Published")

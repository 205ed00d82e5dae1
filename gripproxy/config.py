"""From files, environment and flags to one frozen `Config` (config.md 2.1, 4.1, 7).

`settings` knows who says what; here it becomes values of the types that the table of `options`
names. Every error names its place and what to write, and all are told together.
"""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, TypeVar

from gripproxy import legacy, options, settings
from gripproxy.errors import ConfigError, ConfigErrors, OptionValueError
from gripproxy.kinds import Context, Written
from gripproxy.legacy import Name
from gripproxy.options import Cache, Cluster, Global, Handler, Proxy, Runner
from gripproxy.remarks import remarks
from gripproxy.settings import Settings

S = TypeVar("S")

# The first that is there is read (config.md 7.2).
NAMES: Final = (
    "config/gripproxy.conf",
    "config/pushpin.conf",
    "gripproxy.conf",
    "pushpin.conf",
    "/etc/gripproxy/gripproxy.conf",
    "/etc/pushpin/pushpin.conf",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All options, read and checked."""

    general: Global = field(default_factory=Global)
    runner: Runner = field(default_factory=Runner)
    proxy: Proxy = field(default_factory=Proxy)
    handler: Handler = field(default_factory=Handler)
    cache: Cache = field(default_factory=Cache)
    cluster: Cluster = field(default_factory=Cluster)
    path: str = ""  # the file; empty if there is none
    directory: str = ""  # relative to which its paths are
    file_prefix: str = ""  # of names in rundir and logdir: `pN-` of instance N
    notices: tuple[str, ...] = ()  # said once at start
    sources: tuple[str, ...] = ()  # who set what, for those who ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line says beside the file."""

    settings: tuple[str, ...] = ()  # section.option=value
    late: tuple[str, ...] = ()  # likewise, but behind the flags below that set the same
    port: str = ""
    instance: int | None = None
    log_level: str = ""
    logfile: str = ""


def load(
    path: str | None,
    given: Given,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
) -> Config:
    """Read the configuration.

    `path` is the file that is asked for; without one the usual places are looked at, from `root`
    on, and no file at all is fine. Raises `ConfigErrors` with everything that is wrong.
    """
    found = _find(path, environ, root or Path())
    directory = os.path.dirname(found)
    said = Settings()
    if found:
        said.take_file(found)
    said.take_environ(environ)
    _take_flags(said, given)
    said.take_included(directory)
    if not found:
        said.take_shipped()
    config = _Making(said, directory).config()
    prefix = f"p{given.instance}-" if given.instance is not None else ""
    return replace(config, path=found, directory=directory, file_prefix=prefix)


def _find(path: str | None, environ: Mapping[str, str], root: Path) -> str:
    variable = f"{settings.PREFIX}CONFIG"
    for place, named in (("--config", path), (variable, environ.get(variable))):
        if named:
            if not Path(named).exists():
                text = f"no configuration file found. Tried: {named}"
                raise ConfigErrors([ConfigError(place, text)])
            return named
    return next((str(root / name) for name in NAMES if (root / name).is_file()), "")


def _take_flags(said: Settings, given: Given) -> None:
    said.take_set(given.settings)
    if given.instance is not None:
        said.take_id(given.instance)
    if given.port:
        said.take_port(given.port)
    if given.log_level:
        said.take_log_level(given.log_level)
    said.take_set(given.late)


# Making values


def _read_file(path: str) -> bytes:
    return Path(path).read_bytes()


class _Making:
    """Makes values of what is said, in the order of the table."""

    def __init__(self, said: Settings, directory: str) -> None:
        self._said = said
        self._errors = said.errors
        self._context = Context(directory=directory, read=_read_file)

    def config(self) -> Config:
        """Return all values; raise `ConfigErrors` if anything at all is wrong."""
        general = self._section("global", Global)
        self._context = replace(self._context, port_offset=general.port_offset)
        runner = self._section("runner", Runner)
        proxy = self._section("proxy", Proxy)
        handler = self._section("handler", Handler)
        cache = self._section("cache", Cache)
        cluster = self._section("cluster", Cluster)
        if not (self._errors or runner.http_port or runner.https_ports or runner.local_ports):
            text = "there is no port for clients; write for instance http_port=7999"
            self._errors.append(ConfigError("[runner] http_port", text))
        if self._errors:
            raise ConfigErrors(self._errors)
        return Config(
            general=general,
            runner=runner,
            proxy=proxy,
            handler=handler,
            cache=cache,
            cluster=cluster,
            notices=(
                *self._said.notices,
                *settings.ignored(self._said),
                *settings.deprecated(self._said),
                *remarks(runner, proxy, handler),
            ),
            sources=tuple(settings.sources(self._said)),
        )

    def _section(self, section: str, made: type[S]) -> S:
        names = [name for name in options.TABLE if name[0] == section]
        values = {name[1]: self._value(name) for name in names if self._said.setting(name)}
        make: type = made  # each value is of the field's type: see `options.option`
        result: S = make(**values)
        return result

    def _value(self, name: Name) -> object:
        """Return what is said of an option; a wrong value is noted, and the default returned."""
        setting = self._said.setting(name)
        assert setting is not None
        text, elements = setting.written.text, setting.written.elements
        expanded = self._said.expanded
        written = Written(
            expanded(text) if text is not None else None, tuple(map(expanded, elements))
        )
        try:
            return options.TABLE[name].kind.read(written, self._context)
        except OptionValueError as error:
            self._errors.append(setting.error(error.text))
            return options.absent(name)


# Printing the table

_CONF_HEAD = (
    "The options of gripproxy, with what each means. What begins with # and no blank is not set; "
    "the value there is the default. `gripproxy check` reads this file and says what is wrong "
    "with it. Each option can also be given on the command line, as --set section.option=value, "
    "and in the environment, as GRIPPROXY_SECTION_OPTION."
)
_REFERENCE_HEAD = """\
# Options

An option stands in a section of the configuration file, as `option=value`. It can also be given as
`--set section.option=value` and as a variable `GRIPPROXY_SECTION_OPTION`. What counts, highest
first: the command line, the environment, the file, the file that it includes, defaults.

*Default* is the value if there is a file and it does not name the option; *shipped* is the one in
`config/gripproxy.conf`, which also holds if there is no file at all (but then `rundir`, `logdir`
and `stats_spec` are used only if you name them). What Pushpin does not have is marked *own*.

Values may be quoted; a list has commas; `;` begins a comment. In all values `{rundir}`,
`{ipc_prefix}` and `{libdir}` are replaced. Booleans are `true yes on 1` and `false no off 0`.
"""
_REFERENCE_TAIL = """
## Ignored

Files of Pushpin are read unchanged. These options are accepted and do nothing; one whose value is
not that of a stock file is named at start.

| option | why |
| --- | --- |
"""
_REFERENCE_END = """
So are the endpoints between Pushpin's own processes, `[proxy] condure_in_specs` and its like,
without a word. Any other name that is not in these tables is an error.
"""


def print_default_conf() -> str:
    """Return the shipped `config/gripproxy.conf`."""
    lines = _comment(_CONF_HEAD)
    for section, made in options.SECTIONS.items():
        lines += ["", "", f"[{section}]"]
        for entry in fields(made):
            if (section, entry.name) in legacy.DEPRECATED:
                continue
            option = options.of(entry)
            lines += ["", *_comment(option.meaning)]
            if option.shipped is None:
                lines.append(f"#{entry.name}={_default(entry.default)}")
            else:
                lines.append(f"{entry.name}={option.shipped}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 78)]


def print_reference() -> str:
    """Return the reference of all options, in Markdown."""
    lines = [_REFERENCE_HEAD]
    for section, made in options.SECTIONS.items():
        lines.append(f"## [{section}]\n")
        lines.append("| option | type | default | shipped | meaning |")
        lines.append("| --- | --- | --- | --- | --- |")
        for entry in fields(made):
            option = options.of(entry)
            own = " *own*" if option.ours else ""
            lines.append(
                f"| `{entry.name}`{own} | {option.kind.name} | {_code(_default(entry.default))} "
                f"| {_code(option.shipped or '')} | {option.meaning} |"
            )
        lines.append("")
    ignored = [f"| `[{s}] {n}` | {why} |" for (s, n), (why, _) in legacy.IGNORED.items()]
    return "\n".join(lines) + _REFERENCE_TAIL + "\n".join(ignored) + "\n" + _REFERENCE_END


def _code(text: str) -> str:
    return f"`{text}`" if text else "–"  # noqa: RUF001  # a dash: there is none


def _default(value: object) -> str:
    """Return a value as it is written in a file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


_PRINTED: Final = {"conf": print_default_conf, "reference": print_reference}


def main(arguments: Sequence[str]) -> int:
    """Print what is asked for; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in _PRINTED:
        sys.stderr.write("usage: python -m gripproxy.config conf|reference\n")
        return 2
    sys.stdout.write(_PRINTED[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

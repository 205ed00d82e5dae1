"""From files, flags and environment to one frozen `Config` (config.md 1, 2, 7).

What counts, highest first: flags and `--set`, the environment, the file, the file that it
includes, defaults. Every error names its place and the fix, and all are told together.
"""

import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from gripproxy import ini, options
from gripproxy.errors import ConfigError, ConfigErrors, KeySourceError
from gripproxy.options import Cache, Cluster, Global, Handler, Option, Proxy, Runner
from gripproxy.protocol import keys

NAMES = (
    "config/gripproxy.conf",
    "config/pushpin.conf",
    "gripproxy.conf",
    "pushpin.conf",
    "/etc/gripproxy/gripproxy.conf",
    "/etc/pushpin/pushpin.conf",
)
ENVIRONMENT = "GRIPPROXY_"
LIBDIR = "/usr/lib/gripproxy"

_TCP = re.compile(r"(tcp://(?:\[[^\]]*\]|[^:/\[\]]*):)(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All options, read and checked; `notices` are said once at start."""

    general: Global = field(default_factory=Global)
    runner: Runner = field(default_factory=Runner)
    proxy: Proxy = field(default_factory=Proxy)
    handler: Handler = field(default_factory=Handler)
    cache: Cache = field(default_factory=Cache)
    cluster: Cluster = field(default_factory=Cluster)
    path: str = ""  # the file; empty if there is none
    directory: str = ""  # relative to which its paths are
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line says beside the file."""

    settings: tuple[str, ...] = ()  # section.option=value
    port: str = ""
    instance: int | None = None
    log_level: str = ""
    logfile: str = ""


@dataclass(slots=True)
class _Value:
    """The text of an option and where it stands."""

    elements: tuple[str, ...]
    place: str


class _Reader:
    """Gathers values by precedence, then makes a `Config` of them."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.notices: list[str] = []
        self.values: dict[tuple[str, str], _Value] = {}
        self.table = options.table()

    # Gathering; later calls win over earlier ones

    def shipped(self) -> None:
        for name, entry in self.table.items():
            if entry.shipped is not None:
                self.values[name] = _Value(_split(entry, entry.shipped), "default")

    def file(self, path: Path, *, included: bool = False) -> None:
        try:
            text = path.read_text("utf-8", "replace")
        except OSError as error:
            self.errors.append(ConfigError(str(path), f"cannot be read: {error.strerror}"))
            return
        entries, errors = ini.read(text, str(path))
        self.errors += errors
        for entry in entries:
            if not included and (entry.section, entry.key) == ("global", "include"):
                self._include(path, entry)
        for entry in entries:
            self._take(entry.section, entry.key, entry.values, f"{path}:{entry.line}")

    def _include(self, main: Path, entry: ini.Entry) -> None:
        name = ",".join(entry.values)
        if Path(name).name == "internal.conf":
            return  # only endpoints between the processes of Pushpin
        target = main.parent / name.replace("{libdir}", LIBDIR)
        if target.is_file():
            self.file(target, included=True)
        else:
            place = f"{main}:{entry.line}"
            self.errors.append(ConfigError(place, f"[global] include: no file {target}"))

    def environment(self, environ: Mapping[str, str]) -> None:
        names = {self._variable(*name): name for name in self.table}
        prefixes = tuple(f"{ENVIRONMENT}{section.upper()}_" for section in options.SECTIONS)
        for variable, value in sorted(environ.items()):
            if not variable.startswith(prefixes):
                continue
            name = names.get(variable)
            if name is None:
                known = _nearest(variable, names)
                self.errors.append(ConfigError(variable, f"unknown option{known}"))
            else:
                elements = _split(self.table[name], value)
                self.values[name] = _Value(elements, variable)

    def _variable(self, section: str, name: str) -> str:
        return f"{ENVIRONMENT}{section}_{name}".upper()

    def setting(self, setting: str) -> None:
        name, equals, value = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        place = f"--set {name.strip()}"
        if not equals or not dot:
            self.errors.append(ConfigError(f"--set {setting}", "write section.option=value"))
            return
        entry = self.table.get((section, key))
        elements = _split(entry, value) if entry is not None else (value,)
        self._take(section, key, elements, place)

    def _take(self, section: str, key: str, elements: tuple[str, ...], place: str) -> None:
        name = (section, key)
        if name in self.table:
            self.values[name] = _Value(elements, place)
        elif name in options.RENAMED:
            self.values.setdefault((section, options.RENAMED[name]), _Value(elements, place))
        elif name in options.IGNORED:
            reason, usual = options.IGNORED[name]
            if ",".join(elements) not in usual:
                self.notices.append(f"[{section}] {key}: ignored, {reason}")
        elif name not in options.INTERNAL and section not in ("", "General"):
            self._unknown(section, key, place)

    def _unknown(self, section: str, key: str, place: str) -> None:
        if section not in options.SECTIONS:
            known = ", ".join(options.SECTIONS)
            text = f'unknown section "{section}" ({key}); the sections are {known}'
        else:
            names = [name for of, name in self.table if of == section]
            text = f'unknown option "{key}" in [{section}]{_nearest(key, names)}'
        self.errors.append(ConfigError(place, text))

    # Making values

    def config(self, path: str, given: Given) -> Config:
        directory = str(Path(path).parent) if path else ""
        general = self._section("global", Global, given, directory)
        sections = {
            name: self._section(name, kind, given, directory)
            for name, kind in options.SECTIONS.items()
            if name != "global"
        }
        if self.errors:
            raise ConfigErrors(self.errors)
        runner, proxy, handler = sections["runner"], sections["proxy"], sections["handler"]
        cache, cluster = sections["cache"], sections["cluster"]
        assert isinstance(general, Global)
        assert isinstance(runner, Runner)
        assert isinstance(proxy, Proxy)
        assert isinstance(handler, Handler)
        assert isinstance(cache, Cache)
        assert isinstance(cluster, Cluster)
        self._remarks(runner, proxy, handler)
        return Config(
            general=general,
            runner=runner,
            proxy=proxy,
            handler=handler,
            cache=cache,
            cluster=cluster,
            path=path,
            directory=directory,
            notices=tuple(self.notices),
        )

    def _section(self, section: str, kind: type, given: Given, directory: str) -> object:
        read: dict[str, object] = {}
        for entry in fields(kind):
            value = self.values.get((section, entry.name))
            if value is None:
                continue
            try:
                read[entry.name] = self._read(options.of(entry), value, given, directory)
            except ValueError as error:
                place = value.place
                text = f"[{section}] {entry.name}: {error}"
                self.errors.append(ConfigError(place, text))
        return kind(**read)

    def _read(self, entry: Option, value: _Value, given: Given, directory: str) -> object:
        elements = [self._expanded(element, given) for element in value.elements]
        many = options.LISTS.get(entry.kind)
        if many is not None:
            return tuple(many(element.strip()) for element in elements if element.strip())
        if len(elements) > 1:
            raise ValueError("takes one value, not a list")
        text = elements[0] if elements else ""
        if entry.kind == "key":
            return self._key(text, directory)
        return options.SINGLE[entry.kind](text)

    def _key(self, text: str, directory: str) -> keys.KeySource | None:
        try:
            return keys.resolve(text, lambda path: Path(path).read_bytes(), directory=directory)
        except KeySourceError as error:
            raise ValueError(str(error)) from error

    def _expanded(self, text: str, given: Given) -> str:
        """Replace variables, and move the ports of tcp:// endpoints (config.md 1.4)."""
        if "{" in text:
            for name, value in self._variables(given).items():
                text = text.replace(name, value)
        offset = self._offset(given)
        if offset and "tcp://" in text:
            text = _TCP.sub(lambda found: f"{found[1]}{int(found[2]) + offset}", text)
        return text

    def _variables(self, given: Given) -> dict[str, str]:
        prefix = self._text("global", "ipc_prefix", "pushpin-")
        if given.instance is not None:
            prefix = f"p{given.instance}-"
        rundir = self._text("global", "rundir", self._text("runner", "rundir", ""))
        return {"{libdir}": LIBDIR, "{rundir}": rundir, "{ipc_prefix}": prefix}

    def _offset(self, given: Given) -> int:
        if given.instance is not None:
            return 10 * given.instance
        text = self._text("global", "port_offset", "0")
        return int(text) if text.lstrip("+-").isdigit() else 0

    def _text(self, section: str, name: str, default: str) -> str:
        value = self.values.get((section, name))
        return ",".join(value.elements) if value is not None else default

    # What is said at start

    def _remarks(self, runner: Runner, proxy: Proxy, handler: Handler) -> None:
        say = self.notices.append
        public = [p for p in (*runner.http_port, *runner.https_ports) if not _is_local(p.host)]
        if public and proxy.sig_key is not None and proxy.sig_key.secret == b"changeme":
            say(
                'sig_key is the well-known "changeme": whoever reaches the origin can forge '
                "Grip-Sig"
            )
        address = handler.push_in_http_addr or "0.0.0.0"  # noqa: S104
        if handler.push_in_http_port and handler.control_key is None and not _is_local(address):
            say(
                "the HTTP control port listens on a public address without a key: whoever "
                "reaches it can publish; set [handler] control_key or push_in_http_addr"
            )
        for spec in (handler.push_in_spec, *handler.push_in_sub_specs, handler.command_spec):
            if spec.startswith("tcp://") and not _is_local(_host_of(spec)):
                say(f"{spec} is open to the network, and ZeroMQ asks nobody for a key")
        if handler.message_rate > 0:
            say(
                f"message_rate={handler.message_rate} limits deliveries (items × holders) to "  # noqa: RUF001
                f"{handler.message_rate} a second; remove it to lift the limit"
            )
        if runner.rundir:
            say("rundir in [runner] section is deprecated. put in [global]")


def load(
    path: str | None,
    given: Given,
    *,
    environ: Mapping[str, str] = os.environ,
    root: Path | None = None,
) -> Config:
    """Read the configuration.

    `path` is the file asked for; without one the usual places are looked at, and no file at all
    is fine. Raises `ConfigErrors` with everything that is wrong.
    """
    reader = _Reader()
    found = _find(path or environ.get("GRIPPROXY_CONFIG") or None, root or Path())
    if found is None:
        reader.shipped()
    else:
        reader.file(found)
    reader.environment(environ)
    for setting in given.settings:
        reader.setting(setting)
    if given.port:
        _only_port(reader, given.port)
    if given.log_level:
        reader.setting(f"runner.log_level={given.log_level}")
    config = reader.config(str(found) if found is not None else "", given)
    return _moved(config, given)


def _find(path: str | None, root: Path) -> Path | None:
    if path is not None:
        found = Path(path)
        if not found.is_file():
            raise ConfigErrors([ConfigError(path, "no configuration file there")])
        return found
    for name in NAMES:
        if (root / name).is_file():
            return root / name
    return None


def _only_port(reader: _Reader, port: str) -> None:
    """`--port` is the one listener: what the file says of others does not count."""
    for name in ("http_port", "https_ports", "local_ports"):
        elements = (port,) if name == "http_port" else ()
        reader.values["runner", name] = _Value(elements, "--port")


def _moved(config: Config, given: Given) -> Config:
    """Move the control port by the offset, as its endpoints have been (config.md 1.4)."""
    offset = 10 * given.instance if given.instance is not None else config.general.port_offset
    port = config.handler.push_in_http_port
    if not offset or not port:
        return config
    return replace(config, handler=replace(config.handler, push_in_http_port=port + offset))


def _split(entry: Option, text: str) -> tuple[str, ...]:
    """Split a value that has no INI quoting: a list at commas, anything else not at all."""
    if entry.kind in options.LISTS:
        return tuple(part.strip() for part in text.split(","))
    return (text,)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.67)
    return f'; did you mean "{close[0]}"?' if close else ""


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _host_of(spec: str) -> str:
    host = spec.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    return "0.0.0.0" if host == "*" else host  # noqa: S104


# Printing the table


def print_default_conf() -> str:
    """Return the shipped `config/gripproxy.conf`."""
    lines = [
        "# The options of gripproxy with their defaults. `gripproxy check` reads this file and",
        "# says what is wrong with it. Every option can also be given on the command line, as",
        "# --set section.option=value, and in the environment, as GRIPPROXY_SECTION_OPTION.",
    ]
    for section, kind in options.SECTIONS.items():
        lines += ["", f"[{section}]"]
        for entry in fields(kind):
            known = options.of(entry)
            lines.append(f"# {known.meaning}")
            if known.shipped is None:
                lines.append(f"#{entry.name}=")
            else:
                lines.append(f"{entry.name}={_quoted(known, known.shipped)}")
    return "\n".join(lines) + "\n"


def _quoted(entry: Option, text: str) -> str:
    special = set(text) & set(';"\\') or ("," in text and entry.kind not in options.LISTS)
    if not special:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def print_reference() -> str:
    """Return the reference of all options as Markdown."""
    lines = [
        "# Options",
        "",
        "Each option stands in a section of the configuration file. It can also be given as",
        "`--set section.option=value` and as a variable `GRIPPROXY_SECTION_OPTION`;",
        "the command line counts more than the environment, and both more than the file. *Without*",
        "is the value if there is a file that does not name the option; *shipped* is the one in",
        "`config/gripproxy.conf`, which also holds if there is no file at all.",
    ]
    for section, kind in options.SECTIONS.items():
        lines += ["", f"## [{section}]", "", "| option | type | without | shipped | meaning |"]
        lines.append("| --- | --- | --- | --- | --- |")
        for entry in fields(kind):
            known = options.of(entry)
            shipped = "none" if known.shipped is None else f"`{known.shipped}`"
            shipped = "empty" if known.shipped == "" else shipped
            lines.append(
                f"| `{entry.name}` | {known.kind} | {_shown(entry.default)} | {shipped} | "
                f"{known.meaning} |"
            )
    lines += ["", "## Ignored", "", "| option | why |", "| --- | --- |"]
    lines += [f"| `[{s}] {n}` | {why} |" for (s, n), (why, _) in options.IGNORED.items()]
    lines += ["", "Endpoints between the processes of Pushpin are accepted and mean nothing."]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if value in ("", None, ()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main(arguments: Sequence[str]) -> int:
    """Print what is asked for: `conf` or `reference`."""
    printers = {"conf": print_default_conf, "reference": print_reference}
    if len(arguments) != 1 or arguments[0] not in printers:
        sys.stderr.write("usage: python -m gripproxy.config conf|reference\n")
        return 2
    sys.stdout.write(printers[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

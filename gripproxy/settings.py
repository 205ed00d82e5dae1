"""Settings: who says what of which option, and who of them counts (config.md 1.3, 1.4, 7.3, 7.4).

Highest first: flags, the environment, the file, the file that it includes, shipped values. Names
are checked here, with the nearest known one as a hint; values are still text.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gripproxy import ini, legacy, options
from gripproxy.errors import ConfigError, ConfigErrors
from gripproxy.ini import IniFile, shown
from gripproxy.kinds import Written
from gripproxy.legacy import Name

PREFIX: Final = "GRIPPROXY_"
# `{libdir}`: where Pushpin's packages put the file that theirs includes.
LIBDIR: Final = "/usr/lib/pushpin"
INTERNAL_FILE: Final = "internal.conf"

_RUNDIR: Final = ("global", "rundir")
_INCLUDE: Final = ("global", "include")
_VARIABLES: Final = (
    ("{libdir}", ("global", "libdir"), LIBDIR),
    ("{rundir}", _RUNDIR, ""),
    ("{ipc_prefix}", ("global", "ipc_prefix"), options.Global().ipc_prefix),
)
_LISTENERS: Final = (("runner", "http_port"), ("runner", "https_ports"), ("runner", "local_ports"))


@dataclass(frozen=True, slots=True)
class Setting:
    """What somebody says of an option, and where."""

    place: str  # FILE:LINE, a variable or a flag
    label: str  # the option's name, where the place does not tell it
    written: Written

    def error(self, text: str) -> ConfigError:
        """Return an error about the value."""
        return ConfigError(self.place, f"{self.label}{text}")


Layer = dict[Name, Setting]


class Settings:
    """The settings of all sources, and what is wrong with their names."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.notices: list[str] = []
        self._flags: Layer = {}
        self._environ: Layer = {}
        self._main: Layer = {}
        self._included: Layer = {}
        self._shipped: Layer = {}

    # Looking up

    def said(self, name: Name) -> Setting | None:
        """Return what the highest source says of exactly this name, if any does."""
        for layer in (self._flags, self._environ, self._main, self._included):
            if name in layer:
                return layer[name]
        return None

    def setting(self, name: Name) -> Setting | None:
        """Return what holds for an option, older names and shipped values included."""
        found = self.said(name)
        if found is None and name in legacy.FORMER:
            found = self.said(legacy.FORMER[name])
        return found or self._shipped.get(name)

    def expanded(self, text: str) -> str:
        """Replace the variables."""
        if "{" in text:
            for variable, name, otherwise in _VARIABLES:
                setting = self.setting(name)
                value = otherwise if setting is None else setting.written.text or ""
                text = text.replace(variable, value)
        return text

    # Files

    def take_file(self, path: str) -> None:
        """Read the main file; raise `ConfigErrors` if that cannot be done."""
        self._main = self._layer(path)

    def take_included(self, directory: str) -> None:
        """Read the file that the main one names; `directory` is the main one's."""
        setting = self.setting(_INCLUDE)
        name = self.expanded(setting.written.text or "") if setting is not None else ""
        if setting is None or not name:
            return
        path = os.path.join(LIBDIR if name == INTERNAL_FILE else directory, name)
        if os.path.basename(name) == INTERNAL_FILE:
            self._look_into_internal(path)
            return
        if not Path(path).exists():
            self.errors.append(setting.error(f"there is no file {path}"))
            return
        try:
            self._included = self._layer(path)
        except ConfigErrors as failure:
            self.errors += failure.errors
        if _INCLUDE in self._included:
            self.notices.append(f"{path}: an included file includes no other")

    def _layer(self, path: str) -> Layer:
        file = _parsed(path)
        self.errors += file.errors
        for section, line in file.sections:
            if section not in options.SECTIONS and not _is_nowhere(section):
                self.errors.append(ConfigError(f"{path}:{line}", _unknown_section(section)))
        layer: Layer = {}
        for entry in file.entries:
            place = f"{path}:{entry.line}"
            if (entry.section, entry.key) in _NAMES:
                label = f"[{entry.section}] {entry.key}: "
                layer[entry.section, entry.key] = Setting(place, label, _as_written(entry))
            elif entry.section in options.SECTIONS or _is_nowhere(entry.section):
                self.errors.append(ConfigError(place, _unknown_option(entry.section, entry.key)))
        return layer

    def _look_into_internal(self, path: str) -> None:
        """Name what does not belong into the file of Pushpin's own endpoints, which is ignored."""
        try:
            entries = _parsed(path).entries
        except ConfigErrors:
            return
        for entry in entries:
            if (entry.section, entry.key) in options.TABLE:
                self.notices.append(
                    f"{path}:{entry.line}: [{entry.section}] {entry.key}: ignored here; "
                    "write it into the main file"
                )

    # Environment and flags

    def take_environ(self, environ: Mapping[str, str]) -> None:
        """Take the variables that are named like options."""
        names = {_variable(name): name for name in _NAMES}
        prefixes = tuple(f"{PREFIX}{section}_".upper() for section in options.SECTIONS)
        for variable, text in sorted(environ.items()):
            if variable in names:
                self._environ[names[variable]] = Setting(variable, "", as_is(text))
            elif variable.startswith(prefixes):
                near = nearest(variable, map(_variable, options.TABLE))
                self.errors.append(ConfigError(variable, f"unknown option; {_hint(near)}"))

    def take_set(self, texts: Sequence[str]) -> None:
        """Take the values of `--set`; the later one of two wins."""
        for text in texts:
            option, equals, value = text.partition("=")
            section, dot, key = option.strip().partition(".")
            if not (equals and dot):
                wrong = f"{shown(text)} is not section.option=value"
                self.errors.append(ConfigError("--set", wrong))
            elif (section, key) in _NAMES:
                place = f"--set {section}.{key}"
                self._flags[section, key] = Setting(place, "", as_is(value))
            else:
                near = nearest(f"{section}.{key}", (".".join(name) for name in options.TABLE))
                place = f"--set {shown(option.strip())[1:-1]}"
                self.errors.append(ConfigError(place, f"unknown option; {_hint(near)}"))

    def take_id(self, instance: int) -> None:
        """Take `--id`."""
        if instance < 0:
            self.errors.append(ConfigError("--id", "id must be greater than or equal to 0"))
            return
        self._flags["global", "port_offset"] = Setting("--id", "", as_is(str(10 * instance)))
        self._flags["global", "ipc_prefix"] = Setting("--id", "", as_is(f"p{instance}-"))

    def take_port(self, port: str) -> None:
        """Take `--port`: the one listener."""
        for name in _LISTENERS:
            self._flags[name] = Setting("--port", "", Written("", ()))
        number = port.rpartition(":")[2]
        if number.startswith("-") or (number and not number.strip("0")):
            text = "port must be greater than or equal to 1"
            self.errors.append(ConfigError("--port", text))
            return
        self._flags["runner", "http_port"] = Setting("--port", "", Written(port, (port,)))

    def take_log_level(self, text: str) -> None:
        """Take `--log-level`."""
        self._flags["runner", "log_level"] = Setting("--log-level", "", as_is(text))

    # Shipped values

    def take_shipped(self) -> None:
        """Let the shipped values hold: there is no file.

        Directories are used only if something needs them, so that a proxy that was started by one
        command leaves none behind.
        """
        mentioned = self._mentions("{rundir}")
        given = self.setting(_RUNDIR) is not None
        unused = {("runner", "logdir")}
        if not given:
            unused.add(("handler", "stats_spec"))
        if not (given or mentioned):
            unused.add(_RUNDIR)
        for name, option in options.TABLE.items():
            if option.shipped is not None and name not in unused:
                place = f"default of [{name[0]}] {name[1]}"
                self._shipped[name] = Setting(place, "", as_is(option.shipped))

    def _mentions(self, variable: str) -> bool:
        return any(
            variable in element
            for layer in (self._flags, self._environ, self._included)
            for setting in layer.values()
            for element in setting.written.elements
        )


def _parsed(path: str) -> IniFile:
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigErrors([ConfigError(path, f"failed to open {path}: {reason}")]) from error
    try:
        return ini.read(content.decode(), path)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = ConfigError(f"{path}:{line}", "what stands here is not UTF-8")
        raise ConfigErrors([wrong]) from error


def _as_written(entry: ini.Entry) -> Written:
    text = entry.values[0] if len(entry.values) == 1 else None
    return Written(text, entry.values)


def as_is(text: str) -> Written:
    """Return a value that has no INI quoting."""
    return Written(text, tuple(part.strip() for part in text.split(",")))


# Names

_NAMES: Final[frozenset[Name]] = frozenset(
    (*options.TABLE, *legacy.IGNORED, *legacy.INTERNAL, *legacy.FORMER.values())
)


def _is_nowhere(section: str) -> bool:
    """Tell whether what stands here is in no section; `[General]` is such a place, too."""
    return section.lower() in ("", "general")


def _variable(name: Name) -> str:
    return f"{PREFIX}{name[0]}_{name[1]}".upper()


def _unknown_section(section: str) -> str:
    near = nearest(section, options.SECTIONS)
    return f"unknown section {shown(section)}; {_hint(f'[{near}]' if near else '')}"


def _unknown_option(section: str, key: str) -> str:
    where = "in no section" if _is_nowhere(section) else f"in [{section}]"
    home = next((of for of, name in options.TABLE if name == key), "")
    if home:
        return f"option {shown(key)} {where}; it belongs in [{home}]"
    near = nearest(key, (name for of, name in options.TABLE if of == section))
    hint = _hint(f'"{near}"' if near else "")
    return f"unknown option {shown(key)} {where}; {hint}"


def _hint(near: str) -> str:
    if near:
        return f"did you mean {near}?"
    return f"the sections are {', '.join(options.SECTIONS)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is at most a third of the letters away; empty if none is."""
    best, most = "", len(name) // 3
    for other in known:
        if abs(len(other) - len(name)) <= most:
            distance = _distance(name, other)
            if distance <= most:
                best, most = other, distance - 1
    return best


def _distance(first: str, second: str) -> int:
    """Return how many letters must be added, taken away or changed."""
    row = list(range(len(second) + 1))
    for count, letter in enumerate(first, 1):
        before, row[0] = row[0], count
        for at, other in enumerate(second, 1):
            changed = before + (letter != other)
            before = row[at]
            row[at] = min(changed, row[at] + 1, row[at - 1] + 1)
    return row[-1]


# What is said of settings at start


def ignored(settings: Settings) -> Iterator[str]:
    """Name the ignored options whose value is not that of a stock file."""
    for (section, key), (reason, usual) in legacy.IGNORED.items():
        setting = settings.said((section, key))
        if setting is not None and ",".join(setting.written.elements) not in usual:
            yield f"[{section}] {key}: ignored, {reason}"


def deprecated(settings: Settings) -> Iterator[str]:
    """Name the older names that act."""
    present = {old: new for new, old in legacy.FORMER.items()}
    for name, text in legacy.DEPRECATED.items():
        new = present.get(name)
        if settings.said(name) and not (new and settings.said(new)):
            yield text


def sources(settings: Settings) -> Iterator[str]:
    """Tell who has set what; keys are not shown."""
    for (section, key), option in options.TABLE.items():
        setting = settings.said((section, key))
        if setting is not None:
            joined = ",".join(setting.written.elements)
            told = "..." if option.kind.secret and joined else joined
            yield f"[{section}] {key}={told} ({setting.place})"

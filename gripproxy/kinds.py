"""The kinds of values that options have: from text to values (config.md 1.2, 1.5, 3).

Here nothing knows which option it reads, nor where that stands: errors are `OptionValueError`s,
whose words can follow the name of the option.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gripproxy.errors import KeySourceError, OptionValueError
from gripproxy.ini import shown
from gripproxy.logs import Levels
from gripproxy.protocol import keys
from gripproxy.protocol.keys import KeySource, Read

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Words = tuple[str, ...]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# Values


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP port: `[ADDR:]PORT`. Port 0 is any that is free; an empty host is all addresses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A Unix socket: `PATH[?mode=OCTAL&user=U&group=G]`."""

    path: str
    mode: int | None = None
    user: str = ""
    group: str = ""


# Kinds of values


@dataclass(frozen=True, slots=True)
class Written:
    """A value as it was written: its text, None if it is a list; and its elements."""

    text: str | None
    elements: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What values depend on beside their text."""

    directory: str = ""  # of the configuration file
    port_offset: int = 0
    read: Read  # opens the files that keys are in


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A type of option: its name in the reference, and how a value of it is read.

    `read` raises `OptionValueError` with words that can follow the name of the option.
    """

    name: str
    read: Callable[[Written, Context], T_co]
    many: bool = False
    secret: bool = False


def _one(name: str, read: Callable[[str, Context], T], *, secret: bool = False) -> Kind[T]:
    def take(written: Written, context: Context) -> T:
        if written.text is None:
            joined = "..." if secret else ",".join(written.elements)
            raise OptionValueError(
                f"takes one value, not a list; with quotes it is one: {shown(joined)}"
            )
        return read(written.text, context)

    return Kind(name, take, secret=secret)


def _many(name: str, read: Callable[[str, Context], T]) -> Kind[tuple[T, ...]]:
    def take(written: Written, context: Context) -> tuple[T, ...]:
        return tuple(read(element, context) for element in written.elements if element)

    return Kind(name, take, many=True)


def _text(text: str, _context: Context) -> str:
    return text


_TRUE: Final = frozenset(("1", "true", "yes", "on"))
_FALSE: Final = frozenset(("", "0", "false", "no", "off"))


def _boolean(text: str, _context: Context) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise OptionValueError(f"{shown(text)} is neither true nor false")
    return word in _TRUE


# Decimal, with an optional sign. No number of an option is longer.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{0,9})?")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise OptionValueError(f"{shown(text)} is not a number")
    return int(text)


def _whole(name: str, *, least: int = 0) -> Kind[int]:
    def read(text: str, _context: Context) -> int:
        number = _integer(text)
        if number < least:
            raise OptionValueError(f"{number} is too little; write {least} or more")
        return number

    return _one(name, read)


def _limit(name: str) -> Kind[int]:
    """Return the kind of numbers that are off when 0, negative or empty."""
    return _one(name, lambda text, _context: max(_integer(text), 0) if text else 0)


def _decimal(*, zero: bool) -> Kind[float]:
    def read(text: str, _context: Context) -> float:
        if not _DECIMAL.fullmatch(text):
            raise OptionValueError(f"{shown(text)} is not a number of seconds")
        seconds = float(text)
        if seconds < 0 or (seconds == 0 and not zero):
            least = "0 or more" if zero else "more than 0"
            raise OptionValueError(f"{text} is too little; write {least}")
        return seconds

    return _one("seconds", read)


_OCTAL_DIGITS: Final = re.compile(r"[0-7]{1,4}")


def _octal(text: str, _context: Context) -> int | None:
    if not text:
        return None
    if not _OCTAL_DIGITS.fullmatch(text):
        raise OptionValueError(f"{shown(text)} is no mode; write octal digits, such as 660")
    return int(text, 8)


def choice(*words: str, empty: str | None = None) -> Kind[str]:
    """Return the kind of options that are one of some words; `empty` is what no word means."""

    def read(text: str, _context: Context) -> str:
        if not text and empty is not None:
            return empty
        if text not in words:
            raise OptionValueError(f"{shown(text)} is none of: {', '.join(words)}")
        return text

    return _one(" or ".join(words), read)


def _proto_fields(text: str, _context: Context) -> str:
    return text if text in ("true", "proto-only") else ""


LOG_DEFAULT: Final = ("2",)


def _levels(written: Written, _context: Context) -> Words:
    words = written.elements if written.text is None else tuple(written.text.split(","))
    if words == ("",):
        return LOG_DEFAULT
    try:
        Levels.parse(words)
    except ValueError as error:
        raise OptionValueError(str(error)) from error
    return words


def _key(*, signs: bool) -> Kind[KeySource | None]:
    def read(text: str, context: Context) -> KeySource | None:
        try:
            return keys.resolve(text, context.read, directory=context.directory, signs=signs)
        except KeySourceError as error:
            raise OptionValueError(error.text) from error

    return _one("key", read, secret=True)


# Kinds of endpoints

_PORT_MAX: Final = 65535
_LISTENER: Final = re.compile(r"(?:(\[[^\]]*\]|[^:\[\]]*):)?([0-9]{1,9})")
_ADDRESS_AND_PORT: Final = "write PORT, ADDRESS:PORT or [IPV6]:PORT"


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise OptionValueError(
            f"{shown(text)} is not an IP address, such as 127.0.0.1 or ::1"
        ) from None


def _port(number: int) -> int:
    if number > _PORT_MAX:
        raise OptionValueError(f"there is no port {number}; the last one is {_PORT_MAX}")
    return number


def _endpoint(text: str, everywhere: str) -> Endpoint:
    match = _LISTENER.fullmatch(text)
    if match is None:
        raise OptionValueError(f"{shown(text)} is not a port; {_ADDRESS_AND_PORT}")
    host = everywhere if match[1] is None else _ip(match[1].strip("[]"))
    return Endpoint(host, _port(int(match[2])))


def _plain_listener(text: str, _context: Context) -> Endpoint:
    return _endpoint(text, "0.0.0.0")  # noqa: S104  # what a port alone means


def _tls_listener(text: str, context: Context) -> Endpoint:
    endpoint = _plain_listener(text, context)
    if endpoint.port == 0:
        raise OptionValueError("port 0 has no certificate; name the port")
    return endpoint


def _unix_listener(text: str, context: Context) -> UnixEndpoint:
    path, _, query = text.partition("?")
    if not path:
        raise OptionValueError(f"{shown(text)} names no path")
    given = dict(part.partition("=")[::2] for part in query.split("&") if part)
    unknown = [name for name in given if name not in ("mode", "user", "group")]
    if unknown:
        raise OptionValueError(
            f"{shown(unknown[0])} is unknown; behind ? there may be mode=, user= and group="
        )
    mode = _octal(given.get("mode", ""), context)
    return UnixEndpoint(path, mode, given.get("user", ""), given.get("group", ""))


def _address(text: str, _context: Context) -> str:
    return _ip(text.strip("[]")) if text else ""


def _control_port(text: str, context: Context) -> int:
    number = _integer(text) if text else 0
    return _port(number + context.port_offset) if number > 0 else 0


_TCP: Final = re.compile(r"tcp://(\[[^\]\s]+\]|[^\s:/;\[\]]+):([0-9]{1,9}|\*)")


def _zeromq(text: str, context: Context) -> str:
    """Read a ZeroMQ endpoint; ports of `tcp://` are moved by `port_offset`."""
    if not text or (text.startswith("ipc://") and len(text) > len("ipc://")):
        return text
    match = _TCP.fullmatch(text)
    if match is None:
        raise OptionValueError(f"{shown(text)} is neither tcp://ADDRESS:PORT nor ipc://PATH")
    if match[2] == "*":
        return text
    number = int(match[2])
    moved = number + context.port_offset
    if moved != number and not 0 < moved <= _PORT_MAX:
        raise OptionValueError(f"with port_offset={context.port_offset} there is no port {moved}")
    return f"tcp://{match[1]}:{_port(moved)}"


def _metrics(text: str, _context: Context) -> Endpoint | UnixEndpoint | None:
    if not text:
        return None
    if text.startswith("ipc://"):
        return UnixEndpoint(text.removeprefix("ipc://"))
    return _endpoint(text, "")


def _network(text: str, _context: Context) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise OptionValueError(f"{shown(text)} is not a network, such as 10.0.0.0/8") from None


_ENGINES: Final = ("redis://", "rediss://", "nats://")


def _engine(text: str, _context: Context) -> str:
    if text and not text.startswith(_ENGINES):
        raise OptionValueError(f"{shown(text)} begins with none of: {', '.join(_ENGINES)}")
    return text


TEXT: Final = _one("text", _text)
PATH: Final = _one("path", _text)
URL: Final = _one("URL", _text)
WORDS: Final = _many("list", _text)
BOOLEAN: Final = _one("boolean", _boolean)
INTEGER: Final = _one("integer", lambda text, _context: _integer(text))
COUNT: Final = _whole("count")
SOME: Final = _whole("count", least=1)
BYTES: Final = _whole("bytes", least=1)
BYTES_OR_NONE: Final = _whole("bytes")
MILLISECONDS: Final = _whole("milliseconds")
WHOLE_SECONDS: Final = _whole("whole seconds")
LIMIT: Final = _limit("count")
BLOCK: Final = _limit("bytes")
INTERVAL: Final = _limit("whole seconds")
SECONDS: Final = _decimal(zero=True)
SOME_SECONDS: Final = _decimal(zero=False)
OCTAL: Final = _one("octal", _octal)
LEVELS: Final = Kind("log levels", _levels, many=True)
SIGNING_KEY: Final = _key(signs=True)
KEY: Final = _key(signs=False)
PORTS: Final = _many("list of [ADDRESS:]PORT", _plain_listener)
TLS_PORTS: Final = _many("list of [ADDRESS:]PORT", _tls_listener)
UNIX_SOCKETS: Final = _many("list of Unix sockets", _unix_listener)
ADDRESS: Final = _one("IP address", _address)
CONTROL_PORT: Final = _one("port", _control_port)
ZEROMQ: Final = _one("ZeroMQ endpoint", _zeromq)
ZEROMQ_LIST: Final = _many("list of ZeroMQ endpoints", _zeromq)
METRICS: Final = _one("[ADDRESS:]PORT or ipc://PATH", _metrics)
NETWORKS: Final = _many("list of networks", _network)
ENGINE: Final = _one("URL", _engine)
PROTO_FIELDS: Final = _one("true, proto-only", _proto_fields)

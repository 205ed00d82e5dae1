"""The log: levels, the shape of a line, and writing it without ever waiting.

Specification: config.md 2.2 (levels), 5.1, 5.4. `logging` takes what is said now and then; the
access, `subscribe` and `publish` lines go through `Lines`, because there is one for each request.
Both share the `Output` of their descriptor, so that lines stay whole and in order.

Everything here belongs to the thread of the event loop. What an access line says is
`flow.access`'s matter.
"""

import errno
import logging
import os
import re
import select
import socket
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json import JSONEncoder
from typing import Final

from gripproxy.errors import ConfigError
from gripproxy.protocol.jsontext import Json

CallLater = Callable[[float, Callable[[], None]], object]

LOGGER: Final = "gripproxy"
TRACE: Final = 5  # below `logging.DEBUG`

# A line that a peer can make longer than this is cut: some lines carry what peers send.
LINE_MAX: Final = 10_000
# So much may wait for a slow reader: as much as for a slow client (`write_buffer_max`).
WAITING_MAX: Final = 1_048_576
FLUSH_BYTES: Final = 65_536
FLUSH_SECONDS: Final = 0.05
# While the reader is behind. A pipe takes 64 kB, so it can still read 6 MB a second.
RETRY_SECONDS: Final = 0.01
# At the end, for a reader that is behind.
PATIENCE: Final = 1.0
# POSIX: a pipe takes so much whole or not at all.
PIECE_BYTES: Final = select.PIPE_BUF


# Levels


@dataclass(frozen=True, slots=True)
class _Level:
    name: str
    number: int
    logging: int


_LEVELS: Final = (
    _Level("ERR", 0, logging.ERROR),
    _Level("WARN", 1, logging.WARNING),
    _Level("INFO", 2, logging.INFO),
    _Level("DEBUG", 3, logging.DEBUG),
    _Level("TRACE", 4, TRACE),
)
_DEFAULT: Final = 2

# The names of other versions.
_SERVICES: Final = {
    "pushpin-proxy": "proxy",
    "pushpin-handler": "handler",
    "condure": "connmgr",
}

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Levels:
    """How much is logged: 0 errors, 1 warnings, 2 each request, 3 debug, 4 and more trace."""

    default: int = _DEFAULT
    services: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Levels":
        """Read `N` and `service:N`, in any order; the later one of two wins.

        Raises:
            ValueError: with the text for the operator.
        """
        default = _DEFAULT
        services: dict[str, int] = {}
        for word in (part.strip() for text in words for part in text.split(",")):
            if not word:
                raise ValueError("log level component cannot be empty")
            name, colon, number = (part.strip() for part in word.rpartition(":"))
            if not colon:
                default = _number(number, "log level")
            elif not name:
                raise ValueError("log level component name cannot be empty")
            else:
                service = _SERVICES.get(name, name)
                services[service] = _number(number, f"log level for service {name}")
        return cls(default, tuple(services.items()))

    def of(self, service: str) -> int:
        """Return a service's level."""
        name = _SERVICES.get(service, service)
        return dict(self.services).get(name, self.default)


def _number(text: str, what: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'{what}: "{text}" is not a number')
    number = int(text)
    if number < 0:
        raise ValueError(f"{what} must be greater than or equal to 0")
    return number


def _for_logging(number: int) -> int:
    return _LEVELS[min(number, len(_LEVELS) - 1)].logging


# The shape of a line

# Controls, what some readers take for a line's end, what turns the direction of writing around,
# and halves of characters, which have no UTF-8. `str.isprintable` is false for all of them.
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ESCAPES: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}

_encode: Final = JSONEncoder(separators=(",", ":")).encode


def escape(text: str) -> str:
    """Return a text without anything that could end its line or steer a terminal."""
    return text if text.isprintable() else _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    short = f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    return _ESCAPES.get(character, short)


def _capped(text: str) -> str:
    return text if len(text) <= LINE_MAX else f"{text[: LINE_MAX - 3]}..."


class _Shape:
    """Makes lines: `[LEVEL] YYYY-MM-DD HH:MM:SS.mmm text`, or JSON."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._second = -1
        self._date = ""
        self._zone = ""

    def head(self, level: str, milliseconds: int) -> str:
        """Return what comes before the text at this time (since 1970)."""
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._tick(second)
        if self._json:
            return f'{{"level":"{level}","time":"{self._date}.{rest:03d}{self._zone}","text":'
        return f"[{level}] {self._date}.{rest:03d} "

    def line(self, head: str, text: str, fields: Mapping[str, Json] | None = None) -> bytes:
        """Return a whole line; only one in JSON may have fields."""
        if self._json:
            more = "}"
            if fields:
                short = {n: _capped(v) if isinstance(v, str) else v for n, v in fields.items()}
                more = f",{_encode(short)[1:]}"
            return f"{head}{_encode(_capped(text))}{more}\n".encode()
        # Cut first, so that escaping a long text costs no more than a short one.
        return f"{head}{_capped(escape(_capped(text)))}\n".encode()

    def _tick(self, second: int) -> None:
        local = time.localtime(second)
        self._second = second
        self._date = time.strftime(
            "%Y-%m-%dT%H:%M:%S" if self._json else "%Y-%m-%d %H:%M:%S", local
        )
        zone = time.strftime("%z", local)
        self._zone = f"{zone[:3]}:{zone[3:]}"


# Writing


class Output:
    """Lines on their way to a descriptor: written without waiting, bounded, losses counted.

    `O_NONBLOCK` is no property of a descriptor but of what was opened, which a terminal's
    programs and our workers share: setting it would break theirs. And asking `poll` first leaves
    a moment in which another worker can fill the pipe. So a pipe or terminal is opened once more
    (`/proc/self/fd`), which gives a description of our own; a socket is told with each `send`;
    a file never makes anyone wait in this sense. Only where a second opening is not allowed
    (no `/proc`, a pipe of another user) it is `poll` and pieces that then fit.
    """

    def __init__(self, fd: int, shape: _Shape, call_later: CallLater | None = None) -> None:
        self.fd = fd
        self.shape = shape
        self.waiting = bytearray()
        self.dropped = 0
        self.call_later = call_later
        self.armed = False
        self.try_at = FLUSH_BYTES  # when so much waits, it is time to write
        self._whole = True  # what was written ends with a line's end
        self._own: int | None = None
        self._piecewise = False
        self._write: Callable[[bytes], int] = _write_nowhere
        self.attach()

    def attach(self) -> None:
        """Find out how what the descriptor now stands for is written."""
        self.close()
        mode = os.fstat(self.fd).st_mode
        self._piecewise = not stat.S_ISREG(mode)
        self._write = self._writer(mode)

    def put(self, line: bytes) -> None:
        """Let a line wait to be written; there may be no room for it."""
        if len(self.waiting) + len(line) > WAITING_MAX:
            self.dropped += 1
        else:
            self.waiting += line

    def push(self) -> None:
        """Write what can be written now; the rest is tried again."""
        try:
            while self.waiting:
                self._advance(self._write(self._piece()))
        except BlockingIOError:
            self.arm(RETRY_SECONDS)
        except OSError:
            self.give_up()
        # While the reader is behind, not for each line.
        self.try_at = len(self.waiting) + FLUSH_BYTES

    def flush(self, patience: float) -> None:
        """Write everything, waiting so many seconds at most; what then still waits is lost."""
        deadline = time.monotonic() + patience
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        self.push()
        while self.waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                self.give_up()
                return
            poll.poll(min(left, RETRY_SECONDS) * 1000)
            self.push()

    def arm(self, seconds: float) -> None:
        """See to it that `push` is called."""
        if self.call_later is not None and not self.armed:
            self.armed = True
            try:
                self.call_later(seconds, self._due)
            except RuntimeError:  # no loop, before it runs and after: `flush` is left
                self.armed = False

    def give_up(self) -> None:
        """Lose what waits."""
        self.dropped += self.waiting.count(b"\n") - self.waiting.startswith(b"\n")
        # Whatever comes next must not look like the rest of a line.
        self.waiting = bytearray(b"" if self._whole else b"\n")

    def close(self) -> None:
        """Close what was opened here."""
        if self._own is not None:
            os.close(self._own)
            self._own = None
        self._write = _write_nowhere  # the number may soon be another's

    def _due(self) -> None:
        self.armed = False
        self.push()

    def _piece(self) -> bytes:
        if not self._piecewise:
            return bytes(self.waiting)
        # Whole lines, so that those of several processes do not mix. A line that is longer than
        # a piece may be broken.
        end = self.waiting.rfind(b"\n", 0, PIECE_BYTES) + 1
        return bytes(self.waiting[: end or PIECE_BYTES])

    def _advance(self, written: int) -> None:
        self._whole = self.waiting[written - 1] == ord("\n")
        del self.waiting[:written]
        # At the end of what waits, which is where lines are missing; not for each line that a slow
        # reader lets through; and not after half a line, which is how a disk says that it is full.
        if self.dropped and self._whole and len(self.waiting) <= WAITING_MAX // 2:
            head = self.shape.head("WARN", time.time_ns() // 1_000_000)
            text = f"{self.dropped} log lines dropped, their reader is too slow or failed"
            self.dropped = 0
            self.put(self.shape.line(head, text))

    def _writer(self, mode: int) -> Callable[[bytes], int]:
        if stat.S_ISREG(mode):
            return self._write_file
        if stat.S_ISSOCK(mode):
            return self._send
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
        try:
            self._own = os.open(f"/proc/self/fd/{self.fd}", flags)
        except OSError:
            return self._write_if_ready
        return self._write_own

    def _write_file(self, piece: bytes) -> int:
        return os.write(self.fd, piece)

    def _write_own(self, piece: bytes) -> int:
        assert self._own is not None
        return os.write(self._own, piece)

    def _send(self, piece: bytes) -> int:
        # The family is not used by `send`. Named, it is not asked for with four calls.
        borrowed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, self.fd)
        try:
            return borrowed.send(piece, socket.MSG_DONTWAIT)
        finally:
            borrowed.detach()

    def _write_if_ready(self, piece: bytes) -> int:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(self.fd, piece)


def _write_nowhere(_piece: bytes) -> int:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class Lines:
    """Writes the lines of level info that there is one of for each request."""

    def __init__(
        self,
        fd: int,
        *,
        loop_call_later: CallLater,
        json: bool = False,
        levels: Levels = Levels(),
        worker: int | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.json = json
        self.levels = levels
        self.worker = worker
        self._shape = _Shape(json=json)
        self._clock = clock
        self._milliseconds = -1
        self._head = ""
        self._output = _output(fd) or Output(fd, self._shape)
        self._output.call_later = loop_call_later

    @property
    def dropped(self) -> int:
        """How many lines were lost since that was last said in the log."""
        return self._output.dropped

    def line(self, text: str) -> None:
        """Write a line, soon."""
        self.record(text)

    def record(self, text: str, fields: Mapping[str, Json] | None = None) -> None:
        """Write a line that has fields, if the log is JSON."""
        output = self._output
        milliseconds = self._clock() // 1_000_000
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            self._head = self._shape.head("INFO", milliseconds)
        output.put(self._shape.line(self._head, text, fields))
        if len(output.waiting) >= output.try_at:
            output.push()
        if not output.armed:
            output.arm(FLUSH_SECONDS)

    def flush(self, *, patience: float = PATIENCE) -> None:
        """Write what waits, at the end; a slow reader has so many seconds."""
        self._output.flush(patience)


# Logging


class _Handler(logging.Handler):
    """Writes what `logging` is told."""

    def __init__(self, output: Output, path: str | None, levels: Levels) -> None:
        super().__init__()
        self.output = output
        self.levels = levels
        self._path = path
        self._text = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record at once, behind the lines that wait."""
        try:
            text = self._text.format(record)
        except Exception:  # noqa: BLE001  # arguments that do not fit: what `logging` asks for
            self.handleError(record)
            return
        shape = self.output.shape
        head = shape.head(_name(record.levelno), int(record.created * 1000))
        self.output.put(shape.line(head, text))
        self.output.push()

    def flush(self) -> None:
        """Write what waits, at the end."""
        self.output.flush(PATIENCE)

    def reopen(self) -> None:
        """Go on in a new file of the same name.

        Raises:
            OSError: it cannot be opened; the old one is kept.
        """
        if self._path is None:
            return
        fd = _open(self._path)
        self.output.push()
        # The number stays, so whoever has it goes on in the new file too.
        os.dup2(fd, self.output.fd, inheritable=False)
        os.close(fd)
        self.output.attach()

    def close(self) -> None:
        """Close what was opened here."""
        super().close()
        self.output.close()
        if self._path is not None:
            os.close(self.output.fd)
            self._path = None


def _name(level: int) -> str:
    return next((known.name for known in _LEVELS if level >= known.logging), _LEVELS[-1].name)


def _open(path: str) -> int:
    # A pipe in place of a file: without a reader that is an error, not a wait.
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o644)


def _handlers() -> list[_Handler]:
    handlers = logging.getLogger(LOGGER).handlers
    return [handler for handler in handlers if isinstance(handler, _Handler)]


def _output(fd: int) -> Output | None:
    return next((known.output for known in _handlers() if known.output.fd == fd), None)


def set_up(*, levels: Levels, path: str | None = None, json: bool = False, fd: int = 1) -> int:
    """Let `logging` write to a file, or to `fd`; return the descriptor, which `Lines` wants.

    `gripproxy.SERVICE` has the level of its service, all else the default one. May be called
    again.

    Raises:
        ConfigError: the file cannot be opened.
    """
    try:
        opened = fd if path is None else _open(path)
    except OSError as error:
        raise ConfigError(str(path), f"failed to open log file: {error.strerror}") from error
    logger = logging.getLogger(LOGGER)
    for old in _handlers():
        for service, _ in old.levels.services:
            logger.getChild(service).setLevel(logging.NOTSET)
        logger.removeHandler(old)
        old.close()
    logger.addHandler(_Handler(Output(opened, _Shape(json=json)), path, levels))
    logger.propagate = False
    logger.setLevel(_for_logging(levels.default))
    for service, number in levels.services:
        logger.getChild(service).setLevel(_for_logging(number))
    return opened


def reopen() -> None:
    """Open the log file again, after it was moved away."""
    for handler in _handlers():
        try:
            handler.reopen()
        except OSError as error:
            # The operator's matter: a traceback would say nothing more.
            text = "failed to open log file: %s"
            logging.getLogger(LOGGER).error(text, error)  # noqa: TRY400


# Saying it once


@dataclass(slots=True)
class _Said:
    at: float
    more: int = 0


class Throttle:
    """Keeps a line that a peer can cause from filling the log: one for each key and period."""

    def __init__(self, period: float = 1.0, limit: int = 10_000) -> None:
        self._period = period
        self._limit = limit
        self._said: OrderedDict[str, _Said] = OrderedDict()

    def __len__(self) -> int:
        return len(self._said)

    def allows(self, key: str, *, now: float) -> bool:
        """Return whether the line of this key may be written, and count it if not."""
        said = self._said.get(key)
        if said is None:
            if len(self._said) >= self._limit:
                self._said.popitem(last=False)
            self._said[key] = _Said(now)
            return True
        if now - said.at < self._period:
            said.more += 1
            return False
        said.at = now
        self._said.move_to_end(key)
        return True

    def suppressed(self, key: str) -> int:
        """Return how many lines of this key were not allowed, and count from 0 again.

        After `allows` said yes: how many like this one there were since the last.
        """
        said = self._said.get(key)
        if said is None:
            return 0
        more, said.more = said.more, 0
        return more

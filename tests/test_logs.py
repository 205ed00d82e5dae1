import errno
import fcntl
import json
import logging
import os
import re
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy import logs
from gripproxy.errors import ConfigError
from gripproxy.logs import Levels, Lines, Throttle

NOON = 1_795_608_000_000_000_000  # 2026-11-25 12:00:00 UTC, in nanoseconds
LINE = rb"\[(?:ERR|WARN|INFO|DEBUG|TRACE)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [^\n]*\n"


class Timers:
    """A `call_later` whose time is when the test says so."""

    def __init__(self):
        self.calls = []

    def __call__(self, seconds, call):
        self.calls.append((seconds, call))

    def ring(self):
        calls, self.calls = self.calls, []
        for _, call in calls:
            call()


class Pipe:
    """A pipe whose reader can be slow, and is never waited for."""

    def __init__(self):
        self.reader, self.fd = os.pipe()
        os.set_blocking(self.reader, False)

    def read(self):
        try:
            return os.read(self.reader, 1_048_576)
        except BlockingIOError:
            return b""

    def fill(self):
        """Leave no room at all, as another program would."""
        own = os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_NONBLOCK)
        size = 65_536
        while size:
            try:
                os.write(own, b"x" * size)
            except BlockingIOError:
                size //= 2
        os.close(own)

    def close(self):
        os.close(self.reader)
        os.close(self.fd)


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gripproxy.log"


@pytest.fixture
def file(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield fd
    os.close(fd)


@pytest.fixture
def log():
    """The logger, as found before and left after."""
    logger = logging.getLogger(logs.LOGGER)
    before = logger.level, logger.propagate, logger.handlers[:]
    yield logger
    for handler in [found for found in logger.handlers if found not in before[2]]:
        logger.removeHandler(handler)
        handler.close()
    logger.level, logger.propagate = before[:2]


@pytest.fixture
def utc(monkeypatch):
    yield from zone(monkeypatch, "UTC")


def zone(monkeypatch, name):
    with monkeypatch.context() as context:
        context.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def no_proc(monkeypatch):
    """A system on which nothing can be opened a second time."""
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).startswith("/proc/self/fd/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


def texts(written):
    """The texts of lines, all of which must be whole."""
    assert re.fullmatch(rb"(?:%b)*" % LINE, written)
    return [line.split(" ", 3)[3] for line in written.decode().split("\n")[:-1]]


def drain(pipe, timers):
    """Read until nothing comes and nobody means to write."""
    read = bytearray()
    while True:
        piece = pipe.read()
        read += piece
        if not piece and not timers.calls:
            return bytes(read)
        timers.ring()


# Levels


@pytest.mark.parametrize(
    ("words", "default", "services"),
    [
        ([], 2, ()),
        (["1"], 1, ()),
        (["+3"], 3, ()),
        (["2", "proxy:3"], 2, (("proxy", 3),)),
        (["2,proxy:3, connmgr : 1"], 2, (("proxy", 3), ("connmgr", 1))),
        (["proxy:0"], 2, (("proxy", 0),)),
        (["3", "0"], 0, ()),
        (["proxy:1", "proxy:4"], 2, (("proxy", 4),)),
        (["pushpin-proxy:3", "condure:0"], 2, (("proxy", 3), ("connmgr", 0))),
        (["some:thing:3"], 2, (("some:thing", 3),)),
        (["17"], 17, ()),
    ],
)
def test_levels_are_numbers_and_numbers_of_services(words, default, services):
    assert Levels.parse(words) == Levels(default, services)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-1"], "log level must be greater than or equal to 0"),
        (["proxy:-1"], "log level for service proxy must be greater than or equal to 0"),
        (["condure:-1"], "log level for service condure must be greater than or equal to 0"),
        ([""], "log level component cannot be empty"),
        (["2,,proxy:3"], "log level component cannot be empty"),
        ([":3"], "log level component name cannot be empty"),
        (["loud"], 'log level: "loud" is not a number'),
        (["1_0"], 'log level: "1_0" is not a number'),
        (["proxy:"], 'log level for service proxy: "" is not a number'),
        (["9" * 5000], f'log level: "{"9" * 5000}" is not a number'),
    ],
)
def test_a_level_that_is_none_is_named(words, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Levels.parse(words)


@pytest.mark.parametrize(
    ("service", "level"), [("proxy", 3), ("pushpin-proxy", 3), ("handler", 1), ("runner", 1)]
)
def test_a_service_has_its_own_level_or_the_default_one(service, level):
    assert Levels.parse(["1", "proxy:3"]).of(service) == level


# Texts


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("GET / x", "GET / x"),
        ("größe \u3000 \U0001f600", "größe \u3000 \U0001f600"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\0\x1b[31m\x7f", "\\x00\\x1b[31m\\x7f"),
        ("\x85\x9b", "\\x85\\x9b"),
        ("\u2028\u2029\u202e", "\\u2028\\u2029\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_could_end_a_line_or_steer_a_terminal_is_escaped(text, escaped):
    assert logs.escape(text) == escaped


@given(st.text(st.characters()))
def test_no_text_is_more_than_one_line(text):
    escaped = logs.escape(text)
    assert escaped.splitlines() in ([escaped], [])
    assert not re.search("[\x00-\x1f\x7f-\x9f]", escaped)


@given(st.text(st.characters()))
def test_every_text_has_bytes(text):
    assert logs.escape(text).encode().decode() == logs.escape(text)


@given(st.text(st.characters()))
def test_escaping_twice_is_escaping_once(text):
    assert logs.escape(logs.escape(text)) == logs.escape(text)


def test_no_peer_can_forge_a_line(file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    lines.line("GET http://a/ ua=x\n[ERR] 2026-11-25 12:00:00.000 all is lost")
    lines.flush()
    assert texts(path.read_bytes()) == [
        "GET http://a/ ua=x\\n[ERR] 2026-11-25 12:00:00.000 all is lost"
    ]


@pytest.mark.parametrize("letter", ["a", "ä", "\n"])
def test_a_long_text_is_cut(letter, file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    lines.line(letter * 10_001)
    lines.flush()
    (text,) = texts(path.read_bytes())
    assert len(text) == 10_000
    assert text.endswith("...")


def test_a_text_that_just_fits_is_not_cut(file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    lines.line("a" * 10_000)
    lines.flush()
    assert texts(path.read_bytes()) == ["a" * 10_000]


# Time


def test_a_line_has_level_date_time_and_text(utc, file, path, timers):
    lines = Lines(file, loop_call_later=timers, clock=lambda: NOON + 7_000_000)
    lines.line("GET http://a/")
    lines.flush()
    assert path.read_bytes() == b"[INFO] 2026-11-25 12:00:00.007 GET http://a/\n"


def test_time_goes_on_by_milliseconds_and_seconds(utc, file, path, timers):
    now = iter([NOON, NOON + 999_999, NOON + 1_000_000, NOON + 61_999_999_999])
    lines = Lines(file, loop_call_later=timers, clock=lambda: next(now))
    for _ in range(4):
        lines.line("-")
    lines.flush()
    times = [line.split()[2] for line in path.read_text().splitlines()]
    assert times == ["12:00:00.000", "12:00:00.000", "12:00:00.001", "12:01:01.999"]


def test_time_is_local(monkeypatch, file, path, timers):
    for _ in zone(monkeypatch, "XYZ-05:30"):
        lines = Lines(file, loop_call_later=timers, clock=lambda: NOON)
        lines.line("-")
        lines.flush()
    assert path.read_bytes() == b"[INFO] 2026-11-25 17:30:00.000 -\n"


# JSON


def test_a_json_line_has_level_time_and_text(monkeypatch, file, path, timers):
    for _ in zone(monkeypatch, "XYZ-05:30"):
        lines = Lines(file, loop_call_later=timers, json=True, clock=lambda: NOON + 1_000_000)
        lines.line('say "hi"')
        lines.flush()
    assert json.loads(path.read_bytes()) == {
        "level": "INFO",
        "time": "2026-11-25T17:30:00.001+05:30",
        "text": 'say "hi"',
    }


@given(st.text(st.characters()))
def test_a_json_line_gives_back_any_text(text):
    shape = logs._Shape(json=True)
    line = shape.line(shape.head("INFO", 0), text)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["text"] == text


def test_a_json_line_may_have_fields(file, path, timers):
    lines = Lines(file, loop_call_later=timers, json=True)
    lines.record(
        "request", {"uri": "http://a/\n", "code": 200, "accept": True, "last": {"c": "1"}}
    )
    lines.record("request", {})
    lines.flush()
    first, second = path.read_text().splitlines()
    told = json.loads(first)
    assert list(told) == ["level", "time", "text", "uri", "code", "accept", "last"]
    assert (told["text"], told["uri"], told["last"]) == ("request", "http://a/\n", {"c": "1"})
    assert list(json.loads(second)) == ["level", "time", "text"]


def test_a_long_field_is_cut(file, path, timers):
    lines = Lines(file, loop_call_later=timers, json=True)
    lines.record("publish", {"channel": "c" * 20_000})
    lines.flush()
    assert json.loads(path.read_bytes())["channel"] == "c" * 9997 + "..."


# When lines are written


def test_a_line_waits_for_others_but_not_for_long(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    lines.line("b")
    assert pipe.read() == b""
    assert [seconds for seconds, _ in timers.calls] == [logs.FLUSH_SECONDS]
    timers.ring()
    assert texts(pipe.read()) == ["a", "b"]
    assert timers.calls == []


def test_the_next_line_has_a_timer_of_its_own(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    timers.ring()
    lines.line("b")
    timers.ring()
    assert texts(pipe.read()) == ["a", "b"]


def test_many_lines_do_not_wait_for_the_timer(file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    while not path.stat().st_size:
        lines.line("x" * 1000)
    assert logs.FLUSH_BYTES <= path.stat().st_size < logs.FLUSH_BYTES + 2000


def test_flush_writes_what_waits(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    lines.flush()
    assert texts(pipe.read()) == ["a"]


def test_flush_gives_a_reader_that_has_gone_no_time(timers):
    reader, fd = os.pipe()
    lines = Lines(fd, loop_call_later=timers)
    lines.line("a")
    os.close(reader)
    lines.flush(patience=1e9)
    assert lines.dropped == 1
    os.close(fd)


def test_without_a_loop_lines_wait_for_flush(pipe):
    def no_loop(seconds, call):
        raise RuntimeError("no running event loop")

    lines = Lines(pipe.fd, loop_call_later=no_loop)
    lines.line("a")
    lines.flush()
    assert texts(pipe.read()) == ["a"]


# A reader that is slow


def test_a_full_pipe_makes_nobody_wait(pipe, timers):
    pipe.fill()
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    timers.ring()
    assert [seconds for seconds, _ in timers.calls] == [logs.RETRY_SECONDS]
    assert lines.dropped == 0


def test_what_waited_for_a_full_pipe_comes_when_it_is_read(pipe, timers):
    pipe.fill()
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    timers.ring()
    assert set(pipe.read()) == {ord("x")}
    assert texts(drain(pipe, timers)) == ["a"]


def test_a_descriptor_that_others_share_stays_as_it_was(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    pipe.fill()
    lines.line("a")
    timers.ring()
    assert not fcntl.fcntl(pipe.fd, fcntl.F_GETFL) & os.O_NONBLOCK


def test_over_the_bound_lines_are_dropped_and_counted(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    pipe.fill()
    while not lines.dropped:
        lines.line("x" * 5000)
    assert logs.WAITING_MAX - 6000 < len(lines._output.waiting) <= logs.WAITING_MAX


def test_what_was_dropped_is_said_once_when_writing_works_again(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    pipe.fill()
    while lines.dropped < 3:
        lines.line("x" * 9000)
    pipe.read()
    read = drain(pipe, timers)
    said = [line for line in read.splitlines() if line.startswith(b"[WARN]")]
    assert len(said) == 1
    assert said[0].endswith(b" 3 log lines dropped, their reader is too slow or failed")
    assert read.endswith(said[0] + b"\n")
    assert lines.dropped == 0
    assert texts(read)[:-1] == ["x" * 9000] * (len(texts(read)) - 1)


def test_a_reader_that_is_behind_is_not_tried_for_each_line(pipe, timers):
    pipe.fill()
    lines = Lines(pipe.fd, loop_call_later=timers)
    tried = []
    write = lines._output._write
    lines._output._write = lambda piece: tried.append(piece) or write(piece)
    for _ in range(500):
        lines.line("x" * 1000)
    assert len(tried) == 500 * 1032 // logs.FLUSH_BYTES


def test_after_a_slow_time_lines_are_written_as_often_as_before(pipe, timers):
    pipe.fill()
    lines = Lines(pipe.fd, loop_call_later=timers)
    for _ in range(500):
        lines.line("x" * 1000)
    drain(pipe, timers)
    for _ in range(logs.FLUSH_BYTES // 1000):
        lines.line("y" * 1000)
    assert pipe.read().count(b"\n") > 30


def test_at_the_end_a_slow_reader_has_its_time_and_no_more(pipe, timers):
    pipe.fill()
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    lines.flush(patience=0.0)
    assert lines.dropped == 1
    pipe.read()
    assert pipe.read() == b""


def test_at_the_end_a_reader_that_goes_on_gets_everything(pipe, timers, monkeypatch):
    pipe.fill()
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("a")
    read = []

    class Reading:
        """A poll during which the reader reads."""

        def register(self, fd, events):
            assert fd == pipe.fd

        def poll(self, milliseconds):
            read.append(pipe.read())

    monkeypatch.setattr(logs.select, "poll", Reading)
    lines.flush(patience=1e9)
    assert texts(pipe.read()) == ["a"]
    assert len(read) == 1


# Lines stay whole


@pytest.mark.parametrize("kind", ["pipe", "no_proc"])
def test_lines_of_several_processes_stay_whole(kind, request, timers):
    if kind == "no_proc":
        request.getfixturevalue("no_proc")
    pipe = Pipe()
    several = [Lines(pipe.fd, loop_call_later=timers) for _ in range(3)]
    for number in range(200):
        for name, lines in zip("abc", several, strict=True):
            lines.line(f"{name}{number} " + name * (number * 11 % 4000))
    written = texts(drain(pipe, timers))
    for name in "abc":
        ours = [text.split()[0] for text in written if text.startswith(name)]
        assert ours == [f"{name}{number}" for number in range(200)]
    pipe.close()


def test_a_line_longer_than_what_a_pipe_takes_whole_comes_whole(pipe, timers):
    lines = Lines(pipe.fd, loop_call_later=timers)
    for letter in "abc":
        lines.line(letter * 9999)
    assert texts(drain(pipe, timers)) == [letter * 9999 for letter in "abc"]


def test_where_nothing_opens_twice_a_full_pipe_makes_nobody_wait(no_proc, timers):
    pipe = Pipe()
    lines = Lines(pipe.fd, loop_call_later=timers)
    assert lines._output._own is None
    for _ in range(100):
        lines.line("x" * 5000)  # over what a pipe holds
    timers.ring()
    assert [seconds for seconds, _ in timers.calls] == [logs.RETRY_SECONDS]
    assert texts(drain(pipe, timers)) == ["x" * 5000] * 100
    pipe.close()


def test_a_full_socket_makes_nobody_wait(timers):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(ours.fileno(), loop_call_later=timers)
        theirs.setblocking(False)
        for _ in range(150):
            lines.line("x" * 5000)
        timers.ring()
        assert [seconds for seconds, _ in timers.calls] == [logs.RETRY_SECONDS]
        read = bytearray()
        while len(read) < 150 * 5032:
            read += theirs.recv(1_048_576)
            timers.ring()
        assert texts(bytes(read)) == ["x" * 5000] * 150
        assert os.get_blocking(ours.fileno())


def test_a_terminal_is_written_without_waiting(timers):
    master, slave = os.openpty()
    lines = Lines(slave, loop_call_later=timers)
    for _ in range(100):
        lines.line("x" * 3000)
    timers.ring()
    assert [seconds for seconds, _ in timers.calls] == [logs.RETRY_SECONDS]
    assert os.read(master, 6) == b"[INFO]"
    assert os.get_blocking(slave)
    os.close(master)
    os.close(slave)


# What fails


def failing(lines, *outcomes):
    """Let the next writes fail, or write only so many bytes; later ones work."""
    output = lines._output
    write, left = output._write, list(outcomes)

    def attempt(piece):
        outcome = left.pop(0) if left else len(piece)
        if isinstance(outcome, OSError):
            raise outcome
        return write(piece[:outcome])

    output._write = attempt


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_a_full_disk_does_not_take_is_dropped_and_said(file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    failing(lines, FULL)
    lines.line("a")
    lines.line("b")
    timers.ring()
    assert lines.dropped == 2
    lines.line("c")
    timers.ring()
    assert texts(path.read_bytes()) == [
        "c",
        "2 log lines dropped, their reader is too slow or failed",
    ]


def test_after_half_a_line_the_next_begins_anew(file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    failing(lines, 40, FULL, FULL)
    lines.line("a" * 100)
    timers.ring()
    lines.line("b")
    timers.ring()
    assert lines.dropped == 2
    lines.line("c")
    timers.ring()
    half, *rest = path.read_bytes().splitlines(keepends=True)
    assert len(half) == 41
    assert texts(b"".join(rest))[0] == "c"


def test_what_was_dropped_is_still_known_after_a_disk_filled_up_again(file, path, timers):
    lines = Lines(file, loop_call_later=timers)
    failing(lines, FULL, 40, FULL)
    lines.line("a")
    timers.ring()
    lines.line("b" * 100)
    timers.ring()
    assert lines.dropped == 2


def test_a_reader_that_has_gone_hurts_nobody(timers):
    reader, fd = os.pipe()
    lines = Lines(fd, loop_call_later=timers)
    os.close(reader)
    for _ in range(3):
        lines.line("a")
        timers.ring()
    assert lines.dropped == 3
    os.close(fd)


# Logging


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (logging.CRITICAL, "ERR"),
        (logging.ERROR, "ERR"),
        (logging.WARNING, "WARN"),
        (logging.INFO, "INFO"),
        (logging.DEBUG, "DEBUG"),
        (logs.TRACE, "TRACE"),
        (1, "TRACE"),
    ],
)
def test_levels_have_their_names(log, pipe, level, name):
    logs.set_up(levels=Levels(9), fd=pipe.fd)
    log.setLevel(1)
    log.log(level, "routes loaded with %d entries", 3)
    written = pipe.read()
    assert written.startswith(f"[{name}] ".encode())
    assert texts(written) == ["routes loaded with 3 entries"]


@pytest.mark.parametrize("number", range(6))
def test_a_line_is_written_if_its_number_is_at_most_the_level(log, pipe, number):
    logs.set_up(levels=Levels(number), fd=pipe.fd)
    for level in (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logs.TRACE):
        log.log(level, "-")
    assert len(texts(pipe.read())) == min(number + 1, 5)


def test_a_service_that_is_named_has_a_level_of_its_own(log, pipe):
    logs.set_up(levels=Levels.parse(["1", "proxy:3"]), fd=pipe.fd)
    for name in ("proxy", "handler"):
        log.getChild(name).debug("from %s", name)
    log.info("from nobody")
    assert texts(pipe.read()) == ["from proxy"]
    logs.set_up(levels=Levels(), fd=pipe.fd)
    assert log.getChild("proxy").getEffectiveLevel() == logging.INFO


def test_a_traceback_stays_on_its_line(log, pipe):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    try:
        {}["gone"]
    except KeyError:
        log.exception("a bug")
    (text,) = texts(pipe.read())
    assert text.startswith("a bug\\nTraceback ")
    assert text.endswith("KeyError: 'gone'")


def test_arguments_that_do_not_fit_do_not_hurt_who_logs(log, pipe, monkeypatch):
    reported = []
    monkeypatch.setattr(logging.Handler, "handleError", lambda self, record: reported.append(1))
    logs.set_up(levels=Levels(), fd=pipe.fd)
    log.info("%d", "no number")
    assert reported == [1]
    assert pipe.read() == b""


def test_logging_speaks_json_too(log, pipe):
    logs.set_up(levels=Levels(), json=True, fd=pipe.fd)
    log.warning("a\nb")
    line = json.loads(pipe.read())
    assert (line["level"], line["text"]) == ("WARN", "a\nb")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", line["time"])


def test_who_logs_does_not_wait_for_a_full_pipe(log, pipe):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    pipe.fill()
    log.info("a")
    pipe.read()
    log.info("b")
    assert texts(pipe.read()) == ["a", "b"]


def test_logging_and_lines_are_written_in_order(log, pipe, timers):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    lines = Lines(pipe.fd, loop_call_later=timers)
    lines.line("first")
    log.info("second")
    lines.line("third")
    timers.ring()
    assert texts(pipe.read()) == ["first", "second", "third"]


def test_what_logging_could_not_write_is_tried_again_by_the_timer(log, pipe, timers):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    Lines(pipe.fd, loop_call_later=timers)
    pipe.fill()
    log.info("a")
    pipe.read()
    assert texts(drain(pipe, timers)) == ["a"]


def test_the_end_of_logging_writes_what_waits(log, pipe):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    pipe.fill()
    log.info("a")
    pipe.read()
    log.handlers[-1].flush()
    assert texts(pipe.read()) == ["a"]


def test_nothing_is_logged_twice(log, pipe):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    logs.set_up(levels=Levels(), fd=pipe.fd)
    log.info("a")
    assert texts(pipe.read()) == ["a"]
    assert not log.propagate


# Files


def test_the_log_goes_to_a_file_and_is_appended(log, path):
    path.write_text("before\n")
    fd = logs.set_up(levels=Levels(), path=str(path))
    log.info("a")
    assert fd > 2
    assert path.read_text().startswith("before\n[INFO] ")


def test_a_file_that_cannot_be_opened_is_the_operators_error(log, tmp_path):
    path = str(tmp_path / "nowhere" / "x.log")
    with pytest.raises(ConfigError) as caught:
        logs.set_up(levels=Levels(), path=path)
    assert str(caught.value) == f"{path}: failed to open log file: No such file or directory"
    assert not logs._handlers()


def test_a_named_pipe_without_a_reader_is_an_error_and_no_wait(log, tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="failed to open log file"):
        logs.set_up(levels=Levels(), path=path)


def test_a_rotated_file_is_opened_again(log, path, timers):
    fd = logs.set_up(levels=Levels(), path=str(path))
    lines = Lines(fd, loop_call_later=timers)
    log.info("a")
    lines.line("b")
    old = path.rename(path.with_suffix(".1"))
    log.info("c")
    lines.line("d")
    logs.reopen()
    log.info("e")
    lines.line("f")
    timers.ring()
    assert texts(old.read_bytes()) == ["a", "b", "c", "d"]
    assert texts(path.read_bytes()) == ["e", "f"]


def test_a_pipe_may_take_the_place_of_a_file(log, path, timers):
    fd = logs.set_up(levels=Levels(), path=str(path))
    lines = Lines(fd, loop_call_later=timers)
    path.unlink()
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    logs.reopen()
    for _ in range(100):
        lines.line("x" * 5000)
    timers.ring()
    assert [seconds for seconds, _ in timers.calls] == [logs.RETRY_SECONDS]
    assert os.read(reader, 6) == b"[INFO]"
    os.close(reader)


def test_if_the_new_file_cannot_be_opened_the_old_one_goes_on(log, path):
    logs.set_up(levels=Levels(), path=str(path))
    old = path.rename(path.with_suffix(".1"))
    path.mkdir()
    logs.reopen()
    log.info("a")
    said, text = texts(old.read_bytes())
    assert said.startswith("failed to open log file: ")
    assert text == "a"


def test_without_a_file_there_is_nothing_to_reopen(log, pipe):
    logs.set_up(levels=Levels(), fd=pipe.fd)
    logs.reopen()
    log.info("a")
    assert texts(pipe.read()) == ["a"]


def test_a_log_that_is_closed_writes_to_nobody_elses_file(log, tmp_path, timers):
    fd = logs.set_up(levels=Levels(), path=str(tmp_path / "one"))
    lines = Lines(fd, loop_call_later=timers)
    logs.set_up(levels=Levels(), path=str(tmp_path / "two"))
    other = os.open(tmp_path / "three", os.O_WRONLY | os.O_CREAT)
    lines.line("a")
    timers.ring()
    assert other == fd
    assert (tmp_path / "three").read_bytes() == b""
    os.close(other)


# Saying it once


def test_one_line_a_period_is_allowed():
    throttle = Throttle(1.0)
    times = [0.0, 0.5, 0.999, 1.0, 1.5, 2.5]
    assert [throttle.allows("k", now=now) for now in times] == [
        True, False, False, True, False, True,
    ]  # fmt: skip


def test_each_key_has_its_own_period():
    throttle = Throttle()
    assert [throttle.allows(key, now=0.0) for key in "abab"] == [True, True, False, False]


def test_what_was_not_allowed_is_counted_until_it_is_said():
    throttle = Throttle()
    for now in (0.0, 0.1, 0.2, 1.5):
        throttle.allows("k", now=now)
    assert throttle.suppressed("k") == 2
    assert throttle.suppressed("k") == 0


def test_of_an_unknown_key_nothing_was_suppressed():
    assert Throttle().suppressed("k") == 0


def test_the_table_is_bounded_and_the_oldest_goes():
    throttle = Throttle(limit=2)
    throttle.allows("a", now=0.0)
    throttle.allows("b", now=0.1)
    throttle.allows("a", now=1.0)
    throttle.allows("c", now=1.1)
    assert len(throttle) == 2
    assert not throttle.allows("a", now=1.2)
    assert throttle.allows("b", now=1.2)

"""Clients that send garbage, half of something, or nothing: nobody else is affected.

Whatever they do, they are answered or dropped, and fill neither the log nor the memory.
"""

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.wire.client import Client, DeadlineError, ask, request, wait_until
from tests.wire.origin import Origin, reply, text
from tests.wire.running import Gripproxy

HELLO = text(body="hello")
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as one:
        yield one


@pytest.fixture(scope="module")
def system(origin) -> Iterator[Gripproxy]:
    settings = {
        "runner.header_timeout": "1",
        "runner.idle_timeout": "1",
        "runner.body_timeout": "1",
        "runner.write_timeout": "1",
        "runner.client_maxconn": "400",
        "runner.workers": "1",
    }
    with Gripproxy([f"* 127.0.0.1:{origin.port}"], settings=settings) as one:
        yield one


@pytest.fixture(autouse=True)
def served(system, origin) -> Iterator[None]:
    """During each test others are served, and after it, too; memory comes back."""
    with origin.stage("others") as stage:
        stage.answer(HELLO)
        over = threading.Event()
        slowest = [0.0]

        def others() -> None:
            while slowest[0] == 0 or not over.wait(0.005):
                begun = time.monotonic()
                assert ask(system.port, request("GET", "/", "others.test")).body == b"hello"
                slowest[0] = max(slowest[0], time.monotonic() - begun)

        thread = threading.Thread(target=others, daemon=True)
        thread.start()
        yield
        over.set()
        thread.join()
        assert 0 < slowest[0] < 4
        assert ask(system.port, request("GET", "/", "others.test")).body == b"hello"


def memory(system: Gripproxy) -> int:
    """Return the bytes that the program has in memory."""
    status = Path(f"/proc/{system.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def connections(system: Gripproxy) -> int:
    """Return how many connections of clients the program has open."""
    port = f":{system.port:04X} "
    lines = Path("/proc/net/tcp").read_text().splitlines()
    # Local address, then 01: established, or 08: the client has closed its side.
    return sum(port in line[:24] + " " and line[34:36] in ("01", "08") for line in lines)


def last_words(system: Gripproxy, *sent: bytes) -> bytes:
    """Send pieces and return all that comes until the program closes."""
    with Client(system.port) as client:
        with suppress(OSError):
            for piece in sent:
                client.send(piece)
        return client.rest()


def all_last_words(system: Gripproxy, *sent: bytes, ends: bool = False) -> list[bytes]:
    """Send each text on a connection of its own, all at once, and return what came on each."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(system.port)) for _ in sent]
        for client, text_ in zip(clients, sent, strict=True):
            with suppress(OSError):
                client.send(text_)
                if ends:
                    client.finish()
        return [client.rest() for client in clients]


# Garbage


def test_random_bytes_are_answered_or_dropped(system):
    chance = random.Random(1)
    sent = [chance.randbytes(chance.choice((1, 100, 9000, 300_000))) for _ in range(50)]
    for came in all_last_words(system, *sent):
        assert came == b"" or came.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("ends", [True, False])
def test_requests_with_a_few_wrong_bytes_are_answered_or_dropped(system, ends):
    chance = random.Random(2)
    good = request("POST", "/x?y", "others.test", "X-A: 1", CHUNKED) + b"4\r\nabcd\r\n0\r\n\r\n"
    sent = []
    for _ in range(150):
        bad = bytearray(good * 2)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(len(bad))] = chance.choice(b"\r\n\0 :;/0aZ\xff\x7f")
        sent.append(bytes(bad))
    for came in all_last_words(system, *sent, ends=ends):
        assert came == b"" or came.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))


def test_other_protocols_are_refused_or_dropped(system):
    sent = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"*3\r\n$3\r\nSET\r\n",  # Redis
        b"\0" * 100,
        b"\n" * 100,
        b"\r\n" * 100,
    ]
    for came in all_last_words(system, *sent):
        assert came == b"" or re.match(rb"HTTP/1\.1 (400|408|505) ", came)


# Halves


@pytest.mark.parametrize("ends", [True, False])
def test_a_request_that_stops_anywhere_is_given_up_in_time(system, origin, ends):
    with origin.stage("halves") as stage:
        stage.answer(HELLO)
        sent = request("POST", "/", "halves.test", CHUNKED) + b"14\r\n" + b"x" * 20 + b"\r\n"
        parts = [sent[:cut] for cut in range(len(sent))]
        for came in all_last_words(system, *parts, ends=ends):
            assert came == b"" or came.startswith(b"HTTP/1.1 408 ")
        assert not any(got.complete for got in stage.requests)


def test_many_requests_that_never_end_are_all_given_up(system):
    before = connections(system)
    with ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(Client(system.port))
            client.send((b"GET / HTTP/1.1\r\nHost: a\r\n", b"G", b"", b"\r\n")[number % 4])
        wait_until(lambda: connections(system) <= before + 2, "the end of all", seconds=15)


# Too much


def test_ten_megabytes_of_head_are_not_taken_in(system):
    before = memory(system)
    came = last_words(system, b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X-A: " + b"x" * 65536] * 160)
    assert came == b"" or came.startswith(b"HTTP/1.1 431 ")
    assert memory(system) < before + 5_000_000


def test_ten_megabytes_of_trailers_are_not_taken_in(system, origin):
    before = memory(system)
    head = request("POST", "/", "others.test", CHUNKED)
    came = last_words(system, head, b"0\r\nX-A: ", *[b"x" * 65536] * 160)
    assert came == b"" or came.startswith(b"HTTP/1.1 400 ")
    assert memory(system) < before + 5_000_000


def test_ten_megabytes_behind_a_request_are_not_taken_in(system, origin):
    before = memory(system)
    with origin.stage("behind") as stage, Client(system.port) as client:
        stage.answer(stage.late(HELLO))
        client.send(request("GET", "/", stage.host))
        stage.request()
        client.sock.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < 30_000_000:
                sent += client.sock.send(b"\r\n" * 32768)
        assert sent < 30_000_000
        assert memory(system) < before + 5_000_000
        stage.gate.set()
        assert client.response().body == b"hello"


def test_very_small_chunks_are_joined(system, origin):
    with origin.stage("small") as stage, Client(system.port) as client:
        stage.early = True
        stage.answer(lambda got, wire: wire.body(got) and HELLO)
        client.send(request("POST", "/", stage.host, CHUNKED))
        client.send(b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        assert client.response().body == b"hello"
        assert stage.requests[0].body == b"x" * 100_000


# Nothing


def test_clients_that_read_nothing_are_dropped(system, origin):
    def pour(_, wire):
        with suppress(OSError):
            wire.send(reply("200 OK", body=b"x" * 20_000_000))

    before = connections(system)
    with origin.stage("pours") as stage, ExitStack() as stack:
        stage.answer(pour)
        for _ in range(20):
            client = stack.enter_context(Client(system.port))
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(request("GET", "/", stage.host))
        wait_until(lambda: connections(system) <= before + 2, "the end of all", seconds=15)


def test_clients_that_pipeline_and_read_nothing_are_dropped(system, origin):
    before = connections(system), memory(system)
    with origin.stage("pipelined") as stage, ExitStack() as stack:
        stage.answer(text(body=b"x" * 60_000))
        for _ in range(5):
            client = stack.enter_context(Client(system.port))
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sock.settimeout(1)
            with suppress(OSError):
                client.sock.sendall(request("GET", "/", stage.host) * 2000)
        wait_until(lambda: connections(system) <= before[0] + 2, "the end of all", seconds=20)
    assert memory(system) < before[1] + 20_000_000


def test_clients_that_connect_and_leave_at_once_leave_nothing(system):
    before = connections(system)
    for number in range(300):
        with Client(system.port) as client:
            if number % 3 == 0:
                client.reset()
            elif number % 3 == 1:
                client.send(b"GET / HTTP/1.1\r\n")
                client.reset()
    wait_until(lambda: connections(system) <= before + 2, "the end of all")


# The log


def test_a_bad_client_gets_one_line_a_second(system):
    begun = time.monotonic()
    for _ in range(200):
        last_words(system, b"garbage\r\n\r\n")
    seconds = time.monotonic() - begun
    lines = [line for line in system.log().splitlines() if "refused from=" in line]
    assert lines
    per_second = Counter(line.split(" ")[2].partition(".")[0] for line in lines)
    assert max(per_second.values()) <= 2  # a second of the wall is not one of the throttle
    assert len([line for line in lines[-200:] if "invalid token" in line]) <= seconds + 30


def test_the_log_tells_of_no_bug(system):
    log = system.log()
    assert "Traceback" not in log
    assert "[ERR]" not in log


# How many


def test_no_more_clients_than_allowed_are_let_in():
    with Gripproxy(["* test"], settings={"runner.client_maxconn": "5"}) as small:
        with ExitStack() as stack:
            inside = [stack.enter_context(Client(small.port)) for _ in range(5)]
            for client in inside:
                client.send(request("GET", "/", "a"))
                assert client.response().status == 200
            outside = stack.enter_context(Client(small.port))
            outside.send(request("GET", "/", "a"))
            with pytest.raises(DeadlineError):
                outside.more(seconds=0.3)
            inside[0].close()
            assert outside.response().status == 200
            later = stack.enter_context(Client(small.port))
            later.send(request("GET", "/", "a"))
            with pytest.raises(DeadlineError):
                later.more(seconds=0.3)
            for client in inside[1:]:
                client.close()
            assert later.response().status == 200
        for _ in range(20):
            assert ask(small.port, request("GET", "/", "a")).status == 200


def test_many_who_come_at_once_are_let_in_as_far_as_allowed():
    settings = {"runner.client_maxconn": "5"}
    with Gripproxy(["* test"], settings=settings) as small, ExitStack() as stack:
        clients = [stack.enter_context(Client(small.port)) for _ in range(40)]
        for client in clients:
            client.send(request("GET", "/", "a"))

        def answered() -> int:
            count = 0
            for client in clients:
                with suppress(DeadlineError):
                    count += client.more(seconds=0.01)
            return count

        assert answered() == 5

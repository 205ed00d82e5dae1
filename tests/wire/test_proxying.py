"""The running program as a plain HTTP proxy: proxying.md 2, 7 to 11 and 17.

What is compared with Pushpin is in `scenarios/relay.py` and `scenarios/malformed.py`.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.wire.client import Client, DeadlineError, GoneError, ask, request, shown, wait_until
from tests.wire.origin import (
    Origin,
    Refusing,
    Stage,
    breaking,
    chunks,
    ending,
    reply,
    text,
)
from tests.wire.processes import said
from tests.wire.running import Gripproxy

HELLO = text(body="hello")
E = b"Error while proxying to origin.\n"
CHUNKED = "Transfer-Encoding: chunked"
GET = "GET / HTTP/1.1\r\nHost: HOST\r\n"
POST = "POST / HTTP/1.1\r\nHost: HOST\r\n"


class World:
    """Ours in front of an origin, and a refusing port; each test has a stage of its own."""

    def __init__(self, origin: Origin, system: Gripproxy) -> None:
        self.origin = origin
        self.system = system
        self.port = system.port
        self._count = 0

    @contextmanager
    def stage(self, *answers, at: str = "") -> Iterator[Stage]:
        self._count += 1
        with self.origin.stage(f"stage{self._count}") as stage:
            if answers:
                stage.answer(*answers, at=at)
            yield stage


@contextmanager
def worlds(routes=(), settings=None) -> Iterator[World]:
    with Origin() as origin, Refusing() as refusing:
        address = f"127.0.0.1:{origin.port}"
        filled = [
            line.replace("ORIGIN", address).replace("REFUSING", f"127.0.0.1:{refusing.port}")
            for line in (f"* {address}", *routes)
        ]
        with Gripproxy(filled, settings=settings) as system:
            yield World(origin, system)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """With debug texts on one route in two."""
    with (
        garbling() as garbage,
        worlds(
            [
                "debug.test,debug ORIGIN",
                "down.test,debug REFUSING",
                "long.test,debug " + "x" * 64 + ".test:80 ORIGIN",
                "bad-name.test,debug nosuch.invalid:80",
                f"tls.test,debug 127.0.0.1:{garbage},ssl",
                f"*,path_beg=/tls 127.0.0.1:{garbage},ssl",
                "private.test ORIGIN,untrusted",
                "private-debug.test,debug ORIGIN,untrusted",
                "second.test REFUSING ORIGIN",
                "grip.test,no_grip ORIGIN",
            ],
            {"proxy.cdn_loop": "me", "runner.client_buffer_size": "4096"},
        ) as one,
    ):
        yield one


@contextmanager
def garbling() -> Iterator[int]:
    """A port that says something, but nothing in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    with peer:
                        peer.sendall(b"garbage")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def play(world: World) -> Iterator[Stage]:
    with world.stage(HELLO) as stage:
        yield stage


def outcome(world: World, stage: Stage, *sent: str | bytes) -> str:
    """Send pieces; return status and text of the answer, and how the connection goes on."""
    with Client(world.port) as client:
        for piece in sent:
            data = piece.encode("latin-1") if isinstance(piece, str) else piece
            client.send(data.replace(b"HOST", stage.host.encode()))
        try:
            answer = client.response()
        except GoneError as gone:
            return shown(gone.left) or "closed"
        return f"{answer.status} {shown(answer.body)}{client.ended(seconds=0.2)}"


def quiet_origin(stage: Stage) -> bool:
    return not stage.requests


# Heads


def test_a_head_may_come_byte_by_byte(world, play):
    sent = f"\r\n\r\n{GET}X-A: 1\r\n\r\n".replace("HOST", play.host).encode()
    assert outcome(world, play, *(sent[at : at + 1] for at in range(len(sent)))) == "200 helloopen"
    assert play.request().value("x-a") == "1"


def test_more_than_two_line_ends_before_a_request_are_refused(world, play):
    text = "400 Failed to parse request: invalid token\\n"
    assert outcome(world, play, f"\r\n\r\n\r\n{GET}\r\n").startswith(text)
    assert outcome(world, play, "\r\n", "\r\n", "\r\n", f"{GET}\r\n").startswith(text)


@pytest.mark.parametrize("size", [4096, 4097])
def test_a_head_may_be_as_large_as_the_buffer(world, play, size):
    head = f"{GET}X-A: ".replace("HOST", play.host)
    sent = head + "x" * (size - len(head) - 4) + "\r\n\r\n"
    assert len(sent) == size
    if size == 4096:
        assert outcome(world, play, sent) == "200 helloopen"
    else:
        text = "431 Request header size exceeded limit of 4096 bytes.\\nclosed"
        assert outcome(world, play, sent) == text


def test_a_refused_client_can_read_why_although_it_goes_on_sending(world, play):
    sent = f"{GET}X-A: {'x' * 60_000}".replace("HOST", play.host).encode()
    with Client(world.port) as client:
        client.send(sent)
        assert client.response().status == 431
        with suppress(ConnectionError):
            client.send(b"x" * 1000)
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n", "400"),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n",
            "426",
        ),
    ],
)
def test_a_broken_handshake_is_answered_and_closed(world, play, fields, status):
    came = outcome(world, play, f"{GET}{fields}\r\n")
    assert (came[:3], came.endswith("closed")) == (status, True)
    assert quiet_origin(play)


def test_a_head_that_is_refused_behind_a_good_one_does_not_harm_it(world, play):
    with Client(world.port) as client:
        client.send(request("GET", "/", play.host) + b"GET / HTTP/2.0\r\n\r\n")
        assert client.response().body == b"hello"
        assert client.response().status == 505
        assert client.ended() == "closed"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (f"{POST}Content-Length: {'9' * 5000}\r\n\r\n", "431"),
        (f"{POST}Content-Length: {'9' * 3500}\r\n\r\n", "400"),
        (f"GET / HTTP/1.1\r\nHost: a:{'9' * 3500}\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n", "400"),
        (f"{GET}Connection: close\r\n\n", "400"),
    ],
)
def test_odd_numbers_and_line_ends_are_refused(world, play, lines, status):
    assert outcome(world, play, lines)[:3] == status
    assert quiet_origin(play)


# Bodies of requests


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"xyz\r\n", "invalid chunk size"),
        (b"1\r\nab\r\n", "invalid chunk suffix"),
        (b"100000000\r\n", "chunk too large"),
        (b"1;" + b"x" * 5000, "chunk line too long"),
        (b"0\r\nX-A: " + b"x" * 5000, "trailers too long"),
        (b"0\r\nX A: 1\r\n\r\n", "invalid header name"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_broken_body_is_refused_and_never_looks_whole(world, play, sent, text, begun):
    play.early = True
    play.answer(lambda got, wire: wire.body(got) and HELLO)
    head = f"{POST}{CHUNKED}\r\n\r\n"
    pieces = [head, chunks(b"x" * 20_000, last=False), sent] if begun else [head, sent]
    with Client(world.port) as client:
        for piece in pieces:
            data = piece.encode() if isinstance(piece, str) else piece
            client.send(data.replace(b"HOST", play.host.encode()))
            if begun and piece is pieces[1]:
                play.request()
        answer = client.response()
        assert (answer.status, shown(answer.body)) == (
            400,
            f"Failed to parse request: {text}\\n",
        )
        assert client.ended() == "closed"
    assert not any(got.complete for got in play.requests)


@pytest.mark.parametrize("framing", ["Content-Length: 30000", CHUNKED])
def test_a_body_that_ends_early_is_never_whole_at_the_origin(world, play, framing):
    play.early = True
    ended = threading.Event()

    def read(got, wire):
        try:
            wire.body(got)
        finally:
            ended.set()

    play.answer(read)
    with Client(world.port) as client:
        client.send(request("POST", "/", play.host, framing))
        client.send(chunks(b"x" * 20_000, last=False) if framing == CHUNKED else b"x" * 20_000)
        play.request()
        client.finish()
        assert client.rest() == b""
    assert ended.wait(5)
    assert not any(got.complete for got in play.requests)


def test_a_body_is_told_to_come_when_a_target_is_there(world):
    with world.stage(HELLO) as play, Client(world.port) as client:
        client.send(
            request("POST", "/", play.host, "Content-Length: 5", "Expect: 100-CONTINUE"),
        )
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response().status == 200


def test_a_refused_client_is_not_told_to_send_its_body(world):
    with Client(world.port) as client:
        client.send(
            request("POST", "/", "down.test", "Content-Length: 5", "Expect: 100-continue"),
        )
        answer = client.response()
        assert (answer.status, answer.value("connection")) == (502, "close")


def test_http_1_0_is_not_told_to_send_its_body(world, play):
    with Client(world.port) as client:
        head = request(
            "POST", "/", play.host, "Content-Length: 5", "Expect: 100-continue", version="HTTP/1.0"
        )
        client.send(head, b"hello")
        assert client.response().status == 200


def test_a_body_is_sent_from_its_beginning_to_the_target_that_is_there(world):
    body = bytes(range(256)) * 400
    with world.origin.stage("second") as stage:
        stage.answer(HELLO)
        head = request("POST", "/", "second.test", f"Content-Length: {len(body)}")
        answer = ask(world.port, head, body[:50_000], body[50_000:])
        assert (answer.status, stage.request().body == body) == (200, True)


# Half of a connection


def test_a_client_that_has_said_all_is_answered(world, play):
    with Client(world.port) as client:
        client.send(request("GET", "/1", play.host) + request("GET", "/2", play.host))
        client.finish()
        assert client.response().value("connection") is None
        assert client.response().value("connection") == "close"
        assert client.ended() == "closed"


def test_a_client_that_leaves_while_it_is_answered_ends_the_origin_s_work(world, play):
    gone = threading.Event()

    def pour(_, wire):
        wire.send(reply("200 OK", "Content-Length: 1000000000"))
        try:
            while True:
                wire.send(b"x" * 65536)
        except OSError:
            gone.set()

    play.answer(pour)
    with Client(world.port) as client:
        client.send(request("GET", "/", play.host))
        client.take(100_000)
    assert gone.wait(5)


def test_a_client_that_leaves_before_it_is_answered_is_logged(world, play):
    play.answer(play.late(HELLO))
    with Client(world.port) as client:
        client.send(request("GET", "/left", play.host))
        play.request()
        client.reset()
    line = f"GET http://{play.host}/left "
    wait_until(
        lambda: re.search(re.escape(line) + ".*error", world.system.log()) is not None, "a line"
    )


# Answers


def test_an_early_answer_is_read_whole_although_the_body_goes_on(world, play):
    play.early = True
    play.answer(ending(text(body="n" * 50_000, status="413 Content Too Large")))
    with Client(world.port) as client:
        client.send(request("POST", "/", play.host, "Content-Length: 10000000"), b"x" * 20_000)
        play.request()
        with suppress(OSError):
            for _ in range(20):
                client.send(b"x" * 65536)
        answer = client.response()
    assert (answer.status, len(answer.body), answer.value("connection")) == (413, 50_000, "close")


def test_an_answer_and_a_body_may_flow_at_the_same_time(world, play):
    play.early = True

    def echo(got, wire):
        wire.send(reply("200 OK", CHUNKED))
        for _ in range(50):
            wire.send(chunks(wire.take(4000), last=False))
        wire.send(b"0\r\n\r\n")

    play.answer(echo)
    with Client(world.port) as client:
        client.send(request("POST", "/", play.host, "Content-Length: 200000"))
        for _ in range(50):
            client.send(b"y" * 4000)
        answer = client.response()
        assert answer.body == b"y" * 200_000


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_trailers_go_to_who_takes_them(world, play, version, wanted, late):
    def answer(_, wire):
        head = reply("200 OK", CHUNKED, "Trailer: X-T") + chunks(b"one", last=False)
        if late:
            wire.send(head)
            play.gate.wait(5)
            head = b""
        wire.send(head + b"0\r\nX-T: 1\r\nContent-Length: 7\r\nGrip-Hold: stream\r\n\r\n")

    play.answer(answer)
    with Client(world.port) as client:
        fields = ["TE: trailers", "Connection: TE"] if wanted else []
        client.send(request("GET", "/", play.host, *fields, version=version))
        if late:
            head = client.upto(b"one")
            play.gate.set()
            came = head + b"one" + (client.rest() if version == "HTTP/1.0" else b"")
            if version == "HTTP/1.1":
                came += client.until(b"\r\n\r\n")
        elif wanted and version == "HTTP/1.1":
            came = client.until(b"one", b"1\r\n\r\n")
        else:
            came = client.until(b"one")
    passed = wanted and version == "HTTP/1.1"
    assert (b"X-T: 1" in came) is passed
    assert (b"Trailer: X-T" in came) is passed
    assert b"Content-Length: 7" not in came
    assert b"Grip-Hold" not in came


@pytest.mark.parametrize(
    ("method", "answer", "lines"),
    [
        ("HEAD", reply("200 OK", "Content-Length: 0"), ["Content-Length: 0"]),
        ("HEAD", reply("404 Not Found", "Content-Length: 7"), ["Content-Length: 7"]),
        ("GET", reply("204 No Content", "Content-Length: 0"), []),
        ("GET", reply("304 Not Modified", "Content-Length: 7"), ["Content-Length: 7"]),
        ("GET", reply("304 Not Modified"), []),
        ("GET", reply("304 Not Modified", CHUNKED), []),
    ],
)
def test_an_answer_without_a_body_keeps_the_length_that_it_may_have(
    world, play, method, answer, lines
):
    play.answer(answer, HELLO)
    with Client(world.port) as client:
        for _ in range(2):
            client.send(request(method, "/", play.host))
            head = client.response(bodiless=True)
            play.answer(answer)
            framing = [f"{name}: {v}" for name, v in head.fields if name == "Content-Length"]
            assert framing == lines
        play.answer(HELLO)
        client.send(request("GET", "/", play.host))
        assert client.response().body == b"hello"


def test_an_error_for_head_says_how_long_it_would_be(world):
    with Client(world.port) as client:
        client.send(request("HEAD", "/", "down.test"))
        answer = client.response(bodiless=True)
        assert int(answer.value("content-length") or 0) > 20
        assert client.ended(seconds=0.2) == "open"


def test_interim_answers_pass_without_what_is_for_one_connection(world, play):
    play.answer(
        b"HTTP/1.1 102 Processing\r\nConnection: X-A\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: x\r\n\r\n"
        + HELLO
    )
    with Client(world.port) as client:
        client.send(request("GET", "/", play.host))
        interim = client.head()
        assert (interim.status, interim.fields) == (102, [("X-B", "2")])
        assert client.response().body == b"hello"
        client.send(request("GET", "/", play.host, version="HTTP/1.0"))
        assert client.response().status == 200


def test_a_switch_that_nobody_asked_for_is_a_failure(world, play):
    play.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    assert ask(world.port, request("GET", "/", play.host)).status == 502


def test_every_answer_has_a_date(world, play):
    play.answer(reply("200 OK", "Date: theirs"))
    assert ask(world.port, request("GET", "/", play.host)).values("date") == ["theirs"]
    for sent in (request("GET", "/", "down.test"), b"garbage\r\n\r\n"):
        dates = ask(world.port, sent).values("date")
        assert len(dates) == 1
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", dates[0])


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: -3",
        "Content-Length: " + "9" * 5000,
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "X-A : 1",
        "X-A: a\rb",
        "X-A: 1\r\n 2",
        "X-A: \0",
        "X-A\r\nX-B: 1",
        "\r\n".join(f"X-{n}: 1" for n in range(201)),
        "X-A: " + "x" * 70_000,
    ],
    ids=lambda lines: shown(lines[:40].encode()),
)
def test_an_ambiguous_answer_is_a_failure(world, play, lines):
    answer = f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\nabc".encode("latin-1")
    play.answer(answer)
    got = ask(world.port, request("GET", "/", play.host))
    assert (got.status, got.body) == (502, E)
    large = lines.startswith(("X-0", "X-A: x"))
    kind = "http_response_header_section_size" if large else "http_protocol_error"
    assert got.value("proxy-status") == f"gripproxy; error={kind}"


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 099 X\r\n\r\n", b"HTTP/1.1 1000 X\r\n\r\n", b"x" * 9],
)
def test_an_answer_of_another_kind_is_a_failure(world, play, answer):
    play.answer(answer)
    assert ask(world.port, request("GET", "/", play.host)).status == 502


def test_a_body_that_goes_on_beyond_its_length_is_cut_there(world, play):
    play.answer(reply("200 OK", "Content-Length: 3", body=b"abcdef"), HELLO)
    with Client(world.port) as client:
        client.send(request("GET", "/", play.host))
        assert client.response().body == b"abc"
        client.send(request("GET", "/", play.host))
        assert client.response().body == b"hello"
    first, second = play.requests
    assert first.connection != second.connection


@pytest.mark.parametrize(
    ("framing", "start"),
    [
        (CHUNKED, chunks(b"one", last=False)),
        (CHUNKED, chunks(b"one", last=False) + b"xyz\r\n"),
        ("Content-Length: 10", b"one"),
    ],
)
def test_an_answer_that_breaks_off_looks_so_and_is_logged(world, play, framing, start):
    def answer(_, wire):
        wire.send(reply("200 OK", framing) + start[:8])
        play.gate.wait(5)
        wire.send(start[8:])
        wire.reset()

    play.answer(answer)
    with Client(world.port) as client:
        client.send(request("GET", "/broken", play.host))
        client.upto(b"one")
        play.gate.set()
        assert client.rest() in (b"", b"\r\n")
    line = f"GET http://{play.host}/broken -> 127.0.0.1:{world.origin.port} error"
    wait_until(lambda: line in world.system.log(), line)


def test_an_answer_without_a_length_that_breaks_off_is_reset(world, play):
    def answer(_, wire):
        wire.send(reply("200 OK", CHUNKED) + chunks(b"one", last=False))
        play.gate.wait(5)
        wire.reset()

    play.answer(answer)
    with Client(world.port) as client:
        client.send(request("GET", "/", play.host, "Connection: keep-alive", version="HTTP/1.0"))
        head = client.head()
        assert (head.framing, head.values("connection")) == ("close", [])
        assert client.take(3) == b"one"
        play.gate.set()
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)


# Connections to origins


def test_connections_are_kept_for_one_host_and_used_again(world, play):
    with world.stage(HELLO) as other:
        for stage in (play, play, other, play):
            assert ask(world.port, request("GET", "/", stage.host)).status == 200
        ours = {got.connection for got in play.requests}
        assert len(ours) == 1
        assert other.requests[0].connection not in ours


@pytest.mark.parametrize(
    "answer",
    [
        reply("200 OK", "Connection: close", body="hello"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        reply("200 OK", "Proxy-Connection: close", "Connection: Close", body="hello"),
    ],
)
def test_a_connection_that_its_origin_closes_is_not_used_again(world, play, answer):
    play.answer(answer)
    for _ in range(2):
        assert ask(world.port, request("GET", "/", play.host)).body == b"hello"
    first, second = play.requests
    assert first.connection != second.connection


def test_a_connection_whose_request_was_not_read_is_not_used_again(world, play):
    play.early = True
    play.answer(HELLO)
    with Client(world.port) as client:
        client.send(request("POST", "/", play.host, "Content-Length: 50000"), b"x" * 20_000)
        assert client.response().body == b"hello"
    play.early = False
    assert ask(world.port, request("GET", "/", play.host)).body == b"hello"
    first, second = play.requests
    assert first.connection != second.connection


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", None, 200),
        ("PUT", b"x" * 90_000, 200),
        ("DELETE", None, 200),
        ("POST", None, 502),
        ("PATCH", b"x", 502),
        ("PUT", b"x" * 200_000, 502),
    ],
)
def test_a_connection_that_was_dead_is_replaced_where_that_is_safe(
    world, play, method, body, status
):
    play.early = True

    def drop(got, wire):
        if body:
            wire.take(len(body))
        wire.reset()

    play.answer(lambda got, wire: wire.body(got) or HELLO, drop)
    ask(world.port, request("GET", "/", play.host))
    sent = request(method, "/", play.host, body=body)
    play.answer(drop, lambda got, wire: (wire.body(got) and None) or HELLO)
    cut = len(sent) - (len(body or b"") // 2)
    answer = ask(world.port, sent[:cut], sent[cut:])
    assert answer.status == status
    assert len(play.requests) == (3 if status == 200 else 2)
    if status == 200 and body:
        assert play.requests[-1].body == body


def test_a_request_of_which_nothing_was_sent_is_sent_again_by_any_method(world, play):
    with Client(world.port) as client:
        play.answer(HELLO)
        ask(world.port, request("GET", "/", play.host))
        wire_end = threading.Event()
        # A body that is still collected to give it a length: its head has not gone out.
        client.send(request("POST", "/", play.host, CHUNKED), chunks(b"abc", last=False))
        for wire in list(world.origin._wires):
            with suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)
        wire_end.wait(0.2)
        client.send(chunks(b"def"))
        assert client.response().body == b"hello"
    assert play.requests[-1].body == b"abcdef"


def test_a_dead_connection_is_noticed_before_a_post_goes_out_on_it(world, play):
    play.answer(ending(HELLO), HELLO)
    assert ask(world.port, request("GET", "/", play.host)).status == 200
    number = play.request().connection
    wires = world.origin._wires
    wait_until(lambda: all(wire.number != number for wire in list(wires)), "the end of one")
    assert ask(world.port, request("POST", "/", play.host, body=b"x")).status == 200


def test_a_full_pool_makes_room_for_who_comes():
    # A tenth of so many clients may wait in it.
    with worlds(settings={"runner.client_maxconn": "20"}) as small, ExitStack() as stack:
        stages = [stack.enter_context(small.stage(HELLO)) for _ in range(4)]
        for stage in [*stages, stages[3], stages[2], stages[0]]:
            assert ask(small.port, request("GET", "/", stage.host)).body == b"hello"
        kept = [len({got.connection for got in stage.requests}) == 1 for stage in stages]
        assert kept == [False, True, True, True]


# Errors


@pytest.mark.parametrize(
    ("host", "answer", "status", "kind", "said"),
    [
        ("down.test", None, 502, "connection_refused", "Unable to connect to any targets. Tried"),
        ("bad-name.test", None, 502, "dns_error", "Unable to connect to any targets. Tried"),
        ("tls.test", None, 502, "tls_protocol_error", "Unable to connect to any targets."),
        (
            "debug.test",
            ending(b""),
            502,
            "connection_terminated",
            "ORIGIN closed the connection before responding.",
        ),
        (
            "debug.test",
            breaking(),
            502,
            "connection_terminated",
            "ORIGIN closed the connection before responding.",
        ),
        (
            "debug.test",
            b"x\r\n\r\n",
            502,
            "http_protocol_error",
            "ORIGIN sent an invalid response: invalid status line.",
        ),
        (
            "debug.test",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            502,
            "http_protocol_error",
            "ORIGIN sent an invalid response: ",
        ),
        (
            "private-debug.test",
            None,
            502,
            "destination_ip_prohibited",
            "Error: Origin host/IP blocked.\n",
        ),
    ],
    ids=["down", "name", "tls", "closed", "reset", "garbage", "length", "private"],
)
def test_who_debugs_is_told_why(world, host, answer, status, kind, said):
    with world.origin.stage(f"{host}-{kind}", host) as stage:
        if answer is not None:
            stage.answer(answer)
        got = ask(world.port, request("POST", "/", host, body=b"x"))
    assert got.status == status
    said = said.replace("ORIGIN", f"127.0.0.1:{world.origin.port}")
    assert got.body.decode().startswith(said)
    details = got.body.decode().strip().replace('"', '\\"')
    assert got.value("proxy-status") == f'gripproxy; error={kind}; details="{details}"'


def test_others_are_told_what_kind_of_error_it_was(world):
    got = ask(world.port, request("GET", "/", "private.test"))
    assert (got.status, got.body) == (502, E)
    assert got.value("proxy-status") == "gripproxy; error=destination_ip_prohibited"


def test_a_name_that_cannot_be_looked_up_is_not_reached(world):
    with world.origin.stage("long") as stage:
        stage.answer(HELLO)
        assert ask(world.port, request("GET", "/", "long.test")).body == b"hello"


@pytest.mark.parametrize("host", ["x" * 64 + ".test", "a..b", ".", ""])
def test_a_host_that_no_certificate_can_have_is_not_reached(world, host):
    got = ask(world.port, request("GET", "/tls", host))
    assert (got.status, got.body) == (502, E)


def test_a_request_in_a_circle_is_ended(world, play):
    got = ask(world.port, request("GET", "/", play.host, "CDN-Loop: me, me, me, me, me"))
    assert (got.status, got.body) == (508, b"Loop Detected\n")
    assert got.value("proxy-status") == "gripproxy; error=proxy_loop_detected"
    assert quiet_origin(play)


@pytest.mark.parametrize(
    ("method", "status", "length"), [("TRACE", 405, None), ("OPTIONS", 200, "0")]
)
def test_a_request_that_may_go_no_further_is_answered_here(world, play, method, status, length):
    with Client(world.port) as client:
        client.send(request(method, "/", play.host, "Max-Forwards: 0"))
        answer = client.response()
        assert answer.status == status
        assert length is None or answer.value("content-length") == length
        assert client.ended(seconds=0.2) == "open"
    assert quiet_origin(play)
    ask(world.port, request(method, "/", play.host, "Max-Forwards: 2"))
    assert play.request().value("max-forwards") == "1"


# Time


@pytest.fixture(scope="module")
def hasty() -> Iterator[World]:
    """With little patience."""
    with (
        full_port() as port,
        worlds(
            [
                f"slow-connect.test 127.0.0.1:{port} ORIGIN",
                f"never-connects.test,debug 127.0.0.1:{port}",
            ],
            {
                "runner.header_timeout": "0.5",
                "runner.idle_timeout": "0.5",
                "runner.body_timeout": "0.5",
                "runner.write_timeout": "1",
                "proxy.origin_connect_timeout": "0.5",
                "proxy.origin_timeout": "1",
                "proxy.debug": "true",
            },
        ) as one,
    ):
        yield one


@contextmanager
def full_port() -> Iterator[int]:
    """A port on which connecting takes for ever: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = listening.getsockname()[1]
        clients = [socket.socket() for _ in range(3)]
        try:
            for client in clients:
                client.setblocking(False)
                with suppress(BlockingIOError):
                    client.connect(("127.0.0.1", port))
            yield port
        finally:
            for client in clients:
                client.close()


def test_a_client_that_says_nothing_is_closed_without_a_word(hasty):
    with Client(hasty.port) as client:
        assert client.rest() == b""


@pytest.mark.parametrize("dribbles", [True, False])
def test_a_head_must_be_complete_in_time(hasty, dribbles):
    with hasty.stage(HELLO) as stage, Client(hasty.port) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        for _ in range(40):
            if not dribbles:
                break
            with suppress(OSError):
                client.send(b"X-A: 1\r\n")
            with suppress(DeadlineError):
                client.more(seconds=0.1)
            if client.buffer:
                break
        answer = client.response()
        assert (answer.status, answer.value("connection")) == (408, "close")
        assert answer.value("proxy-status") == "gripproxy; error=http_request_error"
        with suppress(OSError):
            assert client.rest() == b""
        assert quiet_origin(stage)


def test_a_second_head_must_be_complete_in_time_as_well(hasty):
    with hasty.stage(HELLO) as stage, Client(hasty.port) as client:
        client.send(request("GET", "/", stage.host) + b"GET / HTT")
        assert client.response().status == 200
        assert client.response().status == 408


def test_a_connection_between_requests_is_closed_in_time(hasty):
    with hasty.stage(HELLO) as stage, Client(hasty.port) as client:
        client.send(request("GET", "/", stage.host))
        assert client.response().status == 200
        assert client.rest() == b""


@pytest.mark.parametrize("framing", ["Content-Length: 20000", CHUNKED])
def test_a_body_must_go_on_in_time(hasty, framing):
    with hasty.stage() as stage, Client(hasty.port) as client:
        stage.early = True
        stage.answer(lambda got, wire: wire.body(got) and HELLO)
        client.send(request("POST", "/", stage.host, framing))
        client.send(chunks(b"x" * 15_000, last=False) if framing == CHUNKED else b"x" * 15_000)
        answer = client.response()
        assert (answer.status, answer.body) == (408, b"Request body timed out.\n")
        assert client.ended() == "closed"
        assert not any(got.complete for got in stage.requests)


def test_a_body_that_goes_on_is_taken_however_long_it_takes(hasty):
    with hasty.stage(HELLO) as stage, Client(hasty.port) as client:
        client.send(request("POST", "/", stage.host, "Content-Length: 9"))
        for _ in range(8):
            client.send(b"x")
            with pytest.raises(DeadlineError):
                client.more(seconds=0.3)
        client.send(b"x")
        assert client.response().status == 200


def test_a_silent_origin_is_not_waited_for(hasty):
    with hasty.stage() as stage:
        stage.answer(stage.late(HELLO))
        answer = ask(hasty.port, request("GET", "/", stage.host))
        stage.gate.set()
    assert (answer.status, answer.reason) == (504, "Gateway Timeout")
    text = f"127.0.0.1:{hasty.origin.port} did not respond within 1 seconds."
    assert answer.body.decode() == text + "\n"
    kind = "gripproxy; error=http_response_timeout"
    assert answer.value("proxy-status") == f'{kind}; details="{text}"'


def test_an_origin_that_falls_silent_in_its_answer_is_cut(hasty):
    with hasty.stage() as stage, Client(hasty.port) as client:

        def answer(_, wire):
            wire.send(reply("200 OK", CHUNKED) + chunks(b"one", last=False))
            stage.gate.wait(10)

        stage.answer(answer)
        client.send(request("GET", "/", stage.host))
        client.upto(b"one")
        assert client.rest() == b"\r\n"
        stage.gate.set()


def test_a_target_that_does_not_connect_is_passed_over(hasty):
    with hasty.stage() as _, hasty.origin.stage("slow-connect") as stage:
        stage.answer(HELLO)
        assert ask(hasty.port, request("GET", "/", "slow-connect.test")).body == b"hello"


def test_who_never_connects_has_timed_out(hasty):
    answer = ask(hasty.port, request("GET", "/", "never-connects.test"))
    assert answer.status == 502
    assert "error=connection_timeout" in (answer.value("proxy-status") or "")


@pytest.mark.parametrize("reads", [True, False])
def test_a_client_that_takes_nothing_is_closed_and_one_that_takes_little_is_not(hasty, reads):
    left = threading.Event()

    def pour(_, wire):
        try:
            wire.seconds = 30
            wire.send(reply("200 OK", body=b"x" * 50_000_000))
        except OSError:
            left.set()

    with hasty.stage(pour) as stage, Client(hasty.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(request("GET", "/", stage.host))
        if not reads:
            assert left.wait(15)
            said(hasty.system, "client from=127.0.0.1: slow consumer: took nothing for 1 s")
            return
        for _ in range(8):
            assert client.take(20_000)
            assert not left.wait(0.5)

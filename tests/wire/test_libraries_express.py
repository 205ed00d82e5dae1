"""The libraries for Node, unchanged, behind Express: those of today, and the old `grip`.

The application is `sites/express/app.js`, its libraries are those of its lock file.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.programs import program
from tests.wire.client import Client, Response, WebSocket, ask, request
from tests.wire.launch import UNDER_TEST, Program, behind
from tests.wire.origin import Origin, text
from tests.wire.running import Running

pytestmark = pytest.mark.slow

SITE = Path(__file__).parent / "sites" / "express"
HOST = "127.0.0.1"
EVENTS = ("Accept: text/event-stream",)


@pytest.fixture(scope="module")
def site() -> Path:
    """The application, with its libraries installed."""
    if not (SITE / "node_modules" / ".package-lock.json").exists():
        install = [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=SITE, check=True, timeout=300)
    return SITE


@pytest.fixture(scope="module")
def both(site: Path) -> Iterator[tuple[Running, Program]]:
    with behind([program("node"), "app.js"], cwd=site, GRIP_VERIFY_KEY="changeme") as pair:
        yield pair


@pytest.fixture
def system(both: tuple[Running, Program]) -> Running:
    return both[0]


@pytest.fixture
def application(both: tuple[Running, Program]) -> Program:
    return both[1]


@pytest.fixture
def stream(system: Running) -> Iterator[Client]:
    """A client whose stream is held, past its first bytes."""
    with Client(system.port) as client:
        client.send(request("GET", "/stream", HOST))
        assert client.head().status == 200
        assert client.piece() == b"open\n"
        yield client


@pytest.fixture
def socket(system: Running) -> Iterator[WebSocket]:
    with WebSocket(system.port, "/socket", HOST) as client:
        assert client.message() == "text welcome"
        yield client


def get(system: Running, path: str, *fields: str) -> Response:
    return ask(system.port, request("GET", path, HOST, *fields))


def post(system: Running, path: str, body: str = "") -> None:
    """Let the application publish."""
    told = request("POST", path, HOST, "Content-Type: text/plain", body=body.encode())
    got = ask(system.port, told)
    assert got.status == 204, got.body


def published(client: Client) -> bytes | None:
    """Return the next piece that keeps nothing alive."""
    while (piece := client.piece()) == b"still\there\n":
        pass
    return piece


# serve-grip


def test_the_library_accepts_the_signature(system):
    assert get(system, "/signed").body == b"proxied true, valid true, false"


def test_a_long_poll_gets_what_is_published(system):
    with Client(system.port) as client:
        client.send(request("GET", "/poll", HOST))
        system.subscribed("poll")
        post(system, "/say", "hello")
        got = client.response()
    assert (got.status, got.body, got.value("content-length")) == (200, b"hello", "5")
    assert [name for name, _ in got.fields if name.lower().startswith("grip-")] == []


def test_long_polls_get_the_application_s_answer_when_their_time_is_over(system):
    with Client(system.port, seconds=10) as one, Client(system.port, seconds=10) as other:
        one.send(request("GET", "/poll", HOST))
        other.send(request("GET", "/unchanged", HOST))
        assert one.response().body == b"nothing\n"
        assert other.response().status == 304


def test_a_stream_is_kept_alive_with_a_tab(stream):
    assert stream.piece() == b"still\there\n"


def test_a_stream_is_kept_alive_with_bytes(system):
    with Client(system.port) as client:
        client.send(request("GET", "/bytes", HOST))
        client.head()
        assert [client.piece() for _ in range(2)] == [b"open\n", b"\x00\xff"]


def test_a_stream_gets_text_and_bytes_and_is_closed(system, stream):
    post(system, "/say", "grüß Gott\n")
    assert published(stream) == "grüß Gott\n".encode()
    post(system, "/say-bytes")
    assert published(stream) == b"\x00\xff"
    post(system, "/close")
    assert published(stream) is None


def test_a_stream_goes_on_at_its_next_link_with_what_it_has_seen(system):
    with Client(system.port) as client:
        client.send(request("GET", "/linked", HOST))
        assert client.head().status == 200
        assert client.piece() == b"part 1\n"
        assert client.piece() == b"part 2 after linked; last-id=0\n"
        post(system, "/say", "part 3\n")
        assert client.piece() == b"part 3\n"


def test_a_websocket_is_echoed(socket):
    for said in ("one", "zwölf"):
        socket.put("text", said)
    assert [socket.message() for _ in range(2)] == ["text one", "text zw\\xc3\\xb6lf"]


def test_a_websocket_s_meta_is_kept_by_the_proxy(socket):
    socket.put("text", "who")
    assert socket.message() == "text bob"
    socket.put("text", "forget")
    socket.put("text", "who")
    assert socket.message() == "text nobody"


def test_a_websocket_gets_bytes_from_the_application_and_from_publishers(system, socket):
    socket.put("text", "bytes")
    assert socket.message() == "binary \\x00\\xff"
    post(system, "/say-bytes")
    assert socket.message() == "binary \\x00\\xff"


def test_a_detached_websocket_still_gets_what_is_published(system, application, socket):
    closed = application.output.count("a socket was closed")
    socket.put("text", "detach")
    application.wait_to_say("a socket was closed", times=closed + 1)
    socket.put("text", "nobody hears this")
    post(system, "/say", "hello")
    assert socket.message() == "text hello"


def test_the_application_closes_a_websocket_with_a_code(socket):
    socket.put("text", "bye")
    assert socket.message() == "close 4000"


def test_a_publisher_closes_a_websocket_with_a_code(system, socket):
    post(system, "/close")
    assert socket.message() == "close 4002"


# eventstream


def test_an_event_reaches_the_stream(system):
    with Client(system.port) as client:
        client.send(request("GET", "/events/news", HOST, *EVENTS))
        assert client.head().value("content-type") == "text/event-stream"
        assert client.piece() == b"event: stream-open\ndata: \n\n"
        post(system, "/say", "hello")
        assert client.piece() == b'event: message\ndata: "hello"\n\n'


def test_what_is_no_event_stream_is_refused(system):
    assert get(system, "/events/news", "Accept: text/html").status == 406


def test_a_stream_that_ended_in_an_error_is_refused(system):
    assert get(system, "/events/news", *EVENTS, "Last-Event-ID: error").status == 400


# The old ones


def test_the_old_library_publishes_text_and_bytes(system):
    with Client(system.port) as client:
        client.send(request("GET", "/old-stream", HOST))
        client.head()
        assert client.piece() == b"open\n"
        post(system, "/say-old", "hello\n")
        assert client.piece() == b"hello\n"
        assert client.piece() == b"\x00\xff"


def test_the_old_library_s_instruct_holds_and_its_publisher_answers(system):
    with Client(system.port) as client:
        client.send(request("GET", "/old-poll", HOST))
        system.subscribed("old-poll")
        post(system, "/say-old", "hello\n")
        assert client.response().body == b"hello\n"


# Signatures with a pair of keys


def test_a_signature_with_an_elliptic_curve_is_accepted(site, tmp_path):
    private = ec.generate_private_key(ec.SECP256R1())
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ec.pem").write_bytes(key)
    signing = f"sig_iss=fastly:svc,sig_key=file:{tmp_path}/ec.pem"
    with Origin() as origin, origin.stage("signed") as stage:
        stage.answer(text(body="seen"))
        with UNDER_TEST([f"*,{signing} 127.0.0.1:{origin.port}"]) as proxy:
            ask(proxy.port, request("GET", "/", stage.host))
        token = stage.request().value("Grip-Sig")

    def accepted(by: ec.EllipticCurvePrivateKey, issuer: str = "fastly:svc") -> str:
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        words = [program("node"), "verify.js", token, by.public_key().public_bytes(*form), issuer]
        done = subprocess.run(words, cwd=site, check=True, timeout=30, capture_output=True)
        return done.stdout.decode().strip()

    assert accepted(private) == "true"
    assert accepted(private, "fastly:other") == "false"
    assert accepted(ec.generate_private_key(ec.SECP256R1())) == "false"

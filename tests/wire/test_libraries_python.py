"""`gripcontrol` and `pubcontrol`, unchanged, publish over HTTP and over ZeroMQ."""

import queue
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import tnetstring  # noqa: F401 -- pubcontrol does without ZeroMQ, silently, when it is missing
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from gripcontrol import (
    Channel,
    GripPubControl,
    HttpResponseFormat,
    HttpStreamFormat,
    WebSocketMessageFormat,
    create_grip_channel_header,
    validate_sig,
)
from pubcontrol import Item

from tests.wire.client import Client, WebSocket, ask, request, wait_until
from tests.wire.launch import UNDER_TEST, proxy
from tests.wire.origin import Origin, Stage, events, text
from tests.wire.running import Running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as one:
        yield one


@pytest.fixture(scope="module")
def system(origin: Origin) -> Iterator[Running]:
    with proxy(origin.port, settings={"handler.subscription_linger": "1"}) as running:
        yield running


@pytest.fixture
def stage(origin: Origin, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with origin.stage(request.node.name.replace("_", "-")) as one:
        yield one


@pytest.fixture
def http(system: Running) -> Iterator[GripPubControl]:
    config = {
        "control_uri": f"http://127.0.0.1:{system.http_port}",
        "control_iss": "tests",
        "key": "a key that the proxy was not told",
    }
    with closing(GripPubControl(config)) as publisher:
        yield publisher


@contextmanager
def held_stream(system: Running, stage: Stage) -> Iterator[Client]:
    """A client whose stream is held on the channel named as the stage, past its first bytes."""
    channel = create_grip_channel_header(Channel(stage.name))
    stage.answer(text("Grip-Hold: stream", f"Grip-Channel: {channel}", body="open\n"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        assert client.head().status == 200
        assert client.piece() == b"open\n"
        system.subscribed(stage.name)
        yield client


# Over HTTP


def test_stream_content_reaches_the_stream(system, stage, http):
    with held_stream(system, stage) as client:
        http.publish_http_stream(stage.name, "hello\n", blocking=True)
        assert client.piece() == b"hello\n"


def test_bytes_that_are_no_text_reach_the_stream(system, stage, http):
    with held_stream(system, stage) as client:
        http.publish_http_stream(stage.name, HttpStreamFormat(b"\x00\xff"), blocking=True)
        assert client.piece() == b"\x00\xff"


def test_items_that_go_out_in_batches_arrive_in_order(system, stage, http):
    with held_stream(system, stage) as client:
        for number in range(25):
            http.publish_http_stream(stage.name, f"{number}\n")
        http.wait_all_sent()
        expected = b"".join(b"%d\n" % number for number in range(25))
        got = b""
        while len(got) < len(expected):
            got += client.piece()
        assert got == expected


def test_closing_ends_the_stream(system, stage, http):
    with held_stream(system, stage) as client:
        http.publish(stage.name, Item(HttpStreamFormat(close=True)), blocking=True)
        assert client.piece() is None


def test_a_response_answers_the_long_poll(system, stage, http):
    stage.answer(text("Grip-Hold: response", f"Grip-Channel: {stage.name}", body="late\n"))
    with Client(system.port) as client:
        client.send(request("GET", "/", stage.host))
        system.subscribed(stage.name)
        answer = HttpResponseFormat(code=201, reason="Made", headers={"X-A": "b"}, body="ä")
        http.publish_http_response(stage.name, answer, blocking=True)
        got = client.response()
    assert (got.status, got.reason, got.value("X-A"), got.body) == (201, "Made", "b", "ä".encode())


def test_one_item_reaches_every_transport_that_it_has_a_format_for(system, stage, http):
    control = f'c:{{"type": "subscribe", "channel": "{stage.name}"}}'
    opened = events("OPEN", ("TEXT", control), fields=["Sec-WebSocket-Extensions: grip"])
    with held_stream(system, stage) as client:
        stage.answer(opened, at="/socket")
        with WebSocket(system.port, "/socket", stage.host) as socket:
            system.subscribed(stage.name, times=2)
            formats = [HttpStreamFormat("hello"), WebSocketMessageFormat("hello")]
            http.publish(stage.name, Item(formats), blocking=True)
            assert client.piece() == b"hello"
            assert socket.message() == "text hello"


def test_a_path_that_is_not_there_is_reported_with_its_status(system):
    config = {"control_uri": f"http://127.0.0.1:{system.http_port}/nope"}
    with (
        closing(GripPubControl(config)) as publisher,
        pytest.raises(ValueError, match="404 with message: Not Found"),
    ):
        publisher.publish_http_stream("any", "lost", blocking=True)


@pytest.mark.filterwarnings("ignore:The HMAC key is 8 bytes long")
def test_requests_carry_a_signature_that_the_library_accepts(system, stage):
    stage.answer(text(body="seen"))
    assert ask(system.port, request("GET", "/", stage.host)).body == b"seen"
    signature = stage.request().value("Grip-Sig")
    assert validate_sig(signature, "changeme", "pushpin")
    assert not validate_sig(signature, "another", "pushpin")


def test_a_signature_with_an_elliptic_curve_is_accepted(origin, stage, tmp_path):
    private = ec.generate_private_key(ec.SECP256R1())
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ec.pem").write_bytes(key)
    signing = f"sig_iss=fastly:svc,sig_key=file:{tmp_path}/ec.pem"
    stage.answer(text(body="seen"))
    with UNDER_TEST([f"*,{signing} 127.0.0.1:{origin.port}"]) as signed:
        ask(signed.port, request("GET", "/", stage.host))
    signature = stage.request().value("Grip-Sig")

    def accepted(by: ec.EllipticCurvePrivateKey, issuer: str = "fastly:svc") -> bool:
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        return validate_sig(signature, by.public_key().public_bytes(*form), issuer)

    assert accepted(private)
    assert not accepted(private, "fastly:other")
    assert not accepted(ec.generate_private_key(ec.SECP256R1()))


# Over ZeroMQ


@pytest.fixture
def command_uri(system: Running) -> str:
    return f"tcp://127.0.0.1:{system.command_port}"


def test_the_library_finds_the_sockets_by_itself(system, stage, command_uri):
    with (
        held_stream(system, stage) as client,
        closing(GripPubControl({"control_zmq_uri": command_uri})) as publisher,
    ):
        publisher.publish_http_stream(stage.name, "hello\n", blocking=True)
        assert client.piece() == b"hello\n"
        assert publisher.clients[0].push_uri == f"tcp://127.0.0.1:{system.zmq_port}"
        assert publisher.clients[0].pub_uri == f"tcp://127.0.0.1:{system.sub_port}"


def test_pushed_items_keep_their_ids_and_order(system, stage, command_uri):
    with (
        held_stream(system, stage) as client,
        closing(GripPubControl({"control_zmq_uri": command_uri})) as publisher,
    ):
        for content, *ids in (("ä", "one"), ("ö", "two", "one")):
            item = Item(HttpStreamFormat(content), *ids)
            for _ in range(2):  # the second is known by its id, and dropped
                publisher.publish(stage.name, item, blocking=True)
        publisher.publish(stage.name, Item(HttpStreamFormat(close=True)), blocking=True)
        assert b"".join(client.pieces()) == "äö".encode()


def test_subscribers_are_told_to_a_publisher_that_asked_for_them(system, stage, command_uri):
    told: queue.Queue[tuple[str, str]] = queue.Queue()

    def told_of(event: str) -> None:
        while told.get(timeout=10) != (event, stage.name):
            pass

    config = {"control_zmq_uri": command_uri, "require_subscribers": True}
    publisher = GripPubControl(config, lambda event, channel: told.put((event, channel)))
    with closing(publisher):
        wait_until(lambda: publisher.clients[0].pub_uri, "discovery")
        with held_stream(system, stage) as client:
            told_of("sub")
            publisher.publish_http_stream(stage.name, "hello\n", blocking=True)
            assert client.piece() == b"hello\n"
        told_of("unsub")

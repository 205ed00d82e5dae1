"""Options of the running program and what they do to holds and items (config.md 3)."""

import stat
from contextlib import ExitStack

import pytest
import zmq

from tests.ports import free_port
from tests.wire.client import Client, ask, envelope, request
from tests.wire.origin import text


@pytest.mark.slow
@pytest.mark.parametrize(("option", "asked"), [("true", 2), ("false", 1)])
def test_a_first_subscription_lets_the_origin_be_asked_again(origin, gripproxy, option, asked):
    settings = {"handler.update_on_first_subscription": option}
    system = gripproxy([f"* 127.0.0.1:{origin.port}"], settings=settings)
    hold = text("Grip-Hold: response", "Grip-Channel: first", "Grip-Timeout: 5", body="in time")
    with origin.stage("options") as stage, Client(system.port, seconds=10) as client:
        stage.answer(hold, text(body="again"))
        client.send(request("GET", "/", stage.host))
        assert client.response().body == (b"again" if asked == 2 else b"in time")
        assert len(stage.requests) == asked


@pytest.mark.parametrize(("seconds", "heard"), [("60", [b"a;", b"c;"]), ("0", [b"a;", b"b;"])])
def test_an_id_that_comes_again_is_a_double_for_a_while(origin, gripproxy, seconds, heard):
    settings = {"handler.id_cache_ttl": seconds}
    system = gripproxy([f"* 127.0.0.1:{origin.port}"], settings=settings)
    with origin.stage("options") as stage, Client(system.port) as client:
        stage.answer(text("Grip-Hold: stream", "Grip-Channel: doubles", body="first;"))
        client.send(request("GET", "/", stage.host))
        client.head()
        client.piece()
        system.subscribed("doubles")
        for item_id, content in (("1", "a;"), ("1", "b;"), ("2", "c;")):
            formats = {"http-stream": {"content": content}}
            system.publish([{"channel": "doubles", "id": item_id, "formats": formats}])
        assert [client.piece(), client.piece()] == heard


@pytest.mark.slow
def test_no_timeout_of_connections_is_one_of_holds(origin, gripproxy):
    names = ("header_timeout", "idle_timeout", "body_timeout", "write_timeout")
    system = gripproxy(
        [f"* 127.0.0.1:{origin.port}"], settings={f"runner.{name}": "1" for name in names}
    )
    with (
        origin.stage("options") as stage,
        Client(system.port, seconds=10) as poll,
        Client(system.port) as stream,
    ):
        stage.answer(text("Grip-Hold: stream", "Grip-Channel: silent", body="first;"))
        stream.send(request("GET", "/", stage.host))
        stream.head()
        assert stream.piece() == b"first;"
        stage.answer(text("Grip-Hold: response", "Grip-Timeout: 5", body="in time"))
        poll.send(request("GET", "/", stage.host))
        assert poll.response().body == b"in time"
        formats = {"http-stream": {"content": "still here;"}}
        system.publish([{"channel": "silent", "formats": formats}])
        assert stream.piece() == b"still here;"


class Upstream:
    """A publisher that waits for the program to connect to it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.zmq = zmq.Context.instance().socket(zmq.XPUB)
        self.zmq.linger = 0
        self.zmq.rcvtimeo = 5000
        self.zmq.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.zmq.bind(f"tcp://127.0.0.1:{self.port}")

    def asked_for(self, channel: bytes) -> bool:
        """Wait until the program has asked for a channel."""
        while self.zmq.recv() != b"\x01" + channel:
            pass
        return True


@pytest.fixture
def publishers():
    some = [Upstream() for _ in range(3)]
    yield some
    for one in some:
        one.zmq.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_publishers_are_connected_to_and_matched_by_their_topics(
    origin, gripproxy, publishers, workers
):
    first, second, third = (f"tcp://127.0.0.1:{one.port}" for one in publishers)
    settings = {
        "runner.workers": workers,
        "handler.push_in_sub_connect": "true",
        "handler.push_in_sub_specs": f"{first},{second}",
        "handler.push_in_sub_spec": third,
    }
    system = gripproxy([f"* 127.0.0.1:{origin.port}"], settings=settings)
    with origin.stage("options") as stage, Client(system.port) as client:
        # Of the topics that begin with it the other one comes, too, and is for nobody.
        stage.answer(text("Grip-Hold: stream", "Grip-Channel: ab", body="first;"))
        client.send(request("GET", "/", stage.host))
        client.head()
        client.piece()
        for number, publisher in enumerate(publishers):
            assert publisher.asked_for(b"ab")
            for topic in (b"abc", b"ab"):
                content = f"{topic.decode()} {number};"
                item = {"channel": "other", "formats": {"http-stream": {"content": content}}}
                publisher.zmq.send_multipart([topic, envelope(item, "J")])
            assert client.piece() == f"ab {number};".encode()


def test_a_file_of_an_input_has_the_mode_that_is_set(gripproxy):
    settings = {"handler.push_in_spec": "ipc://DIR/pull", "handler.ipc_file_mode": "620"}
    system = gripproxy(["* test"], settings=settings)
    assert stat.S_IMODE((system.directory / "pull").stat().st_mode) == 0o620


def test_the_control_port_serves_128_clients_and_more_wait(gripproxy):
    system = gripproxy(["* test"])
    with ExitStack() as stack:
        idle = [stack.enter_context(Client(system.http_port)) for _ in range(128)]
        for client in (idle[0], idle[-1]):  # all are served
            client.send(request("GET", "/", "control"))
            assert client.response().status == 200
        another = stack.enter_context(Client(system.http_port))
        another.send(request("GET", "/", "control"))
        assert another.ended(seconds=0.2) == "open"
        idle[0].close()
        assert another.response().status == 200


def test_the_control_port_takes_as_much_as_its_options_say(gripproxy):
    settings = {
        "handler.push_in_http_max_headers_size": "200",
        "handler.push_in_http_max_body_size": "100",
    }
    system = gripproxy(["* test"], settings=settings)

    def told(target: str, size: int) -> tuple[int, bytes]:
        body = b'{"items":[]}'.ljust(size)
        answer = ask(system.http_port, request("POST", target, "control", body=body))
        return answer.status, answer.body

    assert told("/publish", 100) == (200, b"Published\n")
    assert told("/publish", 101) == (400, b"Request body too large.\n")
    assert told("/publish?" + "x" * 200, 100) == (400, b"Request header too large.\n")

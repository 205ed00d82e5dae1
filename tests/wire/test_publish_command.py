"""`gripproxy publish` against the running program: every option, HTTP and ZeroMQ.

Specification: publishing.md 12.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.wire.client import Client, WebSocket, request, wait_until
from tests.wire.origin import Origin, Stage, reply, text
from tests.wire.processes import stream
from tests.wire.running import ROOT, Gripproxy, Running

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "gripproxy", "publish")
KEY = "a key+of/the=port"


@pytest.fixture(scope="module")
def system() -> Iterator[Running]:
    with Gripproxy(["* test"], settings={"handler.subscription_linger": "0"}) as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[Running]:
    """A program whose control port asks for a key."""
    settings = {"handler.control_key": f'"{KEY}"', "handler.control_iss": "tests"}
    with Gripproxy(["* test"], settings=settings) as running:
        yield running


@pytest.fixture
def stage(origin: Origin) -> Iterator[Stage]:
    """An origin in the place of the control port: it tells what was sent there."""
    with origin.stage("control", "127.0.0.1", "localhost") as one:
        one.answer(text(body="Published\n"))
        yield one


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    return request.node.name


def publish(
    *arguments: str, cwd: Path = ROOT, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )


def published(*arguments: str, **environ: str) -> None:
    """Run the command; it must say that it is done."""
    result = publish(*arguments, **environ)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"Published\n", b"")


def refused(*arguments: str, **environ: str) -> str:
    """Run the command; return the error that it says."""
    result = publish(*arguments, **environ)
    assert (result.returncode, result.stdout) == (1, b"")
    [line] = result.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def url(system: Running) -> str:
    return f"http://127.0.0.1:{system.http_port}"


def sent(stage: Stage, *arguments: str) -> dict[str, object]:
    """Publish to the stage; return the item that arrived there."""
    published("--spec", f"http://127.0.0.1:{stage.port}", *arguments)
    got = stage.request()
    assert (got.method, got.target) == ("POST", "/publish/")
    [item] = json.loads(got.body)["items"]
    return item


# To holders


@pytest.fixture(params=["http", "zeromq", "environment"])
def spec(request: pytest.FixtureRequest, system: Running) -> dict[str, object]:
    """The ways to the running program: arguments and variables."""
    return {
        "http": {"arguments": ("--spec", url(system))},
        "zeromq": {"arguments": ("--spec", f"tcp://127.0.0.1:{system.zmq_port}")},
        "environment": {"arguments": (), "GRIP_URL": url(system)},
    }[request.param]


def test_a_stream_gets_the_content_and_a_line_end(system, spec, channel):
    with stream(system, "s") as client:
        published("s", "hello", *spec.pop("arguments"), **spec)
        assert client.piece() == b"hello\n"


def test_a_websocket_gets_the_content_alone(system, spec):
    with WebSocket(system.port, "/ws?channel=w", "any.test") as client:
        system.subscribed("w")
        published("w", "hello", *spec.pop("arguments"), **spec)
        assert client.message() == "text hello"


def test_a_long_poll_is_answered(system, spec):
    with Client(system.port) as client:
        client.send(request("GET", "/response?channel=r", "any.test"))
        wait_until(lambda: system.watch.saw(b"\x01r"), "the hold")
        more = ("--code", "299", "-H", "X-A: 1", "--header", "X-B:2")
        published("r", "hello", *more, *spec.pop("arguments"), **spec)
        answer = client.response()
        assert (answer.status, answer.body) == (299, b"hello\n")
        assert (answer.value("x-a"), answer.value("x-b")) == ("1", "2")


def test_streams_and_websockets_are_closed(system):
    with (
        stream(system, "close") as client,
        WebSocket(system.port, "/ws?channel=close", "any.test") as socket,
    ):
        wait_until(
            lambda: (
                publish("close", "--close", "--spec", url(system)).returncode == 0
                and client.piece() is None
            ),
            "the end of the stream",
        )
        wait_until(
            lambda: publish("close", "--close", "--spec", url(system)).returncode == 0, "an answer"
        )
        assert socket.message().startswith("close")


def test_the_channel_may_be_empty(system):
    published("", "hello", "--spec", url(system))


# What is sent


def test_an_item_has_all_three_formats(stage):
    assert sent(stage, "c", "hello") == {
        "channel": "c",
        "formats": {
            "http-response": {"body": "hello\n", "code": 200},
            "http-stream": {"content": "hello\n"},
            "ws-message": {"content": "hello"},
        },
    }


@pytest.mark.parametrize(
    ("arguments", "members"),
    [
        (("--id", "7", "--prev-id", "6"), {"id": "7", "prev-id": "6"}),
        (("--id", ""), {}),
        (("--sender", "me"), {"meta": {"sender": "me"}}),
        (("-M", "a= 1", "--meta=b=2=3"), {"meta": {"a": "1", "b": "2=3"}}),
        (("-Ma=1",), {"meta": {"a": "1"}}),
        (("--no-seq",), {"no-seq": True}),
    ],
)
def test_options_of_the_item(stage, arguments, members):
    item = sent(stage, *arguments, "c", "hello")
    assert {name: item[name] for name in item if name not in ("channel", "formats")} == members


@pytest.mark.parametrize(
    ("arguments", "formats"),
    [
        (
            ("x", "--no-eol"),
            {
                "http-response": {"body": "x", "code": 200},
                "http-stream": {"content": "x"},
                "ws-message": {"content": "x"},
            },
        ),
        (
            ("x", "-HA: 1", "-H", "B:  2 ", "--code=404"),
            {
                "http-response": {
                    "body": "x\n", "code": 404, "headers": [["A", "1"], ["B", "2"]],
                },
                "http-stream": {"content": "x\n"},
                "ws-message": {"content": "x"},
            },
        ),
        (
            ("--hint",),
            {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")},
        ),
        (("--close",), {name: {"action": "close"} for name in ("http-stream", "ws-message")}),
        (
            ("--hint", "--close", "x"),
            {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")},
        ),
        (
            ("--patch", '[{"op": "remove", "path": "/a"}]'),
            {"http-response": {"body-patch": [{"op": "remove", "path": "/a"}], "code": 200}},
        ),
        (
            ("--", "--hint"),
            {
                "http-response": {"body": "--hint\n", "code": 200},
                "http-stream": {"content": "--hint\n"},
                "ws-message": {"content": "--hint"},
            },
        ),
    ],
)  # fmt: skip
def test_options_of_the_formats(stage, arguments, formats):
    assert sent(stage, "c", *arguments)["formats"] == formats


def test_the_content_of_a_file_is_sent_byte_for_byte(stage, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"no line end\xff")
    formats = sent(stage, "c", f"@{file}")["formats"]
    encoded = base64.b64encode(b"no line end\xff").decode()
    assert formats["http-stream"] == {"content-bin": encoded}
    assert formats["ws-message"] == {"content-bin": encoded}


# Where to, and as whom


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/publish/"),
        ("/", "/publish/"),
        ("/base", "/base/publish/"),
        ("/base/", "/base/publish/"),
        ("/base?x=1", "/base/publish/?x=1"),
    ],
)
def test_the_path_of_the_url_is_the_base(stage, path, target):
    published("--spec", f"http://127.0.0.1:{stage.port}{path}", "c", "x")
    assert stage.request().target == target


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-u", "me:secret"), f"Basic {base64.b64encode(b'me:secret').decode()}"),
        (("--user=me:secret",), f"Basic {base64.b64encode(b'me:secret').decode()}"),
        (("-B", "token"), "Bearer token"),
        (("--bearer", "token"), "Bearer token"),
        ((), None),
    ],
)
def test_credentials_are_sent(stage, arguments, expected):
    published("--spec", f"http://127.0.0.1:{stage.port}", *arguments, "c", "x")
    assert stage.request().value("authorization") == expected


@pytest.mark.parametrize(
    "query",
    [
        "iss=tests&key=a%20key+of/the=port",
        "key=a%20key+of/the=port&iss=tests&verify-key=other",
        f"iss=tests&key=base64:{base64.b64encode(KEY.encode()).decode()}",
    ],
)
def test_the_key_of_the_url_signs(locked, query):
    published("c", "x", GRIP_URL=f"{url(locked)}/?{query}")


@pytest.mark.parametrize("credentials", [("-u", f"anybody:{KEY}"), ("-B", KEY)])
def test_the_key_of_the_command_line_opens_the_port(locked, credentials):
    published("c", "x", "--spec", url(locked), *credentials)


def test_a_wrong_key_is_refused(locked):
    assert refused("c", "x", "-B", "wrong", "--spec", url(locked)).startswith("Unauthorized: ")
    assert refused("c", "x", "--spec", f"{url(locked)}?iss=other&key=x").startswith("Unauthorized")
    assert refused("c", "x", "--spec", url(locked)).startswith("Unauthorized: no credentials")


# Errors


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("c",), "must specify content"),
        (("c", "x", "--code", "1000"), "code must be an integer between 0 and 999"),
        (("c", "x", "--code", "x"), "failed to parse code: invalid digit found in string"),
        (("c", "x", "-H", "nothing"), 'header must be in the form "name: value"'),
        (("c", "x", "-M", "nothing"), 'meta must be in the form "name=value"'),
        (("c", "{}", "--patch"), "patch content must be a JSON array"),
        (("c", "@/none/there"), "can't read file /none/there: No such file or directory"),
        (("c", "x", "--spec", "http://"), "invalid URL"),
        (("c", "x", "-u", "a:b", "-B", "c"), "only one authentication method can be specified"),
        (("c", "x", "-B", "c", "--spec", "http://192.0.2.1"), "Authentication requires https"),
    ],
)
def test_what_cannot_be_published_is_said_in_one_line(arguments, error):
    assert refused(*arguments) == error


def test_a_proxy_that_is_not_there_is_named():
    port = free_port()
    spec = f"http://127.0.0.1:{port}"
    assert refused("c", "x", "--spec", spec) == f"{spec}: Connection refused"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (text(body="Invalid format: what a pity\n", status="400 Bad Request"), "Invalid format: "),
        (reply("202 Accepted", body=b"later"), "later"),
        (reply("500 Internal Server Error"), "500 Internal Server Error"),
        (b"nonsense\r\n\r\n", "http://"),
    ],
)
def test_any_other_answer_than_200_is_an_error(stage, answer, error):
    stage.answer(answer)
    assert refused("c", "x", "--spec", f"http://127.0.0.1:{stage.port}").startswith(error)


@pytest.mark.parametrize("arguments", [(), ("--nope", "c", "x"), ("c", "x", "y"), ("c", "--id")])
def test_a_wrong_command_line_ends_with_2(arguments):
    result = publish(*arguments)
    assert (result.returncode, result.stdout) == (2, b"")
    [line] = result.stderr.decode().splitlines()
    assert line.startswith("gripproxy: ")


def test_a_key_that_cannot_be_read_ends_with_2():
    result = publish("c", "x", GRIP_URL="http://127.0.0.1:1?iss=x&key=base64:!")
    assert result.returncode == 2
    assert result.stderr.startswith(b"gripproxy: base64")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_told(option):
    assert publish(option).stdout.startswith(b"gripproxy ")


def test_over_zeromq_it_waits_until_somebody_listens():
    port = free_port()
    command = [*COMMAND, "c", "x", "--spec", f"tcp://127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == b"Published\n"
        assert waiting.poll() is None
        waiting.kill()

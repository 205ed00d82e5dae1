"""The inputs over real sockets on loopback."""

import asyncio
import os
import socket
import stat
from collections import Counter
from pathlib import Path

import msgpack
import pytest
import zmq
import zmq.asyncio

from gripproxy.control import zeromq
from gripproxy.control.zeromq import Endpoints, Inputs
from gripproxy.errors import ConfigError, ListenError
from gripproxy.protocol import tnetstring
from tests.control.fakes import FakeIntake, FakeTasks, Warnings, eventually
from tests.ports import free_port

GOOD = b"T" + tnetstring.encode({"channel": "good", "formats": {"http-stream": {"content": "x"}}})
NAMELESS = b'J{"formats": {"http-stream": {"content": "x;"}}}'


def named(channel):
    return b'J{"channel": "%b", "formats": {"http-stream": {"content": "x;"}}}' % channel.encode()


@pytest.fixture
def intake():
    return FakeIntake()


@pytest.fixture
def warnings():
    return Warnings()


@pytest.fixture
async def tasks():
    tasks = FakeTasks()
    yield tasks
    await tasks.close()
    assert tasks.failures == []


@pytest.fixture
async def opened(intake, tasks, warnings):
    """Open inputs; all are closed in the end."""
    every = []

    def opened(**endpoints):
        inputs = Inputs(Endpoints(**endpoints), intake, tasks=tasks, warn=warnings)
        every.append(inputs)
        inputs.open()
        return inputs

    yield opened
    for inputs in every:
        inputs.close()


@pytest.fixture
async def client():
    """Make sockets of publishers and of callers."""
    context = zmq.asyncio.Context()
    every = []

    def client(kind, *specs, bind=False):
        made = context.socket(kind)
        every.append(made)
        for spec in specs:
            (made.bind if bind else made.connect)(spec)
        return made

    yield client
    context.destroy(linger=0)


@pytest.fixture
def spec():
    return f"tcp://127.0.0.1:{free_port()}"


def port_of(spec):
    return int(spec.rpartition(":")[2])


# PULL


@pytest.mark.parametrize(
    "message",
    [
        b'J{"channel": "c", "formats": {"http-stream": {"content": "x;"}}}',
        b'J\n {"channel": "c", "http-stream": {"content": "x;"}}\n',
        b"T62:7:channel,1:c,7:formats,34:11:http-stream,15:7:content,2:x;,}}}",
        b"62:7:channel,1:c,7:formats,34:11:http-stream,15:7:content,2:x;,}}}",
        b"M" + msgpack.packb({"channel": "c", "formats": {"http-stream": {"content": "x;"}}}),
    ],
    ids=["json", "flat json", "tnetstring", "bare tnetstring", "msgpack"],
)
async def test_an_item_is_taken_in_every_encoding(opened, client, intake, spec, message):
    opened(pull=spec)
    await client(zmq.PUSH, spec).send(message)
    await intake.until(1)
    (item,) = intake.items
    assert (item.channel, item.http_stream.content) == ("c", b"x;")


async def test_items_keep_their_order_and_come_in_bounded_batches(opened, client, intake, spec):
    opened(pull=spec)
    push = client(zmq.PUSH, spec)
    names = [str(number) for number in range(1050)]
    for name in names:
        await push.send(named(name))
    await intake.until(len(names))
    assert intake.channels == names
    assert max(map(len, intake.batches)) <= zeromq.BATCH


async def test_what_waits_is_read_without_further_news(opened, client, intake, spec):
    push = client(zmq.PUSH, spec)
    for _ in range(3 * zeromq.BATCH):
        await push.send(GOOD)
    opened(pull=spec)
    await intake.until(3 * zeromq.BATCH)


async def test_others_get_their_turn_between_batches(opened, client, intake, spec):
    loop = asyncio.get_running_loop()
    turn, taken = 0, Counter()
    take = intake.take

    def count():
        nonlocal turn
        turn += 1
        if len(intake.items) < 10 * zeromq.BATCH:
            loop.call_soon(count)

    def take_in_turn(items):
        taken[turn] += len(items)
        take(items)

    intake.take = take_in_turn
    opened(pull=spec)
    push = client(zmq.PUSH, spec)
    for _ in range(10 * zeromq.BATCH):
        await push.send(GOOD)
    count()
    await intake.until(10 * zeromq.BATCH)
    assert max(taken.values()) < 2 * zeromq.BATCH


async def test_several_publishers_are_read(opened, client, intake, spec):
    opened(pull=spec)
    for name in "abc":
        await client(zmq.PUSH, spec).send(named(name))
    await intake.until(3)
    assert sorted(intake.channels) == ["a", "b", "c"]


INVALID = "received message with invalid format"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([GOOD, GOOD], "received message with parts != 1, skipping"),
        ([b"", GOOD], "received message with parts != 1, skipping"),
        ([b""], f"{INVALID} (tnetstring parse failed), skipping"),
        ([b"\x00\xff"], f"{INVALID} (tnetstring parse failed), skipping"),
        ([b"{}"], f"{INVALID} (tnetstring parse failed), skipping"),
        ([b"T"], f"{INVALID} (tnetstring parse failed), skipping"),
        ([b"T99:7:channel,1:c,}"], f"{INVALID} (tnetstring parse failed), skipping"),
        ([b"99999999999999999999:x,"], f"{INVALID} (tnetstring parse failed), skipping"),
        ([b"J"], f"{INVALID} (json parse failed), skipping"),
        ([b'J{"channel"'], f"{INVALID} (json parse failed), skipping"),
        ([b"J" + b"[" * 100_000], f"{INVALID} (json parse failed), skipping"),
        ([b"J1"], f"{INVALID} (json parse failed), skipping"),
        ([b"J[]"], f"{INVALID} (not a valid json object), skipping"),
        ([b"M"], f"{INVALID} (msgpack parse failed), skipping"),
        ([b"M\x81"], f"{INVALID} (msgpack parse failed), skipping"),
        ([b"M\xc0"], f"{INVALID} (not a valid msgpack map), skipping"),
        ([b"T1:1#"], f"{INVALID}: publish item object is not an object, skipping"),
        ([b"J{}"], f"{INVALID}: publish item object does not contain 'channel', skipping"),
        (
            [b'J{"channel": 1}'],
            f"{INVALID}: publish item object contains 'channel' with wrong type, skipping",
        ),
        ([b'J{"channel": "c"}'], f"{INVALID}: no formats specified, skipping"),
    ],
)
async def test_a_bad_message_is_a_warning_and_the_next_one_is_taken(
    opened, client, intake, warnings, spec, parts, text
):
    opened(pull=spec)
    push = client(zmq.PUSH, spec)
    await push.send_multipart(parts)
    await push.send(GOOD)
    await intake.until(1)
    assert warnings.told == [("IN pull", f"IN pull: {text}")]
    assert intake.channels == ["good"]


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\x00\x00\x00",
        b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48),
        b"\x00" * 100_000,
        # A publisher up to the middle of its first message.
        b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
        + b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH" + b"\x00\x40J{",
    ],
    ids=["http", "half a greeting", "odd greeting", "zeros", "half a frame"],
)  # fmt: skip
async def test_noise_on_the_port_leaves_the_others_alone(opened, client, intake, spec, noise):
    opened(pull=spec)
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(spec))
    writer.write(noise)
    await client(zmq.PUSH, spec).send(GOOD)
    await intake.until(1)
    writer.transport.abort()
    await client(zmq.PUSH, spec).send(GOOD)
    await intake.until(2)


async def test_a_bug_behind_the_intake_does_not_make_the_socket_deaf(opened, client, intake, spec):
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told))
    take = intake.take

    def fail_once(items):
        intake.take = take
        raise RuntimeError

    intake.take = fail_once
    opened(pull=spec)
    push = client(zmq.PUSH, spec)
    await push.send(GOOD)
    await eventually(lambda: failures)
    for _ in range(2 * zeromq.BATCH):
        await push.send(GOOD)
    await intake.until(2 * zeromq.BATCH)
    assert isinstance(failures[0]["exception"], RuntimeError)


# SUB


async def test_publishers_see_what_is_wanted_and_what_is_no_longer(opened, client, spec):
    inputs = opened(sub=(spec,))
    publisher = client(zmq.XPUB, spec)
    inputs.subscribe("p-é")
    assert await publisher.recv() == b"\x01p-\xc3\xa9"
    inputs.unsubscribe("p-é")
    assert await publisher.recv() == b"\x00p-\xc3\xa9"


async def test_a_publisher_that_connects_later_sees_all_that_is_wanted(opened, client, spec):
    inputs = opened(sub=(spec,))
    for name in "abc":
        inputs.subscribe(name)
    inputs.unsubscribe("b")
    for _ in range(2):
        publisher = client(zmq.XPUB, spec)
        seen = {await publisher.recv(), await publisher.recv()}
        assert seen == {b"\x01a", b"\x01c"}
        publisher.close(linger=0)


async def test_the_topic_is_the_channel_whatever_the_item_says(opened, client, intake, spec):
    inputs = opened(sub=(spec,))
    publisher = client(zmq.XPUB, spec)
    inputs.subscribe("a")
    await publisher.recv()
    await publisher.send_multipart([b"a", NAMELESS])
    await publisher.send_multipart([b"a", named("other")])
    await publisher.send_multipart([b"b", named("a")])  # filtered by the publisher
    await publisher.send_multipart([b"ab", b'J{"channel": 1, "http-stream": {"content": ""}}'])
    await intake.until(3)
    assert intake.channels == ["a", "a", "ab"]


async def test_with_an_empty_topic_the_channel_is_in_the_item(opened, client, intake, spec):
    inputs = opened(sub=(spec,))
    publisher = client(zmq.XPUB, spec)
    inputs.subscribe("")
    assert await publisher.recv() == b"\x01"
    await publisher.send_multipart([b"", named("inside")])
    await publisher.send_multipart([b"outside", NAMELESS])
    await intake.until(2)
    assert intake.channels == ["inside", "outside"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([b"good"], "IN sub: received message with parts != 2, skipping"),
        ([b"good", GOOD, b""], "IN sub: received message with parts != 2, skipping"),
        ([b"good", b"J"], f"IN sub: {INVALID} (json parse failed), skipping"),
        ([b"good", b"T9:1,"], f"IN sub: {INVALID} (tnetstring parse failed), skipping"),
        ([b"good", b"J{}"], f"IN sub: {INVALID}: no formats specified, skipping"),
    ],
)
async def test_a_bad_publication_is_a_warning(opened, client, intake, warnings, spec, parts, text):
    inputs = opened(sub=(spec,))
    publisher = client(zmq.XPUB, spec)
    inputs.subscribe("good")
    await publisher.recv()
    await publisher.send_multipart(parts)
    await publisher.send_multipart([b"good", GOOD])
    await intake.until(1)
    assert warnings.told == [("IN sub", text)]


async def test_only_the_first_endpoint_is_bound_and_the_others_are_named(
    opened, client, warnings, spec
):
    inputs = opened(sub=(spec, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"))
    inputs.subscribe("a")
    assert await client(zmq.XPUB, spec).recv() == b"\x01a"
    assert warnings.texts == [
        f"[handler] push_in_sub_specs: only {spec} is bound, "
        "not tcp://127.0.0.1:1, tcp://127.0.0.1:2"
    ]


async def test_it_connects_to_every_publisher(opened, client, intake, warnings, spec):
    other = f"tcp://127.0.0.1:{free_port()}"
    publishers = [client(zmq.XPUB, where, bind=True) for where in (spec, other)]
    inputs = opened(sub=(spec, other), sub_connect=True)
    inputs.subscribe("a")
    for publisher in publishers:
        assert await publisher.recv() == b"\x01a"
        await publisher.send_multipart([b"a", NAMELESS])
    await intake.until(2)
    assert warnings.told == []


async def test_a_publisher_that_comes_back_sees_all_again(opened, client, spec):
    inputs = opened(sub=(spec,), sub_connect=True)
    inputs.subscribe("a")
    for _ in range(2):
        publisher = client(zmq.XPUB)
        await bound_again(publisher, spec)
        assert await publisher.recv() == b"\x01a"
        publisher.close(linger=0)


async def bound_again(publisher, spec):
    """Bind a port that another socket is just letting go of."""
    while True:
        try:
            return publisher.bind(spec)
        except zmq.ZMQError:
            await asyncio.sleep(0.001)


async def test_a_dead_publisher_is_found(opened, spec):
    inputs = opened(sub=(spec,), sub_connect=True)
    (reader,) = inputs._readers
    names = ("TCP_KEEPALIVE", "TCP_KEEPALIVE_IDLE", "TCP_KEEPALIVE_CNT", "TCP_KEEPALIVE_INTVL")
    assert [reader.socket.getsockopt(getattr(zmq, name)) for name in names] == [1, 30, 6, 5]


async def test_what_nobody_subscribes_to_by_socket_is_wanted_all_the_same(opened, spec):
    inputs = opened(pull=spec)
    inputs.subscribe("a")
    inputs.unsubscribe("a")


async def test_many_items_may_wait_in_items_sockets(opened, spec):
    inputs = opened(pull=spec, sub=(f"tcp://127.0.0.1:{free_port()}",))
    assert [reader.socket.rcvhwm for reader in inputs._readers] == [101_000, 101_000]


# Commands


def request(method, request_id=b"1", **args):
    return tnetstring.encode({"id": request_id, "method": method, "args": args})


async def call(caller, message):
    await caller.send(message)
    return tnetstring.decode(await caller.recv())


async def test_a_req_client_is_answered(opened, client, spec):
    opened(command=spec)
    caller = client(zmq.REQ, spec)
    assert await call(caller, b"28:2:id,1:1,6:method,7:recover,}") == {
        "id": b"1",
        "success": True,
        "value": None,
    }
    assert await call(caller, b"25:2:id,1:2,6:method,4:nope,}") == {
        "id": b"2",
        "success": False,
        "condition": b"method-not-found",
    }


async def test_a_request_without_id_has_a_reply_without_id(opened, client, spec):
    opened(command=spec)
    reply = await call(client(zmq.REQ, spec), tnetstring.encode({"method": "recover"}))
    assert reply == {"success": True, "value": None}


async def test_the_endpoints_are_told_as_they_are_configured(opened, client, spec):
    pull, sub = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    opened(pull=pull, sub=(sub, "tcp://127.0.0.1:1"), command=spec)
    reply = await call(client(zmq.REQ, spec), request("get-zmq-uris"))
    assert reply["value"] == {
        "command": spec.encode(),
        "publish-pull": pull.encode(),
        "publish-sub": sub.encode(),
    }


def test_a_sub_socket_that_connects_is_no_endpoint():
    endpoints = Endpoints(sub=("tcp://127.0.0.1:1",), sub_connect=True, command="tcp://*:1")
    assert endpoints.uris() == {"command": "tcp://*:1"}


async def test_items_are_published_by_command(opened, client, intake, spec):
    opened(command=spec)
    item = {"channel": "c", "formats": {"ws-message": {"content-bin": b"\xff"}}}
    reply = await call(client(zmq.REQ, spec), request("publish", items=[item]))
    assert reply == {"id": b"1", "success": True, "value": None}
    assert intake.items[0].ws_message.content == b"\xff"


async def test_a_bad_item_is_told(opened, client, intake, spec):
    opened(command=spec)
    reply = await call(client(zmq.REQ, spec), request("publish", items=[{"channel": "a"}]))
    assert reply == {
        "id": b"1",
        "success": False,
        "condition": b"bad-request",
        "value": b"Invalid format: no formats specified",
    }
    assert intake.items == []


async def test_a_req_client_that_correlates_is_answered(opened, client, spec):
    opened(command=spec)
    caller = client(zmq.REQ)
    caller.setsockopt(zmq.REQ_CORRELATE, 1)
    caller.connect(spec)
    assert (await call(caller, request("recover")))["success"] is True


async def test_a_dealer_is_answered_out_of_order(opened, client, intake, spec):
    opened(command=spec)
    intake.gate = asyncio.Event()
    caller = client(zmq.DEALER, spec)
    await caller.send_multipart([b"", request("recover", b"slow")])
    await eventually(lambda: intake.calls)
    await caller.send_multipart([b"", request("get-zmq-uris", b"fast")])
    empty, reply = await caller.recv_multipart()
    assert (empty, tnetstring.decode(reply)["id"]) == (b"", b"fast")
    intake.gate.set()
    empty, reply = await caller.recv_multipart()
    assert (empty, tnetstring.decode(reply)["id"]) == (b"", b"slow")


async def test_any_number_of_commands_may_be_under_way(opened, client, intake, spec, monkeypatch):
    monkeypatch.setattr(zeromq, "COMMANDS_MAX", 3)
    monkeypatch.setattr(zeromq, "BATCH", 2)
    inputs = opened(command=spec)
    intake.gate = asyncio.Event()
    caller = client(zmq.DEALER, spec)
    for number in range(50):
        await caller.send_multipart([b"", request("recover", b"%d" % number)])
    await eventually(lambda: len(intake.calls) >= 3)
    assert repr(inputs) == "<Inputs command commands=4>"  # a batch over the bound
    intake.gate.set()
    seen = {tnetstring.decode((await caller.recv_multipart())[1])["id"] for _ in range(50)}
    assert seen == {b"%d" % number for number in range(50)}
    assert repr(inputs) == "<Inputs command commands=0>"


PARSE_FAILED = f"zrpc server: {INVALID} (tnetstring parse failed), skipping"
NO_COMMAND = f"zrpc server: {INVALID} (parse failed), skipping"
PARTS = "zrpc server: received message with parts != 1, skipping"
UNREADABLE = [
    ([b""], PARSE_FAILED),
    ([b"J{}"], PARSE_FAILED),
    ([b"T" + request("recover")], PARSE_FAILED),
    ([request("recover")[:-3]], PARSE_FAILED),
    ([b"1:1#"], NO_COMMAND),
    ([b"0:}"], NO_COMMAND),
    ([tnetstring.encode({"method": 1})], NO_COMMAND),
    ([tnetstring.encode({"method": "recover", "args": []})], NO_COMMAND),
    ([tnetstring.encode({"method": "recover", "id": 1})], NO_COMMAND),
    ([b"x", b"y"], PARTS),
]


@pytest.mark.parametrize(("parts", "text"), UNREADABLE)
async def test_a_req_client_is_never_left_waiting(opened, client, warnings, spec, parts, text):
    opened(command=spec)
    caller = client(zmq.REQ, spec)
    await caller.send_multipart(parts)
    reply = tnetstring.decode(await caller.recv())
    assert reply == {"success": False, "condition": b"bad-format"}
    assert warnings.told == [("zrpc server", text)]
    assert (await call(caller, request("recover")))["success"] is True


@pytest.mark.parametrize(("parts", "text"), [*UNREADABLE, ([], PARTS)])
async def test_a_dealer_that_gives_no_id_gets_no_reply(
    opened, client, warnings, spec, parts, text
):
    opened(command=spec)
    caller = client(zmq.DEALER, spec)
    await caller.send_multipart([b"", *parts])
    await caller.send_multipart([b"", request("recover", b"next")])
    _, reply = await caller.recv_multipart()
    assert tnetstring.decode(reply)["id"] == b"next"
    assert warnings.told == [("zrpc server", text)]


@pytest.mark.parametrize(
    ("parts", "text", "way"),
    [
        ([b"", tnetstring.encode({"id": "i", "method": 1})], NO_COMMAND, [b""]),
        ([b"", tnetstring.encode({"id": "i"})], NO_COMMAND, [b""]),
        ([b"", request("recover", b"i"), b"more"], PARTS, [b""]),
        ([b"", tnetstring.encode({"id": "i"}), b"more"], PARTS, [b""]),
        ([request("recover", b"i")], PARTS, []),
    ],
)
async def test_who_gives_an_id_is_told_that_the_request_is_unreadable(
    opened, client, warnings, spec, parts, text, way
):
    opened(command=spec)
    caller = client(zmq.DEALER, spec)
    await caller.send_multipart(parts)
    *envelope, reply = await caller.recv_multipart()
    assert envelope == way
    assert tnetstring.decode(reply) == {"id": b"i", "success": False, "condition": b"bad-format"}
    assert warnings.told == [("zrpc server", text)]


async def test_a_caller_that_leaves_does_not_stop_the_others(opened, client, intake, tasks, spec):
    opened(command=spec)
    intake.gate = asyncio.Event()
    left = client(zmq.DEALER, spec)
    await left.send_multipart([b"", request("recover")])
    await eventually(lambda: intake.calls)
    left.close(linger=0)
    stays = client(zmq.REQ, spec)
    assert (await call(stays, request("get-zmq-uris")))["success"] is True
    intake.gate.set()
    await eventually(lambda: not tasks.running)
    assert (await call(stays, request("recover")))["success"] is True


# Opening and closing


@pytest.mark.parametrize(
    ("name", "option"),
    [("pull", "push_in_spec"), ("sub", "push_in_sub_specs"), ("command", "command_spec")],
)
async def test_a_port_that_is_taken_is_an_error_that_names_the_option(opened, name, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        spec = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError) as caught:
            opened(**{name: (spec,) if name == "sub" else spec})
    assert str(caught.value) == (
        f"[handler] {option}: cannot listen on {spec}: address already in use; "
        f"set another with --set handler.{option}=ENDPOINT"
    )


@pytest.mark.parametrize("spec", ["nonsense", "tcp://127.0.0.1", "ipc:///no/such/directory/x"])
async def test_an_endpoint_that_is_none_is_an_error(opened, spec):
    with pytest.raises(ListenError) as caught:
        opened(pull=spec)
    assert caught.value.endpoint == spec


async def test_a_publisher_that_cannot_be_connected_to_is_an_error(opened):
    with pytest.raises(ConfigError, match=r"push_in_sub_specs.*cannot connect to nonsense: inv"):
        opened(sub=("nonsense",), sub_connect=True)


async def test_nothing_is_left_open_behind_an_error(opened, client, intake, spec):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ListenError):
        opened(pull=spec, command=f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    opened(pull=spec)
    await client(zmq.PUSH, spec).send(GOOD)
    await intake.until(1)


async def test_a_file_has_the_mode_that_is_set(opened, client, intake, tmp_path):
    path = tmp_path / "pull"
    opened(pull=f"ipc://{path}", ipc_file_mode=0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    await client(zmq.PUSH, f"ipc://{path}").send(GOOD)
    await intake.until(1)


async def test_a_name_without_file_has_no_mode(opened, client, intake):
    spec = f"ipc://@gripproxy-test-{os.getpid()}"
    opened(pull=spec, ipc_file_mode=0o640)
    await client(zmq.PUSH, spec).send(GOOD)
    await intake.until(1)


async def test_a_mode_that_cannot_be_set_is_an_error(opened, tmp_path, monkeypatch):
    def chmod(path, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", chmod)
    spec = f"ipc://{tmp_path}/pull"
    with pytest.raises(ListenError) as caught:
        opened(pull=spec, ipc_file_mode=0o640)
    assert str(caught.value) == (
        f"[handler] push_in_spec: cannot listen on {spec}: "
        "unable to set permissions: operation not permitted"
    )


async def test_ipv6_is_spoken_where_it_is_asked_for(opened, client, intake):
    spec = f"tcp://[::1]:{free_port()}"
    opened(pull=spec)
    publisher = client(zmq.PUSH)
    publisher.setsockopt(zmq.IPV6, 1)
    publisher.connect(spec)
    await publisher.send(GOOD)
    await intake.until(1)


async def test_nothing_wanted_is_nothing_opened(opened):
    assert repr(opened()) == "<Inputs none commands=0>"


async def test_closing_leaves_nothing(opened, client, intake, spec, tmp_path):
    def left():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    caller = client(zmq.DEALER)
    caller.connect(spec)
    before = left()
    intake.gate = asyncio.Event()
    inputs = opened(pull=f"ipc://{tmp_path}/pull", sub=(f"ipc://{tmp_path}/sub",), command=spec)
    await caller.send_multipart([b"", request("recover")])
    await eventually(lambda: intake.calls)
    inputs.close()
    assert list(tmp_path.iterdir()) == []
    caller.close(linger=0)
    await eventually(lambda: left() <= before)
    with socket.create_server(("127.0.0.1", port_of(spec))):
        pass


async def test_a_file_that_another_process_has_bound_anew_stays(opened, tmp_path):
    spec = f"ipc://{tmp_path}/pull"
    before = opened(pull=spec)
    opened(pull=spec)
    before.close()
    assert [path.name for path in tmp_path.iterdir()] == ["pull"]


async def test_a_command_that_ends_after_the_close_is_not_answered(
    opened, client, intake, tasks, spec
):
    inputs = opened(command=spec)
    intake.gate = asyncio.Event()
    await client(zmq.DEALER, spec).send_multipart([b"", request("recover")])
    await eventually(lambda: intake.calls)
    inputs.close()
    inputs.close()
    intake.gate.set()
    await eventually(lambda: not tasks.running)

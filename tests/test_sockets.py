"""Listening sockets."""

import grp
import os
import pwd
import socket
from collections.abc import Iterator

import pytest

from gripproxy import sockets
from gripproxy.errors import ConfigError, ListenError
from gripproxy.kinds import Endpoint, UnixEndpoint
from gripproxy.options import Runner
from gripproxy.sockets import Listener


@pytest.fixture
def opened() -> Iterator[list[Listener]]:
    listeners: list[Listener] = []
    yield listeners
    for listener in listeners:
        listener.close()


def port_of(listener: Listener) -> int:
    return listener.sockets[0].getsockname()[1]


def accepted(listener: Listener) -> list[int]:
    """Return how many connections wait at each socket."""
    counts = []
    for sock in listener.sockets:
        count = 0
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            count += 1
        counts.append(count)
    return counts


# TCP


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_worker_has_a_socket_of_its_own_on_one_port(opened, count):
    listener = sockets.tcp("[a] b", Endpoint("127.0.0.1", 0), count)
    opened.append(listener)
    assert len(listener.sockets) == count
    assert {sock.getsockname() for sock in listener.sockets} == {("127.0.0.1", port_of(listener))}
    assert [listener.of_worker(index) for index in range(count)] == listener.sockets


def test_the_kernel_shares_connections_out_among_them(opened):
    listener = sockets.tcp("[a] b", Endpoint("127.0.0.1", 0), 2)
    opened.append(listener)
    clients = [socket.create_connection(("127.0.0.1", port_of(listener))) for _ in range(100)]
    counts = accepted(listener)
    assert sum(counts) == 100
    assert min(counts) > 0
    for client in clients:
        client.close()


def test_the_port_that_the_kernel_has_chosen_is_told(opened):
    listener = sockets.tcp("[a] b", Endpoint("127.0.0.1", 0))
    opened.append(listener)
    assert listener.endpoint == f"127.0.0.1:{port_of(listener)}"
    assert port_of(listener) > 0


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("theirs", [1, 2])
def test_a_port_that_is_taken_is_refused_however_it_was_taken(opened, count, theirs):
    first = sockets.tcp("[a] b", Endpoint("127.0.0.1", 0), theirs)
    opened.append(first)
    with pytest.raises(ListenError) as caught:
        sockets.tcp("[a] b", Endpoint("127.0.0.1", port_of(first)), count, fix="do this")
    text = f"[a] b: cannot listen on {first.endpoint}: address already in use; do this"
    assert str(caught.value) == text


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_is_free_again_when_its_listener_is_closed(opened, count):
    first = sockets.tcp("[a] b", Endpoint("127.0.0.1", 0), count)
    port = port_of(first)
    client = socket.create_connection(("127.0.0.1", port))
    first.close()
    client.close()
    opened.append(sockets.tcp("[a] b", Endpoint("127.0.0.1", port), count))


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ListenError, match="no such address on this machine"):
        sockets.tcp("[a] b", Endpoint("192.0.2.1", 0))


def test_ipv6_addresses_have_brackets(opened):
    try:
        listener = sockets.tcp("[a] b", Endpoint("::1", 0), 2)
    except ListenError:
        pytest.skip("no IPv6 here")
    opened.append(listener)
    assert listener.endpoint == f"[::1]:{port_of(listener)}"


# Unix sockets


def test_a_unix_socket_is_one_for_all_workers(opened, tmp_path):
    listener = sockets.unix("[a] b", UnixEndpoint(str(tmp_path / "s")))
    opened.append(listener)
    assert listener.of_worker(0) is listener.of_worker(1)


def test_a_unix_socket_has_the_mode_and_the_owner_that_it_is_given(opened, tmp_path):
    path = tmp_path / "s"
    user = pwd.getpwuid(os.getuid()).pw_name
    group = grp.getgrgid(os.getgid()).gr_name
    where = UnixEndpoint(str(path), 0o620, user, group)
    opened.append(sockets.unix("[a] b", where))
    found = path.stat()
    assert found.st_mode & 0o777 == 0o620
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_the_file_is_removed_at_the_end(tmp_path):
    path = tmp_path / "s"
    listener = sockets.unix("[a] b", UnixEndpoint(str(path)))
    assert path.is_socket()
    listener.close()
    assert not path.exists()
    listener.close()


def test_the_file_of_another_is_not_removed(opened, tmp_path):
    path = tmp_path / "s"
    first = sockets.unix("[a] b", UnixEndpoint(str(path)))
    path.unlink()
    opened.append(sockets.unix("[a] b", UnixEndpoint(str(path))))
    first.close()
    assert path.is_socket()


def test_the_file_of_one_that_is_gone_is_replaced(opened, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    opened.append(sockets.unix("[a] b", UnixEndpoint(str(path))))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_that_somebody_listens_on_is_refused(opened, tmp_path):
    where = UnixEndpoint(str(tmp_path / "s"))
    opened.append(sockets.unix("[a] b", where))
    with pytest.raises(ListenError, match="address already in use"):
        sockets.unix("[a] b", where)


def test_a_unix_socket_with_a_full_queue_is_refused(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as client:
        sock.bind(path)
        sock.listen(0)
        client.connect(path)
        with pytest.raises(ListenError, match="address already in use"):
            sockets.unix("[a] b", UnixEndpoint(path))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "address already in use"),
        ("none/there", "No such file or directory"),
        ("x" * 200, "AF_UNIX path too long"),
        ("a\0b", "embedded null"),
    ],
)
def test_a_path_that_is_no_place_for_a_socket_is_refused(tmp_path, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match=reason):
        sockets.unix("[a] b", UnixEndpoint(str(tmp_path / name)))


@pytest.mark.parametrize("kind", ["user", "group"])
def test_an_owner_who_does_not_exist_is_refused(tmp_path, kind):
    where = UnixEndpoint(str(tmp_path / "s"), **{kind: "nobody-of-that-name"})
    with pytest.raises(ConfigError, match=f"there is no {kind} nobody-of-that-name"):
        sockets.unix("[a] b", where)


# All for clients


def test_all_endpoints_for_clients_are_opened(opened, tmp_path):
    runner = Runner(
        http_port=(Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 0)),
        local_ports=(UnixEndpoint(str(tmp_path / "s")),),
    )
    opened += sockets.clients(runner, count=2)
    assert [len(listener.sockets) for listener in opened] == [2, 2, 1]


def test_nothing_stays_open_if_one_cannot_be_opened(opened, tmp_path):
    port = sockets.tcp("[a] b", Endpoint("127.0.0.1", 0))
    number = port_of(port)
    port.close()
    runner = Runner(
        http_port=(Endpoint("127.0.0.1", number),),
        local_ports=(UnixEndpoint(str(tmp_path / "s")), UnixEndpoint(str(tmp_path / "n" / "t"))),
    )
    with pytest.raises(ListenError):
        sockets.clients(runner, count=2)
    assert list(tmp_path.iterdir()) == []
    opened.append(sockets.tcp("[a] b", Endpoint("127.0.0.1", number)))


def test_without_an_endpoint_there_is_nothing_to_serve():
    with pytest.raises(ConfigError, match="TLS listeners are not supported yet"):
        sockets.clients(Runner(https_ports=(Endpoint("127.0.0.1", 1),)), count=1)

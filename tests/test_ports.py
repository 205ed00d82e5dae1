"""Ports for programs under test: free, each given once, out of the way of other connections."""

import socket

import pytest

from tests.ports import EPHEMERAL, choice, free_port, is_free, span


@pytest.mark.parametrize(
    ("ephemeral", "ports"),
    [
        ("32768\t60999\n", range(12_000, 32_000)),
        ("15000 65000", range(12_000, 15_000)),
        ("1024 60999", range(61_000, 65_536)),
        ("1024 65535", range(12_000, 32_000)),
    ],
)
def test_ports_lie_outside_of_what_the_kernel_chooses_from_if_there_is_room(ephemeral, ports):
    assert span(ephemeral) == ports


def test_each_port_comes_once():
    assert sorted(choice(range(5, 30), 1)) == list(range(5, 30))


def test_processes_begin_with_different_ports():
    assert list(choice(range(1000), 1)) != list(choice(range(1000), 2))


def test_a_port_with_a_listener_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_free_port_can_be_listened_on_and_is_not_given_again():
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    assert set(ports) <= set(span(EPHEMERAL.read_text()))
    with socket.create_server(("127.0.0.1", ports[0])):
        pass

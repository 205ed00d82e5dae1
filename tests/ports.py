"""Ports for programs that tests start: none that an outgoing connection could take meanwhile.

The kernel gives outgoing connections, and who binds to port 0, a port of one range. What is chosen
here lies below it.
"""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 12_000
HIGHEST = 32_000


def span(ephemeral: str) -> range:
    """Return the ports to choose from, given the kernel's two numbers for its own choice."""
    first, last = map(int, ephemeral.split())
    below = range(LOWEST, min(first, HIGHEST))
    if len(below) >= 1000:
        return below
    above = range(last + 1, 65_536)
    return above if len(above) >= 1000 else range(LOWEST, HIGHEST)


def choice(ports: range, seed: int) -> Iterator[int]:
    """Yield all the ports once, in an order that differs between processes."""
    yield from random.Random(seed).sample(ports, len(ports))


def is_free(port: int) -> bool:
    """Tell whether nobody has a TCP port of the loopback address."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


_PORTS = choice(span(EPHEMERAL.read_text()), os.getpid())


def free_port() -> int:
    """Return a TCP port of the loopback address that was free a moment ago; never one twice."""
    return next(port for port in _PORTS if is_free(port))

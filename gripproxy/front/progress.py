"""How much of what was written to a client has reached it, for `write_timeout` (proxying.md 17).

What waits in the process says little: it grows while a client reads, if more is written than it
takes. So the kernel is asked how many bytes the peer has acknowledged.
"""

import asyncio
import socket
import struct

# `tcpi_bytes_acked` of struct tcp_info (Linux 4.1 and later).
_ACKED = struct.Struct("=Q")
_ACKED_AT = 120
_INFO_SIZE = _ACKED_AT + _ACKED.size


def taken(transport: asyncio.Transport) -> int:
    """Return a number that changes when the peer has taken something."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and hasattr(socket, "TCP_INFO"):
        known = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
        if len(known) == _INFO_SIZE:
            return int(_ACKED.unpack_from(known, _ACKED_AT)[0])
    return transport.get_write_buffer_size()


class Stall:
    """Since when a client has taken nothing. Made when something waits for it."""

    __slots__ = ("_since", "_taken")

    def __init__(self, transport: asyncio.Transport, now: float) -> None:
        self._taken = taken(transport)
        self._since = now

    def seconds(self, transport: asyncio.Transport, now: float) -> float:
        """Return for how long nothing has been taken."""
        number = taken(transport)
        if number != self._taken:
            self._taken = number
            self._since = now
        return now - self._since

"""Clients made by hand: HTTP and WebSocket over raw sockets, publishers over ZeroMQ.

They check nothing: a test sends the bytes it wants and looks at the bytes it got. Every wait has
a deadline, and a missed one says what was there instead.
"""

import base64
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import zmq

SECONDS = 5.0

Field = tuple[str, str]


class DeadlineError(AssertionError):
    """What was waited for did not come in time."""


class GoneError(EOFError):
    """The peer closed the connection; `left` are the bytes that came before."""

    def __init__(self, left: bytes) -> None:
        super().__init__(f"closed after {left!r}")
        self.left = left


def wait_until(ready: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
    """Return when `ready` says yes; look often. Raises DeadlineError."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise DeadlineError(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def attempt(read: Callable[[], Any], otherwise: object = "nothing") -> Any:
    """Return what `read` returns, or `otherwise` if it does not come in time."""
    try:
        return read()
    except DeadlineError:
        return otherwise


# HTTP


def request(
    method: str,
    target: str,
    host: str | None,
    *fields: str,
    body: bytes | None = None,
    version: str = "HTTP/1.1",
) -> bytes:
    """Write a request; a body gets a Content-Length unless a field frames it."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines.extend(fields)
    framed = any(f.lower().startswith(("content-length:", "transfer-encoding:")) for f in fields)
    if body is not None and not framed:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


@dataclass
class Response:
    """A response as it came: head in order, body by its framing, borders of chunks kept."""

    version: str
    status: int
    reason: str
    fields: list[Field]
    framing: str = "none"
    chunks: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of that name, in any case of letters."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """Return the first value of that name."""
        return next(iter(self.values(name)), None)


def read_fields(head: bytes) -> tuple[str, list[Field]]:
    """Split a head into its first line and its fields."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        fields.append((name, value.strip(" \t")))
    return first, fields


class Connection:
    """A TCP connection with a read buffer and a deadline for every read."""

    def __init__(self, sock: socket.socket, *, seconds: float = SECONDS) -> None:
        self.sock = sock
        self.seconds = seconds
        self.buffer = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def send(self, *pieces: bytes) -> None:
        """Send every piece in a segment of its own."""
        self.sock.settimeout(self.seconds)
        for piece in pieces:
            self.sock.sendall(piece)

    def finish(self) -> None:
        """End our side of the connection; the other may still speak."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close so that the peer sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Reading

    def more(self, *, seconds: float | None = None) -> bool:
        """Read what is there into the buffer; False at the end of input. Raises DeadlineError."""
        wait = self.seconds if seconds is None else seconds
        self.sock.settimeout(wait)
        try:
            got = self.sock.recv(65536)
        except TimeoutError:
            raise DeadlineError(f"nothing for {wait} s after {self.buffer!r}") from None
        except ConnectionError:
            return False
        self.buffer += got
        return bool(got)

    def take(self, count: int) -> bytes:
        """Return exactly so many bytes. Raises GoneError, DeadlineError."""
        while len(self.buffer) < count:
            if not self.more():
                raise GoneError(self.buffer)
        got, self.buffer = self.buffer[:count], self.buffer[count:]
        return got

    def upto(self, end: bytes) -> bytes:
        """Return the bytes before the mark and drop the mark. Raises GoneError, DeadlineError."""
        while end not in self.buffer:
            if not self.more():
                raise GoneError(self.buffer)
        got, _, self.buffer = self.buffer.partition(end)
        return got

    def until(self, *marks: bytes) -> bytes:
        """Return everything up to now once all marks have come, or at the end of input."""
        while not all(mark in self.buffer for mark in marks) and self.more():
            pass
        got, self.buffer = self.buffer, b""
        return got

    def rest(self) -> bytes:
        """Return everything until the peer closes. Raises DeadlineError."""
        while self.more():
            pass
        got, self.buffer = self.buffer, b""
        return got

    def ended(self, *, seconds: float | None = None) -> str:
        """Say how the connection goes on: `closed`, `open` after a while, or what came."""
        try:
            alive = bool(self.buffer) or self.more(seconds=seconds)
        except DeadlineError:
            return "open"
        return f"more: {self.buffer!r}" if alive else "closed"


class Client(Connection):
    """An HTTP client's connection to a port of the loopback address."""

    def __init__(self, port: int, *, seconds: float = SECONDS) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", port), 5), seconds=seconds)

    def head(self, *, bodiless: bool = False) -> Response:
        """Read a response's head and note how its body is framed."""
        first, fields = read_fields(self.upto(b"\r\n\r\n"))
        version, status, *reason = first.split(" ", 2)
        response = Response(version, int(status), "".join(reason), fields)
        if bodiless or response.status in (204, 304) or response.status < 200:
            response.framing = "none"
        elif response.value("transfer-encoding") is not None:
            response.framing = "chunked"
        elif response.value("content-length") is not None:
            response.framing = "length"
        else:
            response.framing = "close"
        return response

    def response(self, *, bodiless: bool = False) -> Response:
        """Read a whole response; `bodiless` for an answer to HEAD."""
        response = self.head(bodiless=bodiless)
        if response.framing == "chunked":
            response.chunks.extend(self.pieces())
        elif response.framing == "length":
            response.chunks.append(self.take(int(response.value("content-length") or 0)))
        elif response.framing == "close":
            response.chunks.append(self.rest())
        return response

    def piece(self) -> bytes | None:
        """Read one chunk of a chunked body; None is its end (trailers are read and dropped)."""
        size = int(self.upto(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while self.upto(b"\r\n"):
                pass
            return None
        got = self.take(size)
        assert self.take(2) == b"\r\n"
        return got

    def chunked(self, size: int) -> bytes:
        """Read chunks until they hold so many bytes; where they are cut does not matter."""
        got = b""
        while len(got) < size:
            piece = self.piece()
            if piece is None:
                raise GoneError(got)
            got += piece
        return got

    def pieces(self) -> Iterator[bytes]:
        """Read the chunks up to the last."""
        while (got := self.piece()) is not None:
            yield got


def ask(port: int, *parts: bytes, bodiless: bool = False, seconds: float = SECONDS) -> Response:
    """Send one request on a connection of its own and return the response."""
    with Client(port, seconds=seconds) as client:
        client.send(*parts)
        return client.response(bodiless=bodiless)


# WebSocket

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
NUMBERS = {name: number for number, name in OPCODES.items()}


@dataclass
class Frame:
    """One WebSocket frame as it came."""

    kind: str
    content: bytes = b""
    fin: bool = True
    masked: bool = False

    def __str__(self) -> str:
        """Write it on one line: kind, then content; a close with code and reason."""
        more = "" if self.fin else "+"
        if self.kind == "close" and len(self.content) >= 2:
            code = int.from_bytes(self.content[:2], "big")
            return f"close {code} {shown(self.content[2:])}".rstrip()
        return f"{self.kind}{more} {shown(self.content)}".rstrip()


def shown(content: bytes) -> str:
    """Write bytes as readable ASCII on one line."""
    return content.decode("latin-1").encode("unicode_escape").decode()


def frame_bytes(
    kind: str | int,
    content: bytes | str = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masking: bool = False,
) -> bytes:
    """Write a frame; clients mask theirs."""
    data = content.encode() if isinstance(content, str) else content
    opcode = NUMBERS[kind] if isinstance(kind, str) else kind
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masking else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mask_bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, mask_bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(data))
    if not masking:
        return head + data
    mask = os.urandom(4)
    return head + mask + masked(data, mask)


def closing(code: int, reason: str = "") -> bytes:
    """Return the content of a close frame."""
    return code.to_bytes(2, "big") + reason.encode()


class Frames(Connection):
    """A connection on which WebSocket frames pass, from either side."""

    masking = False

    def put(
        self, kind: str | int, content: bytes | str = b"", *, fin: bool = True, rsv: int = 0
    ) -> None:
        """Send one frame."""
        self.send(self.frame(kind, content, fin=fin, rsv=rsv))

    def frame(
        self, kind: str | int, content: bytes | str = b"", *, fin: bool = True, rsv: int = 0
    ) -> bytes:
        """Write a frame as this side would."""
        return frame_bytes(kind, content, fin=fin, rsv=rsv, masking=self.masking)

    def get(self) -> Frame:
        """Read one frame. Raises GoneError when the peer ends the connection instead."""
        first, second = self.take(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self.take(2), "big")
        elif size == 127:
            size = int.from_bytes(self.take(8), "big")
        mask = self.take(4) if second & 0x80 else b""
        content = self.take(size)
        kind = OPCODES.get(first & 15, str(first & 15))
        return Frame(kind, masked(content, mask), bool(first & 0x80), bool(mask))

    def message(self) -> str:
        """Read one message, its fragments joined, or say `dropped` at the end of input."""
        try:
            start = self.get()
            content = start.content
            while not start.fin:
                piece = self.get()
                content, start.fin = content + piece.content, piece.fin
        except GoneError:
            return "dropped"
        return str(Frame(start.kind, content))


def masked(data: bytes, mask: bytes) -> bytes:
    """Mask or unmask; without a mask the data stay as they are."""
    if not mask or not data:
        return data
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def upgrade(target: str, host: str, *fields: str) -> bytes:
    """Write a WebSocket handshake."""
    return request(
        "GET",
        target,
        host,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *fields,
    )


class WebSocket(Frames, Client):
    """A WebSocket client. `answer` is the response to the handshake."""

    masking = True
    answer: Response

    def __init__(
        self, port: int, target: str, host: str, *fields: str, seconds: float = SECONDS
    ) -> None:
        super().__init__(port, seconds=seconds)
        try:
            self.send(upgrade(target, host, *fields))
            self.answer = self.response()
        except BaseException:
            self.close()
            raise


# Publishing


def tnetstring(value: object) -> bytes:
    """Encode bytes, text, numbers, None, lists and maps."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%b," % (len(value), value)
    if value is None:
        return b"0:~"
    if isinstance(value, bool):
        return b"4:true!" if value else b"5:false!"
    if isinstance(value, int):
        return b"%d:%d#" % (len(str(value)), value)
    if isinstance(value, Mapping):
        inner = b"".join(tnetstring(k) + tnetstring(v) for k, v in value.items())
        return b"%d:%b}" % (len(inner), inner)
    assert isinstance(value, Sequence)
    inner = b"".join(map(tnetstring, value))
    return b"%d:%b]" % (len(inner), inner)


def parsed(data: bytes) -> tuple[Any, bytes]:
    """Decode one tnetstring; text stays bytes but in keys. Returns it and what follows."""
    size, _, rest = data.partition(b":")
    inner, kind, left = rest[: int(size)], rest[int(size) : int(size) + 1], rest[int(size) + 1 :]
    simple: Mapping[bytes, Callable[[bytes], Any]] = {
        b",": bytes,
        b"#": int,
        b"^": float,
        b"!": lambda text: text == b"true",
        b"~": lambda _: None,
    }
    if kind in simple:
        return simple[kind](inner), left
    values = []
    while inner:
        value, inner = parsed(inner)
        values.append(value)
    if kind == b"]":
        return values, left
    return {k.decode(): v for k, v in zip(values[::2], values[1::2], strict=True)}, left


def envelope(item: object, how: str) -> bytes:
    """Encode an item for a ZeroMQ input: `J`, `T`, or `` for a bare tnetstring."""
    if how == "J":
        return b"J" + json.dumps(item).encode()
    return how.encode() + tnetstring(item)


class Socket:
    """A ZeroMQ socket that is connected to an endpoint and closed at the end of the `with`."""

    def __init__(self, kind: int, endpoint: str, *, seconds: float = SECONDS) -> None:
        self.zmq = zmq.Context.instance().socket(kind)
        self.zmq.linger = 2000
        self.zmq.rcvtimeo = int(seconds * 1000)
        self.zmq.connect(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.zmq.close()

    def send(self, *frames: bytes) -> None:
        self.zmq.send_multipart(frames)

    def receive(self) -> list[bytes]:
        """Return the next message. Raises DeadlineError."""
        try:
            return list(self.zmq.recv_multipart())
        except zmq.Again:
            raise DeadlineError("no ZeroMQ message") from None


def push(port: int, *messages: bytes) -> None:
    """Send messages to a PULL socket, in order."""
    with Socket(zmq.PUSH, f"tcp://127.0.0.1:{port}") as socket_:
        for message in messages:
            socket_.send(message)


def command(port: int, message: bytes) -> bytes:
    """Send one request to the command socket and return the reply's content."""
    with Socket(zmq.REQ, f"tcp://127.0.0.1:{port}") as socket_:
        socket_.send(message)
        return socket_.receive()[0]


class Publisher(Socket):
    """An XPUB socket connected to the SUB input: sees subscriptions, sends items by topic."""

    def __init__(self, port: int, *, seconds: float = SECONDS) -> None:
        super().__init__(zmq.XPUB, f"tcp://127.0.0.1:{port}", seconds=seconds)
        self.zmq.setsockopt(zmq.XPUB_VERBOSE, 1)

    def frame_about(self, channel: str) -> bytes:
        """Return the next subscription frame that names the channel, past those of others."""
        while True:
            frame = self.receive()[0]
            if frame[1:] == channel.encode():
                return frame


class Subscriptions:
    """Remembers, in a thread of its own, which subscriptions a program has sent upstream."""

    def __init__(self, port: int) -> None:
        self._seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(port,), daemon=True)
        self._thread.start()

    def saw(self, frame: bytes) -> bool:
        """Say whether this frame (01 or 00 and the channel) has ever come."""
        return frame in self._seen

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self, port: int) -> None:
        with Publisher(port, seconds=0.1) as publisher:
            while not self._over.is_set():
                try:
                    self._seen.add(publisher.receive()[0])
                except DeadlineError:
                    continue


def random_key() -> str:
    """Return a Sec-WebSocket-Key of its own."""
    return base64.b64encode(os.urandom(16)).decode()

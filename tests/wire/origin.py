"""A scripted origin: a raw socket server that keeps what it was sent and answers what it is told.

One `Origin` serves any number of `Stage`s; a request comes to the stage that owns its host, so
scenarios can share a proxy whose routes lead here and still not see each other. It runs in
threads of its own, so that tests are plain functions.
"""

import base64
import contextlib
import hashlib
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.wire.client import (
    SECONDS,
    DeadlineError,
    Field,
    Frames,
    GoneError,
    read_fields,
)

IDLE_SECONDS = 3600.0


@dataclass
class Request:
    """A request as it came: which connection brought it, its head byte for byte, its body."""

    connection: int
    head: bytes
    method: str
    target: str
    version: str
    fields: list[Field]
    body: bytes = b""
    chunked: bool = False
    complete: bool = False

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of that name, in any case of letters."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """Return the first value of that name."""
        return next(iter(self.values(name)), None)


class Wire(Frames):
    """The origin's end of one connection; scripts that need more than bytes get it."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        super().__init__(sock, seconds=SECONDS)
        self.number = number

    def head(self) -> Request | None:
        """Wait for the next request's head; None when the proxy has closed."""
        self.seconds = IDLE_SECONDS
        try:
            head = self.upto(b"\r\n\r\n")
        except (GoneError, OSError):
            return None
        finally:
            self.seconds = SECONDS
        first, fields = read_fields(head)
        method, target, version = [*first.split(" "), "", ""][:3]
        return Request(self.number, head, method, target, version, fields)

    def body(self, got: Request) -> bytes:
        """Read the body of a request by its framing into it. Raises GoneError when it is cut."""
        if "chunked" in (got.value("transfer-encoding") or ""):
            got.chunked = True
            while size := int(self.upto(b"\r\n"), 16):
                got.body += self.take(size)
                self.take(2)
            while self.upto(b"\r\n"):
                pass
        else:
            got.body = self.take(int(got.value("content-length") or 0))
        got.complete = True
        return got.body


Answer = bytes | Callable[[Request, Wire], bytes | None]


class Stage:
    """What the origin does for one scenario, and what it saw.

    `early`: answers are given as soon as the head is there, and read the body themselves.
    `forgiving`: a request that breaks off is no trouble. `spare`: a port that a route of the
    scenario leads to and that nobody has bound. `refusing`: ports that refuse connections.
    """

    def __init__(self, origin: "Origin", name: str, *hosts: str) -> None:
        self.name = name
        self.hosts = (f"{name}.test", *hosts)
        self.host = self.hosts[0]
        self.port = origin.port
        self.early = False
        self.forgiving = False
        self.spare = 0
        self.refusing: tuple[int, ...] = ()
        self.gate = threading.Event()
        self.requests: list[Request] = []
        self.troubles: list[str] = []
        self._origin = origin
        self._arrived: queue.Queue[Request] = queue.Queue()
        self._sockets: queue.Queue[Wire] = queue.Queue()
        self._scripts: dict[str, list[Answer]] = {}
        self._playing: set[Wire] = set()
        self._lock = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        self._origin.open(self)
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of whatever still plays; connections that are idle stay with the proxy."""
        self._origin.close(self)
        with self._lock:
            self._over = True
            for wire in self._playing:
                with contextlib.suppress(OSError):
                    wire.sock.shutdown(socket.SHUT_RDWR)
        self.gate.set()

    # What a scenario says

    def answer(self, *answers: Answer, at: str = "") -> None:
        """Give the answers in turn to requests of the path `at` (default ""); the last repeats.

        An answer is the bytes to send, or a function of the request and the connection that
        returns bytes, or None when it has said everything itself.
        """
        self._scripts[at] = list(answers)

    def late(self, answer: bytes) -> Answer:
        """Return an answer that is sent when `gate` is set."""

        def wait(_: Request, __: Wire) -> bytes:
            self.gate.wait(30)
            return answer

        return wait

    def opening(self, *fields: str) -> Answer:
        """Return an answer that accepts a WebSocket; `socket` then returns its connection."""

        def accept(got: Request, wire: Wire) -> None:
            wire.send(accepting(got, *fields))
            self._sockets.put(wire)
            self.gate.wait(60)
            raise GoneError(b"")

        return accept

    def channel(self, name: str) -> str:
        """Return a channel name that only this scenario uses."""
        return f"{self.name}-{name}"

    # What a scenario asks

    def request(self, *, seconds: float = SECONDS) -> Request:
        """Return the next request that was not asked for yet. Raises DeadlineError."""
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            raise DeadlineError(f"no request within {seconds} s") from None

    def socket(self, *, seconds: float = SECONDS) -> Wire:
        """Return the next WebSocket that the origin has accepted. Raises DeadlineError."""
        try:
            return self._sockets.get(timeout=seconds)
        except queue.Empty:
            raise DeadlineError(f"no WebSocket within {seconds} s") from None

    def quiet(self, *, seconds: float = 0.0) -> bool:
        """Say whether no request is left that was not asked for."""
        try:
            self._arrived.put(self._arrived.get(timeout=seconds or 0.001))
        except queue.Empty:
            return True
        return False

    def idle(self) -> bool:
        """Say whether every request that has come is answered."""
        with self._lock:
            return not self._playing

    # What the origin does

    def play(self, got: Request, wire: Wire) -> bool:
        """Answer a request; False if the connection cannot be used again."""
        with self._lock:
            if self._over:
                return False
            self._playing.add(wire)
        try:
            self._take(got, wire)
        except (GoneError, OSError, DeadlineError) as error:
            if not (self._over or self.forgiving):
                self.troubles.append(f"{got.method} {got.target}: {error}")
            return False
        finally:
            with self._lock:
                self._playing.discard(wire)
        return True

    def _take(self, got: Request, wire: Wire) -> None:
        self.requests.append(got)
        if self.early:
            self._arrived.put(got)
        else:
            try:
                wire.body(got)
            finally:
                self._arrived.put(got)
        answer = self._next(got)
        reply = answer if isinstance(answer, bytes) else answer(got, wire)
        if reply is not None:
            wire.send(reply)

    def _next(self, got: Request) -> Answer:
        path = got.target.partition("?")[0]
        with self._lock:
            script = self._scripts.get(path) or self._scripts.get("") or [reply("404 Not Found")]
            return script.pop(0) if len(script) > 1 else script[0]


@dataclass
class Origin:
    """The listening socket and its threads."""

    port: int = 0
    strays: list[Request] = field(default_factory=list)
    _stages: dict[str, Stage] = field(default_factory=dict)
    _wires: set[Wire] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for wire in list(self._wires):
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()

    def stage(self, name: str, *hosts: str) -> Stage:
        """Return a stage for the host `NAME.test` and others; it begins with its `with`."""
        return Stage(self, name, *hosts)

    def open(self, stage: Stage) -> None:
        """Send requests for the stage's hosts to it from now on."""
        for host in stage.hosts:
            self._stages[host] = stage

    def close(self, stage: Stage) -> None:
        """Send it no more requests."""
        for host in stage.hosts:
            self._stages.pop(host, None)

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            number += 1
            wire = Wire(sock, number)
            self._wires.add(wire)
            thread = threading.Thread(target=self._serve, args=(wire,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, wire: Wire) -> None:
        with wire:
            going = True
            while going and (got := wire.head()) is not None:
                host = (got.value("host") or "").lower().partition(":")[0]
                stage = self._stages.get(host)
                if stage is None:
                    self.strays.append(got)
                    return
                going = stage.play(got, wire)
        self._wires.discard(wire)


class Refusing:
    """A port of the loopback address that is taken and refuses every connection."""

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


# Answers


def reply(status: str = "200 OK", *fields: str, body: bytes | str = b"") -> bytes:
    """Write a response; it gets a Content-Length unless a field frames it or it has no body."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", *fields]
    framed = any(f.lower().startswith(("content-length:", "transfer-encoding:")) for f in fields)
    if not framed and status[:3] not in ("204", "304"):
        lines.append(f"Content-Length: {len(content)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + content


def chunks(*pieces: bytes, last: bool = True) -> bytes:
    """Write pieces as chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return body + b"0\r\n\r\n" if last else body


def text(*fields: str, body: bytes | str = b"", status: str = "200 OK") -> bytes:
    """Write a plain text response; GRIP fields go among the fields."""
    return reply(status, "Content-Type: text/plain", *fields, body=body)


def ending(answer: bytes) -> Answer:
    """Send the answer, then end the connection."""

    def send(_: Request, wire: Wire) -> None:
        wire.send(answer)
        wire.sock.shutdown(socket.SHUT_RDWR)

    return send


def breaking(answer: bytes = b"") -> Answer:
    """Send the answer or a part of one, then reset the connection."""

    def send(_: Request, wire: Wire) -> None:
        if answer:
            wire.send(answer)
        wire.reset()

    return send


# WebSocket


def accepting(got: Request, *fields: str) -> bytes:
    """Write the 101 that fits the request's key."""
    key = (got.value("sec-websocket-key") or "").encode()
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *fields,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def events(*named: str | tuple[str, bytes | str], fields: Sequence[str] = ()) -> bytes:
    """Write a WebSocket-over-HTTP response with these events."""
    return reply(
        "200 OK",
        "Content-Type: application/websocket-events",
        *fields,
        body=b"".join(event(*(e if isinstance(e, tuple) else (e,))) for e in named),
    )


def event(name: str, content: bytes | str | None = None) -> bytes:
    """Write one event."""
    if content is None:
        return name.encode() + b"\r\n"
    data = content.encode() if isinstance(content, str) else content
    return b"%b %x\r\n%b\r\n" % (name.encode(), len(data), data)

"""The ZeroMQ inputs: items by PULL and SUB, commands by REP (publishing.md 5, 6).

The sockets are read from the loop, with no thread and no future of ours in between
(data-plane.md 5). What a peer sends wrongly is dropped with a warning, or, where a client
waits for it, answered; it never stops the others.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import zmq

from gripproxy.control.commands import Commands
from gripproxy.engine.metrics import Metrics
from gripproxy.errors import (
    CommandError,
    CommandPacketError,
    ConfigError,
    ItemError,
    ListenError,
    PacketError,
)
from gripproxy.flow.ports import Intake, Tasks
from gripproxy.protocol import packets
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.packets import CommandRequest

# How many messages are read from a socket before others get their turn (publishing.md 5.1).
BATCH = 100
# How many may wait in a socket for being read. Pushpin's number.
RECEIVE_HWM = 101_000
# How many commands may be under way; more wait in the socket.
COMMANDS_MAX = 100

# Finds publishers that are gone without a word: after a minute (publishing.md 5.2).
_KEEPALIVE = {
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 30,
    zmq.TCP_KEEPALIVE_CNT: 6,
    zmq.TCP_KEEPALIVE_INTVL: 5,
}

_PULL = "[handler] push_in_spec"
_SUB = "[handler] push_in_sub_specs"
_COMMAND = "[handler] command_spec"

# What metrics call the inputs of items.
_SOURCES = {"IN pull": "pull", "IN sub": "sub"}

Warn = Callable[[str, str], None]
Part = TypeVar("Part")
Socket = zmq.Socket[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the inputs are, as the configuration has it, ports moved by `port_offset`.

    An empty spec is an input that is not wanted. `ipc_file_mode` is for bound `ipc://` files.
    """

    pull: str = ""
    sub: tuple[str, ...] = ()
    sub_connect: bool = False
    command: str = ""
    ipc_file_mode: int | None = None

    def uris(self) -> dict[str, str]:
        """Return what the command `get-zmq-uris` tells."""
        bound_sub = self.sub[0] if self.sub and not self.sub_connect else ""
        uris = {"command": self.command, "publish-pull": self.pull, "publish-sub": bound_sub}
        return {name: uri for name, uri in uris.items() if uri}


class Inputs:
    """The sockets of one instance. `warn` takes a key, by which it throttles, and a text."""

    def __init__(
        self,
        endpoints: Endpoints,
        intake: Intake,
        *,
        tasks: Tasks,
        warn: Warn,
        metrics: Metrics | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._intake = intake
        self._metrics = metrics
        self._commands = Commands(intake, endpoints.uris(), metrics=metrics)
        self._tasks = tasks
        self._warn = warn
        self._context = zmq.Context()
        self._readers: list[_Reader[bytes] | _Reader[zmq.Frame]] = []
        self._sub: _Reader[bytes] | None = None
        self._router: _Reader[zmq.Frame]
        self._running = 0
        self._files: dict[Path, int] = {}

    def __repr__(self) -> str:
        names = ", ".join(self._endpoints.uris())
        return f"<Inputs {names or 'none'} commands={self._running}>"

    # Opening and closing

    def open(self) -> None:
        """Open the sockets that are wanted and begin to read.

        Raises:
            ListenError: an endpoint cannot be bound. Nothing is left open then.
            ConfigError: one cannot be connected to.
        """
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        endpoints = self._endpoints
        if endpoints.pull:
            pull = self._socket(zmq.PULL, [endpoints.pull])
            self._bind(pull, endpoints.pull, _PULL)
            self._read_items(pull, "IN pull", 1)
        if endpoints.sub:
            sub = self._socket(zmq.SUB, endpoints.sub)
            self._open_sub(sub)
            self._sub = self._read_items(sub, "IN sub", 2)
        if endpoints.command:
            router = self._socket(zmq.ROUTER, [endpoints.command])
            self._bind(router, endpoints.command, _COMMAND)
            self._read_commands(router)

    def _socket(self, kind: int, specs: Sequence[str]) -> Socket:
        socket = self._context.socket(kind)
        if kind != zmq.ROUTER:
            socket.setsockopt(zmq.RCVHWM, RECEIVE_HWM)
        # With it `*` would be all IPv6 addresses, too.
        if any("[" in spec for spec in specs):
            socket.setsockopt(zmq.IPV6, 1)
        return socket

    def _open_sub(self, socket: Socket) -> None:
        first, *others = self._endpoints.sub
        if not self._endpoints.sub_connect:
            self._bind(socket, first, _SUB)
            if others:
                self._warn(_SUB, f"{_SUB}: only {first} is bound, not {', '.join(others)}")
            return
        for option, value in _KEEPALIVE.items():
            socket.setsockopt(option, value)
        for spec in self._endpoints.sub:
            try:
                socket.connect(spec)
            except zmq.ZMQError as error:
                raise ConfigError(_SUB, f"cannot connect to {spec}: {_reason(error)}") from error

    def _bind(self, socket: Socket, spec: str, option: str) -> None:
        try:
            socket.bind(spec)
        except zmq.ZMQError as error:
            key = option.replace("[", "").replace("] ", ".")
            taken = error.errno == errno.EADDRINUSE
            fix = f"set another with --set {key}=ENDPOINT" if taken else ""
            raise ListenError(option, spec, _reason(error), fix) from error
        # A path that begins with `@` is no file.
        if spec.startswith("ipc://") and not spec.startswith("ipc://@"):
            try:
                self._own_file(Path(spec.removeprefix("ipc://")))
            except OSError as error:
                reason = f"unable to set permissions: {_reason(error)}"
                raise ListenError(option, spec, reason) from error

    def _own_file(self, path: Path) -> None:
        self._files[path] = path.stat().st_ino
        if self._endpoints.ipc_file_mode is not None:
            path.chmod(self._endpoints.ipc_file_mode)

    def _read_items(self, socket: Socket, name: str, parts: int) -> "_Reader[bytes]":
        receive = partial(socket.recv_multipart, zmq.NOBLOCK)
        reader = _Reader(socket, receive, partial(self._take, name, parts))
        self._readers.append(reader)
        return reader

    def _read_commands(self, socket: Socket) -> None:
        def receive() -> list[zmq.Frame]:
            # Frames know what kind of socket they come from.
            return socket.recv_multipart(zmq.NOBLOCK, copy=False)

        self._router = _Reader(socket, receive, self._take_commands)
        self._readers.append(self._router)

    def close(self) -> None:
        """Close all sockets; commands that are under way are not answered any more."""
        self._sub = None
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.close()
        self._context.destroy(linger=0)
        # The library leaves the files; one that has been bound anew since is not ours any more.
        for path, number in self._files.items():
            if path.exists() and path.stat().st_ino == number:
                path.unlink()
        self._files.clear()

    # Subscriptions

    def subscribe(self, channel: str) -> None:
        """Ask the publishers on the SUB socket for a channel: it has got its first holder."""
        self._set_topic(zmq.SUBSCRIBE, channel)

    def unsubscribe(self, channel: str) -> None:
        """Ask them for it no more."""
        self._set_topic(zmq.UNSUBSCRIBE, channel)

    def _set_topic(self, option: int, channel: str) -> None:
        if self._sub is not None:
            self._sub.socket.setsockopt(option, channel.encode("utf-8", "surrogateescape"))
            self._sub.look()

    # Items

    def _take(self, name: str, parts: int, messages: list[list[bytes]]) -> None:
        """Hand over the items of a batch of messages; the last part of each is the item."""
        found: list[PublishItem] = []
        for frames in messages:
            if len(frames) != parts:
                self._refuse(name, "parts", f"received message with parts != {parts}")
                continue
            topic = frames[0] if parts > 1 else None
            try:
                found.append(packets.decode_item(frames[-1], topic=topic))
            except PacketError as error:
                self._refuse(name, "packet", error.text)
            except ItemError as error:
                text = f"received message with invalid format: {error.text}"
                self._refuse(name, "item", text)
        if found:
            if self._metrics is not None:
                self._metrics.published(_SOURCES[name], len(found))
            self._intake.take(found)

    def _refuse(self, name: str, reason: str, text: str) -> None:
        self._warn(name, f"{name}: {text}, skipping")
        if self._metrics is not None:
            self._metrics.refused(_SOURCES[name], reason)

    # Commands

    def _take_commands(self, messages: list[list[zmq.Frame]]) -> None:
        for frames in messages:
            envelope, content = _split(frames)
            try:
                request = _request(envelope, content)
            except CommandPacketError as error:
                self._warn("zrpc server", f"zrpc server: {error.text}, skipping")
                # A REQ client waits until it is answered, and has one request to wait for.
                if error.request_id is not None or frames[-1].get("Socket-Type") == "REQ":
                    reply = packets.encode_failure(error.request_id, "bad-format")
                    self._router.send(envelope, reply)
                continue
            self._running += 1
            if self._running == COMMANDS_MAX:
                self._router.pause()
            self._tasks.start(self._run(envelope, request), name=f"command {request.method}")

    async def _run(self, envelope: list[bytes], request: CommandRequest) -> None:
        try:
            reply = packets.encode_reply(request.id, await self._commands.run(request))
        except CommandError as error:
            reply = packets.encode_failure(request.id, error.condition, error.value)
        finally:
            if self._running == COMMANDS_MAX:
                self._router.resume()
            self._running -= 1
        self._router.send(envelope, reply)


class _Reader(Generic[Part]):
    """Reads one socket in batches, when the loop says that something has come.

    The descriptor says so only once for any number of messages, and any use of the socket may
    swallow that word. So a batch ends when the socket is empty, or it is followed by another
    one; and whoever uses the socket for something else has it looked at afterwards.
    """

    __slots__ = ("_again", "_loop", "_paused", "_receive", "_take", "socket")

    def __init__(
        self,
        socket: Socket,
        receive: Callable[[], list[Part]],
        take: Callable[[list[list[Part]]], None],
    ) -> None:
        self.socket = socket
        self._receive = receive
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.Handle | None = None
        self._paused = True
        self.resume()

    def look(self) -> None:
        """Read in the loop's next turn, whether or not the descriptor speaks."""
        if self._again is None and not self._paused and not self.socket.closed:
            self._again = self._loop.call_soon(self._drain)

    def _readable(self) -> None:
        # A batch that is on its way already will see it.
        if self._again is None:
            self._drain()

    def _drain(self) -> None:
        self._again = None
        messages: list[list[Part]] = []
        receive = self._receive
        try:
            while len(messages) < BATCH:
                messages.append(receive())
        except zmq.Again:
            pass
        else:
            # Before the batch is taken: a bug there must not make this socket deaf.
            self.look()
        if messages:
            self._take(messages)

    def send(self, envelope: list[bytes], reply: bytes) -> None:
        """Send a reply, if there is still somebody to send it to."""
        if not self.socket.closed:
            self.socket.send_multipart([*envelope, reply], zmq.NOBLOCK)
            self.look()

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        self._paused = True
        self._loop.remove_reader(self.socket.FD)
        self._forget()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self.socket.closed:
            self._paused = False
            self._loop.add_reader(self.socket.FD, self._readable)
            self.look()

    def close(self) -> None:
        """Close the socket."""
        if not self._paused:
            self.pause()
        self.socket.close(linger=0)

    def _forget(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None


def _split(frames: list[zmq.Frame]) -> tuple[list[bytes], list[bytes]]:
    """Split what a ROUTER gives: the way back, up to an empty frame if there is one; the rest.

    Proxies in between, and REQ sockets that correlate, make the way longer.
    """
    parts = [frame.bytes for frame in frames]
    end = parts.index(b"", 1) if b"" in parts[1:] else 0
    return parts[: end + 1], parts[end + 1 :]


def _request(envelope: list[bytes], content: list[bytes]) -> CommandRequest:
    """Return the command of a message.

    Raises:
        CommandPacketError: not one frame behind an empty one, or no command in it.
    """
    if len(content) == 1 and not envelope[-1]:
        return packets.decode_command(content[0])
    request_id: bytes | None = None
    if content:
        try:
            request_id = packets.decode_command(content[0]).id
        except CommandPacketError as error:
            request_id = error.request_id
    raise CommandPacketError("received message with parts != 1", request_id)


def _reason(error: OSError | zmq.ZMQError) -> str:
    """Return what the system says, as part of a sentence."""
    text = zmq.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]

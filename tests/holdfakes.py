"""Fakes for what is held over HTTP, and a loop whose time costs none.

`tests/test_holdfakes.py` holds them to what the edges promise.
"""

import asyncio
import contextlib
import dataclasses
import functools
import selectors

from gripproxy.engine.channels import Kind
from gripproxy.engine.ports import Framing, Wake
from gripproxy.errors import ExchangeError
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from tests.fakes import FakeExchange


def a_route(**options) -> Route:
    """Make a route to one target."""
    options.setdefault("id", "r")
    target = Target(kind="tcp", host="origin", port=80, subs=options.pop("subs", ()))
    return Route(targets=(target,), domain="*", **options)


def a_request(target: str = "/", **options) -> Request:
    """Make a client's request."""
    options.setdefault("method", b"GET")
    options.setdefault("headers", Headers())
    return Request(target=target.encode(), authority=b"proxy", **options)


def dechunked(written: bytes) -> tuple[list[bytes], bool]:
    """Return the chunks of a chunked body, and whether its end is there."""
    chunks = []
    while written:
        size, _, rest = written.partition(b"\r\n")
        length = int(size, 16)
        content, end, written = rest[:length], rest[length : length + 2], rest[length + 2 :]
        assert end == b"\r\n"
        if length == 0:
            assert written == b"", "something follows the last chunk"
            return chunks, True
        chunks.append(content)
    return chunks, False


class FakeSink:
    """A held client: `engine.ports.Sink`."""

    def __init__(self, framing: Framing = Framing.CHUNKED) -> None:
        self.framing = framing
        self.blocked = False
        self.waiting = 0
        self.written = bytearray()
        self.writes = 0
        self.ended = False
        self.was_cut = False
        self.finished: Response | None = None
        self.wakes: list[Wake] = []

    def write(self, data: bytes) -> None:
        assert not self.ended, "a write after the end"
        self.writes += 1
        self.written += data

    def pending(self) -> int:
        return self.waiting

    def end(self) -> None:
        assert not self.ended, "two ends"
        self.ended = True

    def finish(self, response: Response) -> None:
        assert self.finished is None, "two answers"
        self.finished = response

    def cut(self) -> None:
        self.was_cut = True

    def wake(self, reason: Wake) -> None:
        self.wakes.append(reason)

    def heard(self) -> list[str]:
        """Return what the client has got since the last time: its chunks, or all as one."""
        written, self.written = bytes(self.written), bytearray()
        if self.framing is Framing.RAW:
            return [written.decode()] if written else []
        chunks, _ = dechunked(written)
        return [chunk.decode() for chunk in chunks]


class FakeHolder:
    """Whatever is subscribed: keeps what it gets."""

    def __init__(self, kind: Kind = Kind.STREAM, route: Route | None = None) -> None:
        self.kind = kind
        self.route = route or a_route()
        self.items: list[str] = []
        self.updates: list[float] = []
        self.log = self.items

    def deliver(self, delivery, now: float) -> None:
        self.log.append(delivery.id)

    def update(self, now: float) -> None:
        self.updates.append(now)


class FakeSource:
    """A body that comes when a test says so: `protocol.messages.Source`."""

    def __init__(self, *pieces: bytes | str, whole: bool = False) -> None:
        self.abandoned = False
        self.paused = False
        self.receiver = None
        self._pieces = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        self._whole = whole

    def start(self, receiver) -> None:
        self.receiver = receiver
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            receiver.body_piece(piece)
        if self._whole:
            self.end()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abandon(self) -> None:
        self.abandoned = True

    # What the origin does

    def piece(self, piece: bytes | str) -> None:
        self.receiver.body_piece(piece.encode() if isinstance(piece, str) else piece)

    def end(self) -> None:
        self.receiver.body_end(None)

    def fail(self) -> None:
        self.receiver.body_failed(ExchangeError("http_response_incomplete", "broke off"))


class HeldExchange(FakeExchange):
    """A client's request over HTTP, that may be held: `flow.ports.Exchange`."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.begun: Response | None = None
        self.finished: Response | None = None
        self.was_cut = False
        self.waiting = 0
        self.half_closed = False
        self.interims: list[int] = []
        self.written = bytearray()  # of the body of a stream
        self.task: asyncio.Task | None = None
        self._relay = None
        self._source = None

    # As an exchange

    async def answer(self, response: Response) -> bool:
        await super().answer(response)
        if not isinstance(response.body, bytes):
            self.framing = Framing.RAW
            whole = await self.relay(response.body)
            self.answered = dataclasses.replace(response, body=bytes(self.written))
            return whole and not self.gone
        return not self.gone

    def begin(self, response: Response) -> bool:
        assert isinstance(response.body, bytes)
        self.begun = response
        if self.request.method == b"HEAD" or response.status in (204, 304):
            return False
        if self.request.version == 0:
            self.framing = Framing.RAW
        self.body_piece(response.body)
        return True

    async def relay(self, body) -> bool:
        self._source = body
        self._relay = asyncio.get_running_loop().create_future()
        try:
            if self.blocked:
                body.pause()
            body.start(self)
            return await self._relay
        except asyncio.CancelledError:
            body.abandon()
            raise
        finally:
            self._relay = self._source = None

    def park(self, held, resume) -> None:
        super().park(held, resume)
        if self.gone or self.half_closed:
            self.ended = True
            held.gone(1000.0)

    def interim(self, status, reason, headers) -> None:
        self.interims.append(status)

    # As the receiver of a relayed body

    def body_piece(self, piece: bytes) -> None:
        assert not self.ended, "a piece after the end"
        if piece and self.framing is Framing.CHUNKED:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self.written += piece

    def body_end(self, trailers) -> None:
        self._settle(whole=True)

    def body_failed(self, error) -> None:
        self._settle(whole=False)

    def _settle(self, *, whole: bool) -> None:
        if self._relay is not None and not self._relay.done():
            self._relay.set_result(whole)

    # As a sink

    def write(self, data: bytes) -> None:
        assert not self.ended, "a write after the end"
        self.written += data

    def pending(self) -> int:
        return self.waiting

    def end(self) -> None:
        if self.framing is Framing.CHUNKED:
            self.write(b"0\r\n\r\n")
        super().end()

    def finish(self, response: Response) -> None:
        self.finished = response
        super().end()

    def cut(self) -> None:
        self.was_cut = True
        self.gone = True

    # What the client does

    def leave(self, now: float = 1000.0) -> None:
        """Let the client close its connection."""
        self.gone = True
        self._settle(whole=False)
        if self.held is not None:
            super().end()
            self.held.gone(now)
        if self.task is not None and self.begun is None and self.answered is None:
            self.task.cancel()

    def stall(self) -> None:
        """Let the client read nothing more."""
        self.blocked = True
        if self._source is not None:
            self._source.pause()

    def read_on(self, now: float = 1000.0) -> None:
        """Let the client read again."""
        self.blocked = False
        self.waiting = 0
        if self._source is not None:
            self._source.resume()
        if self.held is not None:
            self.held.writable(now)

    def heard(self) -> list[str]:
        """Return what came of a stream since the last time, by chunks; `END` behind its end."""
        written, self.written = bytes(self.written), bytearray()
        if self.framing is not Framing.CHUNKED:
            return [written.decode(), *(["END"] if self.ended else [])]
        chunks, ended = dechunked(written)
        return [chunk.decode() for chunk in chunks] + (["END"] if ended else [])


# Time


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, lets time go on."""

    now = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("all wait for something that nobody will do")
            self.now += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop without anything outside: when all wait for a time, it has come."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class LoopClock:
    """The running loop's time: `flow.ports.Clock`."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now()


class LoopTasks:
    """Tasks of the running loop: `flow.ports.Tasks`."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.running: set[asyncio.Task] = set()

    def start(self, story, *, name: str) -> asyncio.Task:
        self.names.append(name)
        task = asyncio.get_running_loop().create_task(story)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task


def in_virtual_time(test):
    """Run a test on a loop whose time goes by at once."""

    async def whole(*args, **kwargs):
        try:
            await test(*args, **kwargs)
        finally:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

    @functools.wraps(test)
    def run(*args, **kwargs):
        loop = VirtualLoop()
        task = loop.create_task(whole(*args, **kwargs))
        try:
            loop.run_until_complete(task)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                loop.run_until_complete(task)
            loop.close()

    return run

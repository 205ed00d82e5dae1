"""Fakes of ports: what an edge does, without sockets, and what it was told, to be looked at.

`tests/test_fakes.py` holds them to what the edges promise.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gripproxy.engine.channels import Channels
from gripproxy.engine.endpoint import Endpoint
from gripproxy.engine.hub import Hub
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.ports import Framing, Wake
from gripproxy.protocol import wsframes
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.wsframes import Decoder, Role
from gripproxy.protocol.wshandshake import Agreed

NAMES = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


class FakeClock:
    """Two times that stand still until they are told to go on."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.seconds = 1_700_000_000.0

    def now(self) -> float:
        return self.monotonic

    def wall(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> float:
        self.monotonic += seconds
        self.seconds += seconds
        return self.monotonic


class FakeNotices:
    """Keeps what the engine has to say."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.last: list[str] = []
        self.drops: list[tuple[str, str]] = []
        self.waited_in_vain = 0
        self.kept: list[tuple[int, int]] = []
        self.failures: list[tuple[str, str]] = []
        self.odd: list[str] = []
        self.excess: list[int] = []

    def first_subscriber(self, channel: str) -> None:
        self.first.append(channel)

    def last_subscriber(self, channel: str) -> None:
        self.last.append(channel)

    def kept_alive(self, route, kind: int, size: int) -> None:
        self.kept.append((kind, size))

    def dropped(self, channel: str, reason: str) -> None:
        self.drops.append((channel, reason))

    def closed(self, count: int) -> None:
        self.waited_in_vain += count

    def filter_failed(self, route, channel: str, text: str) -> None:
        self.failures.append((channel, text))

    def odd_content(self, route, text: str) -> None:
        self.odd.append(text)

    def failed(self, error: Exception) -> None:
        raise error

    def exceeded(self, route, count: int) -> None:
        self.excess.append(count)


class FakeNetwork:
    """Keeps the questions of filters; `answer` answers the oldest."""

    def __init__(self) -> None:
        self.questions = deque()

    def ask(self, holder, delivery, halted, done) -> None:
        self.questions.append((holder, halted, done))

    def answer(self, answer, now: float) -> None:
        self.questions.popleft()[2](answer, now)


def make_hub(notices: FakeNotices | None = None, **options) -> Hub:
    """Make a hub whose random number is 0 unless `random` says otherwise."""
    notices = notices or FakeNotices()
    options.setdefault("random", lambda: 0.0)
    hub = Hub(Channels(notices), LastIds(), notices, **options)
    hub.network = FakeNetwork()
    return hub


class FakeTransport:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.reading = True
        self.waiting = 0

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.waiting


class FakeSocket(Endpoint):
    """One side of a WebSocket on a fake transport, and the peer at its other end."""

    __slots__ = ("_peer", "failed", "now", "role")

    def __init__(self, role: Role = Role.CLIENT, *, deflate=None) -> None:
        self.role = role  # whose frames come in
        super().__init__(FakeTransport(), b"", deflate)
        self.failed = False
        self.now = 1000.0
        ours = Role.ORIGIN if role is Role.CLIENT else Role.CLIENT
        self._peer = Decoder(ours, max_message=None, deflate=deflate)

    def mask(self) -> bytes | None:
        return b"mask" if self.role is Role.ORIGIN else None

    def end_soon(self) -> None:
        self.failed = True
        self.transport.close()

    # The peer

    def says(self, opcode: int, payload: bytes | str = b"", **how) -> None:
        """Let the peer send a frame."""
        if isinstance(payload, str):
            payload = payload.encode()
        mask = b"abcd" if self.role is Role.CLIENT else None
        self.received(wsframes.encode(opcode, payload, mask=mask, **how), self.now)

    def text(self, payload: str) -> None:
        self.says(wsframes.TEXT, payload)

    def closes(self, code: int | None = 1000, reason: str = "") -> None:
        """Let the peer send a close frame."""
        payload = b"" if code is None else wsframes.close_payload(code, reason)
        self.says(wsframes.CLOSE, payload)

    def vanishes(self) -> None:
        """Let the connection be lost."""
        self.transport.close()
        self.lost(self.now)

    def stalls(self, waiting: int = 100_000) -> None:
        """Let the peer read nothing, so that bytes wait in the connection."""
        self.transport.waiting = waiting
        self.blocked = True

    def reads_on(self) -> None:
        """Let the peer take what waits."""
        self.transport.waiting = 0
        self.writable(self.now)

    def heard(self) -> list:
        """Return what the peer has got since the last time, made readable.

        A message is (kind, payload); a piece of one has "+" behind its kind if more is to come,
        and before it if something came before. A close is ("close", code, reason).
        """
        written, self.transport.written = bytes(self.transport.written), bytearray()
        found = []
        for opcode, payload, first, last in self._peer.feed(written):
            kind = NAMES[opcode]
            if opcode == wsframes.CLOSE:
                found.append((kind, *wsframes.read_close(payload)))
            else:
                kind = f"{'' if first else '+'}{kind}{'' if last else '+'}"
                found.append((kind, payload.decode("latin-1")))
        assert self._peer.error is None
        return found


class FakeClient(FakeSocket):
    """A client's socket: `engine.ports.ClientSocket`."""

    __slots__ = ("pings", "touched", "whole")

    def __init__(self, *, deflate=None) -> None:
        super().__init__(Role.CLIENT, deflate=deflate)
        self.touched = 0.0
        self.pings = True
        self.whole = None

    @property
    def deflates(self) -> bool:
        return self.deflate is not None

    def attach(self, receiver, *, whole: bool) -> None:
        self.whole = whole
        self.take_receiver(receiver, max_message=1_000_000 if whole else None, now=self.now)


class FakeOriginSocket(FakeSocket):
    """An origin's socket: `flow.ports.OriginSocket`."""

    __slots__ = ("agreed", "response")

    def __init__(self, response: Response, agreed: Agreed) -> None:
        super().__init__(Role.ORIGIN)
        self.response = response
        self.agreed = agreed

    def attach(self, receiver, now: float) -> None:
        self.take_receiver(receiver, max_message=None, now=now)


class FakeExchange:
    """A client's request, and what it is answered with: `flow.ports.Exchange`.

    `run` does what the task of a connection does.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.framing = Framing.CHUNKED
        self.blocked = False
        self.sent = 0
        self.shielded = False
        self.gone = False
        self.answered: Response | None = None
        self.upgraded: Response | None = None
        self.client = FakeClient()
        self.held = None
        self.ended = False
        self.over = False  # the task has ended
        self._resume = None
        self._waking: Wake | None = None
        self._bell = asyncio.Event()

    async def run(self, serve: Callable[["FakeExchange"], Awaitable[None]]) -> None:
        """Serve this request until it is over."""
        try:
            await serve(self)
            while self.held is not None:
                while self._waking is None and not self.ended:
                    self._bell.clear()
                    await self._bell.wait()
                reason, self._waking = self._waking, None
                if self.ended:
                    self.held = None
                else:
                    await self._resume(self, self.held, reason)
        finally:
            self.over = True

    async def answer(self, response: Response) -> None:
        self.held = None
        self.answered = response

    def upgrade(self, response: Response) -> FakeClient:
        self.upgraded = response
        if self.gone:
            self.client.transport.close()
        return self.client

    def park(self, held, resume) -> None:
        self.held = held
        self._resume = resume
        self.ended = False

    def wake(self, reason: Wake) -> None:
        self._waking = reason
        self._bell.set()

    def end(self) -> None:
        self.ended = True
        self._bell.set()


class FakeOrigin:
    """An origin that keeps requests, and answers when a test says so: `flow.ports.Origin`.

    What `scripted` holds is the answer to each next request at once: a response, an exception, or
    an `OriginSocket`.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[Request, object]] = []
        self.scripted = deque()
        self._waiting = deque()

    async def send(self, request: Request, target, interim=None):
        return await self._outcome(request, target)

    async def connect(self, request: Request, target):
        return await self._outcome(request, target)

    async def _outcome(self, request: Request, target):
        self.requests.append((request, target))
        if self.scripted:
            outcome = self.scripted.popleft()
        else:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            outcome = await waiting
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def answer(self, outcome) -> None:
        """Answer the oldest request that waits."""
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(outcome)

    @property
    def in_flight(self) -> int:
        """How many requests wait for an answer."""
        return sum(not waiting.done() for waiting in self._waiting)


def fields_of(request: Request) -> list[tuple[str, str]]:
    """Return all fields that a request is sent with."""
    lines = (request.prefix + request.headers.encode()).decode("latin-1").split("\r\n")
    return [tuple(line.split(": ", 1)) for line in lines if line]


def fields(*lines: str) -> Headers:
    """Make headers of lines."""
    pairs = [line.encode().split(b":", 1) for line in lines]
    return Headers([(name, value.strip()) for name, value in pairs])


async def settle() -> None:
    """Let everything run that can run without time or another call."""
    for _ in range(20):
        await asyncio.sleep(0)

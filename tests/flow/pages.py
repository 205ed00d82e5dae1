"""Fakes for SockJS: the requests of a page, the session of a WebSocket, tasks."""

import asyncio

from gripproxy.protocol.messages import Request
from tests.fakes import FakeClock, FakeExchange, fields, make_hub


class PageExchange(FakeExchange):
    """A request of a page. `leaves` is what a connection tells when its client has gone."""

    async def answer(self, response) -> bool:
        await super().answer(response)
        whole = not self.gone
        if not isinstance(response.body, bytes):
            whole = await response.body.read(self)
        return whole

    def finish(self, response) -> None:
        assert self.answered is None
        self.answered = response
        self.end()

    def leaves(self, now: float = 0.0) -> None:
        self.gone = True
        held = self.held
        self.end()
        if held is not None:
            held.gone(now)

    @property
    def said(self):
        """The status and the body of the answer, None while there is none."""
        if self.answered is None:
            return None
        return self.answered.status, self.answered.body


class Streamed:
    """A refusal's body that comes when the test says so."""

    def __init__(self) -> None:
        self.abandoned = False
        self.whole = asyncio.get_running_loop().create_future()

    async def read(self, exchange) -> bool:
        exchange.sent = 5
        return await self.whole

    def abandon(self) -> None:
        self.abandoned = True


class Hearing:
    """The session of a WebSocket: keeps what it is told."""

    def __init__(self) -> None:
        self.heard = []

    def socket_message(self, piece, now) -> None:
        self.heard.append(piece[1].decode() if piece[0] == 1 else piece[:2])

    def socket_close(self, code, reason, now) -> None:
        self.heard.append(("close", code, reason))

    def socket_lost(self, error, now) -> None:
        self.heard.append(("lost", error and error.code))

    def socket_writable(self, now) -> None:
        self.heard.append("writable")


class FakeTasks:
    """Owns tasks: what they raised comes out of `settled`."""

    def __init__(self) -> None:
        self.started = []

    def start(self, story, *, name):
        task = asyncio.get_running_loop().create_task(story, name=name)
        self.started.append(task)
        return task

    @property
    def running(self) -> int:
        return sum(not task.done() for task in self.started)

    def settled(self) -> None:
        """Raise what a task has raised."""
        for task in self.started:
            if task.done() and not task.cancelled():
                task.result()


class Time:
    """A clock, and the hub that calls back by it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.hub = make_hub()

    @property
    def now(self) -> float:
        return self.clock.now()

    def passes(self, seconds: float) -> None:
        """Let time pass, with all that has its moment in it."""
        end = self.now + seconds
        while (at := self.hub.next_deadline()) is not None and at <= end:
            self.clock.advance(max(0.0, at - self.now))
            self.hub.due(self.now)
        self.clock.advance(end - self.now)

    def turns(self) -> None:
        """Let happen what had to wait for a turn."""
        self.passes(0.0)


def asks(method: str, target: str, *lines: str, body: bytes = b"") -> Request:
    """Make a request of a page."""
    return Request(
        method=method.encode(),
        target=target.encode(),
        authority=b"h",
        headers=fields("Host: h", *lines),
        body=body,
        length=len(body),
    )

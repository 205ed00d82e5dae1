"""The server over real sockets, on either loop: how many clients there may be."""

import asyncio
import socket

import pytest
import uvloop

from gripproxy.front.http1 import Limits
from gripproxy.front.server import Server
from gripproxy.protocol import answers
from tests.control.fakes import FakeClock, FakeTasks

HELLO = answers.text(200, "hello")
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Served:
    """A server on a port, and clients of it."""

    def __init__(self, maxconn):
        self.tasks = FakeTasks()
        self.bugs = []
        self.server = Server(
            self._serve,
            clock=FakeClock(),
            tasks=self.tasks,
            limits=Limits(),
            refused=lambda _peer, error: answers.of_request_error(error),
            failed=lambda _who, error: self.bugs.append(error),
            maxconn=maxconn,
        )
        self.asked = 0
        self.clients = []
        self.answered = asyncio.Queue()
        self.readers = []

    async def _serve(self, exchange):
        self.asked += 1
        await exchange.answer(HELLO)

    async def __aenter__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = self.sock.getsockname()
        await self.server.listen(self.sock)
        return self

    async def __aexit__(self, *_):
        for reader in self.readers:
            reader.cancel()
        await asyncio.gather(*self.readers, return_exceptions=True)
        for client in self.clients:
            client.close()
        self.server.close()
        await self.tasks.close()
        assert (self.bugs, self.tasks.failures) == ([], [])

    def come(self, count):
        """Let clients connect and ask while the server does not look."""
        for _ in range(count):
            client = socket.create_connection(self.address)
            client.sendall(GET)
            client.setblocking(False)
            self.clients.append(client)
            self.readers.append(asyncio.get_running_loop().create_task(self._read(client)))

    async def _read(self, client):
        answer = b""
        while not answer.endswith(b"hello\n"):
            piece = await asyncio.get_running_loop().sock_recv(client, 1000)
            assert piece
            answer += piece
        await self.answered.put(client)

    async def answers(self, count):
        """Wait until so many clients have been answered; return them."""
        async with asyncio.timeout(10):
            return [await self.answered.get() for _ in range(count)]


def test_of_those_who_come_at_once_only_so_many_are_served(run):
    async def story():
        async with Served(5) as served:
            served.come(40)
            left = 40
            while left:
                first = await served.answers(min(5, left))
                assert served.asked == 40 - left + len(first)
                assert len(served.server.connections) >= min(5, left)
                left -= len(first)
                for client in first:
                    client.close()

    run(story())


def test_who_leaves_before_his_turn_takes_no_place(run):
    async def story():
        async with Served(2) as served:
            served.come(6)
            for reader in served.readers[2:5]:
                reader.cancel()
            for client in served.clients[2:5]:
                client.close()
            first = await served.answers(2)
            for client in first:
                client.close()
            await served.answers(1)

    run(story())


def test_behind_a_burst_new_clients_are_let_in_again(run):
    async def story():
        async with Served(2) as served:
            served.come(5)
            for client in await served.answers(2):
                client.close()
            for client in await served.answers(2):
                client.close()
            served.come(1)
            await served.answers(2)

    run(story())


def test_who_waits_for_his_turn_is_closed_with_the_others_at_the_end(run):
    async def story():
        async with Served(1) as served:
            served.come(3)
            await served.answers(1)
            served.server.stop_accepting()
            assert served.asked == 1

    run(story())

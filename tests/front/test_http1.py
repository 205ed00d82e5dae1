"""What a client's connection does when things happen at once, or take long: proxying.md 2, 17.

The wire tests show the rest with real sockets.
"""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gripproxy.engine.ports import Framing, Wake
from gripproxy.errors import ClientGoneError
from gripproxy.front.http1 import HALF_CLOSED_SECONDS, Connection, Limits
from gripproxy.front.reading import DISCARD_MAX
from gripproxy.protocol import answers
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from tests.fakes import settle
from tests.flow.bodyfakes import FakeReceiver, FakeSource

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
DATE = b"Date: now\r\n"


class Transport:
    """A transport that keeps what is written and is closed when it is told to be."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.waiting = 0
        self.reading = True
        self.eof = False
        self.end: str | None = None

    def set_write_buffer_limits(self, high, low) -> None:
        self.limits = high, low

    def get_extra_info(self, name):
        return ("192.0.2.1", 1234) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        assert not self.eof
        self.written += data

    def write_eof(self) -> None:
        self.eof = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.end is not None

    def close(self) -> None:
        self.end = self.end or "closed"

    def abort(self) -> None:
        self.end = self.end or "cut"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Host:
    """A server with one connection and a story that a test tells."""

    def __init__(self, **limits) -> None:
        self.limits = Limits(**limits)
        self.loop = asyncio.get_running_loop()
        self.draining = False
        self.hits = None
        self.date = DATE
        self.bugs: list[BaseException] = []
        self.given_up: list[str] = []
        self.is_open = False
        self.exchanges: list[Connection] = []
        self.outcome: list[object] = []
        self._going = asyncio.Event()
        self.answer: Response | None = None

    def refused(self, peer, error) -> Response:
        return answers.of_request_error(error)

    def opened(self, connection) -> None:
        self.is_open = True
        connection.task = self.loop.create_task(connection.run())

    def closed(self, connection) -> None:
        self.is_open = False

    def gave_up(self, peer) -> None:
        self.given_up.append(peer)

    def failed(self, connection, error) -> None:
        self.bugs.append(error)

    async def serve(self, exchange) -> None:
        self.exchanges.append(exchange)
        try:
            await self._going.wait()
            self._going.clear()
            if self.answer is not None:
                self.outcome.append(await exchange.answer(self.answer))
        except asyncio.CancelledError:
            self.outcome.append("cancelled")
            raise

    async def go(self, answer: Response | None = None) -> None:
        self.answer = answer
        self._going.set()
        await settle()


class Held:
    """What is held on a connection."""

    def __init__(self) -> None:
        self.left = 0
        self.wrote = 0

    def gone(self, now: float) -> None:
        self.left += 1

    def writable(self, now: float) -> None:
        self.wrote += 1


@asynccontextmanager
async def client(*sent: bytes, secure: bool = False, **limits):
    """A connection on which this came; in the end it is lost, and its task must end."""
    host = Host(**limits)
    connection = Connection(host, secure=secure)
    transport = Transport()
    connection.connection_made(transport)
    for data in sent:
        connection.data_received(data)
    await settle()
    yield host, connection, transport
    if host.is_open:
        transport.close()
        connection.connection_lost(None)
    await asyncio.wait([connection.task], timeout=5)
    assert connection.task.done()
    assert host.bugs == []


def answer(body=b"hello", length=5, status=200) -> Response:
    if isinstance(body, bytes):
        length = len(body)
    return Response(status=status, reason=b"OK", headers=Headers(), body=body, length=length)


def lose(connection, transport, error=None) -> None:
    transport.close()
    connection.connection_lost(error)


# Clients that leave


async def test_a_story_ends_with_its_client():
    async with client(GET) as (host, connection, transport):
        lose(connection, transport)
        await settle()
        assert host.outcome == ["cancelled"]


async def test_a_story_that_is_shielded_goes_on():
    async with client(GET) as (host, connection, transport):
        connection.shielded = True
        lose(connection, transport)
        await settle()
        assert (host.outcome, connection.gone) == ([], True)
        await host.go(answer())
        assert host.outcome == [False]
        assert transport.written == b""


async def test_a_shielded_story_relays_nothing_to_a_client_that_is_gone():
    async with client(GET) as (host, connection, transport):
        connection.shielded = True
        lose(connection, transport)
        source = FakeSource()
        await host.go(answer(source))
        assert (host.outcome, source.tap.abandoned) == ([False], True)


async def test_a_relay_stops_when_its_client_leaves():
    async with client(GET) as (host, connection, transport):
        source = FakeSource()
        await host.go(answer(source, 10))
        source.put(b"abc")
        lose(connection, transport)
        source.put(b"def")
        await settle()
        assert transport.written.endswith(b"\r\n\r\nabc")
        assert (host.outcome, source.tap.abandoned) == ([False], True)


async def test_a_body_breaks_off_with_its_client():
    async with client(POST, b"abc") as (_host, connection, transport):
        receiver = FakeReceiver()
        connection.request.body.start(receiver)
        lose(connection, transport)
        assert isinstance(receiver.end, ClientGoneError)


async def test_a_body_breaks_off_even_if_its_reader_is_full():
    async with client(POST, b"abc") as (_host, connection, transport):
        receiver = FakeReceiver()
        connection.request.body.start(receiver)
        connection.request.body.pause()
        lose(connection, transport)
        assert isinstance(receiver.end, ClientGoneError)


@pytest.mark.parametrize("secure", [True, False])
async def test_half_of_a_connection_is_enough_for_an_answer_but_not_in_tls(secure):
    async with client(GET, secure=secure) as (_host, connection, _transport):
        assert connection.eof_received() is not secure


async def test_a_client_that_has_said_all_waits_for_a_silent_origin_only_so_long():
    async with client(GET) as (_host, connection, transport):
        connection.eof_received()
        connection.overdue(1000.0)
        connection.overdue(1000.0 + HALF_CLOSED_SECONDS)
        assert transport.end is None
        connection.overdue(1001.0 + HALF_CLOSED_SECONDS)
        assert transport.end == "cut"


async def test_a_client_that_has_said_all_waits_while_its_answer_flows():
    async with client(GET) as (host, connection, transport):
        source = FakeSource()
        await host.go(answer(source, 100))
        connection.eof_received()
        for turn in range(10):
            source.put(b"x")
            connection.overdue(1000.0 + turn * HALF_CLOSED_SECONDS)
        assert transport.end is None
        connection.overdue(2000.0)
        connection.overdue(2001.0 + HALF_CLOSED_SECONDS)
        assert transport.end == "cut"


# Holds


async def parked(host, connection, resume=None) -> Held:
    held = Held()
    connection.park(held, resume)
    await host.go()
    return held


@pytest.mark.parametrize("how", ["eof", "lost"])
async def test_a_hold_ends_with_its_client_s_input(how):
    async with client(GET) as (host, connection, transport):
        held = await parked(host, connection)
        if how == "eof":
            assert connection.eof_received() is False
        else:
            lose(connection, transport)
        await settle()
        assert held.left == 1
        assert connection.task.done()


async def test_a_hold_that_begins_when_its_client_has_said_all_ends_at_once():
    async with client(GET) as (host, connection, transport):
        connection.eof_received()
        held = await parked(host, connection)
        assert (held.left, transport.end) == (1, "closed")


async def test_a_story_that_was_woken_ends_with_its_client():
    events = []

    async def resume(exchange, held, reason):
        events.append(reason)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async with client(GET) as (host, connection, transport):
        held = await parked(host, connection, resume)
        connection.wake(Wake.NEXT)
        await settle()
        lose(connection, transport)
        await settle()
        assert (events, held.left) == ([Wake.NEXT, "cancelled"], 1)


async def test_the_most_urgent_wake_counts():
    events = []

    async def resume(exchange, held, reason):
        events.append(reason)

    async with client(GET) as (host, connection, _transport):
        await parked(host, connection, resume)
        for reason in (Wake.UPDATE, Wake.RETRY, Wake.NEXT):
            connection.wake(reason)
        await settle()
        assert events == [Wake.RETRY]


async def test_a_hold_learns_when_it_may_write_again():
    async with client(GET) as (host, connection, _transport):
        held = await parked(host, connection)
        connection.pause_writing()
        assert connection.blocked
        connection.resume_writing()
        assert (connection.blocked, held.wrote) == (False, 1)


async def test_a_held_connection_serves_its_next_request_behind_the_hold():
    async with client(GET + GET) as (host, connection, transport):
        await parked(host, connection)
        connection.finish(answer())
        await settle()
        assert len(host.exchanges) == 2
        await host.go(answer(b"second"))
        assert transport.written.endswith(b"second")


@pytest.mark.parametrize(
    ("request_", "framing", "ends", "closed"),
    [(GET, Framing.CHUNKED, b"1\r\na\r\n0\r\n\r\n", False), (OLD, Framing.RAW, b"a", True)],
)
async def test_a_stream_ends_as_its_framing_wants(request_, framing, ends, closed):
    async with client(request_) as (host, connection, transport):
        assert connection.begin(answer(b"a"))
        assert connection.framing is framing
        await parked(host, connection)
        connection.end()
        await settle()
        assert transport.written.endswith(b"\r\n\r\n" + ends)
        assert (transport.end == "closed") is closed


async def test_what_is_relayed_into_a_stream_does_not_end_it():
    async with client(GET) as (_host, connection, transport):
        connection.begin(answer(b""))
        source = FakeSource()
        source.put(b"a")
        source.finish()
        assert await connection.relay(source)
        assert transport.written.endswith(b"\r\n\r\n1\r\na\r\n")
        assert connection.sent == 1


async def test_nothing_is_relayed_into_a_stream_whose_client_is_gone():
    async with client(GET) as (host, connection, transport):
        connection.shielded = True
        lose(connection, transport)
        source = FakeSource()
        assert not await connection.relay(source)
        assert source.tap.abandoned
        await host.go()


# Bodies that are not wanted


async def test_what_nobody_wants_is_dropped_but_not_without_end():
    size = b"100000000"
    async with client(POST.replace(b"10", size)) as (host, connection, transport):
        body = connection.request.body
        body.start(FakeReceiver())
        body.abandon()
        for _ in range(DISCARD_MAX // 1000 + 1):
            connection.data_received(b"x" * 1000)
        assert not transport.reading
        await host.go(answer())
        assert (transport.reading, transport.eof, transport.end) == (True, True, None)
        connection.data_received(b"x" * DISCARD_MAX)
        assert transport.end == "closed"


async def test_a_client_that_has_read_its_answer_ends_the_lingering():
    async with client(POST) as (host, connection, transport):
        await host.go(answer())
        assert b"Connection: close\r\n" in transport.written
        assert transport.eof
        assert connection.eof_received() is False


async def test_nothing_is_written_behind_an_answer_that_was_the_last():
    async with client(POST) as (host, connection, transport):
        await host.go(answer())
        before = bytes(transport.written)
        connection.write(b"more")
        connection.interim(103, b"", Headers())
        assert transport.written == before


async def test_a_reader_that_is_full_stops_the_client():
    async with client(POST.replace(b"10", b"1000000")) as (_host, connection, transport):
        body = connection.request.body
        connection.data_received(b"x" * 70_000)
        assert not transport.reading
        body.start(FakeReceiver())
        assert transport.reading
        body.pause()
        assert not transport.reading
        body.resume()
        assert transport.reading


async def test_much_behind_a_request_waits_unread():
    async with client(GET) as (host, connection, transport):
        connection.data_received(b"x" * 9000)
        assert not transport.reading
        await host.go(answer())
        assert transport.reading


# Answers and what is written


async def test_who_does_not_read_is_not_asked_for_more():
    async with client(GET * 3) as (host, connection, _transport):
        connection.pause_writing()
        await host.go(answer())
        assert len(host.exchanges) == 1
        connection.resume_writing()
        await settle()
        assert len(host.exchanges) == 2


async def test_requests_that_came_before_the_end_are_answered_although_writing_waits():
    async with client(GET * 2) as (host, connection, transport):
        connection.eof_received()
        connection.pause_writing()
        await host.go(answer())
        assert transport.end is None
        connection.resume_writing()
        await settle()
        await host.go(answer(b"second"))
        assert transport.written.endswith(b"second")
        assert transport.end == "closed"


async def test_interim_answers_do_not_pile_up():
    async with client(GET) as (_host, connection, transport):
        connection.pause_writing()
        connection.interim(103, b"Early Hints", Headers())
        assert transport.written == b""
        connection.resume_writing()
        connection.interim(103, b"Early Hints", Headers([(b"Link", b"</x>")]))
        assert transport.written == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


async def test_a_full_client_stops_the_origin():
    async with client(GET) as (host, connection, transport):
        connection.pause_writing()
        source = FakeSource()
        source.put(b"abc")
        await host.go(answer(source, 3))
        assert not source.tap.reading
        connection.resume_writing()
        source.finish()
        await settle()
        assert transport.written.endswith(b"abc")
        assert host.outcome == [True]


async def test_a_client_that_takes_nothing_is_cut_and_that_is_said():
    async with client(GET, write_timeout=10.0) as (host, connection, transport):
        transport.waiting = 1000
        for now in (100.0, 105.0, 110.0):
            connection.overdue(now)
        assert transport.end is None
        transport.waiting = 900
        connection.overdue(112.0)
        connection.overdue(122.0)
        assert (transport.end, host.given_up) == (None, [])
        connection.overdue(123.0)
        assert (transport.end, host.given_up) == ("cut", [connection.peer])


async def test_a_client_that_took_all_begins_anew():
    async with client(GET, write_timeout=10.0) as (_host, connection, transport):
        transport.waiting = 1000
        connection.overdue(100.0)
        transport.waiting = 0
        connection.overdue(109.0)
        transport.waiting = 1000
        connection.overdue(115.0)
        connection.overdue(124.0)
        assert transport.end is None


# Time


async def test_a_connection_that_says_nothing_is_closed_in_time():
    async with client(header_timeout=10.0, idle_timeout=100.0) as (_host, connection, transport):
        begun = connection.since
        connection.overdue(begun + 10.0)
        assert transport.end is None
        connection.overdue(begun + 11.0)
        assert (transport.end, transport.written) == ("closed", b"")


async def test_the_first_head_has_its_time_from_the_beginning():
    async with client(header_timeout=10.0) as (_host, connection, transport):
        begun = connection.since
        connection.data_received(b"GET ")
        await settle()
        connection.data_received(b"/ ")
        await settle()
        connection.overdue(begun + 11.0)
        assert transport.written.startswith(b"HTTP/1.1 408 ")
        await settle()
        assert connection.task.done()


async def test_a_later_head_has_its_time_from_its_first_byte():
    async with client(GET, header_timeout=10.0, idle_timeout=100.0) as (
        host,
        connection,
        transport,
    ):
        await host.go(answer())
        connection.overdue(1000.0)
        connection.overdue(1090.0)
        connection.data_received(b"GET ")
        await settle()
        connection.overdue(1095.0)
        connection.data_received(b"/ ")
        await settle()
        connection.overdue(1105.0)
        assert transport.end is None
        assert not transport.written.endswith(b"timed out.\n")
        connection.overdue(1106.0)
        assert transport.written.endswith(b"Request header timed out.\n")


async def test_a_connection_between_requests_has_more_time():
    async with client(GET, header_timeout=10.0, idle_timeout=100.0) as (
        host,
        connection,
        transport,
    ):
        await host.go(answer())
        connection.overdue(1000.0)
        connection.overdue(1100.0)
        assert transport.end is None
        connection.overdue(1101.0)
        assert transport.end == "closed"


async def test_a_body_that_stops_is_given_up_unless_its_reader_is_full():
    async with client(POST, body_timeout=10.0) as (_host, connection, _transport):
        receiver = FakeReceiver()
        body = connection.request.body
        body.start(receiver)
        connection.overdue(100.0)
        connection.data_received(b"x")
        connection.overdue(111.0)
        body.pause()
        connection.overdue(200.0)
        body.resume()
        connection.overdue(300.0)
        connection.overdue(310.0)
        assert receiver.end is None
        connection.overdue(311.0)
        assert receiver.end.status == 408


@pytest.mark.parametrize("state", ["serving", "held", "lingering"])
async def test_some_states_have_no_end_in_time(state):
    async with client(POST if state == "lingering" else GET) as (host, connection, transport):
        if state == "held":
            await parked(host, connection)
        elif state == "lingering":
            await host.go(answer())
        for turn in range(10):
            connection.overdue(1000.0 * turn)
        assert transport.end is None


# Going away


async def test_a_connection_between_requests_is_closed_by_a_drain():
    async with client() as (_host, connection, transport):
        connection.drain()
        assert transport.end == "closed"


async def test_a_request_is_answered_before_a_drain_closes():
    async with client(GET) as (host, connection, transport):
        connection.drain()
        assert transport.end is None
        await host.go(answer())
        assert b"Connection: close" in transport.written
        assert transport.end == "closed"


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_handshake_that_waits_is_refused_by_a_drain():
    async with client(HANDSHAKE) as (host, connection, transport):
        connection.drain()
        assert transport.written.startswith(b"HTTP/1.1 503 ")
        assert transport.end == "closed"
        await host.go(answer())


# What is shown


async def test_a_connection_says_what_it_does():
    async with client() as (host, connection, _transport):
        assert repr(connection) == "<Connection 192.0.2.1 reading>"
        connection.data_received(GET)
        await settle()
        assert repr(connection) == "<Connection 192.0.2.1 serving>"
        await parked(host, connection)
        assert repr(connection) == "<Connection 192.0.2.1 held>"
        connection._held = None
        connection.data_received(b"\n")
        connection._done()
        await settle()
        assert repr(connection) == "<Connection 192.0.2.1 lingering>"


async def test_a_bug_in_a_story_is_told_and_cuts_the_client():
    host = Host()
    connection, transport = Connection(host, secure=False), Transport()

    async def broken(exchange):
        raise ValueError("bug")

    host.serve = broken
    connection.connection_made(transport)
    connection.data_received(GET)
    await settle()
    assert [str(bug) for bug in host.bugs] == ["bug"]
    assert transport.end == "cut"


async def test_nothing_of_a_request_stays_in_memory_behind_its_answer():
    async with client(POST + b"0123456789") as (host, connection, _transport):
        assert connection.request.body == b"0123456789"
        await host.go(answer())
        assert connection.request.body == b""


# Statistics


class Tally:
    """What counts a request: `engine.stats.Counted`."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def answered(self, response: Response) -> None:
        self.calls.append(response.status)

    def sent(self, size: int) -> None:
        self.calls.append(size)

    def over(self, now: float) -> None:
        self.calls.append("over")


async def test_a_request_that_is_counted_tells_of_its_answer_and_its_end():
    async with client(GET) as (host, connection, _):
        tally = connection.counted = Tally()
        await host.go(answer())
        assert tally.calls == [200, 5, "over"]
        assert connection.counted is None


async def test_a_request_whose_client_leaves_is_over():
    async with client(GET) as (_, connection, transport):
        tally = connection.counted = Tally()
        lose(connection, transport)
        await settle()
        assert tally.calls == [0, "over"]

"""What stories tell the statistics."""

import pytest

from gripproxy.engine.stats import Counters
from gripproxy.engine.sums import NAMES, values
from gripproxy.errors import ClientGoneError, ConnectError
from gripproxy.flow.counting import Watch
from gripproxy.protocol.forwarding import AddressRule
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from tests.fakes import FakeClock, FakeExchange, FakeOrigin, fields
from tests.holdfakes import FakeSource

TARGET = Target(kind="test")
ROUTE = Route(targets=(TARGET,), domain="*", id="r", explicit_id=True)
HEAD = len("POST/a")


class Receiver:
    """Takes a body."""

    def __init__(self) -> None:
        self.pieces = []
        self.end = None

    def body_piece(self, piece) -> None:
        self.pieces.append(piece)

    def body_end(self, trailers) -> None:
        self.end = trailers

    def body_failed(self, error) -> None:
        self.end = error


class Play:
    def __init__(self, *lines: str, rule: AddressRule = AddressRule(), **request) -> None:  # noqa: B008
        self.clock = FakeClock()
        self.counters = Counters(now=self.clock.now(), instance="i")
        self.watch = Watch(
            self.counters,
            clock=self.clock,
            make_id=lambda: "cid",
            rule=rule,
            trusted_rule=AddressRule(truncate=0),
        )
        request.setdefault("headers", fields(*lines))
        self.request = Request(method=b"POST", target=b"/a", peer="192.0.2.1", **request)
        self.exchange = FakeExchange(self.request)
        self.origin = FakeOrigin()

    def sums(self, route: str = "r") -> dict[str, int]:
        """Return what was counted of a route, less what is zero."""
        counted = values(self.counters.entry(ROUTE if route else None))
        return {name: value for name, value in zip(NAMES, counted, strict=True) if value}

    async def asks(self, outcome, **request):
        """Send a request to the origin, which answers so."""
        self.origin.scripted.append(outcome)
        asked = Request(method=b"POST", target=b"/a", headers=Headers(), **request)
        return await self.watch.send(self.origin, asked, TARGET, ROUTE)

    @property
    def samples(self):
        return self.counters.statistics(self.clock.now()).samples


def response(body: object = b"", *lines: str) -> Response:
    return Response(status=200, reason=b"OK", headers=fields(*lines), body=body)


# Clients


def test_a_head_is_counted_whatever_becomes_of_it():
    play = Play()
    play.watch.head()
    assert play.samples["connmgr_requests_total",] == 1


def test_a_request_is_counted_until_its_connection_says_that_it_is_over():
    play = Play("A: b", body=b"xyz")
    play.watch.request(play.exchange, ROUTE, trusted=False)
    assert play.counters.connections == 1
    assert play.sums() == {
        "requests_received": 1,
        "activity": 1,
        "minutes": 1,
        "client_header_bytes_received": HEAD + len("Ab"),
        "client_content_bytes_received": 3,
    }
    play.exchange.counted.over(play.clock.now())
    assert play.counters.connections == 0


def test_a_body_that_comes_later_is_counted_when_an_origin_takes_it():
    play = Play(body=FakeSource("ab", "c"))
    play.watch.request(play.exchange, ROUTE, trusted=False)
    assert "client_content_bytes_received" not in play.sums()
    receiver = Receiver()
    play.request.body.start(receiver)
    assert receiver.pieces == [b"ab", b"c"]
    assert play.sums()["client_content_bytes_received"] == 3
    assert play.sums()["server_content_bytes_sent"] == 3


@pytest.mark.parametrize(
    ("trusted", "rule", "address"),
    [
        (False, AddressRule(), "198.51.100.7"),
        (False, AddressRule(truncate=0), "192.0.2.1"),
        (True, AddressRule(), "192.0.2.1"),
    ],
)
def test_a_connection_has_the_logical_address_of_its_client(trusted, rule, address):
    play = Play("X-Forwarded-For: 198.51.100.7, 203.0.113.9", rule=rule)
    play.watch.request(play.exchange, ROUTE, trusted=trusted)
    [begun] = play.counters.news(play.clock.now()).begun
    assert begun.peer == address


def test_a_websocket_is_over_when_whoever_has_it_says_so():
    play = Play(websocket=True)
    counted = play.watch.socket(play.exchange, ROUTE, "cid", trusted=False)
    assert play.counters.news(play.clock.now()).begun[0].transport == "ws"
    counted.over(play.clock.now())
    assert play.counters.connections == 0


def test_a_handshake_without_a_route_is_a_connection_for_a_moment():
    play = Play(websocket=True)
    play.watch.no_route(play.exchange)
    news = play.counters.news(play.clock.now())
    assert [begun.cid for begun in news.begun] == ["cid"]
    assert [ended.cid for ended in news.ended] == ["cid"]


def test_a_request_without_a_route_is_none():
    play = Play()
    play.watch.no_route(play.exchange)
    assert play.counters.news(play.clock.now()).begun == ()


def test_a_retry_is_activity_and_no_request():
    play = Play()
    play.watch.retried(ROUTE)
    assert play.sums() == {"activity": 1}


# Origins


async def test_a_request_to_an_origin_is_counted_with_its_answer():
    play = Play()
    assert (await play.asks(response(b"hello", "C: d"), body=b"xyz")).body == b"hello"
    assert play.sums() == {
        "server_header_bytes_sent": HEAD,
        "server_content_bytes_sent": 3,
        "server_header_bytes_received": len("200OKCd"),
        "server_content_bytes_received": 5,
    }
    assert play.samples["origin_request_seconds_bucket", "r", "2xx", "0.005"] == 1


async def test_an_answer_is_counted_while_it_passes():
    play = Play()
    source = FakeSource("ab", "c", whole=True)
    answer = await play.asks(response(source))
    assert "server_content_bytes_received" not in play.sums()
    receiver = Receiver()
    answer.body.start(receiver)
    assert receiver.pieces == [b"ab", b"c"]
    assert play.sums()["server_content_bytes_received"] == 3


async def test_a_body_that_passes_is_what_it_was():
    play = Play()
    source = FakeSource()
    body = (await play.asks(response(source))).body
    receiver = Receiver()
    body.start(receiver)
    body.pause()
    assert source.paused
    body.resume()
    assert not source.paused
    error = ClientGoneError()
    source.receiver.body_failed(error)
    assert receiver.end is error
    source.receiver.body_end(None)
    assert receiver.end is None
    body.abandon()
    assert source.abandoned


async def test_events_of_a_websocket_are_no_bytes_of_requests():
    play = Play()
    await play.asks(response(b"events"), body=b"events", over_http=True)
    assert play.sums() == {}
    assert play.samples["origin_request_seconds_bucket", "r", "2xx", "0.005"] == 1


async def test_nothing_is_counted_of_origins_that_nobody_asks_for():
    play = Play()
    play.counters.counts_origins = False
    await play.asks(response(b"x"))
    assert play.sums() == {}


async def test_heads_are_counted_for_those_who_ask():
    play = Play()
    play.counters.counts_heads = False
    await play.asks(response(b"x"), body=b"y")
    assert play.sums() == {"server_content_bytes_sent": 1, "server_content_bytes_received": 1}


async def test_an_origin_that_does_not_answer_is_counted_by_its_error():
    play = Play()
    with pytest.raises(ConnectError):
        await play.asks(ConnectError("connection_refused", "refused"))
    assert play.samples["origin_errors_total", "connection_refused"] == 1

"""The way of a WebSocket handshake."""

import pytest

from gripproxy.errors import ClientGoneError, ConnectError, ExchangeError, RequestError
from gripproxy.flow.access import Access, Settings
from gripproxy.flow.sockets import SocketFlow
from gripproxy.protocol import forwarding
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from tests.fakes import FakeClock, FakeExchange, fields

REFUSED = ConnectError("connection_refused", "a:1: connection refused")
BROKEN = ExchangeError("http_protocol_error", "sent an invalid response: x.")


def make_target(host, **how):
    return Target(kind="tcp", host=host, port=1, **how)


A = make_target("a")


class Way:
    """A carrier or a relay that has its outcomes ready."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked = []

    async def open(self, handshake, target):
        self.asked.append((handshake, target))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Play:
    def __init__(self, *, carrier=(), relay=(), targets=(A,), settings=None):
        self.lines = []
        self.carrier = Way(*carrier)
        self.relay = Way(*relay)
        self.flow = SocketFlow(
            self.carrier,
            self.relay,
            Forwarder(settings or forwarding.Settings()),
            clock=FakeClock(),
            access=Access(self.lines.append, Settings()),
        )
        self.route = Route(targets=targets, domain="*", id="r")
        request = Request(
            method=b"GET",
            target=b"/a",
            authority=b"h",
            headers=fields("Sec-WebSocket-Key: k", "Sec-WebSocket-Extensions: x"),
            websocket=True,
        )
        self.exchange = FakeExchange(request)

    async def serve(self, *, trusted=False, debug=False):
        await self.flow.serve(self.exchange, self.route, trusted=trusted, debug=debug)
        return self.exchange.answered


async def test_an_open_websocket_is_logged_and_keeps_no_fields():
    play = Play(relay=[None])
    assert await play.serve() is None
    assert play.lines == ["GET ws://h/a -> a:1 code=101 0"]
    assert not play.exchange.request.headers


async def test_a_websocket_over_http_is_marked_in_the_log():
    play = Play(carrier=[None], targets=(make_target("a", over_http=True),))
    await play.serve()
    assert play.lines == ["GET ws://h/a -> a:1[http] code=101 0"]


async def test_the_handshake_is_that_of_the_origin():
    play = Play(relay=[None])
    await play.serve(trusted=True, debug=True)
    handshake, _ = play.relay.asked[0]
    assert (handshake.trusted, handshake.debug) == (True, True)
    assert handshake.request.headers.get_all(b"sec-websocket-extensions") == [b"grip"]


async def test_a_refusal_is_the_answer():
    refusal = Response(status=403, reason=b"No", headers=Headers(), body=b"no")
    play = Play(relay=[refusal])
    assert await play.serve() is refusal
    assert play.lines == ["GET ws://h/a -> a:1 code=403 0"]


async def test_targets_are_tried_in_order_each_in_its_way():
    targets = (make_target("a"), make_target("b", over_http=True), make_target("c"))
    play = Play(relay=[REFUSED], carrier=[None], targets=targets)
    await play.serve()
    assert [target for _, target in play.relay.asked] == [targets[0]]
    assert [target for _, target in play.carrier.asked] == [targets[1]]
    assert play.lines == ["GET ws://h/a -> b:1[http] code=101 0"]


@pytest.mark.parametrize(
    ("debug", "body"),
    [
        (False, b"Error while proxying to origin.\n"),
        (True, b"Unable to connect to any targets. Tried: a:1, b:1\n"),
    ],
)
async def test_when_none_is_reached_the_client_gets_a_502(debug, body):
    play = Play(relay=[REFUSED, REFUSED], targets=(make_target("a"), make_target("b")))
    answer = await play.serve(debug=debug)
    assert (answer.status, answer.body) == (502, body)
    assert not answer.headers.has(b"content-type")
    assert answer.headers.get(b"proxy-status").startswith(b"gripproxy; error=connection_refused")
    assert play.lines == ["GET ws://h/a -> b:1 code=502 0"]


@pytest.mark.parametrize(
    ("debug", "status"),
    [
        (False, b"gripproxy; error=http_protocol_error"),
        (
            True,
            b'gripproxy; error=http_protocol_error; details="sent an invalid response: x."',
        ),
    ],
)
async def test_any_other_failure_ends_the_search(debug, status):
    play = Play(relay=[BROKEN], targets=(make_target("a"), make_target("b")))
    answer = await play.serve(debug=debug)
    assert (answer.status, answer.body) == (502, b"Error while proxying to origin.\n")
    assert answer.headers.get(b"proxy-status") == status
    assert not answer.headers.has(b"content-type")


class Body:
    """A body that nobody wants."""

    abandoned = False

    def abandon(self):
        self.abandoned = True


@pytest.mark.parametrize("body", [b"no", Body()])
async def test_a_client_that_has_left_is_not_answered(body):
    play = Play(relay=[Response(status=403, reason=b"No", headers=Headers(), body=body)])
    play.exchange.gone = True
    assert await play.serve() is None
    assert isinstance(body, bytes) or body.abandoned
    assert play.lines == ["GET ws://h/a -> a:1 error"]


async def test_a_client_that_does_not_wait_is_not_answered():
    play = Play(carrier=[ClientGoneError()], targets=(make_target("a", over_http=True),))
    assert await play.serve() is None
    assert play.lines == ["GET ws://h/a error"]


async def test_a_request_that_goes_in_a_circle_is_refused_by_whoever_serves():
    play = Play(settings=forwarding.Settings(cdn_loop=b"us"))
    play.exchange.request.headers = fields("CDN-Loop: us, us, us, us, us")
    with pytest.raises(RequestError):
        await play.serve()

"""The story of a client request: proxying.md 1, 3, 6, 8.2, 13, 14, 17."""

import asyncio

import pytest

from gripproxy.errors import (
    ClientGoneError,
    ConnectError,
    ExchangeError,
    OriginTimeoutError,
    RequestError,
)
from gripproxy.flow.bodies import KeptBody
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.signing import Signer, Verifier
from tests.fakes import fields
from tests.holdfakes import FakeSource, a_route, in_virtual_time
from tests.world import World, a_response, text_of

E = "Error while proxying to origin.\n"
KEY = KeySource("text", b"key")
POLL = ("Grip-Hold: response", "Grip-Channel: c")


def route(**named) -> Route:
    """Make a route that not every request takes."""
    named = {"domain": "other", "id": "o", "targets": (Target(kind="tcp", host="o"),)} | named
    return Route(**named)


class Sockets:
    """Where handshakes go."""

    def __init__(self, world: World) -> None:
        self.served: list[tuple] = []
        self.error: Exception | None = None
        world.flow._serve_socket = world.flow._serve_sockjs = self.serve

    async def serve(self, exchange, route, *, trusted, debug) -> None:
        self.served.append((route.id, trusted, debug))
        if self.error is not None:
            raise self.error


def proxy_status(client) -> str:
    return (client.answered.headers.get(b"proxy-status") or b"").decode()


# A plain request


@in_virtual_time
async def test_a_request_is_relayed_and_so_is_its_answer():
    world = World()
    client = await world.ask("/x?y", "X-A: 1", "Connection: close")
    assert world.asked() == ["GET origin:80/x?y, X-A: 1"]
    await world.answer("X-B: 2", "Connection: close", body="hello")
    assert text_of(client) == (200, "hello")
    assert client.answered.headers == fields("X-B: 2")
    assert world.lines == ["GET http://proxy/x?y -> origin:80 code=200 0"]


@in_virtual_time
async def test_a_body_that_streams_is_relayed_as_it_comes():
    world = World()
    client = await world.ask("/")
    await world.answer(body=FakeSource("some", "thing", whole=True))
    assert text_of(client) == (200, "something")


@in_virtual_time
async def test_an_answer_that_breaks_off_is_logged_as_an_error():
    world = World()
    client = await world.ask("/")
    source = FakeSource("some")
    await world.answer(body=source)
    source.fail()
    await world.wait()
    assert world.lines == ["GET http://proxy/ -> origin:80 error"]
    assert client.over


@in_virtual_time
async def test_interim_answers_are_passed_on():
    world = World()
    client = await world.ask("/")

    def send(request, target, interim):
        interim(103, b"Early Hints", fields())
        return a_response()

    async def sent(request, target, interim=None):
        return send(request, target, interim)

    world.origin.send = sent
    again = await world.ask("/")
    assert (client.interims, again.interims) == ([], [103])


@in_virtual_time
async def test_trailers_are_announced_to_who_takes_them():
    world = World()
    for lines, announced in (((), False), (("TE: trailers", "Connection: TE"), True)):
        client = await world.ask("/", *lines)
        await world.answer("Trailer: X-T")
        assert client.answered.headers.has(b"trailer") is announced


# Which route


@in_virtual_time
async def test_a_request_that_no_route_takes_is_told_so():
    world = World(route())
    client = await world.ask("/")
    assert text_of(client) == (502, "Route not found\n")
    assert proxy_status(client) == "gripproxy; error=destination_not_found"
    assert world.lines == ["GET http://proxy/ code=502 0 error=no-route"]


@pytest.mark.parametrize(
    ("lines", "accept", "secure"),
    [
        ((), True, False),
        (("X-Forwarded-Proto: https",), True, True),
        (("X-Forwarded-Proto: wss",), True, True),
        (("X-Forwarded-Proto: HTTPS",), True, False),
        (("X-Forwarded-Proto: https, http",), True, False),
        (("X-Forwarded-Proto: ", "X-Forwarded-Protocol: https"), True, True),
        (("X-Forwarded-Proto: http", "X-Forwarded-Protocol: https"), True, False),
        (("X-Forwarded-Proto: https",), False, False),
    ],
)
@in_virtual_time
async def test_a_proxy_in_front_may_say_that_a_request_is_secure(lines, accept, secure):
    world = World(
        a_route(id="plain", ssl=False),
        a_route(id="tls", ssl=True, path_rem=2),
        accept_proto=accept,
    )
    await world.ask("/a/b", *lines)
    assert world.asked()[0].startswith("GET origin:80/b" if secure else "GET origin:80/a/b")


@in_virtual_time
async def test_a_secure_request_stays_so():
    world = World(a_route(ssl=True), accept_proto=True)
    await world.ask("/", "X-Forwarded-Proto: http", scheme=b"https")
    assert len(world.asked()) == 1


@pytest.mark.parametrize(
    ("named", "accept", "target"),
    [
        ("o", True, "o"),
        ("r", True, "origin"),
        ("unknown", True, None),
        ("elsewhere", True, None),
        ("", True, "origin"),
        ("double", True, "origin"),
        ("o", False, "origin"),
    ],
)
@in_virtual_time
async def test_a_field_may_name_the_route(named, accept, target):
    world = World(
        a_route(),
        route(),
        route(id="elsewhere", domain="e", path_beg=b"/e"),
        route(id="double", domain="d"),
        route(id="double", domain="f"),
        accept_route=accept,
    )
    client = await world.ask("/", f"Pushpin-Route: {named}")
    if target is None:
        assert text_of(client) == (502, "Route not found\n")
    else:
        assert world.origin.requests[0][1].host == target


# WebSockets and SockJS


@pytest.mark.parametrize("debug", [True, False])
@in_virtual_time
async def test_a_handshake_is_served_elsewhere(debug):
    world = World(a_route(debug=debug))
    sockets = Sockets(world)
    client = await world.ask("/", websocket=True)
    assert sockets.served == [("r", False, debug)]
    assert (text_of(client), world.lines) == (None, [])


@in_virtual_time
async def test_a_handshake_that_no_route_takes_is_told_so():
    world = World(route())
    client = await world.ask("/", websocket=True)
    assert text_of(client) == (502, "Route not found\n")
    assert not client.answered.headers.has(b"content-type")


@in_virtual_time
async def test_a_handshake_may_be_refused():
    world = World()
    Sockets(world).error = RequestError(508, "Loop Detected")
    client = await world.ask("/", websocket=True)
    assert text_of(client) == (508, "Loop Detected\n")


@in_virtual_time
async def test_what_is_below_the_path_of_sockjs_is_served_elsewhere():
    world = World(a_route(sockjs=b"/sock"))
    sockets = Sockets(world)
    await world.ask("/sock/info")
    await world.ask("/other")
    assert sockets.served == [("r", False, False)]
    assert world.asked() == ["GET origin:80/other"]


# A GRIP proxy in front


def signed(key: KeySource = KEY) -> str:
    return f"Grip-Sig: {Signer('pushpin', key).token(0.0).decode()}"


@pytest.mark.parametrize(
    ("sig", "trusted"),
    [(signed(), True), (signed(KeySource("text", b"other")), False), ("Grip-X: 1", False)],
)
@in_virtual_time
async def test_a_client_is_trusted_by_its_signature(sig, trusted):
    world = World(upstream=Verifier(KEY))
    world.flow._clock.wall = lambda: 0.0
    client = await world.ask("/", sig)
    await world.answer(*POLL, body="b")
    if trusted:
        assert text_of(client) == (200, "b")
        assert client.answered.headers.has(b"grip-hold")
    else:
        assert client.held is not None


@in_virtual_time
async def test_what_a_trusted_client_changes_is_taken_back():
    world = World(a_route(cache=True), upstream=Verifier(KEY))
    world.flow._clock.wall = lambda: 0.0
    await world.ask("/r")
    await world.answer("Cache-Control: max-age=60", body="old")
    await world.ask("/r", signed(), method=b"POST")
    await world.answer(body="done")
    client = await world.ask("/r")
    assert text_of(client) is None


@in_virtual_time
async def test_without_a_key_nobody_is_trusted():
    world = World()
    client = await world.ask("/", signed())
    await world.answer(*POLL)
    assert client.held is not None


@in_virtual_time
async def test_a_trusted_handshake_is_said_to_be_so():
    world = World(upstream=Verifier(KEY))
    world.flow._clock.wall = lambda: 0.0
    sockets = Sockets(world)
    await world.ask("/", signed(), websocket=True)
    assert sockets.served == [("r", True, False)]


@pytest.mark.parametrize(
    ("kinds", "named", "refused"),
    [
        (("application/websocket-events",), {}, True),
        ((" Application/WebSocket-Events ; x=y",), {}, True),
        (("text/plain", "application/websocket-events"), {}, True),
        (("text/plain",), {}, False),
        (("application/websocket-events",), {"over_http": False}, False),
        (("application/websocket-events",), {"trusted": True}, False),
    ],
)
@in_virtual_time
async def test_no_client_speaks_to_an_over_http_origin_as_if_it_were_us(kinds, named, refused):
    target = Target(kind="tcp", host="origin", port=80, over_http=named.get("over_http", True))
    world = World(route(domain="*", targets=(target,)), upstream=Verifier(KEY))
    world.flow._clock.wall = lambda: 0.0
    lines = [f"Content-Type: {kind}" for kind in kinds]
    if named.get("trusted"):
        lines.append(signed())
    client = await world.ask("/", *lines, method=b"POST")
    if refused:
        text = "Client not allowed to send WebSocket events directly.\n"
        assert text_of(client) == (403, text)
    else:
        assert len(world.origin.requests) == 1


# GRIP or plain


@in_virtual_time
async def test_an_instruct_is_obeyed():
    world = World()
    client = await world.ask("/")
    await world.answer(*POLL)
    assert client.held is not None
    await world.publish("c", "item")
    assert text_of(client) == (200, "item")


@in_virtual_time
async def test_an_instruct_on_a_route_without_grip_is_relayed():
    world = World(a_route(no_grip=True))
    client = await world.ask("/")
    await world.answer(*POLL, body="b")
    assert text_of(client) == (200, "b")
    assert client.answered.headers == fields(*POLL)


@in_virtual_time
async def test_the_body_of_an_instruct_that_is_not_wanted_is_abandoned():
    world = World()
    client = await world.ask("/")
    body = FakeSource()
    await world.answer("Grip-Hold: odd", body=body)
    assert text_of(client) == (502, E)
    assert body.abandoned


# Bodies of requests


@in_virtual_time
async def test_a_body_that_streams_is_kept_for_a_retry():
    world = World()
    await world.ask("/", method=b"POST", body=FakeSource(), length=None)
    sent = world.origin.requests[0][0]
    assert isinstance(sent.body, KeptBody)
    assert sent.length is None


# What goes wrong


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ConnectError("connection_refused", "x"), 502, "connection_refused"),
        (ExchangeError("http_protocol_error", "x"), 502, "http_protocol_error"),
        (OriginTimeoutError("http_response_timeout", "x"), 504, "http_response_timeout"),
    ],
)
@pytest.mark.parametrize("debug", ["nobody", "all", "route"])
@in_virtual_time
async def test_an_origin_that_does_not_answer_is_answered_for(error, status, kind, debug):
    world = World(a_route(debug=debug == "route"), debug=debug == "all")
    client = await world.ask("/")
    await world.reply(error)
    text = E
    if debug != "nobody":
        text = "x\n"
        if isinstance(error, ConnectError):
            text = "Unable to connect to any targets. Tried: origin:80\n"
    assert text_of(client) == (status, text)
    assert proxy_status(client).startswith(f"gripproxy; error={kind}")
    assert ("details=" in proxy_status(client)) is (debug != "nobody")


@in_virtual_time
async def test_a_body_that_is_refused_midway_is_answered():
    world = World()
    client = await world.ask("/", method=b"POST")
    await world.reply(RequestError(408, "Request body timed out."))
    assert text_of(client) == (408, "Request body timed out.\n")


@in_virtual_time
async def test_a_client_whose_body_breaks_off_is_cut():
    world = World()
    client = await world.ask("/", method=b"POST")
    await world.reply(ClientGoneError())
    assert client.was_cut
    assert world.lines == ["POST http://proxy/ error"]
    assert text_of(client) is None


@in_virtual_time
async def test_a_client_that_leaves_ends_its_story():
    world = World()
    client = await world.ask("/")
    client.task.cancel()
    await asyncio.wait([client.task])
    assert client.task.cancelled()
    assert client.was_cut
    assert world.lines == ["GET http://proxy/ error"]


# How far


@pytest.mark.parametrize(("method", "status"), [(b"OPTIONS", 200), (b"TRACE", 405)])
@in_virtual_time
async def test_a_request_that_may_go_no_further_is_answered_here(method, status):
    world = World()
    client = await world.ask("/", "Max-Forwards: 0", method=method)
    assert client.answered.status == status
    assert world.asked() == []


# Pages of other sites


@pytest.mark.parametrize(
    ("world_options", "route_options"), [({"cross_origin": True}, {}), ({}, {"aco": True})]
)
@in_virtual_time
async def test_answers_are_dressed_for_pages_of_other_sites(world_options, route_options):
    world = World(a_route(**route_options), **world_options)
    client = await world.ask("/", "Origin: http://site")
    await world.answer()
    assert client.answered.headers.get(b"access-control-allow-origin") == b"http://site"


@in_virtual_time
async def test_what_a_query_means_is_asked_and_its_answer_is_wrapped():
    world = World(a_route(aco=True))
    client = await world.ask("/x?callback=cb&_method=POST&a=b")
    assert world.asked()[0].startswith("POST origin:80/x?a=b")
    await world.answer(body="hello", status=201)
    status, text = text_of(client)
    assert status == 200
    assert text.startswith('/**/cb({"code": 201')
    assert world.lines == ["POST http://proxy/x?a=b -> origin:80 code=201 0"]


@pytest.mark.parametrize("found", [True, False])
@in_virtual_time
async def test_a_query_that_makes_no_sense_is_refused_before_a_route_is_missed(found):
    world = World(a_route() if found else route(), cross_origin=True)
    client = await world.ask("/?callback=", "Origin: http://site")
    assert text_of(client) == (400, "Invalid callback parameter.\n")
    assert client.answered.headers.has(b"access-control-allow-origin")


# Statistics


class Watch:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def head(self) -> None:
        self.told.append("head")

    def no_route(self, exchange) -> None:
        self.told.append("no route")

    def request(self, exchange, route, *, trusted) -> None:
        self.told.append(f"request {route.id} {trusted}")

    async def send(self, origin, request, target, route, interim):
        return await origin.send(request, target, interim)


@pytest.mark.parametrize(
    ("way", "told"),
    [(a_route(), ["head", "request r False"]), (route(), ["head", "no route"])],
)
@in_virtual_time
async def test_what_happens_to_requests_can_be_counted(way, told):
    world = World(way)
    watch = Watch()
    world.flow.watch_with(watch)
    await world.ask("/")
    assert watch.told == told

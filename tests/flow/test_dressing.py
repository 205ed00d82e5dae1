"""Answers for pages of other sites."""

import pytest

from gripproxy.errors import ExchangeError
from gripproxy.flow.dressing import Dress
from gripproxy.protocol import jsonp
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from tests.fakes import fields
from tests.holdfakes import FakeSource, a_request, a_route

ORIGIN = fields("Origin: http://page")


def a_response(*lines, body=b'{"a": 1}'):
    length = len(body) if isinstance(body, bytes) else None
    return Response(status=200, reason=b"OK", headers=fields(*lines), body=body, length=length)


@pytest.fixture
def plain():
    return Dress(ORIGIN, None)


@pytest.fixture
def scripted():
    found = jsonp.read(a_request("/?callback=f"), a_route())
    assert found is not None
    return Dress(Headers(), found[0])


class Receiver:
    def __init__(self):
        self.content = b""
        self.end = None

    def body_piece(self, piece):
        self.content += piece

    def body_end(self, trailers):
        self.end = "whole"

    def body_failed(self, error):
        self.end = error


# Fields


@pytest.mark.parametrize("way", ["relayed", "held", "head"])
def test_a_page_of_another_site_may_read_it(plain, way):
    response = getattr(plain, way)(a_response("X: 1"))
    assert response.headers.get(b"access-control-allow-origin") == b"http://page"
    assert response.headers.get(b"x") == b"1"
    assert response.body == b'{"a": 1}'
    assert response.length == 8


# Scripts


def test_a_body_that_is_here_is_wrapped(scripted):
    response = scripted.relayed(a_response())
    assert response.headers.get(b"content-type") == b"application/javascript"
    assert response.body.startswith(b"/**/f({")
    assert response.length == len(response.body)


def test_what_ends_a_hold_is_wrapped(scripted):
    assert scripted.held(a_response()).body.startswith(b"/**/f({")


def test_a_stream_is_not_wrapped(scripted):
    assert scripted.head(a_response()).body == b'{"a": 1}'


def test_a_body_that_comes_is_wrapped_as_it_comes(scripted):
    source = FakeSource("a", "b", whole=True)
    response = scripted.relayed(a_response(body=source))
    assert response.length is None
    receiver = Receiver()
    response.body.start(receiver)
    assert receiver.content.startswith(b"/**/f({")
    assert receiver.content.endswith(b'"body": "ab"});\n')
    assert receiver.end == "whole"


def test_a_coded_body_cannot_be_wrapped(scripted):
    source = FakeSource("x")
    response = scripted.relayed(a_response("Content-Encoding: gzip", body=source))
    assert b"Upstream response could not be JSON-P encoded." in response.body
    assert source.abandoned


def test_nor_can_one_that_is_here(scripted):
    response = scripted.relayed(a_response("Content-Encoding: gzip"))
    assert b"could not be JSON-P encoded" in response.body


@pytest.fixture
def under_way(scripted):
    source, receiver = FakeSource(), Receiver()
    body = scripted.relayed(a_response(body=source)).body
    body.start(receiver)
    return source, body, receiver


def test_it_is_paused_and_resumed(under_way):
    source, body, _ = under_way
    body.pause()
    assert source.paused
    body.resume()
    assert not source.paused


def test_one_that_breaks_off_does_not_look_whole(under_way):
    source, _, receiver = under_way
    source.piece("a")
    source.fail()
    assert isinstance(receiver.end, ExchangeError)
    assert not receiver.content.endswith(b");\n")


def test_a_piece_that_makes_nothing_yet_is_not_handed_on(under_way):
    source, _, receiver = under_way
    before = receiver.content
    source.piece(b"\xc3")
    assert receiver.content == before


def test_one_that_nobody_wants_says_nothing(under_way):
    source, body, receiver = under_way
    body.abandon()
    before = receiver.content
    source.piece("a")
    source.end()
    source.fail()
    assert source.abandoned
    assert receiver.content == before
    assert receiver.end is None

"""How answers are framed: proxying.md 10.2, 17; grip-http.md 4.3."""

import pytest

from gripproxy.protocol import framing
from gripproxy.protocol.framing import Ending
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response

DATE = b"Date: now\r\n"
TE = [(b"TE", b"trailers")]


def request(method: bytes = b"GET", version: int = 1, pairs=()) -> Request:
    return Request(method=method, target=b"/", headers=Headers(pairs), version=version)


def response(status: int = 200, **named) -> Response:
    named = {"headers": Headers([(b"X-A", b"1")])} | named
    return Response(status=status, reason=b"Why", **named)


def whole(asked: Request, answer: Response, *, keep: bool = True) -> bytes:
    return framing.whole(asked, answer, answer.body, keep=keep, date=DATE)


# Heads


@pytest.mark.parametrize(
    ("version", "keep", "lines"),
    [
        (1, True, b""),
        (1, False, b"Connection: close\r\n"),
        (0, True, b"Connection: keep-alive\r\n"),
        (0, False, b""),
    ],
)
def test_a_head_says_whether_the_connection_is_kept_if_that_is_not_usual(version, keep, lines):
    got = framing.head(request(version=version), response(), b"F: x\r\n", keep=keep, date=DATE)
    start = b"HTTP/1.%d 200 Why\r\nX-A: 1\r\nDate: now\r\n" % version
    assert got == start + lines + b"F: x\r\n\r\n"


# Whole answers


def test_a_whole_answer_has_its_length():
    assert whole(request(), response(body=b"abc", length=99)) == (
        b"HTTP/1.1 200 Why\r\nX-A: 1\r\nDate: now\r\nContent-Length: 3\r\n\r\nabc"
    )


@pytest.mark.parametrize(
    ("asked", "chunked"),
    [(request(pairs=TE), True), (request(), False), (request(version=0, pairs=TE), False)],
)
@pytest.mark.parametrize("body", [b"abc", b""])
def test_trailers_go_to_who_takes_them(asked, chunked, body):
    answer = response(body=body, trailers=Headers([(b"X-T", b"1")]))
    chunk = b"3\r\nabc\r\n" if body else b""
    if chunked:
        framed = b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\nX-T: 1\r\n\r\n"
    else:
        framed = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    assert whole(asked, answer).endswith(b"\r\n" + framed)


@pytest.mark.parametrize(
    ("status", "body", "length", "said"),
    [
        (200, b"", 9, 9),
        (200, b"", 0, 0),
        (200, b"", None, None),
        (502, b"error", 5, 5),
        (204, b"", 0, None),
        (204, b"abc", 3, None),
        (304, b"", 9, 9),
        (304, b"", 0, None),
        (304, b"", None, None),
        (304, b"abc", 3, None),
    ],
)
def test_an_answer_without_a_body_has_the_length_that_it_may_have(status, body, length, said):
    line = b"" if said is None else b"Content-Length: %d\r\n" % said
    assert framing.said_length(response(status, length=length), body) == line


# Answers in pieces


@pytest.mark.parametrize(
    ("asked", "length", "lines", "ending"),
    [
        (request(), 7, b"Content-Length: 7\r\n", Ending.LENGTH),
        (request(version=0), 7, b"Content-Length: 7\r\n", Ending.LENGTH),
        (request(pairs=TE), 7, b"Content-Length: 7\r\n", Ending.LENGTH),
        (request(), None, framing.CHUNKED, Ending.LAST_CHUNK),
        (request(pairs=TE), None, framing.CHUNKED, Ending.TRAILERS),
        (request(version=0, pairs=TE), None, b"", Ending.CLOSE),
    ],
)
def test_a_body_in_pieces_is_framed_as_its_client_understands(asked, length, lines, ending):
    assert framing.in_pieces(asked, response(length=length)) == (lines, ending)

"""Requests that are malformed or ambiguous, and the limits of a request's head (proxying.md 2)."""

from tests.wire.client import Client, GoneError, shown
from tests.wire.origin import text
from tests.wire.scenarios.telling import scenario

END = b"\r\n\r\n"


def outcome(system, sent: bytes) -> str:
    """Send bytes and return status and body of what comes, and whether the connection closes."""
    with Client(system.port) as client:
        client.send(sent)
        try:
            answer = client.response()
        except GoneError as gone:
            return shown(gone.left) or "closed"
        left = client.ended(seconds=0.1)
        return f"{answer.version} {answer.status} {answer.reason}: {shown(answer.body)}, {left}"


def refused(status: str, why: str) -> str:
    return f"HTTP/1.1 {status}: {why}\\n, closed"


def parse(why: str, status: str = "400 Bad Request") -> str:
    return refused(status, f"Failed to parse request: {why}")


SERVED = "HTTP/1.1 200 OK: served, open"
LENGTH = parse("invalid content length")
NAME = parse("invalid header name")
VALUE = parse("invalid header value")
TOKEN = parse("invalid token")

GET = "GET / HTTP/1.1\r\nHost: HOST\r\n"
POST = "POST / HTTP/1.1\r\nHost: HOST\r\n"


@scenario(
    each={
        "version-1-2": ("GET / HTTP/1.2\r\nHost: HOST\r\n\r\n", parse("invalid HTTP version")),
        "version-lower": ("GET / http/1.1\r\nHost: HOST\r\n\r\n", parse("invalid HTTP version")),
        "no-version": ("GET /\r\nHost: HOST\r\n\r\n", TOKEN),
        "bad-method": ("G@T / HTTP/1.1\r\nHost: HOST\r\n\r\n", TOKEN),
        "extra-word": ("GET / x HTTP/1.1\r\nHost: HOST\r\n\r\n", TOKEN),
        "no-colon": (f"{GET}X-A\r\n\r\n", NAME),
        "space-before-colon": (f"{GET}X-A : 1\r\n\r\n", NAME),
        "empty-name": (f"{GET}: 1\r\n\r\n", NAME),
        "bad-name": (f"{GET}X(A: 1\r\n\r\n", NAME),
        "folded": (f"{GET}X-A: 1\r\n 2\r\n\r\n", NAME),
        "nul-in-value": (f"{GET}X-A: a\0b\r\n\r\n", VALUE),
        "bare-cr-in-value": (f"{GET}X-A: a\rb\r\n\r\n", VALUE),
        "control-in-value": (f"{GET}X-A: a\x01b\r\n\r\n", VALUE),
        "length-empty": (f"{POST}Content-Length:\r\n\r\n", LENGTH),
        "length-word": (f"{POST}Content-Length: x\r\n\r\n", LENGTH),
        "length-negative": (f"{POST}Content-Length: -1\r\n\r\n", LENGTH),
        "length-list": (f"{POST}Content-Length: 3, 3\r\n\r\nabc", LENGTH),
        "length-plus": (f"{POST}Content-Length: +3\r\n\r\nabc", LENGTH),
        "length-huge": (f"{POST}Content-Length: 99999999999999999999\r\n\r\n", LENGTH),
    }
)
def bad_request(system, stage, sent, must):
    stage.answer(text(body="served"))
    yield "client", outcome(system, sent.replace("HOST", stage.host).encode("latin-1")), must


@scenario(
    each={
        "version-2-0": ("GET / HTTP/2.0\r\nHost: HOST\r\n\r\n", "505"),
        "two-lengths": (f"{POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400"),
        "both-framings": (
            f"{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "400",
        ),
        "coding": (f"{POST}Transfer-Encoding: gzip\r\n\r\n", "501"),
        "coding-list": (f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
        "chunked-twice": (
            f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        "chunked-in-1-0": (
            "POST / HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        "bare-lf": ("GET / HTTP/1.1\nHost: HOST\n\n", "400"),
        "no-host": ("GET / HTTP/1.1\r\n\r\n", "400"),
        "two-hosts": (f"{GET}Host: HOST\r\n\r\n", "400"),
        "host-with-path": ("GET / HTTP/1.1\r\nHost: HOST/x\r\n\r\n", "400"),
        "host-with-user": ("GET / HTTP/1.1\r\nHost: u@HOST\r\n\r\n", "400"),
        "host-with-bad-port": ("GET / HTTP/1.1\r\nHost: HOST:x\r\n\r\n", "400"),
        "fragment": ("GET /#f HTTP/1.1\r\nHost: HOST\r\n\r\n", "400"),
        "target-not-ascii": ("GET /\xe9 HTTP/1.1\r\nHost: HOST\r\n\r\n", "400"),
        "target-without-slash": ("GET x HTTP/1.1\r\nHost: HOST\r\n\r\n", "400"),
        "connect": ("CONNECT HOST:80 HTTP/1.1\r\nHost: HOST:80\r\n\r\n", "501"),
        "expect": (f"{POST}Expect: x\r\nContent-Length: 0\r\n\r\n", "417"),
        "head-too-large": (f"{GET}X-A: {'x' * 8200}\r\n\r\n", "431"),
        "line-too-long": (f"GET /{'x' * 8200} HTTP/1.1\r\nHost: HOST\r\n\r\n", "414"),
        "over-100-fields": (GET + "X-A: 1\r\n" * 101 + "\r\n", "431"),
        "chunk-size": (f"{POST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "400"),
        "chunk-suffix": (f"{POST}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "400"),
    }
)
def refused_request(system, stage, sent, must):
    stage.answer(text(body="served"))
    came = outcome(system, sent.replace("HOST", stage.host).encode("latin-1"))
    yield "status", came.partition(" ")[2][:3] or came, must


@scenario(
    each={
        "crlf-first": (f"\r\n\r\n{GET}\r\n", "/"),
        "absolute-form": ("GET http://HOST/abs?x HTTP/1.1\r\nHost: other.test\r\n\r\n", "/abs?x"),
        "chunked-upper": (f"{POST}Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "/"),
        "options-star": ("OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n", "*"),
        "angle-brackets": ("GET /<a> HTTP/1.1\r\nHost: HOST\r\n\r\n", "/%3Ca%3E"),
        "70-fields": (GET + "X-A: 1\r\n" * 69 + "\r\n", "/"),
        "60-fields": (GET + "X-A: 1\r\n" * 59 + "\r\n", "/"),
        "long-head": (f"{GET}X-A: {'x' * 8000}\r\n\r\n", "/"),
    }
)
def unusual(system, stage, sent, must):
    stage.answer(text(body="served"))
    came = outcome(system, sent.replace("HOST", stage.host).encode("latin-1"))
    yield "client", came, SERVED
    yield "target", [got.target for got in stage.requests], [must]


@scenario("NAME-localhost test", "localhost,path_beg=/NAME/ test")
def host_of_http_1_0(system, stage):
    """Without a Host it is `localhost`."""
    came = outcome(system, f"GET /{stage.name}/x HTTP/1.0\r\n\r\n".encode())
    yield "client", came, r"HTTP/1.0 404 Not Found: no such test resource\n, closed"


@scenario(each={"head": (GET,), "body": (f"{POST}Content-Length: 5\r\n\r\nabc",)})
def input_ends_early(system, stage, sent):
    stage.forgiving = True
    stage.answer(text(body="served"))
    with Client(system.port) as client:
        client.send(sent.replace("HOST", stage.host).encode())
        client.finish()
        client.until()
        yield "complete at the origin", [r for r in stage.requests if r.complete], []

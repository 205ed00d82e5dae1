"""The control API behind a real server on a loopback socket."""

import asyncio
import base64
import json
import socket

import jwt
import msgpack
import pytest

from gripproxy.control.httpapi import ControlApi
from gripproxy.errors import RequestError
from gripproxy.flow.ports import Receipt
from gripproxy.front.http1 import Limits
from gripproxy.front.server import Server
from gripproxy.protocol.credentials import Credentials
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.purges import Purge
from tests.control.fakes import FakeClock, FakeIntake, FakeTasks, Warnings, eventually

NOW = 1_000_000
ITEM = {"channel": "c", "formats": {"http-stream": {"content": "x"}}}
KEY = KeySource("text", b"a key of some length, for the tests")


@pytest.fixture
def intake():
    return FakeIntake()


@pytest.fixture
def warnings():
    return Warnings()


class Port:
    """A control port, and what it has logged."""

    def __init__(self, number, lines):
        self.number = number
        self.lines = lines

    async def send(self, *pieces):
        """Send bytes over one connection; return all that comes until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def ask(self, method="GET", path="/", *, body=None, **fields):
        """Send one request; return status, fields and body of the answer."""
        return parsed(await self.send(request(method, path, body=body, **fields)))

    async def told(self, *args, **kwargs):
        """Send one request; return status and text of the answer."""
        status, _, body = await self.ask(*args, **kwargs)
        return status, body.decode()


def request(method="GET", path="/", *, body=None, **fields):
    """Make a request; a field's name has `_` for `-`."""
    if body is not None:
        fields = {"Content-Length": len(body), **fields}
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def parsed(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    fields = [tuple(found.split(": ", 1)) for found in lines if not found.startswith("Date: ")]
    return line.removeprefix("HTTP/1.1 "), fields, body


def batch(*items):
    return json.dumps({"items": items}).encode()


@pytest.fixture
async def listen(intake, warnings):
    """Open control ports; all are closed in the end, and none may have failed."""
    servers, failures, tasks = [], [], FakeTasks()

    async def listen(*, head=10_000, **options):
        lines = []
        clock = FakeClock(NOW)
        api = ControlApi(intake, clock=clock, warn=warnings, log=lines.append, **options)
        server = Server(
            api.serve,
            clock=clock,
            tasks=tasks,
            limits=Limits(head=head, loose=True),
            refused=api.refused,
            failed=lambda who, error: failures.append(error),
        )
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        servers.append(server)
        return Port(sock.getsockname()[1], lines)

    yield listen
    for server in servers:
        server.close()
    await tasks.close()
    assert failures == []


@pytest.fixture
async def port(listen):
    return await listen()


@pytest.fixture
async def locked(listen):
    return await listen(credentials=Credentials(KEY))


# Answers


async def test_an_answer_has_these_fields_in_this_order(port):
    status, fields, body = await port.ask("GET", "/publish")
    assert status == "405 Method Not Allowed"
    assert fields == [
        ("Allow", "POST"),
        ("Content-Type", "text/plain"),
        ("Connection", "close"),
        ("Content-Length", "25"),
    ]
    assert body == b"Method not allowed: GET.\n"


async def test_an_http_1_0_client_is_answered_in_its_version(port):
    answer = await port.send(b"GET / HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nPushpin API\n")


async def test_a_connection_serves_many_requests(port, intake):
    publish = request("POST", "/publish", body=batch(ITEM)).replace(b"Connection: close\r\n", b"")
    answer = await port.send(publish, publish, request())
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert intake.channels == ["c", "c"]


async def test_head_is_answered_without_body(port):
    status, fields, body = await port.ask("HEAD", "/")
    assert (status, body) == ("200 OK", b"")
    assert ("Content-Length", "12") in fields


async def test_each_answer_is_logged(port):
    await port.ask("POST", "/publish/?x=1", body=batch(ITEM, ITEM))
    await port.ask("HEAD", "/")
    await port.ask("POST", "/publish", body=b"{}")
    assert port.lines == [
        "control: POST /publish/?x=1 code=200 10 items=2",
        "control: HEAD / code=200 0",
        "control: POST /publish code=400 48",
    ]


# What is no request


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (b"nonsense\r\n\r\n", "400 Bad Request", "Failed to parse request header."),
        (b"\x16\x03\x01\x02\x00\x01\n", "400 Bad Request", "Failed to parse request header."),
        (b" / HTTP/1.1\r\n\r\n", "400 Bad Request", "Failed to parse request header."),
        (b"GET  HTTP/1.1\r\n\r\n", "400 Bad Request", "Failed to parse request header."),
        (
            b"GET / HTTP/1.1\r\na b: c\r\n\r\n",
            "400 Bad Request",
            "Failed to parse request header.",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 10_000,
            "400 Bad Request",
            "Request header too large.",
        ),
        (b"GET /" + b"y" * 10_000, "400 Bad Request", "Request header too large."),
        (request("POST", "/publish"), "411 Length Required", "Request requires Content-Length."),
        (request("PUT", "/publish"), "411 Length Required", "Request requires Content-Length."),
        (request("POST", "/nothing"), "411 Length Required", "Request requires Content-Length."),
        (
            request("GET", "/", Transfer_Encoding="gzip"),
            "411 Length Required",
            "Request requires Content-Length.",
        ),
        (request("POST", "/", Content_Length="x"), "400 Bad Request", "Bad Content-Length."),
        (request("POST", "/", Content_Length=""), "400 Bad Request", "Bad Content-Length."),
        (
            request("POST", "/", Content_Length="-1"),
            "400 Bad Request",
            "Request body exceeded Content-Length.",
        ),
        (
            request("POST", "/publish", body=b'{"items":[]}') + b"\n",
            "400 Bad Request",
            "Request body exceeded Content-Length.",
        ),
        (
            request("POST", "/publish", Content_Length=1_000_001),
            "400 Bad Request",
            "Request body too large.",
        ),
        (
            request("POST", "/nothing", Content_Length=1_000_001, Expect="100-continue"),
            "400 Bad Request",
            "Request body too large.",
        ),
        (
            request("POST", "/publish", Transfer_Encoding="chunked") + b"nonsense\r\n",
            "400 Bad Request",
            "Failed to parse request body.",
        ),
    ],
)
async def test_what_is_no_request_is_answered_and_the_port_goes_on(
    port, intake, sent, status, text
):
    found, fields, body = parsed(await port.send(sent))
    assert (found, body.decode()) == (status, text + "\n")
    assert [name for name, _ in fields] == ["Content-Type", "Connection", "Content-Length"]
    assert await port.told("GET", "/") == ("200 OK", "Pushpin API\n")
    assert intake.items == []


# What is not quite HTTP


LOOSE = b"POST /publish HTTP/1.1\nX\nContent-Length: %d\n\n"


async def test_a_head_that_is_not_quite_http_is_understood(port, intake):
    body = batch(ITEM)
    head = LOOSE % len(body)
    answer = await port.send(head + body, head + body, request())
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert intake.channels == ["c", "c"]


async def test_such_a_head_may_come_in_pieces(port, intake):
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    sent = LOOSE.replace(b"X\n", b"Connection: close\r\n") % 12 + b'{"items":[]}'
    for piece in range(0, len(sent), 7):
        writer.write(sent[piece : piece + 7])
        # An answer on another connection: the server has read on this one.
        assert await port.told() == ("200 OK", "Pushpin API\n")
    assert (await reader.read()).endswith(b"\r\n\r\nPublished\n")
    writer.close()
    await writer.wait_closed()


async def test_what_follows_a_request_without_a_length_is_ignored(port):
    assert (await port.send(request() + b"abc")).endswith(b"\r\n\r\nPushpin API\n")


async def test_a_page_is_not_taken_for_another_where_no_host_is_named(port):
    answer = await port.send(b"GET / HTTP/1.1\r\nOrigin: http://localhost\r\n\r\n", request())
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")


async def test_what_could_not_be_read_is_logged(port):
    await port.send(b"nonsense\r\n\r\n")
    (line,) = port.lines
    assert line.startswith("control: refused from=127.0.0.1 code=400 Failed to parse request: ")


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (408, "Request header timed out.", (408, b"Request header timed out.\n")),
        (417, "Expectation not supported.", (417, b"Expectation not supported.\n")),
        (505, "Failed to parse request: v", (505, b"Failed to parse request: v\n")),
    ],
)
def test_what_the_api_has_no_words_for_is_told_in_the_servers(
    intake, warnings, status, text, told
):
    api = ControlApi(intake, clock=FakeClock(), warn=warnings)
    response = api.refused("", RequestError(status, text))
    assert (response.status, response.body) == told


async def test_the_header_may_be_as_large_as_the_option_says(listen):
    port = await listen(head=400)
    head = request("GET", "/", X="y" * 300)
    assert len(head) <= 400
    assert (await port.told("GET", "/", X="y" * 300))[0] == "200 OK"
    assert (await port.told("GET", "/", X="y" * 400))[1] == "Request header too large.\n"


async def test_the_body_may_be_as_large_as_the_option_says(listen):
    port = await listen(body_max=12)
    assert await port.told("POST", "/publish", body=b'{"items":[]}') == ("200 OK", "Published\n")
    answer = await port.told("POST", "/publish", body=b'{"items":[]} ')
    assert answer == ("400 Bad Request", "Request body too large.\n")


async def test_a_chunked_body_is_counted_as_it_comes(listen, intake):
    port = await listen(body_max=200_000)
    head = request("POST", "/publish", Transfer_Encoding="chunked")
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    status, _, body = parsed(await port.send(head, *[chunk] * 8))
    assert (status, body) == ("400 Bad Request", b"Request body too large.\n")
    assert intake.items == []


async def test_a_chunked_body_is_read(port, intake):
    body = batch(ITEM)
    head = request("POST", "/publish", Transfer_Encoding="chunked")
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:])]
    answer = await port.send(head, *pieces, b"0\r\n\r\n")
    assert answer.endswith(b"Published\n")
    assert intake.channels == ["c"]


async def test_a_client_that_asks_first_is_told_to_go_on(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    body = batch(ITEM)
    writer.write(request("POST", "/publish", Content_Length=len(body), Expect="100-continue"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.read()).endswith(b"Published\n")
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_leaves_in_mid_body_publishes_nothing(port, intake):
    _, writer = await asyncio.open_connection("127.0.0.1", port.number)
    writer.write(request("POST", "/publish", Content_Length=100) + b'{"items":')
    await writer.drain()
    writer.transport.abort()
    assert await port.told() == ("200 OK", "Pushpin API\n")
    assert (intake.items, port.lines) == ([], ["control: GET / code=200 12"])


async def test_a_client_that_ends_in_mid_body_is_cut(port, intake):
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    writer.write(request("POST", "/publish", Content_Length=100) + b'{"items":')
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert intake.items == []


# Accept


TEXT = ("200 OK", "Published\n")
JSON = ("200 OK", '{"items":0,"message":"Published","receivers":0}\n')
NOT_ACCEPTABLE = (
    "406 Not Acceptable",
    "Not Acceptable. Supported formats are text/plain and application/json.\n",
)


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("text/plain", TEXT),
        ("text/*", TEXT),
        ("*/*", TEXT),
        ("*", TEXT),
        ("application/json", JSON),
        ("application/*", JSON),
        ("Application/JSON", JSON),
        ("application/json, text/plain, */*", TEXT),
        ("text/plain, application/json", JSON),
        ("application/json;q=0.1,text/html", JSON),
        ("text/plain;q=1, application/json ; q=0", JSON),
        ("text/html", NOT_ACCEPTABLE),
        ("", NOT_ACCEPTABLE),
        (",", NOT_ACCEPTABLE),
    ],
)
async def test_the_last_form_that_is_known_wins(port, accept, answer):
    assert await port.told("POST", "/publish", body=b'{"items":[]}', Accept=accept) == answer


async def test_all_fields_are_read(port):
    fields = b"Accept: text/plain\r\naccept: application/json\r\nACCEPT: text/html\r\n"
    sent = request("POST", "/publish", body=b'{"items":[]}').replace(b"Host:", fields + b"Host:")
    assert (await port.send(sent)).endswith(b'"receivers":0}\n')


@pytest.mark.parametrize("path", ["/", "/publish", "/nothing"])
async def test_what_is_accepted_is_looked_at_before_the_path(port, path):
    assert await port.told("GET", path, Accept="text/html") == NOT_ACCEPTABLE


async def test_errors_are_text(port):
    answer = await port.ask("POST", "/publish", body=b"", Accept="application/json")
    assert answer[1][0] == ("Content-Type", "text/plain")


# Paths


@pytest.mark.parametrize("path", ["/", "//", "/?x=1", "http://elsewhere/", "http://elsewhere"])
async def test_the_root_says_what_this_is(port, path):
    assert await port.told("GET", path, Accept="application/json") == ("200 OK", "Pushpin API\n")


@pytest.mark.parametrize(
    "path",
    [
        "/publish",
        "/publish/",
        "/publish?x=1",
        "/publish/?x=/y/",
        "http://elsewhere/publish",
        "/service/abc/publish",
        "/service/abc/publish/",
    ],
)
async def test_items_are_published_here(port, intake, path):
    assert await port.told("POST", path, body=batch(ITEM)) == ("200 OK", "Published\n")
    assert intake.channels == ["c"]


@pytest.mark.parametrize(
    "path",
    [
        "/publish//",
        "/PUBLISH",
        "/%70ublish",
        "/publishing",
        "/service/publish",
        "/service//publish",
        "/service/a/b/publish",
        "/service/a/recover",
        "/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_there_is_nothing_else(port, intake, method, path):
    answer = await port.told(method, path, body=batch(ITEM))
    assert answer == ("404 Not Found", "Not Found\n")
    assert intake.items == []


async def test_options_of_everything_is_nothing_special(port):
    assert await port.told("OPTIONS", "*") == ("404 Not Found", "Not Found\n")


@pytest.mark.parametrize("path", ["/publish", "/recover/", "/service/a/publish"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PURGE"])
async def test_these_are_for_posting(port, method, path):
    status, fields, body = await port.ask(method, path, body=b"")
    assert (status, fields[0]) == ("405 Method Not Allowed", ("Allow", "POST"))
    assert body.decode() == f"Method not allowed: {method}.\n"


@pytest.mark.parametrize("body", [b"", b"anything"])
async def test_recovery_is_asked_for(port, intake, body):
    assert await port.told("POST", "/recover", body=body) == ("200 OK", "Updated\n")
    assert intake.calls == ["recover"]


async def test_recovery_is_told_in_json(port):
    status, fields, body = await port.ask("POST", "/recover/", body=b"", Accept="application/json")
    assert fields[0] == ("Content-Type", "application/json")
    assert (status, body) == ("200 OK", b'{"message":"Updated"}\n')


# Publishing


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Body is not valid JSON."),
        (b"{", "Body is not valid JSON."),
        (b"1", "Body is not valid JSON."),
        (b'"x"', "Body is not valid JSON."),
        (b"\xff\xfe", "Body is not valid JSON."),
        (b"[" * 5000, "Body is not valid JSON."),
        (b"[]", "Invalid format."),
        (b"{}", "Invalid format: object does not contain 'items'"),
        (b'{"items": {}}', "Invalid format: object contains 'items' with wrong type"),
        (b'{"items": [1]}', "Invalid format: publish item object is not an object"),
        (batch(ITEM, {"channel": "d"}, 1), "Invalid format: no formats specified"),
        (
            batch({**ITEM, "meta": {"a": 1}}),
            "Invalid format: 'meta' contains 'a' with wrong type",
        ),
    ],
)
async def test_of_a_bad_batch_nothing_is_published(port, intake, body, text):
    assert await port.told("POST", "/publish", body=body) == ("400 Bad Request", text + "\n")
    assert intake.items == []


async def test_a_batch_is_taken_in_order_and_at_once(port, intake):
    names = ["b", "a", "c"]
    body = batch(*[{**ITEM, "channel": name} for name in names])
    await port.ask("POST", "/publish", body=body, Content_Type="text/plain")
    assert intake.channels == names
    assert len(intake.batches) == 1


async def test_a_body_may_come_in_pieces(port, intake):
    sent = request("POST", "/publish", body=batch({**ITEM, "id": "x" * 500_000}))
    pieces = [sent[at : at + 100_000] for at in range(0, len(sent), 100_000)]
    assert (await port.send(*pieces)).endswith(b"Published\n")
    assert len(intake.items[0].id) == 500_000


async def test_a_receipt_tells_items_and_receivers(port, intake):
    intake.receivers = 31
    status, fields, body = await port.ask(
        "POST", "/publish", body=batch(ITEM, ITEM), Accept="application/json"
    )
    assert (status, fields[0]) == ("200 OK", ("Content-Type", "application/json"))
    assert body == b'{"items":2,"message":"Published","receivers":31}\n'


async def test_the_answer_waits_until_all_have_taken_the_batch(port, intake):
    intake.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(port.told("POST", "/publish", body=batch(ITEM)))
        await intake.until(1)
        assert await port.told() == ("200 OK", "Pushpin API\n")
        assert not asking.done()
        intake.gate.set()
    assert asking.result() == ("200 OK", "Published\n")


async def test_a_client_that_leaves_before_the_answer_has_published(port, intake):
    intake.gate = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", port.number)
    writer.write(request("POST", "/publish", body=batch(ITEM)))
    await intake.until(1)
    writer.transport.abort()
    intake.gate.set()
    assert await port.told() == ("200 OK", "Pushpin API\n")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/msgpack",
        "application/x-msgpack",
        "application/vnd.msgpack; version=1",
        "Application/MsgPack",
    ],
)
async def test_msgpack_is_read_where_it_is_announced(port, intake, content_type):
    body = msgpack.packb({"items": [{"channel": "c", "http-stream": {"content": b"\xff"}}]})
    answer = await port.told("POST", "/publish", body=body, Content_Type=content_type)
    assert answer == ("200 OK", "Published\n")
    assert intake.items[0].http_stream.content == b"\xff"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Body is not valid msgpack."),
        (b"\xc1", "Body is not valid msgpack."),
        (msgpack.packb({"items": []}) + b"\0", "Body is not valid msgpack."),
        (b'{"items": []}', "Body is not valid msgpack."),
        (msgpack.packb([]), "Invalid format."),
        (msgpack.packb({}), "Invalid format: object does not contain 'items'"),
    ],
)
async def test_bad_msgpack_is_told(port, body, text):
    answer = await port.told("POST", "/publish", body=body, Content_Type="application/msgpack")
    assert answer == ("400 Bad Request", text + "\n")


# Credentials


def token(key=KEY.secret, algorithm="HS256", **claims):
    return "Bearer " + jwt.encode(claims, key, algorithm=algorithm)


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"Authorization": token(exp=NOW + 1)},
        {"Authorization": token(exp=NOW - 59, iss="anyone")},
        {"Authorization": "bearer " + KEY.secret.decode()},
        {"Authorization": basic(f"anyone:{KEY.secret.decode()}")},
        {"Fastly-Key": KEY.secret.decode()},
    ],
)
async def test_who_knows_the_key_may_publish(locked, intake, warnings, fields):
    answer = await locked.told("POST", "/publish", body=batch(ITEM), **fields)
    assert answer == ("200 OK", "Published\n")
    assert (len(intake.items), warnings.told) == (1, [])


@pytest.mark.parametrize(
    ("fields", "reason", "error"),
    [
        ({}, "no credentials", ""),
        ({"Authorization": "Digest x"}, "unsupported scheme", ""),
        ({"Authorization": "Bearer x"}, "token is not valid", "invalid_token"),
        ({"Authorization": token(b"b" * 32, exp=NOW + 1)}, "token is not valid", "invalid_token"),
        ({"Authorization": token(exp=NOW - 60)}, "token has expired", "invalid_token"),
        ({"Authorization": token()}, "token has no exp", "invalid_token"),
        ({"Authorization": basic("x:y")}, "token is not valid", "invalid_token"),
        ({"Fastly-Key": "x"}, "token is not valid", "invalid_token"),
    ],
)
async def test_nobody_else_may(locked, intake, warnings, fields, reason, error):
    status, answered, body = await locked.ask("POST", "/publish", body=b"not JSON", **fields)
    challenge = 'Bearer realm="gripproxy"' + (f', error="{error}"' if error else "")
    assert (status, answered[0]) == ("401 Unauthorized", ("WWW-Authenticate", challenge))
    assert body.decode() == f"Unauthorized: {reason}.\n"
    assert intake.items == []
    assert warnings.told == [
        (
            "control 127.0.0.1",
            f"control: POST /publish from=127.0.0.1 refused: {reason}",
        )
    ]


async def test_the_issuer_may_be_asked_for(listen):
    port = await listen(credentials=Credentials(KEY, "me"))
    for issuer, status in (("me", "200 OK"), ("you", "401 Unauthorized")):
        authorization = token(exp=NOW + 1, iss=issuer)
        answer = await port.told("POST", "/recover", body=b"", Authorization=authorization)
        assert answer[0] == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_this_is_may_be_asked_by_anyone(locked, warnings, method):
    assert (await locked.told(method, "/"))[0] == "200 OK"
    assert warnings.told == []


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("POST", "/", "*/*"),
        ("GET", "/nothing", "*/*"),
        ("POST", "/recover", "*/*"),
        ("POST", "/publish", "text/html"),
    ],
)
async def test_credentials_are_looked_at_before_what_is_asked(locked, method, path, accept):
    status, _ = await locked.told(method, path, body=b"", Accept=accept)
    assert status == "401 Unauthorized"


async def test_the_length_is_looked_at_before_credentials(locked):
    assert (await locked.told("POST", "/publish"))[0] == "411 Length Required"
    answer = await locked.told("POST", "/publish", Content_Length=1_000_001)
    assert answer == ("400 Bad Request", "Request body too large.\n")


async def test_a_large_body_without_credentials_is_not_waited_for(locked):
    answer = await locked.told("POST", "/publish", Content_Length=900_000, Expect="100-continue")
    assert answer == ("401 Unauthorized", "Unauthorized: no credentials.\n")


# Pages of other sites


CROSS_ORIGIN = ("403 Forbidden", "Cross-origin requests need credentials.\n")


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("localhost:5561", "http://localhost:5561", True),
        ("127.0.0.1:5561", "http://127.0.0.1:5561", True),
        ("[::1]:5561", "http://[::1]:5561", True),
        ("localhost:5561", "http://evil.example", False),
        ("evil.example:5561", "http://evil.example:5561", False),
        ("localhost:5561", "null", False),
    ],
)
async def test_a_page_may_publish_only_to_where_it_comes_from(port, host, origin, allowed):
    sent = request("POST", "/publish", body=batch(ITEM), Origin=origin)
    status, _, body = parsed(await port.send(sent.replace(b"Host: x", b"Host: " + host.encode())))
    assert (status, body.decode()) == (("200 OK", "Published\n") if allowed else CROSS_ORIGIN)


async def test_a_page_that_is_refused_is_a_warning(port, intake, warnings):
    await port.ask("POST", "/publish", body=batch(ITEM), Origin="http://evil.example")
    assert intake.items == []
    assert warnings.told == [
        ("control 127.0.0.1", "control: POST /publish from=127.0.0.1 refused: cross-origin")
    ]


async def test_with_credentials_any_page_may_publish(locked):
    answer = await locked.told(
        "POST",
        "/publish",
        body=batch(ITEM),
        Origin="http://elsewhere.example",
        Authorization=token(exp=NOW + 1),
    )
    assert answer == ("200 OK", "Published\n")


async def test_without_them_a_page_may_not_even_ask_what_this_is(locked, port):
    for each in (locked, port):
        assert await each.told("GET", "/", Origin="http://evil.example") == CROSS_ORIGIN


# Many at once


async def test_who_says_nothing_does_not_stop_the_others(port, intake):
    silent = [await asyncio.open_connection("127.0.0.1", port.number) for _ in range(20)]
    for number, (_, writer) in enumerate(silent):
        writer.write(request("POST", "/publish", Content_Length=50)[: number * 3])
    answers = [port.told("POST", "/publish", body=batch(ITEM)) for _ in range(20)]
    assert set(await asyncio.gather(*answers)) == {("200 OK", "Published\n")}
    await eventually(lambda: len(intake.items) == 20)
    for _, writer in silent:
        writer.transport.abort()


# Purges


async def test_a_purge_is_answered_with_how_much_it_took_back(listen, intake):
    intake.receipt = Receipt(3)
    port = await listen()
    status, text = await port.told("POST", "/purge", body=b'{"keys": ["k"]}')
    told = json.loads(text)
    assert (status, told.pop("id") != "", told) == ("200 OK", True, {"status": "ok", "purged": 3})
    assert intake.calls == [(Purge(keys=("k",)), True)]
    assert port.lines[-1].endswith(" purged=3")


async def test_a_purge_is_answered_with_how_many_have_not_counted(listen, intake):
    intake.receipt = Receipt(3, 2)
    port = await listen()
    _, text = await port.told("POST", "/purge", body=b'{"keys": ["k"]}')
    assert json.loads(text)["pending"] == 2
    assert port.lines[-1].endswith(" purged=3 pending=2")


async def test_nobody_counts_for_an_answer_that_tells_no_number(listen, intake):
    intake.receipt = Receipt(0, 2)
    port = await listen()
    status, text = await port.told("POST", "/service/any/purge/k")
    assert (status, sorted(json.loads(text))) == ("200 OK", ["id", "status"])
    assert intake.calls == [(Purge(keys=("k",)), False)]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/purge", b"{", "Body is not valid JSON."),
        ("/purge", b'{"tags": []}', "'tags' with unknown name"),
        ("/service/any/purge", b"", "no surrogate keys"),
    ],
)
async def test_a_purge_that_makes_no_sense_takes_nothing_back(listen, intake, path, body, told):
    port = await listen()
    status, text = await port.told("POST", path, body=body)
    assert (status, told in text) == ("400 Bad Request", True)
    assert intake.calls == []


async def test_a_path_that_only_looks_like_a_purge_is_not_found(listen, intake):
    port = await listen()
    assert (await port.told("POST", "/service/any/purged"))[0] == "404 Not Found"
    assert intake.calls == []

"""The client of the control API, against servers on loopback."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jwt
import pytest
import zmq

from gripproxy.control.client import (
    DEFAULT_SPEC,
    Destination,
    GripUrl,
    Publication,
    build_item,
    post,
    publish,
)
from gripproxy.errors import KeySourceError, PublishError
from gripproxy.protocol import packets, tnetstring
from tests.ports import free_port

NOW = 1_000_000.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nPublished\n"


def item(**members):
    return build_item(Publication(channel="c", **members))


# Items


def test_text_goes_out_in_every_format():
    assert item(content="é") == {
        "channel": "c",
        "formats": {
            "http-response": {"code": 200, "body": "é\n".encode()},
            "http-stream": {"content": "é\n".encode()},
            "ws-message": {"content": "é".encode()},
        },
    }


def test_the_end_of_the_line_can_be_left_out():
    formats = item(content="x", no_eol=True)["formats"]
    assert formats["http-response"]["body"] == formats["http-stream"]["content"] == b"x"


def test_a_file_goes_out_as_it_is(tmp_path):
    path = tmp_path / "page"
    path.write_bytes(b"\xff\0")
    assert item(content=f"@{path}")["formats"] == {
        "http-response": {"code": 200, "body": b"\xff\0"},
        "http-stream": {"content": b"\xff\0"},
        "ws-message": {"content-bin": b"\xff\0"},
    }


def test_a_hint_wins_over_all_else():
    assert item(hint=True, close=True, content="x", patch=True)["formats"] == {
        "http-response": {"action": "hint"},
        "http-stream": {"action": "hint"},
        "ws-message": {"action": "hint"},
    }


def test_a_close_is_for_what_stays_open():
    assert item(close=True)["formats"] == {
        "http-stream": {"action": "close"},
        "ws-message": {"action": "close"},
    }


def test_a_patch_is_for_responses_only():
    formats = item(content=' [{"op": "remove", "path": "/a"}]', patch=True, code="201")["formats"]
    assert formats == {
        "http-response": {"code": 201, "body-patch": [{"op": "remove", "path": "/a"}]}
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"id": "1"}, {"id": "1"}),
        ({"id": ""}, {}),
        ({"prev_id": "0"}, {"prev-id": "0"}),
        ({"prev_id": ""}, {}),
        ({"sender": "me"}, {"meta": {"sender": "me"}}),
        ({"sender": ""}, {}),
        ({"meta": ("x= 1 ", " y =a=b")}, {"meta": {"x": "1", " y ": "a=b"}}),
        ({"sender": "me", "meta": ("sender=you",)}, {"meta": {"sender": "you"}}),
        ({"no_seq": True}, {"no-seq": True}),
    ],
)
def test_an_item_has_only_what_is_given(members, expected):
    made = item(content="x", **members)
    del made["channel"], made["formats"]
    assert made == expected


def test_header_fields_keep_their_order_and_repeats():
    made = item(content="x", headers=("A: b ", "a:c", " B :d:e"))
    assert made["formats"]["http-response"]["headers"] == [["A", "b"], ["a", "c"], [" B ", "d:e"]]


@pytest.mark.parametrize(("text", "code"), [("0", 0), ("000999", 999), ("404", 404)])
def test_a_code_is_a_number(text, code):
    assert item(content="x", code=text)["formats"]["http-response"]["code"] == code


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({}, "must specify content"),
        ({"patch": True}, "must specify content"),
        ({"content": "{}", "patch": True}, "patch content must be a JSON array"),
        ({"content": "@x", "patch": True}, "patch content must be a JSON array"),
        ({"content": "x", "headers": ("bad",)}, 'header must be in the form "name: value"'),
        ({"hint": True, "headers": ("bad",)}, 'header must be in the form "name: value"'),
        ({"content": "x", "meta": ("bad",)}, 'meta must be in the form "name=value"'),
        ({"content": "x", "code": "1000"}, "code must be an integer between 0 and 999"),
        ({"content": "x", "code": "9" * 5000}, "code must be an integer between 0 and 999"),
        ({"content": "x", "code": "-1"}, "failed to parse code: invalid digit found in string"),
        ({"content": "x", "code": ""}, "failed to parse code: invalid digit found in string"),
        ({"content": "x", "code": "²"}, "failed to parse code: invalid digit found in string"),
        ({"content": "@no/file"}, "can't read file no/file: No such file or directory"),
        ({"content": "@a\0b"}, "can't read file a\0b: embedded null byte"),
    ],
)
def test_what_makes_no_item_is_told(members, text):
    with pytest.raises(PublishError) as caught:
        item(**members)
    assert str(caught.value) == caught.value.text == text


# URLs


@pytest.mark.parametrize(
    ("text", "url", "target"),
    [
        ("http://h", {"host": "h"}, "/publish/"),
        ("https://h/", {"host": "h", "secure": True}, "/publish/"),
        ("HTTP://H:81/base/", {"host": "h", "port": 81, "path": "/base"}, "/base/publish/"),
        ("http://[::1]:81/a//", {"host": "::1", "port": 81, "path": "/a/"}, "/a//publish/"),
        ("http://h?x=1&y", {"host": "h", "query": "x=1&y"}, "/publish/?x=1&y"),
        (
            "http://h/?iss=me&x=%20&key=a%20b&verify-iss=v&verify-key=k#f",
            {"host": "h", "issuer": "me", "key": "a b", "query": "x=%20"},
            "/publish/?x=%20",
        ),
        (
            "http://h/?key=base64:a+b%2Bc",
            {"host": "h", "key": "base64:a+b+c"},
            "/publish/",
        ),
        ("http://u%40:p%3A@h", {"host": "h", "user": "u@:p:"}, "/publish/"),
        ("http://u@h", {"host": "h", "user": "u:"}, "/publish/"),
    ],
)
def test_a_grip_url_is_taken_apart(text, url, target):
    found = GripUrl.parse(text)
    assert found == GripUrl(**{"secure": False, "port": None, **url})
    assert found.target("/publish/") == target


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///x",
        "http:h",
        "http://h:x",
        "http://h:65536",
        "http://[::1",
        "http://h/a b",
        "http://h/\n",
        "http://é",
        "ftp://h",
        "",
    ],
)
def test_what_is_no_url_is_told(text):
    with pytest.raises(PublishError, match=r"^invalid URL$"):
        GripUrl.parse(text)


@pytest.mark.parametrize(
    "text", ["http://h", "https://h:1/base", "http://[::1]:2", "https://h/?key=secret"]
)
def test_a_url_is_shown_without_its_secrets(text):
    assert str(GripUrl.parse(text)) == text.partition("/?")[0]


# Over HTTP


class Proxy:
    """Answers one request with fixed bytes, and remembers it."""

    def __init__(self, answer):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port = self._listener.getsockname()[1]
        self.head, self.body = "", b""
        self._thread = threading.Thread(target=self._serve)

    @property
    def fields(self):
        return dict(line.split(": ", 1) for line in self.head.split("\r\n")[1:])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        # Ends an accept that nobody came for.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self):
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client, client.makefile("rb") as stream:
            lines = []
            while line := stream.readline().strip():
                lines.append(line.decode())
            self.head = "\r\n".join(lines)
            self.body = stream.read(int(self.fields.get("Content-Length", 0)))
            client.sendall(self._answer)


@pytest.fixture
def proxy():
    with Proxy(OK) as proxy:
        yield proxy


def spec_of(proxy, rest="", who=""):
    return f"http://{who}127.0.0.1:{proxy.port}{rest}"


def test_an_item_is_posted_as_json(proxy):
    heard = []
    to = Destination(spec=spec_of(proxy))
    publish(
        Publication(channel="c", content="é"), to, now=NOW, accepted=lambda: heard.append(proxy)
    )
    assert heard == [proxy]
    assert proxy.head.startswith("POST /publish/ HTTP/1.1\r\n")
    assert proxy.fields["Host"] == f"127.0.0.1:{proxy.port}"
    assert proxy.fields["Content-Type"] == "application/json"
    assert "Authorization" not in proxy.fields
    expected = (
        '{"items":[{"channel":"c","formats":{"http-response":{"body":"é\\n","code":200},'
        '"http-stream":{"content":"é\\n"},"ws-message":{"content":"é"}}}]}'
    )
    assert proxy.body == expected.encode()


def test_bytes_that_are_no_text_are_posted_in_base64(proxy, tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\0x")
    publication = Publication(channel="c", content=f"@{tmp_path / 'x'}", headers=("A: b",))
    publish(publication, Destination(spec=spec_of(proxy)), now=NOW)
    (found,) = json.loads(proxy.body)["items"]
    assert found["formats"] == {
        "http-response": {"body-bin": "/wB4", "code": 200, "headers": [["A", "b"]]},
        "http-stream": {"content-bin": "/wB4"},
        "ws-message": {"content-bin": "/wB4"},
    }
    (read,) = packets.decode_batch(proxy.body, None)
    assert read.http_stream.content == read.ws_message.content == b"\xff\0x"


@pytest.mark.parametrize(
    ("rest", "target"),
    [("", "/publish/"), ("/base/", "/base/publish/"), ("/base?x=1&iss=a", "/base/publish/?x=1")],
)
def test_the_path_and_what_is_not_ours_of_the_query_are_kept(proxy, rest, target):
    publish(Publication(channel="c", hint=True), Destination(spec=spec_of(proxy, rest)), now=NOW)
    assert proxy.head.startswith(f"POST {target} HTTP/1.1\r\n")


def authorization(proxy, rest="", who="", **options):
    to = Destination(spec=spec_of(proxy, rest, who), **options)
    publish(Publication(channel="c", hint=True), to, now=NOW)
    return proxy.fields["Authorization"]


@pytest.mark.parametrize(
    ("rest", "secret"),
    [
        ("?iss=me&key=changeme", b"changeme"),
        ("?iss=me&key=base64:AP%2B_-w", b"\x00\xff\xbf\xfb"),
        ("?iss=me&key=base64:AP+/+w==", b"\x00\xff\xbf\xfb"),
        ("?iss=me&key=base64:AP%20/%20w", b"\x00\xff\xbf\xfb"),
    ],
)
@pytest.mark.filterwarnings("ignore:The HMAC key")
def test_with_issuer_and_key_a_token_is_signed(proxy, rest, secret):
    scheme, token = authorization(proxy, rest).split(" ")
    options = {"verify_exp": False}
    claims = jwt.decode(token, secret, algorithms=["HS256"], options=options)
    assert scheme == "Bearer"
    assert claims["iss"] == "me"
    assert NOW + 3500 < claims["exp"] <= NOW + 3600


@pytest.mark.parametrize(
    ("rest", "who", "options", "expected"),
    [
        ("?key=a+token", "", {}, "Bearer a+token"),
        ("?key=base64:AP+/", "", {}, "Bearer base64:AP+/"),
        ("", "me:pass@", {}, "Basic bWU6cGFzcw=="),
        ("", "", {"user": "me:pass"}, "Basic bWU6cGFzcw=="),
        ("", "", {"bearer": "t"}, "Bearer t"),
        ("?iss=a&key=b", "u:v@", {"bearer": "t"}, "Bearer t"),
        ("?iss=a&key=b", "u:v@", {"user": "me:pass"}, "Basic bWU6cGFzcw=="),
    ],
)
def test_credentials_are_sent(proxy, rest, who, options, expected):
    assert authorization(proxy, rest, who, **options) == expected


def test_an_issuer_without_key_signs_nothing(proxy):
    to = Destination(spec=spec_of(proxy, "?iss=me"))
    publish(Publication(channel="c", hint=True), to, now=NOW)
    assert "Authorization" not in proxy.fields


@pytest.mark.parametrize(
    ("to", "text"),
    [
        (Destination(spec="http://h", user="a:b"), "Authentication requires https"),
        (Destination(spec="http://h", bearer="t"), "Authentication requires https"),
        (Destination(spec="http://10.0.0.1", bearer="t"), "Authentication requires https"),
        (Destination(spec="http://a:b@h"), "Authentication requires https"),
        (Destination(spec="http://h?key=k"), "Authentication requires https"),
        (
            Destination(user="a:b", bearer="t"),
            "only one authentication method can be specified",
        ),
        (
            Destination(spec="tcp://127.0.0.1:1", user="a:b", bearer="t"),
            "only one authentication method can be specified",
        ),
        (Destination(spec="http:///x"), "invalid URL"),
        (Destination(spec="http://127.0.0.1:1/x y"), "invalid URL"),
    ],
)
def test_what_is_not_sent_is_told(to, text):
    with pytest.raises(PublishError) as caught:
        publish(Publication(channel="c", hint=True), to, now=NOW)
    assert caught.value.text == text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]"])
def test_credentials_may_stay_on_this_machine_unencrypted(host):
    assert GripUrl.parse(f"http://{host}").private


def test_a_key_that_is_no_base64_is_told():
    to = Destination(spec="http://127.0.0.1:1?iss=a&key=base64:!")
    with pytest.raises(KeySourceError):
        publish(Publication(channel="c", hint=True), to, now=NOW)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\n\r\n oops \n", "oops"),
        (b"HTTP/1.0 404 Not Found\r\n\r\nNot Found\n", "Not Found"),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", "202 Accepted"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /\r\n\r\n", "302 Found"),
        (b"", "{url}: Remote end closed connection without response"),
        (b"nonsense\r\n\r\n", "{url}: invalid answer"),
    ],
)
def test_anything_but_200_is_an_error(answer, text):
    heard = []
    with Proxy(answer) as proxy, pytest.raises(PublishError) as caught:
        publish(
            Publication(channel="c", hint=True),
            Destination(spec=spec_of(proxy, "/?key=k")),
            now=NOW,
            accepted=lambda: heard.append(1),
        )
    assert caught.value.text == text.format(url=f"http://127.0.0.1:{proxy.port}")
    assert heard == []


def test_who_does_not_listen_is_named():
    spec = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(PublishError) as caught:
        publish(Publication(channel="c", hint=True), Destination(spec=spec), now=NOW)
    assert caught.value.text == f"{spec}: Connection refused"


def test_a_name_that_leads_nowhere_is_told():
    to = Destination(spec="http://nowhere.invalid")
    with pytest.raises(PublishError, match=r"^http://nowhere\.invalid: .*[Nn]ame"):
        publish(Publication(channel="c", hint=True), to, now=NOW)


def test_a_header_that_cannot_be_sent_is_told():
    to = Destination(spec=f"http://127.0.0.1:{free_port()}", bearer="a\nb")
    with pytest.raises(PublishError, match="Invalid header value"):
        publish(Publication(channel="c", hint=True), to, now=NOW)


def test_a_server_without_tls_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        spec = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(PublishError, match=f"^{spec}: .*SSL"):
            publish(Publication(channel="c", hint=True), Destination(spec=spec), now=NOW)
        thread.join()


def test_text_that_no_encoding_has_is_told(proxy):
    for spec in (spec_of(proxy), "tcp://127.0.0.1:1"):
        with pytest.raises(PublishError, match="text"):
            publish(Publication(channel="\udcff", hint=True), Destination(spec=spec), now=NOW)


def test_other_paths_are_posted_to_in_the_same_way(proxy):
    to = Destination(spec=spec_of(proxy, "/base/?key=t"))
    assert post(to, "/purge", b'{"all":true}', now=NOW) == b"Published\n"
    assert proxy.head.startswith("POST /base/purge HTTP/1.1\r\n")
    assert (proxy.fields["Authorization"], proxy.body) == ("Bearer t", b'{"all":true}')


def test_without_more_it_goes_to_the_port_by_convention():
    assert Destination().spec == DEFAULT_SPEC == "http://localhost:5561"


# Over ZeroMQ


@pytest.fixture
def pull():
    context = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.rcvtimeo = 10_000
    yield socket
    context.destroy(linger=0)


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc://*"])
def test_an_item_is_pushed_as_a_bare_tnetstring(pull, where):
    pull.setsockopt(zmq.IPV6, 1)
    pull.bind(where)
    heard = []
    to = Destination(spec=pull.LAST_ENDPOINT.decode(), user="not:used")
    publication = Publication(channel="c", content="x", id="1")
    publish(publication, to, now=NOW, accepted=lambda: heard.append(1))
    assert tnetstring.decode(pull.recv()) == {
        "channel": b"c",
        "id": b"1",
        "formats": {
            "http-response": {"code": 200, "body": b"x\n"},
            "http-stream": {"content": b"x\n"},
            "ws-message": {"content": b"x"},
        },
    }
    assert heard == [1]


def test_bytes_that_are_no_text_are_pushed_as_they_are(pull, tmp_path):
    (tmp_path / "x").write_bytes(b"\xff")
    pull.bind("tcp://127.0.0.1:*")
    to = Destination(spec=pull.LAST_ENDPOINT.decode())
    publish(Publication(channel="c", content=f"@{tmp_path / 'x'}"), to, now=NOW)
    read = packets.decode_item(pull.recv())
    assert read.http_response.body == read.http_stream.content == b"\xff"
    assert (read.ws_message.content, read.ws_message.kind.name) == (b"\xff", "BINARY")


def test_an_address_that_is_none_is_told():
    with pytest.raises(PublishError) as caught:
        publish(Publication(channel="c", hint=True), Destination(spec="foo"), now=NOW)
    assert caught.value.text == "foo: Invalid argument"


def test_it_waits_until_somebody_listens(pull):
    spec = f"tcp://127.0.0.1:{free_port()}"
    queued = threading.Event()
    publication = Publication(channel="c", content="x")
    publishing = threading.Thread(
        target=publish,
        args=(publication, Destination(spec=spec)),
        kwargs={"now": NOW, "accepted": queued.set},
    )
    publishing.start()
    assert queued.wait(10)
    assert publishing.is_alive()
    pull.bind(spec)
    assert tnetstring.decode(pull.recv())["channel"] == b"c"
    publishing.join(10)
    assert not publishing.is_alive()


def test_waiting_can_be_broken_off():
    program = (
        "from gripproxy.control.client import *\n"
        f"to = Destination(spec='tcp://127.0.0.1:{free_port()}')\n"
        "told = lambda: print('queued', flush=True)\n"
        "publish(Publication(channel='c', hint=True), to, now=0.0, accepted=told)\n"
    )
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout.readline() == b"queued\n"
        running.send_signal(2)
        _, told = running.communicate(timeout=10)
    assert b"KeyboardInterrupt" in told

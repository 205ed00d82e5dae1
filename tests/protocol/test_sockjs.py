"""SockJS: paths, frames and answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import RequestError
from gripproxy.protocol import sockjs, wsframes
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.sockjs import Page, Place, What, Writer

NOT_STORED = (b"Cache-Control", b"no-store, no-cache, must-revalidate, max-age=0")
ANYBODY = (
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Access-Control-Allow-Credentials", b"true"),
)


def whole(response):
    """Return a response without its head's order: status, fields, body."""
    assert response.length == len(response.body)
    return response.status, response.reason, dict(response.headers), response.body


# Paths


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (b"/sjs", What.GREETING),
        (b"/sjs/", What.GREETING),
        (b"/sjs/info", What.DESCRIPTION),
        (b"/sjs/websocket", What.RAW),
        (b"/sjs/iframe.html", What.IFRAME),
        (b"/sjs/iframe-1.6.1.html", What.IFRAME),
        (b"/sjs/iframe/x.html", What.NOTHING),
        (b"/sjs/x/iframe.html", What.NOTHING),
        (b"/sjs/iframe.htm", What.NOTHING),
        (b"/sjs/info/", What.NOTHING),
        (b"/sjsx", What.NOTHING),
        (b"/sjsx/0/s/xhr", What.NOTHING),
        (b"/sjs/0/xhr", What.NOTHING),
        (b"/sjs/0/s/xhr/", What.NOTHING),
        (b"/sjs/0//xhr", What.NOTHING),
        (b"/sjs//s/xhr", What.NOTHING),
        (b"/sjs/0/s/", What.NOTHING),
    ],
)
def test_a_path_stands_for(path, what):
    assert sockjs.place(path, b"/sjs") == Place(what)


@pytest.mark.parametrize("base", [b"/sjs", b"/sjs/"])
def test_a_session_has_its_name_whatever_the_server_part(base):
    assert sockjs.place(b"/sjs/0/s/xhr", base) == Place(What.SESSION, b"s", b"xhr")
    assert sockjs.place(b"/sjs/17/s/xhr", base) == Place(What.SESSION, b"s", b"xhr")


def test_the_base_may_be_the_root():
    assert sockjs.place(b"/info", b"/") == Place(What.DESCRIPTION)
    assert sockjs.place(b"/", b"/") == Place(What.GREETING)


# Queries and forms


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (b"/p?c=cb", b"cb"),
        (b"/p?callback=a.b_%24", b"a.b_$"),
        (b"/p?c=one&callback=two", b"two"),
        (b"/p?a=1&c=one&c=two", b"one"),
        (b"/p?x=1", None),
        (b"/p?c", None),
        (b"/p", None),
    ],
)
def test_a_query_names_a_callback(target, name):
    assert sockjs.callback(target) == name


@pytest.mark.parametrize(
    "name", [b"", b"a(b", b"a+b", b"%3Cscript%3E", b"a[0]", b"a" * 129, b"\xc3\xa9"]
)
def test_what_is_no_name_is_no_callback(name):
    with pytest.raises(RequestError) as caught:
        sockjs.callback(b"/p?c=" + name)
    assert (caught.value.status, caught.value.text) == (400, "Bad Request")


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (b"d=%5B%22a+b%22%5D", b'["a b"]'),
        (b"x=1&d=%2B", b"+"),
        (b"d=a=b&d=c", b"a=b"),
        (b"d=", b""),
        (b"d", None),
        (b"dd=1", None),
        (b"", None),
    ],
)
def test_a_form_has_a_value(form, value):
    assert sockjs.form_value(form, b"d") == value


@pytest.mark.parametrize(
    ("base", "as_path", "polled", "path"),
    [
        (b"/sjs", b"/ws", True, b"/ws"),
        (b"/sjs", b"/ws", False, b"/ws"),
        (b"/sjs", b"", True, b"/sjs"),
        (b"/sjs", b"", False, b"/sjs/websocket"),
        (b"/sjs/", b"", True, b"/sjs/"),
        (b"/sjs/", b"", False, b"/sjs/websocket"),
    ],
)
def test_the_origin_sees_one_path_for_all_sessions(base, as_path, polled, path):
    assert sockjs.origin_path(base, as_path, polled=polled) == path


@pytest.mark.parametrize(
    ("target", "script", "query"),
    [
        (b"/p", False, b""),
        (b"/p?", False, b""),
        (b"/p?a=1&c=2", False, b"?a=1&c=2"),
        (b"/p?a=1&c=2&b=%20&callback=x", True, b"?a=1&b=%20"),
        (b"/p?c=2", True, b""),
    ],
)
def test_the_origin_sees_the_query_without_what_was_for_us(target, script, query):
    assert sockjs.origin_query(target, script=script) == query


# Frames


@pytest.mark.parametrize(
    ("payload", "written"),
    [
        (b"plain", b'"plain"'),
        (b'a"\\\n\x01/', b'"a\\"\\\\\\n\\u0001/"'),
        ("é\u2028\u2029".encode(), b'"\xc3\xa9\\u2028\\u2029"'),
        (b"\xffx", '"\ufffdx"'.encode()),
        (b"", b'""'),
    ],
)
def test_a_message_is_written_as_json(payload, written):
    assert sockjs.message(payload) == written


def test_messages_make_one_frame():
    assert sockjs.messages(bytearray(b'"a","b"')) == b'a["a","b"]'


@pytest.mark.parametrize(
    ("code", "reason", "frame"),
    [
        (4001, 'by"e', b'c[4001,"by\\"e"]'),
        (4001, "", b'c[4001,"Connection closed"]'),
        (None, "", b'c[0,"Connection closed"]'),
    ],
)
def test_a_close_is_written(code, reason, frame):
    assert sockjs.closed(code, reason) == frame


def test_what_pages_do_wrong_has_frames_of_its_own():
    assert sockjs.STILL_OPEN == b'c[2010,"Another connection still open"]'
    assert sockjs.CLIENT_CLOSED == b'c[3000,"Client already closed connection"]'


@given(st.lists(st.text(), min_size=1), st.data())
def test_messages_in_pieces_are_written_as_whole_ones(texts, data):
    writer = Writer()
    for text in texts:
        payload = text.encode("utf-8", "replace")
        cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        ends = [*cuts, len(payload)]
        starts = [0, *cuts]
        written = b"".join(
            writer.write(payload[start:end], first=number == 0, last=number == len(cuts))
            for number, (start, end) in enumerate(zip(starts, ends, strict=True))
        )
        assert written == sockjs.messages(sockjs.message(payload))


def test_a_message_that_ends_in_a_character_leaves_nothing_to_the_next():
    writer = Writer()
    broken = [(b"a", True, False), (b"\xe2\x80", False, True), (b"\xa8", True, False)]
    written = [writer.write(payload, first=first, last=last) for payload, first, last in broken]
    assert written == [b'a["a', '\ufffd"]'.encode(), 'a["\ufffd'.encode()]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_of_a_websocket_is_taken_apart(size):
    frame = wsframes.encode(wsframes.BINARY, b"x" * size)
    assert sockjs.unframed(frame) == (wsframes.BINARY, b"x" * size)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (b'["one","two"]', [b"one", b"two"]),
        (b"[]", []),
        (b' ["\\u00e9\xc3\xa9"] ', ["éé".encode()]),
        (b'["\\ud800"]', ["\ufffd".encode()]),
        (b'"one"', None),
        (b"{}", None),
        (b'["one",1]', None),
        (b"[null]", None),
        (b"one", None),
        (b"", None),
        (b'["\xff"]', None),
        (b"[" * 50_000, None),
    ],
)
def test_a_page_sends_an_array_of_texts(text, messages):
    assert sockjs.read_messages(text) == messages


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)))))
def test_any_texts_can_be_sent(texts):
    sent = json.dumps(texts).encode()
    assert sockjs.read_messages(sent) == [text.encode() for text in texts]


# Answers


def test_every_answer_says_who_may_read_it_and_is_not_stored():
    assert dict(Page(b"http://a").frame(b"o").headers) == {
        b"Content-Type": b"text/plain",
        b"Cache-Control": NOT_STORED[1],
        b"Access-Control-Allow-Origin": b"http://a",
        b"Access-Control-Allow-Credentials": b"true",
    }


def test_the_greeting():
    expected = {b"Content-Type": b"text/plain; charset=UTF-8", **dict((NOT_STORED, *ANYBODY))}
    assert whole(Page(None).greeting()) == (200, b"OK", expected, b"Welcome to SockJS!\n")


def test_the_description_has_its_entropy():
    response = Page(None).description(7)
    assert response.headers.get(b"content-type") == b"application/json; charset=UTF-8"
    assert response.body == (
        b'{"cookie_needed":false,"entropy":7,"origins":["*:*"],"websocket":true}\n'
    )


def test_the_iframe_page_is_stored_for_a_year():
    response = Page(None).iframe("http://cdn/a.js?x=1&y", [])
    assert response.headers.get(b"content-type") == b"text/html; charset=UTF-8"
    assert response.headers.get_all(b"cache-control") == [b"public, max-age=31536000"]
    assert response.headers.get(b"vary") == b"Origin"
    assert b'src="http://cdn/a.js?x=1&amp;y"' in response.body
    assert b"SockJS.bootstrap_iframe()" in response.body


def test_the_iframe_page_is_not_sent_again():
    page = Page(None)
    tag = page.iframe("u", []).headers.get(b"etag")
    for asked in ([tag], [b'"x", W/' + tag]):
        again = page.iframe("u", asked)
        assert (again.status, again.body, again.headers.get(b"etag")) == (304, b"", tag)
    for asked in ([b'"x"'], [b""]):
        assert page.iframe("u", asked).status == 200
    assert page.iframe("other", [tag]).status == 200


def test_a_preflight_allows_what_was_asked():
    response = Page(b"http://a").preflight([b"x-one", b"x-two,"])
    told = dict(response.headers)
    assert (response.status, response.reason, response.body) == (204, b"No Content", b"")
    assert told[b"Access-Control-Allow-Methods"] == b"OPTIONS, POST"
    assert told[b"Access-Control-Max-Age"] == b"31536000"
    assert told[b"Access-Control-Allow-Headers"] == b"x-one, x-two"


@pytest.mark.parametrize("asked", [[], [b""], [b" , "]])
def test_a_preflight_that_asks_for_no_fields_is_told_of_none(asked):
    assert not Page(None).preflight(asked).headers.has(b"access-control-allow-headers")


@pytest.mark.parametrize(
    ("page", "kind", "body"),
    [
        (Page(None), b"text/plain", b'a["x"]\n'),
        (Page(None, b"cb"), b"application/javascript", b'/**/cb("a[\\"x\\"]");\n'),
    ],
)
def test_a_poll_gets_a_frame(page, kind, body):
    response = page.frame(b'a["x"]')
    assert (response.status, response.headers.get(b"content-type")) == (200, kind)
    assert response.body == body


@pytest.mark.parametrize(
    ("page", "name", "status", "body"),
    [
        (Page(None), sockjs.XHR_SEND, 204, b""),
        (Page(None, b"cb"), sockjs.XHR_SEND, 204, b""),
        (Page(None), sockjs.JSONP_SEND, 200, b"ok"),
        (Page(None, b"cb"), sockjs.JSONP_SEND, 200, b'/**/cb("ok");\n'),
    ],
)
def test_a_send_is_answered(page, name, status, body):
    response = page.taken(name)
    assert (response.status, response.body) == (status, body)


def test_an_error_is_text_whoever_asks():
    expected = {b"Content-Type": b"text/plain", **dict((NOT_STORED, *ANYBODY))}
    got = whole(Page(None, b"cb").error(400, "Payload expected"))
    assert got == (400, b"Bad Request", expected, b"Payload expected\n")


def test_a_refusal_keeps_all_but_caching_and_permissions():
    given = [
        (b"Content-Type", b"text/html"),
        (b"Cache-Control", b"max-age=5"),
        (b"access-control-allow-origin", b"http://b"),
        (b"Set-Cookie", b"a=b"),
    ]
    refused = Response(status=403, reason=b"No", headers=Headers(given), body=b"no", length=2)
    assert whole(Page(None).refused(refused)) == (
        403,
        b"No",
        {
            b"Content-Type": b"text/html",
            b"Set-Cookie": b"a=b",
            **dict((NOT_STORED, *ANYBODY)),
        },
        b"no",
    )

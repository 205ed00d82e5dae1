"""Where Pushpin 1.36 does something else than the specification asks of us, and what is not built.

`DIFFERENCES` is exact: a line listed here must differ and have this value on Pushpin; a line that
is not listed must be what its scenario says, on both. `PENDING` names scenarios of features that
ours lacks: they must fail, and the entry goes when the feature comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Difference:
    """What Pushpin 1.36 gives on a line, and where the specification says why ours does not."""

    pushpin: object
    reason: str


D = Difference

CLOSED = "closed"
E = r"Error while proxying to origin.\n"
PARSE = "502 Bad Gateway: Failed to parse accept instructions: "
PUBLISHED = r"200 OK: Published\n"
EMPTY_TEXT = r"400 Bad Request: Invalid format: \n"


def text(status: str, body: str, *fields: str, size: int) -> str:
    """Write a text answer as `showing.response` does."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/plain", *fields, f"Content-Length: {size}"]
    return "\n".join([*lines, "", body])


def closing(status: str, body: str, *, size: int) -> str:
    """Write an answer of the control port."""
    return text(status, body, "Connection: close", size=size)


# Scenario and label -> the difference. A pattern may stand for several scenarios; exact names and
# earlier lines win.
DIFFERENCES: Mapping[tuple[str, str], Difference] = {
    # Requests and responses that are relayed
    ("relay-raw", "via"): D(None, "proxying.md 17: Via on requests"),
    ("relay-raw", "accept"): D("*/*", "proxying.md 4: as head of development"),
    ("relay-raw", "accept-encoding"): D("deflate, gzip, br, zstd", "proxying.md 4"),
    ("relay-raw", "features"): D(
        "status, session, link:next, filter:skip-self, filter:skip-users, filter:require-sub,"
        " filter:build-id, filter:var-subst",
        "grip-http.md 11: as head of development",
    ),
    ("relay-raw", "date"): D(False, "proxying.md 17: Date added"),
    ("relay-raw-error", "proxy-status"): D(None, "proxying.md 17: Proxy-Status"),
    ("relay-without-body-delete", "framing"): D("answer 200", "proxying.md 8.1"),
    ("relay-head-goes-before-body", "asked"): D(False, "proxying.md 1: waits for 10,000 bytes"),
    ("relay-drops-hop-by-hop-request-fields", "origin"): D(
        "GET / HTTP/1.1\n"
        "Host: relay-drops-hop-by-hop-request-fields.test\n"
        "X-Named: 1\nProxy-Connection: keep-alive\nTE: trailers\nTrailer: X-T\nUpgrade: h2c\n"
        "Authorization: Basic eA==\nProxy-Authorization: Basic eA==\nX-End: 1\n"
        "Grip-Sig: TOKEN\nGrip-Feature: FEATURES",
        "proxying.md 17: hop-by-hop fields",
    ),
    ("relay-drops-hop-by-hop-response-fields", "client"): D(
        "HTTP/1.1 200 OK\nContent-Type: text/plain\n"
        "X-Named: 1\nProxy-Connection: keep-alive\nTrailer: X-T\nTE: x\nUpgrade: h2c\n"
        "Set-Cookie: a=1\nSet-Cookie: b=2\nVia: 1.1 somebody\nServer: s\nX-End: 1\n"
        "Content-Length: 1\n\nb",
        "proxying.md 17: hop-by-hop fields",
    ),
    ("relay-keeps-order-case-and-bytes-of-fields", "origin"): D(
        ["x-b: 1", "X-A: 2", "x-B: \xe9t\xe9", "X-T: 3"],
        "1.36 loses fields without a value; proxying.md 2: fields keep repetition",
    ),
    ("relay-host-upper", "origin"): D("relay-host-upper.test", "proxying.md 7.2: byte for byte"),
    ("relay-host-port-80", "origin"): D("relay-host-port-80.test", "proxying.md 7.2"),
    ("relay-target-encoded", "origin"): D("/a%2F%20", "routes.md 3: 1.36 decodes"),
    ("relay-target-percent", "origin"): D("/a%25zz", "proxying.md 2: unchanged"),
    ("relay-persistence-close-in-any-case", "connection"): D([], "proxying.md 2: any case"),
    ("relay-persistence-close-in-any-case", "then"): D("open", "proxying.md 2: any case"),
    ("relay-half-closed-client-is-answered", "before it"): D(CLOSED, "proxying.md 2: half-close"),
    ("relay-half-closed-client-is-answered", "answer"): D(b"", "proxying.md 2: half-close"),
    ("relay-bodiless-304-with-length", "client"): D(
        'HTTP/1.1 304 Not Modified\nETag: "x"', "proxying.md 17: 304 keeps the length"
    ),
    ("relay-bodiless-head-without-length", "client"): D(
        "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 0", "proxying.md 10.2, 17: HEAD"
    ),
    ("relay-response-streams", "connection"): D(["Transfer-Encoding"], "proxying.md 10.2"),
    ("relay-content-encoding-gzip", "coding"): D(None, "proxying.md 10.1: kept"),
    ("relay-content-encoding-gzip", "body"): D(False, "proxying.md 10.1: 1.36 decodes"),
    ("relay-content-encoding-unknown", "status"): D(502, "proxying.md 10.1"),
    ("relay-content-encoding-unknown", "coding"): D(None, "proxying.md 10.1"),
    ("relay-content-encoding-unknown", "body"): D(False, "proxying.md 10.1"),
    ("relay-request-content-encoding", "coding"): D(None, "proxying.md 4, 10.1: kept"),
    ("relay-origin-breaks-off-chunked", "then"): D(
        r"more: b'0\r\n\r\n'", "proxying.md 10.3: no last chunk"
    ),
    ("relay-origin-breaks-off-length", "then"): D("open", "proxying.md 10.3: closed"),
    ("relay-origin-breaks-off-in-its-head", "502"): D(False, "proxying.md 7.1: 502"),
    ("relay-interim-103", "client"): D(["200 OK"], "proxying.md 17: 1xx passed"),
    ("relay-response-field-without-blank", "client"): D(
        text("502 Bad Gateway", E, size=32),
        "1.36 wants a blank after the colon; RFC 9112 5 makes it optional",
    ),
    ("relay-stale-connection-post", "client"): D(200, "proxying.md 11.2: only if it is safe"),
    ("relay-stale-connection-post", "asked"): D(["/1", "/2", "/2"], "proxying.md 11.2"),
    ("relay-max-forwards-zero", "client and origin"): D((200, ["0"]), "proxying.md 17"),
    ("relay-max-forwards-one", "client and origin"): D((200, ["1"]), "proxying.md 17"),
    ("relay-response-trailers", "end"): D(b"0\r\n\r\n", "proxying.md 17: trailers"),
    ("relay-large-response-head-*", "status"): D(b"", "proxying.md 8.2: 64 kB, 200 fields"),
    ("relay-large-response-head-*", "field"): D(False, "proxying.md 8.2: 64 kB, 200 fields"),
    ("no-route", "client"): D(
        text("502 Bad Gateway", r"No route for host: no-route.test\n", size=33),
        "proxying.md 3.3: as head of development",
    ),
    ("woh-no-route", "client"): D(
        "HTTP/1.1 502 Bad Gateway\nContent-Length: 37\n\nNo route for host: woh-no-route.test\\n",
        "proxying.md 3.3",
    ),
    ("test-target-root", "client"): D(
        r"200 OK: Hello from the Pushpin test handler!\n", "proxying.md 12: own greeting"
    ),
    # Malformed requests
    ("bad-request-bad-method", "client"): D(
        "HTTP/1.1 200 OK: served, open", "proxying.md 2: bad method byte"
    ),
    ("bad-request-length-plus", "client"): D("HTTP/1.1 200 OK: served, open", "proxying.md 2"),
    ("bad-request-*", "client"): D(CLOSED, "proxying.md 2: 400"),
    ("refused-request-two-lengths", "status"): D("200", "proxying.md 2"),
    ("refused-request-both-framings", "status"): D("200", "proxying.md 2"),
    ("refused-request-chunked-twice", "status"): D("200", "proxying.md 2"),
    ("refused-request-chunked-in-1-0", "status"): D("200", "proxying.md 2"),
    ("refused-request-bare-lf", "status"): D("200", "proxying.md 2"),
    ("refused-request-no-host", "status"): D("502", "proxying.md 2"),
    ("refused-request-two-hosts", "status"): D("200", "proxying.md 2"),
    ("refused-request-host-with-bad-port", "status"): D("502", "proxying.md 2"),
    ("refused-request-host-with-*", "status"): D("200", "proxying.md 2"),
    ("refused-request-fragment", "status"): D("200", "proxying.md 2"),
    ("refused-request-target-without-slash", "status"): D("502", "proxying.md 2"),
    ("refused-request-connect", "status"): D("502", "proxying.md 2"),
    ("refused-request-expect", "status"): D("200", "proxying.md 2: 417"),
    ("refused-request-*", "status"): D(CLOSED, "proxying.md 2"),
    ("unusual-absolute-form", "client"): D(
        f"HTTP/1.1 502 Bad Gateway: {E}, open", "proxying.md 2: understood"
    ),
    ("unusual-absolute-form", "target"): D([], "proxying.md 2: understood"),
    ("unusual-options-star", "client"): D(
        f"HTTP/1.1 502 Bad Gateway: {E}, open", "proxying.md 2: understood"
    ),
    ("unusual-options-star", "target"): D([], "proxying.md 2: understood"),
    ("unusual-chunked-upper", "client"): D(CLOSED, "proxying.md 2: any case"),
    ("unusual-chunked-upper", "target"): D([], "proxying.md 2: any case"),
    ("unusual-angle-brackets", "client"): D(CLOSED, "proxying.md 2: encoded"),
    ("unusual-angle-brackets", "target"): D([], "proxying.md 2: encoded"),
    ("unusual-70-fields", "client"): D(CLOSED, "proxying.md 2: limit 100"),
    ("unusual-70-fields", "target"): D([], "proxying.md 2: limit 100"),
    # Routes and trusted clients
    ("route-path-rem-without-slash", "client"): D(502, "routes.md 6: a slash is put before"),
    ("route-path-rem-without-slash", "origin"): D([], "routes.md 6"),
    ("route-header-order", "origin"): D(["X-B: 2", "X-A: 1"], "routes.md 6: as on the line"),
    ("choice-lowers-route-names", "origin"): D("/", "routes.md 3: lowered when read"),
    ("trusted-websocket", "extension"): D(None, "proxying.md 6, websockets.md 3.3"),
    ("pushpin-route-other-path", "origin"): D("/by-id", "proxying.md 3.2: as head"),
    # CORS and JSON-P
    ("cors", "client"): D(
        "HTTP/1.1 200 OK\nContent-Type: text/plain\nX-A: 1\nx-b: 2\nX-a: 3\n"
        "Cache-Control: no-store\nAccess-Control-Allow-Methods: PATCH\n"
        "Access-Control-Allow-Headers: x-c, X-D\nAccess-Control-Expose-Headers: X-A, x-b\n"
        "Access-Control-Allow-Credentials: true\nAccess-Control-Allow-Origin: http://a.example\n"
        "Access-Control-Max-Age: 3600\nContent-Length: 1\n\nb",
        "proxying.md 13: Vary: Origin",
    ),
    ("jsonp-extended", "nosniff"): D([], "proxying.md 14"),
    ("jsonp-basic-empty", "client"): D(
        (500, b"Upstream response could not be JSON-P encoded.\n"), "proxying.md 14"
    ),
    ("jsonp-callback-is-checked-*", "status"): D(200, "proxying.md 14"),
    # Instructs
    ("malformed-instruct-status-below-200", "client"): D(
        "HTTP/1.1 100 Continue\nContent-Type: text/plain", "grip-http.md 2.2"
    ),
    ("malformed-instruct-status-zero", "client"): D(
        "HTTP/1.1 0 Undefined Reason\nContent-Type: text/plain\nContent-Length: 1",
        "grip-http.md 2.2",
    ),
    ("malformed-instruct-too-many-filters", "client"): D(
        text("200 OK", "x", size=1), "grip-http.md 2.3: as head"
    ),
    ("link-with-separator-*", "client"): D(
        r"Failed to parse accept instructions: failed to parse Grip-Link value\n",
        "grip-http.md 2.6",
    ),
    ("malformed-json-response", "client"): D(f"{PARSE}\\n", "grip-http.md 3.4: own text"),
    ("malformed-json-code-below-200", "client"): D("100 Continue: ", "grip-http.md 3.4"),
    ("malformed-json-reason-split", "client"): D("200 a: x", "grip-http.md 3.4"),
    ("malformed-json-headers-split", "client"): D("200 OK: x", "grip-http.md 3.4"),
    ("malformed-json-headers-token", "client"): D("200 OK: x", "grip-http.md 3.4"),
    ("json-response-headers-object", "client"): D(
        "HTTP/1.1 200 OK\nX-A: 2\nX-B: 1\nContent-Length: 1\n\nx", "grip-http.md 3.4: own order"
    ),
    ("json-response-empty", "client"): D(
        text(
            "502 Bad Gateway",
            r"Failed to parse accept instructions: filter error: \n",
            size=52,
        ),
        "grip-http.md 3.5",
    ),
    ("json-response-code-alone", "client"): D(
        text(
            "502 Bad Gateway",
            r"Failed to parse accept instructions: filter error: \n",
            size=52,
        ),
        "grip-http.md 3.5",
    ),
    ("json-content-type-upper", "client"): D('{"response": {"body": "x"}}', "grip-http.md 1.2"),
    ("json-content-type-blank", "client"): D('{"response": {"body": "x"}}', "grip-http.md 1.2"),
    # Holds
    ("response-to-head", "then"): D("more: b'xyz'", "grip-http.md 4.3"),
    ("stream-framing-http-1-0-keep-alive", "head"): D(
        "HTTP/1.0 200 OK\nContent-Type: text/plain\nConnection: keep-alive", "grip-http.md 4.3"
    ),
    ("stream-framing-http-1-0-keep-alive", "then"): D("open", "grip-http.md 4.3"),
    ("stream-without-body-head", "head"): D(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", "grip-http.md 4.3"
    ),
    ("stream-without-body-*", "next"): D("nothing", "grip-http.md 4.3: the hold is over"),
    ("stream-begins-before-the-body-has-ended", "first"): D("nothing", "grip-http.md 5.3"),
    ("stream-begins-before-the-body-has-ended", "then"): D(
        [b"halfrest", "nothing"], "grip-http.md 5.3"
    ),
    ("stream-keep-alive-cstring-tab", "twice"): D(b"ababab", "grip-http.md 2.4"),
    ("link-bad-page-debug-response-hold", "body"): D(
        r"one;x\n\nNext link returned non-stream hold.\n",
        "grip-http.md 8.3: the head is read first",
    ),
    ("link-gone-is-called*", "call"): D("nothing", "grip-http.md 8.5: newer"),
    # Items, filters, patches
    ("filter-http-check", "body"): D(b"one;two;", "publishing.md 9.5, 13: newer"),
    ("filter-http-check", "asked"): D("nothing", "publishing.md 9.5, 13: newer"),
    ("filter-http-modify", "body"): D(b"one;", "publishing.md 9.5, 13: newer"),
    ("filtering-meta-without-value", "body"): D(
        "", "1.36 knows no variable whose value was not written; grip-http.md 2.5: empty"
    ),
    ("filtering-meta-empty-quoted", "body"): D(
        "", "1.36 knows no variable whose value is empty quotes; grip-http.md 2.5: empty"
    ),
    ("filter-error-drops-the-item-*", "body"): D("", "publishing.md 9.3: the hold goes on"),
    ("build-id-keeps-other-percents", "framing"): D("length", "publishing.md 9.4"),
    ("patch-that-fails-debug-*", "text"): D(r"filter error: \n", "publishing.md 10"),
    ("bad-item-action-unknown", "post"): D(EMPTY_TEXT, "publishing.md 3: own text"),
    ("bad-item-action-empty", "post"): D(EMPTY_TEXT, "publishing.md 3: own text"),
    ("bad-item-code-below-200", "post"): D(PUBLISHED, "publishing.md 3.1"),
    ("bad-item-*-split", "post"): D(PUBLISHED, "publishing.md 3.1"),
    ("bad-item-ws-close-code-forbidden", "post"): D(PUBLISHED, "publishing.md 3.3"),
    ("bad-item-ws-ping-too-long", "post"): D(PUBLISHED, "publishing.md 3.3"),
    ("good-item-refresh", "post"): D(EMPTY_TEXT, "publishing.md 3, 13: as head"),
    # Control port and commands
    ("control-publish-json", "client"): D(
        closing("200 OK", r'{"message":"Published"}\n', size=24).replace(
            "text/plain", "application/json"
        ),
        "publishing.md 14.2: receipts",
    ),
    ("control-receipt", "receipt"): D(
        closing("200 OK", r'{"message":"Published"}\n', size=24).replace(
            "text/plain", "application/json"
        ),
        "publishing.md 14.2: receipts",
    ),
    ("control-takes-msgpack", "answer"): D(
        closing("400 Bad Request", r"Body is not valid JSON.\n", size=24), "publishing.md 14.1"
    ),
    ("control-takes-msgpack", "items"): D(0, "publishing.md 14.1"),
    ("control-accept-upper", "client"): D(
        closing(
            "406 Not Acceptable",
            r"Not Acceptable. Supported formats are text/plain and application/json.\n",
            size=71,
        ),
        "publishing.md 11.2: any case",
    ),
    ("control-query", "client"): D(
        closing("404 Not Found", r"Not Found\n", size=10), "publishing.md 11.3: without query"
    ),
    ("control-publish-query", "client"): D(
        closing("404 Not Found", r"Not Found\n", size=10), "publishing.md 11.3: without query"
    ),
    ("control-bytes-chunked", "client"): D(
        closing("411 Length Required", r"Request requires Content-Length.\n", size=33),
        "publishing.md 11.1: chunked bodies",
    ),
    ("control-head", "body"): D(b"Pushpin API\n", "publishing.md 11.3"),
    ("control-keeps-alive", "connection"): D(["close"], "publishing.md 11.1: keep-alive"),
    ("control-keeps-alive", "then"): D(CLOSED, "publishing.md 11.1: keep-alive"),
    ("command-unreadable-*", "condition"): D("nothing", "publishing.md 6: bad-format"),
    # WebSockets: handshake and refusals
    ("woh-bad-handshake-short-key", "client"): D(101, "websockets.md 1.1: one valid key"),
    ("woh-bad-handshake-*", "client"): D(CLOSED, "websockets.md 1.1: 400, 426"),
    ("woh-handshake-tokens-upper", "client"): D(
        "GET", "websockets.md 1.1: in any case, which 1.36 does not do"
    ),
    ("woh-handshake-tokens-token-list", "client"): D("GET", "websockets.md 1.1: token list"),
    ("woh-handshake-tokens-no-connection", "client"): D("opened", "websockets.md 1.1"),
    ("woh-refused-*", "then"): D(CLOSED, "websockets.md 1.3: stays usable"),
    ("woh-large-refusal", "client"): D(CLOSED, "websockets.md 1.3: any size"),
    ("woh-content-type-parameters", "status"): D(200, "websockets.md 4.4"),
    ("ws-refused-403", "client"): D(
        "HTTP/1.1 403\nContent-Length: 2\n\nno", "websockets.md 1.3: 1.36 loses reason and fields"
    ),
    ("ws-refused-200", "client"): D("HTTP/1.1 200\nContent-Length: 1\n\nx", "websockets.md 1.3"),
    ("ws-refused-302", "client"): D("HTTP/1.1 302\nContent-Length: 0", "websockets.md 1.3"),
    ("ws-refused-bad-accept", "client"): D(
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "websockets.md 3.2: checked",
    ),
    ("woh-events-from-a-client-are-refused-upper", "client"): D(
        "200 OK: served", "proxying.md 6: in any case"
    ),
    # WebSockets: over HTTP
    ("woh-ping-between-fragments", "origin"): D(r"DISCONNECT\r\n", "websockets.md 2"),
    ("woh-from-origin-disconnect", "client"): D(["dropped"], "websockets.md 4.4"),
    ("woh-from-origin-second-open", "client"): D(["dropped"], "websockets.md 4.4"),
    ("woh-from-origin-close-zero", "client"): D(["close 0"], "websockets.md 4.2"),
    ("woh-large-event-from-origin", "length"): D("stalls", "websockets.md 4.4: no stall"),
    ("woh-malformed-events-negative", "client"): D(r"text ab\r\n", "websockets.md 4.2: strict"),
    ("woh-malformed-events-too-short", "client"): D(r"text ab\r\n", "websockets.md 4.2: strict"),
    ("woh-malformed-events-word", "client"): D("dropped", "websockets.md 4.4: 1011"),
    ("woh-malformed-events-no-line-end", "client"): D("dropped", "websockets.md 4.4: 1011"),
    ("woh-malformed-events-*", "client"): D("text ab", "websockets.md 4.2: strict"),
    ("woh-bad-answer-ends-*", "client"): D("dropped", "websockets.md 4.4: 1011"),
    ("woh-client-closes-and-origin-does-not", "client"): D("dropped", "websockets.md 4.9"),
    ("woh-published-ping-without-content", "client"): D("text last", "publishing.md 3.3"),
    ("woh-published-large-message-is-one-frame", "frame"): D(
        ("text", False, 8192), "publishing.md 3.3: one frame"
    ),
    ("woh-published-close-reason-alone", "client"): D("close 1000", "publishing.md 3.3"),
    ("woh-published-long-close-reason", "client"): D("dropped", "publishing.md 3.3: cut"),
    ("woh-detach", "close"): D("close 1000", "websockets.md 5.9: the client's own code"),
    ("woh-detached-ping-is-answered", "pong"): D("nothing", "websockets.md 5.9"),
    ("woh-content-bytes-accepted", "second"): D(
        r"TEXT 3\r\n[x]\r\n", "websockets.md 4.5: 1.36 ignores it"
    ),
    ("woh-content-bytes-accepted", "replayed"): D(None, "websockets.md 4.5"),
    ("woh-message-limit-*", "client"): D("dropped", "websockets.md 2.1: ws_message_max"),
    ("woh-response-limit", "client"): D("dropped", "websockets.md 2.1: 1011"),
    ("woh-refresh-published", "client"): D(["nothing", "nothing"], "publishing.md 13: refresh"),
    # SockJS
    ("sockjs-info", "type"): D("text/plain", "websockets.md 8.1: application/json"),
    ("sockjs-request-greeting*", "client"): D((404, r"Not Found\n"), "websockets.md 8.1"),
    ("sockjs-request-jsonp-bad-callback", "client"): D(
        (200, r'/**/a(b("o");\n'), "websockets.md 8.1: checked"
    ),
    ("sockjs-polling", "sent"): D((200, b"ok"), "websockets.md 8.4: 204"),
    ("sockjs-jsonp", "event"): D(r"TEXT 3\r\na+b\r\n", "websockets.md 8.4: + is a blank"),
    ("sockjs-framed-websocket-with-bad-payload", "client"): D("dropped", "websockets.md 8.5"),
    # WebSockets: passed through
    ("ws-relays-p?ng-content", "to the *"): D(
        False, "websockets.md 3.4: 1.36 loses the content of pings and pongs"
    ),
    ("ws-control-between-fragments-*", "pings"): D(0, "websockets.md 2"),
    ("ws-control-between-fragments-*", "message"): D("dropped", "websockets.md 2"),
    ("ws-prefix-over-fragments", "client"): D(
        [
            "text  prefix",
            "text :split",
            'text :{"type": "subscribe", "channel": "ws-prefix-over-fragments-a"}',
            "text end",
        ],
        "websockets.md 3.3: whole messages",
    ),
    ("ws-prefix-over-fragments", "subscribed"): D("not subscribed", "websockets.md 3.3"),
    ("ws-published-while-fragments-pass", "item"): D("text last", "websockets.md 6.3: queued"),
    ("ws-detach", "origin"): D("close", "websockets.md 5.9: 1000"),
    ("ws-published-close", "origin"): D("close", "websockets.md 3.4: 1000 in both directions"),
    ("ws-client-closes-none", "origin"): D("close", "websockets.md 3.4: 1000 in both directions"),
    ("ws-origin-vanishes", "client"): D("dropped", "websockets.md 3.4: 1011"),
    ("frame-violation-of-origin-not-utf-8", "client"): D(r"text \xff", "websockets.md 10.2"),
    ("frame-violation-of-origin-close-code", "client"): D("close 1005", "websockets.md 10.2"),
    ("frame-violation-of-origin-*", "client"): D("text a", "websockets.md 10.2"),
    ("frame-violation-of-origin-*", "origin"): D("nothing", "websockets.md 10.2"),
    ("frame-violation-unmasked", "client"): D("nothing", "websockets.md 2"),
    ("frame-violation-rsv[23]", "client"): D("nothing", "websockets.md 2"),
    ("frame-violation-not-utf-8*", "client"): D("nothing", "websockets.md 2"),
    ("frame-violation-utf-8-cut", "client"): D("nothing", "websockets.md 2"),
    ("frame-violation-length-*", "client"): D("nothing", "websockets.md 2"),
    ("frame-violation-close-reason", "client"): D("dropped", "websockets.md 2"),
    ("frame-violation-close-*", "client"): D("nothing", "websockets.md 2"),
    ("frame-violation-*", "client"): D("dropped", "websockets.md 2"),
    ("frame-violation-*", "origin told"): D(False, "websockets.md 2: 1001 first"),
}

# Pattern of scenario names -> why it fails.
PENDING: Mapping[str, str] = {}


def matches(name: str, pattern: str) -> bool:
    """Say whether a pattern stands for a scenario."""
    return fnmatchcase(name, pattern)


def key_of(name: str, label: str) -> tuple[str, str] | None:
    """Return the first entry for a line of a scenario; exact ones come before patterns."""
    if (name, label) in DIFFERENCES:
        return name, label
    return next(
        (key for key in DIFFERENCES if matches(name, key[0]) and matches(label, key[1])), None
    )


def difference(name: str, label: str) -> Difference | None:
    """Return the difference that is listed for a line of a scenario."""
    key = key_of(name, label)
    return None if key is None else DIFFERENCES[key]


def pending(name: str) -> str | None:
    """Return why a scenario is known to fail with ours."""
    return next((why for pattern, why in PENDING.items() if matches(name, pattern)), None)

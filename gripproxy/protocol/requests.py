"""From a request's head to a `Request`: what is refused, and why (proxying.md 2).

The start line is read here; the fields come from the HTTP parser. Everything that could be read
in two ways is refused, so that nobody's request can be smuggled inside another one.
"""

import re

from gripproxy.errors import RequestError
from gripproxy.protocol import headers as fields
from gripproxy.protocol import wshandshake
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request

FIELDS_MAX = 100
LENGTH_MAX = (1 << 63) - 1
# int() has a limit of its own, and raises.
_LENGTH_DIGITS_MAX = 19

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.([01])")
_VERSION = re.compile(rb"HTTP/(\d)\.(\d)")
_WORDS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ (.*)", re.DOTALL)
_ABSOLUTE = re.compile(rb"(?:https?|wss?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(
    rb"(?:\[(?=[^:\]]*:)[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::(\d{0,5}))?"
)
_ENCODED = re.compile(rb'[{}|^\\"`<>]')


def start_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Return method, target as sent and minor version of a request line.

    Raises:
        RequestError: 400, or 505 for a version that we cannot speak.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise _bad_line(line)
    return found[1], found[2], 1 if found[3] == b"1" else 0


def _bad_line(line: bytes) -> RequestError:
    words = _WORDS.fullmatch(line)
    if words is None or b" " in words[1]:
        return RequestError(400, "Failed to parse request: invalid token")
    version = _VERSION.fullmatch(words[1])
    status = 505 if version is not None and version[1] >= b"2" else 400
    return RequestError(status, "Failed to parse request: invalid HTTP version")


def request(
    method: bytes, target: bytes, version: int, headers: Headers, *, secure: bool, peer: str
) -> Request:
    """Make a `Request` of a start line and its fields; its body is left to the caller.

    `length` is set from the fields: bytes, or None for a chunked body. `websocket` is set if it
    is a valid handshake.

    Raises:
        RequestError: with the status to answer with.
    """
    marks = headers.marks
    if len(headers.fields) > FIELDS_MAX:
        raise RequestError(431, "Failed to parse request: too many headers")
    length: int | None = 0
    if marks & (fields.CONTENT_LENGTH | fields.TRANSFER_ENCODING):
        length = _length(headers, version)
    authority = _authority(headers, version)
    if not target.startswith(b"/") or method == b"CONNECT":
        target, authority = _other_form(method, target, authority)
    if b"#" in target:
        raise RequestError(400, "Failed to parse request: invalid token")
    if _ENCODED.search(target) is not None:
        target = _ENCODED.sub(lambda found: b"%%%02X" % found[0][0], target)
    if marks & fields.EXPECT:
        _check_expect(headers)
    websocket = bool(marks & fields.UPGRADE) and _is_websocket(method, version, headers, length)
    return Request(
        method=method,
        target=target,
        headers=headers,
        scheme=b"https" if secure else b"http",
        authority=authority,
        version=version,
        length=length,
        peer=peer,
        websocket=websocket,
    )


def _length(headers: Headers, version: int) -> int | None:
    """Return the body's length by RFC 9112 6.3, refusing all that is ambiguous."""
    lengths = headers.get_all(b"content-length")
    codings = headers.get_all(b"transfer-encoding")
    if codings:
        if lengths or version == 0 or len(codings) > 1:
            raise RequestError(400, "Failed to parse request: unsupported transfer encoding")
        if codings[0].lower() != b"chunked":
            raise RequestError(501, "Failed to parse request: unsupported transfer encoding")
        return None
    value = lengths[0]
    good = len(lengths) == 1 and value.isdigit() and len(value) <= _LENGTH_DIGITS_MAX
    if not good or int(value) > LENGTH_MAX:
        raise RequestError(400, "Failed to parse request: invalid content length")
    return int(value)


def _authority(headers: Headers, version: int) -> bytes:
    # hot: a list is faster than a loop (bench/scenarios.py, proxy-plain: 0.2 us a request).
    hosts = [value for field, value in headers.fields if field.mark & fields.HOST]
    if len(hosts) == 1:
        host = hosts[0]
        if host not in _good_hosts:
            _check_host(host)
        return host
    if hosts:
        raise RequestError(400, "Failed to parse request: more than one Host")
    if version == 1:
        raise RequestError(400, "Failed to parse request: missing Host")
    return b"localhost"


# The same few hosts come again and again; the table is emptied when a peer fills it.
_good_hosts: set[bytes] = set()
_GOOD_HOSTS_MAX = 4096
_HOST_LENGTH_MAX = 255


def _check_host(host: bytes) -> None:
    found = _HOST.fullmatch(host)
    if found is None or (found[1] and int(found[1]) > 65535):
        raise RequestError(400, "Failed to parse request: invalid Host")
    if len(host) <= _HOST_LENGTH_MAX:
        if len(_good_hosts) >= _GOOD_HOSTS_MAX:
            _good_hosts.clear()
        _good_hosts.add(host)


def _other_form(method: bytes, target: bytes, authority: bytes) -> tuple[bytes, bytes]:
    """Understand a target that is no path (RFC 9112 3.2.2 to 3.2.4)."""
    if method == b"CONNECT":
        raise RequestError(501, "CONNECT is not supported.")
    if target == b"*" and method == b"OPTIONS":
        return target, authority
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not found[1]:
        raise RequestError(400, "Failed to parse request: invalid token")
    _check_host(found[1])
    path = found[2]
    if not path and method == b"OPTIONS":
        return b"*", found[1]
    return path if path.startswith(b"/") else b"/" + path, found[1]


def _check_expect(headers: Headers) -> None:
    for value in headers.get_all(b"expect"):
        if value.lower() != b"100-continue":
            raise RequestError(417, "Expectation not supported.")


def _is_websocket(method: bytes, version: int, headers: Headers, length: int | None) -> bool:
    """Tell whether a request is a WebSocket handshake, refuse one that is broken."""
    if not wshandshake.asks(headers.get_all(b"upgrade"), headers.get_all(b"connection")):
        return False
    wshandshake.check(
        method,
        version,
        length,
        keys=headers.get_all(b"sec-websocket-key"),
        versions=headers.get_all(b"sec-websocket-version"),
    )
    return True


def keeps_alive(headers: Headers, version: int) -> bool:
    """Tell whether the sender of these fields wants the connection kept (RFC 9112 9.3)."""
    if not headers.marks & fields.CONNECTION:
        return version == 1
    named = fields.tokens(headers.get_all(b"connection"))
    return b"close" not in named and (version == 1 or b"keep-alive" in named)

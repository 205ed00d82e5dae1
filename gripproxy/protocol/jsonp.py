"""JSON-P: requests that are written into a query, answers that are written into a script.

Specification: proxying.md 14. Only a GET can be one, on a route with `aco`. An answer is wrapped
in one of two modes (`jsonp_mode`) and a little differently if it ends a hold.
"""

import codecs
import json
import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from gripproxy.errors import PacketError, RequestError
from gripproxy.protocol import headers as fields
from gripproxy.protocol import jsontext
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route

_CALLBACK: Final = re.compile(rb"""[A-Za-z0-9_$.\[\]'"]{1,256}""")

# A page must not frame the request to the origin, nor speak for its connection.
_REFUSED: Final = (
    fields.CONNECTION
    | fields.HOP
    | fields.UPGRADE
    | fields.EXPECT
    | fields.CONTENT_LENGTH
    | fields.TRANSFER_ENCODING
)

_SCRIPT: Final = (b"Content-Type", b"application/javascript")
# A body that is taken for another type than ours could be run as what it is not.
_NO_SNIFFING: Final = (b"X-Content-Type-Options", b"nosniff")


# Requests


@dataclass(frozen=True, slots=True)
class Jsonp:
    """What the answer to a request is wrapped in."""

    callback: bytes
    basic: bool


def read(request: Request, route: Route) -> tuple[Jsonp, Request] | None:
    """Return what a client asks for by JSON-P, and the request that it means; None if it does not.

    Raises:
        RequestError: 400 for a parameter that does not make sense.
    """
    if request.method != b"GET" or request.websocket or b"?" not in request.target:
        return None
    path, _, query = request.target.partition(b"?")
    pairs = [_parameter(part) for part in query.split(b"&")]
    given = dict(reversed([(name, value) for _, name, value in pairs]))
    callback = _callback(given, route)
    if callback is None:
        return None
    told = _method(given, route), _headers(given), _body(given, route)
    names = {route.jsonp_cb or b"callback", b"_method", b"_headers", route.jsonp_body or b"_body"}
    left = b"&".join([part for part, name, _ in pairs if name not in names])
    meant = _meant(replace(request, target=path + b"?" + left if left else path), told, route)
    return Jsonp(callback, route.jsonp_mode == "basic"), meant


def _parameter(part: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a part of a query, and its name and value as they are meant; `+` is itself."""
    name, _, value = part.partition(b"=")
    return part, unquote_to_bytes(name), unquote_to_bytes(value)


def _callback(given: dict[bytes, bytes], route: Route) -> bytes | None:
    callback = given.get(route.jsonp_cb or b"callback")
    if callback is None:
        has_body = route.jsonp_body and route.jsonp_body in given
        return route.jsonp_defcb or None if has_body else None
    # Whatever stands here is run by the page.
    if _CALLBACK.fullmatch(callback) is None:
        raise RequestError(400, "Invalid callback parameter.")
    return callback


def _method(given: dict[bytes, bytes], route: Route) -> bytes:
    if b"_method" not in given:
        return route.jsonp_defmethod or (b"POST" if route.jsonp_mode == "basic" else b"GET")
    method = given[b"_method"]
    if not fields.is_token(method) or method == b"CONNECT":
        raise RequestError(400, "Invalid _method parameter.")
    return method


def _headers(given: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    if b"_headers" not in given:
        return []
    try:
        told = jsontext.decode(given[b"_headers"])
    except PacketError:
        told = None
    if not isinstance(told, dict):
        raise _bad_headers()
    pairs: list[tuple[bytes, bytes]] = []
    for text, value in sorted(told.items()):
        if not isinstance(value, str):
            raise _bad_headers()
        name = fields.name(text.encode())
        if not fields.is_token(name.text) or name.mark & _REFUSED:
            raise _bad_headers()
        if not fields.is_value(value.encode()):
            raise _bad_headers()
        if name.lower not in (b"host", b"accept"):
            pairs.append((name.text, value.encode()))
    return pairs


def _bad_headers() -> RequestError:
    return RequestError(400, "Invalid _headers parameter.")


def _body(given: dict[bytes, bytes], route: Route) -> bytes | None:
    body = given.get(route.jsonp_body or b"_body")
    if body == b"":
        name = "body" if route.jsonp_body else "_body"
        raise RequestError(400, f"Invalid {name} parameter.")
    return body


def _meant(
    request: Request, told: tuple[bytes, list[tuple[bytes, bytes]], bytes | None], route: Route
) -> Request:
    """Return the request with the method, fields and body that its query told."""
    method, pairs, body = told
    kept = request.headers.without(b"host", b"accept")
    host = [(b"Host", value) for value in request.headers.get_all(b"host")]
    if body is None:
        headers = Headers([*pairs, *host, (b"Accept", b"*/*"), *kept])
        return replace(request, method=method, headers=headers)
    kept = kept.without_marks(
        fields.CONTENT_TYPE | fields.CONTENT_LENGTH | fields.TRANSFER_ENCODING
    )
    if route.jsonp_body:
        pairs = [(name, value) for name, value in pairs if name.lower() != b"content-type"]
        pairs.append((b"Content-Type", b"application/json"))
    headers = Headers([*pairs, *host, (b"Accept", b"*/*"), *kept])
    return replace(request, method=method, headers=headers, body=body, length=len(body))


# Answers


def whole(jsonp: Jsonp, response: Response, body: bytes) -> Response:
    """Wrap a relayed response, or an error of ours, whose body is `body`."""
    script = Script(jsonp, response, len(body))
    content = script.begin() + script.feed(body) + script.end()
    return _answer(_relayed_fields(response), content)


def streamed(jsonp: Jsonp, response: Response) -> tuple[Response, "Script"]:
    """Wrap a relayed response whose body comes in pieces: return its head, and what they become.

    Nothing is sent after a body that breaks off: it must not look whole.
    """
    answer = _answer(_relayed_fields(response), b"")
    answer.length = None
    return answer, Script(jsonp, response, response.length)


def held(jsonp: Jsonp, response: Response, body: bytes) -> Response:
    """Wrap what ends a hold, whose body is `body`."""
    if jsonp.basic:
        script = Script(jsonp, response, len(body))
        content = script.begin() + script.feed(body) + script.end()
    else:
        told: Json = {
            "body": _text(body),
            "code": response.status,
            "headers": _joined_fields(response.headers),
            "reason": _text(response.reason),
        }
        content = b"/**/%b(%b);\n" % (jsonp.callback, _json(told).encode())
    kept = response.headers.without_marks(fields.CONTENT_TYPE | fields.CONTENT_LENGTH)
    kept = kept.without(b"x-content-type-options")
    return _answer([*kept, _SCRIPT, _NO_SNIFFING], content)


class Script:
    """A relayed body on its way into a script: `begin`, then `feed` for each piece, then `end`."""

    __slots__ = ("_decoder", "_held", "_jsonp", "_length", "_response")

    def __init__(self, jsonp: Jsonp, response: Response, length: int | None) -> None:
        self._jsonp = jsonp
        self._response = response
        self._length = length
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def begin(self) -> bytes:
        """Return what comes before the body."""
        start = b"/**/%b(" % self._jsonp.callback
        if self._jsonp.basic:
            return start
        response = self._response
        reason = _json(_text(response.reason))
        told = _json(_first_fields(response.headers, self._length))
        text = f'{{"code": {response.status}, "reason": {reason}, "headers": {told}, "body": "'
        return start + text.encode()

    def feed(self, piece: bytes) -> bytes:
        """Return what a piece of the body becomes."""
        return self._written(self._decoder.decode(piece))

    def end(self) -> bytes:
        """Return what comes at the end of a body that is whole."""
        rest = self._written(self._decoder.decode(b"", final=True))
        if not self._jsonp.basic:
            return rest + b'"});\n'
        return rest + (b"\r);\n" if self._held == "\r" else b");\n")

    def _written(self, text: str) -> bytes:
        if not self._jsonp.basic:
            return _json(text)[1:-1].encode()
        # The last line end is to be cut, and this may be it.
        text = self._held + text
        self._held = next((end for end in _LINE_ENDS if text.endswith(end)), "")
        return _escaped(text[: len(text) - len(self._held)]).encode()


_LINE_ENDS: Final = ("\r\n", "\n", "\r")


def _answer(pairs: list[tuple[bytes, bytes]], content: bytes) -> Response:
    return Response(
        status=200, reason=b"OK", headers=Headers(pairs), body=content, length=len(content)
    )


def _relayed_fields(response: Response) -> list[tuple[bytes, bytes]]:
    caching = [(b"Cache-Control", value) for value in response.headers.get_all(b"cache-control")]
    return [_SCRIPT, *caching, _NO_SNIFFING]


def _first_fields(headers: Headers, length: int | None) -> Json:
    """Return the first value of each name; `Content-Length` is that of the body as it is here."""
    found = {b"content-length": ("Content-Length", str(length))} if length is not None else {}
    for field, value in headers.fields:
        if not field.mark & fields.CONTENT_LENGTH:
            found.setdefault(field.lower, (_text(field.text), _text(value)))
    return dict(found.values())


def _joined_fields(headers: Headers) -> Json:
    """Return all values of each name, joined."""
    found: dict[bytes, tuple[str, list[str]]] = {}
    for field, value in headers.fields:
        if not field.mark & fields.CONTENT_LENGTH:
            _, values = found.setdefault(field.lower, (_text(field.text), []))
            values.append(_text(value))
    return {text: ", ".join(values) for text, values in found.values()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _json(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return _escaped(text)


def _escaped(text: str) -> str:
    """Escape what ends a line in a script, but not in JSON."""
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

"""Cross-origin resource sharing: the fields that `aco` adds to answers (proxying.md 13).

They go on relayed responses, on our own errors, on heads of streams and on what ends a hold; not
on JSON-P and not on WebSocket handshakes. Nothing is answered here: an `OPTIONS` is the origin's.
"""

from typing import Final

from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import Headers

_METHODS: Final = b"OPTIONS, HEAD, GET, POST, PUT, DELETE"

# Pages may read these without being told, or should not.
_NOT_EXPOSED: Final = frozenset(
    (
        b"cache-control",
        b"content-language",
        b"content-length",
        b"content-type",
        b"expires",
        b"last-modified",
        b"pragma",
    )
)
_NOT_EXPOSED_PREFIXES: Final = (b"access-control-", b"grip-")


def with_fields(headers: Headers, request: Headers) -> Headers:
    """Return the fields of a response with those that let pages of other sites read it.

    `request` are the fields of the client's request. What the response has already stays.
    """
    origin = request.get(b"origin")
    method = request.get(b"access-control-request-method")
    added = [
        (b"Access-Control-Allow-Methods", method or _METHODS),
        (b"Access-Control-Allow-Headers", _requested(request)),
        (b"Access-Control-Expose-Headers", _exposed(headers)),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Allow-Origin", origin or b"*"),
        (b"Access-Control-Max-Age", b"3600"),
    ]
    there = {field.lower for field, _ in headers.fields}
    added = [(text, value) for text, value in added if value and text.lower() not in there]
    # A shared cache would hand one site's answer to another.
    if origin and b"access-control-allow-origin" not in there and not _varies(headers):
        added.append((b"Vary", b"Origin"))
    return headers.plus(*added)


def _requested(request: Headers) -> bytes:
    """Return the names of the fields that a page wants to send."""
    parts = fields.split_list(request.get_all(b"access-control-request-headers"))
    return b", ".join([part for part in parts if part])


def _exposed(headers: Headers) -> bytes:
    """Return the names of a response's fields, each once in its first spelling."""
    names: dict[bytes, bytes] = {}
    for field, _ in headers.fields:
        lower = field.lower
        if lower not in _NOT_EXPOSED and not lower.startswith(_NOT_EXPOSED_PREFIXES):
            names.setdefault(lower, field.text)
    return b", ".join(names.values())


def _varies(headers: Headers) -> bool:
    named = fields.tokens(headers.get_all(b"vary"))
    return b"origin" in named or b"*" in named

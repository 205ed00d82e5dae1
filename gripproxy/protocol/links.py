"""Links: references to URIs, resolved against the place where they were found (RFC 3986).

`Grip-Link` (grip-http.md 8.2) and the `url` of network filters (publishing.md 9.5) use it. What
may not stand in a URI is percent-encoded, so a link can never split a request line.
"""

import re

# RFC 3986 appendix B; the scheme is checked by its own grammar.
_REFERENCE = re.compile(rb"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*")
_AUTHORITY = re.compile(
    rb"(?:[^@]*@)?((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::(\d{0,16}))?)"
)
_NOT_IN_URIS = re.compile(rb"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")

_HTTP = {b"http": b"http", b"https": b"https"}
# A WebSocket's own address is also one for HTTP.
_BASES = _HTTP | {b"ws": b"http", b"wss": b"https"}


def is_reference(text: bytes) -> bool:
    """Tell whether a text is an absolute URI or a relative reference."""
    scheme, authority, _, _ = _split(text)
    if scheme is not None and _SCHEME.fullmatch(scheme) is None:
        return False
    needs_host = authority is not None or (scheme is not None and scheme.lower() in _HTTP)
    return not needs_host or _host(authority or b"") is not None


def resolve(base: bytes, reference: bytes) -> bytes | None:
    """Return the http or https URL that a reference means at `base`, without fragment.

    `base` is absolute; `ws` and `wss` count as `http` and `https` there. None if the reference
    leads to nothing that can be asked over HTTP.
    """
    base_scheme, base_authority, base_path, base_query = _split(base)
    scheme, authority, path, query = _split(reference)
    if scheme is not None:
        known = _HTTP.get(scheme.lower())
    else:
        known = _BASES.get((base_scheme or b"").lower())
        if authority is None:
            authority = base_authority
            path, query = _relative(path, query, base_path, base_query)
    host = _host(authority or b"")
    if known is None or host is None:
        return None
    return b"%b://%b%b%b" % (known, host, _without_dots(path) or b"/", _encoded(query))


def split(url: bytes) -> tuple[bytes, bytes, bytes]:
    """Return scheme, authority and target (path and query) of a URL that `resolve` made."""
    scheme, authority, path, query = _split(url)
    assert scheme is not None
    assert authority is not None
    return scheme, authority, path + query


def _split(text: bytes) -> tuple[bytes | None, bytes | None, bytes, bytes]:
    found = _REFERENCE.fullmatch(text)
    assert found is not None  # every text is of this form
    return found[1], found[2], found[3], found[4] or b""


def _host(authority: bytes) -> bytes | None:
    """Return host and port; whoever names a user there is not told to others (RFC 9110 4.2.4)."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None or (found[2] and int(found[2]) > 65535):
        return None
    return found[1]


def _relative(
    path: bytes, query: bytes, base_path: bytes, base_query: bytes
) -> tuple[bytes, bytes]:
    """Apply RFC 3986 5.2.2 to a reference without authority."""
    if not path:
        return base_path, query or base_query
    if not path.startswith(b"/"):
        path = (base_path.rpartition(b"/")[0] if base_path else b"") + b"/" + path
    return path, query


def _without_dots(path: bytes) -> bytes:
    """Remove `.` and `..` (RFC 3986 5.2.4) from an absolute path."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments and segments[-1] in (b".", b".."):
        kept.append(b"")
    return _encoded(b"".join([b"/" + segment for segment in kept]))


def _encoded(text: bytes) -> bytes:
    return _NOT_IN_URIS.sub(lambda found: b"%%%02X" % found[0][0], text)

"""URLs as the cache and its purgers name them: one spelling for all that mean the same.

RFC 3986 6.2.2, and *Tags* in cache-and-purge.md: neither scheme nor port, so that one purge takes
them all. The query is left as it is. To name too much alike is safe, too little is not.
"""

import re
from typing import Final

from gripproxy.protocol.messages import split_authority

_SCHEME: Final = re.compile(rb"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//")
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_NOT_IN_PATHS: Final = re.compile(rb"[^!$%&'()*+,\-./0-9:;=@A-Z_a-z~]|%(?![0-9A-Fa-f]{2})")


def normal(url: bytes) -> bytes:
    """Return the spelling of a URL, with or without a scheme, as `host/path?query`."""
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme is not None else url
    rest = rest.partition(b"#")[0]
    before, mark, query = rest.partition(b"?")
    authority, slash, path = before.partition(b"/")
    return of(authority, slash + path + mark + query)


def of(authority: bytes, target: bytes) -> bytes:
    """Return the spelling of a request's URL."""
    host = split_authority(authority.rpartition(b"@")[2])[0].rstrip(b".")
    path, _, query = target.partition(b"?")
    return host + _path(path) + (b"?" + query if query else b"")


def without_parameter(target: bytes, parameter: bytes) -> bytes:
    """Return a path and query without the parameters of this name."""
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    kept = [part for part in query.split(b"&") if part.partition(b"=")[0] != parameter]
    return path + b"?" + b"&".join(kept) if kept else path


def _path(path: bytes) -> bytes:
    # First what is no URL is encoded, then what need not be is decoded; so it is stable.
    spelled = _ENCODED.sub(_decode, _NOT_IN_PATHS.sub(_encode, path))
    kept: list[bytes] = []
    segments = spelled.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if not segments or segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"".join([b"/" + segment for segment in kept])


def _decode(found: re.Match[bytes]) -> bytes:
    byte = int(found[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else b"%%%b" % found[1].upper()


def _encode(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]

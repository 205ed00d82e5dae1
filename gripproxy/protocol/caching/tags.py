"""The tags of a response, by which it is purged, and those that a purge names.

cache-and-purge.md, *Tags* and *Purge*; RFC 9875 (`Cache-Groups`). Each tag has a name space: what
an application calls a key cannot collide with a URL or a channel. The tag `all`, which everything
has, is not among them.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from gripproxy.protocol import links
from gripproxy.protocol.caching import structured, urls
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response, split_authority
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Route

Tag = tuple[str, bytes]

URL: Final = "url"
KEY: Final = "key"
GROUP: Final = "group"
CHANNEL: Final = "chan"
ITEM: Final = "item"  # of routes with `purge=channel`: any item on a channel takes it back

# Of one response. A tag that was left out would be a purge that misses, so the response is not
# stored; other caches allow some hundred. A URL may be as long as its request was allowed to be.
TAGS_MAX: Final = 1000
LENGTH_MAX: Final = 1024


def of(
    client: Request, asked: Request, route: Route, headers: Headers, channels: Iterable[str] = ()
) -> frozenset[Tag] | None:
    """Return the tags of a response, None if it has too many or too long ones to be stored.

    `client` is the request as it came, `asked` as the origin got it. `channels` are all that a
    hold names, with the route's prefix.
    """
    keys = _keys(headers)
    groups = _groups(headers, b"cache-groups")
    found = set(of_urls(client, asked))
    found.update((KEY, key) for key in (*keys, *groups))
    origin = _origin(client.scheme, client.authority)
    found.update((GROUP, origin + group) for group in groups)
    held = [channel.encode("utf-8", "replace") for channel in channels]
    found.update((CHANNEL, channel) for channel in held)
    if route.purge_channel:
        prefix = route.prefix.encode()
        found.update((ITEM, channel) for channel in held)
        for key in _words(headers):
            found.update(((ITEM, key), (ITEM, prefix + key)))
    if len(found) > TAGS_MAX or any(len(n) > LENGTH_MAX for space, n in found if space != URL):
        return None
    return frozenset(found)


def of_urls(client: Request, asked: Request) -> frozenset[Tag]:
    """Return the tags of a request's URL, as the client and as its origin name it."""
    return frozenset([(URL, urls.of(one.authority, one.target)) for one in (client, asked)])


def _words(headers: Headers) -> list[bytes]:
    return [key for value in headers.get_all(b"surrogate-key") for key in value.split()]


def _keys(headers: Headers) -> list[bytes]:
    tagged = [part for value in headers.get_all(b"cache-tag") for part in value.split(b",")]
    return _words(headers) + [key for part in tagged if (key := part.strip(b" \t"))]


def _groups(headers: Headers, lower: bytes) -> list[bytes]:
    """Return the strings of a list of groups; it is void if it does not parse (RFC 9651 4.2)."""
    members = structured.members(headers.get_all(lower)) or ()
    return [
        member.encode()
        for member in members
        if isinstance(member, str) and not isinstance(member, structured.Token)
    ]


def _origin(scheme: bytes, authority: bytes) -> bytes:
    """Return the origin of a URL (RFC 9110 4.3.1) as the beginning of a group's tag."""
    host, port = split_authority(authority)
    return b"%b %b %d " % (scheme, host, port or (443 if scheme == b"https" else 80))


# What is purged


def of_purge(purge: Purge) -> frozenset[Tag]:
    """Return the tags that a purge names, beside `all`."""
    named = {(URL, urls.normal(url.encode("utf-8", "replace"))) for url in purge.urls}
    named.update((KEY, key.encode("utf-8", "replace")) for key in purge.keys)
    return frozenset(named)


_SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))


def invalidated(client: Request, asked: Request, response: Response) -> frozenset[Tag]:
    """Return the tags of what an unsafe request has changed (RFC 9111 4.4, RFC 9875 3).

    Those are its own URL, what `Location` and `Content-Location` name at the same origin, and the
    groups of `Cache-Group-Invalidation`; nothing if the request is safe or failed.
    """
    if client.method in _SAFE or not 200 <= response.status < 400:
        return frozenset()
    found = {(URL, urls.of(request.authority, request.target)) for request in (client, asked)}
    found.update((URL, url) for url in _named(client, asked, response.headers))
    return frozenset(found) | changed_groups(client, response.headers)


def changed_groups(client: Request, headers: Headers) -> frozenset[Tag]:
    """Return the tags of the groups that a response to an unsafe request names."""
    origin = _origin(client.scheme, client.authority)
    groups = _groups(headers, b"cache-group-invalidation")
    return frozenset((GROUP, origin + group) for group in groups)


def _named(client: Request, asked: Request, headers: Headers) -> list[bytes]:
    found = []
    references = headers.get_all(b"location") + headers.get_all(b"content-location")
    for request in (client, asked):
        found += _same_origin(request, references)
    return found


def _same_origin(request: Request, references: Sequence[bytes]) -> list[bytes]:
    base = b"%b://%b%b" % (request.scheme, request.authority, request.target)
    found = []
    for reference in references:
        url = links.resolve(base, reference)
        if url is not None:
            scheme, authority, target = links.split(url)
            if _origin(scheme, authority) == _origin(request.scheme, request.authority):
                found.append(urls.of(authority, target))
    return found

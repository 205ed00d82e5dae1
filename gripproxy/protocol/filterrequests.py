"""What `http-check` and `http-modify` ask the network, and what the answer means.

Specification: publishing.md 9.5. Requests are values: those of one item that are equal are made
once. The route's own fields (`Host`, `Grip-Sig`, …) come to them as to any request of a route.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gripproxy.errors import FilterError
from gripproxy.protocol import jsontext, links, positions
from gripproxy.protocol.filters import Ask, Context, Drop
from gripproxy.protocol.headers import Headers

BODY_MAX: Final = 100_000
SECONDS_MAX: Final = 10.0  # in all, from the connection to the end of the answer

# Why a request failed, in the words of the error.
REFUSED: Final = "connection refused"
CONNECT_TIMEOUT: Final = "connection timed out"
TLS: Final = "tls error"
DISCONNECTED: Final = "disconnected"
TIMEOUT: Final = "request timed out"
OTHER: Final = "general error"

_DELETE: Final = b"\x7f"


@dataclass(frozen=True, slots=True)
class FilterRequest:
    """A POST to an absolute http or https URL."""

    url: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def request(
    ask: Ask, context: Context, *, base: bytes, before: Mapping[str, str | None]
) -> FilterRequest:
    """Return the request of a chain that halted.

    `base` is the connection's present URL as its client sees it, `before` its positions before
    the item.

    Raises:
        FilterError: the subscription's meta name no URL that can be asked.
    """
    reference = context.sub_meta.get("url")
    if not reference:
        raise FilterError("missing url value")
    url = links.resolve(base, reference.encode("utf-8", "replace"))
    if url is None:
        raise FilterError("invalid url value")
    fields = [
        (b"Sub-Meta", _object(context.sub_meta)),
        (b"Pub-Meta", _object(context.pub_meta)),
        *positions.fields(before),
    ]
    return FilterRequest(url, tuple(fields), ask.content if ask.filter == "http-modify" else b"")


def _object(meta: Mapping[str, str]) -> bytes:
    # No field value may have a DEL; JSON escapes all other control characters by itself.
    return jsontext.encode(dict(meta), sort_keys=True).replace(_DELETE, b"\\u007f")


def verdict(ask: Ask, status: int, headers: Headers, body: bytes) -> bytes | Drop:
    """Return with what content, if at all, the chain goes on after this answer.

    Raises:
        FilterError: an answer that says neither.
    """
    if status not in (200, 204):
        raise FilterError(f"unexpected network request status: code={status}")
    if headers.get(b"action") == b"drop":
        return Drop.ITEM
    if ask.filter == "http-check" or status == 204:
        return ask.content
    if len(body) > BODY_MAX:
        raise FilterError(f"network response exceeded {BODY_MAX} bytes")
    return body


def failed(reason: str) -> FilterError:
    """Return the error of a request that got no answer."""
    return FilterError(f"network request failed: {reason}")


def over_limit() -> FilterError:
    """Return the error of a request that does not fit into the queue."""
    return FilterError("network request limit reached")

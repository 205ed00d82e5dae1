"""Instructs: what an origin wants done with a request, told in its response.

Specification: grip-http.md 1.2 (which responses), 4.2 (what the client does not see), 5.3 (bodies
that are relayed as they come). Fields are read in `gripfields`, JSON in `instructjson`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gripproxy.errors import InstructError
from gripproxy.protocol import forwarding, gripfields, instructjson
from gripproxy.protocol import headers as fields
from gripproxy.protocol.gripfields import Given
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.phrases import phrase
from gripproxy.protocol.terms import Channel, HoldMode, KeepAlive, Link

MEDIA_TYPE: Final = b"application/grip-instruct"

_NOT_200: Final = "response code for application/grip-instruct content must be 200"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruct:
    """What an origin wants; `response` is what is left of its response for the client.

    `channels` are all entries in the order given, of equal names, too. Two instructs with equal
    fields may share their parts.
    """

    mode: HoldMode | None
    channels: tuple[Channel, ...]
    timeout: int
    keep_alive: KeepAlive | None
    meta: Mapping[str, str]
    next: Link | None
    gone: Link | None
    response: Response


# Whether and when


def is_instruct(headers: Headers) -> bool:
    """Tell whether a response with these fields is an instruct (1.2)."""
    marks = headers.marks
    return bool(marks & fields.GRIP) or (bool(marks & fields.CONTENT_TYPE) and is_json(headers))


def is_json(headers: Headers) -> bool:
    """Tell whether these fields announce a JSON instruct."""
    for field, value in headers.fields:
        if field.mark & fields.CONTENT_TYPE:
            return value.partition(b";")[0].strip(b" \t").lower() == MEDIA_TYPE
    return False


def streams(response: Response) -> bool:
    """Tell whether an instruct's body is relayed as it comes (5.3).

    So it is with everything that fields alone make a stream, or that has a next link and no
    hold. The body of any other instruct is read whole, then `read`.

    Raises:
        InstructError: fields that cannot be obeyed.
    """
    given = _given(response.headers)
    if given.mode is not HoldMode.STREAM and (given.mode is not None or given.next is None):
        return False
    return not is_json(response.headers)


def read_head(response: Response) -> Instruct:
    """Return what the header fields of a response say; its body stays as it is.

    Raises:
        InstructError: fields that cannot be obeyed.
    """
    given = _given(response.headers)
    return _instruct(given, _transformed(response, given))


def read(response: Response, body: bytes) -> Instruct:
    """Return what a response and its whole body say.

    Raises:
        InstructError: an instruct that cannot be obeyed.
    """
    given = _given(response.headers)
    if is_json(response.headers):
        if response.status != 200:
            raise InstructError(_NOT_200)
        return _instruct(*instructjson.read(body, given, response.reason))
    left = _transformed(response, given)
    left.body = body
    left.length = len(body)
    return _instruct(given, left)


# What the client gets (4.1, 4.2)


def _transformed(response: Response, given: Given) -> Response:
    """Return the response as its fields transform it, with the body that it has."""
    status, reason = given.status or (response.status, response.reason)
    return Response(
        status=status,
        reason=reason or phrase(status),
        headers=_left(response.headers, given),
        body=response.body,
        length=response.length,
        version=response.version,
    )


# hot: the same instruct comes for each poll and each reconnecting client; what is derived from
# shared fields is derived once (bench/scenarios.py, longpoll-1000: 3 us a response less).


def _given(headers: Headers) -> Given:
    """Return what fields say, read once for shared ones."""
    derived = headers.derived
    if derived is None:
        return gripfields.read(headers)
    given = derived.get(_GIVEN)
    if not isinstance(given, Given):
        given = derived[_GIVEN] = gripfields.read(headers)
    return given


def _left(headers: Headers, given: Given) -> Headers:
    """Return the fields that are left for the client, made once of shared ones."""
    derived = headers.derived
    if derived is None:
        return _for_client(headers, given)
    left = derived.get(_LEFT)
    if not isinstance(left, Headers):
        left = derived[_LEFT] = _for_client(headers, given).share()
    return left


_GIVEN: Final = "instruct"
_LEFT: Final = "left of an instruct"


def _for_client(headers: Headers, given: Given) -> Headers:
    left = forwarding.end_to_end(headers.without_marks(_REMOVED))
    if given.exposed:
        left = Headers((text, value) for text, value in left if text.lower() in given.exposed)
    return left


_REMOVED: Final = fields.GRIP | fields.CONTENT_ENCODING | fields.CONTENT_LENGTH


def _instruct(given: Given, left: Response) -> Instruct:
    return Instruct(
        mode=given.mode,
        channels=given.channels,
        timeout=given.timeout,
        keep_alive=given.keep_alive,
        meta=given.meta,
        next=given.next,
        gone=given.gone,
        response=left,
    )

"""The handshake of a WebSocket, with clients and with origins (RFC 6455 4 and 9.1).

Specification: websockets.md 1.1, 3.2 and 3.3. Each function takes the values of the fields that
it is about, in the order in which they came.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gripproxy.errors import ExchangeError, RequestError
from gripproxy.protocol import headers, wsdeflate

VERSION = b"13"

# What goes with the status 426.
VERSION_FIELDS = (
    (b"Sec-WebSocket-Version", VERSION),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
)

GRIP = b"grip"

_INVALID = (
    'Request contained an Upgrade header with value "websocket" but the request was not a valid '
    "WebSocket request."
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Sixteen bytes in base64.
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")

# Clients


def asks(upgrade: Sequence[bytes], connection: Sequence[bytes]) -> bool:
    """Tell whether a request asks for a WebSocket, by its `Upgrade` and `Connection`.

    If not it is an ordinary one, whose `Upgrade` is not for its origin.
    """
    return b"websocket" in headers.tokens(upgrade) and b"upgrade" in headers.tokens(connection)


def check(
    method: bytes,
    version: int,
    length: int | None,
    *,
    keys: Sequence[bytes],
    versions: Sequence[bytes],
) -> bytes:
    """Return the key of a request that asks for a WebSocket.

    `version` is the minor one, `length` that of the body in bytes, None if it is chunked.

    Raises:
        RequestError: 400, or 426 if nothing but the WebSocket version is wrong; the latter is
            answered with `VERSION_FIELDS`.
    """
    wanted = method == b"GET" and version >= 1 and length == 0 and len(keys) == 1
    if not wanted or not _KEY.fullmatch(keys[0]):
        raise RequestError(400, _INVALID)
    if list(versions) != [VERSION]:
        raise RequestError(426, "WebSocket version 13 is required.")
    return keys[0]


def accept(key: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`."""
    # RFC 6455 4.2.2 wants SHA-1, and nothing rests on its strength.
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def deflate(offers: Sequence[bytes]) -> wsdeflate.Agreement | None:
    """Choose among a client's `Sec-WebSocket-Extensions` as far as compression is allowed.

    If anything in the field does not parse, nothing was offered.
    """
    wanted: list[wsdeflate.Parameters] = []
    for extension in _extensions(offers):
        if extension.parameters is None:
            return None
        if extension.name == wsdeflate.NAME:
            wanted.append(extension.parameters)
    return wsdeflate.answer(wanted)


# Origins


@dataclass(frozen=True, slots=True)
class Grip:
    """An origin speaks GRIP: its messages for the client begin with `prefix`.

    `answer` is what it wrote, for a GRIP proxy in front of this one.
    """

    prefix: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Agreed:
    """What an origin's 101 says about its messages."""

    grip: Grip | None
    deflate: wsdeflate.Agreement | None


def check_answer(
    key: bytes, accepts: Sequence[bytes], extensions: Sequence[bytes], *, compress: bool
) -> Agreed:
    """Check an origin's 101 to a request with this key; `compress`: it had `wsdeflate.OFFER`.

    Raises:
        ExchangeError: not an answer to our request, or compression that was not offered.
    """
    if list(accepts) != [accept(key)]:
        raise _failed("wrong Sec-WebSocket-Accept")
    answers = [one for one in _extensions(extensions) if one.name == wsdeflate.NAME]
    agreement: wsdeflate.Agreement | None = None
    if answers:
        parameters = answers[0].parameters
        if compress and len(answers) == 1 and parameters is not None:
            agreement = wsdeflate.accept(parameters)
        if agreement is None:
            raise _failed("wrong permessage-deflate in Sec-WebSocket-Extensions")
    return Agreed(grip(extensions), agreement)


def grip(extensions: Sequence[bytes]) -> Grip | None:
    """Find the `grip` extension in an origin's answer; None if it is not there or does not parse.

    It is also asked for over HTTP, where the answer is the response to `OPEN`.
    """
    for extension in _extensions(extensions):
        if extension.name == GRIP:
            if extension.parameters is None:
                return None
            for name, value in extension.parameters:
                if name.lower() == b"message-prefix":
                    return Grip(value or b"", extension.text)
            return Grip(b"m:", extension.text)
    return None


def _failed(text: str) -> ExchangeError:
    return ExchangeError("http_upgrade_failed", text)


# Extensions (RFC 6455 9.1)

_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOTHING = re.compile(rb"=[ \t]*(?:;|\Z)")


@dataclass(frozen=True, slots=True)
class _Extension:
    """A member of the field; `parameters` is None if they do not parse."""

    name: bytes
    parameters: wsdeflate.Parameters | None
    text: bytes


def _extensions(values: Sequence[bytes]) -> Iterator[_Extension]:
    for text in headers.split_list(values):
        if text:
            name = text.partition(b";")[0].strip(b" \t")
            yield _Extension(name, _parameters(name, text), text)


def _parameters(name: bytes, text: bytes) -> wsdeflate.Parameters | None:
    """Read the parameters of a member.

    Values need not be tokens: an origin may well write its prefix, `m:`, without quotes.
    """
    split = headers.split_parameters(text)
    # For a channel `=` and nothing is an empty text, but here it is an error.
    if split is None or _NOTHING.search(_QUOTED.sub(b"quoted", text)):
        return None
    names = (name, *(key for key, _ in split[1]))
    return tuple(split[1]) if all(map(headers.is_token, names)) else None

"""The other end of the control side: what `gripproxy publish` and `purge` do (publishing.md 12).

Blocking, for it runs in a program of its own that waits for nothing else. The texts are
Pushpin's where it has them.
"""

import base64
import http.client
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import zmq

from gripproxy.errors import PacketError, PublishError
from gripproxy.protocol import jsontext, keys, purges, tnetstring
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.signing import Signer
from gripproxy.protocol.tnetstring import Data

DEFAULT_SPEC: Final = "http://localhost:5561"

# Seconds without a byte from the proxy.
TIMEOUT: Final = 60.0
# Bytes of an answer that are read: it is a line.
ANSWER_MAX: Final = 65536

_CODE_DIGITS: Final = 3
_TO_BASE64: Final = str.maketrans("-_ ", "+/+")
# What cannot stand in a request line or a `Host`.
_NO_URL: Final = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is to be published, in the words of the command line.

    An empty `id`, `prev_id` or `sender` is none. `content` is text, or `@FILE` for a file's bytes.
    """

    channel: str
    content: str | None = None
    id: str = ""
    prev_id: str = ""
    sender: str = ""
    code: str = "200"
    headers: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    hint: bool = False
    close: bool = False
    patch: bool = False
    no_seq: bool = False
    no_eol: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where it goes: a GRIP URL, or an address to connect a PUSH socket to.

    `user` is `NAME:PASSWORD`; that or `bearer` is sent instead of what the URL says.
    """

    spec: str = DEFAULT_SPEC
    user: str | None = None
    bearer: str | None = None


def publish(
    publication: Publication,
    to: Destination,
    *,
    now: float,
    accepted: Callable[[], None] = lambda: None,
) -> None:
    """Publish one item; `now` is in seconds since 1970, for the token that is signed.

    `accepted` is called when the proxy has the item, or, over ZeroMQ, when the item is on its
    way: then this function waits until it is sent, for ever if nobody listens.

    Raises:
        PublishError: it was not published.
        UsageError: a key that cannot be read.
    """
    item = build_item(publication)
    try:
        if not to.spec.startswith(("http:", "https:")):
            _authentication(to)
            _push(to.spec, tnetstring.encode(item), accepted)
            return
        body = jsontext.encode({"items": [_to_json(item)]}, sort_keys=True)
    except PacketError as error:
        raise PublishError(error.text) from error
    post(to, "/publish/", body, now=now)
    accepted()


def purge(what: Purge, to: Destination, *, now: float) -> int:
    """Take stored responses back; return how many that were. `now` is as for `publish`.

    Raises:
        PublishError: they were not, or it is not known whether they were.
        UsageError: a key that cannot be read.
    """
    if not to.spec.startswith(("http:", "https:")):
        raise PublishError("a purge goes over HTTP, so that its effect is known")
    body = jsontext.encode(purges.to_json(what), sort_keys=True)
    content = post(to, "/purge", body, now=now)
    try:
        answer = jsontext.decode(content)
    except PacketError as error:
        raise PublishError("invalid answer") from error
    purged = answer.get("purged") if isinstance(answer, dict) else None
    if not isinstance(purged, int):
        raise PublishError("invalid answer")
    return purged


# Items


def build_item(publication: Publication) -> dict[str, Data]:
    """Return the item, as a tnetstring has it; raise `PublishError` for what makes none."""
    item: dict[str, Data] = {
        "channel": publication.channel,
        "formats": _formats(publication),
    }
    if publication.id:
        item["id"] = publication.id
    if publication.prev_id:
        item["prev-id"] = publication.prev_id
    meta = {"sender": publication.sender} if publication.sender else {}
    for text in publication.meta:
        name, found, value = text.partition("=")
        if not found:
            raise PublishError('meta must be in the form "name=value"')
        meta[name] = value.strip()
    if meta:
        item["meta"] = meta
    if publication.no_seq:
        item["no-seq"] = True
    return item


def _formats(publication: Publication) -> dict[str, Data]:
    response = _response_head(publication)
    if publication.hint:
        return _actions("hint", "http-response", "http-stream", "ws-message")
    if publication.close:
        return _actions("close", "http-stream", "ws-message")
    if publication.content is None:
        raise PublishError("must specify content")
    if publication.patch:
        return {"http-response": {**response, "body-patch": _patch(publication.content)}}
    content = _content(publication.content)
    line = content
    if not publication.no_eol and not publication.content.startswith("@"):
        line += b"\n"
    return {
        "http-response": {**response, "body": line},
        "http-stream": {"content": line},
        # Text that is none would never be sent; as binary it is (publishing.md 3.3).
        "ws-message": {"content" if _is_text(content) else "content-bin": content},
    }


def _actions(action: str, *names: str) -> dict[str, Data]:
    return {name: {"action": action} for name in names}


def _response_head(publication: Publication) -> dict[str, Data]:
    head: dict[str, Data] = {"code": _code(publication.code)}
    headers: list[Data] = []
    for text in publication.headers:
        name, found, value = text.partition(":")
        if not found:
            raise PublishError('header must be in the form "name: value"')
        headers.append([name, value.strip()])
    if headers:
        head["headers"] = headers
    return head


def _code(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise PublishError("failed to parse code: invalid digit found in string")
    digits = text.lstrip("0")
    if len(digits) > _CODE_DIGITS:
        raise PublishError("code must be an integer between 0 and 999")
    return int(digits or "0")


def _content(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    name = text[1:]
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise PublishError(f"can't read file {name}: {reason or error}") from error


def _patch(text: str) -> Data:
    try:
        patch = jsontext.decode(text.encode("utf-8", "surrogateescape"))
    except PacketError as error:
        raise PublishError("patch content must be a JSON array") from error
    if not isinstance(patch, list):
        raise PublishError("patch content must be a JSON array")
    return patch


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _to_json(value: Data) -> Json:
    """Return an item as JSON has it: bytes become text, or a `-bin` member in base64."""
    if isinstance(value, Mapping):
        return dict([_json_member(name, element) for name, element in value.items()])
    if isinstance(value, bytes):
        return value.decode()
    if value is None or isinstance(value, int | float | str):
        return value
    return [_to_json(element) for element in value]


def _json_member(name: str, value: Data) -> tuple[str, Json]:
    if isinstance(value, bytes) and (name.endswith("-bin") or not _is_text(value)):
        return name.removesuffix("-bin") + "-bin", base64.b64encode(value).decode()
    return name, _to_json(value)


# Where to


@dataclass(frozen=True, slots=True, kw_only=True)
class GripUrl:
    """A GRIP URL, taken apart (publishing.md 12.2).

    `path` has no `/` at its end; `query` is what is left of the query. `key` is as it stands in
    the URL, `user` is `NAME:PASSWORD`.
    """

    secure: bool
    host: str
    port: int | None
    path: str = ""
    query: str = ""
    issuer: str = ""
    key: str = ""
    user: str | None = None

    @classmethod
    def parse(cls, text: str) -> "GripUrl":
        """Read a URL; raise `PublishError` for what is none."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise PublishError("invalid URL") from error
        if not host or parts.scheme not in {"http", "https"} or _NO_URL.search(text):
            raise PublishError("invalid URL")
        ours, others = _split_query(parts.query)
        return cls(
            secure=parts.scheme == "https",
            host=host,
            port=port,
            path=parts.path.removesuffix("/"),
            query="&".join(others),
            issuer=ours.get("iss", ""),
            key=ours.get("key", ""),
            user=_user(parts),
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{'https' if self.secure else 'http'}://{host}{port}{self.path}"

    def target(self, path: str) -> str:
        """Return the request target for a path of the control API."""
        return self.path + path + (f"?{self.query}" if self.query else "")

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, which is made by its first request."""
        if self.secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=TIMEOUT, context=context
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read what is sent: TLS, or no way at all."""
        if self.secure or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def _split_query(query: str) -> tuple[dict[str, str], list[str]]:
    """Split a query into the parameters of GRIP and the others, which stay as they are."""
    ours: dict[str, str] = {}
    others = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in {"iss", "key", "verify-iss", "verify-key"}:
            # A `+` is one: keys in base64 have them.
            ours[name] = unquote(value)
        elif part:
            others.append(part)
    return ours, others


def _user(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}"


# Credentials


def _authentication(to: Destination) -> str | None:
    """Return what the command line wants as `Authorization`."""
    if to.user is not None and to.bearer is not None:
        raise PublishError("only one authentication method can be specified")
    if to.user is not None:
        return _basic(to.user)
    return None if to.bearer is None else f"Bearer {to.bearer}"


def _authorization(to: Destination, url: GripUrl, now: float) -> str | None:
    value = _authentication(to)
    if value is None and url.key and url.issuer:
        # Only this may be seen on the way: the key does not travel, and libraries send it, too.
        return f"Bearer {_signer(url).token(now).decode()}"
    if value is None and url.key:
        value = f"Bearer {url.key}"
    if value is None and url.user is not None:
        value = _basic(url.user)
    if value is not None and not url.private:
        raise PublishError("Authentication requires https")
    return value


def _signer(url: GripUrl) -> Signer:
    if not url.key.startswith("base64:"):
        return Signer(url.issuer, KeySource("text", url.key.encode()))
    # Libraries take the alphabet for URLs, too, and the blank that a `+` has become.
    key = keys.resolve(url.key.translate(_TO_BASE64), lambda _: b"")
    assert key is not None
    return Signer(url.issuer, key)


def _basic(user: str) -> str:
    encoded = base64.b64encode(user.encode("utf-8", "surrogateescape"))
    return f"Basic {encoded.decode()}"


# Sending


def post(to: Destination, path: str, body: bytes, *, now: float) -> bytes:
    """Post JSON to a path of the control API; return the body of its answer.

    Raises:
        PublishError: no answer, or one that is not 200.
        UsageError: a key that cannot be read.
    """
    url = GripUrl.parse(to.spec)
    fields = {"Content-Type": "application/json"}
    authorization = _authorization(to, url, now)
    if authorization is not None:
        fields["Authorization"] = authorization
    connection = url.connect()
    try:
        connection.request("POST", url.target(path), body, fields)
        with connection.getresponse() as answer:
            content = answer.read(ANSWER_MAX)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PublishError(f"{url}: {_reason(error)}") from error
    finally:
        connection.close()
    if answer.status != 200:
        text = content.decode("utf-8", "replace").strip()
        raise PublishError(text or f"{answer.status} {answer.reason}")
    return content


def _reason(error: Exception) -> str:
    """Return what went wrong with a connection."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.strerror:
        return error.strerror
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return "invalid answer"
    return str(error)


def _push(spec: str, message: bytes, accepted: Callable[[], None]) -> None:
    """Send one message to a PULL socket; return when it is sent."""
    context = zmq.Context()
    try:
        push = context.socket(zmq.PUSH)
        push.setsockopt(zmq.IPV6, int("[" in spec))
        push.connect(spec)
        push.send(message)
    except zmq.ZMQError as error:
        context.destroy(linger=0)
        raise PublishError(f"{spec}: {zmq.strerror(error.errno or 0)}") from error
    push.close(linger=-1)
    accepted()
    context.term()

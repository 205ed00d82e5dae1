"""The HTTP control API (publishing.md 11, 14): `/publish`, `/recover`, and who may use them.

`ControlApi.serve` is served by a `front.server.Server` of its own, which reads requests and frames
answers. Checked in this order, the first that fails is the answer: the length of the body (11.1),
credentials (14.3), where the request comes from, `Accept` (11.2), path and method (11.3), and
only then the body, which nobody has read before.
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import Enum

from gripproxy.engine.metrics import Metrics
from gripproxy.errors import (
    ClientGoneError,
    CredentialsError,
    ItemError,
    PacketError,
    RequestError,
)
from gripproxy.flow import bodies
from gripproxy.flow.ports import Clock, Exchange, Intake, Receipt
from gripproxy.protocol import answers, credentials, dialects, jsontext, packets, purges
from gripproxy.protocol import headers as fields
from gripproxy.protocol.credentials import Credentials
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.phrases import phrase

BODY_MAX = 1_000_000

# Requests that may come without saying whether they have a body.
_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})
_LENGTH_FIELDS = fields.CONTENT_LENGTH | fields.TRANSFER_ENCODING

# The hosted service has its publishers name it in the path.
_SERVICE = re.compile(rb"/service/[^/]+(/publish)")

# Purges as that service spells them: their answers are JSON, and a body is not needed.
_SPELLED = re.compile(rb"/purge/.|/service/[^/]+/purge")

_HEADER_FAILED = "Failed to parse request header."
_BODY_FAILED = "Failed to parse request body."
_TOO_LARGE = "Request body too large."
_LENGTH_REQUIRED = "Request requires Content-Length."
_EXCEEDED = "Request body exceeded Content-Length."

# What the server refuses, by the end of its text, and what is told here instead.
_REFUSALS = (
    ("invalid content length", 400, "Bad Content-Length."),
    ("negative content length", 400, _EXCEEDED),
    ("more than the content length", 400, _EXCEEDED),
    ("unsupported transfer encoding", 411, _LENGTH_REQUIRED),
    ("invalid chunk size", 400, _BODY_FAILED),
    ("invalid chunk suffix", 400, _BODY_FAILED),
    ("chunk too large", 400, _BODY_FAILED),
    ("chunk line too long", 400, _BODY_FAILED),
    ("trailers too long", 400, _BODY_FAILED),
)
_REFUSALS_BY_STATUS = {
    400: (400, _HEADER_FAILED),
    414: (400, "Request header too large."),
    431: (400, "Request header too large."),
}


class Form(Enum):
    """What an answer that is no error is written in."""

    TEXT = "text/plain"
    JSON = "application/json"


_FORMS = {
    b"text/plain": Form.TEXT,
    b"text/*": Form.TEXT,
    b"*/*": Form.TEXT,
    b"*": Form.TEXT,
    b"application/json": Form.JSON,
    b"application/*": Form.JSON,
}

# An answer, and what its log line has at the end.
Answer = tuple[Response, str]
Endpoint = Callable[[Request, Form], Awaitable[Answer]]


class ControlApi:
    """Answers requests to the control port.

    `warn` takes a key, by which it throttles, and a text; `log` gets a line for each answer.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        clock: Clock,
        warn: Callable[[str, str], None],
        log: Callable[[str], None] | None = None,
        credentials: Credentials | None = None,
        body_max: int = BODY_MAX,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._intake = intake
        self._clock = clock
        self._warn = warn
        self._log = log
        self._credentials = credentials
        self._body_max = body_max
        self._endpoints: dict[bytes, Endpoint] = {
            b"/publish": self._publish,
            b"/recover": self._recover,
            b"/purge": self._purge,
        }

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        try:
            response, tail = await self._answer(request)
        except ClientGoneError:
            exchange.cut()
            return
        if request.version == 0:
            # To HTTP/1.1 the server says so itself.
            closing = Headers([*response.headers, (b"Connection", b"close")])
            response = replace(response, headers=closing)
        await exchange.answer(response)
        if self._log is not None:
            line = f"{_shown(request.method)} {_shown(request.target)}"
            self._log(f"control: {line} code={response.status} {exchange.sent}{tail}")

    def refused(self, peer: str, error: RequestError) -> Response:
        """Return the answer to what the server could not read as a request."""
        status, text = _told(error)
        if self._log is not None:
            self._log(f"control: refused from={peer} code={status} {error.text}")
        return _text(status, text)

    async def _answer(self, request: Request) -> Answer:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal, ""
        if request.method == b"POST" and _SPELLED.match(request.target) is not None:
            return await self._purge_as_spelled(request)
        form = _form(request.headers)
        if form is None:
            return _NOT_ACCEPTABLE, ""
        return await self._answer_as(request, form)

    async def _answer_as(self, request: Request, form: Form) -> Answer:
        path = _path(request)
        if path == b"/":
            return _ROOT, ""
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            return _NOT_FOUND, ""
        if request.method != b"POST":
            text = f"Method not allowed: {_shown(request.method)}."
            return _text(405, text, (b"Allow", b"POST")), ""
        try:
            return await endpoint(request, form)
        except bodies.TooLargeError:
            return _text(400, _TOO_LARGE), ""
        except RequestError as error:
            text = error.text if error.status == 408 else _BODY_FAILED
            return _text(error.status, text), ""

    # Before the body

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is not to be looked at any further."""
        lengthless = not request.headers.marks & _LENGTH_FIELDS
        if lengthless and request.method not in _BODILESS and not _SPELLED.match(request.target):
            return _text(411, _LENGTH_REQUIRED)
        if request.length is not None and request.length > self._body_max:
            return _text(400, _TOO_LARGE)
        trusted = False
        if self._credentials is not None:
            try:
                self._credentials.check(request.headers, self._clock.wall())
                trusted = True
            except CredentialsError as error:
                if not _is_open(request):
                    self._warn_of(request, error.text)
                    challenge = (b"WWW-Authenticate", credentials.challenge(error))
                    return _text(401, f"Unauthorized: {error.text}.", challenge)
        if not trusted and credentials.is_cross_origin(request.headers):
            self._warn_of(request, "cross-origin")
            return _text(403, credentials.CROSS_ORIGIN)
        return None

    def _warn_of(self, request: Request, reason: str) -> None:
        line = f"{_shown(request.method)} {_shown(request.target)}"
        text = f"control: {line} from={request.peer} refused: {reason}"
        self._warn(f"control {request.peer}", text)

    # Endpoints

    async def _publish(self, request: Request, form: Form) -> Answer:
        try:
            body = await bodies.collect(request.body, self._body_max)
            batch = packets.decode_batch(body, request.headers.get(b"content-type"))
        except PacketError as error:
            self._count_refused("packet")
            return _text(400, error.text), ""
        except ItemError as error:
            self._count_refused("item")
            return _text(400, f"Invalid format: {error.text}"), ""
        if self._metrics is not None:
            self._metrics.published("http", len(batch))
        receivers = await self._intake.accept(batch)
        tail = f" items={len(batch)}"
        if form is Form.TEXT:
            return _PUBLISHED, tail
        receipt: Json = {"items": len(batch), "message": "Published", "receivers": receivers}
        return _json(receipt), tail

    def _count_refused(self, reason: str) -> None:
        if self._metrics is not None:
            self._metrics.refused("http", reason)

    async def _recover(self, request: Request, form: Form) -> Answer:
        # What is in the body does not matter, but it has to come.
        await bodies.collect(request.body, self._body_max)
        await self._intake.recover()
        return _UPDATED[form], ""

    async def _purge(self, request: Request, _form: Form) -> Answer:
        """Take back what a JSON body names; the answer says how much that was."""
        body = await bodies.collect(request.body, self._body_max)
        try:
            purge = purges.read(jsontext.decode(body), dialects.JSON)
        except PacketError:
            return _text(400, "Body is not valid JSON."), ""
        except ItemError as error:
            return _text(400, f"Invalid format: {error.text}"), ""
        receipt = await self._intake.purge(purge, counted=True)
        told: dict[str, Json] = {"status": "ok", "id": uuid.uuid4().hex, "purged": receipt.purged}
        if receipt.pending:
            told["pending"] = receipt.pending
        return _json(told), _purged(receipt)

    async def _purge_as_spelled(self, request: Request) -> Answer:
        """Take back what a request names in the hosted service's way, and answer in it."""
        body = await bodies.collect(request.body, self._body_max)
        try:
            spelled = purges.spelled(request.target, request.headers, body)
        except ItemError as error:
            return _json({"msg": "Bad request", "detail": error.text}, 400), ""
        if spelled is None:
            return _NOT_FOUND, ""
        receipt = await self._intake.purge(spelled.purge, counted=False)
        return _json(spelled.answer(uuid.uuid4().hex)), _purged(receipt)


# Requests


def _form(headers: Headers) -> Form | None:
    """Return what `Accept` asks for: the last form that is known, whatever its weight."""
    accepted = headers.get_all(b"accept")
    if not accepted:
        return Form.TEXT
    found = None
    for member in fields.tokens(accepted):
        found = _FORMS.get(member.partition(b";")[0].rstrip(b" \t"), found)
    return found


def _path(request: Request) -> bytes:
    path = request.path.removesuffix(b"/") or b"/"
    service = _SERVICE.fullmatch(path)
    return service[1] if service is not None else path


def _is_open(request: Request) -> bool:
    """Tell whether a request needs no credentials: it tells nothing and changes nothing."""
    return request.method in {b"GET", b"HEAD"} and _path(request) == b"/"


def _shown(text: bytes) -> str:
    return text.decode("latin-1")


# Answers


def _told(error: RequestError) -> tuple[int, str]:
    """Return the status and the text of 11.1 for what the server refuses."""
    for end, status, text in _REFUSALS:
        if error.text.endswith(end):
            return status, text
    return _REFUSALS_BY_STATUS.get(error.status, (error.status, error.text))


def _purged(receipt: Receipt) -> str:
    """Return the end of the log line of a purge."""
    pending = f" pending={receipt.pending}" if receipt.pending else ""
    return f" purged={receipt.purged}{pending}"


def _text(status: int, text: str, *first: tuple[bytes, bytes]) -> Response:
    """Return a text answer; `first` are the fields before `Content-Type`."""
    response = answers.text(status, text)
    if first:
        response.headers = Headers([*first, *response.headers])
    return response


def _json(value: Json, status: int = 200) -> Response:
    body = jsontext.encode(value, sort_keys=True) + b"\n"
    return Response(
        status=status,
        reason=phrase(status),
        headers=Headers([(b"Content-Type", b"application/json")]),
        body=body,
        length=len(body),
    )


_ROOT = _text(200, "Pushpin API")
_NOT_FOUND = _text(404, "Not Found")
_NOT_ACCEPTABLE = _text(
    406, "Not Acceptable. Supported formats are text/plain and application/json."
)
_PUBLISHED = _text(200, "Published")
_UPDATED = {Form.TEXT: _text(200, "Updated"), Form.JSON: _json({"message": "Updated"})}

"""Answers for pages of other sites: CORS fields, or a script around it all (proxying.md 13, 14).

A route or the whole proxy asks for it (`aco`, `auto_cross_origin`). A `Dress` belongs to one
request and is worn by everything that answers it; a stream only gets the fields, since a script
that never ends would never run.
"""

from gripproxy.errors import GripProxyError
from gripproxy.protocol import answers, crossorigin, jsonp
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.jsonp import Jsonp, Script
from gripproxy.protocol.messages import Receiver, Response, Source

# Larger relayed bodies are wrapped as they come.
_IMPOSSIBLE = "Upstream response could not be JSON-P encoded."


class Dress:
    """How the answers to one request are dressed."""

    __slots__ = ("_jsonp", "_request")

    def __init__(self, request: Headers, script: Jsonp | None) -> None:
        self._request = request
        self._jsonp = script

    def relayed(self, response: Response) -> Response:
        """Dress a relayed response, or an error of ours."""
        script = self._jsonp
        if script is None:
            return self.head(response)
        body = response.body
        if response.headers.get(b"content-encoding") is not None:
            if not isinstance(body, bytes):
                body.abandon()
            response = answers.text(500, _IMPOSSIBLE, error="proxy_internal_response")
            body = response.body
        if isinstance(body, bytes):
            return jsonp.whole(script, response, body)
        head, wrapped = jsonp.streamed(script, response)
        head.body = _Wrapping(body, wrapped)
        return head

    def held(self, response: Response) -> Response:
        """Dress what ends a hold."""
        script, body = self._jsonp, response.body
        if script is None:
            return self.head(response)
        assert isinstance(body, bytes)
        return jsonp.held(script, response, body)

    def head(self, response: Response) -> Response:
        """Dress the head of a response whose body stays as it is."""
        return Response(
            status=response.status,
            reason=response.reason,
            headers=crossorigin.with_fields(response.headers, self._request),
            body=response.body,
            length=response.length,
            version=response.version,
        )


class _Wrapping:
    """A body on its way into a script: a `Source` around a `Source`."""

    __slots__ = ("_receiver", "_script", "_source")

    def __init__(self, source: Source, script: Script) -> None:
        self._source = source
        self._script = script
        self._receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        receiver.body_piece(self._script.begin())
        self._source.start(self)

    def pause(self) -> None:
        self._source.pause()

    def resume(self) -> None:
        self._source.resume()

    def abandon(self) -> None:
        self._receiver = None
        self._source.abandon()

    def body_piece(self, piece: bytes) -> None:
        content = self._script.feed(piece)
        if content and self._receiver is not None:
            self._receiver.body_piece(content)

    def body_end(self, trailers: Headers | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.body_piece(self._script.end())
            receiver.body_end(None)

    def body_failed(self, error: GripProxyError) -> None:
        if self._receiver is not None:
            self._receiver.body_failed(error)

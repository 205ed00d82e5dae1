"""SockJS in front of a WebSocket (websockets.md 8).

The story of a request below a route's `sockjs`:

1. Its path says what it wants (`protocol.sockjs.place`). What is no session is answered here.
2. A WebSocket goes on as one, its path being the one that the origin shall see; on a session's
   path its messages are framed (`flow.framed`).
3. The first poll of a session makes one (`flow.polling`) and asks for its WebSocket in a task of
   its own; the poll waits.
4. Later polls and what the page sends find the session by its name.

Everything behind `serve_socket` takes a session for the client of an ordinary WebSocket.
"""

from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass, replace

from gripproxy.engine.ports import ClientSocket, Framing, Held, Wake
from gripproxy.engine.stats import Counted
from gripproxy.errors import RequestError
from gripproxy.flow.bodies import TooLargeError, collect
from gripproxy.flow.framed import FramedSocket
from gripproxy.flow.polling import Session, State, Timer, Waiter
from gripproxy.flow.ports import Clock, Exchange, Resume, Tasks
from gripproxy.flow.request import ServeSocket
from gripproxy.protocol import answers, sockjs
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response, Source
from gripproxy.protocol.routes import Route
from gripproxy.protocol.sockjs import Page, Place, What

_READING = (b"GET", b"HEAD")

# A session's name counts for one host and one `sockjs` path: no page can poll another site's.
_Key = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What does not come from routes."""

    script_url: str = ""  # `sockjs_url`
    sessions_max: int = 50_000  # that poll; each has at most `WAITING_MAX` bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request for a session."""

    exchange: Exchange
    route: Route
    place: Place
    page: Page
    body: bytes
    trusted: bool
    debug: bool


class SockJs:
    """Serves what is below the `sockjs` path of a route."""

    def __init__(
        self,
        serve_socket: ServeSocket,
        timer: Timer,
        *,
        clock: Clock,
        tasks: Tasks,
        entropy: Callable[[], int],
        settings: Settings,
    ) -> None:
        """Make it; `entropy` gives random numbers of 32 bits."""
        self._serve_socket = serve_socket
        self._timer = timer
        self._clock = clock
        self._tasks = tasks
        self._entropy = entropy
        self._settings = settings
        self._sessions: dict[_Key, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def serve(self, exchange: Exchange, route: Route, *, trusted: bool, debug: bool) -> None:
        """Answer a request below a route's `sockjs`.

        Raises:
            RequestError: from a WebSocket's handshake, see `SocketFlow.serve`.
            GripProxyError: the body of the request broke off.
        """
        request = exchange.request
        place = sockjs.place(request.path, route.sockjs)
        page = Page(request.headers.get(b"origin"))
        response: Response | None
        if request.websocket and place.what in (What.RAW, What.SESSION):
            await self._serve_websocket(exchange, route, place, trusted=trusted, debug=debug)
            return
        try:
            body = await collect(request.body, sockjs.BODY_MAX)
            if place.what is What.SESSION and request.method != b"OPTIONS":
                if request.method not in sockjs.METHODS.get(place.name, ()):
                    raise _not_found()
                if place.name in (sockjs.JSONP, sockjs.JSONP_SEND):
                    page = replace(page, callback=sockjs.callback(request.target))
                asked = _Asked(
                    exchange=exchange,
                    route=route,
                    place=place,
                    page=page,
                    body=body,
                    trusted=trusted,
                    debug=debug,
                )
                response = self._serve_session(asked)
            else:
                response = self._serve_rest(request, place.what, page)
        except TooLargeError:
            response = page.error(400, "Request too large.")
        except RequestError as error:
            response = page.error(error.status, error.text)
        if response is not None:
            await exchange.answer(response)

    def drain(self, now: float) -> None:
        """End the sessions whose page does not poll now: the proxy goes away.

        The others end with their poll (`Waiter.drain`), and framed WebSockets as all WebSockets.
        """
        for session in list(self._sessions.values()):
            if not session.polled:
                session.drain(now)

    # What is no session

    def _serve_rest(self, request: Request, what: What, page: Page) -> Response:
        if request.method == b"OPTIONS":
            return page.preflight(request.headers.get_all(b"access-control-request-headers"))
        if request.method in _READING and not request.websocket:
            if what is What.GREETING:
                return page.greeting()
            if what is What.DESCRIPTION:
                return page.description(self._entropy())
            if what is What.IFRAME:
                asked = request.headers.get_all(b"if-none-match")
                return page.iframe(self._settings.script_url, asked)
        raise _not_found()

    # WebSockets

    async def _serve_websocket(
        self, exchange: Exchange, route: Route, place: Place, *, trusted: bool, debug: bool
    ) -> None:
        request = exchange.request
        path = sockjs.origin_path(route.sockjs, route.sockjs_as_path, polled=False)
        request.target = path + sockjs.origin_query(request.target, script=False)
        if place.what is What.SESSION:
            exchange = _Framed(exchange, self._timer, self._clock)
        await self._serve_socket(exchange, route, trusted=trusted, debug=debug)

    # Sessions

    def _serve_session(self, asked: _Asked) -> Response | None:
        """Return the answer to a request for a session, None if it waits for it."""
        request = asked.exchange.request
        key = (request.host, asked.route.sockjs, asked.place.session)
        session = self._sessions.get(key)
        if asked.place.name in (sockjs.XHR_SEND, sockjs.JSONP_SEND):
            if session is None:
                raise _not_found()
            return self._send(session, asked)
        if asked.place.name == sockjs.JSONP and asked.page.callback is None:
            raise RequestError(400, "Bad Request")
        if session is None:
            self._open(key, asked)
            return None
        waiter = _waiter(session, asked)
        frame = session.poll(waiter, self._clock.now())
        if frame is not None:
            return asked.page.frame(frame)
        waiter.park()
        return None

    def _send(self, session: Session, asked: _Asked) -> Response | None:
        if session.state is State.CLOSED:
            return asked.page.frame(session.farewell)
        messages = sockjs.read_messages(_payload(asked))
        if messages is None:
            raise RequestError(400, "Payload expected")
        waiter = _waiter(session, asked)
        if session.take(waiter, messages, self._clock.now()):
            return asked.page.taken(asked.place.name)
        waiter.park()
        return None

    def _open(self, key: _Key, asked: _Asked) -> None:
        """Begin a session, and let its first poll wait for the origin."""
        if len(self._sessions) >= self._settings.sessions_max:
            raise RequestError(503, "Too many sessions.")

        def forget() -> None:
            self._sessions.pop(key, None)
            tunnel.leave()

        session = self._sessions[key] = Session(self._timer, self._clock, forget)
        tunnel = _Tunnel(_handshake(asked), session, self._tasks)
        waiter = _waiter(session, asked)
        session.begin(waiter)
        tunnel.opening = self._tasks.start(self._connect(tunnel, session, asked), name="sockjs")
        waiter.park()

    async def _connect(self, tunnel: "_Tunnel", session: Session, asked: _Asked) -> None:
        try:
            await self._serve_socket(tunnel, asked.route, trusted=asked.trusted, debug=asked.debug)
        except RequestError as error:
            await tunnel.answer(answers.of_request_error(error))
        finally:
            tunnel.answered = True
            session.give_up()


def _not_found() -> RequestError:
    return RequestError(404, "Not Found")


def _waiter(session: Session, asked: _Asked) -> Waiter:
    return Waiter(session, asked.exchange, asked.page, asked.place.name)


def _payload(asked: _Asked) -> bytes:
    """Return the array of messages that a page sends, as text."""
    if asked.place.name == sockjs.XHR_SEND:
        return asked.body
    request = asked.exchange.request
    form = asked.body if request.method == b"POST" else request.target.partition(b"?")[2]
    return sockjs.form_value(form, b"d") or b""


def _handshake(asked: _Asked) -> Request:
    """Return the WebSocket's handshake that a first poll stands for."""
    polled = asked.exchange.request
    path = sockjs.origin_path(asked.route.sockjs, asked.route.sockjs_as_path, polled=True)
    script = asked.place.name == sockjs.JSONP
    return Request(
        method=b"GET",
        target=path + sockjs.origin_query(polled.target, script=script),
        headers=polled.headers.without(b"content-length"),
        scheme=polled.scheme,
        authority=polled.authority,
        peer=polled.peer,
        websocket=True,
    )


# Exchanges


class _Handshaking:
    """What an exchange is that a WebSocket's handshake alone goes through."""

    framing = Framing.FRAMES
    blocked = False
    counted: Counted | None = None

    def __init__(self, request: Request) -> None:
        self.request = request
        self.sent = 0

    # No story of a WebSocket calls these.

    def begin(self, response: Response) -> bool:
        raise AssertionError

    async def relay(self, body: Source) -> bool:
        raise AssertionError

    def interim(self, status: int, reason: bytes, headers: Headers) -> None:
        raise AssertionError

    def write(self, data: bytes) -> None:
        raise AssertionError

    def pending(self) -> int:
        raise AssertionError

    def finish(self, response: Response) -> None:
        raise AssertionError

    def cut(self) -> None:
        raise AssertionError


class _Framed(_Handshaking):
    """The exchange of a WebSocket whose messages are framed."""

    def __init__(self, exchange: Exchange, timer: Timer, clock: Clock) -> None:
        super().__init__(exchange.request)
        self._exchange = exchange
        self._timer = timer
        self._clock = clock

    @property
    def shielded(self) -> bool:
        return self._exchange.shielded

    @shielded.setter
    def shielded(self, value: bool) -> None:
        self._exchange.shielded = value

    @property
    def gone(self) -> bool:
        return self._exchange.gone

    async def answer(self, response: Response) -> bool:
        whole = await self._exchange.answer(response)
        self.sent = self._exchange.sent
        return whole

    def upgrade(self, response: Response) -> ClientSocket:
        return FramedSocket(self._exchange.upgrade(response), self._timer, self._clock)

    def park(self, held: Held, resume: Resume) -> None:
        self._exchange.park(held, resume)

    def wake(self, reason: Wake) -> None:
        self._exchange.wake(reason)

    def end(self) -> None:
        self._exchange.end()


class _Tunnel(_Handshaking):
    """The exchange of a WebSocket whose client is a session.

    It has a task only while there is something to do: a request to an origin over HTTP.
    """

    def __init__(self, request: Request, session: Session, tasks: Tasks) -> None:
        super().__init__(request)
        self.shielded = False
        self.gone = False
        self.opening: Task[None]
        self.answered = False
        self._session = session
        self._tasks = tasks
        self._running = False
        self._waking: Wake | None = None
        self._held: Held | None = None
        self._resume: Resume | None = None

    def leave(self) -> None:
        """Take note that the session is gone: an attempt to open its WebSocket is dropped."""
        self.gone = True
        if not (self.answered or self.shielded):
            self.opening.cancel()

    async def answer(self, response: Response) -> bool:
        self.answered = True
        whole, self.sent = await self._session.refused(response)
        return whole

    def upgrade(self, response: Response) -> ClientSocket:
        self.answered = True
        self._session.accepted()
        return self._session

    def park(self, held: Held, resume: Resume) -> None:
        self._held = held
        self._resume = resume

    def wake(self, reason: Wake) -> None:
        self._waking = reason
        if not self._running:
            self._running = True
            self._tasks.start(self._run(), name="sockjs")

    def end(self) -> None:
        self._held = self._resume = None

    async def _run(self) -> None:
        try:
            while self._waking is not None:
                reason, self._waking = self._waking, None
                if self._held is not None and self._resume is not None:
                    await self._resume(self, self._held, reason)
        except Exception:
            self._session.break_off()
            raise
        finally:
            self._running = False

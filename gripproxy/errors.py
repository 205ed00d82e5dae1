"""Every exception of the proxy, on one page.

Two kinds matter most: the operator's (`UsageError`) and a peer's (`PeerError`).

GripProxyError
├── UsageError              the operator's: configuration, routes, command line; exit code 2
│   ├── ConfigError         an option, its place and the fix
│   ├── ConfigErrors        several of these
│   ├── OptionValueError    a value that an option cannot have
│   ├── RouteError          a line of the routes file
│   ├── KeySourceError      a key that cannot be read
│   └── ListenError         an endpoint that cannot be opened
├── PeerError               a peer sent what is not understood: answered, logged quietly
│   ├── RequestError        a client's HTTP request; has the status to answer with
│   ├── InstructError       GRIP instructions of an origin (grip-http.md 2, 3)
│   ├── ItemError           a published item (publishing.md 2, 3)
│   ├── PacketError         an envelope: tnetstring, JSON, msgpack (publishing.md 4)
│   │   └── CommandPacketError  a request that is no command; has the id to reply to
│   ├── CommandError        a command on the control socket (publishing.md 6)
│   ├── PatchError          a JSON Patch that does not apply (publishing.md 10)
│   ├── FilterError         a filter that cannot work on an item (publishing.md 9)
│   ├── FrameError          a WebSocket frame; has the close code (RFC 6455 7.4)
│   ├── ControlError        a control message in a WebSocket (websockets.md 5)
│   ├── EventsError         WebSocket-over-HTTP events of an origin (websockets.md 4.2)
│   └── CredentialsError    the control port's authentication (publishing.md 14.3)
├── OriginError             a request to an origin that got no response
│   ├── ConnectError        not reached: the next target may be tried
│   ├── ExchangeError       reached, but no (valid, whole) response came
│   └── OriginTimeoutError       silent for too long
├── ClientGoneError              the client left in the middle of something
├── WorkerError             a worker process that does not start; exit code 3
└── PublishError            the commands `publish` and `purge`: not done; exit code 1
"""

from collections.abc import Sequence


class GripProxyError(Exception):
    """Anything that the proxy raises on purpose."""


# The operator's


class UsageError(GripProxyError):
    """Something that the operator can fix; ends a start with exit code 2."""


class ConfigError(UsageError):
    """An option that is wrong: its place (file:line, variable or flag) and what to do."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}")
        self.place = place
        self.text = text


class ConfigErrors(UsageError):  # noqa: N818  # several at once
    """Everything that is wrong with a configuration."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


class OptionValueError(UsageError):
    """A value that an option cannot have; whoever knows its place makes another error of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class RouteError(UsageError):
    """A line of the routes file that cannot be used."""

    def __init__(self, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")
        self.file = file
        self.line = line
        self.text = text


class KeySourceError(UsageError):
    """A key that cannot be read; whoever knows its place makes another error of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class ListenError(UsageError):
    """An endpoint that cannot be opened; names the option that chose it."""

    def __init__(self, option: str, endpoint: str, reason: str, fix: str = "") -> None:
        hint = f"; {fix}" if fix else ""
        super().__init__(f"{option}: cannot listen on {endpoint}: {reason}{hint}")
        self.option = option
        self.endpoint = endpoint
        self.reason = reason
        self.fix = fix


# Theirs


class PeerError(GripProxyError):
    """A peer sent something that is not understood."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class RequestError(PeerError):
    """A client's request that is malformed or over a limit; has the status to answer with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class InstructError(PeerError):
    """GRIP instructions that an origin sent and that cannot be obeyed."""


class ItemError(PeerError):
    """A published item that is not valid."""


class PacketError(PeerError):
    """An envelope that does not decode."""


class CommandPacketError(PacketError):
    """A request that is no command; has its id, if that could be read."""

    def __init__(self, text: str, request_id: bytes | None = None) -> None:
        super().__init__(text)
        self.request_id = request_id


class CommandError(PeerError):
    """A command that cannot be done; `text` is the condition told to the caller."""

    def __init__(self, condition: str, value: str | None = None) -> None:
        super().__init__(condition)
        self.condition = condition
        self.value = value


class PatchError(PeerError):
    """A JSON Patch that does not apply."""


class FilterError(PeerError):
    """A filter that cannot work on an item."""


class FrameError(PeerError):
    """A WebSocket peer that breaks RFC 6455; has the close code to end with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class ControlError(PeerError):
    """A control message that is not understood; it is ignored, with a debug line."""


class EventsError(PeerError):
    """A WebSocket-over-HTTP body that is malformed or breaks the rules of the exchange."""


class CredentialsError(PeerError):
    """Credentials for the control port that are missing or not valid; `given`: some came."""

    def __init__(self, text: str, *, given: bool) -> None:
        super().__init__(text)
        self.given = given


# Origins


class OriginError(GripProxyError):
    """A request to an origin that got no response.

    `kind` is the error type of RFC 9209 (`Proxy-Status`), `text` what a debug answer says.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return self.text

    def blame(self, target: str) -> None:
        """Let the text begin with the target that it is about."""
        self.text = f"{target} {self.text}"


class ConnectError(OriginError):
    """The origin was not reached, so the next target may be tried."""


class ExchangeError(OriginError):
    """The origin was reached, but no valid and whole response came.

    `unsent` is true if the request was not wholly written, `unwritten` if nothing of it was,
    `unanswered` if no byte of a response came: together with the method they decide whether a
    retry is safe.
    """

    def __init__(
        self,
        kind: str,
        text: str,
        *,
        unsent: bool = False,
        unwritten: bool = False,
        unanswered: bool = False,
    ) -> None:
        super().__init__(kind, text)
        self.unsent = unsent
        self.unwritten = unwritten
        self.unanswered = unanswered


class OriginTimeoutError(OriginError):
    """The origin gave no byte for too long."""


class ClientGoneError(GripProxyError):
    """The client left in the middle of something."""


class WorkerError(GripProxyError):
    """A worker process that does not start."""

    def __init__(self, index: int, cause: str) -> None:
        super().__init__(f"worker {index} does not start: {cause}")
        self.index = index
        self.cause = cause


# The client's of the control API


class PublishError(GripProxyError):
    """What was asked of a proxy was not done; `text` is for whoever asked. Exit code 1."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

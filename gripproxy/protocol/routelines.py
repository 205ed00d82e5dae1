"""A line of the routes file: what its names and values mean.

Specification: routes.md 2-7. The grammar is in `routesyntax`, the file as a whole in `routesfile`.
Whatever `forwarding` and `origin` put into a head is checked here: no line can break a request.
"""

import difflib
import ipaddress
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from gripproxy.errors import KeySourceError, RouteError
from gripproxy.protocol import headers, keys, routes, routesyntax
from gripproxy.protocol.keys import KeySource, Read
from gripproxy.protocol.routes import ANY_HOST, JsonpMode, Proto, Route, Target
from gripproxy.protocol.routesyntax import Section

T = TypeVar("T")

ROUTE_PARAMETERS: Mapping[str, str] = {
    "proto": "only requests (http) or only WebSockets (ws)",
    "ssl": "only over TLS (yes) or only plain (no)",
    "path_beg": "only paths that begin with this",
    "id": "the name of the route, in logs, statistics and Pushpin-Route",
    "prefix": "put before every channel name that the origin gives",
    "sig_iss": "the issuer of Grip-Sig on this route",
    "sig_key": "the key of Grip-Sig on this route",
    "as_host": "HOST[:PORT] instead of the request's own, for all targets",
    "path_rem": "so many bytes are cut off the start of the path",
    "replace_beg": "put in the place of path_beg",
    "orig_headers": "the origin gets a marked copy of each field as the client sent it",
    "debug": "error answers say what is wrong",
    "aco": "cross-origin requests and JSON-P are answered",
    "jsonp_mode": "the shape of JSON-P answers, basic or extended",
    "jsonp_cb": "the query parameter with the name of the JSON-P callback",
    "jsonp_body": "the query parameter with the body of a JSON-P request",
    "jsonp_defcb": "the JSON-P callback if none is given",
    "jsonp_defmethod": "the method of a JSON-P request if none is given",
    "session": "detection of GRIP sessions",
    "sockjs": "requests whose path begins with this are SockJS",
    "sockjs_as_path": "the path that the origin sees of SockJS sessions",
    "header": "NAME:VALUE that replaces this field of the request; repeatable",
    "no_grip": "the origin does not speak GRIP",
    "log_level": "the level of log lines about this route",
    "cache": "responses may be stored and answered from the cache",
    "purge": "channel: an item published on a channel purges what was stored under it",
}

TARGET_PARAMETERS: Mapping[str, str] = {
    "ssl": "TLS to the origin",
    "untrusted": "private addresses are refused",
    "trust_connect_host": "the certificate must name the target, not the request's host",
    "insecure": "the certificate is not checked",
    "host": "HOST[:PORT] instead of the request's own, for this target",
    "sub": "a channel that every hold and WebSocket is subscribed to; repeatable",
    "over_http": "WebSockets are carried as HTTP requests",
    "one_event": "with over_http: one event in a request",
    "client_cert": "PEM file with the certificate shown to the origin",
    "client_key": "PEM file with its key",
    "ipc_file_mode": "mode of a ZeroMQ socket, octal",
}

_PROTOS: Mapping[str, Proto] = {"http": "http", "ws": "ws"}
_SSL: Mapping[str, bool] = {"yes": True, "no": False}
_JSONP_MODES: Mapping[str, JsonpMode] = {"basic": "basic", "extended": "extended"}
_PURGES: Mapping[str, bool] = {"channel": True}

_OFF = ("no", "false", "0")
_INTEGER = re.compile(r"([+-]?)0*([0-9]{1,10})")
_INT_MAX = 2**31 - 1  # what 32 bits do not hold is no number
_OCTAL = re.compile(r"[0-7]{1,6}")
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
# What a path can be made of when it is compared (proxying.md 2): the rest is percent-encoded.
_PATH = re.compile(r"""/[!$%&'()*+,\-./0-9:;=@A-Z\[\]_a-z~]*""")
_PORT = re.compile(r"\+?0*([0-9]{1,5})")
_HOST_NAME = re.compile(r"[0-9A-Za-z._~!$&'()*+,;=%-]+")  # RFC 3986 3.2.2, reg-name
_TARGET_HOST = re.compile(r"[^\x00-\x20/\[\]\x7f]+")
_WITH_PORT = re.compile(r"(?:\[.*\]|[^:]*):[0-9]*")


def parse_line(text: str, file: str, line: int, read: Read) -> Route:
    """Read one line; raise `RouteError` if it cannot be used.

    `read` opens the files that the line names; relative ones are beside `file`.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RouteError(file, line, "the line is not UTF-8") from error
    sections = routesyntax.split(text, file, line)
    if len(sections) < 2:
        raise RouteError(file, line, "must specify condition and at least one target")
    return _route(sections[0], sections[1:], _Line(text, file, line, read))


class _Line:
    """A line on its way to a route: its place, and what its author is warned of."""

    def __init__(self, text: str, file: str, number: int, read: Read) -> None:
        self.text = text
        self.file = file
        self.number = number
        self.read = read
        self.directory = posixpath.dirname(file)
        self.warnings: list[str] = []

    def error(self, text: str) -> RouteError:
        return RouteError(self.file, self.number, text)

    def warn(self, text: str) -> None:
        self.warnings.append(f"{self.file}:{self.number}: {text}")


class _Props:
    """The props of one section, read by their names; of several with one name the last counts."""

    def __init__(self, section: Section, line: _Line, known: Mapping[str, str]) -> None:
        self._line = line
        self._all = section.props
        self._last = dict(section.props)
        for name in self._last:
            if name not in known:
                line.warn(_unknown(name, known))

    @property
    def names(self) -> set[str]:
        return set(self._last)

    def given(self, name: str) -> bool:
        return name in self._last

    def text(self, name: str) -> str:
        return self._last.get(name, "")

    def values(self, name: str) -> list[str]:
        return [value for other, value in self._all if other == name]

    def flag(self, name: str) -> bool:
        value = self._last.get(name)
        if value is None:
            return False
        if value.lower() in _OFF:
            self._line.warn(f'"{name}={value}" is read as off; leave it out')
            return False
        return True

    def one_of(self, name: str, values: Mapping[str, T]) -> T | None:
        value = self._last.get(name)
        if value is None:
            return None
        if value not in values:
            allowed = " or ".join(f"'{known}'" for known in values)
            raise self._line.error(f"{name} must be set to {allowed}")
        return values[value]

    def sendable(self, name: str) -> bytes:
        """A text that goes into a head as it is."""
        value = self.text(name)
        if _UNSENDABLE.search(value):
            raise self._line.error(f"{name} cannot contain blanks or control characters")
        return value.encode()

    def integer(self, name: str) -> int:
        """A number, 0 if it is none."""
        found = _INTEGER.fullmatch(self.text(name))
        number = int(found[1] + found[2]) if found else 0
        return number if abs(number) <= _INT_MAX else 0

    def path(self, name: str) -> str:
        """A file that can be read."""
        if not self.text(name):
            return ""
        path = posixpath.join(self._line.directory, self.text(name))
        try:
            keys.load(path, self._line.read)
        except KeySourceError as error:
            raise self._line.error(error.text) from error
        return path


def _unknown(name: str, known: Mapping[str, str]) -> str:
    text = f'unknown option "{name}"'
    if name in ROUTE_PARAMETERS:
        return f"{text} of a target; it belongs to the condition"
    if name in TARGET_PARAMETERS:
        return f"{text} of the condition; it belongs to a target"
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return f'{text}; did you mean "{near[0]}"?' if near else text


# The condition


def _route(condition: Section, targets: Iterable[Section], line: _Line) -> Route:
    props = _Props(condition, line, ROUTE_PARAMETERS)
    domain = _domain(condition.first, line)
    proto = props.one_of("proto", _PROTOS)
    ssl = props.one_of("ssl", _SSL)
    path_beg = _path_beg(props, line)
    mode = props.one_of("jsonp_mode", _JSONP_MODES) or "extended"
    session = props.flag("session")
    if session:
        line.warn("session is not supported")
    if props.given("purge") and not props.given("cache"):
        line.warn("purge has no effect without cache")
    used = props.names & ROUTE_PARAMETERS.keys()
    return Route(
        domain=domain,
        proto=proto,
        ssl=ssl,
        path_beg=path_beg.encode(),
        id=props.text("id") or _made_id(domain, proto, path_beg, ssl=ssl),
        explicit_id=bool(props.text("id")),
        prefix=props.text("prefix"),
        no_grip=props.flag("no_grip"),
        session=session,
        sig_iss=props.text("sig_iss"),
        sig_key=_sig_key(props, line),
        sig_key_text=props.text("sig_key"),
        as_host=props.sendable("as_host"),
        path_rem=max(0, props.integer("path_rem")),
        replace_beg=props.sendable("replace_beg") if props.given("replace_beg") else None,
        orig_headers=props.flag("orig_headers"),
        headers=_headers(props, line),
        aco=props.flag("aco"),
        jsonp_mode=mode,
        jsonp_cb=props.text("jsonp_cb").encode(),
        jsonp_body=props.text("jsonp_body").encode(),
        jsonp_defcb=props.text("jsonp_defcb").encode(),
        jsonp_defmethod=props.sendable("jsonp_defmethod")
        or (b"POST" if mode == "basic" else b"GET"),
        sockjs=props.text("sockjs").encode(),
        sockjs_as_path=props.sendable("sockjs_as_path"),
        debug=props.flag("debug"),
        log_level=props.integer("log_level") if props.given("log_level") else None,
        cache=props.flag("cache"),
        purge_channel=props.one_of("purge", _PURGES) or False,
        file=line.file,
        line=line.number,
        source=line.text,
        # These three last: what stands in the targets adds to the warnings and the names.
        targets=tuple([_target(target, line, used, path_beg) for target in targets]),
        warnings=tuple(line.warnings),
        parameters_used=frozenset(used),
    )


def _domain(text: str, line: _Line) -> str | None:
    """Read DOMAIN as hosts are compared: lower case, no brackets."""
    if not text:
        return None
    domain = text.lower()
    bare = domain[1:-1] if domain.startswith("[") and domain.endswith("]") else domain
    if domain == ANY_HOST or _is_ipv6(bare):
        return bare
    if reason := _why_no_host(domain):
        line.warn(f'domain "{text}" never matches: {reason}')
    elif domain != text:
        line.warn(f'domain "{text}" is read as "{domain}"')
    return domain


def _why_no_host(domain: str) -> str:
    if _WITH_PORT.fullmatch(domain):
        return "hosts are compared without port"
    if ANY_HOST in domain:
        return "there are no wildcards"
    return "" if _HOST_NAME.fullmatch(domain) else "no host has such a name"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not _UNSENDABLE.search(text)  # a zone behind % may be anything


def _path_beg(props: _Props, line: _Line) -> str:
    text = props.text("path_beg")
    if props.given("path_beg"):
        if not text:
            raise line.error("path_beg cannot be empty")
        if not text.startswith("/"):
            line.warn(f'path_beg "{text}" never matches: paths begin with /')
        elif not _PATH.fullmatch(text):
            line.warn(f'path_beg "{text}" never matches: paths are compared percent-encoded')
    return text


def _made_id(domain: str | None, proto: str | None, path_beg: str, *, ssl: bool | None) -> str:
    secure = {None: "*", True: "ssl", False: "no-ssl"}[ssl]
    return f"{domain or '*'},{proto or '*'},{secure},{path_beg or '*'}"


def _sig_key(props: _Props, line: _Line) -> KeySource | None:
    try:
        return keys.resolve(props.text("sig_key"), line.read, directory=line.directory, signs=True)
    except KeySourceError as error:
        raise line.error(f"sig_key: {error.text}") from error


def _headers(props: _Props, line: _Line) -> tuple[tuple[bytes, bytes], ...]:
    """Read the `header` props; of several with one name the first counts."""
    found: dict[bytes, tuple[bytes, bytes]] = {}
    for text in props.values("header"):
        name, colon, value = text.encode().partition(b":")
        value = value.lstrip(b" ")
        # A name that is no token, or a control character, would break the request in two.
        if not (colon and headers.is_token(name) and headers.is_value(value)):
            raise line.error("header must use format 'name:value'")
        found.setdefault(name.lower(), (name, value))
    return tuple(found.values())


# Targets


def _target(section: Section, line: _Line, used: set[str], path_beg: str) -> Target:
    props = _Props(section, line, TARGET_PARAMETERS)
    used |= props.names & TARGET_PARAMETERS.keys()
    kind, host, port = _address(section.first, line)
    if kind == "test":
        host = path_beg  # the built-in origin's paths begin behind it
    mode = props.text("ipc_file_mode")
    return Target(
        kind=kind,
        host=host,
        port=port,
        ssl=props.flag("ssl"),
        untrusted=props.flag("untrusted"),
        insecure=props.flag("insecure"),
        trust_connect_host=props.flag("trust_connect_host"),
        host_field=props.sendable("host"),
        subs=tuple(dict.fromkeys(filter(None, props.values("sub")))),
        over_http=props.flag("over_http"),
        one_event=props.flag("one_event"),
        client_cert=props.path("client_cert"),
        client_key=props.path("client_key"),
        ipc_file_mode=int(mode, 8) if _OCTAL.fullmatch(mode) else None,
    )


def _address(text: str, line: _Line) -> tuple[routes.TargetKind, str, int]:
    if text == "test":
        return "test", "", 0
    if text.startswith(("zhttp/", "zhttpreq/")):
        raise line.error("zhttp targets are not supported yet")
    if text.startswith("unix:/"):
        if "\0" in text:
            raise line.error("target bad format")
        return "unix", text.removeprefix("unix:"), 0
    if "://" in text:
        raise line.error('target invalid port; write host:port, and ",ssl" for https')
    return "tcp", *_host_port(text, line)


def _host_port(text: str, line: _Line) -> tuple[str, int]:
    if text.startswith("["):
        host, colon, port = text[1:].partition("]:")
        good = _is_ipv6(host)
    else:
        host, colon, port = text.partition(":")
        good = _TARGET_HOST.fullmatch(host) is not None
    if not colon or not good:
        raise line.error("target bad format")
    digits = _PORT.fullmatch(port)
    number = int(digits[1]) if digits else 0
    if not 1 <= number <= 65535:
        raise line.error("target invalid port")
    return host, number

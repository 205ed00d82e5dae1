"""What changes as a message passes: request to origin, response to client (proxying.md 4, 10, 17).

The steps and their order are those of the table in proxying.md 4. Most requests need only a few:
what has to be removed is known from the marks of their fields, and what is added to every request
of a route is kept ready for a minute, with its signature.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address

from gripproxy.errors import RequestError
from gripproxy.protocol import headers as fields
from gripproxy.protocol.headers import ORIGINAL_PREFIX, Field, Headers, name
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.signing import Signer

FEATURES = (
    b"status, session, link:next, link:gone, filter:skip-self, filter:skip-users, "
    b"filter:require-sub, filter:build-id, filter:var-subst, filter:http-check, filter:http-modify"
)
# How often our own value may stand in CDN-Loop before the request goes round in a circle.
LOOPS_MAX = 5
# Routes whose fields are kept; each link to another host makes one.
ROUTES_KEPT = 10_000

# Who may be the last to get a request, by `Max-Forwards` (RFC 9110 7.6.2).
_BOUNDED = frozenset((b"TRACE", b"OPTIONS"))
_HOPS_DIGITS_MAX = 9
# What is kept with fields of a client: on which routes they went out, and as what.
_DERIVED_MAX = 32

_HOP_BY_HOP = fields.CONNECTION | fields.TRANSFER_ENCODING | fields.HOP | fields.UPGRADE
_NOT_TO_ORIGIN = (
    _HOP_BY_HOP | fields.HOST | fields.CONTENT_LENGTH | fields.EXPECT | fields.ACCEPT_ENCODING
)
# Connection may name these, but that does not make them hop-by-hop (proxying.md 17).
_NEVER_NAMED = frozenset((b"host", b"cache-control", b"authorization", b"cookie", b"close"))


@dataclass(frozen=True, slots=True)
class AddressRule:
    """`x_forwarded_for`: what becomes of the list of addresses (proxying.md 4.5)."""

    truncate: int | None = None  # only so many stay; None: all
    append: bool = False

    @classmethod
    def read(cls, words: Sequence[str]) -> "AddressRule":
        """Read the option's words; unknown ones are ignored, a bad number ends the reading."""
        truncate: int | None = None
        append = False
        for word in words:
            if word == "append":
                append = True
            elif word.startswith("truncate:"):
                try:
                    number = int(word.removeprefix("truncate:"))
                except ValueError:
                    break
                truncate = number if number >= 0 else None
        return cls(truncate, append)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options that shape requests (config.md 3.3)."""

    sig_iss: str = ""
    signer: Signer | None = None
    via: bytes = b"gripproxy"
    cdn_loop: bytes = b""
    x_forwarded_for: AddressRule = AddressRule()
    x_forwarded_for_trusted: AddressRule = AddressRule()
    set_proto: bool = False
    set_protocol: bool = False
    accept_proto: bool = False
    need_mark: frozenset[bytes] = frozenset()
    accept_route: bool = False


@dataclass(slots=True)
class _Added:
    """What is added to each request of a route in one minute."""

    minute: int
    fields: list[Field]
    marks: int = field(default=0)


@dataclass(slots=True)
class _Outgoing:
    """The fields that shared ones of a client become on a route, while what is added holds."""

    added: _Added
    headers: Headers


class Forwarder:
    """Makes requests to origins out of clients' requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._added: dict[Route, _Added] = {}
        s = settings
        self._always = (
            bool(s.cdn_loop) or s.x_forwarded_for.append or s.x_forwarded_for_trusted.append
        )
        self._protos = s.set_proto or s.set_protocol or s.accept_proto

    @property
    def address_rules(self) -> tuple[AddressRule, AddressRule]:
        """What becomes of lists of addresses: of any client's, and of a trusted one's."""
        return self._settings.x_forwarded_for, self._settings.x_forwarded_for_trusted

    def forget_routes(self) -> None:
        """Drop what is kept by route, after a reload."""
        self._added.clear()

    def to_origin(
        self,
        request: Request,
        route: Route,
        *,
        wall: float,
        trusted: bool = False,
        internal: bool = False,
    ) -> Request:
        """Return the request as any target of the route gets it (see `for_target`).

        Raises:
            RequestError: 508 for a request that goes round in a circle.
        """
        target, authority = rewrite(request.target, request.authority, route)
        return Request(
            method=request.method,
            target=target,
            headers=self._outgoing(request, route, wall, trusted=trusted, internal=internal),
            scheme=request.scheme,
            authority=authority,
            body=request.body,
            length=request.length,
            peer=request.peer,
            websocket=request.websocket,
        )

    def _outgoing(
        self, request: Request, route: Route, wall: float, *, trusted: bool, internal: bool
    ) -> Headers:
        """Return the fields that go out, made once a minute of shared ones."""
        # hot: a client that polls says the same each time (bench/scenarios.py, proxy-plain: 3 us
        # a request less, with the lines that `Headers.encode` then keeps).
        derived = request.headers.derived
        if (
            derived is None
            or self._always
            or request.websocket
            or trusted
            or internal
            or request.headers.marks & fields.MAX_FORWARDS
            or (self._protos and request.scheme == b"https")
        ):
            return self._made(request, route, wall, trusted=trusted, internal=internal)
        added = self._added_to(route, wall, grip=not route.no_grip)
        known = derived.get(route)
        if isinstance(known, _Outgoing) and known.added is added:
            return known.headers
        made = self._made(request, route, wall, trusted=trusted, internal=internal).share()
        if len(derived) >= _DERIVED_MAX:
            derived.clear()  # routes are replaced, fields may stay for ever
        derived[route] = _Outgoing(added, made)
        return made

    def _made(
        self, request: Request, route: Route, wall: float, *, trusted: bool, internal: bool
    ) -> Headers:
        """Make the fields that go out by the steps of proxying.md 4."""
        headers = request.headers
        marks = headers.marks
        grip = not (trusted or route.no_grip)
        removed = _NOT_TO_ORIGIN
        if not (trusted or internal):
            removed |= fields.GRIP
        if not route.orig_headers:
            removed |= fields.MARKED
        if self._settings.accept_route:
            removed |= fields.ROUTE
        if route.headers or route.orig_headers:
            headers = self._own_fields(request, route, trusted=trusted)
            marks = headers.marks
        kept = [f for f in headers.fields if not f[0].mark & removed]
        if request.headers.marks & fields.CONNECTION:
            kept = _without_named(kept, request.headers, route)
        marks &= ~removed
        if marks & fields.MAX_FORWARDS and request.method in _BOUNDED:
            kept = _one_hop_less(kept)
        if (
            self._always
            or marks & (fields.FORWARDED | fields.CDN_LOOP)
            or (self._protos and request.scheme == b"https")
        ):
            kept = self._loop(kept)
            added = self._added_to(route, wall, grip=grip)
            kept = kept + added.fields
            kept = self._forwarded(kept, request, trusted=trusted)
        else:
            added = self._added_to(route, wall, grip=grip)
            kept += added.fields
        if request.websocket:
            kept = _offer_grip(kept, grip=not route.no_grip)
        return Headers.of(kept, marks | added.marks)

    def signature(self, route: Route, wall: float) -> bytes:
        """Return the `Grip-Sig` of a route, empty if it does not sign."""
        signer = self._signer(route)
        return signer.token(wall) if signer is not None else b""

    # The steps of proxying.md 4

    def _own_fields(self, request: Request, route: Route, *, trusted: bool) -> Headers:
        """Steps 2 and 3: the route's `header=` and the marked copies of `orig_headers`."""
        headers = request.headers
        if route.headers:
            names = tuple(text.lower() for text, _ in route.headers)
            headers = headers.without(*names)
            headers = headers.plus(*((text, value) for text, value in route.headers if value))
        if not route.orig_headers or trusted:
            return headers
        group = [
            (text, value) for text, value in headers if text.lower().startswith(ORIGINAL_PREFIX)
        ]
        plain = headers.without_marks(fields.MARKED)
        need = self._settings.need_mark
        copies = [
            (ORIGINAL_PREFIX + text, value) for text, value in plain if text.lower() not in need
        ]
        return plain.plus(*group, *copies)

    def _loop(self, kept: list[Field]) -> list[Field]:
        """Step 5: `CDN-Loop` (RFC 8586)."""
        own = self._settings.cdn_loop
        if not own:
            return kept
        values = [v for f, v in kept if f.mark & fields.CDN_LOOP]
        members = [part.strip() for value in values for part in value.split(b",") if part.strip()]
        if members.count(own) >= LOOPS_MAX:
            raise RequestError(508, "Loop Detected")
        kept = [f for f in kept if not f[0].mark & fields.CDN_LOOP]
        return [*kept, (name(b"CDN-Loop"), b", ".join([*members, own]))]

    def _added_to(self, route: Route, wall: float, *, grip: bool) -> _Added:
        """Step 7, and `Via`: the same fields for each request of a route in one minute."""
        if not grip:
            return _via_only(self._settings.via)
        minute = int(wall) // 60
        added = self._added.get(route)
        if added is None or added.minute != minute:
            pairs: list[tuple[bytes, bytes]] = []
            signature = self.signature(route, wall)
            if signature:
                pairs.append((b"Grip-Sig", signature))
            pairs.append((b"Grip-Feature", FEATURES))
            if self._settings.via:
                pairs.append((b"Via", b"1.1 " + self._settings.via))
            headers = Headers(pairs)
            if len(self._added) >= ROUTES_KEPT:
                self._added.clear()  # links to ever other hosts; what is still used comes back
            added = self._added[route] = _Added(minute, headers.fields, headers.marks)
        return added

    def _signer(self, route: Route) -> Signer | None:
        if not (route.sig_iss or route.sig_key):
            return self._settings.signer
        return _route_signer(route, self._settings)

    def _forwarded(self, kept: list[Field], request: Request, *, trusted: bool) -> list[Field]:
        """Steps 8 and 9: `X-Forwarded-Proto`, `-Protocol`, `-For`."""
        settings = self._settings
        if self._protos:
            gone = (b"x-forwarded-proto", b"x-forwarded-protocol")
            kept = [f for f in kept if f[0].lower not in gone]
            if request.scheme == b"https":
                value = b"wss" if request.websocket else b"https"
                if settings.set_proto:
                    kept.append((name(b"X-Forwarded-Proto"), value))
                if settings.set_protocol:
                    kept.append((name(b"X-Forwarded-Protocol"), value))
        rule = settings.x_forwarded_for_trusted if trusted else settings.x_forwarded_for
        addresses = _addresses(value for f, value in kept if f.lower == b"x-forwarded-for")
        if not addresses and not rule.append:
            return kept
        kept = [f for f in kept if f[0].lower != b"x-forwarded-for"]
        if rule.truncate is not None:
            addresses = addresses[len(addresses) - rule.truncate :] if rule.truncate else []
        if rule.append and request.peer:
            addresses.append(request.peer.encode())
        if addresses:
            kept.append((name(b"X-Forwarded-For"), b", ".join(addresses)))
        return kept


def hops_left(request: Request) -> int | None:
    """Return how often a request may still be forwarded, None if as often as one likes."""
    if request.method not in _BOUNDED or not request.headers.marks & fields.MAX_FORWARDS:
        return None
    return _hops(request.headers.get(b"max-forwards") or b"")


def takes_trailers(request: Request) -> bool:
    """Tell whether a client takes trailers (RFC 9110 10.1.4)."""
    if request.version == 0 or not request.headers.marks & fields.HOP:
        return False
    return b"trailers" in fields.tokens(request.headers.get_all(b"te"))


def for_target(request: Request, target: Target) -> Request:
    """Return the request as one target gets it: its own `Host` (proxying.md 7.2)."""
    if not target.host_field:
        return request
    return with_changes(request, authority=_plain_host(target.host_field, secure=target.ssl))


@lru_cache(maxsize=256)
def _plain_host(host: bytes, *, secure: bool) -> bytes:
    """Return a host of the routes file as it is sent: lower case, without the default port."""
    return host.lower().removesuffix(b":443" if secure else b":80")


def with_changes(
    request: Request, *, authority: bytes | None = None, headers: Headers | None = None
) -> Request:
    """Return a copy of a request with another authority or other fields."""
    return Request(
        method=request.method,
        target=request.target,
        headers=request.headers if headers is None else headers,
        scheme=request.scheme,
        authority=request.authority if authority is None else authority,
        version=request.version,
        body=request.body,
        length=request.length,
        peer=request.peer,
        websocket=request.websocket,
        over_http=request.over_http,
        prefix=request.prefix,
    )


def rewrite(target: bytes, authority: bytes, route: Route) -> tuple[bytes, bytes]:
    """Step 1: `as_host`, `path_rem`, `replace_beg`; return target and authority."""
    if route.as_host:
        secure = bool(route.targets) and route.targets[0].ssl
        authority = _plain_host(route.as_host, secure=secure)
    if route.replace_beg is not None:
        target = route.replace_beg + target[len(route.path_beg) :]
    elif route.path_rem > 0:
        path, mark, query = target.partition(b"?")
        target = path[route.path_rem :] + mark + query
    else:
        return target, authority
    if not target.startswith(b"/"):
        target = b"/" + target
    return target, authority


def logical_address(request: Request, rule: AddressRule) -> str:
    """Return the client's address for logs and statistics (proxying.md 4.5).

    With the default rule a client can name itself: the first address of the list it sent counts.
    """
    if rule.truncate == 0 or not request.headers.marks & fields.FORWARDED:
        return request.peer
    addresses = _addresses(request.headers.get_all(b"x-forwarded-for"))
    try:
        return str(ip_address(addresses[0].decode("ascii"))) if addresses else request.peer
    except ValueError:
        return request.peer


def to_client(response: Response, *, trailers: bool = False) -> Response:
    """Take the hop-by-hop fields off a relayed response (proxying.md 10.1, 17).

    `Trailer` stays for a client that takes `trailers`.
    """
    headers = response.headers
    if headers.marks & _HOP_BY_HOP:
        announced = headers.get_all(b"trailer") if trailers else []
        headers = end_to_end(headers)
        if announced:
            headers = headers.plus(*((b"Trailer", value) for value in announced))
        response.headers = headers
    return response


def end_to_end(headers: Headers) -> Headers:
    """Return the fields less those that are for one connection alone (RFC 9110 7.6.1)."""
    named = _named(headers) if headers.marks & fields.CONNECTION else None
    headers = headers.without_marks(_HOP_BY_HOP)
    return headers.without(*named) if named else headers


def _named(headers: Headers) -> set[bytes]:
    """Return the fields that `Connection` names, in lower case, less those it may not."""
    named = fields.tokens([v for f, v in headers.fields if f.mark & fields.CONNECTION])
    return {
        lower for lower in named if lower not in _NEVER_NAMED and not lower.startswith(b"content-")
    }


def _without_named(kept: list[Field], client: Headers, route: Route) -> list[Field]:
    """Leave out what the client's `Connection` names; the route's own fields come after it."""
    named = _named(client).difference(text.lower() for text, _ in route.headers)
    return [f for f in kept if f[0].lower not in named] if named else kept


def _one_hop_less(kept: list[Field]) -> list[Field]:
    """Count this proxy in `Max-Forwards`."""
    return [
        (f, b"%d" % max(0, hops - 1))
        if f.mark & fields.MAX_FORWARDS and (hops := _hops(value)) is not None
        else (f, value)
        for f, value in kept
    ]


def _hops(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= _HOPS_DIGITS_MAX else None


def _addresses(values: Iterable[bytes]) -> list[bytes]:
    return [part for part in fields.split_list(values) if part]


def _offer_grip(kept: list[Field], *, grip: bool) -> list[Field]:
    """Step 10: our own offer instead of the client's extensions."""
    kept = [f for f in kept if f[0].lower != b"sec-websocket-extensions"]
    if grip:
        kept.append((name(b"Sec-WebSocket-Extensions"), b"grip"))
    return kept


_via: dict[bytes, _Added] = {}


def _via_only(via: bytes) -> _Added:
    found = _via.get(via)
    if found is None:
        headers = Headers([(b"Via", b"1.1 " + via)] if via else [])
        found = _via[via] = _Added(0, headers.fields, headers.marks)
    return found


_signers: dict[tuple[str, str], Signer] = {}


def _route_signer(route: Route, settings: Settings) -> Signer | None:
    """Return the signer of a route with an issuer or a key of its own; one for each pair."""
    issuer = route.sig_iss or settings.sig_iss
    if route.sig_key is None:
        return Signer(issuer, settings.signer.key) if settings.signer and issuer else None
    if not issuer:
        return None
    key = (issuer, route.sig_key_text)
    found = _signers.get(key)
    if found is None:
        found = _signers[key] = Signer(issuer, route.sig_key)
    return found

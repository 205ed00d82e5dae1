"""Who may use the control port (publishing.md 14.3).

With a `control_key` a request needs a token that is signed with it, or the key itself. Without
valid credentials no page of another site may publish, whether there is a key or not.
"""

import base64
import binascii
import hmac
from ipaddress import ip_address
from typing import Final

from gripproxy.errors import CredentialsError
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.messages import split_authority
from gripproxy.protocol.signing import Verifier, expiry_of

CROSS_ORIGIN: Final = "Cross-origin requests need credentials."

LEEWAY: Final = 60  # seconds for which a token is taken after it has expired


class Credentials:
    """Checks requests against `control_key` and `control_iss`."""

    def __init__(self, key: KeySource, issuer: str = "") -> None:
        self._issuer = issuer
        self._verifier = Verifier(key)
        self._texts = _texts(key)

    def check(self, headers: Headers, wall: float) -> None:
        """Return if a request with these fields may be answered at `wall`.

        Raises:
            CredentialsError: with the reason to be told.
        """
        authorization = headers.get(b"authorization")
        fastly = headers.get(b"fastly-key")
        if authorization is None:
            if fastly is None:
                raise CredentialsError("no credentials", given=False)
            self._check_bearer(fastly, wall)
            return
        scheme, _, value = authorization.strip(b" \t").partition(b" ")
        check = {b"bearer": self._check_bearer, b"basic": self._check_basic}.get(scheme.lower())
        if check is None:
            raise CredentialsError("unsupported scheme", given=False)
        check(value.strip(b" \t"), wall)

    def _check_bearer(self, token: bytes, wall: float) -> None:
        if self._is_key(token):
            return
        claims = self._verifier.claims(token)
        if claims is None:
            raise _refused("token is not valid")
        expiry = expiry_of(claims)
        if expiry is None:
            raise _refused("token has no exp")
        if expiry + LEEWAY <= wall:
            raise _refused("token has expired")
        if self._issuer and claims.get("iss") != self._issuer:
            raise _refused("wrong issuer")

    def _check_basic(self, value: bytes, _wall: float) -> None:
        try:
            _, colon, password = base64.b64decode(value, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            colon = password = b""
        if not colon or not self._is_key(password):
            raise _refused("token is not valid")

    def _is_key(self, text: bytes) -> bool:
        # All are compared, so that the time tells nothing of which one is near.
        return sum([hmac.compare_digest(text, known) for known in self._texts]) > 0


def challenge(error: CredentialsError) -> bytes:
    """Return the `WWW-Authenticate` of the 401 for an error."""
    detail = b', error="invalid_token"' if error.given else b""
    return b'Bearer realm="gripproxy"' + detail


def is_cross_origin(headers: Headers) -> bool:
    """Tell whether a request comes from a page that is not the control port's own.

    A name other than `localhost` is never its own: DNS can make any name lead here.
    """
    origin = headers.get(b"origin")
    if origin is None:
        return False
    authority = origin.partition(b"://")[2].lower()
    if not authority or authority != (headers.get(b"host") or b"").lower():
        return True
    host, _ = split_authority(authority)
    return host != b"localhost" and not _is_address(host)


def _is_address(host: bytes) -> bool:
    try:
        ip_address(host.decode("latin-1"))
    except ValueError:
        return False
    return True


def _texts(key: KeySource) -> list[bytes]:
    """Return the spellings of a key that are accepted as it: none of a public key."""
    secret = key.secret
    if key.kind == "pem":
        return []
    if key.kind == "base64":
        written = base64.b64encode(secret)
        bare = written.rstrip(b"=")
        return [secret, written, bare, b"base64:" + written, b"base64:" + bare]
    if key.kind == "hex":
        return [secret, secret.hex().encode()]
    return [secret]


def _refused(reason: str) -> CredentialsError:
    return CredentialsError(reason, given=True)

"""`Grip-Sig` and other JSON Web Tokens: signing and verifying (proxying.md 5, 6).

A key has one algorithm that fits it, and no other is ever taken: HS256 for a secret, ES256 for a
key on P-256, RS256 for RSA. This is the one door to `jwt`.
"""

import json
import math
from typing import Final

import jwt
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, RSAAlgorithm

from gripproxy.errors import KeySourceError, PacketError
from gripproxy.protocol import jsontext
from gripproxy.protocol.jsontext import Json
from gripproxy.protocol.keys import KeySource

TOKEN_SECONDS: Final = 3600

# A GRIP proxy in front of us sends each of its tokens for a minute.
_KNOWN_MAX: Final = 64


class Signer:
    """Signs for one issuer with one key, once a minute.

    Raises:
        KeySourceError: a PEM text that holds no private key which can sign.
    """

    __slots__ = ("_minute", "_private", "_token", "issuer", "key")

    def __init__(self, issuer: str, key: KeySource) -> None:
        self.issuer = issuer
        self.key = key
        self._private = _Key(key, signs=True)
        self._minute = -1
        self._token = b""

    def token(self, wall: float) -> bytes:
        """Return a token that is valid for 3,540 to 3,600 s from `wall` (seconds since 1970)."""
        minute = int(wall) // 60
        if minute != self._minute:
            self._token = self._private.sign(
                {"exp": minute * 60 + TOKEN_SECONDS, "iss": self.issuer}
            )
            self._minute = minute
        return self._token


class Verifier:
    """Tells who knows a key.

    Raises:
        KeySourceError: a PEM text that holds no key which can verify.
    """

    __slots__ = ("_known", "_public")

    def __init__(self, key: KeySource) -> None:
        self._public = _Key(key, signs=False)
        self._known: dict[bytes, int] = {}

    def trusts(self, token: bytes, wall: float) -> bool:
        """Tell whether a token is signed with the key and not expired at `wall`.

        Nothing but `exp` is looked at, and that must be there.
        """
        expiry = self._known.get(token)
        if expiry is None:
            claims = self._public.verify(token)
            expiry = None if claims is None else expiry_of(claims)
            if expiry is None:
                return False
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[token] = expiry
        return wall < expiry

    def claims(self, token: bytes) -> dict[str, Json] | None:
        """Return what a token says, None if it is not signed with the key."""
        return self._public.verify(token)


def expiry_of(claims: dict[str, Json]) -> int | None:
    """Return the whole seconds since 1970 at which a token expires, None if it does not say."""
    expiry = claims.get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return None
    return math.trunc(expiry)


# Keys


class _Secret(HMACAlgorithm):
    """HS256 with any secret.

    The library warns of short secrets and refuses those that look like a public key or a JWK,
    lest a token choose its algorithm. Here no token chooses, and `changeme` is the operator's.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()

    def check_key_length(self, key: bytes) -> str | None:  # noqa: ARG002  # the library's name
        return None


class _Rsa(RSAAlgorithm):
    """RS256 with a key of any length."""

    def check_key_length(self, key: object) -> str | None:  # noqa: ARG002  # the library's name
        return None


_ALGORITHMS: Final[dict[str, Algorithm]] = {
    "HS256": _Secret(HMACAlgorithm.SHA256),
    "RS256": _Rsa(RSAAlgorithm.SHA256),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256),
}


def _tokens(name: str, algorithm: Algorithm) -> jwt.PyJWS:
    """Return a maker of tokens that knows one algorithm."""
    made = jwt.PyJWS(algorithms=[])
    made.register_algorithm(name, algorithm)
    return made


_TOKENS: Final = {name: _tokens(name, algorithm) for name, algorithm in _ALGORITHMS.items()}


class _Key:
    """A key and the algorithm that fits it."""

    __slots__ = ("_key", "_name")

    def __init__(self, source: KeySource, *, signs: bool) -> None:
        self._name = "HS256" if source.kind != "pem" else _fitting(source.secret)
        self._key = _ALGORITHMS[self._name].prepare_key(source.secret)
        if source.kind == "pem":
            if signs and not hasattr(self._key, "sign"):
                raise KeySourceError("a public key cannot sign")
            if not signs and hasattr(self._key, "public_key"):
                self._key = self._key.public_key()

    def sign(self, claims: dict[str, int | str]) -> bytes:
        payload = json.dumps(claims, separators=(",", ":")).encode()
        tokens = _TOKENS[self._name]
        token = tokens.encode(payload, self._key, algorithm=self._name, sort_headers=False)
        return token.encode()

    def verify(self, token: bytes) -> dict[str, Json] | None:
        tokens = _TOKENS[self._name]
        try:
            found = tokens.decode_complete(token, self._key, algorithms=[self._name])
            claims = jsontext.decode(found["payload"])
        except (jwt.PyJWTError, PacketError, ValueError, RecursionError):
            return None
        return claims if isinstance(claims, dict) else None


def _fitting(text: bytes) -> str:
    """Return the algorithm for the key of a PEM text."""
    for name in ("ES256", "RS256"):
        try:
            key = _ALGORITHMS[name].prepare_key(text)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        # RFC 7518 3.4: ES256 is P-256 and nothing else.
        if name != "ES256" or key.curve.name == "secp256r1":
            return name
    raise KeySourceError("neither an RSA key nor an elliptic curve key on P-256")

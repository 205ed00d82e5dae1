"""`Grip-Sig`: signing (proxying.md 5)."""

import jwt

from gripproxy.protocol.keys import KeySource


class Signer:
    """Signs for one issuer with one key, once a minute."""

    __slots__ = ("_minute", "_token", "issuer", "key")

    def __init__(self, issuer: str, key: KeySource) -> None:
        self.issuer = issuer
        self.key = key
        self._minute = -1
        self._token = b""

    def token(self, wall: float) -> bytes:
        """Return a token that is valid for 3,540 to 3,600 s from `wall` (seconds since 1970)."""
        minute = int(wall) // 60
        if minute != self._minute:
            self._minute = minute
            claims: dict[str, int | str] = {"exp": minute * 60 + 3600, "iss": self.issuer}
            self._token = jwt.encode(claims, self.key.secret, algorithm="HS256").encode()
        return self._token

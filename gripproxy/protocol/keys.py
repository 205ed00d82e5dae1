"""Keys as the operator writes them: `sig_key`, `upstream_key`, `control_key`, a route's `sig_key`.

Specification: config.md 3.3, "Keys". A secret is used for HS256, a PEM key for ES256 or RS256. The
caller's `read` opens files, so nothing here does; this is the one door to `cryptography`.
"""

import base64
import binascii
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from gripproxy.errors import KeySourceError

Kind = Literal["text", "base64", "hex", "pem"]
Read = Callable[[str], bytes]

_PEM = b"-----BEGIN"


@dataclass(frozen=True, slots=True)
class KeySource:
    """A key and how it was written; `secret` is the secret itself or the text of a PEM file."""

    kind: Kind
    secret: bytes = field(repr=False)  # a traceback or a log line must not tell it


def resolve(
    text: str, read: Read, *, directory: str = "", signs: bool = False
) -> KeySource | None:
    """Return the key that a text names, None if the text is empty.

    A relative `file:` is looked for in `directory`. With `signs` a public key will not do.
    Raises `KeySourceError` if the file cannot be read or what is in it is no key.
    """
    if not text:
        return None
    if text.startswith("file:"):
        path = posixpath.join(directory, text.removeprefix("file:"))
        return _from_file(path, read, signs=signs)
    if text.startswith("base64:"):
        return KeySource("base64", _from_base64(text.removeprefix("base64:")))
    # What the environment holds need not be UTF-8; its bytes are the secret all the same.
    return KeySource("text", text.encode("utf-8", "surrogateescape"))


def load(path: str, read: Read) -> bytes:
    """Return a file's bytes; raise `KeySourceError` if it cannot be read."""
    try:
        return read(path)
    except OSError as error:
        raise KeySourceError(f"failed to open {path}: {error.strerror or error}") from error
    except ValueError as error:  # a path that no system call takes, with a NUL in it
        raise KeySourceError(f"failed to open {path}: {error}") from error


def _from_file(path: str, read: Read, *, signs: bool) -> KeySource:
    content = load(path, read)
    if content.lstrip().startswith(_PEM):
        _check_pem(content, path, signs=signs)
        return KeySource("pem", content)
    try:
        secret = bytes.fromhex(content.decode("ascii"))
    except ValueError as error:
        raise KeySourceError(f"{path} holds neither a PEM key nor hexadecimal digits") from error
    if not secret:
        raise KeySourceError(f"{path} is empty")
    return KeySource("hex", secret)


def _from_base64(text: str) -> bytes:
    try:
        # Padding may be missing, as with Pushpin.
        secret = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeySourceError("base64: what follows is not base64") from error
    if not secret:
        raise KeySourceError("base64: nothing follows")
    return secret


def _check_pem(content: bytes, path: str, *, signs: bool) -> None:
    try:
        if b"PRIVATE KEY-----" in content:
            key = load_pem_private_key(content, password=None).public_key()
        elif signs:
            raise KeySourceError(f"{path} holds no private key, so nothing can be signed with it")
        else:
            key = load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeySourceError(f"{path} holds no PEM key that can be read") from error
    if isinstance(key, rsa.RSAPublicKey):
        return
    # RFC 7518 3.4: ES256 is P-256 and nothing else.
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return
    raise KeySourceError(f"{path} holds neither an RSA key nor an elliptic curve key on P-256")

"""Base64 as publishers write it: whatever is not of the alphabet is skipped.

Specification: publishing.md 3.5. Nothing is an error.
"""

import binascii
import string
from typing import Final

_ALPHABET: Final = (string.ascii_letters + string.digits + "+/").encode()
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _ALPHABET)


def decode(text: str) -> bytes:
    """Return the bytes of a base64 text, without the bits that are left over."""
    digits = text.encode("ascii", "ignore").translate(None, _OTHERS)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def encode(content: bytes) -> str:
    """Return bytes as base64 with padding."""
    return binascii.b2a_base64(content, newline=False).decode()

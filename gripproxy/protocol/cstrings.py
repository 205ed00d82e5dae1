r"""The `cstring` format of `Grip-Keep-Alive`: text with escapes (grip-http.md 2.4).

`\\`, `\r`, `\n`, `\t` and `\xHH`; an unknown escape vanishes with its letter.
"""

import re
from typing import Final

_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|[^x]|)", re.DOTALL)
_SINGLE: Final = {b"\\": b"\\", b"r": b"\r", b"n": b"\n", b"t": b"\t"}


def decode(text: bytes) -> bytes | None:
    """Return the bytes that a text stands for; None if an escape is cut short."""
    if b"\\" not in text:
        return text
    if any(not escape for escape in _ESCAPE.findall(text)):
        return None
    return _ESCAPE.sub(_byte, text)


def _byte(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    if len(escape) == 1:
        return _SINGLE.get(escape, b"")
    return bytes.fromhex(escape[1:].decode())

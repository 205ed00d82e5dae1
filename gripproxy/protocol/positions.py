"""`Grip-Last`: what a holder has seen, told to its origin (grip-http.md 6.4, 8.2)."""

import re
from collections.abc import Mapping

# Names and ids are not quoted. What would end the line comes from a JSON instruct or an item:
# it must not become a field of its own.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def fields(positions: Mapping[str, str | None]) -> list[tuple[bytes, bytes]]:
    """Return one `Grip-Last` for each channel that has a position; names without prefix."""
    return [
        (b"Grip-Last", b"%b; last-id=%b" % (_plain(channel), _plain(position)))
        for channel, position in positions.items()
        if position is not None
    ]


def _plain(text: str) -> bytes:
    return _CONTROL.sub(b" ", text.encode("utf-8", "replace"))

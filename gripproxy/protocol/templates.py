r"""The template language of `build-id` and `var-subst` (publishing.md 9.4).

`%%` is `%`, `%X` a directive without argument, `%(ARGUMENT)X` one with; in an argument `\c` is c.
Everything else stands for itself. Contents come in pieces, too, and may be hostile: the time is
linear in the content whatever is in it, and what is kept of an unfinished directive is bounded.
"""

import re
from collections.abc import Callable
from typing import Final

from gripproxy.errors import FilterError

# A longer argument is none: it would be a name or an id. It bounds what a body in pieces can
# make us keep.
ARGUMENT_MAX: Final = 8192

# Returns the text for a directive (its letter, its argument) or raises FilterError.
Directive = Callable[[str, str | None], bytes]

_ARGUMENT: Final = re.compile(rb"(?:[^)\\]++|\\.)*+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

_PERCENT: Final = 0x25
_OPEN: Final = 0x28
_CLOSE: Final = 0x29

_UNFINISHED: Final = (None, -1)


def expand(content: bytes, directive: Directive, *, only: bytes = b"") -> bytes:
    """Return a whole content with its directives replaced.

    With `only` a letter, what is not `%%` or a directive of this letter stands for itself; else
    it is an error.

    Raises:
        FilterError: with the place in the content.
    """
    if b"%" not in content:
        return content
    return Template(directive, only=only).expand(content, last=True)


class Template:
    """A content that comes in pieces and whose directives are replaced, as by `expand`."""

    __slots__ = ("_directive", "_frontier", "_held", "_offset", "_only")

    def __init__(self, directive: Directive, *, only: bytes = b"") -> None:
        self._directive = directive
        self._only = only
        self._held = b""
        self._offset = 0  # of what is held, in all that came
        # Up to here no argument ends that began before: so nothing is looked through twice.
        self._frontier = 0

    def expand(self, piece: bytes, *, last: bool) -> bytes:
        """Return what is finished with this piece, which may be empty.

        Raises:
            FilterError: with the place in the content.
        """
        content = self._held + piece
        self._frontier = 0
        done: list[bytes] = []
        start = at = 0
        while (at := content.find(b"%", at)) >= 0:
            text, end = self._read(content, at)
            if end < 0:
                if not last:
                    break
                end = self._spoilt(content, at)
            if text is not None:
                done += (content[start:at], text)
                start = end
            at = end
        cut = len(content) if at < 0 else at
        done.append(content[start:cut])
        self._held = content[cut:]
        self._offset += cut
        return b"".join(done)

    def _read(self, content: bytes, at: int) -> tuple[bytes | None, int]:
        """Read what a `%` begins; return its text, or None, and where to go on."""
        if at + 1 == len(content):
            return _UNFINISHED
        byte = content[at + 1]
        if byte == _PERCENT:
            return b"%", at + 2
        raw, place = None, at + 1
        if byte == _OPEN:
            close = self._close(content, at)
            if close + 1 >= len(content):
                return _UNFINISHED
            if content[close] != _CLOSE:
                return None, self._spoilt(content, at)
            raw, place = slice(at + 2, close), close + 1
        letter = content[place : place + 1]
        if self._only and letter != self._only:
            return None, at + 1
        argument = None if raw is None else _argument(content[raw])
        try:
            return self._directive(letter.decode("utf-8", "replace"), argument), place + 1
        except FilterError as error:
            raise FilterError(f"{error.text} at position {self._offset + place}") from None

    def _close(self, content: bytes, at: int) -> int:
        """Return where the argument of the `%(` at `at` ends, or cannot go on."""
        # An argument inside of one that led to nothing ends where that one does.
        start = max(at + 2, self._frontier)
        found = _ARGUMENT.match(content, start, at + 2 + ARGUMENT_MAX)
        assert found is not None  # it matches the empty text, too
        self._frontier = found.end()
        return found.end()

    def _spoilt(self, content: bytes, at: int) -> int:
        """Return where to go on after a `%` that begins nothing, if it may stand for itself."""
        if self._only:
            return at + 1
        rest = content[at + 1 :]
        close = self._close(content, at)
        if not rest:
            after, place = "Expected directive after '%'", at
        elif rest == b"(":
            after, place = "Expected character after '('", at + 1
        elif content[close:] == b"\\":
            after, place = "Expected character after '\\'", close
        elif content[close:] == b")":
            after, place = "Expected directive after ')'", close
        else:
            after, place = "Unterminated field starting", at + 1
        raise FilterError(f"{after} at position {self._offset + place}")


def _argument(raw: bytes) -> str:
    return _ESCAPED.sub(r"\1", raw.decode("utf-8", "replace"))

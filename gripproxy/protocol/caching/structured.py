"""Structured fields, as far as caching needs them: lists and dictionaries (RFC 9651).

Strings become `str`, tokens `Token`, booleans `bool`, integers `int`, decimals and dates `float`,
byte sequences `bytes`, inner lists tuples. Parameters are checked and dropped: no field of the
cache gives them a meaning. One error anywhere and the whole field is void (RFC 9651 4.2).
"""

import re
from collections.abc import Iterable
from typing import Final


class Token(str):
    """A word without quotes."""

    __slots__ = ()


Bare = bool | int | float | bytes | str
Member = Bare | tuple[Bare, ...]

_KEY: Final = re.compile(rb"[a-z*][a-z0-9_\-.*]*")
_ITEM: Final = re.compile(
    rb"(?P<decimal>-?[0-9]{1,12}\.[0-9]{1,3}(?![0-9.]))"
    rb"|(?P<integer>-?[0-9]{1,15}(?![0-9.]))"
    rb'|"(?P<string>(?:[ !#-\[\]-~]++|\\["\\])*+)"'
    rb"|(?P<token>[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*)"
    rb"|:(?P<binary>[A-Za-z0-9+/=]*):"
    rb"|\?(?P<boolean>[01])"
    rb"|@(?P<date>-?[0-9]{1,15}(?![0-9.]))"
    rb'|%"(?P<display>(?:[ !#$&-~]++|%[0-9a-f]{2})*+)"'
)
_BLANKS: Final = re.compile(rb"[ \t]*")
_SPACES: Final = re.compile(rb" *")


class _VoidError(ValueError):
    """The field does not parse."""


def dictionary(values: Iterable[bytes]) -> dict[bytes, Member] | None:
    """Return the members of a dictionary, the last of each key; None if it does not parse."""
    reader = _Reader(values)
    found: dict[bytes, Member] = {}
    try:
        while reader.more():
            key = reader.take(_KEY)
            found[key] = reader.member() if reader.skip(b"=") else reader.flag()
    except _VoidError:
        return None
    return found


def members(values: Iterable[bytes]) -> list[Member] | None:
    """Return the members of a list; None if it does not parse."""
    reader = _Reader(values)
    found: list[Member] = []
    try:
        while reader.more():
            found.append(reader.member())
    except _VoidError:
        return None
    return found


class _Reader:
    """A field on its way through the grammar."""

    def __init__(self, values: Iterable[bytes]) -> None:
        self._text = b",".join([value for value in values if value.strip(b" \t")]).strip(b" ")
        self._at = 0
        self._first = True

    def more(self) -> bool:
        """Pass over what separates members; return whether there is another one."""
        if self._first:
            self._first = False
            return bool(self._text)
        self.blanks()
        if self._at == len(self._text):
            return False
        if not self.skip(b","):
            raise _VoidError
        self.blanks()
        if self._at == len(self._text):
            raise _VoidError  # a comma at the end
        return True

    def blanks(self) -> None:
        self._at = self._end(_BLANKS)

    def skip(self, mark: bytes) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def take(self, pattern: re.Pattern[bytes]) -> bytes:
        start, self._at = self._at, self._end(pattern)
        return self._text[start : self._at]

    def member(self) -> Member:
        value: Member = self._inner() if self.skip(b"(") else self._bare()
        self._parameters()
        return value

    def flag(self) -> bool:
        self._parameters()
        return True

    def _inner(self) -> tuple[Bare, ...]:
        found: list[Bare] = []
        self.take(_SPACES)
        while not self.skip(b")"):
            found.append(self._bare())
            self._parameters()
            if not (self.take(_SPACES) or self._text.startswith(b")", self._at)):
                raise _VoidError
        return tuple(found)

    def _parameters(self) -> None:
        while self.skip(b";"):
            self.take(_SPACES)
            self.take(_KEY)
            if self.skip(b"="):
                self._bare()

    def _bare(self) -> Bare:
        found = _ITEM.match(self._text, self._at)
        if found is None:
            raise _VoidError
        self._at = found.end()
        kind = found.lastgroup
        assert kind is not None  # each alternative has a name
        return _read(kind, found[kind])

    def _end(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _VoidError
        return found.end()


_ESCAPED: Final = re.compile(r"\\(.)")


def _read(kind: str, text: bytes) -> Bare:
    match kind:
        case "integer":
            return int(text)
        case "decimal" | "date":
            return float(text)
        case "string":
            return _ESCAPED.sub(r"\1", text.decode("ascii"))
        case "token":
            return Token(text.decode("ascii"))
        case "boolean":
            return text == b"1"
        case _:  # binary and display: nothing of the cache has such values
            return text

r"""The INI files that Pushpin reads, read as its toolkit reads them (config.md 1.1, 1.2).

A value may be quoted anywhere, has the escapes `\n`, `\x41`, `\101` and so on, ends at an unquoted
`;`, and is a list if it has an unquoted comma. Lines that mean nothing are errors here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from gripproxy.errors import ConfigError

_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "?": "?", "0": "\0",
}  # fmt: skip
_HEX = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value: one element, or several if it is a list."""

    section: str
    key: str
    values: tuple[str, ...]
    line: int


def read(text: str, file: str) -> tuple[list[Entry], list[ConfigError]]:
    """Return the entries of a file in order, and what is wrong with it."""
    entries: list[Entry] = []
    errors: list[ConfigError] = []
    section = ""
    for number, line in _logical_lines(text.removeprefix("\ufeff")):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("["):
            section = stripped[1:].partition("]")[0].strip()
            continue
        key, equals, value = line.partition("=")
        if not equals:
            errors.append(ConfigError(f"{file}:{number}", "neither a section nor key=value"))
            continue
        entries.append(Entry(section, unquote(key.strip()), tuple(_elements(value)), number))
    return entries, errors


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Join lines that end in a `\` with the next one, and quotes that run over a line's end."""
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        start = number
        line = lines[number]
        head = line.lstrip()
        if not head.startswith(("#", ";", "[")):
            while number + 1 < len(lines) and _goes_on(line):
                number += 1
                joint = line[:-1] if line.endswith("\\") else line + "\n"
                line = joint + lines[number]
        yield start + 1, line
        number += 1


def _goes_on(line: str) -> bool:
    r"""Tell whether a line ends in an escape."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _elements(text: str) -> list[str]:
    """Split a value at unquoted commas, undoing quotes and escapes."""
    elements: list[str] = []
    reader = _Value()
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at = reader.escape(text, at + 1)
            continue
        if char == '"':
            reader.quoted = not reader.quoted
            reader.solid = len(reader.chars)
        elif not reader.quoted and char == ";":
            break
        elif not reader.quoted and char == ",":
            elements.append(reader.finish())
        else:
            reader.add(char)
        at += 1
    elements.append(reader.finish())
    return [_variant(element) for element in elements]


class _Value:
    """One element while it is read."""

    def __init__(self) -> None:
        self.chars: list[str] = []
        self.quoted = False
        self.solid = 0  # so many characters are not trimmed from the end

    def add(self, char: str) -> None:
        if not self.quoted and char in " \t" and not self.chars and not self.solid:
            return
        self.chars.append(char)
        if self.quoted:
            self.solid = len(self.chars)

    def escape(self, text: str, at: int) -> int:
        """Take an escape whose letter is at `at`; return where to go on."""
        if at >= len(text):
            return at
        letter = text[at]
        if letter == "x":
            return self._number(text, at + 1, _HEX, 16)
        if letter in _OCTAL:
            return self._number(text, at, _OCTAL, 8)
        found = _ESCAPES.get(letter)
        if found is not None:
            self.chars.append(found)
            self.solid = len(self.chars)
        return at + 1

    def _number(self, text: str, at: int, digits: frozenset[str], base: int) -> int:
        end = at
        while end < len(text) and text[end] in digits:
            end += 1
        if end > at:
            code = int(text[at:end], base)
            self.chars.append(chr(code) if code < 0x110000 else "\ufffd")
            self.solid = len(self.chars)
        return end

    def finish(self) -> str:
        """Return the element, and begin the next one."""
        solid = "".join(self.chars[: self.solid])
        rest = "".join(self.chars[self.solid :]).rstrip()
        self.chars, self.solid = [], 0
        return solid + rest


def _variant(text: str) -> str:
    """Undo the forms of the toolkit that begin with `@`."""
    if not text.startswith("@"):
        return text
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@ByteArray(") and text.endswith(")"):
        return text[len("@ByteArray(") : -1]
    if text.startswith(("@Invalid(", "@Variant(")):
        return ""
    return text

r"""INI files: text → keys and values, each with its line.

Specification: config.md 1.1, 1.2. Files are read as Pushpin reads them, whose reader is that of
the Qt toolkit: quotes stand anywhere, escapes are C's, an unquoted comma makes a list, an unquoted
`;` begins a comment, and a `\` at a line's end continues it. What it skips in silence is an error.
"""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gripproxy.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value: one element, or several if it is a list."""

    section: str
    key: str
    values: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IniFile:
    """What is in a file, in its order; and what is wrong with it."""

    entries: tuple[Entry, ...]
    sections: tuple[tuple[str, int], ...]  # names and lines
    errors: tuple[ConfigError, ...]


def read(text: str, file: str) -> IniFile:
    """Read a file's text; `file` is its name in errors."""
    entries: list[Entry] = []
    sections: list[tuple[str, int]] = []
    errors: list[ConfigError] = []
    section = ""
    for number, line in _logical_lines(text.removeprefix("\ufeff")):
        try:
            if line.startswith("["):
                section = _section(line)
                sections.append((section, number))
            else:
                entries.append(_entry(section, line, number))
        except _LineError as error:
            errors.append(ConfigError(f"{file}:{number}", error.text))
    return IniFile(entries=tuple(entries), sections=tuple(sections), errors=tuple(errors))


def shown(text: str, limit: int = 60) -> str:
    """Return a text as errors quote it: on one line, and not too long."""
    cut = text if len(text) <= limit else f"{text[: limit - 3]}..."
    printable = cut if cut.isprintable() else ascii(cut)[1:-1]
    return f'"{printable}"'


class _LineError(Exception):
    """A line that means nothing; `read` knows where it stands."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


# Lines

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_BLANK: Final = re.compile(r"[ \t\r\n]*+")
_COMMENT: Final = re.compile(r"[;#][^\r\n]*+")
# Up to an unquoted `;` or line end. A quote that is never closed is not part of it.
_LOGICAL: Final = re.compile(
    r"""(?: [^"\\;\r\n]++
          | \\ (?: \r\n | \n\r | [\s\S] )?+
          | " (?: [^"\\]++ | \\[\s\S] )*+ "
        )*+""",
    re.VERBOSE,
)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is no comment, with its number; quotes and escapes may join some."""
    ends = [match.end() for match in _LINE_END.finditer(text)]
    at = _after(_BLANK, text, 0)
    while at < len(text):
        comment = _COMMENT.match(text, at)
        if comment is not None:
            at = _after(_BLANK, text, comment.end())
            continue
        end = _after(_LOGICAL, text, at)
        number = bisect.bisect_right(ends, at) + 1
        if end < len(text) and text[end] == '"':
            yield number, text[at:]
            return
        yield number, text[at:end]
        at = _after(_BLANK, text, end)


# Up to the first `=` that is not quoted.
_NAME: Final = re.compile(
    r"""(?: [^="\\]++ | \\ [\s\S] | " (?: [^"\\]++ | \\[\s\S] )*+ " )*+""", re.VERBOSE
)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None  # both patterns match nothing at all, too
    return match.end()


def _section(line: str) -> str:
    name, _, rest = line[1:].partition("]")
    rest = rest.strip(" \t")
    if rest and not rest.startswith("#"):
        raise _LineError(f'{shown(rest)} behind "]" is lost; begin a new line for it')
    return _decoded(name.strip(" \t\r\n"))


def _entry(section: str, line: str, number: int) -> Entry:
    if _LOGICAL.fullmatch(line) is None:
        raise _LineError('a quote (") begins here and is never closed')
    end = _after(_NAME, line, 0)
    key = _decoded(line[:end].strip(" \t\r\n"))
    if not line.startswith("=", end):
        raise _LineError(f"{shown(key)} is neither [section] nor option=value")
    if not key:
        raise _LineError(f"no option's name before {shown(line.strip())}")
    return Entry(section, key, _elements(line[end + 1 :]), number)


_PERCENT: Final = re.compile(r"%(?:U([0-9A-Fa-f]{4})|([0-9A-Fa-f]{2}))")


def _decoded(name: str) -> str:
    return _PERCENT.sub(lambda match: chr(int(match[1] or match[2], 16)), name)


# Values

_TOKEN: Final = re.compile(
    r"""(?P<plain> [^"\\,\ \t]++ )
      | (?P<blanks> [\ \t]++ )
      | (?P<quote> " )
      | (?P<comma> , )
      | \\ (?: x (?P<hex> [0-9A-Fa-f]++ )
             | (?P<octal> [0-7]++ )
             | (?P<letter> (?: \r\n | \n\r | [\s\S] )?+ ) )""",
    re.VERBOSE,
)
_LETTERS: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    '"': '"', "?": "?", "'": "'", "\\": "\\",
}  # fmt: skip


def _elements(text: str) -> tuple[str, ...]:
    """Return a value's elements: one, or several if it is a list."""
    elements: list[str] = []
    element = _Element()
    for token in _TOKEN.finditer(text):
        if token["comma"] and not element.quoted:
            elements.append(element.finish())
            element = _Element()
        else:
            element.take(token)
    elements.append(element.finish())
    return tuple(elements)


class _Element:
    """One element of a value while it is read."""

    def __init__(self) -> None:
        self.quoted = False
        self._had_quotes = False
        self._skips_blanks = True  # at its start, and after each closing quote
        self._read: list[str] = []

    def take(self, token: re.Match[str]) -> None:
        if token["quote"]:
            self._had_quotes = True
            self.quoted = not self.quoted
            self._skips_blanks = not self.quoted
            return
        if token["blanks"] and self._skips_blanks and not self.quoted:
            return
        self._skips_blanks = False
        self._read.append(_meaning(token))
        if not (token["plain"] or token["blanks"]):
            self._read.append("")  # an escape is no blank that could be trimmed

    def finish(self) -> str:
        """Return what it came to."""
        # As in Qt: one quote anywhere keeps the blanks at the end, too.
        if not self._had_quotes and self._read and self._read[-1].isspace():
            self._read.pop()
        return _variant(_whole("".join(self._read)))


def _meaning(token: re.Match[str]) -> str:
    """Return the characters that a token stands for."""
    if token["hex"] or token["octal"]:
        return _character(int(token["hex"] or "0", 16) or int(token["octal"] or "0", 8))
    if token["letter"] is not None:
        # Any other letter vanishes with its `\`; so does a line's end, which is then none.
        return _LETTERS.get(token["letter"], "")
    return token[0]


def _character(number: int) -> str:
    if not 0 < number <= 0x10FFFF:
        raise _LineError(f"there is no character with the number {number:#x}")
    return chr(number)


def _whole(text: str) -> str:
    """Join the halves of characters that were written as two numbers."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _LineError("half a character: the other half of the pair is missing") from None


def _variant(text: str) -> str:
    """Undo the forms that the toolkit writes for what is no text."""
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@ByteArray(") and text.endswith(")"):
        return text.removeprefix("@ByteArray(")[:-1]
    if text.startswith(("@Invalid(", "@Variant(")) and text.endswith(")"):
        return ""
    return text

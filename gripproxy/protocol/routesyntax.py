"""A line of the routes file, character by character: sections, parts, quotes.

Specification: routes.md 2. What the names and values mean is in `routelines`.

    route   = condition 1*( 1*SP target )
    condition = [ DOMAIN ] *( "," prop )
    target  = ADDRESS *( "," prop )
    prop    = NAME [ "=" VALUE ]
"""

from dataclasses import dataclass

from gripproxy.errors import RouteError


@dataclass(frozen=True, slots=True)
class Section:
    """A condition or a target: DOMAIN or ADDRESS (empty if missing) and the props, in order."""

    first: str
    props: tuple[tuple[str, str], ...]


def is_blank(text: str) -> bool:
    """Tell whether a line has no sections: blanks only, or a comment."""
    text = text.lstrip(" ")
    return not text or text.startswith("#")


def split(text: str, file: str, line: int) -> list[Section]:
    """Split a line into its sections, the condition first; raise `RouteError`."""
    return _Scanner(text, file, line).sections()


class _Scanner:
    def __init__(self, text: str, file: str, line: int) -> None:
        self._text = text
        self._place = (file, line)
        self._at = 0

    def sections(self) -> list[Section]:
        found: list[Section] = []
        while not is_blank(self._text[self._at :]):
            while self._text[self._at] == " ":
                self._at += 1
            found.append(self._section(is_target=bool(found)))
        return found

    def _section(self, *, is_target: bool) -> Section:
        first = self._part()
        props: list[tuple[str, str]] = []
        if "=" in first:
            # Only a condition may do without its first part (rule 6).
            if is_target:
                raise self._error("expecting prop")
            props.append(self._prop(first))
            first = ""
        while self._text.startswith(",", self._at):
            self._at += 1
            props.append(self._prop(self._part()))
        return Section(first, tuple(props))

    def _prop(self, part: str) -> tuple[str, str]:
        if not part:
            raise self._error("expecting prop")
        name, _, value = part.partition("=")
        if not name:
            raise self._error("empty prop name")
        return name, value

    def _part(self) -> str:
        """Read up to the next unquoted separator, which is left where it is."""
        pieces: list[str] = []
        while self._at < len(self._text) and (char := self._text[self._at]) not in " ,#":
            self._at += 1
            pieces.append(self._quoted() if char == '"' else char)
        return "".join(pieces)

    def _quoted(self) -> str:
        """Read from behind a quote to behind the next one."""
        pieces: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return "".join(pieces)
            pieces.append(self._escaped() if char == "\\" else char)
        raise self._error("unterminated quoted section")

    def _escaped(self) -> str:
        if self._at == len(self._text):
            raise self._error("unterminated escape sequence")
        char = self._text[self._at]
        self._at += 1
        if char not in '\\"':
            raise self._error(f"unexpected escape character: {char}")
        return char

    def _error(self, text: str) -> RouteError:
        return RouteError(*self._place, text)

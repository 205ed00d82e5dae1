"""Header fields: ordered, spelled as they came, looked up without case (RFC 9110 5).

Names and values are bytes. A name is met again and again, so each spelling is looked up once in
a bounded table of `Name`s, which know their lower case, their start of a line, and their *marks*:
one bit for each field that the proxy itself cares about. `Headers.marks` is the union, so "has it
any hop-by-hop field at all?" is one operation.

Lists and parameters are read by the rules of grip-http.md 2.1.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from email.utils import formatdate, parsedate_to_datetime

# Marks of the fields that steer the proxy. Several names may share one.
CONNECTION = 1 << 0
CONTENT_LENGTH = 1 << 1
TRANSFER_ENCODING = 1 << 2
HOST = 1 << 3
UPGRADE = 1 << 4
EXPECT = 1 << 5
DATE = 1 << 6
CONTENT_TYPE = 1 << 7
CONTENT_ENCODING = 1 << 8
GRIP = 1 << 9  # any name that begins with Grip-
HOP = 1 << 10  # hop-by-hop fields beside Connection, Transfer-Encoding and Upgrade
FORWARDED = 1 << 11  # X-Forwarded-For, -Proto, -Protocol
MARKED = 1 << 12  # eb9bf0f5-…, copies of fields as the client sent them
VIA = 1 << 13
CDN_LOOP = 1 << 14
ACCEPT_ENCODING = 1 << 15
WEBSOCKET = 1 << 16  # Sec-WebSocket-…
MAX_FORWARDS = 1 << 17
ROUTE = 1 << 18  # Pushpin-Route

ORIGINAL_PREFIX = b"eb9bf0f5-"

_MARKS = {
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"host": HOST,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"date": DATE,
    b"content-type": CONTENT_TYPE,
    b"content-encoding": CONTENT_ENCODING,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"te": HOP,
    b"trailer": HOP,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-protocol": FORWARDED,
    b"via": VIA,
    b"cdn-loop": CDN_LOOP,
    b"accept-encoding": ACCEPT_ENCODING,
    b"max-forwards": MAX_FORWARDS,
    b"pushpin-route": ROUTE,
}
_PREFIX_MARKS = ((b"grip-", GRIP), (ORIGINAL_PREFIX, MARKED), (b"sec-websocket-", WEBSOCKET))

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# A peer that sends ever new names must not grow the table of names.
_NAMES_MAX = 4096
_NAME_LENGTH_MAX = 64


class Name:
    """A field name in one spelling."""

    __slots__ = ("line", "lower", "mark", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.lower = text.lower()
        self.line = text + b": "
        self.mark = _MARKS.get(self.lower, 0)
        for prefix, mark in _PREFIX_MARKS:
            if self.lower.startswith(prefix):
                self.mark = mark

    def __repr__(self) -> str:
        return f"Name({self.text!r})"


_names: dict[bytes, Name] = {}


def name(text: bytes) -> Name:
    """Return the `Name` of a spelling, the same one each time while the table has room."""
    found = _names.get(text)
    if found is None:
        found = Name(text)
        if len(_names) < _NAMES_MAX and len(text) <= _NAME_LENGTH_MAX:
            _names[text] = found
    return found


Field = tuple[Name, bytes]


class Headers:
    """An ordered list of fields. Treat it as a value: methods return new ones."""

    __slots__ = ("fields", "marks")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields: list[Field] = [(name(text), value) for text, value in pairs]
        marks = 0
        for field in self.fields:
            marks |= field[0].mark
        self.marks = marks

    @classmethod
    def of(cls, fields: list[Field], marks: int) -> "Headers":
        """Wrap fields whose marks are known already."""
        headers = cls.__new__(cls)
        headers.fields = fields
        headers.marks = marks
        return headers

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return ((field.text, value) for field, value in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # a list of fields is no key

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"

    def get(self, lower: bytes) -> bytes | None:
        """Return the first value of a name given in lower case."""
        for field, value in self.fields:
            if field.lower == lower:
                return value
        return None

    def get_all(self, lower: bytes) -> list[bytes]:
        """Return all values of a name given in lower case, in order."""
        return [value for field, value in self.fields if field.lower == lower]

    def has(self, lower: bytes) -> bool:
        """Tell whether a name given in lower case is there."""
        return any(field.lower == lower for field, _ in self.fields)

    def without(self, *lowers: bytes) -> "Headers":
        """Return the fields less those whose lower-case names are given."""
        return Headers((f.text, value) for f, value in self.fields if f.lower not in lowers)

    def without_marks(self, marks: int) -> "Headers":
        """Return the fields less those that have one of the marks."""
        if not self.marks & marks:
            return self
        return Headers.of([f for f in self.fields if not f[0].mark & marks], self.marks & ~marks)

    def plus(self, *pairs: tuple[bytes, bytes]) -> "Headers":
        """Return the fields followed by others."""
        added = [(name(text), value) for text, value in pairs]
        marks = self.marks
        for field in added:
            marks |= field[0].mark
        return Headers.of(self.fields + added, marks)

    def replaced(self, text: bytes, value: bytes) -> "Headers":
        """Return the fields with one of this name, at the end, instead of any number."""
        return self.without(text.lower()).plus((text, value))

    def encode(self) -> bytes:
        """Return the field lines, each with its line end."""
        return b"".join([b"%b%b\r\n" % (field.line, value) for field, value in self.fields])


# Grammar


def is_token(text: bytes) -> bool:
    """Tell whether a text is a token (RFC 9110 5.6.2), as a field name must be."""
    return _TOKEN.fullmatch(text) is not None


def is_value(text: bytes) -> bool:
    """Tell whether a text can stand as a field value: no CR, LF, NUL or other control byte."""
    return _BAD_VALUE.search(text) is None


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """Return the members of comma lists in lower case, without blanks and empty ones."""
    return [
        member
        for value in values
        for part in value.split(b",")
        if (member := part.strip(b" \t").lower())
    ]


def split_list(values: Iterable[bytes], *, angles: bool = False) -> list[bytes]:
    """Split list fields at commas outside of quotes (grip-http.md 2.1).

    Parts are trimmed and may be empty, but an empty field yields none and a comma at the end
    adds none. With `angles`, commas between `<` and `>` belong to the part as well (RFC 8288).
    """
    parts: list[bytes] = []
    for value in values:
        if b'"' not in value and not angles:
            found = value.split(b",")
        else:
            found = _split(value, 0x2C, angles=angles)
        if not found[-1].strip(b" \t"):
            found.pop()
        parts.extend([part.strip(b" \t") for part in found])
    return parts


def _split(value: bytes, separator: int, *, angles: bool) -> list[bytes]:
    r"""Split at a byte outside of quotes (where `\` takes the next byte) and, if asked, `<>`."""
    parts: list[bytes] = []
    start = at = 0
    quoted = inside = False
    while at < len(value):
        byte = value[at]
        if quoted:
            if byte == 0x5C:
                at += 1
            elif byte == 0x22:
                quoted = False
        elif inside:
            inside = byte != 0x3E
        elif byte == 0x22:
            quoted = True
        elif byte == 0x3C and angles:
            inside = True
        elif byte == separator:
            parts.append(value[start:at])
            start = at + 1
        at += 1
    parts.append(value[start:])
    return parts


Parameters = list[tuple[bytes, bytes | None]]


def split_parameters(part: bytes, *, angles: bool = False) -> tuple[bytes, Parameters] | None:
    r"""Split one member of a list into its value and its parameters (grip-http.md 2.1).

    Names keep their case. A pair without `=` has the value None. Returns None if the parameters
    do not parse (unterminated quote, `\` at the end): such a part is to be dropped.
    """
    if b";" not in part:
        return part.strip(b" \t"), []
    if angles and part.startswith(b"<") and (close := part.find(b">")) >= 0:
        cut = part.find(b";", close)
    else:
        cut = part.find(b";")
    if cut < 0:
        return part.strip(b" \t"), []
    parameters = _parameters(part[cut + 1 :])
    return None if parameters is None else (part[:cut].strip(b" \t"), parameters)


def _parameters(text: bytes) -> Parameters | None:
    found: Parameters = []
    at = 0
    while at < len(text):
        equals = text.find(b"=", at)
        end = text.find(b";", at)
        end = len(text) if end < 0 else end
        if 0 <= equals < end:
            key = text[at:equals].strip(b" \t")
            if text[equals + 1 : equals + 2] == b'"':
                quoted = _quoted(text, equals + 2)
                if quoted is None:
                    return None
                value, at = quoted
                end = text.find(b";", at)
                end = len(text) if end < 0 else end
            else:
                value = text[equals + 1 : end].strip(b" \t")
            found.append((key, value))
        elif key := text[at:end].strip(b" \t"):
            found.append((key, None))
        at = end + 1
    return found


def _quoted(text: bytes, at: int) -> tuple[bytes, int] | None:
    """Read a quoted string from behind its first quote; return it and where it ends."""
    value = bytearray()
    while at < len(text):
        byte = text[at]
        if byte == 0x22:
            return bytes(value), at + 1
        if byte == 0x5C:
            at += 1
            if at == len(text):
                return None
            byte = text[at]
        value.append(byte)
        at += 1
    return None


def parameter(parameters: Sequence[tuple[bytes, bytes | None]], lower: bytes) -> bytes | None:
    """Return the value of the first parameter of this name, whatever its case."""
    for key, value in parameters:
        if key.lower() == lower:
            return value
    return None


# Dates (RFC 9110 5.6.7)


def format_date(seconds: float) -> bytes:
    """Return a moment (seconds since 1970) as an HTTP date."""
    return formatdate(seconds, usegmt=True).encode()


def parse_date(value: bytes) -> float | None:
    """Return the moment of an HTTP date in seconds since 1970, or None if it is none."""
    try:
        return parsedate_to_datetime(value.decode("ascii")).timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None

"""Header fields: ordered, spelled as they came, looked up without case (RFC 9110 5).

Names and values are bytes. A name is met again and again, so each spelling is looked up once in
a bounded table of `Name`s, which know their lower case, their start of a line, and their *marks*:
one bit for each field that the proxy itself cares about. `Headers.marks` is the union, so "has it
any hop-by-hop field at all?" is one operation.

Lists and parameters are read by the rules of grip-http.md 2.1.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import formatdate

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

# A member of a list. Possessive throughout: whatever a peer sends is read once. The quote may
# be open to the end of the field, and its last byte may be a backslash.
_REST = rb'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+'
_PART = re.compile(_REST, re.DOTALL)
_LINK_PART = re.compile(rb"[ \t]*+(?:<[^<>]*+>)?+" + _REST, re.DOTALL)
_ANGLE = re.compile(rb"<[^<>]*+>")
_QUOTED = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

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

# The key of the lines in what is derived of shared fields.
_LINES = "lines"


class Headers:
    """An ordered list of fields. Treat it as a value: methods return new ones.

    Peers say the same again and again: the heads of a poll, of a hold's instruct. Whoever reads
    heads may keep what he has read and give the same object for the same bytes. Such an object is
    *shared*: `derived` is a place for what others make of it, each under a key of his own, so that
    this is made once as well. It is None for all others, which are not worth the memory.
    """

    __slots__ = ("derived", "fields", "marks")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.fields: list[Field] = [(name(text), value) for text, value in pairs]
        marks = 0
        for field in self.fields:
            marks |= field[0].mark
        self.marks = marks
        self.derived: dict[object, object] | None = None

    @classmethod
    def of(cls, fields: list[Field], marks: int) -> "Headers":
        """Wrap fields whose marks are known already."""
        headers = cls.__new__(cls)
        headers.fields = fields
        headers.marks = marks
        headers.derived = None
        return headers

    def share(self) -> "Headers":
        """Make this a shared object, and return it."""
        if self.derived is None:
            self.derived = {}
        return self

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
        derived = self.derived
        if derived is not None:
            lines = derived.get(_LINES)
            if isinstance(lines, bytes):
                return lines
        if not self.fields:
            return b""
        lines = b"\r\n".join([field.line + value for field, value in self.fields]) + b"\r\n"
        if derived is not None:
            derived[_LINES] = lines
        return lines


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
    adds none. With `angles`, commas of a `<URI>` that begins a part belong to it (RFC 8288).
    """
    parts: list[bytes] = []
    for value in values:
        if b'"' not in value and not angles:
            found = value.split(b",")
        else:
            found = _split(value, _LINK_PART if angles else _PART)
        if not found[-1].strip(b" \t"):
            found.pop()
        parts.extend([part.strip(b" \t") for part in found])
    return parts


def _split(value: bytes, pattern: re.Pattern[bytes]) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at <= len(value):
        part = pattern.match(value, at)
        assert part is not None  # it matches the empty text, too
        parts.append(part[0])
        at = part.end() + 1
    return parts


Parameters = list[tuple[bytes, bytes | None]]


def split_parameters(part: bytes, *, angles: bool = False) -> tuple[bytes, Parameters] | None:
    r"""Split one member of a list into its value and its parameters (grip-http.md 2.1).

    Names keep their case. A pair without `=` has the value None. Returns None if the parameters
    do not parse (unterminated quote, `\` at the end): such a part is to be dropped.
    """
    if b";" not in part:
        return part.strip(b" \t"), []
    uri = _ANGLE.match(part) if angles else None
    cut = part.find(b";", uri.end() if uri is not None else 0)
    if cut < 0:
        return part.strip(b" \t"), []
    found = pairs(part[cut + 1 :])
    return None if found is None else (part[:cut].strip(b" \t"), found)


def pairs(text: bytes) -> Parameters | None:
    """Read `name=value` pairs between semicolons; None if they do not parse."""
    found: Parameters = []
    at = 0
    while at < len(text):
        end = _end(text, at)
        equals = text.find(b"=", at, end)
        if equals < 0:
            if key := text[at:end].strip(b" \t"):
                found.append((key, None))
        elif text.startswith(b'"', equals + 1):
            quoted = _QUOTED.match(text, equals + 1)
            if quoted is None:
                return None
            value = _ESCAPED.sub(rb"\1", quoted[1])
            found.append((text[at:equals].strip(b" \t"), value))
            end = _end(text, quoted.end())
        else:
            found.append((text[at:equals].strip(b" \t"), text[equals + 1 : end].strip(b" \t")))
        at = end + 1
    return found


def _end(text: bytes, at: int) -> int:
    end = text.find(b";", at)
    return len(text) if end < 0 else end


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


_DATE = re.compile(
    rb"(?:[a-z]{3}, (?P<day>\d\d) (?P<month>[a-z]{3}) (?P<year>\d{4})"
    rb"|[a-z]{6,9}, (?P<day2>\d\d)-(?P<month2>[a-z]{3})-(?P<year2>\d\d))"
    rb" (?P<time>\d\d:\d\d:\d\d) GMT"
    rb"|[a-z]{3} (?P<month3>[a-z]{3}) (?P<day3>[ \d]\d)"
    rb" (?P<time3>\d\d:\d\d:\d\d) (?P<year3>\d{4})",
    re.IGNORECASE,
)
_MONTHS = b"jan feb mar apr may jun jul aug sep oct nov dec".split()


def parse_date(value: bytes) -> float | None:
    """Return the moment of an HTTP date in seconds since 1970, or None if it is none.

    The three forms of RFC 9110 in any case of letters, nothing else: a cache must take an
    `Expires` that it cannot read for the past, not guess.
    """
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    part = {key.rstrip("23"): text for key, text in found.groupdict().items() if text is not None}
    month, year = part["month"].lower(), int(part["year"])
    if len(part["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = map(int, part["time"].split(b":"))
    try:
        # A leap second is the moment after the one before it.
        day = datetime(year, _MONTHS.index(month) + 1, int(part["day"]), hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    return day.timestamp() + second if second <= 60 else None

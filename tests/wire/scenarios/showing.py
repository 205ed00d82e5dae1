"""Requests, responses and frames as text, without what legitimately varies.

What is left out everywhere (each is shown raw by a scenario of its own):

- `Date`, `Via`, `Proxy-Status`, which ours adds (proxying.md 17);
- `Accept: */*` and `Accept-Encoding`, which Pushpin 1.36 adds to what it sends (proxying.md 4);
- `Connection: Transfer-Encoding`, which Pushpin writes on chunked responses (grip-http.md 4.3);
- where `Content-Length` stands in requests: it is written last;
- the token of `Grip-Sig`, the list of `Grip-Feature`, made-up keys and ids.
"""

import re
from collections.abc import Iterable, Sequence

from tests.wire.client import Field, Response, shown
from tests.wire.origin import Request

ACCEPT_ENCODING = "deflate, gzip, br, zstd"

PLACEHOLDERS = {
    "grip-sig": "TOKEN",
    "grip-feature": "FEATURES",
    "connection-id": "ID",
}


def head(response: Response, *, raw: bool = False) -> str:
    """Write status line and fields."""
    first = f"{response.version} {response.status} {response.reason}".rstrip()
    fields = response.fields if raw else [f for f in response.fields if not _left_out(f)]
    return "\n".join([first, *(f"{name}: {value}" for name, value in fields)])


def response(got: Response, *, raw: bool = False) -> str:
    """Write a whole response."""
    return f"{head(got, raw=raw)}\n\n{shown(got.body)}".rstrip()


def request(got: Request, *, raw: bool = False) -> str:
    """Write a request as the origin got it."""
    fields = got.fields if raw else sorted(_settled(got.fields), key=_is_length)
    lines = [f"{got.method} {got.target} {got.version}", *(f"{n}: {v}" for n, v in fields)]
    return "\n".join(lines) + f"\n\n{shown(got.body)}".rstrip()


def line(got: Response) -> str:
    """Write a response on one line: status, reason, body."""
    return f"{got.status} {got.reason}: {shown(got.body)}"


def chosen(got: Request, *names: str) -> str:
    """Write the fields of these names, in the order of the request."""
    wanted = {name.lower() for name in names}
    return "\n".join(f"{n}: {v}" for n, v in _settled(got.fields) if n.lower() in wanted)


def in_any_order(lines: Iterable[str]) -> Sequence[str]:
    """Return lines sorted, where their order is not defined."""
    return sorted(lines)


def _is_length(field: Field) -> bool:
    return field[0].lower() == "content-length"


def _left_out(field: Field) -> bool:
    name, value = field[0].lower(), field[1]
    return name in ("date", "proxy-status") or (
        name == "connection" and value == "Transfer-Encoding"
    )


def _settled(fields: list[Field]) -> Iterable[Field]:
    for name, value in fields:
        low = name.lower()
        if low == "accept" and value == "*/*":
            continue
        if low == "accept-encoding" and value == ACCEPT_ENCODING:
            continue
        kept = re.sub(r"(^|, )1\.1 gripproxy$", "", value) if low == "via" else value
        if kept or not value:
            yield name, PLACEHOLDERS.get(low, kept)

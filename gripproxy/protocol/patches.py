"""JSON Patch and JSON Pointer for `body-patch`, in the dialect that publishers know.

Specification: publishing.md 10, grip-http.md 6.2. Where RFC 6902 inserts into an array, `add`
replaces; `/` alone is the whole document, as is the empty pointer of RFC 6901.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from gripproxy.errors import PacketError, PatchError
from gripproxy.protocol import jsontext
from gripproxy.protocol.jsontext import Json

# What the operation `copy` may add in all, in values and characters. A short patch could double
# a document thirty times; an item and its hold's body are a tenth of this.
COPIED_MAX: Final = 1_000_000

# Whole numbers up to here are written without exponent and fraction.
_WHOLE_MAX: Final = 1 << 64

_INDEX: Final = re.compile(r"[+-]?[0-9]{1,16}", re.ASCII)


def apply(body: bytes, operations: Sequence[Json]) -> bytes:
    """Return a JSON body after these operations, compact, with sorted keys.

    It ends in the line end that it ended in.

    Raises:
        PatchError: the body is no JSON object or array, or an operation does not apply.
    """
    try:
        document = _Document(_decoded(body))
        for operation in operations:
            document.apply(operation)
        result = _encoded(document.root)
    except RecursionError:
        raise PatchError("value is nested too deeply") from None
    return result + _line_end(body)


def _decoded(body: bytes) -> Json:
    try:
        root = jsontext.decode(body)
    except PacketError:
        root = None
    if not isinstance(root, dict | list):
        raise PatchError("original is not an object or array")
    return root


def _encoded(root: Json) -> bytes:
    if not isinstance(root, dict | list):
        raise PatchError("result is not an object or array")
    _make_whole(root)
    try:
        return jsontext.encode(root, sort_keys=True)
    except PacketError:
        raise PatchError("result is nested too deeply") from None


def _line_end(body: bytes) -> bytes:
    if body.endswith(b"\r\n"):
        return b"\r\n"
    return b"\n" if body.endswith(b"\n") else b""


def _make_whole(root: dict[str, Json] | list[Json]) -> None:
    """Make integers of numbers such as 1.0, as they are written by others."""
    containers: list[Json] = [root]
    while containers:
        container = containers.pop()
        if isinstance(container, dict):
            for key, value in container.items():
                container[key] = _whole(value)
            containers += container.values()
        elif isinstance(container, list):
            container[:] = map(_whole, container)
            containers += container


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_MAX:
        return int(value)
    return value


class _Document:
    """A JSON document of our own, changed in place."""

    def __init__(self, root: Json) -> None:
        self.root = root
        self._room = COPIED_MAX

    def apply(self, operation: Json) -> None:
        """Apply one operation."""
        if not isinstance(operation, dict):
            raise PatchError("invalid op")
        name = _text(operation, "op")
        change = _OPERATIONS.get(name)
        if change is None:
            raise PatchError(f"unsupported op: {name}")
        change(self, _pointer(_text(operation, "path")), operation)

    # The operations

    def add(self, path: list[str], operation: dict[str, Json]) -> None:
        self._set(path, _copy(_value(operation)))

    def remove(self, path: list[str], _operation: dict[str, Json]) -> None:
        self._take(path)

    def replace(self, path: list[str], operation: dict[str, Json]) -> None:
        value = _copy(_value(operation))
        self._get(path)
        self._set(path, value)

    def move(self, path: list[str], operation: dict[str, Json]) -> None:
        source = _pointer(_text(operation, "from"))
        self._get(source)
        if source == path:
            return
        if source == path[: len(source)]:
            raise PatchError("cannot move location into itself")
        self._set(path, self._take(source))

    def copy(self, path: list[str], operation: dict[str, Json]) -> None:
        value = self._get(_pointer(_text(operation, "from")))
        self._set(path, _copy(value, self._charge))

    def test(self, path: list[str], operation: dict[str, Json]) -> None:
        value = _value(operation)
        if not _equal(self._get(path), value):
            raise PatchError("tested values are not equal")

    # Locations

    def _container(self, path: list[str]) -> dict[str, Json] | list[Json]:
        """Return what the last token of a path is a key or an index of."""
        found = self.root
        for token in path[:-1]:
            found = _step(found, token)
        if not isinstance(found, dict | list):
            raise _no_container()
        return found

    def _get(self, path: list[str]) -> Json:
        if not path:
            return self.root
        container, token = self._container(path), path[-1]
        if isinstance(container, list):
            index = _index(container, token)
            if index < len(container):
                return container[index]
        elif token in container:
            return container[token]
        raise PatchError("location does not exist")

    def _set(self, path: list[str], value: Json) -> None:
        if not path:
            self.root = value
            return
        container, token = self._container(path), path[-1]
        if isinstance(container, list):
            index = _index(container, token)
            container[index : index + 1] = [value]
        else:
            container[token] = value

    def _take(self, path: list[str]) -> Json:
        value = self._get(path)
        if not path:
            raise PatchError("cannot remove the whole document")
        container, token = self._container(path), path[-1]
        if isinstance(container, list):
            del container[_index(container, token)]
        else:
            del container[token]
        return value

    def _charge(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise PatchError("result is too large")


_OPERATIONS: Final[dict[str, Callable[[_Document, list[str], dict[str, Json]], None]]] = {
    "add": _Document.add,
    "remove": _Document.remove,
    "replace": _Document.replace,
    "move": _Document.move,
    "copy": _Document.copy,
    "test": _Document.test,
}


# Members


def _text(operation: dict[str, Json], member: str) -> str:
    if member not in operation:
        raise PatchError(f"op does not contain '{member}'")
    value = operation[member]
    if not isinstance(value, str):
        raise PatchError(f"op contains '{member}' with wrong type")
    return value


def _value(operation: dict[str, Json]) -> Json:
    if "value" not in operation:
        raise PatchError("op does not contain 'value'")
    return operation["value"]


# Pointers


def _pointer(text: str) -> list[str]:
    """Return the tokens of a pointer, none for the whole document."""
    if text in ("", "/"):
        return []
    if not text.startswith("/"):
        raise PatchError("pointer must start with /")
    tokens = text[1:].split("/")
    if "" in tokens:
        raise PatchError("reference cannot be empty")
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def _step(container: Json, token: str) -> Json:
    if isinstance(container, list):
        index = _index(container, token)
        if index == len(container):
            raise PatchError(f"cannot step into undefined reference: index={index}")
        return container[index]
    if not isinstance(container, dict):
        raise _no_container()
    if token not in container:
        raise PatchError(f"cannot step into undefined reference: key={token}")
    return container[token]


def _index(array: list[Json], token: str) -> int:
    """Return the index that a token stands for, which may be that behind the last element."""
    if token == "-":  # noqa: S105  # not that kind of token
        return len(array)
    if _INDEX.fullmatch(token) is None:
        raise PatchError("index must be an integer")
    index = int(token)
    if not 0 <= index <= len(array):
        raise PatchError("index out of range")
    return index


def _no_container() -> PatchError:
    return PatchError("non-container value cannot have child reference")


# Values


def _copy(value: Json, charge: Callable[[int], None] | None = None) -> Json:
    """Return a copy of a value, whose parts are then ours alone to change."""
    if charge is not None:
        charge(1 + len(value) if isinstance(value, str) else 1)
    if isinstance(value, list):
        return [_copy(element, charge) for element in value]
    if isinstance(value, dict):
        if charge is not None:
            charge(sum(map(len, value)))
        return {key: _copy(element, charge) for key, element in value.items()}
    return value


def _equal(one: Json, other: Json) -> bool:
    """Compare as RFC 6902 4.6 says: 1 equals 1.0, but neither equals true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and one == other

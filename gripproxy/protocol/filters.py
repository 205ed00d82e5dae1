"""Filters: rules on a subscription that drop items or change them.

Specification: publishing.md 9, grip-http.md 9. What `http-check` and `http-modify` ask the
network is in `filterrequests`; here they only halt a chain.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from gripproxy.errors import FilterError
from gripproxy.protocol import templates
from gripproxy.protocol.templates import Template

LIMIT: Final = 5  # filters of one channel, unknown ones counted


class Drop(Enum):
    """What a chain says of an item that its holder shall not get."""

    ITEM = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What filters look at.

    `positions` are the holder's after the item, by channel without prefix; None for the body of
    an origin, which has none. `subscriptions` are channels without prefix, too.
    """

    sub_meta: Mapping[str, str]
    pub_meta: Mapping[str, str]
    positions: Mapping[str, str | None] | None
    subscriptions: Collection[str]
    debug: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A chain that halts at a filter of the network.

    Once the answer is there, `Chain.apply` goes on with it at `resume`.
    """

    filter: str
    content: bytes
    resume: int


# The filters. Each takes content and context; it returns the content for the next one, or a drop,
# or raises FilterError without its name.


def _skip_self(content: bytes, context: Context) -> bytes | Drop:
    user = context.sub_meta.get("user")
    return Drop.ITEM if user and user == context.pub_meta.get("sender") else content


def _skip_users(content: bytes, context: Context) -> bytes | Drop:
    user = context.sub_meta.get("user")
    skipped = context.pub_meta.get("skip_users")
    if user and skipped and user in [name.strip() for name in skipped.split(",")]:
        return Drop.ITEM
    return content


def _require_sub(content: bytes, context: Context) -> bytes | Drop:
    channel = context.pub_meta.get("require_sub")
    return Drop.ITEM if channel and channel not in context.subscriptions else content


def _var_subst(content: bytes, context: Context) -> bytes:
    return templates.expand(content, _variables(context.sub_meta))


class _Ids(NamedTuple):
    """What `build-id` makes of a content beside the content itself."""

    item_id: bytes | None  # None in the bodies of origins
    hexadecimal: bool
    strict: bool


def _build_id(content: bytes, context: Context) -> bytes:
    render = _rendered if len(content) <= _RENDERED_MAX else _render
    return render(content, _ids(context))


def _build_id_of_body(context: Context) -> Template:
    ids = _ids(context)
    return Template(_identifiers(ids), only=_only(ids))


def _variables(values: Mapping[str, str | None]) -> templates.Directive:
    """Return the directive `%(name)s`."""

    def value(letter: str, argument: str | None) -> bytes:
        if letter != "s":
            raise FilterError(f"Unknown directive '{letter}'")
        if argument is None:
            raise FilterError("Directive 's' requires argument")
        found = values.get(argument)
        if found is None:
            raise FilterError(f"No such variable '{argument}'")
        return _utf8(found)

    return value


def _ids(context: Context) -> _Ids:
    id_format = context.sub_meta.get("id_format")
    if id_format is None:
        raise FilterError("no sub meta 'id_format'")
    encoding = context.sub_meta.get("id_encoding")
    if encoding not in (None, "hex"):
        raise FilterError(f"unsupported encoding: {encoding}")
    positions = context.positions
    item_id = None if positions is None else _item_id(id_format, tuple(positions.items()))
    return _Ids(item_id, encoding is not None, context.debug)


# hot: for each receiver of an item, most of whom are at the same position; without the two
# tables here `build-id` took 5.9 us a receiver instead of 1.1, where a delivery takes 7
# (bench/scenarios.py, lockstep-stream).
@lru_cache(maxsize=256)
def _item_id(id_format: str, positions: tuple[tuple[str, str | None], ...]) -> bytes:
    try:
        return templates.expand(_utf8(id_format), _variables(dict(positions)))
    except FilterError as error:
        raise FilterError(f"failed to render ID: {error.text}") from None


def _identifiers(ids: _Ids) -> templates.Directive:
    """Return the directives `%I` and `%(text)I`."""

    def identifier(letter: str, argument: str | None) -> bytes:
        if letter != "I":
            raise FilterError(f"Unknown directive '{letter}'")
        value = ids.item_id if argument is None else _utf8(argument)
        if value is None:
            raise FilterError("No ID specified and no default ID in context")
        return value.hex().encode() if ids.hexadecimal else value

    return identifier


def _only(ids: _Ids) -> bytes:
    # Libraries send unescaped `%`; an item lost for it would make browsers reconnect for ever.
    return b"" if ids.strict else b"I"


def _render(content: bytes, ids: _Ids) -> bytes:
    return templates.expand(content, _identifiers(ids), only=_only(ids))


# Many holders of a channel have the same `id_format`: they share one rendering, and its bytes.
# Few and small, as an item's holders come one after the other.
_rendered = lru_cache(maxsize=16)(_render)
_RENDERED_MAX: Final = 65_536


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


# The table


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter and what it acts on.

    `content` tells whether it changes what is delivered, not only whether. `apply` is None if it
    needs the network, `body` if it leaves the bodies of origins alone.
    """

    name: str
    content: bool
    apply: Callable[[bytes, Context], bytes | Drop] | None
    body: Callable[[Context], Template] | None = None


FILTERS: Final = {
    known.name: known
    for known in (
        Filter("skip-self", content=False, apply=_skip_self),
        Filter("skip-users", content=False, apply=_skip_users),
        Filter("require-sub", content=False, apply=_require_sub),
        Filter("build-id", content=True, apply=_build_id, body=_build_id_of_body),
        Filter("var-subst", content=True, apply=_var_subst),
        Filter("http-check", content=False, apply=None),
        Filter("http-modify", content=True, apply=None),
    )
}


# Chains


class Chain:
    """The filters of a subscription, in the order named; unknown names are left out."""

    __slots__ = ("content_filters", "filters")

    def __init__(self, names: Iterable[str]) -> None:
        self.filters = tuple(FILTERS[name] for name in names if name in FILTERS)
        self.content_filters = tuple(known.name for known in self.filters if known.content)

    def __repr__(self) -> str:
        return f"Chain({[known.name for known in self.filters]!r})"

    @property
    def asks(self) -> bool:
        """Whether one of the filters needs the network."""
        return any(known.apply is None for known in self.filters)

    def apply(self, content: bytes, context: Context, *, start: int = 0) -> bytes | Drop | Ask:
        """Pass an item's content through the filters from the `start`th on.

        Raises:
            FilterError: with the name of the filter before the text.
        """
        for at in range(start, len(self.filters)):
            known = self.filters[at]
            if known.apply is None:
                return Ask(known.name, content, at + 1)
            try:
                result = known.apply(content, context)
            except FilterError as error:
                raise FilterError(f"{known.name}: {error.text}") from None
            if isinstance(result, Drop):
                return result
            content = result
        return content

    def mismatch(self, message: Sequence[str] | None) -> str:
        """Return what to say if an item's `content-filters` are others, else an empty text."""
        if message is None or tuple(message) == self.content_filters:
            return ""
        ours, theirs = ",".join(self.content_filters), ",".join(message)
        return f"content filter mismatch: subscription={ours} message={theirs}"


@lru_cache(maxsize=1024)
def chain(names: tuple[str, ...]) -> Chain:
    """Return the chain of these names, the same one for all who ask while it is in use."""
    return Chain(names)


def too_many(channel: str) -> str:
    """Return what to say of a channel (its name without prefix) with over `LIMIT` filters."""
    return f"too many filters for channel '{channel}'"


def odd_directive(content: bytes) -> str:
    """Return what debug would say of directives that `build-id` left as they were.

    Empty if there are none. Made for a warning, so it is not done along the way.
    """
    try:
        _render(content, _Ids(b"", hexadecimal=False, strict=True))
    except FilterError as error:
        return f"build-id: {error.text}"
    return ""


# Bodies of origins


class Body:
    """An origin's body on its way through the filters that act on bodies, in pieces or whole.

    `names` are those of all channels, in order; each filter acts once.

    Raises:
        FilterError: as `Chain.apply`.
    """

    __slots__ = ("_stages",)

    def __init__(self, names: Iterable[str], context: Context) -> None:
        self._stages: list[tuple[str, Template]] = []
        for name in dict.fromkeys(names):
            known = FILTERS.get(name)
            if known is None or known.body is None:
                continue
            try:
                self._stages.append((name, known.body(context)))
            except FilterError as error:
                raise FilterError(f"{name}: {error.text}") from None

    def apply(self, piece: bytes, *, last: bool) -> bytes:
        """Return what is finished with this piece.

        Raises:
            FilterError: as `Chain.apply`.
        """
        for name, stage in self._stages:
            try:
                piece = stage.expand(piece, last=last)
            except FilterError as error:
                raise FilterError(f"{name}: {error.text}") from None
        return piece

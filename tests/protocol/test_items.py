"""Published items: publishing.md 2 and 14.4."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ItemError
from gripproxy.protocol import items
from gripproxy.protocol.dialects import JSON, MSGPACK, TNETSTRING
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.items import PublishItem, read, read_list
from gripproxy.protocol.purges import Purge

ALL = [JSON, TNETSTRING, MSGPACK]

each_dialect = pytest.mark.parametrize("dialect", ALL, ids=["J", "T", "M"])

STREAM = {"http-stream": {"content": "x"}}
OWNER = "publish item object"


def spelled(value, dialect):
    """Write a value of JSON as the tnetstring decoder would give it."""
    if dialect is not TNETSTRING:
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [spelled(element, dialect) for element in value]
    if isinstance(value, dict):
        return {name: spelled(element, dialect) for name, element in value.items()}
    return value


def item(**members):
    named = {name.replace("_", "-"): value for name, value in members.items()}
    return {"channel": "c", "formats": STREAM, **named}


def without(name, value):
    return {key: element for key, element in value.items() if key != name}


def read_as(value, dialect):
    return read(spelled(value, dialect), dialect)


def error(value, dialect=JSON):
    with pytest.raises(ItemError) as caught:
        read_as(value, dialect)
    return caught.value.text


# The whole


@each_dialect
def test_a_small_item_has_a_channel_and_a_format(dialect):
    assert read_as(item(), dialect) == PublishItem("c", http_stream=HttpStream(content=b"x"))


@each_dialect
def test_an_item_may_say_everything(dialect):
    value = {
        "channel": "é",
        "id": "2",
        "prev-id": "1",
        "formats": {
            "http-response": {"action": "hint"},
            "http-stream": {"content": "x"},
            "ws-message": {"action": "close"},
        },
        "meta": {"sender": "s", "x": ""},
        "size": 7,
        "no-seq": True,
        "purge": {"keys": ["k"]},
    }
    assert read_as(value, dialect) == PublishItem(
        channel="é",
        id="2",
        prev_id="1",
        http_response=HttpResponse(Action.HINT),
        http_stream=HttpStream(content=b"x"),
        ws_message=WebSocketMessage(Action.CLOSE),
        meta={"sender": "s", "x": ""},
        size=7,
        no_seq=True,
        purge=Purge(keys=("k",)),
    )


@each_dialect
@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_an_item_is_an_object(dialect, value):
    assert error(value, dialect) == "publish item object is not an object"


@each_dialect
def test_unknown_members_are_ignored(dialect):
    assert read_as(item(user=None, foo={"a": 1}), dialect) == read_as(item(), dialect)


WRONG = {
    "channel": 1,
    "id": 1,
    "prev-id": 1,
    "formats": 1,
    "meta": 1,
    "size": [],
    "no-seq": 1,
    "purge": 1,
}
RIGHT = {
    "channel": "",
    "id": "",
    "prev-id": "",
    "formats": STREAM,
    "meta": {},
    "size": 0,
    "no-seq": False,
}


@each_dialect
@pytest.mark.parametrize("good", range(8))
def test_members_are_checked_in_order(dialect, good):
    names = list(WRONG)
    value = {**WRONG, **{name: RIGHT[name] for name in names[:good]}}
    assert error(value, dialect) == f"{OWNER} contains '{names[good]}' with wrong type"


@pytest.mark.parametrize("good", range(3))
def test_formats_are_checked_in_order_before_meta(good):
    names = ["http-response", "http-stream", "ws-message"]
    formats = {name: {"action": "hint"} if place < good else 1 for place, name in enumerate(names)}
    value = item(formats=dict(reversed(formats.items())), meta=1)
    assert error(value) == f"'{names[good]}' is not an object"


# Channel


@each_dialect
def test_a_channel_is_required(dialect):
    assert error(without("channel", item()), dialect) == f"{OWNER} does not contain 'channel'"


@each_dialect
@pytest.mark.parametrize("value", [None, 1, ["c"]])
def test_a_channel_is_a_string(dialect, value):
    assert error(item(channel=value), dialect) == f"{OWNER} contains 'channel' with wrong type"


@each_dialect
def test_a_channel_may_be_empty(dialect):
    assert read_as(item(channel=""), dialect).channel == ""


@pytest.mark.parametrize("value", [{}, {"channel": b"c"}, {"channel": 1}])
def test_a_given_channel_replaces_the_one_in_the_item(value):
    given = {**without("channel", spelled(item(), TNETSTRING)), **value}
    assert read(given, TNETSTRING, "topic").channel == "topic"


def test_text_of_bytes_is_utf8():
    value = {
        **spelled(item(), TNETSTRING),
        "channel": b"a\xff",
        "id": b"\xff",
        "prev-id": b"\xc3\xa9",
    }
    found = read(value, TNETSTRING)
    assert (found.channel, found.id, found.prev_id) == ("a\ufffd", "\ufffd", "é")


# Ids


@each_dialect
@pytest.mark.parametrize("name", ["id", "prev-id"])
@pytest.mark.parametrize("value", [1, True, ["c"]])
def test_ids_are_strings(dialect, name, value):
    assert error({**item(), name: value}, dialect) == f"{OWNER} contains '{name}' with wrong type"


@each_dialect
def test_an_empty_id_is_an_id(dialect):
    found = read_as(item(id="", prev_id=""), dialect)
    assert (found.id, found.prev_id) == ("", "")


@each_dialect
def test_a_null_id_is_none_but_in_json(dialect):
    value = item(id=None, prev_id=None)
    if dialect is JSON:
        assert error(value) == f"{OWNER} contains 'id' with wrong type"
    else:
        found = read_as(value, dialect)
        assert (found.id, found.prev_id) == (None, None)


# Formats


@each_dialect
@pytest.mark.parametrize("value", [1, "x", ["http-stream"], False])
def test_formats_are_an_object(dialect, value):
    assert error(item(formats=value), dialect) == f"{OWNER} contains 'formats' with wrong type"


@each_dialect
@pytest.mark.parametrize(
    "value", [{"channel": "c"}, item(formats={}), {"channel": "c", "http-foo": {}}]
)
def test_an_item_needs_formats(dialect, value):
    assert error(value, dialect) == "no formats specified"


@each_dialect
def test_formats_may_stand_in_the_item_itself(dialect):
    value = {
        "channel": "c",
        "http-stream": {"content": "x"},
        "http-response": {"action": "hint"},
        "ws-message": {"content": "x"},
        "http-foo": {},
    }
    assert read_as(value, dialect) == PublishItem(
        "c",
        http_response=HttpResponse(Action.HINT),
        http_stream=HttpStream(content=b"x"),
        ws_message=WebSocketMessage(content=b"x"),
    )


@each_dialect
def test_with_formats_those_in_the_item_itself_are_ignored(dialect):
    value = item(ws_message=1)
    assert read_as(value, dialect).ws_message is None
    value["formats"] = {}
    assert error(value, dialect) == "no formats specified"


@each_dialect
def test_null_formats_are_none_but_in_json(dialect):
    value = {"channel": "c", "formats": None, **STREAM}
    if dialect is JSON:
        assert error(value) == f"{OWNER} contains 'formats' with wrong type"
    else:
        assert read_as(value, dialect).http_stream == HttpStream(content=b"x")


@each_dialect
def test_unknown_formats_are_named_and_not_looked_at(dialect):
    found = read_as(item(formats={"sms": 1, **STREAM, "fax": None}), dialect)
    assert found.unknown_formats == ("sms", "fax")
    assert read_as(item(formats={"sms": 1}), dialect) == PublishItem("c", unknown_formats=("sms",))


# Meta, size, no-seq


@each_dialect
@pytest.mark.parametrize("value", [1, "x", [["a", "b"]]])
def test_meta_is_an_object(dialect, value):
    assert error(item(meta=value), dialect) == f"{OWNER} contains 'meta' with wrong type"


@each_dialect
@pytest.mark.parametrize("value", [None, 1, ["x"]])
def test_meta_is_of_strings(dialect, value):
    assert (
        error(item(meta={"a": "b", "k": value}), dialect) == "'meta' contains 'k' with wrong type"
    )


@each_dialect
def test_null_meta_is_none_but_in_json(dialect):
    value = item(meta=None)
    if dialect is JSON:
        assert error(value) == f"{OWNER} contains 'meta' with wrong type"
    else:
        assert read_as(value, dialect).meta == {}


@each_dialect
@pytest.mark.parametrize(
    ("value", "size"), [(0, 0), (2**31 - 1, 2**31 - 1), ("12", 12), (1.5, 2), (True, 1), ("x", 0)]
)
def test_a_size_is_what_converts(dialect, value, size):
    assert read_as(item(size=value), dialect).size == size


@each_dialect
@pytest.mark.parametrize("value", [-1, "-1", 2**31, 2**32, math.inf, "9" * 30])
def test_a_size_is_of_31_bits(dialect, value):
    assert error(item(size=value), dialect) == f"{OWNER} contains 'size' with invalid value"


@each_dialect
@pytest.mark.parametrize("value", [None, {}, []])
def test_a_size_is_a_number(dialect, value):
    assert error(item(size=value), dialect) == f"{OWNER} contains 'size' with wrong type"


@each_dialect
@pytest.mark.parametrize("value", [None, 1, "true"])
def test_no_seq_is_a_bool(dialect, value):
    assert error(item(no_seq=value), dialect) == f"{OWNER} contains 'no-seq' with wrong type"


# Purge

PURGE = {"keys": ["k"]}


@each_dialect
@pytest.mark.parametrize("formats", [{}, {"formats": {}}])
def test_with_a_purge_an_item_needs_no_formats(dialect, formats):
    value = {"channel": "c", "purge": PURGE, **formats}
    assert read_as(value, dialect) == PublishItem("c", purge=Purge(keys=("k",)))


@each_dialect
@pytest.mark.parametrize("formats", [{}, {"formats": {}}])
def test_with_nothing_but_a_purge_it_needs_no_channel(dialect, formats):
    assert read_as({"purge": PURGE, **formats}, dialect) == PublishItem(
        "", purge=Purge(keys=("k",))
    )


@each_dialect
def test_with_a_purge_and_formats_it_needs_a_channel(dialect):
    for formats in ({"formats": STREAM}, STREAM, {"formats": 1}):
        assert error({"purge": PURGE, **formats}, dialect) == f"{OWNER} does not contain 'channel'"


@each_dialect
@pytest.mark.parametrize("value", [None, 1, []])
def test_a_purge_is_an_object(dialect, value):
    assert error(item(purge=value), dialect) == f"{OWNER} contains 'purge' with wrong type"
    assert error({"purge": value}, dialect) == f"{OWNER} contains 'purge' with wrong type"


def test_a_purge_is_read_in_the_words_of_its_encoding():
    assert error(item(purge={"key": ["k"]})) == "'purge' contains 'key' with unknown name"


# Lists


def test_a_list_gives_its_items_in_order():
    value = {"items": [item(), item(channel="d")], "other": 1}
    assert [found.channel for found in read_list(value, JSON)] == ["c", "d"]
    assert read_list({"items": []}, JSON) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "object does not contain 'items'"),
        ({"items": None}, "object contains 'items' with wrong type"),
        ({"items": {}}, "object contains 'items' with wrong type"),
        ({"items": [item(), 1, {}]}, f"{OWNER} is not an object"),
        ({"items": [item(), {}]}, f"{OWNER} does not contain 'channel'"),
    ],
)
@each_dialect
def test_the_first_error_in_a_list_ends_it(value, text, dialect):
    with pytest.raises(ItemError) as caught:
        read_list(spelled(value, dialect), dialect)
    assert caught.value.text == text


# Any item

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CONTENT = st.fixed_dictionaries({"content": TEXTS}) | st.just({"action": "hint"})
FORMATS = st.fixed_dictionaries(
    {},
    optional={
        "http-response": st.fixed_dictionaries(
            {"body": TEXTS},
            optional={"code": st.integers(200, 999), "content-filters": st.lists(TEXTS)},
        ),
        "http-stream": CONTENT,
        "ws-message": CONTENT,
        "sms": st.just(1),
    },
).filter(bool)
ITEMS = st.fixed_dictionaries(
    {"channel": TEXTS, "formats": FORMATS},
    optional={
        "id": TEXTS,
        "prev-id": TEXTS,
        "meta": st.dictionaries(TEXTS, TEXTS),
        "size": st.integers(0, 2**31 - 1),
        "no-seq": st.booleans(),
        "purge": st.fixed_dictionaries(
            {}, optional={"keys": st.lists(TEXTS), "all": st.booleans()}
        ),
    },
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@given(ITEMS)
def test_the_three_encodings_of_an_item_read_equal(value):
    assert read_as(value, JSON) == read_as(value, TNETSTRING) == read_as(value, MSGPACK)


@given(ITEMS)
def test_an_item_can_go_back_to_json(value):
    found = read(value, JSON)
    assert read(items.to_json(found), JSON) == found


@given(ITEMS, ANYTHING, st.data())
def test_no_member_raises_anything_but_an_item_error(value, wrong, draw):
    place = draw.draw(st.sampled_from([*WRONG, *value["formats"]]))
    (value if place in WRONG else value["formats"])[place] = wrong
    for dialect in ALL:
        try:
            found = read(spelled(value, dialect), dialect)
        except ItemError:
            continue
        assert isinstance(found.channel, str)

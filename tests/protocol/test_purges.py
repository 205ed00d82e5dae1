"""The member `purge` of an item: publishing.md 14.4."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ItemError
from gripproxy.protocol import purges
from gripproxy.protocol.dialects import JSON, MSGPACK, TNETSTRING
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.purges import Purge

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PURGES = st.builds(
    Purge,
    urls=st.lists(TEXTS).map(tuple),
    keys=st.lists(TEXTS).map(tuple),
    everything=st.booleans(),
    soft=st.booleans(),
    settle=st.floats(0, 60),
)


def error(value, dialect=JSON):
    with pytest.raises(ItemError) as caught:
        purges.read(value, dialect)
    return caught.value.text


def test_every_member_is_read():
    value = {"urls": ["u"], "keys": ["k", "l"], "all": True, "soft": True, "settle": 2}
    assert purges.read(value, JSON) == Purge(
        urls=("u",), keys=("k", "l"), everything=True, soft=True, settle=2.0
    )


def test_every_member_may_be_absent():
    assert purges.read({}, JSON) == Purge()


def test_strings_are_those_of_the_encoding():
    assert purges.read({"keys": [b"k\xff"]}, TNETSTRING) == Purge(keys=("k\ufffd",))
    assert purges.read({"keys": [b"k", "l"]}, MSGPACK) == Purge(keys=("k", "l"))
    assert error({"keys": [b"k"]}) == "'purge' contains 'keys' with wrong type"


@pytest.mark.parametrize("value", [None, [], "all", True, 1])
@pytest.mark.parametrize("dialect", [JSON, TNETSTRING, MSGPACK])
def test_a_purge_is_an_object(value, dialect):
    assert error(value, dialect) == "publish item object contains 'purge' with wrong type"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("urls", None),
        ("urls", "u"),
        ("urls", {}),
        ("urls", ["u", 1]),
        ("keys", "k"),
        ("keys", [None]),
        ("all", 1),
        ("all", "true"),
        ("all", None),
        ("soft", 0),
        ("settle", "2"),
        ("settle", True),
        ("settle", None),
        ("settle", [1]),
    ],
)
def test_each_member_has_one_type(name, value):
    assert error({name: value}) == f"'purge' contains '{name}' with wrong type"


@pytest.mark.parametrize("seconds", [-1, -0.1, 60.1, 61, 10**400, math.nan, math.inf])
def test_settling_takes_up_to_a_minute(seconds):
    assert error({"settle": seconds}) == "'purge' contains 'settle' with invalid value"


@pytest.mark.parametrize("name", ["url", "ALL", "", "everything"])
def test_unknown_names_are_refused_before_anything_else(name):
    assert error({"keys": 1, name: None}) == f"'purge' contains '{name}' with unknown name"


@given(PURGES)
def test_the_way_back(purge):
    assert purges.read(purges.to_json(purge), JSON) == purge


# The hosted service's spellings

ONCE = {"status": "ok", "id": "I"}


def spelled(target, *pairs, body=b""):
    found = purges.spelled(target, Headers(pairs), body)
    return found and (found.purge, found.answer("I"))


@pytest.mark.parametrize(
    ("target", "urls"),
    [
        (b"/purge/example.com/a/b?c=/d", ("example.com/a/b?c=/d",)),
        (b"/purge/http://example.com/a", ("http://example.com/a",)),
        (b"/purge/example.com/a%2Fb", ("example.com/a%2Fb",)),
        (b"/purge/example.com%2Fa%2fb", ("example.com/a/b",)),
        (b"/purge/http:%2F%2Fexample.com%2Fa?b=/c", ("http://example.com/a?b=/c",)),
        (b"/purge/example.com%2Fa%3Fb", ("example.com/a%3Fb", "example.com/a?b")),
        (b"/purge/http%3A%2F%2Fh%2Fa", ("http%3A//h/a", "http://h/a")),
        (b"/purge/h/\xc3\xa9\xff", ("h/é\ufffd",)),
    ],
)
def test_a_path_may_name_a_url(target, urls):
    assert spelled(target) == (Purge(urls=urls), ONCE)


@pytest.mark.parametrize(
    ("target", "key"),
    [
        (b"/service/x/purge/a", "a"),
        (b"/service/x/purge/a%20b%2Fc", "a b/c"),
        (b"/service/x/purge/a/b/?c=d", "a/b/"),
    ],
)
def test_a_path_may_name_a_key(target, key):
    assert spelled(target) == (Purge(keys=(key,)), ONCE)


@pytest.mark.parametrize(
    "target", [b"/service/x/purge", b"/service/x/purge/", b"/service/x/purge?y"]
)
def test_keys_may_be_in_a_field(target):
    found = spelled(target, (b"Surrogate-Key", b"a  b"), (b"surrogate-key", b"c"))
    assert found == (Purge(keys=("a", "b", "c")), {"a": "I", "b": "I", "c": "I"})


def test_keys_may_be_in_the_body():
    found = spelled(b"/service/x/purge", body=b'{"surrogate_keys": ["a b", "c"], "x": 1}')
    assert found == (Purge(keys=("a b", "c")), {"a b": "I", "c": "I"})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no surrogate keys"),
        (b" \n", "no surrogate keys"),
        (b"{}", "no surrogate keys"),
        (b'{"surrogate_keys": []}', "no surrogate keys"),
        (b'{"surrogate_keys": "a"}', "'surrogate_keys' is no list of strings"),
        (b'{"surrogate_keys": ["a", 1]}', "'surrogate_keys' is no list of strings"),
        (b"[]", "'surrogate_keys' is no list of strings"),
        (b"{", "json parse failed"),
    ],
)
def test_without_keys_nothing_is_purged(body, text):
    with pytest.raises(ItemError) as caught:
        spelled(b"/service/x/purge", body=body)
    assert caught.value.text == text


def test_so_many_keys_may_be_named_at_once():
    keys = [f"k{n}" for n in range(purges.KEYS_MAX)]
    assert spelled(b"/service/x/purge", (b"Surrogate-Key", " ".join(keys).encode()))[0].keys == (
        *keys,
    )
    with pytest.raises(ItemError) as caught:
        spelled(b"/service/x/purge", (b"Surrogate-Key", " ".join([*keys, "x"]).encode()))
    assert caught.value.text == "more than 256 surrogate keys"


SOFT = (b"Fastly-Soft-Purge", b"0")


def test_a_field_makes_it_soft_whatever_it_says():
    assert spelled(b"/purge/h/a", SOFT)[0] == Purge(urls=("h/a",), soft=True)
    assert spelled(b"/service/x/purge/a", SOFT)[0] == Purge(keys=("a",), soft=True)
    found = spelled(b"/service/x/purge", SOFT, (b"Surrogate-Key", b"a"))
    assert found[0] == Purge(keys=("a",), soft=True)


@pytest.mark.parametrize("target", [b"/service/x/purge_all", b"/service/x/purge_all/"])
def test_everything_is_purged_hard(target):
    assert spelled(target, SOFT) == (Purge(everything=True), {"status": "ok"})


@pytest.mark.parametrize(
    "target",
    [
        b"/purge",
        b"/purge/",
        b"/purges/x",
        b"/service/x/purge_all/y",
        b"/service//purge",
        b"/service/x/y/purge",
        b"/service/x/purges",
        b"/x/service/y/purge",
    ],
)
def test_other_paths_are_no_purge(target):
    assert spelled(target) is None


def test_the_method_purge_is_about_its_own_url():
    found = purges.of_url(b"http://example.com/a?b", Headers())
    assert (found.purge, found.answer("I")) == (Purge(urls=("http://example.com/a?b",)), ONCE)
    assert purges.of_url(b"http://h/", Headers([SOFT])).purge.soft

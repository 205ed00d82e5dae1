"""The member `purge` of an item: publishing.md 14.4."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import ItemError
from gripproxy.protocol import purges
from gripproxy.protocol.dialects import JSON, MSGPACK, TNETSTRING
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

"""The id of the last item of each channel."""

from gripproxy.engine.lastids import LIMIT, LastIds


def test_a_last_id_is_unknown_until_it_is_set():
    assert LastIds().get("a") is None


def test_the_id_that_was_set_last_is_the_last_one():
    ids = LastIds()
    ids.set("a", "1")
    ids.set("a", "2")
    ids.set("b", "")
    assert (ids.get("a"), ids.get("b")) == ("2", "")
    assert len(ids) == 2


def test_a_last_id_that_is_forgotten_is_unknown():
    ids = LastIds()
    ids.set("a", "1")
    ids.set("b", "1")
    ids.forget("a")
    ids.forget("c")
    assert (ids.get("a"), ids.get("b")) == (None, "1")


def test_all_can_be_forgotten():
    ids = LastIds()
    ids.set("a", "1")
    ids.clear()
    assert ids.get("a") is None
    assert len(ids) == 0


def test_of_too_many_the_one_set_longest_ago_goes():
    ids = LastIds(limit=3)
    for channel in "abca":
        ids.set(channel, "1")
    ids.get("b")
    ids.set("d", "1")
    assert [ids.get(channel) for channel in "abcd"] == ["1", None, "1", "1"]


def test_there_is_room_for_a_million():
    assert LIMIT == 1_000_000

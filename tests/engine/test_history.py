"""What was released lately: chains of items, and their bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.history import ITEM_BYTES, History
from gripproxy.protocol.formats import HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.items import PublishItem


def a_delivery(item_id, prev_id=None, *, channel="c", content=b"", **given):
    stream = HttpStream(content=content)
    return Delivery(PublishItem(channel, id=item_id, prev_id=prev_id, http_stream=stream, **given))


def a_history(*pairs, items=10, seconds=60.0, size=1_000_000, channel="c"):
    history = History(items, seconds, size)
    for item_id, prev_id in pairs:
        history.add(a_delivery(item_id, prev_id, channel=channel), 0.0)
    return history


def ids(history, position, channel="c"):
    found = history.after(channel, position)
    return None if found is None else [delivery.id for delivery in found]


CHAIN = [("6", "5"), ("7", "6"), ("8", "7")]


def test_it_tells_what_follows_a_position():
    history = a_history(*CHAIN)
    assert ids(history, "5") == ["6", "7", "8"]
    assert ids(history, "7") == ["8"]
    assert ids(history, "8") == []
    assert ids(history, "4") is None
    assert history.after("other", "5") is None
    assert len(history) == 3


@pytest.mark.parametrize(
    ("after", "last", "leads"),
    [
        ("5", "8", True),
        ("5", "7", True),
        ("7", "8", True),
        ("7", "6", False),
        ("4", "8", False),
        ("5", "9", False),
        ("5", "5", False),
        ("8", "8", False),
    ],
)
def test_it_tells_whether_one_id_leads_to_another(after, last, leads):
    assert a_history(*CHAIN).leads("c", after, last) is leads


def test_of_other_channels_it_knows_nothing():
    assert not a_history(*CHAIN).leads("other", "5", "8")


@pytest.mark.parametrize(
    "breaking",
    [
        a_delivery(None, "8"),
        a_delivery("9", "8", no_seq=True),
    ],
    ids=["no id", "no-seq"],
)
def test_what_is_outside_of_the_order_breaks_the_chain(breaking):
    history = a_history(*CHAIN)
    history.add(breaking, 0.0)
    assert ids(history, "5") is None
    assert (len(history), history.size) == (0, 0)
    history.add(breaking, 0.0)  # there is nothing to break


@pytest.mark.parametrize("prev_id", ["7", None])
def test_another_predecessor_begins_a_new_chain(prev_id):
    history = a_history(*CHAIN)
    history.add(a_delivery("9", prev_id), 0.0)
    assert ids(history, "5") is None
    assert ids(history, "9") == []
    assert len(history) == 1


def test_an_item_without_a_predecessor_can_be_gone_on_from():
    history = a_history(("1", None), ("2", "1"))
    assert ids(history, "1") == ["2"]


def test_channels_have_chains_of_their_own():
    history = a_history(*CHAIN)
    history.add(a_delivery("x", "w", channel="d"), 0.0)
    assert ids(history, "w", "d") == ["x"]
    assert ids(history, "5") == ["6", "7", "8"]


def test_so_many_items_of_a_channel_are_kept():
    history = a_history(*CHAIN, items=2)
    assert ids(history, "5") is None
    assert ids(history, "6") == ["7", "8"]
    assert history.leads("c", "6", "8")


def test_what_is_too_old_goes():
    history = a_history(*CHAIN, seconds=10.0)
    history.add(a_delivery("9", "8"), 10.1)
    assert ids(history, "8") == ["9"]
    assert ids(history, "7") is None


def test_channels_that_are_silent_for_too_long_are_forgotten():
    history = a_history(*CHAIN, seconds=10.0)
    history.add(a_delivery("1", "0", channel="d"), 10.1)
    assert ids(history, "8") is None
    assert len(history) == 1


def test_all_of_it_is_bounded_in_bytes():
    history = a_history(size=10 * ITEM_BYTES)
    for number in range(30):
        history.add(a_delivery(f"{number + 1}", f"{number}"), 0.0)
        assert history.size <= 10 * ITEM_BYTES
    assert ids(history, "20") == [str(number) for number in range(21, 31)]
    assert ids(history, "19") is None


def test_a_busy_channel_does_not_cost_a_quiet_one_its_items():
    history = a_history(*CHAIN, size=10 * ITEM_BYTES, items=1000)
    for number in range(30):
        history.add(a_delivery(f"{number + 1}", f"{number}", channel="busy"), 0.0)
    assert ids(history, "5") == ["6", "7", "8"]


def test_a_channel_whose_last_item_goes_is_forgotten():
    history = a_history(size=3 * ITEM_BYTES)
    for number in range(4):
        history.add(a_delivery("1", "0", channel=f"{number}"), 0.0)
    assert history.after("0", "0") is None
    history.add(a_delivery("x", content=b"x" * 10_000), 0.0)
    assert (len(history), history.size) == (0, 0)


def test_contents_count():
    item = PublishItem(
        "c",
        id="1",
        http_response=HttpResponse(body=b"x" * 1000),
        ws_message=WebSocketMessage(kind=1, content=b"x" * 1000),
    )
    history = a_history()
    history.add(Delivery(item), 0.0)
    history.add(Delivery(PublishItem("d", id="1", http_response=HttpResponse())), 0.0)
    assert history.size > 2 * ITEM_BYTES + 3000


def test_it_can_forget_everything():
    history = a_history(*CHAIN)
    history.clear()
    assert (len(history), history.size) == (0, 0)
    assert ids(history, "8") is None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.none() | st.integers(0, 5), st.booleans()), max_size=30
    ),
    st.integers(1, 6),
)
def test_it_is_what_a_list_would_be(items, limit):
    history = History(limit, 60.0, 1_000_000)
    kept = []
    for item_id, prev_id, no_seq in items:
        prev = None if prev_id is None else str(prev_id)
        history.add(a_delivery(str(item_id), prev, no_seq=no_seq), 0.0)
        if no_seq:
            kept = []
            continue
        if kept and kept[-1][0] != prev:
            kept = []
        kept = [*kept, (str(item_id), prev)][-limit:]
    assert len(history) == len(kept)
    for position in map(str, range(6)):
        found = ids(history, position)
        if kept and kept[-1][0] == position:
            assert found == []
            continue
        starts = [at for at, (_, prev) in enumerate(kept) if prev == position]
        assert found == ([item for item, _ in kept[starts[-1] :]] if starts else None)

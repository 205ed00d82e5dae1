"""Messages between processes, as bytes."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.cluster.wire import Decoder, Message, encode
from gripproxy.errors import PacketError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(st.tuples(st.sampled_from(Message), st.lists(VALUES, max_size=4)), max_size=4)


@given(MESSAGES, st.integers(1, 20))
def test_messages_arrive_as_they_were_however_they_are_cut(messages, size):
    data = b"".join(encode(kind, *values) for kind, values in messages)
    decoder = Decoder()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [found for piece in pieces for found in decoder.feed(piece)] == messages


def test_no_two_kinds_have_the_same_number():
    numbers = [kind.value for kind in Message.__members__.values()]
    assert len(numbers) == len(set(numbers))


@given(st.binary(max_size=50))
def test_what_is_no_message_is_refused_and_nothing_else_happens(data):
    decoder = Decoder()
    try:
        found = list(decoder.feed(data))
    except PacketError:
        return
    assert all(isinstance(kind, Message) for kind, _ in found)


@pytest.mark.parametrize("value", [5, [], [0], [999], ["text"], [None], {"a": 1}, None])
def test_what_does_not_begin_with_a_known_kind_is_refused(value):
    with pytest.raises(PacketError, match="not a message between workers"):
        list(Decoder().feed(msgpack.packb(value)))

"""`Grip-Last`."""

from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import positions
from gripproxy.protocol.headers import is_value


def test_each_channel_with_a_position_is_a_field():
    found = positions.fields({"a": "1", "b": None, "é": ""})
    assert found == [(b"Grip-Last", b"a; last-id=1"), (b"Grip-Last", b"\xc3\xa9; last-id=")]


def test_names_and_ids_are_not_quoted():
    assert positions.fields({"q1": 'a b;c,d"e'}) == [(b"Grip-Last", b'q1; last-id=a b;c,d"e')]


def test_a_line_end_in_a_name_or_an_id_makes_no_second_field():
    found = positions.fields({"a\r\nX: y": "1\n"})
    assert found == [(b"Grip-Last", b"a  X: y; last-id=1 ")]


@given(st.dictionaries(st.text(), st.text()))
def test_any_positions_are_fields(told):
    found = positions.fields(told)
    assert len(found) == len(told)
    assert all(is_value(value) for _, value in found)

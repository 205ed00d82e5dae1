"""The cstring format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import cstrings


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (b"", b""),
        (b"plain; \xff", b"plain; \xff"),
        (b"a\\nb\\r\\\\\\t", b"a\nb\r\\\t"),
        (b"\\x00\\xfF\\x7a", b"\x00\xff\x7a"),
        (b"a\\qb\\\nc", b"abc"),
        (b"\\\\n", b"\\n"),
        (b"\\\\\\", None),
        (b"a\\", None),
        (b"\\x", None),
        (b"\\x1", None),
        (b"\\xg1n", None),
        (b"\\X41", b"41"),
    ],
)
def test_escapes_stand_for_bytes(text, content):
    assert cstrings.decode(text) == content


@given(st.binary())
def test_any_bytes_can_be_written(content):
    written = b"".join(b"\\x%02x" % byte for byte in content)
    assert cstrings.decode(written) == content


@given(st.lists(st.sampled_from([b"\\", b"x", b"1", b"n", b"\n", b"\xff"])).map(b"".join))
def test_any_text_is_read_or_not(text):
    content = cstrings.decode(text)
    assert content is None or len(content) <= len(text)

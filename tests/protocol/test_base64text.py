"""Lenient base64: publishing.md 3.5."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import base64text


@given(st.binary())
def test_what_is_encoded_decodes(content):
    assert base64text.decode(base64text.encode(content)) == content


@given(st.binary())
def test_encoding_is_the_standard_one(content):
    assert base64text.encode(content) == base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A P!8", b"\x00\xff"),
        ("AP-_", b"\x00"),
        ("!!!", b""),
        ("", b""),
        ("AP8", b"\x00\xff"),
        ("AP8=", b"\x00\xff"),
        ("AP\r\n8=", b"\x00\xff"),
        ("AA==AA==", b"\x00\x00\x00"),
        ("=AP8A", b"\x00\xff\x00"),
        ("A", b""),
        ("AP8AA", b"\x00\xff\x00"),
        ("//+/", b"\xff\xff\xbf"),
        ("Aé\u20acP8\ud800", b"\x00\xff"),
    ],
)
def test_foreign_characters_are_skipped_and_left_over_bits_dropped(text, expected):
    assert base64text.decode(text) == expected


@given(st.text())
def test_no_text_is_an_error(text):
    base64text.decode(text)

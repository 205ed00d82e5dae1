"""Reason phrases: publishing.md 3.4."""

import pytest

from gripproxy.protocol.phrases import phrase

KNOWN = {
    *range(100, 103), *range(200, 209), 226, *range(300, 309), *range(400, 418),
    *range(422, 425), 426, 428, 429, 431, *range(500, 509), 510, 511,
}  # fmt: skip


def test_exactly_the_known_codes_have_a_phrase():
    assert {code for code in range(1000) if phrase(code) != b"Undefined Reason"} == KNOWN


@pytest.mark.parametrize("code", [0, 103, 418, 421, 425, 451, 999, -1, 100_000])
def test_any_other_code_is_undefined(code):
    assert phrase(code) == b"Undefined Reason"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (200, b"OK"),
        (404, b"Not Found"),
        (502, b"Bad Gateway"),
        (306, b"Reserved"),
        (413, b"Request Entity Too Large"),
        (414, b"Request-URI Too Long"),
        (416, b"Requested Range Not Satisfiable"),
        (422, b"Unprocessable Entity"),
    ],
)
def test_some_phrases_keep_their_older_wording(code, expected):
    assert phrase(code) == expected

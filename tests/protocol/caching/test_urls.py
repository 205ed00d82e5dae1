"""One spelling for URLs that mean the same: RFC 3986 6.2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol.caching import urls


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        (b"http://example.com/a?b=c", b"example.com/a?b=c"),
        (b"https://example.com/a?b=c", b"example.com/a?b=c"),
        (b"HTTP://Example.COM:8080/A", b"example.com/A"),
        (b"//example.com/a", b"example.com/a"),
        (b"example.com/a", b"example.com/a"),
        (b"example.com:80/a", b"example.com/a"),
        (b"example.com./a", b"example.com/a"),
        (b"http://user:secret@example.com/a@b", b"example.com/a@b"),
        (b"http://[::1]:80/a", b"::1/a"),
        (b"http://example.com", b"example.com/"),
        (b"http://example.com?q", b"example.com/?q"),
        (b"http://example.com/a?", b"example.com/a"),
        (b"http://example.com/a?#x", b"example.com/a"),
        (b"http://example.com/a#b?c", b"example.com/a"),
        (b"http://example.com/a??b", b"example.com/a??b"),
        (b"http://example.com/a?b=%2f%41&c=..", b"example.com/a?b=%2f%41&c=.."),
        (b"http://example.com/a/./b/../c", b"example.com/a/c"),
        (b"http://example.com/a/%2E%2e/c", b"example.com/c"),
        (b"http://example.com/../..", b"example.com/"),
        (b"http://example.com/a/..", b"example.com/"),
        (b"http://example.com/a/.", b"example.com/a/"),
        (b"http://example.com/a/", b"example.com/a/"),
        (b"http://example.com//a", b"example.com//a"),
        (b"http://example.com/%7Eu/%2f%c3%a9", b"example.com/~u/%2F%C3%A9"),
        (b'http://example.com/\xc3\xa9 \\"<', b"example.com/%C3%A9%20%5C%22%3C"),
        (b"http://example.com/100%/%zz/%%34%31", b"example.com/100%25/%25zz/%2541"),
        (b"", b"/"),
    ],
)
def test_urls_that_mean_the_same_are_spelled_alike(url, normal):
    assert urls.normal(url) == normal


def test_a_request_is_spelled_like_its_url():
    assert urls.of(b"Example.com:80", b"/a/../b?c") == urls.normal(b"http://example.com/b?c")


@given(st.text(st.sampled_from("aA.%/25eE:\\ é?"), max_size=20))
def test_a_normal_spelling_is_stable(text):
    normal = urls.normal(b"http://h/" + text.encode())
    assert urls.normal(normal) == normal


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (b"/a", b"/a"),
        (b"/a?", b"/a?"),
        (b"/a?p=1", b"/a"),
        (b"/a?p", b"/a"),
        (b"/a?x=1&p=1&y=2&p=3", b"/a?x=1&y=2"),
        (b"/a?pp=1&x", b"/a?pp=1&x"),
    ],
)
def test_a_parameter_can_be_left_out(target, left):
    assert urls.without_parameter(target, b"p") == left

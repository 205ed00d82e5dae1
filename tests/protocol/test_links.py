"""Links and what they mean where they are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import links

BASE = b"http://a/b/c/d;p?q"


# The examples of RFC 3986 5.4 as far as they lead to HTTP.
@pytest.mark.parametrize(
    ("reference", "url"),
    [
        (b"g", b"http://a/b/c/g"),
        (b"./g", b"http://a/b/c/g"),
        (b"g/", b"http://a/b/c/g/"),
        (b"/g", b"http://a/g"),
        (b"//g", b"http://g/"),
        (b"?y", b"http://a/b/c/d;p?y"),
        (b"g?y", b"http://a/b/c/g?y"),
        (b"#s", b"http://a/b/c/d;p?q"),
        (b"g#s", b"http://a/b/c/g"),
        (b"g?y#s", b"http://a/b/c/g?y"),
        (b";x", b"http://a/b/c/;x"),
        (b"", b"http://a/b/c/d;p?q"),
        (b".", b"http://a/b/c/"),
        (b"./", b"http://a/b/c/"),
        (b"..", b"http://a/b/"),
        (b"../", b"http://a/b/"),
        (b"../g", b"http://a/b/g"),
        (b"../..", b"http://a/"),
        (b"../../g", b"http://a/g"),
        (b"../../../g", b"http://a/g"),
        (b"/./g", b"http://a/g"),
        (b"/../g", b"http://a/g"),
        (b"g.", b"http://a/b/c/g."),
        (b"..g", b"http://a/b/c/..g"),
        (b"./../g", b"http://a/b/g"),
        (b"g/./h", b"http://a/b/c/g/h"),
        (b"g/../h", b"http://a/b/c/h"),
        (b"g;x=1/../y", b"http://a/b/c/y"),
        (b"g?y/../x", b"http://a/b/c/g?y/../x"),
        (b"g//h", b"http://a/b/c/g//h"),
    ],
)
def test_a_reference_is_resolved_as_rfc_3986_says(reference, url):
    assert links.resolve(BASE, reference) == url


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        (b"https://B.example:8443/x?y=/..", b"https://B.example:8443/x?y=/.."),
        (b"HTTP://b", b"http://b/"),
        (b"http://[::1]:80/x", b"http://[::1]:80/x"),
        (b"http://b:/x", b"http://b:/x"),
        (b"http://user:secret@b/x", b"http://b/x"),
    ],
)
def test_an_absolute_url_stands_for_itself(reference, url):
    assert links.resolve(BASE, reference) == url


@pytest.mark.parametrize(
    ("base", "url"),
    [(b"ws://a/s", b"http://a/n"), (b"wss://a/s", b"https://a/n"), (b"https://a", b"https://a/n")],
)
def test_the_scheme_comes_from_the_base(base, url):
    assert links.resolve(base, b"n") == url


def test_the_scheme_of_a_websocket_comes_from_the_base_only():
    assert links.resolve(b"ws://a/", b"ws://a/n") is None


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        (b"/a b", b"http://a/a%20b"),
        (b"/\r\nX: y", b"http://a/%0D%0AX:%20y"),
        ("/é?ü".encode(), b"http://a/%C3%A9?%C3%BC"),
        (b'/%20<">?{|}', b"http://a/%20%3C%22%3E?%7B%7C%7D"),
    ],
)
def test_what_may_not_stand_in_a_uri_is_encoded(reference, url):
    assert links.resolve(BASE, reference) == url


@pytest.mark.parametrize(
    "reference",
    [
        b"mailto:a@b",
        b"ftp://a/",
        b"http:",
        b"http:///x",
        b"http:g",
        b"//",
        b"//a b/",
        b"//a:x/",
        b"//a:65536/",
        b"//[::1/",
        b"//\xc3\xa9/",
        b"1http://a/",
    ],
)
def test_what_http_cannot_ask_is_nothing(reference):
    assert links.resolve(BASE, reference) is None


@pytest.mark.parametrize("base", [b"", b"/x", b"ftp://a/", b"http:///x"])
def test_a_base_that_is_no_http_url_leads_nowhere(base):
    assert links.resolve(base, b"g") is None


@pytest.mark.parametrize(
    "text", [b"", b"/a", b"a", b"?x", b"#y", b"//h/x", b"mailto:x", b"https://h", b"ftp://h/"]
)
def test_a_reference_is_one(text):
    assert links.is_reference(text)


@pytest.mark.parametrize(
    "text", [b"http:", b"http:x", b"https:///x", b"//", b"//a:x", b"1a:b", b"a b:c", b"//a:99999"]
)
def test_what_is_no_reference_is_none(text):
    assert not links.is_reference(text)


def test_a_url_is_split_for_a_request():
    parts = links.split(b"https://h:8443/a/b?c=d")
    assert parts == (b"https", b"h:8443", b"/a/b?c=d")


ANY = st.one_of(
    st.binary(),
    st.lists(st.sampled_from([b"/", b"..", b".", b"a", b":", b"?", b"#"])).map(b"".join),
)


@given(ANY)
def test_what_resolves_is_a_fit_url(reference):
    url = links.resolve(BASE, reference)
    if url is not None:
        assert links.is_reference(reference)
        assert links.resolve(b"http://other/", url) == url
        assert b"".join(links.split(url)).replace(b"//", b"").isascii()
        assert not set(url) & set(b" \r\n<>")

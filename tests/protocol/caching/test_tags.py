"""Tags of responses and of purges: cache-and-purge.md, RFC 9875."""

import pytest

from gripproxy.protocol.caching import tags
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Route, Target


def route(**told):
    return Route(domain="*", id="r", targets=(Target(kind="tcp", host="h", port=80),), **told)


def request(url=b"http://example.com/a", method=b"GET"):
    scheme, _, rest = url.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    return Request(
        method=method, target=slash + path, headers=Headers(), scheme=scheme, authority=authority
    )


URL = ("url", b"example.com/a")


def of(*pairs, asked=None, channels=(), client=None, **told):
    client = client or request()
    return tags.of(client, asked or client, route(**told), Headers(pairs), channels)


# Of a response


def test_every_response_has_its_url():
    assert of() == {URL}


def test_a_response_has_its_url_as_client_and_origin_name_it():
    asked = request(b"http://backend:8000/v1/a")
    assert of(asked=asked) == {URL, ("url", b"backend/v1/a")}


def test_keys_come_from_two_fields():
    found = of(
        (b"Surrogate-Key", b"a  b"),
        (b"Surrogate-Key", b"\tc "),
        (b"Cache-Tag", b"d e,, f"),
        (b"Cache-Tag", b" g "),
    )
    assert found == {URL, *(("key", key) for key in (b"a", b"b", b"c", b"d e", b"f", b"g"))}


def test_groups_are_keys_and_belong_to_an_origin():
    assert of((b"Cache-Groups", b'"a b";x=1, "c"')) == {
        URL,
        ("key", b"a b"),
        ("key", b"c"),
        ("group", b"http example.com 80 a b"),
        ("group", b"http example.com 80 c"),
    }


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (b"http://Example.com/", b"http example.com 80 "),
        (b"http://example.com:80/", b"http example.com 80 "),
        (b"http://example.com:8080/", b"http example.com 8080 "),
        (b"https://example.com/", b"https example.com 443 "),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, origin):
    found = of((b"Cache-Groups", b'"a"'), client=request(url))
    assert ("group", origin + b"a") in found


def test_what_is_no_string_is_no_group():
    assert of((b"Cache-Groups", b'"a", b, 1, ("c")')) >= {("key", b"a")}
    assert len(of((b"Cache-Groups", b'"a", b, 1, ("c")'))) == 3


@pytest.mark.parametrize("value", [b'"a', b'"a",', b""])
def test_groups_that_do_not_parse_are_void(value):
    assert of((b"Cache-Groups", value)) == {URL}


def test_channels_are_tags():
    assert of(channels=["pre-é", "b"]) == {URL, ("chan", "pre-é".encode()), ("chan", b"b")}


def test_keys_are_channels_on_routes_that_say_so():
    pairs = [(b"Surrogate-Key", b"a"), (b"Cache-Tag", b"b")]
    found = of(*pairs, prefix="p-", purge_channel=True)
    assert found - of(*pairs) == {("item", b"a"), ("item", b"p-a")}


def test_a_response_may_have_so_many_tags():
    keys = [b"k%d" % n for n in range(tags.TAGS_MAX)]
    assert len(of((b"Surrogate-Key", b" ".join(keys[1:])))) == tags.TAGS_MAX
    assert of((b"Surrogate-Key", b" ".join(keys))) is None


def test_a_tag_may_be_so_long():
    key = b"k" * tags.LENGTH_MAX
    assert ("key", key) in of((b"Surrogate-Key", key))
    assert of((b"Surrogate-Key", key + b"k")) is None


def test_a_url_may_be_longer():
    assert len(of(client=request(b"http://example.com/" + b"a" * 5000))) == 1


# Of a purge


def test_a_purge_names_urls_and_keys():
    purge = Purge(urls=("https://EXAMPLE.com:443/a", "example.com/é"), keys=("a b", "ü"))
    assert tags.of_purge(purge) == {
        URL,
        ("url", b"example.com/%C3%A9"),
        ("key", b"a b"),
        ("key", "ü".encode()),
    }


def test_a_purge_of_everything_names_nothing():
    assert tags.of_purge(Purge(everything=True)) == frozenset()


def test_a_purge_may_name_what_is_no_text():
    assert tags.of_purge(Purge(keys=("\ud800",))) == {("key", b"?")}


# Of a change at the origin


def invalidated(*pairs, method=b"POST", status=200, asked=None):
    client = request(method=method)
    response = Response(status=status, reason=b"", headers=Headers(pairs))
    return tags.invalidated(client, asked or client, response)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"M-SEARCH"])
@pytest.mark.parametrize("status", [200, 204, 303])
def test_an_unsafe_request_changes_its_own_url(method, status):
    assert invalidated(method=method, status=status) == {URL}


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_request_that_fails_changes_nothing(status):
    assert invalidated((b"Location", b"/b"), status=status) == frozenset()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE"])
def test_a_safe_request_changes_nothing(method):
    pairs = [(b"Location", b"/b"), (b"Cache-Group-Invalidation", b'"g"')]
    assert invalidated(*pairs, method=method) == frozenset()


@pytest.mark.parametrize("name", [b"Location", b"Content-Location"])
@pytest.mark.parametrize("value", [b"b", b"/b", b"http://EXAMPLE.com:80/b#x", b"//example.com/b"])
def test_what_it_names_at_the_same_origin_is_changed(name, value):
    assert invalidated((name, value)) == {URL, ("url", b"example.com/b")}


@pytest.mark.parametrize(
    "value", [b"https://example.com/b", b"http://example.com:8080/b", b"http://b/b", b"ftp://b/"]
)
def test_what_it_names_elsewhere_is_not(value):
    assert invalidated((b"Location", value)) == {URL}


def test_the_origin_may_name_it_by_its_own_name():
    asked = request(b"http://backend:8000/v1/a")
    found = invalidated((b"Content-Location", b"http://backend:8000/v1/b"), asked=asked)
    assert found == {URL, ("url", b"backend/v1/a"), ("url", b"backend/v1/b")}


def test_groups_of_the_same_origin_are_changed():
    found = invalidated((b"Cache-Group-Invalidation", b'"g", h, "i"'))
    assert found == {
        URL,
        ("group", b"http example.com 80 g"),
        ("group", b"http example.com 80 i"),
    }


def test_groups_can_be_asked_for_alone():
    headers = Headers([(b"Cache-Group-Invalidation", b'"g"')])
    assert tags.changed_groups(request(), headers) == {("group", b"http example.com 80 g")}

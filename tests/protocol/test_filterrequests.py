"""Requests of filters to the network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import FilterError
from gripproxy.protocol import filterrequests
from gripproxy.protocol.filterrequests import FilterRequest
from gripproxy.protocol.filters import Ask, Context, Drop
from gripproxy.protocol.headers import Headers, is_value

CHECK = Ask("http-check", b"content", 1)
MODIFY = Ask("http-modify", b"content", 1)


def request(ask, sub, pub=None, base=b"https://h/a/b?c", before=None):
    context = Context(sub_meta=sub, pub_meta=pub or {}, positions={}, subscriptions=())
    return filterrequests.request(ask, context, base=base, before=before or {})


def error_of(work, *arguments):
    with pytest.raises(FilterError) as caught:
        work(*arguments)
    return caught.value.text


def test_a_check_sends_meta_and_positions_without_a_body():
    asked = request(CHECK, {"url": "/f", "b": "é"}, {"z": "1", "a": '"'}, before={"c": "7"})
    assert asked == FilterRequest(
        b"https://h/f",
        (
            (b"Sub-Meta", '{"b":"é","url":"/f"}'.encode()),
            (b"Pub-Meta", b'{"a":"\\"","z":"1"}'),
            (b"Grip-Last", b"c; last-id=7"),
        ),
        b"",
    )


def test_a_modification_sends_the_content():
    assert request(MODIFY, {"url": "x"}).body == b"content"


def test_meta_are_always_sent():
    assert request(CHECK, {"url": "x"}).fields[1] == (b"Pub-Meta", b"{}")


def test_equal_requests_are_one_key():
    assert len({request(CHECK, {"url": "x"}), request(CHECK, {"url": "x"})}) == 1


def test_the_url_of_a_websocket_is_one_of_http():
    assert request(CHECK, {"url": "f"}, base=b"wss://h/a/b").url == b"https://h/a/f"


@pytest.mark.parametrize("sub", [{}, {"url": ""}])
def test_a_url_is_needed(sub):
    assert error_of(request, CHECK, sub) == "missing url value"


@pytest.mark.parametrize("url", ["ftp://h/", "http://", "//h:x/"])
def test_a_url_must_be_one_of_http(url):
    assert error_of(request, CHECK, {"url": url}) == "invalid url value"


@given(st.dictionaries(st.text(), st.text()), st.text())
def test_any_meta_are_fit_for_a_field(meta, url):
    try:
        asked = request(CHECK, meta | {"url": url}, meta)
    except FilterError:
        return
    assert all(is_value(value) for _, value in asked.fields)
    assert not set(asked.url) & set(b" \r\n")


def verdict(ask, status, *fields, body=b"new"):
    return filterrequests.verdict(ask, status, Headers(fields), body)


@pytest.mark.parametrize("ask", [CHECK, MODIFY])
@pytest.mark.parametrize("status", [200, 204])
def test_the_action_drop_drops(ask, status):
    assert verdict(ask, status, (b"ACTION", b"drop"), (b"Action", b"x")) is Drop.ITEM


@pytest.mark.parametrize("action", [b"Drop", b"drop;", b"", b"send"])
def test_no_other_action_does(action):
    assert verdict(CHECK, 200, (b"Action", action), (b"Action", b"drop")) == b"content"


@pytest.mark.parametrize("ask", [CHECK, MODIFY])
def test_an_answer_without_content_changes_nothing(ask):
    assert verdict(ask, 204) == b"content"


def test_a_check_changes_nothing():
    assert verdict(CHECK, 200, body=b"x" * 100_001) == b"content"


@pytest.mark.parametrize("body", [b"", b"x" * 100_000])
def test_a_modification_replaces_the_content(body):
    assert verdict(MODIFY, 200, body=body) == body


def test_a_modification_may_not_be_too_long():
    with pytest.raises(FilterError, match=r"^network response exceeded 100000 bytes$"):
        verdict(MODIFY, 200, body=b"x" * 100_001)


@pytest.mark.parametrize("status", [201, 302, 404, 500])
def test_another_status_is_an_error(status):
    text = error_of(verdict, CHECK, status, (b"Action", b"drop"))
    assert text == f"unexpected network request status: code={status}"


def test_a_request_that_failed_says_why():
    error = filterrequests.failed(filterrequests.REFUSED)
    assert error.text == "network request failed: connection refused"


def test_a_request_too_many_says_so():
    assert filterrequests.over_limit().text == "network request limit reached"

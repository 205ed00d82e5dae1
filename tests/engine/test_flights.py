"""Bodies with many readers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.flights import FlightBody
from gripproxy.engine.pipe import BUFFER_MAX
from gripproxy.errors import ExchangeError, GripProxyError
from gripproxy.protocol.headers import Headers

BROKEN = ExchangeError("http_response_incomplete", "broke off")


class Origin:
    """A source that the test feeds."""

    def __init__(self):
        self.receiver = None
        self.calls = []

    def start(self, receiver):
        self.receiver = receiver

    def pause(self):
        self.calls.append("pause")

    def resume(self):
        self.calls.append("resume")

    def abandon(self):
        self.calls.append("abandon")


class Client:
    """A receiver that keeps what it gets."""

    def __init__(self):
        self.content = b""
        self.end = None

    def body_piece(self, piece):
        self.content += piece

    def body_end(self, trailers):
        self.end = trailers or "end"

    def body_failed(self, error):
        self.end = error


class Owner:
    def __init__(self):
        self.outcome = None
        self.expects = False
        self.bytes = 0
        self.stores = True

    def storable(self):
        return self.stores

    def buffered(self, more):
        self.bytes += more

    def wanted(self):
        return self.expects

    def body_whole(self, body):
        self.outcome = ("whole", body)

    def body_broken(self, error: GripProxyError):
        self.outcome = ("broken", error)


def a_body(limit=100):
    origin, owner = Origin(), Owner()
    body = FlightBody(origin, limit, owner)
    body.begin()
    return body, origin, owner


def test_every_reader_gets_the_whole_body_whenever_he_comes():
    body, _, owner = a_body()
    early, late, last = Client(), Client(), Client()
    body.reader().start(early)
    body.body_piece(b"one ")
    body.reader().start(late)
    body.body_piece(b"two")
    body.body_end(None)
    body.reader().start(last)
    assert early.content == late.content == last.content == b"one two"
    assert early.end == late.end == last.end == "end"
    assert owner.outcome == ("whole", b"one two")
    assert body.joinable
    assert body.size == 7


def test_a_reader_that_pauses_goes_on_where_he_was():
    body, origin, _ = a_body()
    client = Client()
    reader = body.reader()
    reader.start(client)
    reader.pause()
    body.body_piece(b"one")
    assert client.content == b""
    reader.resume()
    assert client.content == b"one"
    body.body_end(Headers([(b"X", b"1")]))
    assert client.end == Headers([(b"X", b"1")])
    assert origin.calls == []


def test_a_body_that_breaks_off_breaks_off_for_all():
    body, _, owner = a_body()
    client, late = Client(), Client()
    body.reader().start(client)
    body.body_piece(b"one")
    body.body_failed(BROKEN)
    body.reader().start(late)
    assert client.end is BROKEN
    assert late.end is BROKEN
    assert owner.outcome == ("broken", BROKEN)
    assert not body.joinable


def test_a_body_too_large_to_be_kept_flows_past():
    body, _, owner = a_body(limit=5)
    client = Client()
    body.reader().start(client)
    body.body_piece(b"123")
    assert body.joinable
    body.body_piece(b"456")
    assert not body.joinable
    assert body.size == 0
    body.body_end(None)
    assert client.content == b"123456"
    assert owner.outcome == ("whole", None)


def test_the_slowest_reader_holds_the_origin_back():
    body, origin, _ = a_body(limit=5)
    quick, slow = Client(), Client()
    body.reader().start(quick)
    reader = body.reader()
    reader.start(slow)
    reader.pause()
    body.body_piece(b"x" * (BUFFER_MAX + 1))
    assert origin.calls == ["pause"]
    body.body_piece(b"y")
    assert origin.calls == ["pause"]
    reader.resume()
    assert origin.calls == ["pause", "resume"]
    assert slow.content == quick.content


def test_the_flight_goes_on_while_it_may_be_stored():
    body, origin, _ = a_body(limit=5)
    reader = body.reader()
    reader.start(Client())
    body.body_piece(b"123")
    reader.abandon()
    assert origin.calls == []


def test_what_cannot_be_stored_and_nobody_reads_is_not_wanted():
    body, origin, owner = a_body(limit=5)
    reader, other = body.reader(), body.reader()
    reader.start(Client())
    other.start(Client())
    body.body_piece(b"123456")
    reader.abandon()
    assert origin.calls == []
    other.abandon()
    assert origin.calls == ["abandon"]
    assert not body.joinable
    assert owner.outcome == ("whole", None)


def test_what_has_become_too_large_with_nobody_to_read_it_is_not_wanted():
    body, origin, owner = a_body(limit=5)
    body.body_piece(b"12345")
    assert origin.calls == []
    body.body_piece(b"6")
    assert origin.calls == ["abandon"]
    assert owner.outcome == ("whole", None)


def test_the_origin_waits_for_readers_that_have_not_begun():
    body, origin, owner = a_body(limit=5)
    owner.expects = True
    body.body_piece(b"123456")
    assert origin.calls == []
    owner.expects = False
    body.look_for_readers()
    body.look_for_readers()
    assert origin.calls == ["abandon"]


def test_leaving_an_ended_body_changes_nothing():
    body, origin, _ = a_body(limit=5)
    reader = body.reader()
    body.body_piece(b"123456")
    body.body_end(None)
    reader.abandon()
    assert origin.calls == []


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=5), max_size=12),
    limit=st.integers(0, 40),
    moves=st.lists(st.sampled_from(["pause", "resume", "none"]), min_size=12, max_size=12),
)
def test_readers_at_any_pace_see_the_same(pieces, limit, moves):
    body, _, owner = a_body(limit=limit)
    steady, fitful = Client(), Client()
    body.reader().start(steady)
    reader = body.reader()
    reader.start(fitful)
    for piece, move in zip(pieces, moves, strict=False):
        if move != "none":
            getattr(reader, move)()
        body.body_piece(piece)
    body.body_end(None)
    reader.resume()
    content = b"".join(pieces)
    assert steady.content == fitful.content == content
    assert steady.end == fitful.end == "end"
    assert owner.outcome == ("whole", content if len(content) <= limit else None)


# What it holds


def test_what_is_kept_counts_until_the_end():
    origin, owner = Origin(), Owner()
    body = FlightBody(origin, 100, owner)
    body.begin()
    origin.receiver.body_piece(b"12345")
    assert owner.bytes == 5
    origin.receiver.body_end(None)
    assert owner.bytes == 0


def test_what_every_reader_has_taken_of_a_large_body_counts_no_more():
    origin, owner = Origin(), Owner()
    body = FlightBody(origin, 6, owner)
    body.begin()
    slow = body.reader()
    origin.receiver.body_piece(b"12345")
    origin.receiver.body_piece(b"67890")
    assert owner.bytes == 10
    slow.start(Client())
    assert owner.bytes == 0
    slow.pause()
    origin.receiver.body_piece(b"x")
    origin.receiver.body_end(None)
    slow.resume()
    assert owner.bytes == 0


def test_a_body_that_breaks_off_or_is_left_counts_no_more():
    for end in ("fail", "leave"):
        origin, owner = Origin(), Owner()
        body = FlightBody(origin, 3, owner)
        owner.stores = False
        body.begin()
        reader = body.reader()
        origin.receiver.body_piece(b"12345")
        assert owner.bytes == 5
        if end == "fail":
            origin.receiver.body_failed(BROKEN)
        else:
            reader.abandon()
        assert owner.bytes == 0


def test_what_is_taken_after_the_end_was_discounted_before():
    origin, owner = Origin(), Owner()
    body = FlightBody(origin, 3, owner)
    body.begin()

    class Slow(Client):
        def body_piece(self, piece):
            super().body_piece(piece)
            reader.pause()

    reader, client = body.reader(), Slow()
    reader.start(client)
    for piece in (b"12", b"34", b"56"):
        origin.receiver.body_piece(piece)
    origin.receiver.body_end(None)
    reader.resume()
    assert (client.content, owner.bytes) == (b"1234", 0)


def test_what_can_no_longer_be_stored_is_let_go_when_nobody_reads():
    body, origin, owner = a_body()
    reader = body.reader()
    origin.receiver.body_piece(b"1")
    reader.abandon()
    assert "abandon" not in origin.calls
    origin.receiver.body_piece(b"2")
    assert "abandon" not in origin.calls
    owner.stores = False  # it was purged
    origin.receiver.body_piece(b"3")
    assert "abandon" in origin.calls
    assert owner.outcome == ("whole", None)


@pytest.mark.parametrize("end", ["end", "failed"])
def test_what_comes_of_a_body_that_was_let_go_is_nothing(end):
    body, origin, owner = a_body()
    owner.stores = False
    origin.receiver.body_piece(b"1")
    assert owner.outcome == ("whole", None)
    owner.outcome = None
    owner.stores = True
    origin.receiver.body_piece(b"2")
    if end == "end":
        origin.receiver.body_end(None)
    else:
        origin.receiver.body_failed(BROKEN)
    assert owner.outcome is None
    assert owner.bytes == 0
    assert not body.joinable

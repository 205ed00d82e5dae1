"""Bodies of origins on their way through filters."""

import pytest

from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import ExchangeError, InstructError
from gripproxy.flow.bodyfilters import BodyFilters, FilteredBody
from tests.holdfakes import FakeSource

META = {"id_format": "i"}


class Play:
    def __init__(self, *names, meta=META, debug=False):
        self.odd = []
        subscriptions = [Subscription("c", "c", None, names), Subscription("d", "d")]
        self.filters = BodyFilters(subscriptions, meta, debug=debug, odd=self.odd.append)

    def whole(self, body):
        return self.filters.apply(body, last=True)


class Receiver:
    def __init__(self):
        self.pieces = []
        self.end = None

    def body_piece(self, piece):
        self.pieces.append(piece)

    def body_end(self, trailers):
        self.end = "whole"

    def body_failed(self, error):
        self.end = error


# The filters


def test_without_filters_that_act_on_bodies_one_stays_as_it_is():
    body = b"100%"
    assert Play("var-subst", "skip-self", "unknown").whole(body) is body


def test_build_id_acts_once():
    assert Play("build-id", "build-id").whole(b"%%%%") == b"%%"


def test_an_origin_names_the_ids_itself():
    assert Play("build-id").whole(b"id: %(5)I") == b"id: 5"


def test_there_is_no_position():
    with pytest.raises(InstructError) as caught:
        Play("build-id").whole(b"id: %I")
    assert caught.value.text == (
        "filter error: build-id: No ID specified and no default ID in context at position 5"
    )


@pytest.mark.parametrize("debug", [False, True])
def test_meta_that_are_not_enough_are_an_error(debug):
    with pytest.raises(InstructError) as caught:
        Play("build-id", meta={}, debug=debug)
    assert caught.value.text == "filter error: build-id: no sub meta 'id_format'"


def test_what_only_looks_like_a_directive_stays_and_is_told_of_once():
    play = Play("build-id")
    assert play.filters.apply(b"100% or 5% of %(5)", last=False) == b"100% or 5% of "
    assert play.filters.apply(b"I, %", last=True) == b"5, %"
    assert play.odd == ["build-id: Unknown directive ' ' at position 4"]


def test_debug_makes_it_an_error():
    with pytest.raises(InstructError) as caught:
        Play("build-id", debug=True).whole(b"100% %I")
    assert caught.value.text == "filter error: build-id: Unknown directive ' ' at position 4"


# A body that comes in pieces


@pytest.fixture
def receiver():
    return Receiver()


def filtered(source, *names, **options):
    return FilteredBody(source, Play(*names).filters, **options)


def test_a_body_passes_in_pieces(receiver):
    source = FakeSource("a %(", "5)", "I b", whole=True)
    body = filtered(source, "build-id")
    body.start(receiver)
    assert receiver.pieces == [b"a ", b"5 b"]
    assert receiver.end == "whole"
    assert not source.abandoned


def test_what_was_held_back_comes_at_the_end(receiver):
    filtered(FakeSource("50%", whole=True), "build-id").start(receiver)
    assert receiver.pieces == [b"50", b"%"]


def test_whoever_wants_to_know_learns_of_the_first_bytes(receiver):
    calls = []
    source = FakeSource("%(")
    body = filtered(source, "build-id", begin=lambda: calls.append(list(receiver.pieces)))
    body.start(receiver)
    assert not body.begun
    source.piece("5)I")
    source.piece("more")
    assert calls == [[]]
    assert body.begun


def test_an_empty_body_never_begins(receiver):
    body = filtered(FakeSource(whole=True))
    body.start(receiver)
    assert not body.begun
    assert receiver.end == "whole"


@pytest.mark.parametrize("piece", ["%I", "x%("])
def test_a_filter_that_fails_breaks_it_off(receiver, piece):
    source = FakeSource(piece)
    body = FilteredBody(source, Play("build-id", debug=True).filters)
    body.start(receiver)
    if receiver.end is None:
        source.end()
    assert body.failure is receiver.end
    assert body.failure.text.startswith("filter error: build-id: ")
    assert source.abandoned


def test_a_body_that_breaks_off_breaks_off(receiver):
    source = FakeSource("a")
    body = filtered(source)
    body.start(receiver)
    source.fail()
    assert isinstance(receiver.end, ExchangeError)
    assert body.failure is None


def test_it_is_paused_and_resumed(receiver):
    source = FakeSource()
    body = filtered(source)
    body.start(receiver)
    body.pause()
    assert source.paused
    body.resume()
    assert not source.paused


def test_one_that_nobody_wants_says_nothing(receiver):
    source = FakeSource()
    body = filtered(source)
    body.start(receiver)
    body.abandon()
    assert source.abandoned
    source.piece("a")
    source.end()
    source.fail()
    assert receiver.pieces == []
    assert receiver.end is None

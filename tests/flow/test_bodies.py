"""Bodies on their way through a story: grip-http.md 1.3."""

import asyncio

import pytest

from gripproxy.errors import ClientGoneError, GripProxyError
from gripproxy.flow.bodies import KEPT_MAX, KeptBody, TooLargeError, collect
from tests.fakes import settle
from tests.flow.bodyfakes import FakeReceiver, FakeSource

ERROR = ClientGoneError()


def begun(coroutine) -> asyncio.Task:
    return asyncio.get_running_loop().create_task(coroutine)


# Collecting


async def test_bytes_are_collected_already():
    assert await collect(b"abc", 3) == b"abc"


async def test_bytes_over_the_limit_are_too_large():
    with pytest.raises(TooLargeError):
        await collect(b"abc", 2)


async def test_a_body_is_collected_up_to_its_end():
    source = FakeSource()
    source.put(b"a")
    collecting = begun(collect(source, 3))
    await settle()
    source.put(b"bc")
    source.finish()
    assert await collecting == b"abc"


async def test_a_body_over_the_limit_is_abandoned():
    source = FakeSource()
    collecting = begun(collect(source, 3))
    await settle()
    source.put(b"abcd")
    source.put(b"e")
    with pytest.raises(TooLargeError):
        await collecting
    assert source.tap.abandoned


async def test_a_body_that_ends_behind_the_limit_is_too_large():
    source = FakeSource()
    collecting = begun(collect(source, 3))
    await settle()
    source.put(b"abcd")
    source.finish()
    with pytest.raises(TooLargeError):
        await collecting


@pytest.mark.parametrize("late", [True, False])
async def test_a_body_that_breaks_off_raises_why(late):
    source = FakeSource()
    collecting = begun(collect(source, 3))
    await settle()
    source.put(b"abcd" if late else b"a")
    source.fail(ERROR)
    with pytest.raises(TooLargeError if late else ClientGoneError):
        await collecting


async def test_a_body_is_abandoned_with_whoever_collects_it():
    source = FakeSource()
    collecting = begun(collect(source, 3))
    await settle()
    collecting.cancel()
    await asyncio.wait([collecting])
    assert source.tap.abandoned


# Keeping


def started() -> tuple[FakeSource, KeptBody, FakeReceiver]:
    source, receiver = FakeSource(), FakeReceiver()
    body = KeptBody(source)
    body.start(receiver)
    return source, body, receiver


async def test_a_kept_body_passes_and_can_be_had_whole():
    source, body, receiver = started()
    source.put(b"a")
    source.put(b"b")
    source.finish()
    assert (receiver.pieces, receiver.end) == ([b"a", b"b"], "whole")
    assert await body.whole() == b"ab"
    assert body.size == 2


async def test_the_rest_of_a_body_is_read_when_it_is_wanted_whole():
    source, body, receiver = started()
    source.put(b"a")
    body.abandon()
    assert not source.tap.reading
    whole = begun(body.whole())
    await settle()
    assert source.tap.reading
    source.put(b"b")
    source.finish()
    assert await whole == b"ab"
    assert (receiver.pieces, receiver.end) == ([b"a"], None)


async def test_a_body_that_nobody_took_can_be_had_whole():
    source = FakeSource()
    source.put(b"a")
    source.finish()
    assert await KeptBody(source).whole() == b"a"


async def test_as_much_as_may_be_kept_is_kept():
    source, body, _ = started()
    source.put(b"x" * KEPT_MAX)
    source.finish()
    assert await body.whole() == b"x" * KEPT_MAX


async def test_a_body_over_what_may_be_kept_passes_and_is_not_kept():
    source, body, receiver = started()
    source.put(b"x" * KEPT_MAX)
    source.put(b"y")
    source.put(b"z")
    source.finish()
    assert receiver.content == b"x" * KEPT_MAX + b"yz"
    assert body.size == KEPT_MAX + 1
    assert not body.repeatable
    with pytest.raises(TooLargeError):
        await body.whole()


async def test_waiting_for_a_whole_body_ends_with_the_byte_too_many():
    source = FakeSource()
    whole = begun(KeptBody(source).whole())
    await settle()
    source.put(b"x" * (KEPT_MAX + 1))
    source.put(b"y")
    source.finish()
    with pytest.raises(TooLargeError):
        await whole


@pytest.mark.parametrize("before", [True, False])
async def test_a_body_that_breaks_off_cannot_be_had_whole(before):
    source, body, receiver = started()
    source.put(b"a")
    if before:
        source.fail(ERROR)
        assert receiver.end is ERROR
    whole = begun(body.whole())
    await settle()
    if not before:
        source.fail(ERROR)
    with pytest.raises(ClientGoneError):
        await whole


async def test_a_failure_behind_the_byte_too_many_is_none():
    source = FakeSource()
    whole = begun(KeptBody(source).whole())
    await settle()
    source.put(b"x" * (KEPT_MAX + 1))
    source.fail(ERROR)
    with pytest.raises(TooLargeError):
        await whole


# Again


def test_a_kept_body_can_be_taken_again_from_its_beginning():
    source, body, first = started()
    source.put(b"a")
    body.abandon()
    again = FakeReceiver()
    assert body.repeatable
    body.start(again)
    assert source.tap.reading
    source.put(b"b")
    source.finish()
    assert (again.pieces, again.end) == ([b"a", b"b"], "whole")
    assert (first.pieces, first.end) == ([b"a"], None)


def test_a_body_that_is_over_can_be_taken_again():
    source, body, _ = started()
    source.put(b"a")
    source.finish()
    again = FakeReceiver()
    body.start(again)
    assert (again.pieces, again.end) == ([b"a"], "whole")


def test_an_empty_body_can_be_taken_again():
    source, body, _ = started()
    source.finish()
    again = FakeReceiver()
    body.start(again)
    assert (again.pieces, again.end) == ([], "whole")


def test_a_body_that_broke_off_breaks_off_again():
    source, body, _ = started()
    source.put(b"a")
    source.fail(ERROR)
    again = FakeReceiver()
    body.start(again)
    assert (again.pieces, again.end) == ([b"a"], ERROR)


# Pausing


def test_who_takes_a_kept_body_can_pause_it():
    source, body, receiver = started()
    body.pause()
    source.put(b"a")
    assert (receiver.pieces, source.tap.reading) == ([], False)
    body.resume()
    assert (receiver.pieces, source.tap.reading) == ([b"a"], True)


@pytest.mark.parametrize(
    "end", [lambda source: source.finish(), lambda source: source.fail(GripProxyError())]
)
def test_a_body_that_is_over_is_abandoned_without_a_pause(end):
    source, body, _ = started()
    end(source)
    body.abandon()
    assert source.tap.reading
    assert not source.tap.abandoned


def test_a_body_that_was_not_begun_is_abandoned_without_a_pause():
    source = FakeSource()
    KeptBody(source).abandon()
    assert source.tap.reading


def test_a_body_without_a_receiver_is_kept_all_the_same():
    source, body, receiver = started()
    body.abandon()
    source.resume()
    source.put(b"a")
    source.finish()
    assert (receiver.pieces, receiver.end, body.size) == ([], None, 1)


def test_a_failure_without_a_receiver_is_kept():
    source, body, _ = started()
    body.abandon()
    source.resume()
    source.fail(ERROR)
    again = FakeReceiver()
    body.start(again)
    assert again.end is ERROR

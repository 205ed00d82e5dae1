"""Purges with a settle time: what is asked for before it is over is passed on and not stored.

An origin that reads from a replica may still say what was purged. What counts is when it was
asked, not when it answered.
"""

import pytest

from gripproxy.flow.caching import Cache
from tests.fakes import settle
from tests.flow.test_caching import Feed, Play, fresh, plain

SETTLE = 2.0
TAGGED = "Surrogate-Key: k"


@pytest.fixture
async def play():
    made = Play()
    assert isinstance(made.cache, Cache)
    yield made
    for task in made.started:
        task.cancel()
    await settle()


async def stored(play):
    """Tell whether a client is answered without the origin; else the origin says `new`."""
    before = play.asked
    client = await play.ask()
    if play.asked == before:
        return client.got.hit
    await play.answer(fresh(b"new"))
    return False


@pytest.mark.parametrize(
    ("asked", "answered", "is_stored"),
    [
        (0.0, 0.1, False),
        (1.9, 1.95, False),
        (1.9, 2.5, False),
        (0.0, 60.0, False),
        (2.0, 2.0, True),
        (2.1, 2.5, True),
    ],
)
@pytest.mark.parametrize("what", ["k", "everything", "urls"])
async def test_what_was_asked_for_before_all_has_settled_is_not_stored(
    play, what, asked, answered, is_stored
):  # row 16
    named = {"k": {}, "everything": {"everything": True}, "urls": {"urls": ("http://h/r",)}}
    await play.has(fresh())
    play.purge(*(("k",) if what == "k" else ("other",)), settle=SETTLE, **named[what])
    play.clock.advance(asked)
    first, second = await play.ask(), await play.ask()
    play.clock.advance(answered - asked)
    await play.answer(fresh(b"replica"))
    assert (first.got.body, second.got.body, play.asked) == (b"replica", b"replica", 2)
    assert await stored(play) is is_stored


async def test_what_nobody_has_carried_settles_too(play):
    play.purge(settle=SETTLE)
    play.clock.advance(1.9)
    client = await play.ask()
    play.clock.advance(0.6)
    await play.answer(fresh(b"replica"))
    assert (client.got.body, len(play.store)) == (b"replica", 0)
    assert not await stored(play)
    assert await stored(play)


async def test_what_does_not_carry_it_does_not_settle(play):
    play.purge("another", settle=SETTLE)
    await play.has(fresh())
    assert await stored(play)


async def test_a_body_that_ends_later_is_not_stored_either(play):
    play.purge(settle=SETTLE)
    play.clock.advance(1.9)
    feed = Feed()
    client = await play.ask()
    await play.answer(feed.response())
    feed.receiver.body_piece(b"repl")
    play.clock.advance(0.6)
    joined = await play.ask()
    feed.receiver.body_piece(b"ica")
    feed.receiver.body_end(None)
    await settle()
    assert (client.got.body, joined.got.body, play.asked) == (b"replica", b"replica", 1)
    assert len(play.store) == 0
    assert play.over


@pytest.mark.parametrize(("asked", "count"), [(1.9, 0), (2.1, 1)])
async def test_a_part_is_stored_by_the_same_rule(play, asked, count):
    play.purge(settle=SETTLE)
    play.clock.advance(asked)
    client = await play.ask("Range: bytes=0-1")
    play.clock.advance(1.0)
    lines = ("Cache-Control: max-age=60", TAGGED, "Content-Range: bytes 0-1/5")
    await play.answer(plain(b"ab", *lines, status=206))
    assert (client.got.status, len(play.store)) == (206, count)


@pytest.mark.parametrize(("asked", "is_stored"), [(1.9, False), (2.1, True)])
async def test_a_304_freshens_nothing_meanwhile(play, asked, is_stored):
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.purge(soft=True, settle=SETTLE)
    play.clock.advance(asked)
    first, second = await play.ask(), await play.ask()
    assert play.last["If-None-Match"] == '"a"'
    play.clock.advance(0.6)
    await play.answer(plain(b"", "Cache-Control: max-age=60", status=304))
    assert (first.got.body, second.got.body, play.asked) == (b"old", b"old", 2)
    assert await stored(play) is is_stored


async def test_a_304_that_brings_the_key_freshens_nothing_either(play):
    await play.has(plain(b"old", "Cache-Control: max-age=60", 'ETag: "a"'))
    play.clock.advance(61)
    play.purge(settle=SETTLE)
    client = await play.ask()
    await play.answer(plain(b"", "Cache-Control: max-age=60", TAGGED, status=304))
    assert client.got.body == b"old"
    assert not await stored(play)


async def test_a_304_to_one_who_asked_before_the_purge_freshens_nothing(play):
    await play.has(fresh(b"old", 'ETag: "a"'))
    play.clock.advance(61)
    client = await play.ask()
    play.purge(soft=True, settle=SETTLE)
    play.clock.advance(3)
    await play.answer(plain(b"", "Cache-Control: max-age=60", status=304))
    assert client.got.body == b"old"
    assert not await stored(play)


async def test_the_longest_of_several_settle_times_counts(play):
    play.purge(settle=SETTLE)
    play.purge(settle=1.0)
    play.purge()
    play.clock.advance(1.9)
    await play.has(fresh(b"replica"))
    assert len(play.store) == 0


async def test_what_is_not_stored_meanwhile_is_still_asked_for_once(play):
    play.purge(settle=SETTLE)
    for count in (1, 2):
        clients = [await play.ask() for _ in range(10)]
        assert play.asked == count
        await play.answer(fresh(b"replica"))
        assert {client.got.body for client in clients} == {b"replica"}


async def test_what_was_stored_before_a_soft_purge_is_served_as_it_may_be(play):
    lines = ("Cache-Control: max-age=60, stale-while-revalidate=60", TAGGED)
    await play.has(plain(b"old", *lines))
    play.purge(soft=True, settle=SETTLE)
    for number in range(3):
        assert ((await play.ask()).got.body, play.asked) == (b"old", number + 2)
        await play.answer(plain(b"replica", *lines))
    play.clock.advance(2.1)
    await play.ask()
    await play.answer(plain(b"new", *lines))
    assert (await play.ask()).got.body == b"new"

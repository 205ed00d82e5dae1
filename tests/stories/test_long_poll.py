"""Long-polls: a request waits until there is something to say."""

from gripproxy.protocol.formats import Action
from tests.holdfakes import in_virtual_time
from tests.world import World, text_of

NOTHING_NEW = ("Grip-Hold: response", "Grip-Channel: news", "Content-Type: text/plain")


@in_virtual_time
async def test_an_item_answers_whoever_waits():
    world = World()
    one, two = await world.ask("/news"), await world.ask("/news")
    await world.answer(*NOTHING_NEW, body="nothing new")
    await world.answer(*NOTHING_NEW, body="nothing new")
    assert text_of(one) is text_of(two) is None

    await world.publish("news", "it rains", headers=((b"X-Urgent", b"no"),))
    assert text_of(one) == text_of(two) == (200, "it rains")
    assert list(one.finished.headers) == [
        (b"Content-Type", b"text/plain"),
        (b"X-Urgent", b"no"),
    ]


@in_virtual_time
async def test_in_time_the_origins_own_answer_is_sent():
    world = World()
    client = await world.ask("/news")
    await world.answer(*NOTHING_NEW, "Grip-Timeout: 30", "Grip-Status: 304", body="")
    await world.wait(29)
    assert text_of(client) is None
    await world.wait(1)
    assert text_of(client) == (304, "")


@in_virtual_time
async def test_a_hint_makes_the_origin_answer_each_client_anew():
    world = World()
    client = await world.ask("/news", "Cookie: alice")
    await world.answer(*NOTHING_NEW, body="nothing new")
    world.asked()

    await world.publish("news", action=Action.HINT)
    assert world.asked() == ["GET origin:80/news, Cookie: alice"]
    await world.answer("Content-Type: text/plain", body="for alice")
    assert text_of(client) == (200, "for alice")


@in_virtual_time
async def test_a_client_that_missed_an_item_is_not_held():
    world = World()
    one = await world.ask("/news")
    await world.answer(*NOTHING_NEW)
    await world.publish("news", "seven", id="7", prev_id="6")
    assert text_of(one) == (200, "seven")

    late = await world.ask("/news")
    await world.answer("Grip-Hold: response", "Grip-Channel: news; prev-id=6")
    assert world.asked()[-1] == "GET origin:80/news, Grip-Last: news; last-id=6"
    await world.answer(body="seven")
    assert text_of(late) == (200, "seven")


@in_virtual_time
async def test_a_gap_is_healed_by_asking_again():
    world = World()
    client = await world.ask("/news")
    await world.answer("Grip-Hold: response", "Grip-Channel: news; prev-id=6")
    world.asked()

    await world.publish("news", "eight", id="8", prev_id="7")
    assert text_of(client) is None
    await world.wait(0.1)
    assert world.asked() == ["GET origin:80/news, Grip-Last: news; last-id=6"]
    await world.answer(body="seven, eight")
    assert text_of(client) == (200, "seven, eight")


@in_virtual_time
async def test_a_client_that_leaves_is_forgotten_and_the_origin_told():
    world = World()
    client = await world.ask("/news")
    await world.answer(*NOTHING_NEW, "Grip-Link: </left?client=1>; rel=gone")
    world.asked()

    client.leave()
    await world.wait()
    assert world.asked() == ["POST origin:80/left?client=1"]
    await world.publish("news", "it rains")
    assert text_of(client) is None


@in_virtual_time
async def test_two_who_ask_again_at_once_both_find_that_they_missed_an_item():
    world = World()
    hold = ("Grip-Hold: response", "Grip-Channel: c; prev-id=0")
    clients = []
    for _ in range(2):
        clients.append(await world.ask("/p"))
        await world.answer(*hold)
    watcher = await world.ask("/s")
    await world.answer("Grip-Hold: stream", "Grip-Channel: c")
    await world.publish("c", action=Action.HINT, no_seq=True, id="x", prev_id="0")
    world.asked()
    await world.publish("c", "one", id="1", prev_id="0")
    await world.answer(*hold)
    await world.answer(*hold)
    assert world.asked() == ["GET origin:80/p, Grip-Last: c; last-id=0"] * 2
    for client in clients:
        await world.answer(body="one")
        assert client.answered.body == b"one"
    assert watcher.heard()

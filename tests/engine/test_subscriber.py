"""A WebSocket as a receiver of what is published."""

import pytest

from gripproxy.engine.delivery import Delivery
from gripproxy.errors import FilterError
from gripproxy.protocol import filters
from gripproxy.protocol.formats import Action, WebSocketMessage
from gripproxy.protocol.formats import Kind as Format
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.wsdeflate import Agreement
from tests.engine.playing import NOW, Play


@pytest.fixture
def play():
    play = Play()
    play.control("subscribe", channel="c")
    return play


# What is published (6)


@pytest.mark.parametrize(
    ("kind", "heard"),
    [
        (Format.TEXT, "text"),
        (Format.BINARY, "binary"),
        (Format.PING, "ping"),
        (Format.PONG, "pong"),
    ],
)
def test_a_published_message_keeps_its_kind(play, kind, heard):
    play.publish("x", kind=kind)
    assert play.client.heard() == [(heard, "x")]


def test_a_published_hint_does_nothing(play):
    play.act(Action.HINT)
    assert play.client.heard() == []


def test_a_published_refresh_lets_the_origin_speak(play):
    play.act(Action.REFRESH)
    assert play.outside.calls == ["refresh"]


def test_an_item_for_others_is_none_for_a_socket(play):
    play.session.deliver(Delivery(PublishItem("c")), NOW)
    close = WebSocketMessage(Action.CLOSE)
    play.session.deliver(Delivery(PublishItem("other", ws_message=close)), NOW)
    assert play.client.heard() == []


def test_text_that_is_not_utf8_is_not_sent(play):
    play.publish(b"\xff")
    assert play.client.heard() == []


def test_all_receivers_get_the_same_bytes():
    plays = [Play(deflate=Agreement(fresh=True)) for _ in range(2)]
    delivery = Delivery(PublishItem("c", ws_message=WebSocketMessage(content=b"x" * 1000)))
    frames = []
    for play in plays:
        play.client.write = frames.append
        play.control("subscribe", channel="c")
        play.session.deliver(delivery, NOW)
    assert frames[0] is frames[1]
    assert frames[0][0] & 0x40


def test_a_stalled_client_is_written_to_until_too_much_waits(play):
    play.client.stalls(play.hub.queue_bytes - 1)
    play.publish("fits")
    play.client.stalls(play.hub.queue_bytes)
    play.publish("no")
    assert play.client.heard() == [("text", "fits")]
    assert play.notices.drops == [("c", "slow")]


def test_published_messages_wait_for_the_end_of_a_message(play):
    play.says("m:a", last=False)
    play.publish("1")
    play.publish("2", kind=Format.PING)
    assert play.client.heard() == [("text+", "a")]
    play.says("b", first=False)
    play.publish("3")
    assert play.client.heard() == [("+text", "b"), ("text", "1"), ("ping", "2"), ("text", "3")]


def test_what_waits_for_the_end_of_a_message_is_counted_if_the_client_leaves(play):
    play.says("m:a", last=False)
    play.publish("1")
    play.publish("2")
    play.client.vanishes()
    assert play.notices.waited_in_vain == 2


def test_what_waits_for_the_end_of_a_message_is_bounded():
    play = Play(queue_bytes=100)
    play.control("subscribe", channel="c")
    play.says("m:a", last=False)
    for _ in range(5):
        play.publish("x" * 40)
    play.says("b", first=False)
    assert len([said for said in play.client.heard() if said[1] == "x" * 40]) == 3
    assert play.notices.drops == [("c", "slow")] * 2


# Filters (6.4)


def test_a_filter_drops_an_item(play):
    play.control("set-meta", name="user", value="u")
    play.control("subscribe", channel="c", filters=["skip-self"])
    play.publish("1", meta={"sender": "u"})
    play.publish("2", meta={"sender": "v"})
    assert play.client.heard() == [("text", "2")]


def test_a_filter_changes_a_content(play):
    play.control("set-meta", name="who", value="you")
    play.control("subscribe", channel="c", filters=["var-subst"])
    play.publish("hi %(who)s", content_filters=("var-subst",))
    assert play.client.heard() == [("text", "hi you")]


def test_a_changed_content_is_compressed_where_that_was_agreed_on():
    play = Play(deflate=Agreement(fresh=True))
    play.control("set-meta", name="who", value="y" * 1000)
    play.control("subscribe", channel="c", filters=["var-subst"])
    play.publish("%(who)s", content_filters=("var-subst",))
    assert len(play.client.transport.written) < 100
    assert play.client.heard() == [("text", "y" * 1000)]


def test_content_filters_that_differ_skip_the_item(play):
    play.publish("x", content_filters=("var-subst",))
    assert play.client.heard() == []
    assert play.notices.failures[0][0] == "c"


def test_an_empty_list_of_content_filters_is_that_of_a_plain_subscription(play):
    play.publish("x", content_filters=())
    assert play.client.heard() == [("text", "x")]


def test_an_item_that_no_filter_changes_is_rendered_again(play):
    play.control("subscribe", channel="c", filters=["var-subst"])
    play.publish("x", content_filters=("var-subst",))
    assert play.client.heard() == [("text", "x")]


def test_with_debug_a_mismatch_ends_the_connection():
    play = Play(debug=True)
    play.control("subscribe", channel="c")
    play.publish("x", content_filters=("build-id",))
    text = "content filter mismatch: subscription= message=build-id"
    assert play.client.heard() == [("close", 1011, text)]


def test_items_wait_for_one_that_asks_the_network(play):
    play.control("subscribe", channel="c", filters=["http-check"])
    play.control("subscribe", channel="d")
    play.publish("1")
    play.publish("2", channel="d")
    assert play.client.heard() == []
    play.hub.network.answer(b"1", NOW)
    assert play.client.heard() == [("text", "1"), ("text", "2")]


def test_an_item_behind_may_ask_the_network_too(play):
    play.control("subscribe", channel="c", filters=["http-check"])
    for content in "123":
        play.publish(content)
    assert len(play.hub.network.questions) == 1
    play.hub.network.answer(filters.Drop.ITEM, NOW)
    play.hub.network.answer(b"2", NOW)
    play.hub.network.answer(FilterError("http-check: no"), NOW)
    assert play.client.heard() == [("text", "2")]
    assert play.notices.failures == [("c", "filter error: http-check: no")]


def test_what_waits_for_the_network_is_bounded():
    play = Play(queue_bytes=100)
    play.control("subscribe", channel="c", filters=["http-check"])
    for _ in range(6):
        play.publish("x" * 40)
    assert play.notices.drops == [("c", "slow")] * 2


def test_an_answer_of_the_network_may_come_too_late(play):
    play.control("subscribe", channel="c", filters=["http-check"])
    play.publish("1")
    play.client.vanishes()
    play.hub.network.answer(b"1", NOW)
    assert play.client.heard() == []


def test_a_failing_filter_of_the_network_ends_it_with_debug():
    play = Play(debug=True)
    play.control("subscribe", channel="c", filters=["http-check"])
    play.publish("1")
    play.publish("2")
    play.hub.network.answer(FilterError("http-check: no"), NOW)
    assert play.client.heard() == [("close", 1011, "filter error: http-check: no")]


def test_filters_of_the_network_know_the_uri(play):
    assert play.session.url == b"ws://h/"


def test_what_looks_like_a_directive_and_is_none_is_told(play):
    play.control("subscribe", channel="c", filters=["build-id"])
    play.publish("100%", content_filters=("build-id",))
    assert len(play.notices.odd) == 1


# Closing


def test_a_refresh_is_for_the_origin(play):
    play.act(Action.REFRESH)
    assert play.outside.calls == ["refresh"]


def test_a_close_does_not_overtake_what_was_published_before(play):
    play.says("m:a", last=False)
    play.publish("1")
    play.act(Action.CLOSE, code=4000)
    play.publish("2")
    play.says("b", first=False)
    assert play.client.heard() == [
        ("text+", "a"),
        ("+text", "b"),
        ("text", "1"),
        ("close", 4000, ""),
    ]


def test_it_does_not_wait_for_ever(play):
    play.says("m:a", last=False)
    play.publish("1")
    play.act(Action.CLOSE, code=4000)
    assert play.at(NOW + 10) == [("text+", "a"), ("close", 4000, "")]
    assert play.notices.waited_in_vain == 1


def test_a_closed_client_gets_nothing_more(play):
    play.act(Action.CLOSE)
    play.publish("x")
    assert play.client.heard() == [("close", 1000, "")]

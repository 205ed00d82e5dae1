"""A client's WebSocket: what reaches it, what controls it, how it ends."""

import pytest

from gripproxy.engine.channels import Kind
from gripproxy.engine.sockets import CLOSE_TIMEOUT, State
from gripproxy.protocol import wsframes
from gripproxy.protocol.formats import Action
from gripproxy.protocol.wscontrol import SendDelayed
from gripproxy.protocol.wsframes import BINARY, PING, PONG, TEXT
from tests.engine.playing import NOW, Play


@pytest.fixture
def play():
    play = Play()
    play.control("subscribe", channel="c")
    return play


# The registry


def test_a_session_is_found_by_its_connection_id(play):
    assert play.sessions.find("cid") is play.session
    assert play.sessions.find("other") is None
    assert list(play.sessions) == [play.session]
    assert len(play.sessions) == 1


def test_a_session_that_has_ended_is_found_no_more(play):
    play.client.vanishes()
    assert len(play.sessions) == 0
    assert play.hub.statistics().sockets == 0
    assert play.notices.last == ["c"]


def test_a_session_says_what_it_is(play):
    assert repr(play.session) == "<SocketSession cid open ['c']>"


# The origin's messages (3.3)


@pytest.mark.parametrize(
    ("prefix", "opcode", "message", "heard"),
    [
        (b"m:", TEXT, "m:hi", [("text", "hi")]),
        (b"m:", BINARY, "m:hi", [("binary", "hi")]),
        (b"m:", TEXT, "hi", []),
        (b"m:", BINARY, "c:{}", []),
        (b"m:", TEXT, "", []),
        (b"", TEXT, "hi", [("text", "hi")]),
        (b"", TEXT, "", [("text", "")]),
        (b"c:", TEXT, "c:hi", []),
        (b"c:", BINARY, "c:hi", [("binary", "hi")]),
        (None, TEXT, "c:{}", [("text", "c:{}")]),
        (None, BINARY, "m:hi", [("binary", "m:hi")]),
        (b"m:", PING, "hi", [("ping", "hi")]),
        (b"m:", PONG, "hi", [("pong", "hi")]),
    ],
)
def test_a_message_of_the_origin_is_judged_by_its_first_bytes(prefix, opcode, message, heard):
    play = Play(prefix=prefix)
    play.says(message, opcode=opcode)
    assert play.client.heard() == heard


def test_a_message_without_the_prefix_is_dropped_and_told(play):
    play.says("hi")
    assert play.outside.ignored_texts == ["dropping unprefixed message"]


def test_all_pieces_of_a_dropped_message_are_dropped(play):
    play.says("no", last=False)
    play.says("m:rest", first=False)
    assert play.client.heard() == []


def test_a_prefix_may_be_split_over_pieces(play):
    play.says("m", last=False)
    play.says(":he", first=False, last=False)
    play.says("llo", first=False)
    assert play.client.heard() == [("text+", "he"), ("+text", "llo")]


def test_pieces_go_on_as_they_come(play):
    play.says("m:a", last=False)
    assert play.client.heard() == [("text+", "a")]
    play.says("b", first=False, last=False)
    assert play.client.heard() == [("+text+", "b")]
    play.says("c", first=False)
    assert play.client.heard() == [("+text", "c")]


def test_a_control_message_may_be_split_over_pieces(play):
    play.says("c", last=False)
    play.says(':{"type": "subscribe", ', first=False, last=False)
    play.says('"channel": "d"}', first=False)
    assert list(play.session.subscriptions) == ["c", "d"]
    assert play.client.heard() == []


def test_a_ping_between_pieces_goes_at_once(play):
    play.says("m:a", last=False)
    play.says("p", opcode=PING)
    play.says("b", first=False)
    assert play.client.heard() == [("text+", "a"), ("ping", "p"), ("+text", "b")]


@pytest.mark.parametrize("whole", [True, False])
def test_a_control_message_that_is_too_long_is_ignored(play, whole):
    text = "c:" + "x" * 65_537
    if whole:
        play.says(text)
    else:
        play.says(text[:10], last=False)
        play.says(text[10:], first=False, last=False)
        play.says("more", first=False)
    assert play.outside.ignored_texts == ["control message over 65536 bytes"]


def test_a_control_message_that_is_not_understood_is_ignored(play):
    play.says("c:no")
    play.says("c:" + " " * 1000)
    assert play.outside.ignored_texts == ["control message is not JSON"] * 2


# Controls (5)


def test_a_subscriber_gets_what_is_published(play):
    assert play.publish("hi") == 1
    assert play.client.heard() == [("text", "hi")]
    assert play.outside.channels == ["c"]


def test_the_prefix_of_the_route_is_put_before_channels():
    play = Play(channel_prefix="p-")
    play.control("subscribe", channel="c")
    assert play.outside.channels == ["p-c"]
    play.control("unsubscribe", channel="c")
    assert play.session.subscriptions == {}


def test_an_unsubscribed_channel_is_silent(play):
    play.control("unsubscribe", channel="c")
    assert play.publish() == 0


def test_unsubscribing_what_is_not_held_does_nothing(play):
    play.control("unsubscribe", channel="other")
    assert list(play.session.subscriptions) == ["c"]


def test_channels_of_the_target_are_held_from_the_start():
    play = Play(implicit=("s",), channel_prefix="p-")
    play.control("unsubscribe", channel="s")
    play.publish("hi", channel="s")
    assert play.client.heard() == [("text", "hi")]


def test_a_channel_of_the_target_cannot_be_unsubscribed():
    play = Play(implicit=("s",))
    play.control("unsubscribe", channel="s")
    assert play.publish("hi", channel="s") == 1


def test_a_channel_of_the_target_may_get_filters():
    play = Play(implicit=("s",))
    play.control("set-meta", name="user", value="u")
    play.control("subscribe", channel="s", filters=["skip-self"])
    play.publish("hi", channel="s", meta={"sender": "u"})
    assert play.client.heard() == []


def test_more_channels_than_allowed_are_ignored():
    play = Play(implicit=("s",), subscription_max=3)
    for channel in "abc":
        play.control("subscribe", channel=channel)
    assert list(play.session.subscriptions) == ["s", "a", "b"]
    assert play.outside.channels == ["a", "b"]


def test_at_the_limit_subscribing_again_is_ignored_too():
    play = Play(subscription_max=1)
    play.control("subscribe", channel="a")
    play.control("subscribe", channel="a", filters=["skip-self"])
    assert play.session.subscriptions["a"].filters is None


def test_subscribing_again_replaces_the_filters(play):
    play.control("set-meta", name="user", value="u")
    play.control("subscribe", channel="c", filters=["skip-self"])
    play.publish("1", meta={"sender": "u"})
    play.control("subscribe", channel="c")
    play.publish("2", meta={"sender": "u"})
    assert play.client.heard() == [("text", "2")]


@pytest.mark.parametrize(
    ("debug", "reason"), [(True, "too many filters for channel 'd'"), (False, "")]
)
def test_too_many_filters_end_the_connection(debug, reason):
    play = Play(debug=debug, channel_prefix="p-")
    play.control("subscribe", channel="d", filters=["skip-self"] * 6)
    assert play.client.heard() == [("close", 1011, reason)]
    assert play.outside.calls == [("gone", 1011)]


def test_a_session_id_is_kept_and_removed(play):
    play.control("session", id="s")
    assert play.session.session_id == "s"
    play.control("session")
    assert play.session.session_id is None


def test_meta_is_set_and_removed(play):
    play.control("set-meta", name="a", value="1")
    play.control("set-meta", name="b", value="")
    assert play.session.meta == {"a": "1", "b": ""}
    play.control("set-meta", name="a")
    play.control("set-meta", name="b", value=None)
    assert play.session.meta == {}


def test_meta_of_one_session_is_not_that_of_another(play):
    other = Play()
    play.control("set-meta", name="a", value="1")
    assert other.session.meta == {}


# Keep-alive (5.6)


def test_an_idle_client_gets_the_keep_alive(play):
    play.control("keep-alive", content="k", timeout=10)
    assert play.at(NOW + 9) == []
    assert play.at(NOW + 10) == [("text", "k")]
    assert play.at(NOW + 20) == [("text", "k")]
    assert play.notices.kept == [(Kind.SOCKET, 1)] * 2


def test_a_client_that_hears_something_is_not_idle(play):
    play.control("keep-alive", content="k", timeout=10)
    play.publish("x", now=NOW + 8)
    assert play.at(NOW + 10) == [("text", "x")]
    assert play.at(NOW + 17) == []
    assert play.at(NOW + 18) == [("text", "k")]


def test_each_wait_is_shortened_by_part_of_a_second():
    play = Play(random=lambda: 0.75)
    play.control("keep-alive", content="k", timeout=10)
    assert play.hub.next_deadline() == NOW + 9.25
    assert play.at(NOW + 9.25) == [("text", "k")]


def test_a_wait_is_at_least_half_as_long():
    play = Play(random=lambda: 0.75)
    play.control("keep-alive", content="k", timeout=1)
    assert play.hub.next_deadline() == NOW + 0.5


def test_in_interval_mode_it_comes_whatever_happens(play):
    play.control("keep-alive", content="k", timeout=10, mode="interval")
    play.publish("x", now=NOW + 9)
    assert play.at(NOW + 10) == [("text", "x"), ("text", "k")]


@pytest.mark.parametrize(
    ("kind", "heard"), [("binary", "binary"), ("ping", "ping"), ("pong", "pong")]
)
def test_a_keep_alive_may_be_of_any_kind(play, kind, heard):
    play.control("keep-alive", content="", message_type=kind, timeout=10)
    assert play.at(NOW + 10) == [(heard, "")]


def test_a_new_keep_alive_replaces_the_old_one(play):
    play.control("keep-alive", content="a", timeout=10)
    play.control("keep-alive", content="b", timeout=20)
    assert play.at(NOW + 10) == []
    assert play.at(NOW + 20) == [("text", "b")]


def test_without_content_it_is_switched_off(play):
    play.control("keep-alive", content="a", timeout=10)
    play.control("keep-alive")
    assert len(play.hub.deadlines) == 0
    assert play.at(NOW + 100) == []


def test_our_own_pings_rest_while_it_is_on(play):
    play.control("keep-alive", content="a", timeout=10)
    assert not play.client.pings
    play.control("keep-alive")
    assert play.client.pings


@pytest.mark.parametrize("hindrance", ["stalled", "in a message"])
def test_one_that_the_client_cannot_take_is_dropped(play, hindrance):
    play.control("keep-alive", content="k", timeout=10)
    if hindrance == "stalled":
        play.client.stalls()
    else:
        play.says("m:a", last=False)
    assert ("text", "k") not in play.at(NOW + 10)
    if hindrance == "stalled":
        play.client.reads_on()
    else:
        play.says("b", first=False, now=NOW + 10)
    assert ("text", "k") in play.at(NOW + 20)


def test_a_late_keep_alive_moment_finds_it_switched_off(play):
    play.session.due(NOW)
    play.session._keep_at = NOW
    play.session.due(NOW)
    assert play.session._keep_at is None


# Delayed (5.7, 5.8)


def test_a_delayed_message_comes_in_time(play):
    play.control("send-delayed", content="d", timeout=5)
    assert play.at(NOW + 4) == []
    assert play.at(NOW + 5) == [("text", "d")]
    assert play.at(NOW + 10) == []


def test_a_second_delayed_message_sends_the_first(play):
    play.control("send-delayed", content="1", timeout=5)
    play.control("send-delayed", content="2", timeout=5)
    assert play.client.heard() == [("text", "1")]
    assert play.at(NOW + 5) == [("text", "2")]


def test_a_delayed_message_is_flushed(play):
    play.control("send-delayed", timeout=5)
    play.control("flush-delayed")
    play.control("flush-delayed")
    assert play.client.heard() == [("text", "")]
    assert play.at(NOW + 5) == []


def test_a_delayed_message_waits_for_the_end_of_a_message(play):
    play.says("m:a", last=False)
    play.session.obey(SendDelayed(opcode=TEXT, content=b"d", timeout=1), NOW)
    play.at(NOW + 1)
    play.says("b", first=False)
    assert play.client.heard() == [("+text", "b"), ("text", "d")]


def test_a_delayed_message_is_not_dropped_when_the_client_stalls(play):
    play.client.stalls(10**9)
    play.control("send-delayed", content="d", timeout=1)
    assert play.at(NOW + 1) == [("text", "d")]


# The states (9.1)


def test_what_the_client_says_goes_to_the_out_side(play):
    play.client.text("hi")
    play.client.says(PING, "p")
    play.client.says(PONG, "q")
    assert play.outside.calls == [
        ("take", TEXT, b"hi"),
        ("take", PING, b"p"),
        ("take", PONG, b"q"),
    ]


def test_a_close_of_the_client_goes_to_the_out_side(play):
    play.client.closes(4000, "why")
    assert play.outside.calls == [("close", 4000, "why")]
    assert play.client.heard() == []
    assert play.session.state is State.CLOSING_OUT


@pytest.mark.parametrize(
    ("code", "reason", "heard"), [(4001, "ok", (4001, "ok")), (None, "", (1000, ""))]
)
def test_the_answer_to_it_goes_to_the_client(play, code, reason, heard):
    play.client.closes(4000, "why")
    play.session.outside_closed(code, reason, NOW)
    assert play.client.heard() == [("close", *heard)]
    assert play.client.transport.closed
    assert play.outside.calls[1:] == [("gone", None)]


def test_messages_of_the_origin_before_its_answer_are_delivered(play):
    play.client.closes()
    play.says("m:last words")
    assert play.client.heard() == [("text", "last words")]


def test_nothing_published_follows_a_close_of_the_client(play):
    play.client.closes()
    play.publish()
    play.act(Action.CLOSE)
    play.act(Action.REFRESH)
    assert play.client.heard() == []
    assert play.outside.calls == [("close", 1000, "")]


@pytest.mark.parametrize(("code", "echo"), [(4000, 4000), (None, 1000)])
def test_an_origin_that_does_not_answer_a_close_is_answered_for(play, code, echo):
    play.client.closes(code)
    play.session.outside_done(NOW)
    assert play.client.heard() == [("close", echo, "")]
    assert play.session.state is State.ENDED


def test_after_ten_seconds_the_client_is_answered_anyway(play):
    play.client.closes(4000)
    assert play.at(NOW + CLOSE_TIMEOUT - 1) == []
    assert play.at(NOW + CLOSE_TIMEOUT) == [("close", 4000, "")]
    assert play.outside.calls[-1] == ("gone", None)


@pytest.mark.parametrize(
    ("code", "reason", "heard"), [(4001, "go", (4001, "go")), (None, "", (1000, ""))]
)
def test_a_close_of_the_origin_goes_to_the_client(play, code, reason, heard):
    play.session.outside_closed(code, reason, NOW)
    assert play.client.heard() == [("close", *heard)]
    assert play.session.state is State.CLOSING_IN


def test_the_clients_answer_goes_to_the_out_side(play):
    play.session.outside_closed(4001, "go", NOW)
    play.client.text("still")
    play.client.closes(4001, "gone")
    assert play.outside.calls == [
        ("take", TEXT, b"still"),
        ("close", 4001, "gone"),
        ("gone", None),
    ]
    assert play.client.transport.closed


def test_nothing_follows_a_close_of_the_origin(play):
    play.session.outside_closed(1000, "", NOW)
    play.client.heard()
    play.says("m:late")
    play.publish()
    play.session.outside_closed(1001, "", NOW)
    assert play.client.heard() == []


def test_a_client_that_does_not_answer_is_dropped_after_ten_seconds(play):
    play.session.outside_closed(1000, "", NOW)
    play.at(NOW + CLOSE_TIMEOUT)
    assert play.client.transport.closed
    assert play.outside.calls == [("gone", None)]


def test_an_origin_that_vanishes_after_its_close_changes_nothing(play):
    play.session.outside_closed(1000, "", NOW)
    play.session.outside_failed(NOW)
    assert play.client.heard() == [("close", 1000, "")]
    assert play.session.state is State.CLOSING_IN


def test_a_published_close_goes_to_both(play):
    play.act(Action.CLOSE, code=4002, reason="bye")
    assert play.client.heard() == [("close", 4002, "bye")]
    assert play.outside.calls == [("close", None, "")]
    assert play.session.state is State.CLOSING_BOTH


def test_after_a_published_close_only_the_clients_close_counts(play):
    play.act(Action.CLOSE)
    play.publish()
    play.client.text("x")
    play.says("m:x")
    play.session.outside_closed(1000, "", NOW)
    play.session.outside_failed(NOW)
    play.session.outside_done(NOW)
    assert play.client.heard() == [("close", 1000, "")]
    play.client.closes()
    assert play.outside.calls == [("close", None, ""), ("gone", None)]
    assert play.client.transport.closed


def test_a_published_close_that_nobody_answers_ends_after_ten_seconds(play):
    play.act(Action.CLOSE)
    play.at(NOW + CLOSE_TIMEOUT)
    assert play.client.transport.closed
    assert play.outside.calls[-1] == ("gone", None)


def test_a_published_close_ends_a_message_that_is_under_way(play):
    play.says("m:a", last=False)
    play.act(Action.CLOSE)
    assert play.client.heard() == [("text+", "a"), ("close", 1000, "")]


def test_a_published_close_does_not_overtake_what_was_published_before(play):
    play.says("m:a", last=False)
    play.publish("1")
    play.act(Action.CLOSE)
    play.publish("2")
    play.says("b", first=False)
    assert play.client.heard() == [
        ("text+", "a"),
        ("+text", "b"),
        ("text", "1"),
        ("close", 1000, ""),
    ]


def test_it_waits_at_most_ten_seconds_for_a_message_to_end(play):
    play.says("m:a", last=False)
    play.publish("1")
    play.act(Action.CLOSE, code=4000)
    assert play.at(NOW + CLOSE_TIMEOUT) == [("text+", "a"), ("close", 4000, "")]


def test_a_detached_client_stays(play):
    play.control("detach")
    assert play.outside.calls == [("close", None, "")]
    play.publish("x")
    assert play.client.heard() == [("text", "x")]


def test_what_the_origin_says_behind_detach_is_still_delivered(play):
    play.control("detach")
    play.says("m:x")
    play.session.outside_closed(1000, "", NOW)
    play.session.outside_failed(NOW)
    play.session.outside_dropped(NOW)
    assert play.client.heard() == [("text", "x")]
    assert play.session.state is State.DETACHED


def test_a_detached_client_obeys_no_controls(play):
    play.control("detach")
    play.control("subscribe", channel="d")
    play.control("detach")
    assert list(play.session.subscriptions) == ["c"]
    assert play.outside.calls == [("close", None, "")]


def test_timers_go_on_for_a_detached_client(play):
    play.control("keep-alive", content="k", timeout=10)
    play.control("send-delayed", content="d", timeout=5)
    play.control("detach")
    assert play.at(NOW + 5) == [("text", "d")]
    assert play.at(NOW + 15) == [("text", "k")]


def test_a_detached_client_gets_its_pings_answered_and_is_not_listened_to(play):
    play.control("detach")
    play.client.text("x")
    play.client.says(PING, "p")
    play.client.says(PONG, "q")
    assert play.client.heard() == [("pong", "p")]
    assert play.outside.calls == [("close", None, "")]


@pytest.mark.parametrize(("code", "echo"), [(4000, 4000), (None, 1000)])
def test_a_close_of_a_detached_client_is_answered_here(play, code, echo):
    play.control("detach")
    play.client.closes(code)
    assert play.client.heard() == [("close", echo, "")]
    assert play.outside.calls == [("close", None, ""), ("gone", None)]


def test_a_published_close_reaches_a_detached_client(play):
    play.control("detach")
    play.act(Action.CLOSE, code=4000)
    assert play.client.heard() == [("close", 4000, "")]
    assert play.outside.calls == [("close", None, "")]


def test_a_refresh_of_a_detached_client_does_nothing(play):
    play.control("detach")
    play.act(Action.REFRESH)
    assert play.outside.calls == [("close", None, "")]


def test_detaching_a_client_that_closes_answers_it(play):
    play.client.closes(4000)
    play.control("detach")
    assert play.client.heard() == [("close", 4000, "")]
    assert play.session.state is State.ENDED


@pytest.mark.parametrize("closes", [False, True])
def test_an_origin_that_fails_closes_the_client(play, closes):
    if closes:
        play.client.closes()
    play.session.outside_failed(NOW)
    assert play.client.heard() == [("close", 1011, "")]
    assert play.outside.calls[-1] == ("gone", 1011)
    assert play.session.state is State.ENDED


@pytest.mark.parametrize("state", [State.OPEN, State.CLOSING_OUT, State.CLOSING_IN])
def test_an_origin_may_drop_the_client_without_a_close_frame(play, state):
    if state is State.CLOSING_OUT:
        play.client.closes()
    elif state is State.CLOSING_IN:
        play.session.outside_closed(1000, "", NOW)
    play.client.heard()
    play.session.outside_dropped(NOW)
    assert play.client.heard() == []
    assert play.client.transport.closed
    assert play.outside.calls[-1] == ("gone", None)


@pytest.mark.parametrize("how", ["lost", "gone"])
def test_a_client_that_vanishes_is_told_to_the_out_side_once(play, how):
    if how == "gone":
        play.session.gone(NOW)
    play.client.vanishes()
    play.session.outside_dropped(NOW)
    play.session.due(NOW)
    assert play.outside.calls == [("gone", None)]


def test_a_client_that_vanishes_while_it_closes_is_told_to_the_out_side(play):
    play.client.closes()
    play.client.vanishes()
    assert play.outside.calls == [("close", 1000, ""), ("gone", None)]


def test_a_violation_of_the_client_is_told_to_the_out_side(play):
    play.client.received(wsframes.encode(TEXT, b"unmasked"), NOW)
    assert play.client.heard() == [("close", 1002, "")]
    assert play.outside.calls == [("gone", 1002)]


def test_a_second_close_of_the_client_means_nothing(play):
    play.client.closes()
    play.session.socket_close(1000, "", NOW)
    assert play.outside.calls == [("close", 1000, "")]


def test_an_ended_session_keeps_nothing(play):
    play.control("keep-alive", content="k", timeout=10)
    play.control("send-delayed", content="d", timeout=5)
    play.client.vanishes()
    assert len(play.hub.deadlines) == 0
    play.says("m:x")
    play.client.vanishes()
    assert play.outside.calls == [("gone", None)]


def test_the_out_side_learns_that_the_client_takes_more(play):
    play.client.stalls()
    play.client.reads_on()
    play.session.writable(NOW)
    assert play.outside.calls == ["writable"] * 2


def test_an_update_means_nothing_to_a_socket(play):
    play.session.update(NOW)
    play.hub.recover(now=NOW)
    assert play.outside.calls == []


def test_the_uri_is_that_of_the_handshake(play):
    assert play.session.url == b"ws://h/"


def test_a_refresh_lets_the_origin_speak(play):
    play.session.refresh(NOW)
    assert play.outside.calls == ["refresh"]

"""Response holds: the rows of grip-http.md 6.1, and what answers them."""

import pytest

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.origins import Origin, State
from gripproxy.engine.ports import Wake
from gripproxy.engine.responses import ResponseHold, answer
from gripproxy.engine.subscriptions import Subscription
from gripproxy.errors import FilterError
from gripproxy.protocol.filters import Drop
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Response
from tests.fakes import FakeNotices, make_hub
from tests.holdfakes import FakeSink, a_request, a_route

NOW = 1000.0
TIMEOUT = 55


def a_default(body=b"nothing", **options):
    headers = Headers([(b"Content-Type", b"text/plain"), (b"ETag", b'"v1"')])
    options.setdefault("status", 201)
    return Response(reason=b"Made", headers=headers, body=body, length=len(body), **options)


class Play:
    """A response hold in a real hub."""

    def __init__(self, *channels, debug=False, default=None, dress=None, meta=None, **options):
        self.notices = FakeNotices()
        self.hub = make_hub(self.notices, **options)
        self.over = []
        self.hub.ended = self.over.append
        self.sink = FakeSink()
        self.origin = Origin(
            request=a_request("/poll"),
            route=a_route(),
            last={},
            debug=debug,
            dress=dress,
        )
        channels = channels or (Subscription("c", "c"),)
        subscriptions = {channel.channel: channel for channel in channels}
        self.hold = ResponseHold(
            self.hub, self.sink, self.origin, default or a_default(), meta or {}, subscriptions
        )
        self.hub.keep(self.hold, now=NOW)
        self.hold.hold(TIMEOUT, now=NOW)

    def publish(
        self, body="x", *, channel="c", item_id=None, prev_id=None, now=NOW, meta=None, **how
    ):
        if isinstance(body, str):
            body = body.encode()
        response = HttpResponse(body=body, **how)
        item = PublishItem(
            channel, id=item_id, prev_id=prev_id, http_response=response, meta=meta or {}
        )
        return self.hub.publish(item, now=now)

    def act(self, action, **item):
        return self.publish(None, action=action, **item)

    def at(self, now):
        """Let a moment come."""
        self.hub.due(now)

    @property
    def answered(self):
        """The status and the body that the client has got."""
        response = self.sink.finished
        return None if response is None else (response.status, response.body.decode())

    @property
    def asked(self):
        """Whether the origin is to be asked again."""
        return self.sink.wakes == [Wake.RETRY]


def at(position, *names):
    return Subscription("c", "c", position, names)


@pytest.fixture
def play():
    return Play()


# Holding: time


def test_in_time_the_default_response_is_sent(play):
    play.at(NOW + TIMEOUT - 1)
    assert play.answered is None
    play.at(NOW + TIMEOUT)
    assert play.answered == (201, "nothing")
    assert play.hold.state is State.OVER


def test_the_default_response_is_not_filtered():
    play = Play(at(None, "build-id"))
    play.at(NOW + TIMEOUT)
    assert play.answered == (201, "nothing")


# Holding: items


def test_the_first_item_answers(play):
    play.publish("one", code=404, reason=b"Not Found")
    play.publish("two")
    assert play.answered == (404, "one")


def test_an_item_for_others_does_not(play):
    play.hub.publish(PublishItem("c", http_stream=HttpStream(content=b"x")), now=NOW)
    assert play.answered is None


def test_an_item_for_a_channel_that_it_has_not_is_ignored(play):
    play.hold.deliver(Delivery(PublishItem("d", http_response=HttpResponse(body=b"x"))), NOW)
    assert play.answered is None


def test_an_item_that_fits_answers():
    play = Play(at("1"))
    play.publish("x", item_id="2", prev_id="1")
    assert play.answered == (200, "x")


def test_a_hint_asks_the_origin_again_at_once(play):
    play.act(Action.HINT)
    assert play.asked
    assert play.hold.state is State.ASKING
    play.at(NOW + TIMEOUT)
    assert play.answered is None, "the timer is stopped"


@pytest.mark.parametrize("action", [Action.CLOSE, Action.REFRESH])
def test_close_and_refresh_are_ignored(play, action):
    play.act(action)
    assert play.hold.state is State.HOLDING
    assert not play.asked


@pytest.mark.parametrize("action", [Action.CLOSE, Action.REFRESH, Action.HINT])
def test_the_position_advances_whatever_the_action(action):
    play = Play(at("1"))
    play.act(action, item_id="2", prev_id="1")
    assert play.hold.subscriptions["c"].prev_id == "2"


def test_an_item_that_does_not_fit_shows_a_gap():
    play = Play(at("1"))
    play.publish("x", item_id="3", prev_id="2")
    assert play.answered is None
    assert play.hub.last_ids.get("c") is None
    assert play.hold.state is State.WAITING
    play.at(NOW + 0.1)
    assert play.asked
    assert play.origin.last == {"c": "1"}


def test_the_origin_is_told_the_positions():
    play = Play(at("1"), Subscription("d", "p-d", "5"), Subscription("e", "e"))
    play.act(Action.CLOSE, item_id="2", prev_id="1")
    play.act(Action.HINT, item_id="3", prev_id="2")
    assert play.origin.last == {"c": "3", "d": "5"}


# Filters


def test_an_item_that_a_filter_drops_leaves_it_holding():
    play = Play(at("1", "skip-self"), meta={"user": "alice"})
    play.publish("x", item_id="2", prev_id="1", meta={"sender": "alice"})
    assert play.hold.state is State.HOLDING
    assert play.hold.subscriptions["c"].prev_id == "2"


def test_filters_change_the_body():
    play = Play(at(None, "var-subst"), meta={"user": "alice"})
    play.publish("hello %(user)s")
    assert play.answered == (200, "hello alice")


def test_a_filtered_hint_asks_again():
    play = Play(at(None, "skip-self"))
    play.act(Action.HINT)
    assert play.asked


def test_without_debug_an_item_whose_filter_fails_is_dropped():
    play = Play(at("1", "var-subst"))
    play.publish("%(no)s", item_id="2", prev_id="1")
    assert play.hold.state is State.HOLDING
    assert play.hold.subscriptions["c"].prev_id == "1"
    assert play.notices.failures == [
        ("c", "filter error: var-subst: No such variable 'no' at position 5")
    ]


def test_with_debug_a_filter_that_fails_is_the_answer():
    play = Play(at("1", "var-subst"), debug=True)
    play.publish("%(no)s", item_id="2", prev_id="1")
    assert play.answered == (
        502,
        "filter error: var-subst: No such variable 'no' at position 5\n",
    )


def test_without_debug_an_item_with_other_filters_is_dropped(play):
    play.publish("x", content_filters=("build-id",))
    assert play.hold.state is State.HOLDING


def test_with_debug_other_filters_are_the_answer():
    play = Play(debug=True)
    play.publish("x", content_filters=("build-id",))
    assert play.answered == (
        502,
        "content filter mismatch: subscription= message=build-id\n",
    )


def test_an_empty_condition_is_met(play):
    play.publish("x", content_filters=())
    assert play.answered == (200, "x")


def test_odd_contents_are_told_of():
    play = Play(at(None, "build-id"), meta={"id_format": "i"})
    play.publish("100% %I")
    assert play.answered == (200, "100% i")
    assert play.notices.odd == ["build-id: Unknown directive ' ' at position 4"]


# Filters that ask the network


@pytest.fixture
def asking():
    return Play(at(None, "http-modify"))


def test_an_item_waits_for_the_network(asking):
    asking.publish("x")
    assert asking.answered is None
    asking.hub.network.answer(b"y", NOW)
    assert asking.answered == (200, "y")


def test_later_items_wait_behind_it(asking):
    asking.publish("x")
    asking.publish("later")
    asking.hub.network.answer(Drop.ITEM, NOW)
    asking.hub.network.answer(b"changed", NOW)
    assert asking.answered == (200, "changed")


def test_items_behind_the_one_that_answers_are_dropped(asking):
    asking.publish("x")
    asking.publish("later")
    asking.hub.network.answer(b"y", NOW)
    assert asking.answered == (200, "y")
    assert not asking.hub.network.questions


def test_a_chain_may_ask_again():
    play = Play(at(None, "http-check", "http-modify"))
    play.publish("x")
    play.hub.network.answer(b"x", NOW)
    play.hub.network.answer(b"y", NOW)
    assert play.answered == (200, "y")


def test_a_network_that_fails_drops_the_item(asking):
    asking.publish("x")
    asking.hub.network.answer(FilterError("network request failed: disconnected"), NOW)
    assert asking.hold.state is State.HOLDING
    assert len(asking.notices.failures) == 1


def test_an_answer_after_the_end_is_nothing(asking):
    asking.publish("x")
    asking.at(NOW + TIMEOUT)
    asking.hub.network.answer(b"y", NOW)
    assert asking.answered == (201, "nothing")


def test_a_gap_behind_an_item_that_waits_empties_the_queue():
    play = Play(at("1", "http-check"))
    play.publish("x", item_id="2", prev_id="1")
    play.publish("gap", item_id="9", prev_id="8")
    play.publish("x", item_id="10", prev_id="2")
    play.hub.network.answer(Drop.ITEM, NOW)
    assert play.hold.state is State.WAITING
    assert not play.hub.network.questions


def test_at_most_100_items_wait(asking):
    for _ in range(102):
        asking.publish("x")
    assert asking.notices.drops == [("c", "slow")]


def test_what_waits_when_the_client_leaves_is_counted(asking):
    for _ in range(3):
        asking.publish("x")
    asking.hold.gone(NOW)
    asking.hold.gone(NOW)
    assert asking.notices.waited_in_vain == 2


def test_what_is_not_needed_any_more_has_not_waited_in_vain(asking):
    asking.publish("x")
    asking.publish("later")
    asking.hub.network.answer(b"y", NOW)
    assert asking.notices.waited_in_vain == 0


def test_what_waits_is_bounded_in_bytes_too():
    play = Play(at(None, "http-modify"), queue_bytes=10)
    play.publish("at the network")
    play.publish("more than ten bytes, but alone")
    play.publish("x")
    assert play.notices.drops == [("c", "slow")]
    play.hub.network.answer(Drop.ITEM, NOW)
    play.publish("1234567890")
    assert len(play.notices.drops) == 1


# Updates


def test_a_new_channel_is_updated_after_a_second(play):
    play.at(NOW + 1)
    assert play.hold.state is State.WAITING
    play.at(NOW + 1.1)
    assert play.asked


def test_while_it_waits_only_for_that_an_item_answers(play):
    play.at(NOW + 1)
    play.publish("x", now=NOW + 1.05)
    assert play.answered == (200, "x")
    play.at(NOW + 1.1)
    assert not play.asked


def test_while_it_waits_for_another_update_items_are_dropped():
    play = Play(at("1"))
    play.publish("gap", item_id="9", prev_id="8")
    play.publish("x", item_id="2", prev_id="1")
    assert play.answered is None


def test_a_gap_while_it_waits_for_the_first_update_counts():
    play = Play(at("1"))
    play.at(NOW + 1)
    play.publish("gap", item_id="9", prev_id="8", now=NOW + 1.05)
    play.publish("x", item_id="2", prev_id="1", now=NOW + 1.05)
    assert play.answered is None
    play.at(NOW + 1.1)
    assert play.asked


def test_recover_updates(play):
    play.hub.recover(now=NOW)
    play.publish("x")
    assert play.answered is None, "only a first update lets items answer"
    play.at(NOW + 0.1)
    assert play.asked


def test_a_hint_counts_for_one_that_waits_for_its_turn(play):
    play.hub.recover(now=NOW)
    floor = play.origin.floor
    play.publish("x")
    assert play.origin.floor == floor
    play.publish("x", action=Action.HINT)
    assert play.origin.floor == play.hub.marks.epoch > floor
    assert not play.asked


def test_recover_counts_for_one_that_waits_already(play):
    play.at(NOW + 1)
    play.hub.recover(now=NOW + 1)
    play.publish("x", now=NOW + 1)
    assert play.answered is None


def test_the_time_may_be_over_while_it_waits(play):
    play.hub.recover(now=NOW + TIMEOUT - 0.05)
    play.at(NOW + TIMEOUT)
    assert play.answered == (201, "nothing")
    play.at(NOW + TIMEOUT + 0.1)
    assert not play.asked


def test_an_update_whose_turn_comes_late_is_nothing(play):
    play.hold.update_turn(NOW)
    assert not play.asked


@pytest.mark.parametrize(("shared", "asked"), [("variant", 150), (None, 100)])
def test_requests_that_are_made_once_for_all_count_once(play, shared, asked):
    play.origin.shared = shared
    for _ in range(150):
        hold = ResponseHold(play.hub, FakeSink(), play.origin, a_default(), {}, {"c": at("1")})
        hold.recover(NOW)
    assert len(play.hub.updates.due(NOW + 0.1)) == asked


def test_one_that_waits_is_not_updated_once_more(play):
    play.hub.recover(now=NOW)
    play.hold.update(NOW)
    play.publish("x")
    assert play.answered is None


# Retrying


def test_while_it_asks_it_is_not_subscribed(play):
    play.act(Action.HINT)
    assert play.publish("x") == 0
    assert play.hub.statistics().responses == 0
    assert "c" in play.hub.channels, "the channel lingers"


def test_it_may_ask_without_having_held():
    play = Play()
    hold = ResponseHold(play.hub, play.sink, play.origin, a_default(), {}, {"c": at("1")})
    hold.retry(NOW)
    assert play.sink.wakes == [Wake.RETRY]
    assert play.origin.last == {"c": "1"}
    assert play.hub.statistics().responses == 1


# The end


def test_a_client_that_leaves_ends_it(play):
    play.hold.gone(NOW)
    play.hold.gone(NOW)
    assert play.publish("x") == 0
    assert play.answered is None
    assert play.over == [play.origin]


def test_a_client_may_leave_while_the_origin_is_asked(play):
    play.act(Action.HINT)
    play.hold.gone(NOW)
    assert play.hub.statistics().responses == 0
    assert play.over == [play.origin]


def test_an_answer_ends_the_request(play):
    play.publish("x")
    assert play.over == [play.origin]


def test_a_retry_does_not(play):
    play.act(Action.HINT)
    assert play.over == []


def test_a_drain_answers_with_the_default_response(play):
    play.hold.drain(NOW)
    assert play.answered == (201, "nothing")


def test_a_drain_leaves_a_retry_alone(play):
    play.act(Action.HINT)
    play.hold.drain(NOW)
    assert play.answered is None


def test_nothing_waits_for_a_client_to_read(play):
    play.hold.writable(NOW)
    assert play.hold.state is State.HOLDING


def test_what_ends_it_is_dressed():
    class Dress:
        def held(self, response):
            return Response(status=200, reason=b"", headers=Headers(), body=b"dressed")

    play = Play(dress=Dress())
    play.publish("x")
    assert play.answered == (200, "dressed")


def test_it_says_what_it_does(play):
    assert repr(play.hold) == "<ResponseHold holding ['c']>"
    assert play.hold.url == b"http://proxy/poll"
    assert play.hold.route is play.origin.route


# Patches


def test_a_patch_changes_the_default_body():
    play = Play(default=a_default(b'{"b": 1}\n'))
    play.publish(None, body_patch=({"op": "replace", "path": "/b", "value": 2},))
    assert play.answered == (200, '{"b":2}\n')


def test_a_patched_body_passes_filters():
    play = Play(at(None, "var-subst"), default=a_default(b'{"b": 1}'), meta={"user": "alice"})
    play.publish(None, body_patch=({"op": "replace", "path": "/b", "value": "%(user)s"},))
    assert play.answered == (200, '{"b":"alice"}')


@pytest.mark.parametrize(
    ("debug", "text"),
    [
        (False, "Error while proxying to origin.\n"),
        (True, "body patch error: location does not exist\n"),
    ],
)
@pytest.mark.parametrize("names", [(), ("skip-self",)])
def test_a_patch_that_fails_is_an_error(debug, text, names):
    play = Play(at(None, *names), default=a_default(b"{}"), debug=debug)
    play.publish(None, body_patch=({"op": "remove", "path": "/no"},))
    assert play.answered == (502, text)


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (("skip-self",), {"meta": {"sender": "me"}}),
        ((), {"content_filters": ("build-id",)}),
        (("var-subst",), {"content_filters": ()}),
    ],
)
def test_one_that_fails_for_others_is_nothing(names, how):
    play = Play(at("1", *names), meta={"user": "me"})
    patch = ({"op": "remove", "path": "/no"},)
    play.publish(None, item_id="2", prev_id="1", body_patch=patch, **how)
    assert play.answered is None
    assert play.hold.state is State.HOLDING


# What an answer is made of


def item(*headers, **options):
    return HttpResponse(headers=headers, body=b"b", **options)


def lines(response):
    return [f"{name.decode()}: {value.decode()}" for name, value in response.headers]


def test_the_fields_of_the_default_response_stay():
    found = answer(a_default(), item(), b"b")
    assert lines(found) == ["Content-Type: text/plain", 'ETag: "v1"']
    assert (found.status, found.reason, found.body, found.length) == (200, b"OK", b"b", 1)


def test_fields_of_the_item_replace_them():
    found = answer(a_default(), item((b"etag", b'"v2"'), (b"X", b"1"), (b"X", b"2")), b"b")
    assert lines(found) == ["Content-Type: text/plain", 'etag: "v2"', "X: 1", "X: 2"]


def test_framing_and_grip_fields_of_the_item_are_ignored():
    headers = [
        (b"Content-Length", b"9"),
        (b"Connection", b"close"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Grip-Hold", b"stream"),
    ]
    assert lines(answer(a_default(), item(*headers), b"b")) == [
        "Content-Type: text/plain",
        'ETag: "v1"',
    ]


def test_exposed_headers_of_the_item_are_those_that_go():
    headers = [(b"X", b"1"), (b"Grip-Expose-Headers", b"etag, X"), (b"Y", b"1")]
    assert lines(answer(a_default(), item(*headers), b"b")) == ["Content-Type: text/plain", "Y: 1"]

"""Deliveries at a limited rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.engine.channels import Channels, Kind
from gripproxy.engine.delivery import Delivery
from gripproxy.engine.limiter import BATCH, Limiter, pace
from gripproxy.protocol.formats import HttpResponse, HttpStream, WebSocketMessage
from gripproxy.protocol.items import PublishItem
from tests.fakes import FakeNotices
from tests.holdfakes import FakeHolder, a_route

STREAM, RESPONSE, SOCKET = Kind.STREAM, Kind.RESPONSE, Kind.SOCKET


class Play:
    """A limiter, its channels, and holders that write into one list."""

    def __init__(self, **options):
        self.notices = FakeNotices()
        self.channels = Channels(self.notices)
        self.limiter = Limiter(self.channels, self.notices, **options)
        self.log = []

    def holder(self, *, route=None, kind=STREAM, channel="c"):
        holder = FakeHolder(kind, route)
        holder.log = self.log
        self.channels.subscribe(channel, holder, now=0)
        return holder

    def put(self, name, *holders, now=0.0, **item):
        delivery = Delivery(PublishItem("c", id=name, **item))
        self.limiter.put(delivery, holders, now=now)

    def batches(self, count):
        """Return what is delivered now and in the batches that follow, each when it is due."""
        found = [self.at(0)]
        while len(found) < count:
            found.append(self.at(self.limiter.next_deadline()))
        return found

    def at(self, now):
        """Let a moment come; return what has been delivered since the last."""
        self.limiter.due(now)
        log = self.log[:]
        self.log.clear()
        return log


# The rate


def test_the_first_batch_after_a_rest_goes_at_once():
    play = Play(rate=2500)
    holders = [play.holder() for _ in range(100)]
    play.put("a", *holders)
    assert len(play.at(0)) == 63
    assert len(play.limiter) == 37
    assert play.limiter.next_deadline() == 0.025


def test_a_batch_goes_each_25_milliseconds():
    play = Play(rate=100)
    play.put("a", *(play.holder() for _ in range(8)))
    assert [len(play.at(now)) for now in (0, 0.02, 0.025, 0.05, 0.075)] == [3, 0, 3, 2, 0]
    assert play.limiter.next_deadline() is None


def test_a_low_rate_is_one_action_a_batch():
    play = Play(rate=10)
    play.put("a", *(play.holder() for _ in range(3)))
    assert [len(play.at(now)) for now in (0, 0.09, 0.1, 0.2)] == [1, 0, 1, 1]


def test_the_rate_also_limits_what_comes_one_by_one():
    play = Play(rate=10)
    holder = play.holder()
    play.put("a", holder)
    play.put("b", holder, now=0.05)
    assert play.at(0.05) == ["a"]
    assert play.limiter.next_deadline() == 0.1
    assert play.at(0.1) == ["b"]


@given(st.integers(1, 1_000_000), st.integers(2, 256))
def test_the_rates_of_several_processes_add_up_to_the_rate(rate, processes):
    period, batch = pace(rate, processes)
    assert batch >= 1
    assert batch / period * processes == pytest.approx(rate)


def test_a_process_of_several_has_its_share_of_the_rate():
    play = Play(rate=10, processes=4)
    play.put("a", *(play.holder() for _ in range(3)))
    assert [len(play.at(now)) for now in (0, 0.39, 0.4, 0.8)] == [1, 0, 1, 1]


def test_several_processes_without_a_rate_have_none():
    assert pace(0, 4) == pace(0, 1) == (0.0, BATCH)


def test_order_is_kept():
    play = Play(rate=10)
    holder = play.holder()
    for number in range(4):
        play.put(number, holder)
    assert play.batches(4) == [[0], [1], [2], [3]]


def test_a_late_look_does_not_lower_the_rate():
    play = Play(rate=10)
    play.put("a", *(play.holder() for _ in range(4)))
    play.at(0)
    play.at(0.14)
    assert play.limiter.next_deadline() == 0.2


def test_a_very_late_look_begins_anew():
    play = Play(rate=10)
    play.put("a", *(play.holder() for _ in range(4)))
    play.at(5)
    assert play.limiter.next_deadline() == 5


def test_without_a_rate_a_batch_is_what_one_turn_can_do():
    play = Play(hwm=1_000_000)
    play.put("a", *(play.holder() for _ in range(BATCH + 1)))
    assert len(play.at(-1)) == BATCH
    assert play.limiter.next_deadline() == 0
    assert len(play.at(0)) == 1


def test_who_is_gone_costs_nothing():
    play = Play(rate=10)
    gone, there = play.holder(), play.holder()
    play.channels.unsubscribe("c", gone, now=0)
    play.put("a", gone, there)
    assert play.at(0) == ["a"]
    assert play.notices.waited_in_vain == 1
    assert there.updates == []


def test_a_receiver_that_fails_costs_the_others_nothing():
    play = Play(hwm=10)
    broken, other = play.holder(), play.holder()

    def fail(delivery, now):
        raise RuntimeError("a bug")

    bugs = []
    play.notices.failed = bugs.append
    broken.deliver = fail
    play.put("a", broken, other)
    assert play.log == ["a"]
    assert [str(error) for error in bugs] == ["a bug"]


# Buckets


def test_routes_with_an_id_take_turns():
    play = Play(rate=10)
    first = a_route(id="one", explicit_id=True)
    second = a_route(id="two", explicit_id=True)
    ones = [play.holder(route=first) for _ in range(3)]
    others = [play.holder(), play.holder(route=a_route(id="made"))]
    play.put("a", *ones, play.holder(route=second), *others)
    play.put("b", play.holder(route=second))
    # one, two, the others; one, two, the others; one.
    assert play.batches(7) == [["a"], ["a"], ["a"], ["a"], ["b"], ["a"], ["a"]]


def test_a_bucket_that_comes_again_takes_its_turn_behind_the_others():
    play = Play(rate=10)
    named = play.holder(route=a_route(id="one", explicit_id=True))
    other = play.holder()
    play.put("x", named)
    for name in ("a", "b"):
        play.put(name, other)
        play.put(name.upper(), named)
    assert play.batches(5) == [["x"], ["a"], ["A"], ["b"], ["B"]]


# Weight


def stream(size):
    return {"http_stream": HttpStream(content=b"x" * size)}


def test_a_delivery_weighs_its_blocks():
    play = Play(rate=80, block_size=10)  # two a batch
    holder = play.holder()
    play.put("a", holder, **stream(20))
    play.put("b", holder, **stream(11))
    play.put("c", holder, **stream(10))
    assert play.batches(3) == [["a"], ["b"], ["c"]]


def test_an_empty_delivery_weighs_one_as_it_runs():
    play = Play(rate=80, block_size=10)
    play.put("a", *(play.holder() for _ in range(3)), **stream(0))
    assert play.batches(2) == [["a", "a"], ["a"]]


def test_what_weighs_more_than_a_batch_is_paid_for_later():
    play = Play(rate=80, block_size=10)
    holder = play.holder()
    play.put("heavy", holder, **stream(50))
    play.put("b", holder, **stream(10))
    assert play.batches(3) == [["heavy"], [], ["b"]]


def test_others_do_not_pay_for_it():
    play = Play(rate=80, block_size=10)
    other = play.holder(route=a_route(id="one", explicit_id=True))
    play.put("heavy", play.holder(), **stream(1000))
    for name in "abc":
        play.put(name, other, **stream(10))
    assert play.batches(4) == [["heavy"], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize(("kind", "weight"), [(RESPONSE, 1), (STREAM, 2), (SOCKET, 3)], ids=str)
def test_each_format_has_its_own_weight(kind, weight):
    play = Play(hwm=weight - 1, block_size=10)
    play.put(
        "a",
        play.holder(kind=kind),
        http_response=HttpResponse(body=b"x"),
        http_stream=HttpStream(content=b"x" * 11),
        ws_message=WebSocketMessage(content=b"x" * 21),
    )
    # A mark of 0 is none: the lightest one passes.
    assert play.log == (["a"] if weight == 1 else [])


def test_formats_that_an_item_lacks_weigh_nothing():
    play = Play(hwm=1, block_size=10)
    play.put("a", play.holder(kind=RESPONSE), http_response=HttpResponse())
    assert play.log == ["a"]


def test_the_size_that_the_publisher_says_counts():
    play = Play(hwm=4, block_size=10)
    play.put("a", play.holder(), size=50, **stream(1))
    assert play.log == []


# The high-water mark


def test_what_makes_too_much_wait_is_dropped():
    play = Play(hwm=2)
    play.put("a", *(play.holder() for _ in range(5)))
    assert play.log == ["a", "a"]
    assert play.notices.excess == [3]


def test_what_has_gone_out_makes_room():
    play = Play(rate=10, hwm=2)
    holders = [play.holder() for _ in range(4)]
    play.put("a", *holders[:2])
    assert play.log == ["a"]
    play.put("b", holders[2])
    assert play.notices.excess == []
    play.put("c", holders[3])
    assert play.notices.excess == [1]


@pytest.mark.parametrize(("processes", "waiting"), [(2, 3), (3, 2), (9, 1)])
def test_a_process_of_several_has_its_share_of_the_mark(processes, waiting):
    play = Play(hwm=5, processes=processes)
    play.put("a", *(play.holder() for _ in range(9)))
    assert play.log == ["a"] * waiting


def test_each_bucket_has_its_own_mark():
    play = Play(rate=10, hwm=2)
    route = a_route(id="one", explicit_id=True)
    play.put("a", *(play.holder() for _ in range(3)), *(play.holder(route=route) for _ in "ab"))
    assert play.notices.excess == [1]
    assert len(play.limiter) == 3


def test_the_log_is_told_once_a_second_with_the_count():
    play = Play(hwm=1)
    two = [play.holder(), play.holder()]
    play.put("a", *two)
    play.put("b", *two, now=0.5)
    play.put("c", *two, now=0.9)
    assert play.notices.excess == [1]
    assert play.limiter.next_deadline() == 1
    play.at(1)
    assert play.notices.excess == [1, 2]


def test_it_is_told_at_once_again_after_a_rest():
    play = Play(hwm=1)
    two = [play.holder(), play.holder()]
    play.put("a", *two)
    play.at(1)
    assert play.limiter.next_deadline() is None
    play.put("b", *two, now=1.5)
    assert play.notices.excess == [1, 1]

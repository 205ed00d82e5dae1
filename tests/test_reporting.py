"""What joins the statistics of processes; that they go out is tested on the wire."""

import pytest

from gripproxy.config import Config
from gripproxy.engine.news import Statistics
from gripproxy.kinds import Endpoint
from gripproxy.options import Handler
from gripproxy.reporting import Gathered, is_wanted, make_counters


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, False),
        ({"stats_spec": "tcp://127.0.0.1:1"}, True),
        ({"prometheus_port": Endpoint("127.0.0.1", 1)}, True),
    ],
)
def test_nothing_is_counted_unless_somebody_can_read_it(options, wanted):
    assert is_wanted(Config(handler=Handler(**options))) is wanted


def test_no_two_processes_give_connections_the_same_ids():
    names = {repr(make_counters(Config(), now=0.0)) for _ in range(8)}
    assert len(names) == 8


def told(worker: int, sent: int, connected: int = 0) -> Statistics:
    return Statistics(
        {
            ("worker_up", str(worker)): 1,
            ("message_sent",): sent,
            ("connection_connected",): connected,
        }
    )


def test_workers_are_added():
    found = Gathered(2).take([told(0, 3, 1), told(1, 4, 1)]).samples
    assert found["message_sent",] == 7
    assert found["connection_connected",] == 2
    assert (found["worker_up", "0"], found["worker_up", "1"]) == (1, 1)


def test_of_a_worker_that_does_not_answer_counters_stay():
    gathered = Gathered(2)
    gathered.take([told(0, 3, 1), told(1, 4, 1)])
    found = gathered.take([told(0, 5, 1)]).samples
    assert found["message_sent",] == 9
    assert found["connection_connected",] == 1
    assert found["worker_up", "1"] == 0


def test_what_a_dead_worker_counted_is_not_lost():
    gathered = Gathered(1)
    gathered.take([told(0, 3, 1)])
    gathered.died(0)
    assert gathered.take([]).samples["message_sent",] == 3
    found = gathered.take([told(0, 2, 1)]).samples
    assert found["message_sent",] == 5
    assert found["connection_connected",] == 1


def test_before_the_first_answer_there_is_nothing():
    assert Gathered(1).take([]).samples == {("worker_up", "0"): 0}

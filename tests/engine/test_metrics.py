"""What is counted for metrics alone (stats.md 9.5)."""

import pytest

from gripproxy.engine.channels import Kind
from gripproxy.engine.metrics import BOUNDS, KINDS, PURGES, Metrics


def test_what_never_happened_is_zero():
    samples = Metrics().samples()
    assert samples["deliveries_total", "ws"] == 0
    assert samples["holds", "stream", ""] == 0
    assert samples["deliveries_dropped_total", "slow"] == 0
    assert samples["connmgr_requests_total",] == 0


def test_each_kind_of_holder_has_a_name():
    assert len(KINDS) == len(Kind)


def test_holders_are_counted_by_kind_and_route():
    metrics = Metrics()
    metrics.attached(Kind.STREAM, "r")
    metrics.attached(Kind.STREAM, "r")
    metrics.released(Kind.STREAM, "r")
    assert metrics.samples()["holds", "stream", "r"] == 1


def test_deliveries_are_counted_by_kind():
    metrics = Metrics()
    metrics.delivered(Kind.RESPONSE, 3)
    metrics.delivered(Kind.RESPONSE, 2)
    assert metrics.samples()["deliveries_total", "response"] == 5


def test_drops_are_counted_by_reason():
    metrics = Metrics()
    metrics.dropped("hwm", 4)
    metrics.dropped("hwm")
    assert metrics.samples()["deliveries_dropped_total", "hwm"] == 5


def test_items_are_counted_by_input():
    metrics = Metrics()
    metrics.published("pull", 2)
    metrics.refused("pull", "format")
    samples = metrics.samples()
    assert samples["publish_items_total", "pull"] == 2
    assert samples["publish_items_refused_total", "pull", "format"] == 1


def test_purges_are_counted_by_cause():
    metrics = Metrics()
    metrics.purged("item")
    samples = metrics.samples()
    assert {cause: samples["cache_purges_total", cause] for cause in PURGES} == {
        "control": 0,
        "item": 1,
        "client": 0,
    }


def test_errors_of_origins_are_counted_by_kind():
    metrics = Metrics()
    metrics.failed("connection_refused")
    assert metrics.samples()["origin_errors_total", "connection_refused"] == 1


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.0, "0.005"), (0.005, "0.005"), (0.006, "0.01"), (61.0, "+Inf")]
)
def test_an_answer_is_in_the_first_bucket_that_is_large_enough(seconds, bound):
    metrics = Metrics()
    metrics.answered("r", 204, seconds)
    samples = metrics.samples()
    buckets = {b: samples["origin_request_seconds_bucket", "r", "2xx", b] for b in BOUNDS}
    assert [b for b, count in buckets.items() if count] == [bound]
    assert samples["origin_request_seconds_sum", "r", "2xx"] == seconds


def test_answers_of_one_class_are_counted_together():
    metrics = Metrics()
    metrics.answered("", 404, 0.5)
    metrics.answered("", 499, 0.5)
    assert metrics.samples()["origin_request_seconds_bucket", "", "4xx", "0.5"] == 2

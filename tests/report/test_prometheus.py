"""Metrics as text (stats.md 9.2, 9.5); how they are asked for is tested on the wire."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gripproxy.engine.news import Statistics
from gripproxy.engine.stats import Counters
from gripproxy.report.prometheus import METRICS, OURS, PUSHPIN, render

GUIDE = Path(__file__).parents[2] / "docs/guide/statistics.md"


def parsed(samples, prefix=""):
    text = render(Statistics(samples), prefix).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_without_any_sample_pushpins_metrics_are_zero():
    text = render(Statistics()).decode()
    assert text.startswith(
        "# HELP request_received Number of requests received\n"
        "# TYPE request_received counter\n"
        "request_received 0\n"
    )
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        f"{metric.name} 0" for metric in PUSHPIN
    ]


def test_large_numbers_of_pushpins_metrics_are_written_out():
    text = render(Statistics({("message_sent",): 1 << 40})).decode()
    assert "\nmessage_sent 1099511627776\n" in text


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_prefix_stands_before_each_name(metric):
    name = metric.name.removesuffix("_total")
    assert f"p_{name}" in parsed({}, "p_")
    assert name not in parsed({}, "p_")


def test_labels_have_their_names():
    [sample] = parsed({("holds", "stream", "r"): 3})["holds"].samples
    assert sample.labels == {"transport": "stream", "route": "r"}
    assert sample.value == 3


def test_buckets_of_a_histogram_contain_each_other():
    counters = Counters(now=0.0, instance="i")
    for seconds in (0.001, 0.2, 0.2, 100.0):
        counters.metrics.answered("r", 200, seconds)
    samples = parsed(counters.statistics(0.0).samples)["origin_request_seconds"].samples
    found = {one.labels.get("le", one.name[-5:]): one.value for one in samples}
    assert (found["0.005"], found["0.1"], found["0.25"], found["60.0"], found["+Inf"]) == (
        1, 1, 3, 3, 4,
    )  # fmt: skip
    assert found["count"] == 4
    assert found["s_sum"] == pytest.approx(100.401)


def test_all_that_is_counted_is_shown():
    counters = Counters(now=0.0, instance="i")
    counters.metrics.published("pull", 1)
    counters.metrics.refused("pull", "item")
    counters.metrics.failed("connection_refused")
    counters.metrics.answered("", 200, 0.1)
    named = {metric.name for metric in METRICS}
    counted = {name for name, *_ in counters.statistics(0.0).samples}
    parts = {"origin_request_seconds_sum", "origin_request_seconds_bucket"}
    assert counted - parts <= named


def test_a_counter_of_ours_says_so_in_its_name():
    assert all(metric.name.endswith("_total") for metric in OURS if metric.kind == "counter")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_guide_explains_each_metric(metric):
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    row = (
        f"| `{metric.name}` | {metric.kind} | {labels} |"
        if labels
        else (f"| `{metric.name}` | {metric.kind} | |")
    )
    assert row in GUIDE.read_text(encoding="utf-8")

"""What processes tell of themselves."""

from gripproxy.engine.news import News, Statistics


def test_no_news_are_empty():
    assert News() == News(begun=(), subscribers=(), sent=(), ended=(), totals=())


def test_statistics_of_processes_are_added():
    one = Statistics({("channels",): 1, ("holds", "ws", ""): 2})
    other = Statistics({("channels",): 4, ("worker_up", "1"): 1})
    assert one.plus(other).samples == {
        ("channels",): 5,
        ("holds", "ws", ""): 2,
        ("worker_up", "1"): 1,
    }


def test_adding_changes_neither():
    one = Statistics({("channels",): 1})
    one.plus(one)
    assert one.samples == {("channels",): 1}


def test_what_only_grows_outlasts_its_process():
    statistics = Statistics(
        {
            ("channels",): 1,
            ("connection_connected",): 1,
            ("connection_minute",): 2,
            ("message_sent",): 3,
            ("request_received",): 4,
            ("deliveries_total", "ws"): 5,
            ("origin_request_seconds_bucket", "", "2xx", "+Inf"): 6,
            ("origin_request_seconds_sum", "", "2xx"): 7.5,
            ("event_loop_lag_seconds", "0"): 0.5,
        }
    )
    assert sorted(statistics.lasting().samples.values()) == [2, 3, 4, 5, 6, 7.5]

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

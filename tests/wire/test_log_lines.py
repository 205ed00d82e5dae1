"""Lines of requests in the log of the running program (config.md 5.2; routes.md 6)."""

import json
import re

import pytest

from tests.wire.client import ask, request, wait_until
from tests.wire.processes import said, stream
from tests.wire.running import Gripproxy


def get(system: Gripproxy, target: str, host: str, *fields: str) -> None:
    ask(system.port, request("GET", target, host, *fields))


def lines(system: Gripproxy, last: str) -> list[str]:
    """Return the lines of the log when one of them has a text."""
    wait_until(lambda: last in system.log(), f"{last!r} in the log")
    return system.log().splitlines()


def test_what_is_added_stands_at_the_end(gripproxy):
    system = gripproxy(["*,id=r test"], settings={"proxy.log_user_agent": "true"})
    get(system, "/a", "any.test", "User-Agent: UA/1")
    [line] = [line for line in lines(system, "UA/1") if "/a " in line]
    assert re.search(
        r" GET http://any.test/a -> test route=r code=404 \d+ ua=UA/1 t=0\.\d+$", line
    )


def test_of_several_workers_each_line_names_its_own(gripproxy):
    system = gripproxy(["* test"], settings={"runner.workers": "2"})
    get(system, "/a", "any.test")
    [line] = [line for line in lines(system, "/a ") if "/a " in line]
    assert re.search(r" worker=[01]$", line)


def test_what_no_route_takes_is_told(gripproxy):
    system = gripproxy(["a.test test"])
    get(system, "/", "b.test")
    [line] = [line for line in lines(system, "b.test") if "b.test" in line]
    assert re.search(r" GET http://b.test/ code=502 \d+ error=no-route t=0\.\d+$", line)


@pytest.mark.parametrize("level", ["2", "1"])
def test_a_route_has_a_level_of_its_own(gripproxy, level):
    routes = ["quiet.test,log_level=1 test", "loud.test,log_level=2 test", "* test"]
    system = gripproxy(routes, settings={"runner.log_level": level})
    for host in ("quiet.test", "plain.test", "loud.test"):
        get(system, "/", host)
    found = lines(system, "//loud.test/")
    assert not any("//quiet.test/" in line for line in found)
    assert any("//plain.test/" in line for line in found) is (level == "2")
    assert not any("not supported" in line for line in found)


def test_a_json_log_has_fields(gripproxy):
    settings = {"runner.log_format": "json", "proxy.log_from": "true"}
    system = gripproxy(["*,id=r test"], settings=settings)
    with stream(system, "c"):
        get(system, "/a?b=1", "any.test", "Referer: http://ref.test/")
        system.publish([{"channel": "c", "formats": {"http-stream": {"content": "x"}}}])
        said(system, '"publish"')
    said(system, "/a?b=1")
    told = [json.loads(line) for line in system.log().splitlines() if line.startswith("{")]
    assert all({"level", "time", "text"} <= one.keys() for one in told)
    [asked] = [one for one in told if one.get("uri") == "http://any.test/a?b=1"]
    assert asked.pop("t") >= 0
    assert asked.pop("size") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", asked.pop("time"))
    assert asked == {
        "level": "INFO",
        "text": "request",
        "method": "GET",
        "uri": "http://any.test/a?b=1",
        "target": "test",
        "from": "127.0.0.1",
        "ref": "http://ref.test/",
        "route": "r",
        "code": 404,
    }
    [hold] = [one for one in told if one.get("accept") and "any.test" in one["uri"]]
    assert (hold["target"], hold["method"]) == ("test", "GET")
    assert any(one["text"] == "subscribe" and one["channel"] == "c" for one in told)
    published = [one for one in told if one["text"] == "publish"]
    assert [(one["channel"], one["receivers"]) for one in published] == [("c", 1)]

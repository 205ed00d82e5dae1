"""A stored stream is given to many, with what was published since (cache-and-purge.md)."""

import pytest

from tests.wire.client import Client, request
from tests.wire.origin import Origin, text
from tests.wire.running import Gripproxy

HOLD = text(
    "CDN-Cache-Control: max-age=600",
    "Grip-Hold: stream",
    "Grip-Link: </more>; rel=next",
    "Grip-Channel: news; prev-id=0",
    body="opened\n",
)


def item(number: int) -> dict[str, object]:
    content = {"http-stream": {"content": f"{number}\n"}}
    return {"channel": "news", "id": f"{number}", "prev-id": f"{number - 1}", "formats": content}


@pytest.mark.parametrize(("kept", "asked"), [("100", 1), ("2", 2), ("0", 4)])
def test_who_joins_a_stored_stream_gets_what_was_published_since(gripproxy, kept, asked):
    settings = {"handler.history_items": kept, "handler.update_on_first_subscription": "false"}
    with Origin() as origin, origin.stage("news") as stage:
        stage.answer(HOLD)
        system: Gripproxy = gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings)
        held = []
        for number in range(4):
            held.append(Client(system.port))
            held[-1].send(request("GET", "/", stage.host))
            held[-1].head()
            assert held[-1].piece() == b"opened\n"
            if kept == "100":
                assert [held[-1].piece() for _ in range(number)] == [
                    b"%d\n" % past for past in range(1, number + 1)
                ]
            system.publish([item(number + 1)])
            assert held[0].piece() == b"%d\n" % (number + 1)
        assert len([one for one in stage.requests if one.target == "/"]) == asked
        for client in held:
            client.close()

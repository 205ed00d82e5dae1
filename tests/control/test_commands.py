import pytest

from gripproxy.control import commands
from gripproxy.control.commands import Commands
from gripproxy.errors import CommandError
from gripproxy.protocol.packets import CommandRequest
from tests.control.fakes import FakeIntake

URIS = {"command": "tcp://*:5563", "publish-pull": "tcp://127.0.0.1:5560"}
ITEM = {"channel": b"c", "formats": {"http-stream": {"content": b"x"}}}


@pytest.fixture
def intake():
    return FakeIntake()


@pytest.fixture
def run(intake):
    table = Commands(intake, URIS)

    async def run(method, **args):
        return await table.run(CommandRequest(id=b"1", method=method, args=args))

    return run


@pytest.mark.parametrize(
    ("method", "args", "value"),
    [
        ("conncheck", {"ids": []}, []),
        ("conncheck", {"ids": [b"here", b"gone", b"here"]}, ["here"]),
        ("get-zmq-uris", {}, URIS),
        ("get-zmq-uris", {"more": 1}, URIS),
        ("publish", {"items": []}, None),
        ("publish", {"items": [ITEM]}, None),
        ("recover", {}, None),
        ("refresh", {"cid": b"here"}, None),
        ("refresh", {"channel": b"nobody"}, None),
    ],
)
async def test_a_command_that_is_done_has_a_value(run, method, args, value):
    assert await run(method, **args) == value


@pytest.mark.parametrize(
    ("method", "args", "condition", "value"),
    [
        ("conncheck", {}, "bad-request", None),
        ("conncheck", {"ids": None}, "bad-request", None),
        ("conncheck", {"ids": b"here"}, "bad-request", None),
        ("conncheck", {"ids": {"here": b"x"}}, "bad-request", None),
        ("conncheck", {"ids": [b"here", 1]}, "bad-request", None),
        ("refresh", {}, "bad-request", None),
        ("refresh", {"cid": 1}, "bad-request", None),
        ("refresh", {"cid": None, "channel": b"c"}, "bad-request", None),
        ("refresh", {"channel": 1}, "bad-request", None),
        ("refresh", {"cid": b"gone"}, "item-not-found", None),
        ("nope", {}, "method-not-found", None),
        ("", {}, "method-not-found", None),
        ("run", {}, "method-not-found", None),
        (
            "publish",
            {},
            "bad-request",
            "Invalid format: object does not contain 'items'",
        ),
        (
            "publish",
            {"items": b""},
            "bad-request",
            "Invalid format: object contains 'items' with wrong type",
        ),
        (
            "publish",
            {"items": [ITEM, {"channel": b"a"}]},
            "bad-request",
            "Invalid format: no formats specified",
        ),
        (
            "publish",
            {"items": [1]},
            "bad-request",
            "Invalid format: publish item object is not an object",
        ),
    ],
)
async def test_a_command_that_is_not_done_has_a_condition(run, method, args, condition, value):
    with pytest.raises(CommandError) as caught:
        await run(method, **args)
    assert (caught.value.condition, caught.value.value) == (condition, value)


async def test_of_a_list_with_a_bad_item_nothing_is_published(run, intake):
    with pytest.raises(CommandError):
        await run("publish", items=[ITEM, 1])
    assert intake.items == []


async def test_items_are_published_in_one_batch(run, intake):
    await run("publish", items=[ITEM, {**ITEM, "channel": b"d"}])
    assert intake.channels == ["c", "d"]
    assert len(intake.batches) == 1


async def test_recover_reaches_the_intake(run, intake):
    await run("recover")
    assert intake.calls == ["recover"]


async def test_a_connection_wins_over_a_channel(run, intake):
    await run("refresh", cid=b"here", channel=b"c")
    assert intake.calls == [("refresh", "here", None)]


async def test_a_channel_is_refreshed_by_name(run, intake):
    await run("refresh", channel="é".encode())
    assert intake.calls == [("refresh", None, "é")]


async def test_a_check_that_takes_too_long_fails(intake, monkeypatch):
    monkeypatch.setattr(commands, "CONNCHECK_SECONDS", 0.0)

    class Stuck(FakeIntake):
        async def conncheck(self, ids):
            await self.until(1)

    request = CommandRequest(id=None, method="conncheck", args={"ids": [b"here"]})
    with pytest.raises(CommandError) as caught:
        await Commands(Stuck(), {}).run(request)
    assert caught.value.condition == "proxy-request-failed"

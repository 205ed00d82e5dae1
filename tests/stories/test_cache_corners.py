"""Corners of the cache where several of its rules meet (cache-and-purge.md)."""

import pytest

from tests.holdfakes import a_route, in_virtual_time
from tests.world import World

FRESH = ("Cache-Control: max-age=60", "Surrogate-Key: k")


@pytest.mark.parametrize(("seconds", "asked"), [(0, "50-53"), (100, "0-3")])
@in_virtual_time
async def test_a_range_that_a_stored_part_does_not_answer_goes_to_the_origin(seconds, asked):
    world = World(a_route(cache=True))
    await world.ask("/r", "Range: bytes=0-3")
    await world.answer(*FRESH, "Content-Range: bytes 0-3/100", status=206, body="abcd")
    world.asked()
    await world.wait(seconds)
    await world.ask("/r", f"Range: bytes={asked}")
    (told,) = world.asked()
    assert f"Range: bytes={asked}" in told

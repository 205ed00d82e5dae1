"""Play many interleavings of requests, purges, items and failures (`make soak-purge`).

The model and what it looks at are those of `tests/flow/test_guarantees.py`. It prints how many
interleavings were played, and each one that has ended in a violation as a list of steps, made as
short as it can be, which `tests.flow.purgemodel.play` repeats.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from gripproxy.engine import marks
from tests.flow import purgemodel

# So few that marks are forgotten all the time.
ORPHANS_MAX = 4
FOUND_MAX = 5


def say(text: str) -> None:
    """Print at once, since it takes long."""
    print(text, flush=True)  # noqa: T201


def main() -> int:
    """Play, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interleavings", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--steps", type=int, default=24, help="of each interleaving")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    given = parser.parse_args()
    marks.ORPHANS_MAX = ORPHANS_MAX
    chance = random.Random(given.seed)  # noqa: S311  # to be repeated
    loop = purgemodel.Driver()
    began = time.monotonic()
    played = found = requests = 0
    different = set[int]()
    while played < given.interleavings and time.monotonic() - began < given.seconds:
        config = purgemodel.a_config(chance)
        steps = [purgemodel.a_step(chance) for _ in range(given.steps)]
        played += 1
        different.add(hash((tuple(config.items()), tuple(steps))))
        try:
            requests += purgemodel.play(loop, config, steps).requests
        except Exception as error:  # noqa: BLE001  # a bug is found as well
            found += 1
            # To shorten it may take long.
            say(f"{played}: {error!r}\n  {config}\n  {steps}")
            say(f"  {purgemodel.shrunk(loop, config, steps)}")
            if found == FOUND_MAX:
                break
        if played % 50_000 == 0:
            say(f"{played} interleavings, {time.monotonic() - began:.0f} s")
    seconds = time.monotonic() - began
    say(
        f"{played} interleavings of {given.steps} steps ({len(different)} different), "
        f"{requests} requests to origins, {seconds:.0f} s, seed {given.seed}: "
        f"{found} violations"
    )
    loop.close()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

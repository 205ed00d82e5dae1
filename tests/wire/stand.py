"""The stand: Pushpin and ours side by side, each with an origin, for all scenarios of a set-up."""

import importlib
import time
from collections import Counter
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.wire.origin import Origin, Refusing
from tests.wire.running import Gripproxy, Pushpin, Running, StartError
from tests.wire.scenarios.telling import (
    SCENARIOS,
    SETUPS,
    Scenario,
    Served,
    Told,
    routes_for,
    spares_for,
    tell,
)

# So long may scenarios wait in vain, all told: a program that is stuck must not cost an hour.
PATIENCE_SECONDS = 90.0

KINDS: dict[str, type[Running]] = {"pushpin": Pushpin, "gripproxy": Gripproxy}

for _file in sorted((Path(__file__).parent / "scenarios").glob("*.py")):
    importlib.import_module(f"tests.wire.scenarios.{_file.stem}")


class Stand:
    """Both programs, each with an origin, one pair a set-up; started when first asked for."""

    def __init__(self, early: AbstractSet[tuple[str, str]]) -> None:
        self._stack = ExitStack()
        self._served: dict[tuple[str, str], Served | StartError] = {}
        self._early = early
        self._pool = ThreadPoolExecutor(64)
        self._running: dict[tuple[str, str], Future[list[Told]]] = {}
        self._lost: Counter[str] = Counter()
        self._told: dict[tuple[str, str], list[Told]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True)
        self._stack.close()

    def served(self, kind: str, setup: str = "plain") -> Served | StartError:
        """Return the running program of a set-up, or why it does not run."""
        key = kind, setup
        if key not in self._served:
            self._served[key] = self._start(kind, setup)
            self._begin_slow(kind, setup)
        return self._served[key]

    def told(self, kind: str, play: Scenario) -> list[Told]:
        """Return what a scenario tells of a program; it is played once."""
        key = kind, play.name
        if key not in self._told:
            self._told[key] = self._play(kind, play)
        return self._told[key]

    def _play(self, kind: str, play: Scenario) -> list[Told]:
        served = self.served(kind, play.setup)
        if isinstance(served, StartError):
            return [Told("trouble", str(served), "none")]
        if self._lost[kind] > PATIENCE_SECONDS:
            return [Told("trouble", f"given up: {kind} has not answered for too long", "none")]
        if play.alone:
            wait(self._running.values())
        running = self._running.pop((kind, play.name), None)
        if running is not None:
            return running.result()
        begun = time.monotonic()
        told = tell(play, served)
        if told and told[-1].label.startswith("trouble"):
            self._lost[kind] += time.monotonic() - begun
        return told

    def _start(self, kind: str, setup: str) -> Served | StartError:
        origin = self._stack.enter_context(Origin())
        spares = spares_for(setup)
        refusing = tuple(self._stack.enter_context(Refusing()).port for _ in range(2))
        system = KINDS[kind](routes_for(origin, setup, spares, refusing), settings=SETUPS[setup])
        try:
            self._stack.enter_context(system)
        except StartError as error:
            return error
        return Served(system, origin, spares, refusing)

    def _begin_slow(self, kind: str, setup: str) -> None:
        served = self._served[kind, setup]
        if isinstance(served, Served):
            for play in SCENARIOS.values():
                if play.slow and play.setup == setup and (kind, play.name) in self._early:
                    self._running[kind, play.name] = self._pool.submit(tell, play, served)

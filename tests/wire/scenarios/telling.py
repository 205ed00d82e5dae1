"""What a scenario is, and the list of all.

A scenario is a small generator of (system, stage): it does something through the proxy and tells
what client and origin saw, line by line: a label, what came, and what the specification says
must come from ours. Where Debian's Pushpin 1.36 gives something else, `differences.py` says what
and why.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

from tests.ports import free_port
from tests.wire.origin import Origin, Stage
from tests.wire.running import Running

Line = tuple[str, object, object]
Play = Callable[..., Iterator[Line]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named play, with the lines of the routes file that it needs and its set-up."""

    name: str
    play: Play
    arguments: tuple[Any, ...]
    routes: tuple[str, ...]
    hosts: tuple[str, ...]
    setup: str
    slow: bool
    alone: bool


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a transcript."""

    label: str
    got: object
    spec: object


@dataclass(frozen=True, slots=True)
class Served:
    """A running system and the origin that its routes lead to."""

    system: Running
    origin: Origin
    spares: Mapping[str, int]
    refusing: tuple[int, ...]


SCENARIOS: dict[str, Scenario] = {}

# The options of each set-up beside the defaults of `running.py`; each is one more start.
SETUPS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "dressed": {
        "proxy.debug": "true",
        "proxy.upstream_key": "upstream-key-of-the-outer-proxy-!",
        "proxy.x_forwarded_for": "truncate:1,append",
        "proxy.x_forwarded_for_trusted": "truncate:2",
        "proxy.accept_x_forwarded_protocol": "true",
        "proxy.set_x_forwarded_protocol": "true",
        "proxy.accept_pushpin_route": "true",
        "proxy.orig_headers_need_mark": "x-marked",
        "handler.message_wait": "300",
        "handler.subscription_linger": "1",
        "handler.connection_subscription_max": "2",
        "handler.stats_format": "json",
    },
}


def scenario(
    *routes: str,
    hosts: Sequence[str] = (),
    setup: str = "plain",
    slow: bool = False,
    alone: bool = False,
    each: Mapping[str, tuple[Any, ...]] | None = None,
) -> Callable[[Play], Play]:
    """Enter a play into the list, once, or once for `each` name with its arguments.

    `routes` are lines of the routes file; in them `HOST` is the scenario's own host, `ORIGIN` the
    origin's address, `SPARE` that of a port that nobody has bound, `REFUSING` and `DOWN`
    those of ports that refuse, `NAME` the scenario's name. Without any route, the host is proxied
    over HTTP.
    `slow` plays wait for a timer: all of them run at once, beside the others. `alone` plays touch
    every hold of the instance: they run when nothing else does.
    """

    def enter(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        variants = {name: ()} if each is None else {f"{name}-{k}": v for k, v in each.items()}
        for full, arguments in variants.items():
            assert full not in SCENARIOS, full
            SCENARIOS[full] = Scenario(
                full, play, arguments, tuple(routes), tuple(hosts), setup, slow, alone
            )
        return play

    return enter


def spares_for(setup: str) -> dict[str, int]:
    """Return a free port for each scenario of a set-up that asks for one."""
    asking = (p for p in SCENARIOS.values() if p.setup == setup and "SPARE" in " ".join(p.routes))
    return {play.name: free_port() for play in asking}


def routes_for(
    origin: Origin, setup: str, spares: Mapping[str, int], refusing: tuple[int, ...]
) -> list[str]:
    """Return the lines of the routes file for all scenarios of a set-up."""
    lines = [f"* 127.0.0.1:{origin.port},over_http"]
    for play in SCENARIOS.values():
        if play.setup == setup:
            lines.extend(
                line.replace("HOST", f"{play.name}.test")
                .replace("NAME", play.name)
                .replace("ORIGIN", f"127.0.0.1:{origin.port}")
                .replace("SPARE", f"127.0.0.1:{spares.get(play.name, 0)}")
                .replace("REFUSING", f"127.0.0.1:{refusing[0]}")
                .replace("DOWN", f"127.0.0.1:{refusing[1]}")
                for line in play.routes
            )
    return lines


def tell(play: Scenario, served: Served) -> list[Told]:
    """Play a scenario on a system and return its transcript; what goes wrong is its last line."""
    told: list[Told] = []
    hosts = [host.replace("NAME", play.name) for host in play.hosts]
    with served.origin.stage(play.name, *hosts) as stage:
        stage.spare = served.spares.get(play.name, 0)
        stage.refusing = served.refusing
        try:
            for label, got, spec in play.play(served.system, stage, *play.arguments):
                told.append(Told(label, got, plain(spec)))
        except Exception:  # noqa: BLE001 - whatever it is, the transcript shows it
            told.append(Told("trouble", traceback.format_exc(), "none"))
        if stage.troubles:
            told.append(Told("trouble at the origin", "\n".join(stage.troubles), "none"))
    return told


def plain(spec: object) -> object:
    """Return a specified value as it is compared: blocks of text without their indentation."""
    return cleandoc(spec) if isinstance(spec, str) and "\n" in spec else spec


def channel_of(stage: Stage, name: str = "a") -> str:
    """Return a channel of the scenario."""
    return stage.channel(name)

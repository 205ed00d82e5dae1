"""Each scenario on Pushpin 1.36 and on ours: both as the specification says, and no other way.

A scenario carries what the specification asks of ours. The reference must do the same, but for the
lines in `differences.DIFFERENCES`, where it must do exactly what the table says.
"""

import pytest

from tests.wire.differences import DIFFERENCES, PENDING, difference, key_of, matches, pending
from tests.wire.running import available
from tests.wire.scenarios.telling import SCENARIOS, Told
from tests.wire.stand import Stand

# what disturbs others comes last
NAMES = sorted(SCENARIOS, key=lambda name: (SCENARIOS[name].setup, SCENARIOS[name].alone))


def wrong(name: str, told: list[Told], *, reference: bool) -> dict[str, tuple[object, object]]:
    """Return the lines that are not as they must be: label -> (came, must be)."""
    found: dict[str, tuple[object, object]] = {}
    for line in told:
        listed = difference(name, line.label) if reference else None
        must = line.spec if listed is None else listed.pushpin
        if line.got != must:
            found[line.label] = line.got, must
        elif listed is not None and listed.pushpin == line.spec:
            found[line.label] = line.got, "listed, but no difference"
    return found


def explain(lines: dict[str, tuple[object, object]]) -> str:
    """Write wrong lines for a reader."""
    return "\n".join(
        f"\n--- {label}: came\n{came}\n--- must be\n{must}"
        for label, (came, must) in lines.items()
    )


@pytest.mark.skipif(not available("pushpin"), reason="pushpin is not installed")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["pushpin"])
def test_the_reference_is_as_specified(kind: str, name: str, stand: Stand):
    told = stand.told(kind, SCENARIOS[name])
    lines = wrong(name, told, reference=True)
    assert told
    assert not lines, explain(lines)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["gripproxy"])
def test_ours_is_as_specified(kind: str, name: str, stand: Stand):
    lines = wrong(name, stand.told(kind, SCENARIOS[name]), reference=False)
    why = pending(name)
    if why is not None:
        assert lines, f"{name} works now: take it out of PENDING"
        pytest.xfail(why)
    assert not lines, explain(lines)


def test_what_is_pending_is_a_scenario():
    assert set(PENDING.values()) <= {pending(name) for name in SCENARIOS}


@pytest.mark.skipif(not available("pushpin"), reason="pushpin is not installed")
def test_each_listed_difference_is_about_a_line(stand: Stand):
    unused = set(DIFFERENCES)
    for name, play in SCENARIOS.items():
        if any(matches(name, pattern) for pattern, _ in unused):
            for line in stand.told("pushpin", play):
                unused.discard(key_of(name, line.label))
    assert unused == set()

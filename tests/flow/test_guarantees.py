"""The guarantee of cache-and-purge.md, whatever happens in whatever order.

The model is `tests.flow.purgemodel`; what it looks at after each step are the lines of *The
guarantee*. `scripts/soak_purge.py` plays far more of the same (`make soak-purge`).
"""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.flow.brokencaches import BROKEN
from tests.flow.purgemodel import STEPS, Driver, Model, Violation

# So few that a story of some steps is enough to have marks forgotten.
ORPHANS_MAX = 4
NUMBERS = st.integers(0, 59)


@pytest.fixture(autouse=True)
def few_orphans(monkeypatch):
    monkeypatch.setattr("gripproxy.engine.marks.ORPHANS_MAX", ORPHANS_MAX)


@pytest.fixture(autouse=True)
def loop():
    made = Guarantees.loop = Driver()
    yield made
    made.close()


class Guarantees(RuleBasedStateMachine):
    """An instance, in which each rule is a step of the model."""

    loop: Driver
    steps = frozenset(STEPS)
    given: ClassVar = {}

    def __init__(self):
        super().__init__()
        self.model = None
        self.loop.__enter__()

    @initialize(
        workers=st.integers(1, 3),
        history=st.booleans(),
        purge_channel=st.booleans(),
        lag=st.sampled_from((0.0, 0.0, 0.0, 0.0, 1.0)),
        focus=st.sampled_from((0, 1, 2, 3, None)),
    )
    def begin(self, **config):
        self.model = Model(self.loop, **{**config, **self.given})

    for _name in STEPS:

        @precondition(lambda self, name=_name: name in self.steps)
        @rule(a=NUMBERS, b=NUMBERS, c=NUMBERS)
        def _step(self, a, b, c, name=_name):
            self._do(name, a, b, c)

        _step.__name__ = _name
        locals()[_name] = _step
    del _step, _name

    def _do(self, *step):
        model = self.model
        self.model = None  # nothing more is asked of one that has failed
        model.step(*step)
        self.model = model

    def teardown(self):
        try:
            if self.model is not None:
                self.model.drain()
        finally:
            self.loop.forget()
            self.loop.__exit__()


SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
TestGuarantees = Guarantees.TestCase
TestGuarantees.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=SLOW
)
FINDING = settings(
    max_examples=1500,
    stateful_step_count=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    suppress_health_check=SLOW,
)
# Where to look for it, so that it takes no hours: the steps that matter, one worker, one resource.
ASKING = "ask has hold answer purge publish read"
AIMS = {
    "a_304_that_revives": ("ask stale answer purge", {"focus": 1}),
    "stale_if_error_from_the_flight": ("stale purge ask answer", {"focus": 1}),
    "no_floor": ("has hold answer purge publish", {"focus": 3}),
    "no_hold_check": ("hold answer publish", {"focus": 0}),
    "settling_from_arrival": ("ask has answer purge wait", {"lag": 1.0, "focus": 2}),
    "marks_dropped_without_forgotten": ("ask purge storm answer", {"focus": 2}),
}


def aimed(name):
    steps, given = AIMS.get(name, (ASKING, {}))
    given = {"workers": 1, "lag": 0.0, "purge_channel": False, **given}
    return type("Aimed", (Guarantees,), {"steps": steps.split(), "given": given})


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_that_is_broken_is_found(name, monkeypatch):
    machine = aimed(name)
    BROKEN[name](monkeypatch)
    with pytest.raises(Violation):
        run_state_machine_as_test(machine, settings=FINDING)


@pytest.mark.parametrize("name", BROKEN)
def test_where_no_rule_is_broken_nothing_is_found(name):
    machine = aimed(name)
    few = settings(FINDING, max_examples=20)
    run_state_machine_as_test(machine, settings=few)

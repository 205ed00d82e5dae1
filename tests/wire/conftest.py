"""Fixtures for tests of running programs: origins, ours, the reference, and the stand of both."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.wire.origin import Origin
from tests.wire.running import Gripproxy, StartError, available
from tests.wire.scenarios.telling import Served
from tests.wire.stand import Stand


@pytest.fixture(scope="session")
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """The stand; slow scenarios that this session will ask for begin with their program."""
    asked = set()
    for item in request.session.items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if {"kind", "name"} <= parameters.keys():
            asked.add((parameters["kind"], parameters["name"]))
    with Stand(asked) as both:
        yield both


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin of one's own."""
    with Origin() as one:
        yield one


@pytest.fixture
def gripproxy() -> Iterator[Callable[..., Gripproxy]]:
    """Start ours with these routes, settings and arguments: `gripproxy(["* test"])`."""
    with ExitStack() as stack:

        def start(*arguments: object, **named: object) -> Gripproxy:
            return stack.enter_context(Gripproxy(*arguments, **named))  # type: ignore[arg-type]

        yield start


@pytest.fixture(scope="session")
def shared_gripproxy(stand: Stand) -> Served:
    """Ours with its origin, shared: use `.system`, and a stage of your own of `.origin`."""
    return _working(stand.served("gripproxy"))


@pytest.fixture(scope="session")
def pushpin(stand: Stand) -> Served:
    """The reference with its origin, shared; skips where it is not installed."""
    if not available("pushpin"):
        pytest.skip("pushpin is not installed")
    return _working(stand.served("pushpin"))


def _working(served: Served | StartError) -> Served:
    if isinstance(served, StartError):
        raise served
    return served

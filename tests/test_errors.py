"""The tree of exceptions, and the messages that they make."""

import inspect
import re

import pytest

from gripproxy import errors
from gripproxy.errors import (
    CommandError,
    ConfigError,
    ConfigErrors,
    GripProxyError,
    ListenError,
    RouteError,
    WorkerError,
)


def outlined() -> dict[str, str]:
    """Return what the docstring says: each class, and its base."""
    found: dict[str, str] = {}
    path = ["GripProxyError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│ ]*)[├└]── (\w+)", line)
        if match is not None:
            depth = len(match[1]) // 4 + 1
            path = [*path[:depth], match[2]]
            found[match[2]] = path[depth - 1]
    return found


def test_the_outline_is_that_of_the_classes():
    classes = inspect.getmembers(errors, inspect.isclass)
    bases = {
        name: found.__base__.__name__
        for name, found in classes
        if issubclass(found, GripProxyError) and found is not GripProxyError
    }
    assert outlined() == bases


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("a.conf:3", "nonsense"), "a.conf:3: nonsense"),
        (ConfigErrors([ConfigError("a", "b"), ConfigError("c", "d")]), "a: b\nc: d"),
        (RouteError("routes", 3, "expecting prop"), "routes:3: expecting prop"),
        (ListenError("[a] b", "1.2.3.4:5", "taken"), "[a] b: cannot listen on 1.2.3.4:5: taken"),
        (
            ListenError("[a] b", "1.2.3.4:5", "taken", "do this"),
            "[a] b: cannot listen on 1.2.3.4:5: taken; do this",
        ),
        (WorkerError(2, "exit code 1"), "worker 2 does not start: exit code 1"),
        (CommandError("bad-request", "value"), "bad-request"),
    ],
)
def test_an_exception_makes_its_own_message(error, text):
    assert str(error) == text

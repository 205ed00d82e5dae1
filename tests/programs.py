"""Programs of the system that tests drive: a browser, a peer, a runtime. pip cannot bring them."""

import shutil
from pathlib import Path

import pytest

TABLE = Path(__file__).parent.parent / "scripts" / "packages.txt"


def packages() -> dict[str, str]:
    """Read what tests need: the program and Debian's package for it."""
    rows = (line.split() for line in TABLE.read_text(encoding="utf-8").splitlines())
    return {row[1]: row[2] for row in rows if row[0] == "tests"}


def program(name: str) -> str:
    """Return the path of a program, or fail the test and name the package to install.

    A test that was skipped where its program is missing would look like one that passed.
    """
    package = packages()[name]
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: apt-get install {package}", pytrace=False)
    return found

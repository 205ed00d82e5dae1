import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs

SCRIPT = programs.TABLE.with_name("system-packages")


@pytest.fixture
def bare(tmp_path):
    """A PATH with what the script itself runs, without apt-get and without the packages."""
    for name in ("bash", "dirname", "id", "env"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def install(purpose: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, purpose], env={"PATH": str(path)}, capture_output=True, text=True, check=False
    )


def test_a_program_that_is_there_is_found(monkeypatch):
    monkeypatch.setattr(programs, "packages", lambda: {"python3": "python3"})
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert os.access(programs.program("python3"), os.X_OK)


def test_a_program_that_is_missing_fails_the_test_and_names_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="apt-get install nodejs"):
        programs.program("node")


def test_packages_that_cannot_be_installed_are_named_and_nothing_else_is_done(bare):
    result = install("tests", bare)
    assert result.returncode == 0
    assert "missing, and not to be installed from here: chromium pushpin" in result.stderr


def test_nothing_is_said_when_nothing_is_missing(bare):
    for name in programs.packages():
        (bare / name).symlink_to(sys.executable)
    result = install("tests", bare)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

"""The pid file: one instance in one directory."""

import fcntl
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from gripproxy import rundir
from gripproxy.config import Config
from gripproxy.errors import ConfigError
from gripproxy.options import Global
from gripproxy.rundir import PidFile


def test_the_file_holds_the_pid_and_is_removed(tmp_path):
    path = tmp_path / "pid"
    file = PidFile.take(path)
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    assert not path.exists()


def test_a_file_that_was_left_behind_is_overwritten(tmp_path):
    path = tmp_path / "pid"
    path.write_text("1234567890\n")
    PidFile.take(path).remove()
    assert not path.exists()


def test_a_file_of_a_process_that_lives_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "pid"
    script = (
        "import sys, pathlib, gripproxy.rundir as r;"
        "f = r.PidFile.take(pathlib.Path(sys.argv[1])); print('there', flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"there\n"
        with pytest.raises(ConfigError, match=f"that of process {other.pid};.* --id N"):
            PidFile.take(path)
        assert path.read_text() == f"{other.pid}\n"
        other.kill()
        other.wait()
        PidFile.take(path).remove()


def test_a_file_that_is_removed_while_it_is_taken_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "pid"
    locks = []

    def lock(fd: int, how: int) -> None:
        if not locks:
            path.unlink()  # as the one does that ends just now
        locks.append(fd)

    monkeypatch.setattr(fcntl, "flock", lock)
    file = PidFile.take(path)
    assert len(locks) == 2
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()


def test_a_file_that_was_removed_by_somebody_does_not_matter(tmp_path):
    path = tmp_path / "pid"
    file = PidFile.take(path)
    path.unlink()
    file.remove()


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write .*: not a directory"):
        PidFile.take(tmp_path / "file" / "pid")


@pytest.mark.parametrize("name", ["file/x", "a\0b"])
def test_a_directory_that_cannot_be_made_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    config = Config(general=replace(Global(), rundir=name))
    with pytest.raises(ConfigError, match=r"\[global\] rundir: failed to create directory"):
        rundir.enter(config)


def test_the_directory_is_made_and_the_name_has_the_prefix(tmp_path):
    directory = tmp_path / "a" / "b"
    config = Config(general=replace(Global(), rundir=str(directory), ipc_prefix="p7-"))
    file = rundir.enter(config)
    assert [path.name for path in directory.iterdir()] == ["p7-gripproxy.pid"]
    file.remove()


def test_without_a_directory_there_is_no_file():
    assert rundir.enter(Config()) is None

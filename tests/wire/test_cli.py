"""The command line: what is wrong is said in one line, with exit code 2 and no traceback.

Specification: config.md 2, 6.2-6.5, 7; routes.md 8.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.wire.client import wait_until
from tests.wire.launch import Program, program
from tests.wire.running import ROOT, Gripproxy

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "gripproxy")
ROUTE = ("--route", "* test")
PLAIN = "[runner]\nhttp_port=127.0.0.1:1\n[handler]\npush_in_http_addr=127.0.0.1\n"
GOOD = "[runner]\nhttp_port=7999\n[proxy]\nroutesfile=routes\n"


def called(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def refused(*arguments: str, cwd: Path, **environ: str) -> str:
    """Run a command that must not start; return the one line that it says."""
    result = called(*arguments, cwd=cwd, **environ)
    assert result.returncode == 2, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("gripproxy: ")
    return lines[0].removeprefix("gripproxy: ")


def alone() -> tuple[str, ...]:
    """Options with which a start disturbs nobody."""
    return (
        *("--set", f"runner.http_port=127.0.0.1:{free_port()}"),
        *("--set", f"handler.push_in_http_port={free_port()}"),
        *("--set", "handler.push_in_spec=", "--set", "handler.push_in_sub_specs="),
        *("--set", "handler.command_spec="),
    )


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A directory with a configuration file, so that no other one of this machine is read."""
    (tmp_path / "gripproxy.conf").write_text(PLAIN)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


# Help


def test_without_a_command_it_says_how_it_is_used(tmp_path):
    result = called(cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: ")
    assert {"run", "check", "explain", "publish"} <= set(result.stdout.split())
    assert "worker" not in result.stdout.split()


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("explain",), ("publish",)])
def test_help_is_asked_for_with_two_names(tmp_path, command, option):
    result = called(*command, option, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_the_version_is_one_line(tmp_path, option):
    result = called(option, cwd=tmp_path)
    assert result.returncode == 0
    assert re.fullmatch(r"gripproxy \d+\.\d+\.\d+\S*\n", result.stdout)


# Usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--confg", "x"), "'--confg'|--confg .*--config"),
        (("run", "--nope"), "--nope"),
        (("rum",), "rum"),
        (("run", "extra"), r"unexpected extra argument \(extra\)"),
        (("run", "--config"), "--config.*requires an argument"),
        (("run", "--id", "x"), "--id"),
        (("run", "--id", "-1"), "--id: id must be greater than or equal to 0"),
        (("run", "--port", "0", *ROUTE), "--port: port must be greater than or equal to 1"),
        (("run", "--port", "abc", *ROUTE), "--port.*abc.*is not a port"),
        (("run", "--log-level", "-1", *ROUTE), "log level must be greater than or equal to 0"),
        (("run", "--log-level", "proxy:x", *ROUTE), 'log level for service proxy: "x"'),
        (("run", "--set", "runner.http_prt=1", *ROUTE), "did you mean runner.http_port"),
        (("run", "--set", "nonsense", *ROUTE), "section.option=value"),
        (("run", "--set", "runner.workers=many", *ROUTE), '"many" is not a number'),
        (("run", "--config", "none.conf"), "no configuration file found. Tried: none.conf"),
        (("run",), "there are no routes; try --route"),
        (("run", "--route", "* tset"), 'tset": target bad format'),
        (("run", "--route", "*"), "must specify condition and at least one target"),
    ],
)
def test_a_wrong_command_line_is_refused(tmp_path, arguments, words):
    assert re.search(words, refused(*arguments, cwd=tmp_path))


def test_an_option_that_is_nearly_one_is_guessed(tmp_path):
    assert "did you mean '--config'" in refused("run", "--confg", "x", cwd=tmp_path).lower()


def test_every_wrong_route_is_named(tmp_path):
    routes = ("--route", "a.test", "--route", "* test", "--route", "b x")
    result = called("run", *routes, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        'gripproxy: --route: "a.test": must specify condition and at least one target',
        'gripproxy: --route: "b x": target bad format',
    ]


def test_everything_that_is_wrong_in_a_file_is_said(tmp_path):
    file = tmp_path / "gripproxy.conf"
    file.write_text("[runner]\nhttp_prt=1\nclient_maxconn=x\n[handlers]\n")
    result = called("run", *ROUTE, cwd=tmp_path)
    assert result.returncode == 2
    places = [line.split(": ")[1] for line in result.stderr.splitlines()]
    assert sorted(places) == [f"gripproxy.conf:{line}" for line in (2, 3, 4)]


def test_a_variable_with_an_unknown_name_is_refused(tmp_path):
    line = refused("run", *ROUTE, cwd=tmp_path, GRIPPROXY_HANDLER_PUSH_PORT="1")
    expected = "unknown option; did you mean GRIPPROXY_HANDLER_PUSH_IN_SPEC?"
    assert line == f"GRIPPROXY_HANDLER_PUSH_PORT: {expected}"


# Files


def test_a_routes_file_that_is_missing_is_refused(tmp_path):
    (tmp_path / "gripproxy.conf").write_text(GOOD.replace("=routes", "=gone"))
    line = refused("run", cwd=tmp_path)
    text = "unable to open routes file: gone: no such file or directory"
    assert line == f"[proxy] routesfile: {text}"


def test_a_routes_file_that_is_a_directory_is_refused(tmp_path):
    (tmp_path / "routes").mkdir()
    (tmp_path / "gripproxy.conf").write_text(GOOD)
    assert "is a directory" in refused("run", cwd=tmp_path)


def test_a_routes_file_without_a_good_line_is_refused(tmp_path):
    (tmp_path / "routes").write_text("# nothing\n")
    (tmp_path / "gripproxy.conf").write_text(GOOD)
    assert refused("run", cwd=tmp_path).startswith("routes: there is no route in this file")
    (tmp_path / "routes").write_text("* tset\n")
    assert refused("run", cwd=tmp_path) == "routes:1: target bad format"


def test_a_logfile_in_a_missing_directory_is_refused(tmp_path):
    line = refused("run", *ROUTE, *alone(), "--logfile", "gone/log", cwd=tmp_path)
    assert line == "gone/log: failed to open log file: No such file or directory"


def test_a_log_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    line = refused("run", *ROUTE, *alone(), "--set", "runner.logdir=file/x", cwd=tmp_path)
    assert line == "[runner] logdir: failed to create directory: file/x: not a directory"


def test_a_rundir_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    line = refused("run", *ROUTE, *alone(), "--set", "global.rundir=file/x", cwd=tmp_path)
    assert line == "[global] rundir: failed to create directory: file/x: not a directory"


def test_no_file_is_left_by_a_start_without_files(tmp_path):
    refused("run", *ROUTE, *alone(), "--set", "handler.push_in_spec=tcp://0.0.0.1:1", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gripproxy.conf"]


# Ports


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_client_port_that_is_taken_is_refused(tmp_path, taken, workers):
    given = ("--port", f"127.0.0.1:{taken}", "--set", f"runner.workers={workers}")
    line = refused("run", *ROUTE, *alone(), *given, cwd=tmp_path)
    assert line == (
        f"[runner] http_port: cannot listen on 127.0.0.1:{taken}: address already in use; "
        "set another with --port"
    )


def test_a_control_port_that_is_taken_is_refused(tmp_path, taken):
    given = ("--set", f"handler.push_in_http_port={taken}")
    line = refused("run", *ROUTE, *alone(), *given, cwd=tmp_path)
    text = f"cannot listen on 127.0.0.1:{taken}: address already in use; set another with "
    assert line.startswith(f"[handler] push_in_http_port: {text}")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("option", ["push_in_spec", "push_in_sub_specs", "command_spec"])
def test_a_zeromq_port_that_is_taken_is_refused(tmp_path, taken, option, workers):
    given = ("--set", f"handler.{option}=tcp://127.0.0.1:{taken}")
    more = ("--set", f"runner.workers={workers}")
    line = refused("run", *ROUTE, *alone(), *given, *more, cwd=tmp_path)
    assert line == (
        f"[handler] {option}: cannot listen on tcp://127.0.0.1:{taken}: address already in use; "
        f"set another with --set handler.{option}=ENDPOINT"
    )


def test_a_unix_socket_that_somebody_listens_on_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.listen()
        line = refused("run", *ROUTE, *alone(), "--set", "runner.local_ports=socket", cwd=tmp_path)
    assert line == "[runner] local_ports: cannot listen on socket: address already in use"


def test_a_file_in_the_place_of_a_unix_socket_is_refused(tmp_path):
    (tmp_path / "file").touch()
    line = refused("run", *ROUTE, *alone(), "--set", "runner.local_ports=file", cwd=tmp_path)
    assert line == "[runner] local_ports: cannot listen on file: address already in use"


def test_a_unix_socket_of_an_unknown_user_is_refused(tmp_path):
    given = ("--set", "runner.local_ports=socket?user=nobody-of-that-name")
    line = refused("run", *ROUTE, *alone(), *given, cwd=tmp_path)
    assert line == "[runner] local_ports: socket: there is no user nobody-of-that-name"


def test_an_address_of_another_machine_is_refused(tmp_path):
    line = refused("run", *ROUTE, *alone(), "--port", "192.0.2.1:1", cwd=tmp_path)
    assert "no such address on this machine" in line


def test_a_second_start_in_the_same_rundir_is_refused(gripproxy, tmp_path):
    first = gripproxy(["* test"])
    given = ("--set", f"global.rundir={first.directory}/run", "--set", "global.ipc_prefix=wire-")
    line = refused("run", *ROUTE, *alone(), *given, cwd=tmp_path)
    assert line == (
        f"[global] rundir: gripproxy already runs there: {first.directory}/run/wire-gripproxy.pid "
        f"is that of process {first.process.pid}; write another rundir or ipc_prefix, "
        "or start with --id N"
    )


# Check


def checked(tmp_path: Path, conf: str, routes: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "a.conf").write_text(conf)
    (tmp_path / "routes").write_text(routes)
    return called("check", "--config", "a.conf", cwd=tmp_path)


def test_check_explains_routes_in_words(tmp_path):
    result = checked(tmp_path, GOOD, "* test\na.test,path_beg=/b 127.0.0.1:1,ssl 127.0.0.1:2\n")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "routes:1: requests and WebSockets of hosts without lines go to the built-in test origin",
        "routes:2: requests and WebSockets of a.test whose path begins with /b go to "
        "127.0.0.1:1 (TLS), else to 127.0.0.1:2",
        "a.conf: fine",
    ]


def test_check_names_each_wrong_line_of_the_routes(tmp_path):
    result = checked(tmp_path, GOOD, "* test\na.test\n\nb.test x\n")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "routes:2: must specify condition and at least one target",
        "routes:4: target bad format",
    ]


def test_check_names_each_wrong_line_of_the_configuration(tmp_path):
    result = checked(tmp_path, GOOD + "debug=maybe\nnonsense=1\n", "* test\n")
    assert result.returncode == 2
    places = [line.partition(": ")[0] for line in result.stderr.splitlines()]
    assert sorted(places) == ["a.conf:5", "a.conf:6"]


def test_check_warns_of_what_is_odd(tmp_path):
    result = checked(tmp_path, GOOD + "updates_check=report\n", "* test,nosuch\n* test\n")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert "warning: [proxy] updates_check: ignored, gripproxy does not check for updates" in lines
    assert any(line.startswith('warning: routes:1: unknown option "nosuch"') for line in lines)
    assert "warning: routes:2 skipping duplicate condition" in lines


def test_check_warns_of_a_parameter_once(tmp_path):
    result = checked(tmp_path, GOOD, "*,session test\n")
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning: routes")]
    assert warnings == ["warning: routes:1: session is not supported"]


def test_check_says_whose_order_decides(tmp_path):
    result = checked(tmp_path, GOOD, "*,ssl=no test\n*,path_beg=/a test\n")
    assert any(line.startswith("note: routes:2: ") for line in result.stdout.splitlines())


def test_check_opens_nothing(tmp_path, taken):
    assert checked(tmp_path, GOOD.replace("7999", str(taken)), "* test\n").returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.conf", "gripproxy.conf", "routes"}


# Explain


def test_explain_says_what_the_origin_is_asked(tmp_path):
    given = ("--route", "a.test,path_beg=/b,replace_beg=/c 127.0.0.1:1")
    result = called("explain", *given, "http://a.test/b/d", "-H", "X-A: 1", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("<route>:1: requests and WebSockets of a.test ")
    assert lines[2:6] == [
        "127.0.0.1:1 is asked:",
        "    GET /c/d HTTP/1.1",
        "    Host: a.test",
        "    X-A: 1",
    ]


def test_explain_says_why_nobody_is_asked(tmp_path):
    result = called("explain", "--route", "a.test test", "http://b.test/", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.startswith("No route: there is no line for the host b.test")


def test_explain_says_how_a_client_is_refused(tmp_path):
    result = called("explain", *ROUTE, "http://a.test:99999/", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.startswith("The client gets 400: ")


def test_explain_wants_a_url(tmp_path):
    assert refused("explain", *ROUTE, "a.test/x", cwd=tmp_path) == (
        'the URL "a.test/x" must look like http://HOST/PATH, or with https, ws or wss'
    )


# Start


@contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[Program]:
    command = [*COMMAND, "run", *arguments]
    with program(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}) as running:
        running.wait_to_say(" started")
        yield running


def test_a_start_shows_what_listens_and_how_to_publish(tmp_path):
    port, control, zeromq = free_port(), free_port(), free_port()
    given = (
        *("--port", f"127.0.0.1:{port}", "--set", f"handler.push_in_http_port={control}"),
        *("--set", f"handler.push_in_spec=tcp://127.0.0.1:{zeromq}"),
        *("--set", "handler.push_in_sub_specs=", "--set", "handler.command_spec="),
    )
    with started(tmp_path, *ROUTE, *given) as running:
        shown = [line.split(maxsplit=1) for line in running.output.splitlines() if line[:1] == " "]
    assert shown == [
        ["config", "gripproxy.conf"],
        ["clients", f"http://127.0.0.1:{port}"],
        ["control", f"http://127.0.0.1:{control}/publish"],
        ["PULL", f"tcp://127.0.0.1:{zeromq}"],
        ["route", "* test"],
        ["publish", f"GRIP_URL=http://127.0.0.1:{control} gripproxy publish CHANNEL CONTENT"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["gripproxy.conf"]


def test_a_start_warns_of_what_is_odd_in_a_route_of_the_command_line(tmp_path):
    with started(tmp_path, "--route", "*,nosuch test", *alone()) as running:
        assert running.output.count('<route>:1: unknown option "nosuch"') == 1


def test_a_start_without_ports_for_publishers_says_so(tmp_path):
    given = ("--set", "handler.push_in_http_port=0")
    with started(tmp_path, *ROUTE, *alone(), *given) as running:
        assert "no input for publishers is open" in running.output


def test_a_port_that_the_kernel_chooses_is_shown(tmp_path):
    given = ("--set", "runner.http_port=127.0.0.1:0")
    with started(tmp_path, *ROUTE, *alone()[2:], *given) as running:
        found = re.search(r"clients +http://127\.0\.0\.1:(\d+)", running.output)
        assert found is not None
        running.wait_to_listen(int(found[1]))


def test_the_id_moves_the_control_ports(tmp_path):
    port, control, zeromq = free_port(), free_port(), free_port()
    given = (
        *("--port", f"127.0.0.1:{port}", "--id", "7"),
        *("--set", f"handler.push_in_http_port={control - 70}"),
        *("--set", f"handler.command_spec=tcp://127.0.0.1:{zeromq - 70}"),
    )
    with started(tmp_path, *ROUTE, *given) as running:
        for moved in (port, control, zeromq):
            running.wait_to_listen(moved)


def test_the_sockets_of_an_instance_have_its_prefix(tmp_path):
    spec = "handler.push_in_spec=ipc://{rundir}/{ipc_prefix}pull"
    given = ("--set", "global.rundir=run", "--set", spec, "--id", "3")
    with started(tmp_path, *ROUTE, *alone(), *given):
        wait_until((tmp_path / "run" / "p3-pull").exists, "the socket")
        assert (tmp_path / "run" / "p3-gripproxy.pid").exists()


def test_the_later_one_of_a_flag_and_a_setting_counts(tmp_path):
    first, second = free_port(), free_port()
    flag = ("--port", f"127.0.0.1:{first}")
    setting = ("--set", f"runner.http_port=127.0.0.1:{second}")
    with started(tmp_path, *ROUTE, *alone(), *setting, *flag) as running:
        assert f"http://127.0.0.1:{first}\n" in running.output
    with started(tmp_path, *ROUTE, *alone(), *flag, *setting) as running:
        assert f"http://127.0.0.1:{second}\n" in running.output


@pytest.mark.parametrize("spelling", ["-port", "--port"])
def test_long_options_may_have_one_dash(tmp_path, spelling):
    port = free_port()
    given = (*alone()[2:], f"{spelling}=127.0.0.1:{port}")
    with started(tmp_path, *ROUTE, *given) as running:
        running.wait_to_listen(port)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_serves_and_is_removed_at_the_end(tmp_path, workers):
    given = ("--set", "runner.local_ports=socket?mode=600", "--set", f"runner.workers={workers}")
    path = tmp_path / "socket"
    with started(tmp_path, *ROUTE, *alone(), *given) as running:
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\nHost: any.test\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200 OK\r\n")
        running.process.terminate()
        assert running.process.wait(10) == 0
    assert not path.exists()


def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    given = ("--set", "runner.local_ports=socket")
    with started(tmp_path, *ROUTE, *alone(), *given), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_logfile_has_the_lines_of_all_processes(tmp_path, workers):
    port = free_port()
    given = (*alone()[2:], "--port", f"127.0.0.1:{port}", "--set", f"runner.workers={workers}")
    log = tmp_path / "here.log"
    command = [*COMMAND, "run", *ROUTE, *given, "--logfile", "here.log"]
    with program(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}) as running:
        running.wait_to_listen(port)
        for number in range(20):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET /%d HTTP/1.0\r\nHost: any.test\r\n\r\n" % number)
                assert client.recv(100)
        wait_until(lambda: log.read_text().count("-> test") == 20, "20 access lines")
        assert "-> test" not in running.output


def test_options_without_effect_are_named_once(gripproxy):
    settings = {"runner.https_ports": f"127.0.0.1:{free_port()}", "proxy.workers": "5"}
    system: Gripproxy = gripproxy(["* test"], settings=settings)
    log = system.log()
    assert log.count("[runner] https_ports: not supported yet") == 1
    assert log.count("[proxy] workers: ignored, use [runner] workers") == 1

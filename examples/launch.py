"""What every `run.py` does: start an origin, put the proxy in front of it, print the URL.

Everything listens on 127.0.0.1. Clients come in at port 7999, publishers at 5560 to 5563; a port
that is taken is replaced by a free one, and said so. Ctrl-C or SIGTERM ends proxy and origin.
"""

import argparse
import contextlib
import importlib.util
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
PORTS = {"clients": 7999, "pull": 5560, "control": 5561, "sub": 5562, "command": 5563}
# Below the ports that outgoing connections are given: none of these takes one before it is used.
SPARE_PORTS = range(12_000, 32_000)
START_SECONDS = 30
STOP_SECONDS = 10


def launch(place, *command, prepare=(), module="gripproxy", group=None, route="", options=()):
    """Run one example until it is told to stop, then exit.

    `command` starts the origin in the folder `place`; in it `{port}` becomes where it listens,
    `{control}` the base of the control API, `{pull}` where items go over ZeroMQ. The first two are
    in its environment as PORT and, as GRIP libraries take it, GRIP_URL. `prepare` is a command to
    run first. A `module` that is missing comes with a dependency `group` of pyproject.toml.
    `route` is what the route has beside its `*`, for example `,cache`; `options` are further ones
    of the proxy, for example `handler.history_items=100`.
    """
    _use_environment(module, group)
    parser = argparse.ArgumentParser(description=f"Run the example {place.name}.")
    parser.add_argument("--free-ports", action="store_true", help="take any ports that are free")
    ports = _choose_ports(at_will=parser.parse_args().free_ports)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if prepare:
            subprocess.run(prepare, cwd=place, check=True)
        _run(place, command, ports, _proxy_command(ports, route, options))
    except KeyboardInterrupt:
        print()
    except (ExampleError, OSError, subprocess.CalledProcessError) as failed:
        sys.exit(str(failed))


class ExampleError(Exception):
    """The example does not run; the message says why."""


# The virtual environment


def _use_environment(module, group):
    """Go on in the project's virtual environment, made or completed if need be."""
    if importlib.util.find_spec(module):
        return
    if not PYTHON.exists() or pathlib.Path(sys.prefix) == PYTHON.parent.parent:
        print("Setting up .venv ...", flush=True)
        base = getattr(sys, "_base_executable", sys.executable)
        script = ROOT / "scripts" / "virtual-environment"
        subprocess.run([script, base, *filter(None, [group])], check=True)
    os.execv(PYTHON, [PYTHON, *sys.argv])


# Ports


def _choose_ports(*, at_will):
    ports = {}
    with contextlib.ExitStack() as stack:  # all of them are held until all are found
        for name in (*PORTS, "origin"):
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            usual = None if at_will else PORTS.get(name)
            if usual is not None and _bound(probe, usual):
                ports[name] = usual
                continue
            ports[name] = _spare(probe)
            if usual is not None:
                print(f"Port {usual} is taken: {name} at {ports[name]} instead.")
    return ports


def _spare(probe):
    return next(p for p in random.sample(SPARE_PORTS, len(SPARE_PORTS)) if _bound(probe, p))


def _bound(probe, port):
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


# Processes


def _run(place, command, ports, proxy_command):
    url = f"http://127.0.0.1:{ports['clients']}/"
    control = f"http://127.0.0.1:{ports['control']}"
    pull = f"tcp://127.0.0.1:{ports['pull']}"
    words = [word.format(port=ports["origin"], control=control, pull=pull) for word in command]
    settings = {"PORT": str(ports["origin"]), "GRIP_URL": f"{control}/"}
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        origin = stack.enter_context(_child("The origin", words, cwd=place, env=settings))
        proxy = stack.enter_context(_child("The proxy", proxy_command, log=log))
        _wait_for_answer(url, (origin, proxy))
        _wait_for_answer(control, (origin, proxy))
        print(f"\n  {place.name}: {url}\n")
        print(f"  origin at 127.0.0.1:{ports['origin']}, publish at {control}/publish/")
        print("  Ctrl-C ends it.\n", flush=True)
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        _check((origin, proxy))


def _proxy_command(ports, route, options):
    at = "tcp://127.0.0.1:{}".format
    return [
        *(sys.executable, "-m", "gripproxy", "run"),
        *("--port", f"127.0.0.1:{ports['clients']}"),
        *("--route", f"*{route} 127.0.0.1:{ports['origin']},over_http"),
        *("--set", f"handler.push_in_spec={at(ports['pull'])}"),
        *("--set", "handler.push_in_http_addr=127.0.0.1"),
        *("--set", f"handler.push_in_http_port={ports['control']}"),
        *("--set", f"handler.push_in_sub_specs={at(ports['sub'])}"),
        *("--set", f"handler.command_spec={at(ports['command'])}"),
        *(word for option in options for word in ("--set", option)),
    ]


@contextlib.contextmanager
def _child(name, command, *, cwd=None, env=None, log=None):
    """A child in a process group of its own, so that Ctrl-C reaches us alone and we end it."""
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log and subprocess.STDOUT,
        process_group=0,
    )
    try:
        yield name, child, log
    finally:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _wait_for_answer(url, children):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        _check(children)
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise ExampleError(f"No answer from {url} in {START_SECONDS} s.{_said(children)}")


def _check(children):
    for name, child, _ in children:
        if child.poll() is not None:
            raise ExampleError(f"{name} ended with {child.returncode}.{_said(children)}")


def _said(children):
    """What went to a log rather than to the screen."""
    texts = []
    for *_, log in children:
        if log:
            texts.append(os.pread(log.fileno(), 100_000, 0).decode(errors="replace"))
    return "".join(f"\n{text}" for text in texts)


def _interrupt(*_):
    """End, and let nothing interrupt the end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt

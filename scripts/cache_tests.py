"""Run the public suite of HTTP cache tests against the program, and hold it to its best result.

All required and optimal tests have to pass but those that are named, with the reason, in
`tests/wire/sites/cachetests/left.json`. Both ways to treat cookies are tried at once.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "tests" / "wire" / "sites" / "cachetests"
SUITE = SITE / "node_modules" / "http-cache-tests"
# What npm writes last.
INSTALLED = SITE / "node_modules" / ".package-lock.json"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")

sys.path.insert(0, str(ROOT))

from tests.ports import free_port  # noqa: E402
from tests.wire.client import wait_until  # noqa: E402
from tests.wire.running import Gripproxy  # noqa: E402

COUNTED = ("required", "optimal")
SECONDS = 120

Results = dict[str, tuple[str, object]]


def main() -> int:
    """Run all and say how it went; return the exit code."""
    if not INSTALLED.exists():
        subprocess.run(INSTALL, cwd=SITE, check=True)
    left = json.loads((SITE / "left.json").read_text())
    port = free_port()
    with TemporaryDirectory() as scratch:
        server = serve(port, Path(scratch))
        try:
            wait_until((Path(scratch) / "pid").exists, "the origin")
            with ThreadPoolExecutor() as threads:
                modes = {
                    mode: threads.submit(run, mode, port, {**left["rfc"], **left[mode]})
                    for mode in ("rfc", "safe")
                }
        finally:
            server.terminate()
            server.wait()
    bad = [line for mode, result in modes.items() for line in said(mode, *result.result())]
    return 1 if bad else 0


def serve(port: int, scratch: Path) -> subprocess.Popen[bytes]:
    """Start the suite's origin."""
    told = {"protocol": "http", "port": str(port), "pidfile": str(scratch / "pid")}
    environ = {**os.environ, **{f"npm_config_{name}": value for name, value in told.items()}}
    with (scratch / "log").open("wb") as log:
        return subprocess.Popen(
            ["node", str(SITE / "serve.mjs")], cwd=SUITE, env=environ, stdout=log, stderr=log
        )


def run(mode: str, port: int, left: dict[str, str]) -> tuple[Results, dict[str, str]]:
    """Ask ours in one mode; what fails for the first time is tried once more, alone."""
    route = f"*,cache 127.0.0.1:{port}"
    with Gripproxy([route], settings={"cache.cookies": mode}) as system:
        results = asked(system)
        again = sorted(failed(results) - left.keys())
        if again:
            results.update(asked(system, *again))
    return results, left


def asked(system: Gripproxy, *ids: str) -> Results:
    """Run the tests with these ids, or all."""
    out = system.directory / "results.json"
    base = f"http://127.0.0.1:{system.port}"
    command = ["node", "--no-warnings", str(SITE / "ask.mjs"), base, str(out), *ids]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
    return {name: (kind, outcome) for name, (kind, outcome) in json.loads(out.read_text()).items()}


def failed(results: Results) -> set[str]:
    """Return the ids of what counts and did not pass."""
    return {name for name, (kind, how) in results.items() if kind in COUNTED and how is not True}


def said(mode: str, results: Results, left: dict[str, str]) -> list[str]:
    """Print the counts, and what has changed; return a line for each test that is worse."""
    total = Counter(kind for kind, _ in results.values())
    passed = Counter(kind for kind, how in results.values() if how is True)
    counts = ", ".join(f"{passed[kind]} of {total[kind]} {kind}" for kind in (*COUNTED, "check"))
    print(f"cookies = {mode}: {counts}")
    worse = [
        f"{mode}: {name}: {results[name][1]}" for name in sorted(failed(results) - left.keys())
    ]
    for line in worse:
        print(f"  fails now: {line}")
    for name in sorted(left.keys() - failed(results)):
        print(f"  passes now, take it out of left.json: {mode}: {name}")
    return worse


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Benchmarks for GRIP proxies: runs each scenario against each system in turn.

See README.md. Everything goes over the loopback; every process that is started
is stopped by its process id.
"""
import argparse
import json
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import caching  # noqa: E402
import scenarios  # noqa: E402
from machine import Env, describe  # noqa: E402
from report import table  # noqa: E402
from systems import BUILTIN, Command, Gripproxy, Pushpin  # noqa: E402


SCENARIOS = {**scenarios.SCENARIOS, **caching.SCENARIOS}


def one(env, make, name):
    fn, need = SCENARIOS[name][:2]
    sut = make(env)
    if need not in sut.kinds and need not in sut.features:
        return None
    sut.cached = name in caching.SCENARIOS
    row = {"scenario": name, "system": sut.name, "pinned": env.pinned}
    old = signal.signal(signal.SIGALRM, lambda *x: (_ for _ in ()).throw(TimeoutError("took too long")))
    signal.alarm(env.args.limit)
    try:
        sut.start()
        row.update(fn(sut))
    except Exception as e:  # noqa: BLE001 - a failed run is a row as well
        row.update(getattr(e, "row", {}))
        row["error"] = "%s: %s" % (type(e).__name__, e)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        sut.stop()
    return row


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--systems", default="gripproxy,pushpin,nchan,floor", help="of: %s; a --command's name as well" % ", ".join(BUILTIN))
    p.add_argument("--command", action="append", default=[], metavar="NAME=CMD",
                   help="a system that CMD starts; it may use {port} {origin_port} {zmq_port} {http_port} {sub_port} {cmd_port} {dir} {workers}")
    p.add_argument("--purge", action="append", default=[], metavar="NAME=url|key:METHOD PORT PATH [BODY]",
                   help="how a --command's system purges a URL or a key (tag), if not by POST /purge on {http_port}; "
                        "may use {port} {http_port} {url} {path} {key}")
    p.add_argument("--gripproxy", action="append", default=[], metavar="NAME=PYTHON",
                   help="another checkout of gripproxy, run by the interpreter PYTHON in whose environment it is installed")
    p.add_argument("--pushpin", action="append", default=[], metavar="NAME=ROOT",
                   help="another Pushpin, installed under the directory ROOT; run through chroot")
    p.add_argument("--scenarios", default="fanout-stream-1000,proxy-plain",
                   help="names or prefixes, separated by commas, or 'all'; --list names them")
    p.add_argument("--list", action="store_true")
    p.add_argument("--reps", type=int, default=3)
    p.add_argument("--pin", choices=["pinned", "free", "both"], default="pinned",
                   help="pinned: system under test on CPU 0, generator, origin and publisher on CPU 1")
    p.add_argument("--seconds", type=float, default=4, help="length of the closed-loop or wrk part")
    p.add_argument("--fixed-seconds", type=float, default=3, help="length of the fixed-rate part")
    p.add_argument("--deliveries", type=float, default=10000, help="deliveries per second in the fixed-rate part")
    p.add_argument("--size", type=int, default=100, help="bytes of a message")
    p.add_argument("--window", type=int, default=8, help="messages under way, one channel")
    p.add_argument("--window-many", type=int, default=256, help="messages under way, many channels")
    p.add_argument("--inflight", type=int, default=64, help="connections being opened at once")
    p.add_argument("--nchan-buffer", type=int, default=0, help="nchan_message_buffer_length")
    p.add_argument("--entries", type=int, default=100000, help="entries that purge-tag stores")
    p.add_argument("--purge-rate", type=float, default=50, help="purges per second in purge-under-load")
    p.add_argument("--storm-channels", type=int, default=20, help="channels in reconnect-storm, at most 256")
    p.add_argument("--storm-rate", type=float, default=100, help="items per second in reconnect-storm, over all channels")
    p.add_argument("--storm-inflight", type=int, default=256, help="connections being opened at once in reconnect-storm")
    p.add_argument("--storm-patience", type=float, default=10, help="seconds that clients in reconnect-storm have for what they missed")
    p.add_argument("--ports", default="10200-32000", help="ports that may be used; below the range for outgoing connections")
    p.add_argument("--limit", type=int, default=150, help="seconds after which one run is given up")
    p.add_argument("--baseline", default="pushpin")
    p.add_argument("--out", help="append every row as a line of JSON to this file")
    p.add_argument("--table", help="write the table to this file as well")
    p.add_argument("--from-rows", help="make the table from such a file; run nothing")
    p.add_argument("--keep", action="store_true", help="keep the work directory")
    a = p.parse_args()
    if a.list:
        print("\n".join(SCENARIOS))
        return
    if a.from_rows:
        print(table([json.loads(x) for x in open(a.from_rows)], a.baseline, SCENARIOS))
        return
    makers = {k: c for k, c in BUILTIN.items()}
    purges = {}
    for c in a.purge:
        name, rest = c.split("=", 1)
        kind, template = rest.split(":", 1)
        if kind not in ("url", "key"):
            p.error("--purge NAME=url:... or NAME=key:..., not %r" % c)
        purges.setdefault(name, {})[kind] = template
    for c in a.command:
        name, cmd = c.split("=", 1)
        makers[name] = lambda env, name=name, cmd=cmd: Command(env, name, cmd, purges.get(name))
    for c in a.gripproxy:
        name, python = c.split("=", 1)
        makers[name] = lambda env, name=name, python=python: Gripproxy(env, name, python)
    for c in a.pushpin:
        name, root = c.split("=", 1)
        makers[name] = lambda env, name=name, root=root: Pushpin(env, name, root)
    unknown = set(purges) - {c.split("=", 1)[0] for c in a.command}
    if unknown:
        p.error("--purge names no --command: " + ", ".join(sorted(unknown)))
    systems = a.systems.split(",")
    systems += [n for n in (c.split("=", 1)[0] for c in a.gripproxy + a.pushpin + a.command) if n not in systems]
    want = []
    for x in a.scenarios.split(","):
        want += [s for s in SCENARIOS if s == x] or [s for s in SCENARIOS if x == "all" or s.startswith(x)]
    env = Env(a)
    signal.signal(signal.SIGTERM, lambda *x: sys.exit(143))  # so that what runs is stopped
    rows = []
    try:
        for pinned in {"pinned": [True], "free": [False], "both": [True, False]}[a.pin]:
            env.set_pinned(pinned)
            for name in want:
                for _ in range(a.reps):
                    for s in systems:
                        r = one(env, makers[s], name)
                        if r is None:
                            print("%s: not applicable to %s" % (name, s), file=sys.stderr)
                            continue
                        rows.append(r)
                        print(json.dumps(r), flush=True)
                        if a.out:
                            pathlib.Path(a.out).parent.mkdir(parents=True, exist_ok=True)
                            with open(a.out, "a") as f:
                                f.write(json.dumps(r) + "\n")
    finally:
        if rows:
            t = describe() + "\n\n" + table(rows, a.baseline, SCENARIOS)
            print("\n" + t)
            if a.table:
                pathlib.Path(a.table).parent.mkdir(parents=True, exist_ok=True)
                pathlib.Path(a.table).write_text(t + "\n")
        if not a.keep:
            shutil.rmtree(env.dir, ignore_errors=True)
        else:
            print("kept", env.dir, file=sys.stderr)


if __name__ == "__main__":
    main()

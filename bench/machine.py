"""What a run needs of the machine: processes, ports, counters, CPU sets."""
import mmap
import os
import pathlib
import platform
import random
import re
import socket
import struct
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SLOTS = ("state held errors messages bytes last_ns connect_ns released cmd cmd_ack stop reqs holds over_http"
         " lost doubled cut version version_ns").split()
POS, CHANNELS = 32, 256  # as in common.h
TICK = os.sysconf("SC_CLK_TCK")


class Shm:
    """The counters that a C program keeps in a mapped file."""

    def __init__(self, path):
        self.path = str(path)
        with open(path, "wb") as f:
            f.write(b"\0" * (8 * (POS + CHANNELS)))
        self.f = open(path, "r+b")
        self.m = mmap.mmap(self.f.fileno(), 0)

    def __getitem__(self, name):
        return struct.unpack_from("Q", self.m, SLOTS.index(name) * 8)[0]

    def __setitem__(self, name, v):
        struct.pack_into("Q", self.m, SLOTS.index(name) * 8, v)

    def set_position(self, channel, v):
        """The origin's last id of channel number `channel`."""
        struct.pack_into("Q", self.m, (POS + channel) * 8, v)


def free_ports(k, lo, hi):
    """k ports in lo..hi that nobody listens on."""
    out = []
    while len(out) < k:
        p = random.randint(lo, hi)
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", p))
            if p not in out:
                out.append(p)
        except OSError:
            pass
        finally:
            s.close()
    return out


def wait_port(port, proc, secs=15):
    end = time.monotonic() + secs
    while time.monotonic() < end:
        if proc.poll() is not None:
            raise RuntimeError("exited with %s before it listened" % proc.returncode)
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nothing listens on port %d" % port)


def spawn(cmd, cpus, log, cwd=None, stdout=None):
    def pre():
        if cpus:
            os.sched_setaffinity(0, cpus)

    f = open(log, "ab")
    return subprocess.Popen(
        cmd, stdout=stdout or f, stderr=f, stdin=subprocess.DEVNULL, cwd=cwd, start_new_session=True, preexec_fn=pre
    )


def session_pids(sids):
    """The living processes of these sessions (spawn makes a session for each)."""
    out = []
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                s = open("/proc/%s/stat" % d).read()
            except OSError:
                continue
            r = s.rsplit(")", 1)[1].split()
            if int(r[3]) in sids and r[0] != "Z":
                out.append(int(d))
    return out


def proc_sample(pids):
    """CPU seconds, RSS and PSS (kB) and per-process CPU of these processes."""
    cpu, rss, pss, by = 0.0, 0, 0, {}
    for p in pids:
        try:
            s = open("/proc/%d/stat" % p).read()
            name = s[s.index("(") + 1 : s.rindex(")")]
            r = s.rsplit(")", 1)[1].split()
            c = (int(r[11]) + int(r[12])) / TICK
            for line in open("/proc/%d/smaps_rollup" % p):
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
        except OSError:
            continue
        cpu += c
        by[name] = by.get(name, 0) + c
    return {"cpu": cpu, "rss": rss, "pss": pss, "by": by}


def cpu_busy():
    """Seconds each CPU has been busy since boot."""
    out = {}
    for line in open("/proc/stat"):
        m = re.match(r"cpu(\d+) (.*)", line)
        if m:
            v = [int(x) for x in m.group(2).split()]
            out[int(m.group(1))] = (sum(v[:8]) - v[3] - v[4]) / TICK
    return out


def describe():
    """The machine and the day, for the head of a table: ratios hold on one machine, figures do not travel."""
    m = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    cpu = m.group(1) if m else platform.machine()
    return "Measured %s on %s, %d CPUs, Linux %s, Python %s." % (
        time.strftime("%Y-%m-%d"), cpu, os.cpu_count() or 1, platform.release(), platform.python_version())


class Env:
    """What one run of the harness has in common: directories, tools, CPU sets."""

    def __init__(self, args):
        self.args = args
        self.ports = tuple(map(int, args.ports.split("-")))
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gripbench-"))
        self.bin = self.dir / "bin"
        self.bin.mkdir()
        for n in ("fanload", "cacheload", "origin", "floor"):
            subprocess.run(["cc", "-O2", "-o", str(self.bin / n), str(HERE / (n + ".c"))], check=True)
        self.count = 0
        self.set_pinned(True)

    def set_pinned(self, on):
        two = len(os.sched_getaffinity(0)) >= 2 or (os.cpu_count() or 1) >= 2
        self.pinned = on and two
        self.sut_cpus = {0} if self.pinned else None
        self.gen_cpus = {1} if self.pinned else None
        os.sched_setaffinity(0, self.gen_cpus or set(range(os.cpu_count() or 1)))
        self.workers = 1 if self.pinned else (os.cpu_count() or 1)

    def new_dir(self, name):
        self.count += 1
        d = self.dir / ("%03d-%s" % (self.count, name))
        d.mkdir()
        os.chmod(self.dir, 0o755)
        return d


class Meter:
    """CPU used by the system under test, and by each CPU, since it was made."""

    def __init__(self, sut):
        self.sut, self.t, self.s, self.b = sut, time.monotonic(), sut.sample(), cpu_busy()

    def read(self):
        w = time.monotonic() - self.t
        s, b = self.sut.sample(), cpu_busy()
        by = {k: round((v - self.s["by"].get(k, 0)) / w, 3) for k, v in s["by"].items()}
        return {
            "wall_s": round(w, 3), "sut_cpu_s": round(s["cpu"] - self.s["cpu"], 3),
            "sut_cores": round((s["cpu"] - self.s["cpu"]) / w, 3), "sut_cores_by": by,
            "cpu0_busy": round((b[0] - self.b[0]) / w, 3),
            "cpu1_busy": round((b.get(1, 0) - self.b.get(1, 0)) / w, 3),
            "rss_mb": round(s["rss"] / 1024, 1), "pss_mb": round(s["pss"] / 1024, 1)}


def wait_for(cond, secs, step=0.002):
    end = time.monotonic() + secs
    while not cond():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True

"""The systems under test: how each is configured, started and published to."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import publish
from machine import Shm, free_ports, proc_sample, session_pids, spawn, wait_port


class System:
    """A system under test. start() makes it listen on self.port."""

    name = "?"
    kinds = ("stream", "sse", "ws")
    features = set()
    cached = False  # set before the start: the scenario is one of those with a cache

    def __init__(self, env):
        self.env = env
        self.procs = []
        self.origin = None

    def start(self):
        self.dir = self.env.new_dir(self.name)
        ports = free_ports(8, *self.env.ports)
        self.port, self.origin_port, self.zmq_port, self.http_port, self.sub_port, self.cmd_port, self.x1, self.x2 = ports
        self.oshm = Shm(self.dir / "origin.shm")
        self.origin = spawn(
            [str(self.env.bin / "origin"), "--port", str(self.origin_port), "--shm", self.oshm.path],
            self.env.gen_cpus, self.dir / "origin.log")
        wait_port(self.origin_port, self.origin)
        self.launch()

    def run(self, cmd, port=None):
        p = spawn(cmd, self.env.sut_cpus, self.dir / "sut.log", cwd=str(self.dir))
        self.procs.append(p)
        try:
            wait_port(port or self.port, p)
        except RuntimeError as e:
            said = (self.dir / "sut.log").read_text(errors="replace").strip().splitlines()
            raise RuntimeError("%s; it said: %s" % (e, said[-1] if said else "nothing")) from None
        return p

    def wait_plain(self, secs=15):
        """Wait until a request gets through to the origin."""
        end = time.monotonic() + secs
        while True:
            try:
                urllib.request.urlopen("http://127.0.0.1:%d/plain" % self.port, timeout=2).read()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def pids(self):
        return session_pids({p.pid for p in self.procs})

    def sample(self):
        return proc_sample(self.pids())

    def stop(self):
        for p in self.procs + ([self.origin] if self.origin else []):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        end = time.monotonic() + 4
        for p in self.procs + ([self.origin] if self.origin else []):
            try:
                p.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
        for pid in session_pids({p.pid for p in self.procs} | ({self.origin.pid} if self.origin else set())):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for p in self.procs + ([self.origin] if self.origin else []):
            p.wait()
        self.procs = []

    # what differs between systems
    def publisher(self, encoding="T"):
        return publish.Zmq("127.0.0.1:%d" % self.zmq_port, encoding)

    def path(self, kind, channel):
        return "/%s?channel=%s" % (kind, channel)

    m_is = "M"  # the encoding of items that ingest-zmq-m sends

    def holds(self):
        """How many hold instructions have been given, all told."""
        return self.oshm["holds"]

    def origin_count(self, path):
        """How many requests with that path the origin has answered."""
        u = "http://127.0.0.1:%d/_count?path=%s" % (self.origin_port, path)
        return json.load(urllib.request.urlopen(u, timeout=10))["requests"]

    def purge(self, kind, what):
        """The port and the bytes of the request that purges a URL (`what` is its path) or a key (tag)."""
        raise NotImplementedError

    def http_request(self, method, path, headers=(), body=""):
        head = ["%s %s HTTP/1.1" % (method, path), "Host: 127.0.0.1:%d" % self.port, *headers]
        if body or method == "POST":
            head += ["Content-Type: application/json", "Content-Length: %d" % len(body.encode())]
        return ("\r\n".join(head) + "\r\n\r\n" + body).encode()

    def ingest_http(self):
        item = {"channel": "nobody", "formats": {"http-stream": {"content": "x" * 100}}}
        return self.http_port, "/publish/", "application/json", json.dumps({"items": [item]})


class Pushpin(System):
    """Pushpin as installed, or one installed under another root (--pushpin)."""

    name = "pushpin"
    features = {"proxy", "over-http", "zmq", "zmq-m", "beside", "http", "longpoll", "manychan", "hint", "ids"}
    m_is = "T"  # it does not read msgpack

    def __init__(self, env, name="pushpin", root=""):
        super().__init__(env)
        self.name, self.root = name, root.rstrip("/")

    def launch(self):
        inside = ["chroot", self.root] if self.root else []
        v = subprocess.run(inside + ["pushpin", "--version"], capture_output=True, text=True).stdout
        m = re.search(r"(\d+)\.(\d+)", v)
        new = tuple(map(int, m.groups())) >= (1, 40)  # connmgr does what condure and zurl did
        real = pathlib.Path(tempfile.mkdtemp(prefix="gripbench-pp-", dir=self.root + "/tmp")) if self.root else self.dir
        self.extra_dir = real if self.root else None
        os.chmod(real, 0o755)
        d = str(real)[len(self.root):]
        for s in ("run", "log"):
            (real / s).mkdir()
        mid = "" if new else (
            "zurl_out_specs=ipc://{rundir}/{ipc_prefix}zurl-in\n"
            "zurl_out_stream_specs=ipc://{rundir}/{ipc_prefix}zurl-in-stream\n"
            "zurl_in_specs=ipc://{rundir}/{ipc_prefix}zurl-out\n")
        (real / "routes").write_text("* 127.0.0.1:%d,over_http\n" % self.origin_port)
        (real / "pushpin.conf").write_text(f"""[global]
include={{libdir}}/internal.conf
rundir={d}/run
ipc_prefix=b-
port_offset=0
stats_connection_ttl=120

[runner]
services={"connmgr,proxy,handler" if new else "condure,zurl,pushpin-proxy,pushpin-handler"}
http_port=127.0.0.1:{self.port}
logdir={d}/log
log_level=1
client_buffer_size=8192
client_maxconn=15000
condure_bin=condure
zurl_bin=zurl

[proxy]
routesfile=routes
workers={self.env.workers}
debug=false
auto_cross_origin=false
sig_iss=pushpin
sig_key=changeme
updates_check=off
{mid}
[handler]
push_in_spec=tcp://127.0.0.1:{self.zmq_port}
push_in_sub_specs=tcp://127.0.0.1:{self.sub_port}
push_in_sub_connect=false
push_in_http_addr=127.0.0.1
push_in_http_port={self.http_port}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{{rundir}}/{{ipc_prefix}}stats
command_spec=tcp://127.0.0.1:{self.cmd_port}
message_rate=0
message_hwm=0
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
stats_subscription_ttl=60
stats_report_interval=10
stats_format=tnetstring
""")
        self.run(inside + ["pushpin", "--config=%s/pushpin.conf" % d])
        wait_port(self.http_port, self.procs[0])
        self.wait_plain()  # its parts find one another over IPC

    def stop(self):
        super().stop()
        if getattr(self, "extra_dir", None):
            shutil.rmtree(self.extra_dir, ignore_errors=True)


class Gripproxy(System):
    """This proxy, or another checkout of it, run by that one's Python (--gripproxy)."""

    name = "gripproxy"
    features = {"proxy", "over-http", "zmq", "zmq-m", "beside", "http", "longpoll", "manychan", "hint", "ids", "cache", "purge-url", "purge-key"}
    purge_how = "tag"

    def __init__(self, env, name="gripproxy", python=sys.executable):
        super().__init__(env)
        self.name, self.python = name, python

    def launch(self):
        d = self.dir
        origin = "127.0.0.1:%d,over_http\n" % self.origin_port
        # a route with `cache` has costs of its own, which the other scenarios do not ask about
        cached = ["*,path_beg=/%s,cache %s" % (x, origin) for x in CACHED] if self.cached else []
        (d / "routes").write_text("".join(cached) + "* " + origin)
        history = 10000 if self.cached else 0  # likewise
        (d / "gripproxy.conf").write_text(f"""[global]
rundir={d}/run
ipc_prefix=b-

[runner]
http_port=127.0.0.1:{self.port}
workers={self.env.workers}
log_level=1
client_buffer_size=8192
client_maxconn=15000

[proxy]
routesfile=routes
sig_iss=gripproxy
sig_key=changeme

[handler]
push_in_spec=tcp://127.0.0.1:{self.zmq_port}
push_in_sub_specs=tcp://127.0.0.1:{self.sub_port}
push_in_http_addr=127.0.0.1
push_in_http_port={self.http_port}
command_spec=tcp://127.0.0.1:{self.cmd_port}
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
history_items={history}

[cache]
size=2000000000
""")
        self.run([self.python, "-m", "gripproxy", "run", "--config", str(d / "gripproxy.conf")])
        wait_port(self.http_port, self.procs[0])
        self.wait_plain()

    def purge(self, kind, what):
        said = {"urls": ["http://127.0.0.1:%d%s" % (self.port, what)]} if kind == "url" else {"keys": [what]}
        return self.http_port, self.http_request("POST", "/purge", body=json.dumps(said))


def nchan_module():
    for p in ("/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules"):
        if os.path.exists(p + "/ngx_nchan_module.so"):
            return p + "/ngx_nchan_module.so"
    raise RuntimeError("no ngx_nchan_module.so")


class Nchan(System):
    name = "nchan"
    features = {"proxy", "http", "longpoll", "manychan"}

    def launch(self):
        d = self.dir
        subs = "".join(
            "location = /%s { nchan_subscriber %s; nchan_channel_id $arg_channel; nchan_subscriber_first_message newest; }\n"
            % x for x in (("stream", "http-raw-stream"), ("sse", "eventsource"), ("longpoll", "longpoll"), ("ws", "websocket")))
        (d / "nginx.conf").write_text(f"""
load_module {nchan_module()};
user root;
daemon off;
pid {d}/nginx.pid;
error_log {d}/error.log warn;
worker_processes {self.env.workers};
worker_rlimit_nofile 20000;
events {{ worker_connections 15000; }}
http {{
  access_log off;
  client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;
  {self.cache_zone()}
  nchan_shared_memory_size 512M;
  upstream origin {{ server 127.0.0.1:{self.origin_port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    {subs}
    {self.cache_locations()}
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
  server {{
    listen 127.0.0.1:{self.http_port} backlog=4096;
    location = /pub {{ nchan_publisher http; nchan_channel_id $arg_channel; nchan_message_buffer_length {self.env.args.nchan_buffer}; nchan_message_timeout 10s; }}
    location = /stub {{ nchan_stub_status; }}
  }}
}}
""")
        self.run(["nginx", "-p", str(d), "-e", str(d / "error.log"), "-c", str(d / "nginx.conf")])

    def cache_zone(self):
        return ""

    cache_locations = cache_zone

    def publisher(self):
        return publish.Nchan("127.0.0.1:%d" % self.http_port)

    def subscribers(self):
        t = urllib.request.urlopen("http://127.0.0.1:%d/stub" % self.http_port, timeout=5).read().decode()
        return int(re.search(r"subscribers: (\d+)", t).group(1))

    holds = None

    def ingest_http(self):
        return self.http_port, "/pub?channel=nobody", "text/plain", "x" * 100


class Floor(System):
    name = "floor"

    def launch(self):
        self.run([str(self.env.bin / "floor"), "--port", str(self.port), "--pub-port", str(self.http_port)])

    def publisher(self):
        return publish.Floor("127.0.0.1:%d" % self.http_port)


CACHED = ("cacheable", "herd", "hint")  # what begins with these may be cached; everything else is passed on


class Nginx(Nchan):
    """nginx as a plain reverse proxy (the nchan module idle), with proxy_cache for what may be cached."""

    name = "nginx"
    kinds = ()
    features = {"proxy", "cache"}

    def cache_zone(self):
        return (f"proxy_cache_path {self.dir}/cache levels=1:2 keys_zone=c:64m max_size=4g inactive=60m use_temp_path=off; "
                "sendfile on; open_file_cache max=20000 inactive=600s; open_file_cache_valid 600s;")

    def cache_locations(self):
        return (f"location ~ ^/({'|'.join(CACHED)}) {{ proxy_pass http://origin; proxy_http_version 1.1; "
                'proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_cache c; proxy_cache_key $request_uri; '
                "proxy_cache_lock on; proxy_cache_lock_timeout 30s; proxy_cache_lock_age 30s; proxy_cache_revalidate on; }")


class Haproxy(System):
    """haproxy, with its cache for small objects."""

    name = "haproxy"
    kinds = ()
    features = {"proxy", "cache"}

    def launch(self):
        d = self.dir
        (d / "h.cfg").write_text(f"""
global
  nbthread {self.env.workers}
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
cache c
  total-max-size 256
  max-object-size 1000000
  max-age 3600
frontend f
  bind 127.0.0.1:{self.port}
  acl cached path_beg {' '.join('/' + x for x in CACHED)}
  use_backend stored if cached
  default_backend b
backend stored
  http-request cache-use c
  http-response cache-store c
  server s 127.0.0.1:{self.origin_port} maxconn 4000
backend b
  server s 127.0.0.1:{self.origin_port} maxconn 4000
""")
        self.run(["haproxy", "-f", str(d / "h.cfg"), "-db"])


class Varnish(System):
    """varnish: caches what may be cached and passes everything else. Purges a URL with PURGE and a tag with
    xkey where that module is installed (Debian: varnish-modules), else with a ban."""

    name = "varnish"
    kinds = ()
    features = {"proxy", "cache", "purge-url", "purge-key"}

    def has_xkey(self):
        return any(pathlib.Path("/usr").glob("lib*/**/varnish/vmods/libvmod_xkey.so"))

    def launch(self):
        d = self.dir
        xkey = self.has_xkey()
        self.purge_how = "xkey" if xkey else "ban"
        by_key = 'set req.http.gone = xkey.purge(req.http.key);' if xkey else \
            'if (!std.ban("obj.http.Surrogate-Key ~ (^|\\s)" + req.http.key + "(\\s|$)")) { return (synth(500, std.ban_error())); } ' \
            'set req.http.gone = "banned";'
        (d / "v.vcl").write_text(f"""vcl 4.1;
import {"xkey" if xkey else "std"};
backend b {{ .host = "127.0.0.1"; .port = "{self.origin_port}"; }}
sub vcl_recv {{
  if (req.method == "PURGE") {{ return (purge); }}
  if (req.method == "PURGEKEY") {{ {by_key} return (synth(200, req.http.gone)); }}
  if (req.url !~ "^/({'|'.join(CACHED)})") {{ return (pass); }}
  return (hash);
}}
sub vcl_backend_response {{ set beresp.http.xkey = beresp.http.Surrogate-Key; }}
sub vcl_deliver {{ unset resp.http.xkey; }}
sub vcl_synth {{ set resp.body = resp.reason; return (deliver); }}
""")
        self.run(["varnishd", "-F", "-n", str(d / "v"), "-a", "127.0.0.1:%d" % self.port, "-f", str(d / "v.vcl"),
                  "-s", "malloc,2g", "-j", "none"])

    def purge(self, kind, what):
        if kind == "url":
            return self.port, self.http_request("PURGE", what)
        return self.port, self.http_request("PURGEKEY", "/", ["key: " + what])


class VarnishBan(Varnish):
    """varnish that purges a tag with a ban, even where xkey is installed."""

    name = "varnish-ban"
    features = {"purge-key"}

    def has_xkey(self):
        return False


class Direct(System):
    """No proxy: the origin itself. The limit of origin and generator."""

    name = "direct"
    kinds = ()
    features = {"proxy"}

    def launch(self):
        self.port = self.origin_port


class Command(System):
    """Any system that a command line starts."""

    features = {"proxy", "over-http", "zmq", "zmq-m", "beside", "http", "longpoll", "manychan", "hint", "ids", "cache", "purge-url", "purge-key"}
    purge_how = "its own"
    purges = {"url": 'POST {http_port} /purge {"urls": ["{url}"]}', "key": 'POST {http_port} /purge {"keys": ["{key}"]}'}

    def __init__(self, env, name, cmd, purges=None):
        super().__init__(env)
        self.name, self.cmd = name, cmd
        self.purges = {**self.purges, **(purges or {})}

    def launch(self):
        c = self.cmd.format(
            port=self.port, origin_port=self.origin_port, zmq_port=self.zmq_port, http_port=self.http_port,
            sub_port=self.sub_port, cmd_port=self.cmd_port, dir=self.dir, workers=self.env.workers)
        self.run(["/bin/sh", "-c", "exec " + c])
        self.wait_plain()

    def purge(self, kind, what):
        """By the template METHOD PORT PATH [BODY] of --purge."""
        t = self.purges[kind]
        for k, v in (("{port}", str(self.port)), ("{http_port}", str(self.http_port)), ("{key}", what), ("{path}", what),
                     ("{url}", "http://127.0.0.1:%d%s" % (self.port, what))):
            t = t.replace(k, v)
        method, port, path, body = (t.split(" ", 3) + [""])[:4]
        return int(port), self.http_request(method, path, body=body)


BUILTIN = {c.name: c for c in (Gripproxy, Pushpin, Nchan, Floor, Nginx, Haproxy, Varnish, VarnishBan, Direct)}

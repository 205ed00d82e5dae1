"""The table of options: names, types, defaults, meanings (config.md 3, 4.1).

A section is a class and an option one of its fields, so that the table, the types and the values
cannot drift apart. A field's default is the value where a configuration file exists and does not
name it; `shipped` is what the file that comes with us says, and what holds without any file.
The reference and `config/gripproxy.conf` are printed from here.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Final, TypeVar

from gripproxy import kinds
from gripproxy.kinds import Endpoint, Kind, Network, UnixEndpoint, Words
from gripproxy.protocol.keys import KeySource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """What the table says of an option beside its name and its value's type."""

    kind: Kind[object]
    meaning: str
    shipped: str | None  # as it is written in a file; None: not in the shipped one
    ours: bool  # Pushpin has none of this name


def option(
    kind: Kind[T], absent: T, meaning: str, shipped: str | None = None, *, ours: bool = False
) -> T:
    """Make a field of the table."""
    return field(default=absent, metadata={"option": Option(kind, meaning, shipped, ours)})


def of(entry: "Field[object]") -> Option:
    """Return what the table says of a field."""
    found = entry.metadata["option"]
    assert isinstance(found, Option)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Global:
    """Options that belong to the whole program."""

    include: str = option(
        kinds.PATH, "", "A second file: an option that this one does not name is looked for there."
    )
    rundir: str = option(
        kinds.PATH, "", "Where the pid file and ipc sockets are; made if missing.", "run"
    )
    ipc_prefix: str = option(
        kinds.TEXT, "pushpin-", "What {ipc_prefix} stands for in other options.", "pushpin-"
    )
    port_offset: int = option(
        kinds.INTEGER, 0, "Added to the ports of tcp:// endpoints and to push_in_http_port.", "0"
    )
    stats_connection_ttl: int = option(
        kinds.WHOLE_SECONDS, 120, "How long a connection counts in statistics without news.", "120"
    )
    stats_connection_send: bool = option(
        kinds.BOOLEAN, True, "Whether the statistics tell of each connection.", "true"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Clients, processes, logs."""

    http_port: tuple[Endpoint, ...] = option(
        kinds.PORTS,
        (),
        "Where clients connect; a port alone is that of all IPv4 addresses.",
        "7999",
    )
    https_ports: tuple[Endpoint, ...] = option(
        kinds.TLS_PORTS, (), "Where clients connect with TLS; certificates are in runner/certs."
    )
    local_ports: tuple[UnixEndpoint, ...] = option(
        kinds.UNIX_SOCKETS, (), "Unix sockets for clients: PATH[?mode=OCTAL&user=NAME&group=NAME]."
    )
    workers: int = option(kinds.COUNT, 1, "Worker processes; 0 is one for each core.", ours=True)
    rundir: str = option(kinds.PATH, "", "Deprecated: write rundir into [global].")
    logdir: str = option(
        kinds.PATH, "", "Where gripproxy.log is written; empty: to standard output.", "log"
    )
    log_level: Words = option(
        kinds.LEVELS,
        kinds.LOG_DEFAULT,
        "0 errors, 1 warnings, 2 each request, 3 debug; for one service: 2,proxy:3.",
        "2",
    )
    log_format: str = option(
        kinds.choice("text", "json"), "text", "What log lines look like.", ours=True
    )
    client_buffer_size: int = option(
        kinds.BYTES, 8192, "A client's request line and header fields must fit into it.", "8192"
    )
    client_maxconn: int = option(
        kinds.SOME, 50_000, "Client connections; more wait until others end.", "50000"
    )
    allow_compression: bool = option(
        kinds.BOOLEAN, False, "Whether WebSocket messages may be compressed.", "false"
    )
    drain: float = option(
        kinds.SECONDS, 10.0, "Over how long a stop ends what is held.", ours=True
    )
    header_timeout: float = option(
        kinds.SOME_SECONDS, 30.0, "A client's request header must be complete in it.", ours=True
    )
    idle_timeout: float = option(
        kinds.SOME_SECONDS,
        1800.0,
        "How long a client's connection may wait between requests.",
        ours=True,
    )
    body_timeout: float = option(
        kinds.SOME_SECONDS, 60.0, "How long a client's body may make no progress.", ours=True
    )
    write_timeout: float = option(
        kinds.SOME_SECONDS,
        60.0,
        "How long a client may take nothing although something waits for it.",
        ours=True,
    )
    write_buffer_max: int = option(
        kinds.BYTES,
        1_048_576,
        "Published bytes that may wait for one client; what is over is dropped and counted.",
        ours=True,
    )
    ws_ping_interval: float = option(
        kinds.SECONDS, 30.0, "How often a silent WebSocket is pinged; 0 is never.", ours=True
    )
    ws_message_max: int = option(
        kinds.BYTES,
        1_000_000,
        "The largest message from a client to an over-HTTP origin.",
        ours=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Routes and origins."""

    routesfile: str = option(
        kinds.PATH, "", "The routes file; a relative path begins beside this file.", "routes"
    )
    routes_partial_reload: bool = option(
        kinds.BOOLEAN,
        False,
        "Whether a reload takes the good lines of a file with bad ones.",
        ours=True,
    )
    debug: bool = option(
        kinds.BOOLEAN, False, "Whether error answers tell the reason, on all routes.", "false"
    )
    auto_cross_origin: bool = option(
        kinds.BOOLEAN, False, "CORS fields and JSON-P, on all routes.", "false"
    )
    accept_x_forwarded_protocol: bool = option(
        kinds.BOOLEAN,
        False,
        "Whether X-Forwarded-Proto: https makes a request count as TLS.",
        "false",
    )
    set_x_forwarded_protocol: str = option(
        kinds.PROTO_FIELDS,
        "",
        "true sets X-Forwarded-Proto and X-Forwarded-Protocol, proto-only the first, other none.",
        "proto-only",
    )
    x_forwarded_for: Words = option(
        kinds.WORDS,
        (),
        "What becomes of X-Forwarded-For: truncate:N keeps the last N, append adds.",
        "",
    )
    x_forwarded_for_trusted: Words = option(
        kinds.WORDS, (), "The same for clients that are trusted by upstream_key.", ""
    )
    orig_headers_need_mark: Words = option(
        kinds.WORDS, (), "Fields that orig_headers copies only if the client marked them.", ""
    )
    accept_pushpin_route: bool = option(
        kinds.BOOLEAN, False, "Whether the field Pushpin-Route chooses a route by its id.", "false"
    )
    cdn_loop: str = option(kinds.TEXT, "", "Our name in CDN-Loop; empty: none is added.", "")
    log_from: bool = option(
        kinds.BOOLEAN, False, "Whether access lines show the client's address.", "false"
    )
    log_user_agent: bool = option(
        kinds.BOOLEAN, False, "Whether access lines show the client's User-Agent.", "false"
    )
    sig_iss: str = option(kinds.TEXT, "pushpin", "Issuer of Grip-Sig.", "pushpin")
    sig_key: KeySource | None = option(
        kinds.SIGNING_KEY,
        None,
        "Key that signs Grip-Sig: text, base64:TEXT or file:PATH; empty: nothing is signed.",
        "changeme",
    )
    upstream_key: KeySource | None = option(
        kinds.KEY, None, "Key by whose Grip-Sig a GRIP proxy in front of us is trusted.", ""
    )
    sockjs_url: str = option(
        kinds.URL,
        "",
        "The script that the SockJS iframe page loads.",
        "http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js",
    )
    max_open_requests: int = option(
        kinds.LIMIT, 0, "Requests at once, if fewer than client_maxconn; 0: as many as that."
    )
    origin_connect_timeout: float = option(
        kinds.SOME_SECONDS, 10.0, "To connect to one target; then the next is tried.", ours=True
    )
    origin_timeout: float = option(
        kinds.SOME_SECONDS, 600.0, "How long an origin may be silent.", ours=True
    )
    via: str = option(
        kinds.TEXT, "gripproxy", "Our name in Via, on requests; empty: no such field.", ours=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Publishers, holds, statistics."""

    push_in_spec: str = option(
        kinds.ZEROMQ,
        "",
        "Publishing by ZeroMQ: we bind a PULL socket here.",
        "tcp://127.0.0.1:5560",
    )
    push_in_sub_specs: Words = option(
        kinds.ZEROMQ_LIST,
        (),
        "Publishing by ZeroMQ: our SUB socket; when it binds, only the first counts.",
        "tcp://127.0.0.1:5562",
    )
    push_in_sub_spec: Words = option(
        kinds.ZEROMQ_LIST, (), "Deprecated: one more of push_in_sub_specs."
    )
    push_in_sub_connect: bool = option(
        kinds.BOOLEAN, False, "Whether the SUB socket connects instead of binding.", "false"
    )
    push_in_http_addr: str = option(
        kinds.ADDRESS, "", "Address of the HTTP control port; empty: all addresses.", "127.0.0.1"
    )
    push_in_http_port: int = option(
        kinds.CONTROL_PORT, 0, "The HTTP control port: POST /publish; empty or 0: none.", "5561"
    )
    push_in_http_max_headers_size: int = option(
        kinds.BYTES, 10_000, "The largest request header on the control port.", "10000"
    )
    push_in_http_max_body_size: int = option(
        kinds.BYTES, 1_000_000, "The largest request body on the control port.", "1000000"
    )
    control_key: KeySource | None = option(
        kinds.KEY,
        None,
        "Credentials for the control port; empty: nobody is asked for any.",
        ours=True,
    )
    control_iss: str = option(
        kinds.TEXT, "", "The issuer that tokens for the control port must have.", ours=True
    )
    stats_spec: str = option(
        kinds.ZEROMQ,
        "",
        "Statistics by ZeroMQ: we bind a PUB socket here.",
        "ipc://{rundir}/{ipc_prefix}stats",
    )
    command_spec: str = option(
        kinds.ZEROMQ, "", "Commands by ZeroMQ: we bind a REP socket here.", "tcp://127.0.0.1:5563"
    )
    ipc_file_mode: int | None = option(
        kinds.OCTAL, None, "Mode of the ipc:// sockets that we bind; empty: as the umask says."
    )
    message_rate: int = option(
        kinds.LIMIT,
        0,
        "Deliveries (items times holders) a second, of all channels and workers; 0: unlimited.",
    )
    message_hwm: int = option(
        kinds.LIMIT, 0, "Deliveries that may wait for message_rate, in all workers; 0: unlimited."
    )
    message_block_size: int = option(
        kinds.BLOCK, 0, "Bytes that count as one delivery; 0: each delivery counts as one."
    )
    message_wait: int = option(
        kinds.MILLISECONDS, 5000, "How long an early item waits for the one before it.", "5000"
    )
    id_cache_ttl: float = option(
        kinds.SECONDS,
        0.0,
        "How long ids of items are remembered against doubles; 0: not at all.",
        "60",
    )
    update_on_first_subscription: bool = option(
        kinds.BOOLEAN,
        True,
        "Whether holds ask again about a second after a channel's first subscription.",
        "true",
    )
    connection_subscription_max: int = option(
        kinds.COUNT, 20, "Channels of one connection; the rest is cut off.", "20"
    )
    subscription_linger: float = option(
        kinds.SECONDS, 60.0, "How long a long-poll's subscription outlives it.", "60"
    )
    stats_subscription_ttl: int = option(
        kinds.WHOLE_SECONDS, 60, "How long a subscription counts in statistics without news.", "60"
    )
    stats_report_interval: int = option(
        kinds.INTERVAL, 10, "How often the statistics report; 0: never.", "10"
    )
    stats_format: str = option(
        kinds.choice("tnetstring", "json", empty="tnetstring"),
        "tnetstring",
        "What statistics packets look like.",
        "tnetstring",
    )
    prometheus_port: Endpoint | UnixEndpoint | None = option(
        kinds.METRICS, None, "Where metrics can be read; a port alone is that of all addresses."
    )
    prometheus_prefix: str = option(kinds.TEXT, "", "Put before the name of each metric.")
    history_items: int = option(
        kinds.COUNT, 0, "Released items kept for each channel; 0: none.", ours=True
    )
    history_seconds: float = option(
        kinds.SOME_SECONDS, 60.0, "How long released items are kept.", ours=True
    )
    history_bytes: int = option(
        kinds.BYTES, 67_108_864, "What all kept items together may take.", ours=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The cache of responses."""

    size: int = option(
        kinds.BYTES_OR_NONE, 268_435_456, "What all stored responses together may take.", ours=True
    )
    max_object_size: int = option(
        kinds.BYTES_OR_NONE, 8_388_608, "The largest response that is stored.", ours=True
    )
    cookies: str = option(
        kinds.choice("safe", "rfc", "strict"),
        "safe",
        "When responses with Set-Cookie, or to requests with Cookie, may be stored.",
        ours=True,
    )
    purge_from: tuple[Network, ...] = option(
        kinds.NETWORKS, (), "Clients whose PURGE requests are obeyed.", ours=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Several instances as one."""

    url: str = option(
        kinds.ENGINE, "", "The engine that joins instances: redis://HOST:PORT or nats://HOST:PORT.",
        ours=True,
    )  # fmt: skip
    name: str = option(kinds.TEXT, "", "This instance's name; empty: that of the host.", ours=True)
    lease: float = option(
        kinds.SOME_SECONDS, 2.0, "How long an instance may trust its cache without the engine.",
        ours=True,
    )  # fmt: skip


SECTIONS: Final[Mapping[str, type]] = {
    "global": Global,
    "runner": Runner,
    "proxy": Proxy,
    "handler": Handler,
    "cache": Cache,
    "cluster": Cluster,
}


# All options that act, by section and name.
TABLE: Final[Mapping[tuple[str, str], Option]] = {
    (section, entry.name): of(entry)
    for section, made in SECTIONS.items()
    for entry in fields(made)
}


def absent(name: tuple[str, str]) -> object:
    """Return the value of an option that a file does not name."""
    section, key = name
    return next(entry.default for entry in fields(SECTIONS[section]) if entry.name == key)

"""The table of options: names, types, defaults, meanings (config.md 3, 4.1).

A section is a class and an option one of its fields, so that the table, the types and the values
cannot drift apart. The default of a field is the value where a configuration file exists and does
not name it; `shipped` is what the file that comes with us says, and what holds without a file.
The reference and `config/gripproxy.conf` are printed from here.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import TypeVar

from gripproxy.protocol.keys import KeySource

T = TypeVar("T")
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a TCP listener is: `[ADDR:]PORT`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """Where a Unix socket listener is: `PATH[?mode=OCTAL&user=U&group=G]`."""

    path: str
    mode: int | None = None
    user: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """What the table says of an option beside its name and its value's type."""

    kind: str
    meaning: str
    shipped: str | None = None  # as it is written in a file; None: not in the shipped one
    default: str = ""  # the absent default in words


# Reading values. Each takes a value's text (a list: its elements) and raises ValueError with words
# that can follow the name of the option.


def read_text(value: str) -> str:
    """Any text."""
    return value


def read_integer(value: str) -> int:
    """A decimal number with an optional sign."""
    if not value.lstrip("+-").isascii() or not value.lstrip("+-").isdigit():
        raise ValueError(f'"{value}" is not a number')
    return int(value)


def read_count(value: str) -> int:
    """A number that is not negative."""
    number = read_integer(value)
    if number < 0:
        raise ValueError(f'"{value}" must not be negative')
    return number


def read_seconds(value: str) -> float:
    """A number of seconds, perhaps with a fraction."""
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError(f'"{value}" is not a number of seconds') from None
    if not 0 <= seconds < 1e9:
        raise ValueError(f'"{value}" is not a number of seconds')
    return seconds


_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


def read_boolean(value: str) -> bool:
    """`1 true yes on`, or `0 false no off` or nothing."""
    lower = value.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise ValueError(f'"{value}" is neither true nor false')


def read_octal(value: str) -> int | None:
    """Octal digits without prefix."""
    if not value:
        return None
    try:
        return int(value, 8)
    except ValueError:
        raise ValueError(f'"{value}" is not an octal number') from None


def read_endpoint(value: str) -> Endpoint:
    """A port, or an address and a port."""
    host, colon, port = value.rpartition(":")
    if not colon:
        host = "0.0.0.0"  # noqa: S104  # what a bare port means
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f'"{value}" is not [ADDRESS:]PORT')
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            raise ValueError(f'"{host}" is not an IP address') from None
        host = "127.0.0.1"
    return Endpoint(host, int(port))


def read_unix(value: str) -> UnixEndpoint:
    """A path, with mode, user and group behind a `?`."""
    path, _, query = value.partition("?")
    given = dict(part.partition("=")[::2] for part in query.split("&") if part)
    unknown = set(given) - {"mode", "user", "group"}
    if not path or unknown:
        raise ValueError(f'"{value}" is not PATH[?mode=OCTAL&user=NAME&group=NAME]')
    return UnixEndpoint(
        path, read_octal(given.get("mode", "")), given.get("user", ""), given.get("group", "")
    )


def read_address(value: str) -> str:
    """An IP address; nothing means all."""
    if value:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise ValueError(f'"{value}" is not an IP address') from None
    return value


def read_network(value: str) -> str:
    """An IP network."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f'"{value}" is not a network like 10.0.0.0/8') from None


def _one_of(*words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f'"{value}" must be one of: {", ".join(words)}')
        return value

    return read


SINGLE: Mapping[str, Callable[[str], object]] = {
    "text": read_text,
    "path": read_text,
    "endpoint": read_text,
    "url": read_text,
    "key": read_text,
    "integer": read_integer,
    "count": read_count,
    "bytes": read_count,
    "milliseconds": read_count,
    "seconds": read_seconds,
    "boolean": read_boolean,
    "octal": read_octal,
    "address": read_address,
    "json or tnetstring": _one_of("json", "tnetstring"),
    "text or json": _one_of("text", "json"),
    "safe, rfc or strict": _one_of("safe", "rfc", "strict"),
}
LISTS: Mapping[str, Callable[[str], object]] = {
    "list of ports": read_endpoint,
    "list of Unix sockets": read_unix,
    "list": read_text,
    "list of endpoints": read_text,
    "list of networks": read_network,
    "log levels": read_text,
}


def option(
    absent: T, kind: str, meaning: str, *, shipped: str | None = None, default: str = ""
) -> T:
    """Make a field of the table."""
    return field(default=absent, metadata={"option": Option(kind, meaning, shipped, default)})


def of(entry: "Field[object]") -> Option:
    """Return what the table says of a field."""
    found = entry.metadata["option"]
    assert isinstance(found, Option)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Global:
    """Options that belong to the whole program."""

    include: str = option("", "path", "A second configuration file; what it says counts less.")
    rundir: str = option("", "path", "Where the pid file and ipc sockets are; made if missing.")
    ipc_prefix: str = option(
        "pushpin-", "text", "What {ipc_prefix} stands for in endpoints.", shipped="pushpin-"
    )
    port_offset: int = option(
        0,
        "integer",
        "Added to the ports of tcp:// endpoints and of the control port.",
        shipped="0",
    )
    stats_connection_ttl: int = option(
        120, "count", "Seconds that a connection counts in statistics without news.", shipped="120"
    )
    stats_connection_send: bool = option(
        True, "boolean", "Whether connections are told to the statistics.", shipped="true"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Clients, processes, logs."""

    http_port: tuple[Endpoint, ...] = option(
        (),
        "list of ports",
        "Where clients connect: [ADDRESS:]PORT, several with commas.",
        shipped="7999",
    )
    https_ports: tuple[Endpoint, ...] = option(
        (), "list of ports", "Where clients connect with TLS.", shipped=""
    )
    local_ports: tuple[UnixEndpoint, ...] = option(
        (),
        "list of Unix sockets",
        "Unix sockets for clients: PATH[?mode=OCTAL&user=NAME&group=NAME].",
        shipped="",
    )
    workers: int = option(1, "count", "Worker processes; 0 is one for each core.", shipped="1")
    rundir: str = option("", "path", "Deprecated: put it into [global].")
    logdir: str = option(
        "", "path", "Where gripproxy.log is written; without it, to the terminal."
    )
    log_level: Words = option(
        ("2",), "log levels", "0 errors, 1 warnings, 2 each request, 3 debug.", shipped="2"
    )
    log_format: str = option("text", "text or json", "What log lines look like.", shipped="text")
    client_buffer_size: int = option(
        8192, "bytes", "A client's request header must fit into it.", shipped="8192"
    )
    client_maxconn: int = option(
        50_000, "count", "Client connections; more wait until others end.", shipped="50000"
    )
    allow_compression: bool = option(
        False, "boolean", "Whether WebSockets may be compressed.", shipped="false"
    )
    drain: float = option(10.0, "seconds", "Over how long a stop ends what is held.", shipped="10")
    header_timeout: float = option(
        30.0, "seconds", "A client's request header must be complete in it.", shipped="30"
    )
    idle_timeout: float = option(
        1800.0,
        "seconds",
        "How long a client's connection may wait between requests.",
        shipped="1800",
    )
    body_timeout: float = option(
        60.0, "seconds", "How long a client's request body may make no progress.", shipped="60"
    )
    write_timeout: float = option(
        60.0,
        "seconds",
        "How long a client may take nothing although something waits for it.",
        shipped="60",
    )
    write_buffer_max: int = option(
        1_048_576,
        "bytes",
        "What may wait for one holder; over it items are dropped for it.",
        shipped="1048576",
    )
    ws_ping_interval: float = option(
        30.0, "seconds", "How often a silent WebSocket is pinged; 0 is never.", shipped="30"
    )
    ws_message_max: int = option(
        1_000_000,
        "bytes",
        "The largest message from a client to an over-HTTP origin.",
        shipped="1000000",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Routes and origins."""

    routesfile: str = option(
        "", "path", "The routes file, relative to this file.", shipped="routes"
    )
    routes_partial_reload: bool = option(
        False,
        "boolean",
        "Whether a reload takes the good lines of a file with bad ones.",
        shipped="false",
    )
    debug: bool = option(
        False, "boolean", "Whether error answers tell the reason, on all routes.", shipped="false"
    )
    auto_cross_origin: bool = option(
        False, "boolean", "CORS fields and JSON-P, on all routes.", shipped="false"
    )
    accept_x_forwarded_protocol: bool = option(
        False,
        "boolean",
        "Whether X-Forwarded-Proto: https makes a request count as TLS.",
        shipped="false",
    )
    set_x_forwarded_protocol: str = option(
        "",
        "text",
        "true sets X-Forwarded-Proto and -Protocol, proto-only the first.",
        shipped="proto-only",
    )
    x_forwarded_for: Words = option(
        (),
        "list",
        "Rules for X-Forwarded-For: truncate:N, append. Without truncate a client "
        "can name itself.",
        shipped="",
    )
    x_forwarded_for_trusted: Words = option(
        (), "list", "The same for clients that upstream_key trusts.", shipped=""
    )
    orig_headers_need_mark: Words = option(
        (), "list", "Fields that orig_headers copies only if the client marked them.", shipped=""
    )
    accept_pushpin_route: bool = option(
        False,
        "boolean",
        "Whether the field Pushpin-Route chooses a route by its id.",
        shipped="false",
    )
    cdn_loop: str = option("", "text", "Our value in CDN-Loop; five of it are a loop.", shipped="")
    log_from: bool = option(
        False, "boolean", "Whether access lines show the client's address.", shipped="false"
    )
    log_user_agent: bool = option(
        False, "boolean", "Whether access lines show the client's User-Agent.", shipped="false"
    )
    sig_iss: str = option("pushpin", "text", "Issuer of Grip-Sig.", shipped="pushpin")
    sig_key: KeySource | None = option(
        None, "key", "Key that signs Grip-Sig: text, base64:TEXT or file:PATH.", shipped="changeme"
    )
    upstream_key: KeySource | None = option(
        None, "key", "Key by which a GRIP proxy in front of us is trusted.", shipped=""
    )
    sockjs_url: str = option(
        "",
        "url",
        "The script that the SockJS iframe page loads.",
        shipped="http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js",
    )
    max_open_requests: int = option(
        0, "count", "A lower bound on client connections than client_maxconn; 0 is none."
    )
    origin_connect_timeout: float = option(
        10.0, "seconds", "To connect to one target; then the next is tried.", shipped="10"
    )
    origin_timeout: float = option(
        600.0, "seconds", "How long an origin may be silent.", shipped="600"
    )
    via: str = option(
        "gripproxy", "text", "Our name in Via, on requests; empty is none.", shipped="gripproxy"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Publishers, holds, statistics."""

    push_in_spec: str = option(
        "",
        "endpoint",
        "Publishing by ZeroMQ PUSH: we bind a PULL socket here.",
        shipped="tcp://127.0.0.1:5560",
    )
    push_in_sub_specs: Words = option(
        (),
        "list of endpoints",
        "Publishing by ZeroMQ PUB: our SUB socket.",
        shipped="tcp://127.0.0.1:5562",
    )
    push_in_sub_spec: Words = option(
        (), "list of endpoints", "Older name, added to push_in_sub_specs."
    )
    push_in_sub_connect: bool = option(
        False, "boolean", "Whether the SUB socket connects instead of binding.", shipped="false"
    )
    push_in_http_addr: str = option(
        "", "address", "Address of the HTTP control port; empty is all.", shipped="127.0.0.1"
    )
    push_in_http_port: int = option(
        0, "count", "The HTTP control port: POST /publish.", shipped="5561"
    )
    push_in_http_max_headers_size: int = option(
        10_000, "bytes", "Largest request header on the control port.", shipped="10000"
    )
    push_in_http_max_body_size: int = option(
        1_000_000, "bytes", "Largest request body on the control port.", shipped="1000000"
    )
    control_key: KeySource | None = option(
        None, "key", "Credentials of the control port; without it nobody is asked for any."
    )
    control_iss: str = option("", "text", "The issuer that tokens for the control port must have.")
    stats_spec: str = option(
        "",
        "endpoint",
        "Statistics by ZeroMQ: we bind a PUB socket here.",
        shipped="ipc://{rundir}/{ipc_prefix}stats",
    )
    command_spec: str = option(
        "",
        "endpoint",
        "Commands by ZeroMQ: we bind a REP socket here.",
        shipped="tcp://127.0.0.1:5563",
    )
    ipc_file_mode: int | None = option(None, "octal", "Mode of bound ipc sockets.")
    message_rate: int = option(
        0, "integer", "Deliveries a second over all channels; 0 is unlimited."
    )
    message_hwm: int = option(
        0, "integer", "Deliveries that may wait because of message_rate; 0 is unlimited."
    )
    message_block_size: int = option(
        0, "integer", "Bytes that count as one delivery; 0: every item counts as one."
    )
    message_wait: int = option(
        5000,
        "milliseconds",
        "How long an early item waits for the one before it.",
        shipped="5000",
    )
    id_cache_ttl: float = option(
        0.0,
        "seconds",
        "How long ids are remembered against doubles; 0 is not at all.",
        shipped="60",
    )
    update_on_first_subscription: bool = option(
        True,
        "boolean",
        "Whether holds ask again a second after a channel's first subscription.",
        shipped="true",
    )
    connection_subscription_max: int = option(
        20, "count", "Channels of one connection.", shipped="20"
    )
    subscription_linger: float = option(
        60.0, "seconds", "How long a long-poll's subscription outlives it.", shipped="60"
    )
    stats_subscription_ttl: int = option(
        60,
        "count",
        "Seconds that a subscription counts in statistics without news.",
        shipped="60",
    )
    stats_report_interval: int = option(
        10, "integer", "Seconds between reports; 0 is none.", shipped="10"
    )
    stats_format: str = option(
        "tnetstring",
        "json or tnetstring",
        "What statistics packets look like.",
        shipped="tnetstring",
    )
    prometheus_port: str = option(
        "", "text", "Where metrics can be read: PORT, ADDRESS:PORT or ipc://PATH."
    )
    prometheus_prefix: str = option("", "text", "Put before the name of each metric.")
    history_items: int = option(0, "count", "Released items kept for each channel; 0 is none.")
    history_seconds: float = option(60.0, "seconds", "How long released items are kept.")
    history_bytes: int = option(67_108_864, "bytes", "What all kept items may take.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The cache of responses."""

    size: int = option(
        268_435_456, "bytes", "What all stored responses may take.", shipped="268435456"
    )
    max_object_size: int = option(
        8_388_608, "bytes", "The largest response that is stored.", shipped="8388608"
    )
    cookies: str = option(
        "safe",
        "safe, rfc or strict",
        "When responses with cookies may be stored.",
        shipped="safe",
    )
    purge_from: Words = option(
        (), "list of networks", "Clients whose PURGE requests are obeyed.", shipped=""
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Several instances as one."""

    url: str = option("", "url", "The engine that joins instances: redis:// or nats://.")
    name: str = option("", "text", "This instance's name; empty is the host's.")
    lease: float = option(2.0, "seconds", "How long an instance may trust its cache alone.")


SECTIONS: Mapping[str, type] = {
    "global": Global,
    "runner": Runner,
    "proxy": Proxy,
    "handler": Handler,
    "cache": Cache,
    "cluster": Cluster,
}

# Accepted and ignored: why, and the values that need no mention (config.md 3).
IGNORED: Mapping[tuple[str, str], tuple[str, Words]] = {
    ("global", "libdir"): ("nothing is loaded from there", ("",)),
    ("runner", "services"): (
        "gripproxy is one program",
        (
            "connmgr,proxy,handler",
            "condure,pushpin-proxy,pushpin-handler",
            "condure,zurl,pushpin-proxy,pushpin-handler",
        ),
    ),
    ("runner", "mongrel2_bin"): ("there are no helper programs", ("mongrel2",)),
    ("runner", "m2sh_bin"): ("there are no helper programs", ("m2sh",)),
    ("runner", "zurl_bin"): ("there are no helper programs", ("zurl",)),
    ("runner", "condure_bin"): ("there are no helper programs", ("condure",)),
    ("runner", "configdir"): ("nothing is read from there", ("", "runner")),
    ("proxy", "workers"): ("use [runner] workers", ("1",)),
    ("proxy", "stats_report_interval"): ("there are no parts that report to each other", ("10",)),
    ("proxy", "stats_connections_max_ttl"): ("there are no parts that report", ("60",)),
    ("proxy", "prometheus_port"): ("use [handler] prometheus_port", ("",)),
    ("proxy", "prometheus_prefix"): ("use [handler] prometheus_prefix", ("",)),
    ("proxy", "ipc_file_mode"): ("there are no internal sockets", ("",)),
    ("proxy", "updates_check"): ("gripproxy does not check for updates", ("", "off", "report")),
    ("proxy", "organization_name"): ("gripproxy does not check for updates", ("",)),
    ("handler", "state_spec"): ("session detection is not supported", ("",)),
    ("handler", "share_all"): (
        "identical requests are joined by the route parameter cache",
        ("", "false"),
    ),
}

_INTERNAL_PROXY = """connmgr_in_specs connmgr_in_stream_specs connmgr_out_specs condure_in_specs
condure_in_stream_specs condure_out_specs connmgr_client_out_specs connmgr_client_out_stream_specs
connmgr_client_in_specs condure_client_out_specs condure_client_out_stream_specs
condure_client_in_specs m2a_in_specs m2a_in_stream_specs m2a_out_specs zurl_out_specs
zurl_out_stream_specs zurl_in_specs handler_inspect_spec handler_accept_spec handler_retry_in_spec
handler_ws_control_in_spec handler_ws_control_out_spec handler_ws_control_init_specs
handler_ws_control_stream_specs stats_spec command_spec intreq_in_specs intreq_in_stream_specs
intreq_out_specs"""
_INTERNAL_HANDLER = """connmgr_in_stream_specs connmgr_out_specs condure_in_stream_specs
condure_out_specs m2a_in_stream_specs m2a_out_specs proxy_inspect_spec proxy_inspect_specs
proxy_accept_spec proxy_accept_specs proxy_retry_out_spec proxy_retry_out_specs
proxy_ws_control_in_spec proxy_ws_control_out_spec proxy_ws_control_init_specs
proxy_ws_control_stream_specs proxy_stats_spec proxy_stats_specs proxy_command_spec
proxy_intreq_out_specs proxy_intreq_out_stream_specs proxy_intreq_in_specs"""

# Endpoints between the processes of Pushpin: accepted without a word.
INTERNAL: frozenset[tuple[str, str]] = frozenset(
    [("proxy", name) for name in _INTERNAL_PROXY.split()]
    + [("handler", name) for name in _INTERNAL_HANDLER.split()]
)

# Older names that are read where the present one is absent.
RENAMED: Mapping[tuple[str, str], str] = {
    ("handler", "push_in_max_headers_size"): "push_in_http_max_headers_size",
    ("handler", "push_in_max_body_size"): "push_in_http_max_body_size",
}


def table() -> dict[tuple[str, str], Option]:
    """Return all options that act, by section and name."""
    return {
        (section, entry.name): of(entry)
        for section, kind in SECTIONS.items()
        for entry in fields(kind)
    }

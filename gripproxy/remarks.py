"""What is said of a configuration at start: legal, but perhaps not meant (config.md 3.3, 3.4)."""

import ipaddress
from collections.abc import Iterator

from gripproxy.ini import shown
from gripproxy.kinds import Endpoint
from gripproxy.options import Handler, Proxy, Runner

_WELL_KNOWN = b"changeme"
_RULE = "truncate:"


def remarks(runner: Runner, proxy: Proxy, handler: Handler) -> Iterator[str]:
    """Yield what the operator should know, a line each."""
    yield from _keys(runner, proxy)
    yield from _addresses(proxy)
    yield from _inputs(handler)
    yield from _limits(handler)
    metrics = handler.prometheus_port
    if isinstance(metrics, Endpoint) and not metrics.host:
        yield (
            f"prometheus_port={metrics.port} listens on all addresses; "
            f"write 127.0.0.1:{metrics.port} to close it"
        )


def _keys(runner: Runner, proxy: Proxy) -> Iterator[str]:
    public = [end for end in (*runner.http_port, *runner.https_ports) if not _is_near(end.host)]
    if public and proxy.sig_key is not None and proxy.sig_key.secret == _WELL_KNOWN:
        yield (
            'sig_key is the well-known "changeme": whoever reaches the origin can forge Grip-Sig'
        )


def _addresses(proxy: Proxy) -> Iterator[str]:
    for name, words in (
        ("x_forwarded_for", proxy.x_forwarded_for),
        ("x_forwarded_for_trusted", proxy.x_forwarded_for_trusted),
    ):
        for word in words:
            number = word.removeprefix(_RULE)
            if word != "append" and (number == word or not number.isdecimal()):
                yield f"[proxy] {name}: {shown(word)} is neither truncate:N nor append; no effect"


def _inputs(handler: Handler) -> Iterator[str]:
    port = handler.push_in_http_port
    host = handler.push_in_http_addr
    if port and handler.control_key is None and not _is_near(host):
        yield (
            f"push_in_http_port={port} listens on {host or 'all addresses'} without control_key: "
            "whoever reaches it can publish; set a key, or push_in_http_addr=127.0.0.1"
        )
    specs = handler.push_in_sub_specs + handler.push_in_sub_spec
    bound = () if handler.push_in_sub_connect else specs[:1]
    for spec in (handler.push_in_spec, *bound, handler.command_spec):
        if spec.startswith("tcp://") and not _is_near(_host(spec)):
            yield (
                f"{spec} is open to the network, and ZeroMQ asks nobody for a key: "
                "whoever reaches it can publish"
            )
    if not handler.push_in_sub_connect and len(specs) > 1:
        yield (
            f"push_in_sub_specs: only {specs[0]} is bound, not {', '.join(specs[1:])}; "
            "push_in_sub_connect=true connects to all"
        )


def _limits(handler: Handler) -> Iterator[str]:
    if handler.message_rate:
        yield (
            f"message_rate={handler.message_rate} limits deliveries (items × holders) to "  # noqa: RUF001
            f"{handler.message_rate} a second; remove it to lift the limit"
        )
    if handler.message_hwm:
        yield (
            f"message_hwm={handler.message_hwm} drops deliveries while so many wait; "
            "remove it to lift the limit"
        )


def _host(spec: str) -> str:
    return spec.removeprefix("tcp://").rpartition(":")[0].strip("[]")


def _is_near(host: str) -> bool:
    """Tell whether only this machine can reach an address; an empty one is all addresses."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

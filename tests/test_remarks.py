"""What is said of a configuration at start."""

import pytest

from gripproxy.kinds import Endpoint, UnixEndpoint
from gripproxy.options import Handler, Proxy, Runner
from gripproxy.protocol.keys import KeySource
from gripproxy.remarks import remarks

CHANGEME = Proxy(sig_key=KeySource("text", b"changeme"))
FORGE = 'sig_key is the well-known "changeme": whoever reaches the origin can forge Grip-Sig'


def said(runner=Runner(), proxy=Proxy(), handler=Handler()):  # noqa: B008  # frozen values
    return list(remarks(runner, proxy, handler))


def listening(*hosts, **more):
    return Runner(http_port=tuple(Endpoint(host, 7999) for host in hosts), **more)


def test_nothing_is_said_of_defaults():
    assert said() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_the_well_known_key_is_named_where_others_reach_us(host):
    assert said(listening("127.0.0.1", host), CHANGEME) == [FORGE]


def test_the_well_known_key_is_named_for_a_tls_port():
    assert said(Runner(https_ports=(Endpoint("0.0.0.0", 443),)), CHANGEME) == [FORGE]


def test_the_well_known_key_is_fine_on_one_machine():
    runner = listening("127.0.0.1", "::1", local_ports=(UnixEndpoint("/run/x"),))
    assert said(runner, CHANGEME) == []


@pytest.mark.parametrize("key", [None, KeySource("text", b"better")])
def test_other_keys_are_not_named(key):
    assert said(listening("0.0.0.0"), Proxy(sig_key=key)) == []


@pytest.mark.parametrize("word", ["trunc:1", "truncate:", "truncate:x", "truncate:-1", "Append"])
def test_a_word_about_addresses_that_does_nothing_is_named(word):
    proxy = Proxy(x_forwarded_for=("append", "truncate:0"), x_forwarded_for_trusted=(word,))
    assert said(proxy=proxy) == [
        f'[proxy] x_forwarded_for_trusted: "{word}" is neither truncate:N nor append; no effect'
    ]


@pytest.mark.parametrize(
    ("host", "shown"), [("", "all addresses"), ("0.0.0.0", "0.0.0.0"), ("::", "::")]
)
def test_an_open_control_port_is_named(host, shown):
    assert said(handler=Handler(push_in_http_port=5561, push_in_http_addr=host)) == [
        f"push_in_http_port=5561 listens on {shown} without control_key: whoever reaches it can "
        "publish; set a key, or push_in_http_addr=127.0.0.1"
    ]


@pytest.mark.parametrize(
    "handler",
    [
        Handler(push_in_http_addr="0.0.0.0"),
        Handler(push_in_http_port=5561, push_in_http_addr="127.0.0.1"),
        Handler(push_in_http_port=5561, control_key=KeySource("text", b"k")),
    ],
)
def test_a_control_port_that_is_not_open_is_not(handler):
    assert said(handler=handler) == []


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "[::]", "eth0"])
def test_zeromq_sockets_on_the_network_are_named(host):
    spec = f"tcp://{host}:5560"
    handler = Handler(push_in_spec=spec, push_in_sub_specs=(spec,), command_spec=spec)
    text = (
        f"{spec} is open to the network, and ZeroMQ asks nobody for a key: whoever reaches it "
        "can publish"
    )
    assert said(handler=handler) == [text] * 3


@pytest.mark.parametrize(
    "spec", ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc:///run/x"]
)
def test_zeromq_sockets_of_one_machine_are_not(spec):
    handler = Handler(push_in_spec=spec, push_in_sub_specs=(spec,), command_spec=spec)
    assert said(handler=handler) == []


def test_a_sub_socket_that_connects_is_open_to_nobody():
    handler = Handler(push_in_sub_specs=("tcp://a:1", "tcp://b:1"), push_in_sub_connect=True)
    assert said(handler=handler) == []


def test_sub_endpoints_that_are_not_bound_are_named():
    handler = Handler(push_in_sub_specs=("ipc://a", "ipc://b"), push_in_sub_spec=("ipc://c",))
    assert said(handler=handler) == [
        "push_in_sub_specs: only ipc://a is bound, not ipc://b, ipc://c; "
        "push_in_sub_connect=true connects to all"
    ]


def test_limits_are_named():
    assert said(handler=Handler(message_rate=2500, message_hwm=25_000)) == [
        "message_rate=2500 limits deliveries (items × holders) to 2500 a second; "  # noqa: RUF001
        "remove it to lift the limit",
        "message_hwm=25000 drops deliveries while so many wait; remove it to lift the limit",
    ]


def test_metrics_on_all_addresses_are_named():
    assert said(handler=Handler(prometheus_port=Endpoint("", 9000))) == [
        "prometheus_port=9000 listens on all addresses; write 127.0.0.1:9000 to close it"
    ]


@pytest.mark.parametrize("where", [Endpoint("0.0.0.0", 9000), UnixEndpoint("/run/m")])
def test_metrics_whose_place_was_written_are_not(where):
    assert said(handler=Handler(prometheus_port=where)) == []

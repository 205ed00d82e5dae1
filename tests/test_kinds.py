"""The kinds of values that options have."""

import contextlib
import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gripproxy import kinds
from gripproxy.errors import OptionValueError
from gripproxy.kinds import Context, Endpoint, UnixEndpoint, Written
from gripproxy.protocol.keys import KeySource


def no_file(path):
    raise FileNotFoundError(2, "No such file or directory", path)


NOWHERE = Context(read=no_file)


def read(kind, text, context=NOWHERE):
    elements = tuple(part.strip() for part in text.split(","))
    return kind.read(Written(text, elements), context)


def refused(kind, text, context=NOWHERE):
    with pytest.raises(OptionValueError) as raised:
        read(kind, text, context)
    return raised.value.text


# One or many


def test_a_list_is_refused_where_one_value_is_wanted():
    with pytest.raises(OptionValueError, match=r'takes one value, not a list.*"a,b"'):
        kinds.TEXT.read(Written(None, ("a", "b")), NOWHERE)


def test_a_list_that_should_be_a_key_is_not_shown():
    with pytest.raises(OptionValueError) as raised:
        kinds.KEY.read(Written(None, ("half", "secret")), NOWHERE)
    assert "secret" not in raised.value.text


def test_one_value_may_have_commas():
    assert read(kinds.TEXT, "a,b") == "a,b"


def test_a_list_drops_empty_elements():
    assert read(kinds.WORDS, "a,,b,") == ("a", "b")


def test_an_empty_list_is_empty():
    assert read(kinds.WORDS, "") == ()


# Words and numbers


@pytest.mark.parametrize("text", ["1", "true", "yes", "on", "TRUE", "Yes"])
def test_what_is_true(text):
    assert read(kinds.BOOLEAN, text) is True


@pytest.mark.parametrize("text", ["", "0", "false", "no", "off", "No", "FALSE"])
def test_what_is_false(text):
    assert read(kinds.BOOLEAN, text) is False


@pytest.mark.parametrize("text", ["2", "00", "0.0", "maybe", " true"])
def test_what_is_neither(text):
    assert refused(kinds.BOOLEAN, text) == f'"{text}" is neither true nor false'


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-7", -7), ("+7", 7), ("007", 7)])
def test_an_integer_is_decimal_with_an_optional_sign(text, number):
    assert read(kinds.INTEGER, text) == number


@pytest.mark.parametrize(
    "text", ["", "abc", "56x1", "1_0", "0x10", "1.0", "\u0661", "9" * 19, "--1"]
)
def test_nothing_else_is_a_number(text):
    assert "is not a number" in refused(kinds.INTEGER, text)


def test_a_count_is_not_negative():
    assert read(kinds.COUNT, "0") == 0
    assert refused(kinds.COUNT, "-1") == "-1 is too little; write 0 or more"


def test_some_are_at_least_one():
    assert read(kinds.SOME, "1") == 1
    assert refused(kinds.SOME, "0") == "0 is too little; write 1 or more"


@pytest.mark.parametrize("text", ["", "0", "-1"])
def test_a_limit_is_off_when_it_is_not_positive(text):
    assert read(kinds.LIMIT, text) == 0


def test_a_limit_is_a_number():
    assert read(kinds.LIMIT, "2500") == 2500
    assert "is not a number" in refused(kinds.LIMIT, "many")


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("10", 10.0), ("0.25", 0.25), ("1.", 1)]
)
def test_seconds_may_have_a_fraction(text, seconds):
    assert read(kinds.SECONDS, text) == seconds


@pytest.mark.parametrize("text", ["", "1e3", "inf", "nan", "ten", "1,5", "9" * 10])
def test_what_are_no_seconds(text):
    assert "is not a number of seconds" in refused(kinds.SECONDS, text)


def test_seconds_are_not_negative():
    assert refused(kinds.SECONDS, "-0.5") == "-0.5 is too little; write 0 or more"


def test_some_seconds_are_more_than_none():
    assert read(kinds.SOME_SECONDS, "0.1") == 0.1
    assert refused(kinds.SOME_SECONDS, "0.0") == "0.0 is too little; write more than 0"


def test_a_mode_is_octal():
    assert read(kinds.OCTAL, "0770") == 0o770


def test_no_mode_is_none():
    assert read(kinds.OCTAL, "") is None


@pytest.mark.parametrize("text", ["8", "0o7", "rw", "77777", "-7"])
def test_what_is_no_mode(text):
    assert "write octal digits" in refused(kinds.OCTAL, text)


def test_a_choice_is_one_of_its_words():
    choice = kinds.choice("safe", "rfc")
    assert choice.name == "safe or rfc"
    assert read(choice, "rfc") == "rfc"
    assert refused(choice, "RFC") == '"RFC" is none of: safe, rfc'
    assert refused(choice, "") == '"" is none of: safe, rfc'


def test_a_choice_may_say_what_nothing_means():
    assert read(kinds.choice("a", "b", empty="a"), "") == "a"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("true", "true"), ("proto-only", "proto-only"), ("True", ""), ("false", ""), ("", "")],
)
def test_only_two_words_set_protocol_fields(text, meaning):
    assert read(kinds.PROTO_FIELDS, text) == meaning


# Log levels


@pytest.mark.parametrize("text", ["3", "2,proxy:3", "proxy:3,handler:0"])
def test_log_levels_are_passed_on(text):
    assert read(kinds.LEVELS, text) == tuple(text.split(","))


def test_log_levels_may_be_a_list_of_a_file():
    assert kinds.LEVELS.read(Written(None, ("2", "proxy:3")), NOWHERE) == ("2", "proxy:3")


def test_no_log_level_is_the_default():
    assert read(kinds.LEVELS, "") == ("2",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-1", "log level must be greater than or equal to 0"),
        ("proxy:-1", "log level for service proxy must be greater than or equal to 0"),
        ("2,,proxy:3", "log level component cannot be empty"),
        (":3", "log level component name cannot be empty"),
    ],
)
def test_a_log_level_that_is_wrong(text, said):
    assert refused(kinds.LEVELS, text) == said


# Keys


def test_a_key_is_resolved():
    assert read(kinds.SIGNING_KEY, "base64:AAEC") == KeySource("base64", b"\0\1\2")


def test_no_key_is_none():
    assert read(kinds.KEY, "") is None


def test_a_key_file_is_looked_for_beside_the_configuration():
    asked = []

    def file(path):
        asked.append(path)
        return b"00ff"

    context = Context(directory="/etc/x", read=file)
    assert read(kinds.KEY, "file:key.hex", context) == KeySource("hex", b"\0\xff")
    assert asked == ["/etc/x/key.hex"]


def test_a_key_file_that_cannot_be_read_is_an_error():
    assert refused(kinds.KEY, "file:k") == "failed to open k: No such file or directory"


def test_what_is_no_key_is_not_shown():
    assert "secret" not in refused(kinds.KEY, "base64:secret!")
    assert kinds.KEY.secret


# Endpoints


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("7999", Endpoint("0.0.0.0", 7999)),
        ("0", Endpoint("0.0.0.0", 0)),
        ("127.0.0.1:80", Endpoint("127.0.0.1", 80)),
        ("[::]:7999", Endpoint("::", 7999)),
        ("[0:0::1]:080", Endpoint("::1", 80)),
    ],
)
def test_a_listener_is_an_address_and_a_port(text, endpoint):
    assert read(kinds.PORTS, text) == (endpoint,)


@pytest.mark.parametrize("text", ["abc", "56x1", "-1", "::1:80", "1.2.3.4:", "[::1]", "80 81"])
def test_what_is_no_listener(text):
    assert "is not a port; write PORT, ADDRESS:PORT or [IPV6]:PORT" in refused(kinds.PORTS, text)


@pytest.mark.parametrize("text", ["localhost:80", "*:80", ":80", "1.2.3:80", "[]:80"])
def test_a_listener_has_no_names(text):
    assert "is not an IP address" in refused(kinds.PORTS, text)


def test_ports_have_an_end():
    assert refused(kinds.PORTS, "65536") == "there is no port 65536; the last one is 65535"


def test_several_listeners():
    assert read(kinds.PORTS, "80, [::]:80") == (Endpoint("0.0.0.0", 80), Endpoint("::", 80))


def test_a_tls_listener_has_a_port_for_its_certificate():
    assert read(kinds.TLS_PORTS, "443") == (Endpoint("0.0.0.0", 443),)
    assert "no certificate" in refused(kinds.TLS_PORTS, "0")


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [(Endpoint("::1", 80), "[::1]:80"), (Endpoint("1.2.3.4", 5), "1.2.3.4:5")],
)
def test_an_endpoint_is_shown_as_it_is_written(endpoint, shown):
    assert str(endpoint) == shown


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/run/x", UnixEndpoint("/run/x")),
        ("x?", UnixEndpoint("x")),
        (
            "/run/x?mode=660&user=www&group=web",
            UnixEndpoint("/run/x", 0o660, user="www", group="web"),
        ),
    ],
)
def test_a_unix_socket_has_a_path_and_perhaps_a_mode_and_owners(text, endpoint):
    assert read(kinds.UNIX_SOCKETS, text) == (endpoint,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("?mode=660", "names no path"),
        ("/x?owner=me", '"owner" is unknown; behind ? there may be mode=, user= and group='),
        ("/x?mode=rw", "write octal digits"),
    ],
)
def test_what_is_no_unix_socket(text, said):
    assert said in refused(kinds.UNIX_SOCKETS, text)


@pytest.mark.parametrize(
    ("text", "address"), [("", ""), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")]
)
def test_an_address(text, address):
    assert read(kinds.ADDRESS, text) == address


def test_an_address_is_no_name():
    assert "is not an IP address" in refused(kinds.ADDRESS, "localhost")


MOVED = Context(port_offset=10, read=no_file)


@pytest.mark.parametrize("text", ["", "0", "-1"])
def test_no_control_port(text):
    assert read(kinds.CONTROL_PORT, text, MOVED) == 0


def test_the_control_port_is_moved():
    assert read(kinds.CONTROL_PORT, "5561", MOVED) == 5571


def test_the_control_port_is_not_moved_past_the_last():
    assert "there is no port 65540" in refused(kinds.CONTROL_PORT, "65530", MOVED)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("", ""),
        ("ipc:///run/x:5560", "ipc:///run/x:5560"),
        ("tcp://127.0.0.1:5560", "tcp://127.0.0.1:5570"),
        ("tcp://*:5560", "tcp://*:5570"),
        ("tcp://[::1]:5560", "tcp://[::1]:5570"),
        ("tcp://eth0:*", "tcp://eth0:*"),
    ],
)
def test_tcp_endpoints_are_moved(text, moved):
    assert read(kinds.ZEROMQ, text, MOVED) == moved


@pytest.mark.parametrize(
    "text",
    [
        "5560",
        "ipc://",
        "tcp://127.0.0.1",
        "tcp://h:80x",
        "tcp://h:99999x",
        "udp://h:1",
        "tcp://::1:5",
    ],
)
def test_what_is_no_zeromq_endpoint(text):
    assert "is neither tcp://ADDRESS:PORT nor ipc://PATH" in refused(kinds.ZEROMQ, text)


@pytest.mark.parametrize(("text", "offset"), [("tcp://h:65530", 10), ("tcp://h:5", -5)])
def test_an_endpoint_that_is_moved_to_nowhere(text, offset):
    context = Context(port_offset=offset, read=no_file)
    assert f"with port_offset={offset} there is no port" in refused(kinds.ZEROMQ, text, context)


def test_an_endpoint_that_is_nowhere_itself():
    assert "there is no port 65536" in refused(kinds.ZEROMQ, "tcp://h:65536")


def test_several_zeromq_endpoints():
    assert read(kinds.ZEROMQ_LIST, "tcp://a:1, ipc://b") == ("tcp://a:1", "ipc://b")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("", None),
        ("9000", Endpoint("", 9000)),
        ("127.0.0.1:9000", Endpoint("127.0.0.1", 9000)),
        ("[::1]:9000", Endpoint("::1", 9000)),
        ("ipc:///run/m", UnixEndpoint("/run/m")),
    ],
)
def test_where_metrics_are(text, endpoint):
    assert read(kinds.METRICS, text, MOVED) == endpoint


def test_networks():
    assert read(kinds.NETWORKS, "10.0.0.1/8, ::1") == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )
    assert "is not a network, such as 10.0.0.0/8" in refused(kinds.NETWORKS, "lan")


@pytest.mark.parametrize("text", ["", "redis://h", "rediss://h", "nats://h:4222"])
def test_the_engine_of_a_cluster(text):
    assert read(kinds.ENGINE, text) == text


def test_another_engine():
    assert "begins with none of: redis://" in refused(kinds.ENGINE, "amqp://h")


# For all texts

EVERY = [
    kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)
]  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(EVERY), st.text(), st.integers(-70_000, 70_000))
def test_every_text_is_a_value_or_told_to_be_none(kind, text, offset):
    context = Context(port_offset=offset, read=no_file)
    with contextlib.suppress(OptionValueError):
        read(kind, text, context)

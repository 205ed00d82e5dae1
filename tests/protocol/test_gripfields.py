"""The `Grip-*` fields."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gripproxy.errors import InstructError
from gripproxy.protocol import gripfields
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.terms import Channel, HoldMode, KeepAlive, KeepAliveMode, Link


def read(*pairs):
    return gripfields.read(Headers(pairs))


def error_of(*pairs):
    with pytest.raises(InstructError) as caught:
        read(*pairs)
    return caught.value.text


def test_without_fields_there_is_nothing():
    found = read((b"Content-Type", b"text/plain"))
    assert (found.mode, found.channels, found.keep_alive, found.meta) == (None, (), None, {})
    assert (found.status, found.next, found.gone, found.exposed) == (None, None, None, frozenset())


def test_fields_that_nobody_knows_have_no_effect():
    assert read((b"Grip-Foo", b"x"), (b"Grip-Set-Hold", b"stream")).mode is None


# Grip-Hold


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (b"response", HoldMode.RESPONSE),
        (b"stream", HoldMode.STREAM),
        (b" stream\t", HoldMode.STREAM),
    ],
)
def test_a_hold_has_a_mode(value, mode):
    assert read((b"grip-hold", value)).mode is mode


def test_the_first_of_several_holds_counts():
    assert read((b"Grip-Hold", b"stream"), (b"Grip-Hold", b"x")).mode is HoldMode.STREAM


@pytest.mark.parametrize("value", [b"", b"Response", b"stream; x=1", b"both", b"\xff"])
def test_a_hold_has_no_other_mode(value):
    text = "Grip-Hold must be set to either 'response' or 'stream'"
    assert error_of((b"Grip-Hold", value)) == text


# Grip-Channel


@pytest.mark.parametrize(
    ("value", "channels"),
    [
        (b"", []),
        (b"c", [Channel("c")]),
        (b"a, b", [Channel("a"), Channel("b")]),
        (b", a", [Channel(""), Channel("a")]),
        (b'"a,b"', [Channel('"a,b"')]),
        ("é b".encode(), [Channel("é b")]),
        (b"\xff", [Channel("\ufffd")]),
        (b"a; prev-id=1", [Channel("a", "1")]),
        (b"a; Prev-ID=1; prev-id=2", [Channel("a", "1")]),
        (b'a; prev-id="1;2"', [Channel("a", "1;2")]),
        (b"a; prev-id=", [Channel("a", "")]),
        (b"a; prev-id", [Channel("a")]),
        (b'a; prev-id="x, b', []),
        (b'a; prev-id="x", b', [Channel("a", "x"), Channel("b")]),
        (b"a; filter=y; filter=x; filter", [Channel("a", None, ("y", "x", ""))]),
        (b"a; Filter=y", [Channel("a")]),
        (b"a; resume=sse", [Channel("a", resumes=True)]),
        (b"a; Resume=sse; x=y", [Channel("a", resumes=True)]),
        (b"a; resume=SSE", [Channel("a")]),
        (b"a; prev-id=1, a", [Channel("a", "1"), Channel("a")]),
    ],
)
def test_channels_are_read(value, channels):
    assert list(read((b"Grip-Channel", value)).channels) == channels


def test_channels_of_several_fields_are_one_list():
    found = read((b"Grip-Channel", b"a"), (b"grip-channel", b"b,c"))
    assert [channel.name for channel in found.channels] == ["a", "b", "c"]


def test_a_library_s_channels_are_read():
    value = b"events-test; prev-id=0; filter=build-id; filter=skip-users, user-anonymous"
    assert read((b"Grip-Channel", value)).channels == (
        Channel("events-test", "0", ("build-id", "skip-users")),
        Channel("user-anonymous"),
    )


def test_a_channel_has_up_to_five_filters():
    found = read((b"Grip-Channel", b"a" + b"; filter=x" * 5))
    assert found.channels[0].filters == ("x",) * 5


def test_a_sixth_filter_is_an_error():
    text = error_of((b"Grip-Channel", b"b, a" + b"; filter=x" * 6))
    assert text == "too many filters for channel 'a'"


# Grip-Timeout


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"20", 20),
        (b"4", 5),
        (b"0", 5),
        (b"-0", 5),
        (b" +0020\t", 20),
        (b"2147483647", 2147483647),
    ],
)
def test_a_timeout_is_at_least_five_seconds(value, seconds):
    assert read((b"Grip-Timeout", value)).timeout == seconds


def test_a_hold_lasts_55_seconds():
    assert read().timeout == 55


@pytest.mark.parametrize(
    "value",
    [b"", b"5.0", b"5s", b"0x5", b"1e3", b"99999999999", b"2147483648", b"+", b"- 5", b"\xb2"],
)
def test_a_timeout_is_a_number(value):
    assert error_of((b"Grip-Timeout", value)) == "failed to parse Grip-Timeout"


def test_a_timeout_is_not_negative():
    assert error_of((b"Grip-Timeout", b"-1")) == "Grip-Timeout has invalid value"


# Grip-Keep-Alive


@pytest.mark.parametrize(
    ("value", "keep_alive"),
    [
        (b"", None),
        (b" ", None),
        (b'x; format="raw', None),
        (b"a: b\\n", KeepAlive(b"a: b\\n")),
        (b'"x"', KeepAlive(b'"x"')),
        (b"\\n; format=cstring", KeepAlive(b"\n")),
        (b"a\\tb; FORMAT=cstring", KeepAlive(b"a\tb")),
        (b"AP8=; format=base64; timeout=2", KeepAlive(b"\x00\xff", 2)),
        (b"b'AAE='; format=base64", KeepAlive(b"\x6c\x00\x04")),
        (b"!; format=base64", KeepAlive(b"")),
        (b"x; format=raw", KeepAlive(b"x")),
        (b"x; format=; mode=; y", KeepAlive(b"x")),
        (b"x; format; mode", KeepAlive(b"x")),
        (b"x; timeout=0", KeepAlive(b"x", 1)),
        (b"x; timeout=7; timeout=z", KeepAlive(b"x", 7)),
        (b"x; mode=interval", KeepAlive(b"x", 55, KeepAliveMode.INTERVAL)),
        (b"x; mode=idle", KeepAlive(b"x")),
        (b"a, b; timeout=3", KeepAlive(b"a, b", 3)),
        (
            b"event: keep-alive\\ndata:\\n\\n; format=cstring; timeout=20",
            KeepAlive(b"event: keep-alive\ndata:\n\n", 20),
        ),
    ],
)
def test_a_keep_alive_is_read(value, keep_alive):
    assert read((b"Grip-Keep-Alive", value)).keep_alive == keep_alive


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"; timeout=5", "Grip-Keep-Alive cannot be empty"),
        (b";", "Grip-Keep-Alive cannot be empty"),
        (b"x; mode=Idle; timeout=x", "no such Grip-Keep-Alive mode 'Idle'"),
        (b"x; timeout=x; format=y", "failed to parse Grip-Keep-Alive timeout value"),
        (b"x; timeout=", "failed to parse Grip-Keep-Alive timeout value"),
        (b"x; timeout", "failed to parse Grip-Keep-Alive timeout value"),
        (b"x; timeout=-1", "Grip-Keep-Alive timeout has invalid value"),
        (b"x; format=RAW", "no such Grip-Keep-Alive format 'RAW'"),
        (b"x\\; format=cstring", "failed to parse Grip-Keep-Alive cstring format"),
        (b"\\q; format=cstring", "failed to parse Grip-Keep-Alive cstring format"),
    ],
)
def test_a_keep_alive_is_wrong(value, text):
    assert error_of((b"Grip-Keep-Alive", value)) == text


# Grip-Set-Meta


@pytest.mark.parametrize(
    ("value", "meta"),
    [
        (b"", {}),
        (b"a=b", {"a": "b"}),
        (b'a="b, c", A=d', {"a": "b, c", "A": "d"}),
        (b"a=b; user=me", {"a": "b"}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"a=b,", {"a": "b"}),
        (b"a=1, a=2", {"a": "2"}),
        (b'user="al\\"ice"', {"user": 'al"ice'}),
        (b'a="b, c=d', {}),
        (
            b'id_format="test:%(events-test)s", user="anonymous"',
            {"id_format": "test:%(events-test)s", "user": "anonymous"},
        ),
    ],
)
def test_meta_are_read(value, meta):
    assert read((b"Grip-Set-Meta", value)).meta == meta


@pytest.mark.parametrize("value", [b",a=b", b"a=b,,c=d", b"a=b, ;"])
def test_meta_have_names(value):
    assert error_of((b"Grip-Set-Meta", value)) == "Grip-Set-Meta cannot be empty"


# Grip-Status


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"", None),
        (b"304", (304, b"Not Modified")),
        (b"200 OK fine", (200, b"OK fine")),
        (b"200  two", (200, b" two")),
        (b"299", (299, b"Undefined Reason")),
        (b"999 \xff", (999, b"\xff")),
    ],
)
def test_a_status_is_read(value, status):
    assert read((b"Grip-Status", value)).status == status


@pytest.mark.parametrize("value", [b"OK", b"1000", b"-1", b"0", b"199", b"200.0", b"200\tOK"])
def test_a_status_is_wrong(value):
    assert error_of((b"Grip-Status", value)) == "Grip-Status contains invalid status code"


# Grip-Link


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"", (None, None)),
        (b"</n>; rel=next", (Link(b"/n"), None)),
        (b'</n?x=1>; REL="next"; timeout=3', (Link(b"/n?x=1", 3), None)),
        (b"</n>; rel=next; timeout=0", (Link(b"/n", 0), None)),
        (b"</g>; rel=gone; timeout=x, <http://h/n>; rel=next", (Link(b"http://h/n"), Link(b"/g"))),
        (b"</a>; rel=next, </b>; rel=next", (Link(b"/b"), None)),
        (b"</a,b;c>; rel=next", (Link(b"/a,b;c"), None)),
        (b"x, </n>; rel=next", (Link(b"/n"), None)),
        (b"<x:y>; rel=next", (Link(b"x:y"), None)),
        (b"</n>; rel=Next", (None, None)),
        (b"</n>; x", (None, None)),
        (b"</n>;", (None, None)),
        (b'</n>; rel="next', (None, None)),
    ],
)
def test_links_are_read(value, found):
    given = read((b"Grip-Link", value))
    assert (given.next, given.gone) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"/n; rel=next", "failed to parse Grip-Link value"),
        (b"<>; rel=next", "failed to parse Grip-Link value"),
        (b"<x; rel=next", "failed to parse Grip-Link value"),
        (b"</n> ; x, y>; rel=other", "failed to parse Grip-Link value"),
        (b"<http://>; rel=other", "Grip-Link contains invalid link"),
        (b"<//h:x/>; rel=next", "Grip-Link contains invalid link"),
        (b"</n>; rel=next; timeout=x", "failed to parse Grip-Link timeout value"),
        (b"</n>; rel=next; timeout", "failed to parse Grip-Link timeout value"),
        (b"</n>; rel=next; timeout=-1", "Grip-Link timeout has invalid value"),
        (b"</n>; rel=next; timeout=z, </b>; rel=next", "failed to parse Grip-Link timeout value"),
    ],
)
def test_a_link_is_wrong(value, text):
    assert error_of((b"Grip-Link", value)) == text


# Grip-Expose-Headers


def test_exposed_names_are_read():
    found = read((b"Grip-Expose-Headers", b"X-A, ,x-B"), (b"Grip-Expose-Headers", b"*"))
    assert found.exposed == {b"x-a", b"x-b", b"*"}


# All of them


def test_errors_are_found_in_the_order_of_the_specification():
    wrong = [
        (b"Grip-Link", b"x;rel=next"),
        (b"Grip-Status", b"x"),
        (b"Grip-Set-Meta", b",a"),
        (b"Grip-Keep-Alive", b";"),
        (b"Grip-Timeout", b""),
        (b"Grip-Channel", b"a" + b"; filter=x" * 6),
        (b"Grip-Hold", b""),
    ]
    texts = []
    while wrong:
        texts.append(error_of(*wrong))
        wrong.pop()
    assert [text.split(" ")[0] for text in texts] == [
        "Grip-Hold", "too", "failed", "Grip-Keep-Alive", "Grip-Set-Meta", "Grip-Status", "failed",
    ]  # fmt: skip


def test_equal_fields_are_read_once():
    pairs = [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"read-once")]
    assert read(*pairs) is read(*pairs, (b"X-Other", b"1"))


def test_long_fields_are_not_kept():
    pair = (b"Grip-Channel", b"c" * 2049)
    assert read(pair) is not read(pair)


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(gripfields, "_KNOWN_MAX", 2)
    pairs = [(b"Grip-Channel", b"kept-%d" % at) for at in range(5)]
    first = read(pairs[0])
    for pair in pairs:
        read(pair)
    assert read(pairs[0]) is not first


NAMES = st.sampled_from(
    [
        b"Grip-Hold",
        b"Grip-Channel",
        b"Grip-Timeout",
        b"Grip-Keep-Alive",
        b"Grip-Set-Meta",
        b"Grip-Status",
        b"Grip-Expose-Headers",
        b"Grip-Link",
    ]
)
PIECES = [
    b"stream", b"a", b";", b",", b"=", b'"', b"\\", b"<", b">", b" ", b"timeout", b"rel=next",
    b"filter=x", b"format=cstring", b"format=base64", b"5", b"-", b"\xff", b"mode=interval",
]  # fmt: skip
VALUES = st.lists(st.sampled_from(PIECES)).map(b"".join) | st.binary()


@given(st.lists(st.tuples(NAMES, VALUES)))
@example([(b"Grip-Status", b"9" * 5000)])
def test_any_fields_are_read_or_an_error(pairs):
    try:
        found = read(*pairs)
    except InstructError as error:
        text = error.text
    else:
        text = ""
        assert found.timeout >= 5
        assert found.status is None or 200 <= found.status[0] <= 999
    assert text == "" or "Grip-" in text or text.startswith("too many filters")

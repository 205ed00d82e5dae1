"""Statistics packets as they go out (stats.md 1, 2, 5, 6)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.protocol import statspackets, tnetstring
from gripproxy.protocol.statspackets import Format, Kind, Packet, encode

SENDER = "gripproxy_7"


def in_json(packet: Packet) -> bytes:
    return encode(packet, SENDER, Format.JSON)


def in_tnetstring(packet: Packet) -> dict:
    frame = encode(packet, SENDER, Format.TNETSTRING)
    start = packet.kind.topic + b"T"
    assert frame.startswith(start)
    return tnetstring.decode(frame, len(start))


def test_json_is_compact_and_sorted_by_key():
    packet = statspackets.subscription("stream", "chan-s", subscribers=1, ttl=8)
    assert in_json(packet) == (
        b'sub J{"channel":"chan-s","from":"gripproxy_7","mode":"stream","subscribers":1,"ttl":8}'
    )


def test_tnetstrings_have_text_numbers_and_flags():
    packet = statspackets.connection_gone("c:1", "r")
    assert in_tnetstring(packet) == {
        "from": b"gripproxy_7",
        "id": b"c:1",
        "route": b"r",
        "unavailable": True,
    }


def test_activity_names_its_route():
    assert in_json(statspackets.activity("r", 5)) == (
        b'activity J{"count":5,"from":"gripproxy_7","route":"r"}'
    )


def test_the_route_of_all_others_is_left_out():
    assert in_json(statspackets.activity(None, 5)) == b'activity J{"count":5,"from":"gripproxy_7"}'


def test_counts_have_no_route():
    assert in_tnetstring(statspackets.counts(7)) == {
        "from": b"gripproxy_7",
        "requests-received": 7,
    }


def test_a_message_tells_its_blocks():
    packet = statspackets.message("chan-s", "i1", "http-stream", count=2, blocks=4)
    assert in_json(packet) == (
        b'message J{"blocks":4,"channel":"chan-s","count":2,"from":"gripproxy_7",'
        b'"item-id":"i1","transport":"http-stream"}'
    )


def test_a_message_without_id_and_blocks_leaves_them_out():
    packet = statspackets.message("chan-q", None, "http-response", count=1, blocks=None)
    assert set(in_tnetstring(packet)) == {"from", "channel", "transport", "count"}


def test_blocks_of_nothing_are_no_unknown_number():
    packet = statspackets.message("c", None, "http-response", count=1, blocks=0)
    assert in_tnetstring(packet)["blocks"] == 0


def test_a_connection_tells_all_of_itself():
    packet = statspackets.connection("c:1", "r", "http", peer="::1", ssl=True, ttl=120)
    assert in_tnetstring(packet) == {
        "from": b"gripproxy_7",
        "id": b"c:1",
        "route": b"r",
        "type": b"http",
        "peer-address": b"::1",
        "ssl": True,
        "ttl": 120,
    }


def test_a_connection_leaves_out_what_is_not_known():
    packet = statspackets.connection("c:1", None, "ws", peer="", ssl=False, ttl=120)
    assert set(in_tnetstring(packet)) == {"from", "id", "type", "ttl"}


def test_a_channel_without_subscribers_has_no_ttl():
    assert in_json(statspackets.subscription_gone("response", "chan-q")) == (
        b'sub J{"channel":"chan-q","from":"gripproxy_7","mode":"response","unavailable":true}'
    )


def test_a_report_has_zeros_and_large_numbers():
    packet = statspackets.report(None, {"client_content_bytes_sent": 1 << 40, "sent": 0})
    assert in_json(packet) == (
        b'report J{"client-content-bytes-sent":1099511627776,"from":"gripproxy_7","sent":0}'
    )


def test_a_report_leaves_out_blocks_that_are_not_counted():
    assert "blocks-sent" not in in_tnetstring(statspackets.report("r", {"blocks_sent": None}))


@pytest.mark.parametrize("kind", Kind)
def test_no_topic_is_the_beginning_of_another(kind):
    assert kind.topic.endswith(b" ")
    assert [other for other in Kind if other.topic.startswith(kind.topic)] == [kind]


def test_bytes_that_are_no_text_pass_through_tnetstrings():
    channel = b"a\xff".decode("utf-8", "surrogateescape")
    packet = statspackets.subscription_gone("ws", channel)
    assert in_tnetstring(packet)["channel"] == b"a\xff"


def test_json_shows_a_replacement_for_bytes_that_are_no_text():
    channel = b"a\xff".decode("utf-8", "surrogateescape")
    frame = in_json(statspackets.subscription_gone("ws", channel))
    assert json.loads(frame.partition(b"J")[2])["channel"] == "a\ufffd"


@given(st.text(), st.integers(0, 1 << 62))
def test_both_formats_say_the_same(channel, subscribers):
    packet = statspackets.subscription("ws", channel, subscribers=subscribers, ttl=8)
    told = json.loads(in_json(packet).removeprefix(b"sub J"))
    read = in_tnetstring(packet)
    assert told["channel"].encode() == read["channel"]
    assert told["subscribers"] == read["subscribers"]

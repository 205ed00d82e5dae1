"""Messages of publishers: publishing.md 4.3, 5, 6, 11.3 and 14.1."""

import contextlib
import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import CommandPacketError, ItemError, PacketError
from gripproxy.protocol import tnetstring
from gripproxy.protocol.formats import HttpStream, Kind, WebSocketMessage
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.packets import (
    CommandRequest,
    decode_batch,
    decode_command,
    decode_item,
    encode_failure,
    encode_item,
    encode_reply,
)
from gripproxy.protocol.purges import Purge

ITEM = {"channel": "c", "formats": {"http-stream": {"content": "x;"}}}
FOUND = PublishItem("c", http_stream=HttpStream(content=b"x;"))

J = b'J{"channel": "c", "formats": {"http-stream": {"content": "x;"}}}'
T = b"T62:7:channel,1:c,7:formats,34:11:http-stream,15:7:content,2:x;,}}}"
M = b"M" + msgpack.packb(ITEM)

each_message = pytest.mark.parametrize("message", [J, T, T[1:], M], ids=["J", "T", "bare", "M"])


def error(work, *arguments, of=PacketError, **named):
    with pytest.raises(of) as caught:
        work(*arguments, **named)
    return caught.value.text


# Item messages


@each_message
def test_an_item_comes_in_any_encoding(message):
    assert decode_item(message) == FOUND


@each_message
def test_an_item_keeps_its_message(message):
    assert decode_item(message).message is message


@each_message
def test_a_topic_is_the_channel(message):
    assert decode_item(message, topic="é".encode()).channel == "é"
    assert decode_item(message, topic=b"\xff").channel == "\ufffd"


@each_message
def test_an_empty_topic_is_none(message):
    assert decode_item(message, topic=b"").channel == "c"


def test_with_a_topic_an_item_needs_no_channel():
    message = b'J{"formats": {"http-stream": {"content": "x;"}}}'
    assert decode_item(message, topic=b"c") == FOUND
    assert error(decode_item, message, topic=b"", of=ItemError) == (
        "publish item object does not contain 'channel'"
    )


def test_blanks_may_follow_json():
    assert decode_item(J + b"\r\n") == FOUND


def test_anything_may_follow_a_tnetstring():
    assert decode_item(T + b"x") == FOUND


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"J", "json parse failed"),
        (b"J{", "json parse failed"),
        (b"J1", "json parse failed"),
        (b"Jnull", "json parse failed"),
        (b'J"x"', "json parse failed"),
        (b"J[]", "not a valid json object"),
        (b"T", "tnetstring parse failed"),
        (b"T1:a", "tnetstring parse failed"),
        (b"", "tnetstring parse failed"),
        (J[1:], "tnetstring parse failed"),
        (b" " + J, "tnetstring parse failed"),
        (b"j" + J[1:], "tnetstring parse failed"),
        (b"M", "msgpack parse failed"),
        (b"M\xc1", "msgpack parse failed"),
        (M[:-1], "msgpack parse failed"),
        (M + b"\x00", "msgpack parse failed"),
        (b"M\x90", "not a valid msgpack map"),
        (b"M\x01", "not a valid msgpack map"),
    ],
)
def test_a_message_that_does_not_decode_is_refused(message, reason):
    assert error(decode_item, message) == f"received message with invalid format ({reason})"


@pytest.mark.parametrize("message", [b"T0:]", b"1:a,", b"0:~"])
def test_a_tnetstring_that_is_no_dict_is_no_item(message):
    assert error(decode_item, message, of=ItemError) == "publish item object is not an object"


# The way out


@each_message
def test_an_item_is_passed_on_as_it_came(message):
    assert encode_item(decode_item(message)) is message


def test_an_item_of_a_batch_gets_a_message():
    (item,) = decode_batch(b'{"items": [%b]}' % J[1:], None)
    message = encode_item(item)
    assert message[:1] == b"J"
    assert decode_item(message) == item


def test_an_item_of_a_topic_is_passed_on_with_its_channel():
    item = decode_item(b"T" + tnetstring.encode({**ITEM, "channel": 1}), topic=b"\xff!")
    assert decode_item(encode_item(item), topic=item.channel.encode()) == item


def test_binary_content_is_passed_on():
    packed = {"channel": "c", "formats": {"ws-message": {"content": b"\xff"}}}
    (item,) = decode_batch(msgpack.packb({"items": [packed]}), b"application/msgpack")
    assert item.ws_message == WebSocketMessage(kind=Kind.BINARY, content=b"\xff")
    assert decode_item(encode_item(item)) == item


# Batches


def test_a_batch_is_json_whatever_its_type_says():
    body = json.dumps({"items": [ITEM, ITEM], "x": 1}).encode()
    for content_type in (None, b"", b"text/plain", b"application/json", b"application/msgpackx"):
        assert decode_batch(body, content_type) == (FOUND, FOUND)


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/msgpack",
        b"application/x-msgpack",
        b"application/vnd.msgpack",
        b"Application/MsgPack ; charset=utf-8",
    ],
)
def test_but_msgpack(content_type):
    assert decode_batch(msgpack.packb({"items": [ITEM, ITEM]}), content_type) == (FOUND, FOUND)
    assert decode_batch(msgpack.packb({"items": []}), content_type) == ()


@pytest.mark.parametrize("body", [b"", b"x", b"1", b"null", b'"x"', b'{"items": []', M])
def test_a_body_that_is_no_json_is_refused(body):
    assert error(decode_batch, body, None) == "Body is not valid JSON."


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81", b"\x80\x00", b'{"items": []}'])
def test_a_body_that_is_no_msgpack_is_refused(body):
    assert error(decode_batch, body, b"application/msgpack") == "Body is not valid msgpack."


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"[]", None), (b"\x90", b"application/msgpack"), (b"\x01", b"application/msgpack")],
)
def test_a_body_is_an_object(body, content_type):
    assert error(decode_batch, body, content_type) == "Invalid format."


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{}", "object does not contain 'items'"),
        (b'{"items": {}}', "object contains 'items' with wrong type"),
        (b'{"items": [1]}', "publish item object is not an object"),
        (b'{"items": [{"channel": "c"}]}', "no formats specified"),
    ],
)
def test_a_batch_with_a_bad_item_is_refused(body, text):
    assert error(decode_batch, body, None, of=ItemError) == text


# Msgpack


def packed(**members):
    return b"M" + msgpack.packb({**ITEM, **members})


def test_keys_may_be_bytes():
    message = b"M" + msgpack.packb({**ITEM, b"id": b"1", b"meta": {b"a\xff": "b"}})
    item = decode_item(message)
    assert (item.id, item.meta) == ("1", {"a\ufffd": "b"})


def test_keys_that_are_bytes_keep_the_order():
    formats = {b"sms": 1, "http-stream": {"content": b"x;"}, b"fax": 1}
    assert decode_item(packed(formats=formats)).unknown_formats == ("sms", "fax")


def test_other_keys_do_not_decode():
    assert "parse failed" in error(decode_item, b"M" + b"\x81\x01\x01")


def test_text_needs_to_be_utf8():
    assert "parse failed" in error(decode_item, b"M" + b"\x81\xa1\xff\x01")


@pytest.mark.parametrize(
    "extension",
    [
        msgpack.ExtType(5, b"x"),
        msgpack.Timestamp(1),
        msgpack.Timestamp(2**33, 1),
        msgpack.Timestamp(2**40, 1),
    ],
)
def test_extensions_do_not_decode_anywhere(extension):
    for value in (extension, [extension], {"a": [1, {"b": extension}]}):
        assert "msgpack parse failed" in error(decode_item, packed(unknown=value))


def test_a_bad_timestamp_does_not_decode():
    assert "parse failed" in error(decode_item, b"M\xc7\x0c\xff" + b"\xff" * 12)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_values_may_be_nested_up_to_the_limit():
    # The item itself is the first level.
    assert decode_item(packed(unknown=nested(63))) == FOUND


@pytest.mark.parametrize("depth", [64, 100, 500])
def test_deeper_nesting_does_not_decode(depth):
    assert "msgpack parse failed" in error(decode_item, packed(unknown=nested(depth)))


def test_nesting_beyond_the_library_does_not_decode():
    assert "msgpack parse failed" in error(decode_item, b"M" + b"\x91" * 100_000)


@pytest.mark.parametrize(
    "header", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\xff\xff"]
)
def test_what_announces_more_than_there_is_does_not_decode(header):
    assert "msgpack parse failed" in error(decode_item, b"M" + header * 1000)


# Commands


def test_a_command_has_id_method_and_args():
    message = b"72:2:id,1:1,6:method,9:conncheck,4:args,31:3:ids,21:13:condure:1-0-0,1:x,]}}"
    assert decode_command(message) == CommandRequest(
        id=b"1", method="conncheck", args={"ids": [b"condure:1-0-0", b"x"]}
    )


def test_id_and_args_may_be_absent():
    message = tnetstring.encode({"method": "recover", "from": 1})
    assert decode_command(message) == CommandRequest(id=None, method="recover", args={})


@pytest.mark.parametrize("message", [b"", b"x", b'J{"method": "recover"}', b"T" + T])
def test_a_request_that_does_not_decode_is_refused(message):
    with pytest.raises(CommandPacketError) as caught:
        decode_command(message)
    assert caught.value.text == ("received message with invalid format (tnetstring parse failed)")
    assert caught.value.request_id is None


@pytest.mark.parametrize(
    ("value", "request_id"),
    [
        ([], None),
        (b"recover", None),
        ({}, None),
        ({"id": 1, "method": b"recover"}, None),
        ({"id": None, "method": b"recover"}, None),
        ({"id": b"1"}, b"1"),
        ({"id": b"1", "method": 1}, b"1"),
        ({"id": b"1", "method": b"recover", "args": []}, b"1"),
        ({"id": b"1", "method": b"recover", "args": None}, b"1"),
    ],
)
def test_a_request_that_is_no_command_tells_its_id(value, request_id):
    with pytest.raises(CommandPacketError) as caught:
        decode_command(tnetstring.encode(value))
    assert caught.value.text == "received message with invalid format (parse failed)"
    assert caught.value.request_id == request_id


def test_a_reply_always_has_a_value():
    assert tnetstring.decode(encode_reply(b"1")) == {"id": b"1", "success": True, "value": None}
    assert tnetstring.decode(encode_reply(b"", ["a"])) == {
        "id": b"",
        "success": True,
        "value": [b"a"],
    }


def test_a_failure_has_a_condition_and_perhaps_a_value():
    assert tnetstring.decode(encode_failure(b"1", "method-not-found")) == {
        "id": b"1",
        "success": False,
        "condition": b"method-not-found",
    }
    assert tnetstring.decode(encode_failure(b"1", "bad-request", "Invalid format: x")) == {
        "id": b"1",
        "success": False,
        "condition": b"bad-request",
        "value": b"Invalid format: x",
    }


def test_a_reply_to_a_request_without_id_has_none():
    assert "id" not in tnetstring.decode(encode_reply(None))
    assert "id" not in tnetstring.decode(encode_failure(None, "bad-format"))


# Any bytes

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(-9, 9)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
DAMAGED = st.builds(
    lambda message, place, byte: message[:place] + bytes([byte]) + message[place + 1 :],
    st.sampled_from([J, T, T[1:], M, packed(purge={"keys": ["k"]}, meta={"a": "b"})]),
    st.integers(0, 80),
    st.integers(0, 255),
)


@given(
    DAMAGED
    | st.builds(lambda kind, rest: kind + rest, st.sampled_from([b"J", b"T", b"M"]), st.binary())
)
def test_no_message_raises_anything_else(message):
    with contextlib.suppress(PacketError, ItemError):
        decode_item(message)


@given(DAMAGED.map(lambda message: message[1:]), st.sampled_from([None, b"application/msgpack"]))
def test_no_body_raises_anything_else(body, content_type):
    with contextlib.suppress(PacketError, ItemError):
        decode_batch(body, content_type)


@given(VALUES)
def test_no_value_raises_anything_else(value):
    for message in (b"T" + tnetstring.encode(value), b"M" + msgpack.packb(value)):
        with contextlib.suppress(PacketError, ItemError):
            decode_item(message)
    with contextlib.suppress(PacketError):
        decode_command(tnetstring.encode(value))


def test_a_purge_needs_no_channel_in_any_encoding():
    value = {"purge": {"all": True}}
    for message in (
        b"J" + json.dumps(value).encode(),
        b"T" + tnetstring.encode(value),
        b"M" + msgpack.packb(value),
    ):
        assert decode_item(message) == PublishItem("", purge=Purge(everything=True))

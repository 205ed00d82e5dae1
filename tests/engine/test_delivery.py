"""What an item becomes for each kind of holder."""

from gripproxy.engine.delivery import Delivery, frame
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream, Kind, WebSocketMessage
from gripproxy.protocol.items import PublishItem

LONG = b"a text that is worth it to be compressed " * 10


def of(**formats):
    return Delivery(PublishItem("c", id="2", prev_id="1", **formats))


def test_it_has_the_names_of_its_item():
    delivery = of()
    assert (delivery.channel, delivery.id, delivery.prev_id) == ("c", "2", "1")
    assert repr(delivery) == "<Delivery 'c' id='2'>"


def test_it_has_the_formats_of_its_item():
    response, stream, message = HttpResponse(), HttpStream(), WebSocketMessage()
    delivery = of(http_response=response, http_stream=stream, ws_message=message)
    assert delivery.response is response
    assert delivery.stream is stream
    assert delivery.message is message


def test_a_stream_content_is_one_chunk():
    delivery = of(http_stream=HttpStream(content=b"hello"))
    assert delivery.raw == b"hello"
    assert delivery.chunk == b"5\r\nhello\r\n"
    assert delivery.stream_plain


def test_an_empty_content_is_no_chunk():
    delivery = of(http_stream=HttpStream(content=b""))
    assert delivery.chunk == b""
    assert delivery.stream_plain


def test_a_stream_content_with_a_condition_is_not_written_without_a_look():
    assert not of(http_stream=HttpStream(content=b"x", content_filters=())).stream_plain


def test_other_actions_have_no_content():
    delivery = of(
        http_stream=HttpStream(action=Action.CLOSE),
        ws_message=WebSocketMessage(action=Action.CLOSE),
    )
    assert not delivery.stream_plain
    assert delivery.chunk == delivery.raw == b""
    assert delivery.frame is None


def test_a_message_is_one_frame():
    assert of(ws_message=WebSocketMessage(content=b"hi")).frame == b"\x81\x02hi"


def test_a_message_with_a_condition_is_no_frame_yet():
    message = WebSocketMessage(content=b"hi", content_filters=("build-id",))
    assert of(ws_message=message).frame is None


def test_a_text_that_is_not_utf_8_is_not_sent():
    delivery = of(ws_message=WebSocketMessage(content=b"\xff"))
    assert delivery.message is None
    assert delivery.frame is None


def test_a_compressed_frame_is_made_once():
    message = WebSocketMessage(content=LONG)
    delivery = of(ws_message=message)
    packed = delivery.packed(message)
    assert packed[0] == 0xC1
    assert len(packed) < len(LONG)
    assert delivery.packed(message) is packed


def test_what_is_too_short_to_be_compressed_is_not():
    message = WebSocketMessage(content=b"hi")
    assert frame(message, b"hi", deflates=True) == b"\x81\x02hi"


def test_pings_are_never_compressed():
    message = WebSocketMessage(kind=Kind.PING, content=b"a" * 125)
    assert frame(message, message.content, deflates=True)[0] == 0x89


def test_a_client_that_does_not_take_compressed_ones_gets_a_plain_frame():
    message = WebSocketMessage(content=LONG)
    assert frame(message, LONG, deflates=False)[0] == 0x81

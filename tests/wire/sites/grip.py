"""A Django site whose views hold with `django-grip`, for tests: `python grip.py runserver ...`."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line

# Before the library: it reads its settings when it is imported.
settings.configure(
    GRIP_URL=os.environ["GRIP_URL"],
    MIDDLEWARE=["django_grip.GripMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="no secret: it is known to whoever reads this",
    ALLOWED_HOSTS=["*"],
)

from django.http import HttpResponse, HttpResponseNotModified  # noqa: E402
from django.urls import path  # noqa: E402
from django_grip import (  # noqa: E402
    publish,
    set_hold_longpoll,
    set_hold_stream,
    websocket_only,
)
from gripcontrol import (  # noqa: E402
    Channel,
    HttpResponseFormat,
    HttpStreamFormat,
    WebSocketMessageFormat,
)


def signed(request):
    return HttpResponse(f"proxied {request.grip.proxied}, signed {request.grip.signed}")


def poll(request):
    set_hold_longpoll(request, ["other", "poll"], timeout=5)
    return HttpResponse("nothing\n", content_type="text/plain")


def unchanged(request):
    set_hold_longpoll(request, Channel("unchanged", prev_id="one"), timeout=5)
    return HttpResponseNotModified()


def stream(request):
    set_hold_stream(request, "stream", keep_alive_data="still here\n", keep_alive_timeout=1)
    return HttpResponse("open\n", content_type="text/plain")


def linked(request):
    """A stream in parts: this one is followed by the next, which holds."""
    instruct = request.grip.start_instruct()
    instruct.set_next_link("/linked-on?part=2")
    instruct.add_channel("linked")
    return HttpResponse("part 1\n", content_type="text/plain")


def linked_on(request):
    set_hold_stream(request, "linked")
    return HttpResponse(f"part {request.GET['part']}\n", content_type="text/plain")


@websocket_only
def socket(request):
    """Echo; some words are orders."""
    ws = request.wscontext
    if ws.is_opening():
        ws.accept()
        ws.subscribe("room")
        ws.meta["user"] = "bob"
        ws.send("welcome")
    while ws.can_recv():
        message = ws.recv()
        if message is None:
            print("a socket was closed", flush=True)
            ws.close()
        elif message == "who":
            ws.send(ws.meta.get("user", "nobody"))
        elif message == "forget":
            del ws.meta["user"]
        elif message == "bytes":
            ws.send_binary(b"\x00\xff")
        elif message == "detach":
            ws.detach()
        elif message == "bye":
            ws.close(4000)
        else:
            ws.send(message)
    return HttpResponse()


def say(request):
    """Publish the body to everything that is held."""
    text = request.body.decode()
    publish("poll", HttpResponseFormat(body=text), blocking=True)
    publish("stream", HttpStreamFormat(text), blocking=True)
    publish("linked", HttpStreamFormat(text), blocking=True)
    publish("room", WebSocketMessageFormat(text), blocking=True)
    return HttpResponse(status=204)


def end(request):
    """Publish bytes, then the end, to streams and WebSockets."""
    for channel, told in (
        ("stream", HttpStreamFormat(b"\x00\xff")),
        ("room", WebSocketMessageFormat(b"\x00\xff", binary=True)),
        ("stream", HttpStreamFormat(close=True)),
        ("room", WebSocketMessageFormat(action="close", code=4001)),
    ):
        publish(channel, told, blocking=True)
    return HttpResponse(status=204)


views = (signed, poll, unchanged, stream, linked, linked_on, socket, say, end)
urlpatterns = [path(view.__name__.replace("_", "-"), view) for view in views]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)

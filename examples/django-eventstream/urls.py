"""The site: a page, a stream of events, and a way to send one."""

import pathlib

from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.http import require_POST
from django_eventstream import send_event

PAGE = pathlib.Path(__file__).with_name("index.html")


def page(_):
    return HttpResponse(PAGE.read_bytes())


@require_POST
def send(request):
    """Send what was typed to everybody who listens to the channel."""
    send_event("test", "message", {"text": request.body.decode()[:500]})
    return HttpResponse(status=204)


urlpatterns = [
    path("", page),
    path("send", send),
    path("events/", include("django_eventstream.urls"), {"channels": ["test"]}),
]

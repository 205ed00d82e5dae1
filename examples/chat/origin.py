"""The origin of the chat: it answers requests, and keeps no connections, names or members.

The proxy carries each WebSocket here as requests with events in their bodies. Who is talking is
written on the connection itself: `Set-Meta-Name` in an answer comes back as `Meta-Name` with every
later event of that connection. Who hears it is everybody subscribed to the room's channel.
"""

import argparse
import json
import logging
import pathlib
import urllib.parse

import aiohttp
from aiohttp import web

PAGE = pathlib.Path(__file__).with_name("index.html")
CLIENT = web.AppKey("client", aiohttp.ClientSession)
EVENTS = "application/websocket-events"

routes = web.RouteTableDef()


@routes.get("/")
async def entrance(_):
    raise web.HTTPFound("/lobby")


@routes.get("/{room}")
async def page(_):
    return web.FileResponse(PAGE, headers={"Cache-Control": "no-cache"})


@routes.post("/{room}/socket")
async def socket(request):
    """The first message of a connection is its owner's name, the others are for the room."""
    if request.content_type != EVENTS:
        raise web.HTTPUnsupportedMediaType
    channel = f"room-{request.match_info['room']}"
    name = urllib.parse.unquote(request.headers.get("Meta-Name", ""))
    fields = {"Sec-WebSocket-Extensions": "grip"}
    answer = b""
    for kind, content in events(await request.read()):
        if kind == "OPEN":
            answer += b"OPEN\r\n"
        elif kind == "TEXT" and not name:
            name = content.decode()[:40]
            fields["Set-Meta-Name"] = urllib.parse.quote(name)
            answer += text("c:", {"type": "subscribe", "channel": channel})
            answer += text("m:", {"note": "You are in."})
            await publish(request, channel, {"note": f"{name} came in"})
        elif kind == "TEXT":
            await publish(request, channel, {"name": name, "text": content.decode()[:500]})
        elif kind in {"CLOSE", "DISCONNECT"} and name:
            await publish(request, channel, {"note": f"{name} left"})
        if kind == "CLOSE":
            answer += b"CLOSE\r\n"
    return web.Response(body=answer, content_type=EVENTS, headers=fields)


async def publish(request, channel, message):
    """Send one message to every connection of a room."""
    item = {"channel": channel, "formats": {"ws-message": {"content": json.dumps(message)}}}
    async with request.app[CLIENT].post("/publish/", json={"items": [item]}) as answer:
        answer.raise_for_status()


def events(body):
    """Read events: a name, and for some a length in hexadecimal and so many bytes."""
    while body:
        line, _, body = body.partition(b"\r\n")
        kind, *size = line.decode().split()
        content = b""
        if size:
            end = int(size[0], 16)
            content, body = body[:end], body[end + 2 :]
        yield kind, content


def text(prefix, message):
    """Write a TEXT event: `c:` is for the proxy, `m:` for the client."""
    content = f"{prefix}{json.dumps(message)}".encode()
    return b"TEXT %x\r\n%b\r\n" % (len(content), content)


def make_app(control):
    """The application, with a client of the control API at the base URL `control`."""

    async def client(app):
        async with aiohttp.ClientSession(control) as app[CLIENT]:
            yield

    app = web.Application()
    app.add_routes(routes)
    app.cleanup_ctx.append(client)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--control", default="http://127.0.0.1:5561")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    web.run_app(
        make_app(arguments.control),
        host="127.0.0.1",
        port=arguments.port,
        access_log_format="origin: %r -> %s, for: %{Meta-Name}i",
        print=None,
    )

"""The origin of the demo: one channel in three guises, and a box that publishes to it.

It keeps nothing: no connection, no list of clients, no message. It answers each request at once
and says in `Grip-*` fields what shall happen with the client's connection.
"""

import argparse
import json
import logging
import pathlib

import aiohttp
from aiohttp import web

PAGE = pathlib.Path(__file__).with_name("index.html")
CHANNEL = "demo"
CLIENT = web.AppKey("client", aiohttp.ClientSession)

routes = web.RouteTableDef()


@routes.get("/")
async def page(_):
    return web.FileResponse(PAGE, headers={"Cache-Control": "no-cache"})


@routes.get("/stream")
async def stream(_):
    """Server-sent events: hold the connection open, add what is published."""
    fields = {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-cache",
        "Grip-Hold": "stream",
        "Grip-Channel": CHANNEL,
        "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=20",
    }
    return web.Response(text="event: held\ndata:\n\n", headers=fields)


@routes.get("/poll")
async def poll(_):
    """A long-poll: hold the response back until something is published, at most 25 seconds."""
    fields = {
        "Cache-Control": "no-store",
        "Grip-Hold": "response",
        "Grip-Channel": CHANNEL,
        "Grip-Timeout": "25",
    }
    return web.json_response(None, headers=fields)  # what the client gets after 25 seconds


@routes.post("/socket")
async def socket(request):
    """A WebSocket, which the proxy carries here as requests with events in their bodies."""
    events = await request.read()
    answer = b""
    if events.startswith(b"OPEN\r\n"):
        answer = b"OPEN\r\n" + text('c:{"type": "subscribe", "channel": "demo"}') + text("m:held")
    elif events.startswith(b"CLOSE"):
        answer = events
    fields = {
        "Content-Type": "application/websocket-events",
        "Sec-WebSocket-Extensions": "grip",  # content begins with c: or m: from here on
    }
    return web.Response(body=answer, headers=fields)


def text(content):
    """Write a TEXT event; the length is hexadecimal."""
    data = content.encode()
    return b"TEXT %x\r\n%b\r\n" % (len(data), data)


@routes.post("/publish")
async def publish(request):
    """Make one item of what was typed, with a format for each kind of hold."""
    message = await request.json()
    line = json.dumps(message)
    item = {
        "channel": CHANNEL,
        "formats": {
            "http-stream": {"content": f"data: {line}\n\n"},
            "http-response": {
                "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
                "body": line,
            },
            "ws-message": {"content": line},
        },
    }
    async with request.app[CLIENT].post("/publish/", json={"items": [item]}) as answer:
        return web.json_response(item, status=answer.status)


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
        access_log_format="origin: %r -> %s, hold: %{Grip-Hold}o",
        print=None,
    )

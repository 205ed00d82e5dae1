"""A session between a fake client and an out side, in a real hub."""

import json

from gripproxy.engine.sockets import Sessions, SocketSession
from gripproxy.protocol.formats import WebSocketMessage
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.routes import Route, Target
from gripproxy.protocol.wsframes import TEXT
from tests.fakes import FakeClient, FakeNotices, make_hub

NOW = 1000.0


class Outside:
    """An out side that keeps what it is told."""

    url = b"ws://h/"

    def __init__(self):
        self.calls = []
        self.ignored_texts = []
        self.channels = []

    def take(self, piece, now):
        self.calls.append(("take", *piece[:2]))

    def close(self, code, reason, now):
        self.calls.append(("close", code, reason))

    def refresh(self, now):
        self.calls.append("refresh")

    def client_gone(self, error, now):
        self.calls.append(("gone", None if error is None else error.code))

    def client_writable(self, now):
        self.calls.append("writable")

    def subscribed(self, channel):
        self.channels.append(channel)

    def ignored(self, text):
        self.ignored_texts.append(text)


class Play:
    """A session between a fake client and an out side, in a real hub."""

    def __init__(self, *, prefix=b"m:", implicit=(), debug=False, channel_prefix="", **options):
        self.notices = FakeNotices()
        deflate = options.pop("deflate", None)
        subscription_max = options.pop("subscription_max", 20)
        self.hub = make_hub(self.notices, **options)
        self.sessions = Sessions(self.hub, subscription_max=subscription_max)
        self.client = FakeClient(deflate=deflate)
        self.outside = Outside()
        route = Route(
            targets=(Target(kind="tcp", host="o", port=1),),
            domain="*",
            id="r",
            prefix=channel_prefix,
        )
        self.session = SocketSession(
            self.sessions, "cid", route, prefix=prefix, implicit=implicit, debug=debug
        )
        self.session.start(self.client, self.outside, NOW)
        self.client.attach(self.session, whole=True)

    def says(self, text, *, opcode=TEXT, first=True, last=True, now=NOW):
        """Let the origin send a message, or a piece of one."""
        payload = text if isinstance(text, bytes) else text.encode()
        self.session.message((opcode, payload, first, last), now)

    def control(self, kind, *, now=NOW, **members):
        named = {key.replace("_", "-"): value for key, value in members.items()}
        self.says("c:" + json.dumps({"type": kind, **named}), now=now)

    def publish(self, content="x", *, channel="c", now=NOW, meta=None, **message):
        if isinstance(content, str):
            content = content.encode()
        message = WebSocketMessage(content=content, **message)
        return self.hub.publish(PublishItem(channel, ws_message=message, meta=meta or {}), now=now)

    def act(self, action, **message):
        return self.publish("", action=action, **message)

    def at(self, now):
        """Let a moment come."""
        self.hub.due(now)
        return self.client.heard()

"""The origin of the support chat: short requests and no connections, but it forgets nothing.

Customers and the desk talk over WebSockets, which the proxy holds; a message comes here as a
request. What was said before is an ordinary cacheable response. A new message is one publish: it
purges what it makes old, the conversation and the list of conversations, and reaches everybody who
has them open.
"""

import argparse
import http.server
import json
import pathlib
import re
import secrets
import urllib.request

PLACE = pathlib.Path(__file__).parent
PAGES = {"/": PLACE / "index.html", "/desk": PLACE / "desk.html"}
EVENTS = "application/websocket-events"
TEXT_SIZE = 500
NAME_SIZE = 40

JSON = {"Content-Type": "application/json"}
# For the proxy, which can be purged; browsers, which cannot, ask each time (and get a 304).
CACHED = {"CDN-Cache-Control": "max-age=3600", "Cache-Control": "no-cache"}

chats = {}  # id -> Chat, the one that was talked in last at the end


class Chat:
    """One conversation."""

    def __init__(self, name):
        self.id = secrets.token_urlsafe(12)  # who knows it may read: it is long enough
        self.name = name[:NAME_SIZE]
        self.open = True
        self.messages = []

    @property
    def summary(self):
        """The conversation and its last message: what the list shows, and what is pushed."""
        return {"id": self.id, "name": self.name, "open": self.open, "last": self.messages[-1]}

    def add(self, by, text, control):
        """Add a message, and publish it."""
        self.messages.append({"n": len(self.messages), "by": by, "text": text[:TEXT_SIZE]})
        chats.pop(self.id, None)
        chats[self.id] = self
        formats = {"ws-message": {"content": json.dumps(self.summary)}}
        purge = {"keys": [f"chat-{self.id}", "chats"]}
        items = [
            {"channel": f"chat-{self.id}", "purge": purge, "formats": formats},
            {"channel": "desk", "formats": formats},
        ]
        body = json.dumps({"items": items}).encode()
        request = urllib.request.Request(f"{control}/publish/", body, JSON)
        urllib.request.urlopen(request, timeout=10).close()


class Support(http.server.BaseHTTPRequestHandler):
    """`/chats` and `/chats/ID` to read, POST `/chats` to begin, two kinds of socket to talk."""

    life = secrets.token_hex(4)  # a new process counts messages anew: its tags are new
    control = ""

    def do_GET(self):
        chat = self.chat("")
        if self.path in PAGES:
            page = {"Content-Type": "text/html; charset=utf-8", **CACHED}
            self.answer(200, PAGES[self.path].read_bytes(), page)
        elif self.path == "/chats":
            listed = [chat.summary for chat in chats.values() if chat.open]
            self.answer(200, listed, {**CACHED, "Surrogate-Key": "chats"})
        elif chat:
            tags = {
                "Surrogate-Key": f"chat-{chat.id}",
                "ETag": f'"{self.life}-{len(chat.messages)}"',
            }
            self.answer(200, {**chat.summary, "messages": chat.messages}, {**CACHED, **tags})
        else:
            self.answer(404, {"why": "There is nothing here."}, {"Cache-Control": "no-store"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chat = self.chat("/socket")
        if self.headers.get("Content-Type") == EVENTS and chat:
            self.converse(body, f"chat-{chat.id}", lambda text: self.customer_says(chat, text))
        elif self.headers.get("Content-Type") == EVENTS and self.path == "/desk/socket":
            self.converse(body, "desk", self.desk_says)
        elif self.path == "/chats":
            self.begin(read(body))
        else:
            self.answer(404, {"why": "There is nothing here."}, {})

    # who says what

    def begin(self, asked):
        """A conversation begins with a question."""
        name, text = (str(asked.get(key, "")).strip() for key in ("name", "text"))
        if not name or not text:
            self.answer(400, {"why": "A name and a question, please."}, {})
            return
        chat = Chat(name)
        chat.add("customer", text, self.control)
        self.answer(201, chat.summary, {"Location": f"/chats/{chat.id}"})

    def customer_says(self, chat, text):
        if chat.open:
            chat.add("customer", text, self.control)

    def desk_says(self, text):
        """The desk talks to one customer after the other, so it says which: `{"chat", "text"}`."""
        said = read(text)
        chat = chats.get(said.get("chat"))
        if chat and chat.open and said.get("close"):
            chat.open = False
            chat.add("note", "The conversation is closed.", self.control)
        elif chat and chat.open and said.get("text"):
            chat.add("desk", str(said["text"]), self.control)

    def converse(self, body, channel, says):
        """Answer the events of one WebSocket."""
        answer = b""
        for kind, content in events(body):
            if kind == "OPEN":
                answer += b"OPEN\r\n"
                answer += text_event("c:", {"type": "subscribe", "channel": channel})
                answer += text_event("m:", {"ready": True})
            elif kind == "TEXT":
                says(content.decode())
            elif kind == "CLOSE":
                answer += b"CLOSE\r\n"
        self.answer(200, answer, {"Content-Type": EVENTS, "Sec-WebSocket-Extensions": "grip"})

    # HTTP

    def chat(self, rest):
        found = re.fullmatch(f"/chats/([^/]+){rest}", self.path)
        return chats.get(found[1]) if found else None

    def answer(self, status, content, fields):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for field in {**JSON, **fields, "Content-Length": len(body)}.items():
            self.send_header(*map(str, field))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        print("origin:", words[0] % words[1:], flush=True)


def read(text):
    """Read an object in JSON; anything else is an empty one."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


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


def text_event(prefix, message):
    """Write a TEXT event: `c:` is for the proxy, `m:` for the client."""
    content = f"{prefix}{json.dumps(message)}".encode()
    return b"TEXT %x\r\n%b\r\n" % (len(content), content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--control", default="http://127.0.0.1:5561")
    arguments = parser.parse_args()
    Support.control = arguments.control
    http.server.HTTPServer(("127.0.0.1", arguments.port), Support).serve_forever()

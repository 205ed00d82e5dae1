"""The origin of the leaderboard: names and points, served by Python's own http.server.

It takes one request at a time. The top ten may be kept by the proxy for ten minutes; each new
score takes them back and pushes the new ones, in one publish.
"""

import argparse
import http.server
import json
import pathlib
import time
import urllib.request

PAGE = pathlib.Path(__file__).with_name("index.html").read_text(encoding="utf-8")
HTML = "text/html; charset=utf-8"
JSON = "application/json"
EVENTS = "text/event-stream"
SHARED = {
    "CDN-Cache-Control": "max-age=600",
    "Cache-Control": "no-cache",
    "Surrogate-Key": "top",
}
NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jo", "Kim", "Leo"]
POINTS = {name: 600 - 50 * place for place, name in enumerate(NAMES)}
TOP = 10
LONGEST_NAME = 20
MOST_POINTS = 1000
MOST_PLAYERS = 10_000


class Board(http.server.BaseHTTPRequestHandler):
    """`/`, `/top.json` and `/events` are read; a POST adds a score."""

    control = ""
    version = time.time_ns() // 1_000_000  # in a new process above all of the old

    def do_GET(self):
        if self.path == "/":
            page = PAGE.replace("{/* top */}", self.content().replace("<", r"\u003c"))
            self.answer(200, page, HTML, self.kept())
        elif self.path == "/top.json":
            self.answer(200, self.content(), JSON, self.kept())
        elif self.path == "/events":
            self.stream()
        else:
            self.send_error(404)

    def do_POST(self):
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            name = self.score(str(asked["name"]).strip()[:LONGEST_NAME], asked["points"])
        except (KeyError, TypeError, ValueError):
            self.answer(400, json.dumps({"error": "That makes no sense."}), JSON, {})
        else:
            self.answer(200, json.dumps({"name": name, "points": POINTS[name]}), JSON, {})

    # Reading

    def content(self):
        """The best ten; of those with the same points, whoever came first."""
        best = sorted(POINTS.items(), key=lambda player: -player[1])[:TOP]
        top = [{"name": name, "points": points} for name, points in best]
        return json.dumps({"version": self.version, "top": top})

    def event(self):
        return f"event: top\ndata: {self.content()}\n\n"

    def kept(self):
        """The proxy may keep it until the next score; browsers ask each time."""
        return {**SHARED, "ETag": f'"{self.version}"'}

    def stream(self):
        """How things are now, and then every change: what comes between the two is not lost."""
        fields = {
            **SHARED,
            "Grip-Hold": "stream",
            "Grip-Channel": f"top; prev-id={self.version}",
            "Grip-Link": "</events>; rel=next",
            "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=20",
        }
        self.answer(200, self.event(), EVENTS, fields)

    # Writing

    def score(self, name, points):
        """Add points to a name, old or new."""
        full = name not in POINTS and len(POINTS) == MOST_PLAYERS
        if not name or full or points not in range(1, MOST_POINTS + 1):
            raise ValueError(name)
        POINTS[name] = POINTS.get(name, 0) + int(points)
        self.publish()
        return name

    def publish(self):
        """Take back what shows the top ten, and tell everybody the new ones: one publish."""
        before = self.version
        type(self).version += 1
        item = {
            "channel": "top",
            "id": str(self.version),
            "prev-id": str(before),
            "purge": {"keys": ["top"]},
            "formats": {"http-stream": {"content": self.event()}},
        }
        body = json.dumps({"items": [item]}).encode()
        request = urllib.request.Request(f"{self.control}/publish/", body, {"Content-Type": JSON})
        urllib.request.urlopen(request, timeout=10).close()

    # Answering

    def answer(self, status, content, kind, fields):
        body = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for field in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(*field)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        print("origin:", words[0] % words[1:], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--control", default="http://127.0.0.1:5561")
    arguments = parser.parse_args()
    Board.control = arguments.control
    http.server.HTTPServer(("127.0.0.1", arguments.port), Board).serve_forever()

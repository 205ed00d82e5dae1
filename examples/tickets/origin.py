"""The origin of the seat map: it decides who has a seat, and tells everybody in one publish.

The map is an ordinary cacheable response with the key `event-1`. A seat that changes hands is one
item: it purges that key and is pushed to every open page. So a page that hears of a change, or is
opened after it, never reads the old map.
"""

import argparse
import http.server
import json
import pathlib
import re
import secrets
import urllib.request

PAGE = pathlib.Path(__file__).with_name("index.html")
SEATS = frozenset(f"{row}{number}" for row in "ABCDEFGH" for number in range(1, 11))
NAME_SIZE = 20

JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}
# For the proxy, which can be purged; browsers, which cannot, ask each time (and get a 304).
CACHED = {"CDN-Cache-Control": "max-age=3600", "Cache-Control": "no-cache"}
HOLD = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "Grip-Hold": "stream",
    "Grip-Channel": "event-1",
    "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=20",
}

holders = {}  # seat -> name and ticket; who shows the ticket may return the seat


class BoxOffice(http.server.BaseHTTPRequestHandler):
    """`GET /seats` is the map, `GET /changes` the stream; POST takes a seat, DELETE returns it."""

    version = 0
    life = secrets.token_hex(4)  # a new process has an empty house: its tags are new
    control = ""

    # what is asked

    def do_GET(self):
        if self.path == "/":
            page = {"Content-Type": "text/html; charset=utf-8", "Surrogate-Key": "page"}
            self.answer(200, PAGE.read_bytes(), {**CACHED, **page})
        elif self.path == "/seats":
            fields = {"Surrogate-Key": "event-1", "ETag": f'"{self.life}-{self.version}"'}
            self.answer(200, self.seats(), {**JSON, **CACHED, **fields})
        elif self.path == "/changes":
            self.answer(200, b"event: held\ndata:\n\n", HOLD)
        else:
            self.refuse(404, "There is nothing here.")

    def do_POST(self):
        seat, asked = self.seat(), self.body()
        name, ticket = (str(asked.get(key, "")).strip() for key in ("name", "ticket"))
        if seat not in SEATS:
            self.refuse(404, "There is no such seat.")
        elif not name or not ticket:
            self.refuse(400, "Please say who you are.")
        elif seat in holders:
            by, theirs = holders[seat]
            yours = secrets.compare_digest(ticket.encode(), theirs.encode())
            self.refuse(409, f"{seat} is yours already." if yours else f"{seat} went to {by}.")
        else:
            holders[seat] = name[:NAME_SIZE], ticket
            self.changed(201, seat, name[:NAME_SIZE])

    def do_DELETE(self):
        seat = self.seat()
        _, ticket = holders.get(seat, ("", ""))
        shown = self.headers.get("Ticket", "")
        if ticket and secrets.compare_digest(shown.encode(), ticket.encode()):
            del holders[seat]
            self.changed(200, seat, None)
        else:
            self.refuse(403, "That seat is not yours.")

    # what changes

    def changed(self, status, seat, by):
        """Publish first, answer then: who knows that he has the seat knows that all others do."""
        type(self).version += 1
        change = {"version": self.version, "seat": seat, "by": by}
        item = {
            "channel": "event-1",
            "purge": {"keys": ["event-1"]},
            "formats": {"http-stream": {"content": f"data: {json.dumps(change)}\n\n"}},
        }
        body = json.dumps({"items": [item]}).encode()
        fields = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.control}/publish/", body, fields)
        urllib.request.urlopen(request, timeout=10).close()
        self.answer(status, json.dumps(change).encode(), JSON)

    def seats(self):
        taken = {seat: name for seat, (name, _) in sorted(holders.items())}
        return json.dumps({"version": self.version, "taken": taken}).encode()

    # HTTP

    def seat(self):
        found = re.fullmatch("/seats/([A-H][0-9]+)", self.path)
        return found[1] if found else ""

    def body(self):
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        except ValueError:
            return {}
        return asked if isinstance(asked, dict) else {}

    def refuse(self, status, why):
        self.answer(status, json.dumps({"why": why}).encode(), JSON)

    def answer(self, status, content, fields):
        self.send_response(status)
        for field in {**fields, "Content-Length": len(content)}.items():
            self.send_header(*map(str, field))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        print("origin:", words[0] % words[1:], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--control", default="http://127.0.0.1:5561")
    arguments = parser.parse_args()
    BoxOffice.control = arguments.control
    http.server.HTTPServer(("127.0.0.1", arguments.port), BoxOffice).serve_forever()

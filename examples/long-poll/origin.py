"""The origin of the long-poll: a counter, served by Python's own http.server.

It takes one request at a time and closes each connection; that any number of clients wait for the
next number is the proxy's business. Nobody stays behind: each number has an id and names the one
before, so that the proxy notices when one came by between two polls, and asks here again.
"""

import argparse
import http.server
import json
import pathlib
import secrets
import urllib.parse
import urllib.request

PAGE = pathlib.Path(__file__).with_name("index.html")
JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class Counter(http.server.BaseHTTPRequestHandler):
    """`GET /counter?seen=N` waits for a number that is not N; `POST /counter` counts."""

    value = 0
    life = secrets.token_hex(4)  # a new process counts from 0 again, but its ids are new
    control = ""

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        if target.path == "/":
            self.answer(PAGE.read_bytes(), {"Content-Type": "text/html; charset=utf-8"})
        elif target.path == "/counter":
            seen = urllib.parse.parse_qs(target.query).get("seen", [""])[0]
            hold = self.hold() if seen == str(self.value) else {}
            self.answer(self.content(), {**JSON, **hold})
        else:
            self.send_error(404)

    def do_POST(self):
        type(self).value += 1
        self.publish()
        self.answer(self.content(), JSON)

    def content(self):
        return json.dumps({"value": self.value}).encode()

    def hold(self):
        """Wait at most 30 seconds for what comes after the number the client has seen."""
        return {
            "Grip-Hold": "response",
            "Grip-Channel": f"counter; prev-id={self.life}-{self.value}",
            "Grip-Timeout": "30",
        }

    def publish(self):
        """Answer everybody who waits."""
        item = {
            "channel": "counter",
            "id": f"{self.life}-{self.value}",
            "prev-id": f"{self.life}-{self.value - 1}",
            "formats": {"http-response": {"headers": JSON, "body": self.content().decode()}},
        }
        body = json.dumps({"items": [item]}).encode()
        fields = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.control}/publish/", body, fields)
        urllib.request.urlopen(request, timeout=10).close()

    def answer(self, content, fields):
        self.send_response(200)
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
    Counter.control = arguments.control
    http.server.HTTPServer(("127.0.0.1", arguments.port), Counter).serve_forever()

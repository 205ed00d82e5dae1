"""The origin of the live poll: four counts, served by Python's own http.server.

It takes one request at a time. The results are everybody's: the proxy keeps them, and each vote
takes them back and pushes the new ones, in one publish. Who voted for what is nobody else's: the
cookie that says so is good for `/vote` only, and what is answered there is kept nowhere.
"""

import argparse
import http.cookies
import http.server
import json
import pathlib
import secrets
import time
import urllib.parse
import urllib.request

PAGE = pathlib.Path(__file__).with_name("index.html").read_text(encoding="utf-8")
HTML = "text/html; charset=utf-8"
JSON = "application/json"
QUESTION = "What shall we do on Friday?"
CHOICES = ("Go to the lake", "Cook together", "Play board games", "Watch a film")
SHARED = {
    "CDN-Cache-Control": "max-age=600",
    "Cache-Control": "no-cache",
    "Surrogate-Key": "poll",
}
PRIVATE = {"Cache-Control": "private, no-store"}
VOTES = [0] * len(CHOICES)
VOTED = {}  # browser -> choice


class Poll(http.server.BaseHTTPRequestHandler):
    """`/` and `/results` are for all; `/vote` is one browser's own."""

    control = ""
    version = time.time_ns() // 1_000_000  # in a new process above all of the old

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        if target.path == "/":
            page = PAGE.replace("{/* results */}", self.content().replace("<", r"\u003c"))
            self.answer(200, page, HTML, self.kept())
        elif target.path == "/results":
            seen = urllib.parse.parse_qs(target.query).get("seen", [""])[0]
            fields = self.hold() if seen == str(self.version) else self.kept()
            self.answer(200, self.content(), JSON, fields)
        elif target.path == "/vote":
            self.remember()
        else:
            self.send_error(404)

    def do_POST(self):
        browser = self.browser()
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            choice = range(len(CHOICES)).index(asked)
        except ValueError:
            self.vote(400, None)
            return
        if not browser:
            self.vote(403, None)  # who has no cookie could come any number of times
        elif browser in VOTED:
            self.vote(409, VOTED[browser])
        else:
            VOTED[browser] = choice
            VOTES[choice] += 1
            self.publish()
            self.vote(200, choice)

    # The results, which are everybody's

    def content(self):
        results = {"question": QUESTION, "choices": CHOICES, "votes": VOTES}
        return json.dumps({"version": self.version, **results})

    def kept(self):
        """The proxy may keep it until the next vote; browsers ask each time."""
        return {**SHARED, "ETag": f'"{self.version}"'}

    def hold(self):
        """Wait at most 30 seconds for what comes after the results that the page has seen."""
        return {
            **SHARED,
            "Grip-Hold": "response",
            "Grip-Channel": f"poll; prev-id={self.version}",
            "Grip-Timeout": "30",
        }

    def publish(self):
        """Take back what shows the results, and answer all who wait for the next: one publish."""
        before = self.version
        type(self).version += 1
        fields = {"Content-Type": JSON, "Cache-Control": "no-store"}
        item = {
            "channel": "poll",
            "id": str(self.version),
            "prev-id": str(before),
            "purge": {"keys": ["poll"]},
            "formats": {"http-response": {"headers": fields, "body": self.content()}},
        }
        body = json.dumps({"items": [item]}).encode()
        request = urllib.request.Request(f"{self.control}/publish/", body, {"Content-Type": JSON})
        urllib.request.urlopen(request, timeout=10).close()

    # The vote, which is one browser's own

    def browser(self):
        """The name that a browser was given, or nothing."""
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        return cookie["browser"].value if "browser" in cookie else ""

    def remember(self):
        """Say what this browser voted for; one that is new gets a name."""
        fields = {}
        if not self.browser():
            name = secrets.token_urlsafe(12)
            fields["Set-Cookie"] = f"browser={name}; Path=/vote; HttpOnly; SameSite=Strict"
        self.vote(200, VOTED.get(self.browser()), **fields)

    def vote(self, status, choice, **fields):
        self.answer(status, json.dumps({"choice": choice}), JSON, {**PRIVATE, **fields})

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
    Poll.control = arguments.control
    http.server.HTTPServer(("127.0.0.1", arguments.port), Poll).serve_forever()

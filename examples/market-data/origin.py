"""The origin of the market: a thread that ticks, and an ordinary web application for all else.

Each tick is one item over ZeroMQ. It has an id and names the one before, so that whoever misses
one is found out and caught up. And it purges the page, which has the prices in its HTML: who opens
it begins with those of this moment, and any number of people who do so between two ticks are one
request here.
"""

import argparse
import collections
import contextlib
import dataclasses
import http.server
import json
import pathlib
import random
import secrets
import string
import threading
import time

import zmq

PAGE = string.Template(pathlib.Path(__file__).with_name("index.html").read_text())
ROW = string.Template(
    '<tr id="$symbol" data-first="$first"><th scope="row">$symbol <small>$name</small></th>'
    "<td><svg></svg></td><td><output>$price</output></td><td></td></tr>"
)
NAMES = {
    "ANVL": "Anvil Works", "BREW": "Harbour Brewing", "CORK": "Cork and Oak", "DUNE": "Dune Solar",
    "FERN": "Fern Paper", "KITE": "Kite Freight", "LOOM": "Loom Textiles", "MOSS": "Moss Foods",
}  # fmt: skip
TICKS_A_SECOND = 20
CHART_SIZE = 60
HISTORY_SIZE = 2000  # ticks that can be caught up with; who missed more gets a snapshot

HOLD = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "Grip-Hold": "stream",
    "Grip-Link": "</ticks?more>; rel=next",
    "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=20",
}


@dataclasses.dataclass
class Market:
    """The prices, and how to tell of them; its lock makes one sequence of all that happens."""

    push: zmq.Socket
    life: str = dataclasses.field(default_factory=lambda: secrets.token_hex(4))
    lock: threading.RLock = dataclasses.field(default_factory=threading.RLock)
    opened: threading.Event = dataclasses.field(default_factory=threading.Event)
    n: int = 0

    def __post_init__(self):
        prices = {symbol: random.uniform(20, 200) for symbol in NAMES}
        self.first = {symbol: round(price, 2) for symbol, price in prices.items()}
        self.prices = {
            symbol: collections.deque([price], CHART_SIZE) for symbol, price in self.first.items()
        }
        self.history = collections.OrderedDict()  # id -> event
        self.opened.set()

    @property
    def id(self):
        """Where the sequence is; a new process has other ids."""
        return f"{self.life}-{self.n}"

    def trade(self, ticks_a_second):
        """Tick for ever, while the market is open."""
        while True:
            time.sleep(1 / ticks_a_second)
            self.opened.wait()
            with self.lock:
                if self.opened.is_set():
                    self.tick(random.choice(list(NAMES)))

    def tick(self, symbol):
        price = round(self.prices[symbol][-1] * random.gauss(1, 0.002), 2)
        self.prices[symbol].append(price)
        self.tell("tick", symbol=symbol, price=price)

    def turn(self, is_open):
        """Open or close."""
        with self.lock:
            if is_open != self.opened.is_set():
                (self.opened.set if is_open else self.opened.clear)()
                self.tell("market", open=is_open)

    def tell(self, kind, **what):
        """Publish what has changed."""
        before = self.id
        self.n += 1
        self.history[self.id] = event(self.id, kind, n=self.n, **what)
        if len(self.history) > HISTORY_SIZE:
            self.history.popitem(last=False)
        item = {
            "channel": "ticks",
            "id": self.id,
            "prev-id": before,
            "purge": {"keys": ["prices"]},
            "formats": {"http-stream": {"content": self.history[self.id]}},
        }
        with contextlib.suppress(
            zmq.Again
        ):  # one that is lost shows as a gap, and is caught up with
            self.push.send(b"J" + json.dumps(item).encode(), zmq.DONTWAIT)

    def since(self, position):
        """What happened after the position, as events; None if that is not known."""
        if position == self.id:
            return ""
        if position not in self.history:
            return None
        ids = list(self.history)
        return "".join(self.history[each] for each in ids[ids.index(position) + 1 :])

    def snapshot(self):
        """All prices as one event."""
        charts = {symbol: list(prices) for symbol, prices in self.prices.items()}
        return event(self.id, "snapshot", n=self.n, open=self.opened.is_set(), charts=charts)

    def page(self):
        """All prices as a page."""
        rows = (
            ROW.substitute(symbol=symbol, name=name, first=self.first[symbol], price=price)
            for symbol, name in NAMES.items()
            for price in [f"{self.prices[symbol][-1]:.2f}"]
        )
        return PAGE.substitute(
            n=self.n, open=str(self.opened.is_set()).lower(), rows="".join(rows)
        )


def event(position, kind, **what):
    return f"id: {position}\nevent: {kind}\ndata: {json.dumps(what)}\n\n"


class Exchange(http.server.BaseHTTPRequestHandler):
    """`GET /` is the page, `GET /ticks` the stream, `POST /market` opens and closes.

    The query of `/ticks?more`, by which the proxy asks for what a stream has missed, is for the
    reader of the log: what is said depends on the position only.
    """

    market = None

    def do_GET(self):
        market = self.market
        with market.lock:  # what is said and where it is in the sequence belong together
            if self.path == "/":
                content, fields = market.page(), self.current()
            elif self.path.partition("?")[0] == "/ticks":
                content, fields = self.stream()
            else:
                self.send_error(404)
                return
        self.answer(content, fields)

    def do_POST(self):
        words = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/market" and words in {"open", "close"}:
            self.market.turn(words == "open")
            self.answer(words, {"Content-Type": "text/plain", "Cache-Control": "no-store"})
        else:
            self.send_error(400)

    def current(self):
        """The page is good until the next tick purges it; browsers ask each time."""
        return {
            "Content-Type": "text/html; charset=utf-8",
            "CDN-Cache-Control": "max-age=3600",
            "Cache-Control": "no-cache",
            "Surrogate-Key": "prices",
            "ETag": f'"{self.market.id}"',
        }

    def stream(self):
        """All prices, or what has been missed; in both cases what follows is what is published."""
        missed = self.market.since(self.position())
        is_for_all = missed is None
        fields = {
            "Grip-Channel": f"ticks; prev-id={self.market.id}; resume=sse",
            "CDN-Cache-Control": "max-age=60" if is_for_all else "no-store",
            "Vary": "Last-Event-ID",
        }
        return f"retry: 500\n{self.market.snapshot()}" if is_for_all else missed, {
            **HOLD,
            **fields,
        }

    def position(self):
        """The last id that a browser has seen, or, when the proxy asks for a stream, the proxy."""
        _, _, last = self.headers.get("Grip-Last", "").partition("last-id=")
        return last or self.headers.get("Last-Event-ID", "")

    def answer(self, content, fields):
        body = content.encode()
        self.send_response(200)
        for field in {**fields, "Content-Length": len(body)}.items():
            self.send_header(*map(str, field))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        print("origin:", words[0] % words[1:], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--pull", default="tcp://127.0.0.1:5560")
    parser.add_argument("--ticks", type=float, default=TICKS_A_SECOND, help="a second")
    arguments = parser.parse_args()
    push = zmq.Context.instance().socket(zmq.PUSH)
    push.connect(arguments.pull)
    Exchange.market = Market(push)
    trading = {"target": Exchange.market.trade, "args": [arguments.ticks], "daemon": True}
    threading.Thread(**trading).start()
    http.server.HTTPServer(("127.0.0.1", arguments.port), Exchange).serve_forever()

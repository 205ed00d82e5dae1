"""The origin of the store: products with a price and a stock, served by Python's own http.server.

It takes one request at a time. Pages and JSON may be kept by the proxy for ten minutes; what makes
them old is published, once, and that one item also takes them back. So a page is right from the
first look on, although the origin is hardly ever asked for one.
"""

import argparse
import http.server
import json
import pathlib
import time
import urllib.parse
import urllib.request

PAGE = pathlib.Path(__file__).with_name("index.html").read_text(encoding="utf-8")
HTML = "text/html; charset=utf-8"
JSON = "application/json"
EVENTS = "text/event-stream"
LARGEST = 1_000_000


class Product:
    """One thing on the shelf; its key is its channel and its surrogate key at once."""

    def __init__(self, number, name, price, stock):
        self.number, self.name, self.price, self.stock = number, name, price, stock
        self.key = f"product-{number}"
        self.version = time.time_ns() // 1_000_000  # in a new process above all of the old

    def content(self):
        return json.dumps(vars(self))

    def event(self):
        return f"event: product\ndata: {self.content()}\n\n"


SHELF = {
    product.number: product
    for product in (
        Product(7, "Mug", 1800, 5),
        Product(8, "Bowl", 2400, 3),
        Product(9, "Vase", 5200, 1),
    )
}


class TooLateError(Exception):
    """What the customer saw is no longer so; the message says it to them."""


class Store(http.server.BaseHTTPRequestHandler):
    """Read: `/`, `/products/7`, `/products/7.json`, `/events`. Written: `/cart`, `/products/7`."""

    control = ""

    def do_GET(self):
        target = urllib.parse.urlsplit(self.path)
        try:
            if target.path == "/":
                self.page(list(SHELF.values()))
            elif target.path == "/events":
                numbers = urllib.parse.parse_qs(target.query)["product"]
                self.stream([SHELF[int(number)] for number in numbers])
            elif target.path.endswith(".json"):
                product = self.product(target.path.removesuffix(".json"))
                self.answer(200, product.content(), JSON, self.kept([product]))
            else:
                self.page([self.product(target.path)])
        except (KeyError, ValueError):
            self.send_error(404)

    def do_POST(self):
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            product = self.sold(asked) if self.path == "/cart" else self.changed(asked)
        except TooLateError as late:
            self.answer(409, json.dumps({"error": str(late)}), JSON, {})
        except (KeyError, TypeError, ValueError):
            self.answer(400, json.dumps({"error": "That makes no sense."}), JSON, {})
        else:
            self.answer(200, product.content(), JSON, {})

    # Reading

    def product(self, path):
        """The product of `/products/NUMBER`."""
        return SHELF[int(path.removeprefix("/products/"))]

    def page(self, products):
        """A page has what it shows in it; `<` is written so that no name can end the script."""
        state = f"[{', '.join(product.content() for product in products)}]"
        page = PAGE.replace("[/* products */]", state.replace("<", r"\u003c"))
        self.answer(200, page, HTML, self.kept(products))

    def kept(self, products):
        """The proxy may keep it until one of these products changes; browsers ask each time."""
        versions = "-".join(str(product.version) for product in products)
        return {**self.shared(products), "ETag": f'"{versions}"'}

    def shared(self, products):
        return {
            "CDN-Cache-Control": "max-age=600",
            "Cache-Control": "no-cache",
            "Surrogate-Key": " ".join(product.key for product in products),
        }

    def stream(self, products):
        """How things are now, and then every change: what comes between the two is not lost."""
        fields = {
            **self.shared(products),
            "Grip-Hold": "stream",
            "Grip-Channel": ", ".join(f"{p.key}; prev-id={p.version}" for p in products),
            "Grip-Link": f"<{self.path}>; rel=next",
            "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=20",
        }
        self.answer(200, "".join(product.event() for product in products), EVENTS, fields)

    # Writing

    def sold(self, asked):
        """One piece into a cart: only if it is there, at the price that the customer saw."""
        product = SHELF[asked["product"]]
        if not product.stock:
            raise TooLateError("Sold out. Somebody was faster.")
        if asked["price"] != product.price:
            raise TooLateError("The price has just changed. Look again.")
        return self.change(product, product.price, product.stock - 1)

    def changed(self, asked):
        """What the shopkeeper sets; this is a demo, so everybody is the shopkeeper."""
        product = self.product(self.path)
        price, stock = asked["price"], asked["stock"]
        if price not in range(1, LARGEST) or stock not in range(LARGEST):
            raise ValueError(asked)
        return self.change(product, int(price), int(stock))

    def change(self, product, price, stock):
        """Change it, take back what shows it, and tell everybody: one publish."""
        before = product.version
        product.price, product.stock, product.version = price, stock, before + 1
        item = {
            "channel": product.key,
            "id": str(product.version),
            "prev-id": str(before),
            "purge": {"keys": [product.key]},
            "formats": {"http-stream": {"content": product.event()}},
        }
        body = json.dumps({"items": [item]}).encode()
        fields = {"Content-Type": JSON}
        request = urllib.request.Request(f"{self.control}/publish/", body, fields)
        urllib.request.urlopen(request, timeout=10).close()
        return product

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
    Store.control = arguments.control
    http.server.HTTPServer(("127.0.0.1", arguments.port), Store).serve_forever()

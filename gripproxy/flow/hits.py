"""Requests that are answered from memory at once: without a task, and with nothing awaited.

Who asks again mostly asks with the same bytes. What the bytes of a head come to (request, route,
what is demanded of the cache) is remembered once a request with them was answered from memory;
after that only what changes is left to do: look up what is stored, with all checks of
`flow.caching`, and write it. Everything else takes the long way, which this one is not to be told
from (cache-and-purge.md): other heads, what is stale or has to be asked for, holds, conditions,
ranges, HEAD, HTTP/1.0, clients that want no more answers.
"""

from dataclasses import dataclass
from typing import Protocol

from gripproxy.engine.store import Entry
from gripproxy.flow.access import Access
from gripproxy.flow.caching import Ask, Cache
from gripproxy.flow.counting import Watch
from gripproxy.flow.ports import Clock, Exchange
from gripproxy.protocol import forwarding, wire
from gripproxy.protocol import headers as fields
from gripproxy.protocol.caching import report, serving
from gripproxy.protocol.caching.storing import Facts
from gripproxy.protocol.headers import Field
from gripproxy.protocol.messages import Request, Response, has_body

# What is remembered of a head beside its own bytes: two requests, a key, the head of an answer.
KNOWN_BYTES = 1500


class Client(Exchange, Protocol):
    """A connection that waits for a request."""

    peer: str

    def deliver(self, head: bytes, body: bytes) -> bool:
        """Send an answer that is ready; return False if the client has left."""


@dataclass(slots=True, eq=False)
class _Known:
    """What a head has come to, and the head of an answer, with that which it was made of.

    `start` is what stands before the fields that change with time, `end` what is behind them.
    """

    ask: Ask
    facts: Facts | None = None
    start: bytes = b""
    end: bytes = b""
    until: float = 0.0  # wall seconds: then `Age` or the rest of its time is another
    head: bytes = b""


class Hits:
    """Answers at once what was answered from memory before.

    `by_address` says that the origin is told the address of a client, so that another client's
    request is another one although its bytes are the same. `size` is how many bytes may be used.
    """

    def __init__(
        self, cache: Cache, *, clock: Clock, access: Access, by_address: bool, size: int
    ) -> None:
        self.watch: Watch | None = None  # set by whoever has one, before the first request
        self._cache = cache
        self._clock = clock
        self._access = access
        self._by_address = by_address
        # Two generations: what is not asked for while a whole one comes is forgotten.
        self._half = size // 2
        self._young: dict[bytes, _Known] = {}
        self._old: dict[bytes, _Known] = {}
        self._used = 0  # bytes of the young one

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def forget(self) -> None:
        """Drop everything: the routes are others."""
        self._young.clear()
        self._old.clear()
        self._used = 0

    # Learning

    def learn(self, head: bytes, request: Request) -> None:
        """Remember a head whose request was just answered, if that was done from memory.

        `head` is as it came, with its blank line; the connection is kept behind the answer.
        """
        ask = self._cache.latest
        if ask is not None and ask.client is request and _is_plain(ask):
            ask.interim = None  # it would keep the connection
            self._remember(head, _Known(ask))

    def _remember(self, head: bytes, known: _Known) -> None:
        self._used += len(head) + KNOWN_BYTES
        if self._used > self._half:
            self._old = self._young
            self._young = {}
            self._used = len(head) + KNOWN_BYTES
        self._young[head] = known

    def _again(self, head: bytes) -> _Known | None:
        """Take a head of the old generation into the young one."""
        known = self._old.pop(head, None)
        if known is not None:
            self._remember(head, known)
        return known

    # Answering

    def answer(self, client: Client, head: bytes) -> bool:
        """Answer a request whose head is this; return False, with nothing done, if it cannot be.

        It is over when this returns, but for what the connection counts at its end.
        """
        known = self._young.get(head) or self._again(head)
        if known is None:
            return False
        ask = known.ask
        request = ask.client
        if request.peer != client.peer:
            if self._by_address:
                return False
            request.peer = client.peer  # nobody else has this request
        began = self._access.begins()
        now = self._clock.wall()
        entry = self._cache.glance(ask, now)
        if entry is None:
            return False
        facts = entry.facts
        if facts is not known.facts and not _look_at(known, entry):
            return False
        if now >= known.until:
            _render(known, facts, now)
        self._cache.use(entry)
        if self.watch is not None:
            client.request = request
            self._count(self.watch, client, ask, entry, now)
        if client.deliver(known.head, entry.body):
            self._access.answered(
                client, request, ask.route, entry.target, facts.status, began=began
            )
        else:
            self._access.broke_off(request, ask.route, entry.target, began=began)
        return True

    def _count(
        self, watch: Watch, client: Client, ask: Ask, entry: Entry[Facts], now: float
    ) -> None:
        watch.head()
        watch.request(client, ask.route, trusted=False)
        if client.counted is not None and watch.counters.counts_heads:
            client.counted.answered(_response(ask, entry, now))


def _is_plain(ask: Ask) -> bool:
    """Tell whether every answer from memory to such a request is sent as it is stored."""
    client = ask.client
    return (
        client.method == b"GET"
        and client.version == 1
        and not ask.demand.own
        # A hold that asks again has other fields than its client has sent.
        and ask.floor == 0
        # Whose page asks, and whom a proxy in front of us trusts, is found out each time.
        and not ask.route.aco
        and not client.headers.marks & fields.GRIP
    )


def _look_at(known: _Known, entry: Entry[Facts]) -> bool:
    """Make what does not change of the head of an answer; tell whether there is one."""
    facts, shown = entry.facts, entry.facts.shown
    # `Date` of an answer without one is the connection's to tell.
    if facts.hold or not has_body(b"GET", facts.status) or not shown.marks & fields.DATE:
        return False
    line = wire.status_line(1, facts.status, entry.response.reason)
    known.start = wire.response_head(line, forwarding.end_to_end(shown), b"", b"")[:-2]
    known.end = b"Content-Length: %d\r\n\r\n" % len(entry.body)
    known.facts = facts
    known.until = 0.0
    known.ask.key = entry.key  # the same object is compared faster than an equal one
    return True


def _render(known: _Known, facts: Facts, now: float) -> None:
    """Make the head of an answer that is good for up to a second."""
    age, ttl = facts.age(now), facts.ttl(now)
    known.head = b"%b%b%b%b" % (
        known.start,
        _line(report.age(age)),
        _line(report.hit(ttl)),
        known.end,
    )
    known.until = min(facts.born + age + 1, facts.fresh_until - ttl)


def _line(field: Field) -> bytes:
    name, value = field
    return b"%b%b\r\n" % (name.line, value)


def _response(ask: Ask, entry: Entry[Facts], now: float) -> Response:
    made = serving.hit(entry.facts, entry.response, entry.body, ask.demand, now=now)
    return forwarding.to_client(made)

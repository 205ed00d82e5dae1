"""A model of an instance: workers, a parent that numbers purges, origins, clients, publishers.

What runs in each worker is the program's own: request flow, cache, store, hub (`tests.world`).
What is modelled is around it, and is moved on in small steps that anyone may choose: clients that
ask and leave, origins that answer early, late or never, purges on their way to each worker, items
that come later, workers that are stopped, killed and started again, time.

Each resource has a *version*, raised before each purge or event that is about it. An origin
answers with the version that was current when it was *asked*, so what a client gets tells how old
it is. `Violation` is raised when a client has got what cache-and-purge.md, *The guarantee*, says
that it never gets.

A step is a tuple of a name and small numbers, so that a run is a list that can be repeated.
"""

import asyncio
import selectors
from collections import deque
from dataclasses import dataclass, field

from gripproxy.engine.origins import State
from gripproxy.engine.responses import ResponseHold
from gripproxy.engine.streams import StreamHold
from gripproxy.errors import ConnectError
from gripproxy.protocol.caching import tags
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.purges import Purge
from tests.fakes import fields
from tests.holdfakes import FakeSource, HeldExchange, LoopTasks, VirtualLoop, a_request, a_route
from tests.world import World, a_response

ROUTE = a_route(cache=True)
PURGING_ROUTE = a_route(cache=True, purge_channel=True)
HISTORY = 8


class Violation(AssertionError):  # noqa: N818
    """Something that must never happen has happened."""


@dataclass(frozen=True)
class Resource:
    """What an origin has at a path."""

    path: str
    lines: tuple[str, ...]
    keys: tuple[str, ...]
    channel: str = ""
    streams: bool = False
    shared: bool = True
    stale: float = 0.0  # seconds for which it may be served stale


def _resource(path, control, keys, *lines, **how):
    head = (f"Cache-Control: {control}", f"Surrogate-Key: {' '.join(keys)}", *lines)
    return Resource(path, head, keys, **how)


_RESPONSE = ("Grip-Hold: response", "Grip-Timeout: 600")
_STREAM = ("Grip-Hold: stream", "Grip-Link: </page>; rel=next; timeout=600")
_RESOURCES = (
    _resource("/a", "max-age=5", ("k",), "Vary: Accept"),
    _resource(
        "/b",
        "max-age=5, stale-while-revalidate=4, stale-if-error=30",
        ("k", "j"),
        stale=30.0,
    ),
    _resource("/c", "max-age=60", ("c",)),  # the name of a channel: routes with `purge=channel`
    _resource("/own", "private", ("k",), shared=False),
    _resource("/poll", "max-age=60", ("k",), *_RESPONSE, channel="c"),
    _resource("/plain-poll", "max-age=60", ("k",), *_RESPONSE, channel="d"),
    # Holds while its version is odd, and says what there is when it is even.
    _resource("/turn", "max-age=60", ("k",), *_RESPONSE, channel="d"),
    _resource("/stream", "max-age=60", ("k",), *_STREAM, channel="c", streams=True),
    _resource("/page", "max-age=60", ("k",), *_STREAM, channel="c", streams=True),
)
RESOURCES = {resource.path: resource for resource in _RESOURCES}
PLAIN = ("/a", "/b", "/c", "/own")
HOLDS = ("/poll", "/plain-poll", "/stream", "/turn")


# Time


class _NoSelector(selectors.DefaultSelector):
    """Nothing comes from outside."""

    now = 1000.0

    def select(self, timeout=None):
        return []


class Driver(VirtualLoop):
    """A loop that is moved on by hand."""

    def __init__(self):
        self._virtual = _NoSelector()
        asyncio.SelectorEventLoop.__init__(self, self._virtual)
        self.set_exception_handler(self._failed)
        self.failures = []

    def _failed(self, _loop, context):
        if "exception" in context:
            self.failures.append(context["exception"])

    def __enter__(self):
        asyncio.events._set_running_loop(self)
        return self

    def __exit__(self, *_):
        asyncio.events._set_running_loop(None)

    def settle(self):
        """Let everything run that can run without time."""
        turns = 0
        while self._ready:
            self._run_once()
            turns += 1
            if turns > 5000:
                raise Violation("it never comes to rest")

    def advance(self, seconds):
        """Let time go by."""
        end = self._virtual.now + seconds
        self.settle()
        while self._scheduled and self._scheduled[0]._when <= end:
            self._virtual.now = max(self._virtual.now, self._scheduled[0]._when)
            self._run_once()
            self.settle()
        self._virtual.now = end

    def forget(self):
        """Drop everything that still waits, and begin with time anew.

        Else it would become so late, after 160,000 runs, that a nanosecond is no time any more.
        """
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.settle()
        for timer in self._scheduled:
            timer.cancel()
        self._scheduled.clear()
        self.failures.clear()
        self._virtual.now = _NoSelector.now


# Origins


@dataclass(eq=False)
class Asked:
    """A request that an origin has got, and what it knew then."""

    worker: "Worker"
    path: str
    method: bytes
    headers: object
    version: int
    counter: int  # of the items of its channel
    reply: asyncio.Future
    items: tuple[int, ...] = ()


class ModelOrigin:
    """The origin of one worker; all see the same."""

    def __init__(self, model, worker):
        self._model = model
        self._worker = worker

    async def send(self, request, target, interim=None):
        model = self._model
        path = request.target.decode().partition("?")[0]
        reply = asyncio.get_running_loop().create_future()
        asked = Asked(
            self._worker,
            path,
            request.method,
            request.headers,
            model.version_seen(path),
            model.counter,
            reply,
        )
        model.asked.append(asked)
        model.requests += 1
        return await reply


# Workers


@dataclass(eq=False)
class Link:
    """What the parent has of a worker: purges and items on their way."""

    purges: deque = field(default_factory=deque)
    waiting: deque = field(default_factory=deque)  # what the kernel did not take
    items: deque = field(default_factory=deque)
    blocked: bool = False

    def flush(self):
        self.blocked = False
        self.purges.extend(self.waiting)
        self.waiting.clear()


class _Tasks(LoopTasks):
    """Tasks whose bugs are told."""

    def __init__(self, failures):
        super().__init__()
        self._failures = failures

    def start(self, story, *, name):
        task = super().start(story, name=name)
        task.add_done_callback(self._over)
        return task

    def _over(self, task):
        if not task.cancelled() and task.exception() is not None:
            self._failures.append(task.exception())


class Worker(World):
    """A worker process."""

    def __init__(self, model, link):
        super().__init__(
            model.route,
            update_on_first=True,
            history=model.history,
            origin=ModelOrigin(model, self),
        )
        self.model = model
        self.link = link
        self.applied = model.parent.word
        self.store.marks.unsettled_until = model.parent.unsettled_until
        self.applied_at = {}
        self.released = {"c": {}, "d": {}}  # the versions at the last item on each channel
        self.cache._level = self.is_level
        self.cache._tasks = _Tasks(model.failures)
        self.name = id(self)

    def is_level(self):
        """Stand for `cluster.level.Level.level`."""
        if self.applied >= self.model.parent.word:
            return True
        self.read()
        return self.applied >= self.model.parent.word

    def read(self):
        """Apply the purges that have come."""
        while self.link.purges:
            number, purge, names = self.link.purges.popleft()
            if number > self.applied:
                self.take_back(purge, names)
                self.applied = number
                self.applied_at[number] = self.clock.now()

    def take_back(self, purge, names):
        self.store.purge(
            purge, tags.of_purge(purge) | names, now=self.clock.now(), wall=self.clock.wall()
        )
        for channel, item_id in purge.items:
            self.store.purge_channel(channel, item_id)

    async def _invalidate(self, names):
        self.model.parent.begin([(Purge(), names)], self.model.posted(names))
        self.model.parent.finish()

    def take_item(self):
        """Release the next item."""
        if not self.link.items:
            return
        item, version = self.link.items.popleft()
        self.is_level()
        if item is None:
            self.model.recovered(self, version)
            self.hub.recover(now=self.clock.now())
        else:
            self.model.released(self, item, version)
            self.hub.publish(item, now=self.clock.now())


class Parent:
    """Numbers purges, and sends them and items to all workers."""

    def __init__(self):
        self.number = 0
        self.word = 0
        self.unsettled_until = 0.0
        self.links = []
        self._op = None

    def begin(self, purges, done):
        """Begin to send purges; `done` is called when they are acknowledged."""
        self.finish()
        entries = []
        for purge, names in purges:
            self.number += 1
            if purge.settle:
                self.unsettled_until = asyncio.get_running_loop().time() + purge.settle
            entries.append((self.number, purge, names))
        self._op = (entries, list(self.links), done)

    def proceed(self):
        """Do the next part of it."""
        if self._op is None:
            return
        entries, links, done = self._op
        if links:
            link = links.pop(0)
            (link.waiting if link.blocked else link.purges).extend(entries)
        else:
            self._op = None
            self.word = self.number
            done()

    def finish(self):
        while self._op is not None:
            self.proceed()


# Clients


@dataclass(eq=False)
class Client:
    """A client, and what it has a right to."""

    number: int
    worker: Worker
    path: str
    exchange: HeldExchange
    began: float
    hard: int  # the version that no answer may be older than
    soft: tuple[tuple[int, int], ...]  # versions and numbers of soft purges before it
    settled: int  # a version that what is stored must not be older than
    joins: int = 0  # a version that a hold must not be older than
    woken: int = 0  # the version of an event that it was told of
    hinted: int = 0  # likewise, sooner or later
    position: int | None = None  # of a stream: the last item that it has
    seen: int = 0  # the version that it has seen last
    text: str = ""
    held: object = None
    over: bool = False
    was_held: bool = False

    @property
    def resource(self):
        return RESOURCES[self.path]


HOW = (
    {},
    {},
    {},
    {"lines": ("Accept: x",)},
    {"lines": ("Accept: y",)},
    {"method": b"HEAD"},
    {"lines": ("Range: bytes=0-1",)},
    {"lines": ('If-None-Match: "none"',)},
    {"lines": ("If-None-Match: seen",)},
    {"scheme": b"https"},
)
WAITS = (0.05, 0.5, 1.2, 2.5, 6.0, 6.0, 20.0)


class Model:
    """An instance and all around it."""

    def __init__(self, loop, *, workers=1, history=True, purge_channel=False, lag=0.0, focus=None):
        """Make an instance; `focus`: all clients ask for the same, so that they meet."""
        self.loop = loop
        self.failures = loop.failures
        self.history = HISTORY if history else 0
        self.route = PURGING_ROUTE if purge_channel else ROUTE
        self.lag = lag
        self.plain = PLAIN if focus is None else (PLAIN[focus % len(PLAIN)],)
        self.holds = HOLDS if focus is None else (HOLDS[focus % len(HOLDS)],)
        self.parent = Parent()
        self.asked = []
        self.bodies = []
        self.clients = []
        self.requests = 0
        self.counter = 0
        self.sends = []  # numbers of the items that are no hints
        self.version = dict.fromkeys(RESOURCES, 1)
        self.past = {path: [(0.0, 1)] for path in RESOURCES}  # since when, which version
        self.hard = dict.fromkeys(RESOURCES, 0)
        self.settled = dict.fromkeys(RESOURCES, 0)
        self.soft = dict.fromkeys(RESOURCES, ())
        self.started = 0
        self.links = [Link() for _ in range(workers)]
        self.parent.links = list(self.links)
        self.workers = [None] * workers
        for index in range(workers):
            self.worker(index)

    # Versions

    def raise_versions(self, paths):
        for path in paths:
            self.version[path] += 1
            self.past[path].append((self.loop.time(), self.version[path]))

    def version_seen(self, path):
        if not self.lag:
            return self.version[path]
        then = self.loop.time() - self.lag
        return max(version for since, version in self.past[path] if since <= then)

    def worker(self, index):
        """Return a worker; one that was killed is started."""
        index %= len(self.links)
        if self.workers[index] is None:
            self.workers[index] = Worker(self, self.links[index])
        return self.workers[index]

    # Steps

    def step(self, name, *numbers):
        """Do something, let everything run, and look at what has come of it."""
        getattr(self, "do_" + name)(*numbers)
        self.loop.settle()
        self.look()

    def do_ask(self, index, what, how):
        self._ask(index, self.plain[what % len(self.plain)], **HOW[how % len(HOW)])

    def do_has(self, index, what, _):
        """Let a client ask for something, and its origin answer."""
        paths = self.plain if self.lag else self.plain + self.holds
        self._ask(index, paths[what % len(paths)])
        self.loop.settle()
        if self.asked and not self.asked[-1].reply.done():
            self._answer(self.asked.pop(), "whole")

    def do_stale(self, index, what, _):
        """Let a client ask again for what it has, when that is no longer fresh."""
        if not self.lag:
            self.do_has(index, what % len(self.plain), 0)
            self.loop.advance(6.0)
            self._ask(index, self.plain[what % len(self.plain)])

    def do_hold(self, index, what, how):
        if self.lag:
            return
        path = self.holds[what % len(self.holds)]
        given = {"lines": (f"Last-Event-ID: {how % (self.counter + 1)}",)} if how % 3 == 2 else {}
        client = self._ask(index, path, **(given if path == "/stream" else {}))
        if path == "/stream" and given:
            client.position = how % (self.counter + 1)

    def _ask(self, index, path, *, lines=(), **request):
        worker = self.worker(index)
        lines = [
            line.replace("seen", f'"{self.version[path]}"')
            if line.startswith("If-None-Match")
            else line
            for line in lines
        ]
        exchange = HeldExchange(a_request(path, headers=fields(*lines), **request))
        self.started += 1
        client = Client(
            self.started,
            worker,
            path,
            exchange,
            self.loop.time(),
            self.hard[path],
            self.soft[path],
            self.settled[path],
        )
        if client.resource.channel:
            client.joins = worker.released[client.resource.channel].get(path, 0)
        self.clients.append(client)
        exchange.task = self.loop.create_task(exchange.run(worker.flow.serve))
        exchange.task.add_done_callback(self._served)
        return client

    def _served(self, task):
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(task.exception())

    def do_post(self, index, what, _):
        path = self.plain[what % len(self.plain)]
        worker = self.worker(index)
        exchange = HeldExchange(a_request(path, method=b"POST", body=b"x", length=1))
        exchange.task = self.loop.create_task(exchange.run(worker.flow.serve))

    def posted(self, names):
        """Return what is to be believed when the URLs of these tags are taken back."""
        paths = [path for path in RESOURCES if ("url", b"proxy" + path.encode()) in names]
        return self._believe(paths, soft=False, settle=0.0)

    def do_answer(self, which, kind, _):
        """Let an origin answer: whole, slowly, not at all."""
        self.asked = [asked for asked in self.asked if not asked.reply.done()]
        if self.asked:
            asked = self.asked.pop(which % len(self.asked))
            self._answer(
                asked, ("whole", "whole", "whole", "slow", "full", "down", "503")[kind % 7]
            )

    def _answer(self, asked, kind):
        if kind == "down":
            asked.reply.set_exception(ConnectError("connection_refused", "down"))
            return
        if asked.method == b"POST":
            self.raise_versions([asked.path])
            asked.reply.set_result(a_response(body="done"))
        elif kind == "503":
            asked.reply.set_result(a_response(status=503, body="down"))
        else:
            asked.reply.set_result(self._response(asked, kind))

    def _response(self, asked, kind):
        resource = RESOURCES[asked.path]
        etag = f'"{asked.version}"'
        lines = resource.lines
        if resource.channel:
            return self._hold(asked, resource)
        lines = (*lines, f"ETag: {etag}")
        told = asked.headers.get(b"if-none-match")
        if told is not None and told.decode() == etag and kind != "full":
            return a_response(*lines, status=304)
        body = f"{asked.path}@{asked.version}"
        if asked.headers.has(b"range") and kind != "full":
            lines = (*lines, f"Content-Range: bytes 0-1/{len(body)}")
            return a_response(*lines, status=206, body=body[:2])
        if asked.method == b"HEAD":
            response = a_response(*lines)
            response.length = len(body)
            return response
        if kind == "slow":
            source = FakeSource(body[:2])
            self.bodies.append((source, body[2:]))
            return a_response(*lines, body=source)
        return a_response(*lines, body=body)

    def _hold(self, asked, resource):
        lines = resource.lines
        if asked.path == "/turn" and asked.version % 2 == 0:
            return a_response(*lines[:2], body=f"@{asked.version}")
        if resource.channel == "d":
            return a_response(*lines, "Grip-Channel: d", body=f"@{asked.version}")
        channel = f"Grip-Channel: c; prev-id={asked.counter}; resume=sse"
        if not resource.streams:
            return a_response(*lines, channel, body=f"{asked.counter}@{asked.version}")
        body = f"snap:{asked.counter}@{asked.version};"
        if asked.path == "/page":
            last = asked.headers.get(b"grip-last")
            body = f"@{asked.version};"
            if last is not None:
                position = int(last.rpartition(b"=")[2])
                missed = [n for n in self.sends if position < n <= asked.counter]
                body += "".join([f"{number};" for number in missed])
        return a_response(*lines, channel, body=body)

    def do_finish(self, which, kind, _):
        """Let a body that was slow come to its end, or break off."""
        self.bodies = [body for body in self.bodies if not body[0].abandoned]
        if not self.bodies:
            return
        source, rest = self.bodies.pop(which % len(self.bodies))
        if source.receiver is None:
            self.bodies.append((source, rest))
        elif kind % 4 == 3:
            source.fail()
        else:
            source.piece(rest)
            source.end()

    def do_purge(self, what, how, steps):
        """Begin a purge; if it is not ended at once that takes more steps."""
        names = ("k", "k", "k", "j", "c", "all", *self.plain, *self.holds)
        name = names[what % len(names)]
        soft = how % 4 == 3
        settle = 2.0 if self.lag else 0.0
        if name == "all":
            purge, paths = Purge(everything=True, soft=soft, settle=settle), list(RESOURCES)
        elif name.startswith("/"):
            purge, paths = Purge(urls=(f"proxy{name}",), soft=soft, settle=settle), [name]
        else:
            purge = Purge(keys=(name,), soft=soft, settle=settle)
            paths = [path for path, resource in RESOURCES.items() if name in resource.keys]
        self.raise_versions(paths)
        self.parent.begin([(purge, frozenset())], self._believe(paths, soft=soft, settle=settle))
        self._proceed(steps)

    def _proceed(self, steps):
        if steps % 4 == 3:
            for _ in range(steps % len(self.links) + 1):
                self.parent.proceed()
        else:
            self.parent.finish()
            if steps % 4 < 2:
                for worker in filter(None, self.workers):
                    worker.read()

    def _believe(self, paths, *, soft, settle):
        self.parent.finish()
        versions = {path: self.version[path] for path in paths}
        number = self.parent.number + 1

        def done():
            for path, version in versions.items():
                if soft and not self.lag:
                    self.soft[path] += ((version, number),)
                elif settle and not soft:
                    self.settled[path] = max(self.settled[path], version)
                elif not self.lag:
                    self.hard[path] = max(self.hard[path], version)

        return done

    def do_storm(self, _a, _b, _c):
        """Purge many keys that nobody carries."""
        self.parent.begin(
            [(Purge(keys=tuple([f"{self.parent.number}-{n}" for n in range(3)])), frozenset())],
            lambda: None,
        )
        self.parent.finish()

    def do_proceed(self, _a, _b, _c):
        self.parent.proceed()

    def do_read(self, index, _b, _c):
        self.worker(index).read()

    def do_block(self, index, _b, _c):
        link = self.links[index % len(self.links)]
        if link.blocked:
            link.flush()
        else:
            link.blocked = True

    def do_publish(self, kind, purge, steps):
        """Publish an item on one of the channels, with a purge or without."""
        if self.lag:
            return
        name = ("send", "send", "hint", "send-d", "hint-d")[kind % 5]
        channel = "d" if name.endswith("-d") else "c"
        hints = name.startswith("hint")
        if channel == "c":
            self.counter += 1
            if not hints:
                self.sends.append(self.counter)
        item = self._item(channel, Action.HINT if hints else Action.SEND)
        soft = purge % 2 == 1
        named, by_channel = set(), set()
        purges = []
        if purge % 3 == 2:
            purges.append((Purge(keys=("k",), soft=soft), frozenset()))
            named = {path for path, resource in RESOURCES.items() if "k" in resource.keys}
        if self.route.purge_channel:
            purges.append((Purge(items=((channel, item.id),)), frozenset()))
            # A stream goes on from what it has; what does not hold has no channel for a tag.
            by_channel = {"/c", "/poll"} if channel == "c" else {"/plain-poll"}
        held = {path for path, resource in RESOURCES.items() if resource.channel == channel}
        self.raise_versions(held | named | by_channel)
        self._send(
            purges,
            (item, dict(self.version)),
            (
                self._believe(named, soft=soft, settle=0.0),
                self._believe(by_channel, soft=False, settle=0.0),
            ),
            steps,
        )
        if steps % 4 < 2:
            self.do_items(0, 0, 0)

    def _item(self, channel, action):
        on_c = channel == "c"
        return PublishItem(
            channel,
            id=str(self.counter) if on_c else None,
            prev_id=str(self.counter - 1) if on_c else None,
            http_response=HttpResponse(action=action, body=b"item:%d" % self.counter),
            http_stream=HttpStream(action=action, content=b"%d;" % self.counter),
        )

    def _send(self, purges, told, believe, steps):
        """Send an item behind its purges."""

        def done():
            for part in believe:
                part()
            for link in self.links:
                link.items.append(told)

        if purges:
            self.parent.begin(purges, done)
            self._proceed(steps)
        else:
            self.parent.finish()
            done()

    def do_item(self, index, _b, _c):
        self.worker(index).take_item()

    def do_items(self, _a, _b, _c):
        for index in range(len(self.links)):
            while self.links[index].items:
                self.worker(index).take_item()

    def do_recover(self, _a, _b, _c):
        """Tell all workers that a publisher was out of order."""
        if self.lag:
            return
        self.parent.finish()
        self.raise_versions(RESOURCES)
        for link in self.links:
            link.items.append((None, dict(self.version)))

    def do_wait(self, which, _b, _c):
        self.loop.advance(WAITS[which % len(WAITS)])

    def do_sweep(self, index, _b, _c):
        worker = self.worker(index)
        worker.store.sweep(now=worker.clock.now())

    def do_leave(self, which, _b, _c):
        waiting = [client for client in self.clients if not client.over]
        if waiting:
            client = waiting[which % len(waiting)]
            client.exchange.leave(self.loop.time())
            client.over = True

    def do_kill(self, index, _b, _c):
        """End a worker; it is started again when somebody asks it."""
        index %= len(self.links)
        worker = self.workers[index]
        if worker is None or len(self.links) == 1:
            return
        self.parent.finish()
        self.workers[index] = None
        self.links[index] = Link()
        self.parent.links[index] = self.links[index]
        for client in self.clients:
            if client.worker is worker:
                client.over = True
                client.exchange.task.cancel()
        for task in list(worker.tasks.running | worker.cache._tasks.running):
            task.cancel()
        self.asked = [asked for asked in self.asked if asked.worker is not worker]
        worker._alarm.close()

    # What clients have a right to

    def released(self, worker, item, version):
        """Take note of an item that is about to reach the holders in a worker."""
        hints = item.http_response.action is Action.HINT
        for client in self.clients:
            if client.over or client.worker is not worker:
                continue
            if client.resource.channel != item.channel:
                continue
            path = "/page" if client.resource.streams else client.path
            hold = client.exchange.held
            if hints and client.was_held:
                client.hinted = version[path]
            if not isinstance(hold, ResponseHold | StreamHold) or hold.state is not State.HOLDING:
                continue
            (subscription,) = hold.subscriptions.values()
            if hints or (
                subscription.prev_id is not None and subscription.prev_id != item.prev_id
            ):
                client.woken = version[path]
        worker.released[item.channel] = version

    def recovered(self, worker, version):
        for client in self.clients:
            if not client.over and client.worker is worker:
                hold = client.exchange.held
                if hold is not None and hold.state is State.HOLDING:
                    client.woken = version["/page" if client.resource.streams else client.path]

    def look(self):
        """Look at what all clients have got since the last time."""
        if self.failures:
            raise self.failures[0]
        for client in self.clients:
            if not client.over:
                self._look_at(client)
        self.clients = [client for client in self.clients if not client.over]

    def _look_at(self, client):
        exchange = client.exchange
        if exchange.begun is not None:
            self._look_at_stream(client)
            return
        hold = exchange.held
        if isinstance(hold, ResponseHold) and hold is not client.held:
            client.held = hold
            if hold.state is State.HOLDING:
                self._begins(client, hold)
        response = exchange.finished or exchange.answered
        if response is not None and isinstance(response.body, bytes):
            client.over = True
            self._check(client, response)

    def _begins(self, client, hold):
        """A response hold has begun: its default response is what its client has seen."""
        client.was_held = True
        counter, _, version = hold.default.body.decode().partition("@")
        client.seen = int(version)
        client.position = int(counter) if counter else None
        self._at_least(client, client.seen, client.hard, "purged")
        self._at_least(client, client.seen, client.joins, "older than an item before it")
        self._at_least(client, client.seen, client.woken, "older than what woke it")
        client.woken = 0

    def _at_least(self, client, version, least, why):
        if version < least:
            raise Violation(
                f"client {client.number} at {client.path} has {version}, not {least}: {why}"
            )

    def _check(self, client, response):
        """Look at a whole answer."""
        if response.status >= 500:
            return
        body = response.body.decode()
        if client.resource.channel:
            self._check_held(client, body)
            return
        etag = response.headers.get(b"etag")
        if etag is None:
            raise Violation(f"client {client.number} at {client.path} has no version")
        version = int(etag.strip(b'"'))
        whole = response.status == 200 and client.exchange.request.method == b"GET"
        # A body that has broken off is the beginning of one.
        if whole and not f"{client.path}@{version}".startswith(body):
            raise Violation(f"client {client.number} has {body} as {version}")
        self._at_least(client, version, client.hard, "purged")
        told = response.headers.get(b"cache-status") or b""
        if b"; hit" in told:
            self._at_least(client, version, client.settled, "stored before it had settled")
        for least, number in client.soft:
            if version < least:
                self._may_be_stale(client, version, number)
                break

    def _may_be_stale(self, client, version, number):
        stale = client.resource.stale
        since = client.worker.applied_at.get(number)
        now = self.loop.time()
        if not stale or (since is not None and now - since >= stale):
            raise Violation(
                f"client {client.number} at {client.path} has {version}: softly purged"
            )

    def _check_held(self, client, body):
        if not body.startswith("item:"):
            self._at_least(client, int(body.rpartition("@")[2]), client.hard, "purged")
            if client.held is None or client.held.state is State.ASKING:
                version = int(body.removeprefix("@"))
                self._at_least(client, version, client.woken, "older than what woke it")
            return
        number = int(body.removeprefix("item:"))
        if client.resource.channel == "c" and number != client.position + 1:
            raise Violation(f"client {client.number} at {client.position} has item {number}")

    def _look_at_stream(self, client):
        client.was_held = True
        exchange = client.exchange
        if exchange.was_cut:
            client.over = True
            return
        chunks = exchange.heard()
        for chunk in chunks:
            if chunk == "END":
                raise Violation(f"stream {client.number} has ended: {client.text}")
            client.text += chunk
            *tokens, rest = chunk.split(";")
            if rest:
                raise Violation(f"stream {client.number} has {chunk}")
            for token in tokens:
                self._take_token(client, token)

    def _take_token(self, client, token):
        if "@" not in token:
            number = int(token)
            if client.position is None:
                raise Violation(f"stream {client.number} has {number} before anything else")
            due = next((n for n in self.sends if n > client.position), None)
            if number != due:
                raise Violation(f"stream {client.number}: {number}, not {due}: {client.text}")
            client.position = number
            return
        counter, _, version = token.removeprefix("snap:").partition("@")
        if counter:
            self._at_least(client, int(version), client.hard, "purged")
            client.position = int(counter)
            self._at_least(client, int(version), 0, "")
            client.seen = 0
        else:
            self._at_least(client, int(version), client.woken, "older than what woke it")
            client.woken = 0
            client.seen = int(version)

    # The end

    def drain(self):
        """Let all come to its end, and look whether somebody waits for nothing."""
        self.parent.finish()
        for index, link in enumerate(self.links):
            link.flush()
            if self.workers[index] is not None:
                self.workers[index].read()
        self.step("items", 0, 0, 0)
        self._rest()
        if not self.lag:
            # Who was told of a gap that another one had seen already sees it at the next item.
            self.do_publish(0, 0, 0)
            self.do_publish(3, 0, 0)
            self.step("items", 0, 0, 0)
            self._rest()
        for client in self.clients:
            self._ends(client)
        for worker in filter(None, self.workers):
            if worker.cache._flights or worker.store.marks._unknown:
                raise Violation("a flight is left behind")

    def _rest(self):
        """Let origins answer until nobody asks any more."""
        for _ in range(60):
            before = self.requests
            self._answer_all()
            self.loop.advance(40.0)
            self.look()
            if self.requests == before and not self.asked and not self.bodies:
                return
        raise Violation("origins are asked for ever")

    def _answer_all(self):
        for _ in range(40):
            self.asked = [asked for asked in self.asked if not asked.reply.done()]
            self.bodies = [body for body in self.bodies if not body[0].abandoned]
            if not self.asked and not self.bodies:
                return
            while self.asked:
                self.do_answer(0, 0, 0)
            while self.bodies and self.bodies[0][0].receiver is not None:
                self.do_finish(0, 0, 0)
            self.loop.settle()
            self.look()

    def _ends(self, client):
        hold = client.exchange.held
        if not isinstance(hold, ResponseHold | StreamHold):
            raise Violation(f"client {client.number} at {client.path} waits for ever")
        if hold.state is not State.HOLDING:
            raise Violation(f"client {client.number} at {client.path} is {hold.state} for ever")
        if client.hinted > client.seen:
            raise Violation(
                f"client {client.number} at {client.path} missed a hint: "
                f"{client.seen}, not {client.hinted}"
            )
        if client.resource.channel != "c":
            return
        last = self.sends[-1] if self.sends else 0
        if client.resource.streams:
            if client.position < last:
                raise Violation(f"stream {client.number} is at {client.position}, not {last}")
        elif client.position != self.counter:
            raise Violation(f"client {client.number} is at {client.position}, not {self.counter}")


# Runs

# Steps by name, and how often each of them is chosen.
STEPS = {
    "ask": 16,
    "hold": 12,
    "has": 12,
    "stale": 4,
    "answer": 22,
    "finish": 4,
    "purge": 10,
    "post": 2,
    "storm": 2,
    "proceed": 3,
    "read": 2,
    "block": 2,
    "publish": 9,
    "item": 7,
    "items": 4,
    "recover": 1,
    "wait": 7,
    "sweep": 2,
    "leave": 2,
    "kill": 2,
}
_NAMES, _WEIGHTS = list(STEPS), list(STEPS.values())


def a_step(random):
    """Return a step that a `random.Random` has chosen."""
    (name,) = random.choices(_NAMES, _WEIGHTS)
    return name, random.randrange(60), random.randrange(60), random.randrange(60)


def a_config(random):
    """Return what an instance is like."""
    return {
        "workers": random.choice((1, 1, 2, 2, 3)),
        "history": random.random() < 0.7,
        "purge_channel": random.random() < 0.3,
        "lag": random.choice((0.0, 0.0, 0.0, 0.0, 1.0)),
        "focus": random.choice((0, 1, 2, 3, None)),
    }


def play(loop, config, steps):
    """Run a list of steps from the beginning to the end of everything."""
    with loop:
        model = Model(loop, **config)
        try:
            for step in steps:
                model.step(*step)
            model.drain()
        finally:
            loop.forget()
    return model


def shrunk(loop, config, steps):
    """Return as few of these steps as still end in a violation, with small numbers."""
    size = len(steps)
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(loop, config, fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    for at in range(len(steps)):
        for place in (1, 2, 3):
            for smaller in range(min(3, steps[at][place])):
                simpler = (*steps[at][:place], smaller, *steps[at][place + 1 :])
                fewer = [*steps[:at], simpler, *steps[at + 1 :]]
                if fails(loop, config, fewer):
                    steps = fewer
                    break
    return steps


def fails(loop, config, steps):
    """Tell whether these steps end in a violation, or a bug."""
    try:
        play(loop, config, steps)
    except Exception:  # noqa: BLE001
        return True
    return False

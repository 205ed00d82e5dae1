"""A proxy without sockets: stories, hub and all, between fake clients and a fake origin.

Its time is that of a `VirtualLoop`: a test waits an hour at no cost. `World` is made inside of a
test that runs `in_virtual_time`.
"""

import asyncio

from gripproxy.engine.channels import Channels
from gripproxy.engine.history import History
from gripproxy.engine.hub import Hub
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.sequencer import Sequencer
from gripproxy.engine.store import Store
from gripproxy.flow.access import Access
from gripproxy.flow.access import Settings as AccessSettings
from gripproxy.flow.caching import Cache
from gripproxy.flow.fetching import Fetcher
from gripproxy.flow.filtering import Filtering
from gripproxy.flow.holding import Holder
from gripproxy.flow.linking import Linker
from gripproxy.flow.request import RequestFlow, Settings
from gripproxy.protocol.caching import tags
from gripproxy.protocol.caching.demands import Cookies
from gripproxy.protocol.formats import Action, HttpResponse, HttpStream
from gripproxy.protocol.forwarding import Forwarder
from gripproxy.protocol.forwarding import Settings as ForwardingSettings
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.phrases import phrase
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import RouteTable
from gripproxy.runtime import Alarm
from tests.fakes import FakeNotices, FakeOrigin, fields, fields_of
from tests.holdfakes import FakeSource, HeldExchange, LoopClock, LoopTasks, a_request, a_route

# What every request to an origin has, and no test is about.
USUAL = ("Grip-Feature", "Grip-Sig", "Via")


class World:
    """Everything between clients and an origin."""

    def __init__(
        self,
        *routes,
        update_on_first=False,
        linger=60.0,
        history=0,
        cookies="safe",
        origin=None,
        **settings,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.clock = LoopClock()
        self.tasks = LoopTasks()
        self.notices = FakeNotices()
        self.origin = origin or FakeOrigin()
        self.lines: list[str] = []
        alarm = Alarm(loop, self._ring)
        channels = Channels(
            self.notices, linger=linger, update_on_first=update_on_first, arm=alarm.arm
        )
        last_ids = LastIds()
        self.hub = Hub(channels, last_ids, self.notices, random=lambda: 0.0, arm=alarm.arm)
        self._alarm = alarm
        if history:
            self.hub.history = History(history, 60.0, 1_000_000)
        self.store = Store(1_000_000, chain=self.hub.history.leads if history else None)
        self.hub.marks = self.store.marks
        self.level = True  # whether this process knows of all purges
        self.invalidated = []
        self._sequencer = Sequencer(
            message_wait=5.0,
            id_cache_ttl=60.0,
            last_ids=LastIds(),
            subscribed=channels.__contains__,
        )
        forwarder = Forwarder(ForwardingSettings())
        fetcher = Fetcher(self.origin)
        self.cache = fetcher.cache = Cache(
            self.store,
            fetcher.ask,
            clock=self.clock,
            tasks=self.tasks,
            level=lambda: self.level,
            invalidate=self._invalidate,
            cookies=Cookies(cookies),
        )
        self.access = Access(self.lines.append, AccessSettings())
        linker = Linker(forwarder, clock=self.clock, routes=lambda: self.flow.routes)
        self.hub.network = Filtering(
            fetcher, linker, clock=self.clock, tasks=self.tasks, access=self.access
        )
        self.holder = Holder(
            fetcher,
            forwarder,
            self.hub,
            clock=self.clock,
            tasks=self.tasks,
            linker=linker,
            access=self.access,
        )
        self.flow = RequestFlow(
            fetcher,
            forwarder,
            self.holder,
            clock=self.clock,
            access=self.access,
            settings=Settings(**settings),
            serve_socket=None,
            serve_sockjs=None,
        )
        self.flow.routes = RouteTable(routes or (a_route(),))

    def _ring(self, now: float) -> None:
        self.hub.due(now)
        following = self.hub.next_deadline()
        if following is not None:
            self._alarm.arm(following)

    # Purges

    def purge(self, *keys, **how) -> int:
        """Take back what has these keys, or what else `Purge` is told."""
        what = Purge(keys=keys, **how)
        return self.store.purge(
            what, tags.of_purge(what), now=self.clock.now(), wall=self.clock.wall()
        )

    async def _invalidate(self, names) -> None:
        self.invalidated.append(names)
        self.store.purge(Purge(), names, now=self.clock.now(), wall=self.clock.wall())

    # Time

    async def wait(self, seconds: float = 0.0) -> None:
        """Let time go by, and everything happen that happens in it."""
        await asyncio.sleep(seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    # Clients

    async def ask(self, target: str = "/", *lines: str, **request) -> HeldExchange:
        """Let a client send a request; it goes on in a task of its own."""
        exchange = HeldExchange(a_request(target, headers=fields(*lines), **request))
        exchange.task = asyncio.get_running_loop().create_task(exchange.run(self.flow.serve))
        await self.wait()
        return exchange

    # The origin

    async def answer(self, *lines: str, status: int = 200, body="") -> None:
        """Let the origin answer the oldest request that waits."""
        await self.reply(a_response(*lines, status=status, body=body))

    async def reply(self, outcome) -> None:
        """Let the origin answer with this response or exception."""
        self.origin.answer(outcome)
        await self.wait()

    def asked(self) -> list[str]:
        """Return the requests that origins got since the last time, one line each.

        The method, the URI with the target's address, and the fields that are not on every
        request.
        """
        requests = self.origin.requests[:]
        self.origin.requests.clear()
        return [_told(request, target) for request, target in requests]

    # Publishers

    async def publish(self, channel: str, content: str | None = None, **how) -> None:
        """Publish an item in both formats for HTTP."""
        action = how.pop("action", Action.SEND)
        meta = how.pop("meta", {})
        body = content.encode() if content is not None else None
        response = {key: how.pop(key) for key in ("code", "headers", "body_patch") if key in how}
        item = PublishItem(
            channel,
            id=how.pop("id", None),
            prev_id=how.pop("prev_id", None),
            http_response=HttpResponse(action=action, body=body, **response),
            http_stream=HttpStream(action=action, content=body or b""),
            meta=meta,
            **how,
        )
        for released in self._sequencer.admit(item, now=self.clock.now()):
            self.hub.publish(released, now=self.clock.now())
        await self.wait()


def a_response(*lines: str, status: int = 200, body="") -> Response:
    """Make an origin's response; `body` is text, bytes or a `FakeSource`."""
    if isinstance(body, str):
        body = body.encode()
    length = None if isinstance(body, FakeSource) else len(body)
    return Response(
        status=status, reason=phrase(status), headers=fields(*lines), body=body, length=length
    )


def _told(request: Request, target) -> str:
    host = f"{target}" if target is not None else "nobody"
    method, path = request.method.decode(), request.target.decode()
    shown = [f"{name}: {value}" for name, value in fields_of(request) if name not in USUAL]
    return ", ".join([f"{method} {host}{path}", *shown])


def text_of(client: HeldExchange) -> tuple[int, str] | None:
    """Return the status and the body that a client was answered with, None if it waits."""
    response = client.finished or client.answered
    if response is None:
        return None
    return response.status, response.body.decode()

"""Everything in one process: the front role and the control role."""

from gripproxy import app, intake, reporting, runtime
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.news import Statistics
from gripproxy.logs import Lines
from gripproxy.plan import Start, client_max
from gripproxy.protocol.routes import RouteTable
from gripproxy.protocol.routesfile import RoutesFile


class Single:
    """Everything in one process."""

    def __init__(
        self, start: Start, clock: runtime.Clock, tasks: runtime.Tasks, lines: Lines | None
    ) -> None:
        self._start = start
        last_ids = LastIds()  # one: what a hold finds wrong is forgotten where items come in too
        self._front = app.Front(
            start.config,
            clock=clock,
            tasks=tasks,
            lines=lines,
            topic=self._topic,
            maxconn=client_max(start.config),
            last_ids=last_ids,
        )
        self._gauges: reporting.Gauges | None = None
        self._reporter: reporting.Reporter | None = None
        if reporting.is_wanted(start.config):
            self._reporter = reporting.Reporter(
                start.config, clock=clock, collect=self._statistics
            )
        self._control = intake.Control(
            start.config,
            clock=clock,
            tasks=tasks,
            out=self._front if self._reporter is None else self._reporter.out(self._front),
            metrics=self._reporter.counters.metrics if self._reporter is not None else None,
            last_ids=last_ids,
            subscribed=self._front.hub.channels.__contains__,
            operations=self._front,
        )
        self._front.use_routes(RouteTable(start.routes.routes))
        if self._reporter is not None:
            counters = self._reporter.counters
            self._front.count_with(counters)
            self._gauges = reporting.Gauges(self._front, counters, worker=0, clock=clock)

    async def _statistics(self) -> Statistics:
        assert self._gauges is not None  # nobody asks before there are some
        return self._gauges.statistics()

    def _topic(self, channel: str, held: bool) -> None:  # noqa: FBT001
        self._control.topic(channel, held)

    async def open(self) -> None:
        """Open the inputs, and serve clients."""
        if self._reporter is not None:
            await self._reporter.open(self._start.metrics_socket)
        await self._control.open(self._start.control_socket)
        self._control.use_routes(self._start.routes.routes)
        for listener in self._start.clients:
            await self._front.listen(listener.of_worker(0), None)

    async def use_routes(self, routes: RoutesFile) -> None:
        """Take other routes from the next request on."""
        self._control.use_routes(routes.routes)
        self._front.use_routes(RouteTable(routes.routes))

    async def summary(self) -> str:
        """Return one line about what is held."""
        return runtime.listed(self._front.counts())

    def hang_up(self) -> None:
        """Nothing more is to be done in one process."""

    async def drain(self, seconds: float) -> None:
        """End what is held, spread over some seconds."""
        self._control.stop_accepting()
        await self._front.drain(seconds)

    async def close(self) -> None:
        """Cut what is left."""
        if self._reporter is not None:
            await self._reporter.close()
        if self._gauges is not None:
            self._gauges.close()
        self._control.close()
        self._front.close()

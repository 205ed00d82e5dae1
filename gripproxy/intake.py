"""The control role: inputs of publishers and operators, and the order of items.

Runs once in an instance: with the front role in one process, or in the parent of workers.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from gripproxy.config import Config
from gripproxy.control.httpapi import ControlApi
from gripproxy.control.zeromq import Endpoints, Inputs
from gripproxy.engine.lastids import LastIds
from gripproxy.engine.metrics import Metrics
from gripproxy.engine.sequencer import Sequencer
from gripproxy.flow.ports import Operations, Receipt
from gripproxy.flow.publishing import Publisher, Released
from gripproxy.front.http1 import Limits
from gripproxy.front.server import Server
from gripproxy.logs import Throttle
from gripproxy.protocol.credentials import Credentials
from gripproxy.protocol.items import PublishItem
from gripproxy.protocol.purges import Purge
from gripproxy.protocol.routes import Route, purges_channels, takes_all
from gripproxy.runtime import Alarm, Clock, Tasks, failed

log = logging.getLogger("gripproxy")

# Connections of the control port, and its timeouts in seconds (publishing.md 11.1).
CONTROL_CONNECTIONS = 128
CONTROL_HEADER_SECONDS = 10.0
CONTROL_BODY_SECONDS = 30.0


class Control:
    """The control role: inputs of publishers and operators, and the order of items."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        tasks: Tasks,
        out: Released,
        last_ids: LastIds,
        subscribed: Callable[[str], bool],
        operations: Operations,
        metrics: Metrics | None = None,
    ) -> None:
        handler = config.handler
        self._loop = asyncio.get_running_loop()
        self._throttle = Throttle()
        self._minute = Throttle(60.0)
        self._clock = clock
        self._operations = operations
        self._metrics = metrics
        self._alarm = Alarm(self._loop, self._ring)
        self.last_ids = last_ids
        self.sequencer: Sequencer[PublishItem] = Sequencer(
            handler.message_wait / 1000, handler.id_cache_ttl, self.last_ids, subscribed
        )
        self.publisher = Publisher(
            self.sequencer,
            out,
            clock=clock,
            arm=self._alarm.arm,
            unknown_format=self._unknown_format,
            purge=self._purge_for_items,
        )
        self.inputs = Inputs(
            endpoints(config), self, tasks=tasks, warn=self._warn, metrics=metrics
        )
        self._api = ControlApi(
            self,
            clock=clock,
            warn=self._warn,
            log=log.debug,
            credentials=credentials(config),
            body_max=handler.push_in_http_max_body_size,
            metrics=metrics,
        )
        self._takes_all = False
        self._server: Server | None = None
        if handler.push_in_http_port:
            self._server = Server(
                self._api.serve,
                clock=clock,
                tasks=tasks,
                limits=Limits(
                    head=handler.push_in_http_max_headers_size,
                    header_timeout=CONTROL_HEADER_SECONDS,
                    body_timeout=CONTROL_BODY_SECONDS,
                    loose=True,
                ),
                refused=self._api.refused,
                failed=failed,
                maxconn=CONTROL_CONNECTIONS,
            )

    async def open(self, sock: socket.socket | None) -> None:
        """Open the ZeroMQ inputs, and serve the control port on its bound socket."""
        self.inputs.open()
        if self._server is not None and sock is not None:
            await self._server.listen(sock)
            host, port = sock.getsockname()[:2]
            log.info("http control server: %s:%d", f"[{host}]" if ":" in host else host, port)

    def topic(self, channel: str, held: bool) -> None:  # noqa: FBT001
        """Take note that a channel has become held anywhere, or is no longer."""
        if held:
            self.inputs.subscribe(channel)
        else:
            self.sequencer.forget_channel(channel)
            self.inputs.unsubscribe(channel)

    def use_routes(self, routes: Sequence[Route]) -> None:
        """Do with items what these routes need, from the next one on.

        Publishers on the SUB socket are asked for all items, or only for those that are held; an
        item takes back what has its channel as a tag, or does not.
        """
        every, moving = takes_all(routes), purges_channels(routes)
        if every != self._takes_all:
            (self.inputs.subscribe if every else self.inputs.unsubscribe)("")
        if every > self._takes_all or moving > self.publisher.purges_channels:
            # What is still stored from a time before may have missed items.
            self._operations.take_back([Purge(everything=True)])
        self._takes_all, self.publisher.purges_channels = every, moving

    def stop_accepting(self) -> None:
        """Take no more connections to the control port."""
        if self._server is not None:
            self._server.stop_accepting()

    # As the intake of the inputs

    def take(self, items: Sequence[PublishItem]) -> None:
        """Take items in; nobody waits."""
        self.publisher.take(items)

    async def accept(self, items: Sequence[PublishItem]) -> int:
        """Take items in; return their receivers."""
        return await self.publisher.accept(items)

    async def purge(self, purge: Purge, *, counted: bool) -> Receipt:
        """Take stored responses back."""
        self._count_purge("control")
        if counted:
            return await self._operations.take_back_and_count(purge)
        return self._operations.take_back([purge])

    def _purge_for_items(self, purges: Sequence[Purge]) -> None:
        for _ in purges:
            self._count_purge("item")
        self._operations.take_back(purges)

    def _count_purge(self, cause: str) -> None:
        if self._metrics is not None:
            self._metrics.purged(cause)

    async def recover(self) -> None:
        """Forget all last ids and let all HTTP holds ask again."""
        self.sequencer.recover()
        await self._operations.recover()

    async def refresh(self, *, cid: str | None, channel: str | None) -> None:
        """Let WebSockets over HTTP ask their origin."""
        await self._operations.refresh(cid=cid, channel=channel)

    async def conncheck(self, ids: Sequence[str]) -> list[str]:
        """Return those of these connections that exist."""
        return await self._operations.conncheck(ids)

    def _ring(self, now: float) -> None:
        self.publisher.expire(now)

    def _warn(self, key: str, text: str) -> None:
        if self._throttle.allows(key, now=self._clock.now()):
            log.warning("%s", text)

    def _unknown_format(self, channel: str, name: str) -> None:
        if self._minute.allows(channel, now=self._clock.now()):
            log.warning("item on channel %s has the unknown format %r", channel, name)

    def close(self) -> None:
        """Close all inputs."""
        self.inputs.close()
        if self._server is not None:
            self._server.close()
        self._alarm.close()


def endpoints(config: Config) -> Endpoints:
    """Return the ZeroMQ endpoints that are configured."""
    handler = config.handler
    return Endpoints(
        pull=handler.push_in_spec,
        sub=handler.push_in_sub_specs + handler.push_in_sub_spec,
        sub_connect=handler.push_in_sub_connect,
        command=handler.command_spec,
        ipc_file_mode=handler.ipc_file_mode,
    )


def credentials(config: Config) -> Credentials | None:
    """Return what requests to the control port must show, None for nothing."""
    handler = config.handler
    if handler.control_key is None:
        return None
    return Credentials(handler.control_key, handler.control_iss)

"""Commands of operators and libraries, in a table (publishing.md 6).

On values alone: how a request is read and a reply written is in `protocol.packets`, where both
travel in `control.zeromq`.
"""

import asyncio
from collections.abc import Mapping

from gripproxy.engine.metrics import Metrics
from gripproxy.errors import CommandError, ItemError
from gripproxy.flow.ports import Intake
from gripproxy.protocol import dialects, items
from gripproxy.protocol.packets import CommandRequest
from gripproxy.protocol.tnetstring import Data

# How long the holders of connections may take to say which they know.
CONNCHECK_SECONDS = 10.0

Args = Mapping[str, Data]


class Commands:
    """Runs commands. `uris` are the endpoints that `get-zmq-uris` tells, by their names there."""

    def __init__(
        self, intake: Intake, uris: Mapping[str, str], *, metrics: Metrics | None = None
    ) -> None:
        self._intake = intake
        self._metrics = metrics
        self._uris = dict(uris)
        self._table = {
            "conncheck": self._conncheck,
            "get-zmq-uris": self._get_zmq_uris,
            "publish": self._publish,
            "recover": self._recover,
            "refresh": self._refresh,
        }

    async def run(self, request: CommandRequest) -> Data:
        """Run a command; return the value of its reply.

        Raises:
            CommandError: it cannot be done; has the condition to reply with.
        """
        command = self._table.get(request.method)
        if command is None:
            raise CommandError("method-not-found")
        return await command(request.args)

    async def _conncheck(self, args: Args) -> Data:
        ids = args.get("ids")
        if not isinstance(ids, list):
            raise CommandError("bad-request")
        asked = [_text(element) for element in ids]
        try:
            async with asyncio.timeout(CONNCHECK_SECONDS):
                return await self._intake.conncheck(asked)
        except TimeoutError:
            raise CommandError("proxy-request-failed") from None

    async def _get_zmq_uris(self, _args: Args) -> Data:
        return self._uris

    async def _publish(self, args: Args) -> Data:
        try:
            batch = items.read_list(args, dialects.TNETSTRING)
        except ItemError as error:
            if self._metrics is not None:
                self._metrics.refused("command", "item")
            raise CommandError("bad-request", f"Invalid format: {error.text}") from None
        if self._metrics is not None:
            self._metrics.published("command", len(batch))
        await self._intake.accept(batch)
        return None

    async def _recover(self, _args: Args) -> Data:
        await self._intake.recover()
        return None

    async def _refresh(self, args: Args) -> Data:
        if "cid" in args:
            await self._intake.refresh(cid=_text(args["cid"]), channel=None)
        elif "channel" in args:
            await self._intake.refresh(cid=None, channel=_text(args["channel"]))
        else:
            raise CommandError("bad-request")
        return None


def _text(value: Data) -> str:
    if not isinstance(value, bytes):
        raise CommandError("bad-request")
    return dialects.to_text(value)

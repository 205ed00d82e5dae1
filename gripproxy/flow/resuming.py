"""A stream that goes on where its client left off, from what is stored (cache-and-purge.md).

With the channel parameter `resume=sse` the position is what an EventSource sends when it comes
back: `Last-Event-ID`, or the parameter `last_event_id` of its URL. The stored hold gives the head,
the history what was missed; no origin is asked.
"""

from dataclasses import dataclass, replace
from urllib.parse import unquote

from gripproxy.engine.store import HoldFacts
from gripproxy.protocol.caching import urls
from gripproxy.protocol.caching.demands import Demand
from gripproxy.protocol.instruct import Instruct
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.terms import HoldMode

FIELD = b"last-event-id"
_PARAMETER = b"last_event_id"


@dataclass(slots=True, eq=False, kw_only=True)
class Resumed(Response):
    """A stored stream hold for a client that has had its body, and items up to a position."""

    position: str


def position(client: Request, demand: Demand) -> tuple[str, bytes] | None:
    """Return where a client left off, and what it asks for less that; None if it does not say."""
    if demand.event_id is not None:
        return demand.event_id.decode("utf-8", "replace"), client.target
    if _PARAMETER not in client.target:
        return None
    _, _, query = client.target.partition(b"?")
    for part in query.split(b"&"):
        name, mark, value = part.partition(b"=")
        if name == _PARAMETER and mark:
            text = unquote(value.replace(b"+", b" ").decode("latin-1"))
            return text, urls.without_parameter(client.target, _PARAMETER)
    return None


def of(hit: Response, position: str) -> Resumed:
    """Return a stored hold for one who goes on from a position."""
    return Resumed(
        status=hit.status,
        reason=hit.reason,
        headers=hit.headers,
        body=hit.body,
        length=hit.length,
        position=position,
    )


def can_resume(asked: Instruct, hold: HoldFacts) -> bool:
    """Tell whether an instruct lets clients resume: it is a stream of one channel that says so."""
    one = len(hold.channels) == 1 and len(asked.channels) == 1
    return asked.mode is HoldMode.STREAM and one and asked.channels[0].resumes


def resumed(asked: Instruct, position: str) -> Instruct:
    """Return an instruct for one who has had its body, and items up to a position."""
    asked.response.body = b""
    asked.response.length = None
    return replace(asked, channels=(replace(asked.channels[0], prev_id=position),))

"""A response for one client, made of what is stored: whole, a part, 304 or 416.

RFC 9111 4 and 4.3.2, RFC 9110 13.2.2 (conditions before ranges). HEAD gets what GET would get;
that it has no body is known to whoever frames it.
"""

from typing import Final

from gripproxy.protocol.caching import ranges, report, validation
from gripproxy.protocol.caching.demands import Demand
from gripproxy.protocol.caching.ranges import Partial
from gripproxy.protocol.caching.storing import Facts
from gripproxy.protocol.headers import Field, Headers
from gripproxy.protocol.messages import Response
from gripproxy.protocol.phrases import phrase


def hit(facts: Facts, stored: Response, body: bytes, demand: Demand, *, now: float) -> Response:
    """Return the answer from memory, with `Age` and `Cache-Status`."""
    return answer(facts, stored, body, demand, now=now, status=report.hit(facts.ttl(now)))


def answer(
    facts: Facts, stored: Response, body: bytes, demand: Demand, *, now: float, status: Field
) -> Response:
    """Return the answer that a stored response makes for a demand; `status` is `Cache-Status`.

    The fields of a hold are all there: it is an instruct still, and not what the client gets. So
    no condition and no range applies to it.
    """
    shown = facts.shown
    added = [report.age(facts.age(now)), status]
    if not facts.hold and (demand.own or facts.part is not None):
        return _particular(facts, body, demand, added)
    return _response(facts.status, stored.reason, shown, body, added)


# What would let a cache between us and the client, or a browser, answer the next poll by itself.
_STORABLE: Final = (b"cache-control", b"cdn-cache-control", b"expires", b"age")


def held(headers: Headers) -> Headers:
    """Return the fields of what a hold answers: nobody else may store that (*What is stored*)."""
    return headers.without(*_STORABLE).plus((b"Cache-Control", b"no-store"))


def _particular(facts: Facts, body: bytes, demand: Demand, added: list[Field]) -> Response:
    """Answer a request with a condition or a range."""
    shown = facts.shown
    # RFC 9110 13.2.1: only where the answer would be a success.
    if 200 <= facts.status < 300 and validation.not_modified(demand, facts.headers):
        return _response(304, phrase(304), validation.without_body(shown), b"", added)
    made = Partial(facts.status, shown)
    if facts.part is not None:
        assert demand.range is not None  # what is no range of it is not answered with a part
        made = ranges.cut(demand.range, facts.part, shown, body)
    elif _wants_range(facts, demand):
        assert demand.range is not None
        made = ranges.apply(demand.range, shown, body)
    content = body if made.body is None else made.body
    return _response(made.status, phrase(made.status), made.headers, content, added)


def _wants_range(facts: Facts, demand: Demand) -> bool:
    if demand.range is None or facts.status != 200:
        return False
    return demand.if_range is None or validation.is_same(demand.if_range, facts.headers)


def _response(
    status: int, reason: bytes, headers: Headers, body: bytes, added: list[Field]
) -> Response:
    return Response(
        status=status,
        reason=reason,
        headers=Headers.of(headers.fields + added, headers.marks),
        body=body,
        length=len(body),
    )

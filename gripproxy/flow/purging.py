"""The story of a client's `PURGE` (cache-and-purge.md, *Purge*).

1. It comes from an address that may purge (`[cache] purge_from`); else it is a request like any
   other, and its route's origin gets it.
2. What is stored for its own URL is taken back in all processes, whatever route it came by.
3. It is answered as the hosted service answers it.
"""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from gripproxy.protocol import answers, credentials, jsontext, purges
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.phrases import phrase
from gripproxy.protocol.purges import Purge

Network = IPv4Network | IPv6Network


class Purging:
    """Answers `PURGE`. `purge` returns when no process serves what was taken back."""

    def __init__(
        self,
        networks: Sequence[Network],
        purge: Callable[[Purge], Awaitable[None]],
        make_id: Callable[[], str],
    ) -> None:
        self._networks = networks
        self._purge = purge
        self._make_id = make_id

    async def answer(self, request: Request) -> Response | None:
        """Carry out a purge and return its answer; None if this client may not purge."""
        if not self._may(request.peer):
            return None
        if credentials.is_cross_origin(request.headers):  # a page, at the browser of one who may
            return answers.text(403, credentials.CROSS_ORIGIN)
        spelled = purges.of_url(request.authority + request.target, request.headers)
        await self._purge(spelled.purge)
        body = jsontext.encode(spelled.answer(self._make_id()), sort_keys=True) + b"\n"
        return Response(
            status=200,
            reason=phrase(200),
            headers=Headers([(b"Content-Type", b"application/json")]),
            body=body,
            length=len(body),
        )

    def _may(self, peer: str) -> bool:
        """Tell whether an address may purge; a client without one, on a Unix socket, may not."""
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

"""The way to origins, put together of its parts."""

from gripproxy.config import Config
from gripproxy.flow.ports import Interim, OriginSocket
from gripproxy.flow.request import Settings as RequestSettings
from gripproxy.origin.builtin import Builtin
from gripproxy.origin.pool import Pool
from gripproxy.protocol.forwarding import AddressRule
from gripproxy.protocol.forwarding import Settings as ForwardingSettings
from gripproxy.protocol.messages import Request, Response
from gripproxy.protocol.routes import Target
from gripproxy.protocol.signing import Signer, Verifier


class Origins:
    """Sends each request to where its target is: satisfies `flow.ports.Origin`."""

    def __init__(self, pool: Pool, builtin: Builtin) -> None:
        self._pool = pool
        self._builtin = builtin

    async def send(
        self, request: Request, target: Target, interim: Interim | None = None
    ) -> Response:
        """Send a request to a target; see `flow.ports.Origin`."""
        if target.kind == "test":
            return await self._builtin.send(request, target, interim)
        return await self._pool.send(request, target, interim)

    async def connect(self, request: Request, target: Target) -> OriginSocket | Response:
        """Open a WebSocket to a target; see `flow.ports.Origin`."""
        if target.kind == "test":
            return await self._builtin.connect(request, target)
        return await self._pool.connect(request, target)


def request_settings(config: Config) -> RequestSettings:
    """Return what the options say of the way of a request."""
    proxy = config.proxy
    return RequestSettings(
        debug=proxy.debug,
        accept_route=proxy.accept_pushpin_route,
        accept_proto=proxy.accept_x_forwarded_protocol,
        cross_origin=proxy.auto_cross_origin,
        upstream=Verifier(proxy.upstream_key) if proxy.upstream_key else None,
    )


def forwarding_settings(config: Config) -> ForwardingSettings:
    """Return what the options say of requests to origins."""
    proxy = config.proxy
    signer = None
    if proxy.sig_iss and proxy.sig_key is not None:
        signer = Signer(proxy.sig_iss, proxy.sig_key)
    return ForwardingSettings(
        sig_iss=proxy.sig_iss,
        signer=signer,
        via=proxy.via.encode(),
        cdn_loop=proxy.cdn_loop.encode(),
        x_forwarded_for=AddressRule.read(proxy.x_forwarded_for),
        x_forwarded_for_trusted=AddressRule.read(proxy.x_forwarded_for_trusted),
        set_proto=proxy.set_x_forwarded_protocol in ("true", "proto-only"),
        set_protocol=proxy.set_x_forwarded_protocol == "true",
        accept_proto=proxy.accept_x_forwarded_protocol,
        need_mark=frozenset(name.lower().encode() for name in proxy.orig_headers_need_mark),
        accept_route=proxy.accept_pushpin_route,
    )

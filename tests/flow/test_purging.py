"""The story of a client's `PURGE`: who may, what is taken back, and the answer."""

from ipaddress import ip_network

import pytest

from gripproxy.flow.purging import Purging
from gripproxy.protocol.messages import Request
from gripproxy.protocol.purges import Purge
from tests.fakes import fields


class Stage:
    """Somebody who answers `PURGE`, and what he took back."""

    def __init__(self, *networks: str) -> None:
        self.purged: list[Purge] = []
        self.purging = Purging([ip_network(one) for one in networks], self._purge, lambda: "7")

    async def _purge(self, purge: Purge) -> None:
        self.purged.append(purge)

    async def ask(self, *lines: str, peer: str = "127.0.0.1", target: bytes = b"/a?b"):
        request = Request(
            method=b"PURGE",
            target=target,
            authority=b"Example.com:8080",
            headers=fields(*lines),
            peer=peer,
        )
        return await self.purging.answer(request)


@pytest.fixture
def stage() -> Stage:
    return Stage("127.0.0.0/8", "fd00::/8")


async def test_what_is_stored_for_its_own_url_is_taken_back(stage):
    answer = await stage.ask()
    assert stage.purged == [Purge(urls=("Example.com:8080/a?b",))]
    assert (answer.status, answer.body) == (200, b'{"id":"7","status":"ok"}\n')
    assert answer.headers.get(b"content-type") == b"application/json"
    assert answer.length == len(answer.body)


async def test_it_can_be_soft(stage):
    await stage.ask("Fastly-Soft-Purge: 1")
    assert stage.purged == [Purge(urls=("Example.com:8080/a?b",), soft=True)]


@pytest.mark.parametrize("peer", ["127.1.2.3", "::ffff:127.0.0.1", "fd00::1"])
async def test_an_address_in_any_of_the_networks_may_purge(stage, peer):
    assert (await stage.ask(peer=peer)).status == 200


@pytest.mark.parametrize("peer", ["10.0.0.1", "::1", "::ffff:10.0.0.1", ""])
async def test_what_others_send_is_a_request_like_any_other(stage, peer):
    assert await stage.ask(peer=peer) is None
    assert stage.purged == []


async def test_a_page_of_another_site_takes_nothing_back(stage):
    answer = await stage.ask("Host: Example.com:8080", "Origin: http://evil.test")
    assert answer.status == 403
    assert stage.purged == []

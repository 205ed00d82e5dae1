"""Fastly's own client library, unchanged but for the address and the key, publishes and purges."""

from collections.abc import Iterator

import fastly
import pytest
from fastly.api.publish_api import PublishApi
from fastly.api.purge_api import PurgeApi
from fastly.exceptions import UnauthorizedException
from fastly.model.http_stream_format import HttpStreamFormat
from fastly.model.publish_item import PublishItem
from fastly.model.publish_item_formats import PublishItemFormats
from fastly.model.publish_request import PublishRequest
from fastly.model.purge_response import PurgeResponse

from tests.wire.client import Client, Response, ask, request
from tests.wire.origin import Origin, Stage, text
from tests.wire.running import Gripproxy, Running

pytestmark = pytest.mark.slow

KEY = "a key that the proxy was told"
SERVICE = "SU1Z0isxPaozGVKXdv0eY"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as one:
        yield one


@pytest.fixture(scope="module")
def system(origin: Origin) -> Iterator[Running]:
    settings = {"handler.control_key": KEY, "handler.push_in_sub_specs": ""}
    with Gripproxy([f"*,cache 127.0.0.1:{origin.port}"], settings=settings) as running:
        yield running


@pytest.fixture
def stage(origin: Origin, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with origin.stage(request.node.name.replace("_", "-")) as one:
        yield one


def client(key: str = KEY) -> fastly.ApiClient:
    configuration = fastly.Configuration()
    configuration.api_key["token"] = key
    return fastly.ApiClient(configuration)


def addressed(api, system):
    """Change the address, which each call of the library has for itself."""
    for part in vars(api).values():
        for server in getattr(part, "settings", {}).get("servers", ()):
            server["url"] = f"http://127.0.0.1:{system.http_port}"
    return api


@pytest.fixture
def purges(system: Running) -> Iterator[PurgeApi]:
    with client() as one:
        yield addressed(PurgeApi(one), system)


@pytest.fixture
def stored(system: Running, stage: Stage) -> Stage:
    """A stage whose first version is stored with two keys, and whose later ones follow."""
    fields = ("Surrogate-Control: max-age=600, stale-while-revalidate=60", "Surrogate-Key: a b")
    stage.answer(*[text(*fields, body=f"version {number}") for number in (1, 2, 3)])
    assert read(system, stage).body == b"version 1"
    assert read(system, stage).body == b"version 1"
    return stage


def read(system: Running, stage: Stage) -> Response:
    return ask(system.port, request("GET", "/r", stage.host))


def test_a_key_is_purged(system, stored, purges):
    answer = purges.purge_tag(SERVICE, "a")
    assert isinstance(answer, PurgeResponse)
    assert answer.status == "ok"
    assert answer.id
    assert read(system, stored).body == b"version 2"


def test_a_key_is_purged_softly(system, stored, purges):
    purges.purge_tag(SERVICE, "a", fastly_soft_purge=1)
    assert read(system, stored).body == b"version 1"
    stored.request()
    stored.request()
    assert stored.quiet()


def test_another_key_changes_nothing(system, stored, purges):
    purges.purge_tag(SERVICE, "c")
    assert read(system, stored).body == b"version 1"


def test_many_keys_are_purged(system, stored, purges):
    answer = purges.bulk_purge_tag(SERVICE, surrogate_key="c b")
    assert set(answer.to_dict()) == {"b", "c"}
    assert read(system, stored).body == b"version 2"


def test_a_url_is_purged(system, stored, purges):
    assert purges.purge_single_url(cached_url=f"{stored.host}/r").status == "ok"
    assert read(system, stored).body == b"version 2"


def test_everything_is_purged(system, stored, purges):
    assert purges.purge_all(SERVICE)["status"] == "ok"
    assert read(system, stored).body == b"version 2"


def test_without_the_key_nothing_is_purged(system, stored):
    with client("another key") as one, pytest.raises(UnauthorizedException) as told:
        addressed(PurgeApi(one), system).purge_all(SERVICE)
    assert "token is not valid" in told.value.body
    assert read(system, stored).body == b"version 1"


def test_an_item_is_published(system, stage):
    stage.answer(text("Grip-Hold: stream", f"Grip-Channel: {stage.name}", body="open\n"))
    with Client(system.port) as reader, client() as one:
        reader.send(request("GET", "/", stage.host))
        assert reader.head().status == 200
        assert reader.piece() == b"open\n"
        content = PublishItemFormats(http_stream=HttpStreamFormat(content="hello\n"))
        items = PublishRequest([PublishItem(channel=stage.name, formats=content)])
        addressed(PublishApi(one), system).publish(SERVICE, publish_request=items)
        assert reader.piece() == b"hello\n"

"""Requests of our own, and the way that they take."""

import pytest

from gripproxy.flow.linking import Linker, direct, unrewritten
from gripproxy.protocol.forwarding import Forwarder, Settings
from gripproxy.protocol.routes import Route, RouteTable, Target
from tests.fakes import FakeClock, fields_of

CLIENT = b"http://shop/api/x?y=1"


def a_route(**how):
    how.setdefault("targets", (Target(kind="tcp", host="o", port=1),))
    how.setdefault("domain", "*")
    how.setdefault("id", "r")
    return Route(**how)


class Play:
    def __init__(self, route=None, *, table=None):
        self.route = route or a_route()
        self.table = RouteTable(table if table is not None else (self.route,))
        self.linker = Linker(Forwarder(Settings()), clock=FakeClock(), routes=lambda: self.table)

    def get(self, url, *, client=CLIENT, **how):
        return self.linker.request(b"GET", url, route=self.route, client=client, **how)

    def way(self, url, **how):
        """Return where a link leads: the targets' names, the host and the path."""
        request, route = self.get(url, **how)
        names = [str(target) for target in route.targets]
        return names, request.authority.decode(), request.target.decode()


def test_a_request_has_what_it_is_given_and_what_the_route_adds():
    request, _ = Play().get(b"http://shop/next?a=1", fields=((b"Grip-Last", b"c; last-id=1"),))
    found = dict(fields_of(request))
    assert (request.method, request.target) == (b"GET", b"/next?a=1")
    assert found["Grip-Last"] == "c; last-id=1"
    assert "Grip-Feature" in found


def test_a_body_has_its_length():
    request, _ = Play().get(b"http://shop/", body=b"hello")
    assert (request.body, request.length) == (b"hello", 5)


# To the client's host


@pytest.mark.parametrize("authority", [b"shop", b"SHOP", b"shop:80"])
def test_a_link_to_the_clients_host_takes_its_route(authority):
    play = Play()
    _, route = play.get(b"http://%b/next" % authority)
    assert route is play.route


def test_the_route_rewrites_as_it_does_for_clients():
    play = Play(a_route(path_beg=b"/api", path_rem=4, as_host=b"inner"))
    assert play.way(b"http://shop/api/next") == (["o:1"], "inner", "/next")


def test_a_link_to_the_rewritten_host_goes_to_the_same_targets():
    play = Play(a_route(path_beg=b"/api", path_rem=4, as_host=b"inner"))
    assert play.way(b"http://inner/next") == (["o:1"], "inner", "/next")


def test_a_path_that_does_not_fit_is_not_rewritten():
    play = Play(a_route(path_beg=b"/api", replace_beg=b"/v1"))
    assert play.way(b"http://shop/other") == (["o:1"], "shop", "/other")


def test_a_websocket_counts_as_http():
    assert Play().way(b"http://shop/next", client=b"ws://shop/s")[0] == ["o:1"]
    assert Play().way(b"https://shop/next", client=b"wss://shop/s")[0] == ["o:1"]


def test_a_route_that_was_loaded_anew_is_taken():
    new = a_route(targets=(Target(kind="tcp", host="new", port=1),))
    assert Play(table=(new,)).way(b"http://shop/next")[0] == ["new:1"]


# To another host


@pytest.mark.parametrize(
    ("url", "place", "host"),
    [
        (b"http://other/next", "other:80", "other"),
        (b"https://other/next", "other:443", "other"),
        (b"http://other:8080/next", "other:8080", "other:8080"),
        (b"http://shop:81/next", "shop:81", "shop:81"),
        (b"https://shop/next", "shop:443", "shop"),
        (b"http://[::1]:5/next", "[::1]:5", "[::1]:5"),
    ],
)
def test_another_place_is_asked_itself(url, place, host):
    assert Play().way(url) == ([place], host, "/next")


def test_tls_is_spoken_where_the_link_says_so():
    assert Play().get(b"https://other/")[1].targets[0].ssl
    assert not Play().get(b"http://other/")[1].targets[0].ssl


def test_what_the_route_gives_its_targets_is_not_for_others():
    play = Play(a_route(headers=((b"X-Secret", b"s"),), as_host=b"inner", path_rem=2))
    request, _ = play.get(b"http://other/next")
    assert "X-Secret" not in dict(fields_of(request))
    assert (request.authority, request.target) == (b"other", b"/next")
    assert "X-Secret" in dict(fields_of(play.get(b"http://shop/next")[0]))


@pytest.mark.parametrize("untrusted", [False, True])
def test_it_is_trusted_as_the_routes_targets_are(untrusted):
    target = Target(kind="tcp", host="o", port=1, untrusted=untrusted)
    _, route = Play(a_route(targets=(target,))).get(b"http://other/")
    assert route.targets[0].untrusted is untrusted


def test_a_client_whose_host_makes_no_sense_has_no_place_of_its_own():
    assert Play().way(b"http://shop/next", client=b"http://a b/")[0] == ["shop:80"]


def test_routes_for_links_are_made_once():
    route = a_route()
    assert direct(route, b"http", b"other") is direct(route, b"http", b"other")
    assert unrewritten(route) is unrewritten(route)


# Once more


def test_the_route_of_a_retry_has_the_same_id():
    new = a_route()
    assert Play(table=(new,)).linker.again(a_route(), b"/") is new


def test_a_route_that_is_gone_is_none():
    assert Play(table=()).linker.again(a_route(), b"/") is None


def test_one_for_other_paths_is_none():
    play = Play(a_route(path_beg=b"/api"))
    assert play.linker.again(play.route, b"/other") is None


def test_of_several_with_one_id_a_request_keeps_its_own():
    play = Play(table=(a_route(domain="a"), a_route(domain="b")))
    assert play.linker.again(play.route, b"/") is play.route

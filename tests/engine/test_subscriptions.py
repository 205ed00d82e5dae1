"""Positions and filters of a holder."""

import pytest

from gripproxy.engine.delivery import Delivery
from gripproxy.engine.subscriptions import Subscription, go_on, pass_filters
from gripproxy.errors import FilterError
from gripproxy.protocol.filters import Drop
from gripproxy.protocol.items import PublishItem
from tests.holdfakes import a_route


def item(item_id="2", prev_id="1", **meta):
    return Delivery(PublishItem("p-c", id=item_id, prev_id=prev_id, meta=meta))


class Holder:
    """A holder of one channel with these filters, at this position."""

    url = b"http://h/"

    def __init__(self, *names, prev_id=None, meta=None):
        self.subscription = Subscription("c", "p-c", prev_id, names)
        self.subscriptions = {"p-c": self.subscription}
        self.meta = meta or {}
        self.route = a_route()

    def passes(self, content, *, condition=None, delivery=None, debug=False):
        delivery = delivery or item()
        return pass_filters(self, self.subscription, delivery, content, condition, debug=debug)


# Positions


def test_without_a_position_every_item_fits():
    assert Subscription("c", "c").fits(item(prev_id=None))


@pytest.mark.parametrize(("prev_id", "fits"), [("1", True), ("0", False), (None, False)])
def test_with_a_position_an_item_must_follow_it(prev_id, fits):
    assert Subscription("c", "c", "1").fits(item(prev_id=prev_id)) is fits


def test_the_position_advances_to_the_item():
    subscription = Subscription("c", "c", "1")
    subscription.advance(item("2"))
    assert subscription.prev_id == "2"
    assert not subscription.plain


def test_an_item_without_id_ends_the_positions():
    subscription = Subscription("c", "c", "1")
    subscription.advance(item(None))
    assert subscription.prev_id is None
    assert subscription.plain


def test_with_filters_it_is_still_not_plain():
    subscription = Subscription("c", "c", "1", ("skip-self",))
    subscription.advance(item(None))
    assert not subscription.plain


def test_without_a_position_none_begins():
    subscription = Subscription("c", "c")
    subscription.advance(item("2"))
    assert subscription.prev_id is None


def test_an_empty_position_is_one():
    assert Subscription("c", "c", "").fits(item(prev_id=""))


def test_it_shows_its_position():
    assert repr(Subscription("c", "p-c", "1")) == "<Subscription 'p-c' at '1'>"


# Filters


def test_without_filters_a_content_passes_as_it_is():
    content = b"x"
    assert Holder().passes(content).content is content


def test_a_condition_is_not_met_without_filters():
    passage = Holder().passes(b"x", condition=("build-id",))
    assert passage.content is None
    assert passage.error == "content filter mismatch: subscription= message=build-id"


def test_an_empty_condition_is_met_without_filters():
    assert Holder().passes(b"x", condition=()).content == b"x"


def test_a_condition_names_those_that_change_contents():
    holder = Holder("skip-self", "var-subst")
    assert holder.passes(b"x", condition=("var-subst",)).content == b"x"
    passage = holder.passes(b"x", condition=())
    assert passage.error == "content filter mismatch: subscription=var-subst message="


def test_filters_see_the_meta_of_both():
    holder = Holder("skip-self", meta={"user": "alice"})
    assert holder.passes(b"x", delivery=item(sender="alice")).content is None
    assert holder.passes(b"x", delivery=item(sender="bob")).content == b"x"


def test_the_position_that_filters_see_is_the_one_after_the_item():
    holder = Holder("build-id", prev_id="1", meta={"id_format": "%(c)s"})
    assert holder.passes(b"id: %I").content == b"id: 2"


def test_channels_without_a_position_are_no_variables():
    holder = Holder("build-id", meta={"id_format": "%(c)s"})
    assert holder.passes(b"%I").error == (
        "filter error: build-id: failed to render ID: No such variable 'c' at position 4"
    )


def test_names_are_those_without_the_prefix():
    holder = Holder("require-sub")
    assert holder.passes(b"x", delivery=item(require_sub="c")).content == b"x"
    assert holder.passes(b"x", delivery=item(require_sub="p-c")).content is None


def test_an_error_names_its_filter():
    passage = Holder("var-subst").passes(b"%(no)s")
    assert passage.error == "filter error: var-subst: No such variable 'no' at position 5"


# What only looks like a directive


@pytest.fixture
def numbered():
    return Holder("skip-self", "build-id", prev_id="1", meta={"id_format": "%(c)s"})


def test_what_is_left_is_told_once_an_item(numbered):
    delivery = item()
    passage = numbered.passes(b"100% %I", delivery=delivery)
    assert passage.content == b"100% 2"
    assert passage.odd == "build-id: Unknown directive ' ' at position 4"
    assert numbered.passes(b"100% %I", delivery=delivery).odd == ""


def test_nothing_is_told_of_what_is_understood(numbered):
    assert numbered.passes(b"100%% %I").odd == ""
    assert numbered.passes(b"plain").odd == ""
    assert numbered.passes(None).odd == ""


def test_debug_makes_it_an_error(numbered):
    passage = numbered.passes(b"100% %I", debug=True)
    assert passage.error == "filter error: build-id: Unknown directive ' ' at position 4"
    assert passage.odd == ""


def test_a_filter_before_it_may_have_had_the_directive():
    holder = Holder("var-subst", "build-id", meta={"id_format": "i", "user": "alice"})
    assert holder.passes(b"%(user)s").odd == ""


# The network


def test_a_chain_halts_at_a_filter_of_the_network():
    passage = Holder("http-modify", prev_id="1").passes(b"x")
    assert passage.content is None
    assert passage.halted.ask.content == b"x"
    assert passage.halted.before == {"c": "1"}


def test_it_goes_on_with_the_answer():
    holder = Holder("http-modify", "var-subst", meta={"user": "alice"})
    halted = holder.passes(b"x").halted
    assert go_on(halted, b"for %(user)s").content == b"for alice"


def test_it_may_halt_again():
    halted = Holder("http-check", "http-modify", prev_id="1").passes(b"x").halted
    again = go_on(halted, b"y").halted
    assert again.ask.filter == "http-modify"
    assert again.before == {"c": "1"}


def test_the_network_may_drop_an_item():
    halted = Holder("http-check").passes(b"x").halted
    passage = go_on(halted, Drop.ITEM)
    assert passage.content is None
    assert passage.error == ""


def test_the_network_may_fail():
    halted = Holder("http-check").passes(b"x").halted
    passage = go_on(halted, FilterError("network request failed: disconnected"))
    assert passage.error == "filter error: network request failed: disconnected"

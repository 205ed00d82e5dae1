"""Filters and chains of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import FilterError
from gripproxy.protocol import filters
from gripproxy.protocol.filters import Ask, Body, Chain, Context, Drop


def context(sub=None, pub=None, positions=None, subscriptions=(), debug=False):
    return Context(
        sub_meta=sub or {},
        pub_meta=pub or {},
        positions=positions,
        subscriptions=subscriptions,
        debug=debug,
    )


def apply(*names, content=b"x", **about):
    return Chain(names).apply(content, context(**about))


def error_of(work, *arguments, **named):
    with pytest.raises(FilterError) as caught:
        work(*arguments, **named)
    return caught.value.text


# Filters of delivery


@pytest.mark.parametrize(
    ("sub", "pub", "result"),
    [
        ({"user": "a"}, {"sender": "a"}, Drop.ITEM),
        ({"user": "a"}, {"sender": "A"}, b"x"),
        ({"user": ""}, {"sender": ""}, b"x"),
        ({}, {"sender": "a"}, b"x"),
        ({"user": "a"}, {}, b"x"),
    ],
)
def test_skip_self_drops_what_the_user_sent(sub, pub, result):
    assert apply("skip-self", sub=sub, pub=pub) == result


@pytest.mark.parametrize(
    ("sub", "pub", "result"),
    [
        ({"user": "b"}, {"skip_users": "a, b ,c"}, Drop.ITEM),
        ({"user": "B"}, {"skip_users": "a,b"}, b"x"),
        ({"user": ""}, {"skip_users": "a,,b"}, b"x"),
        ({}, {"skip_users": "a"}, b"x"),
        ({"user": "a"}, {}, b"x"),
    ],
)
def test_skip_users_drops_for_the_users_named(sub, pub, result):
    assert apply("skip-users", sub=sub, pub=pub) == result


@pytest.mark.parametrize(
    ("pub", "result"),
    [
        ({"require_sub": "c"}, b"x"),
        ({"require_sub": "d"}, Drop.ITEM),
        ({"require_sub": ""}, b"x"),
        ({}, b"x"),
    ],
)
def test_require_sub_drops_for_those_who_are_not_subscribed(pub, result):
    assert apply("require-sub", pub=pub, subscriptions={"c"}) == result


# var-subst


def test_var_subst_replaces_names_by_sub_meta():
    text = apply("var-subst", content=b"%(a)s-%(b)s%%", sub={"a": "é", "b": ""})
    assert text == "é-%".encode()


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"%(nope)s", "var-subst: No such variable 'nope' at position 7"),
        (b"%d", "var-subst: Unknown directive 'd' at position 1"),
        (b"%s", "var-subst: Directive 's' requires argument at position 1"),
        (b"50%", "var-subst: Expected directive after '%' at position 2"),
    ],
)
def test_var_subst_is_strict_with_or_without_debug(content, text, debug):
    assert error_of(apply, "var-subst", content=content, debug=debug) == text


# build-id

NEWS = {"sub": {"id_format": "%(news)s"}, "positions": {"news": "n1"}}


@pytest.mark.parametrize(
    ("id_format", "positions", "text"),
    [
        ("%(news)s", {"news": "n1"}, b"id: n1"),
        ("%(a)s:%(b)s", {"a": "1", "b": "", "c": None}, b"id: 1:"),
        ("fixed%%", {}, b"id: fixed%"),
    ],
)
def test_build_id_renders_the_positions(id_format, positions, text):
    made = apply("build-id", content=b"id: %I", sub={"id_format": id_format}, positions=positions)
    assert made == text


def test_build_id_takes_another_text_for_the_id():
    assert apply("build-id", content=b"id: %(a\\)b)I %%", **NEWS) == b"id: a)b %"


def test_build_id_writes_ids_in_hexadecimal():
    sub = {"id_format": "%(c)s", "id_encoding": "hex"}
    made = apply("build-id", content=b"%I %(Jk)I", sub=sub, positions={"c": "\u00e9"})
    assert made == b"c3a9 4a6b"


def test_build_id_leaves_other_directives_as_they_are():
    assert apply("build-id", content=b"100% %d %(x)s %(y", **NEWS) == b"100% %d %(x)s %(y"


def test_build_id_takes_other_directives_for_errors_under_debug():
    text = error_of(apply, "build-id", content=b"%d", debug=True, **NEWS)
    assert text == "build-id: Unknown directive 'd' at position 1"


@pytest.mark.parametrize(
    ("sub", "positions", "text"),
    [
        ({}, {}, "build-id: no sub meta 'id_format'"),
        (
            {"id_format": "%(c)s"},
            {"c": None},
            "build-id: failed to render ID: No such variable 'c' at position 4",
        ),
        (
            {"id_format": "%(c)s"},
            {},
            "build-id: failed to render ID: No such variable 'c' at position 4",
        ),
        (
            {"id_format": "%I"},
            {},
            "build-id: failed to render ID: Unknown directive 'I' at position 1",
        ),
        ({"id_format": "x", "id_encoding": "HEX"}, {}, "build-id: unsupported encoding: HEX"),
    ],
)
def test_build_id_needs_an_id_even_for_content_without_one(sub, positions, text):
    assert error_of(apply, "build-id", sub=sub, positions=positions) == text


def test_holders_at_one_position_share_the_bytes():
    first = apply("build-id", content=b"shared %I", **NEWS)
    assert apply("build-id", content=b"shared %I", **NEWS) is first


def test_long_contents_are_not_kept():
    content = b"%I" + b"x" * 65_536
    first = apply("build-id", content=content, **NEWS)
    assert apply("build-id", content=content, **NEWS) is not first


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"%I %% %(x)I", ""),
        (b"50% off", "build-id: Unknown directive ' ' at position 3"),
    ],
)
def test_what_build_id_left_can_be_told(content, text):
    assert filters.odd_directive(content) == text


# Chains


def test_a_chain_without_filters_returns_the_content():
    content = b"x"
    assert Chain([]).apply(content, context()) is content


def test_names_that_nobody_knows_are_left_out():
    assert repr(Chain(["x", "skip-self", "Build-Id"])) == "Chain(['skip-self'])"


def test_each_filter_gets_what_the_one_before_left():
    sub = {"id_format": "%%(user)s", "user": "u"}
    made = apply("build-id", "var-subst", content=b"%I %%(user)s", sub=sub, positions={})
    assert made == b"u u"


def test_a_drop_ends_the_chain():
    made = apply("require-sub", "var-subst", content=b"%", pub={"require_sub": "c"})
    assert made is Drop.ITEM


def test_a_chain_halts_at_a_filter_of_the_network():
    halted = apply("var-subst", "http-modify", "skip-self", content=b"%%")
    assert halted == Ask("http-modify", b"%", 2)


def test_a_chain_goes_on_after_the_answer():
    chain = Chain(["http-check", "var-subst"])
    assert chain.apply(b"%%", context(), start=1) == b"%"


@pytest.mark.parametrize(
    ("names", "asks"),
    [(("skip-self",), False), (("http-check",), True), (("build-id", "http-modify"), True)],
)
def test_a_chain_knows_whether_it_asks_the_network(names, asks):
    assert Chain(names).asks is asks


def test_equal_names_make_one_chain():
    assert filters.chain(("skip-self",)) is filters.chain(("skip-self",))


def test_filters_of_content_are_known_in_order():
    others = ("skip-self", "skip-users", "require-sub", "http-check", "x")
    names = ("http-modify", *others, "var-subst", "build-id")
    assert Chain(names).content_filters == ("http-modify", "var-subst", "build-id")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), None),
        (("build-id",), None),
        (("skip-self",), []),
        (("skip-self", "build-id", "var-subst"), ["build-id", "var-subst"]),
    ],
)
def test_an_item_fits_the_filters_of_content(names, message):
    assert Chain(names).mismatch(message) == ""


@pytest.mark.parametrize(
    ("names", "message", "text"),
    [
        ((), ["build-id"], "subscription= message=build-id"),
        (("build-id", "var-subst"), ["c"], "subscription=build-id,var-subst message=c"),
        (
            ("build-id", "var-subst"),
            ["var-subst", "build-id"],
            "subscription=build-id,var-subst message=var-subst,build-id",
        ),
        (("build-id",), [], "subscription=build-id message="),
    ],
)
def test_an_item_does_not_fit_the_filters_of_content(names, message, text):
    assert Chain(names).mismatch(message) == f"content filter mismatch: {text}"


def test_too_many_filters_have_a_text():
    assert filters.too_many("c") == "too many filters for channel 'c'"


# Bodies of origins

PLAIN = {"id_format": "%(c)s"}


def body(*names, sub=PLAIN, debug=False):
    return Body(names, context(sub=sub, debug=debug))


def test_only_build_id_acts_on_bodies():
    content = b"%(nope)s %(1)I"
    assert body("var-subst", "x", "skip-self").apply(content, last=True) is content


def test_a_body_is_passed_through_each_filter_once():
    assert body("build-id", "skip-self", "build-id").apply(b"%%%(1)I", last=True) == b"%1"


def test_a_body_may_come_in_pieces():
    bodies = body("build-id")
    pieces = [bodies.apply(piece, last=False) for piece in (b"a%", b"(1", b")I%")]
    assert [*pieces, bodies.apply(b"", last=True)] == [b"a", b"", b"1", b"%"]


def test_a_body_has_no_id_of_its_own():
    text = error_of(body("build-id").apply, b"a%I", last=True)
    assert text == "build-id: No ID specified and no default ID in context at position 2"


def test_the_meta_of_a_body_must_do():
    assert error_of(body, "build-id", sub={}) == "build-id: no sub meta 'id_format'"


def test_a_body_is_read_strictly_under_debug():
    text = error_of(body("build-id", debug=True).apply, b"%", last=True)
    assert text == "build-id: Expected directive after '%' at position 0"


# Anything

TEXTS = st.text(max_size=10) | st.sampled_from(["%I", "%(c)s", "hex", "c", "a,c", "%"])
METAS = st.dictionaries(
    st.sampled_from(
        ["user", "sender", "skip_users", "require_sub", "id_format", "id_encoding", "c"]
    ),
    TEXTS,
)
NAMES = st.lists(st.sampled_from([*filters.FILTERS, "x"]), max_size=5)


@given(
    NAMES,
    st.binary(max_size=30) | TEXTS.map(str.encode),
    METAS,
    METAS,
    st.dictionaries(st.just("c"), TEXTS | st.none()) | st.none(),
    st.booleans(),
)
def test_any_content_passes_or_is_dropped_or_is_an_error(
    names, content, sub, pub, positions, debug
):
    about = {"sub": sub, "pub": pub, "positions": positions, "debug": debug}
    try:
        made = apply(*names, content=content, **about)
    except FilterError as error:
        made = error
    if isinstance(made, FilterError):
        assert made.text.partition(":")[0] in names
    else:
        assert isinstance(made, bytes | Drop | Ask)

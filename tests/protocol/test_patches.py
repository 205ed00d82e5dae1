"""JSON patches."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import PatchError
from gripproxy.protocol import patches


def apply(document, *operations):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return json.loads(patches.apply(body, operations))


def error_of(document, *operations):
    with pytest.raises(PatchError) as caught:
        apply(document, *operations)
    return caught.value.text


def op(name, path, **members):
    return {"op": name, "path": path} | members


# The text


def test_the_result_is_compact_and_sorted_and_keeps_its_line_end():
    body = '{"b":1,"a":[1,2.5,"é"]}\r\n'.encode()
    made = patches.apply(body, [op("replace", "/b", value=2)])
    assert made == '{"a":[1,2.5,"é"],"b":2}\r\n'.encode()


@pytest.mark.parametrize(
    ("body", "made"),
    [(b"[ ]\n", b"[]\n"), (b"[]\n\n", b"[]\n"), (b"{}\n\r\n", b"{}\r\n"), (b" {} ", b"{}")],
)
def test_one_line_end_is_kept(body, made):
    assert patches.apply(body, []) == made


def test_integers_stay_exact():
    body = b"[12345678901234567890123,9007199254740993]"
    assert patches.apply(body, []) == body


def test_whole_numbers_are_written_as_such():
    body = b'[1.0,{"a":[-2e3,1e19,1e20,0.5,1e-7]}]'
    made = b'[1,{"a":[-2000,10000000000000000000,1e+20,0.5,1e-07]}]'
    assert patches.apply(body, []) == made


@pytest.mark.parametrize("body", [b"", b"x", b"1", b'"x"', b"null", b"{} x", b"\xff"])
def test_only_objects_and_arrays_are_patched(body):
    assert error_of(body) == "original is not an object or array"


@pytest.mark.parametrize("value", [1, "x", None])
def test_the_result_is_an_object_or_an_array(value):
    assert error_of({}, op("add", "/", value=value)) == "result is not an object or array"


# Operations


@pytest.mark.parametrize(
    ("document", "operation", "result"),
    [
        ({}, op("add", "/a", value=1), {"a": 1}),
        ({"a": 1}, op("add", "/a", value=None), {"a": None}),
        ([1, 2], op("add", "/-", value=3), [1, 2, 3]),
        ([1, 2], op("add", "/0", value=3), [3, 2]),
        ([1, 2], op("add", "/2", value=3), [1, 2, 3]),
        ([1, 2], op("add", "/+01", value=3), [1, 3]),
        ({"a": {"b": []}}, op("add", "/a/b/-", value={}), {"a": {"b": [{}]}}),
        ({"a": 1}, op("add", "/", value=[]), []),
        ({"a": 1}, op("add", "", value=[]), []),
        ({"a": 1, "b": 2}, op("remove", "/a"), {"b": 2}),
        ([1, 2, 3], op("remove", "/1"), [1, 3]),
        ({"a": 1}, op("replace", "/a", value=2), {"a": 2}),
        ([1, 2], op("replace", "/1", value=3), [1, 3]),
        ({"a": 1}, op("replace", "/", value={"b": 2}), {"b": 2}),
        ({"a": 1}, op("move", "/b", **{"from": "/a"}), {"b": 1}),
        ({"a": 1}, op("move", "/a", **{"from": "/a"}), {"a": 1}),
        ({"a": 1}, op("move", "", **{"from": "/"}), {"a": 1}),
        ([1, 2, 3], op("move", "/2", **{"from": "/0"}), [2, 3, 1]),
        ([1, 2, 3], op("move", "/1", **{"from": "/0"}), [2, 1]),
        ({"ab": 1, "a": {}}, op("move", "/ab", **{"from": "/a"}), {"ab": {}}),
        ({"a": [1]}, op("copy", "/b", **{"from": "/a"}), {"a": [1], "b": [1]}),
        ({"a": "x"}, op("copy", "/b", **{"from": ""}), {"a": "x", "b": {"a": "x"}}),
        ({"a~/b": 1}, op("add", "/a~0~1b", value=2), {"a~/b": 2}),
        ({"~1": 1}, op("add", "/~01", value=2), {"~1": 2}),
        ({"-": 1}, op("remove", "/-"), {}),
    ],
)
def test_an_operation_changes_the_document(document, operation, result):
    assert apply(document, operation) == result


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": None}, {"a": None}),
        ([1, [True, "x"]], [1, [True, "x"]]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_a_test_of_what_is_equal_passes(document, value):
    assert apply(document, op("test", "/", value=value)) == document


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ([1], [True]),
        ([False], [0]),
        ([1], [1.3]),
        ([1], ["1"]),
        ([None], [0]),
        ([1], [1, 1]),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 2}),
        ({}, []),
        ([{}], [None]),
    ],
)
def test_a_test_of_what_is_not_equal_fails(document, value):
    assert error_of(document, op("test", "", value=value)) == "tested values are not equal"


def test_operations_build_on_each_other():
    made = apply(
        {"a": []},
        op("add", "/a/-", value={"x": 1}),
        op("copy", "/b", **{"from": "/a/0"}),
        op("replace", "/b/x", value=2),
        op("test", "/a/0/x", value=1),
        op("move", "/c", **{"from": "/b"}),
    )
    assert made == {"a": [{"x": 1}], "c": {"x": 2}}


def test_the_values_of_operations_stay_as_they_are():
    value = {"x": [1]}
    apply({}, op("add", "/a", value=value), op("add", "/a/x/-", value=2))
    apply({"a": 1}, op("replace", "/a", value=value), op("remove", "/a/x"))
    assert value == {"x": [1]}


# Errors


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (5, "invalid op"),
        (None, "invalid op"),
        ({}, "op does not contain 'op'"),
        ({"op": 1}, "op contains 'op' with wrong type"),
        ({"op": "Add"}, "unsupported op: Add"),
        ({"op": "add"}, "op does not contain 'path'"),
        ({"op": "add", "path": None}, "op contains 'path' with wrong type"),
        (op("add", "/a"), "op does not contain 'value'"),
        (op("replace", "/a"), "op does not contain 'value'"),
        (op("test", "/a"), "op does not contain 'value'"),
        (op("move", "/b"), "op does not contain 'from'"),
        (op("copy", "/b", **{"from": 1}), "op contains 'from' with wrong type"),
        (op("add", "a", value=1), "pointer must start with /"),
        (op("copy", "/b", **{"from": "a"}), "pointer must start with /"),
        (op("add", "//a", value=1), "reference cannot be empty"),
        (op("add", "/a/", value=1), "reference cannot be empty"),
        (op("add", "/x/y", value=1), "cannot step into undefined reference: key=x"),
        (op("add", "/l/2/y", value=1), "cannot step into undefined reference: index=2"),
        (op("add", "/l/-/y", value=1), "cannot step into undefined reference: index=2"),
        (op("add", "/l/x/y", value=1), "index must be an integer"),
        (op("add", "/l/1x", value=1), "index must be an integer"),
        (op("add", "/l/\u0661", value=1), "index must be an integer"),
        (op("add", "/l/" + "9" * 5000, value=1), "index must be an integer"),
        (op("add", "/l/3", value=1), "index out of range"),
        (op("add", "/l/-1", value=1), "index out of range"),
        (op("add", "/a/y", value=1), "non-container value cannot have child reference"),
        (op("add", "/a/y/z", value=1), "non-container value cannot have child reference"),
        (op("remove", "/x"), "location does not exist"),
        (op("remove", "/l/-"), "location does not exist"),
        (op("remove", "/l/2"), "location does not exist"),
        (op("remove", "/"), "cannot remove the whole document"),
        (op("replace", "/x", value=1), "location does not exist"),
        (op("replace", "/l/2", value=1), "location does not exist"),
        (op("test", "/x", value=None), "location does not exist"),
        (op("copy", "/y", **{"from": "/x"}), "location does not exist"),
        (op("move", "/y", **{"from": "/x"}), "location does not exist"),
        (op("move", "/l/1", **{"from": "/l"}), "cannot move location into itself"),
        (op("move", "/y", **{"from": ""}), "cannot move location into itself"),
    ],
)
def test_an_operation_is_wrong(operation, text):
    assert error_of({"a": 1, "l": [1, 2]}, operation) == text


def test_a_patch_cannot_multiply_a_document_for_ever():
    double = op("copy", "/b", **{"from": ""})
    back = op("copy", "/a/-", **{"from": "/b"})
    assert error_of({"a": ["x" * 1000]}, *[double, back] * 30) == "result is too large"


def test_what_is_copied_counts_with_its_names():
    names = {str(number) * 1000: number for number in range(100, 200)}
    copies = [op("copy", f"/{at}", **{"from": "/a"}) for at in range(10)]
    assert error_of({"a": names}, *copies) == "result is too large"


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def test_a_value_that_is_nested_too_deeply_is_refused():
    value = nested(5000)
    assert error_of({}, op("add", "/a", value=value)) == "value is nested too deeply"


def test_a_result_that_is_nested_too_deeply_is_refused():
    deeper = [op("add", "/0" * (200 * at + 1), value=nested(200)) for at in range(20)]
    assert error_of([[]], *deeper) == "result is nested too deeply"


# Anything

KEYS = st.sampled_from(["a", "b", "0", "1", "-", "~", ""])
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(
    st.sampled_from(["/a", "/b", "/0", "/1", "/-", "/~0", "/", "x"]), max_size=3
).map("".join)
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": POINTERS,
    },
    optional={"from": POINTERS, "value": VALUES},
)


@given(VALUES, st.lists(OPERATIONS | VALUES, max_size=5))
def test_any_patch_applies_or_is_an_error(document, operations):
    try:
        made = apply(document, *operations)
    except PatchError:
        return
    assert isinstance(made, dict | list)


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), VALUES)
def test_a_value_that_was_added_is_found_equal(document, value):
    token = "-" if isinstance(document, list) else "a"
    place = f"/{len(document)}" if isinstance(document, list) else "/a"
    apply(document, op("add", f"/{token}", value=value), op("test", place, value=value))

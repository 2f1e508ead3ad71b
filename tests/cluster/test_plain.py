"""Plain data: all that Python has for it comes out equal, class by class, and no more is accepted."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing import gen

from ..hostile import VALUES
from .messages import TYPES, crossed

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
IDENTIFIERS: st.SearchStrategy[Any] = st.one_of(
    *(st.builds(kind, TEXT, st.integers(0, 2**63), st.integers(0, 2**63)) for kind in (gen.PID, gen.Alias, gen.Ref)),
    *(st.builds(kind, TEXT, TEXT) for kind in (gen.ProcessID, gen.Event)),
    st.builds(gen.ClusterName, TEXT),
)
LEAVES: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(allow_nan=False), TEXT, st.binary()),
    IDENTIFIERS,
)
KEYS: st.SearchStrategy[Any] = st.deferred(
    lambda: LEAVES | st.tuples(LEAVES, LEAVES) | st.frozensets(LEAVES, max_size=2)
)
MUTABLE: st.SearchStrategy[Any] = st.deferred(lambda: st.binary().map(bytearray) | st.sets(KEYS, max_size=3) | KEYS)
CONTAINERS: st.SearchStrategy[Any] = st.deferred(
    lambda: st.one_of(
        *(st.lists(DATA, max_size=3), st.tuples(DATA, DATA), st.dictionaries(TEXT, DATA, max_size=3)),
        st.dictionaries(KEYS, DATA, max_size=2),
    )
)
DATA: st.SearchStrategy[Any] = st.deferred(lambda: MUTABLE | CONTAINERS)


def alike(one: Any, other: Any) -> bool:
    """True if two values are equal and of the same classes, part by part."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (set, frozenset)):
        return {(type(part), part) for part in one} == {(type(part), part) for part in other}
    if isinstance(one, (list, tuple)):
        return all(alike(*pair) for pair in zip(one, other, strict=True))
    return repr(one) == repr(other)


@given(DATA)
def test_plain_data_come_out_equal_and_of_the_same_classes(value: Any) -> None:
    assert alike(crossed(value), value)


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else (value,)
    return value


def test_data_are_nested_as_deep_as_is_promised() -> None:
    assert alike(crossed(nested(32)), nested(32))
    with pytest.raises(gen.NotTransferable, match="nested more than 32 levels"):
        TYPES.outgoing(nested(33))


def test_data_that_hold_themselves_are_refused_soon() -> None:
    circle: list[Any] = []
    circle.append(circle)
    wide: Any = [0] * 1000
    for _ in range(20):
        wide = [wide] * 1000
    for value in (circle, wide):
        with pytest.raises(gen.NotTransferable):
            TYPES.outgoing(value)


@pytest.mark.parametrize(
    "value",
    [
        OrderedDict(a=1),
        type("Text", (str,), {})("x"),
        memoryview(b"x"),
        1j,
        range(3),
        object,
        b"".join,
        "\ud800",
        ["\ud800"],
    ],
    ids=["OrderedDict", "str", "memoryview", "complex", "range", "class", "method", "surrogate", "surrogate within"],
)
def test_other_classes_are_refused(value: Any) -> None:
    with pytest.raises(gen.NotTransferable):
        TYPES.prepare(value)


@pytest.mark.parametrize("name", VALUES)
def test_objects_whose_methods_raise_are_refused(name: str) -> None:
    for value in (VALUES[name](), [VALUES[name]()], {"x": (VALUES[name](),)}):
        with pytest.raises(gen.NotTransferable):
            TYPES.prepare(value)


@pytest.mark.parametrize("kind", [gen.PID, gen.Alias, gen.Ref])
def test_an_identifier_with_other_parts_is_refused(kind: Any) -> None:
    for parts in (("a", "b", 1), ("a", 1.5, 1), (None, 1, 1), ("a", True, 1)):
        with pytest.raises(gen.NotTransferable):
            TYPES.prepare([kind(*parts)])

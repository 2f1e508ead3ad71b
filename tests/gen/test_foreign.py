"""What may be done with objects of the program: it never raises what they raise, and is never longer than it may be."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.gen.foreign import (
    REPR_LIMIT,
    class_name,
    forget_frames,
    inner_key,
    is_a,
    safe_key,
    safe_repr,
    safe_str,
    same,
    truth,
)

from .. import hostile
from ..hostile import FrozenError, Hostile, HostileError, HostileText, LooseArray

ROOM = REPR_LIMIT + 100
"""Characters of a text that says how long it was."""

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(plain)
def test_of_what_is_short_and_can_be_shown_it_is_the_repr(value: Any) -> None:
    text = repr(value)
    if len(text) < REPR_LIMIT and text.count("[") + text.count("(") + text.count("{") < 4:
        assert safe_repr(value) == text


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        ValueError("x", 2),
        KeyError("k"),
        OSError(2, "no"),
        SystemExit(),
        ExceptionGroup("g", [ValueError()]),
    ],
)
def test_the_repr_of_an_ordinary_exception_is_pythons(error: BaseException) -> None:
    assert safe_repr(error) == repr(error)


@given(
    st.one_of(st.binary(min_size=500, max_size=5000), st.lists(st.text(max_size=50), min_size=100)),
    st.integers(10, 500),
)
@settings(max_examples=30)
def test_no_text_is_much_longer_than_its_limit(value: Any, limit: int) -> None:
    assert len(safe_repr(value, limit)) <= limit + 60
    assert len(safe_str(value, limit)) <= limit + 60


@pytest.mark.parametrize("name", [*hostile.VALUES, *hostile.ERRORS])
def test_what_cannot_be_shown_is_named_by_its_class(name: str) -> None:
    value = {**hostile.VALUES, **hostile.ERRORS}[name]()
    for text in (safe_repr(value), safe_str(value)):
        assert type(text) is str
        assert len(text) <= ROOM


def test_one_argument_that_cannot_be_shown_does_not_hide_the_others() -> None:
    assert safe_repr(ValueError("x", Hostile())) == "ValueError('x', <Hostile, whose repr raises HostileMethod>)"
    assert safe_repr({"a": [1, Hostile()]}) == "{'a': [1, <Hostile, whose repr raises HostileMethod>]}"


def test_a_repr_that_recurses_or_lies_about_its_type_is_no_repr() -> None:
    class Endless:
        def __repr__(self) -> str:
            return f"{self!r}"

    class Silent:
        def __repr__(self) -> str:
            return 7  # type: ignore[return-value]

    class Exits:
        def __repr__(self) -> str:
            sys.exit()

    circle: list[Any] = []
    circle.append(circle)
    assert "RecursionError" in safe_repr(Endless())
    assert "TypeError" in safe_repr(Silent())
    assert "SystemExit" in safe_repr(Exits())
    assert safe_repr(circle) == "[[[[[...]]]]]"
    assert len(safe_repr([[[[[""] * 1000] * 1000] * 1000] * 1000])) <= ROOM


def test_a_class_that_hides_its_name_is_named_all_the_same() -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise hostile.HostileMethod

        def __eq__(cls, other: object) -> bool:
            raise hostile.HostileMethod

        __hash__ = None  # type: ignore[assignment]

    class Masked(metaclass=Meta):
        pass

    assert class_name(Masked()) == "Masked"
    assert "Masked" in safe_repr(Masked())


def test_what_cannot_be_compared_is_not_the_same() -> None:
    assert same(1, 1.0)
    assert not same(1, 2)
    for value in (Hostile(), LooseArray(), HostileError()):
        assert not same(value, 1)
        assert not same(1, value)


def test_what_has_no_truth_value_is_true_as_any_object() -> None:
    assert [truth(value) for value in (Hostile(), 0, 1, [])] == [True, False, True, False]


def test_what_an_object_is_its_type_says_alone() -> None:
    assert is_a(HostileText("x"), str)
    assert is_a(Hostile(), object)
    assert not is_a(Hostile(), (str, Exception))


@pytest.mark.parametrize("name", hostile.ERRORS)
def test_the_frames_of_an_exception_are_forgotten_whatever_it_refuses(name: str) -> None:
    error = hostile.ERRORS[name]()
    try:
        raise error
    except Exception:
        pass
    first = FrozenError()
    BaseException.__dict__["__cause__"].__set__(first, error)
    caught = ExceptionGroup("outer", [first])
    assert error.__traceback__ is not None
    forget_frames(caught)
    assert error.__traceback__ is None


def test_a_key_that_cannot_be_compared_is_a_key_all_the_same() -> None:
    class Odd:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise hostile.HostileMethod

    one, other = Odd(), Odd()
    table = {safe_key(one): "one", safe_key(other): "other"}
    assert table[safe_key(one)] == "one"
    assert table[safe_key(other)] == "other"
    assert safe_key((1, "x")) == (1, "x")
    assert inner_key(safe_key(one)) is one
    assert inner_key(7) == 7
    with pytest.raises(hostile.HostileMethod):
        safe_key(Hostile())


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.VALUES)
def test_an_error_about_an_object_can_be_shown_whatever_that_is(name: str) -> None:
    value = hostile.VALUES[name]()
    made: list[Exception] = [
        gen.BadOption("option", value, "why"),
        gen.NameUnknown(value),
        gen.ProcessTerminated(value, ValueError(value)),
        gen.MetaTerminated(value, ValueError(value)),
        gen.MailboxFull(value, 1),
        gen.CallTimeout(value, 1.0),
        gen.BadAddress(value, "why"),
        gen.ApplicationTerminated("name", ValueError(value)),
    ]
    for error in made:
        assert len(str(error)) <= 2 * ROOM
        assert len(repr(error)) <= 3 * ROOM


@pytest.mark.parametrize("name", hostile.ERRORS)
def test_every_exception_is_a_reason(name: str) -> None:
    reason = hostile.ERRORS[name]()
    assert gen.errors.as_reason(reason) is reason


def test_what_is_no_exception_is_no_reason() -> None:
    for make in hostile.VALUES.values():
        value = make()
        if not is_a(value, Exception):
            with pytest.raises(gen.BadOption):
                gen.errors.as_reason(value)

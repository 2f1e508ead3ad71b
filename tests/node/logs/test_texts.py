"""The text of a record is bounded whatever is logged, and so is the work that it takes."""

from __future__ import annotations

import logging
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.node.logs import PlainFormatter
from homing.node.logs.texts import LONGEST_RECORD, fitted, message_text, size_of
from homing.node.logs.tracebacks import without_middle

from ...hostile import VALUES, Hostile

WIDE = ["a", "é", "日", "😀", "\n", '"', "\\", "\x00", "\x1b", "\udc80", "\U000e0001", "\u2028"]


class Runs(NamedTuple):
    """A long text, in short."""

    runs: list[tuple[str, int]]

    def __str__(self) -> str:
        return "".join(sign * count for sign, count in self.runs)


long_texts = st.builds(Runs, st.lists(st.tuples(st.sampled_from(WIDE), st.integers(0, 30_000)), max_size=4))


def record(msg: object, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("homing.test", logging.INFO, __file__, 1, msg, args, None)  # type: ignore[arg-type]
    for name, value in more.items():
        setattr(made, name, value)
    return made


@given(long_texts, st.integers(100, 16_000), st.sampled_from([None, without_middle]))
def test_a_text_is_cut_to_its_size_and_only_then(runs: Runs, most: int, cut: Any) -> None:
    text = str(runs)
    kept = fitted(text, most, cut) if cut else fitted(text, most)
    assert size_of(kept) <= most
    kept.encode()
    if text.isascii() and size_of(text) <= most:
        assert kept == text


@given(st.text(), long_texts)
def test_no_record_is_longer_than_the_limit_whatever_its_texts(name: str, runs: Runs) -> None:
    text = str(runs)
    made = record(text, levelname=name * 300, name=text, exc_text=text, stack_info=text)
    line = PlainFormatter().format(made)
    assert len(line.encode()) <= LONGEST_RECORD
    assert all(part.isprintable() for part in line.split("\n"))


def test_a_short_message_is_what_logging_makes_of_it() -> None:
    for args in (
        ("%s %r %d %5.1f %x", "a", "b", 3, 2.5, 255),
        ("%(a)s %(b)d", {"a": [1, "x"], "b": 2}),
        ("%s", {"a": 1}),
        ("%s %r", [1], ValueError("x", 2)),
        ("%d %f", True, 3),
        ("%s", None),
        ("100%",),
        ({"not": "text"},),
    ):
        made = record(*args)
        assert message_text(made, 10_000) == made.getMessage()


def test_a_number_that_is_the_programs_own_fits_the_directives_of_numbers() -> None:
    class Number:
        def __index__(self) -> int:
            return 7

        def __int__(self) -> int:
            return 8

        def __float__(self) -> float:
            return 9.5

    assert message_text(record("%x %d %.1f", Number(), Number(), Number()), 1000) == "7 8 9.5"


def test_arguments_that_do_not_fit_are_written_behind_the_text() -> None:
    text = message_text(record("%d of them", "three"), 1000)
    assert text.startswith("%d of them ('three',) (TypeError(")
    assert message_text(record("none", 1), 1000).startswith("none (1,) (TypeError(")


@pytest.mark.parametrize("name", VALUES)
def test_objects_that_raise_wherever_they_are_touched_are_named_by_their_class(name: str) -> None:
    value = VALUES[name]()
    assert message_text(record("%s and %r", value, value), 10_000)
    assert message_text(record(value), 10_000)
    assert "Hostile" in message_text(record("%d %d", 1, Hostile()), 1000)


def chained(count: int) -> Exception:
    error: Exception = ValueError("first")
    for number in range(count):
        later = RuntimeError(f"number {number}", "x" * 60_000)
        later.__cause__ = error
        error = later
    return error


def noted() -> Exception:
    error = ValueError("with notes")
    for number in range(1000):
        error.add_note(f"note {number} " + "n" * 60_000)
    return error


def nested(depth: int) -> Exception:
    error: Exception = ValueError(b"\0" * 60_000)
    for _ in range(depth):
        error = ExceptionGroup("g" * 60_000, [error] * 20)
    return error


def long_named() -> Exception:
    kind: Any = type("E" * 60_000, (Exception,), {"__module__": "m" * 60_000})
    error: Exception = kind("x")
    return error


LARGE: dict[str, Callable[[], BaseException]] = {
    "an argument of 60 kB": lambda: ValueError(b"\0" * 60_000),
    "many arguments": lambda: ValueError(*["x" * 60_000] * 12),
    "unprintable text": lambda: ValueError("\U000e0001" * 60_000),
    "a container": lambda: ValueError([[b"\0" * 60_000] * 50] * 50),
    "a key": lambda: KeyError("k" * 60_000),
    "a chain of causes": lambda: chained(5000),
    "notes": noted,
    "groups in groups": lambda: nested(8),
    "a wide group": lambda: ExceptionGroup("wide", [ValueError("x" * 60_000)] * 20_000),
    "a long name": long_named,
    "lines": lambda: ValueError("\n" * 60_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_no_exception_makes_a_record_that_is_longer_than_the_limit(name: str) -> None:
    made = raised(LARGE[name]())
    line = PlainFormatter().format(made)
    assert len(line.encode()) <= LONGEST_RECORD


def raised(error: BaseException) -> logging.LogRecord:
    try:
        raise error
    except BaseException:
        return record("failed: %s", error, exc_info=sys.exc_info())


@pytest.mark.parametrize("name", LARGE)
def test_the_text_of_an_exception_is_not_made_longer_than_it_is_shown(name: str) -> None:
    made = raised(LARGE[name]())
    PlainFormatter().format(made)  # loads the source of this file
    made.exc_text = None
    tracemalloc.start()
    try:
        PlainFormatter().format(made)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000  # the arguments have 60 kB to 150 MB, and their texts would have four times as much


def _error(tree: Any) -> Exception:
    """A tree of exceptions: each pair is a group, and the first of it is the context of the other."""
    if isinstance(tree, Runs):
        return ValueError(str(tree))
    one, other = map(_error, tree)
    other.__context__ = one
    return ExceptionGroup("both", [one, other])


@given(st.recursive(long_texts, lambda inner: st.lists(inner, min_size=2, max_size=2), max_leaves=5))
def test_no_tree_of_causes_and_groups_is_longer_than_the_limit(tree: Any) -> None:
    assert len(PlainFormatter().format(raised(_error(tree))).encode()) <= LONGEST_RECORD

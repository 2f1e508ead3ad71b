"""The text of an exception is that of Python's `traceback`, as long as it is short."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

import pytest

from homing.node.logs import traceback_text


class Own(Exception):
    pass


def _fails() -> None:
    raise Own("text", 1)


def _caused() -> None:
    try:
        _fails()
    except Own as error:
        raise ValueError from error


def _in_handling() -> None:
    try:
        _fails()
    except Own:
        {}["key"]  # type: ignore[index]


def _suppressed() -> None:
    try:
        _fails()
    except Own:
        raise ValueError("only this") from None


def _noted() -> None:
    error = ValueError("x")
    error.add_note("a note\nin two lines")
    raise error


def _misspelt() -> None:
    sys.exitt  # type: ignore[attr-defined]  # noqa: B018


def _syntax() -> None:
    compile("a b", "file.py", "exec")


@pytest.mark.parametrize("fails", [_fails, _caused, _in_handling, _suppressed, _noted, _misspelt, _syntax])
def test_the_text_of_an_ordinary_exception_is_pythons(fails: Callable[[], None]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        fails()
    error = raised.value
    assert traceback_text(error) == "".join(traceback.format_exception(error)).rstrip("\n")


def test_a_group_shows_its_members_with_their_causes() -> None:
    inner = ValueError("inner")
    inner.__cause__ = KeyError("cause")
    text = traceback_text(ExceptionGroup("both", [inner, OSError(2, "no")]))
    assert "ExceptionGroup: both (2 sub-exceptions)" in text
    assert "  +---- 1 of 2 ----\n  | KeyError: 'cause'\n" in text
    assert text.endswith("  +---- 2 of 2 ----\n  | FileNotFoundError: [Errno 2] no")


def test_of_a_long_chain_the_last_causes_are_shown() -> None:
    error: Exception = ValueError("0")
    for number in range(1, 100):
        later = ValueError(str(number))
        later.__cause__ = error
        error = later
    text = traceback_text(error)
    assert text.startswith("... earlier exceptions are left out ...\nValueError: 89\n")
    assert text.endswith("ValueError: 99")


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert traceback_text(one).count("ValueError: one") == 1

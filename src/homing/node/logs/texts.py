"""The text of a record, bounded whatever the program logs, and in the work that it takes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from ...gen.foreign import clipped, is_a, safe_repr, safe_str
from .tracebacks import traceback_text, without_middle

LONGEST_RECORD = 16_000
"""Most bytes of a record that Homing writes, its end of line not included. Container runtimes split longer lines: the
log drivers of Docker and of containerd read 16 KiB at a time."""

LONGEST_FAULT = 8_000
"""Most bytes of these for the traceback of an exception."""

LONGEST_STACK = 2_500
"""Most bytes of these for the stack of a record with `stack_info`."""

_DENSEST = 12
"""Most bytes of a character, see `size_of`."""

_ROOM = 60
"""More characters than the text takes that says how much was left out."""


def escaped(line: str) -> str:
    """Returns `line` with each unprintable character as a Python escape sequence."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


def size_of(text: str) -> int:
    """Returns the most bytes that `text` takes in a record: as JSON in ASCII, or escaped and indented, as UTF-8."""
    return len(json.dumps(text)) - 2 + text.count("\n")


def fitted(text: str, most: int, cut: Callable[[str, int], str] = clipped) -> str:
    """Returns `text`, or what `cut` leaves of it so that it has a size of at most `most`, of 100 or more. Lone
    surrogates, which are no characters, are written as escape sequences."""
    if len(text) * _DENSEST <= most and text.isascii():
        return text
    number = max(0, most)
    while True:
        kept = cut(text, number)
        if not kept.isascii():
            kept = kept.encode("utf-8", "backslashreplace").decode()
        if len(kept) * _DENSEST <= most or (size := size_of(kept)) <= most or number == 0:
            return kept
        number = max(0, min(number, len(kept)) * most // size - _ROOM)


# --- the message ------------------------------------------------------------------------------------------


class _Shown:
    """An argument of a record, so that it is turned into a short text whatever it is, by whatever directive."""

    __slots__ = ("_limit", "_value")

    def __init__(self, value: Any, limit: int) -> None:
        self._value = value
        self._limit = limit

    def __str__(self) -> str:
        return safe_str(self._value, self._limit)

    def __repr__(self) -> str:
        return safe_repr(self._value, self._limit)

    def __getitem__(self, key: str) -> Any:
        return _shown(self._value[key], self._limit)

    def __int__(self) -> int:
        return int(self._value)

    def __index__(self) -> int:
        return self._value.__index__()  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(self._value)


def _shown(value: Any, limit: int) -> Any:
    kind = type(value)
    return value if kind in (int, float) or (kind is str and len(value) <= limit) else _Shown(value, limit)


def message_text(record: logging.LogRecord, most: int) -> str:
    """Returns `record.getMessage()` in at most `most` bytes, by `size_of`. Arguments that do not fit the text are
    written behind it."""
    text, args = record.msg, record.args
    if type(text) is not str:
        text = safe_str(text, most)
    if args:
        try:
            if is_a(args, tuple):
                text = text % tuple(_shown(arg, most) for arg in args)
            else:
                text = text % _Shown(args, most)
        except Exception as error:
            text = f"{clipped(text)} {safe_repr(args)} ({safe_repr(error)})"
    return fitted(text, most)


# --- the exception ----------------------------------------------------------------------------------------


def fault_of(record: logging.LogRecord) -> BaseException | None:
    """Returns the exception that was logged with a record."""
    given = record.exc_info
    fault = given[1] if type(given) is tuple and len(given) == 3 else None
    return fault if is_a(fault, BaseException) else None


def exception_text(record: logging.LogRecord, most: int = LONGEST_FAULT) -> str:
    """Returns the traceback of a record in at most `most` bytes, by `size_of`; "" if it has none."""
    fault = fault_of(record)
    return fitted(record.exc_text or ("" if fault is None else traceback_text(fault)), most, without_middle)


def stack_text(record: logging.LogRecord, most: int = LONGEST_STACK) -> str:
    """Returns the stack of a record in at most `most` bytes, by `size_of`; "" if it has none."""
    return fitted(record.stack_info or "", most, without_middle)

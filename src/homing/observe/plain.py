"""Values of programs as JSON: a user's object may be of any class, of any size, and raise wherever it is touched."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ..gen.foreign import is_instance, safe_repr, safe_str

LONGEST_TEXT = 256
"""Most characters of one fact. Longer facts returned by `handle_inspect` are cut."""

MOST_FACTS = 256
"""Most facts of one process or meta-process. The sockets have the most of the runtime's own, some seventy."""

MOST_INTEGER = 2**63
"""Integers beyond this are shown as text: readers of JSON keep 64 bits at most, and Python refuses to print thousands
of digits."""


def shown(value: object) -> str:
    """Returns a short text of a value from a request, for an error."""
    return safe_repr(value, 60)


def reason_of(error: BaseException | None) -> str | None:
    """Returns an exit reason as a text; None if there is none."""
    return None if error is None else safe_repr(error, LONGEST_TEXT)[:LONGEST_TEXT]


def plain_facts(answer: object) -> dict[str, Any] | None:
    """Returns the facts that a `handle_inspect` has returned; None if it returned no mapping, or one that cannot be
    read."""
    try:
        return _told(answer) if isinstance(answer, Mapping) else None
    except Exception:
        return None  # a program may return objects of any class: an unreadable one must not hide the other facts


def _told(answer: Mapping[Any, Any]) -> dict[str, Any]:
    return {safe_str(key)[:LONGEST_TEXT]: plain(value) for key, value in list(answer.items())[:MOST_FACTS]}


def plain(value: object) -> Any:
    """Returns `value` if JSON has its type and it is short, otherwise a short text."""
    if value is None or is_instance(value, bool):
        return value
    if is_instance(value, int):
        return _integer(value)
    if is_instance(value, float):
        return value if isfinite(value) else None
    if is_instance(value, str):
        return value[:LONGEST_TEXT]
    if is_instance(value, Mapping) and all(is_instance(number, int) for number in value.values()):
        return {safe_str(key)[:LONGEST_TEXT]: _integer(value[key]) for key in list(value)[:MOST_FACTS]}
    return safe_repr(value, LONGEST_TEXT)[:LONGEST_TEXT]


def _integer(value: int) -> Any:
    return value if -MOST_INTEGER <= value < MOST_INTEGER else safe_repr(value, LONGEST_TEXT)[:LONGEST_TEXT]


def as_json(value: Any) -> Any:
    """Returns a value of the runtime's own with JSON's types: addresses and exceptions as texts, tuples as lists."""
    if isinstance(value, dict):
        return {safe_str(key): as_json(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [as_json(item) for item in value]
    if isinstance(value, BaseException):
        return reason_of(value)
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if isfinite(value) else None
    return safe_str(value, LONGEST_TEXT)

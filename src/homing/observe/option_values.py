"""Values of options from texts and JSON, as a person at a terminal or a program can give them."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..gen import BadOption

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = ("none", "null")

_PLAIN = (bool, int, float, str)


def parse(options: Any, name: str, value: Any) -> Any:
    """Returns `value`, a text or JSON, as the type of the field `name` of the dataclass object `options`.

    A tuple is given as a list, or as texts separated by commas; None as null or "none"; a dataclass as an object of its
    fields, of which the others stay as they are, or as the text "rate=100,burst=20".
    Raises `BadOption`, which names the option; the values themselves are checked by the options' class.
    """
    return _parse(name, get_type_hints(type(options))[name], value, getattr(options, name))


def _parse(name: str, hint: Any, value: Any, current: Any) -> Any:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if value is None or (type(value) is str and value.lower() in _NOTHING):
        if type(None) in kinds:
            return None
        raise BadOption(name, value, "it cannot be none")
    for kind in sorted(kinds, key=_rank):
        try:
            return _as_kind(name, kind, value, current)
        except BadOption:
            raise
        except (ValueError, TypeError):
            continue
    raise BadOption(name, value, f"give {' or '.join(_named(kind) for kind in kinds if kind is not type(None))}")


def _rank(kind: Any) -> int:
    """Numbers are tried before texts: every text is a text."""
    return _PLAIN.index(kind) if kind in _PLAIN else -1


def _named(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return "a list"
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _as_kind(name: str, kind: Any, value: Any, current: Any) -> Any:
    """Returns `value` as one type. Raises `ValueError` or `TypeError` if it is not of that type."""
    if kind in _PLAIN:
        return _as_plain(kind, value)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(value)
        return value
    if get_origin(kind) is tuple:
        items = [item.strip() for item in value.split(",") if item.strip()] if type(value) is str else value
        if type(items) is not list:
            raise TypeError(value)
        return tuple(_parse(name, get_args(kind)[0], item, None) for item in items)
    if is_dataclass(kind) and isinstance(kind, type):
        return _as_dataclass(name, kind, value, current if isinstance(current, kind) else None)
    raise TypeError(kind)


def _as_plain(kind: Any, value: Any) -> Any:
    if kind is bool:
        found = _WORDS[value.lower()] if type(value) is str and value.lower() in _WORDS else value
        if type(found) is not bool:
            raise TypeError(value)
        return found
    if kind is str:
        if type(value) is not str:
            raise TypeError(value)
        return value
    if type(value) not in (int, float, str) or (kind is int and type(value) is float):
        raise TypeError(value)
    return kind(value.replace("_", "") if type(value) is str else value)


def _as_dataclass(name: str, kind: type, value: Any, current: Any) -> Any:
    given = _pairs(value) if type(value) is str else value
    if not isinstance(given, Mapping):
        raise TypeError(value)
    known = {field.name for field in fields(kind)}
    hints = get_type_hints(kind)
    changes = {}
    for key, item in given.items():
        if key not in known:
            raise BadOption(f"{name}.{key}", item, f"{kind.__name__} has no such field")
        changes[key] = _parse(f"{name}.{key}", hints[key], item, getattr(current, key, None))
    try:
        return kind(**changes) if current is None else replace(current, **changes)
    except TypeError as error:  # a field without a default is missing
        raise BadOption(name, value, str(error)) from None


def _pairs(text: str) -> Any:
    """Returns the fields of "rate=100,burst=20", or of an object in JSON."""
    if text.lstrip().startswith("{"):
        return json.loads(text)
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(text)
    return {key.strip(): item.strip() for key, _, item in pairs}

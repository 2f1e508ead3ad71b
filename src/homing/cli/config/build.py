"""Makes typed objects of the plain values of a file or of the environment, and collects all that is wrong with them."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from ...gen import BadOption
from ...gen.foreign import safe_repr, safe_str
from .lines import Path

MOST_PROBLEMS = 20
"""Most problems that are reported at once: more are seldom read."""


HIDDEN = "(not shown)"
"""Printed in the place of a secret."""

_SECRETS = ("token", "password", "passwd", "passphrase", "secret", "credential", "private", "api_key", "apikey")

_PASSWORD_IN_URL = re.compile(r"://[^/\s]*:[^/\s]*@")

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class EnvironmentText(str):
    """A value of an environment variable. It is written as in the file, except that a text needs no quotes."""

    __slots__ = ()


class Member(NamedTuple):
    """A key that a table may have. required: it has no default."""

    kind: Any
    required: bool


class Problems:
    """The faults of a configuration, each with its place. where: returns "app.toml, line 3" for a path."""

    def __init__(self, where: Callable[[Path], str]) -> None:
        self.found: list[str] = []
        self._where = where

    def add(self, path: Path, text: str) -> None:
        """Adds one."""
        if len(self.found) < MOST_PROBLEMS:
            self.found.append(": ".join(filter(None, (self._where(path), key_text(path), text))))

    def refused(self, path: Path, error: BadOption) -> None:
        """Adds an option that its own class refuses."""
        path = (*path, error.option)
        self.add(path, f"{shown(path, error.value)}: {error.why}")

    def no_table(self, path: Path, value: object) -> None:
        """Adds a value in the place of a table."""
        self.add(path, f"{shown(path, value)}: give a table, [{key_text(path)}]")


def require_msgspec() -> Any:
    """Returns the module msgspec. Raises `BadOption` with the extra to install."""
    try:
        import msgspec
    except ModuleNotFoundError:
        raise BadOption("config", None, "reading it needs msgspec; pip install 'homing[cli]'") from None
    return msgspec


def key_text(path: Path) -> str:
    """Returns the path as a file would write it: servers."dns.answer".port; an index as in Python: app.peers[0]."""
    return "".join(map(_part_text, path)).removeprefix(".")


def _part_text(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _BARE.fullmatch(key) else f".{json.dumps(key, ensure_ascii=False)}"


# --- the members of a table ---------------------------------------------------------------------------------


def members_of(kind: Any) -> dict[str, Member] | None:
    """Returns the keys of a table that becomes a `kind`; None if that is no dataclass, msgspec.Struct or the like."""
    if not isinstance(kind, type):
        return None
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [each for each in dataclasses.fields(kind) if each.init]
        missing = dataclasses.MISSING
        required = {each.name: each.default is missing and each.default_factory is missing for each in fields}
        ours = kind.__module__.startswith("homing.")
        kinds = {each.name: textual(hints[each.name]) if ours else hints[each.name] for each in fields}
        return {name: Member(kinds[name], required[name]) for name in kinds if kinds[name] is not None}
    msgspec = require_msgspec()
    how = getattr(kind, "__struct_config__", None)
    if issubclass(kind, msgspec.Struct) and how is not None and not (how.array_like or how.tag):
        return {each.encode_name: Member(each.type, each.required) for each in msgspec.structs.fields(kind)}
    return None


def textual(kind: Any) -> Any:
    """Returns the part of the type of an option that text can give; None if there is none, as for a function."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        parts = [part for part in map(textual, arguments) if part is not None and part is not type(None)]
        return Union[tuple(parts)] if parts else None  # noqa: UP007 - made of a list
    if origin is typing.Annotated:
        inner = textual(arguments[0])
        return kind if inner is arguments[0] else inner
    if origin is tuple:
        inner = textual(arguments[0]) if len(arguments) == 2 and arguments[1] is ... else None
        return types.GenericAlias(tuple, (inner, ...)) if inner is not None else None
    if origin in (list, dict, Literal):
        return kind
    plain = origin is None and isinstance(kind, type)
    return kind if plain and (kind in (str, int, float, bool) or dataclasses.is_dataclass(kind)) else None


# --- building -----------------------------------------------------------------------------------------------


def build(value: Any, kind: Any, path: Path, problems: Problems) -> Any:
    """Returns `value` as a `kind`. Adds what is wrong to `problems`; then the result has no meaning."""
    value, kind = _part_for(value, _without_none(kind))
    members = members_of(kind)
    if isinstance(value, EnvironmentText) and (members is not None or not _takes_text(kind)):
        value = parsed(value, kind)
    if members is not None and isinstance(value, Mapping):
        return _table(value, kind, members, path, problems)
    if get_origin(kind) is dict and isinstance(value, Mapping):
        inner = get_args(kind)[1]
        return {str(key): build(each, inner, (*path, str(key)), problems) for key, each in value.items()}
    if get_origin(kind) in (tuple, list) and isinstance(value, list) and members_of(get_args(kind)[0]) is not None:
        return get_origin(kind)(
            build(each, get_args(kind)[0], (*path, index), problems) for index, each in enumerate(value)
        )
    return _leaf(value, kind, path, problems)


def _table(value: Mapping[str, Any], kind: Any, members: dict[str, Member], path: Path, problems: Problems) -> Any:
    before = len(problems.found)
    given = build_members(value, members, path, problems)
    present = {_member_named(key, each, members) for key, each in value.items()}
    for key, member in members.items():
        if member.required and key not in present:
            problems.add(path, f"{key} is missing")
    if len(problems.found) > before:
        return None
    names = given if dataclasses.is_dataclass(kind) else _struct_names(kind, given)
    try:
        return kind(**names)
    except BadOption as error:
        problems.refused(path, error)
    except Exception as error:  # a check of the program's own class
        problems.add(path, safe_str(error) or safe_repr(error))
    return None


def refused_by(kind: Callable[..., object], options: dict[str, Any], path: Path, problems: Problems) -> None:
    """Adds each of `options` that a class of options refuses."""
    while True:
        try:
            kind(**options)
            return
        except BadOption as error:
            problems.refused(path, error)
            if error.option not in options:
                return
            del options[error.option]


def build_members(
    value: Mapping[str, Any],
    members: Mapping[str, Member],
    path: Path,
    problems: Problems,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the values of those keys of a table that are right. known: the keys to suggest; None: the members."""
    given = {}
    for key, each in value.items():
        name = _member_named(key, each, members)
        before = len(problems.found)
        if name is None:
            problems.add((*path, key), f"there is no such key{alike(key, members if known is None else known)}")
            continue
        made = build(each, members[name].kind, (*path, key), problems)
        if len(problems.found) == before:
            given[name] = made
    return given


def alike(key: str, known: Mapping[str, Any]) -> str:
    """Returns a hint at the known key that `key` resembles, or at all of them if they are few."""
    similar = difflib.get_close_matches(key.replace("-", "_").lower(), known, 1)
    if similar:
        return f"; did you mean {similar[0]}?"
    return f"; there are {', '.join(sorted(known))}" if 0 < len(known) <= 12 else ""


def _member_named(key: str, value: Any, members: Mapping[str, Member]) -> str | None:
    if key in members:
        return key
    if _is_from_environment(value):  # names of environment variables do not distinguish upper case
        return next((name for name in members if name.lower() == key.lower()), None)
    return None


def _is_from_environment(value: Any) -> bool:
    """Returns True if there is a value of the environment in `value`."""
    if isinstance(value, Mapping):
        return any(map(_is_from_environment, value.values()))
    return isinstance(value, EnvironmentText)


def _struct_names(kind: Any, given: dict[str, Any]) -> dict[str, Any]:
    fields = require_msgspec().structs.fields(kind)
    names = {each.encode_name: each.name for each in fields}
    return {names[key]: value for key, value in given.items()}


# --- single values ------------------------------------------------------------------------------------------


def _leaf(value: Any, kind: Any, path: Path, problems: Problems) -> Any:
    msgspec = require_msgspec()
    plain = str(value) if isinstance(value, EnvironmentText) else _plain(value)
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum) and isinstance(plain, str):
        plain = plain.lower()
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        text = str(error).replace(" - at `$`", "").replace("`", "")
        if is_secret(path, plain):
            text = "it does not fit its type"
        problems.add(path, f"{shown(path, plain)}: {text}{_choices(kind)}")
    except TypeError as error:
        problems.add(path, f"a file cannot give this: {safe_str(error)}")
    return None


def shown(path: Path, value: object) -> str:
    """Returns a value as text; not if it is a secret, or a table or an array, which may contain one."""
    if isinstance(value, (Mapping, list)):
        return "a table" if isinstance(value, Mapping) else "an array"
    return HIDDEN if is_secret(path, value) else safe_repr(value)


def is_secret(path: Path, value: object) -> bool:
    """Returns True if a value must not be printed: the name of its key suggests a password or the like, or it is an
    URL with a password."""
    name = next(key for key in reversed(path) if isinstance(key, str))
    return any(word in name.lower() for word in _SECRETS) or (
        isinstance(value, str) and _PASSWORD_IN_URL.search(value) is not None
    )


def _plain(value: Any) -> Any:
    """Returns `value` with plain texts in the place of those from the environment."""
    if isinstance(value, EnvironmentText):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _choices(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"; give {', '.join(str(each.value) for each in kind)}"
    choices = list(_literals(kind))
    return f"; give {', '.join(map(str, choices))}" if choices else ""


def _literals(kind: Any) -> Iterator[Any]:
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) in (Union, types.UnionType):
        for part in get_args(kind):
            yield from _literals(part)


def _without_none(kind: Any) -> Any:
    """Returns the type T of `T | None`: a file has no None."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) in (Union, types.UnionType) and len(parts) == 1:
        return parts[0]
    return kind


def _part_for(value: Any, kind: Any) -> tuple[Any, Any]:
    """Returns a value, and the part of `float | Table` that it can become: a table that class, any other the rest."""
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()
    tables = [part for part in parts if members_of(part) is not None]
    rest = tuple(part for part in parts if part not in tables and part is not type(None))
    if len(tables) != 1 or not all(part in (str, int, float, bool) for part in rest):
        return value, kind
    if isinstance(value, EnvironmentText):
        value = parsed(value, kind)
    return value, tables[0] if isinstance(value, Mapping) or not rest else Union[rest]  # noqa: UP007 - of a tuple


_NOT_TEXT = (
    *("IntType", "FloatType", "BoolType", "NoneType", "ListType", "VarTupleType", "TupleType", "SetType"),
    *("FrozenSetType", "DictType", "StructType", "DataclassType", "TypedDictType", "NamedTupleType"),
)
"""The types of `msgspec.inspect` whose values a text has to be parsed for."""


def _takes_text(kind: Any) -> bool:
    """Returns True if the type can be made of a text as it is."""
    inspect = require_msgspec().inspect
    try:
        found = inspect.type_info(kind)
    except Exception:
        return True
    parts = found.types if isinstance(found, inspect.UnionType) else (found,)
    return any(type(part).__name__ not in _NOT_TEXT and not _is_of_numbers(part) for part in parts)


def _is_of_numbers(part: Any) -> bool:
    name = type(part).__name__
    values: Any = part.values if name == "LiteralType" else list(part.cls) if name == "EnumType" else ()
    return bool(values) and all(isinstance(each, int) for each in values)


def parsed(text: EnvironmentText, kind: Any) -> Any:
    """Returns the value in a text, as a file would write it; the text itself if it is not a value."""
    switches = {"true": True, "false": False, **({"1": True, "0": False} if kind is bool else {})}
    if text.lower() in switches:
        return switches[text.lower()]
    with suppress(tomllib.TOMLDecodeError):
        value = tomllib.loads(f"value = {text}")
        if len(value) == 1:
            return _marked(value["value"])
    return text


def _marked(value: Any) -> Any:
    """Marks the texts in a table of the environment."""
    if isinstance(value, dict):
        return {key: _marked(each) for key, each in value.items()}
    return EnvironmentText(value) if isinstance(value, str) else value

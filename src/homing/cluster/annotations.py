"""Message classes: what their annotations say, as checks and as a description, and why a class cannot travel."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import sys
import typing
import uuid
from inspect import get_annotations
from typing import Any

import msgspec
from msgspec import inspect
from msgspec.msgpack import Decoder

from ..gen.errors import BadOption
from ..gen.foreign import qualified_name, safe_repr
from .fitting import Check, DictCheck, FieldsCheck, ItemsCheck, LimitedCheck, LiteralCheck, TupleCheck, UnionCheck

_NOT_FIELDS = (BaseException, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)
"""The classes that a dataclass must not derive from: it would have content beside its fields."""

_EXACT: dict[type, type] = {
    inspect.NoneType: type(None),
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.ByteArrayType: bytearray,
    inspect.DateTimeType: datetime.datetime,
    inspect.DateType: datetime.date,
    inspect.TimeType: datetime.time,
    inspect.TimeDeltaType: datetime.timedelta,
    inspect.UUIDType: uuid.UUID,
    inspect.DecimalType: decimal.Decimal,
}
_ITEMS: dict[type, type] = {
    inspect.ListType: list,
    inspect.VarTupleType: tuple,
    inspect.SetType: set,
    inspect.FrozenSetType: frozenset,
}
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")


class _Refused(Exception):
    """An annotation cannot be supported; the text says why."""


def refuse(kind: type, why: str) -> BadOption:
    """Returns the error for a class that cannot be a message type."""
    return BadOption("types", kind, f"{qualified_name(kind)} cannot travel: {why}")


class Classes:
    """The checks of message classes, which may have each other in their fields.

    kinds: all classes that may travel, and the names under which they do.
    """

    def __init__(self, kinds: dict[type, str]) -> None:
        self._kinds = kinds
        self._checks: dict[type, Check] = {kind: _empty(kind) for kind in kinds}

    def described(self, kind: type) -> tuple[Check, str]:
        """Returns the check of a class, and a description of its fields: names, types and defaults. Raises `BadOption`
        that names the class and the field."""
        check = self._checks[kind]
        if issubclass(kind, enum.Enum):
            return check, self._enum(kind)
        fields = _fields(kind)
        names, checks, lines = [], [], []
        for field in fields:
            try:
                made, text = self._check(field.type)
            except _Refused as error:
                raise refuse(kind, f"its field {field.name!r} {error}") from None
            names.append(field.name)
            checks.append(made)
            lines.append(f"{field.encode_name}: {text}{_default(field)}")
        if isinstance(check, FieldsCheck):
            check.fill(tuple(names), tuple(checks))
        return check, "\n".join([_layout(kind), *lines])

    def _enum(self, kind: type[enum.Enum]) -> str:
        if issubclass(kind, enum.Flag):
            raise refuse(kind, "combinations of flags have no value of their own in msgpack; send their int")
        try:
            Decoder(kind)
        except TypeError as error:
            raise refuse(kind, str(error)) from None
        return "\n".join(["enum", *(f"{member.name}={safe_repr(member.value)}" for member in kind)])

    def _check(self, told: Any) -> tuple[Check, str]:
        """Returns the check of an annotation, and its text. Raises `_Refused`."""
        kind: Any = type(told)
        if kind is inspect.Metadata:
            return self._check(told.type)
        if kind in _EXACT:
            return _limited(Check(_EXACT[kind]), told, _EXACT[kind], _EXACT[kind].__name__)
        if kind in _ITEMS:
            item, text = self._check(told.item_type)
            holder = _ITEMS[kind]
            return _limited(ItemsCheck(holder, item), told, holder, f"{holder.__name__}[{text}]")
        if kind is inspect.TupleType:
            items = [self._check(one) for one in told.item_types]
            return TupleCheck(tuple(check for check, _ in items)), f"tuple[{', '.join(text for _, text in items)}]"
        if kind is inspect.DictType:
            (key, first), (value, second) = self._check(told.key_type), self._check(told.value_type)
            return _limited(DictCheck(key, value), told, dict, f"dict[{first}, {second}]")
        if kind is inspect.UnionType:
            choices = [self._check(one) for one in told.types]
            return UnionCheck(tuple(check for check, _ in choices)), " | ".join(sorted(text for _, text in choices))
        if kind is inspect.LiteralType:
            return LiteralCheck(tuple(told.values)), f"Literal{sorted(map(repr, told.values))}"
        return self._class(told)

    def _class(self, told: Any) -> tuple[Check, str]:
        kind = getattr(told, "cls", None)
        if kind in self._checks:
            return self._checks[kind], self._kinds[kind]
        if isinstance(told, inspect.AnyType):
            raise _Refused("is annotated with Any, or not at all: say what it holds")
        if isinstance(kind, type):
            raise _Refused(f"holds {qualified_name(kind)}, which may not travel: mark it too, or list it in types")
        raise _Refused(f"has an annotation that cannot travel ({type(told).__name__.removesuffix('Type').lower()})")


def _empty(kind: type) -> Check:
    return Check(kind) if issubclass(kind, enum.Enum) else FieldsCheck(kind)


def _limited(check: Check, told: Any, kind: Any, text: str) -> tuple[Check, str]:
    """Adds the limits of `msgspec.Meta` in an annotation."""
    limits = {name: value for name in _LIMITS if (value := getattr(told, name, None)) is not None}
    if not limits:
        return check, text
    annotation = typing.Annotated[kind, msgspec.Meta(**limits)]

    def within(value: Any) -> Any:
        return msgspec.convert(value, annotation)

    return LimitedCheck(check, within), f"{text} {limits}"


def _default(field: inspect.Field) -> str:
    if field.required:
        return ""
    if field.default is not msgspec.NODEFAULT:
        return f" = {safe_repr(field.default)}"
    return f" = {getattr(field.default_factory, '__qualname__', '')}()"


def _layout(kind: Any) -> str:
    """Returns how a class is written, apart from its fields."""
    config = getattr(kind, "__struct_config__", None)
    if config is None:
        return "tuple" if issubclass(kind, tuple) else "map"
    return f"{'array' if config.array_like else 'map'} {config.tag_field}={config.tag}"


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) and not issubclass(kind, _NOT_FIELDS)


# --- why a class cannot be a message ----------------------------------------------------------------------------


def _fields(kind: Any) -> tuple[inspect.Field, ...]:
    """Returns the fields of a Struct, dataclass or NamedTuple. Raises `BadOption`."""
    named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    if issubclass(kind, msgspec.Struct):
        if kind.__struct_config__.omit_defaults:
            raise refuse(kind, "omit_defaults leaves out values, and another version may have other defaults")
    elif not named and not _is_dataclass(kind):
        raise refuse(kind, "it is no msgspec.Struct, dataclass, NamedTuple or Enum")
    _check_names(kind)
    try:
        Decoder(kind)
        found = inspect.type_info(kind)
    except Exception as error:  # of annotations, which may be any expression of the program
        raise refuse(kind, _culprit(kind, error)) from None
    fields: tuple[inspect.Field, ...] = getattr(found, "fields", ())
    return fields


def _annotations(kind: type) -> dict[str, tuple[type, Any]]:
    """Returns each annotation with the class that has it."""
    return {
        name: (base, annotation)
        for base in reversed(kind.__mro__)
        for name, annotation in get_annotations(base).items()
    }


def _check_names(kind: type) -> None:
    """Raises `BadOption` for an annotation that names what cannot be found."""
    for name, (base, annotation) in _annotations(kind).items():
        holder: Any = type("holder", (), {"__annotations__": {name: annotation}})
        spaces = vars(sys.modules.get(base.__module__, typing))
        try:
            typing.get_type_hints(holder, spaces, {**vars(base), base.__name__: base})
        except Exception as error:
            raise refuse(kind, f"its field {name!r} has an annotation that cannot be resolved: {error}") from None


def _culprit(kind: type, error: Exception) -> str:
    """Returns which field msgspec cannot support, and why."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, hint in hints.items():
        try:
            Decoder(hint)
        except Exception as cause:
            return f"its field {name!r}: {cause}"
    return str(error)

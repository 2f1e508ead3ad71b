"""What may be done with objects that are not the runtime's own: messages, reasons, options, keys.

Their methods are code of the program. `repr` of a detached database row raises, `==` of an array gives another array,
a frozen dataclass refuses every attribute. Nothing here raises what they raise, and no text is longer than it may be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # which type checkers know without it

T = TypeVar("T")

REPR_LIMIT = 1000
"""Characters of one object in a log record or an error: some lines of it. What is longer is cut, and says so."""

_DEPTH = 4
"""Containers within containers that are shown."""

_name_of = type.__dict__["__name__"].__get__
_args_of = BaseException.__dict__["args"].__get__
_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_members_of = BaseExceptionGroup.__dict__["exceptions"].__get__
"""Python's own, whatever a class or its metaclass has in their place."""


def class_name(value: object) -> str:
    """The name of the class of `value`."""
    name: str = _name_of(type(value))
    return name


def is_a(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeIs[T]:
    """As `isinstance`, by the type of `value` alone: the `__class__` of a proxy is code of the program."""
    return issubclass(type(value), kind)


def is_instance(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeIs[T]:
    """As `isinstance`, where a proxy may stand for what is asked for. One that stands for nothing is nothing."""
    try:
        return isinstance(value, kind)
    except RecursionError:
        raise  # of whoever asks: the value may well be one
    except Exception:
        return False


def same(one: object, other: object) -> bool:
    """True if `one == other`. What cannot be compared is not the same."""
    try:
        return bool(one == other)
    except BaseException:
        return False


def truth(value: object) -> bool:
    """As `bool(value)`; what has no truth value is true, as any object by default."""
    try:
        return bool(value)
    except BaseException:
        return True


# --- text -------------------------------------------------------------------------------------------------


def clipped(text: str, limit: int = REPR_LIMIT) -> str:
    """`text`, if it is no longer than `limit` characters; else that much of it, and how long it was."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def safe_repr(value: object, limit: int = REPR_LIMIT) -> str:
    """The `repr` of `value`, in not many more than `limit` characters. Of what raises, in whole or in part, the class
    and what it raised."""
    return clipped(_repr(value, limit, _DEPTH), limit)


def safe_str(value: object, limit: int = REPR_LIMIT) -> str:
    """As `safe_repr`, of `str(value)`."""
    try:
        return clipped(_exactly(str(value)), limit)
    except BaseException as error:
        return _unprintable(value, "str", error)


def _unprintable(value: object, function: str, error: BaseException) -> str:
    return f"<{class_name(value)}, whose {function} raises {class_name(error)}>"


def _exactly(text: str) -> str:
    """A `str`, not of a class that is derived from it and may do otherwise."""
    return text if type(text) is str else str.__str__(text)


def _repr(value: object, limit: int, depth: int) -> str:
    kind: Any = type(value)
    try:
        if kind is str or kind is bytes or kind is bytearray:
            return _repr_of_text(value, limit)
        for container, left, right in _CONTAINERS:
            if kind is container:
                return _repr_of_items(value, left, right, limit, depth)
        if issubclass(kind, BaseException) and kind.__repr__ is BaseException.__repr__:
            arguments: tuple[object, ...] = _args_of(value)
            return f"{class_name(value)}({_joined((_repr(each, limit, depth - 1) for each in arguments), limit)})"
        return _exactly(repr(value))
    except BaseException as error:
        return _unprintable(value, "repr", error)


def _repr_of_text(value: Any, limit: int) -> str:
    """Cut before the `repr` is made: that of bytes is four times as long."""
    return repr(value) if len(value) <= limit else f"{value[:limit]!r}... ({len(value)} long)"


_CONTAINERS = (
    (tuple, "(", ")"),
    (list, "[", "]"),
    (dict, "{", "}"),
    (set, "{", "}"),
    (frozenset, "frozenset({", "})"),
)


def _repr_of_items(value: Any, left: str, right: str, limit: int, depth: int) -> str:
    """Of a container of Python's own, item by item: one that cannot be shown does not hide the others."""
    if not value:
        return repr(value)
    if depth <= 0:
        return f"{left}...{right}"
    if type(value) is dict:
        shown = (f"{_repr(key, limit, depth - 1)}: {_repr(item, limit, depth - 1)}" for key, item in value.items())
    else:
        shown = (_repr(item, limit, depth - 1) for item in value)
    alone = type(value) is tuple and len(value) == 1
    return f"{left}{_joined(shown, limit)}{',' if alone else ''}{right}"


def _joined(parts: Iterable[str], limit: int) -> str:
    """The parts that fit, one after another."""
    taken: list[str] = []
    length = 0
    for part in parts:
        if length > limit:
            taken.append("...")
            break
        taken.append(part)
        length += len(part) + 2
    return ", ".join(taken)


# --- exceptions -------------------------------------------------------------------------------------------


def forget_frames(error: BaseException | None) -> None:
    """Drops the tracebacks of an exception and of those behind it, which have been logged: a reason that is kept must
    not keep messages and their buffers. Not by assignment, which a frozen dataclass refuses."""
    seen: set[int] = set()
    rest = [error]
    while rest:
        error = rest.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            BaseException.with_traceback(error, None)
            rest += (_cause_of(error), _context_of(error))
            if is_a(error, BaseExceptionGroup):
                rest += _members_of(error)


# --- keys -------------------------------------------------------------------------------------------------

_PLAIN = (str, bytes, int, float, bool, type(None))


class _Key:
    """A key of a class of the program's, for a dictionary: its hash is asked for once, and it equals what it can be
    compared with."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self.value is inner_key(other) or same(self.value, inner_key(other))


def safe_key(value: Any) -> Any:
    """`value`, or what takes its place as the key of a dictionary, which then never raises. Raises what `hash(value)`
    does."""
    kind = type(value)
    if kind in _PLAIN or (kind is tuple and all(type(part) in _PLAIN for part in value)):
        return value
    return _Key(value)


def inner_key(key: object) -> object:
    """The value that `safe_key` was given."""
    return key.value if type(key) is _Key else key

"""Safe operations on objects that are not the runtime's own: messages, reasons, options, keys.

Their methods are code of the program. `repr` of a detached database row raises, `==` of an array returns another array,
a frozen dataclass refuses every attribute. The functions here catch what such methods raise, and limit the length of
texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # type checkers know it without the package

T = TypeVar("T")

REPR_LIMIT = 1000
"""Most characters shown of one object in a log record or an error, which are some lines. A longer text is cut, and its
full length added."""

_DEPTH = 4
"""Most levels of nested containers that are shown."""

_name_of = type.__dict__["__name__"].__get__
_args_of = BaseException.__dict__["args"].__get__
_module_of = type.__dict__["__module__"].__get__
_qualified_name_of = type.__dict__["__qualname__"].__get__
cause_of = BaseException.__dict__["__cause__"].__get__
context_of = BaseException.__dict__["__context__"].__get__
suppresses_context = BaseException.__dict__["__suppress_context__"].__get__
traceback_of = BaseException.__dict__["__traceback__"].__get__
members_of = BaseExceptionGroup.__dict__["exceptions"].__get__
"""Python's own attributes, even if a class or its metaclass overrides them."""


def class_name(value: object) -> str:
    """Returns the name of the class of `value`."""
    name: str = _name_of(type(value))
    return name


def qualified_name(kind: type) -> str:
    """Returns the name of a class with its module, as in a traceback; without it for a built-in class."""
    module, name = _module_of(kind), _qualified_name_of(kind)
    return f"{module}.{name}" if type(module) is str and module not in ("builtins", "__main__") else str(name)


def is_a(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeIs[T]:
    """Like `isinstance`, but uses only the type of `value`: the `__class__` of a proxy is code of the program."""
    return issubclass(type(value), kind)


def is_instance(value: object, kind: type[T] | tuple[type[T], ...]) -> TypeIs[T]:
    """Like `isinstance`, so that a proxy counts as its object. Returns False for a proxy that raises because it has no
    object."""
    try:
        return isinstance(value, kind)
    except RecursionError:
        raise  # the caller has used up the stack: this says nothing about the value
    except Exception:
        return False


def same(one: object, other: object) -> bool:
    """Returns True if `one == other`, and False if the comparison raises."""
    try:
        return bool(one == other)
    except BaseException:
        return False


def truth(value: object) -> bool:
    """Returns `bool(value)`, or True if that raises: objects are true by default."""
    try:
        return bool(value)
    except BaseException:
        return True


# --- text -------------------------------------------------------------------------------------------------


def clipped(text: str, limit: int = REPR_LIMIT) -> str:
    """Returns `text` if it has at most `limit` characters; otherwise its first `limit` characters and its length."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def safe_repr(value: object, limit: int = REPR_LIMIT) -> str:
    """Returns the `repr` of `value`, in not many more than `limit` characters. For a part whose `repr` raises, the text
    names its class and the exception's class."""
    return clipped(_repr(value, limit, _DEPTH), limit)


def safe_str(value: object, limit: int = REPR_LIMIT) -> str:
    """Like `safe_repr`, for `str(value)`."""
    return clipped(_str(value, limit), limit)


def _unprintable(value: object, function: str, error: BaseException) -> str:
    return f"<{class_name(value)}, whose {function} raises {class_name(error)}>"


def _exactly(text: str) -> str:
    """Returns `text` as a plain `str`: a subclass may behave differently."""
    return text if type(text) is str else str.__str__(text)


def _str(value: Any, limit: int) -> str:
    """Makes no long text of what Python itself would turn into one: bytes, containers, the arguments of exceptions."""
    kind: Any = type(value)
    try:
        if kind is str:
            return str.__str__(value)
        if kind in _AS_REPR:
            return _repr(value, limit, _DEPTH)
        if issubclass(kind, BaseException) and kind.__str__ in (BaseException.__str__, KeyError.__str__):
            arguments: tuple[object, ...] = _args_of(value)
            if len(arguments) != 1:
                return _repr(arguments, limit, _DEPTH) if arguments else ""
            plain = kind.__str__ is BaseException.__str__
            return _str(arguments[0], limit) if plain else _repr(arguments[0], limit, _DEPTH)
        return _exactly(str(value))
    except BaseException as error:
        return _unprintable(value, "str", error)


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
    """Cuts the value before its `repr` is made, because the `repr` of bytes can be four times as long."""
    shown = f"{value[:limit]!r}"
    if len(value) <= limit and len(shown) <= limit:
        return shown
    length = f"... ({len(value)} long)"
    return shown[: max(0, limit - len(length))] + length


_CONTAINERS = (
    (tuple, "(", ")"),
    (list, "[", "]"),
    (dict, "{", "}"),
    (set, "{", "}"),
    (frozenset, "frozenset({", "})"),
)

_AS_REPR = (bytes, bytearray, *(container for container, _, _ in _CONTAINERS))
"""Classes whose `str` is their `repr`."""


def _repr_of_items(value: Any, left: str, right: str, limit: int, depth: int) -> str:
    """Returns the `repr` of a built-in container, made item by item: an item that raises does not hide the others."""
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
    """Joins the parts that fit into `limit` characters, and adds "..." if there are more."""
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
    """Removes the tracebacks, already logged, of an exception, its causes, contexts and group members: a stored reason
    must not keep messages and their buffers alive. Does not assign attributes, which a frozen dataclass refuses."""
    seen: set[int] = set()
    rest = [error]
    while rest:
        error = rest.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            BaseException.with_traceback(error, None)
            rest += (cause_of(error), context_of(error))
            if is_a(error, BaseExceptionGroup):
                rest += members_of(error)


# --- keys -------------------------------------------------------------------------------------------------

_PLAIN = (str, bytes, int, float, bool, type(None))


class _Key:
    """A dictionary key for an object of the program: computes its hash once, and its `==` never raises."""

    __slots__ = ("_hash", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self.value is inner_key(other) or same(self.value, inner_key(other))


def safe_key(value: Any) -> Any:
    """Returns `value`, or a substitute as the key of a dictionary, whose operations then never raise. Raises what
    `hash(value)` raises."""
    kind = type(value)
    if kind in _PLAIN or (kind is tuple and all(type(part) in _PLAIN for part in value)):
        return value
    return _Key(value)


def inner_key(key: object) -> object:
    """Returns the value that was passed to `safe_key`."""
    return key.value if type(key) is _Key else key

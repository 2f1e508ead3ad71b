"""Objects of a program whose own methods raise, as those of detached rows, unbound proxies and frozen errors do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn


class HostileMethod(Exception):
    """What each method of `Hostile` raises."""


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise HostileMethod("a method of the program was called")


_METHODS = (
    "repr str format hash bool len iter contains eq ne lt le gt ge setattr delattr getattr getitem setitem int index "
    "float bytes call enter exit add radd mod rmod sizeof reduce dir"
)


def _namespace() -> dict[str, Any]:
    return dict.fromkeys((f"__{name}__" for name in _METHODS.split()), _refuse)


Hostile: Any = type("Hostile", (), {**_namespace(), "__class__": property(_refuse)})
"""Every method of it raises, and so does the question what class it is of, as with a proxy that stands for nothing."""

HostileText: Any = type("HostileText", (str,), {"__repr__": _refuse, "__str__": _refuse, "__format__": _refuse})

HostileBytes: Any = type("HostileBytes", (bytes,), {**_namespace()})

HostileError: Any = type(
    "HostileError",
    (Exception,),
    dict.fromkeys(("__repr__", "__str__", "__eq__", "__hash__", "__setattr__", "__bool__", "__format__"), _refuse),
)


@dataclass(frozen=True)
class FrozenError(Exception):
    """Refuses every attribute, also those that Python's own code would set."""

    code: int = 7


class LooseArray:
    """Compares as an array does: with an object that has no truth value."""

    def __eq__(self, other: object) -> Any:
        return Hostile()

    __hash__ = None  # type: ignore[assignment]


def _chained() -> Exception:
    error = ValueError("x", Hostile())
    error.__cause__ = HostileError(Hostile())
    return error


ERRORS: dict[str, Callable[[], Exception]] = {
    "an argument that cannot be shown": lambda: ValueError("x", Hostile()),
    "no method works": lambda: HostileError("x"),
    "frozen": FrozenError,
    "a group": lambda: ExceptionGroup("several", [HostileError(), FrozenError()]),
    "chained": _chained,
    "a key that cannot be shown": lambda: KeyError(Hostile()),
    "a long argument": lambda: RuntimeError(b"\0" * 60_000),
    "a large argument": lambda: RuntimeError([[Hostile()] * 100] * 100),
}
"""Exceptions that cannot be shown, compared or changed, or only at length. Made anew for each test, and chosen by their
name: not even pytest may look at them."""

VALUES: dict[str, Callable[[], Any]] = {
    "no method works": Hostile,
    "compares as an array": LooseArray,
    "text": lambda: HostileText("text"),
    "bytes": lambda: HostileBytes(b"bytes"),
    "exception": HostileError,
    "list": lambda: [Hostile()],
}
"""Messages, requests and answers of which nothing may be asked."""

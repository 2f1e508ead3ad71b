"""Types of `call` and `spawn`, for type checkers: the type of the answer to a request, and of the arguments of `init`.

The methods themselves are written once, without overloads: `declared` assigns them the types of the functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, overload

from .behavior import ProcessBehavior
from .hooks import ProcessHooks
from .identifiers import PID, Target
from .messages import MessagePriority
from .options import ProcessOptions

F = TypeVar("F")
Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class Request(Generic[Answer_co]):
    """Base of a request that declares the type of its answer: `class Get(gen.Request[int])`. Type checkers then know
    that `await self.call(to, Get())` is an `int`. At run time it has no effect, and the answer is not checked.

    >>> import asyncio, dataclasses, homing
    >>> from homing import act, gen
    >>> @dataclasses.dataclass(frozen=True)
    ... class Get(gen.Request[int]):
    ...     key: str
    >>> class Store(act.Actor):
    ...     def init(self, numbers):
    ...         self.numbers = numbers
    ...
    ...     def handle_call(self, sender, ref, request):
    ...         return self.numbers[request.key]
    >>> async def main():
    ...     async with homing.start_node("demo@localhost") as node:
    ...         store = await node.spawn(Store, {"answer": 42})
    ...         return await node.call(store, Get("answer"))
    >>> asyncio.run(main())
    42
    """

    __slots__ = ()


def declared(types: F) -> Callable[[Callable[..., Any]], F]:
    """Decorates a method, which has for type checkers the types of the function `types`. Has no other effect."""
    return lambda method: method  # type: ignore[return-value]


# --- call -------------------------------------------------------------------------------------------------


@overload
async def call(
    self: Any,
    to: Target,
    request: Request[Answer],
    *,
    timeout: float = ...,
    priority: MessagePriority = ...,
) -> Answer: ...
@overload
async def call(
    self: Any, to: Target, request: Any, *, timeout: float = ..., priority: MessagePriority = ...
) -> Any: ...
async def call(self: Any, to: Target, request: Any, **how: Any) -> Any:
    """The types of `Actor.call` and `Node.call`."""


# --- spawn ------------------------------------------------------------------------------------------------

# A protocol for each number of arguments: an `init` with defaults fits several of them. (With a `TypeVarTuple`, only a
# call with all arguments would fit.) Calls with more arguments are not checked.

A1 = TypeVar("A1", contravariant=True)
A2 = TypeVar("A2", contravariant=True)
A3 = TypeVar("A3", contravariant=True)
A4 = TypeVar("A4", contravariant=True)
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

Loose: TypeAlias = list[Any] | dict[Any, Any] | set[Any]
"""Containers whose elements are not checked: mypy would infer `list[int]` for `[1]` and refuse it as `list[float]`."""


class _Spawned(Protocol):
    _runtime_hooks: ClassVar[type[ProcessHooks]]


class Takes0(_Spawned, Protocol):
    """A behavior whose `init` can be called without arguments."""

    def init(self) -> Any: ...


class Takes1(_Spawned, Protocol[A1]):
    """A behavior whose `init` can be called with one argument."""

    def init(self, a: A1, /) -> Any: ...


class Takes2(_Spawned, Protocol[A1, A2]):
    """A behavior whose `init` can be called with two arguments."""

    def init(self, a: A1, b: A2, /) -> Any: ...


class Takes3(_Spawned, Protocol[A1, A2, A3]):
    """A behavior whose `init` can be called with three arguments."""

    def init(self, a: A1, b: A2, c: A3, /) -> Any: ...


class Takes4(_Spawned, Protocol[A1, A2, A3, A4]):
    """A behavior whose `init` can be called with four arguments."""

    def init(self, a: A1, b: A2, c: A3, d: A4, /) -> Any: ...


Name: TypeAlias = str | None
Options: TypeAlias = ProcessOptions | None


@overload
async def spawn(self: Any, behavior: type[Takes0], /, *, name: Name = ..., options: Options = ...) -> PID: ...
@overload
async def spawn(
    self: Any, behavior: type[Takes1[T1]], a: T1 | Loose, /, *, name: Name = ..., options: Options = ...
) -> PID: ...
@overload
async def spawn(
    self: Any,
    behavior: type[Takes2[T1, T2]],
    a: T1 | Loose,
    b: T2 | Loose,
    /,
    *,
    name: Name = ...,
    options: Options = ...,
) -> PID: ...
@overload
async def spawn(
    self: Any,
    behavior: type[Takes3[T1, T2, T3]],
    a: T1 | Loose,
    b: T2 | Loose,
    c: T3 | Loose,
    /,
    *,
    name: Name = ...,
    options: Options = ...,
) -> PID: ...
@overload
async def spawn(
    self: Any,
    behavior: type[Takes4[T1, T2, T3, T4]],
    a: T1 | Loose,
    b: T2 | Loose,
    c: T3 | Loose,
    d: T4 | Loose,
    /,
    *,
    name: Name = ...,
    options: Options = ...,
) -> PID: ...
@overload
async def spawn(
    self: Any,
    behavior: type[ProcessBehavior],
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    e: Any,
    /,
    *more: Any,
    name: Name = ...,
    options: Options = ...,
) -> PID: ...
async def spawn(self: Any, behavior: Any, *args: Any, **how: Any) -> Any:
    """The types of `Actor.spawn` and `Node.spawn`."""

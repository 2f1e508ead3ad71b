"""The functions of a service: what they take, what they may return."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from ..datagram import MessageUDP
from ..gen import BadOption
from ..gen.foreign import class_name, safe_repr

Bytes: TypeAlias = bytes | bytearray | memoryview

Reply: TypeAlias = Bytes | list[Bytes] | list[bytes] | tuple[Bytes, ...] | None
"""Return type of a function that handles a datagram: the reply, several replies, or no reply."""

Result: TypeAlias = Reply | Awaitable[Reply]

_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the program.

    name: for logs and for the names of processes.
    call: the function itself.
    takes_state: it has a parameter `state`, which is passed by keyword.
    is_async: it is an `async def`.
    """

    name: str
    call: Callable[..., Any]
    takes_state: bool
    is_async: bool


def name_of(function: Any) -> str:
    """Returns the name of a function; of a `functools.partial`, that of the function in it; of another callable object,
    that of its class."""
    while isinstance(function, partial):
        function = function.func
    try:
        name = function.__name__
    except Exception:
        name = None
    return name if type(name) is str and name else class_name(function)


def check_function(function: Any, takes: tuple[str, ...]) -> Function:
    """Returns the function with what it takes. Raises `BadOption` unless it can be called with `takes`, the names of
    its first parameters, and with or without a `state`."""
    name = name_of(function)
    if not callable(function):
        raise BadOption("function", function, "give a function, as in @service.udp(port=2345) above a def")
    wanted = f"({', '.join(takes)}) or ({', '.join((*takes, 'state'))})"
    try:
        signature = inspect.signature(function)
    except Exception as error:
        why = f"its parameters cannot be read ({safe_repr(error)}); wrap it in a def that takes {wanted}"
        raise BadOption("function", function, why) from None
    first = list(signature.parameters)[: len(takes)]
    if "state" in first:
        raise BadOption("function", function, f"{name}{signature}: state comes behind packet; let it take {wanted}")
    parameters = list(signature.parameters.values())[len(takes) :]
    takes_state = any(each.name == "state" and each.kind in _KEYWORDS for each in parameters)
    try:
        signature.bind(*takes, **({"state": None} if takes_state else {}))
    except TypeError as error:
        raise BadOption("function", function, f"{name}{signature}: {error}; let it take {wanted}") from None
    return Function(name, function, takes_state, _is_async(function))


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def answers(name: str, packet: MessageUDP, result: Any) -> list[MessageUDP]:
    """Returns the replies to `packet` that a function named `name` has returned as `result`. Raises `TypeError` unless
    that is bytes-like, a list or tuple of such, or None."""
    if result is None:
        return []
    if type(result) is not list and type(result) is not tuple:
        _check_bytes(name, result)
        return [packet.reply(result)]
    for part in result:
        _check_bytes(name, part, f" in a {class_name(result)}")
    # Copies: a pooled buffer goes back to its pool when the first reply has been sent.
    return [packet.reply(bytes(part)) for part in result]


def _check_bytes(name: str, data: Any, where: str = "") -> None:
    try:
        memoryview(data)
    except TypeError:
        what = f"{name} returned an object of type {class_name(data)}{where}"
        raise TypeError(f"{what}; return bytes, a list of bytes for several replies, or None for no reply") from None

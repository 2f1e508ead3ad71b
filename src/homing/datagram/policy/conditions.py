"""Conditions on a datagram, made of the parts in `expressions`.

The kernel, the native backend (in C) and Python come to the same verdict on each: see `compiling`. A comparison with a
byte that a datagram does not have is false.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ...gen import BadOption
from ...gen.foreign import safe_repr
from .networks import Networks

if TYPE_CHECKING:
    from .expressions import Number

DEEPEST = 100
"""The most conditions, one inside the other."""

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


class Datagram(NamedTuple):
    """The part of a datagram that a condition sees. address: one of `networks`; None: it is not one of IP."""

    data: bytes | bytearray | memoryview
    address: tuple[bool, int, int] | None
    port: int


class Expression:
    """Part of a condition. It has no truth value before there is a datagram."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a condition of meta.where is neither true nor false before there is a datagram: combine conditions with "
            "&, | and ~, each in parentheses, and write (1 < x) & (x < 3) for 1 < x < 3"
        )


class Condition(Expression):
    """A condition on a datagram, made by comparing parts of `meta.where`: for `UDPServerOptions.admit`. Conditions are
    combined by `&` (both), `|` (at least one) and `~` (not)."""

    __slots__ = ("__dict__", "_depth")

    _depth: int

    def __and__(self, other: Condition) -> Condition:
        return Several(True, self, other) if isinstance(other, Condition) else NotImplemented

    def __or__(self, other: Condition) -> Condition:
        return Several(False, self, other) if isinstance(other, Condition) else NotImplemented

    def __invert__(self) -> Condition:
        return Not(self)

    def passes(self, datagram: Datagram) -> bool:
        """Returns the verdict on a datagram."""
        raise NotImplementedError

    @cached_property
    def program(self) -> tuple[tuple[int, int, int, int], ...]:
        """The condition as a classic BPF program for a UDP socket. Raises `BadOption` if that is too long."""
        from .compiling import compile_condition

        return compile_condition(self)


class Comparison(Condition):
    """Compares two numbers."""

    __slots__ = ("left", "needed", "operator", "right")

    def __init__(self, left: Number, operator: str, right: Number | int) -> None:
        self.left, self.operator, self.right = left, operator, right
        self.needed = max(left.needed, 0 if isinstance(right, int) else right.needed)
        self._depth = 1

    def __repr__(self) -> str:
        return f"{self.left!r} {self.operator} {self.right!r}"

    def passes(self, datagram: Datagram) -> bool:
        if len(datagram.data) < self.needed:
            return False
        right = self.right if isinstance(self.right, int) else self.right.of(datagram)
        return _COMPARISONS[self.operator](self.left.of(datagram), right)


class Within(Condition):
    """Whether the source of a datagram is in one of some networks."""

    __slots__ = ("_set", "_texts", "networks")

    def __init__(self, networks: list[IPv4Network | IPv6Network]) -> None:
        self.networks = networks
        self._texts = tuple(map(str, networks))
        self._set = Networks(networks)
        self._depth = 1

    def __repr__(self) -> str:
        return f"where.address.within({', '.join(map(repr, self._texts))})"

    def passes(self, datagram: Datagram) -> bool:
        return datagram.address is not None and self._set.contains(*datagram.address)


class Several(Condition):
    """Whether all of some conditions hold, or at least one."""

    __slots__ = ("all", "parts")

    def __init__(self, every: bool, left: Condition, right: Condition) -> None:
        self.all = every
        self.parts = (*self._parts_of(left), *self._parts_of(right))
        self._depth = 1 + max(part._depth for part in self.parts)
        _check_depth(self, self._depth)

    def _parts_of(self, condition: Condition) -> tuple[Condition, ...]:
        return condition.parts if isinstance(condition, Several) and condition.all is self.all else (condition,)

    def __repr__(self) -> str:
        return (" & " if self.all else " | ").join(f"({part!r})" for part in self.parts)

    def passes(self, datagram: Datagram) -> bool:
        return (all if self.all else any)(part.passes(datagram) for part in self.parts)


class Not(Condition):
    """Whether a condition does not hold."""

    __slots__ = ("part",)

    def __init__(self, part: Condition) -> None:
        self.part = part
        self._depth = 1 + part._depth
        _check_depth(self, self._depth)

    def __repr__(self) -> str:
        return f"~({self.part!r})"

    def passes(self, datagram: Datagram) -> bool:
        return not self.part.passes(datagram)


def _check_depth(condition: Condition, depth: int) -> None:
    if depth > DEEPEST:
        raise BadOption("where", "...", f"more than {DEEPEST} conditions one inside the other; write it flatter")


def check_condition(option: str, value: object) -> None:
    """Raises `BadOption` unless `value` is a condition that can be compiled."""
    if not isinstance(value, Condition):
        hint = "give a condition of meta.where, such as meta.where.length >= 12"
        raise BadOption(option, safe_repr(value) if isinstance(value, Expression) else value, hint)
    try:
        _ = value.program
    except BadOption as error:
        raise BadOption(option, error.value, error.why) from None

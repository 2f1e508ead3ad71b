"""Parts of a datagram, of which conditions are made: its length, bytes, port and address.

Numbers are unsigned and have 32 bits: sums and products wrap.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add, and_, floordiv, lshift, mod, mul, or_, rshift, sub, xor
from typing import Any, TypeAlias

from ...gen import BadOption
from .conditions import Comparison, Condition, Datagram, Expression, Several, Within
from .networks import Network, parse_networks

LARGEST = 0xFFFFFFFF
FARTHEST = 65535
"""The end of the longest datagram."""

DEEPEST_NUMBER = 15
"""As many intermediate results as a classic BPF program can keep, less one."""

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": add,
    "-": sub,
    "*": mul,
    "//": floordiv,
    "%": mod,
    "&": and_,
    "|": or_,
    "^": xor,
    "<<": lshift,
    ">>": rshift,
}


class Field(Expression):
    """Part of a datagram: bytes of it, or a number. As a route (`route=meta.where[0:8]`) it is the key of a message:
    all datagrams with the same bytes there go to one worker."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment] # == makes a condition

    needed: int
    """Bytes that the datagram has at least, if it has this field."""

    def key_of(self, data: bytes | bytearray | memoryview) -> bytes:
        """Returns the key of a datagram; b"" if it is too short to have this field."""
        raise NotImplementedError

    def __call__(self, sender: object, message: Any) -> bytes:
        """Returns the key of a message, as a route. Messages that are no datagrams have the same one."""
        data = getattr(message, "data", b"")
        return self.key_of(data) if isinstance(data, (bytes, bytearray, memoryview)) else b""


class Octets(Field):
    """Bytes of a datagram, compared with `bytes`."""

    __slots__ = ("at", "end")

    def __init__(self, at: int, end: int) -> None:
        self.at, self.end = at, end

    @property
    def needed(self) -> int:  # type: ignore[override]
        return self.end

    def __repr__(self) -> str:
        return f"where[{self.at}:{self.end}]"

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        parts = [number == value for number, value in zip(self.words(), self._split(other), strict=True)]
        return parts[0] if len(parts) == 1 else _joined(True, parts)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        # that they are there, and differ: for ~(a == b) they may be missing too
        parts = [number != value for number, value in zip(self.words(), self._split(other), strict=True)]
        there = Number._part(self.end - 1, 1) >= 0
        return there & (parts[0] if len(parts) == 1 else _joined(False, parts))

    def words(self) -> list[Number]:
        """The same bytes as numbers of four bytes, and of two and one at the end."""
        numbers, at = [], self.at
        while at < self.end:
            size = next(size for size in (4, 2, 1) if size <= self.end - at)
            numbers.append(Number._part(at, size))
            at += size
        return numbers

    def _split(self, other: object) -> list[int]:
        if not isinstance(other, (bytes, bytearray)) or len(other) != self.end - self.at:
            raise BadOption("where", other, f"{self!r} is compared with {self.end - self.at} bytes")
        return [
            int.from_bytes(other[word.at - self.at : word.at - self.at + word.size], "big") for word in self.words()
        ]

    def key_of(self, data: bytes | bytearray | memoryview) -> bytes:
        return bytes(data[self.at : self.end]) if len(data) >= self.end else b""


def _joined(every: bool, parts: list[Condition]) -> Condition:
    condition = parts[0]
    for part in parts[1:]:
        condition = Several(every, condition, part)
    return condition


Operand: TypeAlias = "Number | int"


class Number(Field):
    """An unsigned number of 32 bits: the length or the source port of a datagram, some bytes of it (the first is the
    most significant), or the result of `+ - * // % & | ^ << >>` with another one.

    operator: "length", "port", "bytes", or an operation on left and right. at, size: of the bytes.
    """

    __slots__ = ("_depth", "_needed", "at", "left", "operator", "right", "size")

    _depth: int
    _needed: int

    def __init__(
        self, operator: str, left: Number | None = None, right: Operand = 0, at: int = 0, size: int = 0
    ) -> None:
        self.operator, self.left, self.right = operator, left, right
        self.at, self.size = at, size
        operands = [one for one in (left, right) if isinstance(one, Number)]
        self._needed = max([at + size, *(one._needed for one in operands)])
        self._depth = 1 + max((one._depth for one in operands), default=0)
        if self._depth > DEEPEST_NUMBER:
            raise BadOption("where", "...", f"more than {DEEPEST_NUMBER} operations one inside the other")

    @classmethod
    def _part(cls, at: int, size: int) -> Number:
        return cls("bytes", at=at, size=size)

    @property
    def needed(self) -> int:  # type: ignore[override]
        return self._needed

    def __repr__(self) -> str:
        if self.operator == "bytes":
            return f"where[{self.at}]" if self.size == 1 else f"where[{self.at}:{self.at + self.size}]"
        if self.left is None:
            return f"where.{self.operator}"
        return f"({self.left!r} {self.operator} {self.right!r})"

    def of(self, datagram: Datagram) -> int:
        """Returns the number in a datagram that has all bytes of it."""
        if self.operator == "bytes":
            return int.from_bytes(datagram.data[self.at : self.at + self.size], "big")
        if self.left is None:
            return len(datagram.data) if self.operator == "length" else datagram.port
        right = self.right if isinstance(self.right, int) else self.right.of(datagram)
        return _OPERATIONS[self.operator](self.left.of(datagram), right) & LARGEST

    def key_of(self, data: bytes | bytearray | memoryview) -> bytes:
        if len(data) < self._needed:
            return b""
        return self.of(Datagram(data, None, 0)).to_bytes(4, "big")

    # --- operations -------------------------------------------------------------------------------------------

    def _operate(self, operator: str, right: object) -> Number:
        if isinstance(right, Number) and operator not in ("//", "%", "<<", ">>"):
            return Number(operator, self, right)
        number = _constant(right, f"{operator} is followed by a number from 0 to 4294967295")
        if operator in ("//", "%") and number == 0:
            raise BadOption("where", right, f"{operator} 0 has no result")
        if operator in ("<<", ">>") and number > 31:
            raise BadOption("where", right, f"{operator} is followed by 0 to 31, as numbers have 32 bits")
        return Number(operator, self, number)

    def __add__(self, other: Operand) -> Number:
        return self._operate("+", other)

    def __sub__(self, other: Operand) -> Number:
        return self._operate("-", other)

    def __mul__(self, other: Operand) -> Number:
        return self._operate("*", other)

    def __floordiv__(self, other: int) -> Number:
        return self._operate("//", other)

    def __mod__(self, other: int) -> Number:
        return self._operate("%", other)

    def __and__(self, other: Operand) -> Number:
        return self._operate("&", other)

    def __or__(self, other: Operand) -> Number:
        return self._operate("|", other)

    def __xor__(self, other: Operand) -> Number:
        return self._operate("^", other)

    def __lshift__(self, other: int) -> Number:
        return self._operate("<<", other)

    def __rshift__(self, other: int) -> Number:
        return self._operate(">>", other)

    __radd__, __rmul__, __rand__, __ror__, __rxor__ = __add__, __mul__, __and__, __or__, __xor__

    # --- comparisons ------------------------------------------------------------------------------------------

    def _compare(self, operator: str, right: object) -> Condition:
        if isinstance(right, Number):
            return Comparison(self, operator, right)
        if self.operator == "bytes" and isinstance(right, (bytes, bytearray)) and len(right) == self.size:
            return Comparison(self, operator, int.from_bytes(right, "big"))
        return Comparison(self, operator, _constant(right, f"{self!r} is compared with a number from 0 to 4294967295"))

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: Operand) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: Operand) -> Condition:
        return self._compare("<=", other)

    def __gt__(self, other: Operand) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: Operand) -> Condition:
        return self._compare(">=", other)

    def one_of(self, *numbers: int) -> Condition:
        """Whether it is one of these numbers."""
        if not numbers:
            raise BadOption("where", numbers, "give at least one number")
        return _joined(False, [self == number for number in numbers]) if len(numbers) > 1 else self == numbers[0]


def _constant(value: object, words: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise BadOption("where", value, words)
    return int(value)


class Source:
    """The source address of a datagram."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment] # == makes a condition

    def __repr__(self) -> str:
        return "where.address"

    def within(self, *networks: Network) -> Condition:
        """Whether it is in one of these networks, as in `UDPServerOptions.allow`."""
        if not networks:
            raise BadOption("where", networks, "give at least one network")
        return Within(parse_networks("where", networks))

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Within(parse_networks("where", (other,)))

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return ~Within(parse_networks("where", (other,)))


class Where:
    """The parts of a datagram: see `where`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "where"

    @property
    def length(self) -> Number:
        """Bytes of data."""
        return Number("length")

    @property
    def port(self) -> Number:
        """The port of the source."""
        return Number("port")

    @property
    def address(self) -> Source:
        """The address of the source: `where.address.within("192.0.2.0/24")`, `where.address == "192.0.2.1"`."""
        return Source()

    def __getitem__(self, at: int | slice) -> Any:
        """A byte, or with a slice of two or four bytes the number that they are, the first byte the most significant.
        A slice of another length is compared with `bytes`. Raises `BadOption`."""
        if isinstance(at, slice):
            first, end = at.start or 0, at.stop
            if at.step is not None or not _is_place(first) or not _is_place(end) or not first < end <= FARTHEST:
                raise BadOption("where", at, f"give where[FIRST:END], from 0 to {FARTHEST}, without a step")
            size = end - first
            return Number._part(first, size) if size in (1, 2, 4) else Octets(first, end)
        if not _is_place(at) or at >= FARTHEST:
            raise BadOption("where", at, f"give the place of a byte, from 0 to {FARTHEST - 1}")
        return Number._part(at, 1)


def _is_place(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


where = Where()
"""The parts of a datagram, to make conditions of for `UDPServerOptions.admit`, and routes:

`where.length` (bytes of data), `where[0]` (a byte), `where[2:4]` (a number of two or four bytes, the first the most
significant), `where[0:8] == b"..."`, `where.port` and `where.address` of the source.

Numbers are unsigned and have 32 bits, results too: `+ - * // % & | ^ << >>` with another one (`// % << >>` with an
`int`). Comparisons make conditions, which `&`, `|` and `~` combine. A comparison with a byte that a datagram does not
have is false. Wrong operands raise `BadOption`.
"""

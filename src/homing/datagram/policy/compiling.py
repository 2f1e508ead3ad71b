"""Compiles the expressions of `expressions` to classic BPF, which the kernel runs, and the native backend too.

A program of a socket sees a datagram from the UDP header on, one that steers from the data on. Each jump leads forward,
by at most 255 instructions; a longer program jumps by `ja`. See linux/Documentation/networking/filter.rst.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from ...gen import BadOption
from .conditions import Comparison, Condition, Not, Several, Within
from .expressions import Field, Number, Octets
from .networks import split

Program = tuple[tuple[int, int, int, int], ...]

HEADER = 8
"""Bytes of the UDP header."""

MOST = 4096
"""Instructions of a program: BPF_MAXINSNS."""

PASS, REFUSE = 0xFFFFFFFF, 0

NETWORK_HEADER = 0xFFF00000
"""SKF_NET_OFF: the IP header."""
FOUR_SOURCE, SIX_SOURCE = NETWORK_HEADER + 12, NETWORK_HEADER + 8
"""The source address in the IP header."""

LOAD = {1: 0x30, 2: 0x28, 4: 0x20}
LENGTH, LOAD_MEMORY, STORE, TO_X, RETURN, RETURN_A = 0x80, 0x60, 0x02, 0x07, 0x06, 0x16
JUMP, EQUAL, GREATER, GREATER_OR_EQUAL = 0x05, 0x15, 0x25, 0x35
BY_X = 0x08
OPERATIONS = {
    "+": 0x04,
    "-": 0x14,
    "*": 0x24,
    "//": 0x34,
    "|": 0x44,
    "&": 0x54,
    "<<": 0x64,
    ">>": 0x74,
    "%": 0x94,
    "^": 0xA4,
}
_JUMPS = {
    "==": (EQUAL, True),
    "!=": (EQUAL, False),
    ">": (GREATER, True),
    "<=": (GREATER, False),
    ">=": (GREATER_OR_EQUAL, True),
    "<": (GREATER_OR_EQUAL, False),
}

_SPREAD = 0x9E3779B1
"""An odd number near 2**32 divided by the golden ratio: Knuth's multiplicative hashing."""


class _Jump(NamedTuple):
    code: int
    number: int
    yes: int
    no: int


class _Writer:
    """Writes a program. Labels are numbers; `at` has the instructions that they are before."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._lines: list[tuple[int, int] | _Jump | int] = []
        self._labels = count()

    def label(self) -> int:
        return next(self._labels)

    def put(self, label: int) -> None:
        self._lines.append(label)

    def do(self, code: int, number: int = 0) -> None:
        self._lines.append((code, number))

    def jump(self, code: int, number: int, yes: int, no: int) -> None:
        self._lines.append(_Jump(code, number, yes, no))

    # --- conditions -------------------------------------------------------------------------------------------

    def condition(self, condition: Condition, yes: int, no: int) -> None:
        """Jumps to one of two labels."""
        if isinstance(condition, Not):
            self.condition(condition.part, no, yes)
        elif isinstance(condition, Several):
            for part in condition.parts[:-1]:
                following = self.label()
                self.condition(part, *((following, no) if condition.all else (yes, following)))
                self.put(following)
            self.condition(condition.parts[-1], yes, no)
        elif isinstance(condition, Comparison):
            self.compare(condition, yes, no)
        elif isinstance(condition, Within):
            self.within(condition, yes, no)
        else:
            raise TypeError(f"{type(condition).__name__} cannot be compiled")

    def require(self, needed: int, no: int) -> None:
        """Jumps if the data is shorter."""
        if needed:
            there = self.label()
            self.do(LENGTH)
            self.jump(GREATER_OR_EQUAL, needed + self._base, there, no)
            self.put(there)

    def compare(self, comparison: Comparison, yes: int, no: int) -> None:
        self.require(comparison.needed, no)
        code, straight = _JUMPS[comparison.operator]
        targets = (yes, no) if straight else (no, yes)
        right = comparison.right
        if isinstance(right, int):
            self.number(comparison.left, 0)
            self.jump(code, right, *targets)
        else:
            self.two(comparison.left, right, 0)
            self.jump(code | BY_X, 0, *targets)

    def two(self, left: Number, right: Number, kept: int) -> None:
        """Puts one number into A, another into X. kept: intermediate results that are in the memory."""
        self.number(left, kept)
        self.do(STORE, kept)
        self.number(right, kept + 1)
        self.do(TO_X)
        self.do(LOAD_MEMORY, kept)

    def number(self, number: Number, kept: int) -> None:
        """Puts a number into A."""
        if number.operator == "bytes":
            self.do(LOAD[number.size], self._base + number.at)
        elif number.operator == "length":
            self.do(LENGTH)
            if self._base:
                self.do(OPERATIONS["-"], self._base)
        elif number.operator == "port":
            self.do(LOAD[2], 0)
        elif isinstance(number.right, Number):
            self.two(number.left, number.right, kept)  # type: ignore[arg-type]
            self.do(OPERATIONS[number.operator] | BY_X)
        else:
            self.number(number.left, kept)  # type: ignore[arg-type]
            self.do(OPERATIONS[number.operator], number.right)

    def within(self, within: Within, yes: int, no: int) -> None:
        four, six, later = self.label(), self.label(), self.label()
        of_four, of_six = split(within.networks)
        self.do(LOAD[1], NETWORK_HEADER)  # version and length of the header
        self.do(OPERATIONS[">>"], 4)
        self.jump(EQUAL, 4, four, later)
        self.put(later)
        self.jump(EQUAL, 6, six, no)
        for label, networks, at, words in ((four, of_four, FOUR_SOURCE, 1), (six, of_six, SIX_SOURCE, 4)):
            self.put(label)
            for network in networks:
                following = self.label()
                self.matches(int(network.network_address), int(network.netmask), at, words, yes, following)
                self.put(following)
            self._lines.append(_Jump(JUMP, 0, no, no))

    def matches(self, address: int, mask: int, at: int, words: int, yes: int, no: int) -> None:
        """Jumps by whether the address of so many words at `at` is in a network."""
        for place in range(words):
            shift = 32 * (words - 1 - place)
            bits, wanted = mask >> shift & 0xFFFFFFFF, address >> shift & 0xFFFFFFFF
            if bits:
                following = self.label()
                self.do(LOAD[4], at + 4 * place)
                if bits != 0xFFFFFFFF:
                    self.do(OPERATIONS["&"], bits)
                self.jump(EQUAL, wanted, following, no)
                self.put(following)
        self._lines.append(_Jump(JUMP, 0, yes, yes))

    # --- the end ----------------------------------------------------------------------------------------------

    def program(self) -> Program:
        """Returns the program, with short jumps if they reach."""
        return self._resolved(False) or self._resolved(True) or ()

    def _resolved(self, far: bool) -> Program | None:
        places: dict[int, int] = {}
        at = 0
        for line in self._lines:
            if isinstance(line, int):
                places[line] = at
            else:
                at += 3 if far and isinstance(line, _Jump) and line.code != JUMP else 1
        program: list[tuple[int, int, int, int]] = []
        for line in self._lines:
            if isinstance(line, int):
                continue
            if not isinstance(line, _Jump):
                program.append((line[0], 0, 0, line[1]))
                continue
            here = len(program) + 1
            if line.code == JUMP:
                program.append((JUMP, 0, 0, places[line.yes] - here))
            elif far:
                program.append((line.code, 0, 1, line.number))
                program.append((JUMP, 0, 0, places[line.yes] - here - 1))
                program.append((JUMP, 0, 0, places[line.no] - here - 2))
            elif max(places[line.yes], places[line.no]) - here > 255:
                return None
            else:
                program.append((line.code, places[line.yes] - here, places[line.no] - here, line.number))
        return tuple(program)


def compile_condition(condition: Condition) -> Program:
    """Returns a program that passes the datagrams for which a condition holds. Raises `BadOption` if it is too long."""
    writer = _Writer(HEADER)
    yes, no = writer.label(), writer.label()
    writer.condition(condition, yes, no)
    writer.put(yes)
    writer.do(RETURN, PASS)
    writer.put(no)
    writer.do(RETURN, REFUSE)
    program = writer.program()
    if len(program) > MOST:
        why = f"it has {len(program)} instructions, at most {MOST}; allow= and deny= take long lists of networks"
        raise BadOption("where", "...", why)
    return program


def compile_steering(field: Field, number: int) -> Program:
    """Returns a program that gives datagrams with the same bytes in a field the same of so many sockets, and leaves
    those that are too short to the kernel. Raises `BadOption` for the port, which such a program does not see."""
    writer = _Writer(0)
    short = writer.label()
    writer.require(field.needed, short)
    words = field.words() if isinstance(field, Octets) else [field] if isinstance(field, Number) else []
    writer.do(0x00)  # ld 0
    writer.do(STORE, 15)
    for word in words:
        _check_visible(word)
        writer.number(word, 0)
        writer.do(TO_X)
        writer.do(LOAD_MEMORY, 15)
        writer.do(OPERATIONS["^"] | BY_X)
        writer.do(OPERATIONS["*"], _SPREAD)
        writer.do(STORE, 15)
    writer.do(OPERATIONS[">>"], 16)
    writer.do(OPERATIONS["%"], number)
    writer.do(RETURN_A)
    writer.put(short)
    writer.do(RETURN, PASS)  # no socket has that number
    program = writer.program()
    if len(program) > MOST:
        raise BadOption(
            "route", field, f"it has {len(program)} instructions, and {MOST} are the most; take fewer bytes"
        )
    return program


def _check_visible(number: Number) -> None:
    if number.operator == "port":
        raise BadOption("route", number, 'the kernel does not see the port there; route="source" keeps a peer together')
    for operand in (number.left, number.right):
        if isinstance(operand, Number):
            _check_visible(operand)

"""Amplification budgets in a file of memory (memfd_create(2)), whose descriptor goes to the successor.

The file has a section for each socket that has a budget, all numbers big-endian:

    4 bytes    number of the socket, in the order in which the sockets were sent
    4 bytes    number of addresses from which something came
    4 bytes    number of validated addresses
    ...        40 bytes for each of the first: the address (24), bytes received from there, bytes sent there
    ...        32 bytes for each of the others: the address, seconds until the end of its validity (a double)
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from ...datagram.policy.budget import Budget, Heard, Proven

_SECTION = struct.Struct(">III")
_HEARD = struct.Struct(">QQQQQ")
_PROVEN = struct.Struct(">QQQd")

MOST_ROWS = 1 << 14
"""Most addresses of each kind that are handed over for a socket; of more, those known longest are forgotten. To write
and read so many takes about 0.1 s, in which datagrams wait in the kernel."""

MOST_BYTES = 1 << 28
"""Most bytes of a file: 256 MiB, for some 200 sockets."""

_MOST_COUNTED = 1 << 62
_MOST_SECONDS = 1e9
"""The greatest counter, and the longest validity, that are believed."""


class BadBudgets(ValueError):
    """The file is not one of `write`."""


class Moved(NamedTuple):
    """The budgets and the validated addresses of a socket's peers."""

    number: int
    heard: list[Heard]
    proven: list[Proven]


def rows_of(budgets: dict[int, Budget]) -> list[Moved]:
    """Returns the rows of these budgets, which are given by the number of the socket."""
    found = []
    for number, budget in budgets.items():
        heard, proven = budget.rows(MOST_ROWS)
        if heard or proven:
            found.append(Moved(number, heard, proven))
    return found


def write(moved: list[Moved]) -> int:
    """Returns the descriptor of a new file with these rows, which the caller closes. Sockets for which the file has no
    room are left out. Raises `OSError`."""
    descriptor = os.memfd_create("homing budgets", os.MFD_CLOEXEC)
    try:
        left = MOST_BYTES
        with open(descriptor, "wb", closefd=False) as file:
            for number, heard, proven in moved:
                rows = [_SECTION.pack(number, len(heard), len(proven))]
                rows += [_HEARD.pack(*row) for row in heard]
                rows += [_PROVEN.pack(*row) for row in proven]
                section = b"".join(rows)
                left -= len(section)
                if left < 0:
                    break
                file.write(section)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_untrusted(descriptor: int) -> list[Moved]:
    """Returns the rows in a file. Raises only `BadBudgets`, whatever it is, and `OSError`."""
    if os.fstat(descriptor).st_size > MOST_BYTES:
        raise BadBudgets(f"more than {MOST_BYTES:,} bytes")
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        data = memoryview(file.read(MOST_BYTES))
    found = []
    while data:
        try:
            number, heard, proven = _SECTION.unpack_from(data)
        except struct.error:
            raise BadBudgets("section") from None
        middle = _SECTION.size + heard * _HEARD.size
        end = middle + proven * _PROVEN.size
        if max(heard, proven) > MOST_ROWS or end > len(data):
            raise BadBudgets("length")
        rows = list(_HEARD.iter_unpack(data[_SECTION.size : middle]))
        found.append(Moved(number, rows, list(_PROVEN.iter_unpack(data[middle:end]))))
        _check(found[-1])
        data = data[end:]
    return found


def _check(moved: Moved) -> None:
    if any(not row[2] or max(row[3:]) > _MOST_COUNTED for row in moved.heard):
        raise BadBudgets("address")
    if any(not row[2] or not 0 <= row[3] <= _MOST_SECONDS for row in moved.proven):
        raise BadBudgets("validity")

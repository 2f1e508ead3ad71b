"""States of processes in a file of memory (memfd_create(2)), whose descriptor goes to the successor.

The file, all numbers big-endian:

    4 bytes   length of the head
    head      JSON: {"tables": [...], "states": [[name, form, number, table, age, length], ...]}
    ...       the states' bytes, one after another, without gaps

`table` is a place in `tables`, of which most states share one. Nothing of it is unpickled or evaluated.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

from ...node.states.encoding import Encoded
from ...node.states.moving import Moved

_LENGTH = struct.Struct(">I")

MOST_BYTES = 1 << 28
"""Most bytes of a file: 256 MiB. Both programs have them in memory, some of them twice."""

MOST_SECONDS = 1e9
"""The greatest age that is believed."""


class BadStates(ValueError):
    """The file is not one of `write`."""


def write(states: list[Moved]) -> int:
    """Returns the descriptor of a new file with `states`, which the caller closes. Raises `OSError`."""
    tables: list[list[Any]] = []
    places: dict[int, int] = {}
    rows = []
    for name, encoded, age in states:
        if id(encoded.table) not in places:
            places[id(encoded.table)] = len(tables)
            tables.append(encoded.table)
        place = places[id(encoded.table)]
        rows.append([name, encoded.form, encoded.number, place, age, len(encoded.data)])
    head = json.dumps({"tables": tables, "states": rows}).encode()
    descriptor = os.memfd_create("homing states", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(_LENGTH.pack(len(head)) + head)
            for _, encoded, _ in states:
                file.write(encoded.data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_untrusted(descriptor: int) -> list[Moved]:
    """Returns the states in a file. Raises only `BadStates`, whatever it is, and `OSError`."""
    if os.fstat(descriptor).st_size > MOST_BYTES:
        raise BadStates(f"more than {MOST_BYTES:,} bytes")
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        data = file.read(MOST_BYTES)
    try:
        (length,) = _LENGTH.unpack_from(data)
        head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        return _read(head["tables"], head["states"], data, _LENGTH.size + length)
    except (struct.error, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BadStates(type(error).__name__) from None


def _read(tables: list[Any], rows: list[Any], data: bytes, start: int) -> list[Moved]:
    found = []
    for name, form, number, place, age, length in rows:
        if not (type(name) is str and type(form) is str and type(number) is int and type(age) in (int, float)):
            raise BadStates("row")
        if type(place) is not int or type(length) is not int or not 0 <= length <= len(data) - start:
            raise BadStates("length")
        if not 0 <= age <= MOST_SECONDS or place < 0 or not isinstance(tables[place], list):
            raise BadStates("value")
        found.append(Moved(name, Encoded(form, data[start : start + length], number, tables[place]), age))
        start += length
    return found


def within(states: list[Moved]) -> tuple[list[Moved], list[str]]:
    """Returns the states that one file has room for, and the names of the others."""
    found, left, total = [], [], MOST_BYTES // 2  # the rest is for the head
    for one in states:
        total -= len(one.encoded.data)
        if total >= 0:
            found.append(one)
        else:
            total += len(one.encoded.data)
            left.append(one.name)
    return found, left

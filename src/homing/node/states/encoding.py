"""States as bytes, and back. Nothing is ever unpickled or evaluated.

"bytes"    bytes, as they are
"plain"    JSON of str, int, float, bool, None, and of lists and dicts of these with keys of str: what the standard
           library restores class by class. Used if there is no codec
"message"  whatever a codec can carry: `homing.cluster` has one, by msgspec, with the rules for messages between nodes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...gen import BadOption
from ...gen.foreign import class_name

DEPTH = 32
"""Most levels of containers in plain data, as in messages between nodes: far below Python's recursion limit."""

MOST_CONTAINERS = 1 << 17
"""Most lists and dicts in plain data. Ends the walk through a list that holds itself many times."""

_SCALARS = frozenset((str, int, float, bool, type(None)))


class Codec(Protocol):
    """Encodes states of classes that the standard library cannot restore."""

    def encode(self, value: Any) -> tuple[bytes, int, list[Any]]:
        """Returns a value's bytes, the number of its class, and the table of numbers and names, which JSON can carry.
        Raises any exception for what would not come out equal."""

    def decode(self, data: bytes, number: int, table: list[Any]) -> Any:
        """Returns the value of such bytes, perhaps encoded in another OS process. Raises any exception."""


make_codec: Callable[[], Codec | None] = lambda: None  # noqa: E731 - replaced by `use_codec`
_codec: list[Codec | None] = []


def use_codec(make: Callable[[], Codec | None]) -> None:
    """Sets the function that returns the codec when a state first needs one, or None if there is none."""
    global make_codec
    make_codec = make
    _codec.clear()


def codec() -> Codec | None:
    """Returns the codec of this OS process, or None."""
    if not _codec:
        _codec.append(make_codec())
    return _codec[0]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A state as bytes.

    form: "bytes", "plain" or "message".
    number, table: with "message": see `Codec`.
    """

    form: str
    data: bytes
    number: int = 0
    table: list[Any] = field(default_factory=list)

    def same(self, other: Encoded | None) -> bool:
        """Returns True if both are the same state."""
        return other is not None and (self.form, self.number, self.data) == (other.form, other.number, other.data)


def encode(value: Any) -> Encoded:
    """Returns a state as bytes. Raises any exception for what cannot be restored."""
    if type(value) is bytes:
        return Encoded("bytes", value)
    by_codec = codec()
    if by_codec is not None:
        return Encoded("message", *by_codec.encode(value))
    _check_plain(value, [MOST_CONTAINERS], DEPTH)
    return Encoded("plain", json.dumps(value, separators=(",", ":")).encode())


def decode(encoded: Encoded) -> Any:
    """Returns the state of such bytes. Raises any exception."""
    if encoded.form == "bytes":
        return encoded.data
    if encoded.form == "plain":
        return json.loads(encoded.data)
    by_codec = codec()
    if encoded.form != "message" or by_codec is None:
        raise BadOption("state", encoded.form, "install msgspec (homing[cluster]) here too: it was encoded by it")
    return by_codec.decode(encoded.data, encoded.number, encoded.table)


def _check_plain(value: Any, room: list[int], depth: int) -> None:
    """Raises `BadOption` unless JSON restores `value` class by class. room: containers that may follow."""
    kind = type(value)
    if kind in _SCALARS:
        return
    room[0] -= 1
    if depth == 0 or room[0] < 0:
        raise BadOption("state", kind, f"nest at most {DEPTH} levels and {MOST_CONTAINERS} containers")
    parts: Iterable[Any]
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise BadOption("state", class_name(key), "without msgspec (homing[cluster]), keys are str")
        parts = value.values()
    elif kind is list:
        parts = value
    else:
        raise BadOption(
            "state",
            class_name(value),
            "without msgspec (homing[cluster]), return bytes, or str, int, float, bool, None, lists and dicts",
        )
    for part in parts:
        if type(part) not in _SCALARS:
            _check_plain(part, room, depth - 1)

"""Plain data: values of Python's own classes, which travel without registration and come out equal, class by class.

msgpack has no word for tuples, sets, byte arrays, long integers and identifiers, and msgspec reads only simple keys in
maps: those travel as extensions, whose codes are below. A message of a registered class may be a part of plain data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from ..gen.cluster_errors import NotTransferable
from ..gen.identifiers import PID, Alias, ClusterName, Event, ProcessID, Ref
from .fitting import Unreadable

TUPLE, BYTEARRAY, SET, FROZENSET, DICT, BIG, IDENTIFIER, MESSAGE, ERROR = range(1, 10)
"""Codes of msgpack extensions. Each has msgpack inside, BYTEARRAY and BIG apart, which have bytes."""

DEPTH = 32
"""Most levels of containers. Each level of an extension is a call of Python: this is far below its recursion limit."""

MOST = 1 << 20
"""Most values in a message: as many as fit into 1 MiB, the largest message. Ends the expansion of a list that holds
itself many times."""

IDENTIFIERS: tuple[Any, ...] = (PID, Alias, Ref, ProcessID, Event, ClusterName)
_CODE_OF = {kind: code for code, kind in enumerate(IDENTIFIERS)}
_encode = Encoder().encode


class _Identifier(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    kind: int
    first: str
    second: int | str
    creation: int = 0


_decode_identifier = Decoder(_Identifier).decode


def pack_identifier(value: Any) -> Ext:
    """Returns an identifier as an extension. Raises `NotTransferable` if its parts are of other classes."""
    if type(value) is ClusterName:
        parts: tuple[Any, ...] = (value.name, "")
    else:
        parts = tuple(value) if isinstance(value, tuple) else (value.name, value.node)
    kinds = (str, int, int) if len(parts) == 3 else (str, str)
    if tuple(map(type, parts)) != kinds:
        raise NotTransferable(value, "its parts are not those of an identifier")
    return Ext(IDENTIFIER, _encode((_CODE_OF[type(value)], *parts)))


def unpack_identifier(data: Any) -> Any:
    """Returns the identifier in an extension. Raises errors of any class."""
    wire = _decode_identifier(data)
    kind = IDENTIFIERS[wire.kind] if 0 <= wire.kind < len(IDENTIFIERS) else None
    if kind is ClusterName and wire.second == "":
        return ClusterName(wire.first)
    if kind is None or (type(wire.second) is int) != issubclass(kind, tuple):
        raise Unreadable("identifier")
    return kind(wire.first, wire.second, wire.creation) if issubclass(kind, tuple) else kind(wire.first, wire.second)


class Packer:
    """Turns plain data into what msgspec encodes so that it comes out equal.

    message: returns the extension of a value of another class: a registered message. Raises `NotTransferable`.
    """

    def __init__(self, message: Callable[[Any], Ext]) -> None:
        self._message = message
        self._room = 0

    def top(self, value: Any) -> Any:
        """Returns an object whose encoding `Unpacker.decode` reads. A tuple becomes an array: see `decode_tuple`.
        Raises `NotTransferable`."""
        self._room = MOST
        if type(value) is tuple:
            return [self.pack(part, DEPTH - 1) for part in value]
        return self.pack(value, DEPTH)

    def pack(self, value: Any, depth: int) -> Any:
        """Returns `value` as a part; `depth`: levels that it may have."""
        kind = type(value)
        if kind is str or kind is float or kind is bytes or kind is bool or value is None:
            return value
        if kind is int:
            if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF:
                return value
            return Ext(BIG, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
        if kind is bytearray:
            return Ext(BYTEARRAY, bytes(value))
        if kind in _CODE_OF:
            return pack_identifier(value)
        if kind is list or kind is tuple or kind is set or kind is frozenset or kind is dict:
            return self._container(kind, value, depth)
        return self._message(value)

    def _container(self, kind: type, value: Any, depth: int) -> Any:
        self._room -= len(value)
        if depth <= 0:
            raise NotTransferable(value, f"its data are nested more than {DEPTH} levels deep")
        if self._room < 0:
            raise NotTransferable(value, f"it holds more than {MOST} values")
        below = depth - 1
        if kind is dict:
            if all(type(key) is str for key in value):
                return {key: self.pack(part, below) for key, part in value.items()}
            flat = [self.pack(part, below) for pair in value.items() for part in pair]
            return Ext(DICT, _encode(flat))
        parts = [self.pack(part, below) for part in value]
        if kind is list:
            return parts
        return Ext(TUPLE if kind is tuple else SET if kind is set else FROZENSET, _encode(parts))


class Unpacker:
    """Decodes plain data. Its methods raise errors of any class: `fitting.Reader` turns them into `Unreadable`.

    message: decodes the inside of a MESSAGE. error: of an ERROR.
    """

    def __init__(self, message: Callable[[Any], Any], error: Callable[[Any], Any]) -> None:
        self._depth = 0
        self._message = message
        self._error = error
        self.decode: Callable[[Any], Any] = Decoder(ext_hook=self._extension).decode
        self.decode_list: Callable[[Any], list[Any]] = Decoder(list, ext_hook=self._extension).decode
        self.decode_tuples: Callable[[Any], list[Any]] = Decoder(list[tuple[Any, ...]], ext_hook=self._extension).decode
        self.decode_tuple: Callable[[Any], tuple[Any, ...]] = Decoder(tuple, ext_hook=self._extension).decode

    def _extension(self, code: int, data: memoryview) -> Any:
        if self._depth > DEPTH:
            raise Unreadable("depth")
        self._depth += 1
        try:
            return self._decoded(code, data)
        finally:
            self._depth -= 1

    def _decoded(self, code: int, data: memoryview) -> Any:
        if code == TUPLE:
            return self.decode_tuple(data)
        if code == IDENTIFIER:
            return unpack_identifier(data)
        if code == MESSAGE:
            return self._message(data)
        if code == BIG:
            return int.from_bytes(data, "big", signed=True)
        if code == BYTEARRAY:
            return bytearray(data)
        if code == ERROR:
            return self._error(data)
        parts = self.decode_list(data)
        if code == SET:
            return set(parts)
        if code == FROZENSET:
            return frozenset(parts)
        if code == DICT and len(parts) % 2 == 0:
            return dict(zip(parts[::2], parts[1::2], strict=True))
        raise Unreadable("extension")

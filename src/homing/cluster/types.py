"""The message types of a node: their numbers on the wire, and how messages and exceptions become bytes and return.

Names travel, once, in Hello; messages carry numbers. No class is ever looked up by a name outside of this table.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from ..datagram.message import MessageUDP
from ..datagram.validation import AddressValidated
from ..gen import cluster, messages
from ..gen.cluster_errors import NotTransferable
from ..gen.errors import BadOption
from ..gen.foreign import is_a, qualified_name, safe_repr
from .annotations import Classes
from .datagram_bodies import datagram_in, datagram_out
from .exceptions import error_in, error_out, pack_error
from .fitting import PLAIN, TUPLE, Check, Outgoing, Reader, Unreadable
from .plain import IDENTIFIERS, MESSAGE, Packer, Unpacker

OURS = "homing."
"""Begins the names of Homing's own types; no other name may."""

MOST_TYPES = 4096
"""Most types of a node. A peer's numbers above are ignored: they are places of a list."""

AS_THEY_ARE: tuple[type, ...] = (
    *IDENTIFIERS,
    messages.MessagePriority,
    messages.MessageEventStart,
    messages.MessageEventStop,
    cluster.MessageNodeUp,
    cluster.MessageNodeBusy,
    cluster.MessageNodeReady,
)
"""Homing's messages whose fields msgspec can encode."""

BY_FIELDS: tuple[type, ...] = (
    *messages.BROUGHT_BY_LINKS,
    messages.MessageEvent,
    messages.MessageFallback,
    messages.MessageConfig,
    messages.MessageDeadLetter,
    cluster.MessageNodeDown,
    AddressValidated,
)
"""Homing's messages with exceptions or any data in their fields."""

_encode = Encoder().encode


class Types:
    """The message types that may travel between this node and others.

    kinds: classes beside those marked by `gen.message`, each under its own name.

    numbers: the classes that an encoder writes as they are. `outgoing` and `check` look at their values; msgspec
        does not.

    Raises `BadOption` that names class and field for a class that cannot travel.
    """

    def __init__(self, kinds: Iterable[type] = ()) -> None:
        named = _names(kinds)
        classes = Classes({kind: name for name, kind in named.items()})
        self.numbers: dict[type, int] = {}
        self._names = ["", ""]
        self._digests = [0, 0]
        self._makers: list[Any] = [None, None]
        self._out: dict[type, Callable[[Any], Any]] = {}
        self._by_class: dict[type, int] = {}
        checks = [Check(object), Check(object)]
        for name, kind in named.items():
            check, text = classes.described(kind)
            self.numbers[kind] = self._add(kind, name, text, _native_maker(kind))
            checks.append(check)
        for kind in BY_FIELDS:
            self._add(kind, OURS + kind.__name__, "", _fields_maker(kind))
            self._out[kind] = self._pack_fields
        for kind, (parts, make) in cluster.IN_PARTS.items():
            self._add(kind, OURS + kind.__name__, "", _parts_maker(make))
            self._out[kind] = partial(self._pack_parts, parts)
        self._add(MessageUDP, OURS + "MessageUDP", "", lambda _unpacker, _same: _one_by_one(datagram_in))
        self._out[MessageUDP] = datagram_out
        if len(self._names) > MOST_TYPES:
            raise BadOption("types", len(self._names), f"at most {MOST_TYPES} message types can travel")
        self._packer = Packer(self._pack_message)
        self._errors_too = Packer(self._pack_any)
        outgoing = self.sorter = Outgoing(self.numbers, tuple(checks), self._other)
        self.check: Callable[[int, Any], None] = outgoing.check
        """Raises `NotTransferable` if a message whose class is in `numbers` would not come out equal."""
        self.outgoing: Callable[[Any], tuple[int, Any]] = outgoing.outgoing
        """Returns (number, body) of a message; `body` is an object that msgspec's encoder writes as it is: encode it
        at once. Raises `NotTransferable` for what would not come out equal. The encoder itself may still raise, for a
        text with lone surrogates or an integer of more than 64 bits: `refused` turns that into the same error."""
        self.error_out: Callable[[BaseException], Any] = error_out
        """Returns an exception as an object that msgspec's encoder writes as it is. Never raises."""
        self.error_in: Callable[[Any], Exception] = error_in
        """Returns the exception of such bytes, or of what they decode to. Never raises."""

    def prepare(self, message: Any) -> tuple[int, msgspec.Raw]:
        """Returns the number of a message, and its encoded body. Raises `NotTransferable` for what would not come out
        equal."""
        number, body = self.outgoing(message)
        try:
            return number, msgspec.Raw(_encode(body))
        except Exception as error:
            raise self.refused(message, error) from None

    def _add(self, kind: type, name: str, text: str, maker: _Maker) -> int:
        number = len(self._names)
        self._names.append(name)
        self._digests.append(_digest(text))
        self._makers.append(maker)
        self._by_class[kind] = number
        return number

    def table(self) -> list[tuple[int, str, int]]:
        """Returns (number, name, digest) of each type, for Hello. The digest, of 63 bits, tells versions apart."""
        return [(number, self._names[number], self._digests[number]) for number in range(2, len(self._names))]

    def reader(self, table: Sequence[Any]) -> list[Reader | None]:
        """Returns the readers of a peer's bodies, by its numbers; None for a type that this node does not know. A
        reader returns a message from bytes or a `msgspec.Raw`, and raises only `Unreadable`. Rows of
        `table` of another form are ignored."""
        known = dict(zip(self._names[2:], range(2, len(self._names)), strict=True))
        rows = [row for row in table if _is_row(row)]
        readers: list[Reader | None] = [None] * max(2, *(number + 1 for number, _, _ in rows), 2)
        unpacker = Unpacker(_nested(readers), error_in)
        readers[PLAIN] = Reader(unpacker.decode, unpacker.decode_list)
        readers[TUPLE] = Reader(unpacker.decode_tuple, unpacker.decode_tuples)
        for number, name, digest in rows:
            own = known.get(name)
            if own is not None and readers[number] is None:
                maker: Any = self._makers[own]
                readers[number] = maker(unpacker, digest == self._digests[own])
        return readers

    def differences(self, table: Sequence[Any]) -> list[str]:
        """Returns the names of types that this node and a peer have in other versions, or that one of them lacks."""
        theirs = {name: digest for _, name, digest in filter(_is_row, table)}
        ours = dict(zip(self._names[2:], self._digests[2:], strict=True))
        return sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))

    def refused(self, message: Any, error: Exception) -> NotTransferable:
        """Returns the error for a message whose encoding raised `error`."""
        return (
            error if is_a(error, NotTransferable) else NotTransferable(message, f"encoding raised {safe_repr(error)}")
        )

    # --- out, but for registered classes --------------------------------------------------------------------

    def _other(self, message: Any) -> tuple[int, Any]:
        kind = type(message)
        out = self._out.get(kind)
        if out is not None:
            return self._by_class[kind], out(message)
        return (TUPLE if kind is tuple else PLAIN), self._packer.top(message)

    def _pack_message(self, value: Any) -> Ext:
        """Packs a message of a known class as a part of plain data. Raises `NotTransferable`."""
        kind = type(value)
        if kind not in self._by_class:
            raise NotTransferable(value, _unknown(kind))
        number, body = self.outgoing(value)
        try:
            return Ext(MESSAGE, number.to_bytes(2, "big") + _encode(body))
        except Exception as error:
            raise self.refused(value, error) from None

    def _pack_any(self, value: Any) -> Ext:
        return pack_error(value) if is_a(value, Exception) else self._pack_message(value)

    def _pack_parts(self, parts: Callable[[Any], tuple[Any, ...]], message: Any) -> Any:
        try:
            told = parts(message)
        except AttributeError as error:  # its `__init__` never ran
            raise NotTransferable(message, str(error)) from None
        return self._packer.top(told)

    def _pack_fields(self, message: Any) -> Any:
        return self._errors_too.top(tuple(getattr(message, name) for name in type(message).__slots__))


def _unknown(kind: type) -> str:
    if issubclass(kind, (bool, int, float, str, bytes, tuple, list, dict, set, frozenset)):
        return (
            f"{qualified_name(kind)} is a class of the program derived from plain data; send the data, or register it"
        )
    return "mark its class by @gen.message, or list it in ClusterOptions(types=...), before the node joins"


def _names(kinds: Iterable[type]) -> dict[str, type]:
    """Returns the classes by name: Homing's own, the marked ones, and `kinds`. Raises `BadOption`."""
    named = {OURS + kind.__name__: kind for kind in AS_THEY_ARE}
    ours = {*AS_THEY_ARE, *BY_FIELDS, *cluster.IN_PARTS, MessageUDP}
    marked = {kind: name for name, kind in cluster.MESSAGES.items()}
    for kind in dict.fromkeys([*marked, *kinds]):
        if kind in ours:
            continue
        name = marked.get(kind, kind.__name__)
        if name.startswith(OURS):
            raise BadOption("types", kind, f"names that begin with {OURS!r} are Homing's own; give another by name=")
        if name in named:
            other = qualified_name(named[name])
            raise BadOption("types", kind, f"{other} travels as {name!r}; mark one by @gen.message(name=...)")
        named[name] = kind
    return named


def _digest(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _is_row(row: Any) -> bool:
    if type(row) not in (list, tuple) or len(row) != 3:
        return False
    number, name, digest = row
    return type(number) is int and 2 <= number < MOST_TYPES and type(name) is str and type(digest) is int


# --- in: a maker returns the reader of a type, for one peer: (unpacker, is it the same version?) -> reader -----------


_Maker: TypeAlias = Callable[[Unpacker, bool], Reader]
_split = Decoder(list[msgspec.Raw]).decode


def _one_by_one(decode: Callable[[Any], Any]) -> Reader:
    return Reader(decode, lambda bodies: [decode(body) for body in _split(bodies)])


def _native_maker(kind: Any) -> _Maker:
    decode: Callable[[Any], Any] = Decoder(kind).decode
    same_version = Reader(decode, Decoder(list[kind]).decode)
    if not issubclass(kind, tuple):
        return lambda _unpacker, _same: same_version

    def shortened(body: Any) -> Any:
        """Reads a NamedTuple of another version: msgspec would refuse one with more fields."""
        return decode(_encode(_split(body)[: len(kind._fields)]))

    return lambda _unpacker, same: same_version if same else _one_by_one(shortened)


def _fields_maker(kind: Any) -> _Maker:
    hints = typing.get_type_hints(kind)
    expected = [hints[name] for name in kind.__slots__]

    def maker(unpacker: Unpacker, _same: bool) -> Reader:
        def decode(body: Any) -> Any:
            values = unpacker.decode_tuple(body)[: len(expected)]
            for value, hint in zip(values, expected, strict=True):
                if hint is not Any and not isinstance(value, hint):
                    raise Unreadable(kind.__name__)
            return kind(*values)

        return _one_by_one(decode)

    return maker


def _parts_maker(make: Callable[..., Any]) -> _Maker:
    return lambda unpacker, _same: _one_by_one(lambda body: make(*unpacker.decode_tuple(body)))


def _nested(readers: list[Reader | None]) -> Callable[[Any], Any]:
    """Returns what decodes a message that is a part of plain data: its number, and its body."""

    def decode(data: memoryview) -> Any:
        number = int.from_bytes(data[:2], "big")
        reader = readers[number] if number < len(readers) else None
        if reader is None:
            raise Unreadable("type")
        return reader(data[2:])

    return decode

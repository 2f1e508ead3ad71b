"""Datagrams in columns, as they travel between nodes: each address and each info once, all payloads in one buffer.

addresses  the distinct addresses of the batch, as the socket module writes them
places     which address each datagram has: uint16, little-endian; empty: all have the first
lengths    of the payloads: uint32, little-endian
infos      the distinct `PacketInfo` of the batch, as their seven fields; empty: no datagram has one
info_places  which info each datagram has, as `places`; 0xffff: none. Empty: all have the first
cut        the numbers of the truncated datagrams
data       the payloads, one behind the other
"""

from __future__ import annotations

import sys
from array import array
from typing import Any, TypeAlias

from ...datagram.message import MessageUDP, PacketInfo, received
from ...gen import Alias

Columns: TypeAlias = tuple[list[Any], bytes, bytes, list[Any], bytes, list[int], bytes]

NO_INFO = 0xFFFF
"""In `info_places`: the datagram has no info."""

BESIDE = 16
"""Bytes that a datagram takes beside its payload in a frame, at most, without its address and info."""

MOST = 4096
"""Most datagrams of one frame: their addresses are numbered by 16 bits."""

_NO_INFO, _BESIDE, _MOST = NO_INFO, BESIDE, MOST
"""The same as C integers, where this is compiled."""

_NONE = array("H")
_SWAPPED = sys.byteorder == "big"
_TEXT = 256
"""Most characters of a host or path: those of sockets are shorter."""


class BadColumns(ValueError):
    """The columns of a frame do not fit together. It is dropped, and counted."""


def pack(messages: list[MessageUDP]) -> Columns:
    """Returns the columns of `messages`, at most `MOST`.

    Raises `TypeError` or `ValueError` if one of them cannot be sent: its payload is no bytes, or was released, or its
    address is none of a socket.
    """
    count = len(messages)
    place_column, info_column, length_column = column_of("H", count), column_of("H", count), column_of("I", count)
    places, info_places, lengths = place_column, info_column, length_column
    addresses: list[Any] = []
    infos: list[Any] = []
    known: dict[Any, int] = {}
    cut: list[int] = []
    payloads: list[Any] = []
    last: Any = None
    last_info: Any = None
    place = several = 0
    info_place = _NO_INFO
    different = False
    for number, message in enumerate(messages):
        address = message.addr
        if address is not last or number == 0:
            found = known.get(address)
            if found is None:
                check_address(address)
                found = known[address] = len(addresses)
                addresses.append(address)
            place, last = found, address
            several = several or place
        places[number] = place
        info = message.info
        if info is not last_info:
            info_place = _info_place(info, infos)
            different = True
            last_info = info
        info_places[number] = info_place
        if message.truncated:
            cut.append(number)
        data = message.data
        payloads.append(data)
        lengths[number] = len(data) if type(data) is bytes else memoryview(data).nbytes
    return (
        addresses,
        written(place_column) if several else b"",
        written(length_column),
        infos,
        written(info_column) if different and info_column.count(0) < count else b"",
        cut,
        b"".join(payloads),
    )


def _info_place(info: PacketInfo | None, infos: list[Any]) -> int:
    """Returns the place of an info in the list, where it is added if it is not there."""
    if info is None:
        return _NO_INFO
    if not isinstance(info, PacketInfo):
        raise TypeError(f"{type(info).__name__} is no PacketInfo")
    fields = info_fields(info)
    if fields in infos[-8:]:  # timestamps differ anyway; without them, a batch has few
        return len(infos) - 1 - infos[::-1].index(fields)
    infos.append(fields)
    return len(infos) - 1


def info_fields(info: PacketInfo | None) -> Any:
    """Returns the seven fields of an info, None for none."""
    if info is None:
        return None
    identity = None if info.identity is None else str(info.identity)  # a `meta.Identity` is a subclass
    return (info.local, info.interface, info.group, info.tos, info.ttl, info.timestamp, identity)


def cut_by_size(messages: list[MessageUDP], most: int) -> list[list[MessageUDP]]:
    """Divides datagrams into parts of about `most` bytes, in order, each of one socket: all `id`s in it are the same
    object."""
    found: list[list[MessageUDP]] = []
    part: list[MessageUDP] = []
    size = 0
    socket: Any = messages[0].id if messages else None
    if len(messages) <= _MOST:
        for message in messages:
            size += len(message.data) + _BESIDE
            if message.id is not socket or size > most:
                break
        else:
            return [messages] if messages else found  # usually
    size = 0
    for message in messages:
        if part and (message.id is not socket or size > most or len(part) >= _MOST):
            found.append(part)
            part = []
            size = 0
        socket = message.id
        part.append(message)
        size += len(message.data) + _BESIDE
    if part:
        found.append(part)
    return found


def gathered_size(messages: list[MessageUDP]) -> int:
    """Returns the bytes of the payloads of `messages`; -1 if one of them is not `bytes`, so that it may change."""
    size = 0
    for message in messages:
        data = message.data
        if type(data) is not bytes:
            return -1
        size += len(data)
    return size


def column_of(code: str, count: int) -> Any:
    """Returns a column of `count` unsigned numbers, all 0."""
    return array(code, bytes(count * (4 if code == "I" else 2)))


def written(column: Any) -> bytes:
    """Returns the numbers of a column as little-endian bytes."""
    if _SWAPPED:
        column.byteswap()
    found: bytes = column.tobytes()
    return found


def read_numbers(code: str, column: bytes) -> Any:
    """Returns the numbers of a column. Raises `BadColumns`."""
    found = array(code)
    try:
        found.frombytes(column)
    except ValueError:
        raise BadColumns("a column is no whole number of numbers") from None
    if _SWAPPED:
        found.byteswap()
    return found


def check_address(address: Any) -> None:
    """Raises `TypeError` if `address` is not of the form of a socket's address."""
    kind = type(address)
    if kind is tuple and len(address) in (2, 4):
        if type(address[0]) is str and len(address[0]) <= _TEXT:
            for number in address[1:]:
                if type(number) is not int or not 0 <= number <= 0xFFFFFFFF:
                    break
            else:
                return
    elif kind in (str, bytes) and len(address) <= _TEXT:
        return
    raise TypeError(f"{kind.__name__} is no address of a datagram")


def read_addresses(addresses: Any) -> list[Any]:
    """Returns the addresses of a frame as a socket writes them. Raises `BadColumns`."""
    found = []
    for address in addresses:
        made = tuple(address) if type(address) is list else address
        try:
            check_address(made)
        except TypeError as error:
            raise BadColumns(str(error)) from None
        found.append(made)
    return found


def read_infos(infos: Any) -> list[Any]:
    """Returns the infos of a frame. Raises `BadColumns`."""
    found = []
    for fields in infos:
        if type(fields) is not list or len(fields) != 7:
            raise BadColumns("an info has seven fields")
        local, interface, group, tos, ttl, timestamp, identity = fields
        try:
            info = PacketInfo(
                local=local,
                interface=interface,
                group=group,
                tos=tos,
                ttl=ttl,
                timestamp=timestamp,
                identity=identity,
            )
        except Exception:
            raise BadColumns("an info has wrong fields") from None
        found.append(info)
    return found


def read(frame: Any) -> tuple[list[Any], Any, Any, bytes]:
    """Returns the addresses of a frame, the places of its datagrams among them, None if all have the first one, the
    lengths of their payloads, and these. Raises `BadColumns`."""
    addresses = read_addresses(frame.addresses)
    lengths = read_numbers("I", frame.lengths)
    count, data = len(lengths), frame.data
    if count > _MOST or _total(lengths) != len(data):
        raise BadColumns("the lengths do not add up")
    return addresses, _places(frame.places, count, len(addresses), False) if count else None, lengths, data


def unpack(id: Alias, frame: Any) -> list[MessageUDP]:
    """Returns the datagrams of a frame, which has the columns as attributes, with `id` as theirs.

    Raises only `BadColumns`, whatever the frame holds.
    """
    addresses, place_column, length_column, data = read(frame)
    count = len(length_column)
    messages: list[MessageUDP] = []
    if count == 0:
        return messages
    infos = read_infos(frame.infos)
    info_column = _places(frame.info_places, count, len(infos), True) if infos else None
    lengths, octets = length_column, data
    several, different = place_column is not None, info_column is not None
    places, info_places = place_column or _NONE, info_column or _NONE
    start = end = 0
    address: Any = addresses[0]
    info: Any = infos[0] if infos else None
    for number in range(count):
        end = start + lengths[number]
        if several:
            address = addresses[places[number]]
        if different:
            place = info_places[number]
            info = None if place == _NO_INFO else infos[place]
        message = received(id, address, octets[start:end], info)
        messages.append(message)
        start = end
    for number in frame.cut:
        if not 0 <= number < count:
            raise BadColumns("a truncated datagram has no place")
        messages[number].truncated = True
    return messages


def _places(column: bytes, count: int, most: int, gaps: bool) -> Any:
    """Returns the places of `count` datagrams, each below `most`; None: all are 0. Raises `BadColumns`."""
    if most == 0:
        raise BadColumns("there are datagrams and no addresses")
    if not column:
        return None
    places = read_numbers("H", column)
    if len(places) != count:
        raise BadColumns("the places do not add up")
    if not _fits(places, most, gaps):
        raise BadColumns("a place is out of range")
    return places


def _total(numbers: Any) -> int:
    """Returns the sum of a column of lengths."""
    lengths, total = numbers, 0
    for number in range(len(lengths)):
        total += lengths[number]
    return total


def _fits(numbers: Any, most: int, gaps: bool) -> bool:
    """Returns True if all places of a column are below `most`; gaps: or `NO_INFO`."""
    places = numbers
    for number in range(len(places)):
        place = places[number]
        if place >= most and not (gaps and place == _NO_INFO):
            return False
    return True

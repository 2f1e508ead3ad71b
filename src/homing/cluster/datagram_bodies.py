"""A datagram as a message to another node: `MessageUDP` with its address, its data and its packet info."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.msgpack import Decoder

from ..datagram.message import MessageUDP, PacketInfo
from ..gen.cluster_errors import NotTransferable
from ..gen.identifiers import Alias
from .fitting import Unreadable

_INFO = ("local", "interface", "group", "tos", "ttl", "timestamp", "identity")


class _Wire(msgspec.Struct, array_like=True):
    """server: the parts of the alias to which an answer is sent."""

    server: tuple[str, int, int] | None
    address: Any
    truncated: bool
    info: tuple[str | None, int, str | None, int | None, int | None, int | None, str | None] | None
    data: bytes


_decode = Decoder(_Wire).decode


def _is_address(address: Any) -> bool:
    if type(address) is tuple:
        return all(type(part) in (str, int) for part in address)
    return type(address) in (str, bytes, type(None))  # a path of a Unix socket, or none


def datagram_out(message: Any) -> Any:
    """Returns a `MessageUDP` as an object that an encoder writes as it is. A pooled buffer is copied, and stays with
    its owner. Raises `NotTransferable`."""
    if message.id is not None and type(message.id) is not Alias:
        raise NotTransferable(message, "its id is no alias of a UDP server")
    address = message.addr
    if not _is_address(address):
        raise NotTransferable(message, "its addr is no address")
    info = message.info
    if info is not None and type(info) is not PacketInfo:
        raise NotTransferable(message, "its info is no meta.PacketInfo")
    try:
        data = message.data if type(message.data) is bytes else memoryview(message.data).tobytes()
    except (TypeError, ValueError) as error:
        raise NotTransferable(message, f"its data are no bytes ({error})") from None
    told: Any = None if info is None else [getattr(info, name) for name in _INFO]
    if told is not None and told[-1] is not None:
        told[-1] = str(told[-1])  # a `meta.Identity` is a subclass
    return _Wire(message.id, address, bool(message.truncated), told, data)


def datagram_in(body: Any) -> MessageUDP:
    """Returns the datagram. Its data are `bytes`. Raises errors of any class for other bytes."""
    wire = _decode(body)
    address = tuple(wire.address) if type(wire.address) is list else wire.address
    if not _is_address(address):
        raise Unreadable("address")
    return MessageUDP(
        None if wire.server is None else Alias(*wire.server),
        address,
        wire.data,
        wire.truncated,
        None,
        None if wire.info is None else PacketInfo(**dict(zip(_INFO, wire.info, strict=True))),  # type: ignore[arg-type]
    )

"""The keys of sessions: read from datagrams, and packed for other nodes and for the hash.

A packed key is one letter and the key:

    b  bytes, as they are
    s  str, in UTF-8
    i  int, in decimal digits
    a  an address, its fields separated by NUL
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...datagram import MessageUDP
from .options import Sessions


class NoKey(ValueError):
    """The datagram has no key, or the function returned something else."""


def key_reader(options: Sessions) -> Callable[[MessageUDP], Any]:
    """Returns a function that returns the key of a datagram: bytes, str, int, or the address of its source.

    It raises `NoKey`, and what the user's function raises.
    """
    key: Any = options.key
    if key == "source":
        return _source
    if isinstance(key, slice):
        start, end = key.start or 0, key.stop

        def read(message: MessageUDP) -> Any:
            data = message.data
            if len(data) < end:
                raise NoKey("the datagram is too short")
            part = data[start:end]
            return part if type(part) is bytes else bytes(part)

        return read

    def call(message: MessageUDP) -> Any:
        found = key(message)
        if found is None:
            return message.addr
        if type(found) not in (bytes, str, int):
            raise NoKey(f"the key is {type(found).__name__}; return bytes, str, int or None")
        return found

    return call


def _source(message: MessageUDP) -> Any:
    return message.addr


def number_reader(options: Sessions) -> Callable[[MessageUDP], int] | None:
    """Returns a function that returns the node's number in a datagram, -1 if it is too short; None without `number`."""
    if options.number is None:
        return None
    start, end = options.number.start or 0, options.number.stop

    def read(message: MessageUDP) -> int:
        data = message.data
        return int.from_bytes(data[start:end], "big") if len(data) >= end else -1

    return read


def pack_key(key: Any) -> bytes:
    """Returns a key in its packed form. Raises `NoKey`."""
    kind: Any = type(key)
    packed = b""
    try:
        if kind is bytes:
            packed = b"b" + key
        if kind is str:
            packed = b"s" + key.encode()
        if kind is int:
            packed = b"i%d" % key
        if kind is tuple and len(key) in (2, 4) and "\0" not in key[0]:
            packed = b"a" + "\0".join([key[0], *map(str, key[1:])]).encode()
    except (TypeError, ValueError, AttributeError):
        pass
    if not packed:
        raise NoKey(f"{kind.__name__} is no key of a session")
    return packed


def unpack_key(packed: bytes) -> Any:
    """Returns the key. Raises `NoKey`, whatever the bytes."""
    kind, rest = packed[:1], packed[1:]
    try:
        if kind == b"b":
            return rest
        if kind == b"s":
            return rest.decode()
        if kind == b"i":
            return _integer(rest.decode("ascii"))
        if kind == b"a":
            host, *others = rest.decode().split("\0")
            if len(others) in (1, 3):
                return (host, *map(_integer, others))
    except ValueError:
        pass
    raise NoKey("the packed key cannot be read")


def _integer(text: str) -> int:
    """Returns the number that `pack_key` has written so. Raises `ValueError` for any other way to write it."""
    if len(text) > 400:
        raise ValueError("too long")
    number = int(text)
    if str(number) != text:
        raise ValueError("not as it is written")
    return number

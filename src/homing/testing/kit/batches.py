"""Batches of datagrams, as a backend reads them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from ...datagram import DatagramBatch
from ...datagram.address import check_destination
from ...gen import Alias, BadOption
from ...gen.foreign import is_a
from ...gen.options import check_type
from ...meta import MessageUDP
from ...meta.udp.batch_entry import BatchEntry


def batch_entry(alias: Alias, messages: Sequence[MessageUDP]) -> Any:
    """Returns a batch, as an entry of a mailbox."""
    return BatchEntry(DatagramBatch(alias, _columns(messages)), _nothing)


def check_datagrams(datagrams: Any) -> None:
    """Raises `BadOption` or `BadAddress` unless these are pairs of a payload and an address."""
    for datagram in datagrams:
        if not (is_a(datagram, tuple) and len(datagram) == 2):
            raise BadOption("datagrams", datagram, "give pairs of data and addr")
        data, addr = datagram
        check_type("data", data, (bytes, bytearray, memoryview), "bytes")
        if not is_a(addr, str):  # that would be the path of a Unix socket
            six = is_a(addr, tuple) and len(addr) > 0 and is_a(addr[0], str) and ":" in addr[0]
            check_destination(AF_INET6 if six else AF_INET, addr)


def _nothing() -> None:
    """Does nothing: a batch of the kit has no memory to return."""


def _columns(messages: Sequence[MessageUDP]) -> Any:
    """Returns the columns of a batch, as a backend reads them."""
    lengths = array("i", [len(message.data) for message in messages])
    offsets = array("i", [0, *accumulate(lengths)][:-1])
    addresses = [message.addr for message in messages]
    six = any(":" in address[0] for address in addresses)
    hosts = [address[0].partition("%")[0] for address in addresses]
    mapped = [inet_pton(AF_INET6, host if ":" in host else f"::ffff:{host}") for host in hosts]
    return (
        b"".join(bytes(message.data) for message in messages),
        _nothing,
        sum(lengths),
        offsets.tobytes(),
        lengths.tobytes(),
        b"".join(mapped) if six else b"".join(inet_pton(AF_INET, host) for host in hosts),
        array("H", [address[1] for address in addresses]).tobytes(),
        list(range(len(messages))),
        addresses,
        [message.info for message in messages if message.info is not None],
        [index for index, message in enumerate(messages) if message.truncated],
    )

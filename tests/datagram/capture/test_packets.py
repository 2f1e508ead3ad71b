"""The headers of a recorded datagram."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.datagram.capture.frames import datagram_untrusted
from homing.datagram.capture.packets import checksum, packet

RAW = 101
HOSTS = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
PORTS = st.integers(0, 65535)


def summed(data: bytes) -> int:
    """The checksum of RFC 1071, word by word."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_the_rfc(data: bytes) -> None:
    assert checksum(data) == summed(data)


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xff", b"\xff" * 8, b"\0" * 8, b"\x80\0\x7f\xff"])
def test_the_checksum_is_right_at_both_zeros(data: bytes) -> None:
    assert checksum(data) == summed(data)


@given(HOSTS, PORTS, HOSTS, PORTS, st.binary(max_size=200))
def test_a_packet_of_any_addresses_is_read_as_it_was_made(
    source: str, port: int, destination: str, to: int, data: bytes
) -> None:
    made, length = packet((source, port), (destination, to), data, 65535)
    found = datagram_untrusted(RAW, made)
    assert (found.source[1], found.destination[1], found.data) == (port, to, data)
    assert length == len(made)
    if (":" in source) == (":" in destination):
        assert found.source[0] == str_of(source)
        assert found.destination[0] == str_of(destination)


def str_of(host: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, host))


@pytest.mark.parametrize("size", [0, 1, 65507, 65508, 65535])
def test_any_length_makes_a_packet(size: int) -> None:
    for host in ("127.0.0.1", "::1"):
        made, length = packet((host, 1), (host, 2), bytes(size), 65535)
        assert len(made) == length <= 65575
        assert datagram_untrusted(RAW, made).data == bytes(size)[: len(made) - (28 if host != "::1" else 48)]


def test_a_cut_packet_tells_its_length_and_has_the_checksum_of_the_whole() -> None:
    whole, length = packet(("127.0.0.1", 1), ("127.0.0.1", 2), bytes(range(100)), 65535)
    cut, told = packet(("127.0.0.1", 1), ("127.0.0.1", 2), bytes(range(100)), 10)
    assert (cut, told) == (whole[:38], length)


def test_the_wildcard_of_both_families_is_written_in_the_family_of_the_peer() -> None:
    made, _ = packet(("192.0.2.1", 1), ("::", 2), b"x", 65535)
    found = datagram_untrusted(RAW, made)
    assert (found.source, found.destination) == (("192.0.2.1", 1), ("0.0.0.0", 2))


def test_an_address_with_a_scope_or_none_at_all_is_written() -> None:
    made, _ = packet(("fe80::1%eth0", 1), ("fe80::2", 2), b"x", 65535)
    assert datagram_untrusted(RAW, made).source[0] == "fe80::1"
    made, _ = packet(("", 0), ("127.0.0.1", 2), b"x", 65535)  # Windows does not report the source of a cut datagram
    assert datagram_untrusted(RAW, made).source == ("0.0.0.0", 0)

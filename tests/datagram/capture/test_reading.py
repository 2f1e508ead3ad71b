"""Captures of any origin are read; torn and hostile ones are refused by file and offset."""

from __future__ import annotations

import io
import os
import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.datagram.errors import BadCapture
from homing.testing import Capture, Captured

from ...captures import block, has_tshark, packet4, packet6, pcap, pcapng, wireshark
from ...faults.figures import figure

SECONDS = float(os.environ.get("HOMING_FUZZ_SECONDS", "0.5"))
SEED = os.environ.get("HOMING_FUZZ_SEED", "1")

ONE = packet4(b"payload")


def read(data: bytes) -> list[Captured]:
    return list(Capture("x").read_untrusted(io.BytesIO(data)))


def outcome(data: bytes, path: str = "x") -> tuple[list[Captured], BadCapture | None]:
    """The datagrams that are read, and the error at the end, if there is one."""
    found: list[Captured] = []
    try:
        for one in Capture(path).read_untrusted(io.BytesIO(data)):
            found.append(one)
    except BadCapture as error:
        return found, error
    return found, None


def skipped(data: bytes) -> dict[str, int]:
    capture = Capture("x")
    assert list(capture.read_untrusted(io.BytesIO(data))) == []
    return capture.skipped


def ethernet(packet: bytes, kind: int = 0x0800, tags: tuple[int, ...] = ()) -> bytes:
    return bytes(12) + b"".join(struct.pack("!HH", tag, 7) for tag in tags) + struct.pack("!H", kind) + packet


def cooked(packet: bytes, kind: int = 0x0800, outgoing: bool = False) -> bytes:
    return struct.pack("!HHH8sH", 4 if outgoing else 0, 1, 6, bytes(8), kind) + packet


def cooked2(packet: bytes, kind: int = 0x0800, outgoing: bool = False) -> bytes:
    return struct.pack("!HHIHBB8s", kind, 0, 1, 1, 4 if outgoing else 0, 6, bytes(8)) + packet


FRAMES = {
    "Ethernet": (1, ethernet(ONE)),
    "Ethernet, padded": (1, ethernet(ONE) + bytes(20)),
    "Ethernet, VLAN": (1, ethernet(ONE, tags=(0x8100,))),
    "Ethernet, two VLANs": (1, ethernet(ONE, tags=(0x88A8, 0x8100))),
    "raw": (101, ONE),
    "raw, by its old number": (12, ONE),
    "IPv4": (228, ONE),
    "cooked": (113, cooked(ONE)),
    "cooked 2": (276, cooked2(ONE)),
    "loopback, little-endian": (0, b"\2\0\0\0" + ONE),
    "loopback, big-endian": (0, b"\0\0\0\2" + ONE),
    "loopback of OpenBSD": (108, b"\0\0\0\2" + ONE),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True, None], ids=["us", "ns", "pcapng"])
def test_a_datagram_is_read_from_any_kind_of_frame_and_file(name: str, order: str, nano: bool | None) -> None:
    link_type, frame = FRAMES[name]
    if nano is None:
        data = pcapng([frame], link_type, order)
    else:
        data = pcap([frame], link_type, order, nano)
    (one,) = read(data)
    assert (one.source, one.destination, one.data) == (("192.0.2.1", 4096), ("192.0.2.2", 53), b"payload")
    assert one.at == 10**18
    assert not one.outgoing


@pytest.mark.parametrize(("frame", "link_type"), [(ethernet, 1), (cooked, 113), (cooked2, 276)])
def test_ipv6_is_read_behind_its_extension_headers(frame: object, link_type: int) -> None:
    hop = bytes([60, 0]) + bytes(6)
    options = bytes([44, 0]) + bytes(6)
    atomic = bytes([17, 0, 0, 0]) + bytes(4)  # RFC 6946: a fragment that is the whole packet
    packet = packet6(b"six", hop + options + atomic, kind=0)
    (one,) = read(pcap([frame(packet, 0x86DD)], link_type))  # type: ignore[operator]
    assert (one.source, one.destination, one.data) == (("::1", 4096), ("::2", 53), b"six")


@pytest.mark.parametrize(("frame", "link_type"), [(cooked, 113), (cooked2, 276)])
def test_a_cooked_capture_tells_what_its_machine_has_sent(frame: object, link_type: int) -> None:
    (one,) = read(pcap([frame(ONE, outgoing=True)], link_type))  # type: ignore[operator]
    assert one.outgoing


def test_times_are_read_in_any_resolution() -> None:
    assert [one.at for one in read(pcap([ONE] * 2, nano=True, step=5))] == [10**18, 10**18 + 5]
    assert [one.at for one in read(pcap([ONE] * 2, step=5))] == [10**18, 10**18 + 5000]
    binary = struct.pack("<HHBxxx", 9, 1, 0x80 | 20)  # 2 ** -20 of a second
    assert read(pcapng([ONE], options=binary))[0].at == 10**15 * 10**9 // 2**20
    coarse = struct.pack("<HHBxxx", 9, 1, 127)
    assert read(pcapng([ONE], options=coarse))[0].at == 0
    offset = struct.pack("<HHq", 14, 8, 3600)
    assert read(pcapng([ONE], options=offset))[0].at == 10**18 + 3600 * 10**9


def test_sections_of_either_order_follow_each_other_and_unknown_blocks_are_passed_over() -> None:
    unknown = block(0x0BAD, b"x" * 40)
    data = pcapng([ONE]) + unknown + pcapng([ONE, ONE], order=">") + pcapng([])
    assert len(read(data)) == 3


def test_simple_and_obsolete_packets_are_read() -> None:
    simple = block(3, struct.pack("<I", len(ONE)) + ONE)
    obsolete = block(2, struct.pack("<HHIIII", 0, 0, 0, 5, len(ONE), len(ONE)) + ONE)
    assert [one.data for one in read(pcapng([]) + simple + obsolete)] == [b"payload"] * 2


def test_comment_and_direction_of_a_packet_are_read() -> None:
    head = struct.pack("<IIIII", 0, 0, 0, len(ONE), len(ONE)) + ONE + bytes(-len(ONE) % 4)
    options = struct.pack("<HH4sHHI", 1, 2, b"no", 2, 4, 2)
    (one,) = read(pcapng([]) + block(6, head + options))
    assert (one.comment, one.outgoing) == ("no", True)


def test_other_packets_are_passed_over_and_counted() -> None:
    tcp = bytearray(ONE)
    tcp[9] = 6
    fragment = bytearray(ONE)
    fragment[6] = 0x20
    frames = [bytes(tcp), bytes(fragment), ONE[:-3], ONE[:15], b"", b"\x55"]
    assert skipped(pcap(frames)) == {"not_udp": 3, "fragment": 1, "cut": 2}


# --- torn and hostile files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [pcap([ONE] * 3), pcap([ONE] * 3, order=">"), pcapng([ONE] * 3)], ids=["<", ">", "ng"])
def test_a_torn_file_gives_what_is_whole_and_then_the_offset(data: bytes) -> None:
    whole = {len(read(data))}
    for end in range(4, len(data)):
        found, error = outcome(data[:end], "torn.pcap")
        told = "" if error is None else str(error)
        assert error is None or (0 <= error.offset <= end and told.startswith(f"torn.pcap, offset {error.offset}: "))
        assert found == read(data)[: len(found)]
        whole.add(len(found))
    assert whole == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("data", "offset", "why"),
    [
        (b"", 0, "no capture"),
        (b"GET / HTTP/1.1\r\n", 0, "no capture"),
        (pcap([], link_type=147), None, ""),
        (pcap([b"x"], link_type=147), 24, "link type 147"),
        (pcap([])[:20], 0, "ends in the middle"),
        (pcap([]) + struct.pack("<IIII", 0, 0, 0x7FFFFFFF, 0), 24, "claims to have 2147483647 bytes"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), 0, "no byte-order magic"),
        (pcapng([]) + struct.pack("<III", 6, 13, 13), 48, "claims to have 13 bytes"),
        (pcapng([]) + struct.pack("<II", 6, 0xFFFFFFFC), 48, "claims to have 4294967292 bytes"),
        (pcapng([]) + block(6, struct.pack("<IIIII", 9, 0, 0, 0, 0)), 48, "interface 9"),
        (pcapng([]) + block(6, struct.pack("<IIIII", 0, 0, 0, 999, 0)), 48, "claims to have 999 bytes"),
        (pcapng([]) + block(6, b"xxxx"), 48, "too short"),
        (pcapng([]) + block(1, b"xxxx"), 48, "too short"),
        (pcapng([]) + struct.pack("<IIII", 77, 16, 0, 20), 48, "20 by its end"),
        (pcapng([]) + block(1, bytes(8)) * 10_001, 48 + 20 * 9_999, "more than 10000 interfaces"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_file_is_refused_by_its_offset(data: bytes, offset: int | None, why: str) -> None:
    if offset is None:
        assert read(data) == []
        return
    with pytest.raises(BadCapture, match=why) as raised:
        read(data)
    assert raised.value.offset == offset


def test_an_enormous_block_takes_no_memory() -> None:
    """A block of 4 GB that is not needed is passed over in parts."""

    class Zeros(io.RawIOBase):
        def __init__(self) -> None:
            self.head = io.BytesIO(pcapng([]) + struct.pack("<II", 77, 200_000_000))

        def read(self, size: int = -1) -> bytes:
            return self.head.read(size) or bytes(size)

        def seek(self, offset: int, whence: int = 0) -> int:
            return self.head.seek(offset, whence)

    tracemalloc.start()
    try:
        with pytest.raises(BadCapture, match="by its end"):
            list(Capture("x").read_untrusted(Zeros()))  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


SEEDS = [
    pcap([frame for kind, frame in FRAMES.values() if kind == link_type] * 2, link_type, order)
    for link_type in (0, 1, 101, 113, 276)
    for order in "<>"
]
SEEDS += [
    pcapng([ethernet(packet6(b"x")), ethernet(ONE)], 1, order, struct.pack(order + "HHBxxx", 9, 1, 9)) for order in "<>"
]


def survives(data: bytes) -> None:
    """Reading ends by itself, or by `BadCapture`."""
    found, error = outcome(data)
    assert all(len(one.data) <= 65535 and type(one.source[0]) is str for one in found)
    assert error is None or 0 <= error.offset <= len(data)


@given(st.binary(max_size=400))
def test_any_bytes_behind_a_magic_are_survived(data: bytes) -> None:
    for seed in SEEDS:
        survives(seed[:4] + data)
        survives(seed[:28] + data)
        survives(seed[:56] + data)


def damaged(case: str) -> bytes:
    """A capture with damage that depends on `case` alone."""
    chance = random.Random(case)
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                data[at : at + 4] = struct.pack("<I", chance.choice((0, 1, 12, 65535, 2**31, 2**32 - 4)))
            case 2:
                del data[at : at + chance.randrange(1, 20)]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
    return bytes(data)


@pytest.mark.timeout(SECONDS + 60)
def test_any_damage_to_a_file_is_survived() -> None:
    """For a moment, and by `make fuzz` for minutes. A case depends on its name alone."""
    until, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < until or number < 500:
        case = f"{SEED}.{number}"
        try:
            survives(damaged(case))
        except Exception as error:
            error.add_note(f"case {case!r}")
            raise
        number += 1
    figure(51, "damaged captures read to their end or refused by an offset", f"{number:,}")


# --- files of others ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_tshark, reason="tshark is not installed")
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng"])
def test_files_that_wireshark_has_written_are_read(kind: str, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(pcapng([ethernet(ONE), ethernet(packet6(b"x"), 0x86DD)], 1))
    wireshark("editcap", "-F", kind, ours, theirs)
    assert [one[:4] for one in Capture(theirs)] == [one[:4] for one in Capture(ours)]

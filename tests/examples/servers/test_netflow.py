"""The NetFlow collector is sent to by softflowd and nfreplay, whose flows are known, and by hand."""

from __future__ import annotations

import asyncio
import re
import struct
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing

from ...support import DEADLINE, UDPPeer, eventually, free_port
from .clients import ask, client, load, start

pytest.importorskip("numpy")

FIELDS = [(8, 4), (12, 4), (1, 4), (2, 2)]
"""Of a template: addresses of the source and the destination, bytes, packets."""


def packet(source: str, destination: str, size: int) -> bytes:
    """A record of a capture: a datagram of so many bytes in an Ethernet frame. Its IP packet has 28 bytes more."""
    udp = struct.pack("!HHHH", 1000, 2000, 8 + size, 0) + bytes(size)
    addresses = [ip_address(text).packed for text in (source, destination)]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, *addresses) + udp
    return struct.pack("<IIII", 1_700_000_000, 0, 14 + len(ip), 14 + len(ip)) + bytes(12) + b"\x08\0" + ip


def capture(path: Path) -> str:
    packets = [packet("192.0.2.1", "192.0.2.2", 100)] * 5 + [packet("192.0.2.3", "192.0.2.1", 500)] * 2
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(packets))
    return str(path)


EXPECTED = {"192.0.2.3": [1056, 2, 1], "192.0.2.1": [640, 5, 1]}
"""Bytes, packets and flows of the capture."""


async def softflowd(directory: Path, port: int, version: int) -> None:
    own = ("-p", str(directory / "pid"), "-c", "none")
    file = capture(directory / "capture.pcap")
    await ask("softflowd", "-d", "-v", str(version), "-n", f"127.0.0.1:{port}", "-r", file, *own)


async def counted(node: homing.Node, name: str, number: int) -> dict[str, Any]:
    """Waits for that many."""
    async with asyncio.timeout(DEADLINE):
        while (found := dict(await node.inspect("netflow")))[name] < number:
            await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize("version", [5, 9, 10])
async def test_the_flows_that_softflowd_reads_in_a_capture_are_added_up(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int
) -> None:
    await softflowd(tmp_path, await start(node, "netflow", capsys), version)
    found = await counted(node, "flows", 2)
    assert (found["top"], found["malformed"], found["unknown_template"]) == (EXPECTED, 0, 0)


@pytest.mark.parametrize("version", [5, 9])
async def test_the_flows_that_nfreplay_sends_again_are_added_up(
    node: homing.Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int
) -> None:
    client("nfreplay")
    files = await stored(tmp_path)
    port = await start(node, "netflow", capsys)
    for file in files:
        await ask("nfreplay", "-H", "127.0.0.1", "-p", str(port), "-v", str(version), "-r", file)
    found = await counted(node, "flows", 2)
    assert (found["top"], found["malformed"]) == (EXPECTED, 0)


def waiting(port: int) -> int | None:
    """The bytes that wait at the UDP socket with this port; None: there is none."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        _, address, _, _, queues, *_ = line.split()
        if address == f"0100007F:{port:04X}":
            return int(queues.split(":")[1], 16)
    return None


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


async def ended(process: asyncio.subprocess.Process) -> None:
    """Ends nfcapd. It may miss a signal that comes just before it waits for the next datagram, and then go on for
    minutes: so more than one is sent."""
    while process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.2)


async def stored(directory: Path) -> list[str]:
    """Files of nfcapd, of the flows of the capture: two, if it begins a new one meanwhile."""
    files, port = directory / "flows", free_port()
    files.mkdir()
    arguments = ("-b", "127.0.0.1", "-p", str(port), "-w", str(files), "-P", str(directory / "nfcapd.pid"))
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(client("nfcapd"), *arguments, stdout=quiet, stderr=quiet)
    try:
        await eventually(lambda: waiting(port) == 0, "nfcapd")
        await softflowd(directory, port, 9)
        await eventually(lambda: waiting(port) == 0 and sleeps(process.pid), "nfcapd has handled all")
    finally:
        await ended(process)
    return sorted(str(path) for path in files.iterdir() if re.fullmatch(r"nfcapd\.\d+", path.name))


def version_9(*sets: tuple[int, bytes], domain: int = 1) -> bytes:
    body = b"".join(struct.pack("!HH", kind, 4 + len(data)) + data for kind, data in sets)
    return struct.pack("!HHIIII", 9, len(sets), 0, 0, 0, domain) + body


def ipfix(*sets: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("!HH", kind, 4 + len(data)) + data for kind, data in sets)
    return struct.pack("!HHIII", 10, 16 + len(body), 0, 0, 1) + body


def template(*fields: tuple[int, int], number: int = 256) -> bytes:
    return struct.pack("!HH", number, len(fields)) + b"".join(struct.pack("!HH", *field) for field in fields)


def flow(source: bytes = bytes((192, 0, 2, 9)), count: int = 100, packets: int = 2) -> bytes:
    return struct.pack("!4s4sIH", source, bytes(4), count, packets)


async def test_records_wait_for_no_template_but_are_counted_and_the_next_ones_are_read(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "netflow", capsys))
    peer.send(version_9((256, flow())), address)
    peer.send(version_9((0, template(*FIELDS))), address)
    peer.send(version_9((256, flow() + flow() + b"\0")), address)  # padded
    peer.send(version_9((256, flow()), domain=2), address)  # to which the template does not belong
    peer.send(version_9((256, flow())), address)
    found = await counted(node, "flows", 3)
    assert found == {
        "flows": 3,
        "malformed": 0,
        "skipped": 0,
        "unknown_template": 2,
        "top": {"192.0.2.9": [300, 6, 3]},
    }


async def test_random_datagrams_are_counted_and_a_good_one_is_added_up(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "netflow", capsys))
    bad = [b"", b"\0\5", b"\0\5\0\2" + bytes(68), b"\0\x0a\0\x14" + bytes(15), version_9()[:19]]
    bad += [version_9((0, template(*FIELDS)))[:-1], version_9((0, template(*FIELDS)[:-4])), version_9() + bytes(4)]
    for data in bad:
        peer.send(data, address)
    peer.send(version_9((0, template(*FIELDS)), (256, flow())), address)
    found = await counted(node, "flows", 1)
    assert found["malformed"] == len(bad)
    assert node.info().crashes == 0


async def test_strangers_make_it_keep_no_more_than_it_may(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("netflow"), "MOST_ADDRESSES", 2)
    address = ("127.0.0.1", await start(node, "netflow", capsys))
    flows = b"".join(flow(bytes((192, 0, 2, number))) for number in range(10))
    peer.send(version_9((0, template(*FIELDS)), (256, flows)), address)
    found = await counted(node, "flows", 10)
    others = {"0.0.0.0": [800, 16, 8]}
    assert found["top"] == others | {f"192.0.2.{number}": [100, 2, 1] for number in range(2)}


def test_of_too_many_templates_the_one_that_was_sent_longest_ago_is_forgotten() -> None:
    parse, templates = load("netflow").parse_untrusted, dict[Any, Any]()
    for number in range(256, 320):
        parse(version_9((0, template(*FIELDS, number=number))), templates)
    parse(version_9((0, template(*FIELDS, number=256))), templates)  # one that is known is renewed
    parse(version_9((0, template(*FIELDS, number=320))), templates)
    assert sorted(number for _, number in templates) == [256, *range(258, 321)]


def test_a_small_template_of_options_leaves_the_flows_of_its_datagram() -> None:
    flow = struct.pack("!HH6H", 256, 3, 8, 4, 1, 4, 2, 4)
    options = struct.pack("!HHHHHHH2x", 259, 4, 4, 1, 4, 34, 4)  # RFC 3954, section 6.1: lengths in bytes, not a count
    parts = ((0, flow), (1, options), (256, bytes((192, 0, 2, 1)) + struct.pack("!II", 1000, 10)), (259, bytes(8)))
    sets = b"".join(struct.pack("!HH", number, len(body) + 4) + body for number, body in parts)
    (flows,), passed = load("netflow").parse_untrusted(struct.pack("!HH16x", 9, len(parts)) + sets)
    assert (flows["bytes"].tolist(), passed) == ([1000], {"skipped": 1})


def test_elements_of_enterprises_are_stepped_over_and_numbers_may_have_any_usual_size() -> None:
    own = struct.pack("!HHHHI", 256, 4, 0x8001, 3, 29305) + struct.pack("!HHHHHH", 27, 16, 1, 8, 2, 1)
    record = b"own" + bytes(15) + b"\1" + struct.pack("!QB", 1 << 40, 7)
    ((flows,), _) = load("netflow").parse_untrusted(ipfix((2, own), (256, record * 2)))
    assert [flow.tolist() for flow in flows] == [(bytes(15) + b"\1", 1 << 40, 7)] * 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (2, template((8, 4), (1, 4), (2, 65535))),  # of variable length
        (2, template((8, 2), (1, 4), (2, 4))),  # an address of two bytes
        (2, template((12, 4))),
        (2, template()),
        (3, struct.pack("!HHH", 256, 1, 1) + struct.pack("!HHHHHH", 8, 4, 1, 4, 2, 4)),  # of options
    ],
)
def test_records_of_which_no_flow_can_be_read_are_skipped_and_counted(kind: int, body: bytes) -> None:
    flows, passed = load("netflow").parse_untrusted(ipfix((kind, body), (256, bytes(40))))
    assert (flows, passed) == ([], {"skipped": 1})


HEADS = st.sampled_from([b"\0\5\0\1", b"\0\x09\0\1" + bytes(16), version_9((0, template(*FIELDS)))])
PIECES = st.sampled_from([b"\0\0", b"\0\1", b"\0\2", b"\0\4", b"\0\x08", b"\1\0", b"\0\x14", b"\xff\xff", flow()])


@given(st.one_of(st.binary(max_size=80), st.tuples(HEADS, st.lists(PIECES, max_size=30).map(b"".join)).map(b"".join)))
def test_any_bytes_are_flows_or_a_value_error(data: bytes) -> None:
    try:
        flows, _ = load("netflow").parse_untrusted(data)
    except ValueError:
        return
    assert sum(map(len, flows)) <= len(data)


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_any_templates_are_learned_or_refused(body: bytes) -> None:
    templates: dict[Any, Any] = {}
    with suppress(ValueError):
        load("netflow").parse_untrusted(ipfix((2, body), (256, body * 3)), templates)
    assert len(templates) <= 64

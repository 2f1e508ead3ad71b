"""Captures that tests read and make."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections import Counter
from typing import Any

from homing import gen, meta
from homing.testing import Capture, Captured

from .support import eventually

Path = str | os.PathLike[str]


def captured(path: Path) -> list[Captured]:
    """All datagrams of a file."""
    return list(Capture(path))


def comments(path: Path) -> Counter[str]:
    """The first words of the packets' comments: "in", "out", "dropped in: denied" ..., and how often each is there."""
    return Counter(one.comment.partition(",")[0] for one in captured(path))


async def ended(server: meta.UDPServer) -> dict[str, Any]:
    """The state of a server's tap once its file is closed."""

    def state() -> Any:
        told = server._state.tap.facts()["tap"]
        return told if told is not None and told["state"] == "ended" else None

    found: dict[str, Any] = await eventually(state, "the end of the tap")
    return found


async def untap(node: Any, server: meta.UDPServer, alias: gen.Alias) -> dict[str, Any]:
    """Ends the tap of a server. Returns its last state."""
    await node.call(alias, meta.Reconfigure(tap=None))
    return await ended(server)


def wireshark(*command: str | Path) -> str:
    """Runs one of Wireshark's programs, without what is preloaded into this one, such as a sanitizer."""
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    arguments = [os.fspath(one) for one in command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60, env=clean).stdout


def tshark(path: Path, *fields: str) -> list[list[str]]:
    """Returns these fields of each packet, by Wireshark, which checks all checksums."""
    command = ["tshark", "-n", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-r", os.fspath(path)]
    command += ["-T", "json", *[part for field in fields for part in ("-e", field)]]
    layers = [packet["_source"]["layers"] for packet in json.loads(wireshark(*command))]
    return [[layer.get(field, [""])[0] for field in fields] for layer in layers]


def capinfos(path: Path) -> dict[str, str]:
    """Returns what Wireshark says of a file, by name."""
    pairs = [line.partition(": ") for line in wireshark("capinfos", "-M", path).splitlines()]
    return {name.strip(): value.strip() for name, _, value in pairs}


has_tshark = shutil.which("tshark") is not None and shutil.which("capinfos") is not None

IP4 = "4500{total:04x}000000004011{sum:04x}{source}{destination}"


def packet4(data: bytes, source: str = "c0000201", destination: str = "c0000202", ports: str = "10000035") -> bytes:
    """A packet of IPv4 and UDP, its checksums left out."""
    head = bytes.fromhex(IP4.format(total=28 + len(data), sum=0, source=source, destination=destination))
    return head + bytes.fromhex(ports) + struct.pack("!HH", 8 + len(data), 0) + data


def packet6(data: bytes, extensions: bytes = b"", kind: int = 17) -> bytes:
    """A packet of IPv6 and UDP."""
    size = len(extensions) + 8 + len(data)
    head = struct.pack("!IHBB", 6 << 28, size, kind, 64) + bytes(15) + b"\1" + bytes(15) + b"\2"
    return head + extensions + struct.pack("!HHHH", 4096, 53, 8 + len(data), 0) + data


def pcap(frames: list[bytes], link_type: int = 101, order: str = "<", nano: bool = False, step: int = 1) -> bytes:
    """A file in the format pcap. The frames are `step` units of its resolution apart."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)]
    unit = 10**9 if nano else 10**6
    for number, frame in enumerate(frames):
        seconds, fraction = divmod(number * step, unit)
        parts.append(struct.pack(order + "IIII", 1_000_000_000 + seconds, fraction, len(frame), len(frame)) + frame)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A block of pcapng."""
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def pcapng(frames: list[bytes], link_type: int = 101, order: str = "<", options: bytes = b"") -> bytes:
    """A file in the format pcapng, a millisecond from packet to packet."""
    parts = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)]
    parts.append(block(1, struct.pack(order + "HHI", link_type, 0, 0) + options, order))
    for number, frame in enumerate(frames):
        at = 1_000_000_000_000_000 + 1000 * number
        head = struct.pack(order + "IIIII", 0, at >> 32, at & 0xFFFFFFFF, len(frame), len(frame))
        parts.append(block(6, head + frame, order))
    return b"".join(parts)

"""The fortress under attack: its client loses nothing, forged sources get no more than three times what came in their
name, each datagram is accounted for, and nothing of the attack is left."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import re
import shutil
import signal
import socket
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import homing
from homing.datagram.sockets.namespace import within

from ..faults.figures import figure
from ..meta.servers import exists, needs_namespaces
from ..support import DEADLINE, UDPPeer, eventually, free_port
from .recipes import HOSTILE
from .test_examples import ROOT, Program, program

COUNTER = re.compile(r" *(?:dropped: )?([a-z_ ]+?) {2,}([\d,]+)(?:  .*)?\n")
CLIENT = re.compile(r"client in the flood: asked (\d+), lost (\d+), .* ([\d.]+) ms \(99 %\)")
QUESTION = 55
"""Bytes of a question with a cookie of 8 bytes: header, name with type and class, EDNS."""
PACKET_IGNORE_OUTGOING = 23
"""linux/if_packet.h"""
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h"""
SOL_PACKET = 263
"""linux/socket.h"""
ETH_P_IP = 0x0800

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback")
needs_hping3 = pytest.mark.skipif(shutil.which("hping3") is None, reason="hping3 is not installed")


class Page(NamedTuple):
    """The last page of figures. wait: milliseconds in which the client had 99 % of its answers."""

    counters: dict[str, int]
    asked: int
    lost: int
    wait: float


async def page_of(running: Program) -> Page:
    """Waits for the end of the attack, and reads the page: its account is exact, and the state has survived."""
    await running.line_with("recorded, one of a hundred")
    text = "".join(running.output)
    counters = {found[1]: int(found[2].replace(",", "")) for line in running.output if (found := COUNTER.match(line))}
    drops = sum(count for name, count in counters.items() if f"dropped: {name} " in text)
    assert counters["received"] == counters["delivered"] + counters["waiting"] + drops, text
    assert "crashes of the server, after which it has loaded its state: 1\n" in text
    client = CLIENT.search(text)
    assert client is not None, text
    return Page(counters, int(client[1]), int(client[2]), float(client[3]))


@linux_only
async def test_in_a_flood_from_this_machine_the_client_loses_nothing_and_the_account_is_exact() -> None:
    async with program("examples/fortress.py", "--local", "--seconds", "3", "--port", str(free_port())) as running:
        page = await page_of(running)
        assert await running.end() == 0
    assert page.asked > 10
    assert page.lost == 0
    assert page.counters["kernel"] > 100
    assert page.counters["unfair"] > 100


# --- hping3, in networks of its own ---------------------------------------------------------------------------


def children(running: Program) -> list[int]:
    """The programs that hold the networks of the server, the attacker and the client; then the others."""
    pid = running.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Wire:
    """The packets that come to a network over its cable."""

    def __init__(self, pid: int) -> None:
        self.socket = within(f"/proc/{pid}/ns/net", self._listen)

    @staticmethod
    def _listen() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
        sock.setblocking(False)
        return sock

    def payloads(self) -> dict[bytes, int]:
        """The bytes of UDP payload that came to each address and port."""
        found: Counter[bytes] = Counter()
        with suppress(BlockingIOError):
            while True:
                packet = self.socket.recv(65536)
                if packet[9] == socket.IPPROTO_UDP:
                    found[packet[16:20] + packet[22:24]] += len(packet) - 28
        return found


@needs_hping3
@needs_namespaces
async def test_case_54_under_hping3_the_client_loses_nothing_and_no_forged_source_gets_more_than_three_times() -> None:
    async with program("examples/fortress.py", "--seconds", "3") as running:
        await running.line_with("attack:")
        wire = Wire(children(running)[1])
        with wire.socket:
            page = await page_of(running)
            assert await running.end() == 0
            answers = wire.payloads()
    assert page.asked > 10
    assert page.lost == 0
    assert page.counters["kernel"] > 1000
    assert page.counters["unfair"] > 100
    assert len(answers) > 100
    share = max(answers.values()) / QUESTION
    assert share <= 3
    figure(54, "datagrams in 3 s of hping3, of which the client's were lost", f"{page.counters['received']:,}, 0")
    figure(54, "milliseconds in which 99 % of the client's answers came", page.wait)
    figure(54, "bytes that a forged source gets for each of its bytes, at most", f"{share:.2f}")


@needs_hping3
@needs_namespaces
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_however_it_ends_neither_networks_nor_floods_are_left(sign: signal.Signals) -> None:
    async with program("examples/fortress.py", "--seconds", "60") as running:
        await running.line_with("attack:")
        await eventually(lambda: len(children(running)) == 6)
        left = children(running)
        running.process.send_signal(sign)
        await running.end()
    await eventually(lambda: not any(exists(f"/proc/{pid}") for pid in left))


async def test_without_the_tools_it_says_which_are_missing() -> None:
    environment = {**os.environ, "PATH": ""}
    async with program("examples/fortress.py", stderr=asyncio.subprocess.STDOUT, env=environment) as running:
        assert "hping3" in await running.line_with("missing: ")
        assert await running.end() == 1


# --- the server ------------------------------------------------------------------------------------------------


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("fortress")


@pytest.fixture
async def address(example: ModuleType, node: homing.Node, tmp_path: Path) -> tuple[str, int]:
    options = {"host": "127.0.0.1", "port": free_port()}
    await node.spawn(example.Fortress, options, str(tmp_path / "x.pcapng"))
    return ("127.0.0.1", node.address_of("oracle")[1])


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed")
async def test_dig_gets_the_whole_answer_once_it_has_a_cookie(address: tuple[str, int]) -> None:
    short = await dig(address)
    assert "flags: qr aa tc" in short
    cookie = re.search(r"COOKIE: (\w+) \(good\)", short)
    assert cookie is not None, short
    whole = await dig(address, f"+cookie={cookie[1]}")
    assert "flags: qr aa;" in whole
    assert "safesafe" in whole
    assert "(good)" in whole


async def dig(address: tuple[str, int], *options: str) -> str:
    command = ("dig", "-p", str(address[1]), f"@{address[0]}", "+ignore", *options, "homing.example", "TXT")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(2 * DEADLINE):
        return (await process.communicate())[0].decode()


async def test_no_question_whatever_it_holds_crashes_the_server(
    address: tuple[str, int], node: homing.Node, peer: UDPPeer, example: ModuleType
) -> None:
    draw = random.Random(54)
    header = b"\0\7\1\0\0\1\0\0\0\0\0\1"
    for length in [0, 1, 4, 5, 8, 23, 24, 28, 60] * 10:
        peer.send(header + draw.randbytes(length), address)
    for data in HOSTILE:
        peer.send(data, address)
    pid = node.process_info("oracle").pid
    question = example.attack.ask(bytes(8))
    peer.send(question, address)
    while (await peer.receive())[0][:2] != question[:2]:
        pass
    assert node.process_info("oracle").pid == pid

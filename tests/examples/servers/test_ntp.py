"""The NTP server is asked by chronyd, and by hand."""

from __future__ import annotations

import random
import re
import struct
import time

import pytest

import homing

from ...support import UDPPeer
from .clients import ask, load, serve, start, terminate

COOKIE = b"\x8f\x3a\xd1\xc2\x5e\x7b\x9a\x01"
SECONDS_TO_1970 = 2_208_988_800


def question(version: int = 4, mode: int = 3) -> bytes:
    return struct.pack("!BBbb", version << 3 | mode, 0, 6, 32) + bytes(36) + COOKIE


def seconds(data: bytes) -> float:
    """The time since 1970 of a timestamp."""
    whole, rest = struct.unpack("!II", data)
    return float(whole - SECONDS_TO_1970 + rest / 2**32)


async def test_chronyd_finds_that_the_clock_of_the_server_is_the_same() -> None:
    async with serve("ntp") as running:
        source = f"server 127.0.0.1 port {await running.port()} iburst maxsamples 1"
        output = await ask("chronyd", "-U", "-Q", "-t", "20", source)
        found = re.search(r"System clock wrong by (-?[\d.]+) seconds", output)
        assert found is not None, output
        assert abs(float(found[1])) < 1.0
        assert await terminate(running) == 0


async def test_an_answer_has_the_times_of_arrival_and_departure_and_the_one_of_the_question(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "ntp", capsys))
    for version in (1, 3, 4):
        before = time.time()
        answer = await peer.ask(question(version), address)
        assert len(answer) == 48
        assert answer[0] == version << 3 | 4
        assert answer[24:32] == COOKIE
        arrived, left = seconds(answer[32:40]), seconds(answer[40:48])
        assert before - 0.001 <= arrived <= left <= time.time() + 0.001
    assert (await node.inspect("ntp"))["answered"] == 3


async def test_answers_control_messages_and_random_datagrams_get_no_answer(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", await start(node, "ntp", capsys))
    refused = [b"", question()[:47], *(question(mode=mode) for mode in (0, 1, 2, 4, 5, 6, 7))]
    malformed = [question(version=0), question(version=5), question() + b"1"]
    chance = random.Random(5)
    for data in (*refused, *malformed, *(b"\0" + chance.randbytes(60) for _ in range(50))):
        peer.send(data, address)
    answer = await peer.ask(question(), address)
    assert answer[24:32] == COOKIE
    counts = await node.inspect("ntp")
    assert (counts["answered"], counts["malformed"]) == (1, len(malformed))


def test_times_go_on_when_the_seconds_of_ntp_begin_anew() -> None:
    timestamp = load("ntp").timestamp
    assert timestamp(0) == struct.pack("!II", SECONDS_TO_1970, 0)
    assert timestamp(500_000_000) == struct.pack("!II", SECONDS_TO_1970, 1 << 31)
    assert timestamp((2**32 - SECONDS_TO_1970) * 1_000_000_000) == bytes(8)

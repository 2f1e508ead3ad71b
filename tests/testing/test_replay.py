"""A capture is a regression test: replayed in a fake network, in virtual time, it shows which answers have changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.errors import BadCapture
from homing.testing import FakeNetwork, run_virtual

from ..captures import captured, packet4, pcap
from .networks import SERVER, Echo

THERE = "0a000001"  # 10.0.0.1
SERVED = "c0000201"


def on_network(main: Callable[[homing.Node, FakeNetwork], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Runs `main(node, network)` in virtual time."""

    async def body() -> Any:
        with FakeNetwork(seed=7, **options) as network:
            async with homing.start_node("test@localhost") as node:
                return await main(node, network)

    return run_virtual(body)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Ten requests of two clients, a minute apart, in a capture of others: it has the answers too."""
    frames = []
    for number in range(10):
        port = f"{4096 + number % 2:04x}"
        frames.append(packet4(b"%d" % number, destination=THERE, ports=f"{port}0035"))
        frames.append(packet4(b"%d" % number, source=THERE, destination=SERVED, ports=f"0035{port}"))
    path = tmp_path / "asked.pcap"
    path.write_bytes(pcap(frames, step=30_000_000))
    return path


def test_minutes_of_a_capture_take_no_time_and_the_answers_are_as_recorded(asked: Path) -> None:
    async def main(node: homing.Node, network: FakeNetwork) -> None:
        await node.spawn(Echo)
        replayed = await network.replay(asked)
        assert (replayed.sent, len(replayed.answers), len(replayed.recorded)) == (10, 10, 10)
        assert replayed.differences() == []
        assert asyncio.get_running_loop().time() == pytest.approx(9 * 60 + 30 + 1, abs=31)
        times = [one.at for one in replayed.answers]
        assert [after - before for before, after in pairwise(times)] == [60 * 10**9] * 9

    begun = time.monotonic()
    on_network(main)
    assert time.monotonic() - begun < 60


class Changed(Echo):
    """Answers otherwise than it was recorded."""

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data != b"3":
            self.send(message.id, message.reply(b"new" if message.data == b"4" else message.data))


def test_answers_that_have_changed_are_told(asked: Path) -> None:
    async def main(node: homing.Node, network: FakeNetwork) -> list[str]:
        await node.spawn(Changed)
        found: list[str] = (await network.replay(asked)).differences()
        return found

    differences = on_network(main)
    assert "answer 3 to 192.0.2.1:4096 is b'new', and was b'4'" in differences
    assert "answer 5 to 192.0.2.1:4097 is nothing, and was b'9'" in differences


def test_faults_of_the_network_apply_and_repeat(asked: Path) -> None:
    async def main(node: homing.Node, network: FakeNetwork) -> Any:
        await node.spawn(Echo)
        return await network.replay(asked)

    once, again = on_network(main, loss=0.4), on_network(main, loss=0.4)
    assert once == again
    assert once.sent == 10 > len(once.answers)


def test_datagrams_go_to_another_address_if_asked_to_at_another_speed(asked: Path) -> None:
    async def main(node: homing.Node, network: FakeNetwork) -> tuple[int, float]:
        await node.spawn(Echo, {"host": "10.9.9.9", "port": 99})
        replayed = await network.replay(asked, ("10.9.9.9", 99), speed=10, settle=0)
        return len(replayed.answers), asyncio.get_running_loop().time()

    answers, seconds = on_network(main)
    assert answers == 10
    assert seconds == pytest.approx(54, abs=1)


def test_no_more_of_a_capture_is_read_than_asked_for(asked: Path) -> None:
    async def main(node: homing.Node, network: FakeNetwork) -> Any:
        await node.spawn(Echo)
        return await network.replay(asked, most=4)

    replayed = on_network(main)
    assert (replayed.sent, len(replayed.recorded)) == (2, 2)


def test_a_recording_of_a_tap_is_replayed_without_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"

    async def record(node: homing.Node, network: FakeNetwork) -> None:
        pid = await node.spawn(Echo, {"tap": meta.Tap(path), "deny": ("10.0.0.9",)})
        with network.socket("10.0.0.2") as peer, network.socket("10.0.0.9") as denied:
            for number in range(5):
                peer.send(b"%d" % number, SERVER)
                denied.send(b"no", SERVER)
                assert (await peer.receive())[0] == b"%d" % number
                await asyncio.sleep(1)
        node.kill(pid)

    on_network(record)
    found = captured(path)
    assert [one.at for one in found][::3] == [number * 10**9 for number in range(5)]  # the network's time
    assert len(found) == 15

    async def main(node: homing.Node, network: FakeNetwork) -> Any:
        await node.spawn(Echo, {"deny": ("10.0.0.9",)})
        return await network.replay(path)

    replayed = on_network(main)
    assert (replayed.sent, len(replayed.answers), replayed.differences()) == (10, 5, [])


def test_a_torn_capture_is_told_by_file_and_offset(asked: Path) -> None:
    asked.write_bytes(asked.read_bytes()[:-1])

    async def main(node: homing.Node, network: FakeNetwork) -> None:
        with pytest.raises(BadCapture, match=r"asked.pcap, offset \d+: the file ends in the middle"):
            await network.replay(asked)
        with network.socket("192.0.2.1", 4096):
            pass  # the sources are free again

    on_network(main)


@pytest.mark.parametrize("options", [{"speed": 0}, {"settle": -1}, {"most": 0}, {"to": "10.0.0.1"}, {"to": ("x", 1)}])
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, Any], asked: Path) -> None:
    async def main(node: homing.Node, network: FakeNetwork) -> None:
        with pytest.raises(gen.BadOption, match=next(iter(options))):
            await network.replay(asked, **options)

    on_network(main)

"""Trains of datagrams that the kernel has joined, on their way to the receiver."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from ...datagram.traffic import Sender, linux_only
from ...support import Probe, eventually
from ..servers import open_server

pytestmark = [pytest.mark.backends("native"), linux_only]

SIZE, DATAGRAMS, TRAINS = 64, 64, 16
STRETCH = 512
"""Messages that are received at a stretch, at most."""


class Looking(act.Actor):
    """Notes how many wait behind each message."""

    def init(self, node: homing.Node, behind: list[int]) -> None:
        self.here = node
        self.behind = behind

    def handle_message(self, sender: Any, message: Any) -> None:
        self.behind.append(self.here.process_info(self.pid).mailbox.main)


async def test_of_short_datagrams_as_many_are_received_at_a_stretch_as_there_is_room_for() -> None:
    behind: list[int] = []
    untimed = gen.NodeOptions(
        handle_signals=False, slow_callback_seconds=None, turn_seconds=60.0, slice_seconds=60.0
    )  # so that nothing depends on how fast the machine is
    async with homing.start_node("test@localhost", untimed) as node:
        await node.spawn(Looking, node, behind, name="looking")
        server, _ = await open_server(
            await Probe.start(node), process="looking", receive_buffer=1 << 20, high_water_seconds=None
        )
        with Sender() as sender:
            for _ in range(TRAINS):
                sender.send(bytes(SIZE * DATAGRAMS), server.local_address, SIZE)
        await eventually(lambda: len(behind) == TRAINS * DATAGRAMS)
    assert behind == [*reversed(range(STRETCH))] * (TRAINS * DATAGRAMS // STRETCH)

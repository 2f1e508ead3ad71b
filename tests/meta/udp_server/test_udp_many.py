"""Many servers: in one node at a time, and one after the other."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import create, is_bound

pytestmark = pytest.mark.backends


class Opens(act.Actor):
    """Opens `count` servers and answers through each."""

    async def init(self, count: int) -> None:
        self.servers = [create() for _ in range(count)]
        for server in self.servers:
            await self.spawn_meta(server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.servers


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_thousand_servers_opened_and_closed_leave_no_descriptor_behind(probe: Probe, node: homing.Node) -> None:
    gc.collect()
    before = descriptors()
    addresses = set()
    for _ in range(1000):
        server = create()
        addresses.add(server.local_address)
        alias = await probe.do(lambda actor, server=server: actor.spawn_meta(server))
        await probe.do(lambda actor, alias=alias: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)
    assert descriptors() == before
    assert not any(is_bound(address) for address in addresses)


async def test_five_hundred_servers_in_one_node_all_answer_and_their_ports_are_free_after_it(
    node: homing.Node, peer: UDPPeer
) -> None:
    before = descriptors()
    pid = await node.spawn(Opens, 500)
    servers: list[meta.UDPServer] = await node.call(pid, "servers")
    assert node.info().metas == 500
    assert len({server.local_address for server in servers}) == 500
    for number, server in enumerate(servers):
        assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
    node.kill(pid)
    await eventually(lambda: node.info().metas == 0, "the end of all servers")
    assert not any(is_bound(server.local_address) for server in servers)
    assert descriptors() == before


async def test_a_thousand_servers_that_were_never_started_are_closed_by_terminate() -> None:
    before = descriptors()
    servers = [create() for _ in range(200)]
    for server in servers:
        server.terminate(gen.TerminateNormal())
    for _ in range(800):
        with create():
            pass
    assert descriptors() == before

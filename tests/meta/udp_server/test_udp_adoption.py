"""An adoption that goes wrong half-way, and what the predecessor had lent: the socket and the buffers are not lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, create, error_of, is_bound, open_server
from ..udp.test_udp_buffers import Foreign
from .test_udp_linger import Crash, crash, owned

pytestmark = [pytest.mark.backends, pytest.mark.loops]


class Start:
    """Says how the next workers start."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.refusals = 0
        self.seen: list[bytes] = []


class Worker(act.Actor):
    async def init(self, start: Start) -> None:
        self.start = start
        start.begun.set()
        await start.go.wait()
        if start.refusals:
            start.refusals -= 1
            raise Crash("not yet")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.start.seen.append(bytes(message.data))


class Owner(act.Actor):
    """Adopts the socket at its start, or (port 0) when it is told to."""

    async def init(self, port: int, start: Start) -> None:
        self.start = start
        if port:
            await self.adopt(port)

    async def handle_message(self, sender: gen.PID, port: Any) -> None:
        await self.adopt(port)

    async def adopt(self, port: int) -> None:
        options = meta.UDPServerOptions(
            host=HOST, port=port, linger=60.0, worker=Worker, worker_args=(self.start,), workers=1
        )
        await self.spawn_meta(meta.create_udp_server(options))


def pools(node: homing.Node) -> int:
    return sum(node.process_info(pid).behavior == "UDPWorkers" for pid in node.processes())


async def test_a_server_created_before_another_owner_lived_and_died_is_refused_and_the_socket_lingers_on(
    node: homing.Node, probe: Probe
) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    port = server.local_address[1]
    late, between = create(port=port), await Probe.start(node)
    assert (await open_server(between, port=port, linger=60.0))[1] == alias
    await crash(node, between)
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(late)))
    assert isinstance(error, gen.NotAllowed)
    assert "create another server" in str(error)
    assert (await open_server(probe, port=port))[1] == alias


async def test_a_successor_whose_workers_cannot_start_leaves_the_socket_to_the_next(
    node: homing.Node, peer: UDPPeer
) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    peer.send(b"early", server.local_address)
    start = Start()
    start.go.set()
    start.refusals = 1
    with pytest.raises(Crash):
        await node.spawn(Owner, server.local_address[1], start)
    assert is_bound(server.local_address)
    pid = await node.spawn(Owner, server.local_address[1], start)
    await eventually(lambda: start.seen == [b"early"])
    assert (node.meta_info(alias).parent, pools(node)) == (pid, 1)


@pytest.mark.parametrize("in_init", [True, False])
async def test_a_successor_killed_while_its_workers_start_leaves_the_socket_to_the_next(
    node: homing.Node, peer: UDPPeer, in_init: bool
) -> None:
    owner, server, alias = await owned(node)
    port, before = server.local_address[1], set(node.processes())
    await crash(node, owner)
    peer.send(b"early", server.local_address)
    start = Start()
    spawning = asyncio.create_task(node.spawn(Owner, port if in_init else 0, start))
    if not in_init:
        node.send(await spawning, port)
    await start.begun.wait()
    heir = next(pid for pid in node.processes() if pid not in before and node.process_info(pid).behavior == "Owner")
    node.kill(heir)
    start.go.set()
    await asyncio.wait((spawning,))
    assert (spawning.exception() is not None) is in_init
    await eventually(lambda: heir not in node.processes())
    assert is_bound(server.local_address)
    successor = await Probe.start(node)
    assert (await open_server(successor, port=port))[1] == alias
    if not in_init:  # else the pool that had just started may have got it
        assert (await successor.get()).data == b"early"
    await eventually(lambda: pools(node) == 0)


async def test_a_first_start_that_fails_still_leaves_nothing_lingering(node: homing.Node) -> None:
    start = Start()
    start.go.set()
    start.refusals = 1
    with create() as free:
        address = free.local_address
    with pytest.raises(Crash):
        await node.spawn(Owner, address[1], start)
    assert not is_bound(address)


@pytest.mark.parametrize("same", [True, False])
async def test_an_answer_made_by_hand_after_an_adoption_lends_no_buffer_twice(
    node: homing.Node, peer: UDPPeer, same: bool
) -> None:
    before = Foreign()
    after = before if same else Foreign()
    owner, server, alias = await owned(node, buffer_pool=before)
    peer.send(b"question", server.local_address)
    question = await owner.get()
    await crash(node, owner)
    successor = await Probe.start(node)
    again, _ = await open_server(successor, port=server.local_address[1], buffer_pool=after)
    node.send(alias, meta.MessageUDP(alias, question.addr, question.data[:4]))
    assert (await peer.receive())[0] == b"ques"
    await node.inspect_meta(alias)
    assert (before.lent, bytes(question.data)) == (1, b"question")
    question.release()
    assert (before.lent, after.lent, again.statistics().pool_errors) == (0, 0, 0)


async def test_the_count_of_the_pools_errors_goes_on_after_an_adoption(node: homing.Node, peer: UDPPeer) -> None:
    pool = Foreign()
    owner, server, _ = await owned(node, buffer_pool=pool)
    pool.make = lambda: None
    pool.idle.clear()
    peer.send(b"question", server.local_address)
    await owner.get()
    counted = server.statistics().pool_errors
    pool.make = lambda: bytearray(2000)
    await crash(node, owner)
    again, _ = await open_server(await Probe.start(node), port=server.local_address[1], buffer_pool=pool)
    assert again.statistics().pool_errors == counted >= 1

"""Finalizers that the collector of garbage runs in the midst of a server's work: they end it, its owner, or send."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...garbage import littered
from ...support import Probe, UDPPeer, eventually, examples
from ..servers import HOST, all_accounted, bind_again, create

pytestmark = [pytest.mark.backends, pytest.mark.thorough]

SEEDS = list(range(examples(1, 40)))
PACKETS = 40


class Echo(act.Actor):
    """Answers each datagram with its payload; keeps the server, so that a finalizer can end it."""

    async def init(self, options: dict[str, Any]) -> None:
        self.handled = 0
        self.server = create(**options)
        await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.handled += 1
        self.send(message.id, message.reply(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self


class Batches(Echo):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.handle_message(self.pid, message)


KINDS = pytest.mark.parametrize(
    ("behavior", "options"),
    [
        (Echo, {}),
        (Echo, {"receive_ttl": True, "overflow": "drop_oldest"}),
        (Echo, {"buffer_pool": True}),
        (Batches, {}),
    ],
    ids=["messages", "infos", "pool", "batches"],
)


def with_pool(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "buffer_pool": meta.BufferPool(2000)} if "buffer_pool" in options else options


@KINDS
@pytest.mark.parametrize("ends", ["server", "owner"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_finalizer_may_end_a_server_that_receives_and_answers(
    node: homing.Node, peer: UDPPeer, behavior: type[Echo], options: dict[str, Any], ends: str, seed: int
) -> None:
    for number in range(seed + 1, 60, 9):
        pid = await node.spawn(behavior, with_pool(options))
        echo: Echo = await node.call(pid, "yourself")
        address, turn = echo.server.local_address, itertools.count(1)

        def end(pid: gen.PID = pid, echo: Echo = echo, turn: Any = turn, number: int = number) -> None:
            if next(turn) == number:
                if ends == "server":
                    echo.server.terminate(gen.TerminateNormal())
                else:
                    node.kill(pid)

        for packet in range(PACKETS):
            peer.socket.sendto(b"packet %d" % packet, address)
        with littered(end, seed):
            for _ in range(6):
                await asyncio.sleep(0)
        echo.server.terminate(gen.TerminateNormal())
        with contextlib.suppress(gen.ProcessTerminated):
            node.kill(pid)
        await eventually(lambda pid=pid: node._core.processes.get(pid) is None, "the end of the owner")  # type: ignore[misc]
        bind_again(address)
        counted = echo.server.statistics()
        assert counted.packets_in <= PACKETS
        assert echo.handled <= counted.delivered


@KINDS
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_server_loses_nothing_while_finalizers_send_to_its_owner(
    node: homing.Node, probe: Probe, peer: UDPPeer, behavior: type[Echo], options: dict[str, Any], seed: int
) -> None:
    pid = await node.spawn(behavior, with_pool(options))
    echo: Echo = await node.call(pid, "yourself")
    sent = itertools.count()

    def send() -> None:
        next(sent)
        node.send(pid, meta.MessageUDP(probe.pid, (HOST, 9), b"from a finalizer"))

    packets = 0
    with littered(send, seed):
        for _ in range(10):
            for _ in range(PACKETS):
                peer.socket.sendto(b"x" * 20, echo.server.local_address)
                packets += 1
            await all_accounted(echo.server, packets)
    mine = next(sent)
    await eventually(lambda: echo.handled >= mine + packets, "all messages")
    assert echo.handled == mine + packets
    assert echo.server.statistics().delivered == packets

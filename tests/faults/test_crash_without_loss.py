"""A stream of numbered datagrams while its receiver is killed again and again: none lost, none twice, order kept."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..support import eventually, free_port
from .figures import figure

pytestmark = pytest.mark.backends

HOST = "127.0.0.1"
DATAGRAMS = 6000
KILLS = 20
NAME = "collector"


class Collector(act.Actor):
    """Owns the socket; notes each number in a list that outlives it; dies of what it is told to."""

    async def init(self, port: int, seen: list[int]) -> None:
        self.seen = seen
        options = meta.UDPServerOptions(host=HOST, port=port, linger=30.0, receive_buffer=200_000)
        self.udp = await self.spawn_meta(meta.create_udp_server(options))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message:
            case meta.MessageUDP(data=data):
                self.seen.append(int(data))
            case Exception():
                raise message


class AsyncCollector(Collector):
    """Lets others run between the datagrams."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:  # type: ignore[override]
        super().handle_message(sender, message)
        await asyncio.sleep(0)


class BatchCollector(Collector):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.seen += [int(message.data) for message in batch]


class Service(act.Supervisor):
    def init(self, behavior: type[act.Actor], *args: Any) -> act.SupervisorSpec:
        options = gen.ProcessOptions(preserve_mailbox=True)
        child = act.ChildSpec(name=NAME, behavior=behavior, args=args, options=options)
        return act.SupervisorSpec(children=(child,), intensity=KILLS)


async def stream(port: int, seen: list[int]) -> None:
    """Sends the numbers, never more than the socket's buffer holds ahead of the receiver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(DATAGRAMS):
            sock.sendto(b"%d" % number, (HOST, port))
            if number % 16 == 15:
                await has_seen(seen, number - 150)


async def has_seen(seen: list[int], count: int) -> None:
    await eventually(lambda: len(seen) > count, f"number {count}")


async def end(node: homing.Node, how: str) -> None:
    """Ends the collector, whatever it does, and waits for its successor."""
    before = node.process_info(NAME).pid
    if how == "crash":
        node.send(before, RuntimeError("on request"))
    else:
        node.kill(before)
    await eventually(lambda: NAME in node._core.registry.routes and node.process_info(NAME).pid != before)


@pytest.mark.parametrize("how", ["kill", "crash"])
@pytest.mark.parametrize("behavior", [Collector, AsyncCollector, BatchCollector])
async def test_a_stream_survives_its_receiver_dying_twenty_times(
    node: homing.Node, behavior: type[Collector], how: str
) -> None:
    port, seen = free_port(), list[int]()
    await node.spawn(Service, behavior, port, seen)
    alias = node.process_info(NAME).metas[0]
    sending = asyncio.create_task(stream(port, seen))
    for time in range(1, KILLS + 1):
        await has_seen(seen, time * DATAGRAMS // (KILLS + 2))
        await end(node, how)
    await sending
    await eventually(lambda: len(seen) >= DATAGRAMS)
    facts = await node.inspect_meta(alias)
    assert seen == list(range(DATAGRAMS))
    figure(22, f"datagrams lost or doubled of {DATAGRAMS} while the owner of the socket died {KILLS} times", 0)
    assert (facts["adoptions"], facts["packets_in"], facts["delivered"]) == (KILLS, DATAGRAMS, DATAGRAMS)
    assert facts["kernel_drops"] in (0, "n/a")
    assert node.info().discarded == 0

"""The receiver may come late, die, come back, or never be there: its datagrams wait in the kernel."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import SMALL, accounted, create, get_payloads, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]


async def waits_for(node: homing.Node, alias: gen.Alias, what: str) -> None:
    """Waits until the server waits for its "receiver" to come, or for room in its "mailbox"."""
    async with asyncio.timeout(5):
        while (await node.inspect_meta(alias))["waiting_for"] != what:
            await asyncio.sleep(0)


async def test_datagrams_for_a_name_that_nobody_has_wait_in_the_kernel_until_somebody_has_it(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process="late")
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    await waits_for(node, alias, "receiver")
    assert server.statistics().packets_in == 0
    assert (await node.inspect_meta(alias))["reading"] is False
    late = await Probe.start(node, name="late")
    assert await get_payloads(late, 100) == [b"%d" % number for number in range(100)]
    facts = await node.inspect_meta(alias)
    assert (facts["reading"], facts["waiting_for"]) == (True, "")


async def test_a_process_that_takes_the_name_later_gets_what_waited(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process="late")
    peer.send(b"waited", server.local_address)
    await waits_for(node, alias, "receiver")
    node.register_name("late", probe.pid)
    assert (await probe.get()).data == b"waited"


async def test_sending_works_while_nobody_is_there_to_receive(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe, process="nobody")
    peer.send(b"x", server.local_address)
    await waits_for(node, alias, "receiver")
    assert await node.call(alias, meta.MessageUDP(None, peer.address, b"answer")) == 6
    assert await peer.receive() == (b"answer", server.local_address)


async def test_a_receiver_that_dies_and_comes_back_under_its_name_loses_nothing_that_the_kernel_holds(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process="phoenix")
    numbers = iter(range(10_000))
    got: list[bytes] = []
    sent = 0
    for _ in range(10):
        phoenix = await Probe.start(node, name="phoenix")
        for _ in range(20):
            peer.send(b"%d" % next(numbers), server.local_address)
        sent += 20
        got += await get_payloads(phoenix, 40 if got else 20)
        node.kill(phoenix.pid)
        for _ in range(20):
            peer.send(b"%d" % next(numbers), server.local_address)
        sent += 20
        await waits_for(node, alias, "receiver")
    last = await Probe.start(node, name="phoenix")
    got += await get_payloads(last, 20)
    assert got == [b"%d" % number for number in range(sent)]
    assert server.statistics().delivered == sent


async def test_a_name_that_comes_and_goes_a_hundred_times_under_load_loses_nothing(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, _ = await open_server(probe, process="restless")
    receiver = await Probe.start(node)
    for number in range(100):
        peer.send(b"a%d" % number, server.local_address)
        await receiver.do(lambda actor: actor.register_name("restless"))
        peer.send(b"b%d" % number, server.local_address)
        await receiver.do(lambda actor: actor.unregister_name())
    await receiver.do(lambda actor: actor.register_name("restless"))
    expected = [b"%s%d" % (letter, number) for number in range(100) for letter in (b"a", b"b")]
    assert await get_payloads(receiver, 200) == expected
    assert server.statistics().dropped_no_receiver == 0


async def test_datagrams_follow_a_name_to_its_next_owner(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, process="office")
    first, second = await Probe.start(node), await Probe.start(node)
    node.register_name("office", first.pid)
    peer.send(b"to the first", server.local_address)
    assert (await first.get()).data == b"to the first"
    await first.do(lambda actor: actor.unregister_name())
    node.register_name("office", second.pid)
    peer.send(b"to the second", server.local_address)
    assert (await second.get()).data == b"to the second"
    assert first.waiting() == []


class Leaving(act.Actor):
    """Gives its name up when told, while it handles its first message for ever."""

    def init(self, told: asyncio.Event) -> None:
        self.told = told

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await self.told.wait()
        self.unregister_name()
        await asyncio.Event().wait()


async def test_a_server_that_waits_for_a_full_mailbox_follows_the_name_to_its_next_owner(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process="office", high_water=4)
    told = asyncio.Event()
    first, second = await node.spawn(Leaving, told, name="office"), await Probe.start(node)
    for number in range(20):
        peer.send(b"%d" % number, server.local_address)
    await waits_for(node, alias, "mailbox")
    told.set()
    await eventually(lambda: node.process_info(first).name is None)
    node.register_name("office", second.pid)
    assert int((await second.get()).data) > 0
    node.kill(first)


@pytest.mark.parametrize("kind", ["pid", "alias"])
async def test_a_server_whose_receiver_is_gone_for_good_stays_and_counts(
    kind: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    receiver = await Probe.start(node)
    target = receiver.pid if kind == "pid" else await receiver.do(lambda actor: actor.create_alias())
    server, alias = await open_server(probe, process=target, receive_buffer=SMALL)
    peer.send(b"before", server.local_address)
    assert (await receiver.get()).data == b"before"
    node.kill(receiver.pid)
    for _ in range(3000):
        peer.send(b"after", server.local_address)
    await waits_for(node, alias, "receiver")
    statistics = server.statistics()
    assert statistics.packets_in == statistics.delivered == 1
    assert statistics.kernel_drops is None or statistics.kernel_drops > 0
    assert node.meta_info(alias).state is not gen.ProcessState.TERMINATED


@pytest.mark.parametrize(
    "target",
    [gen.PID("elsewhere@host", 5, 5), gen.ProcessID("name", "elsewhere@host"), gen.Alias("elsewhere@host", 5, 5)],
    ids=["pid", "process id", "alias"],
)
async def test_a_receiver_on_a_node_without_connection_leaves_datagrams_waiting(
    target: Any, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process=target)
    peer.send(b"x", server.local_address)
    await waits_for(node, alias, "receiver")
    assert accounted(server) == 0


async def test_a_server_that_waits_for_its_receiver_ends_cleanly_and_is_called_no_more(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process="late")
    peer.send(b"x", server.local_address)
    await waits_for(node, alias, "receiver")
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)
    late = await Probe.start(node, name="late")
    assert late.waiting() == []
    assert server.statistics().packets_in == 0


class Restarting(act.Supervisor):
    def init(self, probe: Probe) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="fragile", behavior=Fragile, args=(probe,)),))


class Fragile(act.Actor):
    """Crashes on `crash`; hands the rest to the probe."""

    def init(self, probe: Probe) -> None:
        self.probe = probe

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data == b"crash":
            raise RuntimeError("as asked")
        self.probe.queue.put_nowait(("message", sender, message))


async def test_a_supervisor_brings_a_crashed_receiver_back_and_its_datagrams_flow_again(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    await node.spawn(Restarting, probe)
    server = create(process="fragile")
    await probe.do(lambda actor: actor.spawn_meta(server))
    for number in range(5):
        pid = node.process_info("fragile").pid
        peer.send(b"crash", server.local_address)
        await eventually(lambda pid=pid: pid not in node.processes())
        peer.send(b"%d" % number, server.local_address)
        assert (await probe.get()).data == b"%d" % number

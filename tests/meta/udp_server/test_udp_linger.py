"""A socket that lingers outlives the process that owned it, and a successor adopts it with all that waits there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, bind_again, create, error_of, is_bound, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]


class Crash(Exception):
    """What an owner dies of."""


async def owned(node: homing.Node, **options: Any) -> tuple[Probe, meta.UDPServer, gen.Alias]:
    """A process of its own with a server that lingers."""
    owner = await Probe.start(node)
    server, alias = await open_server(owner, **{"port": free_port(), "linger": 60.0, **options})
    return owner, server, alias


async def crash(node: homing.Node, owner: Probe) -> None:
    node.kill(owner.pid)
    await owner.ended.wait()
    await eventually(lambda: owner.pid not in node.processes())


async def test_datagrams_that_come_while_nobody_owns_the_socket_wait_for_the_successor(
    node: homing.Node, peer: UDPPeer
) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    for number in range(10):
        peer.send(b"%d" % number, server.local_address)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=server.local_address[1], linger=60.0)
    assert [(await successor.get()).data for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert (same, again.local_address) == (alias, server.local_address)
    assert again.statistics().kernel_drops in (0, None)


async def test_an_answer_that_a_third_process_sends_meanwhile_goes_out(node: homing.Node, peer: UDPPeer) -> None:
    owner, server, _ = await owned(node)
    peer.send(b"question", server.local_address)
    question = await owner.get()
    await crash(node, owner)
    node.send(question.id, question.reply(b"answer"))
    assert await peer.receive() == (b"answer", server.local_address)


async def test_an_answer_to_what_came_before_the_crash_goes_out_after_the_adoption(
    node: homing.Node, peer: UDPPeer
) -> None:
    owner, server, _ = await owned(node)
    peer.send(b"question", server.local_address)
    question = await owner.get()
    await crash(node, owner)
    await open_server(await Probe.start(node), port=server.local_address[1])
    node.send(question.id, question.reply(b"answer"))
    assert await peer.receive() == (b"answer", server.local_address)


async def test_after_the_time_the_port_is_free_and_whoever_watches_the_alias_is_told(
    node: homing.Node, probe: Probe
) -> None:
    owner, server, alias = await owned(node, linger=0.05)
    await probe.do(lambda actor: actor.monitor(alias))
    await crash(node, owner)
    assert (await probe.get()).alias == alias
    bind_again(server.local_address)
    assert node.info().metas == 0


async def test_whoever_watches_the_alias_is_not_told_of_an_adoption(node: homing.Node, probe: Probe) -> None:
    owner, server, alias = await owned(node)
    await probe.do(lambda actor: actor.monitor(alias))
    await crash(node, owner)
    successor = await Probe.start(node)
    await open_server(successor, port=server.local_address[1])
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal))
    assert isinstance((await probe.get()).reason, gen.TerminateNormal)
    assert probe.queue.empty()


@pytest.mark.parametrize("reason", [gen.TerminateNormal, gen.TerminateShutdown])
async def test_an_orderly_end_of_the_owner_closes_the_socket_at_once(
    node: homing.Node, reason: type[Exception]
) -> None:
    owner, server, _ = await owned(node)
    node.send_exit(owner.pid, reason)
    await eventually(lambda: owner.pid not in node.processes())
    bind_again(server.local_address)


async def test_an_owner_ended_to_be_started_again_leaves_its_socket_open(node: homing.Node) -> None:
    owner, server, _ = await owned(node)
    node.send_exit(owner.pid, gen.TerminateRestart)
    await eventually(lambda: owner.pid not in node.processes())
    assert is_bound(server.local_address)


async def test_the_end_of_the_alias_closes_the_socket_at_once(node: homing.Node) -> None:
    owner, server, alias = await owned(node)
    await owner.do(lambda actor: actor.send_exit_meta(alias, Crash))
    await eventually(lambda: node.info().metas == 0)
    bind_again(server.local_address)


async def test_without_linger_the_socket_is_closed_at_once(node: homing.Node) -> None:
    owner, server, _ = await owned(node, linger=0.0)
    await crash(node, owner)
    bind_again(server.local_address)


async def test_the_stop_of_the_node_closes_what_lingers() -> None:
    async with homing.start_node("stop@localhost", gen.NodeOptions(handle_signals=False)) as node:
        owner, server, _ = await owned(node)
        await crash(node, owner)
        assert is_bound(server.local_address)
    bind_again(server.local_address)


async def test_a_node_that_stops_leaves_nothing_lingering() -> None:
    async with homing.start_node("stop@localhost", gen.NodeOptions(handle_signals=False)) as node:
        _, server, _ = await owned(node)
        await node.stop(0)
    bind_again(server.local_address)


async def test_a_start_that_fails_leaves_nothing_lingering(node: homing.Node) -> None:
    class Failing(act.Actor):
        async def init(self, port: int) -> None:
            await self.spawn_meta(create(port=port, linger=60.0))
            raise Crash("in init")

    port = free_port()
    with pytest.raises(Crash):
        await node.spawn(Failing, port)
    bind_again((HOST, port))


async def test_a_successor_that_cannot_start_leaves_the_socket_to_the_next(node: homing.Node, peer: UDPPeer) -> None:
    class Failing(act.Actor):
        async def init(self, port: int) -> None:
            await self.spawn_meta(create(port=port, linger=60.0))
            raise Crash("in init")

    owner, server, alias = await owned(node)
    await crash(node, owner)
    peer.send(b"early", server.local_address)
    with pytest.raises(Crash):
        await node.spawn(Failing, server.local_address[1])
    assert is_bound(server.local_address)
    peer.send(b"late", server.local_address)
    successor = await Probe.start(node)
    _, same = await open_server(successor, port=server.local_address[1])
    got = {(await successor.get()).data for _ in range(1)}
    assert (same, got <= {b"early", b"late"}) == (alias, True)


async def test_a_server_that_is_created_but_not_started_leaves_the_socket_lingering(node: homing.Node) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    with create(port=server.local_address[1]) as unused:
        assert unused.local_address == server.local_address
    unused.terminate(gen.TerminateNormal())
    assert is_bound(server.local_address)
    assert (await open_server(await Probe.start(node), port=server.local_address[1]))[1] == alias


async def test_a_successor_that_was_terminated_cannot_be_started_and_the_socket_lingers_on(
    node: homing.Node, probe: Probe
) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    unused = create(port=server.local_address[1])
    unused.terminate(gen.TerminateNormal())
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(unused)))
    assert isinstance(error, gen.NotAllowed)
    assert "was terminated" in str(error)
    assert (await open_server(probe, port=server.local_address[1]))[1] == alias


async def test_a_server_without_an_owner_cannot_be_moved_to_where_no_successor_looks_for_it(
    node: homing.Node, probe: Probe
) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    with pytest.raises(gen.NotAllowed):
        await node.call(alias, meta.Reconfigure(port=0))
    assert (await open_server(probe, port=server.local_address[1]))[1] == alias


async def test_only_one_of_two_successors_adopts_the_socket(node: homing.Node, probe: Probe) -> None:
    owner, server, alias = await owned(node)
    await crash(node, owner)
    first, second = create(port=server.local_address[1]), create(port=server.local_address[1])
    assert await probe.do(lambda actor: actor.spawn_meta(first)) == alias
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(second)))
    assert isinstance(error, gen.NotAllowed)
    assert "does not linger any more" in str(error)
    assert node.meta_info(alias).parent == probe.pid


async def test_the_terminate_of_the_predecessor_does_not_close_the_adopted_socket(
    node: homing.Node, peer: UDPPeer
) -> None:
    owner, server, _ = await owned(node)
    await crash(node, owner)
    successor = await Probe.start(node)
    await open_server(successor, port=server.local_address[1])
    server.terminate(gen.TerminateNormal())
    peer.send(b"still there", server.local_address)
    assert (await successor.get()).data == b"still there"


async def test_a_successor_that_asks_for_another_socket_binds_anew_and_says_so(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    owner, server, alias = await owned(node, host="::")
    await crash(node, owner)
    again, other = await open_server(await Probe.start(node), host="::", port=server.local_address[1], dual_stack=True)
    assert (again.local_address, other != alias) == (server.local_address, True)
    assert "because its dual_stack differed" in caplog.text


async def test_another_node_on_the_same_loop_cannot_adopt_the_socket(node: homing.Node) -> None:
    owner, server, _ = await owned(node)
    await crash(node, owner)
    async with homing.start_node("other@localhost", gen.NodeOptions(handle_signals=False)) as other:
        stranger = await Probe.start(other)
        again = create(port=server.local_address[1])
        error = await stranger.do(lambda actor: error_of(actor.spawn_meta(again)))
        assert "lingers at node test@localhost" in str(error)
    assert is_bound(server.local_address)


async def test_port_0_asks_for_a_new_socket(node: homing.Node) -> None:
    owner, server, _ = await owned(node)
    await crash(node, owner)
    again, _ = await open_server(await Probe.start(node), port=0)
    assert again.local_address != server.local_address


async def test_the_counters_go_on_and_inspect_counts_the_adoptions(node: homing.Node, peer: UDPPeer) -> None:
    owner, server, alias = await owned(node)
    peer.send(b"1", server.local_address)
    await owner.get()
    for _ in range(2):
        await crash(node, owner)
        owner = await Probe.start(node)
        server, _ = await open_server(owner, port=server.local_address[1], linger=60.0)
    peer.send(b"2", server.local_address)
    await owner.get()
    facts = await node.inspect_meta(alias)
    assert (facts["packets_in"], facts["delivered"], facts["adoptions"], facts["linger"]) == (2, 2, 2, 60.0)
    assert node.meta_info(alias).parent == owner.pid


async def test_a_receiver_by_name_goes_on_after_the_owner_was_replaced(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    receiver = await Probe.start(node, name="receiver")
    owner, server, _ = await owned(node, process="receiver")
    await crash(node, owner)
    peer.send(b"meanwhile", server.local_address)
    await open_server(probe, port=server.local_address[1], process="receiver")
    assert (await receiver.get()).data == b"meanwhile"


class BatchKeeper(act.Actor):
    """Waits in its first batch until the gate is open; after that notes the payloads."""

    async def init(self, port: int, gate: asyncio.Event, seen: list[bytes]) -> None:
        self.gate = gate
        self.seen = seen
        await self.spawn_meta(create(port=port, linger=60.0))

    async def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        await self.gate.wait()
        self.seen += [message.data for message in batch]


async def test_a_batch_that_its_receiver_died_of_does_not_hold_up_the_next_owner(
    node: homing.Node, peer: UDPPeer
) -> None:
    gate, seen, port = asyncio.Event(), list[bytes](), free_port()
    first = await node.spawn(BatchKeeper, port, gate, seen)
    peer.send(b"lost with it", (HOST, port))
    await eventually(lambda: node.process_info(first).state is gen.ProcessState.RUNNING)
    peer.send(b"kept", (HOST, port))
    node.kill(first)
    await eventually(lambda: first not in node.processes())
    gate.set()
    await node.spawn(BatchKeeper, port, gate, seen)
    await eventually(lambda: seen == [b"kept"])
    assert node.info().dead_letters == 1


async def test_a_batch_that_waits_goes_to_the_successor_before_what_the_kernel_holds(
    node: homing.Node, peer: UDPPeer
) -> None:
    gate, seen, port = asyncio.Event(), list[bytes](), free_port()

    class Keeper(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(preserve_mailbox=True)
            child = act.ChildSpec(name="keeper", behavior=Busy, args=(port, gate, seen), options=options)
            return act.SupervisorSpec(children=(child,))

    class Busy(BatchKeeper):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await self.gate.wait()

    await node.spawn(Keeper)
    first = node.process_info("keeper").pid
    node.send(first, "be busy")
    await eventually(lambda: node.process_info(first).state is gen.ProcessState.RUNNING)
    peer.send(b"1", (HOST, port))
    await eventually(lambda: node.process_info(first).mailbox.main == 1)
    peer.send(b"2", (HOST, port))
    node.kill(first)
    gate.set()
    await eventually(lambda: seen == [b"1", b"2"])


async def test_a_batch_that_killed_its_receiver_is_copied_for_the_dead_letter_process(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate, port = asyncio.Event(), free_port()
    options = gen.ProcessOptions(dead_letters=probe.pid)
    pid = await node.spawn(BatchKeeper, port, gate, None, options=options)
    peer.send(b"poison", (HOST, port))
    gate.set()  # adding payloads to None raises
    letter = await probe.get()
    assert (letter.pid, letter.in_hand, [message.data for message in letter.message]) == (pid, True, [b"poison"])
    await eventually(lambda: pid not in node.processes())


@pytest.mark.once
@pytest.mark.parametrize("linger", [-1, "long", float("inf")])
def test_a_linger_that_cannot_work_is_refused_by_name(linger: Any) -> None:
    with pytest.raises(gen.BadOption, match="linger"):
        meta.UDPServerOptions(linger=linger)

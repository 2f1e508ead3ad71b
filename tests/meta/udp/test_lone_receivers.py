"""Whatever receives a lone datagram, it gets it as it gets one of many, and ends, restarts and waits as ever."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...node.actors import Meta
from ...support import DEADLINE, Probe, UDPPeer, eventually, free_port
from ..servers import Gate, Gated, get_payloads, open_server
from .lone import ALONE, Reads, Serving, Way, adds_up, numbers, one, serve

pytestmark = [pytest.mark.backends, pytest.mark.loops]

nodes: list[homing.Node] = []
"""The node of the test, for processes that kill themselves."""


class Crashing(Serving):
    """Raises at a datagram that says so; ends, or kills itself."""

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        super().handle_message(sender, message)
        if message.data == b"crash":
            raise ValueError("as it was told")
        if message.data == b"end":
            raise gen.TerminateNormal
        if message.data == b"kill":
            nodes[-1].kill(self.pid)


class Later(Crashing):
    async def handle_message(self, sender: gen.PID, message: Any) -> Any:
        await asyncio.sleep(0)
        super().handle_message(sender, message)


class Unwaiting(Crashing):
    async def handle_message(self, sender: gen.PID, message: Any) -> Any:
        super().handle_message(sender, message)


class Asking(Crashing):
    async def handle_message(self, sender: gen.PID, message: Any) -> Any:
        assert await self.call("other", message.data) == message.data
        super().handle_message(sender, message)


class Other(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


async def nobody(node: homing.Node, server: meta.UDPServer) -> None:
    """Waits until the server waits for a receiver."""
    async with asyncio.timeout(DEADLINE):
        while (await node.inspect_meta(server.alias))["waiting_for"] != "receiver":
            await asyncio.sleep(0.001)


KINDS = pytest.mark.parametrize("behavior", [Crashing, Later, Unwaiting, Asking])
THREAD = gen.ProcessOptions(thread=True)


@KINDS
@pytest.mark.parametrize("options", [gen.ProcessOptions(), THREAD], ids=["loop", "thread"])
async def test_each_kind_of_handler_gets_all_in_order(
    node: homing.Node, peer: UDPPeer, way: Way, behavior: type[Crashing], options: gen.ProcessOptions
) -> None:
    await node.spawn(Other, name="other")
    pid, server, got = await serve(node, behavior, process=options)
    await way.begin(peer, server, handled=lambda: node.process_info(pid).state is gen.ProcessState.SLEEP)
    await way.send(peer, server, numbers(20))
    await eventually(lambda: len(got) == ALONE + 20)
    assert got[ALONE:] == numbers(20)
    assert adds_up(server)
    assert node.process_info(pid).messages_in == ALONE + 21
    assert sum(way.reads.lone) > 0


async def test_datagrams_that_come_while_a_handler_waits_go_through_the_mailbox_in_order(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    gate = Gate()
    pid = await node.spawn(Gated, gate)
    server, _ = await open_server(await Probe.start(node), process=pid)
    gate.let(ALONE)
    await Way("alone", reads).begin(peer, server)
    await gate.passed_by(ALONE)
    lone = sum(reads.lone)
    assert lone > 0
    for data in numbers(5):
        await one(peer, server, data)
    assert sum(reads.lone) <= lone + 1  # the others found a receiver at work
    assert len(gate.reached) == ALONE + 1
    assert node.process_info(pid).messages_in == ALONE + 5
    gate.let(5)
    await gate.passed_by(ALONE + 5)
    assert gate.payloads()[ALONE:] == numbers(5)


@pytest.mark.parametrize("how", [b"crash", b"end", b"kill"])
@pytest.mark.parametrize("behavior", [Crashing, Later, Unwaiting])
async def test_a_receiver_that_ends_in_its_handler_ends_once_with_its_reason(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way, behavior: type[Crashing], how: bytes
) -> None:
    nodes.append(node)
    pid, server, got = await serve(node, behavior)
    await probe.do(lambda actor: actor.monitor(pid))
    await way.begin(peer, server)
    await eventually(lambda: len(got) == ALONE)
    peer.send(how, server.local_address)
    down = await probe.get()
    expected = {b"crash": ValueError, b"end": gen.TerminateNormal, b"kill": gen.TerminateKill}[how]
    assert (down.pid, type(down.reason)) == (pid, expected)
    assert got[ALONE:] == [how]
    assert pid not in node.processes()
    assert probe.waiting() == []
    assert adds_up(server)


@pytest.mark.parametrize("behavior", [Crashing, Later])
async def test_after_a_crash_at_a_lone_datagram_the_supervisor_restarts_and_the_next_one_arrives(
    node: homing.Node, peer: UDPPeer, way: Way, behavior: type[Crashing]
) -> None:
    got: list[bytes] = []
    servers: list[meta.UDPServer] = []
    port = free_port()

    class Kept(behavior):  # type: ignore[misc, valid-type]
        async def init(self, *_: Any) -> None:
            await super().init(got, {"port": port, "linger": 30.0})
            servers.append(self.server)

    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="kept", behavior=Kept),))

    await node.spawn(Top)
    await eventually(lambda: servers)
    await way.begin(peer, servers[0])
    await eventually(lambda: len(got) == ALONE)
    peer.send(b"crash", servers[0].local_address)
    await eventually(lambda: len(servers) == 2)
    await way.send(peer, servers[1], numbers(5))
    await eventually(lambda: len(got) == ALONE + 6)
    assert got[ALONE:] == [b"crash", *numbers(5)]
    facts = servers[1].statistics()
    assert (facts.packets_in, facts.delivered) == (ALONE + 6, ALONE + 6)


async def test_the_lone_datagram_at_which_a_handler_raises_is_a_dead_letter_in_hand(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    _, server, got = await serve(node, Crashing, process=gen.ProcessOptions(dead_letters=probe.pid))
    await way.begin(peer, server)
    await eventually(lambda: len(got) == ALONE)
    peer.send(b"crash", server.local_address)
    letter = await probe.get()
    assert (letter.message.data, letter.in_hand) == (b"crash", True)


async def test_a_receiver_that_has_ended_lets_the_reading_wait(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    receiver = await Probe.start(node)
    server, _ = await open_server(probe, process=receiver.pid)
    await way.begin(peer, server)
    assert await get_payloads(receiver, ALONE) == [b"first"] * ALONE
    node.kill(receiver.pid)
    peer.send(b"nobody is there", server.local_address)
    await nobody(node, server)
    facts = server.statistics()
    assert (facts.delivered, facts.dropped_no_receiver) == (ALONE, 0)


async def test_a_name_that_moves_to_another_process_takes_the_datagrams_along(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    first, second = await Probe.start(node, name="receiver"), await Probe.start(node)
    server, _ = await open_server(probe, process="receiver")
    await way.begin(peer, server)
    assert await get_payloads(first, ALONE) == [b"first"] * ALONE
    await first.do(lambda actor: actor.unregister_name())
    await second.do(lambda actor: actor.register_name("receiver"))
    await way.send(peer, server, numbers(5))
    assert await get_payloads(second, 5) == numbers(5)
    assert first.waiting() == []


async def test_an_alias_that_is_deleted_gets_nothing_more(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    receiver = await Probe.start(node)
    alias = await receiver.do(lambda actor: actor.create_alias())
    server, _ = await open_server(probe, process=alias)
    await way.begin(peer, server)
    assert await get_payloads(receiver, ALONE) == [b"first"] * ALONE
    await receiver.do(lambda actor: actor.delete_alias(alias))
    peer.send(b"to the alias", server.local_address)
    await nobody(node, server)
    assert receiver.waiting() == []


async def test_a_receiver_that_is_itself_a_meta_process_gets_lone_datagrams(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    meta_process = Meta()
    alias = await probe.do(lambda actor: actor.spawn_meta(meta_process))
    server, _ = await open_server(probe, process=alias)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(5))
    await eventually(lambda: len(meta_process.got) == ALONE + 5)
    assert [(sender, message.data) for sender, message in meta_process.got[ALONE:]] == [
        (server.alias, data) for data in numbers(5)
    ]


async def test_the_workers_of_a_server_get_each_datagram_once(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    got: list[bytes] = []

    class Worker(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(bytes(message.data))

    class Owner(Serving):
        async def init(self, *_: Any) -> None:
            await super().init(got, {"worker": Worker, "workers": 3, "route": "source"})

    _, server, _ = await serve(node, Owner)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(20))
    await eventually(lambda: len(got) == ALONE + 20)
    assert got[ALONE:] == numbers(20)
    assert way.reads.taken_alone() == 0


async def test_a_receiver_of_batches_gets_lone_datagrams_as_batches(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    class Batches(Serving):
        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            self.got.extend(bytes(each.data) for each in batch)

    _, server, got = await serve(node, Batches)
    await way.begin(peer, server)
    await way.send(peer, server, numbers(20))
    await eventually(lambda: len(got) == ALONE + 20)
    assert got[ALONE:] == numbers(20)
    assert way.reads.taken_alone() == 0


async def test_pooled_buffers_hold_lone_datagrams_and_come_back(node: homing.Node, peer: UDPPeer, way: Way) -> None:
    pool = meta.BufferPool(100)

    class Releasing(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            message.release()

    _, server, got = await serve(node, Releasing, options={"buffer_pool": pool})
    await way.begin(peer, server)
    await way.send(peer, server, numbers(20))
    await eventually(lambda: len(got) == ALONE + 20)
    assert got[ALONE:] == numbers(20)
    assert way.reads.taken_alone() == 0


async def test_a_receiver_that_has_split_its_handlers_gets_lone_datagrams_at_the_right_one(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    got: list[tuple[str, bytes]] = []

    class Split(act.Actor):
        split_handle = True

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(("pid", message.data))

        def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
            got.append((name, message.data))

    await node.spawn(Split, name="split")
    server, _ = await open_server(probe, process="split")
    await way.begin(peer, server)
    await way.send(peer, server, numbers(5))
    await eventually(lambda: len(got) == ALONE + 5)
    assert got[ALONE:] == [("split", data) for data in numbers(5)]


async def test_a_preserved_mailbox_gives_its_messages_to_the_successor_before_what_comes_alone(
    node: homing.Node, probe: Probe, peer: UDPPeer, reads: Reads
) -> None:
    gate = Gate()
    started: list[gen.PID] = []

    class Held(Gated):
        def init(self, gate: Gate) -> None:
            super().init(gate)
            started.append(self.pid)

    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            keep = gen.ProcessOptions(preserve_mailbox=True)
            return act.SupervisorSpec(children=(act.ChildSpec(name="held", behavior=Held, args=(gate,), options=keep),))

    await node.spawn(Top)
    server, _ = await open_server(probe, process="held")
    gate.let(ALONE)
    await Way("alone", reads).begin(peer, server)
    await gate.passed_by(ALONE)
    for data in numbers(4):
        await one(peer, server, data)
    await eventually(lambda: len(gate.reached) == ALONE + 1)
    node.kill(started[0])
    await eventually(lambda: len(started) == 2)
    gate.let(10)
    await one(peer, server, b"4")
    await gate.passed_by(ALONE + 4)
    assert gate.payloads()[ALONE:] == numbers(5)[1:]


async def test_a_callback_that_holds_the_loop_at_a_lone_datagram_is_counted_as_a_stall(
    peer: UDPPeer, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = threading.Event()

    class Slow(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            if message.data == b"block":
                blocked.wait(0.25)

    options = gen.NodeOptions(handle_signals=False, stop_timeout=2.0, slow_callback_seconds=0.1)
    async with homing.start_node("watched@localhost", options) as node:
        pid, server, _ = await serve(node, Slow)
        await way.begin(peer, server)
        await way.send(peer, server, [b"block"])
        assert node.process_info(pid).stalls == 1
        assert node.meta_info(server.alias).stalls == 0
        assert node.process_info(pid).running_time >= 0.25


async def test_the_node_may_stop_in_the_handler_of_a_lone_datagram(peer: UDPPeer, way: Way) -> None:
    stopping: list[asyncio.Task[Any]] = []

    class Stopping(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            if message.data == b"stop":
                stopping.append(asyncio.get_running_loop().create_task(running.stop()))

    options = gen.NodeOptions(handle_signals=False, stop_timeout=2.0)
    async with homing.start_node("ending@localhost", options) as running:
        _, server, got = await serve(running, Stopping)
        await way.begin(peer, server)
        peer.send(b"stop", server.local_address)
        peer.send(b"too late", server.local_address)
        await eventually(lambda: stopping)
        async with asyncio.timeout(DEADLINE):
            assert await stopping[0]
    assert got[ALONE] == b"stop"
    assert adds_up(server)

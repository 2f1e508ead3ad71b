"""What changes while datagrams come alone: options, addresses, receivers, owners; nothing is lost or repeated."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...garbage import littered
from ...support import Probe, UDPPeer, eventually, examples, free_port
from ..servers import Gate, Gated, bind_again, get_payloads, open_server
from .lone import ALONE, Reads, Serving, Way, adds_up, numbers, one, read, serve

pytestmark = [pytest.mark.backends, pytest.mark.loops]


async def change(probe: Probe, alias: gen.Alias, **changes: Any) -> Any:
    """Changes options of a server of `probe`."""
    return await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(**changes)))


async def test_another_receiver_gets_the_next_datagram(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    second = await Probe.start(node)
    server, alias = await open_server(probe)
    await way.begin(peer, server)
    assert await get_payloads(probe, ALONE) == [b"first"] * ALONE
    await change(probe, alias, process=second.pid)
    await way.send(peer, server, numbers(5))
    assert await get_payloads(second, 5) == numbers(5)
    assert probe.waiting() == []


async def test_a_server_that_moves_answers_what_came_before_by_the_former_socket(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    server, alias = await open_server(probe)
    before = server.local_address
    await way.begin(peer, server)
    await get_payloads(probe, ALONE)
    peer.send(b"question", before)
    question = await probe.get()
    await change(probe, alias, port=free_port(), grace=30.0)
    assert server.local_address != before
    await probe.do(lambda actor: actor.send(alias, question.reply(b"answer")))
    assert await peer.receive() == (b"answer", before)
    peer.send(b"late", before)
    late = await probe.get()
    await probe.do(lambda actor: actor.send(late.id, late.reply(b"by the former")))
    assert await peer.receive() == (b"by the former", before)
    await way.send(peer, server, [b"new"])
    new = await probe.get()
    await probe.do(lambda actor: actor.send(new.id, new.reply(b"by the new")))
    assert await peer.receive() == (b"by the new", server.local_address)


async def test_sources_that_are_denied_from_now_on_are_not_delivered(
    node: homing.Node, probe: Probe, peer: UDPPeer, way: Way
) -> None:
    server, alias = await open_server(probe)
    await way.begin(peer, server)
    await get_payloads(probe, ALONE)
    await change(probe, alias, deny=("127.0.0.0/8",))
    peer.send(b"denied", server.local_address)
    await eventually(lambda: server.statistics().denied == 1)
    await change(probe, alias, deny=())
    await way.send(peer, server, numbers(3))
    assert await get_payloads(probe, 3) == numbers(3)
    assert adds_up(server)


@pytest.mark.parametrize("overflow", ["pause", "drop_newest", "drop_oldest"])
async def test_a_receiver_that_is_full_has_its_limits_kept_and_each_datagram_is_counted(
    node: homing.Node, peer: UDPPeer, reads: Reads, overflow: str
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate)
    server, _ = await open_server(
        await Probe.start(node), process=receiver, overflow=overflow, high_water=2, low_water=0
    )
    gate.let(ALONE)
    await Way("alone", reads).begin(peer, server, b"f")
    await gate.passed_by(ALONE)
    for data in numbers(8):
        peer.send(data, server.local_address)
    if overflow == "pause":
        await eventually(lambda: server.statistics().pauses > 0)
        assert node.process_info(receiver).mailbox.main <= 3
    else:
        await read(server, ALONE + 8)
    gate.let(100)
    await eventually(lambda: adds_up(server) and node.process_info(receiver).state is gen.ProcessState.SLEEP)
    if overflow == "pause":
        await gate.passed_by(ALONE + 8)
    facts = server.statistics()
    got = gate.payloads()[ALONE:]
    assert len(got) == facts.delivered - ALONE
    assert got == [each for each in numbers(8) if each in got]
    dropped = facts.dropped_newest + facts.dropped_oldest
    assert len(got) + dropped == 8
    assert (dropped > 0) == (overflow != "pause")


async def test_a_lone_datagram_at_a_full_receiver_of_its_own_limit_waits(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    gate = Gate()
    receiver = await node.spawn(Gated, gate, options=gen.ProcessOptions(mailbox_size=1))
    server, _ = await open_server(await Probe.start(node), process=receiver)
    gate.let(ALONE)
    await Way("alone", reads).begin(peer, server)
    await gate.passed_by(ALONE)
    for data in numbers(5):
        peer.send(data, server.local_address)
    await eventually(lambda: server.statistics().pauses > 0)
    gate.let(5)
    await gate.passed_by(ALONE + 5)
    assert gate.payloads()[ALONE:] == numbers(5)


async def test_a_successor_with_a_buffer_pool_goes_on_where_datagrams_came_alone(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    port = free_port()
    owner = await Probe.start(node)
    server, alias = await open_server(owner, port=port, linger=30.0)
    await way.begin(peer, server)
    await get_payloads(owner, ALONE)
    node.kill(owner.pid)
    await eventually(lambda: owner.pid not in node.processes())
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=port, linger=30.0, buffer_pool=meta.BufferPool(100))
    assert same == alias
    await way.send(peer, again, numbers(5))
    for data in numbers(5):
        message = await successor.get()
        assert bytes(message.data) == data
        await successor.do(lambda actor, message=message: actor.send(message.id, message.reply(message.data)))  # type: ignore[misc]
        assert (await peer.receive())[0] == data
    assert again.statistics().packets_out == 5


async def test_a_server_that_ends_in_the_handler_of_a_lone_datagram_frees_its_port(
    node: homing.Node, peer: UDPPeer, way: Way
) -> None:
    class Ending(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            if message.data == b"end":
                self.send_exit_meta(message.id, gen.TerminateNormal)

    _, server, got = await serve(node, Ending)
    await way.begin(peer, server)
    address = server.local_address
    peer.send(b"end", address)
    await eventually(lambda: node.info().metas == 0)
    bind_again(address)
    assert got[ALONE:] == [b"end"]
    assert adds_up(server)


# --- finalizers -----------------------------------------------------------------------------------------------

NUMBERS = range(1, examples(9, 60))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["waits", "at once"])
async def test_a_finalizer_may_kill_the_receiver_of_a_lone_datagram(
    node: homing.Node, probe: Probe, peer: UDPPeer, reads: Reads, kind: str
) -> None:
    class Waiting(Serving):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await asyncio.sleep(0)
            super().handle_message(sender, message)

    class Taking(Serving):
        async def init(self, got: list[bytes], options: dict[str, Any] | None = None) -> None:
            self.got = got

    class Both(Waiting, Taking):
        pass

    for number in NUMBERS:
        got: list[bytes] = []
        receiver = await node.spawn(Both if kind == "waits" else Taking, got)
        await probe.do(lambda actor, receiver=receiver: actor.monitor(receiver))  # type: ignore[misc]
        server, alias = await open_server(probe, process=receiver)
        await Way("alone", reads).begin(
            peer,
            server,
            handled=lambda receiver=receiver: node.process_info(receiver).state is gen.ProcessState.SLEEP,  # type: ignore[misc]
        )
        turn = itertools.count(1)

        def kill(receiver: gen.PID = receiver, turn: Any = turn, number: int = number) -> None:
            if next(turn) == number:
                node.kill(receiver)

        peer.send(b"last", server.local_address)
        with littered(kill):
            for _ in range(8):
                await asyncio.sleep(0)
        if next(turn) <= number:
            node.kill(receiver)
        down = await probe.get()
        assert (down.pid, type(down.reason)) == (receiver, gen.TerminateKill)
        assert receiver not in node.processes()
        with pytest.raises(gen.ProcessTerminated):
            node.send(receiver, "too late")
        assert got[ALONE:] in ([], [b"last"])
        assert adds_up(server)
        assert probe.waiting() == []
        await probe.do(lambda actor, alias=alias: actor.send_exit_meta(alias, gen.TerminateNormal))  # type: ignore[misc]


@pytest.mark.thorough
async def test_a_finalizer_may_send_to_the_receiver_of_a_lone_datagram(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    class Mixed(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.got.append(message if type(message) is bytes else bytes(message.data))

    pid, server, got = await serve(node, Mixed)
    await Way("alone", reads).begin(peer, server)
    numbered = itertools.count()

    def send() -> None:
        node.send(pid, b"finalizer %d" % next(numbered))

    with littered(send) as litter:
        for data in numbers(50):
            await one(peer, server, data)
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    assert [each for each in got[ALONE:] if not each.startswith(b"finalizer")] == numbers(50)
    sent = [each for each in got if each.startswith(b"finalizer")]
    assert sent == [b"finalizer %d" % number for number in range(litter.collections)]
    assert adds_up(server)


@pytest.mark.thorough
async def test_a_finalizer_may_end_a_server_that_answers_a_lone_datagram(
    node: homing.Node, peer: UDPPeer, reads: Reads
) -> None:
    class Answering(Serving):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            super().handle_message(sender, message)
            try:
                self.reply(message, bytes(message.data))
            except gen.MetaTerminated:
                pass

    for number in NUMBERS:
        pid, server, got = await serve(node, Answering)
        address, turn = server.local_address, itertools.count(1)
        await Way("alone", reads).begin(peer, server)

        def end(server: meta.UDPServer = server, turn: Any = turn, number: int = number) -> None:
            if next(turn) == number:
                server.terminate(gen.TerminateNormal())

        peer.send(b"last", address)
        with littered(end):
            for _ in range(8):
                await asyncio.sleep(0)
        server.terminate(gen.TerminateNormal())
        assert adds_up(server)
        assert got[ALONE:] in ([], [b"last"])
        node.kill(pid)
        await eventually(lambda: node.info().metas == 0)
        bind_again(address)

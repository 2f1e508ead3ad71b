"""A server is given to another process: nothing is lost, the order holds, and it ends with the new owner."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import Gate, Gated, bind_again, create, error_of, get_payloads, is_bound, open_server
from .test_udp_linger import Crash, crash, owned

pytestmark = [pytest.mark.backends, pytest.mark.loops]

DATAGRAMS = 2000
TRANSFERS = 40


async def give(owner: Probe, alias: gen.Alias, to: gen.PID) -> None:
    await owner.do(lambda actor: actor.give_meta(alias, to))


async def test_the_new_owner_gets_what_comes_from_then_on(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    peer.send(b"before", server.local_address)
    await probe.get()
    heir = await Probe.start(node)
    await give(probe, alias, heir.pid)
    peer.send(b"after", server.local_address)
    _, sender, message = await heir.next()
    assert (sender, message.data, message.id) == (alias, b"after", alias)
    assert probe.queue.empty()
    assert node.meta_info(alias).parent == heir.pid
    assert (node.process_info(probe.pid).metas, node.process_info(heir.pid).metas) == ((), (alias,))


async def test_what_waits_at_the_old_owner_stays_there_and_its_answer_still_goes_out(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    peer.send(b"question", server.local_address)
    question = await probe.get()
    await give(probe, alias, (await Probe.start(node)).pid)
    await probe.do(lambda actor: actor.send(question.id, question.reply(b"answer")))
    assert await peer.receive() == (b"answer", server.local_address)


async def test_a_server_that_waits_for_room_at_the_old_owner_goes_on_at_the_new_one(
    node: homing.Node, peer: UDPPeer
) -> None:
    gate = Gate()

    class Owner(Gated):
        async def init(self, gate: Gate) -> None:
            super().init(gate)
            self.server = create(high_water=2)
            self.udp = await self.spawn_meta(self.server)

        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await super().handle_message(sender, message)
            if message.data == b"0":
                self.give_meta(self.udp, heir.pid)

        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return {"server": self.server, "alias": self.udp}

    heir = await Probe.start(node)
    facts = await node.inspect(await node.spawn(Owner, gate))
    server, alias = facts["server"], facts["alias"]
    for number in range(10):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: gate.reached and server.statistics().pauses)
    assert (await node.inspect_meta(alias, "waiting_for"))["waiting_for"] == "mailbox"
    gate.let(10)
    got = [(await heir.get()).data]
    await eventually(lambda: heir.queue.qsize() + len(gate.passed) == 9)
    got += [message.data for message in heir.waiting()]
    assert gate.payloads() + got == [b"%d" % number for number in range(10)]
    assert (await node.inspect_meta(alias, "waiting_for"))["waiting_for"] == ""


class Collector(act.Actor):
    """Notes each number; gives the socket to whom it is told, in the midst of them."""

    def init(self, seen: list[int]) -> None:
        self.seen = seen

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, meta.MessageUDP):
            self.seen.append(int(message.data))
        else:
            self.give_meta(*message)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return await self.spawn_meta(request)


class BatchCollector(Collector):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.seen += [int(message.data) for message in batch]


@pytest.mark.parametrize(
    "kinds", [(Collector, Collector), (BatchCollector, BatchCollector), (Collector, BatchCollector)]
)
async def test_a_stream_loses_doubles_and_reorders_nothing_while_its_socket_is_given_to_and_fro(
    node: homing.Node, kinds: tuple[type[Collector], ...]
) -> None:
    seen: tuple[list[int], list[int]] = ([], [])
    pids = [await node.spawn(kind, numbers) for kind, numbers in zip(kinds, seen, strict=True)]
    server = create(receive_buffer=200_000)
    alias = await node.call(pids[0], server)
    every, transfers = DATAGRAMS // TRANSFERS, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(DATAGRAMS):
            sock.sendto(b"%d" % number, server.local_address)
            if number % every == every // 2:
                node.send(pids[transfers % 2], (alias, pids[(transfers + 1) % 2]))
                transfers += 1
                await belongs_to(node, alias, pids[transfers % 2])
                # a machine that is slow to read must not let the kernel's buffer overflow: some wait there, not all
                await eventually(lambda number=number: sum(map(len, seen)) > number - 2 * every)
    await eventually(lambda: sum(map(len, seen)) == DATAGRAMS)
    assert sorted(seen[0] + seen[1]) == list(range(DATAGRAMS))
    assert [sorted(numbers) for numbers in seen] == list(seen)
    assert min(map(len, seen)) > DATAGRAMS // 4
    facts = await node.inspect_meta(alias)
    assert (facts["transfers"], facts["adoptions"], facts["delivered"]) == (TRANSFERS, 0, DATAGRAMS)


async def belongs_to(node: homing.Node, alias: gen.Alias, pid: gen.PID) -> None:
    await eventually(lambda: node.meta_info(alias).parent == pid)


async def test_only_the_owner_can_give_it_away(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe)
    other = await Probe.start(node)
    error = await other.do(lambda actor: error_of(_later(actor, alias, other.pid)))
    assert isinstance(error, gen.NotAllowed)
    assert f"belongs to {probe.pid}; only its owner" in str(error)
    await give(probe, alias, other.pid)
    error = await probe.do(lambda actor: error_of(_later(actor, alias, probe.pid)))
    assert isinstance(error, gen.NotAllowed)


async def _later(actor: act.Actor, alias: Any, pid: Any) -> None:
    actor.give_meta(alias, pid)


async def test_an_address_to_which_it_cannot_be_given_leaves_it_where_it_is(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    dead = (await Probe.start(node)).pid
    node.kill(dead)
    elsewhere = gen.PID("other@host", 1001, 1)
    cases: list[tuple[Any, Any, type[Exception]]] = [
        (alias, dead, gen.ProcessTerminated),
        (alias, gen.PID(node.name, 10**9, dead.creation), gen.ProcessUnknown),
        (alias, elsewhere, gen.NodeUnknown),
        (alias, "name", gen.BadOption),
        (dead, probe.pid, gen.BadOption),
        (await probe.do(lambda actor: actor.create_alias()), probe.pid, gen.BadOption),
        (gen.Alias(node.name, 10**9, alias.creation), probe.pid, gen.AliasUnknown),
    ]
    for what, to, kind in cases:
        assert type(await probe.do(lambda actor, w=what, t=to: error_of(_later(actor, w, t)))) is kind
    assert node.meta_info(alias).parent == probe.pid
    await give(probe, alias, probe.pid)
    assert (await node.inspect_meta(alias, "transfers")) == {"transfers": 0}
    assert is_bound(server.local_address)


async def test_it_ends_with_the_new_owner_and_no_more_with_the_old_one(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    first, heir = await Probe.start(node), await Probe.start(node)
    server, alias = await open_server(first)
    await probe.do(lambda actor: actor.monitor(alias))
    await give(first, alias, heir.pid)
    await crash(node, first)
    peer.send(b"still there?", server.local_address)
    assert (await heir.get()).data == b"still there?"
    assert probe.queue.empty()
    node.send_exit(heir.pid, Crash())
    down = await probe.get()
    assert (down.alias, type(down.reason)) == (alias, Crash)
    bind_again(server.local_address)


async def test_a_socket_that_lingers_does_so_for_the_successor_of_its_new_owner(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    first, server, alias = await owned(node)
    heir = await Probe.start(node)
    await give(first, alias, heir.pid)
    await crash(node, heir)
    peer.send(b"early", server.local_address)
    assert (await open_server(probe, port=server.local_address[1]))[1] == alias
    assert (await get_payloads(probe, 1), first.queue.empty()) == ([b"early"], True)


class Worker(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))


async def test_workers_stay_with_the_socket(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    first = await Probe.start(node)
    before = node.info().processes
    server, alias = await open_server(first, worker=Worker, workers=2)
    await give(first, alias, probe.pid)
    await crash(node, first)
    assert await peer.ask(b"hello", server.local_address) == b"hello"
    assert node.info().processes == before - 1 + 3
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: node.info().processes == before - 1)
    bind_again(server.local_address)


async def test_datagrams_that_go_to_a_name_go_there_as_before(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    named = await Probe.start(node, name="named")
    server, alias = await open_server(probe, process="named")
    heir = await Probe.start(node)
    await give(probe, alias, heir.pid)
    peer.send(b"hello", server.local_address)
    _, sender, message = await named.next()
    assert (sender, message.data) == (alias, b"hello")


class Asking(act.Actor):
    """Asks the owner for the socket in its `init`."""

    async def init(self, owner: gen.PID, alias: gen.Alias, probe: Probe, fails: bool) -> None:
        self.probe = probe
        await self.call(owner, lambda actor: actor.give_meta(alias, self.pid))
        if fails:
            raise Crash

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(self.probe.pid, message)


async def test_a_process_can_ask_for_it_in_its_init(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    first = await Probe.start(node)
    server, alias = await open_server(first)
    pid = await node.spawn(Asking, first.pid, alias, probe, False)
    peer.send(b"hello", server.local_address)
    assert (await probe.get()).data == b"hello"
    assert node.meta_info(alias).parent == pid


@pytest.mark.parametrize("linger", [0.0, 60.0])
async def test_where_the_init_of_the_new_owner_fails_it_ends_or_lingers(
    node: homing.Node, probe: Probe, linger: float
) -> None:
    first = await Probe.start(node)
    server, alias = await open_server(first, port=free_port(), linger=linger)
    with pytest.raises(Crash):
        await node.spawn(Asking, first.pid, alias, probe, True)
    assert is_bound(server.local_address) is (linger > 0)
    if linger:
        assert (await open_server(probe, port=server.local_address[1]))[1] == alias


class Threaded(act.Actor):
    async def init(self) -> None:
        self.udp = await self.spawn_meta(create())

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.give_meta(self.udp, request)
        return self.udp


async def test_a_process_on_a_thread_gives_it_away_as_any(node: homing.Node, probe: Probe) -> None:
    pid = await node.spawn(Threaded, options=gen.ProcessOptions(thread=True))
    alias = await node.call(pid, probe.pid)
    assert node.meta_info(alias).parent == probe.pid


async def test_it_is_given_once_its_start_is_over_not_before(node: homing.Node, probe: Probe) -> None:
    ready = asyncio.Event()
    errors = []

    class Slow(gen.MetaBehavior):
        async def init(self, process: gen.MetaProcess) -> None:  # type: ignore[override]
            self.process = process
            errors.append(await error_of(_later(probe.actor, process.id, heir.pid)))
            ready.set()

    heir = await Probe.start(node)
    alias = await probe.do(lambda actor: actor.spawn_meta(Slow()))
    assert isinstance(errors[0], gen.NotAllowed)
    assert "has not been started yet" in str(errors[0])
    assert alias is not None


async def test_any_meta_process_can_be_given_and_its_parent_is_then_the_new_owner(
    node: homing.Node, probe: Probe
) -> None:
    class Telling(gen.MetaBehavior):
        async def start(self) -> None:  # type: ignore[override]
            await asyncio.Event().wait()

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            self.process.send(self.process.parent, message)

    heir = await Probe.start(node)
    alias = await probe.do(lambda actor: actor.spawn_meta(Telling()))
    await give(probe, alias, heir.pid)
    node.send(alias, "hello")
    assert await heir.next() == ("message", alias, "hello")


async def test_a_client_is_given_like_a_server(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client = meta.create_udp_client(meta.UDPClientOptions(host=peer.address[0], port=peer.address[1]))
    alias = await probe.do(lambda actor: actor.spawn_meta(client))
    heir = await Probe.start(node)
    await give(probe, alias, heir.pid)
    peer.send(b"news", client.local_address)
    _, sender, message = await heir.next()
    assert (sender, message.data, probe.queue.empty()) == (alias, b"news", True)

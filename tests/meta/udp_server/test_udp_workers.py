"""A UDP server with workers of its own: a pool that lives and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...node.processes.threads import THREAD, Block
from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, Gate, Gated, bind_again, create, error_of, is_bound, open_server

pytestmark = pytest.mark.backends


class Answering(act.Actor):
    """Answers with its PID and the payload. Fails to start while `fail` holds something."""

    def init(self, fail: list[Exception] | None = None) -> None:
        if fail:
            raise fail[0]

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"crash":
            raise RuntimeError("as asked")
        self.send(message.id, message.reply(b"%d %b" % (self.pid.id, message.data)))


async def pool_of(probe: Probe, alias: gen.Alias) -> gen.PID:
    """The pool of a server: its receiver, by inspection."""
    facts = await probe.do(lambda actor: actor.inspect_meta(alias, "process"))
    return next(pid for pid in probe.node.processes() if str(pid) == facts["process"])


async def test_datagrams_go_to_workers_that_answer_through_the_server(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, worker=Answering, workers=3)
    answers = [await peer.ask(b"hello", server.local_address) for _ in range(6)]
    assert len(set(answers)) == 3
    assert all(answer.endswith(b" hello") for answer in answers)
    facts = await node.inspect(await pool_of(probe, alias))
    assert (facts["pool_size"], facts["worker_behavior"], facts["messages_handled"]) == (3, "Answering", 6)


async def test_there_are_four_workers_unless_told_otherwise(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe, worker=Answering)
    assert (await node.inspect(await pool_of(probe, alias)))["pool_size"] == 4


async def test_with_route_source_a_peer_meets_one_worker(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, worker=Answering, workers=8, route="source")
    assert len({await peer.ask(b"hello", server.local_address) for _ in range(10)}) == 1


async def test_a_route_may_be_a_key_of_the_datagram(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, _ = await open_server(probe, worker=Answering, workers=8, route=lambda sender, message: message.data)
    for data in (b"a", b"b", b"c"):
        assert len({await peer.ask(data, server.local_address) for _ in range(5)}) == 1


async def test_a_worker_that_crashes_is_replaced(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe, worker=Answering, workers=1)
    before = await peer.ask(b"hello", server.local_address)
    peer.send(b"crash", server.local_address)
    assert await peer.ask(b"hello", server.local_address) != before
    assert (await node.inspect(await pool_of(probe, alias)))["dead_letters"] == 1


async def test_workers_inherit_the_environment_and_leader_of_the_owner(node: homing.Node) -> None:
    owner = await Probe.start(node, options=gen.ProcessOptions(env={"kept": "in mind"}))
    await open_server(owner, worker=Answering, workers=1)
    infos = [node.process_info(pid) for pid in node.processes() if pid != owner.pid]
    assert [info.env["kept"] for info in infos] == ["in mind", "in mind"]
    assert {info.leader for info in infos} == {node.process_info(owner.pid).leader}


# --- the end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["exit", "owner", "owner killed"])
async def test_the_workers_end_with_the_server(end: str, node: homing.Node, probe: Probe) -> None:
    owner = await Probe.start(node)
    server, alias = await open_server(owner, worker=Answering)
    assert node.info().processes == 7
    if end == "exit":
        await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    elif end == "owner":
        await error_of(owner.do(lambda actor: 1 / 0))
    else:
        node.kill(owner.pid)
    await eventually(lambda: node.info().processes == (2 if end == "exit" else 1))
    bind_again(server.local_address)
    assert node.info().metas == 0


@pytest.mark.parametrize("end", ["kill", "exit"])
async def test_if_the_pool_ends_by_itself_the_server_ends_for_that_reason(
    end: str, node: homing.Node, probe: Probe
) -> None:
    server, alias = await open_server(probe, worker=Answering)
    await probe.do(lambda actor: actor.monitor(alias))
    pool = await pool_of(probe, alias)
    reason = gen.TerminateKill() if end == "kill" else RuntimeError("as asked")
    if end == "kill":
        node.kill(pool)
    else:
        node.send_exit(pool, reason)
    down = await probe.get()
    assert (down.alias, repr(down.reason)) == (alias, repr(reason))
    bind_again(server.local_address)
    await eventually(lambda: node.processes() == [probe.pid])


async def test_a_server_whose_workers_cannot_be_started_is_not_started(node: homing.Node, probe: Probe) -> None:
    server = create(worker=Answering, worker_args=([RuntimeError("sick")],))
    error = await probe.do(lambda actor: error_of(actor.spawn_meta(server)))
    assert str(error) == "sick"
    bind_again(server.local_address)
    await eventually(lambda: node.processes() == [probe.pid])
    assert node.info().metas == 0


class Failing(act.Actor):
    """Its server has started when its own `init` fails."""

    async def init(self, address: list[Any]) -> None:
        server = create(worker=Answering)
        address.append(server.local_address)
        await self.spawn_meta(server)
        raise RuntimeError("later")


async def test_an_owner_whose_init_fails_leaves_no_workers(node: homing.Node) -> None:
    address: list[Any] = []
    with pytest.raises(RuntimeError, match="later"):
        await node.spawn(Failing, address)
    bind_again(address[0])
    await eventually(lambda: node.processes() == [])


class Slow(Answering):
    async def init(self, gate: asyncio.Event) -> None:  # type: ignore[override]
        await gate.wait()


async def test_an_owner_that_is_killed_while_its_workers_start_leaves_nothing(node: homing.Node, probe: Probe) -> None:
    owner = await Probe.start(node)
    server = create(worker=Slow, worker_args=(asyncio.Event(),))
    starting = asyncio.create_task(error_of(owner.do(lambda actor: actor.spawn_meta(server))))
    await eventually(lambda: node.info().processes == 4)
    node.kill(owner.pid)
    assert isinstance(await starting, gen.ProcessTerminated)
    await eventually(lambda: node.processes() == [probe.pid])
    bind_again(server.local_address)
    assert node.info().metas == 0


async def test_what_comes_while_workers_start_waits_in_the_kernel(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate = asyncio.Event()
    owner = await Probe.start(node)
    server = create(worker=Slow, worker_args=(gate,), workers=1)
    starting = asyncio.create_task(owner.do(lambda actor: actor.spawn_meta(server)))
    await eventually(lambda: node.info().processes == 4)
    peer.send(b"early", server.local_address)
    gate.set()
    await starting
    assert (await peer.receive())[0].endswith(b" early")


async def test_a_stop_of_the_node_lets_the_workers_finish_and_answer(peer: UDPPeer) -> None:
    gate = Gate()
    async with homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False)) as node:
        probe = await Probe.start(node)
        server, _ = await open_server(probe, worker=GatedEcho, worker_args=(gate,), workers=2)
        for number in range(20):
            peer.send(b"%d" % number, server.local_address)
        await eventually(lambda: server.statistics().delivered == 20)
        stopping = asyncio.create_task(node.stop(5))
        gate.let(20)
        assert await stopping
    assert len(gate.passed) == 20
    assert sorted([int((await peer.receive())[0]) for _ in range(20)]) == list(range(20))


class GatedEcho(Gated):
    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        await self.gate.enter(message)
        self.send(message.id, message.reply(message.data))


# --- workers that block ----------------------------------------------------------------------------------------


class Blocking(Answering):
    """Answers with its PID and the payload; where that is held, once the test has let it."""

    def init(self, blocks: dict[bytes, Block]) -> None:  # type: ignore[override]
        self.blocks = blocks

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        block = self.blocks.get(bytes(message.data))
        if block is not None:
            block()
        super().handle_message(sender, message)


def blocking(blocks: dict[bytes, Block], **options: Any) -> dict[str, Any]:
    return {"worker": Blocking, "worker_args": (blocks,), "worker_options": THREAD, **options}


async def test_a_worker_that_blocks_a_thread_of_its_own_holds_up_no_peer_of_another_worker(
    node: homing.Node, probe: Probe
) -> None:
    blocks = {b"block": Block()}
    server, alias = await open_server(probe, **blocking(blocks, workers=8, route="source"))
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in range(16)]
        worker = {}
        for peer in peers:
            worker[peer] = (await peer.ask(b"who", server.local_address)).split()[0]
        blocked = peers[0]
        blocked.send(b"block", server.local_address)
        await blocks[b"block"].entered()
        others = [peer for peer in peers if worker[peer] != worker[blocked]]
        assert others
        for number in range(20):
            for peer in others:
                assert await peer.ask(b"%d" % number, server.local_address) == worker[peer] + b" %d" % number
        blocked.send(b"behind", server.local_address)
        blocks[b"block"].released.set()
        assert [(await blocked.receive())[0].split()[1] for _ in range(2)] == [b"block", b"behind"]
    facts = await node.inspect(await pool_of(probe, alias))
    assert sum(slot["handled"] for slot in facts["workers"].values()) == 18 + 20 * len(others)


async def test_a_worker_that_is_killed_while_it_blocks_loses_no_datagram(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    blocks = {b"block": Block()}
    server, alias = await open_server(probe, **blocking(blocks, workers=1))
    peer.send(b"block", server.local_address)
    for number in range(50):
        peer.send(b"%d" % number, server.local_address)
    await blocks[b"block"].entered()
    await eventually(lambda: server.statistics().delivered == 51)
    pool = await pool_of(probe, alias)
    (worker,) = set(node.processes()) - {probe.pid, pool}
    node.kill(worker)
    blocks[b"block"].released.set()
    answers = [(await peer.receive())[0].split()[1] for _ in range(51)]
    assert answers == [b"block", *(b"%d" % number for number in range(50))]
    assert (await node.inspect(pool))["worker_restarts"] == 1


async def test_a_socket_with_workers_that_block_keeps_them_when_it_is_adopted(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    blocks, port = {b"block": Block()}, free_port()
    options = lingering(port, **blocking(blocks, route="source"))
    first = await Probe.start(node)
    server, alias = await open_server(first, **options)
    pool = await pool_of(first, alias)
    peer.send(b"block", server.local_address)
    await blocks[b"block"].entered()
    node.kill(first.pid)
    peer.send(b"meanwhile", (HOST, port))
    same = lingering(port, **blocking(blocks, route="source", worker_options=gen.ProcessOptions(thread=True)))
    _, adopted = await open_server(probe, **same)
    assert (adopted, await pool_of(probe, adopted)) == (alias, pool)
    blocks[b"block"].released.set()
    assert [(await peer.receive())[0].split()[1] for _ in range(2)] == [b"block", b"meanwhile"]


# --- a socket that outlives its owner -----------------------------------------------------------------------


def lingering(port: int, **options: Any) -> dict[str, Any]:
    return {"port": port, "linger": 5.0, "worker": Answering, "workers": 2, "route": "source", **options}


async def test_a_pool_stays_with_a_socket_that_is_adopted(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    port = free_port()
    first, second = await Probe.start(node), await Probe.start(node)
    server, alias = await open_server(first, **lingering(port))
    pool, before = await pool_of(first, alias), await peer.ask(b"hello", server.local_address)
    node.kill(first.pid)
    peer.send(b"meanwhile", (HOST, port))
    assert node.info().processes == 5
    adopted, same = await open_server(second, **lingering(port))
    assert same == alias
    assert await pool_of(second, alias) == pool
    assert (await peer.receive())[0].endswith(b" meanwhile")
    assert await peer.ask(b"hello", (HOST, port)) == before
    node.kill(pool)
    await eventually(lambda: not is_bound((HOST, port)))
    assert adopted.statistics().packets_in == 3


async def test_workers_go_on_answering_while_the_socket_waits_for_an_owner(node: homing.Node, peer: UDPPeer) -> None:
    gate, port = Gate(), free_port()
    owner = await Probe.start(node)
    options = {"worker": GatedEcho, "worker_args": (gate,)}
    server, _ = await open_server(owner, **lingering(port, **options))
    for number in range(5):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().delivered == 5)
    node.kill(owner.pid)
    gate.let(5)
    assert sorted([(await peer.receive())[0] for _ in range(5)]) == [b"%d" % number for number in range(5)]


async def test_a_socket_that_nobody_adopts_takes_its_pool_with_it(node: homing.Node) -> None:
    port = free_port()
    owner = await Probe.start(node)
    await open_server(owner, **lingering(port, linger=0.05))
    node.kill(owner.pid)
    await eventually(lambda: node.info().processes == 0)
    bind_again((HOST, port))


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 3},
        {"route": "least"},
        {"worker_options": gen.ProcessOptions(env={"other": True})},
        {"worker": GatedEcho},
        {"worker": None},
    ],
)
async def test_an_owner_that_wants_other_workers_gets_them_and_the_old_ones_finish_and_end(
    change: dict[str, Any], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    gate, port = Gate(), free_port()
    first = await Probe.start(node)
    server, alias = await open_server(first, **lingering(port, worker=GatedAnswer, worker_args=(gate,)))
    for number in range(6):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().delivered == 6)
    old = await pool_of(first, alias)
    node.kill(first.pid)
    options = lingering(port, worker=GatedAnswer, worker_args=(gate,)) | change
    if options["worker"] is None:
        options |= {"worker_args": (), "workers": None, "route": "round_robin"}
    _, same = await open_server(probe, **options)
    assert same == alias
    assert await pool_of(probe, alias) != old
    gate.let(7)
    assert sorted([(await peer.receive())[0] for _ in range(6)]) == [b"%d" % number for number in range(6)]
    await eventually(lambda: old not in node.processes())
    peer.send(b"new", (HOST, port))
    if options["worker"] is None:
        assert (await probe.get()).data == b"new"
    else:
        assert (await peer.receive())[0] == b"new"


class GatedAnswer(GatedEcho):
    """A class of its own."""


# --- options ------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("worker", {"worker": Answering, "process": "somebody"}),
        ("worker", {"worker": int}),
        ("worker", {"worker": Answering()}),
        ("workers", {"worker": Answering, "workers": 0}),
        ("workers", {"worker": Answering, "workers": 2.5}),
        ("workers", {"workers": 4}),
        ("worker_args", {"worker_args": (1,)}),
        ("worker_args", {"worker": Answering, "worker_args": [1]}),
        ("worker_options", {"worker_options": gen.ProcessOptions()}),
        ("worker_options", {"worker": Answering, "worker_options": {"thread": True}}),
        ("worker_options", {"worker": Answering, "worker_options": gen.ProcessOptions(mailbox_size=5)}),
        ("route", {"route": "source"}),
        ("route", {"worker": Answering, "route": "random"}),
    ],
)
def test_workers_that_cannot_work_are_refused_by_an_error_that_names_the_option(
    option: str, given: dict[str, Any]
) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPServerOptions(**given)
    assert caught.value.option == option

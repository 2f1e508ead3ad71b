"""The UDP server as a meta-process: it binds, starts, and hands each datagram to whom it was told to."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, create, get_payloads, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]


async def test_creating_a_server_gives_a_meta_behavior() -> None:
    with create() as server:
        assert isinstance(server, gen.MetaBehavior)


async def test_spawn_meta_gives_the_alias_of_the_server(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe)
    assert isinstance(alias, gen.Alias)
    info = node.meta_info(alias)
    assert (info.behavior, info.parent) == ("UDPServer", probe.pid)


async def test_a_server_is_bound_at_creation_and_what_comes_before_its_start_is_delivered_after_it(
    probe: Probe, peer: UDPPeer
) -> None:
    server = create()
    for number in range(10):
        peer.send(b"%d" % number, server.local_address)
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert await get_payloads(probe, 10) == [b"%d" % number for number in range(10)]


async def test_a_datagram_comes_to_the_parent_as_a_message_with_id_address_and_data(
    probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    peer.send(b"hello", server.local_address)
    kind, sender, message = await probe.next()
    assert kind == "message"
    assert sender == alias
    assert type(message) is meta.MessageUDP
    assert (message.id, message.addr, message.data, message.truncated) == (alias, peer.address, b"hello", False)
    assert type(message.data) is bytes


async def test_a_message_can_be_matched_by_position_as_id_address_and_data(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    peer.send(b"hello", server.local_address)
    match await probe.get():
        case meta.MessageUDP(id, address, data):
            assert (id, address, data) == (alias, peer.address, b"hello")
        case other:
            pytest.fail(f"{other!r} did not match")


async def address_of(target: str, node: homing.Node, receiver: Probe) -> gen.Target:
    if target == "name":
        return "receiver"
    if target == "pid":
        return receiver.pid
    if target == "process id":
        return gen.ProcessID("receiver", node.name)
    alias: gen.Alias = await receiver.do(lambda actor: actor.create_alias())
    return alias


@pytest.mark.parametrize("target", ["name", "pid", "alias", "process id"])
async def test_process_may_be_a_name_a_pid_an_alias_or_a_process_id(
    target: str, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    receiver = await Probe.start(node, name="receiver")
    server, alias = await open_server(probe, process=await address_of(target, node, receiver))
    peer.send(b"to you", server.local_address)
    kind, sender, message = await receiver.next()
    assert (kind, message.id, message.data) == ("message", alias, b"to you")
    assert sender == alias, "what a meta-process sends comes from its alias"
    assert probe.waiting() == []


class Split(act.Actor):
    split_handle = True

    def init(self, probe: Probe) -> None:
        self.probe = probe

    def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("name", sender, (name, message.data)))

    def handle_message_alias(self, alias: gen.Alias, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("alias", sender, (alias, message.data)))

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.create_alias()


async def test_a_receiver_that_splits_its_handlers_gets_datagrams_by_name_and_by_alias_apart(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pid = await node.spawn(Split, probe, name="split")
    alias = await node.call(pid, "alias")
    by_name, _ = await open_server(probe, process="split")
    by_alias, _ = await open_server(probe, process=alias)
    peer.send(b"one", by_name.local_address)
    assert await probe.get() == ("split", b"one")
    peer.send(b"two", by_alias.local_address)
    assert await probe.get() == (alias, b"two")


class Worker(act.Actor):
    def init(self, probe: Probe) -> None:
        self.probe = probe

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("message", self.pid, message))
        self.send(message.id, message.reply(b"OK"))


class Workers(act.Pool):
    def init(self, probe: Probe) -> act.PoolOptions:
        return act.PoolOptions(worker=Worker, worker_args=(probe,), pool_size=3)


async def test_process_may_be_a_pool_whose_workers_take_turns_and_answer(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    await node.spawn(Workers, probe, name="workers")
    server, _ = await open_server(probe, process="workers")
    for number in range(6):
        peer.send(b"%d" % number, server.local_address)
    got = [await probe.next() for _ in range(6)]
    assert sorted(message.data for _, _, message in got) == [b"%d" % number for number in range(6)]
    workers = [pid for _, pid, _ in got]
    assert len(set(workers)) == 3
    assert all(workers.count(pid) == 2 for pid in workers)
    assert [(await peer.receive())[0] for _ in range(6)] == [b"OK"] * 6


async def test_servers_of_one_process_are_told_apart_by_the_id_of_the_message(probe: Probe, peer: UDPPeer) -> None:
    opened = [await open_server(probe) for _ in range(3)]
    for number, (server, _) in enumerate(opened):
        peer.send(b"%d" % number, server.local_address)
    got = {message.id: message.data for message in [await probe.get() for _ in opened]}
    assert got == {alias: b"%d" % number for number, (_, alias) in enumerate(opened)}


async def test_an_ipv6_server_receives_and_answers_with_four_part_addresses(probe: Probe) -> None:
    server, _ = await open_server(probe, host="::1")
    with UDPPeer("::1") as peer:
        peer.send(b"six", server.local_address)
        message = await probe.get()
        assert message.addr == peer.address
        assert len(message.addr) == 4
        await probe.do(lambda actor: actor.send(message.id, message.reply(b"answer")))
        assert await peer.receive() == (b"answer", server.local_address)


async def test_many_peers_are_told_apart_by_their_addresses(probe: Probe) -> None:
    server, _ = await open_server(probe)
    peers = [UDPPeer() for _ in range(20)]
    try:
        for number, peer in enumerate(peers):
            peer.send(b"%d" % number, server.local_address)
        got = {message.addr: message.data for message in [await probe.get() for _ in peers]}
        assert got == {peer.address: b"%d" % number for number, peer in enumerate(peers)}
    finally:
        for peer in peers:
            peer.socket.close()


async def test_linked_and_monitoring_processes_are_told_of_the_end_of_a_server(node: homing.Node, probe: Probe) -> None:
    other = await Probe.start(node)
    _, alias = await open_server(probe)
    await other.do(lambda actor: actor.monitor(alias))
    await other.do(lambda actor: actor.link(alias))
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    told = {type(await other.get()) for _ in range(2)}
    assert told == {gen.MessageDownAlias, gen.MessageExitAlias}
    with pytest.raises(gen.MetaTerminated):
        node.meta_info(alias)


async def test_a_message_tells_its_size_and_never_its_payload(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    peer.send(b"secret", server.local_address)
    text = repr(await probe.get())
    assert "6 bytes" in text
    assert str(alias) in text
    assert "secret" not in text


@pytest.mark.once
@pytest.mark.parametrize("data", [None, 5, object(), memoryview(b"x")])
def test_a_message_can_be_written_whatever_its_data_are(data: Any) -> None:
    assert "MessageUDP" in repr(meta.MessageUDP(None, (HOST, 1), data))


async def test_the_counters_of_the_server_as_a_meta_process_count_its_messages(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    for _ in range(5):
        peer.send(b"x", server.local_address)
    for _ in range(5):
        message = await probe.get()
        await probe.do(lambda actor, message=message: actor.send(message.id, message.reply(b"y")))
    await eventually(lambda: node.meta_info(alias).messages_in == 5)
    assert node.meta_info(alias).messages_out == 5

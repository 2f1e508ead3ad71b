"""A server with an amplification budget: an address that is not proven gets no more than k times what came from there,
by whatever way an answer leaves, and a proven one gets everything."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import HOST, create, error_of, is_bound, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]

STRICT = meta.Amplification(exempt=())
"""For the loopback interface, on which all tests are."""

LONG = bytes(1000)


def answer(message: meta.MessageUDP) -> list[meta.MessageUDP]:
    """Returns what a datagram asks for: "prove" an answer after its address was validated, "many" ten long ones."""
    data = bytes(message.data)
    if data.startswith(b"prove"):
        message.validated()
        return [message.reply(b"ok")]
    return [message.reply(LONG) for _ in range(10 if data.startswith(b"many") else 1)]


class Answering(act.Actor):
    def init(self, *_: Any) -> None:
        pass

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        for reply in answer(message):
            self.send(message.id, reply)


class AnsweringBatches(Answering):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.handle_message(self.pid, message)


class AnsweringLater(Answering):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        for reply in answer(message):
            self.send(message.id, reply)


class AnsweringPeer(meta.PeerActor):
    def init(self) -> None:
        pass

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        data = bytes(message.data)
        if data.startswith(b"prove"):
            self.peer.proven()
            self.peer.send(b"ok")
            return
        for _ in range(10 if data.startswith(b"many") else 1):
            self.peer.send(LONG)


class Owner(act.Actor):
    """Opens a server and answers by itself, or has others answer."""

    async def init(self, options: dict[str, Any], receiver: type[act.Actor] | None) -> None:
        if receiver is not None:
            await self.spawn(receiver, name="receiver")
            options = {"process": "receiver", **options}
        self.server = create(**{"amplification": STRICT, **options})
        self.udp = await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        for reply in answer(message):
            self.send(message.id, reply)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> meta.UDPServer:
        return self.server


async def start(node: homing.Node, receiver: type[act.Actor] | None = None, **options: Any) -> meta.UDPServer:
    server: meta.UDPServer = await node.call(await node.spawn(Owner, options, receiver), "server")
    return server


WAYS: dict[str, dict[str, Any]] = {
    "itself": {},
    "another process": {"receiver": Answering},
    "an async handler": {"receiver": AnsweringLater},
    "batches": {"receiver": AnsweringBatches},
    "workers": {"worker": Answering, "workers": 2},
    "workers on threads": {"worker": Answering, "workers": 2, "worker_options": gen.ProcessOptions(thread=True)},
    "peers": {"peers": meta.PeerOptions(worker=AnsweringPeer)},
    "a buffer pool": {"buffer_pool": meta.BufferPool(size=2048)},
    "paced": {"send_rate": meta.Pacing(bytes_per_second=1e9)},
}


@pytest.mark.parametrize("way", WAYS)
async def test_by_each_way_an_unproven_address_gets_three_times_its_bytes_and_a_proven_one_everything(
    node: homing.Node, peer: UDPPeer, way: str
) -> None:
    server = await start(node, **WAYS[way])
    peer.send(b"many" + bytes(996), server.local_address)
    await eventually(lambda: server.statistics().packets_out + server.statistics().amplification_limited == 10)
    assert (server.statistics().packets_out, server.statistics().amplification_limited_bytes) == (3, 7000)
    assert [await peer.receive() for _ in range(3)] == [(LONG, server.local_address)] * 3
    assert await peer.ask(b"prove", server.local_address) == b"ok"
    peer.send(b"many", server.local_address)
    assert [await peer.receive() for _ in range(10)] == [(LONG, server.local_address)] * 10
    with UDPPeer() as other:
        other.send(b"x" * 10, server.local_address)
        await eventually(lambda: server.statistics().amplification_limited == 8)


async def test_a_factor_alone_may_be_given_and_this_machine_is_exempt(node: homing.Node, peer: UDPPeer) -> None:
    server = await start(node, amplification=3.0)
    peer.send(b"x", server.local_address)
    assert await peer.receive() == (LONG, server.local_address)


async def test_nothing_goes_unasked_and_a_call_is_told_why(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_server(probe, amplification=STRICT)
    with pytest.raises(gen.AmplificationLimited, match="validated"):
        await node.call(alias, meta.MessageUDP(addr=peer.address, data=b"unasked"))
    facts = await probe.do(lambda actor: actor.inspect_meta(alias))
    assert (facts["amplification_limited"], facts["amplification_unknown"], facts["amplification"]) == (1, 1, 3.0)
    assert (facts["reply_limited"], facts["send_errors"]) == (0, {})


async def test_an_address_that_was_proven_elsewhere_is_told_to_the_server(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    _, alias = await open_server(probe, amplification=STRICT)
    node.send(alias, meta.AddressValidated(peer.address))
    assert await node.call(alias, meta.MessageUDP(addr=peer.address, data=LONG)) == 1000
    with pytest.raises(gen.BadAddress):
        meta.AddressValidated(("a name", 7))


async def test_validated_does_nothing_without_a_server_that_limits(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    peer.send(b"hello", server.local_address)
    message = await probe.get()
    message.validated()
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateNormal()))
    await eventually(lambda: not is_bound(server.local_address))
    message.validated()
    meta.MessageUDP(addr=peer.address, data=b"of no server").validated()
    with pytest.raises(gen.NotAllowed, match="answer"):
        message.reply(b"").validated()


async def test_a_thread_of_the_program_may_say_that_an_address_is_proven(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, amplification=STRICT)
    peer.send(b"hello", server.local_address)
    message = await probe.get()
    await asyncio.to_thread(message.validated)
    assert await node.call(alias, message.reply(LONG)) == 1000


async def test_the_limit_can_be_set_changed_and_lifted_while_the_server_runs(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    await node.call(alias, meta.Reconfigure(amplification=STRICT))
    peer.send(bytes(100), server.local_address)
    message = await probe.get()
    assert isinstance(await error_of(node.call(alias, message.reply(bytes(301)))), gen.AmplificationLimited)
    await node.call(alias, meta.Reconfigure(amplification=meta.Amplification(factor=4, exempt=())))
    assert await node.call(alias, message.reply(bytes(301))) == 301
    message.validated()
    changed = await node.call(alias, meta.Reconfigure(amplification=meta.Amplification(factor=2, exempt=())))
    assert await node.call(alias, message.reply(LONG)) == 1000
    assert changed.options.amplification == meta.Amplification(factor=2, exempt=())
    await node.call(alias, meta.Reconfigure(amplification=None))
    assert await node.call(alias, meta.MessageUDP(addr=("127.0.0.9", 9), data=LONG)) == 1000
    with pytest.raises(gen.BadOption, match="amplification"):
        await node.call(alias, meta.Reconfigure(amplification=-1))


async def test_a_server_that_moves_to_another_port_knows_which_addresses_are_proven(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, amplification=STRICT)
    peer.send(b"hello", server.local_address)
    message = await probe.get()
    message.validated()
    await node.call(alias, meta.Reconfigure(port=0, host=HOST))
    peer.send(b"hello", server.local_address)
    there = await probe.get()
    for one in (message, there):
        assert await node.call(alias, one.reply(LONG)) == 1000
    with UDPPeer() as other:
        other.send(b"hello", server.local_address)
        other_message = await probe.get()
        other_message.validated()
        assert await node.call(alias, other_message.reply(LONG)) == 1000


async def test_who_takes_the_server_over_knows_what_came_and_who_is_proven(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, amplification=STRICT)
    with UDPPeer() as proven:
        peer.send(bytes(500), server.local_address)
        first = await probe.get()
        proven.send(b"prove", server.local_address)
        second = await probe.get()
        second.validated()
        other = await Probe.start(node)
        await probe.do(lambda actor: actor.give_meta(alias, other.pid))
        assert await node.call(alias, first.reply(LONG)) == 1000
        assert isinstance(await error_of(node.call(alias, first.reply(LONG))), gen.AmplificationLimited)
        assert await node.call(alias, second.reply(LONG)) == 1000


async def test_a_successor_of_a_crashed_owner_knows_what_came_and_who_is_proven(
    node: homing.Node, peer: UDPPeer
) -> None:
    owner = await Probe.start(node)
    server, alias = await open_server(owner, amplification=STRICT, linger=60.0, port=0)
    port = server.local_address[1]
    with UDPPeer() as proven:
        peer.send(bytes(500), server.local_address)
        first = await owner.get()
        proven.send(b"prove", server.local_address)
        second = await owner.get()
        second.validated()
        node.kill(owner.pid)
        await owner.ended.wait()
        successor = await Probe.start(node)
        _, again = await open_server(successor, amplification=STRICT, linger=60.0, port=port)
        assert again == alias
        second.validated()
        assert await node.call(again, first.reply(LONG)) == 1000
        assert isinstance(await error_of(node.call(again, first.reply(LONG))), gen.AmplificationLimited)
        assert await node.call(again, second.reply(LONG)) == 1000


async def test_a_dry_run_sends_everything_and_counts(node: homing.Node, peer: UDPPeer) -> None:
    server = await start(node, amplification=meta.Amplification(exempt=(), dry_run=True))
    peer.send(b"many", server.local_address)
    assert len([await peer.receive() for _ in range(10)]) == 10
    counted = server.statistics()
    assert (counted.amplification_limited, counted.amplification_limited_dry_run, counted.packets_out) == (0, 10, 10)


async def test_a_peer_that_is_proven_stays_so_while_it_has_its_place(node: homing.Node, peer: UDPPeer) -> None:
    """The validity of other proofs is over at once."""
    times = itertools.count()
    strict = meta.Amplification(exempt=(), validity=1, clock=lambda: next(times))
    server = await start(node, peers=meta.PeerOptions(worker=AnsweringPeer), amplification=strict)
    assert await peer.ask(b"prove", server.local_address) == b"ok"
    for _ in range(3):
        assert await peer.ask(b"x", server.local_address) == LONG
    with UDPPeer() as other:
        other.send(b"x", server.local_address)
        await eventually(lambda: server.statistics().amplification_limited == 1)


@pytest.mark.parametrize("tapped", [False, True])
async def test_what_is_above_its_rate_allows_no_answer(
    node: homing.Node, probe: Probe, peer: UDPPeer, tmp_path: Path, tapped: bool
) -> None:
    """While a tap records, another part decides which datagrams become messages."""
    limit = meta.RateLimit(rate=1e-9, burst=1, exempt=())
    tap = meta.Tap(str(tmp_path / "all.pcapng")) if tapped else None
    server, alias = await open_server(probe, amplification=STRICT, rate_limit=limit, tap=tap)
    for _ in range(2):
        peer.send(bytes(100), server.local_address)
    message = await probe.get()
    await eventually(lambda: server.statistics().limited == 1)
    assert isinstance(await error_of(node.call(alias, message.reply(bytes(301)))), gen.AmplificationLimited)
    assert await node.call(alias, message.reply(bytes(300))) == 300


async def test_of_a_datagram_that_was_cut_the_bytes_that_were_delivered_count(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, amplification=STRICT, buffer_size=100)
    peer.send(bytes(900), server.local_address)
    message = await probe.get()
    assert isinstance(await error_of(node.call(alias, message.reply(bytes(301)))), gen.AmplificationLimited)
    assert await node.call(alias, message.reply(bytes(300))) == 300


@pytest.mark.parametrize("given", [0, -1.0, "3", True, float("nan"), float("inf"), ()])
def test_a_wrong_limit_is_named(given: Any) -> None:
    with pytest.raises(gen.BadOption, match="amplification"):
        create(amplification=given)


def test_a_unix_socket_has_no_addresses_to_prove() -> None:
    with pytest.raises(gen.BadOption, match="amplification"):
        meta.UDPServerOptions(path="/run/none", amplification=3.0)

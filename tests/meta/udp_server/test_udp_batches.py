"""Datagrams in batches: what `handle_datagrams` gets, how long it lives, and what happens if its receiver dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.datagram import DatagramBatch

from ...support import Probe, UDPPeer, eventually
from ..servers import create

pytestmark = pytest.mark.backends

Use = Callable[[DatagramBatch], Any]


class Keeper(act.Actor):
    """Does with each batch what the test says, and keeps what that gives, and what came."""

    def init(self, use: Use, kept: list[Any], name: str | None = None) -> None:
        self.use = use
        self.kept = kept
        if name is not None:
            self.register_name(name)

    def handle_datagrams(self, batch: DatagramBatch) -> None:
        self.kept.append(self.use(batch))


class AsyncKeeper(Keeper):
    """The same, in a coroutine that the loop may leave."""

    async def handle_datagrams(self, batch: DatagramBatch) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.kept.append(self.use(batch))
        await asyncio.sleep(0)
        self.use(batch)


class Both(Keeper):
    """Takes messages, too."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.kept.append(("message", message))


async def serve(
    node: homing.Node, probe: Probe, use: Use, behavior: type[Keeper] = Keeper, **options: Any
) -> tuple[meta.UDPServer, list[Any]]:
    """A server for a keeper, and what that keeps."""
    kept: list[Any] = []
    pid = await node.spawn(behavior, use, kept)
    server = create(process=pid, **options)
    await probe.do(lambda actor: actor.spawn_meta(server))
    return server, kept


def payloads(batch: DatagramBatch) -> list[bytes]:
    return [message.data for message in batch]


def flat(kept: list[Any]) -> list[Any]:
    return [one for some in kept for one in some]


async def send_and_wait(peer: UDPPeer, server: meta.UDPServer, kept: list[Any], data: bytes) -> None:
    """Sends a datagram and waits until its batch was handled."""
    before = len(kept)
    peer.send(data, server.local_address)
    await eventually(lambda: len(kept) > before)


# --- what comes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behavior", [Keeper, AsyncKeeper, Both])
async def test_all_datagrams_come_once_and_in_order_with_their_peers(
    behavior: type[Keeper], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    sent = [b"%d" % number for number in range(300)]
    server, kept = await serve(
        node, probe, lambda batch: [(m.id, m.addr, m.data) for m in batch], behavior, receive_buffer=1 << 20
    )
    for data in sent:
        peer.send(data, server.local_address)
    await eventually(lambda: len(flat(kept)) >= 300)
    assert flat(kept) == [(server.process.id, peer.address, data) for data in sent]
    statistics = server.statistics()
    assert (statistics.packets_in, statistics.delivered, statistics.receive_waiting) == (300, 300, 0)


async def test_an_ipv6_peer_has_its_address_and_gets_its_answer(node: homing.Node, probe: Probe) -> None:
    def answer(batch: DatagramBatch) -> Any:
        for message in batch:
            node.send(message.id, message.reply(message.data))
        return (bytes(batch.hosts), list(batch.ports), batch.address(0))

    server, kept = await serve(node, probe, answer, host="::1")
    with UDPPeer("::1") as peer:
        assert await peer.ask(b"hello", server.local_address) == b"hello"
        assert kept == [(bytes(15) + b"\1", [peer.address[1]], peer.address)]


async def test_what_is_longer_than_the_buffer_size_is_cut_and_told(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, kept = await serve(
        node, probe, lambda batch: [(m.data, m.truncated, bool(batch.cut)) for m in batch], buffer_size=3
    )
    await send_and_wait(peer, server, kept, b"long")
    await send_and_wait(peer, server, kept, b"fit")
    await send_and_wait(peer, server, kept, b"")
    assert flat(kept) == [(b"lon", True, True), (b"fit", False, False), (b"", False, False)]
    assert server.statistics().truncated == 1


async def test_a_buffer_pool_takes_nothing_from_the_datagrams_of_a_batch(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pool = meta.BufferPool(size=100)
    server, kept = await serve(node, probe, payloads, buffer_pool=pool)
    await send_and_wait(peer, server, kept, b"whole")
    assert flat(kept) == [b"whole"]
    assert pool.lent == 0


async def test_a_receiver_of_messages_under_the_same_name_gets_messages_again(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    kept: list[Any] = []
    pid = await node.spawn(Keeper, payloads, kept, "receiver")
    server = create(process="receiver")
    await probe.do(lambda actor: actor.spawn_meta(server))
    await send_and_wait(peer, server, kept, b"in a batch")
    node.kill(pid)
    await eventually(lambda: node.info().processes == 1)
    node.register_name("receiver", probe.pid)
    peer.send(b"as a message", server.local_address)
    assert (await probe.get()).data == b"as a message"
    assert kept == [[b"in a batch"]]


# --- how long it lives --------------------------------------------------------------------------------------

USES: list[Use] = [
    len,
    list,
    lambda batch: batch[0],
    lambda batch: batch[:],
    lambda batch: batch.count,
    lambda batch: batch.bytes,
    lambda batch: batch.buffer,
    lambda batch: batch.offsets,
    lambda batch: batch.lengths,
    lambda batch: batch.hosts,
    lambda batch: batch.ports,
    lambda batch: batch.cut,
    lambda batch: batch.address(0),
    lambda batch: batch.detach(),
]


@pytest.mark.parametrize("behavior", [Keeper, AsyncKeeper])
async def test_a_batch_that_is_used_after_its_callback_raises(
    behavior: type[Keeper], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, kept = await serve(node, probe, lambda batch: batch, behavior)
    await send_and_wait(peer, server, kept, b"first")
    await eventually(lambda: repr(kept[0]).endswith("ended)"))
    for use in USES:
        with pytest.raises(gen.BatchEnded):
            use(kept[0])


async def test_a_buffer_that_is_kept_raises(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, kept = await serve(node, probe, lambda batch: batch.buffer)
    await send_and_wait(peer, server, kept, b"first")
    with pytest.raises(ValueError, match="released"):
        kept[0][0]


async def test_what_is_made_of_a_batch_within_the_callback_stays(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, kept = await serve(node, probe, lambda batch: (batch.detach(), batch[0], batch.offsets, batch.hosts))
    for number in range(20):
        await send_and_wait(peer, server, kept, b"%02d" % number)
    for number, (copy, message, offsets, hosts) in enumerate(kept):
        assert payloads(copy) == [message.data] == [b"%02d" % number]
        assert (list(offsets), bytes(hosts), copy.address(0)) == ([0], b"\x7f\0\0\1", peer.address)


@pytest.mark.parametrize("behavior", [Keeper, AsyncKeeper])
async def test_a_view_of_a_datagram_that_is_kept_never_shows_another(
    behavior: type[Keeper], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, kept = await serve(node, probe, lambda batch: batch.buffer[: batch.lengths[0]], behavior)
    for number in range(20):
        await send_and_wait(peer, server, kept, b"%02d" % number)
    assert [bytes(view) for view in kept[:20]] == [b"%02d" % number for number in range(20)]
    for view in kept:
        view.release()


async def test_an_array_over_a_batch_that_is_kept_never_shows_another(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    numpy = pytest.importorskip("numpy")

    def over(batch: DatagramBatch) -> Any:
        octets = numpy.frombuffer(batch.buffer, numpy.uint8)
        sizes = numpy.frombuffer(batch.lengths, numpy.intc)
        return octets[batch.offsets[0] : batch.offsets[0] + sizes[0]]

    server, kept = await serve(node, probe, over)
    for number in range(20):
        await send_and_wait(peer, server, kept, b"%02d" % number)
    assert [array.tobytes() for array in kept] == [b"%02d" % number for number in range(20)]
    assert not any(array.flags.writeable for array in kept)


async def test_a_batch_lives_until_the_coroutine_of_its_callback_is_done_and_the_next_waits_for_it(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    entered, leave, seen = asyncio.Event(), asyncio.Event(), []

    class Slow(Keeper):
        async def handle_datagrams(self, batch: DatagramBatch) -> None:  # type: ignore[override]
            entered.set()
            await leave.wait()
            seen.append(payloads(batch))

    server, _ = await serve(node, probe, payloads, Slow)
    peer.send(b"first", server.local_address)
    await entered.wait()
    for number in range(3):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().pauses)
    assert await node.inspect_meta(server.process.id, "waiting_for", "reading") == {
        "waiting_for": "batch",
        "reading": False,
    }
    leave.set()
    await eventually(lambda: len(flat(seen)) == 4)
    assert flat(seen) == [b"first", b"0", b"1", b"2"]


# --- receivers that fail ------------------------------------------------------------------------------------


class Fragile(Keeper):
    def handle_datagrams(self, batch: DatagramBatch) -> None:
        super().handle_datagrams(batch)
        if batch[0].data == b"crash":
            raise RuntimeError("told to")


class AsyncFragile(Fragile):
    async def handle_datagrams(self, batch: DatagramBatch) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().handle_datagrams(batch)


class Guard(act.Supervisor):
    def init(self, behavior: type[Keeper], use: Use, kept: list[Any]) -> act.SupervisorSpec:
        child = act.ChildSpec(name="receiver", behavior=behavior, args=(use, kept))
        return act.SupervisorSpec(children=(child,), intensity=100)


@pytest.mark.parametrize("behavior", [Fragile, AsyncFragile])
async def test_a_handler_that_raises_is_started_again_and_its_server_reads_on(
    behavior: type[Keeper], node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    batches: list[DatagramBatch] = []
    kept: list[Any] = []
    await node.spawn(Guard, behavior, lambda batch: batches.append(batch) or payloads(batch), kept)
    server = create(process="receiver")
    await probe.do(lambda actor: actor.spawn_meta(server))
    for _ in range(3):
        await send_and_wait(peer, server, kept, b"crash")
        await send_and_wait(peer, server, kept, b"fine")
    assert flat(kept) == [b"crash", b"fine"] * 3
    assert node.info().crashes == 3
    with pytest.raises(gen.BatchEnded):
        batches[0].detach()


async def test_a_batch_whose_receiver_is_killed_before_it_comes_to_it_ends_and_the_server_reads_on(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    entered, never = asyncio.Event(), asyncio.Event()

    class Busy(Keeper):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            entered.set()
            await never.wait()

    kept: list[Any] = []
    busy = await node.spawn(Busy, payloads, kept, "receiver")
    node.send(busy, "be busy")
    await entered.wait()
    server = create(process="receiver")
    await probe.do(lambda actor: actor.spawn_meta(server))
    peer.send(b"lost with its receiver", server.local_address)
    await eventually(lambda: server.statistics().delivered)
    peer.send(b"waits in the kernel", server.local_address)
    node.kill(busy)
    await eventually(lambda: node.info().processes == 1)
    await node.spawn(Keeper, payloads, kept, "receiver")
    await eventually(lambda: kept)
    assert kept == [[b"waits in the kernel"]]
    assert server.statistics().packets_in == server.statistics().delivered == 2


async def test_a_server_that_ends_while_its_batch_is_in_use_leaves_it_readable(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    entered, leave, seen = asyncio.Event(), asyncio.Event(), []

    class Slow(Keeper):
        async def handle_datagrams(self, batch: DatagramBatch) -> None:  # type: ignore[override]
            entered.set()
            await leave.wait()
            seen.append(payloads(batch))

    server, _ = await serve(node, probe, payloads, Slow)
    peer.send(b"first", server.local_address)
    await entered.wait()
    alias = server.process.id
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: node.info().metas == 0)
    leave.set()
    await eventually(lambda: seen)
    assert seen == [[b"first"]]

"""A server hears whom it is to hear, each as much as allowed, and answers nobody more than allowed; all is counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...datagram.traffic import linux_only
from ...support import DEADLINE, Probe, UDPPeer, eventually
from ..servers import HOST, Echo, all_accounted, create, error_of, get_payloads, open_echo, open_server

pytestmark = pytest.mark.backends

PEERS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limit(**options: Any) -> meta.RateLimit:
    return meta.RateLimit(**{"rate": 1, "exempt": (), "clock": Clock(), **options})


@contextlib.contextmanager
def peers() -> Iterator[list[UDPPeer]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(UDPPeer(host)) for host in PEERS]


def check_account(server: meta.UDPServer, sent: int) -> None:
    """Each datagram of `sent` is in one counter, and in no other."""
    counted = server.statistics()
    assert counted.packets_in + counted.receive_waiting + (counted.kernel_drops or 0) == sent
    assert counted.packets_in == counted.delivered + counted.dropped_no_receiver + counted.denied + counted.limited


# --- who is heard -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({"allow": ("127.0.0.2/31",)}, [0, 1]),
        ({"deny": ("127.0.0.2/31",)}, [2]),
        ({"allow": ("127.0.0.0/8",), "deny": ("127.0.0.3",)}, [0, 2]),
        ({"allow": ("127.0.0.3",), "deny": ("127.0.0.0/8",)}, []),
        ({"allow": ("::/0",)}, []),
        ({"deny": ("::/0",)}, [0, 1, 2]),
    ],
)
async def test_only_who_is_allowed_and_not_denied_is_heard(
    options: dict[str, Any], heard: list[int], probe: Probe
) -> None:
    server, _ = await open_server(probe, **options)
    with peers() as sources:
        for number in range(30):
            sources[number % 3].send(b"%d" % number, server.local_address)
        await all_accounted(server, 30)
        expected = [b"%d" % number for number in range(30) if number % 3 in heard]
        assert await get_payloads(probe, len(expected)) == expected
        assert server.statistics().denied == 30 - len(expected)
        check_account(server, 30)


async def test_a_source_of_ipv6_is_heard_or_not(node: homing.Node) -> None:
    denying = await open_echo(node, host="::1", deny=("::1",))
    allowing = await open_echo(node, host="::1", allow=("::1",))
    with UDPPeer("::1") as peer:
        peer.send(b"one", denying.local_address)
        await all_accounted(denying, 1)
        assert denying.statistics().denied == 1
        assert await peer.ask(b"two", allowing.local_address) == b"two"


async def test_denied_datagrams_take_no_buffers_from_a_pool(probe: Probe) -> None:
    pool = meta.BufferPool(size=2000)
    server, _ = await open_server(probe, deny=("127.0.0.3",), buffer_pool=pool)
    with peers() as sources:
        for number in range(30):
            sources[number % 3].send(b"%d" % number, server.local_address)
        await all_accounted(server, 30)
        messages = [await probe.get() for _ in range(20)]
        assert [bytes(message.data) for message in messages] == [b"%d" % n for n in range(30) if n % 3 != 1]
        assert pool.lent == 20
        check_account(server, 30)
    del messages
    await eventually(lambda: pool.lent == 0)


class Batches(act.Actor):
    async def init(self, got: list[bytes], **options: Any) -> None:
        self.got = got
        self.server = create(**options)
        await self.spawn_meta(self.server)

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        self.got += [message.data for message in batch]

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server


class DenyingBatches(Batches):
    async def init(self, got: list[bytes]) -> None:  # type: ignore[override]
        await super().init(got, deny=("127.0.0.3",), rate_limit=limit(burst=5))


async def test_batches_hold_only_what_is_heard(node: homing.Node) -> None:
    got: list[bytes] = []
    server = await node.call(await node.spawn(DenyingBatches, got), "server")
    with peers() as sources:
        for number in range(30):
            sources[number % 3].send(b"%d" % number, server.local_address)
        await all_accounted(server, 30)
        await eventually(lambda: len(got) == 10)
        assert got == [b"%d" % number for number in range(15) if number % 3 != 1]
        assert (server.statistics().denied, server.statistics().limited) == (10, 10)
        check_account(server, 30)


async def test_what_nobody_has_room_for_is_denied_all_the_same_and_the_account_is_exact(
    node: homing.Node, probe: Probe
) -> None:
    """The mailbox takes two messages: what is heard waits in the kernel or the arena."""
    server, _ = await open_server(probe, process="nobody yet", deny=("127.0.0.3",))
    with peers() as sources:
        for number in range(30):
            sources[number % 3].send(b"%d" % number, server.local_address)
        assert server.statistics().packets_in == 0
        await probe.do(lambda actor: actor.register_name("nobody yet"))
        await all_accounted(server, 30)
        assert len(await get_payloads(probe, 20)) == 20
        check_account(server, 30)


@linux_only
async def test_what_came_with_a_datagram_stays_with_it_when_others_are_refused(probe: Probe) -> None:
    server, _ = await open_server(probe, deny=("127.0.0.3",), receive_ttl=True)
    with peers() as sources:
        for number in range(30):
            sources[number % 3].socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 100 + number)
            sources[number % 3].send(b"%d" % number, server.local_address)
        messages = [await probe.get() for _ in range(20)]
        heard = [number for number in range(30) if number % 3 != 1]
        assert [(int(message.data), message.info.ttl) for message in messages] == [(n, 100 + n) for n in heard]


# --- how much is heard --------------------------------------------------------------------------------------


async def test_each_source_is_heard_up_to_its_limit(probe: Probe) -> None:
    clock = Clock()
    server, _ = await open_server(probe, rate_limit=limit(burst=3, clock=clock))
    with peers() as sources:
        for number in range(30):
            sources[number % 3].send(b"%d" % number, server.local_address)
        await all_accounted(server, 30)
        assert await get_payloads(probe, 9) == [b"%d" % number for number in range(9)]
        clock.now += 1
        for number in range(30, 36):
            sources[number % 3].send(b"%d" % number, server.local_address)
        assert await get_payloads(probe, 3) == [b"30", b"31", b"32"]
        await all_accounted(server, 36)
        assert server.statistics().limited == 24
        check_account(server, 36)


async def test_a_dry_run_counts_and_drops_nothing(probe: Probe) -> None:
    server, _ = await open_server(probe, rate_limit=limit(burst=3, dry_run=True))
    with UDPPeer() as peer:
        for number in range(10):
            peer.send(b"%d" % number, server.local_address)
        assert len(await get_payloads(probe, 10)) == 10
        assert (server.statistics().limited, server.statistics().limited_dry_run) == (0, 7)
        check_account(server, 10)


async def test_who_is_denied_takes_nothing_from_the_limit_of_his_network(probe: Probe) -> None:
    server, _ = await open_server(probe, rate_limit=limit(burst=3, prefix4=8), deny=("127.0.0.3",))
    with peers() as sources:
        for _ in range(10):
            sources[1].send(b"denied", server.local_address)
        for _ in range(10):
            sources[0].send(b"heard", server.local_address)
        await all_accounted(server, 20)
        assert await get_payloads(probe, 3) == [b"heard"] * 3
        assert (server.statistics().denied, server.statistics().limited) == (10, 7)


class Fragile(Echo):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data == b"crash":
            raise RuntimeError("a bug")
        super().handle_message(sender, message)


async def test_an_owner_that_crashes_and_comes_again_gives_nobody_a_new_burst(node: homing.Node) -> None:
    clock = Clock()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    options = {"port": port, "linger": 30.0, "rate_limit": limit(burst=3, clock=clock)}
    first = await node.spawn(Fragile, options)
    server = await node.call(first, "server")
    with UDPPeer() as peer:
        assert [await peer.ask(data, server.local_address) for data in (b"1", b"2")] == [b"1", b"2"]
        peer.send(b"crash", server.local_address)
        await eventually(lambda: server.process.lingering)
        again = await node.call(await node.spawn(Fragile, options), "server")
        peer.send(b"too much", again.local_address)
        await all_accounted(again, 4)
        assert (again.statistics().limited, again.statistics().delivered) == (1, 3)
        clock.now += 1
        assert await peer.ask(b"3", again.local_address) == b"3"


# --- how much is answered -----------------------------------------------------------------------------------


async def test_each_destination_gets_answers_up_to_its_limit(node: homing.Node) -> None:
    clock = Clock()
    server = await open_echo(node, reply_limit=limit(burst=3, clock=clock))
    with peers() as sources:
        for number in range(30):
            sources[number % 3].send(b"%d" % number, server.local_address)
        await eventually(lambda: server.statistics().packets_out + server.statistics().reply_limited == 30)
        assert (server.statistics().packets_out, server.statistics().send_errors) == (9, {})
        for source, peer in enumerate(sources):
            assert [(await peer.receive())[0] for _ in range(3)] == [b"%d" % (source + 3 * n) for n in range(3)]
        clock.now += 1
        assert await sources[0].ask(b"again", server.local_address) == b"again"


async def test_a_caller_is_told_that_its_datagram_is_above_the_limit(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, reply_limit=limit(burst=1))
    message = meta.MessageUDP(None, peer.address, b"x")
    assert await node.call(alias, message) == 1
    error = await error_of(node.call(alias, message))
    assert isinstance(error, gen.ReplyLimited)
    assert error.address == peer.address
    assert (server.statistics().reply_limited, server.statistics().send_errors) == (1, {})


async def test_what_slips_is_shortened(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node, reply_limit=limit(burst=1, slip=2, shorten=lambda data: bytes(data[:2])))
    for number in range(7):
        peer.send(b"%d: a long answer" % number, server.local_address)
    await eventually(lambda: server.statistics().packets_out + server.statistics().reply_limited == 7)
    got = [(await peer.receive())[0] for _ in range(4)]
    assert got == [b"0: a long answer", b"2:", b"4:", b"6:"]
    facts = await node.inspect_meta(server.process.id, "reply_limit_slipped", "reply_limited")
    assert facts == {"reply_limit_slipped": 3, "reply_limited": 3}


async def test_a_function_that_fails_to_shorten_costs_that_datagram_only(node: homing.Node, peer: UDPPeer) -> None:
    def fail(data: bytes) -> bytes:
        raise RuntimeError("a bug")

    server = await open_echo(node, reply_limit=limit(burst=1, slip=1, shorten=fail))
    for number in range(3):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().send_errors == {"RuntimeError": 2})
    assert server.statistics().packets_out == 1


async def test_answers_that_are_not_sent_give_their_pooled_buffers_back(node: homing.Node, peer: UDPPeer) -> None:
    pool = meta.BufferPool(size=2000)
    server = await open_echo(node, reply_limit=limit(burst=2), buffer_pool=pool)
    for number in range(10):
        peer.send(b"%d" % number, server.local_address)
    await eventually(lambda: server.statistics().reply_limited == 8)
    await eventually(lambda: pool.lent == 0)


async def test_a_dry_run_of_answers_sends_them_all(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node, reply_limit=limit(burst=1, slip=1, shorten=lambda data: b"", dry_run=True))
    for number in range(5):
        assert await peer.ask(b"%d" % number, server.local_address) == b"%d" % number
    assert (server.statistics().reply_limited, server.statistics().reply_limited_dry_run) == (0, 4)


async def test_a_bad_destination_is_told_as_ever(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe, reply_limit=limit(burst=1))
    for address in (("localhost", 9), None, (), (5, 9)):
        error = await error_of(node.call(alias, meta.MessageUDP(None, address, b"x")))
        assert isinstance(error, gen.BadAddress)
    assert server.statistics().send_errors == {"BadAddress": 4}


# --- how fast it sends ----------------------------------------------------------------------------------------


async def test_what_is_sent_too_fast_waits_and_goes_out_in_order(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    clock = Clock()
    pacing = meta.Pacing(bytes_per_second=1000, burst=0, clock=clock)
    server, alias = await open_server(probe, send_rate=pacing)

    def send_all(actor: Any) -> None:
        for number in range(10):
            actor.send(alias, meta.MessageUDP(None, peer.address, b"%d" % number))

    await probe.do(send_all)
    await eventually(lambda: server.statistics().send_waiting == 9)
    assert server.statistics().send_delayed == 9
    call = asyncio.create_task(node.call(alias, meta.MessageUDP(None, peer.address, b"last")))
    for number in range(10):
        assert (await peer.receive())[0] == b"%d" % number
        clock.now += 1
    assert await call == 4
    assert (await peer.receive())[0] == b"last"


async def test_a_client_sends_no_faster_than_it_may(probe: Probe, peer: UDPPeer) -> None:
    clock = Clock()
    pacing = meta.Pacing(bytes_per_second=1000, burst=0, clock=clock)
    client = meta.create_udp_client(meta.UDPClientOptions(host=HOST, port=peer.address[1], send_rate=pacing))
    alias = await probe.do(lambda actor: actor.spawn_meta(client))

    def send_all(actor: Any) -> None:
        for number in range(5):
            actor.send(alias, b"%d" % number)

    await probe.do(send_all)
    await eventually(lambda: client.statistics().send_waiting == 4)
    assert client.statistics().send_delayed == 4
    for number in range(5):
        assert (await peer.receive())[0] == b"%d" % number
        clock.now += 1


async def test_a_node_that_stops_sends_what_waits_for_its_turn() -> None:
    node = await homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False))
    probe = await Probe.start(node)
    with UDPPeer() as peer:
        _, alias = await open_server(probe, send_rate=meta.Pacing(bytes_per_second=2900, burst=0))
        for number in range(5):
            node.send(alias, meta.MessageUDP(None, peer.address, b"%d" % number))
        assert await node.stop() is True
        assert [(await peer.receive())[0] for _ in range(5)] == [b"%d" % number for number in range(5)]


async def test_what_finds_the_queue_full_while_it_waits_for_its_turn_is_dropped_and_counted(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    pacing = meta.Pacing(bytes_per_second=1, burst=0)
    server, alias = await open_server(probe, send_rate=pacing, send_queue=3)
    message = meta.MessageUDP(None, peer.address, b"x")
    calls = [asyncio.create_task(error_of(node.call(alias, message, timeout=DEADLINE))) for _ in range(8)]
    await eventually(lambda: sum(call.done() for call in calls) == 5)
    assert isinstance(calls[0].exception(), AssertionError)  # it went out
    refused = [call.result() for call in calls[1:] if call.done()]
    assert [type(error) for error in refused] == [gen.SendQueueFull] * 4
    assert server.statistics().dropped_send_queue == 4
    assert server.statistics().send_waiting == 3
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


# --- what it tells ----------------------------------------------------------------------------------------------


async def test_inspect_tells_what_protects_a_server(node: homing.Node, probe: Probe) -> None:
    _, bare = await open_server(probe)
    _, alias = await open_server(
        probe,
        allow=("127.0.0.0/8",),
        deny=("127.0.0.3", "::1"),
        rate_limit=meta.RateLimit(rate=5),
        send_rate=meta.Pacing(bytes_per_second=1e6),
    )
    names = ("allow", "deny", "rate_limit", "reply_limit", "send_rate", "bpf")
    assert await node.inspect_meta(bare, *names) == {
        "allow": [],
        "deny": [],
        "rate_limit": False,
        "reply_limit": False,
        "send_rate": None,
        "bpf": False,
    }
    assert await node.inspect_meta(alias, *names) == {
        "allow": ["127.0.0.0/8"],
        "deny": ["127.0.0.3", "::1"],
        "rate_limit": True,
        "reply_limit": False,
        "send_rate": 1e6,
        "bpf": False,
    }


@pytest.mark.once
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("allow", "127.0.0.0/8"),
        ("allow", ("127.0.0.1/8",)),
        ("deny", ("nonsense",)),
        ("deny", None),
        ("rate_limit", 5),
        ("rate_limit", meta.RateLimit(rate=5, shorten=bytes)),
        ("reply_limit", "5/s"),
        ("send_rate", 1000),
        ("bpf", "udp port 53"),
    ],
)
def test_protection_that_cannot_work_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPServerOptions(**{option: value})
    assert caught.value.option == option

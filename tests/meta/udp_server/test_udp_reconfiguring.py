"""A server that runs is given other options: all that are asked for, or none; nothing is lost, the counters go on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.datagram.sockets import interfaces as asking
from homing.datagram.sockets import set_options as applying

from ...datagram.sockets.test_bpf import BY_KEY, ONLY_A, PASS
from ...datagram.traffic import linux_only
from ...support import Probe, UDPPeer, eventually
from ..servers import (
    HOST,
    Echo,
    Gate,
    Gated,
    all_accounted,
    bind_again,
    create,
    descriptor_of,
    error_of,
    get_payloads,
    in_network,
    is_bound,
    needs_namespaces,
    open_echo,
    open_server,
)
from .test_udp_inspect import most_buffer

pytestmark = [pytest.mark.backends, pytest.mark.loops]


async def change(probe: Probe, alias: gen.Alias, **changes: Any) -> meta.Reconfigured:
    """What the owner is answered."""
    answer: meta.Reconfigured = await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(**changes)))
    return answer


async def refusal(probe: Probe, alias: gen.Alias, **changes: Any) -> Exception:
    """Why the owner is refused."""
    request = meta.Reconfigure(**changes)
    refused: Exception = await probe.do(lambda actor: error_of(actor.call(alias, request)))
    return refused


def levels() -> list[tuple[int, int]]:
    """All options that a socket of this system might have."""
    return [
        (level, number) for level in (socket.SOL_SOCKET, socket.IPPROTO_IP, socket.SOL_UDP) for number in range(128)
    ]


def all_options(server: meta.UDPServer) -> dict[tuple[int, int], bytes]:
    """All that getsockopt tells of the server's socket, but what changes by itself."""
    changing = {(socket.SOL_SOCKET, number) for number in (55, 56, 57, 74)}  # memory, NAPI id, cookie
    found = {}
    sock = socket.socket(fileno=descriptor_of(server.local_address))
    try:
        for level, number in levels():
            with contextlib.suppress(OSError):
                if (level, number) not in changing:
                    found[level, number] = sock.getsockopt(level, number, 256)
    finally:
        sock.detach()
    return found


def option(server: meta.UDPServer, number: int) -> int:
    """What getsockopt tells of the server's socket."""
    return int(struct.unpack("i", all_options(server)[socket.SOL_SOCKET, number][:4])[0])


# --- which options --------------------------------------------------------------------------------------------


async def test_the_answer_tells_what_is_in_force_now(probe: Probe) -> None:
    server, alias = await open_server(probe, low_water=5)
    before = server.local_address
    answer = await change(probe, alias, high_water=10, deny=("192.0.2.0/24",), send_queue=7)
    assert (answer.options.high_water, answer.options.low_water, answer.options.send_queue) == (10, 5, 7)
    assert answer.options.deny == ("192.0.2.0/24",)
    assert answer.local_address == server.local_address == before
    assert (answer.receive_buffer, answer.clamped) == (server._state.endpoint.kernel.receive_buffer, ())
    assert await change(probe, alias) == answer


async def test_the_mailbox_may_be_filled_less_or_more(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="slow")
    server, alias = await open_server(probe, process="slow", high_water=4, low_water=0)
    with UDPPeer() as peer:
        for number in range(100):
            peer.send(b"%d" % number, server.local_address)
        await eventually(lambda: server.statistics().pauses > 0)
        few = server.statistics().delivered
        assert 4 <= few <= 5  # one may be in hand
        await change(probe, alias, high_water=50)
        await eventually(lambda: server.statistics().delivered == few + 46)
        await change(probe, alias, high_water=2)
        gate.let(100)
        await gate.passed_by(100)
        assert gate.payloads() == [b"%d" % number for number in range(100)]


async def test_datagrams_go_to_another_process_from_then_on(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    other = await Probe.start(node, name="other")
    server, alias = await open_server(probe)
    peer.send(b"first", server.local_address)
    assert (await probe.get()).data == b"first"
    await change(probe, alias, process="other")
    peer.send(b"second", server.local_address)
    assert (await other.get()).data == b"second"
    await change(probe, alias, process=None)
    peer.send(b"third", server.local_address)
    assert (await probe.get()).data == b"third"


async def test_who_waits_for_a_name_that_nobody_has_is_given_a_process(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe, process="nobody")
    peer.send(b"waiting", server.local_address)
    await eventually(lambda: server.statistics().pauses == 1)
    await change(probe, alias, process=probe.pid)
    assert (await probe.get()).data == b"waiting"


async def test_what_overflows_may_be_dropped_from_then_on(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="slow")
    server, alias = await open_server(probe, process="slow", high_water=4, low_water=0)
    with UDPPeer() as peer:
        for number in range(10):
            peer.send(b"%d" % number, server.local_address)
        await eventually(lambda: server.statistics().pauses > 0)
        await change(probe, alias, overflow="drop_newest")
        await all_accounted(server, 10)
        kept = server.statistics().delivered
        assert server.statistics().dropped_newest == 10 - kept
        await change(probe, alias, overflow="drop_oldest")
        for number in range(10, 20):
            peer.send(b"%d" % number, server.local_address)
        await all_accounted(server, 20)
        gate.let(20)
        counted = server.statistics()
        assert counted.delivered + counted.dropped_newest + counted.dropped_oldest == 20
        await gate.passed_by(counted.delivered)


async def test_who_is_heard_and_how_much_may_change(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    peer.send(b"1", server.local_address)
    await probe.get()
    await change(probe, alias, deny=("127.0.0.0/8",))
    peer.send(b"2", server.local_address)
    await eventually(lambda: server.statistics().denied == 1)
    await change(probe, alias, deny=(), rate_limit=meta.RateLimit(rate=0.001, burst=1, exempt=()))
    for number in (3, 4, 5):
        peer.send(b"%d" % number, server.local_address)
    assert (await probe.get()).data == b"3"
    await eventually(lambda: server.statistics().limited == 2)
    await change(probe, alias, rate_limit=None)
    peer.send(b"6", server.local_address)
    assert (await probe.get()).data == b"6"
    counted = server.statistics()
    assert (counted.packets_in, counted.denied, counted.limited, counted.delivered) == (6, 1, 2, 3)


async def test_how_fast_and_how_much_is_sent_may_change(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    pacing = meta.Pacing(bytes_per_second=1, burst=0)
    await change(probe, alias, send_rate=pacing, send_queue=3)
    for number in range(6):
        await probe.do(
            lambda actor, number=number: actor.send(alias, meta.MessageUDP(None, peer.address, b"%d" % number))
        )
    await eventually(lambda: server.statistics().dropped_send_queue == 2)
    await change(probe, alias, send_rate=None, reply_limit=meta.RateLimit(rate=0.001, burst=1, exempt=()))
    assert [(await peer.receive())[0] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    assert await node.call(alias, meta.MessageUDP(None, peer.address, b"6")) == 1
    assert isinstance(await error_of(node.call(alias, meta.MessageUDP(None, peer.address, b"7"))), gen.ReplyLimited)


async def test_who_is_told_of_failures_may_change(node: homing.Node, probe: Probe) -> None:
    first, second = await Probe.start(node), await Probe.start(node)
    server, alias = await open_server(probe, on_error=first.pid)
    bad = meta.MessageUDP(None, (HOST, 0), b"to port 0")
    node.send(alias, bad)
    assert isinstance(await first.get(), meta.MessageUDPError)
    await change(probe, alias, on_error=second.pid)
    node.send(alias, bad)
    assert isinstance(await second.get(), meta.MessageUDPError)
    await change(probe, alias, on_error=None)
    node.send(alias, bad)
    await eventually(lambda: sum(server.statistics().send_errors.values()) == 3)
    assert first.waiting() == second.waiting() == []


async def test_a_server_may_be_let_linger_when_it_runs(node: homing.Node, peer: UDPPeer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    owner = await node.spawn(Echo, {"port": port})
    server = await node.call(owner, "server")
    await node.call(server.process.id, meta.Reconfigure(linger=30.0))
    node.kill(owner)
    await eventually(lambda: server.process.lingering)
    peer.send(b"meanwhile", server.local_address)
    await node.spawn(Echo, {"port": port, "linger": 30.0})
    assert (await peer.receive())[0] == b"meanwhile"


@linux_only
async def test_buffers_are_resized_and_what_the_system_does_not_grant_is_told(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_LINUX", False)  # asks for no more than everybody may have
    server, alias = await open_server(probe)
    default = server._state.endpoint.kernel.receive_buffer
    answer = await change(probe, alias, receive_buffer=50_000, send_buffer=40_000)
    assert (answer.receive_buffer, answer.send_buffer, answer.clamped) == (50_000, 40_000, ())
    assert (option(server, socket.SO_RCVBUF), option(server, socket.SO_SNDBUF)) == (100_000, 80_000)
    most = most_buffer("rmem_max")
    answer = await change(probe, alias, receive_buffer=most + 1000)
    assert (answer.receive_buffer, answer.clamped) == (most, ("receive_buffer",))
    answer = await change(probe, alias, receive_buffer=None)
    assert (answer.receive_buffer, answer.clamped) == (default, ())


@linux_only
async def test_a_program_is_attached_replaced_and_taken_away(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    for program, expected in [(ONLY_A, [b"a"]), ((PASS,), [b"a", b"b"]), (ONLY_A, [b"a"]), (None, [b"a", b"b"])]:
        await change(probe, alias, bpf=program)
        for payload in (b"a", b"b"):
            peer.send(payload, server.local_address)
        assert await get_payloads(probe, len(expected)) == expected
    assert server.statistics().kernel_drops == 2


IP, IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
NUMBERS = [
    ("broadcast", True, socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
    ("ttl", 7, IP, socket.IP_TTL, 7),
    ("tos", 184, IP, socket.IP_TOS, 184),
    ("mtu_discovery", "do", IP, 10, 2),
    ("multicast_ttl", 9, IP, socket.IP_MULTICAST_TTL, 9),
    ("multicast_loop", False, IP, socket.IP_MULTICAST_LOOP, 0),
]


@linux_only
@pytest.mark.parametrize(("name", "value", "level", "number", "told"), NUMBERS)
async def test_an_option_of_the_socket_changes_and_none_is_what_a_new_socket_has(
    name: str, value: Any, level: int, number: int, told: int, probe: Probe
) -> None:
    server, alias = await open_server(probe)
    before = all_options(server)
    await change(probe, alias, **{name: value})
    after = all_options(server)
    assert after.pop((level, number)) != before[level, number]
    assert server._state.endpoint.sock.getsockopt(level, number) == told
    differing = {key for key in after if after[key] != before[key]}
    assert differing <= {(socket.SOL_SOCKET, 12)}  # SO_PRIORITY, which follows IP_TOS
    await change(probe, alias, **{name: False if name == "broadcast" else None})
    assert all_options(server) == before


@linux_only
async def test_a_socket_of_ipv6_has_the_options_of_ipv6(probe: Probe) -> None:
    server, alias = await open_server(probe, host="::1")
    sock = server._state.endpoint.sock
    hops = sock.getsockopt(IPV6, socket.IPV6_UNICAST_HOPS)
    await change(probe, alias, ttl=9, tos=8)
    assert (sock.getsockopt(IPV6, socket.IPV6_UNICAST_HOPS), sock.getsockopt(IPV6, 67)) == (9, 8)
    await change(probe, alias, ttl=None, tos=None)
    assert (sock.getsockopt(IPV6, socket.IPV6_UNICAST_HOPS), sock.getsockopt(IPV6, 67)) == (hops, 0)


GROUPS = [meta.MulticastGroup(f"239.255.77.{number}", "lo") for number in range(3)]


@needs_namespaces
async def test_groups_are_joined_and_left_all_or_none(probe: Probe) -> None:
    server = in_network("ip link set lo up multicast on", lambda: create(groups=(GROUPS[0],)))
    alias = await probe.do(lambda actor: actor.spawn_meta(server))
    interfaces = server._state.endpoint.kernel.interfaces
    await probe.do(lambda actor: actor.call(alias, meta.JoinGroup(GROUPS[1].address, "lo")))
    assert (await change(probe, alias, ttl=5)).options.groups == (GROUPS[0], GROUPS[1])
    await change(probe, alias, groups=(GROUPS[1], GROUPS[2]))
    assert interfaces.groups == (GROUPS[1], GROUPS[2])
    bad = meta.MulticastGroup("239.255.77.9", "no-such-if")
    error = await refusal(probe, alias, groups=(GROUPS[0], bad), ttl=9)
    assert isinstance(error, gen.BadOption)
    assert set(interfaces.groups) == {GROUPS[1], GROUPS[2]}
    assert server._state.endpoint.sock.getsockopt(IP, socket.IP_TTL) == 5


@linux_only
async def test_steering_is_changed_and_taken_away(node: homing.Node, probe: Probe) -> None:
    """One session always meets the same socket of the group."""
    others = [await Probe.start(node) for _ in range(3)]
    first, alias = await open_server(probe, reuse_port=True)
    port = first.local_address[1]
    servers = [first]
    for other in others:
        server, _ = await open_server(other, port=port, reuse_port=True)
        servers.append(server)
    await change(probe, alias, reuse_port_steering=BY_KEY)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(UDPPeer()) for _ in range(8)]
        for key in range(64):
            peers[key % 8].send(bytes([key]), first.local_address)
            peers[(key + 3) % 8].send(bytes([key]), first.local_address)
        for number, owner in enumerate([probe, *others]):
            got = await get_payloads(owner, 32)
            assert got == [bytes([key]) for key in range(64) if key % 4 == number for _ in range(2)]
        await change(probe, alias, reuse_port_steering=None)
        for key in range(64):
            peers[0].send(bytes([key]), first.local_address)
        await eventually(lambda: sum(server.statistics().packets_in for server in servers) == 192)
        assert sorted(server.statistics().packets_in for server in servers) == [32, 32, 32, 96]


# --- all or nothing ---------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"bpf": ((0x15, 5, 5, 0),)}, "bpf"),
        ({"reuse_port_steering": "cpu"}, "reuse_port_steering"),
        ({"groups": (meta.MulticastGroup("239.0.0.1", "no-such-if"),)}, "interface"),
        ({"multicast_interface": "no-such-if"}, "multicast_interface"),
        ({"bind_device": "no-such-if"}, "bind_device"),
        ({"high_water": 0}, "high_water"),
        ({"low_water": 10_000}, "low_water"),
        ({"deny": ("nonsense",)}, "deny"),
        ({"send_overflow": "pause"}, "send_overflow"),
        ({"host": "localhost"}, "host"),
        ({"process": ""}, "process"),
    ],
)
async def test_a_plan_with_one_item_that_cannot_be_changes_nothing(
    changes: dict[str, Any], culprit: str, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, receive_buffer=60_000, bpf=(PASS,), deny=("192.0.2.1",))
    before, options = all_options(server), server._state.options
    good = {
        "receive_buffer": 50_000,
        "send_buffer": 40_000,
        "allow": ("192.0.2.0/24",),
        "rate_limit": meta.RateLimit(rate=1, burst=1),
        "send_rate": meta.Pacing(bytes_per_second=1),
        "high_water": 5,
        "bpf": ONLY_A,
        "linger": 5.0,
        "port": 0,
        "ttl": 9,
        "tos": 8,
        "mtu_discovery": "do",
        "multicast_loop": False,
        "broadcast": True,
        "multicast_interface": "lo",
    }
    error = await refusal(probe, alias, **{**good, **changes})
    assert isinstance(error, gen.BadOption)
    assert error.option == culprit
    assert all_options(server) == before
    assert server._state.options is options
    assert (server._state.endpoint.kernel.receive_buffer, server._state.options.linger) == (60_000, 0.0)
    peer.send(b"b is heard", server.local_address)
    assert (await probe.get()).data == b"b is heard"
    assert await probe.do(lambda actor: actor.call(alias, meta.MessageUDP(None, peer.address, b"x" * 100))) == 100


@linux_only
async def test_an_undo_that_fails_keeps_no_other_from_running_and_is_told_with_the_fault(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, alias = await open_server(probe, receive_buffer=60_000)
    before = all_options(server)

    def only_there(sock: socket.socket, interface: str | int) -> None:
        if not interface:
            raise OSError("no way back")
        applying.set_multicast_interface(sock, interface)

    monkeypatch.setattr(asking, "set_multicast_interface", only_there)
    changes = {"receive_buffer": 50_000, "ttl": 9, "multicast_interface": "lo", "bpf": ((0x15, 5, 5, 0),)}
    error = await refusal(probe, alias, **changes)
    assert isinstance(error, gen.BadOption)
    assert error.option == "bpf"
    assert error.__notes__ == ["not undone: OSError('no way back')"]
    monkeypatch.undo()
    applying.set_multicast_interface(server._state.endpoint.sock, "")
    assert all_options(server) == before
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "no way back" in record.getMessage()
    assert "bpf" in record.getMessage()


@linux_only
@pytest.mark.parametrize("name", ["ttl", "tos"])
async def test_a_half_set_number_is_taken_back_as_far_as_that_goes(
    name: str, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket for IPv4 and IPv6 has the option twice: the second is refused, and the undo of the first as well."""
    server, alias = await open_server(probe, host="::", dual_stack=True)
    before = all_options(server)
    level, number = (socket.IPPROTO_IP, {"ttl": socket.IP_TTL, "tos": socket.IP_TOS}[name])
    real = socket.socket.setsockopt

    def refuse(sock: socket.socket, at: int, option: int, *value: Any) -> None:
        if (at, option) == (level, number):
            raise OSError(1, "refused")
        real(sock, at, option, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    error = await refusal(probe, alias, **{name: 9})
    monkeypatch.undo()
    assert isinstance(error, gen.BadOption)
    assert error.option == name
    assert len(error.__notes__) == 1
    assert all_options(server) == before


@linux_only
async def test_an_address_that_cannot_be_bound_changes_nothing(probe: Probe, peer: UDPPeer) -> None:
    server, alias = await open_server(probe)
    before = all_options(server)
    taken = peer.address[1]
    error = await refusal(probe, alias, port=taken, receive_buffer=50_000, high_water=5)
    assert isinstance(error, gen.BindFailed)
    assert error.port == taken
    assert all_options(server) == before
    assert server._state.options.high_water == 1024
    peer.send(b"as before", server.local_address)
    assert (await probe.get()).data == b"as before"


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("buffer_pool", meta.BufferPool()),
        ("buffer_size", 100),
        ("worker", act.Actor),
        ("workers", 2),
        ("gro", False),
        ("error_queue", True),
        ("receive_ttl", True),
        ("nonsense", 1),
        ("grace", -1),
        ("grace", None),
    ],
)
def test_what_cannot_change_is_refused_by_name_where_it_is_asked_for(name: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.Reconfigure(**{name: value})
    assert caught.value.option == name


async def test_a_process_of_workers_cannot_be_replaced_by_another(node: homing.Node) -> None:
    owner = await node.spawn(Echo, {"worker": act.Actor})
    alias = await node.call(owner, "alias")
    error = await error_of(node.call(alias, meta.Reconfigure(process="other")))
    assert isinstance(error, gen.BadOption)


async def test_only_the_owner_and_the_node_may(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    stranger = await Probe.start(node)
    assert isinstance(await refusal(stranger, alias, high_water=5), gen.NotAllowed)
    assert server._state.options.high_water == 1024
    assert (await node.call(alias, meta.Reconfigure(high_water=5))).options.high_water == 5


async def test_who_does_not_wait_for_the_answer_may_send_it(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    server, alias = await open_server(probe)
    await probe.do(lambda actor: actor.send(alias, meta.Reconfigure(high_water=5)))
    await eventually(lambda: server._state.options.high_water == 5)
    await probe.do(lambda actor: actor.send(alias, meta.Reconfigure(high_water=0)))
    await eventually(lambda: "was not reconfigured" in caplog.text)
    assert "high_water" in caplog.text


# --- another address ----------------------------------------------------------------------------------------------


async def test_a_server_moves_to_another_port_and_the_former_one_is_free_again(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe)
    former = server.local_address
    answer = await change(probe, alias, port=0 if former[1] == 0 else await a_free_port(), grace=0)
    assert answer.local_address == server.local_address != former
    peer.send(b"hello", server.local_address)
    message = await probe.get()
    assert (message.data, message.id) == (b"hello", alias)
    await probe.do(lambda actor: actor.send(message.id, message.reply(b"answer")))
    assert await peer.receive() == (b"answer", server.local_address)
    await eventually(lambda: not is_bound(former))
    assert (await node.inspect_meta(alias, "listener"))["listener"] == f"{HOST}:{server.local_address[1]}"


async def a_free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


async def test_a_server_that_was_given_its_socket_moves_to_a_port_of_the_same_host(probe: Probe, peer: UDPPeer) -> None:
    given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    given.bind((HOST, 0))
    _, alias = await open_server(probe, host="", socket=given)
    port = await a_free_port()
    answer = await change(probe, alias, port=port, grace=0)
    assert answer.local_address == (HOST, port)
    peer.send(b"hello", answer.local_address)
    assert (await probe.get()).data == b"hello"


async def test_a_server_on_a_name_moves_to_a_port_of_its_address(probe: Probe, peer: UDPPeer) -> None:
    _, alias = await open_server(probe, host="localhost")
    port = await a_free_port()
    assert (await change(probe, alias, port=port)).local_address == (HOST, port)


async def test_a_server_stays_where_it_is_if_its_address_is_only_written_in_another_way(probe: Probe) -> None:
    server, alias = await open_server(probe, host="::1")
    before = server.local_address
    answer = await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(host="0:0::1", ttl=7)))
    assert answer.local_address == before == server.local_address
    assert answer.options.ttl == 7


async def test_a_server_moves_to_another_family(probe: Probe) -> None:
    server, alias = await open_server(probe)
    await change(probe, alias, host="::1", grace=0)
    with UDPPeer("::1") as peer:
        peer.send(b"hello", server.local_address)
        message = await probe.get()
        await probe.do(lambda actor: actor.send(message.id, message.reply(b"answer")))
        assert (await peer.receive())[0] == b"answer"


async def test_within_the_grace_both_are_read_and_each_answer_leaves_from_where_it_was_asked(probe: Probe) -> None:
    server, alias = await open_server(probe)
    former = server.local_address
    with UDPPeer() as old, UDPPeer() as new:
        old.send(b"before", former)
        before = await probe.get()
        await change(probe, alias, port=await a_free_port(), grace=30)
        old.send(b"old", former)
        old_message = await probe.get()
        new.send(b"new", server.local_address)
        new_message = await probe.get()
        old.send(b"old to new", server.local_address)
        switched = await probe.get()
        answers = [before.reply(b"1"), old_message.reply(b"2"), new_message.reply(b"3"), switched.reply(b"4")]

        def answer(actor: Any) -> None:
            for message in answers:
                actor.send(alias, message)

        await probe.do(answer)
        received = {await old.receive() for _ in range(3)}
        assert received == {(b"1", former), (b"2", former), (b"4", server.local_address)}
        assert await new.receive() == (b"3", server.local_address)
        assert await probe.do(lambda actor: actor.call(alias, before.reply(b"by call"))) == 7
        assert await old.receive() == (b"by call", former)
        counted = server.statistics()
        assert (counted.packets_in, counted.delivered, counted.packets_out) == (4, 4, 5)


@contextlib.asynccontextmanager
async def stream(address: Any, switch: asyncio.Event, to: list[Any]) -> AsyncIterator[list[int]]:
    """Sends numbered datagrams to `address`, and from `switch` on to `to`, until it ends. Gives how many."""
    count = [0]

    async def send() -> None:
        with UDPPeer() as peer:
            while True:
                for _ in range(10):
                    peer.send(b"%d" % count[0], to[0] if switch.is_set() else address)
                    count[0] += 1
                await asyncio.sleep(0.001)

    task = asyncio.create_task(send())
    try:
        yield count
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Collect(act.Actor):
    def init(self, got: list[int]) -> None:
        self.got = got

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(int(message.data))


@linux_only
@pytest.mark.parametrize("grace", [0, 0.05])
async def test_a_sender_that_switches_when_it_is_told_loses_nothing(
    grace: float, node: homing.Node, probe: Probe
) -> None:
    got: list[int] = []
    await node.spawn(Collect, got, name="collect")
    server, alias = await open_server(probe, process="collect", receive_buffer=500_000)
    switch, to = asyncio.Event(), [None]
    async with stream(server.local_address, switch, to) as sent:
        for moves in range(1, 4):
            await eventually(lambda: len(got) > sent[0] // 2 and sent[0] > 200 * moves)  # noqa: B023
            answer = await change(probe, alias, port=await a_free_port(), grace=grace)
            to[0] = answer.local_address  # type: ignore[call-overload]
            switch.set()
    await eventually(lambda: len(got) == sent[0], "the arrival of all")
    assert sorted(got) == list(range(sent[0]))
    counted = server.statistics()
    assert (counted.packets_in, counted.delivered, counted.kernel_drops) == (sent[0], sent[0], 0)


@linux_only
async def test_what_waits_at_the_former_socket_for_a_slow_receiver_is_delivered_before_that_is_closed(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    await node.spawn(Gated, gate, name="slow")
    server, alias = await open_server(probe, process="slow", high_water=4, low_water=0, receive_buffer=200_000)
    former = server.local_address
    with UDPPeer() as peer:
        for number in range(50):
            peer.send(b"%d" % number, former)
        await eventually(lambda: server.statistics().pauses > 0)
        await change(probe, alias, port=await a_free_port(), grace=0)
        await eventually(lambda: refuses(peer, former, server), "the former socket's taking nothing more in")
        assert is_bound(former)
        gate.let(1000)
        await gate.passed_by(50)
        assert gate.payloads()[:50] == [b"%d" % number for number in range(50)]
        await eventually(lambda: not is_bound(former))


def refuses(peer: UDPPeer, address: Any, server: meta.UDPServer) -> bool:
    """Whether the kernel drops what is sent there. The receiver's mailbox is full: nothing is read."""
    before = server.statistics().kernel_drops or 0
    peer.send(b"-1", address)
    return (server.statistics().kernel_drops or 0) > before


async def test_a_server_that_ends_while_it_moves_closes_both_sockets(probe: Probe) -> None:
    server, alias = await open_server(probe)
    former = server.local_address
    await change(probe, alias, port=await a_free_port(), grace=30)
    current = server.local_address
    assert is_bound(former)
    await probe.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown))
    await eventually(lambda: server._state.endpoint.closed)
    bind_again(former)
    bind_again(current)


async def test_an_owner_that_crashes_while_its_server_moves_leaves_both_sockets_to_the_next(
    node: homing.Node, peer: UDPPeer
) -> None:
    port = await a_free_port()
    owner = await node.spawn(Echo, {"linger": 30.0})
    server = await node.call(owner, "server")
    former = server.local_address
    await node.call(server.process.id, meta.Reconfigure(port=port, grace=30))
    assert await peer.ask(b"1", former) == b"1"
    node.kill(owner)
    await eventually(lambda: server.process.lingering)
    peer.send(b"2", former)
    again = await node.call(await node.spawn(Echo, {"port": port, "linger": 30.0}), "server")
    assert await peer.receive() == (b"2", former)
    peer.send(b"3", again.local_address)
    assert await peer.receive() == (b"3", again.local_address)
    assert again.statistics().packets_in == 3


async def test_a_node_that_stops_sends_from_both_sockets_what_waits() -> None:
    node = await homing.start_node("stopping@localhost", gen.NodeOptions(handle_signals=False))
    with UDPPeer() as peer:
        server = await open_echo(node, send_rate=meta.Pacing(bytes_per_second=290, burst=0))
        former = server.local_address
        for number in range(3):
            peer.send(b"%d" % number, former)
        await eventually(lambda: server.statistics().send_waiting == 2)
        await node.call(server.process.id, meta.Reconfigure(port=await a_free_port(), grace=30))
        assert await node.stop() is True
        assert [await peer.receive() for _ in range(3)] == [(b"%d" % number, former) for number in range(3)]
        assert server.statistics().packets_out == 3


async def test_batches_come_from_both_sockets(node: homing.Node, peer: UDPPeer) -> None:
    got: list[bytes] = []

    class Batches(Echo):
        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            for message in batch:
                got.append(message.data)
                self.send(message.id, message.reply(message.data))

    server = await node.call(await node.spawn(Batches, {}), "server")
    former = server.local_address
    await node.call(server.process.id, meta.Reconfigure(port=await a_free_port(), grace=30))
    peer.send(b"old", former)
    assert await peer.receive() == (b"old", former)
    peer.send(b"new", server.local_address)
    assert await peer.receive() == (b"new", server.local_address)
    assert got == [b"old", b"new"]


async def test_pooled_buffers_come_back_from_both_sockets(node: homing.Node, peer: UDPPeer) -> None:
    pool = meta.BufferPool(size=2000)
    server = await open_echo(node, buffer_pool=pool)
    former = server.local_address
    await node.call(server.process.id, meta.Reconfigure(port=await a_free_port(), grace=30))
    for address in (former, server.local_address):
        assert await peer.ask(b"hello", address) == b"hello"
    await eventually(lambda: pool.lent == 0)


async def test_the_counters_go_on_when_the_former_socket_is_closed(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node)
    former = server.local_address
    for _ in range(5):
        await peer.ask(b"x", former)
    await node.call(server.process.id, meta.Reconfigure(port=await a_free_port(), grace=0))
    before = server.statistics()
    assert (before.packets_in, before.packets_out, before.bytes_in) == (5, 5, 5)
    await eventually(lambda: not is_bound(former))
    assert dataclasses.replace(server.statistics(), pauses=0) == dataclasses.replace(before, pauses=0)
    await peer.ask(b"x", server.local_address)
    assert server.statistics().packets_in == 6

"""What a server tells of itself."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer, eventually, gives_up_privileges, without_privileges
from ..servers import SMALL, create, descriptor_of, open_echo, open_server

pytestmark = pytest.mark.backends

COUNTERS = {
    "packets_in",
    "bytes_in",
    "receive_waiting",
    "packets_out",
    "bytes_out",
    "delivered",
    "dropped_no_receiver",
    "dropped_newest",
    "dropped_oldest",
    "expired",
    "dropped_codel",
    "dropped_unfair",
    "fair_errors",
    "conflated",
    "conflate_errors",
    "dropped_misrouted",
    "dropped_at_end",
    "truncated",
    "cut_trains",
    "kernel_drops",
    "receive_errors",
    "send_errors",
    "send_waiting",
    "dropped_send_queue",
    "dropped_send_oldest",
    "send_pauses",
    "icmp_errors",
    "dropped_errors",
    "pool_errors",
    "pauses",
    "filtered",
    "denied",
    "limited",
    "limited_dry_run",
    "reply_limited",
    "reply_limited_dry_run",
    "amplification_limited",
    "amplification_limited_bytes",
    "amplification_limited_dry_run",
    "send_delayed",
    "tapped",
    "tap_missed",
}
FACTS = {"listener", "process", "backend", "gro", "gso", "reading", "waiting_for", "receive_buffer", "send_buffer"}
FACTS |= {"spin_seconds", "ledger"}


def may_exceed_limits() -> bool:
    if sys.platform != "linux":
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, 33, 4096)  # SO_RCVBUFFORCE
        except PermissionError:
            return False
    return True


def most_buffer(limit: str) -> int:
    """The largest buffer that the system grants, as it is asked for."""
    return int(Path(f"/proc/sys/net/core/{limit}").read_text())


async def test_inspect_tells_every_counter_and_every_fact(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    facts = await node.inspect_meta(alias)
    assert set(facts) >= COUNTERS | FACTS
    assert {field.name for field in dataclasses.fields(server.statistics())} == COUNTERS
    host, port = server.local_address
    assert facts["listener"] == f"{host}:{port}"
    assert facts["process"] == str(probe.pid)
    assert (facts["reading"], facts["waiting_for"]) == (True, "")


async def test_inspect_tells_the_packets_and_bytes_of_both_directions(node: homing.Node, peer: UDPPeer) -> None:
    server = await open_echo(node)
    for size in (0, 1, 10, 100):
        await peer.ask(b"x" * size, server.local_address)
    facts = await node.inspect_meta(server.process.id)
    assert (facts["packets_in"], facts["bytes_in"], facts["delivered"]) == (4, 111, 4)
    assert (facts["packets_out"], facts["bytes_out"]) == (4, 111)


async def test_inspect_tells_only_the_items_that_were_asked_for(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe)
    assert await node.inspect_meta(alias, "packets_in", "truncated", "nonsense") == {"packets_in": 0, "truncated": 0}


async def test_a_process_may_inspect_its_server(probe: Probe) -> None:
    _, alias = await open_server(probe)
    assert await probe.do(lambda actor: actor.inspect_meta(alias, "packets_in")) == {"packets_in": 0}


async def test_inspect_names_the_receiver_as_it_was_given(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe, process="by name")
    assert (await node.inspect_meta(alias, "process"))["process"] == "by name"


async def test_the_listener_of_an_ipv6_server_is_written_in_brackets(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe, host="::1")
    assert (await node.inspect_meta(alias))["listener"] == f"[::1]:{server.local_address[1]}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of dropped datagrams")
async def test_kernel_drops_are_told_at_once_without_another_datagram(probe: Probe, peer: UDPPeer) -> None:
    server = create(receive_buffer=SMALL)
    for _ in range(2000):
        peer.send(b"x", server.local_address)
    dropped = server.statistics().kernel_drops
    assert dropped is not None
    assert 0 < dropped < 2000
    await probe.do(lambda actor: actor.spawn_meta(server))
    await eventually(lambda: server.statistics().packets_in == 2000 - dropped)
    server.terminate(gen.TerminateNormal())
    assert server.statistics().kernel_drops == dropped


async def test_a_receive_buffer_that_the_system_grants_is_told_and_nothing_is_warned_of(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    _, alias = await open_server(probe, receive_buffer=100_000, send_buffer=50_000)
    facts = await node.inspect_meta(alias)
    assert facts["receive_buffer"] == facts["receive_buffer_asked"] == 100_000
    assert facts["send_buffer"] == facts["send_buffer_asked"] == 50_000
    assert caplog.records == []


@gives_up_privileges
@pytest.mark.parametrize(("kind", "limit"), [("receive", "rmem_max"), ("send", "wmem_max")])
async def test_a_buffer_that_the_system_clamps_is_told_and_warned_of_once(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, kind: str, limit: str
) -> None:
    most = most_buffer(limit)
    if most >= 2**30:
        pytest.skip("this system grants whatever can be asked for")
    asked = most * 2 - 1
    with caplog.at_level(logging.WARNING, "homing"):
        server = without_privileges(lambda: create(**{f"{kind}_buffer": asked}))
        alias = await probe.do(lambda actor: actor.spawn_meta(server))
    assert (await node.inspect_meta(alias))[f"{kind}_buffer"] == most
    (record,) = caplog.records
    assert f"sysctl -w net.core.{limit}={asked}" in record.getMessage()
    assert str(most) in record.getMessage()


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="asks for more than the system's limit, as root"
)
@pytest.mark.parametrize(("kind", "limit"), [("receive", "rmem_max"), ("send", "wmem_max")])
async def test_who_may_gets_a_buffer_beyond_the_limit_of_the_system(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture, kind: str, limit: str
) -> None:
    asked = most_buffer(limit) + 4096
    if asked >= 2**29:
        pytest.skip("this system's limit is far too high to ask for more")
    with caplog.at_level(logging.WARNING, "homing"):
        _, alias = await open_server(probe, **{f"{kind}_buffer": asked})
    assert (await node.inspect_meta(alias))[f"{kind}_buffer"] == asked
    assert caplog.records == []


async def test_a_bigger_receive_buffer_holds_more_datagrams(peer: UDPPeer) -> None:
    def drops(**options: Any) -> int:
        with create(**options) as server:
            for _ in range(1000):
                peer.send(b"x", server.local_address)
            return server.statistics().kernel_drops or 0

    assert drops(receive_buffer=2_000) > drops(receive_buffer=20_000) > drops(receive_buffer=200_000)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the descriptor in /proc")
async def test_a_server_whose_socket_is_truly_gone_ends_with_the_error(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, process="late")
    await probe.do(lambda actor: actor.monitor(alias))
    peer.send(b"x", server.local_address)
    await eventually(lambda: server.statistics().pauses == 1)
    readable, writable = os.pipe()
    try:
        os.write(writable, b"something to read")
        os.dup2(readable, descriptor_of(server.local_address))  # what was the socket is a pipe now
        await Probe.start(node, name="late")
        down = await probe.get()
    finally:
        os.close(readable)
        os.close(writable)
    assert isinstance(down, gen.MessageDownAlias)
    assert isinstance(down.reason, OSError)
    assert server.statistics().receive_errors == {"ENOTSOCK": 1}


def test_a_snapshot_of_the_counters_does_not_change() -> None:
    with create() as server:
        before = server.statistics()
        assert dataclasses.is_dataclass(before)
        with pytest.raises(dataclasses.FrozenInstanceError):
            before.packets_in = 5  # type: ignore[misc]


async def test_a_snapshot_keeps_its_counts_of_errors(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    before = server.statistics()
    with pytest.raises(gen.BadAddress):
        await node.call(alias, meta.MessageUDP(None, None, b""))  # type: ignore[arg-type]
    assert before.send_errors == {}
    assert server.statistics().send_errors == {"BadAddress": 1}

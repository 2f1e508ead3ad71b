"""Amplification budgets in a takeover: nobody has to prove an address twice, and nobody gets twice as much."""

from __future__ import annotations

import os
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen, meta
from homing.datagram.policy.budget import Budget
from homing.meta.upgrade import budgets
from homing.meta.upgrade.budgets import BadBudgets, Moved, read_untrusted, rows_of, write

from ...support import UDPPeer, eventually, free_port
from .generations import connected, offered, running, stopped

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]

LONG = bytes(500)


class Oracle(act.Actor):
    """Answers at length. A question "prove" is a proof."""

    async def init(self, port: int, **options: Any) -> None:
        given: dict[str, Any] = {"amplification": meta.Amplification(exempt=()), **options}
        self.server = await meta.listen_udp(self, host="127.0.0.1", port=port, **given)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"prove":
            message.validated()
        self.reply(message, message.data if message.data.startswith(b"short") else LONG)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> meta.UDPServer:
        return self.server


async def server_of(node: homing.Node, port: int, **options: Any) -> meta.UDPServer:
    class Given(Oracle):
        async def init(self, port: int) -> None:  # type: ignore[override]
            await super().init(port, **options)

    server: meta.UDPServer = await node.call(await node.spawn(Given, port), "server")
    return server


async def limited(server: meta.UDPServer, count: int) -> None:
    await eventually(lambda: server.statistics().amplification_limited == count)


async def test_a_proven_address_stays_proven_and_a_budget_that_is_used_up_stays_used_up(
    node: homing.Node, path: str
) -> None:
    port = free_port()
    address = ("127.0.0.1", port)
    former = await server_of(node, port)
    with UDPPeer() as proven, UDPPeer() as spent, UDPPeer() as stranger:
        assert await proven.ask(b"prove", address) == LONG
        assert await spent.ask(bytes(170), address) == LONG  # 500 bytes of 510
        await offered(node, path)
        async with running(node) as new:
            async with meta.TakeOver(new, path):
                server = await server_of(new, port)
            assert await proven.ask(b"again", address) == LONG
            spent.send(bytes(100), address)  # 310 bytes are left
            await limited(server, 1)
            assert await spent.ask(bytes(70), address) == LONG  # 520
            stranger.send(bytes(166), address)
            await limited(server, 2)
            assert await stranger.ask(bytes(1), address) == LONG
            await stopped(node)
    assert former.statistics().amplification_limited == 0


async def test_a_validity_is_not_longer_than_the_successors(node: homing.Node, path: str) -> None:
    port = free_port()
    await server_of(node, port)
    with UDPPeer() as peer:
        assert await peer.ask(b"prove", ("127.0.0.1", port)) == LONG
        await offered(node, path)
        async with running(node) as new:
            now = [0.0]
            options = meta.Amplification(exempt=(), validity=10, clock=lambda: now[0])
            async with meta.TakeOver(new, path):
                server = await server_of(new, port, amplification=options)
            assert await peer.ask(b"again", ("127.0.0.1", port)) == LONG
            now[0] = 11.0
            peer.send(b"again", ("127.0.0.1", port))
            await limited(server, 1)


@pytest.mark.parametrize("amplification", [None, meta.Amplification(exempt=(), capacity=8)])
async def test_a_successor_may_have_no_budget_or_a_smaller_one(
    amplification: meta.Amplification | None, node: homing.Node, path: str
) -> None:
    port = free_port()
    await server_of(node, port)
    with UDPPeer() as peer:
        assert await peer.ask(b"prove", ("127.0.0.1", port)) == LONG
        await offered(node, path)
        async with running(node) as new:
            async with meta.TakeOver(new, path):
                await server_of(new, port, amplification=amplification)
            assert await peer.ask(b"again", ("127.0.0.1", port)) == LONG


async def test_a_successor_that_does_not_ask_for_budgets_gets_none(node: homing.Node, path: str) -> None:
    port = free_port()
    await server_of(node, port)
    with UDPPeer() as peer:
        assert await peer.ask(b"prove", ("127.0.0.1", port)) == LONG
        await offered(node, path)
        channel = await connected(path)
        await channel.send("hello", protocol=2, node=node.name)
        for descriptor in (await channel.receive_descriptors("sockets"))[1]:
            os.close(descriptor)
        await channel.send("ready")
        assert (await channel.receive("stopped"))["say"] == "stopped"
        channel.close()
        await eventually(lambda: node.info().state == "running")
        assert await peer.ask(b"again", ("127.0.0.1", port)) == LONG


# --- the file -------------------------------------------------------------------------------------------------


def full(count: int, capacity: int = 1 << 18) -> Budget:
    """A budget that knows `count` addresses, every other of which is validated."""
    budget = Budget()
    budget.apply(meta.Amplification(exempt=(), capacity=capacity, clock=lambda: 100.0))
    for number in range(count):
        address = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1 + number % 65535)
        budget.heard_from(address, 100)
        if number % 2:
            budget.validate(address)
    return budget


def moved(budget: Budget) -> Budget:
    descriptor = write(rows_of({3: budget}))
    try:
        (found,) = read_untrusted(descriptor)
    finally:
        os.close(descriptor)
    assert found.number == 3
    other = full(0)
    other.add_rows(found.heard, found.proven)
    return other


def sends(budget: Budget, host: str, port: int, size: int) -> bool:
    return budget.takes(meta.MessageUDP(addr=(host, port), data=bytes(size)))


def test_each_address_keeps_its_budget_and_its_proof() -> None:
    other = moved(full(300))
    for number in range(300):
        host, port = f"10.0.{number >> 8}.{number & 255}", 1 + number
        assert sends(other, host, port, 300)
        assert sends(other, host, port, 1) == bool(number % 2)
        assert not sends(other, host, port + 1, 1) or number % 2


def test_of_too_many_addresses_those_known_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "MOST_ROWS", 10)
    other = moved(full(100))
    known = [number for number in range(100) if sends(other, f"10.0.0.{number}", 1 + number, 300)]
    assert set(range(90, 100)) <= set(known)
    assert len(known) <= 20


def test_addresses_of_both_families_are_told_apart() -> None:
    budget = full(0)
    for address in (("10.0.0.1", 5), ("2001:db8::1", 5, 0, 0), ("fe80::1", 5, 0, 2)):
        budget.heard_from(address, 100)
    other = moved(budget)
    assert sends(other, "10.0.0.1", 5, 300)
    assert other.takes(meta.MessageUDP(addr=("2001:db8::1", 5, 0, 0), data=bytes(300)))
    assert other.takes(meta.MessageUDP(addr=("fe80::1", 5, 0, 2), data=bytes(300)))
    assert not other.takes(meta.MessageUDP(addr=("fe80::1", 5, 0, 3), data=b"x"))


def file_with(data: bytes) -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    return descriptor


HEAD = struct.Struct(">III")
HOSTILE = [
    b"x",
    HEAD.pack(0, 1, 0),
    HEAD.pack(0, 0xFFFFFFFF, 0xFFFFFFFF),
    HEAD.pack(0, 1, 0) + struct.pack(">QQQQQ", 1, 1, 0, 1, 1),  # no port
    HEAD.pack(0, 1, 0) + struct.pack(">QQQQQ", 1, 1, 1, 1 << 63, 1),
    HEAD.pack(0, 0, 1) + struct.pack(">QQQd", 1, 1, 1, float("nan")),
    HEAD.pack(0, 0, 1) + struct.pack(">QQQd", 1, 1, 1, float("inf")),
    HEAD.pack(0, 0, 1) + struct.pack(">QQQd", 1, 1, 1, -1.0),
]


@pytest.mark.parametrize("data", HOSTILE)
def test_a_file_that_is_none_is_refused(data: bytes) -> None:
    descriptor = file_with(data)
    with pytest.raises(BadBudgets):
        read_untrusted(descriptor)
    os.close(descriptor)


@given(st.binary(max_size=300))
def test_whatever_a_file_holds_it_is_read_or_refused(data: bytes) -> None:
    descriptor = file_with(data)
    try:
        for one in read_untrusted(descriptor):
            assert type(one) is Moved
            full(0).add_rows(one.heard, one.proven)
    except BadBudgets:
        pass
    finally:
        os.close(descriptor)

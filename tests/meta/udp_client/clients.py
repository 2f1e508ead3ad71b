"""What the tests of the UDP client share: clients opened by a probe, and questions put to them."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually

PATIENT = 60.0
"""Seconds that no test waits for: what comes before, has not come by a timeout."""


def by_id(data: bytes) -> bytes:
    """A key: the first two octets, as of DNS."""
    if len(data) < 2:
        raise ValueError("too short")
    return bytes(data[:2])


def create_client(address: tuple[Any, ...], **options: Any) -> meta.UDPClient:
    """A client for the peer at `address`, which has all the time that a test can take."""
    given = {"host": address[0], "port": address[1], "timeout": PATIENT, **options}
    return meta.create_udp_client(meta.UDPClientOptions(**given))


async def open_client(probe: Probe, peer: UDPPeer, **options: Any) -> tuple[meta.UDPClient, gen.Alias]:
    """A client started by the process of `probe`, and its alias."""
    client = create_client(peer.address, **options)
    return client, await probe.do(lambda actor: actor.spawn_meta(client))


def ask(node: homing.Node, alias: gen.Alias, data: Any, timeout: float = PATIENT) -> asyncio.Task[Any]:
    """A call from outside, under way."""
    return asyncio.get_running_loop().create_task(node.call(alias, data, timeout=timeout))


async def asked(node: homing.Node, alias: gen.Alias, peer: UDPPeer, data: Any) -> tuple[asyncio.Task[Any], Any]:
    """As `ask`, when `peer` has it; and where it came from."""
    task = ask(node, alias, data)
    _, source = await peer.receive()
    return task, source


async def counted(client: meta.UDPClient, **wanted: int) -> None:
    """Waits until the counters have these values."""

    def now() -> dict[str, int]:
        statistics = client.statistics()
        return {name: getattr(statistics, name) for name in wanted}

    try:
        await eventually(lambda: now() == wanted)
    except AssertionError:
        raise AssertionError(f"{now()} instead of {wanted}") from None


def check_account(client: meta.UDPClient) -> None:
    """Every request, and every datagram, has come to one end."""
    s = client.statistics()
    assert s.requests == s.answered + s.timeouts + s.refused + s.failed + s.cancelled + s.open
    assert s.packets_in == s.replies + s.late + s.duplicate + s.stray
    assert s.stray == s.delivered + s.dropped_newest + s.dropped_no_receiver + s.dropped_stray


class Asker(act.Actor):
    """A process that asks what it is sent, and keeps what comes of it."""

    def init(self, client: gen.Alias, outcomes: list[Any], timeout: float = PATIENT) -> None:
        self.client = client
        self.outcomes = outcomes
        self.timeout = timeout

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        try:
            self.outcomes.append(await self.call(self.client, message, timeout=self.timeout))
        except gen.HomingError as error:
            self.outcomes.append(error)

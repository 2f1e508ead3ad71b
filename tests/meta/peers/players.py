"""What the tests of peers share: a process for each peer that does what its datagrams say, and servers with such."""

from __future__ import annotations

import asyncio
from typing import Any

from homing import gen, meta

from ...support import DEADLINE, Probe
from ..servers import open_server


class Player(meta.PeerActor):
    """Does what its datagrams say, and notes all of them in `told`, by peer."""

    def init(self, told: list[tuple[Any, bytes]] | None = None) -> None:
        self.told = [] if told is None else told

    def handle_message(self, sender: Any, message: Any) -> None:
        if not isinstance(message, meta.MessageUDP):
            return
        data = bytes(message.data)
        self.told.append((message.addr, data))
        match data.partition(b" ")[0]:
            case b"crash":
                raise RuntimeError("as asked")
            case b"bye":
                raise gen.TerminateNormal
            case b"prove":
                self.peer.proven()
            case b"move":
                self.peer.move(message.addr)
            case b"close":
                self.peer.close()
            case b"quiet":
                return
        self.peer.send(b"%d %b" % (self.pid.id, data))


async def open_peers(
    probe: Probe, worker: type[meta.PeerActor] = Player, server: dict[str, Any] | None = None, **options: Any
) -> tuple[meta.UDPServer, gen.Alias]:
    """A server with peers that was started by the process of `probe`, and its alias."""
    return await open_server(probe, peers=meta.PeerOptions(worker=worker, **options), **(server or {}))


async def facts_of(probe: Probe, alias: gen.Alias) -> dict[str, Any]:
    """The facts of the table."""
    facts = await probe.do(lambda actor: actor.inspect_meta(alias, "peers"))
    found: dict[str, Any] = facts["peers"]
    return found


async def facts_become(probe: Probe, alias: gen.Alias, **expected: Any) -> dict[str, Any]:
    """Waits until the facts of the table are as expected."""
    facts: dict[str, Any] = {}
    async with asyncio.timeout(DEADLINE):
        while True:
            facts = await facts_of(probe, alias)
            if all(facts[name] == value for name, value in expected.items()):
                return facts
            await asyncio.sleep(0.001)


def ups_and_downs(probe: Probe) -> list[Any]:
    """The messages of peers that have come so far: ("up", address) or (class of the reason, address)."""
    found = []
    for message in probe.waiting():
        if isinstance(message, meta.MessagePeerUp):
            found.append(("up", message.peer.address))
        elif isinstance(message, meta.MessagePeerDown):
            found.append((type(message.reason).__name__, message.peer.address))
    return found

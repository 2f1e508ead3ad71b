"""What the tests of the fake network share."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from homing import act, gen, meta
from homing.testing import Event, FakeNetwork, Peer

SERVER = ("10.0.0.1", 53)
CLIENT = ("10.0.0.2", 4000)


def conserved(network: FakeNetwork) -> bool:
    """True if each datagram and each copy has had exactly one end, or is on its way."""
    counts = asdict(network.statistics)
    begun = counts.pop("sent") + counts.pop("duplicated")
    counts.pop("reordered")
    return begun == sum(counts.values())


def delivered(events: list[Event], destination: tuple[Any, ...]) -> list[tuple[bytes, tuple[Any, ...]]]:
    """What `destination` was given, by the network's own account: payload and source of each."""
    return [
        (event.data, event.source) for event in events if event.kind == "delivered" and event.destination == destination
    ]


def send_numbers(peer: Peer, count: int, to: tuple[Any, ...] = SERVER) -> None:
    """Sends the numbers below `count`, a datagram each."""
    for number in range(count):
        peer.send(b"%d" % number, to)


class Keeper(act.Actor):
    """Opens a server and keeps what comes to it."""

    async def init(self, kept: list[meta.MessageUDP], **options: Any) -> None:
        self.kept = kept
        self.server = meta.create_udp_server(meta.UDPServerOptions(**{"host": SERVER[0], "port": SERVER[1], **options}))
        await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.kept.append(message)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> meta.UDPServer:
        return self.server


class Echo(act.Actor):
    """Opens a server and answers each datagram with itself."""

    async def init(self, options: dict[str, Any] | None = None) -> None:
        given = {"host": SERVER[0], "port": SERVER[1], **(options or {})}
        self.udp = await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(**given)))

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if message.data == b"crash":
            raise RuntimeError("asked to")
        self.send(message.id, message.reply(message.data))

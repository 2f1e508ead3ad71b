"""Datagrams that come alone, and in bursts: what tests of the two ways share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import homing
from homing import act, gen, meta
from homing.datagram.backend.contract import open_backend

from ...support import UDPPeer, eventually
from ..servers import create

ALONE = 12
"""Datagrams one at a time, after which the next ones are taken by the way of lone ones."""


class Reads:
    """What the backends were asked for: `lone`, how many datagrams each read for a lone one has brought, `many`, how
    many each other read."""

    def __init__(self) -> None:
        self.lone: list[int] = []
        self.many: list[int] = []
        self._inner = False

    def taken_alone(self) -> int:
        """Datagrams that came by the way of lone ones."""
        return sum(self.lone)

    def open(self, sock: Any, buffer_size: int, **options: Any) -> Any:
        """Opens a backend that notes what it is asked for."""
        reads, plain = self, open_backend(sock, buffer_size, **options)
        kind: Any = type(plain)
        plain.close()

        class Noted(kind):  # type: ignore[misc]
            def receive_lone(self, id: Any, most: int) -> Any:
                reads._inner = True
                try:
                    message = super().receive_lone(id, most)
                finally:
                    reads._inner = False
                reads.lone.append(message is not None)
                return message

            def receive(self, *arguments: Any) -> Any:
                messages = super().receive(*arguments)
                if not reads._inner:
                    reads.many.append(len(messages))
                return messages

        if plain.name == "native":
            return Noted(sock, buffer_size, options["gro"], options["gso"], options["info"])
        return Noted(sock, buffer_size, options["info"])


class Way:
    """How datagrams are sent to a server: one at a time, each after the one before was taken, or all at once."""

    def __init__(self, name: str, reads: Reads) -> None:
        self.name = name
        self.reads = reads

    async def begin(
        self, peer: UDPPeer, server: meta.UDPServer, data: bytes = b"first", handled: Callable[[], bool] | None = None
    ) -> None:
        """Sends `ALONE` datagrams one at a time; waits after each until it is `handled`, if that is given."""
        for _ in range(ALONE):
            await one(peer, server, data)
            if handled is not None:
                await eventually(handled)

    async def send(self, peer: UDPPeer, server: meta.UDPServer, payloads: Iterable[bytes]) -> None:
        """Sends datagrams in this way, and waits until all have been read."""
        if self.name == "alone":
            for data in payloads:
                await one(peer, server, data)
            return
        before, count = server.statistics().packets_in, 0
        for data in payloads:
            peer.send(data, server.local_address)
            count += 1
        await read(server, before + count)


async def read(server: meta.UDPServer, count: int) -> None:
    """Waits until `count` datagrams in all were read."""
    await eventually(lambda: server.statistics().packets_in >= count, f"the reading of {count} datagrams")


async def one(peer: UDPPeer, server: meta.UDPServer, data: bytes) -> None:
    """Sends a datagram, and waits until it was read."""
    before = server.statistics().packets_in
    peer.send(data, server.local_address)
    await read(server, before + 1)


def adds_up(server: meta.UDPServer) -> bool:
    """True if every datagram that was read is in one counter."""
    ledger = server.statistics().ledger
    return ledger.received == ledger.delivered + ledger.waiting + sum(ledger.dropped.values())


class Serving(act.Actor):
    """Opens a server, and keeps the payloads that come in `got`; `ask` gives the process itself."""

    options: ClassVar[dict[str, Any]] = {}

    async def init(self, got: list[bytes], options: dict[str, Any] | None = None) -> None:
        self.got = got
        self.server = create(**{**self.options, **(options or {})})
        self.udp = await self.spawn_meta(self.server)

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        self.got.append(bytes(message.data))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server


async def serve(
    node: homing.Node,
    behavior: type[Serving],
    *,
    options: dict[str, Any] | None = None,
    process: gen.ProcessOptions | None = None,
) -> tuple[gen.PID, meta.UDPServer, list[bytes]]:
    """A process with a server: its PID, the server, and the payloads that come."""
    got: list[bytes] = []
    pid = await node.spawn(behavior, got, options, options=process or gen.ProcessOptions())
    return pid, await node.call(pid, "server"), got


def numbers(count: int) -> list[bytes]:
    """So many payloads that differ."""
    return [b"%d" % number for number in range(count)]

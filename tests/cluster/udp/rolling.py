"""A node of a UDP service with sessions, a program: `python -m tests.cluster.udp.rolling NAME FD LISTEN JOIN SECRET`.

FD is the number of a bound socket that it inherits. SIGTERM stops the node, which moves its sessions to the others. It
says "ready" once it knows all three nodes, and "ended" with the counters at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import homing
from homing import act, gen, meta


class Counter(meta.PeerActor):
    """Counts the datagrams of its session: an answer is the datagram and the count."""

    def init(self) -> None:
        self.count = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        self.count += 1
        self.reply(message, bytes(message.data) + b" %d" % self.count)

    def handle_release(self, key: Any) -> Any:
        return self.count

    def handle_adopt(self, key: Any, state: Any) -> None:
        self.count = state or 0


class Service(act.Actor):
    """Opens the server on the socket that was inherited."""

    async def init(self, descriptor: int) -> None:
        sessions = meta.Sessions(key=slice(0, 4), name="game")
        peers = meta.PeerOptions(worker=Counter, unproven_share=1)
        self.server = await meta.listen_udp(self, socket=descriptor, peers=peers, sessions=sessions)


async def main() -> None:
    name, descriptor, listen, join, secret = sys.argv[1:]
    node = await homing.start_node(f"{name}@localhost")
    options = gen.ClusterOptions(name="roll", listen=(listen,), join=tuple(join.split(",")), secret_file=secret)
    cluster = await homing.cluster.join(node, options)
    async with asyncio.timeout(30):
        while len(cluster.links) < 2:
            await asyncio.sleep(0.01)
        await node.spawn(Service, int(descriptor))
        while len(cluster.udp.members.owners("game")) < 3:
            await asyncio.sleep(0.01)
    print("ready", flush=True)
    table = cluster.udp.members.tables["game"]
    await node.wait()
    print("ended", json.dumps({**table.counters, **cluster.udp.facts()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

"""A program that the tests start, burden and end: answers as a DNS server would, and tells its numbers at the end.

python -m tests.faults.service WORKERS
"""

from __future__ import annotations

import asyncio
import sys

import homing
from homing import act, gen, meta


class Answering(act.Actor):
    """Gives each query back with the bit set that makes it an answer; takes its time, and others their turns."""

    async def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        await asyncio.sleep(0)
        self.send(message.id, message.reply(message.data[:2] + b"\x81\x80" + message.data[4:]))


class Owner(act.Actor):
    async def init(self, server: meta.UDPServer) -> None:
        await self.spawn_meta(server)
        print("listening on port", server.local_address[1], flush=True)

    def terminate(self, reason: Exception) -> None:
        print("reason", type(reason).__name__, flush=True)


async def main(node: homing.Node, workers: int) -> bool:
    options = meta.UDPServerOptions(host="127.0.0.1", worker=Answering, workers=workers, receive_buffer=1 << 20)
    server = meta.create_udp_server(options)
    await node.spawn(Owner, server)
    await node.wait()
    clean = await node.stop()
    statistics = server.statistics()
    print("taken", statistics.packets_in, "answered", statistics.packets_out, flush=True)
    print("dropped", statistics.kernel_drops, "waiting", statistics.send_waiting, flush=True)
    return clean


if __name__ == "__main__":
    sys.exit(0 if homing.run(main, int(sys.argv[1])) else 1)

"""What this version of Homing can do."""

from __future__ import annotations

import asyncio
import functools
import socket
from typing import Any

import homing
from homing import act, gen, meta


class _Probe(act.Actor):
    """Learns which of its handlers a datagram comes to."""

    async def init(self, answer: asyncio.Future[bool]) -> None:
        self.answer = answer
        server = meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1"))
        await self.spawn_meta(server)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"?", server.local_address)

    def handle_datagrams(self, batch: Any) -> None:
        self._tell(True)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self._tell(False)

    def _tell(self, answer: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


@functools.cache
def has_batches() -> bool:
    """True if a behavior may have a `handle_datagrams`, which gets whole batches."""

    async def probe() -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        async with homing.start_node("probe@localhost") as node:
            await node.spawn(_Probe, answer)
            return await asyncio.wait_for(answer, 5)

    return asyncio.run(probe())

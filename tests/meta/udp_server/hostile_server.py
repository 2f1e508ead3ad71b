"""UDP servers on a kernel that lies (`tests/datagram/backend/hostile.c`), through the public API.

As `tests.datagram.backend.hostile`: `python -m tests.meta.udp_server.hostile_server --seconds 60 --seed 1`, `--case N`.
After each case the kernel is honest again: the server must answer, and its account must be exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import sys
from typing import Any

import homing
from homing import act, gen, meta

from ...datagram.backend.hostile import Seed, check, check_payload, drive

ROUNDS = 12
HONEST = 6
"""SO_PRIORITY of a socket that the hostile kernel leaves alone."""


class Echo(act.Actor):
    """Answers whatever comes; may be one of a pool."""

    def init(self, *args: Any) -> None:
        self.handled = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, meta.MessageUDP):
            self.handled += 1
            check_payload(message.data)
            repr(message), repr(message.info)
            self.send(message.id, message.reply(bytes(message.data)))
            message.release()


class Batches(Echo):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        for message in batch:
            self.handle_message(None, message)


class Owner(act.Actor):
    async def init(self, options: meta.UDPServerOptions) -> None:
        self.server = meta.create_udp_server(options)
        await self.spawn_meta(self.server)


def options_of(draw: random.Random) -> tuple[type[Echo], dict[str, Any]]:
    """The receiver's class, and the options of a server, drawn by a case."""
    options: dict[str, Any] = {
        "host": draw.choice(("127.0.0.1", "::1")),
        "buffer_size": draw.choice((64, 1500, 65535)),
        "gro": draw.random() < 0.8,
        "receive_batch": draw.choice((1, 8, 64)),
        "error_queue": draw.random() < 0.3,
    }
    if draw.random() < 0.3:
        options |= {"receive_local_address": True, "receive_tos": True, "receive_ttl": True, "receive_timestamp": True}
    if draw.random() < 0.2:
        options["rate_limit"] = meta.RateLimit(rate=1000.0, exempt=())
    if draw.random() < 0.2:
        options["reply_limit"] = meta.RateLimit(rate=1000.0, exempt=())
    if draw.random() < 0.3:
        options["buffer_pool"] = meta.BufferPool(options["buffer_size"])
        return Echo, options
    return draw.choice((Echo, Batches)), options


async def case(number: int, seed: Seed) -> None:
    draw = random.Random(number)
    receiver, options = options_of(draw)
    async with homing.start_node("hostile@localhost", gen.NodeOptions(handle_signals=False)) as node:
        await node.spawn(receiver, name="echo")
        owner: list[Owner] = []

        class Kept(Owner):
            async def init(self, options: meta.UDPServerOptions) -> None:
                await super().init(options)
                owner.append(self)

        await node.spawn(Kept, meta.UDPServerOptions(process="echo", **options))
        server = owner[0].server
        family = socket.AF_INET6 if ":" in options["host"] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, HONEST)
            peer.connect(server.local_address)
            peer.setblocking(False)
            seed(number + 1)
            for _ in range(ROUNDS):
                for _ in range(draw.randrange(4)):
                    wake_up(peer)
                for _ in range(draw.randrange(1, 6)):
                    await asyncio.sleep(0)
            seed(0)
            await answers(peer)
        account(server.statistics())


def wake_up(peer: socket.socket) -> None:
    with contextlib.suppress(ConnectionRefusedError):  # the last one found no server
        peer.send(b"wwww")


async def answers(peer: socket.socket) -> None:
    """An honest datagram is answered: the server lives, whatever it was given before."""
    loop = asyncio.get_running_loop()
    for _ in range(200):
        try:
            peer.send(b"eeee")
            async with asyncio.timeout(0.1):
                while await loop.sock_recv(peer, 65535) != b"eeee":
                    pass
                return
        except (TimeoutError, ConnectionRefusedError):
            continue
    raise AssertionError("the server answers after all that")


def account(statistics: Any) -> None:
    lost = statistics.dropped_newest + statistics.dropped_oldest + statistics.dropped_no_receiver
    out = statistics.denied + statistics.limited
    check(statistics.packets_in == statistics.delivered + lost + out, f"the account is exact: {statistics}")


def run(number: int, seed: Seed) -> None:
    try:
        asyncio.run(case(number, seed))
    finally:
        seed(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    sys.exit(drive(run))

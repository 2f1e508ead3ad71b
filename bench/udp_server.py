"""A UDP server under test, as a process: prints its port, and its figures for each line that it reads.

It imports no more than its contestant needs: other packages would change the heap, and so asyncio's figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import child
from .udp_common import HOST, RECEIVE_BUFFER, Counter

counter = Counter()


def announce(port: int) -> None:
    """Prints the port, and from then on, in a thread that sleeps meanwhile, the figures for each line that it reads."""

    def answer() -> None:
        for _ in sys.stdin:
            figures = {"packets": counter.packets, "cpu_seconds": time.process_time()}
            if counter.total:
                figures["total"] = counter.total
            print(json.dumps(figures), flush=True)
        os._exit(0)

    print(json.dumps({"port": port}), flush=True)
    threading.Thread(target=answer, daemon=True).start()


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind((HOST, 0))
    return sock


def _answer(job: str) -> Callable[[bytes], bytes] | None:
    if job == "work":
        from .work import work

        return work
    if job == "dns":
        from .udp_dns import answer

        return answer
    return None


def blocking(job: str) -> None:
    """Serves with a blocking socket in a `while` loop."""
    sock = _bound()
    receive, send = sock.recvfrom, sock.sendto
    announce(sock.getsockname()[1])
    if job == "count":
        while True:
            receive(2048)
            counter.packets += 1
    answer = _answer(job)
    while True:
        data, address = receive(2048)
        counter.packets += 1
        send(answer(data) if answer else data, address)


class CountProtocol(asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        counter.packets += 1


class EchoProtocol(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        counter.packets += 1
        self.transport.sendto(data, addr)


class WorkProtocol(EchoProtocol):
    job = "work"

    def __init__(self) -> None:
        work = _answer(self.job)
        assert work is not None
        self.work = work

    def datagram_received(self, data: bytes, addr: Any) -> None:
        counter.packets += 1
        self.transport.sendto(self.work(data), addr)


class DNSProtocol(WorkProtocol):
    job = "dns"


_PROTOCOLS = {"count": CountProtocol, "echo": EchoProtocol, "work": WorkProtocol, "dns": DNSProtocol}


async def bare(job: str, read_size: int | None) -> None:
    """Serves with a `DatagramProtocol` on the running loop."""
    sock = _bound()
    sock.setblocking(False)
    port = sock.getsockname()[1]  # before the loop gets the socket: rloop takes it over
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_PROTOCOLS[job], sock=sock)
    if read_size is not None:
        transport.max_size = read_size  # type: ignore[attr-defined]
    announce(port)
    await asyncio.Event().wait()


def tick(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(child.TICK, tick, loop)


async def serve(contestant: str, job: str) -> None:
    if contestant.endswith(child.TIMED):
        tick(asyncio.get_running_loop())
    if contestant.startswith("homing"):
        from . import udp_homing

        await udp_homing.serve(contestant, job, counter, announce)
    else:
        await bare(job, 2048 if "2 KiB" in contestant else None)


def main(contestant: str, job: str) -> None:
    if contestant == "blocking socket":
        blocking(job)
    else:
        with asyncio.Runner(loop_factory=child.loop_factory(contestant)) as runner:
            runner.run(serve(contestant, job))


if __name__ == "__main__":
    main(*sys.argv[1:])

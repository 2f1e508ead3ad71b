"""`homing bench`: bare asyncio and uvloop under test, as a process, and what Homing's process shares with it.

Run by its path, not as a part of the package, and imports the standard library alone: what other packages do to the
heap would change asyncio's figures.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Any

HOST = "127.0.0.1"

RECEIVE_BUFFER = 1 << 20
"""Bytes of the kernel's buffer that every server asks for."""

BURST = 100
"""Messages that are sent before others have their turn."""

MOST = {"spawn": 50_000}
"""Where a count may not grow until it takes long enough."""

Measure = Callable[[int], Awaitable[float]]
"""Does something so many times and gives the CPU seconds it took."""


class Counter:
    """Packets that the server's handler has had."""

    packets = 0


def tell(**facts: Any) -> None:
    """Writes a line to who started this process."""
    print(json.dumps(facts), flush=True)


def announce(counter: Counter, port: int, **facts: Any) -> None:
    """Tells the port, and from then on the figures for each line that is read; ends when there are no more lines."""

    def answer() -> None:
        for _ in sys.stdin:
            tell(packets=counter.packets, cpu_seconds=process_time())
        os._exit(0)

    tell(port=port, **facts)
    threading.Thread(target=answer, daemon=True).start()


async def rates(measures: dict[str, Measure], seconds: float) -> None:
    """Tells how many times a CPU-second each can be done. Counts grow until one run takes `seconds`."""
    found = {}
    for name, measure in measures.items():
        most = MOST.get(name, 5_000_000)
        count = 5 * BURST
        spent = await measure(count)
        while spent < seconds and count < most:
            growth = min(20.0, max(1.5, 1.2 * seconds / max(spent, 1e-6)))
            count = min(most, int(count * growth) // BURST * BURST)
            spent = await measure(count)
        found[name] = count / max(spent, 1e-9)
    tell(**found)


def run(main: Callable[[], Awaitable[None]], loop: str, core: str) -> None:
    """Runs `main` on an event loop, "asyncio" or "uvloop", and on a core of its own if one is named."""
    if core:
        os.sched_setaffinity(0, {int(core)})
    factory = asyncio.SelectorEventLoop if loop == "asyncio" else importlib.import_module(loop).new_event_loop

    async def body() -> None:
        await main()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(body())


class _Count(asyncio.DatagramProtocol):
    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.counter.packets += 1


class _Echo(_Count):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.counter.packets += 1
        self.transport.sendto(data, addr)


async def _serve(protocol: type[_Count], read_size: int) -> None:
    counter = Counter()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind((HOST, 0))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol(counter), sock=sock)
    if read_size:
        transport.max_size = read_size  # type: ignore[attr-defined]
    announce(counter, sock.getsockname()[1])
    await asyncio.Event().wait()


# --- the least that an actor can be: a task and a queue, and a future for the answer to a call ----------------


async def _send(count: int) -> float:
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def sink() -> None:
        for _ in range(count):
            await queue.get()

    begin = process_time()
    receiver = asyncio.create_task(sink())
    for _ in range(count // BURST):
        for _ in range(BURST):
            queue.put_nowait(1)
        await asyncio.sleep(0)
    await receiver
    return process_time() - begin


async def _call(count: int) -> float:
    queue: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()

    async def callee() -> None:
        for _ in range(count):
            (await queue.get()).set_result(1)

    begin = process_time()
    answering = asyncio.create_task(callee())
    for _ in range(count):
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        queue.put_nowait(answer)
        await answer
    await answering
    return process_time() - begin


async def _spawn(count: int) -> float:
    async def idle(queue: asyncio.Queue[int]) -> None:
        await queue.get()

    tasks = []
    begin = process_time()
    for number in range(count):
        tasks.append(asyncio.create_task(idle(asyncio.Queue())))
        if number % BURST == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    spent = process_time() - begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return spent


def main(loop: str, job: str, number: str, core: str) -> None:
    """number: for actors, the CPU seconds of each; for UDP, bytes of a read, 0 being the loop's own choice."""

    async def body() -> None:
        if job == "actors":
            await rates({"send": _send, "call": _call, "spawn": _spawn}, float(number))
        else:
            await _serve(_Count if job == "flood" else _Echo, int(number))

    run(body, loop, core)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`homing bench`: bare asyncio and uvloop under test, as a process, and functions that Homing's process uses as well.

Run by its path, not as a part of the package, and imports the standard library alone: other packages would change the
heap, and so asyncio's figures.
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
"""Bytes of the receive buffer that every server asks the kernel for."""

BURST = 100
"""Messages that are sent in one go before other tasks or processes run."""

MOST = {"spawn": 50_000}
"""Largest counts of measurements whose count must stay below the default limit."""

Measure = Callable[[int], Awaitable[float]]
"""Repeats an operation `count` times and returns the CPU seconds spent."""


class Counter:
    """Counts the packets that the server's handler has received."""

    packets = 0


def tell(**facts: Any) -> None:
    """Writes a line of JSON to the process that started this one."""
    print(json.dumps(facts), flush=True)


def announce(counter: Counter, port: int, **facts: Any) -> None:
    """Writes the port, then the figures for each line that is read. Ends the process when there are no more lines."""

    def answer() -> None:
        for _ in sys.stdin:
            tell(packets=counter.packets, cpu_seconds=process_time())
        os._exit(0)

    tell(port=port, **facts)
    threading.Thread(target=answer, daemon=True).start()


async def rates(measures: dict[str, Measure], seconds: float) -> None:
    """Writes how often per CPU-second each measure can be repeated. Counts grow until one run takes `seconds`."""
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
    """Runs `main` on an event loop, "homing", "asyncio" or "uvloop", pinned to `core` if one is named."""
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


# --- the simplest actor: a task and a queue, and a future for the answer to a call ----------------------------


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
    """Runs one job. number: for actors, CPU seconds of each measurement; for UDP, bytes of a read, 0: by the loop."""

    async def body() -> None:
        if job == "actors":
            await rates({"send": _send, "call": _call, "spawn": _spawn}, float(number))
        else:
            await _serve(_Count if job == "flood" else _Echo, int(number))

    run(body, loop, core)


if __name__ == "__main__":
    main(*sys.argv[1:])

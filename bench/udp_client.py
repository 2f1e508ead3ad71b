"""The benchmark of UDP clients: requests with their replies, many open at once. Run as a module, this is the client
under test, or the server that answers it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import homing
from homing import act, gen, meta

from . import child
from .suite import Benchmark, Failed, Sample, Settings
from .udp_common import RECEIVE_BUFFER

OUTSTANDING = 64
SIZE = 64
_WARM_UP = 0.05
_SHORT_READS = "2 KiB reads"
_TIMEOUT = "with a timeout"

Ask = Callable[[bytes], Awaitable[bytes]]


def question(number: int) -> bytes:
    """A payload that begins with an id of its own."""
    return number.to_bytes(4, "big") * (SIZE // 4)


def _id(data: bytes) -> bytes:
    return data[:4]


class Load:
    """Asks until it is stopped. Each of the `OUTSTANDING` parts asks one question at a time."""

    def __init__(self) -> None:
        self.stopped = False
        self.answered = self.wrong = self.lost = 0

    async def part(self, number: int, ask: Ask) -> None:
        while not self.stopped:
            data = question(number)
            number += OUTSTANDING
            try:
                reply = await ask(data)
            except TimeoutError:
                self.lost += 1
                continue
            if reply == data:
                self.answered += 1
            else:
                self.wrong += 1

    async def figures(self, seconds: float) -> Sample:
        """Returns the figures of that many seconds."""
        await asyncio.sleep(_WARM_UP)
        answered, cpu = self.answered, time.process_time()
        await asyncio.sleep(seconds)
        answered, cpu = self.answered - answered, time.process_time() - cpu
        self.stopped = True
        return {"answered": answered, "wrong": self.wrong, "lost": self.lost, "cpu_seconds": cpu}


# --- the clients ------------------------------------------------------------------------------------------


class _Part(act.Actor):
    def init(self, load: Load, client: gen.Alias) -> None:
        self.load = load
        self.client = client

    async def handle_message(self, sender: gen.PID, number: int) -> None:
        await self.load.part(number, self.ask)

    async def ask(self, data: bytes) -> bytes:
        reply: meta.MessageUDP = await self.call(self.client, data)
        return reply.data  # type: ignore[no-any-return]


class _Owner(act.Actor):
    async def init(self, port: int) -> None:
        options = meta.UDPClientOptions(host="127.0.0.1", port=port, key=_id)
        self.client = await self.spawn_meta(meta.create_udp_client(options))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> gen.Alias:
        return self.client


async def _homing(port: int, seconds: float) -> Sample:
    load = Load()
    async with homing.start_node("bench@localhost") as node:
        client = await node.call(await node.spawn(_Owner, port), "client")
        for number in range(OUTSTANDING):
            node.send(await node.spawn(_Part, load, client), number)
        return await load.figures(seconds)


class _Protocol(asyncio.DatagramProtocol):
    """The simplest client on asyncio: a future for each question, found by its id. Nothing is sent again, and there is
    no timeout unless one is asked for."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self.open: dict[bytes, asyncio.Future[bytes]] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        future = self.open.pop(data[:4], None)
        if future is not None:
            future.set_result(data)

    async def ask(self, data: bytes) -> bytes:
        future = self.open[data[:4]] = asyncio.get_running_loop().create_future()
        self.transport.sendto(data)
        if self.timeout is None:
            return await future
        async with asyncio.timeout(self.timeout):
            return await future


async def _bare(contestant: str, port: int, seconds: float) -> Sample:
    load = Load()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Protocol(5.0 if _TIMEOUT in contestant else None), remote_addr=("127.0.0.1", port)
    )
    if _SHORT_READS in contestant:
        transport.max_size = 2048  # type: ignore[attr-defined]
    tasks = [loop.create_task(load.part(number, protocol.ask)) for number in range(OUTSTANDING)]
    figures = await load.figures(seconds)
    for task in tasks:
        task.cancel()
    transport.close()
    return figures


def measure(contestant: str, port: int, seconds: float) -> Sample:
    """Measures one contestant once, in this process."""
    with asyncio.Runner(loop_factory=child.loop_factory(contestant)) as runner:
        if contestant.startswith("homing"):
            return runner.run(_homing(port, seconds))
        return runner.run(_bare(contestant, port, seconds))


# --- the server -------------------------------------------------------------------------------------------


def serve() -> None:
    """Prints its port, and sends back each datagram, until it is killed. It never sleeps: the client would be charged
    for waking it, and that costs more than the rest of a request, the more so the slower the client."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind(("127.0.0.1", 0))
        print(sock.getsockname()[1], flush=True)
        sock.setblocking(False)
        while True:
            try:
                sock.sendto(*sock.recvfrom(2048))
            except BlockingIOError:
                pass


def _run(contestant: str, settings: Settings) -> Sample:
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.udp_client", "serve"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=child.ROOT,
        preexec_fn=child.pinned(1),
    )
    with server:
        try:
            port = (server.stdout.readline() if server.stdout else "").strip()
            command = [sys.executable, "-m", "bench.udp_client", contestant, port, str(settings.load_seconds)]
            figures: Sample = json.loads(child.output(command, core=0))
        finally:
            server.kill()
    if figures["wrong"] or not figures["answered"]:
        raise Failed(f"{contestant!r} had {figures['answered']} right answers, {figures['wrong']} wrong ones")
    cpu = max(1e-3, figures["cpu_seconds"])
    return {"value": figures["answered"] / cpu, "lost": figures["lost"], "busy": min(1.0, cpu / settings.load_seconds)}


BENCHMARK = Benchmark(
    name="udp-call",
    title=f"requests of a UDP client, {OUTSTANDING} open at once",
    unit="replies per CPU-second of the client",
    contestants=(
        "homing",
        "homing on uvloop",
        "asyncio",
        f"asyncio {_SHORT_READS}",
        f"asyncio {_TIMEOUT}",
        "uvloop",
        f"uvloop {_TIMEOUT}",
    ),
    run=_run,
    extras=("lost", "busy"),
    minor=True,
)

if __name__ == "__main__":
    child.limit_life()
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))

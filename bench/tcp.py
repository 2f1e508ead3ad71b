"""The benchmark of TCP servers: lines that are echoed, on many connections. Run as a module, this is the server under
test, or the load."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

import homing
from homing import act, gen, meta

from . import child
from .suite import Benchmark, Failed, Sample, Settings
from .udp_common import HOST

CONNECTIONS = 64
LINE = b"0123456789abcdef" * 4 + b"\n"
_WARM_UP = 0.1
_STREAMS = "asyncio streams"

Ready = Callable[[int], None]


# --- the servers ------------------------------------------------------------------------------------------


class _Echo(act.Actor):
    async def init(self, ready: Ready) -> None:
        server = await meta.listen_tcp(self, host=HOST, frame=meta.Delimiter(b"\n"), announce=False)
        ready(server.local_address[1])

    def handle_message(self, sender: gen.PID, message: meta.MessageTCP) -> None:
        self.reply(message, message.data)


class _Protocol(asyncio.Protocol):
    """The simplest server on asyncio: no limit, no timeout, no actor."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.transport.writelines([line + b"\n" for line in lines])


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()


async def _serve(contestant: str, ready: Ready) -> None:
    if contestant.startswith("homing"):
        async with homing.start_node("bench@localhost") as node:
            await node.spawn(_Echo, ready)
            await asyncio.Event().wait()
    loop = asyncio.get_running_loop()
    if contestant == _STREAMS:
        server = await asyncio.start_server(_stream, HOST, 0)
    else:
        server = await loop.create_server(_Protocol, HOST, 0)
    ready(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


def serve(contestant: str) -> None:
    """Prints the port, and for each line of the standard input the CPU time so far, until it is killed."""

    def ready(port: int) -> None:
        print(port, flush=True)
        threading.Thread(target=report, daemon=True).start()

    def report() -> None:
        for _ in sys.stdin:
            print(time.process_time(), flush=True)

    with asyncio.Runner(loop_factory=child.loop_factory(contestant)) as runner:
        runner.run(_serve(contestant, ready))


# --- the load ---------------------------------------------------------------------------------------------


def load(port: int, depth: int, seconds: float) -> Sample:
    """Sends lines on all connections for that many seconds, `depth` at a time on each, and compares the answers."""
    block = LINE * depth
    socks = {sock.fileno(): sock for sock in (socket.create_connection((HOST, port)) for _ in range(CONNECTIONS))}
    came = dict.fromkeys(socks, b"")
    answered = wrong = 0
    with select.epoll() as poll:
        for number, sock in socks.items():
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            poll.register(number, select.EPOLLIN)
            sock.send(block)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number, _ in poll.poll(1.0):
                data = came[number] + socks[number].recv(65536)
                if len(data) < len(block):
                    came[number] = data
                    continue
                wrong += data != block
                answered += depth
                came[number] = b""
                socks[number].send(block)
    for sock in socks.values():
        sock.close()
    return {"answered": answered, "wrong": wrong}


def _asked(process: subprocess.Popen[str], text: str = "") -> str:
    if process.stdin is None or process.stdout is None:
        raise Failed("the server has no pipes")
    if text:
        process.stdin.write(text)
        process.stdin.flush()
    return process.stdout.readline().strip()


def _run(depth: int, contestant: str, settings: Settings) -> Sample:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child.start([sys.executable, "-m", "bench.tcp", contestant], **pipes) as server:
        try:
            command = [sys.executable, "-m", "bench.tcp", "load", _asked(server), str(depth)]
            child.output([*command, str(_WARM_UP)], core=1)
            before = float(_asked(server, "\n"))
            made: Sample = json.loads(child.output([*command, str(settings.load_seconds)], core=1))
            cpu = max(1e-3, float(_asked(server, "\n")) - before)
        finally:
            server.kill()
    if made["wrong"] or not made["answered"]:
        raise Failed(f"{contestant!r} had {made['answered']:.0f} right answers, {made['wrong']:.0f} wrong")
    return {"value": made["answered"] / cpu, "busy": min(1.0, cpu / settings.load_seconds)}


def _benchmark(name: str, title: str, depth: int) -> Benchmark:
    return Benchmark(
        name=name,
        title=f"TCP: lines of {len(LINE)} bytes that are echoed, {CONNECTIONS} connections, {title}",
        unit="answers per CPU-second of the server",
        contestants=("homing", "homing on uvloop", "asyncio", "uvloop", _STREAMS),
        run=partial(_run, depth),
        extras=("busy",),
        baselines=("asyncio", "uvloop"),
        minor=True,
    )


BENCHMARKS = (_benchmark("tcp-echo", "one line at a time", 1), _benchmark("tcp-pipeline", "16 lines at a time", 16))

if __name__ == "__main__":
    child.limit_life()
    if sys.argv[1] == "load":
        print(json.dumps(load(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
    else:
        serve(sys.argv[1])

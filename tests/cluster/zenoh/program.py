"""A program that is a node of a cluster, with an engine and no link: `python -m tests.cluster.zenoh.program JSON`.

It echoes, streams, blocks and forks as it is told by lines of JSON, and tells what happens in lines of JSON.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
import time
from typing import Any

from homing import gen
from homing.cluster.engine import MAIN, SIGNALS, Peer
from homing.cluster.zenoh_engine import ZenohEngine

DATA, ACK = b"D", b"A"


def tell(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **more}), flush=True)


class Told(logging.Handler):
    """Tells what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        tell("log", level=record.levelname, text=record.getMessage())


class Stream:
    """Batches that came from one node: how many are missing, and the longest silence between two."""

    def __init__(self) -> None:
        self.count = self.missing = self.last = 0
        self.gap = 0.0
        self.at: float | None = None

    def take(self, number: int) -> None:
        now = time.monotonic()
        if self.at is not None:
            self.gap = max(self.gap, now - self.at)
        if self.last and number > self.last + 1:
            self.missing += number - self.last - 1
        self.count, self.last, self.at = self.count + 1, number, now


class Program:
    """The receiver of the engine, and what the commands do."""

    def __init__(self, name: str, creation: int, options: dict[str, Any]) -> None:
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        self.engine = ZenohEngine(gen.ClusterOptions(**options))
        self.own = Peer(name, creation)
        self.peers: dict[str, Peer] = {}
        self.streams: dict[str, Stream] = {}
        self.acknowledged: dict[str, int] = {}
        self.longest_put = 0.0
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()

    def peer_up(self, peer: Peer, address: str) -> None:
        self.peers[peer.name] = peer
        tell("up", node=peer.name, creation=peer.creation, address=address)

    def peer_down(self, peer: Peer, reason: str) -> None:
        del self.peers[peer.name]
        self.acknowledged.pop(peer.name, None)
        tell("down", node=peer.name, creation=peer.creation, reason=reason)

    def batch(self, peer: Peer, lane: int, data: bytes) -> None:
        if data[:1] == DATA:
            number = int.from_bytes(data[1:9], "big")
            self.streams.setdefault(peer.name, Stream()).take(number)
            self.engine.put(peer, SIGNALS, ACK + data[1:9])
        elif data[:1] == ACK:
            self.acknowledged[peer.name] = int.from_bytes(data[1:9], "big")
        else:
            tell("batch", node=peer.name, lane=lane, text=data[:100].decode("latin-1"), size=len(data))

    # --- commands -----------------------------------------------------------------------------------------

    def put(self, to: str, lane: int, text: str) -> None:
        self.engine.put(self.peers[to], lane, text.encode("latin-1"))

    def stream(self, to: str, rate: float, size: int, window: int) -> None:
        self._start(self._stream(to, rate, size, window))

    async def _stream(self, to: str, rate: float, size: int, window: int) -> None:
        number, filling = 0, bytes(size - 9)
        while True:
            peer = self.peers.get(to)
            if peer is not None and number - self.acknowledged.get(to, number if number < window else 0) < window:
                number += 1
                light = (number - self.acknowledged.get(to, 0)) * size <= 32 << 10
                began = time.monotonic()
                self.engine.put(peer, MAIN, DATA + number.to_bytes(8, "big") + filling, light)
                self.longest_put = max(self.longest_put, time.monotonic() - began)
            await asyncio.sleep(1 / rate)

    def report(self) -> None:
        tell(
            "report",
            longest_put=self.longest_put,
            streams={
                name: {"count": one.count, "missing": one.missing, "gap": one.gap} for name, one in self.streams.items()
            },
        )
        for one in self.streams.values():
            one.gap, one.at = 0.0, None

    def block(self, how: str, seconds: int) -> None:
        tell("blocks")
        if how == "lock":  # the interpreter's, held by C
            ctypes.PyDLL(None).sleep(seconds)
        else:
            time.sleep(seconds)
        tell("goes on")

    def fork(self) -> None:
        """Tries everything in a fork, from which no exception and no thread may come back."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(5)  # ends a child that hangs
            os.write(writing, json.dumps(self._try_all()).encode())
            self.engine.__dict__.clear()  # as the end of the program does
            os._exit(0)
        os.close(writing)
        with open(reading) as file:
            tried = file.read()
        tell("forked", tried=json.loads(tried or "{}"), status=os.waitpid(child, 0)[1])

    def _try_all(self) -> dict[str, str]:
        engine, peer = self.engine, Peer("b@h", 1)
        tries: dict[str, Any] = {
            "put": lambda: engine.put(peer, MAIN, b"x"),
            "suspect": lambda: engine.suspect(peer, "a test"),
            "addresses": lambda: engine.addresses,
            "open": lambda: engine.open(peer, self).send(None),
            "close": lambda: engine.close().send(None),
        }
        found = {}
        for name, function in tries.items():
            try:
                function()
                found[name] = "nothing was raised"
            except BaseException as error:
                found[name] = type(error).__name__
        return found

    def suspect(self, node: str) -> None:
        self.engine.suspect(self.peers[node], "a test says so")

    def close(self) -> None:
        self._start(self._close())

    async def _close(self) -> None:
        began = time.monotonic()
        await self.engine.close()
        tell("closed", seconds=time.monotonic() - began)
        self.ended.set()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def main() -> None:
    told = json.loads(sys.argv[1])
    logging.getLogger("homing").addHandler(Told())
    program = Program(told["name"], told.get("creation") or time.time_ns(), told["options"])
    began = time.monotonic()
    try:
        await program.engine.open(program.own, program)
    except gen.HomingError as error:
        tell("refused", error=type(error).__name__, text=str(error))
        return
    tell("open", addresses=program.engine.addresses, seconds=time.monotonic() - began)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    program._start(commands(reader, program))
    await program.ended.wait()


async def commands(reader: asyncio.StreamReader, program: Program) -> None:
    while line := await reader.readline():
        command = json.loads(line)
        getattr(program, command.pop("do"))(**command)
    program.ended.set()


if __name__ == "__main__":
    asyncio.run(main())

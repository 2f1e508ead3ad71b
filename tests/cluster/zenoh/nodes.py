"""Nodes of a cluster for tests: engines in this program, and programs of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homing import gen
from homing.cluster.engine import Peer
from homing.cluster.zenoh_engine import ZenohEngine

from ...support import DEADLINE, eventually

ROOT = Path(__file__).parents[3]


class Recorder:
    """A receiver that keeps what it is notified of: ("up" | "down", node, creation) and ("batch", node, lane, data)."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, str, int]] = []
        self.reasons: list[str] = []
        self.batches: list[tuple[str, int, bytes]] = []
        self.addresses: dict[str, str] = {}

    def peer_up(self, peer: Peer, address: str) -> None:
        self.notices.append(("up", *peer))
        self.addresses[peer.name] = address

    def peer_down(self, peer: Peer, reason: str) -> None:
        self.notices.append(("down", *peer))
        self.reasons.append(reason)

    def batch(self, peer: Peer, lane: int, data: bytes) -> None:
        self.batches.append((peer.name, lane, bytes(data)))

    def present(self) -> set[str]:
        """The names of the nodes that are up."""
        found = set()
        for what, name, _ in self.notices:
            (found.add if what == "up" else found.discard)(name)
        return found

    async def sees(self, *names: str) -> None:
        """Waits until exactly these nodes are up."""
        await eventually(lambda: self.present() == set(names), f"that {names} are up, with {self.notices}")


class Nodes:
    """Engines in this program, closed at the end."""

    def __init__(self) -> None:
        self.engines: list[ZenohEngine] = []

    async def open(
        self, name: str, *, creation: int = 0, cluster: str = "test", **options: Any
    ) -> tuple[ZenohEngine, Recorder]:
        engine, recorder = ZenohEngine(gen.ClusterOptions(name=cluster, **options)), Recorder()
        await engine.open(Peer(name, creation or time.time_ns()), recorder)
        self.engines.append(engine)
        return engine, recorder

    async def close(self) -> None:
        for engine in self.engines:
            await engine.close()


class Program:
    """A node in a program of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self._taken = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @classmethod
    def start(
        cls, name: str, *, creation: int = 0, run: Callable[..., Any] = lambda function: function(), **options: Any
    ) -> Program:
        """run: calls a function somewhere else, as in another network."""
        told = json.dumps({"name": name, "creation": creation, "options": {"name": "test", **options}})
        command = [sys.executable, "-m", "tests.cluster.zenoh.program", told]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = run(lambda: subprocess.Popen(command, cwd=ROOT, **pipes))
        return cls(process)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.events.append(json.loads(line))

    def found(self, event: str, **fields: Any) -> dict[str, Any] | None:
        """The next event of that kind with these fields, if it has come. It and those before it are not found again."""
        for number in range(self._taken, len(self.events)):
            one = self.events[number]
            if one["event"] == event and all(one.get(key) == value for key, value in fields.items()):
                self._taken = number + 1
                return one
        return None

    async def event(self, event: str, **fields: Any) -> dict[str, Any]:
        """Waits for such an event."""
        what = f"{event} {fields} among the events"
        try:
            found = await eventually(lambda: self.found(event, **fields), what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.events}") from None
        return dict(found)

    async def opened(self) -> str:
        """Waits until it has joined and returns its first address."""
        return str((await self.event("open"))["addresses"][0])

    def tell(self, do: str, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **command}) + "\n")
        self.process.stdin.flush()

    async def report(self) -> dict[str, Any]:
        self.tell("report")
        return dict((await self.event("report"))["streams"])

    def signal(self, number: int) -> float:
        """Sends a signal and returns the time."""
        now = time.monotonic()
        os.kill(self.process.pid, number)
        return now

    def since(self, number: int) -> list[tuple[str, str]]:
        """The notices of nodes among the events from that number on."""
        return [(one["event"], one["node"]) for one in self.events[number:] if one["event"] in ("up", "down")]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self._thread.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class Programs:
    """Programs, ended at the end."""

    def __init__(self) -> None:
        self._programs: list[Program] = []

    def start(self, name: str, **options: Any) -> Program:
        program = Program.start(name, **options)
        self._programs.append(program)
        return program

    async def joined(self, *names: str, **options: Any) -> list[Program]:
        """Starts programs that all see each other; the first is the seed of the others."""
        first = self.start(names[0], **options)
        seed = await first.opened()
        others = [self.start(name, join=[seed], **options) for name in names[1:]]
        for other in others:
            await other.opened()
        for program in (first, *others):
            await eventually(lambda program=program: len(program.since(0)) >= len(names) - 1, "that all see all")
        return [first, *others]

    def end(self) -> None:
        for program in self._programs:
            if program.process.poll() is None:
                os.kill(program.process.pid, signal.SIGCONT)
            program.end()


async def pause(seconds: float) -> None:
    """Lets real time pass, for the threads of zenoh: the promise is that nothing happens in it."""
    await asyncio.sleep(seconds)

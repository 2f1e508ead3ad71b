"""What tests use: a process whose mailbox can be awaited, a real UDP socket, and waiting with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import platform
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest

import homing
from homing import act, gen

T = TypeVar("T")
DEADLINE = 20.0
"""Seconds that anything awaited in a test may take. Timings decide no test: this only turns a hang into a failure."""


def examples(few: int, many: int) -> int:
    """Examples of a property with the mark `thorough`: a few in the suite, many in `make test-slow`.

    With HOMING_BRIEF, in a run with sanitizers, a quarter of them, but four or more.
    """
    if os.environ.get("HOMING_THOROUGH") == "1":
        return many
    return max(few // 4, min(few, 4)) if os.environ.get("HOMING_BRIEF") == "1" else few


_QUICK_LOOKS = 10
"""Most conditions come true within that many iterations of the loop, far sooner than after a pause."""


async def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Waits until `condition()` is true and gives its value. Fails after the deadline."""
    async with asyncio.timeout(DEADLINE) as limit:
        try:
            looks = 0
            while not (value := condition()):
                await asyncio.sleep(0 if looks < _QUICK_LOOKS else 0.001)
                looks += 1
        except asyncio.CancelledError:
            if limit.expired():
                raise AssertionError(f"{what} did not come true in {DEADLINE} s") from None
            raise
    return value


def busy_tasks(node: homing.Node) -> set[asyncio.Task[Any]]:
    """All tasks of the loop but those that the node keeps for asynchronous callbacks to come."""
    return asyncio.all_tasks() - set(node._core.callback_tasks.spare)


def in_thread(function: Callable[[], T]) -> T:
    """Runs `function` in a thread that is made for it and ends with it: what it changes of itself ends too."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(function).result()


_SETRESUID = {"x86_64": 117, "aarch64": 147}
_NOBODY = 65534

gives_up_privileges = pytest.mark.skipif(
    sys.platform != "linux" or (os.geteuid() == 0 and platform.machine() not in _SETRESUID),
    reason="gives up its privileges by a Linux system call",
)


def without_privileges(function: Callable[[], T]) -> T:
    """Runs `function` in a thread that is nobody's; the system call, unlike the library's, changes one thread only."""

    def body() -> T:
        if os.geteuid() == 0:
            number = ctypes.c_long(_SETRESUID[platform.machine()])
            nobody = ctypes.c_long(_NOBODY)
            if ctypes.CDLL(None).syscall(number, nobody, nobody, nobody):
                pytest.skip("this root cannot become nobody")
        return function()

    return in_thread(body)


def free_port() -> int:
    """A port that no socket of 127.0.0.1 has, of UDP or TCP, for programs that must be told theirs. A connection that
    has ended keeps the port of its client for a minute."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other,
        ):
            probe.bind(("127.0.0.1", 0))
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                other.bind(probe.getsockname())
                return int(probe.getsockname()[1])


class ProbeActor(act.Actor):
    """Keeps everything it gets as (kind, sender, message) in the queue of its `Probe`."""

    trap_exit = True

    def init(self, probe: Probe) -> None:
        self.probe = probe
        probe.actor = self

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("message", sender, message))

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        """A function sent as a request runs here, so that a test can do anything as this process."""
        if callable(request):
            result = request(self)
            return await result if asyncio.iscoroutine(result) else result
        self.probe.queue.put_nowait(("call", sender, request))
        return ("answer", request)

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.probe.queue.put_nowait(("event", None, event))

    def handle_log(self, record: logging.LogRecord) -> None:
        self.probe.queue.put_nowait(("log", None, record))

    def terminate(self, reason: Exception) -> None:
        self.probe.reason = reason
        self.probe.ended.set()


class Probe:
    """A process seen from the test: `get()` awaits its next message; `do(f)` runs `f(actor)` in it."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node
        self.queue: asyncio.Queue[tuple[str, gen.PID | None, Any]] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.reason: Exception | None = None
        self.actor: ProbeActor
        self.pid: gen.PID

    @classmethod
    async def start(cls, node: homing.Node, **options: Any) -> Self:
        probe = cls(node)
        probe.pid = await node.spawn(ProbeActor, probe, **options)
        return probe

    async def next(self) -> tuple[str, gen.PID | None, Any]:
        """The next thing that came, as (kind, sender, message)."""
        async with asyncio.timeout(DEADLINE):
            return await self.queue.get()

    async def get(self) -> Any:
        """The next message, without its sender."""
        return (await self.next())[2]

    def waiting(self) -> list[Any]:
        """All messages that have come and were not asked for yet."""
        found = []
        while not self.queue.empty():
            found.append(self.queue.get_nowait()[2])
        return found

    async def do(self, function: Callable[[ProbeActor], Any]) -> Any:
        """Runs `function(actor)` inside the process and gives what it returns; it may give a coroutine."""
        return await self.node.call(self.pid, function)


class UDPPeer:
    """A real UDP socket of the test, bound to a port of its own."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.address: tuple[Any, ...] = self.socket.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes, address: tuple[Any, ...]) -> None:
        self.socket.sendto(data, address)

    async def receive(self) -> tuple[bytes, tuple[Any, ...]]:
        """The next datagram and where it came from."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    return self.socket.recvfrom(65536)
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    async def ask(self, data: bytes, address: tuple[Any, ...]) -> bytes:
        """Sends a datagram and gives the payload of the next that comes."""
        self.send(data, address)
        return (await self.receive())[0]

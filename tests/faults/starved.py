"""Services in which one allocation fails, at each place in turn: what `test_starved` runs.

In each wake-up the K-th allocation fails, once; then the service must answer, whoever has ended having been started
again, and every datagram must be in a counter. Prints what is not so. "lone-" before the name of a service: datagrams
come one at a time; otherwise three at once.

    python -m tests.faults.starved BACKEND MOST STEP SERVICE...

K is 0, STEP, 2 STEP ... below MOST.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

os.environ["HOMING_DATAGRAM"] = sys.argv[1]
MOST, STEP = int(sys.argv[2]), int(sys.argv[3])
_testcapi = importlib.import_module("_testcapi")  # of CPython's own tests

import homing  # noqa: E402
from homing import act, gen, meta  # noqa: E402

DEADLINE = float(os.environ.get("STARVED_DEADLINE", "20"))
WINDOWS = 3
"""Callbacks of the event loop, of each wake-up, in which the allocation fails."""


LONE = 6
"""Datagrams one at a time, after which the next one is read alone."""


class Starvation:
    """Lets one allocation fail in callbacks that belong to Homing."""

    def __init__(self, loop: Any) -> None:
        self.number = self.window = 0
        self.passed = WINDOWS
        self.fired = 0
        self.reads = 0  # reads of a socket in which an allocation was to fail
        for name in ("add_reader", "call_soon", "call_at", "call_soon_threadsafe"):
            setattr(loop, name, self._starving(name, getattr(loop, name)))
        if selector := getattr(loop, "homing_selector", None):  # it calls what watches a socket itself
            loop.homing_selector = _Selector(selector, self._starved)

    def _starving(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        first = 1 if name in ("add_reader", "call_at") else 0

        def call(*arguments: Any, **options: Any) -> Any:
            callback = arguments[first]
            if "homing" in str(getattr(type(getattr(callback, "__self__", None)), "__module__", "")):
                arguments = (*arguments[:first], self._starved(callback), *arguments[first + 1 :])
            return method(*arguments, **options)

        return call

    def _starved(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            if threading.current_thread() is not threading.main_thread() or self.passed >= WINDOWS:
                return callback(*arguments)
            self.passed += 1
            if self.passed - 1 != self.window:
                return callback(*arguments)
            self.reads += getattr(callback, "__name__", "") == "readable"
            _testcapi.set_nomemory(self.number, self.number + 1)
            try:
                return callback(*arguments)
            except MemoryError:
                self.fired += 1
                raise
            finally:
                _testcapi.remove_mem_hooks()

        return run

    def arm(self, number: int, window: int) -> None:
        self.number, self.window, self.passed = number, window, 0


class _Selector:
    """The selector of Homing's loop, with starved callbacks."""

    def __init__(self, selector: Any, starved: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._selector = selector
        self._starved = starved

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def on_readable(self, fd: int, callback: Callable[..., Any] | None) -> None:
        self._selector.on_readable(fd, None if callback is None else self._starved(callback))

    def on_writable(self, fd: int, callback: Callable[..., Any] | None) -> None:
        self._selector.on_writable(fd, None if callback is None else self._starved(callback))


class Echo(act.Actor):
    """Answers with what comes."""

    options: ClassVar[dict[str, Any]] = {}
    on_thread = False

    async def init(self, port: int) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", port=port, **self.options)
        self.server = meta.create_udp_server(options)
        servers.append(self.server)
        self.link(await self.spawn_meta(self.server))  # a server that crashes is started again with its owner

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        self.send(message.id, message.reply(message.data))


class Waiting(Echo):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)
        self.send(message.id, message.reply(message.data))


class Coroutine(Echo):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(message.data))


class Calling(Echo):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(message.id, message.reply(await self.call("other", message.data)))


class Batches(Echo):
    def handle_datagrams(self, batch: Any) -> None:
        for number in range(len(batch)):
            message = batch[number]
            self.send(batch.id, meta.MessageUDP(None, message.addr, bytes(message.data)))


class Pooled(Echo):
    options: ClassVar[dict[str, Any]] = {"buffer_pool": meta.BufferPool(size=2048)}

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        self.send(message.id, message.reply(bytes(message.data)))
        message.release()


class Narrow(Echo):
    """Pauses and resumes reading all the time."""

    options: ClassVar[dict[str, Any]] = {"high_water": 1, "low_water": 0}


class Worker(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        self.send(message.id, message.reply(message.data))


class Workers(Echo):
    options: ClassVar[dict[str, Any]] = {"worker": Worker, "workers": 2}


class Ticking(Echo):
    """Answers at the next tick."""

    async def init(self, port: int) -> None:
        await super().init(port)
        self.waiting: list[Any] = []
        self.send_every(self.pid, "tick", 0.005)

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        if message != "tick":
            self.waiting.append(message)
            return
        for each in self.waiting:
            self.send(each.id, each.reply(each.data))
        self.waiting.clear()


class Threaded(Echo):
    """Answers from another thread."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.to_thread(running[0].send_threadsafe, message.id, message.reply(message.data))


class OnThread(Echo):
    """Runs on a thread of its own."""

    on_thread = True


class Other(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


SERVICES = {kind.__name__.lower(): kind for kind in (Echo, *Echo.__subclasses__())}
servers: list[Any] = []
running: list[homing.Node] = []


class Top(act.Supervisor):
    def init(self, service: type[Echo], port: int) -> act.SupervisorSpec:
        options = gen.ProcessOptions(thread=service.on_thread)
        return act.SupervisorSpec(
            children=(
                act.ChildSpec(name="other", behavior=Other),
                act.ChildSpec(name="service", behavior=service, args=(port,), options=options),
            ),
            intensity=100_000,
        )


async def answered(client: socket.socket, address: tuple[str, int], data: bytes) -> bool:
    """Asks until the answer comes."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                client.sendto(data, address)
                try:
                    async with asyncio.timeout(0.2):
                        while await loop.sock_recv(client, 2048) != data:
                            pass
                    return True
                except (TimeoutError, ConnectionError):
                    continue
    except TimeoutError:
        return False


def uncounted() -> str:
    """What the counters of the servers do not add up to, if so."""
    for server in servers:
        facts = server.statistics()
        dropped = facts.dropped_no_receiver + facts.dropped_newest + facts.dropped_oldest + facts.denied + facts.limited
        if facts.packets_in != facts.delivered + facts.receive_waiting + dropped:
            return f"packets_in {facts.packets_in}, delivered {facts.delivered}, dropped {dropped}"
    return ""


async def survives(node: homing.Node, starvation: Starvation, service: str) -> bool:
    """Starves one service."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    alone = service.startswith("lone-")
    top = await node.spawn(Top, SERVICES[service.removeprefix("lone-")], address[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        for number in range(0, MOST, STEP):
            for window in range(WINDOWS):
                for index in range(LONE if alone else 0):
                    await answered(client, address, b"%d %d before %d" % (number, window, index))
                starvation.arm(number, window)
                for index in range(1 if alone else 3):
                    client.sendto(b"%d %d %d" % (number, window, index), address)
                for _ in range(3):
                    await asyncio.sleep(0)
                starvation.passed = WINDOWS
                if not await answered(client, address, b"%d %d" % (number, window)):
                    print(f"{service}: allocation {number} of callback {window}: no answer; {node.tree()}")
                    return False
                if wrong := uncounted():
                    print(f"{service}: allocation {number} of callback {window}: {wrong}")
                    return False
                del servers[:-1]
    servers.clear()
    node.send_exit(top, gen.TerminateShutdown())
    async with asyncio.timeout(DEADLINE):
        while node.processes():
            await asyncio.sleep(0.001)
    return True


async def main(node: homing.Node) -> int:
    running.append(node)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    starvation = Starvation(loop)
    for service in sys.argv[4:]:
        if not await survives(node, starvation, service):
            return 1
    if not await node.stop():
        print("it had to be stopped by force")
        return 1
    print(f"survived, {starvation.reads} reads starved, {starvation.fired} raised, {node.info().crashes} crashes")
    return 0


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    sys.exit(homing.run(main))

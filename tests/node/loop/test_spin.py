"""Polling before sleeping: off by default, bounded, and counted."""

from __future__ import annotations

import asyncio
import functools
import math
import signal
import socket
import threading
import time
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from .sockets import DEADLINE, datagrams, needs_selector

QUIET = gen.NodeOptions(handle_signals=False)


def runner(spin: float) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=functools.partial(homing.new_event_loop, spin=spin))


def spun() -> float:
    loop: Any = asyncio.get_running_loop()
    return float(loop.homing_selector.spun)


async def ping_pong(sock: socket.socket, count: int, pause: float) -> int:
    """Sends a datagram to a served socket from another thread, after each pause. Returns how many arrived."""
    loop: Any = asyncio.get_running_loop()
    got, done = 0, asyncio.Event()

    def take() -> None:
        nonlocal got
        sock.recv(100)
        got += 1
        if got == count:
            done.set()

    def feed() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(count):
                time.sleep(pause)
                sender.sendto(b"x", sock.getsockname())

    loop.homing_selector.on_readable(sock.fileno(), take)
    thread = threading.Thread(target=feed)
    thread.start()
    async with asyncio.timeout(DEADLINE):
        await done.wait()
    loop.homing_selector.on_readable(sock.fileno(), None)
    thread.join()
    return got


@needs_selector
def test_by_default_it_never_polls() -> None:
    async def main() -> float:
        with datagrams() as sock:
            await ping_pong(sock, 3, 0.001)
        return spun()

    with asyncio.Runner(loop_factory=homing.new_event_loop) as plain:
        assert plain.run(main()) == 0.0


@needs_selector
def test_it_polls_after_an_event_for_so_long_at_most() -> None:
    async def main() -> tuple[float, float]:
        with datagrams() as sock:
            assert await ping_pong(sock, 20, 0.001) == 20
        while_busy, at_rest = spun(), []
        for _ in range(4):  # a machine that is busy may hold it for longer while it polls, but not each time
            before = spun()
            await asyncio.sleep(0.05)
            at_rest.append(spun() - before)
        return while_busy, min(at_rest)

    with runner(0.005) as spinning:
        while_busy, at_rest = spinning.run(main())
    assert while_busy > 0.0
    assert at_rest < 0.025


@needs_selector
def test_what_it_has_polled_counts_as_waited() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, int)  # its end is an event
        begun, before = loop.time(), spun()
        await asyncio.sleep(0.3)
        return loop.time() - begun, spun() - before

    with runner(3600.0) as spinning:
        waited, polled = spinning.run(main())
    assert polled > 0.8 * waited


@needs_selector
def test_timers_threads_and_ctrl_c_come_through_while_it_polls() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(0.01)
        assert loop.time() - begun >= 0.01
        assert await loop.run_in_executor(None, sum, (1, 2)) == 3
        threading.Timer(0.02, signal.raise_signal, [signal.SIGINT]).start()
        await asyncio.sleep(DEADLINE)

    begun = time.monotonic()
    with runner(3600.0) as spinning, pytest.raises(KeyboardInterrupt):
        spinning.run(main())
    assert time.monotonic() - begun < DEADLINE


@needs_selector
def test_other_threads_of_python_run_while_it_polls() -> None:
    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: sum(range(1_000_000)))

    with runner(3600.0) as spinning:
        assert spinning.run(main()) == sum(range(1_000_000))


@needs_selector
def test_the_node_tells_how_long_it_has_polled() -> None:
    async def main(node: homing.Node) -> float:
        await asyncio.get_running_loop().run_in_executor(None, int)  # its end is an event
        await asyncio.sleep(0.02)
        return node.info().spin_seconds

    assert homing.run(main, options=QUIET) == 0.0
    polled = homing.run(main, options=QUIET, spin=0.01)
    assert polled is not None
    assert polled > 0.0


@needs_selector
def test_inspecting_a_udp_server_tells_how_long_its_loop_has_polled() -> None:
    async def main(node: homing.Node) -> list[Any]:
        class Server(act.Actor):
            async def init(self) -> None:
                self.server = await meta.listen_udp(self, host="127.0.0.1", port=0)

            async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: str) -> Any:
                return (await self.inspect_meta(self.server.alias, request))[request]

        server = await node.spawn(Server)
        before = await node.call(server, "spin_seconds")
        await asyncio.get_running_loop().run_in_executor(None, int)  # its end is an event
        await asyncio.sleep(0.02)
        return [before, await node.call(server, "spin_seconds")]

    before, after = homing.run(main, options=QUIET, spin=0.01) or [0.0, 0.0]
    assert after > before
    assert homing.run(main, options=QUIET) == [0.0, 0.0]


@pytest.mark.parametrize("spin", [-1, -0.001, math.nan, math.inf, "x", None, 1e12])
def test_nonsense_is_refused(spin: Any) -> None:
    for call in (lambda: homing.new_event_loop(spin=spin), lambda: homing.run(print, spin=spin)):
        with pytest.raises(gen.BadOption, match="spin"):
            call()


def test_uvloop_cannot_poll() -> None:
    async def main(node: homing.Node) -> None:
        pass

    with pytest.raises(gen.BadOption, match="uvloop cannot poll"):
        homing.run(main, options=QUIET, uvloop=True, spin=0.001)


def test_a_loop_with_the_selector_of_python_cannot_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homing.node.loop.event_loop.Selector", None)
    with pytest.raises(gen.BadOption, match="compiled selector"):
        homing.new_event_loop(spin=0.001)
    loop = homing.new_event_loop(spin=0)
    assert type(loop) is asyncio.SelectorEventLoop
    loop.close()

"""`homing.new_event_loop`: asyncio's loop in all that it does, while the selector serves sockets within it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import homing

from .sockets import DEADLINE, Flood, datagrams, needs_selector, run, serving


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with datagrams() as made:
        yield made


def test_it_is_asyncios_loop_of_selectors() -> None:
    loop = homing.new_event_loop()
    assert isinstance(loop, asyncio.SelectorEventLoop)
    loop.close()
    loop.close()


async def test_homing_runs_programs_on_it() -> None:
    program = "import asyncio, homing\nasync def main(node): return asyncio.get_running_loop()\nprint(homing.run(main))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    loop = homing.new_event_loop()
    assert output.decode().split()[0] == repr(loop).split()[0]
    loop.close()


@pytest.mark.parametrize("missing", ["_ready", "_scheduled"])
@needs_selector
def test_where_asyncio_has_changed_inside_it_returns_to_the_loop_each_time(missing: str) -> None:
    async def main() -> int:
        serving().attach(_Other(asyncio.get_running_loop(), missing))
        turns = 0
        with Flood() as flood:
            while flood.calls < 10:
                await asyncio.sleep(0.001)
                turns += 1
        return turns

    assert run(main) >= 1


class _Other:
    """A loop as another version of Python might have it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, missing: str) -> None:
        self._loop = loop
        self._missing = missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._loop, name)


async def test_subprocesses_work() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input())", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(b"hello\n"), DEADLINE)
    assert (output, process.returncode) == (b"hello\n", 0)


async def test_asyncios_own_datagrams_work() -> None:
    loop, got = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            got.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Protocol, ("127.0.0.1", 0))
    transport.sendto(b"hello", transport.get_extra_info("sockname"))
    assert await asyncio.wait_for(got, DEADLINE) == b"hello"
    transport.close()


@needs_selector
def test_a_closed_loop_watches_no_more(sock: socket.socket) -> None:
    loop = homing.new_event_loop()
    selector: Any = loop.homing_selector  # type: ignore[attr-defined]
    selector.on_readable(sock.fileno(), print)
    loop.close()
    selector.on_readable(sock.fileno(), None)
    with pytest.raises(RuntimeError, match="closed"):
        selector.on_readable(sock.fileno(), print)


@needs_selector
def test_a_loop_that_cannot_be_made_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise OSError(24, "Too many open files")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(socket, "socketpair", fail)
    with pytest.raises(OSError, match="Too many"):
        homing.new_event_loop()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@needs_selector
def test_a_loop_that_was_dropped_is_collected_with_the_callbacks_of_its_sockets(sock: socket.socket) -> None:
    loop = homing.new_event_loop()
    loop.homing_selector.on_readable(sock.fileno(), loop.stop)  # type: ignore[attr-defined]
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None

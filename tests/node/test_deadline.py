"""A time limit ends what waits, but not before what has come is read: a program may have been stopped meanwhile."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from homing.node.deadline import Deadline

pytestmark = pytest.mark.loops


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        yield here, there


def sleep_past(seconds: float, there: socket.socket, data: bytes) -> None:
    """The program is stopped, and meanwhile something comes."""
    there.sendall(data)
    time.sleep(seconds)


async def test_what_has_come_while_the_program_was_stopped_is_in_time(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    loop = asyncio.get_running_loop()
    async with Deadline(0.02):
        loop.call_soon(sleep_past, 0.05, there, b"answer")
        assert await loop.sock_recv(here, 100) == b"answer"


async def test_so_is_what_has_come_by_a_stream(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    reader, writer = await asyncio.open_connection(sock=here)
    async with Deadline(0.02):
        asyncio.get_running_loop().call_soon(sleep_past, 0.05, there, b"a line\n")
        assert await reader.readline() == b"a line\n"
    writer.close()
    await writer.wait_closed()


async def test_what_does_not_come_is_a_timeout(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(TimeoutError):
        async with Deadline(0.001):
            await asyncio.get_running_loop().sock_recv(pair[0], 100)


async def test_a_block_that_has_ended_is_not_disturbed_by_its_time() -> None:
    async with Deadline(0.001):
        pass
    await asyncio.sleep(0.01)

"""Polling by itself: it calls for what the watch says is there, and for what the backend has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from homing.datagram.polling import Polling


class Socket:
    """Its watch, and what its backend has left of what it read."""

    def __init__(self) -> None:
        self.waiting = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.callback: Callable[[], None] | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def read(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback

    def write(self, callback: Callable[[], None] | None) -> None:
        raise AssertionError("polling does not write")

    def close(self) -> None:
        raise AssertionError("the watch is its owner's to close")


@pytest.fixture
def sock() -> Socket:
    return Socket()


async def opened(sock: Socket) -> tuple[Polling, list[int]]:
    """It notes what was left at each call, and takes one."""
    polling, calls = Polling(sock, sock), []

    def readable() -> None:
        calls.append(sock.waiting)
        sock.waiting = max(0, sock.waiting - 1)

    polling.open(asyncio.get_running_loop(), readable)
    return polling, calls


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_begins_with_resume_and_rests_while_paused(sock: Socket) -> None:
    polling, _ = await opened(sock)
    assert (polling.reading, sock.callback) == (False, None)
    polling.resume()
    assert (polling.reading, sock.callback is not None) == (True, True)
    polling.pause()
    assert (polling.reading, sock.callback) == (False, None)


def test_before_it_is_open_resume_does_nothing(sock: Socket) -> None:
    polling = Polling(sock, sock)
    polling.resume()
    assert not polling.reading


async def test_what_was_read_before_is_called_for_although_the_socket_says_nothing(sock: Socket) -> None:
    polling, calls = await opened(sock)
    sock.waiting = 2
    polling.resume()
    await turns()
    assert calls == [2]
    polling.read_on()
    await turns()
    assert calls == [2, 1]
    polling.read_on()
    await turns()
    assert calls == [2, 1]


async def test_what_was_read_before_is_not_called_for_while_paused(sock: Socket) -> None:
    polling, calls = await opened(sock)
    polling.resume()
    sock.waiting = 1
    polling.read_on()
    polling.pause()
    await turns()
    assert calls == []


async def test_without_listening_only_what_was_read_before_is_called_for(sock: Socket) -> None:
    polling, calls = await opened(sock)
    polling.resume()
    sock.waiting = 1
    polling.listen(False)
    assert (polling.reading, sock.callback) == (True, None)
    await turns()
    assert calls == [1]
    polling.listen(True)
    assert sock.callback is not None


async def test_a_rest_ends_by_itself_unless_it_was_paused_meanwhile(
    sock: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homing.datagram.polling._RETRY", 0.0)
    polling, _ = await opened(sock)
    polling.resume()
    polling.rest()
    assert not polling.reading
    await asyncio.sleep(0.01)
    assert polling.reading
    polling.rest()
    polling.pause()
    await asyncio.sleep(0.01)
    assert not polling.reading


async def test_after_the_end_it_calls_no_more(sock: Socket) -> None:
    polling, calls = await opened(sock)
    sock.waiting = 1
    polling.resume()
    polling.close()
    polling.resume()
    await turns()
    assert (polling.reading, sock.callback, calls) == (False, None, [])
